// service.h: something that runs build requests: the local sandbox, and later OCI runtimes and
// remote builders.
//
// A service belongs to the thread of the event loop it was made with: all functions are called
// there, none blocks for long, and callbacks come from there. A started build ends with exactly one
// `done` callback, also after service_cancel; after it, the caller takes the outputs and gives the
// handle back with service_release, which removes what is left of the build.
//
// Tests: test/build/local_builder_test.c, test/build/sandbox_exec_test.c.
#pragma once

#include "base/loop.h"
#include "build/build_cgroup.h"
#include "build/request.h"

typedef struct BuildService BuildService;
typedef struct BuildHandle BuildHandle;

// What the request does not say, because it does not change the result.
typedef struct BuildOptions {
  const char *name;        // for messages and directory names: "hello-2.10" of the derivation
  const char *log_path;    // where the whole log goes, zstd-compressed; NULL: nowhere
  uint64_t timeout_ns;     // 0: none
  uint64_t max_silent_ns;  // 0: none
  uint64_t max_log_bytes;  // 0: none
  unsigned log_tail_lines; // how many last lines the result carries
  bool keep_failed;        // the build directory of a failed build stays, owned by the caller
  bool debug_shell; // after a failure, a shell in the build's sandbox on the user's terminal, before it is reported
  bool no_sandbox;  // said by the user in so many words; only backends that can
  bool want_kvm;    // requiredSystemFeatures has "kvm"
  bool uname_32bit; // i686-linux on x86_64-linux
} BuildOptions;

typedef enum BuildOutcome {
  BUILD_SUCCEEDED,
  BUILD_EXITED,    // exit_code is not 0
  BUILD_SIGNALLED, // signal
  BUILD_TIMED_OUT,
  BUILD_SILENT, // for longer than max_silent_ns
  BUILD_LOG_TOO_BIG,
  BUILD_CANCELLED,
  BUILD_NOT_STARTED, // err says why
} BuildOutcome;

// An output of a build that succeeded, positional to request.outputs.
typedef struct BuildOutput {
  bool present;
  const char *host_path; // NULL where the backend hands back content; else where it lies: not yet
                         // canonical, to be moved away
  CastoreNode node;      // when host_path is NULL
} BuildOutput;

// Borrowed for the time until service_release.
typedef struct BuildResult {
  BuildOutcome outcome;
  int exit_code, signal;
  Err err; // NOT_STARTED
  const BuildOutput *outputs;
  size_t output_count;
  Span *log_tail; // lines
  size_t log_tail_count;
  bool log_written;           // log_path exists and is not empty
  bool disk_full;             // a failed build's file system had no room left
  const char *kept_dir;       // keep_failed; NULL: none
  uint64_t start_ns, stop_ns; // loop_now_ns
  BuildUsage usage;
  bool out_of_memory, out_of_pids; // the limits of the build's control group were met
} BuildResult;

typedef struct BuildCallbacks {
  void *ctx;
  // Local backends: appends the host path at which this input lies as a file or tree. NULL only for
  // remote backends.
  bool (*locate)(void *ctx, const CastoreNode *input, Buf *ret_path, Err *err);
  void (*line)(void *ctx, Span line);   // a complete line of the log, '\r' resolved; may be NULL
  void (*phase)(void *ctx, Span phase); // "@nix {…setPhase…}"; may be NULL
  void (*done)(void *ctx, BuildHandle *handle, const BuildResult *result);
} BuildCallbacks;

typedef struct BuildServiceOps {
  const char *name; // "local"
  bool (*start)(BuildService *service, const BuildRequest *request, const BuildOptions *options,
                const BuildCallbacks *callbacks, BuildHandle **ret, Err *err);
  void (*cancel)(BuildHandle *handle);
  const char *(*keep)(BuildHandle *handle);
  void (*release)(BuildHandle *handle);
  void (*free)(BuildService *service);
} BuildServiceOps;

struct BuildService {
  const BuildServiceOps *ops;
};
struct BuildHandle {
  BuildService *service;
};

// Request and options must live until the release. Fails (without a `done`) only when nothing was
// started.
MUST_CHECK bool service_start(BuildService *service, const BuildRequest *request, const BuildOptions *options,
                              const BuildCallbacks *callbacks, BuildHandle **ret, Err *err);
// Kills the build at once; `done` follows with BUILD_CANCELLED (unless it had ended). May be called
// twice.
void service_cancel(BuildHandle *handle);
// Only after `done`, of a build that succeeded: its directory stays as that of a failed one with keep_failed, because what it has made is refused. The path,
// borrowed until the release; NULL when there is none.
const char *service_keep(BuildHandle *handle);
// Only after `done`.
void service_release(BuildHandle *handle);
// All builds must have been released.
void service_free(BuildService *service);
