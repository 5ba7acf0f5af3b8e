// store_io.h: the evaluator's window to the world with a store behind it: host files, store objects (on disk, in the content store,
// or not added yet), and outputs of derivations that have to be built first, which is what makes firn's evaluation drive builds.
//
// A store path is looked for in this order: what this evaluation has named (pending_paths.h, .drv texts of known_paths.h), the store,
// the outputs of known derivations (a build starts and the answer is EVAL_IO_PENDING), and with impure_host_store the
// host's disk. Symbolic links are followed across all of these. The store is opened, and the scheduler started, by the first question that
// needs them: most evaluations need neither.
//
// Not thread-safe: belongs to the evaluator's thread.
#pragma once

#include "eval/eval_io.h"
#include "glue/access_check.h"
#include "glue/fetcher.h"
#include "glue/known_paths.h"
#include "glue/observed.h"
#include "glue/pending_paths.h"
#include "realise/scheduler.h"
#include "store/store.h"

typedef struct StoreIo StoreIo;

typedef struct StoreIoConfig {
  Span store_dir; // "/nix/store"
  // Called when first needed, at most once successfully. The results stay the caller's and must outlive the StoreIo.
  bool (*open_store)(void *ctx, Store **ret, Err *err);
  bool (*open_scheduler)(void *ctx, Store *store, Scheduler **ret, Err *err);
  void *ctx;
  bool allow_import_from_derivation;
  bool impure_host_store; // an unknown store path is looked for on the host's disk
  bool substitute;        // ask the scheduler for store paths that no derivation is known for
  bool pure_eval, restrict_eval;
  bool read_only; // only values are asked for: builtins.storePath and appendContext take paths that are not valid
  FetcherSettings fetch; // its text is borrowed
  // Tells somebody (a progress line) what evaluation waits for. May be NULL.
  void (*waiting)(void *ctx, Span drv_path);
} StoreIoConfig;

// The configuration is copied. Owned by the caller.
StoreIo *store_io_new(const StoreIoConfig *config);
void store_io_free(StoreIo *io);
// For vm_new.
EvalIo *store_io_eval(StoreIo *io);
// The derivations it knows; borrowed.
KnownPaths *store_io_known(StoreIo *io);
AccessCheck *store_io_access(StoreIo *io); // borrowed: who makes it fills the lists
// From here on everything that is looked at is recorded there; borrowed, NULL: nothing is.
void store_io_observe(StoreIo *io, Observed *observed);
Observed *store_io_observed(StoreIo *io); // may be NULL

// Opens them where that has not happened yet; borrowed.
MUST_CHECK bool store_io_store(StoreIo *io, Store **ret, Err *err);
MUST_CHECK bool store_io_scheduler(StoreIo *io, Scheduler **ret, Err *err);
// What is being fetched (fetch_io.h).
typedef struct FetchIo FetchIo;
FetchIo *store_io_fetches(StoreIo *io);
// After the scheduler was freed (an interrupt in a session that goes on): unfinished builds are forgotten, the next one opens a new scheduler.
void store_io_forget_scheduler(StoreIo *io);
// Puts everything that was named so far into the store: sources, texts, .drv files, in this order, the .drv files in one batch.
MUST_CHECK bool store_io_flush(StoreIo *io, Err *err);
// The same, and makes the trees of all that was named, for programs that look at the disk.
MUST_CHECK bool store_io_materialise(StoreIo *io, Err *err);

// ---- for the builtins of glue/

// References of a store path, in `arena`; empty for a source that was just named.
MUST_CHECK bool store_io_references(StoreIo *io, Span store_path, Arena *arena, Span **ret, size_t *ret_count,
                                    Err *err);
// Where `path` (absolute, canonical) can be read with plain system calls: follows symbolic links (the last one with
// `follow_last`), builds and materialises what is needed. Appends to both; `ret_logical` is the resolved path as the program knows it.
EvalIoStatus store_io_locate(StoreIo *io, Span path, bool follow_last, Buf *ret_physical, Buf *ret_logical,
                             EvalIoWait *ret_wait, Err *err);
// Entries of a directory on disk, as read_dir gives them; recorded.
MUST_CHECK bool store_io_list(StoreIo *io, const char *path, EvalDirList *ret, Err *err);
// The same for directories that are not part of the program's world.
MUST_CHECK bool store_io_list_physical(const char *path, EvalDirList *ret, Err *err);
// Names a copy of what store_io_locate found; see pending_paths.h. Takes source->accepted. Appends the store path and allows access to it.
MUST_CHECK bool store_io_add_source(StoreIo *io, const PendingSource *source, Buf *ret_store_path, Err *err);
// Is it valid, or named by this evaluation? Never builds.
MUST_CHECK bool store_io_is_valid(StoreIo *io, Span store_path, bool *ret, Err *err);
// Makes one store path valid (builds or fetches); OK when it is.
EvalIoStatus store_io_ensure(StoreIo *io, Span store_path, EvalIoWait *ret_wait, Err *err);
