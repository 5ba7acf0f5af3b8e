// path_info_service_test.c: one contract for every backend and combinator.
#include "store/path_info_service.h"

#include <stdlib.h>

#include "base/fs.h"
#include "harness.h"
#include "store/path_info_combine.h"
#include "store/path_info_memory.h"

typedef void (*Contract)(PathInfoService *service);

static void on_all(Contract contract) {
  static const char *const urls[] = {"memory:", "sqlite:%s/a.sqlite", "cache:(memory:)(sqlite:%s/b.sqlite)",
                                     "first:(sqlite:%s/c.sqlite)(memory:)"};
  for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
    CLEANUP(buf_done) Buf url = BUF_INIT;
    Err err = ERR_INIT;
    const char *mark = strstr(urls[i], "%s");
    buf_put(&url, urls[i], mark ? (size_t)(mark - urls[i]) : strlen(urls[i]));
    if (mark) buf_printf(&url, "%s%s", test_temp_dir(), mark + 2);
    PathInfoService *service;
    CHECK_OK(path_info_service_open_url(buf_span(&url), &service, &err), &err);
    contract(service);
    path_info_service_free(service);
  }
}

static StorePath random_path(uint64_t *rng, const char *name) {
  StorePath path = {.name_len = (uint8_t)strlen(name)};
  test_random_bytes(rng, path.digest, sizeof(path.digest));
  memcpy(path.name, name, path.name_len + 1u);
  return path;
}

static int cmp(const void *a, const void *b) {
  return store_path_cmp(a, b);
}

static PathInfoRecord *random_record(uint64_t *rng, StorePath *refs, size_t ref_count) {
  PathInfo info = {.path = random_path(rng, "some-name-1.0"), .refs = refs, .ref_count = ref_count};
  Signature sig = {.key_name = SPAN("k-1")};
  if (ref_count > 0) qsort(refs, ref_count, sizeof(*refs), cmp);
  switch (test_random_below(rng, 3)) {
  case 0:
    info.root = (CastoreNode){
        .kind = CASTORE_FILE, .executable = test_random_below(rng, 2), .size = test_random_below(rng, 1 << 30)};
    break;
  case 1: info.root = (CastoreNode){.kind = CASTORE_DIRECTORY, .size = test_random_below(rng, 1000)}; break;
  default: info.root = (CastoreNode){.kind = CASTORE_SYMLINK, .target = SPAN("over/there")};
  }
  if (info.root.kind != CASTORE_SYMLINK) test_random_bytes(rng, info.root.digest.bytes, 32);
  info.nar_size_bytes = test_random(rng) >> 8;
  test_random_bytes(rng, info.nar_sha256, 32);
  info.has_deriver = test_random_below(rng, 2);
  info.deriver = random_path(rng, "some-name-1.0.drv");
  info.has_ca = test_random_below(rng, 2);
  info.ca = (ContentAddress){.method = CA_NAR, .hash = {.algo = HASH_SHA256}};
  test_random_bytes(rng, info.ca.hash.bytes, 32);
  test_random_bytes(rng, sig.bytes, sizeof(sig.bytes));
  if (test_random_below(rng, 2)) {
    info.sigs = &sig;
    info.sig_count = 1;
  }
  return path_info_service_record_of(&info, true, test_random_below(rng, 2),
                                     1000 + (int64_t)test_random_below(rng, 1000));
}

static void check_same(const PathInfoRecord *got, const PathInfoRecord *want) {
  CHECK(store_path_eq(&got->info.path, &want->info.path));
  CHECK_EQ_INT(got->info.root.kind, want->info.root.kind);
  CHECK_EQ_INT(got->info.root.size, want->info.root.size);
  CHECK_EQ_INT(got->info.root.executable, want->info.root.executable);
  CHECK_SPAN(got->info.root.target, want->info.root.target);
  if (want->info.root.kind != CASTORE_SYMLINK)
    CHECK(castore_node_digest_eq(&got->info.root.digest, &want->info.root.digest));
  CHECK_EQ_INT(got->info.nar_size_bytes, want->info.nar_size_bytes);
  CHECK_SPAN(span_make(got->info.nar_sha256, 32), span_make(want->info.nar_sha256, 32));
  CHECK_EQ_INT(got->info.ref_count, want->info.ref_count);
  for (size_t i = 0; i < want->info.ref_count; i++) CHECK(store_path_eq(&got->info.refs[i], &want->info.refs[i]));
  CHECK_EQ_INT(got->info.has_deriver, want->info.has_deriver);
  if (want->info.has_deriver) CHECK(store_path_eq(&got->info.deriver, &want->info.deriver));
  CHECK_EQ_INT(got->info.has_ca, want->info.has_ca);
  if (want->info.has_ca) CHECK(content_address_eq(&got->info.ca, &want->info.ca));
  CHECK_EQ_INT(got->info.sig_count, want->info.sig_count);
  CHECK_EQ_INT(got->registered_at, want->registered_at);
  CHECK_EQ_INT(got->ultimate, want->ultimate);
}

