// build_fixture.h: runs one shell script as a build of the local builder, and tells everything
// about it.
#pragma once

#include "build/local_builder.h"

typedef struct BuildFixture {
  Loop *loop;
  BuildService *service;
  LocalBuilderConfig config;
  BuildOptions options; // changed by tests before the run
  // What the last run gave.
  Arena arena;
  BuildRequest request;
  BuildHandle *handle; // released by the next run
  BuildResult result;
  Buf log;    // lines
  Buf phases; // lines
  bool done;
  const char *program;   // "/bin/sh"
  const char *input_dir; // inputs are looked for in this host directory
} BuildFixture;

// A scratch directory below the test's temporary directory; nothing is running.
void build_fixture_init(BuildFixture *fixture, SandboxExecutor executor);
// The store, inside and outside, is this directory (which then is where outputs are made).
void build_fixture_init_at(BuildFixture *fixture, SandboxExecutor executor, const char *store_dir);
// The container runtime `runtime` ("crun", "runc").
void build_fixture_init_oci(BuildFixture *fixture, const char *runtime);
void build_fixture_done(BuildFixture *fixture);
// "/bin/sh -c script" with PATH empty, out=/nix/store/<32 a>-out, one output of that name. Waits
// for the end.
void build_fixture_run(BuildFixture *fixture, const char *script);
// In pieces: start, and wait until `done` or so many milliseconds are over.
void build_fixture_start(BuildFixture *fixture, const char *script);
void build_fixture_fails_to_start(BuildFixture *fixture, const char *script, const char *message_part);
bool build_fixture_wait(BuildFixture *fixture, int timeout_ms);
// Content of the output, or of a file in it ("/x").
Span build_fixture_output(BuildFixture *fixture, const char *rest);

#define BUILD_FIXTURE_OUT "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-out"
