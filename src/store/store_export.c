// store_export.c: --export, --import, --dump-db, --load-db.
#include "store/store_export.h"

#include <endian.h>
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_import.h"
#include "castore/castore_nar.h"
#include "formats/base16.h"
#include "store/store_add.h"
#include "store/store_state.h"

#define STORE_EXPORT_MAGIC UINT64_C(0x4558494e)
#define STORE_EXPORT_STRING_MAX ((size_t)4096)
#define STORE_EXPORT_REFS_MAX UINT64_C(10000000)
#define STORE_EXPORT_LINE_MAX ((size_t)1 << 16)

// ---- writing

static void store_export_put_str(Buf *buf, Span s) {
  buf_put_u64le(buf, s.len);
  buf_put_span(buf, s);
  buf_put_repeat(buf, 0, (8 - s.len % 8) % 8);
}

static void store_export_put_path(Store *store, Buf *buf, const StorePath *path) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_format_path(store, path, &text);
  store_export_put_str(buf, buf_span(&text));
}

// Passes the NAR on and hashes it: what leaves the store is what was registered, or the export fails.
typedef struct StoreExportHash {
  const ByteSink *sink;
  HashSha256 hash;
} StoreExportHash;

static bool store_export_hash_put(void *ctx, Span data, Err *err) {
  StoreExportHash *hash = ctx;
  hash_sha256_update_span(&hash->hash, data);
  return byte_stream_put(hash->sink, data, err);
}

static bool store_export_one(Store *store, const StorePath *path, const ByteSink *sink, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  CLEANUP(buf_done) Buf buf = BUF_INIT;
  StoreExportHash hash = {.sink = sink};
  uint8_t sha256[32];
  if (!store_get(store, path, &record, err)) return false;
  buf_put_u64le(&buf, 1);
  hash_sha256_init(&hash.hash);
  if (!byte_stream_put(sink, buf_span(&buf), err) ||
      !store_dump(store, path, &(ByteSink){store_export_hash_put, &hash}, err))
    return false;
  hash_sha256_final(&hash.hash, sha256);
  if (memcmp(sha256, record->info.nar_sha256, 32) != 0)
    return err_set(err, ERR_CORRUPT, "hash of path '%s' has changed: the store is damaged", path->name);
  buf_clear(&buf);
  buf_put_u64le(&buf, STORE_EXPORT_MAGIC);
  store_export_put_path(store, &buf, path);
  buf_put_u64le(&buf, record->info.ref_count);
  for (size_t i = 0; i < record->info.ref_count; i++) store_export_put_path(store, &buf, &record->info.refs[i]);
  if (record->info.has_deriver) store_export_put_path(store, &buf, &record->info.deriver);
  else store_export_put_str(&buf, SPAN(""));
  buf_put_u64le(&buf, 0);
  return byte_stream_put(sink, buf_span(&buf), err);
}

bool store_export_write(Store *store, const StorePath *paths, size_t count, const ByteSink *sink, Err *err) {
  for (size_t i = 0; i < count; i++)
    if (!store_export_one(store, &paths[i], sink, err)) return err_wrap(err, "exporting '%s'", paths[i].name);
  CLEANUP(buf_done) Buf end = BUF_INIT;
  buf_put_u64le(&end, 0);
  return byte_stream_put(sink, buf_span(&end), err);
}

// ---- reading

// The archive parser takes what it needs in small steps, so the stream is read through a buffer.
typedef struct StoreExportSource {
  const ByteSource *source;
  char *data; // owned
  size_t at, len;
} StoreExportSource;

static bool store_export_buffered_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  StoreExportSource *self = ctx;
  if (self->at == self->len) {
    if (cap >= BYTE_STREAM_CHUNK_BYTES) return byte_stream_take(self->source, data, cap, ret_len, err);
    if (!byte_stream_take(self->source, self->data, BYTE_STREAM_CHUNK_BYTES, &self->len, err)) return false;
    self->at = 0;
  }
  *ret_len = self->len - self->at < cap ? self->len - self->at : cap;
  memcpy(data, self->data + self->at, *ret_len);
  self->at += *ret_len;
  return true;
}

static bool store_export_take_u64(const ByteSource *source, uint64_t *ret, Err *err) {
  if (!byte_stream_take_full(source, ret, sizeof(*ret), err)) return false;
  *ret = le64toh(*ret);
  return true;
}

