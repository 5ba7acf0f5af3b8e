// sandbox_bwrap.c: see sandbox_bwrap.h. Options go through --args, so that no length limit of the
// kernel applies to them and nobody reads them in a process list.
#include "build/sandbox_bwrap.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"

static void put_arg(Buf *ret, const char *arg) {
  buf_put(ret, arg, strlen(arg) + 1);
}
static void put_args2(Buf *ret, const char *a, const char *b) {
  put_arg(ret, a);
  put_arg(ret, b);
}
static void put_args3(Buf *ret, const char *a, const char *b, const char *c) {
  put_args2(ret, a, b);
  put_arg(ret, c);
}
static void put_number(Buf *ret, const char *option, unsigned long long number, bool octal) {
  put_arg(ret, option);
  buf_printf(ret, octal ? "%04llo" : "%llu", number);
  buf_put_char(ret, 0);
}

// bubblewrap 0.8 leaves kernel settings writable when access(2) says otherwise for the mapped user, although the user outside is root. The
// host's own directories, which are the same files, go over them.
static void put_proc(const SandboxStep *step, Buf *ret) {
  static const char *const covered[] = {"sys", "sysrq-trigger", "irq", "bus"};
  put_args2(ret, "--proc", step->path);
  for (size_t i = 0; i < ARRAY_LEN(covered); i++) {
    put_arg(ret, "--ro-bind-try");
    buf_printf(ret, "/proc/%s", covered[i]);
    buf_put_char(ret, 0);
    buf_printf(ret, "%s/%s", step->path, covered[i]);
    buf_put_char(ret, 0);
  }
}

static void put_step(const SandboxStep *step, Buf *ret) {
  switch (step->kind) {
  case SANDBOX_STEP_TMPFS:
    if (strcmp(step->path, "/") == 0) break; // bubblewrap's root is one already
    put_number(ret, "--perms", step->mode, true);
    if (step->size_bytes) put_number(ret, "--size", step->size_bytes, false);
    put_args2(ret, "--tmpfs", step->path);
    break;
  case SANDBOX_STEP_DIR:
    put_number(ret, "--perms", step->mode, true);
    put_args2(ret, "--dir", step->path);
    break;
  case SANDBOX_STEP_SYMLINK:
    put_arg(ret, "--symlink");
    buf_put_span(ret, step->content);
    buf_put_char(ret, 0);
    put_arg(ret, step->path);
    break;
  case SANDBOX_STEP_BIND_READ_ONLY: put_args3(ret, "--ro-bind", step->source, step->path); break;
  case SANDBOX_STEP_BIND: put_args3(ret, "--bind", step->source, step->path); break;
  case SANDBOX_STEP_BIND_DEVICE: put_args3(ret, "--dev-bind", step->source, step->path); break;
  case SANDBOX_STEP_DEV: put_args2(ret, "--dev", step->path); break;
  case SANDBOX_STEP_PROC: put_proc(step, ret); break;
  case SANDBOX_STEP_READ_ONLY: put_args2(ret, "--remount-ro", step->path); break;
  case SANDBOX_STEP_FILE: break; // needs a descriptor: put_files
  }
}

static void put_environment(const SandboxPlan *plan, Buf *ret) {
  put_arg(ret, "--clearenv");
  for (const char *const *e = plan->env; *e; e++) {
    Span value = span_cstr(*e), name;
    if (!span_split(&value, '=', &name)) continue;
    put_arg(ret, "--setenv");
    buf_put_span(ret, name);
    buf_put_char(ret, 0);
    put_arg(ret, value.data);
  }
}

void sandbox_bwrap_format(const SandboxPlan *plan, Buf *ret) {
  static const char *const namespaces[] = {"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
                                           "--unshare-cgroup"};
  for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) put_arg(ret, namespaces[i]);
  if (!plan->share_network) put_arg(ret, "--unshare-net");
  put_number(ret, "--uid", plan->uid, false);
  put_number(ret, "--gid", plan->gid, false);
  put_args2(ret, "--hostname", plan->hostname);
  put_arg(ret, "--die-with-parent");
  put_arg(ret, "--new-session");
  put_environment(plan, ret);
  put_args2(ret, "--chdir", plan->work_dir);
  for (size_t i = 0; i < plan->step_count; i++) put_step(&plan->steps[i], ret);
}

// --- descriptors: bubblewrap reads the arguments, the filter and the contents of files from memory
// files

typedef struct Fds {
  int fds[32];
  size_t count;
} Fds;

static bool add_memory_file(Fds *fds, Span content, int *ret, Err *err) {
  if (fds->count == ARRAY_LEN(fds->fds)) return err_set(err, ERR_LIMIT, "too many files in the sandbox plan");
  int fd = memfd_create("bwrap", MFD_CLOEXEC);
  if (fd < 0) return err_set_errno(err, errno, "creating a memory file");
  fds->fds[fds->count++] = *ret = fd;
  if (!fs_write_all(fd, content, err)) return false;
  return lseek(fd, 0, SEEK_SET) == 0 || err_set_errno(err, errno, "rewinding a memory file");
}

