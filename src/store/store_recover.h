// store_recover.h: the first open of a store after the machine went down.
//
// Rows, objects and trees that nobody had synced then may be anything: there, gone, or of the right length and full of zeros. They were never reported
// as done (store_sync), so those that are not whole may be forgotten, and must be, because others would find them and take them for whole:
//   objects   fresh files and packs are hashed; what does not have its digest is removed (object_recover.h)
//   rows      a fresh path whose content is not complete is no longer valid, and neither is what refers to it (which is fresh too)
//   trees     of fresh paths are compared; those that are not whole are removed, and made again from objects when needed
// Syncing every STORE_SYNC_MS bounds how much there is to look at.
//
// A crash shows by the boot identifier of the kernel being another than the one that stands in the database. Where there is none, syncing is never deferred.
#pragma once

#include "store/store.h"

MUST_CHECK bool store_recover_run(Store *store, Err *err);
