// fs.c: see fs.h. File access comes first, path text last.
#include "base/fs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void fs_close_fd(int *fd) {
  // Not retried on EINTR: on Linux the descriptor is gone even then, and may already belong to another thread.
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static int open_retry(int dir_fd, const char *path, int flags, mode_t mode) {
  int fd;
  do fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  return fd;
}

bool fs_open(const char *path, int flags, mode_t mode, int *ret_fd, Err *err) {
  *ret_fd = open_retry(AT_FDCWD, path, flags, mode);
  if (*ret_fd < 0) return err_set_errno(err, errno, "opening '%s'", path);
  return true;
}

static ssize_t read_retry(int fd, void *data, size_t len) {
  ssize_t got;
  do got = read(fd, data, len);
  while (got < 0 && errno == EINTR);
  return got;
}

bool fs_read_file(const char *path, size_t limit_bytes, Buf *ret, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(path, O_RDONLY, 0, &fd, err)) return false;
  if (!fs_read_fd(fd, limit_bytes, ret, err)) return err_wrap(err, "'%s'", path);
  return true;
}

bool fs_read_fd(int fd, size_t limit_bytes, Buf *ret, Err *err) {
  enum { STEP_BYTES = 64 << 10 };
  size_t before = ret->len;
  struct stat st;
  // A regular file tells its size: one more byte shows the end of file without a second growth.
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
      (limit_bytes == 0 || (size_t)st.st_size <= limit_bytes))
    buf_reserve(ret, (size_t)st.st_size + 1);
  for (;;) {
    size_t room = ret->cap > ret->len + 1 ? ret->cap - ret->len - 1 : 0;
    if (room == 0) {
      buf_reserve(ret, STEP_BYTES);
      room = STEP_BYTES;
    }
    ssize_t got = read_retry(fd, ret->data + ret->len, room);
    if (got < 0) return err_set_errno(err, errno, "reading");
    if (got == 0) return true;
    ret->len += (size_t)got;
    if (limit_bytes && ret->len - before > limit_bytes)
      return err_set(err, ERR_LIMIT, "reading: longer than the limit of %zu bytes", limit_bytes);
  }
}

bool fs_read_full(int fd, void *data, size_t len, size_t *ret_len, Err *err) {
  *ret_len = 0;
  while (*ret_len < len) {
    ssize_t got = read_retry(fd, (char *)data + *ret_len, len - *ret_len);
    if (got < 0) return err_set_errno(err, errno, "reading");
    if (got == 0) break;
    *ret_len += (size_t)got;
  }
  return true;
}

bool fs_write_all(int fd, Span data, Err *err) {
  while (data.len) {
    ssize_t put = write(fd, data.data, data.len);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return err_set_errno(err, errno, "writing");
    data = span_from(data, (size_t)put);
  }
  return true;
}

bool fs_write_file_atomic(const char *path, Span data, mode_t mode, bool sync, Err *err) {
  Buf temp = BUF_INIT;
  buf_printf(&temp, "%s.tmp-XXXXXX", path);
  char *temp_path = buf_take(&temp);
  CLEANUP(fs_close_fd) int fd = mkostemp(temp_path, O_CLOEXEC);
  bool ok = fd >= 0 || err_set_errno(err, errno, "creating '%s'", temp_path);
  bool made = ok;
  ok = ok && (fchmod(fd, mode) == 0 || err_set_errno(err, errno, "setting the mode of '%s'", temp_path));
  ok = ok && (fs_write_all(fd, data, err) || err_wrap(err, "'%s'", temp_path));
  ok = ok && (!sync || fsync(fd) == 0 || err_set_errno(err, errno, "syncing '%s'", temp_path));
  ok = ok && (rename(temp_path, path) == 0 || err_set_errno(err, errno, "renaming '%s' to '%s'", temp_path, path));
  if (made && !ok) unlink(temp_path);
  mem_free(temp_path);
  if (ok && sync) {
    char *dir = span_dup(fs_path_dir(span_cstr(path)));
    ok = fs_fsync_dir(dir, err);
    mem_free(dir);
  }
  return ok;
}

