// store_recover.c: what was fresh when the machine went down.
#include "store/store_recover.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/object_recover.h"
#include "castore/object_sync.h"
#include "store/path_db_fresh.h"
#include "store/path_db_graph.h"
#include "store/store_check.h"
#include "store/store_state.h"

#define STORE_RECOVER_BOOT_PATH "/proc/sys/kernel/random/boot_id"
#define STORE_RECOVER_BOOT_BYTES_MAX 128u

// FIRN_BOOT_ID stands for the kernel's in tests that play a crash.
static void store_recover_boot(Buf *ret) {
  const char *other = getenv("FIRN_BOOT_ID");
  Err quiet = ERR_INIT;
  if (other && *other) buf_put_cstr(ret, other);
  else if (!fs_read_file(STORE_RECOVER_BOOT_PATH, STORE_RECOVER_BOOT_BYTES_MAX, ret, &quiet)) buf_clear(ret);
  err_done(&quiet);
  ret->len = span_trim(buf_span(ret)).len;
}

// Is everything there that `node` needs? What is fresh was hashed before, what is not was synced.
typedef struct StoreRecoverWalk {
  Store *store;
  bool complete;
} StoreRecoverWalk;

static bool store_recover_blob(Store *store, const CastoreNode *node, bool *ret, Err *err) {
  uint64_t size = 0;
  bool found;
  if (!object_store_stat(store->objects, &node->digest, PACK_BLOB, &found, &size, err)) return false;
  *ret = *ret && found && size == node->size;
  return true;
}

static bool store_recover_visit(void *ctx, const CastoreDigest *digest UNUSED, const CastoreDirectory *directory,
                                Err *err) {
  StoreRecoverWalk *walk = ctx;
  for (size_t i = 0; i < directory->count; i++)
    if (directory->entries[i].kind == CASTORE_FILE &&
        !store_recover_blob(walk->store, &directory->entries[i], &walk->complete, err))
      return false;
  return true;
}

static bool store_recover_is_complete(Store *store, const PathDbFresh *row, bool *ret, Err *err) {
  StoreRecoverWalk walk = {store, true};
  Err missing = ERR_INIT;
  *ret = true;
  if (!row->has_root || row->root.kind == CASTORE_SYMLINK) return true;
  if (row->root.kind == CASTORE_FILE) return store_recover_blob(store, &row->root, ret, err);
  bool ok = directory_service_walk(store->castore.directories, &row->root.digest, store_recover_visit, &walk, &missing);
  *ret = ok && walk.complete;
  if (ok || missing.kind == ERR_NOT_FOUND || missing.kind == ERR_CORRUPT) {
    err_done(&missing);
    return true;
  }
  return err_move(err, &missing);
}

// A tree may have been safe although its row is fresh still: only what is not whole goes.
static bool store_recover_tree(Store *store, const PathDbFresh *row, Err *err) {
  const StorePath *path = &row->path;
  CLEANUP(buf_done) Buf scratch = BUF_INIT;
  CLEANUP(buf_done) Buf why = BUF_INIT;
  bool lower, whole = false;
  Err missing = ERR_INIT;
  if (!store_state_is_lower(store, path, &lower, err)) return false;
  if (lower) return true;
  if (row->has_root && store_check_tree(store, path, &row->root, &whole, &why, &missing) && whole) return true;
  err_done(&missing);
  return store_state_move_away(store, path, &scratch, err) &&
         (scratch.len == 0 || fs_remove_tree(buf_cstr(&scratch), err)) &&
         path_db_set_tree(store->db, path, 1, false, err);
}

// Ids of what is not whole, and of what refers to it.
static bool store_recover_find_broken(Store *store, const PathDbFresh *rows, size_t count, StorePathList *ret,
                                      Err *err) {
  StorePathList lower = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) {
    bool complete = true;
    ok = store_recover_is_complete(store, &rows[i], &complete, err);
    if (ok && !complete) store_path_list_add(ret, &rows[i].path);
  }
  if (ok && ret->count > 0) {
    StorePathList all = STORE_PATH_LIST_INIT;
    ok = path_db_closure(store->db, ret->paths, ret->count, true, &all, &lower, NULL, err);
    store_path_list_sort(&all);
    store_path_list_done(ret);
    *ret = all;
  }
  store_path_list_done(&lower);
  return ok;
}

static bool store_recover_forget(Store *store, const PathDbFresh *rows, size_t count, const StorePathList *broken,
                                 Err *err) {
  CLEANUP(mem_free_ptr) int64_t *ids = mem_alloc_array(count + 1, sizeof(*ids));
  size_t id_count = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < broken->count; k++)
      if (store_path_eq(&rows[i].path, &broken->paths[k])) ids[id_count++] = rows[i].id;
  if (id_count == 0) return true;
  if (!path_db_begin(store->db, err)) return false;
  if (path_db_delete(store->db, ids, id_count, err))
    return path_db_commit(store->db, err) && path_db_wait(store->db, err);
  path_db_rollback(store->db);
  return false;
}

static bool store_recover_rows(Store *store, size_t *ret_broken, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CLEANUP(mem_free_ptr) PathDbFresh *rows = NULL;
  StorePathList broken = STORE_PATH_LIST_INIT;
  size_t count = 0;
  bool ok = path_db_list_fresh(store->db, &rows, &count, &arena, err) &&
            store_recover_find_broken(store, rows, count, &broken, err);
  for (size_t i = 0; ok && i < count; i++)
    if (rows[i].has_tree) ok = store_recover_tree(store, &rows[i], err);
  ok = ok && store_recover_forget(store, rows, count, &broken, err);
  *ret_broken = broken.count;
  store_path_list_done(&broken);
  return ok;
}

static bool store_recover_look(Store *store, Err *err) {
  ObjectRecoverResult objects;
  size_t broken;
  bool fresh_rows, fresh_objects;
  if (!path_db_has_fresh(store->db, &fresh_rows, err) || !object_recover_is_needed(store->objects, &fresh_objects, err))
    return false;
  if (!fresh_rows && !fresh_objects) return true;
  if (!object_recover_run(store->objects, &objects, err) || !store_recover_rows(store, &broken, err)) return false;
  if (broken > 0 || objects.lost_count > 0)
    log_warn("the store at '%s' was in use when the machine went down: %zu paths that were not safe yet are forgotten",
             store->root, broken);
  // What is whole is made safe now, so that the next start has nothing to look at.
  return path_db_fresh_waits(store->db, err) && object_sync_run(store->objects, err) &&
         path_db_fresh_done(store->db, err);
}

bool store_recover_run(Store *store, Err *err) {
  CLEANUP(buf_done) Buf boot = BUF_INIT;
  CLEANUP(shared_lock_drop) int lock = -1;
  bool same;
  store_recover_boot(&boot);
  store->can_defer = boot.len > 0;
  if (!store->can_defer) return true;
  if (!path_db_check_boot(store->db, buf_span(&boot), &same, err)) return false;
  if (same) return true;
  // The first opener looks, the others wait for it.
  if (!object_sync_lock(store->objects, &lock, err) || !path_db_check_boot(store->db, buf_span(&boot), &same, err))
    return false;
  if (same) return true;
  return (store_recover_look(store, err) && path_db_set_boot(store->db, buf_span(&boot), err)) ||
         err_wrap(err, "recovering the store at '%s'", store->root);
}
