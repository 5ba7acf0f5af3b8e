// local_builder.c: see local_builder.h.
#include "build/local_builder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <poll.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/pool.h"
#include "build/build_log.h"
#include "build/debug_shell.h"
#include "build/local_scratch.h"
#include "build/sandbox_bwrap.h"
#include "build/sandbox_native.h"
#include "build/sandbox_oci.h"
#include "build/sandbox_seccomp.h"

// What is readable at once is read in pieces of this size.
enum { READ_BYTES = 64 << 10 };

typedef struct LocalBuilder {
  BuildService base;
  LocalBuilderConfig config; // strings in `arena`
  Arena arena;
  Loop *loop;
  Pool *cleaner; // removes directories of finished builds
  LocalScratch *scratch;
  Buf seccomp;           // once it was needed
  char *shell;           // owned; NULL until looked for
  unsigned builder_uid;  // 0: builders are the caller
  bool native_refused;   // AUTO: the system refused, bubblewrap did not
  BuildCgroups *cgroups; // once they were needed
  bool cgroups_refused;
} LocalBuilder;

typedef struct LocalBuild {
  BuildHandle base;
  LocalBuilder *builder;
  const BuildRequest *request;
  const BuildOptions *options;
  BuildCallbacks callbacks;
  Arena arena; // paths, plan, result
  LocalScratchDir dir;
  BuildLog *log;
  int master_fd;
  Process process; // its pidfd is the loop's
  bool running, whole_group, is_container;
  unsigned owner_uid; // on the host; 0: the caller
  int inner_pidfd;    // bubblewrap's PID 1
  int control_fd;     // of an OCI container: closing it kills
  BuildCgroup cgroup;
  uint64_t own_peak_bytes; // firn's memory when the build started
  DebugShell *shell;       // while one is shown after a failure
  LoopSource *output_source, *child_source, *timeout_timer, *silence_timer, *done_timer;
  uint64_t last_output_ns;
  BuildOutcome stopped_as; // why it was killed; SUCCEEDED: it was not
  BuildResult result;
} LocalBuild;

// --- where things are

static const char *cstr(Arena *arena, Span s) {
  return arena_dup(arena, s).data;
}

// "<build_dir>" of relative request paths: "build/x" -> host path of x. NULL when it is not below
// the build directory.
static const char *host_file_path(LocalBuild *build, Span path) {
  Span build_dir = span_from(span_cstr(build->builder->config.build_dir), 1);
  if (!span_has_prefix(path, build_dir) || path.len <= build_dir.len || path.data[build_dir.len] != '/') return NULL;
  return arena_printf(&build->arena, "%s%.*s", build->dir.build, SPAN_ARG(span_from(path, build_dir.len)));
}

// Base name of an output of the request; empty when it is not directly in the store directory.
static Span output_base(const LocalBuilder *builder, Span output) {
  Span dir = span_from(span_cstr(builder->config.store_dir), 1);
  Span base = fs_path_base(output);
  return span_eq(fs_path_dir(output), dir) ? base : (Span){"", 0};
}

static const char *output_host_path(LocalBuild *build, Span output) {
  const char *dir = build->options->no_sandbox ? build->builder->config.physical_store_dir : build->dir.store;
  return arena_printf(&build->arena, "%s/%.*s", dir, SPAN_ARG(output_base(build->builder, output)));
}

static bool check_outputs(LocalBuild *build, Err *err) {
  for (size_t i = 0; i < build->request->output_count; i++)
    if (!output_base(build->builder, build->request->outputs[i]).len)
      return err_set(err, ERR_OTHER, "the local builder makes outputs only in '%s', not '/%.*s'",
                     build->builder->config.store_dir, SPAN_ARG(build->request->outputs[i]));
  return true;
}

static bool write_files(LocalBuild *build, Err *err) {
  for (size_t i = 0; i < build->request->file_count; i++) {
    const BuildFile *file = &build->request->files[i];
    const char *path = host_file_path(build, file->path);
    if (!path)
      return err_set(err, ERR_OTHER, "the local builder makes files only in '%s', not '/%.*s'",
                     build->builder->config.build_dir, SPAN_ARG(file->path));
    Buf dir = BUF_INIT;
    buf_put_span(&dir, fs_path_dir(span_cstr(path)));
    CLEANUP(fs_close_fd) int fd = -1;
    bool ok = fs_mkdir_all(buf_cstr(&dir), 0755, err) && fs_open(path, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd, err) &&
              fs_write_all(fd, file->content, err) &&
              (!build->owner_uid || fchown(fd, build->owner_uid, build->owner_uid) == 0 ||
               err_set_errno(err, errno, "changing the owner of '%s'", path));
    buf_done(&dir);
    if (!ok) return err_wrap(err, "writing '/%.*s'", SPAN_ARG(file->path));
  }
  return true;
}

// --- facts about the host

// A program interpreter (PT_INTERP) means a dynamic executable, which would not start in a sandbox
// that holds nothing else.
static bool is_static(const char *path) {
  Buf head = BUF_INIT;
  CLEANUP(fs_close_fd) int fd = -1;
  char bytes[4096];
  size_t len = 0;
  if (!fs_open(path, O_RDONLY, 0, &fd, NULL) || !fs_read_full(fd, bytes, sizeof bytes, &len, NULL)) return false;
  buf_done(&head);
  return span_find(span_make(bytes, len), SPAN("/ld-linux")) == SIZE_MAX &&
         span_find(span_make(bytes, len), SPAN("/ld-musl")) == SIZE_MAX;
}

