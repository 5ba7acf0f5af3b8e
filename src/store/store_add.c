// store_add.c: ways into the store.
#include "store/store_add.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_archive.h"
#include "castore/castore_nar.h"
#include "formats/hash_pair.h"
#include "formats/nar_write.h"
#include "store/store_ca.h"
#include "store/store_state.h"

// ---- text

static bool store_add_make_text(Store *store, const StoreAddText *item, const uint8_t sha256[32], StorePath *ret,
                                Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  Span *refs = ARENA_ARRAY(&arena, Span, item->ref_count);
  CLEANUP(buf_done) Buf text = BUF_INIT;
  for (size_t i = 0; i < item->ref_count; i++) {
    buf_clear(&text);
    store_format_path(store, &item->refs[i], &text);
    refs[i] = arena_dup(&arena, buf_span(&text));
  }
  return store_path_make_text(item->name, sha256, &(StorePathRefs){.paths = refs, .count = item->ref_count},
                              store_dir(store), ret, err);
}

// SHA-256 of the content and of its NAR, in one sweep.
static void store_add_hash_text(HashPair *pair, Span content, Buf *nar_text, uint8_t ret_sha256[32],
                                uint8_t ret_nar_sha256[32]) {
  NarWrite nar;
  buf_clear(nar_text);
  nar_write_init(&nar, nar_text);
  nar_write_file(&nar, false, content.len);
  buf_put_span(nar_text, content);
  nar_write_file_end(&nar);
  nar_write_done(&nar);
  hash_pair_sha256(pair, content, buf_span(nar_text), ret_sha256, ret_nar_sha256);
}

// Sorted, unique references.
static void store_add_copy_refs(PathInfoRecord *record, const StorePath *refs, size_t count) {
  PathInfo *info = &record->info;
  info->refs = ARENA_ARRAY(&record->arena, StorePath, count);
  if (count > 0) memcpy(info->refs, refs, count * sizeof(*refs));
  info->ref_count = store_path_sort(info->refs, count);
}

// What is computed of one text.
typedef struct StoreAddTextHashes {
  uint8_t sha256[32], nar_sha256[32];
  uint64_t nar_size_bytes;
} StoreAddTextHashes;

static PathInfoRecord *store_add_text_record(const StoreAddText *item, const StorePath *path,
                                             const StoreAddTextHashes *hashes) {
  PathInfoRecord *record = path_info_service_record_new();
  PathInfo *info = &record->info;
  record->has_root = true;
  record->registered_at = time(NULL);
  info->path = *path;
  info->root = (CastoreNode){.kind = CASTORE_FILE, .size = item->content.len};
  hash_blake3(item->content, info->root.digest.bytes);
  memcpy(info->nar_sha256, hashes->nar_sha256, 32);
  info->nar_size_bytes = hashes->nar_size_bytes;
  store_add_copy_refs(record, item->refs, item->ref_count);
  info->has_ca = true;
  info->ca = (ContentAddress){.method = CA_TEXT, .hash = {.algo = HASH_SHA256}};
  memcpy(info->ca.hash.bytes, hashes->sha256, 32);
  return record;
}

// Takes the record. The objects stay held until the flush, so that nothing it counts on is collected.
static bool store_add_defer(Store *store, PathInfoRecord *record, Err *err) {
  Span key = span_make(record->info.path.digest, STORE_PATH_DIGEST_BYTES);
  pthread_mutex_lock(&store->mutex);
  bool ok = true;
  if (store->pending_count == 0) {
    ok = object_store_begin(store->objects, err);
    store->pending_since_ms = store_state_now_ms();
  }
  if (ok && !map_has(&store->pending_index, key)) {
    MEM_RESERVE(store->pending, store->pending_cap, store->pending_count + 1);
    map_set(&store->pending_index, key, record);
    store->pending[store->pending_count++] = STEAL(record);
  }
  bool due = store->pending_count >= STORE_ADD_DEFER_COUNT ||
             store_state_now_ms() - store->pending_since_ms >= STORE_ADD_DEFER_MS;
  pthread_mutex_unlock(&store->mutex);
  path_info_service_record_free(record);
  return ok && (!due || store_flush(store, err));
}

