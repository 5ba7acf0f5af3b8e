// loop.c: see loop.h. Sources are freed at the end of a round, so that events that were already
// fetched for a removed source find it marked dead instead of gone.
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"

typedef enum SourceKind { SOURCE_FD, SOURCE_TIMER, SOURCE_CHILD } SourceKind;

struct LoopSource {
  Loop *loop;
  LoopSource *next, *prev; // all live sources
  SourceKind kind;
  bool dead; // removed or spent; freed at the end of the round
  void *ctx;
  LoopFdFn fd_fn;
  LoopTimerFn timer_fn;
  LoopChildFn child_fn;
  int fd;
  Process process;
  uint64_t deadline_ns;
  uint64_t sequence; // order of timers with equal deadlines
  size_t heap_index; // SIZE_MAX when not in the heap
};

typedef struct Posted {
  LoopPostFn fn;
  void *ctx;
} Posted;

struct Loop {
  int epoll_fd, wake_fd;
  LoopSource *sources; // live
  LoopSource *dead;    // linked by next
  LoopSource **heap;   // timers, a binary heap by (deadline, sequence)
  size_t heap_count, heap_cap;
  uint64_t sequence;
  pthread_mutex_t post_lock;
  Posted *posted; // guarded by post_lock
  size_t posted_count, posted_cap;
};

uint64_t loop_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// --- timers: a binary heap whose elements know their place, so that any of them can be removed

static bool timer_before(const LoopSource *a, const LoopSource *b) {
  return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->sequence < b->sequence;
}

static void heap_put(Loop *loop, size_t i, LoopSource *source) {
  loop->heap[i] = source;
  source->heap_index = i;
}

static void heap_up(Loop *loop, size_t i) {
  LoopSource *source = loop->heap[i];
  for (size_t parent; i > 0 && timer_before(source, loop->heap[parent = (i - 1) / 2]); i = parent)
    heap_put(loop, i, loop->heap[parent]);
  heap_put(loop, i, source);
}

static void heap_down(Loop *loop, size_t i) {
  LoopSource *source = loop->heap[i];
  for (size_t child; (child = 2 * i + 1) < loop->heap_count; i = child) {
    if (child + 1 < loop->heap_count && timer_before(loop->heap[child + 1], loop->heap[child])) child++;
    if (!timer_before(loop->heap[child], source)) break;
    heap_put(loop, i, loop->heap[child]);
  }
  heap_put(loop, i, source);
}

static void heap_remove(Loop *loop, LoopSource *source) {
  size_t i = source->heap_index;
  if (i == SIZE_MAX) return;
  source->heap_index = SIZE_MAX;
  LoopSource *last = loop->heap[--loop->heap_count];
  if (last == source) return;
  heap_put(loop, i, last);
  heap_up(loop, i);
  heap_down(loop, last->heap_index);
}

// --- sources

static LoopSource *source_new(Loop *loop, SourceKind kind, void *ctx) {
  LoopSource *source = mem_alloc_zero(sizeof *source);
  *source = (LoopSource){.loop = loop, .kind = kind, .ctx = ctx, .fd = -1, .process = {-1, -1}, .heap_index = SIZE_MAX};
  source->next = loop->sources;
  if (source->next) source->next->prev = source;
  loop->sources = source;
  return source;
}

void loop_remove(LoopSource *source) {
  if (!source || source->dead) return;
  Loop *loop = source->loop;
  source->dead = true;
  if (source->fd >= 0) epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
  if (source->kind == SOURCE_CHILD) fs_close_fd(&source->process.pidfd);
  heap_remove(loop, source);
  if (source->prev) source->prev->next = source->next;
  else loop->sources = source->next;
  if (source->next) source->next->prev = source->prev;
  source->next = loop->dead;
  loop->dead = source;
}

static void free_dead(Loop *loop) {
  while (loop->dead) {
    LoopSource *source = loop->dead;
    loop->dead = source->next;
    mem_free(source);
  }
}

static bool watch(Loop *loop, LoopSource *source, int fd, uint32_t events, Err *err) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
    return err_set_errno(err, errno, "watching file descriptor %d", fd);
  source->fd = fd;
  return true;
}

bool loop_add_fd(Loop *loop, int fd, uint32_t events, LoopFdFn fn, void *ctx, LoopSource **ret, Err *err) {
  LoopSource *source = source_new(loop, SOURCE_FD, ctx);
  source->fd_fn = fn;
  if (!watch(loop, source, fd, events, err)) {
    loop_remove(source);
    return false;
  }
  if (ret) *ret = source;
  return true;
}

LoopSource *loop_add_timer(Loop *loop, uint64_t deadline_ns, LoopTimerFn fn, void *ctx) {
  LoopSource *source = source_new(loop, SOURCE_TIMER, ctx);
  source->timer_fn = fn;
  source->deadline_ns = deadline_ns;
  source->sequence = loop->sequence++;
  MEM_RESERVE(loop->heap, loop->heap_cap, loop->heap_count + 1);
  heap_put(loop, loop->heap_count, source);
  heap_up(loop, loop->heap_count++);
  return source;
}

