// blob_combine.c: read-only, cache and first combinators of blob services.
#include "castore/blob_combine.h"

typedef struct BlobCombine {
  BlobService service;
  size_t count;
  BlobService *parts[]; // owned
} BlobCombine;

typedef struct BlobCombineWriter {
  BlobWriter writer;
  BlobWriter *near, *far; // owned
} BlobCombineWriter;

static BlobCombine *blob_combine_self(BlobService *service) {
  return (BlobCombine *)service;
}

static BlobService *blob_combine_new(const BlobServiceOps *ops, BlobService *const *parts, size_t count) {
  BlobCombine *self = mem_alloc_zero(sizeof(*self) + count * sizeof(*parts));
  self->service.ops = ops;
  self->count = count;
  memcpy(self->parts, parts, count * sizeof(*parts));
  return &self->service;
}

static void blob_combine_free(BlobService *service) {
  BlobCombine *self = blob_combine_self(service);
  for (size_t i = 0; i < self->count; i++) blob_service_free(self->parts[i]);
  mem_free(self);
}

static bool blob_combine_stat(BlobService *service, const CastoreDigest *digest, bool *ret_found,
                              uint64_t *ret_size_bytes, Err *err) {
  BlobCombine *self = blob_combine_self(service);
  *ret_found = false;
  for (size_t i = 0; i < self->count && !*ret_found; i++)
    if (!blob_service_stat(self->parts[i], digest, ret_found, ret_size_bytes, err)) return false;
  return true;
}

static bool blob_combine_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  BlobCombine *self = blob_combine_self(service);
  *ret = NULL;
  for (size_t i = 0; i < self->count && !*ret; i++)
    if (!blob_service_open(self->parts[i], digest, ret, err)) return false;
  return true;
}

static bool blob_combine_write(BlobService *service, BlobWriter **ret, Err *err) {
  return blob_service_write(blob_combine_self(service)->parts[0], ret, err);
}

static bool blob_combine_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  CastoreDigest unused;
  return blob_service_put(blob_combine_self(service)->parts[0], data, digest, &unused, err);
}

static bool blob_combine_flush(BlobService *service, Err *err) {
  BlobCombine *self = blob_combine_self(service);
  for (size_t i = 0; i < self->count; i++)
    if (!blob_service_flush(self->parts[i], err)) return false;
  return true;
}

static const BlobServiceOps blob_combine_first_ops = {
    "first",          blob_combine_stat,  blob_combine_open, blob_combine_write,
    blob_combine_put, blob_combine_flush, blob_combine_free};

BlobService *blob_combine_first(BlobService *const *services, size_t count) {
  return blob_combine_new(&blob_combine_first_ops, services, count);
}

// ---- read-only

static bool blob_combine_refuse_write(BlobService *service, BlobWriter **ret, Err *err) {
  return err_set(err, ERR_OTHER, "the blob service is read-only");
}

static bool blob_combine_refuse_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  return err_set(err, ERR_OTHER, "the blob service is read-only");
}

static const BlobServiceOps blob_combine_read_only_ops = {
    "readonly",         blob_combine_stat, blob_combine_open, blob_combine_refuse_write, blob_combine_refuse_put,
    blob_combine_flush, blob_combine_free};

BlobService *blob_combine_read_only(BlobService *inner) {
  return blob_combine_new(&blob_combine_read_only_ops, &inner, 1);
}

// ---- cache

static bool blob_combine_cache_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  BlobCombine *self = blob_combine_self(service);
  if (!blob_service_open(self->parts[0], digest, ret, err)) return false;
  if (*ret) return true;
  bool found;
  if (!blob_service_stat(self->parts[1], digest, &found, NULL, err)) return false;
  if (!found) return true;
  if (!blob_service_copy(self->parts[1], self->parts[0], digest, err)) return false;
  return blob_service_open(self->parts[0], digest, ret, err);
}

static bool blob_combine_cache_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  BlobCombine *self = blob_combine_self(service);
  CastoreDigest unused;
  return blob_service_put(self->parts[1], data, digest, &unused, err) &&
         blob_service_put(self->parts[0], data, digest, &unused, err);
}

static bool blob_combine_cache_write_put(BlobWriter *writer, Span data, Err *err) {
  BlobCombineWriter *self = (BlobCombineWriter *)writer;
  return blob_service_write_put(self->far, data, err) && blob_service_write_put(self->near, data, err);
}

static bool blob_combine_cache_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes,
                                            Err *err) {
  BlobCombineWriter *self = (BlobCombineWriter *)writer;
  return blob_service_write_finish(self->far, ret, ret_size_bytes, err) &&
         blob_service_write_finish(self->near, ret, ret_size_bytes, err);
}

static void blob_combine_cache_write_free(BlobWriter *writer) {
  BlobCombineWriter *self = (BlobCombineWriter *)writer;
  blob_service_write_free(self->near);
  blob_service_write_free(self->far);
  mem_free(self);
}

static const BlobWriterOps blob_combine_cache_writer_ops = {
    blob_combine_cache_write_put, blob_combine_cache_write_finish, blob_combine_cache_write_free};

static bool blob_combine_cache_write(BlobService *service, BlobWriter **ret, Err *err) {
  BlobCombine *self = blob_combine_self(service);
  BlobCombineWriter *writer = mem_alloc_zero(sizeof(*writer));
  writer->writer.ops = &blob_combine_cache_writer_ops;
  if (!blob_service_write(self->parts[0], &writer->near, err) ||
      !blob_service_write(self->parts[1], &writer->far, err)) {
    blob_combine_cache_write_free(&writer->writer);
    return false;
  }
  *ret = &writer->writer;
  return true;
}

static const BlobServiceOps blob_combine_cache_ops = {"cache",
                                                      blob_combine_stat,
                                                      blob_combine_cache_open,
                                                      blob_combine_cache_write,
                                                      blob_combine_cache_put,
                                                      blob_combine_flush,
                                                      blob_combine_free};

BlobService *blob_combine_cache(BlobService *near, BlobService *far) {
  BlobService *parts[] = {near, far};
  return blob_combine_new(&blob_combine_cache_ops, parts, ARRAY_LEN(parts));
}
