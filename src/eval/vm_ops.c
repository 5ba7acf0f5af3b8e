// vm_ops.c: the parts of instructions that do not belong into the dispatch loop.
#include <inttypes.h>

#include "base/fs.h"
#include "base/mem.h"
#include "eval/attrs.h"
#include "eval/builtins/registry.h"
#include "eval/eval_count.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/str.h"
#include "eval/thunk.h"
#include "eval/vm_state.h"

static const uint32_t *vm_ops_code(const Unit *unit, uint32_t offset) {
  return unit->image + offset;
}

Value vm_ops_slot(Vm *vm, const Unit *unit, uint32_t word, Env *env) {
  uint32_t payload = word >> 4;
  switch ((SlotKind)(word & 15)) {
  case SLOT_THUNK: return value_lazy(LAZY_THUNK, (uintptr_t)vm_ops_code(unit, payload));
  case SLOT_CLOSURE: return value_lazy(LAZY_CLOSURE, (uintptr_t)vm_ops_code(unit, payload));
  case SLOT_STR: return value_from_ptr(unit->image + payload, TAG_STR);
  case SLOT_OBJ: return value_from_ptr(unit->image + payload, TAG_OBJ);
  case SLOT_INT: return value_int((int32_t)word >> 4);
  case SLOT_IMM: return VALUE_IMM(payload);
  case SLOT_VAR: {
    Env *e = env;
    for (uint32_t level = payload >> 20; level; level--) e = e->parent;
    return thunk_env_slot(vm, e, payload & ((1u << 20) - 1));
  }
  case SLOT_ENV: {
    Value v = env->slots[payload];
    return value_tag(v) == TAG_LAZY ? value_lazy(LAZY_ENV_SLOT, payload) : v;
  }
  case SLOT_PATH: return unit_path(vm, unit, payload);
  case SLOT_GLOBAL: return vm_global(vm, unit->globals[payload]);
  case SLOT_KIND_COUNT_: break;
  }
  assert(!"slot word");
  return VALUE_NULL;
}

static Shape *vm_ops_shape(Vm *vm, Unit *unit, const uint32_t *descriptor) {
  Shape **shape = &unit->shapes[descriptor[1]];
  if (*shape) return *shape;
  uint32_t count = descriptor[0];
  Sym *names = mem_alloc_array(count, sizeof *names);
  PosId *positions = mem_alloc_array(count, sizeof *positions);
  for (uint32_t i = 0; i < count; i++) {
    names[i] = unit->names[descriptor[2 + i]];
    positions[i] = unit_pos(unit, descriptor[2 + count + i]);
  }
  *shape = shape_intern(vm->shapes, names, positions, count);
  (*shape)->pinned = true;
  mem_free(names);
  mem_free(positions);
  return *shape;
}

Value vm_ops_make_set(Vm *vm, Unit *unit, const uint32_t *descriptor, Env *env) {
  Shape *shape = vm_ops_shape(vm, unit, descriptor);
  uint32_t count = descriptor[0];
  const uint32_t *words = descriptor + 2 + 2 * count;
  Attrs *set = heap_alloc(&vm->heap, sizeof(Attrs) + count * sizeof(Value));
  set->shape = shape;
  set->env = NULL;
  bool lazy = false;
  for (uint32_t i = 0; i < count; i++) {
    set->slots[i] = vm_ops_slot(vm, unit, words[i], env);
    lazy |= value_tag(set->slots[i]) == TAG_LAZY;
  }
  set->head = HEAD(T_ATTRS, lazy ? ATTRS_LAZY : 0, count);
  if (lazy) set->env = env;
  vm->state->stats.sets++;
  vm->state->stats.set_elements += count;
  return attrs_value(set);
}

