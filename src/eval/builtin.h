// builtin.h: the table of builtins. Each file in eval/builtins/ (and glue, which adds what needs a store) exports one table; a row
// carries everything that is known about a builtin, for the VM, the manual, `:doc` and the tests.
#pragma once

#include "eval/native.h"

// A leaf builtin: arguments in the strict mask are in WHNF, others may be thunks. Returns a value (WHNF or a thunk, which
// the VM then forces), VALUE_ERROR with an error pending, or VALUE_PARK after vm_wait (the call is repeated when the wait is over).
typedef Value (*BuiltinFn)(Vm *vm, Value *args);

#define BUILTIN_MAX_ARITY 4

enum {
  BUILTIN_GLOBAL = 1,  // visible without `builtins.` (map, toString, ...); all others are visible as __name
  BUILTIN_HIDDEN = 2,  // not in `builtins`
  BUILTIN_EFFECT = 4,  // trace, warn, break: a speculative task waits before it
};

typedef struct Builtin {
  const char *name; // as in `builtins.<name>`
  uint8_t arity;    // 1..BUILTIN_MAX_ARITY; constants are rows of arity 0 (fn gives the value, called once)
  uint8_t strict;   // bit i: argument i is forced before the call
  uint8_t flags;
  BuiltinFn fn;            // leaf, or NULL
  const NativeDef *native; // resumable, or NULL; its first `arity` slots are the arguments
  const char *args;        // names, separated by spaces
  const char *doc;         // Markdown
} Builtin;

typedef struct BuiltinTable { const Builtin *rows; size_t count; } BuiltinTable;

// All tables of eval/builtins/.
extern const BuiltinTable builtin_tables[];
extern const size_t builtin_table_count;
