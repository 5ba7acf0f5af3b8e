// store_gc.h: garbage collection by reachability in memory, next to running builds and evaluations.
//
// Mark: the whole graph (ids and references) is read in two queries; roots are walked. Sweep: under an exclusive lock that others hold only while they pin a path or
// commit, newly pinned and newly registered paths are added to the live set, then dead rows are deleted and trees renamed away; what takes time (removing trees,
// sweeping objects in slices) happens after. Lower paths are never touched.
#pragma once

#include "store/store.h"

typedef enum StoreGcAction {
  STORE_GC_DELETE_DEAD,
  STORE_GC_PRINT_DEAD,
  STORE_GC_PRINT_LIVE,
  STORE_GC_DELETE_SPECIFIC
} StoreGcAction;

typedef struct StoreGcOptions {
  StoreGcAction action;
  bool has_max_freed;
  uint64_t max_freed_bytes; // then: stop after about so much
  const StorePath *paths;   // DELETE_SPECIFIC: a path that is still alive is an error that says what keeps it
  size_t path_count;
  bool ignore_liveness;  // DELETE_SPECIFIC: roots are ignored (referrers are not)
  bool keep_outputs;     // live derivations keep their outputs
  bool keep_derivations; // live outputs keep their deriver (Nix's default: true)
} StoreGcOptions;

typedef struct StoreGcResult {
  StorePathList paths;  // deleted, dead or live ones, by action
  uint64_t freed_bytes; // trees' own blocks and objects
  uint64_t object_count;
  bool objects_left; // writers were active for long: the next run frees the rest
} StoreGcResult;
#define STORE_GC_RESULT_INIT \
  { .paths = STORE_PATH_LIST_INIT }
void store_gc_result_done(StoreGcResult *result);

MUST_CHECK bool store_gc_run(Store *store, const StoreGcOptions *options, StoreGcResult *ret, Err *err);

// nix-store --optimise: drops packed copies of what has a file of its own, and objects that no valid path needs. (Files of trees are links to objects from the start,
// but for trees that are one small file.)
MUST_CHECK bool store_gc_optimise(Store *store, uint64_t *ret_freed_bytes, Err *err);

// One chain from a root to `path`: *ret lists the paths root first, *ret_root describes the root (appended). *ret_alive false when nothing keeps it.
MUST_CHECK bool store_gc_why_alive(Store *store, const StorePath *path, Buf *ret_root, StorePathList *ret,
                                   bool *ret_alive, Err *err);
