// build_cgroup.c: see build_cgroup.h.
#include "build/build_cgroup.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

enum { TEXT_BYTES_MAX = 1 << 20 };
// How often to look whether a killed group is empty, a millisecond each.
enum { EMPTY_TRIES = 2000 };

struct BuildCgroups {
  char *parent;             // where groups are made
  char *supervisor;         // where firn has moved to; NULL: nowhere
  const char *passed_on[3]; // controllers that firn has made `parent` pass on
  size_t passed_on_count;
  BuildCgroupLimits limits;
  _Atomic unsigned counter;
};

static bool read_text(const char *dir, const char *name, Buf *ret) {
  Buf path = BUF_INIT;
  buf_printf(&path, "%s/%s", dir, name);
  buf_clear(ret);
  bool ok = fs_read_file(buf_cstr(&path), TEXT_BYTES_MAX, ret, NULL);
  buf_done(&path);
  return ok;
}

// The kernel takes each write as one command. Sets errno.
static bool write_text(const char *dir, const char *name, Span text) {
  Buf path = BUF_INIT;
  buf_printf(&path, "%s/%s", dir, name);
  int fd = open(buf_cstr(&path), O_WRONLY | O_CLOEXEC);
  bool ok = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
  int why = errno;
  fs_close_fd(&fd);
  buf_done(&path);
  errno = why;
  return ok;
}

static bool has_word(const char *dir, const char *name, const char *word) {
  Buf text = BUF_INIT;
  bool found = false;
  if (read_text(dir, name, &text)) {
    Span rest = span_trim(buf_span(&text)), item;
    for (bool more = true; more && !found;) {
      more = span_split(&rest, ' ', &item);
      found = span_eq_cstr(item, word);
    }
  }
  buf_done(&text);
  return found;
}

// "key value" lines.
static uint64_t read_value(const char *dir, const char *name, const char *key) {
  Buf text = BUF_INIT;
  uint64_t value = 0;
  if (read_text(dir, name, &text)) {
    Span rest = buf_span(&text), line, word;
    for (bool more = true; more;) {
      more = span_split(&rest, '\n', &line);
      bool is_key = !*key || (span_split(&line, ' ', &word) && span_eq_cstr(word, key));
      if (is_key && span_parse_u64(line, &value)) break;
    }
  }
  buf_done(&text);
  return value;
}

// --- where firn is

// Line of /proc/self/mountinfo: "ID PARENT MAJ:MIN ROOT MOUNT-POINT OPTIONS [FIELDS...] - TYPE SOURCE ...". Paths with white space are escaped and
// not understood here: hierarchies have none.
static bool find_mount(Buf *ret_point, Buf *ret_root) {
  Buf text = BUF_INIT;
  bool found = false;
  if (fs_read_file("/proc/self/mountinfo", 0, &text, NULL)) {
    Span rest = buf_span(&text), line, field[5];
    for (bool more = true; more && !found;) {
      more = span_split(&rest, '\n', &line);
      if (span_find(line, SPAN(" - cgroup2 ")) == SIZE_MAX) continue;
      for (size_t i = 0; i < ARRAY_LEN(field); i++) span_split(&line, ' ', &field[i]);
      buf_put_span(ret_root, field[3]);
      buf_put_span(ret_point, field[4]);
      found = true;
    }
  }
  buf_done(&text);
  return found;
}

// The group of this process in the second version's hierarchy: the line "0::/path".
static bool find_own(Buf *ret) {
  Buf text = BUF_INIT;
  bool found = false;
  if (fs_read_file("/proc/self/cgroup", 0, &text, NULL)) {
    Span rest = buf_span(&text), line;
    for (bool more = true; more && !found;) {
      more = span_split(&rest, '\n', &line);
      found = span_has_prefix(line, SPAN("0::/"));
      if (found) buf_put_span(ret, span_from(line, strlen("0::")));
    }
  }
  buf_done(&text);
  return found;
}

