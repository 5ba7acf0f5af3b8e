// eval_command.c: `firn eval`, `nix eval`, and what nix-instantiate --eval prints (eval_command.h).
#include "cli/eval_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/command_list.h"
#include "cli/eval_cache.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/print_json.h"
#include "eval/print_xml.h"
#include "eval/str.h"

// One requested attribute.
typedef struct Output {
  Session *session;
  const EvalCommandOptions *options;
  size_t next; // attribute to be printed
  int code;
} Output;

typedef struct OutputPart {
  Output *output;
  size_t number; // of the attribute
} OutputPart;

// Who is told the store path of a source goes on to read it: its tree is made. Outputs and derivations are not written for being named.
static void make_tree(Session *session, Span text) {
  StorePath path;
  Span rest, output;
  Store *store;
  bool valid = false;
  Err ignored = ERR_INIT;
  if (!session->io || !store_path_is_below(text, session_store_dir(session)) ||
      !store_path_split(text, session_store_dir(session), &path, &rest, NULL))
    return;
  KnownPaths *known = store_io_known(session->io);
  Span bare = span_sub(text, 0, text.len - rest.len);
  if (store_path_is_derivation(&path) || known_paths_find_output(known, bare, &output)) return;
  bool ok = store_io_is_valid(session->io, bare, &valid, &ignored) && valid && store_io_flush(session->io, &ignored) &&
            session_store(session, &store, &ignored) && store_materialise(store, &path, 1, &ignored);
  if (!ok) err_done(&ignored);
}

static void print_result(Session *session, const EvalCommandOptions *options, Value v) {
  Vm *vm = session->vm;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  switch (options->form) {
  case TARGET_RAW: buf_put_span(&text, str_span(v)); break;
  case TARGET_XML: buf_put_span(&text, str_span(v)); break;
  case TARGET_JSON:
    buf_put_span(&text, str_span(v));
    buf_put_char(&text, '\n');
    break;
  case TARGET_PRINT:
    print_value(vm, list_get(vm, v, 0), &print_options_eval, list_get(vm, v, 1), &text);
    buf_put_char(&text, '\n');
    break;
  case TARGET_WHNF:
  case TARGET_STRICT:
    print_plain(vm, v, &text);
    buf_put_char(&text, '\n');
    break;
  }
  if (options->form == TARGET_RAW && strcmp(session->command->program, "nix") == 0) make_tree(session, buf_span(&text));
  session_print(session, buf_span(&text));
}

static bool is_stopped(const Output *output) {
  return output->code && !setting_bool(output->session->settings, SETTING_ID_keep_going);
}

// Those before `end` that need no evaluation.
static void print_known(Output *output, size_t end) {
  for (; output->next < end && !is_stopped(output); output->next++)
    if (eval_cache_attr_known(output->session, output->next)) eval_cache_attr_replay(output->session, output->next);
}

// In the order of the attributes: as soon as this and all before it are there.
static void finished(VmJob *job, void *ctx) {
  const OutputPart *part = ctx;
  Output *output = part->output;
  print_known(output, part->number);
  output->next = part->number + 1;
  if (is_stopped(output)) return;
  if (job->error) {
    output->code = session_eval_failed(output->session, STEAL(job->error));
  } else {
    print_result(output->session, output->options, job->result.value);
    eval_cache_attr_end(output->session, part->number);
  }
}

// The function of --apply.
static bool eval_apply(Session *session, HeapRoot *ret, int *ret_code) {
  const char *text = option_get(&session->options, OPT_apply);
  return !text || target_eval_root(session, &(TargetRoot){TARGET_EXPR, text}, ret, ret_code);
}

static int run_root(Session *session, const EvalCommandOptions *options, const HeapRoot *root, const HeapRoot *args,
                    const HeapRoot *apply) {
  Output output = {session, options, 0, 0};
  VmJob *jobs = mem_alloc_array(options->path_count, sizeof(VmJob));
  OutputPart *parts CLEANUP(mem_free_ptr) = mem_alloc_array(options->path_count, sizeof(OutputPart));
  size_t count = 0;
  for (size_t i = 0; i < options->path_count; i++) {
    if (eval_cache_attr_known(session, i)) continue;
    VmJob *job = &jobs[count];
    parts[count] = (OutputPart){&output, i};
    *job = (VmJob){.def = &target_native_value, .arg_count = 5, .finished = finished, .ctx = &parts[count++]};
    job->args[0].value = root->value;
    job->args[1].value = args->value;
    job->args[2].value = value_raw_ptr(options->paths[i]);
    job->args[3].value = apply->value;
    job->args[4].value = value_raw((uint64_t)options->form | (uint64_t)options->form_flags << 8);
  }
  vm_run_jobs(session->vm, jobs, count);
  print_known(&output, options->path_count);
  for (size_t i = 0; i < count; i++) vm_job_done(session->vm, &jobs[i]);
  mem_free(jobs);
  return output.code;
}

