// castore_import_test.c: a tree, its node and its NAR agree; the stat cache never lies; build outputs become objects.
#include "castore/castore_import.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "castore/blob_local.h"
#include "castore/castore_materialise.h"
#include "castore/castore_nar.h"
#include "castore/directory_local.h"
#include "harness.h"
#include "random_tree.h"

static Castore open_local(const char *name, ObjectStore **ret) {
  Err err = ERR_INIT;
  CHECK_OK(object_store_open(test_temp_path(name), &(ObjectStoreOptions){.no_sync = true}, ret, &err), &err);
  return (Castore){blob_local_new(*ret, false), directory_local_new(*ret, false)};
}

static void close_local(Castore *castore, ObjectStore *objects) {
  blob_service_free(castore->blobs);
  directory_service_free(castore->directories);
  object_store_free(objects);
}

static void check_import_is(const CastoreImport *import, const char *path) {
  Err err = ERR_INIT;
  uint8_t sha256[32];
  uint64_t size;
  CHECK_OK(castore_nar_hash_path(path, sha256, &size, &err), &err);
  CHECK_SPAN(span_make(import->nar_sha256, 32), span_make(sha256, 32));
  CHECK_EQ_INT(import->nar_size_bytes, size);
}

TEST(import_nar_and_materialise_agree) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  for (unsigned round = 0; round < 6; round++) {
    CLEANUP(buf_done) Buf tree = BUF_INIT;
    CLEANUP(buf_done) Buf copy = BUF_INIT;
    CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT, again = CASTORE_IMPORT_INIT;
    buf_printf(&tree, "%s/tree%u", test_temp_dir(), round);
    buf_printf(&copy, "%s/copy%u", test_temp_dir(), round);
    random_tree_make(buf_cstr(&tree), 20u << round, &rng);
    CHECK_OK(castore_import_path(&castore, buf_cstr(&tree), NULL, &import, &err), &err);
    check_import_is(&import, buf_cstr(&tree));
    uint8_t sha256[32];
    uint64_t size;
    CHECK_OK(castore_nar_hash(&castore, &import.root, sha256, &size, &err), &err); // before the flush
    CHECK_SPAN(span_make(sha256, 32), span_make(import.nar_sha256, 32));
    CHECK_OK(castore_nar_size(&castore, &import.root, &size, &err), &err);
    CHECK_EQ_INT(size, import.nar_size_bytes);
    CHECK_OK(castore_flush(&castore, &err), &err);
    CHECK_OK(castore_materialise_node(&castore, objects, &import.root, buf_cstr(&copy), NULL, &err), &err);
    CHECK_OK(castore_flush(&castore, &err), &err);
    check_import_is(&import, buf_cstr(&copy));
    CHECK_OK(castore_import_path(&castore, buf_cstr(&copy), NULL, &again, &err), &err);
    CHECK(castore_node_digest_eq(&again.root.digest, &import.root.digest));
    CHECK_EQ_INT(again.root.size, import.root.size);
  }
  close_local(&castore, objects);
}

