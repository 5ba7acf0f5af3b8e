// goal_build.h: one build, from the locks on its outputs to their registration: the job before the builder runs, the builder, the job
// behind it. Slots, and what follows from a result, are the graph's.
#pragma once

#include "realise/goal.h"

// Notes the paths of used outputs of inputs, for goal_build_prepare: what inputs know belongs to the loop's thread.
void goal_build_collect_inputs(Goal *goal);
// Job: locks the outputs, looks again whether they are valid, makes the request. goal->result is JOB_BUILD, with goal->lock held until
// goal_build_register or the goal's end; JOB_VALID; JOB_LOCKED: another process has it; or JOB_FAILED with goal->err.
void goal_build_prepare(Goal *goal);

// In the loop's thread. Starts the builder, or for builtin: builders a job; `then` is called when it has ended (perhaps before this
// returns). goal->result is JOB_VALID, or JOB_FAILED with goal->err and the graph's failure_bits.
void goal_build_start(Goal *goal, GoalFn then);
// Kills the builder. It ends as any other does.
void goal_build_stop(Goal *goal);

// Job: checks and registers the outputs, and releases the lock. goal->result is JOB_VALID, or JOB_FAILED with goal->err.
void goal_build_register(Goal *goal);
