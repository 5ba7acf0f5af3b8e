// target.c: see target.h. Behaviour and wording: Nix 2.26, attr-path.cc, get-drvs.cc, eval.cc (autoCallFunction).
#include "cli/target.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print_force.h"
#include "eval/print_json.h"
#include "eval/print_xml.h"
#include "eval/str.h"

// ---- calling functions with --arg

enum { CALL_FN, CALL_ARGS, CALL_SLOTS };

// The arguments of the top level that a function takes. VALUE_ERROR when one without a default is missing.
static Value wanted_args(Vm *vm, Value fn, Value args) {
  bool ellipsis;
  if (!vm_function_formals(vm, fn, &ellipsis)) return VALUE_ABSENT;
  if (ellipsis) return args;
  Value formals = vm_function_args(vm, fn);
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  for (uint32_t i = 0; i < attrs_count(formals); i++) {
    Sym name = attrs_flat_shape(formals)->names[i];
    Value given = attrs_get(vm, args, name);
    if (given != VALUE_ABSENT) attrs_builder_add(&builder, name, given, 0);
    else if (attrs_slot(vm, formals, i) == VALUE_FALSE)
      return eval_error(vm, EVAL_ERROR_EVAL, attrs_position(formals, name),
                        "cannot evaluate a function that has an argument without a value ('%.*s')\n"
                        "Nix attempted to evaluate a function as a top level expression; in\n"
                        "this case it must have its arguments supplied either by default\n"
                        "values, or passed explicitly with '--arg' or '--argstr'. See\n"
                        "https://nixos.org/manual/nix/stable/language/constructs.html#functions.",
                        SPAN_ARG(symbol_text(vm->symbols, name)));
  }
  return attrs_builder_finish(vm, &builder, false);
}

static Step call_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[CALL_FN]);
  n->slot[CALL_FN] = n->result;
  while (value_is_attrs(n->slot[CALL_FN]) && attrs_has(n->slot[CALL_FN], SYM_functor)) {
    NATIVE_CALL1(n, attrs_get(vm, n->slot[CALL_FN], SYM_functor), n->slot[CALL_FN]);
    n->slot[CALL_FN] = n->result;
  }
  if (!value_is_closure(n->slot[CALL_FN]) && !value_is_obj(n->slot[CALL_FN], T_PAP)) NATIVE_RETURN(n, n->slot[CALL_FN]);
  n->result = wanted_args(vm, n->slot[CALL_FN], n->slot[CALL_ARGS]);
  if (n->result == VALUE_ERROR) return STEP_ERROR;
  if (n->result == VALUE_ABSENT) NATIVE_RETURN(n, n->slot[CALL_FN]);
  n->fn = n->slot[CALL_FN];
  n->args[0] = n->result;
  n->arg_count = 1;
  return STEP_TAIL_CALL;
  NATIVE_END;
}

const NativeDef target_native_call = {.name = "autoCall", .step = call_step, .arg_count = 2, .slot_count = CALL_SLOTS};

// ---- attribute paths

enum { PATH_VALUE, PATH_ARGS, PATH_TEXT, PATH_AT, PATH_SLOTS };

// Cuts the next element off `path` from `*at`: a.b."c.d". Appends its text. False at the end; *ret_bad on a missing quote.
static bool next_element(const char *path, size_t *at, Buf *ret, bool *ret_bad) {
  *ret_bad = false;
  if (!path[*at]) return false;
  const char *p = path + *at;
  for (; *p && *p != '.'; p++) {
    if (*p != '"') {
      buf_put_char(ret, *p);
      continue;
    }
    for (p++; *p && *p != '"'; p++) buf_put_char(ret, *p);
    if (!*p) {
      *ret_bad = true;
      return true;
    }
  }
  *at = (size_t)(p - path) + (*p == '.');
  return true;
}

static Value select_error(Native *n, const char *what) {
  return eval_error(
      n->vm, EVAL_ERROR_TYPE, 0, "the expression selected by the selection path '%s' should be a %s but is %s",
      (const char *)value_get_raw_ptr(n->slot[PATH_TEXT]), what, eval_error_type_phrase(n->vm, n->slot[PATH_VALUE]));
}

