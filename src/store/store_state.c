// store_state.c: what the files of store/ share: the lower layer, and trees coming and going at their final places.
#include "store/store_state.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"

static const struct timespec store_state_times[2] = {{1, 0}, {1, 0}};

void store_state_format(const Store *store, const char *rest, Buf *ret) {
  buf_printf(ret, "%s/var/%s", store->root, rest);
}

int64_t store_state_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool store_state_writable(const Store *store, Err *err) {
  return !store->read_only || err_set(err, ERR_OTHER, "the store at '%s' is read-only", store->root);
}

bool store_state_publish(Store *store, Err *err) {
  // Where a crash of the machine cannot be noticed, nobody will look at objects again: they are synced before they are named.
  return store->can_defer ? object_store_publish(store->objects, err) : object_store_flush(store->objects, err);
}

bool store_state_written(Store *store, bool rows, Err *err) {
  if (rows) __atomic_store_n(&store->registered, true, __ATOMIC_RELEASE);
  else __atomic_add_fetch(&store->unsynced, 1, __ATOMIC_ACQ_REL);
  return (store->defer_sync && store_state_now_ms() - store->synced_ms < STORE_SYNC_MS) || store_sync(store, err);
}

void store_state_touch(Store *store, Span folder) {
  pthread_mutex_lock(&store->mutex);
  buf_put_span(&store->touched, folder);
  buf_put_char(&store->touched, 0);
  pthread_mutex_unlock(&store->mutex);
}

bool store_state_lower(Store *store, LocalNix **ret, Err *err) {
  bool ok = true;
  pthread_mutex_lock(&store->lower_mutex);
  if (!store->lower_opened && !store->no_lower) ok = local_nix_open(store->root, store_dir(store), &store->lower, err);
  store->lower_opened = ok;
  *ret = store->lower;
  pthread_mutex_unlock(&store->lower_mutex);
  return ok;
}

bool store_state_is_lower(Store *store, const StorePath *path, bool *ret, Err *err) {
  LocalNix *lower;
  *ret = false;
  return store_state_lower(store, &lower, err) && (!lower || local_nix_is_valid(lower, path->digest, ret, err));
}

bool store_state_use_lower(void *ctx, const StorePath *path, bool *ret, Err *err) {
  Store *store = ctx;
  if (!store_state_is_lower(store, path, ret, err) || !*ret) return !err || !err_is_set(err);
  CLEANUP(buf_done) Buf link = BUF_INIT;
  CLEANUP(buf_done) Buf target = BUF_INIT;
  store_state_format(store, "nix/gcroots/firn", &link);
  if (!fs_mkdir_all(buf_cstr(&link), 0755, err)) return false;
  buf_put_char(&link, '/');
  store_path_format_base(path, &link);
  store_format_path(store, path, &target);
  if (symlink(buf_cstr(&target), buf_cstr(&link)) == 0 || errno == EEXIST) return true;
  return err_set_errno(err, errno, "creating the root '%s'", buf_cstr(&link));
}

bool store_state_invalid(const Store *store, const StorePath *path, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_format_path(store, path, &text);
  return err_set(err, ERR_NOT_FOUND, "path '%s' is not valid", buf_cstr(&text));
}

void store_state_drop_cache(Store *store) {
  for (MapEntry *entry = map_first(&store->directories); entry; entry = map_next(&store->directories, entry)) {
    arena_done(&((StoreStateDirectory *)entry->value)->arena);
    mem_free(entry->value);
  }
  map_done(&store->directories);
  store->directories = (Map)MAP_INIT;
  store->directories_bytes = 0;
  for (MapEntry *entry = map_first(&store->roots); entry; entry = map_next(&store->roots, entry))
    path_info_service_record_free(entry->value);
  map_done(&store->roots);
  store->roots = (Map)MAP_INIT;
}

// ---- trees

bool store_state_lock_trees(Store *store, int *ret_fd, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  store_state_format(store, "firn/trees.lock", &path);
  return shared_lock_exclude(buf_cstr(&path), -1, ret_fd, err);
}

// A directory can only be moved to another folder by who may write it (its ".." changes), unless that is root.
static bool store_state_make_movable(const char *path, bool *ret_is_dir, Err *err) {
  struct stat st;
  if (lstat(path, &st) != 0) return err_set_errno(err, errno, "reading '%s'", path);
  *ret_is_dir = S_ISDIR(st.st_mode);
  if (*ret_is_dir && !(st.st_mode & 0200) && chmod(path, 0755) != 0)
    return err_set_errno(err, errno, "setting the mode of '%s'", path);
  return true;
}

bool store_state_move_away(Store *store, const StorePath *path, Buf *ret_scratch, Err *err) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  bool is_dir;
  store_format_physical(store, path, &physical);
  if (!fs_exists(buf_cstr(&physical))) return true;
  if (!store_scratch(store, SPAN("-old"), ret_scratch, err) ||
      !store_state_make_movable(buf_cstr(&physical), &is_dir, err))
    return false;
  if (rename(buf_cstr(&physical), buf_cstr(ret_scratch)) == 0) return true;
  return err_set_errno(err, errno, "moving '%s' away", buf_cstr(&physical));
}

bool store_state_place_tree(Store *store, const char *tree, const StorePath *path, Err *err) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  bool is_dir;
  store_format_physical(store, path, &physical);
  if (!store_state_make_movable(tree, &is_dir, err)) return false;
  if (renameat2(AT_FDCWD, tree, AT_FDCWD, buf_cstr(&physical), RENAME_NOREPLACE) != 0)
    return err_set_errno(err, errno, "moving '%s' to '%s'", tree, buf_cstr(&physical));
  if (is_dir &&
      (chmod(buf_cstr(&physical), 0555) != 0 || utimensat(AT_FDCWD, buf_cstr(&physical), store_state_times, 0) != 0))
    return err_set_errno(err, errno, "setting mode and time of '%s'", buf_cstr(&physical));
  return true;
}
