// goal_fetch.h: the paths that the substituters are asked for before a goal is built. Examining notes what is missing; all of it is then
// asked for at once, and the goal examined again. Nothing is asked for twice.
#pragma once

#include "realise/goal.h"

// Notes that `path` is to be fetched. False when that cannot be, or has been tried.
bool goal_fetch_want(Goal *goal, const StorePath *path);
bool goal_fetch_is_wanted(const Goal *goal); // something is noted that has not been asked for
// What failed to be fetched, borrowed. NULL when nothing did.
const GoalFetch *goal_fetch_failed(const Goal *goal);

// Asks for what is noted (goal_fetch_is_wanted); `then` is called in the loop's thread when all answers are there. Until then nothing may
// be noted, so that the places of the fetches are fixed.
void goal_fetch_start(Goal *goal, GoalFn then);
