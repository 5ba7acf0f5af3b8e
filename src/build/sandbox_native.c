// sandbox_native.c: see sandbox_native.h.
//
// Until exec, the child runs on a stack of its own in our memory while the calling thread waits. It therefore only makes
// system calls; every path it needs is put together before. What fails comes back through a close-on-exec pipe.
//
// Kernel facts that the order of things depends on:
// - A process in a new user namespace may map its own user without any privilege once setgroups is denied.
// - A process that enters a control group before it makes a cgroup namespace has that group as its root. That, too, is done by a process in between.
// - With a builder that is another user on the host, the namespace knows two users: 0 inside is root outside, who sets
//   everything up, and the builder's. Only root outside may write such a map, and only for a process that exists: so a
//   process in between makes the builder's (with CLONE_PARENT, so that it is our child all the same) and writes its maps.
// - A change of users makes the kernel forget the parent-death signal, and marks the memory as not to be looked at.
// - Mounts that came from the parent namespace are locked: read-only and no-device flags can be added, never removed, also
//   by a builder that makes a user namespace of its own.
// - All capabilities that the child has are in its own user namespace and vanish with exec, since its user is not 0.
// - pivot_root(".", ".") stacks the old root on the new one, from where it is unmounted: no directory for it is needed.
#include "build/sandbox_native.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

enum { CHILD_STACK_BYTES = 128 << 10 };

// --- the prepared operations

// COVER: makes a file or tree of a mount read-only, if it exists.
typedef enum OpKind { OP_MOUNT, OP_DIR, OP_FILE, OP_SYMLINK, OP_BIND, OP_COVER, OP_READ_ONLY } OpKind;

typedef struct Op {
  OpKind kind;
  const char *path;               // on the host: below the root directory
  const char *source;             // BIND; SYMLINK: the target; MOUNT: the file system type
  const char *data;               // MOUNT: options; FILE: content
  size_t data_len;                // FILE
  unsigned mode;                  // DIR, FILE
  unsigned long flags;            // MOUNT
  bool is_dir, read_only, device; // BIND
  size_t step;                    // of the plan, for messages
} Op;

typedef struct Prepared {
  Op *ops;
  size_t op_count, op_cap;
  const SandboxRun *run;
  Arena *arena;
  size_t step;
} Prepared;

static Op *add_op(Prepared *prepared, OpKind kind, const char *inside) {
  MEM_RESERVE(prepared->ops, prepared->op_cap, prepared->op_count + 1);
  Op *op = &prepared->ops[prepared->op_count++];
  const char *root = prepared->run->root_dir;
  const char *path = strcmp(inside, "/") == 0 ? root : arena_printf(prepared->arena, "%s%s", root, inside);
  *op = (Op){.kind = kind, .path = path, .step = prepared->step};
  return op;
}

static void add_mount(Prepared *prepared, const char *inside, const char *type, unsigned long flags, const char *data) {
  Op *op = add_op(prepared, OP_MOUNT, inside);
  op->source = type;
  op->flags = flags;
  op->data = data;
}

static void add_dir(Prepared *prepared, const char *inside, unsigned mode) {
  add_op(prepared, OP_DIR, inside)->mode = mode;
}

static void add_symlink(Prepared *prepared, const char *inside, const char *target) {
  add_op(prepared, OP_SYMLINK, inside)->source = target;
}

static void add_bind(Prepared *prepared, const char *inside, const char *source, bool is_dir, bool read_only,
                     bool device) {
  Op *op = add_op(prepared, OP_BIND, inside);
  op->source = source;
  op->is_dir = is_dir;
  op->read_only = read_only;
  op->device = device;
}

