// nixbase32.c: Nix's base-32, five bytes (eight digits) at a time from the low end.
#include "formats/nixbase32.h"

const char nixbase32_alphabet[33] = "0123456789abcdfghijklmnpqrsvwxyz";

void nixbase32_encode(const void *data, size_t len, char *ret) {
  const uint8_t *bytes = data;
  size_t left = nixbase32_len(len); // digits still to write; they fill from the end
  for (size_t i = 0; i < len; i += 5) {
    uint64_t group = 0;
    size_t take = len - i < 5 ? len - i : 5;
    for (size_t k = 0; k < take; k++) group |= (uint64_t)bytes[i + k] << (8 * k);
    size_t digit_count = left < 8 ? left : 8;
    for (size_t k = 0; k < digit_count; k++, group >>= 5) ret[--left] = nixbase32_alphabet[group & 31];
  }
}

void nixbase32_put(Buf *buf, const void *data, size_t len) {
  size_t text_len = nixbase32_len(len);
  buf_reserve(buf, text_len);
  nixbase32_encode(data, len, buf->data + buf->len);
  buf->len += text_len;
}

static unsigned digit_value(char c) {
  // Letters shift by the ones left out before them: e (101), o (111), t (116), u (117).
  if (!nixbase32_is_digit(c)) return 32;
  if (c <= '9') return (unsigned)(c - '0');
  return (unsigned)(c - 'a') + 10 - (c > 'e') - (c > 'o') - (c > 't') - (c > 'u');
}

bool nixbase32_decode(Span text, void *ret, size_t len) {
  if (text.len != nixbase32_len(len)) return false;
  uint8_t *out = ret;
  size_t left = text.len;
  for (size_t i = 0; i < len; i += 5) {
    uint64_t group = 0;
    size_t digit_count = left < 8 ? left : 8;
    for (size_t k = 0; k < digit_count; k++) {
      unsigned value = digit_value(text.data[--left]);
      if (value > 31) return false;
      group |= (uint64_t)value << (5 * k);
    }
    size_t take = len - i < 5 ? len - i : 5;
    if (take < 5 && group >> (8 * take)) return false;
    for (size_t k = 0; k < take; k++, group >>= 8) out[i + k] = (uint8_t)group;
  }
  return true;
}
