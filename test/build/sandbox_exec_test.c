// What a builder finds, and what it cannot reach: every test on each executor.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "build/sandbox_bwrap.h"
#include "build/sandbox_oci.h"
#include "build_fixture.h"
#include "harness.h"

static bool write_in_place(const char *path, Span text) {
  CLEANUP(fs_close_fd) int fd = -1;
  return fs_open(path, O_WRONLY, 0, &fd, NULL) && fs_write_all(fd, text, NULL);
}

static void run_body(void (*body)(BuildFixture *fixture), BuildFixture *fixture, const char *what) {
  test_note("%s", what);
  body(fixture);
  build_fixture_done(fixture);
}

static bool has_runtime(const char *runtime) {
  Buf path = BUF_INIT;
  bool found = sandbox_oci_find(runtime, &path);
  buf_done(&path);
  return found && (geteuid() == 0 || strcmp(runtime, "crun") == 0);
}

// Runs `body` with a fresh fixture for each executor. Each kind must be there; of the container runtimes one.
static void on_each_executor(void (*body)(BuildFixture *fixture)) {
  static const char *const runtimes[] = {"crun", "runc"};
  BuildFixture fixture;
  size_t runtime_count = 0;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  run_body(body, &fixture, "native");
  if (!sandbox_bwrap_available()) test_skip("no bubblewrap here");
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_BUBBLEWRAP);
  run_body(body, &fixture, "bubblewrap");
  for (size_t i = 0; i < ARRAY_LEN(runtimes); i++) {
    if (!has_runtime(runtimes[i])) continue;
    build_fixture_init_oci(&fixture, runtimes[i]);
    run_body(body, &fixture, runtimes[i]);
    runtime_count++;
  }
  if (!runtime_count) test_skip("neither crun nor runc here");
}

static void check_success(BuildFixture *fixture, const char *script) {
  build_fixture_run(fixture, script);
  if (fixture->result.outcome != BUILD_SUCCEEDED)
    test_note("exit code %d, log:\n%s", fixture->result.exit_code, buf_cstr(&fixture->log));
  CHECK_EQ_INT(fixture->result.outcome, BUILD_SUCCEEDED);
}

// The input directory of the fixture gets a tree, a file and a link, and the request names them.
static void add_inputs(BuildFixture *fixture) {
  static CastoreNode nodes[3] = {
      {.name = SPAN_LIT("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-tree")},
      {.name = SPAN_LIT("cccccccccccccccccccccccccccccccc-file")},
      {.name = SPAN_LIT("dddddddddddddddddddddddddddddddd-link"), .kind = CASTORE_SYMLINK, .target = SPAN_LIT("x")}};
  Err err = ERR_INIT;
  const char *tree = arena_printf(&fixture->arena, "%s/%s", fixture->input_dir, nodes[0].name.data);
  CHECK_OK(fs_remove_tree(fixture->input_dir, &err), &err);
  CHECK_OK(fs_mkdir_all(tree, 0755, &err), &err);
  CHECK_OK(fs_write_file_atomic(arena_printf(&fixture->arena, "%s/x", tree), SPAN("in the tree\n"), 0644, false, &err),
           &err);
  CHECK_OK(fs_write_file_atomic(arena_printf(&fixture->arena, "%s/%s", fixture->input_dir, nodes[1].name.data),
                                SPAN("a file\n"), 0644, false, &err),
           &err);
  CHECK_EQ_INT(symlink("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-tree/x",
                       arena_printf(&fixture->arena, "%s/%s", fixture->input_dir, nodes[2].name.data)),
               0);
  fixture->request.inputs = nodes;
  fixture->request.input_count = ARRAY_LEN(nodes);
}

#define TREE "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-tree"
#define FILE_INPUT "/nix/store/cccccccccccccccccccccccccccccccc-file"
#define LINK_INPUT "/nix/store/dddddddddddddddddddddddddddddddd-link"

