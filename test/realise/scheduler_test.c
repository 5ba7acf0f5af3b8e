// Real builds: goals, slots, failures, locks, cancelling. The store is a temporary one, so everything also runs without privileges.
#include "realise/scheduler.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"
#include "realise/sandbox_preview.h"
#include "realise_fixture.h"
#include "store/store_add.h"

static RealiseFixture fixture;

static const FixtureDrv *make(const char *name, const char *script) {
  return realise_fixture_drv(&fixture, &(FixtureSpec){.name = name, .script = script});
}

static const char *reading(const FixtureDrv *a, const FixtureDrv *b) {
  return arena_printf(&fixture.arena, "cat %s %s > $out; echo +%s >> $out", a->out_text.data, b ? b->out_text.data : "",
                      "");
}

TEST(a_build_is_registered) {
  realise_fixture_init(&fixture);
  const FixtureDrv *drv = make("one", "echo hello; echo $out > $out");
  CHECK(!realise_fixture_is_valid(&fixture, &drv->out));
  realise_fixture_build(&fixture, drv);
  CHECK_SPAN(span_trim(realise_fixture_read(&fixture, drv->out_text, "")), drv->out_text);
  PathInfoRecord *record = realise_fixture_info(&fixture, &drv->out);
  CHECK(record->info.has_deriver && store_path_eq(&record->info.deriver, &drv->drv_path));
  CHECK(record->ultimate);
  CHECK_EQ_INT(record->info.ref_count, 1); // itself
  CHECK(store_path_eq(&record->info.refs[0], &drv->out));
  path_info_service_record_free(record);
  CHECK_STR(buf_span(&fixture.log), "start one.drv\nline one.drv: hello\nstop one.drv\n");
  // Again: nothing is built.
  realise_fixture_build(&fixture, drv);
  CHECK_EQ_INT(fixture.started, 1);
  realise_fixture_done(&fixture);
}

TEST(inputs_are_built_first_and_become_references) {
  realise_fixture_init(&fixture);
  const FixtureDrv *a = make("a", "echo a > $out");
  const FixtureDrv *b = make("b", "echo b > $out");
  const FixtureDrv *c = realise_fixture_drv(
      &fixture, &(FixtureSpec){.name = "c", .script = reading(a, b), .inputs = {a, b}, .env = {"refers=1"}});
  const FixtureDrv *d = realise_fixture_drv(
      &fixture, &(FixtureSpec){.name = "d",
                               .inputs = {c},
                               .script = arena_printf(&fixture.arena, "mkdir $out; ln -s %s $out/c; cat %s > $out/text",
                                                      c->out_text.data, c->out_text.data)});
  realise_fixture_build(&fixture, d);
  CHECK_STR(realise_fixture_read(&fixture, d->out_text, "/text"), "a\nb\n+\n");
  PathInfoRecord *record = realise_fixture_info(&fixture, &d->out);
  CHECK_EQ_INT(record->info.ref_count, 1);
  CHECK(store_path_eq(&record->info.refs[0], &c->out));
  path_info_service_record_free(record);
  CHECK_EQ_INT(fixture.started, 4);
  SchedulerCounts counts = scheduler_counts(fixture.scheduler);
  CHECK_EQ_INT(counts.builds_done, 4);
  CHECK_EQ_INT(counts.builds_running, 0);
  realise_fixture_done(&fixture);
}

TEST(only_the_closure_is_visible) {
  realise_fixture_init(&fixture);
  const FixtureDrv *other = make("other", "echo other > $out");
  const FixtureDrv *in = make("in", "echo in > $out");
  const FixtureDrv *mid = realise_fixture_drv(
      &fixture, &(FixtureSpec){.name = "mid",
                               .inputs = {in},
                               .script = arena_printf(&fixture.arena, "echo %s > $out", in->out_text.data)});
  realise_fixture_build(&fixture, other);
  const FixtureDrv *drv = realise_fixture_drv(
      &fixture, &(FixtureSpec){.name = "look",
                               .inputs = {mid},
                               .script = arena_printf(
                                   &fixture.arena,
                                   "test ! -e %s && cat $(cat %s) > $out && echo $(ls /nix/store | wc -l) >> $out",
                                   other->out_text.data, mid->out_text.data)});
  realise_fixture_build(&fixture, drv);
  CHECK_STR(realise_fixture_read(&fixture, drv->out_text, ""), "in\n3\n"); // two inputs, and the output being written
  realise_fixture_done(&fixture);
}

