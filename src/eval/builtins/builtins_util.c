// builtins_util.c: see builtins_util.h.
#include "eval/builtins/builtins_util.h"

void builtins_util_trace_coerce(Native *n, unsigned value_slot, unsigned frame_slot) {
  if (eval_error_is_refusal(n->vm) || value_is_list(value_follow(n->slot[value_slot]))) trace_slot(n, frame_slot);
}

bool builtins_util_fail_at(Vm *vm, PosId pos, const char *frame) {
  EvalError *error = eval_error_pending(vm);
  if (error->kind == EVAL_ERROR_TYPE) error->pos = pos;
  eval_error_trace(vm, pos, "%s", frame);
  return false;
}
