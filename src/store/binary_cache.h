// binary_cache.h: a binary cache: <hash>.narinfo, nar/<file hash>.nar[.xz|.zst|.bz2], nix-cache-info, <hash>.ls. Written to a directory, read from a
// directory or a server (cache_source.h).
#pragma once

#include "castore/stream_codec.h"
#include "formats/narinfo.h"
#include "store/cache_source.h"
#include "store/narinfo_cache.h"
#include "store/store.h"

typedef struct BinaryCacheOptions {
  StreamCodec compression;
  int level;                     // 0: the default
  const SignatureSecretKey *key; // signs, or NULL
  bool write_listing;            // <hash>.ls
  bool read_only;
} BinaryCacheOptions;

typedef struct BinaryCache BinaryCache;
// Creates nix-cache-info when writing; a cache of another store directory is refused.
MUST_CHECK bool binary_cache_open(const char *directory, Span store_dir, const BinaryCacheOptions *options,
                                  BinaryCache **ret, Err *err);
// To read only. Parameters of the URL: priority=N, trusted=1. `client` and `answers` (may be NULL) are borrowed; they serve URLs of servers. Asks for nix-cache-info.
MUST_CHECK bool binary_cache_open_url(Span url, HttpClient *client, NarinfoCache *answers, Span store_dir,
                                      BinaryCache **ret, Err *err);
void binary_cache_free(BinaryCache *cache);
const char *binary_cache_url(const BinaryCache *cache); // without parameters
// The smaller, the earlier it is asked. From the URL, nix-cache-info, or 50.
int binary_cache_priority(const BinaryCache *cache);
// *ret_found false when absent. `arena` holds the result.
MUST_CHECK bool binary_cache_find(BinaryCache *cache, const uint8_t digest[20], Arena *arena, NarInfo *ret,
                                  bool *ret_found, Err *err);
// Writes one valid path; references must be in the cache already (their absence is not checked). Existing ones are left alone.
MUST_CHECK bool binary_cache_put(BinaryCache *cache, Store *store, const StorePath *path, Err *err);
// Fetches one path into `store`; its references must be valid there. With `keys`, an untrusted path is refused as C++ Nix does (content-addressed ones need none).
MUST_CHECK bool binary_cache_fetch(BinaryCache *cache, Store *store, const StorePath *path,
                                   const SignaturePublicKey *keys, size_t key_count, bool require_sigs, Err *err);

// The two steps of a fetch, for who has found the description before. Trusted: the cache is, or a signature by one of the keys, or the path follows from the
// content. `info` is of `cache`. The path is pinned by the caller.
MUST_CHECK bool binary_cache_is_trusted(const BinaryCache *cache, const NarInfo *info, const SignaturePublicKey *keys,
                                        size_t key_count);
MUST_CHECK bool binary_cache_fetch_found(BinaryCache *cache, Store *store, const NarInfo *info, Err *err);
