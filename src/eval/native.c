// native.c: natives that the VM itself and many builtins use.
#include "eval/native.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/fs.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/str.h"
#include "eval/vm_state.h"
#include "eval/vm_trace.h"

#define NATIVE_AHEAD_BUDGET 10000 // values that one deep spark looks at

// ---- force ----

static Step native_force_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[0]);
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}
const NativeDef native_force = {.name = "force", .step = native_force_step, .arg_count = 1, .slot_count = 1};

static Step native_leaf_result_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[0]);
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}
const NativeDef native_leaf_result = {.name = "leaf", .step = native_leaf_result_step, .arg_count = 2, .slot_count = 2};

// ---- calls of builtins whose strict arguments are not evaluated yet, or that have to wait ----

enum { STRICT_BUILTIN, STRICT_I, STRICT_ARGS };

static const Builtin *native_strict_builtin(const Native *n) {
  return n->vm->builtins[value_get_raw(n->slot[STRICT_BUILTIN])];
}

// The argument whose turn it is.
static unsigned native_strict_arg(const Native *n) {
  const Builtin *b = native_strict_builtin(n);
  unsigned i = (unsigned)native_get(n, STRICT_I);
  return b->flags & BUILTIN_REVERSE ? b->arity - 1u - i : i;
}

static Step native_strict_step(Native *n) {
  const Builtin *b = native_strict_builtin(n);
  NATIVE_BEGIN(n);
  for (native_set(n, STRICT_I, 0); native_get(n, STRICT_I) < b->arity; native_add(n, STRICT_I, 1)) {
    if (!(b->strict >> native_strict_arg(n) & 1)) continue;
    NATIVE_FORCE(n, n->slot[STRICT_ARGS + native_strict_arg(n)]);
    n->slot[STRICT_ARGS + native_strict_arg(n)] = n->result;
    // Before the next one is evaluated, which may print something.
    if (!builtin_check_arg(n->vm, b, native_strict_arg(n), n->result)) {
      native_set(n, STRICT_I, b->arity); // nothing is left to blame
      return STEP_ERROR;
    }
  }
  if (b->native) {
    for (unsigned i = 0; i < b->arity; i++) n->args[i] = n->slot[STRICT_ARGS + i];
    n->push_def = b->native;
    return STEP_TAIL_PUSH;
  }
  for (;;) {
    n->result = b->fn(n->vm, n->slot + STRICT_ARGS);
    if (n->result == VALUE_ERROR) return STEP_ERROR;
    if (n->result != VALUE_PARK) break;
    NATIVE_PARK(n);
  }
  NATIVE_FORCE(n, n->result); // in this frame, so that the trace names the builtin
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static void native_strict_sparks(Native *n, SparkSink *sink) {
  const Builtin *b = native_strict_builtin(n);
  for (int64_t i = native_get(n, STRICT_I) + 1; i < b->arity; i++)
    if (b->strict >> i & 1) spark_add(sink, n->slot[STRICT_ARGS + i]);
}

static void native_strict_trace(Native *n) {
  const Builtin *b = native_strict_builtin(n);
  if (native_get(n, STRICT_I) < b->arity) builtin_blame(n->vm, b, n->slot + STRICT_ARGS, native_strict_arg(n));
}

const NativeDef native_strict_call = {.name = "builtin",
                                      .step = native_strict_step,
                                      .arg_count = STRICT_ARGS + BUILTIN_MAX_ARITY,
                                      .slot_count = STRICT_ARGS + BUILTIN_MAX_ARITY,
                                      .sparks = native_strict_sparks,
                                      .trace = native_strict_trace};

// ---- deep forcing ----
// The object is flagged while and after it is forced, so that shared parts are visited once and cycles end. An error takes the flag
// off again.

enum { DEEP_VALUE, DEEP_I, DEEP_AHEAD };

static size_t native_child_count(Value v) {
  if (value_tag(v) == TAG_LIST) return list_count(v);
  return value_tag(v) == TAG_ATTRS ? attrs_flat_shape(v)->count : 0;
}

static Value native_child(Vm *vm, Value v, size_t i) {
  return value_tag(v) == TAG_LIST ? list_get(vm, v, i) : attrs_slot(vm, v, attrs_nth(vm, v, i));
}

static bool native_is_scalar(Value v) {
  v = value_ask(v);
  return value_is_whnf(v) && value_tag(v) != TAG_LIST && value_tag(v) != TAG_ATTRS;
}

static Step native_deep_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[DEEP_VALUE]);
  if (native_is_scalar(n->result)) NATIVE_RETURN(n, n->result);
  if (value_tag(n->result) == TAG_ATTRS) n->result = attrs_flatten(n->vm, n->result);
  n->slot[DEEP_VALUE] = n->result;
  if (head_flags(value_head(n->result)) & OBJ_DEEP) NATIVE_RETURN(n, n->result);
  ((Object *)value_ptr(n->result))->head |= HEAD(0, OBJ_DEEP, 0);
  native_set(n, DEEP_AHEAD, 0);
  for (native_set(n, DEEP_I, 0); native_get(n, DEEP_I) < (int64_t)native_child_count(n->slot[DEEP_VALUE]);
       native_add(n, DEEP_I, 1)) {
    n->args[0] = native_child(n->vm, n->slot[DEEP_VALUE], (size_t)native_get(n, DEEP_I));
    if (native_is_scalar(n->args[0])) continue;
    NATIVE_PUSH(n, &native_deep_force);
  }
  NATIVE_RETURN(n, n->slot[DEEP_VALUE]);
  NATIVE_END;
}

