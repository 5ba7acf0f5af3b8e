// goal_realisation.c: see goal_realisation.h.
#include "realise/goal_realisation.h"

#include "store/store_realisation.h"

// What the substituters say about an output; each is asked once.
static bool ask_realisation(Goal *goal, size_t i) {
  const SchedulerConfig *config = goal->graph->config;
  if (!config->substituters || goal->mode != SCHEDULER_NORMAL || !goal->options.allow_substitutes) return true;
  if (!goal->asked) {
    size_t bytes = goal->drv.output_count * sizeof *goal->asked;
    goal->asked = memset(ARENA_ARRAY(&goal->arena, AskedRealisation, goal->drv.output_count), 0, bytes);
  }
  AskedRealisation *asked = &goal->asked[i];
  if (!asked->done && !substituters_find_realisation(config->substituters, goal->drv_hash, goal->drv.outputs[i].name,
                                                     &asked->path, &asked->found, &goal->err))
    return false;
  asked->done = true;
  goal->output_known[i] = asked->found;
  if (asked->found) goal->output_paths[i] = asked->path;
  return true;
}

bool goal_realisation_find(Goal *goal) {
  if (!goal_is_dynamic(goal) || goal->type == DERIVATION_TYPE_IMPURE) return true;
  for (size_t i = 0; i < goal->drv.output_count; i++) {
    if (!store_realisation_find(goal->graph->store, goal->drv_hash, goal->drv.outputs[i].name, &goal->output_paths[i],
                                &goal->output_known[i], &goal->err))
      return false;
    if (!goal->output_known[i] && goal_is_wanted(goal, goal->drv.outputs[i].name) && !ask_realisation(goal, i))
      return false;
  }
  return true;
}

bool goal_realisation_put(Goal *goal) {
  if (!goal_is_dynamic(goal) || goal->type == DERIVATION_TYPE_IMPURE) return true;
  for (size_t i = 0; i < goal->drv.output_count; i++)
    if (goal->output_known[i] && !store_realisation_put(goal->graph->store, goal->drv_hash, goal->drv.outputs[i].name,
                                                        &goal->output_paths[i], &goal->err))
      return false;
  return true;
}
