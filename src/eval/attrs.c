// attrs.c: attribute sets.
//
// `//` copies when both sides are of similar size and layers otherwise. Layers shrink by LAYERED_RATIO from the bottom to the top: a
// new layer that would break this is merged into the one above first. So a large set that is extended again and again is never
// copied, each attribute is copied O(log n) times, and a lookup passes O(log n) layers.
#include "eval/attrs.h"

#include "base/mem.h"
#include "eval/eval_count.h"
#include "eval/str.h"
#include "eval/thunk.h"

#define LAYERED_MAX_DEPTH 12
#define LAYERED_MIN_COUNT 16 // both sides smaller than this: copy
#define ATTRS_FEW 32
#define LAYERED_RATIO 4 // one side at least this many times the other: layer

// An upper bound that costs nothing.
static uint64_t attrs_count_bound(Value set) {
  return set == VALUE_EMPTY_ATTRS ? 0 : head_payload(value_head(set)) & UINT32_MAX;
}

static Value attrs_slot_from_lazy(Vm *vm, Attrs *set, uint32_t slot) {
  Value v = thunk_from_lazy(vm, set->slots[slot], set->env);
  heap_store(&vm->heap, set, &set->slots[slot], v);
  return v;
}

// As attrs_slot_of, without a look at the thunk: for copies, whose values mostly nobody asks for.
static inline Value attrs_slot_to_copy(Vm *vm, Attrs *set, uint32_t slot) {
  Value v = set->slots[slot];
  return LIKELY(value_tag(v) != TAG_LAZY) ? v : attrs_slot_from_lazy(vm, set, slot);
}

static Value attrs_slot_of(Vm *vm, Attrs *set, uint32_t slot) {
  Value v = set->slots[slot];
  if (UNLIKELY(value_tag(v) == TAG_LAZY)) {
    v = attrs_slot_from_lazy(vm, set, slot);
  } else if (value_tag(v) == TAG_THUNK && head_type(value_head(v)) == T_IND) {
    Value followed = value_follow(v);
    if (value_keeps_thunk(followed) || UNLIKELY(head_flags(value_head(v)) & IND_UNASKED)) return v;
    v = followed;
    heap_store(&vm->heap, set, &set->slots[slot], v);
  }
  return v;
}

Value attrs_slot(Vm *vm, Value flat_set, uint32_t slot) {
  return attrs_slot_of(vm, attrs_flat(flat_set), slot);
}

// The flat layer of `set` that holds `name`, and the slot in it.
static Attrs *attrs_locate(Value set, Sym name, uint32_t *ret_slot) {
  while (set != VALUE_EMPTY_ATTRS && set) {
    if (!attrs_is_layered(set)) {
      Attrs *flat = attrs_flat(set);
      *ret_slot = shape_find(flat->shape, name);
      return *ret_slot == SHAPE_NOT_FOUND ? NULL : flat;
    }
    const Layered *layered = value_ptr(set);
    if (layered->top) { // recursion is bounded by LAYERED_MAX_DEPTH
      Attrs *found = attrs_locate(layered->top, name, ret_slot);
      if (found) return found;
    }
    set = layered->base;
  }
  return NULL;
}

Value attrs_get(Vm *vm, Value set, Sym name) {
  uint32_t slot;
  Attrs *flat = attrs_locate(set, name, &slot);
  return flat ? attrs_slot_of(vm, flat, slot) : VALUE_ABSENT;
}

bool attrs_has(Value set, Sym name) {
  uint32_t slot;
  return attrs_locate(set, name, &slot) != NULL;
}

PosId attrs_position(Value set, Sym name) {
  uint32_t slot;
  Attrs *flat = attrs_locate(set, name, &slot);
  return flat ? shape_position(flat->shape, slot) : 0;
}

// Names of `set` that are not in any of the sets above it.
static uint32_t attrs_count_below(Value set, const Value *above, size_t above_count) {
  if (set == VALUE_EMPTY_ATTRS || !set) return 0;
  if (attrs_is_layered(set)) {
    const Layered *layered = value_ptr(set);
    if (!layered->top) return attrs_count_below(layered->base, above, above_count);
    Value seen[2 * LAYERED_MAX_DEPTH + 2] = {0};
    if (above_count) memcpy(seen, above, above_count * sizeof *above);
    uint32_t n = attrs_count_below(layered->top, seen, above_count);
    seen[above_count] = layered->top;
    return n + attrs_count_below(layered->base, seen, above_count + 1);
  }
  const Shape *shape = attrs_flat_shape(set);
  if (!above_count) return shape->count;
  uint32_t n = 0;
  for (uint32_t i = 0; i < shape->count; i++) {
    size_t k = 0;
    while (k < above_count && !attrs_has(above[k], shape->names[i])) k++;
    if (k == above_count) n++;
  }
  return n;
}

