// builtins_util.h: what the files of builtins share: wording, checks that cost nothing when they succeed, forcing with a trace frame.
#pragma once

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/str.h"
#include "eval/vm.h"

#define ARG "while evaluating the argument passed to builtins."
#define ARG1 "while evaluating the first argument passed to builtins."
#define ARG2 "while evaluating the second argument passed to builtins."
#define ARG3 "while evaluating the third argument passed to builtins."

static inline bool expect_list(Vm *vm, Value v, const char *context) {
  return LIKELY(value_is_list(v)) || vm_expect_list(vm, v, context);
}
static inline bool expect_attrs(Vm *vm, Value v, const char *context) {
  return LIKELY(value_is_attrs(v)) || vm_expect_attrs(vm, v, context);
}
static inline bool expect_int(Vm *vm, Value v, const char *context) {
  return LIKELY(value_is_int(v)) || vm_expect_int(vm, v, context);
}
static inline bool expect_bool(Vm *vm, Value v, const char *context) {
  return LIKELY(value_is_bool(v)) || vm_expect_bool(vm, v, context);
}
static inline bool expect_string(Vm *vm, Value v, const char *context) { // any context
  return LIKELY(value_is_string(v)) || vm_expect_string(vm, v, context);
}
static inline bool expect_text(Vm *vm, Value v, const char *context) { // no context
  return LIKELY(value_is_string(v) && !str_context(v)) || vm_expect_string_no_context(vm, v, context);
}
static inline bool expect_function(Vm *vm, Value v, const char *context) {
  return LIKELY(value_is_function(v)) || vm_expect_function(vm, v, context);
}

// Trace frames for errors in what a native forces: the native keeps the text in a slot while it waits, and its `trace` function adds it.
static inline void trace_slot(Native *n, unsigned slot) {
  Value v = n->slot[slot];
  if (value_tag(v) == TAG_INT && value_get_raw(v)) eval_error_trace(n->vm, 0, "%s", (const char *)value_get_raw_ptr(v));
}
// NATIVE_FORCE with the frame `text`, kept in `slot_`.
#define NATIVE_FORCE_FOR(n, value_, slot_, text) \
  do {                                           \
    (n)->result = value_follow(value_);          \
    if (UNLIKELY(!value_is_whnf((n)->result))) { \
      (n)->slot[slot_] = value_raw_ptr(text);    \
      (n)->args[0] = (n)->result;                \
      NATIVE_AWAIT_(n, STEP_FORCE)               \
      (n)->slot[slot_] = value_raw(0);           \
    }                                            \
  } while (0)

// Items `from`.. of a list that the frame is going to evaluate one after the other.
static inline void spark_items(Native *n, SparkSink *sink, Value list, size_t from) {
  if (!value_is_list(list)) return;
  for (size_t i = from; i < list_count(list); i++) spark_add(sink, list_get(n->vm, list, i));
}

// A list of `count` nulls: room for values that have to survive an await.
static inline Value scratch_new(Vm *vm, size_t count) {
  if (!count) return VALUE_EMPTY_LIST;
  List *list = list_new(vm, count);
  for (size_t i = 0; i < count; i++) list->items[i] = VALUE_NULL;
  return list_value(list);
}

// Upper bound of the number of attributes, in constant time also for layered sets.
static inline uint64_t attrs_bound(Value set) {
  return set == VALUE_EMPTY_ATTRS ? 0 : head_payload(value_head(set));
}

// Coercion of `value_` to a string (n->result), with the trace frame `text` where Nix has it: when the value itself cannot be coerced,
// and around the elements of a list. The value stays in `value_slot` meanwhile.
#define NATIVE_COERCE_FOR(n, value_, flags_, value_slot, frame_slot, text) \
  do {                                                                     \
    (n)->result = value_follow(value_);                                    \
    if (!value_is_string((n)->result)) {                                   \
      (n)->slot[value_slot] = (n)->args[0] = (n)->result;                  \
      (n)->args[1] = value_raw(flags_);                                    \
      (n)->slot[frame_slot] = value_raw_ptr(text);                         \
      NATIVE_PUSH(n, &native_coerce_string);                               \
      (n)->slot[frame_slot] = value_raw(0);                                \
    }                                                                      \
  } while (0)
void builtins_util_trace_coerce(Native *n, unsigned value_slot, unsigned frame_slot);
// An expect_* without frame has failed: what Nix adds where it knows the place of the value. Returns false.
bool builtins_util_fail_at(Vm *vm, PosId pos, const char *frame);