// One that is not valid would make all that are committed together fail.
static bool store_add_check_refs(Store *store, const PathInfo *info, Err *err) {
  for (size_t i = 0; i < info->ref_count; i++) {
    bool valid;
    if (store_path_eq(&info->refs[i], &info->path)) continue;
    if (!store_is_valid(store, &info->refs[i], &valid, err)) return false;
    if (valid) continue;
    CLEANUP(buf_done) Buf path = BUF_INIT;
    CLEANUP(buf_done) Buf ref = BUF_INIT;
    store_path_format_base(&info->path, &path);
    store_path_format_base(&info->refs[i], &ref);
    return err_set(err, ERR_NOT_FOUND, "registering store paths: '%s' refers to '%s', which is not valid",
                   buf_cstr(&path), buf_cstr(&ref));
  }
  return true;
}

bool store_add_deferred(Store *store, const PathInfo *info, bool ultimate, Err *err) {
  return store_state_writable(store, err) && store_add_check_refs(store, info, err) &&
         store_add_defer(store, path_info_service_record_of(info, true, ultimate, time(NULL)), err);
}

static bool store_add_one_text(Store *store, const StoreAddText *item, const StorePath *path,
                               const StoreAddTextHashes *hashes, Err *err) {
  PathInfoRecord *record = store_add_text_record(item, path, hashes);
  // Deferred before its content is put: from here on the objects are held.
  CastoreDigest digest = record->info.root.digest;
  return store_add_defer(store, record, err) &&
         object_store_put(store->objects, &digest, PACK_BLOB, item->content, err);
}

static bool store_add_text_failed(const StoreAddText *item, Err *err) {
  return err_wrap(err, "adding '%.*s' to the store", SPAN_ARG(item->name));
}

bool store_add_texts(Store *store, const StoreAddText *items, size_t count, StorePath *ret_paths, Err *err) {
  if (!store_state_writable(store, err)) return false;
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  CLEANUP(mem_free_ptr) StoreAddTextHashes *hashes = mem_alloc_array(count ? count : 1, sizeof(*hashes));
  CLEANUP(mem_free_ptr) bool *valid = mem_alloc_array(count ? count : 1, sizeof(*valid));
  HashPair pair = {0};
  for (size_t i = 0; i < count; i++) {
    store_add_hash_text(&pair, items[i].content, &nar, hashes[i].sha256, hashes[i].nar_sha256);
    hashes[i].nar_size_bytes = nar.len;
    if (items[i].path) ret_paths[i] = *items[i].path;
    else if (!store_add_make_text(store, &items[i], hashes[i].sha256, &ret_paths[i], err))
      return store_add_text_failed(&items[i], err);
  }
  if (!store_pin_many(store, ret_paths, count, valid, err)) return false;
  for (size_t i = 0; i < count; i++)
    if (!valid[i] && !store_add_one_text(store, &items[i], &ret_paths[i], &hashes[i], err))
      return store_add_text_failed(&items[i], err);
  return true;
}

bool store_add_text(Store *store, Span name, Span content, const StorePath *refs, size_t ref_count, StorePath *ret,
                    Err *err) {
  return store_add_texts(store, &(StoreAddText){name, content, refs, ref_count, NULL}, 1, ret, err);
}

// ---- content-addressed trees and files

typedef struct StoreAddHasher {
  HashCtx hash;
} StoreAddHasher;

static bool store_add_hash_put(void *ctx, Span data, Err *err) {
  hash_update(&((StoreAddHasher *)ctx)->hash, data.data, data.len);
  return true;
}

static bool store_add_content_hash(Store *store, const CastoreNode *node, const StoreAddOptions *options,
                                   const uint8_t *nar_sha256, Hash *ret, Err *err) {
  if (options->method == CA_NAR && options->algo == HASH_SHA256 && nar_sha256) {
    *ret = (Hash){.algo = HASH_SHA256};
    memcpy(ret->bytes, nar_sha256, 32);
    return true;
  }
  StoreAddHasher hasher;
  hash_init(&hasher.hash, options->algo);
  ByteSink sink = {store_add_hash_put, &hasher};
  if (options->method == CA_NAR) {
    if (!castore_nar_write(&store->castore, node, &sink, err)) return false;
  } else {
    if (node->kind != CASTORE_FILE)
      return err_set(err, ERR_OTHER, "only a regular file can be added with flat hashing");
    BlobReader *reader;
    if (!blob_service_open(store->castore.blobs, &node->digest, &reader, err)) return false;
    if (!reader) return err_set(err, ERR_NOT_FOUND, "its content is missing");
    CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
    size_t n = 1;
    bool ok = true;
    while (ok && n > 0) {
      ok = blob_service_read(reader, chunk, BYTE_STREAM_CHUNK_BYTES, &n, err);
      if (ok) hash_update(&hasher.hash, chunk, n);
    }
    blob_service_close(reader);
    if (!ok) return false;
  }
  hash_final(&hasher.hash, ret);
  return true;
}

