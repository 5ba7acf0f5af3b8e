// object_check.h: looks at every object of a local store. Called by store/store_check.
#pragma once

#include "castore/object_store.h"

typedef struct ObjectCheckProblem {
  const CastoreDigest *digest;
  PackKind kind;
  bool executable, in_pack;
  const char *path; // of the object file or pack
  const char *what; // "its content has another digest", "its mode is 0644, not 0444", ...
  bool content_bad; // the object must not be used
} ObjectCheckProblem;
// Called from one thread at a time.
typedef bool (*ObjectCheckReport)(void *ctx, const ObjectCheckProblem *problem, Err *err);

typedef struct ObjectCheckStats {
  uint64_t count, bytes; // objects looked at
} ObjectCheckStats;

// Names, modes, times and types; with `contents` every byte is hashed, on `threads` threads.
MUST_CHECK bool object_check_run(ObjectStore *store, bool contents, unsigned threads, ObjectCheckReport report,
                                 void *ctx, ObjectCheckStats *ret, Err *err);
// Sets mode and time of an object file right.
MUST_CHECK bool object_check_fix_mode(const char *path, bool executable, Err *err);
