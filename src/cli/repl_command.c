// repl_command.c: `firn repl`, `nix repl`: evaluates what a person types. Behaviour and wording: Nix 2.26, repl.cc.
//
// The variables are the attributes of one set: each text is evaluated with them as its outermost scope.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/process.h"
#include "cli/build_command.h"
#include "cli/command.h"
#include "cli/command_list.h"
#include "cli/line_editor.h"
#include "cli/repl_doc.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/parser.h"
#include "eval/print.h"
#include "eval/print_force.h"
#include "eval/str.h"
#include "store/store_roots.h"

typedef struct Repl {
  Session *session;
  HeapRoot scope;     // set of variables
  HeapRoot value;     // of the last expression
  HeapRoot args;      // --arg
  const char **files; // loaded ones, in the session's arena
  size_t file_count, file_cap;
  LineEditor *editor;
  bool failed; // the last command
} Repl;

// What a value is printed with: one level by itself, everything by :p.
static const PrintOptions print_one_level = {.derivation_paths = true,
                                             .track_repeated = true,
                                             .pretty_indent = 2,
                                             .throw_top_level = true,
                                             .max_depth = 1,
                                             .max_attrs = PRINT_UNLIMITED,
                                             .max_list_items = PRINT_UNLIMITED,
                                             .max_string_bytes = PRINT_UNLIMITED};
static const PrintOptions print_all = {.derivation_paths = true,
                                       .track_repeated = true,
                                       .pretty_indent = 2,
                                       .throw_top_level = true,
                                       .max_depth = PRINT_UNLIMITED,
                                       .max_attrs = PRINT_UNLIMITED,
                                       .max_list_items = PRINT_UNLIMITED,
                                       .max_string_bytes = PRINT_UNLIMITED};

static void say(Repl *repl, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(Repl *repl, const char *fmt, ...) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  buf_put_char(&text, '\n');
  session_print(repl->session, buf_span(&text));
}

static bool fail(Repl *repl, Err *err) {
  session_fail(repl->session, err);
  repl->failed = true;
  return false;
}
static bool eval_failed(Repl *repl) {
  session_eval_failed(repl->session, NULL);
  repl->failed = true;
  return false;
}

// ---- evaluating

static bool eval_text(Repl *repl, Span text, bool force) {
  Session *session = repl->session;
  Span cwd = span_cstr(session_absolute(session, "."));
  return vm_eval_text_scoped(session->vm, text, cwd, SPAN("«string»"), &repl->scope, force, &repl->value) ||
         eval_failed(repl);
}

static bool print_last(Repl *repl, const PrintOptions *options) {
  Vm *vm = repl->session->vm;
  HeapRoot option_root = {0}, failures = {0};
  heap_add_root(&vm->heap, &option_root, value_raw_ptr(options));
  heap_add_root(&vm->heap, &failures, VALUE_EMPTY_LIST);
  HeapRoot *const args[] = {&repl->value, &option_root};
  bool ok = vm_run_native(vm, &print_force_native, args, 2, &failures);
  if (ok) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    PrintOptions coloured = *options;
    coloured.colour = repl->session->progress.colour && isatty(STDOUT_FILENO);
    print_value(vm, repl->value.value, &coloured, failures.value, &text);
    buf_put_char(&text, '\n');
    session_print(repl->session, buf_span(&text));
  }
  heap_remove_root(&vm->heap, &failures);
  heap_remove_root(&vm->heap, &option_root);
  return ok || eval_failed(repl);
}

static void bind(Repl *repl, Span name, Value v) {
  Vm *vm = repl->session->vm;
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  attrs_builder_add(&builder, symbol_intern(vm->symbols, name), v, 0);
  repl->scope.value = attrs_update(vm, repl->scope.value, attrs_builder_finish(vm, &builder, false));
}

// The attributes of the last value become variables.
static bool add_last(Repl *repl) {
  Vm *vm = repl->session->vm;
  if (!vm_expect_attrs(vm, repl->value.value, "while evaluating an attribute set to be merged in the global scope"))
    return eval_failed(repl);
  repl->scope.value = attrs_update(vm, repl->scope.value, repl->value.value);
  say(repl, "Added %u variables.", attrs_count(repl->value.value));
  return true;
}

