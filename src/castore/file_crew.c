// file_crew.c: see file_crew.h. The threads are started with the first batch: small trees do not pay for them.
#include "castore/file_crew.h"

#include "castore/work_pool.h"

void file_crew_init(FileCrew *crew, FileCrewFn work, void *ctx) {
  *crew = (FileCrew){.work = work, .ctx = ctx, .err = ERR_INIT};
  pthread_mutex_init(&crew->mutex, NULL);
  pthread_cond_init(&crew->changed, NULL);
}

static void *file_crew_main(void *arg) {
  FileCrew *crew = arg;
  pthread_mutex_lock(&crew->mutex);
  for (;;) {
    while (crew->queued == 0 && !crew->end) pthread_cond_wait(&crew->changed, &crew->mutex);
    if (crew->queued == 0) break;
    void *batch = crew->queue[--crew->queued];
    pthread_mutex_unlock(&crew->mutex);
    Err err = ERR_INIT;
    bool ok = crew->work(crew->ctx, batch, &err);
    pthread_mutex_lock(&crew->mutex);
    if (!ok && !crew->failed) {
      crew->failed = true;
      (void)err_move(&crew->err, &err);
    }
    err_done(&err);
  }
  pthread_mutex_unlock(&crew->mutex);
  return NULL;
}

static void file_crew_start(FileCrew *crew) {
  unsigned want = work_pool_default_threads();
  while (crew->thread_count < want && crew->thread_count < FILE_CREW_THREADS_MAX &&
         pthread_create(&crew->threads[crew->thread_count], NULL, file_crew_main, crew) == 0)
    crew->thread_count++;
}

bool file_crew_give(FileCrew *crew, void *batch, Err *err) {
  if (crew->thread_count == 0) file_crew_start(crew);
  pthread_mutex_lock(&crew->mutex);
  bool failed = crew->failed, queue = !failed && crew->thread_count > 0 && crew->queued < FILE_CREW_QUEUE;
  if (queue) {
    crew->queue[crew->queued++] = batch;
    pthread_cond_signal(&crew->changed);
  }
  pthread_mutex_unlock(&crew->mutex);
  return queue || (crew->work(crew->ctx, batch, err) && (!failed || err_set(err, ERR_IO, "a file failed")));
}

bool file_crew_end(FileCrew *crew, void *last, bool ok, Err *err) {
  // Also after a failure: the batch holds what has to be freed.
  if (last && !crew->work(crew->ctx, last, ok ? err : NULL)) ok = false;
  pthread_mutex_lock(&crew->mutex);
  crew->end = true;
  pthread_cond_broadcast(&crew->changed);
  pthread_mutex_unlock(&crew->mutex);
  for (unsigned i = 0; i < crew->thread_count; i++) pthread_join(crew->threads[i], NULL);
  if (crew->failed) {
    if (err) err_done(err); // what the caller says is only that a file failed
    ok = err_move(err, &crew->err);
  }
  pthread_mutex_destroy(&crew->mutex);
  pthread_cond_destroy(&crew->changed);
  err_done(&crew->err);
  return ok;
}
