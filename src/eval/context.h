// context.h: string contexts: interned, immutable sets of elements; equal sets are the same pointer, NULL is the empty one.
//
// Elements in Nix's encoded form: "/nix/store/x" (a plain path), "!out!/nix/store/x.drv" (one output of a derivation),
// "=/nix/store/x.drv" (the derivation with its whole closure and outputs).
#pragma once

#include "base/buf.h"

typedef uint32_t ContextElement; // number of an interned element

typedef struct Context {
  uint32_t count; // >= 1
  uint32_t hash;
  ContextElement elements[]; // ascending numbers
} Context;

typedef struct ContextTable ContextTable;

ContextTable *context_table_new(void);
void context_table_free(ContextTable *table);
const Context *context_of(ContextTable *table, Span element);
const Context *context_union(ContextTable *table, const Context *a, const Context *b);
const Context *context_from(ContextTable *table, ContextElement *elements,
                            uint32_t count); // sorts its argument; may repeat
ContextElement context_element(ContextTable *table, Span text);
Span context_element_text(const ContextTable *table, ContextElement element);
bool context_has(const Context *context, ContextElement element);
// The text of the first element in the order of Nix: plain paths, derivations with their closures, outputs (by derivation, then by name), each by
// hash and name. With `derivations`, plain paths do not count. An empty span when there is none.
Span context_first(const ContextTable *table, const Context *context, bool derivations);
// Appends an element as messages of Nix show it: without the store directory.
void context_show(Span element, Span store_dir, Buf *ret);
