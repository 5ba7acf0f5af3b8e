// goal_resolve.h: a derivation whose inputs' paths were not known becomes, once they are, another one, which is built in its place.
#pragma once

#include "realise/goal.h"

// Has one of its inputs, or it itself, paths that only building tells? Of a goal whose inputs have ended.
bool goal_resolve_is_needed(const Goal *goal);
// Notes the paths of the used outputs of inputs, for the job: what inputs know belongs to the loop's thread.
void goal_resolve_collect_inputs(Goal *goal);
// The job: writes the resolved derivation into the store. goal->result is JOB_VALID with resolved_path, or JOB_FAILED with goal->err.
void goal_resolve_run(Goal *goal);
