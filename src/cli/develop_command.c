// develop_command.c: `nix develop` and `nix print-dev-env`: the environment of a derivation's builder, for a shell. Nix 2.26: develop.cc.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/build_environment.h"
#include "cli/command_list.h"
#include "cli/env_option.h"
#include "cli/installable.h"
#include "cli/store_exec.h"
#include "store/profile.h"

// ---- the environment

static bool one_target(Session *session, const char *operand, BuildTarget *ret, int *ret_code) {
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  InstallableQuery query = {.operands = &operand, .count = operand ? 1 : 0, .one_output = true};
  Err err = ERR_INIT;
  if (!installable_find(session, &query, &targets, ret_code)) return false;
  bool single = targets.count > 0;
  for (size_t i = 1; i < targets.count; i++)
    single = single && store_path_eq(&targets.items[i].path, &targets.items[0].path);
  if (!single) {
    err_set(&err, ERR_USAGE, "'%s' needs to evaluate to a single derivation, but it evaluated to %zu derivations",
            operand ? operand : "", targets.count);
    return *ret_code = session_fail(session, &err), false;
  }
  *ret = targets.items[0];
  return true;
}

// The derivation to start from: of a store path, what made it.
static bool find_drv(Session *session, BuildTarget *target, Err *err) {
  Store *store;
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (target->is_drv) return true;
  if (!session_store(session, &store, err) || !store_get(store, &target->path, &record, err)) return false;
  if (!record->info.has_deriver)
    return err_set(err, ERR_NOT_FOUND, "'%.*s' does not have a known deriver",
                   SPAN_ARG(store_path_name(&target->path)));
  target->path = record->info.deriver;
  target->is_drv = true;
  return true;
}

// Builds all outputs of the changed derivation; the text is in the one that is not empty.
static bool build_env(Session *session, const StorePath *drv_path, StorePath *ret, int *ret_code) {
  Err err = ERR_INIT;
  Store *store;
  BuildTargetList outputs CLEANUP(build_command_list_done) = {.keeps_status = true};
  Buf path CLEANUP(buf_done) = BUF_INIT, all CLEANUP(buf_done) = BUF_INIT;
  bool is_path;
  store_path_format(drv_path, session_store_dir(session), &all);
  buf_put_cstr(&all, "^*");
  if (!build_command_add_path(session, &outputs, buf_cstr(&all), &is_path, &err))
    return *ret_code = session_fail(session, &err), false;
  *ret_code = build_command_build(session, &outputs, SCHEDULER_NORMAL, false);
  if (*ret_code) return false;
  bool ok = session_store(session, &store, &err);
  for (size_t i = 0; ok && i < outputs.count; i++) {
    struct stat st;
    ok = store_materialise_closure(store, &outputs.items[i].out_path, 1, &err);
    buf_clear(&path);
    store_format_physical(store, &outputs.items[i].out_path, &path);
    if (!ok || lstat(buf_cstr(&path), &st) != 0 || st.st_size == 0) continue;
    *ret = outputs.items[i].out_path;
    return true;
  }
  if (ok) err_set(&err, ERR_OTHER, "get-env.sh failed to produce an environment");
  return *ret_code = session_fail(session, &err), false;
}

static bool update_profile(Session *session, const StorePath *path, Err *err) {
  Store *store;
  const char *profile = option_get(&session->options, OPT_profile);
  if (!profile) profile = option_get(&session->options, OPT_develop_profile);
  if (!profile) return true;
  profile = session_absolute(session, profile);
  return session_store(session, &store, err) && profile_set(store, profile, path, err);
}

static bool read_env(Session *session, const StorePath *path, BuildEnvironment *ret, Err *err) {
  Store *store;
  Buf text CLEANUP(buf_done) = BUF_INIT, file CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, err) || !store_materialise(store, path, 1, err)) return false;
  store_format_physical(store, path, &file);
  return fs_read_file(buf_cstr(&file), 0, &text, err) &&
         build_environment_parse(arena_dup(&session->arena, buf_span(&text)), &session->arena, ret, err);
}

static bool get_environment(Session *session, const char *operand, BuildEnvironment *ret, StorePath *ret_path,
                            int *ret_code) {
  Err err = ERR_INIT;
  BuildTarget target;
  StorePath env_drv;
  if (!one_target(session, operand, &target, ret_code)) return false;
  bool is_env = !target.is_drv && span_has_suffix(store_path_name(&target.path), SPAN("-env"));
  if (is_env) *ret_path = target.path;
  else if (!find_drv(session, &target, &err) || !build_environment_instantiate(session, &target.path, &env_drv, &err))
    return *ret_code = session_fail(session, &err), false;
  else if (!build_env(session, &env_drv, ret_path, ret_code)) return false;
  if (!update_profile(session, ret_path, &err) || !read_env(session, ret_path, ret, &err))
    return *ret_code = session_fail(session, &err), false;
  return true;
}

// ---- --redirect STORE-PATH DIR

