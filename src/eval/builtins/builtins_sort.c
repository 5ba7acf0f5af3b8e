// builtins_sort.c: builtins.sort.
//
// Programs see in which order the comparator is asked (trace, errors), and those whose comparator is no strict weak order (`<=`) get a
// result that depends on it. So the general case is the algorithm of C++ Nix, std::stable_sort of libstdc++, step by step: both halves
// are sorted by insertion in runs of seven and merged bottom-up, then the halves are merged from the shorter one's side.
#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"

#define RUN_LENGTH 7

// ---- comparators that need no call ----

typedef int (*CompareFn)(Value a, Value b);

static int compare_ints(Value a, Value b) {
  int64_t x = value_get_int(a), y = value_get_int(b);
  return (x > y) - (x < y);
}

static int compare_texts(Value a, Value b) {
  return span_cmp(str_span(a), str_span(b));
}

static void merge_sort(Value *items, Value *scratch, size_t count, CompareFn compare) {
  if (count <= RUN_LENGTH) {
    for (size_t i = 1; i < count; i++) {
      Value item = items[i];
      size_t k = i;
      for (; k && compare(item, items[k - 1]) < 0; k--) items[k] = items[k - 1];
      items[k] = item;
    }
    return;
  }
  size_t half = count / 2, i = 0, j = half, k = 0;
  merge_sort(items, scratch, half, compare);
  merge_sort(items + half, scratch, count - half, compare);
  if (compare(items[half], items[half - 1]) >= 0) return;
  memcpy(scratch, items, half * sizeof *items);
  while (i < half && j < count) items[k++] = compare(items[j], scratch[i]) < 0 ? items[j++] : scratch[i++];
  while (i < half) items[k++] = scratch[i++];
}

// The comparison of evaluated items when all are integers, all strings or all paths; else NULL.
static CompareFn common_compare(Vm *vm, Value list) {
  size_t count = list_count(list), ints = 0, strings = 0, paths = 0;
  const Value *items = list_items(vm, list);
  for (size_t i = 0; i < count; i++) {
    Value v = value_follow(items[i]);
    ints += value_is_int(v);
    strings += value_is_string(v);
    paths += value_is_path(v);
  }
  return ints == count ? compare_ints : strings == count || paths == count ? compare_texts : NULL;
}

static Value sort_at_once(Vm *vm, Value list, CompareFn compare) {
  size_t count = list_count(list);
  List *result = list_new(vm, count);
  const Value *items = list_items(vm, list);
  for (size_t i = 0; i < count; i++) result->items[i] = value_follow(items[i]);
  Value *scratch = mem_alloc_array(count, sizeof *scratch);
  merge_sort(result->items, scratch, count, compare);
  mem_free(scratch);
  return list_value(result);
}

// ---- the general case ----
//
// One merge at a time: source items [A, A_END) and [B, B_END) go to TO.. of the other list. A merge pass goes over one half of the
// list in steps of two runs; the passes alternate between the two lists. All of it is numbers in slots.

enum {
  FN,
  LIST,  // argument; later the list that holds the result
  SPARE, // a second list of the same length
  FROM,  // of the half being sorted
  END,
  RUN,     // length of sorted runs
  FLIPPED, // the runs are in SPARE
  AT,      // next pair of runs, or the item being inserted
  A,
  A_END,
  B,
  B_END,
  TO,
  ITEM, // being inserted
  FRAME,
  SLOT_COUNT
};

static Value sort_get(Native *n, bool spare, int64_t i) {
  return list_get(n->vm, n->slot[spare ? SPARE : LIST], (size_t)i);
}

static void sort_set(Native *n, bool spare, int64_t i, Value v) {
  list_set(n->vm, n->slot[spare ? SPARE : LIST], (size_t)i, v);
}

static void sort_copy(Native *n, bool from_spare, int64_t from, int64_t end, bool to_spare, int64_t to) {
  for (; from < end; from++, to++) sort_set(n, to_spare, to, sort_get(n, from_spare, from));
}

// Moves items [first, last) of LIST up by one and puts `item` first.
static void sort_rotate(Native *n, int64_t first, int64_t last, Value item) {
  for (int64_t i = last; i > first; i--) sort_set(n, false, i, sort_get(n, false, i - 1));
  sort_set(n, false, first, item);
}

