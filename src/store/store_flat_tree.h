// store_flat_tree.h: trees that are one small file (derivations, texts, patches), created where they belong. For the files of store/ only.
//
// Other trees are made under a scratch name and renamed, and each of their files is a link to an object. Thousands of derivations would pay for that
// more than for their content: a file by itself is created at its place, from the pack, in four system calls. What a killed process leaves half written there
// has no row that says so, and counts as garbage, as any tree without its flag.
#pragma once

#include "store/path_db.h"
#include "store/store.h"

// Is the tree of this path one?
bool store_flat_tree_is(const PathInfoRecord *record);
// Makes those of the rows, which are about to be written, that are such trees, and sets `has_tree` of these. The caller has published the objects, and holds the
// lock on trees until the rows are committed.
MUST_CHECK bool store_flat_tree_make(Store *store, PathDbItem *rows, size_t count, Err *err);
