// list.c: slices, and concatenation into buffers that grow at both ends.
//
// A buffer is a T_LIST flagged LIST_BUFFER whose first two items are raw numbers: the used range [lo, hi) of item numbers. Only slices
// refer to it. A concatenation whose left operand ends at hi (or whose right operand starts at lo) writes into the free room
// and shares the buffer; everybody else's slice stays as it was.
#include "eval/list.h"

#include "base/mem.h"
#include "eval/eval_count.h"

#define LIST_BUFFER_MIN 32 // shorter concatenations are plain copies
#define LIST_BUFFER_HEADER 2

List *list_new(Vm *vm, size_t count) {
  List *list = heap_alloc(&vm->heap, sizeof(List) + count * sizeof(Value));
  list->head = HEAD(T_LIST, 0, count);
  if (UNLIKELY(vm->counts)) vm->counts->list_items += count;
  return list;
}

Value list_from(Vm *vm, const Value *items, size_t count) {
  if (!count) return VALUE_EMPTY_LIST;
  List *list = list_new(vm, count);
  memcpy(list->items, items, count * sizeof(Value));
  return list_value(list);
}

static Value list_slice_of(Vm *vm, List *list, size_t offset, size_t count) {
  Slice *slice = heap_alloc(&vm->heap, sizeof *slice);
  slice->head = HEAD(T_SLICE, 0, count);
  slice->list = list_value(list);
  slice->offset = offset;
  return value_from_ptr(slice, TAG_LIST);
}

// The flat list below `list`, and where in it the items start.
static List *list_base(Value list, size_t *ret_offset) {
  if (head_type(value_head(list)) == T_LIST) {
    *ret_offset = 0;
    return value_ptr(list);
  }
  const Slice *slice = value_ptr(list);
  *ret_offset = slice->offset;
  return value_ptr(slice->list);
}

Value list_slice(Vm *vm, Value list, size_t start, size_t count) {
  size_t total = list_count(list);
  if (start > total) start = total;
  if (count > total - start) count = total - start;
  if (!count) return VALUE_EMPTY_LIST;
  if (count == total) return list;
  if (count <= 2) return list_from(vm, list_items(vm, list) + start, count);
  size_t offset;
  List *base = list_base(list, &offset);
  return list_slice_of(vm, base, offset + start, count);
}

static bool list_is_buffer(const List *list) {
  return head_flags(list->head) & LIST_BUFFER;
}

static void list_store_range(Vm *vm, List *list, size_t at, const Value *items, size_t count) {
  for (size_t i = 0; i < count; i++) heap_store(&vm->heap, list, &list->items[at + i], items[i]);
}

static Value list_new_buffer(Vm *vm, Value left, Value right) {
  size_t nl = list_count(left), nr = list_count(right), total = nl + nr;
  size_t cap = LIST_BUFFER_HEADER + total * 2;
  List *buffer = list_new(vm, cap);
  buffer->head = HEAD(T_LIST, LIST_BUFFER, cap);
  // The room is where the next addition is likely: at the end of the longer side's other end.
  size_t lo = LIST_BUFFER_HEADER + (nl >= nr ? 0 : total);
  buffer->items[0] = value_int((int64_t)lo);
  buffer->items[1] = value_int((int64_t)(lo + total));
  memcpy(buffer->items + lo, list_items(vm, left), nl * sizeof(Value));
  memcpy(buffer->items + lo + nl, list_items(vm, right), nr * sizeof(Value));
  for (size_t i = LIST_BUFFER_HEADER; i < lo; i++) buffer->items[i] = 0;
  for (size_t i = lo + total; i < cap; i++) buffer->items[i] = 0;
  return list_slice_of(vm, buffer, lo, total);
}

Value list_concat(Vm *vm, Value left, Value right) {
  if (left == VALUE_EMPTY_LIST) return right;
  if (right == VALUE_EMPTY_LIST) return left;
  size_t nl = list_count(left), nr = list_count(right), total = nl + nr;
  if (total < LIST_BUFFER_MIN) {
    List *list = list_new(vm, total);
    memcpy(list->items, list_items(vm, left), nl * sizeof(Value));
    memcpy(list->items + nl, list_items(vm, right), nr * sizeof(Value));
    return list_value(list);
  }
  size_t offset;
  List *base = list_base(left, &offset);
  if (list_is_buffer(base) && offset + nl == (size_t)value_small_int(base->items[1]) &&
      offset + total <= (size_t)head_payload(base->head)) {
    list_store_range(vm, base, offset + nl, list_items(vm, right), nr);
    base->items[1] = value_int((int64_t)(offset + total));
    return list_slice_of(vm, base, offset, total);
  }
  base = list_base(right, &offset);
  if (list_is_buffer(base) && offset == (size_t)value_small_int(base->items[0]) && offset >= LIST_BUFFER_HEADER + nl) {
    list_store_range(vm, base, offset - nl, list_items(vm, left), nl);
    base->items[0] = value_int((int64_t)(offset - nl));
    return list_slice_of(vm, base, offset - nl, total);
  }
  return list_new_buffer(vm, left, right);
}

void list_set(Vm *vm, Value list, size_t index, Value v) {
  size_t offset;
  List *base = list_base(list, &offset);
  heap_store(&vm->heap, base, &base->items[offset + index], v);
}

void list_builder_done(ListBuilder *b) {
  mem_free(b->items);
  *b = (ListBuilder)LIST_BUILDER_INIT;
}

void list_builder_add(ListBuilder *b, Value v) {
  MEM_RESERVE(b->items, b->cap, b->count + 1);
  b->items[b->count++] = v;
}

Value list_builder_finish(Vm *vm, ListBuilder *b) {
  Value v = list_from(vm, b->items, b->count);
  list_builder_done(b);
  return v;
}
