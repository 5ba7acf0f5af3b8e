// build_trace.h: remembers when builds ran and what waited for what, and tells it afterwards: as Chrome trace JSON (Perfetto reads it), and as one
// HTML page that needs nothing else.
//
// Fed with the scheduler's events, and with spans that others measure (evaluation). The *critical path* is the chain of builds that ended last: from
// the build that ended last, again and again to the one of its inputs that ended last.
//
// Test: test/realise/build_trace_test.c.
#pragma once

#include "realise/scheduler.h"

typedef struct BuildTrace BuildTrace;

BuildTrace *build_trace_new(void);
void build_trace_free(BuildTrace *trace);
// Any thread.
void build_trace_event(BuildTrace *trace, const SchedulerEvent *event);
// Any thread. Something else that took time, on a row of its own ("evaluation").
void build_trace_span(BuildTrace *trace, Span row, Span name, uint64_t start_ns, uint64_t stop_ns);

// {"traceEvents":[…]}: complete events in microseconds since the first; one thread for each row; phases nested in their builds.
void build_trace_format_json(BuildTrace *trace, Buf *ret);
void build_trace_format_html(BuildTrace *trace, unsigned max_jobs, Buf *ret);
