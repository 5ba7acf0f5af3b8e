// import_walk.h: the listing of a tree on disk, in the order of its NAR: a directory before its entries, siblings sorted bytewise. The first half of
// castore_import; also the content of a stat cache file.
#pragma once

#include "castore/castore_import.h"

typedef struct ImportWalkEntry {
  const char *path; // relative to the root, in the walk's arena; "" for the root itself
  uint32_t name_at; // path + name_at is its name
  uint32_t end;     // number of the entry behind its last descendant
  CastoreKind kind;
  uint32_t mode; // st_mode
  uint64_t size_bytes, dev, ino;
  int64_t mtime_ns, ctime_ns;
  Span target;          // SYMLINK
  bool is_known;        // `digest` was taken from the stat cache
  CastoreDigest digest; // FILE
} ImportWalkEntry;

typedef struct ImportWalk {
  int root_fd;           // the root where it is a directory, else the directory that holds it; -1
  const char *root_name; // NULL where the root is a directory
  ImportWalkEntry *entries;
  size_t count, cap;
  Arena arena;
  int64_t started_ns; // real time
} ImportWalk;

// Lists `path`. With options->adopt_into also makes everything readable, and files canonical (mode, time, owner).
MUST_CHECK bool import_walk_run(const char *path, const CastoreImportOptions *options, ImportWalk *ret, Err *err);
void import_walk_done(ImportWalk *walk);
// Opens an entry without following symbolic links.
MUST_CHECK bool import_walk_open(const ImportWalk *walk, const ImportWalkEntry *entry, int *ret_fd, Err *err);
static inline bool import_walk_executable(const ImportWalkEntry *entry) {
  return (entry->mode & 0100) != 0;
}