static bool store_export_take_str(const ByteSource *source, Buf *ret, Err *err) {
  uint64_t len;
  char pad[8];
  buf_clear(ret);
  if (!store_export_take_u64(source, &len, err)) return false;
  if (len > STORE_EXPORT_STRING_MAX) return err_set(err, ERR_LIMIT, "a string of %llu bytes", (unsigned long long)len);
  buf_reserve(ret, (size_t)len + 1);
  if (!byte_stream_take_full(source, ret->data, (size_t)len, err)) return false;
  ret->len = (size_t)len;
  memset(pad, 0, sizeof(pad));
  if (len % 8 != 0 && !byte_stream_take_full(source, pad, 8 - (size_t)len % 8, err)) return false;
  for (size_t i = 0; i < sizeof(pad); i++)
    if (pad[i]) return err_set(err, ERR_SYNTAX, "non-zero padding");
  return true;
}

// What follows an archive.
static bool store_export_take_info(Store *store, const ByteSource *source, PathInfo *ret, Arena *arena, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  uint64_t magic, count, has_signature;
  if (!store_export_take_u64(source, &magic, err)) return false;
  if (magic != STORE_EXPORT_MAGIC) return err_set(err, ERR_SYNTAX, "Nix archive cannot be imported; wrong format");
  if (!store_export_take_str(source, &text, err) || !store_parse_path(store, buf_span(&text), &ret->path, err) ||
      !store_export_take_u64(source, &count, err))
    return false;
  if (count > STORE_EXPORT_REFS_MAX) return err_set(err, ERR_LIMIT, "%llu references", (unsigned long long)count);
  StorePathList refs = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (uint64_t i = 0; ok && i < count; i++) {
    StorePath ref;
    ok = store_export_take_str(source, &text, err) && store_parse_path(store, buf_span(&text), &ref, err);
    if (ok) store_path_list_add(&refs, &ref);
  }
  if (ok && refs.count > 0) {
    store_path_list_sort(&refs);
    ret->refs = ARENA_ARRAY(arena, StorePath, refs.count);
    memcpy(ret->refs, refs.paths, refs.count * sizeof(*refs.paths));
    ret->ref_count = refs.count;
  }
  store_path_list_done(&refs);
  if (!ok || !store_export_take_str(source, &text, err)) return false;
  ret->has_deriver = text.len > 0;
  if (ret->has_deriver && !store_parse_path(store, buf_span(&text), &ret->deriver, err)) return false;
  // An old kind of signature, which nobody has written for years: skipped, as Nix does.
  return store_export_take_u64(source, &has_signature, err) &&
         (has_signature != 1 || store_export_take_str(source, &text, err));
}

static bool store_export_import_one(Store *store, const ByteSource *source, StorePathList *ret, Err *err) {
  CastoreNarImport nar = {.text = BUF_INIT};
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  PathInfo info = {.ref_count = 0};
  bool valid;
  bool ok = castore_nar_read(&store->castore, source, true, &nar, err) &&
            store_export_take_info(store, source, &info, &arena, err);
  info.root = nar.root;
  info.nar_size_bytes = nar.nar_size_bytes;
  memcpy(info.nar_sha256, nar.nar_sha256, 32);
  ok = ok && store_add_check_hash_part(store, &info.path, err) && store_pin(store, &info.path, &valid, err) &&
       (valid || store_add_deferred(store, &info, false, err));
  castore_nar_import_done(&nar);
  if (ok) store_path_list_add(ret, &info.path);
  return ok;
}

bool store_export_read(Store *store, const ByteSource *source, StorePathList *ret, Err *err) {
  StoreExportSource buffered = {.source = source, .data = NULL};
  if (!store_state_writable(store, err) || !object_store_begin(store->objects, err)) return false;
  buffered.data = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  ByteSource input = {store_export_buffered_take, &buffered};
  uint64_t more;
  bool ok;
  while ((ok = store_export_take_u64(&input, &more, err)) && more == 1)
    if (!(ok = store_export_import_one(store, &input, ret, err))) break;
  if (ok && more != 0)
    ok = err_set(err, ERR_SYNTAX, "input doesn't look like something created by 'nix-store --export'");
  mem_free(buffered.data);
  // Paths that came before a damaged one stay.
  ok = store_flush(store, ok ? err : NULL) && ok;
  object_store_end(store->objects);
  return ok || err_wrap(err, "importing");
}

