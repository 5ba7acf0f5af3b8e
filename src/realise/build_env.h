// build_env.h: builtin:buildenv: one tree of symbolic links to the files of several packages, as user environments and profiles are. Nix
// 2.26: libstore/builtins/buildenv.cc, whose rules and messages these are.
//
// Test: test/realise/builtin_builder_test.c.
#pragma once

#include "store/store.h"

// `packages` is the attribute "derivations": for each, "true"|"false" (active) priority output-count path... ; lower priorities win. `manifest` is
// the target of manifest.nix. `out` is made. Links name logical store paths; trees of all packages must be on disk.
MUST_CHECK bool build_env_make(Store *store, Span packages, Span manifest, const char *out, Err *err);
