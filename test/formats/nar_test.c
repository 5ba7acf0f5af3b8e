// nar_test.c: archives: reading in pieces of any size, writing, strictness, listings; and the same bytes as nix-store --dump.
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "formats/nar_list.h"
#include "formats/nar_read.h"
#include "formats/nar_write.h"

// One line an event, contents in place.
static void put_event(const NarReadEvent *event, Buf *out) {
  static const char *const kinds[] = {"dir ", "end", "file ", "data ", "eof", "link "};
  if (event->kind == NAR_READ_FILE_DATA) {
    buf_put_span(out, event->data);
    return;
  }
  buf_put_cstr(out, kinds[event->kind]);
  buf_put_span(out, event->name);
  if (event->kind == NAR_READ_FILE_BEGIN)
    buf_printf(out, " %s%llu@%llu ", event->executable ? "x" : "", (unsigned long long)event->size_bytes,
               (unsigned long long)event->content_offset);
  if (event->kind == NAR_READ_SYMLINK) buf_put_char(out, '>');
  if (event->kind == NAR_READ_SYMLINK) buf_put_span(out, event->data);
  buf_put_char(out, '\n');
}

// Reads in pieces of at most `piece` bytes (each in memory of its own, so that ASan sees what reaches too far).
static bool read_all(Span archive, size_t piece, Buf *out, size_t *ret_rest, Err *err) {
  NarRead nar;
  NarReadEvent event;
  NarReadStatus status = NAR_READ_MORE;
  size_t done = 0;
  nar_read_init(&nar);
  while (status == NAR_READ_MORE && done < archive.len) {
    size_t len = archive.len - done < piece ? archive.len - done : piece;
    char *copy = mem_alloc(len);
    memcpy(copy, archive.data + done, len);
    Span input = {copy, len};
    while ((status = nar_read_next(&nar, &input, &event, err)) == NAR_READ_EVENT) put_event(&event, out);
    done += len - input.len;
    CHECK(status != NAR_READ_MORE || input.len == 0);
    mem_free(copy);
  }
  bool ok = status != NAR_READ_ERROR && nar_read_finish(&nar, err);
  nar_read_done(&nar);
  *ret_rest = archive.len - done;
  return ok;
}

static void put_str(Buf *buf, const char *s) {
  size_t len = strlen(s);
  buf_put_u64le(buf, len);
  buf_put(buf, s, len);
  if (len % 8) buf_put_repeat(buf, 0, 8 - len % 8);
}

// Strings of an archive, separated by blanks; "''" is the empty one.
static void put_strings(Buf *buf, const char *words) {
  Span rest = span_cstr(words), word;
  bool more = true;
  while (more) {
    more = span_split(&rest, ' ', &word);
    char *text = span_dup(span_eq(word, SPAN("''")) ? SPAN("") : word);
    put_str(buf, text);
    mem_free(text);
  }
}

#define HEAD "nix-archive-1 ( type "

static void check_events(const char *words, const char *want) {
  Buf archive = BUF_INIT;
  put_strings(&archive, words);
  for (size_t piece = 1; piece <= archive.len + 1; piece += piece < 40 ? 1 : 17) {
    Err err = ERR_INIT;
    Buf events = BUF_INIT;
    size_t rest;
    CHECK_OK(read_all(buf_span(&archive), piece, &events, &rest, &err), &err);
    CHECK_STR(buf_span(&events), want);
    CHECK_EQ_INT(rest, 0);
    buf_done(&events);
  }
  buf_done(&archive);
}

TEST(events) {
  check_events(HEAD "regular contents hello )", "file  5@96 \nhelloeof\n");
  check_events(HEAD "regular executable '' contents 12345678 )", "file  x8@128 \n12345678eof\n");
  check_events(HEAD "regular )", "file  0@0 \neof\n");
  check_events(HEAD "regular contents '' )", "file  0@96 \neof\n");
  check_events(HEAD "symlink target /nix )", "link >/nix\n");
  check_events(HEAD "directory )", "dir \nend\n");
  check_events(HEAD "directory entry ( name a node ( type directory entry ( name b node ( type symlink target x ) ) ) "
                    ") entry ( name b node ( type "
                    "regular contents y ) ) )",
               "dir \ndir a\nlink b>x\nend\nfile b 1@592 \nyeof\nend\n");
}

