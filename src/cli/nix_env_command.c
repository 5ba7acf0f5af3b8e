// nix_env_command.c: `nix-env`: installing packages into profiles, and generations of profiles.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/build_command.h"
#include "cli/command_list.h"
#include "cli/env_query.h"
#include "cli/env_source.h"
#include "cli/package_selector.h"
#include "cli/store_command.h"
#include "cli/user_dirs.h"
#include "formats/drv_name.h"

// ---- which profile

static bool wanted_profile(Session *session, const char **ret, Err *err) {
  const char *given = option_get(&session->options, OPT_env_profile), *env = getenv("NIX_PROFILE");
  if (!given && env && *env) given = env;
  if (given) return *ret = session_absolute(session, given), true;
  return user_env_default_profile(session, ret, err);
}

// ---- changes of what is installed: `change` makes the new elements from the old ones; it is called again when somebody else changed the profile meanwhile

typedef bool (*Change)(Session *session, const UserEnv *installed, UserEnv *ret, void *ctx, int *ret_code);

static int change_profile(Session *session, const char *profile, Change change, void *ctx) {
  Err err = ERR_INIT;
  int code = 0;
  for (bool changed = true; changed;) {
    UserEnv installed CLEANUP(user_env_done) = {0}, wanted CLEANUP(user_env_done) = {0};
    StorePath before;
    bool has_before;
    if (!user_env_current(session, profile, &before, &has_before, &err)) return session_fail(session, &err);
    if (!user_env_read(session, profile, &installed, &code) || !change(session, &installed, &wanted, ctx, &code))
      return code;
    if (option_has(&session->options, OPT_dry_run)) return 0;
    if (!user_env_install(session, &wanted, profile, &before, has_before, &changed, &code)) return code;
    if (changed) log_msg(LOG_INFO, "profile '%s' changed while we were busy; restarting", profile);
  }
  return 0;
}

static bool is_kept(const UserEnvElement *element) {
  return span_eq_cstr(user_env_flag(element, "keep"), "true");
}

static bool is_valid(Session *session, Span path) {
  bool valid = false;
  Err ignored = ERR_INIT;
  if (!store_io_is_valid(session_io(session), path, &valid, &ignored)) err_done(&ignored);
  return valid;
}

// ---- --install

static bool install(Session *session, const UserEnv *installed, UserEnv *ret, void *ctx, int *ret_code) {
  const UserEnv *added = ctx;
  Map names CLEANUP(map_done) = MAP_INIT;
  (void)ret_code;
  for (size_t i = 0; i < added->count; i++) {
    map_set(&names, drv_name_without_version(added->items[i].name), NULL);
    user_env_add(ret, &added->items[i]);
  }
  if (option_has(&session->options, OPT_remove_all)) return true;
  for (size_t i = 0; i < installed->count; i++) {
    const UserEnvElement *element = &installed->items[i];
    bool replaced = !option_has(&session->options, OPT_preserve_installed) &&
                    !option_has(&session->options, OPT_attr_path) &&
                    map_has(&names, drv_name_without_version(element->name)) && !is_kept(element);
    if (replaced) log_msg(LOG_INFO, "replacing old '%.*s'", SPAN_ARG(element->name));
    else user_env_add(ret, element);
  }
  for (size_t i = 0; i < added->count; i++) log_msg(LOG_INFO, "installing '%.*s'", SPAN_ARG(added->items[i].name));
  return true;
}

static int run_install(Session *session, const char *profile) {
  UserEnv found CLEANUP(user_env_done) = {0}, added CLEANUP(user_env_done) = {0};
  const char *priority = option_get(&session->options, OPT_priority),
             *name = option_get(&session->options, OPT_force_name);
  Err err = ERR_INIT;
  int64_t number;
  int code = 0;
  if (priority && !span_parse_i64(span_cstr(priority), &number)) {
    err_set(&err, ERR_USAGE, "'--priority' requires an integer argument");
    return session_fail(session, &err);
  }
  if (!env_source_find(session, true, NULL, &found, &code)) return code;
  for (size_t i = 0; i < found.count; i++) {
    UserEnvElement element = found.items[i];
    if (option_has(&session->options, OPT_prebuilt_only) && !is_valid(session, element.out_path)) continue;
    if (name) element.name = span_cstr(name);
    if (priority) user_env_set_flag(session, &element, "priority", priority);
    user_env_add(&added, &element);
  }
  return change_profile(session, profile, install, &added);
}

