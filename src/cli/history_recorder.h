// history_recorder.h: puts the builds of this session into the history of builds (realise/build_history.h) when it ends.
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "realise/scheduler.h"

typedef struct HistoryRecorder {
  pthread_mutex_t lock;
  Map running; // build id -> its start (owned uint64_t, nanoseconds)
  struct HistoryItem {
    StorePath drv;
    uint64_t duration_ms;
    int64_t ended_s;
  } * items; // owned
  size_t count, cap;
} HistoryRecorder;

void history_recorder_init(HistoryRecorder *recorder);
// The scheduler's events; its thread.
void history_recorder_event(HistoryRecorder *recorder, const SchedulerEvent *event);
// Writes what was built. What cannot be written is logged as of little interest.
void history_recorder_flush(HistoryRecorder *recorder, Store *store);
void history_recorder_done(HistoryRecorder *recorder);
