#include "base/arena.h"

#include "harness.h"

// Sizes around the chunk limits: everything is aligned, apart, and keeps its content.
TEST(objects_are_apart_and_aligned) {
  uint64_t rng = test_seed();
  enum { COUNT = 2000 };
  static unsigned char *objects[COUNT];
  static size_t sizes[COUNT];
  Arena arena = ARENA_INIT;
  for (size_t i = 0; i < COUNT; i++) {
    sizes[i] = test_random_below(&rng, test_random_below(&rng, 50) == 0 ? 200000 : 200);
    objects[i] = arena_alloc(&arena, sizes[i]);
    CHECK_EQ_INT((uintptr_t)objects[i] % 8, 0);
    memset(objects[i], (int)(i & 0xff), sizes[i]);
  }
  for (size_t i = 0; i < COUNT; i++)
    for (size_t k = 0; k < sizes[i]; k++) CHECK_EQ_INT(objects[i][k], i & 0xff);
  arena_done(&arena);
  CHECK(arena.chunks == NULL && arena.next == NULL);
}

TEST(a_large_object_does_not_waste_the_chunk) {
  Arena arena = ARENA_INIT;
  CHECK(arena_alloc(&arena, 0) != NULL);
  char *first = arena_alloc(&arena, 8);
  arena_alloc(&arena, 1 << 20);
  CHECK(arena_alloc(&arena, 8) == first + 8);
  arena_done(&arena);
}

TEST(every_occurrence_is_replaced) {
  Arena arena = ARENA_INIT;
  CHECK_STR(arena_replace(&arena, SPAN("a.b..c"), SPAN("."), SPAN("--")), "a--b----c");
  CHECK_STR(arena_replace(&arena, SPAN("aaa"), SPAN("aa"), SPAN("b")), "ba");
  Span text = SPAN("nothing");
  CHECK(arena_replace(&arena, text, SPAN("x"), SPAN("y")).data == text.data);
  arena_done(&arena);
}

TEST(copies_end_with_nul) {
  Arena arena = ARENA_INIT;
  Span copy = arena_dup(&arena, SPAN("abcdefgh"));
  CHECK_STR(copy, "abcdefgh");
  CHECK_EQ_INT(copy.data[copy.len], 0);
  CHECK_EQ_INT(arena_dup(&arena, (Span){NULL, 0}).len, 0);
  CHECK_STR(span_cstr(arena_printf(&arena, "%d-%s", 7, "x")), "7-x");
  arena_done(&arena);
}

TEST_MAIN()
