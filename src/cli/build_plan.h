// build_plan.h: what has to be built, before anything is: "these 2 derivations will be built".
#pragma once

#include "cli/session.h"

typedef struct BuildPlan {
  Span *drvs; // paths, inputs before their users; in `arena` of the session; the array is owned
  size_t count, cap;
} BuildPlan;

void build_plan_done(BuildPlan *plan);
// Adds the derivation unless `output` is valid, and so on for its inputs. Reads only.
MUST_CHECK bool build_plan_add(Session *session, BuildPlan *plan, Map *seen, const StorePath *drv, Span output,
                               Err *err);
// As C++ Nix words it; nothing for an empty plan.
void build_plan_print(Session *session, const BuildPlan *plan);
