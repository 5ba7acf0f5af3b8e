// compile_select.h: compiling attribute paths: a.b.${c}, a.b or d, and a ? b.
#pragma once

#include "eval/compile_state.h"

void compile_select(Compiler *c, const ExprSelect *select);
void compile_select_has(Compiler *c, const ExprSelect *has); // has->fallback is not looked at