uint32_t attrs_count(Value set) {
  return attrs_count_below(set, NULL, 0);
}

Attrs *attrs_new(Vm *vm, Shape *shape) {
  Attrs *set = heap_alloc(&vm->heap, sizeof(Attrs) + shape->count * sizeof(Value));
  set->head = HEAD(T_ATTRS, 0, shape->count);
  set->shape = shape;
  set->env = NULL;
  for (uint32_t i = 0; i < shape->count; i++) set->slots[i] = VALUE_ABSENT;
  if (UNLIKELY(vm->counts)) {
    vm->counts->sets++;
    vm->counts->slots += shape->count;
  }
  return set;
}

static Value attrs_merge_flat(Vm *vm, Value left, Value right) {
  Attrs *l = attrs_flat(left), *r = attrs_flat(right);
  const ShapeMerge *merge = shape_merge(vm->shapes, l->shape, r->shape);
  Attrs *set = attrs_new(vm, merge->result);
  if (UNLIKELY(vm->counts)) vm->counts->update_copies += merge->result->count;
  for (uint32_t i = 0; i < merge->result->count; i++) {
    uint32_t from = merge->from[i];
    set->slots[i] = from >> 31 ? attrs_slot_to_copy(vm, r, from & INT32_MAX) : attrs_slot_to_copy(vm, l, from);
  }
  return attrs_value(set);
}

// Past a flattened layer.
static Value attrs_strip(Value set) {
  while (attrs_is_layered(set) && !((Layered *)value_ptr(set))->top) set = ((Layered *)value_ptr(set))->base;
  return set;
}

// Merges from the top down, so that the largest layer, at the bottom, is copied once.
Value attrs_flatten(Vm *vm, Value set) {
  if (!attrs_is_layered(set)) return set;
  Layered *layered = value_ptr(set);
  if (!layered->top) return layered->base;
  Value flat = attrs_flatten(vm, layered->top); // recursion is bounded by LAYERED_MAX_DEPTH
  Value below = attrs_strip(layered->base);
  for (; attrs_is_layered(below); below = attrs_strip(((Layered *)value_ptr(below))->base))
    flat = attrs_merge_flat(vm, attrs_flatten(vm, ((Layered *)value_ptr(below))->top), flat);
  flat = attrs_merge_flat(vm, below, flat);
  heap_store(&vm->heap, layered, &layered->base, flat);
  layered->top = 0;
  return flat;
}

// A lookup in layers costs several times one in a flat set that the code has a cache for, and flattening costs about as much as
// one lookup for each name: so it pays as soon as the layers have been searched that often.
Value attrs_settle_layered(Vm *vm, Value set) {
  set = attrs_strip(set);
  if (!attrs_is_layered(set)) return set;
  Layered *layered = value_ptr(set);
  uint64_t lookups = head_payload(layered->head) >> LAYERED_LOOKUP_SHIFT;
  if (lookups < attrs_count_bound(set) && lookups < UINT16_MAX) {
    layered->head += HEAD(0, 0, UINT64_C(1) << LAYERED_LOOKUP_SHIFT);
    return set;
  }
  return attrs_flatten(vm, set);
}

static unsigned attrs_depth(Value set) {
  return attrs_is_layered(set) ? head_flags(value_head(set)) & LAYERED_DEPTH : 0;
}

static Value attrs_layer(Vm *vm, Value base, Value top) {
  unsigned depth = attrs_depth(base) + attrs_depth(top) + 1;
  if (depth > LAYERED_MAX_DEPTH) {
    base = attrs_flatten(vm, base);
    top = attrs_flatten(vm, top);
    depth = 1;
  }
  Layered *layered = heap_alloc(&vm->heap, sizeof *layered);
  layered->head = HEAD(T_LAYERED, depth, attrs_count_bound(base) + attrs_count_bound(top));
  layered->base = base;
  layered->top = top;
  return value_from_ptr(layered, TAG_ATTRS);
}

