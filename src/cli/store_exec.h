// store_exec.h: the program of the user (a shell, a package's program) takes the place of this process.
//
// Where the store does not lie at its logical place (an unprivileged user's store, --store /dir), the program would not find /nix/store. It is then
// run in a mount namespace of its own in which the store appears there; without privileges in a user namespace, too. Namespaces can only be
// entered by a process with a single thread, so this process starts itself anew for that (store_exec_helper).
#pragma once

#include "cli/env_vars.h"
#include "cli/session.h"

// The name under which the program calls itself.
#define STORE_EXEC_HELPER "__exec-in-store"

// Ends the session and runs argv[0] (looked up in the PATH of `env`) with `argv` (NULL-terminated). Takes `env`. `system`: of the programs
// ("i686-linux" on x86-64 changes what uname says); NULL: as we are. Returns only when it failed: the exit code, the error is printed.
int store_exec_run(Session *session, const char *program, const char *const *argv, EnvVars *env, const char *system);
// STORE_EXEC_HELPER LOGICAL-DIR PHYSICAL-DIR PROGRAM ARGV... ; returns only when it failed.
int store_exec_helper(int argc, char **argv);
