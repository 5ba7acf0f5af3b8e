// blob_chunked.c: objectstore+file://.
#include "castore/blob_chunked.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fs.h"
#include "castore/chunker.h"
#include "formats/base16.h"
#include "formats/pb_wire.h"

#define BLOB_CHUNKED_LIST_BYTES_MAX ((size_t)1 << 30)
#define BLOB_CHUNKED_CHUNK_BYTES_MAX ((size_t)64 << 20) // of others' chunks, uncompressed
#define BLOB_CHUNKED_LEVEL 3

typedef struct BlobChunked {
  BlobService service;
  char *root; // owned
  Chunker chunker;
} BlobChunked;

typedef struct BlobChunk {
  CastoreDigest digest;
  uint64_t offset, size_bytes;
} BlobChunk;

typedef struct BlobChunkList {
  BlobChunk *chunks; // owned
  size_t count, cap;
  uint64_t size_bytes;
} BlobChunkList;

void blob_chunked_format_path(const char *root, const char *kind, const CastoreDigest *digest, Buf *ret) {
  CLEANUP(buf_done) Buf hex = BUF_INIT;
  Hash hash = {.algo = HASH_BLAKE3};
  memcpy(hash.bytes, digest->bytes, 32);
  hash_format(&hash, HASH_FORMAT_BASE16, false, &hex);
  buf_printf(ret, "%s/%s/b3/%.4s/%.*s", root, kind, hex.data, SPAN_ARG(buf_span(&hex)));
}

static void blob_chunked_path(const BlobChunked *self, const char *kind, const CastoreDigest *digest, Buf *ret) {
  blob_chunked_format_path(self->root, kind, digest, ret);
}

static bool blob_chunked_is_empty(const CastoreDigest *digest) {
  CastoreDigest empty;
  hash_blake3(SPAN(""), empty.bytes);
  return castore_node_digest_eq(digest, &empty);
}

// Existing objects are left alone: their names say their content.
bool blob_chunked_write_object(const char *path, Span data, Err *err) {
  if (fs_exists(path)) return true;
  Err first = ERR_INIT;
  if (fs_write_file_atomic(path, data, 0444, false, &first)) return true;
  if (first.kind != ERR_NOT_FOUND) return err_move(err, &first);
  err_done(&first);
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(path)));
  return fs_mkdir_all(dir, 0755, err) && fs_write_file_atomic(path, data, 0444, false, err);
}

bool blob_chunked_compress(Span data, Buf *ret, Err *err) {
  size_t cap = ZSTD_compressBound(data.len);
  buf_reserve(ret, cap + 1);
  size_t len = ZSTD_compress(ret->data + ret->len, cap, data.data, data.len, BLOB_CHUNKED_LEVEL);
  if (ZSTD_isError(len)) return err_set(err, ERR_OTHER, "compressing: %s", ZSTD_getErrorName(len));
  ret->len += len;
  return true;
}

// ---- chunks

static bool blob_chunked_put_chunk(BlobChunked *self, Span data, CastoreDigest *ret, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  hash_blake3(data, ret->bytes);
  blob_chunked_path(self, "chunks", ret, &path);
  if (fs_exists(buf_cstr(&path))) return true;
  CLEANUP(buf_done) Buf packed = BUF_INIT;
  return blob_chunked_compress(data, &packed, err) &&
         blob_chunked_write_object(buf_cstr(&path), buf_span(&packed), err);
}

// Others' frames may not tell their size, so the output grows as needed.
bool blob_chunked_decompress(Span packed, size_t limit_bytes, Buf *ret, Err *err) {
  ZSTD_DCtx *context = ZSTD_createDCtx();
  ZSTD_inBuffer in = {packed.data, packed.len, 0};
  bool ok = true;
  size_t hint = 1;
  while (ok && hint != 0) {
    buf_reserve(ret, 128 << 10);
    ZSTD_outBuffer out = {ret->data, ret->cap - 1, ret->len};
    size_t before_in = in.pos, before_out = ret->len;
    hint = ZSTD_decompressStream(context, &out, &in);
    ret->len = out.pos;
    if (ZSTD_isError(hint)) ok = err_set(err, ERR_CORRUPT, "decompressing: %s", ZSTD_getErrorName(hint));
    else if (ret->len > limit_bytes) ok = err_set(err, ERR_LIMIT, "it is larger than %zu bytes", limit_bytes);
    else if (hint == 0 && in.pos < in.size) hint = 1; // another frame follows
    else if (hint != 0 && in.pos == before_in && ret->len == before_out)
      ok = err_set(err, ERR_CORRUPT, "the compressed data is cut off");
  }
  ZSTD_freeDCtx(context);
  return ok;
}

