// sandbox_oci.h: carries out a sandbox plan with an OCI runtime, crun or runc, for systems that let only those make containers.
//
// A bundle (config.json of the OCI runtime specification 1.0, and a root directory) is written from the plan, and the runtime started on it. Between
// firn and the runtime stands a shell that does one thing: when firn dies, or gives up the build, it kills the container, which neither runtime
// does by itself.
//
// Differences from sandbox_native.h, all the runtimes': a builder that is killed by signal n is reported as exit code 128+n; argv[0] is the program's
// path; builders of runc write to pipes instead of a terminal, one for output and one for errors; the root is a read-only directory of the bundle instead of memory; crun and runc add the link /dev/core; a start takes 20 ms (crun) or 50 ms (runc). Where
// the runtime's libseccomp does not know fchmodat2 (before 2.5.5) that call is not filtered; set-uid bits are removed from outputs in any case. As an unprivileged
// user only crun works: runc wants a user 0 in the container.
//
// Test: test/build/sandbox_test.c (the bundle), test/build/sandbox_exec_test.c.
#pragma once

#include "build/sandbox_native.h"

typedef struct SandboxOciRun {
  const SandboxRun *run;
  const char *runtime;    // a program; NULL: crun, or else runc, in PATH
  const char *bundle_dir; // an existing directory; run->root_dir is in it
} SandboxOciRun;

// The program that would be used: `runtime`, or what is in PATH. False when there is none. Replaces *ret.
bool sandbox_oci_find(const char *runtime, Buf *ret);
// Makes the root and the bundle, starts the runtime. *ret is the shell's process, a session of its own, with the builder's exit code (or 128+signal); it has
// ended only when nothing of the container runs any more. Closing *ret_control_fd kills the container; so does the end of this process.
MUST_CHECK bool sandbox_oci_start(const SandboxOciRun *oci, Process *ret, int *ret_control_fd, Err *err);
// After an exit code that is not 0: whether it was the runtime that failed; then *ret_message says why, or nothing when the runtime has said it on standard
// error. *ret_exec: it was about to execute the builder.
bool sandbox_oci_failed(const SandboxOciRun *oci, const char *program, Buf *ret_message, bool *ret_exec);
// The text of config.json. For tests. Fails for arguments and variables that are not UTF-8.
MUST_CHECK bool sandbox_oci_format(const SandboxRun *run, Buf *ret, Err *err);
