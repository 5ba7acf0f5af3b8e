// builtins_attrs.c: builtins on attribute sets.
#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/thunk.h"
#include "eval/eval_count.h"
#include "eval/builtins/registry.h"
#include "eval/print.h"

static Value attr_names_fn(Vm *vm, Value *args) {
  if (!expect_attrs(vm, args[0], ARG "attrNames")) return VALUE_ERROR;
  if (args[0] == VALUE_EMPTY_ATTRS) return VALUE_EMPTY_LIST;
  const Shape *shape = attrs_flat_shape(attrs_flatten(vm, args[0]));
  List *list = list_new(vm, shape->count);
  for (uint32_t i = 0; i < shape->count; i++) list->items[i] = str_symbol(vm, shape->names[i]);
  return list_value(list);
}

static Value attr_values_fn(Vm *vm, Value *args) {
  if (!expect_attrs(vm, args[0], ARG "attrValues")) return VALUE_ERROR;
  if (args[0] == VALUE_EMPTY_ATTRS) return VALUE_EMPTY_LIST;
  Value set = attrs_flatten(vm, args[0]);
  uint32_t count = attrs_flat_shape(set)->count;
  List *list = list_new(vm, count);
  for (uint32_t i = 0; i < count; i++) list->items[i] = attrs_slot(vm, set, i);
  return list_value(list);
}

static Value get_attr_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "getAttr")) return VALUE_ERROR;
  if (!expect_attrs(vm, args[1], ARG2 "getAttr")) return VALUE_ERROR;
  Sym name = str_find_symbol(vm, args[0]);
  Value v = name == SYMBOL_NONE ? VALUE_ABSENT : attrs_get(vm, args[1], name);
  if (v != VALUE_ABSENT) return v;
  Buf text = BUF_INIT;
  print_attr_name(str_span(args[0]), &text);
  eval_error(vm, EVAL_ERROR_MISSING, 0, "attribute '%s' missing", buf_cstr(&text));
  buf_done(&text);
  eval_error_trace(vm, 0, "in the attribute set under consideration");
  return VALUE_ERROR;
}

static Value has_attr_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "hasAttr")) return VALUE_ERROR;
  if (!expect_attrs(vm, args[1], ARG2 "hasAttr")) return VALUE_ERROR;
  Sym name = str_find_symbol(vm, args[0]);
  return value_bool(name != SYMBOL_NONE && attrs_has(args[1], name));
}

// ---- positions ----
//
// Counting lines needs the text of the file, which may not be loaded, and most users only look at `file`: line and column are delayed
// calls of hidden builtins on the number of the position.

static Value pos_line_fn(Vm *vm, Value *args) {
  Pos pos;
  pos_resolve(vm->positions, (PosId)value_get_int(args[0]), &pos);
  return value_int(pos.line);
}

static Value pos_column_fn(Vm *vm, Value *args) {
  Pos pos;
  pos_resolve(vm->positions, (PosId)value_get_int(args[0]), &pos);
  return value_int(pos.column);
}

static Value delay_leaf(Vm *vm, BuiltinFn fn, Value arg) {
  const Builtin **rows = vm->counts ? vm->counts->originals : vm->builtins;
  uint32_t i = 0;
  while (rows[i]->fn != fn) i++;
  return native_delay_call(vm, value_builtin(i), &arg, 1);
}

Value builtins_attrs_position(Vm *vm, PosId id) {
  const PosSource *source = pos_source(vm->positions, id);
  if (!source || !source->path) return VALUE_NULL;
  Value number = value_int(id);
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, SYM_file, str_symbol(vm, symbol_intern(vm->symbols, span_cstr(source->path))), 0);
  attrs_builder_add(&builder, SYM_line, delay_leaf(vm, pos_line_fn, number), 0);
  attrs_builder_add(&builder, SYM_column, delay_leaf(vm, pos_column_fn, number), 0);
  Value set = attrs_builder_finish(vm, &builder, false);
  attrs_builder_done(&builder);
  return set;
}

static Value unsafe_get_attr_pos_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "unsafeGetAttrPos")) return VALUE_ERROR;
  if (!expect_attrs(vm, args[1], ARG2 "unsafeGetAttrPos")) return VALUE_ERROR;
  Sym name = str_find_symbol(vm, args[0]);
  return builtins_attrs_position(vm, name == SYMBOL_NONE ? 0 : attrs_position(args[1], name));
}

