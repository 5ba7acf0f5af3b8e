// builtins_core.c: builtins that steer evaluation itself: import, tryEval, seq and their kin.
#include "eval/builtins/builtins_util.h"
#include "eval/builtins/registry.h"

#include "base/fs.h"
#include "base/mem.h"
#include "eval/derivation_text.h"
#include "eval/path_coerce.h"
#include "eval/vm_state.h"

#define IMPORT_MAX_LINKS 1024
#define IMPORT_MAX_FILE_BYTES ((size_t)1 << 31)

// ---- import ----

// (path value, scope set or null) -> value of the expression in the file
enum { IMPORT_PATH, IMPORT_SCOPE, IMPORT_LINKS, IMPORT_VALUE, IMPORT_GIVEN };

typedef enum ImportStep { IMPORT_STEP_DONE, IMPORT_STEP_AGAIN, IMPORT_STEP_WAIT, IMPORT_STEP_FAILED } ImportStep;

static ImportStep import_status(Native *n, EvalIoStatus status, Err *err) {
  if (status == EVAL_IO_PENDING) return IMPORT_STEP_WAIT;
  if (status == EVAL_IO_OK) return IMPORT_STEP_DONE;
  eval_error_from_err(n->vm, EVAL_ERROR_IO, 0, err);
  return IMPORT_STEP_FAILED;
}

static void import_set_path(Native *n, Span base, Span path) {
  Buf canon = BUF_INIT;
  fs_path_canon(base, path, &canon);
  n->slot[IMPORT_PATH] = str_path(n->vm, buf_span(&canon));
  buf_done(&canon);
}

// Follows a link, or goes from a directory to its default.nix.
static ImportStep import_resolve(Native *n) {
  EvalIo *io = n->vm->io;
  Span path = str_span(n->slot[IMPORT_PATH]);
  EvalStat st;
  Err err = ERR_INIT;
  ImportStep step = import_status(n, io->ops->lstat(io, path, &st, &n->wait, &err), &err);
  if (step != IMPORT_STEP_DONE) return step;
  if (st.type == EVAL_FILE_ABSENT) {
    eval_error(n->vm, EVAL_ERROR_IO, 0, "path '%.*s' does not exist", SPAN_ARG(path));
    n->vm->error->cause = ERR_NOT_FOUND;
    return IMPORT_STEP_FAILED;
  }
  if (st.type == EVAL_FILE_SYMLINK) {
    if (native_get(n, IMPORT_LINKS) >= IMPORT_MAX_LINKS) {
      eval_error(n->vm, EVAL_ERROR_EVAL, 0, "too many symbolic links encountered while traversing the path '%.*s'",
                 SPAN_ARG(path));
      return IMPORT_STEP_FAILED;
    }
    native_add(n, IMPORT_LINKS, 1);
    Buf target = BUF_INIT;
    step = import_status(n, io->ops->read_link(io, path, &target, &n->wait, &err), &err);
    if (step == IMPORT_STEP_DONE) {
      import_set_path(n, fs_path_dir(path), buf_span(&target));
      step = IMPORT_STEP_AGAIN;
    }
    buf_done(&target);
    return step;
  }
  n->vm->state->import_stat = st;
  if (st.type != EVAL_FILE_DIRECTORY) return IMPORT_STEP_DONE;
  Buf file = BUF_INIT;
  fs_path_join(&file, path, SPAN("default.nix"));
  n->slot[IMPORT_PATH] = str_path(n->vm, buf_span(&file));
  buf_done(&file);
  n->vm->state->import_stat.type = EVAL_FILE_UNKNOWN; // not asked for yet
  return IMPORT_STEP_DONE;
}

// From the unit store: VALUE_ABSENT in n->slot[IMPORT_VALUE] when it does not know the file.
static ImportStep import_from_store(Native *n) {
  Vm *vm = n->vm;
  EvalStat *st = &vm->state->import_stat;
  Span path = str_span(n->slot[IMPORT_PATH]);
  Err err = ERR_INIT;
  if (st->type == EVAL_FILE_UNKNOWN) {
    ImportStep step = import_status(n, vm->io->ops->lstat(vm->io, path, st, &n->wait, &err), &err);
    if (step != IMPORT_STEP_DONE) return step;
  }
  if (st->type != EVAL_FILE_REGULAR) return IMPORT_STEP_DONE;
  n->slot[IMPORT_VALUE] = vm_load_cached(vm, path, st);
  return n->slot[IMPORT_VALUE] == VALUE_ERROR ? IMPORT_STEP_FAILED : IMPORT_STEP_DONE;
}

