// store_gc.c: mark in memory, delete in slices: rows first; then one wait for the disk; then trees, and at last objects.
#include "store/store_gc.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/digest_set.h"
#include "castore/object_sweep.h"
#include "store/path_db_graph.h"
#include "store/store_lock.h"
#include "store/store_roots.h"
#include "store/store_state.h"

// Paths deleted per slice, that is, per moment in which nobody can pin or register.
#define STORE_GC_SLICE_PATHS 256u

typedef struct StoreGc {
  Store *store;
  const StoreGcOptions *options;
  StoreGcResult *result;
  PathDbGraph graph;
  Map index; // digest -> number + 1
  bool *live;
  uint32_t *parent;      // number + 1 of who marked it; 0: a root
  uint32_t *outputs_of;  // by number of a derivation: first output + 1
  uint32_t *next_output; // further outputs of the same derivation
  uint32_t *stack;       // scratch
  int64_t last_id;       // newest row that is known
  Map newer;             // digests of rows that are newer than the graph, up to `newest_id`
  int64_t newest_id;
  DigestSet objects; // live ones
  Buf trash;         // scratch names to remove, NUL-terminated
} StoreGc;

void store_gc_result_done(StoreGcResult *result) {
  store_path_list_done(&result->paths);
}

static uint32_t store_gc_number(const StoreGc *gc, const StorePath *path) {
  return (uint32_t)(uintptr_t)map_get(&gc->index, span_make(path->digest, sizeof(path->digest)));
}

static void store_gc_push(StoreGc *gc, size_t *depth, uint32_t number, uint32_t parent) {
  if (gc->live[number]) return;
  gc->live[number] = true;
  gc->parent[number] = parent;
  gc->stack[(*depth)++] = number; // each node is pushed once, so the stack has room
}

// Marks everything that `number` keeps.
static void store_gc_mark(StoreGc *gc, uint32_t number) {
  const PathDbGraph *graph = &gc->graph;
  size_t depth = 0;
  store_gc_push(gc, &depth, number, 0);
  while (depth > 0) {
    uint32_t node = gc->stack[--depth];
    for (size_t r = graph->ref_start[node]; r < graph->ref_start[node + 1]; r++)
      store_gc_push(gc, &depth, graph->refs[r], node + 1);
    if (gc->options->keep_derivations && graph->derivers[node].name_len > 0) {
      uint32_t deriver = store_gc_number(gc, &graph->derivers[node]);
      if (deriver > 0 && graph->valid[deriver - 1]) store_gc_push(gc, &depth, deriver - 1, node + 1);
    }
    if (gc->options->keep_outputs)
      for (uint32_t output = gc->outputs_of[node]; output > 0; output = gc->next_output[output - 1])
        store_gc_push(gc, &depth, output - 1, node + 1);
  }
}

static bool store_gc_load(StoreGc *gc, Err *err) {
  PathDbGraph *graph = &gc->graph;
  if (!path_db_graph(gc->store->db, graph, err)) return false;
  size_t count = graph->count ? graph->count : 1;
  gc->live = mem_alloc_zero(count * sizeof(*gc->live));
  gc->parent = mem_alloc_zero(count * sizeof(*gc->parent));
  gc->outputs_of = mem_alloc_zero(count * sizeof(*gc->outputs_of));
  gc->next_output = mem_alloc_zero(count * sizeof(*gc->next_output));
  gc->stack = mem_alloc_array(count, sizeof(*gc->stack));
  for (size_t i = 0; i < graph->count; i++)
    map_set(&gc->index, span_make(graph->paths[i].digest, STORE_PATH_DIGEST_BYTES), (void *)(uintptr_t)(i + 1));
  for (size_t i = 0; i < graph->count; i++) {
    uint32_t deriver = graph->derivers[i].name_len > 0 ? store_gc_number(gc, &graph->derivers[i]) : 0;
    if (deriver == 0) continue;
    gc->next_output[i] = gc->outputs_of[deriver - 1];
    gc->outputs_of[deriver - 1] = (uint32_t)i + 1;
  }
  gc->last_id = gc->newest_id = graph->count > 0 ? graph->ids[graph->count - 1] : 0;
  return true;
}

