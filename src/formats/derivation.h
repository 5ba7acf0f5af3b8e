// derivation.h: the derivation as a value. Its ATerm text is read by derivation_parse.h and written by
// derivation_format.h; derivation_modulo.h computes its hash and output paths.
//
// All text is borrowed: from the parsed text, an arena, or the evaluator. Paths are absolute text, checked where they enter.
// Invariants, kept by whoever fills the struct: outputs, input_drvs (by path), outputs of an input, input_srcs and env (by name)
// are sorted bytewise and free of duplicates. derivation_check verifies them.
#pragma once

#include "formats/store_path.h"

typedef enum DerivationOutputKind {
  DERIVATION_INPUT_ADDRESSED, // path known from the derivation
  DERIVATION_FIXED,           // path known from `method` and `hash`
  DERIVATION_FLOATING,        // content-addressed, known after the build
  DERIVATION_DEFERRED,        // input-addressed, but an input's path is not known yet
  DERIVATION_IMPURE,          // content-addressed, rebuilt each time
} DerivationOutputKind;

typedef struct DerivationOutput {
  Span name;
  DerivationOutputKind kind;
  CaMethod method; // FIXED, FLOATING, IMPURE
  Hash hash;       // FIXED; of FLOATING and IMPURE only .algo
  Span path;       // INPUT_ADDRESSED and FIXED; else empty
} DerivationOutput;

// A used derivation: which of its outputs, and (dynamic derivations, experimental) which outputs of the derivations that
// these outputs are. `key` is a derivation path on top and an output name below.
typedef struct DerivationInput {
  Span key;
  const Span *outputs;
  size_t output_count;
  const struct DerivationInput *dynamic; // sorted by key
  size_t dynamic_count;
} DerivationInput;

typedef struct DerivationEnv {
  Span name, value;
} DerivationEnv;

typedef struct Derivation {
  Span name; // without ".drv"
  DerivationOutput *outputs;
  size_t output_count;
  DerivationInput *input_drvs;
  size_t input_drv_count;
  Span *input_srcs;
  size_t input_src_count;
  Span platform;
  Span builder;
  Span *args;
  size_t arg_count;
  DerivationEnv *env;
  size_t env_count;
} Derivation;

// What a derivation is as a whole.
typedef enum DerivationType {
  DERIVATION_TYPE_INPUT_ADDRESSED,
  DERIVATION_TYPE_DEFERRED,
  DERIVATION_TYPE_FIXED,
  DERIVATION_TYPE_FLOATING,
  DERIVATION_TYPE_IMPURE,
} DerivationType;

// Fails, with Nix's messages, without outputs, on mixed kinds, on more than one fixed output or one not called "out".
MUST_CHECK bool derivation_type(const Derivation *drv, DerivationType *ret, Err *err);
// NULL when there is none; binary search.
const DerivationOutput *derivation_find_output(const Derivation *drv, Span name);
DerivationEnv *derivation_find_env(const Derivation *drv, Span name);
// The order and uniqueness promised above, output names, and paths that parse in store_dir.
MUST_CHECK bool derivation_check(const Derivation *drv, Span store_dir, Err *err);
// "foo" for "/nix/store/<hash>-foo.drv"; fails with Nix's message on another path.
MUST_CHECK bool derivation_name_of_path(const StorePath *drv_path, Span *ret, Err *err);
// Sorts and removes duplicates in place; *count is updated. For those who fill a Derivation from unordered sets.
void derivation_sort_spans(Span *spans, size_t *count);
