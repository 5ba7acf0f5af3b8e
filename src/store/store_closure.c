// store_closure.c: closures: one recursive query per layer; outputs and derivers are added in rounds.
#include <stdlib.h>

#include "store/store_state.h"

#include "store/path_db_graph.h"

static bool store_closure_round(Store *store, const StorePath *roots, size_t count, bool referrers, StorePathList *ret,
                                uint64_t *ret_nar_bytes, Err *err) {
  StorePathList lower_roots = STORE_PATH_LIST_INIT;
  LocalNix *lower;
  bool ok =
      (!store->db || path_db_closure(store->db, roots, count, referrers, ret, &lower_roots, ret_nar_bytes, err)) &&
      store_state_lower(store, &lower, err);
  if (ok && lower) {
    // Roots that are lower themselves are not in our database at all; names in it continue below.
    for (size_t i = 0; i < count; i++) store_path_list_add(&lower_roots, &roots[i]);
    store_path_list_sort(&lower_roots);
    ok = local_nix_closure(lower, lower_roots.paths, lower_roots.count, referrers, ret, ret_nar_bytes, err);
  } else if (ok && lower_roots.count > 0) {
    ok = store_state_invalid(store, &lower_roots.paths[0], err);
  }
  store_path_list_done(&lower_roots);
  if (ok) store_path_list_sort(ret);
  return ok;
}

static bool store_closure_has(const StorePathList *list, const StorePath *path) {
  size_t lo = 0, hi = list->count;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    int c = store_path_cmp(&list->paths[mid], path);
    if (c == 0) return true;
    if (c < 0) lo = mid + 1;
    else hi = mid;
  }
  return false;
}

// Valid outputs of derivations and valid derivers that the closure lacks.
static bool store_closure_more(Store *store, const StorePathList *closure, const StoreClosureOptions *options,
                               StorePathList *ret, Err *err) {
  StorePathList candidates = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < closure->count; i++) {
    const StorePath *path = &closure->paths[i];
    if (options->include_outputs && store_path_is_derivation(path)) ok = store_outputs(store, path, &candidates, err);
    if (ok && options->include_derivers) ok = store_derivers(store, path, &candidates, err);
  }
  for (size_t i = 0; ok && i < candidates.count; i++) {
    bool valid;
    if (store_closure_has(closure, &candidates.paths[i])) continue;
    ok = store_is_valid(store, &candidates.paths[i], &valid, err);
    if (ok && valid) store_path_list_add(ret, &candidates.paths[i]);
  }
  store_path_list_done(&candidates);
  return ok;
}

// ---- topological order

// References within a sorted list, by numbers in it.
typedef struct StoreClosureEdges {
  const StorePathList *list;
  Map index;   // digest -> number + 1
  bool *known; // its references were found
  struct StoreClosureEdge {
    uint32_t from, to;
  } * edges;
  size_t count, cap;
} StoreClosureEdges;

static uint32_t store_closure_number(const StoreClosureEdges *edges, const void *digest) {
  return (uint32_t)(uintptr_t)map_get(&edges->index, span_make(digest, STORE_PATH_DIGEST_BYTES));
}

static void store_closure_on_reference(void *ctx, Span referrer, const uint8_t *reference) {
  StoreClosureEdges *edges = ctx;
  uint32_t from = store_closure_number(edges, referrer.data);
  uint32_t to = reference ? store_closure_number(edges, reference) : 0;
  if (from > 0) edges->known[from - 1] = true;
  if (from == 0 || to == 0) return;
  MEM_RESERVE(edges->edges, edges->cap, edges->count + 1);
  edges->edges[edges->count++] = (struct StoreClosureEdge){from - 1, to - 1};
}

static int store_closure_edge_cmp(const void *a, const void *b) {
  const struct StoreClosureEdge *x = a, *y = b;
  if (x->from != y->from) return x->from < y->from ? -1 : 1;
  return x->to < y->to ? -1 : x->to > y->to;
}

