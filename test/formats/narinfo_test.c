// narinfo_test.c: narinfo files as C++ Nix writes them, with their signatures, and the leniency that caches need.
#include "harness.h"

#include "formats/narinfo.h"
#include "formats/signature.h"

// From `nix copy --to file://...?secret-key=...` of Nix 2.8.
#define KEY "firn-test-1:swYFVxkSt4BDgYRq1FMStv0WhL1Dva/FLIe3t6yu7Ts="
#define USER                                                                                   \
  "StorePath: /nix/store/ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user\n"                              \
  "URL: nar/1bjjn6hhmj5d892gcffxx4xwqxv0a3xy0m5wmbdh15iij7kqkfch.nar.zst\n"                    \
  "Compression: zstd\n"                                                                        \
  "FileHash: sha256:1bjjn6hhmj5d892gcffxx4xwqxv0a3xy0m5wmbdh15iij7kqkfch\n"                    \
  "FileSize: 167\n"                                                                            \
  "NarHash: sha256:17hcgfays0lg0vrq696gifsf6bvv3pbnb0qkbc1xwdzy08r2fhqd\n"                     \
  "NarSize: 216\n"                                                                             \
  "References: ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user drkxw2h2m1bn8sz6lzkscyjgmq5fr5c3-a.txt\n" \
  "Deriver: hgh9s8dqgybk8gywz61q92ny4s35djp4-user.drv\n"                                       \
  "Sig: firn-test-1:sY9wP+oQBhL/HtvcZu8HnyUCWDjm0kuzvwicQCrjhzoEDMcR+qn/7cBzKfFXZtHXWBNT4F1youZ+4h+clTx8Dg==\n"
#define TEXT_FILE                                                                                               \
  "StorePath: /nix/store/drkxw2h2m1bn8sz6lzkscyjgmq5fr5c3-a.txt\n"                                              \
  "URL: nar/1fyfigrbiwvxavmqipnbcky2dm23dvlzlzbq8dpw2f1ji3wcnbw5.nar.zst\n"                                     \
  "Compression: zstd\n"                                                                                         \
  "FileHash: sha256:1fyfigrbiwvxavmqipnbcky2dm23dvlzlzbq8dpw2f1ji3wcnbw5\n"                                     \
  "FileSize: 88\n"                                                                                              \
  "NarHash: sha256:0di6svknalxbw1rd661hnj3dfkg3zbj9j3jd5xrqh5nn3a4pqk6d\n"                                      \
  "NarSize: 120\n"                                                                                              \
  "References: \n"                                                                                              \
  "Sig: firn-test-1:UufMVx4US71g5F9qpWO6QyoD1Z5vHDnZTfPGfUPAAcbibgTuGhNPvQcvIrr/g2uLZ/DbOv7de+hVQC4YnbqiDQ==\n" \
  "CA: text:sha256:1y134a7qw0fl3vdcsz7cx3w1dn3cywd8wl92f2nrx5avd2nzdlwf\n"

// Formats back to the same text, and the signature holds.
static void check_signed(const char *text, NarInfo *ret, Arena *arena) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT, fingerprint = BUF_INIT;
  SignaturePublicKey key;
  Signature signature;
  CHECK_OK(narinfo_parse(span_cstr(text), STORE_PATH_DIR, "test", arena, ret, &err), &err);
  narinfo_format(ret, STORE_PATH_DIR, &out);
  CHECK_STR(buf_span(&out), text);
  CHECK_OK(signature_parse_public_key(SPAN(KEY), &key, &err), &err);
  CHECK_EQ_INT(ret->sig_count, 1);
  CHECK_OK(signature_parse(ret->sigs[0], &signature, &err), &err);
  CHECK_OK(signature_fingerprint(&ret->path, &ret->nar_hash, ret->nar_size_bytes, ret->refs, ret->ref_count,
                                 STORE_PATH_DIR, &fingerprint, &err),
           &err);
  CHECK(signature_verify(&key, buf_span(&fingerprint), &signature));
  buf_done(&out);
  buf_done(&fingerprint);
}

