// sandbox_oci.c: see sandbox_oci.h.
//
// What a plan makes as files, directories and links is made on the disk before the runtime starts: in the bundle's root, or, for paths below a bind,
// in what is bound there. So are all mount points; both runtimes accept that, and runc could not make them in a directory of another user.
#include "build/sandbox_oci.h"

#include <errno.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "build/sandbox_seccomp.h"
#include "formats/json_read.h"
#include "formats/json_write.h"

enum { RUNTIME_LOG_BYTES_MAX = 1 << 20 };

static bool find_program(const char *name, Buf *ret) {
  // Debian has runc in sbin, which is not in everybody's PATH.
  static const char *const more_dirs[] = {"/usr/sbin", "/sbin"};
  if (process_find_program(name, ret, NULL)) return access(buf_cstr(ret), X_OK) == 0;
  for (size_t i = 0; i < ARRAY_LEN(more_dirs); i++) {
    buf_clear(ret);
    fs_path_join(ret, span_cstr(more_dirs[i]), span_cstr(name));
    if (access(buf_cstr(ret), X_OK) == 0) return true;
  }
  return false;
}

bool sandbox_oci_find(const char *runtime, Buf *ret) {
  return runtime ? find_program(runtime, ret) : find_program("crun", ret) || find_program("runc", ret);
}

// --- the root

static bool is_below(const char *path, const char *dir) {
  size_t len = strlen(dir);
  return strncmp(path, dir, len) == 0 && path[len] == '/';
}

// Where the thing at `path` inside lies on the host, once the steps before `count` are done. False when it is in memory.
static bool put_place(const SandboxRun *run, size_t count, const char *path, Buf *ret) {
  for (size_t i = count; i-- > 0;) {
    const SandboxStep *step = &run->plan->steps[i];
    if (!is_below(path, step->path)) continue;
    switch (step->kind) {
    case SANDBOX_STEP_BIND:
    case SANDBOX_STEP_BIND_READ_ONLY: buf_printf(ret, "%s%s", step->source, path + strlen(step->path)); return true;
    case SANDBOX_STEP_DEV:
    case SANDBOX_STEP_PROC:
    case SANDBOX_STEP_TMPFS:
      if (strcmp(step->path, "/") != 0) return false;
      break;
    case SANDBOX_STEP_DIR:
    case SANDBOX_STEP_FILE:
    case SANDBOX_STEP_SYMLINK:
    case SANDBOX_STEP_BIND_DEVICE:
    case SANDBOX_STEP_READ_ONLY: break;
    }
  }
  buf_printf(ret, "%s%s", run->root_dir, path);
  return true;
}

static bool make_file(const char *path, Span content, unsigned mode, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600, &fd, err) || !fs_write_all(fd, content, err)) return false;
  return fchmod(fd, mode) == 0 || err_set_errno(err, errno, "changing the mode of '%s'", path);
}

static bool make_directory(const char *path, unsigned mode, Err *err) {
  if (mkdir(path, 0700) == 0 && chmod(path, mode) == 0) return true;
  return errno == EEXIST || err_set_errno(err, errno, "making '%s'", path);
}

static bool make_link(const char *path, Span target, Err *err) {
  char *text = span_dup(target);
  bool ok = symlink(text, path) == 0 || errno == EEXIST || err_set_errno(err, errno, "making '%s'", path);
  mem_free(text);
  return ok;
}

static bool make_step(const SandboxRun *run, size_t i, Err *err) {
  const SandboxStep *step = &run->plan->steps[i];
  Buf place = BUF_INIT;
  bool ok = true;
  if (strcmp(step->path, "/") != 0 && put_place(run, i, step->path, &place)) {
    const char *path = buf_cstr(&place);
    switch (step->kind) {
    case SANDBOX_STEP_DIR: ok = make_directory(path, step->mode, err); break;
    case SANDBOX_STEP_TMPFS:
    case SANDBOX_STEP_DEV:
    case SANDBOX_STEP_PROC: ok = make_directory(path, 0755, err); break;
    case SANDBOX_STEP_FILE: ok = make_file(path, step->content, step->mode, err); break;
    case SANDBOX_STEP_SYMLINK: ok = make_link(path, step->content, err); break;
    case SANDBOX_STEP_BIND:
    case SANDBOX_STEP_BIND_READ_ONLY:
    case SANDBOX_STEP_BIND_DEVICE:
      ok = step->is_dir ? make_directory(path, 0755, err) : make_file(path, SPAN(""), 0444, err);
      break;
    case SANDBOX_STEP_READ_ONLY: break;
    }
  }
  buf_done(&place);
  return ok;
}

