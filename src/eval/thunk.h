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
// `v` behind an evaluated thunk.
static inline Value thunk_new_evaluated(Vm *vm, Value v) {
  Thunk *thunk = heap_alloc(&vm->heap, sizeof *thunk);
  thunk->head = HEAD(T_IND, 0, 0);
  thunk->value = v;
  return value_from_ptr(thunk, TAG_THUNK);
}
// `v`, a literal in WHNF, as something that nobody has asked for.
static inline Value thunk_new_unasked(Vm *vm, Value v) {
  Thunk *thunk = heap_alloc(&vm->heap, sizeof *thunk);
  thunk->head = HEAD(T_IND, IND_UNASKED | IND_LITERAL, 0);
  thunk->value = v;
  return value_from_ptr(thunk, TAG_THUNK);
}
// The value of slot `index`, never TAG_LAZY; stored back.
Value thunk_env_slot_slow(Vm *vm, Env *env, uint64_t index);
static inline Value thunk_env_slot(Vm *vm, Env *env, uint64_t index) {
  Value v = env->slots[index];
  return LIKELY(value_tag(v) != TAG_LAZY) ? v : thunk_env_slot_slow(vm, env, index);
}
// What a lazy word stands for, evaluated in `env`.
Value thunk_from_lazy(Vm *vm, Value lazy, Env *env);
// `v`, an object in WHNF, as the value of a thunk: a function becomes a copy. In Nix, two functions inside of sets or lists are equal
// when they are the same variable or attribute, not when they came from one lambda by way of two expressions; so each thunk has
// a function of its own, and the address of the object tells them apart.
Value thunk_own_function(Vm *vm, Value v);