TEST(independent_builds_run_at_once_up_to_max_jobs) {
  enum { COUNT = 8 };
  realise_fixture_init(&fixture);
  fixture.config.max_jobs = 4;
  SchedulerTicket tickets[COUNT];
  uint64_t start = loop_now_ns();
  for (int i = 0; i < COUNT; i++)
    tickets[i] = realise_fixture_want(&fixture, make(arena_printf(&fixture.arena, "n%d", i), "sleep 0.3; echo > $out"));
  Err err = ERR_INIT;
  for (int i = 0; i < COUNT; i++) CHECK_OK(realise_fixture_wait(&fixture, tickets[i], &err), &err);
  uint64_t took = loop_now_ns() - start;
  test_note("8 builds of 0.3 s with 4 slots: %.2f s", (double)took / 1e9);
  CHECK(took >= 600000000 && took < 2000000000);
  CHECK(fixture.most_running >= 3); // a slot is free when the builder has ended, before its outputs are registered
  realise_fixture_done(&fixture);
}

// With one slot, what a long chain waits for goes before what nobody waits for.
TEST(the_critical_path_goes_first) {
  realise_fixture_init(&fixture);
  fixture.config.max_jobs = 1;
  const FixtureDrv *blocker = make("blocker", "sleep 1000");
  const FixtureDrv *chain = make("c0", "echo > $out");
  for (int i = 1; i < 4; i++)
    chain = realise_fixture_drv(
        &fixture,
        &(FixtureSpec){.name = arena_printf(&fixture.arena, "c%d", i), .inputs = {chain}, .script = "echo > $out"});
  SchedulerTicket first = realise_fixture_want(&fixture, blocker), single[4];
  for (int i = 0; i < 100 && !scheduler_counts(fixture.scheduler).builds_running; i++) usleep(10000);
  for (int i = 0; i < 4; i++)
    single[i] = realise_fixture_want(&fixture, make(arena_printf(&fixture.arena, "s%d", i), "echo > $out"));
  SchedulerTicket last = realise_fixture_want(&fixture, chain);
  // All are known and waiting before the slot becomes free.
  for (int i = 0; i < 2000 && scheduler_counts(fixture.scheduler).builds_expected < 9; i++) usleep(10000);
  usleep(100000);
  scheduler_drop(fixture.scheduler, first);
  Err err = ERR_INIT;
  CHECK_OK(realise_fixture_wait(&fixture, last, &err), &err);
  for (int i = 0; i < 4; i++) CHECK_OK(realise_fixture_wait(&fixture, single[i], &err), &err);
  size_t chain_at = span_find(buf_span(&fixture.log), SPAN("start c0.drv"));
  CHECK(chain_at < span_find(buf_span(&fixture.log), SPAN("start s0.drv")));
  realise_fixture_done(&fixture);
}

TEST(wishes_for_the_same_output_share_a_build) {
  realise_fixture_init(&fixture);
  const FixtureDrv *drv = make("shared", "sleep 0.1; echo > $out");
  const FixtureDrv *user =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "user", .inputs = {drv}, .script = "echo > $out"});
  SchedulerTicket tickets[20];
  Err err = ERR_INIT;
  for (int i = 0; i < 20; i++) tickets[i] = realise_fixture_want(&fixture, i % 2 ? drv : user);
  for (int i = 0; i < 20; i++) CHECK_OK(realise_fixture_wait(&fixture, tickets[i], &err), &err);
  CHECK_EQ_INT(fixture.started, 2);
  realise_fixture_done(&fixture);
}

