// goal.c: see goal.h.
#include "realise/goal.h"

bool goal_is_dynamic(const Goal *goal) {
  return goal->type != DERIVATION_TYPE_INPUT_ADDRESSED && goal->type != DERIVATION_TYPE_FIXED;
}

void goal_put_path(const Goal *goal, Buf *ret) {
  store_format_path(goal->graph->store, &goal->path, ret);
}

bool goal_is_wanted(const Goal *goal, Span output) {
  for (size_t i = 0; i < goal->wanted_count; i++)
    if (span_eq_cstr(output, goal->wanted[i])) return true;
  return goal->wants_all;
}

bool goal_add_wanted(Goal *goal, const Span *outputs, size_t count) {
  bool more = false;
  if (!count && !goal->wants_all) more = goal->wants_all = true;
  for (size_t i = 0; i < count; i++) {
    if (goal_is_wanted(goal, outputs[i])) continue;
    MEM_RESERVE(goal->wanted, goal->wanted_cap, goal->wanted_count + 1);
    goal->wanted[goal->wanted_count++] = span_dup(outputs[i]);
    more = true;
  }
  return more;
}

Goal *goal_new(GoalGraph *graph, const StorePath *path, SchedulerMode mode, bool is_path) {
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

void goal_free(Goal *goal) {
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

bool goal_find_output(const Goal *goal, Span output, StorePath *ret) {
  for (size_t i = 0; i < goal->output_count; i++) {
    if (!span_eq_cstr(output, goal->outputs[i].name)) continue;
    *ret = goal->outputs[i].path;
    return true;
  }
  return false;
}

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

void goal_submit(Goal *goal, GoalFn work, GoalFn then) {
  Job *job = mem_alloc(sizeof *job);
  *job = (Job){goal, work, then};
  goal->graph->job_count++;
  pool_submit(goal->graph->pool, job_run, job);
}