static bool read_redirects(Session *session, BuildEnvironmentRewrite **ret, size_t *ret_count, int *ret_code) {
  Err err = ERR_INIT;
  *ret = ARENA_ARRAY(&session->arena, BuildEnvironmentRewrite, 4 * session->options.use_count + 1);
  *ret_count = 0;
  for (size_t i = 0; i < session->options.use_count; i++) {
    const OptionUse *use = &session->options.uses[i];
    if (use->id != OPT_redirect) continue;
    BuildTargetList targets CLEANUP(build_command_list_done) = {0};
    InstallableQuery query = {.operands = use->args, .count = 1, .one_output = true};
    if (!installable_find(session, &query, &targets, ret_code)) return false;
    for (size_t j = 0; j < targets.count && j < 4; j++) {
      Buf path CLEANUP(buf_done) = BUF_INIT;
      StorePath out = targets.items[j].path;
      if (targets.items[j].is_drv) {
        const Derivation *drv = session_derivation(session, &out, &err);
        if (!drv) return *ret_code = session_fail(session, &err), false;
        buf_put_span(&path, derivation_find_output(drv, targets.items[j].output)->path);
      } else {
        store_path_format(&out, session_store_dir(session), &path);
      }
      (*ret)[(*ret_count)++] = (BuildEnvironmentRewrite){arena_dup(&session->arena, buf_span(&path)),
                                                         span_cstr(session_absolute(session, use->args[1]))};
    }
  }
  return true;
}

static bool make_script(Session *session, const BuildEnvironment *environment, Span files_dir, Buf *ret,
                        int *ret_code) {
  Err err = ERR_INIT;
  BuildEnvironmentRewrite *redirects;
  size_t count;
  if (!read_redirects(session, &redirects, &count, ret_code)) return false;
  const char *outputs = session_absolute(session, "outputs");
  if (build_environment_format_script(environment, span_cstr(outputs), files_dir, redirects, count, ret, &err))
    return true;
  return *ret_code = session_fail(session, &err), false;
}

static bool make_files_dir(Session *session, const BuildEnvironment *environment, Buf *ret, Err *err) {
  const char *parent = getenv("TMPDIR");
  if (environment->structured.kind != JSON_TREE_OBJECT) return true;
  (void)session;
  return fs_make_temp_dir(parent && *parent ? parent : "/tmp", "nix-dev-env", ret, err);
}

// ---- print-dev-env

int develop_command_print(Session *session) {
  Err err = ERR_INIT;
  BuildEnvironment environment;
  StorePath path;
  int code = 0;
  Buf text CLEANUP(buf_done) = BUF_INIT, dir CLEANUP(buf_done) = BUF_INIT;
  if (session->options.operand_count > 1) {
    err_set(&err, ERR_USAGE, "unexpected argument '%s'", session->options.operands[1]);
    return session_fail(session, &err);
  }
  const char *operand = session->options.operand_count ? session->options.operands[0] : NULL;
  if (!get_environment(session, operand, &environment, &path, &code)) return code;
  if (option_has(&session->options, OPT_develop_json)) {
    if (!build_environment_format_json(&environment, &text, &err)) return session_fail(session, &err);
  } else {
    // The folder stays: whoever reads the script needs the files.
    if (!make_files_dir(session, &environment, &dir, &err)) return session_fail(session, &err);
    if (!make_script(session, &environment, buf_span(&dir), &text, &code)) return code;
  }
  buf_put_char(&text, '\n');
  session_print(session, buf_span(&text));
  return 0;
}

// ---- develop

static const char *wanted_phase(const Session *session) {
  static const struct {
    OptionId id;
    const char *phase;
  } phases[] = {{OPT_phase_unpack, "unpack"},   {OPT_phase_configure, "configure"},
                {OPT_phase_build, "build"},     {OPT_phase_check, "check"},
                {OPT_phase_install, "install"}, {OPT_phase_installcheck, "installCheck"}};
  // The last one counts.
  const OptionList *options = &session->options;
  const char *wanted = NULL;
  for (size_t i = 0; i < options->use_count; i++) {
    if (options->uses[i].id == OPT_phase) wanted = options->uses[i].args[0];
    for (size_t j = 0; j < ARRAY_LEN(phases); j++)
      if (options->uses[i].id == phases[j].id) wanted = phases[j].phase;
  }
  return wanted;
}

static void put_prompt(Session *session, Buf *script) {
  static const struct {
    SettingId id;
    const char *before, *behind;
  } parts[] = {{SETTING_ID_bash_prompt, "PS1=", ";\n"},
               {SETTING_ID_bash_prompt_prefix, "PS1=", "\"$PS1\";\n"},
               {SETTING_ID_bash_prompt_suffix, "PS1+=", ";\n"}};
  for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
    const char *text = setting_text(session->settings, parts[i].id);
    if (!*text) continue;
    buf_printf(script, "[ -n \"$PS1\" ] && %s", parts[i].before);
    env_vars_quote(script, span_cstr(text));
    buf_put_cstr(script, parts[i].behind);
  }
}