static bool load_file(Repl *repl, const char *file) {
  Vm *vm = repl->session->vm;
  int code;
  bool known = false;
  for (size_t i = 0; i < repl->file_count; i++) known = known || strcmp(repl->files[i], file) == 0;
  if (!known) {
    MEM_RESERVE(repl->files, repl->file_cap, repl->file_count + 1);
    repl->files[repl->file_count++] = arena_dup(&repl->session->arena, span_cstr(file)).data;
  }
  HeapRoot *const args[] = {&repl->value, &repl->args};
  if (!target_eval_root(repl->session, &(TargetRoot){TARGET_FILE, file}, &repl->value, &code))
    return repl->failed = true, false;
  if (!vm_run_native(vm, &target_native_call, args, 2, &repl->value)) return eval_failed(repl);
  return add_last(repl);
}

// ---- the evaluator of a session

static bool open_vm(Repl *repl) {
  Err err = ERR_INIT;
  int code;
  if (!session_vm(repl->session, &err)) return fail(repl, &err);
  Vm *vm = repl->session->vm;
  heap_add_root(&vm->heap, &repl->scope, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &repl->value, VALUE_NULL);
  heap_add_root(&vm->heap, &repl->args, VALUE_EMPTY_ATTRS);
  if (!target_auto_args(repl->session, &repl->args, &code)) return false;
  for (size_t i = 0; i < repl->file_count; i++) {
    say(repl, "Loading '%s'...", repl->files[i]);
    load_file(repl, repl->files[i]);
  }
  return true;
}

static void close_vm(Repl *repl) {
  Vm *vm = repl->session->vm;
  if (!vm) return;
  heap_remove_root(&vm->heap, &repl->args);
  heap_remove_root(&vm->heap, &repl->value);
  heap_remove_root(&vm->heap, &repl->scope);
  session_drop_vm(repl->session);
}

// A new evaluator, so that changed files are read again.
static bool reload(Repl *repl) {
  close_vm(repl);
  return open_vm(repl);
}

// ---- commands that concern derivations

static bool last_drv(Repl *repl, StorePath *ret) {
  Vm *vm = repl->session->vm;
  Err err = ERR_INIT;
  HeapRoot triple = {0};
  heap_add_root(&vm->heap, &triple, VALUE_NULL);
  HeapRoot *const args[] = {&repl->value};
  bool ok = value_is_attrs(repl->value.value) && attrs_has(repl->value.value, SYM_drv_path);
  if (!ok) {
    err_set(&err, ERR_EVAL, "expression does not evaluate to a derivation, so I can't build it");
    fail(repl, &err);
  } else if (!vm_run_native(vm, &target_native_drv, args, 1, &triple)) {
    ok = eval_failed(repl);
  } else if (!store_path_parse(str_span(list_get(vm, triple.value, 0)), session_store_dir(repl->session), ret, &err)) {
    ok = fail(repl, &err);
  }
  heap_remove_root(&vm->heap, &triple);
  return ok;
}

static bool build_last(Repl *repl, bool links) {
  Session *session = repl->session;
  StorePath drv;
  Err err = ERR_INIT;
  Store *store;
  bool is_path;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  if (!last_drv(repl, &drv)) return false;
  store_path_format(&drv, session_store_dir(session), &text);
  if (!build_command_add_path(session, &targets, buf_cstr(&text), &is_path, &err) ||
      !session_store(session, &store, &err))
    return fail(repl, &err);
  if (build_command_build(session, &targets, SCHEDULER_NORMAL, true) != 0) return repl->failed = true, false;
  say(repl, "\nThis derivation produced the following outputs:");
  for (size_t i = 0; i < targets.count; i++) {
    const BuildTarget *target = &targets.items[i];
    Buf link CLEANUP(buf_done) = BUF_INIT;
    buf_clear(&text);
    store_path_format(&target->out_path, session_store_dir(session), &text);
    buf_printf(&link, "repl-result-%.*s", SPAN_ARG(target->output));
    if (links && !store_roots_add(store, &target->out_path, session_absolute(session, buf_cstr(&link)), &err))
      return fail(repl, &err);
    if (links) say(repl, "  ./%s -> %s", buf_cstr(&link), buf_cstr(&text));
    else say(repl, "  %.*s -> %s", SPAN_ARG(target->output), buf_cstr(&text));
  }
  return true;
}