static void native_deep_sparks(Native *n, SparkSink *sink) {
  Value v = n->slot[DEEP_VALUE];
  if (!value_is_whnf(v) || n->slot[DEEP_I] == VALUE_NULL) return;
  int64_t i = native_get(n, DEEP_AHEAD);
  if (i <= native_get(n, DEEP_I)) i = native_get(n, DEEP_I) + 1;
  for (; i < (int64_t)native_child_count(v) && !spark_full(sink); i++) {
    Value child = native_child(n->vm, v, (size_t)i);
    if (!native_is_scalar(child))
      spark_add_native(sink, &native_deep_ahead, (Value[]){child, value_raw(NATIVE_AHEAD_BUDGET)}, 2);
  }
  native_set(n, DEEP_AHEAD, i);
}

static void native_deep_trace(Native *n) {
  Value v = n->slot[DEEP_VALUE];
  if (!value_is_whnf(v) || native_is_scalar(v)) return;
  ((Object *)value_ptr(v))->head &= ~HEAD(0, OBJ_DEEP, 0);
  if (value_tag(v) != TAG_ATTRS || n->slot[DEEP_I] == VALUE_NULL) return;
  uint32_t i = attrs_nth(n->vm, v, (size_t)native_get(n, DEEP_I));
  Buf name = BUF_INIT;
  print_attr_name(symbol_text(n->vm->symbols, attrs_flat_shape(v)->names[i]), &name);
  eval_error_trace(n->vm, shape_position(attrs_flat_shape(v), i), "while evaluating the attribute '%s'",
                   buf_cstr(&name));
  buf_done(&name);
}

const NativeDef native_deep_force = {.name = "deepSeq",
                                     .step = native_deep_step,
                                     .arg_count = 1,
                                     .slot_count = 3,
                                     .sparks = native_deep_sparks,
                                     .trace = native_deep_trace};

enum { AHEAD_VALUE, AHEAD_BUDGET, AHEAD_I };

static Step native_ahead_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[AHEAD_VALUE]);
  if (native_is_scalar(n->result) || !value_get_raw(n->slot[AHEAD_BUDGET])) NATIVE_RETURN(n, n->slot[AHEAD_BUDGET]);
  if (value_tag(n->result) == TAG_ATTRS) n->result = attrs_flatten(n->vm, n->result);
  n->slot[AHEAD_VALUE] = n->result;
  if (head_flags(value_head(n->result)) & OBJ_DEEP) NATIVE_RETURN(n, n->slot[AHEAD_BUDGET]);
  for (native_set(n, AHEAD_I, 0); native_get(n, AHEAD_I) < (int64_t)native_child_count(n->slot[AHEAD_VALUE]);
       native_add(n, AHEAD_I, 1)) {
    if (!value_get_raw(n->slot[AHEAD_BUDGET])) break;
    n->slot[AHEAD_BUDGET] = value_raw(value_get_raw(n->slot[AHEAD_BUDGET]) - 1);
    n->args[0] = native_child(n->vm, n->slot[AHEAD_VALUE], (size_t)native_get(n, AHEAD_I));
    n->args[1] = n->slot[AHEAD_BUDGET];
    if (native_is_scalar(n->args[0])) continue;
    NATIVE_PUSH(n, &native_deep_ahead);
    n->slot[AHEAD_BUDGET] = n->result;
  }
  NATIVE_RETURN(n, n->slot[AHEAD_BUDGET]);
  NATIVE_END;
}