static Value select_name(Native *n, Span name) {
  Vm *vm = n->vm;
  const char *path = value_get_raw_ptr(n->slot[PATH_TEXT]);
  Value set = n->slot[PATH_VALUE];
  if (!value_is_attrs(set)) return select_error(n, "set");
  if (name.len == 0) return eval_error(vm, EVAL_ERROR_EVAL, 0, "empty attribute name in selection path '%s'", path);
  Value found = attrs_get(vm, set, symbol_intern(vm->symbols, name));
  if (found != VALUE_ABSENT) return found;
  eval_error(vm, EVAL_ERROR_MISSING, 0, "attribute '%.*s' in selection path '%s' not found", SPAN_ARG(name), path);
  set = attrs_flatten(vm, set);
  uint32_t count = attrs_count(set);
  Span *names = mem_alloc_array(count + 1, sizeof(Span));
  for (uint32_t i = 0; i < count; i++) names[i] = symbol_text(vm->symbols, attrs_flat_shape(set)->names[i]);
  eval_error_suggest(vm, name, names, count);
  mem_free(names);
  return VALUE_ERROR;
}

static Value select_index(Native *n, uint64_t index) {
  if (!value_is_list(n->slot[PATH_VALUE])) return select_error(n, "list");
  if (index >= list_count(n->slot[PATH_VALUE]))
    return eval_error(n->vm, EVAL_ERROR_MISSING, 0, "list index %llu in selection path '%s' is out of range",
                      (unsigned long long)index, (const char *)value_get_raw_ptr(n->slot[PATH_TEXT]));
  return list_get(n->vm, n->slot[PATH_VALUE], (size_t)index);
}

static Value select_next(Native *n) {
  const char *path = value_get_raw_ptr(n->slot[PATH_TEXT]);
  size_t at = (size_t)native_get(n, PATH_AT);
  Buf element CLEANUP(buf_done) = BUF_INIT;
  bool bad;
  uint64_t index;
  next_element(path, &at, &element, &bad);
  if (bad) return eval_error(n->vm, EVAL_ERROR_SYNTAX, 0, "missing closing quote in selection path '%s'", path);
  native_set(n, PATH_AT, (int64_t)at);
  if (span_parse_u64(buf_span(&element), &index) && index <= UINT32_MAX) return select_index(n, index);
  return select_name(n, buf_span(&element));
}

static Step path_step(Native *n) {
  NATIVE_BEGIN(n);
  for (native_set(n, PATH_AT, 0); ((const char *)value_get_raw_ptr(n->slot[PATH_TEXT]))[native_get(n, PATH_AT)];) {
    n->args[0] = n->slot[PATH_VALUE];
    n->args[1] = n->slot[PATH_ARGS];
    NATIVE_PUSH(n, &target_native_call);
    n->slot[PATH_VALUE] = n->result;
    n->result = select_next(n);
    if (n->result == VALUE_ERROR) return STEP_ERROR;
    n->slot[PATH_VALUE] = n->result;
  }
  NATIVE_FORCE(n, n->slot[PATH_VALUE]);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef native_path = {
    .name = "selectPath", .step = path_step, .arg_count = 3, .slot_count = PATH_SLOTS};

// ---- the value to print

enum { VALUE_ROOT, VALUE_ARGS, VALUE_PATH, VALUE_APPLY, VALUE_FORM, VALUE_VALUE, VALUE_SLOTS };

static TargetForm value_form(Native *n) {
  return (TargetForm)(value_get_raw(n->slot[VALUE_FORM]) & 0xff);
}

// Of the printers.
static Value value_flags(Native *n) {
  return value_raw(value_get_raw(n->slot[VALUE_FORM]) >> 8 & 0xffff);
}

static bool value_is_called(Native *n) {
  // Without --arg, nix-instantiate shows a function as it is.
  return n->slot[VALUE_ARGS] != VALUE_EMPTY_ATTRS && !(value_get_raw(n->slot[VALUE_FORM]) >> 8 & TARGET_NO_CALL);
}

static Step value_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[VALUE_ROOT];
  n->args[1] = n->slot[VALUE_ARGS];
  n->args[2] = n->slot[VALUE_PATH];
  NATIVE_PUSH(n, &native_path);
  n->slot[VALUE_VALUE] = n->result;
  if (value_is_called(n)) {
    n->args[0] = n->slot[VALUE_VALUE];
    n->args[1] = n->slot[VALUE_ARGS];
    NATIVE_PUSH(n, &target_native_call);
    n->slot[VALUE_VALUE] = n->result;
  }
  if (n->slot[VALUE_APPLY] != VALUE_NULL) {
    NATIVE_CALL1(n, n->slot[VALUE_APPLY], n->slot[VALUE_VALUE]);
    n->slot[VALUE_VALUE] = n->result;
  }
  n->args[0] = n->slot[VALUE_VALUE];
  if (value_form(n) == TARGET_STRICT) {
    NATIVE_PUSH(n, &native_deep_force);
  } else if (value_form(n) == TARGET_RAW) {
    n->args[1] = value_raw(COERCE_COPY);
    NATIVE_PUSH(n, &native_coerce_string);
  } else if (value_form(n) == TARGET_JSON) {
    n->args[1] = value_flags(n);
    NATIVE_PUSH(n, &print_json_native);
  } else if (value_form(n) == TARGET_XML) {
    n->args[1] = value_flags(n);
    NATIVE_PUSH(n, &print_xml_native);
  } else if (value_form(n) == TARGET_PRINT) {
    n->args[1] = value_raw_ptr(&print_options_eval);
    NATIVE_PUSH(n, &print_force_native);
    Value pair[2] = {n->slot[VALUE_VALUE], n->result};
    n->result = list_from(vm, pair, 2);
  } else {
    n->result = n->slot[VALUE_VALUE];
  }
  return STEP_RETURN;
  NATIVE_END;
}

