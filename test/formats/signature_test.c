// signature_test.c: RFC 8032 vectors, Nix's key texts, fingerprints.
#include "harness.h"

#include "formats/base16.h"
#include "formats/signature.h"

// RFC 8032, section 7.1, tests 1 and 2.
static const struct {
  const char *seed, *public, *message, *signature;
} vectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
     "55141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "r",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
     "00d291612bb0c00"},
};

TEST(rfc_8032) {
  for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
    Err err = ERR_INIT;
    SignatureSecretKey secret = {.name = SPAN("k")};
    SignaturePublicKey public;
    Signature signature;
    uint8_t want[SIGNATURE_BYTES];
    Span message = span_cstr(vectors[i].message);
    CHECK(base16_decode(span_cstr(vectors[i].seed), secret.bytes, 32));
    CHECK(base16_decode(span_cstr(vectors[i].public), secret.bytes + 32, 32));
    CHECK(base16_decode(span_cstr(vectors[i].signature), want, sizeof(want)));
    CHECK_OK(signature_sign(&secret, message, &signature, &err), &err);
    CHECK_SPAN(span_make(signature.bytes, sizeof(want)), span_make(want, sizeof(want)));
    signature_public_of(&secret, &public);
    CHECK(signature_verify(&public, message, &signature));
    CHECK(!signature_verify(&public, SPAN("other"), &signature));
    signature.bytes[3] ^= 1;
    CHECK(!signature_verify(&public, message, &signature));
    signature.bytes[3] ^= 1;
    public.name = SPAN("other");
    CHECK(!signature_verify(&public, message, &signature));
  }
}

// Made by nix-store --generate-binary-cache-key.
#define SECRET "firn-test-1:OTGmE5qCIQaueLWzJwmu5CzUWDHR/lj6fXeXuZyPAJKzBgVXGRK3gEOBhGrUUxK2/RaEvUO9r8Ush7e3rK7tOw=="
#define PUBLIC "firn-test-1:swYFVxkSt4BDgYRq1FMStv0WhL1Dva/FLIe3t6yu7Ts="

TEST(key_texts) {
  Err err = ERR_INIT;
  SignatureSecretKey secret;
  SignaturePublicKey public, parsed;
  Buf text = BUF_INIT;
  CHECK_OK(signature_parse_secret_key(SPAN(SECRET "\n"), &secret, &err), &err);
  signature_public_of(&secret, &public);
  signature_format_public_key(&public, &text);
  CHECK_STR(buf_span(&text), PUBLIC);
  CHECK_OK(signature_parse_public_key(SPAN(PUBLIC), &parsed, &err), &err);
  CHECK(memcmp(parsed.bytes, public.bytes, sizeof(public.bytes)) == 0);
  buf_clear(&text);
  signature_format_secret_key(&secret, &text);
  CHECK_STR(buf_span(&text), SECRET);
  buf_done(&text);

  CHECK_ERR(signature_parse_public_key(SPAN("x"), &parsed, &err), &err, ERR_SYNTAX, "key is corrupt");
  CHECK_ERR(signature_parse_public_key(SPAN("k:AA"), &parsed, &err), &err, ERR_SYNTAX,
            "while decoding key named 'k' with raw value 'AA': public key is not valid");
  CHECK_ERR(signature_parse_public_key(SPAN("k:!"), &parsed, &err), &err, ERR_SYNTAX,
            "invalid character in Base64 string: '!'");
  CHECK(!signature_parse_secret_key(SPAN("k:c2VjcmV0"), &secret, &err));
  CHECK(span_find(span_cstr(err_message(&err)), SPAN("c2VjcmV0")) == SIZE_MAX);
  CHECK_CONTAINS(span_cstr(err_message(&err)), "secret key is not valid");
  err_done(&err);
  Signature signature;
  CHECK_ERR(signature_parse(SPAN("no colon"), &signature, &err), &err, ERR_SYNTAX, "is not of the form");
  CHECK_ERR(signature_parse(SPAN("k:AAAA"), &signature, &err), &err, ERR_SYNTAX, "signature is not valid");
}

TEST(generated_keys_work) {
  Err err = ERR_INIT;
  SignatureSecretKey secret;
  SignaturePublicKey public;
  Signature signature, parsed;
  Buf text = BUF_INIT;
  CHECK_OK(signature_generate(SPAN("new-1"), &secret, &err), &err);
  signature_public_of(&secret, &public);
  CHECK_OK(signature_sign(&secret, SPAN("message"), &signature, &err), &err);
  signature_format(&signature, &text);
  CHECK_OK(signature_parse(buf_span(&text), &parsed, &err), &err);
  CHECK(signature_verify(&public, SPAN("message"), &parsed));
  buf_done(&text);
}

TEST(fingerprint_needs_a_size) {
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  StorePath path;
  Hash hash = {.algo = HASH_SHA256};
  CHECK_OK(store_path_parse_base(SPAN("1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x"), &path, &err), &err);
  CHECK_ERR(signature_fingerprint(&path, &hash, 0, NULL, 0, STORE_PATH_DIR, &text, &err), &err, ERR_OTHER,
            "cannot calculate fingerprint of path '/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x' because its size is "
            "not known");
  CHECK_OK(signature_fingerprint(&path, &hash, 5, &path, 1, STORE_PATH_DIR, &text, &err), &err);
  CHECK_STR(
      buf_span(&text),
      "1;/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x;sha256:0000000000000000000000000000000000000000000000000000;5;"
      "/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x");
  buf_done(&text);
}

TEST_MAIN()
