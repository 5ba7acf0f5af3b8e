// store_path_test.c: names, text, and the rules that compute store paths; placeholders. Expected values from C++ Nix.
#include "harness.h"

#include "formats/placeholder.h"
#include "formats/store_path.h"

#define DIR STORE_PATH_DIR

static void check_path(const StorePath *path, const char *want) {
  Buf text = BUF_INIT;
  store_path_format(path, DIR, &text);
  CHECK_STR(buf_span(&text), want);
  buf_done(&text);
}

static void check_name_error(Span name, const char *message) {
  Err err = ERR_INIT;
  CHECK(!store_path_check_name(name, &err));
  CHECK_STR(span_cstr(err_message(&err)), message);
  err_done(&err);
}

TEST(names) {
  char longest[STORE_PATH_NAME_MAX + 1];
  Err err = ERR_INIT;
  memset(longest, 'x', sizeof(longest));
  static const char *const good[] = {"a", ".a", "...", "..a", "-", "a+b-c.d_e?f=g", "AZaz09"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++) CHECK_OK(store_path_check_name(span_cstr(good[i]), &err), &err);
  CHECK_OK(store_path_check_name(span_make(longest, STORE_PATH_NAME_MAX), &err), &err);
  check_name_error(SPAN(""), "name must not be empty");
  check_name_error(SPAN("."), "name '.' is not valid");
  check_name_error(SPAN(".."), "name '..' is not valid");
  check_name_error(SPAN(".-x"), "name '.-x' is not valid: first dash-separated component must not be '.'");
  check_name_error(SPAN("..-x"), "name '..-x' is not valid: first dash-separated component must not be '..'");
  check_name_error(SPAN("a/b"), "name 'a/b' contains illegal character '/'");
  check_name_error(SPAN("a b"), "name 'a b' contains illegal character ' '");
  CHECK_ERR(store_path_check_name(span_make(longest, sizeof(longest)), &err), &err, ERR_SYNTAX,
            "must be no longer than 211 characters");
}

#define GOOD "/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x"

TEST(parse) {
  Err err = ERR_INIT;
  StorePath path;
  Span rest;
  CHECK_OK(store_path_parse(SPAN(GOOD), DIR, &path, &err), &err);
  check_path(&path, GOOD);
  CHECK_STR(store_path_name(&path), "x");
  CHECK_OK(store_path_parse(SPAN("//nix//store/./1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-x/"), DIR, &path, &err), &err);
  check_path(&path, GOOD);
  CHECK_ERR(store_path_parse(SPAN(GOOD "/y"), DIR, &path, &err), &err, ERR_SYNTAX,
            "path '" GOOD "/y' is not in the Nix store");
  CHECK_ERR(store_path_parse(SPAN("/nix/store"), DIR, &path, &err), &err, ERR_SYNTAX,
            "path '/nix/store' is not in the Nix store");
  CHECK_ERR(store_path_parse(SPAN("x"), DIR, &path, &err), &err, ERR_SYNTAX, "not an absolute path: 'x'");
  CHECK_ERR(store_path_parse(SPAN("/nix/store/x"), DIR, &path, &err), &err, ERR_SYNTAX,
            "'x' is too short to be a valid store path");
  CHECK_ERR(store_path_parse(SPAN("/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyge-x"), DIR, &path, &err), &err, ERR_SYNTAX,
            "store path '1k0fppa8b1v3qdk2vmq0q9lpp4dmpyge-x' contains illegal base-32 character 'e'");
  CHECK_ERR(store_path_parse(SPAN("/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-"), DIR, &path, &err), &err, ERR_SYNTAX,
            "path '1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-' is not a valid store path: name must not be empty");
  CHECK_ERR(store_path_parse(SPAN("/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8xx"), DIR, &path, &err), &err, ERR_SYNTAX,
            "no dash");
  CHECK_OK(store_path_split(SPAN(GOOD "/a/b"), DIR, &path, &rest, &err), &err);
  CHECK_STR(rest, "/a/b");
  CHECK_OK(store_path_split(SPAN(GOOD), DIR, &path, &rest, &err), &err);
  CHECK_STR(rest, "");
  CHECK_ERR(store_path_split(SPAN("/etc"), DIR, &path, &rest, &err), &err, ERR_SYNTAX,
            "path '/etc' is not in the Nix store");
  CHECK(store_path_is_below(SPAN("/nix/store/x"), DIR) && !store_path_is_below(SPAN("/nix/stores/x"), DIR) &&
        !store_path_is_below(SPAN("/nix/store/"), DIR));
}