// Runs a program with the terminal; `program` NULL: that of argv[0].
static bool run_program(Repl *repl, const char *program, const char *const *argv) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.program = program;
  Process process;
  Err err = ERR_INIT;
  int status;
  spec.argv = argv;
  spec.stdin_fd = STDIN_FILENO;
  if (!process_spawn(&spec, &process, &err) || !process_wait(&process, &status, &err)) return fail(repl, &err);
  return true;
}

// Runs firn itself under the name `program` on the derivation.
static bool with_drv(Repl *repl, const char *program, const char *flag) {
  StorePath drv;
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!last_drv(repl, &drv)) return false;
  if (!store_io_flush(repl->session->io, &err)) return fail(repl, &err);
  store_path_format(&drv, session_store_dir(repl->session), &text);
  const char *argv[] = {program, flag ? flag : buf_cstr(&text), flag ? buf_cstr(&text) : NULL, NULL};
  return run_program(repl, "/proc/self/exe", argv);
}

static bool show_log(Repl *repl) {
  StorePath drv;
  Session *session = repl->session;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!last_drv(repl, &drv)) return false;
  store_path_format(&drv, session_store_dir(session), &text);
  OptionList saved = session->options;
  const char *operand = buf_cstr(&text);
  session->options = (OptionList){.operands = &operand, .operand_count = 1};
  repl->failed = log_command_run(session) != 0;
  session->options = saved;
  return !repl->failed;
}

// ---- other commands

static bool show_doc(Repl *repl, Span expr) {
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!repl_doc_put(repl->session, expr, &repl->value, &repl->scope, &text, &err))
    return err_is_set(&err) ? fail(repl, &err) : eval_failed(repl);
  say(repl, "%s", buf_cstr(&text));
  return true;
}

// meta.position, "file:line", of a package.
static bool package_place(Repl *repl, Span what, Buf *ret_file, uint64_t *ret_line) {
  Session *session = repl->session;
  Err err = ERR_INIT;
  HeapRoot args = {.value = VALUE_EMPTY_ATTRS}, place = {0}; // the first needs no registration
  heap_add_root(&session->vm->heap, &place, VALUE_NULL);
  bool ok = target_select(session, &repl->value, &args, "meta.position", &place);
  if (!ok) {
    eval_error_clear(session->vm);
    err_set(&err, ERR_EVAL, "package '%.*s' has no source location information", SPAN_ARG(what));
  } else {
    ok = value_is_string(place.value) || value_is_path(place.value);
    if (ok) buf_put_span(ret_file, str_span(place.value));
    size_t colon = span_rfind_char(buf_span(ret_file), ':');
    ok = ok && colon != SIZE_MAX && span_parse_u64(span_from(buf_span(ret_file), colon + 1), ret_line);
    if (ok) ret_file->len = colon;
    else err_set(&err, ERR_EVAL, "cannot parse 'meta.position' attribute '%s'", buf_cstr(ret_file));
  }
  heap_remove_root(&session->vm->heap, &place);
  return ok || fail(repl, &err);
}

// Editors that understand +LINE.
static bool takes_line(const char *editor) {
  return strstr(editor, "emacs") || strstr(editor, "nano") || strstr(editor, "vim") || strstr(editor, "kak");
}

