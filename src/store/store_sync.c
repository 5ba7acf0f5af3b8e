// store_sync.c: syncfs, or an fsync for each piece.
#include "store/store_sync.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/object_sync.h"
#include "store/path_db_fresh.h"
#include "store/store_state.h"

#define STORE_SYNC_FEW 4u // files: an fsync each costs less than looking at what else there is
#define STORE_SYNC_MEMINFO_BYTES_MAX ((size_t)64 << 10)

// What has to be synced one by one: names with their NUL. Folders come second, so that what they name is there when they are.
typedef struct StoreSyncPieces {
  Buf files, folders;
  size_t count;
} StoreSyncPieces;

static void store_sync_put(Buf *list, Span path) {
  buf_put_span(list, path);
  buf_put_char(list, 0);
}

// Trees may lie on another file system than everything else.
static bool store_sync_is_split(const Store *store, int *ret_trees_fd, bool *ret, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  struct stat trees, state;
  buf_put_cstr(&path, store->tree_dir);
  if (!fs_open(buf_cstr(&path), O_RDONLY | O_DIRECTORY, 0, ret_trees_fd, err)) return false;
  if (fstat(*ret_trees_fd, &trees) != 0 || stat(store->state_dir, &state) != 0)
    return err_set_errno(err, errno, "reading '%s'", buf_cstr(&path));
  *ret = trees.st_dev != state.st_dev;
  return true;
}

// What the machine has in memory and not on its disks. 0 where that is not known.
static uint64_t store_sync_dirty_bytes(void) {
  static const char *const names[] = {"\nDirty:", "\nWriteback:"};
  CLEANUP(buf_done) Buf text = BUF_INIT;
  Err quiet = ERR_INIT;
  uint64_t sum_kib = 0;
  if (!fs_read_file("/proc/meminfo", STORE_SYNC_MEMINFO_BYTES_MAX, &text, &quiet)) buf_clear(&text);
  err_done(&quiet);
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    const char *line = strstr(buf_cstr(&text), names[i]);
    if (line) sum_kib += strtoull(line + strlen(names[i]), NULL, 10);
  }
  return sum_kib << 10;
}

static uint64_t store_sync_own_bytes(Span files) {
  uint64_t sum = 0;
  while (files.len > 0) {
    struct stat st;
    if (stat(files.data, &st) == 0) sum += (uint64_t)st.st_size;
    files = span_from(files, strlen(files.data) + 1);
  }
  return sum;
}

// Folders of a tree, and files that are not objects. *path is lengthened and shortened again.
static bool store_sync_list_tree(StoreSyncPieces *pieces, Buf *path, Err *err) {
  struct stat st;
  CLEANUP(fs_list_done) FsList list = FS_LIST_INIT;
  if (lstat(buf_cstr(path), &st) != 0) return errno == ENOENT || err_set_errno(err, errno, "reading '%s'", path->data);
  if (S_ISREG(st.st_mode) && st.st_nlink == 1) {
    store_sync_put(&pieces->files, buf_span(path));
    pieces->count++;
  }
  if (!S_ISDIR(st.st_mode)) return true;
  if (!fs_list_dir(buf_cstr(path), &list, err)) return false;
  size_t len = path->len;
  store_sync_put(&pieces->files, buf_span(path));
  pieces->count++;
  for (size_t i = 0; i < list.count && pieces->count <= STORE_SYNC_PIECES_MAX; i++) {
    buf_printf(path, "/%s", list.entries[i].name);
    if (!store_sync_list_tree(pieces, path, err)) return false;
    path->len = len;
  }
  return true;
}

static bool store_sync_list_trees(Store *store, StoreSyncPieces *pieces, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CLEANUP(mem_free_ptr) PathDbFresh *rows = NULL;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  size_t count;
  if (!path_db_list_fresh(store->db, &rows, &count, &arena, err)) return false;
  for (size_t i = 0; i < count && pieces->count <= STORE_SYNC_PIECES_MAX; i++) {
    if (!rows[i].has_tree) continue;
    buf_clear(&path);
    store_format_physical(store, &rows[i].path, &path);
    if (!store_sync_list_tree(pieces, &path, err)) return false;
  }
  buf_clear(&path);
  buf_put_cstr(&path, store->tree_dir);
  store_sync_put(&pieces->folders, buf_span(&path));
  return true;
}

