// compile.c: see compile.h. The walk over the tree, variables, functions, and what is not in compile_set.c, compile_select.c and
// compile_operator.c; then the whole file.
#include "eval/compile.h"

#include <pthread.h>
#include <stdlib.h>

#include "eval/ast_print.h"
#include "eval/compile_operator.h"
#include "eval/compile_select.h"
#include "eval/compile_set.h"
#include "eval/expr_traits.h"
#include "eval/scope_check.h"

void compile_fail(Compiler *c, uint32_t pos, char *message) {
  if (c->failed) {
    mem_free(message);
    return;
  }
  c->failed = true;
  c->error->pos = pos;
  c->error->message = message;
}

void compile_fail_text(Compiler *c, uint32_t pos, const char *before, Span name, const char *after) {
  Buf buf = BUF_INIT;
  buf_printf(&buf, "%s%.*s%s", before, SPAN_ARG(name), after);
  compile_fail(c, pos, buf_take(&buf));
}

// ---- names ----

static uint32_t compile_name_string(Compiler *c, AstName name) {
  if (!c->name_strings[name]) c->name_strings[name] = compile_string_object(c, compile_name_text(c, name)) + 1;
  return c->name_strings[name] - 1;
}

uint32_t compile_global(Compiler *c, AstName name) {
  if (c->name_globals[name] == COMPILE_UNKNOWN_GLOBAL) {
    c->name_globals[name] = COMPILE_NO_GLOBAL;
    if (c->scope->is_global(c->scope->ctx, compile_name_text(c, name))) {
      MEM_RESERVE(c->globals, c->global_cap, c->global_count + 1);
      c->name_globals[name] = c->global_count;
      c->globals[c->global_count++] = name;
    }
  }
  return c->name_globals[name];
}

// ---- variables ----

Value compile_constant_name(const Compiler *c, AstName name) {
  if (c->bindings[name]) return 0;
  Span text = compile_name_text(c, name);
  if (span_eq(text, SPAN("true"))) return VALUE_TRUE;
  if (span_eq(text, SPAN("false"))) return VALUE_FALSE;
  if (span_eq(text, SPAN("null"))) return VALUE_NULL;
  return 0;
}

void compile_lexical(Compiler *c, const Binding *b, bool lazy, uint32_t pos) {
  static const Op strict_ops[] = {OP_VAR0, OP_VAR1, OP_VAR2}, lazy_ops[] = {OP_LVAR0, OP_LVAR1, OP_LVAR2};
  uint32_t level = c->level - b->level;
  if (!lazy) code_emit_position(&c->emit, pos);
  if (level < 3) {
    compile_op(c, lazy ? lazy_ops[level] : strict_ops[level], b->slot, 1);
    return;
  }
  compile_op(c, lazy ? OP_LVARN : OP_VARN, b->slot, 1);
  compile_emit(c, level);
}

static void compile_with_var(Compiler *c, AstName name, uint32_t pos) {
  uint32_t count = 0;
  for (const WithScope *w = c->with; w; w = w->outer) count++;
  compile_op_at(c, OP_WITHVAR, name, 1, pos);
  compile_emit(c, count);
  compile_emit(c, c->cache_count);
  c->cache_count += count;
  for (const WithScope *w = c->with; w; w = w->outer) compile_emit(c, c->level - w->level);
  for (const WithScope *w = c->with; w; w = w->outer) compile_emit(c, w->pos);
}

static void compile_var(Compiler *c, const ExprVar *var) {
  uint32_t pos = var->head.pos;
  Value constant = compile_constant_name(c, var->name);
  if (constant) {
    compile_op(c, OP_IMM, (uint32_t)(constant >> 3), 1);
    return;
  }
  if (c->bindings[var->name]) {
    compile_lexical(c, c->bindings[var->name], false, pos);
    return;
  }
  uint32_t global = compile_global(c, var->name);
  if (global != COMPILE_NO_GLOBAL) {
    compile_op_at(c, OP_GLOBAL, global, 1, pos);
  } else if (c->with) {
    compile_with_var(c, var->name, pos);
  } else {
    c->is_undefined = !c->failed;
    compile_fail_text(c, pos, "undefined variable '", compile_name_text(c, var->name), "'");
    compile_adjust(c, 1);
  }
}

