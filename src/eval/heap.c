// heap.c: nursery, old space, minor and major collections.
//
// Old space is a list of HEAP_CHUNK_BYTES chunks, aligned to their size so that the chunk of an object is found by masking. A
// major collection copies everything reachable into fresh chunks and frees the old ones. The work list is an explicit stack.
#include "eval/heap.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "eval/shape.h"

#define HEAP_CHUNK_BYTES ((size_t)1 << 20)
#define HEAP_DEFAULT_NURSERY_BYTES ((size_t)4 << 20)
#define HEAP_DEFAULT_THRESHOLD_BYTES ((size_t)256 << 20)
#define HEAP_MAX_RESERVE_BYTES ((size_t)1 << 36) // what one leaf function may allocate between two safepoints
#define HEAP_MIN_RESERVE_BYTES ((size_t)1 << 28)
#define HEAP_STRESS_MAJOR 500   // under stress, every so many collections are major (fewer when there is much to copy)
#define HEAP_STRESS_POISON 0xdb // and recycled memory is overwritten, so that what was missed is noticed at once
#define HEAP_AHEAD 16           // slots whose objects are on their way into the cache when they are visited
#define HEAP_AHEAD_SLOTS 12     // remembered slots that are on their way themselves
#define HEAP_KEEP_BYTES ((size_t)4 << 20) // of a nursery that overflowed, kept mapped beyond the soft end

typedef struct HeapChunk {
  struct HeapChunk *next;
  uint64_t epoch; // of the major collection that made it
} HeapChunk;

typedef struct HeapSpace {
  HeapChunk *chunks;
  char *next, *end; // bump range of the newest chunk
  uint64_t epoch;
  Object **gray; // copied or marked, not yet scanned
  size_t gray_count, gray_cap;
  Value *ahead[HEAP_AHEAD]; // ring of slots to visit
  size_t ahead_next;
  Object **large; // every large object; those from `large_young` on are newer than the last collection
  size_t large_count, large_cap, large_young;
  size_t *large_sizes;
  size_t large_sizes_cap;
  size_t reserve_bytes;
  size_t next_major_bytes;
  uint64_t stress_next_major; // in minor collections
  bool major;                 // a major collection is in progress
} HeapSpace;

// The nursery is written from end to end by every evaluation but the smallest, and two huge pages cost a fifth of a thousand small ones (a tenth of the time
// of hello). It begins a little before the first, on small pages, so that the smallest evaluations touch no more than they need.
static char *heap_place_nursery(char *reserve, size_t *reserve_bytes, size_t nursery_bytes) {
  const size_t small_bytes = 128u << 10, huge_bytes = 2u << 20;
  char *huge = (char *)(((uintptr_t)reserve + small_bytes + huge_bytes - 1) & ~(uintptr_t)(huge_bytes - 1));
  char *start = huge - small_bytes;
  if (start > reserve) munmap(reserve, (size_t)(start - reserve));
  *reserve_bytes -= (size_t)(start - reserve);
  if (nursery_bytes >= 2 * huge_bytes) (void)madvise(huge, nursery_bytes & ~(huge_bytes - 1), MADV_HUGEPAGE);
  return start;
}

void heap_init(Heap *heap, const HeapConfig *config) {
  *heap = (Heap){.config = *config};
  if (!heap->config.nursery_bytes) heap->config.nursery_bytes = HEAP_DEFAULT_NURSERY_BYTES;
  if (!heap->config.threshold_bytes) heap->config.threshold_bytes = HEAP_DEFAULT_THRESHOLD_BYTES;
  HeapSpace *space = heap->space = mem_alloc_zero(sizeof *space);
  space->epoch = 1;
  size_t reserve = HEAP_MAX_RESERVE_BYTES;
  void *p = MAP_FAILED;
  for (; reserve >= HEAP_MIN_RESERVE_BYTES; reserve /= 2) {
    p = mmap(NULL, reserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) break;
  }
  if (p == MAP_FAILED) mem_die(reserve);
  p = heap_place_nursery(p, &reserve, heap->config.nursery_bytes);
  space->reserve_bytes = reserve;
  heap->nursery = heap->next = p;
  heap->hard_end = heap->nursery + reserve;
  heap->nursery_span = reserve;
  heap->soft_end = heap->nursery + heap->config.nursery_bytes;
  heap->roots.next = heap->roots.prev = &heap->roots;
  size_t max = heap->config.max_bytes;
  if (max && heap->config.threshold_bytes > max - max / 4) heap->config.threshold_bytes = max - max / 4;
  space->next_major_bytes = heap->config.threshold_bytes;
  space->stress_next_major = HEAP_STRESS_MAJOR;
}

