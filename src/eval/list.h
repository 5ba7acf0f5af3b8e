// list.h: lists. A list is flat or a slice of a flat one. Concatenations of some length live in buffers with room at both ends,
// so that `++` in a loop (either way round) and `tail` in a loop are linear.
#pragma once

#include "eval/vm.h"

static inline size_t list_count(Value list) {
  return list == VALUE_EMPTY_LIST ? 0 : (size_t)head_payload(value_head(list));
}
// The items, contiguous. Borrowed until the next safepoint. Items may be thunks.
static inline Value *list_items(Vm *vm, Value list) {
  if (list == VALUE_EMPTY_LIST) return NULL;
  void *p = value_ptr(list);
  if (head_type(((Object *)p)->head) == T_LIST) return ((List *)p)->items;
  Slice *s = p;
  return ((List *)value_ptr(s->list))->items + s->offset;
}
static inline Value list_get(Vm *vm, Value list, size_t index) {
  return list_items(vm, list)[index];
}
// New list of `count` >= 1 items, to be set before the next safepoint; list_value gives VALUE_EMPTY_LIST for count 0.
List *list_new(Vm *vm, size_t count);
static inline Value list_value(List *list) {
  return value_from_ptr(list, TAG_LIST);
}
Value list_from(Vm *vm, const Value *items, size_t count);
Value list_slice(Vm *vm, Value list, size_t start, size_t count); // clamped; O(1)
Value list_concat(Vm *vm, Value left, Value right);               // O(1) amortised
// Stores an evaluated item back, so that the thunk need not be followed again.
void list_set(Vm *vm, Value list, size_t index, Value v);

// Growable array of values for leaf functions: lives outside the heap, so only between two safepoints.
typedef struct ListBuilder {
  Value *items;
  size_t count, cap;
} ListBuilder;
#define LIST_BUILDER_INIT \
  { NULL, 0, 0 }
void list_builder_done(ListBuilder *builder);
void list_builder_add(ListBuilder *builder, Value v);
Value list_builder_finish(Vm *vm, ListBuilder *builder); // also frees it
