// chunker_test.c: sizes in bounds, and changes stay local.
#include "castore/chunker.h"

#include "base/mem.h"
#include "harness.h"

enum { LEN = 4000000, CHUNKS = 4000 };

static size_t cut_all(const Chunker *chunker, Span data, size_t *ret_ends) {
  size_t count = 0, at = 0;
  while (at < data.len) {
    size_t len = chunker_cut(chunker, span_from(data, at));
    CHECK(len > 0 && len <= chunker->max_bytes);
    CHECK(len >= chunker->min_bytes || at + len == data.len);
    at += len;
    ret_ends[count++] = at;
  }
  return count;
}

TEST(sizes) {
  uint64_t rng = test_seed();
  Chunker chunker;
  static size_t ends[CHUNKS];
  chunker_init(&chunker, 16384);
  CHECK_EQ_INT(chunker.avg_bytes, 16384);
  char *data = mem_alloc(LEN);
  test_random_bytes(&rng, data, LEN);
  size_t count = cut_all(&chunker, span_make(data, LEN), ends);
  CHECK(LEN / count > 16384 * 3 / 4 && LEN / count < 16384 * 3 / 2);
  memset(data, 0, LEN); // no boundary anywhere
  CHECK_EQ_INT(cut_all(&chunker, span_make(data, LEN), ends), (LEN + 32767) / 32768);
  mem_free(data);
}

TEST(an_insertion_changes_few_chunks) {
  uint64_t rng = test_seed();
  Chunker chunker;
  static size_t before[CHUNKS], after[CHUNKS];
  chunker_init(&chunker, 16384);
  char *data = mem_alloc(LEN + 10), *copy = mem_alloc(LEN + 10);
  test_random_bytes(&rng, data, LEN);
  size_t at = LEN / 4 + (size_t)test_random_below(&rng, LEN / 2);
  memcpy(copy, data, at);
  memcpy(copy + at, "0123456789", 10);
  memcpy(copy + at + 10, data + at, LEN - at);
  size_t count = cut_all(&chunker, span_make(data, LEN), before),
         changed = cut_all(&chunker, span_make(copy, LEN + 10), after), same = 0;
  for (size_t i = 0, k = 0; i < count && k < changed;) { // boundaries at the same bytes
    size_t shifted = after[k] > at ? after[k] - 10 : after[k];
    if (before[i] == shifted) same++, i++, k++;
    else if (before[i] < shifted) i++;
    else k++;
  }
  CHECK(same + 8 >= count);
  mem_free(data);
  mem_free(copy);
}

TEST_MAIN()