static bool blob_chunked_get_chunk(const BlobChunked *self, const CastoreDigest *digest, Buf *ret, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf packed = BUF_INIT;
  CastoreDigest got;
  buf_clear(ret);
  if (blob_chunked_is_empty(digest)) return true;
  blob_chunked_path(self, "chunks", digest, &path);
  if (!fs_read_file(buf_cstr(&path), BLOB_CHUNKED_CHUNK_BYTES_MAX, &packed, err)) return false;
  if (!blob_chunked_decompress(buf_span(&packed), BLOB_CHUNKED_CHUNK_BYTES_MAX, ret, err))
    return err_wrap(err, "reading the chunk '%s'", buf_cstr(&path));
  hash_blake3(buf_span(ret), got.bytes);
  return castore_node_digest_eq(&got, digest) ||
         err_set(err, ERR_CORRUPT, "chunk '%s' does not have the content that its name says", buf_cstr(&path));
}

// ---- lists

static bool blob_chunked_parse_chunk(Span message, BlobChunkList *list, Err *err) {
  PbWireReader reader = {message};
  PbWireField field;
  BlobChunk chunk = {.offset = list->size_bytes};
  bool end, has_digest = false;
  for (;;) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) break;
    if (field.number == 1) {
      if (!pb_wire_expect(&field, PB_WIRE_LEN, "digest", err)) return false;
      if (field.bytes.len != 32) return err_set(err, ERR_CORRUPT, "a chunk digest has %zu bytes", field.bytes.len);
      memcpy(chunk.digest.bytes, field.bytes.data, 32);
      has_digest = true;
    } else if (field.number == 2) {
      if (!pb_wire_expect(&field, PB_WIRE_VARINT, "size", err)) return false;
      chunk.size_bytes = field.value;
    }
  }
  if (!has_digest) return err_set(err, ERR_CORRUPT, "a chunk has no digest");
  if (__builtin_add_overflow(list->size_bytes, chunk.size_bytes, &list->size_bytes))
    return err_set(err, ERR_CORRUPT, "the sizes overflow");
  MEM_RESERVE(list->chunks, list->cap, list->count + 1);
  list->chunks[list->count++] = chunk;
  return true;
}

static bool blob_chunked_parse_list(Span message, BlobChunkList *list, Err *err) {
  PbWireReader reader = {message};
  PbWireField field;
  bool end;
  for (;;) {
    if (!pb_wire_next(&reader, &field, &end, err)) return false;
    if (end) return true;
    if (field.number == 2 &&
        (!pb_wire_expect(&field, PB_WIRE_LEN, "chunks", err) || !blob_chunked_parse_chunk(field.bytes, list, err)))
      return false;
  }
}

// *ret_found false when the blob is absent. A blob of one chunk gets its list from the chunk itself.
static bool blob_chunked_load(const BlobChunked *self, const CastoreDigest *digest, BlobChunkList *ret, bool *ret_found,
                              Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf message = BUF_INIT;
  *ret = (BlobChunkList){.chunks = NULL};
  *ret_found = true;
  if (blob_chunked_is_empty(digest)) return true;
  blob_chunked_path(self, "blobs", digest, &path);
  *ret_found = fs_exists(buf_cstr(&path));
  if (!*ret_found) return true;
  if (!fs_read_file(buf_cstr(&path), BLOB_CHUNKED_LIST_BYTES_MAX, &message, err) ||
      !blob_chunked_parse_list(buf_span(&message), ret, err))
    return err_wrap(err, "reading '%s'", buf_cstr(&path));
  if (ret->count > 0) return true;
  CLEANUP(buf_done) Buf content = BUF_INIT;
  if (!blob_chunked_get_chunk(self, digest, &content, err)) return false;
  ret->chunks = mem_alloc_array(1, sizeof(*ret->chunks));
  ret->chunks[0] = (BlobChunk){*digest, 0, content.len};
  ret->count = ret->cap = 1;
  ret->size_bytes = content.len;
  return true;
}

