// arena.c: see arena.h. Chunks double up to a limit; a request that does not fit a chunk gets one of its own, and the
// current chunk stays in use behind it, so that one large object does not waste the rest of a chunk.
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/buf.h"

enum { ARENA_FIRST_BYTES = 1 << 10, ARENA_MAX_BYTES = 1 << 20, ARENA_HUGE_PAGE_BYTES = 2 << 20 };

typedef struct ArenaChunk {
  struct ArenaChunk *older;
  size_t size_bytes; // of data
  _Alignas(16) char data[];
} ArenaChunk;

void arena_done(Arena *arena) {
  for (ArenaChunk *chunk = arena->chunks; chunk;) {
    ArenaChunk *older = chunk->older;
    mem_free(chunk);
    chunk = older;
  }
  *arena = (Arena)ARENA_INIT;
}

static ArenaChunk *new_chunk(size_t size_bytes) {
  size_t total_bytes;
  if (__builtin_add_overflow(size_bytes, sizeof(ArenaChunk), &total_bytes)) mem_die(SIZE_MAX);
  ArenaChunk *chunk = mem_alloc(total_bytes);
  chunk->size_bytes = size_bytes;
  return chunk;
}

static void use_chunk(Arena *arena, ArenaChunk *chunk) {
  chunk->older = arena->chunks;
  arena->chunks = chunk;
  arena->next = chunk->data;
  arena->end = chunk->data + chunk->size_bytes;
}

void arena_reserve(Arena *arena, size_t size_bytes) {
  if (size_bytes < ARENA_HUGE_PAGE_BYTES / 2 || size_bytes > SIZE_MAX / 2) return; // chunks of the usual size will do
  size_t total_bytes =
      (size_bytes + sizeof(ArenaChunk) + ARENA_HUGE_PAGE_BYTES - 1) & ~((size_t)ARENA_HUGE_PAGE_BYTES - 1);
  ArenaChunk *chunk = aligned_alloc(ARENA_HUGE_PAGE_BYTES, total_bytes);
  if (!chunk) return;
  (void)madvise(chunk, total_bytes, MADV_HUGEPAGE);
  chunk->size_bytes = total_bytes - sizeof(ArenaChunk);
  use_chunk(arena, chunk);
}

void *arena_grow(Arena *arena, size_t size_bytes) {
  ArenaChunk *current = arena->chunks;
  size_t chunk_bytes = current ? current->size_bytes * 2 : ARENA_FIRST_BYTES;
  if (chunk_bytes > ARENA_MAX_BYTES) chunk_bytes = ARENA_MAX_BYTES;
  arena->total_bytes += size_bytes;
  if (current && size_bytes > chunk_bytes / 4) {
    ArenaChunk *own = new_chunk(size_bytes);
    own->older = current->older;
    current->older = own;
    return own->data;
  }
  ArenaChunk *chunk = new_chunk(size_bytes > chunk_bytes ? size_bytes : chunk_bytes);
  use_chunk(arena, chunk);
  arena->next += size_bytes;
  return chunk->data;
}

Span arena_dup(Arena *arena, Span s) {
  char *copy = arena_alloc(arena, s.len + 1);
  if (s.len) memcpy(copy, s.data, s.len);
  copy[s.len] = 0;
  return span_make(copy, s.len);
}

Span arena_replace(Arena *arena, Span text, Span from, Span to) {
  size_t at = span_find(text, from);
  if (at == SIZE_MAX) return text;
  Buf buf = BUF_INIT;
  for (; at != SIZE_MAX; at = span_find(text, from)) {
    buf_put_span(&buf, span_sub(text, 0, at));
    buf_put_span(&buf, to);
    text = span_from(text, at + from.len);
  }
  buf_put_span(&buf, text);
  Span ret = arena_dup(arena, buf_span(&buf));
  buf_done(&buf);
  return ret;
}

char *arena_printf(Arena *arena, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  char *text = arena_alloc(arena, (size_t)len + 1);
  vsnprintf(text, (size_t)len + 1, fmt, again);
  va_end(again);
  return text;
}