// --- config.json

static void put_key(JsonWrite *json, const char *key) {
  json_write_text_key(json, span_cstr(key));
}
static void put_text(JsonWrite *json, const char *key, const char *value) {
  put_key(json, key);
  json_write_text(json, span_cstr(value));
}
static void put_flag(JsonWrite *json, const char *key, bool value) {
  put_key(json, key);
  json_write_bool(json, value);
}
static void put_number(JsonWrite *json, const char *key, uint64_t value) {
  put_key(json, key);
  json_write_uint(json, value);
}
static void put_texts(JsonWrite *json, const char *key, const char *const *values, size_t count) {
  put_key(json, key);
  json_write_array_begin(json);
  for (size_t i = 0; i < count; i++) json_write_text(json, span_cstr(values[i]));
  json_write_array_end(json);
}

static bool put_strings(JsonWrite *json, const char *key, const char *first, const char *const *values, Err *err) {
  bool ok = true;
  put_key(json, key);
  json_write_array_begin(json);
  if (first) ok = json_write_str(json, span_cstr(first), err);
  for (size_t i = 0; ok && values[i]; i++) ok = json_write_str(json, span_cstr(values[i]), err);
  json_write_array_end(json);
  return ok || err_wrap(err, "a container's arguments and environment must be UTF-8");
}

static void put_limit(JsonWrite *json) {
  struct rlimit limit = {0, 0};
  getrlimit(RLIMIT_CORE, &limit);
  put_key(json, "rlimits");
  json_write_array_begin(json);
  json_write_object_begin(json);
  put_text(json, "type", "RLIMIT_CORE");
  put_number(json, "soft", 0);
  put_number(json, "hard", limit.rlim_max);
  json_write_object_end(json);
  json_write_array_end(json);
}

static bool put_process(JsonWrite *json, const SandboxPlan *plan, Err *err) {
  static const char *const sets[] = {"bounding", "effective", "inheritable", "permitted", "ambient"};
  put_key(json, "process");
  json_write_object_begin(json);
  put_flag(json, "terminal", false);
  put_key(json, "user");
  json_write_object_begin(json);
  put_number(json, "uid", plan->uid);
  put_number(json, "gid", plan->gid);
  put_number(json, "umask", 022);
  json_write_object_end(json);
  bool ok = put_strings(json, "args", plan->program, plan->argv[0] ? plan->argv + 1 : plan->argv, err) &&
            put_strings(json, "env", NULL, plan->env, err);
  put_text(json, "cwd", plan->work_dir);
  put_key(json, "capabilities");
  json_write_object_begin(json);
  for (size_t i = 0; i < ARRAY_LEN(sets); i++) put_texts(json, sets[i], NULL, 0);
  json_write_object_end(json);
  put_limit(json);
  put_flag(json, "noNewPrivileges", true);
  json_write_object_end(json);
  return ok;
}

static void put_mount(JsonWrite *json, const char *path, const char *type, const char *source,
                      const char *const *options, size_t option_count) {
  json_write_object_begin(json);
  put_text(json, "destination", path);
  put_text(json, "type", type);
  put_text(json, "source", source);
  put_texts(json, "options", options, option_count);
  json_write_object_end(json);
}

static void put_tmpfs(JsonWrite *json, const SandboxStep *step) {
  Buf mode = BUF_INIT, size = BUF_INIT;
  buf_printf(&mode, "mode=%04o", step->mode);
  buf_printf(&size, "size=%llu", (unsigned long long)step->size_bytes);
  const char *const options[] = {"nosuid", "nodev", buf_cstr(&mode), buf_cstr(&size)};
  put_mount(json, step->path, "tmpfs", "tmpfs", options, step->size_bytes ? 4 : 3);
  buf_done(&mode);
  buf_done(&size);
}

