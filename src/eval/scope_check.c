// scope_check.c: see scope_check.h. Only files with an error are looked at, so nothing here is made to be fast.
#include "eval/scope_check.h"

#include <stdlib.h>

#include "base/mem.h"

#define SCOPE_CHECK_MAX_DEPTH 1500 // as deep as any C stack holds

typedef struct ScopeCheck {
  const Ast *ast;
  const CompileScope *scope;
  uint32_t *bound; // by name: definitions around the current expression
  uint32_t withs;
  uint32_t depth;
  const ExprVar *found;
  bool too_deep;
} ScopeCheck;

static void check(ScopeCheck *s, const Expr *e);

static bool is_visible(const ScopeCheck *s, AstName name) {
  return s->bound[name] || s->withs || s->scope->is_global(s->scope->ctx, s->ast->names[name].text);
}

// ---- in the order of names ----

typedef struct Ordered {
  uint64_t rank;
  uint32_t index;
} Ordered;

// Names that earlier files have named come first, then those of this file.
static uint64_t name_rank(const ScopeCheck *s, AstName name) {
  const AstNameEntry *entry = &s->ast->names[name];
  uint32_t earlier = s->scope->name_order ? s->scope->name_order(s->scope->ctx, entry->text) : 0;
  return earlier ? earlier : UINT64_C(1) << 32 | entry->order;
}

static int compare_ordered(const void *a, const void *b) {
  const Ordered *x = a, *y = b;
  return (x->rank > y->rank) - (x->rank < y->rank);
}

static void sort_ordered(Ordered *items, uint32_t count) {
  if (count) qsort(items, count, sizeof *items, compare_ordered);
}

static void check_attr(ScopeCheck *s, const AstAttr *attr, bool inside) {
  if (attr->kind == AST_ATTR_INHERIT_FROM) return;
  bool outside = inside && attr->kind == AST_ATTR_INHERIT; // of the scope around the set
  if (outside) s->bound[attr->name]--;
  check(s, attr->value);
  if (outside) s->bound[attr->name]++;
}

static void check_attrs(ScopeCheck *s, const ExprAttrs *set, bool inside) {
  for (uint32_t i = 0; i < set->inherit_from_count; i++) check(s, set->inherit_from[i]);
  Ordered *ordered = mem_alloc_array((size_t)set->attr_count + 1, sizeof *ordered);
  for (uint32_t i = 0; i < set->attr_count; i++) ordered[i] = (Ordered){name_rank(s, set->attrs[i].name), i};
  sort_ordered(ordered, set->attr_count);
  for (uint32_t i = 0; i < set->attr_count; i++) check_attr(s, &set->attrs[ordered[i].index], inside);
  mem_free(ordered);
  for (uint32_t i = 0; i < set->dyn_count; i++) {
    check(s, set->dyns[i].name);
    check(s, set->dyns[i].value);
  }
}

static void bind_attrs(ScopeCheck *s, const ExprAttrs *set, uint32_t by) {
  for (uint32_t i = 0; i < set->attr_count; i++) s->bound[set->attrs[i].name] += by;
}

static void check_set(ScopeCheck *s, const ExprAttrs *set) {
  if (set->recursive) bind_attrs(s, set, 1);
  check_attrs(s, set, set->recursive);
  if (set->recursive) bind_attrs(s, set, UINT32_MAX);
}

static void check_let(ScopeCheck *s, const ExprLet *let) {
  bind_attrs(s, let->binds, 1);
  check_attrs(s, let->binds, true);
  check(s, let->body);
  bind_attrs(s, let->binds, UINT32_MAX);
}

static void check_lambda(ScopeCheck *s, const ExprLambda *lambda) {
  if (lambda->arg != AST_NO_NAME) s->bound[lambda->arg]++;
  Ordered *ordered = mem_alloc_array((size_t)lambda->formal_count + 1, sizeof *ordered);
  for (uint32_t i = 0; i < lambda->formal_count; i++) {
    ordered[i] = (Ordered){name_rank(s, lambda->formals[i].name), i};
    s->bound[lambda->formals[i].name]++;
  }
  sort_ordered(ordered, lambda->formal_count);
  for (uint32_t i = 0; i < lambda->formal_count; i++) check(s, lambda->formals[ordered[i].index].fallback);
  mem_free(ordered);
  check(s, lambda->body);
  for (uint32_t i = 0; i < lambda->formal_count; i++) s->bound[lambda->formals[i].name]--;
  if (lambda->arg != AST_NO_NAME) s->bound[lambda->arg]--;
}

