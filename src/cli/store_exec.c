// store_exec.c: see store_exec.h.
#include "cli/store_exec.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"

#define HOST "/.firn-host"

// ---- the helper: its own process, with one thread

static bool write_proc(const char *path, const char *text, Err *err) {
  int fd;
  if (!fs_open(path, O_WRONLY, 0, &fd, err)) return false;
  bool ok = fs_write_all(fd, span_cstr(text), err);
  close(fd);
  return ok;
}

static bool map_ids(uid_t uid, gid_t gid, Err *err) {
  char text[64];
  if (!write_proc("/proc/self/setgroups", "deny", err)) return false;
  snprintf(text, sizeof(text), "%u %u 1", gid, gid);
  if (!write_proc("/proc/self/gid_map", text, err)) return false;
  snprintf(text, sizeof(text), "%u %u 1", uid, uid);
  return write_proc("/proc/self/uid_map", text, err);
}

static bool enter_namespaces(Err *err) {
  uid_t uid = getuid();
  gid_t gid = getgid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0) return err_set_errno(err, errno, "making a mount namespace");
    if (!map_ids(uid, gid, err)) return err_wrap(err, "making a user namespace");
  }
  if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) != 0) return err_set_errno(err, errno, "mount namespace");
  return true;
}

// One entry of the host's root directory (now HOST) in the new one.
static bool mirror_entry(const char *name, unsigned char type, Err *err) {
  Buf source CLEANUP(buf_done) = BUF_INIT, target CLEANUP(buf_done) = BUF_INIT, link CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&source, HOST "/%s", name);
  buf_printf(&target, "/%s", name);
  if (type == DT_LNK) {
    if (!fs_read_link(buf_cstr(&source), &link, err)) return false;
    return symlink(buf_cstr(&link), buf_cstr(&target)) == 0 ||
           err_set_errno(err, errno, "creating '%s'", buf_cstr(&target));
  }
  if (type == DT_DIR) {
    if (mkdir(buf_cstr(&target), 0755) != 0) return err_set_errno(err, errno, "creating '%s'", buf_cstr(&target));
  } else {
    int fd;
    if (!fs_open(buf_cstr(&target), O_WRONLY | O_CREAT, 0644, &fd, err)) return false;
    close(fd);
  }
  return mount(buf_cstr(&source), buf_cstr(&target), NULL, MS_BIND | MS_REC, NULL) == 0 ||
         err_set_errno(err, errno, "mounting '%s'", buf_cstr(&target));
}

// A new root directory with everything that the host's has, and the store: where there is no directory to mount the store on. The old root moves to
// HOST meanwhile, so that what was mounted over for this does not hide anything.
static bool make_root(const char *logical, const char *physical, Err *err) {
  FsList list CLEANUP(fs_list_done) = FS_LIST_INIT;
  Buf source CLEANUP(buf_done) = BUF_INIT;
  Span rest = span_from(span_cstr(logical), 1), top;
  span_split(&rest, '/', &top);
  char *real = realpath(physical, NULL); // absolute links would lead into the new root
  buf_printf(&source, HOST "%s", real ? real : physical);
  free(real);
  if (mount("none", "/tmp", "tmpfs", 0, "mode=0755") != 0 || mkdir("/tmp" HOST, 0755) != 0)
    return err_set_errno(err, errno, "making a root directory");
  if (syscall(SYS_pivot_root, "/tmp", "/tmp" HOST) != 0 || chdir("/") != 0)
    return err_set_errno(err, errno, "changing the root directory");
  if (!fs_list_dir(HOST, &list, err) || !fs_mkdir_all(logical, 0755, err)) return false;
  if (mount(buf_cstr(&source), logical, NULL, MS_BIND | MS_REC, NULL) != 0)
    return err_set_errno(err, errno, "mounting '%s'", physical);
  for (size_t i = 0; i < list.count; i++)
    if (!span_eq_cstr(top, list.entries[i].name) && !mirror_entry(list.entries[i].name, list.entries[i].type, err))
      return false;
  return (umount2(HOST, MNT_DETACH) == 0 && rmdir(HOST) == 0) ||
         err_set_errno(err, errno, "changing the root directory");
}

static bool show_store(const char *logical, const char *physical, Err *err) {
  char *cwd = getcwd(NULL, 0);
  bool ok = enter_namespaces(err);
  if (ok && fs_exists(logical))
    ok = mount(physical, logical, NULL, MS_BIND | MS_REC, NULL) == 0 ||
         err_set_errno(err, errno, "mounting '%s' on '%s'", physical, logical);
  else ok = ok && make_root(logical, physical, err);
  if (ok && (!cwd || chdir(cwd) != 0) && chdir("/") != 0) ok = err_set_errno(err, errno, "changing the directory");
  free(cwd);
  return ok;
}

int store_exec_helper(int argc, char **argv) {
  Err err = ERR_INIT;
  if (argc < 5) err_set(&err, ERR_USAGE, "%s is for firn itself", STORE_EXEC_HELPER);
  else if (show_store(argv[1], argv[2], &err)) {
    execvp(argv[3], argv + 4);
    err_set_errno(&err, errno, "unable to execute '%s'", argv[3]);
  }
  fprintf(stderr, "error: %s\n", err_message(&err));
  err_done(&err);
  return 1;
}

// ---- from the session

static void set_personality(const char *system) {
  struct utsname name;
  if (!system || uname(&name) != 0) return;
  bool narrow = (strcmp(system, "i686-linux") == 0 && strcmp(name.machine, "x86_64") == 0) ||
                (strcmp(system, "armv7l-linux") == 0 && strcmp(name.machine, "aarch64") == 0);
  if (narrow) personality(PER_LINUX32);
}

int store_exec_run(Session *session, const char *program, const char *const *argv, EnvVars *env, const char *system) {
  Err err = ERR_INIT;
  Store *store;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  char *logical = span_dup(store_dir(store)), *real = span_dup(span_cstr(store_tree_dir(store)));
  bool moved = strcmp(logical, real) != 0;
  size_t count = 0;
  while (argv[count]) count++;
  const char **words = mem_alloc_array(count + 6, sizeof(*words));
  size_t at = 0;
  char *owned_program = span_dup(span_cstr(program));
  if (moved) {
    words[at++] = "firn";
    words[at++] = STORE_EXEC_HELPER;
    words[at++] = logical;
    words[at++] = real;
    words[at++] = owned_program;
  }
  for (size_t i = 0; i < count; i++) words[at++] = span_dup(span_cstr(argv[i]));
  words[at] = NULL;
  session_close(session);
  set_personality(system);
  // What was changed for us and would be inherited.
  signal(SIGPIPE, SIG_DFL);
  environ = env_vars_take_strings(env);
  execvp(moved ? "/proc/self/exe" : owned_program, (char *const *)words);
  int failed = errno;
  fprintf(stderr, "error: unable to execute '%s': %s\n", owned_program, strerror(failed));
  return 1;
}
