// json_read.c: the JSON reader: a lexer that counts characters as nlohmann's does (errors say how far it had read, which includes
// the end of the input as one character), and a state machine over tokens.
#include "formats/json_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "formats/json_plain.h"

enum State {
  ST_VALUE,       // a value has to come
  ST_FIRST,       // after '[': a value or ']'
  ST_FIRST_KEY,   // after '{': a key or '}'
  ST_COLON,       // after a key
  ST_AFTER_VALUE, // ',' or the end of what is open
  ST_FINISHED,
};

typedef enum Token {
  T_END,
  T_ERROR, // json->token_error says why
  T_TRUE,
  T_FALSE,
  T_NULL,
  T_STRING,
  T_UINT,
  T_INT,
  T_FLOAT,
  T_OBJECT_BEGIN,
  T_OBJECT_END,
  T_ARRAY_BEGIN,
  T_ARRAY_END,
  T_COLON,
  T_COMMA,
} Token;

static const char *token_name(Token token) {
  switch (token) {
  case T_END: return "end of input";
  case T_ERROR: return "<parse error>";
  case T_TRUE: return "true literal";
  case T_FALSE: return "false literal";
  case T_NULL: return "null literal";
  case T_STRING: return "string literal";
  case T_UINT:
  case T_INT:
  case T_FLOAT: return "number literal";
  case T_OBJECT_BEGIN: return "'{'";
  case T_OBJECT_END: return "'}'";
  case T_ARRAY_BEGIN: return "'['";
  case T_ARRAY_END: return "']'";
  case T_COLON: return "':'";
  case T_COMMA: return "','";
  }
  return "";
}

void json_read_init(JsonRead *json, Span text) {
  *json = (JsonRead){.text = text, .state = ST_VALUE, .scratch = BUF_INIT};
}

void json_read_done(JsonRead *json) {
  mem_free(json->stack);
  buf_done(&json->scratch);
  *json = (JsonRead){.state = ST_FINISHED};
}

// Characters. `pos` counts what was read; at the end of the input one more than there is.

static int get(JsonRead *json) {
  size_t at = json->pos++;
  return at < json->text.len ? (uint8_t)json->text.data[at] : -1;
}

static int peek(const JsonRead *json) {
  return json->pos < json->text.len ? (uint8_t)json->text.data[json->pos] : -1;
}

static bool is_digit(int c) {
  return c >= '0' && c <= '9';
}

static Token token_error(JsonRead *json, const char *why) {
  json->token_error = why;
  return T_ERROR;
}

// Literals and numbers.

static Token read_literal(JsonRead *json, const char *rest, Token token) {
  for (; *rest; rest++)
    if (get(json) != *rest) return token_error(json, "invalid literal");
  return token;
}

// Takes digits; at least one.
static bool read_digits(JsonRead *json) {
  if (!is_digit(get(json))) return false;
  while (is_digit(peek(json))) json->pos++;
  return true;
}

// The grammar; true in *ret_is_float for a fraction or exponent. NULL or the error.
static const char *scan_number(JsonRead *json, int first, bool *ret_is_float) {
  *ret_is_float = false;
  if (first == '-' && !is_digit(first = get(json))) return "invalid number; expected digit after '-'";
  if (first != '0')
    while (is_digit(peek(json))) json->pos++;
  if (peek(json) == '.') {
    *ret_is_float = true;
    json->pos++;
    if (!read_digits(json)) return "invalid number; expected digit after '.'";
  }
  if (peek(json) == 'e' || peek(json) == 'E') {
    *ret_is_float = true;
    json->pos++;
    int c = get(json);
    bool is_sign = c == '+' || c == '-';
    if (is_sign && !read_digits(json)) return "invalid number; expected digit after exponent sign";
    if (!is_sign && !is_digit(c)) return "invalid number; expected '+', '-', or digit after exponent";
    while (is_digit(peek(json))) json->pos++;
  }
  return NULL;
}

static Token convert_float(JsonRead *json, Span literal) {
  buf_clear(&json->scratch);
  buf_put_span(&json->scratch, literal);
  json->number = strtod(buf_cstr(&json->scratch), NULL); // the locale's decimal point is '.': nothing calls setlocale
  return T_FLOAT;
}

