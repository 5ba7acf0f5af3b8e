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

// What the directories of the same object store share (directory_chunked.h).
// Appends "<root>/<kind>/b3/<4 hex>/<64 hex>".
void blob_chunked_format_path(const char *root, const char *kind, const CastoreDigest *digest, Buf *ret);
// Writes an object that is not there yet, with its folders.
MUST_CHECK bool blob_chunked_write_object(const char *path, Span data, Err *err);
// Appends what is in one or more zstd frames; more than limit_bytes is ERR_LIMIT.
MUST_CHECK bool blob_chunked_decompress(Span packed, size_t limit_bytes, Buf *ret, Err *err);
// Appends one zstd frame.
MUST_CHECK bool blob_chunked_compress(Span data, Buf *ret, Err *err);
