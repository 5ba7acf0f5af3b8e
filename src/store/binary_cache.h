// binary_cache.h: a binary cache: <hash>.narinfo, nar/<file hash>.nar[.xz|.zst|.bz2], nix-cache-info, <hash>.ls, log/, realisations/; a directory or a
// server (cache_source.h).
#pragma once

#include "castore/stream_codec.h"
#include "formats/narinfo.h"
#include "formats/realisation.h"
#include "store/cache_source.h"
#include "store/narinfo_cache.h"
#include "store/store.h"

typedef struct BinaryCacheOptions {
  StreamCodec compression;
  int level;                     // 0: the default
  const SignatureSecretKey *key; // signs, or NULL
  bool write_listing;            // <hash>.ls
  bool index_debug_info;         // debuginfo/<build id>: where separate debug information is
  bool parallel, no_parallel;    // xz and zstd on all processors: always, or never; else where the archive is large
  bool read_only;
} BinaryCacheOptions;

typedef struct BinaryCache BinaryCache;
// Creates nix-cache-info when writing; a cache of another store directory is refused.
// `url`: or an absolute path. `client` is borrowed, and only needed for servers.
MUST_CHECK bool binary_cache_open(const char *url, HttpClient *client, Span store_dir,
                                  const BinaryCacheOptions *options, BinaryCache **ret, Err *err);
// To read only. Parameters of the URL: priority=N, trusted=1. `client` and `answers` (may be NULL) are borrowed; they serve URLs of servers. Asks for nix-cache-info.
MUST_CHECK bool binary_cache_open_url(Span url, HttpClient *client, NarinfoCache *answers, Span store_dir,
                                      BinaryCache **ret, Err *err);
void binary_cache_free(BinaryCache *cache);
const char *binary_cache_url(const BinaryCache *cache); // without parameters
bool binary_cache_is_remote(const BinaryCache *cache);
// The smaller, the earlier it is asked. From the URL, nix-cache-info, or 50.
int binary_cache_priority(const BinaryCache *cache);
// *ret_found false when absent. `arena` holds the result.
MUST_CHECK bool binary_cache_find(BinaryCache *cache, const uint8_t digest[20], Arena *arena, NarInfo *ret,
                                  bool *ret_found, Err *err);
// What the cache says about an output of a content-addressed derivation. `id` as realisation_format_id.
MUST_CHECK bool binary_cache_find_realisation(BinaryCache *cache, Span id, Arena *arena, Realisation *ret,
                                              bool *ret_found, Err *err);
// The description as a path info without root; text and arrays are in `arena` or borrowed from `info`.
MUST_CHECK bool binary_cache_path_info(const NarInfo *info, Arena *arena, PathInfo *ret, Err *err);
Span binary_cache_store_dir(const BinaryCache *cache);
// All paths that a directory describes, sorted; a server cannot be asked that.
MUST_CHECK bool binary_cache_all(BinaryCache *cache, StorePathList *ret, Err *err);
// The NAR, decompressed, not more than the description says. Its hash is not checked.
MUST_CHECK bool binary_cache_dump(BinaryCache *cache, const NarInfo *info, const ByteSink *sink, Err *err);
// The log of a build (log/<base name of the .drv>), decompressed and appended; *ret_found false when there is none.
MUST_CHECK bool binary_cache_get_log(BinaryCache *cache, const StorePath *drv_path, Buf *ret, bool *ret_found,
                                     Err *err);
MUST_CHECK bool binary_cache_put_log(BinaryCache *cache, const StorePath *drv_path, Span log, Err *err);
// Replaces what the cache said about that output.
MUST_CHECK bool binary_cache_put_realisation(BinaryCache *cache, const Realisation *realisation, Err *err);

// Writes one valid path; a reference that the cache does not have is an error. Existing ones are left alone.
MUST_CHECK bool binary_cache_put(BinaryCache *cache, Store *store, const StorePath *path, Err *err);
// The same for a path that is described by `info` and whose NAR `dump` writes. What it writes has to be what the description says.
typedef bool (*BinaryCacheDumpFn)(void *ctx, const ByteSink *sink, Err *err);
MUST_CHECK bool binary_cache_put_nar(BinaryCache *cache, const PathInfo *info, BinaryCacheDumpFn dump, void *ctx,
                                     Err *err);
// Many at once, in three steps. Preparing does the work, on any thread: everything lies in the directory afterwards, under temporary names. Committing takes the
// item; its references are in the cache or committed before. Flushing, which committing also does from time to time, waits for the disk and gives the final
// names, in the order of commits. All but the first are for one thread, and what is not flushed is removed with the cache.
typedef struct BinaryCacheItem BinaryCacheItem;
MUST_CHECK bool binary_cache_prepare(BinaryCache *cache, const PathInfo *info, BinaryCacheDumpFn dump, void *ctx,
                                     BinaryCacheItem **ret, Err *err);
void binary_cache_item_free(BinaryCacheItem *item); // and its files
MUST_CHECK bool binary_cache_commit(BinaryCache *cache, BinaryCacheItem *item, Err *err);
MUST_CHECK bool binary_cache_flush(BinaryCache *cache, Err *err);
// Has it a description of the path, or will it have one when what is committed is flushed?
MUST_CHECK bool binary_cache_has(BinaryCache *cache, const StorePath *path, bool *ret, Err *err);
// Fetches one path into `store`; its references must be valid there. With `keys`, an untrusted path is refused as C++ Nix does (content-addressed ones need none).
MUST_CHECK bool binary_cache_fetch(BinaryCache *cache, Store *store, const StorePath *path,
                                   const SignaturePublicKey *keys, size_t key_count, bool require_sigs, Err *err);

// The two steps of a fetch, for who has found the description before. Trusted: the cache is, or a signature by one of the keys, or the path follows from the
// content. `info` is of `cache`. The path is pinned by the caller.
MUST_CHECK bool binary_cache_is_trusted(const BinaryCache *cache, const NarInfo *info, const SignaturePublicKey *keys,
                                        size_t key_count);
// Puts the contents of a path that is valid in `store` back (store_check_refill).
MUST_CHECK bool binary_cache_refill(BinaryCache *cache, Store *store, const NarInfo *info, Err *err);
// `defer`: as store_add_nar.
MUST_CHECK bool binary_cache_fetch_found(BinaryCache *cache, Store *store, const NarInfo *info, bool defer, Err *err);
