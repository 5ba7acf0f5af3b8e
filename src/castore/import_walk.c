// import_walk.c: lists a tree in the order of its NAR.
#include "castore/import_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"

static const struct timespec import_walk_times[2] = {{1, 0}, {1, 0}};

typedef struct ImportWalker {
  ImportWalk *walk;
  const CastoreImportOptions *options;
  const char *root; // for messages
} ImportWalker;

static const char *import_walk_at(const ImportWalk *walk, const ImportWalkEntry *entry) {
  return walk->root_name ? walk->root_name : entry->path[0] ? entry->path : ".";
}

bool import_walk_open(const ImportWalk *walk, const ImportWalkEntry *entry, int *ret_fd, Err *err) {
  do *ret_fd = openat(walk->root_fd, import_walk_at(walk, entry), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  while (*ret_fd < 0 && errno == EINTR);
  return *ret_fd >= 0 || err_set_errno(err, errno, "opening '%s'", entry->path);
}

static bool import_walk_read_target(ImportWalk *walk, ImportWalkEntry *entry, Err *err) {
  char target[CASTORE_NODE_TARGET_MAX + 1];
  ssize_t len = readlinkat(walk->root_fd, import_walk_at(walk, entry), target, sizeof(target));
  if (len < 0) return err_set_errno(err, errno, "reading the symbolic link '%s'", entry->path);
  if ((size_t)len == sizeof(target))
    return err_set(err, ERR_LIMIT, "the symbolic link '%s' is longer than %u bytes", entry->path,
                   CASTORE_NODE_TARGET_MAX);
  entry->target = arena_dup(&walk->arena, span_make(target, (size_t)len));
  return true;
}

// A build output becomes what every store object is: owned by us, without extended attributes, canonical mode and time. Directories stay
// writable until everything below them is done (castore_import.c).
static bool import_walk_canonicalise(ImportWalk *walk, ImportWalkEntry *entry, Err *err) {
  const char *at = import_walk_at(walk, entry);
  struct stat st;
  if (fstatat(walk->root_fd, at, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return err_set_errno(err, errno, "reading '%s'", entry->path);
  if (st.st_uid != geteuid() && fchownat(walk->root_fd, at, geteuid(), getegid(), AT_SYMLINK_NOFOLLOW) != 0)
    return err_set_errno(err, errno, "taking ownership of '%s'", entry->path);
  if (entry->kind == CASTORE_SYMLINK) {
    if (utimensat(walk->root_fd, at, import_walk_times, AT_SYMLINK_NOFOLLOW) != 0)
      return err_set_errno(err, errno, "setting the time of '%s'", entry->path);
    return true;
  }
  mode_t mode = entry->kind == CASTORE_DIRECTORY ? 0700 : import_walk_executable(entry) ? 0555 : 0444;
  if ((st.st_mode & 07777) != mode && fchmodat(walk->root_fd, at, mode, 0) != 0)
    return err_set_errno(err, errno, "setting the mode of '%s'", entry->path);
  CLEANUP(fs_close_fd) int fd = -1;
  if (!import_walk_open(walk, entry, &fd, err)) return false;
  char names[4096];
  ssize_t len = flistxattr(fd, names, sizeof(names));
  for (const char *name = names; len > 0 && name < names + len; name += strlen(name) + 1)
    if (fremovexattr(fd, name) != 0 && errno != ENODATA && errno != EPERM && errno != ENOTSUP)
      return err_set_errno(err, errno, "removing the attribute '%s' of '%s'", name, entry->path);
  if (futimens(fd, import_walk_times) != 0) return err_set_errno(err, errno, "setting the time of '%s'", entry->path);
  return true;
}

// Adds the entry; *ret_skipped when it is of a type that is left out.
static bool import_walk_add(ImportWalker *walker, const char *path, uint32_t name_at, const struct stat *st,
                            bool *ret_skipped, Err *err) {
  ImportWalk *walk = walker->walk;
  *ret_skipped = false;
  if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode)) {
    *ret_skipped = walker->options->allow_fifo_skip;
    return *ret_skipped ||
           err_set(err, ERR_OTHER, "file '%s%s%s' has an unsupported type", walker->root, *path ? "/" : "", path);
  }
  if (walk->count >= CASTORE_IMPORT_ENTRIES_MAX)
    return err_set(err, ERR_LIMIT, "more than %u files", CASTORE_IMPORT_ENTRIES_MAX);
  MEM_RESERVE(walk->entries, walk->cap, walk->count + 1);
  ImportWalkEntry *entry = &walk->entries[walk->count++];
  *entry = (ImportWalkEntry){
      .path = path,
      .name_at = name_at,
      .end = (uint32_t)walk->count,
      .kind = S_ISDIR(st->st_mode)   ? CASTORE_DIRECTORY
              : S_ISLNK(st->st_mode) ? CASTORE_SYMLINK
                                     : CASTORE_FILE,
      .mode = st->st_mode,
      .size_bytes = (uint64_t)st->st_size,
      .dev = st->st_dev,
      .ino = st->st_ino,
      .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
      .ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec,
  };
  if (walker->options->adopt_into && !import_walk_canonicalise(walk, entry, err)) return false;
  return entry->kind != CASTORE_SYMLINK || import_walk_read_target(walk, entry, err);
}

// An entry of a directory that is being listed.
typedef struct ImportWalkName {
  const char *path; // relative to the root, in the arena
  struct stat st;
} ImportWalkName;

static int import_walk_name_cmp(const void *a, const void *b) {
  return strcmp((*(const ImportWalkName *const *)a)->path, (*(const ImportWalkName *const *)b)->path);
}

typedef struct ImportWalkNames {
  ImportWalkName *items;  // owned, in the order of the directory
  ImportWalkName **order; // owned, sorted
  size_t count, cap;
} ImportWalkNames;

static void import_walk_names_done(ImportWalkNames *names) {
  mem_free(names->items);
  mem_free(names->order);
}

static const char *import_walk_join(ImportWalk *walk, Span parent, const char *name) {
  size_t len = strlen(name), at = parent.len;
  char *path = arena_alloc(&walk->arena, parent.len + 1 + len + 1);
  memcpy(path, parent.data, parent.len);
  if (at > 0) path[at++] = '/';
  memcpy(path + at, name, len + 1);
  return path;
}

// Looks at each entry while the directory is open: its name alone is a shorter way than the path from the root.
static bool import_walk_list(ImportWalk *walk, size_t number, ImportWalkNames *ret, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  Span parent = span_cstr(walk->entries[number].path);
  FsDirReader reader;
  const char *name;
  uint8_t type;
  if (!import_walk_open(walk, &walk->entries[number], &fd, err)) return false;
  fs_dir_init(&reader, fd);
  for (;;) {
    if (!fs_dir_next(&reader, &name, &type, err)) return err_wrap(err, "'%s'", parent.data);
    if (!name) break;
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ImportWalkName *item = &ret->items[ret->count++];
    item->path = import_walk_join(walk, parent, name);
    if (fstatat(fd, name, &item->st, AT_SYMLINK_NOFOLLOW) != 0)
      return err_set_errno(err, errno, "reading '%s'", item->path);
  }
  ret->order = mem_alloc_array(ret->count + 1, sizeof(ImportWalkName *));
  for (size_t i = 0; i < ret->count; i++) ret->order[i] = &ret->items[i];
  // The common prefix does not change the order.
  if (ret->count > 1) qsort(ret->order, ret->count, sizeof(ImportWalkName *), import_walk_name_cmp);
  return true;
}

static bool import_walk_dir(ImportWalker *walker, size_t number, unsigned depth, Err *err);

static bool import_walk_child(ImportWalker *walker, const ImportWalkName *name, uint32_t name_at, unsigned depth,
                              Err *err) {
  ImportWalk *walk = walker->walk;
  if (walker->options->filter) {
    mode_t mode = name->st.st_mode;
    CastoreKind kind = S_ISDIR(mode) ? CASTORE_DIRECTORY : S_ISLNK(mode) ? CASTORE_SYMLINK : CASTORE_FILE;
    bool keep;
    if (!walker->options->filter(walker->options->filter_ctx, span_cstr(name->path), kind, &keep, err)) return false;
    if (!keep) return true;
  }
  bool skipped;
  size_t number = walk->count;
  if (!import_walk_add(walker, name->path, name_at, &name->st, &skipped, err)) return false;
  if (skipped || walk->entries[number].kind != CASTORE_DIRECTORY) return true;
  return import_walk_dir(walker, number, depth + 1, err);
}

static bool import_walk_dir(ImportWalker *walker, size_t number, unsigned depth, Err *err) {
  ImportWalk *walk = walker->walk;
  if (depth > CASTORE_IMPORT_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", CASTORE_IMPORT_DEPTH_MAX);
  CLEANUP(import_walk_names_done) ImportWalkNames names = {NULL, NULL, 0, 0};
  bool ok = import_walk_list(walk, number, &names, err);
  size_t parent_len = strlen(walk->entries[number].path);
  uint32_t name_at = (uint32_t)(parent_len > 0 ? parent_len + 1 : 0);
  for (size_t i = 0; ok && i < names.count; i++) ok = import_walk_child(walker, names.order[i], name_at, depth, err);
  walk->entries[number].end = (uint32_t)walk->count;
  return ok;
}

static bool import_walk_root(ImportWalker *walker, const char *path, Err *err) {
  ImportWalk *walk = walker->walk;
  struct stat st;
  if (lstat(path, &st) != 0 && errno == ENOENT) return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", path);
  if (lstat(path, &st) != 0) return err_set_errno(err, errno, "reading '%s'", path);
  if (S_ISDIR(st.st_mode)) {
    if (walker->options->adopt_into && (st.st_mode & 0700) != 0700 && chmod(path, 0700) != 0)
      return err_set_errno(err, errno, "setting the mode of '%s'", path);
    if (!fs_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &walk->root_fd, err)) return false;
  } else {
    Span base = fs_path_base(span_cstr(path));
    CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(path)));
    walk->root_name = arena_dup(&walk->arena, base).data;
    if (!fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &walk->root_fd, err)) return false;
  }
  bool skipped;
  if (!import_walk_add(walker, "", 0, &st, &skipped, err)) return false;
  if (skipped) return err_set(err, ERR_OTHER, "it has an unsupported type");
  return !S_ISDIR(st.st_mode) || import_walk_dir(walker, 0, 0, err);
}

bool import_walk_run(const char *path, const CastoreImportOptions *options, ImportWalk *ret, Err *err) {
  *ret = (ImportWalk){.root_fd = -1, .arena = ARENA_INIT};
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  ret->started_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  ImportWalker walker = {ret, options, path};
  if (import_walk_root(&walker, path, err)) return true;
  import_walk_done(ret);
  return false;
}

void import_walk_done(ImportWalk *walk) {
  fs_close_fd(&walk->root_fd);
  walk->root_fd = -1;
  mem_free(walk->entries);
  arena_done(&walk->arena);
  *walk = (ImportWalk){.root_fd = -1, .arena = ARENA_INIT};
}
