// builtins_lists.c: builtins on lists, except sort (builtins_sort.c) and genericClosure (builtins_closure.c).
#include "eval/builtins/registry.h"

#include "base/mem.h"
#include "eval/builtins/builtins_util.h"

#define GEN_LIST_MAX_COUNT (UINT64_C(1) << 32) // where memory is not limited

static Value head_fn(Vm *vm, Value *args) {
  if (!expect_list(vm, args[0], "while evaluating the first argument passed to 'builtins.head'")) return VALUE_ERROR;
  if (args[0] == VALUE_EMPTY_LIST) return eval_error(vm, EVAL_ERROR_EVAL, 0, "'builtins.head' called on an empty list");
  return list_get(vm, args[0], 0);
}

static Value tail_fn(Vm *vm, Value *args) {
  if (!expect_list(vm, args[0], "while evaluating the first argument passed to 'builtins.tail'")) return VALUE_ERROR;
  if (args[0] == VALUE_EMPTY_LIST) return eval_error(vm, EVAL_ERROR_EVAL, 0, "'builtins.tail' called on an empty list");
  return list_slice(vm, args[0], 1, SIZE_MAX);
}

static Value length_fn(Vm *vm, Value *args) {
  if (!expect_list(vm, args[0], ARG1 "length")) return VALUE_ERROR;
  return value_int((int64_t)list_count(args[0]));
}

static Value elem_at_fn(Vm *vm, Value *args) {
  if (!expect_int(vm, args[1], "while evaluating the second argument passed to 'builtins.elemAt'")) return VALUE_ERROR;
  if (!expect_list(vm, args[0], "while evaluating the first argument passed to 'builtins.elemAt'")) return VALUE_ERROR;
  int64_t index = value_get_int(args[1]);
  size_t count = list_count(args[0]);
  if (index < 0 || (uint64_t)index >= count)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "'builtins.elemAt' called with index %lld on a list of size %zu",
                      (long long)index, count);
  return list_get(vm, args[0], (size_t)index);
}

static Value gen_list_fn(Vm *vm, Value *args) {
  if (!expect_int(vm, args[1], ARG2 "genList")) return VALUE_ERROR;
  int64_t count = value_get_int(args[1]);
  if (count < 0) return eval_error(vm, EVAL_ERROR_EVAL, 0, "cannot create list of size %lld", (long long)count);
  if (!expect_function(vm, args[0], ARG1 "genList")) return VALUE_ERROR;
  // No list can be longer than the memory: of an element there are at least a word and a delayed call.
  uint64_t most = vm->heap.config.max_bytes ? vm->heap.config.max_bytes / 32 : GEN_LIST_MAX_COUNT;
  if ((uint64_t)count > most)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "cannot create list of size %lld", (long long)count);
  if (!count) return VALUE_EMPTY_LIST;
  List *list = list_new(vm, (size_t)count);
  for (int64_t i = 0; i < count; i++) {
    Value index = value_int(i);
    list->items[i] = native_delay_call(vm, args[0], &index, 1);
  }
  return list_value(list);
}

static Step map_step(Native *n) {
  enum { FN, LIST, FRAME };
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "map")) return STEP_ERROR;
  // The function is not looked at for an empty list.
  if (n->slot[LIST] == VALUE_EMPTY_LIST) NATIVE_RETURN(n, VALUE_EMPTY_LIST);
  NATIVE_FORCE_FOR(n, n->slot[FN], FRAME, ARG1 "map");
  n->slot[FN] = n->result;
  if (!expect_function(n->vm, n->slot[FN], ARG1 "map")) return STEP_ERROR;
  {
    size_t count = list_count(n->slot[LIST]);
    Value *items = list_items(n->vm, n->slot[LIST]);
    List *list = list_new(n->vm, count);
    for (size_t i = 0; i < count; i++) list->items[i] = native_delay_call(n->vm, n->slot[FN], &items[i], 1);
    NATIVE_RETURN(n, list_value(list));
  }
  NATIVE_END;
}

static void map_trace(Native *n) {
  trace_slot(n, 2);
}

static const NativeDef map_native = {
    .name = "map", .step = map_step, .arg_count = 2, .slot_count = 3, .trace = map_trace};

