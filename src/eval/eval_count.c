// eval_count.c: see eval_count.h.
#include "eval/eval_count.h"

#include "base/mem.h"
#include "eval/vm_state.h"

static void count_in(Map *map, const void *key, size_t key_bytes) {
  Span text = span_make(key, key_bytes);
  map_set(map, text, (void *)((uintptr_t)map_get(map, text) + 1));
}

// A plain builtin in counting mode. The VM calls it with the function below its arguments on the stack; the native that forces arguments first
// with the builtin's number and their count there.
static Value count_leaf(Vm *vm, Value *args) {
  uint32_t number = value_is_builtin(args[-1]) ? value_builtin_index(args[-1]) : (uint32_t)value_get_raw(args[-2]);
  EvalCounts *counts = vm->counts;
  Value result = counts->originals[number]->fn(vm, args);
  if (result != VALUE_PARK && result != VALUE_ABSENT)
    counts->builtins[number]++; // else it is called again, or its native is
  return result;
}

void eval_count_start(Vm *vm, bool by_place) {
  EvalCounts *counts = mem_alloc_zero(sizeof *counts);
  counts->by_place = by_place;
  counts->builtins = mem_alloc_zero((vm->builtin_count + 1) * sizeof(uint64_t));
  counts->rows = mem_alloc_array(vm->builtin_count + 1, sizeof(Builtin));
  counts->originals = mem_alloc_array(vm->builtin_count + 1, sizeof(const Builtin *));
  for (uint32_t i = 0; i < vm->builtin_count; i++) {
    counts->originals[i] = vm->builtins[i];
    counts->rows[i] = *vm->builtins[i];
    if (counts->rows[i].fn && counts->rows[i].arity) counts->rows[i].fn = count_leaf;
    vm->builtins[i] = &counts->rows[i];
  }
  vm->counts = counts;
  vm->heap.soft_end = vm->heap.nursery;
}

void eval_count_free(Vm *vm) {
  EvalCounts *counts = vm->counts;
  if (!counts) return;
  vm->counts = NULL;
  for (uint32_t i = 0; i < vm->builtin_count; i++) vm->builtins[i] = counts->originals[i];
  map_done(&counts->functions);
  map_done(&counts->selects);
  mem_free(counts->builtins);
  mem_free(counts->rows);
  mem_free(counts->originals);
  mem_free(counts);
}

static void count_native(Vm *vm, EvalCounts *counts, const Value *fp) {
  const NativeDef *def = value_get_raw_ptr(fp[0]);
  for (uint32_t i = 0; i < vm->builtin_count; i++) {
    if (counts->originals[i]->native != def) continue;
    counts->builtins[i]++;
    return;
  }
}

void eval_count_frame(Vm *vm, const Task *task) {
  EvalCounts *counts = vm->counts;
  const Value *fp = task->stack + task->fp;
  const uint32_t *code = value_get_raw_ptr(fp[-2]);
  FrameKind kind = (FrameKind)(value_get_raw(fp[-1]) & 15);
  if (!code) {
    // A native that forces something comes here, too, but not in its first state.
    if (kind == FRAME_BUILTIN && value_get_raw(fp[1]) == 0) count_native(vm, counts, fp);
    return;
  }
  if (kind != FRAME_CALL || (code_head(code)->kind_name & 0xff) != CODE_LAMBDA) return;
  const LambdaHead *lambda = code_lambda(code);
  counts->calls++;
  counts->arguments += lambda->arity;
  counts->env_slots += lambda->env_slots;
  if (counts->by_place) count_in(&counts->functions, &code, sizeof code);
}

void eval_count_lookup(Vm *vm, PosId pos) {
  vm->counts->lookups++;
  if (vm->counts->by_place && pos) count_in(&vm->counts->selects, &pos, sizeof pos);
}

PosId eval_count_function(Vm *vm, const uint32_t *code, Span *ret_name) {
  const Unit *unit = unit_of(code_image(code));
  uint32_t name = code_head(code)->kind_name >> 8;
  *ret_name = name ? symbol_text(vm->symbols, unit->names[name - 1]) : SPAN("");
  return unit_pos(unit, code_head(code)->pos);
}
