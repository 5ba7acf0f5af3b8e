// directory_chunked.h: directories in the object store of tvix and snix ("objectstore+file://"), beside the blobs of blob_chunked.h:
//
//   <root>/dirs/b3/<4 hex>/<64 hex> = zstd( frame* )        the closure of the directory of that digest: itself first, every other one behind one
//   frame = length (u32, big endian) encoded directory      that names it, each once
//
// tvix and snix write such an object for each root that they put, and can only be asked for those. Here one is written for every directory, so that any of
// them can be asked for, by them too; and what came with a root of theirs is remembered, so that its children are found. Objects are written by a flush.
#pragma once

#include "castore/directory_service.h"

#define DIRECTORY_CHUNKED_OBJECT_BYTES_MAX ((size_t)1 << 30) // of one object, uncompressed
#define DIRECTORY_CHUNKED_FRAME_BYTES_MAX 1048576000u        // of one directory, as theirs
#define DIRECTORY_CHUNKED_CACHE_BYTES ((size_t)64 << 20)     // of remembered directories; then they are forgotten

MUST_CHECK bool directory_chunked_open(const char *root, DirectoryService **ret, Err *err);
