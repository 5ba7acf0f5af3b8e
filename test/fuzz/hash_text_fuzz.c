// hash_text_fuzz.c: texts of hashes, content addresses and store paths: what parses formats back to something that
// parses to the same value; nixbase32 has one text for each value.
#include "fuzz/fuzz.h"

#include "formats/nixbase32.h"
#include "formats/store_path.h"

static void check_hash(Span text) {
  for (int algo = HASH_MD5; algo <= HASH_SHA512; algo++) {
    Hash hash, again;
    HashAlgo expected = (HashAlgo)algo;
    if (!hash_parse(text, &expected, &hash, NULL)) continue;
    for (int format = HASH_FORMAT_BASE16; format <= HASH_FORMAT_SRI; format++) {
      Buf out = BUF_INIT;
      hash_format(&hash, (HashFormat)format, true, &out);
      FUZZ_CHECK(hash_parse(buf_span(&out), NULL, &again, NULL) && hash_eq(&hash, &again));
      buf_done(&out);
    }
  }
}

static void check_nixbase32(Span text) {
  uint8_t bytes[64];
  char back[104];
  for (size_t len = 1; len <= sizeof(bytes); len++) {
    if (nixbase32_len(len) != text.len || !nixbase32_decode(text, bytes, len)) continue;
    nixbase32_encode(bytes, len, back);
    FUZZ_CHECK(memcmp(back, text.data, text.len) == 0);
  }
}

static void check_paths(Span text) {
  StorePath path, again;
  ContentAddress ca, ca_again;
  Buf out = BUF_INIT;
  Span rest;
  if (store_path_parse(text, STORE_PATH_DIR, &path, NULL)) {
    store_path_format(&path, STORE_PATH_DIR, &out);
    FUZZ_CHECK(store_path_parse(buf_span(&out), STORE_PATH_DIR, &again, NULL) && store_path_eq(&path, &again));
  }
  if (store_path_split(text, STORE_PATH_DIR, &path, &rest, NULL)) {
    buf_clear(&out);
    store_path_format(&path, STORE_PATH_DIR, &out);
    buf_put_span(&out, rest);
    FUZZ_CHECK(span_eq(buf_span(&out), text));
  }
  if (content_address_parse(text, &ca, NULL)) {
    buf_clear(&out);
    content_address_format(&ca, &out);
    FUZZ_CHECK(content_address_parse(buf_span(&out), &ca_again, NULL) && content_address_eq(&ca, &ca_again));
  }
  buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span text = span_make(data, size_bytes);
  check_hash(text);
  check_nixbase32(text);
  check_paths(text);
  return 0;
}
