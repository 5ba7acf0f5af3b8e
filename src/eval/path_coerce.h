// path_coerce.h: arguments that name files: a path, a string with an absolute path, or a set that coerces to one. What its context
// names is realised (built, downloaded) before anybody reads, which is where evaluation drives builds.
#pragma once

#include "eval/vm.h"

enum {
  PATH_COERCE_RESOLVE = 1, // symbolic links are followed in every component, the last one included
  PATH_COERCE_NO_BUILD =
      2, // nothing is realised: the result is a string with the context (builtins.path, filterSource)
  PATH_COERCE_POS_SHIFT = 8, // above: the position of the frame, or 0
};

// (value, raw pointer to the text of the trace frame, flags as raw integer) -> path value, canonical, with placeholders of
// content-addressed outputs replaced by their paths.
extern const NativeDef path_coerce_native;

// Follows symbolic links in every component of `path` (absolute, canonical), in the last one only with `follow_last`. What does not
// exist is taken as it is. Appends a canonical path. Pure questions to `io`, so after EVAL_IO_PENDING it is called again.
EvalIoStatus path_coerce_resolve(EvalIo *io, Span path, bool follow_last, Buf *ret, EvalIoWait *ret_wait, Err *err);