// The order of values is that of their text.
TEST(order) {
  uint64_t rng = test_seed();
  for (int i = 0; i < 5000; i++) {
    Buf a = BUF_INIT, b = BUF_INIT;
    StorePath x = {.name = "a", .name_len = 1}, y = {.name = "b", .name_len = 1};
    test_random_bytes(&rng, x.digest, sizeof(x.digest));
    y = (StorePath){.name = "b", .name_len = 1};
    memcpy(y.digest, x.digest, sizeof(x.digest));
    if (i % 2) y.digest[test_random_below(&rng, 20)] = (uint8_t)test_random(&rng);
    store_path_format_base(&x, &a);
    store_path_format_base(&y, &b);
    int text_order = span_cmp(buf_span(&a), buf_span(&b));
    CHECK_EQ_INT((store_path_cmp(&x, &y) > 0) - (store_path_cmp(&x, &y) < 0), (text_order > 0) - (text_order < 0));
    CHECK_EQ_INT(store_path_eq(&x, &y), text_order == 0);
    buf_done(&a);
    buf_done(&b);
  }
}

// In any order, with any repetitions, some of which come sorted.
TEST(sorting) {
  uint64_t rng = test_seed();
  CHECK_EQ_INT(store_path_sort(NULL, 0), 0);
  for (int i = 0; i < 2000; i++) {
    StorePath paths[8];
    size_t count = test_random_below(&rng, ARRAY_LEN(paths) + 1);
    unsigned seen = 0;
    for (size_t k = 0; k < count; k++) {
      paths[k] = (StorePath){.name = "a", .name_len = 1};
      paths[k].digest[0] = (uint8_t)test_random_below(&rng, 6);
      seen |= 1u << paths[k].digest[0];
    }
    size_t kept = store_path_sort(paths, count);
    CHECK_EQ_INT(kept, __builtin_popcount(seen));
    for (size_t k = 0; k < kept; k++) CHECK(seen & 1u << paths[k].digest[0]);
    for (size_t k = 1; k < kept; k++) CHECK(store_path_cmp(&paths[k - 1], &paths[k]) < 0);
  }
}

// nix-store --print-fixed-path ALGO (hash of "abc") x
TEST(fixed_paths) {
  static const struct {
    HashAlgo algo;
    const char *flat, *recursive;
  } cases[] = {
      {HASH_MD5, "/nix/store/z1cvddiavkafvh2m4k9ad0s5sksalf79-x", "/nix/store/i0v8w4h9kqw08cnyqyxci4wpks8xdrs0-x"},
      {HASH_SHA1, "/nix/store/liwfknbpq6n3av565snlznimmk559b8a-x", "/nix/store/mxm5h60qjq2b5z19bkj9phyyc3zkaxgs-x"},
      {HASH_SHA256, "/nix/store/wg5dqh07jh5lgg9nvzq5skm9i3qkhl00-x", "/nix/store/pc9cg5mrl4hpb00d4mb64abffprgs1rh-x"},
      {HASH_SHA512, "/nix/store/5ybxsyx2b74102i1w6dn1xim5c25k34a-x", "/nix/store/jxc1fv1q319y9yi0z7m9cyykywgy3iqn-x"},
  };
  Err err = ERR_INIT;
  StorePath path;
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    ContentAddress ca = {.method = CA_FLAT};
    hash_of(cases[i].algo, SPAN("abc"), &ca.hash);
    CHECK_OK(store_path_make_fixed(SPAN("x"), &ca, NULL, DIR, &path, &err), &err);
    check_path(&path, cases[i].flat);
    ca.method = CA_NAR;
    CHECK_OK(store_path_make_fixed(SPAN("x"), &ca, NULL, DIR, &path, &err), &err);
    check_path(&path, cases[i].recursive);
  }
}