// mkdir, where an existing directory (or a symbolic link to one) is fine.
static bool make_dir(const char *path, mode_t mode) {
  if (mkdir(path, mode) == 0) return true;
  int why = errno;
  struct stat st;
  if (why == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return true;
  errno = why;
  return false;
}

bool fs_mkdir_all(const char *path, mode_t mode, Err *err) {
  if (make_dir(path, mode)) return true;
  if (errno != ENOENT || !*path) return err_set_errno(err, errno, "creating directory '%s'", path);
  CLEANUP(mem_free_ptr) char *prefix = span_dup(span_cstr(path));
  for (char *p = prefix + 1; *p; p++) {
    if (*p != '/') continue;
    *p = 0;
    if (!make_dir(prefix, mode)) return err_set_errno(err, errno, "creating directory '%s'", prefix);
    *p = '/';
  }
  if (!make_dir(path, mode)) return err_set_errno(err, errno, "creating directory '%s'", path);
  return true;
}

void fs_list_done(FsList *list) {
  for (size_t i = 0; i < list->count; i++) mem_free(list->entries[i].name);
  mem_free(list->entries);
  *list = (FsList)FS_LIST_INIT;
}

static int compare_entries(const void *a, const void *b) {
  return strcmp(((const FsEntry *)a)->name, ((const FsEntry *)b)->name);
}

static bool read_entries(DIR *dir, FsList *ret) {
  for (struct dirent *entry; (errno = 0, entry = readdir(dir));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    MEM_RESERVE(ret->entries, ret->cap, ret->count + 1);
    ret->entries[ret->count++] = (FsEntry){span_dup(span_cstr(entry->d_name)), entry->d_type};
  }
  return errno == 0;
}

// Takes `fd`.
static bool list_open_dir(int fd, const char *path, FsList *ret, Err *err) {
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  if (!dir) {
    err_set_errno(err, errno, "listing '%s'", path);
    fs_close_fd(&fd);
    return false;
  }
  // A duplicate shares its offset with the caller's descriptor, which an earlier listing has left at the end.
  rewinddir(dir);
  bool ok = read_entries(dir, ret) || err_set_errno(err, errno, "listing '%s'", path);
  closedir(dir);
  if (!ok) fs_list_done(ret);
  if (ret->count) qsort(ret->entries, ret->count, sizeof *ret->entries, compare_entries);
  return ok;
}

bool fs_list_dir(const char *path, FsList *ret, Err *err) {
  int fd;
  return fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err) && list_open_dir(fd, path, ret, err);
}

bool fs_list_dir_fd(int fd, const char *path, FsList *ret, Err *err) {
  return list_open_dir(fcntl(fd, F_DUPFD_CLOEXEC, 3), path, ret, err);
}

// Recursive removal. Each level of recursion holds a descriptor, so a directory deeper than REMOVE_MAX_DEPTH is moved up
// beside the first level and taken from there: the depth of a tree costs neither stack nor descriptors.
enum { REMOVE_MAX_DEPTH = 64 };

typedef struct Removal {
  int top_fd;
  size_t moved_count;
  bool again; // something was moved to the top
} Removal;

// Opens a directory itself (never through a symbolic link), giving its owner all rights first where they lack.
static int open_dir_writable(int parent_fd, const char *name) {
  int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  int fd = open_retry(parent_fd, name, flags, 0);
  if (fd < 0 && errno == EACCES) {
    // Unreadable: take a handle that needs no rights, and change the mode through it, so that no link is followed.
    CLEANUP(fs_close_fd) int handle = open_retry(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    if (handle < 0) return -1;
    char proc_path[64];
    snprintf(proc_path, sizeof proc_path, "/proc/self/fd/%d", handle);
    if (chmod(proc_path, 0700) != 0) return -1;
    fd = open_retry(parent_fd, name, flags, 0);
  }
  struct stat st;
  // A failure shows when the first entry cannot be removed, with its name.
  if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700 && fchmod(fd, 0700) != 0) return fd;
  return fd;
}

static bool remove_entry(Removal *removal, int dir_fd, const char *name, unsigned depth, Err *err);

static bool remove_content(Removal *removal, int fd, const char *name, unsigned depth, Err *err) {
  FsList list CLEANUP(fs_list_done) = FS_LIST_INIT;
  if (!fs_list_dir_fd(fd, name, &list, err)) return false;
  for (size_t i = 0; i < list.count; i++)
    if (!remove_entry(removal, fd, list.entries[i].name, depth, err)) return err_wrap(err, "'%s'", name);
  return true;
}

static bool move_to_top(Removal *removal, int dir_fd, const char *name, Err *err) {
  char moved_name[64];
  do {
    snprintf(moved_name, sizeof moved_name, ".removed-%zu", removal->moved_count++);
    if (renameat2(dir_fd, name, removal->top_fd, moved_name, RENAME_NOREPLACE) == 0) {
      removal->again = true;
      return true;
    }
  } while (errno == EEXIST);
  return err_set_errno(err, errno, "moving '%s'", name);
}

