// drv_load.h: reads a derivation out of the store.
#pragma once

#include "base/arena.h"
#include "formats/derivation.h"
#include "store/store.h"

// Text and arrays of *ret are in `arena`. ERR_NOT_FOUND when the .drv is not valid.
MUST_CHECK bool drv_load_from_store(Store *store, const StorePath *drv_path, Arena *arena, Derivation *ret, Err *err);
