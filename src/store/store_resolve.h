// store_resolve.h: reading inside store paths, whether their tree is on disk or only in the castore. Never materialises anything.
#pragma once

#include "store/store.h"

// What stands at a path. `rest` is what could not be followed: "" when the end was reached, else it begins with '/', and `kind` is
// SYMLINK (follow `target`, then `rest`) or FILE (there is nothing below: the question has no answer).
typedef struct StoreResolved {
  bool found; // false: no such entry
  CastoreKind kind;
  bool executable;
  uint64_t size_bytes; // FILE
  Span target;         // SYMLINK, in `text`
  Span rest;           // points into the asked path
  bool has_digest;     // FILE: `digest` is the BLAKE3 of the content; DIRECTORY: of its encoding
  CastoreDigest digest;
  bool on_disk; // `text` begins with the physical path (NUL-terminated): read it there
  Buf text;     // owned
} StoreResolved;
#define STORE_RESOLVED_INIT \
  { .text = BUF_INIT }
void store_resolve_done(StoreResolved *resolved);

// `path` must be valid (ERR_NOT_FOUND otherwise); `rest` is "" or "/a/b", canonical. Symbolic links are not followed.
MUST_CHECK bool store_resolve(Store *store, const StorePath *path, Span rest, StoreResolved *ret, Err *err);
// Content of a resolved FILE, appended; `limit_bytes` 0: none.
MUST_CHECK bool store_resolve_read(Store *store, const StoreResolved *file, size_t limit_bytes, Buf *ret, Err *err);
// The same in pieces, with bounded memory.
MUST_CHECK bool store_resolve_stream(Store *store, const StoreResolved *file, const ByteSink *sink, Err *err);

typedef struct StoreDirEntry {
  Span name;
  CastoreKind kind;
} StoreDirEntry;
// Entries of a resolved DIRECTORY, sorted by name, in `arena`.
MUST_CHECK bool store_resolve_list(Store *store, const StoreResolved *directory, Arena *arena, StoreDirEntry **ret,
                                   size_t *ret_count, Err *err);
