// castore_nar.h: NAR archives <-> root nodes and trees on disk, as streams.
#pragma once

#include "castore/castore.h"
#include "formats/nar_read.h"

// Writes the NAR of `node`. Bounded memory.
MUST_CHECK bool castore_nar_write(const Castore *from, const CastoreNode *node, const ByteSink *sink, Err *err);
// SHA-256 and size of the NAR of `node`, without keeping it.
MUST_CHECK bool castore_nar_hash(const Castore *from, const CastoreNode *node, uint8_t ret_sha256[32],
                                 uint64_t *ret_size_bytes, Err *err);
// Size only, from the directories alone: no content is read.
MUST_CHECK bool castore_nar_size(const Castore *from, const CastoreNode *node, uint64_t *ret_size_bytes, Err *err);

typedef struct CastoreNarImport {
  CastoreNode root; // `target` of a symbolic link points into `text`
  Buf text;         // owned
  uint64_t nar_size_bytes;
  uint8_t nar_sha256[32];
} CastoreNarImport;

void castore_nar_import_done(CastoreNarImport *result);
// Reads one archive (which must end exactly at its end unless `stop_at_end`) into `to`. Strict (nar_read.h). Not flushed.
MUST_CHECK bool castore_nar_read(const Castore *to, const ByteSource *source, bool stop_at_end, CastoreNarImport *ret,
                                 Err *err);

// From and to the disk without any store: nix-store --dump and --restore, nix-hash. `dest` must not exist. What is restored can never leave `dest`: names
// are checked, and every file is created without following links below the descriptor of its own directory.
MUST_CHECK bool castore_nar_dump_path(const char *path, const ByteSink *sink, Err *err);
MUST_CHECK bool castore_nar_hash_path(const char *path, uint8_t ret_sha256[32], uint64_t *ret_size_bytes, Err *err);
MUST_CHECK bool castore_nar_restore(const ByteSource *source, const char *dest, Err *err);

typedef bool (*CastoreNarEventFn)(void *ctx, const NarReadEvent *event, Err *err);
// Passes every event of the archive to `event_fn`. *ret_size_bytes is its length, `tap` (may be NULL) gets its bytes. `stop_at_end`: the stream goes on
// behind it and is not read further; else that is an error.
MUST_CHECK bool castore_nar_parse(const ByteSource *source, bool stop_at_end, CastoreNarEventFn event_fn, void *ctx,
                                  const ByteSink *tap, uint64_t *ret_size_bytes, Err *err);
