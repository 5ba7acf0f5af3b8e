// builtins_arith.c: arithmetic and comparison as functions. The operators are compiled; these are for `builtins.add` and for programs that
// rebind __sub, __mul, __div or __lessThan.
#include <math.h>

#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"

static bool expect_number(Vm *vm, Value v, const char *context) {
  if (LIKELY(value_is_int(v) || value_is_float(v))) return true;
  eval_error_type(vm, 0, "a float", v);
  eval_error_trace(vm, 0, "%s", context);
  return false;
}

static double to_double(Value v) {
  return value_is_float(v) ? value_get_float(v) : (double)value_get_int(v);
}

typedef struct Operands {
  bool floats;
  int64_t i, j;
  double x, y;
} Operands;

// Both operands: integers, or doubles when one of them is a float.
static bool take_operands(Vm *vm, Value *args, const char *first, const char *second, Operands *ret) {
  ret->floats = value_is_float(args[0]) || value_is_float(args[1]);
  if (ret->floats) {
    if (!expect_number(vm, args[0], first) || !expect_number(vm, args[1], second)) return false;
    ret->x = to_double(args[0]);
    ret->y = to_double(args[1]);
  } else {
    if (!expect_int(vm, args[0], first) || !expect_int(vm, args[1], second)) return false;
    ret->i = value_get_int(args[0]);
    ret->j = value_get_int(args[1]);
  }
  return true;
}

static Value overflow(Vm *vm, const char *doing, const Operands *o, char sign) {
  return eval_error(vm, EVAL_ERROR_EVAL, 0, "integer overflow in %s %lld %c %lld", doing, (long long)o->i, sign,
                    (long long)o->j);
}

static Value add_fn(Vm *vm, Value *args) {
  Operands o;
  if (!take_operands(vm, args, "while evaluating the first argument of the addition",
                     "while evaluating the second argument of the addition", &o))
    return VALUE_ERROR;
  if (o.floats) return vm_float(vm, o.x + o.y);
  int64_t r;
  return __builtin_add_overflow(o.i, o.j, &r) ? overflow(vm, "adding", &o, '+') : vm_int(vm, r);
}

Value builtins_arith_sub(Vm *vm, Value *args) {
  Operands o;
  if (!take_operands(vm, args, "while evaluating the first argument of the subtraction",
                     "while evaluating the second argument of the subtraction", &o))
    return VALUE_ERROR;
  if (o.floats) return vm_float(vm, o.x - o.y);
  int64_t r;
  return __builtin_sub_overflow(o.i, o.j, &r) ? overflow(vm, "subtracting", &o, '-') : vm_int(vm, r);
}

Value builtins_arith_mul(Vm *vm, Value *args) {
  Operands o;
  bool floats = value_is_float(args[0]) || value_is_float(args[1]);
  if (!take_operands(vm, args,
                     floats ? "while evaluating the first of the multiplication"
                            : "while evaluating the first argument of the multiplication",
                     "while evaluating the second argument of the multiplication", &o))
    return VALUE_ERROR;
  if (o.floats) return vm_float(vm, o.x * o.y);
  int64_t r;
  return __builtin_mul_overflow(o.i, o.j, &r) ? overflow(vm, "multiplying", &o, '*') : vm_int(vm, r);
}

Value builtins_arith_div(Vm *vm, Value *args) {
  if (!expect_number(vm, args[1], "while evaluating the second operand of the division")) return VALUE_ERROR;
  if (to_double(args[1]) == 0) return eval_error(vm, EVAL_ERROR_EVAL, 0, "division by zero");
  Operands o;
  if (!take_operands(vm, args, "while evaluating the first operand of the division",
                     "while evaluating the second operand of the division", &o))
    return VALUE_ERROR;
  if (o.floats) return vm_float(vm, o.x / o.y);
  if (o.i == INT64_MIN && o.j == -1) return overflow(vm, "dividing", &o, '/');
  return vm_int(vm, o.i / o.j);
}

static bool take_ints(Vm *vm, Value *args, const char *first, const char *second, int64_t *ret_a, int64_t *ret_b) {
  if (!expect_int(vm, args[0], first) || !expect_int(vm, args[1], second)) return false;
  *ret_a = value_get_int(args[0]);
  *ret_b = value_get_int(args[1]);
  return true;
}

static Value bit_and_fn(Vm *vm, Value *args) {
  int64_t a, b;
  return take_ints(vm, args, ARG1 "bitAnd", ARG2 "bitAnd", &a, &b) ? vm_int(vm, a & b) : VALUE_ERROR;
}

