// refscan.c: the search for hash parts.
#include "castore/refscan.h"

#include "base/mem.h"

// nixbase32: digits and lower-case letters without e, o, t, u.
static const unsigned char refscan_alphabet[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['f'] = 1, ['g'] = 1,
    ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

struct RefscanNeedles {
  size_t count;
  char (*texts)[REFSCAN_LEN]; // owned
  uint32_t *slots;            // owned; needle number + 1, 0 empty; linear probing
  size_t slot_mask;
};

// Hash parts are uniformly distributed, so their own bytes are the hash; multiplying spreads the five significant bits
// of each character.
static size_t refscan_slot(const RefscanNeedles *needles, const char *text) {
  uint64_t head;
  memcpy(&head, text, sizeof(head));
  return (size_t)((head * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & needles->slot_mask;
}

RefscanNeedles *refscan_needles_new(const Span *texts, size_t count) {
  RefscanNeedles *needles = mem_alloc_zero(sizeof(*needles));
  size_t slot_count = 16;
  while (slot_count < count * 2) slot_count *= 2;
  needles->count = count;
  needles->texts = mem_alloc_array(count ? count : 1, sizeof(*needles->texts));
  needles->slots = mem_alloc_zero(slot_count * sizeof(*needles->slots));
  needles->slot_mask = slot_count - 1;
  for (size_t i = 0; i < count; i++) {
    memcpy(needles->texts[i], texts[i].data, REFSCAN_LEN);
    size_t slot = refscan_slot(needles, needles->texts[i]);
    while (needles->slots[slot] != 0) slot = (slot + 1) & needles->slot_mask;
    needles->slots[slot] = (uint32_t)i + 1;
  }
  return needles;
}

void refscan_needles_free(RefscanNeedles *needles) {
  if (!needles) return;
  mem_free(needles->texts);
  mem_free(needles->slots);
  mem_free(needles);
}

size_t refscan_needles_count(const RefscanNeedles *needles) {
  return needles ? needles->count : 0;
}

static void refscan_lookup(const Refscan *scan, const char *text) {
  const RefscanNeedles *needles = scan->needles;
  for (size_t slot = refscan_slot(needles, text); needles->slots[slot] != 0; slot = (slot + 1) & needles->slot_mask) {
    size_t i = needles->slots[slot] - 1;
    if (memcmp(needles->texts[i], text, REFSCAN_LEN) == 0) __atomic_store_n(&scan->found[i], 1, __ATOMIC_RELAXED);
  }
}

// Looks at every window that lies wholly in `data`.
static void refscan_windows(const Refscan *scan, const char *data, size_t len) {
  size_t start = 0; // of the window
  size_t known = 0; // this many bytes from `start` are known to be in the alphabet
  while (start + REFSCAN_LEN <= len) {
    size_t i = start + REFSCAN_LEN;
    while (i > start + known && refscan_alphabet[(unsigned char)data[i - 1]]) i--;
    if (i > start + known) { // data[i - 1] is not in the alphabet: no window may contain it
      start = i;
      known = 0;
      continue;
    }
    refscan_lookup(scan, data + start);
    start++;
    known = REFSCAN_LEN - 1;
  }
}

void refscan_init(Refscan *scan, const RefscanNeedles *needles, unsigned char *found) {
  *scan = (Refscan){.needles = refscan_needles_count(needles) ? needles : NULL, .found = found};
}

void refscan_reset(Refscan *scan) {
  scan->tail_len = 0;
}

void refscan_feed(Refscan *scan, Span data) {
  if (!scan->needles || data.len == 0) return;
  if (scan->tail_len > 0) { // windows that begin in the tail
    char joint[2 * REFSCAN_LEN];
    size_t head = data.len < REFSCAN_LEN - 1 ? data.len : REFSCAN_LEN - 1;
    memcpy(joint, scan->tail, scan->tail_len);
    memcpy(joint + scan->tail_len, data.data, head);
    refscan_windows(scan, joint, scan->tail_len + head);
  }
  refscan_windows(scan, data.data, data.len);
  const size_t keep = REFSCAN_LEN - 1;
  if (data.len >= keep) {
    memcpy(scan->tail, data.data + data.len - keep, keep);
    scan->tail_len = keep;
    return;
  }
  size_t old = scan->tail_len + data.len > keep ? keep - data.len : scan->tail_len;
  memmove(scan->tail, scan->tail + scan->tail_len - old, old);
  memcpy(scan->tail + old, data.data, data.len);
  scan->tail_len = old + data.len;
}
