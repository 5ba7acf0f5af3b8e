// json_write_test.c: escaping, doubles and layout as nlohmann::json dumps them.
#include "harness.h"

#include <math.h>
#include <stdlib.h>

#include "formats/json_write.h"

static void check_string(Span in, const char *want) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  CHECK_OK(json_write_string(&out, in, &err), &err);
  CHECK_STR(buf_span(&out), want);
  buf_done(&out);
}

TEST(strings) {
  check_string(SPAN(""), "\"\"");
  check_string(SPAN("a\"b\\c/d\b\f\n\r\t\x01\x1f\x7f"), "\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  check_string(SPAN("nul\0x"), "\"nul\\u0000x\"");
  check_string(SPAN("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf"),
               "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\"");
}

TEST(invalid_utf8) {
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"\xff", "invalid UTF-8 byte at index 0: 0xFF"},
      {"a\x80", "invalid UTF-8 byte at index 1: 0x80"},
      {"\xc3z", "invalid UTF-8 byte at index 1: 0x7A"},
      {"\xc0\x80", "invalid UTF-8 byte at index 0: 0xC0"},
      {"\xed\xa0\x80", "invalid UTF-8 byte at index 1: 0xA0"},
      {"\xe0\x80\x80", "invalid UTF-8 byte at index 1: 0x80"},
      {"\xf4\x90\x80\x80", "invalid UTF-8 byte at index 1: 0x90"},
      {"\xf0\x9f\x98z", "invalid UTF-8 byte at index 3: 0x7A"},
      {"ab\xe2\x82", "incomplete UTF-8 string; last byte: 0x82"},
      {"\xc3", "incomplete UTF-8 string; last byte: 0xC3"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Err err = ERR_INIT;
    Buf out = BUF_INIT, want = BUF_INIT;
    CHECK(!json_write_string(&out, span_cstr(cases[i].text), &err));
    buf_printf(&want, "[json.exception.type_error.316] %s", cases[i].message);
    CHECK_SPAN(span_cstr(err_message(&err)), buf_span(&want));
    CHECK_EQ_INT(out.len, 0);
    err_done(&err);
    buf_done(&out);
    buf_done(&want);
  }
}

static void check_double(double value, const char *want) {
  Buf out = BUF_INIT;
  json_write_double(&out, value);
  CHECK_STR(buf_span(&out), want);
  buf_done(&out);
}

TEST(doubles) {
  check_double(0, "0.0");
  check_double(-0.0, "-0.0");
  check_double(1, "1.0");
  check_double(-1.5, "-1.5");
  check_double(0.1, "0.1");
  check_double(1e14, "100000000000000.0");
  check_double(1e15, "1e+15");
  check_double(1e17, "1e+17");
  check_double(123456789012345680.0, "1.2345678901234568e+17");
  check_double(0.0001, "0.0001");
  check_double(0.00001, "1e-05");
  check_double(1.5e-7, "1.5e-07");
  check_double(5e-324, "5e-324");
  check_double(2.2250738585072014e-308, "2.2250738585072014e-308");
  check_double(1.7976931348623157e308, "1.7976931348623157e+308");
  check_double(9007199254740993.0, "9.007199254740992e+15");
  check_double(NAN, "null");
  check_double(-INFINITY, "null");
}

// Where Grisu2 is not the shortest: the digits nlohmann gives, seen in Nix 2.26.3. A shortest printer would end one digit earlier.
TEST(doubles_of_grisu2) {
  check_double(1.935711334536144e+18, "1.9357113345361439e+18");
  check_double(6.195626866399892e-221, "6.1956268663998915e-221");
  check_double(20069280946989.062, "20069280946989.063");
  check_double(-291.5534575439045, "-291.55345754390453");
  check_double(-5.131116597422591e-36, "-5.1311165974225907e-36");
}

TEST(doubles_read_back) {
  uint64_t rng = test_seed();
  Buf out = BUF_INIT;
  for (int i = 0; i < 100000; i++) {
    uint64_t bits = test_random(&rng), again_bits;
    double value, again;
    if (i % 4 == 0) bits &= (uint64_t)0xfff << 52; // powers of two, where the gaps differ
    memcpy(&value, &bits, sizeof(value));
    if (!isfinite(value)) continue;
    buf_clear(&out);
    json_write_double(&out, value);
    again = strtod(buf_cstr(&out), NULL);
    memcpy(&again_bits, &again, sizeof(again));
    if (again_bits != bits) test_fail(__FILE__, __LINE__, "%a became %s", value, buf_cstr(&out));
  }
  buf_done(&out);
}

TEST(layout) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  JsonWrite json;
  json_write_init(&json, &out, 2);
  json_write_object_begin(&json);
  CHECK_OK(json_write_key(&json, SPAN("a"), &err), &err);
  json_write_array_begin(&json);
  json_write_int(&json, 1);
  json_write_raw(&json, SPAN("2"));
  json_write_array_end(&json);
  CHECK_OK(json_write_key(&json, SPAN("b"), &err), &err);
  json_write_object_begin(&json);
  json_write_object_end(&json);
  CHECK_OK(json_write_key(&json, SPAN("c"), &err), &err);
  json_write_array_begin(&json);
  json_write_array_end(&json);
  CHECK_OK(json_write_key(&json, SPAN("d"), &err), &err);
  json_write_bool(&json, true);
  json_write_object_end(&json);
  CHECK_STR(buf_span(&out), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": [],\n  \"d\": true\n}");
  buf_done(&out);
}

TEST_MAIN()