static bool store_add_check_expected(Span name, const StoreAddOptions *options, const Hash *got, Err *err) {
  const Hash *expected = options->expected;
  if (!expected || hash_eq(expected, got)) return true;
  CLEANUP(buf_done) Buf want_text = BUF_INIT;
  CLEANUP(buf_done) Buf got_text = BUF_INIT;
  if (options->url.len > 0) {
    hash_format_nix32(expected, &want_text);
    hash_format_nix32(got, &got_text);
    return err_set(err, ERR_HASH_MISMATCH,
                   "hash mismatch in file downloaded from '%.*s':\n  specified: %s\n  got:       %s",
                   SPAN_ARG(options->url), buf_cstr(&want_text), buf_cstr(&got_text));
  }
  hash_format(expected, HASH_FORMAT_SRI, true, &want_text);
  hash_format(got, HASH_FORMAT_SRI, true, &got_text);
  return err_set(err, ERR_HASH_MISMATCH, "hash mismatch in path '%.*s': expected '%s', got '%s'", SPAN_ARG(name),
                 buf_cstr(&want_text), buf_cstr(&got_text));
}

static bool store_add_make_fixed(Store *store, Span name, const StoreAddOptions *options, const Hash *hash,
                                 ContentAddress *ret_ca, StorePath *ret, Err *err) {
  *ret_ca = (ContentAddress){.method = options->method, .hash = *hash};
  return store_add_check_expected(name, options, hash, err) &&
         store_path_make_fixed(name, ret_ca, NULL, store_dir(store), ret, err);
}

// Registers a node of the castore under the path that its content gives. `nar_sha256` may be NULL.
static bool store_add_register(Store *store, Span name, const CastoreNode *node, const StoreAddOptions *options,
                               const uint8_t *nar_sha256, uint64_t nar_size_bytes, StorePath *ret, Err *err) {
  Hash hash;
  PathInfo info = {.root = *node, .has_ca = true, .nar_size_bytes = nar_size_bytes};
  info.root.name = SPAN("");
  bool valid;
  if (!store_add_content_hash(store, node, options, nar_sha256, &hash, err) ||
      !store_add_make_fixed(store, name, options, &hash, &info.ca, &info.path, err))
    return false;
  *ret = info.path;
  if (options->dry_run) return true;
  if (!store_pin(store, ret, &valid, err)) return false;
  if (valid) return true;
  if (nar_sha256) memcpy(info.nar_sha256, nar_sha256, 32);
  else if (!castore_nar_hash(&store->castore, node, info.nar_sha256, &info.nar_size_bytes, err)) return false;
  if (options->defer) return store_add_defer(store, path_info_service_record_of(&info, true, false, time(NULL)), err);
  return store_register(store, &(StoreRegistration){.info = &info}, 1, err);
}

// State for the question of the import: is the result of the cached walk in the store?
typedef struct StoreAddReuse {
  Store *store;
  Span name;
  const StoreAddOptions *options;
  StorePath path;
} StoreAddReuse;

static bool store_add_may_reuse(void *ctx, const CastoreImport *cached) {
  StoreAddReuse *reuse = ctx;
  Hash hash = {.algo = HASH_SHA256};
  ContentAddress ca;
  bool valid = false;
  if (reuse->options->method != CA_NAR || reuse->options->algo != HASH_SHA256) return false;
  memcpy(hash.bytes, cached->nar_sha256, 32);
  return store_add_make_fixed(reuse->store, reuse->name, reuse->options, &hash, &ca, &reuse->path, NULL) &&
         (reuse->options->dry_run || (store_pin(reuse->store, &reuse->path, &valid, NULL) && valid));
}

