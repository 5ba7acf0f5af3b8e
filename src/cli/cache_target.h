// cache_target.h: the binary cache that a command writes to, from its URL: file:///directory?compression=xz&secret-key=file..., or http(s)://.
#pragma once

#include "cli/session.h"
#include "store/binary_cache.h"

typedef struct CacheTarget {
  BinaryCache *cache; // NULL: not open
  HttpClient *client;
  Buf key_text;
  SignatureSecretKey key;
} CacheTarget;

// Parameters that C++ Nix does not know either are warned about.
MUST_CHECK bool cache_target_open(Session *session, const char *url, CacheTarget *ret, Err *err);
void cache_target_done(CacheTarget *target);
// The key of the URL; NULL: none.
const SignatureSecretKey *cache_target_key(const CacheTarget *target);
