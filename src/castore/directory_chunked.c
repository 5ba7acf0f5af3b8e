// directory_chunked.c: closures of directories as compressed objects.
#include "castore/directory_chunked.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"
#include "castore/blob_chunked.h"

typedef struct DirectoryChunked {
  DirectoryService service;
  char *root;            // owned
  pthread_mutex_t mutex; // of the maps
  Map pending;           // digest -> Buf *, owned; not written yet
  Map cache;             // the same; came with an object that was read
  size_t cache_bytes;
} DirectoryChunked;

static Span directory_chunked_key(const CastoreDigest *digest) {
  return span_make(digest->bytes, sizeof(digest->bytes));
}

static void directory_chunked_clear(Map *map) {
  for (MapEntry *entry = map_first(map); entry; entry = map_next(map, entry)) {
    buf_done(entry->value);
    mem_free(entry->value);
  }
  map_done(map);
  *map = (Map)MAP_INIT;
}

static void directory_chunked_remember(Map *map, Span key, Span encoded) {
  if (map_has(map, key)) return;
  Buf *copy = mem_alloc_zero(sizeof(*copy));
  buf_put_span(copy, encoded);
  map_set(map, key, copy);
}

// ---- reading

// Takes one frame from the front of *rest.
static bool directory_chunked_frame(Span *rest, Span *ret, Err *err) {
  const unsigned char *head = (const unsigned char *)rest->data;
  if (rest->len < 4) return err_set(err, ERR_CORRUPT, "a frame is cut off");
  uint32_t len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
  if (len > DIRECTORY_CHUNKED_FRAME_BYTES_MAX) return err_set(err, ERR_LIMIT, "a frame of %u bytes is too large", len);
  if (rest->len - 4 < len) return err_set(err, ERR_CORRUPT, "a frame is cut off");
  *ret = span_sub(*rest, 4, len);
  *rest = span_from(*rest, 4 + (size_t)len);
  return true;
}

// The mutex is held.
static bool directory_chunked_keep_all(DirectoryChunked *self, Span frames, Err *err) {
  if (self->cache_bytes + frames.len > DIRECTORY_CHUNKED_CACHE_BYTES) {
    directory_chunked_clear(&self->cache);
    self->cache_bytes = 0;
  }
  self->cache_bytes += frames.len;
  while (frames.len > 0) {
    Span encoded;
    CastoreDigest digest;
    if (!directory_chunked_frame(&frames, &encoded, err)) return false;
    hash_blake3(encoded, digest.bytes);
    directory_chunked_remember(&self->cache, directory_chunked_key(&digest), encoded);
  }
  return true;
}

static bool directory_chunked_load(DirectoryChunked *self, const CastoreDigest *digest, Buf *ret, bool *ret_found,
                                   Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf packed = BUF_INIT;
  CLEANUP(buf_done) Buf frames = BUF_INIT;
  Err read_err = ERR_INIT;
  blob_chunked_format_path(self->root, "dirs", digest, &path);
  if (!fs_read_file(buf_cstr(&path), DIRECTORY_CHUNKED_OBJECT_BYTES_MAX, &packed, &read_err)) {
    *ret_found = false;
    if (read_err.kind != ERR_NOT_FOUND) return err_move(err, &read_err);
    err_done(&read_err);
    return true;
  }
  Span rest, first;
  bool ok = blob_chunked_decompress(buf_span(&packed), DIRECTORY_CHUNKED_OBJECT_BYTES_MAX, &frames, err);
  rest = buf_span(&frames);
  ok = ok && directory_chunked_frame(&rest, &first, err) && directory_chunked_keep_all(self, buf_span(&frames), err);
  if (!ok) return err_wrap(err, "reading '%s'", buf_cstr(&path));
  *ret_found = true;
  buf_put_span(ret, first); // whose digest the caller checks
  return true;
}

static bool directory_chunked_get(DirectoryService *service, const CastoreDigest *digest, Buf *ret, bool *ret_found,
                                  Err *err) {
  DirectoryChunked *self = (DirectoryChunked *)service;
  bool ok = true;
  pthread_mutex_lock(&self->mutex);
  const Buf *known = map_get(&self->pending, directory_chunked_key(digest));
  if (!known) known = map_get(&self->cache, directory_chunked_key(digest));
  *ret_found = known != NULL;
  if (known) buf_put_span(ret, buf_span(known));
  else ok = directory_chunked_load(self, digest, ret, ret_found, err);
  pthread_mutex_unlock(&self->mutex);
  return ok;
}

