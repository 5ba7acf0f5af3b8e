// eval_stats.c: see eval_stats.h. Names: C++ Nix 2.26, EvalState::printStatistics.
#include "cli/eval_stats.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "eval/eval_count.h"
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

// All names, as NIX_SHOW_SYMBOLS asks for.
static void put_symbols(Session *session, JsonWrite *json) {
  const SymbolTable *symbols = session->vm->symbols;
  const char *wanted = getenv("NIX_SHOW_SYMBOLS");
  uint32_t count = symbol_count(symbols);
  uint64_t bytes = 0;
  for (Sym sym = 1; sym < count; sym++) bytes += symbol_text(symbols, sym).len;
  if (!wanted || strcmp(wanted, "0") == 0) {
    put_set(json, "symbols", (Counter[]){{"bytes", bytes}, {"number", count - 1}, {NULL, 0}});
    return;
  }
  key(json, "symbols");
  json_write_array_begin(json);
  for (Sym sym = 1; sym < count; sym++) json_write_text(json, symbol_text(symbols, sym));
  json_write_array_end(json);
}

static void put_time(const EvalCounts *counts, double cpu, JsonWrite *json) {
  double collecting = (double)counts->collect_ns / 1e9;
  key(json, "time");
  json_write_object_begin(json);
  key(json, "cpu");
  json_write_float(json, cpu);
  key(json, "gc");
  json_write_float(json, collecting);
  key(json, "gcFraction");
  json_write_float(json, cpu > 0 ? collecting / cpu : 0);
  json_write_object_end(json);
}

// ---- NIX_COUNT_CALLS

static void put_place(Vm *vm, PosId id, JsonWrite *json) {
  Pos pos;
  if (!pos_resolve(vm->positions, id, &pos)) return;
  key(json, "column");
  json_write_uint(json, pos.column);
  if (pos.source->path) {
    key(json, "file");
    json_write_text(json, span_cstr(pos.source->path));
  }
  key(json, "line");
  json_write_uint(json, pos.line);
}

static void put_places(Session *session, JsonWrite *json) {
  Vm *vm = session->vm;
  const EvalCounts *counts = vm->counts;
  key(json, "attributes");
  json_write_array_begin(json);
  for (MapEntry *e = map_first(&counts->selects); e; e = map_next(&counts->selects, e)) {
    PosId pos;
    memcpy(&pos, e->key, sizeof pos);
    json_write_object_begin(json);
    key(json, "count");
    json_write_uint(json, (uintptr_t)e->value);
    put_place(vm, pos, json);
    json_write_object_end(json);
  }
  json_write_array_end(json);
  key(json, "functions");
  json_write_array_begin(json);
  for (MapEntry *e = map_first(&counts->functions); e; e = map_next(&counts->functions, e)) {
    const uint32_t *code;
    Span name;
    memcpy(&code, e->key, sizeof code);
    PosId pos = eval_count_function(vm, code, &name);
    json_write_object_begin(json);
    key(json, "count");
    json_write_uint(json, (uintptr_t)e->value);
    key(json, "name");
    if (name.len) json_write_text(json, name);
    else json_write_null(json);
    put_place(vm, pos, json);
    json_write_object_end(json);
  }
  json_write_array_end(json);
  key(json, "primops");
  json_write_object_begin(json);
  for (uint32_t i = 0; i < vm->builtin_count; i++) {
    if (!counts->builtins[i]) continue;
    key(json, vm->builtins[i]->name);
    json_write_uint(json, counts->builtins[i]);
  }
  json_write_object_end(json);
}

// ---- all

static void put_number(JsonWrite *json, const char *name, uint64_t value) {
  key(json, name);
  json_write_uint(json, value);
}

static void put_all(Session *session, Buf *ret) {
  VmStats stats;
  JsonWrite json;
  const HeapStats *heap = &session->vm->heap.stats;
  const EvalCounts *counts = session->vm->counts;
  double cpu = cpu_seconds();
  vm_get_stats(session->vm, &stats);
  uint64_t envs = counts->calls + stats.envs, sets = stats.sets + counts->sets,
           elements = stats.set_elements + counts->slots, thunks = stats.thunks + counts->late_thunks,
           places = stats.set_elements + counts->lazy_places + counts->arguments;
  json_write_init(&json, ret, 2);
  json_write_object_begin(&json);
  key(&json, "cpuTime");
  json_write_float(&json, cpu);
  put_set(&json, "envs",
          (Counter[]){{"bytes", envs * sizeof(Env) + counts->env_slots * sizeof(Value)},
                      {"elements", counts->env_slots},
                      {"number", envs},
                      {NULL, 0}});
  put_set(&json, "gc",
          (Counter[]){{"cycles", heap->minor_count + heap->major_count},
                      {"heapSize", heap->peak_bytes},
                      {"totalBytes", heap->allocated_bytes},
                      {NULL, 0}});
  put_set(&json, "list",
          (Counter[]){{"bytes", counts->list_items * sizeof(Value)},
                      {"concats", stats.list_concats},
                      {"elements", counts->list_items},
                      {NULL, 0}});
  put_number(&json, "nrAvoided", places > thunks ? places - thunks : 0);
  put_number(&json, "nrFunctionCalls", stats.calls);
  put_number(&json, "nrLookups", counts->lookups);
  put_number(&json, "nrOpUpdateValuesCopied", counts->update_copies);
  put_number(&json, "nrOpUpdates", stats.updates);
  put_number(&json, "nrPrimOpCalls", stats.builtin_calls);
  put_number(&json, "nrThunks", thunks);
  put_set(&json, "sets",
          (Counter[]){{"bytes", sets * sizeof(Attrs) + elements * sizeof(Value)},
                      {"elements", elements},
                      {"number", sets},
                      {NULL, 0}});
  put_set(&json, "sizes",
          (Counter[]){{"Attr", sizeof(Value)},
                      {"Bindings", sizeof(Attrs)},
                      {"Env", sizeof(Env)},
                      {"Value", sizeof(Value)},
                      {NULL, 0}});
  put_symbols(session, &json);
  put_time(counts, cpu, &json);
  // A value is a word in a variable, an attribute or a list.
  uint64_t values = counts->env_slots + elements + counts->list_items;
  put_set(&json, "values", (Counter[]){{"bytes", values * sizeof(Value)}, {"number", values}, {NULL, 0}});
  put_ours(session, &stats, &json);
  if (counts->by_place) put_places(session, &json);
  json_write_object_end(&json);
  buf_put_char(ret, '\n');
}

static bool is_set(const char *variable) {
  const char *value = getenv(variable);
  return value && strcmp(value, "0") != 0;
}

bool eval_stats_are_wanted(const Session *session) {
  return is_set("NIX_SHOW_STATS") || option_has(&session->options, OPT_eval_stats);
}

void eval_stats_start(Session *session) {
  if (eval_stats_are_wanted(session)) eval_count_start(session->vm, is_set("NIX_COUNT_CALLS"));
}

void eval_stats_print(Session *session) {
  const char *path = getenv("NIX_SHOW_STATS_PATH");
  if (!session->vm || !session->vm->counts) return;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  put_all(session, &text);
  if (!path || !*path || strcmp(path, "-") == 0) progress_write(&session->progress, buf_span(&text));
  else if (!fs_write_file_atomic(path, buf_span(&text), 0666, false, &err)) session_fail(session, &err);
}