// One cache file per imported path. Filtered imports of one path differ, so they have none.
static void store_add_stat_cache_path(Store *store, const char *path, Buf *ret) {
  CLEANUP(buf_done) Buf canon = BUF_INIT;
  char *here = getcwd(NULL, 0);
  fs_path_canon(here ? span_cstr(here) : SPAN("/"), span_cstr(path), &canon);
  free(here);
  Hash hash;
  hash_of(HASH_BLAKE3, buf_span(&canon), &hash);
  buf_printf(ret, "%s/cache/stat/", store->state_dir);
  hash_format(&hash, HASH_FORMAT_BASE16, false, ret);
}

// A dry run hashes without a store to write to: directories and blobs go nowhere.
static bool store_add_null_blob_put(BlobService *service, const CastoreDigest *digest, Span data, Err *err) {
  return true;
}

typedef struct StoreAddNullWriter {
  BlobWriter writer;
  HashCtx hash;
  uint64_t size_bytes;
} StoreAddNullWriter;

static bool store_add_null_write_put(BlobWriter *writer, Span data, Err *err) {
  hash_update(&((StoreAddNullWriter *)writer)->hash, data.data, data.len);
  ((StoreAddNullWriter *)writer)->size_bytes += data.len;
  return true;
}

static bool store_add_null_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err) {
  Hash hash;
  hash_final(&((StoreAddNullWriter *)writer)->hash, &hash);
  memcpy(ret->bytes, hash.bytes, sizeof(ret->bytes));
  *ret_size_bytes = ((StoreAddNullWriter *)writer)->size_bytes;
  return true;
}

static void store_add_null_write_free(BlobWriter *writer) {
  mem_free(writer);
}

static const BlobWriterOps store_add_null_writer_ops = {store_add_null_write_put, store_add_null_write_finish,
                                                        store_add_null_write_free};

static bool store_add_null_write(BlobService *service, BlobWriter **ret, Err *err) {
  StoreAddNullWriter *writer = mem_alloc_zero(sizeof(*writer));
  writer->writer.ops = &store_add_null_writer_ops;
  hash_init(&writer->hash, HASH_BLAKE3);
  *ret = &writer->writer;
  return true;
}

static bool store_add_null_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err) {
  *ret = NULL;
  return true;
}

static bool store_add_null_directory_put(DirectoryService *service, const CastoreDigest *digest, Span encoded,
                                         Err *err) {
  return true;
}

static const BlobServiceOps store_add_null_blob_ops = {
    .name = "null", .open = store_add_null_open, .write = store_add_null_write, .put = store_add_null_blob_put};
static const DirectoryServiceOps store_add_null_directory_ops = {.name = "null", .put = store_add_null_directory_put};

static bool store_add_flat_dry(Span name, const char *path, Store *store, const StoreAddOptions *options,
                               StorePath *ret, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  struct stat st;
  if (lstat(path, &st) != 0) return err_set_errno(err, errno, "reading '%s'", path);
  if (!S_ISREG(st.st_mode))
    return err_set(err, ERR_OTHER, "'%s' is not a regular file, which flat hashing needs", path);
  if (!fs_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, err)) return false;
  StoreAddHasher hasher;
  Hash hash;
  ContentAddress ca;
  hash_init(&hasher.hash, options->algo);
  ByteSource source = byte_stream_from_fd(&fd);
  if (!byte_stream_copy(&source, &(ByteSink){store_add_hash_put, &hasher}, err)) return false;
  hash_final(&hasher.hash, &hash);
  return store_add_make_fixed(store, name, options, &hash, &ca, ret, err);
}

static bool store_add_import(Store *store, Span name, const char *path, const StoreAddOptions *options, StorePath *ret,
                             Err *err) {
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  CLEANUP(buf_done) Buf cache_path = BUF_INIT;
  StoreAddReuse reuse = {store, name, options, {.name_len = 0}};
  BlobService null_blobs = {&store_add_null_blob_ops};
  DirectoryService null_directories = {&store_add_null_directory_ops};
  Castore null_castore = {&null_blobs, &null_directories};
  store_add_stat_cache_path(store, path, &cache_path);
  bool use_cache = !options->filter && !options->no_stat_cache && !store->read_only;
  CastoreImportOptions import_options = {.filter = options->filter,
                                         .filter_ctx = options->filter_ctx,
                                         .hash_nar = true,
                                         .stat_cache_path = use_cache ? buf_cstr(&cache_path) : NULL,
                                         .reuse = store_add_may_reuse,
                                         .reuse_ctx = &reuse};
  if (!castore_import_path(options->dry_run ? &null_castore : &store->castore, path, &import_options, &import, err))
    return false;
  if (import.reused) {
    *ret = reuse.path;
    return true;
  }
  return store_add_register(store, name, &import.root, options, import.nar_sha256, import.nar_size_bytes, ret, err);
}