TEST(every_ticket_is_delivered_once_and_the_descriptor_tells) {
  realise_fixture_init(&fixture);
  realise_fixture_start(&fixture);
  struct pollfd polled = {.fd = scheduler_fd(fixture.scheduler), .events = POLLIN};
  SchedulerTicket ticket, got;
  CHECK(!scheduler_wait(fixture.scheduler, -1)); // nothing runs: no waiting
  CHECK_EQ_INT(poll(&polled, 1, 0), 0);
  ticket = realise_fixture_want(&fixture, make("x", "echo > $out"));
  CHECK_EQ_INT(poll(&polled, 1, 20000), 1);
  CHECK(scheduler_wait(fixture.scheduler, 0));
  CHECK(scheduler_next_finished(fixture.scheduler, &got));
  CHECK_EQ_INT(got, ticket);
  CHECK(!scheduler_next_finished(fixture.scheduler, &got));
  CHECK_EQ_INT(poll(&polled, 1, 0), 0);
  StorePath path;
  CHECK(scheduler_output(fixture.scheduler, ticket, SPAN("out"), &path));
  CHECK(!scheduler_output(fixture.scheduler, ticket, SPAN("dev"), &path));
  realise_fixture_done(&fixture);
}

TEST(failures_carry_the_log) {
  realise_fixture_init(&fixture);
  const FixtureDrv *bad = make("bad", "echo first; echo reason >&2; exit 3");
  const FixtureDrv *user =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "user", .inputs = {bad}, .script = "echo > $out"});
  realise_fixture_fails(&fixture, bad, ERR_BUILD_FAILED,
                        arena_printf(&fixture.arena,
                                     "builder for '%s' failed with exit code 3;\nlast 2 log lines:\n> first\n> "
                                     "reason\nFor full logs, run:\n  nix log %s",
                                     bad->drv_text.data, bad->drv_text.data));
  SchedulerTicket ticket = realise_fixture_want(&fixture, user);
  Err err = ERR_INIT, cause = ERR_INIT;
  CHECK_ERR(realise_fixture_wait(&fixture, ticket, &err), &err, ERR_BUILD_FAILED,
            arena_printf(&fixture.arena, "1 dependencies of derivation '%s' failed to build", user->drv_text.data));
  CHECK_EQ_INT(scheduler_cause(fixture.scheduler, ticket, &cause), SCHEDULER_FAILED);
  CHECK_CONTAINS(span_cstr(err_message(&cause)), "> reason");
  err_done(&cause);
  CHECK_EQ_INT(scheduler_failure_status(fixture.scheduler), 100);
  CHECK(!realise_fixture_is_valid(&fixture, &bad->out));
  realise_fixture_done(&fixture);
}

TEST(other_wishes_are_not_disturbed_by_a_failure) {
  realise_fixture_init(&fixture);
  const FixtureDrv *bad = make("bad", "exit 1");
  const FixtureDrv *good = make("good", "sleep 0.3; echo > $out");
  SchedulerTicket ticket = realise_fixture_want(&fixture, good);
  realise_fixture_fails(&fixture, bad, ERR_BUILD_FAILED, "exit code 1");
  Err err = ERR_INIT;
  CHECK_OK(realise_fixture_wait(&fixture, ticket, &err), &err);
  realise_fixture_done(&fixture);
}

TEST(siblings_of_a_failed_input_stop_unless_keep_going) {
  for (int keep_going = 0; keep_going < 2; keep_going++) {
    realise_fixture_init(&fixture);
    fixture.config.keep_going = keep_going;
    const FixtureDrv *bad = make("bad", "exit 1");
    const FixtureDrv *slow =
        make(keep_going ? "slow1" : "slow0", keep_going ? "sleep 0.3; echo > $out" : "sleep 30; echo > $out");
    const FixtureDrv *user =
        realise_fixture_drv(&fixture, &(FixtureSpec){.name = "user", .inputs = {bad, slow}, .script = "echo > $out"});
    uint64_t start = loop_now_ns();
    realise_fixture_fails(&fixture, user, ERR_BUILD_FAILED, "1 dependencies of derivation");
    CHECK(loop_now_ns() - start < 10000000000u);
    CHECK(realise_fixture_is_valid(&fixture, &slow->out) == keep_going);
    realise_fixture_done(&fixture);
  }
}

