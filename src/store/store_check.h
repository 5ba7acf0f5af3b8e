// store_check.h: verifies metadata against objects against trees, and repairs.
#pragma once

#include "store/store.h"

typedef struct StoreCheckOptions {
  bool contents; // hash every object and every NAR, not only names, sizes and modes
  bool
      repair; // restore damaged objects from trees, packs or `source`, trees from objects, drop rows that cannot be saved
  const Castore *source; // further place to get content from, or NULL
  unsigned threads;      // 0: cores
  // Called for every problem, in no particular order, from one thread at a time. `repaired` tells.
  void (*report)(void *ctx, const char *problem, bool repaired);
  void *ctx;
} StoreCheckOptions;

typedef struct StoreCheckResult {
  uint64_t paths, trees, objects, bytes; // looked at
  uint64_t problems, repaired;
} StoreCheckResult;

// Holds no lock for long; may run next to everything else.
MUST_CHECK bool store_check_run(Store *store, const StoreCheckOptions *options, StoreCheckResult *ret, Err *err);
// One path: its NAR against the recorded hash (nix-store --verify-path). *ret_ok false with the reason appended to *ret_why.
MUST_CHECK bool store_check_path(Store *store, const StorePath *path, bool *ret_ok, Buf *ret_why, Err *err);
