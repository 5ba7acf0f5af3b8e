// known_paths.h: what the evaluation knows about derivations: by the path of the .drv and by the paths of the outputs.
//
// This is how a read of /nix/store/<hash>-<name>/x finds the derivation to build. Derivations enter when derivationStrict makes them
// (with their text and hash modulo, nothing is parsed or written) or when somebody names one that is only in the store (then its text
// is read and parsed). Nothing is ever removed. Invariant: inputs of a derivation that was added by known_paths_add are known
// before it, so the array of all derivations is in topological order, and a prefix of it is closed under inputs.
//
// Not thread-safe.
#pragma once

#include "formats/derivation_modulo.h"

typedef struct KnownPaths KnownPaths;

typedef struct KnownDrv {
  Span path;               // absolute path of the .drv
  Span text;               // its content
  DerivationModulo modulo; // valid when has_modulo
  bool has_modulo;
  bool is_expanded;         // private to known_paths_fill_modulo
  bool is_stored;           // the .drv is in the store (was written, or was read from there)
  const Derivation *parsed; // NULL until known_paths_parse; borrowed from the table
} KnownDrv;

// Reads the text of a .drv that is not known; ERR_NOT_FOUND where there is none.
typedef bool (*KnownPathsReader)(void *ctx, Span drv_path, Buf *ret, Err *err);

// `store_dir` is copied. `reader` may be NULL: then only what was added is known.
KnownPaths *known_paths_new(Span store_dir, KnownPathsReader reader, void *reader_ctx);
void known_paths_free(KnownPaths *known);

// Records a derivation that derivation_modulo_seal has completed. Adding a known one again changes nothing. The result lives as
// long as the table.
KnownDrv *known_paths_add(KnownPaths *known, const Derivation *drv, const DerivationSealed *sealed);

// NULL when unknown. Never reads.
KnownDrv *known_paths_find(const KnownPaths *known, Span drv_path);
// The derivation and output that make `store_path` (a bare store path); NULL when unknown. Never reads.
KnownDrv *known_paths_find_output(const KnownPaths *known, Span store_path, Span *ret_output);

// As known_paths_find, but reads the .drv where it is not known yet. NULL with *err set on failure.
KnownDrv *known_paths_load(KnownPaths *known, Span drv_path, Err *err);
// The derivation as a value; parsed once. NULL with *err set when its text is malformed.
const Derivation *known_paths_parse(KnownPaths *known, KnownDrv *drv, Err *err);

// Gives back memory with texts that have been read; they can be read again.
void known_paths_release(KnownPaths *known);
// As known_paths_parse, but into the caller's arena: nothing of it is kept, for those who look once at each of very many.
MUST_CHECK bool known_paths_read(const KnownPaths *known, const KnownDrv *drv, Arena *arena, Derivation *ret, Err *err);

// The memo for derivation_modulo_*. A miss is answered by loading the missing derivation with known_paths_fill_modulo and asking again.
DerivationModuloMemo known_paths_memo(KnownPaths *known);
// Loads `drv_path` and computes its hash modulo, and that of everything it depends on. Iterative: graphs may be deep.
MUST_CHECK bool known_paths_fill_modulo(KnownPaths *known, Span drv_path, Err *err);

// derivation_modulo_seal, for which missing inputs are loaded. *ret borrows from `scratch` and `arena`; it is not added.
MUST_CHECK bool known_paths_seal(KnownPaths *known, Span store_dir, Derivation *drv, Arena *arena,
                                 DerivationModuloScratch *scratch, DerivationSealed *ret, Err *err);

// All derivations, in the order in which they became known.
size_t known_paths_count(const KnownPaths *known);
KnownDrv *known_paths_get(const KnownPaths *known, size_t i);
