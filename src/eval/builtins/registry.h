// registry.h: the tables of builtins, one a family; registry.c collects them.
#pragma once

#include "eval/builtin.h"

extern const BuiltinTable builtins_arith_table;
extern const BuiltinTable builtins_attrs_table;
extern const BuiltinTable builtins_closure_table;
extern const BuiltinTable builtins_context_table;
extern const BuiltinTable builtins_convert_table;
extern const BuiltinTable builtins_core_table;
extern const BuiltinTable builtins_files_table;
extern const BuiltinTable builtins_lists_table;
extern const BuiltinTable builtins_misc_table;
extern const BuiltinTable builtins_regex_table;
extern const BuiltinTable builtins_sort_table;
extern const BuiltinTable builtins_strings_table;
extern const BuiltinTable builtins_types_table;
extern const BuiltinTable builtins_versions_table;

// Where an attribute was defined, as unsafeGetAttrPos and __curPos give it: { column, file, line }, or null.
Value builtins_attrs_position(struct Vm *vm, PosId pos);

// The leaf functions of sub, mul and div, for the operators: two arguments in WHNF.
Value builtins_arith_sub(struct Vm *vm, Value *args);
Value builtins_arith_mul(struct Vm *vm, Value *args);
Value builtins_arith_div(struct Vm *vm, Value *args);
