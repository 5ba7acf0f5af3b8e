// instantiate_command.c: nix-instantiate: writes derivations into the store; evaluates, parses, looks up files.
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/eval_cache.h"
#include "cli/eval_command.h"
#include "eval/ast_print.h"
#include "eval/parser.h"
#include "eval/str.h"
#include "store/store_roots.h"

// ---- --parse

static bool read_source(Session *session, const TargetRoot *root, Buf *ret_text, Buf *ret_dir, Buf *ret_origin,
                        Err *err) {
  switch (root->kind) {
  case TARGET_EXPR:
    buf_put_cstr(ret_text, root->text);
    buf_put_cstr(ret_dir, session_absolute(session, "."));
    buf_put_cstr(ret_origin, "«string»");
    return true;
  case TARGET_STDIN:
    buf_put_cstr(ret_dir, session_absolute(session, "."));
    buf_put_cstr(ret_origin, "«stdin»");
    return fs_read_fd(STDIN_FILENO, PARSER_MAX_SOURCE_BYTES, ret_text, err);
  case TARGET_FILE: break;
  }
  struct stat st;
  buf_put_cstr(ret_origin, session_absolute(session, root->text));
  if (stat(buf_cstr(ret_origin), &st) == 0 && S_ISDIR(st.st_mode)) buf_put_cstr(ret_origin, "/default.nix");
  buf_put_span(ret_dir, fs_path_dir(buf_span(ret_origin)));
  if (!fs_exists(buf_cstr(ret_origin)))
    return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", buf_cstr(ret_origin));
  return fs_read_file(buf_cstr(ret_origin), PARSER_MAX_SOURCE_BYTES, ret_text, err);
}

// Errors come from the evaluator, which shows them with their lines, and also finds variables that nobody defines, as C++ Nix does
// here. False: an error is pending.
static bool check_source(Session *session, Span text, Span dir, Span origin) {
  Vm *vm = session->vm;
  HeapRoot scope = {0}, value = {0};
  heap_add_root(&vm->heap, &scope, VALUE_EMPTY_ATTRS);
  heap_add_root(&vm->heap, &value, VALUE_NULL);
  bool ok = vm_eval_text_scoped(vm, text, dir, origin, &scope, false, &value);
  heap_remove_root(&vm->heap, &value);
  heap_remove_root(&vm->heap, &scope);
  return ok;
}

static int parse_root(Session *session, const TargetRoot *root) {
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT, dir CLEANUP(buf_done) = BUF_INIT, origin CLEANUP(buf_done) = BUF_INIT,
           out CLEANUP(buf_done) = BUF_INIT;
  if (!read_source(session, root, &text, &dir, &origin, &err) || !session_vm(session, &err))
    return session_fail(session, &err);
  if (!check_source(session, buf_span(&text), buf_span(&dir), buf_span(&origin)))
    return session_eval_failed(session, NULL);
  ParserOptions options = {.pipe_operators = session_has_feature(session, "pipe-operators"),
                           .no_url_literals = session_has_feature(session, "no-url-literals")};
  Ast ast;
  ParserError failed = {0};
  if (!parser_parse(buf_span(&text), &options, &ast, &failed)) { // the settings of the evaluator are the same
    err_set(&err, ERR_SYNTAX, "%s", failed.message);
    parser_error_done(&failed);
    return session_fail(session, &err);
  }
  const char *home = getenv("HOME");
  ast_print(&ast, buf_span(&dir), span_cstr(home ? home : "/"), &out);
  buf_put_char(&out, '\n');
  ast_done(&ast);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- --find-file

static int find_file(Session *session, const char *name) {
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!session_vm(session, &err)) return session_fail(session, &err);
  Vm *vm = session->vm;
  HeapRoot root = {0};
  heap_add_root(&vm->heap, &root, VALUE_NULL);
  buf_printf(&text, "<%s>", name);
  int code = 0;
  if (!vm_eval_text(vm, buf_span(&text), SPAN("/"), SPAN("«string»"), &root)) {
    eval_error_drop_traces(vm); // the expression is ours
    code = session_eval_failed(session, NULL);
  } else {
    buf_clear(&text);
    buf_put_span(&text, str_span(root.value));
    buf_put_char(&text, '\n');
    session_print(session, buf_span(&text));
  }
  heap_remove_root(&vm->heap, &root);
  return code;
}

// ---- writing derivations