static ImportStep import_from_text(Native *n) {
  Vm *vm = n->vm;
  Span path = str_span(n->slot[IMPORT_PATH]);
  Buf text = BUF_INIT;
  Err err = ERR_INIT;
  ImportStep step = import_status(n, vm->io->ops->read_file(vm->io, path, &text, &n->wait, &err), &err);
  if (step == IMPORT_STEP_DONE && text.len > IMPORT_MAX_FILE_BYTES) {
    eval_error(vm, EVAL_ERROR_EVAL, 0, "file '%.*s' is too large to evaluate", SPAN_ARG(path));
    step = IMPORT_STEP_FAILED;
  }
  if (step == IMPORT_STEP_DONE) {
    n->slot[IMPORT_VALUE] = vm_load_file(vm, path, buf_span(&text), n->slot[IMPORT_SCOPE]);
    if (n->slot[IMPORT_VALUE] == VALUE_ERROR) step = IMPORT_STEP_FAILED;
  }
  buf_done(&text);
  return step;
}

static void import_remember(Vm *vm, Span path, Value value) {
  if (map_has(&vm->state->imports, path)) return;
  Import *import = mem_alloc(sizeof *import);
  heap_add_constant(&vm->heap, &import->root, value);
  map_set(&vm->state->imports, path, import);
}

// The thunk of the file, in n->slot[IMPORT_VALUE]; without a scope one for all imports of it.
static ImportStep import_load(Native *n) {
  Vm *vm = n->vm;
  if (n->slot[IMPORT_SCOPE] != VALUE_NULL) return import_from_text(n);
  Import *import = map_get(&vm->state->imports, str_span(n->slot[IMPORT_PATH]));
  if (import) {
    n->slot[IMPORT_VALUE] = import->root.value;
    return IMPORT_STEP_DONE;
  }
  ImportStep step = vm->units ? import_from_store(n) : IMPORT_STEP_DONE;
  if (step == IMPORT_STEP_DONE && n->slot[IMPORT_VALUE] == VALUE_ABSENT) step = import_from_text(n);
  if (step == IMPORT_STEP_DONE) import_remember(vm, str_span(n->slot[IMPORT_PATH]), n->slot[IMPORT_VALUE]);
  return step;
}

