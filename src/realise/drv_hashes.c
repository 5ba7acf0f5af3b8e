// drv_hashes.c: see drv_hashes.h.
#include "realise/drv_hashes.h"

#include <pthread.h>

#include "base/map.h"
#include "realise/drv_load.h"

typedef struct DrvHash {
  DerivationModulo modulo;
  bool is_impure;
} DrvHash;

struct DrvHashes {
  Store *store;
  pthread_mutex_t mutex; // everything below
  Map known;             // path -> DrvHash, in the arena
  Arena arena;
  DerivationModuloScratch scratch;
};

DrvHashes *drv_hashes_new(Store *store) {
  DrvHashes *hashes = mem_alloc_zero(sizeof *hashes);
  hashes->store = store;
  pthread_mutex_init(&hashes->mutex, NULL);
  hashes->scratch = (DerivationModuloScratch)DERIVATION_MODULO_SCRATCH_INIT;
  return hashes;
}

void drv_hashes_free(DrvHashes *hashes) {
  if (!hashes) return;
  derivation_modulo_scratch_done(&hashes->scratch);
  map_done(&hashes->known);
  arena_done(&hashes->arena);
  pthread_mutex_destroy(&hashes->mutex);
  mem_free(hashes);
}

static const DerivationModulo *find(void *ctx, Span drv_path) {
  const DrvHashes *hashes = ctx;
  const DrvHash *known = map_get(&hashes->known, drv_path);
  return known ? &known->modulo : NULL;
}

// A derivation whose hash is wanted; it waits for those above it on the stack.
typedef struct Frame {
  Span path;
  Derivation drv;
  Arena arena;
} Frame;

typedef struct Stack {
  Frame *frames;
  size_t count, cap;
} Stack;

static void pop(Stack *stack) {
  arena_done(&stack->frames[--stack->count].arena);
}

static bool push(DrvHashes *hashes, Stack *stack, Span path, Err *err) {
  StorePath drv_path;
  MEM_RESERVE(stack->frames, stack->cap, stack->count + 1);
  Frame *frame = &stack->frames[stack->count++];
  *frame = (Frame){.arena = ARENA_INIT};
  frame->path = arena_dup(&frame->arena, path);
  return store_parse_path(hashes->store, path, &drv_path, err) &&
         drv_load_from_store(hashes->store, &drv_path, &frame->arena, &frame->drv, err);
}

// *ret_missing is empty when the hash is there.
static bool try_hash(DrvHashes *hashes, const Derivation *drv, bool mask_outputs, DerivationModulo *ret,
                     Span *ret_missing, Err *err) {
  DerivationModuloMemo memo = {find, hashes};
  Err missing = ERR_INIT;
  *ret_missing = (Span){"", 0};
  bool ok = derivation_modulo_hash(drv, mask_outputs, &memo, &hashes->scratch, ret, ret_missing, &missing);
  if (!ok && !ret_missing->len) return err_move(err, &missing);
  err_done(&missing);
  return true;
}

static void remember(DrvHashes *hashes, const Frame *frame, const DerivationModulo *modulo) {
  DrvHash *hash = ARENA_NEW(&hashes->arena, DrvHash);
  *hash = (DrvHash){*modulo, frame->drv.output_count && frame->drv.outputs[0].kind == DERIVATION_IMPURE};
  map_set(&hashes->known, frame->path, hash);
}

// Computes what `missing` needs, and it.
static bool fill(DrvHashes *hashes, Span missing, Err *err) {
  Stack stack = {0};
  bool ok = push(hashes, &stack, missing, err);
  while (ok && stack.count) {
    Frame *top = &stack.frames[stack.count - 1];
    DerivationModulo modulo;
    ok = try_hash(hashes, &top->drv, false, &modulo, &missing, err);
    if (ok && missing.len) ok = push(hashes, &stack, missing, err);
    else if (ok) {
      remember(hashes, top, &modulo);
      pop(&stack);
    }
  }
  while (stack.count) pop(&stack);
  mem_free(stack.frames);
  return ok;
}

bool drv_hashes_get(DrvHashes *hashes, const Derivation *drv, uint8_t ret_sha256[32], Err *err) {
  DerivationModulo modulo;
  Span missing;
  pthread_mutex_lock(&hashes->mutex);
  bool ok = try_hash(hashes, drv, true, &modulo, &missing, err);
  while (ok && missing.len) ok = fill(hashes, missing, err) && try_hash(hashes, drv, true, &modulo, &missing, err);
  pthread_mutex_unlock(&hashes->mutex);
  if (ok) memcpy(ret_sha256, modulo.sha256, sizeof modulo.sha256);
  return ok;
}

bool drv_hashes_is_impure(DrvHashes *hashes, Span drv_path) {
  pthread_mutex_lock(&hashes->mutex);
  const DrvHash *known = map_get(&hashes->known, drv_path);
  bool ret = known && known->is_impure;
  pthread_mutex_unlock(&hashes->mutex);
  return ret;
}
