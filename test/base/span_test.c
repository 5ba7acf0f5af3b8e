#include "base/span.h"

#include "base/mem.h"
#include "harness.h"

static const Span empty = {NULL, 0};

TEST(comparison) {
  CHECK(span_cmp(SPAN("a"), SPAN("b")) < 0);
  CHECK(span_cmp(SPAN("a"), SPAN("ab")) < 0);
  CHECK(span_cmp(SPAN("\xff"), SPAN("a")) > 0);
  CHECK_EQ_INT(span_cmp(empty, SPAN("")), 0);
  CHECK(span_eq(empty, SPAN("")));
  CHECK(span_has_prefix(SPAN("abc"), SPAN("ab")) && span_has_prefix(SPAN("abc"), empty));
  CHECK(!span_has_prefix(SPAN("a"), SPAN("ab")) && !span_has_suffix(SPAN("b"), SPAN("ab")));
  CHECK(span_has_suffix(SPAN("abc"), SPAN("bc")) && span_has_suffix(empty, empty));
}

TEST(searching) {
  CHECK_EQ_INT(span_find_char(SPAN("abcb"), 'b'), 1);
  CHECK_EQ_INT(span_rfind_char(SPAN("abcb"), 'b'), 3);
  CHECK(span_find_char(empty, 'b') == SIZE_MAX && span_rfind_char(SPAN("x"), 'b') == SIZE_MAX);
  CHECK_EQ_INT(span_find(SPAN("aab"), SPAN("ab")), 1);
  CHECK_EQ_INT(span_find(empty, empty), 0);
  CHECK(span_find(SPAN("ab"), SPAN("abc")) == SIZE_MAX);
}

TEST(parts_are_clamped) {
  CHECK_STR(span_sub(SPAN("abc"), 1, 1), "b");
  CHECK_STR(span_sub(SPAN("abc"), 2, SIZE_MAX), "c");
  CHECK_STR(span_from(SPAN("abc"), 7), "");
  CHECK_STR(span_trim(SPAN(" \t\r\n a b\v\f ")), "a b");
  CHECK_STR(span_trim(SPAN(" \n")), "");
}

TEST(splitting) {
  Span rest = SPAN("a::b"), head;
  CHECK(span_split(&rest, ':', &head));
  CHECK_STR(head, "a");
  CHECK(span_split(&rest, ':', &head));
  CHECK_STR(head, "");
  CHECK(!span_split(&rest, ':', &head));
  CHECK_STR(head, "b");
  CHECK_STR(rest, "");
}

TEST(numbers) {
  uint64_t u;
  int64_t i;
  CHECK(span_parse_u64(SPAN("18446744073709551615"), &u) && u == UINT64_MAX);
  CHECK(!span_parse_u64(SPAN("18446744073709551616"), &u));
  CHECK(!span_parse_u64(SPAN("99999999999999999999"), &u));
  CHECK(!span_parse_u64(SPAN(""), &u) && !span_parse_u64(SPAN("-1"), &u) && !span_parse_u64(SPAN("1 "), &u));
  CHECK(!span_parse_u64(SPAN("+1"), &u) && !span_parse_u64(SPAN("0x1"), &u));
  CHECK(span_parse_i64(SPAN("-9223372036854775808"), &i) && i == INT64_MIN);
  CHECK(span_parse_i64(SPAN("9223372036854775807"), &i) && i == INT64_MAX);
  CHECK(!span_parse_i64(SPAN("9223372036854775808"), &i) && !span_parse_i64(SPAN("-9223372036854775809"), &i));
  CHECK(!span_parse_i64(SPAN("-"), &i) && !span_parse_i64(SPAN("--1"), &i));
}

// Every bit of the input changes about half of the output's bits.
TEST(hash_mixes) {
  uint64_t rng = test_seed();
  char text[33];
  for (int round = 0; round < 200; round++) {
    size_t len = 1 + test_random_below(&rng, sizeof text);
    test_random_bytes(&rng, text, len);
    uint64_t before = span_hash(span_make(text, len));
    text[test_random_below(&rng, len)] ^= (char)(1 << test_random_below(&rng, 8));
    int changed = __builtin_popcountll(before ^ span_hash(span_make(text, len)));
    CHECK(changed >= 8 && changed <= 56);
  }
  CHECK(span_hash(SPAN("a")) != span_hash(SPAN("a\0")));
}

TEST(dup_ends_with_nul) {
  CLEANUP(mem_free_ptr) char *copy = span_dup(SPAN("ab"));
  CLEANUP(mem_free_ptr) char *nothing = span_dup(empty);
  CHECK_STR(span_cstr(copy), "ab");
  CHECK_STR(span_cstr(nothing), "");
}

TEST_MAIN()