static Step import_file_step(Native *n) {
  ImportStep step;
  Import *known;
  NATIVE_BEGIN(n);
  known = n->slot[IMPORT_SCOPE] == VALUE_NULL ? map_get(&n->vm->state->imports, str_span(n->slot[IMPORT_PATH])) : NULL;
  n->slot[IMPORT_VALUE] = known ? known->root.value : VALUE_ABSENT;
  n->slot[IMPORT_GIVEN] = n->slot[IMPORT_PATH];
  if (known) goto loaded;
  native_set(n, IMPORT_LINKS, 0);
  while ((step = import_resolve(n)) != IMPORT_STEP_DONE) {
    if (step == IMPORT_STEP_FAILED) return STEP_ERROR;
    if (step == IMPORT_STEP_AGAIN) continue;
    NATIVE_PARK(n);
  }
  while ((step = import_load(n)) != IMPORT_STEP_DONE) {
    if (step == IMPORT_STEP_FAILED) return STEP_ERROR;
    NATIVE_PARK(n);
  }
  if (n->slot[IMPORT_SCOPE] == VALUE_NULL)
    import_remember(n->vm, str_span(n->slot[IMPORT_GIVEN]), n->slot[IMPORT_VALUE]);
loaded:
  NATIVE_FORCE(n, n->slot[IMPORT_VALUE]);
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static void import_file_trace(Native *n) {
  if (n->slot[IMPORT_VALUE] == VALUE_ABSENT || n->slot[IMPORT_VALUE] == VALUE_ERROR) return; // it was not evaluated
  if (n->slot[IMPORT_SCOPE] != VALUE_NULL) return;
  Span path = str_span(n->slot[IMPORT_PATH]);
  eval_error_trace(n->vm, 0, "while evaluating the file '%.*s':", SPAN_ARG(path));
}

const NativeDef builtins_core_import_file = {.name = "import",
                                             .step = import_file_step,
                                             .arg_count = 2,
                                             .slot_count = 5,
                                             .trace = import_file_trace,
                                             .subject = NATIVE_SUBJECT_FILE,
                                             .subject_slot = IMPORT_PATH};

const NativeDef builtins_core_eval_file = {.name = "file",
                                           .step = import_file_step,
                                           .arg_count = 2,
                                           .slot_count = 5,
                                           .subject = NATIVE_SUBJECT_FILE,
                                           .subject_slot = IMPORT_PATH};

// The argument of the function that makes a set of what a .drv file says.
static Value import_drv_attrs(Vm *vm, Span path, Span text) {
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  Buf element CLEANUP(buf_done) = BUF_INIT;
  Span name, output, output_path;
  buf_printf(&element, "=%.*s", SPAN_ARG(path));
  attrs_builder_add(&builder, SYM_drv_path, str_new(vm, path, context_of(vm->contexts, buf_span(&element))), 0);
  span_split(&text, 0, &name);
  attrs_builder_add(&builder, SYM_name, str_plain(vm, name), 0);
  size_t output_count = 0;
  for (size_t i = 0; i < text.len; i++) output_count += text.data[i] == 0;
  output_count /= 2;
  List *outputs = list_new(vm, output_count);
  for (size_t i = 0; i < output_count; i++) {
    span_split(&text, 0, &output);
    span_split(&text, 0, &output_path);
    buf_clear(&element);
    buf_printf(&element, "!%.*s!%.*s", SPAN_ARG(output), SPAN_ARG(path));
    outputs->items[i] = str_plain(vm, output);
    attrs_builder_add(&builder, symbol_intern(vm->symbols, output),
                      str_new(vm, output_path, context_of(vm->contexts, buf_span(&element))), 0);
  }
  attrs_builder_add(&builder, SYM_outputs, list_value(outputs), 0);
  return attrs_builder_finish(vm, &builder, true);
}

// Is the path a .drv file in the store? Then n->fn and n->args[0] are the call that gives its value.
static ImportStep import_drv(Native *n, Value path_value, bool *ret_is_drv) {
  Vm *vm = n->vm;
  VmState *state = vm->state;
  Span path = str_span(path_value);
  *ret_is_drv = false;
  if (!vm->io->ops->read_derivation || !span_has_suffix(path, SPAN(".drv"))) return IMPORT_STEP_DONE;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  ImportStep step = import_status(n, vm->io->ops->read_derivation(vm->io, path, &text, &n->wait, &err), &err);
  if (step != IMPORT_STEP_DONE || !text.len) return step;
  *ret_is_drv = true;
  if (!state->imported_derivation)
    state->imported_derivation = vm_internal_text(vm, derivation_text_imported, (Span){NULL, 0}, SPAN("«string»"));
  n->fn = state->imported_derivation;
  n->args[0] = import_drv_attrs(vm, path, buf_span(&text));
  n->arg_count = 1;
  return IMPORT_STEP_DONE;
}

static Step import_step(Native *n) {
  ImportStep step;
  bool is_drv;
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[0];
  n->args[1] = value_raw_ptr("while realising the context of a path");
  n->args[2] = value_raw(0);
  NATIVE_PUSH(n, &path_coerce_native);
  n->slot[0] = n->result;
  while ((step = import_drv(n, n->slot[0], &is_drv)) != IMPORT_STEP_DONE) {
    if (step == IMPORT_STEP_FAILED) return STEP_ERROR;
    NATIVE_PARK(n);
  }
  if (is_drv) return STEP_TAIL_CALL;
  n->args[0] = n->slot[0];
  n->args[1] = VALUE_NULL;
  n->push_def = &builtins_core_import_file;
  return STEP_TAIL_PUSH;
  NATIVE_END;
}

static const NativeDef import_native = {.name = "import", .step = import_step, .arg_count = 1, .slot_count = 1};

static Step scoped_import_step(Native *n) {
  enum { SCOPE, PATH };
  ImportStep step;
  bool is_drv;
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[PATH];
  n->args[1] = value_raw_ptr("while realising the context of a path");
  n->args[2] = value_raw(0);
  NATIVE_PUSH(n, &path_coerce_native);
  n->slot[PATH] = n->result;
  while ((step = import_drv(n, n->slot[PATH], &is_drv)) != IMPORT_STEP_DONE) {
    if (step == IMPORT_STEP_FAILED) return STEP_ERROR;
    NATIVE_PARK(n);
  }
  if (is_drv) return STEP_TAIL_CALL;
  NATIVE_FORCE(n, n->slot[SCOPE]);
  n->slot[SCOPE] = n->result;
  if (!expect_attrs(n->vm, n->slot[SCOPE], ARG1 "scopedImport")) return STEP_ERROR;
  n->args[0] = n->slot[PATH];
  n->args[1] = n->slot[SCOPE];
  NATIVE_PUSH(n, &builtins_core_import_file);
  return STEP_RETURN;
  NATIVE_END;
}

static const NativeDef scoped_import_native = {
    .name = "scopedImport", .step = scoped_import_step, .arg_count = 2, .slot_count = 2};

// ---- tryEval, addErrorContext ----

static Value try_eval_result(Vm *vm, bool success, Value value) {
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, SYM_success, value_bool(success), 0);
  attrs_builder_add(&builder, SYM_value, value, 0);
  Value set = attrs_builder_finish(vm, &builder, true);
  attrs_builder_done(&builder);
  return set;
}

