// ast.c: the end of a tree; parser.c makes it.
#include "eval/ast.h"

#include "base/mem.h"

void ast_done(Ast *ast) {
  arena_done(&ast->arena);
  mem_free(ast->names);
  mem_free(ast->docs);
  mem_free(ast->cursed_ors);
  *ast = (Ast){0};
}
