// derivation_request.h: derivation and resolved inputs -> BuildRequest, with the environment that C++ Nix 2.26 gives a builder.
//
// Variables in two groups: PATH, HOME, NIX_STORE, NIX_BUILD_CORES are defaults that the derivation may override; NIX_BUILD_TOP,
// TMPDIR, TEMPDIR, TMP, TEMP, PWD, NIX_OUTPUT_CHECKED and impureEnvVars (fixed outputs only), NIX_LOG_FD, TERM are set over
// whatever the derivation says. passAsFile, __structuredAttrs (.attrs.json, .attrs.sh; structured_attrs.h),
// exportReferencesGraph in both forms; placeholders of own outputs are replaced
// everywhere. Source: initEnv, initTmpDir, writeStructuredAttrs, startBuilder in local-derivation-goal.cc.
//
// Does no I/O but through its hooks. Test: test/realise/derivation_request_test.c.
#pragma once

#include "build/request.h"
#include "formats/derivation.h"
#include "formats/path_info.h"
#include "realise/drv_options.h"

typedef struct DerivationRequestRewrite {
  Span from, to; // not empty
} DerivationRequestRewrite;

// A store path in the closure of the inputs.
typedef struct DerivationRequestPath {
  StorePath path;
  // Its content; all zero where that is not in a castore. Local builders do not look at it.
  CastoreNode node;
} DerivationRequestPath;

typedef struct DerivationRequestInput {
  const Derivation *drv;
  const StorePath *drv_path;
  const DrvOptions *options;
  DerivationType type;
  Span store_dir; // "/nix/store"
  Span build_dir; // absolute, as the builder sees it: "/build"
  unsigned cores; // NIX_BUILD_CORES
  // The closure of all inputs (sources and used outputs of input derivations), sorted by path.
  const DerivationRequestPath *closure;
  size_t closure_count;
  // Where the builder is to write its outputs, positional to drv->outputs. Usually the outputs' own paths.
  const StorePath *output_paths;
  // What else is replaced everywhere: hash parts of outputs that are built elsewhere than at their own paths.
  const DerivationRequestRewrite *rewrites;
  size_t rewrite_count;
  // Value of a variable in the caller's environment, for impureEnvVars. False when unset.
  bool (*get_env)(void *ctx, Span name, Buf *ret);
  // For exportReferencesGraph: the infos of the closure of `roots`, and of outputs of derivations in it, sorted by path, in `arena`.
  bool (*get_closure)(void *ctx, const StorePath *roots, size_t root_count, Arena *arena, const PathInfo ***ret,
                      size_t *ret_count, Err *err);
  void *ctx;
} DerivationRequestInput;

// Everything in *ret is in `arena` or borrowed from the input. Needles are the hash parts of output_paths (in the order of
// drv->outputs), then those of the closure in its order. request->outputs are sorted; (*ret_output_order)[i] is the place in them
// of drv->outputs[i] (an array in `arena`).
MUST_CHECK bool derivation_request_make(const DerivationRequestInput *input, Arena *arena, BuildRequest *ret,
                                        size_t **ret_output_order, Err *err);
