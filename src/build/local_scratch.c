// local_scratch.c: see local_scratch.h. Names: "<pid>-<n>-<name>" running, "nix-build-<name>.drv-<n>"
// kept, "gone-…" being removed.
#include "build/local_scratch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

// More than that many directories lying ready are never worth their place: one for each build at once is enough.
enum { IDLE_MAX = 16 };
enum { BUILD_MODE = 0700, TMP_MODE = 01777, STORE_MODE = 01775, ROOT_MODE = 0755 };

// Sorted by name.
struct LocalScratchMounts {
  LocalScratchMount *mounts;
  size_t count;
  Arena arena; // names
};

// A directory that no build has: it lies ready for another one, or is to be removed.
typedef struct Unused {
  char *top; // owned
  int lock_fd;
  unsigned owner_uid;
  LocalScratchMounts *mounts; // owned
} Unused;

struct LocalScratch {
  char *dir;
  _Atomic unsigned counter;
  pthread_mutex_t lock;
  Unused idle[IDLE_MAX]; // under `lock`
  size_t idle_count;
};

bool local_scratch_new(const char *dir, LocalScratch **ret, Err *err) {
  if (!fs_mkdir_all(dir, 0755, err)) return err_wrap(err, "making the directory for builds");
  LocalScratch *scratch = mem_alloc_zero(sizeof *scratch);
  scratch->dir = span_dup(span_cstr(dir));
  pthread_mutex_init(&scratch->lock, NULL);
  *ret = scratch;
  return true;
}

static void free_mounts(LocalScratchMounts *mounts) {
  if (!mounts) return;
  arena_done(&mounts->arena);
  mem_free(mounts);
}

static void remove_unused(Unused *unused) {
  Err err = ERR_INIT;
  if (!fs_remove_tree(unused->top, &err)) log_warn("removing a build directory: %s", err_message(&err));
  err_done(&err);
  fs_close_fd(&unused->lock_fd);
  free_mounts(unused->mounts);
  mem_free(unused->top);
}

