// vm.c: the dispatch loop. One function runs a task until it ends, parks or yields; calls, forcing, natives, returns and unwinding
// are labels in it, and no C recursion happens whatever the program does.
#include "eval/vm.h"

#include "eval/assert_diff.h"
#include "eval/attrs.h"
#include "eval/builtins/registry.h"
#include "eval/call_args.h"
#include "eval/code.h"
#include "eval/eval_count.h"
#include "eval/eval_profile.h"
#include "eval/list.h"
#include "eval/print.h"
#include "eval/str.h"
#include "eval/thunk.h"
#include "eval/snippet.h"
#include "eval/vm_state.h"
#include "eval/vm_trace.h"

#include "base/mem.h"

#define VM_POLL_SAFEPOINTS 64 // collections between two looks at what has completed

Value vm_wait(Vm *vm, EvalIoWait wait) {
  vm->state->native.wait = wait;
  return VALUE_PARK;
}

static void vm_scan(void *ctx, Heap *heap, bool major) {
  Vm *vm = ctx;
  VmState *state = vm->state;
  for (uint32_t i = 0; i < state->global_count; i++) heap_visit(heap, &state->globals[i]);
  if (state->builtins_set) heap_visit(heap, &state->builtins_set);
  if (state->imported_derivation) heap_visit(heap, &state->imported_derivation);
  task_scan(vm, heap, major);
}

void vm_collect(Vm *vm, bool force_major) {
  uint64_t majors = vm->heap.stats.major_count, start_ns = vm->profile || vm->counts ? eval_profile_clock() : 0;
  heap_collect(&vm->heap, vm_scan, vm, force_major);
  if (vm->profile) eval_profile_collected(vm->profile, eval_profile_clock() - start_ns);
  if (vm->counts) vm->counts->collect_ns += eval_profile_clock() - start_ns;
  if (vm->heap.stats.major_count == majors) return;
  for (Unit *u = vm->state->units; u; u = u->next) unit_clear_caches(u);
  shape_table_sweep(vm->shapes);
}

// Where the bump pointer makes the next frame look in at the safepoint.
static char *vm_soft_end(const Vm *vm) {
  bool always = vm->heap.config.stress || vm->counts;
  return vm->heap.nursery + (always ? 0 : vm->heap.config.nursery_bytes);
}

// Work of a safepoint when the nursery is full or something wants attention. VALUE_ERROR: an error is pending. VALUE_PARK: yield.
static Value vm_safepoint(Vm *vm, Task *task) {
  VmState *state = vm->state;
  if (vm->profile && eval_profile_is_due(vm->profile)) {
    eval_profile_sample(vm, task);
    vm->heap.soft_end = vm_soft_end(vm);
  }
  if (vm->counts) eval_count_frame(vm, task);
  if ((vm->profile || vm->counts) && !vm->interrupted && !vm->heap.config.stress &&
      vm->heap.next < vm->heap.nursery + vm->heap.config.nursery_bytes)
    return VALUE_NULL; // nothing else to do
  vm_collect(vm, false);
  if (vm->interrupted) {
    vm->heap.soft_end = vm->heap.nursery + vm->heap.config.nursery_bytes;
    return eval_error(vm, EVAL_ERROR_INTERRUPTED, 0, "interrupted by the user");
  }
  vm->heap.soft_end = vm_soft_end(vm);
  if (heap_over_limit(&vm->heap)) vm_collect(vm, true); // of what is old, too: much of it may be dead
  if (heap_over_limit(&vm->heap))
    return eval_error(vm, EVAL_ERROR_STACK, 0,
                      "evaluation needs more than the %zu MiB of memory that --max-heap allows",
                      vm->heap.config.max_bytes >> 20);
  if (++state->safepoints % VM_POLL_SAFEPOINTS == 0 && state->tasks.count > 1 && task->speculative) return VALUE_PARK;
  return VALUE_NULL;
}

// The frame at `fp` is one too many: blamed on who made it.
static Value vm_stack_overflow(Vm *vm, const Task *task, const Value *fp) {
  uint64_t meta = value_get_raw(fp[-1]);
  PosId pos = 0;
  if ((meta & 15) != FRAME_BASE)
    pos = vm_trace_call_site(vm, task, task->stack + (meta >> 4), value_get_raw_ptr(fp[-4]));
  return eval_error(vm, EVAL_ERROR_STACK, pos, "stack overflow; max-call-depth exceeded");
}

static Value vm_not_a_function(Vm *vm, Value f, PosId pos) {
  Buf text = BUF_INIT;
  print_value(vm, f, &print_options_error, VALUE_ABSENT, &text);
  eval_error(vm, EVAL_ERROR_TYPE, pos, "attempt to call something which is not a function but %s: %s",
             eval_error_type_phrase(vm, f), buf_cstr(&text));
  buf_done(&text);
  return VALUE_ERROR;
}

// Number of arguments `f` still takes; 0 when it is not a function.
static uint32_t vm_arity(Vm *vm, Value f) {
  if (value_is_builtin(f)) return vm->builtins[value_builtin_index(f)]->arity;
  if (value_tag(f) != TAG_OBJ) return 0;
  switch (head_type(value_head(f))) {
  case T_CLOSURE: return code_lambda((const uint32_t *)(uintptr_t)head_payload(value_head(f)))->arity;
  case T_PAP: return vm_arity(vm, ((Pap *)value_ptr(f))->fn) - (uint32_t)head_payload(value_head(f));
  default: return 0;
  }
}

static Value vm_make_pap(Vm *vm, Value f, const Value *args, uint32_t count) {
  Pap *old = value_is_obj(f, T_PAP) ? value_ptr(f) : NULL;
  uint32_t n = old ? (uint32_t)head_payload(old->head) : 0;
  Pap *pap = heap_alloc(&vm->heap, sizeof *pap + (n + count) * sizeof(Value));
  pap->head = HEAD(T_PAP, 0, n + count);
  pap->fn = old ? old->fn : f;
  for (uint32_t i = 0; i < n; i++) pap->args[i] = old->args[i];
  for (uint32_t i = 0; i < count; i++) pap->args[n + i] = args[i];
  return value_from_ptr(pap, TAG_OBJ);
}

// The name operand of a dynamic attribute path, whose position stands at `place` in the code.
static Sym vm_dynamic_name(Vm *vm, Value name, const uint32_t *code, const uint32_t *place) {
  if (value_is_string(name) && !str_context(name)) return str_intern(vm, name);
  const Unit *unit = vm_trace_unit(code);
  PosId pos = unit ? unit_pos(unit, *place) : 0;
  if (!vm_expect_string_no_context(vm, name, NULL) && !value_is_string(name)) vm->error->pos = pos;
  eval_error_trace(vm, pos, "while evaluating an attribute name");
  return SYMBOL_NONE;
}

// Slot of `name` in sets of that shape, or SHAPE_NOT_FOUND; the cache remembers the last answer of its place in the code.
static inline uint32_t vm_cached_slot(SelectCache *cache, Shape *shape, Sym name) {
  if (UNLIKELY(cache->shape != shape)) {
    cache->shape = shape;
    cache->slot = shape_find(shape, name);
  }
  return cache->slot;
}

