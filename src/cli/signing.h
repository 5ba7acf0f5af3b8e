// signing.h: keys and signatures of paths, as commands need them.
#pragma once

#include "cli/session.h"
#include "formats/path_info.h"

typedef struct SigningKeys {
  SignaturePublicKey *keys; // owned; text is the setting's
  size_t count, cap;
} SigningKeys;

void signing_keys_done(SigningKeys *keys);
// Of the setting trusted-public-keys.
MUST_CHECK bool signing_trusted_keys(Session *session, SigningKeys *ret, Err *err);
// A secret key as Nix writes it; its name points into `text`.
MUST_CHECK bool signing_read_key(const char *path, Buf *text, SignatureSecretKey *ret, Err *err);
// Of the setting secret-key-files; they live as long as the session. One that cannot be read is an error.
MUST_CHECK bool signing_secret_keys(Session *session, const SignatureSecretKey **ret, size_t *ret_count, Err *err);
bool signing_has(const PathInfo *info, const Signature *signature);

// How many good signatures were seen, each once.
typedef struct SigningSeen {
  Map texts;
  uint64_t valid_count;
} SigningSeen;
void signing_seen_done(SigningSeen *seen);
// Counts those of `info` that one of the keys has made for it.
MUST_CHECK bool signing_count(const PathInfo *info, Span store_dir, const SigningKeys *keys, SigningSeen *seen,
                              Err *err);
