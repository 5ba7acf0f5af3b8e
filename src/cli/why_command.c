// why_command.c: what holds things together: `nix why-depends` (references from one path to another, and where in its files they stand) and
// `firn store why-alive` (what keeps a path from the garbage collector). Behaviour of the first: Nix 2.26, why-depends.cc.
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "cli/store_command.h"
#include "formats/json_write.h"
#include "store/store_gc.h"
#include "store/store_resolve.h"

static const char tree_connection[] = "├───", tree_last[] = "└───", tree_line[] = "│   ", tree_nothing[] = "    ";

// ---- the graph

enum { FAR_AWAY = UINT32_MAX };

typedef struct Node {
  StorePath path;
  uint32_t *refs; // numbers of nodes, sorted by path
  size_t ref_count;
  uint32_t distance; // to the dependency; FAR_AWAY: it is not needed
  bool visited;
} Node;

typedef struct Graph {
  Arena arena;
  Node *nodes; // sorted by path
  size_t count;
} Graph;

static Node *graph_find(const Graph *graph, const StorePath *path) {
  size_t low = 0, high = graph->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int c = store_path_cmp(&graph->nodes[middle].path, path);
    if (c == 0) return &graph->nodes[middle];
    if (c < 0) low = middle + 1;
    else high = middle;
  }
  return NULL;
}

static bool graph_load(StoreView *view, const StorePath *root, Graph *ret, Err *err) {
  StorePathList closure = STORE_PATH_LIST_INIT;
  bool ok = store_view_closure(view, root, 1, &closure, err);
  store_path_list_sort(&closure);
  ret->nodes = ARENA_ARRAY(&ret->arena, Node, closure.count);
  ret->count = closure.count;
  for (size_t i = 0; i < closure.count; i++) ret->nodes[i] = (Node){.path = closure.paths[i], .distance = FAR_AWAY};
  for (size_t i = 0; ok && i < closure.count; i++) {
    const StoreViewInfo *info;
    if (!(ok = store_view_get(view, &closure.paths[i], &info, err))) break;
    ret->nodes[i].refs = ARENA_ARRAY(&ret->arena, uint32_t, info->info.ref_count + 1);
    for (size_t k = 0; k < info->info.ref_count; k++) {
      const Node *target = graph_find(ret, &info->info.refs[k]);
      if (target) ret->nodes[i].refs[ret->nodes[i].ref_count++] = (uint32_t)(target - ret->nodes);
    }
  }
  store_path_list_done(&closure);
  return ok;
}

// Breadth first from the dependency against the references.
static void graph_measure(Graph *graph, Node *dependency) {
  uint32_t *first_user = ARENA_ARRAY(&graph->arena, uint32_t, graph->count + 2), total = 0;
  memset(first_user, 0, (graph->count + 2) * sizeof(*first_user));
  for (size_t i = 0; i < graph->count; i++)
    for (size_t k = 0; k < graph->nodes[i].ref_count; k++, total++) first_user[graph->nodes[i].refs[k] + 2]++;
  for (size_t i = 2; i < graph->count + 2; i++) first_user[i] += first_user[i - 1];
  uint32_t *users = ARENA_ARRAY(&graph->arena, uint32_t, total + 1);
  for (size_t i = 0; i < graph->count; i++)
    for (size_t k = 0; k < graph->nodes[i].ref_count; k++)
      users[first_user[graph->nodes[i].refs[k] + 1]++] = (uint32_t)i;
  uint32_t *queue = ARENA_ARRAY(&graph->arena, uint32_t, graph->count + 1);
  size_t head = 0, tail = 0;
  dependency->distance = 0;
  queue[tail++] = (uint32_t)(dependency - graph->nodes);
  while (head < tail) {
    uint32_t here = queue[head++];
    for (uint32_t k = first_user[here]; k < first_user[here + 1]; k++) {
      Node *user = &graph->nodes[users[k]];
      if (user->distance != FAR_AWAY) continue;
      user->distance = graph->nodes[here].distance + 1;
      queue[tail++] = users[k];
    }
  }
}

// ---- where references stand

enum { MARGIN = 32, SEARCH_BYTES = 1 << 20 };

// Hash parts that are searched, with what was found of each.
typedef struct Hits {
  const Node *const *targets;
  size_t count;
  Buf *lines;          // of each target: lines, each ended by a NUL
  bool colour, *found; // in the file at hand
  const StorePath *dependency;
} Hits;

