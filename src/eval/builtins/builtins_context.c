// builtins_context.c: string contexts as values. For the forms of context elements see context.h.
#include <stdlib.h>

#include "base/mem.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "eval/print.h"
#include "formats/store_path.h"

typedef enum ElementKind { ELEMENT_PATH, ELEMENT_DEEP, ELEMENT_OUTPUT } ElementKind;

typedef struct Element {
  Span path; // of the store object or the derivation
  ElementKind kind;
  Span output; // of ELEMENT_OUTPUT
} Element;

static Element element_parse(Span text) {
  if (text.data[0] == '=') return (Element){span_from(text, 1), ELEMENT_DEEP, {NULL, 0}};
  if (text.data[0] != '!') return (Element){text, ELEMENT_PATH, {NULL, 0}};
  size_t end = span_rfind_char(text, '!');
  return (Element){span_from(text, end + 1), ELEMENT_OUTPUT, span_sub(text, 1, end - 1)};
}

static const Context *with_element(Vm *vm, const Context *context, const char *before, Span output, const char *between,
                                   Span path) {
  Buf text = BUF_INIT;
  buf_put_cstr(&text, before);
  buf_put_span(&text, output);
  buf_put_cstr(&text, between);
  buf_put_span(&text, path);
  context = context_union(vm->contexts, context, context_of(vm->contexts, buf_span(&text)));
  buf_done(&text);
  return context;
}

static const Context *with_path(Vm *vm, const Context *context, Span path) {
  return with_element(vm, context, "", SPAN(""), "", path);
}

static const Context *with_deep(Vm *vm, const Context *context, Span drv) {
  return with_element(vm, context, "=", SPAN(""), "", drv);
}

static const Context *with_output(Vm *vm, const Context *context, Span output, Span drv) {
  return with_element(vm, context, "!", output, "!", drv);
}

static bool is_derivation(Span path) {
  return span_has_suffix(path, SPAN(".drv"));
}

static void trace_coerce_0(Native *n) {
  builtins_util_trace_coerce(n, 0, 1);
}

// ---- without or with less ----

static Step discard_context_step(Native *n) {
  enum { S, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[S], COERCE_COPY, S, FRAME, ARG "unsafeDiscardStringContext");
  NATIVE_RETURN(n, str_with_context(n->vm, n->result, NULL));
  NATIVE_END;
}

static const NativeDef discard_context_native = {.name = "unsafeDiscardStringContext",
                                                 .step = discard_context_step,
                                                 .arg_count = 1,
                                                 .slot_count = 2,
                                                 .trace = trace_coerce_0};

static const Context *shallow_context(Vm *vm, const Context *context) {
  const Context *result = NULL;
  for (uint32_t i = 0; context && i < context->count; i++) {
    Span text = context_element_text(vm->contexts, context->elements[i]);
    Element e = element_parse(text);
    result = with_path(vm, result, e.kind == ELEMENT_DEEP ? e.path : text);
  }
  return result;
}

static Step discard_output_dependency_step(Native *n) {
  enum { S, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[S], COERCE_COPY, S, FRAME, ARG "unsafeDiscardOutputDependency");
  NATIVE_RETURN(n, str_with_context(n->vm, n->result, shallow_context(n->vm, str_context(n->result))));
  NATIVE_END;
}

static const NativeDef discard_output_dependency_native = {.name = "unsafeDiscardOutputDependency",
                                                           .step = discard_output_dependency_step,
                                                           .arg_count = 1,
                                                           .slot_count = 2,
                                                           .trace = trace_coerce_0};

static Value add_output_dependencies(Vm *vm, Value s) {
  const Context *context = str_context(s);
  uint32_t count = context ? context->count : 0;
  if (count != 1)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "context of string '%.*s' must have exactly one element, but has %u",
                      SPAN_ARG(str_span(s)), count);
  Element e = element_parse(context_element_text(vm->contexts, context->elements[0]));
  switch (e.kind) {
  case ELEMENT_DEEP: return s;
  case ELEMENT_OUTPUT:
    return eval_error(
        vm, EVAL_ERROR_EVAL, 0,
        "`addDrvOutputDependencies` can only act on derivations, not on a derivation output such as '%.*s'",
        SPAN_ARG(e.output));
  case ELEMENT_PATH: break;
  }
  if (!is_derivation(e.path))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "path '%.*s' is not a derivation", SPAN_ARG(e.path));
  return str_with_context(vm, s, with_deep(vm, NULL, e.path));
}