static void native_ahead_sparks(Native *n, SparkSink *sink) {
  Value v = n->slot[AHEAD_VALUE];
  if (!value_is_whnf(v) || n->slot[AHEAD_I] == VALUE_NULL) return;
  for (size_t i = (size_t)native_get(n, AHEAD_I) + 1; i < native_child_count(v) && !spark_full(sink); i++)
    spark_add(sink, native_child(n->vm, v, i));
}

const NativeDef native_deep_ahead = {
    .name = "deepSeq", .step = native_ahead_step, .arg_count = 2, .slot_count = 3, .sparks = native_ahead_sparks};

// ---- equality ----

enum { EQUAL_A, EQUAL_B, EQUAL_I };

// Two values of different or simple types; *ret_deep when their insides have to be compared.
static bool native_equal_shallow(Value a, Value b, bool *ret_deep) {
  *ret_deep = false;
  if (value_is_int(a) && value_is_int(b)) return value_get_int(a) == value_get_int(b);
  if (value_is_float(a) || value_is_float(b)) {
    if (value_is_float(a) && value_is_float(b)) return value_get_float(a) == value_get_float(b);
    if (value_is_int(a)) return (double)value_get_int(a) == value_get_float(b);
    if (value_is_int(b)) return value_get_float(a) == (double)value_get_int(b);
    return false;
  }
  ValueType type = value_type(a);
  if (type != value_type(b)) return false;
  if (type == TYPE_STRING || type == TYPE_PATH) return span_eq(str_span(a), str_span(b));
  if (type == TYPE_LIST) {
    *ret_deep = list_count(a) == list_count(b);
    return *ret_deep;
  }
  if (type == TYPE_ATTRS) {
    *ret_deep = true;
    return true;
  }
  return type != TYPE_LAMBDA && a == b;
}

// Whether the i-th attributes of two sets of the same size have different names: only there the sets differ, those before are
// compared first, and may fail.
static bool native_names_part(Vm *vm, Value a, Value b, size_t i) {
  if (value_tag(a) != TAG_ATTRS) return false;
  const Shape *x = attrs_flat_shape(a), *y = attrs_flat_shape(b);
  return x != y && x->names[attrs_nth(vm, a, i)] != y->names[attrs_nth(vm, b, i)];
}

// Whether `type` of the set, in n->result and evaluated, says that it is a derivation.
static bool native_says_derivation(Value type) {
  return value_is_string(type) && span_eq(str_span(type), SPAN("derivation"));
}

