// store_io_state.h: the private part of StoreIo, shared by store_io.c, store_io_object.c and store_io_place.c. Nobody else includes it.
#pragma once

#include "base/map.h"
#include "glue/fetch_io.h"
#include "glue/store_io.h"

typedef enum ObjectKind {
  OBJECT_ABSENT,
  OBJECT_TEXT,    // `text`
  OBJECT_HOST,    // a tree at `host_path`
  OBJECT_CASTORE, // in the store without a tree
} ObjectKind;

// What a store path is. Remembered except where it is absent.
typedef struct StoreObject {
  ObjectKind kind;
  StorePath path;
  Span text;
  Span host_path;
} StoreObject;

// "This output of this derivation is valid."
typedef struct StoreIoGoal {
  SchedulerTicket ticket;
  SchedulerState state;
  Err err; // FAILED
} StoreIoGoal;

struct StoreIo {
  EvalIo base; // first: store_io_of casts
  StoreIoConfig config;
  AccessCheck access;
  Arena arena;
  Span store_dir;
  KnownPaths *known;
  PendingPaths *pending;
  FetchIo *fetches;         // made on first use
  size_t drv_stored_prefix; // known derivations before this one are in the store
  Store *store;             // borrowed
  Scheduler *scheduler;     // borrowed
  Map objects;              // store path -> StoreObject, in the arena
  Map copied;               // host path -> its store path, in the arena: sources of this evaluation
  Map search_entries;       // URL of the search path -> Span, in the arena; empty: not available
  Map goals;                // "<drv path>!<output>" or store path -> Goal, in the arena
  Observed *observed;       // borrowed; NULL: nobody wants to know
};