static void heap_free_chunks(HeapChunk *chunk) {
  for (HeapChunk *next; chunk; chunk = next) {
    next = chunk->next;
    munmap(chunk, HEAP_CHUNK_BYTES);
  }
}

void heap_done(Heap *heap) {
  HeapSpace *space = heap->space;
  if (!space) return;
  heap_free_chunks(space->chunks);
  for (size_t i = 0; i < space->large_count; i++) mem_free(space->large[i]);
  mem_free(space->large);
  mem_free(space->large_sizes);
  mem_free(space->gray);
  mem_free(space);
  munmap(heap->nursery, heap->nursery_span);
  mem_free(heap->remembered);
  *heap = (Heap){0};
}

void heap_add_root(Heap *heap, HeapRoot *root, Value value) {
  root->value = value;
  root->prev = &heap->roots;
  root->next = heap->roots.next;
  root->next->prev = root;
  heap->roots.next = root;
}

void heap_remove_root(Heap *heap, HeapRoot *root) {
  (void)heap;
  root->next->prev = root->prev;
  root->prev->next = root->next;
  root->next = root->prev = NULL;
}

void heap_add_constant(Heap *heap, HeapRoot *root, Value value) {
  *root = (HeapRoot){.value = value, .next = heap->constants};
  heap->constants = root;
}

void *heap_alloc_slow(Heap *heap, size_t size_bytes) {
  HeapSpace *space = heap->space;
  if (size_bytes < HEAP_LARGE_BYTES) mem_die(size_bytes); // the reserved range is used up
  // The caller writes the head; OBJ_LARGE is set in it at the next collection, which finds the object in this list.
  Object *object = mem_alloc(size_bytes);
  MEM_RESERVE(space->large, space->large_cap, space->large_count + 1);
  MEM_RESERVE(space->large_sizes, space->large_sizes_cap, space->large_count + 1);
  space->large[space->large_count] = object;
  space->large_sizes[space->large_count++] = size_bytes;
  heap->stats.large_bytes += size_bytes;
  heap->stats.allocated_bytes += size_bytes;
  return object;
}

void heap_remember(Heap *heap, Value *slot) {
  MEM_RESERVE(heap->remembered, heap->remembered_cap, heap->remembered_count + 1);
  heap->remembered[heap->remembered_count++] = slot;
}

// What the collector knows of each type (number / 8): its size in words is `fixed`, and one for each unit of the payload where
// `counted`; the words that may be pointers begin at `first`, and end with the object, or after `pointers` of them where that is not 0.
typedef struct HeapLayout {
  uint8_t fixed, counted, first, pointers;
} HeapLayout;
#define HEAP_LAYOUT(type) [(type) >> 3]
static const HeapLayout heap_layouts[] = {
    HEAP_LAYOUT(T_FLOAT) = {2, 0, 2, 0},   HEAP_LAYOUT(T_BIGINT) = {2, 0, 2, 0}, HEAP_LAYOUT(T_CLOSURE) = {2, 0, 1, 0},
    HEAP_LAYOUT(T_PAP) = {2, 1, 1, 0},     HEAP_LAYOUT(T_ENV) = {2, 1, 1, 0},    HEAP_LAYOUT(T_ATTRS) = {3, 1, 2, 0},
    HEAP_LAYOUT(T_LAYERED) = {3, 0, 1, 0}, HEAP_LAYOUT(T_LIST) = {1, 1, 1, 0},   HEAP_LAYOUT(T_SLICE) = {3, 0, 1, 1},
    HEAP_LAYOUT(T_THUNK) = {2, 0, 1, 0},   HEAP_LAYOUT(T_APP) = {2, 1, 1, 0},    HEAP_LAYOUT(T_IND) = {2, 0, 1, 0},
};

// Of the types whose payload is no number of words (`fixed` is 0).
static size_t heap_odd_words(Head h) {
  size_t payload = (size_t)head_payload(h);
  switch (head_type(h)) {
  case T_STRING:
  case T_PATH:
    if (head_flags(h) & STR_EXTERN) return 3;
    if (head_flags(h) & STR_SLICE) return 4;
    return 2 + (payload + 1 + 7) / 8;
  case T_BYTES: return 2 + (payload + 7) / 8;
  case T_BLACKHOLE: return head_flags(h) & THUNK_IS_APP ? 2 + (payload & 0xffff) : 2;
  default: assert(!"heap object with an unknown head"); return 1;
  }
}

