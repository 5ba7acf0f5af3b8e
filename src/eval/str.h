// str.h: strings and paths: bytes without NUL restrictions, and for strings a context.
#pragma once

#include "eval/context.h"
#include "eval/vm.h"

// Of a string or path value. Borrowed until the next safepoint.
static inline Span str_span(Value v) {
  const String *s = (const String *)value_ptr(v);
  size_t len = (size_t)head_payload(s->head);
  unsigned flags = head_flags(s->head);
  if (LIKELY(!(flags & (STR_EXTERN | STR_SLICE)))) return span_make(s->bytes, len);
  if (flags & STR_EXTERN) return span_make(s->external, len);
  return span_make(s->slice.owner->bytes + s->slice.offset, len);
}
static inline const Context *str_context(Value v) {
  return ((const String *)value_ptr(v))->context;
}
Value str_new(Vm *vm, Span text, const Context *context); // copies
static inline Value str_plain(Vm *vm, Span text) {
  return str_new(vm, text, NULL);
}
Value str_printf(Vm *vm, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Uninitialised string of `len` bytes to be filled before the next safepoint (*ret_bytes; the NUL is there).
Value str_alloc(Vm *vm, size_t len, const Context *context, char **ret_bytes);
Value str_path(Vm *vm, Span canonical_path);
// a + b; extends an append buffer in place where `a` is its end, so that a left fold is linear.
Value str_concat(Vm *vm, Value a, Value b, const Context *context);
Value str_sub(Vm *vm, Value s, size_t start, size_t len); // keeps the context; clamped
Value str_with_context(Vm *vm, Value s, const Context *context);
Value str_symbol(Vm *vm, Sym name);   // the name as a string value, no allocation
Sym str_intern(Vm *vm, Value s);      // symbol of a string's text
Sym str_find_symbol(Vm *vm, Value s); // the same, SYMBOL_NONE when nobody has interned the text
