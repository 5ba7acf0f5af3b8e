// directory_service_test.c: one contract for every backend and combinator, and the digests of FORMATS.md.
#include "castore/directory_service.h"

#include <unistd.h>

#include "base/fs.h"
#include "castore/blob_chunked.h"
#include "castore/castore.h"
#include "castore/directory_combine.h"
#include "castore/directory_memory.h"
#include "formats/base16.h"
#include "harness.h"

typedef void (*Contract)(DirectoryService *service);

static void on_all(Contract contract) {
  static const char *const urls[] = {"memory:",
                                     "local:%s/l1",
                                     "cache:(memory:)(local:%s/l2)",
                                     "first:(local:%s/l3)(memory:)",
                                     "objectstore+file://%s/o1",
                                     "cache:(memory:)(objectstore+file://%s/o2)"};
  for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
    CLEANUP(buf_done) Buf url = BUF_INIT;
    Err err = ERR_INIT;
    const char *mark = strstr(urls[i], "%s");
    buf_put(&url, urls[i], mark ? (size_t)(mark - urls[i]) : strlen(urls[i]));
    if (mark) buf_printf(&url, "%s%s", test_temp_dir(), mark + 2);
    DirectoryService *service;
    CHECK_OK(directory_service_open_url(buf_span(&url), &service, &err), &err);
    contract(service);
    directory_service_free(service);
  }
}

static CastoreNode file(const char *name, Span content) {
  CastoreNode node = {.kind = CASTORE_FILE, .name = span_cstr(name), .size = content.len};
  hash_blake3(content, node.digest.bytes);
  return node;
}

static CastoreNode put(DirectoryService *service, const char *name, CastoreNode *entries, size_t count) {
  Err err = ERR_INIT;
  CastoreDirectory directory = {entries, count};
  CastoreNode node = {.kind = CASTORE_DIRECTORY, .name = span_cstr(name)};
  CHECK_OK(directory_service_put(service, &directory, &node.digest, &err), &err);
  CHECK_OK(castore_node_directory_size(&directory, CASTORE_SIZE_ONCE, &node.size, &err), &err);
  return node;
}

static void check_hex(const CastoreDigest *digest, const char *hex) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  Hash hash = {.algo = HASH_BLAKE3};
  memcpy(hash.bytes, digest->bytes, 32);
  hash_format(&hash, HASH_FORMAT_BASE16, false, &text);
  CHECK_STR(buf_span(&text), hex);
}

static void vectors(DirectoryService *service) {
  CastoreNode a = put(service, "a", NULL, 0);
  check_hex(&a.digest, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  CastoreNode keep_file = file(".keep", SPAN(""));
  CastoreNode keep = put(service, "keep", &keep_file, 1);
  check_hex(&keep.digest, "8b5b5d642b646bb8ed504b0862c39413e87e57491497de7bd075953f7b83810e");
  CHECK_EQ_INT(keep.size, 1);
  CastoreNode complicated[] = {
      keep_file, {.kind = CASTORE_SYMLINK, .name = SPAN("aa"), .target = SPAN("/nix/store/somewhereelse")}, keep};
  CastoreNode root = put(service, "", complicated, 3);
  check_hex(&root.digest, "3f951a15afd586fb3121ef4d13d582e811ce0e5a7f21c0497fd87490e9e2355a");
  CastoreNode b = put(service, "b", &a, 1);
  check_hex(&b.digest, "8701f4722d8dae7f2c40fa003331b8437a3825f9e1bfd3a77998c64cc226b9cc");
}

TEST(digest_vectors) {
  on_all(vectors);
}

static void round_trip(DirectoryService *service) {
  Err err = ERR_INIT;
  CastoreNode files[] = {file("a", SPAN("1")), file("b", SPAN("22"))};
  files[1].executable = true;
  CastoreNode dir = put(service, "d", files, 2);
  for (unsigned flushed = 0; flushed < 2; flushed++) {
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CastoreDirectory got;
    bool found;
    CHECK_OK(directory_service_get(service, &dir.digest, &arena, &got, &found, &err), &err);
    CHECK(found);
    CHECK_EQ_INT(got.count, 2);
    CHECK_STR(got.entries[1].name, "b");
    CHECK(got.entries[1].executable);
    CHECK_EQ_INT(got.entries[1].size, 2);
    CHECK_OK(directory_service_flush(service, &err), &err);
  }
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory none;
  CastoreDigest absent = files[0].digest;
  bool found = true;
  CHECK_OK(directory_service_get(service, &absent, &arena, &none, &found, &err), &err);
  CHECK(!found);
}

TEST(put_and_get) {
  on_all(round_trip);
}

static void invalid(DirectoryService *service) {
  Err err = ERR_INIT;
  CastoreDigest digest;
  CastoreNode twice[] = {file("a", SPAN("")), file("a", SPAN(""))},
              order[] = {file("b", SPAN("")), file("a", SPAN(""))}, slash = file("a/b", SPAN("")),
              dots = file("..", SPAN(""));
  CastoreDirectory bad[] = {{twice, 2}, {order, 2}, {&slash, 1}, {&dots, 1}};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    CHECK(!directory_service_put(service, &bad[i], &digest, &err));
    err_done(&err);
  }
}

