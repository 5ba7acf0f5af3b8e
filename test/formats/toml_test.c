// toml_test.c: meaning, rules of definition, errors with their places, limits.
#include "harness.h"

#include <math.h>

#include "base/buf.h"
#include "formats/toml.h"

static Arena arena; // of the test's process

static const TomlValue *parse(const char *source) {
  Err err = ERR_INIT;
  const TomlValue *root = toml_parse(span_cstr(source), &arena, &err);
  if (!root) test_fail(__FILE__, __LINE__, "%s\n%s", source, err_message(&err));
  return root;
}

// The value behind a path "a.b.0".
static const TomlValue *get(const TomlValue *value, const char *path) {
  Span rest = span_cstr(path), part;
  while (rest.len) {
    (void)span_split(&rest, '.', &part);
    uint64_t index;
    if (value->kind == TOML_ARRAY) {
      CHECK(span_parse_u64(part, &index) && index < value->count);
      value = value->items[index];
    } else {
      CHECK_EQ_INT(value->kind, TOML_TABLE);
      value = toml_find(value, part);
      if (!value) test_fail(__FILE__, __LINE__, "no '%.*s' in '%s'", SPAN_ARG(part), path);
    }
  }
  return value;
}

static void check_text(const char *source, const char *want) {
  const TomlValue *value = get(parse(source), "x");
  CHECK(value->kind == TOML_STRING || value->kind >= TOML_OFFSET_DATE_TIME);
  CHECK_STR(value->text, want);
}

static void check_integer(const char *source, int64_t want) {
  const TomlValue *value = get(parse(source), "x");
  CHECK_EQ_INT(value->kind, TOML_INTEGER);
  CHECK_EQ_INT(value->integer, want);
}

static void check_error(Span source, const char *want) {
  Err err = ERR_INIT;
  CHECK_ERR(toml_parse(source, &arena, &err) != NULL, &err, ERR_SYNTAX, want);
}
#define CHECK_ERROR(source, want) check_error(span_cstr(source), want)

TEST(strings) {
  check_text("x = \"a\\tb\\u00e9\\U0001F600\\\"\\\\\"", "a\tb\xc3\xa9\xf0\x9f\x98\x80\"\\");
  check_text("x = 'C:\\n'", "C:\\n");
  check_text("x = \"\"", "");
  check_text("x = \"\"\"\nab\\\n   \n  c\n\"d\"\"\"\"\"", "abc\n\"d\"\"");
  check_text("x = '''\n'a'\n''''", "'a'\n'");
  const TomlValue *nul = get(parse("x = \"a\\u0000b\""), "x");
  CHECK_EQ_INT(nul->text.len, 3);
}

TEST(integers) {
  check_integer("x = +1_000", 1000);
  check_integer("x = -0", 0);
  check_integer("x = 0xDead_beef", 0xdeadbeef);
  check_integer("x = 0o755", 0755);
  check_integer("x = 0b1101", 13);
  check_integer("x = 9223372036854775807", INT64_MAX);
  check_integer("x = -9223372036854775808", INT64_MIN);
}

TEST(floats) {
  CHECK(get(parse("x = 6.626e-34"), "x")->floating == 6.626e-34);
  CHECK(get(parse("x = 1e06"), "x")->floating == 1e6);
  CHECK(get(parse("x = -inf"), "x")->floating == -INFINITY);
  CHECK(isnan(get(parse("x = +nan"), "x")->floating));
}

TEST(dates_and_times) {
  check_text("x = 1979-05-27 07:32:00z", "1979-05-27T07:32:00Z");
  check_text("x = 1979-05-27T00:32:00.1-07:00", "1979-05-27T00:32:00.100-07:00");
  check_text("x = 1979-05-27t00:32:00.12345678999", "1979-05-27T00:32:00.123456789");
  check_text("x = 1979-05-27T00:32:00.0+00:00", "1979-05-27T00:32:00Z");
  check_text("x = 1979-05-27 # date", "1979-05-27");
  check_text("x = 07:32:00.1234", "07:32:00.123400");
  CHECK_ERROR("x = 2021-02-29", "the day must be 1 to 28");
  CHECK_ERROR("x = 24:00:00", "the hour must be 0 to 23");
}

TEST(tables_and_arrays) {
  const TomlValue *root =
      parse("a.b = 1 # c\r\n\"q.r\".s = [ 1, [ 'x' ], # d\n { y.z = true }, ]\n[t]\nu = {}\n[t.v]\nw = 2\n"
            "[[l]]\nn = 1\n[l.m]\n[[l]]\n[[l.o]]\n[[l.o]]\np = 1");
  CHECK_EQ_INT(get(root, "a.b")->integer, 1);
  CHECK_EQ_INT(get(toml_find(root, SPAN("q.r")), "s.2.y.z")->boolean, true);
  CHECK_EQ_INT(get(root, "t.v.w")->integer, 2);
  CHECK_EQ_INT(get(root, "l")->count, 2);
  CHECK_EQ_INT(get(root, "l.0.m")->count, 0);
  CHECK_EQ_INT(get(root, "l.1.o.1.p")->integer, 1);
}

