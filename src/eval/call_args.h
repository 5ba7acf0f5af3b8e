// call_args.h: the private part of the VM that says which arguments a call evaluates before anything else (code.h, ARG).
#pragma once

#include "eval/vm.h"

// The arguments that a call of `f` with `count` arguments evaluates first, in order, before anything that may fail: bit i for
// argument i.
uint32_t call_args_early(Vm *vm, Value f, uint32_t count);
// The first of the arguments in `mask` that is not evaluated, or NULL. Evaluated thunks are replaced by their values.
Value *call_args_unready(uint32_t mask, Value *args);
// `f` is a builtin that refuses one of the first `count` arguments, which are evaluated where they have to be, for its type: Nix would not
// evaluate another one. Those before them that it got already are looked at, too.
bool call_args_refused(Vm *vm, Value f, const Value *args, uint32_t count);
