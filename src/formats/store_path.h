// store_path.h: store paths: <store dir>/<32 nixbase32 digits>-<name>, as values and as text, and the rules that compute them.
//
//   path digest = fold20(sha256(type ":" "sha256:" hex(inner) ":" store-dir ":" name))
//   type        = "text" (":" ref)*                       inner: sha256 of the content
//               | "source" (":" ref)* [":self"]           inner: sha256 of the NAR
//               | "output:out"                            inner: sha256("fixed:out:" [r:] algo ":" hex ":")
//               | "output:" output-name                   inner: hash modulo of the derivation
//
// Source: the Nix manual, protocols/store-path; libstore/store-api.cc of Nix 2.26. Where `store_dir` is asked for,
// STORE_PATH_DIR is the usual answer.
#pragma once

#include "formats/content_address.h"

#define STORE_PATH_DIR SPAN("/nix/store")
#define STORE_PATH_DIGEST_BYTES 20
#define STORE_PATH_HASH_CHARS 32
#define STORE_PATH_NAME_MAX 211

// A plain value: copy freely.
typedef struct StorePath {
  uint8_t digest[STORE_PATH_DIGEST_BYTES];
  uint8_t name_len;
  char name[STORE_PATH_NAME_MAX + 1]; // NUL-terminated
} StorePath;

static inline Span store_path_name(const StorePath *path) {
  return span_make(path->name, path->name_len);
}
bool store_path_eq(const StorePath *a, const StorePath *b);
// The order of the text forms, which is Nix's order of sets of paths. (Not the order of the digests' bytes.)
int store_path_cmp(const StorePath *a, const StorePath *b);
// Sorts by it and removes duplicates: how many are left. What is sorted already is only looked at.
size_t store_path_sort(StorePath *paths, size_t count);
bool store_path_is_derivation(const StorePath *path); // name ends in ".drv"

// 1..211 of [A-Za-z0-9+-._?=], not "." or "..", no leading ".-" or "..-". Messages are Nix's.
MUST_CHECK bool store_path_check_name(Span name, Err *err);

// "<store_dir>/<hash>-<name>", nothing behind it. The path is canonicalised first as Nix does (doubled or trailing '/').
MUST_CHECK bool store_path_parse(Span path, Span store_dir, StorePath *ret, Err *err);
// "<hash>-<name>".
MUST_CHECK bool store_path_parse_base(Span base_name, StorePath *ret, Err *err);
// A path at or below a store path: *ret_rest is "" or begins with '/'. `path` must be canonical; *ret_rest points into it.
MUST_CHECK bool store_path_split(Span path, Span store_dir, StorePath *ret, Span *ret_rest, Err *err);
// Is `path` strictly below store_dir (no claim that the name is valid)?
bool store_path_is_below(Span path, Span store_dir);

void store_path_format(const StorePath *path, Span store_dir, Buf *ret); // absolute
void store_path_format_base(const StorePath *path, Buf *ret);            // "<hash>-<name>"
void store_path_format_hash(const StorePath *path, char ret[STORE_PATH_HASH_CHARS]);

// References of an object being named: absolute paths as text, in any order, duplicates allowed.
typedef struct StorePathRefs {
  const Span *paths;
  size_t count;
  bool self; // the object refers to itself; only for CA_NAR with SHA-256
} StorePathRefs;

// The bare rule. `type` as in the grammar above, `inner` is a SHA-256. Fails only on a bad name.
MUST_CHECK bool store_path_make(Span type, const uint8_t inner[32], Span store_dir, Span name, StorePath *ret,
                                Err *err);
// Text files and .drv files. `sha256` of the content. refs->self must be false.
MUST_CHECK bool store_path_make_text(Span name, const uint8_t sha256[32], const StorePathRefs *refs, Span store_dir,
                                     StorePath *ret, Err *err);
// Anything content-addressed (refs may be NULL). References are refused with Nix's message where the method cannot carry them.
MUST_CHECK bool store_path_make_fixed(Span name, const ContentAddress *ca, const StorePathRefs *refs, Span store_dir,
                                      StorePath *ret, Err *err);
// Input-addressed output `output` of derivation `drv_name` (without ".drv") with hash modulo `modulo`.
MUST_CHECK bool store_path_make_output(Span drv_name, Span output, const uint8_t modulo[32], Span store_dir,
                                       StorePath *ret, Err *err);
// Appends "<drv_name>" for "out", else "<drv_name>-<output>".
void store_path_put_output_name(Span drv_name, Span output, Buf *ret);