bool store_add_path(Store *store, Span name, const char *path, const StoreAddOptions *options, StorePath *ret,
                    Err *err) {
  static const StoreAddOptions defaults = STORE_ADD_OPTIONS_INIT;
  if (!options) options = &defaults;
  if (!store_path_check_name(name, err)) return false;
  if (options->dry_run) {
    // The content hash of anything but NAR and SHA-256 needs a second pass over what a dry run does not keep.
    if (options->method == CA_FLAT) return store_add_flat_dry(name, path, store, options, ret, err);
    if (options->algo != HASH_SHA256) {
      StoreAddHasher hasher;
      Hash hash;
      ContentAddress ca;
      hash_init(&hasher.hash, options->algo);
      if (options->filter)
        return err_set(err, ERR_OTHER, "a filtered path can only be hashed with SHA-256 without adding it");
      if (!castore_nar_dump_path(path, &(ByteSink){store_add_hash_put, &hasher}, err)) return false;
      hash_final(&hasher.hash, &hash);
      return store_add_make_fixed(store, name, options, &hash, &ca, ret, err);
    }
    return store_add_import(store, name, path, options, ret, err);
  }
  if (!store_state_writable(store, err) || !object_store_begin(store->objects, err)) return false;
  bool ok = store_add_import(store, name, path, options, ret, err);
  object_store_end(store->objects);
  return ok || err_wrap_unless_named(err, path, "adding '%s' to the store", path);
}

bool store_add_stream(Store *store, Span name, const ByteSource *source, bool executable,
                      const StoreAddOptions *options, StorePath *ret, Err *err) {
  static const StoreAddOptions defaults = {.method = CA_FLAT, .algo = HASH_SHA256};
  if (!options) options = &defaults;
  if (!store_path_check_name(name, err) || !store_state_writable(store, err) ||
      !object_store_begin(store->objects, err))
    return false;
  BlobWriter *writer = NULL;
  CastoreNode node = {.kind = CASTORE_FILE, .executable = executable};
  bool ok = blob_service_write(store->castore.blobs, &writer, err);
  CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  for (size_t n = 1; ok && n > 0;)
    ok = byte_stream_take(source, chunk, BYTE_STREAM_CHUNK_BYTES, &n, err) &&
         blob_service_write_put(writer, span_make(chunk, n), err);
  ok = ok && blob_service_write_finish(writer, &node.digest, &node.size, err) &&
       store_add_register(store, name, &node, options, NULL, 0, ret, err);
  blob_service_write_free(writer);
  object_store_end(store->objects);
  return ok || err_wrap(err, "adding '%.*s' to the store", SPAN_ARG(name));
}

bool store_add_archive(Store *store, Span name, const ByteSource *source, bool strip_top,
                       const StoreAddOptions *options, StorePath *ret, int64_t *ret_last_modified_s, Err *err) {
  static const StoreAddOptions defaults = STORE_ADD_OPTIONS_INIT;
  if (!options) options = &defaults;
  if (!store_path_check_name(name, err) || !store_state_writable(store, err) ||
      !object_store_begin(store->objects, err))
    return false;
  CastoreArchive archive;
  bool ok = castore_archive_read(&store->castore, source, NULL, &archive, err) &&
            store_add_node(store, name, strip_top ? &archive.top : &archive.root, options, ret, err);
  if (ok && ret_last_modified_s) *ret_last_modified_s = archive.last_modified_s;
  object_store_end(store->objects);
  return ok;
}

