#include "base/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"

enum { MS = 1000000, PATIENCE_MS = 20000 };

static Loop *new_loop(void) {
  Err err = ERR_INIT;
  Loop *loop;
  CHECK_OK(loop_new(&loop, &err), &err);
  return loop;
}

static void round_of(Loop *loop, int timeout_ms) {
  Err err = ERR_INIT;
  CHECK_OK(loop_run_once(loop, timeout_ms, &err), &err);
}

// --- descriptors

typedef struct Reader {
  int fd, call_count;
  uint32_t events;
  Loop *loop;
  LoopSource *source, *remove;
} Reader;

static void on_readable(void *ctx, uint32_t events) {
  Reader *reader = ctx;
  reader->call_count++;
  reader->events = events;
  if (reader->remove) loop_remove(reader->remove);
}

static void watch(Loop *loop, Reader *reader) {
  Err err = ERR_INIT;
  CHECK_OK(loop_add_fd(loop, reader->fd, EPOLLIN, on_readable, reader, &reader->source, &err), &err);
}

TEST(descriptors_are_level_triggered) {
  Loop *loop = new_loop();
  int ends[2];
  CHECK(pipe(ends) == 0);
  Reader reader = {.fd = ends[0]};
  watch(loop, &reader);
  round_of(loop, 0);
  CHECK_EQ_INT(reader.call_count, 0);
  CHECK(write(ends[1], "x", 1) == 1);
  round_of(loop, PATIENCE_MS);
  round_of(loop, PATIENCE_MS);
  CHECK_EQ_INT(reader.call_count, 2);
  CHECK(reader.events & EPOLLIN);
  loop_remove(reader.source);
  round_of(loop, 0);
  CHECK_EQ_INT(reader.call_count, 2);
  close(ends[0]);
  close(ends[1]);
  loop_free(loop);
}

// Two sources are ready in one round and each removes the other: whichever comes first, the second is not called.
TEST(a_removed_source_is_not_called) {
  Loop *loop = new_loop();
  int a[2], b[2];
  CHECK(pipe(a) == 0 && pipe(b) == 0);
  CHECK(write(a[1], "x", 1) == 1 && write(b[1], "x", 1) == 1);
  Reader first = {.fd = a[0]}, second = {.fd = b[0]};
  watch(loop, &first);
  watch(loop, &second);
  first.remove = second.source;
  second.remove = first.source;
  round_of(loop, PATIENCE_MS);
  CHECK_EQ_INT(first.call_count + second.call_count, 1);
  loop_free(loop);
}

TEST(a_source_may_remove_itself) {
  Loop *loop = new_loop();
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(write(ends[1], "x", 1) == 1);
  Reader reader = {.fd = ends[0]};
  watch(loop, &reader);
  reader.remove = reader.source;
  round_of(loop, PATIENCE_MS);
  round_of(loop, 0);
  CHECK_EQ_INT(reader.call_count, 1);
  loop_free(loop);
}

TEST(a_closed_descriptor_is_an_error) {
  Loop *loop = new_loop();
  Err err = ERR_INIT;
  Reader reader = {.fd = 999};
  CHECK_ERR(loop_add_fd(loop, 999, EPOLLIN, on_readable, &reader, NULL, &err), &err, ERR_IO, "descriptor 999");
  loop_free(loop);
}

// --- timers

typedef struct Timers {
  Loop *loop;
  uint64_t fired[600];
  size_t fired_count;
} Timers;

typedef struct Timer {
  Timers *all;
  uint64_t deadline_ns, order;
  LoopSource *source; // NULL once fired or removed
} Timer;

static void on_timer(void *ctx) {
  Timer *timer = ctx;
  CHECK(loop_now_ns() >= timer->deadline_ns);
  timer->source = NULL;
  timer->all->fired[timer->all->fired_count++] = timer->order;
}

static int by_deadline(const void *a, const void *b) {
  const Timer *x = *(Timer *const *)a, *y = *(Timer *const *)b;
  if (x->deadline_ns != y->deadline_ns) return x->deadline_ns < y->deadline_ns ? -1 : 1;
  return x->order < y->order ? -1 : 1;
}

// Random deadlines with many equal ones, a third removed again: the rest fires in order of deadline, then of adding.
TEST(timers_fire_in_order) {
  uint64_t rng = test_seed();
  enum { COUNT = 600 };
  static Timer timers[COUNT];
  static Timer *expected[COUNT];
  Timers all = {.loop = new_loop()};
  uint64_t start = loop_now_ns();
  for (size_t i = 0; i < COUNT; i++) {
    timers[i] = (Timer){.all = &all, .deadline_ns = start + test_random_below(&rng, 40) * MS, .order = i};
    timers[i].source = loop_add_timer(all.loop, timers[i].deadline_ns, on_timer, &timers[i]);
  }
  size_t left = 0;
  for (size_t i = 0; i < COUNT; i++) {
    if (test_random_below(&rng, 3) == 0) {
      loop_remove(timers[i].source);
      timers[i].source = NULL;
    } else {
      expected[left++] = &timers[i];
    }
  }
  qsort(expected, left, sizeof *expected, by_deadline);
  CHECK(loop_next_deadline_ns(all.loop) == expected[0]->deadline_ns);
  while (all.fired_count < left) round_of(all.loop, -1);
  for (size_t i = 0; i < left; i++) CHECK_EQ_INT(all.fired[i], expected[i]->order);
  CHECK(loop_next_deadline_ns(all.loop) == UINT64_MAX);
  loop_free(all.loop);
}

static void add_due_timer(void *ctx) {
  Timers *all = ctx;
  all->fired_count++;
  loop_add_timer(all->loop, 0, add_due_timer, all);
}

