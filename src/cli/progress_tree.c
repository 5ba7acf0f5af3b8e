// progress_tree.c: see progress_tree.h.
#include "cli/progress_tree.h"

#include "base/mem.h"

typedef enum NodeState { NODE_WAITING, NODE_RUNNING, NODE_DONE, NODE_FAILED } NodeState;

typedef struct Node {
  char *name; // owned
  NodeState state;
  bool has_user;  // it is an input of another node
  size_t *inputs; // owned
  size_t input_count;
  uint64_t start_ns, mean_ms;
  char phase[32];
} Node;

struct ProgressTree {
  Node *nodes; // inputs before their users
  size_t count, cap;
  Map by_path; // number + 1
  size_t running;
};

ProgressTree *progress_tree_new(void) {
  return mem_alloc_zero(sizeof(ProgressTree));
}

void progress_tree_free(ProgressTree *tree) {
  if (!tree) return;
  for (size_t i = 0; i < tree->count; i++) {
    mem_free(tree->nodes[i].name);
    mem_free(tree->nodes[i].inputs);
  }
  mem_free(tree->nodes);
  map_done(&tree->by_path);
  mem_free(tree);
}

static Node *find(const ProgressTree *tree, Span drv_path) {
  size_t number = (size_t)(uintptr_t)map_get(&tree->by_path, drv_path);
  return number ? &tree->nodes[number - 1] : NULL;
}

static Node *add(ProgressTree *tree, Span drv_path, Span name) {
  MEM_RESERVE(tree->nodes, tree->cap, tree->count + 1);
  Node *node = &tree->nodes[tree->count++];
  *node = (Node){.name = span_dup(name)};
  map_set(&tree->by_path, drv_path, (void *)(uintptr_t)tree->count);
  return node;
}

void progress_tree_add(ProgressTree *tree, Span drv_path, Span name, const Span *input_paths, size_t input_count) {
  if (find(tree, drv_path) || tree->count >= PROGRESS_TREE_NODES_MAX) return;
  Node *node = add(tree, drv_path, name);
  node->inputs = mem_alloc_array(input_count + 1, sizeof(size_t));
  for (size_t i = 0; i < input_count; i++) {
    Node *input = find(tree, input_paths[i]);
    if (!input || input == node) continue;
    input->has_user = true;
    node->inputs[node->input_count++] = (size_t)(input - tree->nodes);
  }
}

void progress_tree_start(ProgressTree *tree, Span drv_path, Span name, uint64_t now_ns, uint64_t mean_ms) {
  Node *node = find(tree, drv_path);
  if (!node) node = add(tree, drv_path, name);
  if (node->state != NODE_RUNNING) tree->running++;
  node->state = NODE_RUNNING;
  node->start_ns = now_ns;
  node->mean_ms = mean_ms;
  node->phase[0] = 0;
}

void progress_tree_phase(ProgressTree *tree, Span drv_path, Span phase) {
  Node *node = find(tree, drv_path);
  if (!node) return;
  if (span_has_suffix(phase, SPAN("Phase"))) phase.len -= 5;
  if (phase.len >= sizeof node->phase) phase.len = sizeof node->phase - 1;
  memcpy(node->phase, phase.data, phase.len);
  node->phase[phase.len] = 0;
}

void progress_tree_stop(ProgressTree *tree, Span drv_path, bool failed) {
  Node *node = find(tree, drv_path);
  if (!node) return;
  if (node->state == NODE_RUNNING) tree->running--;
  node->state = failed ? NODE_FAILED : NODE_DONE;
}

size_t progress_tree_running(const ProgressTree *tree) {
  return tree->running;
}

// ---- widths

size_t progress_tree_width(Span text) {
  size_t width = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] == '\033') {
      while (i < text.len && !(text.data[i] >= 'A' && text.data[i] <= 'z' && text.data[i] != '[')) i++;
    } else if (((unsigned char)text.data[i] & 0xc0) != 0x80) {
      width++;
    }
  }
  return width;
}

Span progress_tree_cut(Span text, size_t columns) {
  size_t width = 0, i = 0;
  while (i < text.len) {
    size_t start = i;
    if (text.data[i] == '\033') {
      while (i < text.len && !(text.data[i] >= 'A' && text.data[i] <= 'z' && text.data[i] != '[')) i++;
      if (i < text.len) i++;
      continue;
    }
    i++;
    while (i < text.len && ((unsigned char)text.data[i] & 0xc0) == 0x80) i++;
    if (++width > columns) return span_sub(text, 0, start);
  }
  return text;
}