static bool store_closure_load_edges(Store *store, StoreClosureEdges *edges, Err *err) {
  const StorePathList *list = edges->list;
  for (size_t i = 0; i < list->count; i++)
    map_set(&edges->index, span_make(list->paths[i].digest, STORE_PATH_DIGEST_BYTES), (void *)(uintptr_t)(i + 1));
  if (store->db && !path_db_references(store->db, list->paths, list->count, store_closure_on_reference, edges, err))
    return false;
  for (size_t i = 0; i < list->count; i++) { // the lower store's
    if (edges->known[i]) continue;
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
    if (!store_get(store, &list->paths[i], &record, err)) return false;
    for (size_t k = 0; k < record->info.ref_count; k++)
      store_closure_on_reference(edges, span_make(list->paths[i].digest, STORE_PATH_DIGEST_BYTES),
                                 record->info.refs[k].digest);
  }
  if (edges->count > 1) qsort(edges->edges, edges->count, sizeof(*edges->edges), store_closure_edge_cmp);
  return true;
}

// Depth first, references before referrers, siblings in their order.
static void store_closure_walk(const StoreClosureEdges *edges, StorePathList *ret) {
  size_t count = edges->list->count, depth = 0;
  size_t *next = mem_alloc_array(count + 1, sizeof(*next)); // by number: the next edge to follow
  bool *seen = mem_alloc_zero(count + 1);
  uint32_t *stack = mem_alloc_array(count + 1, sizeof(*stack));
  size_t edge = 0;
  for (size_t i = 0; i < count; i++) {
    next[i] = edge;
    while (edge < edges->count && edges->edges[edge].from == i) edge++;
  }
  for (size_t i = 0; i < count; i++) {
    if (seen[i]) continue;
    seen[i] = true;
    stack[depth++] = (uint32_t)i;
    while (depth > 0) {
      uint32_t top = stack[depth - 1];
      size_t at = next[top];
      if (at < edges->count && edges->edges[at].from == top) {
        uint32_t to = edges->edges[at].to;
        next[top]++;
        if (seen[to]) continue;
        seen[to] = true;
        stack[depth++] = to;
        continue;
      }
      store_path_list_add(ret, &edges->list->paths[top]);
      depth--;
    }
  }
  mem_free(next);
  mem_free(seen);
  mem_free(stack);
}

static bool store_closure_order(Store *store, StorePathList *list, Err *err) {
  StorePathList ordered = STORE_PATH_LIST_INIT;
  StoreClosureEdges edges = {.list = list, .index = MAP_INIT, .known = mem_alloc_zero(list->count + 1)};
  bool ok = store_closure_load_edges(store, &edges, err);
  if (ok) store_closure_walk(&edges, &ordered);
  map_done(&edges.index);
  mem_free(edges.known);
  mem_free(edges.edges);
  if (ok) {
    StorePathList old = *list;
    *list = ordered;
    ordered = old;
  }
  store_path_list_done(&ordered);
  return ok;
}

bool store_closure(Store *store, const StorePath *roots, size_t root_count, const StoreClosureOptions *options,
                   StorePathList *ret, Err *err) {
  static const StoreClosureOptions defaults = {0};
  if (!options) options = &defaults;
  if (!store_flush(store, err)) return false;
  for (size_t i = 0; i < root_count; i++) {
    bool valid;
    if (!store_is_valid(store, &roots[i], &valid, err)) return false;
    if (!valid) return store_state_invalid(store, &roots[i], err);
  }
  bool ok = store_closure_round(store, roots, root_count, options->referrers, ret, NULL, err);
  while (ok && (options->include_outputs || options->include_derivers)) {
    StorePathList more = STORE_PATH_LIST_INIT;
    ok = store_closure_more(store, ret, options, &more, err);
    bool done = more.count == 0;
    if (ok && !done) ok = store_closure_round(store, more.paths, more.count, options->referrers, ret, NULL, err);
    store_path_list_done(&more);
    if (done) break;
  }
  return ok && (!options->topological || store_closure_order(store, ret, err));
}

bool store_closure_size(Store *store, const StorePath *root, uint64_t *ret_nar_bytes, size_t *ret_count, Err *err) {
  StorePathList list = STORE_PATH_LIST_INIT;
  bool valid;
  *ret_nar_bytes = 0;
  bool ok = store_flush(store, err) && store_is_valid(store, root, &valid, err) &&
            (valid || store_state_invalid(store, root, err)) &&
            store_closure_round(store, root, 1, false, &list, ret_nar_bytes, err);
  *ret_count = list.count;
  store_path_list_done(&list);
  return ok;
}

// ---- sizes of many closures

#define STORE_CLOSURE_BLOCK_WORDS 64u
#define STORE_CLOSURE_BLOCK_BITS (STORE_CLOSURE_BLOCK_WORDS * 64u)

