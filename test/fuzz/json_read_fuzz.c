// json_read_fuzz.c: a document that reads writes to one that reads the same.
#include "fuzz/fuzz.h"

#include "formats/json_read.h"
#include "formats/json_write.h"

static bool rewrite(Span text, Buf *out) {
  JsonRead json;
  JsonWrite writer;
  bool ok = true;
  json_read_init(&json, text);
  json_write_init(&writer, out, 0);
  for (bool end = false; ok && !end;) {
    switch (json_read_next(&json, NULL)) {
    case JSON_ERROR: ok = false; break;
    case JSON_END: end = true; break;
    case JSON_NULL: json_write_null(&writer); break;
    case JSON_BOOL: json_write_bool(&writer, json.boolean); break;
    case JSON_INT: json_write_int(&writer, json.integer); break;
    case JSON_UINT: json_write_uint(&writer, json.uinteger); break;
    case JSON_FLOAT: json_write_float(&writer, json.number); break;
    case JSON_STRING: FUZZ_CHECK(json_write_str(&writer, json.string, NULL)); break;
    case JSON_KEY: FUZZ_CHECK(json_write_key(&writer, json.string, NULL)); break;
    case JSON_OBJECT_BEGIN: json_write_object_begin(&writer); break;
    case JSON_OBJECT_END: json_write_object_end(&writer); break;
    case JSON_ARRAY_BEGIN: json_write_array_begin(&writer); break;
    case JSON_ARRAY_END: json_write_array_end(&writer); break;
    }
  }
  json_read_done(&json);
  return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Buf once = BUF_INIT, twice = BUF_INIT;
  if (rewrite(span_make(data, size_bytes), &once)) {
    FUZZ_CHECK(rewrite(buf_span(&once), &twice));
    FUZZ_CHECK(span_eq(buf_span(&once), buf_span(&twice)));
  }
  buf_done(&once);
  buf_done(&twice);
  return 0;
}