void progress_tree_format_duration(uint64_t ms, Buf *ret) {
  unsigned long long s = ms / 1000;
  if (s < 60) buf_printf(ret, "%llu s", s);
  else if (s < 3600) buf_printf(ret, "%llu min %02llu s", s / 60, s % 60);
  else buf_printf(ret, "%llu h %02llu min", s / 3600, s % 3600 / 60);
}

// ---- the tree

typedef struct Layout {
  const ProgressTree *tree;
  const ProgressTreeView *view;
  unsigned char *shown; // nodes that lead to something, not printed yet
  Buf *out;
  size_t lines, max_lines;
  size_t hidden; // running ones that there was no room for
} Layout;

static const char *dim(const Layout *layout) {
  return layout->view->colour ? "\033[2m" : "";
}
static const char *plain(const Layout *layout) {
  return layout->view->colour ? "\033[0m" : "";
}

static void put_mark(const Layout *layout, NodeState state, Buf *line) {
  bool colour = layout->view->colour, utf8 = layout->view->utf8;
  if (state == NODE_RUNNING) buf_printf(line, "%s%s%s ", colour ? "\033[33m" : "", utf8 ? "●" : "*", plain(layout));
  if (state == NODE_FAILED) buf_printf(line, "%s%s%s ", colour ? "\033[31m" : "", utf8 ? "✗" : "x", plain(layout));
}

// What a waiting node waits for that stands elsewhere in the tree already.
static void put_names(const Layout *layout, const Node *node, Buf *line) {
  enum { NAMES_MAX = 3 };
  size_t count = 0;
  for (size_t i = 0; i < node->input_count; i++) {
    const Node *input = &layout->tree->nodes[node->inputs[i]];
    if (input->state == NODE_DONE) continue;
    if (count < NAMES_MAX) buf_printf(line, "%s%s", count ? ", " : " ", input->name);
    count++;
  }
  if (count > NAMES_MAX) buf_printf(line, " and %zu more", count - NAMES_MAX);
}

// Name, phase and time. Where there is not room for all of them, the name is cut; where there is hardly any, the phase is left out.
static void put_running(const Layout *layout, const Node *node, Buf *line) {
  enum { NAME_MIN = 8 };
  const ProgressTreeView *view = layout->view;
  Buf end CLEANUP(buf_done) = BUF_INIT, time CLEANUP(buf_done) = BUF_INIT;
  progress_tree_format_duration((view->now_ns - node->start_ns) / 1000000, &time);
  size_t used = progress_tree_width(buf_span(line)) + time.len + 3, phase = strlen(node->phase) + 2;
  buf_put_cstr(&end, "  ");
  if (node->phase[0] && used + phase + NAME_MIN <= view->columns) {
    buf_printf(&end, "%s%s%s  ", view->colour ? "\033[36m" : "", node->phase, plain(layout));
    used += phase;
  }
  buf_put_span(&end, buf_span(&time));
  if (node->mean_ms) {
    buf_printf(&end, " %s(mean ", dim(layout));
    progress_tree_format_duration(node->mean_ms, &end);
    buf_printf(&end, ")%s", plain(layout));
  }
  Span name = span_cstr(node->name);
  size_t room = view->columns > used ? view->columns - used : 0;
  if (progress_tree_width(name) > room && room >= NAME_MIN) {
    buf_put_span(line, progress_tree_cut(name, room - (view->utf8 ? 1 : 3)));
    buf_put_cstr(line, view->utf8 ? "…" : "...");
  } else {
    buf_put_span(line, name);
  }
  buf_put_span(line, buf_span(&end));
}

static void put_node(Layout *layout, const Node *node, Span prefix, const char *branch, size_t child_count) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  const ProgressTreeView *view = layout->view;
  if (layout->lines >= layout->max_lines) {
    layout->hidden += node->state == NODE_RUNNING;
    return;
  }
  buf_printf(&line, "%s%.*s%s%s", dim(layout), SPAN_ARG(prefix), branch, plain(layout));
  put_mark(layout, node->state, &line);
  if (node->state == NODE_RUNNING) {
    put_running(layout, node, &line);
  } else if (node->state == NODE_FAILED) {
    buf_printf(&line, "%s failed", node->name);
  } else {
    buf_printf(&line, "%s %swaits for%s", node->name, dim(layout), plain(layout));
    if (!child_count) put_names(layout, node, &line);
  }
  buf_put_span(layout->out, progress_tree_cut(buf_span(&line), view->columns - 1));
  if (view->colour) buf_put_cstr(layout->out, "\033[0m");
  buf_put_char(layout->out, '\n');
  layout->lines++;
}