static void check_bad(const char *words, const char *message) {
  Buf archive = BUF_INIT;
  put_strings(&archive, words);
  for (size_t piece = 1; piece < 1000; piece += 999 - 1) {
    Err err = ERR_INIT;
    Buf events = BUF_INIT;
    size_t rest;
    CHECK(!read_all(buf_span(&archive), piece, &events, &rest, &err));
    CHECK_CONTAINS(span_cstr(err_message(&err)), message);
    err_done(&err);
    buf_done(&events);
  }
  buf_done(&archive);
}

TEST(malformed) {
  check_bad("nix-archive-2 ( type regular )", "input doesn't look like a Nix archive");
  check_bad("a-very-long-word-that-is-no-magic", "input doesn't look like a Nix archive");
  check_bad("nix-archive-1 x", "bad archive: expected tag '(', got 'x'");
  check_bad("nix-archive-1 ( typo", "bad archive: expected tag 'type', got 'typo'");
  check_bad(HEAD "socket )", "bad archive: unknown file type 'socket'");
  check_bad(HEAD "regular executable x", "executable marker has non-empty value");
  check_bad(HEAD "regular executable '' executable", "expected tag 'contents' or ')', got 'executable'");
  check_bad(HEAD "regular contents x (", "expected tag ')', got '('");
  check_bad(HEAD "regular contents x", "unexpected end");
  check_bad(HEAD "symlink target '' )", "symbolic link target is empty");
  check_bad(HEAD "directory entry ( name b node ( type directory ) ) entry ( name a", "NAR directory is not sorted");
  check_bad(HEAD "directory entry ( name b node ( type directory ) ) entry ( name b", "NAR directory is not sorted");
  check_bad(HEAD "directory entry ( name ''", "NAR contains invalid file name ''");
  check_bad(HEAD "directory entry ( name .", "NAR contains invalid file name '.'");
  check_bad(HEAD "directory entry ( name ..", "NAR contains invalid file name '..'");
  check_bad(HEAD "directory entry ( name a/b", "NAR contains invalid file name 'a/b'");
  check_bad(HEAD "directory exit", "expected tag 'entry' or ')', got 'exit'");
  check_bad(HEAD "a-string-longer-than-any-tag", "string is too long");
}

TEST(limits_and_padding) {
  Err err = ERR_INIT;
  Buf archive = BUF_INIT, events = BUF_INIT;
  size_t rest;
  char name[257];
  memset(name, 'n', 256);
  name[256] = 0;
  put_strings(&archive, HEAD "directory entry ( name");
  put_str(&archive, name);
  CHECK_ERR(read_all(buf_span(&archive), 7, &events, &rest, &err), &err, ERR_LIMIT, "string is too long");

  buf_clear(&archive);
  put_strings(&archive, HEAD "regular contents x )");
  archive.data[archive.len - 17] = 1; // the last padding byte of the contents
  CHECK_ERR(read_all(buf_span(&archive), 7, &events, &rest, &err), &err, ERR_SYNTAX, "non-zero padding");
  archive.data[archive.len - 17] = 0;
  archive.data[archive.len - 1] = 1;
  CHECK_ERR(read_all(buf_span(&archive), 1000, &events, &rest, &err), &err, ERR_SYNTAX, "non-zero padding");
  archive.data[archive.len - 1] = 0;
  buf_put_cstr(&archive, "more");
  CHECK_OK(read_all(buf_span(&archive), 1000, &events, &rest, &err), &err);
  CHECK_EQ_INT(rest, 4);

  buf_clear(&archive);
  put_strings(&archive, HEAD "regular contents");
  buf_put_u64le(&archive, UINT64_MAX);
  CHECK_ERR(read_all(buf_span(&archive), 1000, &events, &rest, &err), &err, ERR_LIMIT, "file is too large");

  buf_clear(&archive);
  put_strings(&archive, HEAD "directory");
  for (int i = 0; i < NAR_READ_DEPTH_MAX; i++) put_strings(&archive, "entry ( name a node ( type directory");
  CHECK_ERR(read_all(buf_span(&archive), 100000, &events, &rest, &err), &err, ERR_LIMIT,
            "directories are nested too deeply");
  buf_done(&archive);
  buf_done(&events);
}

