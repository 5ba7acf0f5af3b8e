// store_roots.h: what keeps paths alive: links under gcroots and profiles, indirect roots, running processes.
#pragma once

#include "store/store.h"

// Makes `link` (absolute) a symbolic link to the store path `path` (its logical name, or the physical one when they differ), replaced atomically, and registers it as an
// indirect root (gcroots/auto/<hash of link> -> link) unless it lies below gcroots itself. Pins `path` first, and materialises it.
// Something else than a link at that place is an error.
MUST_CHECK bool store_roots_add(Store *store, const StorePath *path, const char *link, Err *err);
// As above, but `link` may carry more after the store path (`target` = "/nix/store/x/bin").
MUST_CHECK bool store_roots_add_indirect(Store *store, const char *link, Err *err);

typedef enum StoreRootKind { STORE_ROOT_LINK, STORE_ROOT_TEMP, STORE_ROOT_PROCESS } StoreRootKind;
typedef struct StoreRoot {
  StoreRootKind kind;
  StorePath path;
  char *source; // owned; "/home/u/result", "{temp:1234}", "/proc/1234/exe", "{censored}"
} StoreRoot;
typedef struct StoreRootList {
  StoreRoot *roots; // sorted by path
  size_t count, cap;
} StoreRootList;
#define STORE_ROOT_LIST_INIT \
  { NULL, 0, 0 }
void store_roots_list_done(StoreRootList *list);

// Reads all roots; stale indirect roots (their link is gone) are removed unless read-only. `processes`: also maps, executables, working directories,
// open files and environments of running processes, as far as they may be read. Paths need not be valid.
MUST_CHECK bool store_roots_list(Store *store, bool processes, StoreRootList *ret, Err *err);
