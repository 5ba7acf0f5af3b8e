#include "build_fixture.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"

static void init(BuildFixture *fixture, SandboxExecutor executor, const char *store_dir, const char *runtime) {
  Err err = ERR_INIT;
  *fixture = (BuildFixture){.program = "/bin/sh"};
  fixture->input_dir = test_temp_path("inputs");
  CHECK_OK(fs_mkdir_all(fixture->input_dir, 0755, &err), &err);
  CHECK_OK(loop_new(&fixture->loop, &err), &err);
  fixture->config = (LocalBuilderConfig){
      .scratch_dir = test_temp_path("scratch"),
      .store_dir = store_dir ? store_dir : "/nix/store",
      .physical_store_dir = store_dir ? store_dir : test_temp_path("store"),
      .build_dir = "/build",
      .executor = executor,
      .oci_runtime = runtime,
      .filter_syscalls = true,
  };
  CHECK_OK(local_builder_new(&fixture->config, fixture->loop, &fixture->service, &err), &err);
  fixture->options = (BuildOptions){.name = "test", .log_tail_lines = 10};
}

void build_fixture_init_at(BuildFixture *fixture, SandboxExecutor executor, const char *store_dir) {
  init(fixture, executor, store_dir, NULL);
}

// crun 1.8 refuses a machine that has cgroup controllers in both versions of the hierarchy, although it is to make no cgroup. It is shown another one.
static void show_one_hierarchy(void) {
  Err err = ERR_INIT;
  if (!fs_exists("/sys/fs/cgroup/unified") || geteuid() != 0) return;
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) != 0)
    err_set_errno(&err, errno, "mounting the cgroup hierarchy");
  CHECK_OK(!err_is_set(&err), &err);
}

void build_fixture_init_oci(BuildFixture *fixture, const char *runtime) {
  show_one_hierarchy();
  init(fixture, SANDBOX_EXECUTOR_OCI, NULL, runtime);
}

void build_fixture_init(BuildFixture *fixture, SandboxExecutor executor) {
  build_fixture_init_at(fixture, executor, NULL);
}

static void release(BuildFixture *fixture) {
  service_release(STEAL(fixture->handle));
  buf_clear(&fixture->log);
  buf_clear(&fixture->phases);
  fixture->request = (BuildRequest){0};
}

void build_fixture_done(BuildFixture *fixture) {
  release(fixture);
  service_free(fixture->service);
  loop_free(fixture->loop);
  arena_done(&fixture->arena);
  buf_done(&fixture->log);
  buf_done(&fixture->phases);
}

static bool locate(void *ctx, const CastoreNode *input, Buf *ret_path, Err *err UNUSED) {
  BuildFixture *fixture = ctx;
  buf_printf(ret_path, "%s/%.*s", fixture->input_dir, SPAN_ARG(input->name));
  return true;
}

static void on_line(void *ctx, Span line) {
  BuildFixture *fixture = ctx;
  buf_put_span(&fixture->log, line);
  buf_put_char(&fixture->log, '\n');
}

static void on_phase(void *ctx, Span phase) {
  BuildFixture *fixture = ctx;
  buf_put_span(&fixture->phases, phase);
  buf_put_char(&fixture->phases, '\n');
}

static void on_done(void *ctx, BuildHandle *handle, const BuildResult *result) {
  BuildFixture *fixture = ctx;
  fixture->handle = handle;
  fixture->result = *result;
  fixture->done = true;
}

// Every entry of the input directory is an input.
static void fill_request(BuildFixture *fixture, const char *script) {
  Arena *arena = &fixture->arena;
  BuildRequest *request = &fixture->request;
  Span *args = ARENA_ARRAY(arena, Span, 3);
  args[0] = span_cstr(fixture->program);
  args[1] = SPAN("-c");
  args[2] = arena_dup(arena, span_cstr(script));
  Span *outputs = ARENA_ARRAY(arena, Span, 1);
  const char *out =
      arena_printf(arena, "%s/%.*s", fixture->config.store_dir, SPAN_ARG(fs_path_base(SPAN(BUILD_FIXTURE_OUT))));
  outputs[0] = span_from(span_cstr(out), 1);
  BuildEnv *env = ARENA_ARRAY(arena, BuildEnv, 4);
  env[0] = (BuildEnv){SPAN("PATH"), fixture->options.no_sandbox ? SPAN("/usr/bin:/bin") : SPAN("/path-not-set")};
  env[1] = (BuildEnv){SPAN("PWD"), SPAN("/build")};
  env[2] = (BuildEnv){SPAN("TMPDIR"), SPAN("/build")};
  env[3] = (BuildEnv){SPAN("out"), span_cstr(out)};
  bool network = request->network_access;
  CastoreNode *inputs = request->inputs;
  size_t input_count = request->input_count;
  *request = (BuildRequest){.inputs = inputs,
                            .input_count = input_count,
                            .args = args,
                            .arg_count = 3,
                            .working_dir = SPAN("build"),
                            .inputs_dir = span_from(span_cstr(fixture->config.store_dir), 1),
                            .outputs = outputs,
                            .output_count = 1,
                            .env = env,
                            .env_count = 4,
                            .system = SPAN("x86_64-linux"),
                            .network_access = network,
                            .provide_bin_sh = true};
}

static bool start(BuildFixture *fixture, const char *script, Err *err) {
  bool network = fixture->request.network_access;
  CastoreNode *inputs = fixture->request.inputs;
  size_t input_count = fixture->request.input_count;
  release(fixture);
  fixture->request.network_access = network;
  fixture->request.inputs = inputs;
  fixture->request.input_count = input_count;
  fill_request(fixture, script);
  BuildCallbacks callbacks = {fixture, locate, on_line, on_phase, on_done};
  fixture->done = false;
  return service_start(fixture->service, &fixture->request, &fixture->options, &callbacks, &fixture->handle, err);
}

void build_fixture_start(BuildFixture *fixture, const char *script) {
  Err err = ERR_INIT;
  CHECK_OK(start(fixture, script, &err), &err);
}

void build_fixture_fails_to_start(BuildFixture *fixture, const char *script, const char *message_part) {
  Err err = ERR_INIT;
  bool started = start(fixture, script, &err);
  CHECK(!started);
  CHECK_CONTAINS(span_cstr(err_message(&err)), message_part);
  err_done(&err);
  fixture->handle = NULL;
}

bool build_fixture_wait(BuildFixture *fixture, int timeout_ms) {
  Err err = ERR_INIT;
  uint64_t deadline = loop_now_ns() + (uint64_t)timeout_ms * 1000000;
  while (!fixture->done && loop_now_ns() < deadline) CHECK_OK(loop_run_once(fixture->loop, 100, &err), &err);
  return fixture->done;
}

void build_fixture_run(BuildFixture *fixture, const char *script) {
  build_fixture_start(fixture, script);
  CHECK(build_fixture_wait(fixture, 20000));
}

Span build_fixture_output(BuildFixture *fixture, const char *rest) {
  Err err = ERR_INIT;
  CHECK_EQ_INT(fixture->result.output_count, 1);
  const char *path = arena_printf(&fixture->arena, "%s%s", fixture->result.outputs[0].host_path, rest);
  Buf content = BUF_INIT;
  CHECK_OK(fs_read_file(path, 0, &content, &err), &err);
  Span ret = arena_dup(&fixture->arena, buf_span(&content));
  buf_done(&content);
  return ret;
}
