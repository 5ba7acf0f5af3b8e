// digest_set.h: a set of BLAKE3 digests, each as blob or as directory, in 33 bytes per slot.
#pragma once

#include "castore/pack.h"
#include "formats/castore_node.h"

typedef struct DigestSet {
  unsigned char *slots; // kind + 1, digest; 0 is free
  size_t cap, count;    // cap is a power of two or 0
} DigestSet;

#define DIGEST_SET_INIT \
  { NULL, 0, 0 }

void digest_set_done(DigestSet *set);
// False when it was in the set already.
bool digest_set_add(DigestSet *set, const CastoreDigest *digest, PackKind kind);
bool digest_set_has(const DigestSet *set, const CastoreDigest *digest, PackKind kind);