static Step native_equal_step(Native *n) {
  bool deep;
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[EQUAL_A]);
  n->slot[EQUAL_A] = n->result;
  NATIVE_FORCE(n, n->slot[EQUAL_B]);
  n->slot[EQUAL_B] = n->result;
  if (!native_equal_shallow(n->slot[EQUAL_A], n->slot[EQUAL_B], &deep)) NATIVE_RETURN(n, VALUE_FALSE);
  if (!deep || n->slot[EQUAL_A] == VALUE_EMPTY_LIST) NATIVE_RETURN(n, VALUE_TRUE);
  if (value_tag(n->slot[EQUAL_A]) == TAG_LIST) goto children;
  // Derivations are compared by output path. Whether they are derivations is found out first, also of sets of different sizes.
  if (attrs_has(n->slot[EQUAL_A], SYM_type)) {
    NATIVE_FORCE(n, attrs_get(n->vm, n->slot[EQUAL_A], SYM_type));
    if (native_says_derivation(n->result) && attrs_has(n->slot[EQUAL_B], SYM_type)) {
      NATIVE_FORCE(n, attrs_get(n->vm, n->slot[EQUAL_B], SYM_type));
      if (native_says_derivation(n->result) && attrs_has(n->slot[EQUAL_A], SYM_out_path) &&
          attrs_has(n->slot[EQUAL_B], SYM_out_path)) {
        n->args[0] = attrs_get(n->vm, n->slot[EQUAL_A], SYM_out_path);
        n->args[1] = attrs_get(n->vm, n->slot[EQUAL_B], SYM_out_path);
        NATIVE_PUSH(n, &native_equal); // not in our place: a set may be its own outPath
        return STEP_RETURN;
      }
    }
  }
  if (n->slot[EQUAL_A] == VALUE_EMPTY_ATTRS || n->slot[EQUAL_B] == VALUE_EMPTY_ATTRS)
    NATIVE_RETURN(n, value_bool(n->slot[EQUAL_A] == n->slot[EQUAL_B]));
  n->slot[EQUAL_A] = attrs_flatten(n->vm, n->slot[EQUAL_A]);
  n->slot[EQUAL_B] = attrs_flatten(n->vm, n->slot[EQUAL_B]);
  if (native_child_count(n->slot[EQUAL_A]) != native_child_count(n->slot[EQUAL_B])) NATIVE_RETURN(n, VALUE_FALSE);
children:
  for (native_set(n, EQUAL_I, 0); native_get(n, EQUAL_I) < (int64_t)native_child_count(n->slot[EQUAL_A]);
       native_add(n, EQUAL_I, 1)) {
    if (native_names_part(n->vm, n->slot[EQUAL_A], n->slot[EQUAL_B], (size_t)native_get(n, EQUAL_I)))
      NATIVE_RETURN(n, VALUE_FALSE);
    NATIVE_FORCE(n, native_child(n->vm, n->slot[EQUAL_A], (size_t)native_get(n, EQUAL_I)));
    NATIVE_FORCE(n, native_child(n->vm, n->slot[EQUAL_B], (size_t)native_get(n, EQUAL_I)));
    n->args[0] = native_child(n->vm, n->slot[EQUAL_A], (size_t)native_get(n, EQUAL_I));
    n->args[1] = native_child(n->vm, n->slot[EQUAL_B], (size_t)native_get(n, EQUAL_I));
    if (n->args[0] == n->args[1]) continue; // also the very same builtin, see value_keeps_thunk
    n->args[0] = value_ask(n->args[0]);
    n->args[1] = value_ask(n->args[1]);
    // The very same function or set, even one whose values fail.
    if (n->args[0] == n->args[1] && !value_is_builtin(n->args[0])) continue;
    if (native_is_scalar(n->args[0]) && native_is_scalar(n->args[1])) {
      if (!native_equal_shallow(n->args[0], n->args[1], &deep)) NATIVE_RETURN(n, VALUE_FALSE);
      continue;
    }
    NATIVE_PUSH(n, &native_equal);
    if (n->result == VALUE_FALSE) NATIVE_RETURN(n, VALUE_FALSE);
  }
  NATIVE_RETURN(n, VALUE_TRUE);
  NATIVE_END;
}

static void native_equal_sparks(Native *n, SparkSink *sink) {
  spark_add(sink, n->slot[EQUAL_B]);
}

const NativeDef native_equal = {
    .name = "==", .step = native_equal_step, .arg_count = 2, .slot_count = 3, .sparks = native_equal_sparks};

// ---- order ----

static int native_order(double a, double b) {
  return a < b ? -1 : a > b;
}

static bool native_to_double(Value v, double *ret) {
  if (value_is_int(v)) *ret = (double)value_get_int(v);
  else if (value_is_float(v)) *ret = value_get_float(v);
  else return false;
  return true;
}

