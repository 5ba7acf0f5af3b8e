// profile_command.c: `nix profile`: packages in profiles whose manifest is JSON. Behaviour and wording: Nix 2.26, nix/profile.cc.
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/installable.h"
#include "cli/path_command.h"
#include "cli/profile_manifest.h"
#include "cli/store_command.h"
#include "formats/derivation.h"

static bool wanted_profile(Session *session, const char **ret, Err *err) {
  const char *given = option_get(&session->options, OPT_profile_path);
  if (given) return *ret = session_absolute(session, given), true;
  return user_env_default_profile(session, ret, err);
}

// The profile and what it holds. False: the error has been printed.
static bool open_profile(Session *session, const char **ret, ProfileManifest *ret_manifest, int *ret_code) {
  Err err = ERR_INIT;
  if (!wanted_profile(session, ret, &err)) return *ret_code = session_fail(session, &err), false;
  return profile_manifest_read(session, *ret, ret_manifest, ret_code);
}

static bool colours(void) {
  return isatty(STDOUT_FILENO) && progress_may_colour();
}

// ---- a new version

// The element that a file of a conflict belongs to; from the end with `last`.
static const ProfileElement *owner_of(const ProfileManifest *manifest, const BuildEnvConflict *conflict, bool last,
                                      Span *ret_file) {
  Span files[2] = {buf_span(&conflict->former), buf_span(&conflict->other)};
  for (size_t i = 0; i < manifest->count; i++) {
    const ProfileElement *element = &manifest->items[last ? manifest->count - 1 - i : i];
    for (size_t j = 0; j < element->path_count; j++)
      for (size_t k = 0; k < 2; k++)
        if (span_has_prefix(files[k], element->paths[j])) return *ret_file = files[k], element;
  }
  return NULL;
}

static void describe_conflict(Session *session, const ProfileManifest *manifest, const BuildEnvConflict *conflict,
                              Err *err) {
  Span old_file, new_file;
  Buf packages CLEANUP(buf_done) = BUF_INIT;
  const ProfileElement *old = owner_of(manifest, conflict, false, &old_file),
                       *new = owner_of(manifest, conflict, true, &new_file);
  if (!old || !new) return;
  if (new->source.kind == JSON_TREE_OBJECT) buf_put_span(&packages, profile_manifest_identifier(session, new));
  for (size_t i = 0; new->source.kind != JSON_TREE_OBJECT &&i < new->path_count; i++)
    buf_printf(&packages, "%s%.*s", i ? " " : "", SPAN_ARG(new->paths[i]));
  err_done(err);
  err_set(err, ERR_OTHER,
          "An existing package already provides the following file:\n\n  %.*s\n\n"
          "This is the conflicting file from the new package:\n\n  %.*s\n\n"
          "To remove the existing package:\n\n  nix profile remove %.*s\n\n"
          "The new package can also be installed next to the existing one by assigning a different priority.\n"
          "The conflicting packages have a priority of %d.\n"
          "To prioritise the new package:\n\n  nix profile install %s --priority %d\n\n"
          "To prioritise the existing package:\n\n  nix profile install %s --priority %d",
          SPAN_ARG(old_file), SPAN_ARG(new_file), SPAN_ARG(old->name), conflict->priority, buf_cstr(&packages),
          conflict->priority - 1, buf_cstr(&packages), conflict->priority + 1);
}

static int update(Session *session, const char *profile, const ProfileManifest *manifest) {
  Err err = ERR_INIT;
  Store *store;
  StorePath path;
  BuildEnvConflict conflict CLEANUP(build_env_conflict_done) = BUILD_ENV_CONFLICT_INIT;
  bool ok = session_store(session, &store, &err) && profile_manifest_build(session, manifest, &path, &conflict, &err) &&
            profile_set(store, profile, &path, &err);
  if (ok) return 0;
  if (conflict.former.len) describe_conflict(session, manifest, &conflict, &err);
  return session_fail(session, &err);
}

