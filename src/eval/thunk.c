// thunk.c: see thunk.h.
#include "eval/thunk.h"

#include "eval/eval_count.h"

#include <string.h>

Value thunk_from_lazy(Vm *vm, Value lazy, Env *env) {
  uint64_t payload = value_lazy_payload(lazy);
  switch (value_lazy_kind(lazy)) {
  case LAZY_CLOSURE: return thunk_new_unasked(vm, thunk_new_closure(vm, (const void *)(uintptr_t)payload, env));
  case LAZY_ENV_SLOT: return thunk_env_slot(vm, env, payload);
  default:
    if (UNLIKELY(vm->counts)) vm->counts->late_thunks++;
    return thunk_new(vm, (const void *)(uintptr_t)payload, env);
  }
}

Value thunk_env_slot_slow(Vm *vm, Env *env, uint64_t index) {
  Value v = thunk_from_lazy(vm, env->slots[index], env);
  heap_store(&vm->heap, env, &env->slots[index], v);
  return v;
}

Value thunk_own_function(Vm *vm, Value v) {
  const Object *object = value_ptr(v);
  size_t words;
  switch (head_type(object->head)) {
  case T_CLOSURE: words = sizeof(Closure) / sizeof(Value); break;
  case T_PAP: words = sizeof(Pap) / sizeof(Value) + (size_t)head_payload(object->head); break;
  default: return v;
  }
  Value *copy = heap_alloc(&vm->heap, words * sizeof(Value));
  memcpy(copy, object, words * sizeof(Value));
  ((Object *)copy)->head &= ~HEAD(0, OBJ_LARGE | OBJ_STATIC | OBJ_MARK, 0);
  return value_from_ptr(copy, TAG_OBJ);
}

Value native_delay_call(Vm *vm, Value fn, const Value *args, uint32_t count) {
  AppThunk *t = heap_alloc(&vm->heap, sizeof *t + count * sizeof(Value));
  t->head = HEAD(T_APP, 0, count);
  t->fn = fn;
  for (uint32_t i = 0; i < count; i++) t->args[i] = args[i];
  return value_from_ptr(t, TAG_THUNK);
}
