// blob_local.h: the blobs of an ObjectStore as a BlobService.
#pragma once

#include "castore/blob_service.h"
#include "castore/object_store.h"

// `owned`: the service frees the object store.
BlobService *blob_local_new(ObjectStore *store, bool owned);
