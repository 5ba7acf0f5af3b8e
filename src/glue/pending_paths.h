// pending_paths.h: store objects that evaluation has named but that are not in the store yet: copies of sources, texts of toFile.
//
// Naming one needs only its hash. Most evaluations end without anybody needing the object itself, so it is added when
// something does: a build, `nix-instantiate`, a read of a filtered tree. Until then reads are answered from where the content is.
// Not thread-safe.
#pragma once

#include "base/map.h"
#include "glue/source_hash.h"
#include "store/store_add.h"

typedef struct PendingPaths PendingPaths;

typedef struct PendingPath {
  StorePath path;
  bool is_text;
  bool is_stored;
  Span text;        // is_text
  Span host_path;   // else: absolute, canonical; where it was read
  bool is_filtered; // the copy differs from what is there
  Map *accepted;    // private
  CaMethod method;  // private
  StorePath *refs;  // private
  size_t ref_count;
} PendingPath;

PendingPaths *pending_paths_new(Span store_dir);
void pending_paths_free(PendingPaths *pending);

// What a filter has accepted: relative paths ("a", "a/b"). NULL: everything.
typedef struct PendingSource {
  const char *host_path; // absolute, canonical
  Span name;
  CaMethod method; // CA_NAR, CA_FLAT
  Map *accepted;   // taken over (mem_free, map_done), also on failure; NULL: all
} PendingSource;

// Hashes the source and remembers it under its store path. An unfiltered source that was asked for before is not read again.
MUST_CHECK bool pending_paths_add_source(PendingPaths *pending, const PendingSource *source, const PendingPath **ret,
                                         Err *err);
MUST_CHECK bool pending_paths_add_text(PendingPaths *pending, Span name, Span text, const Span *refs, size_t ref_count,
                                       const PendingPath **ret, Err *err);
// NULL when it is not one of these. Also those that have been stored since.
const PendingPath *pending_paths_find(const PendingPaths *pending, Span store_path);
// All of them, in the order in which they were named, also those that have been stored since. NULL behind the last.
const PendingPath *pending_paths_get(const PendingPaths *pending, size_t index);
// Number of objects not stored yet.
size_t pending_paths_count(const PendingPaths *pending);

// Adds everything to the store (one batch of texts). A source that has changed since it was hashed is an error.
MUST_CHECK bool pending_paths_store(PendingPaths *pending, Store *store, Err *err);
// Only this one (and, for a text, what it refers to).
MUST_CHECK bool pending_paths_store_one(PendingPaths *pending, Store *store, const PendingPath *path, Err *err);
