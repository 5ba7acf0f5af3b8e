// local_scratch.h: the directories in which local builds happen, below one directory that several
// processes share.
//
// A directory belongs to a running build exactly while somebody holds a lock (flock) on it, which
// the kernel drops however its holder dies. What is not locked was left behind by a process that
// was killed, and is removed by the next one that starts. Directories of failed builds that are to
// be kept get a name that says so.
//
// Directories are used again by later builds of the same process: what a build left in one is removed, and the mount points of its inputs, which the
// kernel has kept from it, stay for the next build, which mostly has nearly the same inputs. Making and removing hundreds of
// inodes for each build costs more than building.
//
// Test: test/build/local_builder_test.c.
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/pool.h"

typedef struct LocalScratch LocalScratch;
typedef struct LocalScratchMounts LocalScratchMounts;

// A mount point directly in the store directory of a build.
typedef struct LocalScratchMount {
  Span name;
  bool is_dir;
} LocalScratchMount;

typedef struct LocalScratchDir {
  const char *top;                        // 0700; NULL: there is none
  const char *build, *tmp, *store, *root; // in it
  int lock_fd;                            // owned
  unsigned owner_uid;
  bool settled;  // `build` lies outside of `top`, see local_scratch_settle
  bool reusable; // said by who knows that nothing of the build runs any more, and that its mounts were as noted
  LocalScratchMounts *mounts; // owned: mount points that may be in `store`
} LocalScratchDir;

MUST_CHECK bool local_scratch_new(const char *dir, LocalScratch **ret, Err *err); // makes it
// Removes what lies ready for further builds; those that were made must have been removed.
void local_scratch_free(LocalScratch *scratch);
// `name` goes into the directory's name. Paths are in `arena`.
// What builders write in is given to `owner_uid`, unless that is 0. `inputs` (sorted) are the names that local_scratch_set_mounts
// will probably be given; they only serve to choose.
MUST_CHECK bool local_scratch_make(LocalScratch *scratch, const char *name, unsigned owner_uid, const Span *inputs,
                                   size_t input_count, Arena *arena, LocalScratchDir *ret, Err *err);
// Notes what will be mounted in the store directory, and removes mount points of former builds that are not among it.
MUST_CHECK bool local_scratch_set_mounts(LocalScratchDir *dir, const LocalScratchMount *mounts, size_t count, Err *err);
// Changes the owner of what builders write in.
MUST_CHECK bool local_scratch_give(LocalScratchDir *dir, unsigned uid, Err *err);
// The paths that a build would have; makes nothing.
void local_scratch_name_only(LocalScratch *scratch, const char *name, Arena *arena, LocalScratchDir *ret);
// Gives the build directory the name under which it will be kept if it is, from the beginning. `parent`: it is made there, NULL: it stays among the others.
MUST_CHECK bool local_scratch_settle(LocalScratch *scratch, const char *parent, const char *name, Arena *arena,
                                     LocalScratchDir *dir, Err *err);
// Keeps the build directory of a failed build under a name of its own, readable for everybody;
// returns its path, NULL when that failed (it warns). The rest is removed later as usual.
const char *local_scratch_keep(LocalScratch *scratch, LocalScratchDir *dir, const char *name, Arena *arena);
// By a job of `cleaner`: unlocks and removes, or makes ready for another build.
void local_scratch_remove(LocalScratch *scratch, Pool *cleaner, LocalScratchDir *dir);
// Removes what nobody holds, by a job of `cleaner`.
void local_scratch_clean(LocalScratch *scratch, Pool *cleaner);
