// castore_materialise.h: a root node becomes a tree on disk: files are hard links to objects (a reflink or copy at the link limit or across file systems), modes
// 0444/0555, directories 0555, times 1 s after the epoch. Law: importing the tree gives the same node and NAR hash (materialise_test).
#pragma once

#include "castore/castore.h"
#include "castore/object_store.h"

typedef struct CastoreMaterialiseOptions {
  bool writable; // independent copies with owner write permission, current times (nix-store --restore): no hard links
  bool verify;   // compare each content with its digest while doing so (only where it is read: links are not)
} CastoreMaterialiseOptions;

// `dest` must not exist; its folder must. On failure what was made is removed. `objects` may be NULL when `from` is another service: files are then
// written from it.
MUST_CHECK bool castore_materialise_node(const Castore *from, ObjectStore *objects, const CastoreNode *node,
                                         const char *dest, const CastoreMaterialiseOptions *options, Err *err);
