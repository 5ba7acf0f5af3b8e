#include "formats/realisation.h"

#include "harness.h"

#define ID "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff!out"
#define BASE "0123456789abcdfghijklmnpqrsvwxyz-x"

static bool parse(const char *text, Arena *arena, Realisation *ret, Err *err) {
  return realisation_parse(span_cstr(text), arena, ret, err);
}

TEST(ids) {
  uint8_t hash[32];
  Span output;
  Buf text = BUF_INIT;
  CHECK(realisation_parse_id(SPAN(ID), hash, &output));
  CHECK_EQ_INT(hash[1], 0x11);
  CHECK_STR(output, "out");
  realisation_format_id(hash, output, &text);
  CHECK_STR(buf_span(&text), ID);
  CHECK(!realisation_parse_id(SPAN("sha256:00!out"), hash, &output));
  CHECK(!realisation_parse_id(SPAN("sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff!"), hash,
                              &output));
  CHECK(!realisation_parse_id(SPAN("md5:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff!out"), hash,
                              &output));
  buf_done(&text);
}

TEST(the_text_that_is_signed) {
  Arena arena = ARENA_INIT;
  Realisation realisation;
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  CHECK_OK(parse("{\"signatures\":[],\"outPath\":\"" BASE "\",\"more\":[{}],\"id\":\"" ID
                 "\",\"dependentRealisations\":{\"b!out\":\"2\",\"a!out\":\"1\"}}",
                 &arena, &realisation, &err),
           &err);
  CHECK_EQ_INT(realisation.dep_count, 2);
  realisation_fingerprint(&realisation, &text);
  CHECK_STR(buf_span(&text),
            "{\"dependentRealisations\":{\"a!out\":\"1\",\"b!out\":\"2\"},\"id\":\"" ID "\",\"outPath\":\"" BASE "\"}");
  buf_done(&text);
  arena_done(&arena);
}

TEST(signatures) {
  Arena arena = ARENA_INIT;
  Realisation realisation;
  Err err = ERR_INIT;
  SignatureSecretKey secret, other_secret;
  SignaturePublicKey keys[2];
  Signature sig;
  Buf text = BUF_INIT;
  CHECK_OK(signature_generate(SPAN("k"), &secret, &err) && signature_generate(SPAN("k"), &other_secret, &err), &err);
  CHECK_OK(parse("{\"outPath\":\"" BASE "\",\"id\":\"" ID "\"}", &arena, &realisation, &err), &err);
  realisation_fingerprint(&realisation, &text);
  CHECK_OK(signature_sign(&secret, buf_span(&text), &sig, &err), &err);
  realisation.sigs = &sig;
  realisation.sig_count = 1;
  signature_public_of(&other_secret, &keys[0]);
  CHECK(!realisation_is_signed(&realisation, keys, 1));
  signature_public_of(&secret, &keys[1]);
  CHECK(realisation_is_signed(&realisation, keys, 2));
  realisation.path.digest[3] ^= 1;
  CHECK(!realisation_is_signed(&realisation, keys, 2));
  buf_done(&text);
  arena_done(&arena);
}

static void check_bad(const char *text, const char *message) {
  Arena arena = ARENA_INIT;
  Realisation realisation;
  Err err = ERR_INIT;
  CHECK(!parse(text, &arena, &realisation, &err));
  CHECK_CONTAINS(span_cstr(err_message(&err)), message);
  err_done(&err);
  arena_done(&arena);
}
TEST(bad_ones) {
  check_bad("", "reading a realisation");
  check_bad("[]", "a realisation should be");
  check_bad("{}", "'id' or 'outPath' is missing");
  check_bad("{\"id\":\"x\",\"outPath\":\"../etc\"}", "field 'outPath'");
  check_bad("{\"id\":\"x\",\"outPath\":\"" BASE "\",\"signatures\":[1]}", "a list of text was expected");
  check_bad("{\"id\":\"x\",\"outPath\":\"" BASE "\",\"signatures\":[\"x\"]}", "field 'signatures'");
  check_bad("{\"id\":\"x\",\"outPath\":\"" BASE "\",\"dependentRealisations\":{\"a\":1}}",
            "a dependent realisation should be");
  check_bad("{\"id\":\"x\",\"outPath\":\"" BASE "\"} x", "reading a realisation");
}
TEST_MAIN()