static bool find_shell(LocalBuilder *builder, const char **ret, Err *err) {
  static const char *const candidates[] = {"/usr/bin/busybox", "/bin/busybox", "/usr/lib/busybox/bin/busybox-static"};
  if (builder->config.shell) {
    *ret = builder->config.shell;
    return true;
  }
  for (size_t i = 0; !builder->shell && i < ARRAY_LEN(candidates); i++)
    if (access(candidates[i], X_OK) == 0 && is_static(candidates[i]))
      builder->shell = span_dup(span_cstr(candidates[i]));
  *ret = builder->shell;
  return builder->shell || err_set(err, ERR_NOT_FOUND,
                                   "builders need a static shell as /bin/sh, and there is no statically linked "
                                   "busybox: install the package busybox-static");
}

// The file a path leads to, or NULL when there is none.
static const char *resolve(Arena *arena, const char *path) {
  char *real = realpath(path, NULL);
  const char *ret = real ? cstr(arena, span_cstr(real)) : NULL;
  free(real);
  return ret;
}

static const char *find_ca_certs(LocalBuild *build) {
  static const char *const candidates[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                           "/etc/ssl/ca-bundle.pem"};
  if (build->builder->config.ca_certs) return resolve(&build->arena, build->builder->config.ca_certs);
  for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
    const char *path = resolve(&build->arena, candidates[i]);
    if (path) return path;
  }
  return NULL;
}

// --- planning

static bool make_input_bind(LocalBuild *build, const CastoreNode *input, SandboxBind *ret, Err *err) {
  Buf path = BUF_INIT;
  struct stat st;
  bool ok = build->callbacks.locate(build->callbacks.ctx, input, &path, err);
  if (ok && lstat(buf_cstr(&path), &st) != 0) ok = err_set_errno(err, errno, "input '%s'", buf_cstr(&path));
  if (ok) {
    *ret = (SandboxBind){
        .path = arena_printf(&build->arena, "/%.*s/%.*s", SPAN_ARG(build->request->inputs_dir), SPAN_ARG(input->name)),
        .source = cstr(&build->arena, buf_span(&path)),
        .is_dir = S_ISDIR(st.st_mode)};
    if (S_ISLNK(st.st_mode)) {
      buf_clear(&path);
      ok = fs_read_link(ret->source, &path, err);
      ret->link_target = cstr(&build->arena, buf_span(&path));
    }
  }
  buf_done(&path);
  return ok;
}

// An input that is also an output (rebuilding a path that a sandbox-path needs) stays out, as in
// Nix.
static bool is_output(const BuildRequest *request, const char *path) {
  for (size_t i = 0; i < request->output_count; i++)
    if (span_eq_cstr(request->outputs[i], path + 1)) return true;
  return false;
}

static bool make_binds(LocalBuild *build, SandboxSpec *spec, Err *err) {
  const LocalBuilderConfig *config = &build->builder->config;
  const BuildRequest *request = build->request;
  SandboxBind *binds = ARENA_ARRAY(&build->arena, SandboxBind, config->extra_bind_count + request->input_count + 1);
  size_t count = 0;
  for (size_t i = 0; i < config->extra_bind_count; i++)
    if (!is_output(request, config->extra_binds[i].path)) binds[count++] = config->extra_binds[i];
  for (size_t i = 0; i < request->input_count; i++) {
    if (!make_input_bind(build, &request->inputs[i], &binds[count], err)) return false;
    if (!is_output(request, binds[count].path)) count++;
  }
  spec->binds = binds;
  spec->bind_count = count;
  return true;
}

static void make_command(LocalBuild *build, SandboxSpec *spec) {
  const BuildRequest *request = build->request;
  const char **argv = ARENA_ARRAY(&build->arena, const char *, request->arg_count + 1);
  for (size_t i = 0; i < request->arg_count; i++) argv[i] = cstr(&build->arena, request->args[i]);
  // As C++ Nix does: the program's own name is only its last component.
  spec->program = argv[0];
  argv[0] = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  argv[request->arg_count] = NULL;
  const char **env = ARENA_ARRAY(&build->arena, const char *, request->env_count + 1);
  for (size_t i = 0; i < request->env_count; i++)
    env[i] = arena_printf(&build->arena, "%.*s=%.*s", SPAN_ARG(request->env[i].key), SPAN_ARG(request->env[i].value));
  env[request->env_count] = NULL;
  spec->argv = argv;
  spec->env = env;
}

