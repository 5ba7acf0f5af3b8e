// The service itself: limits, what is kept and what is cleaned away, starting without isolation.
#include "build/local_builder.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "build/build_log.h"
#include "build_fixture.h"
#include "harness.h"

static size_t count_entries(const char *path) {
  Err err = ERR_INIT;
  Buf out = BUF_INIT;
  const char *argv[] = {"ls", "-A", path, NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  int status;
  CHECK_OK(process_run(&spec, &out, NULL, &status, &err), &err);
  size_t count = 0;
  for (size_t i = 0; i < out.len; i++) count += out.data[i] == '\n';
  buf_done(&out);
  return count;
}

TEST(log_lines_phases_and_tail) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  fixture.options.log_path = test_temp_path("log/x.zst");
  fixture.options.log_tail_lines = 2;
  build_fixture_run(
      &fixture,
      "echo one; echo '@nix {\"action\":\"setPhase\",\"phase\":\"p\"}' >&2; echo two >&2; echo three; exit 1");
  CHECK_STR(buf_span(&fixture.log), "one\ntwo\nthree\n");
  CHECK_STR(buf_span(&fixture.phases), "p\n");
  CHECK_EQ_INT(fixture.result.log_tail_count, 2);
  CHECK_STR(fixture.result.log_tail[0], "two");
  CHECK(fixture.result.log_written);
  Err err = ERR_INIT;
  Buf stored = BUF_INIT;
  CHECK_OK(build_log_read(fixture.options.log_path, &stored, &err), &err);
  CHECK_CONTAINS(buf_span(&stored), "one\n@nix {");
  buf_done(&stored);
  build_fixture_done(&fixture);
}

static void check_limit(const char *script, uint64_t timeout_ns, uint64_t silent_ns, uint64_t bytes,
                        BuildOutcome want) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  fixture.options.timeout_ns = timeout_ns;
  fixture.options.max_silent_ns = silent_ns;
  fixture.options.max_log_bytes = bytes;
  uint64_t start = loop_now_ns();
  build_fixture_run(&fixture, script);
  CHECK_EQ_INT(fixture.result.outcome, want);
  CHECK(loop_now_ns() - start < 5000000000u);
  build_fixture_done(&fixture);
}

TEST(limits_end_a_build) {
  check_limit("while :; do echo x; sleep 0.05; done", 300000000, 0, 0, BUILD_TIMED_OUT);
  check_limit("echo x; sleep 0.1; echo y; sleep 100", 0, 300000000, 0, BUILD_SILENT);
  check_limit("while :; do echo xxxxxxxxxxxxxxxx; done", 0, 0, 100000, BUILD_LOG_TOO_BIG);
  check_limit("for i in 1 2 3 4 5 6; do sleep 0.1; echo x; done; echo > $out", 5000000000, 400000000, 1000,
              BUILD_SUCCEEDED);
}

TEST(scratch_directories_are_removed) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  build_fixture_run(&fixture, "mkdir -p /build/a/b && echo x > /build/a/b/c && chmod 0 /build/a/b; mkdir $out; exit 1");
  CHECK(!fixture.result.kept_dir);
  build_fixture_done(&fixture);
  CHECK_EQ_INT(count_entries(test_temp_path("scratch")), 0);
}

TEST(failed_builds_are_kept_when_asked) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  fixture.options.keep_failed = true;
  build_fixture_run(&fixture, "echo kept > /build/file; exit 1");
  CHECK(fixture.result.kept_dir != NULL);
  const char *kept = arena_printf(&fixture.arena, "%s", fixture.result.kept_dir);
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  struct stat st;
  CHECK_OK(fs_read_file(arena_printf(&fixture.arena, "%s/file", kept), 0, &text, &err), &err);
  CHECK_STR(buf_span(&text), "kept\n");
  CHECK_EQ_INT(stat(kept, &st), 0);
  CHECK_EQ_INT(st.st_uid, geteuid());
  CHECK_EQ_INT(st.st_mode & 0777, 0755);
  Buf copy = BUF_INIT;
  buf_put_cstr(&copy, kept);
  build_fixture_done(&fixture);
  CHECK(fs_exists(buf_cstr(&copy)));
  // A later process leaves it alone too.
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  build_fixture_done(&fixture);
  CHECK(fs_exists(buf_cstr(&copy)));
  buf_done(&copy);
  buf_done(&text);
}