// ---- in the order of the text ----

static void check_all(ScopeCheck *s, Expr *const *items, uint32_t count) {
  for (uint32_t i = 0; i < count && !s->found; i++) check(s, items[i]);
}

static void check_select(ScopeCheck *s, const ExprSelect *select) {
  check(s, select->subject);
  check(s, select->fallback);
  for (uint32_t i = 0; i < select->path_count; i++) check(s, select->path[i].expr);
}

static void check_pair(ScopeCheck *s, const ExprPair *pair) {
  bool swap = pair->head.kind == EXPR_GT || pair->head.kind == EXPR_LEQ; // b < a
  check(s, swap ? pair->second : pair->first);
  check(s, swap ? pair->first : pair->second);
}

static void check_node(ScopeCheck *s, const Expr *e) {
  switch ((ExprKind)e->kind) {
  case EXPR_INT:
  case EXPR_FLOAT:
  case EXPR_STRING:
  case EXPR_PATH:
  case EXPR_SEARCH_PATH:
  case EXPR_CUR_POS: return;
  case EXPR_VAR:
    if (!is_visible(s, ((const ExprVar *)e)->name)) s->found = (const ExprVar *)e;
    return;
  case EXPR_INTERP:
  case EXPR_INTERP_PATH: check_all(s, ((const ExprInterp *)e)->parts, ((const ExprInterp *)e)->count); return;
  case EXPR_SELECT:
  case EXPR_HAS_ATTR: check_select(s, (const ExprSelect *)e); return;
  case EXPR_CALL:
    check(s, ((const ExprCall *)e)->fn);
    check_all(s, ((const ExprCall *)e)->args, ((const ExprCall *)e)->arg_count);
    return;
  case EXPR_LAMBDA: check_lambda(s, (const ExprLambda *)e); return;
  case EXPR_LET: check_let(s, (const ExprLet *)e); return;
  case EXPR_ATTRS: check_set(s, (const ExprAttrs *)e); return;
  case EXPR_LIST: check_all(s, ((const ExprList *)e)->items, ((const ExprList *)e)->count); return;
  case EXPR_WITH:
    check(s, ((const ExprPair *)e)->first);
    s->withs++;
    check(s, ((const ExprPair *)e)->second);
    s->withs--;
    return;
  case EXPR_IF:
    check(s, ((const ExprIf *)e)->cond);
    check(s, ((const ExprIf *)e)->then_);
    check(s, ((const ExprIf *)e)->else_);
    return;
  case EXPR_NOT:
  case EXPR_NEGATE: check(s, ((const ExprUnary *)e)->operand); return;
  case EXPR_ASSERT:
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
  case EXPR_DIV: check_pair(s, (const ExprPair *)e); return;
  }
}

// `e` may be NULL.
static void check(ScopeCheck *s, const Expr *e) {
  if (!e || s->found || s->too_deep) return;
  if (s->depth == SCOPE_CHECK_MAX_DEPTH) {
    s->too_deep = true;
    return;
  }
  s->depth++;
  check_node(s, e);
  s->depth--;
}

bool scope_check_find(const Ast *ast, const CompileScope *scope, const ExprVar **ret) {
  ScopeCheck s = {.ast = ast, .scope = scope, .bound = mem_alloc_zero((ast->name_count + 1) * sizeof *s.bound)};
  for (uint32_t i = 0; scope->scoped_names && i < scope->scoped_count; i++)
    for (AstName name = 0; name < ast->name_count; name++)
      if (span_eq(ast->names[name].text, scope->scoped_names[i])) s.bound[name]++;
  check(&s, ast->root);
  mem_free(s.bound);
  *ret = s.found;
  return s.found && !s.too_deep;
}
