// goal_fetch.c: see goal_fetch.h.
#include "realise/goal_fetch.h"

bool goal_fetch_want(Goal *goal, const StorePath *path) {
  if (!goal->graph->config->substituters) return false;
  for (size_t i = 0; i < goal->fetch_count; i++)
    if (store_path_eq(&goal->fetches[i].path, path)) return !goal->fetches[i].asked;
  MEM_RESERVE(goal->fetches, goal->fetch_cap, goal->fetch_count + 1);
  goal->fetches[goal->fetch_count++] = (GoalFetch){.goal = goal, .path = *path};
  return true;
}

bool goal_fetch_is_wanted(const Goal *goal) {
  return goal->fetch_count && !goal->fetches[goal->fetch_count - 1].asked;
}

const GoalFetch *goal_fetch_failed(const Goal *goal) {
  for (size_t i = 0; i < goal->fetch_count; i++)
    if (goal->fetches[i].asked && goal->fetches[i].result == SUBSTITUTERS_FAILED) return &goal->fetches[i];
  return NULL;
}

static void fetched(void *ctx) {
  Goal *goal = ctx;
  goal->graph->job_count--;
  if (--goal->fetch_pending == 0) goal->fetch_then(goal);
}

// Any thread.
static void on_fetched(void *ctx, SubstitutersResult result, const Err *err) {
  GoalFetch *fetch = ctx;
  fetch->result = result;
  if (result == SUBSTITUTERS_FAILED) err_set(&fetch->err, err->kind, "%s", err_message(err));
  loop_post(fetch->goal->graph->loop, fetched, fetch->goal);
}

void goal_fetch_start(Goal *goal, GoalFn then) {
  goal->fetch_then = then;
  size_t first = 0;
  while (goal->fetches[first].asked) first++;
  goal->fetch_pending = goal->fetch_count - first;
  goal->graph->job_count += goal->fetch_pending;
  for (size_t i = first; i < goal->fetch_count; i++) {
    goal->fetches[i].asked = true;
    substituters_start(goal->graph->config->substituters, &goal->fetches[i].path, on_fetched, &goal->fetches[i]);
  }
}
