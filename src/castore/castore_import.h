// castore_import.h: a file or tree on disk becomes a root node, with its NAR hash, NAR size and references, in one read.
//
// The walk is single-threaded and sorted; files are read, hashed (BLAKE3) and scanned by a few threads that run ahead of the NAR hash (SHA-256, which
// has an order) by a bounded window. Files larger than CASTORE_IMPORT_STREAM_BYTES are streamed. Memory does not grow with file
// sizes, only (by ~100 bytes) with the number of entries.
#pragma once

#include <sys/stat.h>

#include "castore/castore.h"
#include "castore/object_store.h"
#include "castore/refscan.h"

#define CASTORE_IMPORT_STREAM_BYTES ((uint64_t)1 << 20)
#define CASTORE_IMPORT_DEPTH_MAX 4096u       // nesting of directories
#define CASTORE_IMPORT_ENTRIES_MAX 50000000u // entries of one tree

// What a filter is asked. `path` is relative to the imported root ("a/b"), never empty: the root itself is always taken.
// Called in the order of the walk: a directory before its entries, siblings sorted by name; not called below a refused directory.
typedef bool (*CastoreImportFilter)(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err);

typedef struct CastoreImport CastoreImport;

typedef struct CastoreImportOptions {
  CastoreImportFilter filter; // NULL: everything
  void *filter_ctx;
  const RefscanNeedles *needles; // NULL: no scan
  bool hash_nar;                 // else nar_* of the result stay 0
  // Build outputs: set canonical modes, times and (as root) owner, and make the very files objects of this store by linking, so that no data moves.
  // A file whose content exists already is replaced by a link to it. `to` must be this store's castore.
  ObjectStore *adopt_into;
  bool allow_fifo_skip; // silently leaves out sockets, fifos and devices (nothing in Nix does: default is an error)
  const char
      *stat_cache_path; // NULL: none; see stat_cache.h. Not with a filter whose answers may change, nor with needles
  // Asked when nothing has changed since the cache was written: may the cached result be returned without looking at contents? (The store knows whether
  // a path with that root is valid.) NULL: no.
  bool (*reuse)(void *ctx, const CastoreImport *cached);
  void *reuse_ctx;
} CastoreImportOptions;

struct CastoreImport {
  CastoreNode root; // anonymous; `target` of a symbolic link points into `text`
  Buf text;         // owned
  uint64_t nar_size_bytes;
  uint8_t nar_sha256[32];
  unsigned char *found;             // owned; one byte per needle; NULL without needles
  uint64_t entry_count, file_bytes; // what was walked
  uint64_t read_bytes;              // what really was read (less with a stat cache)
  bool reused;                      // `reuse` said yes
};

#define CASTORE_IMPORT_INIT \
  { .text = BUF_INIT }

void castore_import_done(CastoreImport *result);

// `path` is not followed when it is a symbolic link. Objects are put but not flushed. A file that changes while it is read
// gives what was read, consistently in both hashes. Errors name the file.
MUST_CHECK bool castore_import_path(const Castore *to, const char *path, const CastoreImportOptions *options,
                                    CastoreImport *ret, Err *err);
