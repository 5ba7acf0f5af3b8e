// nar_hasher.h: SHA-256 of a long stream on a thread of its own, so that reading and BLAKE3 go on meanwhile. A stream that fits into the first buffer is
// hashed without a thread.
#pragma once

#include "base/span.h"

#define NAR_HASHER_BUFFER_BYTES ((size_t)512 << 10)

typedef struct NarHasher NarHasher;

NarHasher *nar_hasher_new(void);
void nar_hasher_free(NarHasher *hasher);
void nar_hasher_put(NarHasher *hasher, Span data);
// Room for the next bytes (at least 64 KiB), to be filled in place: then nar_hasher_commit says how many there are.
char *nar_hasher_space(NarHasher *hasher, size_t *ret_cap);
void nar_hasher_commit(NarHasher *hasher, size_t len);
// Ends the stream.
void nar_hasher_finish(NarHasher *hasher, uint8_t ret_sha256[32], uint64_t *ret_size_bytes);
