#include "build/request.h"

#include "harness.h"

// A request with everything in it, fresh at each call.
static BuildRequest full_request(void) {
  static const CastoreNode inputs_preset[] = {
      {.kind = CASTORE_DIRECTORY, .name = SPAN_LIT("aaa-x"), .size = 3},
      {.kind = CASTORE_SYMLINK, .name = SPAN_LIT("bbb-y"), .target = SPAN_LIT("aaa-x")}};
  static CastoreNode inputs[ARRAY_LEN(inputs_preset)];
  memcpy(inputs, inputs_preset, sizeof inputs);
  static const Span args_preset[] = {SPAN_LIT("/bin/sh"), SPAN_LIT("")};
  static Span args[ARRAY_LEN(args_preset)];
  memcpy(args, args_preset, sizeof args);
  static const Span scratch_preset[] = {SPAN_LIT("build"), SPAN_LIT("nix/store")};
  static Span scratch[ARRAY_LEN(scratch_preset)];
  memcpy(scratch, scratch_preset, sizeof scratch);
  static const Span outputs_preset[] = {SPAN_LIT("nix/store/ccc-out")};
  static Span outputs[ARRAY_LEN(outputs_preset)];
  memcpy(outputs, outputs_preset, sizeof outputs);
  static const BuildEnv env_preset[] = {{SPAN_LIT("A"), SPAN_LIT("")}, {SPAN_LIT("B"), SPAN_LIT("b=b")}};
  static BuildEnv env[ARRAY_LEN(env_preset)];
  memcpy(env, env_preset, sizeof env);
  static const Span ro_preset[] = {SPAN_LIT("/opt")};
  static Span ro[ARRAY_LEN(ro_preset)];
  memcpy(ro, ro_preset, sizeof ro);
  static const BuildFile files_preset[] = {{SPAN_LIT("build/.attr"), SPAN_LIT("text")}};
  static BuildFile files[ARRAY_LEN(files_preset)];
  memcpy(files, files_preset, sizeof files);
  static const Span needles_preset[] = {SPAN_LIT("n1"), SPAN_LIT("n0")};
  static Span needles[ARRAY_LEN(needles_preset)];
  memcpy(needles, needles_preset, sizeof needles);
  return (BuildRequest){.inputs = inputs,
                        .input_count = 2,
                        .args = args,
                        .arg_count = 2,
                        .working_dir = SPAN("build"),
                        .scratch_paths = scratch,
                        .scratch_path_count = 2,
                        .inputs_dir = SPAN("nix/store"),
                        .outputs = outputs,
                        .output_count = 1,
                        .env = env,
                        .env_count = 2,
                        .system = SPAN("x86_64-linux"),
                        .min_memory_bytes = 300,
                        .ro_paths = ro,
                        .ro_path_count = 1,
                        .network_access = true,
                        .provide_bin_sh = true,
                        .files = files,
                        .file_count = 1,
                        .needles = needles,
                        .needle_count = 2};
}

TEST(decode_of_encode_is_the_identity) {
  Err err = ERR_INIT;
  Arena arena = ARENA_INIT;
  Buf once = BUF_INIT, twice = BUF_INIT;
  BuildRequest request = full_request(), got;
  CHECK_OK(request_check(&request, &err), &err);
  request_encode(&request, &once);
  CHECK_OK(request_decode(buf_span(&once), &arena, &got, &err), &err);
  request_encode(&got, &twice);
  CHECK_SPAN(buf_span(&twice), buf_span(&once));
  CHECK_STR(got.env[1].value, "b=b");
  CHECK_EQ_INT(got.min_memory_bytes, 300);
  CHECK(got.network_access && got.provide_bin_sh);
  CHECK_STR(request_find_env(&got, SPAN("B"))->value, "b=b");
  CHECK(!request_find_env(&got, SPAN("C")));
  CastoreDigest a, b;
  request_digest(&request, &a);
  request_digest(&got, &b);
  CHECK(castore_node_digest_eq(&a, &b));
  got.env[1].value = SPAN("other");
  request_digest(&got, &b);
  CHECK(!castore_node_digest_eq(&a, &b));
  buf_done(&once);
  buf_done(&twice);
  arena_done(&arena);
}

// Field numbers are an interface to other programs: the smallest request, byte by byte.
TEST(encoding_is_the_message_of_tvix) {
  Buf buf = BUF_INIT;
  Span args[] = {SPAN("/b")};
  BuildRequest request = {
      .args = args, .arg_count = 1, .working_dir = SPAN("w"), .system = SPAN("s"), .provide_bin_sh = true};
  request_encode(&request, &buf);
  CHECK_STR(buf_span(&buf), "\x12\x02/b\x1a\x01w\x42\x05\x0a\x01s\x28\x01");
  buf_done(&buf);
}

static void check_refused(void (*spoil)(BuildRequest *request), const char *part) {
  Err err = ERR_INIT;
  BuildRequest request = full_request();
  spoil(&request);
  CHECK_ERR(request_check(&request, &err), &err, ERR_SYNTAX, part);
}
static void no_system(BuildRequest *r) {
  r->system = SPAN("");
}
static void no_command(BuildRequest *r) {
  r->arg_count = 0;
}
static void absolute_output(BuildRequest *r) {
  r->outputs[0] = SPAN("/nix/store/x");
}
static void climbing_file(BuildRequest *r) {
  r->files[0].path = SPAN("build/../../x");
}
static void unsorted_env(BuildRequest *r) {
  r->env[0].key = SPAN("Z");
}
static void bad_key(BuildRequest *r) {
  r->env[0].key = SPAN("A=");
}
static void nul_value(BuildRequest *r) {
  r->env[0].value = SPAN("a\0b");
}
static void relative_ro(BuildRequest *r) {
  r->ro_paths[0] = SPAN("opt");
}
static void trailing_slash(BuildRequest *r) {
  r->working_dir = SPAN("build/");
}

TEST(broken_requests_are_refused) {
  check_refused(no_system, "no system");
  check_refused(no_command, "no command");
  check_refused(absolute_output, "not a clean relative path");
  check_refused(climbing_file, "'build/../../x'");
  check_refused(unsorted_env, "not sorted");
  check_refused(bad_key, "cannot be the name");
  check_refused(nul_value, "NUL");
  check_refused(relative_ro, "not a clean absolute path");
  check_refused(trailing_slash, "working directory 'build/'");
}

TEST(damaged_encodings_are_errors_not_crashes) {
  Buf buf = BUF_INIT;
  BuildRequest request = full_request(), got;
  request_encode(&request, &buf);
  uint64_t rng = test_seed();
  for (int i = 0; i < 3000; i++) {
    Arena arena = ARENA_INIT;
    Err err = ERR_INIT;
    char *copy = mem_alloc(buf.len);
    memcpy(copy, buf.data, buf.len);
    size_t len = test_random_below(&rng, buf.len + 1);
    for (uint64_t n = test_random_below(&rng, 4); n > 0 && len; n--)
      copy[test_random_below(&rng, len)] = (char)test_random(&rng);
    if (!request_decode(span_make(copy, len), &arena, &got, &err)) CHECK(err_is_set(&err));
    err_done(&err);
    mem_free(copy);
    arena_done(&arena);
  }
  buf_done(&buf);
}

TEST(sort_makes_it_valid) {
  Err err = ERR_INIT;
  BuildRequest request = full_request();
  BuildEnv first = request.env[0];
  request.env[0] = request.env[1];
  request.env[1] = first;
  request_sort(&request);
  CHECK_OK(request_check(&request, &err), &err);
}
TEST_MAIN()
