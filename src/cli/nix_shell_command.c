// nix_shell_command.c: `nix-shell`: a shell in the environment of a derivation whose inputs have been built. What the shell sees, and the
// script that prepares it, are those of Nix 2.26 (nix-build.cc).
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/build_command.h"
#include "cli/command_list.h"
#include "cli/eval_cache.h"
#include "cli/shebang.h"
#include "cli/store_exec.h"
#include "realise/build_prepare.h"
#include "realise/drv_resolve.h"

// ---- which derivation

static const char *packages_expr(Session *session) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&text, "{...}@args: with import <nixpkgs> args; (pkgs.runCommandCC or pkgs.runCommand) \"shell\" { "
                      "buildInputs = [ ");
  for (size_t i = 0; i < session->options.operand_count; i++) buf_printf(&text, "(%s) ", session->options.operands[i]);
  buf_put_cstr(&text, "]; } \"\"");
  return arena_dup(&session->arena, buf_span(&text)).data;
}

// What <x> means: the file, or of a folder shell.nix rather than default.nix.
static const char *search_path_expr(Session *session, const char *name) {
  bool always = setting_bool(session->settings, SETTING_ID_nix_shell_always_looks_for_shell_nix);
  return arena_printf(&session->arena,
                      "let path = %s; has = name: builtins.pathExists (path + \"/${name}\");\n"
                      "in if !builtins.pathExists (path + \"/.\") then import path\n"
                      "else if %s && has \"shell.nix\" then import (path + \"/shell.nix\")\n"
                      "else if has \"default.nix\" then import (path + \"/default.nix\")\n"
                      "else throw \"neither 'shell.nix' nor 'default.nix' found in '${toString path}'\"",
                      name, always ? "true" : "false");
}

// shell.nix rather than default.nix. False with *err set when a folder has neither.
static bool resolve_file(Session *session, TargetRoot *root, Err *err) {
  struct stat st;
  const char *script = session->shebang.script;
  if (root->kind != TARGET_FILE) return true;
  if (root->text[0] == '<') {
    *root = (TargetRoot){TARGET_EXPR, search_path_expr(session, root->text), .is_own = true};
    return true;
  }
  // Names in a script are seen from where it lies.
  if (script && root->text[0] != '/' && root->text[0] != '<') {
    Span dir = fs_path_dir(span_cstr(session_absolute(session, script)));
    root->text = arena_printf(&session->arena, "%.*s/%s", SPAN_ARG(dir), root->text);
  }
  const char *path = session_absolute(session, root->text);
  if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) return true;
  const char *names[] = {"shell.nix", "default.nix"};
  bool always = setting_bool(session->settings, SETTING_ID_nix_shell_always_looks_for_shell_nix);
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    const char *file = arena_printf(&session->arena, "%s/%s", path, names[i]);
    if (stat(file, &st) != 0) continue;
    // Nix 2.3 took shell.nix only where nothing was named.
    if (i > 0 || always || session->options.operand_count == 0) return root->text = file, true;
    log_warn(
        "Skipping '%s', because the setting 'nix-shell-always-looks-for-shell-nix' is disabled. This is a deprecated "
        "behavior. Consider enabling 'nix-shell-always-looks-for-shell-nix'.",
        file);
  }
  if (session->options.operand_count == 0)
    return err_set(err, ERR_NOT_FOUND,
                   "no argument specified and no 'shell.nix' or 'default.nix' file found in the working directory");
  return err_set(err, ERR_NOT_FOUND, "neither 'shell.nix' nor 'default.nix' found in '%s'", path);
}