static bool find_parent(Buf *ret, Err *err) {
  Buf point = BUF_INIT, root = BUF_INIT, own = BUF_INIT;
  bool ok = find_mount(&point, &root) && find_own(&own);
  if (ok) {
    Span path = buf_span(&own);
    // In a container, the mount may show only a part of the hierarchy.
    if (root.len > 1 && span_has_prefix(path, buf_span(&root))) path = span_from(path, root.len);
    if (span_has_prefix(path, SPAN("/.."))) path = SPAN("/");
    buf_put_span(ret, buf_span(&point));
    if (path.len > 1) buf_put_span(ret, path);
    ok = fs_exists(buf_cstr(ret));
  }
  buf_done(&point);
  buf_done(&root);
  buf_done(&own);
  return ok || err_set(err, ERR_NOT_FOUND, "this system shows no hierarchy of cgroups, version 2");
}

// --- passing controllers on

static bool move_self(const char *dir) {
  return write_text(dir, "cgroup.procs", SPAN("0"));
}

// The group holds processes: they must leave, and firn can only move itself.
static bool make_room(BuildCgroups *cgroups) {
  Buf path = BUF_INIT;
  if (cgroups->supervisor) return false;
  buf_printf(&path, "%s/firn-%d", cgroups->parent, (int)getpid());
  bool ok = mkdir(buf_cstr(&path), 0755) == 0;
  if (ok && !move_self(buf_cstr(&path))) {
    int why = errno;
    rmdir(buf_cstr(&path));
    errno = why;
    ok = false;
  }
  if (ok) cgroups->supervisor = buf_take(&path);
  buf_done(&path);
  return ok;
}

// `change`: "+" or "-". Sets errno.
static bool change_controller(BuildCgroups *cgroups, const char *change, const char *controller) {
  Buf command = BUF_INIT;
  buf_printf(&command, "%s%s", change, controller);
  bool ok = write_text(cgroups->parent, "cgroup.subtree_control", buf_span(&command));
  int why = errno;
  buf_done(&command);
  errno = why;
  return ok;
}

// Sets errno.
static bool pass_on(BuildCgroups *cgroups, const char *controller) {
  if (has_word(cgroups->parent, "cgroup.subtree_control", controller)) return true;
  errno = ENOENT;
  if (!has_word(cgroups->parent, "cgroup.controllers", controller)) return false;
  bool ok = change_controller(cgroups, "+", controller);
  if (!ok && errno == EBUSY && make_room(cgroups)) ok = change_controller(cgroups, "+", controller);
  if (ok) cgroups->passed_on[cgroups->passed_on_count++] = controller;
  return ok;
}

static bool need(BuildCgroups *cgroups, const char *controller, uint64_t limit, const char *setting, Err *err) {
  if (pass_on(cgroups, controller) || !limit) return true;
  int why = errno;
  const char *hint = why == EBUSY ? "other processes run in it; try systemd-run --user --scope -p Delegate=yes"
                                  : "see cgroup.controllers there";
  err_set_errno(err, why, "setting '%s' needs the controller '%s' in cgroup '%s' (%s)", setting, controller,
                cgroups->parent, hint);
  return false;
}

bool build_cgroup_open(const BuildCgroupLimits *limits, BuildCgroups **ret, Err *err) {
  BuildCgroups *cgroups = mem_alloc_zero(sizeof *cgroups);
  Buf parent = BUF_INIT;
  cgroups->limits = *limits;
  bool ok = find_parent(&parent, err);
  if (ok) {
    cgroups->parent = buf_take(&parent);
    ok = access(cgroups->parent, W_OK) == 0 ||
         err_set_errno(err, errno, "making groups in cgroup '%s', which firn runs in", cgroups->parent);
  }
  // Memory is wanted for the peak alone, too.
  ok = ok && need(cgroups, "memory", limits->memory_bytes, "build-memory-max", err) &&
       (!limits->cpu_percent || need(cgroups, "cpu", limits->cpu_percent, "build-cpu-max", err)) &&
       (!limits->pid_count || need(cgroups, "pids", limits->pid_count, "build-pids-max", err));
  buf_done(&parent);
  if (!ok) {
    build_cgroup_close(cgroups);
    return err_wrap(err, "cgroups for builds");
  }
  *ret = cgroups;
  return true;
}

