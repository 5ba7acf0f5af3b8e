// store_export_test.c: streams and binary caches between stores, ours and C++ Nix's.
#include "store/store_export.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/process.h"
#include "harness.h"
#include "store/binary_cache.h"
#include "store_fixture.h"

static StorePath make_closure(Store *store, StorePathList *ret) {
  Err err = ERR_INIT;
  StorePath a = store_fixture_text(store, "a", "first", NULL, 0), b = store_fixture_text(store, "b", "second", &a, 1);
  StorePath refs[] = {a, b}, top = store_fixture_output(store, '9', "top", "third", refs, 2);
  CHECK_OK(store_closure(store, &top, 1, &(StoreClosureOptions){.topological = true}, ret, &err), &err);
  CHECK_EQ_INT(ret->count, 3);
  return top;
}

static void check_same(Store *a, Store *b, const StorePathList *paths) {
  Err err = ERR_INIT;
  for (size_t i = 0; i < paths->count; i++) {
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *x = NULL, *y = NULL;
    CHECK_OK(store_get(a, &paths->paths[i], &x, &err), &err);
    CHECK_OK(store_get(b, &paths->paths[i], &y, &err), &err);
    CHECK_SPAN(span_make(x->info.nar_sha256, 32), span_make(y->info.nar_sha256, 32));
    CHECK_EQ_INT(x->info.nar_size_bytes, y->info.nar_size_bytes);
    CHECK_EQ_INT(x->info.ref_count, y->info.ref_count);
  }
}

TEST(export_and_import) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePathList closure = STORE_PATH_LIST_INIT, imported = STORE_PATH_LIST_INIT;
  make_closure(from, &closure);
  CLEANUP(buf_done) Buf stream = BUF_INIT;
  ByteSink sink = byte_stream_to_buf(&stream);
  CHECK_OK(store_export_write(from, closure.paths, closure.count, &sink, &err), &err);
  for (size_t cut = 0; cut < stream.len; cut += 1 + stream.len / 40) { // nothing of a cut entry is registered
    Store *scrap = store_fixture_open("scrap");
    Span rest = span_sub(buf_span(&stream), 0, cut);
    ByteSource source = byte_stream_from_span(&rest);
    StorePathList some = STORE_PATH_LIST_INIT;
    CHECK(!store_export_read(scrap, &source, &some, &err));
    CHECK(err_is_set(&err));
    err_done(&err);
    store_path_list_done(&some);
    store_free(scrap);
  }
  Span rest = buf_span(&stream);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK_OK(store_export_read(to, &source, &imported, &err), &err);
  CHECK_EQ_INT(imported.count, closure.count);
  check_same(from, to, &closure);
  store_path_list_done(&closure);
  store_path_list_done(&imported);
  store_free(from);
  store_free(to);
}

// Runs `command` with the file as standard input.
static void nix_with_input(const char *command) {
  CLEANUP(buf_done) Buf out = BUF_INIT;
  const char *const argv[] = {"sh", "-c", command, NULL};
  store_fixture_nix(argv, &out);
}

TEST(nix_imports_what_we_export_and_the_reverse) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePathList closure = STORE_PATH_LIST_INIT, imported = STORE_PATH_LIST_INIT;
  make_closure(from, &closure);
  CLEANUP(buf_done) Buf stream = BUF_INIT;
  CLEANUP(buf_done) Buf command = BUF_INIT;
  ByteSink sink = byte_stream_to_buf(&stream);
  CHECK_OK(store_export_write(from, closure.paths, closure.count, &sink, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("x"), buf_span(&stream), 0644, false, &err), &err);
  buf_printf(&command,
             "cd '%s' && nix-store --store \"$PWD/cpp\" --option require-sigs false --import < x > names && nix-store "
             "--store \"$PWD/cpp\" --export $(cat names) > y && cmp x y",
             test_temp_dir());
  nix_with_input(buf_cstr(&command));
  CLEANUP(buf_done) Buf back = BUF_INIT;
  CHECK_OK(fs_read_file(test_temp_path("y"), 0, &back, &err), &err);
  Span rest = buf_span(&back);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK_OK(store_export_read(to, &source, &imported, &err), &err);
  check_same(from, to, &closure);
  store_path_list_done(&closure);
  store_path_list_done(&imported);
  store_free(from);
  store_free(to);
}