// VALUE_ABSENT when both are lists.
static Value native_compare_shallow(Vm *vm, Value a, Value b) {
  if (value_is_int(a) && value_is_int(b)) {
    int64_t x = value_get_int(a), y = value_get_int(b);
    return value_int(x < y ? -1 : x > y);
  }
  double x, y;
  if (native_to_double(a, &x) && native_to_double(b, &y)) return value_int(native_order(x, y));
  ValueType type = value_type(a);
  if (type == value_type(b)) {
    if (type == TYPE_STRING || type == TYPE_PATH) {
      int c = span_cmp(str_span(a), str_span(b));
      return value_int(c < 0 ? -1 : c > 0);
    }
    if (type == TYPE_LIST) return VALUE_ABSENT;
    return eval_error(vm, EVAL_ERROR_TYPE, 0, "cannot compare %s with %s; values of that type are incomparable",
                      eval_error_type_phrase(vm, a), eval_error_type_phrase(vm, b));
  }
  return eval_error(vm, EVAL_ERROR_TYPE, 0, "cannot compare %s with %s", eval_error_type_phrase(vm, a),
                    eval_error_type_phrase(vm, b));
}

static Step native_compare_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[EQUAL_A]);
  n->slot[EQUAL_A] = n->result;
  NATIVE_FORCE(n, n->slot[EQUAL_B]);
  n->slot[EQUAL_B] = n->result;
  n->result = native_compare_shallow(n->vm, n->slot[EQUAL_A], n->slot[EQUAL_B]);
  if (n->result == VALUE_ERROR) return STEP_ERROR;
  if (n->result != VALUE_ABSENT) return STEP_RETURN;
  for (native_set(n, EQUAL_I, 0);; native_add(n, EQUAL_I, 1)) {
    size_t i = (size_t)native_get(n, EQUAL_I);
    if (i == list_count(n->slot[EQUAL_B])) NATIVE_RETURN(n, value_int(i < list_count(n->slot[EQUAL_A])));
    if (i == list_count(n->slot[EQUAL_A])) NATIVE_RETURN(n, value_int(-1));
    NATIVE_FORCE(n, list_get(n->vm, n->slot[EQUAL_A], (size_t)native_get(n, EQUAL_I)));
    NATIVE_FORCE(n, list_get(n->vm, n->slot[EQUAL_B], (size_t)native_get(n, EQUAL_I)));
    n->args[0] = value_ask(list_get(n->vm, n->slot[EQUAL_A], (size_t)native_get(n, EQUAL_I)));
    n->args[1] = n->result;
    if (n->args[0] == n->args[1]) continue; // as in native_equal
    NATIVE_PUSH(n, &native_equal);
    if (n->result == VALUE_TRUE) continue;
    n->args[0] = list_get(n->vm, n->slot[EQUAL_A], (size_t)native_get(n, EQUAL_I));
    n->args[1] = list_get(n->vm, n->slot[EQUAL_B], (size_t)native_get(n, EQUAL_I));
    native_set(n, EQUAL_I, -1); // the elements that differ are being compared
    NATIVE_PUSH(n, &native_compare);
    NATIVE_RETURN(n, n->result);
  }
  NATIVE_END;
}

static void native_compare_trace(Native *n) {
  if (n->slot[EQUAL_I] == value_int(-1)) eval_error_trace(n->vm, 0, "while comparing two list elements");
}

const NativeDef native_compare = {.name = "<",
                                  .step = native_compare_step,
                                  .arg_count = 2,
                                  .slot_count = 3,
                                  .trace = native_compare_trace,
                                  .sparks = native_equal_sparks};

static Step native_less_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[0];
  n->args[1] = n->slot[1];
  NATIVE_PUSH(n, &native_compare);
  NATIVE_RETURN(n, value_bool(value_small_int(n->result) < 0));
  NATIVE_END;
}
const NativeDef native_less_than = {.name = "lessThan", .step = native_less_step, .arg_count = 2, .slot_count = 2};

// ---- coercion to strings ----

enum { COERCE_VALUE, COERCE_FLAGS, COERCE_I, COERCE_RESULT };

static Value native_coerce_error(Vm *vm, Value v) {
  return eval_error_coerce(vm, 0, v);
}

// Simple types with COERCE_MORE; VALUE_ABSENT for others.
static Value native_coerce_scalar(Vm *vm, Value v) {
  if (v == VALUE_TRUE) return str_plain(vm, SPAN("1"));
  if (v == VALUE_FALSE || v == VALUE_NULL) return str_plain(vm, SPAN(""));
  if (value_is_int(v)) return str_printf(vm, "%" PRId64, value_get_int(v));
  if (value_is_float(v)) return str_printf(vm, "%f", value_get_float(v));
  return VALUE_ABSENT;
}

