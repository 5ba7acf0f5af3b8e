// run_command.c: programs of packages: `nix shell`, `firn shell` (a shell, or a command, with packages in PATH), `nix run`, `firn run` (a package's
// main program).
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/env_option.h"
#include "cli/installable.h"
#include "cli/package.h"
#include "cli/store_exec.h"

// ---- shell

// Paths whose programs are offered, each once; grows while it is walked through.
typedef struct PathQueue {
  StorePathList paths;
  Map seen;
} PathQueue;

static void enqueue(PathQueue *queue, const StorePath *path) {
  Span key = span_make(path->digest, STORE_PATH_DIGEST_BYTES);
  if (map_has(&queue->seen, key)) return;
  map_set(&queue->seen, key, NULL);
  store_path_list_add(&queue->paths, path);
}

// A path that is itself a link stands for the store path that it leads to.
static bool follow_output(Store *store, StorePath *path, Err *err) {
  for (unsigned links = 0; links < 40; links++) {
    Buf file CLEANUP(buf_done) = BUF_INIT, target CLEANUP(buf_done) = BUF_INIT;
    Err not_link = ERR_INIT;
    store_format_physical(store, path, &file);
    if (!fs_read_link(buf_cstr(&file), &target, &not_link)) return err_done(&not_link), true;
    if (!store_parse_path(store, buf_span(&target), path, &not_link)) {
      err_done(&not_link);
      return err_set(err, ERR_NOT_FOUND, "path '%s' is not in the Nix store", buf_cstr(&target));
    }
  }
  return err_set(err, ERR_LIMIT, "'%.*s' is a chain of too many links", SPAN_ARG(store_path_name(path)));
}

// What a package wants to come along: nix-support/propagated-user-env-packages.
static bool enqueue_propagated(Store *store, PathQueue *queue, const StorePath *path, Err *err) {
  Buf file CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  StorePath real = *path;
  if (!follow_output(store, &real, err)) return false;
  store_format_physical(store, &real, &file);
  buf_put_cstr(&file, "/nix-support/propagated-user-env-packages");
  Err absent = ERR_INIT;
  if (!fs_read_file(buf_cstr(&file), 1 << 20, &text, &absent)) return err_done(&absent), true;
  Span rest = buf_span(&text), line, word;
  for (bool lines = true; lines;) {
    lines = span_split(&rest, '\n', &line);
    for (bool words = true; words;) {
      StorePath found;
      words = span_split(&line, ' ', &word);
      word = span_trim(word);
      if (!word.len) continue;
      if (!store_parse_path(store, word, &found, err)) return false;
      enqueue(queue, &found);
    }
  }
  return true;
}

// Puts the bin/ of all in front of PATH.
static bool extend_path(Session *session, Store *store, const BuildTargetList *targets, EnvVars *env, Err *err) {
  PathQueue queue = {STORE_PATH_LIST_INIT, MAP_INIT};
  Buf path CLEANUP(buf_done) = BUF_INIT;
  bool ok = true;
  for (size_t i = 0; i < targets->count; i++) enqueue(&queue, &targets->items[i].out_path);
  ok = store_materialise_closure(store, queue.paths.paths, queue.paths.count, err);
  for (size_t i = 0; ok && i < queue.paths.count; i++) {
    StorePath at = queue.paths.paths[i];
    if (path.len) buf_put_char(&path, ':');
    store_path_format(&at, session_store_dir(session), &path);
    buf_put_cstr(&path, "/bin");
    ok = enqueue_propagated(store, &queue, &at, err);
  }
  store_path_list_done(&queue.paths);
  map_done(&queue.seen);
  const char *former = env_vars_get(env, "PATH");
  if (former) buf_printf(&path, ":%s", former);
  env_vars_set(env, SPAN("PATH"), buf_span(&path));
  return ok;
}

static int run_shell(Session *session, const char *default_file) {
  Err err = ERR_INIT;
  Store *store;
  int code = 0;
  EnvVars env CLEANUP(env_vars_done) = ENV_VARS_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  const OptionList *options = &session->options;
  size_t count;
  const char *const *attrs = target_attr_paths(session, &count);
  bool has_attrs = option_has(options, OPT_attr);
  InstallableQuery query = {.operands = has_attrs ? attrs : options->operands,
                            .count = has_attrs ? count : options->operand_count,
                            .default_file = default_file};
  if (!env_option_read(session, &env, &err)) return session_fail(session, &err);
  if (!installable_find(session, &query, &targets, &code)) return code;
  code = build_command_build(session, &targets, SCHEDULER_NORMAL, false);
  if (code || option_has(options, OPT_dry_run)) return code;
  if (!session_store(session, &store, &err) || !extend_path(session, store, &targets, &env, &err))
    return session_fail(session, &err);
  const char *shell = getenv("SHELL");
  const char *const interactive[] = {shell && *shell ? shell : "bash", NULL};
  const char *const *argv = options->rest ? options->rest : interactive;
  return store_exec_run(session, argv[0], argv, &env, NULL);
}

