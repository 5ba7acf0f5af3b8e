// build_trace.c: see build_trace.h.
#include "realise/build_trace.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "formats/json_write.h"
#include "realise/build_trace_html.h"
#include "realise/build_trace_model.h"

struct BuildTrace {
  pthread_mutex_t lock; // guards everything
  Arena arena;
  BuildTraceItem *items; // in the order of their arrival, which `inputs` and `by_drv` mean
  size_t count, cap;
  Map by_drv;   // base name of a derivation -> index + 1
  Map by_build; // build id as decimal -> index + 1
  uint64_t last_ns;
};

BuildTrace *build_trace_new(void) {
  BuildTrace *trace = mem_alloc_zero(sizeof *trace);
  pthread_mutex_init(&trace->lock, NULL);
  return trace;
}

void build_trace_free(BuildTrace *trace) {
  if (!trace) return;
  for (size_t i = 0; i < trace->count; i++) mem_free(trace->items[i].phases);
  mem_free(trace->items);
  map_done(&trace->by_drv);
  map_done(&trace->by_build);
  arena_done(&trace->arena);
  pthread_mutex_destroy(&trace->lock);
  mem_free(trace);
}

// --- collecting

static BuildTraceItem *add_item(BuildTrace *trace, Span name, uint64_t start_ns) {
  MEM_RESERVE(trace->items, trace->cap, trace->count + 1);
  BuildTraceItem *item = &trace->items[trace->count++];
  *item = (BuildTraceItem){.name = arena_dup(&trace->arena, name).data, .start_ns = start_ns};
  return item;
}

// Reused key text for both maps.
static Span drv_key(const StorePath *path, Buf *buf) {
  store_path_format_base(path, buf);
  return buf_span(buf);
}

static Span build_key(uint64_t id, Buf *buf) {
  buf_printf(buf, "%llu", (unsigned long long)id);
  return buf_span(buf);
}

static BuildTraceItem *find_build(BuildTrace *trace, uint64_t id) {
  Buf buf = BUF_INIT;
  size_t index = (size_t)map_get(&trace->by_build, build_key(id, &buf));
  buf_done(&buf);
  return index ? &trace->items[index - 1] : NULL;
}

static void start_build(BuildTrace *trace, const SchedulerEvent *event) {
  Buf buf = BUF_INIT;
  BuildTraceItem *item = add_item(trace, event->text, event->time_ns);
  item->inputs = ARENA_ARRAY(&trace->arena, size_t, event->input_count);
  for (size_t i = 0; i < event->input_count; i++) {
    buf_clear(&buf);
    size_t index = (size_t)map_get(&trace->by_drv, drv_key(&event->inputs[i], &buf));
    if (index) item->inputs[item->input_count++] = index - 1; // others were valid before
  }
  buf_clear(&buf);
  map_set(&trace->by_drv, drv_key(event->drv_path, &buf), (void *)trace->count);
  buf_clear(&buf);
  map_set(&trace->by_build, build_key(event->build_id, &buf), (void *)trace->count);
  buf_done(&buf);
}

static void add_phase(BuildTrace *trace, BuildTraceItem *item, Span name, uint64_t time_ns) {
  MEM_RESERVE(item->phases, item->phase_cap, item->phase_count + 1);
  item->phases[item->phase_count++] = (BuildTracePhase){arena_dup(&trace->arena, name).data, time_ns};
}

void build_trace_event(BuildTrace *trace, const SchedulerEvent *event) {
  pthread_mutex_lock(&trace->lock);
  BuildTraceItem *item = event->build_id ? find_build(trace, event->build_id) : NULL;
  if (event->kind == SCHEDULER_EVENT_BUILD_START) start_build(trace, event);
  if (event->kind == SCHEDULER_EVENT_BUILD_PHASE && item) add_phase(trace, item, event->text, event->time_ns);
  if (event->kind == SCHEDULER_EVENT_BUILD_STOP && item) {
    item->stop_ns = event->time_ns;
    item->failed = event->text.len > 0;
    if (event->usage) item->usage = *event->usage;
  }
  if (event->time_ns > trace->last_ns) trace->last_ns = event->time_ns;
  pthread_mutex_unlock(&trace->lock);
}