static bool make_plan(LocalBuild *build, Arena *arena, SandboxPlan *ret, Err *err) {
  const LocalBuilderConfig *config = &build->builder->config;
  SandboxSpec spec = {
      .store_dir = config->store_dir,
      .output_dir = build->dir.store,
      .build_dir = config->build_dir,
      .build_dir_source = build->dir.build,
      .tmp_dir_source = build->dir.tmp,
      .network = build->request->network_access,
      .kvm = build->options->want_kvm,
      .shm_size_bytes = config->shm_size_bytes,
      .filter_syscalls = config->filter_syscalls,
      .uname_32bit = build->options->uname_32bit,
      .uid = 1000,
      .gid = 100,
  };
  bool shell_given = false; // a sandbox-path "/bin/sh" is preferred to looking for one
  for (size_t i = 0; i < config->extra_bind_count; i++)
    shell_given |= strcmp(config->extra_binds[i].path, "/bin/sh") == 0;
  if (build->request->provide_bin_sh && !shell_given && !find_shell(build->builder, &spec.shell_source, err))
    return false;
  if (spec.network) {
    spec.resolv_conf_source = resolve(&build->arena, "/etc/resolv.conf");
    spec.services_source = resolve(&build->arena, "/etc/services");
    spec.hosts_source = resolve(&build->arena, "/etc/hosts");
    spec.ca_certs_source = find_ca_certs(build);
  }
  if (!make_binds(build, &spec, err)) return false;
  make_command(build, &spec);
  *ret = sandbox_plan(&spec, arena);
  return true;
}

// --- starting

static const char no_namespaces_text[] = "this system does not allow the namespaces that isolate builds; see "
                                         "/proc/sys/user/max_user_namespaces and the security module's "
                                         "settings, or say --no-sandbox to build without isolation";

// bubblewrap has ended before there was a namespace. What it said is in the terminal.
static bool set_bwrap_failure(LocalBuild *build, Err *err) {
  char text[512];
  int status;
  if (!process_wait(&build->process, &status, err)) return false;
  ssize_t got = read(build->master_fd, text, sizeof text);
  Span said = got > 0 ? span_trim(span_make(text, (size_t)got)) : SPAN("bwrap said nothing");
  return err_set(err, ERR_OTHER, "%.*s", SPAN_ARG(said));
}

static bool start_with_bwrap(LocalBuild *build, const SandboxRun *run, Err *err) {
  build->whole_group = true;
  if (!sandbox_bwrap_available())
    return err_set(err, ERR_NOT_FOUND, "there is no program 'bwrap': install the package bubblewrap");
  if (!sandbox_bwrap_start(run, &build->process, &build->inner_pidfd, err)) return false;
  return build->inner_pidfd >= 0 || set_bwrap_failure(build, err);
}

// What runs the next build.
static SandboxExecutor current_executor(const LocalBuilder *builder) {
  if (builder->config.executor != SANDBOX_EXECUTOR_AUTO) return builder->config.executor;
  return builder->native_refused ? SANDBOX_EXECUTOR_BUBBLEWRAP : SANDBOX_EXECUTOR_NATIVE;
}

static SandboxOciRun oci_run(const LocalBuild *build, const SandboxRun *run) {
  return (SandboxOciRun){run, build->builder->config.oci_runtime, build->dir.top};
}

static bool start_sandboxed(LocalBuild *build, const SandboxRun *run, bool *ret_exec_failed, Err *err) {
  LocalBuilder *builder = build->builder;
  SandboxExecutor executor = builder->config.executor;
  SandboxOciRun oci = oci_run(build, run);
  switch (current_executor(builder)) {
  case SANDBOX_EXECUTOR_BUBBLEWRAP: return start_with_bwrap(build, run, err) || err_wrap(err, "setting up the sandbox");
  case SANDBOX_EXECUTOR_OCI:
    build->whole_group = build->is_container = true;
    return sandbox_oci_start(&oci, &build->process, &build->control_fd, err) || err_wrap(err, "setting up the sandbox");
  case SANDBOX_EXECUTOR_AUTO:
  case SANDBOX_EXECUTOR_NATIVE: break;
  }
  switch (sandbox_native_start(run, &build->process, err)) {
  case SANDBOX_STARTED: build->dir.reusable = true; return true;
  case SANDBOX_EXEC_FAILED: *ret_exec_failed = true; return false;
  case SANDBOX_FAILED: return err_wrap(err, "setting up the sandbox");
  case SANDBOX_NO_NAMESPACES: break;
  }
  if (executor == SANDBOX_EXECUTOR_NATIVE || !sandbox_bwrap_available()) {
    err_wrap(err, "%s", no_namespaces_text);
    return false;
  }
  // The error of the native way is the one that says what the system forbids.
  Err second = ERR_INIT;
  if (!local_scratch_give(&build->dir, geteuid(), &second) || !start_with_bwrap(build, run, &second)) {
    err_done(&second);
    return err_wrap(err, "%s", no_namespaces_text);
  }
  log_msg(LOG_TALKATIVE, "namespaces are refused (%s); using bubblewrap", err_message(err));
  err_done(err);
  builder->native_refused = true;
  return true;
}

static bool has_limits(const LocalBuilderConfig *config) {
  return config->limits.memory_bytes || config->limits.cpu_percent || config->limits.pid_count;
}

static bool make_cgroup(LocalBuild *build, Err *err) {
  LocalBuilder *builder = build->builder;
  const LocalBuilderConfig *config = &builder->config;
  if ((!config->use_cgroups && !has_limits(config)) || builder->cgroups_refused) return true;
  if (!builder->cgroups && !build_cgroup_open(&config->limits, &builder->cgroups, err)) {
    if (has_limits(config)) return false;
    log_warn("%s", err_message(err));
    err_done(err);
    return builder->cgroups_refused = true;
  }
  return build_cgroup_make(builder->cgroups, &build->arena, &build->cgroup, err);
}

