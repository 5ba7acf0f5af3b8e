// glue.c: see glue.h.
#include "glue/glue.h"

#include "glue/derivation_builtin.h"
#include "glue/fetch_builtin.h"
#include "glue/fetch_repo_builtin.h"
#include "glue/source_builtin.h"

const BuiltinTable glue_builtin_tables[] = {
    {derivation_builtin_rows, DERIVATION_BUILTIN_COUNT},
    {source_builtin_rows, SOURCE_BUILTIN_COUNT},
    {fetch_builtin_rows, FETCH_BUILTIN_COUNT},
    {fetch_repo_builtin_rows, FETCH_REPO_BUILTIN_COUNT},
};
const size_t glue_builtin_table_count = ARRAY_LEN(glue_builtin_tables);

void glue_init(Glue *glue, StoreIo *io, const GlueFeatures *features) {
  *glue =
      (Glue){.io = io, .known = store_io_known(io), .features = *features, .scratch = DERIVATION_MODULO_SCRATCH_INIT};
}

void glue_attach(Glue *glue, Vm *vm) {
  vm->glue = glue;
}

void glue_done(Glue *glue) {
  source_builtin_free_walks(glue);
  derivation_modulo_scratch_done(&glue->scratch);
}

Value glue_require_feature(Vm *vm, const char *feature) {
  return eval_error(vm, EVAL_ERROR_EVAL, 0,
                    "experimental Nix feature '%s' is disabled; add '--extra-experimental-features %s' to enable it",
                    feature, feature);
}
