// fetch_tracked.h: the files of a working tree that a repository tracks, with the directories that they are in: what of a tree with changes is fetched.
#pragma once

#include "base/map.h"
#include "castore/castore_import.h"

typedef struct FetchTracked {
  Map files, dirs; // paths relative to the top
} FetchTracked;
#define FETCH_TRACKED_INIT \
  { .files = MAP_INIT, .dirs = MAP_INIT }
void fetch_tracked_done(FetchTracked *tracked);

void fetch_tracked_add(FetchTracked *tracked, Span path);
// A CastoreImportFilter; ctx is a FetchTracked.
MUST_CHECK bool fetch_tracked_keep(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err);
