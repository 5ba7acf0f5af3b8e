// sandbox_bwrap.h: carries out a sandbox plan with bubblewrap, for systems where a security profile
// lets only bwrap make user namespaces.
//
// Differences from sandbox_native.h, all bubblewrap's: a builder killed by signal n is reported as
// exit code 128+n; a builder that cannot be executed is a line in its log and exit code 1; plans of
// more than about 3,000 binds and variables are refused (MAX_ARGS), and the time grows with the
// square of the binds.
#pragma once

#include "build/sandbox_native.h"

// Is there a bwrap in PATH?
bool sandbox_bwrap_available(void);
// The process is bubblewrap's, outside of the sandbox: killing it kills the builder.
MUST_CHECK bool sandbox_bwrap_start(const SandboxRun *run, Process *ret, Err *err);
// The arguments behind "bwrap", each with a NUL after it, that do not need file descriptors. For
// tests.
void sandbox_bwrap_format(const SandboxPlan *plan, Buf *ret);