TEST(missing_outputs_and_bad_places) {
  realise_fixture_init(&fixture);
  realise_fixture_fails(&fixture, make("none", ":"), ERR_OTHER,
                        "failed to produce output path for output 'out' at '/nix/store/");
  realise_fixture_fails(&fixture, make("writable", "mkdir $out; chmod 777 $out"), ERR_OTHER,
                        "suspicious ownership or permission on");
  realise_fixture_fails(&fixture, make("fifo", "mkdir $out; mkfifo $out/f"), ERR_OTHER, "");
  CHECK_EQ_INT(scheduler_failure_status(fixture.scheduler), 0); // refused outputs: exit status 1, as Nix
  realise_fixture_done(&fixture);
}

TEST(fixed_outputs_are_verified) {
  realise_fixture_init(&fixture);
  // sha256 of "hello\n"
  const char *hash = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
  const FixtureDrv *good =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "good", .script = "echo hello > $out", .fixed = hash});
  const FixtureDrv *bad =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "bad", .script = "echo other > $out", .fixed = hash});
  const FixtureDrv *tree =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "tree", .script = "mkdir $out", .fixed = hash});
  realise_fixture_build(&fixture, good);
  PathInfoRecord *record = realise_fixture_info(&fixture, &good->out);
  CHECK(record->info.has_ca && record->info.ca.method == CA_FLAT);
  path_info_service_record_free(record);
  realise_fixture_fails(&fixture, bad, ERR_HASH_MISMATCH,
                        arena_printf(&fixture.arena,
                                     "hash mismatch in fixed-output derivation '%s':\n  specified: "
                                     "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=\n     got:    sha256-",
                                     bad->drv_text.data));
  CHECK(!realise_fixture_is_valid(&fixture, &bad->out));
  CHECK_EQ_INT(scheduler_failure_status(fixture.scheduler), 102);
  realise_fixture_fails(&fixture, tree, ERR_OTHER, "should be a non-executable regular file");
  realise_fixture_done(&fixture);
}

TEST(reference_checks) {
  realise_fixture_init(&fixture);
  const FixtureDrv *in = make("in", "echo > $out");
  const char *script = arena_printf(&fixture.arena, "echo %s $out > $out", in->out_text.data);
  realise_fixture_fails(
      &fixture,
      realise_fixture_drv(
          &fixture, &(FixtureSpec){.name = "a", .script = script, .inputs = {in}, .env = {"allowedReferences=out"}}),
      ERR_OTHER,
      arena_printf(&fixture.arena, "is not allowed to refer to the following paths:\n  %s", in->out_text.data));
  realise_fixture_fails(
      &fixture,
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "b",
                                                   .script = script,
                                                   .inputs = {in},
                                                   .env = {arena_printf(&fixture.arena, "disallowedRequisites=%s",
                                                                        in->out_text.data)}}),
      ERR_OTHER, "is not allowed to refer to the following paths:");
  realise_fixture_fails(
      &fixture,
      realise_fixture_drv(
          &fixture,
          &(FixtureSpec){.name = "c", .script = script, .inputs = {in}, .env = {"allowedReferences=nonsense"}}),
      ERR_OTHER, "derivation contains an illegal reference specifier 'nonsense'");
  realise_fixture_build(
      &fixture,
      realise_fixture_drv(
          &fixture,
          &(FixtureSpec){.name = "d",
                         .script = script,
                         .inputs = {in},
                         .env = {arena_printf(&fixture.arena, "allowedRequisites=%s", in->out_text.data),
                                 arena_printf(&fixture.arena, "allowedReferences=out %s", in->out_text.data)}}));
  realise_fixture_done(&fixture);
}