static int64_t min_of(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// Chooses the next two runs of a pass.
static void sort_next_pair(Native *n) {
  int64_t run = native_get(n, RUN), end = native_get(n, END), a = native_get(n, AT);
  int64_t b = min_of(a + run, end), b_end = min_of(b + run, end);
  native_set(n, A, a);
  native_set(n, A_END, b);
  native_set(n, B, b);
  native_set(n, B_END, b_end);
  native_set(n, TO, a);
  native_set(n, AT, b_end);
}

static bool is_less_than(const Native *n) {
  return value_is_builtin(n->slot[FN]) &&
         strcmp(n->vm->builtins[value_builtin_index(n->slot[FN])]->name, "lessThan") == 0;
}

// Asks the comparator. builtins.lessThan itself is not called, for the sake of speed and of Nix's trace.
static Step sort_prepare(Native *n, Value a, Value b) {
  n->args[0] = a;
  n->args[1] = b;
  if (is_less_than(n)) {
    n->slot[FRAME] = value_raw_ptr("while evaluating the ordering function passed to builtins.sort");
    n->push_def = &native_compare;
    return STEP_PUSH;
  }
  n->fn = n->slot[FN];
  n->arg_count = 2;
  return STEP_CALL;
}

// n->result = its answer, a Boolean. False with an error pending.
static bool sort_take_answer(Native *n) {
  if (is_less_than(n)) n->result = value_bool(value_small_int(n->result) < 0);
  return expect_bool(n->vm, n->result,
                     "while evaluating the return value of the sorting function passed to builtins.sort");
}

#define SORT_ASK(n, a, b)                        \
  do {                                           \
    Step ask_ = sort_prepare(n, a, b);           \
    NATIVE_AWAIT_(n, ask_)                       \
    if (!sort_take_answer(n)) return STEP_ERROR; \
  } while (0)

static Value sort_copy_list(Vm *vm, Value list) {
  size_t count = list_count(list);
  List *copy = list_new(vm, count);
  const Value *items = list_items(vm, list);
  for (size_t i = 0; i < count; i++) {
    Value item = value_follow(items[i]);
    copy->items[i] = value_keeps_thunk(item) ? items[i] : item;
  }
  return list_value(copy);
}

static Step sort_step(Native *n) {
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "sort")) return STEP_ERROR;
  if (n->slot[LIST] == VALUE_EMPTY_LIST) NATIVE_RETURN(n, VALUE_EMPTY_LIST);
  NATIVE_FORCE_FOR(n, n->slot[FN], FRAME, ARG1 "sort");
  n->slot[FN] = n->result;
  if (!expect_function(n->vm, n->slot[FN], ARG1 "sort")) return STEP_ERROR;
  for (native_set(n, AT, 0); (size_t)native_get(n, AT) < list_count(n->slot[LIST]); native_add(n, AT, 1))
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, AT)));
  if (is_less_than(n)) {
    CompareFn compare = common_compare(n->vm, n->slot[LIST]);
    if (compare) NATIVE_RETURN(n, sort_at_once(n->vm, n->slot[LIST], compare));
  }
  n->slot[LIST] = sort_copy_list(n->vm, n->slot[LIST]);
  n->slot[SPARE] = sort_copy_list(n->vm, n->slot[LIST]);

  native_set(n, FROM, 0);
  native_set(n, END, ((int64_t)list_count(n->slot[LIST]) + 1) / 2);
  while (native_get(n, FROM) < native_get(n, END)) { // the two halves
    // Runs by insertion. Every run begins at a multiple of RUN_LENGTH from the start of the half.
    for (native_set(n, AT, native_get(n, FROM)); native_get(n, AT) < native_get(n, END); native_add(n, AT, 1)) {
      native_set(n, A, native_get(n, AT) - (native_get(n, AT) - native_get(n, FROM)) % RUN_LENGTH); // start of the run
      if (native_get(n, A) == native_get(n, AT)) continue;
      n->slot[ITEM] = sort_get(n, false, native_get(n, AT));
      SORT_ASK(n, n->slot[ITEM], sort_get(n, false, native_get(n, A)));
      if (n->result == VALUE_TRUE) {
        sort_rotate(n, native_get(n, A), native_get(n, AT), n->slot[ITEM]);
        continue;
      }
      // It is not less than the first one, which would stop a proper comparator. An improper one is stopped by the list's start.
      for (native_set(n, B, native_get(n, AT) - 1); native_get(n, B) >= 0; native_add(n, B, -1)) {
        SORT_ASK(n, n->slot[ITEM], sort_get(n, false, native_get(n, B)));
        if (n->result != VALUE_TRUE) break;
      }
      sort_rotate(n, native_get(n, B) + 1, native_get(n, AT), n->slot[ITEM]);
    }
    // Passes from one list to the other and back.
    native_set(n, FLIPPED, 0);
    for (native_set(n, RUN, RUN_LENGTH);
         native_get(n, RUN) < native_get(n, END) - native_get(n, FROM) || native_get(n, FLIPPED);
         native_set(n, RUN, native_get(n, RUN) * 2)) {
      for (native_set(n, AT, native_get(n, FROM)); native_get(n, AT) < native_get(n, END);) {
        sort_next_pair(n);
        while (native_get(n, A) < native_get(n, A_END) && native_get(n, B) < native_get(n, B_END)) {
          SORT_ASK(n, sort_get(n, native_get(n, FLIPPED), native_get(n, B)),
                   sort_get(n, native_get(n, FLIPPED), native_get(n, A)));
          {
            unsigned side = n->result == VALUE_TRUE ? B : A;
            bool flipped = native_get(n, FLIPPED);
            sort_set(n, !flipped, native_get(n, TO), sort_get(n, flipped, native_get(n, side)));
            native_add(n, side, 1);
            native_add(n, TO, 1);
          }
        }
        {
          bool flipped = native_get(n, FLIPPED);
          int64_t rest = native_get(n, A_END) - native_get(n, A);
          sort_copy(n, flipped, native_get(n, A), native_get(n, A_END), !flipped, native_get(n, TO));
          sort_copy(n, flipped, native_get(n, B), native_get(n, B_END), !flipped, native_get(n, TO) + rest);
        }
      }
      native_set(n, FLIPPED, !native_get(n, FLIPPED));
    }
    native_set(n, FROM, native_get(n, END));
    native_set(n, END, (int64_t)list_count(n->slot[LIST]));
  }

  // The halves are in LIST. The second one is never longer; the shorter one goes to SPARE to make room.
  native_set(n, END, (int64_t)list_count(n->slot[LIST]));
  native_set(n, A, 0);
  native_set(n, A_END, (native_get(n, END) + 1) / 2);
  native_set(n, B, native_get(n, A_END));
  native_set(n, B_END, native_get(n, END));
  if (native_get(n, B) == native_get(n, B_END)) NATIVE_RETURN(n, n->slot[LIST]);
  if (native_get(n, A_END) <= native_get(n, B_END) - native_get(n, B)) { // forwards
    sort_copy(n, false, 0, native_get(n, A_END), true, 0);
    native_set(n, TO, 0);
    while (native_get(n, A) < native_get(n, A_END) && native_get(n, B) < native_get(n, B_END)) {
      SORT_ASK(n, sort_get(n, false, native_get(n, B)), sort_get(n, true, native_get(n, A)));
      {
        bool second = n->result == VALUE_TRUE;
        sort_set(n, false, native_get(n, TO),
                 second ? sort_get(n, false, native_get(n, B)) : sort_get(n, true, native_get(n, A)));
        native_add(n, second ? B : A, 1);
        native_add(n, TO, 1);
      }
    }
    sort_copy(n, true, native_get(n, A), native_get(n, A_END), false, native_get(n, TO));
  } else { // backwards: A_END and B_END go down
    sort_copy(n, false, native_get(n, B), native_get(n, B_END), true, native_get(n, B));
    native_set(n, TO, native_get(n, END));
    while (native_get(n, A_END) > 0 && native_get(n, B_END) > native_get(n, B)) {
      SORT_ASK(n, sort_get(n, true, native_get(n, B_END) - 1), sort_get(n, false, native_get(n, A_END) - 1));
      {
        bool first = n->result == VALUE_TRUE;
        native_add(n, TO, -1);
        native_add(n, first ? A_END : B_END, -1);
        sort_set(n, false, native_get(n, TO),
                 first ? sort_get(n, false, native_get(n, A_END)) : sort_get(n, true, native_get(n, B_END)));
      }
    }
    // What is left of the first half is in its place.
    sort_copy(n, true, native_get(n, B), native_get(n, B_END), false,
              native_get(n, TO) - (native_get(n, B_END) - native_get(n, B)));
  }
  NATIVE_RETURN(n, n->slot[LIST]);
  NATIVE_END;
}

static void sort_trace(Native *n) {
  trace_slot(n, FRAME);
}

static void sort_sparks(Native *n, SparkSink *sink) {
  spark_items(n, sink, n->slot[LIST], 0);
}

static const NativeDef sort_native = {.name = "sort",
                                      .step = sort_step,
                                      .arg_count = 2,
                                      .slot_count = SLOT_COUNT,
                                      .trace = sort_trace,
                                      .sparks = sort_sparks};

static const Builtin rows[] = {
    {"sort",
     2,
     2,
     0,
     NULL,
     &sort_native,
     "comparator list",
     "Return *list* in sorted order. `comparator a b` says whether *a* belongs before *b*. The sort is stable: "
     "elements of which neither "
     "belongs before the other keep their order.\n\n"
     "```nix\nbuiltins.sort builtins.lessThan [ 483 249 526 147 42 77 ]\n```\n\nis `[ 42 77 147 249 483 526 ]`.",
     ".l",
     {ARG1 "sort", ARG2 "sort"}},
};

const BuiltinTable builtins_sort_table = {rows, ARRAY_LEN(rows)};
