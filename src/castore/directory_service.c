// directory_service.c: wrappers and URLs of directory services.
#include "castore/directory_service.h"

#include "base/map.h"
#include "castore/directory_chunked.h"
#include "castore/directory_combine.h"
#include "castore/directory_local.h"
#include "castore/directory_memory.h"
#include "castore/service_url.h"

#define DIRECTORY_SERVICE_PARTS_MAX 32u // of one combinator

void directory_service_free(DirectoryService *service) {
  if (service) service->ops->free(service);
}

static bool directory_service_open_parts(Span rest, DirectoryService **parts, size_t *ret_count, Err *err) {
  *ret_count = 0;
  bool ok = true;
  while (ok && rest.len > 0) {
    Span inner;
    ok = service_url_take(&rest, &inner, err) &&
         (*ret_count < DIRECTORY_SERVICE_PARTS_MAX ||
          err_set(err, ERR_LIMIT, "more than %u parts", DIRECTORY_SERVICE_PARTS_MAX)) &&
         directory_service_open_url(inner, &parts[*ret_count], err);
    if (ok) (*ret_count)++;
  }
  if (!ok)
    while (*ret_count > 0) directory_service_free(parts[--*ret_count]);
  return ok;
}

static bool directory_service_open_combinator(Span scheme, Span rest, DirectoryService **ret, Err *err) {
  DirectoryService *parts[DIRECTORY_SERVICE_PARTS_MAX];
  size_t count;
  if (!directory_service_open_parts(rest, parts, &count, err)) return false;
  bool is_cache = span_eq_cstr(scheme, "cache");
  if (is_cache ? count != 2 : count == 0) {
    while (count > 0) directory_service_free(parts[--count]);
    return err_set(err, ERR_USAGE, "'%.*s:' needs %s", SPAN_ARG(scheme),
                   is_cache ? "two services" : "at least one service");
  }
  *ret = is_cache ? directory_combine_cache(parts[0], parts[1]) : directory_combine_first(parts, count);
  return true;
}

bool directory_service_open_url(Span url, DirectoryService **ret, Err *err) {
  Span scheme, rest;
  if (!service_url_split(url, &scheme, &rest, err)) return false;
  if (span_eq_cstr(scheme, "memory")) {
    *ret = directory_memory_new();
    return true;
  }
  if (span_eq_cstr(scheme, "local")) {
    CLEANUP(mem_free_ptr) char *root = span_dup(rest);
    ObjectStore *store;
    if (!object_store_open(root, NULL, &store, err)) return false;
    *ret = directory_local_new(store, true);
    return true;
  }
  if (span_eq_cstr(scheme, "objectstore+file")) {
    if (!span_has_prefix(rest, SPAN("///")))
      return err_set(err, ERR_USAGE, "expected 'objectstore+file:///<directory>', not '%.*s'", SPAN_ARG(url));
    CLEANUP(mem_free_ptr) char *root = span_dup(span_from(rest, 2));
    return directory_chunked_open(root, ret, err);
  }
  if (span_eq_cstr(scheme, "readonly")) {
    DirectoryService *inner;
    if (!directory_service_open_url(rest, &inner, err)) return false;
    *ret = directory_combine_read_only(inner);
    return true;
  }
  if (span_eq_cstr(scheme, "cache") || span_eq_cstr(scheme, "first"))
    return directory_service_open_combinator(scheme, rest, ret, err);
  return err_set(err, ERR_USAGE, "unknown kind of directory service '%.*s:'", SPAN_ARG(scheme));
}

bool directory_service_get_encoded(DirectoryService *service, const CastoreDigest *digest, Buf *ret, bool *ret_found,
                                   Err *err) {
  size_t start = ret->len;
  if (!service->ops->get(service, digest, ret, ret_found, err)) return false;
  if (!*ret_found) return true;
  CastoreDigest got;
  hash_blake3(span_from(buf_span(ret), start), got.bytes);
  if (castore_node_digest_eq(&got, digest)) return true;
  ret->len = start;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  castore_node_format_digest(digest, &text);
  return err_set(err, ERR_CORRUPT, "directory %s is damaged", buf_cstr(&text));
}