static Step try_eval_step(Native *n) {
  NATIVE_BEGIN(n);
  NATIVE_FORCE(n, n->slot[0]);
  if (n->result != VALUE_ERROR) NATIVE_RETURN(n, try_eval_result(n->vm, true, n->result));
  EvalErrorKind kind = eval_error_pending(n->vm)->kind;
  if (kind != EVAL_ERROR_THROW && kind != EVAL_ERROR_ASSERT) return STEP_ERROR;
  eval_error_clear(n->vm);
  NATIVE_RETURN(n, try_eval_result(n->vm, false, VALUE_FALSE));
  NATIVE_END;
}

static const NativeDef try_eval_native = {
    .name = "tryEval", .step = try_eval_step, .arg_count = 1, .slot_count = 1, .catches = true};

enum { CONTEXT_TEXT, CONTEXT_VALUE, CONTEXT_ERROR, CONTEXT_FRAME };
#define CONTEXT_COERCE "while evaluating the error message passed to builtins.addErrorContext"

// The text is evaluated only when the value fails, while the error is kept aside.
static Step add_context_step(Native *n) {
  NATIVE_BEGIN(n);
  n->slot[CONTEXT_ERROR] = value_raw(0);
  NATIVE_FORCE(n, n->slot[CONTEXT_VALUE]);
  if (n->result != VALUE_ERROR) return STEP_RETURN;
  n->slot[CONTEXT_ERROR] = value_raw_ptr(eval_error_take(n->vm));
  NATIVE_COERCE_FOR(n, n->slot[CONTEXT_TEXT], 0, CONTEXT_TEXT, CONTEXT_FRAME, CONTEXT_COERCE);
  EvalError *error = value_get_raw_ptr(n->slot[CONTEXT_ERROR]);
  if (n->result == VALUE_ERROR) { // the text failed itself
    eval_error_free(error);
    n->slot[CONTEXT_FRAME] = value_raw_ptr(CONTEXT_COERCE);
    builtins_util_trace_coerce(n, CONTEXT_TEXT, CONTEXT_FRAME);
    n->slot[CONTEXT_FRAME] = value_raw(0);
    return STEP_ERROR;
  }
  eval_error_restore(n->vm, error);
  eval_error_trace_always(n->vm, 0, str_span(n->result));
  return STEP_ERROR;
  NATIVE_END;
}

static const NativeDef add_context_native = {.name = "addErrorContext",
                                             .step = add_context_step,
                                             .arg_count = 2,
                                             .slot_count = 4,
                                             .catches = true,
                                             .untraced = true,
                                             .subject = NATIVE_SUBJECT_CONTEXT,
                                             .subject_slot = CONTEXT_TEXT};

// ---- seq, deepSeq ----

static Value seq_fn(Vm *vm, Value *args) {
  (void)vm;
  return args[1];
}

static Step deep_seq_step(Native *n) {
  NATIVE_BEGIN(n);
  n->args[0] = n->slot[0];
  NATIVE_PUSH(n, &native_deep_force);
  NATIVE_FORCE(n, n->slot[1]); // not in our place: a failure is one of this call
  NATIVE_RETURN(n, n->result);
  NATIVE_END;
}

static const NativeDef deep_seq_native = {.name = "deepSeq", .step = deep_seq_step, .arg_count = 2, .slot_count = 2};

static const Builtin rows[] = {
    {.name = "import",
     .arity = 1,
     .flags = BUILTIN_GLOBAL,
     .native = &import_native,
     .args = "path",
     .doc = "The value of the Nix expression in the file *path* (for a directory, in its `default.nix`). A file is "
            "evaluated once, however "
            "often it is imported. If *path* is the output of a derivation, it is built first."},
    {.name = "scopedImport",
     .arity = 2,
     .flags = BUILTIN_GLOBAL,
     .native = &scoped_import_native,
     .args = "scope path",
     .doc = "Like `import`, with the attributes of *scope* as variables of the file, before all global names. Not "
            "remembered: each call "
            "evaluates the file again."},
    {.name = "tryEval",
     .arity = 1,
     .native = &try_eval_native,
     .args = "e",
     .doc = "Evaluates *e* (not what is inside it) and returns `{ success, value }`; `success` is false, and `value` "
            "too, when that "
            "raised an error by `throw` or a failed `assert`. Other errors are not caught."},
    {.name = "addErrorContext",
     .arity = 2,
     .native = &add_context_native,
     .args = "context e",
     .doc = "The value of *e*; if that fails, the string *context* is added to the trace of the error."},
    {.name = "seq",
     .arity = 2,
     .strict = 1,
     .fn = seq_fn,
     .args = "e1 e2",
     .doc = "Evaluates *e1*, then returns *e2*."},
    {.name = "deepSeq",
     .arity = 2,
     .native = &deep_seq_native,
     .args = "e1 e2",
     .doc = "Like `seq`, but evaluates everything inside *e1* too."},
};
const BuiltinTable builtins_core_table = {rows, ARRAY_LEN(rows)};
