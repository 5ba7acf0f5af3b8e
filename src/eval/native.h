// native.h: builtins that call back or force: resumable native frames. Their state lives on the VM stack, never on the C stack, so
// they can be arbitrarily deep, be suspended while a build runs, and their values are found by the collector.
//
// A step function runs until it needs a value, asks the VM for it by returning, and is entered again at the same place with
// `n->result`. C local variables do not survive an await; slots (n->slot[i], GC values) and counters (NATIVE_COUNTER slots, raw
// integers) do. n->slot must be read afresh after an await: the VM stack may have moved.
//
//   static Step any_step(Native *n) {
//     enum { FN, LIST, I }; // arguments first, then locals
//     NATIVE_BEGIN(n);
//     if (!vm_expect_list(n->vm, n->slot[LIST], "while evaluating the second argument passed to builtins.any")) return STEP_ERROR;
//     for (native_set(n, I, 0); native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
//       NATIVE_CALL1(n, n->slot[FN], list_get(n->vm, n->slot[LIST], native_get(n, I)));
//       if (!vm_expect_bool(...n->result...)) return STEP_ERROR;
//       if (n->result == VALUE_TRUE) NATIVE_RETURN(n, VALUE_TRUE);
//     }
//     NATIVE_RETURN(n, VALUE_FALSE);
//     NATIVE_END;
//   }
//
// Rules: no `switch` around an await; at most one await per source line; values that must survive an await live in slots.
#pragma once

#include "eval/value.h"

typedef struct Vm Vm;
typedef struct Native Native;
typedef struct SparkSink SparkSink;
typedef struct EvalError EvalError;

typedef enum Step {
  STEP_RETURN,    // n->result is the value of this frame (WHNF, or a thunk that the VM forces in our place)
  STEP_ERROR,     // an error is pending
  STEP_FORCE,     // evaluate n->args[0]; result: WHNF
  STEP_CALL,      // call n->fn with n->args[0..arg_count); result: WHNF
  STEP_PUSH,      // run n->push_def with n->args as its arguments; result: its value
  STEP_TAIL_CALL, // like STEP_CALL, but its value is ours
  STEP_TAIL_PUSH, // like STEP_PUSH, but its value is ours
  STEP_PARK,      // n->wait says for what; the step is entered again at the same state
} Step;

#define NATIVE_MAX_ARGS 8

typedef enum NativeSubject {
  NATIVE_SUBJECT_NONE,
  NATIVE_SUBJECT_PACKAGE,
  NATIVE_SUBJECT_CONTEXT,
  NATIVE_SUBJECT_FILE
} NativeSubject;

typedef struct NativeDef {
  const char *name;
  Step (*step)(Native *n);
  uint8_t arg_count;
  uint8_t slot_count; // args + locals
  bool catches;  // errors above come back as n->result == VALUE_ERROR with the error pending (tryEval, addErrorContext)
  bool untraced; // as the native of a builtin: not named in traces
  // Parts of the work that have not been started yet, in program order: what other tasks may evaluate while this one waits.
  void (*sparks)(Native *n, SparkSink *sink);
  // Adds a frame to the pending error while it unwinds through here.
  void (*trace)(Native *n);
  // Frees what the frame owns outside of the heap when it will not be run again; a step that returns has done so itself.
  void (*drop)(Native *n);
  // For profiles: a slot whose text says what the work is about: the name of a derivation (once it is a string), the text of an error
  // context (also as a thunk), the path of a file that is loaded.
  NativeSubject subject;
  uint8_t subject_slot;
} NativeDef;

struct Native {
  Vm *vm;
  Value *slot;
  Value result;
  uint32_t state;
  uint32_t arg_count;
  Value fn;
  Value args[NATIVE_MAX_ARGS];
  const NativeDef *push_def;
  uint64_t wait; // EvalIoWait for STEP_PARK
};

// For `sparks` callbacks. spark_add: evaluate a thunk (ignored when it is evaluated, under evaluation, or was added before).
void spark_add(SparkSink *sink, Value maybe_thunk);
// Run a native ahead, for its effect on the thunks inside its arguments. Unlike with spark_add nothing remembers that it was added: the
// frame must keep in a slot how far it has got (n->slot may be written here), stop when the sink is full and go on there next time.
void spark_add_native(SparkSink *sink, const NativeDef *def, const Value *args, uint32_t arg_count);
bool spark_full(const SparkSink *sink);

