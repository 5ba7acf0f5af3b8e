// signature.c: ed25519 by libcrypto, and Nix's text forms of keys.
#include "formats/signature.h"

#include <openssl/evp.h>

#include "formats/base64.h"

// Text.

// Splits "<name>:<payload>"; both empty when there is no colon or no name, as in Nix.
static void split_named(Span text, Span *ret_name, Span *ret_payload) {
  size_t colon = span_find_char(text, ':');
  bool is_named = colon != SIZE_MAX && colon > 0;
  *ret_name = is_named ? span_sub(text, 0, colon) : SPAN("");
  *ret_payload = is_named ? span_from(text, colon + 1) : SPAN("");
}

// `shown` is what a message may say of the payload: empty for secrets.
static bool parse_key(Span text, bool is_secret, size_t len, Span *ret_name, uint8_t *ret_bytes, Err *err) {
  Span payload;
  Buf bytes CLEANUP(buf_done) = BUF_INIT;
  split_named(text, ret_name, &payload);
  bool ok = ret_name->len && payload.len;
  if (!ok) err_set(err, ERR_SYNTAX, "key is corrupt");
  ok = ok && base64_decode(payload, &bytes, err);
  if (ok && bytes.len == len) memcpy(ret_bytes, bytes.data, len);
  else if (ok) ok = err_set(err, ERR_SYNTAX, is_secret ? "secret key is not valid" : "public key is not valid");
  if (is_secret && bytes.data) OPENSSL_cleanse(bytes.data, bytes.len);
  if (ok) return true;
  if (is_secret) return err_wrap(err, "while decoding key named '%.*s'", SPAN_ARG(*ret_name));
  return err_wrap(err, "while decoding key named '%.*s' with raw value '%.*s'", SPAN_ARG(*ret_name), SPAN_ARG(payload));
}

bool signature_parse_public_key(Span text, SignaturePublicKey *ret, Err *err) {
  return parse_key(span_trim(text), false, sizeof(ret->bytes), &ret->name, ret->bytes, err);
}

bool signature_parse_secret_key(Span text, SignatureSecretKey *ret, Err *err) {
  return parse_key(span_trim(text), true, sizeof(ret->bytes), &ret->name, ret->bytes, err);
}

bool signature_parse(Span text, Signature *ret, Err *err) {
  Span payload;
  Buf bytes CLEANUP(buf_done) = BUF_INIT;
  split_named(text, &ret->key_name, &payload);
  if (ret->key_name.len == 0)
    return err_set(err, ERR_SYNTAX, "signature '%.*s' is not of the form '<key name>:<base64>'", SPAN_ARG(text));
  if (!base64_decode(payload, &bytes, err)) return err_wrap(err, "while decoding signature '%.*s'", SPAN_ARG(text));
  if (bytes.len != sizeof(ret->bytes)) return err_set(err, ERR_SYNTAX, "signature is not valid");
  memcpy(ret->bytes, bytes.data, sizeof(ret->bytes));
  return true;
}

static void format_named(Span name, const void *bytes, size_t len, Buf *ret) {
  buf_put_span(ret, name);
  buf_put_char(ret, ':');
  base64_put(ret, bytes, len);
}

void signature_format(const Signature *signature, Buf *ret) {
  format_named(signature->key_name, signature->bytes, sizeof(signature->bytes), ret);
}

void signature_format_public_key(const SignaturePublicKey *key, Buf *ret) {
  format_named(key->name, key->bytes, sizeof(key->bytes), ret);
}

void signature_format_secret_key(const SignatureSecretKey *key, Buf *ret) {
  format_named(key->name, key->bytes, sizeof(key->bytes), ret);
}

// Cryptography.

static void free_pkey(EVP_PKEY **key) {
  EVP_PKEY_free(*key);
}

static void free_md_ctx(EVP_MD_CTX **ctx) {
  EVP_MD_CTX_free(*ctx);
}

static bool library_failed(Err *err, const char *doing) {
  return err_set(err, ERR_OTHER, "libcrypto failed %s", doing);
}

bool signature_generate(Span name, SignatureSecretKey *ret, Err *err) {
  EVP_PKEY *pkey CLEANUP(free_pkey) = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  size_t seed_len = 32, public_len = 32;
  ret->name = name;
  if (!pkey || EVP_PKEY_get_raw_private_key(pkey, ret->bytes, &seed_len) != 1 ||
      EVP_PKEY_get_raw_public_key(pkey, ret->bytes + 32, &public_len) != 1)
    return library_failed(err, "generating an ed25519 key");
  return true;
}

void signature_public_of(const SignatureSecretKey *key, SignaturePublicKey *ret) {
  ret->name = key->name;
  memcpy(ret->bytes, key->bytes + 32, sizeof(ret->bytes));
}

bool signature_sign(const SignatureSecretKey *key, Span message, Signature *ret, Err *err) {
  EVP_PKEY *pkey CLEANUP(free_pkey) = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->bytes, 32);
  EVP_MD_CTX *ctx CLEANUP(free_md_ctx) = EVP_MD_CTX_new();
  size_t len = sizeof(ret->bytes);
  ret->key_name = key->name;
  if (!pkey || !ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) != 1 ||
      EVP_DigestSign(ctx, ret->bytes, &len, (const uint8_t *)message.data, message.len) != 1)
    return library_failed(err, "signing");
  return true;
}

bool signature_verify(const SignaturePublicKey *key, Span message, const Signature *signature) {
  if (!span_eq(key->name, signature->key_name)) return false;
  EVP_PKEY *pkey CLEANUP(free_pkey) =
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->bytes, sizeof(key->bytes));
  EVP_MD_CTX *ctx CLEANUP(free_md_ctx) = EVP_MD_CTX_new();
  return pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
         EVP_DigestVerify(ctx, signature->bytes, sizeof(signature->bytes), (const uint8_t *)message.data,
                          message.len) == 1;
}

// What is signed.

bool signature_fingerprint(const StorePath *path, const Hash *nar_hash, uint64_t nar_size_bytes, const StorePath *refs,
                           size_t ref_count, Span store_dir, Buf *ret, Err *err) {
  if (nar_size_bytes == 0) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(path, store_dir, &text);
    return err_set(err, ERR_OTHER, "cannot calculate fingerprint of path '%s' because its size is not known",
                   buf_cstr(&text));
  }
  buf_put_cstr(ret, "1;");
  store_path_format(path, store_dir, ret);
  buf_put_char(ret, ';');
  hash_format(nar_hash, HASH_FORMAT_NIX32, true, ret);
  buf_printf(ret, ";%llu;", (unsigned long long)nar_size_bytes);
  for (size_t i = 0; i < ref_count; i++) {
    if (i) buf_put_char(ret, ',');
    store_path_format(&refs[i], store_dir, ret);
  }
  return true;
}
