// buf.c: see buf.h.
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>

enum { BUF_MIN_BYTES = 64 };

void buf_done(Buf *buf) {
  mem_free(buf->data);
  *buf = (Buf)BUF_INIT;
}

void buf_reserve(Buf *buf, size_t extra_bytes) {
  size_t need;
  if (UNLIKELY(__builtin_add_overflow(buf->len, extra_bytes, &need) || need == SIZE_MAX)) mem_die(SIZE_MAX);
  need++; // the NUL
  if (need <= buf->cap) return;
  size_t cap = buf->cap + buf->cap / 2;
  if (cap < need) cap = need;
  if (cap < BUF_MIN_BYTES) cap = BUF_MIN_BYTES;
  buf->data = mem_realloc(buf->data, cap);
  buf->cap = cap;
}

void buf_put(Buf *buf, const void *data, size_t len) {
  if (len == 0) return;
  buf_reserve(buf, len);
  memcpy(buf->data + buf->len, data, len);
  buf->len += len;
}

void buf_put_span(Buf *buf, Span s) {
  buf_put(buf, s.data, s.len);
}

void buf_put_cstr(Buf *buf, const char *s) {
  buf_put(buf, s, strlen(s));
}

void buf_printf(Buf *buf, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  buf_vprintf(buf, fmt, args);
  va_end(args);
}

void buf_vprintf(Buf *buf, const char *fmt, va_list args) {
  va_list again;
  va_copy(again, args);
  size_t room = buf->cap - buf->len;
  int len = vsnprintf(room ? buf->data + buf->len : NULL, room, fmt, args);
  assert(len >= 0); // only a broken format or a string beyond INT_MAX
  if ((size_t)len >= room) {
    buf_reserve(buf, (size_t)len);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
  }
  va_end(again);
  buf->len += (size_t)len;
}

void buf_put_u64le(Buf *buf, uint64_t value) {
  unsigned char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(value >> (8 * i));
  buf_put(buf, bytes, sizeof bytes);
}

void buf_put_repeat(Buf *buf, char c, size_t count) {
  if (count == 0) return;
  buf_reserve(buf, count);
  memset(buf->data + buf->len, c, count);
  buf->len += count;
}

Span buf_digits(int64_t value, char digits[BUF_DIGITS_MAX]) {
  size_t at = BUF_DIGITS_MAX;
  uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do digits[--at] = (char)('0' + magnitude % 10);
  while (magnitude /= 10);
  if (value < 0) digits[--at] = '-';
  return span_make(digits + at, BUF_DIGITS_MAX - at);
}

void buf_put_i64(Buf *buf, int64_t value) {
  char digits[BUF_DIGITS_MAX];
  buf_put_span(buf, buf_digits(value, digits));
}

const char *buf_cstr(Buf *buf) {
  buf_reserve(buf, 0);
  buf->data[buf->len] = 0;
  return buf->data;
}

char *buf_take(Buf *buf) {
  buf_cstr(buf);
  char *data = buf->data;
  *buf = (Buf)BUF_INIT;
  return data;
}
