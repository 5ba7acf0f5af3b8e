// vm_trace.c: see vm_trace.h.
#include "eval/vm_trace.h"

#include "eval/assert_diff.h"
#include "eval/attrs.h"
#include "eval/call_args.h"
#include "eval/snippet.h"
#include "eval/str.h"
#include "eval/vm_state.h"

Unit *vm_trace_unit(const uint32_t *code) {
  return code && !snippet_is_any(code) ? unit_of(code_image(code)) : NULL;
}

PosId vm_trace_pos_at(const uint32_t *code, const uint32_t *ip) {
  Unit *unit = vm_trace_unit(code);
  return unit ? unit_position(unit, ip) : 0;
}

PosId vm_trace_call_site(Vm *vm, const Task *task, const Value *fp, const uint32_t *ip) {
  const uint32_t *code = value_get_raw_ptr(fp[-2]);
  if (!ip || !code) return 0;
  if (!snippet_is_any(code)) return vm_trace_pos_at(code, ip);
  if (snippet_is_functor(code)) return attrs_position(fp[0], SYM_functor);
  uint64_t meta = value_get_raw(fp[-1]);
  if ((meta & 15) == FRAME_BASE) return 0;
  const Value *below = task->stack + (meta >> 4);
  const uint32_t *below_ip = value_get_raw_ptr(fp[-4]), *below_code = value_get_raw_ptr(below[-2]);
  if (snippet_is_rest(code)) return vm_trace_call_site(vm, task, below, below_ip); // one for each argument at most
  if ((meta & 15) == FRAME_CALL && !below_ip && value_get_raw_ptr(below[0]) == &native_coerce_string)
    return vm_trace_coerce_pos(vm, task, below); // of __toString
  if ((meta & 15) != FRAME_FORCE && (meta & 15) != FRAME_FORCE_DROP) return 0;
  if (below_ip) return vm_trace_pos_at(below_code, below_ip);
  if (value_get_raw_ptr(below[0]) != &native_deep_force) return 0;
  const AppThunk *app = value_ptr(fp[-FRAME_HEADER - FRAME_FORCE_WORDS]);
  // mapAttrs does not evaluate its function: a literal one is still a thunk when Nix looks for its place.
  bool map_attrs = (head_payload(app->head) & 0xffff) == 2;
  bool literal = value_tag(app->fn) != TAG_THUNK || head_flags(value_head(app->fn)) & IND_LITERAL;
  if (map_attrs && literal) return 0;
  return vm_function_pos(vm, value_follow(app->fn));
}

void vm_trace_call(Vm *vm, const uint32_t *callee, PosId call_pos, bool binding) {
  Unit *unit = vm_trace_unit(callee);
  if (!unit || (code_head(callee)->kind_name & 0xff) != CODE_LAMBDA) return;
  uint32_t name = code_head(callee)->kind_name >> 8;
  const LambdaHead *lambda = code_lambda(callee);
  PosId pos = unit_pos(unit, unit->image[lambda->args + 2 * lambda->arity - 1]); // of the innermost lambda
  if (binding) {
    if (call_pos) eval_error_trace(vm, call_pos, "from call site");
    return;
  }
  if (name)
    eval_error_trace_call(vm, pos, "while calling '%.*s'", SPAN_ARG(symbol_text(vm->symbols, unit->names[name - 1])));
  else eval_error_trace_call(vm, pos, "while calling anonymous lambda");
  if (call_pos) eval_error_trace_call(vm, call_pos, "from call site");
}

// The first step of the selection that the instruction at `instruction` is a step of, all of static names.
static const CodePosition *first_step(const Unit *unit, const uint32_t *instruction) {
  const CodePosition *table = (const CodePosition *)(unit->image + unit_header(unit)->position_off);
  const CodePosition *at = unit_find_position(unit, instruction + 1);
  uint32_t op = *instruction & 0xff;
  while (at > table && at[-1].code + code_op_words[op] == at->code && at[-1].pos == at->pos &&
         (unit->image[at[-1].code] & 0xff) == op)
    at--;
  return at;
}

