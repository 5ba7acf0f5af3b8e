// sandbox.h: what a builder sees, planned as data. Planning is pure: facts about the host and about
// the request go in, a list of typed steps comes out, which tests compare and `--dry-sandbox`
// prints. sandbox_native.h and sandbox_bwrap.h carry it out.
//
// The builder runs as PID 1 of its own PID namespace, in its own mount, IPC, UTS, cgroup and user
// namespaces, and in a network namespace with nothing but a loopback interface unless the plan
// shares the network. Invariants of every plan:
// - the root is a memory file system that is read-only once set up;
// - the only writable places are the store directory for the outputs (inputs in it are mounted
// over, read-only), the
//   build directory, /tmp, and /dev with its /dev/shm;
// - nothing of the host appears that is not named by a bind step.
//
// Behaviour follows C++ Nix 2.26 (chroot builds of local-derivation-goal), except that the root is
// memory and /etc is read-only from the start. Test: test/build/sandbox_test.c (plans),
// test/build/sandbox_exec_test.c (both executors, escape attempts).
#pragma once

#include "base/arena.h"
#include "base/buf.h"

typedef enum SandboxStepKind {
#define SANDBOX_STEP(name, verb) SANDBOX_STEP_##name,
#include "build/sandbox_step.def"
#undef SANDBOX_STEP
} SandboxStepKind;

typedef struct SandboxStep {
  SandboxStepKind kind;
  const char *path;    // absolute, canonical, inside
  const char *source;  // binds: absolute path on the host
  Span content;        // FILE, SYMLINK
  unsigned mode;       // TMPFS, DIR, FILE
  uint64_t size_bytes; // TMPFS
  bool is_dir;         // binds: what the mount point must be
} SandboxStep;

typedef struct SandboxPlan {
  SandboxStep *steps;
  size_t step_count;
  bool share_network;   // else a network namespace of its own
  bool filter_syscalls; // the seccomp filter of sandbox_seccomp.h
  bool uname_32bit;     // PER_LINUX32: a 32-bit system name on a 64-bit kernel
  unsigned uid, gid;    // inside; outside it is the caller
  const char *hostname;
  const char *work_dir;
  const char *program;     // a path inside
  const char *const *argv; // NULL-terminated
  const char *const *env;  // NULL-terminated "K=V": the whole environment
} SandboxPlan;

// One thing of the host that is to appear inside. The caller has looked at the source with lstat: a
// symbolic link cannot be bind-mounted and is made anew.
typedef struct SandboxBind {
  const char *path;        // inside
  const char *source;      // on the host
  const char *link_target; // not NULL: a symbolic link with this target; `source` is not used
  bool is_dir;
  bool writable;
} SandboxBind;

// Everything the plan depends on. Strings are borrowed for the life of the plan's arena. `NULL`
// paths: not there.
typedef struct SandboxSpec {
  const char *store_dir;        // inside, "/nix/store"
  const char *output_dir;       // on the host: what is writable at store_dir
  const char *build_dir;        // inside, "/build"
  const char *build_dir_source; // on the host
  const char *tmp_dir_source;   // on the host: /tmp
  const SandboxBind *binds;     // inputs and sandbox-paths
  size_t bind_count;
  const char *shell_source; // a static shell for /bin/sh; NULL: none is wanted
  bool network;             // fixed-output derivations
  // Host files that a builder with network needs, already resolved.
  const char *resolv_conf_source, *services_source, *hosts_source, *ca_certs_source;
  bool kvm;                // /dev/kvm exists and is a system feature
  uint64_t shm_size_bytes; // 0: half of memory, as the setting sandbox-dev-shm-size says by default
  bool filter_syscalls;
  bool uname_32bit;
  unsigned uid, gid; // 1000, 100
  const char *program;
  const char *const *argv, *const *env;
} SandboxSpec;

// Duplicate paths in `binds`: the later one wins. The plan lives in `arena`.
SandboxPlan sandbox_plan(const SandboxSpec *spec, Arena *arena);
// One line for each step and for each property of the plan; the environment and arguments too. For
// --dry-sandbox and tests.
void sandbox_format(const SandboxPlan *plan, Buf *ret);
// The kinds' verbs, for messages.
const char *sandbox_step_name(SandboxStepKind kind);
