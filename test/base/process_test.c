#include "base/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "harness.h"

#define ARGV(...)         \
  (const char *const[]) { \
    __VA_ARGS__, NULL     \
  }
#define SH(script) ARGV("/bin/sh", "-c", script)

static void run(ProcessSpec spec, int want_status, const char *want_stdout) {
  Buf out = BUF_INIT;
  Err err = ERR_INIT;
  int status;
  CHECK_OK(process_run(&spec, &out, NULL, &status, &err), &err);
  CHECK_STR(buf_span(&out), want_stdout);
  CHECK_EQ_INT(status, want_status);
  buf_done(&out);
}

static ProcessSpec spec_of(const char *const *argv) {
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  return spec;
}

TEST(output_and_status) {
  run(spec_of(SH("printf hello; exit 3")), 3 << 8, "hello");
  run(spec_of(ARGV("printf", "%s", "by PATH")), 0, "by PATH");
}

TEST(both_streams_do_not_deadlock) {
  Buf out = BUF_INIT, errors = BUF_INIT;
  Err err = ERR_INIT;
  int status;
  // Both more than a pipe holds, interleaved.
  ProcessSpec spec =
      spec_of(SH("i=0; while [ $i -lt 300 ]; do printf '%01000d' 1; printf '%01000d' 2 >&2; i=$((i+1)); done"));
  CHECK_OK(process_run(&spec, &out, &errors, &status, &err), &err);
  CHECK_EQ_INT(out.len, 300000);
  CHECK_EQ_INT(errors.len, 300000);
  CHECK_EQ_INT(errors.data[errors.len - 1], '2');
  buf_done(&out);
  buf_done(&errors);
}

TEST(environment_and_directory) {
  ProcessSpec spec = spec_of(SH("echo $X-$HOME; pwd"));
  spec.env = (const char *const[]){"X=1", NULL};
  spec.cwd = "/usr";
  run(spec, 0, "1-\n/usr\n");
}

TEST(stdin_is_null_or_what_is_given) {
  run(spec_of(ARGV("/bin/cat")), 0, "");
  int ends[2];
  CHECK(pipe(ends) == 0);
  CHECK(write(ends[1], "text", 4) == 4);
  close(ends[1]);
  ProcessSpec spec = spec_of(ARGV("/bin/cat"));
  spec.stdin_fd = ends[0];
  run(spec, 0, "text");
  close(ends[0]);
}

// Standard output and error trade places, given by the numbers 1 and 2 themselves.
TEST(stdio_may_be_permuted) {
  int a[2], b[2];
  CHECK(pipe(a) == 0 && pipe(b) == 0);
  int saved_out = dup(1), saved_err = dup(2);
  CHECK(dup2(a[1], 1) == 1 && dup2(b[1], 2) == 2);
  ProcessSpec spec = spec_of(SH("printf out; printf err >&2"));
  spec.stdout_fd = 2;
  spec.stderr_fd = 1;
  Process process;
  Err err = ERR_INIT;
  int status;
  bool ok = process_spawn(&spec, &process, &err) && process_wait(&process, &status, &err);
  CHECK(dup2(saved_out, 1) == 1 && dup2(saved_err, 2) == 2);
  CHECK_OK(ok, &err);
  char data[8] = {0};
  CHECK_EQ_INT(read(a[0], data, sizeof data), 3);
  CHECK_STR(span_cstr(data), "err");
  CHECK_EQ_INT(read(b[0], data, sizeof data), 3);
  CHECK_STR(span_cstr(data), "out");
}

TEST(only_the_named_descriptors_stay_open) {
  int leaked = fcntl(1, F_DUPFD, 50), kept = fcntl(1, F_DUPFD, 60), cloexec_kept = fcntl(1, F_DUPFD_CLOEXEC, 70);
  CHECK(leaked == 50 && kept == 60 && cloexec_kept == 70);
  ProcessSpec spec = spec_of(
      SH("cd /proc/self/fd; for fd in *; do [ -e $fd ] && [ $fd -gt 2 ] && [ $fd -lt 100 ] && echo $fd; done; true"));
  spec.keep_fds = (const int[]){60, 70};
  spec.keep_fd_count = 2;
  Buf out = BUF_INIT;
  Err err = ERR_INIT;
  int status;
  CHECK_OK(process_run(&spec, &out, NULL, &status, &err), &err);
  CHECK_CONTAINS(buf_span(&out), "60\n70\n");
  CHECK(span_find(buf_span(&out), SPAN("50")) == SIZE_MAX);
  buf_done(&out);
}

