// chunker.h: content-defined chunking: FastCDC (Xia et al., 2020, "The design of fast content-defined chunking", with normalised chunking of level 1), so that an
// insertion changes the chunks around it and no others.
//
// Chunks are between avg/2 and 2*avg bytes, the last one may be shorter. Where they are cut is no part of any format: readers go by the list of chunks. The gear
// table comes from BLAKE3 of a fixed text.
#pragma once

#include "base/span.h"

#define CHUNKER_AVG_BYTES ((size_t)256 << 10) // tvix's and snix's choice

typedef struct Chunker {
  uint64_t gear[256];
  size_t min_bytes, avg_bytes, max_bytes;
  uint64_t mask_small, mask_large; // before and behind the average size
} Chunker;

// avg_bytes is rounded down to a power of two, at least 256.
void chunker_init(Chunker *chunker, size_t avg_bytes);
// Length of the first chunk of `data`. `data` must hold max_bytes, unless it is the end of the content. Law: it depends only on the bytes of the chunk
// and of at most 64 behind it (chunker_test).
size_t chunker_cut(const Chunker *chunker, Span data);
