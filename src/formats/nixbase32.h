// nixbase32.h: Nix's base-32: the bytes as one little-endian number, most significant digit first, in the alphabet
// 0123456789abcdfghijklmnpqrsvwxyz (no e, o, u, t). Text order is therefore the numeric order of that number.
// Source: Nix manual, "Store path specification", and its hash code.
#pragma once

#include "base/buf.h"

extern const char nixbase32_alphabet[33];

// Number of digits for `len` bytes: 32 for 20 bytes, 52 for 32.
static inline size_t nixbase32_len(size_t len) {
  return len ? (len * 8 - 1) / 5 + 1 : 0;
}
// Writes nixbase32_len(len) characters to `ret` (no NUL).
void nixbase32_encode(const void *data, size_t len, char *ret);
void nixbase32_put(Buf *buf, const void *data, size_t len);
// Decodes exactly nixbase32_len(len) digits. False on a wrong length, a foreign character, or surplus bits that are
// not zero (so the text form of a value is unique).
MUST_CHECK bool nixbase32_decode(Span text, void *ret, size_t len);
static inline bool nixbase32_is_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z' && c != 'e' && c != 'o' && c != 'u' && c != 't');
}