bool loop_add_child(Loop *loop, Process process, LoopChildFn fn, void *ctx, LoopSource **ret, Err *err) {
  LoopSource *source = source_new(loop, SOURCE_CHILD, ctx);
  source->child_fn = fn;
  if (!watch(loop, source, process.pidfd, EPOLLIN, err)) {
    loop_remove(source);
    return false;
  }
  source->process = process;
  if (ret) *ret = source;
  return true;
}

// --- rounds

static void call_child(LoopSource *source) {
  int status = 0;
  pid_t pid;
  struct rusage usage = {0};
  do pid = wait4(source->process.pid, &status, 0, &usage);
  while (pid < 0 && errno == EINTR);
  LoopChildFn fn = source->child_fn;
  void *ctx = source->ctx;
  loop_remove(source);
  fn(ctx, status, &usage);
}

static void run_posted(Loop *loop) {
  // Taken out as a whole: a callback that posts again is served in the next round, so nothing
  // starves.
  pthread_mutex_lock(&loop->post_lock);
  Posted *posted = loop->posted;
  size_t count = loop->posted_count;
  loop->posted = NULL;
  loop->posted_count = loop->posted_cap = 0;
  pthread_mutex_unlock(&loop->post_lock);
  for (size_t i = 0; i < count; i++) posted[i].fn(posted[i].ctx);
  mem_free(posted);
}

static void run_timers(Loop *loop) {
  uint64_t now = loop_now_ns(), limit = loop->sequence;
  // Timers added by the callbacks of this round wait for the next one, even when already due.
  while (loop->heap_count && loop->heap[0]->deadline_ns <= now && loop->heap[0]->sequence < limit) {
    LoopSource *source = loop->heap[0];
    LoopTimerFn fn = source->timer_fn;
    void *ctx = source->ctx;
    loop_remove(source);
    fn(ctx);
  }
}

static int wait_ms(const Loop *loop, int timeout_ms) {
  if (!loop->heap_count) return timeout_ms;
  uint64_t now = loop_now_ns(), deadline = loop->heap[0]->deadline_ns;
  // Rounded up: waking too early would spin until the deadline.
  uint64_t left = deadline <= now ? 0 : (deadline - now + 999999) / 1000000;
  if (left > INT32_MAX) left = INT32_MAX;
  return timeout_ms >= 0 && (uint64_t)timeout_ms < left ? timeout_ms : (int)left;
}

bool loop_run_once(Loop *loop, int timeout_ms, Err *err) {
  enum { EVENTS_PER_ROUND = 64 };
  struct epoll_event events[EVENTS_PER_ROUND];
  int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, wait_ms(loop, timeout_ms));
  if (count < 0 && errno != EINTR) return err_set_errno(err, errno, "waiting for events");
  for (int i = 0; i < count; i++) {
    LoopSource *source = events[i].data.ptr;
    if (!source) {
      // The counter is cleared before the queue is taken: a post in between wakes us once too
      // often, never too rarely.
      uint64_t ignored;
      if (read(loop->wake_fd, &ignored, sizeof ignored) < 0) continue;
    } else if (source->dead) {
      continue;
    } else if (source->kind == SOURCE_CHILD) {
      call_child(source);
    } else {
      source->fd_fn(source->ctx, events[i].events);
    }
  }
  run_timers(loop);
  run_posted(loop);
  free_dead(loop);
  return true;
}

void loop_post(Loop *loop, LoopPostFn fn, void *ctx) {
  pthread_mutex_lock(&loop->post_lock);
  MEM_RESERVE(loop->posted, loop->posted_cap, loop->posted_count + 1);
  loop->posted[loop->posted_count++] = (Posted){fn, ctx};
  pthread_mutex_unlock(&loop->post_lock);
  loop_wake(loop);
}

void loop_wake(Loop *loop) {
  uint64_t one = 1;
  // Fails only when the counter is at its maximum, and then the loop is woken anyway.
  ssize_t ignored UNUSED = write(loop->wake_fd, &one, sizeof one);
}

int loop_fd(const Loop *loop) {
  return loop->epoll_fd;
}

uint64_t loop_next_deadline_ns(const Loop *loop) {
  return loop->heap_count ? loop->heap[0]->deadline_ns : UINT64_MAX;
}

bool loop_new(Loop **ret, Err *err) {
  Loop *loop = mem_alloc_zero(sizeof *loop);
  pthread_mutex_init(&loop->post_lock, NULL);
  loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (loop->epoll_fd < 0 || loop->wake_fd < 0 || epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) != 0) {
    err_set_errno(err, errno, "creating an event loop");
    loop_free(loop);
    return false;
  }
  *ret = loop;
  return true;
}

void loop_free(Loop *loop) {
  if (!loop) return;
  while (loop->sources) loop_remove(loop->sources);
  free_dead(loop);
  fs_close_fd(&loop->epoll_fd);
  fs_close_fd(&loop->wake_fd);
  mem_free(loop->heap);
  mem_free(loop->posted);
  pthread_mutex_destroy(&loop->post_lock);
  mem_free(loop);
}