// builtins.toFile "y" "abc ${x} ${w}", with references in any order and twice.
TEST(text_paths) {
  Err err = ERR_INIT;
  StorePath path;
  uint8_t sha256[32];
  hash_sha256(SPAN("abc"), sha256);
  CHECK_OK(store_path_make_text(SPAN("x"), sha256, NULL, DIR, &path, &err), &err);
  check_path(&path, "/nix/store/vylz2d5mzcgx8z67q4xi43zhzf5zrld5-x");
  hash_sha256(SPAN(""), sha256);
  CHECK_OK(store_path_make_text(SPAN("w"), sha256, NULL, DIR, &path, &err), &err);
  Buf w = BUF_INIT, content = BUF_INIT;
  store_path_format(&path, DIR, &w);
  Span x = SPAN("/nix/store/vylz2d5mzcgx8z67q4xi43zhzf5zrld5-x"), refs[3] = {x, buf_span(&w), x};
  buf_printf(&content, "abc %.*s %.*s", SPAN_ARG(x), SPAN_ARG(buf_span(&w)));
  hash_sha256(buf_span(&content), sha256);
  for (int order = 0; order < 2; order++) {
    StorePathRefs list = {refs + order, 2, false};
    CHECK_OK(store_path_make_text(SPAN("y"), sha256, &list, DIR, &path, &err), &err);
    check_path(&path, "/nix/store/0cbxhvmv8kh9vj0s8lz1all3z794iif6-y");
  }
  StorePathRefs repeated = {refs, 3, false}, self = {NULL, 0, true};
  CHECK_OK(store_path_make_text(SPAN("y"), sha256, &repeated, DIR, &path, &err), &err);
  check_path(&path, "/nix/store/0cbxhvmv8kh9vj0s8lz1all3z794iif6-y");
  CHECK_ERR(store_path_make_text(SPAN("y"), sha256, &self, DIR, &path, &err), &err, ERR_SYNTAX,
            "self-reference not allowed with text hashing");
  CHECK_ERR(store_path_make_text(SPAN("a/b"), sha256, NULL, DIR, &path, &err), &err, ERR_SYNTAX,
            "is not a valid store path: name 'a/b' contains illegal character '/'");
  buf_done(&w);
  buf_done(&content);
}

TEST(references_where_they_are_not_allowed) {
  Err err = ERR_INIT;
  StorePath path;
  ContentAddress ca = {.method = CA_NAR, .hash = {.algo = HASH_SHA1}};
  StorePathRefs self = {NULL, 0, true};
  CHECK_ERR(store_path_make_fixed(SPAN("x"), &ca, &self, DIR, &path, &err), &err, ERR_SYNTAX,
            "fixed output derivation 'x' is not allowed to refer to other store paths.\nYou may need to use the "
            "'unsafeDiscardReferences' derivation attribute, see the manual for more details.");
  ca.hash.algo = HASH_SHA256;
  CHECK_OK(store_path_make_fixed(SPAN("x"), &ca, &self, DIR, &path, &err), &err);
  StorePath plain;
  CHECK_OK(store_path_make_fixed(SPAN("x"), &ca, NULL, DIR, &plain, &err), &err);
  CHECK(!store_path_eq(&path, &plain));
  ca.method = CA_GIT;
  CHECK_ERR(store_path_make_fixed(SPAN("x"), &ca, NULL, DIR, &path, &err), &err, ERR_SYNTAX,
            "Git file ingestion must use SHA-1 hash");
}

TEST(output_names) {
  Err err = ERR_INIT;
  StorePath path;
  uint8_t modulo[32] = {0};
  char name[205];
  memset(name, 'n', sizeof(name));
  CHECK_OK(store_path_make_output(SPAN("x"), SPAN("dev"), modulo, DIR, &path, &err), &err);
  CHECK_STR(store_path_name(&path), "x-dev");
  CHECK_OK(store_path_make_output(SPAN("x"), SPAN("out"), modulo, DIR, &path, &err), &err);
  CHECK_STR(store_path_name(&path), "x");
  CHECK_ERR(store_path_make_output(span_make(name, sizeof(name)), SPAN("longer"), modulo, DIR, &path, &err), &err,
            ERR_SYNTAX, "no longer than 211");
}

