// symbol.h: names as 32-bit numbers. One append-only table per evaluator; numbers are never reused.
#pragma once

#include "base/span.h"
#include "eval/value.h"

typedef struct Symbol {
  const char *text; // NUL-terminated, in the table or in an image
  uint32_t len;
  uint32_t hash;
  uint32_t order;  // see symbol_order; 0: not known yet
  uint64_t prefix; // first 8 bytes, big endian: decides most comparisons
  Value string;    // see symbol_string; 0: nobody has asked for it yet
} Symbol;

typedef struct SymbolTable SymbolTable;

SymbolTable *symbol_table_new(void);
void symbol_table_free(SymbolTable *table);
Sym symbol_intern(SymbolTable *table, Span text);
// `text` outlives the table (it lies in an image) and is NUL-terminated: it becomes the text of the symbol when that is new. `hash` is symbol_hash(text).
Sym symbol_intern_static(SymbolTable *table, Span text, uint32_t hash);
// Begins to load what symbol_intern_static will look at first for such a hash.
void symbol_prefetch(const SymbolTable *table, uint32_t hash);
// Makes room for so many more names, which will probably come.
void symbol_reserve(SymbolTable *table, uint32_t count);
// The number, or SYMBOL_NONE when nobody has interned `text`.
Sym symbol_find(const SymbolTable *table, Span text);
// The hash that the parser uses for names (name_table_hash), so that images hold it.
uint32_t symbol_hash(Span text);
// The name as an immortal string value (no context), which has the flag STR_SYMBOL.
Value symbol_string(SymbolTable *table, Sym sym);
// Of a string with that flag.
Sym symbol_of_string(const String *string);
const Symbol *symbol_get(const SymbolTable *table, Sym sym); // borrowed; moves when the table grows
Span symbol_text(const SymbolTable *table, Sym sym);         // text itself does not move
int symbol_compare(const SymbolTable *table, Sym a, Sym b);  // bytewise order of the texts
// When a program first named it: the order in which Nix keeps the attributes of a set. Asking counts as naming.
uint32_t symbol_order(SymbolTable *table, Sym sym);
uint32_t symbol_count(const SymbolTable *table);
#define SYMBOL_NONE 0u // number 0 is reserved
