// derivation_test.c: ATerm, hash modulo and output paths, on small texts and on the machine's Nix store.
#include "harness.h"
#include "formats/derivation_json.h"
#include "store_drvs.h"

#define DRV_NAME SPAN("hello")

static const DerivationModulo *find_none(void *ctx, Span drv_path) {
  return NULL;
}
static const DerivationModuloMemo no_memo = {find_none, NULL};

// Parses and formats; CHECKs identity.
static void check_identity(const char *text) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  Derivation drv;
  Buf out = BUF_INIT;
  CHECK_OK(derivation_parse(span_cstr(text), DRV_NAME, STORE_PATH_DIR, &arena, &drv, &err), &err);
  derivation_format(&drv, NULL, &out);
  CHECK_STR(buf_span(&out), text);
  buf_done(&out);
  arena_done(&arena);
}

static void check_error(const char *text, ErrKind kind, const char *part) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  Derivation drv;
  CHECK_ERR(derivation_parse(span_cstr(text), DRV_NAME, STORE_PATH_DIR, &arena, &drv, &err), &err, kind, part);
  arena_done(&arena);
}

#define P1 "/nix/store/0k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-a"
#define P2 "/nix/store/1k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-b.drv"
#define P3 "/nix/store/2k0fppa8b1v3qdk2vmq0q9lpp4dmpyg8-c.drv"

TEST(identity) {
  check_identity("Derive([(\"out\",\"" P1 "\",\"\",\"\")],[],[],\"x86_64-linux\",\"/bin/sh\",[],[])");
  check_identity("Derive([(\"dev\",\"\",\"\",\"\"),(\"out\",\"\",\"\",\"\")],[(\"" P2 "\",[\"dev\",\"out\"]),(\"" P3
                 "\",[\"out\"])],[\"" P1
                 "\"],\":\",\":\",[\"-c\",\"a\\nb\\\"c\\\\d\\te\\rf\"],[(\"\",\"\"),(\"a\",\"\\n\\n\"),"
                 "(\"b\",\"0123456\\\"\"),(\"c\",\"01234567\\\"\")])");
  check_identity("Derive([(\"out\",\"\",\"r:sha256\",\"\")],[],[],\":\",\":\",[],[])");
  check_identity("Derive([(\"out\",\"\",\"text:sha256\",\"\")],[],[],\":\",\":\",[],[])");
  check_identity("Derive([(\"out\",\"\",\"r:sha512\",\"impure\")],[],[],\":\",\":\",[],[])");
  check_identity("DrvWithVersion(\"xp-dyn-drv\",[(\"out\",\"\",\"\",\"\")],[(\"" P2
                 "\",([\"out\"],[(\"out\",[\"dev\"]),(\"x\",([],[(\"y\",["
                 "\"z\"])]))])),(\"" P3 "\",[\"out\"])],[],\":\",\":\",[],[])");
}

TEST(every_byte_round_trips) {
  uint64_t rng = test_seed();
  for (int i = 0; i < 2000; i++) {
    char raw[64];
    Err err = ERR_INIT;
    Arena arena = ARENA_INIT;
    Buf text = BUF_INIT, again = BUF_INIT;
    size_t len = test_random_below(&rng, sizeof(raw));
    test_random_bytes(&rng, raw, len);
    for (size_t k = 0; k < len; k++)
      if (test_random_below(&rng, 3) == 0) raw[k] = "\"\\\n\r\tntr\x1f\x80\xff"[test_random_below(&rng, 11)];
    Span value = span_make(raw, len);
    DerivationOutput output = {SPAN("out"), DERIVATION_DEFERRED, CA_FLAT, {0}, {NULL, 0}};
    DerivationEnv env = {value, value};
    Derivation drv = {DRV_NAME, &output, 1, NULL, 0, NULL, 0, SPAN(":"), value, &value, 1, &env, 1}, parsed;
    derivation_format(&drv, NULL, &text);
    CHECK_OK(derivation_parse(buf_span(&text), DRV_NAME, STORE_PATH_DIR, &arena, &parsed, &err), &err);
    CHECK_SPAN(parsed.builder, value);
    CHECK_SPAN(parsed.args[0], value);
    CHECK_SPAN(parsed.env[0].name, value);
    CHECK_SPAN(parsed.env[0].value, value);
    derivation_format(&parsed, NULL, &again);
    CHECK_SPAN(buf_span(&again), buf_span(&text));
    buf_done(&text);
    buf_done(&again);
    arena_done(&arena);
  }
}

