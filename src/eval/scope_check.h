// scope_check.h: which of several undefined variables of a file is reported. The compiler stops at the first one that it meets; C++ Nix
// walks through the attributes of a set in the order in which their names were interned, so it may meet another one first.
#pragma once

#include "eval/compile.h"

// The first undefined variable in the order of C++ Nix (Expr::bindVars). False: none was found, or the tree is nested too deeply to look.
bool scope_check_find(const Ast *ast, const CompileScope *scope, const ExprVar **ret);
