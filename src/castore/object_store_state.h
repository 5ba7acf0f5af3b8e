// object_store_state.h: the inside of ObjectStore, for the files object_*.c only.
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "castore/object_store.h"
#include "castore/shared_lock.h"

#define OBJECT_STORE_STATE_SESSION_LEN 16
#define OBJECT_STORE_STATE_NAME_MAX 80u // "ab/<62 hex>.x"

// A file under tmp/ that becomes an object at the next flush.
typedef struct ObjectStoreStatePending {
  CastoreDigest digest;
  bool executable;
  char *tmp_path; // owned
} ObjectStoreStatePending;

struct ObjectStore {
  char *root; // owned
  int root_fd, objects_fd;
  int fresh_fd; // -1 in a read-only store that has no such folder
  bool read_only, no_sync;
  unsigned
      created_mode; // atomic: 0 until a file was created with its final mode, then whether the umask leaves that alone (1) or not (2)

  pthread_mutex_t mutex; // everything below
  Pack **packs;          // owned references
  size_t pack_count;
  bool packs_listed;
  struct timespec sweep_stamp; // of the last sweep that the listing of packs has seen: the time of objects.lock
  PackWriter *open_pack;       // objects since the last flush; NULL when none
  ObjectStoreStatePending *pending;
  size_t pending_count, pending_cap;
  Map pending_index;                                // digest and mode -> pending number + 1
  char session[OBJECT_STORE_STATE_SESSION_LEN + 1]; // "" until the first write
  int session_fd;
  unsigned next_tmp;

  SharedLock hold; // objects.lock: see object_store_begin
};

// The name of an object below objects/ or, `fresh`, below fresh/.
void object_store_state_name(const CastoreDigest *digest, bool executable, bool fresh,
                             char ret[OBJECT_STORE_STATE_NAME_MAX]);
// The reverse, from a whole name ("<64 hex>[.x]") with the '/' left out. False for a foreign name.
bool object_store_state_parse_name(const char *name, CastoreDigest *ret, bool *ret_executable);
// An object file as a listing has it.
typedef struct ObjectStoreStateFile {
  CastoreDigest digest;
  uint64_t ino;
  bool executable, fresh;
} ObjectStoreStateFile;
typedef void (*ObjectStoreStateOnFile)(void *ctx, const ObjectStoreStateFile *file);
// All object files. What is fresh comes last, since it may be moved to its final place meanwhile: better seen twice than not at all.
MUST_CHECK bool object_store_state_list_files(const ObjectStore *store, ObjectStoreStateOnFile fn, void *ctx, Err *err);
bool object_store_state_is_fresh(const Pack *pack);
// renameat2 into objects/, making the folder where it is missing.
int object_store_state_rename_final(ObjectStore *store, int from_fd, const char *from, const char *name);
// Lists packs/ anew: opens new ones, forgets deleted ones. The mutex is held.
MUST_CHECK bool object_store_state_reload(ObjectStore *store, Err *err);