// Where a value can be looked at: a path, a function, or the position in a derivation's meta.
static bool edit(Repl *repl, Span what) {
  Vm *vm = repl->session->vm;
  Err err = ERR_INIT;
  Pos pos;
  uint64_t line = 0;
  Value v = repl->value.value;
  Buf file CLEANUP(buf_done) = BUF_INIT, flag CLEANUP(buf_done) = BUF_INIT;
  if (value_is_path(v) || value_is_string(v)) {
    buf_put_span(&file, str_span(v));
  } else if (value_is_function(v) && pos_resolve(vm->positions, vm_function_pos(vm, v), &pos)) {
    line = pos.line;
    if (pos.source->path) buf_put_cstr(&file, pos.source->path);
    else {
      err_set(&err, ERR_EVAL, "'%s:%u:%u' cannot be shown in an editor", pos.source->origin, pos.line, pos.column);
      return fail(repl, &err);
    }
  } else if (!package_place(repl, what, &file, &line)) {
    return false;
  }
  const char *editor = getenv("EDITOR");
  if (!editor || !*editor) editor = "cat";
  if (line && takes_line(editor)) buf_printf(&flag, "+%llu", (unsigned long long)line);
  const char *argv[] = {"sh",
                        "-c",
                        "exec ${0} \"$@\"",
                        editor,
                        flag.len ? buf_cstr(&flag) : buf_cstr(&file),
                        flag.len ? buf_cstr(&file) : NULL,
                        NULL};
  return run_program(repl, NULL, argv) && reload(repl);
}

static bool show_help(Repl *repl) {
  say(repl, "The following commands are available:\n\n"
            "  <expr>                       Evaluate and print expression\n"
            "  <x> = <expr>                 Bind expression to variable\n"
            "  :a, :add <expr>              Add attributes from resulting set to scope\n"
            "  :b <expr>                    Build a derivation\n"
            "  :bl <expr>                   Build a derivation, creating GC roots in the\n"
            "                               working directory\n"
            "  :e, :edit <expr>             Open package or function in $EDITOR\n"
            "  :i <expr>                    Build derivation, then install result into\n"
            "                               current profile\n"
            "  :l, :load <path>             Load Nix expression and add it to scope\n"
            "  :lf, :load-flake <ref>       Load Nix flake and add it to scope\n"
            "  :ll                          Show the names of variables\n"
            "  :p, :print <expr>            Evaluate and print expression recursively\n"
            "                               Strings are printed directly, without escaping.\n"
            "  :q, :quit                    Exit nix-repl\n"
            "  :r, :reload                  Reload all files\n"
            "  :sh <expr>                   Build dependencies of derivation, then start\n"
            "                               nix-shell\n"
            "  :t <expr>                    Describe result of evaluation\n"
            "  :u <expr>                    Build derivation, then start nix-shell\n"
            "  :doc <expr>                  Show documentation of a builtin function\n"
            "  :log <expr>                  Show logs for a derivation\n"
            "  :te, :trace-enable [bool]    Enable, disable or toggle showing traces for\n"
            "                               errors\n"
            "  :?, :help                    Brings up this help menu");
  return true;
}

static bool toggle_trace(Repl *repl, Span arg) {
  Session *session = repl->session;
  Err err = ERR_INIT;
  bool now = setting_bool(session->settings, SETTING_ID_show_trace);
  bool next = arg.len == 0 ? !now : span_eq_cstr(arg, "true");
  if (arg.len && !next && !span_eq_cstr(arg, "false")) {
    err_set(&err, ERR_OTHER, "unexpected argument '%.*s' to :te", SPAN_ARG(arg));
    return fail(repl, &err);
  }
  if (!setting_set(session->settings, SPAN("show-trace"), next ? SPAN("true") : SPAN("false"), SETTING_COMMAND_LINE,
                   &err))
    return fail(repl, &err);
  say(repl, next ? "showing error traces" : "not showing error traces");
  return true;
}

static bool list_variables(Repl *repl) {
  Vm *vm = repl->session->vm;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  repl->scope.value = attrs_flatten(vm, repl->scope.value);
  for (uint32_t i = 0; i < attrs_count(repl->scope.value); i++)
    buf_printf(&text, "%s%.*s", i ? " " : "",
               SPAN_ARG(symbol_text(vm->symbols, attrs_flat_shape(repl->scope.value)->names[i])));
  say(repl, "%s", buf_cstr(&text));
  return true;
}

static bool print_raw(Repl *repl) {
  if (!value_is_string(repl->value.value)) return print_last(repl, &print_all);
  say(repl, "%.*s", SPAN_ARG(str_span(repl->value.value)));
  return true;
}

// ---- one input

