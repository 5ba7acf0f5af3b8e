// ast_print.c: a walk over an explicit stack of work: nodes still to print and texts to print after
// them. The forms are those of Expr::show() in C++ Nix's nixexpr.cc; operators that C++ Nix
// desugars while parsing (<, -, <x>, ...) are shown desugared.
#include "eval/ast_print.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"

typedef enum WorkKind {
  WORK_EXPR,
  WORK_CALL_HEAD, // the node as the function of a call: desugared calls open a parenthesis and
                  // leave it open
  WORK_TEXT,
  WORK_NAME,
} WorkKind;

typedef struct Work {
  WorkKind kind;
  AstName name;
  const Expr *expr;
  const char *text; // static
} Work;

typedef struct Printer {
  const AstNameEntry *names;
  Span base_dir, home;
  Buf *out;
  Work *stack; // owned; the next work is last
  size_t count, cap;
} Printer;

// ---- names and strings ----

static void print_string(Buf *out, Span text) {
  buf_put_char(out, '"');
  for (size_t i = 0; i < text.len; i++) {
    char c = text.data[i];
    switch (c) {
    case '"':
    case '\\':
      buf_put_char(out, '\\');
      buf_put_char(out, c);
      break;
    case '\n': buf_put_cstr(out, "\\n"); break;
    case '\r': buf_put_cstr(out, "\\r"); break;
    case '\t': buf_put_cstr(out, "\\t"); break;
    case '$':
      if (i + 1 < text.len && text.data[i + 1] == '{') buf_put_char(out, '\\');
      buf_put_char(out, c);
      break;
    default: buf_put_char(out, c); break;
    }
  }
  buf_put_char(out, '"');
}

static bool is_keyword(Span name) {
  static const char *const keywords[] = {"if", "then", "else", "assert", "with", "let", "in", "rec", "inherit"};
  for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
    if (span_eq_cstr(name, keywords[i])) return true;
  return false;
}

static bool is_identifier(Span name) {
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    bool later = (c >= '0' && c <= '9') || c == '\'' || c == '-';
    if (!alpha && (i == 0 || !later)) return false;
  }
  return name.len > 0;
}

void ast_print_name(Span name, Buf *ret) {
  if (is_keyword(name) || !is_identifier(name)) print_string(ret, name);
  else buf_put_span(ret, name);
}

// ---- work ----

static void push(Printer *pr, Work work) {
  MEM_RESERVE(pr->stack, pr->cap, pr->count + 1);
  pr->stack[pr->count++] = work;
}
static void later_expr(Printer *pr, const Expr *expr) {
  push(pr, (Work){.kind = WORK_EXPR, .expr = expr});
}
static void later_text(Printer *pr, const char *text) {
  push(pr, (Work){.kind = WORK_TEXT, .text = text});
}
static void later_name(Printer *pr, AstName name) {
  push(pr, (Work){.kind = WORK_NAME, .name = name});
}

// Work is noted in reading order and then reversed, from stack height `from`.
static void reverse(Printer *pr, size_t from) {
  for (size_t i = from, j = pr->count; i + 1 < j; i++) {
    Work work = pr->stack[i];
    pr->stack[i] = pr->stack[--j];
    pr->stack[j] = work;
  }
}

static void later_path(Printer *pr, const AstAttrName *path, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (i) later_text(pr, ".");
    if (path[i].expr) {
      later_text(pr, "\"${");
      later_expr(pr, path[i].expr);
      later_text(pr, "}\"");
    } else {
      later_name(pr, path[i].name);
    }
  }
}

// ---- paths ----

static void print_path(Printer *pr, Span text) {
  if (text.data[0] == '~') { // not canonicalised
    buf_put_span(pr->out, pr->home);
    buf_put_span(pr->out, span_from(text, 1));
    return;
  }
  fs_path_canon(pr->base_dir, text, pr->out);
  // The slash before an interpolation is lost in canonicalisation.
  if (text.len > 1 && text.data[text.len - 1] == '/') buf_put_char(pr->out, '/');
}

// ---- sets and lambdas ----

typedef struct SortKey {
  Span text;
  uint32_t index;
} SortKey;

static int compare_sort_keys(const void *a, const void *b) {
  return span_cmp(((const SortKey *)a)->text, ((const SortKey *)b)->text);
}

