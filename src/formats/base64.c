// base64.c: RFC 4648 base64.
#include "formats/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put(Buf *buf, const void *data, size_t len, const char *alphabet, bool padded) {
  const uint8_t *in = data;
  buf_reserve(buf, base64_len(len));
  char *out = buf->data + buf->len;
  for (; len >= 3; in += 3, len -= 3) {
    uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    *out++ = alphabet[group >> 18];
    *out++ = alphabet[group >> 12 & 63];
    *out++ = alphabet[group >> 6 & 63];
    *out++ = alphabet[group & 63];
  }
  if (len) {
    uint32_t group = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);
    *out++ = alphabet[group >> 18];
    *out++ = alphabet[group >> 12 & 63];
    if (len > 1) *out++ = alphabet[group >> 6 & 63];
    for (size_t i = len; padded && i < 3; i++) *out++ = '=';
  }
  buf->len = (size_t)(out - buf->data);
}

void base64_put(Buf *buf, const void *data, size_t len) {
  put(buf, data, len, standard, true);
}

void base64_put_url(Buf *buf, const void *data, size_t len) {
  put(buf, data, len, url_safe, false);
}

static int digit_value(char c, const char *last_two) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == last_two[0]) return 62;
  if (c == last_two[1]) return 63;
  return -1;
}

bool base64_decode(Span text, Buf *ret, Err *err) {
  uint32_t bits = 0;
  unsigned bit_count = 0;
  buf_reserve(ret, text.len / 4 * 3 + 3);
  for (size_t i = 0; i < text.len; i++) {
    char c = text.data[i];
    if (c == '=') break;
    if (c == '\n') continue;
    int value = digit_value(c, "+/");
    if (value < 0) return err_set(err, ERR_SYNTAX, "invalid character in Base64 string: '%c'", c);
    bits = bits << 6 | (uint32_t)value;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      buf_put_char(ret, (char)(bits >> bit_count));
    }
  }
  return true;
}

bool base64_decode_url(Span text, Buf *ret, Err *err) {
  if (text.len % 4 == 1) return err_set(err, ERR_SYNTAX, "base64 text has an impossible length of %zu", text.len);
  uint32_t bits = 0;
  unsigned bit_count = 0;
  buf_reserve(ret, text.len / 4 * 3 + 3);
  for (size_t i = 0; i < text.len; i++) {
    int value = digit_value(text.data[i], "-_");
    if (value < 0) return err_set(err, ERR_SYNTAX, "invalid character in base64 text at byte %zu", i);
    bits = bits << 6 | (uint32_t)value;
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      buf_put_char(ret, (char)(bits >> bit_count));
    }
  }
  if (bits & ((1u << bit_count) - 1)) return err_set(err, ERR_SYNTAX, "base64 text ends in surplus bits");
  return true;
}