static void world_body(BuildFixture *fixture) {
  check_success(
      fixture,
      "set -e\n"
      "{ id -u; id -g; hostname; pwd; echo $TMPDIR; umask; cat /etc/passwd /etc/group /etc/hosts; } > $out\n"
      "echo /*; echo /dev/*; echo /nix/store/*; test -w /dev/null; test -c /dev/ptmx; echo x > /dev/full && exit 7\n"
      "echo x > /tmp/x; echo x > /dev/shm/x; echo x > /build/x; head -c 3 /dev/zero > /build/y\n"
      "test $(cat /proc/self/fd/0 | wc -c) = 0\n"
      "echo x > /dev/stderr; echo x > /dev/stdout\n"
      "set -- /proc/[0-9]*; test $# -lt 5\n");
  Span out = build_fixture_output(fixture, "");
  CHECK_CONTAINS(
      out, "1000\n100\nlocalhost\n/build\n/build\n0022\nroot:x:0:0:Nix build user:/build:/noshell\nnixbld:x:1000:100:");
  CHECK_CONTAINS(out, "nixbld:!:100:\nnogroup:x:65534:\n127.0.0.1 localhost\n::1 localhost\n");
  Span log = buf_span(&fixture->log);
  CHECK_CONTAINS(log, "/bin /build /dev /etc /nix /proc /tmp\n");
  CHECK_CONTAINS(
      log, "/dev/fd /dev/full /dev/null /dev/ptmx /dev/pts /dev/random /dev/shm /dev/stderr /dev/stdin /dev/stdout "
           "/dev/tty /dev/urandom /dev/zero\n");
}
TEST(world_is_that_of_nix) {
  on_each_executor(world_body);
}

static void terminal_body(BuildFixture *fixture) {
  const char *runtime = fixture->config.oci_runtime;
  bool is_runc = runtime && strcmp(runtime, "runc") == 0; // sandbox_oci.h
  check_success(fixture, is_runc ? "echo > $out" : "set -e; test -t 1; test -t 2; echo > $out");
}
TEST(builders_write_to_a_terminal) {
  on_each_executor(terminal_body);
}

static void inputs_body(BuildFixture *fixture) {
  add_inputs(fixture);
  check_success(fixture, "set -e\n"
                         "cat " TREE "/x " FILE_INPUT " " LINK_INPUT " > $out\n"
                         "test $(readlink " LINK_INPUT ") = bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-tree/x\n");
  CHECK_STR(build_fixture_output(fixture, ""), "in the tree\na file\nin the tree\n");
}
TEST(inputs_are_at_their_store_paths) {
  on_each_executor(inputs_body);
}

static ino_t store_inode(BuildFixture *fixture) {
  struct stat st;
  const char *out = fixture->result.outputs[0].host_path;
  CHECK_EQ_INT(stat(arena_printf(&fixture->arena, "%.*s", SPAN_ARG(fs_path_dir(span_cstr(out)))), &st), 0);
  return st.st_ino;
}

// The next build gets the directory of the last one, and finds nothing of it there.
TEST(directories_are_used_again_and_clean) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  add_inputs(&fixture);
  check_success(
      &fixture,
      "set -e\n"
      "mkdir -p /build/a/b /tmp/c/d /nix/store/junk; echo x > /build/x; echo x > /tmp/.x; echo x > /nix/store/y\n"
      "rm " LINK_INPUT "; ln -s / " LINK_INPUT "; chmod 0 /build/a /nix/store/junk; echo > $out\n");
  ino_t first = store_inode(&fixture);
  // Cleaning is done by another thread, once the build has been released.
  bool again = false;
  for (int i = 0; i < 100 && !again; i++) {
    check_success(&fixture, "set -e\n"
                            "test \"$(readlink " LINK_INPUT ")\" = bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-tree/x\n"
                            "test \"$(ls -A /build /tmp | grep -v :)\" = ''\n"
                            "test $(ls -A /nix/store | wc -l) = 3; cat " TREE "/x > $out\n");
    again = i && store_inode(&fixture) == first;
    usleep(20000);
  }
  CHECK(again);
  // Without inputs their mount points are gone; and what was a file may be a directory.
  fixture.request.input_count = 0;
  check_success(&fixture, "ls -A /nix/store /build /tmp > $out; ls -ld /build /tmp /nix/store >> $out");
  CHECK(span_find(build_fixture_output(&fixture, ""), SPAN("-tree")) == SIZE_MAX);
  CHECK_CONTAINS(build_fixture_output(&fixture, ""), "drwx------");
  CHECK_CONTAINS(build_fixture_output(&fixture, ""), "drwxrwxrwt");
  usleep(300000);
  Err err = ERR_INIT;
  const char *file = arena_printf(&fixture.arena, "%s/%s", fixture.input_dir, fs_path_base(SPAN(FILE_INPUT)).data);
  add_inputs(&fixture);
  check_success(&fixture, "cat " FILE_INPUT " > $out");
  usleep(300000);
  CHECK_OK(fs_remove_tree(file, &err) && fs_mkdir_all(file, 0755, &err), &err);
  check_success(&fixture, "test -d " FILE_INPUT " && echo > $out");
  build_fixture_done(&fixture);
}

