// drv_json.h: a derivation out of its JSON form, as `nix derivation add` reads it (and derivation_json_write writes it).
#pragma once

#include "base/arena.h"
#include "formats/derivation.h"

// Text of *ret is in `arena` or points into `text`. Everything is sorted. Whether output paths are right is left to derivation_modulo_check. Messages are those of
// Nix 2.26.
MUST_CHECK bool drv_json_read(Span text, Span store_dir, Arena *arena, Derivation *ret, Err *err);
