// builtin_builder.h: builders that are part of Nix: "builtin:fetchurl", "builtin:buildenv" and "builtin:unpack-channel" (2.26:
// libstore/builtins). They run on a worker thread and execute nothing that the derivation brings; http is left to curl, xz and
// tar archives to the programs of these names.
//
// Test: test/realise/builtin_builder_test.c.
#pragma once

#include <pthread.h>

#include "base/process.h"
#include "build/service.h"
#include "formats/derivation.h"
#include "store/store.h"

// How the scheduler stops a builder that runs on a worker thread. Zeroed but for the mutex: BUILTIN_CANCEL_INIT.
typedef struct BuiltinCancel {
  pthread_mutex_t mutex;
  bool cancelled;
  Process *child; // the program that runs now; NULL: none
} BuiltinCancel;
#define BUILTIN_CANCEL_INIT \
  { PTHREAD_MUTEX_INITIALIZER, false, NULL }

typedef struct BuiltinBuildInput {
  Store *store;
  const Derivation *drv;
  DerivationType type;
  const BuildRequest *request;
  const size_t *output_order; // derivation_request_make
  BuiltinCancel *cancel;
} BuiltinBuildInput;

typedef struct BuiltinBuild {
  BuildResult result; // as from a service: a failure is exit code 1 with its message as the only line of the log
  char *dir;          // scratch directory with the outputs; owned
  Arena arena;
} BuiltinBuild;

void builtin_builder_run(const BuiltinBuildInput *input, BuiltinBuild *ret);
// Kills the program that it runs, and lets it start no other. Any thread, while the builder runs or not.
void builtin_builder_cancel(BuiltinCancel *cancel);
// Removes what was not moved away. On a zeroed struct it does nothing.
void builtin_builder_done(BuiltinBuild *build);