static void add_dev(Prepared *prepared) {
  static const char *const nodes[] = {"/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"};
  static const char *const links[][2] = {{"/dev/fd", "/proc/self/fd"},
                                         {"/dev/stdin", "/proc/self/fd/0"},
                                         {"/dev/stdout", "/proc/self/fd/1"},
                                         {"/dev/stderr", "/proc/self/fd/2"},
                                         {"/dev/ptmx", "/dev/pts/ptmx"}};
  add_dir(prepared, "/dev", 0755);
  add_mount(prepared, "/dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=0755");
  for (size_t i = 0; i < ARRAY_LEN(nodes); i++) add_bind(prepared, nodes[i], nodes[i], false, false, true);
  for (size_t i = 0; i < ARRAY_LEN(links); i++) add_symlink(prepared, links[i][0], links[i][1]);
  add_dir(prepared, "/dev/shm", 0755);
  add_dir(prepared, "/dev/pts", 0755);
  add_mount(prepared, "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
}

static void add_tmpfs(Prepared *prepared, const SandboxStep *step) {
  const char *data = step->size_bytes ? arena_printf(prepared->arena, "mode=%04o,size=%llu", step->mode,
                                                     (unsigned long long)step->size_bytes)
                                      : arena_printf(prepared->arena, "mode=%04o", step->mode);
  if (strcmp(step->path, "/") != 0) add_dir(prepared, step->path, 0755);
  add_mount(prepared, step->path, "tmpfs", MS_NOSUID | MS_NODEV, data);
}

// A builder that firn runs as root has root's user outside, and may so write kernel settings by file permission alone. Its own
// processes' files it needs.
static void add_proc(Prepared *prepared, const char *path) {
  static const char *const covered[] = {"sys", "sysrq-trigger", "irq", "bus"};
  add_dir(prepared, path, 0755);
  add_mount(prepared, path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  for (size_t i = 0; i < ARRAY_LEN(covered); i++) {
    const char *inside = arena_printf(prepared->arena, "%s/%s", path, covered[i]);
    add_op(prepared, OP_COVER, inside);
  }
}

static void prepare_step(Prepared *prepared, const SandboxStep *step) {
  switch (step->kind) {
  case SANDBOX_STEP_TMPFS: add_tmpfs(prepared, step); break;
  case SANDBOX_STEP_DIR: add_dir(prepared, step->path, step->mode); break;
  case SANDBOX_STEP_FILE: {
    Op *op = add_op(prepared, OP_FILE, step->path);
    op->data = step->content.data;
    op->data_len = step->content.len;
    op->mode = step->mode;
    break;
  }
  case SANDBOX_STEP_SYMLINK: add_symlink(prepared, step->path, arena_dup(prepared->arena, step->content).data); break;
  case SANDBOX_STEP_BIND_READ_ONLY: add_bind(prepared, step->path, step->source, step->is_dir, true, false); break;
  case SANDBOX_STEP_BIND: add_bind(prepared, step->path, step->source, step->is_dir, false, false); break;
  case SANDBOX_STEP_BIND_DEVICE: add_bind(prepared, step->path, step->source, false, false, true); break;
  case SANDBOX_STEP_DEV: add_dev(prepared); break;
  case SANDBOX_STEP_PROC: add_proc(prepared, step->path); break;
  case SANDBOX_STEP_READ_ONLY: add_op(prepared, OP_READ_ONLY, step->path); break;
  }
}

// --- the child

// What the child was doing when it failed. Text for messages: phase_text.
typedef enum Phase {
  PHASE_PARENT,
  PHASE_IDENTITY,
  PHASE_PRIVATE,
  PHASE_CGROUP,
  PHASE_STEP,
  PHASE_NETWORK,
  PHASE_HOSTNAME,
  PHASE_ROOT,
  PHASE_WORK_DIR,
  PHASE_STDIO,
  PHASE_USER,
  PHASE_LIMITS,
  PHASE_SECCOMP,
  PHASE_EXEC,
} Phase;

typedef struct Failure {
  Phase phase;
  size_t op;
  int sys_errno;
} Failure;

typedef struct Child {
  const SandboxRun *run;
  const Op *ops;
  size_t op_count;
  const char *uid_map, *gid_map;
  int null_fd, report_fd, report_read_fd;
  pid_t pid; // of the builder's process, or -1 with clone_errno
  int pidfd, clone_errno;
  // For a builder that is another user on the host.
  bool other_user;
  char *stack_top;       // of the builder's process
  int go_read_fd, go_fd; // says that the maps are written
  char proc_path[64];
} Child;

// Does not return. It is not declared so, nor calls anything that is: AddressSanitizer looks at the stack before such calls, and this
// one it does not know.
static void child_exit(int code) {
  syscall(SYS_exit_group, code);
}

static void child_fail(const Child *child, Phase phase, size_t op) {
  Failure failure = {phase, op, errno};
  if (write(child->report_fd, &failure, sizeof failure) < 0) child_exit(126);
  child_exit(127);
}

static bool write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  int why = errno;
  close(fd);
  errno = why;
  return ok;
}

// The parent may have been killed before the prctl, and then no signal comes. getppid says nothing in a new PID namespace,
// but the report pipe has lost its only reader.
static void tie_to_parent(const Child *child) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) child_fail(child, PHASE_PARENT, 0);
  struct pollfd polled = {.fd = child->report_fd, .events = 0};
  if (poll(&polled, 1, 0) > 0 && (polled.revents & POLLERR)) child_exit(127);
}

