// shape.c: interning of shapes, their indices, and the cache of merged shapes.
#include "eval/shape.h"

#include <stdlib.h>

#include "base/mem.h"

#define SHAPE_LINEAR_MAX 6 // more names than this get an index

struct ShapeTable {
  SymbolTable *symbols;
  Shape **buckets;
  uint32_t bucket_mask, count;
  ShapeMerge **merges; // open addressing by the pair
  uint32_t merge_mask, merge_count;
};

ShapeTable *shape_table_new(SymbolTable *symbols) {
  ShapeTable *t = mem_alloc_zero(sizeof *t);
  t->symbols = symbols;
  t->bucket_mask = 4095;
  t->buckets = mem_alloc_zero((t->bucket_mask + 1) * sizeof *t->buckets);
  t->merge_mask = 1023;
  t->merges = mem_alloc_zero((t->merge_mask + 1) * sizeof *t->merges);
  return t;
}

static void shape_free(Shape *s) {
  mem_free(s->index);
  mem_free(s->order);
  mem_free(s->positions);
  mem_free(s);
}

static void shape_clear_merges(ShapeTable *t) {
  for (uint32_t i = 0; i <= t->merge_mask; i++) {
    if (!t->merges[i]) continue;
    mem_free(t->merges[i]->from);
    mem_free(t->merges[i]);
    t->merges[i] = NULL;
  }
  t->merge_count = 0;
}

void shape_table_free(ShapeTable *t) {
  if (!t) return;
  shape_clear_merges(t);
  for (uint32_t i = 0; i <= t->bucket_mask; i++)
    for (Shape *s = t->buckets[i], *next; s; s = next) {
      next = s->next_in_table;
      shape_free(s);
    }
  mem_free(t->buckets);
  mem_free(t->merges);
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
  uint8_t log2 = 4;
  while ((1u << log2) < s->count * 2) log2++;
  s->index_log2 = log2;
  s->index = mem_alloc_zero(sizeof(uint32_t) << log2);
  uint32_t mask = (1u << log2) - 1;
  for (uint32_t slot = 0; slot < s->count; slot++) {
    uint32_t i = shape_index_start(s->names[slot], log2);
    while (s->index[i]) i = (i + 1) & mask;
    s->index[i] = slot + 1;
  }
}