// ---- --upgrade

static int64_t priority_of(const UserEnvElement *element) {
  Package package = {.meta = element->meta};
  return package_meta_int(&package, SPAN("priority"), 0);
}

// The last of these options counts.
static OptionId upgrade_type(const OptionList *options) {
  OptionId type = OPT_lt;
  for (size_t i = 0; i < options->use_count; i++) {
    OptionId id = options->uses[i].id;
    if (id == OPT_lt || id == OPT_leq || id == OPT_eq || id == OPT_always) type = id;
  }
  return type;
}

static bool accepts(OptionId type, int order) {
  if (type == OPT_always) return true;
  if (type == OPT_eq) return order == 0;
  return type == OPT_leq ? order <= 0 : order < 0;
}

static const UserEnvElement *find_upgrade(Session *session, const UserEnvElement *old, const UserEnv *available) {
  const UserEnvElement *best = NULL;
  Span name, version, other, other_version, best_version = SPAN("");
  OptionId type = upgrade_type(&session->options);
  drv_name_parse(old->name, &name, &version);
  for (size_t i = 0; i < available->count; i++) {
    const UserEnvElement *element = &available->items[i];
    drv_name_parse(element->name, &other, &other_version);
    if (!span_eq(other, name) || priority_of(element) > priority_of(old)) continue;
    if (!accepts(type, drv_name_compare_versions(version, other_version))) continue;
    int c = -1;
    if (best) {
      int64_t a = priority_of(best), b = priority_of(element);
      c = a != b ? (b < a ? -1 : 1) : drv_name_compare_versions(best_version, other_version);
    }
    bool must_be_there = option_has(&session->options, OPT_prebuilt_only) && !element->is_broken;
    if (c >= 0 || (must_be_there && !is_valid(session, element->out_path))) continue;
    best = element;
    best_version = other_version;
  }
  return best;
}

static bool upgrade(Session *session, const UserEnv *installed, UserEnv *ret, void *ctx, int *ret_code) {
  const UserEnv *available = ctx;
  for (size_t i = 0; i < installed->count; i++) {
    const UserEnvElement *old = &installed->items[i];
    const UserEnvElement *new = is_kept(old) ? NULL : find_upgrade(session, old, available);
    if (new &&new->is_broken) return env_source_fail(session, new, ret_code);
    if (new && !span_eq(new->out_path, old->out_path)) {
      Span name, version, new_version;
      drv_name_parse(old->name, &name, &version);
      drv_name_parse(new->name, &name, &new_version);
      log_msg(LOG_INFO, "%s '%.*s' to '%.*s'",
              drv_name_compare_versions(version, new_version) <= 0 ? "upgrading" : "downgrading", SPAN_ARG(old->name),
              SPAN_ARG(new->name));
      user_env_add(ret, new);
    } else {
      user_env_add(ret, old);
    }
  }
  return true;
}

static int run_upgrade(Session *session, const char *profile) {
  UserEnv installed CLEANUP(user_env_done) = {0}, available CLEANUP(user_env_done) = {0};
  Map names CLEANUP(map_done) = MAP_INIT;
  int code = 0;
  if (!user_env_read(session, profile, &installed, &code)) return code;
  for (size_t i = 0; i < installed.count; i++) map_set(&names, drv_name_without_version(installed.items[i].name), NULL);
  if (!env_source_find(session, false, &names, &available, &code)) return code;
  return change_profile(session, profile, upgrade, &available);
}

// ---- --uninstall, --set-flag

