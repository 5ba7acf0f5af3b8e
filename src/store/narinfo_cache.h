// narinfo_cache.h: what servers have answered about store paths, kept between runs: a file of SQLite with
//
//   answers(url, name, time, text)     text NULL: it was not there; name: "<hash>.narinfo" or "nix-cache-info"
//
// Losing it, or not being able to write it, costs questions, nothing else: its functions do not fail. Any thread.
// Test: test/cli/substitute_test.sh.
#pragma once

#include "base/buf.h"

typedef struct NarinfoCache NarinfoCache;

typedef enum NarinfoCacheAnswer {
  NARINFO_CACHE_UNKNOWN,
  NARINFO_CACHE_ABSENT,
  NARINFO_CACHE_PRESENT
} NarinfoCacheAnswer;

// NULL when it cannot be opened.
NarinfoCache *narinfo_cache_open(const char *path, int64_t positive_ttl_s, int64_t negative_ttl_s);
void narinfo_cache_close(NarinfoCache *cache); // NULL is allowed
// Answers that are older than their time to live are not known any more. PRESENT appends the text. A NULL cache knows nothing.
NarinfoCacheAnswer narinfo_cache_find(NarinfoCache *cache, const char *url, Span name, Buf *ret_text);
// `text` NULL: absent.
void narinfo_cache_put(NarinfoCache *cache, const char *url, Span name, const Span *text);
