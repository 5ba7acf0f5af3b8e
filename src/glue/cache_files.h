// cache_files.h: what the folder of a cache holds, for caches with a limit (trace_cache.c, unit_cache.c). The time of a file's last change is the time of its
// last use.
#pragma once

#include <sys/stat.h>

#include "base/err.h"
#include "base/span.h"

// How often a use is noted: a file is touched when its last use was noted longer ago than this.
#define CACHE_FILES_TOUCH_SECONDS 3600

typedef struct CacheFile {
  char *path; // owned
  uint64_t size, disk_bytes;
  int64_t used_ns;
} CacheFile;

typedef struct CacheFiles {
  CacheFile *items;
  size_t count, cap;
} CacheFiles;

// All regular files in `dir`, none where there is no such folder.
void cache_files_read(Span dir, CacheFiles *ret);
void cache_files_done(CacheFiles *files);
// The least recently used first.
void cache_files_sort(CacheFiles *files);
// Is it time to note another use?
bool cache_files_is_due(const struct stat *st);
// False when the file is still there.
MUST_CHECK bool cache_files_remove(const CacheFile *file, Err *err);
