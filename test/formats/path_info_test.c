// path_info_test.c: the PathInfo message: round trip, and the rules it has to obey.
#include "harness.h"

#include "formats/path_info.h"
#include "formats/pb_wire.h"

static void random_path(uint64_t *rng, const char *name, StorePath *ret) {
  memset(ret, 0, sizeof(*ret));
  test_random_bytes(rng, ret->digest, sizeof(ret->digest));
  ret->name_len = (uint8_t)strlen(name);
  memcpy(ret->name, name, ret->name_len);
}

typedef struct Sample {
  PathInfo info;
  StorePath refs[3];
  Signature sigs[2];
} Sample;

static void sample_init(Sample *s, uint64_t *rng) {
  memset(s, 0, sizeof(*s));
  random_path(rng, "path", &s->info.path);
  s->info.root = (CastoreNode){.kind = CASTORE_DIRECTORY, .size = 7};
  test_random_bytes(rng, s->info.root.digest.bytes, 32);
  test_random_bytes(rng, s->info.nar_sha256, 32);
  s->info.nar_size_bytes = 1 + test_random_below(rng, 1u << 30);
  for (int i = 0; i < 3; i++) random_path(rng, "ref", &s->refs[i]);
  for (int i = 0; i < 3; i++) s->refs[i].digest[19] = (uint8_t)i; // the order of the text
  s->info.refs = s->refs;
  s->info.ref_count = test_random_below(rng, 4);
  s->info.has_deriver = test_random(rng) & 1;
  random_path(rng, "deriver.drv", &s->info.deriver);
  for (int i = 0; i < 2; i++) {
    s->sigs[i].key_name = SPAN("key-1");
    test_random_bytes(rng, s->sigs[i].bytes, SIGNATURE_BYTES);
  }
  s->info.sigs = s->sigs;
  s->info.sig_count = test_random_below(rng, 3);
  s->info.has_ca = test_random(rng) & 1;
  s->info.ca.method = (CaMethod)test_random_below(rng, 2);
  s->info.ca.hash.algo = (HashAlgo)test_random_below(rng, 4);
  test_random_bytes(rng, s->info.ca.hash.bytes, hash_len(s->info.ca.hash.algo));
}

TEST(round_trip) {
  uint64_t rng = test_seed();
  for (int round = 0; round < 500; round++) {
    Err err = ERR_INIT;
    Arena arena = ARENA_INIT;
    Sample s;
    PathInfo again;
    Buf bytes = BUF_INIT, twice = BUF_INIT, a = BUF_INIT, b = BUF_INIT;
    sample_init(&s, &rng);
    CHECK_OK(path_info_encode(&s.info, &bytes, &err), &err);
    CHECK_OK(path_info_decode(buf_span(&bytes), &arena, &again, &err), &err);
    CHECK(store_path_eq(&again.path, &s.info.path) && again.ref_count == s.info.ref_count &&
          again.sig_count == s.info.sig_count);
    for (size_t i = 0; i < again.ref_count; i++) CHECK(store_path_eq(&again.refs[i], &s.refs[i]));
    CHECK(again.has_deriver == s.info.has_deriver &&
          (!again.has_deriver || store_path_eq(&again.deriver, &s.info.deriver)));
    CHECK(again.has_ca == s.info.has_ca && (!again.has_ca || content_address_eq(&again.ca, &s.info.ca)));
    CHECK_OK(path_info_encode(&again, &twice, &err), &err);
    CHECK_SPAN(buf_span(&twice), buf_span(&bytes));
    CHECK_OK(path_info_fingerprint(&s.info, STORE_PATH_DIR, &a, &err), &err);
    CHECK_OK(path_info_fingerprint(&again, STORE_PATH_DIR, &b, &err), &err);
    CHECK_SPAN(buf_span(&a), buf_span(&b));
    // Nothing shorter is a message that says the same.
    for (size_t len = 0; len < bytes.len; len++) {
      PathInfo cut;
      Buf cut_bytes = BUF_INIT;
      if (path_info_decode(span_sub(buf_span(&bytes), 0, len), &arena, &cut, NULL)) {
        CHECK_OK(path_info_encode(&cut, &cut_bytes, &err), &err);
        CHECK_EQ_INT(cut_bytes.len, len);
      }
      buf_done(&cut_bytes);
    }
    buf_done(&bytes);
    buf_done(&twice);
    buf_done(&a);
    buf_done(&b);
    arena_done(&arena);
  }
}

