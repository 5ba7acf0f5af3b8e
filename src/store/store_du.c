// store_du.c: each path, and then each blob, gets an owner: no root, one root, or several.
#include "store/store_du.h"

#include <stdlib.h>

#include "store/path_db_graph.h"
#include "store/store_state.h"

#define STORE_DU_NOBODY 0u
#define STORE_DU_SEVERAL UINT32_MAX

typedef struct StoreDuRun {
  Store *store;
  StoreDu *result;
  PathDbGraph graph;
  Map index;         // digest of a path -> number + 1
  uint32_t *owners;  // of paths: STORE_DU_NOBODY, number of a root + 1, or STORE_DU_SEVERAL
  uint32_t *seen_by; // of paths: number + 1 of the root whose walk has seen it last
  uint32_t *stack;   // scratch
  Map blobs;         // digest -> owner + 1 of those seen
  Map directories;   // the same
} StoreDuRun;

void store_du_done(StoreDu *du) {
  for (size_t i = 0; i < du->count; i++) mem_free(du->roots[i].source);
  mem_free(du->roots);
  *du = (StoreDu)STORE_DU_INIT;
}

static uint32_t store_du_join(uint32_t a, uint32_t b) {
  if (a == STORE_DU_NOBODY || a == b) return b;
  return b == STORE_DU_NOBODY ? a : STORE_DU_SEVERAL;
}

static void store_du_walk_root(StoreDuRun *run, uint32_t root, uint32_t start) {
  const PathDbGraph *graph = &run->graph;
  StoreDuRoot *result = &run->result->roots[root];
  size_t depth = 0;
  run->stack[depth++] = start;
  run->seen_by[start] = root + 1;
  while (depth > 0) {
    uint32_t node = run->stack[--depth];
    run->owners[node] = store_du_join(run->owners[node], root + 1);
    result->path_count += graph->valid[node];
    result->closure_bytes += graph->valid[node] ? graph->nar_sizes[node] : 0;
    for (size_t r = graph->ref_start[node]; r < graph->ref_start[node + 1]; r++) {
      if (run->seen_by[graph->refs[r]] == root + 1) continue;
      run->seen_by[graph->refs[r]] = root + 1;
      run->stack[depth++] = graph->refs[r];
    }
  }
}

// Roots by several names for one path are several roots: removing one of them frees nothing.
static bool store_du_walk_roots(StoreDuRun *run, bool processes, Err *err) {
  StoreRootList roots = STORE_ROOT_LIST_INIT;
  StoreDu *result = run->result;
  bool ok = store_roots_list(run->store, processes, &roots, err);
  for (size_t i = 0; ok && i < roots.count; i++) {
    const StoreRoot *root = &roots.roots[i];
    uint32_t number =
        (uint32_t)(uintptr_t)map_get(&run->index, span_make(root->path.digest, sizeof(root->path.digest)));
    // Our own pins, of this very question, keep nothing.
    if (number == 0 || (root->kind == STORE_ROOT_TEMP && temp_roots_has(run->store->temp_roots, &root->path))) continue;
    MEM_RESERVE(result->roots, result->cap, result->count + 1);
    result->roots[result->count++] = (StoreDuRoot){.source = span_dup(span_cstr(root->source)), .path = root->path};
    store_du_walk_root(run, (uint32_t)result->count - 1, number - 1);
  }
  store_roots_list_done(&roots);
  return ok;
}

static uint64_t *store_du_account(StoreDuRun *run, uint32_t owner) {
  if (owner == STORE_DU_NOBODY) return &run->result->dead_bytes;
  if (owner == STORE_DU_SEVERAL) return &run->result->shared_bytes;
  return &run->result->roots[owner - 1].own_bytes;
}

static Span store_du_key(const CastoreDigest *digest) {
  return span_make(digest->bytes, sizeof(digest->bytes));
}

// Moves the blob from its former owner's account to where it belongs now that `owner` has it too.
static void store_du_blob(StoreDuRun *run, const CastoreNode *node, uint32_t owner) {
  uintptr_t known = (uintptr_t)map_get(&run->blobs, store_du_key(&node->digest));
  uint32_t former = known ? (uint32_t)(known - 1) : STORE_DU_NOBODY, now = store_du_join(former, owner);
  if (known && now == former) return;
  if (known) *store_du_account(run, former) -= node->size;
  else run->result->total_bytes += node->size;
  *store_du_account(run, now) += node->size;
  map_set(&run->blobs, store_du_key(&node->digest), (void *)((uintptr_t)now + 1));
}

