// castore_archive_test.c: archives of every kind become the trees they were made of; hostile ones are refused by name.
#include "castore/castore_archive.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "castore/blob_memory.h"
#include "castore/castore_import.h"
#include "castore/castore_nar.h"
#include "castore/directory_memory.h"
#include "harness.h"
#include "random_tree.h"

static Castore open_memory(void) {
  return (Castore){blob_memory_new(), directory_memory_new()};
}

static void close_memory(Castore *castore) {
  blob_service_free(castore->blobs);
  directory_service_free(castore->directories);
}

static bool run(const char *const *argv) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  CLEANUP(buf_done) Buf out = BUF_INIT;
  CLEANUP(buf_done) Buf errors = BUF_INIT;
  int status;
  Err err = ERR_INIT;
  spec.argv = argv;
  bool ok = process_run(&spec, &out, &errors, &status, &err) && status == 0;
  if (!ok) test_note("%s: %s %.*s", argv[0], err_message(&err), SPAN_ARG(buf_span(&errors)));
  err_done(&err);
  return ok;
}

// Pieces of a few bytes, so that no boundary is special.
typedef struct Pieces {
  Span rest;
  size_t piece;
  bool fail_at_end;
} Pieces;

static bool pieces_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  Pieces *pieces = ctx;
  size_t n = pieces->rest.len < pieces->piece ? pieces->rest.len : pieces->piece;
  if (n > cap) n = cap;
  if (n == 0 && pieces->fail_at_end) return err_set(err, ERR_IO, "the line went dead");
  if (n > 0) memcpy(data, pieces->rest.data, n);
  pieces->rest = span_from(pieces->rest, n);
  *ret_len = n;
  return true;
}

static bool read_archive(Castore *castore, Span bytes, size_t piece, const CastoreArchiveOptions *options,
                         CastoreArchive *ret, Err *err) {
  Pieces pieces = {bytes, piece, false};
  return castore_archive_read(castore, &(ByteSource){pieces_take, &pieces}, options, ret, err);
}

static void check_same_tree(Castore *castore, const char *archive, const CastoreDigest *want, uint64_t entries) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf bytes = BUF_INIT;
  CastoreArchive got;
  CHECK_OK(fs_read_file(archive, 0, &bytes, &err), &err);
  CHECK_OK(read_archive(castore, buf_span(&bytes), 1 + bytes.len / 7, NULL, &got, &err), &err);
  if (!castore_node_digest_eq(&got.top.digest, want)) test_fail(__FILE__, __LINE__, "%s: another tree", archive);
  CHECK_EQ_INT(got.entry_count, entries); // those of the import count its root
  CHECK(got.last_modified_s > 0);
}

TEST(every_kind) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  const char *tree = test_temp_path("tree");
  random_tree_make(tree, 120, &rng);
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  Castore castore = open_memory();
  CHECK_OK(castore_import_path(&castore, tree, NULL, &import, &err), &err);
  // Names are random bytes: gnu stores them as they are, pax as they are when they are no UTF-8.
  static const char *const formats[] = {"gnu", "pax"};
  static const char *const filters[] = {"", "--gzip", "--bzip2", "--xz", "--zstd", "--lzma"};
  for (size_t i = 0; i < ARRAY_LEN(formats); i++)
    for (size_t j = 0; j < ARRAY_LEN(filters); j++) {
      CLEANUP(buf_done) Buf format = BUF_INIT;
      buf_printf(&format, "--format=%s", formats[i]);
      const char *out = test_temp_path("out.tar");
      const char *argv[] = {"tar", "-cf", out, buf_cstr(&format), "-C", test_temp_dir(), "tree", filters[j], NULL};
      if (!filters[j][0]) argv[7] = NULL;
      if (!run(argv)) continue;
      check_same_tree(&castore, out, &import.root.digest, import.entry_count);
    }
  close_memory(&castore);
}

