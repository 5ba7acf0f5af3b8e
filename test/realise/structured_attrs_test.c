#include "realise/structured_attrs.h"

#include "harness.h"

static void check_shell(const char *json, const char *want) {
  Arena arena = ARENA_INIT;
  Buf out = BUF_INIT;
  Err err = ERR_INIT;
  JsonTree tree;
  CHECK_OK(json_tree_parse(span_cstr(json), &arena, &tree, &err), &err);
  structured_attrs_format_shell(&tree, &out);
  CHECK_STR(buf_span(&out), want);
  buf_done(&out);
  arena_done(&arena);
}

// The expected texts are what C++ Nix 2.26 writes.
TEST(simple_values) {
  check_shell("{\"s\":\"it's\",\"n\":null,\"t\":true,\"f\":false,\"i\":42,\"m\":-7}",
              "declare f=\ndeclare i=42\ndeclare m=-7\ndeclare n=''\ndeclare s='it'\\''s'\ndeclare t=1\n");
}

TEST(numbers_are_c_ints) {
  check_shell("{\"a\":1.5,\"b\":2.0,\"c\":4294967297,\"d\":2147483648,\"e\":1e300}",
              "declare b=2\ndeclare c=1\ndeclare d=-2147483648\ndeclare e=-2147483648\n");
}

TEST(lists_and_sets_of_simple_values) {
  check_shell(
      "{\"l\":[\"a b\",1,null,true],\"e\":[],\"o\":{\"k'\":\"v\",\"x\":2},\"eo\":{}}",
      "declare -a e=()\ndeclare -A eo=()\ndeclare -a l=('a b' 1 '' 1 )\ndeclare -A o=(['k'\\''']='v' ['x']=2 )\n");
}

TEST(what_bash_cannot_hold_is_left_out) {
  check_shell("{\"a-b\":1,\"1a\":1,\"\":1,\"n\":[[1]],\"m\":{\"x\":{}},\"f\":[1.5],\"ok\":\"\"}", "declare ok=''\n");
}
TEST_MAIN()
