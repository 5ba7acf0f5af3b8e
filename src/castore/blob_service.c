// blob_service.c: wrappers and URLs of blob services.
#include "castore/blob_service.h"

#include "castore/blob_chunked.h"
#include "castore/blob_combine.h"
#include "castore/blob_local.h"
#include "castore/blob_memory.h"
#include "castore/service_url.h"

#define BLOB_SERVICE_PARTS_MAX 32u // of one combinator

void blob_service_free(BlobService *service) {
  if (service) service->ops->free(service);
}

static bool blob_service_open_parts(Span rest, BlobService **parts, size_t *ret_count, Err *err) {
  *ret_count = 0;
  bool ok = true;
  while (ok && rest.len > 0) {
    Span inner;
    ok = service_url_take(&rest, &inner, err) &&
         (*ret_count < BLOB_SERVICE_PARTS_MAX ||
          err_set(err, ERR_LIMIT, "more than %u parts", BLOB_SERVICE_PARTS_MAX)) &&
         blob_service_open_url(inner, &parts[*ret_count], err);
    if (ok) (*ret_count)++;
  }
  if (!ok)
    while (*ret_count > 0) blob_service_free(parts[--*ret_count]);
  return ok;
}

static bool blob_service_open_combinator(Span scheme, Span rest, BlobService **ret, Err *err) {
  BlobService *parts[BLOB_SERVICE_PARTS_MAX];
  size_t count;
  if (!blob_service_open_parts(rest, parts, &count, err)) return false;
  bool is_cache = span_eq_cstr(scheme, "cache");
  if (is_cache ? count != 2 : count == 0) {
    while (count > 0) blob_service_free(parts[--count]);
    return err_set(err, ERR_USAGE, "'%.*s:' needs %s", SPAN_ARG(scheme),
                   is_cache ? "two services" : "at least one service");
  }
  *ret = is_cache ? blob_combine_cache(parts[0], parts[1]) : blob_combine_first(parts, count);
  return true;
}

bool blob_service_open_url(Span url, BlobService **ret, Err *err) {
  Span scheme, rest;
  if (!service_url_split(url, &scheme, &rest, err)) return false;
  if (span_eq_cstr(scheme, "memory")) {
    *ret = blob_memory_new();
    return true;
  }
  if (span_eq_cstr(scheme, "local")) {
    CLEANUP(mem_free_ptr) char *root = span_dup(rest);
    ObjectStore *store;
    if (!object_store_open(root, NULL, &store, err)) return false;
    *ret = blob_local_new(store, true);
    return true;
  }
  if (span_eq_cstr(scheme, "objectstore+file")) {
    CLEANUP(mem_free_ptr) char *root = span_dup(span_has_prefix(rest, SPAN("//")) ? span_from(rest, 2) : rest);
    return blob_chunked_open(root, ret, err);
  }
  if (span_eq_cstr(scheme, "readonly")) {
    BlobService *inner;
    if (!blob_service_open_url(rest, &inner, err)) return false;
    *ret = blob_combine_read_only(inner);
    return true;
  }
  if (span_eq_cstr(scheme, "cache") || span_eq_cstr(scheme, "first"))
    return blob_service_open_combinator(scheme, rest, ret, err);
  return err_set(err, ERR_USAGE, "unknown kind of blob service '%.*s:'", SPAN_ARG(scheme));
}

bool blob_service_stat(BlobService *service, const CastoreDigest *digest, bool *ret_found, uint64_t *ret_size_bytes,
                       Err *err) {
  uint64_t unused;
  return service->ops->stat(service, digest, ret_found, ret_size_bytes ? ret_size_bytes : &unused, err);
}

bool blob_service_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  return service->ops->open(service, digest, ret, err);
}

void blob_service_close(BlobReader *reader) {
  if (reader) reader->ops->free(reader);
}

bool blob_service_read(BlobReader *reader, void *data, size_t cap, size_t *ret_len, Err *err) {
  if (!reader->ops->read_at(reader, reader->offset, data, cap, ret_len, err)) return false;
  reader->offset += *ret_len;
  return true;
}