TEST(zip) {
  Err err = ERR_INIT;
  const char *script =
      "import sys, zipfile\n"
      "z = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\n"
      "def add(name, mode, data):\n"
      "  i = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)); i.create_system = 3; i.external_attr = mode << 16\n"
      "  z.writestr(i, data)\n"
      "add('top/', 0o40755, '')\n"
      "add('top/run', 0o100755, '#!/bin/sh\\n' * 30000)\n"
      "add('top/gr\\u00fcn', 0o100644, 'x')\n"
      "add('top/link', 0o120777, 'run')\n"
      "z.close()\n";
  CHECK(run((const char *[]){"python3", "-c", script, test_temp_path("a.zip"), NULL}));
  CLEANUP(buf_done) Buf bytes = BUF_INIT;
  CHECK_OK(fs_read_file(test_temp_path("a.zip"), 0, &bytes, &err), &err);
  Castore castore = open_memory();
  CastoreArchive got;
  CHECK_OK(read_archive(&castore, buf_span(&bytes), 100, NULL, &got, &err), &err);
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory top;
  bool found;
  CHECK_OK(directory_service_get(castore.directories, &got.top.digest, &arena, &top, &found, &err), &err);
  CHECK(found && top.count == 3);
  CHECK_STR(top.entries[0].name, "gr\303\274n");
  CHECK_STR(top.entries[1].name, "link");
  CHECK(top.entries[1].kind == CASTORE_SYMLINK);
  CHECK_STR(top.entries[1].target, "run");
  CHECK(top.entries[2].executable && top.entries[2].size == 300000);
  // Cut off anywhere, it is an error, never a part.
  for (size_t len = 0; len < bytes.len; len += 1 + bytes.len / 50)
    CHECK_ERR(read_archive(&castore, span_sub(buf_span(&bytes), 0, len), 100, NULL, &got, &err), &err, ERR_SYNTAX,
              "unpacking an archive");
  close_memory(&castore);
}

// ---- archives by hand

static void put_entry(Buf *tar, const char *name, char type, const char *link, uint64_t size, const char *content) {
  char header[512] = {0};
  snprintf(header, 100, "%s", name);
  snprintf(header + 100, 8, "%07o", 0644u);
  snprintf(header + 108, 8, "%07o", 0u);
  snprintf(header + 116, 8, "%07o", 0u);
  snprintf(header + 124, 12, "%011llo", (unsigned long long)size);
  snprintf(header + 136, 12, "%011o", 1000000000u);
  header[156] = type;
  snprintf(header + 157, 100, "%s", link);
  memcpy(header + 257, "ustar\00000", 8);
  memset(header + 148, ' ', 8);
  unsigned sum = 0;
  for (size_t i = 0; i < sizeof(header); i++) sum += (unsigned char)header[i];
  snprintf(header + 148, 8, "%06o", sum);
  buf_put(tar, header, sizeof(header));
  if (!content) return;
  buf_put_cstr(tar, content);
  buf_put_repeat(tar, 0, (512 - strlen(content) % 512) % 512);
}

static void put_end(Buf *tar) {
  buf_put_repeat(tar, 0, 1024);
}

static void check_refused(Buf *tar, ErrKind kind, const char *part) {
  Err err = ERR_INIT;
  Castore castore = open_memory();
  CastoreArchive got;
  put_end(tar);
  CHECK_ERR(read_archive(&castore, buf_span(tar), 1000, NULL, &got, &err), &err, kind, part);
  close_memory(&castore);
  buf_clear(tar);
}

// The entries of the top directory: "name=content name>target name/"
static void check_accepted(Buf *tar, const char *want) {
  Err err = ERR_INIT;
  Castore castore = open_memory();
  CastoreArchive got;
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CastoreDirectory top;
  bool found;
  put_end(tar);
  CHECK_OK(read_archive(&castore, buf_span(tar), 1000, NULL, &got, &err), &err);
  CHECK_OK(directory_service_get(castore.directories, &got.root.digest, &arena, &top, &found, &err), &err);
  for (size_t i = 0; i < top.count; i++) {
    const CastoreNode *node = &top.entries[i];
    buf_printf(&text, "%s%.*s", i ? " " : "", SPAN_ARG(node->name));
    if (node->kind == CASTORE_DIRECTORY) buf_put_char(&text, '/');
    if (node->kind == CASTORE_SYMLINK) buf_printf(&text, ">%.*s", SPAN_ARG(node->target));
    if (node->kind != CASTORE_FILE) continue;
    buf_put_char(&text, '=');
    CHECK_OK(blob_service_get(castore.blobs, &node->digest, 0, &text, &found, &err), &err);
  }
  CHECK_STR(buf_span(&text), want);
  close_memory(&castore);
  buf_clear(tar);
}

