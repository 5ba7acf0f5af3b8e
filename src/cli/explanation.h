// explanation.h: why derivations have to be built: what has changed in them since the package was built last, traced to where the changes began.
//
// A derivation is compared with the one of the last build of the same package (build_history.h); an input that has changed is compared with its
// former self in turn. A derivation with a change that does not merely follow from its inputs is a *root cause*, as is one that was never built here, or
// whose outputs have been deleted since.
#pragma once

#include "cli/build_plan.h"
#include "realise/derivation_diff.h"

typedef enum ExplanationReason {
  EXPLANATION_NEW,     // nothing of this package was built here
  EXPLANATION_GONE,    // it was built, and its outputs are not there any more
  EXPLANATION_CHANGED, // it has changed itself
  EXPLANATION_INPUTS,  // only inputs have changed
} ExplanationReason;

typedef struct ExplanationNode {
  Span path; // of the derivation
  const Derivation *drv;
  Span before_path; // empty: there is none
  const Derivation *before;
  DerivationChange *changes;
  size_t change_count;
  ExplanationReason reason;
  bool is_wanted;   // it will be built; otherwise it is there, and only the cause for others
  uint64_t mean_ms; // of earlier builds; 0: unknown
  size_t *causes;   // nodes of its changed inputs, and of those that have to be built, too
  size_t cause_count;
  size_t rebuilds; // of a root cause: how many builds it is a cause of
} ExplanationNode;

typedef struct Explanation {
  ExplanationNode *nodes; // owned; those of the plan in its order, then others
  size_t count, cap;
  size_t *roots; // owned: root causes, those with the most rebuilds first
  size_t root_count;
  Map by_path; // private
} Explanation;

void explanation_done(Explanation *explanation);
// Text is in the session's arena.
MUST_CHECK bool explanation_make(Session *session, const BuildPlan *plan, Explanation *ret, Err *err);
