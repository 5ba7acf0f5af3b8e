// parser.c: a state machine over an explicit stack, so that the nesting of the source costs heap
// and no C stack.
//
// Every function step_*() looks at the current token, does one piece of work and says which step
// comes next. What is open (a bracket, a pending operator, a half-read string, ...) is a Frame; the
// expression that was read last is `value`, and the first token of it `start`. Operators are
// reduced by precedence as bison does it: the newest pending operator against the one that follows.
// An expression goes through these levels, named as in C++ Nix's grammar:
//
//   STEP_EXPR      expr: lambda, assert, with, let, if, or
//   STEP_OPERAND   expr_op: prefix operators, or
//   STEP_SIMPLE    expr_simple: names, literals, brackets
//   STEP_SUFFIX    expr_select: `.path`, `or`
//   STEP_SELECTED  who wanted an expr_select? a list, a call, `or`, or a new call begins
//   STEP_OPERATOR  reduce pending operators, push a new one
//   STEP_DONE      the expr is complete: back to what encloses it
//
// Syntax errors are only detected here; syntax_error.c finds out what bison would have said.
#include "eval/parser.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "eval/attr_merge.h"
#include "eval/indent.h"
#include "eval/lexer.h"
#include "eval/syntax_error.h"

typedef enum FrameKind {
  FRAME_ROOT,
  // Between brackets, or waiting for one more part.
  FRAME_PAREN,
  FRAME_LIST,    // items on `exprs` from base
  FRAME_BINDS,   // set = expr; flavour
  FRAME_BIND,    // the value of the path on `path` from base
  FRAME_FORMALS, // formals on `formals` from base; name: of x@{}
  FRAME_LAMBDA,  // body of expr
  FRAME_IF,      // condition of expr
  FRAME_THEN,
  FRAME_ELSE,
  FRAME_WITH, // first part of expr, a pair; also assert
  FRAME_WITH_BODY,
  FRAME_LET,    // body of expr
  FRAME_STRING, // pieces on `pieces` from base
  FRAME_IND,    // same
  FRAME_PATH,   // same
  FRAME_INHERIT_FROM,
  // Attribute paths: names on `path` from base. The string and `${` frames of a name lie above
  // them.
  FRAME_SELECT_PATH, // of expr
  FRAME_HAS_PATH,    // of expr
  FRAME_BIND_PATH,
  FRAME_INHERIT,     // names; flavour: from an expression
  FRAME_DYN_NAME,    // ${expr}
  FRAME_STRING_NAME, // "..."
  // Operands
  FRAME_APP,      // calls expr with the arguments on `exprs` from base
  FRAME_OR,       // fallback of expr, a select
  FRAME_OPERATOR, // expr op _
  FRAME_PREFIX,   // ! or -
} FrameKind;

typedef enum BindsFlavour { BINDS_SET, BINDS_REC, BINDS_LET, BINDS_LEGACY_LET } BindsFlavour;

typedef struct Frame {
  uint8_t kind;    // FrameKind
  uint8_t prec;    // of an operator
  uint8_t op;      // ExprKind of an operator
  uint8_t flavour; // see FrameKind
  uint32_t pos;    // of the operator, keyword or opening bracket
  uint32_t start;  // first token of the expression under construction
  uint32_t base;   // see FrameKind
  Expr *expr;
} Frame;

typedef struct Parser {
  Lexer lexer;
  NameTable names;
  Ast *ast;
  Arena *arena; // of the tree
  AttrBuilder attrs;
  ParserError *error;
  Span source;
  const ParserOptions *options;

  Expr *value;
  uint32_t start;
  uint32_t cursed_end; // `value` is "x or", bare, and ends here; else 0

  // Stacks; all owned.
  Frame *frames;
  size_t frame_count, frame_cap;
  Expr **exprs;
  size_t expr_count, expr_cap;
  IndentPiece *pieces;
  size_t piece_count, piece_cap;
  AstAttrName *path;
  size_t path_count, path_cap;
  AstFormal *formals;
  size_t formal_count, formal_cap;

  // Documentation comments: by the token that follows (lambda_pos), and the lambdas that have one. Owned.
  AstDoc *token_docs, *docs;
  uint32_t token_doc_count, token_doc_cap, doc_count, doc_cap;

  AstCursedOr *cursed_ors; // owned
  uint32_t cursed_or_count, cursed_or_cap;
} Parser;

typedef enum Step {
  STEP_EXPR,
  STEP_OPERAND,
  STEP_SIMPLE,
  STEP_SUFFIX,
  STEP_SELECTED,
  STEP_OPERATOR,
  STEP_DONE,
  STEP_BINDS,
  STEP_NAME,      // one name of an attribute path or of `inherit`
  STEP_NAME_DONE, // it is on `path`
  STEP_FORMAL,    // a formal, `...` or `}`
  STEP_STRING,    // the next piece of a "..." string
  STEP_IND,       // of a ''...'' string
  STEP_PATH,      // of a path
  STEP_END,
  STEP_FAIL,
} Step;

// ---- small helpers ----

static Step fail(Parser *p, uint32_t pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
static Step fail(Parser *p, uint32_t pos, const char *fmt, ...) {
  Buf message = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&message, fmt, args);
  va_end(args);
  *p->error = (ParserError){pos, AST_NO_POS, buf_take(&message)};
  return STEP_FAIL;
}

// The current token is an error of its own, or has no place here.
static Step fail_token(Parser *p) {
  if (p->lexer.kind == TOKEN_ERROR) {
    *p->error = (ParserError){p->lexer.pos, AST_NO_POS, lexer_error_message(&p->lexer)};
    return STEP_FAIL;
  }
  bool found = syntax_error_find(p->source, p->options, p->error);
  assert(found);
  return found ? STEP_FAIL : fail(p, p->lexer.pos, "syntax error");
}

#define PARSER_TREE_BYTES 2 // of the tree for each byte of the source, at least

#define PUSH(p, stack, count, cap, element)                                                   \
  do {                                                                                        \
    if (UNLIKELY((p)->count == (p)->cap)) MEM_RESERVE((p)->stack, (p)->cap, (p)->count + 32); \
    (p)->stack[(p)->count++] = (element);                                                     \
  } while (0)

static inline void push_frame(Parser *p, Frame frame) {
  PUSH(p, frames, frame_count, frame_cap, frame);
}
static inline void push_expr(Parser *p, Expr *expr) {
  PUSH(p, exprs, expr_count, expr_cap, expr);
}
static inline void push_piece(Parser *p, IndentPiece piece) {
  PUSH(p, pieces, piece_count, piece_cap, piece);
}
static inline void push_name(Parser *p, AstAttrName name) {
  PUSH(p, path, path_count, path_cap, name);
}
static inline Frame *top_frame(Parser *p) {
  return &p->frames[p->frame_count - 1];
}

