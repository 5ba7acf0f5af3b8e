// store_materialise.c: trees of valid paths are made when somebody needs them.
#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_materialise.h"
#include "store/store_flat_tree.h"
#include "store/store_state.h"

// A tree that was made and waits to be put in place.
typedef struct StoreMaterialiseItem {
  StorePath path;
  Buf scratch;
  bool is_placed;
} StoreMaterialiseItem;

static bool store_materialise_is_known(Store *store, const StorePath *path) {
  pthread_mutex_lock(&store->mutex);
  bool known = map_has(&store->trees, span_make(path->digest, sizeof(path->digest)));
  pthread_mutex_unlock(&store->mutex);
  return known;
}

static void store_materialise_remember(Store *store, const StorePath *path) {
  pthread_mutex_lock(&store->mutex);
  map_set(&store->trees, span_make(path->digest, sizeof(path->digest)), NULL);
  pthread_mutex_unlock(&store->mutex);
}

static bool store_materialise_is_there(Store *store, const StorePath *path, bool *ret, Err *err) {
  bool valid = false, has_tree = false;
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  store_format_physical(store, path, &physical);
  *ret = false;
  if (store->db && !path_db_is_valid(store->db, path->digest, &valid, &has_tree, err)) return false;
  if (valid && has_tree) {
    *ret = fs_exists(buf_cstr(&physical));
    if (*ret) return true;
  }
  // A lower path has its tree; where both layers know the path, the lower one's tree is used.
  bool lower;
  if (!store_state_is_lower(store, path, &lower, err)) return false;
  *ret = lower && fs_exists(buf_cstr(&physical));
  return *ret || valid || store_state_invalid(store, path, err);
}

static bool store_materialise_make(Store *store, const StorePath *path, StoreMaterialiseItem *item, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  item->path = *path;
  if (!store_get(store, path, &record, err) || !store_scratch(store, SPAN("-tree"), &item->scratch, err)) return false;
  if (!record->has_root) {
    CLEANUP(buf_done) Buf physical = BUF_INIT;
    store_format_physical(store, path, &physical);
    return err_set(err, ERR_CORRUPT, "the tree '%s' is missing, and there are no objects to make it from",
                   buf_cstr(&physical));
  }
  // A small file by itself is hardly ever shared: it is not worth an object of its own.
  return castore_materialise_node(&store->castore, store_flat_tree_is(record) ? NULL : store->objects,
                                  &record->info.root, buf_cstr(&item->scratch), NULL, err);
}

// Somebody else's directory stands where our tree belongs. When C++ Nix is just building that path, it holds the lock file.
static bool store_materialise_check_foreign(Store *store, const StorePath *path, Err *err) {
  CLEANUP(buf_done) Buf lock = BUF_INIT;
  store_format_physical(store, path, &lock);
  buf_put_cstr(&lock, ".lock");
  CLEANUP(fs_close_fd) int fd = open(buf_cstr(&lock), O_RDWR | O_CLOEXEC);
  if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  return err_set(err, ERR_OTHER, "'%s' is held by another process that is building this path", buf_cstr(&lock));
}

// Under the lock on trees.
static bool store_materialise_place(Store *store, StoreMaterialiseItem *item, Err *err) {
  bool there;
  if (!store_materialise_is_there(store, &item->path, &there, err)) return false;
  if (there) return fs_remove_tree(buf_cstr(&item->scratch), err); // another process was faster
  CLEANUP(buf_done) Buf garbage = BUF_INIT;
  if (!store_materialise_check_foreign(store, &item->path, err) ||
      !store_state_move_away(store, &item->path, &garbage, err) ||
      !store_state_place_tree(store, buf_cstr(&item->scratch), &item->path, err))
    return false;
  item->is_placed = true;
  return garbage.len == 0 || fs_remove_tree(buf_cstr(&garbage), err);
}

static bool store_materialise_place_all(Store *store, StoreMaterialiseItem *items, size_t count, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  if (!store_state_lock_trees(store, &lock, err)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) ok = store_materialise_place(store, &items[i], err);
  StorePath *placed = mem_alloc_array(count ? count : 1, sizeof(*placed));
  size_t placed_count = 0;
  for (size_t i = 0; i < count; i++)
    if (items[i].is_placed) placed[placed_count++] = items[i].path;
  // The flag is set before the lock is released: a tree without it counts as garbage.
  if (placed_count > 0) ok = path_db_set_tree(store->db, placed, placed_count, true, ok ? err : NULL) && ok;
  mem_free(placed);
  return ok;
}

static bool store_materialise_missing(Store *store, const StorePath *paths, size_t count, Err *err) {
  StoreMaterialiseItem *items = mem_alloc_zero(count * sizeof(*items));
  bool ok = object_store_begin(store->objects, err), began = ok;
  for (size_t i = 0; ok && i < count; i++) ok = store_materialise_make(store, &paths[i], &items[i], err);
  ok = ok && store_state_publish(store, err) && store_materialise_place_all(store, items, count, err);
  for (size_t i = 0; i < count; i++) {
    Err remove_err = ERR_INIT;
    if (!ok && !items[i].is_placed && items[i].scratch.len > 0 &&
        !fs_remove_tree(buf_cstr(&items[i].scratch), &remove_err))
      err_done(&remove_err);
    if (ok) store_materialise_remember(store, &items[i].path);
    buf_done(&items[i].scratch);
  }
  if (began) object_store_end(store->objects);
  mem_free(items);
  return ok;
}

bool store_materialise(Store *store, const StorePath *paths, size_t count, Err *err) {
  StorePathList missing = STORE_PATH_LIST_INIT;
  bool ok = store_flush(store, err);
  for (size_t i = 0; ok && i < count; i++) {
    if (store_materialise_is_known(store, &paths[i])) continue;
    bool there;
    ok = store_materialise_is_there(store, &paths[i], &there, err);
    if (ok && there) store_materialise_remember(store, &paths[i]);
    if (ok && !there) store_path_list_add(&missing, &paths[i]);
  }
  store_path_list_sort(&missing);
  if (ok && missing.count > 0)
    ok = store_state_writable(store, err) && store_materialise_missing(store, missing.paths, missing.count, err);
  store_path_list_done(&missing);
  return ok || err_wrap(err, "materialising store paths");
}

bool store_materialise_closure(Store *store, const StorePath *paths, size_t count, Err *err) {
  StorePathList closure = STORE_PATH_LIST_INIT;
  bool ok = store_closure(store, paths, count, NULL, &closure, err) &&
            store_materialise(store, closure.paths, closure.count, err);
  store_path_list_done(&closure);
  return ok;
}