// A directory that a builder has changed in ways that emptying does not undo is not used again.
TEST(changed_directories_are_not_used_again) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  check_success(&fixture, "echo > $out; chmod 711 /tmp");
  for (int i = 0; i < 4; i++) {
    check_success(&fixture, "ls -ld /tmp > $out");
    CHECK_CONTAINS(build_fixture_output(&fixture, ""), "drwxrwxrwt");
    usleep(50000);
  }
  build_fixture_done(&fixture);
}

// Each line of these scripts is an attempt that must fail; the first that succeeds ends the build with its number.
static void inputs_cannot_be_written_body(BuildFixture *fixture) {
  add_inputs(fixture);
  check_success(fixture, "exec 2>/dev/null\n"
                         "echo bad > " TREE "/x && exit 11\n"
                         "echo bad > " TREE "/new && exit 12\n"
                         "rm -f " TREE "/x && exit 13\n"
                         "echo bad > " FILE_INPUT " && exit 14\n"
                         "rm -rf " TREE " && exit 15\n"
                         "mv " TREE " /nix/store/y && exit 16\n"
                         "mount -o remount,rw " TREE " && exit 17\n"
                         "umount " TREE " && exit 18\n"
                         "unshare -U -r -m mount -o remount,bind,rw " TREE " && exit 19\n"
                         "unshare -U -r -m umount " TREE " && exit 20\n"
                         "chmod u+w " TREE "/x && echo bad > " TREE "/x && exit 21\n"
                         "grep -q 'in the tree' " TREE "/x || exit 22\n"
                         "echo ok > $out\n");
}
TEST(inputs_cannot_be_written) {
  on_each_executor(inputs_cannot_be_written_body);
}

static void host_is_out_of_reach_body(BuildFixture *fixture) {
  Err err = ERR_INIT;
  const char *secret = test_temp_path("secret");
  Buf former = BUF_INIT, now = BUF_INIT;
  CHECK_OK(fs_read_file("/proc/sys/kernel/core_pattern", 0, &former, &err), &err);
  CHECK_OK(fs_write_file_atomic(secret, SPAN("secret\n"), 0644, false, &err), &err);
  check_success(fixture, arena_printf(&fixture->arena,
                                      "exec 2>/dev/null\n"
                                      "cat %s && exit 11\n"
                                      "cat /proc/1/root%s && exit 12\n"
                                      "cat /proc/self/root/../..%s && exit 13\n"
                                      "for f in /root /home /usr /sys /var /run /lib; do test -e $f && exit 14; done\n"
                                      "mkdir /x && exit 15\n"
                                      "echo x > /etc/passwd && exit 16\n"
                                      "rm -f /etc/passwd && exit 17\n"
                                      "echo x > /bin/sh && exit 18\n"
                                      "mount -o remount,rw / && exit 19\n"
                                      "unshare -U -r -m mount -o remount,rw / && exit 20\n"
                                      "echo '|/bad' > /proc/sys/kernel/core_pattern && exit 21\n"
                                      "echo b > /proc/sysrq-trigger && exit 22\n"
                                      "mount -t tmpfs x /tmp && exit 23\n"
                                      "chroot / /bin/sh -c : && exit 24\n"
                                      "echo ok > $out\n",
                                      secret, secret, secret));
  CHECK_OK(fs_read_file("/proc/sys/kernel/core_pattern", 0, &now, &err), &err);
  CHECK_SPAN(buf_span(&now), buf_span(&former));
  buf_done(&former);
  buf_done(&now);
}
TEST(host_is_out_of_reach) {
  on_each_executor(host_is_out_of_reach_body);
}

