// goal_event.c: see goal_event.h.
#include "realise/goal_event.h"

void goal_event_emit(Goal *goal, SchedulerEventKind kind, Span text) {
  const SchedulerConfig *config = goal->graph->config;
  if (!config->event) return;
  SchedulerEvent event = {.kind = kind,
                          .build_id = goal->id,
                          .time_ns = loop_now_ns(),
                          .drv_path = &goal->path,
                          .text = text,
                          .counts = &goal->graph->counts};
  if (kind == SCHEDULER_EVENT_BUILD_STOP && goal->was_built) event.usage = &goal->times.usage;
  config->event(config->event_ctx, &event);
}

void goal_event_start(Goal *goal) {
  const SchedulerConfig *config = goal->graph->config;
  if (!config->event) return;
  StorePath *inputs = ARENA_ARRAY(&goal->arena, StorePath, goal->input_count);
  for (size_t i = 0; i < goal->input_count; i++) inputs[i] = goal->inputs[i]->path;
  SchedulerEvent event = {.kind = SCHEDULER_EVENT_BUILD_START,
                          .is_check = goal->mode == SCHEDULER_CHECK,
                          .build_id = goal->id,
                          .time_ns = loop_now_ns(),
                          .drv_path = &goal->path,
                          .text = span_cstr(goal->name),
                          .counts = &goal->graph->counts,
                          .inputs = inputs,
                          .input_count = goal->input_count};
  config->event(config->event_ctx, &event);
}

void goal_event_counts(GoalGraph *graph) {
  if (!graph->config->event) return;
  SchedulerEvent event = {.kind = SCHEDULER_EVENT_COUNTS, .time_ns = loop_now_ns(), .counts = &graph->counts};
  graph->config->event(graph->config->event_ctx, &event);
}
