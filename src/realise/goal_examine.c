// goal_examine.c: see goal_examine.h.
#include "realise/goal_examine.h"

#include "base/log.h"
#include "realise/drv_load.h"
#include "realise/goal_check.h"
#include "realise/goal_fetch.h"
#include "realise/goal_realisation.h"

static bool check_feature(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  const char *missing = !goal_is_dynamic(goal)                                                ? NULL
                        : !config->ca_derivations                                             ? "ca-derivations"
                        : goal->type == DERIVATION_TYPE_IMPURE && !config->impure_derivations ? "impure-derivations"
                                                                                              : NULL;
  return !missing || err_set(&goal->err, ERR_OTHER,
                             "experimental Nix feature '%s' is disabled; add '--extra-experimental-features %s' to "
                             "enable it",
                             missing, missing);
}

// The paths that are known before anything is built.
static bool prepare_outputs(Goal *goal) {
  goal->output_paths = ARENA_ARRAY(&goal->arena, StorePath, goal->drv.output_count);
  goal->output_known = ARENA_ARRAY(&goal->arena, bool, goal->drv.output_count);
  for (size_t i = 0; i < goal->drv.output_count; i++) {
    goal->output_known[i] = goal->drv.outputs[i].path.len > 0;
    if (goal->output_known[i] &&
        !store_parse_path(goal->graph->store, goal->drv.outputs[i].path, &goal->output_paths[i], &goal->err))
      return false;
  }
  return goal->type == DERIVATION_TYPE_IMPURE || !goal_is_dynamic(goal) ||
         drv_hashes_get(goal->graph->hashes, &goal->drv, goal->drv_hash, &goal->err);
}

static bool load(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  if (goal->loaded) return true;
  bool ok = config->load ? config->load(config->load_ctx, &goal->path, &goal->arena, &goal->drv, &goal->err)
                         : drv_load_from_store(goal->graph->store, &goal->path, &goal->arena, &goal->drv, &goal->err);
  Buf path = BUF_INIT;
  goal_put_path(goal, &path);
  ok = ok && derivation_type(&goal->drv, &goal->type, &goal->err) &&
       drv_options_read(&goal->drv, buf_span(&path), &goal->arena, &goal->options, &goal->err) && check_feature(goal) &&
       prepare_outputs(goal);
  buf_done(&path);
  return goal->loaded = ok;
}

static bool check_wanted(Goal *goal) {
  for (size_t i = 0; i < goal->wanted_count; i++) {
    if (derivation_find_output(&goal->drv, span_cstr(goal->wanted[i]))) continue;
    Buf path = BUF_INIT;
    goal_put_path(goal, &path);
    err_set(&goal->err, ERR_OTHER, "derivation '%s' does not have an output named '%s'", buf_cstr(&path),
            goal->wanted[i]);
    buf_done(&path);
    return false;
  }
  return true;
}

// Counts the wanted outputs that are missing and cannot be fetched.
static bool count_missing(Goal *goal, size_t *ret) {
  Store *store = goal->graph->store;
  *ret = 0;
  if (!goal_realisation_find(goal)) return false;
  for (size_t i = 0; i < goal->drv.output_count; i++) {
    const StorePath *path = &goal->output_paths[i];
    bool valid = false;
    if (!goal_is_wanted(goal, goal->drv.outputs[i].name)) continue;
    if (goal->output_known[i] && !store_pin(store, path, &valid, &goal->err)) return false;
    if (valid) continue;
    ++*ret;
    if (goal->output_known[i] && goal->mode == SCHEDULER_NORMAL && goal->options.allow_substitutes)
      goal_fetch_want(goal, path);
  }
  return true;
}

static bool check_sources(Goal *goal) {
  Store *store = goal->graph->store;
  for (size_t i = 0; i < goal->drv.input_src_count; i++) {
    StorePath path;
    bool valid;
    if (!store_parse_path(store, goal->drv.input_srcs[i], &path, &goal->err) ||
        !store_pin(store, &path, &valid, &goal->err))
      return false;
    if (valid || goal_fetch_want(goal, &path)) continue;
    Buf drv = BUF_INIT;
    goal_put_path(goal, &drv);
    err_set(&goal->err, ERR_NOT_FOUND, "dependency '%.*s' of '%s' does not exist, and %s",
            SPAN_ARG(goal->drv.input_srcs[i]), buf_cstr(&drv),
            goal->graph->config->substituters ? "no substituter has it" : "substitution is disabled");
    buf_done(&drv);
    return false;
  }
  return true;
}

