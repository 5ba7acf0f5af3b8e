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
  void (*damaged)(
      void *ctx,
      const StorePath *path); // a path that is not whole, and was not repaired; NULL: not told. May come more than once
  void *ctx;
} StoreCheckOptions;

typedef struct StoreCheckResult {
  uint64_t paths, trees, objects, bytes; // looked at
  uint64_t problems, repaired;
} StoreCheckResult;

// Holds no lock for long; may run next to everything else.
MUST_CHECK bool store_check_run(Store *store, const StoreCheckOptions *options, StoreCheckResult *ret, Err *err);
// The same for one path, always with contents: every byte of it and of its tree. Paths of a lower layer are not ours to repair. `damaged` is called at most once.
MUST_CHECK bool store_check_one(Store *store, const StorePath *path, const StoreCheckOptions *options,
                                StoreCheckResult *ret, Err *err);
// Puts the contents of a valid path back from its NAR, which has to be what is recorded (ERR_HASH_MISMATCH otherwise). What is there already stays: damaged
// objects have to be removed first (store_check_one with repair), and trees are made again by it afterwards.
MUST_CHECK bool store_check_refill(Store *store, const StorePath *path, const ByteSource *nar, Err *err);
// One path: its NAR against the recorded hash (nix-store --verify-path). *ret_ok false with the reason appended to *ret_why.
MUST_CHECK bool store_check_path(Store *store, const StorePath *path, bool *ret_ok, Buf *ret_why, Err *err);
// Is the tree on disk, with every byte, what `root` says? *ret_why (appended) tells what is not. The objects themselves are taken to be sound.
MUST_CHECK bool store_check_tree(Store *store, const StorePath *path, const CastoreNode *root, bool *ret_ok,
                                 Buf *ret_why, Err *err);
