// task.c: the scheduler of tasks, and where sparks come from.
//
// Nothing here happens while evaluation just runs: sparks are looked for only when no task can go on. Then the frames of parked tasks
// are read, oldest task first and oldest frame first: natives tell their unstarted parts themselves, in code frames the
// instructions ahead are decoded up to the first branch (variables that will be forced, parts between SPARK and SPARK_END).
#include "eval/task.h"

#include "base/mem.h"
#include "eval/code.h"
#include "eval/thunk.h"
#include "eval/vm_state.h"

#define TASK_INITIAL_STACK 512
#define TASK_SPARK_BATCH 64 // made in one look at the parked tasks
#define TASK_POLL_BATCH 64

Task *task_new(Vm *vm) {
  TaskQueue *q = &vm->state->tasks;
  Task *t = mem_alloc_zero(sizeof *t);
  t->number = ++q->next_number;
  t->stack_cap = TASK_INITIAL_STACK;
  t->stack = mem_alloc_array(t->stack_cap, sizeof(Value));
  t->prev = q->last;
  if (q->last) q->last->next = t;
  else q->first = t;
  q->last = t;
  q->count++;
  return t;
}

static Task *task_find(Vm *vm, uint32_t number) {
  for (Task *t = vm->state->tasks.first; t; t = t->next)
    if (t->number == number) return t;
  return NULL;
}

void task_free(Vm *vm, Task *t) {
  TaskQueue *q = &vm->state->tasks;
  task_unwind(vm, t);
  while (t->part_count) task_free(vm, t->parts[--t->part_count].task);
  if (t->prev) t->prev->next = t->next;
  else q->first = t->next;
  if (t->next) t->next->prev = t->prev;
  else q->last = t->prev;
  q->count--;
  mem_free(t->parts);
  mem_free(t->stack);
  if (t->error) eval_error_free(t->error);
  mem_free(t);
}

void task_reserve(Task *t, size_t words) {
  size_t need = t->sp + words + STACK_SLACK;
  MEM_RESERVE(t->stack, t->stack_cap, need);
}

static void task_push_base(Task *t, const uint32_t *code) {
  t->stack[0] = value_raw(0);
  t->stack[1] = 0;
  t->stack[2] = value_raw_ptr(code);
  t->stack[3] = value_raw(FRAME_BASE);
  t->sp = t->fp = FRAME_HEADER;
  t->depth = 1;
  t->state = TASK_READY;
}

void task_start_native(Vm *vm, Task *t, const NativeDef *def, const Value *args, uint32_t arg_count) {
  (void)vm;
  task_push_base(t, NULL);
  task_reserve(t, 2 + (size_t)def->slot_count);
  t->stack[t->sp++] = value_raw_ptr(def);
  t->stack[t->sp++] = value_raw(0);
  for (uint32_t i = 0; i < def->slot_count; i++) t->stack[t->sp++] = i < arg_count ? args[i] : VALUE_NULL;
  t->resume = TASK_RESUME_NATIVE;
}

void task_start_code(Vm *vm, Task *t, const uint32_t *code, const uint32_t *ip, Env *env, const uint32_t *part_end) {
  (void)vm;
  task_push_base(t, code);
  task_reserve(t, code_head(code)->max_stack);
  t->ip = ip;
  t->env = env;
  t->part_end = part_end;
  t->resume = TASK_RESUME_CODE;
}

static void task_wake_task(Vm *vm, const Task *done) {
  for (Task *t = vm->state->tasks.first; t; t = t->next)
    if (t->state == TASK_WAIT_TASK && t->wait_task == done) t->state = TASK_READY;
}

