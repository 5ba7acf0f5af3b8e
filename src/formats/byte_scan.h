// byte_scan.h: looking at eight bytes at a time. A mask has the high bit of each byte set that is looked for; masks of several
// searches are or-ed. A mask is exact up to and including the lowest such byte (the first in memory), which byte_scan_first gives;
// above it there may be more bits than there should be.
#pragma once

#include <string.h>

#include "base/macros.h"

#define BYTE_SCAN_ONES UINT64_C(0x0101010101010101)
#define BYTE_SCAN_HIGHS UINT64_C(0x8080808080808080)

// The first byte in memory is the lowest.
static inline uint64_t byte_scan_load(const char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}
// Bytes below `limit`, which is at most 128.
static inline uint64_t byte_scan_below(uint64_t word, uint8_t limit) {
  return (word - BYTE_SCAN_ONES * limit) & ~word & BYTE_SCAN_HIGHS;
}
static inline uint64_t byte_scan_equal(uint64_t word, char c) {
  return byte_scan_below(word ^ BYTE_SCAN_ONES * (uint8_t)c, 1);
}
// Bytes from 128.
static inline uint64_t byte_scan_high(uint64_t word) {
  return word & BYTE_SCAN_HIGHS;
}
// Index of the first byte found; `mask` is not 0.
static inline size_t byte_scan_first(uint64_t mask) {
  return (size_t)__builtin_ctzll(mask) >> 3;
}