// `inherit (e) a b;` for every source in order; `keys` are the attributes in order of their names.
static void later_inherit_from(Printer *pr, const ExprAttrs *set, const SortKey *keys) {
  // A counting sort by source: there can be as many sources as names.
  uint32_t from_count = set->inherit_from_count;
  uint32_t *starts = mem_alloc_zero((from_count + 1) * sizeof *starts);
  uint32_t *order = mem_alloc_array(set->attr_count ? set->attr_count : 1, sizeof *order);
  for (uint32_t i = 0; i < set->attr_count; i++)
    if (set->attrs[i].kind == AST_ATTR_INHERIT_FROM) starts[set->attrs[i].from + 1]++;
  for (uint32_t i = 0; i < from_count; i++) starts[i + 1] += starts[i];
  uint32_t *next = mem_alloc_array(from_count + 1, sizeof *next);
  memcpy(next, starts, (from_count + 1) * sizeof *next);
  for (uint32_t i = 0; i < set->attr_count; i++) {
    const AstAttr *attr = &set->attrs[keys[i].index];
    if (attr->kind == AST_ATTR_INHERIT_FROM) order[next[attr->from]++] = keys[i].index;
  }
  for (uint32_t from = 0; from < from_count; from++) {
    if (starts[from] == starts[from + 1]) continue;
    later_text(pr, "inherit (");
    later_expr(pr, set->inherit_from[from]);
    later_text(pr, ")");
    for (uint32_t i = starts[from]; i < starts[from + 1]; i++) {
      later_text(pr, " ");
      later_name(pr, set->attrs[order[i]].name);
    }
    later_text(pr, "; ");
  }
  mem_free(starts);
  mem_free(order);
  mem_free(next);
}

static void later_binds(Printer *pr, const ExprAttrs *set) {
  SortKey *keys = mem_alloc_array(set->attr_count ? set->attr_count : 1, sizeof *keys);
  bool inherits = false;
  for (uint32_t i = 0; i < set->attr_count; i++) {
    keys[i] = (SortKey){pr->names[set->attrs[i].name].text, i};
    inherits |= set->attrs[i].kind == AST_ATTR_INHERIT;
  }
  qsort(keys, set->attr_count, sizeof *keys, compare_sort_keys);
  if (inherits) {
    later_text(pr, "inherit");
    for (uint32_t i = 0; i < set->attr_count; i++) {
      const AstAttr *attr = &set->attrs[keys[i].index];
      if (attr->kind != AST_ATTR_INHERIT) continue;
      later_text(pr, " ");
      later_name(pr, attr->name);
    }
    later_text(pr, "; ");
  }
  if (set->inherit_from_count) later_inherit_from(pr, set, keys);
  for (uint32_t i = 0; i < set->attr_count; i++) {
    const AstAttr *attr = &set->attrs[keys[i].index];
    if (attr->kind != AST_ATTR_PLAIN) continue;
    later_name(pr, attr->name);
    later_text(pr, " = ");
    later_expr(pr, attr->value);
    later_text(pr, "; ");
  }
  for (uint32_t i = 0; i < set->dyn_count; i++) {
    later_text(pr, "\"${");
    later_expr(pr, set->dyns[i].name);
    later_text(pr, "}\" = ");
    later_expr(pr, set->dyns[i].value);
    later_text(pr, "; ");
  }
  mem_free(keys);
}

static void later_formals(Printer *pr, const ExprLambda *lambda) {
  SortKey *keys = mem_alloc_array(lambda->formal_count ? lambda->formal_count : 1, sizeof *keys);
  for (uint32_t i = 0; i < lambda->formal_count; i++) keys[i] = (SortKey){pr->names[lambda->formals[i].name].text, i};
  qsort(keys, lambda->formal_count, sizeof *keys, compare_sort_keys);
  later_text(pr, "{ ");
  for (uint32_t i = 0; i < lambda->formal_count; i++) {
    const AstFormal *formal = &lambda->formals[keys[i].index];
    if (i) later_text(pr, ", ");
    later_name(pr, formal->name);
    if (formal->fallback) {
      later_text(pr, " ? ");
      later_expr(pr, formal->fallback);
    }
  }
  if (lambda->ellipsis) later_text(pr, lambda->formal_count ? ", ..." : "...");
  later_text(pr, " }");
  mem_free(keys);
}

static void later_lambda(Printer *pr, const ExprLambda *lambda) {
  later_text(pr, "(");
  if (lambda->has_formals) {
    later_formals(pr, lambda);
    if (lambda->arg != AST_NO_NAME) later_text(pr, " @ ");
  }
  if (lambda->arg != AST_NO_NAME) later_name(pr, lambda->arg);
  later_text(pr, ": ");
  later_expr(pr, lambda->body);
  later_text(pr, ")");
}

