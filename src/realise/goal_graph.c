// goal_graph.c: see goal_graph.h.
#include "realise/goal_graph.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "build/build_log.h"
#include "realise/build_prepare.h"
#include "realise/builtin_builder.h"
#include "realise/drv_hashes.h"
#include "realise/drv_load.h"
#include "realise/drv_resolve.h"
#include "realise/failure_text.h"
#include "realise/goal_check.h"
#include "realise/output_register.h"
#include "store/store_add.h"
#include "store/store_lock.h"
#include "store/store_realisation.h"
#include "store/substituters.h"

// How long to wait before looking again whether another process has released its lock: from the first to the last, doubling.
enum { LOCK_RETRY_FIRST_MS = 10, LOCK_RETRY_LAST_MS = 500 };

typedef enum GoalStage {
  GOAL_EXAMINE,
  GOAL_FETCH,
  GOAL_INPUTS,
  GOAL_RESOLVE,
  GOAL_READY,
  GOAL_PREPARE,
  GOAL_LOCKED,
  GOAL_BUILD,
  GOAL_FINISH,
  GOAL_ENDED,
} GoalStage;

// What a job found out.
typedef enum JobResult { JOB_FAILED, JOB_VALID, JOB_FETCH, JOB_BUILD, JOB_LOCKED } JobResult;

typedef struct GoalOutput {
  char *name;
  StorePath path;
} GoalOutput;

typedef struct GoalEdge {
  Goal *waiter;
  struct GoalEdge *next;
} GoalEdge;

// What the substituters know about an output whose path they alone know.
typedef struct AskedRealisation {
  bool done, found;
  StorePath path;
} AskedRealisation;

// A path that the substituters are asked for.
typedef struct GoalFetch {
  Goal *goal;
  StorePath path;
  SubstitutersResult result;
  Err err;
  bool asked;
} GoalFetch;

struct Goal {
  GoalGraph *graph;
  bool is_path;   // a plain store path, else a derivation
  StorePath path; // of the derivation, or the plain one
  SchedulerMode mode;
  GoalStage stage;
  uint64_t id; // of its build, in events

  // Who wants it, and what.
  GoalHolder *holders;
  GoalEdge *waiters;
  size_t waiter_count;
  size_t pending_height; // raise_height
  size_t height;         // of the longest chain of goals that wait for this one: what is most urgent
  bool wants_all;
  char **wanted;
  size_t wanted_count, wanted_cap;
  bool examine_again; // more was wanted while the job was looking

  // What it waits for.
  Goal **inputs;
  size_t input_count, pending_count, failed_count;
  Goal *failed_input; // the first
  LoopSource *retry_timer;
  unsigned retry_ms;
  Goal *next_ready, *next_ended;

  // job: written by jobs
  JobResult result;
  Err err;
  Arena arena;
  bool loaded;
  Derivation drv;
  DrvOptions options;
  DerivationType type;
  StorePath *output_paths; // positional to drv.outputs, where output_known; of dynamic ones found out on the way
  bool *output_known;
  uint8_t drv_hash[32];    // of a floating or deferred derivation: its realisations are filed under it
  AskedRealisation *asked; // positional to drv.outputs; NULL: nobody was asked
  bool no_sandbox;
  GoalFetch *fetches; // in the order of asking; not freed before the goal
  size_t fetch_count, fetch_cap, fetch_pending;
  DrvResolveInput *resolve_inputs; // for resolve
  size_t resolve_input_count;
  StorePath resolved_path;
  Goal *resolved; // whose outputs are this goal's

  // build
  bool counted; // in builds_expected
  bool holds_slot;
  StorePath *input_outputs; // paths of used outputs of inputs, for prepare
  size_t input_output_count;
  bool is_prepared;
  BuildPrepared prepared;
  StoreLock *lock;
  BuildOptions build_options;
  char *name, *log_path;
  BuildHandle *handle;
  BuildResult built; // borrowed from the handle, or from `builtin`
  BuiltinBuild builtin;
  BuiltinCancel builtin_cancel; // while it runs

  // Of the ended goal.
  bool failed;
  bool was_built;
  SchedulerTimes times;
  Err cause; // what failed first, when that is another goal
  GoalOutput *outputs;
  size_t output_count;
};

struct GoalGraph {
  Store *store;
  const SchedulerConfig *config;
  Loop *loop;
  Pool *pool;
  BuildService *service;
  DrvHashes *hashes;
  Map goals; // key -> Goal, owned
  Goal *ready_first, **ready_last;
  Goal *ended_first, **ended_last; // ended, but those who wait have not been told
  bool telling;
  size_t running_count; // slots in use
  size_t job_count, build_count;
  uint64_t next_id;
  bool cancelled;
  int failure_bits;
  SchedulerCounts counts;
  Goal **retired; // goals replaced in the map, freed at the end
  size_t retired_count, retired_cap;
};

static void examine(Goal *goal);
static void end_goal(Goal *goal);
static void start_ready(GoalGraph *graph);
static void input_ended(Goal *waiter, Goal *input);

// --- events

static void emit(Goal *goal, SchedulerEventKind kind, Span text) {
  const SchedulerConfig *config = goal->graph->config;
  if (!config->event) return;
  SchedulerEvent event = {.kind = kind,
                          .build_id = goal->id,
                          .time_ns = loop_now_ns(),
                          .drv_path = &goal->path,
                          .text = text,
                          .counts = &goal->graph->counts};
  if (kind == SCHEDULER_EVENT_BUILD_STOP && goal->was_built) event.usage = &goal->times.usage;
  config->event(config->event_ctx, &event);
}

static void emit_start(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  if (!config->event) return;
  StorePath *inputs = ARENA_ARRAY(&goal->arena, StorePath, goal->input_count);
  for (size_t i = 0; i < goal->input_count; i++) inputs[i] = goal->inputs[i]->path;
  SchedulerEvent event = {.kind = SCHEDULER_EVENT_BUILD_START,
                          .build_id = goal->id,
                          .time_ns = loop_now_ns(),
                          .drv_path = &goal->path,
                          .text = span_cstr(goal->name),
                          .counts = &goal->graph->counts,
                          .inputs = inputs,
                          .input_count = goal->input_count};
  config->event(config->event_ctx, &event);
}