// The inputs of a node that are to be printed below it. Waiting ones that lead to one thing only stand for that.
static size_t children_of(Layout *layout, size_t at, size_t *ret) {
  const Node *node = &layout->tree->nodes[at];
  size_t count = 0;
  for (size_t i = 0; i < node->input_count; i++) {
    size_t child = node->inputs[i];
    if (!layout->shown[child]) continue;
    for (;;) {
      const Node *next = &layout->tree->nodes[child];
      size_t only = SIZE_MAX, paths = 0;
      for (size_t j = 0; next->state == NODE_WAITING && j < next->input_count; j++) {
        if (!layout->shown[next->inputs[j]]) continue;
        only = next->inputs[j];
        paths++;
      }
      if (paths != 1) break;
      layout->shown[child] = 0;
      child = only;
    }
    if (!layout->shown[child]) continue;
    layout->shown[child] = 0;
    ret[count++] = child;
  }
  return count;
}

// An explicit stack: graphs are deep.
typedef struct Level {
  size_t *children;
  size_t count, next;
  size_t prefix_len;
} Level;

static void put_tree(Layout *layout, size_t root) {
  const char *tee = layout->view->utf8 ? "├─ " : "|- ", *corner = layout->view->utf8 ? "└─ " : "`- ",
             *pipe = layout->view->utf8 ? "│  " : "|  ";
  Buf prefix CLEANUP(buf_done) = BUF_INIT;
  Level *stack = NULL;
  size_t depth = 0, cap = 0;
  layout->shown[root] = 0;
  const char *branch = "";
  bool last = true;
  for (size_t at = root;;) {
    size_t *children = mem_alloc_array(layout->tree->nodes[at].input_count + 1, sizeof(size_t));
    size_t count = children_of(layout, at, children);
    put_node(layout, &layout->tree->nodes[at], buf_span(&prefix), branch, count);
    if (depth) buf_put_cstr(&prefix, last ? "   " : pipe);
    MEM_RESERVE(stack, cap, depth + 1);
    stack[depth++] = (Level){children, count, 0, prefix.len};
    while (depth && stack[depth - 1].next == stack[depth - 1].count) mem_free(stack[--depth].children);
    if (!depth) break;
    Level *top = &stack[depth - 1];
    at = top->children[top->next++];
    last = top->next == top->count;
    branch = last ? corner : tee;
    prefix.len = top->prefix_len;
  }
  mem_free(stack);
}

void progress_tree_format(const ProgressTree *tree, const ProgressTreeView *view, Buf *ret) {
  if (!tree->count || view->columns < 4) return;
  Layout layout = {.tree = tree, .view = view, .out = ret, .max_lines = view->rows / 2};
  if (layout.max_lines < 1) layout.max_lines = 1;
  layout.shown = mem_alloc_zero(tree->count + 1);
  // Inputs come before their users: one pass finds what leads to something that runs or has failed.
  for (size_t i = 0; i < tree->count; i++) {
    const Node *node = &tree->nodes[i];
    layout.shown[i] = node->state == NODE_RUNNING || node->state == NODE_FAILED;
    for (size_t j = 0; node->state == NODE_WAITING && j < node->input_count; j++)
      layout.shown[i] |= layout.shown[node->inputs[j]];
  }
  for (size_t i = tree->count; i-- > 0;)
    if (layout.shown[i] && (!tree->nodes[i].has_user)) put_tree(&layout, i);
  // Below users that are done or that the tree has met already.
  for (size_t i = tree->count; i-- > 0;)
    if (layout.shown[i] && tree->nodes[i].state == NODE_RUNNING) put_tree(&layout, i);
  if (layout.hidden) {
    buf_printf(ret, "%s%s %zu more running%s\n", dim(&layout), view->utf8 ? "…" : "...", layout.hidden, plain(&layout));
  }
  mem_free(layout.shown);
}