// How much of the list of touched folders there is now: what comes while we wait is not promised anything.
static size_t store_sync_touched(Store *store, Buf *ret) {
  pthread_mutex_lock(&store->mutex);
  size_t len = store->touched.len;
  buf_put_span(ret, buf_span(&store->touched));
  pthread_mutex_unlock(&store->mutex);
  return len;
}

static void store_sync_forget_touched(Store *store, size_t len) {
  pthread_mutex_lock(&store->mutex);
  store->touched.len -= len;
  memmove(store->touched.data, store->touched.data + len, store->touched.len);
  pthread_mutex_unlock(&store->mutex);
}

// *ret_worth false: syncfs is the better way. Nothing has been waited for then.
static bool store_sync_choose(Store *store, const ObjectSync *sync, StoreSyncPieces *pieces, bool *ret_worth,
                              Err *err) {
  const char *forced = getenv("FIRN_SYNC");
  uint64_t dirty = store_sync_dirty_bytes();
  bool is_forced = forced && strcmp(forced, "pieces") == 0;
  *ret_worth = false;
  if (!object_sync_has_base(sync) || (forced && !is_forced)) return true;
  if (!is_forced && (dirty <= STORE_SYNC_FOREIGN_BYTES || sync->count > STORE_SYNC_PIECES_MAX)) return true;
  object_sync_list(sync, &pieces->files, &pieces->folders);
  pieces->count = sync->count;
  if (!is_forced && dirty - STORE_SYNC_FOREIGN_BYTES <= store_sync_own_bytes(buf_span(&pieces->files))) return true;
  if (!store_sync_list_trees(store, pieces, err)) return false;
  *ret_worth = pieces->count <= STORE_SYNC_PIECES_MAX;
  return true;
}

static bool store_sync_pieces(Store *store, const StoreSyncPieces *pieces, Err *err) {
  return object_sync_paths(buf_span(&pieces->files), err) && object_sync_paths(buf_span(&pieces->folders), err) &&
         path_db_wait(store->db, err);
}

static bool store_sync_everything(const ObjectSync *sync, int trees_fd, bool is_split, Err *err) {
  if (is_split && syncfs(trees_fd) != 0) return err_set_errno(err, errno, "syncing the file system of the trees");
  return object_sync_all(sync, err);
}

bool store_sync_wait(Store *store, Err *err) {
  CLEANUP(fs_close_fd) int trees_fd = -1;
  ObjectSync sync = {.store = NULL};
  StoreSyncPieces pieces = {.files = BUF_INIT, .folders = BUF_INIT};
  bool is_split = false, worth = false;
  size_t touched_len = store_sync_touched(store, &pieces.folders);
  bool ok = store_sync_is_split(store, &trees_fd, &is_split, err) && object_sync_begin(store->objects, &sync, err) &&
            (is_split || store_sync_choose(store, &sync, &pieces, &worth, err));
  if (ok) ok = worth ? store_sync_pieces(store, &pieces, err) : store_sync_everything(&sync, trees_fd, is_split, err);
  ok = ok && object_sync_finish(&sync, err);
  object_sync_done(&sync);
  buf_done(&pieces.files);
  buf_done(&pieces.folders);
  if (ok && touched_len > 0) store_sync_forget_touched(store, touched_len);
  return ok;
}

// Is an fsync for each cheaper than one syncfs, which writes what others have left in memory, too?
static bool store_sync_is_few(Span files, size_t count) {
  if (count <= STORE_SYNC_FEW) return true;
  uint64_t dirty = store_sync_dirty_bytes();
  return count <= STORE_SYNC_PIECES_MAX && dirty > STORE_SYNC_FOREIGN_BYTES &&
         dirty - STORE_SYNC_FOREIGN_BYTES > store_sync_own_bytes(files);
}

bool store_sync_files(Span files, size_t count, const char *folder, Err *err) {
  if (store_sync_is_few(files, count)) return object_sync_paths(files, err);
  CLEANUP(fs_close_fd) int fd = -1;
  return fs_open(folder, O_RDONLY | O_DIRECTORY, 0, &fd, err) &&
         (syncfs(fd) == 0 || err_set_errno(err, errno, "syncing the file system of '%s'", folder));
}
