// derivation_parse_fuzz.c: what parses is well-formed, formats to a text that parses to the same, and never crashes the rest.
#include "fuzz/fuzz.h"

#include "formats/derivation_format.h"
#include "formats/derivation_json.h"
#include "formats/derivation_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span text = span_make(data, size_bytes);
  Arena arena = ARENA_INIT;
  Derivation drv, again;
  Buf once = BUF_INIT, twice = BUF_INIT;
  if (derivation_parse(text, SPAN("fuzz"), STORE_PATH_DIR, &arena, &drv, NULL)) {
    DerivationType type;
    JsonWrite json;
    derivation_format(&drv, NULL, &once);
    FUZZ_CHECK(derivation_parse(buf_span(&once), SPAN("fuzz"), STORE_PATH_DIR, &arena, &again, NULL));
    derivation_format(&again, NULL, &twice);
    FUZZ_CHECK(span_eq(buf_span(&once), buf_span(&twice)));
    bool has_type = derivation_type(&drv, &type, NULL), is_good = derivation_check(&drv, STORE_PATH_DIR, NULL);
    FUZZ_CHECK(has_type || !is_good);
    json_write_init(&json, &twice, 0);
    bool is_utf8 = derivation_json_write(&drv, &json, NULL);
    (void)is_utf8;
  }
  buf_done(&once);
  buf_done(&twice);
  arena_done(&arena);
  return 0;
}