TEST(what_a_killed_process_left_is_removed) {
  pid_t pid = fork();
  if (pid == 0) {
    BuildFixture fixture;
    build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
    build_fixture_start(&fixture, "echo x > /build/x; sleep 1000");
    build_fixture_wait(&fixture, 300);
    kill(getpid(), SIGKILL);
  }
  CHECK_EQ_INT(waitpid(pid, NULL, 0), pid);
  CHECK_EQ_INT(count_entries(test_temp_path("scratch")), 1);
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  build_fixture_start(&fixture, "sleep 0.2; echo > $out");
  // A third one must not touch what the second is using.
  BuildFixture other;
  build_fixture_init(&other, SANDBOX_EXECUTOR_AUTO);
  build_fixture_done(&other);
  CHECK(build_fixture_wait(&fixture, 10000));
  CHECK_EQ_INT(fixture.result.outcome, BUILD_SUCCEEDED);
  build_fixture_done(&fixture);
  CHECK_EQ_INT(count_entries(test_temp_path("scratch")), 0);
}

TEST(additional_files_are_there) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  build_fixture_start(&fixture, "exit 1");
  CHECK(build_fixture_wait(&fixture, 10000));
  BuildFile file = {SPAN("build/.attr-x"), SPAN("content")};
  fixture.request.files = &file;
  fixture.request.file_count = 1;
  Err err = ERR_INIT;
  fixture.request.args[2] = SPAN("test $(cat .attr-x) = content && echo changed >> .attr-x && cp .attr-x $out");
  service_release(STEAL(fixture.handle));
  BuildCallbacks callbacks = {0};
  // Through the service itself, as the fixture would not keep the files.
  SandboxPlan plan;
  Buf text = BUF_INIT;
  CHECK_OK(
      local_builder_plan(fixture.service, &fixture.request, &fixture.options, &callbacks, &fixture.arena, &plan, &err),
      &err);
  sandbox_format(&plan, &text);
  CHECK_CONTAINS(buf_span(&text), "bind-ro /bin/sh <- ");
  CHECK_CONTAINS(buf_span(&text), "exec /bin/sh as \"sh\" \"-c\" \"test ");
  buf_done(&text);
  build_fixture_done(&fixture);
}

TEST(a_builder_that_cannot_be_executed_is_a_failed_build) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  fixture.program = "/nix/store/none/bin/sh";
  build_fixture_run(&fixture, "");
  CHECK_EQ_INT(fixture.result.outcome, BUILD_EXITED);
  CHECK_EQ_INT(fixture.result.exit_code, 1);
  CHECK_STR(buf_span(&fixture.log), "error: executing '/nix/store/none/bin/sh': No such file or directory\n");
  build_fixture_done(&fixture);
}

TEST(without_a_sandbox_the_store_must_be_where_builders_look) {
  BuildFixture fixture;
  Err err = ERR_INIT;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  build_fixture_run(&fixture, "exit 1");
  service_release(STEAL(fixture.handle));
  BuildCallbacks callbacks = {.done = NULL};
  fixture.options.no_sandbox = true;
  CHECK_ERR(service_start(fixture.service, &fixture.request, &fixture.options, &callbacks, &fixture.handle, &err), &err,
            ERR_OTHER, "cannot build without a sandbox: builders expect the store at '/nix/store', but it is at '");
  fixture.handle = NULL;
  build_fixture_done(&fixture);
}

TEST(without_a_sandbox_builders_run_in_a_directory_of_their_own) {
  BuildFixture fixture;
  Err err = ERR_INIT;
  const char *store = test_temp_path("store");
  CHECK_OK(fs_mkdir_all(store, 0755, &err), &err);
  build_fixture_init_at(&fixture, SANDBOX_EXECUTOR_AUTO, store);
  fixture.options.no_sandbox = true;
  build_fixture_run(
      &fixture,
      "test $PWD = $TMPDIR || exit 2; case $PWD in */build) ;; *) exit 3;; esac; echo ok > $out; sleep 7654321 &");
  CHECK_EQ_INT(fixture.result.exit_code, 0);
  CHECK_STR(build_fixture_output(&fixture, ""), "ok\n");
  // The output was moved out of the store. What stands there cannot be built beside.
  Buf place CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&place, "%s/%.*s", store, SPAN_ARG(fs_path_base(fixture.request.outputs[0])));
  CHECK(!fs_exists(buf_cstr(&place)));
  CHECK_OK(fs_write_file_atomic(buf_cstr(&place), SPAN("x"), 0644, false, &err), &err);
  build_fixture_fails_to_start(&fixture, "exit 0", "cannot build without a sandbox: '");
  build_fixture_done(&fixture);
}