static inline size_t heap_object_words(Head h) {
  HeapLayout layout = heap_layouts[head_type(h) >> 3];
  return LIKELY(layout.fixed) ? layout.fixed + layout.counted * (size_t)head_payload(h) : heap_odd_words(h);
}

static char *heap_new_chunk(HeapSpace *space) {
  // Over-reserve and trim, to get the alignment.
  char *p = mmap(NULL, 2 * HEAP_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) mem_die(HEAP_CHUNK_BYTES);
  char *aligned = (char *)(((uintptr_t)p + HEAP_CHUNK_BYTES - 1) & ~(uintptr_t)(HEAP_CHUNK_BYTES - 1));
  if (aligned > p) munmap(p, (size_t)(aligned - p));
  munmap(aligned + HEAP_CHUNK_BYTES, (size_t)(p + HEAP_CHUNK_BYTES - aligned));
  // One call instead of 256 page faults; an old kernel refuses, and they happen.
  (void)madvise(aligned, HEAP_CHUNK_BYTES, MADV_POPULATE_WRITE);
  HeapChunk *chunk = (HeapChunk *)aligned;
  *chunk = (HeapChunk){.next = space->chunks, .epoch = space->epoch};
  space->chunks = chunk;
  space->next = aligned + sizeof(HeapChunk);
  space->end = aligned + HEAP_CHUNK_BYTES;
  return space->next;
}

static void heap_push_gray(HeapSpace *space, Object *object) {
  MEM_RESERVE(space->gray, space->gray_cap, space->gray_count + 1);
  space->gray[space->gray_count++] = object;
}

static bool heap_has_pointers(Head h) {
  switch (head_type(h)) {
  case T_FLOAT:
  case T_BIGINT:
  case T_BYTES: return false;
  case T_STRING:
  case T_PATH: return head_flags(h) & STR_SLICE;
  default: return true;
  }
}

static Object *heap_copy(Heap *heap, Object *from, Head h) {
  HeapSpace *space = heap->space;
  size_t words = heap_object_words(h);
  if (UNLIKELY((size_t)(space->end - space->next) < words * sizeof(uint64_t))) {
    heap->stats.old_bytes += HEAP_CHUNK_BYTES;
    heap_new_chunk(space);
  }
  Object *to = (Object *)space->next;
  space->next += words * sizeof(uint64_t);
  const uint64_t *source = (const uint64_t *)from;
  uint64_t *target = (uint64_t *)to;
  for (size_t i = 0; i < words; i++) target[i] = source[i];
  heap->stats.promoted_bytes += words * sizeof(uint64_t);
  if (heap_has_pointers(h)) heap_push_gray(space, to);
  from->head = HEAD(T_FORWARD, 0, (uintptr_t)to);
  return to;
}

// Where an object that is not young is after a major collection; its head is `h`.
static Object *heap_forward_old(Heap *heap, Object *object, Head h) {
  HeapSpace *space = heap->space;
  unsigned flags = head_flags(h);
  if (flags & OBJ_STATIC) return object;
  if (flags & OBJ_LARGE) {
    if (!(flags & OBJ_MARK)) {
      object->head |= HEAD(0, OBJ_MARK, 0);
      if (heap_has_pointers(h)) heap_push_gray(space, object);
    }
    return object;
  }
  const HeapChunk *chunk = (const HeapChunk *)((uintptr_t)object & ~(uintptr_t)(HEAP_CHUNK_BYTES - 1));
  return chunk->epoch == space->epoch ? object : heap_copy(heap, object, h); // else it is in the new space already
}

// value_keeps_thunk for a value that may have been moved already.
static bool heap_keeps_thunk(Value v) {
  if (value_tag(v) != TAG_OBJ) return value_is_builtin(v);
  const Object *object = value_ptr(v);
  if (head_type(object->head) == T_FORWARD) object = (const Object *)head_payload(object->head);
  return head_type(object->head) == T_CLOSURE || head_type(object->head) == T_PAP;
}