// ---- blocks of delayed code ----

void compile_begin_block(Compiler *c, Block *block, CodeKind kind, AstName name, uint32_t pos) {
  *block =
      (Block){.is_lambda = kind == CODE_LAMBDA, .lambda_level = c->level, .outer_group = c->group, .outer = c->block};
  code_emit_begin_block(&c->emit, &block->code, kind, name == AST_NO_NAME ? 0 : name + 1, pos);
  c->group = ++c->group_count; // the code runs when all definitions around it are in place
  c->block = block;
}

uint32_t compile_end_block(Compiler *c, const LambdaHead *lambda) {
  c->group = c->block->outer_group;
  c->block = c->block->outer;
  return code_emit_end_block(&c->emit, lambda);
}

uint32_t compile_thunk_block(Compiler *c, const Expr *e, AstName name, uint32_t pos) {
  Block block;
  compile_begin_block(c, &block, CODE_THUNK, name, pos);
  compile_strict(c, e);
  compile_op(c, OP_RET, 0, -1);
  return compile_end_block(c, NULL);
}

static bool compile_is_trivial_set(const ExprAttrs *set) {
  return !set->recursive && !set->dyn_count && !set->inherit_from_count && set->attr_count <= COMPILE_EAGER_ITEMS;
}

bool compile_is_thunk_in_nix(const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_LAMBDA: return true;
  case EXPR_LIST: return ((const ExprList *)e)->count && ((const ExprList *)e)->count <= COMPILE_EAGER_ITEMS;
  case EXPR_ATTRS: return compile_is_trivial_set((const ExprAttrs *)e);
  default: return false;
  }
}

void compile_int(Compiler *c, int64_t i) {
  if (i >= -(1 << 23) && i < 1 << 23) compile_op(c, OP_INT, (uint32_t)i & OP_A_MAX, 1);
  else compile_op(c, OP_OBJ, code_emit_number(&c->emit, T_BIGINT, (uint64_t)i), 1);
}

uint32_t compile_path_literal(Compiler *c, Span text) {
  MEM_RESERVE(c->paths, c->path_cap, c->path_count + 1);
  c->has_home_paths |= text.len && text.data[0] == '~';
  c->paths[c->path_count] = compile_string_object(c, text);
  return c->path_count++;
}

uint32_t compile_float_object(Compiler *c, double d) {
  uint64_t bits;
  memcpy(&bits, &d, 8);
  return code_emit_number(&c->emit, T_FLOAT, bits);
}

// A variable plus or minus a small constant: computed at once where the variable is already a number.
static bool compile_lazy_arithmetic(Compiler *c, const Expr *e) {
  if (e->kind != EXPR_ADD && e->kind != EXPR_SUB) return false;
  const ExprPair *pair = (const ExprPair *)e;
  if (pair->first->kind != EXPR_VAR || pair->second->kind != EXPR_INT) return false;
  if (e->kind == EXPR_SUB && c->sub != AST_NO_NAME && c->bindings[c->sub]) return false;
  const Binding *b = c->bindings[((const ExprVar *)pair->first)->name];
  int64_t k = ((const ExprInt *)pair->second)->value;
  if (!b || k > INT32_MAX || k < 0) return false;
  uint32_t thunk = compile_thunk_block(c, e, AST_NO_NAME, e->pos);
  compile_op(c, OP_LAZY_ADDK, b->slot, 1);
  compile_emit(c, c->level - b->level);
  compile_emit(c, (uint32_t)(e->kind == EXPR_SUB ? -(int32_t)k : (int32_t)k));
  compile_emit(c, thunk);
  return true;
}