// ---- expressions ----

static void later_infix(Printer *pr, const Expr *expr, const char *op) {
  const ExprPair *pair = (const ExprPair *)expr;
  later_text(pr, "(");
  later_expr(pr, pair->first);
  later_text(pr, op);
  later_expr(pr, pair->second);
  later_text(pr, ")");
}

// "(fn first second", without the closing parenthesis.
static void later_desugared(Printer *pr, const char *fn, const Expr *first, const Expr *second) {
  later_text(pr, fn);
  if (first) later_expr(pr, first);
  later_text(pr, " ");
  later_expr(pr, second);
}

// Expressions that C++ Nix reads as a call: prints all but the closing parenthesis and returns
// true.
static bool later_call_form(Printer *pr, const Expr *expr) {
  const ExprPair *pair = (const ExprPair *)expr;
  switch (expr->kind) {
  case EXPR_SEARCH_PATH:
    buf_put_cstr(pr->out, "(__findFile __nixPath ");
    print_string(pr->out, ((const ExprText *)expr)->text);
    return true;
  case EXPR_NEGATE: later_desugared(pr, "(__sub 0", NULL, ((const ExprUnary *)expr)->operand); return true;
  case EXPR_LT: later_desugared(pr, "(__lessThan ", pair->first, pair->second); return true;
  case EXPR_GT: later_desugared(pr, "(__lessThan ", pair->second, pair->first); return true;
  case EXPR_SUB: later_desugared(pr, "(__sub ", pair->first, pair->second); return true;
  case EXPR_MUL: later_desugared(pr, "(__mul ", pair->first, pair->second); return true;
  case EXPR_DIV: later_desugared(pr, "(__div ", pair->first, pair->second); return true;
  default: return false;
  }
}

static void later_call(Printer *pr, const ExprCall *call) {
  push(pr, (Work){.kind = WORK_CALL_HEAD, .expr = call->fn});
  for (uint32_t i = 0; i < call->arg_count; i++) {
    later_text(pr, " ");
    later_expr(pr, call->args[i]);
  }
  later_text(pr, ")");
}

static void later_select(Printer *pr, const ExprSelect *select) {
  if (select->head.kind == EXPR_HAS_ATTR) {
    later_text(pr, "((");
    later_expr(pr, select->subject);
    later_text(pr, ") ? ");
    later_path(pr, select->path, select->path_count);
    later_text(pr, ")");
    return;
  }
  later_text(pr, "(");
  later_expr(pr, select->subject);
  later_text(pr, ").");
  later_path(pr, select->path, select->path_count);
  if (select->fallback) {
    later_text(pr, " or (");
    later_expr(pr, select->fallback);
    later_text(pr, ")");
  }
}

static void later_interp(Printer *pr, const ExprInterp *interp) {
  later_text(pr, "(");
  for (uint32_t i = 0; i < interp->count; i++) {
    if (i) later_text(pr, " + ");
    later_expr(pr, interp->parts[i]);
  }
  later_text(pr, ")");
}

static void later_if(Printer *pr, const ExprIf *node) {
  later_text(pr, "(if ");
  later_expr(pr, node->cond);
  later_text(pr, " then ");
  later_expr(pr, node->then_);
  later_text(pr, " else ");
  later_expr(pr, node->else_);
  later_text(pr, ")");
}

static void later_pair(Printer *pr, const ExprPair *pair, const char *before, const char *after) {
  later_text(pr, before);
  later_expr(pr, pair->first);
  later_text(pr, "; ");
  later_expr(pr, pair->second);
  later_text(pr, after);
}