void task_unwind(Vm *vm, Task *t) {
  if (t->state == TASK_DONE || !t->sp) return;
  for (Value *fp = t->stack + t->fp;;) {
    uint64_t meta = value_get_raw(fp[-1]);
    FrameKind kind = (FrameKind)(meta & 15);
    if (kind == FRAME_FORCE || kind == FRAME_FORCE_DROP) {
      Thunk *thunk = value_ptr(fp[-FRAME_HEADER - 2]);
      bool waited = head_flags(thunk->head) & THUNK_WAITED;
      thunk->head = fp[-FRAME_HEADER - 1];
      if (waited) task_wake_thunk(vm, thunk);
    }
    if (!value_get_raw_ptr(fp[-2])) {
      const NativeDef *def = value_get_raw_ptr(fp[0]);
      if (def->drop) def->drop(&(Native){.vm = vm, .slot = fp + 2, .state = (uint32_t)value_get_raw(fp[1])});
    }
    if (kind == FRAME_BASE) break;
    fp = t->stack + (meta >> 4);
  }
  t->sp = t->fp = 0;
  t->state = TASK_DONE;
  t->cancelled = true;
  task_wake_task(vm, t);
}

void task_wake_thunk(Vm *vm, const Thunk *thunk) {
  for (Task *t = vm->state->tasks.first; t; t = t->next)
    if (t->state == TASK_WAIT_THUNK && value_ptr(t->wait_thunk) == thunk) {
      t->state = TASK_READY;
      t->wait_thunk = 0;
    }
}

// The task that `t` waits for, or NULL.
static Task *task_awaited(Vm *vm, const Task *t) {
  if (t->state == TASK_WAIT_TASK) return t->wait_task;
  if (t->state != TASK_WAIT_THUNK) return NULL;
  Head h = value_head(t->wait_thunk);
  return head_type(h) == T_BLACKHOLE ? task_find(vm, (uint32_t)(head_payload(h) >> 16)) : NULL;
}

bool task_waits_for(Vm *vm, Task *t, const Task *other) {
  uint32_t steps = vm->state->tasks.count + 1;
  for (; t && steps; t = task_awaited(vm, t), steps--)
    if (t == other) return true;
  return false;
}

// What a job needs is no longer speculative.
static void task_need(Vm *vm, Task *t) {
  for (uint32_t steps = vm->state->tasks.count + 1; t && steps && t->speculative; steps--) {
    t->speculative = false;
    if (t->state == TASK_WAIT_NEEDED) t->state = TASK_READY;
    t = task_awaited(vm, t);
  }
}

// A speculative task on the way from `t` to `self`, or NULL.
static Task *task_find_speculative(Vm *vm, Task *t, const Task *self) {
  for (; t && t != self; t = task_awaited(vm, t))
    if (t->speculative) return t;
  return NULL;
}

TaskWait task_wait_thunk(Vm *vm, Task *task, Value thunk, uint32_t owner_number) {
  Task *owner = task_find(vm, owner_number);
  if (!owner || owner == task) return TASK_CYCLE;
  if (task_waits_for(vm, owner, task)) {
    // Sequential evaluation finds the recursion where the program has it: give up the part that was taken ahead.
    Task *spark = task_find_speculative(vm, owner, task);
    if (!spark) return TASK_CYCLE;
    task_unwind(vm, spark);
    return TASK_RETRY;
  }
  if (!task->speculative) task_need(vm, owner);
  ((Thunk *)value_ptr(thunk))->head |= HEAD(0, THUNK_WAITED, 0);
  task->state = TASK_WAIT_THUNK;
  task->wait_thunk = thunk;
  return TASK_MUST_WAIT;
}

// The running task wants the result of a part that another task does: true when it has to wait (task->state is set), false when the part
// is done, or has not begun, or waits for us.
static bool task_wait_part(Vm *vm, Task *task, Task *part) {
  if (part->state == TASK_DONE || !part->begun || task_waits_for(vm, part, task)) return false;
  if (!task->speculative) task_need(vm, part);
  task->state = TASK_WAIT_TASK;
  task->wait_task = part;
  return true;
}

