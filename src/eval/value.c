// value.c: types of values.
#include "eval/value.h"

ValueType value_type(Value v) {
  switch (value_tag(v)) {
  case TAG_INT: return TYPE_INT;
  case TAG_STR: return TYPE_STRING;
  case TAG_ATTRS: return TYPE_ATTRS;
  case TAG_LIST: return TYPE_LIST;
  case TAG_THUNK:
  case TAG_LAZY: return TYPE_THUNK;
  case TAG_IMM:
    if (v == VALUE_NULL) return TYPE_NULL;
    if (v == VALUE_EMPTY_LIST) return TYPE_LIST;
    if (v == VALUE_EMPTY_ATTRS) return TYPE_ATTRS;
    return value_is_bool(v) ? TYPE_BOOL : TYPE_LAMBDA;
  default: break;
  }
  switch (head_type(value_head(v))) {
  case T_FLOAT: return TYPE_FLOAT;
  case T_BIGINT: return TYPE_INT;
  case T_PATH: return TYPE_PATH;
  default: return TYPE_LAMBDA;
  }
}

const char *value_type_name(Value v) {
  static const char *const names[] = {"int",  "float", "bool", "string", "path",
                                      "null", "set",   "list", "lambda", "thunk"};
  return names[value_type(v)];
}