static void emit_counts(GoalGraph *graph) {
  if (!graph->config->event) return;
  SchedulerEvent event = {.kind = SCHEDULER_EVENT_COUNTS, .time_ns = loop_now_ns(), .counts = &graph->counts};
  graph->config->event(graph->config->event_ctx, &event);
}

static void put_path(const Goal *goal, Buf *ret) {
  store_format_path(goal->graph->store, &goal->path, ret);
}

// --- goals

static void free_goal(Goal *goal) {
  while (goal->waiters) {
    GoalEdge *edge = goal->waiters;
    goal->waiters = edge->next;
    mem_free(edge);
  }
  for (size_t i = 0; i < goal->wanted_count; i++) mem_free(goal->wanted[i]);
  for (size_t i = 0; i < goal->output_count; i++) mem_free(goal->outputs[i].name);
  for (size_t i = 0; i < goal->fetch_count; i++) err_done(&goal->fetches[i].err);
  mem_free(goal->fetches);
  mem_free(goal->wanted);
  mem_free(goal->outputs);
  mem_free(goal->inputs);
  err_done(&goal->err);
  err_done(&goal->cause);
  arena_done(&goal->arena);
  mem_free(goal);
}

static bool is_wanted(const Goal *goal, Span output) {
  for (size_t i = 0; i < goal->wanted_count; i++)
    if (span_eq_cstr(output, goal->wanted[i])) return true;
  return goal->wants_all;
}

// True when this adds something.
static bool add_wanted(Goal *goal, const Span *outputs, size_t count) {
  bool more = false;
  if (!count && !goal->wants_all) more = goal->wants_all = true;
  for (size_t i = 0; i < count; i++) {
    if (is_wanted(goal, outputs[i])) continue;
    MEM_RESERVE(goal->wanted, goal->wanted_cap, goal->wanted_count + 1);
    goal->wanted[goal->wanted_count++] = span_dup(outputs[i]);
    more = true;
  }
  return more;
}

static Goal *new_goal(GoalGraph *graph, const StorePath *path, SchedulerMode mode, bool is_path) {
  Goal *goal = mem_alloc_zero(sizeof *goal);
  goal->graph = graph;
  goal->path = *path;
  goal->mode = mode;
  goal->is_path = is_path;
  goal->id = ++graph->next_id;
  goal->prepared.closure = (StorePathList)STORE_PATH_LIST_INIT;
  goal->builtin_cancel = (BuiltinCancel)BUILTIN_CANCEL_INIT;
  return goal;
}

// Finds or makes the goal, and has it looked at (again) where the answer may have changed.
static Goal *get_goal(GoalGraph *graph, const StorePath *path, const Span *outputs, size_t count, SchedulerMode mode,
                      bool is_path) {
  Buf key = BUF_INIT;
  buf_put_char(&key, is_path ? 'p' : mode == SCHEDULER_CHECK ? 'c' : 'd');
  store_path_format_base(path, &key);
  Goal *goal = map_get(&graph->goals, buf_span(&key));
  bool is_new = !goal;
  if (goal && goal->stage == GOAL_ENDED && !goal->failed && add_wanted(goal, outputs, count)) {
    // It ended without looking at these outputs. Others may still ask the old one.
    MEM_RESERVE(graph->retired, graph->retired_cap, graph->retired_count + 1);
    graph->retired[graph->retired_count++] = goal;
    is_new = true;
  }
  if (is_new) {
    goal = new_goal(graph, path, mode, is_path);
    map_set(&graph->goals, buf_span(&key), goal);
  }
  buf_done(&key);
  bool more = add_wanted(goal, outputs, count);
  if (is_new) examine(goal);
  else if (more && (goal->stage == GOAL_EXAMINE || goal->stage == GOAL_FETCH)) goal->examine_again = true;
  return goal;
}

// --- jobs

typedef void (*GoalFn)(Goal *goal);

typedef struct Job {
  Goal *goal;
  GoalFn work, then;
} Job;

static void job_then(void *ctx) {
  Job *job = ctx;
  Goal *goal = job->goal;
  GoalFn then = job->then;
  mem_free(job);
  goal->graph->job_count--;
  then(goal);
}

static void job_run(void *ctx) {
  Job *job = ctx;
  job->work(job->goal);
  loop_post(job->goal->graph->loop, job_then, job);
}

static void submit(Goal *goal, GoalFn work, GoalFn then) {
  Job *job = mem_alloc(sizeof *job);
  *job = (Job){goal, work, then};
  goal->graph->job_count++;
  pool_submit(goal->graph->pool, job_run, job);
}

static void fail_goal(Goal *goal) {
  goal->failed = true;
  end_goal(goal);
}

static bool is_stopped(Goal *goal) {
  if (!goal->graph->cancelled) return false;
  err_done(&goal->err);
  err_set(&goal->err, ERR_INTERRUPTED, "interrupted by the user");
  fail_goal(goal);
  return true;
}

// --- examine

// Examining found a path missing: notes that it is to be fetched. False when that cannot be, or has been tried.
static bool want_fetch(Goal *goal, const StorePath *path) {
  if (!goal->graph->config->substituters) return false;
  for (size_t i = 0; i < goal->fetch_count; i++)
    if (store_path_eq(&goal->fetches[i].path, path)) return !goal->fetches[i].asked;
  MEM_RESERVE(goal->fetches, goal->fetch_cap, goal->fetch_count + 1);
  goal->fetches[goal->fetch_count++] = (GoalFetch){.goal = goal, .path = *path};
  return true;
}

static bool has_fetches(const Goal *goal) {
  return goal->fetch_count && !goal->fetches[goal->fetch_count - 1].asked;
}