// ---- the database as text

static bool store_export_dump_one(Store *store, const StorePath *path, bool with_hash, const ByteSink *sink, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  if (!store_get(store, path, &record, err)) return false;
  const PathInfo *info = &record->info;
  store_format_path(store, path, &text);
  buf_put_char(&text, '\n');
  if (with_hash) {
    Hash hash = {.algo = HASH_SHA256};
    memcpy(hash.bytes, info->nar_sha256, 32);
    hash_format(&hash, HASH_FORMAT_BASE16, false, &text);
    buf_printf(&text, "\n%llu\n", (unsigned long long)info->nar_size_bytes);
  }
  if (info->has_deriver) store_format_path(store, &info->deriver, &text);
  buf_printf(&text, "\n%zu\n", info->ref_count);
  for (size_t i = 0; i < info->ref_count; i++) {
    store_format_path(store, &info->refs[i], &text);
    buf_put_char(&text, '\n');
  }
  return byte_stream_put(sink, buf_span(&text), err);
}

bool store_export_dump_db(Store *store, const StorePath *paths, size_t count, bool with_hash, const ByteSink *sink,
                          Err *err) {
  for (size_t i = 0; i < count; i++)
    if (!store_export_dump_one(store, &paths[i], with_hash, sink, err)) return false;
  return true;
}

typedef struct StoreExportLines {
  StoreExportSource source;
  uint64_t number; // of the line read last
} StoreExportLines;

// *ret_end: there is no further line.
static bool store_export_take_line(StoreExportLines *lines, Buf *ret, bool *ret_end, Err *err) {
  buf_clear(ret);
  lines->number++;
  for (;;) {
    char c;
    size_t n;
    if (!store_export_buffered_take(&lines->source, &c, 1, &n, err)) return false;
    *ret_end = n == 0 && ret->len == 0;
    if (n == 0 || c == '\n') return true;
    if (ret->len >= STORE_EXPORT_LINE_MAX)
      return err_set(err, ERR_LIMIT, "line %llu is longer than %zu bytes", (unsigned long long)lines->number,
                     STORE_EXPORT_LINE_MAX);
    buf_put_char(ret, c);
  }
}

static bool store_export_need_line(StoreExportLines *lines, Buf *ret, Err *err) {
  bool end;
  return store_export_take_line(lines, ret, &end, err) &&
         (!end || err_set(err, ERR_SYNTAX, "the input ends in the middle of an entry, at line %llu",
                          (unsigned long long)lines->number));
}

static bool store_export_need_u64(StoreExportLines *lines, Buf *line, uint64_t *ret, Err *err) {
  return store_export_need_line(lines, line, err) &&
         (span_parse_u64(buf_span(line), ret) || err_set(err, ERR_SYNTAX, "line %llu: '%s' is not a number",
                                                         (unsigned long long)lines->number, buf_cstr(line)));
}

// The rest of an entry whose path was read.
static bool store_export_take_entry(Store *store, StoreExportLines *lines, bool with_hash, PathInfo *ret, Arena *arena,
                                    Err *err) {
  CLEANUP(buf_done) Buf line = BUF_INIT;
  uint64_t count;
  const HashAlgo sha256 = HASH_SHA256;
  Hash hash;
  if (with_hash) {
    if (!store_export_need_line(lines, &line, err) || !hash_parse(buf_span(&line), &sha256, &hash, err) ||
        !store_export_need_u64(lines, &line, &ret->nar_size_bytes, err))
      return false;
    memcpy(ret->nar_sha256, hash.bytes, 32);
  }
  if (!store_export_need_line(lines, &line, err)) return false;
  ret->has_deriver = line.len > 0;
  if (ret->has_deriver && !store_parse_path(store, buf_span(&line), &ret->deriver, err)) return false;
  if (!store_export_need_u64(lines, &line, &count, err)) return false;
  if (count > STORE_EXPORT_REFS_MAX) return err_set(err, ERR_LIMIT, "%llu references", (unsigned long long)count);
  StorePathList refs = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (uint64_t i = 0; ok && i < count; i++) {
    StorePath ref;
    ok = store_export_need_line(lines, &line, err) && store_parse_path(store, buf_span(&line), &ref, err);
    if (ok) store_path_list_add(&refs, &ref);
  }
  store_path_list_sort(&refs);
  if (ok && refs.count > 0) {
    ret->refs = ARENA_ARRAY(arena, StorePath, refs.count);
    memcpy(ret->refs, refs.paths, refs.count * sizeof(*refs.paths));
    ret->ref_count = refs.count;
  }
  store_path_list_done(&refs);
  return ok;
}