TEST(errors) {
  check_error("", ERR_SYNTAX, "expected string 'D' at byte 0");
  check_error("Dx", ERR_SYNTAX, "derivation does not start with 'Derive' or 'DrvWithVersion'");
  check_error("DrvWithVersion(\"9\",[", ERR_SYNTAX, "Unknown derivation ATerm format version '9'");
  check_error("Derive([(\"out", ERR_SYNTAX, "unterminated string in derivation at byte 10");
  check_error("Derive([(\"out\\", ERR_SYNTAX, "unterminated string");
  check_error("Derive([(\"out\",\"x\",\"\",\"\")],[],[],\":\",\":\",[],[])", ERR_SYNTAX, "bad path 'x' in derivation");
  check_error("Derive([(\"out\",\"/x\",\"\",\"\")],[],[],\":\",\":\",[],[])", ERR_SYNTAX,
              "path '/x' is not in the Nix store");
  check_error("Derive([(\"out\",\"\",\"r:sha3\",\"\")],[],[],\":\",\":\",[],[])", ERR_USAGE,
              "unknown hash algorithm 'sha3'");
  check_error("Derive([(\"out\",\"" P1 "\",\"r:sha256\",\"\")],[],[],\":\",\":\",[],[])", ERR_SYNTAX,
              "should not specify output path");
  check_error("Derive([(\"out\",\"\",\"\",\"ab\")],[],[],\":\",\":\",[],[])", ERR_SYNTAX, "hash but no hash algorithm");
  check_error("Derive([(\"out\",\"\",\"\",\"\")(\"x\",\"\",\"\",\"\")],[],[],\":\",\":\",[],[])", ERR_SYNTAX,
              "expected string ','");
  check_error("Derive([(\"out\",\"\",\"\",\"\"),(\"out\",\"\",\"\",\"\")],[],[],\":\",\":\",[],[])", ERR_SYNTAX,
              "output 'out' is repeated");
  check_error("Derive([(\"out\",\"\",\"\",\"\")],[(\"" P2 "\",[\"a\",\"a\"])],[],\":\",\":\",[],[])", ERR_SYNTAX,
              "repeated output");
  check_error("Derive([(\"out\",\"\",\"\",\"\")],[(\"" P2 "\",([\"a\"],[]))],[],\":\",\":\",[],[])", ERR_SYNTAX,
              "expected string '['");
  check_error("Derive([(\"out\",\"\",\"\",\"\")],[],[],\":\",\":\",[],[])x", ERR_SYNTAX, "text after the end");
  check_error("Derive([(\"out\",\"" P1
              "\",\"sha1\",\"0000000000000000000000000000000000000000\")],[],[],\":\",\":\",[],[])",
              ERR_SYNTAX, "has incorrect output '" P1 "', should be '/nix/store/");
  check_error("Derive([(\"out\",\"\",\"\",\"\")],[],[],\"a\\\"b\",\":\",[],[])", ERR_SYNTAX,
              "a path, name, hash or platform with escapes at byte 32");
  Buf deep = BUF_INIT;
  buf_put_cstr(&deep, "DrvWithVersion(\"xp-dyn-drv\",[],[(\"" P2 "\",([],[");
  for (int i = 0; i < 100000; i++) buf_put_cstr(&deep, "(\"o\",([],[");
  check_error(buf_cstr(&deep), ERR_LIMIT, "dynamic inputs are nested deeper than 32");
  buf_done(&deep);
}

