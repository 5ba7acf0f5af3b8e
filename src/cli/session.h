// session.h: one run of a command: its options and settings, and the store, scheduler and evaluator it opens when it first needs them. At the
// end everything is closed in order and nothing is left running.
#pragma once

#include "cli/history_recorder.h"
#include "cli/option.h"
#include "cli/progress.h"
#include "cli/setting.h"
#include "cli/shebang.h"
#include "cli/timeline.h"
#include "glue/glue.h"
#include "glue/io_trace.h"
#include "glue/trace_cache.h"
#include "glue/unit_cache.h"
#include "glue/unit_prefetch.h"

typedef struct Command Command;                       // command.h
typedef struct EvalCacheRecording EvalCacheRecording; // eval_cache.c

typedef struct Session {
  const Command *command;
  OptionList options;
  Setting settings[SETTING_COUNT];
  Arena arena;     // text that lives as long as the session
  Shebang shebang; // of nix-shell: the script that is run
  Progress progress;
  Store *store;
  Scheduler *scheduler;
  Substituters *substituters; // substitution.h
  Timeline *timeline;         // --timings, --trace; NULL: not asked for
  HistoryRecorder history;
  Buf failures;      // messages of builds that failed, each with a NUL behind it; the scheduler's thread writes them
  uint64_t start_ns; // of the session
  StoreIo *io;
  IoTrace *io_trace; // in front of `io`; NULL: not asked for
  Glue glue;
  Vm *vm;
  UnitCache *units;       // used by the VM; NULL: switched off
  UnitPrefetch *prefetch; // in front of `units`; NULL: none
  VmSearchEntry *nix_path;
  size_t nix_path_count, nix_path_cap;
  EvalCacheRecording *recording; // an evaluation whose answer will be remembered; NULL: none
  bool has_glue, has_nix_path;
  bool is_closed;
  bool is_interactive; // the REPL: interrupts end what runs, never the program
} Session;

// The session must stay where it is. Installs the signal handlers.
void session_init(Session *session, const Command *command);
void session_done(Session *session);
// The first part of session_done: ends what runs, closes the store, writes reports. For those who then become another program.
void session_close(Session *session);
// After the options have been read: log level, settings that need no store.
MUST_CHECK bool session_start(Session *session, Err *err);

const char *session_system(Session *session);
bool session_has_feature(const Session *session, const char *feature);
// False with Nix's message where it is not enabled.
MUST_CHECK bool session_require_feature(const Session *session, const char *feature, Err *err);
Span session_store_dir(Session *session);

// Opened when first asked for; borrowed.
MUST_CHECK bool session_store(Session *session, Store **ret, Err *err);
MUST_CHECK bool session_scheduler(Session *session, Scheduler **ret, Err *err);
StoreIo *session_io(Session *session);
// A derivation that evaluation has made or that is in the store; NULL: *err is set. Borrowed, for the life of session_io.
const Derivation *session_derivation(Session *session, const StorePath *path, Err *err);
MUST_CHECK bool session_vm(Session *session, Err *err);
// What <x> is looked up in: -I, then NIX_PATH or what stands for it. Borrowed.
const VmSearchEntry *session_search_path(Session *session, size_t *ret_count);
// What NIX_BUILD_CORES is in builds: the setting, or all processors.
unsigned session_cores(const Session *session);
// A folder for things that can be made again, "$XDG_CACHE_HOME/firn/<name>"; appends the path.
void session_cache_dir(const char *name, Buf *ret);
// Where lists of loaded files are kept, and compiled files; append the path.
void session_prefetch_dir(Buf *ret);
void session_unit_dir(Buf *ret);
// Gives back the evaluator's memory before a long build. Roots of the caller are gone.
void session_drop_vm(Session *session);
// Begins with a new evaluator, of the same world. Roots of the caller are gone.
void session_restart_vm(Session *session);

// The next build gets a new scheduler, which knows nothing of what the former one did.
void session_drop_scheduler(Session *session);
// Forgets an interrupt that has been dealt with; false when there was none.
bool session_take_interrupt(Session *session);
// Prints "error: ..." and gives the exit code. Frees *err.
int session_fail(Session *session, Err *err);
// The same for the evaluation error pending in the VM, or a given one (owned).
int session_eval_failed(Session *session, EvalError *error);
// Absolute path of a file named on the command line, in the session's arena.
const char *session_absolute(Session *session, const char *path);
// Writes to standard output; a failure ends the program with an error, a closed pipe silently.
void session_print(Session *session, Span text);
// The same for text that has been recorded as part of an answer before (eval_cache_print).
void session_write(Session *session, Span text);
