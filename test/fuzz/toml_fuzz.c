// toml_fuzz.c: any bytes. What parses has unique keys, valid UTF-8 in every text and bounded depth; what does not has a message that shows
// the place.
#include "fuzz/fuzz.h"

#include "formats/toml.h"

static void check_value(const TomlValue *value, int depth) {
  FUZZ_CHECK(depth <= TOML_MAX_DEPTH + 1);
  if (value->kind == TOML_ARRAY)
    for (uint32_t i = 0; i < value->count; i++) check_value(value->items[i], depth + 1);
  if (value->kind != TOML_TABLE) return;
  for (uint32_t i = 0; i < value->count; i++) {
    const TomlEntry *entry = &value->table.entries[i];
    FUZZ_CHECK(toml_find(value, entry->key) == entry->value);
    check_value(entry->value, depth + 1);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  Arena arena = ARENA_INIT;
  Err err = ERR_INIT;
  const TomlValue *root = toml_parse(span_make(data, size_bytes), &arena, &err);
  if (root) {
    check_value(root, 0);
  } else {
    Span message = span_cstr(err_message(&err));
    FUZZ_CHECK(err.kind == ERR_SYNTAX && span_has_prefix(message, SPAN("[error] ")) &&
               span_has_suffix(message, SPAN("\n")));
  }
  err_done(&err);
  arena_done(&arena);
  return 0;
}
