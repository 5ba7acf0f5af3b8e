// call_args.h: the private part of the VM that says which arguments a call evaluates before anything else (code.h, ARG).
#pragma once

#include "eval/code.h"
#include "eval/vm.h"

uint32_t call_args_early_slow(Vm *vm, Value f, uint32_t count); // `f` is no closure
bool call_args_refused_slow(Vm *vm, Value f, const Value *args, uint32_t count);

// The arguments that a call of `f` with `count` arguments evaluates first, in order, before anything that may fail: bit i for
// argument i.
static inline uint32_t call_args_early(Vm *vm, Value f, uint32_t count) {
  if (UNLIKELY(!value_is_closure(f))) return call_args_early_slow(vm, f, count);
  const LambdaHead *lambda = code_lambda((const uint32_t *)(uintptr_t)head_payload(value_head(f)));
  return lambda->arity == count ? lambda->early : 0;
}

// The first of the arguments in `mask` that is not evaluated, or NULL. Evaluated thunks are replaced by their values.
static inline Value *call_args_unready(uint32_t mask, Value *args) {
  for (; mask; args++, mask >>= 1) {
    if (!(mask & 1) || LIKELY(value_is_whnf(*args))) continue;
    *args = value_ask(*args);
    if (!value_is_whnf(*args)) return args;
  }
  return NULL;
}

// `f` is a builtin that refuses one of the first `count` arguments, which are evaluated where they have to be, for its type: Nix would not
// evaluate another one. Those before them that it got already are looked at, too.
static inline bool call_args_refused(Vm *vm, Value f, const Value *args, uint32_t count) {
  return count && !value_is_closure(f) && call_args_refused_slow(vm, f, args, count);
}
