// realisation_closure.h: what is known about outputs of content-addressed derivations and about all that they were made from, as values that a binary
// cache can be told (formats/realisation.h). Which realisations one depends on is not kept: it follows from the derivation and the references.
//
// Nix 2.26: drvOutputReferences and Realisation::closure. Test: test/cli/content_addressed_test.sh.
#pragma once

#include "formats/realisation.h"
#include "realise/drv_hashes.h"

typedef struct RealisationClosure RealisationClosure;

RealisationClosure *realisation_closure_new(Store *store);
void realisation_closure_free(RealisationClosure *closure);
// Adds an output, behind what it depends on. Outputs whose paths are known from their derivations have no realisation, and neither has what was not built:
// nothing is added then.
MUST_CHECK bool realisation_closure_add(RealisationClosure *closure, const StorePath *drv_path, Span output, Err *err);
// In the order in which a reader may be told. Not signed. Borrowed.
size_t realisation_closure_count(const RealisationClosure *closure);
const Realisation *realisation_closure_at(const RealisationClosure *closure, size_t i);
