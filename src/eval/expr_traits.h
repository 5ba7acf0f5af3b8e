// expr_traits.h: what the compiler can tell of an expression from its form.
#pragma once

#include "eval/ast.h"

// Nothing can be seen of its evaluation: it never fails, and calls nobody.
bool expr_traits_is_silent(const Expr *e);
// May its evaluation take long enough that another task should do it while this one waits? Variables need no help: their thunks are found in
// the env.
bool expr_traits_is_heavy(const Expr *e);
// Is sure to be a string, a number or a path.
bool expr_traits_is_addable(const Expr *e);
// The position that Nix knows of it, or AST_NO_POS.
uint32_t expr_traits_known_pos(const Expr *e);
