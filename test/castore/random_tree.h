// random_tree.h: trees on disk from a seed, for property tests.
#pragma once

#include "base/span.h"

// Makes `path`: directories, empty and small and (rarely) large files, executables, symbolic links, names with odd bytes and equal contents. About `entries`.
void random_tree_make(const char *path, size_t entries, uint64_t *rng);
// Changes about one file in a hundred (at least one) and adds and removes one.
void random_tree_change(const char *path, uint64_t *rng);
