// castore_nar_test.c: archives to and from nodes and trees; hostile ones leave nothing outside.
#include "castore/castore_nar.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/blob_memory.h"
#include "castore/castore_import.h"
#include "castore/directory_memory.h"
#include "formats/nar_write.h"
#include "harness.h"
#include "random_tree.h"

static Castore open_memory(void) {
  return (Castore){blob_memory_new(), directory_memory_new()};
}

static void close_memory(Castore *castore) {
  blob_service_free(castore->blobs);
  directory_service_free(castore->directories);
}

TEST(all_ways_agree) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  for (unsigned round = 0; round < 4; round++) {
    CLEANUP(buf_done) Buf tree = BUF_INIT;
    CLEANUP(buf_done) Buf copy = BUF_INIT;
    CLEANUP(buf_done) Buf from_disk = BUF_INIT;
    CLEANUP(buf_done) Buf from_node = BUF_INIT;
    CLEANUP(buf_done) Buf from_copy = BUF_INIT;
    buf_printf(&tree, "%s/tree%u", test_temp_dir(), round);
    buf_printf(&copy, "%s/copy%u", test_temp_dir(), round);
    random_tree_make(buf_cstr(&tree), 30u << round, &rng);
    ByteSink sink = byte_stream_to_buf(&from_disk);
    CHECK_OK(castore_nar_dump_path(buf_cstr(&tree), &sink, &err), &err);
    Castore castore = open_memory();
    CastoreNarImport import;
    Span rest = buf_span(&from_disk);
    ByteSource source = byte_stream_from_span(&rest);
    CHECK_OK(castore_nar_read(&castore, &source, false, &import, &err), &err);
    CHECK_EQ_INT(import.nar_size_bytes, from_disk.len);
    sink = byte_stream_to_buf(&from_node);
    CHECK_OK(castore_nar_write(&castore, &import.root, &sink, &err), &err);
    CHECK(span_eq(buf_span(&from_node), buf_span(&from_disk)));
    CLEANUP(castore_import_done) CastoreImport disk_import = CASTORE_IMPORT_INIT;
    CHECK_OK(castore_import_path(&castore, buf_cstr(&tree), NULL, &disk_import, &err), &err);
    CHECK(castore_node_digest_eq(&disk_import.root.digest, &import.root.digest));
    rest = buf_span(&from_disk);
    CHECK_OK(castore_nar_restore(&source, buf_cstr(&copy), &err), &err);
    sink = byte_stream_to_buf(&from_copy);
    CHECK_OK(castore_nar_dump_path(buf_cstr(&copy), &sink, &err), &err);
    CHECK(span_eq(buf_span(&from_copy), buf_span(&from_disk)));
    castore_nar_import_done(&import);
    close_memory(&castore);
  }
}

TEST(inside_a_longer_stream) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf stream = BUF_INIT;
  random_tree_make(test_temp_path("tree"), 60, &rng);
  ByteSink sink = byte_stream_to_buf(&stream);
  for (unsigned i = 0; i < 3; i++) CHECK_OK(castore_nar_dump_path(test_temp_path("tree"), &sink, &err), &err);
  buf_put_cstr(&stream, "what follows");
  Castore castore = open_memory();
  Span rest = buf_span(&stream);
  ByteSource source = byte_stream_from_span(&rest);
  for (unsigned i = 0; i < 3; i++) {
    CastoreNarImport import;
    CHECK_OK(castore_nar_read(&castore, &source, true, &import, &err), &err);
    CHECK_EQ_INT(import.nar_size_bytes, (stream.len - 12) / 3);
    castore_nar_import_done(&import);
  }
  CHECK_STR(rest, "what follows");
  rest = span_sub(buf_span(&stream), 0, (stream.len - 12) / 3 + 8);
  CastoreNarImport import;
  CHECK_ERR(castore_nar_read(&castore, &source, false, &import, &err), &err, ERR_SYNTAX, "");
  castore_nar_import_done(&import);
  close_memory(&castore);
}

// A string of the format.
static void put_str(Buf *nar, Span s) {
  buf_put_u64le(nar, s.len);
  buf_put_span(nar, s);
  buf_put_repeat(nar, 0, (8 - s.len % 8) % 8);
}

static void put_words(Buf *nar, const char *words) { // separated by spaces
  Span rest = span_cstr(words), word;
  while (rest.len > 0) {
    (void)span_split(&rest, ' ', &word);
    put_str(nar, word);
  }
}

TEST(hostile_names_touch_nothing) {
  static const char *const names[] = {"..", ".", "a/b", "/etc/x", "../../escape", "a\\0b"};
  Err err = ERR_INIT;
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    CLEANUP(buf_done) Buf nar = BUF_INIT;
    put_words(&nar, "nix-archive-1 ( type directory entry ( name");
    if (strcmp(names[i], "a\\0b") == 0) put_str(&nar, span_make("a\0b", 3));
    else put_str(&nar, span_cstr(names[i]));
    put_words(&nar, "node ( type regular contents x ) ) )");
    Span rest = buf_span(&nar);
    ByteSource source = byte_stream_from_span(&rest);
    CHECK(!castore_nar_restore(&source, test_temp_path("out"), &err));
    CHECK(err_is_set(&err));
    err_done(&err);
    CHECK_OK(fs_remove_tree(test_temp_path("out"), &err), &err);
    Castore castore = open_memory();
    CastoreNarImport import;
    rest = buf_span(&nar);
    CHECK(!castore_nar_read(&castore, &source, false, &import, &err));
    err_done(&err);
    castore_nar_import_done(&import);
    close_memory(&castore);
  }
}

TEST(link_then_directory_of_that_name_is_no_way_out) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("outside"), 0755, &err), &err);
  put_words(&nar, "nix-archive-1 ( type directory entry ( name a node ( type symlink target");
  put_str(&nar, span_cstr(test_temp_path("outside")));
  put_words(&nar, ") ) entry ( name a node ( type directory entry ( name f node ( type regular contents x ) ) ) ) )");
  Span rest = buf_span(&nar);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK(!castore_nar_restore(&source, test_temp_path("out"), &err));
  err_done(&err);
  CHECK(!fs_exists(test_temp_path("outside/f")));
}

TEST(truncated_anywhere) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  random_tree_make(test_temp_path("tree"), 12, &rng);
  ByteSink sink = byte_stream_to_buf(&nar);
  CHECK_OK(castore_nar_dump_path(test_temp_path("tree"), &sink, &err), &err);
  Castore castore = open_memory();
  for (size_t cut = 0; cut < nar.len; cut += 1 + nar.len / 300) {
    CastoreNarImport import;
    Span rest = span_sub(buf_span(&nar), 0, cut);
    ByteSource source = byte_stream_from_span(&rest);
    CHECK(!castore_nar_read(&castore, &source, cut % 2, &import, &err));
    CHECK(err_is_set(&err));
    err_done(&err);
    castore_nar_import_done(&import);
  }
  close_memory(&castore);
}

TEST(huge_size_needs_no_memory) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf nar = BUF_INIT;
  put_words(&nar, "nix-archive-1 ( type regular contents");
  buf_put_u64le(&nar, UINT64_C(1) << 60);
  buf_put_cstr(&nar, "only this");
  Castore castore = open_memory();
  CastoreNarImport import;
  Span rest = buf_span(&nar);
  ByteSource source = byte_stream_from_span(&rest);
  CHECK(!castore_nar_read(&castore, &source, false, &import, &err));
  err_done(&err);
  castore_nar_import_done(&import);
  close_memory(&castore);
}

TEST_MAIN()
