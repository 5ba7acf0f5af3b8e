// What a builder finds, and what it cannot reach: every test on both executors.
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <signal.h>

#include "base/fs.h"
#include "build_fixture.h"
#include "build/sandbox_bwrap.h"
#include "harness.h"

static const SandboxExecutor executors[] = {SANDBOX_EXECUTOR_NATIVE, SANDBOX_EXECUTOR_BUBBLEWRAP};

// Runs `body` with a fresh fixture for each executor that this machine has.
static void on_each_executor(void (*body)(BuildFixture *fixture)) {
  for (size_t i = 0; i < ARRAY_LEN(executors); i++) {
    if (executors[i] == SANDBOX_EXECUTOR_BUBBLEWRAP && !sandbox_bwrap_available())
      test_skip("no bubblewrap here");
    BuildFixture fixture;
    build_fixture_init(&fixture, executors[i]);
    test_note("%s", i ? "bubblewrap" : "native");
    body(&fixture);
    build_fixture_done(&fixture);
  }
}

static void check_success(BuildFixture *fixture, const char *script) {
  build_fixture_run(fixture, script);
  if (fixture->result.outcome != BUILD_SUCCEEDED) test_note("log:\n%s", buf_cstr(&fixture->log));
  CHECK_EQ_INT(fixture->result.outcome, BUILD_SUCCEEDED);
}

static void world_body(BuildFixture *fixture) {
  check_success(fixture, "set -e\n"
                         "{ id -u; id -g; echo $$; hostname; pwd; echo $TMPDIR; umask; cat "
                         "/etc/passwd /etc/group /etc/hosts; } > $out\n"
                         "echo /*; echo /dev/*; echo /nix/store/*; test -d /dev/pts; test -w "
                         "/dev/null; test -c /dev/ptmx; echo x > /dev/full && exit 7\n"
                         "echo x > /tmp/x; echo x > /dev/shm/x; echo x > /build/x; head -c 3 "
                         "/dev/zero > /build/y; ls -l /proc/self/fd > /build/z\n"
                         "test $(cat /proc/self/fd/0 | wc -c) = 0\n"
                         "set -- /proc/[0-9]*; test $# -lt 4\n");
  CHECK_CONTAINS(build_fixture_output(fixture, ""),
                 "1000\n100\n1\nlocalhost\n/build\n/build\n0022\nroot:x:0:0:Nix build "
                 "user:/build:/noshell\nnixbld:x:1000:100:");
  CHECK_CONTAINS(build_fixture_output(fixture, ""),
                 "nixbld:!:100:\nnogroup:x:65534:\n127.0.0.1 localhost\n::1 localhost\n");
  CHECK_CONTAINS(buf_span(&fixture->log), "/bin /build /dev /etc /nix /proc /tmp\n");
  CHECK_CONTAINS(buf_span(&fixture->log),
                 "/dev/fd /dev/full /dev/null /dev/ptmx /dev/pts /dev/random /dev/shm /dev/stderr "
                 "/dev/stdin /dev/stdout /dev/tty /dev/urandom /dev/zero\n");
}
TEST(world_is_that_of_nix) {
  on_each_executor(world_body);
}
TEST_MAIN()
