// blob_service.h: file contents by the BLAKE3 of their bytes.
//
// An ops struct with backends that are selected by URL; the wrapper functions below are the only way to call one. All functions
// may be called from several threads at once; a reader or writer belongs to one thread.
//
//   url = "memory:"                         this process only
//       | "local:" directory                object_store.h
//       | "objectstore+file://" directory   chunks, compressed, in the layout of tvix and snix (blob_chunked.h)
//       | "readonly:" url                   refuses to write
//       | "cache:(" url ")(" url ")"        near, far: reads fill near; writes go to both
//       | "first:(" url ")" ...             reads ask one after the other; writes go to the first
//
// Laws (blob_service_test, on every backend): what was put is read back byte for byte, by offset too; the digest is that of the content however it
// was cut; putting twice changes nothing; absence is an answer, not an error.
#pragma once

#include "castore/byte_stream.h"
#include "formats/castore_node.h"

typedef struct BlobService BlobService;
typedef struct BlobReader BlobReader;
typedef struct BlobWriter BlobWriter;

typedef struct BlobServiceOps {
  const char *name; // for messages: "local", "memory", ...
  bool (*stat)(BlobService *service, const CastoreDigest *digest, bool *ret_found, uint64_t *ret_size_bytes, Err *err);
  bool (*open)(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err); // absent: *ret NULL
  bool (*write)(BlobService *service, BlobWriter **ret, Err *err);
  bool (*put)(BlobService *service, const CastoreDigest *digest, Span data, Err *err); // digest is that of data
  bool (*flush)(BlobService *service, Err *err);
  void (*free)(BlobService *service);
} BlobServiceOps;

// First member of every backend.
struct BlobService {
  const BlobServiceOps *ops;
};

typedef struct BlobReaderOps {
  bool (*read_at)(BlobReader *reader, uint64_t offset, void *data, size_t cap, size_t *ret_len, Err *err);
  Span (*map)(BlobReader *reader); // NULL where the content is not in memory
  void (*free)(BlobReader *reader);
} BlobReaderOps;

struct BlobReader {
  const BlobReaderOps *ops;
  uint64_t size_bytes;
  uint64_t offset; // of blob_service_read
};

typedef struct BlobWriterOps {
  bool (*put)(BlobWriter *writer, Span data, Err *err);
  bool (*finish)(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err);
  void (*free)(BlobWriter *writer);
} BlobWriterOps;

struct BlobWriter {
  const BlobWriterOps *ops;
};

// Owned by the caller. `create` makes missing directories of local backends.
MUST_CHECK bool blob_service_open_url(Span url, BlobService **ret, Err *err);
void blob_service_free(BlobService *service);

// *ret_size_bytes may be NULL.
MUST_CHECK bool blob_service_stat(BlobService *service, const CastoreDigest *digest, bool *ret_found,
                                  uint64_t *ret_size_bytes, Err *err);

// *ret is NULL when the blob is absent. Free with blob_service_close.
MUST_CHECK bool blob_service_open(BlobService *service, const CastoreDigest *digest, BlobReader **ret, Err *err);
void blob_service_close(BlobReader *reader);
// The next bytes; *ret_len 0 at the end.
MUST_CHECK bool blob_service_read(BlobReader *reader, void *data, size_t cap, size_t *ret_len, Err *err);
// Any range; *ret_len is short only at the end.
MUST_CHECK bool blob_service_read_at(BlobReader *reader, uint64_t offset, void *data, size_t cap, size_t *ret_len,
                                     Err *err);
// The whole content without a copy, borrowed from the reader; false where the backend has no such thing.
bool blob_service_map(BlobReader *reader, Span *ret);
// Appends the whole blob. *ret_found false when absent. Larger than limit_bytes (0: none) is ERR_LIMIT.
MUST_CHECK bool blob_service_get(BlobService *service, const CastoreDigest *digest, size_t limit_bytes, Buf *ret,
                                 bool *ret_found, Err *err);

// Streaming write with bounded memory. blob_service_finish gives the digest; blob_service_abort frees (also after finish).
MUST_CHECK bool blob_service_write(BlobService *service, BlobWriter **ret, Err *err);
MUST_CHECK bool blob_service_write_put(BlobWriter *writer, Span data, Err *err);
MUST_CHECK bool blob_service_write_finish(BlobWriter *writer, CastoreDigest *ret, uint64_t *ret_size_bytes, Err *err);
void blob_service_write_free(BlobWriter *writer);
// A blob that is in memory. `known` is its digest where the caller has it (not checked), else NULL.
MUST_CHECK bool blob_service_put(BlobService *service, Span data, const CastoreDigest *known, CastoreDigest *ret,
                                 Err *err);
// Everything put so far by this process becomes durable and visible to others. Until then a crash may lose it.
MUST_CHECK bool blob_service_flush(BlobService *service, Err *err);

// Copies one blob between services; ERR_NOT_FOUND when absent, ERR_CORRUPT when the content does not have that digest.
MUST_CHECK bool blob_service_copy(BlobService *from, BlobService *to, const CastoreDigest *digest, Err *err);
