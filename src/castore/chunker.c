// chunker.c: FastCDC.
#include "castore/chunker.h"

#include <stdio.h>

#include "formats/hash.h"

#define CHUNKER_AVG_MIN ((size_t)256)

// The upper bits of the rolling hash depend on the most bytes.
static uint64_t chunker_mask(unsigned bits) {
  return ((UINT64_C(1) << bits) - 1) << (64 - bits);
}

void chunker_init(Chunker *chunker, size_t avg_bytes) {
  unsigned bits = 8;
  while ((CHUNKER_AVG_MIN << (bits - 7)) <= avg_bytes) bits++;
  chunker->avg_bytes = (size_t)1 << bits;
  chunker->min_bytes = chunker->avg_bytes / 2;
  chunker->max_bytes = chunker->avg_bytes * 2;
  chunker->mask_small = chunker_mask(bits + 1);
  chunker->mask_large = chunker_mask(bits - 1);
  for (unsigned i = 0; i < 256; i++) {
    char text[32];
    uint8_t digest[32];
    int len = snprintf(text, sizeof(text), "FastCDC gear %u", i);
    hash_blake3(span_make(text, (size_t)len), digest);
    memcpy(&chunker->gear[i], digest, sizeof(chunker->gear[i]));
  }
}

size_t chunker_cut(const Chunker *chunker, Span data) {
  size_t len = data.len < chunker->max_bytes ? data.len : chunker->max_bytes;
  size_t center = len < chunker->avg_bytes ? len : chunker->avg_bytes;
  uint64_t hash = 0;
  size_t i = chunker->min_bytes;
  if (len <= i) return len;
  for (; i < center; i++) {
    hash = (hash << 1) + chunker->gear[(unsigned char)data.data[i]];
    if (!(hash & chunker->mask_small)) return i + 1;
  }
  for (; i < len; i++) {
    hash = (hash << 1) + chunker->gear[(unsigned char)data.data[i]];
    if (!(hash & chunker->mask_large)) return i + 1;
  }
  return len;
}
