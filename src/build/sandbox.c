// sandbox.c: see sandbox.h.
#include "build/sandbox.h"

#include "base/map.h"

typedef struct Planner {
  SandboxPlan *plan;
  Arena *arena;
  size_t step_cap;
  Map made; // directories that exist by now
} Planner;

static SandboxStep *add_step(Planner *planner, SandboxStepKind kind, const char *path) {
  SandboxPlan *plan = planner->plan;
  if (plan->step_count == planner->step_cap) {
    size_t cap = planner->step_cap ? planner->step_cap * 2 : 64;
    SandboxStep *steps = ARENA_ARRAY(planner->arena, SandboxStep, cap);
    if (plan->step_count) memcpy(steps, plan->steps, plan->step_count * sizeof *steps);
    plan->steps = steps;
    planner->step_cap = cap;
  }
  SandboxStep *step = &plan->steps[plan->step_count++];
  *step = (SandboxStep){.kind = kind, .path = path};
  return step;
}

// Emits a DIR step for every ancestor of `path` that does not exist yet.
static void make_parents(Planner *planner, const char *path) {
  Span whole = span_cstr(path);
  for (size_t i = 1; i < whole.len; i++) {
    if (whole.data[i] != '/') continue;
    Span parent = span_sub(whole, 0, i);
    if (map_has(&planner->made, parent)) continue;
    map_set(&planner->made, parent, NULL);
    add_step(planner, SANDBOX_STEP_DIR, arena_dup(planner->arena, parent).data)->mode = 0755;
  }
}

static void add_bind(Planner *planner, SandboxStepKind kind, const char *source, const char *path, bool is_dir) {
  make_parents(planner, path);
  SandboxStep *step = add_step(planner, kind, path);
  step->source = source;
  step->is_dir = is_dir;
  if (is_dir) map_set(&planner->made, span_cstr(path), NULL);
}

static void add_file(Planner *planner, const char *path, const char *content) {
  make_parents(planner, path);
  SandboxStep *step = add_step(planner, SANDBOX_STEP_FILE, path);
  step->content = span_cstr(content);
  step->mode = 0444;
}

static void add_optional_file_bind(Planner *planner, const char *source, const char *path) {
  if (source) add_bind(planner, SANDBOX_STEP_BIND_READ_ONLY, source, path, false);
}

// /etc as C++ Nix makes it: accounts whose names do not depend on the host, and name resolution
// only for builds with network.
static void plan_etc(Planner *planner, const SandboxSpec *spec) {
  add_file(planner, "/etc/passwd",
           arena_printf(planner->arena,
                        "root:x:0:0:Nix build user:%s:/noshell\n"
                        "nixbld:x:%u:%u:Nix build user:%s:/noshell\n"
                        "nobody:x:65534:65534:Nobody:/:/noshell\n",
                        spec->build_dir, spec->uid, spec->gid, spec->build_dir));
  add_file(planner, "/etc/group",
           arena_printf(planner->arena, "root:x:0:\nnixbld:!:%u:\nnogroup:x:65534:\n", spec->gid));
  if (!spec->network) {
    add_file(planner, "/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
    return;
  }
  add_file(planner, "/etc/nsswitch.conf", "hosts: files dns\nservices: files\n");
  add_optional_file_bind(planner, spec->resolv_conf_source, "/etc/resolv.conf");
  add_optional_file_bind(planner, spec->services_source, "/etc/services");
  add_optional_file_bind(planner, spec->hosts_source, "/etc/hosts");
  add_optional_file_bind(planner, spec->ca_certs_source, "/etc/ssl/certs/ca-certificates.crt");
}

static void plan_dev(Planner *planner, const SandboxSpec *spec) {
  add_step(planner, SANDBOX_STEP_DEV, "/dev");
  map_set(&planner->made, SPAN("/dev"), NULL);
  SandboxStep *shm = add_step(planner, SANDBOX_STEP_TMPFS, "/dev/shm");
  shm->mode = 01777;
  shm->size_bytes = spec->shm_size_bytes;
  if (spec->kvm) add_bind(planner, SANDBOX_STEP_BIND_DEVICE, "/dev/kvm", "/dev/kvm", false);
}

static void plan_binds(Planner *planner, const SandboxSpec *spec) {
  Map last = MAP_INIT; // inside path -> the bind that wins
  for (size_t i = 0; i < spec->bind_count; i++) map_set(&last, span_cstr(spec->binds[i].path), (void *)&spec->binds[i]);
  for (size_t i = 0; i < spec->bind_count; i++) {
    const SandboxBind *bind = &spec->binds[i];
    if (map_get(&last, span_cstr(bind->path)) != bind) continue;
    if (bind->link_target) {
      make_parents(planner, bind->path);
      add_step(planner, SANDBOX_STEP_SYMLINK, bind->path)->content = span_cstr(bind->link_target);
    } else {
      add_bind(planner, bind->writable ? SANDBOX_STEP_BIND : SANDBOX_STEP_BIND_READ_ONLY, bind->source, bind->path,
               bind->is_dir);
    }
  }
  map_done(&last);
}

SandboxPlan sandbox_plan(const SandboxSpec *spec, Arena *arena) {
  SandboxPlan plan = {
      .share_network = spec->network,
      .filter_syscalls = spec->filter_syscalls,
      .uname_32bit = spec->uname_32bit,
      .uid = spec->uid,
      .gid = spec->gid,
      .hostname = "localhost",
      .work_dir = spec->build_dir,
      .program = spec->program,
      .argv = spec->argv,
      .env = spec->env,
  };
  Planner planner = {.plan = &plan, .arena = arena};
  add_step(&planner, SANDBOX_STEP_TMPFS, "/")->mode = 0755;
  plan_etc(&planner, spec);
  plan_dev(&planner, spec);
  add_step(&planner, SANDBOX_STEP_PROC, "/proc");
  map_set(&planner.made, SPAN("/proc"), NULL);
  add_bind(&planner, SANDBOX_STEP_BIND, spec->tmp_dir_source, "/tmp", true);
  add_bind(&planner, SANDBOX_STEP_BIND, spec->build_dir_source, spec->build_dir, true);
  add_bind(&planner, SANDBOX_STEP_BIND, spec->output_dir, spec->store_dir, true);
  if (spec->shell_source) add_bind(&planner, SANDBOX_STEP_BIND_READ_ONLY, spec->shell_source, "/bin/sh", false);
  plan_binds(&planner, spec);
  add_step(&planner, SANDBOX_STEP_READ_ONLY, "/");
  map_done(&planner.made);
  return plan;
}

const char *sandbox_step_name(SandboxStepKind kind) {
  static const char *const names[] = {
#define SANDBOX_STEP(name, verb) [SANDBOX_STEP_##name] = verb,
#include "build/sandbox_step.def"
#undef SANDBOX_STEP
  };
  return names[kind];
}

// Control characters and quotes escaped, so that one step stays one line.
static void put_quoted(Buf *ret, Span s) {
  buf_put_char(ret, '"');
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    if (c == '\n') buf_put_cstr(ret, "\\n");
    else if (c < 0x20 || c == 0x7f) buf_printf(ret, "\\x%02x", c);
    else if (c == '"' || c == '\\') buf_printf(ret, "\\%c", c);
    else buf_put_char(ret, (char)c);
  }
  buf_put_char(ret, '"');
}

