// object_sweep.h: deletes objects that nobody needs, and keeps the number of packs small. Called by store/store_gc.
#pragma once

#include "castore/object_store.h"

// Is this object wanted? Called with the exclusive lock held, and without it for a first guess.
typedef bool (*ObjectSweepIsLive)(void *ctx, const CastoreDigest *digest, PackKind kind);
// Called when the exclusive lock was just taken: the caller learns what became live since it marked.
typedef bool (*ObjectSweepRefresh)(void *ctx, Err *err);

typedef struct ObjectSweep {
  ObjectSweepIsLive is_live;
  ObjectSweepRefresh refresh;
  void *ctx;
  uint64_t max_bytes;                // stop once this much was freed; 0: no limit
  uint64_t freed_bytes, freed_count; // results
  bool busy;                         // result: writers did not let go of the store in time, something was left
} ObjectSweep;

#define OBJECT_SWEEP_SLICE_MS 8
#define OBJECT_SWEEP_WAIT_MS 5000

// Deletes files in slices of OBJECT_SWEEP_SLICE_MS, between which writers proceed; rewrites packs of which a sixteenth or more is garbage or
// has a file of its own.
MUST_CHECK bool object_sweep_run(ObjectStore *store, ObjectSweep *sweep, Err *err);
// Merges packs of similar size once there are OBJECT_SWEEP_FAN_IN of them, so that their number is logarithmic in the content. Cheap when there is nothing to do;
// does nothing while another process rewrites packs.
#define OBJECT_SWEEP_FAN_IN 8
MUST_CHECK bool object_sweep_compact(ObjectStore *store, Err *err);
// Takes one (damaged) object out of a pack by rewriting it. A pack that is gone is fine.
MUST_CHECK bool object_sweep_drop(ObjectStore *store, const char *pack_path, const CastoreDigest *digest, PackKind kind,
                                  Err *err);
