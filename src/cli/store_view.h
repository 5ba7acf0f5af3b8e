// store_view.h: what commands that only read are asked about: a store or, for --store, --from and -s with file://, http:// or https://, a binary
// cache. Paths of a cache are described by its narinfo files, their contents are streams: nothing is fetched into a store.
#pragma once

#include "cli/session.h"
#include "store/binary_cache.h"

typedef struct StoreView StoreView;

typedef struct StoreViewInfo {
  PathInfo info; // `root` of a cache's is empty
  bool ultimate;
  int64_t registered_at;  // seconds; 0 for caches
  const NarInfo *narinfo; // of a cache; NULL: of a store
} StoreViewInfo;

// Is it the URL of a binary cache?
bool store_view_is_cache_url(const char *url);
// `url` NULL: the session's own (--store). Free with store_view_free; the session's store is borrowed.
MUST_CHECK bool store_view_open(Session *session, const char *url, StoreView **ret, Err *err);
// A store that is open; borrowed.
StoreView *store_view_of(Store *store);
void store_view_free(StoreView *view);

Store *store_view_store(StoreView *view);       // NULL for a cache
BinaryCache *store_view_cache(StoreView *view); // NULL for a store
Span store_view_dir(const StoreView *view);
const char *store_view_uri(const StoreView *view); // "local", "file:///x": as C++ Nix names it

// *ret NULL when it is not there; borrowed from the view, for its life.
MUST_CHECK bool store_view_find(StoreView *view, const StorePath *path, const StoreViewInfo **ret, Err *err);
// As above; absence is ERR_NOT_FOUND "path '...' is not valid".
MUST_CHECK bool store_view_get(StoreView *view, const StorePath *path, const StoreViewInfo **ret, Err *err);
MUST_CHECK bool store_view_find_hash_part(StoreView *view, Span hash, StorePath *ret, bool *ret_found, Err *err);
MUST_CHECK bool store_view_all(StoreView *view, StorePathList *ret, Err *err);
// References first. An invalid root is an error.
MUST_CHECK bool store_view_closure(StoreView *view, const StorePath *roots, size_t count, StorePathList *ret, Err *err);
// Orders a set of paths as C++ Nix prints them: each after those of the set that it refers to. Duplicates are removed; paths need not be valid.
MUST_CHECK bool store_view_sort(StoreView *view, StorePathList *paths, Err *err);
// The NAR. Of a cache: decompressed; whether it is what the description says is left to the caller.
MUST_CHECK bool store_view_dump(StoreView *view, const StorePath *path, const ByteSink *sink, Err *err);
