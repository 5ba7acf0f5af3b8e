// request.h: one build as data: content roots in, a command with its environment, output paths out.
// The message BuildRequest of tvix.build.v1 and snix.build.v1:
//
//   BuildRequest = 1: repeated Entry inputs (sorted by name)      6: repeated string outputs
//   (sorted)
//                  2: repeated string command_args                7: repeated EnvVar
//                  environment_vars (sorted by key) 3: string working_dir 8: BuildConstraints
//                  constraints 4: repeated string scratch_paths (sorted)      9: repeated
//                  AdditionalFile additional_files (sorted by path) 5: string inputs_dir 10:
//                  repeated string refscan_needles
//   EnvVar = 1: key  2: bytes value      AdditionalFile = 1: path  2: bytes contents
//   BuildConstraints = 1: system  2: min_memory  3: repeated available_ro_paths  4: network_access
//   5: provide_bin_sh
//
// Paths are "clean": no empty, "." or ".." segment, no trailing '/'; all but available_ro_paths are
// relative to the root of the builder's world. Text is borrowed (usually from an arena). Test:
// test/build/request_test.c.
#pragma once

#include "base/arena.h"
#include "formats/castore_node.h"

#define BUILD_REQUEST_BYTES_MAX ((size_t)1 << 30) // of an encoded request that is decoded

typedef struct BuildEnv {
  Span key, value; // key: not empty, no '=' and no NUL; value: no NUL
} BuildEnv;

typedef struct BuildFile {
  Span path, content;
} BuildFile;

typedef struct BuildRequest {
  CastoreNode *inputs; // named by the base name of their store path
  size_t input_count;
  Span *args; // args[0] is the program
  size_t arg_count;
  Span working_dir; // "build"
  Span *scratch_paths;
  size_t scratch_path_count;
  Span inputs_dir; // "nix/store"
  Span *outputs;   // "nix/store/<hash>-<name>"
  size_t output_count;
  BuildEnv *env;
  size_t env_count;
  Span system; // not empty
  uint64_t min_memory_bytes;
  Span *ro_paths;
  size_t ro_path_count;
  bool network_access;
  bool provide_bin_sh;
  BuildFile *files; // "build/.attr-…"
  size_t file_count;
  Span *needles; // hash parts that are looked for in outputs; results are indices into this
  size_t needle_count;
} BuildRequest;

// Sorts what must be sorted. For those who fill a request from unordered sets.
void request_sort(BuildRequest *request);
// Everything promised above.
MUST_CHECK bool request_check(const BuildRequest *request, Err *err);
void request_encode(const BuildRequest *request, Buf *ret);
// Text points into `data`, arrays are in `arena`. The result satisfies request_check. Law: decode
// of encode is the identity.
MUST_CHECK bool request_decode(Span data, Arena *arena, BuildRequest *ret, Err *err);
// BLAKE3 of the encoding: the name of the build. Equal requests are the same build.
void request_digest(const BuildRequest *request, CastoreDigest *ret);
// NULL when there is none; binary search.
const BuildEnv *request_find_env(const BuildRequest *request, Span key);