TEST(failures_to_start_are_errors) {
  Err err = ERR_INIT;
  Process process;
  ProcessSpec spec = spec_of(ARGV("/nowhere/program"));
  CHECK_ERR(process_spawn(&spec, &process, &err), &err, ERR_NOT_FOUND, "executing '/nowhere/program': No such file");
  spec = spec_of(ARGV("no-such-program-in-path"));
  CHECK_ERR(process_spawn(&spec, &process, &err), &err, ERR_NOT_FOUND, "'no-such-program-in-path' in PATH");
  spec = spec_of(ARGV("/bin/sh"));
  spec.cwd = "/nowhere";
  CHECK_ERR(process_spawn(&spec, &process, &err), &err, ERR_NOT_FOUND,
            "starting '/bin/sh': entering directory '/nowhere'");
  spec = spec_of(ARGV("/bin/sh"));
  spec.keep_fds = (const int[]){999};
  spec.keep_fd_count = 1;
  CHECK_ERR(process_spawn(&spec, &process, &err), &err, ERR_IO, "passing on a file descriptor");
  spec = spec_of(ARGV("/etc/passwd"));
  CHECK_ERR(process_spawn(&spec, &process, &err), &err, ERR_IO, "Permission denied");
  // Nothing is left behind as a zombie.
  CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

TEST(the_pidfd_tells_the_end) {
  Err err = ERR_INIT;
  Process process;
  int status;
  ProcessSpec spec = spec_of(ARGV("/bin/sleep", "60"));
  CHECK_OK(process_spawn(&spec, &process, &err), &err);
  struct pollfd polled = {.fd = process.pidfd, .events = POLLIN};
  CHECK_EQ_INT(poll(&polled, 1, 0), 0);
  process_kill(&process, SIGTERM, false);
  CHECK_EQ_INT(poll(&polled, 1, 10000), 1);
  CHECK_OK(process_wait(&process, &status, &err), &err);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  CHECK_EQ_INT(process.pidfd, -1);
}

TEST(a_group_dies_together) {
  Err err = ERR_INIT;
  Process process;
  int status, ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  ProcessSpec spec = spec_of(SH("sleep 60 & echo started; wait"));
  spec.stdout_fd = ends[1];
  spec.new_session = true;
  CHECK_OK(process_spawn(&spec, &process, &err), &err);
  close(ends[1]);
  char data[16];
  CHECK_EQ_INT(read(ends[0], data, sizeof data), 8);
  process_kill(&process, SIGKILL, true);
  CHECK_OK(process_wait(&process, &status, &err), &err);
  // End of file only when the grandchild is gone too.
  CHECK_EQ_INT(read(ends[0], data, sizeof data), 0);
}

TEST(children_die_with_their_parent) {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  pid_t middle = fork();
  if (middle == 0) {
    ProcessSpec spec = spec_of(ARGV("/bin/sleep", "60"));
    spec.stdout_fd = ends[1];
    spec.die_with_parent = true;
    Process process;
    _exit(process_spawn(&spec, &process, NULL) ? 0 : 1);
  }
  close(ends[1]);
  int status;
  CHECK(waitpid(middle, &status, 0) == middle);
  CHECK_EQ_INT(status, 0);
  struct pollfd polled = {.fd = ends[0], .events = POLLIN};
  CHECK_EQ_INT(poll(&polled, 1, 10000), 1);
}

static void on_usr1(int sig) {}

// The signals 1 to 31 of a mask in /proc/PID/status; 32 and above glibc lets nobody change.
static uint64_t signal_mask(Span status, const char *field) {
  size_t at = span_find(status, span_cstr(field));
  CHECK(at != SIZE_MAX);
  return strtoull(status.data + at + strlen(field), NULL, 16) & 0x7fffffff;
}

TEST(signals_are_reset) {
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL); // whoever started the tests may ignore some
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGTERM);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGUSR1, on_usr1);
  Buf out = BUF_INIT;
  Err err = ERR_INIT;
  int status;
  ProcessSpec spec = spec_of(ARGV("/bin/cat", "/proc/self/status"));
  CHECK_OK(process_run(&spec, &out, NULL, &status, &err), &err);
  CHECK_EQ_INT(signal_mask(buf_span(&out), "SigBlk:\t"), 0);
  CHECK_EQ_INT(signal_mask(buf_span(&out), "SigIgn:\t"), 1u << (SIGHUP - 1));
  CHECK_EQ_INT(signal_mask(buf_span(&out), "SigCgt:\t"), 0);
  buf_done(&out);
}

TEST(a_thousand_children) {
  for (int i = 0; i < 1000; i++) run(spec_of(ARGV("/bin/true")), 0, "");
}

TEST(status_text) {
  Buf text = BUF_INIT;
  process_format_status(3 << 8, &text);
  CHECK_STR(buf_span(&text), "exited with code 3");
  buf_clear(&text);
  process_format_status(SIGKILL, &text);
  CHECK_STR(buf_span(&text), "was killed by signal 9 (Killed)");
  buf_done(&text);
}

TEST_MAIN()
