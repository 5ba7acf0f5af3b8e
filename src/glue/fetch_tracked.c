// fetch_tracked.c: see fetch_tracked.h.
#include "glue/fetch_tracked.h"

void fetch_tracked_done(FetchTracked *tracked) {
  map_done(&tracked->files);
  map_done(&tracked->dirs);
}

void fetch_tracked_add(FetchTracked *tracked, Span path) {
  map_set(&tracked->files, path, NULL);
  for (size_t slash; (slash = span_rfind_char(path, '/')) != SIZE_MAX;) {
    path = span_sub(path, 0, slash);
    if (map_has(&tracked->dirs, path)) return;
    map_set(&tracked->dirs, path, NULL);
  }
}

bool fetch_tracked_keep(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err) {
  const FetchTracked *tracked = ctx;
  (void)err;
  *ret_keep = map_has(kind == CASTORE_DIRECTORY ? &tracked->dirs : &tracked->files, path);
  return true;
}
