// store_graph.c: see store_graph.h. Behaviour: Nix 2.26, nix-store.cc (printTree) and dotgraph.cc.
#include "cli/store_graph.h"

#include "base/map.h"
#include "base/mem.h"

typedef struct Tree {
  Store *store;
  Map records; // digest -> PathInfoRecord *, owned
  Map done;
  Buf pad;
  Buf *out;
} Tree;

static Span key(const StorePath *path) {
  return span_make(path->digest, sizeof(path->digest));
}

static bool find_record(Tree *tree, const StorePath *path, const PathInfoRecord **ret, Err *err) {
  PathInfoRecord *record = map_get(&tree->records, key(path));
  if (!record) {
    if (!store_get(tree->store, path, &record, err)) return false;
    map_set(&tree->records, key(path), record);
  }
  *ret = record;
  return true;
}

// The references of one path on their way into order: what they use before them, as far as it is among them.
typedef struct Sorting {
  Tree *tree;
  const PathInfo *info;
  Map visited;
  StorePath *sorted;
  size_t count;
} Sorting;

static bool visit_ref(Sorting *sorting, const StorePath *ref, Err *err) {
  const PathInfoRecord *record;
  if (map_has(&sorting->visited, key(ref))) return true;
  map_set(&sorting->visited, key(ref), NULL);
  if (!find_record(sorting->tree, ref, &record, err)) return false;
  for (size_t i = 0; i < sorting->info->ref_count; i++)
    for (size_t j = 0; j < record->info.ref_count; j++)
      if (store_path_eq(&sorting->info->refs[i], &record->info.refs[j]) &&
          !visit_ref(sorting, &sorting->info->refs[i], err))
        return false;
  sorting->sorted[sorting->count++] = *ref;
  return true;
}

static bool sort_refs(Tree *tree, const PathInfo *info, StorePath *ret, Err *err) {
  Sorting sorting = {.tree = tree, .info = info, .visited = MAP_INIT, .sorted = ret};
  bool ok = true;
  for (size_t i = 0; ok && i < info->ref_count; i++) ok = visit_ref(&sorting, &info->refs[i], err);
  map_done(&sorting.visited);
  return ok;
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
  const PathInfoRecord *record;
  if (!find_record(tree, path, &record, err)) return false;
  ret_level->count = record->info.ref_count;
  ret_level->refs = mem_alloc_array(ret_level->count + 1, sizeof(StorePath));
  return sort_refs(tree, &record->info, ret_level->refs, err);
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
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) ok = print_tree(&tree, &roots[i], err);
  for (MapEntry *entry = map_first(&tree.records); entry; entry = map_next(&tree.records, entry))
    path_info_service_record_free(entry->value);
  map_done(&tree.records);
  map_done(&tree.done);
  buf_done(&tree.pad);
  return ok;
}

// ---- graphs

typedef void (*GraphNodeFn)(const PathInfo *info, Buf *out);
typedef void (*GraphEdgeFn)(const StorePath *from, const StorePath *to, size_t number, Buf *out);

// A set of paths from which the first in order is taken: a heap, whose repetitions are passed over when they come up.
static void put_work(StorePathList *heap, const StorePath *path) {
  store_path_list_add(heap, path);
  for (size_t at = heap->count - 1; at > 0;) {
    size_t up = (at - 1) / 2;
    if (store_path_cmp(&heap->paths[up], &heap->paths[at]) <= 0) break;
    StorePath swap = heap->paths[up];
    heap->paths[up] = heap->paths[at];
    heap->paths[at] = swap;
    at = up;
  }
}

static StorePath take_work(StorePathList *heap) {
  StorePath first = heap->paths[0];
  heap->paths[0] = heap->paths[--heap->count];
  for (size_t at = 0;;) {
    size_t least = at;
    for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++)
      if (store_path_cmp(&heap->paths[child], &heap->paths[least]) < 0) least = child;
    if (least == at) return first;
    StorePath swap = heap->paths[least];
    heap->paths[least] = heap->paths[at];
    heap->paths[at] = swap;
    at = least;
  }
}

