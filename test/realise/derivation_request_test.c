#include "realise/derivation_request.h"

#include "harness.h"

#define OUT "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x"
#define IN "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-in"
// sha256("nix-output:out") and of "nix-output:dev", in nixbase32: the Nix manual's placeholders.
#define PLACEHOLDER_OUT "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9"

typedef struct Case {
  Arena arena;
  Derivation drv;
  DerivationOutput outputs[2];
  DerivationEnv env[12];
  Span args[2];
  StorePath drv_path, output_paths[2];
  DerivationRequestPath closure[1];
  PathInfo info;
  DrvOptions options;
  DerivationRequestInput input;
  BuildRequest request;
  size_t *order;
} Case;

static StorePath parse(const char *text) {
  StorePath path;
  Err err = ERR_INIT;
  CHECK_OK(store_path_parse(span_cstr(text), STORE_PATH_DIR, &path, &err), &err);
  return path;
}

static bool get_env(void *ctx UNUSED, Span name, Buf *ret) {
  if (!span_eq(name, SPAN("http_proxy"))) return false;
  buf_put_cstr(ret, "proxy");
  return true;
}

static bool get_closure(void *ctx, const StorePath *roots, size_t root_count, Arena *arena, const PathInfo ***ret,
                        size_t *ret_count, Err *err UNUSED) {
  Case *c = ctx;
  CHECK(root_count == 1 && store_path_eq(roots, &c->closure[0].path));
  *ret = ARENA_ARRAY(arena, const PathInfo *, 1);
  (*ret)[0] = &c->info;
  *ret_count = 1;
  return true;
}

// A derivation with one input and the outputs out and dev (whose order by path is the reverse of that by name).
static void case_init(Case *c) {
  *c = (Case){.arena = ARENA_INIT};
  c->drv_path = parse("/nix/store/cccccccccccccccccccccccccccccccc-x.drv");
  c->output_paths[0] = parse("/nix/store/dddddddddddddddddddddddddddddddd-x-dev");
  c->output_paths[1] = parse(OUT);
  c->outputs[0] = (DerivationOutput){.name = SPAN("dev")};
  c->outputs[1] = (DerivationOutput){.name = SPAN("out")};
  c->args[0] = SPAN("-c");
  c->args[1] = SPAN("echo " PLACEHOLDER_OUT "/bin " PLACEHOLDER_OUT);
  c->closure[0].path = parse(IN);
  c->info = (PathInfo){.path = c->closure[0].path, .nar_size_bytes = 120, .refs = &c->closure[0].path, .ref_count = 1};
  c->drv = (Derivation){.name = SPAN("x"),
                        .outputs = c->outputs,
                        .output_count = 2,
                        .platform = SPAN("x86_64-linux"),
                        .builder = SPAN("/bin/sh"),
                        .args = c->args,
                        .arg_count = 2,
                        .env = c->env};
}

static void add_env(Case *c, const char *name, const char *value) {
  c->env[c->drv.env_count++] = (DerivationEnv){span_cstr(name), span_cstr(value)};
}

static bool make(Case *c, DerivationType type, Err *err) {
  c->input = (DerivationRequestInput){.drv = &c->drv,
                                      .drv_path = &c->drv_path,
                                      .options = &c->options,
                                      .type = type,
                                      .store_dir = STORE_PATH_DIR,
                                      .build_dir = SPAN("/build"),
                                      .cores = 3,
                                      .closure = c->closure,
                                      .closure_count = 1,
                                      .output_paths = c->output_paths,
                                      .get_env = get_env,
                                      .get_closure = get_closure,
                                      .ctx = c};
  return drv_options_read(&c->drv, SPAN("x.drv"), &c->arena, &c->options, err) &&
         derivation_request_make(&c->input, &c->arena, &c->request, &c->order, err);
}

static void check_env(const Case *c, const char *name, const char *want) {
  const BuildEnv *env = request_find_env(&c->request, span_cstr(name));
  if (!env) test_fail(__FILE__, __LINE__, "no variable %s", name);
  CHECK_STR(env->value, want);
}

static Span find_file(const Case *c, const char *path) {
  for (size_t i = 0; i < c->request.file_count; i++)
    if (span_eq_cstr(c->request.files[i].path, path)) return c->request.files[i].content;
  test_fail(__FILE__, __LINE__, "no file %s", path);
}

static void case_done(Case *c) {
  arena_done(&c->arena);
}

TEST(environment_has_two_groups) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  add_env(&c, "HOME", "/mine");
  add_env(&c, "NIX_BUILD_TOP", "/not");
  add_env(&c, "TERM", "dumb");
  add_env(&c, "impureEnvVars", "http_proxy");
  add_env(&c, "out", OUT);
  add_env(&c, "p", PLACEHOLDER_OUT);
  CHECK_OK(make(&c, DERIVATION_TYPE_INPUT_ADDRESSED, &err), &err);
  check_env(&c, "PATH", "/path-not-set");
  check_env(&c, "HOME", "/mine");
  check_env(&c, "NIX_STORE", "/nix/store");
  check_env(&c, "NIX_BUILD_CORES", "3");
  check_env(&c, "NIX_BUILD_TOP", "/build");
  check_env(&c, "TMPDIR", "/build");
  check_env(&c, "TEMPDIR", "/build");
  check_env(&c, "TMP", "/build");
  check_env(&c, "TEMP", "/build");
  check_env(&c, "PWD", "/build");
  check_env(&c, "NIX_LOG_FD", "2");
  check_env(&c, "TERM", "xterm-256color");
  check_env(&c, "p", OUT);
  CHECK(!request_find_env(&c.request, SPAN("NIX_OUTPUT_CHECKED")));
  CHECK(!request_find_env(&c.request, SPAN("http_proxy")));
  CHECK(!c.request.network_access);
  case_done(&c);
}

