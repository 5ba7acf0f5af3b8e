// hash_test.c: digests, their text forms (base16.h, nixbase32.h, base64.h, hash.h) and Nix's messages.
#include "harness.h"

#include "base/process.h"
#include "formats/base16.h"
#include "formats/base64.h"
#include "formats/hash.h"
#include "formats/hash_pair.h"
#include "formats/nixbase32.h"

static void check_text(const Hash *hash, HashFormat format, bool with_algo, const char *want) {
  Buf text = BUF_INIT;
  hash_format(hash, format, with_algo, &text);
  CHECK_STR(buf_span(&text), want);
  buf_done(&text);
}

// "abc" as nix-hash of C++ Nix prints it.
TEST(known_digests) {
  Hash hash;
  hash_of(HASH_MD5, SPAN("abc"), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, false, "900150983cd24fb0d6963f7d28e17f72");
  check_text(&hash, HASH_FORMAT_NIX32, false, "3jgzhjhz9zjvbb0kyj7jc500ch");
  hash_of(HASH_SHA1, SPAN("abc"), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, true, "sha1:a9993e364706816aba3e25717850c26c9cd0d89d");
  check_text(&hash, HASH_FORMAT_NIX32, true, "sha1:kpcd173cq987hw957sx6m0868wv3x6d9");
  hash_of(HASH_SHA256, SPAN("abc"), &hash);
  check_text(&hash, HASH_FORMAT_NIX32, true, "sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s");
  check_text(&hash, HASH_FORMAT_BASE64, true, "sha256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
  check_text(&hash, HASH_FORMAT_SRI, false, "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
  hash_of(HASH_SHA512, SPAN("abc"), &hash);
  check_text(&hash, HASH_FORMAT_NIX32, false,
             "2gs8k559z4rlahfx0y688s49m2vvszylcikrfinm30ly9rak69236nkam5ydvly1ai7xac99vxfc4ii84hawjbk876blyk1jfhkbbyx");
  check_text(&hash, HASH_FORMAT_SRI, true,
             "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==");
}

TEST(blake3) {
  Hash hash;
  Buf blob = BUF_INIT;
  hash_of(HASH_BLAKE3, SPAN(""), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, false, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  hash_of(HASH_BLAKE3, SPAN("Hello World!"), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, false, "5ca7815adcb484e9a136c11efe69c1d530176d549b5d18d038eb5280b4b3470c");
  hash_of(HASH_BLAKE3, SPAN("Hello World"), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, false, "41f8394111eb713a22165c46c90ab8f0fd9399c92028fd6d288944b23ff5bf76");
  hash_of(HASH_BLAKE3, SPAN("\0\1"), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, false, "7b7015bb92cf0b318037702a6cdd81dee41224f734684c2c122cd6359cb1ee63");
  for (int i = 0; i < 4096; i++)
    for (int byte = 0; byte < 255; byte++) buf_put_char(&blob, (char)byte);
  hash_of(HASH_BLAKE3, buf_span(&blob), &hash);
  check_text(&hash, HASH_FORMAT_BASE16, false, "a82c5154a7a0c262c6fdb929a317585646f8fbcf80326d0a7b8747edaf2d99d2");
  buf_done(&blob);
}

// Any split gives the same digest, and a copied context goes on by itself.
TEST(streaming_equals_one_shot) {
  uint64_t rng = test_seed();
  for (int round = 0; round < 300; round++) {
    char data[3000];
    HashAlgo algo = (HashAlgo)test_random_below(&rng, HASH_ALGO_COUNT);
    size_t len = test_random_below(&rng, sizeof(data)), done = 0;
    Hash whole, parts, fork;
    HashCtx ctx, copy;
    test_random_bytes(&rng, data, len);
    hash_of(algo, span_make(data, len), &whole);
    hash_init(&ctx, algo);
    while (done < len) {
      size_t piece = 1 + test_random_below(&rng, len - done);
      hash_update(&ctx, data + done, piece);
      done += piece;
      copy = ctx;
    }
    hash_final(&ctx, &parts);
    CHECK(hash_eq(&whole, &parts));
    if (len == 0) continue;
    hash_final(&copy, &fork);
    CHECK(hash_eq(&whole, &fork));
    uint8_t sha256[32];
    hash_sha256(span_make(data, len), sha256);
    if (algo == HASH_SHA256) CHECK(memcmp(sha256, whole.bytes, 32) == 0);
    if (algo == HASH_BLAKE3) {
      hash_blake3(span_make(data, len), sha256);
      CHECK(memcmp(sha256, whole.bytes, 32) == 0);
    }
  }
}

// Two at once are the same as one by one, whatever their lengths.
TEST(pairs) {
  uint64_t rng = test_seed();
  HashPair pair = {0}, one_lane = {1};
  for (int round = 0; round < 2000; round++) {
    char data[2][700];
    uint8_t want[2][32], got[2][32];
    size_t a = test_random_below(&rng, sizeof(data[0])), b = test_random_below(&rng, sizeof(data[1]));
    test_random_bytes(&rng, data, sizeof(data));
    hash_sha256(span_make(data[0], a), want[0]);
    hash_sha256(span_make(data[1], b), want[1]);
    hash_pair_sha256(round % 8 ? &pair : &one_lane, span_make(data[0], a), span_make(data[1], b), got[0], got[1]);
    CHECK(memcmp(got, want, sizeof(got)) == 0);
  }
}

TEST(compress) {
  const uint8_t in[5] = {1, 2, 4, 8, 16};
  uint8_t out[2];
  hash_compress(in, sizeof(in), out, sizeof(out));
  CHECK_EQ_INT(out[0], 1 ^ 4 ^ 16);
  CHECK_EQ_INT(out[1], 2 ^ 8);
}

// Text to value.

static const HashAlgo md5 = HASH_MD5, sha256 = HASH_SHA256;

TEST(every_form_round_trips) {
  uint64_t rng = test_seed();
  for (int round = 0; round < 1000; round++) {
    Err err = ERR_INIT;
    Hash hash = {.algo = (HashAlgo)test_random_below(&rng, 4)}, parsed;
    HashFormat format = (HashFormat)test_random_below(&rng, 4);
    bool with_algo = format == HASH_FORMAT_SRI || (test_random(&rng) & 1);
    Buf text = BUF_INIT;
    test_random_bytes(&rng, hash.bytes, hash_len(hash.algo));
    hash_format(&hash, format, with_algo, &text);
    CHECK_OK(hash_parse(buf_span(&text), &hash.algo, &parsed, &err), &err);
    CHECK(hash_eq(&hash, &parsed));
    if (with_algo) {
      CHECK_OK(hash_parse(buf_span(&text), NULL, &parsed, &err), &err);
      CHECK(hash_eq(&hash, &parsed));
      CHECK_OK(hash_parse_prefixed(buf_span(&text), &parsed, &err), &err);
    } else {
      CHECK_OK(hash_parse_bare(buf_span(&text), hash.algo, &parsed, &err), &err);
    }
    CHECK(hash_eq(&hash, &parsed));
    buf_done(&text);
  }
}

static void check_parse_error(const char *text, const HashAlgo *expected, ErrKind kind, const char *message) {
  Err err = ERR_INIT;
  Hash hash;
  CHECK(!hash_parse(span_cstr(text), expected, &hash, &err));
  CHECK_STR(span_cstr(err_message(&err)), message);
  CHECK_EQ_INT(err.kind, kind);
  err_done(&err);
}

// Messages of Nix 2.26.3 (builtins.convertHash, nix hash convert).
TEST(messages) {
  check_parse_error("abc", NULL, ERR_SYNTAX,
                    "hash 'abc' does not include a type, nor is the type otherwise known from context");
  check_parse_error("", &sha256, ERR_SYNTAX, "hash '' has wrong length for hash algorithm 'sha256'");
  check_parse_error("sha256:abc", NULL, ERR_SYNTAX, "hash 'abc' has wrong length for hash algorithm 'sha256'");
  check_parse_error("sha257:abc", NULL, ERR_USAGE,
                    "unknown hash algorithm 'sha257', expect 'md5', 'sha1', 'sha256', or 'sha512'");
  check_parse_error("blake3-abc", NULL, ERR_USAGE,
                    "unknown hash algorithm 'blake3', expect 'md5', 'sha1', 'sha256', or 'sha512'");
  check_parse_error("sha256-abc", NULL, ERR_SYNTAX, "invalid SRI hash 'abc'");
  check_parse_error("sha256:x", &md5, ERR_SYNTAX, "hash 'sha256:x' should have type 'md5'");
  check_parse_error("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee", &sha256, ERR_SYNTAX,
                    "invalid base-32 hash 'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee'");
  check_parse_error("4zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", &sha256, ERR_SYNTAX,
                    "invalid base-32 hash '4zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'");
  check_parse_error("gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg", &sha256, ERR_SYNTAX,
                    "invalid base-16 hash 'gggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggggg'");
  check_parse_error("ungWv48Bz!pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", &sha256, ERR_SYNTAX,
                    "invalid base-64 hash 'ungWv48Bz!pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='");
  check_parse_error("sha256:sha256-x", NULL, ERR_SYNTAX,
                    "hash 'sha256-x' has wrong length for hash algorithm 'sha256'");
  Err err = ERR_INIT;
  Hash hash;
  bool assumed;
  CHECK_ERR(hash_parse_prefixed(SPAN("abc"), &hash, &err), &err, ERR_SYNTAX, "hash 'abc' does not include a type");
  CHECK_ERR(hash_parse_sri(SPAN("abc"), &hash, &err), &err, ERR_SYNTAX, "hash 'abc' is not SRI");
  CHECK_ERR(hash_parse_or_empty(SPAN(""), NULL, &hash, &assumed, &err), &err, ERR_SYNTAX,
            "empty hash requires explicit hash algorithm");
  CHECK_OK(hash_parse_or_empty(SPAN(""), &sha256, &hash, &assumed, &err), &err);
  CHECK(assumed);
  check_text(&hash, HASH_FORMAT_SRI, true, "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
  // Unpadded base64 is fine where the length need not tell the base.
  CHECK_OK(hash_parse(SPAN("sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"), NULL, &hash, &err), &err);
}

TEST(names) {
  Err err = ERR_INIT;
  HashFormat format;
  HashAlgo algo;
  CHECK_OK(hash_format_parse(SPAN("base32"), &format, &err), &err);
  CHECK(format == HASH_FORMAT_NIX32);
  CHECK_STR(hash_format_name(format), "nix32");
  CHECK_ERR(hash_format_parse(SPAN("x"), &format, &err), &err, ERR_USAGE,
            "unknown hash format 'x', expect 'base16', 'base32', 'base64', or 'sri'");
  CHECK(hash_algo_find(SPAN("blake3"), &algo) && algo == HASH_BLAKE3);
  CHECK(!hash_algo_find(SPAN("sha3"), &algo));
}

// C++ Nix converts the same way, where it is installed.
static bool convert_by_nix(const char *option, const char *algo, const char *hash, Buf *out) {
  Err err = ERR_INIT;
  ProcessSpec spec = PROCESS_SPEC_INIT;
  const char *argv[] = {"nix-hash", option, "--type", algo, hash, NULL};
  int status = 1;
  spec.argv = argv;
  buf_clear(out);
  bool ok = process_run(&spec, out, NULL, &status, &err) && status == 0;
  err_done(&err);
  out->len = span_trim(buf_span(out)).len;
  return ok;
}

TEST(same_as_nix_hash) {
  static const struct {
    const char *option;
    HashFormat format;
  } options[] = {{"--to-base16", HASH_FORMAT_BASE16}, {"--to-base32", HASH_FORMAT_NIX32}};
  uint64_t rng = test_seed();
  Buf theirs = BUF_INIT, ours = BUF_INIT, sri = BUF_INIT;
  for (int i = 0; i < 16; i++) {
    Hash hash = {.algo = (HashAlgo)(i % 4)};
    test_random_bytes(&rng, hash.bytes, hash_len(hash.algo));
    buf_clear(&sri);
    hash_format(&hash, i < 8 ? HASH_FORMAT_SRI : HASH_FORMAT_BASE16, i & 1, &sri);
    for (size_t k = 0; k < ARRAY_LEN(options); k++) {
      if (!convert_by_nix(options[k].option, hash_algo_name(hash.algo).data, buf_cstr(&sri), &theirs))
        test_skip("nix-hash does not run here");
      buf_clear(&ours);
      hash_format(&hash, options[k].format, false, &ours);
      CHECK_SPAN(buf_span(&ours), buf_span(&theirs));
    }
  }
  buf_done(&theirs);
  buf_done(&ours);
  buf_done(&sri);
}

// The alphabets below the hashes.

TEST(nixbase32_every_length) {
  uint64_t rng = test_seed();
  for (size_t len = 0; len <= 64; len++) {
    uint8_t data[64], back[64];
    char text[110];
    test_random_bytes(&rng, data, len);
    nixbase32_encode(data, len, text);
    CHECK(nixbase32_decode(span_make(text, nixbase32_len(len)), back, len));
    CHECK(memcmp(data, back, len) == 0);
    // Digit n, counted from the end, is bits 5n..5n+4 of the little-endian number.
    for (size_t n = 0; n < nixbase32_len(len); n++) {
      unsigned digit = 0;
      for (size_t bit = 5 * n; bit < 5 * n + 5 && bit < 8 * len; bit++)
        digit |= (unsigned)(data[bit / 8] >> bit % 8 & 1) << (bit - 5 * n);
      CHECK_EQ_INT(text[nixbase32_len(len) - 1 - n], nixbase32_alphabet[digit]);
    }
  }
}

TEST(nixbase32_is_unique) {
  // One byte has two digits: ten bits, of which two must be zero.
  uint8_t byte;
  int accepted = 0;
  for (int i = 0; i < 32; i++)
    for (int k = 0; k < 32; k++) {
      char text[2] = {nixbase32_alphabet[i], nixbase32_alphabet[k]};
      accepted += nixbase32_decode(span_make(text, 2), &byte, 1);
    }
  CHECK_EQ_INT(accepted, 256);
  for (int c = 0; c < 256; c++) {
    char text[2] = {'0', (char)c};
    bool is_digit = c && strchr(nixbase32_alphabet, c);
    CHECK_EQ_INT(nixbase32_decode(span_make(text, 2), &byte, 1), is_digit);
    CHECK_EQ_INT(nixbase32_is_digit((char)c), is_digit);
  }
}

TEST(base64) {
  static const char *const pairs[][2] = {{"", ""},
                                         {"f", "Zg=="},
                                         {"fo", "Zm8="},
                                         {"foo", "Zm9v"},
                                         {"foob", "Zm9vYg=="},
                                         {"fooba", "Zm9vYmE="},
                                         {"foobar", "Zm9vYmFy"}};
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
    buf_clear(&out);
    base64_put(&out, pairs[i][0], strlen(pairs[i][0]));
    CHECK_STR(buf_span(&out), pairs[i][1]);
    CHECK_EQ_INT(out.len, base64_len(strlen(pairs[i][0])));
    buf_clear(&out);
    CHECK_OK(base64_decode(span_cstr(pairs[i][1]), &out, &err), &err);
    CHECK_STR(buf_span(&out), pairs[i][0]);
  }
  buf_clear(&out);
  CHECK_OK(base64_decode(SPAN("Zm\n9vY\nmFy=ignored"), &out, &err), &err);
  CHECK_STR(buf_span(&out), "foobar");
  CHECK_ERR(base64_decode(SPAN("Zm 9"), &out, &err), &err, ERR_SYNTAX, "invalid character in Base64 string: ' '");
  buf_clear(&out);
  base64_put_url(&out, "\xfb\xff\xfe", 2);
  CHECK_STR(buf_span(&out), "-_8");
  buf_clear(&out);
  CHECK_OK(base64_decode_url(SPAN("-_8"), &out, &err), &err);
  CHECK_STR(buf_span(&out), "\xfb\xff");
  CHECK_ERR(base64_decode_url(SPAN("-_9"), &out, &err), &err, ERR_SYNTAX, "surplus bits");
  CHECK_ERR(base64_decode_url(SPAN("A"), &out, &err), &err, ERR_SYNTAX, "impossible length");
  CHECK_ERR(base64_decode_url(SPAN("ab=="), &out, &err), &err, ERR_SYNTAX, "invalid character");
  buf_done(&out);
}

TEST(base16) {
  uint8_t bytes[3];
  Buf out = BUF_INIT;
  CHECK(base16_decode(SPAN("00fFa9"), bytes, 3));
  base16_put(&out, bytes, 3);
  CHECK_STR(buf_span(&out), "00ffa9");
  CHECK(!base16_decode(SPAN("00ffa"), bytes, 3));
  CHECK(!base16_decode(SPAN("00ffag"), bytes, 3));
  buf_done(&out);
}

TEST_MAIN()
