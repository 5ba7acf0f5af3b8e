// castore_node_test.c: the digests that tvix and snix pin, canonical form, and the checks on directories.
#include "harness.h"

#include "formats/base16.h"
#include "formats/castore_node.h"
#include "formats/pb_wire.h"

static void check_digest(const CastoreDigest *digest, const char *hex) {
  Buf text = BUF_INIT;
  base16_put(&text, digest->bytes, sizeof(digest->bytes));
  CHECK_STR(buf_span(&text), hex);
  buf_done(&text);
}

// Digests the directory, and CHECKs that it decodes to itself.
static CastoreDigest digest_of(CastoreNode *entries, size_t count) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  CastoreDirectory directory = {entries, count}, again;
  CastoreDigest digest;
  Buf scratch = BUF_INIT, twice = BUF_INIT;
  CHECK_OK(castore_node_check_directory(&directory, &err), &err);
  castore_node_directory_digest(&directory, &scratch, &digest);
  CHECK_OK(castore_node_decode_directory(buf_span(&scratch), &arena, &again, &err), &err);
  CHECK_EQ_INT(again.count, count);
  for (size_t i = 0; i < count; i++) {
    CHECK_SPAN(again.entries[i].name, entries[i].name);
    CHECK(again.entries[i].kind == entries[i].kind && again.entries[i].size == entries[i].size);
    CHECK(again.entries[i].executable == entries[i].executable);
    CHECK_SPAN(again.entries[i].target, entries[i].target);
    CHECK(castore_node_digest_eq(&again.entries[i].digest, &entries[i].digest));
  }
  castore_node_encode_directory(&again, &twice);
  CHECK_SPAN(buf_span(&twice), buf_span(&scratch));
  buf_done(&scratch);
  buf_done(&twice);
  arena_done(&arena);
  return digest;
}

static CastoreNode dir(const char *name, CastoreDigest digest, uint64_t size) {
  return (CastoreNode){.kind = CASTORE_DIRECTORY, .name = span_cstr(name), .digest = digest, .size = size};
}

