// digest_set.c: open addressing; digests are their own hash.
#include "castore/digest_set.h"

#include "base/mem.h"

#define DIGEST_SET_SLOT_LEN 33u

void digest_set_done(DigestSet *set) {
  mem_free(set->slots);
  *set = (DigestSet)DIGEST_SET_INIT;
}

// The slot that holds the digest, or the free one where it belongs.
static unsigned char *digest_set_slot(const DigestSet *set, const uint8_t *digest, unsigned char tag) {
  uint64_t head;
  memcpy(&head, digest, sizeof(head));
  for (size_t i = (size_t)head & (set->cap - 1);; i = (i + 1) & (set->cap - 1)) {
    unsigned char *slot = set->slots + i * DIGEST_SET_SLOT_LEN;
    if (slot[0] == 0 || (slot[0] == tag && memcmp(slot + 1, digest, 32) == 0)) return slot;
  }
}

static void digest_set_grow(DigestSet *set) {
  DigestSet old = *set;
  set->cap = old.cap ? old.cap * 2 : 1024;
  set->slots = mem_alloc_zero(set->cap * DIGEST_SET_SLOT_LEN);
  for (size_t i = 0; i < old.cap; i++) {
    const unsigned char *slot = old.slots + i * DIGEST_SET_SLOT_LEN;
    if (slot[0] != 0) memcpy(digest_set_slot(set, slot + 1, slot[0]), slot, DIGEST_SET_SLOT_LEN);
  }
  mem_free(old.slots);
}

bool digest_set_add(DigestSet *set, const CastoreDigest *digest, PackKind kind) {
  if (set->count * 2 >= set->cap) digest_set_grow(set);
  unsigned char tag = (unsigned char)(kind + 1);
  unsigned char *slot = digest_set_slot(set, digest->bytes, tag);
  if (slot[0] != 0) return false;
  slot[0] = tag;
  memcpy(slot + 1, digest->bytes, 32);
  set->count++;
  return true;
}

bool digest_set_has(const DigestSet *set, const CastoreDigest *digest, PackKind kind) {
  return set->cap > 0 && digest_set_slot(set, digest->bytes, (unsigned char)(kind + 1))[0] != 0;
}
