// path_db_state.h: the private part of the database, shared by path_db.c, path_db_graph.c and path_db_fresh.c. Nobody else includes it.
//
// Whoever uses `db` or a statement holds the mutex, which path_db_begin keeps until the transaction ends.
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "store/path_db.h"
#include "store/sql.h"

struct PathDb {
  sqlite3 *db;
  pthread_mutex_t mutex;
  bool no_sync;
  bool in_transaction; // between path_db_begin and path_db_commit
  Map ids;             // digest -> id of valid rows, as of `data_version`
  int64_t data_version;
  sqlite3_stmt *get, *refs_of, *is_valid, *find_id, *insert, *validate, *insert_ref, *insert_refs, *derivations,
      *next_refs, *next_referrers, *row_of, *set_tree, *get_sigs, *set_sigs, *list, *all, *referrers, *newer,
      *newer_refs, *delete_path, *delete_refs, *has_referrers, *demote, *find_nar, *put_nar, *data_version_stmt, *begin,
      *commit, *rollback, *mark_fresh, *any_fresh;
};

MUST_CHECK bool path_db_begin_locked(PathDb *db, Err *err);
// Ends the transaction one way or the other; false when it did not end well.
MUST_CHECK bool path_db_end_locked(PathDb *db, bool ok, Err *err);

// From columns of a row.
MUST_CHECK bool path_db_path(Span hash, Span name, StorePath *ret, Err *err);
// Adds the remaining rows, of hash and name, in order.
MUST_CHECK bool path_db_collect(PathDb *db, sqlite3_stmt *stmt, StorePathList *ret, Err *err);