static void set_identity(const Child *child) {
  if (child->other_user) {
    // The process in between writes the maps. If it dies first, the pipe ends.
    char go;
    close(child->go_fd);
    if (read(child->go_read_fd, &go, 1) != 1) child_exit(127);
    return;
  }
  // Without setgroups (kernels before 3.19) there is nothing to deny.
  if (!write_text("/proc/self/setgroups", "deny") && errno != ENOENT) child_fail(child, PHASE_IDENTITY, 0);
  if (!write_text("/proc/self/uid_map", child->uid_map) || !write_text("/proc/self/gid_map", child->gid_map))
    child_fail(child, PHASE_IDENTITY, 0);
}

static bool make_file(const char *path, unsigned mode, const char *data, size_t len) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return errno == EEXIST && !len;
  bool ok = (!len || write(fd, data, len) == (ssize_t)len) && fchmod(fd, mode) == 0;
  close(fd);
  return ok;
}

// Adds flags to all mounts at and below `path`. Before Linux 5.12 only the topmost can be changed,
// which is all there is in a store path.
static bool restrict_mount(const char *path, bool recursive, bool read_only, bool no_device) {
  struct {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
  } attr = {.attr_set = (read_only ? 1u : 0u) /* RDONLY */ | 2u /* NOSUID */ | (no_device ? 4u : 0u) /* NODEV */};
  enum { MOUNT_SETATTR = 442, RECURSIVE = 0x8000 };
  if (syscall(MOUNT_SETATTR, AT_FDCWD, path, recursive ? RECURSIVE : 0, &attr, sizeof attr) == 0) return true;
  if (errno != ENOSYS) return false;
  struct statfs st;
  if (statfs(path, &st) != 0) return false;
  // ST_NOEXEC and the access time flags have the values of their MS_ counterparts; they must be
  // kept.
  unsigned long keep = (unsigned long)st.f_flags & (MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME);
  keep |= MS_NOSUID | (read_only ? MS_RDONLY : 0) | (no_device ? MS_NODEV : 0);
  if ((unsigned long)st.f_flags & 4096 /* ST_RELATIME */) keep |= MS_RELATIME;
  return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | keep, NULL) == 0;
}

static bool run_bind(const Op *op) {
  if (op->is_dir ? mkdir(op->path, 0755) != 0 && errno != EEXIST : !make_file(op->path, 0444, NULL, 0)) return false;
  if (mount(op->source, op->path, NULL, MS_BIND | MS_REC, NULL) != 0) return false;
  return restrict_mount(op->path, true, op->read_only, !op->device);
}

static bool run_op(const Op *op) {
  switch (op->kind) {
  case OP_MOUNT: return mount(op->source, op->path, op->source, op->flags, op->data) == 0;
  case OP_DIR: return mkdir(op->path, op->mode) == 0 || errno == EEXIST;
  case OP_FILE: return make_file(op->path, op->mode, op->data, op->data_len);
  // A link that a former run of this build made in its store directory (debug shell) stays.
  case OP_SYMLINK: return symlink(op->source, op->path) == 0 || errno == EEXIST;
  case OP_BIND: return run_bind(op);
  case OP_COVER:
    if (mount(op->path, op->path, NULL, MS_BIND | MS_REC, NULL) != 0) return errno == ENOENT;
    return restrict_mount(op->path, true, true, true);
  case OP_READ_ONLY: return restrict_mount(op->path, false, true, true);
  }
  return false;
}

static void set_loopback_up(const Child *child) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING};
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) child_fail(child, PHASE_NETWORK, 0);
  close(fd);
}

static void enter_root(const Child *child) {
  if (chdir(child->run->root_dir) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 ||
      chdir("/") != 0)
    child_fail(child, PHASE_ROOT, 0);
  if (chdir(child->run->plan->work_dir) != 0) child_fail(child, PHASE_WORK_DIR, 0);
}