static void store_gc_done(StoreGc *gc) {
  path_db_graph_done(&gc->graph);
  map_done(&gc->index);
  map_done(&gc->newer);
  mem_free(gc->live);
  mem_free(gc->parent);
  mem_free(gc->outputs_of);
  mem_free(gc->next_output);
  mem_free(gc->stack);
  digest_set_done(&gc->objects);
  buf_done(&gc->trash);
}

static bool store_gc_mark_roots(StoreGc *gc, bool processes, Err *err) {
  StoreRootList roots = STORE_ROOT_LIST_INIT;
  bool ok = store_roots_list(gc->store, processes, &roots, err);
  for (size_t i = 0; ok && i < roots.count; i++) {
    uint32_t number = store_gc_number(gc, &roots.roots[i].path);
    if (number > 0) store_gc_mark(gc, number - 1);
  }
  store_roots_list_done(&roots);
  return ok;
}

// Rows that were registered since the graph was read are alive (whoever registered them has pinned them), and so is what they refer to.
static bool store_gc_mark_newer(StoreGc *gc, Err *err) {
  StorePathList refs = STORE_PATH_LIST_INIT;
  bool ok = path_db_newer_refs(gc->store->db, gc->last_id, &refs, err);
  for (size_t i = 0; ok && i < refs.count; i++) {
    uint32_t number = store_gc_number(gc, &refs.paths[i]);
    if (number > 0) store_gc_mark(gc, number - 1);
  }
  store_path_list_done(&refs);
  return ok;
}

// ---- choosing

// Dead valid paths, referrers before what they refer to.
static void store_gc_order_dead(const StoreGc *gc, const bool *chosen, uint32_t **ret, size_t *ret_count) {
  const PathDbGraph *graph = &gc->graph;
  bool *seen = mem_alloc_zero(graph->count ? graph->count : 1);
  uint32_t *order = mem_alloc_array(graph->count ? graph->count : 1, sizeof(*order));
  typedef struct Frame {
    uint32_t node;
    size_t next;
  } Frame;
  Frame *stack = mem_alloc_array(graph->count ? graph->count : 1, sizeof(*stack));
  size_t count = 0;
  for (size_t i = 0; i < graph->count; i++) {
    if (seen[i] || !chosen[i]) continue;
    size_t depth = 0;
    seen[i] = true;
    stack[depth++] = (Frame){(uint32_t)i, graph->ref_start[i]};
    while (depth > 0) {
      Frame *top = &stack[depth - 1];
      if (top->next == graph->ref_start[top->node + 1]) {
        order[count++] = top->node;
        depth--;
        continue;
      }
      uint32_t ref = graph->refs[top->next++];
      if (seen[ref] || !chosen[ref]) continue;
      seen[ref] = true;
      stack[depth++] = (Frame){ref, graph->ref_start[ref]};
    }
  }
  for (size_t i = 0; i < count / 2; i++) { // references came first
    uint32_t swap = order[i];
    order[i] = order[count - 1 - i];
    order[count - 1 - i] = swap;
  }
  mem_free(seen);
  mem_free(stack);
  *ret = order;
  *ret_count = count;
}

static bool store_gc_still_alive(const StoreGc *gc, const StorePath *path, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_format_path(gc->store, path, &text);
  return err_set(err, ERR_OTHER,
                 "Cannot delete path '%s' since it is still alive. To find out why, use: nix-store --query --roots and "
                 "nix-store --query --referrers",
                 buf_cstr(&text));
}

static bool store_gc_is_asked(const StoreGcOptions *options, const StorePath *path) {
  for (size_t i = 0; i < options->path_count; i++)
    if (store_path_eq(&options->paths[i], path)) return true;
  return false;
}

// The asked paths. What refers to one of them has to be among them.
static bool store_gc_choose_specific(StoreGc *gc, bool *chosen, Err *err) {
  const StoreGcOptions *options = gc->options;
  for (size_t i = 0; i < options->path_count; i++) {
    uint32_t number = store_gc_number(gc, &options->paths[i]);
    bool lower;
    if (number == 0 || !gc->graph.valid[number - 1]) {
      if (!store_state_is_lower(gc->store, &options->paths[i], &lower, err)) return false;
      if (lower)
        return err_set(err, ERR_OTHER, "path '%s' belongs to another Nix store, which firn only reads",
                       options->paths[i].name);
      continue; // nothing to delete
    }
    StorePathList referrers = STORE_PATH_LIST_INIT, lower_names = STORE_PATH_LIST_INIT;
    bool ok = path_db_closure(gc->store->db, &options->paths[i], 1, true, &referrers, &lower_names, NULL, err);
    for (size_t k = 0; ok && k < referrers.count; k++) {
      uint32_t referrer = store_gc_number(gc, &referrers.paths[k]);
      if (referrer == 0 || (gc->live[referrer - 1] && !options->ignore_liveness) ||
          !store_gc_is_asked(options, &referrers.paths[k]))
        ok = store_gc_still_alive(gc, &options->paths[i], err);
      else chosen[referrer - 1] = true;
    }
    store_path_list_done(&referrers);
    store_path_list_done(&lower_names);
    if (!ok) return false;
  }
  return true;
}

