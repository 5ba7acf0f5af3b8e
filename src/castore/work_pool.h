// work_pool.h: a few threads that work through numbered items in order, ahead of one consumer, by a bounded window. The consumer takes the items
// in order too: so results that need an order (a NAR hash) meet work that does not (reading and hashing files).
#pragma once

#include "base/macros.h"

typedef struct WorkPool WorkPool;

// Called on a worker for each item, in increasing order of start, not of end.
typedef void (*WorkPoolFn)(void *ctx, size_t item);

// Number of workers that make sense: cores - 1, at least 1, at most 8.
unsigned work_pool_default_threads(void);
// Starts `threads` workers on items 0..count-1; at most `window` items are started and not released. With `threads` 0 the work is done in work_pool_wait.
WorkPool *work_pool_start(unsigned threads, size_t count, size_t window, WorkPoolFn fn, void *ctx);
// Returns once item `item` is done. Items are waited for in order. Where no worker has taken it yet, the caller does it.
void work_pool_wait(WorkPool *pool, size_t item);
// The consumer has no more use for `item`: the window moves on.
void work_pool_release(WorkPool *pool, size_t item);
// Stops after the running items and frees.
void work_pool_free(WorkPool *pool);
