// builtins_types.c: questions about the type of a value.
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"

static Value is_attrs_fn(Vm *vm, Value *args) {
  return value_bool(value_is_attrs(args[0]));
}
static Value is_bool_fn(Vm *vm, Value *args) {
  return value_bool(value_is_bool(args[0]));
}
static Value is_float_fn(Vm *vm, Value *args) {
  return value_bool(value_is_float(args[0]));
}
static Value is_function_fn(Vm *vm, Value *args) {
  return value_bool(value_is_function(args[0]));
}
static Value is_int_fn(Vm *vm, Value *args) {
  return value_bool(value_is_int(args[0]));
}
static Value is_list_fn(Vm *vm, Value *args) {
  return value_bool(value_is_list(args[0]));
}
static Value is_null_fn(Vm *vm, Value *args) {
  return value_bool(args[0] == VALUE_NULL);
}
static Value is_path_fn(Vm *vm, Value *args) {
  return value_bool(value_is_path(args[0]));
}
static Value is_string_fn(Vm *vm, Value *args) {
  return value_bool(value_is_string(args[0]));
}
static Value type_of_fn(Vm *vm, Value *args) {
  return str_symbol(vm, symbol_intern(vm->symbols, span_cstr(value_type_name(args[0]))));
}

static const Builtin rows[] = {
    {"isAttrs", 1, 1, 0, is_attrs_fn, NULL, "e", "Return whether *e* is a set.", NULL, {NULL}},
    {"isBool", 1, 1, 0, is_bool_fn, NULL, "e", "Return whether *e* is a Boolean.", NULL, {NULL}},
    {"isFloat", 1, 1, 0, is_float_fn, NULL, "e", "Return whether *e* is a float.", NULL, {NULL}},
    {"isFunction",
     1,
     1,
     0,
     is_function_fn,
     NULL,
     "e",
     "Return whether *e* is a function. A set with `__functor` can be called but is none.",
     NULL,
     {NULL}},
    {"isInt", 1, 1, 0, is_int_fn, NULL, "e", "Return whether *e* is an integer.", NULL, {NULL}},
    {"isList", 1, 1, 0, is_list_fn, NULL, "e", "Return whether *e* is a list.", NULL, {NULL}},
    {"isNull",
     1,
     1,
     BUILTIN_GLOBAL,
     is_null_fn,
     NULL,
     "e",
     "Return whether *e* is `null`. The same as `e == null`.",
     NULL,
     {NULL}},
    {"isPath", 1, 1, 0, is_path_fn, NULL, "e", "Return whether *e* is a path.", NULL, {NULL}},
    {"isString", 1, 1, 0, is_string_fn, NULL, "e", "Return whether *e* is a string.", NULL, {NULL}},
    {"typeOf",
     1,
     1,
     0,
     type_of_fn,
     NULL,
     "e",
     "Return the type of *e* as a string: `\"int\"`, `\"bool\"`, `\"string\"`, `\"path\"`, `\"null\"`, `\"set\"`, "
     "`\"list\"`, `\"lambda\"` or "
     "`\"float\"`.",
     NULL,
     {NULL}},
};

const BuiltinTable builtins_types_table = {rows, ARRAY_LEN(rows)};