// The attribute path that the select instruction at `instruction` is a step of.
static void put_attr_path(Vm *vm, const Unit *unit, const uint32_t *instruction, Buf *ret) {
  const CodeImage *header = unit_header(unit);
  const CodePosition *at = first_step(unit, instruction);
  const CodePosition *end = (const CodePosition *)(unit->image + header->position_off) + header->position_count;
  const uint32_t pos = at->pos;
  const uint32_t op = *instruction & 0xff;
  for (uint32_t step = at->code; at < end && at->code == step; at++, step += code_op_words[op]) {
    if ((unit->image[step] & 0xff) != op || at->pos != pos) break;
    if (ret->len) buf_put_char(ret, '.');
    buf_put_span(ret, symbol_text(vm->symbols, unit->names[unit->image[step + 1]]));
  }
}

// The value of a variable that has been evaluated, by the instruction that loads it; VALUE_ABSENT for others.
static Value loaded_variable(Vm *vm, const Unit *unit, const uint32_t *at, const Env *env) {
  uint32_t level = (*at & 0xff) - OP_VAR0;
  switch (*at & 0xff) {
  case OP_VAR0:
  case OP_VAR1:
  case OP_VAR2: break;
  case OP_VARN: level = at[1]; break;
  case OP_GLOBAL:
    return (*at >> 8) < OP_A_MAX - 1 ? value_follow(vm_global(vm, unit->globals[*at >> 8])) : VALUE_ABSENT;
  default: return VALUE_ABSENT;
  }
  while (level--) env = env->parent;
  return value_follow(env->slots[*at >> 8]);
}

static bool is_internal(Vm *vm, PosId pos) {
  const PosSource *source = pos_source(vm->positions, pos);
  return source && source->origin[0] == '<';
}

// Walks from `step` along the path until one of its steps fails, at `end` at the latest, and names the one before.
static void trace_steps(Vm *vm, const Unit *unit, const CodePosition *step, const CodePosition *end, Value set) {
  const uint32_t *first = unit->image + step->code;
  PosId pos = 0;
  for (; step != end; step++) {
    set = value_follow(set);
    Value found = value_is_attrs(set) ? attrs_get(vm, set, unit->names[unit->image[step->code + 1]]) : VALUE_ABSENT;
    if (found == VALUE_ABSENT) break;
    pos = attrs_position(set, unit->names[unit->image[step->code + 1]]);
    set = found;
  }
  if (!pos || is_internal(vm, pos)) return;
  Buf path = BUF_INIT;
  put_attr_path(vm, unit, first, &path);
  eval_error_trace(vm, pos, "while evaluating the attribute '%s'", buf_cstr(&path));
  buf_done(&path);
}

void vm_trace_steps(Vm *vm, const uint32_t *code, const uint32_t *ip, const Env *env, const Value *subject) {
  const Unit *unit = vm_trace_unit(code);
  const CodePosition *failed = unit ? unit_find_position(unit, ip) : NULL;
  if (!failed) return;
  const CodePosition *table = (const CodePosition *)(unit->image + unit_header(unit)->position_off);
  const CodePosition *step = first_step(unit, unit->image + failed->code);
  if (step == failed) return;
  const uint32_t *variable = step > table ? unit->image + step[-1].code : NULL;
  if (variable && variable + code_op_words[*variable & 0xff] != unit->image + step->code) variable = NULL; // other code
  Value set = variable ? loaded_variable(vm, unit, variable, env) : VALUE_ABSENT;
  if (set == VALUE_ABSENT && unit->image[step->code - 1] == OP_WORD(OP_DUP, 0)) set = *subject;
  trace_steps(vm, unit, step, failed, set);
}

void vm_trace_builtin(Vm *vm, const Value *fp, const char *name, PosId call_pos) {
  const NativeDef *def = fp ? value_get_raw_ptr(fp[0]) : NULL;
  if (def == &native_strict_call) name = vm->builtins[value_get_raw(fp[2])]->name;
  if (def == &native_leaf_result) name = vm->builtins[value_get_raw(fp[3])]->name;
  if (def && def->untraced) return;
  eval_error_trace(vm, call_pos, "while calling the '%s' builtin", name);
}

