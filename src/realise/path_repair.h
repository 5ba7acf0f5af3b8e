// path_repair.h: makes valid store paths whole again whose contents were damaged: from what the store itself still has, from the substituters, or by
// building what made them once more. Behind nix-store --repair-path, nix store repair, and --repair of builds.
//
// A rebuilt output counts only if it is, byte for byte, what is recorded: other paths have been built against it.
// Test: test/cli/repair_test.sh.
#pragma once

#include "realise/scheduler.h"
#include "store/store.h"

typedef struct PathRepair PathRepair;

typedef enum PathRepairState {
  PATH_REPAIR_WHOLE,   // it was
  PATH_REPAIR_LOCAL,   // from what the store has
  PATH_REPAIR_FETCHED, // from a substituter
  PATH_REPAIR_REBUILT,
} PathRepairState;

// Borrowed; remembers which paths it has looked at, so that many can be repaired without looking at shared inputs again. `report` may be NULL.
PathRepair *path_repair_new(Scheduler *scheduler, void (*report)(void *ctx, const char *problem, bool repaired),
                            void *ctx);
void path_repair_free(PathRepair *repair);
// Looks at every byte. Fails when the path stays damaged: "cannot repair path '...'". Blocks.
MUST_CHECK bool path_repair_run(PathRepair *repair, const StorePath *path, PathRepairState *ret, Err *err);
