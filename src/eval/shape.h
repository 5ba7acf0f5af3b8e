// shape.h: the key part of an attribute set: names in bytewise order, where each was defined, and an index to find them.
// Shapes are interned: sets with the same names and positions share one, so results of lookups and of `//` are cached per
// shape. They are not heap objects; those that no set uses any more are freed by a major collection.
#pragma once

#include "eval/symbol.h"

typedef struct ShapeIndexEntry {
  Sym name; // SYMBOL_NONE: free
  uint32_t slot;
} ShapeIndexEntry;

struct Shape {
  uint32_t count;
  uint32_t hash;
  uint8_t index_log2;
  uint8_t pinned;         // used by a unit: never freed
  uint8_t marked;         // by the collection in progress
  ShapeIndexEntry *index; // 2^index_log2, by symbol; made on demand
  PosId *positions;       // `count`, behind the names, or NULL
  uint32_t *order;        // see shape_order; made on demand
  Shape *bare;            // the same names without positions; itself when it has none; made on demand
  Sym names[];            // `count`, in bytewise order of the texts
};

typedef struct ShapeTable ShapeTable;

#define SHAPE_NOT_FOUND UINT32_MAX

ShapeTable *shape_table_new(SymbolTable *symbols);
void shape_table_free(ShapeTable *table);
// `names` sorted, unique, count >= 1. `positions` may be NULL. Equal input gives the same pointer.
Shape *shape_intern(ShapeTable *table, const Sym *names, const PosId *positions, uint32_t count);
// The same names without positions.
Shape *shape_bare(ShapeTable *table, Shape *shape);
// Slot of `name` or SHAPE_NOT_FOUND.
uint32_t shape_find(Shape *shape, Sym name);
static inline PosId shape_position(const Shape *shape, uint32_t slot) {
  return shape->positions ? shape->positions[slot] : 0;
}
// The slots in the order of symbol_order, in which Nix walks through a set where that can be seen. Borrowed from the shape.
const uint32_t *shape_make_order(ShapeTable *table, Shape *shape);
static inline const uint32_t *shape_order(ShapeTable *table, Shape *shape) {
  return shape->order ? shape->order : shape_make_order(table, shape);
}
// The names of `left // right`, and for each result slot where it comes from: bit 31 set: right, low bits the slot there.
// Borrowed until the next call or major collection.
typedef struct ShapeMerge {
  Shape *left, *right, *result;
  uint32_t *from;
} ShapeMerge;
const ShapeMerge *shape_merge(ShapeTable *table, Shape *left, Shape *right);
// Frees all shapes that are neither pinned nor marked, clears marks and caches.
void shape_table_sweep(ShapeTable *table);
uint32_t shape_table_count(const ShapeTable *table);
