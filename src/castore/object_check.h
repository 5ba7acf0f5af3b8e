// object_check.h: looks at every object of a local store. Called by store/store_check.
#pragma once

#include <sys/stat.h>

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

// All objects as they were listed when it began, being looked at.
typedef struct ObjectCheck ObjectCheck;

// Lists the objects, and begins to look at types, modes and times, with `contents` at every byte, on `threads` threads.
MUST_CHECK bool object_check_begin(ObjectStore *store, bool contents, unsigned threads, ObjectCheck **ret, Err *err);
// Waits for the threads, helping them, and reports what they found.
MUST_CHECK bool object_check_end(ObjectCheck *check, ObjectCheckReport report, void *ctx, ObjectCheckStats *ret,
                                 Err *err);
void object_check_free(ObjectCheck *check);
// Was an object of that content there? After object_check_end. Any of its copies counts, also a damaged one.
bool object_check_find(const ObjectCheck *check, const CastoreDigest *digest, PackKind kind, uint64_t *ret_size_bytes);
// Of which object is this inode, as far as the listing tells? NULL: of none. Its status counts as seen. On the thread of the caller, before object_check_end.
const CastoreDigest *object_check_inode(ObjectCheck *check, const struct stat *st, bool executable);
// A packed object, borrowed; whether it is sound is known after object_check_end. False when no pack has it.
bool object_check_peek(const ObjectCheck *check, const CastoreDigest *digest, PackKind kind, Span *ret_data);

// All of it: begin, end, free.
MUST_CHECK bool object_check_run(ObjectStore *store, bool contents, unsigned threads, ObjectCheckReport report,
                                 void *ctx, ObjectCheckStats *ret, Err *err);
// The same for every copy of some objects: as files, as executable ones, in packs. Always looks at the contents; what is not there is no problem here.
typedef struct ObjectCheckName {
  CastoreDigest digest;
  PackKind kind;
} ObjectCheckName;
MUST_CHECK bool object_check_some(ObjectStore *store, const ObjectCheckName *names, size_t count, unsigned threads,
                                  ObjectCheckReport report, void *ctx, ObjectCheckStats *ret, Err *err);
// Sets mode and time of an object file right.
MUST_CHECK bool object_check_fix_mode(const char *path, bool executable, Err *err);
// Removes the damaged object that a problem describes: the file, or the object from its pack (which is rewritten). No lock is taken: the object cannot be
// used by anybody.
MUST_CHECK bool object_check_remove(ObjectStore *store, const ObjectCheckProblem *problem, Err *err);
