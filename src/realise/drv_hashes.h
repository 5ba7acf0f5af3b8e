// drv_hashes.h: hashes modulo of derivations in the store, remembered: what realisations of content-addressed derivations are filed under.
//
// All functions may be called from several threads. Test: test/cli/content_addressed_test.sh.
#pragma once

#include "formats/derivation_modulo.h"
#include "store/store.h"

typedef struct DrvHashes DrvHashes;

DrvHashes *drv_hashes_new(Store *store);
void drv_hashes_free(DrvHashes *hashes);
// The hash of `drv`, its own outputs masked (Nix's staticOutputHashes); derivations that it depends on are read from the store, each once, however deep they lie.
MUST_CHECK bool drv_hashes_get(DrvHashes *hashes, const Derivation *drv, uint8_t ret_sha256[32], Err *err);
// Is this derivation, which must be known (an input of one that was asked for), impure?
bool drv_hashes_is_impure(DrvHashes *hashes, Span drv_path);