void local_scratch_free(LocalScratch *scratch) {
  for (size_t i = 0; i < scratch->idle_count; i++) remove_unused(&scratch->idle[i]);
  pthread_mutex_destroy(&scratch->lock);
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

bool local_scratch_give(LocalScratchDir *dir, unsigned uid, Err *err) {
  const char *const paths[] = {dir->build, dir->tmp, dir->store};
  for (size_t i = 0; i < ARRAY_LEN(paths); i++)
    if (chown(paths[i], uid, uid) != 0) return err_set_errno(err, errno, "changing the owner of '%s'", paths[i]);
  dir->owner_uid = uid;
  return true;
}

// --- using them again

// How many of the mount points would have to be removed or made.
static size_t distance(const LocalScratchMounts *mounts, const Span *inputs, size_t input_count) {
  size_t i = 0, j = 0, common = 0, count = mounts ? mounts->count : 0;
  while (i < count && j < input_count) {
    int order = span_cmp(mounts->mounts[i].name, inputs[j]);
    common += order == 0;
    i += order <= 0;
    j += order >= 0;
  }
  return count + input_count - 2 * common;
}

// The idle directory that is nearest to what is wanted.
static bool take_idle(LocalScratch *scratch, unsigned owner_uid, const Span *inputs, size_t input_count, Unused *ret) {
  size_t best = SIZE_MAX, best_distance = SIZE_MAX;
  pthread_mutex_lock(&scratch->lock);
  for (size_t i = 0; i < scratch->idle_count; i++) {
    if (scratch->idle[i].owner_uid != owner_uid) continue;
    size_t far = distance(scratch->idle[i].mounts, inputs, input_count);
    if (far >= best_distance) continue;
    best = i;
    best_distance = far;
  }
  if (best != SIZE_MAX) {
    *ret = scratch->idle[best];
    scratch->idle[best] = scratch->idle[--scratch->idle_count];
  }
  pthread_mutex_unlock(&scratch->lock);
  return best != SIZE_MAX;
}

// False, without an error, when there is none.
static bool reuse(LocalScratch *scratch, const char *name, unsigned owner_uid, const Span *inputs, size_t input_count,
                  Arena *arena, LocalScratchDir *ret) {
  Unused idle;
  if (!take_idle(scratch, owner_uid, inputs, input_count, &idle)) return false;
  do local_scratch_name_only(scratch, name, arena, ret);
  while (fs_exists(ret->top));
  bool ok = rename(idle.top, ret->top) == 0;
  if (ok) {
    ret->lock_fd = idle.lock_fd;
    ret->owner_uid = owner_uid;
    ret->mounts = idle.mounts;
    mem_free(idle.top);
  } else {
    remove_unused(&idle);
    *ret = (LocalScratchDir){.lock_fd = -1};
  }
  return ok;
}

static int compare_mounts(const void *a, const void *b) {
  return span_cmp(((const LocalScratchMount *)a)->name, ((const LocalScratchMount *)b)->name);
}

static LocalScratchMounts *copy_mounts(const LocalScratchMount *mounts, size_t count) {
  LocalScratchMounts *copy = mem_alloc_zero(sizeof *copy);
  copy->mounts = ARENA_ARRAY(&copy->arena, LocalScratchMount, count);
  copy->count = count;
  for (size_t i = 0; i < count; i++)
    copy->mounts[i] = (LocalScratchMount){arena_dup(&copy->arena, mounts[i].name), mounts[i].is_dir};
  if (count) qsort(copy->mounts, count, sizeof *copy->mounts, compare_mounts);
  return copy;
}

static const LocalScratchMount *find_mount(const LocalScratchMounts *mounts, Span name) {
  LocalScratchMount key = {.name = name};
  if (!mounts || !mounts->count) return NULL;
  return bsearch(&key, mounts->mounts, mounts->count, sizeof *mounts->mounts, compare_mounts);
}

bool local_scratch_set_mounts(LocalScratchDir *dir, const LocalScratchMount *mounts, size_t count, Err *err) {
  LocalScratchMounts *former = dir->mounts;
  dir->mounts = copy_mounts(mounts, count);
  bool ok = true;
  if (former && former->count) {
    CLEANUP(fs_close_fd) int store_fd = -1;
    ok = fs_open(dir->store, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &store_fd, err);
    for (size_t i = 0; ok && i < former->count; i++) {
      const LocalScratchMount *old = &former->mounts[i], *now = find_mount(dir->mounts, old->name);
      if (now && now->is_dir == old->is_dir) continue;
      if (unlinkat(store_fd, old->name.data, old->is_dir ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT)
        ok = err_set_errno(err, errno, "removing '%s/%s'", dir->store, old->name.data);
    }
  }
  free_mounts(former);
  return ok;
}

// Attributes, flags and access lists are not what another build is to begin with.
static bool is_as_made(int fd, mode_t mode, unsigned owner_uid) {
  struct stat st;
  int flags = 0;
  unsigned uid = owner_uid ? owner_uid : geteuid();
  if (fstat(fd, &st) != 0 || (st.st_mode & 07777) != mode || st.st_uid != uid) return false;
  if (flistxattr(fd, NULL, 0) > 0) return false;
  // Which of these a fresh directory has depends on the file system and on its parent: what the builder's user may set is none of them.
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return true;
  return !(flags & ~(FS_EXTENT_FL | FS_INDEX_FL | FS_INLINE_DATA_FL | FS_NOCOW_FL));
}

// Removes what is in a directory, but for mount points. False when it is not to be used again.
static bool empty_dir(const char *path, mode_t mode, unsigned owner_uid, const LocalScratchMounts *mounts) {
  CLEANUP(fs_close_fd) int fd = -1;
  FsList list = FS_LIST_INIT;
  Buf entry = BUF_INIT;
  bool ok = fs_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd, NULL) && is_as_made(fd, mode, owner_uid) &&
            fs_list_dir_fd(fd, path, &list, NULL);
  for (size_t i = 0; ok && i < list.count; i++) {
    const LocalScratchMount *mount = find_mount(mounts, span_cstr(list.entries[i].name));
    if (mount && list.entries[i].type == (mount->is_dir ? DT_DIR : DT_REG)) continue;
    buf_clear(&entry);
    fs_path_join(&entry, span_cstr(path), span_cstr(list.entries[i].name));
    ok = fs_remove_tree(buf_cstr(&entry), NULL);
  }
  fs_list_done(&list);
  buf_done(&entry);
  return ok;
}

static bool add_idle(LocalScratch *scratch, const Unused *idle) {
  pthread_mutex_lock(&scratch->lock);
  bool fits = scratch->idle_count < IDLE_MAX;
  if (fits) scratch->idle[scratch->idle_count++] = *idle;
  pthread_mutex_unlock(&scratch->lock);
  return fits;
}

bool local_scratch_make(LocalScratch *scratch, const char *name, unsigned owner_uid, const Span *inputs,
                        size_t input_count, Arena *arena, LocalScratchDir *ret, Err *err) {
  *ret = (LocalScratchDir){.lock_fd = -1};
  if (reuse(scratch, name, owner_uid, inputs, input_count, arena, ret)) return true;
  return make_locked(scratch, name, arena, ret, err) && make_dir(ret->build, BUILD_MODE, err) &&
         make_dir(ret->tmp, TMP_MODE, err) && make_dir(ret->store, STORE_MODE, err) &&
         make_dir(ret->root, ROOT_MODE, err) && (!owner_uid || local_scratch_give(ret, owner_uid, err));
}

// The first number that is free.
static const char *rename_kept(const LocalScratch *scratch, const LocalScratchDir *dir, const char *name,
                               Arena *arena) {
  for (unsigned n = 0; n < UINT_MAX; n++) {
    const char *kept = arena_printf(arena, "%s/nix-build-%s.drv-%u", scratch->dir, name, n);
    if (renameat2(AT_FDCWD, dir->build, AT_FDCWD, kept, RENAME_NOREPLACE) == 0) return kept;
    if (errno != EEXIST) break;
  }
  return NULL;
}

static bool make_kept(const char *parent, const char *name, Arena *arena, LocalScratchDir *dir, Err *err) {
  int made = -1;
  errno = EEXIST;
  for (unsigned n = 0; made != 0 && errno == EEXIST && n < UINT_MAX; n++) {
    dir->build = arena_printf(arena, "%s/nix-build-%s.drv-%u", parent, name, n);
    made = mkdir(dir->build, BUILD_MODE);
  }
  if (made != 0) return err_set_errno(err, errno, "making '%s'", dir->build);
  dir->settled = true;
  return !dir->owner_uid || chown(dir->build, dir->owner_uid, dir->owner_uid) == 0 ||
         err_set_errno(err, errno, "changing the owner of '%s'", dir->build);
}

bool local_scratch_settle(LocalScratch *scratch, const char *parent, const char *name, Arena *arena,
                          LocalScratchDir *dir, Err *err) {
  if (parent) return make_kept(parent, name, arena, dir, err);
  const char *kept = rename_kept(scratch, dir, name, arena);
  if (!kept) return err_set_errno(err, errno, "naming the build directory '%s'", dir->build);
  dir->settled = true;
  dir->build = kept;
  return true;
}

const char *local_scratch_keep(LocalScratch *scratch, LocalScratchDir *dir, const char *name, Arena *arena) {
  const char *kept = dir->settled ? dir->build : rename_kept(scratch, dir, name, arena);
  dir->reusable = dir->settled = false;
  if (kept && chown(kept, geteuid(), getegid()) == 0 && chmod(kept, 0755) == 0) return kept;
  log_warn("cannot keep the build directory '%s': %s", dir->build, strerror(errno));
  return NULL;
}

// A directory on its way out. It stays locked until it is gone, so that no other process begins to remove it too.
typedef struct Removal {
  Unused dir;
  LocalScratch *scratch; // to be used again there, if possible; else NULL
} Removal;

static bool make_ready(const Unused *unused) {
  Buf path = BUF_INIT;
  const struct {
    const char *name;
    mode_t mode;
    const LocalScratchMounts *mounts;
  } dirs[] = {{"build", BUILD_MODE, NULL}, {"tmp", TMP_MODE, NULL}, {"store", STORE_MODE, unused->mounts}};
  bool ok = true;
  for (size_t i = 0; ok && i < ARRAY_LEN(dirs); i++) {
    buf_clear(&path);
    fs_path_join(&path, span_cstr(unused->top), span_cstr(dirs[i].name));
    ok = empty_dir(buf_cstr(&path), dirs[i].mode, unused->owner_uid, dirs[i].mounts);
  }
  buf_done(&path);
  return ok;
}

static void remove_job(void *ctx) {
  Removal *removal = ctx;
  bool kept = removal->scratch && make_ready(&removal->dir) && add_idle(removal->scratch, &removal->dir);
  if (!kept) remove_unused(&removal->dir);
  mem_free(removal);
}

static void submit_removal(Pool *cleaner, Unused dir, LocalScratch *scratch) {
  Removal *removal = mem_alloc(sizeof *removal);
  *removal = (Removal){dir, scratch};
  pool_submit(cleaner, remove_job, removal);
}

void local_scratch_remove(LocalScratch *scratch, Pool *cleaner, LocalScratchDir *dir) {
  if (dir->settled) submit_removal(cleaner, (Unused){.top = span_dup(span_cstr(dir->build)), .lock_fd = -1}, NULL);
  if (dir->top)
    submit_removal(cleaner, (Unused){span_dup(span_cstr(dir->top)), dir->lock_fd, dir->owner_uid, dir->mounts},
                   dir->reusable ? scratch : NULL);
  *dir = (LocalScratchDir){.lock_fd = -1};
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
      submit_removal(cleaner, (Unused){.top = span_dup(buf_span(&gone)), .lock_fd = fd}, NULL);
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
