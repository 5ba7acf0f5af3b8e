// drv_resolve.h: a derivation whose inputs have been built, with their outputs as plain sources: no derivation among its inputs, real paths where
// there were placeholders. Different derivations whose inputs came out equal resolve to the same one, so that it is built once (early cut-off).
//
// Nix 2.26: Derivation::tryResolve and rewriteDerivation. Pure. Test: test/cli/content_addressed_test.sh.
#pragma once

#include "formats/derivation_modulo.h"

// A used output of an input.
typedef struct DrvResolveInput {
  StorePath drv_path, path;
  Span output;
} DrvResolveInput;

// *ret and its text are in `arena` (the text also where *ret_sealed names it). The result has the type of `drv`, but for one that was DEFERRED, which
// becomes INPUT_ADDRESSED.
MUST_CHECK bool drv_resolve_make(const Derivation *drv, const DrvResolveInput *inputs, size_t input_count,
                                 Span store_dir, Arena *arena, Derivation *ret, DerivationSealed *ret_sealed, Err *err);
// A path that no other derivation, output or content has: where an output is built whose final path follows from its content. Nix 2.26:
// makeFallbackPath.
MUST_CHECK bool drv_resolve_scratch_path(const StorePath *drv_path, Span drv_name, Span output, Span store_dir,
                                         StorePath *ret, Err *err);
// The same for an output whose path is known, but taken.
MUST_CHECK bool drv_resolve_scratch_path_for(const StorePath *drv_path, const StorePath *path, Span store_dir,
                                             StorePath *ret, Err *err);
