// structured_attrs.c: see structured_attrs.h.
#include "realise/structured_attrs.h"

#include <limits.h>
#include <math.h>

static void put_shell_string(Buf *ret, Span s) {
  buf_put_char(ret, '\'');
  for (size_t i = 0; i < s.len; i++) {
    if (s.data[i] == '\'') buf_put_cstr(ret, "'\\''");
    else buf_put_char(ret, s.data[i]);
  }
  buf_put_char(ret, '\'');
}

// nlohmann's get<int>(): a static_cast from what is stored. From a double out of range that is undefined in C; on x86-64, where
// the reference runs, it gives INT_MIN.
static int as_int(const JsonTree *value) {
  if (value->kind == JSON_TREE_INT) return (int)(uint32_t)(uint64_t)value->integer;
  if (value->kind == JSON_TREE_UINT) return (int)(uint32_t)value->uinteger;
  return value->number > -2147483649.0 && value->number < 2147483648.0 ? (int)value->number : INT_MIN;
}

static float as_float(const JsonTree *value) {
  return value->kind == JSON_TREE_INT    ? (float)value->integer
         : value->kind == JSON_TREE_UINT ? (float)value->uinteger
                                         : (float)value->number;
}

// False when bash has nothing like it.
static bool put_simple(Buf *ret, const JsonTree *value) {
  switch (value->kind) {
  case JSON_TREE_STRING: put_shell_string(ret, value->string); return true;
  case JSON_TREE_NULL: buf_put_cstr(ret, "''"); return true;
  case JSON_TREE_BOOL: buf_put_cstr(ret, value->boolean ? "1" : ""); return true;
  case JSON_TREE_INT:
  case JSON_TREE_UINT:
  case JSON_TREE_FLOAT: {
    float number = as_float(value);
    if (!(ceilf(number) == number)) return false;
    buf_put_i64(ret, as_int(value));
    return true;
  }
  case JSON_TREE_ARRAY:
  case JSON_TREE_OBJECT: break;
  }
  return false;
}

static bool put_array(Buf *ret, const JsonTree *value) {
  for (size_t i = 0; i < value->count; i++) {
    if (!put_simple(ret, &value->items[i])) return false;
    buf_put_char(ret, ' ');
  }
  return true;
}

static bool put_object(Buf *ret, const JsonTree *value) {
  for (size_t i = 0; i < value->count; i++) {
    buf_put_char(ret, '[');
    put_shell_string(ret, value->items[i].key);
    buf_put_cstr(ret, "]=");
    if (!put_simple(ret, &value->items[i])) return false;
    buf_put_char(ret, ' ');
  }
  return true;
}

static bool is_shell_name(Span s) {
  if (!s.len || (s.data[0] >= '0' && s.data[0] <= '9')) return false;
  for (size_t i = 0; i < s.len; i++) {
    char c = s.data[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

static bool put_member(Buf *ret, const JsonTree *member) {
  bool is_array = member->kind == JSON_TREE_ARRAY, is_object = member->kind == JSON_TREE_OBJECT;
  buf_printf(ret, "declare %s%.*s=%s",
             is_array    ? "-a "
             : is_object ? "-A "
                         : "",
             SPAN_ARG(member->key), is_array || is_object ? "(" : "");
  if (!(is_array ? put_array(ret, member) : is_object ? put_object(ret, member) : put_simple(ret, member)))
    return false;
  buf_put_cstr(ret, is_array || is_object ? ")\n" : "\n");
  return true;
}

void structured_attrs_format_shell(const JsonTree *attrs, Buf *ret) {
  for (size_t i = 0; i < attrs->count; i++) {
    size_t mark = ret->len;
    if (!is_shell_name(attrs->items[i].key) || !put_member(ret, &attrs->items[i])) ret->len = mark;
  }
}
