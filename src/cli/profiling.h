// profiling.h: --profile, --eval-profile, --profile-summary and Nix's --eval-profiler: starting the evaluator's profiler and writing what it found.
#pragma once

#include "cli/session.h"

bool profiling_is_wanted(const Session *session);
// Starts it on the session's VM if it is wanted.
MUST_CHECK bool profiling_start(Session *session, Err *err);
// Ends it and writes the files and tables that are wanted. Does nothing when it is not running.
void profiling_finish(Session *session);