static int eval_roots(Session *session, const TargetRoot *roots, size_t root_count, const EvalCommandOptions *options) {
  Err err = ERR_INIT;
  if (!session_vm(session, &err)) return session_fail(session, &err);
  Vm *vm = session->vm;
  HeapRoot root = {0}, args = {0}, apply = {0};
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  heap_add_root(&vm->heap, &args, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &apply, VALUE_NULL);
  int code = 0;
  bool ok = target_auto_args(session, &args, &code) && eval_apply(session, &apply, &code);
  for (size_t i = 0; ok && i < root_count; i++) {
    ok = target_eval_root(session, &roots[i], &root, &code);
    if (ok) code = run_root(session, options, &root, &args, &apply);
    ok = code == 0;
  }
  heap_remove_root(&vm->heap, &apply);
  heap_remove_root(&vm->heap, &args);
  heap_remove_root(&vm->heap, &root);
  return code;
}

int eval_command_roots(Session *session, const TargetRoot *roots, size_t root_count,
                       const EvalCommandOptions *options) {
  Buf detail CLEANUP(buf_done) = BUF_INIT;
  int code;
  buf_printf(&detail, "%d %u", (int)options->form, options->form_flags);
  if (eval_cache_find_attrs(session, roots, root_count, buf_span(&detail), options->paths, options->path_count, NULL,
                            &code))
    return code;
  code = eval_roots(session, roots, root_count, options);
  eval_cache_end(session, NULL, code);
  return code;
}

void eval_command_options(Session *session, EvalCommandOptions *ret) {
  const OptionList *list = &session->options;
  *ret = (EvalCommandOptions){.form = option_has(list, OPT_strict) ? TARGET_STRICT : TARGET_WHNF};
  for (size_t i = 0; i < list->use_count; i++) { // the last one counts
    OptionId id = list->uses[i].id;
    if (id == OPT_json || id == OPT_inst_json) ret->form = TARGET_JSON;
    if (id == OPT_raw || id == OPT_inst_raw) ret->form = TARGET_RAW;
    if (id == OPT_xml) ret->form = TARGET_XML;
  }
  if (ret->form == TARGET_RAW && option_has(list, OPT_inst_raw)) ret->form_flags |= TARGET_RAW_INSTANTIATE;
  if (ret->form == TARGET_JSON && option_has(list, OPT_inst_json) && !option_has(list, OPT_strict))
    ret->form_flags |= PRINT_JSON_LAZY;
  if (ret->form == TARGET_XML && option_has(list, OPT_strict)) ret->form_flags |= PRINT_XML_STRICT;
  if (ret->form == TARGET_XML && !option_has(list, OPT_no_location)) ret->form_flags |= PRINT_XML_LOCATION;
  // `nix eval` writes paths as they are.
  if (ret->form == TARGET_JSON && option_has(list, OPT_inst_json)) ret->form_flags |= PRINT_JSON_COPY;
  ret->paths = target_attr_paths(session, &ret->path_count);
}

static int write_to(Session *session, const TargetRoot *root, const char *attr);

int eval_command_run(Session *session) {
  EvalCommandOptions options;
  const TargetRoot *roots;
  size_t count;
  bool used;
  eval_command_options(session, &options);
  target_roots(session, false, &roots, &count, &used);
  if (option_get(&session->options, OPT_write_to)) return write_to(session, roots, options.paths[0]);
  return eval_command_roots(session, roots, count, &options);
}

// ---- nix eval

// "attr^out": which outputs are meant says nothing here.
static const char *without_outputs(Session *session, const char *installable) {
  const char *caret = strrchr(installable, '^');
  if (!caret || !caret[1]) return installable;
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._?=,";
  if (strcmp(caret + 1, "*") != 0 && strspn(caret + 1, allowed) != strlen(caret + 1)) return installable;
  return arena_dup(&session->arena, span_make(installable, (size_t)(caret - installable))).data;
}

// Operands are attributes of the root; a flake reference is not understood.
static bool read_installable(Session *session, const char **ret_attr, Err *err) {
  const OptionList *list = &session->options;
  *ret_attr = "";
  if (list->operand_count > 1) return err_set(err, ERR_USAGE, "unexpected argument '%s'", list->operands[1]);
  if (option_has(list, OPT_raw) && option_has(list, OPT_json))
    return err_set(err, ERR_USAGE, "--raw and --json are mutually exclusive");
  if (list->operand_count == 1) *ret_attr = without_outputs(session, list->operands[0]);
  if (option_get(list, OPT_file) || option_get(list, OPT_expr)) return true;
  return err_set(err, ERR_USAGE, "flakes are not supported: please use '--file' or '--expr' (instead of '%s')",
                 list->operand_count ? list->operands[0] : ".");
}