typedef struct Search {
  Hits *hits;
  Buf window;
  size_t scanned; // bytes of the window that have been searched
  Span name;      // of the file
} Search;

static void put_printable(Buf *out, Span text) {
  for (size_t i = 0; i < text.len; i++)
    buf_put_char(out, text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '.');
}

static void put_hash(const Hits *hits, size_t target, Span hash, Buf *out) {
  bool is_dependency = store_path_eq(&hits->targets[target]->path, hits->dependency);
  if (hits->colour) buf_put_cstr(out, is_dependency ? "\033[32;1m" : "\033[34;1m");
  buf_put_span(out, hash);
  if (hits->colour) buf_put_cstr(out, "\033[0m");
}

static void note(Search *search, size_t target, size_t at) {
  Span window = buf_span(&search->window);
  size_t from = at > MARGIN ? at - MARGIN : 0, to = at + STORE_PATH_HASH_CHARS;
  Buf *out = &search->hits->lines[target];
  buf_printf(out, "%.*s: …", SPAN_ARG(search->name));
  put_printable(out, span_sub(window, from, at - from));
  put_hash(search->hits, target, span_sub(window, at, STORE_PATH_HASH_CHARS), out);
  put_printable(out, span_sub(window, to, window.len - to < MARGIN ? window.len - to : MARGIN));
  buf_put_cstr(out, "…");
  buf_put_char(out, 0);
  search->hits->found[target] = true;
}

// Searches the window as far as what follows a hit is in it, too.
static void scan(Search *search, bool is_end) {
  size_t after = STORE_PATH_HASH_CHARS + MARGIN, len = search->window.len;
  size_t until = is_end ? len : len > after ? len - after : 0;
  for (size_t i = 0; i < search->hits->count && until > search->scanned; i++) {
    char hash[STORE_PATH_HASH_CHARS];
    if (search->hits->found[i]) continue;
    store_path_format_hash(&search->hits->targets[i]->path, hash);
    Span rest = span_from(buf_span(&search->window), search->scanned);
    size_t at = span_find(rest, span_make(hash, sizeof(hash)));
    if (at != SIZE_MAX && search->scanned + at < until) note(search, i, search->scanned + at);
  }
  if (until < search->scanned + MARGIN) return;
  size_t drop = until - MARGIN;
  memmove(search->window.data, search->window.data + drop, len - drop);
  search->window.len = len - drop;
  search->scanned = MARGIN;
}

static bool search_put(void *ctx, Span data, Err *err) {
  Search *search = ctx;
  buf_put_span(&search->window, data);
  if (search->window.len >= SEARCH_BYTES) scan(search, false);
  return true;
}

static bool search_file(Store *store, const StoreResolved *file, Span name, Hits *hits, Err *err) {
  Search search = {.hits = hits, .name = name};
  memset(hits->found, 0, hits->count * sizeof(*hits->found));
  bool ok = store_resolve_stream(store, file, &(ByteSink){search_put, &search}, err);
  if (ok) scan(&search, true);
  buf_done(&search.window);
  return ok;
}

static void search_link(Span target, Span name, Hits *hits) {
  for (size_t i = 0; i < hits->count; i++) {
    char hash[STORE_PATH_HASH_CHARS];
    store_path_format_hash(&hits->targets[i]->path, hash);
    size_t at = span_find(target, span_make(hash, sizeof(hash)));
    if (at == SIZE_MAX) continue;
    buf_printf(&hits->lines[i], "%.*s -> %.*s", SPAN_ARG(name), (int)at, target.data);
    put_hash(hits, i, span_sub(target, at, sizeof(hash)), &hits->lines[i]);
    buf_put_span(&hits->lines[i], span_from(target, at + sizeof(hash)));
    buf_put_char(&hits->lines[i], 0);
  }
}

// `place` is "" or "/a/b".
static bool search_tree(Store *store, const StorePath *path, Buf *place, Hits *hits, Err *err) {
  StoreResolved node CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  StoreDirEntry *entries;
  size_t count, len = place->len;
  if (!store_resolve(store, path, buf_span(place), &node, err)) return false;
  Span name = len ? span_from(buf_span(place), 1) : SPAN("/");
  if (node.kind == CASTORE_FILE) return search_file(store, &node, name, hits, err);
  if (node.kind == CASTORE_SYMLINK) return search_link(node.target, name, hits), true;
  if (!store_resolve_list(store, &node, &arena, &entries, &count, err)) return false;
  for (size_t i = 0; i < count; i++) {
    buf_printf(place, "/%.*s", SPAN_ARG(entries[i].name));
    if (!search_tree(store, path, place, hits, err)) return false;
    place->len = len;
  }
  return true;
}

