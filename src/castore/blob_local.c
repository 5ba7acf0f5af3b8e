// blob_local.c: blobs of an object store.
#include "castore/blob_local.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"

// A large file will be waited for: the disk gets it in pieces of that size as it is written, instead of all of it at the end.
#define BLOB_LOCAL_START_BYTES ((uint64_t)16 << 20)

typedef struct BlobLocal {
  BlobService service;
  ObjectStore *store;
  bool owned;
} BlobLocal;

typedef struct BlobLocalReader {
  BlobReader reader;
  ObjectRef ref; // owned
} BlobLocalReader;

// Collects what is small in memory, and moves to a file when it is not.
typedef struct BlobLocalWriter {
  BlobWriter writer;
  ObjectStore *store;
  HashCtx hash;
  uint64_t size_bytes;
  uint64_t started_bytes; // so many are on their way to the disk
  Buf small;
  int fd;     // -1 while small
  char *path; // owned
} BlobLocalWriter;

static bool blob_local_stat(BlobService *service, const CastoreDigest *digest, bool *ret_found,
                            uint64_t *ret_size_bytes, Err *err) {
  return object_store_stat(((BlobLocal *)service)->store, digest, PACK_BLOB, ret_found, ret_size_bytes, err);
}

static bool blob_local_read_at(BlobReader *reader, uint64_t offset, void *data, size_t cap, size_t *ret_len, Err *err) {
  const ObjectRef *ref = &((BlobLocalReader *)reader)->ref;
  *ret_len = 0;
  if (ref->in_memory) {
    Span part = span_sub(ref->data, offset < SIZE_MAX ? (size_t)offset : SIZE_MAX, cap);
    if (part.len) memcpy(data, part.data, part.len);
    *ret_len = part.len;
    return true;
  }
  while (*ret_len < cap) {
    ssize_t n = pread(ref->fd, (char *)data + *ret_len, cap - *ret_len, (off_t)(offset + *ret_len));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return err_set_errno(err, errno, "reading a blob");
    if (n == 0) break;
    *ret_len += (size_t)n;
  }
  return true;
}

static Span blob_local_map(BlobReader *reader) {
  const ObjectRef *ref = &((BlobLocalReader *)reader)->ref;
  return ref->in_memory ? ref->data : (Span){NULL, 0};
}

static void blob_local_free_reader(BlobReader *reader) {
  object_store_release(&((BlobLocalReader *)reader)->ref);
  mem_free(reader);
}

static const BlobReaderOps blob_local_reader_ops = {blob_local_read_at, blob_local_map, blob_local_free_reader};

static bool blob_local_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  *ret = NULL;
  ObjectRef ref;
  if (!object_store_find(((BlobLocal *)service)->store, digest, PACK_BLOB, &ref, err)) return false;
  if (!ref.found) return true;
  BlobLocalReader *reader = mem_alloc_zero(sizeof(*reader));
  reader->reader = (BlobReader){.ops = &blob_local_reader_ops, .size_bytes = ref.size_bytes};
  reader->ref = ref;
  *ret = &reader->reader;
  return true;
}

static bool blob_local_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  return object_store_put(((BlobLocal *)service)->store, digest, PACK_BLOB, data, err);
}

static bool blob_local_write_put(BlobWriter *writer, Span data, Err *err) {
  BlobLocalWriter *self = (BlobLocalWriter *)writer;
  hash_update(&self->hash, data.data, data.len);
  self->size_bytes += data.len;
  if (self->size_bytes < OBJECT_STORE_PACKED_BYTES) {
    buf_put_span(&self->small, data);
    return true;
  }
  if (self->fd < 0) {
    if (!object_store_create(self->store, &self->fd, &self->path, err)) return false;
    if (!fs_write_all(self->fd, buf_span(&self->small), err)) return err_wrap(err, "writing '%s'", self->path);
    buf_done(&self->small);
  }
  if (!fs_write_all(self->fd, data, err)) return err_wrap(err, "writing '%s'", self->path);
  if (self->size_bytes - self->started_bytes >= BLOB_LOCAL_START_BYTES) {
    (void)sync_file_range(self->fd, (off_t)self->started_bytes, 0, SYNC_FILE_RANGE_WRITE);
    self->started_bytes = self->size_bytes;
  }
  return true;
}

static bool blob_local_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err) {
  BlobLocalWriter *self = (BlobLocalWriter *)writer;
  Hash hash;
  hash_final(&self->hash, &hash);
  memcpy(ret->bytes, hash.bytes, sizeof(ret->bytes));
  *ret_size_bytes = self->size_bytes;
  if (self->fd < 0) return object_store_put(self->store, ret, PACK_BLOB, buf_span(&self->small), err);
  int fd = self->fd;
  self->fd = -1;
  return object_store_keep(self->store, ret, false, STEAL(self->path), fd, err);
}

static void blob_local_write_free(BlobWriter *writer) {
  BlobLocalWriter *self = (BlobLocalWriter *)writer;
  fs_close_fd(&self->fd);
  if (self->path) unlink(self->path);
  mem_free(self->path);
  buf_done(&self->small);
  mem_free(self);
}

static const BlobWriterOps blob_local_writer_ops = {blob_local_write_put, blob_local_write_finish,
                                                    blob_local_write_free};

static bool blob_local_write(BlobService *service, BlobWriter **ret, Err *err) {
  BlobLocalWriter *writer = mem_alloc_zero(sizeof(*writer));
  writer->writer.ops = &blob_local_writer_ops;
  writer->store = ((BlobLocal *)service)->store;
  writer->fd = -1;
  hash_init(&writer->hash, HASH_BLAKE3);
  *ret = &writer->writer;
  return true;
}

static bool blob_local_flush(BlobService *service, Err *err) {
  return object_store_flush(((BlobLocal *)service)->store, err);
}

static void blob_local_free(BlobService *service) {
  BlobLocal *local = (BlobLocal *)service;
  if (local->owned) object_store_free(local->store);
  mem_free(local);
}

static const BlobServiceOps blob_local_ops = {"local",        blob_local_stat,  blob_local_open, blob_local_write,
                                              blob_local_put, blob_local_flush, blob_local_free};

BlobService *blob_local_new(ObjectStore *store, bool owned) {
  BlobLocal *local = mem_alloc_zero(sizeof(*local));
  *local = (BlobLocal){{&blob_local_ops}, store, owned};
  return &local->service;
}