typedef enum ReplAction {
  REPL_HELP,
  REPL_QUIT,
  REPL_ADD,
  REPL_LOAD,
  REPL_FLAKE,
  REPL_RELOAD,
  REPL_EDIT,
  REPL_TYPE,
  REPL_SHELL_WITH,
  REPL_BUILD,
  REPL_BUILD_LINK,
  REPL_INSTALL,
  REPL_SHELL,
  REPL_LOG,
  REPL_PRINT,
  REPL_DOC,
  REPL_TRACE,
  REPL_VARIABLES,
} ReplAction;

static const struct {
  const char *name;
  ReplAction action;
  bool takes_expr; // its argument is evaluated first
} repl_commands[] = {
    {":?", REPL_HELP, false},       {":help", REPL_HELP, false},
    {":q", REPL_QUIT, false},       {":quit", REPL_QUIT, false},
    {":a", REPL_ADD, true},         {":add", REPL_ADD, true},
    {":l", REPL_LOAD, false},       {":load", REPL_LOAD, false},
    {":lf", REPL_FLAKE, false},     {":load-flake", REPL_FLAKE, false},
    {":r", REPL_RELOAD, false},     {":reload", REPL_RELOAD, false},
    {":e", REPL_EDIT, true},        {":edit", REPL_EDIT, true},
    {":t", REPL_TYPE, true},        {":u", REPL_SHELL_WITH, true},
    {":b", REPL_BUILD, true},       {":bl", REPL_BUILD_LINK, true},
    {":i", REPL_INSTALL, true},     {":sh", REPL_SHELL, true},
    {":log", REPL_LOG, true},       {":p", REPL_PRINT, true},
    {":print", REPL_PRINT, true},   {":doc", REPL_DOC, true},
    {":te", REPL_TRACE, false},     {":trace-enable", REPL_TRACE, false},
    {":ll", REPL_VARIABLES, false},
};

static bool run_action(Repl *repl, ReplAction action, Span arg) {
  Err err = ERR_INIT;
  Buf file CLEANUP(buf_done) = BUF_INIT;
  switch (action) {
  case REPL_HELP: return show_help(repl);
  case REPL_QUIT: return true;
  case REPL_ADD: return add_last(repl);
  case REPL_LOAD: buf_put_span(&file, arg); return load_file(repl, buf_cstr(&file));
  case REPL_FLAKE: err_set(&err, ERR_OTHER, "flakes are not supported"); return fail(repl, &err);
  case REPL_RELOAD: return reload(repl);
  case REPL_EDIT: return edit(repl, arg);
  case REPL_TYPE: say(repl, "%s", eval_error_type_phrase(repl->session->vm, repl->value.value)); return true;
  case REPL_BUILD: return build_last(repl, false);
  case REPL_BUILD_LINK: return build_last(repl, true);
  case REPL_INSTALL: return with_drv(repl, "nix-env", "-i");
  case REPL_SHELL:
  case REPL_SHELL_WITH: return with_drv(repl, "nix-shell", NULL);
  case REPL_LOG: return show_log(repl);
  case REPL_PRINT: return print_raw(repl);
  case REPL_DOC: return show_doc(repl, arg);
  case REPL_TRACE: return toggle_trace(repl, arg);
  case REPL_VARIABLES: return list_variables(repl);
  }
  return false;
}

static bool is_name(Span s) {
  for (size_t i = 0; i < s.len; i++) {
    char c = s.data[i];
    bool first = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (!first && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '\''))) return false;
  }
  return s.len > 0;
}

// "x = expr": *ret_expr what is bound.
static bool split_binding(Span text, Span *ret_name, Span *ret_expr) {
  size_t equals = span_find_char(text, '=');
  if (equals == SIZE_MAX || (equals + 1 < text.len && text.data[equals + 1] == '=')) return false;
  *ret_name = span_trim(span_sub(text, 0, equals));
  *ret_expr = span_from(text, equals + 1);
  return is_name(*ret_name);
}

// For :u, a shell in which the derivation is there.
static bool eval_shell_with(Repl *repl, Span arg) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&text, "(import <nixpkgs> {}).runCommand \"shell\" { buildInputs = [ (%.*s\n) ]; } \"\"", SPAN_ARG(arg));
  return eval_text(repl, buf_span(&text), true);
}