Env *vm_ops_enter(Vm *vm, Unit *unit, const uint32_t *descriptor, Env *env) {
  uint32_t count = descriptor[0];
  Env *e = heap_alloc(&vm->heap, sizeof(Env) + count * sizeof(Value));
  e->head = HEAD(T_ENV, 0, count);
  e->parent = env;
  for (uint32_t i = 0; i < count; i++) e->slots[i] = vm_ops_slot(vm, unit, descriptor[2 + i], e);
  vm->state->stats.envs++;
  if (UNLIKELY(vm->counts)) {
    vm->counts->env_slots += count;
    vm->counts->lazy_places += count;
  }
  return e;
}

void vm_ops_let(Vm *vm, Unit *unit, const uint32_t *descriptor, Env *env) {
  uint32_t count = descriptor[0], base = descriptor[1];
  for (uint32_t i = 0; i < count; i++)
    heap_store(&vm->heap, env, &env->slots[base + i], vm_ops_slot(vm, unit, descriptor[2 + i], env));
  if (UNLIKELY(vm->counts)) vm->counts->lazy_places += count;
}

// ---- formals ----

enum { FORMAL_WORDS = 4, FORMALS_HEADER = 5 };

// Of the lambda that has the formals: the innermost.
static PosId vm_ops_pattern_pos(const Unit *unit, const uint32_t *code) {
  const LambdaHead *lambda = code_lambda(code);
  return unit_pos(unit, unit->image[lambda->args + 2 * lambda->arity - 1]);
}

static void vm_ops_lambda_name(Vm *vm, const Unit *unit, const uint32_t *code, Buf *ret) {
  uint32_t name = code_head(code)->kind_name >> 8;
  if (name) buf_printf(ret, "function '%.*s'", SPAN_ARG(symbol_text(vm->symbols, unit->names[name - 1])));
  else buf_put_cstr(ret, "function 'anonymous lambda'");
}

static bool vm_ops_is_formal(const Unit *unit, const uint32_t *descriptor, Sym name) {
  for (uint32_t i = 0; i < descriptor[0]; i++)
    if (unit->names[descriptor[FORMALS_HEADER + FORMAL_WORDS * i]] == name) return true;
  return false;
}

static void vm_ops_unexpected(Vm *vm, const Unit *unit, const uint32_t *descriptor, const uint32_t *code, Value arg) {
  Value flat = attrs_flatten(vm, arg);
  const Shape *shape = attrs_flat_shape(flat);
  PosId pos = vm_ops_pattern_pos(unit, code);
  Buf function = BUF_INIT;
  vm_ops_lambda_name(vm, unit, code, &function);
  Sym first = SYMBOL_NONE; // of several, Nix names the one whose name it saw first
  for (uint32_t i = 0; i < shape->count; i++)
    if (!vm_ops_is_formal(unit, descriptor, shape->names[i]) &&
        (!first || symbol_order(vm->symbols, shape->names[i]) < symbol_order(vm->symbols, first)))
      first = shape->names[i];
  Span name = symbol_text(vm->symbols, first);
  Buf shown = BUF_INIT;
  print_attr_name(name, &shown);
  eval_error(vm, EVAL_ERROR_TYPE, pos, "%s called with unexpected argument '%s'", buf_cstr(&function),
             buf_cstr(&shown));
  buf_done(&shown);
  Span *candidates = mem_alloc_array((size_t)descriptor[0] + 1, sizeof *candidates);
  for (uint32_t k = 0; k < descriptor[0]; k++)
    candidates[k] = symbol_text(vm->symbols, unit->names[descriptor[FORMALS_HEADER + FORMAL_WORDS * k]]);
  eval_error_suggest(vm, name, candidates, descriptor[0]);
  mem_free(candidates);
  buf_done(&function);
}

