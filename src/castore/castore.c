// castore.c: both services together.
#include "castore/castore.h"

#include "base/map.h"

bool castore_flush(const Castore *castore, Err *err) {
  return blob_service_flush(castore->blobs, err) && directory_service_flush(castore->directories, err);
}

static bool castore_copy_blob(const Castore *from, const Castore *to, const CastoreDigest *digest, Err *err) {
  bool found;
  if (!blob_service_stat(to->blobs, digest, &found, NULL, err)) return false;
  return found || blob_service_copy(from->blobs, to->blobs, digest, err);
}

typedef struct CastoreCopy {
  const Castore *from, *to;
  Buf order; // digests of the directories, parents first
} CastoreCopy;

static bool castore_copy_visit(void *ctx, const CastoreDigest *digest, const CastoreDirectory *directory, Err *err) {
  CastoreCopy *copy = ctx;
  buf_put(&copy->order, digest->bytes, sizeof(digest->bytes));
  for (size_t i = 0; i < directory->count; i++)
    if (directory->entries[i].kind == CASTORE_FILE &&
        !castore_copy_blob(copy->from, copy->to, &directory->entries[i].digest, err))
      return false;
  return true;
}

bool castore_copy(const Castore *from, const Castore *to, const CastoreNode *node, Err *err) {
  if (node->kind == CASTORE_SYMLINK) return true;
  if (node->kind == CASTORE_FILE) return castore_copy_blob(from, to, &node->digest, err);
  CastoreCopy copy = {from, to, BUF_INIT};
  bool ok = directory_service_walk(from->directories, &node->digest, castore_copy_visit, &copy, err);
  CLEANUP(buf_done) Buf encoded = BUF_INIT;
  for (size_t at = copy.order.len; ok && at > 0;) { // children first
    at -= sizeof(CastoreDigest);
    CastoreDigest digest;
    bool found;
    memcpy(digest.bytes, copy.order.data + at, sizeof(digest.bytes));
    buf_clear(&encoded);
    ok = directory_service_get_encoded(from->directories, &digest, &encoded, &found, err) &&
         directory_service_put_encoded(to->directories, &digest, buf_span(&encoded), err);
  }
  buf_done(&copy.order);
  return ok;
}

typedef struct CastoreSize {
  Map seen;
  uint64_t bytes;
} CastoreSize;

static bool castore_size_visit(void *ctx, const CastoreDigest *digest, const CastoreDirectory *directory, Err *err) {
  CastoreSize *size = ctx;
  for (size_t i = 0; i < directory->count; i++) {
    const CastoreNode *entry = &directory->entries[i];
    Span key = span_make(entry->digest.bytes, sizeof(entry->digest.bytes));
    if (entry->kind != CASTORE_FILE || map_has(&size->seen, key)) continue;
    map_set(&size->seen, key, NULL);
    if (__builtin_add_overflow(size->bytes, entry->size, &size->bytes))
      return err_set(err, ERR_LIMIT, "the size overflows 64 bits");
  }
  return true;
}

bool castore_unique_size(const Castore *castore, const CastoreNode *node, uint64_t *ret_bytes, Err *err) {
  *ret_bytes = node->kind == CASTORE_FILE ? node->size : 0;
  if (node->kind != CASTORE_DIRECTORY) return true;
  CastoreSize size = {MAP_INIT, 0};
  bool ok = directory_service_walk(castore->directories, &node->digest, castore_size_visit, &size, err);
  map_done(&size.seen);
  *ret_bytes = size.bytes;
  return ok;
}
