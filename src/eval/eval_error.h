// eval_error.h: the pending error of an evaluation: kind, message, position and the chain of "while ..." frames that unwinding
// adds. One error is pending per VM at most; functions that fail return VALUE_ERROR (or STEP_ERROR) after setting it here.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "eval/value.h"

typedef struct Vm Vm;

typedef enum EvalErrorKind {
  EVAL_ERROR_EVAL,   // any other error
  EVAL_ERROR_THROW,  // builtins.throw: caught by tryEval
  EVAL_ERROR_ASSERT, // assert: caught by tryEval
  EVAL_ERROR_ABORT,
  EVAL_ERROR_TYPE,
  EVAL_ERROR_UNDEFINED, // undefined variable
  EVAL_ERROR_MISSING,   // attribute missing
  EVAL_ERROR_RECURSION, // infinite recursion
  EVAL_ERROR_STACK,     // call depth
  EVAL_ERROR_SYNTAX,
  EVAL_ERROR_IO, // reading, building, fetching
  EVAL_ERROR_RESTRICTED,
  EVAL_ERROR_INTERRUPTED,
} EvalErrorKind;

typedef struct EvalTrace {
  PosId pos;     // 0: none
  char *message; // owned
  bool always;   // shown without --show-trace too (addErrorContext)
  bool call;     // of a function call: only with --show-trace
} EvalTrace;

// A member of a cycle of values that need each other: the value, and where it asks for the next one.
typedef struct EvalCycleStep {
  Sym name; // SYMBOL_NONE: it has none
  PosId defined, asks;
} EvalCycleStep;

typedef struct EvalError {
  EvalErrorKind kind;
  ErrKind cause; // ERR_EVAL, or the kind of the IO or build failure
  PosId pos;
  Buf message;       // Nix's wording without "error: "; may contain colour marks? no: plain text
  Buf suggestions;   // "Did you mean a or b?" or empty
  EvalTrace *traces; // innermost first
  size_t trace_count, trace_cap;
  EvalCycleStep
      *cycle; // owned; of an infinite recursion: from the value that needs itself to the one that asks for it again
  size_t cycle_count, cycle_cap;
  size_t dropped_count; // traces beyond EVAL_ERROR_MAX_TRACES in the middle
} EvalError;

#define EVAL_ERROR_MAX_TRACES 2000

// All return VALUE_ERROR.
Value eval_error(Vm *vm, EvalErrorKind kind, PosId pos, const char *fmt, ...) PRINTF_LIKE(4, 5);
// "expected a list but found a string: "x"" : the value is printed shortly.
Value eval_error_type(Vm *vm, PosId pos, const char *expected, Value found);
// "cannot coerce a list to a string: [ ... ]".
Value eval_error_coerce(Vm *vm, PosId pos, Value found);
// Takes an Err of base/ (freed).
Value eval_error_from_err(Vm *vm, EvalErrorKind kind, PosId pos, Err *err);
// Adds a frame to the pending error.
void eval_error_trace(Vm *vm, PosId pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
// The frame of a call of a function of the program ("while calling 'f'"), and where it was called from.
void eval_error_trace_call(Vm *vm, PosId pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
// The same with a text of the program (addErrorContext): shown without --show-trace too.
void eval_error_trace_always(Vm *vm, PosId pos, Span text);
// The best matches of `name` among `candidates` by edit distance, as Nix chooses and words them, into error->suggestions.
void eval_error_suggest(Vm *vm, Span name, const Span *candidates, size_t count);
// Adds a member in front of those that the cycle of the pending error has; those beyond EVAL_ERROR_MAX_CYCLE are left out.
void eval_error_add_cycle(Vm *vm, EvalCycleStep step);
#define EVAL_ERROR_MAX_CYCLE 1000
// Takes all frames off the pending error.
void eval_error_drop_traces(Vm *vm);
// Takes off the frames of the expression called `origin`, which the user has not written, and all outside of it.
void eval_error_hide(Vm *vm, Span origin);
EvalError *eval_error_pending(Vm *vm); // NULL when none
// Is the pending error "cannot coerce ... to a string", about a value that was just tried (no frames yet)?
bool eval_error_is_refusal(const Vm *vm);
void eval_error_clear(Vm *vm);
// Moves the pending error out; owned.
EvalError *eval_error_take(Vm *vm);
void eval_error_restore(Vm *vm, EvalError *error);
void eval_error_free(EvalError *error);

typedef struct EvalErrorFormat {
  bool show_trace; // all frames
  bool colour;
  bool brief; // cause, where, which package or option; the rest on demand (firn's own commands)
  bool cycle; // draw the cycle of an infinite recursion: shortly, with show_trace whole
} EvalErrorFormat;
// As C++ Nix 2.26 prints it, from "error:" on, with source excerpts.
void eval_error_format(Vm *vm, const EvalError *error, const EvalErrorFormat *format, Buf *ret);
// `text` behind `prefix` ("error: "), its further lines indented by as much, without white space at the ends of lines.
void eval_error_indent(Span prefix, Span text, Buf *ret);
// "an integer", "a set", "the built-in function 'map'", "a function": as Nix's showType.
const char *eval_error_type_phrase(Vm *vm, Value v);
