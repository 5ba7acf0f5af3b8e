// pool.c: see pool.h.
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>

#include "base/mem.h"

typedef struct Job {
  PoolFn fn;
  void *ctx;
  struct Job *next;
} Job;

struct Pool {
  pthread_mutex_t lock; // guards everything below
  pthread_cond_t ready;
  Job *first, **last;
  size_t thread_max, thread_count, idle_count, queued_count;
  pthread_t *threads;
  bool closing; // threads leave when the queue is empty
};

static void *pool_thread(void *arg) {
  Pool *pool = arg;
  pthread_mutex_lock(&pool->lock);
  for (;;) {
    while (!pool->first && !pool->closing) {
      pool->idle_count++;
      pthread_cond_wait(&pool->ready, &pool->lock);
      pool->idle_count--;
    }
    Job *job = pool->first;
    if (!job) break;
    pool->first = job->next;
    if (!pool->first) pool->last = &pool->first;
    pool->queued_count--;
    pthread_mutex_unlock(&pool->lock);
    job->fn(job->ctx);
    mem_free(job);
    pthread_mutex_lock(&pool->lock);
  }
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

Pool *pool_new(size_t thread_max) {
  Pool *pool = mem_alloc_zero(sizeof *pool);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->ready, NULL);
  pool->last = &pool->first;
  pool->thread_max = thread_max ? thread_max : 1;
  pool->threads = mem_alloc_array(pool->thread_max, sizeof *pool->threads);
  return pool;
}

// Called with the lock held.
static void start_thread(Pool *pool) {
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  if (pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool) == 0) pool->thread_count++;
  pthread_sigmask(SIG_SETMASK, &former, NULL);
}

void pool_submit(Pool *pool, PoolFn fn, void *ctx) {
  pthread_mutex_lock(&pool->lock);
  if (pool->idle_count <= pool->queued_count && pool->thread_count < pool->thread_max) start_thread(pool);
  if (pool->thread_count == 0) {
    pthread_mutex_unlock(&pool->lock);
    fn(ctx);
    return;
  }
  Job *job = mem_alloc(sizeof *job);
  *job = (Job){fn, ctx, NULL};
  *pool->last = job;
  pool->last = &job->next;
  pool->queued_count++;
  pthread_cond_signal(&pool->ready);
  pthread_mutex_unlock(&pool->lock);
}

void pool_free(Pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->lock);
  pool->closing = true;
  pthread_cond_broadcast(&pool->ready);
  pthread_mutex_unlock(&pool->lock);
  for (size_t i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->ready);
  pthread_mutex_destroy(&pool->lock);
  mem_free(pool->threads);
  mem_free(pool);
}