TEST(fixtures) {
  CastoreDigest empty, with_keep, a, b;
  hash_blake3(SPAN(""), empty.bytes);
  a = digest_of(NULL, 0);
  CHECK(castore_node_digest_eq(&a, &empty));
  check_digest(&a, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");

  CastoreNode keep_file = {.kind = CASTORE_FILE, .name = SPAN(".keep"), .digest = empty};
  with_keep = digest_of(&keep_file, 1);
  check_digest(&with_keep, "8b5b5d642b646bb8ed504b0862c39413e87e57491497de7bd075953f7b83810e");
  Buf bytes = BUF_INIT;
  castore_node_encode_directory(&(CastoreDirectory){&keep_file, 1}, &bytes);
  CHECK_EQ_INT(bytes.len, 43);
  CHECK(memcmp(bytes.data, "\x12\x29\x0a\x05.keep\x12\x20", 11) == 0);
  buf_done(&bytes);

  CastoreNode complicated[] = {
      keep_file,
      {.kind = CASTORE_SYMLINK, .name = SPAN("aa"), .target = SPAN("/nix/store/somewhereelse")},
      dir("keep", with_keep, 1)};
  CastoreDigest digest = digest_of(complicated, 3);
  check_digest(&digest, "3f951a15afd586fb3121ef4d13d582e811ce0e5a7f21c0497fd87490e9e2355a");
  complicated[2].size = 2;
  digest = digest_of(complicated, 3);
  check_digest(&digest, "424a7f6ce08d805d15b428062faae96299a1675d708c3a39261afe38cdd04feb");

  CastoreNode in_b[] = {dir("a", a, 0)};
  b = digest_of(in_b, 1);
  check_digest(&b, "8701f4722d8dae7f2c40fa003331b8437a3825f9e1bfd3a77998c64cc226b9cc");
  CastoreNode in_c[] = {dir("a", a, 0), dir("a'", a, 0)};
  digest = digest_of(in_c, 2);
  check_digest(&digest, "78eb200ae0cc95d4ea954655fbcf91e285013a261310e161927f2401d2bca803");
  CastoreNode in_d[] = {dir("a", a, 0), dir("b", b, 1)};
  digest = digest_of(in_d, 2);
  check_digest(&digest, "99922a5c1801805287a647af73bca0ed7352a5f7f373e54992795bcc4a235213");
  in_d[1].size = 2;
  digest = digest_of(in_d, 2);
  check_digest(&digest, "76cd8b55b37333961c1778ba997e57df92e219926ae5a66c414b810331a77603");
}

TEST(sizes) {
  Err err = ERR_INIT;
  uint64_t size;
  CastoreDigest none = {{0}};
  CastoreNode entries[] = {
      dir("a", none, 5), dir("b", none, 7), {.kind = CASTORE_FILE, .name = SPAN("c"), .size = 1000}};
  CastoreDirectory directory = {entries, 3};
  CHECK_OK(castore_node_directory_size(&directory, CASTORE_SIZE_ONCE, &size, &err), &err);
  CHECK_EQ_INT(size, 15);
  CHECK_OK(castore_node_directory_size(&directory, CASTORE_SIZE_TWICE, &size, &err), &err);
  CHECK_EQ_INT(size, 18);
  entries[1].size = UINT64_MAX - 7;
  CHECK_ERR(castore_node_directory_size(&directory, CASTORE_SIZE_ONCE, &size, &err), &err, ERR_LIMIT,
            "does not fit 64 bits");
  CHECK_ERR(castore_node_check_directory(&directory, &err), &err, ERR_LIMIT, "does not fit 64 bits");
}

static void check_bad_directory(CastoreNode *entries, size_t count, const char *message) {
  Err err = ERR_INIT;
  CastoreDirectory directory = {entries, count};
  CHECK(!castore_node_check_directory(&directory, &err));
  CHECK_CONTAINS(span_cstr(err_message(&err)), message);
  err_done(&err);
}

TEST(checks) {
  CastoreDigest none = {{0}};
  char long_name[257];
  memset(long_name, 'n', 256);
  long_name[256] = 0;
  static const char *const bad[] = {"", ".", "..", "a/b", "/"};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) check_bad_directory((CastoreNode[]){dir(bad[i], none, 0)}, 1, "");
  check_bad_directory((CastoreNode[]){dir(long_name, none, 0)}, 1, "longer than 255 bytes");
  CastoreNode nul = dir("x", none, 0);
  nul.name = SPAN("a\0b");
  check_bad_directory(&nul, 1, "NUL byte");
  check_bad_directory((CastoreNode[]){dir("a", none, 0), dir("a", none, 0)}, 2, "'a' is twice in the directory");
  check_bad_directory((CastoreNode[]){dir("b", none, 0), dir("a", none, 0)}, 2, "'a' is out of order");
  CastoreNode link = {.kind = CASTORE_SYMLINK, .name = SPAN("l"), .target = SPAN("")};
  check_bad_directory(&link, 1, "'l' has no target");
  link.target = SPAN("a\0b");
  check_bad_directory(&link, 1, "NUL byte");
  Err err = ERR_INIT;
  CHECK_ERR(castore_node_check(&link, true, &err), &err, ERR_SYNTAX, "the name 'l' is not allowed here");
}

static void check_bad_bytes(const Buf *bytes, const char *message) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  CHECK(!castore_node_decode_directory(buf_span(bytes), &arena, &directory, &err));
  CHECK_CONTAINS(span_cstr(err_message(&err)), message);
  err_done(&err);
  arena_done(&arena);
}

static void put_entry(Buf *buf, uint32_t field, Span name, size_t digest_len, uint64_t size) {
  char digest[40] = {0};
  size_t mark = pb_wire_message_begin(buf, field);
  pb_wire_put_bytes_always(buf, 1, name);
  pb_wire_put_bytes_always(buf, 2, span_make(digest, digest_len));
  pb_wire_put_uint(buf, 3, size);
  pb_wire_message_end(buf, mark);
}