static bool select_elements(Session *session, const char *text, const UserEnv *env, bool *selected, bool *ret_hit,
                            int *ret_code) {
  Err err = ERR_INIT;
  PackageSelector *selector = NULL;
  bool is_path = strchr(text, '/') != NULL;
  *ret_hit = false;
  if (!is_path && !package_selector_new(text, &selector, &err)) return *ret_code = session_fail(session, &err), false;
  StorePath found;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (is_path && !store_command_path(session, text, &found, &err))
    return *ret_code = session_fail(session, &err), false;
  if (is_path) store_path_format(&found, session_store_dir(session), &path);
  for (size_t i = 0; i < env->count; i++) {
    bool hit = is_path ? span_eq(env->items[i].out_path, buf_span(&path))
                       : package_selector_matches(selector, env->items[i].name);
    selected[i] = selected[i] || hit;
    *ret_hit = *ret_hit || hit;
  }
  package_selector_free(selector);
  return true;
}

// Moves elements that are selected to the end, and returns how many stay. What stays does so in the order that C++ Nix leaves it in (libstdc++'s
// std::partition), because the order is part of the environment's hash.
static size_t partition(UserEnv *env, bool *selected) {
  size_t first = 0, last = env->count;
  for (;;) {
    while (first < last && !selected[first]) first++;
    if (first == last) return first;
    last--;
    while (first < last && selected[last]) last--;
    if (first == last) return first;
    UserEnvElement element = env->items[first];
    env->items[first] = env->items[last];
    env->items[last] = element;
    selected[first++] = false;
    selected[last] = true;
  }
}

static bool uninstall(Session *session, const UserEnv *installed, UserEnv *ret, void *ctx, int *ret_code) {
  bool ok = true, hit;
  (void)ctx;
  for (size_t i = 0; i < installed->count; i++) user_env_add(ret, &installed->items[i]);
  for (size_t i = 0; ok && i < session->options.operand_count; i++) {
    bool *removed = mem_alloc_zero(ret->count + 1);
    ok = select_elements(session, session->options.operands[i], ret, removed, &hit, ret_code);
    if (ok && !hit) log_warn("selector '%s' matched no installed derivations", session->options.operands[i]);
    size_t kept = ok ? partition(ret, removed) : ret->count;
    for (size_t j = kept; j < ret->count; j++) log_msg(LOG_INFO, "uninstalling '%.*s'", SPAN_ARG(ret->items[j].name));
    ret->count = kept;
    mem_free(removed);
  }
  return ok;
}

static bool set_flag(Session *session, const UserEnv *installed, UserEnv *ret, void *ctx, int *ret_code) {
  const char **operands = session->options.operands;
  bool *selected = mem_alloc_zero(installed->count + 1);
  bool ok = true, hit;
  Err err = ERR_INIT;
  (void)ctx;
  for (size_t i = 2; ok && i < session->options.operand_count; i++) {
    ok = select_elements(session, operands[i], installed, selected, &hit, ret_code);
    if (!ok || hit || strcmp(operands[i], "*") == 0) continue;
    err_set(&err, ERR_NOT_FOUND, "selector '%s' matches no derivations", operands[i]);
    *ret_code = session_fail(session, &err);
    ok = false;
  }
  for (size_t i = 0; ok && i < installed->count; i++) {
    UserEnvElement element = installed->items[i];
    if (selected[i]) {
      log_msg(LOG_INFO, "setting flag on '%.*s'", SPAN_ARG(element.name));
      user_env_set_flag(session, &element, operands[0], operands[1]);
    }
    user_env_add(ret, &element);
  }
  mem_free(selected);
  return ok;
}

// ---- --set

