// expr_traits.c: see expr_traits.h.
#include "eval/expr_traits.h"

bool expr_traits_is_silent(const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_INT:
  case EXPR_FLOAT:
  case EXPR_STRING:
  case EXPR_PATH:
  case EXPR_LAMBDA:
  case EXPR_LIST: return true;
  case EXPR_ATTRS: return !((const ExprAttrs *)e)->dyn_count && !((const ExprAttrs *)e)->recursive;
  default: return false;
  }
}

uint32_t expr_traits_known_pos(const Expr *e) {
  for (;;) {
    switch ((int)e->kind) {
    case EXPR_INT:
    case EXPR_FLOAT:
    case EXPR_STRING:
    case EXPR_PATH:
    case EXPR_LET:
    case EXPR_EQ:
    case EXPR_NEQ: return AST_NO_POS;
    case EXPR_NOT: e = ((const ExprUnary *)e)->operand; break;
    case EXPR_HAS_ATTR: e = ((const ExprSelect *)e)->subject; break;
    case EXPR_LIST:
      if (!((const ExprList *)e)->count) return AST_NO_POS;
      e = ((const ExprList *)e)->items[0];
      break;
    default: return e->pos;
    }
  }
}

bool expr_traits_is_heavy(const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_INT:
  case EXPR_FLOAT:
  case EXPR_STRING:
  case EXPR_PATH:
  case EXPR_VAR:
  case EXPR_LAMBDA:
  case EXPR_LIST:
  case EXPR_ATTRS: return false;
  default: return true;
  }
}

bool expr_traits_is_addable(const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_INT:
  case EXPR_FLOAT:
  case EXPR_STRING:
  case EXPR_PATH:
  case EXPR_INTERP:
  case EXPR_INTERP_PATH:
  case EXPR_ADD:
  case EXPR_SUB:
  case EXPR_MUL:
  case EXPR_DIV: return true;
  default: return false;
  }
}