static void format_step(const SandboxStep *step, Buf *ret) {
  buf_printf(ret, "%s %s", sandbox_step_name(step->kind), step->path);
  switch (step->kind) {
  case SANDBOX_STEP_TMPFS:
    buf_printf(ret, " mode=%04o", step->mode);
    if (step->size_bytes) buf_printf(ret, " size=%llu", (unsigned long long)step->size_bytes);
    break;
  case SANDBOX_STEP_DIR: buf_printf(ret, " mode=%04o", step->mode); break;
  case SANDBOX_STEP_FILE:
    buf_printf(ret, " mode=%04o ", step->mode);
    put_quoted(ret, step->content);
    break;
  case SANDBOX_STEP_SYMLINK: buf_printf(ret, " -> %.*s", SPAN_ARG(step->content)); break;
  case SANDBOX_STEP_BIND_READ_ONLY:
  case SANDBOX_STEP_BIND:
  case SANDBOX_STEP_BIND_DEVICE: buf_printf(ret, " <- %s", step->source); break;
  case SANDBOX_STEP_DEV:
  case SANDBOX_STEP_PROC:
  case SANDBOX_STEP_READ_ONLY: break;
  }
  buf_put_char(ret, '\n');
}

void sandbox_format(const SandboxPlan *plan, Buf *ret) {
  buf_printf(ret, "namespaces user mount pid ipc uts cgroup%s\n", plan->share_network ? "" : " net");
  buf_printf(ret, "identity uid=%u gid=%u hostname=%s%s\n", plan->uid, plan->gid, plan->hostname,
             plan->uname_32bit ? " uname=32bit" : "");
  for (size_t i = 0; i < plan->step_count; i++) format_step(&plan->steps[i], ret);
  buf_printf(ret, "seccomp %s\n", plan->filter_syscalls ? "no set-uid bits, no extended attributes" : "none");
  buf_printf(ret, "cwd %s\n", plan->work_dir);
  for (const char *const *e = plan->env; *e; e++) {
    buf_put_cstr(ret, "env ");
    put_quoted(ret, span_cstr(*e));
    buf_put_char(ret, '\n');
  }
  buf_printf(ret, "exec %s as", plan->program);
  for (const char *const *a = plan->argv; *a; a++) {
    buf_put_char(ret, ' ');
    put_quoted(ret, span_cstr(*a));
  }
  buf_put_char(ret, '\n');
}
