// json_read_test.c: events, numbers, and the messages of nlohmann::json 3.11 as Nix 2.26.3 shows them.
#include "harness.h"

#include "formats/json_read.h"
#include "formats/json_write.h"

// Reads a document and writes it again, compactly; what comes out is a normal form.
static bool rewrite(Span text, Buf *out, Err *err) {
  JsonRead json;
  JsonWrite writer;
  bool ok = true;
  json_read_init(&json, text);
  json_write_init(&writer, out, 0);
  for (bool end = false; ok && !end;) {
    switch (json_read_next(&json, err)) {
    case JSON_ERROR: ok = false; break;
    case JSON_END: end = true; break;
    case JSON_NULL: json_write_null(&writer); break;
    case JSON_BOOL: json_write_bool(&writer, json.boolean); break;
    case JSON_INT: json_write_int(&writer, json.integer); break;
    case JSON_UINT: json_write_uint(&writer, json.uinteger); break;
    case JSON_FLOAT: json_write_float(&writer, json.number); break;
    case JSON_STRING: ok = json_write_str(&writer, json.string, err); break;
    case JSON_KEY: ok = json_write_key(&writer, json.string, err); break;
    case JSON_OBJECT_BEGIN: json_write_object_begin(&writer); break;
    case JSON_OBJECT_END: json_write_object_end(&writer); break;
    case JSON_ARRAY_BEGIN: json_write_array_begin(&writer); break;
    case JSON_ARRAY_END: json_write_array_end(&writer); break;
    }
  }
  json_read_done(&json);
  return ok;
}

static void check_rewrite(const char *text, const char *want) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  CHECK_OK(rewrite(span_cstr(text), &out, &err), &err);
  CHECK_STR(buf_span(&out), want);
  buf_done(&out);
}

TEST(values) {
  check_rewrite(" [ 1 , -2 , 3.0e0 , true , false , null , \"a\" , { } , [ ] ] ",
                "[1,-2,3.0,true,false,null,\"a\",{},[]]");
  check_rewrite("{\"b\":1,\"a\":{\"x\":[[]]},\"b\":2}", "{\"b\":1,\"a\":{\"x\":[[]]},\"b\":2}");
  check_rewrite("\xef\xbb\xbf 1", "1");
  check_rewrite("\"\\u00e9\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\ \xc3\xa9 \x7f\"",
                "\"\xc3\xa9\xf0\x9f\x98\x80/\\b\\f\\n\\r\\t\\\"\\\\ \xc3\xa9 \x7f\"");
  check_rewrite("\"\\uffff\\u0800\\u07ff\"", "\"\xef\xbf\xbf\xe0\xa0\x80\xdf\xbf\"");
  check_rewrite("1 ", "1");
}

TEST(numbers) {
  check_rewrite("[0,-0,-0.0,18446744073709551615,18446744073709551616,-9223372036854775808,-9223372036854775809]",
                "[0,0,-0.0,18446744073709551615,1.8446744073709552e+19,-9223372036854775808,-9.223372036854776e+18]");
  check_rewrite("[1E5,1e-5,0.1,1e14,1e15,123456789012345680.0,1e-400]",
                "[100000.0,1e-05,0.1,100000000000000.0,1e+15,1.2345678901234568e+17,0.0]");
}

TEST(null_byte_ends_input) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  CHECK_OK(rewrite(SPAN("1\0x"), &out, &err), &err);
  CHECK_STR(buf_span(&out), "1");
  CHECK_OK(rewrite(SPAN("\"a\\u0000b\""), &out, &err), &err);
  CHECK_STR(buf_span(&out), "1\"a\\u0000b\"");
  buf_done(&out);
}

