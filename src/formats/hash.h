// hash.h: message digests: values, streaming and one-shot computation, and their text forms.
//
// MD5, SHA-1 and SHA-2 are libcrypto's, called by its low-level functions, and BLAKE3 is the official C code. Contexts are
// therefore plain values: no allocation, nothing to free, and assignment forks a context after a shared prefix. (The EVP
// interface costs 0.8 ms for the first fetch in a process and 120 instead of 72 ns for 64 bytes.)
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef enum HashAlgo { HASH_MD5, HASH_SHA1, HASH_SHA256, HASH_SHA512, HASH_BLAKE3 } HashAlgo;

#define HASH_ALGO_COUNT 5
#define HASH_MAX_BYTES 64

typedef struct Hash {
  HashAlgo algo;
  uint8_t bytes[HASH_MAX_BYTES]; // hash_len(algo) bytes are used
} Hash;

// Text forms. With an algorithm prefix, BASE16, NIX32 and BASE64 read "sha256:<digits>"; SRI is "sha256-<base64>".
typedef enum HashFormat { HASH_FORMAT_BASE16, HASH_FORMAT_NIX32, HASH_FORMAT_BASE64, HASH_FORMAT_SRI } HashFormat;

// Digest length in bytes: 16, 20, 32, 64, 32.
static inline size_t hash_len(HashAlgo algo) {
  static const uint8_t lens[HASH_ALGO_COUNT] = {16, 20, 32, 64, 32};
  return lens[algo];
}
bool hash_eq(const Hash *a, const Hash *b);
static inline Span hash_bytes(const Hash *hash) {
  return span_make(hash->bytes, hash_len(hash->algo));
}

// Computation.

// A context is a value: copy it to fork. After hash_final it must be initialised again.
typedef struct HashCtx {
  HashAlgo algo;
  union {
    uint64_t align;
    uint8_t bytes[1920]; // the largest is BLAKE3's; only what the algorithm needs is touched
  } state;
} HashCtx;

void hash_init(HashCtx *ctx, HashAlgo algo);
void hash_update(HashCtx *ctx, const void *data, size_t len);
void hash_final(HashCtx *ctx, Hash *ret);
void hash_of(HashAlgo algo, Span data, Hash *ret);

// The same for SHA-256 alone, for the many short hashes of store paths and derivations.
typedef struct HashSha256 {
  uint64_t state[14];
} HashSha256;

void hash_sha256_init(HashSha256 *ctx);
void hash_sha256_update(HashSha256 *ctx, const void *data, size_t len);
static inline void hash_sha256_update_span(HashSha256 *ctx, Span s) {
  hash_sha256_update(ctx, s.data, s.len);
}
void hash_sha256_final(HashSha256 *ctx, uint8_t ret[32]);
void hash_sha256(Span data, uint8_t ret[32]);
void hash_blake3(Span data, uint8_t ret[32]);

// XOR-folds `len` bytes to `ret_len` bytes: byte i goes to i mod ret_len. Nix's store paths fold SHA-256 to 20.
void hash_compress(const uint8_t *data, size_t len, uint8_t *ret, size_t ret_len);

// Text.

Span hash_algo_name(HashAlgo algo);
// The four algorithms of Nix 2.26; the message is Nix's ("unknown hash algorithm 'x', expect 'md5', 'sha1', 'sha256', or
// 'sha512'").
MUST_CHECK bool hash_algo_parse(Span text, HashAlgo *ret, Err *err);
// All five; false when unknown.
bool hash_algo_find(Span text, HashAlgo *ret);
// "base16", "nix32", "base32" (deprecated alias of nix32: the caller may want to warn), "base64", "sri".
MUST_CHECK bool hash_format_parse(Span text, HashFormat *ret, Err *err);
Span hash_format_name(HashFormat format);

// `with_algo` is implied by SRI.
void hash_format(const Hash *hash, HashFormat format, bool with_algo, Buf *ret);
// "sha256:<nixbase32>", as in narinfo files and the database.
static inline void hash_format_nix32(const Hash *hash, Buf *ret) {
  hash_format(hash, HASH_FORMAT_NIX32, true, ret);
}

// Any form: "<algo>:<digits>", "<algo>-<base64>" or bare digits, where base-16, nixbase32 or base64 is told by the length.
// `expected` NULL: the text must name the algorithm; else both must agree. Messages are those of Nix 2.26 (Hash::parseAny).
MUST_CHECK bool hash_parse(Span text, const HashAlgo *expected, Hash *ret, Err *err);
// As hash_parse, but the text must name its algorithm (Hash::parseAnyPrefixed, used by narinfo).
MUST_CHECK bool hash_parse_prefixed(Span text, Hash *ret, Err *err);
// Bare digits only (Hash::parseNonSRIUnprefixed, used by derivations and content addresses).
MUST_CHECK bool hash_parse_bare(Span text, HashAlgo algo, Hash *ret, Err *err);
// "<algo>-<base64>" only.
MUST_CHECK bool hash_parse_sri(Span text, Hash *ret, Err *err);
// outputHash of a derivation: an empty text is the all-zero hash when `expected` is given; *ret_assumed tells, so that the
// caller can warn "found empty hash, assuming '<sri>'" (newHashAllowEmpty).
MUST_CHECK bool hash_parse_or_empty(Span text, const HashAlgo *expected, Hash *ret, bool *ret_assumed, Err *err);
