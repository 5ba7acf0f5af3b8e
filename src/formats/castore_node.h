// castore_node.h: directories and their entries in the content store, and their canonical protobuf (package tvix.castore.v1 or
// snix.castore.v1, the same numbers):
//
//   Directory      = 1: repeated DirectoryEntry  2: repeated FileEntry  3: repeated SymlinkEntry     (each sorted by name)
//   DirectoryEntry = 1: name  2: digest  3: size        FileEntry = 1: name  2: digest  3: size  4: executable
//   SymlinkEntry   = 1: name  2: target                 Entry = oneof { 1: directory  2: file  3: symlink }
//
// A directory is named by the BLAKE3 of its encoding: fields in ascending order, defaults left out.
#pragma once

#include "base/arena.h"
#include "formats/hash.h"

#define CASTORE_NODE_DIGEST_BYTES 32
#define CASTORE_NODE_NAME_MAX 255
#define CASTORE_NODE_TARGET_MAX 4095
#define CASTORE_NODE_DIRECTORY_BYTES_MAX ((size_t)256 << 20) // of one encoded directory

typedef struct CastoreDigest {
  uint8_t bytes[CASTORE_NODE_DIGEST_BYTES]; // BLAKE3
} CastoreDigest;

typedef enum CastoreKind { CASTORE_DIRECTORY, CASTORE_FILE, CASTORE_SYMLINK } CastoreKind;

// An entry of a directory, or (with an empty or chosen name) the root of a store path or build output. Text is borrowed.
typedef struct CastoreNode {
  CastoreKind kind;
  bool executable;      // FILE
  Span name;            // empty: anonymous
  CastoreDigest digest; // DIRECTORY: of its encoding; FILE: of its content
  uint64_t size;        // FILE: bytes; DIRECTORY: castore_node_directory_size
  Span target;          // SYMLINK
} CastoreNode;

// One list over all kinds, sorted by name, names unique.
typedef struct CastoreDirectory {
  CastoreNode *entries;
  size_t count;
} CastoreDirectory;

static inline bool castore_node_digest_eq(const CastoreDigest *a, const CastoreDigest *b) {
  return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

// 1..255 bytes, not "." or "..", no '/' or NUL.
MUST_CHECK bool castore_node_check_name(Span name, Err *err);
// Name (unless `anonymous`, where it must be empty), and target 1..4095 bytes without NUL.
MUST_CHECK bool castore_node_check(const CastoreNode *node, bool anonymous, Err *err);
// Every entry valid, strictly increasing names, no overflow of the size.
MUST_CHECK bool castore_node_check_directory(const CastoreDirectory *directory, Err *err);

// A directory's size counts its entries and, recursively, theirs. Two conventions are in use (FORMATS.md §3), both for `size` of
// DirectoryEntry: ONCE counts each entry once and is ours and the proto text's; TWICE is that of tvix and snix since 2024.
typedef enum CastoreSizeForm { CASTORE_SIZE_ONCE = 1, CASTORE_SIZE_TWICE = 2 } CastoreSizeForm;
// False on overflow.
MUST_CHECK bool castore_node_directory_size(const CastoreDirectory *directory, CastoreSizeForm form, uint64_t *ret,
                                            Err *err);

// Sorts entries by name; for those who collect them in another order. Duplicates remain (check finds them).
void castore_node_sort(CastoreDirectory *directory);
// The entry of that name in a sorted directory, or NULL.
const CastoreNode *castore_node_find(const CastoreDirectory *directory, Span name);

// Appends the canonical encoding. The directory must be valid.
void castore_node_encode_directory(const CastoreDirectory *directory, Buf *ret);
// Encodes into `scratch` (cleared first) and hashes.
void castore_node_directory_digest(const CastoreDirectory *directory, Buf *scratch, CastoreDigest *ret);
// Text points into `data`, entries are in `arena`. Checks everything above, and that each list is sorted. Unknown
// fields are errors, because they would be lost from the digest.
MUST_CHECK bool castore_node_decode_directory(Span data, Arena *arena, CastoreDirectory *ret, Err *err);

// A single node as Entry. Decoding checks it as castore_node_check does, but accepts any name including none.
void castore_node_encode(const CastoreNode *node, Buf *ret);
MUST_CHECK bool castore_node_decode(Span data, CastoreNode *ret, Err *err);

// "blake3-<base64>"; parse also takes the older "b3:<base64>".
void castore_node_format_digest(const CastoreDigest *digest, Buf *ret);
MUST_CHECK bool castore_node_parse_digest(Span text, CastoreDigest *ret, Err *err);
