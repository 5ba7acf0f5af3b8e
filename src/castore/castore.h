// castore.h: the two services that together hold trees, as one value to pass around.
#pragma once

#include "castore/blob_service.h"
#include "castore/directory_service.h"

typedef struct Castore {
  BlobService *blobs;            // borrowed
  DirectoryService *directories; // borrowed
} Castore;

MUST_CHECK bool castore_flush(const Castore *castore, Err *err);
// Copies everything below `node` that `to` lacks; complete once it returns, durable after a flush.
MUST_CHECK bool castore_copy(const Castore *from, const Castore *to, const CastoreNode *node, Err *err);
// Sum of file sizes below `node`, each blob once; in bytes.
MUST_CHECK bool castore_unique_size(const Castore *castore, const CastoreNode *node, uint64_t *ret_bytes, Err *err);