TEST(decoding_is_strict) {
  Buf bytes = BUF_INIT;
  put_entry(&bytes, 1, SPAN("a"), 31, 0);
  check_bad_bytes(&bytes, "a digest has 31 bytes instead of 32");
  buf_clear(&bytes);
  put_entry(&bytes, 2, SPAN("b"), 32, 0);
  put_entry(&bytes, 2, SPAN("a"), 32, 0);
  check_bad_bytes(&bytes, "not canonical");
  buf_clear(&bytes);
  put_entry(&bytes, 2, SPAN("a"), 32, 0);
  put_entry(&bytes, 1, SPAN("b"), 32, 0);
  check_bad_bytes(&bytes, "not canonical");
  buf_clear(&bytes);
  put_entry(&bytes, 1, SPAN("a"), 32, 0);
  put_entry(&bytes, 2, SPAN("a"), 32, 0);
  check_bad_bytes(&bytes, "'a' is twice in the directory");
  buf_clear(&bytes);
  put_entry(&bytes, 4, SPAN("a"), 32, 0);
  check_bad_bytes(&bytes, "unknown field 4");
  buf_clear(&bytes);
  put_entry(&bytes, 1, SPAN(""), 32, 0);
  check_bad_bytes(&bytes, "name of a directory entry is empty");
  buf_clear(&bytes);
  size_t mark = pb_wire_message_begin(&bytes, 1);
  pb_wire_put_bytes(&bytes, 1, SPAN("a"));
  pb_wire_message_end(&bytes, mark);
  check_bad_bytes(&bytes, "the entry 'a' has no digest");
  buf_clear(&bytes);
  put_entry(&bytes, 1, SPAN("a"), 32, 0);
  buf_put(&bytes, "\x08", 1);
  check_bad_bytes(&bytes, "ends inside a varint");
  bytes.len--;
  buf_put(&bytes, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11);
  check_bad_bytes(&bytes, "longer than 64 bits");
  bytes.len -= 11;
  buf_put(&bytes, "\x0a\x05x", 3);
  check_bad_bytes(&bytes, "longer than the message");
  buf_done(&bytes);
}

TEST(single_nodes) {
  Err err = ERR_INIT;
  Buf bytes = BUF_INIT, text = BUF_INIT;
  CastoreNode node = {.kind = CASTORE_FILE, .executable = true, .size = 300}, again;
  CastoreDigest digest;
  memset(node.digest.bytes, 0xab, 32);
  castore_node_encode(&node, &bytes);
  CHECK_OK(castore_node_decode(buf_span(&bytes), &again, &err), &err);
  CHECK(again.kind == CASTORE_FILE && again.executable && again.size == 300 && again.name.len == 0);
  CHECK_ERR(castore_node_decode(SPAN(""), &again, &err), &err, ERR_SYNTAX, "neither directory, file nor symbolic link");
  castore_node_format_digest(&node.digest, &text);
  CHECK_STR(buf_span(&text), "blake3-q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=");
  CHECK_OK(castore_node_parse_digest(buf_span(&text), &digest, &err), &err);
  CHECK(castore_node_digest_eq(&digest, &node.digest));
  CHECK_OK(castore_node_parse_digest(SPAN("b3:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="), &digest, &err), &err);
  CHECK_ERR(castore_node_parse_digest(SPAN("blake3-q6ur"), &digest, &err), &err, ERR_SYNTAX,
            "is not base64 of 32 bytes");
  CHECK_ERR(castore_node_parse_digest(SPAN("sha256-q6ur"), &digest, &err), &err, ERR_SYNTAX, "does not begin with");
  buf_done(&bytes);
  buf_done(&text);
}

TEST(long_messages_move) {
  Buf bytes = BUF_INIT;
  char data[20000];
  memset(data, 'd', sizeof(data));
  for (size_t len = 100; len < sizeof(data); len += 97) {
    buf_clear(&bytes);
    size_t outer = pb_wire_message_begin(&bytes, 1), inner = pb_wire_message_begin(&bytes, 2);
    pb_wire_put_bytes(&bytes, 3, span_make(data, len));
    pb_wire_message_end(&bytes, inner);
    pb_wire_message_end(&bytes, outer);
    PbWireReader reader = {buf_span(&bytes)};
    PbWireField field;
    Err err = ERR_INIT;
    bool end;
    for (uint32_t number = 1; number <= 3; number++) {
      CHECK_OK(pb_wire_next(&reader, &field, &end, &err), &err);
      CHECK(!end && field.number == number && reader.rest.len == 0);
      reader.rest = field.bytes;
    }
    CHECK_SPAN(field.bytes, span_make(data, len));
  }
  buf_done(&bytes);
}

TEST_MAIN()