bool blob_service_read_at(BlobReader *reader, uint64_t offset, void *data, size_t cap, size_t *ret_len, Err *err) {
  return reader->ops->read_at(reader, offset, data, cap, ret_len, err);
}

bool blob_service_map(BlobReader *reader, Span *ret) {
  *ret = reader->ops->map ? reader->ops->map(reader) : (Span){NULL, 0};
  return ret->data != NULL;
}

bool blob_service_get(BlobService *service, const CastoreDigest *digest, size_t limit_bytes, Buf *ret, bool *ret_found,
                      Err *err) {
  BlobReader *reader;
  if (!blob_service_open(service, digest, &reader, err)) return false;
  *ret_found = reader != NULL;
  if (!reader) return true;
  bool ok = true;
  Span mapped;
  if (limit_bytes && reader->size_bytes > limit_bytes) {
    ok = err_set(err, ERR_LIMIT, "a blob of %llu bytes is larger than the limit of %zu",
                 (unsigned long long)reader->size_bytes, limit_bytes);
  } else if (blob_service_map(reader, &mapped)) {
    buf_put_span(ret, mapped);
  } else {
    size_t size = (size_t)reader->size_bytes, n = 0;
    buf_reserve(ret, size + 1);
    ok = blob_service_read_at(reader, 0, ret->data + ret->len, size, &n, err);
    if (ok && n < size) ok = err_set(err, ERR_CORRUPT, "a blob ends after %zu of %zu bytes", n, size);
    if (ok) ret->len += n;
  }
  blob_service_close(reader);
  return ok;
}

bool blob_service_write(BlobService *service, BlobWriter **ret, Err *err) {
  return service->ops->write(service, ret, err);
}

bool blob_service_write_put(BlobWriter *writer, Span data, Err *err) {
  return data.len == 0 || writer->ops->put(writer, data, err);
}

bool blob_service_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err) {
  return writer->ops->finish(writer, ret, ret_size_bytes, err);
}

void blob_service_write_free(BlobWriter *writer) {
  if (writer) writer->ops->free(writer);
}

bool blob_service_put(BlobService *service, Span data, const CastoreDigest *known, CastoreDigest *ret, Err *err) {
  if (known) *ret = *known;
  else hash_blake3(data, ret->bytes);
  return service->ops->put(service, ret, data, err);
}

bool blob_service_flush(BlobService *service, Err *err) {
  return service->ops->flush(service, err);
}

static bool blob_service_pump(BlobReader *reader, BlobWriter *writer, const CastoreDigest *digest, Err *err) {
  Span mapped;
  if (blob_service_map(reader, &mapped)) {
    if (!blob_service_write_put(writer, mapped, err)) return false;
  } else {
    CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
    for (;;) {
      size_t n;
      if (!blob_service_read(reader, chunk, BYTE_STREAM_CHUNK_BYTES, &n, err)) return false;
      if (n == 0) break;
      if (!blob_service_write_put(writer, span_make(chunk, n), err)) return false;
    }
  }
  CastoreDigest got;
  uint64_t size;
  if (!blob_service_write_finish(writer, &got, &size, err)) return false;
  if (castore_node_digest_eq(&got, digest)) return true;
  CLEANUP(buf_done) Buf want_text = BUF_INIT, got_text = BUF_INIT;
  castore_node_format_digest(digest, &want_text);
  castore_node_format_digest(&got, &got_text);
  return err_set(err, ERR_CORRUPT, "blob %s has content with the digest %s", buf_cstr(&want_text), buf_cstr(&got_text));
}

bool blob_service_copy(BlobService *from, BlobService *to, const CastoreDigest *digest, Err *err) {
  BlobReader *reader = NULL;
  BlobWriter *writer = NULL;
  if (!blob_service_open(from, digest, &reader, err)) return false;
  if (!reader) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    castore_node_format_digest(digest, &text);
    return err_set(err, ERR_NOT_FOUND, "blob %s is missing", buf_cstr(&text));
  }
  bool ok = blob_service_write(to, &writer, err) && blob_service_pump(reader, writer, digest, err);
  blob_service_write_free(writer);
  blob_service_close(reader);
  return ok;
}