// As attrs_get, but also of values that are no sets: VALUE_ABSENT.
static inline Value vm_cached_get(Vm *vm, SelectCache *cache, Value set, Sym name) {
  if (UNLIKELY(value_tag(set) != TAG_ATTRS)) return VALUE_ABSENT;
  set = attrs_settle(vm, set);
  if (attrs_is_layered(set)) return attrs_get(vm, set, name);
  uint32_t slot = vm_cached_slot(cache, attrs_flat_shape(set), name);
  if (slot == SHAPE_NOT_FOUND) return VALUE_ABSENT;
  Value v = attrs_flat(set)->slots[slot];
  return LIKELY(value_is_whnf(v)) ? v : attrs_slot(vm, set, slot);
}

#define NEXT goto *labels[(word = *ip++) & 0xff]
#define A (word >> 8)
#define SA ((int32_t)word >> 8)
#define SPILL()                            \
  do {                                     \
    task->sp = (size_t)(sp - task->stack); \
    task->fp = (size_t)(fp - task->stack); \
    task->ip = ip;                         \
    task->env = env;                       \
    task->depth = depth;                   \
  } while (0)
#define LOAD_STACK()                                         \
  do {                                                       \
    sp = task->stack + task->sp;                             \
    fp = task->stack + task->fp;                             \
    stack_end = task->stack + task->stack_cap - STACK_SLACK; \
  } while (0)
#define PUSH_HEADER(kind, new_code)                                \
  do {                                                             \
    sp[0] = value_raw_ptr(ip);                                     \
    sp[1] = (Value)(uintptr_t)env;                                 \
    sp[2] = value_raw_ptr(new_code);                               \
    sp[3] = value_raw((uint64_t)(fp - task->stack) << 4 | (kind)); \
    sp += FRAME_HEADER;                                            \
    fp = sp;                                                       \
    depth++;                                                       \
  } while (0)
// Calls the function at `callee`: `args` are no more on the stack, or behind its end.
#define ENTER_CLOSURE(callee, outer, args, count)                       \
  do {                                                                  \
    uint32_t slots_ = code_lambda(callee)->env_slots;                   \
    Env *new_ = heap_alloc(heap, sizeof(Env) + slots_ * sizeof(Value)); \
    new_->head = HEAD(T_ENV, 0, slots_);                                \
    new_->parent = (outer);                                             \
    for (uint32_t i = 0; i < (count); i++) new_->slots[i] = (args)[i];  \
    for (uint32_t i = (count); i < slots_; i++) new_->slots[i] = 0;     \
    PUSH_HEADER(FRAME_CALL, callee);                                    \
    state->stats.calls++;                                               \
    env = new_;                                                         \
    ip = code = (callee);                                               \
    image = code_image(code);                                           \
    goto entered;                                                       \
  } while (0)
#define POS() vm_trace_pos_at(code, ip)
#define UNIT() unit_of(image)
// Loads `code` and `image` of the code frame at fp.
#define LOAD_CODE()                         \
  do {                                      \
    code = value_get_raw_ptr(fp[-2]);       \
    image = code ? code_image(code) : NULL; \
  } while (0)

// What a base frame becomes whose native has ended with a tail call: hands on the value.
static Step vm_result_step(Native *n) {
  return STEP_RETURN;
}
static const NativeDef vm_native_result = {.name = "result", .step = vm_result_step, .arg_count = 1, .slot_count = 1};