Value attrs_update(Vm *vm, Value left, Value right) {
  if (left == VALUE_EMPTY_ATTRS) return right;
  if (right == VALUE_EMPTY_ATTRS) return left;
  left = attrs_strip(left);
  right = attrs_strip(right);
  uint64_t nl = attrs_count_bound(left), nr = attrs_count_bound(right);
  if ((nl < LAYERED_MIN_COUNT && nr < LAYERED_MIN_COUNT) || (nl < nr * LAYERED_RATIO && nr < nl * LAYERED_RATIO))
    return attrs_merge_flat(vm, attrs_flatten(vm, left), attrs_flatten(vm, right));
  if (nr < nl && attrs_is_layered(left)) {
    const Layered *layered = value_ptr(left);
    if (attrs_count_bound(layered->top) < nr * LAYERED_RATIO && attrs_count_bound(layered->base) > nr) {
      Value base = layered->base, top = attrs_update(vm, layered->top, right); // recursion: depth of the layers
      return attrs_update(vm, base, top);
    }
  }
  return attrs_layer(vm, left, right);
}

void attrs_builder_done(AttrsBuilder *b) {
  mem_free(b->items);
  *b = (AttrsBuilder)ATTRS_BUILDER_INIT;
}

void attrs_builder_add(AttrsBuilder *b, Sym name, Value value, PosId pos) {
  MEM_RESERVE(b->items, b->cap, b->count + 1);
  b->items[b->count++] = (AttrsItem){name, pos, value};
}

// Stable merge sort by name.
static void attrs_sort(const SymbolTable *symbols, AttrsItem *items, AttrsItem *scratch, uint32_t count) {
  if (count <= 8) {
    for (uint32_t i = 1; i < count; i++) {
      AttrsItem item = items[i];
      uint32_t k = i;
      for (; k && symbol_compare(symbols, items[k - 1].name, item.name) > 0; k--) items[k] = items[k - 1];
      items[k] = item;
    }
    return;
  }
  uint32_t half = count / 2;
  attrs_sort(symbols, items, scratch, half);
  attrs_sort(symbols, items + half, scratch, count - half);
  if (symbol_compare(symbols, items[half - 1].name, items[half].name) <= 0) return;
  memcpy(scratch, items, half * sizeof *items);
  uint32_t i = 0, j = half, k = 0;
  while (i < half && j < count)
    items[k++] = symbol_compare(symbols, scratch[i].name, items[j].name) <= 0 ? scratch[i++] : items[j++];
  while (i < half) items[k++] = scratch[i++];
}

static uint32_t attrs_remove_repetitions(AttrsItem *items, uint32_t count, bool first_wins) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (n && items[n - 1].name == items[i].name) {
      if (!first_wins) items[n - 1] = items[i];
    } else {
      items[n++] = items[i];
    }
  }
  return n;
}

Value attrs_builder_finish(Vm *vm, AttrsBuilder *b, bool first_wins) {
  if (!b->count) return VALUE_EMPTY_ATTRS;
  // Most sets are small: no memory is asked for to make them.
  AttrsItem few[ATTRS_FEW], *scratch = b->count > ATTRS_FEW ? mem_alloc_array(b->count, sizeof *scratch) : few;
  attrs_sort(vm->symbols, b->items, scratch, b->count);
  if (scratch != few) mem_free(scratch);
  uint32_t n = attrs_remove_repetitions(b->items, b->count, first_wins);
  Sym few_names[ATTRS_FEW], *names = n > ATTRS_FEW ? mem_alloc_array(n, sizeof *names) : few_names;
  PosId few_positions[ATTRS_FEW], *positions = n > ATTRS_FEW ? mem_alloc_array(n, sizeof *positions) : few_positions;
  for (uint32_t i = 0; i < n; i++) {
    names[i] = b->items[i].name;
    positions[i] = b->items[i].pos;
  }
  Attrs *set = attrs_new(vm, shape_intern(vm->shapes, names, positions, n));
  for (uint32_t i = 0; i < n; i++) set->slots[i] = b->items[i].value;
  if (names != few_names) mem_free(names);
  if (positions != few_positions) mem_free(positions);
  b->count = 0;
  return attrs_value(set);
}
