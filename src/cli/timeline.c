// timeline.c: see timeline.h.
#include "cli/timeline.h"

#include <pthread.h>
#include <stdio.h>

#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"

// Something that has begun. Rows with a number are such that no two things of one row overlap.
typedef struct Pending {
  uint64_t start_ns;
  unsigned lane;
} Pending;

struct Timeline {
  pthread_mutex_t lock;
  BuildTrace *trace;
  Map waits;              // base name of a derivation -> Pending (owned)
  Map fetches;            // base name of a path -> Pending (owned)
  uint64_t evaluation_ns; // when it began; 0: there is none
};

Timeline *timeline_new(void) {
  Timeline *timeline = mem_alloc_zero(sizeof(*timeline));
  pthread_mutex_init(&timeline->lock, NULL);
  timeline->trace = build_trace_new();
  return timeline;
}

static void free_pending(Map *map) {
  for (MapEntry *e = map_first(map); e; e = map_next(map, e)) mem_free(e->value);
  map_done(map);
}

void timeline_free(Timeline *timeline) {
  if (!timeline) return;
  build_trace_free(timeline->trace);
  free_pending(&timeline->waits);
  free_pending(&timeline->fetches);
  pthread_mutex_destroy(&timeline->lock);
  mem_free(timeline);
}

static void begin(Map *map, Span key) {
  unsigned lane = 0;
  if (map_has(map, key)) return;
  for (bool taken = true; taken; lane += taken) {
    taken = false;
    for (MapEntry *e = map_first(map); e; e = map_next(map, e)) taken = taken || ((Pending *)e->value)->lane == lane;
  }
  Pending *pending = mem_alloc(sizeof *pending);
  *pending = (Pending){loop_now_ns(), lane};
  map_set(map, key, pending);
}

static Span name_of(Span base) {
  Span name = span_from(base, STORE_PATH_HASH_CHARS + 1);
  if (span_has_suffix(name, SPAN(".drv"))) name.len -= 4;
  return name;
}

static void end(Timeline *timeline, Map *map, Span key, const char *row) {
  char text[48];
  Pending *pending = map_remove(map, key);
  if (!pending) return;
  snprintf(text, sizeof text, "%s %u", row, pending->lane + 1);
  build_trace_span(timeline->trace, span_cstr(text), name_of(key), pending->start_ns, loop_now_ns());
  mem_free(pending);
}

void timeline_build(Timeline *timeline, const SchedulerEvent *event) {
  if (!timeline) return;
  build_trace_event(timeline->trace, event);
  if (event->kind != SCHEDULER_EVENT_BUILD_STOP || !event->drv_path) return;
  Buf base CLEANUP(buf_done) = BUF_INIT;
  store_path_format_base(event->drv_path, &base);
  pthread_mutex_lock(&timeline->lock);
  end(timeline, &timeline->waits, buf_span(&base), "waiting");
  pthread_mutex_unlock(&timeline->lock);
}

void timeline_fetch(Timeline *timeline, const SubstitutersEvent *event) {
  if (!timeline) return;
  Buf base CLEANUP(buf_done) = BUF_INIT;
  store_path_format_base(event->path, &base);
  pthread_mutex_lock(&timeline->lock);
  if (event->kind == SUBSTITUTERS_EVENT_START) begin(&timeline->fetches, buf_span(&base));
  else end(timeline, &timeline->fetches, buf_span(&base), "fetch");
  pthread_mutex_unlock(&timeline->lock);
}

void timeline_wait(Timeline *timeline, Span drv_path) {
  if (!timeline) return;
  size_t slash = span_rfind_char(drv_path, '/');
  pthread_mutex_lock(&timeline->lock);
  begin(&timeline->waits, span_from(drv_path, slash == SIZE_MAX ? 0 : slash + 1));
  pthread_mutex_unlock(&timeline->lock);
}

void timeline_evaluation(Timeline *timeline, bool begins) {
  if (!timeline) return;
  pthread_mutex_lock(&timeline->lock);
  if (begins && !timeline->evaluation_ns) timeline->evaluation_ns = loop_now_ns();
  if (!begins && timeline->evaluation_ns) {
    build_trace_span(timeline->trace, SPAN("evaluation"), SPAN("evaluation"), timeline->evaluation_ns, loop_now_ns());
    timeline->evaluation_ns = 0;
  }
  pthread_mutex_unlock(&timeline->lock);
}

static void end_all(Timeline *timeline, Map *map, const char *row) {
  for (MapEntry *e = map_first(map); e; e = map_next(map, e)) {
    Buf key CLEANUP(buf_done) = BUF_INIT;
    buf_put(&key, e->key, e->key_len);
    end(timeline, map, buf_span(&key), row);
  }
}

BuildTrace *timeline_trace(Timeline *timeline) {
  timeline_evaluation(timeline, false);
  pthread_mutex_lock(&timeline->lock);
  end_all(timeline, &timeline->waits, "waiting");
  end_all(timeline, &timeline->fetches, "fetch");
  pthread_mutex_unlock(&timeline->lock);
  return timeline->trace;
}
