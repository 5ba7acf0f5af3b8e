// io_trace.h: an EvalIo that passes every question on to another one and tells somebody about it: --trace-eval-io.
//
// One line a question: "<µs since the start> <µs it took> <question> <path>: <answer>". Files whose compiled form is cached are
// only asked for by lstat.
#pragma once

#include "eval/eval_io.h"

typedef struct IoTrace IoTrace;

// `inner` is borrowed. `line` gets each line without newline.
IoTrace *io_trace_new(EvalIo *inner, void (*line)(void *ctx, Span text), void *ctx);
void io_trace_free(IoTrace *trace); // NULL is fine
EvalIo *io_trace_eval(IoTrace *trace);
