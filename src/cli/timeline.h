// timeline.h: what --timings and --trace tell about a session: puts builds, fetches, evaluation, and what parts of the evaluation waited for, into one
// BuildTrace.
#pragma once

#include "realise/build_trace.h"
#include "store/substituters.h"

typedef struct Timeline Timeline;

Timeline *timeline_new(void);
void timeline_free(Timeline *timeline); // NULL is fine
// The others take a NULL timeline and do nothing then. Any thread.
void timeline_build(Timeline *timeline, const SchedulerEvent *event);
void timeline_fetch(Timeline *timeline, const SubstitutersEvent *event);
// A part of the evaluation waits for this derivation, until it has been built.
void timeline_wait(Timeline *timeline, Span drv_path);
// The evaluator is there; it is gone.
void timeline_evaluation(Timeline *timeline, bool begins);
// Ends what is not ended. Borrowed.
BuildTrace *timeline_trace(Timeline *timeline);
