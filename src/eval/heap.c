// heap.c: nursery, old space, minor and major collections.
//
// Old space is a list of HEAP_CHUNK_BYTES chunks, aligned to their size so that the chunk of an object is found by masking. A
// major collection copies everything reachable into fresh chunks and frees the old ones. The work list is an explicit stack.
//
// Minor collections of a program that makes many of them are done by two *workers*, the evaluating thread and a helper (HeapTeam): time
// goes into misses of the cache, so two cores take half of it. Each has chunks and a work list of its own; who copies an object is
// decided by a compare and swap on its head; who has nothing to do asks, and the other puts half of its list into the pool. The
// evaluating thread never waits for the helper to come, only for one that has come to finish. Between collections the helper makes
// chunks ready, since the kernel takes as long to give memory as the collector to fill it.
#include "eval/heap.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
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
#define HEAP_WORKERS 2
#define HEAP_HELPER_AFTER 8 // minor collections until the helper starts
#define HEAP_HELPER_MIN_SHARE \
  64                        // copied by the last collection: less than this part of the nursery is not worth waking it
#define HEAP_BLOCK 128      // remembered slots that a worker takes at once
#define HEAP_SHARE_MIN 32   // objects on a work list of which half is given away
#define HEAP_READY_CHUNKS 2 // made by the helper ahead of time
#define HEAP_SPINS 200      // before a worker that waits for the other lets the processor go

typedef enum HeapMode { HEAP_MINOR, HEAP_MINOR_SHARED, HEAP_MAJOR } HeapMode;

typedef struct HeapChunk {
  struct HeapChunk *next;
  uint64_t epoch; // of the major collection that made it
} HeapChunk;

typedef struct HeapWorker {
  Heap *heap;
  char *next, *end; // bump range of its newest chunk
  Object **gray;    // copied or marked, not yet scanned
  size_t gray_count, gray_cap;
  Value *ahead[HEAP_AHEAD]; // ring of slots to visit
  size_t ahead_next;
  uint64_t promoted_bytes;
} HeapWorker;

typedef enum HeapDoor { HEAP_DOOR_CLOSED, HEAP_DOOR_OPEN, HEAP_DOOR_JOINED } HeapDoor;

typedef struct HeapTeam {
  pthread_t thread;
  bool has_thread, refused;  // refused: no thread could be made
  _Atomic int door;          // HeapDoor: may the helper still join this collection? Joined until it has left
  _Atomic bool hungry;       // a worker has nothing to do
  _Atomic bool finished;     // of a collection that the helper has joined
  _Atomic size_t next_block; // of the remembered slots
  _Atomic size_t pool_count; // written under the lock
  pthread_mutex_t lock;      // of what follows, and of HeapSpace.chunks while there is a helper
  pthread_cond_t wake;
  Object **pool; // gray objects for whoever has nothing to do
  size_t pool_cap;
  unsigned idle; // workers that found the pool empty
  uint64_t rounds;
  HeapChunk *ready; // chunks nobody has used
  unsigned ready_count;
  bool quit;
} HeapTeam;

