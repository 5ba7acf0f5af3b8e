// vm.h: the evaluator: what builtins and embedders see of it. One Vm per thread; no global state.
//
// Values returned by functions here follow the rules of heap.h: a collection can only happen inside vm_run and the functions that
// call it (vm_eval_*, vm_force_root, ...), which are for embedders and must not be called by builtins.
#pragma once

#include "base/map.h"
#include "eval/builtin.h"
#include "eval/context.h"
#include "eval/eval_error.h"
#include "eval/eval_io.h"
#include "eval/heap.h"
#include "eval/native.h"
#include "eval/pos.h"
#include "eval/shape.h"
#include "eval/symbol.h"

enum { // numbers of the names in symbols.def
  SYM_NONE_,
#define SYMBOL(id, text) SYM_##id,
#define SYMBOLS_KNOWN SYM_KNOWN_END_, SYM_KNOWN_LAST_ = SYM_KNOWN_END_ - 1,
#include "eval/symbols.def"
#undef SYMBOL
#undef SYMBOLS_KNOWN
  SYM_COUNT_
};

typedef struct VmSearchEntry {
  Span prefix, path;
} VmSearchEntry; // "nixpkgs=/x" of NIX_PATH and -I

typedef enum VmMessage { VM_MESSAGE_TRACE, VM_MESSAGE_WARNING } VmMessage;

typedef struct VmSettings {
  bool pure_eval, restrict_eval;
  bool pipe_operators, no_url_literals;
  bool trace_verbose, abort_on_warn;
  bool dynamic_derivations;          // experimental feature: builtins.outputOf is there
  bool parse_toml_timestamps;        // experimental feature: fromTOML makes sets of dates and times
  bool allow_import_from_derivation; // default true
  uint32_t max_call_depth;           // 0: VM_DEFAULT_MAX_CALL_DEPTH
  const char *current_system;        // "x86_64-linux"
  const char *store_dir;             // "/nix/store"
  const char *home_dir;              // for ~/x; NULL: error
  const VmSearchEntry *nix_path;     // builtins.nixPath, for <x>; borrowed
  size_t nix_path_count;
  const char *work_dir; // for relative entries of the search path; NULL: "/"
  int64_t current_time; // builtins.currentTime; 0: the clock at its first use, which sets it
  // Output of builtins.trace ("trace: x") and warn ("evaluation warning: x"), in program order. NULL: the logger, as a notice.
  void (*message)(void *ctx, VmMessage kind, Span text);
  void *message_ctx;
  HeapConfig heap;
} VmSettings;

// A call deeper than this is "stack overflow; max-call-depth exceeded". Frames are ~100 bytes of heap, so the limit is a guard
// against infinite recursion, not against the C stack.
#define VM_DEFAULT_MAX_CALL_DEPTH 3000000

typedef struct Task Task; // task.h
typedef struct Unit Unit; // unit.h

struct Vm {
  Heap heap;
  SymbolTable *symbols;
  ShapeTable *shapes;
  ContextTable *contexts;
  PosTable *positions;
  EvalIo *io; // borrowed
  VmSettings settings;
  const Builtin **builtins; // by builtin number
  uint32_t builtin_count;
  EvalError *error;        // pending, owned; NULL: none
  struct VmState *state;   // private to vm.c, task.c
  struct UnitStore *units; // compiled files of earlier runs; borrowed, NULL: none
  void *glue;              // for builtins of glue/: borrowed
  Map search_entries; // findFile: what has been looked up, entry -> owned canonical path, "" for an entry that is ignored
  struct RegexCache *regexes;  // of builtins_regex.c, owned; made on first use
  volatile int interrupted;    // set from a signal handler
  struct EvalProfile *profile; // eval_profile.h; NULL: none is taken
  struct EvalCounts *counts;   // eval_count.h; NULL: nobody wants to know
};

// ---- for builtins ----

static inline Value vm_float(Vm *vm, double d) {
  Float *f = heap_alloc(&vm->heap, sizeof(Float));
  f->head = HEAD(T_FLOAT, 0, 0);
  f->value = d;
  return value_from_ptr(f, TAG_OBJ);
}
static inline Value vm_int(Vm *vm, int64_t i) {
  if (LIKELY(value_fits_int(i))) return value_int(i);
  BigInt *b = heap_alloc(&vm->heap, sizeof(BigInt));
  b->head = HEAD(T_BIGINT, 0, 0);
  b->value = i;
  return value_from_ptr(b, TAG_OBJ);
}

// Type checks of values in WHNF. False with "expected a list but found ..." pending, and `context` (may be NULL) as its trace frame.
MUST_CHECK bool vm_expect_int(Vm *vm, Value v, const char *context);
MUST_CHECK bool vm_expect_bool(Vm *vm, Value v, const char *context);
MUST_CHECK bool vm_expect_string(Vm *vm, Value v, const char *context);
MUST_CHECK bool vm_expect_string_no_context(Vm *vm, Value v, const char *context);
MUST_CHECK bool vm_expect_attrs(Vm *vm, Value v, const char *context);
MUST_CHECK bool vm_expect_list(Vm *vm, Value v, const char *context);
MUST_CHECK bool vm_expect_function(Vm *vm, Value v, const char *context); // also a set with __functor

