// nar_index.h: what is in a NAR: the list of its entries, and one of its files. Both are sinks that the archive runs through once, so that neither
// its size nor that of a file in it matters for memory.
#pragma once

#include "castore/byte_stream.h"
#include "cli/session.h"
#include "formats/json_write.h"
#include "formats/nar_read.h"

typedef struct NarIndexEntry {
  Span path; // "/a/b"; the root is ""; in the arena
  CastoreKind kind;
  bool executable;
  uint64_t size_bytes, offset; // of the content
  Span target;
  size_t end; // behind the last entry below it
} NarIndexEntry;

// Reads events and keeps track of where in the tree they are.
typedef struct NarIndex {
  NarRead nar;
  Buf path, open; // open: numbers of the open directories
  Arena arena;
  NarIndexEntry *entries; // in the order of the archive
  size_t count, cap;
  // nar_index_cat: the file to write out
  const ByteSink *wanted_sink;
  Span wanted;
  bool is_found, is_inside;
  CastoreKind found_kind;
} NarIndex;

void nar_index_init(NarIndex *index);
void nar_index_done(NarIndex *index);
// Feed the archive here, then call nar_index_finish.
ByteSink nar_index_sink(NarIndex *index);
MUST_CHECK bool nar_index_finish(NarIndex *index, Err *err);
// Instead of collecting entries, passes the content of the file at `path` ("/a/b", canonical; borrowed) on to `sink`. is_found and found_kind tell what was there.
void nar_index_cat(NarIndex *index, Span path, const ByteSink *sink);

// What is at `path`, as `nix nar ls` and `nix store ls` print it; the options --json, --long, --recursive and --directory are the session's. `operand`:
// how messages name it.
MUST_CHECK bool nar_index_list(const NarIndex *index, Span path, const char *operand, const OptionList *options,
                               Buf *out, Err *err);
// The parts of it that listings of trees share: a line, and the members of JSON that what is no directory has.
void nar_index_put_line(const NarIndexEntry *entry, Span name, bool is_long, Buf *out);
MUST_CHECK bool nar_index_put_leaf(const NarIndexEntry *entry, JsonWrite *json, Err *err);
MUST_CHECK bool nar_index_put_type(const NarIndexEntry *entry, JsonWrite *json, Err *err);