TEST(invalid_directories_are_refused) {
  on_all(invalid);
}

static void damaged(DirectoryService *service) {
  Err err = ERR_INIT;
  CastoreNode entry = file("a", SPAN(""));
  CastoreNode dir = put(service, "", &entry, 1);
  CLEANUP(buf_done) Buf encoded = BUF_INIT;
  bool found;
  CastoreDigest wrong = dir.digest;
  wrong.bytes[0] ^= 1;
  CHECK_OK(directory_service_get_encoded(service, &dir.digest, &encoded, &found, &err), &err);
  // A backend that holds other bytes than the digest says.
  CHECK_OK(directory_service_put_encoded(service, &wrong, buf_span(&encoded), &err), &err);
  CHECK_ERR(directory_service_get_encoded(service, &wrong, &encoded, &found, &err), &err, ERR_CORRUPT, "damaged");
}

TEST(damage_is_found) {
  on_all(damaged);
}

static bool count_visits(void *ctx, const CastoreDigest *digest, const CastoreDirectory *directory, Err *err) {
  ++*(size_t *)ctx;
  return true;
}

static void walking(DirectoryService *service) {
  Err err = ERR_INIT;
  CastoreNode leaf_file = file("x", SPAN("x"));
  CastoreNode leaf = put(service, "leaf", &leaf_file, 1), leaf2 = leaf;
  leaf2.name = SPAN("leaf2");
  CastoreNode inner_entries[] = {leaf, leaf2};
  CastoreNode inner = put(service, "inner", inner_entries, 2);
  CastoreNode link = {.kind = CASTORE_SYMLINK, .name = SPAN("link"), .target = SPAN("inner")};
  CastoreNode root_entries[] = {inner, leaf, link};
  CastoreNode root = put(service, "", root_entries, 3);
  size_t visits = 0;
  CHECK_OK(directory_service_walk(service, &root.digest, count_visits, &visits, &err), &err);
  CHECK_EQ_INT(visits, 3); // shared directories once
  static const struct {
    const char *path, *rest;
    bool found;
    CastoreKind kind;
  } cases[] = {{"", "", true, CASTORE_DIRECTORY},
               {"/inner/leaf2/x", "", true, CASTORE_FILE},
               {"/nope", "/nope", false, CASTORE_DIRECTORY},
               {"/inner/nope/x", "/nope/x", false, CASTORE_DIRECTORY},
               {"/link/leaf/x", "/leaf/x", false, CASTORE_SYMLINK},
               {"/leaf/x/y", "/y", false, CASTORE_FILE}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CastoreNode node;
    Span rest;
    bool found;
    CHECK_OK(directory_service_descend(service, &root, span_cstr(cases[i].path), &arena, &node, &rest, &found, &err),
             &err);
    CHECK_EQ_INT(found, cases[i].found);
    CHECK_EQ_INT(node.kind, cases[i].kind);
    CHECK_STR(rest, cases[i].rest);
  }
}

