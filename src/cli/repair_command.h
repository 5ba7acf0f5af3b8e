// repair_command.h: repairing what was named, or found to be damaged.
#pragma once

#include "cli/build_command.h"

// nix-store --repair-path.
int repair_command_paths(Session *session);
// --repair of a build: everything that the built targets refer to, and they themselves. The exit code.
int repair_command_targets(Session *session, const BuildTargetList *targets);
// Repairs these paths; those that stay damaged are said. The exit code.
int repair_command_list(Session *session, const StorePathList *paths, size_t *ret_failed);
