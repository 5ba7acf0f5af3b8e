// source_hash_test.c: hashes of trees on disk are those of their archives (castore_nar_dump_path is the other implementation).
#include "glue/source_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_nar.h"
#include "harness.h"

static bool feed(void *ctx, Span data, Err *err) {
  hash_sha256_update(ctx, data.data, data.len);
  return true;
}

static void archive_hash(const char *path, uint8_t ret[32]) {
  HashSha256 hash;
  Err err = ERR_INIT;
  ByteSink sink = {feed, &hash};
  hash_sha256_init(&hash);
  CHECK_OK(castore_nar_dump_path(path, &sink, &err), &err);
  hash_sha256_final(&hash, ret);
}

static void write_file(const char *dir, const char *name, Span content, mode_t mode) {
  Err err = ERR_INIT;
  char path[4096];
  snprintf(path, sizeof(path), "%s/%s", dir, name);
  CHECK_OK(fs_write_file_atomic(path, content, mode, false, &err), &err);
  CHECK(chmod(path, mode) == 0);
}

static void make_tree(const char *root, uint64_t seed) {
  char path[4096];
  CHECK(mkdir(root, 0755) == 0);
  snprintf(path, sizeof(path), "%s/link", root);
  CHECK(symlink("target/../x", path) == 0);
  snprintf(path, sizeof(path), "%s/empty-dir", root);
  CHECK(mkdir(path, 0755) == 0);
  for (int i = 0; i < 20; i++) {
    char name[32];
    Buf content CLEANUP(buf_done) = BUF_INIT;
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    snprintf(name, sizeof(name), "f%llu", (unsigned long long)(seed >> 44));
    buf_put_repeat(&content, (char)('a' + i), (size_t)(seed >> 40) % (i == 7 ? 300000 : 50));
    write_file(root, name, buf_span(&content), i % 3 ? 0644 : 0755);
  }
}

TEST(trees_hash_like_their_archives) {
  for (uint64_t seed = 1; seed < 6; seed++) {
    char root[64];
    uint8_t got[32], want[32];
    Err err = ERR_INIT;
    snprintf(root, sizeof(root), "%s/tree%d", test_temp_dir(), (int)seed);
    make_tree(root, seed);
    CHECK_OK(source_hash_path(root, CA_NAR, NULL, got, &err), &err);
    archive_hash(root, want);
    CHECK(memcmp(got, want, 32) == 0);
  }
}

TEST(single_nodes) {
  uint8_t got[32], want[32];
  Err err = ERR_INIT;
  char path[4096];
  write_file(test_temp_dir(), "file", SPAN("content"), 0755);
  snprintf(path, sizeof(path), "%s/file", test_temp_dir());
  CHECK_OK(source_hash_path(path, CA_NAR, NULL, got, &err), &err);
  archive_hash(path, want);
  CHECK(memcmp(got, want, 32) == 0);
  CHECK_OK(source_hash_path(path, CA_FLAT, NULL, got, &err), &err);
  hash_sha256(SPAN("content"), want);
  CHECK(memcmp(got, want, 32) == 0);
  snprintf(path, sizeof(path), "%s/link", test_temp_dir());
  CHECK(symlink("file", path) == 0);
  CHECK_OK(source_hash_path(path, CA_NAR, NULL, got, &err), &err);
  archive_hash(path, want);
  CHECK(memcmp(got, want, 32) == 0);
}

static bool keep_some(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err) {
  *ret_keep = span_find(path, SPAN("drop")) == SIZE_MAX;
  return true;
}

TEST(a_filter_leaves_out) {
  char with[64], without[64], path[128];
  uint8_t got[32], want[32];
  Err err = ERR_INIT;
  snprintf(with, sizeof(with), "%s/with", test_temp_dir());
  snprintf(without, sizeof(without), "%s/without", test_temp_dir());
  make_tree(with, 9);
  make_tree(without, 9);
  snprintf(path, sizeof(path), "%s/drop", with);
  CHECK(mkdir(path, 0755) == 0);
  write_file(path, "below", SPAN("x"), 0644);
  write_file(with, "also-drop", SPAN("x"), 0644);
  SourceHashFilter filter = {keep_some, NULL};
  CHECK_OK(source_hash_path(with, CA_NAR, &filter, got, &err), &err);
  archive_hash(without, want);
  CHECK(memcmp(got, want, 32) == 0);
}

TEST(errors_name_the_file) {
  uint8_t hash[32];
  Err err = ERR_INIT;
  char path[4096];
  snprintf(path, sizeof(path), "%s/missing", test_temp_dir());
  CHECK_ERR(source_hash_path(path, CA_NAR, NULL, hash, &err), &err, ERR_NOT_FOUND, "/missing");
  snprintf(path, sizeof(path), "%s/fifo", test_temp_dir());
  CHECK(mkfifo(path, 0600) == 0);
  CHECK_ERR(source_hash_path(test_temp_dir(), CA_NAR, NULL, hash, &err), &err, ERR_OTHER,
            "/fifo' has an unsupported type");
  CHECK_ERR(source_hash_path(test_temp_dir(), CA_FLAT, NULL, hash, &err), &err, ERR_IO, "Is a directory");
}

TEST_MAIN()
