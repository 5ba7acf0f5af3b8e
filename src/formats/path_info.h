// path_info.h: what is known about a store path, as a value and as the protobuf message of tvix.store.v1 and snix.store.v1:
//
//   PathInfo  = 1: Entry node (name = "<hash>-<name>")  2: repeated bytes references (20 each)  3: NARInfo
//   NARInfo   = 1: nar_size  2: nar_sha256  3: repeated Signature  4: repeated string reference_names  5: StorePath deriver  6: CA
//   Signature = 1: string name  2: bytes data (64)      StorePath = 1: string name (no ".drv")  2: bytes digest (20)
//   CA        = 1: enum type  2: bytes digest           (NAR_SHA256, NAR_SHA1, NAR_SHA512, NAR_MD5, TEXT_SHA256, FLAT_SHA1, FLAT_MD5,
//                                                        FLAT_SHA256, FLAT_SHA512 = 0..8)
#pragma once

#include "base/arena.h"
#include "formats/castore_node.h"
#include "formats/signature.h"
#include "formats/store_path.h"

#define PATH_INFO_BYTES_MAX ((size_t)64 << 20) // of one encoded message

typedef struct PathInfo {
  StorePath path;
  CastoreNode root; // its name is empty: `path` says it
  uint64_t nar_size_bytes;
  uint8_t nar_sha256[32];
  StorePath *refs; // sorted (store_path_cmp), unique
  size_t ref_count;
  bool has_deriver;
  StorePath deriver; // with ".drv"
  Signature *sigs;
  size_t sig_count;
  bool has_ca;
  ContentAddress ca; // not CA_GIT, not BLAKE3: the message cannot say them
} PathInfo;

// Fails only on a content address that the message cannot express.
MUST_CHECK bool path_info_encode(const PathInfo *info, Buf *ret, Err *err);
// Checks all rules of FORMATS.md §4, the stricter form where versions differ. Text points into `data`, arrays are in `arena`.
MUST_CHECK bool path_info_decode(Span data, Arena *arena, PathInfo *ret, Err *err);
// The text that is signed (signature_fingerprint).
MUST_CHECK bool path_info_fingerprint(const PathInfo *info, Span store_dir, Buf *ret, Err *err);