// A path as a string; VALUE_PARK with n->wait set.
static Value native_coerce_path_string(Native *n, Value path, int64_t flags) {
  Vm *vm = n->vm;
  if (!(flags & COERCE_COPY)) return str_plain(vm, str_span(path));
  Buf store_path = BUF_INIT;
  Err err = ERR_INIT;
  Value v = VALUE_ERROR;
  switch (
      vm->io->ops->copy_to_store(vm->io, str_span(path), fs_path_base(str_span(path)), &store_path, &n->wait, &err)) {
  case EVAL_IO_OK: v = str_new(vm, buf_span(&store_path), context_of(vm->contexts, buf_span(&store_path))); break;
  case EVAL_IO_PENDING: v = VALUE_PARK; break;
  case EVAL_IO_ERROR: v = eval_error_from_err(vm, EVAL_ERROR_IO, 0, &err); break;
  }
  buf_done(&store_path);
  return v;
}

static bool native_is_empty_list(Value v) {
  return value_follow(v) == VALUE_EMPTY_LIST;
}

static Step native_coerce_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[COERCE_VALUE]);
  n->slot[COERCE_VALUE] = n->result;
  if (value_is_string(n->result)) return STEP_RETURN;
  if (value_is_path(n->result)) {
    for (;;) {
      n->result = native_coerce_path_string(n, n->slot[COERCE_VALUE], native_get(n, COERCE_FLAGS));
      if (n->result == VALUE_ERROR) return STEP_ERROR;
      if (n->result != VALUE_PARK) return STEP_RETURN;
      NATIVE_PARK(n);
    }
  }
  if (value_is_attrs(n->result)) {
    if (attrs_has(n->slot[COERCE_VALUE], SYM_to_string)) {
      NATIVE_CALL1(n, attrs_get(n->vm, n->slot[COERCE_VALUE], SYM_to_string), n->slot[COERCE_VALUE]);
      n->args[0] = n->result;
      n->args[1] = n->slot[COERCE_FLAGS];
      n->slot[COERCE_RESULT] = VALUE_TRUE; // what __toString returned is being coerced
      NATIVE_PUSH(n, &native_coerce_string);
      NATIVE_RETURN(n, n->result);
    } else if (attrs_has(n->slot[COERCE_VALUE], SYM_out_path)) {
      n->args[0] = attrs_get(n->vm, n->slot[COERCE_VALUE], SYM_out_path);
    } else {
      native_coerce_error(n->vm, n->slot[COERCE_VALUE]);
      return STEP_ERROR;
    }
    n->args[1] = n->slot[COERCE_FLAGS];
    NATIVE_PUSH(n, &native_coerce_string); // not in our place: a set may be its own outPath
    return STEP_RETURN;
  }
  if (!(native_get(n, COERCE_FLAGS) & COERCE_MORE)) {
    native_coerce_error(n->vm, n->slot[COERCE_VALUE]);
    return STEP_ERROR;
  }
  n->result = native_coerce_scalar(n->vm, n->slot[COERCE_VALUE]);
  if (n->result != VALUE_ABSENT) return STEP_RETURN;
  if (!value_is_list(n->slot[COERCE_VALUE])) {
    native_coerce_error(n->vm, n->slot[COERCE_VALUE]);
    return STEP_ERROR;
  }
  n->slot[COERCE_RESULT] = str_plain(n->vm, SPAN(""));
  for (native_set(n, COERCE_I, 0); native_get(n, COERCE_I) < (int64_t)list_count(n->slot[COERCE_VALUE]);
       native_add(n, COERCE_I, 1)) {
    n->args[0] = value_ask(list_get(n->vm, n->slot[COERCE_VALUE], (size_t)native_get(n, COERCE_I)));
    n->args[1] = n->slot[COERCE_FLAGS];
    if (value_is_string(n->args[0])) n->result = n->args[0];
    else NATIVE_PUSH(n, &native_coerce_string);
    Value sum = n->slot[COERCE_RESULT];
    const Context *context = context_union(n->vm->contexts, str_context(sum), str_context(n->result));
    sum = str_concat(n->vm, sum, n->result, context);
    size_t i = (size_t)native_get(n, COERCE_I), count = list_count(n->slot[COERCE_VALUE]);
    if (i + 1 < count && !native_is_empty_list(list_get(n->vm, n->slot[COERCE_VALUE], i)))
      sum = str_concat(n->vm, sum, str_plain(n->vm, SPAN(" ")), context);
    n->slot[COERCE_RESULT] = sum;
  }
  NATIVE_RETURN(n, n->slot[COERCE_RESULT]);
  NATIVE_END;
}