TEST(fixed_outputs_get_network_and_impure_variables) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  add_env(&c, "impureEnvVars", "http_proxy ftp_proxy");
  CHECK_OK(make(&c, DERIVATION_TYPE_FIXED, &err), &err);
  check_env(&c, "NIX_OUTPUT_CHECKED", "1");
  check_env(&c, "http_proxy", "proxy");
  check_env(&c, "ftp_proxy", "");
  CHECK(c.request.network_access);
  case_done(&c);
}

TEST(command_inputs_outputs_and_needles) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  CHECK_OK(make(&c, DERIVATION_TYPE_INPUT_ADDRESSED, &err), &err);
  CHECK_EQ_INT(c.request.arg_count, 3);
  CHECK_STR(c.request.args[0], "/bin/sh");
  CHECK_STR(c.request.args[2], "echo " OUT "/bin " OUT);
  CHECK_STR(c.request.inputs[0].name, "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-in");
  CHECK_STR(c.request.outputs[0], "nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x");
  CHECK_EQ_INT(c.order[0], 1);
  CHECK_EQ_INT(c.order[1], 0);
  CHECK_EQ_INT(c.request.needle_count, 3);
  CHECK_STR(c.request.needles[0], "dddddddddddddddddddddddddddddddd");
  CHECK_STR(c.request.needles[2], "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
  CHECK_STR(c.request.working_dir, "build");
  CHECK(c.request.provide_bin_sh);
  case_done(&c);
}

TEST(attributes_pass_as_files) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  add_env(&c, "big", "text of " PLACEHOLDER_OUT);
  add_env(&c, "passAsFile", "big unknown");
  CHECK_OK(make(&c, DERIVATION_TYPE_INPUT_ADDRESSED, &err), &err);
  CHECK(!request_find_env(&c.request, SPAN("big")));
  check_env(&c, "passAsFile", "big unknown");
  // sha256("big") in nixbase32
  Span path = request_find_env(&c.request, SPAN("bigPath"))->value;
  CHECK(span_has_prefix(path, SPAN("/build/.attr-")));
  CHECK_EQ_INT(path.len, sizeof "/build/.attr-" - 1 + 52);
  CHECK_STR(find_file(&c, arena_dup(&c.arena, span_from(path, 1)).data), "text of " OUT);
  case_done(&c);
}

TEST(references_graph_as_a_file) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  add_env(&c, "exportReferencesGraph", "graph " IN);
  CHECK_OK(make(&c, DERIVATION_TYPE_INPUT_ADDRESSED, &err), &err);
  CHECK_STR(find_file(&c, "build/graph"), IN "\n\n1\n" IN "\n");
  case_done(&c);
}

TEST(structured_attributes_become_two_files) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  add_env(&c, "__json",
          "{\"name\":\"x\",\"p\":\"" PLACEHOLDER_OUT "\",\"exportReferencesGraph\":{\"g\":[\"" IN "\"]}}");
  add_env(&c, "other", "not passed");
  CHECK_OK(make(&c, DERIVATION_TYPE_INPUT_ADDRESSED, &err), &err);
  check_env(&c, "NIX_ATTRS_JSON_FILE", "/build/.attrs.json");
  check_env(&c, "NIX_ATTRS_SH_FILE", "/build/.attrs.sh");
  CHECK(!request_find_env(&c.request, SPAN("__json")) && !request_find_env(&c.request, SPAN("other")));
  Span json = find_file(&c, "build/.attrs.json");
  CHECK_STR(json, "{\"exportReferencesGraph\":{\"g\":[\"" IN "\"]},\"g\":[{\"closureSize\":120,\"narHash\":\"sha256:"
                  "0000000000000000000000000000000000000000000000000000\",\"narSize\":120,\"path\":\"" IN
                  "\",\"references\":[\"" IN "\"],\"valid\":true}],\"name\":\"x\",\"outputs\":{\"dev\":\"/nix/store/"
                  "dddddddddddddddddddddddddddddddd-x-dev\",\"out\":\"" OUT "\"},\"p\":\"" OUT "\"}");
  CHECK_STR(
      find_file(&c, "build/.attrs.sh"),
      "declare name='x'\ndeclare -A outputs=(['dev']='/nix/store/dddddddddddddddddddddddddddddddd-x-dev' ['out']='" OUT
      "' )\ndeclare p='" OUT "'\n");
  case_done(&c);
}

static void check_refused(const char *name, const char *value, ErrKind kind, const char *part) {
  Case c;
  Err err = ERR_INIT;
  case_init(&c);
  add_env(&c, name, value);
  CHECK_ERR(make(&c, DERIVATION_TYPE_INPUT_ADDRESSED, &err), &err, kind, part);
  case_done(&c);
}

TEST(bad_reference_graphs_are_refused) {
  check_refused("exportReferencesGraph", "one", ERR_BUILD_FAILED,
                "odd number of tokens in 'exportReferencesGraph': 'one'");
  check_refused("exportReferencesGraph", "../x " IN, ERR_OTHER, "invalid file name '../x' in 'exportReferencesGraph'");
  check_refused("exportReferencesGraph", "x /etc/passwd", ERR_BUILD_FAILED,
                "'exportReferencesGraph' contains a non-store path '/etc/passwd'");
  check_refused("exportReferencesGraph", "x " OUT, ERR_BUILD_FAILED,
                "cannot export references of path '" OUT "' because it is not in the input closure of the derivation");
}
TEST_MAIN()
