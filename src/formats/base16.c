// base16.c: hexadecimal text.
#include "formats/base16.h"

static const char digits[] = "0123456789abcdef";

void base16_encode(const void *data, size_t len, char *ret) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < len; i++) {
    ret[2 * i] = digits[bytes[i] >> 4];
    ret[2 * i + 1] = digits[bytes[i] & 15];
  }
}

void base16_put(Buf *buf, const void *data, size_t len) {
  buf_reserve(buf, 2 * len);
  base16_encode(data, len, buf->data + buf->len);
  buf->len += 2 * len;
}

static int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool base16_decode(Span text, void *ret, size_t len) {
  if (text.len != 2 * len) return false;
  uint8_t *out = ret;
  for (size_t i = 0; i < len; i++) {
    int high = digit_value(text.data[2 * i]), low = digit_value(text.data[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}