// Variables that name the build directory get its real place, which without a sandbox is not
// /build.
static const char *replace_build_dir(LocalBuild *build, const char *entry) {
  Span value = span_cstr(entry), name, dir = span_cstr(build->builder->config.build_dir);
  if (!span_split(&value, '=', &name) || !span_has_prefix(value, dir)) return entry;
  if (value.len > dir.len && value.data[dir.len] != '/') return entry;
  return arena_printf(&build->arena, "%.*s=%s%.*s", SPAN_ARG(name), build->dir.build,
                      SPAN_ARG(span_from(value, dir.len)));
}

static bool start_plain(LocalBuild *build, int output_fd, bool *ret_exec_failed, Err *err) {
  const LocalBuilderConfig *config = &build->builder->config;
  if (strcmp(config->physical_store_dir, config->store_dir) != 0)
    return err_set(err, ERR_OTHER,
                   "cannot build without a sandbox: builders expect the store at '%s', but it is at '%s'",
                   config->store_dir, config->physical_store_dir);
  for (size_t i = 0; i < build->request->output_count; i++) {
    const char *path = output_host_path(build, build->request->outputs[i]);
    if (fs_exists(path))
      return err_set(err, ERR_OTHER,
                     "cannot build without a sandbox: '%s' exists, and the builder would have to "
                     "write another one beside it",
                     path);
  }
  SandboxSpec command = {0};
  make_command(build, &command);
  const char **env = (const char **)(uintptr_t)command.env;
  for (size_t i = 0; env[i]; i++) env[i] = replace_build_dir(build, env[i]);
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.program = command.program;
  spec.argv = command.argv;
  spec.env = env;
  spec.cwd = build->dir.build;
  spec.stdout_fd = spec.stderr_fd = output_fd;
  spec.new_session = spec.die_with_parent = spec.no_core_dumps = spec.set_umask = true;
  spec.umask = 022;
  spec.cgroup_fd = build->cgroup.procs_fd;
  spec.persona = ADDR_NO_RANDOMIZE | (build->options->uname_32bit ? PER_LINUX32 : PER_LINUX);
  build->whole_group = true;
  if (process_spawn(&spec, &build->process, err)) return true;
  *ret_exec_failed = true;
  return false;
}

// Builders write to a terminal, as under C++ Nix: some programs print other, or no, output to a
// pipe. It is raw, so bytes pass unchanged.
static bool open_terminal(LocalBuild *build, bool raw, int *ret_slave, Err *err) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0 || unlockpt(master) != 0) {
    fs_close_fd(&master);
    return err_set_errno(err, errno, "opening a pseudo-terminal");
  }
  build->master_fd = master;
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  struct termios term;
  if (slave < 0 || tcgetattr(slave, &term) != 0) {
    fs_close_fd(&slave);
    return err_set_errno(err, errno, "opening the other side of a pseudo-terminal");
  }
  if (raw) cfmakeraw(&term);
  tcsetattr(slave, TCSANOW, &term);
  // Builders also open it by name: /dev/stderr.
  if (build->owner_uid && fchown(slave, build->owner_uid, (gid_t)-1) != 0) {
    fs_close_fd(&slave);
    return err_set_errno(err, errno, "changing the owner of a pseudo-terminal");
  }
  *ret_slave = slave;
  return true;
}

// Tells the build's directory which mount points the plan makes in it.
static bool note_mounts(LocalBuild *build, const SandboxPlan *plan, Err *err) {
  LocalScratchMount *mounts = ARENA_ARRAY(&build->arena, LocalScratchMount, plan->step_count);
  Span store_dir = span_cstr(build->builder->config.store_dir);
  size_t count = 0;
  for (size_t i = 0; i < plan->step_count; i++) {
    const SandboxStep *step = &plan->steps[i];
    Span path = span_cstr(step->path);
    bool is_bind = step->kind == SANDBOX_STEP_BIND_READ_ONLY || step->kind == SANDBOX_STEP_BIND;
    if (is_bind && span_eq(fs_path_dir(path), store_dir))
      mounts[count++] = (LocalScratchMount){fs_path_base(path), step->is_dir};
  }
  return local_scratch_set_mounts(&build->dir, mounts, count, err);
}

static bool get_seccomp(LocalBuilder *builder, Err *err) {
  return !builder->config.filter_syscalls || builder->seccomp.len || sandbox_seccomp_program(&builder->seccomp, err);
}

static bool start_process(LocalBuild *build, bool *ret_exec_failed, Err *err) {
  CLEANUP(fs_close_fd) int slave = -1;
  if (!open_terminal(build, true, &slave, err) || !make_cgroup(build, err)) return false;
  if (build->options->no_sandbox) return start_plain(build, slave, ret_exec_failed, err);
  SandboxPlan plan;
  if (!get_seccomp(build->builder, err) || !make_plan(build, &build->arena, &plan, err) ||
      !note_mounts(build, &plan, err))
    return false;
  SandboxRun run = {.plan = &plan,
                    .root_dir = build->dir.root,
                    .output_fd = slave,
                    .seccomp = buf_span(&build->builder->seccomp),
                    .host_uid = build->owner_uid,
                    .host_gid = build->owner_uid,
                    .cgroup = build->cgroup.path ? &build->cgroup : NULL};
  return start_sandboxed(build, &run, ret_exec_failed, err);
}