static void value_trace(Native *n) {
  if (value_form(n) != TARGET_RAW || n->slot[VALUE_VALUE] == 0 || !eval_error_is_refusal(n->vm)) return;
  bool instantiate = value_get_raw(n->slot[VALUE_FORM]) >> 8 & TARGET_RAW_INSTANTIATE;
  eval_error_trace(n->vm, 0, "while generating the %s output", instantiate ? "nix-instantiate" : "eval command");
}

const NativeDef target_native_value = {
    .name = "targetValue", .step = value_step, .arg_count = 5, .slot_count = VALUE_SLOTS, .trace = value_trace};

// ---- derivations in a value

enum { FIND_VALUE, FIND_ARGS, FIND_IS_TOP, FIND_FOUND, FIND_I, FIND_ITEM, FIND_SLOTS };

static const NativeDef native_find;

// (value) -> bool
enum { IS_VALUE, IS_SLOTS };
static Step is_drv_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[IS_VALUE]);
  n->slot[IS_VALUE] = n->result;
  if (!value_is_attrs(n->result) || !attrs_has(n->result, SYM_type)) NATIVE_RETURN(n, VALUE_FALSE);
  NATIVE_FORCE(n, attrs_get(n->vm, n->slot[IS_VALUE], SYM_type));
  NATIVE_RETURN(n, value_bool(value_is_string(n->result) && span_eq_cstr(str_span(n->result), "derivation")));
  NATIVE_END;
}
static const NativeDef native_is_drv = {
    .name = "isDerivation", .step = is_drv_step, .arg_count = 1, .slot_count = IS_SLOTS};

// Names that are looked into: [A-Za-z_][A-Za-z0-9-_+]*
static bool is_package_name(Span name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '+'))) return false;
  }
  return name.len > 0;
}

static uint32_t find_count(Native *n) {
  return value_is_list(n->slot[FIND_VALUE]) ? (uint32_t)list_count(n->slot[FIND_VALUE])
                                            : attrs_count(n->slot[FIND_VALUE]);
}
static Value find_item(Native *n, uint32_t i) {
  return value_is_list(n->slot[FIND_VALUE]) ? list_get(n->vm, n->slot[FIND_VALUE], i)
                                            : attrs_slot(n->vm, n->slot[FIND_VALUE], i);
}
static bool find_skips(Native *n, uint32_t i) {
  return value_is_attrs(n->slot[FIND_VALUE]) &&
         !is_package_name(symbol_text(n->vm->symbols, attrs_flat_shape(n->slot[FIND_VALUE])->names[i]));
}

static void find_add(Native *n, Value found) {
  n->slot[FIND_FOUND] = list_concat(n->vm, n->slot[FIND_FOUND], found);
}
static void find_add_one(Native *n, Value drv) {
  find_add(n, list_from(n->vm, &drv, 1));
}