// Lazy code of expressions that need no thunk; false for all others.
static bool compile_lazy_simple(Compiler *c, const Expr *e) {
  switch ((ExprKind)e->kind) {
  case EXPR_INT:
  case EXPR_FLOAT:
  case EXPR_STRING:
  case EXPR_PATH:
  case EXPR_LAMBDA: compile_strict(c, e); return true;
  case EXPR_LIST:
    if (((const ExprList *)e)->count <= COMPILE_EAGER_ITEMS) {
      compile_strict(c, e);
      return true;
    }
    break;
  case EXPR_ATTRS:
    if (compile_is_trivial_set((const ExprAttrs *)e)) {
      compile_strict(c, e);
      return true;
    }
    break;
  case EXPR_VAR: {
    AstName name = ((const ExprVar *)e)->name;
    if (compile_constant_name(c, name)) {
      compile_strict(c, e);
      return true;
    }
    if (c->bindings[name]) {
      compile_lexical(c, c->bindings[name], true, e->pos);
      return true;
    }
    uint32_t global = compile_global(c, name);
    if (global != COMPILE_NO_GLOBAL) {
      compile_op(c, OP_LGLOBAL, global, 1);
      return true;
    }
    break;
  }
  case EXPR_ADD:
  case EXPR_SUB: return compile_lazy_arithmetic(c, e);
  case EXPR_SEARCH_PATH:
  case EXPR_INTERP:
  case EXPR_INTERP_PATH:
  case EXPR_SELECT:
  case EXPR_HAS_ATTR:
  case EXPR_CALL:
  case EXPR_LET:
  case EXPR_WITH:
  case EXPR_ASSERT:
  case EXPR_IF:
  case EXPR_NOT:
  case EXPR_NEGATE:
  case EXPR_EQ:
  case EXPR_NEQ:
  case EXPR_LT:
  case EXPR_LEQ:
  case EXPR_GT:
  case EXPR_GEQ:
  case EXPR_AND:
  case EXPR_OR:
  case EXPR_IMPL:
  case EXPR_UPDATE:
  case EXPR_CONCAT_LISTS:
  case EXPR_MUL:
  case EXPR_DIV:
  case EXPR_CUR_POS: break;
  }
  return false;
}

void compile_lazy(Compiler *c, const Expr *e) {
  if (!compile_lazy_simple(c, e)) compile_op(c, OP_THUNK, compile_thunk_block(c, e, AST_NO_NAME, e->pos), 1);
}

// ---- functions ----

static bool compile_uses_self(const ExprLambda *l) {
  return l->arg != AST_NO_NAME;
}

// Formals descriptor; their slots are base, base + 1, ...
static uint32_t compile_formals(Compiler *c, const ExprLambda *l, uint32_t arg_slot, uint32_t base) {
  uint32_t n = l->formal_count;
  c->group = ++c->group_count;
  for (uint32_t i = 0; i < n; i++) compile_bind(c, l->formals[i].name, base + i);
  uint32_t *words = mem_alloc_array((size_t)n + 1, sizeof *words);
  for (uint32_t i = 0; i < n; i++) {
    c->filled = base + i;
    words[i] =
        l->formals[i].fallback ? compile_set_slot(c, l->formals[i].fallback, l->formals[i].name, l->formals[i].pos) : 0;
  }
  uint32_t at = compile_here(c);
  compile_put_word(c, n);
  compile_put_word(c, l->ellipsis ? FORMALS_ELLIPSIS : 0);
  compile_put_word(c, c->formals_cache_count++);
  compile_put_word(c, arg_slot);
  compile_put_word(c, base);
  for (uint32_t i = 0; i < n; i++) {
    compile_put_word(c, l->formals[i].name);
    compile_put_word(c, l->formals[i].fallback ? 1 : 0);
    compile_put_word(c, words[i]);
    compile_put_word(c, l->formals[i].pos);
  }
  mem_free(words);
  return at;
}

