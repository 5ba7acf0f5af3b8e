// loop.h: an event loop over epoll: descriptors, timers, ending child processes, and work posted by
// other threads.
//
// A loop belongs to the thread that runs it. Every function must be called there, except loop_post
// and loop_wake, which any thread may call. Callbacks may add and remove sources freely, also the
// one that is being called and others that are ready in the same round (a removed source is never
// called again). There is no static state: a program may have several loops.
//
// Test: test/base/loop_test.c.
#pragma once

#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/process.h"

typedef struct Loop Loop;
// One descriptor, timer or child. Owned by the loop; dead after loop_remove, and, for timers and
// children, after it was called.
typedef struct LoopSource LoopSource;

typedef void (*LoopFdFn)(void *ctx, uint32_t events); // EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR, as from epoll
typedef void (*LoopTimerFn)(void *ctx);
typedef void (*LoopChildFn)(void *ctx, int status, const struct rusage *usage); // as from wait4
typedef void (*LoopPostFn)(void *ctx);

MUST_CHECK bool loop_new(Loop **ret, Err *err);
// Removes all sources (without calling them; children are neither killed nor waited for) and drops
// posted work.
void loop_free(Loop *loop);

// Level-triggered. The descriptor stays the caller's and must be open until loop_remove.
MUST_CHECK bool loop_add_fd(Loop *loop, int fd, uint32_t events, LoopFdFn fn, void *ctx, LoopSource **ret, Err *err);
// Calls once, at or after `deadline_ns` of loop_now_ns. Timers of one round fire in the order of
// their deadlines.
LoopSource *loop_add_timer(Loop *loop, uint64_t deadline_ns, LoopTimerFn fn, void *ctx);
// Waits for the child by its pidfd, reaps it, closes the pidfd (which becomes the loop's) and calls
// once.
MUST_CHECK bool loop_add_child(Loop *loop, Process process, LoopChildFn fn, void *ctx, LoopSource **ret, Err *err);
// NULL is allowed. For a child that has not ended, the pidfd is closed and the process is left to
// the caller.
void loop_remove(LoopSource *source);

// Any thread: has `fn(ctx)` called in the loop's thread. Posted work runs in the order of posting,
// before the loop waits again.
void loop_post(Loop *loop, LoopPostFn fn, void *ctx);
// Any thread: makes a waiting (or the next) loop_run_once return.
void loop_wake(Loop *loop);

// One round: waits until something is ready (at most `timeout_ms`; -1: without limit; 0: only
// looks), then calls everything that is. False only on failures of epoll itself.
MUST_CHECK bool loop_run_once(Loop *loop, int timeout_ms, Err *err);
// The epoll descriptor becomes readable when loop_run_once has something to do, so that a loop can
// be nested in another one. Timers do not make it readable: loop_next_deadline_ns tells
// (UINT64_MAX: none).
int loop_fd(const Loop *loop);
uint64_t loop_next_deadline_ns(const Loop *loop);
uint64_t loop_now_ns(void); // CLOCK_MONOTONIC
