// process.c: see process.h.
//
// A child is made with CLONE_VM | CLONE_VFORK, as posix_spawn does: nothing of a large heap is copied and no page tables are
// duplicated, which is what makes fork slow for an evaluator. Until exec, the child runs on a stack of its own in the
// parent's memory, so it calls nothing but system calls; everything that allocates is done before. What fails in
// the child comes back through a close-on-exec pipe.
#include "base/process.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

enum { CHILD_STACK_BYTES = 64 << 10 };

typedef enum ChildStep {
  CHILD_STDIO,
  CHILD_KEEP,
  CHILD_SESSION,
  CHILD_PARENT,
  CHILD_CGROUP,
  CHILD_CWD,
  CHILD_EXEC,
} ChildStep;

// The child's report of what failed; nothing is sent when exec succeeds.
typedef struct ChildFailure {
  ChildStep step;
  int sys_errno;
} ChildFailure;

typedef struct ChildPlan {
  const ProcessSpec *spec;
  const char *program;
  const char *const *env;
  int stdio[3];
  int report_fd;
  pid_t parent_pid;
} ChildPlan;

// AddressSanitizer tracks the stack of each thread and would take the child's for a broken one.
#define IN_CHILD __attribute__((no_sanitize_address))

IN_CHILD static NORETURN void child_fail(const ChildPlan *plan, ChildStep step) {
  ChildFailure failure = {step, errno};
  // The parent is blocked reading a pipe far larger than this, so the write is complete or the parent is gone.
  if (write(plan->report_fd, &failure, sizeof failure) < 0) _exit(126);
  _exit(127);
}

// Handlers of the parent must not run here once signals are unblocked; what the user told us to ignore (nohup) stays
// ignored, except SIGPIPE, which firn ignores for itself.
IN_CHILD static void child_reset_signals(void) {
  for (int sig = 1; sig < NSIG; sig++) {
    struct sigaction action;
    if (sigaction(sig, NULL, &action) != 0) continue;
    bool ignored = !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_IGN;
    if (ignored && sig != SIGPIPE) continue;
    action = (struct sigaction){.sa_handler = SIG_DFL};
    sigaction(sig, &action, NULL);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

IN_CHILD static void child_set_stdio(ChildPlan *plan) {
  // Move everything above 2 first: one may be sitting on another's place.
  for (int i = 0; i < 3; i++) {
    plan->stdio[i] = fcntl(plan->stdio[i], F_DUPFD_CLOEXEC, 3);
    if (plan->stdio[i] < 0) child_fail(plan, CHILD_STDIO);
  }
  if (plan->report_fd < 3) {
    plan->report_fd = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, 3);
    if (plan->report_fd < 0) _exit(126);
  }
  for (int i = 0; i < 3; i++)
    if (dup2(plan->stdio[i], i) < 0) child_fail(plan, CHILD_STDIO);
}

IN_CHILD static void child_set_keep(const ChildPlan *plan) {
  if (syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */) != 0) {
    struct rlimit limit;
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20 ? (int)limit.rlim_cur : 1 << 20;
    for (int fd = 3; fd < end; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  for (size_t i = 0; i < plan->spec->keep_fd_count; i++)
    if (fcntl(plan->spec->keep_fds[i], F_SETFD, 0) != 0) child_fail(plan, CHILD_KEEP);
}

IN_CHILD static void child_set_attributes(const ProcessSpec *spec) {
  if (spec->set_umask) umask((mode_t)spec->umask);
  if (spec->persona) personality(spec->persona);
  struct rlimit limit;
  if (spec->no_core_dumps && getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &limit);
  }
}

IN_CHILD static int child_main(void *arg) {
  ChildPlan *plan = arg;
  const ProcessSpec *spec = plan->spec;
  if (spec->new_session && setsid() < 0) child_fail(plan, CHILD_SESSION);
  if (spec->die_with_parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) child_fail(plan, CHILD_PARENT);
    // The parent may have died before the prctl; then no signal will come.
    if (getppid() != plan->parent_pid) _exit(127);
  }
  if (spec->cgroup_fd >= 0 && write(spec->cgroup_fd, "0", 1) != 1) child_fail(plan, CHILD_CGROUP);
  child_set_stdio(plan);
  child_set_keep(plan);
  if (spec->cwd && chdir(spec->cwd) != 0) child_fail(plan, CHILD_CWD);
  child_set_attributes(spec);
  child_reset_signals();
  execve(plan->program, (char *const *)spec->argv, (char *const *)plan->env);
  child_fail(plan, CHILD_EXEC);
}

