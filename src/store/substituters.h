// substituters.h: the binary caches that outputs are fetched from instead of being built: who has a path, and bringing it and its closure here, several
// paths at once.
//
// Caches are asked in the order of their priorities, and opened by the first question; one that cannot be reached then is left out, with a warning. A description that nobody trusted has signed is passed over, with a
// warning. What the caches answer is remembered for the life of the object; of servers, also on disk (narinfo_cache.h).
//
// All functions may be called from several threads; jobs run on threads of its own. Test: test/cli/substitute_test.sh.
#pragma once

#include "store/binary_cache.h"

typedef struct Substituters Substituters;

typedef enum SubstitutersEventKind { SUBSTITUTERS_EVENT_START, SUBSTITUTERS_EVENT_STOP } SubstitutersEventKind;

// One path is fetched. From any thread; must not call back.
typedef struct SubstitutersEvent {
  SubstitutersEventKind kind;
  uint64_t id; // of the fetch
  const StorePath *path;
  const char *url; // of the cache
  uint64_t download_bytes, nar_bytes;
  bool failed; // STOP
} SubstitutersEvent;

typedef struct SubstitutersConfig {
  const char *const *urls; // NULL-terminated; borrowed
  const SignaturePublicKey *keys;
  size_t key_count;
  bool require_sigs;
  bool fallback; // a cache that fails is left out, with a warning; else what was asked fails
  // Nobody has named these caches. One that fails is left out, and this file is made: who finds it, not too old, need not try again.
  const char *unreachable_path; // NULL: they are wanted
  unsigned jobs;                // at once; 0: 16
  HttpClientConfig http;
  const char *answers_path; // where answers of servers are kept; NULL: nowhere
  int64_t positive_ttl_s, negative_ttl_s;
  void (*event)(void *ctx, const SubstitutersEvent *event); // NULL: none
  void *event_ctx;
} SubstitutersConfig;

// The store and the configuration's arrays must outlive it; `store` is needed for fetching only and may be NULL.
Substituters *substituters_new(Store *store, const SubstitutersConfig *config);
// Waits for what is running; cancel first where that matters.
void substituters_free(Substituters *substituters);
// Everything that is under way or asked later ends with ERR_INTERRUPTED. Any thread, not from a signal handler.
void substituters_cancel(Substituters *substituters);

typedef struct SubstitutersInfo {
  bool found;
  uint64_t download_bytes, nar_bytes; // download: 0 where the cache does not say
  const StorePath *refs;              // borrowed from the object, for its life
  size_t ref_count;
} SubstitutersInfo;

// Waits for the answer. Asking many with prefetch first asks them side by side.
MUST_CHECK bool substituters_query(Substituters *substituters, const StorePath *path, SubstitutersInfo *ret, Err *err);
void substituters_prefetch(Substituters *substituters, const StorePath *paths, size_t count);

// The path that an output of a content-addressed derivation became, by the first cache that says so and whose word is trusted (a signature, as for paths) and
// fits what is known here about other outputs. Waits for the answer. Needs the store.
MUST_CHECK bool substituters_find_realisation(Substituters *substituters, const uint8_t drv_hash[32], Span output,
                                              StorePath *ret, bool *ret_found, Err *err);

typedef enum SubstitutersResult {
  SUBSTITUTERS_DONE,    // it and its closure are valid
  SUBSTITUTERS_MISSING, // no cache has it, or something that it refers to
  SUBSTITUTERS_FAILED,  // err says why
} SubstitutersResult;
typedef void (*SubstitutersFn)(void *ctx, SubstitutersResult result, const Err *err);

// Makes `path` and its closure valid. `done` is called once, from any thread, perhaps before this returns.
void substituters_start(Substituters *substituters, const StorePath *path, SubstitutersFn done, void *ctx);

// Puts the contents of a valid path back from the first cache that has it and is trusted (binary_cache_refill). *ret_done false: none has; failures of caches are
// warnings. Blocks.
MUST_CHECK bool substituters_refill(Substituters *substituters, const StorePath *path, bool *ret_done, Err *err);