typedef struct HeapSpace {
  HeapChunk *chunks;
  uint64_t epoch;
  HeapWorker workers[HEAP_WORKERS]; // the first is the evaluating thread
  HeapTeam team;
  HeapMode mode;  // of the collection in progress
  Object **large; // every large object; those from `large_young` on are newer than the last collection
  size_t large_count, large_cap, large_young;
  size_t *large_sizes;
  size_t large_sizes_cap;
  size_t reserve_bytes;
  size_t next_major_bytes;
  uint64_t stress_next_major; // in minor collections
  uint64_t last_promoted_bytes;
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
  for (size_t i = 0; i < HEAP_WORKERS; i++) space->workers[i].heap = heap;
  pthread_mutex_init(&space->team.lock, NULL);
  pthread_cond_init(&space->team.wake, NULL);
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

static void heap_dismiss_helper(HeapSpace *space) {
  HeapTeam *team = &space->team;
  if (!team->has_thread) return;
  pthread_mutex_lock(&team->lock);
  team->quit = true;
  pthread_cond_signal(&team->wake);
  pthread_mutex_unlock(&team->lock);
  pthread_join(team->thread, NULL);
  team->has_thread = false;
}

void heap_done(Heap *heap) {
  HeapSpace *space = heap->space;
  if (!space) return;
  heap_dismiss_helper(space);
  heap_free_chunks(space->chunks);
  heap_free_chunks(space->team.ready);
  for (size_t i = 0; i < space->large_count; i++) mem_free(space->large[i]);
  mem_free(space->large);
  mem_free(space->large_sizes);
  for (size_t i = 0; i < HEAP_WORKERS; i++) mem_free(space->workers[i].gray);
  mem_free(space->team.pool);
  pthread_mutex_destroy(&space->team.lock);
  pthread_cond_destroy(&space->team.wake);
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
  // The nursery alone would not notice a program that makes little besides large objects.
  if (heap->stats.old_bytes + heap->stats.large_bytes > space->next_major_bytes) heap->soft_end = heap->nursery;
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

// NULL: there is no memory.
static HeapChunk *heap_map_chunk(void) {
  // Over-reserve and trim, to get the alignment.
  char *p = mmap(NULL, 2 * HEAP_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  char *aligned = (char *)(((uintptr_t)p + HEAP_CHUNK_BYTES - 1) & ~(uintptr_t)(HEAP_CHUNK_BYTES - 1));
  if (aligned > p) munmap(p, (size_t)(aligned - p));
  munmap(aligned + HEAP_CHUNK_BYTES, (size_t)(p + HEAP_CHUNK_BYTES - aligned));
  // One call instead of 256 page faults; an old kernel refuses, and they happen.
  (void)madvise(aligned, HEAP_CHUNK_BYTES, MADV_POPULATE_WRITE);
  return (HeapChunk *)aligned;
}

static void heap_new_chunk(HeapWorker *w) {
  HeapSpace *space = w->heap->space;
  HeapTeam *team = &space->team;
  pthread_mutex_lock(&team->lock);
  HeapChunk *chunk = team->ready;
  if (chunk) {
    team->ready = chunk->next;
    team->ready_count--;
  } else {
    pthread_mutex_unlock(&team->lock);
    chunk = heap_map_chunk();
    if (!chunk) mem_die(HEAP_CHUNK_BYTES);
    pthread_mutex_lock(&team->lock);
  }
  *chunk = (HeapChunk){.next = space->chunks, .epoch = space->epoch};
  space->chunks = chunk;
  w->heap->stats.old_bytes += HEAP_CHUNK_BYTES;
  pthread_mutex_unlock(&team->lock);
  w->next = (char *)chunk + sizeof(HeapChunk);
  w->end = (char *)chunk + HEAP_CHUNK_BYTES;
}

static void heap_push_gray(HeapWorker *w, Object *object) {
  MEM_RESERVE(w->gray, w->gray_cap, w->gray_count + 1);
  w->gray[w->gray_count++] = object;
}

static bool heap_has_pointers(Head h) {
  HeapLayout layout = heap_layouts[head_type(h) >> 3];
  if (LIKELY(layout.fixed)) return layout.counted || layout.first < layout.fixed;
  return head_type(h) == T_BLACKHOLE || head_flags(h) & STR_SLICE;
}

// What two workers may look at at once: heads of young objects, and slots that one of them is about to replace.
static inline uint64_t heap_load(const uint64_t *word) {
  return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
static inline void heap_set(uint64_t *word, uint64_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

// `mode` is a constant wherever it is handed down, so that each loop is made three times.
static inline Object *heap_copy(HeapWorker *w, Object *from, Head h, HeapMode mode) {
  size_t words = heap_object_words(h);
  if (UNLIKELY((size_t)(w->end - w->next) < words * sizeof(uint64_t))) heap_new_chunk(w);
  Object *to = (Object *)w->next;
  const uint64_t *source = (const uint64_t *)from;
  uint64_t *target = (uint64_t *)to;
  target[0] = h;
  for (size_t i = 1; i < words; i++) target[i] = source[i];
  Head forward = HEAD(T_FORWARD, 0, (uintptr_t)to);
  if (mode != HEAP_MINOR_SHARED) from->head = forward;
  else if (!__atomic_compare_exchange_n(&from->head, &h, forward, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
    return (Object *)head_payload(h); // the other worker was first
  w->next += words * sizeof(uint64_t);
  w->promoted_bytes += words * sizeof(uint64_t);
  if (heap_has_pointers(h)) heap_push_gray(w, to);
  return to;
}

// Where an object that is not young is after a major collection; its head is `h`.
static Object *heap_forward_old(HeapWorker *w, Object *object, Head h) {
  unsigned flags = head_flags(h);
  if (flags & OBJ_STATIC) return object;
  if (flags & OBJ_LARGE) {
    if (!(flags & OBJ_MARK)) {
      object->head |= HEAD(0, OBJ_MARK, 0);
      if (heap_has_pointers(h)) heap_push_gray(w, object);
    }
    return object;
  }
  const HeapChunk *chunk = (const HeapChunk *)((uintptr_t)object & ~(uintptr_t)(HEAP_CHUNK_BYTES - 1));
  if (chunk->epoch == w->heap->space->epoch) return object; // already in the new space
  return heap_copy(w, object, h, HEAP_MAJOR);
}

// Evaluated thunks and flattened sets are left out of the way.
static Value heap_shortcut(Value v) {
  if (value_tag(v) == TAG_THUNK) {
    Value followed = v;
    while (value_tag(followed) == TAG_THUNK) {
      Head h = heap_load(value_ptr(followed));
      if (head_type(h) != T_IND || head_flags(h) & IND_UNASKED) break;
      followed = heap_load(&((Thunk *)value_ptr(followed))->value);
    }
    if (value_keeps_thunk(followed)) return v;
    v = followed;
  }
  while (value_tag(v) == TAG_ATTRS && head_type(heap_load(value_ptr(v))) == T_LAYERED &&
         !heap_load(&((Layered *)value_ptr(v))->top))
    v = heap_load(&((Layered *)value_ptr(v))->base);
  return v;
}

// Most slots hold nothing that a minor collection moves.
static inline bool heap_may_move(const Heap *heap, Value v, HeapMode mode) {
  static const unsigned no_pointer = 1u << TAG_INT | 1u << TAG_IMM | 1u << TAG_LAZY;
  if (no_pointer >> value_tag(v) & 1) return false;
  return mode == HEAP_MAJOR ? v != 0 : heap_is_young(heap, value_ptr(v));
}

static inline void heap_visit_value(HeapWorker *w, Value *slot, HeapMode mode) {
  const Heap *heap = w->heap;
  Value v = heap_load(slot);
  if (!heap_may_move(heap, v, mode)) return;
  Object *object = value_ptr(v);
  Head h = heap_load(&object->head);
  if (head_type(h) == T_IND || head_type(h) == T_LAYERED) {
    v = heap_shortcut(v);
    if (!heap_may_move(heap, v, mode)) {
      heap_set(slot, v);
      return;
    }
    object = value_ptr(v);
    h = heap_load(&object->head);
  }
  if (head_type(h) == T_FORWARD) object = (Object *)head_payload(h);
  else if (mode != HEAP_MAJOR || heap_is_young(heap, object)) object = heap_copy(w, object, h, mode);
  else object = heap_forward_old(w, object, h);
  heap_set(slot, value_from_ptr(object, value_tag(v)));
}

// Visits the slot some slots later: the time of a collection is that of cache misses on what it copies.
static inline void heap_visit_later(HeapWorker *w, Value *slot, HeapMode mode) {
  Value v = heap_load(slot);
  if (!heap_may_move(w->heap, v, mode)) return;
  __builtin_prefetch(value_ptr(v), 1);
  Value *due = w->ahead[w->ahead_next];
  w->ahead[w->ahead_next] = slot;
  w->ahead_next = (w->ahead_next + 1) % HEAP_AHEAD;
  if (due) heap_visit_value(w, due, mode);
}

static void heap_visit_ahead(HeapWorker *w, HeapMode mode) {
  for (size_t i = 0; i < HEAP_AHEAD; i++) {
    Value **place = &w->ahead[(w->ahead_next + i) % HEAP_AHEAD], *due = *place;
    *place = NULL;
    if (due) heap_visit_value(w, due, mode);
  }
}

static inline void heap_visit_words(HeapWorker *w, Value *slots, size_t count, HeapMode mode) {
  for (size_t i = 0; i < count; i++) heap_visit_later(w, &slots[i], mode);
}

void heap_visit(Heap *heap, Value *slot) {
  heap_visit_range(heap, slot, 1);
}

void heap_visit_range(Heap *heap, Value *slots, size_t count) {
  HeapWorker *w = heap->space->workers;
  switch (heap->space->mode) {
  case HEAP_MINOR: heap_visit_words(w, slots, count, HEAP_MINOR); break;
  case HEAP_MINOR_SHARED: heap_visit_words(w, slots, count, HEAP_MINOR_SHARED); break;
  case HEAP_MAJOR: heap_visit_words(w, slots, count, HEAP_MAJOR); break;
  }
}

// Bare pointers (to envs, to the bytes of a string) are visited as values: the same bits as with TAG_OBJ.
static inline void heap_scan_object(HeapWorker *w, Object *object, HeapMode mode) {
  Head h = object->head;
  HeapLayout layout = heap_layouts[head_type(h) >> 3];
  Value *words = (Value *)object;
  if (UNLIKELY(!layout.fixed)) {
    if (head_type(h) == T_BLACKHOLE) heap_visit_words(w, words + 1, heap_odd_words(h) - 1, mode);
    else if (head_flags(h) & STR_SLICE) heap_visit_later(w, words + 2, mode);
    return;
  }
  if (mode == HEAP_MAJOR && head_type(h) == T_ATTRS) ((Attrs *)object)->shape->marked = true;
  size_t end =
      layout.pointers ? layout.first + layout.pointers : layout.fixed + layout.counted * (size_t)head_payload(h);
  heap_visit_words(w, words + layout.first, end - layout.first, mode);
}

// ---- two workers ----

// Half of the work list, the older one, for the worker that has nothing to do.
static void heap_share(HeapTeam *team, HeapWorker *w) {
  size_t given = w->gray_count / 2;
  pthread_mutex_lock(&team->lock);
  size_t count = team->pool_count;
  MEM_RESERVE(team->pool, team->pool_cap, count + given);
  memcpy(team->pool + count, w->gray, given * sizeof *w->gray);
  team->pool_count = count + given;
  team->hungry = false;
  pthread_mutex_unlock(&team->lock);
  w->gray_count -= given;
  memmove(w->gray, w->gray + given, w->gray_count * sizeof *w->gray);
}

// Empties the work list.
static inline void heap_drain(HeapWorker *w, HeapMode mode) {
  HeapTeam *team = &w->heap->space->team;
  do {
    while (w->gray_count) {
      heap_scan_object(w, w->gray[--w->gray_count], mode);
      if (mode == HEAP_MINOR_SHARED && w->gray_count >= HEAP_SHARE_MIN &&
          UNLIKELY(atomic_load_explicit(&team->hungry, memory_order_relaxed)))
        heap_share(team, w);
    }
    heap_visit_ahead(w, mode);
  } while (w->gray_count);
}

static inline void heap_visit_remembered(HeapWorker *w, size_t begin, size_t end, HeapMode mode) {
  const Heap *heap = w->heap;
  for (size_t i = begin; i < end; i++) {
    if (i + HEAP_AHEAD_SLOTS < end) __builtin_prefetch(heap->remembered[i + HEAP_AHEAD_SLOTS], 1);
    heap_visit_later(w, heap->remembered[i], mode);
  }
}

static void heap_take_blocks(HeapWorker *w) {
  const Heap *heap = w->heap;
  for (;;) {
    size_t begin = atomic_fetch_add(&heap->space->team.next_block, HEAP_BLOCK);
    if (begin >= heap->remembered_count) return;
    size_t end = begin + HEAP_BLOCK;
    heap_visit_remembered(w, begin, end < heap->remembered_count ? end : heap->remembered_count, HEAP_MINOR_SHARED);
  }
}

// Waits for work of the other worker; false when neither has any. Only of a collection that the helper has joined.
static bool heap_take_work(HeapTeam *team, HeapWorker *w) {
  bool idle = false;
  for (unsigned spins = 0;; spins++) {
    if (team->finished) return false;
    if (!idle || team->pool_count) {
      pthread_mutex_lock(&team->lock);
      size_t count = team->pool_count;
      if (count) {
        team->idle -= idle;
        size_t taken = count < HEAP_BLOCK ? count : HEAP_BLOCK;
        MEM_RESERVE(w->gray, w->gray_cap, w->gray_count + taken);
        memcpy(w->gray + w->gray_count, team->pool + count - taken, taken * sizeof *w->gray);
        w->gray_count += taken;
        team->pool_count = count - taken;
      } else if (!idle) {
        idle = true;
        team->finished = ++team->idle == HEAP_WORKERS;
      }
      pthread_mutex_unlock(&team->lock);
      if (count) return true;
    }
    if (!team->pool_count) team->hungry = true;
    if (spins >= HEAP_SPINS) sched_yield();
  }
}

static void heap_work(HeapTeam *team, HeapWorker *w) {
  do heap_drain(w, HEAP_MINOR_SHARED);
  while (heap_take_work(team, w));
}

// The lock is held, and released during the work. False: there is no memory, which only matters to who needs it.
static bool heap_make_ready(HeapTeam *team) {
  pthread_mutex_unlock(&team->lock);
  HeapChunk *chunk = heap_map_chunk();
  pthread_mutex_lock(&team->lock);
  if (!chunk) return false;
  chunk->next = team->ready;
  team->ready = chunk;
  team->ready_count++;
  return true;
}

static void *heap_helper_main(void *arg) {
  HeapSpace *space = arg;
  HeapTeam *team = &space->team;
  HeapWorker *w = &space->workers[1];
  bool has_memory = true;
  pthread_mutex_lock(&team->lock);
  for (uint64_t seen = 0; !team->quit;) {
    if (team->rounds == seen) {
      if (has_memory && team->ready_count < HEAP_READY_CHUNKS) has_memory = heap_make_ready(team);
      else pthread_cond_wait(&team->wake, &team->lock);
      continue;
    }
    seen = team->rounds;
    pthread_mutex_unlock(&team->lock);
    int open = HEAP_DOOR_OPEN;
    if (atomic_compare_exchange_strong(&team->door, &open, HEAP_DOOR_JOINED)) {
      heap_take_blocks(w);
      heap_work(team, w);
      team->door = HEAP_DOOR_CLOSED;
    }
    pthread_mutex_lock(&team->lock);
  }
  pthread_mutex_unlock(&team->lock);
  return NULL;
}

static bool heap_wants_helper(Heap *heap) {
  HeapSpace *space = heap->space;
  HeapTeam *team = &space->team;
  if (!heap->config.helper || heap->stats.minor_count < HEAP_HELPER_AFTER ||
      space->last_promoted_bytes < heap->config.nursery_bytes / HEAP_HELPER_MIN_SHARE)
    return false;
  if (!team->has_thread && !team->refused) {
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former); // signals are the evaluating thread's
    team->has_thread = pthread_create(&team->thread, NULL, heap_helper_main, space) == 0;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    team->refused = !team->has_thread;
  }
  // It may not have noticed yet that the last collection is over.
  return team->has_thread && team->door == HEAP_DOOR_CLOSED;
}

static void heap_open_door(HeapTeam *team) {
  team->next_block = 0;
  team->hungry = team->finished = false;
  team->idle = 0;
  team->door = HEAP_DOOR_OPEN;
  pthread_mutex_lock(&team->lock);
  team->rounds++;
  pthread_cond_signal(&team->wake);
  pthread_mutex_unlock(&team->lock);
}

// The evaluating thread's part.
static void heap_work_as_first(HeapTeam *team, HeapWorker *w) {
  heap_take_blocks(w);
  heap_drain(w, HEAP_MINOR_SHARED);
  int open = HEAP_DOOR_OPEN;
  if (!atomic_compare_exchange_strong(&team->door, &open, HEAP_DOOR_CLOSED) && heap_take_work(team, w))
    heap_work(team, w);
}

// ---- collections ----

static void heap_scan_roots(Heap *heap, HeapScanFn scan, void *ctx) {
  bool major = heap->space->mode == HEAP_MAJOR;
  for (HeapRoot *root = heap->roots.next; root != &heap->roots; root = root->next) heap_visit(heap, &root->value);
  const HeapRoot *end = major ? NULL : heap->old_constants;
  for (HeapRoot *root = heap->constants; root != end; root = root->next) heap_visit(heap, &root->value);
  heap->old_constants = heap->constants;
  scan(ctx, heap, major);
}

static void heap_flag_large(HeapSpace *space) {
  for (size_t i = space->large_young; i < space->large_count; i++) space->large[i]->head |= HEAD(0, OBJ_LARGE, 0);
}

static void heap_minor(Heap *heap, HeapScanFn scan, void *ctx) {
  HeapSpace *space = heap->space;
  HeapWorker *w = space->workers;
  heap_flag_large(space);
  space->mode = heap_wants_helper(heap) ? HEAP_MINOR_SHARED : HEAP_MINOR;
  if (space->mode == HEAP_MINOR_SHARED) heap_open_door(&space->team);
  for (size_t i = space->large_young; i < space->large_count; i++) heap_push_gray(w, space->large[i]);
  heap_scan_roots(heap, scan, ctx);
  if (space->mode == HEAP_MINOR_SHARED) {
    heap_work_as_first(&space->team, w);
  } else {
    heap_visit_remembered(w, 0, heap->remembered_count, HEAP_MINOR);
    heap_drain(w, HEAP_MINOR);
  }
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
  space->mode = HEAP_MAJOR;
  space->epoch++;
  space->chunks = NULL;
  for (size_t i = 0; i < HEAP_WORKERS; i++) space->workers[i].next = space->workers[i].end = NULL;
  heap->stats.old_bytes = 0;
  heap_flag_large(space);
  heap_scan_roots(heap, scan, ctx);
  heap_drain(space->workers, HEAP_MAJOR);
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
  uint64_t promoted = 0;
  for (size_t i = 0; i < HEAP_WORKERS; i++) promoted += space->workers[i].promoted_bytes;
  space->last_promoted_bytes = promoted - heap->stats.promoted_bytes;
  heap->stats.promoted_bytes = promoted;
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
