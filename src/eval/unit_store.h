// unit_store.h: where compiled units are kept between runs, as the evaluator sees it. Implemented by glue/unit_cache.c; without one every
// file is parsed again.
#pragma once

#include "eval/eval_io.h"

typedef struct UnitStore UnitStore;

typedef struct UnitStoreOps {
  // The image compiled from the file with this identity (EvalStat as lstat gave it), verified; NULL when there is none or it is not to be
  // trusted. The words stay valid as long as the store; the first ones (CodeImage.unit) may be written.
  uint32_t *(*find)(UnitStore *store, Span path, const EvalStat *stat);
  // Remembers an image for later runs; copied. `stat` is that of the file before it was read.
  void (*put)(UnitStore *store, Span path, const EvalStat *stat, Span image);
} UnitStoreOps;

struct UnitStore {
  const UnitStoreOps *ops;
};