TEST(dump_db_and_load_db) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePathList closure = STORE_PATH_LIST_INIT, loaded = STORE_PATH_LIST_INIT;
  make_closure(from, &closure);
  CHECK_OK(store_materialise(from, closure.paths, closure.count, &err), &err);
  CLEANUP(buf_done) Buf text = BUF_INIT;
  ByteSink sink = byte_stream_to_buf(&text);
  CHECK_OK(store_export_dump_db(from, closure.paths, closure.count, true, &sink, &err), &err);
  CLEANUP(buf_done) Buf command = BUF_INIT;
  CLEANUP(buf_done) Buf out = BUF_INIT;
  buf_printf(&command, "cp -a '%s'/from/store/. '%s'/to/store/", test_temp_dir(), test_temp_dir());
  const char *const argv[] = {"sh", "-c", buf_cstr(&command), NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  int status;
  spec.argv = argv;
  CHECK_OK(process_run(&spec, &out, NULL, &status, &err), &err);
  CHECK_EQ_INT(status, 0);
  Span rest = buf_span(&text);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK_OK(store_export_load_db(to, &source, true, true, &loaded, &err), &err);
  CHECK_EQ_INT(loaded.count, 3);
  check_same(from, to, &closure);
  store_path_list_done(&closure);
  store_path_list_done(&loaded);
  store_free(from);
  store_free(to);
}

static BinaryCache *open_cache(const char *name, BinaryCacheOptions options) {
  Err err = ERR_INIT;
  BinaryCache *cache;
  CHECK_OK(binary_cache_open(test_temp_path(name), NULL, STORE_PATH_DIR, &options, &cache, &err), &err);
  return cache;
}

TEST(binary_cache_round_trip) {
  Err err = ERR_INIT;
  SignatureSecretKey secret;
  SignaturePublicKey public_key;
  CHECK_OK(signature_generate(SPAN("test-1"), &secret, &err), &err);
  signature_public_of(&secret, &public_key);
  for (int codec = STREAM_CODEC_NONE; codec <= STREAM_CODEC_GZIP; codec++) {
    char cache_name[20], to_name[20];
    snprintf(cache_name, sizeof(cache_name), "cache%d", codec);
    snprintf(to_name, sizeof(to_name), "to%d", codec);
    Store *from = store_fixture_open("from"), *to = store_fixture_open(to_name);
    StorePathList closure = STORE_PATH_LIST_INIT;
    StorePath top = make_closure(from, &closure);
    BinaryCache *cache = open_cache(
        cache_name, (BinaryCacheOptions){.compression = (StreamCodec)codec, .key = &secret, .write_listing = true});
    for (size_t i = 0; i < closure.count; i++) CHECK_OK(binary_cache_put(cache, from, &closure.paths[i], &err), &err);
    for (size_t i = 0; i < closure.count; i++)
      CHECK_OK(binary_cache_fetch(cache, to, &closure.paths[i], &public_key, 1, true, &err), &err);
    check_same(from, to, &closure);
    CHECK(fs_exists(test_temp_path(codec ? "cache1/99999999999999999999999999999999.ls"
                                         : "cache0/99999999999999999999999999999999.ls")));
    Store *strict = store_fixture_open("strict");
    // Without the key: content-addressed paths are evident, the build output is not.
    CHECK_OK(binary_cache_fetch(cache, strict, &closure.paths[0], NULL, 0, true, &err), &err);
    CHECK_OK(binary_cache_fetch(cache, strict, &closure.paths[1], NULL, 0, true, &err), &err);
    CHECK_ERR(binary_cache_fetch(cache, strict, &top, NULL, 0, true, &err), &err, ERR_OTHER,
              "lacks a signature by a trusted key");
    CHECK(!store_fixture_valid(strict, &top));
    store_free(strict);
    CHECK_OK(fs_remove_tree(test_temp_path("strict"), &err), &err);
    binary_cache_free(cache);
    store_path_list_done(&closure);
    store_free(from);
    store_free(to);
  }
}

