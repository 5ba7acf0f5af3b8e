// nar_read_fuzz.c: an archive in one piece and in small pieces gives the same events and the same verdict, and what is read
// writes back to the same bytes. The first byte is the size of the pieces.
#include "fuzz/fuzz.h"

#include "base/buf.h"
#include "formats/nar_read.h"
#include "formats/nar_write.h"

static void write_event(NarWrite *write, const NarReadEvent *event) {
  bool begins =
      event->kind == NAR_READ_DIR_BEGIN || event->kind == NAR_READ_FILE_BEGIN || event->kind == NAR_READ_SYMLINK;
  if (begins && write->depth) FUZZ_CHECK(nar_write_entry(write, event->name, NULL));
  switch (event->kind) {
  case NAR_READ_DIR_BEGIN: nar_write_dir(write); break;
  case NAR_READ_DIR_END: nar_write_dir_end(write); break;
  case NAR_READ_FILE_BEGIN: nar_write_file(write, event->executable, event->size_bytes); break;
  case NAR_READ_FILE_DATA: buf_put_span(write->out, event->data); break;
  case NAR_READ_FILE_END: nar_write_file_end(write); break;
  case NAR_READ_SYMLINK: nar_write_symlink(write, event->data); break;
  }
}

// Rewrites; true when the archive is complete. *ret_exact: no file without "contents" was in it, which is written otherwise.
static bool rewrite(Span archive, size_t piece, Buf *out, size_t *ret_used, bool *ret_exact) {
  NarRead read;
  NarWrite write;
  NarReadEvent event;
  NarReadStatus status = NAR_READ_MORE;
  size_t done = 0;
  *ret_exact = true;
  nar_read_init(&read);
  nar_write_init(&write, out);
  while (status == NAR_READ_MORE && done < archive.len) {
    Span input = span_sub(archive, done, piece), start = input;
    while ((status = nar_read_next(&read, &input, &event, NULL)) == NAR_READ_EVENT) {
      if (event.kind == NAR_READ_FILE_BEGIN && event.content_offset == 0) *ret_exact = false;
      write_event(&write, &event);
    }
    done += start.len - input.len;
  }
  bool complete = status != NAR_READ_ERROR && nar_read_finish(&read, NULL);
  *ret_used = done;
  nar_read_done(&read);
  nar_write_done(&write);
  return complete;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
  if (size_bytes == 0) return 0;
  Span archive = span_make(data + 1, size_bytes - 1);
  Buf whole = BUF_INIT, pieces = BUF_INIT;
  size_t used, used_pieces;
  bool exact, exact_pieces;
  bool complete = rewrite(archive, SIZE_MAX, &whole, &used, &exact);
  FUZZ_CHECK(rewrite(archive, (size_t)data[0] + 1, &pieces, &used_pieces, &exact_pieces) == complete);
  if (complete) {
    FUZZ_CHECK(used == used_pieces && exact == exact_pieces);
    FUZZ_CHECK(span_eq(buf_span(&whole), buf_span(&pieces)));
    FUZZ_CHECK(!exact || span_eq(buf_span(&whole), span_sub(archive, 0, used)));
  }
  buf_done(&whole);
  buf_done(&pieces);
  return 0;
}