// --- running

static void kill_build(LocalBuild *build, BuildOutcome why) {
  if (!build->running || build->stopped_as != BUILD_SUCCEEDED) return;
  build->stopped_as = why;
  if (build->control_fd >= 0) {
    fs_close_fd(&build->control_fd);
    return;
  }
  if (build->whole_group) kill(-build->process.pid, SIGKILL);
  if (build->inner_pidfd >= 0) syscall(SYS_pidfd_send_signal, build->inner_pidfd, SIGKILL, NULL, 0);
  process_kill(&build->process, SIGKILL, false);
}

static void on_timeout(void *ctx) {
  LocalBuild *build = ctx;
  build->timeout_timer = NULL;
  kill_build(build, BUILD_TIMED_OUT);
}

static void on_silence(void *ctx) {
  LocalBuild *build = ctx;
  uint64_t deadline = build->last_output_ns + build->options->max_silent_ns;
  build->silence_timer = NULL;
  if (loop_now_ns() >= deadline) kill_build(build, BUILD_SILENT);
  else build->silence_timer = loop_add_timer(build->builder->loop, deadline, on_silence, build);
}

static void close_output(LocalBuild *build) {
  loop_remove(build->output_source);
  build->output_source = NULL;
  fs_close_fd(&build->master_fd);
}

// Reads what is there. EIO is the end of file of a pseudo-terminal.
static void read_output(LocalBuild *build) {
  char data[READ_BYTES];
  while (build->master_fd >= 0) {
    ssize_t got = read(build->master_fd, data, sizeof data);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      close_output(build);
      // Nobody can write to the log any more: for C++ Nix this is the end of the build. What is exiting keeps its exit code.
      // A container's runtime has it open until it ends.
      if (build->running && !build->shell && !build->is_container) process_kill(&build->process, SIGKILL, false);
      return;
    }
    build->last_output_ns = loop_now_ns();
    if (build->stopped_as == BUILD_LOG_TOO_BIG) continue;
    if (!build_log_feed(build->log, span_make(data, (size_t)got))) kill_build(build, BUILD_LOG_TOO_BIG);
    // One builder that prints without end must not keep the loop from the others.
    if ((size_t)got == sizeof data && build->running) return;
  }
}

static void on_output(void *ctx, uint32_t events UNUSED) {
  read_output(ctx);
}

// Without a sandbox the builder has written to the store itself. From there its output goes to where others have theirs, so that nothing stands in the
// store that is not registered, and what is registered is moved there in the same way.
static const char *take_output(LocalBuild *build, Span output) {
  const char *path = output_host_path(build, output);
  if (!build->options->no_sandbox) return path;
  const char *place =
      arena_printf(&build->arena, "%s/%.*s", build->dir.store, SPAN_ARG(output_base(build->builder, output)));
  return rename(path, place) == 0 ? place : path;
}

static void collect_outputs(LocalBuild *build) {
  const BuildRequest *request = build->request;
  BuildOutput *outputs = ARENA_ARRAY(&build->arena, BuildOutput, request->output_count);
  for (size_t i = 0; i < request->output_count; i++) {
    const char *path = take_output(build, request->outputs[i]);
    outputs[i] = (BuildOutput){.present = fs_exists(path), .host_path = path};
  }
  build->result.outputs = outputs;
  build->result.output_count = request->output_count;
}

// Nix's measure: less than 8 MiB, for the outputs or in the build directory.
static bool is_disk_full(const LocalBuilder *builder) {
  struct statvfs st;
  const char *dirs[] = {builder->config.scratch_dir, builder->config.host_build_dir};
  for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
    if (dirs[i] && statvfs(dirs[i], &st) == 0 && (uint64_t)st.f_bavail * st.f_bsize < ((uint64_t)8 << 20)) return true;
  return false;
}

static void finish(LocalBuild *build) {
  LocalBuilder *builder = build->builder;
  build->running = false;
  loop_remove(build->timeout_timer);
  loop_remove(build->silence_timer);
  read_output(build);
  if (build->master_fd >= 0) close_output(build);
  Err err = ERR_INIT;
  if (!build_log_close(build->log, &err)) log_warn("%s", err_message(&err));
  else build->result.log_written = build->options->log_path && build_log_size_bytes(build->log) > 0;
  err_done(&err);
  build->result.log_tail = build_log_tail(build->log, &build->result.log_tail_count);
  build->result.stop_ns = loop_now_ns();
  build->result.disk_full = build->result.outcome != BUILD_SUCCEEDED && is_disk_full(builder);
  if (build->result.outcome == BUILD_SUCCEEDED) collect_outputs(build);
  else if (build->options->keep_failed && build->result.outcome != BUILD_CANCELLED)
    build->result.kept_dir = local_scratch_keep(builder->scratch, &build->dir, build->options->name, &build->arena);
  build->callbacks.done(build->callbacks.ctx, &build->base, &build->result);
}

