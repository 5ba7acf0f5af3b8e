// str.c: strings; long concatenations go into append buffers (T_BYTES) that later ones extend in place.
#include "eval/str.h"

#include "base/buf.h"

#define STR_BUFFER_MIN 256 // shorter results are plain copies

static String *str_init(Vm *vm, size_t size, unsigned type, unsigned flags, size_t len, const Context *context) {
  String *s = heap_alloc(&vm->heap, size);
  s->head = HEAD(type, flags, len);
  s->context = context;
  return s;
}

static String *str_flat(Vm *vm, unsigned type, size_t len, const Context *context) {
  size_t body = len + 1 < 8 ? 8 : len + 1;
  String *s = str_init(vm, offsetof(String, bytes) + body, type, 0, len, context);
  ((char *)s + offsetof(String, bytes))[len] = 0; // behind the declared bounds of the array
  return s;
}

Value str_alloc(Vm *vm, size_t len, const Context *context, char **ret_bytes) {
  String *s = str_flat(vm, T_STRING, len, context);
  *ret_bytes = s->bytes;
  return value_from_ptr(s, TAG_STR);
}

Value str_new(Vm *vm, Span text, const Context *context) {
  char *bytes;
  Value v = str_alloc(vm, text.len, context, &bytes);
  if (text.len) memcpy(bytes, text.data, text.len);
  return v;
}

Value str_printf(Vm *vm, const char *fmt, ...) {
  Buf buf = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&buf, fmt, args);
  va_end(args);
  Value v = str_plain(vm, buf_span(&buf));
  buf_done(&buf);
  return v;
}

Value str_path(Vm *vm, Span path) {
  String *s = str_flat(vm, T_PATH, path.len, NULL);
  memcpy(s->bytes, path.data, path.len);
  return value_from_ptr(s, TAG_OBJ);
}

static Value str_slice_of(Vm *vm, Bytes *owner, uint64_t offset, size_t len, const Context *context) {
  String *s = str_init(vm, sizeof(Head) + 3 * sizeof(uint64_t), T_STRING, STR_SLICE, len, context);
  s->slice.owner = owner;
  s->slice.offset = offset;
  return value_from_ptr(s, TAG_STR);
}

Value str_concat(Vm *vm, Value a, Value b, const Context *context) {
  Span x = str_span(a), y = str_span(b);
  size_t total = x.len + y.len;
  if (total < STR_BUFFER_MIN) {
    char *bytes;
    Value v = str_alloc(vm, total, context, &bytes);
    memcpy(bytes, x.data, x.len);
    memcpy(bytes + x.len, y.data, y.len);
    return v;
  }
  String *left = value_ptr(a);
  if (head_flags(left->head) & STR_SLICE) {
    Bytes *owner = left->slice.owner;
    uint64_t end = left->slice.offset + x.len;
    if (owner->used == end && end + y.len <= head_payload(owner->head)) {
      memcpy(owner->bytes + end, y.data, y.len);
      owner->used = end + y.len;
      return str_slice_of(vm, owner, left->slice.offset, total, context);
    }
  }
  size_t cap = total * 2;
  Bytes *owner = heap_alloc(&vm->heap, sizeof(Bytes) + cap);
  owner->head = HEAD(T_BYTES, 0, cap);
  owner->used = total;
  memcpy(owner->bytes, x.data, x.len);
  memcpy(owner->bytes + x.len, y.data, y.len);
  return str_slice_of(vm, owner, 0, total, context);
}

Value str_sub(Vm *vm, Value s, size_t start, size_t len) {
  Span text = str_span(s), part = span_sub(text, start, len);
  if (part.len == text.len) return s;
  const String *str = value_ptr(s);
  if (part.len >= STR_BUFFER_MIN && head_flags(str->head) & STR_SLICE)
    return str_slice_of(vm, str->slice.owner, str->slice.offset + start, part.len, str->context);
  return str_new(vm, part, str->context);
}

Value str_with_context(Vm *vm, Value s, const Context *context) {
  const String *str = value_ptr(s);
  if (str->context == context) return s;
  if (head_flags(str->head) & STR_SLICE)
    return str_slice_of(vm, str->slice.owner, str->slice.offset, (size_t)head_payload(str->head), context);
  return str_new(vm, str_span(s), context);
}

Value str_symbol(Vm *vm, Sym name) {
  return symbol_string(vm->symbols, name);
}

static Sym str_known_symbol(Value s) {
  const String *string = value_ptr(s);
  return head_flags(string->head) & STR_SYMBOL ? symbol_of_string(string) : SYMBOL_NONE;
}

Sym str_intern(Vm *vm, Value s) {
  Sym sym = str_known_symbol(s);
  if (!sym) sym = symbol_intern(vm->symbols, str_span(s));
  (void)symbol_order(vm->symbols, sym); // it is named now
  return sym;
}

Sym str_find_symbol(Vm *vm, Value s) {
  Sym sym = str_known_symbol(s);
  return sym ? sym : symbol_find(vm->symbols, str_span(s));
}
