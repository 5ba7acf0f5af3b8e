// symbol.c: open addressing over an append-only array; texts lie in an arena, or in the images that name them.
#include "eval/symbol.h"

#include "base/arena.h"
#include "base/mem.h"
#include "eval/name_table.h"

// Before the text of each symbol, which has the flag STR_SYMBOL.
typedef struct SymbolString {
  uint64_t sym;
  String string;
} SymbolString;

// The hash stands beside the number, so that a probe that misses touches nothing else.
typedef struct SymbolSlot {
  uint32_t hash;
  Sym sym; // 0: empty
} SymbolSlot;

struct SymbolTable {
  Arena arena;
  Symbol *symbols;
  uint32_t count, cap;
  uint32_t order_count;
  SymbolSlot *index;
  uint32_t index_mask;
};

uint32_t symbol_hash(Span text) {
  return name_table_hash(text);
}

SymbolTable *symbol_table_new(void) {
  SymbolTable *t = mem_alloc_zero(sizeof *t);
  t->cap = 1024;
  t->symbols = mem_alloc_array(t->cap, sizeof *t->symbols);
  memset(&t->symbols[0], 0, sizeof t->symbols[0]);
  t->count = 1;
  t->index_mask = 4095;
  t->index = mem_alloc_zero((t->index_mask + 1) * sizeof *t->index);
  return t;
}

void symbol_table_free(SymbolTable *t) {
  if (!t) return;
  arena_done(&t->arena);
  mem_free(t->symbols);
  mem_free(t->index);
  mem_free(t);
}

static uint32_t symbol_index_start(uint32_t hash, uint32_t mask) {
  return (hash * 0x9E3779B1u >> 7) & mask;
}

static void symbol_set_index(SymbolTable *t, uint32_t mask) {
  SymbolSlot *index = mem_alloc_zero(((size_t)mask + 1) * sizeof *index);
  for (uint32_t k = 0; k <= t->index_mask; k++) {
    if (!t->index[k].sym) continue;
    uint32_t i = symbol_index_start(t->index[k].hash, mask);
    while (index[i].sym) i = (i + 1) & mask;
    index[i] = t->index[k];
  }
  mem_free(t->index);
  t->index = index;
  t->index_mask = mask;
}

void symbol_reserve(SymbolTable *t, uint32_t count) {
  uint32_t mask = t->index_mask;
  while ((t->count + count) * 2 > mask) mask = mask * 2 + 1;
  if (mask != t->index_mask) symbol_set_index(t, mask);
  if (t->count + count > t->cap) MEM_RESERVE(t->symbols, t->cap, t->count + count);
}

void symbol_prefetch(const SymbolTable *t, uint32_t hash) {
  __builtin_prefetch(&t->index[symbol_index_start(hash, t->index_mask)]);
}

// Slot of the index where `text` is or belongs.
static uint32_t symbol_probe(const SymbolTable *t, Span text, uint32_t hash) {
  uint32_t i = symbol_index_start(hash, t->index_mask);
  for (; t->index[i].sym; i = (i + 1) & t->index_mask) {
    if (t->index[i].hash != hash) continue;
    const Symbol *s = &t->symbols[t->index[i].sym];
    if (s->len == text.len && memcmp(s->text, text.data, text.len) == 0) break;
  }
  return i;
}

// Enters a name that is not in the table, at slot `i` of the index.
static Sym symbol_add(SymbolTable *t, uint32_t i, Span text, uint32_t hash) {
  if (UNLIKELY(t->count == t->cap)) MEM_RESERVE(t->symbols, t->cap, t->count + 1);
  Sym sym = t->count++;
  t->symbols[sym] =
      (Symbol){.text = text.data, .len = (uint32_t)text.len, .hash = hash, .prefix = span_head_number(text)};
  t->index[i] = (SymbolSlot){hash, sym};
  if (UNLIKELY(t->count * 2 > t->index_mask)) symbol_set_index(t, t->index_mask * 2 + 1);
  return sym;
}

Sym symbol_intern_static(SymbolTable *t, Span text, uint32_t hash) {
  uint32_t i = symbol_probe(t, text, hash);
  return t->index[i].sym ? t->index[i].sym : symbol_add(t, i, text, hash);
}

Sym symbol_intern(SymbolTable *t, Span text) {
  uint32_t hash = symbol_hash(text), i = symbol_probe(t, text, hash);
  return t->index[i].sym ? t->index[i].sym : symbol_add(t, i, arena_dup(&t->arena, text), hash);
}

Value symbol_string(SymbolTable *t, Sym sym) {
  Symbol *s = &t->symbols[sym];
  if (s->string) return s->string;
  size_t body = (size_t)s->len + 1 < 8 ? 8 : (size_t)s->len + 1;
  SymbolString *symbol_string = arena_alloc(&t->arena, offsetof(SymbolString, string.bytes) + body);
  String *str = &symbol_string->string;
  symbol_string->sym = sym;
  str->head = HEAD(T_STRING, OBJ_STATIC | STR_SYMBOL, s->len);
  str->context = NULL;
  memset(str->bytes, 0, 8);
  memcpy(str->bytes, s->text, s->len);
  ((char *)str + offsetof(String, bytes))[s->len] = 0; // behind the declared bounds of the array
  return s->string = value_from_ptr(str, TAG_STR);
}

Sym symbol_of_string(const String *string) {
  return (Sym)((const SymbolString *)((const char *)string - offsetof(SymbolString, string)))->sym;
}

Sym symbol_find(const SymbolTable *t, Span text) {
  return t->index[symbol_probe(t, text, symbol_hash(text))].sym;
}

const Symbol *symbol_get(const SymbolTable *t, Sym sym) {
  assert(sym && sym < t->count);
  return &t->symbols[sym];
}

Span symbol_text(const SymbolTable *t, Sym sym) {
  const Symbol *s = symbol_get(t, sym);
  return span_make(s->text, s->len);
}

int symbol_compare(const SymbolTable *t, Sym a, Sym b) {
  if (a == b) return 0;
  const Symbol *x = &t->symbols[a], *y = &t->symbols[b];
  if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
  return span_cmp(span_make(x->text, x->len), span_make(y->text, y->len));
}

uint32_t symbol_order(SymbolTable *t, Sym sym) {
  Symbol *s = &t->symbols[sym];
  if (!s->order) s->order = ++t->order_count;
  return s->order;
}

uint32_t symbol_count(const SymbolTable *t) {
  return t->count;
}