// A frame for something that nests: bounded, because everybody who walks the tree must be able to.
static inline Step nest(Parser *p, Frame frame, Step next) {
  if (UNLIKELY(p->frame_count >= PARSER_MAX_DEPTH))
    return fail(p, p->lexer.pos, "the expression is nested more than %d levels deep", PARSER_MAX_DEPTH);
  push_frame(p, frame);
  return next;
}

static void note_doc(Parser *p) {
  AstDoc doc = {p->lexer.pos, p->lexer.doc_begin, p->lexer.doc_end};
  PUSH(p, token_docs, token_doc_count, token_doc_cap, doc);
}

static inline void advance(Parser *p) {
  lexer_next(&p->lexer);
  if (UNLIKELY(p->lexer.doc_end)) note_doc(p);
}

// The comment before the token at `pos` documents the lambda `value` and those that it returns, as far as they have no comment of
// their own (RFC 145: the innermost wins).
static void document_lambda(Parser *p, uint32_t pos, Expr *value) {
  uint32_t low = 0, high = p->token_doc_count;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (p->token_docs[middle].lambda_pos < pos) low = middle + 1;
    else high = middle;
  }
  if (low == p->token_doc_count || p->token_docs[low].lambda_pos != pos) return;
  AstDoc doc = p->token_docs[low];
  for (; value && value->kind == EXPR_LAMBDA && !((ExprLambda *)value)->has_doc; value = ((ExprLambda *)value)->body) {
    ((ExprLambda *)value)->has_doc = true;
    doc.lambda_pos = value->pos;
    PUSH(p, docs, doc_count, doc_cap, doc);
  }
}

static int compare_docs(const void *a, const void *b) {
  uint32_t x = ((const AstDoc *)a)->lambda_pos, y = ((const AstDoc *)b)->lambda_pos;
  return (x > y) - (x < y);
}

#define NEW(p, Type, kind_, pos_)                         \
  ({                                                      \
    Type *node_ = ARENA_NEW((p)->arena, Type);            \
    node_->head = (Expr){(uint8_t)(kind_), 0, 0, (pos_)}; \
    node_;                                                \
  })

static Expr *new_var(Parser *p, uint32_t pos, AstName name) {
  ExprVar *var = NEW(p, ExprVar, EXPR_VAR, pos);
  var->name = name;
  return &var->head;
}

static Expr *new_text(Parser *p, ExprKind kind, uint32_t pos, Span text) {
  ExprText *node = NEW(p, ExprText, kind, pos);
  node->text = text;
  return &node->head;
}

static AstName intern_text(Parser *p, Span text) {
  AstName name = name_table_intern(&p->names, text, name_table_hash(text));
  name_table_mention(&p->names, name);
  return name;
}

static Expr **copy_exprs(Parser *p, uint32_t base, uint32_t *ret_count) {
  size_t count = p->expr_count - base;
  Expr **copy = ARENA_ARRAY(p->arena, Expr *, count);
  if (count) memcpy(copy, p->exprs + base, count * sizeof *copy);
  p->expr_count = base;
  *ret_count = (uint32_t)count;
  return copy;
}

static Step next_step(Parser *p, Step step) {
  advance(p);
  return step;
}

// ---- calls ----

static uint32_t round_up_pow2(uint32_t n) {
  return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

// Operators that are calls of builtins in C++ Nix: what is applied to more arguments is that call.
static bool is_call_in_nix(const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_NEGATE:
  case EXPR_SUB:
  case EXPR_MUL:
  case EXPR_DIV:
  case EXPR_LT:
  case EXPR_GT:
  case EXPR_SEARCH_PATH: return true;
  default: return false;
  }
}

// fn applied to the arguments on `exprs` from `base`. A call of a call is one call, parenthesised
// or not, as in C++ Nix.
static Expr *new_call(Parser *p, uint32_t pos, Expr *fn, uint32_t base) {
  if (fn->kind != EXPR_CALL) {
    ExprCall *call = NEW(p, ExprCall, EXPR_CALL, is_call_in_nix(fn) ? fn->pos : pos);
    call->fn = fn;
    call->args = copy_exprs(p, base, &call->arg_count);
    return &call->head;
  }
  ExprCall *call = (ExprCall *)fn;
  uint32_t more = (uint32_t)(p->expr_count - base);
  if (!call->head.spare_args || call->arg_count + more > round_up_pow2(call->arg_count)) {
    Expr **args = ARENA_ARRAY(p->arena, Expr *, round_up_pow2(call->arg_count + more));
    memcpy(args, call->args, call->arg_count * sizeof *args);
    call->args = args;
    call->head.spare_args = 1;
  }
  memcpy(call->args + call->arg_count, p->exprs + base, more * sizeof(Expr *));
  p->expr_count = base;
  call->arg_count += more;
  call->head.parenthesised = 0;
  return fn;
}

static Expr *new_call_1(Parser *p, uint32_t pos, Expr *fn, Expr *arg) {
  uint32_t base = (uint32_t)p->expr_count;
  push_expr(p, arg);
  return new_call(p, pos, fn, base);
}

// ---- STEP_EXPR ----

static Step begin_lambda(Parser *p, uint32_t pos, AstName arg) {
  ExprLambda *lambda = NEW(p, ExprLambda, EXPR_LAMBDA, pos);
  lambda->arg = arg;
  lambda->self_name = AST_NO_NAME;
  lambda->has_formals = lambda->ellipsis = lambda->has_doc = false;
  lambda->formal_count = 0;
  lambda->formals = NULL;
  lambda->body = NULL;
  advance(p);
  return nest(p, (Frame){.kind = FRAME_LAMBDA, .start = pos, .expr = &lambda->head}, STEP_EXPR);
}

static Expr *var_or_cur_pos(Parser *p, uint32_t pos, uint32_t len, AstName name) {
  if (UNLIKELY(len == 8 && memcmp(p->lexer.src + pos, "__curPos", 8) == 0)) {
    Expr *expr = ARENA_NEW(p->arena, Expr);
    *expr = (Expr){EXPR_CUR_POS, 0, 0, pos};
    return expr;
  }
  return new_var(p, pos, name);
}

// `x`, `x: body` or `x@{...}: body`
static Step expr_from_name(Parser *p) {
  uint32_t pos = p->lexer.pos, len = (uint32_t)(p->lexer.at - p->lexer.src) - pos;
  AstName name = p->lexer.name;
  advance(p);
  if (p->lexer.kind == TOKEN_COLON || p->lexer.kind == TOKEN_AT) name_table_retract(&p->names, name);
  if (p->lexer.kind == TOKEN_COLON) return begin_lambda(p, pos, name);
  if (p->lexer.kind == TOKEN_AT) {
    advance(p);
    if (p->lexer.kind != TOKEN_LBRACE) return fail_token(p);
    advance(p);
    Frame frame = {.kind = FRAME_FORMALS, .pos = name, .start = pos, .base = (uint32_t)p->formal_count};
    return nest(p, frame, STEP_FORMAL);
  }
  p->start = pos;
  p->value = var_or_cur_pos(p, pos, len, name);
  return STEP_SUFFIX;
}