TEST(unsorted_is_sorted) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  Derivation drv;
  Buf out = BUF_INIT;
  Span text = SPAN("Derive([(\"out\",\"\",\"\",\"\"),(\"dev\",\"\",\"\",\"\")],[(\"" P3 "\",[\"out\",\"dev\"]),(\"" P2
                   "\",[\"out\"])],[\"" P2 "\",\"" P1 "\"],\":\",\":\",[\"z\",\"a\"],[(\"b\",\"1\"),(\"a\",\"2\")])");
  CHECK_OK(derivation_parse(text, DRV_NAME, STORE_PATH_DIR, &arena, &drv, &err), &err);
  CHECK_OK(derivation_check(&drv, STORE_PATH_DIR, &err), &err);
  derivation_format(&drv, NULL, &out);
  CHECK_STR(buf_span(&out),
            "Derive([(\"dev\",\"\",\"\",\"\"),(\"out\",\"\",\"\",\"\")],[(\"" P2 "\",[\"out\"]),(\"" P3
            "\",[\"dev\",\"out\"])],[\"" P1 "\",\"" P2 "\"],\":\",\":\",[\"z\",\"a\"],[(\"a\",\"2\"),(\"b\",\"1\")])");
  buf_done(&out);
  arena_done(&arena);
}

// The same paths, in order, whether the whole text is parsed or not.
static void check_references(Span text) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  Derivation drv;
  StorePath *refs;
  size_t count;
  CHECK_OK(derivation_parse(text, DRV_NAME, STORE_PATH_DIR, &arena, &drv, &err), &err);
  CHECK_OK(derivation_parse_references(text, STORE_PATH_DIR, &arena, &refs, &count, &err), &err);
  for (size_t i = 1; i < count; i++) CHECK(store_path_cmp(&refs[i - 1], &refs[i]) < 0);
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    Buf path = BUF_INIT;
    bool is_input = false;
    store_path_format(&refs[i], STORE_PATH_DIR, &path);
    for (size_t k = 0; k < drv.input_src_count; k++) is_input |= span_eq(drv.input_srcs[k], buf_span(&path));
    for (size_t k = 0; k < drv.input_drv_count; k++) is_input |= span_eq(drv.input_drvs[k].key, buf_span(&path));
    found += is_input;
    buf_done(&path);
  }
  CHECK_EQ_INT(found, count);
  for (size_t k = 0; k < drv.input_src_count + drv.input_drv_count; k++) {
    StorePath path;
    bool is_listed = false;
    Span input = k < drv.input_src_count ? drv.input_srcs[k] : drv.input_drvs[k - drv.input_src_count].key;
    CHECK_OK(store_path_parse(input, STORE_PATH_DIR, &path, &err), &err);
    for (size_t i = 0; i < count; i++) is_listed |= store_path_eq(&refs[i], &path);
    CHECK(is_listed);
  }
  arena_done(&arena);
}

TEST(references_are_the_inputs) {
  check_references(SPAN("Derive([(\"o]\",\"\",\"\",\"\")],[],[],\":\",\":\",[],[(\"o]\",\"\")])"));
  check_references(SPAN("Derive([(\"dev\",\"\",\"\",\"\"),(\"out\",\"\",\"\",\"\")],[(\"" P3
                        "\",[\"out\",\"d](ev\"]),(\"" P2 "\",[\"out\"])],[\"" P2 "\",\"" P1
                        "\"],\":\",\":\",[],[(\"dev\",\"\"),(\"out\",\"\")])"));
  check_references(SPAN("DrvWithVersion(\"xp-dyn-drv\",[(\"out\",\"\",\"\",\"\")],[(\"" P2
                        "\",([\"a\"],[(\"o\",[\"b\"])])),(\"" P3 "\",[\"out\"])],[\"" P1
                        "\"],\":\",\":\",[],[(\"out\",\"\")])"));
  static const char *const bad[] = {"Derive([(\"out\"", "Derive(]", "Derive([],[(\"" P2 "\",[\"out\")],[]",
                                    "Derive([],[],[\"relative\"]"};
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    Err err = ERR_INIT;
    Arena arena = ARENA_INIT;
    StorePath *refs;
    size_t count;
    CHECK_ERR(derivation_parse_references(span_cstr(bad[i]), STORE_PATH_DIR, &arena, &refs, &count, &err), &err,
              ERR_SYNTAX, "");
    arena_done(&arena);
  }
}

// Sealing. Expected paths come from C++ Nix 2.8 and (content-addressed ones) 2.26.

typedef struct SealCase {
  Derivation drv;
  DerivationOutput outputs[2];
  DerivationEnv env[10];
  DerivationInput inputs[2];
} SealCase;

