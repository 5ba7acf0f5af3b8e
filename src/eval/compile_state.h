// compile_state.h: the private part of the compiler, shared by compile.c and the compile_*.c that compile one kind of expression each. Nobody
// else includes it.
//
// Every expression is compiled in one of two ways: strict (its value in weak head normal form ends up on the operand stack) or lazy (a
// value that may be a thunk). Code of thunks and lambdas goes into blocks of their own (code_emit.h).
#pragma once

#include "base/arena.h"
#include "eval/code_emit.h"
#include "eval/compile.h"

#define COMPILE_NO_GLOBAL UINT32_MAX
#define COMPILE_UNKNOWN_GLOBAL (UINT32_MAX - 1)
#define COMPILE_EAGER_ITEMS 8    // literal lists and sets up to this size are made at once instead of delayed
#define COMPILE_MAX_ARITY 16     // arguments of one function; longer chains return closures
#define COMPILE_STACK_DEPTH 1500 // nesting of expressions that any C stack holds; deeper parts go on a large one
#define COMPILE_MAX_DEPTH 400000
#define COMPILE_TEXT_BYTES ((size_t)1 << 16)  // see compile_spend_text; besides eight times the source
#define COMPILE_STACK_BYTES ((size_t)1 << 30) // address space; only what is used is touched

// A definition that is in scope.
typedef struct Binding {
  uint32_t level, slot;
  uint32_t group; // of the set of definitions that made it
  struct Binding *outer;
} Binding;

typedef struct WithScope {
  uint32_t level, pos;
  struct WithScope *outer;
} WithScope;

typedef struct Block {
  CodeBlock code;
  bool is_lambda;
  uint32_t lambda_level; // level of the lambda's env
  uint32_t outer_group;
  uint32_t env_slots; // of the lambda's env so far
  struct Block *outer;
} Block;

typedef struct Compiler {
  const Ast *ast;
  Span source;
  const CompileScope *scope;
  CodeEmit emit;
  Binding **bindings; // innermost, by name
  uint32_t *name_globals;
  uint32_t *globals, global_count, global_cap;
  uint32_t *paths, path_count, path_cap;
  bool has_home_paths;
  uint32_t *name_strings; // word offset + 1 of the string object of a name
  Arena arena;            // bindings
  WithScope *with;
  Block *block;
  uint32_t level; // envs around the current code; level of the current env
  uint32_t shape_count, cache_count, formals_cache_count;
  uint32_t group; // number of the definitions being compiled
  uint32_t group_count;
  uint32_t filled; // of these definitions, slots below have their values when the one being compiled gets its own
  uint32_t nesting;
  bool on_large_stack;
  AstName less_than, sub, mul, div, find_file, nix_path;
  bool failed;
  size_t text_budget; // bytes of texts of expressions that may still be kept
  bool is_undefined;  // a variable is what has failed
  ParserError *error;
} Compiler;

void compile_strict(Compiler *c, const Expr *e);
void compile_lazy(Compiler *c, const Expr *e);
// Literals that compile_lazy makes at once. Nix delays them, which can be seen in values that are printed.
bool compile_is_thunk_in_nix(const Expr *e);

// Takes the message. Of several failures the first is kept; what is emitted after one is of no use.
void compile_fail(Compiler *c, uint32_t pos, char *message);
void compile_fail_text(Compiler *c, uint32_t pos, const char *before, Span name, const char *after);

// Parts of expressions that are needed in several places.
void compile_int(Compiler *c, int64_t i);
uint32_t compile_float_object(Compiler *c, double d);
uint32_t compile_path_literal(Compiler *c, Span text);          // its number
uint32_t compile_lambda(Compiler *c, const ExprLambda *lambda); // a block; returns its code
// The block of a delayed expression; returns its code. `pos`: of the definition that the code is the value of, else of the expression.
uint32_t compile_thunk_block(Compiler *c, const Expr *e, AstName name, uint32_t pos);
void compile_begin_block(Compiler *c, Block *block, CodeKind kind, AstName name, uint32_t pos);
uint32_t compile_end_block(Compiler *c, const LambdaHead *lambda);

// ---- names

uint32_t compile_global(Compiler *c, AstName name); // its number, or COMPILE_NO_GLOBAL
// null, true, false when they are not redefined: the immediate, else 0.
Value compile_constant_name(const Compiler *c, AstName name);
void compile_lexical(Compiler *c, const Binding *b, bool lazy, uint32_t pos);

static inline Span compile_name_text(const Compiler *c, AstName name) {
  return c->ast->names[name].text;
}

static inline void compile_bind(Compiler *c, AstName name, uint32_t slot) {
  Binding *b = ARENA_NEW(&c->arena, Binding);
  *b = (Binding){c->level, slot, c->group, c->bindings[name]};
  c->bindings[name] = b;
}

static inline void compile_unbind(Compiler *c, AstName name) {
  c->bindings[name] = c->bindings[name]->outer;
}

static inline bool compile_redefined(const Compiler *c, AstName name) {
  return name != AST_NO_NAME && c->bindings[name];
}

// Texts of expressions are kept for messages, and may be nested in each other: there is a budget for all of them.
static inline void compile_spend_text(Compiler *c, size_t bytes) {
  c->text_budget -= bytes < c->text_budget ? bytes : c->text_budget;
}

// ---- short for what is emitted most (code_emit.h)

static inline uint32_t compile_here(const Compiler *c) {
  return code_emit_here(&c->emit);
}

static inline void compile_put_word(Compiler *c, uint32_t word) {
  code_emit_put_word(&c->emit, word);
}

static inline uint32_t compile_string_object(Compiler *c, Span text) {
  return code_emit_string(&c->emit, text);
}

static inline void compile_emit(Compiler *c, uint32_t word) {
  code_emit_word(&c->emit, word);
}

static inline void compile_adjust(Compiler *c, int delta) {
  code_emit_adjust(&c->emit, delta);
}

static inline void compile_op(Compiler *c, Op op, uint32_t a, int delta) {
  if (UNLIKELY(a > OP_A_MAX)) compile_fail(c, 0, span_dup(SPAN("expression is too large")));
  code_emit_op(&c->emit, op, a, delta);
}

static inline void compile_op_at(Compiler *c, Op op, uint32_t a, int delta, uint32_t pos) {
  code_emit_position(&c->emit, pos);
  compile_op(c, op, a, delta);
}

static inline OperandStart compile_operand_start(const Compiler *c) {
  return code_emit_operand_start(&c->emit);
}

static inline void compile_operand(Compiler *c, OperandStart start, OperandKind kind, uint32_t pos) {
  code_emit_operand(&c->emit, start, kind, pos);
}

static inline size_t compile_jump(Compiler *c) {
  return code_emit_jump(&c->emit);
}

static inline void compile_land(Compiler *c, size_t place) {
  code_emit_land(&c->emit, place);
}