TEST(many_keys) {
  Buf source = BUF_INIT;
  for (int i = 0; i < 50000; i++) buf_printf(&source, "k%d = %d\n", i, i);
  const TomlValue *root = parse(buf_cstr(&source));
  CHECK_EQ_INT(root->count, 50000);
  CHECK_EQ_INT(get(root, "k49999")->integer, 49999);
  CHECK(toml_find(root, SPAN("k50000")) == NULL);
  buf_done(&source);
}

TEST(defined_twice) {
  CHECK_ERROR("a = 1\na = 2", "failed to insert a value, value already exists");
  CHECK_ERROR("[a]\n[a]", "failed to insert a table, table already defined");
  CHECK_ERROR("[a]\n[[a]]", "failed to insert an array of tables, value already exists");
  CHECK_ERROR("[[a]]\n[a]", "failed to insert a table, table already defined");
  CHECK_ERROR("a = []\n[[a]]", "failed to insert an array of tables, value already exists");
  CHECK_ERROR("a = {}\n[a.b]", "failed to insert a table, table already defined");
  CHECK_ERROR("a = {}\na.b = 1", "failed to insert a value, value already exists");
  CHECK_ERROR("a = { b.c = 1, b.c.d = 2 }", "failed to insert a value, value already exists");
  CHECK_ERROR("a.b = 1\n[a]", "failed to insert a table, table already defined");
  CHECK_ERROR("[a.b]\n[a]\nb.c = 1", "failed to insert a value, value already exists");
  CHECK_ERROR("a = 1\n[a.b]", "failed to insert a table, table already defined");
  (void)parse("[a.b]\n[a]\nc = 1");
  (void)parse("[a.b.c]\n[a]\nb.d = 1");
}

TEST(malformed) {
  CHECK_ERROR("a = 1\n\xc3\xa9 = 2", "\n 2 | \xc3\xa9 = 2\n   | ^-- expected alpha [a-zA-Z], digit [0-9], -, or _\n");
  CHECK_ERROR("\n\n\n\n\n\n\n\n\na = 1 b\n",
              "[error] toml::parse_table: newline (LF / CRLF) or EOF is expected\n --> fromTOML\n    |\n 10 | a = 1 b\n"
              "    |       ^-- here\n");
  CHECK_ERROR("x", "toml::parse_key_value_pair: invalid key value separator `=`");
  CHECK_ERROR("x = ", "bad format: unknown value appeared");
  CHECK_ERROR("x = 01", "bad integer: invalid digit after an integer");
  CHECK_ERROR("x = 1__0", "expected a digit");
  CHECK_ERROR("x = 1.", "expected a digit");
  CHECK_ERROR(
      "x = 9223372036854775808",
      "[error] toml::parse_dec_integer: too large integer: current max digits = 2^63\n --> fromTOML\n   |\n 1 | x = "
      "9223372036854775808\n   |                        ^-- must be < 2^63\n");
  CHECK_ERROR("x = 1e999", "failed to read floating point value");
  CHECK_ERROR("x = \"a\nb\"", "toml::parse_basic_string: invalid string format");
  CHECK_ERROR("x = \"\\e\"", "expected an escape");
  CHECK_ERROR("x = \"\\ud800\"", "U+D800 is not a Unicode scalar value");
  CHECK_ERROR("x = 1 y = 2", "toml::parse_table: newline (LF / CRLF) or EOF is expected");
  CHECK_ERROR("x = [1 2]", "toml::parse_array: expected value-separator `,` or closing `]`");
  CHECK_ERROR("x = {a = 1,}", "trailing comma is not allowed");
  CHECK_ERROR("x = {a = 1\n}", "expected value-separator `,` or closing `}`");
  CHECK_ERROR("[a", "toml::parse_file: invalid table key");
  CHECK_ERROR("# a\x01", "control character 0x01");
  CHECK_ERROR("x = \"\xff\"", "this is not UTF-8");
  CHECK_ERROR("x = \"\xed\xa0\x80\"", "this is not UTF-8");
  check_error(span_make("x = \"a\0b\"", 9), "control character 0x00");
}

TEST(depth_is_bounded) {
  static const char *const units[] = {"[", "{a=", "a."};
  for (size_t i = 0; i < ARRAY_LEN(units); i++) {
    Buf source = BUF_INIT;
    if (i < 2) buf_put_cstr(&source, "x = ");
    for (int n = 0; n < 100000; n++) buf_put_cstr(&source, units[i]);
    check_error(buf_span(&source), i < 2 ? "nested more than 1000 levels deep" : "more than 1000 parts");
    buf_done(&source);
  }
}

TEST_MAIN()
