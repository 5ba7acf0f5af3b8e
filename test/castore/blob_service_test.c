// blob_service_test.c: one contract for every backend and combinator.
#include "castore/blob_service.h"

#include <stdio.h>

#include "castore/blob_combine.h"
#include "castore/blob_memory.h"
#include "harness.h"

typedef void (*Contract)(BlobService *service);

// Runs a contract on each kind of service.
static void on_all(Contract contract) {
  static const char *const urls[] = {
      "memory:",
      "local:%s/l1",
      "cache:(memory:)(local:%s/l2)",
      "cache:(local:%s/l3)(memory:)",
      "first:(local:%s/l4)(memory:)",
      "first:(memory:)(readonly:memory:)",
      "objectstore+file://%s/o1",
      "cache:(memory:)(objectstore+file://%s/o2)",
  };
  for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
    CLEANUP(buf_done) Buf url = BUF_INIT;
    Err err = ERR_INIT;
    const char *mark = strstr(urls[i], "%s");
    buf_put(&url, urls[i], mark ? (size_t)(mark - urls[i]) : strlen(urls[i]));
    if (mark) buf_printf(&url, "%s%s", test_temp_dir(), mark + 2);
    BlobService *service;
    test_note("%s", buf_cstr(&url));
    CHECK_OK(blob_service_open_url(buf_span(&url), &service, &err), &err);
    contract(service);
    blob_service_free(service);
  }
}

static CastoreDigest digest_of(Span data) {
  CastoreDigest digest;
  hash_blake3(data, digest.bytes);
  return digest;
}

static void check_content(BlobService *service, Span data) {
  Err err = ERR_INIT;
  CastoreDigest digest = digest_of(data);
  CLEANUP(buf_done) Buf got = BUF_INIT;
  bool found;
  uint64_t size;
  CHECK_OK(blob_service_stat(service, &digest, &found, &size, &err), &err);
  CHECK(found);
  CHECK_EQ_INT(size, data.len);
  CHECK_OK(blob_service_get(service, &digest, 0, &got, &found, &err), &err);
  CHECK(found);
  CHECK_SPAN(buf_span(&got), data);
}

static void sizes(BlobService *service) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  static const size_t lens[] = {0, 1, 31, 4096, 65535, 65536, 65537, 300000, 2500000};
  for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
    CLEANUP(mem_free_ptr) char *data = mem_alloc(lens[i] + 1);
    test_random_bytes(&rng, data, lens[i]);
    Span span = span_make(data, lens[i]);
    CastoreDigest got, want = digest_of(span);
    CHECK_OK(blob_service_put(service, span, NULL, &got, &err), &err);
    CHECK(castore_node_digest_eq(&got, &want));
    check_content(service, span);
    CHECK_OK(blob_service_flush(service, &err), &err);
    check_content(service, span);
    CHECK_OK(blob_service_put(service, span, &want, &got, &err), &err); // again
    CHECK_OK(blob_service_flush(service, &err), &err);
    check_content(service, span);
  }
}

TEST(put_and_get) {
  on_all(sizes);
}

static void streaming(BlobService *service) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  for (unsigned round = 0; round < 12; round++) {
    size_t len = (size_t)test_random_below(&rng, round % 3 == 0 ? 100 : 400000);
    CLEANUP(mem_free_ptr) char *data = mem_alloc(len + 1);
    test_random_bytes(&rng, data, len);
    BlobWriter *writer;
    CHECK_OK(blob_service_write(service, &writer, &err), &err);
    for (size_t at = 0; at < len;) { // the digest does not depend on the cuts
      size_t n = 1 + (size_t)test_random_below(&rng, 90000);
      if (n > len - at) n = len - at;
      CHECK_OK(blob_service_write_put(writer, span_make(data + at, n), &err), &err);
      at += n;
    }
    CastoreDigest got, want = digest_of(span_make(data, len));
    uint64_t size;
    CHECK_OK(blob_service_write_finish(writer, &got, &size, &err), &err);
    blob_service_write_free(writer);
    CHECK(castore_node_digest_eq(&got, &want));
    CHECK_EQ_INT(size, len);
    check_content(service, span_make(data, len));
    BlobReader *reader;
    CHECK_OK(blob_service_open(service, &want, &reader, &err), &err);
    CHECK(reader != NULL);
    for (unsigned k = 0; k < 10; k++) { // any range
      char part[5000];
      size_t offset = (size_t)test_random_below(&rng, len + 10), n;
      CHECK_OK(blob_service_read_at(reader, offset, part, sizeof(part), &n, &err), &err);
      CHECK_SPAN(span_make(part, n), span_sub(span_make(data, len), offset, sizeof(part)));
    }
    blob_service_close(reader);
  }
}

TEST(streams) {
  on_all(streaming);
}