// derivation { name = "x"; system = ":"; builder = ":"; }
static void seal_case_init(SealCase *c, DerivationOutputKind kind) {
  memset(c, 0, sizeof(*c));
  c->outputs[0] = (DerivationOutput){.name = SPAN("out"), .kind = kind};
  c->env[0] = (DerivationEnv){SPAN("builder"), SPAN(":")};
  c->env[1] = (DerivationEnv){SPAN("name"), SPAN("x")};
  c->env[2] = (DerivationEnv){SPAN("out"), SPAN("ignored")};
  c->env[3] = (DerivationEnv){SPAN("system"), SPAN(":")};
  c->drv = (Derivation){.name = SPAN("x"),
                        .outputs = c->outputs,
                        .output_count = 1,
                        .input_drvs = c->inputs,
                        .platform = SPAN(":"),
                        .builder = SPAN(":"),
                        .env = c->env,
                        .env_count = 4};
}

static void insert_env(SealCase *c, size_t index, Span name, Span value) {
  memmove(&c->env[index + 1], &c->env[index], (c->drv.env_count - index) * sizeof(DerivationEnv));
  c->env[index] = (DerivationEnv){name, value};
  c->drv.env_count++;
}

typedef struct OneModulo {
  Span path;
  DerivationModulo modulo;
} OneModulo;

static const DerivationModulo *find_in_list(void *ctx, Span drv_path) {
  for (OneModulo *one = ctx; one->path.len; one++)
    if (span_eq(one->path, drv_path)) return &one->modulo;
  return NULL;
}

// Seals and CHECKs the .drv path; that is the strongest check there is: it hashes the whole text.
static DerivationModulo seal(SealCase *c, OneModulo *inputs, Arena *arena, const char *want_drv_path) {
  Err err = ERR_INIT;
  DerivationSealed sealed;
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  DerivationModuloMemo memo = {find_in_list, inputs};
  Buf text = BUF_INIT, plain = BUF_INIT;
  CHECK_OK(derivation_modulo_seal(&c->drv, &memo, STORE_PATH_DIR, arena, &scratch, &sealed, NULL, &err), &err);
  derivation_format(&c->drv, NULL, &plain);
  CHECK_SPAN(sealed.text, buf_span(&plain));
  store_path_format(&sealed.drv_path, STORE_PATH_DIR, &text);
  CHECK_STR(buf_span(&text), want_drv_path);
  buf_done(&text);
  buf_done(&plain);
  derivation_modulo_scratch_done(&scratch);
  return sealed.modulo;
}

TEST(seal_input_addressed_and_fixed) {
  Arena arena = ARENA_INIT;
  SealCase c;
  OneModulo known[3] = {{{NULL, 0}, {{0}, false}}};
  seal_case_init(&c, DERIVATION_DEFERRED);
  known[0].modulo = seal(&c, known, &arena, "/nix/store/kg1k5db6bapvrhc9azfb498qyv4zx8fc-x.drv");
  known[0].path = SPAN("/nix/store/kg1k5db6bapvrhc9azfb498qyv4zx8fc-x.drv");
  CHECK_STR(c.outputs[0].path, "/nix/store/mg38pay92wx4lzbjrjd66lv5jfy9iyfy-x");
  CHECK_SPAN(c.env[2].value, c.outputs[0].path);
  CHECK(c.outputs[0].kind == DERIVATION_INPUT_ADDRESSED && !known[0].modulo.deferred);

  seal_case_init(&c, DERIVATION_FIXED);
  c.outputs[0].method = CA_NAR;
  c.outputs[0].hash.algo = HASH_SHA1;
  insert_env(&c, 3, SPAN("outputHashMode"), SPAN("recursive"));
  insert_env(&c, 3, SPAN("outputHashAlgo"), SPAN("sha1"));
  insert_env(&c, 3, SPAN("outputHash"), SPAN("0000000000000000000000000000000000000000"));
  known[1].modulo = seal(&c, known, &arena, "/nix/store/rl5637m33xbz2p40qgan69gmhsqn87py-x.drv");
  known[1].path = SPAN("/nix/store/rl5637m33xbz2p40qgan69gmhsqn87py-x.drv");
  CHECK_STR(c.outputs[0].path, "/nix/store/6iwp0kxy9xjyngx9jmknn6vjsg4yf455-x");

  // Both as inputs of one with two outputs and awkward text.
  Span arg[2] = {SPAN("-c"), c.outputs[0].path}, out = SPAN("out");
  seal_case_init(&c, DERIVATION_DEFERRED);
  c.outputs[0].name = SPAN("dev");
  c.outputs[1] = (DerivationOutput){.name = SPAN("out"), .kind = DERIVATION_DEFERRED};
  c.drv.output_count = 2;
  c.drv.args = arg;
  c.drv.arg_count = 2;
  for (int i = 0; i < 2; i++) c.inputs[i] = (DerivationInput){known[i].path, &out, 1, NULL, 0};
  c.drv.input_drv_count = 2;
  insert_env(&c, 3, SPAN("outputs"), SPAN("out dev"));
  insert_env(&c, 1, SPAN("i"), SPAN("/nix/store/mg38pay92wx4lzbjrjd66lv5jfy9iyfy-x"));
  insert_env(&c, 1, SPAN("dev"), SPAN(""));
  insert_env(&c, 0, SPAN("a"), SPAN("q\"\\\n\r\t"));
  insert_env(&c, 0, SPAN("__structuredAttrs"), SPAN(""));
  seal(&c, known, &arena, "/nix/store/gcmxv2iyq279zyr33ayixs8xvy6gg0nz-x.drv");
  CHECK_STR(c.outputs[0].path, "/nix/store/cn7356lnvyfnwyj7vpsn6vwgl5fnnh2k-x-dev");
  CHECK_STR(c.outputs[1].path, "/nix/store/21dbmbp8bjrnd9cnlplfgd449fmc1pjr-x");
  arena_done(&arena);
}