static void print_expr(Printer *pr, const Expr *expr) {
  const ExprPair *pair = (const ExprPair *)expr;
  switch ((ExprKind)expr->kind) {
  case EXPR_INT: buf_put_i64(pr->out, ((const ExprInt *)expr)->value); break;
  case EXPR_FLOAT: buf_printf(pr->out, "%g", ((const ExprFloat *)expr)->value); break;
  case EXPR_STRING: print_string(pr->out, ((const ExprText *)expr)->text); break;
  case EXPR_PATH: print_path(pr, ((const ExprText *)expr)->text); break;
  case EXPR_INTERP:
  case EXPR_INTERP_PATH: later_interp(pr, (const ExprInterp *)expr); break;
  case EXPR_VAR: ast_print_name(pr->names[((const ExprVar *)expr)->name].text, pr->out); break;
  case EXPR_SELECT:
  case EXPR_HAS_ATTR: later_select(pr, (const ExprSelect *)expr); break;
  case EXPR_CALL: later_call(pr, (const ExprCall *)expr); break;
  case EXPR_LAMBDA: later_lambda(pr, (const ExprLambda *)expr); break;
  case EXPR_LET: {
    const ExprLet *let = (const ExprLet *)expr;
    later_text(pr, "(let ");
    later_binds(pr, let->binds);
    later_text(pr, "in ");
    later_expr(pr, let->body);
    later_text(pr, ")");
    break;
  }
  case EXPR_ATTRS: {
    const ExprAttrs *set = (const ExprAttrs *)expr;
    later_text(pr, set->recursive ? "rec { " : "{ ");
    later_binds(pr, set);
    later_text(pr, "}");
    break;
  }
  case EXPR_LIST: {
    const ExprList *list = (const ExprList *)expr;
    later_text(pr, "[ ");
    for (uint32_t i = 0; i < list->count; i++) {
      later_text(pr, "(");
      later_expr(pr, list->items[i]);
      later_text(pr, ") ");
    }
    later_text(pr, "]");
    break;
  }
  case EXPR_WITH: later_pair(pr, pair, "(with ", ")"); break;
  case EXPR_ASSERT: later_pair(pr, pair, "assert ", ""); break;
  case EXPR_IF: later_if(pr, (const ExprIf *)expr); break;
  case EXPR_NOT:
    later_text(pr, "(! ");
    later_expr(pr, ((const ExprUnary *)expr)->operand);
    later_text(pr, ")");
    break;
  case EXPR_LEQ:
    later_desugared(pr, "(! (__lessThan ", pair->second, pair->first);
    later_text(pr, "))");
    break;
  case EXPR_GEQ:
    later_desugared(pr, "(! (__lessThan ", pair->first, pair->second);
    later_text(pr, "))");
    break;
  case EXPR_SEARCH_PATH:
  case EXPR_NEGATE:
  case EXPR_LT:
  case EXPR_GT:
  case EXPR_SUB:
  case EXPR_MUL:
  case EXPR_DIV:
    (void)later_call_form(pr, expr);
    later_text(pr, ")");
    break;
  case EXPR_EQ: later_infix(pr, expr, " == "); break;
  case EXPR_NEQ: later_infix(pr, expr, " != "); break;
  case EXPR_AND: later_infix(pr, expr, " && "); break;
  case EXPR_OR: later_infix(pr, expr, " || "); break;
  case EXPR_IMPL: later_infix(pr, expr, " -> "); break;
  case EXPR_UPDATE: later_infix(pr, expr, " // "); break;
  case EXPR_CONCAT_LISTS: later_infix(pr, expr, " ++ "); break;
  case EXPR_ADD: later_infix(pr, expr, " + "); break;
  case EXPR_CUR_POS: buf_put_cstr(pr->out, "__curPos"); break;
  }
}

static void print_call_head(Printer *pr, const Expr *fn) {
  if (later_call_form(pr, fn)) return;
  buf_put_char(pr->out, '(');
  later_expr(pr, fn);
}

static void run(Printer *pr) {
  while (pr->count) {
    Work work = pr->stack[--pr->count];
    size_t from = pr->count;
    switch (work.kind) {
    case WORK_EXPR: print_expr(pr, work.expr); break;
    case WORK_CALL_HEAD: print_call_head(pr, work.expr); break;
    case WORK_TEXT: buf_put_cstr(pr->out, work.text); break;
    case WORK_NAME: ast_print_name(pr->names[work.name].text, pr->out); break;
    }
    reverse(pr, from);
  }
  mem_free(pr->stack);
}

void ast_print(const Ast *ast, Span base_dir, Span home, Buf *ret) {
  Printer pr = {.names = ast->names, .base_dir = base_dir, .home = home, .out = ret};
  later_expr(&pr, ast->root);
  run(&pr);
}

void ast_print_attr_path(const AstNameEntry *names, const AstAttrName *path, uint32_t path_count, Buf *ret) {
  // Relative paths inside dynamic names stay as they are written, more or less: a message needs no
  // base directory.
  Printer pr = {.names = names, .base_dir = SPAN("/"), .home = SPAN("~"), .out = ret};
  later_path(&pr, path, path_count);
  reverse(&pr, 0);
  run(&pr);
}
