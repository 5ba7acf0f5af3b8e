// build_trace_html.h: the page of `--timings`: totals and what would have helped, a timeline, the critical path, all builds by
// duration. Plain HTML and SVG: no scripts, nothing loaded from elsewhere.
#pragma once

#include "realise/build_trace_model.h"

void build_trace_html_format(const BuildTraceModel *model, unsigned max_jobs, Buf *ret);
