// derivation_format.h: writes the ATerm text of a derivation. Byte-identical with Nix (the text is hashed).
#pragma once

#include "formats/derivation.h"

// An input in the form in which the hash modulo sees it: the hexadecimal modulo hash in the place of the path.
typedef struct DerivationFormatInput {
  char hex[64];
  const Span *outputs; // sorted, unique
  size_t output_count;
} DerivationFormatInput;

typedef struct DerivationFormatOptions {
  bool mask_outputs;                   // empty output paths, and empty values of variables named like an output
  const DerivationFormatInput *inputs; // written instead of drv->input_drvs when not NULL; sorted by hex
  size_t input_count;
} DerivationFormatOptions;

// Paths, output names and the platform are written as they are, as Nix does: with '"' or '\\' in a platform the text is not a
// derivation, and derivation_parse refuses it.
// Appends. `options` NULL: the plain text of the .drv file. Allocates nothing but the buffer's growth.
void derivation_format(const Derivation *drv, const DerivationFormatOptions *options, Buf *ret);

// The pieces, for derivation_modulo.c, which puts them together in three ways:
// "Derive([outputs],[inputs]," and ",platform,builder,[args],[env])" with what is between.
void derivation_format_outputs(const Derivation *drv, bool mask_outputs, Buf *ret); // from "Derive(" to "],["
void derivation_format_inputs(const Derivation *drv, Buf *ret);                     // elements, no brackets
void derivation_format_modulo_inputs(const DerivationFormatInput *inputs, size_t count, Buf *ret);
// From "]," after the inputs to the end. With mask_outputs, variables named like an output get an empty value. Where such a value
// begins goes to ret_slots[i] for drv->outputs[i] (SIZE_MAX: no such variable) unless ret_slots is NULL. Slots ascend.
void derivation_format_rest(const Derivation *drv, bool mask_outputs, size_t *ret_slots, Buf *ret);
// One string: '"', '\\', LF, CR and TAB are escaped. With and without the quotes.
void derivation_format_string(Span s, Buf *ret);
void derivation_format_escaped(Span s, Buf *ret);
