// shared_lock.c: a flock shared by threads.
#include "castore/shared_lock.h"

#include <errno.h>
#include <sys/file.h>
#include <time.h>

#include "base/fs.h"

bool shared_lock_open(SharedLock *lock, const char *path, Err *err) {
  *lock = (SharedLock){.fd = -1};
  pthread_mutex_init(&lock->mutex, NULL);
  lock->path = span_dup(span_cstr(path));
  return fs_open(path, O_RDWR | O_CREAT, 0644, &lock->fd, err);
}

void shared_lock_close(SharedLock *lock) {
  if (!lock->path) return;
  fs_close_fd(&lock->fd);
  lock->fd = -1;
  mem_free(STEAL(lock->path));
  pthread_mutex_destroy(&lock->mutex);
}

bool shared_lock_take(SharedLock *lock, Err *err) {
  pthread_mutex_lock(&lock->mutex);
  bool ok = true;
  while (lock->count == 0 && flock(lock->fd, LOCK_SH) != 0)
    if (errno != EINTR) {
      ok = err_set_errno(err, errno, "locking '%s'", lock->path);
      break;
    }
  if (ok) lock->count++;
  pthread_mutex_unlock(&lock->mutex);
  return ok;
}

void shared_lock_release(SharedLock *lock) {
  pthread_mutex_lock(&lock->mutex);
  if (--lock->count == 0) flock(lock->fd, LOCK_UN);
  pthread_mutex_unlock(&lock->mutex);
}

static int64_t shared_lock_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool shared_lock_exclude(const char *path, int64_t wait_ms, int *ret_fd, Err *err) {
  if (!fs_open(path, O_RDWR | O_CREAT, 0644, ret_fd, err)) return false;
  int64_t end = shared_lock_now_ms() + wait_ms;
  while (flock(*ret_fd, wait_ms < 0 ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return err_set_errno(err, errno, "locking '%s'", path);
    if (errno == EINTR && wait_ms < 0) continue;
    if (shared_lock_now_ms() >= end) {
      fs_close_fd(ret_fd);
      *ret_fd = -1;
      return true;
    }
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
  return true;
}

void shared_lock_drop(int *fd) {
  if (*fd < 0) return;
  flock(*fd, LOCK_UN);
  fs_close_fd(fd);
  *fd = -1;
}