void build_trace_span(BuildTrace *trace, Span row, Span name, uint64_t start_ns, uint64_t stop_ns) {
  pthread_mutex_lock(&trace->lock);
  BuildTraceItem *item = add_item(trace, name, start_ns);
  item->row = arena_dup(&trace->arena, row).data;
  item->stop_ns = stop_ns;
  if (stop_ns > trace->last_ns) trace->last_ns = stop_ns;
  pthread_mutex_unlock(&trace->lock);
}

// --- putting in order

typedef struct Order {
  size_t index;
  uint64_t start_ns;
} Order;

static int cmp_order(const void *a, const void *b) {
  const Order *x = a, *y = b;
  if (x->start_ns != y->start_ns) return x->start_ns < y->start_ns ? -1 : 1;
  return (x->index > y->index) - (x->index < y->index);
}

// The first lane that is free when the build starts.
static void set_lanes(BuildTraceModel *model, Arena *arena) {
  uint64_t *free_at = ARENA_ARRAY(arena, uint64_t, model->count);
  for (size_t i = 0; i < model->count; i++) {
    BuildTraceItem *item = &model->items[i];
    size_t lane = 0;
    if (item->row) continue;
    while (lane < model->lane_count && free_at[lane] > item->start_ns) lane++;
    if (lane == model->lane_count) model->lane_count++;
    free_at[lane] = item->stop_ns;
    item->lane = lane;
  }
}

static void set_critical(BuildTraceModel *model, Arena *arena) {
  size_t last = SIZE_MAX;
  model->critical = ARENA_ARRAY(arena, size_t, model->count);
  for (size_t i = 0; i < model->count; i++)
    if (!model->items[i].row && (last == SIZE_MAX || model->items[i].stop_ns > model->items[last].stop_ns)) last = i;
  for (size_t at = last; at != SIZE_MAX;) {
    BuildTraceItem *item = &model->items[at];
    item->critical = true;
    model->critical[model->critical_count++] = at;
    model->critical_ns += item->stop_ns - item->start_ns;
    at = SIZE_MAX;
    for (size_t i = 0; i < item->input_count; i++)
      if (at == SIZE_MAX || model->items[item->inputs[i]].stop_ns > model->items[at].stop_ns) at = item->inputs[i];
  }
  for (size_t i = 0; i < model->critical_count / 2; i++) {
    size_t other = model->critical_count - 1 - i, swap = model->critical[i];
    model->critical[i] = model->critical[other];
    model->critical[other] = swap;
  }
}

// A copy sorted by start, with the indices in `inputs` translated. With the lock held.
static BuildTraceModel make_model(BuildTrace *trace, Arena *arena) {
  BuildTraceModel model = {
      .items = ARENA_ARRAY(arena, BuildTraceItem, trace->count), .count = trace->count, .last_ns = trace->last_ns};
  Order *order = ARENA_ARRAY(arena, Order, trace->count);
  size_t *place = ARENA_ARRAY(arena, size_t, trace->count);
  for (size_t i = 0; i < trace->count; i++) order[i] = (Order){i, trace->items[i].start_ns};
  if (trace->count) qsort(order, trace->count, sizeof *order, cmp_order);
  for (size_t i = 0; i < trace->count; i++) place[order[i].index] = i;
  for (size_t i = 0; i < trace->count; i++) {
    BuildTraceItem *item = &model.items[i];
    *item = trace->items[order[i].index];
    if (!item->stop_ns) item->stop_ns = trace->last_ns;
    const size_t *inputs = item->inputs;
    item->inputs = ARENA_ARRAY(arena, size_t, item->input_count);
    for (size_t j = 0; j < item->input_count; j++) item->inputs[j] = place[inputs[j]];
    if (!item->row) model.build_ns += item->stop_ns - item->start_ns;
    model.cpu_ns += (item->usage.user_us + item->usage.system_us) * 1000;
  }
  model.first_ns = trace->count ? model.items[0].start_ns : 0;
  set_lanes(&model, arena);
  set_critical(&model, arena);
  return model;
}

// --- Chrome's format

// Names can be any bytes.
static void put_text(JsonWrite *json, const char *key, const char *text) {
  json_write_text_key(json, span_cstr(key));
  json_write_text(json, span_cstr(text));
}

static void put_number(JsonWrite *json, const char *key, double number) {
  json_write_text_key(json, span_cstr(key));
  json_write_float(json, number);
}

