// goal_event.h: what whoever watches the scheduler is told of goals (SchedulerConfig.event). In the thread of the loop; nothing happens
// when nobody watches.
#pragma once

#include "realise/goal.h"

void goal_event_emit(Goal *goal, SchedulerEventKind kind, Span text);
// Its build starts: with its name, and the derivations that it waited for.
void goal_event_start(Goal *goal);
void goal_event_counts(GoalGraph *graph);