// ---- install

// What one operand means: an element without a path, and which of the targets are its own.
typedef struct Group {
  size_t first, count;
} Group;

static bool find_groups(Session *session, BuildTargetList *ret, Group *groups, size_t count, int *ret_code) {
  const OptionList *options = &session->options;
  for (size_t i = 0; i < count; i++) {
    InstallableQuery query = {.operands = options->operands + i, .count = options->operand_count ? 1 : 0};
    groups[i].first = ret->count;
    if (!installable_find(session, &query, ret, ret_code)) return false;
    groups[i].count = ret->count - groups[i].first;
  }
  return true;
}

static void add_group(Session *session, const BuildTargetList *targets, const Group *group, int64_t priority,
                      ProfileManifest *manifest) {
  ProfileElement element = {.active = true, .priority = priority, .source = {.kind = JSON_TREE_NULL}};
  element.paths = ARENA_ARRAY(&session->arena, Span, group->count + 1);
  for (size_t i = 0; i < group->count; i++) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&targets->items[group->first + i].out_path, session_store_dir(session), &path);
    element.paths[element.path_count++] = arena_dup(&session->arena, buf_span(&path));
  }
  derivation_sort_spans(element.paths, &element.path_count);
  element.name = profile_manifest_identifier(session, &element);
  profile_manifest_add(session, manifest, element);
}

int profile_command_install(Session *session) {
  const OptionList *options = &session->options;
  const char *profile, *given = option_get(options, OPT_profile_priority);
  Err err = ERR_INIT;
  int64_t priority = PROFILE_MANIFEST_PRIORITY;
  int code = 0;
  ProfileManifest manifest CLEANUP(profile_manifest_done) = {0};
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  if (given && !span_parse_i64(span_cstr(given), &priority)) {
    err_set(&err, ERR_USAGE, "'--priority' needs an integer, not '%s'", given);
    return session_fail(session, &err);
  }
  if (!open_profile(session, &profile, &manifest, &code)) return code;
  size_t count = options->operand_count ? options->operand_count : 1;
  Group *groups = ARENA_ARRAY(&session->arena, Group, count);
  if (!find_groups(session, &targets, groups, count, &code)) return code;
  code = build_command_build(session, &targets, SCHEDULER_NORMAL, false);
  if (code || option_has(options, OPT_dry_run)) return code;
  for (size_t i = 0; i < count; i++) add_group(session, &targets, &groups[i], priority, &manifest);
  return update(session, profile, &manifest);
}

// ---- which packages

typedef struct Match {
  Session *session;
  const ProfileManifest *manifest;
  bool *selected;
  size_t count;
} Match;

static void select_element(Match *match, size_t i, bool *ret_found) {
  *ret_found = true;
  match->count += !match->selected[i];
  match->selected[i] = true;
}

static bool match_regex(Match *match, const char *pattern, Err *err) {
  regex_t regex;
  bool found = false;
  const char *whole = arena_printf(&match->session->arena, "^(%s)$", pattern);
  if (regcomp(&regex, whole, REG_EXTENDED | REG_ICASE | REG_NOSUB) != 0)
    return err_set(err, ERR_USAGE, "'%s' is not a regular expression", pattern);
  for (size_t i = 0; i < match->manifest->count; i++) {
    const char *name = profile_manifest_identifier(match->session, &match->manifest->items[i]).data;
    if (regexec(&regex, name, 0, NULL, 0) == 0) select_element(match, i, &found);
  }
  regfree(&regex);
  if (!found) log_warn("Regex '%s' does not match any packages in the profile.", pattern);
  return true;
}