// ---- subsets ----

// The slots of `set` (flat) that `keep` marks, with their positions.
static Value attrs_subset(Vm *vm, Value set, const bool *keep, uint32_t kept) {
  if (!kept) return VALUE_EMPTY_ATTRS;
  const Shape *shape = attrs_flat_shape(set);
  if (kept == shape->count) return set;
  Sym *names = mem_alloc_array(kept, sizeof *names);
  PosId *positions = shape->positions ? mem_alloc_array(kept, sizeof *positions) : NULL;
  for (uint32_t i = 0, k = 0; i < shape->count; i++) {
    if (!keep[i]) continue;
    names[k] = shape->names[i];
    if (positions) positions[k] = shape->positions[i];
    k++;
  }
  Attrs *result = attrs_new(vm, shape_intern(vm->shapes, names, positions, kept));
  for (uint32_t i = 0, k = 0; i < shape->count; i++)
    if (keep[i]) result->slots[k++] = attrs_slot(vm, set, i);
  mem_free(names);
  mem_free(positions);
  return attrs_value(result);
}

static Value remove_attrs(Vm *vm, Value set, Value names) {
  if (set == VALUE_EMPTY_ATTRS || names == VALUE_EMPTY_LIST) return set;
  Value flat = attrs_flatten(vm, set);
  Shape *shape = attrs_flat_shape(flat);
  bool *keep = mem_alloc(shape->count);
  memset(keep, true, shape->count);
  uint32_t kept = shape->count;
  for (size_t i = 0; i < list_count(names); i++) {
    Sym name = str_find_symbol(vm, value_follow(list_get(vm, names, i)));
    uint32_t slot = name == SYMBOL_NONE ? SHAPE_NOT_FOUND : shape_find(shape, name);
    if (slot == SHAPE_NOT_FOUND || !keep[slot]) continue;
    keep[slot] = false;
    kept--;
  }
  Value result = kept == shape->count ? set : attrs_subset(vm, flat, keep, kept);
  mem_free(keep);
  return result;
}

static Step remove_attrs_step(Native *n) {
  enum { SET, NAMES, FRAME, I };
  static const char frame[] = "while evaluating the values of the second argument passed to builtins.removeAttrs";
  NATIVE_BEGIN(n);
  if (!expect_attrs(n->vm, n->slot[SET], ARG1 "removeAttrs")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[NAMES], ARG2 "removeAttrs")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[NAMES]); native_add(n, I, 1)) {
    NATIVE_FORCE_FOR(n, list_get(n->vm, n->slot[NAMES], (size_t)native_get(n, I)), FRAME, frame);
    if (!expect_text(n->vm, n->result, frame)) return STEP_ERROR;
  }
  NATIVE_RETURN(n, remove_attrs(n->vm, n->slot[SET], n->slot[NAMES]));
  NATIVE_END;
}

static void trace_frame_2(Native *n) {
  trace_slot(n, 2);
}

static void spark_list_1(Native *n, SparkSink *sink) {
  spark_items(n, sink, n->slot[1], (size_t)native_get(n, 3) + 1);
}

static const NativeDef remove_attrs_native = {.name = "removeAttrs",
                                              .step = remove_attrs_step,
                                              .arg_count = 2,
                                              .slot_count = 4,
                                              .trace = trace_frame_2,
                                              .sparks = spark_list_1};