TEST(nar_hash_is_that_of_nix) {
  const char *const probe[] = {"nix-store", "--version", NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  CLEANUP(buf_done) Buf out = BUF_INIT;
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  Err err = ERR_INIT;
  int status;
  uint64_t rng = test_seed();
  spec.argv = probe;
  if (!process_run(&spec, &out, NULL, &status, NULL) || status != 0) test_skip("nix-store is not installed");
  random_tree_make(test_temp_path("tree"), 300, &rng);
  const char *const dump[] = {"nix-store", "--dump", test_temp_path("tree"), NULL};
  spec.argv = dump;
  CHECK_OK(process_run(&spec, &nar, NULL, &status, &err), &err);
  CHECK_EQ_INT(status, 0);
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  CHECK_OK(castore_import_path(&castore, test_temp_path("tree"), NULL, &import, &err), &err);
  uint8_t sha256[32];
  hash_sha256(buf_span(&nar), sha256);
  CHECK_SPAN(span_make(import.nar_sha256, 32), span_make(sha256, 32));
  close_local(&castore, objects);
}

TEST(single_files_and_links) {
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  CLEANUP(castore_import_done) CastoreImport file = CASTORE_IMPORT_INIT, link = CASTORE_IMPORT_INIT;
  CHECK_OK(fs_write_file_atomic(test_temp_path("f"), SPAN("hello"), 0755, false, &err), &err);
  CHECK(symlink("nowhere", test_temp_path("l")) == 0);
  CHECK_OK(castore_import_path(&castore, test_temp_path("f"), NULL, &file, &err), &err);
  CHECK_EQ_INT(file.root.kind, CASTORE_FILE);
  CHECK(file.root.executable);
  CHECK_EQ_INT(file.root.size, 5);
  check_import_is(&file, test_temp_path("f"));
  CHECK_OK(castore_import_path(&castore, test_temp_path("l"), NULL, &link, &err), &err);
  CHECK_STR(link.root.target, "nowhere");
  check_import_is(&link, test_temp_path("l"));
  close_local(&castore, objects);
}

static bool reuse_always(void *ctx, const CastoreImport *cached) {
  ++*(unsigned *)ctx;
  return true;
}

TEST(stat_cache_is_faithful) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  const char *tree = test_temp_path("tree");
  unsigned reused = 0;
  CastoreImportOptions options = {
      .hash_nar = true, .stat_cache_path = test_temp_path("cache"), .reuse = reuse_always, .reuse_ctx = &reused};
  random_tree_make(tree, 200, &rng);
  usleep(120000); // older than the racy window
  for (unsigned round = 0; round < 8; round++) {
    CLEANUP(castore_import_done)
    CastoreImport cached = CASTORE_IMPORT_INIT, same = CASTORE_IMPORT_INIT, plain = CASTORE_IMPORT_INIT;
    unsigned before = reused;
    CHECK_OK(castore_import_path(&castore, tree, &options, &cached, &err), &err);
    CHECK_EQ_INT(reused, before); // it is new or was changed
    CHECK_OK(castore_import_path(&castore, tree, NULL, &plain, &err), &err);
    CHECK(castore_node_digest_eq(&cached.root.digest, &plain.root.digest));
    CHECK_SPAN(span_make(cached.nar_sha256, 32), span_make(plain.nar_sha256, 32));
    if (round > 0) CHECK(cached.read_bytes < plain.read_bytes);
    usleep(120000);
    CHECK_OK(castore_import_path(&castore, tree, &options, &same, &err),
             &err); // what was racy is read again, and cached then
    CHECK(castore_node_digest_eq(&same.root.digest, &plain.root.digest));
    castore_import_done(&same);
    before = reused;
    CHECK_OK(castore_import_path(&castore, tree, &options, &same, &err), &err);
    CHECK_EQ_INT(reused, before + 1);
    CHECK(castore_node_digest_eq(&same.root.digest, &plain.root.digest));
    CHECK_EQ_INT(same.read_bytes, 0);
    random_tree_change(tree, &rng);
  }
  close_local(&castore, objects);
}

TEST(same_size_change_at_once_is_seen) { // the racy case: no tick between the import and the write
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  unsigned reused = 0;
  CastoreImportOptions options = {
      .hash_nar = true, .stat_cache_path = test_temp_path("cache"), .reuse = reuse_always, .reuse_ctx = &reused};
  for (unsigned i = 0; i < 50; i++) {
    char text[8] = {(char)('A' + i % 26), (char)('A' + i / 26)};
    CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
    CLEANUP(fs_close_fd) int fd = -1;
    CHECK_OK(fs_open(test_temp_path("f"), O_WRONLY | O_CREAT, 0644, &fd, &err), &err);
    CHECK_OK(fs_write_all(fd, span_make(text, sizeof(text)), &err), &err);
    CHECK_OK(castore_import_path(&castore, test_temp_path("f"), &options, &import, &err), &err);
    check_import_is(&import, test_temp_path("f"));
  }
  close_local(&castore, objects);
}

TEST(damaged_cache_is_ignored) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  CastoreImportOptions options = {.hash_nar = true, .stat_cache_path = test_temp_path("cache")};
  random_tree_make(test_temp_path("tree"), 50, &rng);
  CLEANUP(castore_import_done) CastoreImport first = CASTORE_IMPORT_INIT;
  CHECK_OK(castore_import_path(&castore, test_temp_path("tree"), &options, &first, &err), &err);
  CLEANUP(buf_done) Buf cache = BUF_INIT;
  CHECK_OK(fs_read_file(test_temp_path("cache"), 0, &cache, &err), &err);
  for (size_t at = 0; at < cache.len; at += 1 + cache.len / 60) {
    CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
    CLEANUP(buf_done) Buf bad = BUF_INIT;
    buf_put_span(&bad, span_sub(buf_span(&cache), 0, at % 2 ? at : cache.len));
    if (at % 2 == 0) bad.data[at] ^= 0x55;
    CHECK_OK(fs_write_file_atomic(test_temp_path("cache"), buf_span(&bad), 0644, false, &err), &err);
    CHECK_OK(castore_import_path(&castore, test_temp_path("tree"), &options, &import, &err), &err);
    CHECK(castore_node_digest_eq(&import.root.digest, &first.root.digest));
  }
  close_local(&castore, objects);
}

static bool no_a(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err) {
  buf_put_span(ctx, path);
  buf_put_char(ctx, ' ');
  *ret_keep = !span_has_suffix(path, SPAN("a"));
  return true;
}

