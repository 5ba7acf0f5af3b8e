// sandbox_bwrap.h: carries out a sandbox plan with bubblewrap, for systems where a security profile
// lets only bwrap make user namespaces.
//
// Differences from sandbox_native.h, all bubblewrap's (0.8): the builder is PID 2; one that is killed by signal n is reported as exit
// code 128+n; argv[0] is the program's path; a builder that cannot be executed is a line in its log and exit code 1; plans of more
// than about 3,000 binds and variables are refused (MAX_ARGS), and the time grows with the square of the binds (300: 155 ms,
// 1,000: 1.3 s). And when firn is killed with SIGKILL, the builder may live on: for /dev/pts bubblewrap makes a second user
// namespace, at which the kernel forgets that it was to die with its parent.
#pragma once

#include "build/sandbox_native.h"

// Is there a bwrap in PATH?
bool sandbox_bwrap_available(void);
// *ret is bubblewrap's own process, outside of the sandbox, with the builder's exit code. *ret_inner_pidfd is PID 1 of the
// sandbox's namespace (-1 when bubblewrap failed before it made one; its messages are in the log then): everything in the sandbox is dead only
// when that is, which may be a moment after *ret has ended. The caller closes it.
MUST_CHECK bool sandbox_bwrap_start(const SandboxRun *run, Process *ret, int *ret_inner_pidfd, Err *err);
// The arguments behind "bwrap", each with a NUL after it, that do not need file descriptors. For
// tests.
void sandbox_bwrap_format(const SandboxPlan *plan, Buf *ret);
