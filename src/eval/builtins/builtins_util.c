// builtins_util.c: see builtins_util.h.
#include "eval/builtins/builtins_util.h"

void builtins_util_trace_coerce(Native *n, unsigned value_slot, unsigned frame_slot) {
  const EvalError *error = eval_error_pending(n->vm);
  Span refused = SPAN("cannot coerce ");
  bool own = error->kind == EVAL_ERROR_TYPE && !error->trace_count && span_has_prefix(buf_span(&error->message), refused);
  if (own || value_is_list(value_follow(n->slot[value_slot]))) trace_slot(n, frame_slot);
}