typedef struct DumpOf {
  Store *store;
  const StorePath *path;
} DumpOf;

static bool dump_of(void *ctx, const ByteSink *sink, Err *err) {
  const DumpOf *dump = ctx;
  return store_dump(dump->store, dump->path, sink, err);
}

static BinaryCacheItem *prepare(BinaryCache *cache, Store *from, const StorePath *path) {
  Err err = ERR_INIT;
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  BinaryCacheItem *item;
  CHECK_OK(store_get(from, path, &record, &err), &err);
  CHECK_OK(binary_cache_prepare(cache, &record->info, dump_of, &(DumpOf){from, path}, &item, &err), &err);
  return item;
}

// Files of the cache, without its folders and nix-cache-info.
static size_t count_files(const char *cache) {
  Err err = ERR_INIT;
  CLEANUP(fs_list_done) FsList list = FS_LIST_INIT;
  CLEANUP(fs_list_done) FsList nars = FS_LIST_INIT;
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  buf_printf(&nar, "%s/nar", test_temp_path(cache));
  CHECK_OK(fs_list_dir(test_temp_path(cache), &list, &err), &err);
  CHECK_OK(fs_list_dir(buf_cstr(&nar), &nars, &err), &err);
  return list.count + nars.count - 4;
}

// Prepared in any order, published in the order of commits, nothing visible before the flush, nothing left of what was not flushed.
TEST(binary_cache_batch) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePathList closure = STORE_PATH_LIST_INIT;
  make_closure(from, &closure);
  BinaryCache *cache =
      open_cache("cache", (BinaryCacheOptions){.compression = STREAM_CODEC_ZSTD, .write_listing = true});
  BinaryCacheItem *items[3];
  for (size_t i = 3; i-- > 0;) items[i] = prepare(cache, from, &closure.paths[i]);
  CHECK_EQ_INT(count_files("cache"), 9);
  CHECK_OK(binary_cache_commit(cache, items[0], &err), &err);
  CHECK_ERR(binary_cache_commit(cache, items[2], &err), &err, ERR_NOT_FOUND, "because the reference");
  CHECK_EQ_INT(count_files("cache"), 6);
  CHECK_OK(binary_cache_commit(cache, items[1], &err), &err);
  bool has, found;
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  NarInfo info;
  CHECK_OK(binary_cache_has(cache, &closure.paths[1], &has, &err), &err);
  CHECK_OK(binary_cache_find(cache, closure.paths[1].digest, &arena, &info, &found, &err), &err);
  CHECK(has && !found);
  CHECK_OK(binary_cache_flush(cache, &err), &err);
  for (size_t i = 0; i < 2; i++) CHECK_OK(binary_cache_fetch(cache, to, &closure.paths[i], NULL, 0, false, &err), &err);
  BinaryCacheItem *never = prepare(cache, from, &closure.paths[2]);
  CHECK_OK(binary_cache_commit(cache, never, &err), &err);
  binary_cache_free(cache);
  CHECK_EQ_INT(count_files("cache"), 6);
  store_path_list_done(&closure);
  store_free(from);
  store_free(to);
}

// A path of the stream refers to what is not there: the one before it stays.
TEST(import_keeps_what_came_before_a_failure) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePath a = store_fixture_text(from, "a", "first", NULL, 0), b = store_fixture_text(from, "b", "second", &a, 1),
            c = store_fixture_text(from, "c", "third", &b, 1), paths[] = {a, c};
  StorePathList imported = STORE_PATH_LIST_INIT;
  CLEANUP(buf_done) Buf stream = BUF_INIT;
  ByteSink sink = byte_stream_to_buf(&stream);
  CHECK_OK(store_export_write(from, paths, 2, &sink, &err), &err);
  Span rest = buf_span(&stream);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK_ERR(store_export_read(to, &source, &imported, &err), &err, ERR_NOT_FOUND, "-b', which is not valid");
  CHECK(store_fixture_valid(to, &a));
  CHECK(!store_fixture_valid(to, &c));
  store_path_list_done(&imported);
  store_free(from);
  store_free(to);
}

