// compile_set.c: see compile_set.h.
#include "eval/compile_set.h"

#include <stdlib.h>

#include "eval/attr_order.h"

// ---- slots

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

uint32_t compile_set_slot(Compiler *c, const Expr *e, AstName name, uint32_t pos) {
  switch ((int)e->kind) {
  case EXPR_INT: {
    int64_t i = ((const ExprInt *)e)->value;
    if (i >= -(1 << 27) && i < 1 << 27) return compile_slot_word(c, SLOT_INT, (uint32_t)i & SLOT_PAYLOAD_MAX);
    return compile_slot_word(c, SLOT_OBJ, code_emit_number(&c->emit, T_BIGINT, (uint64_t)i));
  }
  case EXPR_FLOAT: return compile_slot_word(c, SLOT_OBJ, compile_float_object(c, ((const ExprFloat *)e)->value));
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

static uint32_t compile_value_slot(Compiler *c, const Expr *e) {
  return compile_set_slot(c, e, AST_NO_NAME, e->pos);
}

// inherit (e) name: selects from the hidden slot that holds e.
static uint32_t compile_inherit_from_slot(Compiler *c, const AstAttr *attr, uint32_t from_slot) {
  Block block;
  compile_begin_block(c, &block, CODE_THUNK, attr->name, attr->pos);
  compile_op_at(c, OP_VAR0, from_slot, 1, attr->pos);
  compile_op_at(c, OP_SELECT, c->cache_count++, 0, attr->pos);
  compile_emit(c, attr->name);
  compile_op(c, OP_RET, 0, -1);
  return compile_slot_word(c, SLOT_THUNK, compile_end_block(c, NULL));
}

static uint32_t compile_attr_slot(Compiler *c, const AstAttr *attr, uint32_t from_base, bool overridden) {
  if (attr->kind == AST_ATTR_INHERIT_FROM) return compile_inherit_from_slot(c, attr, from_base + attr->from);
  if (overridden && attr->kind != AST_ATTR_INHERIT) // Nix delays all, which can be seen in values that are printed
    return compile_slot_word(c, SLOT_THUNK, compile_thunk_block(c, attr->value, attr->name, attr->pos));
  if (attr->value->kind == EXPR_ATTRS) // also { }: see compile_is_thunk_in_nix
    return compile_slot_word(c, SLOT_THUNK, compile_thunk_block(c, attr->value, attr->name, attr->pos));
  return compile_set_slot(c, attr->value, attr->name, attr->pos);
}

// ---- envs

static AstName compile_find_attr(const Compiler *c, const ExprAttrs *set, Span name) {
  for (uint32_t i = 0; i < set->attr_count; i++)
    if (span_eq(compile_name_text(c, set->attrs[i].name), name)) return i;
  return UINT32_MAX;
}

static int compile_compare_order(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

// The attributes in the order in which Nix fills their slots, that of its symbols: the number of each in the low half. Owned. It can be seen
// where one is only another's name (compile_var_slot). Names that other files have brought up before are not known here.
static uint64_t *compile_slot_order(const Compiler *c, const ExprAttrs *set) {
  uint64_t *order = mem_alloc_array((size_t)set->attr_count + 1, sizeof *order);
  bool sorted = true, aliases = false;
  for (uint32_t i = 0; i < set->attr_count; i++) {
    order[i] = i;
    aliases |= set->attrs[i].kind == AST_ATTR_PLAIN && set->attrs[i].value->kind == EXPR_VAR;
  }
  for (uint32_t i = 0; i < set->attr_count && aliases; i++) {
    AstName name = set->attrs[i].name;
    uint32_t known = c->scope->known_name ? c->scope->known_name(c->scope->ctx, compile_name_text(c, name)) : 0;
    order[i] = (known ? (uint64_t)known << 32 : (uint64_t)(c->ast->names[name].order | 1u << 31) << 32) | i;
    sorted &= i == 0 || order[i - 1] < order[i];
  }
  if (!sorted) qsort(order, set->attr_count, sizeof *order, compile_compare_order);
  return order;
}

// Slot words of definitions whose names are bound in the current env from `base` on; hidden slots for inherit_from follow. An inherited
// name refers to the scope around, so it is compiled with the binding of the set taken off.
static uint32_t *compile_env_slots(Compiler *c, const ExprAttrs *set, uint32_t base) {
  uint32_t n = set->attr_count, total = n + set->inherit_from_count;
  uint32_t *slots = mem_alloc_array(total + 1, sizeof *slots);
  uint64_t *order = compile_slot_order(c, set);
  bool overridden = compile_find_attr(c, set, SPAN("__overrides")) != UINT32_MAX; // slots change after they are filled
  for (uint32_t i = 0; i < n; i++) {
    const AstAttr *attr = &set->attrs[(uint32_t)order[i]];
    c->filled = overridden ? 0 : base + i;
    if (attr->kind == AST_ATTR_INHERIT) {
      Binding *own = c->bindings[attr->name];
      c->bindings[attr->name] = own->outer;
      slots[i] = compile_attr_slot(c, attr, 0, overridden && set->recursive);
      c->bindings[attr->name] = own;
    } else {
      slots[i] = compile_attr_slot(c, attr, base + n, overridden && set->recursive);
    }
  }
  for (uint32_t i = 0; i < set->inherit_from_count; i++) {
    c->filled = overridden ? 0 : base + n + i;
    slots[n + i] = compile_value_slot(c, set->inherit_from[i]);
  }
  mem_free(order);
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
  uint64_t *order = compile_slot_order(c, set);
  for (uint32_t i = 0; i < set->attr_count; i++) compile_bind(c, set->attrs[(uint32_t)order[i]].name, base + i);
  mem_free(order);
}

static void compile_unbind_all(Compiler *c, const ExprAttrs *set) {
  for (uint32_t i = 0; i < set->attr_count; i++) compile_unbind(c, set->attrs[i].name);
}

// ---- sets

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

static void compile_dyn_attrs(Compiler *c, const ExprAttrs *set) {
  if (!set->dyn_count) return;
  for (uint32_t i = 0; i < set->dyn_count; i++) {
    compile_strict(c, set->dyns[i].name);
    if (i + 1 < set->dyn_count) compile_op_at(c, OP_DYN_NAME, 0, 0, set->dyns[i].pos);
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
  for (uint32_t i = 0; i < n; i++) slots[i] = compile_slot_word(c, SLOT_ENV, c->bindings[set->attrs[i].name]->slot);
  uint32_t overrides = compile_find_attr(c, set, SPAN("__overrides"));
  if (overrides != UINT32_MAX && n) {
    uint32_t descriptor = compile_set_descriptor(c, set, slots);
    compile_op_at(c, OP_VAR0, c->bindings[set->attrs[overrides].name]->slot, 1, set->attrs[overrides].pos);
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
    for (uint32_t i = 0; i < set->inherit_from_count; i++) slots[i] = compile_value_slot(c, set->inherit_from[i]);
    compile_op(c, OP_ENTER, compile_env_descriptor(c, slots, set->inherit_from_count, 0), 0);
  }
  for (uint32_t i = 0; i < n; i++) slots[i] = compile_attr_slot(c, &set->attrs[i], 0, false);
  compile_push_set(c, set, slots);
  mem_free(slots);
  compile_dyn_attrs(c, set);
  if (hidden) {
    compile_op(c, OP_LEAVE, 0, 0);
    c->level--;
    c->group = outer_group;
  }
}

void compile_set_attrs(Compiler *c, const ExprAttrs *set) {
  if (set->recursive) compile_rec_set(c, set);
  else compile_plain_set(c, set);
}

void compile_set_let(Compiler *c, const ExprLet *let) {
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