// Of the piece of an interpolation, or the operand of `+`, that the native at `fp` makes a string; false for other instructions.
static bool find_piece_pos(const uint32_t *code, const uint32_t *ip, const Value *fp, PosId *ret) {
  Unit *unit = ip ? vm_trace_unit(code) : NULL;
  const CodePosition *found = unit ? unit_find_position(unit, ip) : NULL;
  if (!found) return false;
  *ret = vm_trace_pos_at(code, ip);
  Op op = (Op)(unit->image[found->code] & 0xff);
  if (op == OP_PIECE || op == OP_ADD_LEFT) return true;
  if (op != OP_ADD || value_get_raw_ptr(fp[0]) != &native_plus) return false;
  // Its first operand, as long as that is no string.
  if (!value_is_string(fp[2]) && !value_is_path(fp[2])) *ret = unit_pos(unit, unit_find_operand(unit, ip)->pos);
  return true;
}

void vm_trace_operand(Vm *vm, const uint32_t *code, const uint32_t *ip, const Value *fp) {
  PosId pos;
  if (eval_error_is_refusal(vm) && find_piece_pos(code, ip, fp, &pos))
    eval_error_trace(vm, pos, "while evaluating a path segment");
}

PosId vm_trace_coerce_pos(Vm *vm, const Task *task, const Value *fp) {
  for (;;) {
    uint64_t meta = value_get_raw(fp[-1]);
    if ((meta & 15) == FRAME_BASE) return 0;
    const Value *below = task->stack + (meta >> 4);
    const uint32_t *ip = value_get_raw_ptr(fp[-4]);
    PosId pos = 0;
    if (ip) return find_piece_pos(value_get_raw_ptr(below[-2]), ip, fp, &pos) ? pos : 0;
    const void *def = value_get_raw_ptr(below[0]);
    if (value_get_raw_ptr(below[-2]) ||
        (def != &native_plus && def != &native_plus_left && def != &native_coerce_string))
      return 0;
    fp = below;
  }
}

bool vm_trace_refuses_string(Value v) {
  if (value_is_attrs(v)) return !attrs_has(v, SYM_to_string) && !attrs_has(v, SYM_out_path);
  return !value_is_string(v) && !value_is_path(v) && !value_is_int(v) && !value_is_float(v);
}

// The path of a SELECT_DYN; `names`: what the `found` steps so far have left on the stack; `next`: the name of the next one, if evaluated.
static void put_computed_path(Vm *vm, const Unit *unit, uint32_t descriptor, const Value *names, uint32_t found,
                              Value next, Buf *ret) {
  const uint32_t *steps = unit->image + descriptor;
  for (uint32_t i = 0; i < steps[0]; i++) {
    uint32_t step = steps[1 + i];
    if (i) buf_put_char(ret, '.');
    if (i < found) buf_put_span(ret, symbol_text(vm->symbols, (Sym)value_get_raw(names[2 * i])));
    else if (!(step & 1)) buf_put_span(ret, symbol_text(vm->symbols, unit->names[step >> 1]));
    else if (i == found && value_is_string(next)) buf_put_span(ret, str_span(next));
    else buf_put_span(ret, str_span(value_from_ptr(unit->image + (step >> 1), TAG_STR)));
  }
}

// In a step of a path with computed names (its name, the look-up, what that evaluates), or in its fallback: names the attribute that the last
// step has found.
static void trace_path(Vm *vm, const Unit *unit, const CodeOperand *o, const uint32_t *ip, const Value *fp) {
  const Value *names = fp + (o->kind_depth >> 8);
  uint32_t descriptor, found;
  Value next = VALUE_ABSENT;
  if ((o->kind_depth & 0xff) == OPERAND_FALLBACK) {
    descriptor = o->pos;
    found = unit->image[descriptor];
    names -= 2 * found;
    while (found && !value_get_raw(names[2 * found - 1])) found--;
    Sym failed = (Sym)value_get_raw(names[2 * found]);
    if (failed) next = str_symbol(vm, failed);
  } else {
    const uint32_t *end = unit->image + o->end, *select = end - o->pos;
    descriptor = select[2];
    found = *select >> 9;
    names -= 2 * found + 1; // and the set
    if (ip == end) found++;
    else if (ip > select) next = names[2 * found + 1];
  }
  PosId pos = found ? (PosId)value_get_raw(names[2 * found - 1]) : 0;
  if (!pos || is_internal(vm, pos)) return;
  Buf path = BUF_INIT;
  put_computed_path(vm, unit, descriptor, names, found, next, &path);
  eval_error_trace(vm, pos, "while evaluating the attribute '%s'", buf_cstr(&path));
  buf_done(&path);
}