static Step find_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  n->slot[FIND_FOUND] = VALUE_EMPTY_LIST;
  native_set(n, FIND_I, -1);
  n->args[0] = n->slot[FIND_VALUE];
  n->args[1] = n->slot[FIND_ARGS];
  NATIVE_PUSH(n, &target_native_call);
  n->slot[FIND_VALUE] = n->result;
  n->args[0] = n->slot[FIND_VALUE];
  NATIVE_PUSH(n, &native_is_drv);
  if (n->result == VALUE_TRUE) {
    find_add_one(n, n->slot[FIND_VALUE]);
    NATIVE_RETURN(n, n->slot[FIND_FOUND]);
  }
  if (!value_is_attrs(n->slot[FIND_VALUE]) && !value_is_list(n->slot[FIND_VALUE])) {
    eval_error(vm, EVAL_ERROR_TYPE, 0, "expression does not evaluate to a derivation (or a set or list of those)");
    return STEP_ERROR;
  }
  if (value_is_attrs(n->slot[FIND_VALUE])) n->slot[FIND_VALUE] = attrs_flatten(vm, n->slot[FIND_VALUE]);
  for (native_set(n, FIND_I, 0); native_get(n, FIND_I) < find_count(n); native_add(n, FIND_I, 1)) {
    if (find_skips(n, (uint32_t)native_get(n, FIND_I))) continue;
    n->args[0] = find_item(n, (uint32_t)native_get(n, FIND_I));
    NATIVE_PUSH(n, &native_is_drv);
    n->slot[FIND_ITEM] = value_follow(find_item(n, (uint32_t)native_get(n, FIND_I)));
    if (n->result == VALUE_TRUE) {
      find_add_one(n, n->slot[FIND_ITEM]);
      continue;
    }
    if (value_is_attrs(n->slot[FIND_VALUE])) {
      if (!value_is_attrs(n->slot[FIND_ITEM]) || !attrs_has(n->slot[FIND_ITEM], SYM_recurse_for_derivations)) continue;
      NATIVE_FORCE(n, attrs_get(vm, n->slot[FIND_ITEM], SYM_recurse_for_derivations));
      if (!vm_expect_bool(vm, n->result, "while evaluating the attribute `recurseForDerivations`")) return STEP_ERROR;
      if (n->result != VALUE_TRUE) continue;
    }
    n->args[0] = n->slot[FIND_ITEM];
    n->args[1] = n->slot[FIND_ARGS];
    NATIVE_PUSH(n, &native_find);
    find_add(n, n->result);
  }
  NATIVE_RETURN(n, n->slot[FIND_FOUND]);
  NATIVE_END;
}

static void find_sparks(Native *n, SparkSink *sink) {
  if (native_get(n, FIND_I) < 0) return;
  for (uint32_t i = (uint32_t)native_get(n, FIND_I) + 1; i < find_count(n); i++)
    if (!find_skips(n, i)) spark_add(sink, find_item(n, i));
}

static void find_trace(Native *n) {
  if (native_get(n, FIND_I) < 0 || !value_is_attrs(n->slot[FIND_VALUE])) return;
  Shape *shape = attrs_flat_shape(n->slot[FIND_VALUE]);
  uint32_t i = (uint32_t)native_get(n, FIND_I);
  eval_error_trace(n->vm, shape_position(shape, i), "while evaluating the attribute '%.*s'",
                   SPAN_ARG(symbol_text(n->vm->symbols, shape->names[i])));
}

static const NativeDef native_find = {.name = "findDerivations",
                                      .step = find_step,
                                      .arg_count = 2,
                                      .slot_count = FIND_SLOTS,
                                      .sparks = find_sparks,
                                      .trace = find_trace};

enum { DRVS_ROOT, DRVS_ARGS, DRVS_PATH, DRVS_SHELL, DRVS_SLOTS };

// What `fn` (evaluated) is called with.
static Value drvs_args(Native *n, Value fn) {
  bool ellipsis;
  if (n->slot[DRVS_SHELL] == VALUE_NULL || !value_is_closure(fn) || !vm_function_formals(n->vm, fn, &ellipsis))
    return n->slot[DRVS_ARGS];
  Sym name = symbol_intern(n->vm->symbols, SPAN("inNixShell"));
  return attrs_has(vm_function_args(n->vm, fn), name) ? n->slot[DRVS_SHELL] : n->slot[DRVS_ARGS];
}

static Step drvs_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[DRVS_ROOT]);
  n->args[0] = n->result;
  n->args[1] = drvs_args(n, n->result);
  n->args[2] = n->slot[DRVS_PATH];
  NATIVE_PUSH(n, &native_path);
  NATIVE_FORCE(n, n->result);
  n->args[0] = n->result;
  n->args[1] = drvs_args(n, n->result);
  NATIVE_PUSH(n, &native_find);
  return STEP_RETURN;
  NATIVE_END;
}

const NativeDef target_native_drvs = {
    .name = "targetDerivations", .step = drvs_step, .arg_count = 4, .slot_count = DRVS_SLOTS};

enum { SELECT_ROOT, SELECT_ARGS, SELECT_PATH, SELECT_SLOTS };

