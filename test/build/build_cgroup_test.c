// Control groups of builds: what is counted, what is left, and what is refused. On machines that give firn no group, that refusal is what is tested.
#include "build/build_cgroup.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "build_fixture.h"
#include "harness.h"

static const BuildCgroupLimits no_limits = {0};

static BuildCgroups *open_groups(const BuildCgroupLimits *limits) {
  Err err = ERR_INIT;
  BuildCgroups *groups = NULL;
  if (build_cgroup_open(limits, &groups, &err)) return groups;
  CHECK_CONTAINS(span_cstr(err_message(&err)), "cgroups for builds: ");
  test_note("%s", err_message(&err));
  err_done(&err);
  return NULL;
}

TEST(everything_in_a_group_is_killed_and_counted) {
  BuildCgroups *groups = open_groups(&no_limits);
  if (!groups) return;
  Arena arena = ARENA_INIT;
  Err err = ERR_INIT;
  BuildCgroup group;
  BuildCgroupEnd end;
  Process process;
  CHECK_OK(build_cgroup_make(groups, &arena, &group, &err), &err);
  // A process that has left everything but its group.
  const char *argv[] = {"sh", "-c", "setsid sh -c 'trap \"\" TERM; while :; do :; done' & sleep 1000", NULL};
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.new_session = true;
  spec.cgroup_fd = group.procs_fd;
  CHECK_OK(process_spawn(&spec, &process, &err), &err);
  usleep(300000);
  char *path = span_dup(span_cstr(group.path));
  build_cgroup_remove(&group, &end);
  int status;
  CHECK_OK(process_wait(&process, &status, &err), &err);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  CHECK(!fs_exists(path));
  CHECK(end.usage.user_us + end.usage.system_us > 20000);
  CHECK(!end.out_of_memory && !end.out_of_pids);
  mem_free(path);
  build_cgroup_close(groups);
  arena_done(&arena);
}

static void run_with(SandboxExecutor executor, const BuildCgroupLimits *limits, bool no_sandbox, const char *script,
                     BuildFixture *fixture) {
  Err err = ERR_INIT;
  const char *store = no_sandbox ? test_temp_path("plain-store") : NULL;
  if (store) CHECK_OK(fs_mkdir_all(store, 0755, &err), &err);
  build_fixture_init_at(fixture, executor, store);
  service_free(fixture->service);
  fixture->config.use_cgroups = true;
  fixture->config.limits = *limits;
  CHECK_OK(local_builder_new(&fixture->config, fixture->loop, &fixture->service, &err), &err);
  fixture->options.no_sandbox = no_sandbox;
  build_fixture_run(fixture, script);
}

// Half a second of work by a grandchild that nobody waits for.
static const char busy[] = "(i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done; echo > /build/done) & "
                           "until [ -e ${TMPDIR}/done ]; do sleep 0.02; done; echo > $out";

TEST(a_build_s_time_is_known_with_and_without_groups) {
  BuildFixture fixture;
  for (int i = 0; i < 2; i++) {
    run_with(SANDBOX_EXECUTOR_NATIVE, &no_limits, false,
             i ? "dd if=/dev/zero of=/dev/null bs=60000000 count=1; echo > $out" : busy, &fixture);
    CHECK_EQ_INT(fixture.result.outcome, BUILD_SUCCEEDED);
    const BuildUsage *usage = &fixture.result.usage;
    test_note("%llu us user, %llu us system, peak %llu bytes%s", (unsigned long long)usage->user_us,
              (unsigned long long)usage->system_us, (unsigned long long)usage->peak_memory_bytes,
              usage->is_whole_group ? " of the group" : "");
    if (i) CHECK(usage->peak_memory_bytes > 50000000);
    else CHECK(usage->user_us > 50000);
    build_fixture_done(&fixture);
  }
}

TEST(what_a_builder_without_a_sandbox_leaves_is_killed) {
  BuildCgroups *groups = open_groups(&no_limits);
  if (!groups) return;
  build_cgroup_close(groups);
  BuildFixture fixture;
  run_with(SANDBOX_EXECUTOR_NATIVE, &no_limits, true,
           "setsid sh -c 'echo $$ > pid; exec sleep 1000' & until [ -s pid ]; do sleep 0.02; done; cat pid > $out",
           &fixture);
  CHECK_EQ_INT(fixture.result.outcome, BUILD_SUCCEEDED);
  pid_t left = atoi(build_fixture_output(&fixture, "").data);
  CHECK(left > 1);
  // Whoever is its parent now takes a moment to notice.
  for (int i = 0; i < 300 && kill(left, 0) == 0; i++) usleep(10000);
  CHECK(kill(left, 0) != 0);
  build_fixture_done(&fixture);
}

// Where the controllers are there, the limits hold; elsewhere the build is refused with the reason.
static void check_limit(const BuildCgroupLimits *limits, const char *setting, const char *script, bool memory) {
  BuildCgroups *groups = open_groups(limits);
  BuildFixture fixture;
  Err err = ERR_INIT;
  if (groups) {
    build_cgroup_close(groups);
    run_with(SANDBOX_EXECUTOR_NATIVE, limits, false, script, &fixture);
    CHECK(fixture.result.outcome == BUILD_EXITED || fixture.result.outcome == BUILD_SIGNALLED);
    CHECK(memory ? fixture.result.out_of_memory : fixture.result.out_of_pids);
  } else {
    build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
    service_free(fixture.service);
    fixture.config.limits = *limits;
    CHECK_OK(local_builder_new(&fixture.config, fixture.loop, &fixture.service, &err), &err);
    build_fixture_fails_to_start(&fixture, script, "cgroups for builds: ");
    test_note("no limit of %s here", setting);
  }
  build_fixture_done(&fixture);
}
TEST(limits_hold_or_are_refused) {
  check_limit(&(BuildCgroupLimits){.memory_bytes = 64 << 20}, "memory",
              "dd if=/dev/zero of=/dev/null bs=200000000 count=1; echo > $out", true);
  check_limit(&(BuildCgroupLimits){.pid_count = 20}, "processes",
              "set -e; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 5 & done; "
              "echo > $out",
              false);
}
TEST_MAIN()
