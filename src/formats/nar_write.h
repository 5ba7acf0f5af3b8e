// nar_write.h: writes a Nix archive (grammar in nar_read.h). The caller walks its tree and passes the contents of files on itself:
//
//   nar_write_init(&w, buf);                    file := nar_write_file(&w, executable, size);
//   node;                                               pass on buf, then `size` bytes; nar_write_file_end(&w)
//   nar_write_done(&w);                         dir  := nar_write_dir(&w); ( nar_write_entry(&w, name); node )* ; nar_write_dir_end(&w)
//                                               link := nar_write_symlink(&w, target)
//
// Everything goes to the end of `buf`, which the caller empties whenever it likes. Law: nar_read of the result gives the same
// events (nar_test).
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef struct NarWrite {
  Buf *out; // borrowed
  uint64_t file_size_bytes;
  uint32_t depth;
  bool in_file;
  Buf names; // owned: as in NarRead
} NarWrite;

void nar_write_init(NarWrite *nar, Buf *out);
void nar_write_done(NarWrite *nar);
void nar_write_file(NarWrite *nar, bool executable, uint64_t size_bytes);
void nar_write_file_end(NarWrite *nar);
void nar_write_symlink(NarWrite *nar, Span target);
void nar_write_dir(NarWrite *nar);
// Fails on an invalid name, or one that does not follow the entry before it in bytewise order.
MUST_CHECK bool nar_write_entry(NarWrite *nar, Span name, Err *err);
void nar_write_dir_end(NarWrite *nar);

// Sizes without writing, in bytes. size(archive) = NAR_WRITE_SIZE_MAGIC + size(root); size(directory) = NAR_WRITE_SIZE_DIR +
// sum of size_entry(name) + size(node).
#define NAR_WRITE_SIZE_MAGIC 24
#define NAR_WRITE_SIZE_DIR 72
uint64_t nar_write_size_file(bool executable, uint64_t size_bytes);
uint64_t nar_write_size_symlink(size_t target_len);
uint64_t nar_write_size_entry(size_t name_len);