static bool put_graph(Store *store, const StorePath *roots, size_t count, GraphNodeFn put_node, GraphEdgeFn put_edge,
                      Buf *out, Err *err) {
  StorePathList work = STORE_PATH_LIST_INIT;
  Map done = MAP_INIT;
  size_t edge = 0;
  bool ok = true;
  for (size_t i = 0; i < count; i++) put_work(&work, &roots[i]);
  while (ok && work.count > 0) {
    StorePath path = take_work(&work);
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    if (map_has(&done, key(&path))) continue;
    map_set(&done, key(&path), NULL);
    if (!(ok = store_get(store, &path, &record, err))) break;
    put_node(&record->info, out);
    for (size_t i = 0; i < record->info.ref_count; i++) {
      const StorePath *ref = &record->info.refs[i];
      if (store_path_eq(ref, &path)) continue;
      put_work(&work, ref);
      put_edge(&path, ref, edge++, out);
    }
  }
  store_path_list_done(&work);
  map_done(&done);
  return ok;
}

static void put_dot_node(const PathInfo *info, Buf *out) {
  buf_put_char(out, '"');
  store_path_format_base(&info->path, out);
  buf_printf(out, "\" [label = \"%.*s\", shape = box, style = filled, fillcolor = \"#ff0000\"];\n",
             SPAN_ARG(store_path_name(&info->path)));
}

static void put_dot_edge(const StorePath *from, const StorePath *to, size_t number, Buf *out) {
  static const char *const colours[] = {"black", "red", "green", "blue", "magenta", "burlywood"};
  buf_put_char(out, '"');
  store_path_format_base(to, out);
  buf_put_cstr(out, "\" -> \"");
  store_path_format_base(from, out);
  buf_printf(out, "\" [color = \"%s\"];\n", colours[number % ARRAY_LEN(colours)]);
}

bool store_graph_dot(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err) {
  buf_put_cstr(out, "digraph G {\n");
  if (!put_graph(store, roots, count, put_dot_node, put_dot_edge, out, err)) return false;
  buf_put_cstr(out, "}\n");
  return true;
}

// The name up to its first '-', that is, nothing where there is none: so C++ Nix has it.
static void put_xml_node(const PathInfo *info, Buf *out) {
  Span name = store_path_name(&info->path);
  size_t dash = span_find_char(name, '-');
  buf_put_cstr(out, "  <node id=\"");
  store_path_format_base(&info->path, out);
  buf_printf(out,
             "\">\n    <data key=\"narSize\">%llu</data>\n    <data key=\"name\">%.*s</data>\n    <data "
             "key=\"type\">%s</data>\n  </node>\n",
             (unsigned long long)info->nar_size_bytes, dash == SIZE_MAX ? 0 : (int)dash + 1, name.data,
             store_path_is_derivation(&info->path) ? "derivation" : "output-path");
}

static void put_xml_edge(const StorePath *from, const StorePath *to, size_t number UNUSED, Buf *out) {
  buf_put_cstr(out, "  <edge source=\"");
  store_path_format_base(from, out);
  buf_put_cstr(out, "\" target=\"");
  store_path_format_base(to, out);
  buf_put_cstr(out, "\"/>\n");
}

bool store_graph_xml(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err) {
  buf_put_cstr(out, "<?xml version='1.0' encoding='utf-8'?>\n"
                    "<graphml xmlns='http://graphml.graphdrawing.org/xmlns'\n"
                    "    xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'\n"
                    "    xsi:schemaLocation='http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd'>\n"
                    "<key id='narSize' for='node' attr.name='narSize' attr.type='long'/>"
                    "<key id='name' for='node' attr.name='name' attr.type='string'/>"
                    "<key id='type' for='node' attr.name='type' attr.type='string'/>"
                    "<graph id='G' edgedefault='directed'>\n");
  if (!put_graph(store, roots, count, put_xml_node, put_xml_edge, out, err)) return false;
  buf_put_cstr(out, "</graph>\n</graphml>\n");
  return true;
}
