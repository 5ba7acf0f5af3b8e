// store_io_object.h: what a store path is: a text or a source that this evaluation has named, an object of the store, or the output of a known
// derivation, which is built. `text` is always a bare store path, `path` the same parsed.
#pragma once

#include "glue/store_io_state.h"

// OK with *ret NULL: it is nowhere. The object is remembered (in io's arena).
EvalIoStatus store_io_object_find(StoreIo *io, Span text, const StorePath *path, StoreObject **ret,
                                  EvalIoWait *ret_wait, Err *err);
// Looks into the store only, for what is valid there. *ret NULL: it is not.
MUST_CHECK bool store_io_object_find_valid(StoreIo *io, Span text, const StorePath *path, StoreObject **ret, Err *err);
// Records, for whoever observes, that a path is valid or is not. What is in it follows from its hash.
MUST_CHECK bool store_io_object_observe(StoreIo *io, Store *store, Span text, const StorePath *path, Err *err);
// Starts, or looks after, the build of one output. Failed once, it fails again with the same message.
EvalIoStatus store_io_object_want(StoreIo *io, Span drv_path, Span output, StoreIoGoal **ret_goal, EvalIoWait *ret_wait,
                                  Err *err);