TEST(hostile_names) {
  CLEANUP(buf_done) Buf tar = BUF_INIT;
  put_entry(&tar, "../escape", '0', "", 1, "x");
  check_refused(&tar, ERR_SYNTAX, "entry '../escape': its name leads out of the archive");
  put_entry(&tar, "a/../../escape", '0', "", 1, "x");
  check_refused(&tar, ERR_SYNTAX, "leads out of the archive");
  put_entry(&tar, "/etc/passwd", '0', "", 1, "x");
  check_accepted(&tar, "etc/");
  put_entry(&tar, "a", '2', "/etc", 0, NULL);
  put_entry(&tar, "a/passwd", '0', "", 1, "x");
  check_refused(&tar, ERR_SYNTAX, "entry 'a/passwd': it lies below 'a', which is no directory");
  put_entry(&tar, "a", '0', "", 1, "x");
  put_entry(&tar, "a/b", '0', "", 1, "x");
  check_refused(&tar, ERR_SYNTAX, "which is no directory");
  put_entry(&tar, "A", '0', "", 1, "1");
  put_entry(&tar, "a", '0', "", 1, "2");
  check_accepted(&tar, "A=1 a=2"); // names that differ in case are two names
  put_entry(&tar, "././/a", '0', "", 1, "1");
  put_entry(&tar, "./", '5', "", 0, NULL);
  check_accepted(&tar, "a=1");
  put_entry(&tar, "..", '5', "", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "leads out");
  put_entry(&tar, "./", '2', "/etc", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "directory with entries and for something else");
}

TEST(twice) {
  CLEANUP(buf_done) Buf tar = BUF_INIT;
  put_entry(&tar, "a", '0', "", 1, "1");
  put_entry(&tar, "a", '0', "", 1, "2");
  check_accepted(&tar, "a=2");
  put_entry(&tar, "a", '0', "", 1, "1");
  put_entry(&tar, "a", '2', "b", 0, NULL);
  check_accepted(&tar, "a>b");
  put_entry(&tar, "a/b", '0', "", 1, "1");
  put_entry(&tar, "a/", '5', "", 0, NULL);
  check_accepted(&tar, "a/");
  put_entry(&tar, "a/b", '0', "", 1, "1");
  put_entry(&tar, "a", '0', "", 1, "2");
  check_refused(&tar, ERR_SYNTAX, "entry 'a': it stands for a directory with entries and for something else");
}

TEST(links_and_devices) {
  CLEANUP(buf_done) Buf tar = BUF_INIT;
  put_entry(&tar, "a", '0', "", 1, "1");
  put_entry(&tar, "b", '1', "a", 0, NULL);
  put_entry(&tar, "c", '1', "/b", 0, NULL);
  put_entry(&tar, "a", '1', "a", 0, NULL);
  check_accepted(&tar, "a=1 b=1 c=1");
  put_entry(&tar, "b", '1', "../../etc/passwd", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "leads out");
  put_entry(&tar, "b", '1', "later", 0, NULL);
  put_entry(&tar, "later", '0', "", 1, "1");
  check_refused(&tar, ERR_SYNTAX, "entry 'b': it is a hard link to 'later', which is no file before it");
  put_entry(&tar, "d/x", '0', "", 1, "1");
  put_entry(&tar, "b", '1', "d", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "which is no file before it");
  put_entry(&tar, "b", '2', "/etc/passwd", 0, NULL);
  check_accepted(&tar, "b>/etc/passwd");
  put_entry(&tar, "b", '3', "", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "entry 'b': it is a device");
  put_entry(&tar, "b", '4', "", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "it is a device");
  put_entry(&tar, "b", '6', "", 0, NULL);
  check_refused(&tar, ERR_SYNTAX, "it is a pipe");
}

