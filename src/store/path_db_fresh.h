// path_db_fresh.h: rows that somebody has yet to wait for, so that they outlive a crash of the machine (tables `fresh` and `boot` of path_db.h;
// store_sync.h and store_recover.h are what uses them).
#pragma once

#include "store/path_db.h"

// Syncing: what is fresh now is marked, then somebody waits for the disk, then the marked rows are no longer fresh, unless they were written again.
MUST_CHECK bool path_db_has_fresh(PathDb *db, bool *ret, Err *err);
MUST_CHECK bool path_db_fresh_waits(PathDb *db, Err *err);
MUST_CHECK bool path_db_fresh_done(PathDb *db, Err *err);

// After a crash of the machine. `boot` names the present one; *ret_same: it is the one that was set last.
MUST_CHECK bool path_db_check_boot(PathDb *db, Span boot, bool *ret_same, Err *err);
MUST_CHECK bool path_db_set_boot(PathDb *db, Span boot, Err *err);
typedef struct PathDbFresh {
  int64_t id;
  StorePath path;
  CastoreNode root; // text in `arena`
  bool has_root, has_tree;
} PathDbFresh;
// Fresh rows that are valid. The array is owned by the caller.
MUST_CHECK bool path_db_list_fresh(PathDb *db, PathDbFresh **ret, size_t *ret_count, Arena *arena, Err *err);
