// narinfo_fuzz.c: what parses formats to a text that parses to the same; keys and signatures do not crash.
#include "fuzz/fuzz.h"

#include "formats/narinfo.h"
#include "formats/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span text = span_make(data, size_bytes);
  Arena arena = ARENA_INIT;
  NarInfo info, again;
  Signature signature;
  SignaturePublicKey key;
  Buf once = BUF_INIT, twice = BUF_INIT;
  if (narinfo_parse(text, STORE_PATH_DIR, "fuzz", &arena, &info, NULL)) {
    narinfo_format(&info, STORE_PATH_DIR, &once);
    FUZZ_CHECK(narinfo_parse(buf_span(&once), STORE_PATH_DIR, "fuzz", &arena, &again, NULL));
    narinfo_format(&again, STORE_PATH_DIR, &twice);
    FUZZ_CHECK(span_eq(buf_span(&once), buf_span(&twice)));
  }
  if (signature_parse(text, &signature, NULL)) {
    buf_clear(&once);
    signature_format(&signature, &once);
    FUZZ_CHECK(signature_parse(buf_span(&once), &signature, NULL));
  }
  if (signature_parse_public_key(text, &key, NULL)) {
    buf_clear(&once);
    signature_format_public_key(&key, &once);
    FUZZ_CHECK(signature_parse_public_key(buf_span(&once), &key, NULL));
  }
  buf_done(&once);
  buf_done(&twice);
  arena_done(&arena);
  return 0;
}
