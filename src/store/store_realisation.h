// store_realisation.h: where the outputs of content-addressed derivations are. Their paths follow from what was built, so it has to be written down:
//
//   <root>/var/firn/realisations.sqlite:  realisations(drv_hash, output, path)     drv_hash: the hash modulo of the derivation, 32 bytes
//
// A row says nothing about validity: the path may have been collected since, and then the derivation is built again. Losing rows costs builds, nothing
// else, so that writing one does not wait for the disk. The file is made by the first row.
//
// All functions may be called from several threads. Test: test/cli/content_addressed_test.sh.
#pragma once

#include "store/store.h"

// Ours, or else what the lower layer knows.
MUST_CHECK bool store_realisation_find(Store *store, const uint8_t drv_hash[32], Span output, StorePath *ret,
                                       bool *ret_found, Err *err);
// Replaces what was known.
MUST_CHECK bool store_realisation_put(Store *store, const uint8_t drv_hash[32], Span output, const StorePath *path,
                                      Err *err);
// For store_free.
void store_realisation_close(Store *store);
