// builtin.h: the table of builtins. Each file in eval/builtins/ (and glue, which adds what needs a store) exports one table; a row
// carries everything that is known about a builtin, for the VM, the manual, `:doc` and the tests.
#pragma once

#include "eval/native.h"

// A leaf builtin: arguments in the strict mask are in WHNF, others may be thunks. Returns a value (WHNF or a thunk, which
// the VM then forces), VALUE_ERROR with an error pending, or VALUE_PARK after vm_wait (the call is repeated when the wait is over).
typedef Value (*BuiltinFn)(Vm *vm, Value *args);

#define BUILTIN_MAX_ARITY 4

enum {
  BUILTIN_GLOBAL = 1,   // visible without `builtins.` (map, toString, ...); all others are visible as __name
  BUILTIN_HIDDEN = 2,   // not in `builtins`
  BUILTIN_EFFECT = 4,   // trace, warn, break: a speculative task waits before it
  BUILTIN_REVERSE = 16, // strict arguments are forced from the last to the first
  BUILTIN_IMPURE = 8,   // absent in pure evaluation (currentTime, currentSystem)
  // A constant that the set `builtins` holds as a delayed call of the hidden builtin <name>Late: asking has a consequence.
  BUILTIN_LATE = 32,
  BUILTIN_DYNAMIC = 64, // only with the experimental feature dynamic-derivations
};

typedef struct Builtin {
  const char *name; // as in `builtins.<name>`
  uint8_t arity;    // 1..BUILTIN_MAX_ARITY; constants are rows of arity 0 (fn gives the value, called once)
  uint8_t strict;   // bit i: argument i is forced before the call
  uint8_t flags;
  BuiltinFn fn; // leaf, or NULL. Where there is a native, too: the common case, VALUE_ABSENT leaves the call to that
  const NativeDef *native; // resumable, or NULL; its first `arity` slots are the arguments
  const char *args;        // names, separated by spaces
  const char *doc;         // Markdown
  // For errors while a strict argument is forced, see builtin_blame. One letter an argument ("sa"): what it must be.
  //   i integer  o an offset, c a count: integers that are not negative  n number  b Boolean  s string without context  S string  a set  l list  f function  . anything
  const char *types;
  const char
      *contexts[BUILTIN_MAX_ARITY]; // trace frame of an argument ("while evaluating the first argument ..."), or NULL
} Builtin;

// Forcing strict argument `failed` of a call has failed, the error is pending, the strict arguments before it are in WHNF. Nix
// checks types argument by argument, so a wrong type before `failed` is the error to report: it replaces the pending one.
// Else the argument's context is added to the trace. Called by the VM while it unwinds.
void builtin_blame(Vm *vm, const Builtin *builtin, const Value *args, unsigned failed);
// Whether an argument in WHNF is of the type that the table asks for.
bool builtin_accepts(const Builtin *builtin, unsigned index, Value arg);
// The same check for one argument in WHNF: false with the type error pending.
MUST_CHECK bool builtin_check_arg(Vm *vm, const Builtin *builtin, unsigned index, Value arg);

typedef struct BuiltinTable {
  const Builtin *rows;
  size_t count;
} BuiltinTable;

// All tables of eval/builtins/.
extern const BuiltinTable *const builtin_tables[];
extern const size_t builtin_table_count;