// What failed to be fetched. NULL when nothing did.
static const GoalFetch *failed_fetch(const Goal *goal) {
  for (size_t i = 0; i < goal->fetch_count; i++)
    if (goal->fetches[i].asked && goal->fetches[i].result == SUBSTITUTERS_FAILED) return &goal->fetches[i];
  return NULL;
}

// Its output paths follow from what is built, or from what its inputs turn out to be.
static bool is_dynamic(const Goal *goal) {
  return goal->type != DERIVATION_TYPE_INPUT_ADDRESSED && goal->type != DERIVATION_TYPE_FIXED;
}

static bool check_feature(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  const char *missing = !is_dynamic(goal)                                                     ? NULL
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
  return goal->type == DERIVATION_TYPE_IMPURE || !is_dynamic(goal) ||
         drv_hashes_get(goal->graph->hashes, &goal->drv, goal->drv_hash, &goal->err);
}

// What the substituters say about an output; each is asked once.
static bool ask_realisation(Goal *goal, size_t i) {
  const SchedulerConfig *config = goal->graph->config;
  if (!config->substituters || goal->mode != SCHEDULER_NORMAL || !goal->options.allow_substitutes) return true;
  if (!goal->asked) {
    size_t bytes = goal->drv.output_count * sizeof *goal->asked;
    goal->asked = memset(ARENA_ARRAY(&goal->arena, AskedRealisation, goal->drv.output_count), 0, bytes);
  }
  AskedRealisation *asked = &goal->asked[i];
  if (!asked->done && !substituters_find_realisation(config->substituters, goal->drv_hash, goal->drv.outputs[i].name,
                                                     &asked->path, &asked->found, &goal->err))
    return false;
  asked->done = true;
  goal->output_known[i] = asked->found;
  if (asked->found) goal->output_paths[i] = asked->path;
  return true;
}

// Looks for realisations. An impure derivation has none that lasts.
static bool find_realisations(Goal *goal) {
  if (!is_dynamic(goal) || goal->type == DERIVATION_TYPE_IMPURE) return true;
  for (size_t i = 0; i < goal->drv.output_count; i++) {
    if (!store_realisation_find(goal->graph->store, goal->drv_hash, goal->drv.outputs[i].name, &goal->output_paths[i],
                                &goal->output_known[i], &goal->err))
      return false;
    if (!goal->output_known[i] && is_wanted(goal, goal->drv.outputs[i].name) && !ask_realisation(goal, i)) return false;
  }
  return true;
}

static bool put_realisations(Goal *goal) {
  if (!is_dynamic(goal) || goal->type == DERIVATION_TYPE_IMPURE) return true;
  for (size_t i = 0; i < goal->drv.output_count; i++)
    if (goal->output_known[i] && !store_realisation_put(goal->graph->store, goal->drv_hash, goal->drv.outputs[i].name,
                                                        &goal->output_paths[i], &goal->err))
      return false;
  return true;
}

static bool load(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  if (goal->loaded) return true;
  bool ok = config->load ? config->load(config->load_ctx, &goal->path, &goal->arena, &goal->drv, &goal->err)
                         : drv_load_from_store(goal->graph->store, &goal->path, &goal->arena, &goal->drv, &goal->err);
  Buf path = BUF_INIT;
  put_path(goal, &path);
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
    put_path(goal, &path);
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
  if (!find_realisations(goal)) return false;
  for (size_t i = 0; i < goal->drv.output_count; i++) {
    const StorePath *path = &goal->output_paths[i];
    bool valid = false;
    if (!is_wanted(goal, goal->drv.outputs[i].name)) continue;
    if (goal->output_known[i] && !store_pin(store, path, &valid, &goal->err)) return false;
    if (valid) continue;
    ++*ret;
    if (goal->output_known[i] && goal->mode == SCHEDULER_NORMAL && goal->options.allow_substitutes)
      want_fetch(goal, path);
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
    if (valid || want_fetch(goal, &path)) continue;
    Buf drv = BUF_INIT;
    put_path(goal, &drv);
    err_set(&goal->err, ERR_NOT_FOUND, "dependency '%.*s' of '%s' does not exist, and %s",
            SPAN_ARG(goal->drv.input_srcs[i]), buf_cstr(&drv),
            goal->graph->config->substituters ? "no substituter has it" : "substitution is disabled");
    buf_done(&drv);
    return false;
  }
  return true;
}