static bool find_drv(Session *session, StorePath *ret, int *ret_code) {
  Err err = ERR_INIT;
  const TargetRoot *given;
  size_t count, kept = 0;
  bool used, packages = option_has(&session->options, OPT_packages);
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  BuildTargetList paths CLEANUP(build_command_list_done) = {0};
  if (packages && option_has(&session->options, OPT_expr_flag)) {
    err_set(&err, ERR_USAGE, "'-p' and '-E' are mutually exclusive");
    return *ret_code = session_fail(session, &err), false;
  }
  target_roots(session, true, &given, &count, &used);
  TargetRoot *roots = ARENA_ARRAY(&session->arena, TargetRoot, count);
  if (packages) {
    roots[kept++] = (TargetRoot){TARGET_EXPR, packages_expr(session), target_expr_base(session)};
    count = 0;
  }
  for (size_t i = 0; i < count; i++) {
    bool is_path = false;
    roots[kept] = given[i];
    bool ok =
        !used || given[i].kind != TARGET_FILE || build_command_add_path(session, &paths, given[i].text, &is_path, &err);
    if (!ok || (!is_path && !resolve_file(session, &roots[kept], &err)))
      return *ret_code = session_fail(session, &err), false;
    kept += !is_path;
  }
  TargetQuery query = {.roots = roots, .root_count = kept, .in_nix_shell = true};
  query.attr_paths = target_attr_paths(session, &query.attr_path_count);
  if (kept && !eval_cache_find(session, roots, kept, SPAN("nix-shell"), &drvs, ret_code)) {
    bool ok = target_query_drvs(session, &query, &drvs, ret_code);
    eval_cache_end(session, ok ? &drvs : NULL, *ret_code);
    if (!ok) return false;
  }
  if (*ret_code) return false;
  size_t found = drvs.count;
  for (size_t i = 0; i < paths.count; i++)
    found += paths.items[i].is_drv && (i == 0 || !store_path_eq(&paths.items[i].path, &paths.items[i - 1].path));
  if (found != 1) {
    err_set(&err, ERR_USAGE, "nix-shell requires a single derivation");
    return *ret_code = session_fail(session, &err), false;
  }
  *ret = drvs.count ? drvs.items[0].drv_path : paths.items[0].path;
  return true;
}

// bashInteractive of nixpkgs, unless NIX_BUILD_SHELL says something else. False: there is none, and it has been said why.
static bool find_bash(Session *session, BuildTarget *ret) {
  TargetRoot root = {TARGET_EXPR, "(import <nixpkgs> {}).bashInteractive", .is_own = true};
  const char *attr = "";
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  int code = 0;
  // The arguments of the command line are not for this.
  OptionList given = session->options;
  session->options.use_count = 0;
  bool found = eval_cache_find(session, &root, 1, SPAN("bash"), &drvs, &code);
  if (!found) {
    bool ok = target_query_drvs(session, &query, &drvs, &code);
    eval_cache_end(session, ok ? &drvs : NULL, code);
  }
  session->options = given;
  if (code || drvs.count != 1) {
    log_msg(LOG_NOTICE, "will use bash from your environment");
    return false;
  }
  *ret = (BuildTarget){.path = drvs.items[0].drv_path, .output = SPAN("out"), .is_drv = true};
  return true;
}

// ---- its inputs

static bool is_excluded(Session *session, Span path) {
  for (size_t i = 0; i < session->options.use_count; i++) {
    const OptionUse *use = &session->options.uses[i];
    regex_t regex;
    if (use->id != OPT_exclude || regcomp(&regex, use->args[0], REG_EXTENDED | REG_NOSUB) != 0) continue;
    bool matches = regexec(&regex, arena_dup(&session->arena, path).data, 0, NULL, 0) == 0;
    regfree(&regex);
    if (matches) return true;
  }
  return false;
}

static bool add_inputs(Session *session, const Derivation *drv, BuildTargetList *ret, Err *err) {
  Span dir = session_store_dir(session);
  for (size_t i = 0; i < drv->input_drv_count; i++) {
    const DerivationInput *input = &drv->input_drvs[i];
    BuildTarget target = {.is_drv = true};
    if (is_excluded(session, input->key)) continue;
    if (!store_path_parse(input->key, dir, &target.path, err)) return false;
    for (size_t j = 0; j < input->output_count; j++) {
      target.output = arena_dup(&session->arena, input->outputs[j]);
      build_command_list_add(ret, &target);
    }
  }
  for (size_t i = 0; i < drv->input_src_count; i++) {
    BuildTarget target = {.is_drv = false};
    if (!store_path_parse(drv->input_srcs[i], dir, &target.path, err)) return false;
    build_command_list_add(ret, &target);
  }
  return true;
}

static bool materialise(Store *store, const BuildTargetList *targets, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  for (size_t i = 0; i < targets->count; i++)
    if (targets->items[i].built) store_path_list_add(&paths, &targets->items[i].out_path);
  bool ok = store_materialise_closure(store, paths.paths, paths.count, err);
  store_path_list_done(&paths);
  return ok;
}

// ---- what the shell sees

