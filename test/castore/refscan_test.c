// refscan_test.c: the search agrees with a naive one, however the stream is cut.
#include "castore/refscan.h"

#include "base/mem.h"
#include "harness.h"

static const char alphabet[] = "0123456789abcdfghijklmnpqrsvwxyz";

static void random_hash(uint64_t *rng, char *ret) {
  for (size_t i = 0; i < REFSCAN_LEN; i++) ret[i] = alphabet[test_random_below(rng, 32)];
}

TEST(every_split_point) {
  uint64_t rng = test_seed();
  char hash[REFSCAN_LEN], text[100];
  random_hash(&rng, hash);
  Span needle = span_make(hash, REFSCAN_LEN);
  RefscanNeedles *needles = refscan_needles_new(&needle, 1);
  for (size_t at = 0; at + REFSCAN_LEN <= sizeof(text); at++) {
    memset(text, 'a', sizeof(text)); // alphabet characters all around
    memcpy(text + at, hash, REFSCAN_LEN);
    for (size_t cut = 0; cut <= sizeof(text); cut++)
      for (size_t step = 1; step < 40; step += 13) {
        unsigned char found[1] = {0};
        Refscan scan;
        refscan_init(&scan, needles, found);
        refscan_feed(&scan, span_make(text, cut));
        for (size_t i = cut; i < sizeof(text); i += step)
          refscan_feed(&scan, span_make(text + i, step < sizeof(text) - i ? step : sizeof(text) - i));
        CHECK(found[0]);
      }
  }
  refscan_needles_free(needles);
}

TEST(agrees_with_naive_search) {
  uint64_t rng = test_seed();
  enum { COUNT = 50, LEN = 5000 };
  char hashes[COUNT][REFSCAN_LEN];
  Span spans[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    random_hash(&rng, hashes[i]);
    spans[i] = span_make(hashes[i], REFSCAN_LEN);
  }
  RefscanNeedles *needles = refscan_needles_new(spans, COUNT);
  CHECK_EQ_INT(refscan_needles_count(needles), COUNT);
  for (unsigned round = 0; round < 200; round++) {
    char *text = mem_alloc(LEN);
    for (size_t i = 0; i < LEN; i++)
      text[i] = test_random_below(&rng, 50) ? alphabet[test_random_below(&rng, 32)] : '/';
    for (unsigned k = 0; k < 10; k++) {
      // whole needles, and ones that are cut short
      size_t len = test_random_below(&rng, 2) ? REFSCAN_LEN : 31;
      memcpy(text + test_random_below(&rng, LEN - REFSCAN_LEN), hashes[test_random_below(&rng, COUNT)], len);
    }
    unsigned char found[COUNT] = {0};
    Refscan scan;
    refscan_init(&scan, needles, found);
    for (size_t at = 0; at < LEN;) {
      size_t n = 1 + test_random_below(&rng, 200);
      if (n > LEN - at) n = LEN - at;
      refscan_feed(&scan, span_make(text + at, n));
      at += n;
    }
    for (size_t i = 0; i < COUNT; i++) CHECK_EQ_INT(found[i], span_find(span_make(text, LEN), spans[i]) != SIZE_MAX);
    mem_free(text);
  }
  refscan_needles_free(needles);
}

TEST(streams_do_not_join) {
  Span needle = SPAN("0123456789abcdfghijklmnpqrsvwxyz");
  RefscanNeedles *needles = refscan_needles_new(&needle, 1);
  unsigned char found[1] = {0};
  Refscan scan;
  refscan_init(&scan, needles, found);
  refscan_feed(&scan, span_sub(needle, 0, 20));
  refscan_reset(&scan);
  refscan_feed(&scan, span_from(needle, 20));
  CHECK_EQ_INT(found[0], 0);
  refscan_needles_free(needles);
}

TEST(no_needles) {
  Refscan scan;
  refscan_init(&scan, NULL, NULL);
  refscan_feed(&scan, SPAN("0123456789abcdfghijklmnpqrsvwxyz0123456789"));
}

TEST_MAIN()
