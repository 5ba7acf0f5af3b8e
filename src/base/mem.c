// mem.c: see mem.h.
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

void mem_die(size_t size_bytes) {
  // stderr is unbuffered, so this allocates nothing.
  fprintf(stderr, "error: out of memory (allocating %zu bytes)\n", size_bytes);
  abort();
}

// malloc(0) may return NULL; one byte keeps "never NULL" true.
void *mem_alloc(size_t size_bytes) {
  void *ptr = malloc(size_bytes ? size_bytes : 1);
  if (UNLIKELY(!ptr)) mem_die(size_bytes);
  return ptr;
}

void *mem_alloc_zero(size_t size_bytes) {
  void *ptr = calloc(1, size_bytes ? size_bytes : 1);
  if (UNLIKELY(!ptr)) mem_die(size_bytes);
  return ptr;
}

void *mem_realloc(void *ptr, size_t size_bytes) {
  void *grown = realloc(ptr, size_bytes ? size_bytes : 1);
  if (UNLIKELY(!grown)) mem_die(size_bytes);
  return grown;
}

static size_t array_bytes(size_t count, size_t size_bytes) {
  size_t total_bytes;
  if (UNLIKELY(__builtin_mul_overflow(count, size_bytes, &total_bytes))) mem_die(SIZE_MAX);
  return total_bytes;
}

void *mem_alloc_array(size_t count, size_t size_bytes) {
  return mem_alloc(array_bytes(count, size_bytes));
}

void *mem_realloc_array(void *ptr, size_t count, size_t size_bytes) {
  return mem_realloc(ptr, array_bytes(count, size_bytes));
}

void mem_free(void *ptr) {
  free(ptr);
}
