// source_hash.h: the hash of a file or tree on disk as its store path needs it, without any store: what evaluation does with `./x` until
// somebody needs the copy. One read, nothing kept.
#pragma once

#include "castore/castore_import.h"
#include "formats/content_address.h"

#define SOURCE_HASH_DEPTH_MAX 4096u // nesting of directories

// What to leave out: as in castore_import.h, so that the later copy is the same tree.
typedef struct SourceHashFilter {
  CastoreImportFilter keep; // NULL: everything
  void *ctx;
} SourceHashFilter;

// SHA-256 of the NAR (CA_NAR) or of the content (CA_FLAT: a regular file, or the error is Nix's). `path` itself is not followed.
MUST_CHECK bool source_hash_path(const char *path, CaMethod method, const SourceHashFilter *filter,
                                 uint8_t ret_sha256[32], Err *err);
