// unit_cache.h: compiled files kept on disk between runs: the implementation of eval/unit_store.h.
//
// In the cache directory two files for each fingerprint (format, program version, names of builtins, syntax options):
//
//   FINGERPRINT.pack    images, one after the other, each 8-aligned; only ever appended to
//   FINGERPRINT.index   entries of 64 bytes, only ever appended to:
//     dev ino size mtime_ns ctime_ns offset length checksum     each u64, machine byte order
//
// An image is used when the file's identity is exactly that of an entry, the entry lies inside the pack and the checksum of the
// image is right; everything else is as if it were not there. Writers append under a lock on the index, the image before the entry, so
// that a crash leaves at most bytes that nobody refers to. A file that was changed less than UNIT_CACHE_RACY_NS before it was
// compiled is not remembered: a second change within the same clock tick would go unseen.
//
// All files together have a limit: who writes deletes those of other fingerprints (of programs and settings of the past), the least recently used first. Use
// is the time of the index, which is set when it is read and older than CACHE_FILES_TOUCH_SECONDS.
//
// When the pack exceeds half of the limit it becomes the older generation (FINGERPRINT.old.pack), and the one before goes away.
// What is found in the older generation moves on to the younger one, so what is used stays.
#pragma once

#include "base/err.h"
#include "eval/unit_store.h"

#define UNIT_CACHE_MAX_BYTES ((uint64_t)512 << 20)
#define UNIT_CACHE_RACY_NS ((uint64_t)2000000000)

typedef struct UnitCache UnitCache;

// `dir` is made when something is written. Never fails: a cache that cannot be read is empty. `max_bytes` bounds the cache
// (by the images of one run more): UNIT_CACHE_MAX_BYTES but in tests.
UnitCache *unit_cache_open(Span dir, Span fingerprint, uint64_t max_bytes);
UnitStore *unit_cache_store(UnitCache *cache);
// Whether a file of this identity was known when the cache was opened. May be called beside everything else.
bool unit_cache_has(const UnitCache *cache, const EvalStat *stat);
// Writes what was put (the images must still be there). Errors are logged at LOG_DEBUG only.
void unit_cache_flush(UnitCache *cache);
// After the VM that uses it has been freed. NULL is fine.
void unit_cache_close(UnitCache *cache);

// Files that were found, and those that were not (or must not be remembered), since it was opened.
void unit_cache_counts(const UnitCache *cache, uint64_t *ret_hits, uint64_t *ret_misses);

typedef struct UnitCacheInfo {
  uint64_t entry_count, pack_bytes, file_count;
} UnitCacheInfo;
// Sums over all fingerprints in `dir`.
void unit_cache_info(Span dir, UnitCacheInfo *ret);
MUST_CHECK bool unit_cache_clear(Span dir, Err *err);
