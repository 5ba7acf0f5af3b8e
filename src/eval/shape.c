// shape.c: interning of shapes, their indices, and the cache of merged shapes.
#include "eval/shape.h"

#include <stdlib.h>

#include "base/mem.h"

#define SHAPE_LINEAR_MAX 16 // shapes with more names get an index when they are first searched

// Both tables use open addressing, and hold what a search compares: it costs one miss of the cache where the answer is found, not one
// for each entry it passes.
typedef struct ShapeEntry {
  Shape *shape; // NULL: free
  uint32_t hash;
} ShapeEntry;

struct ShapeTable {
  SymbolTable *symbols;
  ShapeEntry *entries;
  uint32_t mask, count;
  ShapeMerge *merges; // free: left is NULL
  uint32_t merge_mask, merge_count;
  // Where merges are computed before their size is known.
  Sym *names;
  PosId *positions;
  uint32_t *from;
  size_t names_cap, positions_cap, from_cap;
};

ShapeTable *shape_table_new(SymbolTable *symbols) {
  ShapeTable *t = mem_alloc_zero(sizeof *t);
  t->symbols = symbols;
  t->mask = 8191;
  t->entries = mem_alloc_zero((t->mask + 1) * sizeof *t->entries);
  t->merge_mask = 1023;
  t->merges = mem_alloc_zero((t->merge_mask + 1) * sizeof *t->merges);
  return t;
}

static void shape_free(Shape *s) {
  mem_free(s->index);
  mem_free(s->order);
  mem_free(s);
}

static void shape_clear_merges(ShapeTable *t) {
  for (uint32_t i = 0; i <= t->merge_mask; i++) {
    mem_free(t->merges[i].from);
    t->merges[i] = (ShapeMerge){0};
  }
  t->merge_count = 0;
}

void shape_table_free(ShapeTable *t) {
  if (!t) return;
  shape_clear_merges(t);
  for (uint32_t i = 0; i <= t->mask; i++)
    if (t->entries[i].shape) shape_free(t->entries[i].shape);
  mem_free(t->entries);
  mem_free(t->merges);
  mem_free(t->names);
  mem_free(t->positions);
  mem_free(t->from);
  mem_free(t);
}

