// output_checks.h: what a derivation demands of its outputs: allowed and disallowed references and requisites, sizes. Nix 2.26:
// LocalDerivationGoal::checkOutputs, whose messages these are.
//
// Test: test/realise/scheduler_test.c.
#pragma once

#include "formats/path_info.h"
#include "realise/drv_options.h"
#include "store/store.h"

typedef struct OutputChecksItem {
  Span name;            // of the output
  const PathInfo *info; // complete, not yet registered
} OutputChecksItem;

// References of the items are items themselves or valid in the store. Fails with ERR_OTHER and the first violation.
MUST_CHECK bool output_checks_run(Store *store, const DrvOptions *options, const OutputChecksItem *items, size_t count,
                                  Err *err);
