// print_writer.h: the text that a native and all frames below it write while they print a value (print_json.c, print_xml.c). It lies outside of the
// heap, where it grows in place; frames hand it on as a raw pointer. The native on top owns it: its arguments are the value and flags, its
// slots are those below, and its `drop` is print_writer_drop.
#pragma once

#include "base/map.h"
#include "eval/vm.h"

typedef struct PrintWriter {
  Buf text;
  const Context *context; // of all strings in it
  int64_t flags;
  Map seen; // texts that a printer writes once only
} PrintWriter;

enum { PRINT_WRITER_VALUE, PRINT_WRITER_FLAGS, PRINT_WRITER, PRINT_WRITER_SLOT_COUNT };

static inline PrintWriter *print_writer(const Native *n, unsigned slot) {
  return value_get_raw_ptr(n->slot[slot]);
}
// Of the native on top. Borrowed until it ends.
PrintWriter *print_writer_begin(Native *n);
// Its result: the text as a string.
Step print_writer_end(Native *n);
void print_writer_drop(Native *n);
// The context of the text is that of `string` as well.
void print_writer_add_context(Vm *vm, PrintWriter *writer, Value string);