static Step filter_step(Native *n) {
  enum { FN, LIST, FRAME, I, KEPT, KEPT_COUNT };
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "filter")) return STEP_ERROR;
  if (n->slot[LIST] == VALUE_EMPTY_LIST) NATIVE_RETURN(n, VALUE_EMPTY_LIST);
  NATIVE_FORCE_FOR(n, n->slot[FN], FRAME, ARG1 "filter");
  n->slot[FN] = n->result;
  if (!expect_function(n->vm, n->slot[FN], ARG1 "filter")) return STEP_ERROR;
  n->slot[KEPT] = scratch_new(n->vm, list_count(n->slot[LIST]));
  native_set(n, KEPT_COUNT, 0);
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_CALL1(n, n->slot[FN], list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_bool(n->vm, n->result,
                     "while evaluating the return value of the filtering function passed to builtins.filter"))
      return STEP_ERROR;
    if (n->result != VALUE_TRUE) continue;
    list_set(n->vm, n->slot[KEPT], (size_t)native_get(n, KEPT_COUNT),
             list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    native_add(n, KEPT_COUNT, 1);
  }
  if (native_get(n, KEPT_COUNT) == native_get(n, I)) NATIVE_RETURN(n, n->slot[LIST]);
  NATIVE_RETURN(n, list_from(n->vm, list_items(n->vm, n->slot[KEPT]), (size_t)native_get(n, KEPT_COUNT)));
  NATIVE_END;
}

static const NativeDef filter_native = {
    .name = "filter", .step = filter_step, .arg_count = 2, .slot_count = 6, .trace = map_trace};

// Equality of two values in WHNF where that is plain to see: 1, 0, or -1 when it has to be computed.
static int equal_at_sight(Value a, Value b) {
  if (value_is_string(a) && value_is_string(b)) return span_eq(str_span(a), str_span(b));
  if (value_is_small_int(a) && value_is_small_int(b)) return a == b;
  if (value_is_string(a)) return value_is_whnf(b) ? 0 : -1;
  return -1;
}

static Step elem_step(Native *n) {
  enum { X, LIST, I, X_VALUE };
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "elem")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, n->slot[X]);
    n->slot[X_VALUE] = n->result;
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    {
      // The very same value is equal, even a function, but only when it is the same variable: see value_keeps_thunk.
      Value x = n->slot[X_VALUE], item = n->result;
      bool same =
          value_is_function(item) ? n->slot[X] == list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)) : x == item;
      int equal = same ? 1 : equal_at_sight(x, item);
      if (equal == 1) NATIVE_RETURN(n, VALUE_TRUE);
      if (equal == 0) continue;
      n->args[0] = x;
      n->args[1] = item;
    }
    NATIVE_PUSH(n, &native_equal);
    if (n->result == VALUE_TRUE) NATIVE_RETURN(n, VALUE_TRUE);
  }
  NATIVE_RETURN(n, VALUE_FALSE);
  NATIVE_END;
}

static const NativeDef elem_native = {.name = "elem", .step = elem_step, .arg_count = 2, .slot_count = 4};

// The items of the lists in `lists`, all evaluated, one after the other. `is_new`: never one of them as it is.
static Value concat_all(Vm *vm, Value lists, bool is_new) {
  size_t list_total = list_count(lists), total = 0, filled = 0;
  Value *items = list_items(vm, lists), last = VALUE_EMPTY_LIST;
  for (size_t i = 0; i < list_total; i++) {
    Value list = value_follow(items[i]);
    if (list == VALUE_EMPTY_LIST) continue;
    total += list_count(list);
    filled++;
    last = list;
  }
  if (!filled || (filled == 1 && !is_new)) return last;
  List *result = list_new(vm, total);
  size_t at = 0;
  for (size_t i = 0; i < list_total; i++) {
    Value list = value_follow(items[i]);
    size_t count = list_count(list);
    if (count) memcpy(result->items + at, list_items(vm, list), count * sizeof(Value));
    at += count;
  }
  return list_value(result);
}

static Step concat_lists_step(Native *n) {
  enum { LISTS, FRAME, I };
  static const char frame[] = "while evaluating a value of the list passed to builtins.concatLists";
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LISTS], ARG1 "concatLists")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LISTS]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LISTS], (size_t)native_get(n, I)));
    if (!expect_list(n->vm, n->result, frame)) return STEP_ERROR;
  }
  NATIVE_RETURN(n, concat_all(n->vm, n->slot[LISTS], false));
  NATIVE_END;
}

static void concat_lists_trace(Native *n) {
  trace_slot(n, 1);
}

