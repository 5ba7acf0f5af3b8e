// store_io_place.h: what a path leads to: symbolic links are followed from the host into the store and back.
#pragma once

#include <sys/stat.h>

#include "glue/store_io_state.h"
#include "store/store_resolve.h"

// Where a path ends.
typedef struct Place {
  ObjectKind kind;
  int why_absent;         // ABSENT: ENOENT or ENOTDIR; 0 is ENOENT
  struct stat st;         // HOST
  Span text;              // TEXT
  StoreResolved resolved; // CASTORE
  Buf physical;           // HOST
  Buf logical;            // after following links
} Place;

#define PLACE_INIT \
  { .resolved = STORE_RESOLVED_INIT, .physical = BUF_INIT, .logical = BUF_INIT }

// `place` is PLACE_INIT, and done by the caller whatever the answer. OK with OBJECT_ABSENT: nothing is there. Access is checked, and what was
// looked at is observed.
EvalIoStatus store_io_place_resolve(StoreIo *io, Span path, bool follow_last, Place *place, EvalIoWait *ret_wait,
                                    Err *err);
void store_io_place_done(Place *place);