static Step begin_binds(Parser *p, uint32_t pos, BindsFlavour flavour) {
  ExprAttrs *set = attr_merge_open(&p->attrs, pos);
  set->recursive = flavour == BINDS_REC || flavour == BINDS_LEGACY_LET;
  return nest(p,
              (Frame){.kind = FRAME_BINDS, .flavour = (uint8_t)flavour, .start = pos, .pos = pos, .expr = &set->head},
              STEP_BINDS);
}

static Step begin_bind_path(Parser *p, uint32_t pos) {
  return nest(p, (Frame){.kind = FRAME_BIND_PATH, .start = pos, .base = (uint32_t)p->path_count}, STEP_NAME);
}

static Step begin_formals(Parser *p, uint32_t pos) {
  return nest(p, (Frame){.kind = FRAME_FORMALS, .pos = AST_NO_NAME, .start = pos, .base = (uint32_t)p->formal_count},
              STEP_FORMAL);
}

static Step end_formals(Parser *p, bool ellipsis);
static Step formal_after_name(Parser *p);

// After `{` where both a set and a lambda can begin.
static Step expr_from_brace(Parser *p) {
  uint32_t pos = p->lexer.pos;
  advance(p);
  if (p->lexer.kind == TOKEN_ELLIPSIS) return begin_formals(p, pos);
  if (p->lexer.kind == TOKEN_RBRACE) {
    advance(p);
    if (p->lexer.kind == TOKEN_COLON || p->lexer.kind == TOKEN_AT) {
      Step step = begin_formals(p, pos);
      return step == STEP_FAIL ? step : end_formals(p, false);
    }
    p->start = pos;
    ExprAttrs *set = attr_merge_open(&p->attrs, pos);
    attr_merge_close(&p->attrs, set);
    p->value = &set->head;
    return STEP_SUFFIX;
  }
  if (p->lexer.kind != TOKEN_ID) return begin_binds(p, pos, BINDS_SET);
  uint32_t name_pos = p->lexer.pos;
  AstName name = p->lexer.name;
  advance(p);
  if (p->lexer.kind == TOKEN_COMMA || p->lexer.kind == TOKEN_QUESTION || p->lexer.kind == TOKEN_RBRACE) {
    if (begin_formals(p, pos) == STEP_FAIL) return STEP_FAIL;
    PUSH(p, formals, formal_count, formal_cap, ((AstFormal){name, name_pos, NULL}));
    return formal_after_name(p);
  }
  if (begin_binds(p, pos, BINDS_SET) == STEP_FAIL || begin_bind_path(p, name_pos) == STEP_FAIL) return STEP_FAIL;
  push_name(p, (AstAttrName){name, name_pos, NULL});
  return STEP_NAME_DONE;
}

static Step expr_from_let(Parser *p) {
  uint32_t pos = p->lexer.pos;
  advance(p);
  if (p->lexer.kind != TOKEN_LBRACE) return begin_binds(p, pos, BINDS_LET);
  advance(p);
  return begin_binds(p, pos, BINDS_LEGACY_LET);
}

static Step begin_pair(Parser *p, ExprKind kind) {
  ExprPair *pair = NEW(p, ExprPair, kind, p->lexer.pos);
  advance(p);
  pair->first_pos = p->lexer.pos;
  return nest(p, (Frame){.kind = FRAME_WITH, .start = pair->head.pos, .expr = &pair->head}, STEP_EXPR);
}

static Step step_expr(Parser *p) {
  switch (p->lexer.kind) {
  case TOKEN_ID: return expr_from_name(p);
  case TOKEN_LBRACE: return expr_from_brace(p);
  case TOKEN_LET: return expr_from_let(p);
  case TOKEN_WITH: return begin_pair(p, EXPR_WITH);
  case TOKEN_ASSERT: return begin_pair(p, EXPR_ASSERT);
  case TOKEN_IF: {
    ExprIf *node = NEW(p, ExprIf, EXPR_IF, p->lexer.pos);
    advance(p);
    return nest(p, (Frame){.kind = FRAME_IF, .start = node->head.pos, .expr = &node->head}, STEP_EXPR);
  }
  default: return STEP_OPERAND;
  }
}

// ---- STEP_OPERAND, STEP_SIMPLE ----

enum { // as declared in parser.y, from weak to strong
  PREC_PIPE,
  PREC_IMPL,
  PREC_OR,
  PREC_AND,
  PREC_EQ,
  PREC_LESS,
  PREC_UPDATE,
  PREC_NOT,
  PREC_ADD,
  PREC_MUL,
  PREC_CONCAT,
  PREC_HAS,
  PREC_NEGATE,
};

static Step begin_prefix(Parser *p, ExprKind op, uint8_t prec) {
  uint32_t pos = p->lexer.pos;
  advance(p);
  return nest(p, (Frame){.kind = FRAME_PREFIX, .op = (uint8_t)op, .prec = prec, .pos = pos, .start = pos},
              STEP_OPERAND);
}

static inline bool starts_simple(TokenKind kind) {
  const uint64_t starts = 1ull << TOKEN_ID | 1ull << TOKEN_INT | 1ull << TOKEN_FLOAT | 1ull << TOKEN_QUOTE |
                          1ull << TOKEN_IND_OPEN | 1ull << TOKEN_PATH | 1ull << TOKEN_HPATH | 1ull << TOKEN_SPATH |
                          1ull << TOKEN_URI | 1ull << TOKEN_LPAREN | 1ull << TOKEN_LET | 1ull << TOKEN_REC |
                          1ull << TOKEN_LBRACE | 1ull << TOKEN_LBRACKET;
  return starts >> kind & 1;
}
_Static_assert(TOKEN_COUNT < 64, "token kinds fit a bit set");

static Step simple_literal(Parser *p, Expr *literal) {
  p->value = literal;
  return next_step(p, STEP_SUFFIX);
}

static Step simple_uri(Parser *p) {
  if (p->options->no_url_literals) return fail(p, p->lexer.pos, "URL literals are disabled");
  return simple_literal(p, new_text(p, EXPR_STRING, p->lexer.pos, p->lexer.text));
}

static Step simple_path(Parser *p) {
  push_piece(p, (IndentPiece){.text = p->lexer.text, .pos = p->lexer.pos});
  return nest(p, (Frame){.kind = FRAME_PATH, .start = p->lexer.pos, .base = (uint32_t)p->piece_count - 1}, STEP_PATH);
}

static Step simple_bracketed(Parser *p, BindsFlavour flavour) {
  uint32_t pos = p->lexer.pos;
  advance(p);
  if (flavour != BINDS_SET) { // `rec {` or `let {`
    if (p->lexer.kind != TOKEN_LBRACE) return fail_token(p);
    advance(p);
  }
  return begin_binds(p, pos, flavour);
}