TaskPartState task_take_part(Vm *vm, Task *task, size_t fp, const uint32_t *ip, Value *ret) {
  for (size_t i = 0; i < task->part_count; i++) {
    TaskPart *part = &task->parts[i];
    if (part->fp != fp || part->ip != ip) continue;
    Task *helper = part->task;
    if (task_wait_part(vm, task, helper)) return TASK_PART_WAIT;
    bool done = helper->state == TASK_DONE && !helper->error && !helper->cancelled;
    *ret = helper->result;
    *part = task->parts[--task->part_count];
    task_free(vm, helper);
    // Else the task does it itself: it was not begun, or it failed and fails again.
    return done ? TASK_PART_DONE : TASK_PART_NONE;
  }
  return TASK_PART_NONE;
}

void task_scan(Vm *vm, Heap *heap, bool major) {
  for (Task *t = vm->state->tasks.first; t; t = t->next) {
    size_t from = major ? 0 : t->scanned;
    if (from < t->sp) heap_visit_range(heap, t->stack + from, t->sp - from);
    t->scanned = t->fp; // operands of the frame on top come and go
    heap_visit(heap, (Value *)(void *)&t->env);
    heap_visit(heap, &t->resume_value);
    heap_visit(heap, &t->wait_thunk);
    heap_visit(heap, &t->result);
  }
}

// ---- sparks ----

static Task *task_new_spark(Vm *vm, SparkSink *sink) {
  Task *t = task_new(vm);
  t->speculative = true;
  sink->made++;
  vm->state->stats.sparks++;
  return t;
}

bool spark_full(const SparkSink *sink) {
  return sink->made >= TASK_SPARK_BATCH;
}

void spark_add(SparkSink *sink, Value v) {
  if (spark_full(sink)) return;
  v = value_follow(v);
  if (value_tag(v) != TAG_THUNK) return;
  Thunk *thunk = value_ptr(v);
  Head h = thunk->head;
  if ((head_type(h) != T_THUNK && head_type(h) != T_APP) || head_flags(h) & THUNK_SPARKED) return;
  thunk->head |= HEAD(0, THUNK_SPARKED, 0);
  task_start_native(sink->vm, task_new_spark(sink->vm, sink), &native_force, &v, 1);
}

void spark_add_native(SparkSink *sink, const NativeDef *def, const Value *args, uint32_t arg_count) {
  task_start_native(sink->vm, task_new_spark(sink->vm, sink), def, args, arg_count);
}

// `code`, `ip`: where the part begins in a frame of its own; `part_end`: its SPARK_END, or NULL when it ends with a return. It is known by
// `key`, the place behind the instruction that asks for it.
static void spark_add_part(SparkSink *sink, size_t fp, const uint32_t *key, const uint32_t *code, const uint32_t *ip,
                           const uint32_t *part_end, Env *env) {
  Task *parent = sink->parent;
  for (size_t i = 0; i < parent->part_count; i++)
    if (parent->parts[i].fp == fp && parent->parts[i].ip == key) return;
  Task *t = task_new_spark(sink->vm, sink);
  task_start_code(sink->vm, t, code, ip, env, part_end);
  MEM_RESERVE(parent->parts, parent->part_cap, parent->part_count + 1);
  parent->parts[parent->part_count++] = (TaskPart){fp, key, t};
}

typedef struct FrameRef {
  size_t fp;
  const uint32_t *ip; // where it goes on; NULL for a native
  Env *env;
  size_t sp;    // end of its operands
  bool pending; // one more operand is being evaluated
} FrameRef;

