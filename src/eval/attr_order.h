// attr_order.h: the attributes of a literal set in the order of their names, as shapes keep them.
#pragma once

#include "eval/ast.h"

// *ret: as many numbers as the set has attributes, of the attributes in bytewise order of their names.
void attr_order_sort(const Ast *ast, const ExprAttrs *set, uint32_t *ret);
