// local_builder.h: the BuildService that runs builders on this machine: in a sandbox (sandbox.h)
// made by firn's own use of namespaces, by bubblewrap or by an OCI runtime, or, only when asked for by name, without
// isolation.
//
// Each build has a directory of its own, made below `scratch_dir`, which must be on the file system
// of the store so that outputs are moved by rename:
//   <scratch_dir>/<pid>-<n>-<name>/   0700
//     build/    the builder's /build         tmp/   its /tmp
//     store/    its writable /nix/store      root/  mount point of its root (for an OCI runtime: its root, and beside it the bundle)
// It is removed when the build is released, and what a killed firn left behind by local_builder_new
// of a later one.
//
// Test: test/build/local_builder_test.c.
#pragma once

#include "build/sandbox.h"
#include "build/service.h"

typedef enum SandboxExecutor {
  SANDBOX_EXECUTOR_AUTO, // native, or bubblewrap where the system lets only that make user
                         // namespaces
  SANDBOX_EXECUTOR_NATIVE,
  SANDBOX_EXECUTOR_BUBBLEWRAP,
  SANDBOX_EXECUTOR_OCI, // crun or runc
} SandboxExecutor;

// Where Nix's auto-allocate-uids starts: outside of what distributions give to people and containers.
#define LOCAL_BUILDER_UID 872415232u

typedef struct LocalBuilderConfig {
  const char *scratch_dir;        // on the host
  const char *store_dir;          // what builders see: "/nix/store"
  const char *physical_store_dir; // where its objects lie on the host; no_sandbox needs it to be store_dir
  const char *build_dir;          // what builders see: "/build"
  const char *
      host_build_dir; // where build directories are made, for builders that need more room or speed; NULL: in scratch_dir
  const char *shell;              // a static shell for /bin/sh; NULL: busybox is looked for
  const char *ca_certs;           // NULL: the system's bundle is looked for
  const SandboxBind *extra_binds; // sandbox-paths
  size_t extra_bind_count;
  uint64_t shm_size_bytes; // 0: half of memory
  SandboxExecutor executor;
  const char *oci_runtime; // a program; NULL: crun or else runc
  // The user on the host that builders are when firn is root; 0: LOCAL_BUILDER_UID. Where root does not have that user (in a
  // container with few users), builders are root there, without its privileges.
  unsigned builder_uid;
  bool filter_syscalls;
  bool
      use_cgroups; // where they cannot be had, this is a warning, and times are those of the kernel's process accounting
  BuildCgroupLimits limits; // any of them needs cgroups: where they cannot be had, builds are refused
} LocalBuilderConfig;

// The configuration is copied. Fails when scratch_dir cannot be made. A missing shell or missing
// namespaces are reported by the build that needs them, not here: substituting needs neither.
MUST_CHECK bool local_builder_new(const LocalBuilderConfig *config, Loop *loop, BuildService **ret, Err *err);
// The plan that a build of `request` would be run with, without running anything (--dry-sandbox).
// Inputs are shown at the place that `callbacks->locate` names.
MUST_CHECK bool local_builder_plan(BuildService *service, const BuildRequest *request, const BuildOptions *options,
                                   const BuildCallbacks *callbacks, Arena *arena, SandboxPlan *ret, Err *err);
