// span.c: the functions of span.h that are not worth inlining.
#include "base/span.h"

#include "base/mem.h"

size_t span_find_char(Span s, char c) {
  const char *hit = s.len ? memchr(s.data, c, s.len) : NULL;
  return hit ? (size_t)(hit - s.data) : SIZE_MAX;
}

size_t span_rfind_char(Span s, char c) {
  const char *hit = s.len ? memrchr(s.data, c, s.len) : NULL;
  return hit ? (size_t)(hit - s.data) : SIZE_MAX;
}

size_t span_find(Span s, Span needle) {
  if (needle.len == 0) return 0;
  const char *hit = s.len ? memmem(s.data, s.len, needle.data, needle.len) : NULL;
  return hit ? (size_t)(hit - s.data) : SIZE_MAX;
}

bool span_split(Span *s, char c, Span *ret_head) {
  size_t at = span_find_char(*s, c);
  if (at == SIZE_MAX) {
    *ret_head = *s;
    *s = span_from(*s, s->len);
    return false;
  }
  *ret_head = span_sub(*s, 0, at);
  *s = span_from(*s, at + 1);
  return true;
}

uint64_t span_head_number(Span s) {
  uint64_t number = 0;
  if (s.len) memcpy(&number, s.data, s.len < sizeof number ? s.len : sizeof number);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  number = __builtin_bswap64(number);
#endif
  return number;
}

static bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

Span span_trim(Span s) {
  while (s.len && is_blank(s.data[0])) s = span_from(s, 1);
  while (s.len && is_blank(s.data[s.len - 1])) s.len--;
  return s;
}

// The two halves of a 64x64-bit product, xored: every input bit reaches every output bit.
static uint64_t fold_multiply(uint64_t a, uint64_t b) {
  __uint128_t product = (__uint128_t)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Eight bytes a step with folded multiplication, the construction of wyhash. The constants are odd with about as many
// ones as zeros. Not keyed: do not let it decide anything that an adversary may observe but running time.
uint64_t span_hash(Span s) {
  const uint64_t k0 = 0x9e3779b97f4a7c15, k1 = 0xd6e8feb86659fd93;
  uint64_t state = k0 ^ s.len;
  const char *p = s.data;
  size_t left = s.len;
  uint64_t word;
  for (; left >= 8; p += 8, left -= 8) {
    memcpy(&word, p, 8);
    state = fold_multiply(state ^ word, k1);
  }
  word = 0;
  if (left) memcpy(&word, p, left);
  return fold_multiply(state ^ word, k0);
}

bool span_parse_u64(Span s, uint64_t *ret) {
  uint64_t value = 0;
  if (s.len == 0) return false;
  for (size_t i = 0; i < s.len; i++) {
    if (s.data[i] < '0' || s.data[i] > '9') return false;
    if (__builtin_mul_overflow(value, (uint64_t)10, &value)) return false;
    if (__builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value)) return false;
  }
  *ret = value;
  return true;
}

bool span_parse_i64(Span s, int64_t *ret) {
  bool negative = s.len && s.data[0] == '-';
  uint64_t magnitude;
  if (!span_parse_u64(negative ? span_from(s, 1) : s, &magnitude)) return false;
  if (magnitude > (uint64_t)INT64_MAX + negative) return false;
  *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
  return true;
}

char *span_dup(Span s) {
  char *copy = mem_alloc(s.len + 1);
  if (s.len) memcpy(copy, s.data, s.len);
  copy[s.len] = 0;
  return copy;
}
