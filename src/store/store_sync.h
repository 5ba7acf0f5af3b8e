// store_sync.h: how a store waits for the disk. Called by store_sync, under the lock of syncing.
//
// There are two ways, and both make durable what is fresh: syncfs, one wait for the whole file system, whoever has written to it; or an fsync of each fresh object, of
// each folder of each fresh tree, of the folders that have got new names, and of SQLite's log. The second costs a wait per file, the first writes out what
// others have left in memory: 2 GB of that took three minutes on a slow disk. So syncfs is taken unless there is much in memory that is not ours, and little that is.
#pragma once

#include "store/store.h"

#define STORE_SYNC_PIECES_MAX 512u // files and folders that are synced one by one
#define STORE_SYNC_FOREIGN_BYTES \
  ((uint64_t)64 << 20) // more than that in memory, beyond what is fresh, makes syncfs the dear way

// Waits until everything that fresh rows name, and what store_state_touch was told, is on the disk. FIRN_SYNC=all or pieces decides for tests.
MUST_CHECK bool store_sync_wait(Store *store, Err *err);
// The same for new files anywhere, of the folder's file system: `files` are their names, each with its NUL. Their folders are not synced.
MUST_CHECK bool store_sync_files(Span files, size_t count, const char *folder, Err *err);
