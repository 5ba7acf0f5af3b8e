// store_drvs.h: every .drv file of the machine's Nix store, for tests and the benchmark that run on real derivations.
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "formats/derivation_modulo.h"
#include "formats/derivation_parse.h"

typedef struct StoreDrv {
  Span path; // absolute
  Span name; // without ".drv"
  Span text;
  Derivation drv;
  DerivationModulo modulo;
  bool has_modulo;
} StoreDrv;

typedef struct StoreDrvs {
  StoreDrv *items; // owned
  size_t count;
  size_t text_bytes; // of all together
  Map by_path;       // StoreDrv *
  Arena arena;
} StoreDrvs;

// Loads at most `limit` files with their closure as far as it is there; count 0 where there is no Nix store. Aborts on
// a file that cannot be read or parsed.
void store_drvs_load(StoreDrvs *drvs, size_t limit);
void store_drvs_done(StoreDrvs *drvs);
// A memo over the derivations whose modulo hash is known (StoreDrvs * as context).
const DerivationModulo *store_drvs_find_modulo(void *store_drvs, Span drv_path);
// Calls visit(ctx, drv) for each, inputs before users. Derivations with inputs that are not in the store are left out.
void store_drvs_in_order(StoreDrvs *drvs, void (*visit)(void *ctx, StoreDrv *drv), void *ctx);