static void shape_grow(ShapeTable *t) {
  uint32_t mask = t->bucket_mask * 4 + 3;
  Shape **buckets = mem_alloc_zero(((size_t)mask + 1) * sizeof *buckets);
  for (uint32_t i = 0; i <= t->bucket_mask; i++)
    for (Shape *s = t->buckets[i], *next; s; s = next) {
      next = s->next_in_table;
      s->next_in_table = buckets[s->hash & mask];
      buckets[s->hash & mask] = s;
    }
  mem_free(t->buckets);
  t->buckets = buckets;
  t->bucket_mask = mask;
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
  for (Shape *s = t->buckets[hash & t->bucket_mask]; s; s = s->next_in_table) {
    if (s->hash != hash || s->count != count || !s->positions != !positions) continue;
    if (memcmp(s->names, names, names_bytes) != 0) continue;
    if (positions && memcmp(s->positions, positions, positions_bytes) != 0) continue;
    return s;
  }
  Shape *s = mem_alloc_zero(sizeof *s + names_bytes);
  s->count = count;
  s->hash = hash;
  memcpy(s->names, names, names_bytes);
  if (positions) {
    s->positions = mem_alloc(positions_bytes);
    memcpy(s->positions, positions, positions_bytes);
    s->has_positions = true;
  } else {
    s->bare = s;
  }
  if (count > SHAPE_LINEAR_MAX) shape_build_index(s);
  if (++t->count > t->bucket_mask) shape_grow(t);
  s->next_in_table = t->buckets[hash & t->bucket_mask];
  t->buckets[hash & t->bucket_mask] = s;
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

uint32_t shape_find(const Shape *s, Sym name) {
  if (!s->index_log2) {
    for (uint32_t i = 0; i < s->count; i++)
      if (s->names[i] == name) return i;
    return SHAPE_NOT_FOUND;
  }
  uint32_t mask = (1u << s->index_log2) - 1;
  for (uint32_t i = shape_index_start(name, s->index_log2); s->index[i]; i = (i + 1) & mask) {
    uint32_t slot = s->index[i] - 1;
    if (s->names[slot] == name) return slot;
  }
  return SHAPE_NOT_FOUND;
}

static ShapeMerge *shape_compute_merge(ShapeTable *t, Shape *left, Shape *right) {
  uint32_t cap = left->count + right->count, n = 0, i = 0, j = 0;
  Sym *names = mem_alloc_array(cap, sizeof *names);
  PosId *positions = mem_alloc_array(cap, sizeof *positions);
  uint32_t *from = mem_alloc_array(cap, sizeof *from);
  while (i < left->count || j < right->count) {
    int c = i == left->count ? 1 : j == right->count ? -1 : symbol_compare(t->symbols, left->names[i], right->names[j]);
    if (c < 0) {
      names[n] = left->names[i];
      positions[n] = shape_position(left, i);
      from[n++] = i++;
    } else {
      names[n] = right->names[j];
      positions[n] = shape_position(right, j);
      from[n++] = j++ | UINT32_C(1) << 31;
      if (c == 0) i++;
    }
  }
  ShapeMerge *m = mem_alloc(sizeof *m);
  *m = (ShapeMerge){left, right, shape_intern(t, names, positions, n), from};
  mem_free(names);
  mem_free(positions);
  return m;
}

static uint32_t shape_merge_start(const ShapeTable *t, const Shape *left, const Shape *right) {
  uint64_t h = ((uint64_t)(uintptr_t)left >> 4) * UINT64_C(0x9E3779B97F4A7C15) ^
               ((uint64_t)(uintptr_t)right >> 4) * UINT64_C(0xD6E8FEB86659FD93);
  return (uint32_t)(h >> 29) & t->merge_mask;
}

static void shape_grow_merges(ShapeTable *t) {
  uint32_t old_mask = t->merge_mask;
  ShapeMerge **old = t->merges;
  t->merge_mask = old_mask * 4 + 3;
  t->merges = mem_alloc_zero(((size_t)t->merge_mask + 1) * sizeof *t->merges);
  for (uint32_t k = 0; k <= old_mask; k++) {
    if (!old[k]) continue;
    uint32_t i = shape_merge_start(t, old[k]->left, old[k]->right);
    while (t->merges[i]) i = (i + 1) & t->merge_mask;
    t->merges[i] = old[k];
  }
  mem_free(old);
}

const ShapeMerge *shape_merge(ShapeTable *t, Shape *left, Shape *right) {
  uint32_t i = shape_merge_start(t, left, right);
  for (; t->merges[i]; i = (i + 1) & t->merge_mask)
    if (t->merges[i]->left == left && t->merges[i]->right == right) return t->merges[i];
  ShapeMerge *m = t->merges[i] = shape_compute_merge(t, left, right);
  if (++t->merge_count * 2 > t->merge_mask) shape_grow_merges(t);
  return m;
}

void shape_table_sweep(ShapeTable *t) {
  shape_clear_merges(t);
  // A bare twin stays as long as the shape that points to it.
  for (uint32_t i = 0; i <= t->bucket_mask; i++)
    for (Shape *s = t->buckets[i]; s; s = s->next_in_table)
      if ((s->pinned || s->marked) && s->bare) s->bare->marked = true;
  for (uint32_t i = 0; i <= t->bucket_mask; i++)
    for (Shape **link = &t->buckets[i]; *link;) {
      Shape *s = *link;
      if (s->pinned || s->marked) {
        s->marked = false;
        link = &s->next_in_table;
      } else {
        *link = s->next_in_table;
        shape_free(s);
        t->count--;
      }
    }
}

uint32_t shape_table_count(const ShapeTable *t) {
  return t->count;
}
