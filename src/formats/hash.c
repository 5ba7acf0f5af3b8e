// hash.c: digests and their text forms.
//
// OpenSSL 3 calls the low-level functions deprecated, in favour of EVP; hash.h says what EVP would cost here.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "formats/hash.h"

#include <assert.h>
#include <blake3.h>
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "formats/base16.h"
#include "formats/base64.h"
#include "formats/nixbase32.h"

_Static_assert(sizeof(SHA256_CTX) <= sizeof(HashSha256), "HashSha256 holds a SHA256_CTX");
_Static_assert(sizeof(blake3_hasher) <= sizeof(((HashCtx *)0)->state), "HashCtx holds a blake3_hasher");
_Static_assert(sizeof(SHA512_CTX) <= sizeof(((HashCtx *)0)->state), "HashCtx holds a SHA512_CTX");

bool hash_eq(const Hash *a, const Hash *b) {
  return a->algo == b->algo && memcmp(a->bytes, b->bytes, hash_len(a->algo)) == 0;
}

// Computation.

void hash_init(HashCtx *ctx, HashAlgo algo) {
  ctx->algo = algo;
  switch (algo) {
  case HASH_MD5: MD5_Init((MD5_CTX *)&ctx->state); break;
  case HASH_SHA1: SHA1_Init((SHA_CTX *)&ctx->state); break;
  case HASH_SHA256: SHA256_Init((SHA256_CTX *)&ctx->state); break;
  case HASH_SHA512: SHA512_Init((SHA512_CTX *)&ctx->state); break;
  case HASH_BLAKE3: blake3_hasher_init((blake3_hasher *)&ctx->state); break;
  }
}

void hash_update(HashCtx *ctx, const void *data, size_t len) {
  if (len == 0) return;
  switch (ctx->algo) {
  case HASH_MD5: MD5_Update((MD5_CTX *)&ctx->state, data, len); break;
  case HASH_SHA1: SHA1_Update((SHA_CTX *)&ctx->state, data, len); break;
  case HASH_SHA256: SHA256_Update((SHA256_CTX *)&ctx->state, data, len); break;
  case HASH_SHA512: SHA512_Update((SHA512_CTX *)&ctx->state, data, len); break;
  case HASH_BLAKE3: blake3_hasher_update((blake3_hasher *)&ctx->state, data, len); break;
  }
}

void hash_final(HashCtx *ctx, Hash *ret) {
  memset(ret, 0, sizeof(*ret));
  ret->algo = ctx->algo;
  switch (ctx->algo) {
  case HASH_MD5: MD5_Final(ret->bytes, (MD5_CTX *)&ctx->state); break;
  case HASH_SHA1: SHA1_Final(ret->bytes, (SHA_CTX *)&ctx->state); break;
  case HASH_SHA256: SHA256_Final(ret->bytes, (SHA256_CTX *)&ctx->state); break;
  case HASH_SHA512: SHA512_Final(ret->bytes, (SHA512_CTX *)&ctx->state); break;
  case HASH_BLAKE3: blake3_hasher_finalize((blake3_hasher *)&ctx->state, ret->bytes, BLAKE3_OUT_LEN); break;
  }
}

void hash_of(HashAlgo algo, Span data, Hash *ret) {
  HashCtx ctx;
  hash_init(&ctx, algo);
  hash_update(&ctx, data.data, data.len);
  hash_final(&ctx, ret);
}

void hash_sha256_init(HashSha256 *ctx) {
  SHA256_Init((SHA256_CTX *)ctx);
}

void hash_sha256_update(HashSha256 *ctx, const void *data, size_t len) {
  if (len) SHA256_Update((SHA256_CTX *)ctx, data, len);
}

void hash_sha256_final(HashSha256 *ctx, uint8_t ret[32]) {
  SHA256_Final(ret, (SHA256_CTX *)ctx);
}

