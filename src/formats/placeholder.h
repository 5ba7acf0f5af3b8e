// placeholder.h: strings that stand for output paths not yet known: "/<nixbase32 of a SHA-256>".
#pragma once

#include "formats/store_path.h"

#define PLACEHOLDER_LEN 53 // '/' and 52 digits

// builtins.placeholder: a derivation's own output; sha256("nix-output:<output>").
void placeholder_own(Span output, Buf *ret);

// An output of another derivation whose path is not known (content-addressed, or made by a derivation that is itself an
// output). The value is the hash; put formats it.
typedef struct Placeholder {
  uint8_t sha256[32];
} Placeholder;

// sha256("nix-upstream-output:<hash part of drv>:<name of drv>[-<output>]"). `drv` must be a derivation.
void placeholder_upstream(const StorePath *drv, Span output, Placeholder *ret);
// Output of the derivation that `drv` stands for: sha256("nix-computed-output:<nixbase32 of fold20(drv)>:<output>").
void placeholder_computed(const Placeholder *drv, Span output, Placeholder *ret);
void placeholder_put(const Placeholder *placeholder, Buf *ret);