// --pure leaves these, and those of --keep.
static const char *const kept_names[] = {"HOME",           "XDG_RUNTIME_DIR",
                                         "USER",           "LOGNAME",
                                         "DISPLAY",        "WAYLAND_DISPLAY",
                                         "WAYLAND_SOCKET", "PATH",
                                         "TERM",           "TZ",
                                         "PAGER",          "SHLVL",
                                         "IN_NIX_SHELL",   "NIX_SHELL_PRESERVE_PROMPT",
                                         "http_proxy",     "https_proxy",
                                         "ftp_proxy",      "all_proxy",
                                         "no_proxy",       "HTTP_PROXY",
                                         "HTTPS_PROXY",    "FTP_PROXY",
                                         "ALL_PROXY",      "NO_PROXY",
                                         "NIX_BUILD_SHELL"};

static void purify(Session *session, EnvVars *env) {
  Map names CLEANUP(map_done) = MAP_INIT;
  for (size_t i = 0; i < ARRAY_LEN(kept_names); i++) map_set(&names, span_cstr(kept_names[i]), NULL);
  for (size_t i = 0; i < session->options.use_count; i++)
    if (session->options.uses[i].id == OPT_keep) map_set(&names, span_cstr(session->options.uses[i].args[0]), NULL);
  env_vars_keep_only(env, &names);
  // NixOS: /etc/bashrc is not to read /etc/profile.
  env_vars_set_cstr(env, "__ETC_PROFILE_SOURCED", "1");
}

typedef struct Shell {
  Session *session;
  const Derivation *drv;
  StorePath drv_path;
  const char *tmp_dir; // in the session's arena
  const char *bash;
  bool pure, interactive;
  EnvVars env;
  Buf attrs; // the text of .attrs.sh
} Shell;

static bool passes_as_file(const Derivation *drv, Span name) {
  const DerivationEnv *list = derivation_find_env((Derivation *)(uintptr_t)drv, SPAN("passAsFile"));
  Span rest = list ? list->value : SPAN(""), word;
  for (bool more = rest.len > 0; more;) {
    more = span_split(&rest, ' ', &word);
    if (span_eq(span_trim(word), name)) return true;
  }
  return false;
}

static bool put_attributes(Shell *shell, Err *err) {
  int file_count = 0;
  for (size_t i = 0; i < shell->drv->env_count; i++) {
    const DerivationEnv *variable = &shell->drv->env[i];
    if (!passes_as_file(shell->drv, variable->name)) {
      env_vars_set(&shell->env, variable->name, variable->value);
      continue;
    }
    Arena *arena = &shell->session->arena;
    char *path = arena_printf(arena, "%s/.attr-%d", shell->tmp_dir, file_count++);
    char *name = arena_printf(arena, "%.*sPath", SPAN_ARG(variable->name));
    if (!fs_write_file_atomic(path, variable->value, 0644, false, err)) return false;
    env_vars_set_cstr(&shell->env, name, path);
  }
  return true;
}

// .attrs.json and .attrs.sh as a builder gets them.
static bool put_structured(Shell *shell, const BuildTargetList *inputs, Err *err) {
  Session *session = shell->session;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Store *store;
  DrvOptions options;
  DerivationType type;
  BuildPrepared prepared;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  store_path_format(&shell->drv_path, session_store_dir(session), &path);
  if (!session_store(session, &store, err) || !derivation_type(shell->drv, &type, err) ||
      !drv_options_read(shell->drv, buf_span(&path), &arena, &options, err))
    return false;
  if (!options.structured) return true;
  StorePath *outputs = ARENA_ARRAY(&arena, StorePath, inputs->count);
  size_t count = 0;
  for (size_t i = 0; i < inputs->count; i++)
    if (inputs->items[i].is_drv && inputs->items[i].built) outputs[count++] = inputs->items[i].out_path;
  BuildPrepareInput input = {.store = store,
                             .drv = shell->drv,
                             .drv_path = &shell->drv_path,
                             .options = &options,
                             .type = type,
                             .build_dir = span_cstr(shell->tmp_dir),
                             .cores = 1,
                             .input_outputs = outputs,
                             .input_output_count = count};
  if (!build_prepare_run(&input, &arena, &prepared, err)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < prepared.request.file_count; i++) {
    const BuildFile *file = &prepared.request.files[i];
    Span base = fs_path_base(file->path);
    bool is_sh = span_eq_cstr(base, ".attrs.sh");
    if (!is_sh && !span_eq_cstr(base, ".attrs.json")) continue;
    char *target = arena_printf(&session->arena, "%s/%.*s", shell->tmp_dir, SPAN_ARG(base));
    ok = fs_write_file_atomic(target, file->content, 0644, false, err);
    env_vars_set_cstr(&shell->env, is_sh ? "NIX_ATTRS_SH_FILE" : "NIX_ATTRS_JSON_FILE", target);
    if (is_sh) buf_put_span(&shell->attrs, file->content);
  }
  store_path_list_done(&prepared.closure);
  return ok;
}