TEST(several_outputs) {
  realise_fixture_init(&fixture);
  const FixtureDrv *drv =
      realise_fixture_drv(&fixture, &(FixtureSpec){.name = "multi",
                                                   .outputs = {"out", "dev", "lib"},
                                                   .script = "echo $lib > $out; echo $out > $dev; echo lib > $lib"});
  Err err = ERR_INIT;
  realise_fixture_start(&fixture);
  SchedulerTicket ticket = scheduler_realise(fixture.scheduler, &drv->drv_path, NULL, 0, SCHEDULER_NORMAL);
  CHECK_OK(realise_fixture_wait(&fixture, ticket, &err), &err);
  StorePath lib;
  CHECK(scheduler_output(fixture.scheduler, ticket, SPAN("lib"), &lib));
  PathInfoRecord *record = realise_fixture_info(&fixture, &drv->out);
  CHECK_EQ_INT(record->info.ref_count, 1);
  CHECK(store_path_eq(&record->info.refs[0], &lib));
  path_info_service_record_free(record);
  const FixtureDrv *cycle = realise_fixture_drv(
      &fixture,
      &(FixtureSpec){.name = "cycle", .outputs = {"out", "dev"}, .script = "echo $dev > $out; echo $out > $dev"});
  realise_fixture_fails(&fixture, cycle, ERR_OTHER, "cycle detected in build of '");
  realise_fixture_done(&fixture);
}

TEST(checking_builds_again_and_compares) {
  realise_fixture_init(&fixture);
  realise_fixture_start(&fixture);
  Span out = SPAN("out");
  Err err = ERR_INIT;
  const FixtureDrv *same = make("same", "echo same > $out");
  const FixtureDrv *random = make("random", "cat /proc/sys/kernel/random/uuid > $out");
  CHECK_ERR(realise_fixture_wait(&fixture,
                                 scheduler_realise(fixture.scheduler, &same->drv_path, &out, 1, SCHEDULER_CHECK), &err),
            &err, ERR_OTHER, "are not valid, so checking is not possible");
  realise_fixture_build(&fixture, random);
  const FixtureDrv *again = make("again", "echo again > $out");
  realise_fixture_build(&fixture, again);
  CHECK_OK(realise_fixture_wait(&fixture,
                                scheduler_realise(fixture.scheduler, &again->drv_path, &out, 1, SCHEDULER_CHECK), &err),
           &err);
  CHECK_ERR(realise_fixture_wait(
                &fixture, scheduler_realise(fixture.scheduler, &random->drv_path, &out, 1, SCHEDULER_CHECK), &err),
            &err, ERR_NOT_DETERMINISTIC, "may not be deterministic: output '/nix/store/");
  CHECK_EQ_INT(scheduler_failure_status(fixture.scheduler), 104);
  realise_fixture_done(&fixture);
}

TEST(differences_are_told_file_by_file) {
  realise_fixture_init(&fixture);
  fixture.config.keep_failed = true;
  realise_fixture_start(&fixture);
  Err err = ERR_INIT;
  const FixtureDrv *drv =
      make("tree", "mkdir -p $out/same $out/sub; echo x > $out/same/x; r=$(cat /proc/sys/kernel/random/uuid);"
                   "echo $r > $out/sub/random; ln -s $r $out/link; echo > $out/only-$r");
  realise_fixture_build(&fixture, drv);
  SchedulerTicket ticket = scheduler_realise(fixture.scheduler, &drv->drv_path, NULL, 0, SCHEDULER_CHECK);
  bool ok = realise_fixture_wait(&fixture, ticket, &err);
  CHECK(!ok);
  Span message = span_cstr(err_message(&err));
  CHECK_CONTAINS(message, ".check'\n  link changed: link\n");
  CHECK_CONTAINS(message, "\n  only before: only-");
  CHECK_CONTAINS(message, "\n  only now: only-");
  CHECK_CONTAINS(message, "\n  changed: sub/random");
  CHECK(span_find(message, SPAN("same")) == SIZE_MAX);
  err_done(&err);
  realise_fixture_done(&fixture);
}

