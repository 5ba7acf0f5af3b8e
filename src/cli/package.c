// package.c: see package.h. Which sets are searched, and in which order: Nix 2.26, get-drvs.cc.
#include "cli/package.h"

#include "base/mem.h"
#include "cli/embedded.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print_json.h"
#include "eval/str.h"

// ---- is it a derivation?

// (value, ignore failures) -> bool; null: evaluating it fails in a way that is ignored
enum { PROBE_VALUE, PROBE_IGNORE, PROBE_SLOTS };

static Step probe_failed(Native *n) {
  EvalErrorKind kind = eval_error_pending(n->vm)->kind;
  bool ignored = n->slot[PROBE_IGNORE] == VALUE_TRUE && (kind == EVAL_ERROR_THROW || kind == EVAL_ERROR_ASSERT);
  if (!ignored) return STEP_ERROR;
  eval_error_clear(n->vm);
  NATIVE_RETURN(n, VALUE_NULL);
}

static Step probe_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[PROBE_VALUE]);
  if (n->result == VALUE_ERROR) return probe_failed(n);
  n->slot[PROBE_VALUE] = n->result;
  if (!value_is_attrs(n->result) || !attrs_has(n->result, SYM_type)) NATIVE_RETURN(n, VALUE_FALSE);
  NATIVE_FORCE(n, attrs_get(vm, n->slot[PROBE_VALUE], SYM_type));
  if (n->result == VALUE_ERROR) return probe_failed(n);
  if (!value_is_string(n->result) || !span_eq_cstr(str_span(n->result), "derivation")) NATIVE_RETURN(n, VALUE_FALSE);
  if (!attrs_has(n->slot[PROBE_VALUE], SYM_name))
    return eval_error(vm, EVAL_ERROR_TYPE, 0, "derivation name missing"), STEP_ERROR;
  NATIVE_FORCE(n, attrs_get(vm, n->slot[PROBE_VALUE], SYM_name));
  if (n->result == VALUE_ERROR) return probe_failed(n);
  if (!vm_expect_string_no_context(vm, n->result, "while evaluating the 'name' attribute of a derivation"))
    return STEP_ERROR;
  NATIVE_RETURN(n, VALUE_TRUE);
  NATIVE_END;
}

static const NativeDef native_probe = {
    .name = "probePackage", .step = probe_step, .arg_count = 2, .slot_count = PROBE_SLOTS, .catches = true};

// ---- the search: (value, auto args, attribute path, ignore failures) -> list [path derivation path derivation ...]

enum { SEEK_VALUE, SEEK_ARGS, SEEK_PATH, SEEK_IGNORE, SEEK_FOUND, SEEK_I, SEEK_ITEM, SEEK_COMBINE, SEEK_SLOTS };

static const NativeDef native_seek;

// [A-Za-z_][A-Za-z0-9-_+]*
static bool is_package_name(Span name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '+'))) return false;
  }
  return name.len > 0;
}

static uint32_t seek_count(const Native *n) {
  return value_is_list(n->slot[SEEK_VALUE]) ? (uint32_t)list_count(n->slot[SEEK_VALUE])
                                            : attrs_count(n->slot[SEEK_VALUE]);
}

static Span seek_name(const Native *n, uint32_t i) {
  return symbol_text(n->vm->symbols, attrs_flat_shape(n->slot[SEEK_VALUE])->names[i]);
}

static bool seek_skips(const Native *n, uint32_t i) {
  return value_is_attrs(n->slot[SEEK_VALUE]) && !is_package_name(seek_name(n, i));
}

static Value seek_item(Native *n, uint32_t i) {
  return value_is_list(n->slot[SEEK_VALUE]) ? list_get(n->vm, n->slot[SEEK_VALUE], i)
                                            : attrs_slot(n->vm, n->slot[SEEK_VALUE], i);
}

// The attribute path of item `i`.
static Value seek_path(Native *n, uint32_t i) {
  Span prefix = str_span(n->slot[SEEK_PATH]);
  const char *dot = prefix.len ? "." : "";
  if (value_is_list(n->slot[SEEK_VALUE])) return str_printf(n->vm, "%.*s%s%u", SPAN_ARG(prefix), dot, i);
  Span name = seek_name(n, i);
  return str_printf(n->vm, "%.*s%s%.*s", SPAN_ARG(prefix), dot, SPAN_ARG(name));
}

static void seek_add(Native *n, Value path, Value drv) {
  Value pair[2] = {path, drv};
  n->slot[SEEK_FOUND] = list_concat(n->vm, n->slot[SEEK_FOUND], list_from(n->vm, pair, 2));
}