static Step step_simple(Parser *p) {
  Lexer *lexer = &p->lexer;
  uint32_t pos = p->start = lexer->pos;
  switch (lexer->kind) {
  case TOKEN_ID:
    p->value = var_or_cur_pos(p, pos, (uint32_t)(lexer->at - lexer->src) - pos, lexer->name);
    return next_step(p, STEP_SUFFIX);
  case TOKEN_INT: {
    ExprInt *node = NEW(p, ExprInt, EXPR_INT, pos);
    node->value = lexer->integer;
    return simple_literal(p, &node->head);
  }
  case TOKEN_FLOAT: {
    ExprFloat *node = NEW(p, ExprFloat, EXPR_FLOAT, pos);
    node->value = lexer->floating;
    return simple_literal(p, &node->head);
  }
  case TOKEN_QUOTE:
    return nest(p, (Frame){.kind = FRAME_STRING, .pos = pos, .start = pos, .base = (uint32_t)p->piece_count},
                STEP_STRING);
  case TOKEN_IND_OPEN:
    return nest(p, (Frame){.kind = FRAME_IND, .pos = pos, .start = pos, .base = (uint32_t)p->piece_count}, STEP_IND);
  case TOKEN_PATH:
  case TOKEN_HPATH: return simple_path(p);
  case TOKEN_SPATH:
    return simple_literal(p, new_text(p, EXPR_SEARCH_PATH, pos, span_sub(lexer->text, 1, lexer->text.len - 2)));
  case TOKEN_URI: return simple_uri(p);
  case TOKEN_LPAREN: advance(p); return nest(p, (Frame){.kind = FRAME_PAREN, .start = pos}, STEP_EXPR);
  case TOKEN_LET: return simple_bracketed(p, BINDS_LEGACY_LET);
  case TOKEN_REC: return simple_bracketed(p, BINDS_REC);
  case TOKEN_LBRACE: return simple_bracketed(p, BINDS_SET);
  case TOKEN_LBRACKET: {
    advance(p);
    Step step = nest(p, (Frame){.kind = FRAME_LIST, .start = pos, .base = (uint32_t)p->expr_count}, STEP_SELECTED);
    p->value = NULL; // no item yet
    return step;
  }
  default: return fail_token(p);
  }
}

static Step step_operand(Parser *p) {
  switch (p->lexer.kind) {
  case TOKEN_BANG: return begin_prefix(p, EXPR_NOT, PREC_NOT);
  case TOKEN_MINUS: return begin_prefix(p, EXPR_NEGATE, PREC_NEGATE);
  default: return step_simple(p);
  }
}

// ---- STEP_SUFFIX, STEP_SELECTED ----

static Step step_suffix(Parser *p) {
  if (p->lexer.kind == TOKEN_DOT) {
    Frame frame = {.kind = FRAME_SELECT_PATH, .start = p->start, .base = (uint32_t)p->path_count, .expr = p->value};
    advance(p);
    return nest(p, frame, STEP_NAME);
  }
  if (p->lexer.kind == TOKEN_OR_KW) { // `map or [...]`: nixpkgs once had a function of that name
    uint32_t start = p->start;
    ExprCall *call = NEW(p, ExprCall, EXPR_CALL, start); // even if `value` is a call
    call->fn = p->value;
    call->arg_count = 1;
    call->args = ARENA_NEW(p->arena, Expr *);
    call->args[0] = new_var(p, start, intern_text(p, SPAN("or")));
    p->value = &call->head;
    p->cursed_end = (uint32_t)(p->lexer.at - p->lexer.src);
    advance(p);
  }
  return STEP_SELECTED;
}

// `x or` as an argument, an item of a list or a fallback, where one would expect `or` to be the next one.
static void note_cursed_or(Parser *p) {
  AstCursedOr cursed = {p->value->pos, p->cursed_end};
  PUSH(p, cursed_ors, cursed_or_count, cursed_or_cap, cursed);
}

static Step end_list(Parser *p) {
  if (p->lexer.kind != TOKEN_RBRACKET) return fail_token(p);
  Frame frame = p->frames[--p->frame_count];
  ExprList *list = NEW(p, ExprList, EXPR_LIST, frame.start);
  list->items = copy_exprs(p, frame.base, &list->count);
  p->value = &list->head;
  p->start = frame.start;
  return next_step(p, STEP_SUFFIX);
}

static Step step_selected(Parser *p) {
  bool more = starts_simple(p->lexer.kind);
  Frame *top = top_frame(p);
  if (UNLIKELY(p->cursed_end)) {
    if (top->kind == FRAME_LIST || top->kind == FRAME_APP || top->kind == FRAME_OR) note_cursed_or(p);
    p->cursed_end = 0;
  }
  switch (top->kind) {
  case FRAME_LIST:
    if (p->value) push_expr(p, p->value);
    return more ? STEP_SIMPLE : end_list(p);
  case FRAME_APP:
    push_expr(p, p->value);
    if (more) return STEP_SIMPLE;
    p->value = new_call(p, top->start, top->expr, top->base);
    p->start = top->start;
    p->frame_count--;
    return STEP_OPERATOR;
  case FRAME_OR:
    ((ExprSelect *)top->expr)->fallback = p->value;
    p->value = top->expr;
    p->start = top->start;
    p->frame_count--;
    return STEP_SELECTED;
  default:
    if (LIKELY(!more)) return STEP_OPERATOR;
    return nest(p, (Frame){.kind = FRAME_APP, .start = p->start, .expr = p->value, .base = (uint32_t)p->expr_count},
                STEP_SIMPLE);
  }
}

// ---- STEP_OPERATOR ----

enum { ASSOC_LEFT, ASSOC_RIGHT, ASSOC_NONE };
enum { OP_PIPE_FROM = 200, OP_PIPE_INTO }; // Frame.op of what becomes a call

typedef struct Operator {
  uint8_t op, prec, assoc;
} Operator;