TEST(nix_copies_from_our_cache_and_we_from_its) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePathList closure = STORE_PATH_LIST_INIT;
  StorePath top = make_closure(from, &closure);
  SignatureSecretKey secret;
  SignaturePublicKey public_key;
  CLEANUP(buf_done) Buf key_text = BUF_INIT;
  CLEANUP(buf_done) Buf command = BUF_INIT;
  CLEANUP(buf_done) Buf top_text = BUF_INIT;
  CHECK_OK(signature_generate(SPAN("test-1"), &secret, &err), &err);
  signature_public_of(&secret, &public_key);
  signature_format_public_key(&public_key, &key_text);
  store_format_path(from, &top, &top_text);
  BinaryCache *cache = open_cache("ours", (BinaryCacheOptions){.compression = STREAM_CODEC_XZ, .key = &secret});
  for (size_t i = 0; i < closure.count; i++) CHECK_OK(binary_cache_put(cache, from, &closure.paths[i], &err), &err);
  binary_cache_free(cache);
  buf_printf(&command,
             "cd '%s' && nix --extra-experimental-features nix-command copy --option trusted-public-keys '%s' --from "
             "\"file://$PWD/ours\" --to \"$PWD/cpp\" %s && "
             "nix --extra-experimental-features nix-command copy --from \"$PWD/cpp\" --to "
             "\"file://$PWD/theirs?compression=zstd\" %s",
             test_temp_dir(), buf_cstr(&key_text), buf_cstr(&top_text), buf_cstr(&top_text));
  nix_with_input(buf_cstr(&command));
  cache = open_cache("theirs", (BinaryCacheOptions){.read_only = true});
  for (size_t i = 0; i < closure.count; i++)
    CHECK_OK(binary_cache_fetch(cache, to, &closure.paths[i], &public_key, 1, true, &err), &err);
  check_same(from, to, &closure);
  binary_cache_free(cache);
  store_path_list_done(&closure);
  store_free(from);
  store_free(to);
}

TEST(hostile_cache) {
  Err err = ERR_INIT;
  Store *from = store_fixture_open("from"), *to = store_fixture_open("to");
  StorePath path = store_fixture_text(from, "x", "content", NULL, 0);
  BinaryCache *cache = open_cache("cache", (BinaryCacheOptions){.compression = STREAM_CODEC_NONE});
  CHECK_OK(binary_cache_put(cache, from, &path, &err), &err);
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  NarInfo info;
  bool found;
  CHECK_OK(binary_cache_find(cache, path.digest, &arena, &info, &found, &err), &err);
  CHECK(found);
  char hash[STORE_PATH_HASH_CHARS];
  CLEANUP(buf_done) Buf file = BUF_INIT;
  store_path_format_hash(&path, hash);
  buf_printf(&file, "%s/%.*s.narinfo", test_temp_path("cache"), STORE_PATH_HASH_CHARS, hash);
  static const char *const urls[] = {"../from/secret", "/etc/passwd", "http://elsewhere/x"};
  for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    info.url = span_cstr(urls[i]);
    narinfo_format(&info, STORE_PATH_DIR, &text);
    CHECK_OK(fs_write_file_atomic(buf_cstr(&file), buf_span(&text), 0644, false, &err), &err);
    CHECK_ERR(binary_cache_fetch(cache, to, &path, NULL, 0, false, &err), &err, ERR_SYNTAX,
              "leads out of the binary cache");
  }
  binary_cache_free(cache);
  CHECK_OK(
      fs_write_file_atomic(test_temp_path("cache/nix-cache-info"), SPAN("StoreDir: /gnu/store\n"), 0644, false, &err),
      &err);
  CHECK_ERR(binary_cache_open(test_temp_path("cache"), NULL, STORE_PATH_DIR, &(BinaryCacheOptions){.read_only = true},
                              &cache, &err),
            &err, ERR_OTHER, "prefix '/gnu/store'");
  store_free(from);
  store_free(to);
}

TEST_MAIN()
