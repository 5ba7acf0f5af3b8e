// goal_build.c: see goal_build.h.
#include "realise/goal_build.h"

#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "build/build_log.h"
#include "realise/drv_resolve.h"
#include "realise/failure_text.h"
#include "realise/goal_event.h"
#include "realise/goal_realisation.h"
#include "realise/output_register.h"

// ---- preparing

void goal_build_collect_inputs(Goal *goal) {
  size_t count = 0;
  for (size_t i = 0; i < goal->input_count; i++) count += goal->drv.input_drvs[i].output_count;
  goal->input_outputs = ARENA_ARRAY(&goal->arena, StorePath, count);
  goal->input_output_count = 0;
  for (size_t i = 0; i < goal->input_count; i++)
    for (size_t j = 0; j < goal->drv.input_drvs[i].output_count; j++)
      if (goal_find_output(goal->inputs[i], goal->drv.input_drvs[i].outputs[j],
                           &goal->input_outputs[goal->input_output_count]))
        goal->input_output_count++;
}

static bool all_outputs_valid(Goal *goal, bool *ret) {
  *ret = true;
  if (!goal_realisation_find(goal)) return false;
  for (size_t i = 0; i < goal->drv.output_count && *ret; i++) {
    *ret = goal->output_known[i];
    if (*ret && !store_pin(goal->graph->store, &goal->output_paths[i], ret, &goal->err)) return false;
  }
  return true;
}

// Outputs whose paths are not known cannot be locked: the derivation is, as in C++ Nix.
static bool take_lock(Goal *goal, bool *ret_taken) {
  bool dynamic = goal_is_dynamic(goal);
  if (!store_lock_take(goal->graph->store, dynamic ? &goal->path : goal->output_paths,
                       dynamic ? 1 : goal->drv.output_count, false, &goal->lock, &goal->err))
    return false;
  *ret_taken = goal->lock != NULL;
  return true;
}

// Where an output is built. Without a sandbox not at its own path where that is taken: its content is renamed afterwards.
static bool make_scratch_path(Goal *goal, size_t i, StorePath *ret) {
  Store *store = goal->graph->store;
  bool valid;
  if (goal_is_dynamic(goal))
    return drv_resolve_scratch_path(&goal->path, goal->drv.name, goal->drv.outputs[i].name, store_dir(store), ret,
                                    &goal->err);
  *ret = goal->output_paths[i];
  if (!goal->no_sandbox) return true;
  if (!store_is_valid(store, ret, &valid, &goal->err)) return false;
  return !valid || drv_resolve_scratch_path_for(&goal->path, &goal->output_paths[i], store_dir(store), ret, &goal->err);
}

static bool make_scratch_paths(Goal *goal, StorePath **ret) {
  *ret = ARENA_ARRAY(&goal->arena, StorePath, goal->drv.output_count);
  for (size_t i = 0; i < goal->drv.output_count; i++)
    if (!make_scratch_path(goal, i, &(*ret)[i])) return false;
  return true;
}

// What an interrupted build without a sandbox left at the place of an output is in the way.
static bool remove_leftovers(Goal *goal) {
  for (size_t i = 0; goal->no_sandbox && i < goal->drv.output_count; i++) {
    bool valid;
    const StorePath *path = &goal->prepared.output_paths[i];
    if (!store_is_valid(goal->graph->store, path, &valid, &goal->err)) return false;
    if (valid) continue;
    Buf place = BUF_INIT;
    store_format_physical(goal->graph->store, path, &place);
    bool ok = fs_remove_tree(buf_cstr(&place), &goal->err);
    buf_done(&place);
    if (!ok) return false;
  }
  return true;
}