// False: leave.
static bool run_input(Repl *repl, Span text) {
  Span name, expr;
  Err err = ERR_INIT;
  text = span_trim(text);
  if (text.len == 0) return true;
  if (text.data[0] == ':') {
    size_t end = 0;
    while (end < text.len && !strchr(" \t\r\n", text.data[end])) end++;
    Span command = span_sub(text, 0, end), arg = span_trim(span_from(text, end));
    for (size_t i = 0; i < ARRAY_LEN(repl_commands); i++) {
      if (!span_eq_cstr(command, repl_commands[i].name)) continue;
      ReplAction action = repl_commands[i].action;
      bool ok = !repl_commands[i].takes_expr ||
                (action == REPL_SHELL_WITH ? eval_shell_with(repl, arg) : eval_text(repl, arg, true));
      ok = ok && run_action(repl, action, arg);
      return action != REPL_QUIT;
    }
    err_set(&err, ERR_OTHER, "unknown command '%.*s'", SPAN_ARG(command));
    fail(repl, &err);
    return true;
  }
  if (split_binding(text, &name, &expr)) {
    if (eval_text(repl, expr, false)) bind(repl, name, repl->value.value);
  } else if (eval_text(repl, text, true)) {
    print_last(repl, &print_one_level);
  }
  return true;
}

// Does the text end in the middle of an expression?
static bool is_unfinished(Span text) {
  Span name, expr;
  text = span_trim(text);
  if (text.len && text.data[0] == ':') {
    size_t end = 0;
    bool takes_expr = false;
    while (end < text.len && !strchr(" \t\r\n", text.data[end])) end++;
    for (size_t i = 0; i < ARRAY_LEN(repl_commands); i++)
      if (span_eq_cstr(span_sub(text, 0, end), repl_commands[i].name)) takes_expr = repl_commands[i].takes_expr;
    text = span_from(text, end);
    if (!takes_expr || span_trim(text).len == 0) return takes_expr;
  } else if (split_binding(text, &name, &expr)) {
    text = expr;
  }
  ParserOptions options = {.pipe_operators = true};
  ParserError error = {0};
  Ast ast;
  if (text.len == 0) return false;
  if (parser_parse(text, &options, &ast, &error)) {
    ast_done(&ast);
    return false;
  }
  bool unfinished = span_has_prefix(span_cstr(error.message), SPAN("syntax error, unexpected end of file"));
  parser_error_done(&error);
  return unfinished;
}

// ---- completion

static void add_candidate(Buf *ret, Span before, Span name) {
  buf_put_span(ret, before);
  buf_put_span(ret, name);
  buf_put_char(ret, 0);
}

static void complete_file(Span word, Buf *ret) {
  size_t slash = span_rfind_char(word, '/');
  Span dir = span_sub(word, 0, slash + 1), prefix = span_from(word, slash + 1);
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (span_has_prefix(dir, SPAN("~/")))
    buf_printf(&path, "%s%.*s", getenv("HOME") ? getenv("HOME") : "", SPAN_ARG(span_from(dir, 1)));
  else buf_put_span(&path, dir);
  EvalDirList list;
  Err ignored = ERR_INIT;
  if (!store_io_list_physical(buf_cstr(&path), &list, &ignored)) {
    err_done(&ignored);
    return;
  }
  for (size_t i = 0; i < list.count; i++)
    if (span_has_prefix(span_cstr(list.entries[i].name), prefix))
      add_candidate(ret, dir, span_cstr(list.entries[i].name));
  eval_io_dir_list_done(&list);
}

static void complete_set(Repl *repl, Value set, Span before, Span prefix, Buf *ret) {
  Vm *vm = repl->session->vm;
  if (set == VALUE_EMPTY_ATTRS) return;
  set = attrs_flatten(vm, set);
  for (uint32_t i = 0; i < attrs_count(set); i++) {
    Span name = symbol_text(vm->symbols, attrs_flat_shape(set)->names[i]);
    if (span_has_prefix(name, prefix) && is_name(name)) add_candidate(ret, before, name);
  }
}