void vm_trace_operands(Vm *vm, const uint32_t *code, const uint32_t *ip, const Value *fp, bool *ret_binding) {
  static const char *const texts[] = {
#define OPERAND(name, text) text,
#include "eval/operand.def"
#undef OPERAND
  };
  Unit *unit = vm_trace_unit(code);
  if (!unit) return;
  for (const CodeOperand *o = unit_find_operand(unit, ip); o; o = unit_outer_operand(unit, o, ip)) {
    OperandKind kind = (OperandKind)(o->kind_depth & 0xff);
    PosId pos = unit_pos(unit, o->pos);
    if (kind == OPERAND_ARGUMENT) {
      *ret_binding = true;
      continue;
    }
    if (kind == OPERAND_ADD) continue;
    if (kind == OPERAND_PLAIN_FALLBACK) {
      const CodePosition *last = unit_find_position(unit, unit->image + o->begin);
      const uint32_t *instruction = unit->image + last->code;
      trace_steps(vm, unit, first_step(unit, instruction), last + 1, fp[(o->kind_depth >> 8) - 1]);
      continue;
    }
    if (kind == OPERAND_STEP || kind == OPERAND_FALLBACK) {
      trace_path(vm, unit, o, ip, fp);
      continue;
    }
    eval_error_trace(vm, pos, "%s", texts[kind]);
  }
}

void vm_trace_select(Vm *vm, const uint32_t *caller, const uint32_t *caller_ip, const uint32_t *callee) {
  Unit *unit = vm_trace_unit(caller), *definition = vm_trace_unit(callee);
  if (!unit || !definition || definition->source->origin[0] == '<') return; // Nix does not name those of its own files
  const CodePosition *found = unit_find_position(unit, caller_ip);
  if (!found) return;
  const uint32_t *instruction = unit->image + found->code;
  if ((*instruction & 0xff) != OP_SELECT && (*instruction & 0xff) != OP_SELECT_OR) return;
  Buf path = BUF_INIT;
  put_attr_path(vm, unit, instruction, &path);
  eval_error_trace(vm, unit_pos(definition, code_head(callee)->pos), "while evaluating the attribute '%s'",
                   buf_cstr(&path));
  buf_done(&path);
}

// The frame in which `task` evaluates the thunk, from `fp` down, or NULL.
static const Value *thunk_frame(const Task *task, const Value *fp, Value thunk) {
  for (;;) {
    uint64_t meta = value_get_raw(fp[-1]);
    FrameKind kind = (FrameKind)(meta & 15);
    if (kind == FRAME_BASE) return NULL;
    if ((kind == FRAME_FORCE || kind == FRAME_FORCE_DROP) && fp[-FRAME_HEADER - FRAME_FORCE_WORDS] == thunk) return fp;
    fp = task->stack + (meta >> 4);
  }
}

// The values under evaluation from the frame at `fp` down to `thunk`, which is asked for at `asks`.
static void trace_cycle(Vm *vm, const Task *task, const Value *fp, PosId asks, Value thunk) {
  if (!thunk_frame(task, fp, thunk)) return; // another task evaluates it
  for (;;) {
    uint64_t meta = value_get_raw(fp[-1]);
    FrameKind kind = (FrameKind)(meta & 15);
    const Value *below = task->stack + (meta >> 4);
    if (kind == FRAME_FORCE || kind == FRAME_FORCE_DROP) {
      const uint32_t *code = value_get_raw_ptr(fp[-2]);
      const Unit *unit = vm_trace_unit(code);
      uint32_t name = unit ? code_head(code)->kind_name >> 8 : 0;
      if (unit)
        eval_error_add_cycle(vm, (EvalCycleStep){name ? unit->names[name - 1] : SYMBOL_NONE,
                                                 unit_pos(unit, code_head(code)->pos), asks});
      if (fp[-FRAME_HEADER - FRAME_FORCE_WORDS] == thunk) return;
      if (unit) asks = 0;
    }
    const uint32_t *ip = value_get_raw_ptr(fp[-4]), *code = value_get_raw_ptr(below[-2]);
    if (!asks && ip && code) asks = vm_trace_pos_at(code, kind == FRAME_FORCE_DROP ? ip + 1 : ip);
    fp = below;
  }
}

