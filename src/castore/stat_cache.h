// stat_cache.h: what an import found, by the metadata of files, so that an unchanged file is not read again and an unchanged tree not hashed again.
//
// One file per imported path. It is only a cache: written without sync, checked by a digest, ignored when damaged or foreign.
//
//   file   = "firnstat" version:u32le zero:u32le blake3(payload):32 payload
//   payload = started_ns:i64 root_kind:u64 root_size:u64 root_digest:32 nar_size:u64 nar_sha256:32 count:u64 record*
//   record = kind:u32 mode:u32 end:u32 name_len:u32 dev:u64 ino:u64 size:u64 mtime_ns:i64 ctime_ns:i64 digest:32 name padding to 8
//
// A file is taken as unchanged when device, inode, size, mode, mtime and ctime are the same, and when the ctime lies before the moment the cached walk
// started by more than STAT_CACHE_RACY_NS: a later write within the same tick of the clock could not be told apart.
#pragma once

#include "castore/import_walk.h"

#define STAT_CACHE_RACY_NS INT64_C(50000000)

typedef struct StatCacheRoot {
  CastoreNode root; // anonymous; a symbolic link is never cached
  uint64_t nar_size_bytes;
  uint8_t nar_sha256[32];
} StatCacheRoot;

// Marks the entries of `walk` whose content is known. *ret_unchanged: the whole tree is as it was, and *ret_root is its result. A cache that is missing or
// damaged marks nothing.
void stat_cache_apply(const char *cache_path, ImportWalk *walk, bool *ret_unchanged, StatCacheRoot *ret_root);
// Replaces the cache file. Failure is not an error: the next import reads more.
void stat_cache_save(const char *cache_path, const ImportWalk *walk, const StatCacheRoot *root);
