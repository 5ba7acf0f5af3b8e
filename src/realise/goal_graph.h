// goal_graph.h: goals and what they wait for. The inside of the scheduler: everything here happens in the thread of its event loop,
// but for the jobs that it gives to worker threads and whose results it takes there.
//
// What a goal is, and the stages that it passes through: goal.h.
#pragma once

#include "realise/scheduler.h"

typedef struct GoalGraph GoalGraph;
typedef struct Goal Goal;

// Somebody outside who wants a goal. Embedded in the owner's struct; linked into the goal until it ends or is released.
typedef struct GoalHolder {
  struct GoalHolder *next, **link; // link: who points here; NULL when not linked
  Goal *goal;
  void (*ended)(struct GoalHolder *holder); // called once, when the goal has ended; the holder is no longer linked
} GoalHolder;

// The configuration's text must outlive the graph.
MUST_CHECK bool goal_graph_new(Store *store, const SchedulerConfig *config, Loop *loop, GoalGraph **ret, Err *err);
// All goals have ended (goal_graph_is_idle).
void goal_graph_free(GoalGraph *graph);

// Finds or makes the goal and links the holder. `ended` may be called before this returns.
void goal_graph_want(GoalGraph *graph, const StorePath *drv_path, const Span *outputs, size_t output_count,
                     SchedulerMode mode, GoalHolder *holder);
void goal_graph_want_path(GoalGraph *graph, const StorePath *path, GoalHolder *holder);
// A goal that nobody holds and nobody waits for is given up: not started, or stopped.
void goal_graph_release(GoalGraph *graph, GoalHolder *holder);

// Of an ended goal.
bool goal_graph_has_failed(const Goal *goal);
// Copies; *ret_cause is what failed first, perhaps another goal. Of a failed goal.
void goal_graph_copy_err(const Goal *goal, Err *ret_err, Err *ret_cause);
// Of an ended goal: scheduler_times.
bool goal_graph_times(const Goal *goal, SchedulerTimes *ret);
bool goal_graph_output(const Goal *goal, Span output, StorePath *ret);

// Everything fails with ERR_INTERRUPTED, builders are killed, nothing is started any more.
void goal_graph_cancel(GoalGraph *graph);
bool goal_graph_is_idle(const GoalGraph *graph); // no job and no builder is running
int goal_graph_failure_status(const GoalGraph *graph);
SchedulerCounts goal_graph_counts(const GoalGraph *graph);
