// ast_print.h: a syntax tree as `nix-instantiate --parse` of C++ Nix 2.26 prints it.
#pragma once

#include "base/buf.h"
#include "eval/ast.h"

// Appends the root expression, without a newline. `base_dir` (absolute) resolves relative paths, `home` those with "~/".
// No C recursion: the depth of the tree does not matter.
void ast_print(const Ast *ast, Span base_dir, Span home, Buf *ret);
