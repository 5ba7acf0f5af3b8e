// history_recorder.c: see history_recorder.h.
#include "cli/history_recorder.h"

#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "formats/derivation_format.h"
#include "realise/build_history.h"
#include "realise/drv_load.h"

void history_recorder_init(HistoryRecorder *recorder) {
  *recorder = (HistoryRecorder){.items = NULL};
  pthread_mutex_init(&recorder->lock, NULL);
}

static Span key_of(const SchedulerEvent *event) {
  return span_make(&event->build_id, sizeof event->build_id);
}

static void stopped(HistoryRecorder *recorder, const SchedulerEvent *event) {
  uint64_t *start_ns = map_remove(&recorder->running, key_of(event));
  if (start_ns && event->drv_path && !event->text.len) {
    MEM_RESERVE(recorder->items, recorder->cap, recorder->count + 1);
    recorder->items[recorder->count++] =
        (struct HistoryItem){*event->drv_path, (event->time_ns - *start_ns) / 1000000, (int64_t)time(NULL)};
  }
  mem_free(start_ns);
}

void history_recorder_event(HistoryRecorder *recorder, const SchedulerEvent *event) {
  pthread_mutex_lock(&recorder->lock);
  if (event->kind == SCHEDULER_EVENT_BUILD_STOP) stopped(recorder, event);
  if (event->kind == SCHEDULER_EVENT_BUILD_START) {
    uint64_t *start_ns = mem_alloc(sizeof *start_ns);
    *start_ns = event->time_ns;
    mem_free(map_set(&recorder->running, key_of(event), start_ns));
  }
  pthread_mutex_unlock(&recorder->lock);
}

static bool write_item(Store *store, const struct HistoryItem *item, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Derivation drv;
  if (!drv_load_from_store(store, &item->drv, &arena, &drv, err)) return false;
  derivation_format(&drv, NULL, &text);
  return build_history_add(store_state_dir(store), &item->drv, buf_span(&text), item->duration_ms, item->ended_s, err);
}

void history_recorder_flush(HistoryRecorder *recorder, Store *store) {
  pthread_mutex_lock(&recorder->lock);
  bool writable = !store_is_read_only(store);
  for (size_t i = 0; writable && i < recorder->count; i++) {
    Err err = ERR_INIT;
    if (!write_item(store, &recorder->items[i], &err))
      log_msg(LOG_TALKATIVE, "remembering a build: %s", err_message(&err));
    err_done(&err);
  }
  recorder->count = 0;
  pthread_mutex_unlock(&recorder->lock);
}

void history_recorder_done(HistoryRecorder *recorder) {
  for (MapEntry *e = map_first(&recorder->running); e; e = map_next(&recorder->running, e)) mem_free(e->value);
  map_done(&recorder->running);
  mem_free(recorder->items);
  pthread_mutex_destroy(&recorder->lock);
}
