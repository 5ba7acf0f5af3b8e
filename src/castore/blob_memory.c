// blob_memory.c: blobs in memory.
#include "castore/blob_memory.h"

#include <pthread.h>

#include "base/map.h"

typedef struct BlobMemory {
  BlobService service;
  pthread_mutex_t mutex;
  Map blobs; // digest -> Buf *, owned, never removed: readers borrow
} BlobMemory;

typedef struct BlobMemoryReader {
  BlobReader reader;
  Span data;
} BlobMemoryReader;

typedef struct BlobMemoryWriter {
  BlobWriter writer;
  BlobMemory *service;
  Buf data;
} BlobMemoryWriter;

static Span blob_memory_key(const CastoreDigest *digest) {
  return span_make(digest->bytes, sizeof(digest->bytes));
}

static const Buf *blob_memory_get(BlobMemory *memory, const CastoreDigest *digest) {
  pthread_mutex_lock(&memory->mutex);
  const Buf *blob = map_get(&memory->blobs, blob_memory_key(digest));
  pthread_mutex_unlock(&memory->mutex);
  return blob;
}

static bool blob_memory_stat(BlobService *service, const CastoreDigest *digest, bool *ret_found,
                             uint64_t *ret_size_bytes, Err *err) {
  const Buf *blob = blob_memory_get((BlobMemory *)service, digest);
  *ret_found = blob != NULL;
  if (blob) *ret_size_bytes = blob->len;
  return true;
}

static bool blob_memory_read_at(BlobReader *reader, uint64_t offset, void *data, size_t cap, size_t *ret_len,
                                Err *err) {
  Span part = span_sub(((BlobMemoryReader *)reader)->data, offset < SIZE_MAX ? (size_t)offset : SIZE_MAX, cap);
  if (part.len) memcpy(data, part.data, part.len);
  *ret_len = part.len;
  return true;
}

static Span blob_memory_map(BlobReader *reader) {
  return ((BlobMemoryReader *)reader)->data;
}

static void blob_memory_free_reader(BlobReader *reader) {
  mem_free(reader);
}

static const BlobReaderOps blob_memory_reader_ops = {blob_memory_read_at, blob_memory_map, blob_memory_free_reader};

static bool blob_memory_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  const Buf *blob = blob_memory_get((BlobMemory *)service, digest);
  *ret = NULL;
  if (!blob) return true;
  BlobMemoryReader *reader = mem_alloc_zero(sizeof(*reader));
  reader->reader = (BlobReader){.ops = &blob_memory_reader_ops, .size_bytes = blob->len};
  reader->data = blob->len ? buf_span(blob) : SPAN("");
  *ret = &reader->reader;
  return true;
}

static bool blob_memory_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  BlobMemory *memory = (BlobMemory *)service;
  pthread_mutex_lock(&memory->mutex);
  if (!map_has(&memory->blobs, blob_memory_key(digest))) {
    Buf *blob = mem_alloc_zero(sizeof(*blob));
    buf_put_span(blob, data);
    map_set(&memory->blobs, blob_memory_key(digest), blob);
  }
  pthread_mutex_unlock(&memory->mutex);
  return true;
}

static bool blob_memory_write_put(BlobWriter *writer, Span data, Err *err) {
  buf_put_span(&((BlobMemoryWriter *)writer)->data, data);
  return true;
}

static bool blob_memory_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err) {
  BlobMemoryWriter *self = (BlobMemoryWriter *)writer;
  hash_blake3(buf_span(&self->data), ret->bytes);
  *ret_size_bytes = self->data.len;
  return blob_memory_put(&self->service->service, ret, buf_span(&self->data), err);
}

static void blob_memory_write_free(BlobWriter *writer) {
  buf_done(&((BlobMemoryWriter *)writer)->data);
  mem_free(writer);
}

static const BlobWriterOps blob_memory_writer_ops = {blob_memory_write_put, blob_memory_write_finish,
                                                     blob_memory_write_free};

static bool blob_memory_write(BlobService *service, BlobWriter **ret, Err *err) {
  BlobMemoryWriter *writer = mem_alloc_zero(sizeof(*writer));
  writer->writer.ops = &blob_memory_writer_ops;
  writer->service = (BlobMemory *)service;
  *ret = &writer->writer;
  return true;
}

static bool blob_memory_flush(BlobService *service, Err *err) {
  return true;
}

static void blob_memory_free(BlobService *service) {
  BlobMemory *memory = (BlobMemory *)service;
  for (MapEntry *entry = map_first(&memory->blobs); entry; entry = map_next(&memory->blobs, entry)) {
    buf_done(entry->value);
    mem_free(entry->value);
  }
  map_done(&memory->blobs);
  pthread_mutex_destroy(&memory->mutex);
  mem_free(memory);
}

static const BlobServiceOps blob_memory_ops = {"memory",        blob_memory_stat,  blob_memory_open, blob_memory_write,
                                               blob_memory_put, blob_memory_flush, blob_memory_free};

BlobService *blob_memory_new(void) {
  BlobMemory *memory = mem_alloc_zero(sizeof(*memory));
  memory->service.ops = &blob_memory_ops;
  pthread_mutex_init(&memory->mutex, NULL);
  return &memory->service;
}