bool process_find_program(const char *name, Buf *ret, Err *err) {
  if (strchr(name, '/')) {
    buf_put_cstr(ret, name);
    return true;
  }
  const char *path_var = getenv("PATH");
  Span dirs = span_cstr(path_var ? path_var : "/usr/local/bin:/usr/bin:/bin");
  int why = ENOENT;
  for (bool more = *name != 0; more;) {
    Span dir;
    more = span_split(&dirs, ':', &dir);
    buf_clear(ret);
    fs_path_join(ret, dir.len ? dir : SPAN("."), span_cstr(name));
    struct stat st;
    if (stat(buf_cstr(ret), &st) == 0 && S_ISREG(st.st_mode)) {
      if (access(buf_cstr(ret), X_OK) == 0) return true;
      why = EACCES;
    }
  }
  return err_set_errno(err, why, "looking for the program '%s' in PATH", name);
}

static bool set_failure(const ChildPlan *plan, ChildFailure failure, Err *err) {
  const ProcessSpec *spec = plan->spec;
  static const char *const steps[] = {
      [CHILD_STDIO] = "setting up standard input and output",
      [CHILD_KEEP] = "passing on a file descriptor",
      [CHILD_SESSION] = "starting a session",
      [CHILD_PARENT] = "binding to the parent's life",
      [CHILD_CGROUP] = "entering a control group",
      [CHILD_CWD] = "entering directory",
      [CHILD_EXEC] = "executing",
  };
  if (failure.step == CHILD_CWD) err_set_errno(err, failure.sys_errno, "%s '%s'", steps[failure.step], spec->cwd);
  else if (failure.step == CHILD_EXEC)
    err_set_errno(err, failure.sys_errno, "%s '%s'", steps[failure.step], plan->program);
  else err_set_errno(err, failure.sys_errno, "%s", steps[failure.step]);
  return err_wrap(err, "starting '%s'", spec->argv[0]);
}

static pid_t clone_child(ChildPlan *plan) {
  char *stack = mem_alloc(CHILD_STACK_BYTES);
  // With signals blocked, no handler of ours runs in the child while it still shares this memory.
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  // The stack grows down on every architecture firn supports; the top must be 16-byte aligned.
  char *top = (char *)((uintptr_t)(stack + CHILD_STACK_BYTES) & ~(uintptr_t)15);
  pid_t pid = clone(child_main, top, CLONE_VM | CLONE_VFORK | SIGCHLD, plan);
  int why = errno;
  pthread_sigmask(SIG_SETMASK, &former, NULL);
  mem_free(stack);
  errno = why;
  return pid;
}

// Starts the child and waits until it has executed its program or reported why not.
static bool start_child(ChildPlan *plan, Process *ret, Err *err) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0)
    return err_set_errno(err, errno, "starting '%s': creating a pipe", plan->spec->argv[0]);
  CLEANUP(fs_close_fd) int read_fd = report[0];
  CLEANUP(fs_close_fd) int write_fd = report[1];
  plan->report_fd = write_fd;
  pid_t pid = clone_child(plan);
  if (pid < 0) return err_set_errno(err, errno, "starting '%s': creating a process", plan->spec->argv[0]);
  fs_close_fd(&write_fd);
  ChildFailure failure;
  size_t got = 0;
  bool ok = fs_read_full(read_fd, &failure, sizeof failure, &got, err);
  if (ok && got == sizeof failure) ok = set_failure(plan, failure, err);
  int pidfd = ok ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
  if (ok && pidfd < 0) {
    ok = err_set_errno(err, errno, "starting '%s': opening a pidfd", plan->spec->argv[0]);
    kill(pid, SIGKILL);
  }
  if (!ok) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return false;
  }
  *ret = (Process){pid, pidfd};
  return true;
}

bool process_spawn(const ProcessSpec *spec, Process *ret, Err *err) {
  for (size_t i = 0; i < spec->keep_fd_count; i++) assert(spec->keep_fds[i] > 2);
  Buf program = BUF_INIT;
  CLEANUP(fs_close_fd) int null_fd = -1;
  bool ok = process_find_program(spec->program ? spec->program : spec->argv[0], &program, err);
  if (ok && spec->stdin_fd < 0) ok = fs_open("/dev/null", O_RDONLY, 0, &null_fd, err);
  if (ok) {
    ChildPlan plan = {
        .spec = spec,
        .program = buf_cstr(&program),
        .env = spec->env ? spec->env : (const char *const *)environ,
        .stdio = {spec->stdin_fd < 0 ? null_fd : spec->stdin_fd, spec->stdout_fd < 0 ? 1 : spec->stdout_fd,
                  spec->stderr_fd < 0 ? 2 : spec->stderr_fd},
        .parent_pid = getpid(),
    };
    ok = start_child(&plan, ret, err);
  }
  buf_done(&program);
  return ok;
}

