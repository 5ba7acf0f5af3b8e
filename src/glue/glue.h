// glue.h: what one evaluation with a store consists of, for the builtins of this part: vm->glue points to it.
//
// It is plain data put together by glue_init; the parts that do the work are known_paths.h (derivations), store_io.h (the
// evaluator's window to files, store and builds) and the builtin tables below.
#pragma once

#include "eval/vm.h"
#include "glue/known_paths.h"
#include "glue/store_io.h"

// Experimental features of Nix that change what the builtins here accept.
typedef struct GlueFeatures {
  bool ca_derivations, impure_derivations, dynamic_derivations, git_hashing;
} GlueFeatures;

typedef struct Glue {
  StoreIo *io;       // borrowed; also the VM's EvalIo
  KnownPaths *known; // borrowed from `io`
  GlueFeatures features;
  DerivationModuloScratch scratch;
  struct SourceWalk *walks; // unfinished filters of builtins.path (source_builtin.c); owned
} Glue;

void glue_init(Glue *glue, StoreIo *io, const GlueFeatures *features);
// Must be called before the first evaluation: connects both.
void glue_attach(Glue *glue, Vm *vm);
// After the VM has been freed.
void glue_done(Glue *glue);

static inline Glue *glue_of(Vm *vm) {
  return (Glue *)vm->glue;
}

// "experimental Nix feature 'x' is disabled; ..." as the pending error; always VALUE_ERROR.
Value glue_require_feature(Vm *vm, const char *feature);

// All tables of this part, for vm_new.
extern const BuiltinTable glue_builtin_tables[];
extern const size_t glue_builtin_table_count;
