// object_recover.h: after the power failed: objects that were in use but perhaps never reached the disk. Called by store/store_recover.
#pragma once

#include "castore/object_store.h"

typedef struct ObjectRecoverResult {
  uint64_t kept_count, lost_count; // files and packs
} ObjectRecoverResult;

// Are there objects that nobody has synced?
MUST_CHECK bool object_recover_is_needed(ObjectStore *store, bool *ret, Err *err);
// Reads every fresh file and pack, and removes those whose content is not what their names or digests say. Nobody else may use the store.
MUST_CHECK bool object_recover_run(ObjectStore *store, ObjectRecoverResult *ret, Err *err);