static const Operator operators[TOKEN_COUNT + 1] = {
    [TOKEN_PIPE_FROM] = {OP_PIPE_FROM, PREC_PIPE, ASSOC_RIGHT},
    [TOKEN_PIPE_INTO] = {OP_PIPE_INTO, PREC_PIPE, ASSOC_LEFT},
    [TOKEN_IMPL] = {EXPR_IMPL, PREC_IMPL, ASSOC_RIGHT},
    [TOKEN_OR] = {EXPR_OR, PREC_OR, ASSOC_LEFT},
    [TOKEN_AND] = {EXPR_AND, PREC_AND, ASSOC_LEFT},
    [TOKEN_EQ] = {EXPR_EQ, PREC_EQ, ASSOC_NONE},
    [TOKEN_NEQ] = {EXPR_NEQ, PREC_EQ, ASSOC_NONE},
    [TOKEN_LT] = {EXPR_LT, PREC_LESS, ASSOC_NONE},
    [TOKEN_GT] = {EXPR_GT, PREC_LESS, ASSOC_NONE},
    [TOKEN_LEQ] = {EXPR_LEQ, PREC_LESS, ASSOC_NONE},
    [TOKEN_GEQ] = {EXPR_GEQ, PREC_LESS, ASSOC_NONE},
    [TOKEN_UPDATE] = {EXPR_UPDATE, PREC_UPDATE, ASSOC_RIGHT},
    [TOKEN_PLUS] = {EXPR_ADD, PREC_ADD, ASSOC_LEFT},
    [TOKEN_MINUS] = {EXPR_SUB, PREC_ADD, ASSOC_LEFT},
    [TOKEN_STAR] = {EXPR_MUL, PREC_MUL, ASSOC_LEFT},
    [TOKEN_SLASH] = {EXPR_DIV, PREC_MUL, ASSOC_LEFT},
    [TOKEN_CONCAT] = {EXPR_CONCAT_LISTS, PREC_CONCAT, ASSOC_RIGHT},
    [TOKEN_QUESTION] = {EXPR_HAS_ATTR, PREC_HAS, ASSOC_NONE},
};

// Pops the pending operator and makes `value` its operand.
static void reduce_operator(Parser *p) {
  Frame frame = p->frames[--p->frame_count];
  uint32_t second_pos = p->start;
  p->start = frame.start;
  if (frame.kind == FRAME_PREFIX) {
    ExprUnary *unary = NEW(p, ExprUnary, frame.op, frame.pos);
    unary->operand = p->value;
    p->value = &unary->head;
  } else if (frame.op == OP_PIPE_FROM) {
    p->value = new_call_1(p, frame.pos, frame.expr, p->value);
  } else if (frame.op == OP_PIPE_INTO) {
    p->value = new_call_1(p, frame.pos, p->value, frame.expr);
  } else {
    ExprPair *pair = NEW(p, ExprPair, frame.op, frame.pos);
    pair->first = frame.expr;
    pair->second = p->value;
    pair->first_pos = frame.start;
    pair->second_pos = second_pos;
    p->value = &pair->head;
  }
}

static inline bool is_operator_frame(const Frame *frame) {
  return frame->kind >= FRAME_OPERATOR;
}

static Step begin_has_attr(Parser *p) {
  Frame frame = {.kind = FRAME_HAS_PATH,
                 .pos = p->lexer.pos,
                 .start = p->start,
                 .expr = p->value,
                 .base = (uint32_t)p->path_count};
  advance(p);
  return nest(p, frame, STEP_NAME);
}

static Step step_operator(Parser *p) {
  TokenKind kind = p->lexer.kind;
  const Operator *next = &operators[kind];
  Frame *top = top_frame(p);
  if (!next->op) {
    if (UNLIKELY(kind == TOKEN_ERROR)) return fail_token(p);
    for (; is_operator_frame(top); top = top_frame(p)) reduce_operator(p);
    return STEP_DONE;
  }
  for (; is_operator_frame(top); top = top_frame(p)) {
    if (top->prec < next->prec) break;
    if (top->prec == next->prec) {
      if (next->assoc == ASSOC_NONE || (next->prec == PREC_PIPE && top->op != next->op)) return fail_token(p);
      if (next->assoc == ASSOC_RIGHT) break;
    }
    reduce_operator(p);
  }
  if (next->op == EXPR_HAS_ATTR) return begin_has_attr(p);
  Frame frame = {.kind = FRAME_OPERATOR,
                 .op = next->op,
                 .prec = next->prec,
                 .pos = p->lexer.pos,
                 .start = p->start,
                 .expr = p->value};
  advance(p);
  return nest(p, frame, STEP_OPERAND);
}

// ---- attribute paths ----

static Step step_name(Parser *p) {
  Lexer *lexer = &p->lexer;
  uint32_t pos = lexer->pos;
  switch (lexer->kind) {
  case TOKEN_ID: push_name(p, (AstAttrName){lexer->name, pos, NULL}); return next_step(p, STEP_NAME_DONE);
  case TOKEN_OR_KW:
    push_name(p, (AstAttrName){intern_text(p, SPAN("or")), pos, NULL});
    return next_step(p, STEP_NAME_DONE);
  case TOKEN_QUOTE:
    return nest(p, (Frame){.kind = FRAME_STRING_NAME, .pos = pos, .start = pos, .base = (uint32_t)p->piece_count},
                STEP_STRING);
  case TOKEN_DOLLAR_CURLY: advance(p); return nest(p, (Frame){.kind = FRAME_DYN_NAME, .start = pos}, STEP_EXPR);
  default: return fail_token(p);
  }
}

// A name in quotes or behind `${` is static if it is a plain string.
static Step name_from_value(Parser *p, uint32_t pos) {
  if (p->value->kind == EXPR_STRING)
    push_name(p, (AstAttrName){intern_text(p, ((ExprText *)p->value)->text), pos, NULL});
  else if (top_frame(p)->kind == FRAME_INHERIT) return fail(p, pos, "dynamic attributes not allowed in inherit");
  else push_name(p, (AstAttrName){AST_NO_NAME, pos, p->value});
  return next_step(p, STEP_NAME_DONE);
}

static ExprSelect *end_path(Parser *p, ExprKind kind, uint32_t pos) {
  Frame frame = p->frames[--p->frame_count];
  ExprSelect *select = NEW(p, ExprSelect, kind, pos);
  size_t count = p->path_count - frame.base;
  select->subject = frame.expr;
  select->fallback = NULL;
  select->path_count = (uint32_t)count;
  select->path = ARENA_ARRAY(p->arena, AstAttrName, count);
  memcpy(select->path, p->path + frame.base, count * sizeof(AstAttrName));
  p->path_count = frame.base;
  p->value = &select->head;
  p->start = frame.start;
  return select;
}

static Step end_select_path(Parser *p) {
  uint32_t start = top_frame(p)->start;
  (void)end_path(p, EXPR_SELECT, start);
  if (p->lexer.kind != TOKEN_OR_KW) return STEP_SELECTED;
  advance(p);
  return nest(p, (Frame){.kind = FRAME_OR, .start = start, .expr = p->value}, STEP_SIMPLE);
}

static Step end_inherit(Parser *p) {
  if (p->lexer.kind != TOKEN_SEMICOLON) return fail_token(p);
  Frame frame = p->frames[--p->frame_count];
  ExprAttrs *set = (ExprAttrs *)top_frame(p)->expr;
  uint32_t from = frame.flavour ? attr_merge_add_from(&p->attrs, set, frame.expr) : 0;
  for (size_t i = frame.base; i < p->path_count; i++) {
    AstAttrName name = p->path[i];
    AstAttr def = {name.name, frame.flavour ? AST_ATTR_INHERIT_FROM : AST_ATTR_INHERIT, name.pos, from, NULL};
    if (!frame.flavour) def.value = new_var(p, name.pos, name.name);
    if (!attr_merge_inherit(&p->attrs, set, def)) return STEP_FAIL;
  }
  p->path_count = frame.base;
  return next_step(p, STEP_BINDS);
}

