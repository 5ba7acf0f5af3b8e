// compile_operator.h: compiling operators. Nix defines some as calls of functions that programs may redefine (__lessThan, __sub, ...), which
// is respected.
#pragma once

#include "eval/compile_state.h"

// `e` is one of EXPR_NOT to EXPR_DIV.
void compile_operator(Compiler *c, const Expr *e);