// Names of the set with fewer attributes, looked up in the other: callPackage intersects a handful of formals with all packages, so
// the large set is neither walked nor flattened.
static Value intersect_attrs_fn(Vm *vm, Value *args) {
  if (!expect_attrs(vm, args[0], ARG1 "intersectAttrs")) return VALUE_ERROR;
  if (!expect_attrs(vm, args[1], ARG2 "intersectAttrs")) return VALUE_ERROR;
  Value left = args[0], right = args[1];
  if (left == VALUE_EMPTY_ATTRS || right == VALUE_EMPTY_ATTRS) return VALUE_EMPTY_ATTRS;
  Value small = attrs_flatten(vm, attrs_bound(left) < attrs_bound(right) ? left : right);
  const Shape *shape = attrs_flat_shape(small);
  Sym *names = mem_alloc_array(shape->count, sizeof *names);
  PosId *positions = mem_alloc_array(shape->count, sizeof *positions);
  Value *values = mem_alloc_array(shape->count, sizeof *values);
  uint32_t count = 0;
  for (uint32_t i = 0; i < shape->count; i++) {
    Sym name = shape->names[i];
    Value v = attrs_has(left, name) ? attrs_get(vm, right, name) : VALUE_ABSENT;
    if (v == VALUE_ABSENT) continue;
    names[count] = name;
    positions[count] = attrs_position(right, name);
    values[count++] = v;
  }
  Value result = VALUE_EMPTY_ATTRS;
  if (count) {
    Attrs *set = attrs_new(vm, shape_intern(vm->shapes, names, positions, count));
    memcpy(set->slots, values, count * sizeof *values);
    result = attrs_value(set);
  }
  mem_free(names);
  mem_free(positions);
  mem_free(values);
  return result;
}

// ---- lists of sets ----

static Step cat_attrs_step(Native *n) {
  enum { NAME, LIST, FRAME, I, FOUND, FOUND_COUNT };
  static const char frame[] = "while evaluating an element in the list passed as second argument to builtins.catAttrs";
  NATIVE_BEGIN(n);
  if (!expect_text(n->vm, n->slot[NAME], ARG1 "catAttrs")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "catAttrs")) return STEP_ERROR;
  native_set(n, NAME, str_intern(n->vm, n->slot[NAME]));
  n->slot[FOUND] = scratch_new(n->vm, list_count(n->slot[LIST]));
  native_set(n, FOUND_COUNT, 0);
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_attrs(n->vm, n->result, frame)) return STEP_ERROR;
    {
      Value v = attrs_get(n->vm, n->result, (Sym)native_get(n, NAME));
      if (v == VALUE_ABSENT) continue;
      list_set(n->vm, n->slot[FOUND], (size_t)native_get(n, FOUND_COUNT), v);
      native_add(n, FOUND_COUNT, 1);
    }
  }
  if (native_get(n, FOUND_COUNT) == 0) NATIVE_RETURN(n, VALUE_EMPTY_LIST);
  NATIVE_RETURN(n, list_from(n->vm, list_items(n->vm, n->slot[FOUND]), (size_t)native_get(n, FOUND_COUNT)));
  NATIVE_END;
}

static const NativeDef cat_attrs_native = {.name = "catAttrs",
                                           .step = cat_attrs_step,
                                           .arg_count = 2,
                                           .slot_count = 6,
                                           .trace = trace_frame_2,
                                           .sparks = spark_list_1};

static bool pair_lacks(Native *n, Value pair, Sym name) {
  if (attrs_has(pair, name)) return false;
  eval_error(n->vm, EVAL_ERROR_MISSING, 0, "attribute '%.*s' missing", SPAN_ARG(symbol_text(n->vm->symbols, name)));
  eval_error_trace(n->vm, 0, "in a {name=...; value=...;} pair");
  return true;
}

// Is `name` the name of one of the first `count` pairs, whose names are evaluated?
static bool pair_is_repetition(Vm *vm, Value list, size_t count, Span name) {
  for (size_t i = 0; i < count; i++)
    if (span_eq(str_span(value_follow(attrs_get(vm, value_follow(list_get(vm, list, i)), SYM_name))), name))
      return true;
  return false;
}

static Value pairs_to_attrs(Vm *vm, Value list) {
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  for (size_t i = 0; i < list_count(list); i++) {
    Value pair = value_follow(list_get(vm, list, i)), value = attrs_get(vm, pair, SYM_value);
    if (value == VALUE_ABSENT) continue; // a repeated name, which needs none
    Sym name = str_intern(vm, value_follow(attrs_get(vm, pair, SYM_name)));
    attrs_builder_add(&builder, name, value, attrs_position(pair, SYM_value));
  }
  Value set = attrs_builder_finish(vm, &builder, true);
  attrs_builder_done(&builder);
  return set;
}

