// eval_profile_report.h: profiles as text: folded stacks, Speedscope's JSON, tables.
#pragma once

#include "eval/eval_profile.h"

// One line for each stack, "outermost;...;innermost MICROSECONDS", as flamegraph.pl, inferno and Speedscope read it.
void eval_profile_report_folded(const EvalProfileResult *result, Buf *ret);
// https://www.speedscope.app/file-format-schema.json: four profiles of the same time, with all frames, and with only packages, options or files.
// In order of time, unless that would be very long: then each stack once.
void eval_profile_report_speedscope(const EvalProfileResult *result, Span name, Buf *ret);
// The first `rows` packages, options, files and functions by their own time.
void eval_profile_report_summary(const EvalProfileResult *result, unsigned rows, Buf *ret);