static Step inherit_next(Parser *p) {
  switch (p->lexer.kind) {
  case TOKEN_ID:
  case TOKEN_OR_KW:
  case TOKEN_QUOTE:
  case TOKEN_DOLLAR_CURLY: return STEP_NAME;
  default: return end_inherit(p);
  }
}

static Step step_name_done(Parser *p) {
  Frame *owner = top_frame(p);
  if (owner->kind == FRAME_INHERIT) return inherit_next(p);
  if (p->lexer.kind == TOKEN_DOT) return next_step(p, STEP_NAME);
  switch (owner->kind) {
  case FRAME_SELECT_PATH: return end_select_path(p);
  case FRAME_HAS_PATH: (void)end_path(p, EXPR_HAS_ATTR, owner->pos); return STEP_OPERATOR;
  default: // FRAME_BIND_PATH
    if (p->lexer.kind != TOKEN_ASSIGN) return fail_token(p);
    owner->kind = FRAME_BIND;
    return next_step(p, STEP_EXPR);
  }
}

// ---- sets and let ----

static Step begin_inherit(Parser *p) {
  advance(p);
  Frame frame = {.kind = FRAME_INHERIT, .base = (uint32_t)p->path_count};
  if (p->lexer.kind != TOKEN_LPAREN) return nest(p, frame, STEP_NAME_DONE);
  frame.kind = FRAME_INHERIT_FROM;
  advance(p);
  return nest(p, frame, STEP_EXPR);
}

static Step end_binds(Parser *p) {
  Frame frame = p->frames[--p->frame_count];
  ExprAttrs *set = (ExprAttrs *)frame.expr;
  attr_merge_close(&p->attrs, set);
  advance(p);
  if (frame.flavour == BINDS_LET) {
    ExprLet *let = NEW(p, ExprLet, EXPR_LET, frame.start);
    let->binds = set;
    return nest(p, (Frame){.kind = FRAME_LET, .start = frame.start, .expr = &let->head}, STEP_EXPR);
  }
  p->value = &set->head;
  p->start = frame.start;
  if (frame.flavour == BINDS_LEGACY_LET) {
    ExprSelect *select = NEW(p, ExprSelect, EXPR_SELECT, frame.start);
    AstAttrName *path = ARENA_NEW(p->arena, AstAttrName);
    *path = (AstAttrName){intern_text(p, SPAN("body")), frame.start, NULL};
    *select = (ExprSelect){select->head, p->value, 1, path, NULL};
    p->value = &select->head;
  }
  return STEP_SUFFIX;
}

static Step step_binds(Parser *p) {
  TokenKind close = top_frame(p)->flavour == BINDS_LET ? TOKEN_IN : TOKEN_RBRACE;
  switch (p->lexer.kind) {
  case TOKEN_ID:
  case TOKEN_OR_KW:
  case TOKEN_QUOTE:
  case TOKEN_DOLLAR_CURLY: return begin_bind_path(p, p->lexer.pos);
  case TOKEN_INHERIT: return begin_inherit(p);
  default: return p->lexer.kind == close ? end_binds(p) : fail_token(p);
  }
}

static Step end_bind(Parser *p) {
  if (p->lexer.kind != TOKEN_SEMICOLON) return fail_token(p);
  Frame frame = p->frames[--p->frame_count];
  ExprAttrs *set = (ExprAttrs *)top_frame(p)->expr;
  if (!attr_merge_define(&p->attrs, set, p->path + frame.base, (uint32_t)(p->path_count - frame.base), frame.start,
                         p->value))
    return STEP_FAIL;
  p->path_count = frame.base;
  if (UNLIKELY(p->token_doc_count)) document_lambda(p, frame.start, p->value);
  return next_step(p, STEP_BINDS);
}

// ---- formals ----

static Step step_formal(Parser *p) {
  switch (p->lexer.kind) {
  case TOKEN_ID:
    PUSH(p, formals, formal_count, formal_cap, ((AstFormal){p->lexer.name, p->lexer.pos, NULL}));
    advance(p);
    return formal_after_name(p);
  case TOKEN_ELLIPSIS:
    advance(p);
    if (p->lexer.kind != TOKEN_RBRACE) return fail_token(p);
    advance(p);
    return end_formals(p, true);
  case TOKEN_RBRACE: advance(p); return end_formals(p, false);
  default: return fail_token(p);
  }
}

static Step formal_next(Parser *p) {
  if (p->lexer.kind == TOKEN_COMMA) return next_step(p, STEP_FORMAL);
  if (p->lexer.kind != TOKEN_RBRACE) return fail_token(p);
  advance(p);
  return end_formals(p, false);
}

static Step formal_after_name(Parser *p) {
  if (p->lexer.kind != TOKEN_QUESTION) return formal_next(p);
  name_table_retract(&p->names, p->formals[p->formal_count - 1].name);
  return next_step(p, STEP_EXPR);
}

// After the closing brace: `:` or `@name:`.
static Step end_formals(Parser *p, bool ellipsis) {
  Frame frame = p->frames[--p->frame_count];
  AstName arg = frame.pos;
  if (p->lexer.kind == TOKEN_AT && arg == AST_NO_NAME) {
    advance(p);
    if (p->lexer.kind != TOKEN_ID) return fail_token(p);
    arg = p->lexer.name;
    advance(p);
    name_table_retract(&p->names, arg);
  }
  if (p->lexer.kind != TOKEN_COLON) return fail_token(p);
  size_t count = p->formal_count - frame.base;
  AstFormal *formals = ARENA_ARRAY(p->arena, AstFormal, count);
  if (count) memcpy(formals, p->formals + frame.base, count * sizeof *formals);
  p->formal_count = frame.base;
  Step step = begin_lambda(p, frame.start, arg);
  if (step == STEP_FAIL) return step;
  ExprLambda *lambda = (ExprLambda *)top_frame(p)->expr;
  lambda->has_formals = true;
  lambda->ellipsis = ellipsis;
  lambda->formal_count = (uint32_t)count;
  lambda->formals = formals;
  return step;
}