static void set_outcome(LocalBuild *build, int status) {
  BuildResult *result = &build->result;
  if (build->stopped_as != BUILD_SUCCEEDED) result->outcome = build->stopped_as;
  else if (WIFSIGNALED(status)) {
    result->outcome = BUILD_SIGNALLED;
    result->signal = WTERMSIG(status);
  } else {
    result->exit_code = WEXITSTATUS(status);
    result->outcome = result->exit_code ? BUILD_EXITED : BUILD_SUCCEEDED;
  }
}

// bubblewrap ends before the namespace does. The kernel needs no more than a moment to kill what is left.
static void wait_for_namespace(LocalBuild *build) {
  if (build->inner_pidfd < 0) return;
  struct pollfd polled = {.fd = build->inner_pidfd, .events = POLLIN};
  syscall(SYS_pidfd_send_signal, build->inner_pidfd, SIGKILL, NULL, 0);
  while (poll(&polled, 1, -1) < 0 && errno == EINTR) {
  }
  fs_close_fd(&build->inner_pidfd);
}

// --- debug shell

static void on_shell_exit(void *ctx, int status UNUSED, const struct rusage *usage UNUSED) {
  LocalBuild *build = ctx;
  build->child_source = NULL;
  debug_shell_stop(STEAL(build->shell));
  close_output(build); // what the shell printed is no part of the log
  if (build->stopped_as == BUILD_CANCELLED) build->result.outcome = BUILD_CANCELLED;
  finish(build);
}

// The same plan on the same directories with another program: what the builder left in /build and in its outputs is there.
static bool run_shell(LocalBuild *build, Err *err) {
  static const char *const argv[] = {"sh", NULL};
  CLEANUP(fs_close_fd) int slave = -1;
  SandboxPlan plan;
  if (!open_terminal(build, false, &slave, err) || !make_plan(build, &build->arena, &plan, err)) return false;
  plan.program = "/bin/sh";
  plan.argv = argv;
  SandboxRun run = {.plan = &plan,
                    .root_dir = build->dir.root,
                    .output_fd = slave,
                    .terminal = true,
                    .seccomp = buf_span(&build->builder->seccomp),
                    .host_uid = build->owner_uid,
                    .host_gid = build->owner_uid};
  return sandbox_native_start(&run, &build->process, err) == SANDBOX_STARTED;
}

static bool show_shell(LocalBuild *build, Err *err) {
  Loop *loop = build->builder->loop;
  if (!run_shell(build, err)) return false;
  if (loop_add_child(loop, build->process, on_shell_exit, build, &build->child_source, err)) {
    build->running = true;
    if (debug_shell_start(loop, build->master_fd, &build->shell, err)) return true;
  }
  process_kill(&build->process, SIGKILL, false);
  return build->running; // then its end is waited for
}

// True when the build's end waits for a shell.
static bool start_debug_shell(LocalBuild *build) {
  bool failed = build->result.outcome == BUILD_EXITED || build->result.outcome == BUILD_SIGNALLED;
  if (!failed || current_executor(build->builder) != SANDBOX_EXECUTOR_NATIVE || !build->options->debug_shell ||
      build->options->no_sandbox || !debug_shell_is_possible())
    return false;
  Err err = ERR_INIT;
  loop_remove(build->timeout_timer);
  loop_remove(build->silence_timer);
  build->timeout_timer = build->silence_timer = NULL;
  read_output(build);
  if (build->master_fd >= 0) close_output(build);
  log_msg(LOG_NOTICE, "the build of '%s' failed; this shell is in its sandbox, leave it to go on",
          build->options->name);
  bool shown = show_shell(build, &err);
  if (!shown) log_warn("no shell in the failed build's sandbox: %s", err_message(&err));
  err_done(&err);
  return shown;
}

