// pack_test.c: packs hold what was put, and damage is found.
#include "castore/pack.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "formats/hash.h"
#include "harness.h"

static void put(PackWriter *writer, Span data, PackKind kind) {
  Err err = ERR_INIT;
  uint8_t digest[32];
  hash_blake3(data, digest);
  CHECK_OK(pack_writer_put(writer, digest, kind, data, &err), &err);
}

static Pack *make_pack(size_t count, uint64_t *rng, const char *path) {
  Err err = ERR_INIT;
  PackWriter *writer;
  CHECK_OK(pack_writer_open(test_temp_path("tmp"), &writer, &err), &err);
  char data[4000];
  for (size_t i = 0; i < count; i++) {
    size_t len = (size_t)test_random_below(rng, sizeof(data));
    test_random_bytes(rng, data, len);
    memcpy(data, &i, len < sizeof(i) ? len : sizeof(i));
    put(writer, span_make(data, len), i % 5 == 0 ? PACK_DIRECTORY : PACK_BLOB);
  }
  CHECK_OK(pack_writer_finish(writer, path, true, &err), &err);
  pack_writer_free(writer);
  Pack *pack;
  CHECK_OK(pack_open(path, &pack, &err), &err);
  return pack;
}

TEST(round_trip) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  PackWriter *writer;
  CHECK_OK(pack_writer_open(test_temp_path("tmp"), &writer, &err), &err);
  enum { COUNT = 3000 };
  static char data[COUNT][700];
  for (size_t i = 0; i < COUNT; i++) {
    test_random_bytes(&rng, data[i], i % 700);
    put(writer, span_make(data[i], i % 700), PACK_BLOB);
    put(writer, span_make(data[i], i % 700), PACK_BLOB); // a second time changes nothing
  }
  put(writer, SPAN(""), PACK_DIRECTORY);   // same digest as the empty blob
  for (size_t i = 0; i < COUNT; i += 97) { // read before it is finished
    uint8_t digest[32];
    bool found;
    CLEANUP(buf_done) Buf got = BUF_INIT;
    hash_blake3(span_make(data[i], i % 700), digest);
    CHECK_OK(pack_writer_read(writer, digest, PACK_BLOB, &got, &found, &err), &err);
    CHECK(found);
    CHECK_SPAN(buf_span(&got), span_make(data[i], i % 700));
  }
  CHECK_OK(pack_writer_finish(writer, test_temp_path("p.pack"), true, &err), &err);
  size_t put_count = pack_writer_count(writer);
  pack_writer_free(writer);
  Pack *pack;
  CHECK_OK(pack_open(test_temp_path("p.pack"), &pack, &err), &err);
  CHECK_EQ_INT(pack_count(pack), put_count);
  for (size_t i = 0; i < COUNT; i++) {
    uint8_t digest[32];
    Span got;
    hash_blake3(span_make(data[i], i % 700), digest);
    CHECK(pack_find(pack, digest, PACK_BLOB, &got));
    CHECK_SPAN(got, span_make(data[i], i % 700));
    CHECK_EQ_INT(pack_find(pack, digest, PACK_DIRECTORY, &got), i % 700 == 0);
    digest[31] ^= 1;
    CHECK(!pack_find(pack, digest, PACK_BLOB, &got));
  }
  pack_unref(pack);
}

TEST(skewed_digests) { // the interpolation must not depend on the uniformity that it uses
  Err err = ERR_INIT;
  PackWriter *writer;
  CHECK_OK(pack_writer_open(test_temp_path("tmp"), &writer, &err), &err);
  uint8_t digest[32] = {0};
  for (unsigned i = 0; i < 5000; i++) {
    digest[30] = (uint8_t)(i >> 8);
    digest[31] = (uint8_t)i;
    CHECK_OK(pack_writer_put(writer, digest, PACK_BLOB, SPAN("x"), &err), &err);
  }
  memset(digest, 255, 30);
  CHECK_OK(pack_writer_put(writer, digest, PACK_BLOB, SPAN("y"), &err), &err);
  CHECK_OK(pack_writer_finish(writer, test_temp_path("p.pack"), false, &err), &err);
  pack_writer_free(writer);
  Pack *pack;
  CHECK_OK(pack_open(test_temp_path("p.pack"), &pack, &err), &err);
  Span got;
  CHECK(pack_find(pack, digest, PACK_BLOB, &got));
  memset(digest, 0, 30);
  for (unsigned i = 0; i < 5000; i++) {
    digest[30] = (uint8_t)(i >> 8);
    digest[31] = (uint8_t)i;
    CHECK(pack_find(pack, digest, PACK_BLOB, &got));
  }
  pack_unref(pack);
}

TEST(damage_is_found) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  const char *path = test_temp_path("p.pack"), *bad = test_temp_path("bad.pack");
  Pack *pack = make_pack(40, &rng, path);
  uint64_t object_bytes = 0;
  for (size_t i = 0; i < pack_count(pack); i++) {
    const unsigned char *digest;
    PackKind kind;
    Span data;
    pack_get(pack, i, &digest, &kind, &data);
    object_bytes += data.len;
  }
  pack_unref(pack);
  CLEANUP(buf_done) Buf whole = BUF_INIT;
  CHECK_OK(fs_read_file(path, 0, &whole, &err), &err);
  for (size_t cut = 0; cut < whole.len; cut += 1 + whole.len / 50) { // truncated
    CHECK_OK(fs_write_file_atomic(bad, span_sub(buf_span(&whole), 0, cut), 0644, false, &err), &err);
    CHECK_ERR(pack_open(bad, &pack, &err), &err, ERR_CORRUPT, "bad.pack");
  }
  for (size_t at = 16 + (size_t)object_bytes; at < whole.len; at += 7) { // any byte of index and footer
    whole.data[at] ^= 0x40;
    CHECK_OK(fs_write_file_atomic(bad, buf_span(&whole), 0644, false, &err), &err);
    CHECK_ERR(pack_open(bad, &pack, &err), &err, ERR_CORRUPT, "bad.pack");
    whole.data[at] ^= 0x40;
  }
  CHECK_ERR(pack_open(test_temp_path("none"), &pack, &err), &err, ERR_NOT_FOUND, "none");
}

TEST_MAIN()