static bool store_gc_choose(StoreGc *gc, bool *chosen, Err *err) {
  if (gc->options->action == STORE_GC_DELETE_SPECIFIC) return store_gc_choose_specific(gc, chosen, err);
  for (size_t i = 0; i < gc->graph.count; i++) chosen[i] = gc->graph.valid[i] && !gc->live[i];
  return true;
}

// ---- deleting rows

// Everything here happens while nobody can pin or register. Rows go first, and safely (path_db_wait): a tree without a row is garbage that the next run
// finds, but a row whose tree is half gone would be damage.
static bool store_gc_rows_locked(StoreGc *gc, const uint32_t *order, size_t count, Err *err) {
  Store *store = gc->store;
  bool respects_roots = !gc->options->ignore_liveness;
  if (!path_db_begin(store->db, err)) return false;
  bool ok = !respects_roots || (store_gc_mark_roots(gc, false, err) && store_gc_mark_newer(gc, err));
  int64_t ids[STORE_GC_SLICE_PATHS];
  uint32_t nodes[STORE_GC_SLICE_PATHS];
  size_t id_count = 0;
  for (size_t i = 0; ok && i < count; i++) {
    if (respects_roots && gc->live[order[i]]) continue;
    nodes[id_count] = order[i];
    ids[id_count++] = gc->graph.ids[order[i]];
  }
  ok = ok && path_db_delete(store->db, ids, id_count, err);
  if (!ok) path_db_rollback(store->db);
  if (!ok || !path_db_commit(store->db, err)) return false;
  pthread_mutex_lock(&store->mutex);
  for (size_t i = 0; i < id_count; i++) {
    const StorePath *path = &gc->graph.paths[nodes[i]];
    map_remove(&store->trees, span_make(path->digest, sizeof(path->digest)));
    gc->result->freed_bytes += gc->options->has_max_freed ? gc->graph.nar_sizes[nodes[i]] : 0;
    gc->graph.valid[nodes[i]] = false;
    store_path_list_add(&gc->result->paths, path);
  }
  pthread_mutex_unlock(&store->mutex);
  return true;
}

static bool store_gc_rows(StoreGc *gc, const uint32_t *order, size_t count, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  return shared_lock_exclude(gc->store->gc_lock.path, -1, &lock, err) && store_gc_rows_locked(gc, order, count, err);
}

static bool store_gc_delete(StoreGc *gc, Err *err) {
  bool *chosen = mem_alloc_zero(gc->graph.count ? gc->graph.count : 1);
  uint32_t *order = NULL;
  size_t count = 0;
  bool ok = store_gc_choose(gc, chosen, err);
  if (ok) store_gc_order_dead(gc, chosen, &order, &count);
  for (size_t at = 0; ok && at < count; at += STORE_GC_SLICE_PATHS) {
    size_t n = count - at < STORE_GC_SLICE_PATHS ? count - at : STORE_GC_SLICE_PATHS;
    if (gc->options->has_max_freed) { // as many as are needed
      if (gc->result->freed_bytes >= gc->options->max_freed_bytes) break;
      uint64_t sum = gc->result->freed_bytes;
      size_t k = 0;
      while (k < n && sum < gc->options->max_freed_bytes) sum += gc->graph.nar_sizes[order[at + k++]];
      n = k;
    }
    ok = store_gc_rows(gc, order + at, n, err);
  }
  mem_free(order);
  mem_free(chosen);
  return ok;
}

// ---- deleting trees: those of the deleted rows, and orphans, which nobody registered because their process died before the row was committed

