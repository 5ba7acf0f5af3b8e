// local_nix.h: the database of a C++ Nix store, read-only: <root>/var/nix/db/db.sqlite, schema 10.
#pragma once

#include "store/path_info_service.h"
#include "store/store.h"

typedef struct LocalNix LocalNix;

// *ret NULL when there is no such database. A database that cannot be read is an error.
MUST_CHECK bool local_nix_open(const char *root, Span store_dir, LocalNix **ret, Err *err);
void local_nix_close(LocalNix *nix);
// Records have no root node (has_root false): the content is the tree on disk.
MUST_CHECK bool local_nix_get(LocalNix *nix, const uint8_t digest[20], PathInfoRecord **ret, Err *err);
MUST_CHECK bool local_nix_is_valid(LocalNix *nix, const uint8_t digest[20], bool *ret, Err *err);
MUST_CHECK bool local_nix_list(LocalNix *nix, PathInfoVisit visit, void *ctx, Err *err);
MUST_CHECK bool local_nix_all(LocalNix *nix, StorePathList *ret, Err *err);
MUST_CHECK bool local_nix_referrers(LocalNix *nix, const uint8_t digest[20], StorePathList *ret, Err *err);
// Valid derivations that have `path` as an output.
MUST_CHECK bool local_nix_derivers(LocalNix *nix, const StorePath *path, StorePathList *ret, Err *err);
// Roots that are not valid there are left out.
MUST_CHECK bool local_nix_closure(LocalNix *nix, const StorePath *roots, size_t count, bool referrers,
                                  StorePathList *ret, uint64_t *ret_nar_bytes, Err *err);
// The path of an output of a content-addressed derivation, filed under its hash modulo ("sha256:<base 16>"). A database without that experimental feature knows none.
MUST_CHECK bool local_nix_find_realisation(LocalNix *nix, Span drv_hash, Span output, StorePath *ret, bool *ret_found,
                                           Err *err);
// As a service. `root` without a database is an error here.
MUST_CHECK bool local_nix_open_service(const char *root, PathInfoService **ret, Err *err);