// Writing.

static void write_event(NarWrite *nar, const NarReadEvent *event) {
  Err err = ERR_INIT;
  bool begins =
      event->kind == NAR_READ_DIR_BEGIN || event->kind == NAR_READ_FILE_BEGIN || event->kind == NAR_READ_SYMLINK;
  if (begins && nar->depth) CHECK_OK(nar_write_entry(nar, event->name, &err), &err);
  switch (event->kind) {
  case NAR_READ_DIR_BEGIN: nar_write_dir(nar); break;
  case NAR_READ_DIR_END: nar_write_dir_end(nar); break;
  case NAR_READ_FILE_BEGIN: nar_write_file(nar, event->executable, event->size_bytes); break;
  case NAR_READ_FILE_DATA: buf_put_span(nar->out, event->data); break;
  case NAR_READ_FILE_END: nar_write_file_end(nar); break;
  case NAR_READ_SYMLINK: nar_write_symlink(nar, event->data); break;
  }
}

// Reads an archive and writes it again; the size functions must agree with the result.
static void check_rewrite(Span archive) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  NarRead read;
  NarWrite write;
  NarReadEvent event;
  NarReadStatus status;
  uint64_t size = NAR_WRITE_SIZE_MAGIC;
  Span input = archive;
  nar_read_init(&read);
  nar_write_init(&write, &out);
  while ((status = nar_read_next(&read, &input, &event, &err)) == NAR_READ_EVENT) {
    if (event.name.len) size += nar_write_size_entry(event.name.len);
    if (event.kind == NAR_READ_DIR_BEGIN) size += NAR_WRITE_SIZE_DIR;
    if (event.kind == NAR_READ_FILE_BEGIN) size += nar_write_size_file(event.executable, event.size_bytes);
    if (event.kind == NAR_READ_SYMLINK) size += nar_write_size_symlink(event.data.len);
    write_event(&write, &event);
  }
  CHECK_OK(status == NAR_READ_DONE, &err);
  CHECK_SPAN(buf_span(&out), archive);
  CHECK_EQ_INT(size, archive.len);
  nar_read_done(&read);
  nar_write_done(&write);
  buf_done(&out);
}

static void write_random_node(uint64_t *rng, NarWrite *nar, int depth) {
  Err err = ERR_INIT;
  char content[64];
  uint64_t kind = test_random_below(rng, depth > 4 ? 2 : 4);
  size_t len = test_random_below(rng, sizeof(content));
  memset(content, 'c', sizeof(content));
  if (kind == 0) {
    nar_write_symlink(nar, span_make(content, len + 1 > sizeof(content) ? 1 : len + 1));
  } else if (kind == 1) {
    nar_write_file(nar, test_random(rng) & 1, len);
    buf_put(nar->out, content, len);
    nar_write_file_end(nar);
  } else {
    nar_write_dir(nar);
    for (unsigned i = 0; i < 6; i++) {
      char name[2] = {(char)('a' + i), 'x'};
      if (test_random(rng) & 1) continue;
      CHECK_OK(nar_write_entry(nar, span_make(name, 1 + test_random_below(rng, 2)), &err), &err);
      write_random_node(rng, nar, depth + 1);
    }
    nar_write_dir_end(nar);
  }
}

