// nar_names.h: the last entry name of each open directory of an archive, for the reader and the writer to compare the next one with:
// a stack in a Buf, each name followed by its length.
#pragma once

#include "base/buf.h"

// The innermost directory's; empty before its first entry, and when no directory is open. Valid until the next push.
static inline Span nar_names_last(const Buf *names) {
  if (names->len == 0) return (Span){"", 0};
  uint16_t len;
  memcpy(&len, names->data + names->len - sizeof(len), sizeof(len));
  return span_make(names->data + names->len - sizeof(len) - len, len);
}
// `name` is at most NAR_READ_NAME_MAX bytes, and not in `names` itself.
static inline void nar_names_push(Buf *names, Span name) {
  uint16_t len = (uint16_t)name.len;
  buf_put_span(names, name);
  buf_put(names, &len, sizeof(len));
}
static inline void nar_names_pop(Buf *names) {
  names->len -= nar_names_last(names).len + sizeof(uint16_t);
}