static Value bit_or_fn(Vm *vm, Value *args) {
  int64_t a, b;
  return take_ints(vm, args, ARG1 "bitOr", ARG2 "bitOr", &a, &b) ? vm_int(vm, a | b) : VALUE_ERROR;
}

static Value bit_xor_fn(Vm *vm, Value *args) {
  int64_t a, b;
  return take_ints(vm, args, ARG1 "bitXor", ARG2 "bitXor", &a, &b) ? vm_int(vm, a ^ b) : VALUE_ERROR;
}

// What the conversion instruction of x86 gives, and so C++ Nix: the smallest integer for everything out of range.
static int64_t double_to_int(double d) {
  return d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : INT64_MIN;
}

static Value ceil_fn(Vm *vm, Value *args) {
  if (!expect_number(vm, args[0], ARG1 "ceil")) return VALUE_ERROR;
  return vm_int(vm, double_to_int(ceil(to_double(args[0]))));
}

static Value floor_fn(Vm *vm, Value *args) {
  if (!expect_number(vm, args[0], ARG1 "floor")) return VALUE_ERROR;
  return vm_int(vm, double_to_int(floor(to_double(args[0]))));
}

static Step less_than_step(Native *n) {
  enum { A, B };
  NATIVE_BEGIN(n);
  if (value_is_int(n->slot[A]) && value_is_int(n->slot[B]))
    NATIVE_RETURN(n, value_bool(value_get_int(n->slot[A]) < value_get_int(n->slot[B])));
  if (value_is_string(n->slot[A]) && value_is_string(n->slot[B]))
    NATIVE_RETURN(n, value_bool(span_cmp(str_span(n->slot[A]), str_span(n->slot[B])) < 0));
  n->args[0] = n->slot[A];
  n->args[1] = n->slot[B];
  NATIVE_PUSH(n, &native_compare);
  NATIVE_RETURN(n, value_bool(value_small_int(n->result) < 0));
  NATIVE_END;
}

static const NativeDef less_than_native = {.name = "lessThan", .step = less_than_step, .arg_count = 2, .slot_count = 2};

static const Builtin rows[] = {
    {"add", 2, 3, 0, add_fn, NULL, "e1 e2", "Return the sum of the numbers *e1* and *e2*.", NULL, {NULL}},
    {"sub",
     2,
     3,
     0,
     builtins_arith_sub,
     NULL,
     "e1 e2",
     "Return the difference of the numbers *e1* and *e2*.",
     NULL,
     {NULL}},
    {"mul",
     2,
     3,
     0,
     builtins_arith_mul,
     NULL,
     "e1 e2",
     "Return the product of the numbers *e1* and *e2*.",
     NULL,
     {NULL}},
    {"div",
     2,
     3,
     0,
     builtins_arith_div,
     NULL,
     "e1 e2",
     "Return the quotient of the numbers *e1* and *e2*. That of two integers is an integer, rounded towards zero.",
     NULL,
     {NULL}},
    {"bitAnd",
     2,
     3,
     0,
     bit_and_fn,
     NULL,
     "e1 e2",
     "Return the bitwise AND of the integers *e1* and *e2*.",
     "ii",
     {ARG1 "bitAnd", ARG2 "bitAnd"}},
    {"bitOr",
     2,
     3,
     0,
     bit_or_fn,
     NULL,
     "e1 e2",
     "Return the bitwise OR of the integers *e1* and *e2*.",
     "ii",
     {ARG1 "bitOr", ARG2 "bitOr"}},
    {"bitXor",
     2,
     3,
     0,
     bit_xor_fn,
     NULL,
     "e1 e2",
     "Return the bitwise exclusive OR of the integers *e1* and *e2*.",
     "ii",
     {ARG1 "bitXor", ARG2 "bitXor"}},
    {"ceil",
     1,
     1,
     0,
     ceil_fn,
     NULL,
     "double",
     "Return the smallest integer that is not below the number *double*.",
     "n",
     {ARG1 "ceil"}},
    {"floor",
     1,
     1,
     0,
     floor_fn,
     NULL,
     "double",
     "Return the largest integer that is not above the number *double*.",
     "n",
     {ARG1 "floor"}},
    {"lessThan",
     2,
     3,
     0,
     NULL,
     &less_than_native,
     "e1 e2",
     "Return whether *e1* is less than *e2*: numbers by value, strings and paths bytewise, lists by their first "
     "elements that differ. Other "
     "values cannot be compared.",
     NULL,
     {NULL}},
};

const BuiltinTable builtins_arith_table = {rows, ARRAY_LEN(rows)};
