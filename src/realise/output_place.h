// output_place.h: a content-addressed output that was built at a provisional path gets the path that follows from its content. References between
// outputs and to itself are rewritten; the hash that names it is of its content with its own hash part as zero bytes.
//
// Nix 2.26: newInfoFromCA in LocalDerivationGoal::registerOutputs. (Nix until 2.17 hashed the places of self references too; later versions do not, and
// so neither do we.) Test:
// test/cli/content_addressed_test.sh.
#pragma once

#include "castore/stream_rewrite.h"
#include "store/store.h"

typedef struct OutputPlaceInput {
  Store *store;
  Span name; // of the store path
  CaMethod method;
  HashAlgo algo;
  const char *tree; // canonical, on disk
  const CastoreNode *root;
  const uint8_t *nar_sha256;
  const StorePath *scratch; // where it was built
  bool hidden_self;         // references are not looked for: it may name itself all the same
  bool self;                // it refers to itself
  const StorePath *refs;    // what else it refers to, final
  size_t ref_count;
  const StreamRewriteRule *rules; // hash parts of other outputs that it refers to
  size_t rule_count;
} OutputPlaceInput;

typedef struct OutputPlaced {
  StorePath path;
  ContentAddress ca;
  bool changed; // the tree was rewritten: it must be scanned again
} OutputPlaced;

// Replaces the tree by itself with the rules applied and its own hash part (of `scratch`) replaced by that of `path`. Used are tree, root, store, scratch and the
// rules.
MUST_CHECK bool output_place_rewrite(const OutputPlaceInput *input, const StorePath *path, Err *err);
// Blocks. References that the method cannot carry are refused with Nix's message.
MUST_CHECK bool output_place_run(const OutputPlaceInput *input, OutputPlaced *ret, Err *err);
