// map.c: see map.h. `index` is a power-of-two table with linear probing whose cells name entries; it is kept at most
// three quarters full, removed entries included. A removed entry stays in the index as a tombstone (its key is NULL), until the
// next growth squeezes it out of both arrays.
#include "base/map.h"

#include "base/mem.h"

enum { MAP_MIN_INDEX = 16 };

void map_done(Map *map) {
  for (size_t i = 0; i < map->entry_count; i++) mem_free(map->entries[i].key);
  mem_free(map->entries);
  mem_free(map->index);
  *map = (Map)MAP_INIT;
}

static MapEntry *find_entry(const Map *map, Span key, uint64_t hash) {
  if (map->index_cap == 0) return NULL;
  size_t mask = map->index_cap - 1;
  for (size_t cell = hash & mask; map->index[cell]; cell = (cell + 1) & mask) {
    MapEntry *entry = &map->entries[map->index[cell] - 1];
    if (entry->key && entry->hash == hash && span_eq(span_make(entry->key, entry->key_len), key)) return entry;
  }
  return NULL;
}

static void index_entry(Map *map, size_t entry_number) {
  size_t mask = map->index_cap - 1;
  size_t cell = map->entries[entry_number].hash & mask;
  while (map->index[cell]) cell = (cell + 1) & mask;
  map->index[cell] = (uint32_t)(entry_number + 1);
}

// Squeezes out removed entries and gives the index room for twice the live ones.
static void rebuild(Map *map) {
  size_t kept = 0;
  for (size_t i = 0; i < map->entry_count; i++)
    if (map->entries[i].key) map->entries[kept++] = map->entries[i];
  map->entry_count = kept;
  size_t index_cap = MAP_MIN_INDEX;
  while (index_cap < kept * 2 + 2) index_cap *= 2;
  if (UNLIKELY(index_cap > (size_t)UINT32_MAX + 1)) mem_die(SIZE_MAX);
  mem_free(map->index);
  map->index = mem_alloc_zero(index_cap * sizeof *map->index);
  map->index_cap = index_cap;
  for (size_t i = 0; i < kept; i++) index_entry(map, i);
}

void *map_get(const Map *map, Span key) {
  MapEntry *entry = find_entry(map, key, span_hash(key));
  return entry ? entry->value : NULL;
}

bool map_has(const Map *map, Span key) {
  return find_entry(map, key, span_hash(key)) != NULL;
}

void *map_set(Map *map, Span key, void *value) {
  uint64_t hash = span_hash(key);
  MapEntry *entry = find_entry(map, key, hash);
  if (entry) {
    void *former = entry->value;
    entry->value = value;
    return former;
  }
  if ((map->entry_count + 1) * 4 > map->index_cap * 3) rebuild(map);
  MEM_RESERVE(map->entries, map->entry_cap, map->entry_count + 1);
  map->entries[map->entry_count] = (MapEntry){span_dup(key), key.len, hash, value};
  index_entry(map, map->entry_count++);
  map->live_count++;
  return NULL;
}

void *map_remove(Map *map, Span key) {
  MapEntry *entry = find_entry(map, key, span_hash(key));
  if (!entry) return NULL;
  void *value = entry->value;
  mem_free(entry->key);
  *entry = (MapEntry){0};
  map->live_count--;
  return value;
}

static MapEntry *first_live_from(const Map *map, size_t entry_number) {
  for (size_t i = entry_number; i < map->entry_count; i++)
    if (map->entries[i].key) return &map->entries[i];
  return NULL;
}

MapEntry *map_first(const Map *map) {
  return first_live_from(map, 0);
}

MapEntry *map_next(const Map *map, MapEntry *entry) {
  return first_live_from(map, (size_t)(entry - map->entries) + 1);
}