static bool vm_ops_missing_argument(Vm *vm, const Unit *unit, const uint32_t *descriptor, const uint32_t *code,
                                    Value arg) {
  Sym name = SYMBOL_NONE;
  for (uint32_t i = 0; i < descriptor[0]; i++) {
    const uint32_t *formal = descriptor + FORMALS_HEADER + FORMAL_WORDS * i;
    Sym other = unit->names[formal[0]];
    if (formal[1] || attrs_has(arg, other)) continue;
    if (!name || symbol_order(vm->symbols, other) < symbol_order(vm->symbols, name)) name = other;
  }
  Buf function = BUF_INIT;
  vm_ops_lambda_name(vm, unit, code, &function);
  eval_error(vm, EVAL_ERROR_TYPE, vm_ops_pattern_pos(unit, code), "%s called without required argument '%.*s'",
             buf_cstr(&function), SPAN_ARG(symbol_text(vm->symbols, name)));
  buf_done(&function);
  return false;
}

// Where the formals are in a set of that shape (NULL: empty); false with an error pending.
static bool vm_ops_find_formals(Vm *vm, const Unit *unit, const uint32_t *descriptor, const uint32_t *code, Value arg,
                                Shape *shape, uint32_t *slots) {
  uint32_t count = descriptor[0], matched = 0;
  const uint32_t *formal = descriptor + FORMALS_HEADER;
  for (uint32_t i = 0; i < count; i++, formal += FORMAL_WORDS) {
    Sym name = unit->names[formal[0]];
    slots[i] = shape ? shape_find(shape, name) : SHAPE_NOT_FOUND;
    if (slots[i] != SHAPE_NOT_FOUND) matched++;
    else if (!formal[1]) return vm_ops_missing_argument(vm, unit, descriptor, code, arg);
  }
  if (descriptor[1] & FORMALS_ELLIPSIS || !shape || matched == shape->count) return true;
  vm_ops_unexpected(vm, unit, descriptor, code, arg);
  return false;
}

// A layered set is not flattened for this: it may hold all packages.
static bool vm_ops_bind_layered(Vm *vm, const Unit *unit, const uint32_t *descriptor, const uint32_t *code, Value arg,
                                Env *env) {
  uint32_t count = descriptor[0], base = descriptor[4], matched = 0;
  const uint32_t *formal = descriptor + FORMALS_HEADER;
  for (uint32_t i = 0; i < count; i++, formal += FORMAL_WORDS) {
    Sym name = unit->names[formal[0]];
    Value v = attrs_get(vm, arg, name);
    if (v != VALUE_ABSENT) matched++;
    else if (formal[1]) v = vm_ops_slot(vm, unit, formal[2], env);
    else return vm_ops_missing_argument(vm, unit, descriptor, code, arg);
    heap_store(&vm->heap, env, &env->slots[base + i], v);
  }
  if (descriptor[1] & FORMALS_ELLIPSIS || matched == attrs_count(arg)) return true;
  vm_ops_unexpected(vm, unit, descriptor, code, arg);
  return false;
}

bool vm_ops_formals(Vm *vm, Unit *unit, const uint32_t *descriptor, const uint32_t *code, Value arg, Env *env) {
  if (UNLIKELY(!value_is_attrs(arg))) {
    eval_error_type(vm, 0, "a set", arg);
    eval_error_trace(vm, vm_ops_pattern_pos(unit, code), "while evaluating the value passed for the lambda argument");
    return false;
  }
  uint32_t count = descriptor[0], base = descriptor[4];
  heap_store(&vm->heap, env, &env->slots[descriptor[3]], arg);
  if (attrs_is_layered(arg)) return vm_ops_bind_layered(vm, unit, descriptor, code, arg, env);
  FormalsCache *cache = &unit->formals[descriptor[2]];
  Shape *shape = arg == VALUE_EMPTY_ATTRS ? NULL : attrs_flat_shape(arg);
  if (!cache->slots) cache->slots = mem_alloc_array((size_t)count + 1, sizeof *cache->slots);
  if (!shape || cache->shape != shape) {
    cache->shape = NULL;
    if (!vm_ops_find_formals(vm, unit, descriptor, code, arg, shape, cache->slots)) return false;
    cache->shape = shape;
  }
  const uint32_t *formal = descriptor + FORMALS_HEADER;
  for (uint32_t i = 0; i < count; i++, formal += FORMAL_WORDS) {
    uint32_t slot = cache->slots[i];
    Value v = slot == SHAPE_NOT_FOUND ? vm_ops_slot(vm, unit, formal[2], env) : attrs_slot(vm, arg, slot);
    heap_store(&vm->heap, env, &env->slots[base + i], v);
  }
  return true;
}