void hash_sha256(Span data, uint8_t ret[32]) {
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update(&ctx, data.data, data.len);
  hash_sha256_final(&ctx, ret);
}

void hash_blake3(Span data, uint8_t ret[32]) {
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  if (data.len) blake3_hasher_update(&hasher, data.data, data.len);
  blake3_hasher_finalize(&hasher, ret, BLAKE3_OUT_LEN);
}

void hash_compress(const uint8_t *data, size_t len, uint8_t *ret, size_t ret_len) {
  memset(ret, 0, ret_len);
  for (size_t i = 0; i < len; i++) ret[i % ret_len] ^= data[i];
}

// Names.

static const Span algo_names[HASH_ALGO_COUNT] = {SPAN_LIT("md5"), SPAN_LIT("sha1"), SPAN_LIT("sha256"),
                                                 SPAN_LIT("sha512"), SPAN_LIT("blake3")};
static const Span format_names[] = {SPAN_LIT("base16"), SPAN_LIT("nix32"), SPAN_LIT("base64"), SPAN_LIT("sri")};

Span hash_algo_name(HashAlgo algo) {
  return algo_names[algo];
}

bool hash_algo_find(Span text, HashAlgo *ret) {
  for (unsigned i = 0; i < HASH_ALGO_COUNT; i++)
    if (span_eq(text, algo_names[i])) {
      *ret = (HashAlgo)i;
      return true;
    }
  return false;
}

bool hash_algo_parse(Span text, HashAlgo *ret, Err *err) {
  if (hash_algo_find(text, ret) && *ret != HASH_BLAKE3) return true;
  return err_set(err, ERR_USAGE, "unknown hash algorithm '%.*s', expect 'md5', 'sha1', 'sha256', or 'sha512'",
                 SPAN_ARG(text));
}

bool hash_format_parse(Span text, HashFormat *ret, Err *err) {
  for (unsigned i = 0; i < ARRAY_LEN(format_names); i++)
    if (span_eq(text, format_names[i])) {
      *ret = (HashFormat)i;
      return true;
    }
  if (span_eq(text, SPAN("base32"))) {
    *ret = HASH_FORMAT_NIX32;
    return true;
  }
  return err_set(err, ERR_USAGE, "unknown hash format '%.*s', expect 'base16', 'base32', 'base64', or 'sri'",
                 SPAN_ARG(text));
}

Span hash_format_name(HashFormat format) {
  return format_names[format];
}

// Text forms.

void hash_format(const Hash *hash, HashFormat format, bool with_algo, Buf *ret) {
  size_t len = hash_len(hash->algo);
  if (with_algo || format == HASH_FORMAT_SRI) {
    buf_put_span(ret, algo_names[hash->algo]);
    buf_put_char(ret, format == HASH_FORMAT_SRI ? '-' : ':');
  }
  switch (format) {
  case HASH_FORMAT_BASE16: base16_put(ret, hash->bytes, len); break;
  case HASH_FORMAT_NIX32: nixbase32_put(ret, hash->bytes, len); break;
  case HASH_FORMAT_BASE64:
  case HASH_FORMAT_SRI: base64_put(ret, hash->bytes, len); break;
  }
}

static bool parse_base64(Span digits, bool is_sri, Hash *ret, Err *err) {
  size_t len = hash_len(ret->algo);
  Buf bytes CLEANUP(buf_done) = BUF_INIT;
  // Nix reports a foreign character and a wrong length alike.
  if (!base64_decode(digits, &bytes, NULL) || bytes.len != len)
    return err_set(err, ERR_SYNTAX, "invalid %s hash '%.*s'", is_sri ? "SRI" : "base-64", SPAN_ARG(digits));
  memcpy(ret->bytes, bytes.data, len);
  return true;
}