// The printed text of one derivation: its path, or the root that was made for it.
static bool show_drv(Session *session, Store *store, const TargetDrv *drv, size_t number, Buf *ret, Err *err) {
  const char *root = option_get(&session->options, OPT_add_root);
  if (root) {
    const char *link = session_absolute(session, root);
    if (number > 0) link = arena_printf(&session->arena, "%s-%zu", link, number + 1);
    if (!store_roots_add(store, &drv->drv_path, link, err)) return false;
    buf_put_cstr(ret, link);
  } else {
    store_path_format(&drv->drv_path, session_store_dir(session), ret);
  }
  if (!span_eq_cstr(drv->output, "out")) buf_printf(ret, "!%.*s", SPAN_ARG(drv->output));
  buf_put_char(ret, '\n');
  return true;
}

// Other programs read derivations where C++ Nix leaves them: on disk, with everything that they need.
static bool write_drvs(Session *session, const TargetDrvList *drvs, Store **ret_store, Err *err) {
  if (!session_store(session, ret_store, err)) return false;
  StorePathList paths CLEANUP(store_path_list_done) = STORE_PATH_LIST_INIT;
  for (size_t i = 0; i < drvs->count; i++) store_path_list_add(&paths, &drvs->items[i].drv_path);
  store_want_trees(*ret_store, true);
  return (!session->io || store_io_flush(session->io, err)) &&
         store_materialise_closure(*ret_store, paths.paths, paths.count, err);
}

static int instantiate(Session *session, const TargetRoot *roots, size_t root_count) {
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  int code = 0;
  Store *store = NULL;
  bool dry = option_has(&session->options, OPT_dry_run);
  if (!eval_cache_drvs(session, roots, root_count, SPAN("instantiate"), NULL,
                       dry ? "--dry-run writes no derivations" : NULL, &drvs, &code))
    return code;
  if (!dry && !write_drvs(session, &drvs, &store, &err)) return session_fail(session, &err);
  if (!option_get(&session->options, OPT_add_root) && drvs.count && !option_has(&session->options, OPT_no_gc_warning) &&
      !session->command->quiet_start)
    log_warn("you did not specify '--add-root'; the result might be removed by the garbage collector");
  for (size_t i = 0; i < drvs.count; i++) {
    if (dry) {
      store_path_format(&drvs.items[i].drv_path, session_store_dir(session), &text);
      if (!span_eq_cstr(drvs.items[i].output, "out")) buf_printf(&text, "!%.*s", SPAN_ARG(drvs.items[i].output));
      buf_put_char(&text, '\n');
    } else if (!show_drv(session, store, &drvs.items[i], i, &text, &err)) {
      return session_fail(session, &err);
    }
  }
  session_print(session, buf_span(&text));
  return code;
}

// What the command is about. Standard input, where it is asked for, is all; expressions may be none.
static void find_roots(Session *session, const TargetRoot **ret, size_t *ret_count) {
  static const TargetRoot from_stdin = {.kind = TARGET_STDIN, .text = "-"},
                          here = {.kind = TARGET_FILE, .text = "./default.nix"};
  const OptionList *list = &session->options;
  bool classic = !session->command->quiet_start, used;
  target_roots(session, classic, ret, ret_count, &used);
  if (!classic) return;
  for (size_t i = 0; i < list->operand_count; i++) {
    if (strcmp(list->operands[i], "-") != 0) continue;
    *ret = &from_stdin;
    *ret_count = 1;
    return;
  }
  if (list->operand_count > 0) return;
  *ret = &here;
  *ret_count = option_has(list, OPT_expr_flag) ? 0 : 1;
}

int instantiate_command_run(Session *session) {
  const OptionList *list = &session->options;
  const TargetRoot *roots;
  size_t count;
  int code = 0;
  if (option_has(list, OPT_find_file)) {
    for (size_t i = 0; i < list->operand_count && code == 0; i++) code = find_file(session, list->operands[i]);
    return code;
  }
  find_roots(session, &roots, &count);
  if (option_has(list, OPT_parse)) {
    for (size_t i = 0; i < count && code == 0; i++) code = parse_root(session, &roots[i]);
    return code;
  }
  if (!option_has(list, OPT_eval) && !option_has(list, OPT_eval_only)) return instantiate(session, roots, count);
  EvalCommandOptions options;
  eval_command_options(session, &options);
  code = eval_command_roots(session, roots, count, &options);
  Err err = ERR_INIT;
  if (code == 0 && option_has(list, OPT_read_write_mode) && session->io && !store_io_materialise(session->io, &err))
    return session_fail(session, &err);
  return code;
}
