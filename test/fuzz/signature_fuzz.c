// signature_fuzz.c: keys and signatures: texts that parse format to a text that parses to the same, a secret key signs what its public key accepts,
// and a signature of another text is refused.
#include "formats/signature.h"

#include "fuzz/fuzz.h"

static void check_secret(Span text) {
  SignatureSecretKey secret;
  SignaturePublicKey public;
  Signature signature;
  Buf once = BUF_INIT, twice = BUF_INIT;
  if (signature_parse_secret_key(text, &secret, NULL)) {
    signature_format_secret_key(&secret, &once);
    FUZZ_CHECK(signature_parse_secret_key(buf_span(&once), &secret, NULL));
    signature_format_secret_key(&secret, &twice);
    FUZZ_CHECK(span_eq(buf_span(&once), buf_span(&twice)));
    signature_public_of(&secret, &public);
    FUZZ_CHECK(signature_sign(&secret, text, &signature, NULL));
    FUZZ_CHECK(!signature_verify(&public, SPAN("another text"), &signature));
  }
  buf_done(&once);
  buf_done(&twice);
}

static void check_public(Span text) {
  SignaturePublicKey key, again;
  Buf out = BUF_INIT;
  if (signature_parse_public_key(text, &key, NULL)) {
    signature_format_public_key(&key, &out);
    FUZZ_CHECK(signature_parse_public_key(buf_span(&out), &again, NULL));
    FUZZ_CHECK(span_eq(key.name, again.name));
  }
  buf_done(&out);
}

static void check_signature(Span text) {
  Signature signature, again;
  Buf out = BUF_INIT;
  if (signature_parse(text, &signature, NULL)) {
    signature_format(&signature, &out);
    FUZZ_CHECK(signature_parse(buf_span(&out), &again, NULL));
    FUZZ_CHECK(memcmp(signature.bytes, again.bytes, sizeof(again.bytes)) == 0);
  }
  buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span text = span_make(data, size_bytes);
  check_secret(text);
  check_public(text);
  check_signature(text);
  return 0;
}
