// print_writer.c: see print_writer.h.
#include "eval/print_writer.h"

#include "base/mem.h"
#include "eval/str.h"

PrintWriter *print_writer_begin(Native *n) {
  PrintWriter *writer = mem_alloc_zero(sizeof *writer);
  writer->flags = native_get(n, PRINT_WRITER_FLAGS);
  n->slot[PRINT_WRITER] = value_raw_ptr(writer);
  return writer;
}

void print_writer_drop(Native *n) {
  if (n->slot[PRINT_WRITER] == VALUE_NULL) return; // it has not begun
  PrintWriter *writer = print_writer(n, PRINT_WRITER);
  buf_done(&writer->text);
  map_done(&writer->seen);
  mem_free(writer);
  n->slot[PRINT_WRITER] = VALUE_NULL;
}

Step print_writer_end(Native *n) {
  const PrintWriter *writer = print_writer(n, PRINT_WRITER);
  n->result = str_new(n->vm, buf_span(&writer->text), writer->context);
  print_writer_drop(n);
  return STEP_RETURN;
}

void print_writer_add_context(Vm *vm, PrintWriter *writer, Value string) {
  writer->context = context_union(vm->contexts, writer->context, str_context(string));
}
