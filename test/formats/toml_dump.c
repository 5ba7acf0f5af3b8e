// toml_dump.c: prints each TOML file as one line of JSON, or "error: ..."; for toml_differential.py. Floats are {"float": text}, dates and
// times {"time": text}.
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "formats/toml.h"

static void put_string(Buf *out, Span text) {
  buf_put_char(out, '"');
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c < ' ' || c == '"' || c == '\\' || c == 0x7f) buf_printf(out, "\\u%04x", c);
    else buf_put_char(out, (char)c);
  }
  buf_put_char(out, '"');
}

static void put_value(Buf *out, const TomlValue *value);

static void put_table(Buf *out, const TomlValue *table) {
  buf_put_char(out, '{');
  for (uint32_t i = 0; i < table->count; i++) {
    if (i) buf_put_char(out, ',');
    put_string(out, table->table.entries[i].key);
    buf_put_char(out, ':');
    put_value(out, table->table.entries[i].value);
  }
  buf_put_char(out, '}');
}

static void put_array(Buf *out, const TomlValue *array) {
  buf_put_char(out, '[');
  for (uint32_t i = 0; i < array->count; i++) {
    if (i) buf_put_char(out, ',');
    put_value(out, array->items[i]);
  }
  buf_put_char(out, ']');
}

static void put_value(Buf *out, const TomlValue *value) {
  switch ((TomlKind)value->kind) {
  case TOML_TABLE: put_table(out, value); break;
  case TOML_ARRAY: put_array(out, value); break;
  case TOML_STRING: put_string(out, value->text); break;
  case TOML_INTEGER: buf_put_i64(out, value->integer); break;
  case TOML_FLOAT: buf_printf(out, "{\"float\":\"%.17g\"}", value->floating); break;
  case TOML_BOOLEAN: buf_put_cstr(out, value->boolean ? "true" : "false"); break;
  case TOML_OFFSET_DATE_TIME:
  case TOML_LOCAL_DATE_TIME:
  case TOML_LOCAL_DATE:
  case TOML_LOCAL_TIME:
    buf_put_cstr(out, "{\"time\":");
    put_string(out, value->text);
    buf_put_char(out, '}');
    break;
  }
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    Buf source = BUF_INIT, out = BUF_INIT;
    Err err = ERR_INIT;
    Arena arena = ARENA_INIT;
    if (!fs_read_file(argv[i], 1 << 30, &source, &err)) {
      fprintf(stderr, "%s\n", err_message(&err));
      return 2;
    }
    const TomlValue *root = toml_parse(buf_span(&source), &arena, &err);
    if (root) put_value(&out, root);
    else buf_printf(&out, "error: %.*s", (int)strcspn(err_message(&err), "\n"), err_message(&err));
    puts(buf_cstr(&out));
    err_done(&err);
    arena_done(&arena);
    buf_done(&source);
    buf_done(&out);
  }
  return 0;
}