static void set_stdio(Child *child) {
  // The report pipe first, out of the way of 0, 1 and 2.
  child->report_fd = fcntl(child->report_fd, F_DUPFD_CLOEXEC, 3);
  int input_fd = child->run->terminal ? child->run->output_fd : child->null_fd;
  int null_fd = fcntl(input_fd, F_DUPFD_CLOEXEC, 3), output_fd = fcntl(child->run->output_fd, F_DUPFD_CLOEXEC, 3);
  if (child->report_fd < 0 || null_fd < 0 || output_fd < 0 || dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 ||
      dup2(output_fd, 2) < 0)
    child_fail(child, PHASE_STDIO, 0);
  if (child->run->terminal && ioctl(0, TIOCSCTTY, 0) != 0) child_fail(child, PHASE_STDIO, 0);
  if (syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */) == 0) return;
  struct rlimit limit;
  int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20 ? (int)limit.rlim_cur : 1 << 20;
  for (int fd = 3; fd < end; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void set_limits(const Child *child) {
  umask(022);
  struct rlimit no_core = {0, RLIM_INFINITY};
  if (getrlimit(RLIMIT_CORE, &no_core) == 0) no_core.rlim_cur = 0;
  setrlimit(RLIMIT_CORE, &no_core);
  // Addresses that do not change from run to run make builds more deterministic; C++ Nix does the
  // same.
  unsigned long persona = (unsigned long)personality(0xffffffff);
  if (child->run->plan->uname_32bit) persona = (persona & ~(unsigned long)PER_MASK) | PER_LINUX32;
  personality(persona | ADDR_NO_RANDOMIZE);
  // A keyring of its own, so that keys of the caller's session cannot be reached. Fails where
  // keyrings are not built in.
  syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
  // Handlers end with exec; what is ignored stays so: SIGPIPE by firn, others by who started it (nohup).
  static const int ignorable[] = {SIGPIPE, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2};
  for (size_t i = 0; i < ARRAY_LEN(ignorable); i++) signal(ignorable[i], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) child_fail(child, PHASE_LIMITS, 0);
}

// From here on the builder's user, also on the host. glibc's functions would try to do this to all threads of the memory that
// we share.
static void become_builder(const Child *child) {
  if (!child->other_user) return;
  unsigned uid = child->run->plan->uid, gid = child->run->plan->gid;
  if (syscall(SYS_setgroups, 0, NULL) != 0 || syscall(SYS_setresgid, gid, gid, gid) != 0 ||
      syscall(SYS_setresuid, uid, uid, uid) != 0)
    child_fail(child, PHASE_USER, 0);
  tie_to_parent(child);
}

static void set_filter(const Child *child) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) child_fail(child, PHASE_SECCOMP, 0);
  if (!child->run->plan->filter_syscalls) return;
  Span program = child->run->seccomp;
  struct sock_fprog filter = {.len = (unsigned short)(program.len / sizeof(struct sock_filter)),
                              .filter = (struct sock_filter *)(uintptr_t)program.data};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) child_fail(child, PHASE_SECCOMP, 0);
}

static int child_main(void *arg) {
  Child *child = arg;
  const SandboxPlan *plan = child->run->plan;
  close(child->report_read_fd);
  if (setsid() < 0) child_fail(child, PHASE_PARENT, 0);
  tie_to_parent(child);
  set_identity(child);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) child_fail(child, PHASE_PRIVATE, 0);
  umask(0);
  for (size_t i = 0; i < child->op_count; i++)
    if (!run_op(&child->ops[i])) child_fail(child, PHASE_STEP, i);
  if (!plan->share_network) set_loopback_up(child);
  if (sethostname(plan->hostname, strlen(plan->hostname)) != 0 || setdomainname("(none)", 6) != 0)
    child_fail(child, PHASE_HOSTNAME, 0);
  enter_root(child);
  set_stdio(child);
  set_limits(child);
  become_builder(child);
  set_filter(child);
  execve(plan->program, (char *const *)plan->argv, (char *const *)plan->env);
  child_fail(child, PHASE_EXEC, 0);
  return 127;
}

// --- the parent