static bool put_files(const SandboxPlan *plan, Fds *fds, Buf *args, Err *err) {
  for (size_t i = 0; i < plan->step_count; i++) {
    const SandboxStep *step = &plan->steps[i];
    int fd;
    if (step->kind != SANDBOX_STEP_FILE) continue;
    if (!add_memory_file(fds, step->content, &fd, err)) return false;
    put_number(args, "--perms", step->mode, true);
    put_number(args, "--file", (unsigned)fd, false);
    put_arg(args, step->path);
  }
  return true;
}

// The options in bubblewrap's order: files must exist before the root becomes read-only, which is
// the last step.
static bool put_all(const SandboxRun *run, Fds *fds, Buf *args, Err *err) {
  SandboxPlan plan = *run->plan;
  int fd;
  if (plan.filter_syscalls) {
    if (!add_memory_file(fds, run->seccomp, &fd, err)) return false;
    put_number(args, "--seccomp", (unsigned)fd, false);
  }
  if (!put_files(&plan, fds, args, err)) return false;
  sandbox_bwrap_format(&plan, args);
  return true;
}

bool sandbox_bwrap_available(void) {
  Buf program = BUF_INIT;
  bool found = process_find_program("bwrap", &program, NULL);
  buf_done(&program);
  return found;
}

static const char **make_argv(const SandboxPlan *plan, const char *args_fd) {
  size_t count = 0;
  while (plan->argv[count]) count++;
  const char **argv = mem_alloc_array(count + 5, sizeof *argv);
  argv[0] = "bwrap";
  argv[1] = "--args";
  argv[2] = args_fd;
  argv[3] = "--";
  memcpy(argv + 4, plan->argv, (count + 1) * sizeof *argv);
  argv[4] = plan->program; // 0.8 has no --argv0
  return argv;
}

// bubblewrap writes {"child-pid": N} as soon as it has made the namespaces.
static int read_inner_pid(int info_fd) {
  Buf info = BUF_INIT;
  int pidfd = -1;
  if (fs_read_fd(info_fd, 4096, &info, NULL)) {
    Span text = buf_span(&info);
    size_t at = span_find(text, SPAN("\"child-pid\":"));
    Span number = span_trim(span_from(text, at == SIZE_MAX ? text.len : at + strlen("\"child-pid\":")));
    size_t len = 0;
    while (len < number.len && number.data[len] >= '0' && number.data[len] <= '9') len++;
    uint64_t pid;
    if (span_parse_u64(span_sub(number, 0, len), &pid) && pid <= INT32_MAX)
      pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  }
  buf_done(&info);
  return pidfd;
}

static bool spawn(const SandboxRun *run, const Fds *fds, int args_fd, Process *ret, Err *err) {
  char number[16];
  Buf text = BUF_INIT;
  buf_printf(&text, "%d", args_fd);
  memcpy(number, buf_cstr(&text), text.len + 1);
  buf_done(&text);
  const char **argv = make_argv(run->plan, number);
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.argv = argv;
  spec.stdout_fd = spec.stderr_fd = run->output_fd;
  spec.keep_fds = fds->fds;
  spec.keep_fd_count = fds->count;
  spec.new_session = spec.die_with_parent = spec.no_core_dumps = true;
  spec.set_umask = true;
  spec.umask = 022;
  spec.cgroup_fd = run->cgroup ? run->cgroup->procs_fd : -1;
  spec.persona = ADDR_NO_RANDOMIZE | (run->plan->uname_32bit ? PER_LINUX32 : PER_LINUX);
  bool ok = process_spawn(&spec, ret, err);
  mem_free(argv);
  return ok;
}

bool sandbox_bwrap_start(const SandboxRun *run, Process *ret, int *ret_inner_pidfd, Err *err) {
  Fds fds = {.count = 0};
  Buf args = BUF_INIT;
  int args_fd = -1, info[2];
  if (pipe2(info, O_CLOEXEC) != 0) return err_set_errno(err, errno, "creating a pipe");
  CLEANUP(fs_close_fd) int info_fd = info[0];
  fds.fds[fds.count++] = info[1];
  put_number(&args, "--info-fd", (unsigned)info[1], false);
  *ret_inner_pidfd = -1;
  bool ok = put_all(run, &fds, &args, err) && add_memory_file(&fds, buf_span(&args), &args_fd, err) &&
            spawn(run, &fds, args_fd, ret, err);
  for (size_t i = 0; i < fds.count; i++) fs_close_fd(&fds.fds[i]);
  buf_done(&args);
  if (ok) *ret_inner_pidfd = read_inner_pid(info_fd);
  return ok || err_wrap(err, "starting bubblewrap");
}