int run_command_shell_nix(Session *session) {
  return run_shell(session, NULL);
}

// Without -f and -E, the packages are those of <nixpkgs>.
int run_command_shell(Session *session) {
  return run_shell(session, "<nixpkgs>");
}

// ---- run

// The derivations that an app's program refers to.
static bool add_context(Session *session, const JsonTree *context, BuildTargetList *ret, Err *err) {
  for (size_t i = 0; i < context->count; i++) {
    const JsonTree *made = &context->items[i];
    Buf text CLEANUP(buf_done) = BUF_INIT;
    bool is_path;
    buf_put_span(&text, made->key);
    for (size_t j = 0; j < made->count; j++)
      buf_printf(&text, "%c%.*s", j ? ',' : '^', SPAN_ARG(made->items[j].string));
    if (!build_command_add_path(session, ret, buf_cstr(&text), &is_path, err)) return false;
  }
  return true;
}

// "<out>/bin/<main program>" of the package that `attr` names.
static bool find_package_program(Session *session, const TargetRoot *root, const char *attr, BuildTargetList *ret,
                                 Span *ret_program, int *ret_code) {
  TargetQuery query = {.roots = root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  Err err = ERR_INIT;
  size_t first = 0;
  BuildTarget target = {.is_drv = true};
  PackageSet *set = package_set_new(session, &query, false, ret_code);
  if (!set) return false;
  bool ok = true;
  if (package_set_count(set) != 1) {
    err_set(&err, ERR_USAGE, "'%s' is not a single package", attr);
  } else if (package_set_complete(set, &first, 1, ret_code)) {
    const Package *package = package_set_get(set, 0);
    target.output = package->output_name.len ? package->output_name : SPAN("out");
    *ret_program = span_cstr(
        arena_printf(&session->arena, "%.*s/bin/%.*s", SPAN_ARG(package->out_path), SPAN_ARG(package->main_program)));
    if (store_path_parse(package->drv_path, session_store_dir(session), &target.path, &err))
      build_command_list_add(ret, &target);
  } else {
    ok = false;
  }
  if (err_is_set(&err)) {
    *ret_code = session_fail(session, &err);
    ok = false;
  }
  package_set_free(set);
  return ok;
}

static bool find_program(Session *session, const char *operand, const char *default_file, BuildTargetList *ret,
                         Span *ret_program, int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  PackageApp app;
  if (!installable_root(session, default_file, &root, &err)) return *ret_code = session_fail(session, &err), false;
  if (!package_find_app(session, &root, operand, &app, ret_code)) return false;
  *ret_program = app.program;
  if (!app.program.len) return find_package_program(session, &root, operand, ret, ret_program, ret_code);
  if (!store_path_is_below(app.program, session_store_dir(session)))
    err_set(&err, ERR_EVAL, "app program '%.*s' is not in the Nix store", SPAN_ARG(app.program));
  else if (add_context(session, &app.context, ret, &err)) return true;
  return *ret_code = session_fail(session, &err), false;
}

static int run_program(Session *session, const char *default_file) {
  Err err = ERR_INIT;
  Store *store;
  Span program;
  int code = 0;
  EnvVars env CLEANUP(env_vars_done) = ENV_VARS_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  const OptionList *options = &session->options;
  const char *attr = option_get(options, OPT_attr);
  size_t used = attr || !options->operand_count ? 0 : 1; // what follows is for the program
  if (!attr) attr = used ? options->operands[0] : "";
  if (!env_option_read(session, &env, &err)) return session_fail(session, &err);
  if (!find_program(session, attr, default_file, &targets, &program, &code)) return code;
  code = build_command_build(session, &targets, SCHEDULER_NORMAL, false);
  if (code) return code;
  StorePathList paths = STORE_PATH_LIST_INIT;
  for (size_t i = 0; i < targets.count; i++) store_path_list_add(&paths, &targets.items[i].out_path);
  bool ok = session_store(session, &store, &err) && store_materialise_closure(store, paths.paths, paths.count, &err);
  store_path_list_done(&paths);
  if (!ok) return session_fail(session, &err);
  const char **argv = ARENA_ARRAY(&session->arena, const char *, options->operand_count + 2);
  argv[0] = arena_dup(&session->arena, program).data;
  size_t count = 1;
  for (size_t i = used; i < options->operand_count; i++) argv[count++] = options->operands[i];
  argv[count] = NULL;
  return store_exec_run(session, argv[0], argv, &env, NULL);
}

int run_command_run_nix(Session *session) {
  return run_program(session, NULL);
}

int run_command_run(Session *session) {
  return run_program(session, "<nixpkgs>");
}
