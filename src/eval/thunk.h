// thunk.h: making thunks and turning lazy slots (code nobody has asked for yet) into thunks or closures.
#pragma once

#include "eval/vm.h"

static inline Value thunk_new(Vm *vm, const void *code, Env *env) {
  Thunk *t = heap_alloc(&vm->heap, sizeof *t);
  t->head = HEAD(T_THUNK, 0, (uintptr_t)code);
  t->env = env;
  return value_from_ptr(t, TAG_THUNK);
}
static inline Value thunk_new_closure(Vm *vm, const void *code, Env *env) {
  Closure *c = heap_alloc(&vm->heap, sizeof *c);
  c->head = HEAD(T_CLOSURE, 0, (uintptr_t)code);
  c->env = env;
  return value_from_ptr(c, TAG_OBJ);
}
// The value of slot `index`, never TAG_LAZY; stored back.
Value thunk_env_slot_slow(Vm *vm, Env *env, uint64_t index);
static inline Value thunk_env_slot(Vm *vm, Env *env, uint64_t index) {
  Value v = env->slots[index];
  return LIKELY(value_tag(v) != TAG_LAZY) ? v : thunk_env_slot_slow(vm, env, index);
}
// What a lazy word stands for, evaluated in `env`.
Value thunk_from_lazy(Vm *vm, Value lazy, Env *env);