// What the shell reads at its start: `environment`, then the phase, the command, or what a person needs.
static void put_rc(Session *session, Span environment, const char *rc_file, const char *phase, Buf *rc) {
  const char *const *command = session->options.rest;
  bool interactive = !phase && !command;
  if (interactive)
    buf_put_cstr(rc, "[ -n \"$PS1\" ] && [ -e ~/.bashrc ] && source ~/.bashrc;\nshopt -u expand_aliases\n");
  buf_put_span(rc, environment);
  if (log_level() >= LOG_DEBUG) buf_put_cstr(rc, "set -x\n");
  buf_printf(rc, "command rm -f '%s'\n", rc_file);
  if (phase) {
    buf_printf(rc, "foundMakefile=1\nrunHook %sPhase\n", phase);
  } else if (command) {
    buf_put_cstr(rc, "exec");
    for (; *command; command++) {
      buf_put_char(rc, ' ');
      env_vars_quote(rc, span_cstr(*command));
    }
    buf_put_char(rc, '\n');
  } else {
    buf_put_cstr(rc, "\nshopt -s expand_aliases\n");
    put_prompt(session, rc);
  }
}

// bashInteractive of the root, which is a package set as often as not, else of <nixpkgs>, else what PATH has.
static const char *find_bash(Session *session) {
  const char *given = getenv("NIX_BUILD_SHELL"), *nix_path = getenv("NIX_PATH");
  if (given && *given) return given;
  if (!nix_path || !strstr(nix_path, "nixpkgs")) return "bash";
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  const char *attr = "bashInteractive";
  InstallableQuery query = {.operands = &attr, .count = 1, .default_file = "<nixpkgs>", .one_output = true};
  OptionList options = session->options;
  Store *store;
  Err ignored = ERR_INIT;
  int code = 0;
  session->options.use_count = 0;
  session->options.operand_count = 0;
  bool ok = installable_find(session, &query, &targets, &code);
  session->options = options;
  ok = ok && targets.count == 1 && build_command_build(session, &targets, SCHEDULER_NORMAL, false) == 0;
  if (!ok || !session_store(session, &store, &ignored) ||
      !store_materialise_closure(store, &targets.items[0].out_path, 1, &ignored)) {
    err_done(&ignored);
    return "bash";
  }
  Buf path CLEANUP(buf_done) = BUF_INIT;
  store_path_format(&targets.items[0].out_path, session_store_dir(session), &path);
  return arena_printf(&session->arena, "%s/bin/bash", buf_cstr(&path));
}

int develop_command_run(Session *session) {
  Err err = ERR_INIT;
  BuildEnvironment environment;
  StorePath path;
  EnvVars env CLEANUP(env_vars_done) = ENV_VARS_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT, dir CLEANUP(buf_done) = BUF_INIT, rc CLEANUP(buf_done) = BUF_INIT,
           root CLEANUP(buf_done) = BUF_INIT;
  const char *phase = wanted_phase(session);
  int code = 0;
  if (phase && session->options.rest) err_set(&err, ERR_USAGE, "you cannot use both '--command' and '--phase'");
  if (session->options.operand_count > 1)
    err_set(&err, ERR_USAGE, "unexpected argument '%s'", session->options.operands[1]);
  if (err_is_set(&err)) return session_fail(session, &err);
  const char *operand = session->options.operand_count ? session->options.operands[0] : NULL;
  if (!get_environment(session, operand, &environment, &path, &code)) return code;
  if (!env_option_read(session, &env, &err)) return session_fail(session, &err);
  const char *bash = find_bash(session);
  if (!make_files_dir(session, &environment, &dir, &err)) return session_fail(session, &err);
  if (!make_script(session, &environment, buf_span(&dir), &text, &code)) return code;
  const char *parent = getenv("TMPDIR");
  const char *rc_file = arena_printf(&session->arena, "%s/nix-shell.XXXXXX", parent && *parent ? parent : "/tmp");
  int fd = mkostemp((char *)(uintptr_t)rc_file, O_CLOEXEC);
  if (fd < 0) {
    err_set(&err, ERR_IO, "cannot make '%s'", rc_file);
    return session_fail(session, &err);
  }
  put_rc(session, buf_span(&text), rc_file, phase, &rc);
  bool written = fs_write_all(fd, buf_span(&rc), &err);
  close(fd);
  if (!written) return session_fail(session, &err);
  // Keeps the environment from being collected while the shell runs.
  store_path_format(&path, session_store_dir(session), &root);
  env_vars_set_cstr(&env, "NIX_GCROOT", buf_cstr(&root));
  env_vars_set_cstr(&env, "SHELL", bash);
  const char *name = fs_path_base(span_cstr(bash)).data;
  bool interactive = !phase && !session->options.rest;
  const char *argv[] = {name, interactive ? "--rcfile" : rc_file, interactive ? rc_file : NULL, NULL};
  Span system = build_environment_get(&environment, "system");
  return store_exec_run(session, bash, argv, &env, arena_dup(&session->arena, system).data);
}