// A question to the world was answered EVAL_IO_PENDING: returns VALUE_PARK; the leaf builtin is called again when `wait` is complete.
Value vm_wait(Vm *vm, EvalIoWait wait);
// Formals of a closure: a set of booleans (functionArgs). VALUE_EMPTY_ATTRS for other functions.
Value vm_function_args(Vm *vm, Value function);
// How a closure takes its argument, for toXML. False for other functions.
typedef struct VmPattern {
  bool has_formals, ellipsis;
  Sym arg; // `arg: ` or `arg@{ ... }`, else SYMBOL_NONE
} VmPattern;
bool vm_function_pattern(Vm *vm, Value function, VmPattern *ret);
// Does it take a set by names ({ a, b }: ...)? Then *ret_ellipsis tells whether it accepts others (...).
bool vm_function_formals(Vm *vm, Value function, bool *ret_ellipsis);
// Name of a function for messages: "'foo'" or "anonymous lambda".
void vm_function_name(Vm *vm, Value function, Buf *ret);
PosId vm_function_pos(Vm *vm, Value function);
// The value, as a thunk, of an expression that is part of the program itself. `path` and `origin` are what positions in it show.
Value vm_internal_text(Vm *vm, Span text, Span path, Span origin);
// Position of the call that is being executed (for __curPos-like builtins and messages); 0 when unknown.
PosId vm_call_pos(Vm *vm);

// ---- for embedders ----

// `io` and the settings' strings stay alive as long as the VM. `extra` are tables besides those of eval/builtins/.
Vm *vm_new(EvalIo *io, const VmSettings *settings, const BuiltinTable *extra, size_t extra_count);
void vm_free(Vm *vm);

// All of these run tasks until the asked-for value is there (building and waiting as needed), and leave it in `root`
// (registered with heap_add_root by the caller). False with an error pending in the VM.
// `base_dir`: absolute, for relative paths. `origin`: "«string»" or a path, for messages.
MUST_CHECK bool vm_eval_text(Vm *vm, Span text, Span base_dir, Span origin, HeapRoot *root);
MUST_CHECK bool vm_eval_file(Vm *vm, Span path, HeapRoot *root); // like `import path`
// As vm_eval_text, with the attributes of the set `scope` as variables, before all global names. Without `force` the value may be a thunk.
MUST_CHECK bool vm_eval_text_scoped(Vm *vm, Span text, Span base_dir, Span origin, const HeapRoot *scope, bool force,
                                    HeapRoot *root);
MUST_CHECK bool vm_force_root(Vm *vm, HeapRoot *root);
MUST_CHECK bool vm_call_root(Vm *vm, HeapRoot *fn, const HeapRoot *args, uint32_t arg_count, HeapRoot *root);
// Runs `def` with arguments taken from `args`; its value in `root`.
MUST_CHECK bool vm_run_native(Vm *vm, const NativeDef *def, HeapRoot *const *args, uint32_t arg_count, HeapRoot *root);
// Several at once: each job is a native with its arguments; all run as tasks of equal rank, the results and errors are kept apart.
typedef struct VmJob {
  const NativeDef *def;
  HeapRoot args[NATIVE_MAX_ARGS]; // registered by vm_run_jobs until it begins
  uint32_t arg_count;
  void (*prepare)(struct VmJob *job, void *ctx); // sets `args` when the job begins; NULL: they are set
  HeapRoot result;                               // value, registered from its end until vm_job_done
  EvalError *error;                              // owned; NULL on success
  bool has_ended;                                // false: it was held before it began
  void (*finished)(struct VmJob *job,
                   void *ctx); // called in job order as soon as this and all earlier jobs are finished; may be NULL
  void *ctx;
} VmJob;
// A job begins when no earlier one can go on.
void vm_run_jobs(Vm *vm, VmJob *jobs, size_t count);
// For `finished`: no further job begins; vm_run_jobs ends when those are finished that have begun.
void vm_hold_jobs(Vm *vm);
// May be called in `finished`, and again.
void vm_job_done(Vm *vm, VmJob *job);

// The image of a file's text, as `import` compiles it. False when it has errors or is to be warned about. For threads beside the one that evaluates:
// uses nothing of the VM that changes.
MUST_CHECK bool vm_compile(Vm *vm, Span text, Buf *ret);

// What compiled files depend on besides their text: appends a short text for the name of a unit store.
void vm_unit_fingerprint(Vm *vm, Buf *ret);

// Makes the evaluation in progress fail with "interrupted by the user" at its next safepoint. Safe in a signal handler.
void vm_interrupt(Vm *vm);

// Counters for --eval-stats.
typedef struct VmStats {
  uint64_t calls, builtin_calls, thunks, thunks_forced, envs, sets, set_elements, updates, list_concats, lookups,
      parked, sparks, units;
} VmStats;
void vm_get_stats(const Vm *vm, VmStats *ret);