#define AT "[json.exception.parse_error.101] parse error at "
static const struct {
  const char *text, *message;
} errors[] = {
    {"", AT "line 1, column 1: attempting to parse an empty input; check that your input string or stream contains the "
            "expected JSON"},
    {" ", AT
     "line 1, column 2: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"},
    {"\n", AT
     "line 2, column 1: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"},
    {"[", AT
     "line 1, column 2: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"},
    {"[1", AT "line 1, column 3: syntax error while parsing array - unexpected end of input; expected ']'"},
    {"[1 2]", AT "line 1, column 4: syntax error while parsing array - unexpected number literal; expected ']'"},
    {"{",
     AT "line 1, column 2: syntax error while parsing object key - unexpected end of input; expected string literal"},
    {"{1",
     AT "line 1, column 2: syntax error while parsing object key - unexpected number literal; expected string literal"},
    {"{\"a\"",
     AT "line 1, column 5: syntax error while parsing object separator - unexpected end of input; expected ':'"},
    {"{\"a\" 1}",
     AT "line 1, column 6: syntax error while parsing object separator - unexpected number literal; expected ':'"},
    {"{\"a\":", AT
     "line 1, column 6: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"},
    {"{\"a\":1", AT "line 1, column 7: syntax error while parsing object - unexpected end of input; expected '}'"},
    {"{\"a\":1 \"b\"}",
     AT "line 1, column 10: syntax error while parsing object - unexpected string literal; expected '}'"},
    {"{\"a\":1,}",
     AT "line 1, column 8: syntax error while parsing object key - unexpected '}'; expected string literal"},
    {"[1,]", AT "line 1, column 4: syntax error while parsing value - unexpected ']'; expected '[', '{', or a literal"},
    {"01", AT "line 1, column 2: syntax error while parsing value - unexpected number literal; expected end of input"},
    {"-", AT
     "line 1, column 2: syntax error while parsing value - invalid number; expected digit after '-'; last read: '-'"},
    {"-x", AT
     "line 1, column 2: syntax error while parsing value - invalid number; expected digit after '-'; last read: '-x'"},
    {"1.", AT
     "line 1, column 3: syntax error while parsing value - invalid number; expected digit after '.'; last read: '1.'"},
    {"1.x", AT
     "line 1, column 3: syntax error while parsing value - invalid number; expected digit after '.'; last read: '1.x'"},
    {"1e", AT "line 1, column 3: syntax error while parsing value - invalid number; expected '+', '-', or digit after "
              "exponent; last read: '1e'"},
    {"1e+", AT "line 1, column 4: syntax error while parsing value - invalid number; expected digit after exponent "
               "sign; last read: '1e+'"},
    {"1ex", AT "line 1, column 3: syntax error while parsing value - invalid number; expected '+', '-', or digit after "
               "exponent; last read: '1ex'"},
    {"tru", AT "line 1, column 4: syntax error while parsing value - invalid literal; last read: 'tru'"},
    {"trux", AT "line 1, column 4: syntax error while parsing value - invalid literal; last read: 'trux'"},
    {"nul", AT "line 1, column 4: syntax error while parsing value - invalid literal; last read: 'nul'"},
    {"x", AT "line 1, column 1: syntax error while parsing value - invalid literal; last read: 'x'"},
    {"\"abc", AT
     "line 1, column 5: syntax error while parsing value - invalid string: missing closing quote; last read: '\"abc'"},
    {"\"a\\x\"", AT "line 1, column 4: syntax error while parsing value - invalid string: forbidden character after "
                    "backslash; last read: '\"a\\x'"},
    {"\"\\u12\"", AT "line 1, column 6: syntax error while parsing value - invalid string: '\\u' must be followed by 4 "
                     "hex digits; last read: '\"\\u12\"'"},
    {"\"\\u12G4\"", AT "line 1, column 6: syntax error while parsing value - invalid string: '\\u' must be followed by "
                       "4 hex digits; last read: '\"\\u12G'"},
    {"\"\\ud800\"", AT "line 1, column 8: syntax error while parsing value - invalid string: surrogate U+D800..U+DBFF "
                       "must be followed by U+DC00..U+DFFF; last read: '\"\\ud800\"'"},
    {"\"\\ud800\\u0041\"", AT "line 1, column 13: syntax error while parsing value - invalid string: surrogate "
                              "U+D800..U+DBFF must be followed by U+DC00..U+DFFF; last read: '\"\\ud800\\u0041'"},
    {"\"\\udc00\"", AT "line 1, column 7: syntax error while parsing value - invalid string: surrogate U+DC00..U+DFFF "
                       "must follow U+D800..U+DBFF; last read: '\"\\udc00'"},
    {"\"\\ud800x\"", AT "line 1, column 8: syntax error while parsing value - invalid string: surrogate U+D800..U+DBFF "
                        "must be followed by U+DC00..U+DFFF; last read: '\"\\ud800x'"},
    {"\"a\nb\"", AT "line 2, column 0: syntax error while parsing value - invalid string: control character U+000A "
                    "(LF) must be escaped to \\u000A or \\n; last read: '\"a<U+000A>'"},
    {"\"\t\"", AT "line 1, column 2: syntax error while parsing value - invalid string: control character U+0009 (HT) "
                  "must be escaped to \\u0009 or \\t; last read: '\"<U+0009>'"},
    {"[1]]", AT "line 1, column 4: syntax error while parsing value - unexpected ']'; expected end of input"},
    {"1 1", AT "line 1, column 3: syntax error while parsing value - unexpected number literal; expected end of input"},
    {"1e400", "[json.exception.out_of_range.406] number overflow parsing '1e400'"},
    {"-1e400", "[json.exception.out_of_range.406] number overflow parsing '-1e400'"},
    {"[1e400]", "[json.exception.out_of_range.406] number overflow parsing '1e400'"},
    {"{\"a\":\n\n  tru}", AT
     "line 3, column 6: syntax error while parsing value - invalid literal; last read: '\"a\":<U+000A><U+000A>  tru}'"},
    {"\n\n  @",
     AT "line 3, column 3: syntax error while parsing value - invalid literal; last read: '<U+000A><U+000A>  @'"},
    {"nan", AT "line 1, column 2: syntax error while parsing value - invalid literal; last read: 'na'"},
    {"NaN", AT "line 1, column 1: syntax error while parsing value - invalid literal; last read: 'N'"},
    {"[1,\n2,\n}",
     AT "line 3, column 1: syntax error while parsing value - unexpected '}'; expected '[', '{', or a literal"},
    {"[[[", AT
     "line 1, column 4: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"},
    {"{\"a\":{\"b\":[", AT
     "line 1, column 12: syntax error while parsing value - unexpected end of input; expected '[', '{', or a literal"},
    {"\\", AT "line 1, column 1: syntax error while parsing value - invalid literal; last read: '\\'"},
    {"\"\\", AT "line 1, column 3: syntax error while parsing value - invalid string: forbidden character after "
                "backslash; last read: '\"\\'"},
    {"\"\\\"", AT
     "line 1, column 4: syntax error while parsing value - invalid string: missing closing quote; last read: '\"\\\"'"},
    {"/", AT "line 1, column 1: syntax error while parsing value - invalid literal; last read: '/'"},
    {"[/*x*/1]", AT "line 1, column 2: syntax error while parsing value - invalid literal; last read: '[/'"},
    {"\"\001\"", AT "line 1, column 2: syntax error while parsing value - invalid string: control character U+0001 "
                    "(SOH) must be escaped to \\u0001; last read: '\"<U+0001>'"},
    {"'a'", AT "line 1, column 1: syntax error while parsing value - invalid literal; last read: '''"},
    {"{\"a\":1]", AT "line 1, column 7: syntax error while parsing object - unexpected ']'; expected '}'"},
    {"[1}", AT "line 1, column 3: syntax error while parsing array - unexpected '}'; expected ']'"},
    {",", AT "line 1, column 1: syntax error while parsing value - unexpected ','; expected '[', '{', or a literal"},
    {":", AT "line 1, column 1: syntax error while parsing value - unexpected ':'; expected '[', '{', or a literal"},
    {"]", AT "line 1, column 1: syntax error while parsing value - unexpected ']'; expected '[', '{', or a literal"},
    {"}", AT "line 1, column 1: syntax error while parsing value - unexpected '}'; expected '[', '{', or a literal"},
    {"{,}", AT "line 1, column 2: syntax error while parsing object key - unexpected ','; expected string literal"},
    {"[,1]", AT "line 1, column 2: syntax error while parsing value - unexpected ','; expected '[', '{', or a literal"},
    {"truefalse",
     AT "line 1, column 9: syntax error while parsing value - unexpected false literal; expected end of input"},
    {"\"a\" \"b\"",
     AT "line 1, column 7: syntax error while parsing value - unexpected string literal; expected end of input"},
    {"{\"a\":1,,\"b\":2}",
     AT "line 1, column 8: syntax error while parsing object key - unexpected ','; expected string literal"},
    {"\"\xff\"", AT
     "line 1, column 2: syntax error while parsing value - invalid string: ill-formed UTF-8 byte; last read: '\"\xff'"},
    {"\"\xed\xa0\x80\"", AT "line 1, column 3: syntax error while parsing value - invalid string: ill-formed UTF-8 "
                            "byte; last read: '\"\xed\xa0'"},
    {"\xef\xbb", AT "line 1, column 3: syntax error while parsing value - invalid BOM; must be 0xEF 0xBB 0xBF if "
                    "given; last read: '\xef\xbb'"},
};

