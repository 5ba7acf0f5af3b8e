// heap.h: memory of evaluated programs.
//
// New objects are bumped into a nursery of cache size. A minor collection copies what is reachable to the old space and
// recycles the nursery; a major collection copies the old space as well, when it has passed a threshold. Large objects
// (HEAP_LARGE_BYTES and more) are allocated apart and never move.
//
// Rules: 1. Allocation never collects. 2. Collections happen only in heap_collect, which the VM calls at its safepoints. So a leaf
// function may hold values in C variables; nothing may hold one across a call back into the VM (use VM stack slots or a
// HeapRoot). 3. A store into an object that existed at the last safepoint goes through heap_store, which remembers pointers from old
// to new; initialising stores into an object allocated since need not.
#pragma once

#include "eval/value.h"

#define HEAP_LARGE_BYTES ((size_t)32 * 1024)

typedef struct HeapConfig {
  size_t nursery_bytes;   // 0: default (HEAP_DEFAULT_NURSERY_BYTES)
  size_t threshold_bytes; // old space size that starts the first major collection; 0: default
  size_t max_bytes;       // --max-heap; 0: none
  bool helper;            // a second thread takes part in collections when there are many
  bool stress;            // collect at every safepoint, and overwrite what is recycled
} HeapConfig;

// A registered root outside the VM stacks: a doubly linked list in the heap.
typedef struct HeapRoot {
  Value value;
  struct HeapRoot *next, *prev;
} HeapRoot;

typedef struct HeapStats {
  uint64_t minor_count, major_count;
  uint64_t allocated_bytes; // in all, also what has been recycled
  uint64_t promoted_bytes;
  uint64_t old_bytes, large_bytes; // now
  uint64_t peak_bytes;
} HeapStats;

typedef struct Heap {
  char *next;            // bump pointer
  char *soft_end;        // passed: the next safepoint collects
  char *hard_end;        // end of the reserved range
  char *nursery;         // start of the reserved range
  uint64_t nursery_span; // hard_end - nursery, for the one-compare test
  Value **remembered;    // slots of old objects that hold pointers into the nursery
  size_t remembered_count, remembered_cap;
  struct HeapSpace *space; // old space and large objects
  HeapRoot roots;          // list head
  HeapRoot *constants;     // by `next`, newest first
  HeapRoot *old_constants; // those from here on have been looked at
  HeapConfig config;
  HeapStats stats;
} Heap;

// Visits every root of its kind: calls heap_visit on each slot.
typedef void (*HeapScanFn)(void *ctx, Heap *heap, bool major);

void heap_init(Heap *heap, const HeapConfig *config);
void heap_done(Heap *heap);
void heap_add_root(Heap *heap, HeapRoot *root, Value value);
void heap_remove_root(Heap *heap, HeapRoot *root);
// A root that stays until heap_done and is never assigned to: minor collections look at it once.
void heap_add_constant(Heap *heap, HeapRoot *root, Value value);

void *heap_alloc_slow(Heap *heap, size_t size_bytes);
// 8-aligned, uninitialised. `size_bytes` is rounded up to 8. Never collects, never fails (out of memory aborts).
static inline void *heap_alloc(Heap *heap, size_t size_bytes) {
  size_bytes = (size_bytes + 7) & ~(size_t)7;
  char *p = heap->next;
  if (UNLIKELY(size_bytes >= HEAP_LARGE_BYTES || (size_t)(heap->hard_end - p) < size_bytes))
    return heap_alloc_slow(heap, size_bytes);
  heap->next = p + size_bytes;
  return p;
}
static inline bool heap_is_young(const Heap *heap, const void *p) {
  return (uint64_t)((const char *)p - heap->nursery) < heap->nursery_span;
}
void heap_remember(Heap *heap, Value *slot);
// Stores into a slot of `object` with the write barrier.
static inline void heap_store(Heap *heap, const void *object, Value *slot, Value v) {
  *slot = v;
  unsigned tag = value_tag(v);
  if (tag == TAG_INT || tag == TAG_IMM || tag == TAG_LAZY) return;
  if (UNLIKELY(heap_is_young(heap, value_ptr(v)) && !heap_is_young(heap, object))) heap_remember(heap, slot);
}
static inline bool heap_wants_collection(const Heap *heap) {
  return heap->next >= heap->soft_end;
}
// After a major collection: whether what is alive exceeds config.max_bytes. The VM then raises an error.
bool heap_over_limit(const Heap *heap);
// Collects: `scan` must visit all roots that are not HeapRoots. A minor scan may skip what cannot hold new pointers.
void heap_collect(Heap *heap, HeapScanFn scan, void *ctx, bool force_major);
// During collection only: updates the slot to the object's new place.
void heap_visit(Heap *heap, Value *slot);
void heap_visit_range(Heap *heap, Value *slots, size_t count);