static void set_user_bits_body(BuildFixture *fixture) {
  check_success(fixture, "exec 2>/dev/null\n"
                         "cp /bin/sh /build/sh\n"
                         "chmod 4755 /build/sh && exit 11\n"
                         "chmod g+s /build/sh && exit 12\n"
                         "chmod 755 /build/sh || exit 13\n"
                         "test -u /build/sh && exit 14\n"
                         "test -g /build/sh && exit 15\n"
                         "chown 0 /build/sh && exit 16\n"
                         "mknod /build/null c 1 3 && exit 17\n"
                         "mknod /build/disk b 8 0 && exit 18\n"
                         "mknod /build/fifo p || exit 19\n"
                         "su root -c : && exit 20\n"
                         "grep -q 'NoNewPrivs:.1' /proc/self/status || exit 21\n"
                         "grep -q 'CapEff:.0000000000000000' /proc/self/status || exit 22\n"
                         "echo ok > $out\n");
}
TEST(set_user_bits_and_devices_are_refused) {
  on_each_executor(set_user_bits_body);
}

static void network_body(BuildFixture *fixture) {
  // A service on the host's loopback and one in the abstract socket name space are what a builder could reach most easily.
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  CLEANUP(fs_close_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 4) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0);
  const char *script = arena_printf(&fixture->arena,
                                    "exec 2>/dev/null\n"
                                    "timeout 1 nc 127.0.0.1 %d </dev/null; test $? = 1 || exit 11\n"
                                    "test \"$(ip -o link | wc -l)\" = 1 || exit 12\n"
                                    "ping -c 1 -W 1 127.0.0.1 >/dev/null || :\n"
                                    "echo ok > $out\n",
                                    ntohs(address.sin_port));
  check_success(fixture, script);
  // And a fixed-output derivation reaches it.
  fixture->request.network_access = true;
  build_fixture_run(fixture, script);
  CHECK_EQ_INT(fixture->result.exit_code, 11);
}
TEST(network_is_only_for_fixed_outputs) {
  on_each_executor(network_body);
}

static void loopback_body(BuildFixture *fixture) {
  check_success(fixture, "sleep 1 | nc -l -p 4711 > $out & until echo through | nc -w 1 127.0.0.1 4711 2>/dev/null; "
                         "do sleep 0.05; done; wait");
  CHECK_STR(build_fixture_output(fixture, ""), "through\n");
}
TEST(loopback_works) {
  on_each_executor(loopback_body);
}

static bool is_running(const char *argument) {
  DIR *dir = opendir("/proc");
  bool found = false;
  for (struct dirent *entry; (entry = readdir(dir));) {
    Buf path = BUF_INIT, line = BUF_INIT;
    buf_printf(&path, "/proc/%s/cmdline", entry->d_name);
    if (fs_read_file(buf_cstr(&path), 0, &line, NULL) && span_find(buf_span(&line), span_cstr(argument)) != SIZE_MAX)
      found = true;
    buf_done(&path);
    buf_done(&line);
  }
  closedir(dir);
  return found;
}

static const char *unique_number(BuildFixture *fixture) {
  uint64_t rng = test_seed();
  return arena_printf(&fixture->arena, "%llu", (unsigned long long)(100000 + test_random_below(&rng, 1000000000)));
}

