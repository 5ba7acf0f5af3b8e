// json_read.h: a pull reader for JSON in memory, with the behaviour of nlohmann::json 3.11 (which builtins.fromJSON of Nix 2.26 has):
// RFC 8259 without extensions; a byte order mark at the start is skipped; integers that fit are int64 or uint64, others and
// everything with fraction or exponent doubles; numbers above the double range, invalid UTF-8, lone surrogates and control
// characters in strings are errors. Messages are nlohmann's, positions included:
//   [json.exception.parse_error.101] parse error at line 1, column 2: syntax error while parsing value - ...
// No recursion: nesting costs one bit a level, limited by JSON_READ_DEPTH_MAX.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define JSON_READ_DEPTH_MAX ((size_t)1 << 24)

typedef enum JsonEvent {
  JSON_ERROR, // *err is set; the reader is finished
  JSON_END,   // the document is complete and nothing but white space follows
  JSON_NULL,
  JSON_BOOL,   // boolean
  JSON_INT,    // integer: negative, or "-0"
  JSON_UINT,   // uinteger: any other integer literal up to 2^64-1
  JSON_FLOAT,  // number
  JSON_STRING, // string
  JSON_KEY,    // string; the value follows
  JSON_OBJECT_BEGIN,
  JSON_OBJECT_END,
  JSON_ARRAY_BEGIN,
  JSON_ARRAY_END,
} JsonEvent;

typedef struct JsonRead {
  Span text; // borrowed
  size_t pos;
  size_t token_start; // of the last string or number: messages quote from there
  size_t depth;
  uint8_t state;
  uint64_t *stack; // owned: one bit a level, 1 for an object
  size_t stack_cap;
  Buf scratch;             // owned: a string that had escapes, or a number
  const char *token_error; // why the last token is none
  // The value of the last event. `string` points into the text or the scratch: valid until the next call.
  Span string;
  bool has_escapes; // of the string; one without has no zero bytes
  bool boolean;
  int64_t integer;
  uint64_t uinteger;
  double number;
} JsonRead;

void json_read_init(JsonRead *json, Span text);
void json_read_done(JsonRead *json);
JsonEvent json_read_next(JsonRead *json, Err *err);
// After a JSON_OBJECT_BEGIN or JSON_ARRAY_BEGIN: reads to its end. After another value: does nothing.
MUST_CHECK bool json_read_skip(JsonRead *json, JsonEvent begin, Err *err);
// Reads the next event and demands its kind; the message names `what` ("field 'narSize'").
MUST_CHECK bool json_read_expect(JsonRead *json, JsonEvent event, const char *what, Err *err);