// Evaluated thunks and flattened sets are left out of the way.
static Value heap_shortcut(Value v) {
  if (value_tag(v) == TAG_THUNK) {
    Value followed = v;
    while (value_tag(followed) == TAG_THUNK && head_type(value_head(followed)) == T_IND &&
           !(head_flags(value_head(followed)) & IND_UNASKED))
      followed = ((Thunk *)value_ptr(followed))->value;
    if (heap_keeps_thunk(followed)) return v;
    v = followed;
  }
  while (value_tag(v) == TAG_ATTRS && head_type(value_head(v)) == T_LAYERED && !((Layered *)value_ptr(v))->top)
    v = ((Layered *)value_ptr(v))->base;
  return v;
}

// Most slots hold nothing that a minor collection moves.
static inline bool heap_may_move(const Heap *heap, Value v, bool major) {
  static const unsigned no_pointer = 1u << TAG_INT | 1u << TAG_IMM | 1u << TAG_LAZY;
  if (no_pointer >> value_tag(v) & 1) return false;
  return major ? v != 0 : heap_is_young(heap, value_ptr(v));
}

// `major` is a constant where this is called.
static inline void heap_visit_value(Heap *heap, Value *slot, bool major) {
  Value v = *slot;
  if (!heap_may_move(heap, v, major)) return;
  Object *object = value_ptr(v);
  Head h = object->head;
  if (head_type(h) == T_IND || head_type(h) == T_LAYERED) {
    v = heap_shortcut(v);
    if (!heap_may_move(heap, v, major)) {
      *slot = v;
      return;
    }
    object = value_ptr(v);
    h = object->head;
  }
  if (head_type(h) == T_FORWARD) object = (Object *)head_payload(h);
  else object = !major || heap_is_young(heap, object) ? heap_copy(heap, object, h) : heap_forward_old(heap, object, h);
  *slot = value_from_ptr(object, value_tag(v));
}

void heap_visit(Heap *heap, Value *slot) {
  if (heap->space->major) heap_visit_value(heap, slot, true);
  else heap_visit_value(heap, slot, false);
}

// Visits the slot some slots later: the time of a collection is that of cache misses on what it copies.
static inline void heap_visit_later(Heap *heap, Value *slot, bool major) {
  HeapSpace *space = heap->space;
  if (!heap_may_move(heap, *slot, major)) return;
  __builtin_prefetch(value_ptr(*slot), 1);
  Value *due = space->ahead[space->ahead_next];
  space->ahead[space->ahead_next] = slot;
  space->ahead_next = (space->ahead_next + 1) % HEAP_AHEAD;
  if (due) heap_visit_value(heap, due, major);
}

static void heap_visit_ahead(Heap *heap) {
  HeapSpace *space = heap->space;
  for (size_t i = 0; i < HEAP_AHEAD; i++) {
    Value *due = space->ahead[(space->ahead_next + i) % HEAP_AHEAD];
    space->ahead[(space->ahead_next + i) % HEAP_AHEAD] = NULL;
    if (due) heap_visit(heap, due);
  }
}

static inline void heap_visit_words(Heap *heap, Value *slots, size_t count, bool major) {
  for (size_t i = 0; i < count; i++) heap_visit_later(heap, &slots[i], major);
}

void heap_visit_range(Heap *heap, Value *slots, size_t count) {
  if (heap->space->major) heap_visit_words(heap, slots, count, true);
  else heap_visit_words(heap, slots, count, false);
}

// Bare pointers (to envs, to the bytes of a string) are visited as values: the same bits as with TAG_OBJ.
static inline void heap_scan_object(Heap *heap, Object *object, bool major) {
  Head h = object->head;
  HeapLayout layout = heap_layouts[head_type(h) >> 3];
  Value *words = (Value *)object;
  if (UNLIKELY(!layout.fixed)) {
    if (head_type(h) == T_BLACKHOLE) heap_visit_words(heap, words + 1, heap_odd_words(h) - 1, major);
    else if (head_flags(h) & STR_SLICE) heap_visit_later(heap, words + 2, major);
    return;
  }
  if (major && head_type(h) == T_ATTRS) ((Attrs *)object)->shape->marked = true;
  size_t end =
      layout.pointers ? layout.first + layout.pointers : layout.fixed + layout.counted * (size_t)head_payload(h);
  heap_visit_words(heap, words + layout.first, end - layout.first, major);
}

static inline void heap_scan_gray(Heap *heap, bool major) {
  HeapSpace *space = heap->space;
  while (space->gray_count) heap_scan_object(heap, space->gray[--space->gray_count], major);
}