TEST(random_trees_round_trip) {
  uint64_t rng = test_seed();
  for (int i = 0; i < 300; i++) {
    Buf archive = BUF_INIT, whole = BUF_INIT, pieces = BUF_INIT;
    Err err = ERR_INIT;
    size_t rest;
    NarWrite nar;
    nar_write_init(&nar, &archive);
    write_random_node(&rng, &nar, 0);
    nar_write_done(&nar);
    check_rewrite(buf_span(&archive));
    CHECK_OK(read_all(buf_span(&archive), SIZE_MAX, &whole, &rest, &err), &err);
    CHECK_OK(read_all(buf_span(&archive), 1 + test_random_below(&rng, 30), &pieces, &rest, &err), &err);
    CHECK_SPAN(buf_span(&pieces), buf_span(&whole));
    buf_done(&archive);
    buf_done(&whole);
    buf_done(&pieces);
  }
}

TEST(write_checks_names) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  NarWrite nar;
  nar_write_init(&nar, &out);
  nar_write_dir(&nar);
  CHECK_ERR(nar_write_entry(&nar, SPAN("a/b"), &err), &err, ERR_SYNTAX, "invalid file name 'a/b'");
  CHECK_OK(nar_write_entry(&nar, SPAN("b"), &err), &err);
  nar_write_symlink(&nar, SPAN("x"));
  CHECK_ERR(nar_write_entry(&nar, SPAN("b"), &err), &err, ERR_SYNTAX, "archive entry 'b' does not come after 'b'");
  CHECK_ERR(nar_write_entry(&nar, SPAN("a"), &err), &err, ERR_SYNTAX, "archive entry 'a' does not come after 'b'");
  nar_write_done(&nar);
  buf_done(&out);
}

static void list(Span archive, Buf *out) {
  Err err = ERR_INIT;
  NarRead read;
  NarReadEvent event;
  NarList listing;
  nar_read_init(&read);
  nar_list_init(&listing, out, 0);
  const char *start = archive.data;
  uint64_t content_offset = 0;
  while (nar_read_next(&read, &archive, &event, &err) == NAR_READ_EVENT) {
    if (event.kind == NAR_READ_FILE_BEGIN) content_offset = event.content_offset;
    if (event.kind == NAR_READ_FILE_DATA) CHECK(event.data.data == start + content_offset);
    CHECK_OK(nar_list_event(&listing, &event, &err), &err);
  }
  nar_list_end(&listing);
  nar_read_done(&read);
}

TEST(listing) {
  Buf archive = BUF_INIT, out = BUF_INIT;
  put_strings(&archive, HEAD "directory entry ( name a node ( type directory entry ( name b node ( type symlink target "
                             "x ) ) ) ) entry ( name c node ( type "
                             "regular executable '' contents y ) ) entry ( name d node ( type directory ) ) )");
  list(buf_span(&archive), &out);
  CHECK_STR(buf_span(&out), "{\"root\":{\"entries\":{\"a\":{\"entries\":{\"b\":{\"target\":\"x\",\"type\":\"symlink\"}}"
                            ",\"type\":\"directory\"},\"c\":{"
                            "\"executable\":true,\"narOffset\":624,\"size\":1,\"type\":\"regular\"},\"d\":{\"entries\":"
                            "{},\"type\":\"directory\"}},\"type\":"
                            "\"directory\"},\"version\":1}");
  buf_done(&archive);
  buf_done(&out);
}

// A tree on disk, dumped by C++ Nix and here.
static bool run(const char *const *argv, Buf *out) {
  Err err = ERR_INIT;
  ProcessSpec spec = PROCESS_SPEC_INIT;
  int status = 1;
  spec.argv = argv;
  bool ok = process_run(&spec, out, NULL, &status, &err) && status == 0;
  err_done(&err);
  return ok;
}

TEST(same_as_nix_store_dump) {
  Err err = ERR_INIT;
  Buf theirs = BUF_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("t/sub/empty"), 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/a"), SPAN("hello"), 0644, false, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/sub/exe"), SPAN("12345678"), 0755, false, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("t/sub/none"), SPAN(""), 0644, false, &err), &err);
  CHECK(symlink("../a", test_temp_path("t/sub/link")) == 0);
  const char *dump[] = {"nix-store", "--dump", test_temp_path("t"), NULL};
  if (!run(dump, &theirs)) test_skip("nix-store does not run here");
  check_rewrite(buf_span(&theirs));
  buf_done(&theirs);
}

TEST_MAIN()
