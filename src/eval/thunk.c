// thunk.c: see thunk.h.
#include "eval/thunk.h"

Value thunk_from_lazy(Vm *vm, Value lazy, Env *env) {
  uint64_t payload = value_lazy_payload(lazy);
  switch (value_lazy_kind(lazy)) {
  case LAZY_CLOSURE: return thunk_new_closure(vm, (const void *)(uintptr_t)payload, env);
  case LAZY_ENV_SLOT: return thunk_env_slot(vm, env, payload);
  default: return thunk_new(vm, (const void *)(uintptr_t)payload, env);
  }
}

Value thunk_env_slot_slow(Vm *vm, Env *env, uint64_t index) {
  Value v = thunk_from_lazy(vm, env->slots[index], env);
  heap_store(&vm->heap, env, &env->slots[index], v);
  return v;
}

Value native_delay_call(Vm *vm, Value fn, const Value *args, uint32_t count) {
  AppThunk *t = heap_alloc(&vm->heap, sizeof *t + count * sizeof(Value));
  t->head = HEAD(T_APP, 0, count);
  t->fn = fn;
  for (uint32_t i = 0; i < count; i++) t->args[i] = args[i];
  return value_from_ptr(t, TAG_THUNK);
}
