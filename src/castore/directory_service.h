// directory_service.h: directories by the BLAKE3 of their canonical encoding (formats/castore_node.h).
//
// An ops struct like BlobService, with the same URL grammar (objectstore+file://: directory_chunked.h) and threading rules. Backends store and return the encoded bytes; the wrappers
// decode, validate and check the digest, so a damaged directory is ERR_CORRUPT everywhere.
#pragma once

#include "base/arena.h"
#include "formats/castore_node.h"

typedef struct DirectoryService DirectoryService;

typedef struct DirectoryServiceOps {
  const char *name;
  bool (*get)(DirectoryService *service, const CastoreDigest *digest, Buf *ret, bool *ret_found, Err *err); // appends
  bool (*put)(DirectoryService *service, const CastoreDigest *digest, Span encoded, Err *err);
  bool (*flush)(DirectoryService *service, Err *err);
  void (*free)(DirectoryService *service);
} DirectoryServiceOps;

struct DirectoryService {
  const DirectoryServiceOps *ops;
};

MUST_CHECK bool directory_service_open_url(Span url, DirectoryService **ret, Err *err);
void directory_service_free(DirectoryService *service);

// *ret_found false when absent. Entries and their text live in `arena`.
MUST_CHECK bool directory_service_get(DirectoryService *service, const CastoreDigest *digest, Arena *arena,
                                      CastoreDirectory *ret, bool *ret_found, Err *err);
// The encoded bytes, appended; checked against the digest.
MUST_CHECK bool directory_service_get_encoded(DirectoryService *service, const CastoreDigest *digest, Buf *ret,
                                              bool *ret_found, Err *err);
// Checks and stores. Children need not be there yet.
MUST_CHECK bool directory_service_put(DirectoryService *service, const CastoreDirectory *directory, CastoreDigest *ret,
                                      Err *err);
// Encoded bytes of a valid directory whose digest the caller has just computed.
MUST_CHECK bool directory_service_put_encoded(DirectoryService *service, const CastoreDigest *digest, Span encoded,
                                              Err *err);
MUST_CHECK bool directory_service_flush(DirectoryService *service, Err *err);

// Visits every directory below `root` once, parents before children (the order in which tvix and snix stream them).
// A missing directory is ERR_NOT_FOUND. `visit` returning false stops with its error.
typedef bool (*DirectoryVisit)(void *ctx, const CastoreDigest *digest, const CastoreDirectory *directory, Err *err);
MUST_CHECK bool directory_service_walk(DirectoryService *service, const CastoreDigest *root, DirectoryVisit visit,
                                       void *ctx, Err *err);

// Follows `path` ("/a/b/c"; "" is the node itself; no "." or "..") from `node` without following symbolic links. *ret_found false when a component
// is missing, or when a component before the last is not a directory: then *ret is that node and *ret_rest what follows it ("/c").
MUST_CHECK bool directory_service_descend(DirectoryService *service, const CastoreNode *node, Span path, Arena *arena,
                                          CastoreNode *ret, Span *ret_rest, bool *ret_found, Err *err);