static bool match_operand(Match *match, const char *operand, Err *err) {
  uint64_t number;
  StorePath path;
  bool found = false;
  Span text = span_cstr(operand);
  if (span_parse_u64(text, &number))
    return err_set(err, ERR_OTHER, "'nix profile' no longer supports indices ('%s')", operand);
  bool is_path = store_path_parse(text, session_store_dir(match->session), &path, NULL);
  for (size_t i = 0; i < match->manifest->count; i++) {
    const ProfileElement *element = &match->manifest->items[i];
    bool hit = !is_path && span_eq(element->name, text);
    for (size_t j = 0; is_path && j < element->path_count; j++) hit = hit || span_eq(element->paths[j], text);
    if (hit) select_element(match, i, &found);
  }
  if (!found && is_path)
    log_warn("Store path '%.*s' does not match any packages in the profile.", SPAN_ARG(fs_path_base(text)));
  else if (!found) log_warn("Package name '%s' does not match any packages in the profile.", operand);
  return true;
}

static bool select_all(Match *match) {
  bool found;
  for (size_t i = 0; i < match->manifest->count; i++) select_element(match, i, &found);
  return true;
}

// Marks what --all, --regex and the operands name.
static bool select_elements(Match *match, Err *err) {
  const OptionList *options = &match->session->options;
  size_t all = option_uses(options, OPT_profile_all), regexes = option_uses(options, OPT_profile_regex);
  uint64_t number;
  match->selected = ARENA_ARRAY(&match->session->arena, bool, match->manifest->count + 1);
  memset(match->selected, 0, match->manifest->count * sizeof(bool));
  for (size_t i = 0; i < options->operand_count; i++)
    if (span_parse_u64(span_cstr(options->operands[i]), &number))
      return match_operand(match, options->operands[i], err);
  if (!all && !regexes && !options->operand_count) return err_set(err, ERR_USAGE, "No packages specified.");
  if (all && all + regexes + options->operand_count > 1)
    return err_set(err, ERR_USAGE, "--all cannot be used with package names or regular expressions.");
  if (!match->manifest->count) {
    log_warn("There are no packages in the profile.");
    return true;
  }
  if (all) return select_all(match);
  for (size_t i = 0; i < options->use_count; i++)
    if (options->uses[i].id == OPT_profile_regex && !match_regex(match, options->uses[i].args[0], err)) return false;
  for (size_t i = 0; i < options->operand_count; i++)
    if (!match_operand(match, options->operands[i], err)) return false;
  return true;
}

// ---- remove, upgrade

// False: it failed, or nothing was selected, which is no error.
static bool open_selection(Match *match, const char *what, const char **ret_profile, ProfileManifest *ret_manifest,
                           int *ret_code) {
  Err err = ERR_INIT;
  if (!open_profile(match->session, ret_profile, ret_manifest, ret_code)) return false;
  if (!select_elements(match, &err)) return *ret_code = session_fail(match->session, &err), false;
  if (!match->count) log_warn("No packages to %s. Use 'nix profile list' to see the current profile.", what);
  return match->count > 0;
}

int profile_command_remove(Session *session) {
  const char *profile;
  int code = 0;
  ProfileManifest manifest CLEANUP(profile_manifest_done) = {0};
  Match match = {.session = session, .manifest = &manifest};
  if (!open_selection(&match, "remove", &profile, &manifest, &code)) return code;
  size_t count = manifest.count;
  for (size_t i = 0; i < count; i++)
    if (match.selected[i])
      log_msg(LOG_NOTICE, "removing '%.*s'", SPAN_ARG(profile_manifest_identifier(session, &manifest.items[i])));
  for (size_t i = count; i-- > 0;)
    if (match.selected[i]) profile_manifest_remove(&manifest, i);
  log_msg(LOG_INFO, "removed %zu packages, kept %zu packages", match.count, manifest.count);
  return update(session, profile, &manifest);
}

