// object_check.h: looks at every object of a local store. Called by store/store_check.
#pragma once

#include "castore/object_store.h"

typedef struct ObjectCheckProblem {
  CastoreDigest digest;
  PackKind kind;
  bool executable, in_pack;
  const char *path;    // of the object file or pack; borrowed during the report
  const char *what;    // "its content has another digest", "its mode is 0644 instead of 0444", ...
  bool is_content_bad; // the object must not be used; else only its metadata is wrong
} ObjectCheckProblem;
// Called on the thread of the caller.
typedef bool (*ObjectCheckReport)(void *ctx, const ObjectCheckProblem *problem, Err *err);

typedef struct ObjectCheckStats {
  uint64_t count, bytes; // objects looked at
} ObjectCheckStats;

// Types, modes and times; with `contents` every byte is hashed, on `threads` threads.
MUST_CHECK bool object_check_run(ObjectStore *store, bool contents, unsigned threads, ObjectCheckReport report,
                                 void *ctx, ObjectCheckStats *ret, Err *err);
// Sets mode and time of an object file right.
MUST_CHECK bool object_check_fix_mode(const char *path, bool executable, Err *err);
// Removes the damaged object that a problem describes: the file, or the object from its pack (which is rewritten). No lock is taken: the object cannot be
// used by anybody.
MUST_CHECK bool object_check_remove(ObjectStore *store, const ObjectCheckProblem *problem, Err *err);