TEST(seal_content_addressed) {
  Arena arena = ARENA_INIT;
  SealCase c;
  Span out = SPAN("out");
  OneModulo known[2] = {{{NULL, 0}, {{0}, false}}};
  seal_case_init(&c, DERIVATION_FLOATING);
  c.outputs[0].method = CA_NAR;
  c.outputs[0].hash.algo = HASH_SHA256;
  insert_env(&c, 3, SPAN("outputHashMode"), SPAN("recursive"));
  insert_env(&c, 3, SPAN("outputHashAlgo"), SPAN("sha256"));
  known[0].modulo = seal(&c, known, &arena, "/nix/store/qi1h1ddf2ys9bgwlwmlkf9ax1w5x5f34-x.drv");
  known[0].path = SPAN("/nix/store/qi1h1ddf2ys9bgwlwmlkf9ax1w5x5f34-x.drv");
  CHECK(known[0].modulo.deferred);

  seal_case_init(&c, DERIVATION_DEFERRED);
  c.inputs[0] = (DerivationInput){known[0].path, &out, 1, NULL, 0};
  c.drv.input_drv_count = 1;
  insert_env(&c, 1, SPAN("i"), SPAN("/1xp1q8ybibir2dmf6yihzwr66m3bk9dmrzyvir2zcgdxq5nw34dz"));
  CHECK(seal(&c, known, &arena, "/nix/store/1in09rg25amcfwrfhm76y2imdnshsphl-x.drv").deferred);
  CHECK(c.outputs[0].kind == DERIVATION_DEFERRED && c.outputs[0].path.len == 0 && c.env[3].value.len == 0);

  seal_case_init(&c, DERIVATION_IMPURE);
  c.outputs[0].method = CA_NAR;
  c.outputs[0].hash.algo = HASH_SHA256;
  CHECK(seal(&c, known, &arena, "/nix/store/8w8m3b86wv4gjnzb5rb30p31n6fn0b1r-x.drv").deferred);
  arena_done(&arena);
}