// Only what came from a flake can be newer, and there are no flakes.
int profile_command_upgrade(Session *session) {
  const char *profile;
  Err err = ERR_INIT;
  int code = 0;
  ProfileManifest manifest CLEANUP(profile_manifest_done) = {0};
  Match match = {.session = session, .manifest = &manifest};
  if (!open_selection(&match, "upgrade", &profile, &manifest, &code)) return code;
  size_t flakes = 0;
  for (size_t i = 0; i < manifest.count; i++) {
    Span name = profile_manifest_identifier(session, &manifest.items[i]);
    bool is_flake = manifest.items[i].source.kind == JSON_TREE_OBJECT;
    if (match.selected[i] && is_flake) {
      err_set(&err, ERR_OTHER, "'%.*s' comes from a flake, and flakes are not supported: it cannot be upgraded",
              SPAN_ARG(name));
      code = session_fail(session, &err);
      flakes++;
    } else if (match.selected[i]) {
      log_warn("Found package '%.*s', but it was not installed from a flake, so it can't be checked for upgrades!",
               SPAN_ARG(name));
    }
  }
  if (!flakes) log_warn("Found some packages but none of them could be upgraded.");
  return code;
}

// ---- list, history, diff-closures

static void put_element(Session *session, const ProfileElement *element, bool colour, Buf *ret) {
  const JsonTree *source = &element->source;
  buf_printf(ret, "Name:               %s%.*s%s", colour ? "\033[1m" : "", SPAN_ARG(element->name),
             colour ? "\033[0m" : "");
  if (!element->active) buf_printf(ret, " %s(inactive)%s", colour ? "\033[31;1m" : "", colour ? "\033[0m" : "");
  buf_put_char(ret, '\n');
  if (source->kind == JSON_TREE_OBJECT) {
    Span whole = profile_manifest_identifier(session, element);
    size_t hash = span_find_char(whole, '#');
    buf_printf(ret, "Flake attribute:    %.*s\n", SPAN_ARG(span_from(whole, hash + 1)));
    buf_printf(ret, "Original flake URL: %.*s\n", SPAN_ARG(json_tree_get(source, SPAN("originalUrl"))->string));
    buf_printf(ret, "Locked flake URL:   %.*s\n", SPAN_ARG(json_tree_get(source, SPAN("url"))->string));
  }
  buf_put_cstr(ret, "Store paths:        ");
  for (size_t i = 0; i < element->path_count; i++) buf_printf(ret, "%s%.*s", i ? " " : "", SPAN_ARG(element->paths[i]));
  buf_put_char(ret, '\n');
}

int profile_command_list(Session *session) {
  const char *profile;
  Err err = ERR_INIT;
  int code = 0;
  ProfileManifest manifest CLEANUP(profile_manifest_done) = {0};
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!store_command_operands(session, 0, 0, &err)) return session_fail(session, &err);
  if (!open_profile(session, &profile, &manifest, &code)) return code;
  if (option_has(&session->options, OPT_profile_json)) {
    if (!profile_manifest_format(&manifest, &out, &err)) return session_fail(session, &err);
    buf_put_char(&out, '\n');
  }
  for (size_t i = 0; i < manifest.count && !option_has(&session->options, OPT_profile_json); i++) {
    if (i) buf_put_char(&out, '\n');
    put_element(session, &manifest.items[i], colours(), &out);
  }
  session_print(session, buf_span(&out));
  return 0;
}

static bool list_generations(Session *session, ProfileGenerations *ret, int *ret_code) {
  const char *profile;
  Err err = ERR_INIT;
  if (store_command_operands(session, 0, 0, &err) && wanted_profile(session, &profile, &err) &&
      profile_list(profile, ret, &err))
    return true;
  return *ret_code = session_fail(session, &err), false;
}