// The formals that bind the next argument of `f`, and the unit they are in; NULL when there are none.
static const uint32_t *vm_ops_function_formals(Value f, const Unit **ret_unit) {
  uint32_t given = 0;
  if (value_is_obj(f, T_PAP)) {
    given = (uint32_t)head_payload(value_head(f));
    f = ((Pap *)value_ptr(f))->fn;
  }
  if (!value_is_closure(f)) return NULL;
  const uint32_t *code = (const uint32_t *)(uintptr_t)head_payload(value_head(f));
  const LambdaHead *lambda = code_lambda(code);
  if (!lambda->formals || given + 1 != lambda->arity) return NULL;
  *ret_unit = unit_of(code_image(code));
  return (*ret_unit)->image + lambda->formals;
}

bool vm_function_formals(Vm *vm, Value f, bool *ret_ellipsis) {
  const Unit *unit;
  const uint32_t *descriptor = vm_ops_function_formals(f, &unit);
  if (descriptor) *ret_ellipsis = (descriptor[1] & FORMALS_ELLIPSIS) != 0;
  return descriptor != NULL;
}

Value vm_function_args(Vm *vm, Value f) {
  const Unit *unit;
  const uint32_t *descriptor = vm_ops_function_formals(f, &unit);
  if (!descriptor) return VALUE_EMPTY_ATTRS;
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  for (uint32_t i = 0; i < descriptor[0]; i++) {
    const uint32_t *formal = descriptor + FORMALS_HEADER + FORMAL_WORDS * i;
    attrs_builder_add(&builder, unit->names[formal[0]], value_bool(formal[1]), unit_pos(unit, formal[3]));
  }
  Value set = attrs_builder_finish(vm, &builder, true);
  attrs_builder_done(&builder);
  return set;
}

bool vm_function_pattern(Vm *vm, Value f, VmPattern *ret) {
  uint32_t given = 0;
  if (value_is_obj(f, T_PAP)) {
    given = (uint32_t)head_payload(value_head(f));
    f = ((Pap *)value_ptr(f))->fn;
  }
  *ret = (VmPattern){false, false, SYMBOL_NONE};
  if (!value_is_closure(f)) return false;
  const uint32_t *code = (const uint32_t *)(uintptr_t)head_payload(value_head(f));
  const LambdaHead *lambda = code_lambda(code);
  const Unit *unit = unit_of(code_image(code));
  uint32_t name = unit->image[lambda->args + 2 * given];
  if (name) ret->arg = unit->names[name - 1];
  if (lambda->formals && given + 1 == lambda->arity) {
    ret->has_formals = true;
    ret->ellipsis = unit->image[lambda->formals + 1] & FORMALS_ELLIPSIS;
  }
  return true;
}

static const uint32_t *vm_ops_function_code(Value f) {
  if (value_is_obj(f, T_PAP)) f = ((Pap *)value_ptr(f))->fn;
  return value_is_closure(f) ? (const uint32_t *)(uintptr_t)head_payload(value_head(f)) : NULL;
}

void vm_function_name(Vm *vm, Value f, Buf *ret) {
  const uint32_t *code = vm_ops_function_code(f);
  uint32_t name = code ? code_head(code)->kind_name >> 8 : 0;
  if (!name) {
    buf_put_cstr(ret, "anonymous lambda");
    return;
  }
  const Unit *unit = unit_of(code_image(code));
  buf_printf(ret, "'%.*s'", SPAN_ARG(symbol_text(vm->symbols, unit->names[name - 1])));
}

