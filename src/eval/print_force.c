// print_force.c: see print_force.h.
//
// One frame for each open set or list. Errors are caught where they occur and kept in a list, so that printing can say what became of the
// value. Which sets and lists were seen is known by their addresses, and collections move objects: the table is hashed anew after each.
#include "eval/print_force.h"

#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/str.h"

// Items of the list that all frames share.
enum { BOX_FAILURES, BOX_FAILURE_COUNT, BOX_SEEN, BOX_SEEN_COUNT, BOX_STAMP, BOX_COUNT };
enum { VALUE, OPTIONS, BOX, DEPTH, I, FORCED, SLOT_COUNT };

#define SEEN_MIN 256
#define FAILURES_MIN 8

static Value null_list(Vm *vm, size_t count) {
  List *list = list_new(vm, count);
  for (size_t i = 0; i < count; i++) list->items[i] = VALUE_NULL;
  return list_value(list);
}

static Value box_get(Native *n, size_t item) {
  return list_get(n->vm, n->slot[BOX], item);
}

static void box_set(Native *n, size_t item, Value v) {
  list_set(n->vm, n->slot[BOX], item, v);
}

static Value box_new(Vm *vm) {
  Value box = null_list(vm, BOX_COUNT);
  list_set(vm, box, BOX_FAILURES, null_list(vm, FAILURES_MIN));
  list_set(vm, box, BOX_FAILURE_COUNT, value_int(0));
  list_set(vm, box, BOX_SEEN, null_list(vm, SEEN_MIN));
  list_set(vm, box, BOX_SEEN_COUNT, value_int(0));
  list_set(vm, box, BOX_STAMP, value_int(0));
  return box;
}

static void add_failure(Native *n, Value what, Span message) {
  size_t count = (size_t)value_small_int(box_get(n, BOX_FAILURE_COUNT));
  Value list = box_get(n, BOX_FAILURES);
  if (count == list_count(list)) {
    Value wider = null_list(n->vm, count * 2);
    for (size_t i = 0; i < count; i++) list_set(n->vm, wider, i, list_get(n->vm, list, i));
    box_set(n, BOX_FAILURES, list = wider);
  }
  list_set(n->vm, list, count, what);
  list_set(n->vm, list, count + 1, str_plain(n->vm, message));
  box_set(n, BOX_FAILURE_COUNT, value_int((int64_t)count + 2));
}

static size_t seen_slot(const Value *table, size_t mask, Value v) {
  size_t i = (size_t)(v * UINT64_C(0x9E3779B97F4A7C15) >> 20) & mask;
  while (table[i] != VALUE_NULL && table[i] != v) i = (i + 1) & mask;
  return i;
}

static void seen_rehash(Native *n, size_t new_count) {
  Value old = box_get(n, BOX_SEEN), table = null_list(n->vm, new_count);
  Value *items = list_items(n->vm, table);
  for (size_t i = 0; i < list_count(old); i++) {
    Value v = list_get(n->vm, old, i);
    if (v != VALUE_NULL) list_set(n->vm, table, seen_slot(items, new_count - 1, v), v);
  }
  box_set(n, BOX_SEEN, table);
}

// False when it was seen before.
static bool seen_add(Native *n, Value v) {
  const HeapStats *stats = &n->vm->heap.stats;
  int64_t stamp = (int64_t)(stats->minor_count + stats->major_count),
          count = value_small_int(box_get(n, BOX_SEEN_COUNT));
  size_t cap = list_count(box_get(n, BOX_SEEN));
  bool full = (size_t)count * 2 >= cap;
  if (full || value_small_int(box_get(n, BOX_STAMP)) != stamp) {
    seen_rehash(n, full ? cap * 2 : cap);
    box_set(n, BOX_STAMP, value_int(stamp));
  }
  Value table = box_get(n, BOX_SEEN);
  size_t slot = seen_slot(list_items(n->vm, table), list_count(table) - 1, v);
  if (list_get(n->vm, table, slot) != VALUE_NULL) return false;
  list_set(n->vm, table, slot, v);
  box_set(n, BOX_SEEN_COUNT, value_int(count + 1));
  return true;
}

static const PrintOptions *force_options(const Native *n) {
  return value_get_raw_ptr(n->slot[OPTIONS]);
}

// The pending error becomes text for `what`. False when it is to be raised.
static bool keep_failure(Native *n, Value what) {
  const EvalError *error = eval_error_pending(n->vm);
  if (error->kind == EVAL_ERROR_INTERRUPTED || (force_options(n)->throw_top_level && native_get(n, DEPTH) == 0))
    return false;
  add_failure(n, what, buf_span(&error->message));
  eval_error_clear(n->vm);
  return true;
}

