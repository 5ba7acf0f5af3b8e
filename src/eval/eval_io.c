// eval_io.c: see eval_io.h.
#include "eval/eval_io.h"

#include "base/mem.h"

void eval_io_dir_list_done(EvalDirList *list) {
  for (size_t i = 0; i < list->count; i++) mem_free((void *)(uintptr_t)list->entries[i].name);
  mem_free(list->entries);
  *list = (EvalDirList){NULL, 0};
}