bool process_wait(Process *process, int *ret_status, Err *err) {
  pid_t got;
  do got = waitpid(process->pid, ret_status, 0);
  while (got < 0 && errno == EINTR);
  int why = errno;
  fs_close_fd(&process->pidfd);
  if (got < 0) return err_set_errno(err, why, "waiting for process %d", (int)process->pid);
  return true;
}

void process_kill(const Process *process, int sig, bool whole_group) {
  // ESRCH (it has ended by itself) is the only failure that can happen, and is what was wanted.
  if (whole_group) kill(-process->pid, sig);
  else syscall(SYS_pidfd_send_signal, process->pidfd, sig, NULL, 0);
}

// Reads what `fds` deliver into `bufs` until all have ended.
static bool drain(int fds[2], Buf *bufs[2], int cancel_fd, Err *err) {
  enum { STEP_BYTES = 64 << 10 };
  while (fds[0] >= 0 || fds[1] >= 0) {
    struct pollfd polled[3] = {
        {.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
    if (poll(polled, 3, -1) < 0) {
      if (errno == EINTR) continue;
      return err_set_errno(err, errno, "waiting for output");
    }
    if (polled[2].revents) return err_set(err, ERR_INTERRUPTED, "interrupted by the user");
    for (int i = 0; i < 2; i++) {
      if (!polled[i].revents) continue;
      buf_reserve(bufs[i], STEP_BYTES);
      ssize_t got = read(fds[i], bufs[i]->data + bufs[i]->len, STEP_BYTES);
      if (got < 0 && errno != EINTR) return err_set_errno(err, errno, "reading output");
      if (got > 0) bufs[i]->len += (size_t)got;
      if (got == 0) fs_close_fd(&fds[i]);
    }
  }
  return true;
}

bool process_run(const ProcessSpec *spec, Buf *ret_stdout, Buf *ret_stderr, int *ret_status, Err *err) {
  ProcessSpec run = *spec;
  int fds[2] = {-1, -1}, child_fds[2] = {-1, -1};
  Buf *bufs[2] = {ret_stdout, ret_stderr};
  bool ok = true;
  for (int i = 0; ok && i < 2; i++) {
    int ends[2];
    if (!bufs[i]) continue;
    if (pipe2(ends, O_CLOEXEC) != 0) ok = err_set_errno(err, errno, "running '%s': creating a pipe", spec->argv[0]);
    else fds[i] = ends[0], child_fds[i] = ends[1];
  }
  if (child_fds[0] >= 0) run.stdout_fd = child_fds[0];
  if (child_fds[1] >= 0) run.stderr_fd = child_fds[1];
  Process process;
  ok = ok && process_spawn(&run, &process, err);
  bool started = ok;
  for (int i = 0; i < 2; i++) fs_close_fd(&child_fds[i]);
  if (started) {
    ok = drain(fds, bufs, spec->cancel_fd, err);
    if (!ok) process_kill(&process, SIGKILL, spec->new_session);
    ok = process_wait(&process, ret_status, err) && ok;
    if (!ok && err->kind != ERR_INTERRUPTED) err_wrap(err, "running '%s'", spec->argv[0]);
  }
  for (int i = 0; i < 2; i++) fs_close_fd(&fds[i]);
  return ok;
}

unsigned process_cpu_count(void) {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return count > 1 ? (unsigned)count : 1;
}

size_t process_resident_bytes(void) {
  char text[128];
  unsigned long long pages = 0;
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
  if (fd >= 0) close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  const char *second = strchr(text, ' ');
  if (second) pages = strtoull(second, NULL, 10);
  return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

void process_format_status(int status, Buf *ret) {
  if (WIFEXITED(status)) {
    buf_printf(ret, "exited with code %d", WEXITSTATUS(status));
  } else if (WIFSIGNALED(status)) {
    int sig = WTERMSIG(status);
    buf_printf(ret, "was killed by signal %d (%s)%s", sig, strsignal(sig), WCOREDUMP(status) ? ", core dumped" : "");
  } else {
    buf_printf(ret, "ended with the unknown status 0x%x", (unsigned)status);
  }
}
