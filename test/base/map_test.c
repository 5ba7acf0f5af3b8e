#include "base/map.h"

#include <stdio.h>

#include "harness.h"

TEST(set_get_remove) {
  Map map = MAP_INIT;
  int one = 1, two = 2;
  CHECK(map_get(&map, SPAN("a")) == NULL && !map_has(&map, SPAN("a")) && map_first(&map) == NULL);
  CHECK(map_remove(&map, SPAN("a")) == NULL);
  CHECK(map_set(&map, SPAN("a"), &one) == NULL);
  CHECK(map_set(&map, SPAN("a"), &two) == &one);
  CHECK(map_get(&map, SPAN("a")) == &two);
  CHECK(map_set(&map, SPAN(""), NULL) == NULL);
  CHECK(map_has(&map, SPAN("")) && map_get(&map, SPAN("")) == NULL);
  CHECK_EQ_INT(map.live_count, 2);
  CHECK(map_remove(&map, SPAN("a")) == &two);
  CHECK(!map_has(&map, SPAN("a")));
  CHECK_EQ_INT(map.live_count, 1);
  map_done(&map);
}

TEST(keys_are_copied_and_may_hold_nul) {
  Map map = MAP_INIT;
  char key[] = {'a', 0, 'b'};
  map_set(&map, span_make(key, 3), NULL);
  key[2] = 'c';
  CHECK(map_has(&map, span_make("a\0b", 3)));
  CHECK(!map_has(&map, span_make(key, 3)) && !map_has(&map, SPAN("a")));
  map_done(&map);
}

// Against a plain array of keys: the same members, values and insertion order, over random sets and removals.
TEST(agrees_with_a_list) {
  uint64_t rng = test_seed();
  enum { KEYS = 300, STEPS = 30000 };
  size_t order[KEYS], order_count = 0;
  uintptr_t values[KEYS] = {0};
  Map map = MAP_INIT;
  for (size_t step = 0; step < STEPS; step++) {
    size_t k = test_random_below(&rng, KEYS);
    char key[16];
    Span name = span_make(key, (size_t)snprintf(key, sizeof key, "key-%zu", k));
    if (test_random_below(&rng, 5) < 3) {
      uintptr_t value = 1 + test_random_below(&rng, 1000);
      CHECK_EQ_INT((uintptr_t)map_set(&map, name, (void *)value), values[k]);
      if (!values[k]) order[order_count++] = k;
      values[k] = value;
    } else {
      CHECK_EQ_INT((uintptr_t)map_remove(&map, name), values[k]);
      size_t kept = 0;
      for (size_t i = 0; i < order_count; i++)
        if (order[i] != k) order[kept++] = order[i];
      order_count = kept;
      values[k] = 0;
    }
    CHECK_EQ_INT(map.live_count, order_count);
    if (step % 100) continue;
    size_t seen = 0;
    for (MapEntry *entry = map_first(&map); entry; entry = map_next(&map, entry), seen++) {
      snprintf(key, sizeof key, "key-%zu", order[seen]);
      CHECK_STR(span_make(entry->key, entry->key_len), key);
      CHECK_EQ_INT((uintptr_t)entry->value, values[order[seen]]);
    }
    CHECK_EQ_INT(seen, order_count);
  }
  map_done(&map);
}

TEST(removal_during_a_walk) {
  Map map = MAP_INIT;
  char key[16];
  for (int i = 0; i < 100; i++) map_set(&map, span_make(key, (size_t)snprintf(key, sizeof key, "%d", i)), NULL);
  int seen = 0;
  for (MapEntry *entry = map_first(&map); entry; entry = map_next(&map, entry), seen++)
    map_remove(&map, span_make(entry->key, entry->key_len));
  CHECK_EQ_INT(seen, 100);
  CHECK_EQ_INT(map.live_count, 0);
  map_done(&map);
}

// Replacing keys for ever must not grow the table: removed entries are squeezed out.
TEST(removed_entries_are_reclaimed) {
  Map map = MAP_INIT;
  char key[32];
  for (int i = 0; i < 100000; i++) {
    map_set(&map, span_make(key, (size_t)snprintf(key, sizeof key, "%d", i)), NULL);
    if (i >= 10) map_remove(&map, span_make(key, (size_t)snprintf(key, sizeof key, "%d", i - 10)));
  }
  CHECK_EQ_INT(map.live_count, 10);
  CHECK(map.index_cap <= 64 && map.entry_cap <= 64);
  map_done(&map);
}

TEST_MAIN()
