// arena.h: bump allocation of many small things that are freed together. Not thread-safe.
#pragma once

#include "base/mem.h"
#include "base/span.h"

typedef struct Arena {
  char *next, *end;
  struct ArenaChunk *chunks; // owned, newest first
  size_t total_bytes;        // handed out, for statistics
} Arena;

#define ARENA_INIT \
  { NULL, NULL, NULL, 0 }

void arena_done(Arena *arena);
void *arena_grow(Arena *arena, size_t size_bytes); // slow path of arena_alloc

// A hint, while the arena is empty: about so much will be asked for. A megabyte and more then lies on huge pages, which the kernel gives at a fifth of the cost.
void arena_reserve(Arena *arena, size_t size_bytes);

// 8-aligned, uninitialised, lives until arena_done; never NULL, not even for 0 bytes.
static inline void *arena_alloc(Arena *arena, size_t size_bytes) {
  size_bytes = (size_bytes + !size_bytes + 7) & ~(size_t)7;
  if (UNLIKELY((size_t)(arena->end - arena->next) < size_bytes)) return arena_grow(arena, size_bytes);
  void *ptr = arena->next;
  arena->next += size_bytes;
  return ptr;
}
// `count * size` is checked for overflow.
static inline void *arena_alloc_array(Arena *arena, size_t count, size_t size_bytes) {
  size_t total_bytes;
  if (UNLIKELY(__builtin_mul_overflow(count, size_bytes, &total_bytes) || total_bytes > SIZE_MAX - 7))
    mem_die(SIZE_MAX);
  return arena_alloc(arena, total_bytes);
}
#define ARENA_NEW(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define ARENA_ARRAY(arena, Type, count) ((Type *)arena_alloc_array((arena), (count), sizeof(Type)))
// NUL-terminated copy.
Span arena_dup(Arena *arena, Span s);
// `text` with every `from` replaced; `text` itself when there is none.
Span arena_replace(Arena *arena, Span text, Span from, Span to);
char *arena_printf(Arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
