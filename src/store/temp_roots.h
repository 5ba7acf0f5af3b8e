// temp_roots.h: the paths that this process uses, in a file that the collectors of firn and of C++ Nix read:
// <root>/var/nix/temproots/<pid>..., flocked exclusively while the process lives, NUL-terminated absolute store paths.
//
// Order that makes it safe: the path is in the file before anybody relies on it; a collector holds gc.lock exclusively while it reads these files and
// deletes; who adds holds gc.lock in shared mode over "add, then look whether the path is valid" (store_pin).
#pragma once

#include "store/store.h"

typedef struct TempRoots TempRoots;

// Nothing is created before the first path.
TempRoots *temp_roots_new(const char *dir, Span store_dir);
// Removes the file.
void temp_roots_free(TempRoots *roots);
// Once per path; thread-safe.
MUST_CHECK bool temp_roots_add(TempRoots *roots, const StorePath *path, Err *err);
// The same for many, in one write.
MUST_CHECK bool temp_roots_add_many(TempRoots *roots, const StorePath *paths, size_t count, Err *err);
bool temp_roots_has(TempRoots *roots, const StorePath *path);

// All paths in the files of living processes, this one's too; files of dead ones are removed unless `read_only`.
typedef bool (*TempRootsVisit)(void *ctx, const StorePath *path, const char *file_name, Err *err);
MUST_CHECK bool temp_roots_list(const char *dir, Span store_dir, bool read_only, TempRootsVisit visit, void *ctx,
                                Err *err);
