// castore_nar.c: archives from and to nodes and trees.
#include "castore/castore_nar.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/nar_hasher.h"
#include "formats/nar_read.h"
#include "formats/nar_write.h"

#define CASTORE_NAR_DEPTH_MAX 4096u
#define CASTORE_NAR_BUFFER_BYTES ((size_t)64 << 10)
// Files up to this size are kept in memory while they arrive, so that they can be put in one piece.
#define CASTORE_NAR_SMALL_BYTES ((uint64_t)64 << 10)

// ---- writing from the castore

typedef struct CastoreNarWriter {
  const Castore *from;
  const ByteSink *sink;
  NarWrite nar;
  Buf buf;
  char *chunk; // owned
} CastoreNarWriter;

static bool castore_nar_drain(CastoreNarWriter *writer, size_t above_bytes, Err *err) {
  if (writer->buf.len <= above_bytes) return true;
  bool ok = byte_stream_put(writer->sink, buf_span(&writer->buf), err);
  buf_clear(&writer->buf);
  return ok;
}

static bool castore_nar_pump(CastoreNarWriter *writer, BlobReader *reader, uint64_t size_bytes, Err *err) {
  Span mapped;
  if (reader->size_bytes != size_bytes)
    return err_set(err, ERR_CORRUPT, "the blob has %llu bytes instead of %llu", (unsigned long long)reader->size_bytes,
                   (unsigned long long)size_bytes);
  if (blob_service_map(reader, &mapped)) {
    if (mapped.len <= CASTORE_NAR_BUFFER_BYTES) {
      buf_put_span(&writer->buf, mapped);
      return true;
    }
    return castore_nar_drain(writer, 0, err) && byte_stream_put(writer->sink, mapped, err);
  }
  if (!castore_nar_drain(writer, 0, err)) return false;
  for (uint64_t done = 0; done < size_bytes;) {
    size_t n;
    if (!blob_service_read(reader, writer->chunk, BYTE_STREAM_CHUNK_BYTES, &n, err)) return false;
    if (n == 0) return err_set(err, ERR_CORRUPT, "the blob ends early");
    if (!byte_stream_put(writer->sink, span_make(writer->chunk, n), err)) return false;
    done += n;
  }
  return true;
}

static bool castore_nar_write_file(CastoreNarWriter *writer, const CastoreNode *node, Err *err) {
  nar_write_file(&writer->nar, node->executable, node->size);
  if (node->size > 0) {
    BlobReader *reader;
    if (!blob_service_open(writer->from->blobs, &node->digest, &reader, err)) return false;
    if (!reader) {
      CLEANUP(buf_done) Buf text = BUF_INIT;
      castore_node_format_digest(&node->digest, &text);
      return err_set(err, ERR_NOT_FOUND, "blob %s is missing", buf_cstr(&text));
    }
    bool ok = castore_nar_pump(writer, reader, node->size, err);
    blob_service_close(reader);
    if (!ok) return false;
  }
  nar_write_file_end(&writer->nar);
  return castore_nar_drain(writer, CASTORE_NAR_BUFFER_BYTES, err);
}

static bool castore_nar_write_node(CastoreNarWriter *writer, const CastoreNode *node, unsigned depth, Err *err) {
  if (node->kind == CASTORE_FILE) return castore_nar_write_file(writer, node, err);
  if (node->kind == CASTORE_SYMLINK) {
    nar_write_symlink(&writer->nar, node->target);
    return true;
  }
  if (depth > CASTORE_NAR_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", CASTORE_NAR_DEPTH_MAX);
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  bool found;
  if (!directory_service_get(writer->from->directories, &node->digest, &arena, &directory, &found, err)) return false;
  if (!found) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    castore_node_format_digest(&node->digest, &text);
    return err_set(err, ERR_NOT_FOUND, "directory %s is missing", buf_cstr(&text));
  }
  nar_write_dir(&writer->nar);
  for (size_t i = 0; i < directory.count; i++) {
    const CastoreNode *entry = &directory.entries[i];
    if (!nar_write_entry(&writer->nar, entry->name, err)) return false;
    if (!castore_nar_write_node(writer, entry, depth + 1, err)) return err_wrap(err, "%.*s", SPAN_ARG(entry->name));
  }
  nar_write_dir_end(&writer->nar);
  return castore_nar_drain(writer, CASTORE_NAR_BUFFER_BYTES, err);
}

