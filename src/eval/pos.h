// pos.h: positions in source files as 32-bit numbers. Each loaded source owns a range of numbers: base + byte offset. Lines are
// counted only when somebody asks.
#pragma once

#include "base/span.h"
#include "eval/value.h"

typedef struct PosTable PosTable;
typedef struct PosSource { // a file, or text from the command line
  char *path;   // owned, absolute; NULL for text without a file
  char *origin; // owned; what messages print: the path, "«string»", "«stdin»"
  char *text;   // owned copy of the source, or NULL when only the file has it
  size_t len;
  PosId base;
} PosSource;
typedef struct Pos {
  const PosSource *source;
  uint32_t line, column; // from 1; columns count bytes as Nix does
} Pos;

PosTable *pos_table_new(void);
void pos_table_free(PosTable *table);
// Registers a source; the returned base + offset + 1... is a PosId. Texts of files may be given later by a reader callback.
const PosSource *pos_add_source(PosTable *table, Span path, Span origin, Span text);
PosId pos_of(const PosSource *source, uint32_t offset);
// False for 0 or an unknown position.
bool pos_resolve(PosTable *table, PosId pos, Pos *ret);
// Text of a 1-based line without its newline; empty when there is none.
Span pos_line(PosTable *table, const PosSource *source, uint32_t line);