static uint32_t seek_at(const Native *n) {
  return (uint32_t)native_get(n, SEEK_I);
}

static void seek_enter(Native *n) {
  n->args[0] = seek_item(n, seek_at(n));
  n->args[1] = n->slot[SEEK_ARGS];
  n->args[2] = seek_path(n, seek_at(n));
  n->args[3] = n->slot[SEEK_IGNORE];
}

static Step seek_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[SEEK_FOUND] = VALUE_EMPTY_LIST;
  native_set(n, SEEK_I, -1);
  n->args[0] = n->slot[SEEK_VALUE];
  n->args[1] = n->slot[SEEK_ARGS];
  NATIVE_PUSH(n, &target_native_call);
  n->slot[SEEK_VALUE] = n->result;
  n->args[0] = n->slot[SEEK_VALUE];
  n->args[1] = n->slot[SEEK_IGNORE];
  NATIVE_PUSH(n, &native_probe);
  if (n->result == VALUE_NULL) NATIVE_RETURN(n, VALUE_EMPTY_LIST);
  if (n->result == VALUE_TRUE) {
    seek_add(n, n->slot[SEEK_PATH], n->slot[SEEK_VALUE]);
    NATIVE_RETURN(n, n->slot[SEEK_FOUND]);
  }
  if (!value_is_attrs(n->slot[SEEK_VALUE]) && !value_is_list(n->slot[SEEK_VALUE])) {
    eval_error(vm, EVAL_ERROR_TYPE, 0, "expression does not evaluate to a derivation (or a set or list of those)");
    return STEP_ERROR;
  }
  if (value_is_attrs(n->slot[SEEK_VALUE])) n->slot[SEEK_VALUE] = attrs_flatten(vm, n->slot[SEEK_VALUE]);
  n->slot[SEEK_COMBINE] =
      value_bool(value_is_attrs(n->slot[SEEK_VALUE]) &&
                 attrs_has(n->slot[SEEK_VALUE], symbol_intern(vm->symbols, SPAN("_combineChannels"))));
  for (native_set(n, SEEK_I, 0); seek_at(n) < seek_count(n); native_add(n, SEEK_I, 1)) {
    if (seek_skips(n, seek_at(n))) continue;
    if (n->slot[SEEK_COMBINE] == VALUE_FALSE) {
      n->args[0] = seek_item(n, seek_at(n));
      n->args[1] = n->slot[SEEK_IGNORE];
      NATIVE_PUSH(n, &native_probe);
      n->slot[SEEK_ITEM] = value_follow(seek_item(n, seek_at(n)));
      if (n->result == VALUE_TRUE) seek_add(n, seek_path(n, seek_at(n)), n->slot[SEEK_ITEM]);
      if (n->result != VALUE_FALSE) continue;
      if (value_is_attrs(n->slot[SEEK_VALUE])) {
        if (!value_is_attrs(n->slot[SEEK_ITEM]) || !attrs_has(n->slot[SEEK_ITEM], SYM_recurse_for_derivations))
          continue;
        NATIVE_FORCE(n, attrs_get(vm, n->slot[SEEK_ITEM], SYM_recurse_for_derivations));
        if (!vm_expect_bool(vm, n->result, "while evaluating the attribute `recurseForDerivations`")) return STEP_ERROR;
        if (n->result != VALUE_TRUE) continue;
      }
    }
    seek_enter(n);
    NATIVE_PUSH(n, &native_seek);
    n->slot[SEEK_FOUND] = list_concat(vm, n->slot[SEEK_FOUND], n->result);
  }
  NATIVE_RETURN(n, n->slot[SEEK_FOUND]);
  NATIVE_END;
}

static void seek_sparks(Native *n, SparkSink *sink) {
  if (native_get(n, SEEK_I) < 0) return;
  for (uint32_t i = seek_at(n) + 1; i < seek_count(n); i++)
    if (!seek_skips(n, i)) spark_add(sink, seek_item(n, i));
}

static void seek_trace(Native *n) {
  if (native_get(n, SEEK_I) < 0 || !value_is_attrs(n->slot[SEEK_VALUE])) return;
  eval_error_trace(n->vm, shape_position(attrs_flat_shape(n->slot[SEEK_VALUE]), seek_at(n)),
                   "while evaluating the attribute '%.*s'", SPAN_ARG(seek_name(n, seek_at(n))));
}

