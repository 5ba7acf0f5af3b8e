// context.c: interning of context elements and sets, memoised unions.
#include "eval/context.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"

#define CONTEXT_MEMO_SIZE 1024

struct ContextTable {
  Arena arena;
  Map elements; // text -> number + 1
  Span *texts;
  uint32_t text_count, text_cap;
  const Context **sets; // open addressing
  uint32_t set_mask, set_count;
  struct {
    const Context *a, *b, *result;
  } memo[CONTEXT_MEMO_SIZE];
};

ContextTable *context_table_new(void) {
  ContextTable *t = mem_alloc_zero(sizeof *t);
  t->set_mask = 1023;
  t->sets = mem_alloc_zero((t->set_mask + 1) * sizeof *t->sets);
  return t;
}

void context_table_free(ContextTable *t) {
  if (!t) return;
  arena_done(&t->arena);
  map_done(&t->elements);
  mem_free(t->texts);
  mem_free(t->sets);
  mem_free(t);
}

ContextElement context_element(ContextTable *t, Span text) {
  void *found = map_get(&t->elements, text);
  if (found) return (ContextElement)((uintptr_t)found - 1);
  MEM_RESERVE(t->texts, t->text_cap, t->text_count + 1);
  ContextElement e = t->text_count++;
  t->texts[e] = arena_dup(&t->arena, text);
  map_set(&t->elements, text, (void *)((uintptr_t)e + 1));
  return e;
}

Span context_element_text(const ContextTable *t, ContextElement e) {
  return t->texts[e];
}

static uint32_t context_hash(const ContextElement *elements, uint32_t count) {
  uint64_t h = count;
  for (uint32_t i = 0; i < count; i++) h = (h ^ elements[i]) * UINT64_C(0x9E3779B97F4A7C15);
  return (uint32_t)(h >> 32);
}

static void context_grow(ContextTable *t) {
  uint32_t old_mask = t->set_mask;
  const Context **old = t->sets;
  t->set_mask = old_mask * 4 + 3;
  t->sets = mem_alloc_zero(((size_t)t->set_mask + 1) * sizeof *t->sets);
  for (uint32_t k = 0; k <= old_mask; k++) {
    if (!old[k]) continue;
    uint32_t i = old[k]->hash & t->set_mask;
    while (t->sets[i]) i = (i + 1) & t->set_mask;
    t->sets[i] = old[k];
  }
  mem_free(old);
}

// `elements` ascending and unique.
static const Context *context_intern(ContextTable *t, const ContextElement *elements, uint32_t count) {
  if (!count) return NULL;
  uint32_t hash = context_hash(elements, count), i = hash & t->set_mask;
  size_t bytes = sizeof *elements * count;
  for (; t->sets[i]; i = (i + 1) & t->set_mask) {
    const Context *c = t->sets[i];
    if (c->hash == hash && c->count == count && memcmp(c->elements, elements, bytes) == 0) return c;
  }
  Context *c = arena_alloc(&t->arena, sizeof *c + bytes);
  c->count = count;
  c->hash = hash;
  memcpy(c->elements, elements, bytes);
  t->sets[i] = c;
  if (++t->set_count * 2 > t->set_mask) context_grow(t);
  return c;
}

const Context *context_of(ContextTable *t, Span element) {
  ContextElement e = context_element(t, element);
  return context_intern(t, &e, 1);
}

bool context_has(const Context *c, ContextElement e) {
  uint32_t lo = 0, hi = c ? c->count : 0;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (c->elements[mid] == e) return true;
    if (c->elements[mid] < e) lo = mid + 1;
    else hi = mid;
  }
  return false;
}

const Context *context_union(ContextTable *t, const Context *a, const Context *b) {
  if (a == b || !b) return a;
  if (!a) return b;
  if (b->count == 1 && context_has(a, b->elements[0])) return a;
  size_t slot = (((uintptr_t)a >> 3) * 31 + ((uintptr_t)b >> 3)) % CONTEXT_MEMO_SIZE;
  if (t->memo[slot].a == a && t->memo[slot].b == b) return t->memo[slot].result;
  ContextElement *merged = mem_alloc_array((size_t)a->count + b->count, sizeof *merged);
  uint32_t n = 0, i = 0, j = 0;
  while (i < a->count || j < b->count) {
    if (j == b->count || (i < a->count && a->elements[i] < b->elements[j])) merged[n++] = a->elements[i++];
    else {
      if (i < a->count && a->elements[i] == b->elements[j]) i++;
      merged[n++] = b->elements[j++];
    }
  }
  const Context *result = context_intern(t, merged, n);
  mem_free(merged);
  t->memo[slot].a = a;
  t->memo[slot].b = b;
  t->memo[slot].result = result;
  return result;
}

static int context_compare_elements(const void *a, const void *b) {
  ContextElement x = *(const ContextElement *)a, y = *(const ContextElement *)b;
  return (x > y) - (x < y);
}

const Context *context_from(ContextTable *t, ContextElement *elements, uint32_t count) {
  if (!count) return NULL;
  qsort(elements, count, sizeof *elements, context_compare_elements);
  uint32_t n = 1;
  for (uint32_t i = 1; i < count; i++)
    if (elements[i] != elements[n - 1]) elements[n++] = elements[i];
  return context_intern(t, elements, n);
}

static unsigned context_rank(Span element) {
  return element.data[0] == '/' ? 0 : element.data[0] == '=' ? 1 : 2;
}

static int context_compare_texts(Span a, Span b) {
  unsigned rank = context_rank(a);
  if (rank != context_rank(b)) return rank < context_rank(b) ? -1 : 1;
  size_t a_path = rank == 2 ? span_rfind_char(a, '!') : 0, b_path = rank == 2 ? span_rfind_char(b, '!') : 0;
  int order = span_cmp(span_from(a, a_path), span_from(b, b_path));
  return order ? order : span_cmp(a, b);
}

Span context_first(const ContextTable *t, const Context *context, bool derivations) {
  Span first = {NULL, 0};
  for (uint32_t i = 0; context && i < context->count; i++) {
    Span text = t->texts[context->elements[i]];
    if (derivations && context_rank(text) == 0) continue;
    if (!first.data || context_compare_texts(text, first) < 0) first = text;
  }
  return first;
}

void context_show(Span element, Span store_dir, Buf *ret) {
  size_t at = span_find(element, store_dir);
  buf_put_span(ret, span_sub(element, 0, at));
  if (at != SIZE_MAX) buf_put_span(ret, span_from(element, at + store_dir.len + 1));
}
