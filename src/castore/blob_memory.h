// blob_memory.h: blobs in this process's memory. For tests and small caches.
#pragma once

#include "castore/blob_service.h"

BlobService *blob_memory_new(void);