static uint32_t shape_hash(const Sym *names, const PosId *positions, uint32_t count) {
  uint64_t h = count;
  for (uint32_t i = 0; i < count; i++) h = (h ^ names[i]) * UINT64_C(0x9E3779B97F4A7C15);
  if (positions)
    for (uint32_t i = 0; i < count; i++) h = (h ^ positions[i]) * UINT64_C(0xD6E8FEB86659FD93);
  return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

static inline uint32_t shape_index_start(Sym name, uint8_t log2) {
  return name * 0x9E3779B1u >> (32 - log2);
}

static void shape_build_index(Shape *s) {
  uint8_t log2 = 5;
  while ((1u << log2) < s->count * 2) log2++;
  s->index_log2 = log2;
  s->index = mem_alloc_zero(sizeof *s->index << log2);
  uint32_t mask = (1u << log2) - 1;
  for (uint32_t slot = 0; slot < s->count; slot++) {
    uint32_t i = shape_index_start(s->names[slot], log2);
    while (s->index[i].name) i = (i + 1) & mask;
    s->index[i] = (ShapeIndexEntry){s->names[slot], slot};
  }
}

static void shape_enter(ShapeTable *t, Shape *s) {
  uint32_t i = s->hash & t->mask;
  while (t->entries[i].shape) i = (i + 1) & t->mask;
  t->entries[i] = (ShapeEntry){s, s->hash};
}

// Moves the shapes to a table of `mask` + 1 entries; frees those that `keep` is false for (NULL: none).
static void shape_rehash(ShapeTable *t, uint32_t mask, bool (*keep)(Shape *s)) {
  ShapeEntry *old = t->entries;
  uint32_t old_mask = t->mask;
  t->mask = mask;
  t->entries = mem_alloc_zero(((size_t)mask + 1) * sizeof *t->entries);
  t->count = 0;
  for (uint32_t i = 0; i <= old_mask; i++) {
    Shape *s = old[i].shape;
    if (!s) continue;
    if (keep && !keep(s)) {
      shape_free(s);
      continue;
    }
    shape_enter(t, s);
    t->count++;
  }
  mem_free(old);
}

static bool shape_has_any_position(const PosId *positions, uint32_t count) {
  if (!positions) return false;
  for (uint32_t i = 0; i < count; i++)
    if (positions[i]) return true;
  return false;
}

Shape *shape_intern(ShapeTable *t, const Sym *names, const PosId *positions, uint32_t count) {
  if (!shape_has_any_position(positions, count)) positions = NULL;
  uint32_t hash = shape_hash(names, positions, count);
  size_t names_bytes = sizeof(Sym) * count, positions_bytes = sizeof(PosId) * count;
  uint32_t i = hash & t->mask;
  for (; t->entries[i].shape; i = (i + 1) & t->mask) {
    if (t->entries[i].hash != hash) continue;
    Shape *s = t->entries[i].shape;
    if (s->count != count || !s->positions != !positions) continue;
    if (memcmp(s->names, names, names_bytes) != 0) continue;
    if (positions && memcmp(s->positions, positions, positions_bytes) != 0) continue;
    return s;
  }
  Shape *s = mem_alloc(sizeof *s + names_bytes + (positions ? positions_bytes : 0));
  *s = (Shape){.count = count, .hash = hash};
  memcpy(s->names, names, names_bytes);
  if (positions) {
    s->positions = (PosId *)(s->names + count);
    memcpy(s->positions, positions, positions_bytes);
  } else {
    s->bare = s;
  }
  t->entries[i] = (ShapeEntry){s, hash};
  if (++t->count > t->mask / 2) shape_rehash(t, t->mask * 2 + 1, NULL);
  return s;
}

Shape *shape_bare(ShapeTable *t, Shape *s) {
  if (!s->bare) s->bare = shape_intern(t, s->names, NULL, s->count);
  return s->bare;
}

static int shape_compare_order(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

const uint32_t *shape_make_order(ShapeTable *t, Shape *s) {
  uint64_t *keys = mem_alloc_array(s->count, sizeof *keys); // order << 32 | slot
  for (uint32_t i = 0; i < s->count; i++) keys[i] = (uint64_t)symbol_order(t->symbols, s->names[i]) << 32 | i;
  qsort(keys, s->count, sizeof *keys, shape_compare_order);
  s->order = mem_alloc_array(s->count, sizeof *s->order);
  for (uint32_t i = 0; i < s->count; i++) s->order[i] = (uint32_t)keys[i];
  mem_free(keys);
  return s->order;
}

uint32_t shape_find(Shape *s, Sym name) {
  if (s->count <= SHAPE_LINEAR_MAX) {
    for (uint32_t i = 0; i < s->count; i++)
      if (s->names[i] == name) return i;
    return SHAPE_NOT_FOUND;
  }
  if (UNLIKELY(!s->index)) shape_build_index(s);
  uint32_t mask = (1u << s->index_log2) - 1;
  for (uint32_t i = shape_index_start(name, s->index_log2); s->index[i].name; i = (i + 1) & mask)
    if (s->index[i].name == name) return s->index[i].slot;
  return SHAPE_NOT_FOUND;
}

static ShapeMerge shape_compute_merge(ShapeTable *t, Shape *left, Shape *right) {
  uint32_t n = 0, i = 0, j = 0;
  size_t most = (size_t)left->count + right->count;
  MEM_RESERVE(t->names, t->names_cap, most);
  MEM_RESERVE(t->positions, t->positions_cap, most);
  MEM_RESERVE(t->from, t->from_cap, most);
  while (i < left->count || j < right->count) {
    int c = i == left->count ? 1 : j == right->count ? -1 : symbol_compare(t->symbols, left->names[i], right->names[j]);
    if (c < 0) {
      t->names[n] = left->names[i];
      t->positions[n] = shape_position(left, i);
      t->from[n++] = i++;
    } else {
      t->names[n] = right->names[j];
      t->positions[n] = shape_position(right, j);
      t->from[n++] = j++ | UINT32_C(1) << 31;
      if (c == 0) i++;
    }
  }
  uint32_t *from = mem_alloc_array(n, sizeof *from);
  memcpy(from, t->from, n * sizeof *from);
  return (ShapeMerge){left, right, shape_intern(t, t->names, t->positions, n), from};
}

static uint32_t shape_merge_start(const ShapeTable *t, const Shape *left, const Shape *right) {
  uint64_t h = ((uint64_t)(uintptr_t)left >> 4) * UINT64_C(0x9E3779B97F4A7C15) ^
               ((uint64_t)(uintptr_t)right >> 4) * UINT64_C(0xD6E8FEB86659FD93);
  return (uint32_t)(h >> 29) & t->merge_mask;
}

static void shape_grow_merges(ShapeTable *t) {
  uint32_t old_mask = t->merge_mask;
  ShapeMerge *old = t->merges;
  t->merge_mask = old_mask * 2 + 1;
  t->merges = mem_alloc_zero(((size_t)t->merge_mask + 1) * sizeof *t->merges);
  for (uint32_t k = 0; k <= old_mask; k++) {
    if (!old[k].left) continue;
    uint32_t i = shape_merge_start(t, old[k].left, old[k].right);
    while (t->merges[i].left) i = (i + 1) & t->merge_mask;
    t->merges[i] = old[k];
  }
  mem_free(old);
}

const ShapeMerge *shape_merge(ShapeTable *t, Shape *left, Shape *right) {
  uint32_t i = shape_merge_start(t, left, right);
  for (; t->merges[i].left; i = (i + 1) & t->merge_mask)
    if (t->merges[i].left == left && t->merges[i].right == right) return &t->merges[i];
  if ((t->merge_count + 1) * 2 > t->merge_mask) {
    shape_grow_merges(t);
    return shape_merge(t, left, right);
  }
  t->merge_count++;
  t->merges[i] = shape_compute_merge(t, left, right);
  return &t->merges[i];
}

static bool shape_survives(Shape *s) {
  bool survives = s->pinned || s->marked;
  s->marked = false;
  return survives;
}

void shape_table_sweep(ShapeTable *t) {
  shape_clear_merges(t);
  // A bare twin stays as long as the shape that points to it.
  for (uint32_t i = 0; i <= t->mask; i++) {
    Shape *s = t->entries[i].shape;
    if (s && (s->pinned || s->marked) && s->bare) s->bare->marked = true;
  }
  shape_rehash(t, t->mask, shape_survives);
}

uint32_t shape_table_count(const ShapeTable *t) {
  return t->count;
}
