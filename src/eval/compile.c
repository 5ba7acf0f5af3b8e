// compile.c: see compile.h. Every expression is compiled in one of two ways: strict (its value in weak head normal form ends up on
// the operand stack) or lazy (a value that may be a thunk). Code of thunks and lambdas goes into blocks of their own; while a block is
// being compiled its instructions collect in a scratch array, on top of those of the blocks around it.
#include "eval/compile.h"

#include <pthread.h>

#include "base/mem.h"
#include "eval/ast_print.h"
#include "eval/attr_order.h"
#include "eval/code.h"
#include "eval/expr_traits.h"
#include "eval/scope_check.h"

#define COMPILE_NO_GLOBAL UINT32_MAX
#define COMPILE_UNKNOWN_GLOBAL (UINT32_MAX - 1)
#define COMPILE_EAGER_ITEMS 8    // literal lists and sets up to this size are made at once instead of delayed
#define COMPILE_MAX_ARITY 16     // arguments of one function; longer chains return closures
#define COMPILE_STACK_DEPTH 1500 // nesting of expressions that any C stack holds; deeper parts go on a large one
#define COMPILE_MAX_DEPTH 400000
#define COMPILE_TEXT_BYTES ((size_t)1 << 16)  // see compile_spend_text; besides eight times the source
#define COMPILE_STACK_BYTES ((size_t)1 << 30) // address space; only what is used is touched

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
  uint32_t kind, name, pos;
  size_t code_start, position_start, operand_start;
  uint32_t depth, max_depth; // operands
  bool is_lambda;
  uint32_t lambda_level; // level of the lambda's env
  uint32_t outer_group;
  uint32_t env_slots; // of the lambda's env so far
} Block;

