// shared_lock.h: a flock that any number of threads of this process hold together in shared mode: the first takes it, the last lets go.
#pragma once

#include <pthread.h>

#include "base/err.h"

typedef struct SharedLock {
  pthread_mutex_t mutex;
  unsigned count;
  int fd;     // owned; -1 when not open
  char *path; // owned
} SharedLock;

// Creates the file.
MUST_CHECK bool shared_lock_open(SharedLock *lock, const char *path, Err *err);
void shared_lock_close(SharedLock *lock);
// Blocks while another process holds it exclusively.
MUST_CHECK bool shared_lock_take(SharedLock *lock, Err *err);
void shared_lock_release(SharedLock *lock);
// Exclusive, on a descriptor of its own, which the caller closes to let go. Waits at most `wait_ms` (negative: without limit); *ret_fd -1 when it was not given.
MUST_CHECK bool shared_lock_exclude(const char *path, int64_t wait_ms, int *ret_fd, Err *err);
// Lets go of an exclusive lock and closes its descriptor. (Closing alone would not do while a child that has not yet called exec has a copy of it.) CLEANUP.
void shared_lock_drop(int *fd);