TEST(what_the_message_cannot_say) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  Buf bytes = BUF_INIT;
  Sample s;
  sample_init(&s, &rng);
  s.info.has_ca = true;
  s.info.ca.method = CA_GIT;
  CHECK_ERR(path_info_encode(&s.info, &bytes, &err), &err, ERR_OTHER, "cannot express the content address 'fixed:git:");
  CHECK_EQ_INT(bytes.len, 0);
  buf_done(&bytes);
}

static void put_minimal_node(Buf *buf, Span name) {
  CastoreNode node = {.kind = CASTORE_FILE, .name = name};
  size_t mark = pb_wire_message_begin(buf, 1);
  castore_node_encode(&node, buf);
  pb_wire_message_end(buf, mark);
}

static void put_narinfo(Buf *buf, Span reference_name, uint64_t ca_type, size_t ca_len) {
  char zeros[64] = {0};
  size_t mark = pb_wire_message_begin(buf, 3), inner;
  pb_wire_put_bytes(buf, 2, span_make(zeros, 32));
  if (reference_name.len) pb_wire_put_bytes(buf, 4, reference_name);
  if (ca_len) {
    inner = pb_wire_message_begin(buf, 6);
    pb_wire_put_uint(buf, 1, ca_type);
    pb_wire_put_bytes(buf, 2, span_make(zeros, ca_len));
    pb_wire_message_end(buf, inner);
  }
  pb_wire_message_end(buf, mark);
}

static void check_bad(Buf *bytes, const char *message) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  PathInfo info;
  CHECK(!path_info_decode(buf_span(bytes), &arena, &info, &err));
  CHECK_CONTAINS(span_cstr(err_message(&err)), message);
  err_done(&err);
  arena_done(&arena);
  buf_clear(bytes);
}

#define NAME SPAN("1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x")

TEST(rules) {
  char zeros[20] = {0};
  Buf bytes = BUF_INIT;
  check_bad(&bytes, "it has no root node");
  put_minimal_node(&bytes, NAME);
  check_bad(&bytes, "it has no narinfo");
  put_minimal_node(&bytes, SPAN("x"));
  put_narinfo(&bytes, SPAN(""), 0, 0);
  check_bad(&bytes, "'x' is too short to be a valid store path");
  put_minimal_node(&bytes, NAME);
  pb_wire_put_bytes(&bytes, 2, span_make(zeros, 19));
  check_bad(&bytes, "a reference has 19 bytes instead of 20");
  put_minimal_node(&bytes, NAME);
  pb_wire_put_bytes(&bytes, 2, span_make(zeros, 20));
  put_narinfo(&bytes, SPAN(""), 0, 0);
  check_bad(&bytes, "it has 1 references but 0 reference_names");
  put_minimal_node(&bytes, NAME);
  pb_wire_put_bytes(&bytes, 2, span_make(zeros, 20));
  put_narinfo(&bytes, NAME, 0, 0);
  check_bad(&bytes, "reference 0 is not that of its name");
  put_minimal_node(&bytes, NAME);
  put_narinfo(&bytes, SPAN(""), 9, 32);
  check_bad(&bytes, "unknown type 9 of content address");
  put_minimal_node(&bytes, NAME);
  put_narinfo(&bytes, SPAN(""), 1, 32);
  check_bad(&bytes, "the digest of the content address has 32 bytes instead of 20");
  buf_done(&bytes);
}

TEST_MAIN()