TEST(sizes) {
  Err err = ERR_INIT;
  Castore castore = open_memory();
  CastoreArchive got;
  CLEANUP(buf_done) Buf tar = BUF_INIT;
  put_entry(&tar, "a", '0', "", 7777777777, NULL); // 8 GB are told, nothing comes
  CHECK_ERR(read_archive(&castore, buf_span(&tar), 1000, NULL, &got, &err), &err, ERR_SYNTAX, "runcated");
  CHECK_ERR(read_archive(&castore, buf_span(&tar), 1000, &(CastoreArchiveOptions){.limit_bytes = 1000}, &got, &err),
            &err, ERR_LIMIT, "entry 'a': it has 7777777777 bytes");
  buf_clear(&tar);
  for (unsigned i = 0; i < 20; i++) {
    char name[8] = {'f', (char)('a' + i), 0};
    put_entry(&tar, name, '0', "", 100, "");
    buf_put_repeat(&tar, 'x', 512);
  }
  put_end(&tar);
  CHECK_OK(read_archive(&castore, buf_span(&tar), 999, NULL, &got, &err), &err);
  CHECK_EQ_INT(got.file_bytes, 2000);
  CHECK_ERR(read_archive(&castore, buf_span(&tar), 999, &(CastoreArchiveOptions){.limit_bytes = 1999}, &got, &err),
            &err, ERR_LIMIT, "may have 1999");
  CHECK_ERR(read_archive(&castore, buf_span(&tar), 999, &(CastoreArchiveOptions){.limit_entries = 19}, &got, &err),
            &err, ERR_LIMIT, "more than 19 entries");
  // Cut off: at every block but the last ones there is an error or, between two entries, less.
  for (size_t len = 1; len < tar.len - 1024; len += 77)
    if (len % 1024 != 0 && len % 1024 != 512)
      CHECK_ERR(read_archive(&castore, span_sub(buf_span(&tar), 0, len), 999, NULL, &got, &err), &err, ERR_SYNTAX, "");
  close_memory(&castore);
}

TEST(a_bomb) {
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf bytes = BUF_INIT;
  const char *sparse = test_temp_path("zeros"), *tar = test_temp_path("bomb.tar.gz");
  CHECK(run((const char *[]){"truncate", "-s", "300M", sparse, NULL}));
  CHECK(run((const char *[]){"tar", "-czf", tar, "-C", test_temp_dir(), "zeros", NULL}));
  CHECK_OK(fs_read_file(tar, 0, &bytes, &err), &err);
  CHECK(bytes.len < 1000000);
  Castore castore = open_memory();
  CastoreArchive got;
  CHECK_ERR(
      read_archive(&castore, buf_span(&bytes), 65536, &(CastoreArchiveOptions){.limit_bytes = 100000000}, &got, &err),
      &err, ERR_LIMIT, "all files together may have 100000000");
  close_memory(&castore);
}

TEST(no_archives) {
  Err err = ERR_INIT;
  Castore castore = open_memory();
  CastoreArchive got;
  CHECK_ERR(read_archive(&castore, SPAN(""), 1, NULL, &got, &err), &err, ERR_SYNTAX, "it is empty");
  CHECK_ERR(read_archive(&castore, SPAN("<html>not found</html>"), 3, NULL, &got, &err), &err, ERR_SYNTAX,
            "unpacking an archive: ");
  CLEANUP(buf_done) Buf tar = BUF_INIT;
  put_entry(&tar, "a", '0', "", 1, "1");
  Pieces dead = {buf_span(&tar), 100, true};
  CHECK_ERR(castore_archive_read(&castore, &(ByteSource){pieces_take, &dead}, NULL, &got, &err), &err, ERR_IO,
            "the line went dead");
  close_memory(&castore);
}

TEST_MAIN()