// The tree stands at its place already: its files become objects there.
static bool store_export_adopt_tree(Store *store, PathInfo *info, bool with_hash, bool valid, Buf *text, Err *err) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  struct stat st;
  store_format_physical(store, &info->path, &physical);
  if (valid && !store_materialise(store, &info->path, 1, err)) return false;
  if (lstat(buf_cstr(&physical), &st) != 0)
    return err_set_errno(err, errno, "getting status of '%s'", buf_cstr(&physical));
  CastoreImportOptions options = {.hash_nar = true, .adopt_into = store->objects};
  if (!castore_import_path(&store->castore, buf_cstr(&physical), &options, &import, err)) return false;
  if (with_hash && memcmp(import.nar_sha256, info->nar_sha256, 32) != 0)
    return err_set(err, ERR_HASH_MISMATCH, "path '%s' has another hash than stated", info->path.name);
  memcpy(info->nar_sha256, import.nar_sha256, 32);
  info->nar_size_bytes = import.nar_size_bytes;
  info->root = import.root;
  buf_put_span(text, import.root.target);
  if (info->root.kind == CASTORE_SYMLINK) info->root.target = buf_span(text);
  return true;
}

typedef struct StoreExportEntries {
  PathInfoRecord **records; // owned
  size_t count, cap;
} StoreExportEntries;

static bool store_export_load_all(Store *store, StoreExportLines *lines, bool with_hash, bool replace,
                                  StoreExportEntries *entries, Err *err) {
  CLEANUP(buf_done) Buf line = BUF_INIT;
  for (;;) {
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CLEANUP(buf_done) Buf text = BUF_INIT;
    PathInfo info = {.ref_count = 0};
    bool end, valid;
    if (!store_export_take_line(lines, &line, &end, err)) return false;
    if (end || line.len == 0) return true;
    if (!store_parse_path(store, buf_span(&line), &info.path, err) ||
        !store_export_take_entry(store, lines, with_hash, &info, &arena, err) ||
        !store_is_valid(store, &info.path, &valid, err))
      return false;
    if (valid && !replace) continue;
    if (!store_export_adopt_tree(store, &info, with_hash, valid, &text, err)) return false;
    MEM_RESERVE(entries->records, entries->cap, entries->count + 1);
    entries->records[entries->count++] = path_info_service_record_of(&info, true, false, time(NULL));
  }
}

bool store_export_load_db(Store *store, const ByteSource *source, bool with_hash, bool replace, StorePathList *ret,
                          Err *err) {
  if (!store_state_writable(store, err) || !store_flush(store, err) || !object_store_begin(store->objects, err))
    return false;
  StoreExportLines lines = {.source = {.source = source, .data = mem_alloc(BYTE_STREAM_CHUNK_BYTES)}};
  StoreExportEntries entries = {NULL, 0, 0};
  bool ok = store_export_load_all(store, &lines, with_hash, replace, &entries, err) &&
            object_store_flush(store->objects, err);
  PathDbItem *rows = mem_alloc_zero((entries.count ? entries.count : 1) * sizeof(*rows));
  for (size_t i = 0; i < entries.count; i++)
    rows[i] = (PathDbItem){entries.records[i], .has_tree = true, .replaces = true};
  ok = ok && path_db_put(store->db, rows, entries.count, store_state_use_lower, store, err);
  for (size_t i = 0; i < entries.count; i++) {
    if (ok) store_path_list_add(ret, &entries.records[i]->info.path);
    path_info_service_record_free(entries.records[i]);
  }
  mem_free(rows);
  mem_free(entries.records);
  mem_free(lines.source.data);
  object_store_end(store->objects);
  return ok;
}
