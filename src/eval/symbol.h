// symbol.h: names as 32-bit numbers. One append-only table per evaluator; numbers are never reused.
#pragma once

#include "base/span.h"
#include "eval/value.h"

typedef struct Symbol {
  const char *text; // NUL-terminated, owned by the table
  uint32_t len;
  uint32_t hash;
  uint32_t order;  // see symbol_order; 0: not known yet
  uint64_t prefix; // first 8 bytes, big endian: decides most comparisons
  Value string;    // the name as an immortal string value (no context)
} Symbol;

typedef struct SymbolTable SymbolTable;

SymbolTable *symbol_table_new(void);
void symbol_table_free(SymbolTable *table);
Sym symbol_intern(SymbolTable *table, Span text);
// `hash` must be symbol_hash(text).
Sym symbol_intern_hashed(SymbolTable *table, Span text, uint32_t hash);
// The number, or SYMBOL_NONE when nobody has interned `text`.
Sym symbol_find(const SymbolTable *table, Span text);
// Of a string with the flag STR_SYMBOL.
Sym symbol_of_string(const String *string);
uint32_t symbol_hash(Span text);
const Symbol *symbol_get(const SymbolTable *table, Sym sym); // borrowed; moves when the table grows
Span symbol_text(const SymbolTable *table, Sym sym);         // text itself does not move
int symbol_compare(const SymbolTable *table, Sym a, Sym b);  // bytewise order of the texts
// When a program first named it: the order in which Nix keeps the attributes of a set. Asking counts as naming.
uint32_t symbol_order(SymbolTable *table, Sym sym);
uint32_t symbol_count(const SymbolTable *table);
#define SYMBOL_NONE 0u // number 0 is reserved
