// goal_realisation.h: which paths the outputs of a dynamic derivation have got, as it is filed here and known to substituters. Parts of
// jobs; both do nothing for derivations that are not dynamic, or impure (those have no realisation that lasts).
#pragma once

#include "realise/goal.h"

// Sets output_known and output_paths. Wanted outputs that are not known here are asked of the substituters, each once. False: goal->err
// is set.
bool goal_realisation_find(Goal *goal);
// Files the outputs that are known. False: goal->err is set.
bool goal_realisation_put(Goal *goal);
