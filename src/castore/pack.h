// pack.h: append-only files that hold many small objects (file contents and directories) with an index at the end.
//
// Creating a file costs more than everything else when thousands of small ones are added, and one fdatasync makes a
// whole pack durable. A pack is written once, under a temporary name, and never changes after it got its own; so it can be mapped and
// shared by any number of processes without locks, and a reader that holds one keeps it readable after it was unlinked.
//
//   pack   = "firnpack" version:u32le zero:u32le object* entry* footer
//   object = its bytes, nothing else
//   entry  = digest:32 offset:u64le size_and_kind:u64le             -- sorted by digest, unique; kind is bit 63
//   footer = index_offset:u64le count:u64le index_blake3:32 "kcapnrif"
//
// The digest of an object is the BLAKE3 of its bytes. Opening checks the footer, the bounds and the digest of the index; the
// objects themselves are checked by pack_check (store check --contents).
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define PACK_DIGEST_LEN 32

typedef enum PackKind { PACK_BLOB = 0, PACK_DIRECTORY = 1 } PackKind;

// A mapped, immutable pack. Shared between threads by reference count.
typedef struct Pack Pack;

// Absence is an error here (ERR_NOT_FOUND): the caller lists the folder again. Damage is ERR_CORRUPT.
MUST_CHECK bool pack_open(const char *path, Pack **ret, Err *err);
Pack *pack_ref(Pack *pack);
void pack_unref(Pack *pack);
const char *pack_path(const Pack *pack);
size_t pack_count(const Pack *pack);
uint64_t pack_size_bytes(const Pack *pack); // of the file
// *ret_data is borrowed from the pack. Expected constant time: digests are uniform, so the place is computed, not searched.
bool pack_find(const Pack *pack, const unsigned char *digest, PackKind kind, Span *ret_data);
// The i-th object in the order of digests.
void pack_get(const Pack *pack, size_t i, const unsigned char **ret_digest, PackKind *ret_kind, Span *ret_data);

// Writes a new pack under `<dir>/<name>.tmp`. Not thread-safe.
typedef struct PackWriter PackWriter;

MUST_CHECK bool pack_writer_open(const char *tmp_path, PackWriter **ret, Err *err);
// The bytes are copied into a buffer that is flushed by the megabyte. A second object of the same digest and kind is ignored.
MUST_CHECK bool pack_writer_put(PackWriter *writer, const unsigned char *digest, PackKind kind, Span data, Err *err);
bool pack_writer_has(const PackWriter *writer, const unsigned char *digest, PackKind kind);
// Appends the object to *ret; *ret_found false when it is not in this pack.
MUST_CHECK bool pack_writer_read(PackWriter *writer, const unsigned char *digest, PackKind kind, Buf *ret,
                                 bool *ret_found, Err *err);
// Size of an object that was put; false when it was not.
bool pack_writer_size(const PackWriter *writer, const unsigned char *digest, PackKind kind, uint64_t *ret_size_bytes);
size_t pack_writer_count(const PackWriter *writer);
uint64_t pack_writer_size_bytes(const PackWriter *writer);
// Writes the index, fdatasyncs when `sync`, and renames to `final_path` (whose folder the caller syncs). The writer must then be freed.
MUST_CHECK bool pack_writer_finish(PackWriter *writer, const char *final_path, bool sync, Err *err);
// Removes the temporary file unless it was finished.
void pack_writer_free(PackWriter *writer);