TEST(the_sandbox_can_be_shown) {
  realise_fixture_init(&fixture);
  realise_fixture_start(&fixture);
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  const FixtureDrv *in = make("in", "echo > $out");
  const FixtureDrv *drv = realise_fixture_drv(
      &fixture, &(FixtureSpec){.name = "x", .inputs = {in}, .script = "cat y", .env = {"COLOUR=red"}});
  CHECK_ERR(sandbox_preview_format(fixture.scheduler, &drv->drv_path, &text, &err), &err, ERR_NOT_FOUND,
            "cannot be shown: its input '");
  realise_fixture_build(&fixture, in);
  CHECK_OK(sandbox_preview_format(fixture.scheduler, &drv->drv_path, &text, &err), &err);
  CHECK_CONTAINS(buf_span(&text),
                 arena_printf(&fixture.arena, "bind-ro %s <- %s", in->out_text.data, test_temp_path("root/store")));
  CHECK_CONTAINS(buf_span(&text), "env \"COLOUR=red\"");
  CHECK_CONTAINS(buf_span(&text), "exec /bin/sh as \"sh\" \"-c\" \"cat y\"");
  buf_done(&text);
  realise_fixture_done(&fixture);
}

TEST(what_cannot_be_built_here_is_refused) {
  realise_fixture_init(&fixture);
  realise_fixture_fails(
      &fixture, realise_fixture_drv(&fixture, &(FixtureSpec){.name = "a", .script = ":", .system = "sparc-linux"}),
      ERR_OTHER, "a 'sparc-linux' with features {} is required to build '/nix/store/");
  realise_fixture_fails(
      &fixture,
      realise_fixture_drv(&fixture,
                          &(FixtureSpec){.name = "b", .script = ":", .env = {"requiredSystemFeatures=kvm big"}}),
      ERR_OTHER, "with features {big, kvm} is required");
  realise_fixture_fails(
      &fixture, realise_fixture_drv(&fixture, &(FixtureSpec){.name = "c", .script = ":", .env = {"__noChroot=1"}}),
      ERR_OTHER, "has '__noChroot' set, but that's not allowed when 'sandbox' is 'true'");
  StorePath none;
  Err err = ERR_INIT;
  CHECK_OK(store_path_parse(SPAN("/nix/store/cccccccccccccccccccccccccccccccc-x.drv"), STORE_PATH_DIR, &none, &err),
           &err);
  CHECK_ERR(
      realise_fixture_wait(&fixture, scheduler_realise(fixture.scheduler, &none, NULL, 0, SCHEDULER_NORMAL), &err),
      &err, ERR_NOT_FOUND, "cannot load derivation '/nix/store/cccc");
  CHECK_ERR(realise_fixture_wait(&fixture, scheduler_ensure(fixture.scheduler, &none), &err), &err, ERR_NOT_FOUND,
            "does not exist and cannot be created");
  Span dev = SPAN("dev");
  const FixtureDrv *drv = make("d", "echo > $out");
  CHECK_ERR(realise_fixture_wait(&fixture,
                                 scheduler_realise(fixture.scheduler, &drv->drv_path, &dev, 1, SCHEDULER_NORMAL), &err),
            &err, ERR_OTHER, "does not have an output named 'dev'");
  realise_fixture_done(&fixture);
}

TEST(cancelling_ends_everything) {
  realise_fixture_init(&fixture);
  SchedulerTicket tickets[6];
  for (int i = 0; i < 6; i++)
    tickets[i] = realise_fixture_want(&fixture, make(arena_printf(&fixture.arena, "s%d", i), "sleep 1000"));
  usleep(200000);
  uint64_t start = loop_now_ns();
  scheduler_interrupt(fixture.scheduler);
  Err err = ERR_INIT;
  for (int i = 0; i < 6; i++)
    CHECK_ERR(realise_fixture_wait(&fixture, tickets[i], &err), &err, ERR_INTERRUPTED, "interrupted");
  realise_fixture_done(&fixture);
  CHECK(loop_now_ns() - start < 3000000000u);
}