static void concat_lists_sparks(Native *n, SparkSink *sink) {
  spark_items(n, sink, n->slot[0], (size_t)native_get(n, 2) + 1);
}

static const NativeDef concat_lists_native = {.name = "concatLists",
                                              .step = concat_lists_step,
                                              .arg_count = 1,
                                              .slot_count = 3,
                                              .trace = concat_lists_trace,
                                              .sparks = concat_lists_sparks};

static Step concat_map_step(Native *n) {
  enum { FN, LIST, I, LISTS };
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[FN], ARG1 "concatMap")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "concatMap")) return STEP_ERROR;
  n->slot[LISTS] = scratch_new(n->vm, list_count(n->slot[LIST]));
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_CALL1(n, n->slot[FN], list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!value_is_list(n->result)) {
      eval_error_type(n->vm, 0, "a list", n->result);
      eval_error_trace(n->vm, vm_function_pos(n->vm, value_is_function(n->result) ? n->result : n->slot[FN]),
                       "while evaluating the return value of the function passed to builtins.concatMap");
      return STEP_ERROR;
    }
    list_set(n->vm, n->slot[LISTS], (size_t)native_get(n, I), n->result);
  }
  NATIVE_RETURN(n, concat_all(n->vm, n->slot[LISTS], true));
  NATIVE_END;
}

static const NativeDef concat_map_native = {
    .name = "concatMap", .step = concat_map_step, .arg_count = 2, .slot_count = 4};

static Step foldl_step(Native *n) {
  enum { OP, ACC, LIST, I };
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[OP], ARG1 "foldlStrict")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG3 "foldlStrict")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_CALL2(n, n->slot[OP], n->slot[ACC], list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    n->slot[ACC] = n->result;
  }
  NATIVE_FORCE(n, n->slot[ACC]);
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static const NativeDef foldl_native = {.name = "foldl'", .step = foldl_step, .arg_count = 3, .slot_count = 4};

static Step any_step(Native *n) {
  enum { PRED, LIST, I };
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[PRED], ARG1 "any")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "any")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_CALL1(n, n->slot[PRED], list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_bool(n->vm, n->result, "while evaluating the return value of the function passed to builtins.any"))
      return STEP_ERROR;
    if (n->result == VALUE_TRUE) NATIVE_RETURN(n, VALUE_TRUE);
  }
  NATIVE_RETURN(n, VALUE_FALSE);
  NATIVE_END;
}

static const NativeDef any_native = {.name = "any", .step = any_step, .arg_count = 2, .slot_count = 3};

static Step all_step(Native *n) {
  enum { PRED, LIST, I };
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[PRED], ARG1 "all")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "all")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_CALL1(n, n->slot[PRED], list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_bool(n->vm, n->result, "while evaluating the return value of the function passed to builtins.all"))
      return STEP_ERROR;
    if (n->result == VALUE_FALSE) NATIVE_RETURN(n, VALUE_FALSE);
  }
  NATIVE_RETURN(n, VALUE_TRUE);
  NATIVE_END;
}

static const NativeDef all_native = {.name = "all", .step = all_step, .arg_count = 2, .slot_count = 3};

static Value two_attrs(Vm *vm, Sym a, Value a_value, Sym b, Value b_value) {
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, a, a_value, 0);
  attrs_builder_add(&builder, b, b_value, 0);
  Value set = attrs_builder_finish(vm, &builder, false);
  attrs_builder_done(&builder);
  return set;
}

// The scratch list is filled from both ends: right items forwards, wrong ones backwards.
static Value partition_finish(Vm *vm, Value scratch, size_t right_count) {
  size_t count = list_count(scratch), wrong_count = count - right_count;
  Value *items = list_items(vm, scratch), right = list_from(vm, items, right_count), wrong = VALUE_EMPTY_LIST;
  if (wrong_count) {
    List *list = list_new(vm, wrong_count);
    for (size_t i = 0; i < wrong_count; i++) list->items[i] = items[count - 1 - i];
    wrong = list_value(list);
  }
  return two_attrs(vm, SYM_right, right, SYM_wrong, wrong);
}