TEST(a_timer_that_adds_due_timers_does_not_starve_the_loop) {
  Timers all = {.loop = new_loop()};
  loop_add_timer(all.loop, 0, add_due_timer, &all);
  for (size_t i = 1; i <= 5; i++) {
    round_of(all.loop, PATIENCE_MS);
    CHECK_EQ_INT(all.fired_count, i);
  }
  loop_free(all.loop);
}

TEST(the_timeout_ends_a_round) {
  Loop *loop = new_loop();
  uint64_t start = loop_now_ns();
  round_of(loop, 20);
  CHECK(loop_now_ns() - start >= 19 * (uint64_t)MS);
  loop_free(loop);
}

// --- children

typedef struct Child {
  bool ended;
  int status;
  struct rusage usage;
} Child;

static void on_child(void *ctx, int status, const struct rusage *usage) {
  *(Child *)ctx = (Child){true, status, *usage};
}

static LoopSource *start(Loop *loop, const char *script, Child *child, Process *ret_process) {
  Err err = ERR_INIT;
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = (const char *const[]){"/bin/sh", "-c", script, NULL};
  LoopSource *source;
  CHECK_OK(process_spawn(&spec, ret_process, &err), &err);
  CHECK_OK(loop_add_child(loop, *ret_process, on_child, child, &source, &err), &err);
  return source;
}

TEST(children_are_reaped_with_status_and_usage) {
  Loop *loop = new_loop();
  Child fast = {0}, killed = {0};
  Process process;
  start(loop, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 7", &fast, &process);
  while (!fast.ended) round_of(loop, PATIENCE_MS);
  CHECK_EQ_INT(fast.status, 7 << 8);
  CHECK(fast.usage.ru_utime.tv_sec > 0 || fast.usage.ru_utime.tv_usec > 0);
  start(loop, "exec sleep 60", &killed, &process);
  process_kill(&process, SIGKILL, false);
  while (!killed.ended) round_of(loop, PATIENCE_MS);
  CHECK(WIFSIGNALED(killed.status) && WTERMSIG(killed.status) == SIGKILL);
  CHECK(waitpid(-1, NULL, WNOHANG) < 0);
  loop_free(loop);
}

TEST(a_removed_child_is_left_to_the_caller) {
  Loop *loop = new_loop();
  Child child = {0};
  Process process;
  LoopSource *source = start(loop, "exit 3", &child, &process);
  loop_remove(source);
  loop_free(loop);
  int status;
  CHECK(waitpid(process.pid, &status, 0) == process.pid);
  CHECK_EQ_INT(status, 3 << 8);
  CHECK(!child.ended);
}

// --- posting

typedef struct Posts {
  Loop *loop;
  uint64_t next[4]; // per thread, what must come next
  size_t call_count;
} Posts;

typedef struct Post {
  Posts *posts;
  size_t thread;
  uint64_t number;
} Post;

static void on_post(void *ctx) {
  Post *post = ctx;
  CHECK_EQ_INT(post->number, post->posts->next[post->thread]++);
  post->posts->call_count++;
}

enum { POSTS_PER_THREAD = 5000 };
static Post posts_of[4][POSTS_PER_THREAD];

static void *post_many(void *arg) {
  Post *mine = arg;
  for (size_t i = 0; i < POSTS_PER_THREAD; i++) loop_post(mine[i].posts->loop, on_post, &mine[i]);
  return NULL;
}

// Four threads post; nothing is lost, and what one thread posts comes in its order.
TEST(posts_of_many_threads) {
  Posts posts = {.loop = new_loop()};
  pthread_t threads[4];
  for (size_t t = 0; t < 4; t++) {
    for (size_t i = 0; i < POSTS_PER_THREAD; i++) posts_of[t][i] = (Post){&posts, t, i};
    CHECK(pthread_create(&threads[t], NULL, post_many, posts_of[t]) == 0);
  }
  while (posts.call_count < 4 * POSTS_PER_THREAD) round_of(posts.loop, PATIENCE_MS);
  for (size_t t = 0; t < 4; t++) pthread_join(threads[t], NULL);
  loop_free(posts.loop);
}

static void post_again(void *ctx) {
  Posts *posts = ctx;
  posts->call_count++;
  loop_post(posts->loop, post_again, posts);
}

TEST(a_post_that_posts_again_waits_for_the_next_round) {
  Posts posts = {.loop = new_loop()};
  loop_post(posts.loop, post_again, &posts);
  for (size_t i = 1; i <= 5; i++) {
    round_of(posts.loop, PATIENCE_MS);
    CHECK_EQ_INT(posts.call_count, i);
  }
  loop_free(posts.loop);
}

TEST(wake_ends_a_wait) {
  Loop *loop = new_loop();
  loop_wake(loop);
  uint64_t start = loop_now_ns();
  round_of(loop, PATIENCE_MS);
  CHECK(loop_now_ns() - start < (uint64_t)PATIENCE_MS * MS / 2);
  loop_free(loop);
}

TEST(a_loop_can_be_nested) {
  Loop *outer = new_loop(), *inner = new_loop();
  Posts posts = {.loop = inner};
  Post post = {&posts, 0, 0};
  Reader reader = {.fd = loop_fd(inner)};
  watch(outer, &reader);
  round_of(outer, 0);
  CHECK_EQ_INT(reader.call_count, 0);
  loop_post(inner, on_post, &post);
  round_of(outer, PATIENCE_MS);
  CHECK_EQ_INT(reader.call_count, 1);
  round_of(inner, 0);
  CHECK_EQ_INT(posts.call_count, 1);
  loop_free(outer);
  loop_free(inner);
}

TEST_MAIN()
