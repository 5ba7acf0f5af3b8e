// eval_stats.c: see eval_stats.h. Names: C++ Nix 2.26, EvalState::printStatistics.
#include "cli/eval_stats.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "formats/json_write.h"

// One member of a set; a NULL name ends it.
typedef struct Counter {
  const char *name;
  uint64_t value;
} Counter;

// Keys and text here are ASCII: writing them cannot fail.
static void key(JsonWrite *json, const char *name) {
  Err err = ERR_INIT;
  if (!json_write_key(json, span_cstr(name), &err)) err_done(&err);
}

static void put_set(JsonWrite *json, const char *name, const Counter *counters) {
  key(json, name);
  json_write_object_begin(json);
  for (; counters->name; counters++) {
    key(json, counters->name);
    json_write_uint(json, counters->value);
  }
  json_write_object_end(json);
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
}

static void put_ours(Session *session, const VmStats *stats, JsonWrite *json) {
  const HeapStats *heap = &session->vm->heap.stats;
  struct rusage usage;
  uint64_t hits = 0, misses = 0;
  getrusage(RUSAGE_SELF, &usage);
  if (session->units) unit_cache_counts(session->units, &hits, &misses);
  const Counter counters[] = {{"thunksForced", stats->thunks_forced},
                              {"parked", stats->parked},
                              {"sparks", stats->sparks},
                              {"units", stats->units},
                              {"unitCacheHits", hits},
                              {"unitCacheMisses", misses},
                              {"knownDerivations", session->io ? known_paths_count(store_io_known(session->io)) : 0},
                              {"heapAllocatedBytes", heap->allocated_bytes},
                              {"heapPromotedBytes", heap->promoted_bytes},
                              {"heapPeakBytes", heap->peak_bytes},
                              {"minorCollections", heap->minor_count},
                              {"majorCollections", heap->major_count},
                              {"maxResidentBytes", (uint64_t)usage.ru_maxrss * 1024},
                              {NULL, 0}};
  put_set(json, "firn", counters);
}

static void put_all(Session *session, Buf *ret) {
  VmStats stats;
  JsonWrite json;
  const HeapStats *heap = &session->vm->heap.stats;
  vm_get_stats(session->vm, &stats);
  json_write_init(&json, ret, 2);
  json_write_object_begin(&json);
  key(&json, "cpuTime");
  json_write_float(&json, cpu_seconds());
  put_set(&json, "envs", (Counter[]){{"number", stats.envs}, {NULL, 0}});
  put_set(&json, "gc",
          (Counter[]){{"cycles", heap->minor_count + heap->major_count},
                      {"heapSize", heap->peak_bytes},
                      {"totalBytes", heap->allocated_bytes},
                      {NULL, 0}});
  put_set(&json, "list", (Counter[]){{"concats", stats.list_concats}, {NULL, 0}});
  const Counter counters[] = {{"nrFunctionCalls", stats.calls}, {"nrLookups", stats.lookups},
                              {"nrOpUpdates", stats.updates},   {"nrPrimOpCalls", stats.builtin_calls},
                              {"nrThunks", stats.thunks},       {NULL, 0}};
  for (const Counter *c = counters; c->name; c++) {
    key(&json, c->name);
    json_write_uint(&json, c->value);
  }
  put_set(&json, "sets", (Counter[]){{"elements", stats.set_elements}, {"number", stats.sets}, {NULL, 0}});
  put_ours(session, &stats, &json);
  json_write_object_end(&json);
  buf_put_char(ret, '\n');
}

void eval_stats_print(Session *session) {
  const char *wanted = getenv("NIX_SHOW_STATS"), *path = getenv("NIX_SHOW_STATS_PATH");
  bool by_variable = wanted && strcmp(wanted, "0") != 0;
  if (!session->vm || (!by_variable && !option_has(&session->options, OPT_eval_stats))) return;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  put_all(session, &text);
  if (!path || !*path) progress_write(&session->progress, buf_span(&text));
  else if (!fs_write_file_atomic(path, buf_span(&text), 0666, false, &err)) session_fail(session, &err);
}
