// file_crew.h: a few threads that make files for whoever walks a tree or reads an archive. Creating files is what trees cost, and the kernel does it side by
// side for different directories. Work comes in batches; when the threads have enough to do, the caller does a batch itself.
#pragma once

#include <pthread.h>

#include "base/err.h"

#define FILE_CREW_THREADS_MAX 8u
#define FILE_CREW_QUEUE 4u // batches that wait

// Does a batch and frees it, also after a failure. Any thread.
typedef bool (*FileCrewFn)(void *ctx, void *batch, Err *err);

// The fields are private.
typedef struct FileCrew {
  FileCrewFn work;
  void *ctx;
  pthread_t threads[FILE_CREW_THREADS_MAX];
  unsigned thread_count;
  pthread_mutex_t mutex; // everything below
  pthread_cond_t changed;
  void *queue[FILE_CREW_QUEUE];
  size_t queued;
  bool end, failed;
  Err err; // the first one of a thread
} FileCrew;

void file_crew_init(FileCrew *crew, FileCrewFn work, void *ctx);
// Takes the batch. False: it failed, or one before it did; file_crew_end then says why.
MUST_CHECK bool file_crew_give(FileCrew *crew, void *batch, Err *err);
// Does `last` (NULL: there is none), waits for the threads and frees the crew. False when anything failed, or with `ok` false what the caller did; *err is
// then the first error of all.
MUST_CHECK bool file_crew_end(FileCrew *crew, void *last, bool ok, Err *err);