static JobResult prepare(Goal *goal) {
  bool taken, valid = false;
  if (!take_lock(goal, &taken)) return JOB_FAILED;
  if (!taken) return JOB_LOCKED;
  if (goal->mode == SCHEDULER_NORMAL && !all_outputs_valid(goal, &valid)) return JOB_FAILED;
  if (valid) return JOB_VALID;
  StorePath *scratch_paths;
  if (!make_scratch_paths(goal, &scratch_paths)) return JOB_FAILED;
  BuildPrepareInput input = {.store = goal->graph->store,
                             .drv = &goal->drv,
                             .drv_path = &goal->path,
                             .options = &goal->options,
                             .type = goal->type,
                             .build_dir = span_cstr(goal->graph->config->builder.build_dir),
                             .cores = goal->graph->config->cores,
                             .input_outputs = goal->input_outputs,
                             .input_output_count = goal->input_output_count,
                             .scratch_paths = scratch_paths};
  if (!build_prepare_run(&input, &goal->arena, &goal->prepared, &goal->err)) return JOB_FAILED;
  goal->is_prepared = true;
  return remove_leftovers(goal) ? JOB_BUILD : JOB_FAILED;
}

void goal_build_prepare(Goal *goal) {
  goal->result = prepare(goal);
  if (goal->result == JOB_BUILD) return;
  if (goal->lock) store_lock_release(STEAL(goal->lock));
}

// ---- building

static bool locate(void *ctx, const CastoreNode *input, Buf *ret_path, Err *err UNUSED) {
  const Goal *goal = ctx;
  build_prepare_locate(goal->graph->store, input->name, ret_path);
  return true;
}

static void on_line(void *ctx, Span line) {
  goal_event_emit(ctx, SCHEDULER_EVENT_BUILD_LINE, line);
}

static void on_phase(void *ctx, Span phase) {
  goal_event_emit(ctx, SCHEDULER_EVENT_BUILD_PHASE, phase);
}

static void note_times(Goal *goal) {
  const BuildResult *built = &goal->built;
  if (built->outcome == BUILD_NOT_STARTED) return;
  uint64_t ago_ns = loop_now_ns() - built->stop_ns;
  goal->was_built = true;
  goal->times.usage = built->usage;
  goal->times.duration_ns = built->stop_ns - built->start_ns;
  goal->times.stop_s = time(NULL) - (int64_t)(ago_ns / 1000000000);
  goal->times.start_s = goal->times.stop_s - (int64_t)(goal->times.duration_ns / 1000000000);
}

// Sets goal->err to what is said of a build that did not succeed.
static void note_failure(Goal *goal) {
  BuildOutcome outcome = goal->built.outcome;
  Buf path = BUF_INIT, outputs = BUF_INIT;
  goal_put_path(goal, &path);
  for (size_t i = 0; i < goal->wanted_count; i++) buf_printf(&outputs, "%s%s", i ? "," : "", goal->wanted[i]);
  if (goal->wants_all) {
    buf_clear(&outputs);
    buf_put_char(&outputs, '*');
  }
  FailureTextInput input = {buf_span(&path), buf_span(&outputs), &goal->build_options, &goal->built,
                            goal->graph->config->logs_shown};
  // Builders of fixed and impure outputs have the network: their failure may be the network's, and counts as passing (exit status 1).
  bool permanent = outcome == BUILD_EXITED || outcome == BUILD_SIGNALLED;
  if (permanent && goal->type != DERIVATION_TYPE_FIXED && goal->type != DERIVATION_TYPE_IMPURE)
    goal->graph->failure_bits |= 4;
  if (outcome == BUILD_TIMED_OUT || outcome == BUILD_SILENT) goal->graph->failure_bits |= 4 | 1;
  failure_text_set(&input, &goal->err);
  buf_done(&path);
  buf_done(&outputs);
}

// The builder has ended, one way or the other.
static void build_ended(Goal *goal) {
  goal->graph->build_count--;
  goal->graph->counts.builds_running--;
  note_times(goal);
  if (goal->graph->cancelled) goal->built.outcome = BUILD_CANCELLED;
  goal->result = goal->built.outcome == BUILD_SUCCEEDED ? JOB_VALID : JOB_FAILED;
  if (goal->result == JOB_FAILED) note_failure(goal);
  goal->build_then(goal);
}

static void on_done(void *ctx, BuildHandle *handle, const BuildResult *result) {
  Goal *goal = ctx;
  goal->handle = handle;
  goal->built = *result;
  build_ended(goal);
}