static Step add_output_dependencies_step(Native *n) {
  enum { S, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[S], COERCE_COPY, S, FRAME, ARG "addDrvOutputDependencies");
  n->result = add_output_dependencies(n->vm, n->result);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

static const NativeDef add_output_dependencies_native = {.name = "addDrvOutputDependencies",
                                                         .step = add_output_dependencies_step,
                                                         .arg_count = 1,
                                                         .slot_count = 2,
                                                         .trace = trace_coerce_0};

// ---- as a set ----

static Value has_context_fn(Vm *vm, Value *args) {
  if (!expect_string(vm, args[0], ARG "hasContext")) return VALUE_ERROR;
  return value_bool(str_context(args[0]) != NULL);
}

static int compare_elements(const void *a, const void *b) {
  const Element *x = a, *y = b;
  int c = span_cmp(x->path, y->path);
  if (c == 0) c = (int)x->kind - (int)y->kind;
  return c ? c : span_cmp(x->output, y->output);
}

// What `elements`, all of one path and in order, say about it.
static Value path_info(Vm *vm, const Element *elements, size_t count) {
  AttrsBuilder info = ATTRS_BUILDER_INIT;
  ListBuilder outputs = LIST_BUILDER_INIT;
  for (size_t i = 0; i < count; i++) {
    switch (elements[i].kind) {
    case ELEMENT_PATH: attrs_builder_add(&info, SYM_path, VALUE_TRUE, 0); break;
    case ELEMENT_DEEP: attrs_builder_add(&info, symbol_intern(vm->symbols, SPAN("allOutputs")), VALUE_TRUE, 0); break;
    case ELEMENT_OUTPUT: list_builder_add(&outputs, str_plain(vm, elements[i].output)); break;
    }
  }
  if (outputs.count) attrs_builder_add(&info, SYM_outputs, list_builder_finish(vm, &outputs), 0);
  Value set = attrs_builder_finish(vm, &info, false);
  attrs_builder_done(&info);
  return set;
}

static Value get_context_fn(Vm *vm, Value *args) {
  if (!expect_string(vm, args[0], ARG "getContext")) return VALUE_ERROR;
  const Context *context = str_context(args[0]);
  if (!context) return VALUE_EMPTY_ATTRS;
  Element *elements = mem_alloc_array(context->count, sizeof *elements);
  for (uint32_t i = 0; i < context->count; i++)
    elements[i] = element_parse(context_element_text(vm->contexts, context->elements[i]));
  qsort(elements, context->count, sizeof *elements, compare_elements);
  AttrsBuilder result = ATTRS_BUILDER_INIT;
  for (size_t i = 0, end; i < context->count; i = end) {
    for (end = i + 1; end < context->count && span_eq(elements[end].path, elements[i].path);) end++;
    attrs_builder_add(&result, symbol_intern(vm->symbols, elements[i].path), path_info(vm, elements + i, end - i), 0);
  }
  mem_free(elements);
  Value set = attrs_builder_finish(vm, &result, false);
  attrs_builder_done(&result);
  return set;
}

// ---- appendContext ----

enum { STRING, SET, FRAME, CONTEXT, I, INFO, OUTPUTS, K, APPEND_SLOT_COUNT };

static uint32_t append_slot(const Native *n) {
  return attrs_nth(n->vm, n->slot[SET], (size_t)native_get(n, I));
}

static Span append_name(Native *n) {
  return symbol_text(n->vm->symbols, attrs_flat_shape(n->slot[SET])->names[append_slot(n)]);
}

static PosId append_pos(Native *n) {
  return shape_position(attrs_flat_shape(n->slot[SET]), append_slot(n));
}

static void append(Native *n, const Context *context) {
  n->slot[CONTEXT] = value_raw_ptr(context);
}

static const Context *appended(Native *n) {
  return value_get_raw_ptr(n->slot[CONTEXT]);
}

// `format` takes the key as Nix shows names.
static bool append_fail(Native *n, const char *format) {
  Buf name = BUF_INIT, text = BUF_INIT;
  print_attr_name(append_name(n), &name);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  buf_printf(&text, format, buf_cstr(&name));
#pragma GCC diagnostic pop
  eval_error(n->vm, EVAL_ERROR_EVAL, append_pos(n), "%s", buf_cstr(&text));
  buf_done(&name);
  buf_done(&text);
  return false;
}

static bool append_check_path(Native *n) {
  StorePath ignored;
  Span name = append_name(n);
  if (store_path_parse(name, span_cstr(n->vm->settings.store_dir), &ignored, NULL)) return true;
  return append_fail(n, "context key '%s' is not a store path");
}

static Step append_ensure_path(Native *n) {
  EvalIo *io = n->vm->io;
  Err err = ERR_INIT;
  if (!io->ops->ensure_path) return STEP_RETURN;
  EvalIoStatus status = io->ops->ensure_path(io, append_name(n), &n->wait, &err);
  if (status == EVAL_IO_OK) return STEP_RETURN;
  if (status == EVAL_IO_PENDING) return STEP_PARK;
  eval_error_from_err(n->vm, EVAL_ERROR_IO, 0, &err);
  return STEP_ERROR;
}

static bool append_check_derivation(Native *n, const char *what) {
  if (is_derivation(append_name(n))) return true;
  Buf format = BUF_INIT;
  buf_printf(&format, "tried to add %s context of %%s, which is not a derivation, to a string", what);
  append_fail(n, buf_cstr(&format));
  buf_done(&format);
  return false;
}

static Value append_field(Native *n, const char *name) {
  return attrs_get(n->vm, n->slot[INFO], symbol_intern(n->vm->symbols, span_cstr(name)));
}

static PosId append_field_pos(Native *n, const char *name) {
  return attrs_position(n->slot[INFO], symbol_intern(n->vm->symbols, span_cstr(name)));
}

static bool append_field_failed(Native *n, const char *name, const char *frame) {
  return builtins_util_fail_at(n->vm, append_field_pos(n, name), frame);
}

#define APPEND_VALUE "while evaluating the value of a string context"
#define APPEND_PATH "while evaluating the `path` attribute of a string context"
#define APPEND_ALL "while evaluating the `allOutputs` attribute of a string context"
#define APPEND_OUTPUTS "while evaluating the `outputs` attribute of a string context"
#define APPEND_NAME "while evaluating an output name within a string context"

static Step append_context_step(Native *n) {
  Step step;
  NATIVE_BEGIN(n);
  if (!expect_string(n->vm, n->slot[STRING], ARG1 "appendContext")) return STEP_ERROR;
  if (!expect_attrs(n->vm, n->slot[SET], ARG2 "appendContext")) return STEP_ERROR;
  if (n->slot[SET] == VALUE_EMPTY_ATTRS) NATIVE_RETURN(n, n->slot[STRING]);
  n->slot[SET] = attrs_flatten(n->vm, n->slot[SET]);
  append(n, str_context(n->slot[STRING]));
  for (native_set(n, I, 0); native_get(n, I) < attrs_flat_shape(n->slot[SET])->count; native_add(n, I, 1)) {
    if (!append_check_path(n)) return STEP_ERROR;
    while ((step = append_ensure_path(n)) == STEP_PARK) NATIVE_PARK(n);
    if (step == STEP_ERROR) return STEP_ERROR;
    NATIVE_FORCE(n, attrs_slot(n->vm, n->slot[SET], append_slot(n)));
    n->slot[INFO] = n->result;
    if (!value_is_attrs(n->slot[INFO])) {
      eval_error_type(n->vm, 0, "a set", n->slot[INFO]);
      eval_error_trace(n->vm, append_pos(n), APPEND_VALUE);
      return STEP_ERROR;
    }
    if (append_field(n, "path") != VALUE_ABSENT) {
      NATIVE_FORCE_FOR(n, append_field(n, "path"), FRAME, APPEND_PATH);
      if (!expect_bool(n->vm, n->result, NULL) && !append_field_failed(n, "path", APPEND_PATH)) return STEP_ERROR;
      if (n->result == VALUE_TRUE) append(n, with_path(n->vm, appended(n), append_name(n)));
    }
    if (append_field(n, "allOutputs") != VALUE_ABSENT) {
      NATIVE_FORCE_FOR(n, append_field(n, "allOutputs"), FRAME, APPEND_ALL);
      if (!expect_bool(n->vm, n->result, NULL) && !append_field_failed(n, "allOutputs", APPEND_ALL)) return STEP_ERROR;
      if (n->result == VALUE_TRUE) {
        if (!append_check_derivation(n, "all-outputs")) return STEP_ERROR;
        append(n, with_deep(n->vm, appended(n), append_name(n)));
      }
    }
    if (append_field(n, "outputs") == VALUE_ABSENT) continue;
    NATIVE_FORCE(n, append_field(n, "outputs"));
    n->slot[OUTPUTS] = n->result;
    if (!expect_list(n->vm, n->slot[OUTPUTS], NULL)) {
      eval_error_trace(n->vm, append_field_pos(n, "outputs"), APPEND_OUTPUTS);
      return STEP_ERROR;
    }
    if (n->slot[OUTPUTS] != VALUE_EMPTY_LIST && !append_check_derivation(n, "derivation output")) return STEP_ERROR;
    for (native_set(n, K, 0); (size_t)native_get(n, K) < list_count(n->slot[OUTPUTS]); native_add(n, K, 1)) {
      NATIVE_FORCE_FOR(n, list_get(n->vm, n->slot[OUTPUTS], (size_t)native_get(n, K)), FRAME, APPEND_NAME);
      if (!expect_text(n->vm, n->result, NULL) && !append_field_failed(n, "outputs", APPEND_NAME)) return STEP_ERROR;
      append(n, with_output(n->vm, appended(n), str_span(n->result), append_name(n)));
    }
  }
  NATIVE_RETURN(n, str_with_context(n->vm, n->slot[STRING], appended(n)));
  NATIVE_END;
}

static void append_context_trace(Native *n) {
  const char *frame = value_get_raw_ptr(n->slot[FRAME]);
  if (!frame) return;
  const char *field = strcmp(frame, APPEND_PATH) == 0  ? "path"
                      : strcmp(frame, APPEND_ALL) == 0 ? "allOutputs"
                                                       : "outputs";
  eval_error_trace(n->vm, append_field_pos(n, field), "%s", frame);
}

static const NativeDef append_context_native = {.name = "appendContext",
                                                .step = append_context_step,
                                                .arg_count = 2,
                                                .slot_count = APPEND_SLOT_COUNT,
                                                .trace = append_context_trace};

static const Builtin rows[] = {
    {"unsafeDiscardStringContext",
     1,
     1,
     0,
     NULL,
     &discard_context_native,
     "s",
     "Return the string *s* without its context.",
     NULL,
     {NULL}},
    {"unsafeDiscardOutputDependency",
     1,
     1,
     0,
     NULL,
     &discard_output_dependency_native,
     "s",
     "Return the string *s* with a context in which a derivation counts only as a file, without its outputs. The "
     "opposite of "
     "`addDrvOutputDependencies`.",
     NULL,
     {NULL}},
    {"addDrvOutputDependencies",
     1,
     1,
     0,
     NULL,
     &add_output_dependencies_native,
     "s",
     "Return the string *s*, whose context must be one derivation, with a context of that derivation, its closure and "
     "all of its outputs, as "
     "`drvPath` has it.",
     NULL,
     {NULL}},
    {"hasContext",
     1,
     1,
     0,
     has_context_fn,
     NULL,
     "s",
     "Return whether the string *s* has a context.",
     "S",
     {ARG "hasContext"}},
    {"getContext",
     1,
     1,
     0,
     get_context_fn,
     NULL,
     "s",
     "Return the context of the string *s* as a set: for each store path a set of `path` (it is referred to as it is), "
     "`allOutputs` (a derivation "
     "with all its outputs) and `outputs` (the names of outputs of a derivation).",
     "S",
     {ARG "getContext"}},
    {"appendContext",
     2,
     3,
     0,
     NULL,
     &append_context_native,
     "s context",
     "Return the string *s* with a context, in the form that `getContext` returns, added to its own.",
     "Sa",
     {ARG1 "appendContext", ARG2 "appendContext"}},
};

const BuiltinTable builtins_context_table = {rows, ARRAY_LEN(rows)};
