// build_env.h: builtin:buildenv: one tree of symbolic links to the files of several packages, as user environments and profiles are. Nix
// 2.26: libstore/builtins/buildenv.cc, whose rules and messages these are.
//
// Test: test/realise/builtin_builder_test.c.
#pragma once

#include "store/store.h"

// Two files that would have the same name, of packages with the same priority.
typedef struct BuildEnvConflict {
  Buf former, other; // empty: none
  int priority;
} BuildEnvConflict;
#define BUILD_ENV_CONFLICT_INIT \
  { .former = BUF_INIT, .other = BUF_INIT }
void build_env_conflict_done(BuildEnvConflict *conflict);

// `packages` is the attribute "derivations": for each, "true"|"false" (active) priority output-count path... ; lower priorities win. `manifest` is
// the target of manifest.nix; empty: there is none. `out` is made. Links name logical store paths; trees of all packages must be on disk. What is
// wrong when two files collide is told in *ret_conflict, too, unless that is NULL.
MUST_CHECK bool build_env_make(Store *store, Span packages, Span manifest, const char *out,
                               BuildEnvConflict *ret_conflict, Err *err);