static bool fill_env(Shell *shell, const BuildTargetList *inputs, Err *err) {
  static const char *const dirs[] = {"NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP"};
  Session *session = shell->session;
  env_vars_inherit(&shell->env);
  if (shell->pure) purify(session, &shell->env);
  for (size_t i = 0; i < ARRAY_LEN(dirs); i++) env_vars_set_cstr(&shell->env, dirs[i], shell->tmp_dir);
  env_vars_set(&shell->env, SPAN("NIX_STORE"), session_store_dir(session));
  env_vars_set_cstr(&shell->env, "NIX_BUILD_CORES", arena_printf(&session->arena, "%u", session_cores(session)));
  if (!put_attributes(shell, err)) return false;
  return !env_vars_get(&shell->env, "__json") || put_structured(shell, inputs, err);
}

// What --run, --command and `-i` of a script have the shell do.
static const char *wanted_command(Shell *shell) {
  const OptionList *options = &shell->session->options;
  const char *text = NULL;
  for (size_t i = 0; i < options->use_count; i++) {
    const OptionUse *use = &options->uses[i];
    if (use->id == OPT_run || use->id == OPT_shell_command)
      text = arena_printf(&shell->session->arena, "%s\nexit", use->args[0]);
    if (use->id == OPT_interpreter)
      text = shebang_command(&shell->session->shebang, use->args[0], &shell->session->arena);
    if (use->id == OPT_run || use->id == OPT_interpreter) shell->interactive = false;
  }
  return text ? text : "";
}

// The start-up file of the shell.
static void put_rc(Shell *shell, const char *command, Buf *rc) {
  Buf dir CLEANUP(buf_done) = BUF_INIT, bash CLEANUP(buf_done) = BUF_INIT, bash_dir CLEANUP(buf_done) = BUF_INIT;
  const char *tz = getenv("TZ");
  env_vars_quote(&dir, span_cstr(shell->tmp_dir));
  env_vars_quote(&bash, span_cstr(shell->bash));
  env_vars_quote(&bash_dir, fs_path_dir(span_cstr(shell->bash)));
  buf_printf(rc, "_nix_shell_clean_tmpdir() { command rm -rf %s; };", buf_cstr(&dir));
  buf_put_cstr(rc, "trap _nix_shell_clean_tmpdir EXIT; exitHooks+=(_nix_shell_clean_tmpdir); "
                   "failureHooks+=(_nix_shell_clean_tmpdir); ");
  if (!shell->pure) buf_put_cstr(rc, "[ -n \"$PS1\" ] && [ -e ~/.bashrc ] && source ~/.bashrc;p=$PATH; ");
  // PATH is what set-up makes of nothing, with the user's behind it unless --pure.
  buf_put_cstr(rc, "unset PATH;dontAddDisableDepTrack=1;\n");
  buf_put_span(rc, buf_span(&shell->attrs));
  buf_put_cstr(rc, "\n[ -e $stdenv/setup ] && source $stdenv/setup; ");
  if (!shell->pure) buf_put_cstr(rc, "PATH=$PATH:$p; unset p; ");
  buf_printf(rc, "PATH=%s:\"$PATH\"; SHELL=%s; BASH=%s; set +e; ", buf_cstr(&bash_dir), buf_cstr(&bash),
             buf_cstr(&bash));
  buf_printf(rc,
             "[ -n \"$PS1\" -a -z \"$NIX_SHELL_PRESERVE_PROMPT\" ] && "
             "PS1='\\n\\[\\033[1;%dm\\][nix-shell:\\w]\\$\\[\\033[0m\\] '; ",
             geteuid() == 0 ? 31 : 32);
  buf_put_cstr(rc, "if [ \"$(type -t runHook)\" = function ]; then runHook shellHook; fi; unset NIX_ENFORCE_PURITY; "
                   "shopt -u nullglob; unset TZ; ");
  if (tz) {
    buf_put_cstr(rc, "export TZ=");
    env_vars_quote(rc, span_cstr(tz));
    buf_put_cstr(rc, "; ");
  }
  buf_put_cstr(rc, "shopt -s execfail;");
  buf_put_cstr(rc, command);
}

