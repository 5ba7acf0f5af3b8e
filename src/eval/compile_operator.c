// compile_operator.c: see compile_operator.h.
#include "eval/compile_operator.h"

#include "eval/expr_traits.h"

// A strict part that is independent of what was evaluated before it.
static void compile_part(Compiler *c, const Expr *e) {
  if (!expr_traits_is_heavy(e)) {
    compile_strict(c, e);
    return;
  }
  compile_op(c, OP_SPARK, 0, 0);
  size_t jump = compile_jump(c);
  compile_strict(c, e);
  compile_op(c, OP_SPARK_END, 0, 0);
  compile_land(c, jump);
}

static void compile_binary(Compiler *c, const ExprPair *pair, Op op) {
  compile_strict(c, pair->first);
  compile_part(c, pair->second);
  compile_op_at(c, op, 0, -1, pair->head.pos);
}

// Between two operands of which Nix looks at the first one before it evaluates the second one.
static void compile_check_left(Compiler *c, const ExprPair *pair, Op op, uint32_t pos) {
  if (!expr_traits_is_silent(pair->second)) compile_op_at(c, op, 0, 0, pos);
}

// A call of a named function that programs may redefine (__lessThan, ...).
static void compile_named_call(Compiler *c, AstName name, const Expr *const *args, uint32_t count, uint32_t pos) {
  compile_lexical(c, c->bindings[name], false, pos);
  for (uint32_t i = 0; i < count; i++) compile_lazy(c, args[i]);
  compile_op_at(c, OP_CALL, count, -(int)count, pos);
}

static void compile_update(Compiler *c, const ExprPair *pair) {
  OperandStart start = compile_operand_start(c);
  compile_strict(c, pair->first);
  compile_operand(c, start, OPERAND_UPDATE_LEFT, pair->head.pos);
  if (pair->first->kind != EXPR_ATTRS) compile_check_left(c, pair, OP_UPDATE_LEFT, pair->head.pos);
  start = compile_operand_start(c);
  compile_part(c, pair->second);
  compile_operand(c, start, OPERAND_UPDATE_RIGHT, pair->head.pos);
  compile_op_at(c, OP_UPDATE, 0, -1, pair->head.pos);
}

static void compile_add(Compiler *c, const ExprPair *pair) {
  compile_strict(c, pair->first);
  if (!expr_traits_is_addable(pair->first)) compile_check_left(c, pair, OP_ADD_LEFT, pair->first_pos);
  compile_part(c, pair->second);
  OperandStart start = compile_operand_start(c);
  compile_op_at(c, OP_ADD, 0, -1, pair->second_pos);
  compile_operand(c, start, OPERAND_ADD, pair->first_pos);
}

// An operand of what is a call of a builtin in Nix: variables in it are evaluated by that, which knows no place.
static void compile_number_operand(Compiler *c, const Expr *e, bool is_first) {
  const Binding *b = e->kind == EXPR_VAR ? c->bindings[((const ExprVar *)e)->name] : NULL;
  if (b) compile_lexical(c, b, false, AST_NO_POS);
  else if (is_first) compile_strict(c, e);
  else compile_part(c, e);
}

// a < b is __lessThan a b, a > b is __lessThan b a, a <= b and a >= b are the negations of the opposite.
static void compile_comparison(Compiler *c, const ExprPair *pair) {
  bool swap = pair->head.kind == EXPR_GT || pair->head.kind == EXPR_LEQ;
  bool negate = pair->head.kind == EXPR_LEQ || pair->head.kind == EXPR_GEQ;
  const Expr *args[] = {swap ? pair->second : pair->first, swap ? pair->first : pair->second};
  uint32_t pos = pair->head.pos;
  OperandStart whole = compile_operand_start(c);
  if (compile_redefined(c, c->less_than)) {
    compile_named_call(c, c->less_than, args, 2, pos);
  } else {
    OperandStart start = compile_operand_start(c);
    compile_number_operand(c, args[0], true);
    compile_number_operand(c, args[1], false);
    compile_operand(c, start, OPERAND_LESS_THAN, pos);
    compile_op_at(c, OP_LT, 0, -1, pos);
  }
  if (!negate) return;
  compile_op_at(c, OP_NOT, 0, 0, pos);
  compile_operand(c, whole, OPERAND_NOT, pos);
}

