// object_sync.h: makes what has been published durable, in one of two ways: one syncfs for the whole file system, or an fsync for each fresh object. The first costs
// whatever others have left in memory on that file system, the second a wait per object; the caller (store/store_sync.c) knows which is less.
#pragma once

#include "base/fs.h"
#include "castore/object_store.h"

// Everything that was fresh at one moment.
typedef struct ObjectSync {
  ObjectStore *store; // NULL: not begun
  FsList files, packs;
  size_t count; // of fresh files and packs
} ObjectSync;

// Waits for the lock of those who sync; released by closing *ret_fd (shared_lock_drop).
MUST_CHECK bool object_sync_lock(ObjectStore *store, int *ret_fd, Err *err);
// Lists what is fresh. The caller holds the lock until the end, and objects are held (object_store_begin), so that no listed file is collected, and made anew
// under the same name, before it is renamed.
MUST_CHECK bool object_sync_begin(ObjectStore *store, ObjectSync *ret, Err *err);
// Everything that anybody published before becomes durable, and with it whatever else has been written to the same file system: one syncfs.
MUST_CHECK bool object_sync_all(const ObjectSync *sync, Err *err);
// Appends the names of what has to be synced one by one, each with its NUL: first *ret_files, then *ret_folders.
void object_sync_list(const ObjectSync *sync, Buf *ret_files, Buf *ret_folders);
// Was there a syncfs since the store was made? Before, its folders themselves are not safe.
bool object_sync_has_base(const ObjectSync *sync);
// What was listed is durable, and gets its final name. These names need not reach the disk: found under the old ones, everything is whole as well.
MUST_CHECK bool object_sync_finish(ObjectSync *sync, Err *err);
void object_sync_done(ObjectSync *sync);
// Begin, all, finish. The caller holds the lock.
MUST_CHECK bool object_sync_run(ObjectStore *store, Err *err);

// fsyncs all files and folders of a list of NUL-terminated names, side by side. What is not there any more is fine.
MUST_CHECK bool object_sync_paths(Span paths, Err *err);