static Step list_to_attrs_step(Native *n) {
  enum { LIST, FRAME, I, PAIR };
  static const char frame[] = "while evaluating an element of the list passed to builtins.listToAttrs";
  static const char name_frame[] =
      "while evaluating the `name` attribute of an element of the list passed to builtins.listToAttrs";
  NATIVE_BEGIN(n);
  if (!expect_list(n->vm, n->slot[LIST], ARG "listToAttrs")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_attrs(n->vm, n->result, frame)) return STEP_ERROR;
    if (pair_lacks(n, n->result, SYM_name)) return STEP_ERROR;
    n->slot[PAIR] = n->result;
    NATIVE_FORCE_FOR(n, attrs_get(n->vm, n->slot[PAIR], SYM_name), FRAME, name_frame);
    if (!expect_text(n->vm, n->result, NULL) &&
        !builtins_util_fail_at(n->vm, attrs_position(n->slot[PAIR], SYM_name), name_frame))
      return STEP_ERROR;
    if (!attrs_has(n->slot[PAIR], SYM_value) &&
        !pair_is_repetition(n->vm, n->slot[LIST], (size_t)native_get(n, I), str_span(n->result)) &&
        pair_lacks(n, n->slot[PAIR], SYM_value))
      return STEP_ERROR;
  }
  NATIVE_RETURN(n, pairs_to_attrs(n->vm, n->slot[LIST]));
  NATIVE_END;
}

static void list_to_attrs_trace(Native *n) {
  if (value_get_raw_ptr(n->slot[1]))
    eval_error_trace(n->vm, attrs_position(n->slot[3], SYM_name), "%s", (char *)value_get_raw_ptr(n->slot[1]));
}

static void list_to_attrs_sparks(Native *n, SparkSink *sink) {
  spark_items(n, sink, n->slot[0], (size_t)native_get(n, 2) + 1);
}

static const NativeDef list_to_attrs_native = {.name = "listToAttrs",
                                               .step = list_to_attrs_step,
                                               .arg_count = 1,
                                               .slot_count = 4,
                                               .trace = list_to_attrs_trace,
                                               .sparks = list_to_attrs_sparks};

static Value map_attrs_fn(Vm *vm, Value *args) {
  if (!expect_attrs(vm, args[1], ARG2 "mapAttrs")) return VALUE_ERROR;
  if (args[1] == VALUE_EMPTY_ATTRS) return VALUE_EMPTY_ATTRS;
  Value set = attrs_flatten(vm, args[1]);
  Shape *shape = attrs_flat_shape(set);
  Attrs *result = attrs_new(vm, shape_bare(vm->shapes, shape));
  for (uint32_t i = 0; i < shape->count; i++) {
    Value call[2] = {str_symbol(vm, shape->names[i]), attrs_slot(vm, set, i)};
    result->slots[i] = native_delay_call(vm, args[0], call, 2);
  }
  return attrs_value(result);
}

static Value function_args_fn(Vm *vm, Value *args) {
  if (!value_is_function(args[0])) return eval_error(vm, EVAL_ERROR_TYPE, 0, "'functionArgs' requires a function");
  return vm_function_args(vm, args[0]);
}

// One group a name: the values of all sets that have it, in the order of the list.
typedef struct ZipGroup {
  Sym name;
  size_t count;
  List *list;
} ZipGroup;

typedef struct ZipTable {
  ZipGroup *groups;
  size_t count, cap;
  uint32_t *index; // group number + 1 by symbol
  size_t mask;
} ZipTable;

static size_t zip_slot(const ZipTable *t, Sym name) {
  size_t slot = (name * UINT64_C(0x9E3779B97F4A7C15) >> 32) & t->mask;
  while (t->index[slot] && t->groups[t->index[slot] - 1].name != name) slot = (slot + 1) & t->mask;
  return slot;
}

static void zip_grow(ZipTable *t) {
  mem_free(t->index);
  t->mask = t->mask ? t->mask * 2 + 1 : 63;
  t->index = mem_alloc_zero((t->mask + 1) * sizeof *t->index);
  for (size_t i = 0; i < t->count; i++) t->index[zip_slot(t, t->groups[i].name)] = (uint32_t)i + 1;
}

static ZipGroup *zip_group(ZipTable *t, Sym name) {
  if ((t->count + 1) * 2 > t->mask) zip_grow(t);
  size_t slot = zip_slot(t, name);
  if (!t->index[slot]) {
    MEM_RESERVE(t->groups, t->cap, t->count + 1);
    t->groups[t->count++] = (ZipGroup){name, 0, NULL};
    t->index[slot] = (uint32_t)t->count;
  }
  return &t->groups[t->index[slot] - 1];
}

