// path_db_graph.h: what refers to what: closures, the references of many paths, and the whole graph.
#pragma once

#include "store/path_db.h"

// Closure of `roots` (those that are known here), in one transaction. Paths that are only names (valid 0) go to *ret_lower.
MUST_CHECK bool path_db_closure(PathDb *db, const StorePath *roots, size_t count, bool referrers, StorePathList *ret,
                                StorePathList *ret_lower, uint64_t *ret_nar_bytes, Err *err);
// Called for each reference of each of `paths` that is valid here, or with `reference` NULL for one that has none.
typedef void (*PathDbOnReference)(void *ctx, Span referrer_digest, const uint8_t *reference_digest);
// One query for all of them.
MUST_CHECK bool path_db_references(PathDb *db, const StorePath *paths, size_t count, PathDbOnReference fn, void *ctx,
                                   Err *err);

// The whole graph in memory, for garbage collection.
typedef struct PathDbGraph {
  size_t count;
  int64_t *ids; // ascending
  StorePath *paths;
  bool *valid, *trees;
  CastoreNode *roots; // text in `arena`; only kind, digest, size and executable matter
  bool *has_root;
  uint64_t *nar_sizes;
  StorePath *derivers; // name_len 0: none
  size_t *ref_start;   // count + 1 offsets into refs
  uint32_t *refs;      // numbers of nodes
  Arena arena;
} PathDbGraph;
MUST_CHECK bool path_db_graph(PathDb *db, PathDbGraph *ret, Err *err);
void path_db_graph_done(PathDbGraph *graph);
