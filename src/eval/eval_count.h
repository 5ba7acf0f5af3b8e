// eval_count.h: counters of an evaluation that would cost something if they were always kept: they are counted only while somebody wants them.
//
// While they are, the nursery looks full at all times, so that every new frame goes through the VM's safepoint; calls of plain builtins go
// through a row that counts; and select sites forget what they have cached. Otherwise nothing of this is in the way.
#pragma once

#include "base/map.h"
#include "eval/vm.h"

typedef struct EvalCounts {
  uint64_t calls;         // of functions
  uint64_t arguments;     // of these calls
  uint64_t env_slots;     // of their variables
  uint64_t lookups;       // of attributes
  uint64_t late_thunks;   // made of slots that held only code
  uint64_t lazy_places;   // elements of literal sets, variables of `let`: where a thunk may be needed
  uint64_t sets, slots;   // flat ones that were allocated
  uint64_t update_copies; // attributes copied by `//`
  uint64_t list_items;
  uint64_t collect_ns;
  bool by_place;      // the tables below are kept
  Map functions;      // code pointer -> number of calls
  Map selects;        // PosId -> number of look-ups
  uint64_t *builtins; // calls by number
  Builtin *rows;      // that count, in place of those of `originals`
  const Builtin **originals;
} EvalCounts;

// Before the first evaluation. `by_place`: also what NIX_COUNT_CALLS asks for.
void eval_count_start(Vm *vm, bool by_place);
void eval_count_free(Vm *vm);
// What a key of `functions` means: its place and its name ("" for an anonymous one).
PosId eval_count_function(Vm *vm, const uint32_t *code, Span *ret_name);

// For the VM.
void eval_count_frame(Vm *vm, const Task *task); // a frame has been entered
void eval_count_lookup(Vm *vm, PosId pos);
