// derivation_text.h: what C++ Nix defines in its own language, and therefore so do we: the functions behind `derivation` and behind `import`
// of a .drv file. Programs see that they are functions of the language: in functionArgs, in what is lazy, and in the positions of
// traces, which are those of C++ Nix 2.26 (`<nix/derivation-internal.nix>:50:17`): what can fail stands at the same place there and here. The
// text is ours, so excerpts of it in traces differ.
#pragma once

#include "base/span.h"

// drvAttrs@{ outputs ? [ "out" ], ... }: the set of the first output, with `all`, `drvAttrs`, and a set for each output.
extern const Span derivation_text_derivation;
// attrs@{ drvPath, outputs, name, ... }: the same from what a .drv file says.
extern const Span derivation_text_imported;