#define SHORT_NUMBER_DIGITS 18u // cannot overflow

// Most numbers are short integers. False, with nothing taken, for others.
static bool read_short_number(JsonRead *json, int first) {
  if (first == '-' || first == '0') return false;
  const uint8_t *text = (const uint8_t *)json->text.data;
  size_t at = json->pos,
         end = json->text.len - at > SHORT_NUMBER_DIGITS - 1 ? at + SHORT_NUMBER_DIGITS - 1 : json->text.len;
  uint64_t value = (uint64_t)(first - '0');
  for (; at < end && is_digit(text[at]); at++) value = value * 10 + (uint64_t)(text[at] - '0');
  if (at == json->text.len || is_digit(text[at]) || text[at] == '.' || text[at] == 'e' || text[at] == 'E') return false;
  json->pos = at;
  json->uinteger = value;
  return true;
}

static Token read_number(JsonRead *json, int first) {
  bool is_float;
  json->token_start = json->pos - 1;
  if (read_short_number(json, first)) return T_UINT;
  const char *why = scan_number(json, first, &is_float);
  if (why) return token_error(json, why);
  Span literal = span_sub(json->text, json->token_start, json->pos - json->token_start);
  if (!is_float && first != '-' && span_parse_u64(literal, &json->uinteger)) return T_UINT;
  if (!is_float && first == '-') {
    uint64_t magnitude;
    if (span_parse_u64(span_from(literal, 1), &magnitude) && magnitude <= (uint64_t)INT64_MAX + 1) {
      json->integer = (int64_t)(0 - magnitude);
      return T_INT;
    }
  }
  return convert_float(json, literal);
}

// Strings.

#define CONTROL(code, name, escape) \
  "invalid string: control character U+" code " (" name ") must be escaped to \\u" code escape

static const char *const control_errors[32] = {
    CONTROL("0000", "NUL", ""),       CONTROL("0001", "SOH", ""),       CONTROL("0002", "STX", ""),
    CONTROL("0003", "ETX", ""),       CONTROL("0004", "EOT", ""),       CONTROL("0005", "ENQ", ""),
    CONTROL("0006", "ACK", ""),       CONTROL("0007", "BEL", ""),       CONTROL("0008", "BS", " or \\b"),
    CONTROL("0009", "HT", " or \\t"), CONTROL("000A", "LF", " or \\n"), CONTROL("000B", "VT", ""),
    CONTROL("000C", "FF", " or \\f"), CONTROL("000D", "CR", " or \\r"), CONTROL("000E", "SO", ""),
    CONTROL("000F", "SI", ""),        CONTROL("0010", "DLE", ""),       CONTROL("0011", "DC1", ""),
    CONTROL("0012", "DC2", ""),       CONTROL("0013", "DC3", ""),       CONTROL("0014", "DC4", ""),
    CONTROL("0015", "NAK", ""),       CONTROL("0016", "SYN", ""),       CONTROL("0017", "ETB", ""),
    CONTROL("0018", "CAN", ""),       CONTROL("0019", "EM", ""),        CONTROL("001A", "SUB", ""),
    CONTROL("001B", "ESC", ""),       CONTROL("001C", "FS", ""),        CONTROL("001D", "GS", ""),
    CONTROL("001E", "RS", ""),        CONTROL("001F", "US", "")};

// After a byte >= 0x80 was taken: the bytes that follow it.
static bool read_utf8_tail(JsonRead *json, int first) {
  int low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  int high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  int count = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
  if (count == 0) return false;
  for (; count; count--, low = 0x80, high = 0xbf) {
    int c = get(json);
    if (c < low || c > high) return false;
  }
  return true;
}