// A single file goes at once; a directory is renamed away, since removing it takes time.
static bool store_gc_remove_tree(StoreGc *gc, int store_fd, const StorePath *path, const char *base, Err *err) {
  bool lower;
  if (!store_state_is_lower(gc->store, path, &lower, err)) return false;
  if (lower) return true; // the tree is the other store's
  if (unlinkat(store_fd, base, 0) == 0 || errno == ENOENT) return true;
  CLEANUP(buf_done) Buf scratch = BUF_INIT;
  if (!store_state_move_away(gc->store, path, &scratch, err)) return false;
  if (scratch.len > 0) buf_put(&gc->trash, buf_cstr(&scratch), scratch.len + 1);
  return true;
}

// What has been registered since the graph was read is valid; its rows have higher ids than all before.
static bool store_gc_note_newer(StoreGc *gc, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CLEANUP(mem_free_ptr) PathDbNew *rows = NULL;
  size_t count;
  if (!path_db_newer(gc->store->db, gc->newest_id, &rows, &count, &arena, err)) return false;
  for (size_t i = 0; i < count; i++) {
    map_set(&gc->newer, span_make(rows[i].path.digest, STORE_PATH_DIGEST_BYTES), NULL);
    gc->newest_id = rows[i].id;
  }
  return true;
}