TEST(content_addresses) {
  static const char *const texts[] = {"text:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
                                      "fixed:sha1:kpcd173cq987hw957sx6m0868wv3x6d9",
                                      "fixed:r:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
                                      "fixed:git:sha1:kpcd173cq987hw957sx6m0868wv3x6d9"};
  static const CaMethod methods[] = {CA_TEXT, CA_FLAT, CA_NAR, CA_GIT};
  Err err = ERR_INIT;
  ContentAddress ca;
  for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
    Buf text = BUF_INIT;
    CHECK_OK(content_address_parse(span_cstr(texts[i]), &ca, &err), &err);
    CHECK_EQ_INT(ca.method, methods[i]);
    content_address_format(&ca, &text);
    CHECK_STR(buf_span(&text), texts[i]);
    buf_done(&text);
  }
  CHECK_ERR(content_address_parse(SPAN("x"), &ca, &err), &err, ERR_SYNTAX,
            "not a content address because it is not in the form '<prefix>:<rest>': x");
  CHECK_ERR(content_address_parse(SPAN("x:y"), &ca, &err), &err, ERR_SYNTAX,
            "content address prefix 'x' is unrecognized. Recogonized prefixes are 'text' or 'fixed'");
  CHECK_ERR(content_address_parse(SPAN("fixed:r:y"), &ca, &err), &err, ERR_SYNTAX,
            "content address hash must be in form '<algo>:<hash>', but found: fixed:r:y");
  CHECK_ERR(content_address_parse(SPAN("fixed:sha1:y"), &ca, &err), &err, ERR_SYNTAX,
            "hash 'y' has wrong length for hash algorithm 'sha1'");
  CaMethod method;
  HashAlgo algo;
  CHECK_OK(content_address_parse_method_algo(SPAN("r:sha512"), &method, &algo, &err), &err);
  CHECK(method == CA_NAR && algo == HASH_SHA512);
  CHECK_OK(content_address_method_parse(SPAN("recursive"), true, &method, &err), &err);
  CHECK_ERR(content_address_method_parse(SPAN("recursive"), false, &method, &err), &err, ERR_USAGE,
            "Unknown file ingestion method 'recursive'");
}

// Values from Nix 2.26.3: builtins.placeholder, and outPath of a floating derivation and of an output of its output.
TEST(placeholders) {
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  StorePath drv;
  Placeholder upstream, computed;
  placeholder_own(SPAN("out"), &text);
  CHECK_STR(buf_span(&text), "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9");
  CHECK_EQ_INT(text.len, PLACEHOLDER_LEN);
  buf_clear(&text);
  CHECK_OK(store_path_parse(SPAN("/nix/store/qi1h1ddf2ys9bgwlwmlkf9ax1w5x5f34-x.drv"), DIR, &drv, &err), &err);
  placeholder_upstream(&drv, SPAN("out"), &upstream);
  placeholder_put(&upstream, &text);
  CHECK_STR(buf_span(&text), "/1xp1q8ybibir2dmf6yihzwr66m3bk9dmrzyvir2zcgdxq5nw34dz");
  buf_clear(&text);
  CHECK_OK(store_path_parse(SPAN("/nix/store/r2j9qj1gglnq3dyvg6qahgl009yyspbp-x.drv"), DIR, &drv, &err), &err);
  placeholder_upstream(&drv, SPAN("dev"), &upstream);
  placeholder_put(&upstream, &text);
  CHECK_STR(buf_span(&text), "/0gnn7d7iwb2fyqiqw6nq4bqjmq2pnaayj5ckh6r06wg6hxkn5jib");
  buf_clear(&text);
  CHECK_OK(store_path_parse(SPAN("/nix/store/h8a6g02bm3hhbicibz77x5d9p8wnzz7q-p.drv.drv"), DIR, &drv, &err), &err);
  placeholder_upstream(&drv, SPAN("out"), &upstream);
  placeholder_computed(&upstream, SPAN("out"), &computed);
  placeholder_put(&computed, &text);
  CHECK_STR(buf_span(&text), "/151qis1krv3xk85cfzz0v5g5iw2ry2vzlyfd6p5jfpzjy31p5lxd");
  buf_done(&text);
}

TEST_MAIN()
