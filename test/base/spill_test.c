// spill_test.c: text stays where it was put, in memory and in the file, also where there can be no file.
#include <stdlib.h>

#include "harness.h"

#include "base/buf.h"
#include "base/spill.h"

#define COUNT 3000

static void text_of(unsigned i, Buf *ret) {
  buf_clear(ret);
  buf_printf(ret, "%u:", i);
  buf_put_repeat(ret, (char)('a' + i % 26), (i * 7919) % 4000);
}

static void fill_and_check(Spill *spill) {
  static Span spans[COUNT];
  Buf text = BUF_INIT;
  for (unsigned i = 0; i < COUNT; i++) {
    text_of(i, &text);
    spans[i] = spill_dup(spill, buf_span(&text));
  }
  spill_release(spill);
  for (unsigned i = 0; i < COUNT; i++) {
    text_of(i, &text);
    CHECK(span_eq(spans[i], buf_span(&text)));
    CHECK_EQ_INT(spans[i].data[spans[i].len], 0);
  }
  buf_done(&text);
}

TEST(text_in_a_file) {
  Spill spill;
  spill_init(&spill, NULL, 100000);
  unsetenv("TMPDIR"); // /var/tmp
  fill_and_check(&spill);
  if (spill_has_file(&spill)) CHECK(spill.released >= spill.used - ((size_t)1 << 20));
  spill_done(&spill);
}

TEST(text_in_memory) {
  Spill spill;
  spill_init(&spill, "/nonexistent", 100000);
  fill_and_check(&spill);
  CHECK(!spill_has_file(&spill));
  spill_done(&spill);
  spill_init(&spill, "/dev/shm", 0); // a file there would be memory, too
  fill_and_check(&spill);
  spill_done(&spill);
}

TEST(nothing_yet) {
  Spill spill;
  spill_init(&spill, NULL, SPILL_MEMORY_BYTES);
  CHECK_STR(spill_dup(&spill, SPAN("")), "");
  CHECK_STR(spill_dup(&spill, SPAN("x")), "x");
  CHECK(!spill_has_file(&spill));
  spill_done(&spill);
}

TEST_MAIN()