static bool store_du_directory(StoreDuRun *run, const CastoreDigest *digest, uint32_t owner, Buf *stack, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  bool found;
  uintptr_t known = (uintptr_t)map_get(&run->directories, store_du_key(digest));
  uint32_t former = known ? (uint32_t)(known - 1) : STORE_DU_NOBODY, now = store_du_join(former, owner);
  if (known && now == former) return true; // so is everything below it
  map_set(&run->directories, store_du_key(digest), (void *)((uintptr_t)now + 1));
  if (!directory_service_get(run->store->castore.directories, digest, &arena, &directory, &found, err)) return false;
  for (size_t i = 0; found && i < directory.count; i++) {
    const CastoreNode *entry = &directory.entries[i];
    if (entry->kind == CASTORE_FILE) store_du_blob(run, entry, owner);
    else if (entry->kind == CASTORE_DIRECTORY) buf_put(stack, &entry->digest, sizeof(entry->digest));
  }
  return true;
}

static bool store_du_content(StoreDuRun *run, size_t number, Err *err) {
  const CastoreNode *root = &run->graph.roots[number];
  uint32_t owner = run->owners[number];
  CLEANUP(buf_done) Buf stack = BUF_INIT;
  if (root->kind == CASTORE_FILE) store_du_blob(run, root, owner);
  if (root->kind != CASTORE_DIRECTORY) return true;
  buf_put(&stack, &root->digest, sizeof(root->digest));
  while (stack.len > 0) {
    CastoreDigest digest;
    stack.len -= sizeof(digest);
    memcpy(&digest, stack.data + stack.len, sizeof(digest));
    if (!store_du_directory(run, &digest, owner, &stack, err)) return false;
  }
  return true;
}

static bool store_du_load(StoreDuRun *run, Err *err) {
  PathDbGraph *graph = &run->graph;
  if (!path_db_graph(run->store->db, graph, err)) return false;
  run->owners = mem_alloc_zero((graph->count + 1) * sizeof(*run->owners));
  run->seen_by = mem_alloc_zero((graph->count + 1) * sizeof(*run->seen_by));
  run->stack = mem_alloc_array(graph->count + 1, sizeof(*run->stack));
  for (size_t i = 0; i < graph->count; i++)
    map_set(&run->index, span_make(graph->paths[i].digest, STORE_PATH_DIGEST_BYTES), (void *)(uintptr_t)(i + 1));
  return true;
}

static int store_du_cmp(const void *a, const void *b) {
  const StoreDuRoot *x = a, *y = b;
  if (x->own_bytes != y->own_bytes) return x->own_bytes > y->own_bytes ? -1 : 1;
  if (x->closure_bytes != y->closure_bytes) return x->closure_bytes > y->closure_bytes ? -1 : 1;
  return strcmp(x->source, y->source);
}

bool store_du_run(Store *store, bool processes, StoreDu *ret, Err *err) {
  StoreDuRun run = {.store = store, .result = ret, .graph = {.arena = ARENA_INIT}};
  *ret = (StoreDu)STORE_DU_INIT;
  if (!store->db) return true;
  bool ok = store_flush(store, err) && store_du_load(&run, err) && store_du_walk_roots(&run, processes, err);
  for (size_t i = 0; ok && i < run.graph.count; i++) {
    uint32_t owner = run.owners[i];
    if (!run.graph.valid[i]) continue;
    if (owner != STORE_DU_NOBODY && owner != STORE_DU_SEVERAL) ret->roots[owner - 1].own_path_count++;
    if (run.graph.has_root[i]) ok = store_du_content(&run, i, err);
  }
  if (ok && ret->count > 1) qsort(ret->roots, ret->count, sizeof(*ret->roots), store_du_cmp);
  path_db_graph_done(&run.graph);
  map_done(&run.index);
  map_done(&run.blobs);
  map_done(&run.directories);
  mem_free(run.owners);
  mem_free(run.seen_by);
  mem_free(run.stack);
  if (!ok) store_du_done(ret);
  return ok || err_wrap(err, "measuring the store at '%s'", store->root);
}