// Does not the code at `ip` end or branch? Then the instruction after it is sure to run, too.
static bool spark_goes_on(Op op) {
  switch ((int)op) {
  case OP_VAR0:
  case OP_VAR1:
  case OP_VAR2:
  case OP_VARN:
  case OP_SPARK:
  case OP_JMP:
  case OP_LEAVE:
  case OP_WITHVAR:
  case OP_DYNATTRS:
  case OP_STR:
  case OP_INT:
  case OP_OBJ:
  case OP_IMM:
  case OP_PATH:
  case OP_GLOBAL:
  case OP_LGLOBAL:
  case OP_LVAR0:
  case OP_LVAR1:
  case OP_LVAR2:
  case OP_LVARN:
  case OP_THUNK:
  case OP_ARG:
  case OP_CLOSURE:
  case OP_LAZY_ADDK:
  case OP_LIST:
  case OP_ATTRS:
  case OP_UNASKED:
  case OP_SELECT:
  case OP_DUP:
  case OP_NAME:
  case OP_SELECT_DYN:
  case OP_DROP:
  case OP_HAS:
  case OP_HAS_DYN:
  case OP_CHECK_BOOL:
  case OP_NOT:
  case OP_NEG:
  case OP_ADD:
  case OP_SUB:
  case OP_MUL:
  case OP_DIV:
  case OP_EQ:
  case OP_LT:
  case OP_ADD_LEFT:
  case OP_UPDATE_LEFT:
  case OP_UPDATE:
  case OP_CONCAT:
  case OP_PIECE:
  case OP_INTERP:
  case OP_INTERP_PATH:
  case OP_SWAP:
  case OP_CALL: return true;
  default: return false; // a branch, a return, or a change of the env that has not happened yet
  }
}

static const uint32_t *spark_next(const uint32_t *ip) {
  Op op = (Op)(*ip & 0xff);
  if (op == OP_SPARK || op == OP_JMP) return ip + 2 + ip[1];
  uint32_t more = op == OP_WITHVAR ? 2 * ip[1] : op == OP_DYNATTRS ? *ip >> 8 : 0;
  return ip + code_op_words[op] + more;
}

// Whether a call of the closure is sure to evaluate that argument.
static bool spark_closure_needs(Value f, uint32_t index) {
  const uint32_t *ip = (const uint32_t *)(uintptr_t)head_payload(value_head(f));
  for (; spark_goes_on((Op)(*ip & 0xff)) && (*ip & 0xff) != OP_LEAVE; ip = spark_next(ip)) {
    if (*ip == OP_WORD(OP_VAR0, index)) return true;
    // The part is skipped by spark_next; a lone variable stands for itself.
    if ((*ip & 0xff) == OP_SPARK && ip[2] == OP_WORD(OP_VAR0, index)) return true;
  }
  return false;
}

// Whether a call of `f` with `count` arguments is sure to evaluate argument `index`, early or later.
static bool spark_call_needs(Vm *vm, Value f, uint32_t count, uint32_t index) {
  if (value_is_builtin(f)) {
    const Builtin *b = vm->builtins[value_builtin_index(f)];
    return b->arity == count && b->strict >> index & 1;
  }
  if (value_is_obj(f, T_PAP)) {
    const Pap *pap = value_ptr(f);
    uint32_t given = (uint32_t)head_payload(pap->head);
    return spark_call_needs(vm, pap->fn, count + given, index + given);
  }
  if (!value_is_closure(f)) return false;
  const uint32_t *code = (const uint32_t *)(uintptr_t)head_payload(value_head(f));
  return code_lambda(code)->arity == count && spark_closure_needs(f, index);
}

// The arguments of the call at f->ip, which is repeated when one of them has been evaluated.
static void spark_scan_args(SparkSink *sink, const FrameRef *f) {
  uint32_t count = *f->ip >> 8;
  const Value *fn = sink->parent->stack + f->sp - count - 1;
  for (uint32_t i = 0; i < count; i++)
    if (spark_call_needs(sink->vm, *fn, count, i)) spark_add(sink, fn[1 + i]);
}