static void builtin_work(Goal *goal) {
  BuiltinBuildInput input = {goal->graph->store,          &goal->drv,           goal->type, &goal->prepared.request,
                             goal->prepared.output_order, &goal->builtin_cancel};
  builtin_builder_run(&input, &goal->builtin);
}

static void builtin_done(Goal *goal) {
  goal->built = goal->builtin.result;
  // Where lines are shown as they come, and the tail is left out of the failure, this is the only line.
  if (goal->graph->config->logs_shown && goal->built.outcome == BUILD_EXITED && goal->built.log_tail_count)
    log_msg(LOG_ERROR, "%s", goal->built.log_tail[0].data + sizeof "error: " - 1);
  build_ended(goal);
}

static void set_build_options(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  Buf log = BUF_INIT, base = BUF_INIT;
  store_path_format_base(&goal->path, &base);
  if (config->log_dir) build_log_put_path(span_cstr(config->log_dir), buf_span(&base), &log);
  goal->log_path = config->log_dir ? buf_take(&log) : NULL;
  goal->name = span_dup(goal->drv.name);
  buf_done(&base);
  goal->build_options = (BuildOptions){
      .name = goal->name,
      .log_path = goal->log_path,
      .timeout_ns = config->timeout_ns,
      .max_silent_ns = config->max_silent_ns,
      .max_log_bytes = config->max_log_bytes,
      .log_tail_lines = config->log_tail_lines,
      .keep_failed = config->keep_failed,
      .no_sandbox = goal->no_sandbox,
      .debug_shell = config->debug_shell,
      .want_kvm = drv_options_has_feature(&goal->options, SPAN("kvm")),
      .uname_32bit =
          span_eq(goal->drv.platform, SPAN("i686-linux")) || span_eq(goal->drv.platform, SPAN("armv7l-linux")),
  };
}

void goal_build_start(Goal *goal, GoalFn then) {
  GoalGraph *graph = goal->graph;
  goal->build_then = then;
  set_build_options(goal);
  graph->build_count++;
  graph->counts.builds_running++;
  goal_event_start(goal);
  goal_event_counts(graph);
  if (span_has_prefix(goal->drv.builder, SPAN("builtin:"))) {
    goal_submit(goal, builtin_work, builtin_done);
    return;
  }
  BuildCallbacks callbacks = {goal, locate, on_line, on_phase, on_done};
  if (service_start(graph->service, &goal->prepared.request, &goal->build_options, &callbacks, &goal->handle,
                    &goal->built.err))
    return;
  goal->built.outcome = BUILD_NOT_STARTED;
  build_ended(goal);
  err_done(&goal->built.err);
}

void goal_build_stop(Goal *goal) {
  if (goal->handle) service_cancel(goal->handle);
  else builtin_builder_cancel(&goal->builtin_cancel);
}

// ---- registering

void goal_build_register(Goal *goal) {
  OutputRegisterInput input = {
      .store = goal->graph->store,
      .drv = &goal->drv,
      .drv_path = &goal->path,
      .options = &goal->options,
      .request = &goal->prepared.request,
      .closure = goal->prepared.closure.paths,
      .closure_count = goal->prepared.closure.count,
      .output_paths = goal->prepared.output_paths,
      .built = goal->built.outputs,
      .output_order = goal->prepared.output_order,
      .sign_keys = goal->graph->config->sign_keys,
      .sign_key_count = goal->graph->config->sign_key_count,
      .check = goal->mode == SCHEDULER_CHECK,
      .keep_failed = goal->graph->config->keep_failed,
  };
  StorePath *paths = ARENA_ARRAY(&goal->arena, StorePath, goal->drv.output_count);
  bool ok = output_register_run(&input, paths, &goal->err);
  for (size_t i = 0; ok && goal_is_dynamic(goal) && i < goal->drv.output_count; i++) {
    goal->output_paths[i] = paths[i];
    goal->output_known[i] = true;
  }
  goal->result = ok && (goal->mode == SCHEDULER_CHECK || goal_realisation_put(goal)) ? JOB_VALID : JOB_FAILED;
  store_lock_release(STEAL(goal->lock));
}