static Value zip_attrs(Vm *vm, Value fn, Value sets) {
  ZipTable table = {NULL, 0, 0, NULL, 0};
  size_t set_count = list_count(sets);
  for (size_t i = 0; i < set_count; i++) {
    Value set = attrs_flatten(vm, value_follow(list_get(vm, sets, i)));
    if (set == VALUE_EMPTY_ATTRS) continue;
    const Shape *shape = attrs_flat_shape(set);
    for (uint32_t k = 0; k < shape->count; k++) zip_group(&table, shape->names[k])->count++;
  }
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  for (size_t g = 0; g < table.count; g++) {
    ZipGroup *group = &table.groups[g];
    group->list = list_new(vm, group->count);
    group->count = 0;
    Value call[2] = {str_symbol(vm, group->name), list_value(group->list)};
    attrs_builder_add(&builder, group->name, native_delay_call(vm, fn, call, 2), 0);
  }
  for (size_t i = 0; i < set_count; i++) {
    Value set = attrs_flatten(vm, value_follow(list_get(vm, sets, i)));
    if (set == VALUE_EMPTY_ATTRS) continue;
    const Shape *shape = attrs_flat_shape(set);
    for (uint32_t k = 0; k < shape->count; k++) {
      ZipGroup *group = zip_group(&table, shape->names[k]);
      group->list->items[group->count++] = attrs_slot(vm, set, k);
    }
  }
  Value result = attrs_builder_finish(vm, &builder, false);
  attrs_builder_done(&builder);
  mem_free(table.groups);
  mem_free(table.index);
  return result;
}

static Step zip_attrs_with_step(Native *n) {
  enum { FN, LIST, FRAME, I };
  static const char frame[] = "while evaluating a value of the list passed as second argument to builtins.zipAttrsWith";
  NATIVE_BEGIN(n);
  if (!expect_function(n->vm, n->slot[FN], ARG1 "zipAttrsWith")) return STEP_ERROR;
  if (!expect_list(n->vm, n->slot[LIST], ARG2 "zipAttrsWith")) return STEP_ERROR;
  for (native_set(n, I, 0); (size_t)native_get(n, I) < list_count(n->slot[LIST]); native_add(n, I, 1)) {
    NATIVE_FORCE(n, list_get(n->vm, n->slot[LIST], (size_t)native_get(n, I)));
    if (!expect_attrs(n->vm, n->result, frame)) return STEP_ERROR;
  }
  // Evaluated, and recognisable as such: see vm_trace_call_site.
  NATIVE_RETURN(n, zip_attrs(n->vm, thunk_new_evaluated(n->vm, n->slot[FN]), n->slot[LIST]));
  NATIVE_END;
}

static const NativeDef zip_attrs_with_native = {.name = "zipAttrsWith",
                                                .step = zip_attrs_with_step,
                                                .arg_count = 2,
                                                .slot_count = 4,
                                                .trace = trace_frame_2,
                                                .sparks = spark_list_1};