bool store_add_node(Store *store, Span name, const CastoreNode *node, const StoreAddOptions *options, StorePath *ret,
                    Err *err) {
  static const StoreAddOptions defaults = STORE_ADD_OPTIONS_INIT;
  if (!options) options = &defaults;
  if (!store_state_writable(store, err) || !object_store_begin(store->objects, err)) return false;
  uint8_t nar_sha256[32];
  uint64_t nar_size_bytes = 0;
  bool found = false;
  bool ok = path_db_find_nar(store->db, node, &found, nar_sha256, &nar_size_bytes, err);
  if (ok && !found)
    ok = castore_nar_hash(&store->castore, node, nar_sha256, &nar_size_bytes, err) &&
         path_db_put_nar(store->db, node, nar_sha256, nar_size_bytes, err);
  ok = ok && store_add_register(store, name, node, options, nar_sha256, nar_size_bytes, ret, err);
  object_store_end(store->objects);
  return ok || err_wrap(err, "adding '%.*s' to the store", SPAN_ARG(name));
}

// ---- NARs

static bool store_add_check_nar(Store *store, const PathInfo *info, const CastoreNarImport *nar, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_format_path(store, &info->path, &text);
  if (info->nar_size_bytes != 0 && info->nar_size_bytes != nar->nar_size_bytes)
    return err_set(err, ERR_HASH_MISMATCH, "size mismatch importing path '%s'; specified: %llu; got: %llu",
                   buf_cstr(&text), (unsigned long long)info->nar_size_bytes, (unsigned long long)nar->nar_size_bytes);
  if (memcmp(info->nar_sha256, nar->nar_sha256, 32) == 0) return true;
  Hash want = {.algo = HASH_SHA256}, got = {.algo = HASH_SHA256};
  memcpy(want.bytes, info->nar_sha256, 32);
  memcpy(got.bytes, nar->nar_sha256, 32);
  CLEANUP(buf_done) Buf want_text = BUF_INIT;
  CLEANUP(buf_done) Buf got_text = BUF_INIT;
  hash_format(&want, HASH_FORMAT_NIX32, true, &want_text);
  hash_format(&got, HASH_FORMAT_NIX32, true, &got_text);
  return err_set(err, ERR_HASH_MISMATCH, "hash mismatch importing path '%s'; specified: %s; got: %s", buf_cstr(&text),
                 buf_cstr(&want_text), buf_cstr(&got_text));
}

bool store_add_check_hash_part(Store *store, const StorePath *path, Err *err) {
  char hash[STORE_PATH_HASH_CHARS];
  StorePath known;
  bool found;
  store_path_format_hash(path, hash);
  if (!store_find_hash_part(store, span_make(hash, sizeof(hash)), &known, &found, err)) return false;
  return !found || store_path_eq(&known, path) ||
         err_set(err, ERR_OTHER, "path '%s' has the hash part of the valid path '%s'", path->name, known.name);
}

bool store_add_nar(Store *store, const PathInfo *info, const ByteSource *nar, bool ultimate, bool defer, Err *err) {
  if (!store_state_writable(store, err) || !store_add_check_hash_part(store, &info->path, err) ||
      !object_store_begin(store->objects, err))
    return false;
  CastoreNarImport import = {.text = BUF_INIT};
  PathInfo complete = *info;
  bool ok =
      castore_nar_read(&store->castore, nar, false, &import, err) && store_add_check_nar(store, info, &import, err);
  complete.root = import.root;
  complete.nar_size_bytes = import.nar_size_bytes;
  ok = ok && store_ca_check(&store->castore, &complete, store_dir(store), err);
  if (ok)
    ok = defer ? store_add_deferred(store, &complete, ultimate, err)
               : store_register(store, &(StoreRegistration){.info = &complete, .ultimate = ultimate}, 1, err);
  castore_nar_import_done(&import);
  object_store_end(store->objects);
  return ok;
}

// ---- build outputs

bool store_add_scan(Store *store, const char *scratch, const RefscanNeedles *needles, CastoreImport *ret, Err *err) {
  if (!store_state_writable(store, err) || !object_store_begin(store->objects, err)) return false;
  CastoreImportOptions options = {.needles = needles, .hash_nar = true, .adopt_into = store->objects};
  if (castore_import_path(&store->castore, scratch, &options, ret, err)) return true;
  object_store_end(store->objects);
  return false;
}

void store_add_scan_done(Store *store, CastoreImport *result) {
  castore_import_done(result);
  object_store_end(store->objects);
}