static int run_set(Session *session, const char *profile) {
  UserEnv found CLEANUP(user_env_done) = {0};
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  Err err = ERR_INIT;
  Store *store;
  StoreLock *lock = NULL;
  StorePath path;
  uint64_t number;
  bool is_path;
  int code = 0;
  if (!env_source_find(session, true, NULL, &found, &code)) return code;
  if (found.count != 1) err_set(&err, ERR_USAGE, "--set requires exactly one derivation");
  if (err_is_set(&err)) return session_fail(session, &err);
  const UserEnvElement *element = &found.items[0];
  const char *text = element->drv_path.len ? arena_printf(&session->arena, "%.*s^*", SPAN_ARG(element->drv_path))
                                           : arena_dup(&session->arena, element->out_path).data;
  if (!build_command_add_path(session, &targets, text, &is_path, &err)) return session_fail(session, &err);
  code = build_command_build(session, &targets, SCHEDULER_NORMAL, true);
  if (code || option_has(&session->options, OPT_dry_run)) return code;
  if (!session_store(session, &store, &err) || !store_parse_path(store, element->out_path, &path, &err) ||
      !store_materialise_closure(store, &path, 1, &err) || !profile_lock(profile, &lock, &err))
    return session_fail(session, &err);
  bool ok = profile_add(store, profile, &path, &number, &err) && profile_switch_to(profile, number, &err);
  store_lock_release(lock);
  return ok ? 0 : session_fail(session, &err);
}

// ---- generations

static int run_list(Session *session, const char *profile) {
  ProfileGenerations generations CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  Err err = ERR_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!profile_list(profile, &generations, &err)) return session_fail(session, &err);
  user_env_format_generations(&generations, &out);
  session_print(session, buf_span(&out));
  return 0;
}

static int run_switch(Session *session, const char *profile, bool rollback) {
  Err err = ERR_INIT;
  uint64_t number, from, to;
  const OptionList *options = &session->options;
  bool dry_run = option_has(options, OPT_dry_run);
  if (!rollback && options->operand_count != 1) err_set(&err, ERR_USAGE, "exactly one argument expected");
  else if (!rollback && !span_parse_u64(span_cstr(options->operands[0]), &number))
    err_set(&err, ERR_USAGE, "expected a generation number");
  if (err_is_set(&err) || !profile_switch(profile, rollback ? NULL : &number, dry_run, &from, &to, &err))
    return session_fail(session, &err);
  log_msg(LOG_NOTICE, "switching profile from version %llu to %llu", (unsigned long long)from, (unsigned long long)to);
  return 0;
}

static int run_delete(Session *session, const char *profile) {
  ProfileDelete what CLEANUP(profile_delete_done) = PROFILE_DELETE_INIT;
  ProfileGenerations deleted CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  const OptionList *options = &session->options;
  Err err = ERR_INIT;
  bool dry_run = option_has(options, OPT_dry_run);
  Span *words = ARENA_ARRAY(&session->arena, Span, options->operand_count);
  for (size_t i = 0; i < options->operand_count; i++) words[i] = span_cstr(options->operands[i]);
  if (!profile_delete_parse(words, options->operand_count, (int64_t)time(NULL), &what, &err) ||
      !profile_delete(profile, &what, dry_run, &deleted, &err))
    return session_fail(session, &err);
  for (size_t i = 0; i < deleted.count; i++)
    log_msg(LOG_NOTICE, dry_run ? "would remove profile version %llu" : "removing profile version %llu",
            (unsigned long long)deleted.items[i].number);
  return 0;
}

// ~/.nix-profile leads to another profile from now on.
static int run_switch_profile(Session *session) {
  Err err = ERR_INIT;
  const OptionList *options = &session->options;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  user_dirs_path(session->settings, "profile", &path);
  if (options->operand_count != 1) err_set(&err, ERR_USAGE, "exactly one argument expected");
  else {
    const char *link = buf_cstr(&path);
    const char *temporary = arena_printf(&session->arena, "%s.%d", link, (int)getpid());
    const char *target = session_absolute(session, options->operands[0]);
    // Next to the link its name is enough.
    Span here = fs_path_dir(span_cstr(link));
    if (span_eq(fs_path_dir(span_cstr(target)), here))
      target = arena_dup(&session->arena, fs_path_base(span_cstr(target))).data;
    unlink(temporary);
    if (symlink(target, temporary) == 0 && rename(temporary, link) == 0) return 0;
    err_set_errno(&err, errno, "making '%s' a link to '%s'", link, target);
  }
  return session_fail(session, &err);
}

// ---- the operation

