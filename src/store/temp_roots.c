// temp_roots.c: what running processes use.
#include "store/temp_roots.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"

#define TEMP_ROOTS_FILE_MAX ((size_t)256 << 20)

struct TempRoots {
  char *dir;      // owned
  Span store_dir; // borrowed from the store
  pthread_mutex_t mutex;
  int fd;      // -1 before the first path
  char *path;  // owned
  pid_t owner; // after a fork the child must not remove its parent's file
  Map paths;   // digests
};

TempRoots *temp_roots_new(const char *dir, Span store_dir) {
  TempRoots *roots = mem_alloc_zero(sizeof(*roots));
  *roots = (TempRoots){.dir = span_dup(span_cstr(dir)), .store_dir = store_dir, .fd = -1, .owner = getpid()};
  pthread_mutex_init(&roots->mutex, NULL);
  return roots;
}

void temp_roots_free(TempRoots *roots) {
  if (!roots) return;
  if (roots->path && roots->owner == getpid()) unlink(roots->path);
  fs_close_fd(&roots->fd);
  mem_free(roots->path);
  mem_free(roots->dir);
  map_done(&roots->paths);
  pthread_mutex_destroy(&roots->mutex);
  mem_free(roots);
}

// C++ Nix names the file by the process number and takes the number from the front of the name, so one may add to it: several stores of one process,
// and processes of several pid namespaces, do not meet.
static bool temp_roots_create(TempRoots *roots, Err *err) {
  if (!fs_mkdir_all(roots->dir, 0755, err)) return false;
  for (;;) {
    CLEANUP(buf_done) Buf path = BUF_INIT;
    uint32_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
      return err_set_errno(err, errno, "getting random bytes");
    buf_printf(&path, "%s/%ld-%08x", roots->dir, (long)getpid(), random);
    CLEANUP(fs_close_fd) int fd = -1;
    if (!fs_open(buf_cstr(&path), O_RDWR | O_CREAT | O_EXCL, 0600, &fd, err)) return false;
    struct stat st;
    // A collector that came between open and flock has removed the file, or marked it by writing to it.
    if (flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0 && st.st_size == 0) {
      roots->fd = fd;
      fd = -1;
      roots->path = buf_take(&path);
      return true;
    }
  }
}

bool temp_roots_add(TempRoots *roots, const StorePath *path, Err *err) {
  return temp_roots_add_many(roots, path, 1, err);
}

bool temp_roots_add_many(TempRoots *roots, const StorePath *paths, size_t count, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  pthread_mutex_lock(&roots->mutex);
  for (size_t i = 0; i < count; i++) {
    if (map_has(&roots->paths, span_make(paths[i].digest, sizeof(paths[i].digest)))) continue;
    store_path_format(&paths[i], roots->store_dir, &text);
    buf_put_char(&text, 0);
  }
  bool ok = text.len == 0 ||
            ((roots->fd >= 0 || temp_roots_create(roots, err)) && fs_write_all(roots->fd, buf_span(&text), err));
  if (!ok) err_wrap(err, "writing a temporary root to '%s'", roots->dir);
  if (ok && text.len > 0)
    for (size_t i = 0; i < count; i++)
      map_set(&roots->paths, span_make(paths[i].digest, sizeof(paths[i].digest)), NULL);
  pthread_mutex_unlock(&roots->mutex);
  return ok;
}

bool temp_roots_has(TempRoots *roots, const StorePath *path) {
  pthread_mutex_lock(&roots->mutex);
  bool has = map_has(&roots->paths, span_make(path->digest, sizeof(path->digest)));
  pthread_mutex_unlock(&roots->mutex);
  return has;
}

static bool temp_roots_read(int fd, const char *name, Span store_dir, TempRootsVisit visit, void *ctx, Err *err) {
  CLEANUP(buf_done) Buf content = BUF_INIT;
  if (!fs_read_fd(fd, TEMP_ROOTS_FILE_MAX, &content, err)) return false;
  Span rest = buf_span(&content), text;
  while (span_find_char(rest, 0) != SIZE_MAX) { // what follows the last NUL is still being written
    (void)span_split(&rest, 0, &text);
    StorePath path;
    if (store_path_parse(text, store_dir, &path, NULL) && !visit(ctx, &path, name, err)) return false;
  }
  return true;
}

bool temp_roots_list(const char *dir, Span store_dir, bool read_only, TempRootsVisit visit, void *ctx, Err *err) {
  DIR *stream = opendir(dir);
  if (!stream) return errno == ENOENT ? true : err_set_errno(err, errno, "opening '%s'", dir);
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(stream));) {
    if (entry->d_name[0] == '.') continue;
    CLEANUP(buf_done) Buf path = BUF_INIT;
    buf_printf(&path, "%s/%s", dir, entry->d_name);
    CLEANUP(fs_close_fd) int fd = open(buf_cstr(&path), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue; // gone, or somebody else's: its owner may not use what is ours either
    if (!read_only && flock(fd, LOCK_EX | LOCK_NB) == 0) {
      // Nobody holds it: its process is dead. The byte tells a process that has just opened the file to take another one.
      unlink(buf_cstr(&path));
      ok = fs_write_all(fd, SPAN("d"), err);
      continue;
    }
    ok = temp_roots_read(fd, entry->d_name, store_dir, visit, ctx, err);
  }
  closedir(stream);
  return ok || err_wrap(err, "reading '%s'", dir);
}
