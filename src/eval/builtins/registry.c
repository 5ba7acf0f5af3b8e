// registry.c: all tables of builtins that need nothing but the evaluator. glue/ adds those that need a store.
#include "eval/builtins/registry.h"

const BuiltinTable *const builtin_tables[] = {
    &builtins_arith_table,   &builtins_attrs_table,    &builtins_closure_table, &builtins_context_table,
    &builtins_convert_table, &builtins_core_table,     &builtins_files_table,   &builtins_lists_table,
    &builtins_misc_table,    &builtins_regex_table,    &builtins_sort_table,    &builtins_strings_table,
    &builtins_types_table,   &builtins_versions_table,
};
const size_t builtin_table_count = ARRAY_LEN(builtin_tables);
