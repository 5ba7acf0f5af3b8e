// build_history.h: what was built here before, by package: the derivation and how long it took. Progress displays take means from it, and
// `firn explain` compares a derivation with the one of the last build.
//
//   <store state>/history/<package>      the newest builds of one package (drv_name_parse: "hello" of "hello-2.10"), newest first:
//   file   = "firn-history 1\n" record*
//   record = <base name of the .drv> " " <seconds since the epoch> (" " <milliseconds>)+ " " <length> "\n" <text of the .drv> "\n"
//
// Files are replaced atomically. When two processes add to one package at once, one build is forgotten. A file that cannot be read is as good as none:
// this is a memory, not a record that anything depends on.
//
// Test: test/realise/build_history_test.c.
#pragma once

#include "base/arena.h"
#include "store/store.h"

#define BUILD_HISTORY_RECORDS_MAX 8   // of a package
#define BUILD_HISTORY_DURATIONS_MAX 8 // of a record
#define BUILD_HISTORY_FILE_BYTES_MAX ((size_t)64 << 20)

typedef struct BuildHistoryRecord {
  Span drv_base; // "<hash>-hello-2.10.drv"
  int64_t ended_s;
  uint64_t durations_ms[BUILD_HISTORY_DURATIONS_MAX]; // newest first
  size_t duration_count;
  Span text; // of the derivation
} BuildHistoryRecord;

// `state_dir` is store_state_dir. A derivation that has a record already gets a further duration.
MUST_CHECK bool build_history_add(const char *state_dir, const StorePath *drv, Span text, uint64_t duration_ms,
                                  int64_t ended_s, Err *err);
// The records of the package of this derivation (name without ".drv"), newest first; text is in `arena`. None where nothing can be read.
size_t build_history_find(const char *state_dir, Span drv_name, Arena *arena, BuildHistoryRecord **ret);
// Mean duration of the builds of the derivations called exactly this, or, where there are none, of the package. 0: unknown.
uint64_t build_history_mean_ms(const char *state_dir, Span drv_name);
