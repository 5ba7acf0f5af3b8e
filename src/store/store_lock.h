// store_lock.h: exclusive locks on output paths, for builds and substitutions, shared with C++ Nix on the same store.
//
// A lock is flock(LOCK_EX) on <root>/store/<hash>-<name>.lock. Protocol of C++ Nix (libstore/pathlocks.cc): who got the lock checks that the file is still
// empty (a non-empty one was deleted by its former owner: try again with a fresh file); who is done unlinks it and writes one byte.
#pragma once

#include "store/store.h"

typedef struct StoreLock StoreLock;

// Locks all paths in their sorted order, so two processes never wait for each other in a circle. Without `wait`, *ret is NULL when one is taken.
MUST_CHECK bool store_lock_take(Store *store, const StorePath *paths, size_t count, bool wait, StoreLock **ret,
                                Err *err);
// The same lock beside any other file: flock on "<path>.lock". Waits.
MUST_CHECK bool store_lock_take_file(const char *path, StoreLock **ret, Err *err);
void store_lock_release(StoreLock *lock);
