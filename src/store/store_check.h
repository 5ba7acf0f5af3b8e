// store_check.h: verifies metadata against objects against trees, and repairs.
#pragma once

#include "store/store.h"

typedef struct StoreCheckOptions {
  bool contents; // hash every object and every NAR, not only names, sizes and modes
  // Damaged objects are removed and restored from the trees on disk or from `source`, trees are made again from objects. What cannot be restored is
  // reported and stays registered.
  bool repair;
  const Castore *source;                                         // further place to get content from, or NULL
  unsigned threads;                                              // 0: cores
  void (*report)(void *ctx, const char *problem, bool repaired); // NULL: only counted
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
// Is the tree on disk, with every byte, what `root` says? *ret_why (appended) tells what is not. The objects themselves are taken to be sound.
MUST_CHECK bool store_check_tree(Store *store, const StorePath *path, const CastoreNode *root, bool *ret_ok,
                                 Buf *ret_why, Err *err);
