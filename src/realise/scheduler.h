// scheduler.h: makes outputs of derivations exist: have them, substitute them, or build them,
// inputs first, as many at once as there are slots.
//
// The scheduler has a thread of its own, which runs an event loop: builders' output is read, ended
// builders are registered and their successors started while the evaluator computes, whatever it
// does and however long it does not look. (The alternative, pumping from the evaluator's
// safepoints, would leave finished builds unregistered and slots empty for as long as one native
// function or one collection takes.) Hashing and registering outputs runs on further threads, so
// that a large output holds up nobody. Every function here may be called from any thread; none but
// scheduler_wait and scheduler_free blocks.
//
// A *goal* is "this output of this derivation is valid". Goals are de-duplicated by derivation and
// output, those of one derivation share one build. What callers hold is a *ticket*: a number for a
// set of goals, never reused, never 0.
//
// Two firns never build the same output twice: a build holds locks on its outputs (store_lock.h);
// who waits for a lock looks again whether the output exists once he has it.
//
// Tests: test/realise/scheduler_test.c, test/realise/scheduler_fault_test.c.
#pragma once

#include "base/err.h"
#include "build/local_builder.h"
#include "formats/derivation.h"
#include "formats/path_info.h"

typedef struct Scheduler Scheduler;
typedef struct Store Store;               // store/store.h
typedef struct Substituters Substituters; // store/substituters.h
typedef uint64_t SchedulerTicket;

typedef enum SchedulerState { SCHEDULER_PENDING, SCHEDULER_DONE, SCHEDULER_FAILED } SchedulerState;

typedef enum SchedulerMode {
  SCHEDULER_NORMAL,
  SCHEDULER_CHECK, // build again although valid, compare (--check, --rebuild); inputs are realised
                   // normally
} SchedulerMode;

// What happens, for progress displays and logs. Called from the scheduler's thread, in order for
// one build; must not block and must not call the scheduler.
typedef enum SchedulerEventKind {
  SCHEDULER_EVENT_BUILD_START,
  SCHEDULER_EVENT_BUILD_PHASE,
  SCHEDULER_EVENT_BUILD_LINE,
  SCHEDULER_EVENT_BUILD_STOP, // text: empty, or why it failed
  SCHEDULER_EVENT_LOCK_WAIT,  // another process builds it
  SCHEDULER_EVENT_COUNTS,     // `counts` changed
  SCHEDULER_EVENT_WARNING,    // text
} SchedulerEventKind;

typedef struct SchedulerCounts {
  size_t builds_expected, builds_running, builds_done, builds_failed;
} SchedulerCounts;

typedef struct SchedulerEvent {
  SchedulerEventKind kind;
  uint64_t build_id;         // of one build; 0 for COUNTS
  uint64_t time_ns;          // loop_now_ns
  const StorePath *drv_path; // NULL for COUNTS
  Span text;
  const SchedulerCounts *counts;
  const BuildUsage *usage; // BUILD_STOP of a builder that ran: what it used; NULL where nothing is known
  bool is_check;           // BUILD_START: what is there is compared
  const StorePath *inputs; // BUILD_START: derivations whose outputs are inputs
  size_t input_count;
} SchedulerEvent;

typedef struct SchedulerConfig {
  unsigned max_jobs; // build slots; 0 builds nothing (only substitution)
  unsigned cores;    // NIX_BUILD_CORES as it is; 0 tells builders to use what they find
  bool keep_going, keep_failed, fallback;
  bool logs_shown;                         // the user sees what builders print: errors do not repeat the end of it
  bool debug_shell;                        // a shell in the sandbox of each build that fails, on the user's terminal
  bool no_sandbox;                         // said by the user
  bool relaxed_sandbox;                    // "sandbox = relaxed": __noChroot derivations run without one
  bool ca_derivations, impure_derivations; // experimental features
  uint64_t timeout_ns, max_silent_ns, max_log_bytes;
  unsigned log_tail_lines;                                     // 0: 25, as Nix
  const char *system;                                          // "x86_64-linux"
  const char *const *extra_platforms, *const *system_features; // NULL-terminated; may be NULL
  const char *log_dir;                                         // "<state>/log/firn"; NULL: logs are not stored
  const SignatureSecretKey *sign_keys;                         // sign what is built; borrowed
  size_t sign_key_count;

  LocalBuilderConfig builder;
  // Reads a derivation. Any thread, so KnownPaths of an evaluator must lock or write its .drv
  // first. NULL: from the store. Text of *ret is in `arena`.
  bool (*load)(void *ctx, const StorePath *drv_path, Arena *arena, Derivation *ret, Err *err);
  void *load_ctx;
  Substituters *substituters;                            // NULL: none; cancelled with the scheduler
  void (*event)(void *ctx, const SchedulerEvent *event); // NULL: none
  void *event_ctx;
} SchedulerConfig;