static void absence(BlobService *service) {
  Err err = ERR_INIT;
  CastoreDigest digest = digest_of(SPAN("nobody has put this"));
  bool found = true;
  BlobReader *reader;
  CLEANUP(buf_done) Buf got = BUF_INIT;
  CHECK_OK(blob_service_stat(service, &digest, &found, NULL, &err), &err);
  CHECK(!found);
  CHECK_OK(blob_service_open(service, &digest, &reader, &err), &err);
  CHECK(reader == NULL);
  CHECK_OK(blob_service_get(service, &digest, 0, &got, &found, &err), &err);
  CHECK(!found);
  BlobService *other = blob_memory_new();
  CHECK_ERR(blob_service_copy(service, other, &digest, &err), &err, ERR_NOT_FOUND, "missing");
  blob_service_free(other);
}

TEST(absent_blobs) {
  on_all(absence);
}

static void aborting(BlobService *service) {
  Err err = ERR_INIT;
  BlobWriter *writer;
  bool found;
  CLEANUP(mem_free_ptr) char *data = mem_alloc_zero(200000);
  CHECK_OK(blob_service_write(service, &writer, &err), &err);
  CHECK_OK(blob_service_write_put(writer, span_make(data, 200000), &err), &err);
  blob_service_write_free(writer);
  CastoreDigest digest = digest_of(span_make(data, 200000));
  CHECK_OK(blob_service_stat(service, &digest, &found, NULL, &err), &err);
  CHECK(!found);
}

TEST(aborted_write_leaves_nothing) {
  on_all(aborting);
}

static void limits(BlobService *service) {
  Err err = ERR_INIT;
  CastoreDigest digest;
  bool found;
  CLEANUP(buf_done) Buf got = BUF_INIT;
  CHECK_OK(blob_service_put(service, SPAN("0123456789"), NULL, &digest, &err), &err);
  CHECK_ERR(blob_service_get(service, &digest, 9, &got, &found, &err), &err, ERR_LIMIT, "10 bytes");
  CHECK_OK(blob_service_get(service, &digest, 10, &got, &found, &err), &err);
}

TEST(get_limit) {
  on_all(limits);
}

TEST(read_only_refuses) {
  Err err = ERR_INIT;
  BlobService *inner = blob_memory_new();
  CastoreDigest digest;
  CHECK_OK(blob_service_put(inner, SPAN("x"), NULL, &digest, &err), &err);
  BlobService *service = blob_combine_read_only(inner);
  BlobWriter *writer;
  check_content(service, SPAN("x"));
  CHECK_ERR(blob_service_put(service, SPAN("y"), NULL, &digest, &err), &err, ERR_OTHER, "read-only");
  CHECK_ERR(blob_service_write(service, &writer, &err), &err, ERR_OTHER, "read-only");
  blob_service_free(service);
}

TEST(cache_fills_near) {
  Err err = ERR_INIT;
  BlobService *near = blob_memory_new(), *far = blob_memory_new();
  CastoreDigest digest;
  bool found;
  CHECK_OK(blob_service_put(far, SPAN("far away"), NULL, &digest, &err), &err);
  BlobService *service = blob_combine_cache(near, far);
  check_content(service, SPAN("far away"));
  CHECK_OK(blob_service_stat(near, &digest, &found, NULL, &err), &err);
  CHECK(found);
  blob_service_free(service);
}

TEST(bad_urls) {
  Err err = ERR_INIT;
  BlobService *service;
  CHECK_ERR(blob_service_open_url(SPAN("nothing"), &service, &err), &err, ERR_USAGE, "no ':'");
  CHECK_ERR(blob_service_open_url(SPAN("ftp:x"), &service, &err), &err, ERR_USAGE, "ftp");
  CHECK_ERR(blob_service_open_url(SPAN("cache:(memory:)"), &service, &err), &err, ERR_USAGE, "two services");
  CHECK_ERR(blob_service_open_url(SPAN("first:"), &service, &err), &err, ERR_USAGE, "at least one");
  CHECK_ERR(blob_service_open_url(SPAN("first:(memory:)(memory:"), &service, &err), &err, ERR_USAGE, "(memory:");
}

TEST(survives_reopening) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  CastoreDigest small, large;
  CLEANUP(mem_free_ptr) char *data = mem_alloc_zero(100000);
  buf_printf(&url, "local:%s/l", test_temp_dir());
  BlobService *service;
  CHECK_OK(blob_service_open_url(buf_span(&url), &service, &err), &err);
  CHECK_OK(blob_service_put(service, SPAN("small"), NULL, &small, &err), &err);
  CHECK_OK(blob_service_put(service, span_make(data, 100000), NULL, &large, &err), &err);
  CHECK_OK(blob_service_flush(service, &err), &err);
  BlobService *second; // opened while the first is, as by another process
  CHECK_OK(blob_service_open_url(buf_span(&url), &second, &err), &err);
  check_content(second, SPAN("small"));
  CastoreDigest later;
  CHECK_OK(blob_service_put(service, SPAN("later"), NULL, &later, &err), &err);
  CHECK_OK(blob_service_flush(service, &err), &err);
  CLEANUP(buf_done) Buf got = BUF_INIT;
  bool found;
  CHECK_OK(blob_service_get(second, &later, 0, &got, &found, &err), &err);
  CHECK(found);
  blob_service_free(service);
  check_content(second, span_make(data, 100000));
  blob_service_free(second);
}

TEST_MAIN()