// LambdaHead.early of the function with that code. Its arguments are evaluated from left to right by who calls, so one that comes
// after a later one is not among them.
static uint16_t compile_early_args(const Compiler *c, const Block *block, uint32_t arity) {
  uint32_t early = 0;
  for (const uint32_t *ip = c->emit.code + block->code.code_start; ip < c->emit.code + c->emit.code_count;
       ip += code_op_words[*ip & 0xff]) {
    uint32_t a = *ip >> 8;
    switch ((int)(*ip & 0xff)) {
    case OP_VAR0:
      if (a >= arity || (early >> a) > 1) return (uint16_t)early;
      early |= 1u << a;
      break;
    case OP_STR:
    case OP_INT:
    case OP_OBJ:
    case OP_IMM:
    case OP_PATH:
    case OP_LVAR0:
    case OP_LVAR1:
    case OP_LVAR2:
    case OP_LVARN:
    case OP_THUNK:
    case OP_CLOSURE:
    case OP_LIST:
    case OP_ATTRS:
    case OP_UNASKED:
    case OP_LET:
    case OP_SPARK:
    case OP_SPARK_END: break;
    default: return (uint16_t)early;
    }
  }
  return (uint16_t)early;
}

// Chains of one-argument lambdas (the last may take formals) become one of several arguments.
uint32_t compile_lambda(Compiler *c, const ExprLambda *lambda) {
  Block block;
  c->nesting++;
  c->level++;
  compile_begin_block(c, &block, CODE_LAMBDA, lambda->self_name, lambda->head.pos);
  uint32_t arity = 0;
  const ExprLambda *l = lambda;
  for (;;) {
    if (compile_uses_self(l)) compile_bind(c, l->arg, arity);
    arity++;
    if (l->has_formals || l->body->kind != EXPR_LAMBDA || arity == COMPILE_MAX_ARITY) break;
    l = (const ExprLambda *)l->body;
  }
  LambdaHead head = {.arity = (uint16_t)arity, .args = compile_here(c)};
  for (const ExprLambda *p = lambda;; p = (const ExprLambda *)p->body) {
    compile_put_word(c, p->arg == AST_NO_NAME ? 0 : p->arg + 1);
    compile_put_word(c, p->head.pos);
    if (p == l) break;
  }
  block.env_slots = arity;
  if (l->has_formals) {
    block.env_slots += l->formal_count;
    head.formals = compile_formals(c, l, arity - 1, arity);
    OperandStart start = compile_operand_start(c);
    compile_op_at(c, OP_VAR0, arity - 1, 1, l->head.pos);
    compile_operand(c, start, OPERAND_ARGUMENT, l->head.pos);
    compile_op_at(c, OP_FORMALS, head.formals, -1, l->head.pos);
  }
  c->group = ++c->group_count;
  compile_strict(c, l->body);
  compile_op(c, OP_RET, 0, -1);
  if (l->has_formals)
    for (uint32_t i = 0; i < l->formal_count; i++) compile_unbind(c, l->formals[i].name);
  for (const ExprLambda *p = lambda;; p = (const ExprLambda *)p->body) {
    if (compile_uses_self(p)) compile_unbind(c, p->arg);
    if (p == l) break;
  }
  head.env_slots = block.env_slots;
  head.early = compile_early_args(c, &block, arity);
  c->level--;
  c->nesting--;
  return compile_end_block(c, &head);
}