// Options that only some operations know.
static bool is_option_of(OptionId id, OptionId operation) {
  switch ((int)id) {
  case OPT_lt:
  case OPT_leq:
  case OPT_eq:
  case OPT_always: return operation == OPT_upgrade;
  case OPT_preserve_installed:
  case OPT_remove_all: return operation == OPT_install;
  case OPT_priority: return operation == OPT_install;
  case OPT_attr_path: return operation == OPT_install || operation == OPT_env_query; // -P: --preserve-installed
  case OPT_from_profile:
  case OPT_from_expression: return operation == OPT_install || operation == OPT_upgrade || operation == OPT_env_set;
  case OPT_env_attr:
    return operation == OPT_install || operation == OPT_upgrade || operation == OPT_env_set ||
           operation == OPT_env_query;
  case OPT_available:
  case OPT_installed:
  case OPT_status:
  case OPT_no_name:
  case OPT_compare_versions:
  case OPT_env_system:
  case OPT_env_drv_path:
  case OPT_env_out_path:
  case OPT_description:
  case OPT_env_meta:
  case OPT_env_xml:
  case OPT_env_json: return operation == OPT_env_query;
  default: return true;
  }
}

static bool check_options(const OptionList *options, OptionId operation, Err *err) {
  for (size_t i = 0; i < options->use_count; i++) {
    OptionId id = options->uses[i].id;
    const Option *option = &option_table[id];
    if (!is_option_of(id, operation) && options->uses[i].is_short)
      return err_set(err, ERR_USAGE, "unknown flag '-%c'", option->short_name);
    if (!is_option_of(id, operation)) return err_set(err, ERR_USAGE, "unknown flag '--%s'", option->long_name);
    if (id == OPT_env_attr && operation == OPT_env_query && options->uses[i].operand_at >= options->operand_count)
      return err_set(err, ERR_USAGE, "'-A' requires an argument");
  }
  return true;
}

int nix_env_command_run(Session *session) {
  static const OptionId operations[] = {
      OPT_install,          OPT_uninstall,          OPT_upgrade,           OPT_env_query,
      OPT_env_set,          OPT_set_flag,           OPT_switch_generation, OPT_env_rollback,
      OPT_list_generations, OPT_delete_generations, OPT_switch_profile};
  const OptionList *options = &session->options;
  Err err = ERR_INIT;
  OptionId operation = OPTION_COUNT;
  const char *profile;
  for (size_t i = 0; i < ARRAY_LEN(operations); i++) {
    if (!option_has(options, operations[i])) continue;
    if (operation != OPTION_COUNT) err_set(&err, ERR_USAGE, "only one operation may be specified");
    operation = operations[i];
  }
  if (operation == OPTION_COUNT) err_set(&err, ERR_USAGE, "no operation specified");
  if (err_is_set(&err) || !check_options(options, operation, &err)) return session_fail(session, &err);
  if (operation == OPT_set_flag && options->operand_count < 2)
    err_set(&err, ERR_USAGE, "not enough arguments to '--set-flag'");
  bool no_operands = operation == OPT_env_rollback || operation == OPT_list_generations;
  if (no_operands && options->operand_count) err_set(&err, ERR_USAGE, "no arguments expected");
  if (err_is_set(&err) || !wanted_profile(session, &profile, &err)) return session_fail(session, &err);
  env_source_make_default(session);
  if (option_has(options, OPT_dry_run)) log_msg(LOG_INFO, "(dry run; not doing anything)");
  switch ((int)operation) {
  case OPT_install: return run_install(session, profile);
  case OPT_uninstall: return change_profile(session, profile, uninstall, NULL);
  case OPT_upgrade: return run_upgrade(session, profile);
  case OPT_env_query: return env_query_run(session, profile);
  case OPT_env_set: return run_set(session, profile);
  case OPT_set_flag: return change_profile(session, profile, set_flag, NULL);
  case OPT_switch_generation: return run_switch(session, profile, false);
  case OPT_env_rollback: return run_switch(session, profile, true);
  case OPT_list_generations: return run_list(session, profile);
  case OPT_delete_generations: return run_delete(session, profile);
  default: return run_switch_profile(session);
  }
}
