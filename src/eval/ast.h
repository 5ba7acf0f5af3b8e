// ast.h: the syntax tree of one file, in one arena. Made by parser.c, printed by ast_print.c, turned into a unit by
// compile.c and then freed. It knows no evaluator state: names are indices into the file's own name table.
//
// Invariants after parsing: attribute paths of definitions are merged into nested sets (as C++ Nix's addAttr does),
// names in a set are unique, formals are unique and in source order, `pos` is the byte offset of the token that C++ Nix
// reports for the node (AST_NO_POS for the sets that an attribute path creates).
//
// Trees can be deeper than the nesting of the source: `a + a + a ...` leans to the left once per operator and `a.b.c = 1`
// makes a set per name, so whoever walks a tree recursively must count its own depth (PARSER_MAX_DEPTH bounds only brackets
// and right operands).
#pragma once

#include "base/arena.h"

// Index into Ast.names.
typedef uint32_t AstName;
#define AST_NO_NAME UINT32_MAX
#define AST_NO_POS UINT32_MAX

typedef enum ExprKind {
  EXPR_INT,
  EXPR_FLOAT,
  EXPR_STRING,      // also URL literals
  EXPR_PATH,        // absolute, relative to the file ("./x", "a/b", "../x") or to the home directory ("~/x")
  EXPR_SEARCH_PATH, // <x>
  EXPR_INTERP,      // "a${b}c": parts
  EXPR_INTERP_PATH, // ./a${b}: parts, the first is an EXPR_PATH
  EXPR_VAR,
  EXPR_SELECT,
  EXPR_HAS_ATTR,
  EXPR_CALL,
  EXPR_LAMBDA,
  EXPR_LET,
  EXPR_ATTRS,
  EXPR_LIST,
  EXPR_WITH,
  EXPR_ASSERT,
  EXPR_IF,
  EXPR_NOT,
  EXPR_NEGATE, // C++ Nix: __sub 0 x
  EXPR_EQ,
  EXPR_NEQ,
  EXPR_LT, // LT, LEQ, GT, GEQ, SUB, MUL, DIV call __lessThan, __sub, __mul, __div when those are bound lexically
  EXPR_LEQ,
  EXPR_GT,
  EXPR_GEQ,
  EXPR_AND,
  EXPR_OR,
  EXPR_IMPL,
  EXPR_UPDATE,
  EXPR_CONCAT_LISTS,
  EXPR_ADD,
  EXPR_SUB,
  EXPR_MUL,
  EXPR_DIV,
  EXPR_CUR_POS, // __curPos
} ExprKind;

// Common head of all nodes; the kind says which struct follows.
typedef struct Expr {
  uint8_t kind; // ExprKind
  uint8_t parenthesised;
  uint8_t spare_args; // the parser's: `args` of this call has room up to the next power of two
  uint32_t pos;
} Expr;

typedef struct ExprInt {
  Expr head;
  int64_t value;
} ExprInt;
typedef struct ExprFloat {
  Expr head;
  double value;
} ExprFloat;
// EXPR_STRING, EXPR_PATH (text as written), EXPR_SEARCH_PATH (text between the brackets)
typedef struct ExprText {
  Expr head;
  Span text;
} ExprText;
// Literal text is EXPR_STRING, but `${"x"}` is one too. Indented strings are already stripped; their escapes ('', $) are
// parts of their own, as in C++ Nix, so literals can stand side by side and there may be nothing but literals. At least one
// part. `part_pos[i]` is the offset of the literal or of the `${` (what C++ Nix reports when the part cannot be coerced).
typedef struct ExprInterp {
  Expr head;
  uint32_t count;
  Expr **parts;
  uint32_t *part_pos;
} ExprInterp;
typedef struct ExprVar {
  Expr head;
  AstName name;
} ExprVar;

// One step of an attribute path: a static name, or an expression (`name` is AST_NO_NAME).
typedef struct AstAttrName {
  AstName name;
  uint32_t pos;
  Expr *expr;
} AstAttrName;