static void compile_call(Compiler *c, const ExprCall *call) {
  compile_strict(c, call->fn);
  size_t distances[COMPILE_MAX_ARITY] = {0}; // places of those of ARG instructions
  for (uint32_t i = 0; i < call->arg_count; i++) {
    const Expr *arg = call->args[i];
    if (call->arg_count > COMPILE_MAX_ARITY) {
      compile_lazy(c, arg);
    } else if (compile_lazy_simple(c, arg)) {
      if (compile_is_thunk_in_nix(arg)) compile_op(c, OP_UNASKED, i | call->arg_count << 8, 0);
    } else {
      compile_op(c, OP_ARG, compile_thunk_block(c, arg, AST_NO_NAME, arg->pos), 1);
      compile_emit(c, i | call->arg_count << 8);
      distances[i] = compile_jump(c);
    }
  }
  for (uint32_t i = 0; i < COMPILE_MAX_ARITY; i++)
    if (distances[i]) compile_land(c, distances[i]);
  compile_op_at(c, OP_CALL, call->arg_count, -(int)call->arg_count, call->head.pos);
}

// ---- other expressions ----

static void compile_list(Compiler *c, const ExprList *list) {
  if (!list->count) {
    compile_op(c, OP_IMM, (uint32_t)(VALUE_EMPTY_LIST >> 3), 1);
    return;
  }
  for (uint32_t i = 0; i < list->count; i++) {
    compile_lazy(c, list->items[i]);
    if (compile_is_thunk_in_nix(list->items[i])) compile_op(c, OP_UNASKED, 0, 0);
  }
  compile_op(c, OP_LIST, list->count, 1 - (int)list->count);
}

static void compile_interp(Compiler *c, const ExprInterp *interp, bool is_path) {
  for (uint32_t i = 0; i < interp->count; i++) {
    const Expr *part = interp->parts[i];
    bool spark = i > 0 && expr_traits_is_heavy(part);
    size_t jump = 0;
    if (spark) {
      compile_op(c, OP_SPARK, 0, 0);
      jump = compile_jump(c);
    }
    compile_strict(c, part);
    bool literal = part->kind == EXPR_STRING || (is_path && i == 0);
    if (!literal) compile_op_at(c, OP_PIECE, is_path ? 1 : 0, 0, interp->part_pos[i]);
    if (spark) {
      compile_op(c, OP_SPARK_END, 0, 0);
      compile_land(c, jump);
    }
  }
  compile_op_at(c, is_path ? OP_INTERP_PATH : OP_INTERP, interp->count, 1 - (int)interp->count, interp->head.pos);
}

// <x> is __findFile __nixPath "x", with whatever these names mean here.
static void compile_search_name(Compiler *c, AstName name, uint32_t known_global, bool lazy, uint32_t pos) {
  if (compile_redefined(c, name)) compile_lexical(c, c->bindings[name], lazy, pos);
  else compile_op_at(c, lazy ? OP_LGLOBAL : OP_GLOBAL, known_global, 1, pos);
}

static void compile_search_path(Compiler *c, const ExprText *e) {
  compile_search_name(c, c->find_file, CODE_GLOBAL_FIND_FILE, false, e->head.pos);
  compile_search_name(c, c->nix_path, CODE_GLOBAL_NIX_PATH, true, e->head.pos);
  compile_op(c, OP_STR, compile_string_object(c, e->text), 1);
  compile_op_at(c, OP_CALL, 2, -2, e->head.pos);
}

static void compile_if(Compiler *c, const ExprIf *e) {
  OperandStart start = compile_operand_start(c);
  compile_strict(c, e->cond);
  compile_op_at(c, OP_JF, 0, -1, e->head.pos);
  size_t to_else = compile_jump(c);
  compile_operand(c, start, OPERAND_CONDITION, e->head.pos);
  compile_strict(c, e->then_);
  compile_op(c, OP_JMP, 0, 0);
  size_t to_end = compile_jump(c);
  compile_adjust(c, -1);
  compile_land(c, to_else);
  compile_strict(c, e->else_);
  compile_land(c, to_end);
}

static void compile_with(Compiler *c, const ExprPair *e) {
  uint32_t outer_group = c->group;
  compile_lazy(c, e->first);
  compile_op(c, OP_WITH, 0, -1);
  WithScope scope = {++c->level, e->head.pos, c->with};
  c->with = &scope;
  compile_strict(c, e->second);
  c->with = scope.outer;
  c->level--;
  c->group = outer_group;
  compile_op(c, OP_LEAVE, 0, 0);
}