TEST(filter_sees_entries_in_order) {
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  CLEANUP(buf_done) Buf seen = BUF_INIT;
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("t/a/x"), 0755, &err), &err);
  CHECK_OK(fs_mkdir_all(test_temp_path("t/b/a"), 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/c"), SPAN(""), 0644, false, &err), &err);
  CHECK_OK(castore_import_path(&castore, test_temp_path("t"),
                               &(CastoreImportOptions){.filter = no_a, .filter_ctx = &seen, .hash_nar = true}, &import,
                               &err),
           &err);
  CHECK_STR(buf_span(&seen), "a b b/a c ");
  CHECK_EQ_INT(import.root.size, 2); // b and c
  close_local(&castore, objects);
}

TEST(references_in_contents_and_links) {
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  Span needles[] = {SPAN("0123456789abcdfghijklmnpqrsvwxyz"), SPAN("1123456789abcdfghijklmnpqrsvwxyz"),
                    SPAN("2123456789abcdfghijklmnpqrsvwxyz"), SPAN("3123456789abcdfghijklmnpqrsvwxyz")};
  RefscanNeedles *set = refscan_needles_new(needles, 4);
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("t"), 0755, &err), &err);
  CLEANUP(mem_free_ptr) char *big = mem_alloc_zero(3000000);
  memcpy(big + 2500000 - 16, needles[0].data, 32); // in a streamed file
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/big"), span_make(big, 3000000), 0644, false, &err), &err);
  CHECK(symlink("/nix/store/1123456789abcdfghijklmnpqrsvwxyz-x", test_temp_path("t/link")) == 0);
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/2123456789abcdfghijklmnpqrsvwxyz"), SPAN("names do not count"), 0644,
                                false, &err),
           &err);
  CHECK_OK(castore_import_path(&castore, test_temp_path("t"), &(CastoreImportOptions){.needles = set, .hash_nar = true},
                               &import, &err),
           &err);
  CHECK_EQ_INT(import.found[0], 1);
  CHECK_EQ_INT(import.found[1], 1);
  CHECK_EQ_INT(import.found[2], 0);
  CHECK_EQ_INT(import.found[3], 0);
  check_import_is(&import, test_temp_path("t"));
  refscan_needles_free(set);
  close_local(&castore, objects);
}

TEST(adopting_moves_no_data) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  const char *tree = test_temp_path("tree");
  random_tree_make(tree, 100, &rng);
  CHECK_OK(fs_write_file_atomic(test_temp_path("tree/suid"), SPAN("same content"), 04777, false, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("tree/twin"), SPAN("same content"), 0700, false, &err), &err);
  struct stat before, after, twin;
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  CHECK(stat(test_temp_path("tree/suid"), &before) == 0);
  CHECK_OK(castore_import_path(&castore, tree, &(CastoreImportOptions){.hash_nar = true, .adopt_into = objects},
                               &import, &err),
           &err);
  CHECK_OK(castore_flush(&castore, &err), &err);
  check_import_is(&import, tree);
  CHECK(stat(test_temp_path("tree/suid"), &after) == 0 && stat(test_temp_path("tree/twin"), &twin) == 0);
  CHECK_EQ_INT(after.st_ino, before.st_ino);
  CHECK_EQ_INT(twin.st_ino, before.st_ino); // one file per content
  CHECK_EQ_INT(after.st_mode & 07777, 0555);
  CHECK_EQ_INT(after.st_mtime, 1);
  CHECK(stat(tree, &after) == 0);
  CHECK_EQ_INT(after.st_mode & 07777, 0555);
  CHECK_EQ_INT(after.st_mtime, 1);
  uint8_t sha256[32];
  uint64_t size;
  CHECK_OK(castore_nar_hash(&castore, &import.root, sha256, &size, &err), &err);
  CHECK_SPAN(span_make(sha256, 32), span_make(import.nar_sha256, 32));
  close_local(&castore, objects);
}

TEST(unsupported_types_and_missing_paths) {
  Err err = ERR_INIT;
  ObjectStore *objects;
  Castore castore = open_local("store", &objects);
  CastoreImport import;
  CHECK_OK(fs_mkdir_all(test_temp_path("t"), 0755, &err), &err);
  CHECK(mkfifo(test_temp_path("t/pipe"), 0644) == 0);
  CHECK_ERR(castore_import_path(&castore, test_temp_path("t"), NULL, &import, &err), &err, ERR_OTHER,
            "/pipe' has an unsupported type");
  CHECK_ERR(castore_import_path(&castore, test_temp_path("none"), NULL, &import, &err), &err, ERR_NOT_FOUND, "none");
  close_local(&castore, objects);
}

TEST_MAIN()
