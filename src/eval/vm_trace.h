// vm_trace.h: the private part of the VM that finds places in code and adds the frames of traces, for the loop (vm.c) while it unwinds. Reads
// stacks and code only; nothing here runs before something has failed. `fp` is the frame of a code or native, `ip` behind an instruction
// of its code, both as in vm_state.h.
#pragma once

#include "eval/task.h"
#include "eval/unit.h"

// The unit that code is from; NULL for snippets and natives.
Unit *vm_trace_unit(const uint32_t *code);
// Position of the instruction before `ip`; 0 when there is none.
PosId vm_trace_pos_at(const uint32_t *code, const uint32_t *ip);
// Where the call is that the frame at `fp` makes before `ip`. A delayed call (an element of `map`) is where it is forced, or where its
// function is when everything is forced; a call through __functor is where that attribute is defined.
PosId vm_trace_call_site(Vm *vm, const Task *task, const Value *fp, const uint32_t *ip);
// Where the interpolation or `+` is that the coercion of a native_coerce_string at `fp` is for; 0 when it is for a builtin.
PosId vm_trace_coerce_pos(Vm *vm, const Task *task, const Value *fp);
// Nix makes a string of the left operand of `+` before it evaluates the right one: true when that fails.
bool vm_trace_refuses_string(Value v);
// The frames of a call of a function of the program. `binding`: its argument did not fit; it was not entered yet.
void vm_trace_call(Vm *vm, const uint32_t *callee, PosId call_pos, bool binding);
// The frame of a builtin. `fp`: that of its native, or NULL for a leaf.
void vm_trace_builtin(Vm *vm, const Value *fp, const char *name, PosId call_pos);
// What Nix says about an operand that could not be coerced, for the instruction before `ip`; `fp`: the frame of the native that failed.
void vm_trace_operand(Vm *vm, const uint32_t *code, const uint32_t *ip, const Value *fp);
// Frames of the operands that the failed instruction before `ip` is in; `fp`: of its frame. Sets *ret_binding when it is the argument of a
// pattern.
void vm_trace_operands(Vm *vm, const uint32_t *code, const uint32_t *ip, const Value *fp, bool *ret_binding);
// The frame of an attribute whose code (`callee`) a selection in `caller` has evaluated.
void vm_trace_select(Vm *vm, const uint32_t *caller, const uint32_t *caller_ip, const uint32_t *callee);
// A selection a.b.c failed at one of its steps, before `ip`: Nix names the attribute of the step before it. Its set is not at hand any more,
// but the steps can be repeated: from the variable, or from where the subject was kept.
void vm_trace_steps(Vm *vm, const uint32_t *code, const uint32_t *ip, const Env *env, const Value *subject);
// Raises the error: `thunk` is needed by its own evaluation, before `ip` (NULL: by a native). An attribute that is selected is blamed where it
// is defined.
void vm_trace_recursion(Vm *vm, const Task *task, const Value *fp, const uint32_t *code, const uint32_t *ip,
                        Value thunk);
// The frames of a call whose argument was evaluated before it and has failed. `ip`: the ARG or CALL; `sp`: the end of the frame's
// operands. `last`: the argument is the one after those on the stack, else the first of these that is not evaluated.
void vm_trace_early(Vm *vm, const Task *task, const Value *fp, const uint32_t *ip, Value *sp, bool last);