static bool blob_chunked_stat(BlobService *service, const CastoreDigest *digest, bool *ret_found,
                              uint64_t *ret_size_bytes, Err *err) {
  BlobChunkList list;
  bool ok = blob_chunked_load((BlobChunked *)service, digest, &list, ret_found, err);
  *ret_size_bytes = list.size_bytes;
  mem_free(list.chunks);
  return ok;
}

// ---- reading

typedef struct BlobChunkedReader {
  BlobReader reader;
  const BlobChunked *service;
  BlobChunkList list; // owned
  size_t loaded;      // number of the chunk in `content`; list.count: none
  Buf content;
} BlobChunkedReader;

static size_t blob_chunked_find(const BlobChunkList *list, uint64_t offset) {
  size_t lo = 0, hi = list->count;
  while (hi - lo > 1) {
    size_t mid = lo + (hi - lo) / 2;
    if (list->chunks[mid].offset <= offset) lo = mid;
    else hi = mid;
  }
  return lo;
}

static bool blob_chunked_read_at(BlobReader *reader, uint64_t offset, void *data, size_t cap, size_t *ret_len,
                                 Err *err) {
  BlobChunkedReader *self = (BlobChunkedReader *)reader;
  *ret_len = 0;
  while (*ret_len < cap && offset < self->list.size_bytes) {
    size_t number = blob_chunked_find(&self->list, offset);
    const BlobChunk *chunk = &self->list.chunks[number];
    if (self->loaded != number) {
      self->loaded = self->list.count;
      if (!blob_chunked_get_chunk(self->service, &chunk->digest, &self->content, err)) return false;
      if (self->content.len != chunk->size_bytes)
        return err_set(err, ERR_CORRUPT, "a chunk has another size than its blob says");
      self->loaded = number;
    }
    Span part = span_sub(buf_span(&self->content), (size_t)(offset - chunk->offset), cap - *ret_len);
    if (part.len == 0) return err_set(err, ERR_CORRUPT, "a blob has an empty chunk");
    memcpy((char *)data + *ret_len, part.data, part.len);
    *ret_len += part.len;
    offset += part.len;
  }
  return true;
}

static void blob_chunked_free_reader(BlobReader *reader) {
  BlobChunkedReader *self = (BlobChunkedReader *)reader;
  mem_free(self->list.chunks);
  buf_done(&self->content);
  mem_free(self);
}

static const BlobReaderOps blob_chunked_reader_ops = {blob_chunked_read_at, NULL, blob_chunked_free_reader};

static bool blob_chunked_open_blob(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  BlobChunkList list;
  bool found;
  *ret = NULL;
  bool ok = blob_chunked_load((BlobChunked *)service, digest, &list, &found, err);
  if (!ok || !found) {
    mem_free(list.chunks);
    return ok;
  }
  BlobChunkedReader *reader = mem_alloc_zero(sizeof(*reader));
  *reader = (BlobChunkedReader){.reader = {.ops = &blob_chunked_reader_ops, .size_bytes = list.size_bytes},
                                .service = (BlobChunked *)service,
                                .list = list,
                                .loaded = list.count};
  *ret = &reader->reader;
  return true;
}

// ---- writing

typedef struct BlobChunkedWriter {
  BlobWriter writer;
  BlobChunked *service;
  HashCtx hash;
  Buf data;           // not yet cut
  BlobChunkList list; // owned
} BlobChunkedWriter;

// Cuts what can be cut: before the end, the chunker must see max_bytes.
static bool blob_chunked_cut(BlobChunkedWriter *self, bool at_end, Err *err) {
  size_t done = 0;
  while (self->data.len - done >= self->service->chunker.max_bytes || (at_end && self->data.len > done)) {
    Span rest = span_from(buf_span(&self->data), done);
    BlobChunk chunk = {.offset = self->list.size_bytes, .size_bytes = chunker_cut(&self->service->chunker, rest)};
    if (!blob_chunked_put_chunk(self->service, span_sub(rest, 0, (size_t)chunk.size_bytes), &chunk.digest, err))
      return false;
    MEM_RESERVE(self->list.chunks, self->list.cap, self->list.count + 1);
    self->list.chunks[self->list.count++] = chunk;
    self->list.size_bytes += chunk.size_bytes;
    done += (size_t)chunk.size_bytes;
  }
  if (done > 0) memmove(self->data.data, self->data.data + done, self->data.len - done);
  self->data.len -= done;
  return true;
}

