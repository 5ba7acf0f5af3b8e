// base_text_fuzz.c: the text functions of base/ on any bytes: splitting loses nothing, numbers round-trip, canonical paths are
// canonical and a fixed point.
#include "fuzz/fuzz.h"

#include "base/buf.h"
#include "base/fs.h"

static void check_split(Span input) {
  Buf joined = BUF_INIT;
  Span rest = input, head;
  bool more = true;
  while (more) {
    more = span_split(&rest, '/', &head);
    FUZZ_CHECK(span_find_char(head, '/') == SIZE_MAX);
    buf_put_span(&joined, head);
    if (more) buf_put_char(&joined, '/');
  }
  FUZZ_CHECK(span_eq(buf_span(&joined), input));
  buf_done(&joined);
}

static void check_number(Span input) {
  int64_t value;
  if (!span_parse_i64(input, &value)) return;
  Buf printed = BUF_INIT;
  buf_put_i64(&printed, value);
  int64_t again;
  FUZZ_CHECK(span_parse_i64(buf_span(&printed), &again) && again == value);
  buf_done(&printed);
}

static void check_canon(Span input) {
  Buf once = BUF_INIT, twice = BUF_INIT;
  fs_path_canon(SPAN("/base/dir"), input, &once);
  Span path = buf_span(&once);
  FUZZ_CHECK(path.len > 0 && path.data[0] == '/');
  FUZZ_CHECK(span_find(path, SPAN("//")) == SIZE_MAX);
  FUZZ_CHECK(path.len == 1 || path.data[path.len - 1] != '/');
  FUZZ_CHECK(!span_has_suffix(path, SPAN("/..")) && span_find(path, SPAN("/../")) == SIZE_MAX);
  fs_path_canon(SPAN("/"), path, &twice);
  FUZZ_CHECK(span_eq(buf_span(&twice), path));
  buf_done(&once);
  buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span input = span_make(data, size_bytes);
  check_split(input);
  check_number(span_trim(input));
  check_canon(input);
  return 0;
}