typedef struct Compiler {
  const Ast *ast;
  Span source;
  const CompileScope *scope;
  Buf *image;
  uint32_t *code; // scratch
  size_t code_count, code_cap;
  CodePosition *pending; // positions of blocks in progress, relative to the scratch array
  size_t pending_count, pending_cap;
  CodePosition *positions; // final
  size_t position_count, position_cap;
  CodeOperand *pending_operands; // as positions: of blocks in progress, then final
  size_t pending_operand_count, pending_operand_cap;
  CodeOperand *operands;
  size_t operand_count, operand_cap;
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

static void compile_strict(Compiler *c, const Expr *e);
static void compile_lazy(Compiler *c, const Expr *e);
static uint32_t compile_slot(Compiler *c, const Expr *e);
static uint32_t compile_lambda(Compiler *c, const ExprLambda *lambda);

static void compile_fail(Compiler *c, uint32_t pos, char *message) {
  if (c->failed) {
    mem_free(message);
    return;
  }
  c->failed = true;
  c->error->pos = pos;
  c->error->message = message;
}

static void compile_fail_text(Compiler *c, uint32_t pos, const char *before, Span name, const char *after) {
  Buf buf = BUF_INIT;
  buf_printf(&buf, "%s%.*s%s", before, SPAN_ARG(name), after);
  compile_fail(c, pos, buf_take(&buf));
}

// ---- image and instructions ----

static uint32_t compile_here(const Compiler *c) {
  return (uint32_t)(c->image->len / 4);
}

static void compile_align(Compiler *c) {
  while (c->image->len % 8) buf_put_char(c->image, 0);
}

static inline void compile_put_word(Compiler *c, uint32_t word) {
  Buf *image = c->image;
  if (UNLIKELY(image->cap - image->len < sizeof word + 1)) buf_reserve(image, sizeof word);
  memcpy(image->data + image->len, &word, sizeof word);
  image->len += sizeof word;
}

static uint32_t compile_string_object(Compiler *c, Span text) {
  compile_align(c);
  uint32_t at = compile_here(c);
  Head head = HEAD(T_STRING, OBJ_STATIC, text.len);
  uint64_t context = 0;
  buf_put(c->image, &head, 8);
  buf_put(c->image, &context, 8);
  buf_put_span(c->image, text);
  buf_put_char(c->image, 0);
  if (text.len < 7) buf_put_repeat(c->image, 0, 7 - text.len);
  compile_align(c);
  return at;
}

static uint32_t compile_number_object(Compiler *c, unsigned type, uint64_t bits) {
  compile_align(c);
  uint32_t at = compile_here(c);
  Head head = HEAD(type, OBJ_STATIC, 0);
  buf_put(c->image, &head, 8);
  buf_put(c->image, &bits, 8);
  return at;
}

static void compile_emit(Compiler *c, uint32_t word) {
  MEM_RESERVE(c->code, c->code_cap, c->code_count + 1);
  c->code[c->code_count++] = word;
}

static void compile_adjust(Compiler *c, int delta) {
  c->block->depth = (uint32_t)((int)c->block->depth + delta);
  if (c->block->depth > c->block->max_depth) c->block->max_depth = c->block->depth;
}

// Emits an instruction that changes the operand count by `delta`.
static void compile_op(Compiler *c, Op op, uint32_t a, int delta) {
  if (UNLIKELY(a > OP_A_MAX)) compile_fail(c, 0, span_dup(SPAN("expression is too large")));
  compile_emit(c, OP_WORD(op, a));
  compile_adjust(c, delta);
}

static void compile_position(Compiler *c, uint32_t pos) {
  MEM_RESERVE(c->pending, c->pending_cap, c->pending_count + 1);
  c->pending[c->pending_count++] = (CodePosition){(uint32_t)c->code_count, pos};
}

static void compile_op_at(Compiler *c, Op op, uint32_t a, int delta, uint32_t pos) {
  compile_position(c, pos);
  compile_op(c, op, a, delta);
}

// Where an operand begins that ends with compile_operand.
typedef struct OperandStart {
  uint32_t code, depth;
} OperandStart;
static OperandStart compile_operand_start(const Compiler *c) {
  return (OperandStart){(uint32_t)c->code_count, c->block->depth};
}

// What has been emitted since `start` is an operand of that kind.
static void compile_operand(Compiler *c, OperandStart start, OperandKind kind, uint32_t pos) {
  uint32_t end = (uint32_t)c->code_count;
  MEM_RESERVE(c->pending_operands, c->pending_operand_cap, c->pending_operand_count + 1);
  c->pending_operands[c->pending_operand_count++] = (CodeOperand){start.code, end, pos, kind | start.depth << 8, 0};
}

// Emits the jump word of the instruction just begun; returns its place for compile_land.
static size_t compile_jump(Compiler *c) {
  compile_emit(c, 0);
  return c->code_count - 1;
}

// The jump at `place` (last word of its instruction) leads here.
static void compile_land(Compiler *c, size_t place) {
  c->code[place] = (uint32_t)(c->code_count - place - 1);
}

static void compile_begin_block(Compiler *c, Block *block, CodeKind kind, AstName name, uint32_t pos) {
  *block = (Block){.kind = kind,
                   .name = name == AST_NO_NAME ? 0 : name + 1,
                   .pos = pos,
                   .code_start = c->code_count,
                   .position_start = c->pending_count,
                   .operand_start = c->pending_operand_count,
                   .is_lambda = kind == CODE_LAMBDA,
                   .lambda_level = c->level,
                   .outer_group = c->group};
  c->group = ++c->group_count; // the code runs when all definitions around it are in place
  c->block = block;
}

// Moves the operands of the finished block, whose code is at `at`, to the final table. They were noted when they ended, so those around one
// come behind it.
static void compile_end_operands(Compiler *c, const Block *b, uint32_t at) {
  size_t n = c->pending_operand_count - b->operand_start, first = c->operand_count;
  MEM_RESERVE(c->operands, c->operand_cap, first + n);
  c->operand_count += n;
  for (size_t i = n; i-- > 0;) {
    CodeOperand operand = c->pending_operands[b->operand_start + i];
    operand.begin += at - (uint32_t)b->code_start;
    operand.end += at - (uint32_t)b->code_start;
    uint32_t outer = i + 1 < n ? (uint32_t)(first + i + 2) : 0;
    while (outer && c->operands[outer - 1].begin >= operand.end) outer = c->operands[outer - 1].outer;
    operand.outer = outer;
    c->operands[first + i] = operand;
  }
  c->pending_operand_count = b->operand_start;
}

// Moves the finished block into the image; returns the offset of its code.
static uint32_t compile_end_block(Compiler *c, Block *outer, const LambdaHead *lambda) {
  Block *b = c->block;
  compile_align(c);
  if (lambda) buf_put(c->image, lambda, sizeof *lambda);
  uint32_t at = compile_here(c) + (uint32_t)(sizeof(CodeHead) / 4);
  CodeHead head = {at, b->max_depth + 1, b->kind | b->name << 8, b->pos};
  buf_put(c->image, &head, sizeof head);
  buf_put(c->image, c->code + b->code_start, (c->code_count - b->code_start) * 4);
  size_t n = c->pending_count - b->position_start;
  MEM_RESERVE(c->positions, c->position_cap, c->position_count + n);
  for (size_t i = b->position_start; i < c->pending_count; i++)
    c->positions[c->position_count++] =
        (CodePosition){at + c->pending[i].code - (uint32_t)b->code_start, c->pending[i].pos};
  compile_end_operands(c, b, at);
  c->code_count = b->code_start;
  c->pending_count = b->position_start;
  c->group = b->outer_group;
  c->block = outer;
  return at;
}

// ---- names ----

static Span compile_name_text(const Compiler *c, AstName name) {
  return c->ast->names[name].text;
}

static uint32_t compile_name_string(Compiler *c, AstName name) {
  if (!c->name_strings[name]) c->name_strings[name] = compile_string_object(c, compile_name_text(c, name)) + 1;
  return c->name_strings[name] - 1;
}

static uint32_t compile_global(Compiler *c, AstName name) {
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

static void compile_bind(Compiler *c, AstName name, uint32_t slot) {
  Binding *b = ARENA_NEW(&c->arena, Binding);
  *b = (Binding){c->level, slot, c->group, c->bindings[name]};
  c->bindings[name] = b;
}

static void compile_unbind(Compiler *c, AstName name) {
  c->bindings[name] = c->bindings[name]->outer;
}

// ---- variables ----

// null, true, false when they are not redefined: the immediate, else 0.
static Value compile_constant_name(const Compiler *c, AstName name) {
  if (c->bindings[name]) return 0;
  Span text = compile_name_text(c, name);
  if (span_eq(text, SPAN("true"))) return VALUE_TRUE;
  if (span_eq(text, SPAN("false"))) return VALUE_FALSE;
  if (span_eq(text, SPAN("null"))) return VALUE_NULL;
  return 0;
}

static void compile_lexical(Compiler *c, const Binding *b, bool lazy, uint32_t pos) {
  static const Op strict_ops[] = {OP_VAR0, OP_VAR1, OP_VAR2}, lazy_ops[] = {OP_LVAR0, OP_LVAR1, OP_LVAR2};
  uint32_t level = c->level - b->level;
  if (!lazy) compile_position(c, pos);
  if (level < 3) {
    compile_op(c, lazy ? lazy_ops[level] : strict_ops[level], b->slot, 1);
    return;
  }
  compile_op(c, lazy ? OP_LVARN : OP_VARN, b->slot, 1);
  compile_emit(c, level);
}

static void compile_with_var(Compiler *c, AstName name, uint32_t pos) {
  compile_op_at(c, OP_WITHVAR, name, 1, pos);
  size_t count_place = c->code_count;
  compile_emit(c, 0);
  compile_emit(c, c->cache_count);
  for (const WithScope *w = c->with; w; w = w->outer) {
    compile_emit(c, c->level - w->level);
    c->code[count_place]++;
    c->cache_count++;
  }
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

// A call of a named function that programs may redefine (__lessThan, ...).
static void compile_named_call(Compiler *c, AstName name, const Expr *const *args, uint32_t count, uint32_t pos) {
  compile_lexical(c, c->bindings[name], false, pos);
  for (uint32_t i = 0; i < count; i++) compile_lazy(c, args[i]);
  compile_op_at(c, OP_CALL, count, -(int)count, pos);
}

// ---- blocks of delayed code ----

// `pos`: of the definition that the code is the value of, else of the expression.
static uint32_t compile_thunk_block(Compiler *c, const Expr *e, AstName name, uint32_t pos) {
  Block block, *outer = c->block;
  compile_begin_block(c, &block, CODE_THUNK, name, pos);
  compile_strict(c, e);
  compile_op(c, OP_RET, 0, -1);
  return compile_end_block(c, outer, NULL);
}

static bool compile_is_trivial_set(const ExprAttrs *set) {
  return !set->recursive && !set->dyn_count && !set->inherit_from_count && set->attr_count <= COMPILE_EAGER_ITEMS;
}

static void compile_int(Compiler *c, int64_t i) {
  if (i >= -(1 << 23) && i < 1 << 23) compile_op(c, OP_INT, (uint32_t)i & OP_A_MAX, 1);
  else compile_op(c, OP_OBJ, compile_number_object(c, T_BIGINT, (uint64_t)i), 1);
}

static uint32_t compile_path_literal(Compiler *c, Span text) {
  MEM_RESERVE(c->paths, c->path_cap, c->path_count + 1);
  c->has_home_paths |= text.len && text.data[0] == '~';
  c->paths[c->path_count] = compile_string_object(c, text);
  return c->path_count++;
}

static uint64_t compile_double_bits(double d) {
  uint64_t bits;
  memcpy(&bits, &d, 8);
  return bits;
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

static void compile_lazy(Compiler *c, const Expr *e) {
  if (!compile_lazy_simple(c, e)) compile_op(c, OP_THUNK, compile_thunk_block(c, e, AST_NO_NAME, e->pos), 1);
}

// ---- slots of sets and envs ----

static uint32_t compile_slot_word(Compiler *c, SlotKind kind, uint32_t payload) {
  if (payload > SLOT_PAYLOAD_MAX) compile_fail(c, 0, span_dup(SPAN("expression is too large")));
  return SLOT_WORD(kind, payload);
}

static uint32_t compile_var_slot(Compiler *c, const ExprVar *var) {
  Value constant = compile_constant_name(c, var->name);
  if (constant) return compile_slot_word(c, SLOT_IMM, (uint32_t)(constant >> 3));
  const Binding *b = c->bindings[var->name];
  if (b) {
    uint32_t level = c->level - b->level;
    // A sibling of the definitions being compiled may not be there yet. One that is there is shared and not evaluated by a thunk of
    // our own, which is seen when functions are compared: in `let f = x: x; g = f;` f and g are the same.
    bool there = b->group != c->group || b->slot < c->filled;
    if (there && level < 256 && b->slot < 1u << 20) return compile_slot_word(c, SLOT_VAR, level << 20 | b->slot);
    return 0;
  }
  uint32_t global = compile_global(c, var->name);
  return global == COMPILE_NO_GLOBAL ? 0 : compile_slot_word(c, SLOT_GLOBAL, global);
}

static uint32_t compile_named_slot(Compiler *c, const Expr *e, AstName name, uint32_t pos) {
  switch ((int)e->kind) {
  case EXPR_INT: {
    int64_t i = ((const ExprInt *)e)->value;
    if (i >= -(1 << 27) && i < 1 << 27) return compile_slot_word(c, SLOT_INT, (uint32_t)i & SLOT_PAYLOAD_MAX);
    return compile_slot_word(c, SLOT_OBJ, compile_number_object(c, T_BIGINT, (uint64_t)i));
  }
  case EXPR_FLOAT:
    return compile_slot_word(c, SLOT_OBJ,
                             compile_number_object(c, T_FLOAT, compile_double_bits(((const ExprFloat *)e)->value)));
  case EXPR_STRING: return compile_slot_word(c, SLOT_STR, compile_string_object(c, ((const ExprText *)e)->text));
  case EXPR_PATH: return compile_slot_word(c, SLOT_PATH, compile_path_literal(c, ((const ExprText *)e)->text));
  case EXPR_LAMBDA:
    // Functions nested in the defaults of functions: compile_strict knows what to do.
    if (c->nesting + 1 >= (c->on_large_stack ? COMPILE_MAX_DEPTH : COMPILE_STACK_DEPTH)) break;
    return compile_slot_word(c, SLOT_CLOSURE, compile_lambda(c, (const ExprLambda *)e));
  case EXPR_LIST:
    if (!((const ExprList *)e)->count) return compile_slot_word(c, SLOT_IMM, (uint32_t)(VALUE_EMPTY_LIST >> 3));
    break;
  case EXPR_ATTRS: {
    const ExprAttrs *set = (const ExprAttrs *)e;
    if (!set->attr_count && !set->dyn_count) return compile_slot_word(c, SLOT_IMM, (uint32_t)(VALUE_EMPTY_ATTRS >> 3));
    break;
  }
  case EXPR_VAR: {
    uint32_t word = compile_var_slot(c, (const ExprVar *)e);
    if (word) return word;
    break;
  }
  default: break;
  }
  return compile_slot_word(c, SLOT_THUNK, compile_thunk_block(c, e, name, pos));
}

static uint32_t compile_slot(Compiler *c, const Expr *e) {
  return compile_named_slot(c, e, AST_NO_NAME, e->pos);
}

// inherit (e) name: selects from the hidden slot that holds e.
static uint32_t compile_inherit_from_slot(Compiler *c, const AstAttr *attr, uint32_t from_slot) {
  Block block, *outer = c->block;
  compile_begin_block(c, &block, CODE_THUNK, attr->name, attr->pos);
  compile_op_at(c, OP_VAR0, from_slot, 1, attr->pos);
  compile_op_at(c, OP_SELECT, c->cache_count++, 0, attr->pos);
  compile_emit(c, attr->name);
  compile_op(c, OP_RET, 0, -1);
  return compile_slot_word(c, SLOT_THUNK, compile_end_block(c, outer, NULL));
}

static uint32_t compile_attr_slot(Compiler *c, const AstAttr *attr, uint32_t from_base) {
  if (attr->kind == AST_ATTR_INHERIT_FROM) return compile_inherit_from_slot(c, attr, from_base + attr->from);
  if (attr->value->kind == EXPR_ATTRS) // also { }: see compile_is_thunk_in_nix
    return compile_slot_word(c, SLOT_THUNK, compile_thunk_block(c, attr->value, attr->name, attr->pos));
  return compile_named_slot(c, attr->value, attr->name, attr->pos);
}

static AstName compile_find_attr(const Compiler *c, const ExprAttrs *set, Span name) {
  for (uint32_t i = 0; i < set->attr_count; i++)
    if (span_eq(compile_name_text(c, set->attrs[i].name), name)) return i;
  return UINT32_MAX;
}

// Slot words of definitions whose names are bound in the current env from `base` on; hidden slots for inherit_from follow. An inherited
// name refers to the scope around, so it is compiled with the binding of the set taken off.
static uint32_t *compile_env_slots(Compiler *c, const ExprAttrs *set, uint32_t base) {
  uint32_t n = set->attr_count, total = n + set->inherit_from_count;
  uint32_t *slots = mem_alloc_array(total + 1, sizeof *slots);
  bool overridden = compile_find_attr(c, set, SPAN("__overrides")) != UINT32_MAX; // slots change after they are filled
  for (uint32_t i = 0; i < n; i++) {
    const AstAttr *attr = &set->attrs[i];
    c->filled = overridden ? 0 : base + i;
    if (attr->kind == AST_ATTR_INHERIT) {
      Binding *own = c->bindings[attr->name];
      c->bindings[attr->name] = own->outer;
      slots[i] = compile_attr_slot(c, attr, 0);
      c->bindings[attr->name] = own;
    } else {
      slots[i] = compile_attr_slot(c, attr, base + n);
    }
  }
  for (uint32_t i = 0; i < set->inherit_from_count; i++) {
    c->filled = overridden ? 0 : base + n + i;
    slots[n + i] = compile_slot(c, set->inherit_from[i]);
  }
  return slots;
}

static uint32_t compile_env_descriptor(Compiler *c, const uint32_t *slots, uint32_t count, uint32_t base) {
  uint32_t at = compile_here(c);
  compile_put_word(c, count);
  compile_put_word(c, base);
  for (uint32_t i = 0; i < count; i++) compile_put_word(c, slots[i]);
  return at;
}

static void compile_bind_all(Compiler *c, const ExprAttrs *set, uint32_t base) {
  c->group = ++c->group_count;
  for (uint32_t i = 0; i < set->attr_count; i++) compile_bind(c, set->attrs[i].name, base + i);
}

static void compile_unbind_all(Compiler *c, const ExprAttrs *set) {
  for (uint32_t i = 0; i < set->attr_count; i++) compile_unbind(c, set->attrs[i].name);
}

// Set descriptor with the slot word of each attribute (source order).
static uint32_t compile_set_descriptor(Compiler *c, const ExprAttrs *set, const uint32_t *slots) {
  uint32_t n = set->attr_count;
  uint32_t *order = mem_alloc_array(n, sizeof *order);
  attr_order_sort(c->ast, set, order);
  uint32_t at = compile_here(c);
  compile_put_word(c, n);
  compile_put_word(c, c->shape_count++);
  for (uint32_t i = 0; i < n; i++) compile_put_word(c, set->attrs[order[i]].name);
  for (uint32_t i = 0; i < n; i++) compile_put_word(c, set->attrs[order[i]].pos);
  for (uint32_t i = 0; i < n; i++) compile_put_word(c, slots[order[i]]);
  mem_free(order);
  return at;
}

// Literals that compile_lazy makes at once. Nix delays them, which can be seen in values that are printed. (Functions it delays in
// lists only.)
static bool compile_is_thunk_in_nix(const Expr *e) {
  switch ((int)e->kind) {
  case EXPR_LIST: return ((const ExprList *)e)->count && ((const ExprList *)e)->count <= COMPILE_EAGER_ITEMS;
  case EXPR_ATTRS: return compile_is_trivial_set((const ExprAttrs *)e);
  default: return false;
  }
}

static void compile_dyn_attrs(Compiler *c, const ExprAttrs *set) {
  if (!set->dyn_count) return;
  for (uint32_t i = 0; i < set->dyn_count; i++) {
    compile_strict(c, set->dyns[i].name);
    compile_lazy(c, set->dyns[i].value);
    if (compile_is_thunk_in_nix(set->dyns[i].value)) compile_op(c, OP_UNASKED, 0, 0);
  }
  compile_op_at(c, OP_DYNATTRS, set->dyn_count, -2 * (int)set->dyn_count, set->dyns[0].pos);
  for (uint32_t i = 0; i < set->dyn_count; i++) compile_emit(c, set->dyns[i].pos);
}

static void compile_push_set(Compiler *c, const ExprAttrs *set, const uint32_t *slots) {
  if (!set->attr_count) compile_op(c, OP_IMM, (uint32_t)(VALUE_EMPTY_ATTRS >> 3), 1);
  else compile_op(c, OP_ATTRS, compile_set_descriptor(c, set, slots), 1);
}

static void compile_rec_set(Compiler *c, const ExprAttrs *set) {
  uint32_t n = set->attr_count, outer_group = c->group;
  c->level++;
  compile_bind_all(c, set, 0);
  uint32_t *slots = compile_env_slots(c, set, 0);
  compile_op(c, OP_ENTER, compile_env_descriptor(c, slots, n + set->inherit_from_count, 0), 0);
  c->group = ++c->group_count; // from here on all slots are there
  for (uint32_t i = 0; i < n; i++) slots[i] = compile_slot_word(c, SLOT_ENV, i);
  uint32_t overrides = compile_find_attr(c, set, SPAN("__overrides"));
  if (overrides != UINT32_MAX && n) {
    uint32_t descriptor = compile_set_descriptor(c, set, slots);
    compile_op_at(c, OP_VAR0, overrides, 1, set->attrs[overrides].pos);
    compile_op_at(c, OP_OVERRIDE, descriptor, 0, set->attrs[overrides].pos);
    compile_op(c, OP_ATTRS, descriptor, 1);
    compile_op(c, OP_SWAP, 0, 0);
    compile_op_at(c, OP_UPDATE, 0, -1, set->head.pos);
  } else {
    compile_push_set(c, set, slots);
  }
  mem_free(slots);
  compile_dyn_attrs(c, set);
  compile_op(c, OP_LEAVE, 0, 0);
  compile_unbind_all(c, set);
  c->level--;
  c->group = outer_group;
}

static void compile_plain_set(Compiler *c, const ExprAttrs *set) {
  uint32_t n = set->attr_count, outer_group = c->group;
  uint32_t *slots = mem_alloc_array((size_t)n + set->inherit_from_count + 1, sizeof *slots);
  bool hidden = set->inherit_from_count > 0;
  if (hidden) { // a nameless env holds what is inherited from
    c->level++;
    c->group = ++c->group_count;
    for (uint32_t i = 0; i < set->inherit_from_count; i++) slots[i] = compile_slot(c, set->inherit_from[i]);
    compile_op(c, OP_ENTER, compile_env_descriptor(c, slots, set->inherit_from_count, 0), 0);
  }
  for (uint32_t i = 0; i < n; i++) slots[i] = compile_attr_slot(c, &set->attrs[i], 0);
  compile_push_set(c, set, slots);
  mem_free(slots);
  compile_dyn_attrs(c, set);
  if (hidden) {
    compile_op(c, OP_LEAVE, 0, 0);
    c->level--;
    c->group = outer_group;
  }
}

static void compile_let(Compiler *c, const ExprLet *let) {
  const ExprAttrs *set = let->binds;
  uint32_t total = set->attr_count + set->inherit_from_count, outer_group = c->group;
  // Code of a lambda runs once for its env, so the definitions can live in that env.
  bool hoisted = c->block->is_lambda && c->block->lambda_level == c->level;
  uint32_t base = 0;
  if (hoisted) {
    base = c->block->env_slots;
    c->block->env_slots += total;
  } else {
    c->level++;
  }
  compile_bind_all(c, set, base);
  uint32_t *slots = compile_env_slots(c, set, base);
  compile_op(c, hoisted ? OP_LET : OP_ENTER, compile_env_descriptor(c, slots, total, base), 0);
  mem_free(slots);
  c->group = ++c->group_count;
  compile_strict(c, let->body);
  compile_unbind_all(c, set);
  c->group = outer_group;
  if (!hoisted) {
    compile_op(c, OP_LEAVE, 0, 0);
    c->level--;
  }
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
    words[i] = l->formals[i].fallback
                   ? compile_named_slot(c, l->formals[i].fallback, l->formals[i].name, l->formals[i].pos)
                   : 0;
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
  for (const uint32_t *ip = c->code + block->code_start; ip < c->code + c->code_count;
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
static uint32_t compile_lambda(Compiler *c, const ExprLambda *lambda) {
  Block block, *outer = c->block;
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
  return compile_end_block(c, outer, &head);
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

// ---- selection ----

// `pos`: of the whole selection, where a missing attribute is reported.
static void compile_select_step(Compiler *c, const AstAttrName *step, uint32_t pos, size_t *fallback_jump) {
  compile_op_at(c, fallback_jump ? OP_SELECT_OR : OP_SELECT, c->cache_count++, 0, pos);
  compile_emit(c, step->name);
  if (fallback_jump) *fallback_jump = compile_jump(c);
}

// Expressions whose text is kept for messages may be nested in each other.
static void compile_spend_text(Compiler *c, size_t bytes) {
  c->text_budget -= bytes < c->text_budget ? bytes : c->text_budget;
}

// For traces: the number of steps, then for each the number of its name << 1, or the text of its expression << 1 | 1.
static uint32_t compile_path_descriptor(Compiler *c, const ExprSelect *select) {
  uint32_t *words = mem_alloc_array(select->path_count, sizeof *words);
  for (uint32_t i = 0; i < select->path_count; i++) {
    const AstAttrName *step = &select->path[i];
    if (!step->expr) {
      words[i] = step->name << 1;
      continue;
    }
    Buf text = BUF_INIT;
    if (c->text_budget) ast_print_attr_path(c->ast->names, step, 1, &text);
    else buf_put_cstr(&text, "…");
    compile_spend_text(c, text.len);
    words[i] = compile_string_object(c, buf_span(&text)) << 1 | 1;
    buf_done(&text);
  }
  uint32_t at = compile_here(c);
  compile_put_word(c, select->path_count);
  for (uint32_t i = 0; i < select->path_count; i++) compile_put_word(c, words[i]);
  mem_free(words);
  return at;
}

// A path with computed names. A name is evaluated before the set that it is looked up in; the names of the path and the places of what was
// found stay on the stack until the end, for traces.
static void compile_select_dynamic(Compiler *c, const ExprSelect *select) {
  uint32_t count = select->path_count, descriptor = compile_path_descriptor(c, select);
  size_t *jumps = mem_alloc_array(count, sizeof *jumps);
  for (uint32_t i = 0; i < count; i++) {
    const AstAttrName *step = &select->path[i];
    OperandStart start = compile_operand_start(c);
    if (step->expr) compile_strict(c, step->expr);
    else compile_op(c, OP_NAME, step->name, 1);
    bool lazy = i + 1 < count && select->path[i + 1].expr;
    compile_op_at(c, select->fallback ? OP_SELECT_OR_DYN : OP_SELECT_DYN, i << 1 | lazy, 1, select->head.pos);
    compile_emit(c, step->expr ? expr_traits_known_pos(step->expr) : AST_NO_POS);
    compile_emit(c, descriptor);
    if (select->fallback) jumps[i] = compile_jump(c);
    compile_operand(c, start, OPERAND_STEP, select->fallback ? 4 : 3); // words of the instruction at its end
  }
  if (select->fallback) {
    compile_op(c, OP_JMP, 0, 0);
    size_t done = compile_jump(c);
    for (uint32_t i = 0; i < count; i++) compile_land(c, jumps[i]);
    compile_adjust(c, -1);
    OperandStart start = compile_operand_start(c);
    compile_strict(c, select->fallback);
    compile_operand(c, start, OPERAND_FALLBACK, descriptor);
    compile_land(c, done);
  }
  mem_free(jumps);
  compile_op(c, OP_DROP, 2 * count, -2 * (int)count);
}

static bool compile_is_dynamic_path(const ExprSelect *select) {
  for (uint32_t i = 0; i < select->path_count; i++)
    if (select->path[i].expr) return true;
  return false;
}

// Of a path without computed names: traces name the step before one that fails. They find it by walking along the path again, from the value
// of a variable that is still there, or else from the subject, which is kept on the stack.
static bool compile_keeps_subject(const Compiler *c, const ExprSelect *select) {
  if (select->path_count < 2) return false;
  if (select->fallback) return !expr_traits_is_silent(select->fallback);
  return select->subject->kind != EXPR_VAR || (!c->bindings[((const ExprVar *)select->subject)->name] && c->with);
}

static void compile_select(Compiler *c, const ExprSelect *select) {
  compile_strict(c, select->subject);
  if (compile_is_dynamic_path(select)) {
    compile_select_dynamic(c, select);
    return;
  }
  bool kept = compile_keeps_subject(c, select);
  if (kept) compile_op(c, OP_DUP, 0, 1);
  if (!select->fallback) {
    for (uint32_t i = 0; i < select->path_count; i++) compile_select_step(c, &select->path[i], select->head.pos, NULL);
    if (kept) compile_op(c, OP_DROP, 1, -1);
    return;
  }
  size_t *jumps = mem_alloc_array(select->path_count, sizeof *jumps);
  for (uint32_t i = 0; i < select->path_count; i++)
    compile_select_step(c, &select->path[i], select->head.pos, &jumps[i]);
  compile_op(c, OP_JMP, 0, 0);
  size_t done = compile_jump(c);
  for (uint32_t i = 0; i < select->path_count; i++) compile_land(c, jumps[i]);
  mem_free(jumps);
  compile_adjust(c, -1);
  OperandStart start = compile_operand_start(c);
  compile_strict(c, select->fallback);
  if (kept) compile_operand(c, start, OPERAND_PLAIN_FALLBACK, select->head.pos);
  compile_land(c, done);
  if (kept) compile_op(c, OP_DROP, 1, -1);
}

static void compile_has_attr(Compiler *c, const ExprSelect *has) {
  compile_strict(c, has->subject);
  uint32_t last = has->path_count - 1;
  size_t *jumps = mem_alloc_array((size_t)last + 1, sizeof *jumps);
  for (uint32_t i = 0; i < last; i++) {
    const AstAttrName *step = &has->path[i];
    if (step->expr) {
      compile_strict(c, step->expr);
      compile_op_at(c, OP_HAS_NEXT_DYN, 0, -1, step->pos);
      compile_emit(c, expr_traits_known_pos(step->expr));
    } else {
      compile_op_at(c, OP_HAS_NEXT, c->cache_count++, 0, step->pos);
      compile_emit(c, step->name);
    }
    jumps[i] = compile_jump(c);
  }
  const AstAttrName *step = &has->path[last];
  if (step->expr) {
    compile_strict(c, step->expr);
    compile_op_at(c, OP_HAS_DYN, 0, -1, step->pos);
    compile_emit(c, expr_traits_known_pos(step->expr));
  } else {
    compile_op_at(c, OP_HAS, c->cache_count++, 0, step->pos);
    compile_emit(c, step->name);
  }
  if (last) {
    compile_op(c, OP_JMP, 0, 0);
    size_t done = compile_jump(c);
    for (uint32_t i = 0; i < last; i++) compile_land(c, jumps[i]);
    compile_adjust(c, -1);
    compile_op(c, OP_IMM, (uint32_t)(VALUE_FALSE >> 3), 1);
    compile_land(c, done);
  }
  mem_free(jumps);
}

// ---- operators ----

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

static bool compile_redefined(const Compiler *c, AstName name) {
  return name != AST_NO_NAME && c->bindings[name];
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
  if (e->first->kind == EXPR_EQ) { // the operands are kept, to say where they differ
    const ExprPair *eq = (const ExprPair *)e->first;
    compile_strict(c, eq->first);
    compile_strict(c, eq->second);
    compile_op(c, OP_DUP2, 0, 2);
    compile_op_at(c, OP_EQ, 0, -1, eq->head.pos);
    compile_operand(c, start, OPERAND_ASSERTION, e->head.pos);
    compile_op_at(c, OP_ASSERT_EQ, compile_assert_text(c, e->first), -3, e->head.pos);
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
  case EXPR_FLOAT:
    compile_op(c, OP_OBJ, compile_number_object(c, T_FLOAT, compile_double_bits(((const ExprFloat *)e)->value)), 1);
    return;
  case EXPR_STRING: compile_op(c, OP_STR, compile_string_object(c, ((const ExprText *)e)->text), 1); return;
  case EXPR_PATH: compile_op(c, OP_PATH, compile_path_literal(c, ((const ExprText *)e)->text), 1); return;
  case EXPR_SEARCH_PATH: compile_search_path(c, (const ExprText *)e); return;
  case EXPR_INTERP: compile_interp(c, (const ExprInterp *)e, false); return;
  case EXPR_INTERP_PATH: compile_interp(c, (const ExprInterp *)e, true); return;
  case EXPR_VAR: compile_var(c, (const ExprVar *)e); return;
  case EXPR_SELECT: compile_select(c, (const ExprSelect *)e); return;
  case EXPR_HAS_ATTR: compile_has_attr(c, (const ExprSelect *)e); return;
  case EXPR_CALL: compile_call(c, (const ExprCall *)e); return;
  case EXPR_LAMBDA: compile_op(c, OP_CLOSURE, compile_lambda(c, (const ExprLambda *)e), 1); return;
  case EXPR_LET: compile_let(c, (const ExprLet *)e); return;
  case EXPR_ATTRS:
    if (((const ExprAttrs *)e)->recursive) compile_rec_set(c, (const ExprAttrs *)e);
    else compile_plain_set(c, (const ExprAttrs *)e);
    return;
  case EXPR_LIST: {
    const ExprList *list = (const ExprList *)e;
    if (!list->count) {
      compile_op(c, OP_IMM, (uint32_t)(VALUE_EMPTY_LIST >> 3), 1);
      return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
      compile_lazy(c, list->items[i]);
      if (list->items[i]->kind == EXPR_LAMBDA || compile_is_thunk_in_nix(list->items[i]))
        compile_op(c, OP_UNASKED, 0, 0);
    }
    compile_op(c, OP_LIST, list->count, 1 - (int)list->count);
    return;
  }
  case EXPR_WITH: compile_with(c, (const ExprPair *)e); return;
  case EXPR_ASSERT: compile_assert(c, (const ExprPair *)e); return;
  case EXPR_IF: compile_if(c, (const ExprIf *)e); return;
  case EXPR_NOT: compile_not(c, ((const ExprUnary *)e)->operand); return;
  case EXPR_NEGATE: compile_negate(c, (const ExprUnary *)e); return;
  case EXPR_EQ: compile_binary(c, (const ExprPair *)e, OP_EQ); return;
  case EXPR_NEQ:
    compile_binary(c, (const ExprPair *)e, OP_EQ);
    compile_op(c, OP_NOT, 0, 0);
    return;
  case EXPR_LT:
  case EXPR_LEQ:
  case EXPR_GT:
  case EXPR_GEQ: compile_comparison(c, (const ExprPair *)e); return;
  case EXPR_AND: compile_logic(c, (const ExprPair *)e, OP_AND, OPERAND_AND_LEFT); return;
  case EXPR_OR: compile_logic(c, (const ExprPair *)e, OP_OR, OPERAND_OR_LEFT); return;
  case EXPR_IMPL: compile_logic(c, (const ExprPair *)e, OP_IMPL, OPERAND_IMPL_LEFT); return;
  case EXPR_UPDATE: compile_update(c, (const ExprPair *)e); return;
  case EXPR_CONCAT_LISTS: compile_binary(c, (const ExprPair *)e, OP_CONCAT); return;
  case EXPR_ADD: {
    const ExprPair *pair = (const ExprPair *)e;
    compile_strict(c, pair->first);
    if (!expr_traits_is_addable(pair->first)) compile_check_left(c, pair, OP_ADD_LEFT, pair->first_pos);
    compile_part(c, pair->second);
    OperandStart start = compile_operand_start(c);
    compile_op_at(c, OP_ADD, 0, -1, pair->second_pos);
    compile_operand(c, start, OPERAND_ADD, pair->first_pos);
    return;
  }
  case EXPR_SUB: compile_arithmetic(c, (const ExprPair *)e, OP_SUB, c->sub, OPERAND_SUB); return;
  case EXPR_MUL: compile_arithmetic(c, (const ExprPair *)e, OP_MUL, c->mul, OPERAND_MUL); return;
  case EXPR_DIV: compile_arithmetic(c, (const ExprPair *)e, OP_DIV, c->div, OPERAND_DIV); return;
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

static void compile_strict(Compiler *c, const Expr *e) {
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
  mem_free(c->code);
  mem_free(c->pending);
  mem_free(c->positions);
  mem_free(c->pending_operands);
  mem_free(c->operands);
  mem_free(c->bindings);
  mem_free(c->name_globals);
  mem_free(c->globals);
  mem_free(c->paths);
  mem_free(c->name_strings);
  arena_done(&c->arena);
}

static uint32_t compile_table(Compiler *c, const void *data, size_t bytes) {
  compile_align(c);
  uint32_t at = compile_here(c);
  buf_put(c->image, data, bytes);
  return at;
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
      .position_count = (uint32_t)c->position_count,
      .operand_count = (uint32_t)c->operand_count,
      .shape_count = c->shape_count,
      .cache_count = c->cache_count,
      .formals_cache_count = c->formals_cache_count,
      .source_len = (uint32_t)c->source.len,
      .has_home_paths = c->has_home_paths,
  };
  header.name_off = compile_table(c, names, ast->name_count * sizeof *names);
  header.path_off = compile_table(c, c->paths, c->path_count * sizeof *c->paths);
  header.global_off = compile_table(c, c->globals, c->global_count * sizeof *c->globals);
  header.position_off = compile_table(c, c->positions, c->position_count * sizeof *c->positions);
  header.operand_off = compile_table(c, c->operands, c->operand_count * sizeof *c->operands);
  compile_align(c);
  header.word_count = compile_here(c);
  memcpy(c->image->data, &header, sizeof header);
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
  Compiler c = {.ast = ast, .source = source, .scope = scope, .image = ret, .error = ret_error};
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
  uint32_t root = compile_end_block(&c, NULL, NULL);
  if (!c.failed) compile_tables(&c, root);
  bool ok = !c.failed;
  if (c.is_undefined) compile_choose_undefined(&c);
  compile_done(&c);
  if (!ok) buf_done(ret);
  return ok;
}
