// goal_examine.h: the job that finds out what a goal needs: nothing, something from the substituters, or a build.
#pragma once

#include "realise/goal.h"

// Loads the derivation (once) and looks whether what is wanted is valid. goal->result is JOB_VALID; JOB_FETCH with what is missing noted
// (goal_fetch.h); JOB_BUILD, then it has been checked that the derivation may be built here; or JOB_FAILED with goal->err. What is
// valid is pinned.
void goal_examine_run(Goal *goal);