static Step partition_step(Native *n) {
  enum { PRED, LIST, I, SCRATCH, RIGHT };
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[PRED], ARG1 "partition")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "partition")) return STEP_ERROR;
  n->slot[SCRATCH] = scratch_new(n->vm, list_count(n->slot[LIST]));
  native_set(n, RIGHT, 0);
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    NATIVE_CALL1(n, n->slot[PRED], n->result);
    if (!expect_bool(n->vm, n->result,
                     "while evaluating the return value of the partition function passed to builtins.partition"))
      return STEP_ERROR;
    {
      size_t i = (size_t)native_get(n, I), right = (size_t)native_get(n, RIGHT), count = list_count(n->slot[LIST]);
      bool is_right = n->result == VALUE_TRUE;
      Value item = value_follow(list_get(n->vm, n->slot[LIST], i));
      list_set(n->vm, n->slot[SCRATCH], is_right ? right : count - 1 - (i - right), item);
      native_add(n, RIGHT, is_right);
    }
  }
  NATIVE_RETURN(n, partition_finish(n->vm, n->slot[SCRATCH], (size_t)native_get(n, RIGHT)));
  NATIVE_END;
}

static const NativeDef partition_native = {
    .name = "partition", .step = partition_step, .arg_count = 2, .slot_count = 5};

// Groups by symbol: item i belongs to names[i]. The order within a group is that of the list.
typedef struct Group {
  Sym name;
  size_t count;
  List *list;
} Group;

static Value group_items(Vm *vm, Value items, Value names) {
  size_t count = list_count(items), group_count = 0, mask = 15;
  if (!count) return VALUE_EMPTY_ATTRS;
  while (mask < count * 2) mask = mask * 2 + 1;
  uint32_t *index = mem_alloc_zero((mask + 1) * sizeof *index); // group number + 1 by symbol
  uint32_t *group_of = mem_alloc_array(count, sizeof *group_of);
  Group *groups = mem_alloc_array(count, sizeof *groups);
  const Value *syms = list_items(vm, names);
  for (size_t i = 0; i < count; i++) {
    Sym sym = (Sym)value_small_int(syms[i]);
    size_t slot = (sym * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;
    while (index[slot] && groups[index[slot] - 1].name != sym) slot = (slot + 1) & mask;
    if (!index[slot]) {
      groups[group_count] = (Group){sym, 0, NULL};
      index[slot] = (uint32_t)++group_count;
    }
    group_of[i] = index[slot] - 1;
    groups[group_of[i]].count++;
  }
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  for (size_t g = 0; g < group_count; g++) {
    groups[g].list = list_new(vm, groups[g].count);
    groups[g].count = 0;
    attrs_builder_add(&builder, groups[g].name, list_value(groups[g].list), 0);
  }
  const Value *values = list_items(vm, items);
  for (size_t i = 0; i < count; i++) {
    Group *group = &groups[group_of[i]];
    group->list->items[group->count++] = values[i];
  }
  Value set = attrs_builder_finish(vm, &builder, false);
  attrs_builder_done(&builder);
  mem_free(index);
  mem_free(group_of);
  mem_free(groups);
  return set;
}

static Step group_by_step(Native *n) {
  enum { FN, LIST, I, NAMES };
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[FN], ARG1 "groupBy")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "groupBy")) return STEP_ERROR;
  n->slot[NAMES] = scratch_new(n->vm, list_count(n->slot[LIST]));
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_CALL1(n, n->slot[FN], list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_text(n->vm, n->result,
                     "while evaluating the return value of the grouping function passed to builtins.groupBy"))
      return STEP_ERROR;
    list_set(n->vm, n->slot[NAMES], (size_t)native_get(n, I), value_int(str_intern(n->vm, n->result)));
  }
  NATIVE_RETURN(n, group_items(n->vm, n->slot[LIST], n->slot[NAMES]));
  NATIVE_END;
}

static const NativeDef group_by_native = {.name = "groupBy", .step = group_by_step, .arg_count = 2, .slot_count = 4};

