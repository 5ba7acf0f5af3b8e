// derivation_builtin.h: `derivation` and `derivationStrict`, and `outputOf`.
#pragma once

#include "eval/builtin.h"

enum { DERIVATION_BUILTIN_COUNT = 3 };
extern const Builtin derivation_builtin_rows[DERIVATION_BUILTIN_COUNT];
