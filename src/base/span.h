// span.h: a borrowed run of bytes, not NUL-terminated. The type in which text and binary input travel.
#pragma once

#include <string.h>

#include "base/macros.h"

typedef struct Span {
  const char *data;
  size_t len;
} Span;

// A string literal as Span, usable in static initialisers.
#define SPAN_LIT(s) \
  { ("" s), sizeof(s) - 1 }
#define SPAN(s) ((Span){("" s), sizeof(s) - 1})
// For printf("%.*s", SPAN_ARG(s)).
#define SPAN_ARG(s) (int)(s).len, (s).data

static inline Span span_make(const void *data, size_t len) {
  return (Span){(const char *)data, len};
}
static inline Span span_cstr(const char *s) {
  return (Span){s, strlen(s)};
}
static inline bool span_eq(Span a, Span b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
static inline bool span_eq_cstr(Span a, const char *b) {
  return span_eq(a, span_cstr(b));
}
// Bytewise order, shorter first on a common prefix: the order of Nix attribute names.
static inline int span_cmp(Span a, Span b) {
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n ? memcmp(a.data, b.data, n) : 0;
  return c ? c : (a.len > b.len) - (a.len < b.len);
}
// The first 8 bytes, zeros behind a shorter span, as a number: of two spans the one with the smaller number is less (span_cmp).
uint64_t span_head_number(Span s);
static inline bool span_has_prefix(Span s, Span prefix) {
  return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}
static inline bool span_has_suffix(Span s, Span suffix) {
  return s.len >= suffix.len && (suffix.len == 0 || memcmp(s.data + s.len - suffix.len, suffix.data, suffix.len) == 0);
}
// The part from `start`, at most `len` bytes; clamped to the span.
static inline Span span_sub(Span s, size_t start, size_t len) {
  if (start > s.len) start = s.len;
  if (len > s.len - start) len = s.len - start;
  return (Span){start ? s.data + start : s.data, len}; // NULL + 0 is undefined
}
static inline Span span_from(Span s, size_t start) {
  return span_sub(s, start, SIZE_MAX);
}
// Index of the first `c`, or SIZE_MAX.
size_t span_find_char(Span s, char c);
size_t span_rfind_char(Span s, char c);
// Index of the first `needle` (empty: 0), or SIZE_MAX.
size_t span_find(Span s, Span needle);
// Cuts at the first `c`: `*ret_head` is what stands before it, `*s` what follows. False (and the whole rest as
// head, `*s` empty) when there is no `c`.
bool span_split(Span *s, char c, Span *ret_head);
// Without ASCII white space at both ends.
Span span_trim(Span s);
// 64 well-mixed bits, the same in every process on machines of one byte order; not keyed, so never stored or trusted.
uint64_t span_hash(Span s);
// Decimal, whole span, no sign ('-' allowed for i64). False on anything else or overflow, *ret unchanged.
MUST_CHECK bool span_parse_u64(Span s, uint64_t *ret);
MUST_CHECK bool span_parse_i64(Span s, int64_t *ret);
// Owned NUL-terminated copy.
char *span_dup(Span s);
