// local_scratch.c: see local_scratch.h. Names: "<pid>-<n>-<name>" running, "kept-<name>-<pid>-<n>"
// kept, "gone-…" being removed.
#include "build/local_scratch.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

struct LocalScratch {
  char *dir;
  _Atomic unsigned counter;
};

bool local_scratch_new(const char *dir, LocalScratch **ret, Err *err) {
  if (!fs_mkdir_all(dir, 0755, err)) return err_wrap(err, "making the directory for builds");
  LocalScratch *scratch = mem_alloc_zero(sizeof *scratch);
  scratch->dir = span_dup(span_cstr(dir));
  *ret = scratch;
  return true;
}

void local_scratch_free(LocalScratch *scratch) {
  mem_free(scratch->dir);
  mem_free(scratch);
}

void local_scratch_name_only(LocalScratch *scratch, const char *name, Arena *arena, LocalScratchDir *ret) {
  const char *top =
      arena_printf(arena, "%s/%d-%u-%s", scratch->dir, (int)getpid(), atomic_fetch_add(&scratch->counter, 1), name);
  *ret = (LocalScratchDir){
      .top = top,
      .build = arena_printf(arena, "%s/build", top),
      .tmp = arena_printf(arena, "%s/tmp", top),
      .store = arena_printf(arena, "%s/store", top),
      .root = arena_printf(arena, "%s/root", top),
      .lock_fd = -1,
  };
}

static bool make_dir(const char *path, mode_t mode, Err *err) {
  // chmod: the umask must not take bits away.
  if (mkdir(path, 0700) == 0 && (mode == 0700 || chmod(path, mode) == 0)) return true;
  return err_set_errno(err, errno, "making '%s'", path);
}

// A name that no other builder in this process is using.
static bool make_top(LocalScratch *scratch, const char *name, Arena *arena, LocalScratchDir *ret, Err *err) {
  do local_scratch_name_only(scratch, name, arena, ret);
  while (fs_exists(ret->top));
  return make_dir(ret->top, 0700, err);
}

// The shared lock on the whole keeps a cleaner from looking at the moment between making a directory and locking it.
static bool make_locked(LocalScratch *scratch, const char *name, Arena *arena, LocalScratchDir *ret, Err *err) {
  CLEANUP(fs_close_fd) int whole_fd = -1;
  if (!fs_open(scratch->dir, O_RDONLY | O_DIRECTORY, 0, &whole_fd, err)) return false;
  while (flock(whole_fd, LOCK_SH) != 0)
    if (errno != EINTR) return err_set_errno(err, errno, "locking '%s'", scratch->dir);
  if (!make_top(scratch, name, arena, ret, err)) return false;
  if (!fs_open(ret->top, O_RDONLY | O_DIRECTORY, 0, &ret->lock_fd, err)) return false;
  return flock(ret->lock_fd, LOCK_EX | LOCK_NB) == 0 || err_set_errno(err, errno, "locking '%s'", ret->top);
}

bool local_scratch_give(const LocalScratchDir *dir, unsigned uid, Err *err) {
  const char *const paths[] = {dir->build, dir->tmp, dir->store};
  for (size_t i = 0; i < ARRAY_LEN(paths); i++)
    if (chown(paths[i], uid, uid) != 0) return err_set_errno(err, errno, "changing the owner of '%s'", paths[i]);
  return true;
}

bool local_scratch_make(LocalScratch *scratch, const char *name, unsigned owner_uid, Arena *arena, LocalScratchDir *ret,
                        Err *err) {
  *ret = (LocalScratchDir){.lock_fd = -1};
  return make_locked(scratch, name, arena, ret, err) && make_dir(ret->build, 0700, err) &&
         make_dir(ret->tmp, 01777, err) && make_dir(ret->store, 01775, err) && make_dir(ret->root, 0755, err) &&
         (!owner_uid || local_scratch_give(ret, owner_uid, err));
}

const char *local_scratch_keep(LocalScratch *scratch, LocalScratchDir *dir, const char *name, Arena *arena) {
  const char *kept = arena_printf(arena, "%s/kept-%s-%d-%u", scratch->dir, name, (int)getpid(),
                                  atomic_fetch_add(&scratch->counter, 1));
  if (rename(dir->build, kept) == 0 && chown(kept, geteuid(), getegid()) == 0 && chmod(kept, 0755) == 0) return kept;
  log_warn("cannot keep the build directory '%s': %s", dir->build, strerror(errno));
  return NULL;
}

// A directory on its way out. It stays locked until it is gone, so that no other process begins to remove it too.
typedef struct Removal {
  char *path;
  int lock_fd;
} Removal;

static void remove_job(void *ctx) {
  Removal *removal = ctx;
  Err err = ERR_INIT;
  if (!fs_remove_tree(removal->path, &err)) log_warn("removing a build directory: %s", err_message(&err));
  err_done(&err);
  fs_close_fd(&removal->lock_fd);
  mem_free(removal->path);
  mem_free(removal);
}

static void submit_removal(Pool *cleaner, Span path, int lock_fd) {
  Removal *removal = mem_alloc(sizeof *removal);
  *removal = (Removal){span_dup(path), lock_fd};
  pool_submit(cleaner, remove_job, removal);
}

void local_scratch_remove(LocalScratch *scratch UNUSED, Pool *cleaner, LocalScratchDir *dir) {
  if (dir->top) submit_removal(cleaner, span_cstr(dir->top), dir->lock_fd);
  dir->top = NULL;
  dir->lock_fd = -1;
}

// -1 when somebody has it.
static int lock_if_free(const char *path) {
  int fd = -1;
  if (fs_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd, NULL) && flock(fd, LOCK_EX | LOCK_NB) != 0)
    fs_close_fd(&fd);
  return fd;
}

// Under the exclusive lock of the whole, what nobody holds is locked and only gets another name, which takes no time; removing
// it comes after.
static void take_abandoned(LocalScratch *scratch, DIR *dir, Pool *cleaner) {
  Buf path = BUF_INIT, gone = BUF_INIT;
  for (struct dirent *entry; (entry = readdir(dir));) {
    Span name = span_cstr(entry->d_name);
    bool is_gone = span_has_prefix(name, SPAN("gone-"));
    if (!is_gone && (name.data[0] < '0' || name.data[0] > '9')) continue;
    buf_clear(&path);
    buf_clear(&gone);
    buf_printf(&path, "%s/%s", scratch->dir, entry->d_name);
    buf_printf(&gone, "%s/%s%s", scratch->dir, is_gone ? "" : "gone-", entry->d_name);
    int fd = lock_if_free(buf_cstr(&path));
    if (fd < 0) continue;
    if (is_gone || rename(path.data, buf_cstr(&gone)) == 0) {
      submit_removal(cleaner, buf_span(&gone), fd);
    } else {
      log_warn("renaming the abandoned build directory '%s': %s", path.data, strerror(errno));
      fs_close_fd(&fd);
    }
  }
  buf_done(&path);
  buf_done(&gone);
}

void local_scratch_clean(LocalScratch *scratch, Pool *cleaner) {
  CLEANUP(fs_close_fd) int whole_fd = -1;
  if (!fs_open(scratch->dir, O_RDONLY | O_DIRECTORY, 0, &whole_fd, NULL)) return;
  DIR *dir = opendir(scratch->dir);
  if (!dir) return;
  // Taken by another cleaner: then that one does it.
  if (flock(whole_fd, LOCK_EX | LOCK_NB) == 0) take_abandoned(scratch, dir, cleaner);
  closedir(dir);
}
