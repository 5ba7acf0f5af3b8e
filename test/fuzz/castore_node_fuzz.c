// castore_node_fuzz.c: a directory that decodes encodes to the same bytes; a node and a PathInfo do so from the second time on.
#include "fuzz/fuzz.h"

#include "formats/path_info.h"

static void check_directory(Span data, Arena *arena, Buf *scratch) {
  CastoreDirectory directory;
  if (!castore_node_decode_directory(data, arena, &directory, NULL)) return;
  buf_clear(scratch);
  castore_node_encode_directory(&directory, scratch);
  FUZZ_CHECK(span_eq(buf_span(scratch), data));
}

static void check_node(Span data, Buf *scratch) {
  CastoreNode node, again;
  if (!castore_node_decode(data, &node, NULL)) return;
  buf_clear(scratch);
  castore_node_encode(&node, scratch);
  FUZZ_CHECK(castore_node_decode(buf_span(scratch), &again, NULL));
  FUZZ_CHECK(again.kind == node.kind && again.size == node.size && span_eq(again.name, node.name));
}

static void check_path_info(Span data, Arena *arena) {
  PathInfo info, again;
  Buf once = BUF_INIT, twice = BUF_INIT;
  if (path_info_decode(data, arena, &info, NULL)) {
    FUZZ_CHECK(path_info_encode(&info, &once, NULL));
    FUZZ_CHECK(path_info_decode(buf_span(&once), arena, &again, NULL));
    FUZZ_CHECK(path_info_encode(&again, &twice, NULL));
    FUZZ_CHECK(span_eq(buf_span(&once), buf_span(&twice)));
  }
  buf_done(&once);
  buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Span input = span_make(data, size_bytes);
  Arena arena = ARENA_INIT;
  Buf scratch = BUF_INIT;
  check_directory(input, &arena, &scratch);
  check_node(input, &scratch);
  check_path_info(input, &arena);
  buf_done(&scratch);
  arena_done(&arena);
  return 0;
}
