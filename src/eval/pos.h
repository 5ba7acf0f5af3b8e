// pos.h: positions in source files as 32-bit numbers. Each loaded source owns a range of numbers: base + byte offset. Lines are
// counted only when somebody asks.
#pragma once

#include "base/buf.h"
#include "eval/value.h"

typedef struct PosTable PosTable;
typedef struct PosSource { // a file, or text from the command line
  char *path;              // owned, absolute; NULL for text without a file
  char *origin;            // owned; what messages print: the path, "«string»", "«stdin»"
  char *text;              // owned copy of the source, or NULL when only the file has it
  size_t len;
  PosId base;
} PosSource;
typedef struct Pos {
  const PosSource *source;
  uint32_t line, column; // from 1; columns count bytes as Nix does
} Pos;

// Reads a source that was registered without its text (a unit from the cache), for its line numbers. False: not readable any more.
typedef bool (*PosReadFn)(void *ctx, Span path, Buf *ret);

PosTable *pos_table_new(void);
void pos_table_set_reader(PosTable *table, PosReadFn read, void *ctx); // default: none
void pos_table_free(PosTable *table);
// Registers a source; the returned base + offset + 1... is a PosId. `text` with NULL data: only the file has it, and `len` of it
// is its size. Texts are copied.
const PosSource *pos_add_source(PosTable *table, Span path, Span origin, Span text);
PosId pos_of(const PosSource *source, uint32_t offset);
// The source of a position, without counting lines. NULL for 0.
const PosSource *pos_source(const PosTable *table, PosId pos);
// False for 0, an unknown position, or a text that cannot be read (then *ret has the source and line 0).
bool pos_resolve(PosTable *table, PosId pos, Pos *ret);
// Text of a 1-based line without its newline; NULL data when there is none.
Span pos_line(PosTable *table, const PosSource *source, uint32_t line);
