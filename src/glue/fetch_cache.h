// fetch_cache.h: what was fetched without a hash: from which URL, when, what its server called it, and the store path it became. One small file for each
// question in <cache>/urls/, named after its digest:
//
//   "firn-fetch 1\n" <seconds since the epoch> "\n" <store path> "\n" <validator, may be empty> "\n"
//
// Files that cannot be read mean nothing. Any thread.
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct FetchCacheEntry {
  int64_t fetched_s;
  Buf store_path, validator;
} FetchCacheEntry;
#define FETCH_CACHE_ENTRY_INIT \
  { .store_path = BUF_INIT, .validator = BUF_INIT }
void fetch_cache_entry_done(FetchCacheEntry *entry);

// False: there is none. `dir` NULL: there never is.
bool fetch_cache_find(const char *dir, Span question, FetchCacheEntry *ret);
// A failure is only logged.
void fetch_cache_put(const char *dir, Span question, const FetchCacheEntry *entry);
// Younger than `ttl_s`? Times in the future do not count.
bool fetch_cache_is_fresh(int64_t then_s, int64_t ttl_s);