bool directory_service_get(DirectoryService *service, const CastoreDigest *digest, Arena *arena, CastoreDirectory *ret,
                           bool *ret_found, Err *err) {
  CLEANUP(buf_done) Buf encoded = BUF_INIT;
  if (!directory_service_get_encoded(service, digest, &encoded, ret_found, err)) return false;
  return !*ret_found || castore_node_decode_directory(arena_dup(arena, buf_span(&encoded)), arena, ret, err);
}

bool directory_service_put(DirectoryService *service, const CastoreDirectory *directory, CastoreDigest *ret, Err *err) {
  if (!castore_node_check_directory(directory, err)) return false;
  CLEANUP(buf_done) Buf encoded = BUF_INIT;
  castore_node_directory_digest(directory, &encoded, ret);
  return service->ops->put(service, ret, buf_span(&encoded), err);
}

bool directory_service_put_encoded(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err) {
  return service->ops->put(service, digest, encoded, err);
}

bool directory_service_flush(DirectoryService *service, Err *err) {
  return service->ops->flush(service, err);
}

static bool directory_service_missing(const CastoreDigest *digest, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  castore_node_format_digest(digest, &text);
  return err_set(err, ERR_NOT_FOUND, "directory %s is missing", buf_cstr(&text));
}

bool directory_service_walk(DirectoryService *service, const CastoreDigest *root, DirectoryVisit visit, void *ctx,
                            Err *err) {
  // Breadth first: `queue` is the list of digests in the order of discovery, `seen` holds the same ones.
  Map seen = MAP_INIT;
  CLEANUP(buf_done) Buf queue = BUF_INIT;
  buf_put(&queue, root->bytes, sizeof(root->bytes));
  map_set(&seen, span_make(root->bytes, sizeof(root->bytes)), NULL);
  bool ok = true;
  for (size_t at = 0; ok && at < queue.len; at += sizeof(CastoreDigest)) {
    CastoreDigest digest;
    memcpy(digest.bytes, queue.data + at, sizeof(digest.bytes));
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CastoreDirectory directory;
    bool found;
    ok = directory_service_get(service, &digest, &arena, &directory, &found, err) &&
         (found || directory_service_missing(&digest, err)) && visit(ctx, &digest, &directory, err);
    for (size_t i = 0; ok && i < directory.count; i++) {
      const CastoreNode *entry = &directory.entries[i];
      Span key = span_make(entry->digest.bytes, sizeof(entry->digest.bytes));
      if (entry->kind != CASTORE_DIRECTORY || map_has(&seen, key)) continue;
      map_set(&seen, key, NULL);
      buf_put_span(&queue, key);
    }
  }
  map_done(&seen);
  return ok;
}

bool directory_service_descend(DirectoryService *service, const CastoreNode *node, Span path, Arena *arena,
                               CastoreNode *ret, Span *ret_rest, bool *ret_found, Err *err) {
  *ret = *node;
  *ret_rest = path;
  *ret_found = true;
  while (path.len > 0) {
    if (ret->kind != CASTORE_DIRECTORY) {
      *ret_found = false;
      return true;
    }
    Span name;
    (void)span_split(&path, '/', &name);
    if (name.len == 0) continue;
    CastoreDirectory directory;
    bool found;
    if (!directory_service_get(service, &ret->digest, arena, &directory, &found, err)) return false;
    if (!found) return directory_service_missing(&ret->digest, err);
    const CastoreNode *entry = castore_node_find(&directory, name);
    if (!entry) {
      *ret_found = false;
      return true;
    }
    *ret = *entry;
    // What is left, with the '/' before it.
    *ret_rest = path.len ? span_make(path.data - 1, path.len + 1) : path;
  }
  return true;
}
