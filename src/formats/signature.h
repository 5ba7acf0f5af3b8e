// signature.h: ed25519 signatures of path infos in Nix's text forms: key and signature are "<key name>:<base64>".
// A secret key's payload is seed || public key (64 bytes), a public key's 32, a signature's 64.
#pragma once

#include "formats/store_path.h"

#define SIGNATURE_BYTES 64
#define SIGNATURE_PUBLIC_BYTES 32
#define SIGNATURE_SECRET_BYTES 64

// A signature; the name is borrowed.
typedef struct Signature {
  Span key_name;
  uint8_t bytes[SIGNATURE_BYTES];
} Signature;

typedef struct SignaturePublicKey {
  Span name; // borrowed
  uint8_t bytes[SIGNATURE_PUBLIC_BYTES];
} SignaturePublicKey;

typedef struct SignatureSecretKey {
  Span name; // borrowed
  uint8_t bytes[SIGNATURE_SECRET_BYTES];
} SignatureSecretKey;

// Names point into `text`. Messages are Nix's, and never contain a secret.
MUST_CHECK bool signature_parse(Span text, Signature *ret, Err *err);
MUST_CHECK bool signature_parse_public_key(Span text, SignaturePublicKey *ret, Err *err);
MUST_CHECK bool signature_parse_secret_key(Span text, SignatureSecretKey *ret, Err *err);
void signature_format(const Signature *signature, Buf *ret);
void signature_format_public_key(const SignaturePublicKey *key, Buf *ret);
void signature_format_secret_key(const SignatureSecretKey *key, Buf *ret);

MUST_CHECK bool signature_generate(Span name, SignatureSecretKey *ret, Err *err);
void signature_public_of(const SignatureSecretKey *key, SignaturePublicKey *ret);
MUST_CHECK bool signature_sign(const SignatureSecretKey *key, Span message, Signature *ret, Err *err);
// Does the key of that name and value accept it? A different name is false.
bool signature_verify(const SignaturePublicKey *key, Span message, const Signature *signature);

// The text that is signed: "1;<path>;sha256:<nixbase32>;<nar size>;<references, comma separated>". `refs` are sorted and unique
// (store_path_cmp). Fails when nar_size_bytes is 0.
MUST_CHECK bool signature_fingerprint(const StorePath *path, const Hash *nar_hash, uint64_t nar_size_bytes,
                                      const StorePath *refs, size_t ref_count, Span store_dir, Buf *ret, Err *err);
