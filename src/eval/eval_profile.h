// eval_profile.h: where evaluation spends its time, by sampling.
//
// A timer signal asks for a sample; the VM takes it at its next safepoint, by walking the explicit frames of the running task. Nothing is
// counted or checked while no profile is taken. A sample weighs the processor time of this thread since the one before, so that
// neither waiting nor the delay between signal and safepoint distorts the sums.
//
// A stack is a path in a tree of frames. Besides functions, values and builtins there are frames for what the work is *about*: the derivation
// that is instantiated, and the text of addErrorContext, which is how the module system says which option it evaluates. That text is
// normally never evaluated: eval_profile_finish does it, after the evaluation.
#pragma once

#include "base/arena.h"
#include "eval/vm.h"

#define EVAL_PROFILE_DEFAULT_HZ 2000u
#define EVAL_PROFILE_MAX_HZ 20000u
#define EVAL_PROFILE_MAX_DEPTH 4000u // frames of one stack; the ones below are left out

typedef enum EvalProfileKind {
  EVAL_PROFILE_FUNCTION,
  EVAL_PROFILE_VALUE,   // a delayed value, with the attribute's or variable's name
  EVAL_PROFILE_FILE,    // the expression of a whole file
  EVAL_PROFILE_BUILTIN, // one that calls back or forces
  EVAL_PROFILE_CALL,    // the call of one that does not: known by its place
  EVAL_PROFILE_PACKAGE, // a derivation
  EVAL_PROFILE_OPTION,  // of the module system
  EVAL_PROFILE_CONTEXT, // another text of addErrorContext
  EVAL_PROFILE_INNER,   // of the evaluator: comparing, coercing, collecting garbage
} EvalProfileKind;

typedef struct EvalProfileFrame {
  EvalProfileKind kind;
  Span name; // "" for anonymous functions
  Span file; // "" for what has no place
  uint32_t line, column;
} EvalProfileFrame;

typedef struct EvalProfileNode { // a stack: node 0 is the empty one
  uint32_t parent;               // smaller than the node's own number
  uint32_t frame;
  uint64_t self_ns; // time with exactly this stack
} EvalProfileNode;

typedef struct EvalProfileSample {
  uint32_t node;
  uint64_t ns;
} EvalProfileSample;

typedef struct EvalProfileResult {
  Arena arena; // owns the text and the arrays
  EvalProfileFrame *frames;
  uint32_t frame_count;
  EvalProfileNode *nodes;
  uint32_t node_count;
  EvalProfileSample *samples; // in order of time; neighbours differ
  size_t sample_count;
  uint64_t total_ns, collect_ns; // collect_ns: of that, in the garbage collector
  uint64_t taken;                // stacks that were looked at
} EvalProfileResult;

typedef struct EvalProfile EvalProfile;

// Starts sampling `vm` on this thread, the one that will run it; sets vm->profile. The signal is SIGPROF. `hz` is clamped.
MUST_CHECK bool eval_profile_start(Vm *vm, unsigned hz, Err *err);
// Ends it and gives what was found. Nothing may be evaluating. Evaluates texts of addErrorContext; errors in them are dropped.
void eval_profile_finish(Vm *vm, EvalProfileResult *ret);
void eval_profile_result_done(EvalProfileResult *result);

// For the VM: whether a signal has come, and the sample that it wants. The task's registers are spilled.
bool eval_profile_is_due(const EvalProfile *profile);
void eval_profile_sample(Vm *vm, const Task *task);
// For the VM: a collection lasted so long.
uint64_t eval_profile_clock(void);
void eval_profile_collected(EvalProfile *profile, uint64_t ns);