static const NativeDef native_seek = {.name = "findPackages",
                                      .step = seek_step,
                                      .arg_count = 4,
                                      .slot_count = SEEK_SLOTS,
                                      .sparks = seek_sparks,
                                      .trace = seek_trace};

// ---- asking: (function, argument, further argument or null) -> JSON text

enum { ASK_FN, ASK_ARG, ASK_MORE, ASK_SLOTS };

static Step ask_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_CALL1(n, n->slot[ASK_FN], n->slot[ASK_ARG]);
  if (n->slot[ASK_MORE] != VALUE_NULL) NATIVE_CALL1(n, n->result, n->slot[ASK_MORE]);
  n->args[0] = n->result;
  n->args[1] = value_raw(0);
  NATIVE_PUSH(n, &print_json_native);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef native_ask = {
    .name = "describePackages", .step = ask_step, .arg_count = 3, .slot_count = ASK_SLOTS};

static bool ask(Session *session, const char *function, Value argument, Value more, JsonTree *ret, int *ret_code) {
  Vm *vm = session->vm;
  Err err = ERR_INIT;
  HeapRoot fn = {0}, arg = {0}, further = {0}, result = {0};
  HeapRoot *const args[3] = {&fn, &arg, &further};
  heap_add_root(&vm->heap, &arg, argument);
  heap_add_root(&vm->heap, &further, more);
  heap_add_root(&vm->heap, &fn, VALUE_NULL);
  heap_add_root(&vm->heap, &result, VALUE_NULL);
  bool ok = vm_eval_text(vm, span_cstr(embedded_package_nix), SPAN("/"), SPAN("«package.nix»"), &fn);
  if (ok) fn.value = attrs_get(vm, fn.value, symbol_intern(vm->symbols, span_cstr(function)));
  ok = ok && vm_run_native(vm, &native_ask, args, 3, &result);
  if (!ok) {
    eval_error_hide(vm, SPAN("«package.nix»"));
    *ret_code = session_eval_failed(session, NULL);
  }
  if (ok && !json_tree_parse(arena_dup(&session->arena, str_span(result.value)), &session->arena, ret, &err)) {
    *ret_code = session_fail(session, &err);
    ok = false;
  }
  heap_remove_root(&vm->heap, &result);
  heap_remove_root(&vm->heap, &fn);
  heap_remove_root(&vm->heap, &further);
  heap_remove_root(&vm->heap, &arg);
  return ok;
}

// ---- sets of packages

struct PackageSet {
  Session *session;
  HeapRoot found; // list [path derivation ...]
  Package *items; // owned
  size_t count;
};

static Span text_of(const JsonTree *record, const char *key) {
  const JsonTree *member = json_tree_get(record, span_cstr(key));
  return member && member->kind == JSON_TREE_STRING ? member->string : SPAN("");
}

static bool is_true(const JsonTree *record, const char *key) {
  const JsonTree *member = json_tree_get(record, span_cstr(key));
  return member && member->kind == JSON_TREE_BOOL && member->boolean;
}

// A set that has several names counts once.
static void remove_repeated(Vm *vm, HeapRoot *found) {
  size_t count = list_count(found->value);
  ListBuilder kept = LIST_BUILDER_INIT;
  Map seen CLEANUP(map_done) = MAP_INIT;
  for (size_t i = 0; i + 1 < count; i += 2) {
    Value drv = value_follow(list_get(vm, found->value, i + 1));
    Span key = span_make(&drv, sizeof drv);
    if (map_has(&seen, key)) continue;
    map_set(&seen, key, NULL);
    list_builder_add(&kept, list_get(vm, found->value, i));
    list_builder_add(&kept, drv);
  }
  found->value = list_builder_finish(vm, &kept);
}