// The parts that a code frame is sure to evaluate from where it is on.
static void spark_scan_code(SparkSink *sink, const FrameRef *f, const uint32_t *code) {
  Env *env = f->env;
  ptrdiff_t more = f->pending; // operands above f->sp
  if ((*f->ip & 0xff) == OP_CALL && !f->pending) spark_scan_args(sink, f);
  for (const uint32_t *ip = f->ip; !spark_full(sink) && spark_goes_on((Op)(*ip & 0xff)); ip = spark_next(ip)) {
    uint32_t a = *ip >> 8;
    switch ((int)(*ip & 0xff)) {
    case OP_VAR0: spark_add(sink, thunk_env_slot(sink->vm, env, a)); break;
    case OP_VAR1: spark_add(sink, thunk_env_slot(sink->vm, env->parent, a)); break;
    case OP_VAR2: spark_add(sink, thunk_env_slot(sink->vm, env->parent->parent, a)); break;
    case OP_VARN: {
      Env *e = env;
      for (uint32_t k = ip[1]; k; k--) e = e->parent;
      spark_add(sink, thunk_env_slot(sink->vm, e, a));
      break;
    }
    case OP_SPARK:
      spark_add_part(sink, f->fp, ip + 2, code, ip + 2, ip + 2 + ip[1], env);
      more++;
      break;
    case OP_ARG: {
      uint32_t index = ip[1] & 0xff;
      ptrdiff_t at = (ptrdiff_t)f->sp + more - index - 1; // of the function
      if (at >= (ptrdiff_t)f->sp) break;
      const uint32_t *block = code_image(code) + a;
      if (spark_call_needs(sink->vm, sink->parent->stack[at], ip[1] >> 8, index))
        spark_add_part(sink, f->fp, ip + 3, block, block, NULL, env);
      break;
    }
    case OP_LEAVE: env = env->parent; break;
    default: break;
    }
    more += code_op_delta(ip);
  }
}

static void spark_scan_task(SparkSink *sink, Task *t) {
  size_t count = 0, cap = 0;
  FrameRef *frames = NULL;
  const uint32_t *ip = t->resume == TASK_RESUME_NATIVE ? NULL : t->ip;
  Env *env = t->env;
  size_t sp = t->sp;
  bool pending = t->resume == TASK_RESUME_FORCE;
  for (size_t fp = t->fp; fp;) { // newest first
    MEM_RESERVE(frames, cap, count + 1);
    frames[count++] = (FrameRef){fp, ip, env, sp, pending};
    const Value *header = t->stack + fp;
    uint64_t meta = value_get_raw(header[-1]);
    FrameKind kind = (FrameKind)(meta & 15);
    sp = fp - FRAME_HEADER - (kind == FRAME_FORCE || kind == FRAME_FORCE_DROP ? FRAME_FORCE_WORDS : 0);
    pending = kind != FRAME_FORCE_DROP;
    ip = value_get_raw_ptr(header[-4]);
    env = (Env *)(uintptr_t)header[-3];
    if (kind == FRAME_BASE) break;
    fp = (size_t)(meta >> 4);
  }
  Native n = {.vm = sink->vm};
  while (count && !spark_full(sink)) {
    FrameRef *f = &frames[--count];
    const uint32_t *code = value_get_raw_ptr(t->stack[f->fp - 2]);
    if (code) {
      if (f->ip) spark_scan_code(sink, f, code);
      continue;
    }
    const NativeDef *def = value_get_raw_ptr(t->stack[f->fp]);
    if (!def->sparks) continue;
    n.slot = t->stack + f->fp + 2;
    n.state = (uint32_t)value_get_raw(t->stack[f->fp + 1]);
    def->sparks(&n, sink);
  }
  mem_free(frames);
}

// Takes unstarted parts of parked tasks; false when there are none.
static bool task_take_sparks(Vm *vm) {
  uint32_t last = vm->state->tasks.next_number;
  SparkSink sink = {.vm = vm};
  for (Task *t = vm->state->tasks.first; t && t->number <= last && !spark_full(&sink); t = t->next) {
    if (t->state == TASK_READY || t->state == TASK_RUNNING || t->state == TASK_DONE) continue;
    sink.parent = t;
    spark_scan_task(&sink, t);
  }
  return sink.made > 0;
}

// ---- running ----

