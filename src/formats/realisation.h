// realisation.h: what a binary cache says about an output of a content-addressed derivation: which path it became.
//
//   realisations/<id>.doi = {"dependentRealisations": {<id>: <base name>, ...}, "id": <id>, "outPath": <base name>, "signatures": [<signature>, ...]}
//   id = "sha256:" <hash modulo of the derivation, base 16> "!" <output name>
//
// What is signed is the same object without its signatures, in nlohmann's compact form. Source: Nix 2.26, realisation.cc.
//
// Test: test/formats/realisation_test.c.
#pragma once

#include "base/arena.h"
#include "formats/signature.h"

#define REALISATION_SIZE_MAX ((size_t)1 << 20) // of a file that is parsed

typedef struct RealisationDep {
  Span id, path; // base name
} RealisationDep;

typedef struct Realisation {
  Span id;
  StorePath path;
  RealisationDep *deps; // sorted by id
  size_t dep_count;
  Signature *sigs;
  size_t sig_count;
} Realisation;

void realisation_format_id(const uint8_t drv_sha256[32], Span output, Buf *ret);
// The parts of an id; `output` points into it. False when it is none.
bool realisation_parse_id(Span id, uint8_t ret_drv_sha256[32], Span *ret_output);
// Text and arrays of the result are in `arena`. Unknown fields are skipped.
MUST_CHECK bool realisation_parse(Span text, Arena *arena, Realisation *ret, Err *err);
// The file, as Nix writes it.
void realisation_format(const Realisation *realisation, Buf *ret);
void realisation_fingerprint(const Realisation *realisation, Buf *ret);
bool realisation_is_signed(const Realisation *realisation, const SignaturePublicKey *keys, size_t key_count);
