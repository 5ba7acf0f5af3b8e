// store_flat_tree.c: small files created where they belong.
#include "store/store_flat_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/store_state.h"

typedef struct StoreFlatTreeRun {
  Store *store;
  int dir_fd; // where trees are
  bool knows_mask, needs_chmod;
} StoreFlatTreeRun;

static const struct timespec store_flat_tree_times[2] = {{1, 0}, {1, 0}};

bool store_flat_tree_is(const PathInfoRecord *record) {
  return record->has_root && record->info.root.kind == CASTORE_FILE &&
         record->info.root.size < OBJECT_STORE_PACKED_BYTES;
}

// The mode that a file was created with is what it should be, unless the process has an uncommon umask: looked at once.
static bool store_flat_tree_set_mode(StoreFlatTreeRun *run, int fd, mode_t mode) {
  struct stat st;
  if (!run->knows_mask) {
    if (fstat(fd, &st) != 0) return false;
    run->needs_chmod = (st.st_mode & 07777) != mode;
    run->knows_mask = true;
  }
  return !run->needs_chmod || fchmod(fd, mode) == 0;
}

static bool store_flat_tree_write(StoreFlatTreeRun *run, int fd, const CastoreNode *node, Span content, Err *err) {
  if (content.len != node->size)
    return err_set(err, ERR_CORRUPT, "the object has %zu bytes instead of %llu", content.len,
                   (unsigned long long)node->size);
  if (!fs_write_all(fd, content, err)) return false;
  return (store_flat_tree_set_mode(run, fd, node->executable ? 0555 : 0444) &&
          futimens(fd, store_flat_tree_times) == 0) ||
         err_set_errno(err, errno, "setting its mode and time");
}

// Something stands there: the tree, which another process has made, or garbage, which is moved away. *ret_is_tree tells which.
static bool store_flat_tree_meet(StoreFlatTreeRun *run, const StorePath *path, bool *ret_is_tree, Err *err) {
  bool valid = false, has_tree = false;
  CLEANUP(buf_done) Buf garbage = BUF_INIT;
  if (!path_db_is_valid(run->store->db, path->digest, &valid, &has_tree, err)) return false;
  *ret_is_tree = valid && has_tree;
  return *ret_is_tree || (store_state_move_away(run->store, path, &garbage, err) &&
                          (garbage.len == 0 || fs_remove_tree(buf_cstr(&garbage), err)));
}

static bool store_flat_tree_create(StoreFlatTreeRun *run, const StorePath *path, const char *name,
                                   const CastoreNode *node, Span content, Err *err) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  mode_t mode = node->executable ? 0555 : 0444;
  CLEANUP(fs_close_fd) int fd = openat(run->dir_fd, name, flags, mode);
  if (fd < 0 && errno == EEXIST) {
    bool is_tree;
    if (!store_flat_tree_meet(run, path, &is_tree, err)) return false;
    if (is_tree) return true;
    fd = openat(run->dir_fd, name, flags, mode);
  }
  if (fd < 0) return err_set_errno(err, errno, "creating it");
  if (store_flat_tree_write(run, fd, node, content, err)) return true;
  unlinkat(run->dir_fd, name, 0);
  return false;
}

// *ret_made false where the content is not in a pack: then there is a file to link.
static bool store_flat_tree_one(StoreFlatTreeRun *run, const PathInfo *info, bool *ret_made, Err *err) {
  ObjectRef ref;
  *ret_made = false;
  if (!object_store_find(run->store->objects, &info->root.digest, PACK_BLOB, &ref, err)) return false;
  bool ok = true;
  if (ref.in_memory) {
    CLEANUP(buf_done) Buf name = BUF_INIT;
    store_path_format_base(&info->path, &name);
    ok = store_flat_tree_create(run, &info->path, buf_cstr(&name), &info->root, ref.data, err) ||
         err_wrap(err, "creating '%s/%s'", run->store->tree_dir, buf_cstr(&name));
    *ret_made = ok;
  }
  object_store_release(&ref);
  return ok;
}

bool store_flat_tree_make(Store *store, PathDbItem *rows, size_t count, Err *err) {
  CLEANUP(buf_done) Buf dir = BUF_INIT;
  CLEANUP(fs_close_fd) int dir_fd = -1;
  buf_put_cstr(&dir, store->tree_dir);
  if (!fs_open(buf_cstr(&dir), O_RDONLY | O_DIRECTORY, 0, &dir_fd, err)) return false;
  StoreFlatTreeRun run = {.store = store, .dir_fd = dir_fd};
  for (size_t i = 0; i < count; i++)
    if (store_flat_tree_is(rows[i].record) && !store_flat_tree_one(&run, &rows[i].record->info, &rows[i].has_tree, err))
      return false;
  return true;
}
