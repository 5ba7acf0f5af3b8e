// mem.h: heap allocation that never returns NULL. Out of memory prints one line and aborts.
#pragma once

#include "base/macros.h"

// Results are owned by the caller and freed with mem_free.
void *mem_alloc(size_t size_bytes) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_alloc_zero(size_t size_bytes) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *mem_realloc(void *ptr, size_t size_bytes) __attribute__((alloc_size(2), returns_nonnull));
// `count * size` is checked for overflow.
void *mem_alloc_array(size_t count, size_t size_bytes) __attribute__((malloc, returns_nonnull));
void *mem_realloc_array(void *ptr, size_t count, size_t size_bytes) __attribute__((returns_nonnull));
void mem_free(void *ptr);
NORETURN void mem_die(size_t size_bytes);

// CLEANUP(mem_free_ptr) for `char *` and `void *` variables.
static inline void mem_free_ptr(void *ptr_to_ptr) {
  mem_free(*(void **)ptr_to_ptr);
}

// Grows `*ret_array` (capacity `*cap` elements) so that it holds at least `need` elements.
#define MEM_RESERVE(array, cap, need)                                \
  do {                                                               \
    if ((need) > (cap)) {                                            \
      (cap) = (need) > (cap)*2 ? (need) : (cap)*2;                   \
      (array) = mem_realloc_array((array), (cap), sizeof(*(array))); \
    }                                                                \
  } while (0)
