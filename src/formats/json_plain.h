// json_plain.h: the inner loop that JSON strings are read and written with.
#pragma once

#include "base/span.h"

// From `start`, the index of the first byte that is not plain in a JSON string: a control character, '"', '\\', or a part of a
// UTF-8 sequence, which has to be checked; s.len when all are plain.
static inline size_t json_plain_end(Span s, size_t start) {
  const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
  size_t i = start;
  for (; s.len - i >= 8; i += 8) {
    uint64_t word;
    memcpy(&word, s.data + i, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    uint64_t special =
        (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | word) & highs;
    if (special) return i + (size_t)(__builtin_ctzll(special) >> 3);
  }
  while (i < s.len && (uint8_t)s.data[i] >= 0x20 && (uint8_t)s.data[i] < 0x80 && s.data[i] != '"' && s.data[i] != '\\')
    i++;
  return i;
}