// "a.b.pre": evaluates a.b, silently.
static void complete_attribute(Repl *repl, Span word, Buf *ret) {
  Session *session = repl->session;
  Vm *vm = session->vm;
  size_t dot = span_rfind_char(word, '.');
  HeapRoot set = {0};
  heap_add_root(&vm->heap, &set, VALUE_NULL);
  bool ok = vm_eval_text_scoped(vm, span_sub(word, 0, dot), SPAN("/"), SPAN("«completion»"), &repl->scope, true, &set);
  if (!ok) eval_error_clear(vm);
  else if (value_is_attrs(set.value))
    complete_set(repl, set.value, span_sub(word, 0, dot + 1), span_from(word, dot + 1), ret);
  heap_remove_root(&vm->heap, &set);
}

static void complete(void *ctx, Span word, Buf *ret) {
  Repl *repl = ctx;
  Vm *vm = repl->session->vm;
  if (span_find_char(word, '/') != SIZE_MAX) {
    complete_file(word, ret);
  } else if (span_find_char(word, '.') != SIZE_MAX) {
    complete_attribute(repl, word, ret);
  } else {
    complete_set(repl, repl->scope.value, SPAN(""), word, ret);
    for (uint32_t i = 0; i < vm->builtin_count; i++)
      if ((vm->builtins[i]->flags & BUILTIN_GLOBAL) && span_has_prefix(span_cstr(vm->builtins[i]->name), word))
        add_candidate(ret, SPAN(""), span_cstr(vm->builtins[i]->name));
    if (span_has_prefix(SPAN("builtins"), word)) add_candidate(ret, SPAN(""), SPAN("builtins"));
  }
}

// ---- the loop

static const char *history_file(Session *session) {
  const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
  if (!isatty(STDIN_FILENO) || ((!data || !*data) && !home)) return NULL;
  const char *dir = data && *data ? arena_printf(&session->arena, "%s/nix", data)
                                  : arena_printf(&session->arena, "%s/.local/share/nix", home);
  Err ignored = ERR_INIT;
  if (!fs_mkdir_all(dir, 0755, &ignored)) return err_done(&ignored), NULL;
  return arena_printf(&session->arena, "%s/repl-history", dir);
}

static void loop(Repl *repl) {
  Session *session = repl->session;
  Buf input CLEANUP(buf_done) = BUF_INIT;
  bool interrupted;
  for (;;) {
    bool more = line_editor_read(repl->editor, input.len ? "          " : "nix-repl> ", &input, &interrupted);
    if (session_take_interrupt(session) || interrupted) { // Ctrl-C drops what was typed
      buf_clear(&input);
      say(repl, "%s", "");
      continue;
    }
    if (!more && !input.len) break;
    if (more && is_unfinished(buf_span(&input))) {
      buf_put_char(&input, '\n');
      continue;
    }
    line_editor_remember(repl->editor, buf_cstr(&input));
    bool go_on = run_input(repl, buf_span(&input));
    session_take_interrupt(session);
    buf_clear(&input);
    if (!go_on || !more) break;
  }
}

int repl_command_run(Session *session) {
  Repl repl = {.session = session};
  const OptionList *list = &session->options;
  const char *file = option_get(list, OPT_file), *expr = option_get(list, OPT_expr);
  session->is_interactive = true;
  for (size_t i = 0; i < list->operand_count + (file != NULL); i++) {
    MEM_RESERVE(repl.files, repl.file_cap, repl.file_count + 1);
    repl.files[repl.file_count++] = i < list->operand_count ? list->operands[i] : file;
  }
  if (isatty(STDIN_FILENO)) say(&repl, "Nix %s\nType :? for help.", "(firn)");
  bool ok = open_vm(&repl);
  if (ok && expr && eval_text(&repl, span_cstr(expr), true)) add_last(&repl);
  if (ok) {
    repl.editor = line_editor_new(history_file(session), complete, &repl);
    loop(&repl);
    line_editor_free(repl.editor);
  }
  close_vm(&repl);
  mem_free(repl.files);
  // Typed by a person, a failed line is forgotten; of a script it is the result.
  // C++ Nix's never reports it.
  return !ok || (repl.failed && !isatty(STDIN_FILENO) && session->command->brief_errors);
}
