// builtins_misc.c: errors, messages, constants, the environment.
#include <time.h>

#include "base/log.h"
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"
#include "eval/print.h"
#include "formats/placeholder.h"

// builtins.nixVersion. Programs ask for it to know what they can use: nixpkgs refuses to be evaluated below its minver.nix (2.18 today),
// and probes features by version (`lib.versionAtLeast builtins.nixVersion "2.x"`). What this evaluator implements, down to integer overflow
// and the wording of errors, is the language of Nix 2.26, so that is the only honest answer; a suffix would make version comparisons differ.
#define NIX_VERSION "2.26.3"
#define LANG_VERSION 6

// ---- errors ----

static void trace_coerce_0(Native *n) {
  builtins_util_trace_coerce(n, 0, 1);
}

static Step abort_step(Native *n) {
  enum { S, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[S], COERCE_COPY, S, FRAME,
                    "while evaluating the error message passed to builtins.abort");
  eval_error(n->vm, EVAL_ERROR_ABORT, 0, "evaluation aborted with the following error message: '%.*s'",
             SPAN_ARG(str_span(n->result)));
  return STEP_ERROR;
  NATIVE_END;
}

static const NativeDef abort_native = {
    .name = "abort", .step = abort_step, .arg_count = 1, .slot_count = 2, .trace = trace_coerce_0};

static Step throw_step(Native *n) {
  enum { S, FRAME };
  NATIVE_BEGIN(n);
  NATIVE_COERCE_FOR(n, n->slot[S], COERCE_COPY, S, FRAME, "while evaluating the error message passed to builtin.throw");
  eval_error(n->vm, EVAL_ERROR_THROW, 0, "%.*s", SPAN_ARG(str_span(n->result)));
  return STEP_ERROR;
  NATIVE_END;
}

static const NativeDef throw_native = {
    .name = "throw", .step = throw_step, .arg_count = 1, .slot_count = 2, .trace = trace_coerce_0};

// ---- messages ----

static void emit(Vm *vm, VmMessage kind, Span text) {
  if (vm->settings.message) vm->settings.message(vm->settings.message_ctx, kind, text);
  else log_msg(LOG_NOTICE, "%.*s", SPAN_ARG(text));
}

static void emit_trace(Vm *vm, Value v) {
  Buf text = BUF_INIT;
  buf_put_cstr(&text, "trace: ");
  if (value_is_string(v)) buf_put_span(&text, str_span(v));
  else print_value(vm, v, &print_options_trace, VALUE_ABSENT, &text);
  emit(vm, VM_MESSAGE_TRACE, buf_span(&text));
  buf_done(&text);
}

static Value trace_fn(Vm *vm, Value *args) {
  emit_trace(vm, args[0]);
  return args[1];
}

static Step trace_verbose_step(Native *n) {
  enum { E1, E2 };
  NATIVE_BEGIN(n);
  if (n->vm->settings.trace_verbose) {
    NATIVE_FORCE(n, n->slot[E1]);
    emit_trace(n->vm, n->result);
  }
  NATIVE_FORCE(n, n->slot[E2]);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef trace_verbose_native = {
    .name = "traceVerbose", .step = trace_verbose_step, .arg_count = 2, .slot_count = 2};

#define WARN_MESSAGE "while evaluating the first argument; the message passed to builtins.warn"

static Value warn_fn(Vm *vm, Value *args) {
  if (!expect_string(vm, args[0], WARN_MESSAGE)) return VALUE_ERROR;
  Buf text = BUF_INIT;
  eval_error_indent(SPAN("evaluation warning: "), str_span(args[0]), &text);
  emit(vm, VM_MESSAGE_WARNING, buf_span(&text));
  buf_done(&text);
  if (vm->settings.abort_on_warn)
    return eval_error(vm, EVAL_ERROR_ABORT, 0, "aborting to reveal stack trace of warning, as abort-on-warn is set");
  return args[1];
}

static Step break_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[0]);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef break_native = {
    .name = "break", .step = break_step, .arg_count = 1, .slot_count = 1, .untraced = true};

// ---- constants ----

static Value true_fn(Vm *vm, Value *args) {
  return VALUE_TRUE;
}
static Value false_fn(Vm *vm, Value *args) {
  return VALUE_FALSE;
}
static Value null_fn(Vm *vm, Value *args) {
  return VALUE_NULL;
}
static Value nix_version_fn(Vm *vm, Value *args) {
  return str_plain(vm, SPAN(NIX_VERSION));
}
static Value lang_version_fn(Vm *vm, Value *args) {
  return value_int(LANG_VERSION);
}
static Value store_dir_fn(Vm *vm, Value *args) {
  return str_plain(vm, span_cstr(vm->settings.store_dir));
}
static Value current_system_fn(Vm *vm, Value *args) {
  return str_plain(vm, span_cstr(vm->settings.current_system));
}
static Value current_time_fn(Vm *vm, Value *args) {
  // The same all through an evaluation; an embedder sees that the clock was asked.
  if (!vm->settings.current_time) vm->settings.current_time = (int64_t)time(NULL);
  return vm_int(vm, vm->settings.current_time);
}

static Value nix_path_fn(Vm *vm, Value *args) {
  ListBuilder list = LIST_BUILDER_INIT;
  for (size_t i = 0; i < vm->settings.nix_path_count; i++) {
    const VmSearchEntry *entry = &vm->settings.nix_path[i];
    AttrsBuilder attrs = ATTRS_BUILDER_INIT;
    attrs_builder_add(&attrs, SYM_path, str_plain(vm, entry->path), 0);
    attrs_builder_add(&attrs, SYM_prefix, str_plain(vm, entry->prefix), 0);
    list_builder_add(&list, attrs_builder_finish(vm, &attrs, false));
    attrs_builder_done(&attrs);
  }
  return list_builder_finish(vm, &list);
}

