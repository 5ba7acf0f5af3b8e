#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "harness.h"

static void nap(long ms) {
  nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

typedef struct Work {
  _Atomic size_t running, running_max, done;
  _Atomic bool gate;
} Work;

static void do_work(void *ctx) {
  Work *work = ctx;
  size_t running = atomic_fetch_add(&work->running, 1) + 1, max = atomic_load(&work->running_max);
  while (running > max && !atomic_compare_exchange_weak(&work->running_max, &max, running)) continue;
  nap(1);
  atomic_fetch_sub(&work->running, 1);
  atomic_fetch_add(&work->done, 1);
}

TEST(all_jobs_run_and_never_more_at_once_than_allowed) {
  Work work = {0};
  Pool *pool = pool_new(4);
  for (int i = 0; i < 200; i++) pool_submit(pool, do_work, &work);
  pool_free(pool);
  CHECK_EQ_INT(work.done, 200);
  CHECK(work.running_max <= 4 && work.running_max >= 2);
}

typedef struct Ordered {
  size_t *next;
  size_t number;
} Ordered;

static void check_order(void *ctx) {
  Ordered *job = ctx;
  CHECK_EQ_INT(*job->next, job->number);
  ++*job->next;
}

TEST(one_thread_keeps_the_order) {
  enum { COUNT = 1000 };
  static Ordered jobs[COUNT];
  size_t next = 0;
  Pool *pool = pool_new(0); // means 1
  for (size_t i = 0; i < COUNT; i++) {
    jobs[i] = (Ordered){&next, i};
    pool_submit(pool, check_order, &jobs[i]);
  }
  pool_free(pool);
  CHECK_EQ_INT(next, COUNT);
}

static void wait_for_gate(void *ctx) {
  Work *work = ctx;
  atomic_fetch_add(&work->running, 1);
  while (!atomic_load(&work->gate)) nap(1);
}

// A job that waits for a later one: there must be a thread for each up to the limit.
TEST(blocked_jobs_do_not_hold_up_others) {
  Work work = {0};
  Pool *pool = pool_new(3);
  pool_submit(pool, wait_for_gate, &work);
  pool_submit(pool, wait_for_gate, &work);
  pool_submit(pool, do_work, &work);
  while (atomic_load(&work.done) == 0) nap(1);
  atomic_store(&work.gate, true);
  pool_free(pool);
}

static void count_job(void *ctx) {
  Work *work = ctx;
  atomic_fetch_add(&work->done, 1);
}

static void *submit_many(void *arg) {
  void **pool_and_work = arg;
  for (int i = 0; i < 5000; i++) pool_submit(pool_and_work[0], count_job, pool_and_work[1]);
  return NULL;
}

TEST(any_thread_may_submit) {
  Work work = {0};
  Pool *pool = pool_new(2);
  pthread_t threads[3];
  void *args[] = {pool, &work};
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, submit_many, args) == 0);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  pool_free(pool);
  CHECK_EQ_INT(work.done, 15000);
}

static void read_mask(void *ctx) {
  pthread_sigmask(SIG_SETMASK, NULL, ctx);
}

TEST(threads_block_signals) {
  sigset_t mask;
  sigemptyset(&mask);
  Pool *pool = pool_new(1);
  pool_submit(pool, read_mask, &mask);
  pool_free(pool);
  CHECK(sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD));
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
  CHECK(!sigismember(&mask, SIGINT));
}

TEST(an_unused_pool_costs_nothing) {
  pool_free(pool_new(1000));
  pool_free(NULL);
}

TEST_MAIN()
