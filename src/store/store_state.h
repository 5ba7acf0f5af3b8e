// store_state.h: the inside of Store, for the files of store/ only.
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "castore/shared_lock.h"
#include "store/local_nix.h"
#include "store/path_db.h"
#include "store/store.h"
#include "store/temp_roots.h"

// Directories that were read, decoded: reading a file inside a store path asks for the same few again and again.
#define STORE_STATE_CACHE_BYTES ((size_t)64 << 20) // then all are dropped
typedef struct StoreStateDirectory {
  CastoreDirectory directory; // in `arena`
  Arena arena;
} StoreStateDirectory;

typedef struct StoreRealisations StoreRealisations; // store_realisation.c

struct Store {
  char *logical_dir, *root, *state_dir; // owned
  char *tree_dir;                       // owned; see store_tree_dir
  bool read_only, no_sync, no_lower;
  bool is_temporary; // "memory:": the root is removed at the end
  bool defer_sync;   // see store_defer_sync
  bool want_trees;   // see store_want_trees
  bool can_defer;    // a crash of the machine will be noticed
  int64_t synced_ms; // when this process last waited for the disk
  unsigned unsynced; // atomic; writes since then that rows do not tell of: roots, signatures
  bool registered;   // atomic; rows were written since then

  ObjectStore *objects;  // owned
  Castore castore;       // owned services over `objects`
  PathDb *db;            // owned; NULL for a read-only store without a database
  TempRoots *temp_roots; // owned
  SharedLock gc_lock;    // shared: pinning and registering; exclusive: the collector's short slices

  pthread_mutex_t lower_mutex;
  LocalNix *lower; // owned; opened at the first miss
  bool lower_opened;

  pthread_mutex_t mutex;    // everything below
  PathInfoRecord **pending; // owned; deferred additions
  size_t pending_count, pending_cap;
  Map pending_index;        // digest -> record
  int64_t pending_since_ms; // of the oldest
  Buf touched; // folders in which links were made since this process last waited for the disk, each with its NUL
  Map trees;   // digests of paths whose tree is known to be there

  pthread_mutex_t realisation_mutex;
  StoreRealisations *realisations; // owned; opened when first needed

  pthread_mutex_t cache_mutex; // the three below
  Map directories;             // digest -> StoreStateDirectory *, owned
  size_t directories_bytes;
  Map roots; // hash part -> PathInfoRecord *, owned; only of pinned paths, which stay

  PathInfoService service; // store_path_infos
};

int64_t store_state_now_ms(void);
MUST_CHECK bool store_state_writable(const Store *store, Err *err);
// The lower layer, or NULL.
MUST_CHECK bool store_state_lower(Store *store, LocalNix **ret, Err *err);
MUST_CHECK bool store_state_is_lower(Store *store, const StorePath *path, bool *ret, Err *err);
// As PathDbIsLower, and gives the lower path a root that C++ Nix's collector respects.
MUST_CHECK bool store_state_use_lower(void *store, const StorePath *path, bool *ret, Err *err);
// Appends "<root>/var/<rest>".
void store_state_format(const Store *store, const char *rest, Buf *ret);
// Publishes objects that rows are about to name.
MUST_CHECK bool store_state_publish(Store *store, Err *err);
// Rows (which are fresh, and tell so to everybody), or something else, were written and must outlast a crash of the machine: syncs at once, or when
// it is time, or leaves it to the caller of store_sync.
MUST_CHECK bool store_state_written(Store *store, bool rows, Err *err);
// A link was made in that folder which must outlast a crash: store_state_written follows.
void store_state_touch(Store *store, Span folder);
// "path '/nix/store/...' is not valid". Always false.
MUST_CHECK bool store_state_invalid(const Store *store, const StorePath *path, Err *err);
// Exclusive lock under which trees come and go at their final places; the caller closes the descriptor.
MUST_CHECK bool store_state_lock_trees(Store *store, int *ret_fd, Err *err);
// Moves whatever stands at the physical place of `path` out of the way, into a scratch name that is appended to *ret_scratch (empty when nothing stood there).
MUST_CHECK bool store_state_move_away(Store *store, const StorePath *path, Buf *ret_scratch, Err *err);
// Renames a finished tree to the physical place of `path`, where nothing stands.
MUST_CHECK bool store_state_place_tree(Store *store, const char *tree, const StorePath *path, Err *err);
// Frees what store_resolve has kept.
void store_state_drop_cache(Store *store);