static int hex_value(int c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Four digits; -1 when they are not.
static int read_code_unit(JsonRead *json) {
  int unit = 0;
  for (int i = 0; i < 4; i++) {
    int value = hex_value(get(json));
    if (value < 0) return -1;
    unit = unit << 4 | value;
  }
  return unit;
}

static void put_code_point(Buf *buf, uint32_t c) {
  if (c < 0x80) {
    buf_put_char(buf, (char)c);
  } else if (c < 0x800) {
    buf_put_char(buf, (char)(0xc0 | c >> 6));
    buf_put_char(buf, (char)(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    buf_put_char(buf, (char)(0xe0 | c >> 12));
    buf_put_char(buf, (char)(0x80 | (c >> 6 & 0x3f)));
    buf_put_char(buf, (char)(0x80 | (c & 0x3f)));
  } else {
    buf_put_char(buf, (char)(0xf0 | c >> 18));
    buf_put_char(buf, (char)(0x80 | (c >> 12 & 0x3f)));
    buf_put_char(buf, (char)(0x80 | (c >> 6 & 0x3f)));
    buf_put_char(buf, (char)(0x80 | (c & 0x3f)));
  }
}

// After "\u". NULL or the error.
static const char *read_unicode_escape(JsonRead *json) {
  static const char four_digits[] = "invalid string: '\\u' must be followed by 4 hex digits";
  static const char no_low[] = "invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF";
  int unit = read_code_unit(json);
  if (unit < 0) return four_digits;
  if (unit >= 0xdc00 && unit <= 0xdfff) return "invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF";
  if (unit < 0xd800 || unit > 0xdbff) {
    put_code_point(&json->scratch, (uint32_t)unit);
    return NULL;
  }
  if (get(json) != '\\' || get(json) != 'u') return no_low;
  int low = read_code_unit(json);
  if (low < 0) return four_digits;
  if (low < 0xdc00 || low > 0xdfff) return no_low;
  put_code_point(&json->scratch, 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
  return NULL;
}

// After '\\'. NULL or the error.
static const char *read_escape(JsonRead *json) {
  int c = get(json);
  switch (c) {
  case '"':
  case '\\':
  case '/': break;
  case 'b': c = '\b'; break;
  case 'f': c = '\f'; break;
  case 'n': c = '\n'; break;
  case 'r': c = '\r'; break;
  case 't': c = '\t'; break;
  case 'u': return read_unicode_escape(json);
  default: return "invalid string: forbidden character after backslash";
  }
  buf_put_char(&json->scratch, (char)c);
  return NULL;
}

// After the opening quote. Without escapes the result is a piece of the text.
static Token read_string(JsonRead *json) {
  size_t run = json->pos; // start of what is not in the scratch yet
  bool escaped = false;
  json->token_start = json->pos - 1;
  buf_clear(&json->scratch);
  while (true) {
    json->pos = json_plain_end(json->text, json->pos);
    int c = get(json);
    if (c == '"') break;
    if (c < 0) return token_error(json, "invalid string: missing closing quote");
    if (c < 0x20) return token_error(json, control_errors[c]);
    if (c >= 0x80) {
      if (!read_utf8_tail(json, c)) return token_error(json, "invalid string: ill-formed UTF-8 byte");
      continue;
    }
    escaped = true;
    buf_put_span(&json->scratch, span_sub(json->text, run, json->pos - 1 - run));
    const char *why = read_escape(json);
    if (why) return token_error(json, why);
    run = json->pos;
  }
  Span tail = span_sub(json->text, run, json->pos - 1 - run);
  if (escaped) buf_put_span(&json->scratch, tail);
  json->string = escaped ? buf_span(&json->scratch) : tail;
  json->has_escapes = escaped;
  return T_STRING;
}

// Tokens.

static bool skip_bom(JsonRead *json) {
  if (peek(json) != 0xef) return true;
  json->pos++;
  return get(json) == 0xbb && get(json) == 0xbf;
}

static Token next_token(JsonRead *json) {
  if (json->pos == 0 && !skip_bom(json)) return token_error(json, "invalid BOM; must be 0xEF 0xBB 0xBF if given");
  size_t at = json->pos;
  const uint8_t *text = (const uint8_t *)json->text.data;
  while (at < json->text.len && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r')) at++;
  int c = at < json->text.len ? text[at] : -1;
  json->pos = at + 1;
  switch (c) {
  case -1:
  case 0: return T_END; // nlohmann takes a NUL byte for the end
  case '{': return T_OBJECT_BEGIN;
  case '}': return T_OBJECT_END;
  case '[': return T_ARRAY_BEGIN;
  case ']': return T_ARRAY_END;
  case ':': return T_COLON;
  case ',': return T_COMMA;
  case 't': return read_literal(json, "rue", T_TRUE);
  case 'f': return read_literal(json, "alse", T_FALSE);
  case 'n': return read_literal(json, "ull", T_NULL);
  case '"': return read_string(json);
  default: break;
  }
  if (c == '-' || is_digit(c)) return read_number(json, c);
  return token_error(json, "invalid literal");
}

// Errors.

// `looked_ahead`: the token ended where the next one, a line feed, was seen. nlohmann takes that back without the columns before it.
static void put_position(const JsonRead *json, bool looked_ahead, Buf *message) {
  size_t lines = 0, line_start = 0, end = json->pos < json->text.len ? json->pos : json->text.len;
  for (size_t i = 0; i < end; i++)
    if (json->text.data[i] == '\n') {
      lines++;
      line_start = i + 1;
    }
  bool lost = looked_ahead && json->pos < json->text.len && json->text.data[json->pos] == '\n';
  buf_printf(message, "parse error at line %zu, column %zu: ", lines + 1, lost ? 0 : json->pos - line_start);
}

// What was read since the last string or number began (nlohmann forgets nothing else), control characters made visible.
static void put_last_read(const JsonRead *json, Buf *message) {
  size_t end = json->pos < json->text.len ? json->pos : json->text.len;
  for (size_t i = json->token_start; i < end; i++) {
    uint8_t c = (uint8_t)json->text.data[i];
    if (c <= 0x1f) buf_printf(message, "<U+%.4X>", c);
    else buf_put_char(message, (char)c);
  }
}

static JsonEvent fail(JsonRead *json, Token token, const char *context, const char *expected, Err *err) {
  Buf message CLEANUP(buf_done) = BUF_INIT;
  put_position(json, token == T_UINT || token == T_INT || token == T_FLOAT, &message);
  buf_printf(&message, "syntax error while parsing %s - ", context);
  if (token == T_ERROR) {
    buf_printf(&message, "%s; last read: '", json->token_error);
    put_last_read(json, &message);
    buf_put_char(&message, '\'');
  } else {
    buf_printf(&message, "unexpected %s", token_name(token));
  }
  if (expected) buf_printf(&message, "; expected %s", expected);
  json->state = ST_FINISHED;
  err_set(err, ERR_SYNTAX, "[json.exception.parse_error.101] %s", buf_cstr(&message));
  return JSON_ERROR;
}

// Structure.

static bool in_object(const JsonRead *json) {
  return json->stack[(json->depth - 1) / 64] >> (json->depth - 1) % 64 & 1;
}

static JsonEvent open_nested(JsonRead *json, bool is_object, Err *err) {
  if (json->depth == JSON_READ_DEPTH_MAX) {
    json->state = ST_FINISHED;
    err_set(err, ERR_LIMIT, "JSON is nested deeper than %zu levels", JSON_READ_DEPTH_MAX);
    return JSON_ERROR;
  }
  size_t word = json->depth / 64, bit = json->depth % 64;
  MEM_RESERVE(json->stack, json->stack_cap, word + 1);
  if (bit == 0) json->stack[word] = 0;
  json->stack[word] &= ~((uint64_t)1 << bit);
  json->stack[word] |= (uint64_t)is_object << bit;
  json->depth++;
  json->state = is_object ? ST_FIRST_KEY : ST_FIRST;
  return is_object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
}

static JsonEvent close_nested(JsonRead *json) {
  bool is_object = in_object(json);
  json->depth--;
  json->state = ST_AFTER_VALUE;
  return is_object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static JsonEvent number_overflow(JsonRead *json, Err *err) {
  json->state = ST_FINISHED;
  err_set(err, ERR_SYNTAX, "[json.exception.out_of_range.406] number overflow parsing '%.*s'",
          SPAN_ARG(span_sub(json->text, json->token_start, json->pos - json->token_start)));
  return JSON_ERROR;
}

// A token where a value is expected.
static JsonEvent take_value(JsonRead *json, Token token, Err *err) {
  json->state = ST_AFTER_VALUE;
  switch (token) {
  case T_TRUE:
  case T_FALSE: json->boolean = token == T_TRUE; return JSON_BOOL;
  case T_NULL: return JSON_NULL;
  case T_STRING: return JSON_STRING;
  case T_UINT: return JSON_UINT;
  case T_INT: return JSON_INT;
  case T_FLOAT: return isinf(json->number) ? number_overflow(json, err) : JSON_FLOAT;
  case T_OBJECT_BEGIN: return open_nested(json, true, err);
  case T_ARRAY_BEGIN: return open_nested(json, false, err);
  case T_ERROR: return fail(json, token, "value", NULL, err);
  case T_END:
    if (json->pos == 1) {
      json->state = ST_FINISHED;
      err_set(
          err, ERR_SYNTAX,
          "[json.exception.parse_error.101] parse error at line 1, column 1: attempting to parse an empty input; check "
          "that your input string or stream contains the expected JSON");
      return JSON_ERROR;
    }
    break;
  case T_OBJECT_END:
  case T_ARRAY_END:
  case T_COLON:
  case T_COMMA: break;
  }
  return fail(json, token, "value", "'[', '{', or a literal", err);
}

static JsonEvent take_key(JsonRead *json, Token token, Err *err) {
  if (token != T_STRING) return fail(json, token, "object key", token_name(T_STRING), err);
  json->state = ST_COLON;
  return JSON_KEY;
}

static JsonEvent next_after_value(JsonRead *json, Err *err) {
  Token token = next_token(json);
  if (json->depth == 0) {
    if (token != T_END) return fail(json, token, "value", token_name(T_END), err);
    json->state = ST_FINISHED;
    return JSON_END;
  }
  bool is_object = in_object(json);
  if (token == T_COMMA) {
    token = next_token(json);
    return is_object ? take_key(json, token, err) : take_value(json, token, err);
  }
  if (token == (is_object ? T_OBJECT_END : T_ARRAY_END)) return close_nested(json);
  if (is_object) return fail(json, token, "object", token_name(T_OBJECT_END), err);
  return fail(json, token, "array", token_name(T_ARRAY_END), err);
}

JsonEvent json_read_next(JsonRead *json, Err *err) {
  Token token;
  switch ((enum State)json->state) {
  case ST_AFTER_VALUE: return next_after_value(json, err);
  case ST_FIRST:
    token = next_token(json);
    if (token == T_ARRAY_END) return close_nested(json);
    return take_value(json, token, err);
  case ST_FIRST_KEY:
    token = next_token(json);
    if (token == T_OBJECT_END) return close_nested(json);
    return take_key(json, token, err);
  case ST_COLON:
    token = next_token(json);
    if (token != T_COLON) return fail(json, token, "object separator", token_name(T_COLON), err);
    token = next_token(json);
    return take_value(json, token, err);
  case ST_VALUE: token = next_token(json); return take_value(json, token, err);
  case ST_FINISHED: break;
  }
  return JSON_END;
}

bool json_read_skip(JsonRead *json, JsonEvent begin, Err *err) {
  if (begin != JSON_OBJECT_BEGIN && begin != JSON_ARRAY_BEGIN) return true;
  for (size_t outside = json->depth - 1; json->depth > outside;)
    if (json_read_next(json, err) == JSON_ERROR) return false;
  return true;
}

static const char *event_name(JsonEvent event) {
  static const char *const names[] = {
      "an error",           "the end",  "null",  "a boolean", "an integer",           "an integer",
      "a number",           "a string", "a key", "an object", "the end of an object", "an array",
      "the end of an array"};
  return names[event];
}

bool json_read_expect(JsonRead *json, JsonEvent event, const char *what, Err *err) {
  JsonEvent got = json_read_next(json, err);
  if (got == event) return true;
  if (got == JSON_ERROR) return false;
  return err_set(err, ERR_SYNTAX, "%s should be %s but is %s", what, event_name(event), event_name(got));
}
