// work_pool_test.c: every item once, in a bounded window, with any number of threads.
#include "castore/work_pool.h"

#include "harness.h"

enum { ITEMS = 5000, WINDOW = 7 };

typedef struct Work {
  size_t started, released, max_ahead;
  unsigned char done[ITEMS];
} Work;

static void work(void *ctx, size_t item) {
  Work *state = ctx;
  size_t started = __atomic_add_fetch(&state->started, 1, __ATOMIC_SEQ_CST);
  size_t ahead = started - __atomic_load_n(&state->released, __ATOMIC_SEQ_CST);
  if (ahead > state->max_ahead) state->max_ahead = ahead;
  state->done[item]++;
}

TEST(all_items_in_order) {
  for (unsigned threads = 0; threads < 4; threads++) {
    static Work state;
    state = (Work){0};
    WorkPool *pool = work_pool_start(threads, ITEMS, WINDOW, work, &state);
    for (size_t i = 0; i < ITEMS; i++) {
      work_pool_wait(pool, i);
      CHECK_EQ_INT(state.done[i], 1);
      __atomic_add_fetch(&state.released, 1, __ATOMIC_SEQ_CST);
      work_pool_release(pool, i);
    }
    work_pool_free(pool);
    CHECK_EQ_INT(state.started, ITEMS);
    CHECK(state.max_ahead <= WINDOW + 1);
  }
}

TEST(stops_early) {
  static Work state;
  WorkPool *pool = work_pool_start(3, ITEMS, WINDOW, work, &state);
  work_pool_wait(pool, 0);
  work_pool_free(pool);
  CHECK(state.started <= WINDOW);
}

TEST_MAIN()