TEST(seal_errors) {
  Arena arena = ARENA_INIT;
  Err err = ERR_INIT;
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  DerivationSealed sealed;
  SealCase c;
  Span out = SPAN("out"), missing = SPAN("");
  seal_case_init(&c, DERIVATION_DEFERRED);
  c.drv.env_count = 2;
  CHECK_ERR(derivation_modulo_seal(&c.drv, &no_memo, STORE_PATH_DIR, &arena, &scratch, &sealed, NULL, &err), &err,
            ERR_SYNTAX, "no environment variable for its output 'out'");
  c.drv.env_count = 4;
  c.inputs[0] = (DerivationInput){SPAN(P2), &out, 1, NULL, 0};
  c.drv.input_drv_count = 1;
  CHECK_ERR(derivation_modulo_seal(&c.drv, &no_memo, STORE_PATH_DIR, &arena, &scratch, &sealed, &missing, &err), &err,
            ERR_NOT_FOUND, "is not known");
  CHECK_STR(missing, P2);
  CHECK_STR(c.env[2].value, "ignored");
  c.drv.output_count = 0;
  CHECK_ERR(derivation_modulo_seal(&c.drv, &no_memo, STORE_PATH_DIR, &arena, &scratch, &sealed, NULL, &err), &err,
            ERR_SYNTAX, "must have at least one output");
  c.drv.output_count = 2;
  c.outputs[1] = (DerivationOutput){.name = SPAN("x"), .kind = DERIVATION_FIXED};
  CHECK_ERR(derivation_modulo_seal(&c.drv, &no_memo, STORE_PATH_DIR, &arena, &scratch, &sealed, NULL, &err), &err,
            ERR_SYNTAX, "can't mix derivation output types");
  arena_done(&arena);
  derivation_modulo_scratch_done(&scratch);
}

// Two inputs with one hash become one input with the union of the outputs.
TEST(equal_inputs_merge) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  Span ab[2] = {SPAN("a"), SPAN("b")}, bc[2] = {SPAN("b"), SPAN("c")};
  OneModulo known[3] = {{SPAN(P2), {{1}, false}}, {SPAN(P3), {{1}, false}}, {{NULL, 0}, {{0}, false}}};
  DerivationModuloMemo memo = {find_in_list, known};
  DerivationModulo modulo;
  SealCase c;
  seal_case_init(&c, DERIVATION_DEFERRED);
  c.inputs[0] = (DerivationInput){SPAN(P2), ab, 2, NULL, 0};
  c.inputs[1] = (DerivationInput){SPAN(P3), bc, 2, NULL, 0};
  c.drv.input_drv_count = 2;
  CHECK_OK(derivation_modulo_hash(&c.drv, true, &memo, &scratch, &modulo, NULL, &err), &err);
  CHECK_STR(buf_span(&scratch.inputs_modulo),
            "(\"0100000000000000000000000000000000000000000000000000000000000000\",[\"a\",\"b\",\"c\"])");
  arena_done(&arena);
  derivation_modulo_scratch_done(&scratch);
}

