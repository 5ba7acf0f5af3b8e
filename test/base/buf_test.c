#include "base/buf.h"

#include <stdio.h>

#include "harness.h"

TEST(pieces_add_up) {
  Buf buf = BUF_INIT;
  buf_put_cstr(&buf, "a");
  buf_put_char(&buf, 'b');
  buf_put_span(&buf, SPAN("cd"));
  buf_put_repeat(&buf, '-', 3);
  buf_put_repeat(&buf, 'x', 0);
  buf_printf(&buf, "%05d|%s", 42, "end");
  CHECK_STR(buf_span(&buf), "abcd---00042|end");
  CHECK_STR(span_cstr(buf_cstr(&buf)), "abcd---00042|end");
  buf_done(&buf);
  CHECK(buf.data == NULL && buf.len == 0 && buf.cap == 0);
}

// A printf that needs exactly the room that is left, one less, and one more.
TEST(printf_at_the_edge_of_the_room) {
  for (int len = 0; len < 300; len++) {
    Buf buf = BUF_INIT;
    buf_put_cstr(&buf, "1234567");
    buf_printf(&buf, "%*s", len, "");
    CHECK_EQ_INT(buf.len, 7 + len);
    for (size_t i = 7; i < buf.len; i++) CHECK(buf.data[i] == ' ');
    buf_done(&buf);
  }
}

TEST(put_i64_agrees_with_printf) {
  uint64_t rng = test_seed();
  for (int i = 0; i < 3000; i++) {
    int64_t value = (int64_t)(test_random(&rng) >> test_random_below(&rng, 64));
    if (i == 0) value = INT64_MIN;
    if (i == 1) value = INT64_MAX;
    if (i % 2) value = (int64_t)(0 - (uint64_t)value);
    Buf buf = BUF_INIT;
    buf_put_i64(&buf, value);
    char want[32];
    snprintf(want, sizeof want, "%lld", (long long)value);
    CHECK_STR(buf_span(&buf), want);
    buf_done(&buf);
  }
}

TEST(u64_is_little_endian) {
  Buf buf = BUF_INIT;
  buf_put_u64le(&buf, 0x0102030405060708);
  CHECK_STR(buf_span(&buf), "\x08\x07\x06\x05\x04\x03\x02\x01");
  buf_done(&buf);
}

TEST(take_empties) {
  Buf buf = BUF_INIT;
  CLEANUP(mem_free_ptr) char *nothing = buf_take(&buf);
  CHECK_STR(span_cstr(nothing), "");
  buf_put_cstr(&buf, "text");
  CLEANUP(mem_free_ptr) char *text = buf_take(&buf);
  CHECK_STR(span_cstr(text), "text");
  CHECK(buf.data == NULL && buf.len == 0);
}

// One byte at a time costs a constant number of growths per doubling.
TEST(growth_is_geometric) {
  Buf buf = BUF_INIT;
  size_t growth_count = 0;
  for (size_t i = 0; i < 1 << 20; i++) {
    size_t cap = buf.cap;
    buf_put_char(&buf, 'x');
    growth_count += buf.cap != cap;
  }
  CHECK(growth_count < 40);
  buf_done(&buf);
}

TEST_MAIN()
