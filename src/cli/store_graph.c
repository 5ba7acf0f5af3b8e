// store_graph.c: see store_graph.h. Behaviour: Nix 2.26, nix-store.cc (printTree) and dotgraph.cc.
#include "cli/store_graph.h"

#include "base/map.h"
#include "base/mem.h"

typedef struct Tree {
  Store *store;
  StorePathList order; // the closure, references first
  Map position;        // digest -> index + 1 in `order`
  Map done;
  Buf pad;
  Buf *out;
} Tree;

static Span key(const StorePath *path) {
  return span_make(path->digest, sizeof(path->digest));
}
static uintptr_t position(const Tree *tree, const StorePath *path) {
  return (uintptr_t)map_get(&tree->position, key(path));
}

// Users before what they use, so that deep nests become flat.
static void sort_refs(const Tree *tree, StorePath *refs, size_t count) {
  for (size_t i = 1; i < count; i++) {
    StorePath ref = refs[i];
    size_t j = i;
    for (; j > 0 && position(tree, &refs[j - 1]) < position(tree, &ref); j--) refs[j] = refs[j - 1];
    refs[j] = ref;
  }
}

// What is still to be printed of one node.
typedef struct Level {
  StorePath *refs; // owned
  size_t count, next;
  size_t pad_len; // of the lines below it
} Level;

static bool print_node(Tree *tree, const StorePath *path, const char *connector, Level *ret_level, Err *err) {
  *ret_level = (Level){.pad_len = tree->pad.len};
  buf_put_span(tree->out, buf_span(&tree->pad));
  buf_put_cstr(tree->out, connector);
  store_format_path(tree->store, path, tree->out);
  bool seen = map_has(&tree->done, key(path));
  buf_put_cstr(tree->out, seen ? " [...]\n" : "\n");
  if (seen) return true;
  map_set(&tree->done, key(path), NULL);
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!store_get(tree->store, path, &record, err)) return false;
  ret_level->count = record->info.ref_count;
  ret_level->refs = mem_alloc_array(ret_level->count + 1, sizeof(StorePath));
  if (ret_level->count) memcpy(ret_level->refs, record->info.refs, ret_level->count * sizeof(StorePath));
  sort_refs(tree, ret_level->refs, ret_level->count);
  return true;
}

// Depth first with an explicit stack.
static bool print_tree(Tree *tree, const StorePath *root, Err *err) {
  Level *levels = NULL, level;
  size_t depth = 0, cap = 0;
  buf_clear(&tree->pad);
  bool ok = print_node(tree, root, "", &level, err);
  MEM_RESERVE(levels, cap, 1);
  levels[depth++] = level;
  while (ok && depth) {
    Level *top = &levels[depth - 1];
    tree->pad.len = top->pad_len;
    if (top->next == top->count) {
      mem_free(top->refs);
      depth--;
      continue;
    }
    const StorePath *ref = &top->refs[top->next++];
    bool last = top->next == top->count;
    ok = print_node(tree, ref, last ? "└───" : "├───", &level, err);
    buf_put_cstr(&tree->pad, last ? "    " : "│   ");
    level.pad_len = tree->pad.len;
    MEM_RESERVE(levels, cap, depth + 1);
    levels[depth++] = level;
  }
  while (depth) mem_free(levels[--depth].refs);
  mem_free(levels);
  return ok;
}

bool store_graph_tree(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err) {
  Tree tree = {.store = store, .out = out};
  StoreClosureOptions options = {.topological = true};
  bool ok = store_closure(store, roots, count, &options, &tree.order, err);
  for (size_t i = 0; ok && i < tree.order.count; i++)
    map_set(&tree.position, key(&tree.order.paths[i]), (void *)(uintptr_t)(i + 1));
  for (size_t i = 0; ok && i < count; i++) ok = print_tree(&tree, &roots[i], err);
  store_path_list_done(&tree.order);
  map_done(&tree.position);
  map_done(&tree.done);
  buf_done(&tree.pad);
  return ok;
}

bool store_graph_dot(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err) {
  static const char *const colours[] = {"black", "red", "green", "blue", "magenta", "burlywood"};
  StorePathList closure = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {0};
  size_t edge = 0;
  bool ok = store_closure(store, roots, count, &options, &closure, err);
  buf_put_cstr(out, "digraph G {\n");
  for (size_t i = 0; ok && i < closure.count; i++) {
    const StorePath *path = &closure.paths[i];
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    ok = store_get(store, path, &record, err);
    if (!ok) break;
    buf_put_char(out, '"');
    store_path_format_base(path, out);
    buf_printf(out, "\" [label = \"%.*s\", shape = box, style = filled, fillcolor = \"#ff0000\"];\n",
               SPAN_ARG(store_path_name(path)));
    for (size_t j = 0; j < record->info.ref_count; j++) {
      const StorePath *ref = &record->info.refs[j];
      if (store_path_eq(ref, path)) continue;
      buf_put_char(out, '"');
      store_path_format_base(ref, out);
      buf_put_cstr(out, "\" -> \"");
      store_path_format_base(path, out);
      buf_printf(out, "\" [color = \"%s\"];\n", colours[edge++ % ARRAY_LEN(colours)]);
    }
  }
  buf_put_cstr(out, "}\n");
  store_path_list_done(&closure);
  return ok;
}