bool castore_nar_write(const Castore *from, const CastoreNode *node, const ByteSink *sink, Err *err) {
  CastoreNarWriter writer = {.from = from, .sink = sink, .chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES)};
  nar_write_init(&writer.nar, &writer.buf);
  bool ok = castore_nar_write_node(&writer, node, 0, err) && castore_nar_drain(&writer, 0, err);
  nar_write_done(&writer.nar);
  buf_done(&writer.buf);
  mem_free(writer.chunk);
  return ok;
}

static bool castore_nar_thread_put(void *ctx, Span data, Err *err) {
  nar_hasher_put(ctx, data);
  return true;
}

typedef struct CastoreNarHasher {
  HashSha256 hash;
  uint64_t size_bytes;
} CastoreNarHasher;

static bool castore_nar_hash_put(void *ctx, Span data, Err *err) {
  CastoreNarHasher *hasher = ctx;
  hash_sha256_update_span(&hasher->hash, data);
  hasher->size_bytes += data.len;
  return true;
}

bool castore_nar_hash(const Castore *from, const CastoreNode *node, uint8_t ret_sha256[32], uint64_t *ret_size_bytes,
                      Err *err) {
  CastoreNarHasher hasher = {.size_bytes = 0};
  hash_sha256_init(&hasher.hash);
  if (!castore_nar_write(from, node, &(ByteSink){castore_nar_hash_put, &hasher}, err)) return false;
  hash_sha256_final(&hasher.hash, ret_sha256);
  *ret_size_bytes = hasher.size_bytes;
  return true;
}

static bool castore_nar_add_size(uint64_t *total, uint64_t part, Err *err) {
  return !__builtin_add_overflow(*total, part, total) ||
         err_set(err, ERR_LIMIT, "the size of the archive overflows 64 bits");
}