void vm_trace_recursion(Vm *vm, const Task *task, const Value *fp, const uint32_t *code, const uint32_t *ip,
                        Value thunk) {
  PosId pos = ip ? vm_trace_pos_at(code, ip) : 0;
  const Value *frame = thunk_frame(task, fp, thunk);
  const uint32_t *callee = ip && frame ? value_get_raw_ptr(frame[-2]) : NULL;
  const Unit *unit = callee ? vm_trace_unit(code) : NULL;
  const CodePosition *found = unit ? unit_find_position(unit, ip) : NULL;
  Op op = found ? (Op)(unit->image[found->code] & 0xff) : OP_RET;
  bool selects =
      (op == OP_SELECT || op == OP_SELECT_OR || op == OP_SELECT_DYN || op == OP_SELECT_OR_DYN) && vm_trace_unit(callee);
  if (selects) pos = unit_pos(vm_trace_unit(callee), code_head(callee)->pos);
  eval_error(vm, EVAL_ERROR_RECURSION, pos, "infinite recursion encountered");
  if (selects) vm_trace_select(vm, code, ip, callee);
  trace_cycle(vm, task, fp, ip ? vm_trace_pos_at(code, ip) : 0, thunk);
}

PosId vm_call_pos(Vm *vm) {
  VmState *state = vm->state;
  if (state->call_ip) return vm_trace_pos_at(state->call_code, state->call_ip);
  const Task *task = state->tasks.current;
  if (!task) return 0;
  // The nearest code frame below the native on top.
  for (const Value *fp = task->stack + task->fp;;) {
    const uint32_t *ip = value_get_raw_ptr(fp[-4]);
    uint64_t meta = value_get_raw(fp[-1]);
    if ((meta & 15) == FRAME_BASE) return 0;
    fp = task->stack + (meta >> 4);
    if (ip) {
      PosId pos = vm_trace_pos_at(value_get_raw_ptr(fp[-2]), ip);
      if (pos) return pos;
    }
  }
}

// Argument `index` of a call failed that a closure with that code would have evaluated: the frames it would have added.
static void trace_early_closure(Vm *vm, const uint32_t *callee, uint32_t index, PosId site) {
  const uint32_t *ip = callee;
  while (*ip != OP_WORD(OP_VAR0, index)) ip += code_op_words[*ip & 0xff];
  bool binding = false;
  if (vm->error->kind == EVAL_ERROR_RECURSION && !vm->error->trace_count && !vm->error->pos)
    vm->error->pos = vm_trace_pos_at(callee, ip + 1);
  vm_trace_operands(vm, callee, ip + 1, NULL, &binding);
  vm_trace_call(vm, callee, site, binding);
}

void vm_trace_early(Vm *vm, const Task *task, const Value *fp, const uint32_t *ip, Value *sp, bool last) {
  bool is_call = (*ip & 0xff) == OP_CALL;
  uint32_t there = is_call ? *ip >> 8 : ip[1] & 0xff, count = is_call ? there : ip[1] >> 8, failed = there, given = 0;
  Value *f = sp - there - 1, fn = *f, args[BUILTIN_MAX_ARITY] = {0};
  if (!last) failed = (uint32_t)(call_args_unready(call_args_early(vm, fn, count), f + 1) - f - 1);
  PosId site = vm_trace_call_site(vm, task, fp, is_call ? ip + 1 : ip + 4 + ip[2]);
  if (value_is_obj(fn, T_PAP)) {
    const Pap *pap = value_ptr(fn);
    given = (uint32_t)head_payload(pap->head);
    if (given <= BUILTIN_MAX_ARITY) memcpy(args, pap->args, given * sizeof(Value));
    fn = pap->fn;
  }
  if (!value_is_builtin(fn)) {
    trace_early_closure(vm, (const uint32_t *)(uintptr_t)head_payload(value_head(fn)), given + failed, site);
    return;
  }
  const Builtin *b = vm->builtins[value_builtin_index(fn)];
  memcpy(args + given, f + 1, failed * sizeof(Value));
  builtin_blame(vm, b, args, given + failed);
  vm_trace_builtin(vm, NULL, b->name, site);
}