static void heap_drain(Heap *heap) {
  HeapSpace *space = heap->space;
  do {
    if (space->major) heap_scan_gray(heap, true);
    else heap_scan_gray(heap, false);
    heap_visit_ahead(heap);
  } while (space->gray_count);
}

static void heap_scan_roots(Heap *heap, HeapScanFn scan, void *ctx) {
  for (HeapRoot *root = heap->roots.next; root != &heap->roots; root = root->next) heap_visit(heap, &root->value);
  const HeapRoot *end = heap->space->major ? NULL : heap->old_constants;
  for (HeapRoot *root = heap->constants; root != end; root = root->next) heap_visit(heap, &root->value);
  heap->old_constants = heap->constants;
  scan(ctx, heap, heap->space->major);
}

static void heap_flag_large(HeapSpace *space) {
  for (size_t i = space->large_young; i < space->large_count; i++) space->large[i]->head |= HEAD(0, OBJ_LARGE, 0);
}

static void heap_minor(Heap *heap, HeapScanFn scan, void *ctx) {
  HeapSpace *space = heap->space;
  heap_flag_large(space);
  for (size_t i = space->large_young; i < space->large_count; i++) heap_scan_object(heap, space->large[i], false);
  for (size_t i = 0; i < heap->remembered_count; i++) {
    if (i + HEAP_AHEAD_SLOTS < heap->remembered_count) __builtin_prefetch(heap->remembered[i + HEAP_AHEAD_SLOTS], 1);
    heap_visit_later(heap, heap->remembered[i], false);
  }
  heap_scan_roots(heap, scan, ctx);
  heap_drain(heap);
  heap->stats.minor_count++;
}

static void heap_sweep_large(Heap *heap) {
  HeapSpace *space = heap->space;
  size_t kept = 0;
  for (size_t i = 0; i < space->large_count; i++) {
    Object *object = space->large[i];
    if (head_flags(object->head) & OBJ_MARK) {
      object->head &= ~HEAD(0, OBJ_MARK, 0);
      space->large[kept] = object;
      space->large_sizes[kept++] = space->large_sizes[i];
    } else {
      heap->stats.large_bytes -= space->large_sizes[i];
      mem_free(object);
    }
  }
  space->large_count = kept;
}

static void heap_major(Heap *heap, HeapScanFn scan, void *ctx) {
  HeapSpace *space = heap->space;
  HeapChunk *from = space->chunks;
  space->major = true;
  space->epoch++;
  space->chunks = NULL;
  space->next = space->end = NULL;
  heap->stats.old_bytes = 0;
  heap_flag_large(space);
  heap_scan_roots(heap, scan, ctx);
  heap_drain(heap);
  space->major = false;
  heap_free_chunks(from);
  heap_sweep_large(heap);
  heap->stats.major_count++;
  size_t live = heap->stats.old_bytes + heap->stats.large_bytes;
  size_t next = live * 2 > heap->config.threshold_bytes ? live * 2 : heap->config.threshold_bytes;
  size_t max = heap->config.max_bytes;
  if (max && next > max - max / 4) next = live + live / 8 > max - max / 4 ? live + live / 8 : max - max / 4;
  space->next_major_bytes = next;
}

void heap_collect(Heap *heap, HeapScanFn scan, void *ctx, bool force_major) {
  HeapSpace *space = heap->space;
  size_t used = (size_t)(heap->next - heap->nursery);
  heap->stats.allocated_bytes += used;
  size_t total = heap->stats.old_bytes + heap->stats.large_bytes;
  if (total + used > heap->stats.peak_bytes) heap->stats.peak_bytes = total + used;
  bool stress = heap->config.stress;
  if (stress && heap->stats.minor_count >= space->stress_next_major) {
    space->stress_next_major = heap->stats.minor_count + HEAP_STRESS_MAJOR + heap->stats.old_bytes / 256;
    force_major = true;
  }
  if (force_major || total > space->next_major_bytes) heap_major(heap, scan, ctx);
  else heap_minor(heap, scan, ctx);
  if (stress) memset(heap->nursery, HEAP_STRESS_POISON, used);
  heap->remembered_count = 0;
  space->large_young = space->large_count;
  heap->next = heap->nursery;
  size_t keep = heap->config.nursery_bytes + HEAP_KEEP_BYTES;
  if (used > keep) madvise(heap->nursery + keep, used - keep, MADV_DONTNEED);
}

bool heap_over_limit(const Heap *heap) {
  return heap->config.max_bytes && heap->stats.old_bytes + heap->stats.large_bytes > heap->config.max_bytes;
}