TEST(walk_and_descend) {
  on_all(walking);
}

TEST(read_only_refuses) {
  Err err = ERR_INIT;
  DirectoryService *service = directory_combine_read_only(directory_memory_new());
  CastoreDirectory empty = {NULL, 0};
  CastoreDigest digest;
  CHECK_ERR(directory_service_put(service, &empty, &digest, &err), &err, ERR_OTHER, "read-only");
  directory_service_free(service);
}

// Bytes as tvix and snix write them: only the root has an object, and its children come with it.
TEST(closures_of_others) {
  Err err = ERR_INIT;
  CastoreNode keep_file = file(".keep", SPAN(""));
  DirectoryService *memory = directory_memory_new(), *service;
  CastoreNode keep = put(memory, "keep", &keep_file, 1), root = put(memory, "", &keep, 1);
  CLEANUP(buf_done) Buf frames = BUF_INIT;
  CLEANUP(buf_done) Buf packed = BUF_INIT;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf url = BUF_INIT;
  const CastoreDigest *order[] = {&root.digest, &keep.digest};
  for (size_t i = 0; i < 2; i++) {
    CLEANUP(buf_done) Buf encoded = BUF_INIT;
    bool found;
    CHECK_OK(directory_service_get_encoded(memory, order[i], &encoded, &found, &err), &err);
    buf_put(&frames, (char[4]){0, 0, 0, (char)encoded.len}, 4);
    buf_put_span(&frames, buf_span(&encoded));
  }
  CHECK_OK(blob_chunked_compress(buf_span(&frames), &packed, &err), &err);
  blob_chunked_format_path(test_temp_path("o"), "dirs", &root.digest, &path);
  CHECK_OK(blob_chunked_write_object(buf_cstr(&path), buf_span(&packed), &err), &err);
  buf_printf(&url, "objectstore+file://%s", test_temp_path("o"));
  CHECK_OK(directory_service_open_url(buf_span(&url), &service, &err), &err);
  for (size_t i = 0; i < 2; i++) {
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CastoreDirectory got;
    bool found;
    CHECK_OK(directory_service_get(service, order[i], &arena, &got, &found, &err), &err);
    CHECK(found && got.count == 1);
  }
  directory_service_free(service);
  // What we write for that root is the same object.
  CLEANUP(buf_done) Buf own_url = BUF_INIT;
  CLEANUP(buf_done) Buf own_path = BUF_INIT;
  CLEANUP(buf_done) Buf own = BUF_INIT;
  CLEANUP(buf_done) Buf plain = BUF_INIT;
  buf_printf(&own_url, "objectstore+file://%s", test_temp_path("own"));
  CHECK_OK(directory_service_open_url(buf_span(&own_url), &service, &err), &err);
  (void)put(service, "keep", &keep_file, 1);
  (void)put(service, "", &keep, 1);
  CHECK_OK(directory_service_flush(service, &err), &err);
  directory_service_free(service);
  blob_chunked_format_path(test_temp_path("own"), "dirs", &root.digest, &own_path);
  CHECK_OK(fs_read_file(buf_cstr(&own_path), 0, &own, &err), &err);
  CHECK_OK(blob_chunked_decompress(buf_span(&own), 1000, &plain, &err), &err);
  CHECK_SPAN(buf_span(&plain), buf_span(&frames));
  // Damage is told.
  CHECK_OK(directory_service_open_url(buf_span(&url), &service, &err), &err);
  CHECK(truncate(buf_cstr(&path), (off_t)packed.len - 3) == 0);
  CLEANUP(buf_done) Buf nothing = BUF_INIT;
  bool found;
  CHECK_ERR(directory_service_get_encoded(service, &root.digest, &nothing, &found, &err), &err, ERR_CORRUPT, "cut off");
  directory_service_free(service);
  directory_service_free(memory);
}

TEST_MAIN()
