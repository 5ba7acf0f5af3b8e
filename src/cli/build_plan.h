// build_plan.h: what has to be built and fetched, before anything is: "these 2 derivations will be built".
#pragma once

#include "cli/session.h"

typedef struct BuildPlan {
  Span *drvs; // to build: paths, inputs before their users; in `arena` of the session; the array is owned
  size_t count, cap;
  StorePathList fetches; // what caches have, with what it refers to
  StorePathList unknown; // store paths that nobody has
  uint64_t download_bytes, nar_bytes;
  Map seen_drvs, seen_paths;
} BuildPlan;

void build_plan_done(BuildPlan *plan);
// Adds the derivation unless `output` is valid or can be fetched, and so on for its inputs. Builds and fetches nothing.
MUST_CHECK bool build_plan_add(Session *session, BuildPlan *plan, const StorePath *drv, Span output, Err *err);
MUST_CHECK bool build_plan_add_path(Session *session, BuildPlan *plan, const StorePath *path, Err *err);
// As C++ Nix words it; nothing for an empty plan.
void build_plan_print(Session *session, LogLevel level, BuildPlan *plan);
