// sandbox_native.h: carries out a sandbox plan with the kernel's namespaces directly, without a helper program.
//
// One clone makes the builder's process, with CLONE_VM | CLONE_VFORK as process.h does it, so nothing of a large heap is
// copied; that process sets up its own world and executes the builder. It is our child and PID 1 of its PID namespace:
// its exit status is the builder's, killing it kills everything in the namespace, and when it has been waited for, nothing
// of the build runs any more. bubblewrap (sandbox_bwrap.h) does the same with two more processes and time quadratic in the
// number of binds.
//
// Works for any user where the kernel lets users make user namespaces; it needs no privilege. For root, the builder can be
// another user outside, so that it owns nothing of the host.
#pragma once

#include "base/process.h"
#include "build/build_cgroup.h"
#include "build/sandbox.h"

typedef struct SandboxRun {
  const SandboxPlan *plan;
  const char *root_dir; // an empty directory on the host, mount point of the root in the sandbox's own mount namespace
  int output_fd;        // standard output and error of the builder; its standard input is /dev/null
  bool terminal;        // output_fd is also standard input, and the controlling terminal: an interactive shell
  Span seccomp;         // sandbox_seccomp_program; used when the plan filters
  // The user that the builder is on the host; only root can choose. 0: the caller. What the builder is to write, and
  // output_fd, must be this user's.
  unsigned host_uid, host_gid;
  const BuildCgroup *cgroup; // in which everything of the build runs; NULL: in ours
} SandboxRun;

typedef enum SandboxStart {
  SANDBOX_STARTED,
  SANDBOX_NO_NAMESPACES, // this system does not let us make them; err says what failed
  SANDBOX_FAILED,        // a step failed; err says which
  SANDBOX_EXEC_FAILED,   // everything is set up but the builder cannot be executed; err.sys_errno
                         // says why
} SandboxStart;

// Nothing is left running unless SANDBOX_STARTED. The builder dies when the calling thread's
// process dies.
SandboxStart sandbox_native_start(const SandboxRun *run, Process *ret, Err *err);
