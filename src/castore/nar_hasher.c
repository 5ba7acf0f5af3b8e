// nar_hasher.c: SHA-256 on a thread of its own.
#include "castore/nar_hasher.h"

#include <pthread.h>

#include "base/mem.h"
#include "formats/hash.h"

#define NAR_HASHER_RING 4u
#define NAR_HASHER_SPACE_MIN ((size_t)64 << 10)

struct NarHasher {
  HashSha256 hash;
  uint64_t size_bytes;
  char *buffers[NAR_HASHER_RING]; // owned, made on demand
  size_t lens[NAR_HASHER_RING];
  size_t filling; // number of the buffer being filled; slot is number % NAR_HASHER_RING
  bool has_thread;
  pthread_t thread;

  pthread_mutex_t mutex;
  pthread_cond_t changed;
  size_t filled, hashed; // buffers handed over, and done
  bool end;
};

static void *nar_hasher_main(void *arg) {
  NarHasher *hasher = arg;
  pthread_mutex_lock(&hasher->mutex);
  for (;;) {
    while (hasher->hashed == hasher->filled && !hasher->end) pthread_cond_wait(&hasher->changed, &hasher->mutex);
    if (hasher->hashed == hasher->filled) break;
    size_t slot = hasher->hashed % NAR_HASHER_RING;
    pthread_mutex_unlock(&hasher->mutex);
    hash_sha256_update(&hasher->hash, hasher->buffers[slot], hasher->lens[slot]);
    pthread_mutex_lock(&hasher->mutex);
    hasher->hashed++;
    pthread_cond_signal(&hasher->changed);
  }
  pthread_mutex_unlock(&hasher->mutex);
  return NULL;
}

NarHasher *nar_hasher_new(void) {
  NarHasher *hasher = mem_alloc_zero(sizeof(*hasher));
  hash_sha256_init(&hasher->hash);
  pthread_mutex_init(&hasher->mutex, NULL);
  pthread_cond_init(&hasher->changed, NULL);
  return hasher;
}

static size_t *nar_hasher_len(NarHasher *hasher) {
  return &hasher->lens[hasher->filling % NAR_HASHER_RING];
}

static void nar_hasher_hand_over(NarHasher *hasher) {
  if (!hasher->has_thread) hasher->has_thread = pthread_create(&hasher->thread, NULL, nar_hasher_main, hasher) == 0;
  if (!hasher->has_thread) {
    hash_sha256_update(&hasher->hash, hasher->buffers[hasher->filling % NAR_HASHER_RING], *nar_hasher_len(hasher));
    *nar_hasher_len(hasher) = 0;
    return;
  }
  pthread_mutex_lock(&hasher->mutex);
  hasher->filled++;
  pthread_cond_signal(&hasher->changed);
  hasher->filling++;
  while (hasher->filling - hasher->hashed >= NAR_HASHER_RING) pthread_cond_wait(&hasher->changed, &hasher->mutex);
  pthread_mutex_unlock(&hasher->mutex);
  *nar_hasher_len(hasher) = 0;
}

char *nar_hasher_space(NarHasher *hasher, size_t *ret_cap) {
  if (NAR_HASHER_BUFFER_BYTES - *nar_hasher_len(hasher) < NAR_HASHER_SPACE_MIN) nar_hasher_hand_over(hasher);
  size_t slot = hasher->filling % NAR_HASHER_RING;
  if (!hasher->buffers[slot]) hasher->buffers[slot] = mem_alloc(NAR_HASHER_BUFFER_BYTES);
  *ret_cap = NAR_HASHER_BUFFER_BYTES - hasher->lens[slot];
  return hasher->buffers[slot] + hasher->lens[slot];
}

void nar_hasher_commit(NarHasher *hasher, size_t len) {
  *nar_hasher_len(hasher) += len;
  hasher->size_bytes += len;
}

void nar_hasher_put(NarHasher *hasher, Span data) {
  while (data.len > 0) {
    size_t cap;
    char *space = nar_hasher_space(hasher, &cap);
    size_t n = data.len < cap ? data.len : cap;
    memcpy(space, data.data, n);
    nar_hasher_commit(hasher, n);
    data = span_from(data, n);
  }
}

static void nar_hasher_join(NarHasher *hasher) {
  if (!hasher->has_thread) return;
  pthread_mutex_lock(&hasher->mutex);
  hasher->end = true;
  pthread_cond_signal(&hasher->changed);
  pthread_mutex_unlock(&hasher->mutex);
  pthread_join(hasher->thread, NULL);
  hasher->has_thread = false;
}

void nar_hasher_finish(NarHasher *hasher, uint8_t ret_sha256[32], uint64_t *ret_size_bytes) {
  nar_hasher_join(hasher);
  size_t slot = hasher->filling % NAR_HASHER_RING;
  if (hasher->buffers[slot]) hash_sha256_update(&hasher->hash, hasher->buffers[slot], hasher->lens[slot]);
  hash_sha256_final(&hasher->hash, ret_sha256);
  *ret_size_bytes = hasher->size_bytes;
}

void nar_hasher_free(NarHasher *hasher) {
  if (!hasher) return;
  nar_hasher_join(hasher);
  for (size_t i = 0; i < NAR_HASHER_RING; i++) mem_free(hasher->buffers[i]);
  pthread_mutex_destroy(&hasher->mutex);
  pthread_cond_destroy(&hasher->changed);
  mem_free(hasher);
}