static void leftovers_body(BuildFixture *fixture) {
  const char *number = unique_number(fixture);
  check_success(fixture, arena_printf(&fixture->arena,
                                      "sleep %s & setsid sleep %s & (trap '' TERM HUP; sleep %s) & echo ok > $out",
                                      number, number, number));
  CHECK(!is_running(number));
}
TEST(nothing_is_left_running) {
  on_each_executor(leftovers_body);
}

static void signals_body(BuildFixture *fixture) {
  check_success(fixture, arena_printf(&fixture->arena, "kill -9 %d 2>/dev/null && exit 11; kill -9 -1; echo ok > $out",
                                      (int)getpid()));
}
TEST(signals_stay_inside) {
  on_each_executor(signals_body);
}

static void cancel_body(BuildFixture *fixture) {
  const char *number = unique_number(fixture);
  build_fixture_start(fixture, arena_printf(&fixture->arena, "sleep %s & sleep %s", number, number));
  for (int i = 0; i < 100 && !is_running(number); i++) build_fixture_wait(fixture, 20);
  CHECK(is_running(number));
  service_cancel(fixture->handle);
  CHECK(build_fixture_wait(fixture, 5000));
  CHECK_EQ_INT(fixture->result.outcome, BUILD_CANCELLED);
  // bubblewrap's inner process is told of the outer's death by the kernel, which takes a moment.
  for (int i = 0; i < 100 && is_running(number); i++) usleep(10000);
  CHECK(!is_running(number));
}
TEST(cancelling_kills_everything) {
  on_each_executor(cancel_body);
}

TEST(builders_die_with_firn) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE); // bubblewrap cannot promise it: sandbox_bwrap.h
  const char *number = unique_number(&fixture);
  // A second process plays the firn that is killed.
  pid_t pid = fork();
  if (pid == 0) {
    BuildFixture other;
    build_fixture_init(&other, SANDBOX_EXECUTOR_NATIVE);
    build_fixture_start(&other, arena_printf(&other.arena, "sleep %s & sleep %s", number, number));
    build_fixture_wait(&other, 100000);
    _exit(0);
  }
  for (int i = 0; i < 200 && !is_running(number); i++) usleep(10000);
  CHECK(is_running(number));
  kill(pid, SIGKILL);
  for (int i = 0; i < 200 && is_running(number); i++) usleep(10000);
  CHECK(!is_running(number));
  build_fixture_done(&fixture);
}

static void bad_builder_body(BuildFixture *fixture) {
  build_fixture_run(fixture, "exec /does/not/exist");
  CHECK_EQ_INT(fixture->result.outcome, BUILD_EXITED);
  CHECK_EQ_INT(fixture->result.exit_code, 127);
  build_fixture_run(fixture, "exit 3");
  CHECK_EQ_INT(fixture->result.exit_code, 3);
}
TEST(exit_codes_come_through) {
  on_each_executor(bad_builder_body);
}

// Whoever runs firn, a builder's files belong to somebody who owns nothing else on the host.
TEST(builders_of_root_are_another_user_outside) {
  if (geteuid() != 0) test_skip("only root chooses");
  BuildFixture fixture;
  struct stat st;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  check_success(&fixture,
                "id -u > $out; id -G >> $out; cat /proc/self/uid_map >> $out; grep Groups /proc/self/status >> $out");
  CHECK_CONTAINS(build_fixture_output(&fixture, ""), "1000\n100\n");
  CHECK_CONTAINS(build_fixture_output(&fixture, ""), "872415232");
  CHECK_CONTAINS(build_fixture_output(&fixture, ""), "Groups:\t \n");
  CHECK_EQ_INT(lstat(fixture.result.outputs[0].host_path, &st), 0);
  CHECK_EQ_INT(st.st_uid, LOCAL_BUILDER_UID);
  build_fixture_done(&fixture);
}

TEST(builder_is_pid_1) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  check_success(&fixture, "echo $$ > $out");
  CHECK_STR(build_fixture_output(&fixture, ""), "1\n");
  build_fixture_done(&fixture);
}