// The condition as the error message shows it .
static uint32_t compile_assert_text(Compiler *c, const Expr *cond) {
  if (!c->text_budget) return compile_string_object(c, SPAN("…"));
  Ast part = *c->ast;
  part.root = (Expr *)(uintptr_t)cond;
  Buf text = BUF_INIT;
  ast_print(&part, c->scope->base_dir, c->scope->home_dir, &text);
  compile_spend_text(c, text.len);
  uint32_t at = compile_string_object(c, buf_span(&text));
  buf_done(&text);
  return at;
}

static void compile_assert(Compiler *c, const ExprPair *e) {
  OperandStart start = compile_operand_start(c);
  if (e->first->kind == EXPR_EQ) {
    // When the assertion fails, Nix evaluates the operands again to say where they differ, which is seen where they trace something.
    const ExprPair *eq = (const ExprPair *)e->first;
    compile_op(c, OP_IMM, (uint32_t)(VALUE_FALSE >> 3), 1);
    start = compile_operand_start(c);
    size_t again = c->emit.code_count;
    compile_strict(c, eq->first);
    compile_strict(c, eq->second);
    compile_op(c, OP_DUP2, 0, 2);
    compile_op_at(c, OP_EQ, 0, -1, eq->head.pos);
    compile_operand(c, start, OPERAND_ASSERTION, e->head.pos);
    compile_op_at(c, OP_ASSERT_EQ, compile_assert_text(c, e->first), -4, e->head.pos);
    compile_emit(c, (uint32_t)(c->emit.code_count + 1 - again));
  } else {
    compile_strict(c, e->first);
    compile_operand(c, start, OPERAND_ASSERTION, e->head.pos);
    compile_op_at(c, OP_ASSERT, compile_assert_text(c, e->first), -1, e->head.pos);
  }
  compile_strict(c, e->second);
}

static void compile_expr(Compiler *c, const Expr *e) {
  switch ((ExprKind)e->kind) {
  case EXPR_INT: compile_int(c, ((const ExprInt *)e)->value); return;
  case EXPR_FLOAT: compile_op(c, OP_OBJ, compile_float_object(c, ((const ExprFloat *)e)->value), 1); return;
  case EXPR_STRING: compile_op(c, OP_STR, compile_string_object(c, ((const ExprText *)e)->text), 1); return;
  case EXPR_PATH: compile_op(c, OP_PATH, compile_path_literal(c, ((const ExprText *)e)->text), 1); return;
  case EXPR_SEARCH_PATH: compile_search_path(c, (const ExprText *)e); return;
  case EXPR_INTERP: compile_interp(c, (const ExprInterp *)e, false); return;
  case EXPR_INTERP_PATH: compile_interp(c, (const ExprInterp *)e, true); return;
  case EXPR_VAR: compile_var(c, (const ExprVar *)e); return;
  case EXPR_SELECT: compile_select(c, (const ExprSelect *)e); return;
  case EXPR_HAS_ATTR: compile_select_has(c, (const ExprSelect *)e); return;
  case EXPR_CALL: compile_call(c, (const ExprCall *)e); return;
  case EXPR_LAMBDA: compile_op(c, OP_CLOSURE, compile_lambda(c, (const ExprLambda *)e), 1); return;
  case EXPR_LET: compile_set_let(c, (const ExprLet *)e); return;
  case EXPR_ATTRS: compile_set_attrs(c, (const ExprAttrs *)e); return;
  case EXPR_LIST: compile_list(c, (const ExprList *)e); return;
  case EXPR_WITH: compile_with(c, (const ExprPair *)e); return;
  case EXPR_ASSERT: compile_assert(c, (const ExprPair *)e); return;
  case EXPR_IF: compile_if(c, (const ExprIf *)e); return;
  case EXPR_NOT:
  case EXPR_NEGATE:
  case EXPR_EQ:
  case EXPR_NEQ:
  case EXPR_LT:
  case EXPR_LEQ:
  case EXPR_GT:
  case EXPR_GEQ:
  case EXPR_AND:
  case EXPR_OR:
  case EXPR_IMPL:
  case EXPR_UPDATE:
  case EXPR_CONCAT_LISTS:
  case EXPR_ADD:
  case EXPR_SUB:
  case EXPR_MUL:
  case EXPR_DIV: compile_operator(c, e); return;
  case EXPR_CUR_POS: compile_op_at(c, OP_CUR_POS, 0, 1, e->pos); return;
  }
}

