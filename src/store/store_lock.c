// store_lock.c: locks on output paths.
#include "store/store_lock.h"

#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/store_state.h"

typedef struct StoreLockFile {
  char *path; // owned
  int fd;
} StoreLockFile;

struct StoreLock {
  size_t count;
  StoreLockFile files[];
};

// *ret_taken false: somebody else has it and `wait` is false.
static bool store_lock_one(const char *path, bool wait, int *ret_fd, bool *ret_taken, Err *err) {
  for (;;) {
    if (!fs_open(path, O_RDWR | O_CREAT, 0600, ret_fd, err)) return false;
    int status;
    do status = flock(*ret_fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
    while (status != 0 && errno == EINTR);
    if (status != 0) {
      int lock_errno = errno;
      fs_close_fd(ret_fd);
      *ret_fd = -1;
      *ret_taken = false;
      return lock_errno == EWOULDBLOCK || err_set_errno(err, lock_errno, "locking '%s'", path);
    }
    struct stat st;
    if (fstat(*ret_fd, &st) != 0) return err_set_errno(err, errno, "reading '%s'", path);
    if (st.st_size == 0 && st.st_nlink > 0) {
      *ret_taken = true;
      return true;
    }
    // Its former owner deleted it: the name may stand for another file by now. If it still stands for this one, the power has failed between the two
    // (store_lock_release), and only who holds the lock, as we do, may delete it.
    struct stat named;
    bool left_over = lstat(path, &named) == 0 && named.st_dev == st.st_dev && named.st_ino == st.st_ino;
    if (left_over && unlink(path) != 0 && errno != ENOENT) return err_set_errno(err, errno, "deleting '%s'", path);
    fs_close_fd(ret_fd);
    *ret_fd = -1;
  }
}

bool store_lock_take(Store *store, const StorePath *paths, size_t count, bool wait, StoreLock **ret, Err *err) {
  *ret = NULL;
  if (!store_state_writable(store, err)) return false;
  StorePathList sorted = STORE_PATH_LIST_INIT;
  for (size_t i = 0; i < count; i++) store_path_list_add(&sorted, &paths[i]);
  store_path_list_sort(&sorted);
  StoreLock *lock = mem_alloc_zero(sizeof(*lock) + sorted.count * sizeof(lock->files[0]));
  bool ok = true, taken = true;
  for (size_t i = 0; ok && taken && i < sorted.count; i++) {
    CLEANUP(buf_done) Buf path = BUF_INIT;
    store_format_physical(store, &sorted.paths[i], &path);
    buf_put_cstr(&path, ".lock");
    StoreLockFile *file = &lock->files[lock->count];
    file->fd = -1;
    ok = store_lock_one(buf_cstr(&path), wait, &file->fd, &taken, err);
    if (ok && taken) {
      file->path = buf_take(&path);
      lock->count++;
    } else {
      fs_close_fd(&file->fd);
    }
  }
  store_path_list_done(&sorted);
  if (ok && taken) *ret = lock;
  else store_lock_release(lock);
  return ok;
}

bool store_lock_take_file(const char *path, StoreLock **ret, Err *err) {
  CLEANUP(buf_done) Buf name = BUF_INIT;
  buf_printf(&name, "%s.lock", path);
  StoreLock *lock = mem_alloc_zero(sizeof(*lock) + sizeof(lock->files[0]));
  bool taken;
  if (!store_lock_one(buf_cstr(&name), true, &lock->files[0].fd, &taken, err)) {
    mem_free(lock);
    return false;
  }
  lock->files[0].path = buf_take(&name);
  lock->count = 1;
  *ret = lock;
  return true;
}

void store_lock_release(StoreLock *lock) {
  if (!lock) return;
  for (size_t i = lock->count; i-- > 0;) {
    StoreLockFile *file = &lock->files[i];
    // Unlinked first, marked second: who waits for the descriptor sees the mark, who comes anew makes a new file.
    unlink(file->path);
    if (write(file->fd, "d", 1) != 1) {
      // The link count says the same to firn; C++ Nix then takes the lock of a file without a name, which excludes nobody: no harm to us.
    }
    shared_lock_drop(&file->fd); // a child that has not yet called exec has a copy
    mem_free(file->path);
  }
  mem_free(lock);
}
