// suggestion.h: "Did you mean a, b or c?": what somebody may have meant by a name that does not exist, by edit distance. Choice and wording are Nix's
// (libutil/suggestions.cc).
#pragma once

#include "base/buf.h"
#include "base/span.h"

#define SUGGESTION_MAX 5u          // so many are named
#define SUGGESTION_MAX_DISTANCE 2u // edits

// Appends nothing where no candidate is near. Candidates may repeat.
void suggestion_format(Span name, const Span *candidates, size_t count, Buf *ret);