typedef struct DeepPart {
  Compiler *compiler;
  const Expr *expr;
} DeepPart;

static void *compile_deep_part(void *arg) {
  DeepPart *part = arg;
  compile_expr(part->compiler, part->expr);
  return NULL;
}

// Goes on on the large stack of a thread that does nothing else, while this one waits.
static void compile_on_large_stack(Compiler *c, const Expr *e) {
  DeepPart part = {c, e};
  pthread_attr_t attr;
  pthread_t thread;
  bool ok = pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, COMPILE_STACK_BYTES) == 0 &&
            pthread_create(&thread, &attr, compile_deep_part, &part) == 0;
  if (ok) {
    pthread_join(thread, NULL);
  } else {
    compile_fail(c, e->pos, span_dup(SPAN("expression is nested too deeply")));
    compile_adjust(c, 1);
  }
  pthread_attr_destroy(&attr);
}

void compile_strict(Compiler *c, const Expr *e) {
  if (UNLIKELY(c->failed)) {
    compile_adjust(c, 1);
    return;
  }
  c->nesting++;
  if (LIKELY(c->nesting < COMPILE_STACK_DEPTH || (c->on_large_stack && c->nesting <= COMPILE_MAX_DEPTH))) {
    compile_expr(c, e);
  } else if (!c->on_large_stack) {
    c->on_large_stack = true;
    compile_on_large_stack(c, e);
    c->on_large_stack = false;
  } else {
    compile_fail(c, e->pos, span_dup(SPAN("expression is nested too deeply")));
    compile_adjust(c, 1);
  }
  c->nesting--;
}

// ---- the whole file ----

static AstName compile_find_name(const Ast *ast, Span text) {
  for (uint32_t i = 0; i < ast->name_count; i++)
    if (span_eq(ast->names[i].text, text)) return i;
  return AST_NO_NAME;
}

static void compile_init(Compiler *c) {
  const Ast *ast = c->ast;
  c->bindings = mem_alloc_zero((ast->name_count + 1) * sizeof *c->bindings);
  c->name_globals = mem_alloc_array((size_t)ast->name_count + 1, sizeof *c->name_globals);
  c->name_strings = mem_alloc_zero((ast->name_count + 1) * sizeof *c->name_strings);
  for (uint32_t i = 0; i < ast->name_count; i++) c->name_globals[i] = COMPILE_UNKNOWN_GLOBAL;
  struct {
    AstName *where;
    const char *text;
  } known[] = {{&c->less_than, "__lessThan"}, {&c->sub, "__sub"},         {&c->mul, "__mul"}, {&c->div, "__div"},
               {&c->find_file, "__findFile"}, {&c->nix_path, "__nixPath"}};
  for (size_t i = 0; i < ARRAY_LEN(known); i++) *known[i].where = compile_find_name(ast, span_cstr(known[i].text));
}

static void compile_done(Compiler *c) {
  code_emit_done(&c->emit);
  mem_free(c->bindings);
  mem_free(c->name_globals);
  mem_free(c->globals);
  mem_free(c->paths);
  mem_free(c->name_strings);
  arena_done(&c->arena);
}

