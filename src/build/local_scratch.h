// local_scratch.h: the directories in which local builds happen, below one directory that several
// processes share.
//
// A directory belongs to a running build exactly while somebody holds a lock (flock) on it, which
// the kernel drops however its holder dies. What is not locked was left behind by a process that
// was killed, and is removed by the next one that starts. Directories of failed builds that are to
// be kept get a name that says so.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/pool.h"

typedef struct LocalScratch LocalScratch;

typedef struct LocalScratchDir {
  const char *top;                        // 0700; NULL: there is none
  const char *build, *tmp, *store, *root; // in it
  int lock_fd;                            // owned
} LocalScratchDir;

MUST_CHECK bool local_scratch_new(const char *dir, LocalScratch **ret, Err *err); // makes it
void local_scratch_free(LocalScratch *scratch);
// `name` goes into the directory's name. Paths are in `arena`.
// What builders write in is given to `owner_uid`, unless that is 0.
MUST_CHECK bool local_scratch_make(LocalScratch *scratch, const char *name, unsigned owner_uid, Arena *arena,
                                   LocalScratchDir *ret, Err *err);
// Changes the owner of what builders write in.
MUST_CHECK bool local_scratch_give(const LocalScratchDir *dir, unsigned uid, Err *err);
// The paths that a build would have; makes nothing.
void local_scratch_name_only(LocalScratch *scratch, const char *name, Arena *arena, LocalScratchDir *ret);
// Keeps the build directory of a failed build under a name of its own, readable for everybody;
// returns its path, NULL when that failed (it warns). The rest is removed later as usual.
const char *local_scratch_keep(LocalScratch *scratch, LocalScratchDir *dir, const char *name, Arena *arena);
// Unlocks and removes, by a job of `cleaner`.
void local_scratch_remove(LocalScratch *scratch, Pool *cleaner, LocalScratchDir *dir);
// Removes what nobody holds, by a job of `cleaner`.
void local_scratch_clean(LocalScratch *scratch, Pool *cleaner);
