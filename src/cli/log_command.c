// log_command.c: `firn log`, `nix log`, `nix-store --read-log`: the stored log of a build, by derivation or by output.
#include "cli/log_command.h"

#include "base/fs.h"
#include "base/log.h"
#include "build/build_log.h"
#include "cli/cache_target.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "cli/store_command.h"
#include "cli/substitution.h"

// Appends the log of one derivation; *ret_found false when there is none.
static bool read_log(Store *store, const StorePath *drv, Buf *ret, bool *ret_found, Err *err) {
  static const char *const suffixes[] = {".zst", ".bz2", ""};
  Buf base CLEANUP(buf_done) = BUF_INIT, dir CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  store_path_format_base(drv, &base);
  buf_printf(&dir, "%s/var/log/nix", store_root(store));
  build_log_put_path(buf_span(&dir), buf_span(&base), &path);
  // The path ends in ".zst"; C++ Nix writes others.
  size_t stem = path.len - strlen(suffixes[0]);
  *ret_found = false;
  for (size_t i = 0; i < ARRAY_LEN(suffixes) && !*ret_found; i++) {
    path.len = stem;
    buf_put_cstr(&path, suffixes[i]);
    if (!fs_exists(buf_cstr(&path))) continue;
    *ret_found = true;
    if (!build_log_read(buf_cstr(&path), ret, err)) return false;
  }
  return true;
}

// ---- nix-store --read-log: of a derivation, or of what made a path

static bool find_log(Store *store, const StorePath *path, Buf *out, bool *ret_found, Err *err) {
  StorePathList derivers = STORE_PATH_LIST_INIT;
  bool ok = true;
  *ret_found = false;
  if (store_path_is_derivation(path)) {
    store_path_list_add(&derivers, path);
  } else {
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    ok = store_find(store, path, &record, err);
    if (ok && record && record->info.has_deriver) store_path_list_add(&derivers, &record->info.deriver);
    ok = ok && (!record || store_derivers(store, path, &derivers, err));
  }
  for (size_t i = 0; ok && i < derivers.count && !*ret_found; i++)
    ok = read_log(store, &derivers.paths[i], out, ret_found, err);
  store_path_list_done(&derivers);
  return ok;
}

// As find_log, in a store or a cache.
static bool find_log_in(StoreView *view, const StorePath *path, Buf *out, bool *ret_found, Err *err) {
  const StoreViewInfo *info;
  if (store_view_store(view)) return find_log(store_view_store(view), path, out, ret_found, err);
  StorePath drv = *path;
  *ret_found = false;
  if (!store_path_is_derivation(path)) {
    if (!store_view_find(view, path, &info, err)) return false;
    if (!info || !info->info.has_deriver) return true;
    drv = info->info.deriver;
  }
  return binary_cache_get_log(store_view_cache(view), &drv, out, ret_found, err);
}

static bool show(Session *session, Store *store, const char *operand, Buf *out, Err *err) {
  Buf real CLEANUP(buf_done) = BUF_INIT;
  StorePath path;
  Span rest;
  bool found = false;
  if (!store_command_follow(session, operand, &real, err) ||
      !store_path_split(buf_span(&real), session_store_dir(session), &path, &rest, err) ||
      !find_log(store, &path, out, &found, err))
    return false;
  return found ||
         err_set(err, ERR_NOT_FOUND, "build log of derivation '%.*s' is not available", SPAN_ARG(buf_span(&real)));
}

int log_command_read(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++)
    if (!show(session, store, session->options.operands[i], &out, &err)) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- nix log: of one package or path; caches are asked, too

static bool is_evaluated(const Session *session) {
  return option_get(&session->options, OPT_file) || option_get(&session->options, OPT_expr);
}

// As C++ Nix names it: an attribute without the outputs that were chosen.
static const char *what(Session *session) {
  if (session->options.operand_count == 0) return "";
  Span operand = span_cstr(session->options.operands[0]), head;
  if (!is_evaluated(session)) return operand.data;
  (void)span_split(&operand, '^', &head);
  return arena_dup(&session->arena, head).data;
}