// The frame of a list element, where Nix has it: around what an element that is a list says, and where the element itself is refused.
static void native_coerce_trace(Native *n) {
  Value v = n->slot[COERCE_VALUE];
  if (n->slot[COERCE_RESULT] == VALUE_TRUE && eval_error_is_refusal(n->vm))
    eval_error_trace(n->vm, vm_trace_coerce_pos(n->vm, n->vm->state->tasks.current, n->slot - 2),
                     "while evaluating the result of the `__toString` attribute");
  if (value_tag(v) != TAG_LIST || n->slot[COERCE_I] == VALUE_NULL) return;
  Value item = value_follow(list_get(n->vm, v, (size_t)native_get(n, COERCE_I)));
  if (value_is_list(item) || eval_error_is_refusal(n->vm))
    eval_error_trace(n->vm, 0, "while evaluating one element of the list");
}

static void native_coerce_sparks(Native *n, SparkSink *sink) {
  Value v = n->slot[COERCE_VALUE];
  if (value_tag(v) != TAG_LIST || n->slot[COERCE_I] == VALUE_NULL) return;
  for (size_t i = (size_t)native_get(n, COERCE_I) + 1; i < list_count(v) && !spark_full(sink); i++)
    spark_add(sink, list_get(n->vm, v, i));
}

const NativeDef native_coerce_string = {.name = "toString",
                                        .step = native_coerce_step,
                                        .arg_count = 2,
                                        .slot_count = 4,
                                        .trace = native_coerce_trace,
                                        .sparks = native_coerce_sparks};

// ---- + on strings, paths and sets ----

enum { PLUS_A, PLUS_B };

static bool native_is_number(Value v) {
  return value_is_int(v) || value_is_float(v);
}

static Step native_plus_step(Native *n) {
  Value a = n->slot[PLUS_A], b = n->slot[PLUS_B];
  NATIVE_BEGIN(n);
  if (native_is_number(a)) {
    eval_error(n->vm, EVAL_ERROR_TYPE, vm_call_pos(n->vm), "cannot add %s to %s", eval_error_type_phrase(n->vm, b),
               value_is_int(a) ? "an integer" : "a float");
    return STEP_ERROR;
  }
  if (value_is_path(a)) { // nothing is copied: the result is a path again
    n->args[0] = b;
    n->args[1] = value_int(0);
    NATIVE_PUSH(n, &native_coerce_string);
    n->result = vm_ops_interp_path(n->vm, (Value[]){n->slot[PLUS_A], n->result}, 2, vm_call_pos(n->vm));
    return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  }
  if (!value_is_string(a)) {
    n->args[0] = a;
    n->args[1] = value_int(0);
    NATIVE_PUSH(n, &native_coerce_string);
    n->slot[PLUS_A] = n->result;
    n->args[1] = value_int(0);
  } else {
    n->args[1] = value_int(COERCE_COPY);
  }
  n->args[0] = n->slot[PLUS_B];
  NATIVE_PUSH(n, &native_coerce_string);
  NATIVE_RETURN(n, vm_ops_interp(n->vm, (Value[]){n->slot[PLUS_A], n->result}, 2));
  NATIVE_END;
}

static Step native_plus_left_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[PLUS_A];
  n->args[1] = value_int(0);
  NATIVE_PUSH(n, &native_coerce_string);
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, SYM_out_path, n->result, 0);
  n->result = attrs_builder_finish(n->vm, &builder, true);
  attrs_builder_done(&builder);
  return STEP_RETURN;
  NATIVE_END;
}

const NativeDef native_plus_left = {.name = "+", .step = native_plus_left_step, .arg_count = 1, .slot_count = 1};

const NativeDef native_plus = {.name = "+", .step = native_plus_step, .arg_count = 2, .slot_count = 2};