TEST(messages) {
  for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
    Err err = ERR_INIT;
    Buf out = BUF_INIT;
    CHECK(!rewrite(span_cstr(errors[i].text), &out, &err));
    CHECK_STR(span_cstr(err_message(&err)), errors[i].message);
    err_done(&err);
    buf_done(&out);
  }
}

TEST(depth_is_limited_not_recursive) {
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  JsonRead json;
  JsonEvent event;
  buf_put_repeat(&text, '[', 5000000);
  json_read_init(&json, buf_span(&text));
  while ((event = json_read_next(&json, &err)) == JSON_ARRAY_BEGIN) {
  }
  CHECK_EQ_INT(json.depth, 5000000);
  CHECK(event == JSON_ERROR);
  err_done(&err);
  json_read_done(&json);
  buf_put_repeat(&text, '[', JSON_READ_DEPTH_MAX);
  json_read_init(&json, buf_span(&text));
  while ((event = json_read_next(&json, &err)) == JSON_ARRAY_BEGIN) {
  }
  CHECK(event == JSON_ERROR && err.kind == ERR_LIMIT);
  CHECK_EQ_INT(json.depth, JSON_READ_DEPTH_MAX);
  err_done(&err);
  json_read_done(&json);
  buf_done(&text);
}

TEST(skip_and_expect) {
  Err err = ERR_INIT;
  JsonRead json;
  json_read_init(&json, SPAN("{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":[],\"e\":\"x\"}"));
  CHECK_OK(json_read_expect(&json, JSON_OBJECT_BEGIN, "the document", &err), &err);
  for (int i = 0; i < 2; i++) {
    CHECK_OK(json_read_expect(&json, JSON_KEY, "a key", &err), &err);
    CHECK_OK(json_read_skip(&json, json_read_next(&json, &err), &err), &err);
  }
  CHECK_OK(json_read_expect(&json, JSON_KEY, "a key", &err), &err);
  CHECK_STR(json.string, "e");
  CHECK_ERR(json_read_expect(&json, JSON_UINT, "field 'e'", &err), &err, ERR_SYNTAX,
            "field 'e' should be an integer but is a string");
  json_read_done(&json);
}

