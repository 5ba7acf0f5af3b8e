// work_pool.c: ordered items on a few threads.
#include "castore/work_pool.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/process.h"

struct WorkPool {
  WorkPoolFn fn;
  void *ctx;
  size_t count, window;
  unsigned thread_count;
  pthread_t *threads; // owned

  pthread_mutex_t mutex; // everything below
  pthread_cond_t may_start, is_done;
  size_t next;     // first item that nobody has started
  size_t released; // items below are of no more use
  bool stop;
  unsigned char *done; // ring of `window` flags
};

unsigned work_pool_default_threads(void) {
  unsigned cores = process_cpu_count();
  if (cores > 9) cores = 9;
  return cores > 1 ? cores - 1 : 1;
}

// The mutex is held, and released during the work.
static void work_pool_run_next(WorkPool *pool) {
  size_t item = pool->next++;
  pthread_mutex_unlock(&pool->mutex);
  pool->fn(pool->ctx, item);
  pthread_mutex_lock(&pool->mutex);
  pool->done[item % pool->window] = 1;
  pthread_cond_signal(&pool->is_done);
}

static void *work_pool_main(void *arg) {
  WorkPool *pool = arg;
  pthread_mutex_lock(&pool->mutex);
  while (!pool->stop && pool->next < pool->count) {
    if (pool->next < pool->released + pool->window) work_pool_run_next(pool);
    else pthread_cond_wait(&pool->may_start, &pool->mutex);
  }
  pthread_mutex_unlock(&pool->mutex);
  return NULL;
}

WorkPool *work_pool_start(unsigned threads, size_t count, size_t window, WorkPoolFn fn, void *ctx) {
  WorkPool *pool = mem_alloc_zero(sizeof(*pool));
  if (window == 0) window = 1;
  *pool = (WorkPool){.fn = fn, .ctx = ctx, .count = count, .window = window};
  pool->done = mem_alloc_zero(window);
  pool->threads = mem_alloc_array(threads ? threads : 1, sizeof(*pool->threads));
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->may_start, NULL);
  pthread_cond_init(&pool->is_done, NULL);
  for (unsigned i = 0; i < threads && i < count; i++) {
    // Without a thread the consumer does the work itself.
    if (pthread_create(&pool->threads[pool->thread_count], NULL, work_pool_main, pool) != 0) break;
    pool->thread_count++;
  }
  return pool;
}

void work_pool_wait(WorkPool *pool, size_t item) {
  pthread_mutex_lock(&pool->mutex);
  while (!pool->done[item % pool->window]) {
    if (pool->next <= item) work_pool_run_next(pool);
    else pthread_cond_wait(&pool->is_done, &pool->mutex);
  }
  pthread_mutex_unlock(&pool->mutex);
}

void work_pool_release(WorkPool *pool, size_t item) {
  pthread_mutex_lock(&pool->mutex);
  pool->done[item % pool->window] = 0;
  pool->released = item + 1;
  // Waking workers one item at a time would cost a system call per file: they are woken when half the window is free.
  bool wake = pool->next >= item + 1 && pool->next - (item + 1) <= pool->window / 2;
  if (wake) pthread_cond_broadcast(&pool->may_start);
  pthread_mutex_unlock(&pool->mutex);
}

void work_pool_free(WorkPool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->mutex);
  pool->stop = true;
  pthread_cond_broadcast(&pool->may_start);
  pthread_mutex_unlock(&pool->mutex);
  for (unsigned i = 0; i < pool->thread_count; i++) pthread_join(pool->threads[i], NULL);
  pthread_mutex_destroy(&pool->mutex);
  pthread_cond_destroy(&pool->may_start);
  pthread_cond_destroy(&pool->is_done);
  mem_free(pool->threads);
  mem_free(pool->done);
  mem_free(pool);
}