// The device nodes and links in it are the runtime's own business: those of the specification are those of Nix.
static void put_dev(JsonWrite *json, const SandboxStep *step) {
  static const char *const options[] = {"nosuid", "strictatime", "mode=0755"};
  static const char *const pts_options[] = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  put_mount(json, step->path, "tmpfs", "tmpfs", options, ARRAY_LEN(options));
  put_mount(json, "/dev/pts", "devpts", "devpts", pts_options, ARRAY_LEN(pts_options));
}

static void put_mounts(JsonWrite *json, const SandboxPlan *plan) {
  static const char *const read_only[] = {"rbind", "rprivate", "ro", "nosuid", "nodev"};
  static const char *const writable[] = {"rbind", "rprivate", "rw", "nosuid", "nodev"};
  static const char *const device[] = {"bind", "rprivate", "rw", "nosuid"};
  static const char *const proc[] = {"nosuid", "nodev", "noexec"};
  put_key(json, "mounts");
  json_write_array_begin(json);
  for (size_t i = 0; i < plan->step_count; i++) {
    const SandboxStep *step = &plan->steps[i];
    switch (step->kind) {
    case SANDBOX_STEP_TMPFS:
      if (strcmp(step->path, "/") != 0) put_tmpfs(json, step);
      break;
    case SANDBOX_STEP_BIND_READ_ONLY:
      put_mount(json, step->path, "bind", step->source, read_only, ARRAY_LEN(read_only));
      break;
    case SANDBOX_STEP_BIND: put_mount(json, step->path, "bind", step->source, writable, ARRAY_LEN(writable)); break;
    case SANDBOX_STEP_BIND_DEVICE: put_mount(json, step->path, "bind", step->source, device, ARRAY_LEN(device)); break;
    case SANDBOX_STEP_DEV: put_dev(json, step); break;
    case SANDBOX_STEP_PROC: put_mount(json, step->path, "proc", "proc", proc, ARRAY_LEN(proc)); break;
    case SANDBOX_STEP_DIR:
    case SANDBOX_STEP_FILE:
    case SANDBOX_STEP_SYMLINK:
    case SANDBOX_STEP_READ_ONLY: break;
    }
  }
  json_write_array_end(json);
}

static void put_map(JsonWrite *json, unsigned inside, unsigned outside) {
  json_write_object_begin(json);
  put_number(json, "containerID", inside);
  put_number(json, "hostID", outside);
  put_number(json, "size", 1);
  json_write_object_end(json);
}

static void put_maps(JsonWrite *json, const char *key, unsigned inside, unsigned caller, unsigned other) {
  put_key(json, key);
  json_write_array_begin(json);
  if (other) put_map(json, 0, caller);
  put_map(json, inside, other ? other : caller);
  json_write_array_end(json);
}

