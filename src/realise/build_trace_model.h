// build_trace_model.h: what a BuildTrace has collected, put in order for those who write it out. Internal to build_trace.c and
// build_trace_html.c.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "build/build_cgroup.h"

typedef struct BuildTracePhase {
  const char *name;
  uint64_t start_ns;
} BuildTracePhase;

typedef struct BuildTraceItem {
  const char *name;           // "hello-2.10"
  const char *row;            // of a span; NULL: a build
  uint64_t start_ns, stop_ns; // stop 0: never ended
  bool failed, critical;
  BuildUsage usage; // zero where it is not known
  size_t lane;      // of a build: which of the rows that no two builds share at a time
  BuildTracePhase *phases;
  size_t phase_count, phase_cap;
  size_t *inputs; // items
  size_t input_count;
} BuildTraceItem;

typedef struct BuildTraceModel {
  BuildTraceItem *items; // builds and spans by start
  size_t count;
  size_t lane_count;
  uint64_t first_ns, last_ns;
  size_t *critical; // builds of the critical path in their order in time
  size_t critical_count;
  uint64_t critical_ns; // the sum of their durations
  uint64_t build_ns;    // the sum of all builds' durations
  uint64_t cpu_ns;      // the sum of their processor times
} BuildTraceModel;
