// failure_text.h: says in Nix's words how a build failed (2.26: DerivationGoal::buildDone, Worker::waitForInput). Texts are without the
// indentation that Nix adds to the lines behind "error: " when it prints them.
//
// Test: test/realise/failure_text_test.c.
#pragma once

#include "build/service.h"

typedef struct FailureTextInput {
  Span drv_path;               // "/nix/store/….drv"
  Span outputs;                // as in derived paths: "out", "bin,dev" or "*"
  const BuildOptions *options; // limits
  const BuildResult *result;   // not SUCCEEDED
  bool logged;                 // lines were shown live: the tail is left out
} FailureTextInput;

// Sets *err: kinds BUILD_FAILED, BUILD_TIMEOUT, INTERRUPTED, or that of result->err.
void failure_text_set(const FailureTextInput *input, Err *err);
// Adds to a message that the build directory was kept; NULL: it was not.
void failure_text_keep(const char *kept_dir, Err *err);