#define SCHEDULER_CONFIG_INIT \
  { .max_jobs = 1, .system = "x86_64-linux" }

// Text of the configuration is copied; hooks and the store must outlive the scheduler.
MUST_CHECK bool scheduler_new(Store *store, const SchedulerConfig *config, Scheduler **ret, Err *err);
// Cancels what runs, waits until every builder is dead and its directories are removed, frees.
void scheduler_free(Scheduler *scheduler);

// Wants `outputs` of a derivation (none: all). Whether they exist is found out by the scheduler:
// the ticket is pending at first even when nothing is to be done (scheduler_wait returns at once
// then).
SchedulerTicket scheduler_realise(Scheduler *scheduler, const StorePath *drv_path, const Span *outputs,
                                  size_t output_count, SchedulerMode mode);
// Wants a store path that no derivation is known for: valid already, or substituted, or an error.
SchedulerTicket scheduler_ensure(Scheduler *scheduler, const StorePath *path);

// Work that is no build, on one of SCHEDULER_MAX_WORK threads of its own: downloads that evaluation waits for. `run` is called exactly once,
// also after a cancellation; once cancel_fd is readable it gives up with ERR_INTERRUPTED. `ctx` is its own business.
#define SCHEDULER_MAX_WORK 16
typedef bool (*SchedulerWorkFn)(void *ctx, int cancel_fd, Err *err);
SchedulerTicket scheduler_run(Scheduler *scheduler, SchedulerWorkFn run, void *ctx);

// FAILED sets *err (a copy; may be NULL): the build's own error, or Nix's "1 dependencies of derivation '…' failed to build".
SchedulerState scheduler_state(Scheduler *scheduler, SchedulerTicket ticket, Err *err);
// The same, but *err is what failed first, with the end of its log: the error of the build itself or of one of its inputs.
SchedulerState scheduler_cause(Scheduler *scheduler, SchedulerTicket ticket, Err *err);
// After DONE: the path of one output. False when the ticket does not have it. Needed for
// content-addressed derivations; the paths of others are known before.
bool scheduler_output(Scheduler *scheduler, SchedulerTicket ticket, Span output, StorePath *ret);
// How the build of a ticket's derivation went, whether it succeeded or not.
typedef struct SchedulerTimes {
  int64_t start_s, stop_s; // since the epoch
  uint64_t duration_ns;
  BuildUsage usage;
} SchedulerTimes;
// After DONE or FAILED. False when nothing was built here: it was valid, was fetched, or its inputs failed.
bool scheduler_times(Scheduler *scheduler, SchedulerTicket ticket, SchedulerTimes *ret);
// Forgets a ticket; what it wanted goes on.
void scheduler_drop(Scheduler *scheduler, SchedulerTicket ticket);

// Completion. The descriptor is readable while finished tickets have not been taken.
int scheduler_fd(const Scheduler *scheduler);
// Takes one ticket that has finished since; false when there is none now. Each ticket is delivered
// once.
bool scheduler_next_finished(Scheduler *scheduler, SchedulerTicket *ret);
// Waits until a finished ticket can be taken, at most timeout_ms (-1: for ever). True when there is
// one. False at once when there is none and nothing is running that could finish.
bool scheduler_wait(Scheduler *scheduler, int timeout_ms);

// Ctrl-C. Async-signal-safe is only scheduler_interrupt; both make every unfinished ticket fail
// with ERR_INTERRUPTED, kill all builders and start nothing more.
void scheduler_cancel(Scheduler *scheduler);
void scheduler_interrupt(Scheduler *scheduler);
// OR of the status bits that nix-build exits with: 100 build failure, |1 timeout, |2 hash mismatch,
// |8 not deterministic; 0: none.
int scheduler_failure_status(Scheduler *scheduler);
SchedulerCounts scheduler_counts(Scheduler *scheduler);
// The settings it works with (complete: what was not given is filled in) and its store; borrowed, any thread.
const SchedulerConfig *scheduler_config(const Scheduler *scheduler);
Store *scheduler_store(const Scheduler *scheduler);
