// build_prepare.h: everything a build needs before it starts: the closure of its inputs, their trees on disk, and the request.
// Blocks; run it on a worker thread. Test: through scheduler_test.
#pragma once

#include "realise/derivation_request.h"
#include "store/store.h"

typedef struct BuildPrepareInput {
  Store *store;
  const Derivation *drv;
  const StorePath *drv_path;
  const DrvOptions *options;
  DerivationType type;
  Span build_dir;
  unsigned cores;
  // Output paths of the input derivations that are used, all valid.
  const StorePath *input_outputs;
  size_t input_output_count;
  const StorePath
      *scratch_paths; // where outputs are built: not their own path where it is not known or taken; NULL: at their own
} BuildPrepareInput;

typedef struct BuildPrepared {
  BuildRequest request;
  size_t *output_order;    // derivation_request_make
  StorePath *output_paths; // positional to drv->outputs
  StorePathList closure;   // owned; sorted
} BuildPrepared;

// Text and arrays are in `arena`, but for the closure (store_path_list_done).
MUST_CHECK bool build_prepare_run(const BuildPrepareInput *input, Arena *arena, BuildPrepared *ret, Err *err);
// Appends the host path of an input: the tree of this base name in the store.
void build_prepare_locate(Store *store, Span base_name, Buf *ret);