static Task *task_next_ready(Vm *vm) {
  Task *speculative = NULL;
  for (Task *t = vm->state->tasks.first; t; t = t->next) {
    if (t->state != TASK_READY) continue;
    if (!t->speculative) return t;
    if (!speculative) speculative = t;
  }
  return speculative;
}

static bool task_any_waits_for_io(Vm *vm) {
  for (Task *t = vm->state->tasks.first; t; t = t->next)
    if (t->state == TASK_WAIT_IO) return true;
  return false;
}

// Looks for completed waits. False with *err set when waiting is pointless.
static bool task_poll(Vm *vm, bool block, Err *err) {
  EvalIoWait done[TASK_POLL_BATCH];
  size_t n = vm->io->ops->poll(vm->io, block, done, TASK_POLL_BATCH, err);
  for (size_t i = 0; i < n; i++)
    for (Task *t = vm->state->tasks.first; t; t = t->next)
      if (t->state == TASK_WAIT_IO && t->wait_io == done[i]) t->state = TASK_READY;
  return n > 0 || !err_is_set(err);
}

// Nothing can run: every waiting task fails with `err`, so that the jobs end.
static void task_fail_all(Vm *vm, Err *err) {
  for (Task *t = vm->state->tasks.first; t; t = t->next) {
    if (t->state == TASK_DONE || t->speculative) continue;
    Err copy = ERR_INIT;
    err_set(&copy, err->kind, "%s", err_message(err));
    eval_error_from_err(vm, err->kind == ERR_INTERRUPTED ? EVAL_ERROR_INTERRUPTED : EVAL_ERROR_IO, 0, &copy);
    task_unwind(vm, t);
    t->error = eval_error_take(vm);
    t->result = VALUE_NULL;
  }
}

// Whether somebody waits to pick up the task's result at a SPARK instruction.
static bool task_is_part(Vm *vm, const Task *t) {
  for (Task *o = vm->state->tasks.first; o; o = o->next)
    for (size_t i = 0; i < o->part_count; i++)
      if (o->parts[i].task == t) return true;
  return false;
}

static void task_report(Vm *vm, TaskJobs *jobs, size_t index) {
  jobs->finished(jobs->ctx, index);
  task_free(vm, jobs->tasks[index]);
  jobs->tasks[index] = NULL;
}

void task_run_all(Vm *vm, TaskJobs *jobs) {
  // There are only as many tasks as wait at once: each collection looks at all of them.
  size_t begun = 0;
  for (size_t reported = 0; reported < begun || (begun < jobs->count && !jobs->is_held);) {
    if (reported < begun && jobs->tasks[reported]->state == TASK_DONE) {
      task_report(vm, jobs, reported++);
      continue;
    }
    Err err = ERR_INIT;
    bool alone = vm->state->tasks.count <= 1 && !(reported < begun && jobs->tasks[reported]->state == TASK_WAIT_IO);
    bool waiting = !alone && task_any_waits_for_io(vm), failed = waiting && !task_poll(vm, false, &err);
    Task *next = failed ? NULL : task_next_ready(vm);
    bool more = begun < jobs->count && !jobs->is_held;
    if (!failed && more && (!next || next->speculative)) {
      jobs->tasks[begun] = jobs->begin(jobs->ctx, begun);
      begun++;
    } else if (next) {
      vm_run_task(vm, next);
      if (next->state == TASK_DONE) task_wake_task(vm, next);
      if (next->state == TASK_DONE && !next->job && !task_is_part(vm, next)) task_free(vm, next);
    } else if (failed || !task_take_sparks(vm)) {
      if (!failed && !waiting) err_set(&err, ERR_OTHER, "evaluation is stuck: every task waits for another");
      if (failed || !waiting || !task_poll(vm, true, &err)) {
        for (; begun < jobs->count && !jobs->is_held; begun++) jobs->tasks[begun] = jobs->begin(jobs->ctx, begun);
        task_fail_all(vm, &err);
      }
    }
    err_done(&err);
  }
  vm->state->tasks.current = NULL;
}