static void put_usage(JsonWrite *json, const BuildUsage *usage) {
  json_write_text_key(json, SPAN("args"));
  json_write_object_begin(json);
  put_number(json, "user_ms", (double)usage->user_us / 1e3);
  put_number(json, "system_ms", (double)usage->system_us / 1e3);
  if (usage->peak_memory_bytes) put_number(json, "peak_memory_mib", (double)usage->peak_memory_bytes / (1 << 20));
  json_write_object_end(json);
}

// `usage`: NULL or zero where there is none.
static void put_complete(JsonWrite *json, const char *name, const char *category, size_t row, double start_us,
                         double length_us, const BuildUsage *usage) {
  json_write_object_begin(json);
  put_text(json, "name", name);
  put_text(json, "cat", category);
  put_text(json, "ph", "X");
  put_number(json, "ts", start_us);
  put_number(json, "dur", length_us);
  put_number(json, "pid", 1);
  put_number(json, "tid", (double)row);
  if (usage && usage->user_us + usage->system_us) put_usage(json, usage);
  json_write_object_end(json);
}

static void put_row_name(JsonWrite *json, size_t row, const char *name) {
  json_write_object_begin(json);
  put_text(json, "name", "thread_name");
  put_text(json, "ph", "M");
  put_number(json, "pid", 1);
  put_number(json, "tid", (double)row);
  json_write_text_key(json, SPAN("args"));
  json_write_object_begin(json);
  put_text(json, "name", name);
  json_write_object_end(json);
  json_write_object_end(json);
}

static void put_build(JsonWrite *json, const BuildTraceModel *model, const BuildTraceItem *item) {
  double start = (double)(item->start_ns - model->first_ns) / 1e3,
         stop = (double)(item->stop_ns - model->first_ns) / 1e3;
  const char *category = item->failed ? "failed" : item->critical ? "critical" : "build";
  put_complete(json, item->name, category, item->lane + 1, start, stop - start, &item->usage);
  for (size_t i = 0; i < item->phase_count; i++) {
    uint64_t end_ns = i + 1 < item->phase_count ? item->phases[i + 1].start_ns : item->stop_ns;
    put_complete(json, item->phases[i].name, "phase", item->lane + 1,
                 (double)(item->phases[i].start_ns - model->first_ns) / 1e3,
                 (double)(end_ns - item->phases[i].start_ns) / 1e3, NULL);
  }
}

// Rows of spans come behind those of the builds, in the order of their first use.
static size_t span_row(Map *rows, JsonWrite *json, const BuildTraceModel *model, const char *name) {
  size_t row = (size_t)map_get(rows, span_cstr(name));
  if (row) return row;
  row = model->lane_count + 1 + rows->live_count;
  map_set(rows, span_cstr(name), (void *)row);
  put_row_name(json, row, name);
  return row;
}

void build_trace_format_json(BuildTrace *trace, Buf *ret) {
  Arena arena = ARENA_INIT;
  Map rows = MAP_INIT;
  JsonWrite json;
  pthread_mutex_lock(&trace->lock);
  BuildTraceModel model = make_model(trace, &arena);
  json_write_init(&json, ret, 0);
  json_write_object_begin(&json);
  json_write_text_key(&json, SPAN("traceEvents"));
  json_write_array_begin(&json);
  for (size_t i = 0; i < model.lane_count; i++) put_row_name(&json, i + 1, arena_printf(&arena, "builds %zu", i + 1));
  for (size_t i = 0; i < model.count; i++) {
    const BuildTraceItem *item = &model.items[i];
    if (!item->row) put_build(&json, &model, item);
    else
      put_complete(&json, item->name, "span", span_row(&rows, &json, &model, item->row),
                   (double)(item->start_ns - model.first_ns) / 1e3, (double)(item->stop_ns - item->start_ns) / 1e3,
                   NULL);
  }
  json_write_array_end(&json);
  json_write_object_end(&json);
  buf_put_char(ret, '\n');
  pthread_mutex_unlock(&trace->lock);
  map_done(&rows);
  arena_done(&arena);
}

void build_trace_format_html(BuildTrace *trace, unsigned max_jobs, Buf *ret) {
  Arena arena = ARENA_INIT;
  pthread_mutex_lock(&trace->lock);
  BuildTraceModel model = make_model(trace, &arena);
  build_trace_html_format(&model, max_jobs, ret);
  pthread_mutex_unlock(&trace->lock);
  arena_done(&arena);
}