// ---- writing

static bool directory_chunked_put(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err) {
  DirectoryChunked *self = (DirectoryChunked *)service;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  blob_chunked_format_path(self->root, "dirs", digest, &path);
  if (fs_exists(buf_cstr(&path))) return true;
  pthread_mutex_lock(&self->mutex);
  directory_chunked_remember(&self->pending, directory_chunked_key(digest), encoded);
  pthread_mutex_unlock(&self->mutex);
  return true;
}

static bool directory_chunked_visit(void *ctx, const CastoreDigest *digest UNUSED, const CastoreDirectory *directory,
                                    Err *err UNUSED) {
  Buf *frames = ctx;
  CLEANUP(buf_done) Buf encoded = BUF_INIT;
  castore_node_encode_directory(directory, &encoded);
  for (unsigned shift = 32; shift > 0; shift -= 8) buf_put_char(frames, (char)(encoded.len >> (shift - 8) & 0xff));
  buf_put_span(frames, buf_span(&encoded));
  return true;
}

static bool directory_chunked_write(DirectoryChunked *self, const CastoreDigest *digest, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf frames = BUF_INIT;
  CLEANUP(buf_done) Buf packed = BUF_INIT;
  blob_chunked_format_path(self->root, "dirs", digest, &path);
  return (directory_service_walk(&self->service, digest, directory_chunked_visit, &frames, err) &&
          blob_chunked_compress(buf_span(&frames), &packed, err) &&
          blob_chunked_write_object(buf_cstr(&path), buf_span(&packed), err)) ||
         err_wrap(err, "writing '%s'", buf_cstr(&path));
}

static bool directory_chunked_sync(const DirectoryChunked *self, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(self->root, O_RDONLY | O_DIRECTORY, 0, &fd, err)) return false;
  return syncfs(fd) == 0 || err_set_errno(err, errno, "syncing '%s'", self->root);
}

static bool directory_chunked_flush(DirectoryService *service, Err *err) {
  DirectoryChunked *self = (DirectoryChunked *)service;
  CLEANUP(buf_done) Buf digests = BUF_INIT;
  pthread_mutex_lock(&self->mutex);
  for (MapEntry *entry = map_first(&self->pending); entry; entry = map_next(&self->pending, entry))
    buf_put(&digests, entry->key, entry->key_len);
  pthread_mutex_unlock(&self->mutex);
  if (digests.len == 0) return true;
  for (size_t at = 0; at < digests.len; at += sizeof(CastoreDigest)) {
    CastoreDigest digest;
    memcpy(&digest, digests.data + at, sizeof(digest));
    if (!directory_chunked_write(self, &digest, err)) return false;
  }
  if (!directory_chunked_sync(self, err)) return false;
  pthread_mutex_lock(&self->mutex);
  for (size_t at = 0; at < digests.len; at += sizeof(CastoreDigest)) {
    Buf *written = map_remove(&self->pending, span_make(digests.data + at, sizeof(CastoreDigest)));
    if (!written) continue; // by another thread's flush
    buf_done(written);
    mem_free(written);
  }
  pthread_mutex_unlock(&self->mutex);
  return true;
}

static void directory_chunked_free(DirectoryService *service) {
  DirectoryChunked *self = (DirectoryChunked *)service;
  directory_chunked_clear(&self->pending);
  directory_chunked_clear(&self->cache);
  pthread_mutex_destroy(&self->mutex);
  mem_free(self->root);
  mem_free(self);
}

static const DirectoryServiceOps directory_chunked_ops = {
    "objectstore+file", directory_chunked_get, directory_chunked_put, directory_chunked_flush, directory_chunked_free};

bool directory_chunked_open(const char *root, DirectoryService **ret, Err *err) {
  if (!fs_mkdir_all(root, 0755, err)) return err_wrap(err, "opening the object store '%s'", root);
  DirectoryChunked *self = mem_alloc_zero(sizeof(*self));
  self->service.ops = &directory_chunked_ops;
  self->root = span_dup(span_cstr(root));
  pthread_mutex_init(&self->mutex, NULL);
  *ret = &self->service;
  return true;
}
