// attrs.h: reading and building attribute sets. A set is flat (shape + slots) or layered (base // top, made by `//` when the
// top is small); the functions here hide the difference. Attribute order is bytewise by name everywhere.
#pragma once

#include "eval/vm.h"

uint32_t attrs_count(Value set);
static inline bool attrs_is_layered(Value set) {
  return value_tag(set) == TAG_ATTRS && head_type(value_head(set)) == T_LAYERED;
}
// The attribute's value, or VALUE_ABSENT. May be a thunk; a lazy slot is turned into a thunk (or closure) first.
Value attrs_get(Vm *vm, Value set, Sym name);
bool attrs_has(Value set, Sym name);
PosId attrs_position(Value set, Sym name); // 0 when unknown

// A flat set with the same content: `set` itself or its cached flattening. VALUE_EMPTY_ATTRS stays.
Value attrs_flatten(Vm *vm, Value set);
// Iteration needs a flat, non-empty set: names are attrs_flat_shape(s)->names[i], values attrs_slot(vm, s, i).
static inline Attrs *attrs_flat(Value flat_set) {
  return (Attrs *)value_ptr(flat_set);
}
static inline Shape *attrs_flat_shape(Value flat_set) {
  return attrs_flat(flat_set)->shape;
}
Value attrs_slot(Vm *vm, Value flat_set, uint32_t slot);
Value attrs_settle_layered(Vm *vm, Value set);
// `set` itself, or the same flat when that has been made already, or is made now because so much is looked up in it. For lookups.
static inline Value attrs_settle(Vm *vm, Value set) {
  return attrs_is_layered(set) ? attrs_settle_layered(vm, set) : set;
}
// Where attribute number `i` is, in the order in which Nix walks through a set (shape_order): for whatever stops at a failure.
static inline uint32_t attrs_nth(Vm *vm, Value flat_set, size_t i) {
  return shape_order(vm->shapes, attrs_flat_shape(flat_set))[i];
}

// New flat set with the given shape (count >= 1); slots are VALUE_ABSENT and must all be set before the next safepoint.
Attrs *attrs_new(Vm *vm, Shape *shape);
static inline Value attrs_value(Attrs *set) {
  return value_from_ptr(set, TAG_ATTRS);
}

// Builder for sets whose names come in any order; the later of two equal names wins unless ATTRS_FIRST_WINS. Not a heap
// object: use it between two safepoints only.
typedef struct AttrsItem {
  Sym name;
  PosId pos;
  Value value;
} AttrsItem;
typedef struct AttrsBuilder {
  AttrsItem *items; // owned
  uint32_t count, cap;
} AttrsBuilder;
#define ATTRS_BUILDER_INIT \
  { NULL, 0, 0 }
void attrs_builder_done(AttrsBuilder *builder);
void attrs_builder_add(AttrsBuilder *builder, Sym name, Value value, PosId pos);
// Sorts, removes repetitions, empties the builder. VALUE_EMPTY_ATTRS when nothing was added.
Value attrs_builder_finish(Vm *vm, AttrsBuilder *builder, bool first_wins);

// left // right.
Value attrs_update(Vm *vm, Value left, Value right);
