// json_plain.h: the inner loop that JSON strings are read and written with.
#pragma once

#include "base/span.h"
#include "formats/byte_scan.h"

// From `start`, the index of the first byte that is not plain in a JSON string: a control character, '"', '\\', or a part of a
// UTF-8 sequence, which has to be checked; s.len when all are plain.
static inline size_t json_plain_end(Span s, size_t start) {
  size_t i = start;
  for (; s.len - i >= 8; i += 8) {
    uint64_t word = byte_scan_load(s.data + i);
    uint64_t special =
        byte_scan_below(word, 0x20) | byte_scan_equal(word, '"') | byte_scan_equal(word, '\\') | byte_scan_high(word);
    if (special) return i + byte_scan_first(special);
  }
  while (i < s.len && (uint8_t)s.data[i] >= 0x20 && (uint8_t)s.data[i] < 0x80 && s.data[i] != '"' && s.data[i] != '\\')
    i++;
  return i;
}