// Texts and JSON of Nix 2.26.3 (`nix derivation show`, made compact).
static const struct {
  const char *name, *text, *json;
} json_cases[] = {
    {"x",
     "Derive([(\"dev\",\"/nix/store/nrk7yrgdkbad0w0f9ghs2r5ffzg66spz-x-dev\",\"\",\"\"),(\"out\",\"/nix/st"
     "ore/1xpjf6jfzm04rvbxbi4i3llz2xhz8p1j-x\",\"\",\"\")],[(\"/nix/store/z5nkfhxf20fb743p0xskj3f3v3k9z73v"
     "-f.drv\",[\"out\"])],[\"/nix/store/njqz8d0nwkpapvlplnr1j1cxal5y6zni-s\"],\":\",\":\",[\"-c\",\"q\\\""
     "\\\\\\n\\té\"],[(\"builder\",\":\"),(\"dev\",\"/nix/store/nrk7yrgdkbad0w0f9ghs2r5ffzg66spz-x-dev\"),"
     "(\"f\",\"/nix/store/wgwfp5mx4bhivincp1z689i99gra9w68-f\"),(\"name\",\"x\"),(\"out\",\"/nix/store/1xp"
     "jf6jfzm04rvbxbi4i3llz2xhz8p1j-x\"),(\"outputs\",\"out dev\"),(\"s\",\"/nix/store/njqz8d0nwkpapvlplnr"
     "1j1cxal5y6zni-s\"),(\"system\",\":\")])",
     "{\"args\":[\"-c\",\"q\\\"\\\\\\n\\té\"],\"builder\":\":\",\"env\":{\"builder\":\":\",\"dev\":\"/nix/"
     "store/nrk7yrgdkbad0w0f9ghs2r5ffzg66spz-x-dev\",\"f\":\"/nix/store/wgwfp5mx4bhivincp1z689i99gra9w68-f"
     "\",\"name\":\"x\",\"out\":\"/nix/store/1xpjf6jfzm04rvbxbi4i3llz2xhz8p1j-x\",\"outputs\":\"out dev\","
     "\"s\":\"/nix/store/njqz8d0nwkpapvlplnr1j1cxal5y6zni-s\",\"system\":\":\"},\"inputDrvs\":{\"/nix/stor"
     "e/z5nkfhxf20fb743p0xskj3f3v3k9z73v-f.drv\":{\"dynamicOutputs\":{},\"outputs\":[\"out\"]}},\"inputSrc"
     "s\":[\"/nix/store/njqz8d0nwkpapvlplnr1j1cxal5y6zni-s\"],\"name\":\"x\",\"outputs\":{\"dev\":{\"path"
     "\":\"/nix/store/nrk7yrgdkbad0w0f9ghs2r5ffzg66spz-x-dev\"},\"out\":{\"path\":\"/nix/store/1xpjf6jfzm0"
     "4rvbxbi4i3llz2xhz8p1j-x\"}},\"system\":\":\"}"},
    {"y",
     "DrvWithVersion(\"xp-dyn-drv\",[(\"out\",\"\",\"r:sha256\",\"impure\")],[(\"/nix/store/h8a6g02bm3hhbi"
     "cibz77x5d9p8wnzz7q-p.drv.drv\",([],[(\"out\",[\"out\"])]))],[],\":\",\":\",[],[(\"builder\",\":\"),("
     "\"d\",\"/151qis1krv3xk85cfzz0v5g5iw2ry2vzlyfd6p5jfpzjy31p5lxd\"),(\"name\",\"y\"),(\"out\",\"/1rz4g4"
     "znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9\"),(\"system\",\":\")])",
     "{\"args\":[],\"builder\":\":\",\"env\":{\"builder\":\":\",\"d\":\"/151qis1krv3xk85cfzz0v5g5iw2ry2vzl"
     "yfd6p5jfpzjy31p5lxd\",\"name\":\"y\",\"out\":\"/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"
     "\",\"system\":\":\"},\"inputDrvs\":{\"/nix/store/h8a6g02bm3hhbicibz77x5d9p8wnzz7q-p.drv.drv\":{\"dyn"
     "amicOutputs\":{\"out\":{\"dynamicOutputs\":{},\"outputs\":[\"out\"]}},\"outputs\":[]}},\"inputSrcs\""
     ":[],\"name\":\"y\",\"outputs\":{\"out\":{\"hashAlgo\":\"sha256\",\"impure\":true,\"method\":\"nar\"}"
     "},\"system\":\":\"}"},
    {"f",
     "Derive([(\"out\",\"/nix/store/wgwfp5mx4bhivincp1z689i99gra9w68-f\",\"r:sha1\",\"00000000000000000000"
     "00000000000000000000\")],[],[],\":\",\":\",[],[(\"builder\",\":\"),(\"name\",\"f\"),(\"out\",\"/nix/"
     "store/wgwfp5mx4bhivincp1z689i99gra9w68-f\"),(\"outputHash\",\"00000000000000000000000000000000000000"
     "00\"),(\"outputHashAlgo\",\"sha1\"),(\"outputHashMode\",\"recursive\"),(\"system\",\":\")])",
     "{\"args\":[],\"builder\":\":\",\"env\":{\"builder\":\":\",\"name\":\"f\",\"out\":\"/nix/store/wgwfp5"
     "mx4bhivincp1z689i99gra9w68-f\",\"outputHash\":\"0000000000000000000000000000000000000000\",\"outputH"
     "ashAlgo\":\"sha1\",\"outputHashMode\":\"recursive\",\"system\":\":\"},\"inputDrvs\":{},\"inputSrcs\""
     ":[],\"name\":\"f\",\"outputs\":{\"out\":{\"hash\":\"0000000000000000000000000000000000000000\",\"has"
     "hAlgo\":\"sha1\",\"method\":\"nar\",\"path\":\"/nix/store/wgwfp5mx4bhivincp1z689i99gra9w68-f\"}},\"s"
     "ystem\":\":\"}"},
};