static bool seek_in_root(Session *session, const TargetQuery *query, const HeapRoot *root, const HeapRoot *args,
                         bool ignore_failures, HeapRoot *found, int *ret_code) {
  Vm *vm = session->vm;
  for (size_t i = 0; i < query->attr_path_count; i++) {
    HeapRoot value = {0}, path = {0}, ignore = {0}, part = {0};
    HeapRoot *const seek_args[4] = {&value, (HeapRoot *)(uintptr_t)args, &path, &ignore};
    heap_add_root(&vm->heap, &value, VALUE_NULL);
    heap_add_root(&vm->heap, &path, str_plain(vm, span_cstr(query->attr_paths[i])));
    heap_add_root(&vm->heap, &ignore, value_bool(ignore_failures));
    heap_add_root(&vm->heap, &part, VALUE_NULL);
    bool ok = target_select(session, root, args, query->attr_paths[i], &value);
    if (ok && query->strings && (value_is_string(value.value) || value_is_path(value.value))) {
      Value pair[2] = {path.value, value.value};
      part.value = list_from(vm, pair, 2);
    } else {
      ok = ok && vm_run_native(vm, &native_seek, seek_args, 4, &part);
    }
    if (ok) found->value = list_concat(vm, found->value, part.value);
    else *ret_code = session_eval_failed(session, NULL);
    heap_remove_root(&vm->heap, &part);
    heap_remove_root(&vm->heap, &ignore);
    heap_remove_root(&vm->heap, &path);
    heap_remove_root(&vm->heap, &value);
    if (!ok) return false;
  }
  return true;
}

static bool read_brief(PackageSet *set, int *ret_code) {
  JsonTree list;
  if (!ask(set->session, "brief", set->found.value, VALUE_NULL, &list, ret_code)) return false;
  set->count = list.count;
  set->items = mem_alloc_array(list.count + 1, sizeof(*set->items));
  for (size_t i = 0; i < list.count; i++) {
    const JsonTree *record = &list.items[i];
    Span path = str_span(list_get(set->session->vm, set->found.value, 2 * i));
    set->items[i] = (Package){.attr_path = arena_dup(&set->session->arena, path),
                              .name = text_of(record, "name"),
                              .system = text_of(record, "system"),
                              .failed = record->kind == JSON_TREE_NULL,
                              .meta = {.kind = JSON_TREE_OBJECT}};
  }
  return true;
}

PackageSet *package_set_new(Session *session, const TargetQuery *query, bool ignore_failures, int *ret_code) {
  Err err = ERR_INIT;
  if (!session_vm(session, &err)) return *ret_code = session_fail(session, &err), NULL;
  Vm *vm = session->vm;
  PackageSet *set = mem_alloc_zero(sizeof(*set));
  set->session = session;
  HeapRoot root = {0}, args = {0};
  heap_add_root(&vm->heap, &set->found, VALUE_EMPTY_LIST);
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  heap_add_root(&vm->heap, &args, VALUE_EMPTY_ATTRS);
  bool ok = target_auto_args(session, &args, ret_code);
  for (size_t i = 0; ok && i < query->root_count; i++)
    ok = target_eval_root(session, &query->roots[i], &root, ret_code) &&
         seek_in_root(session, query, &root, &args, ignore_failures, &set->found, ret_code);
  heap_remove_root(&vm->heap, &args);
  heap_remove_root(&vm->heap, &root);
  if (ok) remove_repeated(vm, &set->found);
  if (ok && read_brief(set, ret_code)) return set;
  package_set_free(set);
  return NULL;
}

void package_set_free(PackageSet *set) {
  if (!set) return;
  heap_remove_root(&set->session->vm->heap, &set->found);
  mem_free(set->items);
  mem_free(set);
}

size_t package_set_count(const PackageSet *set) {
  return set->count;
}

const Package *package_set_get(const PackageSet *set, size_t i) {
  return &set->items[i];
}

static bool ask_about(PackageSet *set, const char *function, const size_t *indexes, size_t count, JsonTree *ret,
                      int *ret_code) {
  ListBuilder list = LIST_BUILDER_INIT;
  for (size_t i = 0; i < count; i++) list_builder_add(&list, value_int((int64_t)indexes[i]));
  Value numbers = list_builder_finish(set->session->vm, &list);
  return ask(set->session, function, set->found.value, numbers, ret, ret_code);
}

bool package_set_meta(PackageSet *set, const size_t *indexes, size_t count, int *ret_code) {
  JsonTree list;
  if (!ask_about(set, "meta", indexes, count, &list, ret_code)) return false;
  for (size_t i = 0; i < count; i++)
    if (list.items[i].kind == JSON_TREE_OBJECT) set->items[indexes[i]].meta = list.items[i];
  return true;
}

static void read_outputs(Package *package, const JsonTree *outputs, Arena *arena) {
  package->output_count = outputs->count;
  package->outputs = ARENA_ARRAY(arena, PackageOutput, outputs->count);
  for (size_t j = 0; j < outputs->count; j++)
    package->outputs[j] = (PackageOutput){text_of(&outputs->items[j], "name"), text_of(&outputs->items[j], "path")};
}

