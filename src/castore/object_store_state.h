// object_store_state.h: the inside of ObjectStore, for object_store.c, object_sweep.c and object_check.c only.
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "castore/object_store.h"
#include "castore/shared_lock.h"

#define OBJECT_STORE_STATE_SESSION_LEN 16

// A file under tmp/ that becomes an object at the next flush.
typedef struct ObjectStoreStatePending {
  CastoreDigest digest;
  bool executable;
  char *tmp_path; // owned
} ObjectStoreStatePending;

struct ObjectStore {
  char *root; // owned
  int root_fd, objects_fd;
  bool read_only, no_sync;

  pthread_mutex_t mutex; // everything below
  Pack **packs;          // owned references
  size_t pack_count;
  bool packs_listed;
  PackWriter *open_pack; // objects since the last flush; NULL when none
  ObjectStoreStatePending *pending;
  size_t pending_count, pending_cap;
  Map pending_index;                                // digest and mode -> pending number + 1
  char session[OBJECT_STORE_STATE_SESSION_LEN + 1]; // "" until the first write
  int session_fd;
  unsigned next_tmp;

  SharedLock hold; // objects.lock: see object_store_begin
};

// Lists packs/ anew: opens new ones, forgets deleted ones. The mutex is held.
MUST_CHECK bool object_store_state_reload(ObjectStore *store, Err *err);