TEST(json) {
  for (size_t i = 0; i < ARRAY_LEN(json_cases); i++) {
    Err err = ERR_INIT;
    Arena arena = ARENA_INIT;
    Derivation drv;
    JsonWrite json;
    Buf out = BUF_INIT, text = BUF_INIT;
    CHECK_OK(derivation_parse(span_cstr(json_cases[i].text), span_cstr(json_cases[i].name), STORE_PATH_DIR, &arena,
                              &drv, &err),
             &err);
    derivation_format(&drv, NULL, &text);
    CHECK_STR(buf_span(&text), json_cases[i].text);
    json_write_init(&json, &out, 0);
    CHECK_OK(derivation_json_write(&drv, &json, &err), &err);
    CHECK_STR(buf_span(&out), json_cases[i].json);
    buf_done(&out);
    buf_done(&text);
    arena_done(&arena);
  }
}

// The machine's store.

typedef struct StoreCheck {
  StoreDrvs *drvs;
  DerivationModuloScratch scratch;
  Arena arena;
  size_t count;
} StoreCheck;

static void copy_stripped(const StoreDrv *from, Arena *arena, Derivation *ret) {
  *ret = from->drv;
  ret->outputs = ARENA_ARRAY(arena, DerivationOutput, ret->output_count);
  ret->env = ARENA_ARRAY(arena, DerivationEnv, ret->env_count);
  memcpy(ret->outputs, from->drv.outputs, ret->output_count * sizeof(DerivationOutput));
  memcpy(ret->env, from->drv.env, ret->env_count * sizeof(DerivationEnv));
  for (size_t i = 0; i < ret->output_count; i++) {
    ret->outputs[i].path = SPAN("");
    if (ret->outputs[i].kind == DERIVATION_INPUT_ADDRESSED) ret->outputs[i].kind = DERIVATION_DEFERRED;
    derivation_find_env(ret, ret->outputs[i].name)->value = SPAN("to be computed");
  }
}

static void check_store_drv(void *ctx, StoreDrv *item) {
  StoreCheck *check = ctx;
  Err err = ERR_INIT;
  DerivationModuloMemo memo = {store_drvs_find_modulo, check->drvs};
  DerivationModulo modulo;
  DerivationSealed sealed;
  Derivation stripped;
  Buf text = BUF_INIT;
  CHECK_OK(derivation_check(&item->drv, STORE_PATH_DIR, &err), &err);
  derivation_format(&item->drv, NULL, &text);
  CHECK_SPAN(buf_span(&text), item->text);
  CHECK_OK(derivation_modulo_check(&item->drv, item->path, &memo, STORE_PATH_DIR, &check->scratch, NULL, &err), &err);
  CHECK_OK(derivation_modulo_hash(&item->drv, false, &memo, &check->scratch, &modulo, NULL, &err), &err);

  copy_stripped(item, &check->arena, &stripped);
  CHECK_OK(
      derivation_modulo_seal(&stripped, &memo, STORE_PATH_DIR, &check->arena, &check->scratch, &sealed, NULL, &err),
      &err);
  CHECK_SPAN(sealed.text, item->text);
  CHECK(memcmp(sealed.modulo.sha256, modulo.sha256, 32) == 0 && sealed.modulo.deferred == modulo.deferred);
  buf_clear(&text);
  store_path_format(&sealed.drv_path, STORE_PATH_DIR, &text);
  CHECK_SPAN(buf_span(&text), item->path);
  item->modulo = modulo;
  item->has_modulo = true;
  check->count++;
  buf_done(&text);
}

TEST(whole_store) {
  StoreDrvs drvs;
  store_drvs_load(&drvs, 20000);
  if (drvs.count == 0) test_skip("no .drv files in /nix/store");
  StoreCheck check = {&drvs, DERIVATION_MODULO_SCRATCH_INIT, ARENA_INIT, 0};
  store_drvs_in_order(&drvs, check_store_drv, &check);
  test_note("%zu of %zu derivations checked, %zu bytes", check.count, drvs.count, drvs.text_bytes);
  derivation_modulo_scratch_done(&check.scratch);
  arena_done(&check.arena);
  store_drvs_done(&drvs);
}

TEST_MAIN()