static SandboxStart set_failure(const Child *child, const Failure *failure, Err *err) {
  static const char *const phase_text[] = {
      [PHASE_PARENT] = "starting a session",
      [PHASE_IDENTITY] = "mapping the builder's user",
      [PHASE_PRIVATE] = "making mounts private",
      [PHASE_CGROUP] = "entering a control group",
      [PHASE_STEP] = "",
      [PHASE_NETWORK] = "setting up the loopback interface",
      [PHASE_HOSTNAME] = "setting the host name",
      [PHASE_ROOT] = "changing the root directory",
      [PHASE_WORK_DIR] = "entering the build directory",
      [PHASE_STDIO] = "setting up standard input and output",
      [PHASE_USER] = "changing to the builder's user",
      [PHASE_LIMITS] = "setting up signals",
      [PHASE_SECCOMP] = "loading the system call filter",
      [PHASE_EXEC] = "executing",
  };
  const SandboxPlan *plan = child->run->plan;
  if (failure->phase == PHASE_EXEC) {
    err_set_errno(err, failure->sys_errno, "executing '%s'", plan->program);
    return SANDBOX_EXEC_FAILED;
  }
  bool denied = failure->sys_errno == EPERM || failure->sys_errno == EACCES;
  if (failure->phase != PHASE_STEP) {
    err_set_errno(err, failure->sys_errno, "%s", phase_text[failure->phase]);
    return denied && failure->phase <= PHASE_PRIVATE ? SANDBOX_NO_NAMESPACES : SANDBOX_FAILED;
  }
  const Op *op = &child->ops[failure->op];
  const SandboxStep *step = &plan->steps[op->step];
  err_set_errno(err, failure->sys_errno, "%s '%s'%s%s%s", sandbox_step_name(step->kind),
                op->path + strlen(child->run->root_dir), op->kind == OP_BIND ? " from '" : "",
                op->kind == OP_BIND ? op->source : "", op->kind == OP_BIND ? "'" : "");
  // Where a security module forbids user namespaces, making one works and the first mount in it
  // fails.
  return denied && failure->op == 0 ? SANDBOX_NO_NAMESPACES : SANDBOX_FAILED;
}

static int namespace_flags(const Child *child) {
  return CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
         (child->run->plan->share_network ? 0 : CLONE_NEWNET);
}

// Writes /proc/<pid>/<name>. No printf here: see above.
static bool write_proc(Child *child, const char *name, const char *text) {
  char digits[16];
  size_t count = 0, at = sizeof "/proc/" - 1;
  for (pid_t left = child->pid; left > 0; left /= 10) digits[count++] = (char)('0' + left % 10);
  memcpy(child->proc_path, "/proc/", at);
  while (count) child->proc_path[at++] = digits[--count];
  child->proc_path[at++] = '/';
  memcpy(child->proc_path + at, name, strlen(name) + 1);
  return write_text(child->proc_path, text);
}

// The process in between. It shares the parent's memory and descriptors, and the parent waits until it is gone. Not CLONE_VFORK
// for the builder's process: it waits for the maps. Both share one errno meanwhile, but until then it only reads a pipe.
static int between_main(void *arg) {
  Child *child = arg;
  const BuildCgroup *cgroup = child->run->cgroup;
  if (cgroup && write(cgroup->procs_fd, "0", 1) != 1) child_fail(child, PHASE_CGROUP, 0);
  int flags = CLONE_VM | CLONE_PIDFD | CLONE_PARENT | SIGCHLD | namespace_flags(child);
  child->pid = clone(child_main, child->stack_top, flags, child, &child->pidfd);
  if (child->pid < 0) {
    child->clone_errno = errno;
    return 0;
  }
  if (!child->other_user) return 0;
  if (!write_proc(child, "uid_map", child->uid_map) || !write_proc(child, "gid_map", child->gid_map))
    child_fail(child, PHASE_IDENTITY, 0);
  if (write(child->go_fd, "x", 1) != 1) child_fail(child, PHASE_IDENTITY, 0);
  return 0;
}

// Sets child->pid and pidfd. The stacks must live until the report pipe ends: then the builder's process has executed its
// program or is gone. They grow down on every architecture firn supports; their tops must be 16-byte aligned.
static void clone_child(Child *child, char *stacks) {
  char *first = (char *)((uintptr_t)(stacks + CHILD_STACK_BYTES) & ~(uintptr_t)15);
  child->stack_top = (char *)((uintptr_t)(stacks + 2 * CHILD_STACK_BYTES) & ~(uintptr_t)15);
  if (!child->other_user && !child->run->cgroup) {
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | namespace_flags(child);
    child->pid = clone(child_main, first, flags, child, &child->pidfd);
    child->clone_errno = errno;
    return;
  }
  child->pid = -1;
  pid_t between = clone(between_main, first, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, child);
  if (between < 0) child->clone_errno = errno;
  while (between > 0 && waitpid(between, NULL, 0) < 0 && errno == EINTR) {
  }
}