void build_cgroup_close(BuildCgroups *cgroups) {
  if (!cgroups) return;
  // Another firn may need one by now: then it stays.
  for (size_t n = 0; n < cgroups->passed_on_count; n++) (void)!change_controller(cgroups, "-", cgroups->passed_on[n]);
  if (cgroups->supervisor && move_self(cgroups->parent)) rmdir(cgroups->supervisor);
  mem_free(cgroups->supervisor);
  mem_free(cgroups->parent);
  mem_free(cgroups);
}

// --- groups of builds

static bool set_limit(const char *dir, const char *name, uint64_t limit, const char *format, Err *err) {
  if (!limit) return true;
  Buf text = BUF_INIT;
  buf_printf(&text, "%llu%s", (unsigned long long)limit, format);
  bool ok = write_text(dir, name, buf_span(&text)) || err_set_errno(err, errno, "writing '%s/%s'", dir, name);
  buf_done(&text);
  return ok;
}

bool build_cgroup_make(BuildCgroups *cgroups, Arena *arena, BuildCgroup *ret, Err *err) {
  const BuildCgroupLimits *limits = &cgroups->limits;
  *ret = (BuildCgroup){.procs_fd = -1};
  const char *path = arena_printf(arena, "%s/firn-build-%d-%u", cgroups->parent, (int)getpid(),
                                  atomic_fetch_add(&cgroups->counter, 1));
  if (mkdir(path, 0755) != 0) return err_set_errno(err, errno, "making the cgroup '%s'", path);
  ret->path = path;
  // Swap would only make a build that is too large slow; without a swap controller there is no such file. One process that is killed alone
  // would leave the rest of the build waiting for it.
  if (limits->memory_bytes) {
    (void)!write_text(path, "memory.swap.max", SPAN("0"));
    (void)!write_text(path, "memory.oom.group", SPAN("1"));
  }
  bool ok = set_limit(path, "memory.max", limits->memory_bytes, "", err) &&
            set_limit(path, "cpu.max", limits->cpu_percent * 1000, " 100000", err) &&
            set_limit(path, "pids.max", limits->pid_count, "", err) &&
            fs_open(arena_printf(arena, "%s/cgroup.procs", path), O_WRONLY, 0, &ret->procs_fd, err);
  if (!ok) build_cgroup_remove(ret, NULL);
  return ok;
}

static void read_end(const char *path, BuildCgroupEnd *ret) {
  *ret = (BuildCgroupEnd){
      .usage = {.user_us = read_value(path, "cpu.stat", "user_usec"),
                .system_us = read_value(path, "cpu.stat", "system_usec"),
                .peak_memory_bytes = read_value(path, "memory.peak", "")},
      .out_of_memory = read_value(path, "memory.events", "oom_kill") > 0,
      .out_of_pids = read_value(path, "pids.events", "max") > 0,
  };
  ret->usage.is_whole_group = ret->usage.peak_memory_bytes > 0;
}

void build_cgroup_remove(BuildCgroup *cgroup, BuildCgroupEnd *ret_end) {
  if (!cgroup->path) return;
  const char *path = cgroup->path;
  // Linux 5.14; before it, namespaces and process groups are what kills.
  (void)!write_text(path, "cgroup.kill", SPAN("1"));
  for (int i = 0; i < EMPTY_TRIES && read_value(path, "cgroup.events", "populated"); i++) usleep(1000);
  if (ret_end) read_end(path, ret_end);
  if (rmdir(path) != 0) log_warn("removing the cgroup '%s': %s", path, strerror(errno));
  fs_close_fd(&cgroup->procs_fd);
  cgroup->path = NULL;
}
