// eval_io.h: the evaluator's only window to the world. The evaluator asks, an implementation (glue/store_io, or a test's
// memory file system) answers. Nothing in eval/ opens a file, reads the environment or knows what a store is.
//
// Any question about a path may be answered EVAL_IO_PENDING: something must be built or fetched first. The implementation then
// has started that work (or found it already running) and filled *ret_wait; the asking task parks on it and asks the same
// question again once it is complete. Questions are therefore idempotent. Paths are absolute and canonical.
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct EvalIo EvalIo;

// Where `<nix/fetchurl.nix>` is found when the search path has no such entry: a directory of files that come with the evaluator. It
// exists only as path text, which an implementation recognises by this prefix. Messages show "<nix/fetchurl.nix>".
#define EVAL_IO_NIX_DIR "/<nix>"

typedef enum EvalIoStatus {
  EVAL_IO_OK,
  EVAL_IO_ERROR,   // *err is set
  EVAL_IO_PENDING, // *ret_wait is set; err is not
} EvalIoStatus;

// What a parked task waits for: an identifier chosen by the implementation, never 0, never reused.
typedef uint64_t EvalIoWait;

typedef enum EvalFileType {
  EVAL_FILE_ABSENT,
  EVAL_FILE_REGULAR,
  EVAL_FILE_DIRECTORY,
  EVAL_FILE_SYMLINK,
  EVAL_FILE_UNKNOWN
} EvalFileType;

typedef struct EvalStat {
  EvalFileType type;
  bool executable;
  uint64_t size_bytes;
  uint64_t dev, ino, mtime_ns, ctime_ns; // 0 where there is no such thing; keys of the unit cache
} EvalStat;

typedef struct EvalDirEntry {
  const char *name; // owned by the list
  EvalFileType type;
} EvalDirEntry;

typedef struct EvalDirList {
  EvalDirEntry *entries; // sorted bytewise by name
  size_t count;
} EvalDirList;

void eval_io_dir_list_done(EvalDirList *list);

typedef struct EvalIoOps {
  // Does not follow a final symbolic link (the components before it are followed). Absence is EVAL_FILE_ABSENT, not an error.
  EvalIoStatus (*lstat)(EvalIo *io, Span path, EvalStat *ret, EvalIoWait *ret_wait, Err *err);
  // Follows symbolic links. Appends the content.
  EvalIoStatus (*read_file)(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err);
  EvalIoStatus (*read_dir)(EvalIo *io, Span path, EvalDirList *ret, EvalIoWait *ret_wait, Err *err);
  EvalIoStatus (*read_link)(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err);
  // Makes sure that everything a string context names exists: `context` is one encoded element as in eval/context.h
  // ("/nix/store/x" plain path, "!out!/nix/store/x.drv" one output, "=/nix/store/x.drv" deep). For a built output, appends its
  // actual output path to *ret_path. Refuses with Nix's error when import from derivation is not allowed.
  EvalIoStatus (*realise_context)(EvalIo *io, Span context, Buf *ret_path, EvalIoWait *ret_wait, Err *err);
  // Copies a file or tree into the store for `./path` coercion; appends the store path. `name` as in store paths.
  EvalIoStatus (*copy_to_store)(EvalIo *io, Span path, Span name, Buf *ret_store_path, EvalIoWait *ret_wait, Err *err);
  // Writes a text object (toFile, .drv); `references` are store paths. Appends the store path.
  EvalIoStatus (*write_text)(EvalIo *io, Span name, Span content, const Span *references, size_t reference_count,
                             Buf *ret_store_path, Err *err);
  // Appends the value of an environment variable; false when unset (or evaluation is pure).
  bool (*get_env)(EvalIo *io, Span name, Buf *ret);
  // Restricted and pure evaluation: false with Nix's message when `path` may not be read.
  bool (*check_path)(EvalIo *io, Span path, Err *err);
  // The references of the store object that `path` is in or is: appends each store path and a NUL. Nothing for other paths and unknown
  // objects. May be NULL. A file that is read gets those of them as context that occur in it.
  EvalIoStatus (*list_references)(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err);
  // Search path entries that are no paths ("https://host/x.tar.gz", "channel:x", "flake:x"): fetches what `entry` means and appends the
  // path where it is. EVAL_IO_OK with nothing appended: not available, the entry is ignored (the implementation has warned). May be NULL.
  EvalIoStatus (*resolve_search_entry)(EvalIo *io, Span entry, Buf *ret_path, EvalIoWait *ret_wait, Err *err);
  // A store path that is to be valid: what has been named or is in the store, or can be fetched. May be NULL: all are.
  EvalIoStatus (*ensure_path)(EvalIo *io, Span store_path, EvalIoWait *ret_wait, Err *err);
  // What the .drv file `path` in the store says, for `import` of it: appends its name and then, for each output, the output's name and path (a
  // placeholder when the path is not known before it is built), each text followed by a NUL. Nothing for other paths. May be NULL.
  EvalIoStatus (*read_derivation)(EvalIo *io, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err);
  // Waits that have completed since the last call, at most `cap`; with `block`, waits for the first one when none has. 0 with *err set when
  // nothing can complete any more or the user interrupted.
  size_t (*poll)(EvalIo *io, bool block, EvalIoWait *ret, size_t cap, Err *err);
} EvalIoOps;

struct EvalIo {
  const EvalIoOps *ops;
};
