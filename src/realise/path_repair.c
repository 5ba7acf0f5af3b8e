// path_repair.c: see path_repair.h.
#include "realise/path_repair.h"

#include "base/map.h"
#include "base/mem.h"
#include "realise/drv_load.h"
#include "store/store_check.h"
#include "store/substituters.h"

struct PathRepair {
  Scheduler *scheduler;
  Store *store;
  void (*report)(void *ctx, const char *problem, bool repaired);
  void *report_ctx;
  Map seen; // digests of paths that are whole, or that are being repaired
};

PathRepair *path_repair_new(Scheduler *scheduler, void (*report)(void *ctx, const char *problem, bool repaired),
                            void *ctx) {
  PathRepair *repair = mem_alloc_zero(sizeof(*repair));
  *repair =
      (PathRepair){.scheduler = scheduler, .store = scheduler_store(scheduler), .report = report, .report_ctx = ctx};
  return repair;
}

void path_repair_free(PathRepair *repair) {
  if (!repair) return;
  map_done(&repair->seen);
  mem_free(repair);
}

static bool is_new(PathRepair *repair, const StorePath *path) {
  Span key = span_make(path->digest, sizeof(path->digest));
  if (map_has(&repair->seen, key)) return false;
  map_set(&repair->seen, key, NULL);
  return true;
}

typedef struct Look {
  const PathRepair *repair;
  bool is_damaged;
} Look;

static void on_report(void *ctx, const char *problem, bool repaired) {
  const Look *look = ctx;
  if (look->repair->report) look->repair->report(look->repair->report_ctx, problem, repaired);
}

static void on_damaged(void *ctx, const StorePath *path) {
  Look *look = ctx;
  look->is_damaged = true;
}

// Repairs what the store can repair by itself; the rest has no damaged contents left in its way.
static bool look_at(PathRepair *repair, const StorePath *path, bool *ret_damaged, bool *ret_had_problems, Err *err) {
  Look look = {.repair = repair};
  StoreCheckResult result;
  StoreCheckOptions options = {.repair = true, .report = on_report, .damaged = on_damaged, .ctx = &look};
  if (!store_check_one(repair->store, path, &options, &result, err)) return false;
  *ret_damaged = look.is_damaged;
  *ret_had_problems = result.problems > 0;
  return true;
}

// ---- building again

static bool realise(PathRepair *repair, const StorePath *drv_path, SchedulerMode mode, Err *err) {
  Scheduler *scheduler = repair->scheduler;
  SchedulerTicket ticket = scheduler_realise(scheduler, drv_path, NULL, 0, mode), done;
  while (scheduler_state(scheduler, ticket, NULL) == SCHEDULER_PENDING && scheduler_wait(scheduler, -1))
    while (scheduler_next_finished(scheduler, &done)) {
    }
  bool ok = scheduler_state(scheduler, ticket, err) == SCHEDULER_DONE;
  scheduler_drop(scheduler, ticket);
  return ok;
}

static bool repair_path(PathRepair *repair, const StorePath *path, PathRepairState *ret, Err *err);

// What the build reads: sources and outputs of other derivations with all that they refer to. One of those that are not valid is built by the scheduler.
static bool repair_inputs(PathRepair *repair, const Derivation *drv, Err *err) {
  StorePathList roots = STORE_PATH_LIST_INIT, closure = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < drv->input_src_count; i++) {
    StorePath path;
    ok = store_parse_path(repair->store, drv->input_srcs[i], &path, err);
    if (ok) store_path_list_add(&roots, &path);
  }
  for (size_t i = 0; ok && i < drv->input_drv_count; i++) {
    StorePath path;
    ok = store_parse_path(repair->store, drv->input_drvs[i].key, &path, err) &&
         store_outputs(repair->store, &path, &roots, err);
  }
  StorePathList valid = STORE_PATH_LIST_INIT;
  for (size_t i = 0; ok && i < roots.count; i++) {
    bool is_valid;
    ok = store_is_valid(repair->store, &roots.paths[i], &is_valid, err);
    if (is_valid) store_path_list_add(&valid, &roots.paths[i]);
  }
  ok = ok && store_closure(repair->store, valid.paths, valid.count, NULL, &closure, err);
  for (size_t i = 0; ok && i < closure.count; i++) {
    PathRepairState state;
    if (is_new(repair, &closure.paths[i])) ok = repair_path(repair, &closure.paths[i], &state, err);
  }
  store_path_list_done(&valid);
  store_path_list_done(&closure);
  store_path_list_done(&roots);
  return ok;
}

// --check demands that all outputs are valid; what the build leaves becomes contents of the store where that has none.
static bool build_again(PathRepair *repair, const StorePath *drv_path, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Derivation drv;
  return drv_load_from_store(repair->store, drv_path, &arena, &drv, err) && repair_inputs(repair, &drv, err) &&
         realise(repair, drv_path, SCHEDULER_NORMAL, err) && realise(repair, drv_path, SCHEDULER_CHECK, err);
}

// *ret_drv: a valid derivation that makes the path; *ret_found false: none is known.
static bool find_deriver(PathRepair *repair, const StorePath *path, StorePath *ret_drv, bool *ret_found, Err *err) {
  StorePathList derivers = STORE_PATH_LIST_INIT;
  bool ok = store_derivers(repair->store, path, &derivers, err);
  *ret_found = ok && derivers.count > 0;
  if (*ret_found) *ret_drv = derivers.paths[0];
  store_path_list_done(&derivers);
  return ok;
}

// ---- one path

static bool cannot(PathRepair *repair, const StorePath *path, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_format_path(repair->store, path, &text);
  if (err_is_set(err)) return err_wrap(err, "cannot repair path '%s'", buf_cstr(&text));
  return err_set(err, ERR_OTHER, "cannot repair path '%s'", buf_cstr(&text));
}

static bool rebuild(PathRepair *repair, const StorePath *path, Err *err) {
  StorePath drv;
  bool found, damaged, problems;
  if (!find_deriver(repair, path, &drv, &found, err)) return false;
  if (!found || !build_again(repair, &drv, err)) return cannot(repair, path, err);
  return look_at(repair, path, &damaged, &problems, err) && (!damaged || cannot(repair, path, err));
}

static bool repair_path(PathRepair *repair, const StorePath *path, PathRepairState *ret, Err *err) {
  Substituters *substituters = scheduler_config(repair->scheduler)->substituters;
  bool damaged, problems, done = false;
  if (!look_at(repair, path, &damaged, &problems, err)) return false;
  *ret = problems ? PATH_REPAIR_LOCAL : PATH_REPAIR_WHOLE;
  if (!damaged) return true;
  if (substituters && !substituters_refill(substituters, path, &done, err)) return false;
  if (done && !look_at(repair, path, &damaged, &problems, err)) return false;
  *ret = PATH_REPAIR_FETCHED;
  if (!damaged) return true;
  *ret = PATH_REPAIR_REBUILT;
  return rebuild(repair, path, err);
}

bool path_repair_run(PathRepair *repair, const StorePath *path, PathRepairState *ret, Err *err) {
  *ret = PATH_REPAIR_WHOLE;
  return !is_new(repair, path) || repair_path(repair, path, ret, err);
}
