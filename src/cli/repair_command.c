// repair_command.c: `nix store repair`, nix-store --repair-path, --repair of builds. The work: realise/path_repair.h.
#include "cli/repair_command.h"

#include "base/log.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "cli/store_command.h"
#include "realise/path_repair.h"

static void report(void *ctx, const char *problem, bool repaired) {
  log_msg(LOG_NOTICE, "%s%s", problem, repaired ? " (repaired)" : "");
}

static void say(Session *session, const StorePath *path, PathRepairState state) {
  static const char *const words[] = {[PATH_REPAIR_LOCAL] = "from the store itself",
                                      [PATH_REPAIR_FETCHED] = "from a substituter",
                                      [PATH_REPAIR_REBUILT] = "by building it again"};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (state == PATH_REPAIR_WHOLE) return;
  store_path_format(path, session_store_dir(session), &text);
  log_msg(LOG_NOTICE, "repaired path '%s' %s", buf_cstr(&text), words[state]);
}

int repair_command_list(Session *session, const StorePathList *paths, size_t *ret_failed) {
  Err err = ERR_INIT;
  Scheduler *scheduler;
  int code = 0;
  *ret_failed = 0;
  if (!paths->count) return 0;
  session_io(session);
  if (!session_scheduler(session, &scheduler, &err)) return session_fail(session, &err);
  PathRepair *repair = path_repair_new(scheduler, report, NULL);
  for (size_t i = 0; i < paths->count; i++) {
    PathRepairState state;
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&paths->paths[i], session_store_dir(session), &text);
    log_msg(LOG_INFO, "checking path '%s'...", buf_cstr(&text));
    if (path_repair_run(repair, &paths->paths[i], &state, &err)) {
      say(session, &paths->paths[i], state);
      continue;
    }
    code = session_fail(session, &err);
    ++*ret_failed;
  }
  path_repair_free(repair);
  return code;
}

int repair_command_run(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList paths = STORE_PATH_LIST_INIT;
  size_t failed;
  int code = 0;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  StoreView *view = store_view_of(store);
  if (path_selector_find(session, view, 0, &paths, &code)) code = repair_command_list(session, &paths, &failed);
  store_path_list_done(&paths);
  store_view_free(view);
  return code;
}

int repair_command_paths(Session *session) {
  Err err = ERR_INIT;
  StorePathList paths = STORE_PATH_LIST_INIT;
  size_t failed;
  int code = store_command_paths(session, &paths, &err) ? repair_command_list(session, &paths, &failed)
                                                        : session_fail(session, &err);
  store_path_list_done(&paths);
  return code;
}

int repair_command_targets(Session *session, const BuildTargetList *targets) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList roots = STORE_PATH_LIST_INIT, closure = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.topological = true};
  size_t failed;
  for (size_t i = 0; i < targets->count; i++)
    if (targets->items[i].built) store_path_list_add(&roots, &targets->items[i].out_path);
  store_path_list_sort(&roots);
  bool ok =
      session_store(session, &store, &err) && store_closure(store, roots.paths, roots.count, &options, &closure, &err);
  int code = ok ? repair_command_list(session, &closure, &failed) : session_fail(session, &err);
  store_path_list_done(&closure);
  store_path_list_done(&roots);
  return code;
}
