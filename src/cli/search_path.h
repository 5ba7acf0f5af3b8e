// search_path.h: NIX_PATH and -I: what <x> is looked up in.
#pragma once

#include "base/arena.h"
#include "eval/vm.h"

typedef struct SearchPath {
  VmSearchEntry *entries; // in `arena`s of the caller but the array, which is owned
  size_t count, cap;
} SearchPath;

void search_path_done(SearchPath *path);
// "prefix=path" or "path". Relative paths are seen from the working directory.
void search_path_add(SearchPath *path, Span entry, Arena *arena);
// Entries between colons; those of URLs ("https:", "channel:") are not cut.
void search_path_add_list(SearchPath *path, Span text, Arena *arena);
// What there is without NIX_PATH and nix-path: the channels of the user and of root, where they exist.
void search_path_add_defaults(SearchPath *path, const char *user_channels, Arena *arena);