static uint64_t micros(struct timeval time) {
  return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

// From the group, or else from what the kernel counts of processes that are waited for. To that, a process that shared our memory until exec brings our peak.
static void set_usage(LocalBuild *build, const struct rusage *usage) {
  BuildResult *result = &build->result;
  uint64_t peak_bytes = (uint64_t)usage->ru_maxrss * 1024;
  result->usage = (BuildUsage){.user_us = micros(usage->ru_utime), .system_us = micros(usage->ru_stime)};
  if (peak_bytes > build->own_peak_bytes) result->usage.peak_memory_bytes = peak_bytes;
  if (!build->cgroup.path) return;
  BuildCgroupEnd end;
  build_cgroup_remove(&build->cgroup, &end);
  if (!end.usage.is_whole_group) end.usage.peak_memory_bytes = result->usage.peak_memory_bytes;
  result->usage = end.usage;
  result->out_of_memory = end.out_of_memory;
  result->out_of_pids = end.out_of_pids;
}

static uint64_t own_peak_bytes(void) {
  struct rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : UINT64_MAX;
}

// The runtime has ended: was it the builder that failed?
static void check_container(LocalBuild *build) {
  BuildResult *result = &build->result;
  SandboxOciRun oci = oci_run(build, NULL);
  Buf message = BUF_INIT;
  bool is_exec;
  fs_close_fd(&build->control_fd);
  if (result->outcome != BUILD_EXITED) return;
  if (sandbox_oci_failed(&oci, cstr(&build->arena, build->request->args[0]), &message, &is_exec)) {
    size_t tail_count;
    read_output(build);
    const Span *tail = build_log_tail(build->log, &tail_count);
    if (!message.len && tail_count) buf_put_span(&message, tail[tail_count - 1]);
    if (is_exec) {
      result->exit_code = 1;
    } else {
      result->outcome = BUILD_NOT_STARTED;
      err_set(&result->err, ERR_OTHER, "setting up the sandbox: %s", buf_cstr(&message));
    }
  }
  buf_done(&message);
}

static void on_child_exit(void *ctx, int status, const struct rusage *usage) {
  LocalBuild *build = ctx;
  build->child_source = NULL;
  // Without a PID namespace, what the builder left behind in its session must be looked for. Its
  // process group cannot have been given to anybody else while it has members.
  if (build->whole_group) kill(-build->process.pid, SIGKILL);
  wait_for_namespace(build);
  set_usage(build, usage);
  set_outcome(build, status);
  if (build->is_container) check_container(build);
  if (!start_debug_shell(build)) finish(build);
}

static void on_exec_failed(void *ctx) {
  LocalBuild *build = ctx;
  build->done_timer = NULL;
  finish(build);
}

static bool watch(LocalBuild *build, Err *err) {
  Loop *loop = build->builder->loop;
  const BuildOptions *options = build->options;
  if (!loop_add_fd(loop, build->master_fd, EPOLLIN, on_output, build, &build->output_source, err)) return false;
  if (!loop_add_child(loop, build->process, on_child_exit, build, &build->child_source, err)) return false;
  build->running = true;
  uint64_t now = build->result.start_ns;
  if (options->timeout_ns) build->timeout_timer = loop_add_timer(loop, now + options->timeout_ns, on_timeout, build);
  if (options->max_silent_ns)
    build->silence_timer = loop_add_timer(loop, now + options->max_silent_ns, on_silence, build);
  return true;
}

// C++ Nix's child reports this in the log and exits with 1; so it is a failed build, not a failure
// to build.
static bool report_exec_failure(LocalBuild *build, Err *err) {
  Buf line = BUF_INIT;
  buf_printf(&line, "error: %s\n", err_message(err));
  err_done(err);
  bool fits = build_log_feed(build->log, buf_span(&line));
  buf_done(&line);
  build->result.outcome = fits ? BUILD_EXITED : BUILD_LOG_TOO_BIG;
  build->result.exit_code = 1;
  build->done_timer = loop_add_timer(build->builder->loop, loop_now_ns(), on_exec_failed, build);
  return true;
}

// --- the service

static void free_build(LocalBuild *build) {
  if (build->output_source) loop_remove(build->output_source);
  fs_close_fd(&build->master_fd);
  fs_close_fd(&build->inner_pidfd);
  fs_close_fd(&build->control_fd);
  build_cgroup_remove(&build->cgroup, NULL);
  build_log_free(build->log);
  err_done(&build->result.err);
  arena_done(&build->arena);
  mem_free(build);
}

static LocalBuild *new_build(LocalBuilder *builder, const BuildRequest *request, const BuildOptions *options,
                             const BuildCallbacks *callbacks) {
  LocalBuild *build = mem_alloc_zero(sizeof *build);
  build->base.service = &builder->base;
  build->builder = builder;
  build->request = request;
  build->options = options;
  build->callbacks = *callbacks;
  build->master_fd = -1;
  build->process.pidfd = -1;
  build->inner_pidfd = build->control_fd = -1;
  build->dir.lock_fd = -1;
  build->cgroup.procs_fd = -1;
  return build;
}

static bool make_scratch(LocalBuild *build, Err *err) {
  const char *host_dir = build->builder->config.host_build_dir;
  bool settles = host_dir || (build->options->no_sandbox && build->options->keep_failed);
  const BuildRequest *request = build->request;
  Span *inputs = ARENA_ARRAY(&build->arena, Span, request->input_count);
  for (size_t i = 0; i < request->input_count; i++) inputs[i] = request->inputs[i].name;
  return local_scratch_make(build->builder->scratch, build->options->name, build->owner_uid, inputs,
                            request->input_count, &build->arena, &build->dir, err) &&
         // Without a sandbox the builder sees the directory's own name, which then has to be the one under which it is kept.
         (!settles || local_scratch_settle(build->builder->scratch, host_dir, build->options->name, &build->arena,
                                           &build->dir, err));
}

static bool local_start(BuildService *service, const BuildRequest *request, const BuildOptions *options,
                        const BuildCallbacks *callbacks, BuildHandle **ret, Err *err) {
  LocalBuilder *builder = (LocalBuilder *)service;
  LocalBuild *build = new_build(builder, request, options, callbacks);
  BuildLogConfig log_config = {.path = options->log_path,
                               .max_bytes = options->max_log_bytes,
                               .tail_lines = options->log_tail_lines,
                               .line = callbacks->line,
                               .phase = callbacks->phase,
                               .ctx = callbacks->ctx};
  build->log = build_log_new(&log_config);
  bool exec_failed = false;
  // bubblewrap cannot choose, and without a sandbox the builder must be able to write to the store.
  bool can_choose = current_executor(builder) != SANDBOX_EXECUTOR_BUBBLEWRAP;
  build->owner_uid = can_choose && !options->no_sandbox ? builder->builder_uid : 0;
  build->own_peak_bytes = own_peak_bytes();
  build->result.start_ns = build->last_output_ns = loop_now_ns();
  bool ok = check_outputs(build, err) && make_scratch(build, err) && write_files(build, err) &&
            start_process(build, &exec_failed, err);
  if (ok) {
    ok = watch(build, err);
    if (!ok) {
      if (!build->is_container) process_kill(&build->process, SIGKILL, build->whole_group);
      build->dir.reusable = false; // its end is not waited for
    }
  } else if (exec_failed) {
    ok = report_exec_failure(build, err);
  }
  if (!ok) {
    local_scratch_remove(builder->scratch, builder->cleaner, &build->dir);
    free_build(build);
    return false;
  }
  *ret = &build->base;
  return true;
}

static void local_cancel(BuildHandle *handle) {
  kill_build((LocalBuild *)handle, BUILD_CANCELLED);
}

static const char *local_keep(BuildHandle *handle) {
  LocalBuild *build = (LocalBuild *)handle;
  return local_scratch_keep(build->builder->scratch, &build->dir, build->options->name, &build->arena);
}

static void local_release(BuildHandle *handle) {
  LocalBuild *build = (LocalBuild *)handle;
  local_scratch_remove(build->builder->scratch, build->builder->cleaner, &build->dir);
  free_build(build);
}

static void local_free(BuildService *service) {
  LocalBuilder *builder = (LocalBuilder *)service;
  pool_free(builder->cleaner);
  build_cgroup_close(builder->cgroups);
  local_scratch_free(builder->scratch);
  buf_done(&builder->seccomp);
  mem_free(builder->shell);
  arena_done(&builder->arena);
  mem_free(builder);
}

static const BuildServiceOps local_ops = {"local", local_start, local_cancel, local_keep, local_release, local_free};

static const char *copy_text(Arena *arena, const char *text) {
  return text ? cstr(arena, span_cstr(text)) : NULL;
}

static void copy_config(LocalBuilder *builder, const LocalBuilderConfig *config) {
  Arena *arena = &builder->arena;
  LocalBuilderConfig *copy = &builder->config;
  *copy = *config;
  copy->scratch_dir = copy_text(arena, config->scratch_dir);
  copy->store_dir = copy_text(arena, config->store_dir);
  copy->physical_store_dir = copy_text(arena, config->physical_store_dir);
  copy->build_dir = copy_text(arena, config->build_dir);
  copy->host_build_dir = copy_text(arena, config->host_build_dir);
  copy->shell = copy_text(arena, config->shell);
  copy->ca_certs = copy_text(arena, config->ca_certs);
  copy->oci_runtime = copy_text(arena, config->oci_runtime);
  SandboxBind *binds = ARENA_ARRAY(arena, SandboxBind, config->extra_bind_count);
  for (size_t i = 0; i < config->extra_bind_count; i++) {
    binds[i] = config->extra_binds[i];
    binds[i].path = copy_text(arena, config->extra_binds[i].path);
    binds[i].source = copy_text(arena, config->extra_binds[i].source);
    binds[i].link_target = copy_text(arena, config->extra_binds[i].link_target);
  }
  copy->extra_binds = binds;
}

// Root of a user namespace has only the users that its map lists.
static bool has_user(const char *map_path, unsigned uid) {
  Buf text = BUF_INIT;
  bool found = false;
  unsigned first, outside, count;
  int used;
  if (fs_read_file(map_path, 64 << 10, &text, NULL))
    for (const char *at = buf_cstr(&text); sscanf(at, "%u %u %u%n", &first, &outside, &count, &used) == 3; at += used)
      found |= uid >= first && uid - first < count;
  buf_done(&text);
  return found;
}

static unsigned find_builder_uid(const LocalBuilderConfig *config) {
  unsigned uid = config->builder_uid ? config->builder_uid : LOCAL_BUILDER_UID;
  if (geteuid() != 0) return 0;
  return has_user("/proc/self/uid_map", uid) && has_user("/proc/self/gid_map", uid) ? uid : 0;
}

bool local_builder_new(const LocalBuilderConfig *config, Loop *loop, BuildService **ret, Err *err) {
  LocalScratch *scratch;
  if (!local_scratch_new(config->scratch_dir, &scratch, err)) return false;
  LocalBuilder *builder = mem_alloc_zero(sizeof *builder);
  builder->base.ops = &local_ops;
  builder->loop = loop;
  builder->scratch = scratch;
  builder->cleaner = pool_new(1);
  copy_config(builder, config);
  builder->builder_uid = find_builder_uid(config);
  local_scratch_clean(scratch, builder->cleaner);
  *ret = &builder->base;
  return true;
}

bool local_builder_plan(BuildService *service, const BuildRequest *request, const BuildOptions *options,
                        const BuildCallbacks *callbacks, Arena *arena, SandboxPlan *ret, Err *err) {
  LocalBuilder *builder = (LocalBuilder *)service;
  LocalBuild *build = new_build(builder, request, options, callbacks);
  local_scratch_name_only(builder->scratch, options->name, arena, &build->dir);
  // The plan's text must outlive the build, so everything is made in the caller's arena.
  build->arena = *arena;
  bool ok = check_outputs(build, err) && make_plan(build, &build->arena, ret, err);
  *arena = build->arena;
  build->arena = (Arena)ARENA_INIT;
  free_build(build);
  return ok;
}