// ---- environment ----

static Value get_env_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "getEnv")) return VALUE_ERROR;
  Buf value = BUF_INIT;
  if (!vm->settings.restrict_eval && !vm->settings.pure_eval) vm->io->ops->get_env(vm->io, str_span(args[0]), &value);
  Value result = str_plain(vm, buf_span(&value));
  buf_done(&value);
  return result;
}

static Value placeholder_fn(Vm *vm, Value *args) {
  if (!expect_text(vm, args[0], ARG1 "placeholder")) return VALUE_ERROR;
  Buf text = BUF_INIT;
  placeholder_own(str_span(args[0]), &text);
  Value result = str_plain(vm, buf_span(&text));
  buf_done(&text);
  return result;
}

static const Builtin rows[] = {
    {"abort",
     1,
     1,
     BUILTIN_GLOBAL,
     NULL,
     &abort_native,
     "s",
     "End the evaluation with the error message *s*. `tryEval` does not catch it.",
     NULL,
     {NULL}},
    {"throw",
     1,
     1,
     BUILTIN_GLOBAL,
     NULL,
     &throw_native,
     "s",
     "Raise an error with the message *s*. It ends the evaluation unless `tryEval` catches it; commands that look at "
     "many packages leave out those "
     "that throw.",
     NULL,
     {NULL}},
    {"trace",
     2,
     1,
     BUILTIN_EFFECT,
     trace_fn,
     NULL,
     "e1 e2",
     "Print the value of *e1* on standard error and return *e2*. For debugging.",
     NULL,
     {NULL}},
    {"traceVerbose",
     2,
     0,
     BUILTIN_EFFECT,
     NULL,
     &trace_verbose_native,
     "e1 e2",
     "The same as `trace` with `--trace-verbose`; else just *e2*.",
     NULL,
     {NULL}},
    {"warn",
     2,
     1,
     BUILTIN_EFFECT,
     warn_fn,
     NULL,
     "e1 e2",
     "Print the string *e1* as a warning on standard error and return *e2*. With the setting `abort-on-warn` it is an "
     "error.",
     "S",
     {WARN_MESSAGE}},
    {"break",
     1,
     0,
     BUILTIN_GLOBAL,
     NULL,
     &break_native,
     "v",
     "Return *v*. The place for a breakpoint when a debugger is attached.",
     NULL,
     {NULL}},
    {"true", 0, 0, BUILTIN_GLOBAL, true_fn, NULL, "", "The Boolean *true*. The name can be rebound.", NULL, {NULL}},
    {"false", 0, 0, BUILTIN_GLOBAL, false_fn, NULL, "", "The Boolean *false*. The name can be rebound.", NULL, {NULL}},
    {"null", 0, 0, BUILTIN_GLOBAL, null_fn, NULL, "", "The value *null*. The name can be rebound.", NULL, {NULL}},
    {"nixVersion",
     0,
     0,
     0,
     nix_version_fn,
     NULL,
     "",
     "The version of Nix whose language this is: `\"" NIX_VERSION "\"`.",
     NULL,
     {NULL}},
    {"langVersion", 0, 0, 0, lang_version_fn, NULL, "", "The version of the language.", NULL, {NULL}},
    {"storeDir",
     0,
     0,
     0,
     store_dir_fn,
     NULL,
     "",
     "The logical directory of the store, mostly `\"/nix/store\"`.",
     NULL,
     {NULL}},
    {"currentSystem",
     0,
     0,
     BUILTIN_IMPURE,
     current_system_fn,
     NULL,
     "",
     "The system that evaluates, such as `\"x86_64-linux\"`: the setting `eval-system`, else `system`. Absent in pure "
     "evaluation.",
     NULL,
     {NULL}},
    {"currentTime",
     0,
     0,
     BUILTIN_IMPURE | BUILTIN_LATE,
     current_time_fn,
     NULL,
     "",
     "The time of the evaluation in seconds since 1970; the same whenever it is asked for. Absent in pure evaluation.",
     NULL,
     {NULL}},
    {"currentTimeLate",
     1,
     0,
     BUILTIN_HIDDEN | BUILTIN_IMPURE,
     current_time_fn,
     NULL,
     "unused",
     "The same.",
     NULL,
     {NULL}},
    {"nixPath",
     0,
     0,
     0,
     nix_path_fn,
     NULL,
     "",
     "The search path as a list of sets of `prefix` and `path`, from `NIX_PATH` and `-I`. `<x>` means "
     "`builtins.findFile builtins.nixPath \"x\"`.",
     NULL,
     {NULL}},
    {"getEnv",
     1,
     1,
     0,
     get_env_fn,
     NULL,
     "s",
     "Return the value of the environment variable *s*, or `\"\"` when there is none and in pure or restricted "
     "evaluation.",
     "s",
     {ARG1 "getEnv"}},
    {"placeholder",
     1,
     1,
     BUILTIN_GLOBAL,
     placeholder_fn,
     NULL,
     "output",
     "Return a string that is replaced by the path of the output *output* when the derivation that it is put into is "
     "built.",
     "s",
     {ARG1 "placeholder"}},
};

const BuiltinTable builtins_misc_table = {rows, ARRAY_LEN(rows)};