static Step select_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[SELECT_ROOT];
  n->args[1] = n->slot[SELECT_ARGS];
  n->args[2] = n->slot[SELECT_PATH];
  NATIVE_PUSH(n, &native_path);
  n->args[0] = n->result;
  n->args[1] = n->slot[SELECT_ARGS];
  NATIVE_PUSH(n, &target_native_call);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef native_select = {
    .name = "targetSelect", .step = select_step, .arg_count = 3, .slot_count = SELECT_SLOTS};

bool target_select(Session *session, const HeapRoot *root, const HeapRoot *args, const char *attr_path, HeapRoot *ret) {
  HeapRoot path = {.value = value_raw_ptr(attr_path)}; // no heap value: needs no registration
  HeapRoot *const given[3] = {(HeapRoot *)(uintptr_t)root, (HeapRoot *)(uintptr_t)args, &path};
  return vm_run_native(session->vm, &native_select, given, 3, ret);
}

PosId target_position(Session *session, const HeapRoot *root, const HeapRoot *args, const char *attr_path) {
  Vm *vm = session->vm;
  Buf parent CLEANUP(buf_done) = BUF_INIT, name CLEANUP(buf_done) = BUF_INIT;
  size_t at = 0, last = 0;
  for (bool bad; attr_path[at];) {
    last = at;
    buf_clear(&name);
    if (!next_element(attr_path, &at, &name, &bad) || bad) return 0;
  }
  if (!name.len) return 0;
  buf_put_span(&parent, span_make(attr_path, last));
  if (parent.len && parent.data[parent.len - 1] == '.') parent.len--;
  HeapRoot set = {0};
  heap_add_root(&vm->heap, &set, VALUE_NULL);
  PosId pos = 0;
  if (!target_select(session, root, args, buf_cstr(&parent), &set)) eval_error_free(eval_error_take(vm));
  else if (value_is_attrs(set.value)) pos = attrs_position(set.value, symbol_intern(vm->symbols, buf_span(&name)));
  heap_remove_root(&vm->heap, &set);
  return pos;
}

// ---- one derivation

enum { DRV_SET, DRV_NAME, DRV_PATH, DRV_SLOTS };

static Step drv_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  if (!attrs_has(n->slot[DRV_SET], SYM_name))
    return eval_error(vm, EVAL_ERROR_TYPE, 0, "derivation name missing"), STEP_ERROR;
  NATIVE_FORCE(n, attrs_get(vm, n->slot[DRV_SET], SYM_name));
  if (!vm_expect_string_no_context(vm, n->result, "while evaluating the 'name' attribute of a derivation"))
    return STEP_ERROR;
  n->slot[DRV_NAME] = n->result;
  if (!attrs_has(n->slot[DRV_SET], SYM_drv_path))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "derivation does not contain a 'drvPath' attribute"), STEP_ERROR;
  n->args[0] = attrs_get(vm, n->slot[DRV_SET], SYM_drv_path);
  n->args[1] = value_raw(0);
  NATIVE_PUSH(n, &native_coerce_string);
  n->slot[DRV_PATH] = n->result;
  n->result = str_plain(vm, SPAN(""));
  if (attrs_has(n->slot[DRV_SET], SYM_output_name)) {
    NATIVE_FORCE(n, attrs_get(vm, n->slot[DRV_SET], SYM_output_name));
    if (!vm_expect_string_no_context(vm, n->result, "while evaluating the output name of a derivation"))
      return STEP_ERROR;
  }
  Value triple[3] = {n->slot[DRV_PATH], n->result, n->slot[DRV_NAME]};
  NATIVE_RETURN(n, list_from(vm, triple, 3));
  NATIVE_END;
}

const NativeDef target_native_drv = {
    .name = "targetDerivation", .step = drv_step, .arg_count = 1, .slot_count = DRV_SLOTS};

// ---- roots

static bool read_stdin(Buf *ret, Err *err) {
  return fs_read_fd(STDIN_FILENO, 0, ret, err) || err_wrap(err, "standard input");
}

// `import (fetchTarball "url")`: the text that means what cannot be opened as a file. Empty for a file.
static void root_text(const char *file, Buf *ret) {
  Span text = span_cstr(file);
  if (!span_has_prefix(text, SPAN("channel:")) && span_find(text, SPAN("://")) == SIZE_MAX) return;
  buf_put_cstr(ret, "import (fetchTarball \"");
  for (const char *p = file; *p; p++) {
    if (strchr("\"\\$", *p)) buf_put_char(ret, '\\');
    buf_put_char(ret, *p);
  }
  buf_put_cstr(ret, "\")");
}

