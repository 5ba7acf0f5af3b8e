// path_db.h: path infos in SQLite: WAL, short transactions, any number of processes.
//
//   paths(id, hash, name, valid, node, nar_sha256, nar_size, deriver, ca, sigs, registered, ultimate, tree)
//        hash: the 20 bytes of the hash part, unique. id: never used again, so "newer than" is "id >". valid 0: only a name that references of
//        others point to, because the path is valid in the lower store. node: Entry message of the root. tree 1: a tree was put in place.
//   refs(referrer, reference)               ids
//   nars(node, nar_sha256, nar_size)        NAR hash cache by root node
//   fresh(id, waits)                        rows that were written, or whose tree was put in place, since somebody last waited for the disk. waits 1: somebody does
//   boot(id)                                one row: the boot of the machine in which fresh rows were last known to be good (store_recover.h)
//   PRAGMA user_version = PATH_DB_VERSION
//
// Writing rows does not wait for the disk (synchronous NORMAL): a crash of the machine takes the newest transactions back, always a suffix of them.
// Who deletes rows waits (path_db_wait) before he deletes what they named.
//
// One connection, under a mutex. Waiting for other writers is bounded by SQL_BUSY_MS, with jittered sleeps.
#pragma once

#include "store/path_info_service.h"
#include "store/store.h"

#define PATH_DB_VERSION 1

typedef struct PathDb PathDb;

typedef struct PathDbOptions {
  bool read_only, no_sync;
} PathDbOptions;
// Creates the schema. A newer schema is refused; a corrupt file is ERR_CORRUPT.
MUST_CHECK bool path_db_open(const char *path, const PathDbOptions *options, PathDb **ret, Err *err);
void path_db_close(PathDb *db);

MUST_CHECK bool path_db_get(PathDb *db, const uint8_t digest[20], PathInfoRecord **ret, Err *err); // absent: NULL
// *ret_tree (may be NULL): a tree was put in place.
MUST_CHECK bool path_db_is_valid(PathDb *db, const uint8_t digest[20], bool *ret, bool *ret_tree, Err *err);

// The same for many, in one transaction: ret[i] for paths[i].
MUST_CHECK bool path_db_are_valid(PathDb *db, const StorePath *paths, size_t count, bool *ret, Err *err);

typedef struct PathDbItem {
  const PathInfoRecord *record;
  bool has_tree;
  bool replaces; // what was said about a path that is valid already
} PathDbItem;
// Tells whether a path that is not valid here is valid in the lower store.
typedef bool (*PathDbIsLower)(void *ctx, const StorePath *path, bool *ret, Err *err);
// One transaction. References must be valid, among `items`, or lower (`is_lower` NULL: none is). Existing paths gain signatures and the tree flag.
MUST_CHECK bool path_db_put(PathDb *db, const PathDbItem *items, size_t count, PathDbIsLower is_lower, void *ctx,
                            Err *err);
// Losing the flag costs work, not data.
MUST_CHECK bool path_db_set_tree(PathDb *db, const StorePath *paths, size_t count, bool has_tree, Err *err);
MUST_CHECK bool path_db_add_sigs(PathDb *db, const uint8_t digest[20], const Signature *sigs, size_t count, Err *err);

MUST_CHECK bool path_db_list(PathDb *db, PathInfoVisit visit, void *ctx, Err *err);
MUST_CHECK bool path_db_all(PathDb *db, StorePathList *ret, Err *err);
MUST_CHECK bool path_db_referrers(PathDb *db, const uint8_t digest[20], StorePathList *ret, Err *err);
// Valid derivations called `name` (without ".drv").
MUST_CHECK bool path_db_derivations(PathDb *db, Span name, StorePathList *ret, Err *err);
// Garbage collection: begin takes the write lock of the database, so that nobody registers meanwhile; commit or rollback lets go. The commit does not wait for the
// disk: path_db_wait does, for everything that was committed before.
MUST_CHECK bool path_db_begin(PathDb *db, Err *err);
MUST_CHECK bool path_db_commit(PathDb *db, Err *err);
void path_db_rollback(PathDb *db);
MUST_CHECK bool path_db_wait(PathDb *db, Err *err);
MUST_CHECK bool path_db_delete(PathDb *db, const int64_t *ids, size_t count, Err *err);
// Rows newer than `id`, in the order of ids; `root` texts are in `arena`. The array is owned by the caller.
typedef struct PathDbNew {
  int64_t id;
  StorePath path;
  CastoreNode root;
  bool has_root;
} PathDbNew;
MUST_CHECK bool path_db_newer(PathDb *db, int64_t id, PathDbNew **ret, size_t *ret_count, Arena *arena, Err *err);
// What rows newer than `id` refer to.
MUST_CHECK bool path_db_newer_refs(PathDb *db, int64_t id, StorePathList *ret, Err *err);
// Deletes names (valid 0) that nothing refers to any more, and lists them. Does not wait.
MUST_CHECK bool path_db_drop_names(PathDb *db, StorePathList *ret, Err *err);

// NAR hash cache. *ret_found false when unknown.
MUST_CHECK bool path_db_find_nar(PathDb *db, const CastoreNode *node, bool *ret_found, uint8_t ret_sha256[32],
                                 uint64_t *ret_size_bytes, Err *err);
MUST_CHECK bool path_db_put_nar(PathDb *db, const CastoreNode *node, const uint8_t sha256[32], uint64_t size_bytes,
                                Err *err);

// PRAGMA integrity_check; *ret_problem is appended and empty when all is well.
MUST_CHECK bool path_db_check(PathDb *db, Buf *ret_problem, Err *err);