static bool castore_nar_size_node(const Castore *from, const CastoreNode *node, unsigned depth, uint64_t *total,
                                  Err *err) {
  if (node->kind == CASTORE_FILE)
    return castore_nar_add_size(total, nar_write_size_file(node->executable, node->size), err);
  if (node->kind == CASTORE_SYMLINK) return castore_nar_add_size(total, nar_write_size_symlink(node->target.len), err);
  if (depth > CASTORE_NAR_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", CASTORE_NAR_DEPTH_MAX);
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  bool found;
  if (!directory_service_get(from->directories, &node->digest, &arena, &directory, &found, err)) return false;
  if (!found) return err_set(err, ERR_NOT_FOUND, "a directory is missing");
  bool ok = castore_nar_add_size(total, NAR_WRITE_SIZE_DIR, err);
  for (size_t i = 0; ok && i < directory.count; i++)
    ok = castore_nar_add_size(total, nar_write_size_entry(directory.entries[i].name.len), err) &&
         castore_nar_size_node(from, &directory.entries[i], depth + 1, total, err);
  return ok;
}

bool castore_nar_size(const Castore *from, const CastoreNode *node, uint64_t *ret_size_bytes, Err *err) {
  *ret_size_bytes = NAR_WRITE_SIZE_MAGIC;
  return castore_nar_size_node(from, node, 0, ret_size_bytes, err);
}

// ---- reading into the castore

// An open directory: its entries so far. Names and targets are in `text` at offsets, because it grows.
typedef struct CastoreNarDir {
  size_t name_at, name_len; // of the directory itself, in `text`
  size_t entry_start;       // first of its entries in the stack of entries
} CastoreNarDir;

typedef struct CastoreNarEntry {
  CastoreNode node; // name and target are set when the directory is closed
  size_t name_at, name_len, target_at, target_len;
} CastoreNarEntry;

typedef struct CastoreNarReader {
  const Castore *to;
  CastoreNarDir *dirs;
  size_t dir_count, dir_cap;
  CastoreNarEntry *entries;
  size_t entry_count, entry_cap;
  Buf text;
  CastoreNarEntry file; // the open file
  Buf small;
  BlobWriter *writer; // NULL while the file is small
  CastoreNarImport *result;
} CastoreNarReader;

static size_t castore_nar_keep_text(CastoreNarReader *reader, Span text) {
  size_t at = reader->text.len;
  buf_put_span(&reader->text, text);
  return at;
}

// A finished node goes to its directory, or is the root.
static void castore_nar_add_entry(CastoreNarReader *reader, const CastoreNarEntry *entry) {
  if (reader->dir_count > 0) {
    MEM_RESERVE(reader->entries, reader->entry_cap, reader->entry_count + 1);
    reader->entries[reader->entry_count++] = *entry;
    return;
  }
  CastoreNarImport *result = reader->result;
  result->root = entry->node;
  result->root.name = SPAN("");
  if (entry->node.kind != CASTORE_SYMLINK) return;
  buf_put_span(&result->text, span_sub(buf_span(&reader->text), entry->target_at, entry->target_len));
  result->root.target = buf_span(&result->text);
}

static bool castore_nar_end_dir(CastoreNarReader *reader, Err *err) {
  CastoreNarDir dir = reader->dirs[--reader->dir_count];
  size_t count = reader->entry_count - dir.entry_start;
  CastoreNode *nodes = mem_alloc_array(count ? count : 1, sizeof(*nodes));
  Span text = buf_span(&reader->text);
  for (size_t i = 0; i < count; i++) {
    const CastoreNarEntry *entry = &reader->entries[dir.entry_start + i];
    nodes[i] = entry->node;
    nodes[i].name = span_sub(text, entry->name_at, entry->name_len);
    nodes[i].target = span_sub(text, entry->target_at, entry->target_len);
  }
  CastoreDirectory directory = {nodes, count};
  CastoreNarEntry self = {.node = {.kind = CASTORE_DIRECTORY}, .name_at = dir.name_at, .name_len = dir.name_len};
  bool ok = directory_service_put(reader->to->directories, &directory, &self.node.digest, err) &&
            castore_node_directory_size(&directory, CASTORE_SIZE_ONCE, &self.node.size, err);
  mem_free(nodes);
  reader->entry_count = dir.entry_start;
  reader->text.len = dir.name_at + dir.name_len; // texts of the entries are not needed any more
  if (ok) castore_nar_add_entry(reader, &self);
  return ok;
}

static bool castore_nar_file_data(CastoreNarReader *reader, Span data, Err *err) {
  if (!reader->writer && reader->file.node.size <= CASTORE_NAR_SMALL_BYTES) {
    buf_put_span(&reader->small, data);
    return true;
  }
  if (!reader->writer && !blob_service_write(reader->to->blobs, &reader->writer, err)) return false;
  return blob_service_write_put(reader->writer, data, err);
}

static bool castore_nar_file_end(CastoreNarReader *reader, Err *err) {
  CastoreNode *node = &reader->file.node;
  bool ok;
  if (reader->writer) {
    uint64_t size;
    ok = blob_service_write_finish(reader->writer, &node->digest, &size, err);
    blob_service_write_free(STEAL(reader->writer));
  } else {
    ok = blob_service_put(reader->to->blobs, buf_span(&reader->small), NULL, &node->digest, err);
    buf_clear(&reader->small);
  }
  if (ok) castore_nar_add_entry(reader, &reader->file);
  return ok;
}

static bool castore_nar_event(CastoreNarReader *reader, const NarReadEvent *event, Err *err) {
  switch (event->kind) {
  case NAR_READ_DIR_BEGIN:
    if (reader->dir_count >= CASTORE_NAR_DEPTH_MAX)
      return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", CASTORE_NAR_DEPTH_MAX);
    MEM_RESERVE(reader->dirs, reader->dir_cap, reader->dir_count + 1);
    reader->dirs[reader->dir_count++] =
        (CastoreNarDir){castore_nar_keep_text(reader, event->name), event->name.len, reader->entry_count};
    return true;
  case NAR_READ_DIR_END: return castore_nar_end_dir(reader, err);
  case NAR_READ_FILE_BEGIN:
    reader->file =
        (CastoreNarEntry){.node = {.kind = CASTORE_FILE, .executable = event->executable, .size = event->size_bytes},
                          .name_at = castore_nar_keep_text(reader, event->name),
                          .name_len = event->name.len};
    return true;
  case NAR_READ_FILE_DATA: return castore_nar_file_data(reader, event->data, err);
  case NAR_READ_FILE_END: return castore_nar_file_end(reader, err);
  case NAR_READ_SYMLINK: {
    CastoreNarEntry entry = {
        .node = {.kind = CASTORE_SYMLINK}, .name_len = event->name.len, .target_len = event->data.len};
    entry.name_at = castore_nar_keep_text(reader, event->name);
    entry.target_at = castore_nar_keep_text(reader, event->data);
    CastoreNode check = {.kind = CASTORE_SYMLINK, .target = event->data};
    if (!castore_node_check(&check, true, err)) return false;
    castore_nar_add_entry(reader, &entry);
    return true;
  }
  }
  return true;
}

// An archive inside a longer stream must not be read beyond its end. Every string of the grammar is padded to 8 bytes, so steps of 8 never
// pass it, and within file contents the steps are as long as what is left of them.
static size_t castore_nar_step(const NarRead *nar) {
  uint64_t left = nar->left & ~(uint64_t)7;
  if (left > BYTE_STREAM_CHUNK_BYTES) return BYTE_STREAM_CHUNK_BYTES;
  return left > 8 ? (size_t)left : 8;
}

bool castore_nar_parse(const ByteSource *source, bool stop_at_end, CastoreNarEventFn event_fn, void *ctx,
                       const ByteSink *tap, uint64_t *ret_size_bytes, Err *err) {
  CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  NarRead nar;
  nar_read_init(&nar);
  bool ok = true, ended = false;
  *ret_size_bytes = 0;
  while (ok && !(ended && stop_at_end)) {
    size_t n;
    ok = byte_stream_take(source, chunk, stop_at_end ? castore_nar_step(&nar) : BYTE_STREAM_CHUNK_BYTES, &n, err);
    if (!ok || n == 0) break;
    if (tap && !(ok = byte_stream_put(tap, span_make(chunk, n), err))) break;
    *ret_size_bytes += n;
    Span input = span_make(chunk, n);
    NarReadEvent event;
    NarReadStatus status = NAR_READ_DONE;
    while (ok && !ended && (status = nar_read_next(&nar, &input, &event, err)) == NAR_READ_EVENT)
      ok = event_fn(ctx, &event, err);
    if (status == NAR_READ_ERROR) ok = false;
    if (status == NAR_READ_DONE) ended = true;
    if (ok && ended && input.len > 0) ok = err_set(err, ERR_SYNTAX, "the archive is followed by other data");
  }
  ok = ok && nar_read_finish(&nar, err);
  nar_read_done(&nar);
  return ok || err_wrap(err, "reading a NAR archive");
}

static bool castore_nar_on_event(void *ctx, const NarReadEvent *event, Err *err) {
  return castore_nar_event(ctx, event, err);
}

bool castore_nar_read(const Castore *to, const ByteSource *source, bool stop_at_end, CastoreNarImport *ret, Err *err) {
  *ret = (CastoreNarImport){.text = BUF_INIT};
  CastoreNarReader reader = {.to = to, .result = ret};
  NarHasher *hasher = nar_hasher_new();
  bool ok = castore_nar_parse(source, stop_at_end, castore_nar_on_event, &reader,
                              &(ByteSink){castore_nar_thread_put, hasher}, &ret->nar_size_bytes, err);
  nar_hasher_finish(hasher, ret->nar_sha256, &ret->nar_size_bytes);
  nar_hasher_free(hasher);
  blob_service_write_free(reader.writer);
  buf_done(&reader.small);
  buf_done(&reader.text);
  mem_free(reader.dirs);
  mem_free(reader.entries);
  return ok;
}

void castore_nar_import_done(CastoreNarImport *result) {
  buf_done(&result->text);
}

// ---- from the disk (castore_nar_dump.c; to it: castore_nar_restore.c)

bool castore_nar_hash_path(const char *path, uint8_t ret_sha256[32], uint64_t *ret_size_bytes, Err *err) {
  NarHasher *hasher = nar_hasher_new();
  bool ok = castore_nar_dump_path(path, &(ByteSink){castore_nar_thread_put, hasher}, err);
  if (ok) nar_hasher_finish(hasher, ret_sha256, ret_size_bytes);
  nar_hasher_free(hasher);
  return ok;
}