// ---- printing

typedef struct Why {
  Session *session;
  Store *store;
  Graph graph;
  Node *package, *dependency;
  bool all, precise, colour;
  Buf out;
} Why;

static void put_line(Why *why, Span pad, const char *branch, const Node *node, bool is_seen) {
  if (why->out.len > SEARCH_BYTES) {
    session_print(why->session, buf_span(&why->out));
    buf_clear(&why->out);
  }
  buf_printf(&why->out, "%.*s%s%s", SPAN_ARG(pad), why->colour && is_seen ? "\033[38;5;244m" : "", branch);
  store_path_format(&node->path, session_store_dir(why->session), &why->out);
  buf_printf(&why->out, "%s\n", why->colour ? "\033[0m" : "");
}

static void put_hits(Why *why, Span pad, const Buf *lines, bool is_last) {
  bool first = true;
  for (Span rest = buf_span(lines), line; span_split(&rest, 0, &line); first = false) {
    buf_printf(&why->out, "%.*s%s%.*s\n", SPAN_ARG(pad),
               first ? (is_last ? tree_last : tree_connection) : (is_last ? tree_nothing : tree_line), SPAN_ARG(line));
    if (!why->all) break;
  }
}

// Those references of a node that lead to the dependency, nearest first.
static size_t select_refs(Why *why, const Node *node, const Node **ret) {
  size_t count = 0;
  for (size_t i = 0; i < node->ref_count; i++) {
    const Node *ref = &why->graph.nodes[node->refs[i]];
    if (ref->distance == FAR_AWAY || (ref == node && why->package != why->dependency)) continue;
    size_t at = count++; // stable: nodes are sorted by path
    for (; at > 0 && ret[at - 1]->distance > ref->distance; at--) ret[at] = ret[at - 1];
    ret[at] = ref;
  }
  return count;
}

// *ret_done: the dependency was reached, and one way is enough.
static bool put_node(Why *why, Node *node, Span pad, bool *ret_done, Err *err);

static bool put_refs(Why *why, Node *node, Span pad, const Node *const *refs, size_t count, Hits *hits, bool *ret_done,
                     Err *err) {
  for (size_t i = 0; i < count && !*ret_done; i++) {
    bool is_last = !why->all || i + 1 == count;
    Buf below CLEANUP(buf_done) = BUF_INIT;
    Node *ref = &why->graph.nodes[refs[i] - why->graph.nodes];
    buf_printf(&below, "%.*s%s", SPAN_ARG(pad), is_last ? tree_nothing : tree_line);
    if (why->precise) {
      put_hits(why, pad, &hits->lines[i], is_last);
    } else {
      put_line(why, pad, is_last ? tree_last : tree_connection, ref, ref->visited);
      node->visited = true;
    }
    if (!put_node(why, ref, buf_span(&below), ret_done, err)) return false;
  }
  return true;
}

static bool put_node(Why *why, Node *node, Span pad, bool *ret_done, Err *err) {
  if (why->precise) put_line(why, pad, pad.len ? "→ " : "", node, node->visited);
  if (node == why->dependency && !why->all && why->package != why->dependency) return *ret_done = true;
  if (node->visited) return true;
  if (why->precise) node->visited = true;
  const Node **refs = mem_alloc_array(node->ref_count + 1, sizeof(*refs));
  Hits hits = {.targets = refs, .count = select_refs(why, node, refs), .colour = why->colour};
  hits.dependency = &why->dependency->path;
  hits.lines = mem_alloc_zero((hits.count + 1) * sizeof(*hits.lines));
  hits.found = mem_alloc_zero((hits.count + 1) * sizeof(*hits.found));
  Buf place CLEANUP(buf_done) = BUF_INIT;
  bool ok = !why->precise || search_tree(why->store, &node->path, &place, &hits, err);
  ok = ok && put_refs(why, node, pad, refs, hits.count, &hits, ret_done, err);
  for (size_t i = 0; i < hits.count; i++) buf_done(&hits.lines[i]);
  mem_free(hits.lines);
  mem_free(hits.found);
  mem_free(refs);
  return ok;
}

