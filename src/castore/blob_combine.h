// blob_combine.h: blob services made of others. Each owns its parts.
#pragma once

#include "castore/blob_service.h"

// Refuses to write.
BlobService *blob_combine_read_only(BlobService *inner);
// Reads ask `near`, then `far`, and copy what was found there into `near` (checking its digest on the way). Writes go to both.
BlobService *blob_combine_cache(BlobService *near, BlobService *far);
// Reads ask one after the other; writes go to the first. `services` is copied.
BlobService *blob_combine_first(BlobService *const *services, size_t count);