static bool check_purity(Goal *goal) {
  if (goal->type == DERIVATION_TYPE_IMPURE || goal->type == DERIVATION_TYPE_FIXED || !goal_is_dynamic(goal))
    return true;
  for (size_t i = 0; i < goal->drv.input_drv_count; i++) {
    if (!drv_hashes_is_impure(goal->graph->hashes, goal->drv.input_drvs[i].key)) continue;
    Buf path = BUF_INIT;
    goal_put_path(goal, &path);
    err_set(&goal->err, ERR_OTHER, "pure derivation '%s' depends on impure derivation '%.*s'", buf_cstr(&path),
            SPAN_ARG(goal->drv.input_drvs[i].key));
    buf_done(&path);
    return false;
  }
  return true;
}

// A derivation that is not here may be in a cache.
static bool wants_drv(Goal *goal, bool *ret) {
  bool valid = true;
  if (!goal->loaded && goal->graph->config->substituters && !goal->graph->config->load &&
      !store_pin(goal->graph->store, &goal->path, &valid, &goal->err))
    return false;
  *ret = !valid && goal_fetch_want(goal, &goal->path);
  return true;
}

// Why what was asked of the substituters did not come.
static bool check_fetches(Goal *goal) {
  const GoalFetch *failed = goal_fetch_failed(goal);
  if (!failed) return true;
  if (failed->err.kind == ERR_INTERRUPTED || goal->is_path)
    return err_set(&goal->err, failed->err.kind, "%s", err_message(&failed->err));
  log_msg(LOG_ERROR, "%s", err_message(&failed->err));
  if (goal->graph->config->fallback) return true;
  Buf drv = BUF_INIT;
  goal_put_path(goal, &drv);
  err_set(&goal->err, failed->err.kind,
          "some substitutes for the outputs of derivation '%s' failed (usually happens due to networking issues); try "
          "'--fallback' to build derivation from source ",
          buf_cstr(&drv));
  buf_done(&drv);
  return false;
}

static JobResult examine_derivation(Goal *goal) {
  size_t missing;
  bool fetch_drv;
  Buf drv = BUF_INIT;
  if (!wants_drv(goal, &fetch_drv)) return JOB_FAILED;
  if (fetch_drv) return JOB_FETCH;
  if (!load(goal) || !check_wanted(goal) || !count_missing(goal, &missing)) return JOB_FAILED;
  if (!missing && goal->mode == SCHEDULER_NORMAL)
    return !goal->asked || goal_realisation_put(goal) ? JOB_VALID : JOB_FAILED;
  if (goal_fetch_is_wanted(goal)) return JOB_FETCH;
  if (!check_fetches(goal)) return JOB_FAILED;
  goal_put_path(goal, &drv);
  bool ok = true;
  if (missing && goal->mode == SCHEDULER_CHECK)
    ok = err_set(&goal->err, ERR_OTHER, "some outputs of '%s' are not valid, so checking is not possible",
                 buf_cstr(&drv));
  ok = ok &&
       goal_check_can_build(goal->graph->config, &goal->drv, goal->type, buf_span(&drv), &goal->options,
                            &goal->no_sandbox, &goal->err) &&
       check_purity(goal) && check_sources(goal);
  buf_done(&drv);
  return !ok ? JOB_FAILED : goal_fetch_is_wanted(goal) ? JOB_FETCH : JOB_BUILD;
}

static JobResult examine_path(Goal *goal) {
  bool valid;
  if (!store_pin(goal->graph->store, &goal->path, &valid, &goal->err)) return JOB_FAILED;
  if (valid) return JOB_VALID;
  if (goal_fetch_want(goal, &goal->path)) return JOB_FETCH;
  if (!check_fetches(goal)) return JOB_FAILED;
  Buf path = BUF_INIT;
  goal_put_path(goal, &path);
  err_set(&goal->err, ERR_NOT_FOUND, "path '%s' does not exist and cannot be created", buf_cstr(&path));
  buf_done(&path);
  return JOB_FAILED;
}

void goal_examine_run(Goal *goal) {
  goal->result = goal->is_path ? examine_path(goal) : examine_derivation(goal);
}