static bool show(Why *why, Err *err) {
  bool done = false;
  graph_measure(&why->graph, why->dependency);
  if (!why->precise) put_line(why, SPAN(""), "", why->package, false);
  return put_node(why, why->package, SPAN(""), &done, err);
}

int why_command_depends(Session *session) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  Why why = {.session = session,
             .graph = {.arena = ARENA_INIT},
             .all = option_has(list, OPT_why_all),
             .precise = option_has(list, OPT_why_precise),
             .colour = session->progress.colour};
  StorePath package, dependency;
  int code = 0;
  if (!store_command_operands(session, 2, 2, &err) || !session_store(session, &why.store, &err))
    return session_fail(session, &err);
  StoreView *view = store_view_of(why.store);
  bool ok = path_selector_one(session, view, list->operands[0], PATH_SELECTOR_BUILD, &package, &code) &&
            path_selector_one(session, view, list->operands[1], PATH_SELECTOR_KNOWN, &dependency, &code);
  ok = ok && graph_load(view, &package, &why.graph, &err);
  why.package = ok ? graph_find(&why.graph, &package) : NULL;
  why.dependency = ok ? graph_find(&why.graph, &dependency) : NULL;
  if (ok && why.dependency) {
    ok = show(&why, &err);
    if (ok) session_print(session, buf_span(&why.out));
  } else if (ok) {
    buf_printf(&why.out, "'%s' does not depend on '%s'\n", list->operands[0], list->operands[1]);
    progress_write(&session->progress, buf_span(&why.out));
  }
  buf_done(&why.out);
  arena_done(&why.graph.arena);
  store_view_free(view);
  return ok ? 0 : code ? code : session_fail(session, &err);
}

// ---- what keeps a path

static void put_chain(Session *session, const Buf *root, const StorePathList *chain, Buf *out) {
  buf_printf(out, "%.*s\n", SPAN_ARG(buf_span(root)));
  for (size_t i = 0; i < chain->count; i++) {
    for (size_t k = 0; k < i; k++) buf_put_cstr(out, tree_nothing);
    buf_put_cstr(out, tree_last);
    store_path_format(&chain->paths[i], session_store_dir(session), out);
    buf_put_char(out, '\n');
  }
}

static bool put_chain_json(Session *session, const StorePath *path, bool alive, const Buf *root,
                           const StorePathList *chain, JsonWrite *json, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, session_store_dir(session), &text);
  if (!json_write_key(json, buf_span(&text), err)) return false;
  if (!alive) return json_write_null(json), true;
  json_write_object_begin(json);
  if (!json_write_key(json, SPAN("chain"), err)) return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < chain->count; i++) {
    buf_clear(&text);
    store_path_format(&chain->paths[i], session_store_dir(session), &text);
    if (!json_write_str(json, buf_span(&text), err)) return false;
  }
  json_write_array_end(json);
  if (!json_write_key(json, SPAN("root"), err) || !json_write_str(json, buf_span(root), err)) return false;
  json_write_object_end(json);
  return true;
}

static bool explain(Session *session, Store *store, const char *operand, JsonWrite *json, Buf *out, bool *all_alive,
                    Err *err) {
  Buf root CLEANUP(buf_done) = BUF_INIT;
  StorePathList chain = STORE_PATH_LIST_INIT;
  StorePath path;
  bool alive = false;
  bool ok =
      store_command_path(session, operand, &path, err) && store_gc_why_alive(store, &path, &root, &chain, &alive, err);
  *all_alive = *all_alive && alive;
  if (ok && json) ok = put_chain_json(session, &path, alive, &root, &chain, json, err);
  else if (ok && alive) put_chain(session, &root, &chain, out);
  else if (ok) buf_printf(out, "nothing keeps '%s'\n", operand);
  store_path_list_done(&chain);
  return ok;
}

int why_command_alive(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  JsonWrite json;
  bool as_json = option_has(&session->options, OPT_json), all_alive = true;
  if (!store_command_operands(session, 1, SIZE_MAX, &err) || !session_store(session, &store, &err))
    return session_fail(session, &err);
  json_write_init(&json, &out, 0);
  if (as_json) json_write_object_begin(&json);
  for (size_t i = 0; i < session->options.operand_count; i++)
    if (!explain(session, store, session->options.operands[i], as_json ? &json : NULL, &out, &all_alive, &err))
      return session_fail(session, &err);
  if (as_json) {
    json_write_object_end(&json);
    buf_put_char(&out, '\n');
  }
  session_print(session, buf_span(&out));
  return all_alive ? 0 : 1;
}