static int enter(Shell *shell) {
  Session *session = shell->session;
  Err err = ERR_INIT;
  Buf rc CLEANUP(buf_done) = BUF_INIT;
  const char *command = wanted_command(shell);
  put_rc(shell, command, &rc);
  char *file = arena_printf(&session->arena, "%s/rc", shell->tmp_dir);
  if (!fs_write_file_atomic(file, buf_span(&rc), 0644, false, &err)) return session_fail(session, &err);
  const char *argv[] = {"bash", shell->interactive ? "--rcfile" : file, shell->interactive ? file : NULL, NULL};
  return store_exec_run(session, shell->bash, argv, &shell->env, NULL);
}

// Where paths of inputs follow from their content, the builder would see those in place of placeholders.
static bool resolve(Shell *shell, const BuildTargetList *inputs, Err *err) {
  Session *session = shell->session;
  if (!session_has_feature(session, "ca-derivations") || option_has(&session->options, OPT_exclude)) return true;
  // Known outputs mean that the inputs' are known too; and as another derivation it would have others.
  if (shell->drv->output_count && shell->drv->outputs[0].kind == DERIVATION_INPUT_ADDRESSED) return true;
  DrvResolveInput *used = ARENA_ARRAY(&session->arena, DrvResolveInput, inputs->count);
  Derivation *resolved = ARENA_ARRAY(&session->arena, Derivation, 1);
  DerivationSealed sealed;
  size_t count = 0;
  for (size_t i = 0; i < inputs->count; i++) {
    const BuildTarget *input = &inputs->items[i];
    if (input->is_drv && input->built)
      used[count++] = (DrvResolveInput){.drv_path = input->path, .path = input->out_path, .output = input->output};
  }
  if (!drv_resolve_make(shell->drv, used, count, session_store_dir(session), &session->arena, resolved, &sealed, err))
    return false;
  shell->drv = resolved;
  return true;
}

static int run_shell(Shell *shell) {
  Session *session = shell->session;
  Err err = ERR_INIT;
  Store *store;
  Buf tmp CLEANUP(buf_done) = BUF_INIT, bash CLEANUP(buf_done) = BUF_INIT;
  BuildTargetList inputs CLEANUP(build_command_list_done) = {0};
  BuildTarget bash_target;
  const char *given = getenv("NIX_BUILD_SHELL");
  int code = 0;
  if (!find_drv(session, &shell->drv_path, &code)) return code;
  shell->drv = session_derivation(session, &shell->drv_path, &err);
  if (!shell->drv || !add_inputs(session, shell->drv, &inputs, &err)) return session_fail(session, &err);
  bool has_bash = !given && find_bash(session, &bash_target);
  if (has_bash) build_command_list_add(&inputs, &bash_target);
  code = build_command_build(session, &inputs, SCHEDULER_NORMAL, false);
  if (code || option_has(&session->options, OPT_dry_run)) return code;
  if (!session_store(session, &store, &err) || !materialise(store, &inputs, &err) || !resolve(shell, &inputs, &err))
    return session_fail(session, &err);
  shell->bash = given ? given : "bash";
  if (has_bash) {
    store_path_format(&inputs.items[inputs.count - 1].out_path, session_store_dir(session), &bash);
    shell->bash = arena_printf(&session->arena, "%s/bin/bash", buf_cstr(&bash));
  }
  const char *parent = getenv("TMPDIR");
  if (!fs_make_temp_dir(parent && *parent ? parent : "/tmp", "nix-shell", &tmp, &err))
    return session_fail(session, &err);
  shell->tmp_dir = arena_dup(&session->arena, buf_span(&tmp)).data;
  code = fill_env(shell, &inputs, &err) ? enter(shell) : session_fail(session, &err);
  // Only when no shell was started: it removes the folder itself.
  Err ignored = ERR_INIT;
  if (!fs_remove_tree(buf_cstr(&tmp), &ignored)) err_done(&ignored);
  return code;
}

int nix_shell_command_run(Session *session) {
  Shell shell = {.session = session, .env = ENV_VARS_INIT, .attrs = BUF_INIT};
  for (size_t i = 0; i < session->options.use_count; i++) { // the last one counts
    if (session->options.uses[i].id == OPT_pure) shell.pure = true;
    if (session->options.uses[i].id == OPT_impure) shell.pure = false;
  }
  shell.interactive = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
  // Packages look at it (lib.inNixShell).
  setenv("IN_NIX_SHELL", shell.pure ? "pure" : "impure", 1);
  int code = run_shell(&shell);
  env_vars_done(&shell.env);
  buf_done(&shell.attrs);
  return code;
}
