// store_add.h: ways into the store. Each computes the store path from the content, as C++ Nix does (formats/store_path.h), and pins it.
//
// Nothing here makes trees (store_materialise does). Additions that say so are *deferred*: visible to this process at once, committed together by
// store_flush, which happens at the latest after STORE_ADD_DEFER_COUNT additions or STORE_ADD_DEFER_MS, before a registration, and in store_free.
#pragma once

#include "castore/castore_import.h"
#include "store/store.h"

#define STORE_ADD_DEFER_COUNT 4096u
#define STORE_ADD_DEFER_MS 1000

// builtins.toFile and .drv files (method text). Deferred. Budget: 50 microseconds each, commit included.
MUST_CHECK bool store_add_text(Store *store, Span name, Span content, const StorePath *refs, size_t ref_count,
                               StorePath *ret, Err *err);
// Many at once; `ret_paths[i]` for `items[i]`. Later items may refer to earlier ones.
typedef struct StoreAddText {
  Span name, content;
  const StorePath *refs;
  size_t ref_count;
  const StorePath *path; // the path that follows from all this, where the caller has computed it; else NULL
} StoreAddText;
MUST_CHECK bool store_add_texts(Store *store, const StoreAddText *items, size_t count, StorePath *ret_paths, Err *err);

typedef struct StoreAddOptions {
  CaMethod method; // CA_NAR or CA_FLAT
  HashAlgo algo;   // of the content address; HASH_SHA256 unless asked otherwise
  CastoreImportFilter filter;
  void *filter_ctx;
  const Hash *expected; // NULL: none; else another hash is ERR_HASH_MISMATCH with Nix's message
  Span url;             // where it was downloaded from: that message is then the one of fetchers, and names it
  bool dry_run;         // only compute the path: nothing is written
  bool defer;           // as store_add_text: visible at once, committed with others by store_flush
  bool no_stat_cache;   // read every file even where its metadata has not changed
} StoreAddOptions;
#define STORE_ADD_OPTIONS_INIT \
  { .method = CA_NAR, .algo = HASH_SHA256 }

// A file or tree on disk: `./x` coercion, builtins.path, filterSource, nix-store --add, --add-fixed. Committed when it returns.
MUST_CHECK bool store_add_path(Store *store, Span name, const char *path, const StoreAddOptions *options,
                               StorePath *ret, Err *err);
// A flat file from a stream: downloads. Committed when it returns; bounded memory.
MUST_CHECK bool store_add_stream(Store *store, Span name, const ByteSource *source, bool executable,
                                 const StoreAddOptions *options, StorePath *ret, Err *err);
// What an archive holds (castore_archive.h: tar, zip, compressed or not), straight from the stream: fetchTarball, `store add --unpack`. `strip_top`: the
// content of the directory that stands alone at its top, where it is so. Committed when it returns (options->defer: visible); bounded memory, nothing
// on disk but objects. *ret_last_modified_s (may be NULL): the newest time in the archive.
MUST_CHECK bool store_add_archive(Store *store, Span name, const ByteSource *source, bool strip_top,
                                  const StoreAddOptions *options, StorePath *ret, int64_t *ret_last_modified_s,
                                  Err *err);
// A tree that is already in the castore: fetchers. Committed when it returns.
MUST_CHECK bool store_add_node(Store *store, Span name, const CastoreNode *node, const StoreAddOptions *options,
                               StorePath *ret, Err *err);
// Paths are known by their hash parts: what comes from elsewhere must not claim one that belongs to a valid path of another name.
MUST_CHECK bool store_add_check_hash_part(Store *store, const StorePath *path, Err *err);
// A NAR with its description (substituters, copies). Checks size and SHA-256 against `info` (whose root is ignored). Committed when it returns, or deferred
// where the caller has pinned the path (store_pin) and `defer`s.
MUST_CHECK bool store_add_nar(Store *store, const PathInfo *info, const ByteSource *nar, bool ultimate, bool defer,
                              Err *err);
// What lacks nothing but its row: its objects are in store_objects, and held since they were put (object_store_begin); the path is pinned. Deferred. References
// are valid or deferred already.
MUST_CHECK bool store_add_deferred(Store *store, const PathInfo *info, bool ultimate, Err *err);

// A build output in a scratch tree on the store's file system (store_scratch): canonicalises, hashes, scans, and makes its files objects without moving data.
// The caller checks the result, completes a PathInfo and calls store_register with tree = scratch, then (in any case) store_add_scan_done: between the two the
// objects are held, so that none that the output shares is collected.
MUST_CHECK bool store_add_scan(Store *store, const char *scratch, const RefscanNeedles *needles, CastoreImport *ret,
                               Err *err);
// Only after a successful store_add_scan.
void store_add_scan_done(Store *store, CastoreImport *result);
