// narinfo.h: the description of a store path in a binary cache: lines "Name: value".
//
// Leniency that caches in the field need, and Nix has: unknown fields are ignored, no Compression means bzip2, references come in
// any order or not at all, NarHash in any form, "Deriver: unknown-deriver" is none. Repeated References or CA are errors.
#pragma once

#include "base/arena.h"
#include "formats/store_path.h"

#define NARINFO_SIZE_MAX ((size_t)2 << 20) // bytes of text

typedef struct NarInfo {
  StorePath path;
  Span url;
  Span compression; // never empty
  bool has_file_hash;
  Hash file_hash;
  uint64_t file_size_bytes; // 0: not known
  Hash nar_hash;
  uint64_t nar_size_bytes;
  StorePath *refs; // sorted (store_path_cmp), unique
  size_t ref_count;
  bool has_deriver;
  StorePath deriver;
  Span *sigs; // "<key name>:<base64>", sorted, unique
  size_t sig_count;
  bool has_ca;
  ContentAddress ca;
} NarInfo;

// `whence` names the source in messages ("NAR info file 'x' is corrupt: ..."). Text points into `text`, arrays are in `arena`.
MUST_CHECK bool narinfo_parse(Span text, Span store_dir, const char *whence, Arena *arena, NarInfo *ret, Err *err);
// Law: parse(format(x)) = x (narinfo_test). FileHash and FileSize are left out when not known.
void narinfo_format(const NarInfo *info, Span store_dir, Buf *ret);