PosId vm_function_pos(Vm *vm, Value f) {
  const uint32_t *code = vm_ops_function_code(f);
  (void)vm;
  if (!code) return 0;
  const Unit *unit = unit_of(code_image(code));
  uint32_t given = value_is_obj(f, T_PAP) ? (uint32_t)head_payload(value_head(f)) : 0;
  return unit_pos(unit, unit->image[code_lambda(code)->args + 2 * given + 1]);
}

// ---- sets ----

bool vm_ops_check_dyn_name(Vm *vm, Value name, PosId at) {
  if (name == VALUE_NULL || (value_is_string(name) && !str_context(name))) return true;
  if (!vm_expect_string_no_context(vm, name, NULL) && !value_is_string(name)) vm->error->pos = at;
  eval_error_trace(vm, at, "while evaluating the name of a dynamic attribute");
  return false;
}

Value vm_ops_dyn_attrs(Vm *vm, Unit *unit, Value set, const Value *pairs, uint32_t count, const uint32_t *positions) {
  AttrsBuilder builder = ATTRS_BUILDER_INIT;
  Value result = VALUE_NULL;
  if (set != VALUE_EMPTY_ATTRS) {
    set = attrs_flatten(vm, set);
    Shape *shape = attrs_flat_shape(set);
    for (uint32_t i = 0; i < shape->count; i++)
      attrs_builder_add(&builder, shape->names[i], attrs_slot(vm, set, i), shape_position(shape, i));
  }
  for (uint32_t i = 0; i < count && result != VALUE_ERROR; i++) {
    Value name = pairs[2 * i];
    PosId at = unit_pos(unit, positions[i]);
    if (name == VALUE_NULL) continue;
    if (!vm_ops_check_dyn_name(vm, name, at)) {
      result = VALUE_ERROR;
      break;
    }
    Sym sym = str_intern(vm, name);
    for (uint32_t k = 0; k < builder.count; k++) {
      if (builder.items[k].name != sym) continue;
      Pos first;
      Buf where = BUF_INIT, shown = BUF_INIT;
      print_attr_name(str_span(name), &shown);
      if (pos_resolve(vm->positions, builder.items[k].pos, &first))
        buf_printf(&where, " at %s:%u:%u", first.source->origin, first.line, first.column);
      result = eval_error(vm, EVAL_ERROR_EVAL, at, "dynamic attribute '%s' already defined%s", buf_cstr(&shown),
                          buf_cstr(&where));
      buf_done(&where);
      buf_done(&shown);
      break;
    }
    attrs_builder_add(&builder, sym, pairs[2 * i + 1], at);
  }
  if (result != VALUE_ERROR) result = attrs_builder_finish(vm, &builder, true);
  attrs_builder_done(&builder);
  return result;
}

void vm_ops_override(Vm *vm, Unit *unit, const uint32_t *descriptor, Value overrides, Env *env) {
  uint32_t count = descriptor[0];
  const uint32_t *words = descriptor + 2 + 2 * count;
  for (uint32_t i = 0; i < count; i++) {
    Value v = attrs_get(vm, overrides, unit->names[descriptor[2 + i]]);
    uint32_t slot = words[i] >> 4;
    if (v != VALUE_ABSENT) heap_store(&vm->heap, env, &env->slots[slot], v);
  }
}

Value vm_ops_missing(Vm *vm, Value set, Sym name, PosId pos) {
  Span text = symbol_text(vm->symbols, name);
  Buf shown = BUF_INIT;
  print_attr_name(text, &shown);
  eval_error(vm, EVAL_ERROR_MISSING, pos, "attribute '%s' missing", buf_cstr(&shown));
  buf_done(&shown);
  if (set == VALUE_EMPTY_ATTRS) return VALUE_ERROR;
  const Shape *shape = attrs_flat_shape(attrs_flatten(vm, set));
  Span *candidates = mem_alloc_array(shape->count, sizeof *candidates);
  for (uint32_t i = 0; i < shape->count; i++) candidates[i] = symbol_text(vm->symbols, shape->names[i]);
  eval_error_suggest(vm, text, candidates, shape->count);
  mem_free(candidates);
  return VALUE_ERROR;
}

