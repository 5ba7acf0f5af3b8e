// name_table.h: interning of the names of one file: text -> dense AstName, in order of first
// appearance. Open addressing, linear probing, load at most one half.
#pragma once

#include "eval/ast.h"

typedef struct NameSlot {
  uint32_t hash;
  uint32_t name_plus_1;
} NameSlot; // 0: free

typedef struct NameTable {
  AstNameEntry *entries; // owned until taken by an Ast
  uint32_t count, cap;
  NameSlot *slots; // owned
  uint32_t slot_mask;
} NameTable;

// Room for some `expected` names before it has to grow.
void name_table_init(NameTable *table, uint32_t expected);
void name_table_done(NameTable *table);
// Id of `text`, which must outlive the table; `hash` is name_table_hash(text).
AstName name_table_intern(NameTable *table, Span text, uint32_t hash);

// The hash of names: eight bytes at a time as little-endian words, the last one padded with zeros.
// The same on every supported machine and in every run, so it may be stored.
uint32_t name_table_hash(Span text);
