// directory_memory.c: directories in memory.
#include "castore/directory_memory.h"

#include <pthread.h>

#include "base/map.h"

typedef struct DirectoryMemory {
  DirectoryService service;
  pthread_mutex_t mutex;
  Map directories; // digest -> Buf *, owned
} DirectoryMemory;

static bool directory_memory_get(DirectoryService *service, const CastoreDigest *digest, Buf *ret, bool *ret_found,
                                 Err *err) {
  DirectoryMemory *memory = (DirectoryMemory *)service;
  pthread_mutex_lock(&memory->mutex);
  const Buf *encoded = map_get(&memory->directories, span_make(digest->bytes, sizeof(digest->bytes)));
  pthread_mutex_unlock(&memory->mutex);
  *ret_found = encoded != NULL;
  if (encoded) buf_put_span(ret, buf_span(encoded));
  return true;
}

static bool directory_memory_put(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err) {
  DirectoryMemory *memory = (DirectoryMemory *)service;
  Span key = span_make(digest->bytes, sizeof(digest->bytes));
  pthread_mutex_lock(&memory->mutex);
  if (!map_has(&memory->directories, key)) {
    Buf *copy = mem_alloc_zero(sizeof(*copy));
    buf_put_span(copy, encoded);
    map_set(&memory->directories, key, copy);
  }
  pthread_mutex_unlock(&memory->mutex);
  return true;
}

static bool directory_memory_flush(DirectoryService *service, Err *err) {
  return true;
}

static void directory_memory_free(DirectoryService *service) {
  DirectoryMemory *memory = (DirectoryMemory *)service;
  for (MapEntry *entry = map_first(&memory->directories); entry; entry = map_next(&memory->directories, entry)) {
    buf_done(entry->value);
    mem_free(entry->value);
  }
  map_done(&memory->directories);
  pthread_mutex_destroy(&memory->mutex);
  mem_free(memory);
}

static const DirectoryServiceOps directory_memory_ops = {"memory", directory_memory_get, directory_memory_put,
                                                         directory_memory_flush, directory_memory_free};

DirectoryService *directory_memory_new(void) {
  DirectoryMemory *memory = mem_alloc_zero(sizeof(*memory));
  memory->service.ops = &directory_memory_ops;
  pthread_mutex_init(&memory->mutex, NULL);
  return &memory->service;
}
