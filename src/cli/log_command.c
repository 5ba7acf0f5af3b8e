// log_command.c: `firn log`, `nix log`, `nix-store --read-log`: the stored log of a build, by derivation or by output.
#include "base/fs.h"
#include "build/build_log.h"
#include "cli/command_list.h"
#include "cli/store_command.h"

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

static bool show(Session *session, Store *store, const char *operand, Buf *out, Err *err) {
  Buf real CLEANUP(buf_done) = BUF_INIT;
  StorePath path;
  Span rest;
  bool found = false;
  StorePathList derivers = STORE_PATH_LIST_INIT;
  if (!store_command_follow(session, operand, &real, err) ||
      !store_path_split(buf_span(&real), session_store_dir(session), &path, &rest, err))
    return false;
  bool ok = true;
  if (store_path_is_derivation(&path)) {
    store_path_list_add(&derivers, &path);
  } else {
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    ok = store_find(store, &path, &record, err);
    if (ok && record && record->info.has_deriver) store_path_list_add(&derivers, &record->info.deriver);
    ok = ok && store_derivers(store, &path, &derivers, err);
  }
  for (size_t i = 0; ok && i < derivers.count && !found; i++)
    ok = read_log(store, &derivers.paths[i], out, &found, err);
  store_path_list_done(&derivers);
  if (ok && !found)
    return err_set(err, ERR_NOT_FOUND, "build log of derivation '%.*s' is not available", SPAN_ARG(buf_span(&real)));
  return ok;
}

int log_command_run(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (session->options.operand_count == 0) {
    err_set(&err, ERR_USAGE, "which path?");
    return session_fail(session, &err);
  }
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++)
    if (!show(session, store, session->options.operands[i], &out, &err)) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}
