// map.h: open-addressing hash map from byte strings to pointers. Keys are copied; insertion order is kept for iteration.
#pragma once

#include "base/span.h"

typedef struct MapEntry {
  char *key; // owned, NUL-terminated; NULL in a removed entry
  size_t key_len;
  uint64_t hash;
  void *value; // borrowed
} MapEntry;

typedef struct Map {
  MapEntry *entries; // insertion order, with holes where entries were removed
  size_t entry_count, entry_cap;
  uint32_t *index; // entry number + 1; 0 empty
  size_t index_cap;
  size_t live_count;
} Map;

#define MAP_INIT \
  { NULL, 0, 0, NULL, 0, 0 }

void map_done(Map *map);                 // frees keys, not values
void *map_get(const Map *map, Span key); // NULL when absent
bool map_has(const Map *map, Span key);
// Returns the former value or NULL. `value` may be NULL: map_has tells a set of names.
void *map_set(Map *map, Span key, void *value);
// Returns the removed value or NULL.
void *map_remove(Map *map, Span key);
// for (MapEntry *e = map_first(m); e; e = map_next(m, e))   Insertion order. Removing the current entry is allowed on the
// way; map_set of a new key moves entries and ends the walk.
MapEntry *map_first(const Map *map);
MapEntry *map_next(const Map *map, MapEntry *entry);