static bool blob_chunked_write_put(BlobWriter *writer, Span data, Err *err) {
  BlobChunkedWriter *self = (BlobChunkedWriter *)writer;
  hash_update(&self->hash, data.data, data.len);
  while (data.len > 0) {
    Span piece = span_sub(data, 0, self->service->chunker.max_bytes);
    buf_put_span(&self->data, piece);
    data = span_from(data, piece.len);
    if (!blob_chunked_cut(self, false, err)) return false;
  }
  return true;
}

static bool blob_chunked_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err) {
  BlobChunkedWriter *self = (BlobChunkedWriter *)writer;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf message = BUF_INIT;
  Hash hash;
  if (!blob_chunked_cut(self, true, err)) return false;
  hash_final(&self->hash, &hash);
  memcpy(ret->bytes, hash.bytes, 32);
  *ret_size_bytes = self->list.size_bytes;
  if (self->list.count == 0) return true; // the empty blob
  for (size_t i = 0; self->list.count > 1 && i < self->list.count; i++) {
    size_t mark = pb_wire_message_begin(&message, 2);
    pb_wire_put_bytes(&message, 1, span_make(self->list.chunks[i].digest.bytes, 32));
    pb_wire_put_uint(&message, 2, self->list.chunks[i].size_bytes);
    pb_wire_message_end(&message, mark);
  }
  blob_chunked_path(self->service, "blobs", ret, &path);
  return blob_chunked_write_object(buf_cstr(&path), buf_span(&message), err);
}

static void blob_chunked_write_free(BlobWriter *writer) {
  BlobChunkedWriter *self = (BlobChunkedWriter *)writer;
  buf_done(&self->data);
  mem_free(self->list.chunks);
  mem_free(self);
}

static const BlobWriterOps blob_chunked_writer_ops = {blob_chunked_write_put, blob_chunked_write_finish,
                                                      blob_chunked_write_free};

static bool blob_chunked_write(BlobService *service, BlobWriter **ret, Err *err) {
  BlobChunkedWriter *writer = mem_alloc_zero(sizeof(*writer));
  writer->writer.ops = &blob_chunked_writer_ops;
  writer->service = (BlobChunked *)service;
  hash_init(&writer->hash, HASH_BLAKE3);
  *ret = &writer->writer;
  return true;
}

static bool blob_chunked_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  BlobWriter *writer;
  CastoreDigest got;
  uint64_t size;
  if (!blob_chunked_write(service, &writer, err)) return false;
  bool ok = blob_service_write_put(writer, data, err) && blob_service_write_finish(writer, &got, &size, err);
  blob_service_write_free(writer);
  return ok;
}

static bool blob_chunked_flush(BlobService *service, Err *err) {
  const BlobChunked *self = (BlobChunked *)service;
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(self->root, O_RDONLY | O_DIRECTORY, 0, &fd, err)) return false;
  return syncfs(fd) == 0 || err_set_errno(err, errno, "syncing '%s'", self->root);
}

static void blob_chunked_free(BlobService *service) {
  mem_free(((BlobChunked *)service)->root);
  mem_free(service);
}

static const BlobServiceOps blob_chunked_ops = {"objectstore+file", blob_chunked_stat, blob_chunked_open_blob,
                                                blob_chunked_write, blob_chunked_put,  blob_chunked_flush,
                                                blob_chunked_free};

bool blob_chunked_open(const char *root, BlobService **ret, Err *err) {
  if (!fs_mkdir_all(root, 0755, err)) return err_wrap(err, "opening the chunk store '%s'", root);
  BlobChunked *self = mem_alloc_zero(sizeof(*self));
  self->service.ops = &blob_chunked_ops;
  self->root = span_dup(span_cstr(root));
  chunker_init(&self->chunker, CHUNKER_AVG_BYTES);
  *ret = &self->service;
  return true;
}