TEST(written_by_nix) {
  Arena arena = ARENA_INIT;
  NarInfo info;
  check_signed(USER, &info, &arena);
  CHECK(info.has_deriver && info.ref_count == 2 && info.file_size_bytes == 167 && !info.has_ca);
  check_signed(TEXT_FILE, &info, &arena);
  CHECK(!info.has_deriver && info.ref_count == 0 && info.has_ca && info.ca.method == CA_TEXT);
  // The content address gives the path.
  Err err = ERR_INIT;
  StorePath path;
  CHECK_OK(store_path_make_fixed(store_path_name(&info.path), &info.ca, NULL, STORE_PATH_DIR, &path, &err), &err);
  CHECK(store_path_eq(&path, &info.path));
  arena_done(&arena);
}

#define MINIMAL                                                                    \
  "StorePath: /nix/store/ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user\nURL: u\nNarHash: " \
  "sha256:17hcgfays0lg0vrq696gifsf6bvv3pbnb0qkbc1xwdzy08r2fhqd\nNarSize: 216\n"

TEST(leniency) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  NarInfo info, from_hex;
  CHECK_OK(
      narinfo_parse(
          SPAN(
              MINIMAL
              "Unknown: x\nDeriver: unknown-deriver\nCA: \nReferences:   drkxw2h2m1bn8sz6lzkscyjgmq5fr5c3-a.txt "
              "ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user \nSig: b\nSig: a\nSig: b\n"),
          STORE_PATH_DIR, "test", &arena, &info, &err),
      &err);
  CHECK_STR(info.compression, "bzip2");
  CHECK(!info.has_deriver && !info.has_ca && !info.has_file_hash && info.file_size_bytes == 0);
  CHECK_EQ_INT(info.ref_count, 2);
  CHECK_STR(store_path_name(&info.refs[0]), "user");
  CHECK_EQ_INT(info.sig_count, 2);
  CHECK_STR(info.sigs[0], "a");
  Buf hex = BUF_INIT;
  buf_put_cstr(&hex, "StorePath: /nix/store/ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user\nURL: u\nNarSize: 216\nNarHash: ");
  hash_format(&info.nar_hash, HASH_FORMAT_BASE16, true, &hex);
  buf_put_char(&hex, '\n');
  CHECK_OK(narinfo_parse(buf_span(&hex), STORE_PATH_DIR, "test", &arena, &from_hex, &err), &err);
  CHECK(hash_eq(&from_hex.nar_hash, &info.nar_hash));
  CHECK_EQ_INT(from_hex.ref_count, 0);
  buf_done(&hex);
  arena_done(&arena);
}

static void check_bad(const char *text, const char *message) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  NarInfo info;
  CHECK(!narinfo_parse(span_cstr(text), STORE_PATH_DIR, "w", &arena, &info, &err));
  CHECK_STR(span_cstr(err_message(&err)), message);
  err_done(&err);
  arena_done(&arena);
}

TEST(malformed) {
  check_bad("", "NAR info file 'w' is corrupt: StorePath missing");
  check_bad("x", "NAR info file 'w' is corrupt: expecting ':' at line 1");
  check_bad("a: b\nURL: x", "NAR info file 'w' is corrupt: expecting '\\n' at line 2");
  check_bad("NarHash: x\n", "NAR info file 'w' is corrupt: bad hash at line 1");
  check_bad("NarSize: -1\n", "NAR info file 'w' is corrupt: invalid NarSize at line 1");
  check_bad("FileSize: 1x\n", "NAR info file 'w' is corrupt: invalid FileSize at line 1");
  check_bad("StorePath: /x\n", "NAR info file 'w', line 1: path '/x' is not in the Nix store");
  check_bad(MINIMAL "CA: text:sha256:1y134a7qw0fl3vdcsz7cx3w1dn3cywd8wl92f2nrx5avd2nzdlwf\nCA: x\n",
            "NAR info file 'w' is corrupt: extra CA at line 6");
  check_bad(MINIMAL "References: ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user\nReferences: \n",
            "NAR info file 'w' is corrupt: extra References at line 6");
  check_bad("StorePath: /nix/store/ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user\n",
            "NAR info file 'w' is corrupt: NarHash missing");
  check_bad("StorePath: /nix/store/ahl1rnc5h82pl5yzmjwc4r7fh2a4mdi2-user\nURL: x\nNarHash: "
            "sha256:17hcgfays0lg0vrq696gifsf6bvv3pbnb0qkbc1xwdzy08r2fhqd\n",
            "NAR info file 'w' is corrupt: NarSize missing or zero");
}

TEST_MAIN()