TEST(requests_that_make_no_sense_are_refused) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_AUTO);
  build_fixture_run(&fixture, "exit 1");
  service_release(STEAL(fixture.handle));
  Err err = ERR_INIT;
  BuildCallbacks callbacks = {.done = NULL};
  fixture.request.outputs[0] = SPAN("opt/x");
  CHECK_ERR(service_start(fixture.service, &fixture.request, &fixture.options, &callbacks, &fixture.handle, &err), &err,
            ERR_OTHER, "makes outputs only in '/nix/store', not '/opt/x'");
  fixture.request.outputs[0] = SPAN("nix/store/../x");
  CHECK_ERR(service_start(fixture.service, &fixture.request, &fixture.options, &callbacks, &fixture.handle, &err), &err,
            ERR_SYNTAX, "clean");
  fixture.handle = NULL;
  build_fixture_done(&fixture);
}

// Reads what comes from the terminal until `want` was there.
static void expect_text(int fd, Buf *seen, const char *want) {
  uint64_t deadline = loop_now_ns() + 10000000000u;
  while (span_find(buf_span(seen), span_cstr(want)) == SIZE_MAX) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    char data[1024];
    if (loop_now_ns() > deadline) test_fail(__FILE__, __LINE__, "no '%s' in:\n%s", want, buf_cstr(seen));
    if (poll(&polled, 1, 100) <= 0) continue;
    ssize_t got = read(fd, data, sizeof data);
    if (got > 0) buf_put(seen, data, (size_t)got);
  }
}

static void type_text(int fd, const char *text) {
  CHECK_EQ_INT(write(fd, text, strlen(text)), strlen(text));
}

TEST(a_shell_in_the_sandbox_of_a_failed_build) {
  int fd;
  pid_t pid = forkpty(&fd, NULL, NULL, NULL);
  if (pid == 0) {
    BuildFixture fixture;
    build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
    fixture.options.debug_shell = true;
    build_fixture_run(&fixture, "echo left > /build/file; mkdir $out; echo half > $out/x; echo in the log; exit 7");
    CHECK_STR(buf_span(&fixture.log), "in the log\n"); // nothing of the shell
    int code = fixture.result.exit_code;
    build_fixture_done(&fixture);
    _exit(code);
  }
  Buf seen = BUF_INIT;
  expect_text(fd, &seen, "this shell is in its sandbox");
  expect_text(fd, &seen, "$ ");
  type_text(fd, "echo $(cat /build/file)-$(cat $out/x)-$(id -u)-$PWD\n");
  expect_text(fd, &seen, "left-half-1000-/build");
  type_text(fd, "sleep 1000\n");
  usleep(200000);
  type_text(fd, "\x03"); // reaches the shell's program, not us
  type_text(fd, "echo still-$((40 + 2))\n");
  expect_text(fd, &seen, "still-42");
  type_text(fd, "exit\n");
  int status;
  for (int i = 0; i < 100 && waitpid(pid, &status, WNOHANG) != pid; i++) {
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    char data[1024];
    if (poll(&polled, 1, 100) > 0 && read(fd, data, sizeof data) < 0) usleep(10000);
  }
  CHECK(WIFEXITED(status));
  CHECK_EQ_INT(WEXITSTATUS(status), 7);
  close(fd);
  buf_done(&seen);
}

TEST(many_at_once) {
  enum { COUNT = 24 };
  static BuildFixture fixtures[COUNT];
  for (int i = 0; i < COUNT; i++) {
    build_fixture_init(&fixtures[i], SANDBOX_EXECUTOR_AUTO);
    build_fixture_start(&fixtures[i], "sleep 0.3; echo $out > $out");
  }
  uint64_t start = loop_now_ns();
  for (int i = 0; i < COUNT; i++) {
    CHECK(build_fixture_wait(&fixtures[i], 10000));
    CHECK_EQ_INT(fixtures[i].result.outcome, BUILD_SUCCEEDED);
    CHECK_STR(build_fixture_output(&fixtures[i], ""), BUILD_FIXTURE_OUT "\n");
    build_fixture_done(&fixtures[i]);
  }
  CHECK(loop_now_ns() - start < 3000000000u);
}
TEST_MAIN()