int eval_command_nix(Session *session) {
  Err err = ERR_INIT;
  const char *attr;
  const TargetRoot *roots;
  size_t count;
  bool used;
  EvalCommandOptions options;
  if (!read_installable(session, &attr, &err)) return session_fail(session, &err);
  target_roots(session, false, &roots, &count, &used);
  eval_command_options(session, &options);
  if (options.form == TARGET_WHNF) options.form = TARGET_PRINT;
  options.form_flags |= TARGET_NO_CALL;
  options.paths = &attr;
  options.path_count = 1;
  if (option_get(&session->options, OPT_write_to)) return write_to(session, roots, attr);
  return eval_command_roots(session, roots, count, &options);
}

// ---- --write-to: strings and sets of them as files and directories

static bool write_file(const char *path, Span text, Err *err) {
  int fd CLEANUP(fs_close_fd) = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  return fd < 0 ? err_set_errno(err, errno, "opening file '%s'", path) : fs_write_all(fd, text, err);
}

static bool write_value(Session *session, Value v, PosId pos, Buf *path);

// The set is evaluated in full: nothing here allocates. False: an error is pending in the VM.
static bool write_attrs(Session *session, Value v, Buf *path) {
  Vm *vm = session->vm;
  size_t len = path->len;
  for (uint32_t i = 0; i < attrs_count(v); i++) {
    Shape *shape = attrs_flat_shape(v);
    Span name = symbol_text(vm->symbols, shape->names[i]);
    bool ok =
        !span_eq_cstr(name, ".") && !span_eq_cstr(name, "..") && span_find_char(name, '/') == SIZE_MAX && name.len;
    if (!ok) eval_error(vm, EVAL_ERROR_EVAL, 0, "invalid file name '%.*s'", SPAN_ARG(name));
    buf_put_char(path, '/');
    buf_put_span(path, name);
    if (!ok || !write_value(session, attrs_slot(vm, v, i), shape_position(shape, i), path)) {
      eval_error_trace(vm, shape_position(shape, i), "while evaluating the attribute '%.*s'", SPAN_ARG(name));
      return false;
    }
    path->len = len;
  }
  return true;
}

static void fail_type(Session *session, PosId id) {
  Pos pos;
  Buf place CLEANUP(buf_done) = BUF_INIT;
  if (!id || !pos_resolve(session->vm->positions, id, &pos)) buf_put_cstr(&place, "«none»:0");
  else buf_printf(&place, "%s:%u:%u", pos.source->origin, pos.line, pos.column);
  eval_error(session->vm, EVAL_ERROR_EVAL, 0, "value at '%s' is not a string or an attribute set", buf_cstr(&place));
}

static bool write_value(Session *session, Value v, PosId pos, Buf *path) {
  Err err = ERR_INIT;
  v = value_follow(v);
  if (value_is_string(v)) {
    if (write_file(buf_cstr(path), str_span(v), &err)) return true;
  } else if (!value_is_attrs(v)) {
    fail_type(session, pos);
    return false;
  } else if (mkdir(buf_cstr(path), 0777) == 0) {
    return write_attrs(session, attrs_flatten(session->vm, v), path);
  } else {
    err_set_errno(&err, errno, "creating directory '%s'", buf_cstr(path));
  }
  eval_error_from_err(session->vm, EVAL_ERROR_IO, 0, &err);
  return false;
}

static int write_to(Session *session, const TargetRoot *root, const char *attr) {
  Err err = ERR_INIT;
  const char *dest = option_get(&session->options, OPT_write_to);
  if (fs_exists(dest)) {
    err_set(&err, ERR_OTHER, "path '%s' already exists", dest);
    return session_fail(session, &err);
  }
  if (!session_vm(session, &err)) return session_fail(session, &err);
  Vm *vm = session->vm;
  HeapRoot roots[5] = {0}, result = {0};
  HeapRoot *args[5];
  int code = 0;
  for (size_t i = 0; i < 5; i++) {
    heap_add_root(&vm->heap, &roots[i], VALUE_NULL);
    args[i] = &roots[i];
  }
  heap_add_root(&vm->heap, &result, VALUE_NULL);
  bool ok = target_eval_root(session, root, &roots[0], &code) && target_auto_args(session, &roots[1], &code) &&
            eval_apply(session, &roots[3], &code);
  roots[2].value = value_raw_ptr(attr);
  uint64_t flags = strcmp(session->command->program, "nix") == 0 ? TARGET_NO_CALL : 0;
  roots[4].value = value_raw((uint64_t)TARGET_STRICT | flags << 8);
  if (ok && !vm_run_native(vm, &target_native_value, args, 5, &result)) code = session_eval_failed(session, NULL);
  else if (ok) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    buf_put_cstr(&path, dest);
    PosId pos = target_position(session, &roots[0], &roots[1], attr);
    if (!write_value(session, result.value, pos, &path)) code = session_eval_failed(session, NULL);
  }
  heap_remove_root(&vm->heap, &result);
  for (size_t i = 0; i < 5; i++) heap_remove_root(&vm->heap, &roots[i]);
  return code;
}
