// eval_stats.h: counters of the evaluator for the user: --eval-stats and NIX_SHOW_STATS.
#pragma once

#include "cli/session.h"

bool eval_stats_are_wanted(const Session *session);
// Counters that are not always kept are kept from here on, if they are wanted. The VM is new.
void eval_stats_start(Session *session);
// Prints them, where asked for, as JSON on standard error or into the file NIX_SHOW_STATS_PATH: those of C++ Nix under its names (those that have a
// meaning here), ours in the set "firn". Nothing when no evaluator was started.
void eval_stats_print(Session *session);
