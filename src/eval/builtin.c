// builtin.c: argument checks of the table of builtins.
#include "eval/builtin.h"

#include <inttypes.h>

#include "eval/attrs.h"
#include "eval/str.h"
#include "eval/vm.h"

static bool builtin_expect_number(Vm *vm, Value v, const char *context) {
  if (value_is_int(v) || value_is_float(v)) return true;
  eval_error_type(vm, 0, "a float", v);
  if (context) eval_error_trace(vm, 0, "%s", context);
  return false;
}

bool builtin_accepts(const Builtin *builtin, unsigned index, Value arg) {
  if (!builtin->types || index >= strlen(builtin->types)) return true;
  switch (builtin->types[index]) {
  case 'i': return value_is_int(arg);
  case 'o':
  case 'c': return value_is_int(arg) && value_get_int(arg) >= 0;
  case 'n': return value_is_int(arg) || value_is_float(arg);
  case 'b': return value_is_bool(arg);
  case 's': return value_is_string(arg) && !str_context(arg);
  case 'S': return value_is_string(arg);
  case 'a': return value_is_attrs(arg);
  case 'l': return value_is_list(arg);
  case 'f': return value_is_function(arg) || (value_is_attrs(arg) && attrs_has(arg, SYM_functor));
  default: return true;
  }
}

static bool builtin_expect_unsigned(Vm *vm, const Builtin *builtin, Value v, bool is_count, const char *context) {
  if (!vm_expect_int(vm, v, context)) return false;
  if (value_get_int(v) >= 0) return true;
  if (is_count) eval_error(vm, EVAL_ERROR_EVAL, 0, "cannot create list of size %" PRId64, value_get_int(v));
  else eval_error(vm, EVAL_ERROR_EVAL, 0, "negative start position in '%s'", builtin->name);
  return false;
}

bool builtin_check_arg(Vm *vm, const Builtin *builtin, unsigned index, Value arg) {
  if (!builtin->types || index >= strlen(builtin->types)) return true;
  const char *context = builtin->contexts[index];
  switch (builtin->types[index]) {
  case 'i': return vm_expect_int(vm, arg, context);
  case 'o': return builtin_expect_unsigned(vm, builtin, arg, false, context);
  case 'c': return builtin_expect_unsigned(vm, builtin, arg, true, context);
  case 'n': return builtin_expect_number(vm, arg, context);
  case 'b': return vm_expect_bool(vm, arg, context);
  case 's': return vm_expect_string_no_context(vm, arg, context);
  case 'S': return vm_expect_string(vm, arg, context);
  case 'a': return vm_expect_attrs(vm, arg, context);
  case 'l': return vm_expect_list(vm, arg, context);
  case 'f': return vm_expect_function(vm, arg, context);
  default: return true;
  }
}

void builtin_blame(Vm *vm, const Builtin *builtin, const Value *args, unsigned failed) {
  EvalError *error = eval_error_take(vm);
  bool reverse = builtin->flags & BUILTIN_REVERSE;
  for (unsigned k = 0; k < builtin->arity; k++) {
    unsigned i = reverse ? builtin->arity - 1u - k : k;
    if (i == failed) break;
    if (!(builtin->strict >> i & 1)) continue;
    Value arg = value_follow(args[i]);
    if (!value_is_whnf(arg)) continue;
    if (builtin_check_arg(vm, builtin, i, arg)) continue;
    eval_error_free(error); // the type error is pending now
    return;
  }
  eval_error_restore(vm, error);
  // Sets and lists are forced outside of their frame.
  bool outside = builtin->types && failed < strlen(builtin->types) && strchr("al", builtin->types[failed]);
  if (builtin->contexts[failed] && !outside) eval_error_trace(vm, 0, "%s", builtin->contexts[failed]);
}
