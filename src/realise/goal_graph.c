// goal_graph.c: see goal_graph.h. What a goal does next when a stage of it has ended, and who is told of its end; the stages themselves
// are in goal_examine.c, goal_fetch.c, goal_resolve.c and goal_build.c, which know nothing of other goals.
#include "realise/goal_graph.h"

#include "base/log.h"
#include "base/map.h"
#include "realise/failure_text.h"
#include "realise/goal_build.h"
#include "realise/goal_event.h"
#include "realise/goal_examine.h"
#include "realise/goal_fetch.h"
#include "realise/goal_realisation.h"
#include "realise/goal_resolve.h"

// How long to wait before looking again whether another process has released its lock: from the first to the last, doubling.
enum { LOCK_RETRY_FIRST_MS = 10, LOCK_RETRY_LAST_MS = 500 };

static void examine(Goal *goal);
static void end_goal(Goal *goal);
static void start_ready(GoalGraph *graph);
static void input_ended(Goal *waiter, Goal *input);

// --- finding goals

// Finds or makes the goal, and has it looked at (again) where the answer may have changed.
static Goal *get_goal(GoalGraph *graph, const StorePath *path, const Span *outputs, size_t count, SchedulerMode mode,
                      bool is_path) {
  Buf key = BUF_INIT;
  buf_put_char(&key, is_path ? 'p' : mode == SCHEDULER_CHECK ? 'c' : 'd');
  store_path_format_base(path, &key);
  Goal *goal = map_get(&graph->goals, buf_span(&key));
  bool is_new = !goal;
  if (goal && goal->stage == GOAL_ENDED && !goal->failed && goal_add_wanted(goal, outputs, count)) {
    // It ended without looking at these outputs. Others may still ask the old one.
    MEM_RESERVE(graph->retired, graph->retired_cap, graph->retired_count + 1);
    graph->retired[graph->retired_count++] = goal;
    is_new = true;
  }
  if (is_new) {
    goal = goal_new(graph, path, mode, is_path);
    map_set(&graph->goals, buf_span(&key), goal);
  }
  buf_done(&key);
  bool more = goal_add_wanted(goal, outputs, count);
  if (is_new) examine(goal);
  else if (more && (goal->stage == GOAL_EXAMINE || goal->stage == GOAL_FETCH)) goal->examine_again = true;
  return goal;
}

// --- stopping

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

// --- waiting for each other

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

// --- resolved: another derivation is built in its place

static void adopt_work(Goal *goal) {
  goal->result = goal_realisation_put(goal) ? JOB_VALID : JOB_FAILED;
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
    goal->output_known[i] = goal_find_output(goal->resolved, goal->drv.outputs[i].name, &goal->output_paths[i]);
    complete &= goal->output_known[i] || !goal_is_wanted(goal, goal->drv.outputs[i].name);
  }
  if (!complete) { // more has been wanted meanwhile
    want_resolved(goal);
    return;
  }
  goal->stage = GOAL_RESOLVE;
  goal_submit(goal, adopt_work, adopted);
}

static void resolved(Goal *goal) {
  if (is_stopped(goal)) return;
  if (goal->result == JOB_FAILED) {
    fail_goal(goal);
    return;
  }
  Buf from = BUF_INIT, to = BUF_INIT;
  goal_put_path(goal, &from);
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
  goal_resolve_collect_inputs(goal);
  goal->stage = GOAL_RESOLVE;
  goal_submit(goal, goal_resolve_run, resolved);
}

// Fails as the derivation did that this one resolved to.
static void fail_as_resolved(Goal *goal) {
  const Goal *from = goal->resolved;
  err_set(&goal->err, from->err.kind, "%s", err_message(&from->err));
  if (err_is_set(&from->cause)) err_set(&goal->cause, from->cause.kind, "%s", err_message(&from->cause));
  fail_goal(goal);
}

// --- inputs

static void inputs_done(Goal *goal) {
  if (!goal->failed_count) {
    if (goal->resolved) adopt_outputs(goal);
    else if (goal_resolve_is_needed(goal)) start_resolving(goal);
    else become_ready(goal);
    return;
  }
  if (goal->resolved) {
    fail_as_resolved(goal);
    return;
  }
  Buf path = BUF_INIT;
  goal_put_path(goal, &path);
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

// --- examining

static void expect_build(Goal *goal) {
  if (goal->counted) return;
  goal->counted = true;
  goal->graph->counts.builds_expected++;
  goal_event_counts(goal->graph);
}

static void examined(Goal *goal) {
  if (is_stopped(goal)) return;
  if (goal->result == JOB_FAILED) fail_goal(goal);
  else if (goal->result == JOB_FETCH) {
    goal->stage = GOAL_FETCH;
    goal_fetch_start(goal, examine);
  } else if (goal->result == JOB_BUILD) {
    expect_build(goal);
    start_inputs(goal);
  } else if (goal->examine_again) examine(goal);
  else end_goal(goal);
}

static void examine(Goal *goal) {
  goal->stage = GOAL_EXAMINE;
  goal->examine_again = false;
  if (!is_stopped(goal)) goal_submit(goal, goal_examine_run, examined);
}

// --- slots, and the build that takes one

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
    goal_event_emit(goal, SCHEDULER_EVENT_LOCK_WAIT, SPAN(""));
  } else if (goal->retry_ms < LOCK_RETRY_LAST_MS) goal->retry_ms *= 2;
  goal->retry_timer = loop_add_timer(goal->graph->loop, loop_now_ns() + goal->retry_ms * 1000000ull, retry_lock, goal);
  give_slot_back(goal);
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

static void built(Goal *goal) {
  if (goal->result == JOB_FAILED) {
    fail_goal(goal);
    return;
  }
  goal->stage = GOAL_FINISH;
  give_slot_back(goal);
  goal_submit(goal, goal_build_register, finished);
}

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
  case JOB_BUILD:
    goal->stage = GOAL_BUILD;
    goal_build_start(goal, built);
    break;
  }
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
    if (!goal->input_outputs) goal_build_collect_inputs(goal);
    goal_submit(goal, goal_build_prepare, prepared);
  }
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
  goal_event_counts(goal->graph);
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
    goal_event_emit(goal, SCHEDULER_EVENT_BUILD_STOP, goal->failed ? span_cstr(err_message(&goal->err)) : SPAN(""));
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

// A goal that nobody wants any more, in a stage where it can be stopped at once. It leaves the map, so that who wants it later
// gets a new one.
static void give_up(Goal *goal) {
  GoalGraph *graph = goal->graph;
  if (goal->holders || goal->waiter_count || graph->cancelled) return;
  switch (goal->stage) {
  case GOAL_INPUTS: break;
  case GOAL_READY: remove_ready(graph, goal); break;
  case GOAL_LOCKED: loop_remove(STEAL(goal->retry_timer)); break;
  case GOAL_BUILD: goal_build_stop(goal); return;
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
    case GOAL_BUILD: goal_build_stop(goal); break;
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
  return goal_find_output(goal, output, ret);
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
  for (MapEntry *e = map_first(&graph->goals); e; e = map_next(&graph->goals, e)) goal_free(e->value);
  for (size_t i = 0; i < graph->retired_count; i++) goal_free(graph->retired[i]);
  map_done(&graph->goals);
  mem_free(graph->retired);
  service_free(graph->service);
  drv_hashes_free(graph->hashes);
  mem_free(graph);
}