static bool check_purity(Goal *goal) {
  if (goal->type == DERIVATION_TYPE_IMPURE || goal->type == DERIVATION_TYPE_FIXED || !is_dynamic(goal)) return true;
  for (size_t i = 0; i < goal->drv.input_drv_count; i++) {
    if (!drv_hashes_is_impure(goal->graph->hashes, goal->drv.input_drvs[i].key)) continue;
    Buf path = BUF_INIT;
    put_path(goal, &path);
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
  *ret = !valid && want_fetch(goal, &goal->path);
  return true;
}

// Why what was asked of the substituters did not come.
static bool check_fetches(Goal *goal) {
  const GoalFetch *failed = failed_fetch(goal);
  if (!failed) return true;
  if (failed->err.kind == ERR_INTERRUPTED || goal->is_path)
    return err_set(&goal->err, failed->err.kind, "%s", err_message(&failed->err));
  log_msg(LOG_ERROR, "%s", err_message(&failed->err));
  if (goal->graph->config->fallback) return true;
  Buf drv = BUF_INIT;
  put_path(goal, &drv);
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
    return !goal->asked || put_realisations(goal) ? JOB_VALID : JOB_FAILED;
  if (has_fetches(goal)) return JOB_FETCH;
  if (!check_fetches(goal)) return JOB_FAILED;
  put_path(goal, &drv);
  bool ok = true;
  if (missing && goal->mode == SCHEDULER_CHECK)
    ok = err_set(&goal->err, ERR_OTHER, "some outputs of '%s' are not valid, so checking is not possible",
                 buf_cstr(&drv));
  ok = ok &&
       goal_check_can_build(goal->graph->config, &goal->drv, goal->type, buf_span(&drv), &goal->options,
                            &goal->no_sandbox, &goal->err) &&
       check_purity(goal) && check_sources(goal);
  buf_done(&drv);
  return !ok ? JOB_FAILED : has_fetches(goal) ? JOB_FETCH : JOB_BUILD;
}

static JobResult examine_path(Goal *goal) {
  bool valid;
  if (!store_pin(goal->graph->store, &goal->path, &valid, &goal->err)) return JOB_FAILED;
  if (valid) return JOB_VALID;
  if (want_fetch(goal, &goal->path)) return JOB_FETCH;
  if (!check_fetches(goal)) return JOB_FAILED;
  Buf path = BUF_INIT;
  put_path(goal, &path);
  err_set(&goal->err, ERR_NOT_FOUND, "path '%s' does not exist and cannot be created", buf_cstr(&path));
  buf_done(&path);
  return JOB_FAILED;
}

static void examine_work(Goal *goal) {
  goal->result = goal->is_path ? examine_path(goal) : examine_derivation(goal);
}

// `goal` now has a chain of `height` above it, and so have, longer by one each, its inputs. Heights only grow, and a chain is as
// long as the graph is deep, so this is no recursion.
static void raise_height(Goal *goal, size_t height) {
  Goal **stack = NULL;
  size_t count = 0, cap = 0;
  while (goal) {
    if (goal->height < height) {
      goal->height = height;
      for (size_t i = 0; i < goal->input_count; i++) {
        if (goal->inputs[i]->height > height) continue;
        MEM_RESERVE(stack, cap, count + 1);
        stack[count++] = goal->inputs[i];
        if (goal->inputs[i]->pending_height <= height) goal->inputs[i]->pending_height = height + 1;
      }
    }
    goal = count ? stack[--count] : NULL;
    if (goal) height = goal->pending_height;
  }
  mem_free(stack);
}

static void add_edge(Goal *input, Goal *waiter) {
  GoalEdge *edge = mem_alloc(sizeof *edge);
  *edge = (GoalEdge){waiter, input->waiters};
  input->waiters = edge;
  input->waiter_count++;
  raise_height(input, waiter->height + 1);
}

static void become_ready(Goal *goal) {
  GoalGraph *graph = goal->graph;
  goal->stage = GOAL_READY;
  goal->next_ready = NULL;
  *graph->ready_last = goal;
  graph->ready_last = &goal->next_ready;
  start_ready(graph);
}

// --- resolve: a derivation whose inputs' paths were not known becomes, once they are, another one, which is built in its place

static bool needs_resolving(const Goal *goal) {
  if (!goal->input_count) return false;
  if (goal->type != DERIVATION_TYPE_FIXED) return is_dynamic(goal);
  for (size_t i = 0; i < goal->input_count; i++)
    if (is_dynamic(goal->inputs[i])) return true;
  return false;
}

// Writes the resolved derivation.
static void resolve_work(Goal *goal) {
  Store *store = goal->graph->store;
  Derivation resolved;
  DerivationSealed sealed;
  goal->result = JOB_FAILED;
  if (!drv_resolve_make(&goal->drv, goal->resolve_inputs, goal->resolve_input_count, store_dir(store), &goal->arena,
                        &resolved, &sealed, &goal->err))
    return;
  StorePath *refs = ARENA_ARRAY(&goal->arena, StorePath, resolved.input_src_count);
  for (size_t i = 0; i < resolved.input_src_count; i++)
    if (!store_parse_path(store, resolved.input_srcs[i], &refs[i], &goal->err)) return;
  if (store_add_text(store, store_path_name(&sealed.drv_path), sealed.text, refs, resolved.input_src_count,
                     &goal->resolved_path, &goal->err))
    goal->result = JOB_VALID;
}

static void adopt_work(Goal *goal) {
  goal->result = put_realisations(goal) ? JOB_VALID : JOB_FAILED;
}

static void adopted(Goal *goal) {
  if (goal->result == JOB_FAILED) fail_goal(goal);
  else end_goal(goal);
}

static void want_resolved(Goal *goal) {
  Span *outputs = ARENA_ARRAY(&goal->arena, Span, goal->wanted_count);
  for (size_t i = 0; i < goal->wanted_count; i++) outputs[i] = span_cstr(goal->wanted[i]);
  goal->stage = GOAL_INPUTS;
  goal->resolved =
      get_goal(goal->graph, &goal->resolved_path, outputs, goal->wants_all ? 0 : goal->wanted_count, goal->mode, false);
  goal->inputs[0] = goal->resolved;
  goal->input_count = 1;
  goal->pending_count = 1;
  if (goal->resolved->stage == GOAL_ENDED) input_ended(goal, goal->resolved);
  else add_edge(goal->resolved, goal);
}

// The derivation that this one resolved to has been built: its outputs are this one's.
static void adopt_outputs(Goal *goal) {
  bool complete = true;
  for (size_t i = 0; i < goal->drv.output_count; i++) {
    goal->output_known[i] = goal_graph_output(goal->resolved, goal->drv.outputs[i].name, &goal->output_paths[i]);
    complete &= goal->output_known[i] || !is_wanted(goal, goal->drv.outputs[i].name);
  }
  if (!complete) { // more has been wanted meanwhile
    want_resolved(goal);
    return;
  }
  goal->stage = GOAL_RESOLVE;
  submit(goal, adopt_work, adopted);
}

static void resolved(Goal *goal) {
  if (is_stopped(goal)) return;
  if (goal->result == JOB_FAILED) {
    fail_goal(goal);
    return;
  }
  Buf from = BUF_INIT, to = BUF_INIT;
  put_path(goal, &from);
  store_format_path(goal->graph->store, &goal->resolved_path, &to);
  log_msg(LOG_TALKATIVE, "resolved derivation: '%s' -> '%s'", buf_cstr(&from), buf_cstr(&to));
  buf_done(&from);
  buf_done(&to);
  if (goal->counted) { // the build is the other's
    goal->graph->counts.builds_expected--;
    goal->counted = false;
  }
  want_resolved(goal);
}

static void start_resolving(Goal *goal) {
  size_t count = 0;
  for (size_t i = 0; i < goal->input_count; i++) count += goal->drv.input_drvs[i].output_count;
  goal->resolve_inputs = ARENA_ARRAY(&goal->arena, DrvResolveInput, count);
  for (size_t i = 0; i < goal->input_count; i++) {
    for (size_t j = 0; j < goal->drv.input_drvs[i].output_count; j++) {
      DrvResolveInput *input = &goal->resolve_inputs[goal->resolve_input_count];
      *input = (DrvResolveInput){.drv_path = goal->inputs[i]->path, .output = goal->drv.input_drvs[i].outputs[j]};
      if (goal_graph_output(goal->inputs[i], input->output, &input->path)) goal->resolve_input_count++;
    }
  }
  goal->stage = GOAL_RESOLVE;
  submit(goal, resolve_work, resolved);
}

// Fails as the derivation did that this one resolved to.
static void fail_as_resolved(Goal *goal) {
  const Goal *from = goal->resolved;
  err_set(&goal->err, from->err.kind, "%s", err_message(&from->err));
  if (err_is_set(&from->cause)) err_set(&goal->cause, from->cause.kind, "%s", err_message(&from->cause));
  fail_goal(goal);
}

static void inputs_done(Goal *goal) {
  if (!goal->failed_count) {
    if (goal->resolved) adopt_outputs(goal);
    else if (needs_resolving(goal)) start_resolving(goal);
    else become_ready(goal);
    return;
  }
  if (goal->resolved) {
    fail_as_resolved(goal);
    return;
  }
  Buf path = BUF_INIT;
  put_path(goal, &path);
  ErrKind kind = goal->failed_input->err.kind;
  err_set(&goal->err, kind == ERR_NONE ? ERR_BUILD_FAILED : kind, "%zu dependencies of derivation '%s' failed to build",
          goal->failed_count, buf_cstr(&path));
  buf_done(&path);
  const Goal *failed = goal->failed_input;
  const Err *cause = err_is_set(&failed->cause) ? &failed->cause : &failed->err;
  err_set(&goal->cause, cause->kind, "%s", err_message(cause));
  fail_goal(goal);
}

static void start_inputs(Goal *goal) {
  goal->stage = GOAL_INPUTS;
  GoalGraph *graph = goal->graph;
  const Derivation *drv = &goal->drv;
  goal->inputs = mem_alloc_array(drv->input_drv_count, sizeof *goal->inputs);
  // One for ourselves, so that inputs that have ended already do not start us in the middle.
  goal->pending_count = 1;
  for (size_t i = 0; i < drv->input_drv_count && goal->stage == GOAL_INPUTS; i++) {
    StorePath path;
    // derivation_parse has checked it.
    if (!store_parse_path(graph->store, drv->input_drvs[i].key, &path, NULL)) continue;
    Goal *input =
        get_goal(graph, &path, drv->input_drvs[i].outputs, drv->input_drvs[i].output_count, SCHEDULER_NORMAL, false);
    goal->inputs[goal->input_count++] = input;
    goal->pending_count++;
    if (input->stage == GOAL_ENDED) input_ended(goal, input);
    else add_edge(input, goal);
  }
  if (goal->stage == GOAL_INPUTS && --goal->pending_count == 0) inputs_done(goal);
}

static void input_ended(Goal *waiter, Goal *input) {
  if (waiter->stage != GOAL_INPUTS) return; // it has failed because of another input
  waiter->pending_count--;
  if (input->failed) {
    waiter->failed_count++;
    if (!waiter->failed_input) waiter->failed_input = input;
    if (!waiter->graph->config->keep_going) waiter->pending_count = 0;
  }
  if (waiter->pending_count == 0) inputs_done(waiter);
}

static void expect_build(Goal *goal) {
  if (goal->counted) return;
  goal->counted = true;
  goal->graph->counts.builds_expected++;
  emit_counts(goal->graph);
}

// --- fetch

static void fetched(void *ctx) {
  Goal *goal = ctx;
  goal->graph->job_count--;
  if (--goal->fetch_pending == 0) examine(goal);
}

// Any thread.
static void on_fetched(void *ctx, SubstitutersResult result, const Err *err) {
  GoalFetch *fetch = ctx;
  fetch->result = result;
  if (result == SUBSTITUTERS_FAILED) err_set(&fetch->err, err->kind, "%s", err_message(err));
  loop_post(fetch->goal->graph->loop, fetched, fetch->goal);
}

// While it runs, fetches are not added, so that their places are fixed.
static void start_fetches(Goal *goal) {
  goal->stage = GOAL_FETCH;
  size_t first = 0;
  while (goal->fetches[first].asked) first++;
  goal->fetch_pending = goal->fetch_count - first;
  goal->graph->job_count += goal->fetch_pending;
  for (size_t i = first; i < goal->fetch_count; i++) {
    goal->fetches[i].asked = true;
    substituters_start(goal->graph->config->substituters, &goal->fetches[i].path, on_fetched, &goal->fetches[i]);
  }
}

static void examined(Goal *goal) {
  if (is_stopped(goal)) return;
  if (goal->result == JOB_FAILED) fail_goal(goal);
  else if (goal->result == JOB_FETCH) start_fetches(goal);
  else if (goal->result == JOB_BUILD) {
    expect_build(goal);
    start_inputs(goal);
  } else if (goal->examine_again) examine(goal);
  else end_goal(goal);
}

static void examine(Goal *goal) {
  goal->stage = GOAL_EXAMINE;
  goal->examine_again = false;
  if (!is_stopped(goal)) submit(goal, examine_work, examined);
}

// --- prepare

static bool all_outputs_valid(Goal *goal, bool *ret) {
  *ret = true;
  if (!find_realisations(goal)) return false;
  for (size_t i = 0; i < goal->drv.output_count && *ret; i++) {
    *ret = goal->output_known[i];
    if (*ret && !store_pin(goal->graph->store, &goal->output_paths[i], ret, &goal->err)) return false;
  }
  return true;
}

// Outputs whose paths are not known cannot be locked: the derivation is, as in C++ Nix.
static bool take_lock(Goal *goal, bool *ret_taken) {
  bool dynamic = is_dynamic(goal);
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
  if (is_dynamic(goal))
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

static void prepare_work(Goal *goal) {
  goal->result = prepare(goal);
  if (goal->result == JOB_BUILD) return;
  if (goal->lock) store_lock_release(STEAL(goal->lock));
}

static void give_slot_back(Goal *goal) {
  if (!goal->holds_slot) return;
  goal->holds_slot = false;
  goal->graph->running_count--;
  start_ready(goal->graph);
}

static void retry_lock(void *ctx) {
  Goal *goal = ctx;
  goal->retry_timer = NULL;
  if (!is_stopped(goal)) become_ready(goal);
}

static void wait_for_lock(Goal *goal) {
  goal->stage = GOAL_LOCKED;
  if (!goal->retry_ms) {
    goal->retry_ms = LOCK_RETRY_FIRST_MS;
    emit(goal, SCHEDULER_EVENT_LOCK_WAIT, SPAN(""));
  } else if (goal->retry_ms < LOCK_RETRY_LAST_MS) goal->retry_ms *= 2;
  goal->retry_timer = loop_add_timer(goal->graph->loop, loop_now_ns() + goal->retry_ms * 1000000ull, retry_lock, goal);
  give_slot_back(goal);
}

static void start_build(Goal *goal);

static void prepared(Goal *goal) {
  if (goal->graph->cancelled && goal->lock) store_lock_release(STEAL(goal->lock));
  if (is_stopped(goal)) return;
  switch (goal->result) {
  case JOB_FAILED:
    // A derivation that contradicts itself fails as a build does.
    if (goal->err.kind == ERR_BUILD_FAILED) goal->graph->failure_bits |= 4;
    fail_goal(goal);
    break;
  case JOB_VALID:
  case JOB_FETCH: end_goal(goal); break; // fetching is examining's
  case JOB_LOCKED: wait_for_lock(goal); break;
  case JOB_BUILD: start_build(goal); break;
  }
}

// Used outputs of the inputs. What the inputs know is copied now: they belong to the loop's thread.
static void collect_input_outputs(Goal *goal) {
  size_t count = 0;
  for (size_t i = 0; i < goal->input_count; i++) count += goal->drv.input_drvs[i].output_count;
  goal->input_outputs = ARENA_ARRAY(&goal->arena, StorePath, count);
  goal->input_output_count = 0;
  for (size_t i = 0; i < goal->input_count; i++)
    for (size_t j = 0; j < goal->drv.input_drvs[i].output_count; j++)
      if (goal_graph_output(goal->inputs[i], goal->drv.input_drvs[i].outputs[j],
                            &goal->input_outputs[goal->input_output_count]))
        goal->input_output_count++;
}

// With --max-jobs 0 only builtin builders get here (goal_check).
static size_t slot_count(const GoalGraph *graph) {
  return graph->config->max_jobs ? graph->config->max_jobs : 1;
}

// The most urgent one, among equals the one that has waited longest. Looking at all costs nothing beside a build.
static Goal *take_ready(GoalGraph *graph) {
  Goal **best = &graph->ready_first;
  for (Goal **at = best; *at; at = &(*at)->next_ready)
    if ((*at)->height > (*best)->height) best = at;
  Goal *goal = *best;
  *best = goal->next_ready;
  if (!*best) graph->ready_last = best;
  return goal;
}

static void start_ready(GoalGraph *graph) {
  while (graph->ready_first && graph->running_count < slot_count(graph)) {
    Goal *goal = take_ready(graph);
    goal->stage = GOAL_PREPARE;
    goal->holds_slot = true;
    graph->running_count++;
    if (!goal->input_outputs) collect_input_outputs(goal);
    submit(goal, prepare_work, prepared);
  }
}

// --- build

static bool locate(void *ctx, const CastoreNode *input, Buf *ret_path, Err *err UNUSED) {
  const Goal *goal = ctx;
  build_prepare_locate(goal->graph->store, input->name, ret_path);
  return true;
}

static void on_line(void *ctx, Span line) {
  emit(ctx, SCHEDULER_EVENT_BUILD_LINE, line);
}

static void on_phase(void *ctx, Span phase) {
  emit(ctx, SCHEDULER_EVENT_BUILD_PHASE, phase);
}

static void finish_work(Goal *goal);
static void finished(Goal *goal);

static void finish(Goal *goal) {
  goal->stage = GOAL_FINISH;
  give_slot_back(goal);
  submit(goal, finish_work, finished);
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

// The builder has ended, one way or the other.
static void build_ended(Goal *goal) {
  goal->graph->build_count--;
  goal->graph->counts.builds_running--;
  note_times(goal);
  if (goal->built.outcome == BUILD_SUCCEEDED && !goal->graph->cancelled) {
    finish(goal);
    return;
  }
  if (goal->graph->cancelled) goal->built.outcome = BUILD_CANCELLED;
  Buf path = BUF_INIT, outputs = BUF_INIT;
  put_path(goal, &path);
  for (size_t i = 0; i < goal->wanted_count; i++) buf_printf(&outputs, "%s%s", i ? "," : "", goal->wanted[i]);
  if (goal->wants_all) {
    buf_clear(&outputs);
    buf_put_char(&outputs, '*');
  }
  FailureTextInput input = {buf_span(&path), buf_span(&outputs), &goal->build_options, &goal->built,
                            goal->graph->config->logs_shown};
  // Builders of fixed and impure outputs have the network: their failure may be the network's, and counts as passing (exit status 1).
  bool permanent = goal->built.outcome == BUILD_EXITED || goal->built.outcome == BUILD_SIGNALLED;
  if (permanent && goal->type != DERIVATION_TYPE_FIXED && goal->type != DERIVATION_TYPE_IMPURE)
    goal->graph->failure_bits |= 4;
  if (goal->built.outcome == BUILD_TIMED_OUT || goal->built.outcome == BUILD_SILENT) goal->graph->failure_bits |= 4 | 1;
  failure_text_set(&input, &goal->err);
  goal->failed = true;
  buf_done(&path);
  buf_done(&outputs);
  end_goal(goal);
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

static void start_build(Goal *goal) {
  GoalGraph *graph = goal->graph;
  goal->stage = GOAL_BUILD;
  set_build_options(goal);
  graph->build_count++;
  graph->counts.builds_running++;
  emit_start(goal);
  emit_counts(graph);
  if (span_has_prefix(goal->drv.builder, SPAN("builtin:"))) {
    submit(goal, builtin_work, builtin_done);
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

// --- finish

static void finish_work(Goal *goal) {
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
  for (size_t i = 0; ok && is_dynamic(goal) && i < goal->drv.output_count; i++) {
    goal->output_paths[i] = paths[i];
    goal->output_known[i] = true;
  }
  goal->result = ok && (goal->mode == SCHEDULER_CHECK || put_realisations(goal)) ? JOB_VALID : JOB_FAILED;
  store_lock_release(STEAL(goal->lock));
}

static void finished(Goal *goal) {
  if (goal->result == JOB_VALID) {
    end_goal(goal);
    return;
  }
  if (goal->err.kind == ERR_HASH_MISMATCH) goal->graph->failure_bits |= 4 | 2;
  if (goal->err.kind == ERR_NOT_DETERMINISTIC) goal->graph->failure_bits |= 8;
  if (goal->graph->config->keep_failed) failure_text_keep(service_keep(goal->handle), &goal->err);
  fail_goal(goal);
}

// --- the end

static void keep_outputs(Goal *goal) {
  if (goal->is_path || goal->failed) return;
  goal->outputs = mem_alloc_array(goal->drv.output_count, sizeof *goal->outputs);
  for (size_t i = 0; i < goal->drv.output_count; i++)
    if (goal->output_known[i])
      goal->outputs[goal->output_count++] = (GoalOutput){span_dup(goal->drv.outputs[i].name), goal->output_paths[i]};
}

static void count_end(Goal *goal) {
  if (!goal->counted) return;
  SchedulerCounts *counts = &goal->graph->counts;
  if (goal->failed) counts->builds_failed++;
  else counts->builds_done++;
  emit_counts(goal->graph);
}

static void drop_inputs(Goal *goal);

static void tell_holders(Goal *goal) {
  while (goal->holders) {
    GoalHolder *holder = goal->holders;
    goal->holders = holder->next;
    if (holder->next) holder->next->link = &goal->holders;
    holder->link = NULL;
    holder->next = NULL;
    holder->ended(holder);
  }
}

static void tell_waiters(Goal *goal) {
  while (goal->waiters) {
    GoalEdge *edge = goal->waiters;
    goal->waiters = edge->next;
    input_ended(edge->waiter, goal);
    mem_free(edge);
  }
}

// What follows from an end can be further ends, along chains of any length: they wait in a queue instead of on the stack.
static void tell_ends(GoalGraph *graph) {
  if (graph->telling) return;
  graph->telling = true;
  while (graph->ended_first) {
    Goal *goal = graph->ended_first;
    graph->ended_first = goal->next_ended;
    if (!graph->ended_first) graph->ended_last = &graph->ended_first;
    if (goal->failed) drop_inputs(goal);
    mem_free(STEAL(goal->inputs));
    goal->input_count = 0;
    tell_holders(goal);
    tell_waiters(goal);
  }
  graph->telling = false;
}

static void end_goal(Goal *goal) {
  GoalGraph *graph = goal->graph;
  bool was_building = goal->stage == GOAL_BUILD || goal->stage == GOAL_FINISH;
  goal->stage = GOAL_ENDED;
  if (was_building)
    emit(goal, SCHEDULER_EVENT_BUILD_STOP, goal->failed ? span_cstr(err_message(&goal->err)) : SPAN(""));
  keep_outputs(goal);
  if (goal->lock) store_lock_release(STEAL(goal->lock));
  service_release(STEAL(goal->handle));
  builtin_builder_done(&goal->builtin);
  if (goal->is_prepared) store_path_list_done(&goal->prepared.closure);
  mem_free(STEAL(goal->name));
  mem_free(STEAL(goal->log_path));
  give_slot_back(goal);
  count_end(goal);
  arena_done(&goal->arena);
  goal->arena = (Arena)ARENA_INIT;
  *graph->ended_last = goal;
  graph->ended_last = &goal->next_ended;
  tell_ends(graph);
}

// --- giving up

static bool remove_ready(GoalGraph *graph, Goal *goal) {
  for (Goal **at = &graph->ready_first; *at; at = &(*at)->next_ready) {
    if (*at != goal) continue;
    *at = goal->next_ready;
    if (!*at) graph->ready_last = at;
    return true;
  }
  return false;
}

static void stop_build(Goal *goal) {
  if (goal->handle) service_cancel(goal->handle);
  else builtin_builder_cancel(&goal->builtin_cancel);
}

// A goal that nobody wants any more, in a stage where it can be stopped at once. It leaves the map, so that who wants it later
// gets a new one.
static void give_up(Goal *goal) {
  GoalGraph *graph = goal->graph;
  if (goal->holders || goal->waiter_count || graph->cancelled) return;
  switch (goal->stage) {
  case GOAL_INPUTS: break;
  case GOAL_READY: remove_ready(graph, goal); break;
  case GOAL_LOCKED: loop_remove(STEAL(goal->retry_timer)); break;
  case GOAL_BUILD: stop_build(goal); return;
  case GOAL_EXAMINE:
  case GOAL_FETCH:
  case GOAL_RESOLVE:
  case GOAL_PREPARE:
  case GOAL_FINISH:
  case GOAL_ENDED: return;
  }
  Buf key = BUF_INIT;
  buf_put_char(&key, goal->is_path ? 'p' : goal->mode == SCHEDULER_CHECK ? 'c' : 'd');
  store_path_format_base(&goal->path, &key);
  map_remove(&graph->goals, buf_span(&key));
  buf_done(&key);
  MEM_RESERVE(graph->retired, graph->retired_cap, graph->retired_count + 1);
  graph->retired[graph->retired_count++] = goal;
  err_set(&goal->err, ERR_INTERRUPTED, "nobody needs it any more");
  if (goal->counted) {
    graph->counts.builds_expected--;
    goal->counted = false;
  }
  fail_goal(goal);
}

// A failed goal no longer waits for its other inputs.
static void drop_inputs(Goal *goal) {
  for (size_t i = 0; i < goal->input_count; i++) {
    Goal *input = goal->inputs[i];
    for (GoalEdge **at = &input->waiters; *at; at = &(*at)->next) {
      if ((*at)->waiter != goal) continue;
      GoalEdge *edge = *at;
      *at = edge->next;
      input->waiter_count--;
      mem_free(edge);
      give_up(input);
      break;
    }
  }
}

void goal_graph_release(GoalGraph *graph UNUSED, GoalHolder *holder) {
  if (!holder->link) return;
  *holder->link = holder->next;
  if (holder->next) holder->next->link = holder->link;
  holder->link = NULL;
  give_up(holder->goal);
}

void goal_graph_cancel(GoalGraph *graph) {
  if (graph->cancelled) return;
  graph->cancelled = true;
  if (graph->config->substituters) substituters_cancel(graph->config->substituters);
  // Ending a goal changes the map's goals but not the map.
  for (MapEntry *e = map_first(&graph->goals); e; e = map_next(&graph->goals, e)) {
    Goal *goal = e->value;
    switch (goal->stage) {
    case GOAL_READY:
      remove_ready(graph, goal);
      is_stopped(goal);
      break;
    case GOAL_LOCKED:
      loop_remove(STEAL(goal->retry_timer));
      is_stopped(goal);
      break;
    case GOAL_INPUTS: is_stopped(goal); break;
    case GOAL_BUILD: stop_build(goal); break;
    case GOAL_EXAMINE:
    case GOAL_FETCH:
    case GOAL_RESOLVE:
    case GOAL_PREPARE:
    case GOAL_FINISH:
    case GOAL_ENDED: break; // the job's end looks
    }
  }
}

// --- the outside

static void hold(Goal *goal, GoalHolder *holder) {
  holder->goal = goal;
  if (goal->stage == GOAL_ENDED) {
    holder->link = NULL;
    holder->ended(holder);
    return;
  }
  holder->next = goal->holders;
  if (holder->next) holder->next->link = &holder->next;
  holder->link = &goal->holders;
  goal->holders = holder;
}

void goal_graph_want(GoalGraph *graph, const StorePath *drv_path, const Span *outputs, size_t output_count,
                     SchedulerMode mode, GoalHolder *holder) {
  hold(get_goal(graph, drv_path, outputs, output_count, mode, false), holder);
}

void goal_graph_want_path(GoalGraph *graph, const StorePath *path, GoalHolder *holder) {
  hold(get_goal(graph, path, NULL, 0, SCHEDULER_NORMAL, true), holder);
}

bool goal_graph_has_failed(const Goal *goal) {
  return goal->failed;
}

void goal_graph_copy_err(const Goal *goal, Err *ret_err, Err *ret_cause) {
  const Err *cause = err_is_set(&goal->cause) ? &goal->cause : &goal->err;
  err_set(ret_err, goal->err.kind, "%s", err_message(&goal->err));
  err_set(ret_cause, cause->kind, "%s", err_message(cause));
}

bool goal_graph_output(const Goal *goal, Span output, StorePath *ret) {
  for (size_t i = 0; i < goal->output_count; i++) {
    if (!span_eq_cstr(output, goal->outputs[i].name)) continue;
    *ret = goal->outputs[i].path;
    return true;
  }
  return false;
}

bool goal_graph_times(const Goal *goal, SchedulerTimes *ret) {
  const Goal *built = goal->resolved ? goal->resolved : goal;
  if (built->was_built) *ret = built->times;
  return built->was_built;
}

bool goal_graph_is_idle(const GoalGraph *graph) {
  return !graph->job_count && !graph->build_count;
}

int goal_graph_failure_status(const GoalGraph *graph) {
  return graph->failure_bits ? 0x60 | graph->failure_bits : 0;
}

SchedulerCounts goal_graph_counts(const GoalGraph *graph) {
  return graph->counts;
}

bool goal_graph_new(Store *store, const SchedulerConfig *config, Loop *loop, GoalGraph **ret, Err *err) {
  GoalGraph *graph = mem_alloc_zero(sizeof *graph);
  graph->store = store;
  graph->config = config;
  graph->loop = loop;
  graph->ready_last = &graph->ready_first;
  graph->ended_last = &graph->ended_first;
  graph->hashes = drv_hashes_new(store);
  if (!local_builder_new(&config->builder, loop, &graph->service, err)) {
    drv_hashes_free(graph->hashes);
    mem_free(graph);
    return false;
  }
  // Jobs mostly wait for the disk or compute; one more than there are cores keeps both busy.
  unsigned cores = process_cpu_count();
  graph->pool = pool_new(cores > 3 ? cores + 1 : 4);
  *ret = graph;
  return true;
}

void goal_graph_free(GoalGraph *graph) {
  if (!graph) return;
  pool_free(graph->pool);
  for (MapEntry *e = map_first(&graph->goals); e; e = map_next(&graph->goals, e)) free_goal(e->value);
  for (size_t i = 0; i < graph->retired_count; i++) free_goal(graph->retired[i]);
  map_done(&graph->goals);
  mem_free(graph->retired);
  service_free(graph->service);
  drv_hashes_free(graph->hashes);
  mem_free(graph);
}
