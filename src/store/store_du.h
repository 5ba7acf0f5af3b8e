// store_du.h: who takes how much of the store: what each root keeps, and what it alone keeps.
#pragma once

#include "store/store_roots.h"

typedef struct StoreDuRoot {
  char *source; // owned; as in StoreRoot
  StorePath path;
  size_t path_count, own_path_count; // in its closure; that no other root reaches
  uint64_t closure_bytes;            // NAR sizes of its closure
  uint64_t own_bytes; // of file contents that only this root keeps, each once: what deleting it would free
} StoreDuRoot;

typedef struct StoreDu {
  StoreDuRoot *roots; // by own_bytes, the largest first
  size_t count, cap;
  uint64_t total_bytes;  // of file contents of all valid paths, each once
  uint64_t shared_bytes; // kept by several roots
  uint64_t dead_bytes;   // kept by none
} StoreDu;
#define STORE_DU_INIT \
  { NULL, 0, 0, 0, 0, 0 }
void store_du_done(StoreDu *du);

// Law (store_du_test): the own sizes, the shared and the dead add up to the total. `processes` as in store_roots_list. Of a C++ Nix store below this one
// nothing is counted. Memory in proportion to the number of paths and of distinct files.
MUST_CHECK bool store_du_run(Store *store, bool processes, StoreDu *ret, Err *err);
