// derivation_diff_test.c: differences of derivations: which there are, and which only follow from others.
#include "harness.h"

#include "formats/derivation_parse.h"
#include "realise/derivation_diff.h"

#define H1 "11111111111111111111111111111111"
#define H2 "22222222222222222222222222222222"
#define H3 "33333333333333333333333333333333"
#define H4 "44444444444444444444444444444444"

static Derivation parse(const char *text, Arena *arena) {
  Derivation drv;
  Err err = ERR_INIT;
  bool ok = derivation_parse(span_cstr(text), SPAN("x"), STORE_PATH_DIR, arena, &drv, &err);
  if (!ok) test_note("%s", err_message(&err));
  CHECK(ok);
  return drv;
}

// "field zlib: a -> b (derived)" for each change.
static Span describe(const char *before, const char *after, Arena *arena) {
  Derivation a = parse(before, arena), b = parse(after, arena);
  DerivationChange *changes;
  size_t count;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  derivation_diff_find(&a, &b, arena, &changes, &count);
  for (size_t i = 0; i < count; i++) {
    static const char *const kinds[] = {"", "source ", "input "};
    const DerivationChange *change = &changes[i];
    buf_printf(&text, "%s%.*s", kinds[change->kind], SPAN_ARG(change->field));
    if (!change->had) buf_put_cstr(&text, " added");
    if (!change->has) buf_put_cstr(&text, " removed");
    buf_put_cstr(&text, change->derived ? " (derived)\n" : "\n");
  }
  return arena_dup(arena, buf_span(&text));
}

#define DRV(out, inputs, srcs, builder, args, env)                                                             \
  "Derive([(\"out\",\"/nix/store/" out "-x\",\"\",\"\")],[" inputs "],[" srcs "],\"s\",\"" builder "\",[" args \
  "],[" env "])"
#define ENV(name, value) "(\"" name "\",\"" value "\")"

TEST(equal_ones) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  const char *text = DRV(H1, "", "", "/b", "\"-c\"", ENV("out", "/nix/store/" H1 "-x"));
  CHECK_STR(describe(text, text, &arena), "");
}

TEST(fields) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  CHECK_STR(
      describe(
          DRV(H1, "", "", "/b", "\"1\",\"2\"", ENV("a", "1") "," ENV("b", "2") "," ENV("out", "/nix/store/" H1 "-x")),
          DRV(H2, "", "", "/c", "\"1\"", ENV("b", "3") "," ENV("c", "4") "," ENV("out", "/nix/store/" H2 "-x")),
          &arena),
      "builder\nargument 2 removed\nattribute a removed\nattribute b\nattribute c added\n");
}

TEST(what_follows_from_inputs) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  const char *before = DRV(H1, "(\"/nix/store/" H2 "-zlib-1.drv\",[\"out\"])", "\"/nix/store/" H2 "-src\"", "/b", "",
                           ENV("d", "-L/nix/store/" H2 "-zlib-1/lib") "," ENV("s", "/nix/store/" H2 "-src"));
  CHECK_STR(describe(before,
                     DRV(H1, "(\"/nix/store/" H3 "-zlib-1.drv\",[\"out\"])", "\"/nix/store/" H3 "-src\"", "/b", "",
                         ENV("d", "-L/nix/store/" H4 "-zlib-1/lib") "," ENV("s", "/nix/store/" H3 "-src")),
                     &arena),
            "attribute d (derived)\nattribute s (derived)\nsource src\ninput zlib-1\n");
  // Another version of the input: its name in paths follows, too.
  CHECK_STR(describe(before,
                     DRV(H1, "(\"/nix/store/" H3 "-zlib-2.drv\",[\"out\"])", "\"/nix/store/" H2 "-src\"", "/b", "",
                         ENV("d", "-L/nix/store/" H4 "-zlib-2/lib") "," ENV("s", "/nix/store/" H2 "-src")),
                     &arena),
            "attribute d (derived)\ninput zlib-2\n");
  // Other text beside the path is a change of its own.
  CHECK_STR(describe(before,
                     DRV(H1, "(\"/nix/store/" H3 "-zlib-2.drv\",[\"out\"])", "\"/nix/store/" H2 "-src\"", "/b", "",
                         ENV("d", "-L/nix/store/" H4 "-zlib-2/lib64") "," ENV("s", "/nix/store/" H2 "-src")),
                     &arena),
            "attribute d\ninput zlib-2\n");
}

TEST(structured_attributes) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  CHECK_STR(describe(DRV(H1, "", "", "/b", "", ENV("__json", "{\\\"a\\\":1,\\\"b\\\":[\\\"x\\\"]}")),
                     DRV(H1, "", "", "/b", "", ENV("__json", "{\\\"b\\\":[\\\"x\\\",\\\"y\\\"],\\\"c\\\":true}")),
                     &arena),
            "attribute a removed\nattribute b\nattribute c added\n");
}

TEST(hashes) {
  CHECK(derivation_diff_same_but_hashes(SPAN("a /nix/store/" H1 "-x b"), SPAN("a /nix/store/" H2 "-x b")));
  CHECK(!derivation_diff_same_but_hashes(SPAN("a /nix/store/" H1 "-x b"), SPAN("a /nix/store/" H2 "-x c")));
  CHECK(!derivation_diff_same_but_hashes(SPAN("a" H1 "-x"), SPAN("a" H2 "-x")));
  CHECK(derivation_diff_same_but_hashes(SPAN(""), SPAN("")));
}

TEST(formatting) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  derivation_diff_format(SPAN("a b c d"), SPAN("a x y d"), 4, "  ", &text);
  CHECK_STR(buf_span(&text), "  - b\n  - c\n  + x\n  + y\n");
  buf_clear(&text);
  derivation_diff_format(SPAN("1\n2\n3"), SPAN("1\n3"), 4, "", &text);
  CHECK_STR(buf_span(&text), "- 2\n");
  buf_clear(&text);
  derivation_diff_format(SPAN(""), SPAN("1 2 3 4 5 6"), 2, "", &text);
  CHECK_STR(buf_span(&text), "+ 1\n+ 2\n+ … 4 more\n");
}

TEST_MAIN()
