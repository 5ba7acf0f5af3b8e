// call_args.c: see call_args.h.
#include "eval/call_args.h"

#include "eval/builtin.h"

static uint32_t call_args_of_builtin(const Builtin *b) {
  if (!(b->flags & BUILTIN_REVERSE) || !b->strict) return b->strict;
  return 1u << (31 - __builtin_clz(b->strict)); // the one that is forced first
}

uint32_t call_args_early_slow(Vm *vm, Value f, uint32_t count) {
  if (value_is_builtin(f)) {
    const Builtin *b = vm->builtins[value_builtin_index(f)];
    return b->arity == count ? call_args_of_builtin(b) : 0;
  }
  if (!value_is_obj(f, T_PAP)) return 0;
  Pap *pap = value_ptr(f);
  uint32_t given = (uint32_t)head_payload(pap->head), early = call_args_early(vm, pap->fn, given + count);
  return call_args_unready(early & ((1u << given) - 1), pap->args) ? 0 : early >> given;
}

bool call_args_refused_slow(Vm *vm, Value f, const Value *args, uint32_t count) {
  uint32_t given = 0;
  const Pap *pap = value_is_obj(f, T_PAP) ? value_ptr(f) : NULL;
  if (pap) given = (uint32_t)head_payload(pap->head);
  Value fn = pap ? pap->fn : f;
  if (!value_is_builtin(fn)) return false;
  const Builtin *b = vm->builtins[value_builtin_index(fn)];
  for (uint32_t i = 0; i < given + count; i++) {
    Value arg = i < given ? pap->args[i] : args[i - given];
    if (b->strict >> i & 1 && !builtin_accepts(b, i, value_follow(arg))) return true;
  }
  return false;
}