// The numbers of `order` are unique but for 0, which comes first.
static void compile_order_names(const Ast *ast, CodeName *names) {
  uint32_t last = 0, at = 0;
  for (uint32_t i = 0; i < ast->name_count; i++)
    if (ast->names[i].order > last) last = ast->names[i].order;
  uint32_t *by_order = mem_alloc_zero(((size_t)last + 1) * sizeof *by_order); // -> name + 1
  for (uint32_t i = 0; i < ast->name_count; i++) {
    if (ast->names[i].order) by_order[ast->names[i].order] = i + 1;
    else names[at++].ordered = i;
  }
  for (uint32_t order = 1; order <= last; order++)
    if (by_order[order]) names[at++].ordered = by_order[order] - 1;
  mem_free(by_order);
}

static void compile_tables(Compiler *c, uint32_t root) {
  const Ast *ast = c->ast;
  CodeName *names = mem_alloc_array((size_t)ast->name_count + 1, sizeof *names);
  for (uint32_t i = 0; i < ast->name_count; i++)
    names[i] = (CodeName){compile_name_string(c, i), ast->names[i].hash, 0};
  compile_order_names(ast, names);
  CodeImage header = {
      .magic = CODE_MAGIC,
      .version = CODE_VERSION,
      .root = root,
      .name_count = ast->name_count,
      .path_count = c->path_count,
      .global_count = c->global_count,
      .position_count = (uint32_t)c->emit.position_count,
      .operand_count = (uint32_t)c->emit.operand_count,
      .shape_count = c->shape_count,
      .cache_count = c->cache_count,
      .formals_cache_count = c->formals_cache_count,
      .source_len = (uint32_t)c->source.len,
      .has_home_paths = c->has_home_paths,
  };
  header.name_off = code_emit_table(&c->emit, names, ast->name_count * sizeof *names);
  header.path_off = code_emit_table(&c->emit, c->paths, c->path_count * sizeof *c->paths);
  header.global_off = code_emit_table(&c->emit, c->globals, c->global_count * sizeof *c->globals);
  header.position_off =
      code_emit_table(&c->emit, c->emit.positions, c->emit.position_count * sizeof *c->emit.positions);
  header.operand_off = code_emit_table(&c->emit, c->emit.operands, c->emit.operand_count * sizeof *c->emit.operands);
  code_emit_align(&c->emit);
  header.word_count = compile_here(c);
  memcpy(c->emit.image->data, &header, sizeof header);
  mem_free(names);
}

// There may be others: the one is reported that C++ Nix would meet first.
static void compile_choose_undefined(Compiler *c) {
  const ExprVar *var;
  if (!scope_check_find(c->ast, c->scope, &var)) return;
  mem_free(c->error->message);
  c->failed = false;
  compile_fail_text(c, var->head.pos, "undefined variable '", compile_name_text(c, var->name), "'");
}

bool compile_ast(const Ast *ast, Span source, const CompileScope *scope, Buf *ret, ParserError *ret_error) {
  Compiler c = {.ast = ast, .source = source, .scope = scope, .emit.image = ret, .error = ret_error};
  c.text_budget = COMPILE_TEXT_BYTES + 8 * source.len;
  compile_init(&c);
  buf_put_repeat(ret, 0, sizeof(CodeImage));
  if (scope->scoped_names)
    for (uint32_t i = 0; i < scope->scoped_count; i++) {
      AstName name = compile_find_name(ast, scope->scoped_names[i]);
      if (name != AST_NO_NAME) compile_bind(&c, name, i);
    }
  Block block;
  compile_begin_block(&c, &block, CODE_ROOT, AST_NO_NAME, 0);
  compile_strict(&c, ast->root);
  compile_op(&c, OP_RET, 0, -1);
  uint32_t root = compile_end_block(&c, NULL);
  if (!c.failed) compile_tables(&c, root);
  bool ok = !c.failed;
  if (c.is_undefined) compile_choose_undefined(&c);
  compile_done(&c);
  if (!ok) buf_done(ret);
  return ok;
}