// Random nesting of random values round-trips.
static void put_random(uint64_t *rng, JsonWrite *writer, int depth) {
  Err err = ERR_INIT;
  switch (test_random_below(rng, depth > 5 ? 5 : 7)) {
  case 0: json_write_null(writer); return;
  case 1: json_write_bool(writer, test_random(rng) & 1); return;
  case 2: json_write_int(writer, -(int64_t)test_random_below(rng, 1u << 31)); return;
  case 3: {
    uint64_t bits = test_random(rng);
    double value;
    memcpy(&value, &bits, sizeof(value));
    json_write_float(writer, __builtin_isfinite(value) ? value : 0.5);
    return;
  }
  case 4: {
    static const char *const strings[] = {"",         "a",        "\n\"\\",
                                          "\x01\x1f", "\xc3\xa9", "long enough to cross words \t\xf0\x9f\x98\x80"};
    CHECK_OK(json_write_str(writer, span_cstr(strings[test_random_below(rng, ARRAY_LEN(strings))]), &err), &err);
    return;
  }
  case 5:
    json_write_array_begin(writer);
    for (uint64_t n = test_random_below(rng, 5); n; n--) put_random(rng, writer, depth + 1);
    json_write_array_end(writer);
    return;
  default:
    json_write_object_begin(writer);
    for (uint64_t n = test_random_below(rng, 5); n; n--) {
      CHECK_OK(json_write_key(writer, SPAN("k\xc3\xa9y"), &err), &err);
      put_random(rng, writer, depth + 1);
    }
    json_write_object_end(writer);
  }
}

TEST(random_documents_round_trip) {
  uint64_t rng = test_seed();
  for (int i = 0; i < 2000; i++) {
    Err err = ERR_INIT;
    Buf text = BUF_INIT, again = BUF_INIT, pretty = BUF_INIT, third = BUF_INIT;
    JsonWrite writer;
    uint64_t start = rng;
    json_write_init(&writer, &text, 0);
    put_random(&rng, &writer, 0);
    json_write_init(&writer, &pretty, 2);
    put_random(&start, &writer, 0);
    CHECK_OK(rewrite(buf_span(&text), &again, &err), &err);
    CHECK_SPAN(buf_span(&again), buf_span(&text));
    CHECK_OK(rewrite(buf_span(&pretty), &third, &err), &err);
    CHECK_SPAN(buf_span(&third), buf_span(&text));
    buf_done(&text);
    buf_done(&again);
    buf_done(&pretty);
    buf_done(&third);
  }
}

TEST_MAIN()