bool package_set_complete(PackageSet *set, const size_t *indexes, size_t count, int *ret_code) {
  JsonTree list;
  Arena *arena = &set->session->arena;
  if (!ask_about(set, "complete", indexes, count, &list, ret_code)) return false;
  for (size_t i = 0; i < count; i++) {
    const JsonTree *record = &list.items[i];
    Package *package = &set->items[indexes[i]];
    const JsonTree *outputs = json_tree_get(record, SPAN("outputs"));
    package->is_complete = true;
    const JsonTree *context = json_tree_get(record, SPAN("context"));
    if (context) {
      package->is_string = true;
      package->context = *context;
      package->out_path = text_of(record, "path");
      continue;
    }
    package->drv_path = text_of(record, "drvPath");
    package->out_path = text_of(record, "path");
    package->output_name = text_of(record, "outputName");
    package->output_specified = is_true(record, "outputSpecified");
    package->main_program = text_of(record, "mainProgram");
    package->meta = *json_tree_get(record, SPAN("meta"));
    package->bad_meta = *json_tree_get(record, SPAN("badMeta"));
    read_outputs(package, outputs, arena);
  }
  return true;
}

// ---- parts of descriptions

static void add_want(Vm *vm, AttrsBuilder *want, const char *name, Value value) {
  attrs_builder_add(want, symbol_intern(vm->symbols, span_cstr(name)), value, 0);
}

// What package.nix calls `want`.
static Value wanted_parts(Vm *vm, unsigned parts, const size_t *indexes, size_t count) {
  ListBuilder list = LIST_BUILDER_INIT;
  AttrsBuilder want = ATTRS_BUILDER_INIT;
  Value description = str_plain(vm, SPAN("description"));
  for (size_t i = 0; i < count; i++) list_builder_add(&list, value_int((int64_t)indexes[i]));
  add_want(vm, &want, "indexes", list_builder_finish(vm, &list));
  add_want(vm, &want, "drvPath", value_bool(parts & PACKAGE_DRV_PATH));
  add_want(vm, &want, "outPath", value_bool(parts & PACKAGE_OUT_PATH));
  add_want(vm, &want, "outputNames", value_bool(parts & (PACKAGE_OUTPUT_NAMES | PACKAGE_OUTPUT_PATHS)));
  add_want(vm, &want, "outputPaths", value_bool(parts & PACKAGE_OUTPUT_PATHS));
  add_want(vm, &want, "meta",
           parts & PACKAGE_META ? VALUE_NULL : list_from(vm, &description, parts & PACKAGE_DESCRIPTION ? 1 : 0));
  Value all = attrs_builder_finish(vm, &want, false);
  attrs_builder_done(&want);
  return all;
}

// The value of a part, or NULL after noting that it could not be evaluated.
static const JsonTree *read_part(Package *package, const JsonTree *record, const char *key, unsigned part) {
  const JsonTree *list = json_tree_get(record, span_cstr(key));
  if (list && list->kind == JSON_TREE_ARRAY) return &list->items[0];
  package->failed_parts |= part;
  return NULL;
}

static void read_meta(Package *package, const JsonTree *list, Arena *arena) {
  package->meta = package->bad_meta = (JsonTree){.kind = JSON_TREE_OBJECT};
  package->bad_meta.kind = JSON_TREE_ARRAY;
  package->bad_meta.items = ARENA_ARRAY(arena, JsonTree, list->count);
  for (size_t i = 0; i < list->count; i++) {
    Span name = text_of(&list->items[i], "name");
    const JsonTree *value = json_tree_get(&list->items[i], SPAN("value"));
    if (value->kind != JSON_TREE_ARRAY) {
      package->failed_parts |= PACKAGE_META;
      if (span_eq_cstr(name, "description")) package->failed_parts |= PACKAGE_DESCRIPTION;
      return;
    }
    if (value->count) json_tree_set(&package->meta, arena, name, value->items[0]);
    else package->bad_meta.items[package->bad_meta.count++] = json_tree_string(name);
  }
}

bool package_set_parts(PackageSet *set, unsigned parts, const size_t *indexes, size_t count, int *ret_code) {
  JsonTree list;
  Arena *arena = &set->session->arena;
  Value want = wanted_parts(set->session->vm, parts, indexes, count);
  if (!ask(set->session, "parts", set->found.value, want, &list, ret_code)) return false;
  for (size_t i = 0; i < count; i++) {
    const JsonTree *record = &list.items[i], *value;
    Package *package = &set->items[indexes[i]];
    package->failed_parts = 0;
    value = read_part(package, record, "drvPath", PACKAGE_DRV_PATH);
    if (value && value->string.len) package->drv_path = value->string;
    value = read_part(package, record, "path", PACKAGE_OUT_PATH);
    if (value && value->string.len) package->out_path = value->string;
    value = read_part(package, record, "outputName", PACKAGE_OUTPUT_NAMES);
    if (value) package->output_name = value->string;
    value = read_part(package, record, "outputs", PACKAGE_OUTPUT_PATHS);
    if (value) read_outputs(package, value, arena);
    read_meta(package, json_tree_get(record, SPAN("meta")), arena);
  }
  return true;
}