// What the child reports, or nothing when it has executed its program.
static SandboxStart read_report(const Child *child, int report_fd, Err *err) {
  Failure failure;
  size_t got = 0;
  if (!fs_read_full(report_fd, &failure, sizeof failure, &got, err)) return SANDBOX_FAILED;
  if (got == sizeof failure) return set_failure(child, &failure, err);
  return SANDBOX_STARTED;
}

static SandboxStart run_child(Child *child, int *report_write_fd, int report_fd, Process *ret, Err *err) {
  char *stacks = mem_alloc(2 * (size_t)CHILD_STACK_BYTES);
  // With signals blocked, no handler of ours runs in a child while it still shares this memory.
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  clone_child(child, stacks);
  fs_close_fd(report_write_fd);
  SandboxStart start;
  if (child->pid < 0) {
    int why = child->clone_errno;
    err_set_errno(err, why, "creating namespaces");
    bool refused = why == EPERM || why == ENOSPC || why == EINVAL || why == EUSERS;
    start = refused ? SANDBOX_NO_NAMESPACES : SANDBOX_FAILED;
  } else {
    start = read_report(child, report_fd, err);
  }
  if (child->other_user) prctl(PR_SET_DUMPABLE, 1);
  pthread_sigmask(SIG_SETMASK, &former, NULL);
  Process process = {child->pid, child->pidfd};
  int status;
  if (start == SANDBOX_STARTED) {
    *ret = process;
  } else if (child->pid >= 0) {
    process_kill(&process, SIGKILL, false);
    if (!process_wait(&process, &status, NULL)) start = SANDBOX_FAILED;
  }
  mem_free(stacks);
  return start;
}

static SandboxStart start_child(Child *child, Process *ret, Err *err) {
  int report[2], go[2];
  if (pipe2(report, O_CLOEXEC) != 0) {
    err_set_errno(err, errno, "creating a pipe");
    return SANDBOX_FAILED;
  }
  CLEANUP(fs_close_fd) int report_read_fd = report[0];
  CLEANUP(fs_close_fd) int report_write_fd = report[1];
  if (pipe2(go, O_CLOEXEC) != 0) {
    err_set_errno(err, errno, "creating a pipe");
    return SANDBOX_FAILED;
  }
  CLEANUP(fs_close_fd) int go_read_fd = go[0];
  CLEANUP(fs_close_fd) int go_write_fd = go[1];
  child->report_read_fd = report_read_fd;
  child->report_fd = report_write_fd;
  child->go_read_fd = go_read_fd;
  child->go_fd = go_write_fd;
  return run_child(child, &report_write_fd, report_read_fd, ret, err);
}

static const char *make_map(Arena *arena, unsigned inside, unsigned caller, unsigned other) {
  if (!other) return arena_printf(arena, "%u %u 1\n", inside, caller);
  return arena_printf(arena, "0 %u 1\n%u %u 1\n", caller, inside, other);
}

SandboxStart sandbox_native_start(const SandboxRun *run, Process *ret, Err *err) {
  Arena arena = ARENA_INIT;
  Prepared prepared = {.run = run, .arena = &arena};
  for (size_t i = 0; i < run->plan->step_count; i++) {
    prepared.step = i;
    prepare_step(&prepared, &run->plan->steps[i]);
  }
  Child child = {
      .run = run,
      .ops = prepared.ops,
      .op_count = prepared.op_count,
      .uid_map = make_map(&arena, run->plan->uid, geteuid(), run->host_uid),
      .gid_map = make_map(&arena, run->plan->gid, getegid(), run->host_gid),
      .null_fd = -1,
      .other_user = run->host_uid != 0,
      .pidfd = -1,
  };
  SandboxStart start = SANDBOX_FAILED;
  if (fs_open("/dev/null", O_RDONLY, 0, &child.null_fd, err)) start = start_child(&child, ret, err);
  fs_close_fd(&child.null_fd);
  mem_free(prepared.ops);
  arena_done(&arena);
  return start;
}