static void compile_arithmetic(Compiler *c, const ExprPair *pair, Op op, AstName name, OperandKind kind) {
  if (compile_redefined(c, name)) {
    compile_named_call(c, name, (const Expr *[]){pair->first, pair->second}, 2, pair->head.pos);
    return;
  }
  OperandStart start = compile_operand_start(c);
  compile_number_operand(c, pair->first, true);
  compile_number_operand(c, pair->second, false);
  compile_op_at(c, op, 0, -1, pair->head.pos);
  compile_operand(c, start, kind, pair->head.pos);
}

// `left`: kind of the first operand; that of the second follows it.
static void compile_logic(Compiler *c, const ExprPair *pair, Op op, OperandKind left) {
  OperandStart start = compile_operand_start(c);
  compile_strict(c, pair->first);
  compile_op_at(c, op, 0, -1, pair->head.pos);
  size_t jump = compile_jump(c);
  compile_operand(c, start, left, pair->head.pos);
  start = compile_operand_start(c);
  compile_strict(c, pair->second);
  compile_op_at(c, OP_CHECK_BOOL, 0, 0, pair->head.pos);
  compile_operand(c, start, left + 1, pair->head.pos);
  compile_land(c, jump);
}

static void compile_negate(Compiler *c, const ExprUnary *e) {
  if (e->operand->kind == EXPR_INT && !compile_redefined(c, c->sub)) {
    compile_int(c, -((const ExprInt *)e->operand)->value);
  } else if (compile_redefined(c, c->sub)) {
    ExprInt zero = {{.kind = EXPR_INT, .pos = e->head.pos}, 0};
    compile_named_call(c, c->sub, (const Expr *[]){&zero.head, e->operand}, 2, e->head.pos);
  } else {
    OperandStart start = compile_operand_start(c);
    compile_number_operand(c, e->operand, true);
    compile_op_at(c, OP_NEG, 0, 0, e->head.pos);
    compile_operand(c, start, OPERAND_SUB, e->head.pos);
  }
}

// A chain of them at once: all have the position of what is negated first.
static void compile_not(Compiler *c, const Expr *operand) {
  uint32_t count = 1;
  for (; operand->kind == EXPR_NOT; operand = ((const ExprUnary *)operand)->operand) count++;
  OperandStart start = compile_operand_start(c);
  uint32_t pos = expr_traits_known_pos(operand);
  compile_strict(c, operand);
  for (; count; count--) {
    compile_op_at(c, OP_NOT, 0, 0, pos);
    compile_operand(c, start, OPERAND_NOT, pos);
  }
}

void compile_operator(Compiler *c, const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_NOT: compile_not(c, ((const ExprUnary *)e)->operand); break;
  case EXPR_NEGATE: compile_negate(c, (const ExprUnary *)e); break;
  case EXPR_EQ: compile_binary(c, (const ExprPair *)e, OP_EQ); break;
  case EXPR_NEQ:
    compile_binary(c, (const ExprPair *)e, OP_EQ);
    compile_op(c, OP_NOT, 0, 0);
    break;
  case EXPR_LT:
  case EXPR_LEQ:
  case EXPR_GT:
  case EXPR_GEQ: compile_comparison(c, (const ExprPair *)e); break;
  case EXPR_AND: compile_logic(c, (const ExprPair *)e, OP_AND, OPERAND_AND_LEFT); break;
  case EXPR_OR: compile_logic(c, (const ExprPair *)e, OP_OR, OPERAND_OR_LEFT); break;
  case EXPR_IMPL: compile_logic(c, (const ExprPair *)e, OP_IMPL, OPERAND_IMPL_LEFT); break;
  case EXPR_UPDATE: compile_update(c, (const ExprPair *)e); break;
  case EXPR_CONCAT_LISTS: compile_binary(c, (const ExprPair *)e, OP_CONCAT); break;
  case EXPR_ADD: compile_add(c, (const ExprPair *)e); break;
  case EXPR_SUB: compile_arithmetic(c, (const ExprPair *)e, OP_SUB, c->sub, OPERAND_SUB); break;
  case EXPR_MUL: compile_arithmetic(c, (const ExprPair *)e, OP_MUL, c->mul, OPERAND_MUL); break;
  case EXPR_DIV: compile_arithmetic(c, (const ExprPair *)e, OP_DIV, c->div, OPERAND_DIV); break;
  default: assert(false); // see compile_expr
  }
}