// `digits` without prefix; the length tells the base unless it is an SRI hash.
static bool parse_digits(Span digits, HashAlgo algo, bool is_sri, Hash *ret, Err *err) {
  size_t len = hash_len(algo);
  memset(ret, 0, sizeof(*ret));
  ret->algo = algo;
  if (!is_sri && digits.len == 2 * len) {
    if (base16_decode(digits, ret->bytes, len)) return true;
    return err_set(err, ERR_SYNTAX, "invalid base-16 hash '%.*s'", SPAN_ARG(digits));
  }
  if (!is_sri && digits.len == nixbase32_len(len)) {
    if (nixbase32_decode(digits, ret->bytes, len)) return true;
    return err_set(err, ERR_SYNTAX, "invalid base-32 hash '%.*s'", SPAN_ARG(digits));
  }
  if (is_sri || digits.len == base64_len(len)) return parse_base64(digits, is_sri, ret, err);
  return err_set(err, ERR_SYNTAX, "hash '%.*s' has wrong length for hash algorithm '%.*s'", SPAN_ARG(digits),
                 SPAN_ARG(algo_names[algo]));
}

// Takes "<algo>:" or "<algo>-" off *rest.
static bool split_prefix(Span *rest, bool *ret_has_algo, HashAlgo *ret_algo, bool *ret_is_sri, Err *err) {
  size_t end = span_find_char(*rest, ':');
  *ret_is_sri = end == SIZE_MAX;
  if (*ret_is_sri) end = span_find_char(*rest, '-');
  *ret_has_algo = end != SIZE_MAX;
  if (!*ret_has_algo) {
    *ret_is_sri = false;
    return true;
  }
  Span name = span_sub(*rest, 0, end);
  *rest = span_from(*rest, end + 1);
  return hash_algo_parse(name, ret_algo, err);
}

bool hash_parse(Span text, const HashAlgo *expected, Hash *ret, Err *err) {
  Span rest = text;
  bool has_algo, is_sri;
  HashAlgo algo;
  if (!split_prefix(&rest, &has_algo, &algo, &is_sri, err)) return false;
  if (!has_algo && !expected)
    return err_set(err, ERR_SYNTAX, "hash '%.*s' does not include a type, nor is the type otherwise known from context",
                   SPAN_ARG(rest));
  if (has_algo && expected && algo != *expected)
    return err_set(err, ERR_SYNTAX, "hash '%.*s' should have type '%.*s'", SPAN_ARG(text),
                   SPAN_ARG(algo_names[*expected]));
  return parse_digits(rest, has_algo ? algo : *expected, is_sri, ret, err);
}

bool hash_parse_prefixed(Span text, Hash *ret, Err *err) {
  Span rest = text;
  bool has_algo, is_sri;
  HashAlgo algo;
  if (!split_prefix(&rest, &has_algo, &algo, &is_sri, err)) return false;
  if (!has_algo) return err_set(err, ERR_SYNTAX, "hash '%.*s' does not include a type", SPAN_ARG(rest));
  return parse_digits(rest, algo, is_sri, ret, err);
}

bool hash_parse_bare(Span text, HashAlgo algo, Hash *ret, Err *err) {
  return parse_digits(text, algo, false, ret, err);
}

bool hash_parse_sri(Span text, Hash *ret, Err *err) {
  size_t dash = span_find_char(text, '-');
  if (dash == SIZE_MAX) return err_set(err, ERR_SYNTAX, "hash '%.*s' is not SRI", SPAN_ARG(text));
  HashAlgo algo;
  if (!hash_algo_parse(span_sub(text, 0, dash), &algo, err)) return false;
  return parse_digits(span_from(text, dash + 1), algo, true, ret, err);
}

bool hash_parse_or_empty(Span text, const HashAlgo *expected, Hash *ret, bool *ret_assumed, Err *err) {
  *ret_assumed = text.len == 0;
  if (text.len) return hash_parse(text, expected, ret, err);
  if (!expected) return err_set(err, ERR_SYNTAX, "empty hash requires explicit hash algorithm");
  memset(ret, 0, sizeof(*ret));
  ret->algo = *expected;
  return true;
}