static void put_linux(JsonWrite *json, const SandboxRun *run) {
  static const char *const namespaces[] = {"pid", "ipc", "uts", "mount", "user", "cgroup", "network"};
  static const char *const covered[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"};
  const SandboxPlan *plan = run->plan;
  put_key(json, "linux");
  json_write_object_begin(json);
  put_key(json, "namespaces");
  json_write_array_begin(json);
  for (size_t i = 0; i < ARRAY_LEN(namespaces) - (plan->share_network ? 1 : 0); i++) {
    json_write_object_begin(json);
    put_text(json, "type", namespaces[i]);
    json_write_object_end(json);
  }
  json_write_array_end(json);
  put_maps(json, "uidMappings", plan->uid, geteuid(), run->host_uid);
  put_maps(json, "gidMappings", plan->gid, getegid(), run->host_gid);
  put_texts(json, "readonlyPaths", covered, ARRAY_LEN(covered));
  if (plan->filter_syscalls) {
    put_key(json, "seccomp");
    sandbox_seccomp_write_oci(json);
  }
  if (plan->uname_32bit) {
    put_key(json, "personality");
    json_write_object_begin(json);
    put_text(json, "domain", "LINUX32");
    json_write_object_end(json);
  }
  json_write_object_end(json);
}

bool sandbox_oci_format(const SandboxRun *run, Buf *ret, Err *err) {
  JsonWrite json;
  json_write_init(&json, ret, 1);
  json_write_object_begin(&json);
  put_text(&json, "ociVersion", "1.0.0");
  if (!put_process(&json, run->plan, err)) return false;
  put_key(&json, "root");
  json_write_object_begin(&json);
  put_text(&json, "path", run->root_dir);
  put_flag(&json, "readonly", true);
  json_write_object_end(&json);
  put_text(&json, "hostname", run->plan->hostname);
  put_mounts(&json, run->plan);
  put_linux(&json, run);
  json_write_object_end(&json);
  buf_put_char(ret, '\n');
  return true;
}

// --- running

// Standard input is the control pipe. The runtime writes the pid of the container's first process before it starts the builder; killing that one
// ends everything in the container, and then the runtime removes what it keeps about it. A runtime that has not come that far ends by itself or
// is killed after five seconds.
static const char guard_script[] = "exec 3<&0 </dev/null\n"
                                   "pid=$1; shift\n"
                                   "\"$@\" 3<&- & runtime=$!\n"
                                   "{ read -r x <&3\n"
                                   "  n=0\n"
                                   "  until kill -9 \"$(cat \"$pid\" 2>/dev/null)\" 2>/dev/null; do\n"
                                   "    kill -0 $runtime 2>/dev/null || exit 0\n"
                                   "    n=$((n + 1)); [ $n -lt 100 ] || kill -9 $runtime; sleep 0.05\n"
                                   "  done; } >/dev/null 2>&1 & guard=$!\n"
                                   "wait $runtime; status=$?\n"
                                   "kill -9 $guard 2>/dev/null\n"
                                   "exit $status\n";

static const char *in_bundle(Arena *arena, const SandboxOciRun *oci, const char *name) {
  return arena_printf(arena, "%s/%s", oci->bundle_dir, name);
}

static bool spawn(const SandboxOciRun *oci, const char *runtime, int control_fd, Arena *arena, Process *ret, Err *err) {
  const char *argv[20];
  size_t count = 0;
  bool is_crun = span_eq(fs_path_base(span_cstr(runtime)), SPAN("crun"));
  argv[count++] = "sh";
  argv[count++] = "-c";
  argv[count++] = guard_script;
  argv[count++] = "sh";
  argv[count++] = in_bundle(arena, oci, "pid");
  argv[count++] = runtime;
  argv[count++] = "--root";
  argv[count++] = in_bundle(arena, oci, "state");
  argv[count++] = "--log";
  argv[count++] = in_bundle(arena, oci, "runtime.log");
  argv[count++] = "--log-format=json";
  // runc makes its cgroups where it can, and goes on without them where it is not root.
  if (is_crun) argv[count++] = "--cgroup-manager=disabled";
  argv[count++] = "run";
  argv[count++] = "--bundle";
  argv[count++] = oci->bundle_dir;
  argv[count++] = "--pid-file";
  argv[count++] = in_bundle(arena, oci, "pid");
  argv[count++] = arena_printf(arena, "firn-%.*s", SPAN_ARG(fs_path_base(span_cstr(oci->bundle_dir))));
  argv[count] = NULL;
  ProcessSpec spec = PROCESS_SPEC_INIT;
  spec.program = "/bin/sh";
  spec.argv = argv;
  spec.stdin_fd = control_fd;
  spec.stdout_fd = spec.stderr_fd = oci->run->output_fd;
  spec.new_session = spec.no_core_dumps = spec.set_umask = true;
  spec.umask = 022;
  spec.cgroup_fd = oci->run->cgroup ? oci->run->cgroup->procs_fd : -1;
  spec.persona = ADDR_NO_RANDOMIZE | (oci->run->plan->uname_32bit ? PER_LINUX32 : PER_LINUX);
  return process_spawn(&spec, ret, err);
}

static bool check_runtime(const SandboxOciRun *oci, Buf *ret, Err *err) {
  if (!sandbox_oci_find(oci->runtime, ret)) {
    if (!oci->runtime)
      return err_set(err, ERR_NOT_FOUND, "there is no program 'crun' or 'runc': install one of these packages");
    return err_set(err, ERR_NOT_FOUND, "there is no program '%s'", oci->runtime);
  }
  if (!span_eq(fs_path_base(buf_span(ret)), SPAN("runc"))) return true;
  if (oci->run->cgroup)
    return err_set(
        err, ERR_OTHER,
        "runc puts containers into cgroups of its own, so 'use-cgroups' and limits do not go with it: install crun");
  if (geteuid() != 0)
    return err_set(
        err, ERR_OTHER,
        "runc cannot give an unprivileged user's builder an identity other than root: install crun, or run as root");
  return true;
}

static bool write_bundle(const SandboxOciRun *oci, Arena *arena, Err *err) {
  for (size_t i = 0; i < oci->run->plan->step_count; i++)
    if (!make_step(oci->run, i, err)) return false;
  Buf config = BUF_INIT;
  bool ok = sandbox_oci_format(oci->run, &config, err) &&
            fs_write_file_atomic(in_bundle(arena, oci, "config.json"), buf_span(&config), 0600, false, err);
  buf_done(&config);
  return ok;
}

bool sandbox_oci_start(const SandboxOciRun *oci, Process *ret, int *ret_control_fd, Err *err) {
  Arena arena = ARENA_INIT;
  Buf runtime = BUF_INIT;
  int control[2] = {-1, -1};
  bool ok = check_runtime(oci, &runtime, err) && write_bundle(oci, &arena, err) &&
            (pipe2(control, O_CLOEXEC) == 0 || err_set_errno(err, errno, "creating a pipe")) &&
            spawn(oci, buf_cstr(&runtime), control[0], &arena, ret, err);
  fs_close_fd(&control[0]);
  if (!ok) fs_close_fd(&control[1]);
  *ret_control_fd = control[1];
  buf_done(&runtime);
  arena_done(&arena);
  return ok;
}

// {"msg": "...", "level": "error", "time": "..."}
static bool read_message(Span line, Buf *ret) {
  JsonRead json;
  Buf message = BUF_INIT, key = BUF_INIT;
  bool is_error = false;
  json_read_init(&json, line);
  for (JsonEvent event; (event = json_read_next(&json, NULL)) != JSON_END && event != JSON_ERROR;) {
    if (event == JSON_KEY) {
      buf_clear(&key);
      buf_put_span(&key, json.string);
    } else if (event == JSON_STRING && span_eq(buf_span(&key), SPAN("level"))) {
      is_error = span_eq(json.string, SPAN("error")) || span_eq(json.string, SPAN("fatal"));
    } else if (event == JSON_STRING && span_eq(buf_span(&key), SPAN("msg"))) {
      buf_clear(&message);
      buf_put_span(&message, json.string);
    }
  }
  if (is_error) {
    buf_clear(ret);
    buf_put_span(ret, buf_span(&message));
  }
  json_read_done(&json);
  buf_done(&message);
  buf_done(&key);
  return is_error;
}

bool sandbox_oci_failed(const SandboxOciRun *oci, const char *program, Buf *ret_message, bool *ret_exec) {
  Arena arena = ARENA_INIT;
  Buf log = BUF_INIT;
  // Both write it before they execute the builder.
  bool failed = !fs_exists(in_bundle(&arena, oci, "pid"));
  if (fs_read_file(in_bundle(&arena, oci, "runtime.log"), RUNTIME_LOG_BYTES_MAX, &log, NULL)) {
    Span rest = buf_span(&log), line;
    for (bool more = true; more;) {
      more = span_split(&rest, '\n', &line);
      failed |= read_message(line, ret_message);
    }
  }
  *ret_exec = failed && span_find(buf_span(ret_message), span_cstr(program)) != SIZE_MAX;
  buf_done(&log);
  arena_done(&arena);
  return failed;
}
