// castore_archive_fuzz.c: whatever libarchive makes of the bytes, the result is a tree of valid directories with all its contents, or an
// error; and the same archive gives the same tree again.
#include "castore/castore_archive.h"

#include "castore/blob_memory.h"
#include "castore/castore_nar.h"
#include "castore/directory_memory.h"
#include "fuzz/fuzz.h"

static bool read_once(const Castore *castore, Span bytes, CastoreArchive *ret) {
  ByteSource source = byte_stream_from_span(&bytes);
  CastoreArchiveOptions options = {.limit_bytes = 1 << 20, .limit_entries = 1000};
  return castore_archive_read(castore, &source, &options, ret, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Castore castore = {blob_memory_new(), directory_memory_new()};
  CastoreArchive first, second;
  bool ok = read_once(&castore, span_make(data, size_bytes), &first);
  FUZZ_CHECK(read_once(&castore, span_make(data, size_bytes), &second) == ok);
  if (ok) {
    uint8_t sha256[32];
    uint64_t nar_size_bytes;
    FUZZ_CHECK(castore_node_digest_eq(&first.root.digest, &second.root.digest));
    FUZZ_CHECK(castore_nar_hash(&castore, &first.root, sha256, &nar_size_bytes, NULL));
  }
  blob_service_free(castore.blobs);
  directory_service_free(castore.directories);
  return 0;
}