static const Builtin rows[] = {
    {"attrNames",
     1,
     1,
     0,
     attr_names_fn,
     NULL,
     "set",
     "Return the names of the attributes of *set* in bytewise order.\n\n"
     "```nix\nbuiltins.attrNames { y = 1; x = \"foo\"; }\n```\n\nis `[ \"x\" \"y\" ]`.",
     "a",
     {ARG "attrNames"}},
    {"attrValues",
     1,
     1,
     0,
     attr_values_fn,
     NULL,
     "set",
     "Return the values of the attributes of *set*, in the order of `attrNames`.",
     "a",
     {ARG "attrValues"}},
    {"getAttr",
     2,
     3,
     0,
     get_attr_fn,
     NULL,
     "s set",
     "Return the attribute of *set* whose name is the string *s*; it is an error when there is none. The operator `.` "
     "with a computed name.",
     "sa",
     {ARG1 "getAttr", ARG2 "getAttr"}},
    {"hasAttr",
     2,
     3,
     0,
     has_attr_fn,
     NULL,
     "s set",
     "Return whether *set* has an attribute named by the string *s*. The operator `?` with a computed name.",
     "sa",
     {ARG1 "hasAttr", ARG2 "hasAttr"}},
    {"unsafeGetAttrPos",
     2,
     3,
     0,
     unsafe_get_attr_pos_fn,
     NULL,
     "s set",
     "Return where the attribute named by the string *s* was defined: a set of `file`, `line` and `column`, or `null` "
     "when that is not known. "
     "Unsafe, because the result of a program should not depend on its layout.",
     "sa",
     {ARG1 "unsafeGetAttrPos", ARG2 "unsafeGetAttrPos"}},
    {"lineOfPos", 1, 1, BUILTIN_HIDDEN, pos_line_fn, NULL, "pos", "Line of a position.", NULL, {NULL}},
    {"columnOfPos", 1, 1, BUILTIN_HIDDEN, pos_column_fn, NULL, "pos", "Column of a position.", NULL, {NULL}},
    {"removeAttrs",
     2,
     3,
     BUILTIN_GLOBAL,
     NULL,
     &remove_attrs_native,
     "set list",
     "Return *set* without the attributes named in *list*. Names that it does not have do no harm.\n\n"
     "```nix\nremoveAttrs { x = 1; y = 2; z = 3; } [ \"a\" \"x\" \"z\" ]\n```\n\nis `{ y = 2; }`.",
     "al",
     {ARG1 "removeAttrs", ARG2 "removeAttrs"}},
    {"intersectAttrs",
     2,
     3,
     0,
     intersect_attrs_fn,
     NULL,
     "e1 e2",
     "Return the attributes of the set *e2* whose names *e1* has too. The cost is that of walking the smaller set.",
     "aa",
     {ARG1 "intersectAttrs", ARG2 "intersectAttrs"}},
    {"catAttrs",
     2,
     3,
     0,
     NULL,
     &cat_attrs_native,
     "attr list",
     "Return the values of attribute *attr* of the sets in *list*, leaving out sets without it.\n\n"
     "```nix\nbuiltins.catAttrs \"a\" [ { a = 1; } { b = 0; } { a = 2; } ]\n```\n\nis `[ 1 2 ]`.",
     "sl",
     {ARG1 "catAttrs", ARG2 "catAttrs"}},
    {"listToAttrs",
     1,
     1,
     0,
     NULL,
     &list_to_attrs_native,
     "e",
     "Make a set of a list of sets with the attributes `name`, a string, and `value`. Of several elements with the "
     "same name the first counts.\n\n"
     "```nix\nbuiltins.listToAttrs [ { name = \"a\"; value = 1; } { name = \"b\"; value = 2; } ]\n```\n\nis `{ a = 1; "
     "b = 2; }`.",
     "l",
     {ARG "listToAttrs"}},
    {"mapAttrs",
     2,
     2,
     0,
     map_attrs_fn,
     NULL,
     "f attrset",
     "Return *attrset* with every value replaced by `f name value`, evaluated when it is needed.\n\n"
     "```nix\nbuiltins.mapAttrs (name: value: value * 10) { a = 1; b = 2; }\n```\n\nis `{ a = 10; b = 20; }`.",
     ".a",
     {NULL, ARG2 "mapAttrs"}},
    {"functionArgs",
     1,
     1,
     0,
     function_args_fn,
     NULL,
     "f",
     "Return the formal arguments of the function *f* as a set: the value of each is whether it has a default. A "
     "function that takes one plain "
     "argument has none.\n\n```nix\nbuiltins.functionArgs ({ x, y ? 123 }: x)\n```\n\nis `{ x = false; y = true; }`.",
     NULL,
     {NULL}},
    {"zipAttrsWith",
     2,
     3,
     0,
     NULL,
     &zip_attrs_with_native,
     "f list",
     "Return the set of all names in the sets of *list*, where the value of a name is `f name values` with the list of "
     "the values it has in "
     "those sets.\n\n```nix\nbuiltins.zipAttrsWith (name: values: values) [ { a = \"x\"; } { a = \"y\"; b = \"z\"; } "
     "]\n```\n\n"
     "is `{ a = [ \"x\" \"y\" ]; b = [ \"z\" ]; }`.",
     "fl",
     {ARG1 "zipAttrsWith", ARG2 "zipAttrsWith"}},
};

const BuiltinTable builtins_attrs_table = {rows, ARRAY_LEN(rows)};