// Under both locks: a path that has been registered again since keeps its tree, and who holds the lock of an output is about to make one.
static bool store_gc_trees_locked(StoreGc *gc, int store_fd, const StorePath *paths, size_t count, Err *err) {
  CLEANUP(buf_done) Buf base = BUF_INIT;
  if (!store_gc_note_newer(gc, err)) return false;
  for (size_t i = 0; i < count; i++) {
    if (map_has(&gc->newer, span_make(paths[i].digest, STORE_PATH_DIGEST_BYTES))) continue;
    buf_clear(&base);
    store_path_format_base(&paths[i], &base);
    StoreLock *lock = NULL;
    size_t len = base.len;
    buf_put_cstr(&base, ".lock");
    // The file alone says nothing: a killed process has left it, unless somebody holds it.
    bool has_file = faccessat(store_fd, buf_cstr(&base), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (has_file && !store_lock_take(gc->store, &paths[i], 1, false, &lock, err)) return false;
    if (has_file && !lock) continue;
    base.len = len;
    bool ok = store_gc_remove_tree(gc, store_fd, &paths[i], buf_cstr(&base), err);
    store_lock_release(lock);
    if (!ok) return false;
  }
  return true;
}

static bool store_gc_remove_trees(StoreGc *gc, int store_fd, const StorePathList *paths, Err *err) {
  for (size_t at = 0; at < paths->count; at += STORE_GC_SLICE_PATHS) {
    CLEANUP(shared_lock_drop) int lock = -1, trees = -1;
    size_t n = paths->count - at < STORE_GC_SLICE_PATHS ? paths->count - at : STORE_GC_SLICE_PATHS;
    if (!shared_lock_exclude(gc->store->gc_lock.path, -1, &lock, err) ||
        !store_state_lock_trees(gc->store, &trees, err) ||
        !store_gc_trees_locked(gc, store_fd, paths->paths + at, n, err))
      return false;
  }
  return true;
}

// What lies in the store directory and is not valid as far as the graph knows.
static bool store_gc_list_trees(const StoreGc *gc, int store_fd, StorePathList *ret, Err *err) {
  FsDirReader reader;
  const char *name;
  uint8_t type;
  fs_dir_init(&reader, store_fd);
  for (;;) {
    StorePath path;
    if (!fs_dir_next(&reader, &name, &type, err)) return err_wrap(err, "reading '%s/store'", gc->store->root);
    if (!name) return true;
    if (span_has_suffix(span_cstr(name), SPAN(".lock")) || !store_path_parse_base(span_cstr(name), &path, NULL))
      continue;
    uint32_t number = store_gc_number(gc, &path);
    if (number == 0 || !gc->graph.valid[number - 1]) store_path_list_add(ret, &path);
  }
}

static bool store_gc_empty_trash(StoreGc *gc, Err *err) {
  bool ok = true;
  for (size_t at = 0; ok && at < gc->trash.len; at += strlen(gc->trash.data + at) + 1)
    ok = fs_remove_tree(gc->trash.data + at, err);
  buf_clear(&gc->trash);
  return ok;
}

static bool store_gc_trees(StoreGc *gc, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(fs_close_fd) int store_fd = -1;
  StorePathList listed = STORE_PATH_LIST_INIT;
  LocalNix *lower;
  buf_put_cstr(&path, gc->store->tree_dir);
  if (!store_state_lower(gc->store, &lower, err) ||
      !fs_open(buf_cstr(&path), O_RDONLY | O_DIRECTORY, 0, &store_fd, err))
    return false;
  // Another Nix's unknown trees are its own business.
  bool all = gc->options->action == STORE_GC_DELETE_DEAD && !lower;
  bool ok = (!all || store_gc_list_trees(gc, store_fd, &listed, err)) &&
            store_gc_remove_trees(gc, store_fd, all ? &listed : &gc->result->paths, err);
  store_path_list_done(&listed);
  return store_gc_empty_trash(gc, ok ? err : NULL) && ok;
}

// Lower paths that nothing of ours refers to any more lose the root that we gave them.
static bool store_gc_release_lower(StoreGc *gc, Err *err) {
  StorePathList names = STORE_PATH_LIST_INIT;
  CLEANUP(buf_done) Buf link = BUF_INIT;
  bool ok = path_db_drop_names(gc->store->db, &names, err);
  // Whatever is removed from here on has no row any more, also after a failure of power.
  if (ok && (names.count > 0 || gc->result->paths.count > 0)) ok = path_db_wait(gc->store->db, err);
  for (size_t i = 0; ok && i < names.count; i++) {
    buf_clear(&link);
    store_state_format(gc->store, "nix/gcroots/firn/", &link);
    store_path_format_base(&names.paths[i], &link);
    if (unlink(buf_cstr(&link)) != 0 && errno != ENOENT)
      ok = err_set_errno(err, errno, "removing '%s'", buf_cstr(&link));
  }
  store_path_list_done(&names);
  return ok;
}

// ---- objects

static bool store_gc_mark_directory(void *ctx, const CastoreDigest *digest, const CastoreDirectory *directory,
                                    Err *err) {
  StoreGc *gc = ctx;
  for (size_t i = 0; i < directory->count; i++)
    if (directory->entries[i].kind == CASTORE_FILE)
      (void)digest_set_add(&gc->objects, &directory->entries[i].digest, PACK_BLOB);
  return true;
}

// Marks what a root node needs. A directory that is marked already has its content marked.
static bool store_gc_mark_node(StoreGc *gc, const CastoreNode *node, Err *err) {
  if (node->kind == CASTORE_FILE) (void)digest_set_add(&gc->objects, &node->digest, PACK_BLOB);
  if (node->kind != CASTORE_DIRECTORY || !digest_set_add(&gc->objects, &node->digest, PACK_DIRECTORY)) return true;
  CLEANUP(buf_done) Buf stack = BUF_INIT;
  buf_put(&stack, node->digest.bytes, 32);
  while (stack.len > 0) {
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CastoreDirectory directory;
    CastoreDigest digest;
    bool found;
    stack.len -= 32;
    memcpy(digest.bytes, stack.data + stack.len, 32);
    if (!directory_service_get(gc->store->castore.directories, &digest, &arena, &directory, &found, err)) return false;
    if (!found) continue; // damage is the business of store check; nothing more can be marked
    if (!store_gc_mark_directory(gc, &digest, &directory, err)) return false;
    for (size_t i = 0; i < directory.count; i++)
      if (directory.entries[i].kind == CASTORE_DIRECTORY &&
          digest_set_add(&gc->objects, &directory.entries[i].digest, PACK_DIRECTORY))
        buf_put(&stack, directory.entries[i].digest.bytes, 32);
  }
  return true;
}

static bool store_gc_is_live_object(void *ctx, const CastoreDigest *digest, PackKind kind) {
  return digest_set_has(&((StoreGc *)ctx)->objects, digest, kind);
}

static bool store_gc_refresh_objects(void *ctx, Err *err) {
  StoreGc *gc = ctx;
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  PathDbNew *rows = NULL;
  size_t count;
  bool ok = path_db_newer(gc->store->db, gc->last_id, &rows, &count, &arena, err);
  for (size_t i = 0; ok && i < count; i++) {
    if (rows[i].has_root) ok = store_gc_mark_node(gc, &rows[i].root, err);
    gc->last_id = rows[i].id;
  }
  mem_free(rows);
  return ok;
}

static bool store_gc_sweep_objects(StoreGc *gc, Err *err) {
  // Every row that is left counts, whether its path is live or not: it is valid.
  gc->last_id = 0;
  if (!store_gc_refresh_objects(gc, err)) return false;
  ObjectSweep sweep = {.is_live = store_gc_is_live_object, .refresh = store_gc_refresh_objects, .ctx = gc};
  if (!object_sweep_run(gc->store->objects, &sweep, err)) return false;
  if (!gc->options->has_max_freed) gc->result->freed_bytes += sweep.freed_bytes;
  gc->result->object_count = sweep.freed_count;
  gc->result->objects_left = sweep.busy;
  return true;
}

static bool store_gc_print(StoreGc *gc) {
  bool want_live = gc->options->action == STORE_GC_PRINT_LIVE;
  for (size_t i = 0; i < gc->graph.count; i++)
    if (gc->graph.valid[i] && gc->live[i] == want_live) store_path_list_add(&gc->result->paths, &gc->graph.paths[i]);
  return true;
}

bool store_gc_run(Store *store, const StoreGcOptions *options, StoreGcResult *ret, Err *err) {
  bool deletes = options->action == STORE_GC_DELETE_DEAD || options->action == STORE_GC_DELETE_SPECIFIC;
  StoreGc gc = {.store = store, .options = options, .result = ret};
  if (deletes && !store_state_writable(store, err)) return false;
  if (!store->db) return true;
  bool ok = store_flush(store, err) && store_gc_load(&gc, err) &&
            (options->ignore_liveness || store_gc_mark_roots(&gc, true, err));
  if (ok && !deletes) ok = store_gc_print(&gc);
  if (ok && deletes) {
    ok = store_gc_delete(&gc, err) && store_gc_release_lower(&gc, err) && store_gc_trees(&gc, err) &&
         store_gc_sweep_objects(&gc, err);
  }
  store_path_list_sort(&ret->paths);
  store_gc_done(&gc);
  if (!ok && options->action != STORE_GC_DELETE_SPECIFIC) return err_wrap(err, "collecting garbage");
  return ok;
}

bool store_gc_optimise(Store *store, uint64_t *ret_freed_bytes, Err *err) {
  static const StoreGcOptions options = {.action = STORE_GC_DELETE_DEAD};
  StoreGcResult result = STORE_GC_RESULT_INIT;
  StoreGc gc = {.store = store, .options = &options, .result = &result};
  bool ok = store_state_writable(store, err) && store_flush(store, err) && store_gc_sweep_objects(&gc, err);
  *ret_freed_bytes = result.freed_bytes;
  store_gc_done(&gc);
  return ok;
}

bool store_gc_why_alive(Store *store, const StorePath *path, Buf *ret_root, StorePathList *ret, bool *ret_alive,
                        Err *err) {
  static const StoreGcOptions options = {.action = STORE_GC_PRINT_LIVE};
  StoreGc gc = {.store = store, .options = &options};
  StoreRootList roots = STORE_ROOT_LIST_INIT;
  *ret_alive = false;
  bool ok =
      store_flush(store, err) && (!store->db || store_gc_load(&gc, err)) && store_roots_list(store, true, &roots, err);
  uint32_t wanted = ok ? store_gc_number(&gc, path) : 0;
  // One root at a time, so that the root which reached the path is the one to name. Our own pins (of this very question) are not an answer.
  for (size_t i = 0; ok && wanted > 0 && i < roots.count && !*ret_alive; i++) {
    uint32_t number = store_gc_number(&gc, &roots.roots[i].path);
    if (number == 0 ||
        (roots.roots[i].kind == STORE_ROOT_TEMP && temp_roots_has(store->temp_roots, &roots.roots[i].path)))
      continue;
    store_gc_mark(&gc, number - 1);
    if (!gc.live[wanted - 1]) continue;
    *ret_alive = true;
    buf_put_cstr(ret_root, roots.roots[i].source);
    for (uint32_t node = wanted; node > 0; node = gc.parent[node - 1])
      store_path_list_add(ret, &gc.graph.paths[node - 1]);
    for (size_t k = 0; k < ret->count / 2; k++) {
      StorePath swap = ret->paths[k];
      ret->paths[k] = ret->paths[ret->count - 1 - k];
      ret->paths[ret->count - 1 - k] = swap;
    }
  }
  store_roots_list_done(&roots);
  store_gc_done(&gc);
  return ok;
}