typedef struct ExprSelect { // EXPR_SELECT, EXPR_HAS_ATTR
  Expr head;
  Expr *subject;
  uint32_t path_count;
  AstAttrName *path;
  Expr *fallback; // `or` expression, else NULL
} ExprSelect;

typedef struct ExprCall {
  Expr head;
  Expr *fn;
  uint32_t arg_count;
  Expr **args;
} ExprCall;

typedef struct AstFormal {
  AstName name;
  uint32_t pos;
  Expr *fallback;
} AstFormal; // fallback NULL: required

typedef struct ExprLambda {
  Expr head;
  AstName arg;       // `x:` or `x@{...}:`; AST_NO_NAME for a plain pattern
  AstName self_name; // name of the attribute or let binding it is the value of, for messages; else AST_NO_NAME
  bool has_formals;
  bool ellipsis;
  bool has_doc; // see Ast.docs
  uint32_t formal_count;
  AstFormal *formals;
  Expr *body;
} ExprLambda;

typedef enum AstAttrKind {
  AST_ATTR_PLAIN,        // a = value;
  AST_ATTR_INHERIT,      // inherit a;          value is an EXPR_VAR resolved in the enclosing scope
  AST_ATTR_INHERIT_FROM, // inherit (e) a;      value is NULL, e is inherit_from[from]
} AstAttrKind;

typedef struct AstAttr {
  AstName name;
  uint8_t kind;
  uint32_t pos;
  uint32_t from;
  Expr *value;
} AstAttr;
typedef struct AstDynAttr {
  Expr *name;
  Expr *value;
  uint32_t pos;
} AstDynAttr; // ${name} = value;

// The definitions of { }, rec { }, let.
typedef struct ExprAttrs {
  Expr head;
  bool recursive;
  uint32_t attr_count, dyn_count, inherit_from_count;
  AstAttr *attrs; // source order
  AstDynAttr *dyns;
  Expr **inherit_from;        // evaluated in the scope of the set (inside, when recursive)
  struct AttrGrowth *growth_; // the parser's; dangles afterwards
} ExprAttrs;

// `let binds in body`. The old `let { ...; body = e; }` is EXPR_SELECT of `body` from a recursive set.
typedef struct ExprLet {
  Expr head;
  ExprAttrs *binds;
  Expr *body;
} ExprLet;
typedef struct ExprList {
  Expr head;
  uint32_t count;
  Expr **items;
} ExprList;
// WITH, ASSERT, binary operators. The positions are the first tokens of the operands (a parenthesis included); head.pos is the
// keyword or the operator.
typedef struct ExprPair {
  Expr head;
  Expr *first;
  Expr *second;
  uint32_t first_pos, second_pos;
} ExprPair;
typedef struct ExprIf {
  Expr head;
  Expr *cond;
  Expr *then_;
  Expr *else_;
} ExprIf;
typedef struct ExprUnary {
  Expr head;
  Expr *operand;
} ExprUnary; // NOT, NEGATE

typedef struct AstNameEntry {
  Span text;
  uint32_t hash;
  uint32_t
      order; // of the names of a file, in which C++ Nix interns them: not the order of appearance, see name_table_retract
} AstNameEntry; // text lives in the source or the arena; hash: name_table_hash

// A `/** ... */` comment and the lambda that it documents (at ExprLambda.head.pos). Sorted by lambda_pos.
typedef struct AstDoc {
  uint32_t lambda_pos;
  uint32_t begin, end;
} AstDoc;

// `x or` where it will mean something else in a future Nix: source[begin, end). C++ Nix warns of each while parsing.
typedef struct AstCursedOr {
  uint32_t begin, end;
} AstCursedOr;

typedef struct Ast {
  Arena arena;
  AstNameEntry *names; // owned; every distinct identifier and static attribute name, in order of first appearance
  uint32_t name_count;
  AstDoc *docs; // owned
  uint32_t doc_count;
  AstCursedOr *cursed_ors; // owned
  uint32_t cursed_or_count;
  Expr *root;
} Ast;

void ast_done(Ast *ast);