static bool is_container(Value v) {
  return value_tag(v) == TAG_ATTRS || value_tag(v) == TAG_LIST;
}

static size_t force_count(const Native *n) {
  Value v = n->slot[VALUE];
  return value_is_list(v) ? list_count(v) : attrs_flat_shape(v)->count;
}

static Value force_item(Native *n, size_t i) {
  Value v = n->slot[VALUE];
  return value_is_list(v) ? list_get(n->vm, v, i) : attrs_slot(n->vm, v, (uint32_t)i);
}

static const NativeDef force_native;

static Step force_step(Native *n) {
  NATIVE_BEGIN(n);
  native_set(n, I, -1);
  NATIVE_FORCE(n, n->slot[VALUE]);
  if (n->result == VALUE_ERROR) {
    if (!keep_failure(n, value_follow(n->slot[VALUE]))) return STEP_ERROR;
    NATIVE_RETURN(n, VALUE_NULL);
  }
  n->slot[VALUE] = n->result;
  if (!is_container(n->result)) NATIVE_RETURN(n, VALUE_NULL);
  if (!seen_add(n, n->result)) NATIVE_RETURN(n, VALUE_NULL);
  if (value_is_attrs(n->slot[VALUE]) && force_options(n)->derivation_paths && attrs_has(n->slot[VALUE], SYM_type)) {
    NATIVE_FORCE(n, attrs_get(n->vm, n->slot[VALUE], SYM_type));
    if (n->result == VALUE_ERROR) {
      if (!keep_failure(n, n->slot[VALUE])) return STEP_ERROR;
      NATIVE_RETURN(n, VALUE_NULL);
    }
    if (value_is_string(n->result) && span_eq_cstr(str_span(n->result), "derivation")) {
      if (!attrs_has(n->slot[VALUE], SYM_drv_path)) NATIVE_RETURN(n, VALUE_NULL);
      n->args[0] = attrs_get(n->vm, n->slot[VALUE], SYM_drv_path);
      n->args[1] = value_raw(0);
      NATIVE_PUSH(n, &native_coerce_string);
      if (n->result == VALUE_ERROR && !keep_failure(n, n->slot[VALUE])) return STEP_ERROR;
      NATIVE_RETURN(n, VALUE_NULL);
    }
  }
  if ((size_t)native_get(n, DEPTH) >= force_options(n)->max_depth) NATIVE_RETURN(n, VALUE_NULL);
  if (value_is_attrs(n->slot[VALUE])) n->slot[VALUE] = attrs_flatten(n->vm, n->slot[VALUE]);
  for (native_set(n, I, 0); (size_t)native_get(n, I) < force_count(n); native_add(n, I, 1)) {
    n->args[0] = value_ask(force_item(n, (size_t)native_get(n, I)));
    if (value_is_whnf(n->args[0]) && !is_container(n->args[0])) continue;
    n->args[1] = n->slot[OPTIONS];
    n->args[2] = n->slot[BOX];
    n->args[3] = value_int(native_get(n, DEPTH) + 1);
    NATIVE_PUSH(n, &force_native);
    if (n->result == VALUE_ERROR) return STEP_ERROR;
  }
  NATIVE_RETURN(n, VALUE_NULL);
  NATIVE_END;
}

static void force_sparks(Native *n, SparkSink *sink) {
  if (native_get(n, I) < 0) return;
  for (size_t i = (size_t)native_get(n, I) + 1; i < force_count(n); i++) spark_add(sink, force_item(n, i));
}

static const NativeDef force_native = {.name = "print",
                                       .step = force_step,
                                       .arg_count = 4,
                                       .slot_count = SLOT_COUNT,
                                       .catches = true,
                                       .sparks = force_sparks};

static Step print_force_step(Native *n) {
  NATIVE_BEGIN(n);
  n->slot[BOX] = box_new(n->vm);
  n->args[0] = n->slot[VALUE];
  n->args[1] = n->slot[OPTIONS];
  n->args[2] = n->slot[BOX];
  n->args[3] = value_int(0);
  NATIVE_PUSH(n, &force_native);
  NATIVE_RETURN(n,
                list_slice(n->vm, box_get(n, BOX_FAILURES), 0, (size_t)value_small_int(box_get(n, BOX_FAILURE_COUNT))));
  NATIVE_END;
}

const NativeDef print_force_native = {.name = "print", .step = print_force_step, .arg_count = 2, .slot_count = BOX + 1};
