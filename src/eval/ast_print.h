// ast_print.h: a syntax tree as `nix-instantiate --parse` of C++ Nix 2.26 prints it.
#pragma once

#include "base/buf.h"
#include "eval/ast.h"

// Appends the root expression, without a newline. `base_dir` (absolute) resolves relative paths,
// `home` those with "~/". No C recursion: the depth of the tree does not matter.
void ast_print(const Ast *ast, Span base_dir, Span home, Buf *ret);
// A path of static and dynamic names, as messages show it: a.b."${c}". `names` is Ast.names.
void ast_print_attr_path(const AstNameEntry *names, const AstAttrName *path, uint32_t path_count, Buf *ret);
// A name as an attribute name: quoted if it is no identifier or a keyword.
void ast_print_name(Span name, Buf *ret);
