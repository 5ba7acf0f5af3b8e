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
  uint32_t order_count;
  AstName last_mentioned; // by name_table_mention for the first time, else AST_NO_NAME
} NameTable;

// Room for some `expected` names before it has to grow.
void name_table_init(NameTable *table, uint32_t expected);
void name_table_done(NameTable *table);
// Id of `text`, which must outlive the table; `hash` is name_table_hash(text).
AstName name_table_intern(NameTable *table, Span text, uint32_t hash);

// The name stands here in the source, and gets its place in the order of names if it has none yet.
static inline void name_table_mention(NameTable *table, AstName name) {
  bool first = !table->entries[name].order;
  if (first) table->entries[name].order = ++table->order_count;
  table->last_mentioned = first ? name : AST_NO_NAME;
}
// That was the argument of a function, or a formal with a default, and the last mention of any name: bison reduces these when it has seen the
// body or the default, so names in there come first. To be mentioned again then.
static inline void name_table_retract(NameTable *table, AstName name) {
  if (table->last_mentioned == name) table->entries[name].order = 0;
}

// The hash of names: eight bytes at a time as little-endian words, the last one padded with zeros.
// The same on every supported machine and in every run, so it may be stored.
uint32_t name_table_hash(Span text);
