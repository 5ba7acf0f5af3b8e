// name_table.c: slots hold the hash next to the name, so that a probe rarely touches the text.
#include "eval/name_table.h"

#include "base/mem.h"

#define NAME_HASH_FACTOR 0x9E3779B97F4A7C15ull

static uint64_t load_le64(const char *p, size_t len) {
  uint64_t word = 0;
  memcpy(&word, p, len < 8 ? len : 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

uint32_t name_table_hash(Span text) {
  uint64_t hash = text.len * NAME_HASH_FACTOR;
  for (size_t i = 0; i < text.len; i += 8) {
    hash = (hash ^ load_le64(text.data + i, text.len - i)) * NAME_HASH_FACTOR;
    hash ^= hash >> 32;
  }
  return (uint32_t)hash;
}

static void alloc_slots(NameTable *table, uint32_t slot_count) {
  table->slots = mem_alloc_zero(slot_count * sizeof(NameSlot));
  table->slot_mask = slot_count - 1;
}

void name_table_init(NameTable *table, uint32_t expected) {
  *table = (NameTable){.last_mentioned = AST_NO_NAME};
  uint32_t slot_count = 64;
  while (slot_count / 2 < expected) slot_count *= 2;
  alloc_slots(table, slot_count);
}

void name_table_done(NameTable *table) {
  mem_free(table->entries);
  mem_free(table->slots);
  *table = (NameTable){0};
}

static void grow(NameTable *table) {
  uint32_t slot_count = (table->slot_mask + 1) * 2;
  mem_free(table->slots);
  alloc_slots(table, slot_count);
  for (uint32_t name = 0; name < table->count; name++) {
    uint32_t hash = table->entries[name].hash, i = hash & table->slot_mask;
    while (table->slots[i].name_plus_1) i = (i + 1) & table->slot_mask;
    table->slots[i] = (NameSlot){hash, name + 1};
  }
}

AstName name_table_intern(NameTable *table, Span text, uint32_t hash) {
  uint32_t i = hash & table->slot_mask;
  for (; table->slots[i].name_plus_1; i = (i + 1) & table->slot_mask) {
    if (table->slots[i].hash != hash) continue;
    AstName name = table->slots[i].name_plus_1 - 1;
    if (span_eq(table->entries[name].text, text)) return name;
  }
  if (UNLIKELY(table->count == table->cap)) MEM_RESERVE(table->entries, table->cap, table->count + 32);
  AstName name = table->count++;
  table->entries[name] = (AstNameEntry){text, hash, 0};
  table->slots[i] = (NameSlot){hash, name + 1};
  if (UNLIKELY(table->count > table->slot_mask / 2)) grow(table);
  return name;
}