static const Builtin rows[] = {
    {"head",
     1,
     1,
     0,
     head_fn,
     NULL,
     "list",
     "Return the first element of *list*. It is an error when the argument is no list or an empty one.",
     "l",
     {"while evaluating the first argument passed to 'builtins.head'"}},
    {"tail",
     1,
     1,
     0,
     tail_fn,
     NULL,
     "list",
     "Return *list* without its first element, in constant time. It is an error when the argument is no list or an "
     "empty one.",
     "l",
     {"while evaluating the first argument passed to 'builtins.tail'"}},
    {"length", 1, 1, 0, length_fn, NULL, "e", "Return the number of elements of the list *e*.", "l", {ARG1 "length"}},
    {"elemAt",
     2,
     3,
     BUILTIN_REVERSE,
     elem_at_fn,
     NULL,
     "xs n",
     "Return element number *n* of the list *xs*, counted from 0. An index outside of the list is an error.",
     "li",
     {"while evaluating the first argument passed to 'builtins.elemAt'",
      "while evaluating the second argument passed to 'builtins.elemAt'"}},
    {"genList",
     2,
     3,
     BUILTIN_REVERSE,
     gen_list_fn,
     NULL,
     "generator length",
     "Return a list of *length* elements, where element *i* is `generator i`, evaluated when it is needed.\n\n"
     "```nix\nbuiltins.genList (x: x * x) 5\n```\n\nis `[ 0 1 4 9 16 ]`.",
     "fc",
     {ARG1 "genList", ARG2 "genList"}},
    {"map",
     2,
     2,
     BUILTIN_GLOBAL,
     NULL,
     &map_native,
     "f list",
     "Return the list of the results of *f* for each element of *list*. Each call is made when its result is "
     "needed.\n\n"
     "```nix\nmap (x: \"foo\" + x) [ \"bar\" \"bla\" ]\n```\n\nis `[ \"foobar\" \"foobla\" ]`.",
     ".l",
     {ARG1 "map", ARG2 "map"}},
    {"filter",
     2,
     2,
     0,
     NULL,
     &filter_native,
     "f list",
     "Return the elements of *list* for which *f* returns `true`, in their order.",
     ".l",
     {ARG1 "filter", ARG2 "filter"}},
    {"elem",
     2,
     2,
     0,
     NULL,
     &elem_native,
     "x xs",
     "Return whether some element of the list *xs* is equal to *x*.",
     ".l",
     {NULL, ARG2 "elem"}},
    {"concatLists",
     1,
     1,
     0,
     NULL,
     &concat_lists_native,
     "lists",
     "Concatenate a list of lists to one list.",
     "l",
     {ARG1 "concatLists"}},
    {"concatMap",
     2,
     3,
     0,
     NULL,
     &concat_map_native,
     "f list",
     "The same as `builtins.concatLists (map f list)`, without the intermediate list.",
     "fl",
     {ARG1 "concatMap", ARG2 "concatMap"}},
    {"foldl'",
     3,
     5,
     0,
     NULL,
     &foldl_native,
     "op nul list",
     "Reduce *list* from the left with the binary function *op*: `op (op (op nul x0) x1) x2 ...`. Every intermediate "
     "result is "
     "evaluated at once.\n\n```nix\nbuiltins.foldl' (acc: x: acc + x) 0 [ 1 2 3 ]\n```\n\nis `6`.",
     "f.l",
     {ARG1 "foldlStrict", NULL, ARG3 "foldlStrict"}},
    {"any",
     2,
     3,
     0,
     NULL,
     &any_native,
     "pred list",
     "Return whether *pred* returns `true` for some element of *list*. Elements behind the first such are not looked "
     "at.",
     "fl",
     {ARG1 "any", ARG2 "any"}},
    {"all",
     2,
     3,
     0,
     NULL,
     &all_native,
     "pred list",
     "Return whether *pred* returns `true` for every element of *list*. Elements behind the first other are not looked "
     "at.",
     "fl",
     {ARG1 "all", ARG2 "all"}},
    {"partition",
     2,
     3,
     0,
     NULL,
     &partition_native,
     "pred list",
     "Return a set of two lists: `right`, the elements of *list* for which *pred* returns `true`, and `wrong`, the "
     "others.\n\n"
     "```nix\nbuiltins.partition (x: x > 10) [ 1 23 9 3 42 ]\n```\n\nis `{ right = [ 23 42 ]; wrong = [ 1 9 3 ]; }`.",
     "fl",
     {ARG1 "partition", ARG2 "partition"}},
    {"groupBy",
     2,
     3,
     0,
     NULL,
     &group_by_native,
     "f list",
     "Return a set of lists: the elements of *list* grouped by the string that *f* returns for them.\n\n"
     "```nix\nbuiltins.groupBy (builtins.substring 0 1) [ \"foo\" \"bar\" \"baz\" ]\n```\n\n"
     "is `{ b = [ \"bar\" \"baz\" ]; f = [ \"foo\" ]; }`.",
     "fl",
     {ARG1 "groupBy", ARG2 "groupBy"}},
};

const BuiltinTable builtins_lists_table = {rows, ARRAY_LEN(rows)};