void vm_run_task(Vm *vm, Task *task) {
  static const void *const labels[] = {
#define OP(name, words, text) &&op_##name,
#include "eval/op.def"
#undef OP
  };
  VmState *state = vm->state;
  Heap *heap = &vm->heap;
  Native *n = &state->native;
  const uint32_t *ip, *code, *image;
  uint32_t word = 0, depth = task->depth;
  uint32_t max_depth = vm->settings.max_call_depth;
  FrameKind push_kind = FRAME_NATIVE; // of the next push_native
  bool binding = false;               // the pending error is about arguments that do not fit
  Value *sp, *fp, *stack_end;
  Env *env;
  Value acc;
  Value apply_fn; // what `apply` calls
  const Value *apply_args;
  uint32_t apply_count;

  task->state = TASK_RUNNING;
  task->begun = true;
  state->tasks.current = task;
  ip = task->ip;
  env = task->env;
  LOAD_STACK();
  LOAD_CODE();
  switch (task->resume) {
  case TASK_RESUME_CODE: NEXT;
  case TASK_RESUME_NATIVE: n->result = VALUE_NULL; goto run_native;
  case TASK_RESUME_FORCE:
    acc = task->resume_value;
    task->resume_value = 0;
    goto force;
  }

  // ---- constants and variables ----
op_STR:
  *sp++ = value_from_ptr(image + A, TAG_STR);
  NEXT;
op_INT:
  *sp++ = value_int(SA);
  NEXT;
op_OBJ:
  *sp++ = value_from_ptr(image + A, TAG_OBJ);
  NEXT;
op_IMM:
  *sp++ = VALUE_IMM(A);
  NEXT;
op_PATH:
  *sp++ = unit_path(vm, UNIT(), A);
  NEXT;
op_GLOBAL:
op_LGLOBAL : {
  uint32_t op = word & 0xff, a = A;
  uint32_t number = a == CODE_GLOBAL_FIND_FILE  ? state->find_file_global
                    : a == CODE_GLOBAL_NIX_PATH ? state->nix_path_global
                                                : UNIT()->globals[a];
  acc = vm_global(vm, number);
  if (UNLIKELY(acc == VALUE_ERROR)) goto unwind;
  if (op == OP_LGLOBAL) {
    *sp++ = acc;
    NEXT;
  }
  goto force;
}
op_VAR0:
  acc = env->slots[A];
  if (LIKELY(value_is_whnf(acc))) {
    *sp++ = acc;
    NEXT;
  }
  {
    Env *e = env;
    uint32_t slot = A;
  var_slow:
    acc = thunk_env_slot(vm, e, slot);
    if (value_tag(acc) == TAG_THUNK && head_type(value_head(acc)) == T_IND) {
      acc = value_ask(acc);
      if (!value_keeps_thunk(acc)) heap_store(heap, e, &e->slots[slot], acc);
    }
    goto force;
  op_VAR1:
    e = env->parent;
    goto var_any;
  op_VAR2:
    e = env->parent->parent;
    goto var_any;
  op_VARN:
    e = env;
    for (uint32_t k = *ip++; k; k--) e = e->parent;
  var_any:
    slot = A;
    acc = e->slots[slot];
    if (LIKELY(value_is_whnf(acc))) {
      *sp++ = acc;
      NEXT;
    }
    goto var_slow;
  }
op_LVAR0:
  *sp++ = thunk_env_slot(vm, env, A);
  NEXT;
op_LVAR1:
  *sp++ = thunk_env_slot(vm, env->parent, A);
  NEXT;
op_LVAR2:
  *sp++ = thunk_env_slot(vm, env->parent->parent, A);
  NEXT;
op_LVARN : {
  Env *e = env;
  for (uint32_t k = *ip++; k; k--) e = e->parent;
  *sp++ = thunk_env_slot(vm, e, A);
  NEXT;
}
op_WITHVAR : {
  Unit *unit = UNIT();
  Sym name = unit->names[A];
  uint32_t count = ip[0];
  SelectCache *caches = unit->caches + ip[1];
  for (uint32_t i = 0; i < count; i++) {
    Env *e = env;
    for (uint32_t k = ip[2 + i]; k; k--) e = e->parent;
    Value set = value_follow(thunk_env_slot(vm, e, 0));
    if (!value_is_whnf(set)) { // evaluate it, then look again
      acc = set;
      ip--;
      goto force_drop;
    }
    if (UNLIKELY(!value_is_attrs(set))) {
      PosId pos = unit_pos(unit, ip[2 + count + i]);
      ip += 2 + 2 * count;
      eval_error_type(vm, 0, "a set", set);
      eval_error_trace(vm, pos, "while evaluating the first subexpression of a with expression");
      goto unwind;
    }
    acc = vm_cached_get(vm, &caches[i], set, name);
    if (acc == VALUE_ABSENT) continue;
    ip += 2 + 2 * count;
    goto force;
  }
  ip += 2 + 2 * count;
  eval_error(vm, EVAL_ERROR_UNDEFINED, POS(), "undefined variable '%.*s'", SPAN_ARG(symbol_text(vm->symbols, name)));
  goto unwind;
}

  // ---- construction ----
op_THUNK:
  *sp++ = thunk_new(vm, image + A, env);
  state->stats.thunks++;
  NEXT;
op_ARG : {
  uint32_t index = ip[0] & 0xff, early = call_args_early(vm, sp[-(ptrdiff_t)index - 1], ip[0] >> 8);
  if (!(early >> index & 1)) {
    ip += 2;
    *sp++ = thunk_new(vm, image + A, env);
    state->stats.thunks++;
    NEXT;
  }
  Value *before = call_args_unready(early & ((1u << index) - 1), sp - index);
  uint32_t ready = before ? (uint32_t)(before - (sp - index)) : index;
  if (UNLIKELY(call_args_refused(vm, sp[-(ptrdiff_t)index - 1], sp - index, ready))) { // the call will fail before
    ip += 2;
    *sp++ = thunk_new(vm, image + A, env);
    NEXT;
  }
  if (UNLIKELY(before != NULL)) { // its turn first
    acc = *before;
    ip--;
    goto force_drop;
  }
  ip += 2;
  if (UNLIKELY(task->part_count)) goto arg_part;
arg_run:
  code = image + A;
  PUSH_HEADER(FRAME_ARG, code);
  ip = code;
  goto entered;
arg_part:
  switch (task_take_part(vm, task, (size_t)(fp - task->stack), ip, &acc)) {
  case TASK_PART_NONE: goto arg_run;
  case TASK_PART_DONE: *sp++ = value_tag(acc) == TAG_OBJ ? thunk_own_function(vm, acc) : acc; NEXT;
  case TASK_PART_WAIT:
    ip -= 3;
    SPILL();
    task->resume = TASK_RESUME_CODE;
    return;
  }
}
op_CLOSURE:
  *sp++ = thunk_new_closure(vm, image + A, env);
  NEXT;
op_LAZY_ADDK : {
  Env *e = env;
  for (uint32_t k = ip[0]; k; k--) e = e->parent;
  acc = value_follow(e->slots[A]);
  if (LIKELY(value_tag(acc) == TAG_INT)) *sp++ = vm_int(vm, value_small_int(acc) + (int32_t)ip[1]);
  else *sp++ = thunk_new(vm, image + ip[2], env);
  ip += 3;
  NEXT;
}
op_LIST : {
  uint32_t count = A;
  sp -= count;
  *sp = list_from(vm, sp, count);
  sp++;
  NEXT;
}
op_ATTRS:
  *sp++ = vm_ops_make_set(vm, UNIT(), image + A, env);
  NEXT;
op_UNASKED:
  if (A && call_args_early(vm, sp[-(ptrdiff_t)(A & 0xff) - 2], A >> 8) >> (A & 0xff) & 1) NEXT;
  sp[-1] = thunk_new_unasked(vm, sp[-1]);
  NEXT;
op_DYN_NAME:
  if (UNLIKELY(!vm_ops_check_dyn_name(vm, sp[-1], POS()))) goto unwind;
  NEXT;
op_DYNATTRS : {
  uint32_t count = A;
  ip += count;
  acc = vm_ops_dyn_attrs(vm, UNIT(), sp[-2 * (ptrdiff_t)count - 1], sp - 2 * (ptrdiff_t)count, count, ip - count);
  if (acc == VALUE_ERROR) goto unwind;
  sp -= 2 * (ptrdiff_t)count;
  sp[-1] = acc;
  NEXT;
}
op_ENTER:
  env = vm_ops_enter(vm, UNIT(), image + A, env);
  NEXT;
op_LET:
  vm_ops_let(vm, UNIT(), image + A, env);
  NEXT;
op_LEAVE:
  env = env->parent;
  NEXT;
op_WITH : {
  Env *e = heap_alloc(heap, sizeof(Env) + sizeof(Value));
  e->head = HEAD(T_ENV, ENV_WITH, 1);
  e->parent = env;
  e->slots[0] = *--sp;
  env = e;
  NEXT;
}
op_OVERRIDE:
  if (!value_is_attrs(sp[-1])) {
    eval_error_type(vm, 0, "a set", sp[-1]);
    eval_error_trace(vm, 0, "while evaluating the `__overrides` attribute");
    goto unwind;
  }
  vm_ops_override(vm, UNIT(), image + A, sp[-1], env);
  NEXT;
op_SWAP:
  acc = sp[-1];
  sp[-1] = sp[-2];
  sp[-2] = acc;
  NEXT;

  // ---- selection ----
op_SELECT : {
  Value set = sp[-1];
  if (LIKELY(value_tag(set) == TAG_ATTRS)) {
    Attrs *flat = value_ptr(set);
    SelectCache *cache = &UNIT()->caches[A];
    if (UNLIKELY(head_type(flat->head) == T_LAYERED)) {
      set = attrs_settle(vm, set);
      flat = value_ptr(set);
    }
    if (LIKELY(head_type(flat->head) == T_ATTRS)) {
      uint32_t slot = cache->slot;
      if (UNLIKELY(flat->shape != cache->shape)) {
        slot = shape_find(flat->shape, UNIT()->names[ip[0]]);
        if (slot == SHAPE_NOT_FOUND) goto select_missing;
        if (UNLIKELY(vm->counts)) {
          eval_count_lookup(vm, vm_trace_pos_at(code, ip + 1));
        } else {
          cache->shape = flat->shape;
          cache->slot = slot;
        }
      }
      acc = flat->slots[slot];
      if (LIKELY(value_is_whnf(acc))) {
        sp[-1] = acc;
        ip++;
        NEXT;
      }
      acc = attrs_slot(vm, set, slot);
    } else {
      acc = attrs_get(vm, set, UNIT()->names[ip[0]]);
      if (acc == VALUE_ABSENT) goto select_missing;
      if (UNLIKELY(vm->counts)) eval_count_lookup(vm, vm_trace_pos_at(code, ip + 1));
    }
    ip++;
    sp--;
    goto force;
  }
select_missing:
  ip++;
  if (value_is_attrs(set)) {
    vm_ops_missing(vm, set, UNIT()->names[ip[-1]], POS());
  } else {
    eval_error_type(vm, 0, "a set", set);
    eval_error_trace(vm, POS(), "while selecting an attribute");
  }
  vm_trace_steps(vm, code, ip - 1, env, sp - 2);
  goto unwind;
}
op_SELECT_OR:
op_HAS_NEXT : {
  Value set = sp[-1];
  ip += 2;
  acc = vm_cached_get(vm, &UNIT()->caches[A], set, UNIT()->names[ip[-2]]);
  sp--;
  if (acc == VALUE_ABSENT) {
    ip += ip[-1];
    NEXT;
  }
  goto force;
}
op_NAME:
  *sp++ = value_raw(UNIT()->names[A]);
  NEXT;
op_SELECT_DYN:
op_SELECT_OR_DYN : {
  Value set = sp[-2] = value_ask(sp[-2]);
  bool computed = code_is_computed_step(image, ip);
  Sym name = computed ? vm_dynamic_name(vm, sp[-1], code, ip) : (Sym)value_get_raw(sp[-1]);
  if (!name) goto unwind;
  if (UNLIKELY(!value_is_whnf(set))) {
    acc = set;
    ip--;
    goto force_drop;
  }
  bool has_fallback = (word & 0xff) == OP_SELECT_OR_DYN;
  acc = value_is_attrs(set) ? attrs_get(vm, set, name) : VALUE_ABSENT;
  if (acc == VALUE_ABSENT) {
    if (has_fallback) {
      sp[-2] = value_raw(name);
      sp[-1] = value_raw(0);
      for (uint32_t k = image[ip[1]] - (A >> 1) - 1; k; k--, sp += 2) sp[0] = sp[1] = value_raw(0);
      ip += 3 + ip[2];
      NEXT;
    }
    PosId pos = vm_trace_pos_at(code, ip + 2);
    if (value_is_attrs(set)) {
      vm_ops_missing(vm, set, name, pos);
    } else {
      eval_error_type(vm, 0, "a set", set);
      eval_error_trace(vm, pos, "while selecting an attribute");
    }
    goto unwind;
  }
  sp[-2] = value_raw(name);
  sp[-1] = value_raw(attrs_position(set, name));
  ip += has_fallback ? 3 : 2;
  if (!(A & 1)) goto force;
  *sp++ = acc;
  NEXT;
}
op_DUP:
  sp[0] = sp[-1];
  sp++;
  NEXT;
op_DROP:
  acc = sp[-1];
  sp -= A;
  sp[-1] = acc;
  NEXT;
op_HAS_NEXT_DYN : {
  Sym name = vm_dynamic_name(vm, sp[-1], code, ip);
  ip += 2;
  if (!name) goto unwind;
  acc = value_is_attrs(sp[-2]) ? attrs_get(vm, sp[-2], name) : VALUE_ABSENT;
  sp -= 2;
  if (acc == VALUE_ABSENT) {
    ip += ip[-1];
    NEXT;
  }
  goto force;
}
op_HAS:
  acc = attrs_settle(vm, sp[-1]);
  if (value_tag(acc) == TAG_ATTRS && !attrs_is_layered(acc))
    acc = value_bool(vm_cached_slot(&UNIT()->caches[A], attrs_flat_shape(acc), UNIT()->names[*ip]) != SHAPE_NOT_FOUND);
  else acc = value_bool(value_is_attrs(acc) && attrs_has(acc, UNIT()->names[*ip]));
  sp[-1] = acc;
  ip++;
  NEXT;
op_HAS_DYN : {
  Sym name = vm_dynamic_name(vm, sp[-1], code, ip++);
  if (!name) goto unwind;
  sp--;
  sp[-1] = value_bool(value_is_attrs(sp[-1]) && attrs_has(sp[-1], name));
  NEXT;
}

  // ---- control ----
op_JMP:
  ip += 1 + ip[0];
  NEXT;
op_JF:
  acc = *--sp;
  if (acc == VALUE_TRUE) {
    ip++;
    NEXT;
  }
  if (LIKELY(acc == VALUE_FALSE)) {
    ip += 1 + ip[0];
    NEXT;
  }
  ip++;
  goto not_bool;
op_AND:
op_OR:
op_IMPL : {
  uint32_t op = word & 0xff;
  acc = sp[-1];
  if (UNLIKELY(!value_is_bool(acc))) goto not_bool;
  if (acc == VALUE_TRUE ? op != OP_OR : op == OP_OR) { // the second operand decides
    sp--;
    ip++;
  } else {
    if (op == OP_IMPL) sp[-1] = VALUE_TRUE;
    ip += 1 + ip[0];
  }
  NEXT;
}
op_CHECK_BOOL:
  acc = sp[-1];
  if (LIKELY(value_is_bool(acc))) NEXT;
not_bool:
  eval_error_type(vm, POS(), "a Boolean", acc);
  goto unwind;
op_NOT:
  acc = sp[-1];
  if (UNLIKELY(!value_is_bool(acc))) goto not_bool;
  sp[-1] = acc == VALUE_TRUE ? VALUE_FALSE : VALUE_TRUE;
  NEXT;
op_ASSERT:
  acc = *--sp;
  if (LIKELY(acc == VALUE_TRUE)) NEXT;
  if (acc == VALUE_FALSE)
    eval_error(vm, EVAL_ERROR_ASSERT, POS(), "assertion '%.*s' failed",
               SPAN_ARG(str_span(value_from_ptr(image + A, TAG_STR))));
  else {
    eval_error_type(vm, POS(), "a Boolean", acc);
    eval_error_trace(vm, POS(), "in the condition of the assert statement");
  }
  goto unwind;

op_DUP2:
  sp[0] = sp[-2];
  sp[1] = sp[-1];
  sp += 2;
  NEXT;
op_ASSERT_EQ:
  sp -= 4;
  if (LIKELY(sp[3] == VALUE_TRUE)) {
    ip++;
    NEXT;
  }
  if (sp[0] == VALUE_FALSE) { // the first time
    *sp++ = VALUE_TRUE;
    ip += 1 - (ptrdiff_t)ip[0];
    NEXT;
  }
  n->args[0] = sp[1];
  n->args[1] = sp[2];
  n->args[2] = value_from_ptr(image + A, TAG_STR);
  n->args[3] = value_int(POS());
  n->push_def = &assert_diff_native;
  goto push_native;

  // ---- operators ----
op_ADD : {
  Value a = sp[-2], b = sp[-1];
  if (LIKELY(value_tag(a) == TAG_INT && value_tag(b) == TAG_INT)) {
    sp--;
    sp[-1] = vm_int(vm, value_small_int(a) + value_small_int(b));
    NEXT;
  }
  if (value_tag(a) == TAG_STR && value_tag(b) == TAG_STR) {
    sp--;
    sp[-1] = str_concat(vm, a, b, context_union(vm->contexts, str_context(a), str_context(b)));
    NEXT;
  }
  if ((value_is_int(a) || value_is_float(a)) && (value_is_int(b) || value_is_float(b))) goto arithmetic;
  n->push_def = &native_plus;
  goto push_binary;
}
op_SUB:
  if (LIKELY(value_tag(sp[-2]) == TAG_INT && value_tag(sp[-1]) == TAG_INT)) {
    sp--;
    sp[-1] = vm_int(vm, value_small_int(sp[-1]) - value_small_int(sp[0]));
    NEXT;
  }
  goto arithmetic;
op_MUL:
op_DIV:
arithmetic:
  acc = vm_ops_arithmetic(vm, (Op)(word & 0xff), sp[-2], sp[-1]);
  if (UNLIKELY(acc == VALUE_ERROR)) goto arithmetic_failed;
  sp--;
  sp[-1] = acc;
  NEXT;
op_NEG:
  acc = vm_ops_arithmetic(vm, OP_SUB, value_int(0), sp[-1]);
  if (UNLIKELY(acc == VALUE_ERROR)) goto arithmetic_failed;
  sp[-1] = acc;
  NEXT;
arithmetic_failed:
  if ((word & 0xff) == OP_ADD) vm->error->pos = POS();
  goto unwind;
op_EQ : {
  Value a = sp[-2], b = sp[-1];
  unsigned ta = value_tag(a), tb = value_tag(b);
  if (ta == tb && (ta == TAG_INT || ta == TAG_IMM)) {
    sp--;
    // Functions are never equal, not even builtins to themselves.
    sp[-1] = value_bool(a == b && !value_is_builtin(a));
    NEXT;
  }
  if (ta == TAG_STR && tb == TAG_STR) {
    sp--;
    sp[-1] = value_bool(span_eq(str_span(a), str_span(b)));
    NEXT;
  }
  bool may_be_derivation = ta == TAG_ATTRS && b == VALUE_EMPTY_ATTRS && attrs_has(a, SYM_type); // Nix looks at that
  if (ta != tb && ta != TAG_OBJ && tb != TAG_OBJ && !may_be_derivation) { // different types, or one collection is empty
    sp--;
    sp[-1] = VALUE_FALSE;
    NEXT;
  }
  n->push_def = &native_equal;
  goto push_binary;
}
op_LT : {
  Value a = sp[-2], b = sp[-1];
  if (LIKELY(value_tag(a) == TAG_INT && value_tag(b) == TAG_INT)) {
    sp--;
    sp[-1] = value_bool(value_small_int(a) < value_small_int(b));
    NEXT;
  }
  if (value_tag(a) == TAG_STR && value_tag(b) == TAG_STR) {
    sp--;
    sp[-1] = value_bool(span_cmp(str_span(a), str_span(b)) < 0);
    NEXT;
  }
  n->push_def = &native_less_than;
  push_kind = FRAME_BUILTIN;
}
push_binary:
  n->args[0] = sp[-2];
  n->args[1] = sp[-1];
  sp -= 2;
  goto push_native;
op_ADD_LEFT:
  if (value_tag(sp[-1]) == TAG_INT || value_tag(sp[-1]) == TAG_STR || !vm_trace_refuses_string(sp[-1])) {
    if (LIKELY(!value_is_attrs(sp[-1]))) NEXT;
    n->push_def = &native_plus_left;
    n->args[0] = *--sp;
    goto push_native;
  }
  eval_error_coerce(vm, 0, sp[-1]);
  eval_error_trace(vm, POS(), "while evaluating a path segment");
  goto unwind;
op_UPDATE_LEFT:
  if (LIKELY(value_is_attrs(sp[-1]))) NEXT;
  eval_error_type(vm, 0, "a set", sp[-1]);
  eval_error_trace(vm, POS(), "in the left operand of the update (//) operator");
  goto unwind;
op_UPDATE : {
  Value a = sp[-2], b = sp[-1];
  if (UNLIKELY(!value_is_attrs(a) || !value_is_attrs(b))) {
    eval_error_type(vm, 0, "a set", value_is_attrs(a) ? b : a);
    eval_error_trace(vm, POS(), "in the %s operand of the update (//) operator", value_is_attrs(a) ? "right" : "left");
    goto unwind;
  }
  state->stats.updates++;
  sp--;
  sp[-1] = attrs_update(vm, a, b);
  NEXT;
}
op_CONCAT : {
  Value a = sp[-2], b = sp[-1];
  if (UNLIKELY(!value_is_list(a) || !value_is_list(b))) {
    eval_error_type(vm, 0, "a list", value_is_list(a) ? b : a);
    eval_error_trace(vm, POS(), "while evaluating one of the elements to concatenate");
    goto unwind;
  }
  state->stats.list_concats++;
  sp--;
  sp[-1] = list_concat(vm, a, b);
  NEXT;
}
op_PIECE:
  if (LIKELY(value_tag(sp[-1]) == TAG_STR) || (A && value_is_path(sp[-1]))) NEXT;
  n->push_def = &native_coerce_string;
  n->args[0] = *--sp;
  n->args[1] = value_int(A ? 0 : COERCE_COPY);
  goto push_native;
op_INTERP : {
  uint32_t count = A;
  sp -= count;
  *sp = vm_ops_interp(vm, sp, count);
  sp++;
  if (UNLIKELY(heap->next >= heap->soft_end)) goto entered; // one expression may be a million of them
  NEXT;
}
op_INTERP_PATH : {
  uint32_t count = A;
  acc = vm_ops_interp_path(vm, sp - count, count, POS());
  if (acc == VALUE_ERROR) goto unwind;
  sp -= count;
  *sp++ = acc;
  if (UNLIKELY(heap->next >= heap->soft_end)) goto entered;
  NEXT;
}
op_CUR_POS:
  *sp++ = builtins_attrs_position(vm, POS());
  NEXT;
op_SPARK:
  ip++;
  if (UNLIKELY(task->part_count)) {
    switch (task_take_part(vm, task, (size_t)(fp - task->stack), ip, &acc)) {
    case TASK_PART_NONE: break;
    case TASK_PART_DONE:
      *sp++ = acc;
      ip += ip[-1];
      break;
    case TASK_PART_WAIT:
      ip -= 2; // ask again when it is done
      SPILL();
      task->resume = TASK_RESUME_CODE;
      return;
    }
  }
  NEXT;
op_SPARK_END:
  if (UNLIKELY(task->part_end == ip && value_get_raw(fp[-1]) == FRAME_BASE)) goto op_RET;
  NEXT;

  // ---- calls ----
op_FORCE_AT : {
  Value *place = sp - A - 1;
  acc = *place = value_ask(*place);
  if (LIKELY(value_is_whnf(acc))) {
    ip++;
    NEXT;
  }
  goto force;
}
op_POKE:
  acc = *--sp;
  sp[-(ptrdiff_t)A - 1] = acc;
  NEXT;
op_REST : {
  uint32_t count = A;
  acc = sp[-1];
  memmove(sp - count, sp - count - 1, count * sizeof(Value));
  sp[-(ptrdiff_t)count - 1] = acc;
  NEXT;
}
op_FORMALS:
  acc = *--sp;
  if (!vm_ops_formals(vm, UNIT(), image + A, code, acc, env)) {
    binding = true;
    goto unwind;
  }
  NEXT;
op_CALL : {
  uint32_t count = A;
  Value f = sp[-(ptrdiff_t)count - 1];
  uint32_t arity;
call_again:
  if (LIKELY(value_tag(f) == TAG_OBJ)) {
    Object *object = value_ptr(f);
    if (LIKELY(head_type(object->head) == T_CLOSURE)) {
      const uint32_t *callee = (const uint32_t *)(uintptr_t)head_payload(object->head);
      const LambdaHead *lambda = code_lambda(callee);
      if (UNLIKELY(lambda->arity != count)) goto call_arity;
      sp -= count + 1;
      const Value *args = sp + 1;
      ENTER_CLOSURE(callee, ((Closure *)object)->env, args, count);
    }
    if (head_type(object->head) == T_PAP) {
      if (vm_arity(vm, f) > count) goto call_arity;
      Pap *pap = (Pap *)object;
      uint32_t extra = (uint32_t)head_payload(pap->head);
      memmove(sp - count + extra, sp - count, count * sizeof(Value));
      for (uint32_t i = 0; i < extra; i++) sp[-(ptrdiff_t)count + (ptrdiff_t)i] = pap->args[i];
      sp += extra;
      count += extra;
      f = sp[-(ptrdiff_t)count - 1] = pap->fn;
      goto call_again;
    }
  } else if (value_is_builtin(f)) {
    const Builtin *b = vm->builtins[value_builtin_index(f)];
    if (UNLIKELY(b->arity != count)) goto call_arity;
    state->stats.builtin_calls++;
    if (UNLIKELY(b->flags & BUILTIN_EFFECT && task->speculative)) {
      // Not before somebody needs it: the whole call is repeated then.
      ip--;
      SPILL();
      task->resume = TASK_RESUME_CODE;
      task->state = TASK_WAIT_NEEDED;
      return;
    }
    {
      Value *unready = call_args_unready(b->strict, sp - count);
      if (UNLIKELY(unready != NULL)) {
        if (count != A || b->flags & BUILTIN_REVERSE) goto call_strict;
        if (call_args_refused(vm, f, sp - count, (uint32_t)(unready - (sp - count)))) goto call_strict;
        acc = *unready;
        ip--;
        goto force_drop;
      }
    }
    if (!b->fn) {
    native:
      sp -= count;
      for (uint32_t i = 0; i < count; i++) n->args[i] = sp[i];
      sp--;
      n->push_def = b->native;
      push_kind = FRAME_BUILTIN;
      goto push_native;
    }
    state->call_ip = ip;
    state->call_code = code;
    acc = b->fn(vm, sp - count);
    state->call_ip = NULL;
    if (UNLIKELY(acc == VALUE_ERROR)) {
      vm_trace_builtin(vm, NULL, b->name, vm_trace_call_site(vm, task, fp, ip));
      goto unwind;
    }
    if (UNLIKELY(acc == VALUE_ABSENT)) goto native;
    if (UNLIKELY(acc == VALUE_PARK)) goto call_strict; // repeated by a native that can park
    sp -= count + 1;
    acc = value_ask(acc);
    if (LIKELY(value_is_whnf(acc))) {
      *sp++ = acc;
      NEXT;
    }
    n->args[0] = acc;
    n->args[1] = value_raw(value_builtin_index(f));
    n->push_def = &native_leaf_result;
    push_kind = FRAME_BUILTIN;
    goto push_native;
  call_strict:
    sp -= count;
    n->args[0] = value_raw(value_builtin_index(f));
    n->args[1] = value_raw(0);
    for (uint32_t i = 0; i < BUILTIN_MAX_ARITY; i++) n->args[2 + i] = i < count ? sp[i] : VALUE_NULL;
    sp--;
    n->push_def = &native_strict_call;
    push_kind = FRAME_BUILTIN;
    goto push_native;
  } else if (value_tag(f) == TAG_ATTRS) {
    Value functor = attrs_get(vm, f, SYM_functor);
    if (functor != VALUE_ABSENT) { // functor self arg
      if (count > 1) {             // only the first argument belongs to the call of the set
        arity = 1;
        goto call_rest;
      }
      memmove(sp - count, sp - count - 1, (count + 1) * sizeof(Value));
      sp[-(ptrdiff_t)count - 1] = functor;
      sp++;
      Value moved[SNIPPET_MAX_ARGS + 1];
      memcpy(moved, sp - count - 2, (count + 2) * sizeof(Value));
      sp -= count + 2;
      const uint32_t *snippet = snippet_functor[count + 1].code;
      PUSH_HEADER(FRAME_CALL, snippet);
      *sp++ = f;
      memcpy(sp, moved, (count + 2) * sizeof(Value));
      sp += count + 2;
      env = NULL;
      ip = code = snippet;
      image = code_image(code);
      goto entered;
    }
  }
  vm_not_a_function(vm, f, vm_trace_call_site(vm, task, fp, ip));
  goto unwind;
too_many_args:
  eval_error(vm, EVAL_ERROR_EVAL, POS(), "too many arguments in one call");
  goto unwind;
call_arity:
  arity = vm_arity(vm, f);
  if (count < arity) {
    acc = vm_make_pap(vm, f, sp - count, count);
    sp -= count + 1;
    *sp++ = acc;
    NEXT;
  }
call_rest : { // More arguments than it takes: a frame keeps the rest and applies the result to them.
  uint32_t rest = count - arity;
  if (rest >= SNIPPET_MAX_ARGS || arity >= SNIPPET_MAX_ARGS) goto too_many_args;
  Value first[SNIPPET_MAX_ARGS + 1], others[SNIPPET_MAX_ARGS];
  memcpy(first, sp - count - 1, (arity + 1) * sizeof(Value));
  memcpy(others, sp - rest, rest * sizeof(Value));
  sp -= count + 1;
  const uint32_t *snippet = snippet_rest[rest].code;
  PUSH_HEADER(FRAME_CALL, snippet);
  memcpy(sp, others, rest * sizeof(Value));
  sp += rest;
  memcpy(sp, first, (arity + 1) * sizeof(Value));
  sp += arity + 1;
  ip = code = snippet;
  image = code_image(code);
  count = arity;
  if (UNLIKELY(sp + 64 > stack_end)) {
    SPILL();
    task_reserve(task, 256);
    LOAD_STACK();
  }
  goto call_again;
}
}

  // A frame of snippet_apply (`code`) is new on top. Most functions are closures that take all arguments: as if it had come to its call.
apply:
  apply_fn = value_follow(apply_fn);
  env = NULL;
  if (LIKELY(value_is_closure(apply_fn))) {
    const uint32_t *callee = (const uint32_t *)(uintptr_t)head_payload(value_head(apply_fn));
    if (LIKELY(code_lambda(callee)->arity == apply_count)) {
      ip = code + SNIPPET_APPLIED;
      ENTER_CLOSURE(callee, ((Closure *)value_ptr(apply_fn))->env, apply_args, apply_count);
    }
  }
  *sp++ = apply_fn;
  for (uint32_t i = 0; i < apply_count; i++) *sp++ = apply_args[i];
  ip = code;
  image = code_image(code);

entered: // a new code frame: room for its operands, depth, collection
  if (UNLIKELY(sp + code_head(code)->max_stack > stack_end)) {
    SPILL();
    task_reserve(task, code_head(code)->max_stack + STACK_SLACK);
    LOAD_STACK();
  }
  if (UNLIKELY(depth > max_depth)) {
    vm_stack_overflow(vm, task, fp);
    goto unwind;
  }
  if (UNLIKELY(heap->next >= heap->soft_end)) {
    SPILL();
    acc = vm_safepoint(vm, task);
    env = task->env;
    if (UNLIKELY(acc == VALUE_ERROR)) goto unwind;
    if (UNLIKELY(acc == VALUE_PARK)) {
      task->resume = TASK_RESUME_CODE;
      task->state = TASK_READY;
      return;
    }
  }
  NEXT;

  // ---- forcing: acc in WHNF goes on the stack (or to the native on top) ----
force:
  if (LIKELY(value_is_whnf(acc))) {
    if (UNLIKELY(!ip)) {
      n->result = acc;
      goto run_native;
    }
    *sp++ = acc;
    NEXT;
  }
  {
    Thunk *thunk = value_ptr(acc);
    Head h = thunk->head;
    switch (head_type(h)) {
    case T_IND: acc = value_ask(acc); goto force;
    case T_THUNK:
      sp[0] = acc;
      sp[1] = h;
      sp += FRAME_FORCE_WORDS;
      code = (const uint32_t *)(uintptr_t)head_payload(h);
      PUSH_HEADER(FRAME_FORCE, code);
      thunk->head = HEAD(T_BLACKHOLE, 0, (uint64_t)task->number << 16);
      state->stats.thunks_forced++;
      env = thunk->env;
      ip = code;
      image = code_image(code);
      goto entered;
    case T_APP: {
      AppThunk *app = (AppThunk *)thunk;
      uint32_t count = (uint32_t)head_payload(h);
      sp[0] = acc;
      sp[1] = h;
      sp += FRAME_FORCE_WORDS;
      code = snippet_apply[count].code;
      PUSH_HEADER(FRAME_FORCE, code);
      app->head = HEAD(T_BLACKHOLE, THUNK_IS_APP, (uint64_t)task->number << 16 | count);
      state->stats.thunks_forced++;
      apply_fn = app->fn;
      apply_args = app->args;
      apply_count = count;
      goto apply;
    }
    default: break;
    }
    // A blackhole.
    uint32_t owner = (uint32_t)(head_payload(h) >> 16);
    SPILL();
    switch (task_wait_thunk(vm, task, acc, owner)) {
    case TASK_MUST_WAIT: break;
    case TASK_RETRY: goto force;
    case TASK_CYCLE: vm_trace_recursion(vm, task, fp, code, ip, acc); goto unwind;
    }
    task->resume = TASK_RESUME_FORCE;
    task->resume_value = acc;
    return;
  }
force_drop: // as force_thunk, from code only; the instruction at ip is repeated afterwards
  if (head_type(value_head(acc)) == T_BLACKHOLE) goto force_thunk_drop_wait;
  {
    Thunk *thunk = value_ptr(acc);
    Head h = thunk->head;
    sp[0] = acc;
    sp[1] = h;
    sp += FRAME_FORCE_WORDS;
    bool app = head_type(h) == T_APP;
    uint32_t count = app ? (uint32_t)head_payload(h) : 0;
    code = app ? snippet_apply[count].code : (const uint32_t *)(uintptr_t)head_payload(h);
    PUSH_HEADER(FRAME_FORCE_DROP, code);
    thunk->head = HEAD(T_BLACKHOLE, app ? THUNK_IS_APP : 0, (uint64_t)task->number << 16 | count);
    state->stats.thunks_forced++;
    env = app ? NULL : thunk->env;
    ip = code;
    image = code_image(code);
    if (app) {
      AppThunk *a = (AppThunk *)thunk;
      *sp++ = a->fn;
      for (uint32_t i = 0; i < count; i++) *sp++ = a->args[i];
    }
    goto entered;
  }
force_thunk_drop_wait : {
  uint32_t owner = (uint32_t)(head_payload(value_head(acc)) >> 16);
  SPILL();
  switch (task_wait_thunk(vm, task, acc, owner)) {
  case TASK_MUST_WAIT: break;
  case TASK_RETRY: goto force_drop;
  case TASK_CYCLE:
    if ((*ip & 0xff) == OP_CALL || (*ip & 0xff) == OP_ARG) {
      vm_trace_recursion(vm, task, fp, NULL, NULL, acc);
      vm_trace_early(vm, task, fp, ip, sp, false);
    } else {
      vm_trace_recursion(vm, task, fp, code, ip + 1, acc);
    }
    goto unwind;
  }
  task->resume = TASK_RESUME_CODE;
  return;
}

  // ---- returning ----
op_RET:
  acc = *--sp;
return_value : {
  uint64_t meta = value_get_raw(fp[-1]);
  FrameKind kind = (FrameKind)(meta & 15);
  Value *base = fp - FRAME_HEADER;
  if (kind == FRAME_FORCE || kind == FRAME_FORCE_DROP) {
    base -= FRAME_FORCE_WORDS;
    Thunk *thunk = value_ptr(base[0]);
    bool waited = head_flags(thunk->head) & THUNK_WAITED;
    if (value_tag(acc) == TAG_OBJ) acc = thunk_own_function(vm, acc);
    thunk->head = HEAD(T_IND, 0, 0);
    heap_store(heap, thunk, &thunk->value, acc);
    if (UNLIKELY(waited)) task_wake_thunk(vm, thunk);
  } else if (kind == FRAME_ARG) {
    if (value_tag(acc) == TAG_OBJ) acc = thunk_own_function(vm, acc);
  } else if (UNLIKELY(kind == FRAME_BASE)) {
    task->result = acc;
    task->state = TASK_DONE;
    task->sp = task->fp = 0;
    return;
  }
  ip = value_get_raw_ptr(fp[-4]);
  env = (Env *)(uintptr_t)fp[-3];
  fp = task->stack + (meta >> 4);
  sp = base;
  depth--;
  if (UNLIKELY((size_t)(fp - task->stack) < task->scanned)) task->scanned = (size_t)(fp - task->stack);
  if (UNLIKELY(!ip)) {
    n->result = acc;
    goto run_native;
  }
  if (kind != FRAME_FORCE_DROP) {
    if ((*ip & 0xff) == OP_RET) goto return_value; // it was a tail call
    *sp++ = acc;
  }
  LOAD_CODE();
  NEXT;
}

  // ---- natives ----
push_native : { // n->push_def with n->args, returning to the current frame
  const NativeDef *def = n->push_def;
  PUSH_HEADER(push_kind, NULL);
  push_kind = FRAME_NATIVE;
  sp[0] = value_raw_ptr(def);
  sp[1] = value_raw(0);
  for (uint32_t i = 0; i < def->arg_count; i++) sp[2 + i] = n->args[i];
  for (uint32_t i = def->arg_count; i < def->slot_count; i++) sp[2 + i] = VALUE_NULL;
  sp += 2 + def->slot_count;
  ip = NULL;
  env = NULL;
  code = image = NULL;
  if (UNLIKELY(sp > stack_end)) {
    SPILL();
    task_reserve(task, 2 * STACK_SLACK);
    LOAD_STACK();
  }
  if (UNLIKELY(depth > max_depth)) {
    vm_stack_overflow(vm, task, fp);
    goto unwind;
  }
  if (UNLIKELY(heap->next >= heap->soft_end)) {
    SPILL();
    acc = vm_safepoint(vm, task);
    if (UNLIKELY(acc == VALUE_ERROR)) goto unwind;
    if (UNLIKELY(acc == VALUE_PARK)) {
      task->resume = TASK_RESUME_NATIVE;
      task->state = TASK_READY;
      return;
    }
  }
}
run_native : {
  // The frame on top may write to its slots and operands: the next minor collection looks at all of them.
  if ((size_t)(fp - task->stack) < task->scanned) task->scanned = (size_t)(fp - task->stack);
  const NativeDef *def = value_get_raw_ptr(fp[0]);
  sp = fp + 2 + def->slot_count;
  n->vm = vm;
  n->slot = fp + 2;
  n->state = (uint32_t)value_get_raw(fp[1]);
  ip = NULL;
  env = NULL;
  code = image = NULL;
  SPILL();
  Step step = def->step(n);
  fp[1] = value_raw(n->state);
  switch (step) {
  case STEP_FORCE:
    acc = n->args[0];
    if (UNLIKELY(heap->next >= heap->soft_end)) { // natives that never call code need a safepoint, too
      *sp++ = acc;
      SPILL();
      Value what = vm_safepoint(vm, task);
      acc = *--sp;
      if (UNLIKELY(what == VALUE_ERROR)) goto unwind;
    }
    goto force;
  case STEP_RETURN:
    acc = n->result;
    if (LIKELY(value_is_whnf(acc))) goto return_value;
    { // its value is that of a thunk: forced in our place
      uint64_t meta = value_get_raw(fp[-1]);
      if ((meta & 15) == FRAME_BASE) { // nobody below: keep the frame, and return what comes back
        fp[0] = value_raw_ptr(&native_force);
        fp[1] = value_raw(0);
        fp[2] = acc;
        sp = fp + 3;
        goto run_native;
      }
      ip = value_get_raw_ptr(fp[-4]);
      env = (Env *)(uintptr_t)fp[-3];
      sp = fp - FRAME_HEADER;
      fp = task->stack + (meta >> 4);
      depth--;
      if (UNLIKELY((size_t)(fp - task->stack) < task->scanned)) task->scanned = (size_t)(fp - task->stack);
      LOAD_CODE();
      goto force;
    }
  case STEP_PUSH: goto push_native;
  case STEP_CALL:
  call_from_native:
    code = snippet_apply[n->arg_count].code;
    PUSH_HEADER(FRAME_CALL, code);
    apply_fn = n->fn;
    apply_args = n->args;
    apply_count = n->arg_count;
    goto apply;
  case STEP_TAIL_CALL:
  case STEP_TAIL_PUSH: {
    uint64_t meta = value_get_raw(fp[-1]);
    if ((meta & 15) == FRAME_BASE) { // turn into a frame that waits for the value
      n->arg_count = step == STEP_TAIL_CALL ? n->arg_count : n->push_def->arg_count;
      fp[0] = value_raw_ptr(&vm_native_result);
      fp[1] = value_raw(0);
      fp[2] = VALUE_NULL;
      sp = fp + 3;
    } else {
      ip = value_get_raw_ptr(fp[-4]);
      env = (Env *)(uintptr_t)fp[-3];
      sp = fp - FRAME_HEADER;
      fp = task->stack + (meta >> 4);
      depth--;
      if (UNLIKELY((size_t)(fp - task->stack) < task->scanned)) task->scanned = (size_t)(fp - task->stack);
      LOAD_CODE();
    }
    if (step == STEP_TAIL_PUSH) {
      push_kind = (meta & 15) == FRAME_BUILTIN ? FRAME_BUILTIN : FRAME_NATIVE;
      goto push_native;
    }
    goto call_from_native;
  }
  case STEP_PARK:
    SPILL();
    task->resume = TASK_RESUME_NATIVE;
    task->state = TASK_WAIT_IO;
    task->wait_io = n->wait;
    state->stats.parked++;
    return;
  case STEP_ERROR: {
    // The frame itself does not catch what it raises.
    if (def->trace) def->trace(n);
    if (def->drop) def->drop(n);
    uint64_t meta = value_get_raw(fp[-1]);
    if ((meta & 15) == FRAME_BASE) goto task_failed;
    const Value *failed = fp;
    ip = value_get_raw_ptr(fp[-4]);
    sp = fp - FRAME_HEADER;
    fp = task->stack + (meta >> 4);
    depth--;
    LOAD_CODE();
    if ((meta & 15) == FRAME_BUILTIN) vm_trace_builtin(vm, failed, def->name, vm_trace_call_site(vm, task, fp, ip));
    else vm_trace_operand(vm, code, ip, failed);
    goto unwind;
  }
  }
}

  // ---- errors: an error is pending; pop frames until a native catches it or the task ends ----
unwind:
  if (code && ip) vm_trace_operands(vm, code, ip, fp, &binding);
  for (;;) {
    uint64_t meta = value_get_raw(fp[-1]);
    FrameKind kind = (FrameKind)(meta & 15);
    const uint32_t *callee = value_get_raw_ptr(fp[-2]);
    if (!callee) { // a native
      const NativeDef *def = value_get_raw_ptr(fp[0]);
      size_t at = (size_t)(fp - task->stack);
      if (at < task->scanned) task->scanned = at;
      if (def->catches && vm->error->kind != EVAL_ERROR_INTERRUPTED) {
        n->result = VALUE_ERROR;
        goto run_native;
      }
      n->vm = vm;
      n->slot = fp + 2;
      n->state = (uint32_t)value_get_raw(fp[1]);
      if (def->trace) def->trace(n);
      if (def->drop) def->drop(n);
    }
    const uint32_t *caller_ip = value_get_raw_ptr(fp[-4]);
    Value *below = task->stack + (meta >> 4);
    sp = fp - FRAME_HEADER;
    if (kind == FRAME_BASE) goto task_failed;
    const uint32_t *caller = value_get_raw_ptr(below[-2]);
    if (kind == FRAME_FORCE || kind == FRAME_FORCE_DROP) {
      sp -= FRAME_FORCE_WORDS;
      Thunk *thunk = value_ptr(sp[0]);
      bool waited = head_flags(thunk->head) & THUNK_WAITED;
      thunk->head = sp[1];
      if (waited) task_wake_thunk(vm, thunk);
      if (!caller_ip) {
      } else if (kind == FRAME_FORCE) {
        vm_trace_select(vm, caller, caller_ip, callee);
      } else {
        if ((*caller_ip & 0xff) == OP_CALL || (*caller_ip & 0xff) == OP_ARG)
          vm_trace_early(vm, task, below, caller_ip, sp, false);
        caller_ip++; // is before the instruction
      }
    } else if (kind == FRAME_ARG) {
      vm_trace_early(vm, task, below, caller_ip - 3, sp, true);
    } else if (kind == FRAME_CALL) {
      PosId site = vm_trace_call_site(vm, task, below, caller_ip);
      if (snippet_is_functor(callee))
        eval_error_trace(vm, site, "while calling a functor (an attribute set with a '__functor' attribute)");
      else vm_trace_call(vm, callee, site, binding);
      binding = false;
    } else if (kind == FRAME_BUILTIN) {
      const NativeDef *def = value_get_raw_ptr(fp[0]);
      vm_trace_builtin(vm, fp, def->name, vm_trace_call_site(vm, task, below, caller_ip));
    } else if (kind == FRAME_NATIVE) {
      vm_trace_operand(vm, caller, caller_ip, fp);
    }
    if (caller_ip) vm_trace_operands(vm, caller, caller_ip, below, &binding);
    fp = below;
    depth--;
  }

task_failed:
  task->error = eval_error_take(vm);
  task->result = VALUE_NULL;
  task->state = TASK_DONE;
  task->sp = task->fp = 0;
}