size_t *package_set_indexes(const PackageSet *set, size_t *ret_count) {
  *ret_count = package_set_count(set);
  size_t *indexes = mem_alloc_array(*ret_count + 1, sizeof(*indexes));
  for (size_t i = 0; i < *ret_count; i++) indexes[i] = i;
  return indexes;
}

bool package_set_complete_all(PackageSet *set, int *ret_code) {
  size_t count;
  size_t *indexes = package_set_indexes(set, &count);
  bool ok = package_set_complete(set, indexes, count, ret_code);
  mem_free(indexes);
  return ok;
}

// ---- questions

static const PackageOutput *find_output(const Package *package, Span name) {
  for (size_t i = 0; i < package->output_count; i++)
    if (span_eq(package->outputs[i].name, name)) return &package->outputs[i];
  return NULL;
}

bool package_outputs_to_install(const Package *package, Arena *arena, const PackageOutput **ret, size_t *ret_count,
                                Err *err) {
  const JsonTree *wanted = package_meta(package, SPAN("outputsToInstall"));
  *ret = package->outputs;
  *ret_count = package->output_count;
  if (package->output_specified) {
    *ret = find_output(package, package->output_name);
    *ret_count = 1;
    return *ret || err_set(err, ERR_EVAL, "derivation does not have output '%.*s'", SPAN_ARG(package->output_name));
  }
  if (!wanted) return true;
  PackageOutput *chosen = ARENA_ARRAY(arena, PackageOutput, wanted->count);
  for (size_t i = 0; i < wanted->count; i++) {
    const PackageOutput *output =
        wanted->items[i].kind == JSON_TREE_STRING ? find_output(package, wanted->items[i].string) : NULL;
    if (wanted->kind != JSON_TREE_ARRAY || !output)
      return err_set(err, ERR_EVAL, "this derivation has bad 'meta.outputsToInstall'");
    chosen[i] = *output;
  }
  *ret = chosen;
  *ret_count = wanted->count;
  return true;
}

const JsonTree *package_meta(const Package *package, Span name) {
  return json_tree_get(&package->meta, name);
}

int64_t package_meta_int(const Package *package, Span name, int64_t fallback) {
  const JsonTree *value = package_meta(package, name);
  int64_t number;
  if (value && value->kind == JSON_TREE_INT) return value->integer;
  if (value && value->kind == JSON_TREE_UINT && value->uinteger <= INT64_MAX) return (int64_t)value->uinteger;
  if (value && value->kind == JSON_TREE_STRING && span_parse_i64(value->string, &number)) return number;
  return fallback;
}

bool package_find_app(Session *session, const TargetRoot *root, const char *attr_path, PackageApp *ret, int *ret_code) {
  Err err = ERR_INIT;
  *ret = (PackageApp){.program = SPAN("")};
  if (!session_vm(session, &err)) return *ret_code = session_fail(session, &err), false;
  Vm *vm = session->vm;
  HeapRoot value = {0}, args = {0}, selected = {0};
  heap_add_root(&vm->heap, &value, VALUE_NULL);
  heap_add_root(&vm->heap, &args, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &selected, VALUE_NULL);
  JsonTree record = {.kind = JSON_TREE_NULL};
  bool ok = target_auto_args(session, &args, ret_code) && target_eval_root(session, root, &value, ret_code);
  if (ok && !target_select(session, &value, &args, attr_path, &selected)) {
    *ret_code = session_eval_failed(session, NULL);
    ok = false;
  }
  ok = ok && ask(session, "app", selected.value, VALUE_NULL, &record, ret_code);
  heap_remove_root(&vm->heap, &selected);
  heap_remove_root(&vm->heap, &args);
  heap_remove_root(&vm->heap, &value);
  if (ok && record.kind == JSON_TREE_OBJECT) {
    ret->program = text_of(&record, "program");
    ret->context = *json_tree_get(&record, SPAN("context"));
  }
  return ok;
}
