// json_write.h: JSON text exactly as nlohmann::json dumps it, because builtins.toJSON, structured attributes and --json are
// defined by that: '"', '\\', \b \f \n \r \t escaped by name, other control characters as \u00xx, everything else verbatim;
// doubles by Grisu2 ("1.0", "1e+17", "0.1"). Object keys are written in the order given: nlohmann sorts, so sort.
#pragma once

#include "base/buf.h"
#include "base/err.h"

// Values without structure. The string must be UTF-8; else the message is nlohmann's
// ("[json.exception.type_error.316] invalid UTF-8 byte at index 1: 0xFF").
MUST_CHECK bool json_write_string(Buf *buf, Span s, Err *err);
void json_write_double(Buf *buf, double value); // NaN and infinities are "null"
void json_write_i64(Buf *buf, int64_t value);

// Structure: commas, indentation and nesting. `indent` 0 is the compact form.
typedef struct JsonWrite {
  Buf *out; // borrowed
  unsigned indent;
  unsigned depth;
  bool needs_comma; // an element was written at this depth
  bool after_key;
} JsonWrite;

void json_write_init(JsonWrite *json, Buf *out, unsigned indent);
void json_write_object_begin(JsonWrite *json);
void json_write_object_end(JsonWrite *json);
void json_write_array_begin(JsonWrite *json);
void json_write_array_end(JsonWrite *json);
MUST_CHECK bool json_write_key(JsonWrite *json, Span key, Err *err);
MUST_CHECK bool json_write_str(JsonWrite *json, Span value, Err *err);
MUST_CHECK bool json_write_strs(JsonWrite *json, const Span *values, size_t count, Err *err); // an array
// For names in reports: where it is not UTF-8, every byte above 127 becomes '?'.
void json_write_text(JsonWrite *json, Span value);
void json_write_text_key(JsonWrite *json, Span key);
void json_write_int(JsonWrite *json, int64_t value);
void json_write_uint(JsonWrite *json, uint64_t value);
void json_write_float(JsonWrite *json, double value);
void json_write_bool(JsonWrite *json, bool value);
void json_write_null(JsonWrite *json);
// Already formatted JSON, taken as one value.
void json_write_raw(JsonWrite *json, Span value);