// Paths in topological order, so that references have smaller numbers.
typedef struct StoreClosureGraph {
  StorePathList paths;
  Map index; // digest -> number + 1
  uint64_t *nar_bytes;
  size_t *ref_start; // count + 1
  uint32_t *refs;
  uint64_t *sums;
} StoreClosureGraph;

static void store_closure_graph_done(StoreClosureGraph *graph) {
  store_path_list_done(&graph->paths);
  map_done(&graph->index);
  mem_free(graph->nar_bytes);
  mem_free(graph->ref_start);
  mem_free(graph->refs);
  mem_free(graph->sums);
}

static bool store_closure_graph_load(Store *store, const StorePath *paths, size_t count, StoreClosureGraph *graph,
                                     Err *err) {
  if (!store_closure(store, paths, count, &(StoreClosureOptions){.topological = true}, &graph->paths, err))
    return false;
  size_t total = graph->paths.count, ref_count = 0, ref_cap = 0;
  graph->nar_bytes = mem_alloc_array(total + 1, sizeof(*graph->nar_bytes));
  graph->ref_start = mem_alloc_array(total + 1, sizeof(*graph->ref_start));
  graph->sums = mem_alloc_zero((total + 1) * sizeof(*graph->sums));
  for (size_t i = 0; i < total; i++) {
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
    if (!store_get(store, &graph->paths.paths[i], &record, err)) return false;
    graph->nar_bytes[i] = record->info.nar_size_bytes;
    graph->ref_start[i] = ref_count;
    for (size_t r = 0; r < record->info.ref_count; r++) {
      uintptr_t number =
          (uintptr_t)map_get(&graph->index, span_make(record->info.refs[r].digest, STORE_PATH_DIGEST_BYTES));
      if (number == 0) continue; // itself, or a cycle between outputs, which the order breaks
      MEM_RESERVE(graph->refs, ref_cap, ref_count + 1);
      graph->refs[ref_count++] = (uint32_t)(number - 1);
    }
    map_set(&graph->index, span_make(graph->paths.paths[i].digest, STORE_PATH_DIGEST_BYTES),
            (void *)(uintptr_t)(i + 1));
  }
  graph->ref_start[total] = ref_count;
  return true;
}

// Who reaches the paths [first, first + STORE_CLOSURE_BLOCK_BITS)? Only paths from `first` on can.
static void store_closure_add_block(StoreClosureGraph *graph, size_t first,
                                    uint64_t (*rows)[STORE_CLOSURE_BLOCK_WORDS]) {
  size_t total = graph->paths.count;
  for (size_t i = first; i < total; i++) {
    uint64_t *row = rows[i - first];
    memset(row, 0, sizeof(rows[0]));
    for (size_t r = graph->ref_start[i]; r < graph->ref_start[i + 1]; r++) {
      if (graph->refs[r] < first) continue;
      const uint64_t *other = rows[graph->refs[r] - first];
      for (size_t w = 0; w < STORE_CLOSURE_BLOCK_WORDS; w++) row[w] |= other[w];
    }
    if (i - first < STORE_CLOSURE_BLOCK_BITS) row[(i - first) / 64] |= UINT64_C(1) << ((i - first) % 64);
    for (size_t w = 0; w < STORE_CLOSURE_BLOCK_WORDS; w++)
      for (uint64_t bits = row[w]; bits; bits &= bits - 1)
        graph->sums[i] += graph->nar_bytes[first + w * 64 + (size_t)__builtin_ctzll(bits)];
  }
}

bool store_closure_sizes(Store *store, const StorePath *paths, size_t count, uint64_t *ret_nar_bytes, Err *err) {
  StoreClosureGraph graph = {.paths = STORE_PATH_LIST_INIT, .index = MAP_INIT};
  bool ok = store_closure_graph_load(store, paths, count, &graph, err);
  if (ok) {
    uint64_t(*rows)[STORE_CLOSURE_BLOCK_WORDS] = mem_alloc_array(graph.paths.count + 1, sizeof(*rows));
    for (size_t first = 0; first < graph.paths.count; first += STORE_CLOSURE_BLOCK_BITS)
      store_closure_add_block(&graph, first, rows);
    mem_free(rows);
    for (size_t i = 0; i < count; i++) {
      uintptr_t number = (uintptr_t)map_get(&graph.index, span_make(paths[i].digest, STORE_PATH_DIGEST_BYTES));
      ret_nar_bytes[i] = number ? graph.sums[number - 1] : 0;
    }
  }
  store_closure_graph_done(&graph);
  return ok;
}
