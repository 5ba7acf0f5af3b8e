// pool.h: a few threads that run jobs which would block or compute for long, for a loop that must
// do neither.
//
// Jobs start in the order of submission. What a job touches must be its own or locked; results go
// back by loop_post. Threads are started on demand and block all signals, so that signals reach the
// thread that waits for them.
//
// Test: test/base/pool_test.c.
#pragma once

#include "base/macros.h"

typedef struct Pool Pool;
typedef void (*PoolFn)(void *ctx);

// At most `thread_max` jobs at once (at least 1). Never fails: where no thread can be started, jobs
// run one after the other on those that exist, and with none at all in pool_submit itself.
Pool *pool_new(size_t thread_max);
// Waits for the jobs that run or are queued.
void pool_free(Pool *pool);
// Any thread.
void pool_submit(Pool *pool, PoolFn fn, void *ctx);