// What was meant: the derivation of an attribute or of "x.drv^out", else the path itself.
static bool log_target(Session *session, StorePath *ret, int *ret_code) {
  Err err = ERR_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  // Without an attribute the whole expression is meant.
  if (!store_command_operands(session, is_evaluated(session) ? 0 : 1, 1, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!path_selector_targets(session, 0, &targets, ret_code)) return false;
  size_t count = 1;
  for (size_t i = 1; i < targets.count; i++)
    count += !store_path_eq(&targets.items[i].path, &targets.items[i - 1].path);
  *ret = targets.items[0].path;
  if (count == 1) return true;
  err_set(&err, ERR_OTHER, "installable '%s' evaluates to %zu derivations, where only one is expected", what(session),
          count);
  return *ret_code = session_fail(session, &err), false;
}

static bool show_from(Session *session, const char *url, const StorePath *path, Buf *out, bool *ret_found, Err *err) {
  StoreView *view;
  if (!store_view_open(session, url, &view, err)) return false;
  bool ok = find_log_in(view, path, out, ret_found, err);
  if (ok && *ret_found) log_msg(LOG_INFO, "got build log for '%s' from '%s'", what(session), store_view_uri(view));
  store_view_free(view);
  return ok;
}

int log_command_run(Session *session) {
  Err err = ERR_INIT;
  StorePath path;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool found = false;
  int code = 0;
  if (!log_target(session, &path, &code)) return code;
  bool ok = show_from(session, NULL, &path, &out, &found, &err);
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_substituters)), word;
  while (ok && !found && substitution_is_on(session) && setting_next_word(&rest, &word)) {
    if (show_from(session, arena_dup(&session->arena, word).data, &path, &out, &found, &err)) continue;
    if (err.kind == ERR_INTERRUPTED) ok = false;
    else {
      log_warn("%s", err_message(&err)); // another cache may have it
      err_done(&err);
    }
  }
  if (ok && !found) ok = err_set(&err, ERR_NOT_FOUND, "build log of '%s' is not available", what(session));
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- nix store copy-log

static bool write_log(StoreView *to, BinaryCache *cache, const StorePath *drv, Span log, Err *err) {
  Buf dir CLEANUP(buf_done) = BUF_INIT, base CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  if (cache) return binary_cache_put_log(cache, drv, log, err);
  store_path_format_base(drv, &base);
  buf_printf(&dir, "%s/var/log/nix", store_root(store_view_store(to)));
  build_log_put_path(buf_span(&dir), buf_span(&base), &path);
  if (fs_exists(buf_cstr(&path))) return true;
  BuildLog *written = build_log_new(&(BuildLogConfig){.path = buf_cstr(&path)});
  bool ok = build_log_feed(written, log) && build_log_close(written, err);
  build_log_free(written);
  return ok;
}

static bool copy_logs(Session *session, StoreView *from, StoreView *to, BinaryCache *cache, const StorePathList *drvs,
                      Err *err) {
  for (size_t i = 0; i < drvs->count; i++) {
    Buf log CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
    bool found;
    if (!find_log_in(from, &drvs->paths[i], &log, &found, err)) return false;
    store_path_format(&drvs->paths[i], session_store_dir(session), &text);
    if (!found) return err_set(err, ERR_NOT_FOUND, "build log for '%s' is not available", buf_cstr(&text));
    if (!write_log(to, cache, &drvs->paths[i], buf_span(&log), err)) return false;
  }
  return true;
}

int log_command_copy(Session *session) {
  Err err = ERR_INIT;
  const char *from_url = option_get(&session->options, OPT_copy_from),
             *to_url = option_get(&session->options, OPT_copy_to);
  StoreView *from = NULL, *to = NULL;
  CacheTarget target CLEANUP(cache_target_done) = {.cache = NULL};
  StorePathList drvs = STORE_PATH_LIST_INIT;
  int code = 0;
  bool to_cache = to_url && store_view_is_cache_url(to_url);
  bool ok = from_url || to_url || err_set(&err, ERR_USAGE, "you must pass '--from' and/or '--to'");
  ok = ok && store_view_open(session, from_url, &from, &err);
  if (ok && to_cache) {
    ok = cache_target_open(session, to_url, &target, &err);
  } else if (ok) {
    ok = store_view_open(session, to_url, &to, &err);
  }
  ok = ok && path_selector_drvs(session, &drvs, &code) && copy_logs(session, from, to, target.cache, &drvs, &err);
  store_path_list_done(&drvs);
  store_view_free(to);
  store_view_free(from);
  return ok ? 0 : code ? code : session_fail(session, &err);
}