static inline int64_t native_get(const Native *n, unsigned slot) {
  return (int64_t)n->slot[slot] >> 3;
}
static inline void native_set(Native *n, unsigned slot, int64_t i) {
  n->slot[slot] = (Value)i << 3 | TAG_INT;
}
static inline void native_add(Native *n, unsigned slot, int64_t i) {
  native_set(n, slot, native_get(n, slot) + i);
}

#define NATIVE_BEGIN(n) \
  switch ((n)->state) { \
  case 0:
#define NATIVE_END \
  }                \
  __builtin_unreachable()
#define NATIVE_AWAIT_(n, step_) \
  (n)->state = __LINE__;        \
  return (step_);               \
  case __LINE__:;
// n->result = `value` in WHNF. Evaluates its argument once; no suspension when it is evaluated already.
#define NATIVE_FORCE(n, value_)                  \
  do {                                           \
    (n)->result = value_ask(value_);             \
    if (UNLIKELY(!value_is_whnf((n)->result))) { \
      (n)->args[0] = (n)->result;                \
      NATIVE_AWAIT_(n, STEP_FORCE)               \
    }                                            \
  } while (0)
#define NATIVE_CALL1(n, fn_, a_) \
  do {                           \
    (n)->fn = (fn_);             \
    (n)->args[0] = (a_);         \
    (n)->arg_count = 1;          \
    NATIVE_AWAIT_(n, STEP_CALL)  \
  } while (0)
#define NATIVE_CALL2(n, fn_, a_, b_) \
  do {                               \
    (n)->fn = (fn_);                 \
    (n)->args[0] = (a_);             \
    (n)->args[1] = (b_);             \
    (n)->arg_count = 2;              \
    NATIVE_AWAIT_(n, STEP_CALL)      \
  } while (0)
// Runs another native to its end. The caller sets n->args[0..def->arg_count) first.
#define NATIVE_PUSH(n, def_)    \
  do {                          \
    (n)->push_def = (def_);     \
    NATIVE_AWAIT_(n, STEP_PUSH) \
  } while (0)
#define NATIVE_RETURN(n, value_) \
  do {                           \
    (n)->result = (value_);      \
    return STEP_RETURN;          \
  } while (0)
// Parks on n->wait (set by the caller), then goes on behind this line, where the question is asked again (write a loop).
#define NATIVE_PARK(n)          \
  do {                          \
    NATIVE_AWAIT_(n, STEP_PARK) \
  } while (0)

// Follows an evaluated thunk to its value; other values stay.
static inline Value value_follow(Value v) {
  while (value_tag(v) == TAG_THUNK && head_type(value_head(v)) == T_IND) v = ((Thunk *)value_ptr(v))->value;
  return v;
}
// The same for one whose value is asked for: literals that are not evaluated lose their mark.
static inline Value value_ask(Value v) {
  while (value_tag(v) == TAG_THUNK && head_type(value_head(v)) == T_IND) {
    Thunk *thunk = (Thunk *)value_ptr(v);
    thunk->head &= ~HEAD(0, IND_UNASKED, 0);
    v = thunk->value;
  }
  return v;
}
// A delayed call of `fn` with `count` arguments.
Value native_delay_call(Vm *vm, Value fn, const Value *args, uint32_t count);

// Natives that others push. Arguments in parentheses.
extern const NativeDef native_deep_force; // (value) -> value: everything inside evaluated (deepSeq)
// (value, budget) -> budget left: the same as a spark, looking at no more than `budget` (raw integer) values.
extern const NativeDef native_deep_ahead;
extern const NativeDef native_equal;   // (a, b) -> bool
extern const NativeDef native_compare; // (a, b) -> int -1, 0, 1; Nix's `<` on int, float, string, path, lists
// (value, flags) -> string. Sets with __toString or outPath, paths (copied to the store with COERCE_COPY), and with COERCE_MORE also
// null, booleans, numbers, lists (toString, derivation attributes). flags: raw integer.
extern const NativeDef native_coerce_string;
enum { COERCE_COPY = 1, COERCE_MORE = 2 };