static int compare_keys(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// C++ Nix checks a lambda when its body has been read, and reports the duplicate of the name that
// was seen first.
static Step check_formals(Parser *p, const ExprLambda *lambda) {
  uint64_t few[32], *keys = few;
  uint32_t count = lambda->formal_count, duplicate = UINT32_MAX;
  if (count > ARRAY_LEN(few)) keys = mem_alloc_array(count, sizeof *keys);
  bool has_arg = false;
  for (uint32_t i = 0; i < count; i++) {
    keys[i] = (uint64_t)lambda->formals[i].name << 32 | i;
    has_arg |= lambda->formals[i].name == lambda->arg;
  }
  qsort(keys, count, sizeof *keys, compare_keys);
  for (uint32_t i = 0; i + 1 < count && duplicate == UINT32_MAX; i++)
    if (keys[i] >> 32 == keys[i + 1] >> 32) duplicate = (uint32_t)keys[i + 1];
  if (keys != few) mem_free(keys);
  if (duplicate == UINT32_MAX && !has_arg) return STEP_DONE;
  AstName name = duplicate == UINT32_MAX ? lambda->arg : lambda->formals[duplicate].name;
  uint32_t pos = duplicate == UINT32_MAX ? lambda->head.pos : lambda->formals[duplicate].pos;
  return fail(p, pos, "duplicate formal function argument '%.*s'", SPAN_ARG(p->names.entries[name].text));
}

// ---- strings and paths ----

static Expr *new_interp(Parser *p, ExprKind kind, uint32_t pos, uint32_t base) {
  uint32_t count = (uint32_t)(p->piece_count - base);
  ExprInterp *interp = NEW(p, ExprInterp, kind, pos);
  interp->count = count;
  interp->parts = ARENA_ARRAY(p->arena, Expr *, count);
  interp->part_pos = ARENA_ARRAY(p->arena, uint32_t, count);
  for (uint32_t i = 0; i < count; i++) {
    IndentPiece *piece = &p->pieces[base + i];
    interp->parts[i] = piece->expr ? piece->expr : new_text(p, EXPR_STRING, piece->pos, piece->text);
    interp->part_pos[i] = piece->pos;
  }
  p->piece_count = base;
  return &interp->head;
}

// The string is complete. It was an expression or a name.
static Step end_string(Parser *p) {
  Frame frame = p->frames[--p->frame_count];
  size_t count = p->piece_count - frame.base;
  if (count == 0) {
    p->value = new_text(p, EXPR_STRING, frame.pos, span_make("", 0));
  } else if (count == 1 && !p->pieces[frame.base].expr) {
    p->value = new_text(p, EXPR_STRING, frame.pos, p->pieces[frame.base].text);
    p->piece_count = frame.base;
  } else {
    p->value = new_interp(p, EXPR_INTERP, p->pieces[frame.base].pos, frame.base);
  }
  p->start = frame.start;
  if (frame.kind == FRAME_STRING_NAME) return name_from_value(p, frame.start);
  return next_step(p, STEP_SUFFIX);
}

static Step step_string(Parser *p) {
  uint32_t stop_pos;
  LexerStop stop = lexer_string_piece(&p->lexer, &stop_pos);
  if (UNLIKELY(stop == LEXER_STOP_EOF || stop == LEXER_STOP_ERROR)) return fail_token(p);
  if (p->lexer.text.len || stop_pos > p->lexer.pos)
    push_piece(p, (IndentPiece){.text = p->lexer.text, .pos = p->lexer.pos});
  if (stop == LEXER_STOP_END) return end_string(p);
  push_piece(p, (IndentPiece){.pos = stop_pos}); // the expression follows
  return next_step(p, STEP_EXPR);
}

static Step end_ind(Parser *p) {
  Frame frame = p->frames[--p->frame_count];
  IndentPiece *pieces = p->pieces ? p->pieces + frame.base : NULL; // none yet when '''' comes first
  size_t kept = indent_strip(p->arena, pieces, p->piece_count - frame.base);
  p->piece_count = frame.base + kept;
  if (kept == 0) {
    p->value = new_text(p, EXPR_STRING, frame.pos, span_make("", 0));
  } else if (kept == 1 && (!pieces[0].expr || pieces[0].expr->kind == EXPR_STRING)) {
    // ''${"x"}'' is a plain string, unlike "${"x"}".
    p->value = pieces[0].expr ? pieces[0].expr : new_text(p, EXPR_STRING, frame.pos, pieces[0].text);
    p->piece_count = frame.base;
  } else {
    p->value = new_interp(p, EXPR_INTERP, frame.pos, frame.base);
  }
  p->start = frame.start;
  return next_step(p, STEP_SUFFIX);
}

static Step step_ind(Parser *p) {
  for (;;) {
    bool indent;
    switch (lexer_ind_piece(&p->lexer, &indent)) {
    case LEXER_STOP_MORE:
      push_piece(p, (IndentPiece){.text = p->lexer.text, .pos = p->lexer.pos, .indent = indent});
      continue;
    case LEXER_STOP_END: return end_ind(p);
    case LEXER_STOP_INTERP: push_piece(p, (IndentPiece){.pos = p->lexer.pos}); return next_step(p, STEP_EXPR);
    case LEXER_STOP_EOF:
    case LEXER_STOP_ERROR: return fail_token(p);
    }
  }
}

static Step end_path_literal(Parser *p) {
  Frame frame = p->frames[--p->frame_count];
  IndentPiece *first = &p->pieces[frame.base];
  first->expr = new_text(p, EXPR_PATH, first->pos, first->text);
  if (p->piece_count == frame.base + 1) {
    p->value = first->expr;
    p->piece_count = frame.base;
  } else {
    p->value = new_interp(p, EXPR_INTERP_PATH, frame.start, frame.base);
  }
  p->start = frame.start;
  return next_step(p, STEP_SUFFIX);
}

static Step step_path(Parser *p) {
  size_t base = top_frame(p)->base;
  for (;;) {
    const IndentPiece *last = &p->pieces[p->piece_count - 1];
    bool after_slash = !last->expr && last->text.data[last->text.len - 1] == '/';
    LexerStop stop = lexer_path_piece(&p->lexer, after_slash);
    // "a//b" is read as the path "a/" and the text "/b", which the grammar only knows before an interpolation.
    bool text_alone = !last->expr && p->piece_count == base + 2;
    if (UNLIKELY(text_alone && (stop == LEXER_STOP_MORE || stop == LEXER_STOP_END))) return fail_token(p);
    switch (stop) {
    case LEXER_STOP_MORE: push_piece(p, (IndentPiece){.text = p->lexer.text, .pos = p->lexer.pos}); continue;
    case LEXER_STOP_END: return end_path_literal(p);
    case LEXER_STOP_INTERP: push_piece(p, (IndentPiece){.pos = p->lexer.pos}); return next_step(p, STEP_EXPR);
    case LEXER_STOP_EOF:
    case LEXER_STOP_ERROR: return fail_token(p);
    }
  }
}

// ---- STEP_DONE ----

static Step end_paren(Parser *p) {
  if (p->lexer.kind != TOKEN_RPAREN) return fail_token(p);
  p->start = p->frames[--p->frame_count].start;
  p->value->parenthesised = 1;
  return next_step(p, STEP_SUFFIX);
}

static Step end_body(Parser *p) {
  Frame frame = p->frames[--p->frame_count];
  p->start = frame.start;
  Expr *body = p->value;
  p->value = frame.expr;
  switch (frame.kind) {
  case FRAME_LAMBDA: {
    ExprLambda *lambda = (ExprLambda *)frame.expr;
    lambda->body = body;
    if (lambda->arg != AST_NO_NAME) name_table_mention(&p->names, lambda->arg);
    if (UNLIKELY(p->token_doc_count)) document_lambda(p, frame.start, &lambda->head);
    return lambda->formal_count ? check_formals(p, lambda) : STEP_DONE;
  }
  case FRAME_LET: {
    ExprLet *let = (ExprLet *)frame.expr;
    let->body = body;
    if (let->binds->dyn_count) return fail(p, frame.start, "dynamic attributes not allowed in let");
    return STEP_DONE;
  }
  case FRAME_ELSE: ((ExprIf *)frame.expr)->else_ = body; return STEP_DONE;
  default: ((ExprPair *)frame.expr)->second = body; return STEP_DONE; // FRAME_WITH_BODY
  }
}

// `value` was the part before `separator`; the next part follows in the same frame.
static Step next_part(Parser *p, Expr **ret_part, TokenKind separator, FrameKind next) {
  if (p->lexer.kind != separator) return fail_token(p);
  *ret_part = p->value;
  top_frame(p)->kind = (uint8_t)next;
  return next_step(p, STEP_EXPR);
}

static Step end_interpolation(Parser *p, Step next) {
  if (p->lexer.kind != TOKEN_RBRACE) return fail_token(p);
  p->pieces[p->piece_count - 1].expr = p->value;
  return next;
}

static Step step_done(Parser *p) {
  Frame *top = top_frame(p);
  switch ((FrameKind)top->kind) {
  case FRAME_ROOT: return p->lexer.kind == TOKEN_EOF ? STEP_END : fail_token(p);
  case FRAME_PAREN: return end_paren(p);
  case FRAME_BIND: return end_bind(p);
  case FRAME_LAMBDA:
  case FRAME_LET:
  case FRAME_ELSE:
  case FRAME_WITH_BODY: return end_body(p);
  case FRAME_IF: return next_part(p, &((ExprIf *)top->expr)->cond, TOKEN_THEN, FRAME_THEN);
  case FRAME_THEN: return next_part(p, &((ExprIf *)top->expr)->then_, TOKEN_ELSE, FRAME_ELSE);
  case FRAME_WITH: {
    ExprPair *pair = (ExprPair *)top->expr;
    Step step = next_part(p, &pair->first, TOKEN_SEMICOLON, FRAME_WITH_BODY);
    pair->second_pos = p->lexer.pos;
    return step;
  }
  case FRAME_STRING:
  case FRAME_STRING_NAME: return end_interpolation(p, STEP_STRING);
  case FRAME_IND: return end_interpolation(p, STEP_IND);
  case FRAME_PATH: return end_interpolation(p, STEP_PATH);
  case FRAME_DYN_NAME: {
    uint32_t pos = top->start;
    if (p->lexer.kind != TOKEN_RBRACE) return fail_token(p);
    p->frame_count--;
    return name_from_value(p, pos);
  }
  case FRAME_FORMALS:
    p->formals[p->formal_count - 1].fallback = p->value;
    name_table_mention(&p->names, p->formals[p->formal_count - 1].name);
    return formal_next(p);
  case FRAME_INHERIT_FROM:
    if (p->lexer.kind != TOKEN_RPAREN) return fail_token(p);
    top->kind = FRAME_INHERIT;
    top->flavour = 1;
    top->expr = p->value;
    return next_step(p, STEP_NAME_DONE);
  case FRAME_LIST:
  case FRAME_BINDS:
  case FRAME_SELECT_PATH:
  case FRAME_HAS_PATH:
  case FRAME_BIND_PATH:
  case FRAME_INHERIT:
  case FRAME_APP:
  case FRAME_OR:
  case FRAME_OPERATOR:
  case FRAME_PREFIX: break; // these wait for less than an expr
  }
  return fail_token(p);
}

// ---- the machine ----

static bool run(Parser *p) {
  push_frame(p, (Frame){.kind = FRAME_ROOT});
  advance(p);
  Step step = STEP_EXPR;
  for (;;) {
    switch (step) {
    case STEP_EXPR: step = step_expr(p); break;
    case STEP_OPERAND: step = step_operand(p); break;
    case STEP_SIMPLE: step = step_simple(p); break;
    case STEP_SUFFIX: step = step_suffix(p); break;
    case STEP_SELECTED: step = step_selected(p); break;
    case STEP_OPERATOR: step = step_operator(p); break;
    case STEP_DONE: step = step_done(p); break;
    case STEP_BINDS: step = step_binds(p); break;
    case STEP_NAME: step = step_name(p); break;
    case STEP_NAME_DONE: step = step_name_done(p); break;
    case STEP_FORMAL: step = step_formal(p); break;
    case STEP_STRING: step = step_string(p); break;
    case STEP_IND: step = step_ind(p); break;
    case STEP_PATH: step = step_path(p); break;
    case STEP_END: return true;
    case STEP_FAIL: return false;
    }
  }
}

void parser_error_done(ParserError *error) {
  mem_free(error->message);
  *error = (ParserError){0};
}

bool parser_parse(Span source, const ParserOptions *options, Ast *ret_ast, ParserError *ret_error) {
  *ret_ast = (Ast){0};
  *ret_error = (ParserError){0, AST_NO_POS, NULL};
  Parser p = {.ast = ret_ast, .arena = &ret_ast->arena, .error = ret_error, .source = source, .options = options};
  if (source.len > PARSER_MAX_SOURCE_BYTES) {
    (void)fail(&p, 0, "the source is larger than %zu bytes", PARSER_MAX_SOURCE_BYTES);
    return false;
  }
  arena_reserve(p.arena, PARSER_TREE_BYTES * source.len);
  name_table_init(&p.names, source.len / 64 < 65536 ? (uint32_t)(source.len / 64) : 65536);
  lexer_init(&p.lexer, source, &p.names, p.arena, options->pipe_operators);
  attr_merge_init(&p.attrs, p.arena, &p.names, ret_error);
  bool ok = run(&p);
  if (ok) {
    ret_ast->root = p.value;
    ret_ast->names = STEAL(p.names.entries);
    ret_ast->name_count = p.names.count;
    if (p.doc_count) qsort(p.docs, p.doc_count, sizeof(AstDoc), compare_docs);
    ret_ast->docs = STEAL(p.docs);
    ret_ast->doc_count = p.doc_count;
    ret_ast->cursed_ors = STEAL(p.cursed_ors);
    ret_ast->cursed_or_count = p.cursed_or_count;
  }
  name_table_done(&p.names);
  attr_merge_done(&p.attrs);
  mem_free(p.frames);
  mem_free(p.exprs);
  mem_free(p.pieces);
  mem_free(p.path);
  mem_free(p.formals);
  mem_free(p.docs);
  mem_free(p.token_docs);
  mem_free(p.cursed_ors);
  if (!ok) ast_done(ret_ast);
  return ok;
}