// `<x>`: what is found in the search path is evaluated as a file.
static bool eval_search_path(Vm *vm, const char *name, Span cwd, HeapRoot *root) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (!vm_eval_text(vm, span_cstr(name), cwd, SPAN("«string»"), root)) {
    eval_error_drop_traces(vm); // the expression is ours
    return false;
  }
  buf_put_span(&path, str_span(root->value));
  return vm_eval_file(vm, buf_span(&path), root);
}

static bool eval_named(Session *session, const char *name, Span cwd, HeapRoot *root) {
  Vm *vm = session->vm;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  size_t len = strlen(name);
  if (len > 2 && name[0] == '<' && name[len - 1] == '>') return eval_search_path(vm, name, cwd, root);
  root_text(name, &text);
  return text.len ? vm_eval_text(vm, buf_span(&text), cwd, SPAN("«string»"), root)
                  : vm_eval_file(vm, span_cstr(session_absolute(session, name)), root);
}

const char *target_expr_base(Session *session) {
  const char *script = session->shebang.script;
  if (!script || !setting_bool(session->settings, SETTING_ID_nix_shell_shebang_arguments_relative)) return NULL;
  return arena_dup(&session->arena, fs_path_dir(span_cstr(session_absolute(session, script)))).data;
}

bool target_eval_root(Session *session, const TargetRoot *target, HeapRoot *root, int *ret_code) {
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  bool ok;
  Span cwd = span_cstr(session_absolute(session, "."));
  if (!session_vm(session, &err)) return *ret_code = session_fail(session, &err), false;
  Vm *vm = session->vm;
  switch (target->kind) {
  case TARGET_STDIN:
    if (!read_stdin(&text, &err)) return *ret_code = session_fail(session, &err), false;
    ok = vm_eval_text(vm, buf_span(&text), cwd, SPAN("«stdin»"), root);
    break;
  case TARGET_EXPR:
    ok = vm_eval_text(vm, span_cstr(target->text), target->base ? span_cstr(target->base) : cwd,
                      target->is_own ? SPAN("«firn»") : SPAN("«string»"), root);
    if (!ok && target->is_own) eval_error_hide(vm, SPAN("«firn»"));
    break;
  case TARGET_FILE: ok = eval_named(session, target->text, cwd, root); break;
  default: ok = false;
  }
  if (!ok) *ret_code = session_eval_failed(session, NULL);
  return ok;
}

// The expression of --arg is parsed at once, and evaluated when somebody needs it.
static bool delay_arg(Session *session, const char *text, HeapRoot *root, int *ret_code) {
  Vm *vm = session->vm;
  const char *base = target_expr_base(session);
  Span cwd = span_cstr(base ? base : session_absolute(session, "."));
  HeapRoot scope = {0}, seq = {0};
  heap_add_root(&vm->heap, &scope, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &seq, VALUE_NULL);
  bool ok = vm_eval_text_scoped(vm, span_cstr(text), cwd, SPAN("«string»"), &scope, false, root);
  // Literals come evaluated; those who print values see that they are not asked for.
  if (ok && value_is_whnf(root->value)) {
    ok = vm_eval_text(vm, SPAN("builtins.seq null"), cwd, SPAN("«string»"), &seq);
    if (ok) root->value = native_delay_call(vm, seq.value, &root->value, 1);
  }
  if (!ok) *ret_code = session_eval_failed(session, NULL);
  heap_remove_root(&vm->heap, &seq);
  heap_remove_root(&vm->heap, &scope);
  return ok;
}

static bool eval_arg(Session *session, const OptionUse *use, HeapRoot *root, int *ret_code) {
  Vm *vm = session->vm;
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  switch ((int)use->id) {
  case OPT_argstr: root->value = str_plain(vm, span_cstr(use->args[1])); return true;
  case OPT_arg_from_stdin:
    if (!read_stdin(&text, &err)) return *ret_code = session_fail(session, &err), false;
    root->value = str_plain(vm, buf_span(&text));
    return true;
  case OPT_arg_from_file:
    if (access(use->args[1], R_OK) != 0) err_set_errno(&err, errno, "opening file '%s'", use->args[1]);
    else if (!fs_read_file(use->args[1], 0, &text, &err)) err_wrap(&err, "reading '%s'", use->args[1]);
    if (err_is_set(&err)) return *ret_code = session_fail(session, &err), false;
    root->value = str_plain(vm, buf_span(&text));
    return true;
  default: return delay_arg(session, use->args[1], root, ret_code);
  }
}

