// directory_combine.c: read-only, cache and first combinators of directory services.
#include "castore/directory_combine.h"

typedef struct DirectoryCombine {
  DirectoryService service;
  size_t count;
  DirectoryService *parts[]; // owned
} DirectoryCombine;

static DirectoryCombine *directory_combine_self(DirectoryService *service) {
  return (DirectoryCombine *)service;
}

static DirectoryService *directory_combine_new(const DirectoryServiceOps *ops, DirectoryService *const *parts,
                                               size_t count) {
  DirectoryCombine *self = mem_alloc_zero(sizeof(*self) + count * sizeof(*parts));
  self->service.ops = ops;
  self->count = count;
  memcpy(self->parts, parts, count * sizeof(*parts));
  return &self->service;
}

static void directory_combine_free(DirectoryService *service) {
  DirectoryCombine *self = directory_combine_self(service);
  for (size_t i = 0; i < self->count; i++) directory_service_free(self->parts[i]);
  mem_free(self);
}

static bool directory_combine_get(DirectoryService *service, const CastoreDigest *digest, Buf *ret, bool *ret_found,
                                  Err *err) {
  DirectoryCombine *self = directory_combine_self(service);
  *ret_found = false;
  for (size_t i = 0; i < self->count && !*ret_found; i++)
    if (!directory_service_get_encoded(self->parts[i], digest, ret, ret_found, err)) return false;
  return true;
}

static bool directory_combine_put(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err) {
  return directory_service_put_encoded(directory_combine_self(service)->parts[0], digest, encoded, err);
}

static bool directory_combine_flush(DirectoryService *service, Err *err) {
  DirectoryCombine *self = directory_combine_self(service);
  for (size_t i = 0; i < self->count; i++)
    if (!directory_service_flush(self->parts[i], err)) return false;
  return true;
}

static const DirectoryServiceOps directory_combine_first_ops = {"first", directory_combine_get, directory_combine_put,
                                                                directory_combine_flush, directory_combine_free};

DirectoryService *directory_combine_first(DirectoryService *const *services, size_t count) {
  return directory_combine_new(&directory_combine_first_ops, services, count);
}

static bool directory_combine_refuse(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err) {
  return err_set(err, ERR_OTHER, "the directory service is read-only");
}

static const DirectoryServiceOps directory_combine_read_only_ops = {
    "readonly", directory_combine_get, directory_combine_refuse, directory_combine_flush, directory_combine_free};

DirectoryService *directory_combine_read_only(DirectoryService *inner) {
  return directory_combine_new(&directory_combine_read_only_ops, &inner, 1);
}

static bool directory_combine_cache_get(DirectoryService *service, const CastoreDigest *digest, Buf *ret,
                                        bool *ret_found, Err *err) {
  DirectoryCombine *self = directory_combine_self(service);
  size_t start = ret->len;
  if (!directory_service_get_encoded(self->parts[0], digest, ret, ret_found, err)) return false;
  if (*ret_found) return true;
  if (!directory_service_get_encoded(self->parts[1], digest, ret, ret_found, err)) return false;
  return !*ret_found || directory_service_put_encoded(self->parts[0], digest, span_from(buf_span(ret), start), err);
}

static bool directory_combine_cache_put(DirectoryService *service, const CastoreDigest *digest, Span encoded,
                                        Err *err) {
  DirectoryCombine *self = directory_combine_self(service);
  return directory_service_put_encoded(self->parts[1], digest, encoded, err) &&
         directory_service_put_encoded(self->parts[0], digest, encoded, err);
}

static const DirectoryServiceOps directory_combine_cache_ops = {
    "cache", directory_combine_cache_get, directory_combine_cache_put, directory_combine_flush, directory_combine_free};

DirectoryService *directory_combine_cache(DirectoryService *near, DirectoryService *far) {
  DirectoryService *parts[] = {near, far};
  return directory_combine_new(&directory_combine_cache_ops, parts, ARRAY_LEN(parts));
}