TEST(signals_are_told_from_exit_codes) {
  BuildFixture fixture;
  build_fixture_init(&fixture, SANDBOX_EXECUTOR_NATIVE);
  // PID 1 of a namespace ignores what it has no handler for, but not the kernel's own signals.
  build_fixture_run(&fixture, "ulimit -c 0; ulimit -t 1; while :; do :; done");
  CHECK_EQ_INT(fixture.result.outcome, BUILD_SIGNALLED);
  CHECK_EQ_INT(fixture.result.signal, SIGKILL);
  build_fixture_done(&fixture);
}

// In a user namespace that allows no further ones, as many containers are.
TEST(refused_namespaces_are_said_clearly) {
  for (int i = 0; i < 3; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      unsigned uid = geteuid();
      Buf map = BUF_INIT;
      buf_printf(&map, "0 %u 1", uid);
      if (unshare(CLONE_NEWUSER) != 0 || !write_in_place("/proc/self/uid_map", buf_span(&map)) ||
          !write_in_place("/proc/sys/user/max_user_namespaces", SPAN("0")))
        _exit(77);
      BuildFixture fixture;
      build_fixture_init(&fixture, i == 0   ? SANDBOX_EXECUTOR_AUTO
                                   : i == 1 ? SANDBOX_EXECUTOR_NATIVE
                                            : SANDBOX_EXECUTOR_BUBBLEWRAP);
      build_fixture_fails_to_start(
          &fixture, "exit 0", i < 2 ? "say --no-sandbox to build without isolation: " : "setting up the sandbox: ");
      _exit(0);
    }
    int status;
    CHECK_EQ_INT(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) test_skip("this machine has no user namespaces to forbid");
    CHECK_EQ_INT(status, 0);
  }
}

TEST(a_container_runtime_that_fails_is_no_failed_build) {
  BuildFixture fixture;
  build_fixture_init_oci(&fixture, "/no/such/runtime");
  build_fixture_fails_to_start(&fixture, "exit 0", "setting up the sandbox: there is no program '/no/such/runtime'");
  build_fixture_done(&fixture);
  build_fixture_init_oci(&fixture, "/bin/false");
  build_fixture_run(&fixture, "exit 0");
  CHECK_EQ_INT(fixture.result.outcome, BUILD_NOT_STARTED);
  CHECK_CONTAINS(span_cstr(err_message(&fixture.result.err)), "setting up the sandbox");
  build_fixture_done(&fixture);
}

TEST(containers_die_with_firn) {
  if (!has_runtime("crun")) test_skip("no crun here");
  BuildFixture fixture;
  build_fixture_init_oci(&fixture, "crun");
  const char *number = unique_number(&fixture);
  pid_t pid = fork();
  if (pid == 0) {
    build_fixture_start(&fixture, arena_printf(&fixture.arena, "sleep %s & sleep %s", number, number));
    build_fixture_wait(&fixture, 100000);
    _exit(0);
  }
  for (int i = 0; i < 500 && !is_running(number); i++) usleep(10000);
  CHECK(is_running(number));
  kill(pid, SIGKILL);
  CHECK_EQ_INT(waitpid(pid, NULL, 0), pid);
  for (int i = 0; i < 500 && is_running(number); i++) usleep(10000);
  CHECK(!is_running(number));
  build_fixture_done(&fixture);
}

// For the record; the machine may be busy, so the limit only finds mistakes of an order of magnitude. The budget of a build's overhead is
// 0.4 times C++ Nix's 15 to 40 ms.
static void speed_body(BuildFixture *fixture) {
  enum { RUNS = 20 };
  uint64_t best = UINT64_MAX;
  for (int i = 0; i < RUNS; i++) {
    uint64_t start = loop_now_ns();
    build_fixture_run(fixture, "echo ok > $out");
    uint64_t took = loop_now_ns() - start;
    if (took < best) best = took;
  }
  test_note("a trivial build takes %.2f ms", (double)best / 1e6);
  CHECK(best < 150000000);
}
TEST(trivial_builds_are_fast) {
  on_each_executor(speed_body);
}
TEST_MAIN()