TEST(freeing_in_the_middle_leaves_nothing) {
  realise_fixture_init(&fixture);
  for (int i = 0; i < 6; i++)
    realise_fixture_want(&fixture, make(arena_printf(&fixture.arena, "s%d", i), i % 2 ? "sleep 1000" : "echo > $out"));
  usleep(20000);
  realise_fixture_done(&fixture);
}

TEST(a_dropped_ticket_stops_what_nobody_else_wants) {
  realise_fixture_init(&fixture);
  const FixtureDrv *slow = make("slow", "sleep 1000");
  SchedulerTicket ticket = realise_fixture_want(&fixture, slow);
  for (int i = 0; i < 200 && !scheduler_counts(fixture.scheduler).builds_running; i++) usleep(10000);
  scheduler_drop(fixture.scheduler, ticket);
  for (int i = 0; i < 500 && scheduler_counts(fixture.scheduler).builds_running; i++) usleep(10000);
  CHECK_EQ_INT(scheduler_counts(fixture.scheduler).builds_running, 0);
  CHECK(!scheduler_wait(fixture.scheduler, -1));
  realise_fixture_done(&fixture);
}

// A second process on the same store waits for the first one's build and takes its result.
TEST(two_processes_never_build_the_same_output) {
  realise_fixture_init(&fixture);
  const FixtureDrv *drv = make("once", "sleep 0.5; cat /proc/sys/kernel/random/uuid > $out");
  Err err = ERR_INIT;
  CHECK_OK(store_flush(fixture.store, &err), &err);
  pid_t pid = fork();
  if (pid == 0) {
    RealiseFixture other;
    realise_fixture_init(&other);
    Err other_err = ERR_INIT;
    bool ok = realise_fixture_wait(&other, realise_fixture_want(&other, drv), &other_err);
    size_t started = other.started;
    realise_fixture_done(&other);
    _exit(ok ? (int)started : 99);
  }
  realise_fixture_build(&fixture, drv);
  int status;
  CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
  CHECK(WIFEXITED(status));
  CHECK_EQ_INT((int)fixture.started + WEXITSTATUS(status), 1);
  realise_fixture_done(&fixture);
}

TEST(a_long_chain_fails_without_deep_recursion) {
  enum { LENGTH = 3000 };
  realise_fixture_init(&fixture);
  const FixtureDrv *drv = make("bottom", "exit 1");
  for (int i = 0; i < LENGTH; i++)
    drv = realise_fixture_drv(
        &fixture,
        &(FixtureSpec){.name = arena_printf(&fixture.arena, "c%d", i), .inputs = {drv}, .script = "echo > $out"});
  realise_fixture_fails(&fixture, drv, ERR_BUILD_FAILED, "1 dependencies of derivation");
  CHECK_EQ_INT(fixture.started, 1);
  realise_fixture_done(&fixture);
}

TEST(sources_are_inputs) {
  realise_fixture_init(&fixture);
  Err err = ERR_INIT;
  CHECK_OK(fs_mkdir_all(test_temp_path("src/sub"), 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(test_temp_path("src/sub/file"), SPAN("from the source\n"), 0644, false, &err), &err);
  FixtureSpec spec = {.name = "user", .source_count = 1};
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  CHECK_OK(store_add_path(fixture.store, SPAN("src"), test_temp_path("src"), &options, &spec.sources[0], &err), &err);
  Buf path = BUF_INIT;
  store_format_path(fixture.store, &spec.sources[0], &path);
  spec.script = arena_printf(&fixture.arena, "cat %s/sub/file > $out", buf_cstr(&path));
  const FixtureDrv *drv = realise_fixture_drv(&fixture, &spec);
  realise_fixture_build(&fixture, drv);
  CHECK_STR(realise_fixture_read(&fixture, drv->out_text, ""), "from the source\n");
  buf_done(&path);
  realise_fixture_done(&fixture);
}
TEST_MAIN()
