// compile_set.h: compiling definitions: sets, let, and the slots of sets and envs (code.h).
#pragma once

#include "eval/compile_state.h"

// The slot word of a value: the value itself where it is a constant, a function or a variable, else a thunk of its own. `name`, `pos`: of
// its definition, for the block of the thunk; AST_NO_NAME: it has none.
uint32_t compile_set_slot(Compiler *c, const Expr *e, AstName name, uint32_t pos);
void compile_set_attrs(Compiler *c, const ExprAttrs *set); // { } and rec { }
// Definitions live in the env of the function around them where that is the current one, else in an env of their own.
void compile_set_let(Compiler *c, const ExprLet *let);