// ---- numbers ----

static bool vm_ops_number(Value v, double *ret) {
  if (value_is_int(v)) *ret = (double)value_get_int(v);
  else if (value_is_float(v)) *ret = value_get_float(v);
  else return false;
  return true;
}

static Value vm_ops_add(Vm *vm, Value a, Value b) {
  if (value_is_int(a) && value_is_int(b)) {
    int64_t x = value_get_int(a), y = value_get_int(b), sum;
    if (!__builtin_add_overflow(x, y, &sum)) return vm_int(vm, sum);
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "integer overflow in adding %" PRId64 " + %" PRId64, x, y);
  }
  double x, y;
  if (!vm_ops_number(a, &x) || !vm_ops_number(b, &y)) assert(!"operands are numbers here");
  return vm_float(vm, x + y);
}

Value vm_ops_arithmetic(Vm *vm, Op op, Value a, Value b) {
  Value args[] = {a, b};
  switch ((int)op) {
  case OP_ADD: return vm_ops_add(vm, a, b);
  case OP_SUB: return builtins_arith_sub(vm, args);
  case OP_MUL: return builtins_arith_mul(vm, args);
  default: return builtins_arith_div(vm, args);
  }
}

// ---- strings ----

Value vm_ops_interp(Vm *vm, const Value *parts, uint32_t count) {
  if (count == 1) return parts[0];
  const Context *context = NULL;
  size_t len = 0;
  for (uint32_t i = 0; i < count; i++) {
    len += str_span(parts[i]).len;
    context = context_union(vm->contexts, context, str_context(parts[i]));
  }
  if (count == 2) return str_concat(vm, parts[0], parts[1], context);
  char *bytes;
  Value v = str_alloc(vm, len, context, &bytes);
  for (uint32_t i = 0; i < count; i++) {
    Span part = str_span(parts[i]);
    if (part.len) memcpy(bytes, part.data, part.len);
    bytes += part.len;
  }
  return v;
}

// `canon` is the canonical form of `text`; `path` is canonical and follows the text.
static void vm_ops_append_path(const Buf *text, Buf *canon, Span path) {
  if (text->data[text->len - 1] != '/') { // "/a/.${/b}" is "/a/./b": the last component begins anew
    Buf whole = BUF_INIT;
    buf_put_span(&whole, buf_span(text));
    buf_put_span(&whole, path);
    buf_clear(canon);
    fs_path_canon(SPAN("/"), buf_span(&whole), canon);
    buf_done(&whole);
    return;
  }
  if (path.len == 1) return;
  if (canon->len == 1) buf_clear(canon);
  buf_put_span(canon, path);
}

Value vm_ops_interp_path(Vm *vm, const Value *parts, uint32_t count, PosId pos) {
  Buf text = BUF_INIT, canon = BUF_INIT;
  Value v = VALUE_ERROR;
  bool has_context = false;
  for (uint32_t i = 0; i < count; i++) {
    if (value_is_string(parts[i]) && str_context(parts[i])) has_context = true;
    if (!i || i + 1 < count || !value_is_path(parts[i])) buf_put_span(&text, str_span(parts[i]));
  }
  if (has_context) {
    eval_error(vm, EVAL_ERROR_EVAL, pos, "a string that refers to a store path cannot be appended to a path");
  } else {
    fs_path_canon(SPAN("/"), buf_span(&text), &canon);
    // A path at the end is canonical already: what stands in front of it does not change it.
    if (count > 1 && value_is_path(parts[count - 1])) vm_ops_append_path(&text, &canon, str_span(parts[count - 1]));
    v = str_path(vm, buf_span(&canon));
  }
  buf_done(&text);
  buf_done(&canon);
  return v;
}