bool target_auto_args(Session *session, HeapRoot *root, int *ret_code) {
  Err err = ERR_INIT;
  if (!session_vm(session, &err)) return *ret_code = session_fail(session, &err), false;
  Vm *vm = session->vm;
  root->value = VALUE_EMPTY_ATTRS;
  for (size_t i = 0; i < session->options.use_count; i++) {
    const OptionUse *use = &session->options.uses[i];
    if (use->id != OPT_arg && use->id != OPT_argstr && use->id != OPT_arg_from_file && use->id != OPT_arg_from_stdin)
      continue;
    HeapRoot value = {0};
    heap_add_root(&vm->heap, &value, VALUE_NULL);
    bool ok = eval_arg(session, use, &value, ret_code);
    if (ok) {
      AttrsBuilder builder = ATTRS_BUILDER_INIT;
      attrs_builder_add(&builder, symbol_intern(vm->symbols, span_cstr(use->args[0])), value.value, 0);
      root->value = attrs_update(vm, root->value, attrs_builder_finish(vm, &builder, false));
      attrs_builder_done(&builder);
    }
    heap_remove_root(&vm->heap, &value);
    if (!ok) return false;
  }
  return true;
}

void target_roots(Session *session, bool classic, const TargetRoot **ret, size_t *ret_count, bool *ret_used_operands) {
  const OptionList *options = &session->options;
  const char *file = option_get(options, OPT_file), *expr = option_get(options, OPT_expr);
  TargetRoot *roots = ARENA_ARRAY(&session->arena, TargetRoot, options->operand_count + 1);
  *ret = roots;
  *ret_count = 1;
  *ret_used_operands = false;
  if (!classic && expr) {
    roots[0] = (TargetRoot){TARGET_EXPR, expr};
  } else if (!classic && file) {
    roots[0] = (TargetRoot){strcmp(file, "-") == 0 ? TARGET_STDIN : TARGET_FILE, file};
  } else if (options->operand_count == 0) {
    roots[0] = (TargetRoot){TARGET_FILE, "."};
  } else {
    *ret_used_operands = true;
    *ret_count = options->operand_count;
    for (size_t i = 0; i < options->operand_count; i++) {
      const char *operand = options->operands[i];
      bool is_stdin = strcmp(operand, "-") == 0;
      bool is_expr = !is_stdin && option_has(options, OPT_expr_flag);
      TargetKind kind = is_stdin ? TARGET_STDIN : is_expr ? TARGET_EXPR : TARGET_FILE;
      roots[i] = (TargetRoot){kind, operand, is_expr ? target_expr_base(session) : NULL};
    }
  }
}

// ---- finding derivations

void target_drv_list_done(TargetDrvList *list) {
  mem_free(list->items);
  *list = (TargetDrvList){0};
}

static void init_job(VmJob *job, const NativeDef *def, uint32_t arg_count) {
  *job = (VmJob){.def = def, .arg_count = arg_count};
}

// Sets that attribute paths have led to.
typedef struct FoundSets {
  HeapRoot sets;        // a list
  uint32_t *attr_paths; // owned; for each of them, the number of the path
  size_t count, cap;
} FoundSets;

// Runs target_native_drv on each set and appends what it gives.
static bool describe_drvs(Session *session, const FoundSets *found, TargetDrvList *ret, int *ret_code) {
  const HeapRoot *sets = &found->sets;
  Vm *vm = session->vm;
  size_t count = list_count(sets->value);
  VmJob *jobs = mem_alloc_array(count + 1, sizeof(VmJob));
  uint32_t *attr_paths CLEANUP(mem_free_ptr) = mem_alloc_array(count + 1, sizeof *attr_paths);
  size_t job_count = 0;
  for (size_t i = 0; i < count; i++) {
    Value set = list_get(vm, sets->value, i);
    bool repeated = false; // `rec { x = derivation ...; y = x; }`
    for (size_t j = 0; j < job_count && !repeated; j++) {
      repeated = jobs[j].args[0].value == set;
      ret->has_shared |= repeated && attr_paths[j] != found->attr_paths[i];
    }
    if (repeated) continue;
    init_job(&jobs[job_count], &target_native_drv, 1);
    attr_paths[job_count] = found->attr_paths[i];
    jobs[job_count++].args[0].value = set;
  }
  vm_run_jobs(vm, jobs, job_count);
  bool ok = true, keep_going = setting_bool(session->settings, SETTING_ID_keep_going);
  for (size_t i = 0; i < job_count; i++) {
    Err err = ERR_INIT;
    if (jobs[i].error) {
      if (ok || keep_going) *ret_code = session_eval_failed(session, STEAL(jobs[i].error));
      ok = ok && keep_going;
    } else if (ok) {
      Value triple = jobs[i].result.value;
      TargetDrv drv = {.attr_path = attr_paths[i],
                       .output = arena_dup(&session->arena, str_span(list_get(vm, triple, 1))),
                       .name = arena_dup(&session->arena, str_span(list_get(vm, triple, 2)))};
      Span path = str_span(list_get(vm, triple, 0));
      Span stem;
      if (!store_path_parse(path, session_store_dir(session), &drv.drv_path, &err) ||
          !derivation_name_of_path(&drv.drv_path, &stem, &err)) {
        *ret_code = session_fail(session, &err);
        ok = false;
      } else if (drv.output.len == 0) {
        err_set(&err, ERR_EVAL, "derivation '%.*s' lacks an 'outputName' attribute", SPAN_ARG(path));
        *ret_code = session_fail(session, &err);
        ok = false;
      } else {
        MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
        ret->items[ret->count++] = drv;
      }
    }
    vm_job_done(vm, &jobs[i]);
  }
  mem_free(jobs);
  return ok;
}

