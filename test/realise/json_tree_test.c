#include "realise/json_tree.h"

#include "harness.h"

static void check_text(const char *text, const char *want) {
  Arena arena = ARENA_INIT;
  Buf out = BUF_INIT;
  Err err = ERR_INIT;
  JsonTree tree;
  CHECK_OK(json_tree_parse(span_cstr(text), &arena, &tree, &err), &err);
  CHECK_OK(json_tree_format(&tree, &out, &err), &err);
  CHECK_STR(buf_span(&out), want);
  buf_done(&out);
  arena_done(&arena);
}

TEST(members_are_sorted_and_the_last_of_equals_counts) {
  check_text("{ \"b\": 1, \"a\": [true, null], \"b\": 2 }", "{\"a\":[true,null],\"b\":2}");
  check_text("{\"z\":{\"y\":{},\"x\":[]},\"a\":-5,\"m\":1.5}", "{\"a\":-5,\"m\":1.5,\"z\":{\"x\":[],\"y\":{}}}");
  check_text("[{\"b\":1,\"a\":2},[[]],\"\\u00e9\\n\",18446744073709551615]",
             "[{\"a\":2,\"b\":1},[[]],\"\xc3\xa9\\n\",18446744073709551615]");
  check_text("\"x\"", "\"x\"");
}

TEST(random_order_gives_the_same_tree) {
  uint64_t rng = test_seed();
  Buf text = BUF_INIT, want = BUF_INIT;
  bool used[26] = {0};
  buf_put_char(&text, '{');
  for (int i = 0; i < 26;) {
    uint64_t letter = test_random_below(&rng, 26);
    if (used[letter]) continue;
    used[letter] = true;
    buf_printf(&text, "%s\"%c\":%llu", i++ ? "," : "", (int)('a' + letter), (unsigned long long)letter);
  }
  buf_put_char(&text, '}');
  buf_put_char(&want, '{');
  for (int i = 0; i < 26; i++) buf_printf(&want, "%s\"%c\":%d", i ? "," : "", 'a' + i, i);
  buf_put_char(&want, '}');
  check_text(buf_cstr(&text), buf_cstr(&want));
  buf_done(&text);
  buf_done(&want);
}

TEST(members_are_found_and_replaced) {
  Arena arena = ARENA_INIT;
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  JsonTree tree;
  CHECK_OK(json_tree_parse(SPAN("{\"b\":1}"), &arena, &tree, &err), &err);
  CHECK(!json_tree_get(&tree, SPAN("a")));
  CHECK_EQ_INT(json_tree_get(&tree, SPAN("b"))->uinteger, 1);
  json_tree_set(&tree, &arena, SPAN("c"), json_tree_string(SPAN("x")));
  json_tree_set(&tree, &arena, SPAN("a"), json_tree_string(SPAN("y")));
  json_tree_set(&tree, &arena, SPAN("b"), json_tree_string(SPAN("z")));
  CHECK_OK(json_tree_format(&tree, &out, &err), &err);
  CHECK_STR(buf_span(&out), "{\"a\":\"y\",\"b\":\"z\",\"c\":\"x\"}");
  CHECK(!json_tree_get(json_tree_get(&tree, SPAN("a")), SPAN("a")));
  buf_done(&out);
  arena_done(&arena);
}

TEST(bad_documents_are_errors) {
  static const char *const texts[] = {"", "{", "[1,", "{\"a\" 1}", "nul", "{}x", "{\"a\":}", "[1 2]"};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    Arena arena = ARENA_INIT;
    Err err = ERR_INIT;
    JsonTree tree;
    CHECK_ERR(json_tree_parse(span_cstr(texts[i]), &arena, &tree, &err), &err, ERR_SYNTAX, "parse error");
    arena_done(&arena);
  }
  Buf deep = BUF_INIT;
  buf_put_repeat(&deep, '[', JSON_TREE_DEPTH_MAX + 10);
  Arena arena = ARENA_INIT;
  Err err = ERR_INIT;
  JsonTree tree;
  CHECK_ERR(json_tree_parse(buf_span(&deep), &arena, &tree, &err), &err, ERR_LIMIT, "levels deep");
  arena_done(&arena);
  buf_done(&deep);
}
TEST_MAIN()
