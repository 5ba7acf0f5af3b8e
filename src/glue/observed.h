// observed.h: what one evaluation has looked at, in a form that tells later, cheaply, whether it would see the same again.
//
// A row is one answer of the world: the status of a path (also its absence), the entries of a directory, an environment variable, a valid
// store object. Rows are checked by their identity (device, inode, size, mtime, ctime) first. Where that differs, or where it could lie
// because the file had changed less than OBSERVED_RACY_NS before it was looked at, what counts is a digest of what was read. What can be
// checked neither way (a fetch without a hash, the clock, a file in /proc) *spoils* the whole: then nothing may be remembered.
//
// Of directories that were only walked through, their being directories is all that counts: a new file elsewhere in them changes nothing.
//
//   rows  = row*
//   row   = fixed text
//   fixed = kind type flags 0 (one byte each) text_len u32 dev ino size mtime_ns ctime_ns (u64 each) digest (16 bytes)   machine byte order
//   text  = path, or name of the variable
//
// Not thread-safe.
#pragma once

#include <sys/stat.h>

#include "base/map.h"
#include "eval/eval_io.h"

#define OBSERVED_RACY_NS ((uint64_t)2000000000)
#define OBSERVED_DIGEST_BYTES 16
// Larger files are known by their identity alone.
#define OBSERVED_DIGEST_FILE_MAX ((size_t)4 << 20)

typedef struct Observed Observed;

Observed *observed_new(void);
void observed_free(Observed *observed); // NULL is fine
// All functions that add do nothing for NULL. The first reason is kept.
void observed_spoil(Observed *observed, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *observed_spoiled(const Observed *observed); // NULL: it may be remembered
size_t observed_count(const Observed *observed);

// What stat (follow) or lstat gave; NULL: nothing is there. The status must be older than what was read because of it.
void observed_stat(Observed *observed, const char *path, bool follow, const struct stat *st);
// A file that was read, after observed_stat with the same status.
void observed_read(Observed *observed, const char *path, const struct stat *st, Span content);
// Entries of a directory; `st` from before they were read.
void observed_list(Observed *observed, const char *path, const struct stat *st, const EvalDirList *list);
// Everything in a tree, which is about to be read; `accepted`: only these relative paths (as in pending_paths.h), NULL: all.
void observed_tree(Observed *observed, const char *path, const Map *accepted);
// NULL: unset.
void observed_env(Observed *observed, Span name, const char *value);
// A store object was used, or found missing. One that was missing and is never found spoils.
void observed_object(Observed *observed, Span store_path, Span nar_hash);
void observed_no_object(Observed *observed, Span store_path);

// Adds digests of the files, where they are still what was observed, and appends the rows, the first `count` of them. False: spoiled.
bool observed_encode(Observed *observed, size_t count, Buf *ret);

// Is the store object valid, with a NAR hash of this digest (observed_digest)? NULL: objects never are.
typedef struct ObservedCheck {
  bool (*object)(void *ctx, Span store_path, const uint8_t digest[OBSERVED_DIGEST_BYTES]);
  void *ctx;
} ObservedCheck;
void observed_digest(Span data, uint8_t ret[OBSERVED_DIGEST_BYTES]);
// What of a record is still good: the rows up to the first that differs.
typedef struct ObservedPartial {
  Observed *kept;    // these rows; owned
  uint32_t *changed; // numbers of all rows that differ, ascending; owned
  size_t changed_count, changed_cap;
} ObservedPartial;
void observed_partial_done(ObservedPartial *partial);
// Would an evaluation see the same? False: appends what differs ("/x/a.nix has changed"). Malformed rows are false, too. With `partial` (empty)
// all rows are looked at.
bool observed_check(Span rows, const ObservedCheck *check, ObservedPartial *partial, size_t *ret_count, Buf *ret_why);