const char *const *target_attr_paths(Session *session, size_t *ret_count) {
  size_t count = option_uses(&session->options, OPT_attr), filled = 0;
  const char **paths = ARENA_ARRAY(&session->arena, const char *, count + 1);
  for (size_t i = 0; i < session->options.use_count; i++)
    if (session->options.uses[i].id == OPT_attr) paths[filled++] = session->options.uses[i].args[0];
  if (!filled) paths[filled++] = "";
  *ret_count = filled;
  return paths;
}

static bool find_in_root(Session *session, const TargetQuery *query, const HeapRoot *root, const HeapRoot *args,
                         const HeapRoot *shell_args, FoundSets *found, int *ret_code) {
  Vm *vm = session->vm;
  size_t count = query->attr_path_count;
  VmJob *jobs = mem_alloc_array(count, sizeof(VmJob));
  for (size_t i = 0; i < count; i++) {
    init_job(&jobs[i], &target_native_drvs, 4);
    jobs[i].args[0].value = root->value;
    jobs[i].args[1].value = args->value;
    jobs[i].args[2].value = value_raw_ptr(query->attr_paths[i]);
    jobs[i].args[3].value = shell_args->value;
  }
  vm_run_jobs(vm, jobs, count);
  bool ok = true, keep_going = setting_bool(session->settings, SETTING_ID_keep_going);
  for (size_t i = 0; i < count; i++) {
    if (!jobs[i].error) {
      found->sets.value = list_concat(vm, found->sets.value, jobs[i].result.value);
      size_t set_count = list_count(found->sets.value);
      MEM_RESERVE(found->attr_paths, found->cap, set_count);
      while (found->count < set_count) found->attr_paths[found->count++] = (uint32_t)i;
    } else if (ok || keep_going) *ret_code = session_eval_failed(session, STEAL(jobs[i].error));
    ok = ok && (keep_going || !jobs[i].error);
    vm_job_done(vm, &jobs[i]);
  }
  mem_free(jobs);
  return ok;
}

// What is given explicitly (--arg inNixShell) counts.
static Value with_in_nix_shell(Vm *vm, Value args) {
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, symbol_intern(vm->symbols, SPAN("inNixShell")), VALUE_TRUE, 0);
  return attrs_update(vm, attrs_builder_finish(vm, &builder, false), args);
}

bool target_query_drvs(Session *session, const TargetQuery *query, TargetDrvList *ret, int *ret_code) {
  Err err = ERR_INIT;
  if (!session_vm(session, &err)) return *ret_code = session_fail(session, &err), false;
  Vm *vm = session->vm;
  HeapRoot root = {0}, args = {0}, shell_args = {0};
  FoundSets found = {0};
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  heap_add_root(&vm->heap, &args, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &shell_args, VALUE_NULL);
  heap_add_root(&vm->heap, &found.sets, VALUE_EMPTY_LIST);
  bool ok = target_auto_args(session, &args, ret_code);
  if (ok && query->in_nix_shell) shell_args.value = with_in_nix_shell(vm, args.value);
  for (size_t i = 0; ok && i < query->root_count; i++)
    ok = target_eval_root(session, &query->roots[i], &root, ret_code) &&
         find_in_root(session, query, &root, &args, &shell_args, &found, ret_code);
  ok = ok && describe_drvs(session, &found, ret, ret_code);
  heap_remove_root(&vm->heap, &found.sets);
  mem_free(found.attr_paths);
  heap_remove_root(&vm->heap, &shell_args);
  heap_remove_root(&vm->heap, &args);
  heap_remove_root(&vm->heap, &root);
  return ok;
}
