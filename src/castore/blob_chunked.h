// blob_chunked.h: blobs as compressed chunks, in the layout that tvix and snix write to object stores:
//
//   <root>/blobs/b3/<4 hex>/<64 hex>    list of chunks: message { 2: repeated { 1: digest  2: size } }; empty when the blob is one chunk
//   <root>/chunks/b3/<4 hex>/<64 hex>   zstd of the chunk with that BLAKE3
//
// The empty blob needs no file. Every chunk is checked against its digest when it is read. For cold storage and transfer: local blobs in use are whole files.
#pragma once

#include "castore/blob_service.h"

// Creates the folders.
MUST_CHECK bool blob_chunked_open(const char *root, BlobService **ret, Err *err);