static bool count_record(void *ctx, const PathInfoRecord *record, Err *err) {
  ++*(size_t *)ctx;
  return true;
}

static void round_trip(PathInfoService *service) {
  enum { COUNT = 60 };
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  PathInfoRecord *records[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    StorePath refs[8];
    size_t ref_count = (size_t)test_random_below(&rng, 8);
    if (ref_count > i) ref_count = i;
    for (size_t r = 0; r < ref_count; r++) refs[r] = records[i - 1 - r]->info.path;
    records[i] = random_record(&rng, refs, ref_count);
  }
  CHECK_OK(path_info_service_put(service, (const PathInfoRecord *const *)records, COUNT / 2, &err), &err);
  CHECK_OK(path_info_service_put(service, (const PathInfoRecord *const *)records, COUNT, &err), &err);
  for (size_t i = 0; i < COUNT; i++) {
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *got = NULL;
    CHECK_OK(path_info_service_get(service, records[i]->info.path.digest, &got, &err), &err);
    CHECK(got != NULL);
    check_same(got, records[i]);
  }
  size_t listed = 0;
  CHECK_OK(path_info_service_list(service, count_record, &listed, &err), &err);
  CHECK_EQ_INT(listed, COUNT);
  StorePath absent = random_path(&rng, "x");
  PathInfoRecord *none;
  CHECK_OK(path_info_service_get(service, absent.digest, &none, &err), &err);
  CHECK(none == NULL);
  for (size_t i = 0; i < COUNT; i++) path_info_service_record_free(records[i]);
}

TEST(put_get_list) {
  on_all(round_trip);
}

static void signatures(PathInfoService *service) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  PathInfoRecord *record = random_record(&rng, NULL, 0);
  Signature sigs[2] = {{.key_name = SPAN("a-1")}, {.key_name = SPAN("b-1")}};
  record->info.sig_count = 0;
  CHECK_OK(path_info_service_put(service, (const PathInfoRecord *const *)&record, 1, &err), &err);
  record->info.sigs = sigs;
  record->info.sig_count = 2;
  for (unsigned i = 0; i < 2; i++)
    CHECK_OK(path_info_service_put(service, (const PathInfoRecord *const *)&record, 1, &err), &err);
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *got = NULL;
  CHECK_OK(path_info_service_get(service, record->info.path.digest, &got, &err), &err);
  CHECK_EQ_INT(got->info.sig_count, 2); // gained, not doubled
  path_info_service_record_free(record);
}

TEST(signatures_are_merged) {
  on_all(signatures);
}

TEST(signing) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  SignatureSecretKey secret;
  SignaturePublicKey public_key;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CHECK_OK(signature_generate(SPAN("test-1"), &secret, &err), &err);
  signature_public_of(&secret, &public_key);
  signature_format_secret_key(&secret, &text);
  CHECK_OK(fs_write_file_atomic(test_temp_path("key"), buf_span(&text), 0600, false, &err), &err);
  PathInfoService *service;
  CHECK_OK(path_info_combine_signing(test_temp_path("key"), STORE_PATH_DIR, path_info_memory_new(), &service, &err),
           &err);
  PathInfoRecord *record = random_record(&rng, NULL, 0);
  record->info.sig_count = 0;
  CHECK_OK(path_info_service_put(service, (const PathInfoRecord *const *)&record, 1, &err), &err);
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *got = NULL;
  CHECK_OK(path_info_service_get(service, record->info.path.digest, &got, &err), &err);
  CHECK_EQ_INT(got->info.sig_count, 1);
  buf_clear(&text);
  CHECK_OK(path_info_fingerprint(&got->info, STORE_PATH_DIR, &text, &err), &err);
  CHECK(signature_verify(&public_key, buf_span(&text), &got->info.sigs[0]));
  path_info_service_record_free(record);
  path_info_service_free(service);
}

TEST(read_only_refuses) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  PathInfoService *service = path_info_combine_read_only(path_info_memory_new());
  PathInfoRecord *record = random_record(&rng, NULL, 0);
  CHECK_ERR(path_info_service_put(service, (const PathInfoRecord *const *)&record, 1, &err), &err, ERR_OTHER,
            "read-only");
  path_info_service_record_free(record);
  path_info_service_free(service);
}

TEST(corrupt_database) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  PathInfoService *service;
  CHECK_OK(fs_write_file_atomic(test_temp_path("x.sqlite"),
                                SPAN("this is not a database, but it is long enough to be looked at by somebody"), 0644,
                                false, &err),
           &err);
  buf_printf(&url, "sqlite:%s", test_temp_path("x.sqlite"));
  CHECK_ERR(path_info_service_open_url(buf_span(&url), &service, &err), &err, ERR_CORRUPT, "x.sqlite");
}

TEST_MAIN()
