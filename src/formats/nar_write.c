// nar_write.c: the archive writer.
#include "formats/nar_write.h"

#include <assert.h>

#include "formats/nar_names.h"
#include "formats/nar_read.h"

static void put_padding(Buf *out, uint64_t len) {
  if (len % 8) buf_put_repeat(out, 0, 8 - len % 8);
}

static void put_string(Buf *out, Span s) {
  buf_put_u64le(out, s.len);
  buf_put_span(out, s);
  put_padding(out, s.len);
}

void nar_write_init(NarWrite *nar, Buf *out) {
  *nar = (NarWrite){.out = out, .names = BUF_INIT};
  put_string(out, SPAN("nix-archive-1"));
}

void nar_write_done(NarWrite *nar) {
  buf_done(&nar->names);
}

static void begin_node(NarWrite *nar, Span type) {
  put_string(nar->out, SPAN("("));
  put_string(nar->out, SPAN("type"));
  put_string(nar->out, type);
}

// Closes the node, and the entry around it when there is a directory.
static void end_node(NarWrite *nar) {
  put_string(nar->out, SPAN(")"));
  if (nar->depth) put_string(nar->out, SPAN(")"));
}

void nar_write_file(NarWrite *nar, bool executable, uint64_t size_bytes) {
  begin_node(nar, SPAN("regular"));
  if (executable) {
    put_string(nar->out, SPAN("executable"));
    put_string(nar->out, SPAN(""));
  }
  put_string(nar->out, SPAN("contents"));
  buf_put_u64le(nar->out, size_bytes);
  nar->file_size_bytes = size_bytes;
  nar->in_file = true;
}

void nar_write_file_end(NarWrite *nar) {
  assert(nar->in_file);
  nar->in_file = false;
  put_padding(nar->out, nar->file_size_bytes);
  end_node(nar);
}

void nar_write_symlink(NarWrite *nar, Span target) {
  begin_node(nar, SPAN("symlink"));
  put_string(nar->out, SPAN("target"));
  put_string(nar->out, target);
  end_node(nar);
}

void nar_write_dir(NarWrite *nar) {
  begin_node(nar, SPAN("directory"));
  nar_names_push(&nar->names, SPAN(""));
  nar->depth++;
}

bool nar_write_entry(NarWrite *nar, Span name, Err *err) {
  assert(nar->depth > 0 && !nar->in_file);
  if (!nar_read_check_name(name, err)) return false;
  Span last = nar_names_last(&nar->names);
  if (span_cmp(last, name) >= 0)
    return err_set(err, ERR_SYNTAX, "archive entry '%.*s' does not come after '%.*s'", SPAN_ARG(name), SPAN_ARG(last));
  nar_names_pop(&nar->names);
  nar_names_push(&nar->names, name);
  put_string(nar->out, SPAN("entry"));
  put_string(nar->out, SPAN("("));
  put_string(nar->out, SPAN("name"));
  put_string(nar->out, name);
  put_string(nar->out, SPAN("node"));
  return true;
}

void nar_write_dir_end(NarWrite *nar) {
  assert(nar->depth > 0 && !nar->in_file);
  nar_names_pop(&nar->names);
  nar->depth--;
  end_node(nar);
}

// Sizes.

static uint64_t string_size(uint64_t len) {
  return 8 + (len + 7) / 8 * 8;
}

uint64_t nar_write_size_file(bool executable, uint64_t size_bytes) {
  // "(" "type" "regular" [ "executable" "" ] "contents" content ")"
  return 16 + 16 + 16 + (executable ? 24 + 8 : 0) + 16 + string_size(size_bytes) + 16;
}

uint64_t nar_write_size_symlink(size_t target_len) {
  return 16 + 16 + 16 + 16 + string_size(target_len) + 16;
}

uint64_t nar_write_size_entry(size_t name_len) {
  // "entry" "(" "name" name "node" ")"
  return 16 + 16 + 16 + string_size(name_len) + 16 + 16;
}
