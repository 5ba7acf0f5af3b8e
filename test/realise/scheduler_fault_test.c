// A firn that is killed at any moment leaves a consistent store, no running builder, and nothing that stops the next one.
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"
#include "realise/scheduler.h"
#include "realise_fixture.h"
#include "store/store_check.h"

enum { TRIES = 50, CHAIN = 3 };

// A small graph: a chain, each step also using a common input.
static const FixtureDrv *make_graph(RealiseFixture *fixture, int round) {
  const FixtureDrv *base = realise_fixture_drv(
      fixture, &(FixtureSpec){
                   .name = "base",
                   .script = arena_printf(
                       &fixture->arena, "mkdir $out; for i in 1 2 3 4 5 6 7 8; do echo $i %d > $out/$i; done", round)});
  const FixtureDrv *drv = base;
  for (int i = 0; i < CHAIN; i++)
    drv = realise_fixture_drv(fixture,
                              &(FixtureSpec){.name = arena_printf(&fixture->arena, "c%d", i),
                                             .inputs = {base, drv == base ? NULL : drv},
                                             .script = arena_printf(&fixture->arena, "cat %s/* > $out; echo %s >> $out",
                                                                    base->out_text.data, drv->out_text.data)});
  return drv;
}

static bool is_running_in(const char *dir) {
  DIR *proc = opendir("/proc");
  bool found = false;
  for (struct dirent *entry; (entry = readdir(proc));) {
    Buf path = BUF_INIT, mounts = BUF_INIT;
    buf_printf(&path, "/proc/%s/mountinfo", entry->d_name);
    // A builder's mounts name its scratch directory; nobody else has such mounts.
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && fs_read_file(buf_cstr(&path), 0, &mounts, NULL) &&
        span_find(buf_span(&mounts), span_cstr(dir)) != SIZE_MAX)
      found = true;
    buf_done(&path);
    buf_done(&mounts);
  }
  closedir(proc);
  return found;
}

static void kill_one(int round, uint64_t delay_us) {
  pid_t pid = fork();
  if (pid == 0) {
    RealiseFixture fixture;
    Err err = ERR_INIT;
    realise_fixture_init(&fixture);
    const FixtureDrv *drv = make_graph(&fixture, round);
    bool ok = realise_fixture_wait(&fixture, realise_fixture_want(&fixture, drv), &err);
    _exit(ok ? 0 : 1);
  }
  usleep((useconds_t)delay_us);
  kill(pid, SIGKILL);
  int status;
  CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
  CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

static void report(void *ctx UNUSED, const char *problem, bool repaired UNUSED) {
  test_note("%s", problem);
}

// As the next user of the store finds it.
static void check_store(void) {
  RealiseFixture fixture;
  Err err = ERR_INIT;
  StoreCheckResult result = {0};
  StoreCheckOptions options = {.contents = true, .threads = 1, .report = report};
  realise_fixture_init(&fixture);
  CHECK_OK(store_check_run(fixture.store, &options, &result, &err), &err);
  CHECK_EQ_INT(result.problems, 0);
  realise_fixture_done(&fixture);
}

TEST(killed_at_any_moment) {
  uint64_t rng = test_seed();
  const char *builds = test_temp_path("root/var/firn/builds/");
  for (int i = 0; i < TRIES; i++) {
    kill_one(i, test_random_below(&rng, 60000));
    for (int wait = 0; wait < 200 && is_running_in(builds); wait++) usleep(10000);
    CHECK(!is_running_in(builds));
    check_store();
    // Every third time the same work is done to its end, the other times another kill comes first.
    if (i % 3) continue;
    RealiseFixture fixture;
    realise_fixture_init(&fixture);
    const FixtureDrv *drv = make_graph(&fixture, i);
    realise_fixture_build(&fixture, drv);
    CHECK_CONTAINS(realise_fixture_read(&fixture, drv->out_text, ""),
                   arena_printf(&fixture.arena, "8 %d\n/nix/store/", i));
    realise_fixture_done(&fixture);
  }
}

// The builder itself is killed: a failed build like any other, and the next attempt is a fresh one.
TEST(killed_builder) {
  RealiseFixture fixture;
  realise_fixture_init(&fixture);
  const FixtureDrv *drv = realise_fixture_drv(
      &fixture,
      &(FixtureSpec){.name = "killed",
                     .script = "mkdir $out; sleep 0.1 & kill -9 -1; kill -9 $$; ulimit -t 1; while :; do :; done"});
  realise_fixture_fails(&fixture, drv, ERR_BUILD_FAILED, "failed due to signal 9 (Killed)");
  CHECK(!realise_fixture_is_valid(&fixture, &drv->out));
  realise_fixture_done(&fixture);
}
TEST_MAIN()
