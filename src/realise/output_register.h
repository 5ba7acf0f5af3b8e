// output_register.h: what a builder left behind becomes valid store paths, or is refused: canonicalised, hashed and scanned for
// references (store_add_scan), checked against what the derivation fixes and demands, registered all or none.
//
// Nix 2.26: LocalDerivationGoal::registerOutputs, whose order of checks and messages these are. Blocks; touches nothing but the
// store and its arguments. Test: test/realise/scheduler_test.c.
#pragma once

#include "build/service.h"
#include "formats/derivation.h"
#include "realise/drv_options.h"
#include "store/store.h"

typedef struct OutputRegisterInput {
  Store *store;
  const Derivation *drv;
  const StorePath *drv_path;
  const DrvOptions *options;
  const BuildRequest *request; // its needles: outputs first, then the closure
  const StorePath *closure;    // what those needles are
  size_t closure_count;
  const StorePath *output_paths; // positional to drv->outputs
  const BuildOutput *built;      // positional to request->outputs
  const size_t *output_order;    // derivation_request_make
  const SignatureSecretKey *sign_keys;
  size_t sign_key_count;
  bool check;       // compare with what is valid instead of registering
  bool keep_failed; // check: what differs is kept beside the valid path as <path>.check
} OutputRegisterInput;

// *ret_paths[i] (caller's array of drv->output_count) is where output i now is; equal to output_paths but for fixed outputs whose
// hash was not the declared one, and for floating and impure ones, of which output_paths are only provisional. Errors: ERR_HASH_MISMATCH, ERR_NOT_DETERMINISTIC, ERR_OTHER (refused), and I/O.
MUST_CHECK bool output_register_run(const OutputRegisterInput *input, StorePath *ret_paths, Err *err);
