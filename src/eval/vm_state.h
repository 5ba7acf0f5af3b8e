// vm_state.h: the private part of the VM, shared by vm.c, vm_ops.c, task.c, unit.c, eval_profile.c and builtins_core.c. Nobody else includes it.
//
// A task's stack holds frames. Below the operands of each lies a header of FRAME_HEADER words that says how to go on in the frame
// below when this one returns:
//
//   [-6] thunk, [-5] its head before evaluation        only FRAME_FORCE, FRAME_FORCE_DROP
//   [-4] ip of the frame below (raw; 0: it is a native) [-3] env of the frame below
//   [-2] code of this frame (raw pointer; 0 for natives) [-1] fp of the frame below << 4 | FrameKind (raw)
//   fp -> operands; for natives: NativeDef (raw), state (raw), slots
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "eval/task.h"
#include "eval/unit.h"

#define FRAME_HEADER 4
#define FRAME_FORCE_WORDS 2
#define STACK_SLACK 128 // words every frame may use beyond its max_stack: arguments, a native frame

typedef enum FrameKind {
  FRAME_BASE, // returning ends the task
  FRAME_CALL,
  FRAME_NATIVE,
  FRAME_BUILTIN,    // the native of a builtin: named in traces
  FRAME_FORCE,      // returning updates the thunk
  FRAME_FORCE_DROP, // and does not push the value; the instruction of the frame below is repeated
  FRAME_ARG,        // an argument that is evaluated before its call: no thunk, otherwise as FRAME_FORCE
  FRAME_KIND_COUNT_
} FrameKind;

typedef struct Import { // one imported file
  HeapRoot root;        // thunk or value
} Import;

typedef struct VmState VmState;
struct VmState {
  Arena immortal; // path literals
  Unit *units;
  Map imports;                 // canonical path -> Import *
  Map global_index;            // name -> number + 1
  Map known_names;             // those of symbols.def that every program has -> number; other threads read it
  Value *globals;              // VALUE_ABSENT: constant not computed yet
  const Builtin **global_rows; // NULL for `builtins`
  uint32_t global_count;
  uint32_t find_file_global, nix_path_global, builtins_global;
  Value builtins_set;        // 0 until somebody asks
  Value imported_derivation; // the function of derivation_text_imported, or 0
  Native native;
  TaskQueue tasks;
  TaskJobs *jobs; // that are being run; borrowed
  VmStats stats;
  const uint32_t *call_ip; // of the builtin call in progress
  const uint32_t *call_code;
  uint32_t safepoints;
  EvalStat import_stat; // of the file that is being imported, from import_resolve to import_load
};

// Number of a global name, or UINT32_MAX.
uint32_t vm_global_find(Vm *vm, Sym name);
bool vm_is_global(void *vm, Span name);   // CompileScope.is_global
Value vm_global(Vm *vm, uint32_t number); // its value, computed on first use; may be a thunk
Value vm_builtins_set(Vm *vm);

// Runs `task` until it ends, parks or has to yield (task->state tells).
void vm_run_task(Vm *vm, Task *task);
void vm_collect(Vm *vm, bool force_major);

// Parses, compiles and loads; NULL with an error pending. `scoped` as in CompileScope.
Unit *vm_load_text(Vm *vm, Span text, Span path, Span origin, Span base_dir, const Span *scoped, uint32_t scoped_count);
// Thunk of the unit's expression.
Value vm_unit_thunk(Vm *vm, Unit *unit, Env *env);

// Loads the text of a file; the value of its expression as a thunk, or VALUE_ERROR. `scope`: VALUE_NULL, or the set of scopedImport.
Value vm_load_file(Vm *vm, Span path, Span text, Value scope);
// The same from the unit store; VALUE_ABSENT when that has no such file.
Value vm_load_cached(Vm *vm, Span path, const EvalStat *stat);
extern const NativeDef builtins_core_import_file; // (path, scope or null) -> value
extern const NativeDef builtins_core_eval_file;   // the same for the file that a command is about: not named in traces
extern const NativeDef native_strict_call;
extern const NativeDef
    native_leaf_result; // (value of a leaf builtin, its number as raw) -> the value, evaluated on its behalf // (builtin number, count, args...) forces what the builtin wants forced, then calls it
extern const NativeDef native_less_than; // (a, b) -> bool
// (set) -> a set with the string it is coerced to: that comes before the right operand is evaluated, but has other consequences than a string.
extern const NativeDef native_plus_left;
extern const NativeDef native_plus;  // (a, b): `+` on other things than two numbers or strings
extern const NativeDef native_force; // (value) -> value

// vm_ops.c: slow paths. `ip` points behind the instruction.
Value vm_ops_slot(Vm *vm, const Unit *unit, uint32_t word, Env *env);
Value vm_ops_make_set(Vm *vm, Unit *unit, const uint32_t *descriptor, Env *env);
Env *vm_ops_enter(Vm *vm, Unit *unit, const uint32_t *descriptor, Env *env);
void vm_ops_let(Vm *vm, Unit *unit, const uint32_t *descriptor, Env *env);
bool vm_ops_formals(Vm *vm, Unit *unit, const uint32_t *descriptor, const uint32_t *code, Value arg, Env *env);
bool vm_ops_check_dyn_name(Vm *vm, Value name, PosId at); // or an error is pending
Value vm_ops_dyn_attrs(Vm *vm, Unit *unit, Value set, const Value *pairs, uint32_t count, const uint32_t *positions);
void vm_ops_override(Vm *vm, Unit *unit, const uint32_t *descriptor, Value overrides, Env *env);
Value vm_ops_arithmetic(Vm *vm, Op op, Value a, Value b); // errors have no place yet
Value vm_ops_missing(Vm *vm, Value set, Sym name, PosId pos);
Value vm_ops_interp(Vm *vm, const Value *parts, uint32_t count);
Value vm_ops_interp_path(Vm *vm, const Value *parts, uint32_t count, PosId pos);