int profile_command_history(Session *session) {
  ProfileGenerations list CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  ProfileManifest before CLEANUP(profile_manifest_done) = {0};
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool colour = colours();
  int code = 0;
  if (!list_generations(session, &list, &code)) return code;
  for (size_t i = 0; i < list.count; i++) {
    const ProfileGeneration *generation = &list.items[i];
    ProfileManifest now = {0};
    time_t created = (time_t)generation->created_s;
    struct tm date;
    if (!profile_manifest_read(session, generation->link, &now, &code)) return profile_manifest_done(&now), code;
    gmtime_r(&created, &date);
    bool current = list.has_current && list.current == generation->number;
    buf_printf(&out, "%sVersion %s%llu%s (%04d-%02d-%02d)", i ? "\n" : "",
               !colour   ? ""
               : current ? "\033[32;1m"
                         : "\033[1m",
               (unsigned long long)generation->number, colour ? "\033[0m" : "", date.tm_year + 1900, date.tm_mon + 1,
               date.tm_mday);
    if (i) buf_printf(&out, " <- %llu", (unsigned long long)list.items[i - 1].number);
    buf_put_cstr(&out, ":\n");
    profile_manifest_put_difference(session, &before, &now, &out);
    profile_manifest_done(&before);
    before = now;
  }
  session_print(session, buf_span(&out));
  return 0;
}

int profile_command_diff_closures(Session *session) {
  ProfileGenerations list CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  Store *store;
  int code = 0;
  StorePath before, now;
  bool found;
  if (!list_generations(session, &list, &code)) return code;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < list.count; i++) {
    if (!user_env_current(session, list.items[i].link, &now, &found, &err)) return session_fail(session, &err);
    if (i) {
      buf_printf(&out, "%sVersion %llu -> %llu:\n", i > 1 ? "\n" : "", (unsigned long long)list.items[i - 1].number,
                 (unsigned long long)list.items[i].number);
      if (!path_command_put_difference(session, store, &before, &now, "  ", &out, &err))
        return session_fail(session, &err);
    }
    before = now;
  }
  session_print(session, buf_span(&out));
  return 0;
}

// ---- rollback, wipe-history

int profile_command_rollback(Session *session) {
  const OptionList *options = &session->options;
  const char *profile, *to = option_get(options, OPT_profile_to);
  Err err = ERR_INIT;
  uint64_t number, from, now;
  if (!store_command_operands(session, 0, 0, &err)) return session_fail(session, &err);
  if (to && !span_parse_u64(span_cstr(to), &number)) err_set(&err, ERR_USAGE, "'%s' is not a version of a profile", to);
  if (err_is_set(&err) || !wanted_profile(session, &profile, &err) ||
      !profile_switch(profile, to ? &number : NULL, option_has(options, OPT_profile_dry_run), &from, &now, &err))
    return session_fail(session, &err);
  log_msg(LOG_NOTICE, "switching profile from version %llu to %llu", (unsigned long long)from, (unsigned long long)now);
  return 0;
}

int profile_command_wipe(Session *session) {
  const OptionList *options = &session->options;
  const char *profile, *age = option_get(options, OPT_profile_older_than);
  ProfileDelete what CLEANUP(profile_delete_done) = PROFILE_DELETE_INIT;
  ProfileGenerations deleted CLEANUP(profile_generations_done) = PROFILE_GENERATIONS_INIT;
  Err err = ERR_INIT;
  bool dry_run = option_has(options, OPT_profile_dry_run);
  what.kind = age ? PROFILE_DELETE_OLDER_THAN : PROFILE_DELETE_OTHERS;
  if (!store_command_operands(session, 0, 0, &err) ||
      (age && !profile_parse_age(span_cstr(age), (int64_t)time(NULL), &what.before_s, &err)) ||
      !wanted_profile(session, &profile, &err) || !profile_delete(profile, &what, dry_run, &deleted, &err))
    return session_fail(session, &err);
  for (size_t i = 0; i < deleted.count; i++)
    log_msg(LOG_NOTICE, dry_run ? "would remove profile version %llu" : "removing profile version %llu",
            (unsigned long long)deleted.items[i].number);
  return 0;
}
