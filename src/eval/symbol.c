// symbol.c: open addressing over an append-only array; the text of a symbol is an immortal string object.
#include "eval/symbol.h"

#include "base/arena.h"
#include "base/mem.h"

typedef struct SymbolEntry {
  Sym sym; // 0: free
  uint32_t hash;
} SymbolEntry;

// Before the text of each symbol, which has the flag STR_SYMBOL.
typedef struct SymbolString {
  uint64_t sym;
  String string;
} SymbolString;

struct SymbolTable {
  Arena arena;
  Symbol *symbols;
  uint32_t count, cap;
  uint32_t order_count;
  SymbolEntry *index;
  uint32_t index_mask;
};

uint32_t symbol_hash(Span text) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < text.len; i++) h = (h ^ (uint8_t)text.data[i]) * 16777619u;
  return h;
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

static void symbol_grow_index(SymbolTable *t) {
  uint32_t mask = t->index_mask * 2 + 1;
  mem_free(t->index);
  t->index = mem_alloc_zero(((size_t)mask + 1) * sizeof *t->index);
  t->index_mask = mask;
  for (Sym s = 1; s < t->count; s++) {
    uint32_t i = (t->symbols[s].hash * 0x9E3779B1u >> 7) & mask;
    while (t->index[i].sym) i = (i + 1) & mask;
    t->index[i] = (SymbolEntry){s, t->symbols[s].hash};
  }
}

// Slot of the index where `text` is or belongs.
static uint32_t symbol_probe(const SymbolTable *t, Span text, uint32_t hash) {
  uint32_t i = (hash * 0x9E3779B1u >> 7) & t->index_mask;
  for (; t->index[i].sym; i = (i + 1) & t->index_mask) {
    if (t->index[i].hash != hash) continue;
    const Symbol *s = &t->symbols[t->index[i].sym];
    if (s->len == text.len && memcmp(s->text, text.data, text.len) == 0) break;
  }
  return i;
}

Sym symbol_intern_hashed(SymbolTable *t, Span text, uint32_t hash) {
  uint32_t i = symbol_probe(t, text, hash);
  if (t->index[i].sym) return t->index[i].sym;
  MEM_RESERVE(t->symbols, t->cap, t->count + 1);
  size_t body = text.len + 1 < 8 ? 8 : text.len + 1;
  Sym sym = t->count++;
  SymbolString *symbol_string = arena_alloc(&t->arena, offsetof(SymbolString, string.bytes) + body);
  symbol_string->sym = sym;
  String *str = &symbol_string->string;
  str->head = HEAD(T_STRING, OBJ_STATIC | STR_SYMBOL, text.len);
  str->context = NULL;
  memset(str->bytes, 0, 8);
  if (text.len) memcpy(str->bytes, text.data, text.len);
  ((char *)str + offsetof(String, bytes))[text.len] = 0; // behind the declared bounds of the array
  uint64_t prefix = 0;
  for (size_t k = 0; k < 8; k++) prefix = prefix << 8 | (k < text.len ? (uint8_t)text.data[k] : 0);
  t->symbols[sym] = (Symbol){.text = str->bytes,
                             .len = (uint32_t)text.len,
                             .hash = hash,
                             .prefix = prefix,
                             .string = value_from_ptr(str, TAG_STR)};
  t->index[i] = (SymbolEntry){sym, hash};
  if (t->count * 2 > t->index_mask) symbol_grow_index(t);
  return sym;
}

Sym symbol_intern(SymbolTable *t, Span text) {
  return symbol_intern_hashed(t, text, symbol_hash(text));
}

Sym symbol_find(const SymbolTable *t, Span text) {
  return t->index[symbol_probe(t, text, symbol_hash(text))].sym;
}

Sym symbol_of_string(const String *string) {
  return (Sym)((const SymbolString *)((const char *)string - offsetof(SymbolString, string)))->sym;
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
