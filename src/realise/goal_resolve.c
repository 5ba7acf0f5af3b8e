// goal_resolve.c: see goal_resolve.h.
#include "realise/goal_resolve.h"

#include "store/store_add.h"

bool goal_resolve_is_needed(const Goal *goal) {
  if (!goal->input_count) return false;
  if (goal->type != DERIVATION_TYPE_FIXED) return goal_is_dynamic(goal);
  for (size_t i = 0; i < goal->input_count; i++)
    if (goal_is_dynamic(goal->inputs[i])) return true;
  return false;
}

void goal_resolve_collect_inputs(Goal *goal) {
  size_t count = 0;
  for (size_t i = 0; i < goal->input_count; i++) count += goal->drv.input_drvs[i].output_count;
  goal->resolve_inputs = ARENA_ARRAY(&goal->arena, DrvResolveInput, count);
  for (size_t i = 0; i < goal->input_count; i++) {
    for (size_t j = 0; j < goal->drv.input_drvs[i].output_count; j++) {
      DrvResolveInput *input = &goal->resolve_inputs[goal->resolve_input_count];
      *input = (DrvResolveInput){.drv_path = goal->inputs[i]->path, .output = goal->drv.input_drvs[i].outputs[j]};
      if (goal_find_output(goal->inputs[i], input->output, &input->path)) goal->resolve_input_count++;
    }
  }
}

void goal_resolve_run(Goal *goal) {
  Store *store = goal->graph->store;
  Derivation resolved;
  DerivationSealed sealed;
  goal->result = JOB_FAILED;
  if (!drv_resolve_make(&goal->drv, goal->resolve_inputs, goal->resolve_input_count, store_dir(store), &goal->arena,
                        &resolved, &sealed, &goal->err))
    return;
  StorePath *refs = ARENA_ARRAY(&goal->arena, StorePath, resolved.input_src_count);
  for (size_t i = 0; i < resolved.input_src_count; i++)
    if (!store_parse_path(store, resolved.input_srcs[i], &refs[i], &goal->err)) return;
  if (store_add_text(store, store_path_name(&sealed.drv_path), sealed.text, refs, resolved.input_src_count,
                     &goal->resolved_path, &goal->err))
    goal->result = JOB_VALID;
}
