// derivation_modulo.h: the hash of a derivation modulo its fixed-output inputs (Nix's hashDerivationModulo), and what follows
// from it: output paths and the path of the .drv file.
#pragma once

#include "base/arena.h"
#include "formats/derivation.h"
#include "formats/derivation_format.h"
#include "formats/hash_pair.h"

// The memoised result for one derivation. A derivation has one modulo hash for all of its outputs (a fixed-output
// derivation has a single output, and all impure ones share a constant).
typedef struct DerivationModulo {
  uint8_t sha256[32];
  bool deferred; // content-addressed or impure, or depends on such: output paths are not known before the build
} DerivationModulo;

// Where the results for inputs come from. `find` answers from a memo; `outputs` of the answer are checked by the caller where
// it wants that ("no hash for output '...' of derivation '...'"). Returning NULL means "not known": the computation then fails
// with ERR_NOT_FOUND and *ret_missing (when asked for) is that input's path, so that the caller can load it, compute it first,
// and try again: no recursion in here, however deep the graph.
typedef struct DerivationModuloMemo {
  const DerivationModulo *(*find)(void *ctx, Span drv_path);
  void *ctx;
} DerivationModuloMemo;

// Buffers reused from one derivation to the next. Not thread-safe: one per thread.
typedef struct DerivationModuloScratch {
  Buf head_masked, inputs_modulo, rest, text, modulo_text;
  DerivationFormatInput *format_inputs;
  size_t format_input_cap;
  size_t *slots;
  size_t slot_cap;
  Span *spans;
  size_t span_cap;
  Arena arena;
  HashPair pair;
} DerivationModuloScratch;

#define DERIVATION_MODULO_SCRATCH_INIT                                                         \
  {                                                                                            \
    BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT, NULL, 0, NULL, 0, NULL, 0, ARENA_INIT, { \
      0                                                                                        \
    }                                                                                          \
  }

void derivation_modulo_scratch_done(DerivationModuloScratch *scratch);

// hashDerivationModulo(drv, mask_outputs). With mask_outputs: the hash from which the output paths of an input-addressed
// derivation are made; without: the hash by which other derivations see it.
MUST_CHECK bool derivation_modulo_hash(const Derivation *drv, bool mask_outputs, const DerivationModuloMemo *memo,
                                       DerivationModuloScratch *scratch, DerivationModulo *ret, Span *ret_missing,
                                       Err *err);

// What instantiating a derivation gives.
typedef struct DerivationSealed {
  StorePath drv_path;
  DerivationModulo modulo; // unmasked: to be memoised under drv_path
  Span text;               // the .drv file; borrowed from the scratch until its next use
} DerivationSealed;

// Completes `drv` as builtins.derivationStrict does and names it. In: everything but paths of outputs; outputs are DEFERRED (stands
// for input-addressed), FIXED, FLOATING or IMPURE; env has a variable for each output, its value is ignored. Out: output
// paths (INPUT_ADDRESSED unless an input is deferred; FIXED) and the values of those variables (path, placeholder, or empty) are
// set, in `arena`; *ret. The text is formatted once and hashed in its three forms (masked, modulo, final). Inputs that are not in the
// memo: as in derivation_modulo_hash; nothing was changed then. Law: derivation_parse of the text gives a derivation that
// derivation_modulo_check accepts (derivation_test).
MUST_CHECK bool derivation_modulo_seal(Derivation *drv, const DerivationModuloMemo *memo, Span store_dir, Arena *arena,
                                       DerivationModuloScratch *scratch, DerivationSealed *ret, Span *ret_missing,
                                       Err *err);

// Recomputes what a parsed derivation claims: input-addressed and fixed output paths, and the variables that hold them.
// Nix's checkInvariants with its messages; `drv_path` is for them.
MUST_CHECK bool derivation_modulo_check(const Derivation *drv, Span drv_path, const DerivationModuloMemo *memo,
                                        Span store_dir, DerivationModuloScratch *scratch, Span *ret_missing, Err *err);

// The path of the .drv file with this text: a text object that refers to input_srcs and input_drvs.
MUST_CHECK bool derivation_modulo_drv_path(const Derivation *drv, Span text, Span store_dir,
                                           DerivationModuloScratch *scratch, StorePath *ret, Err *err);
