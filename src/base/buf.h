// buf.h: a growable owned byte buffer. Always room for one NUL behind `len`; buf_cstr writes it.
#pragma once

#include <stdarg.h>

#include "base/mem.h"
#include "base/span.h"

typedef struct Buf {
  char *data; // owned; NULL while cap is 0
  size_t len;
  size_t cap;
} Buf;

#define BUF_INIT \
  { NULL, 0, 0 }

void buf_done(Buf *buf); // also resets it to BUF_INIT
void buf_reserve(Buf *buf, size_t extra_bytes);
void buf_put(Buf *buf, const void *data, size_t len);
void buf_put_span(Buf *buf, Span s);
void buf_put_cstr(Buf *buf, const char *s);
void buf_printf(Buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(Buf *buf, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
void buf_put_u64le(Buf *buf, uint64_t value);
void buf_put_repeat(Buf *buf, char c, size_t count);
// Decimal without printf.
void buf_put_i64(Buf *buf, int64_t value);
#define BUF_DIGITS_MAX 20
// The same text at the end of `digits`.
Span buf_digits(int64_t value, char digits[BUF_DIGITS_MAX]);

static inline void buf_put_char(Buf *buf, char c) {
  if (UNLIKELY(buf->len + 1 >= buf->cap)) buf_reserve(buf, 1);
  buf->data[buf->len++] = c;
}
static inline void buf_clear(Buf *buf) {
  buf->len = 0;
}
static inline Span buf_span(const Buf *buf) {
  return (Span){buf->data, buf->len};
}
// NUL-terminates; borrowed until the next write.
const char *buf_cstr(Buf *buf);
// Moves the bytes out, NUL-terminated and owned; the buffer is empty afterwards.
char *buf_take(Buf *buf);
