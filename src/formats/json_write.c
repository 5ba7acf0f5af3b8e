// json_write.c: JSON strings and structure; doubles are in json_double.c.
#include "formats/json_write.h"

#include <math.h>

#include "formats/json_double.h"
#include "formats/json_plain.h"

// Strings.

// The length of the UTF-8 sequence at `s`, or 0; then *ret_bad is the index of the byte at which a decoder gives up
// (s.len: the sequence is cut off).
static size_t utf8_sequence(Span s, size_t *ret_bad) {
  const uint8_t *b = (const uint8_t *)s.data;
  uint8_t low = 0x80, high = 0xbf;
  size_t len;
  *ret_bad = 0;
  if (b[0] < 0xc2 || b[0] > 0xf4) return 0;
  if (b[0] < 0xe0) {
    len = 2;
  } else if (b[0] < 0xf0) {
    len = 3;
    if (b[0] == 0xe0) low = 0xa0;
    if (b[0] == 0xed) high = 0x9f;
  } else {
    len = 4;
    if (b[0] == 0xf0) low = 0x90;
    if (b[0] == 0xf4) high = 0x8f;
  }
  for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf)
    if (i >= s.len || b[i] < low || b[i] > high) {
      *ret_bad = i;
      return 0;
    }
  return len;
}

static bool bad_utf8(Span s, size_t index, Err *err) {
  if (index >= s.len)
    return err_set(err, ERR_SYNTAX, "[json.exception.type_error.316] incomplete UTF-8 string; last byte: 0x%02X",
                   (uint8_t)s.data[s.len - 1]);
  return err_set(err, ERR_SYNTAX, "[json.exception.type_error.316] invalid UTF-8 byte at index %zu: 0x%02X", index,
                 (uint8_t)s.data[index]);
}

static void put_escaped(Buf *buf, char c) {
  static const char short_names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
  static const char digits[] = "0123456789abcdef";
  char name = c == '"' || c == '\\' ? c : (size_t)c < sizeof(short_names) ? short_names[(size_t)c] : 0;
  buf_put_char(buf, '\\');
  if (name) {
    buf_put_char(buf, name);
    return;
  }
  buf_put_cstr(buf, "u00");
  buf_put_char(buf, digits[c >> 4]);
  buf_put_char(buf, digits[c & 15]);
}

bool json_write_string(Buf *buf, Span s, Err *err) {
  size_t start_len = buf->len, i = 0;
  buf_put_char(buf, '"');
  while (i < s.len) {
    size_t end = json_plain_end(s, i), bad;
    buf_put_span(buf, span_sub(s, i, end - i));
    i = end;
    if (i == s.len) break;
    if ((uint8_t)s.data[i] < 0x80) {
      put_escaped(buf, s.data[i++]);
      continue;
    }
    size_t len = utf8_sequence(span_from(s, i), &bad);
    if (len == 0) {
      buf->len = start_len;
      return bad_utf8(s, i + bad, err);
    }
    buf_put_span(buf, span_sub(s, i, len));
    i += len;
  }
  buf_put_char(buf, '"');
  return true;
}

// Numbers.

void json_write_i64(Buf *buf, int64_t value) {
  buf_put_i64(buf, value);
}

void json_write_double(Buf *buf, double value) {
  if (!isfinite(value)) {
    buf_put_cstr(buf, "null");
    return;
  }
  buf_reserve(buf, JSON_DOUBLE_TEXT_MAX);
  buf->len += json_double_format(value, buf->data + buf->len);
}

// Structure.

void json_write_init(JsonWrite *json, Buf *out, unsigned indent) {
  *json = (JsonWrite){.out = out, .indent = indent};
}

static void new_line(JsonWrite *json) {
  if (json->indent == 0) return;
  buf_put_char(json->out, '\n');
  buf_put_repeat(json->out, ' ', (size_t)json->indent * json->depth);
}

// Before each key, and each value that does not follow a key.
static void begin_element(JsonWrite *json) {
  if (json->after_key) {
    json->after_key = false;
    return;
  }
  if (json->needs_comma) buf_put_char(json->out, ',');
  if (json->depth) new_line(json);
  json->needs_comma = true;
}

static void begin_nested(JsonWrite *json, char open) {
  begin_element(json);
  buf_put_char(json->out, open);
  json->depth++;
  json->needs_comma = false;
}

static void end_nested(JsonWrite *json, char close) {
  json->depth--;
  if (json->needs_comma) new_line(json);
  buf_put_char(json->out, close);
  json->needs_comma = true;
}

void json_write_object_begin(JsonWrite *json) {
  begin_nested(json, '{');
}

void json_write_object_end(JsonWrite *json) {
  end_nested(json, '}');
}

void json_write_array_begin(JsonWrite *json) {
  begin_nested(json, '[');
}

void json_write_array_end(JsonWrite *json) {
  end_nested(json, ']');
}

static void end_key(JsonWrite *json) {
  buf_put_char(json->out, ':');
  if (json->indent) buf_put_char(json->out, ' ');
  json->after_key = true;
}

bool json_write_key(JsonWrite *json, Span key, Err *err) {
  begin_element(json);
  if (!json_write_string(json->out, key, err)) return false;
  end_key(json);
  return true;
}

bool json_write_str(JsonWrite *json, Span value, Err *err) {
  begin_element(json);
  return json_write_string(json->out, value, err);
}

bool json_write_strs(JsonWrite *json, const Span *values, size_t count, Err *err) {
  json_write_array_begin(json);
  for (size_t i = 0; i < count; i++)
    if (!json_write_str(json, values[i], err)) return false;
  json_write_array_end(json);
  return true;
}

void json_write_text(JsonWrite *json, Span value) {
  Err err = ERR_INIT;
  begin_element(json);
  if (json_write_string(json->out, value, &err)) return;
  Buf ascii CLEANUP(buf_done) = BUF_INIT;
  err_done(&err);
  for (size_t i = 0; i < value.len; i++) buf_put_char(&ascii, value.data[i] & 0x80 ? '?' : value.data[i]);
  if (!json_write_string(json->out, buf_span(&ascii), &err)) err_done(&err);
}

void json_write_text_key(JsonWrite *json, Span key) {
  json_write_text(json, key);
  end_key(json);
}

void json_write_int(JsonWrite *json, int64_t value) {
  begin_element(json);
  buf_put_i64(json->out, value);
}

void json_write_uint(JsonWrite *json, uint64_t value) {
  begin_element(json);
  buf_printf(json->out, "%llu", (unsigned long long)value);
}

void json_write_float(JsonWrite *json, double value) {
  begin_element(json);
  json_write_double(json->out, value);
}

void json_write_bool(JsonWrite *json, bool value) {
  json_write_raw(json, value ? SPAN("true") : SPAN("false"));
}

void json_write_null(JsonWrite *json) {
  json_write_raw(json, SPAN("null"));
}

void json_write_raw(JsonWrite *json, Span value) {
  begin_element(json);
  buf_put_span(json->out, value);
}
