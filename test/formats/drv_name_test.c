// drv_name_test.c: results of builtins.parseDrvName, compareVersions and splitVersion of C++ Nix.
#include "harness.h"

#include "formats/drv_name.h"

TEST(parse) {
  static const char *const cases[][3] = {
      {"foo-1.2", "foo", "1.2"},
      {"foo", "foo", ""},
      {"foo-bar", "foo-bar", ""},
      {"foo-bar-", "foo-bar-", ""},
      {"foo-", "foo-", ""},
      {"-1", "", "1"},
      {"foo--1", "foo", "-1"},
      {"foo-1-2", "foo", "1-2"},
      {"a-b-9c", "a-b", "9c"},
      {"foo-\xc3\xa9", "foo", "\xc3\xa9"},
      {"nix-0.12pre12876", "nix", "0.12pre12876"},
      {"", "", ""},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Span name, version;
    drv_name_parse(span_cstr(cases[i][0]), &name, &version);
    CHECK_STR(name, cases[i][1]);
    CHECK_STR(version, cases[i][2]);
  }
}

TEST(components) {
  static const char *const cases[][2] = {
      {"", ""},     {"1.2.3", "1 2 3 "},           {"1a2", "1 a 2 "}, {"1..2--x", "1 2 x "}, {"pre1-", "pre 1 "},
      {"....", ""}, {"2.3pre12x", "2 3 pre 12 x "}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    char joined[64] = "";
    size_t len = 0;
    Span rest = span_cstr(cases[i][0]), part;
    while ((part = drv_name_next_component(&rest)).len) {
      memcpy(joined + len, part.data, part.len);
      len += part.len;
      joined[len++] = ' ';
    }
    CHECK_STR(span_make(joined, len), cases[i][1]);
  }
}

TEST(versions) {
  static const struct {
    const char *a, *b;
    int order;
  } cases[] = {
      {"1.0", "2.3", -1},
      {"2.1", "2.3", -1},
      {"2.3", "2.3", 0},
      {"2.5", "2.3", 1},
      {"3.1", "2.3", 1},
      {"2.3.1", "2.3", 1},
      {"2.3.1", "2.3a", 1},
      {"2.3pre1", "2.3", -1},
      {"2.3pre3", "2.3pre12", -1},
      {"2.3a", "2.3c", -1},
      {"2.3pre1", "2.3c", -1},
      {"2.3pre1", "2.3q", -1},
      {"", "", 0},
      {"1.", "1", 0},
      {"1", "1.0", -1},
      {"2147483648", "2147483649", -1},
      {"99999999999", "2147483647", -1},
      {"99999999999", "88888888888", 1},
      {"1-pre", "1", -1},
      {"1a", "1", 1},
      {"a", "1", -1},
      {"1.2-3", "1.2.3", 0},
      {"010", "10", 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Span a = span_cstr(cases[i].a), b = span_cstr(cases[i].b);
    CHECK_EQ_INT(drv_name_compare_versions(a, b), cases[i].order);
    CHECK_EQ_INT(drv_name_compare_versions(b, a), -cases[i].order);
  }
}

TEST_MAIN()