static bool remove_entry(Removal *removal, int dir_fd, const char *name, unsigned depth, Err *err) {
  if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM && errno != EACCES) return err_set_errno(err, errno, "removing '%s'", name);
  int why = errno;
  CLEANUP(fs_close_fd) int fd = open_dir_writable(dir_fd, name);
  if (fd < 0) return err_set_errno(err, errno == ENOTDIR || errno == ELOOP ? why : errno, "removing '%s'", name);
  if (depth == REMOVE_MAX_DEPTH) return move_to_top(removal, dir_fd, name, err);
  Removal top = {.top_fd = fd};
  do {
    top.again = false;
    if (!remove_content(removal ? removal : &top, fd, name, depth + 1, err)) return false;
  } while (top.again);
  if (unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
    return err_set_errno(err, errno, "removing directory '%s'", name);
  return true;
}

bool fs_remove_tree(const char *path, Err *err) {
  return remove_entry(NULL, AT_FDCWD, path, 0, err);
}

bool fs_read_link(const char *path, Buf *ret, Err *err) {
  for (size_t room = 256;; room *= 2) {
    buf_reserve(ret, room);
    ssize_t len = readlink(path, ret->data + ret->len, room);
    if (len < 0) return err_set_errno(err, errno, "reading the symbolic link '%s'", path);
    if ((size_t)len < room) {
      ret->len += (size_t)len;
      return true;
    }
  }
}

void fs_dir_init(FsDirReader *reader, int fd) {
  reader->fd = fd;
  reader->at = reader->len = 0;
}

bool fs_dir_next(FsDirReader *reader, const char **ret_name, uint8_t *ret_type, Err *err) {
  for (;;) {
    if (reader->at == reader->len) {
      ssize_t n = getdents64(reader->fd, reader->data, sizeof(reader->data));
      if (n < 0) return err_set_errno(err, errno, "listing the directory");
      *ret_name = NULL;
      if (n == 0) return true;
      reader->at = 0;
      reader->len = (size_t)n;
    }
    const struct dirent64 *entry = (const void *)(reader->data + reader->at);
    reader->at += entry->d_reclen;
    const char *name = entry->d_name;
    if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
    *ret_name = name;
    *ret_type = entry->d_type;
    reader->ino = entry->d_ino;
    return true;
  }
}

bool fs_fsync_dir(const char *path, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err)) return false;
  if (fsync(fd) != 0) return err_set_errno(err, errno, "syncing directory '%s'", path);
  return true;
}

bool fs_make_temp_dir(const char *parent, const char *prefix, Buf *ret_path, Err *err) {
  Buf path = BUF_INIT;
  buf_printf(&path, "%s/%s-XXXXXX", parent, prefix);
  buf_cstr(&path);
  bool ok = mkdtemp(path.data) || err_set_errno(err, errno, "creating a temporary directory in '%s'", parent);
  if (ok) buf_put_span(ret_path, buf_span(&path));
  buf_done(&path);
  return ok;
}

bool fs_make_nameless(const char *prefix, int *ret_fd, Err *err) {
  const char *tmp = getenv("TMPDIR");
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&path, "%s/%s-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp", prefix);
  buf_cstr(&path);
  *ret_fd = mkostemp(path.data, O_CLOEXEC);
  if (*ret_fd < 0) return err_set_errno(err, errno, "creating a temporary file '%s'", path.data);
  unlink(path.data);
  return true;
}

bool fs_exists(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

// Appends the components of `path` to the canonical path that starts at `root` in *ret ("" stands for "/").
static void add_components(Buf *ret, size_t root, Span path) {
  while (path.len) {
    Span name;
    span_split(&path, '/', &name);
    if (name.len == 0 || span_eq_cstr(name, ".")) continue;
    if (span_eq_cstr(name, "..")) {
      size_t slash = span_rfind_char(span_from(buf_span(ret), root), '/');
      if (slash != SIZE_MAX) ret->len = root + slash;
    } else {
      buf_put_char(ret, '/');
      buf_put_span(ret, name);
    }
  }
}

void fs_path_canon(Span base, Span path, Buf *ret) {
  size_t root = ret->len;
  if (!(path.len && path.data[0] == '/')) {
    assert(base.len && base.data[0] == '/');
    add_components(ret, root, base);
  }
  add_components(ret, root, path);
  if (ret->len == root) buf_put_char(ret, '/');
}

Span fs_path_base(Span path) {
  size_t slash = span_rfind_char(path, '/');
  return slash == SIZE_MAX ? path : span_from(path, slash + 1);
}

Span fs_path_dir(Span path) {
  size_t slash = span_rfind_char(path, '/');
  if (slash == SIZE_MAX) return SPAN(".");
  return span_sub(path, 0, slash ? slash : 1);
}

void fs_path_join(Buf *ret, Span a, Span b) {
  while (a.len && a.data[a.len - 1] == '/') a.len--;
  while (b.len && b.data[0] == '/') b = span_from(b, 1);
  buf_put_span(ret, a);
  buf_put_char(ret, '/');
  buf_put_span(ret, b);
}
