// power_log.c: see power_log.h. Each replacement makes the system call and appends a record, both under one lock over all processes, so that the
// order of the records is the order of the effects. Only waiting for the disk happens outside of it.
#include "power_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POWER_LOG_FD_MIN 800
#define POWER_LOG_SEEN_BYTES_MAX (64 << 20)

static pthread_mutex_t power_mutex = PTHREAD_MUTEX_INITIALIZER;
static int power_fd = -2; // -1: not asked for
static dev_t power_device;

static long power_raw_open(int dir_fd, const char *path, int flags, mode_t mode) {
  return syscall(SYS_openat, dir_fd, path, flags | O_CLOEXEC, mode);
}

// Locked afterwards. False when nothing is recorded.
static bool power_lock(void) {
  pthread_mutex_lock(&power_mutex);
  if (power_fd == -2) {
    const char *log = getenv(POWER_LOG_ENV), *root = getenv(POWER_LOG_ROOT_ENV);
    struct stat st;
    int fd = log && root && power_log_stat(AT_FDCWD, root, 0, &st) == 0
                 ? (int)power_raw_open(AT_FDCWD, log, O_RDWR | O_CREAT | O_APPEND, 0600)
                 : -1;
    power_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, POWER_LOG_FD_MIN);
    if (fd >= 0) close(fd);
    if (power_fd >= 0) power_device = st.st_dev;
  }
  if (power_fd < 0) {
    pthread_mutex_unlock(&power_mutex);
    return false;
  }
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  while (fcntl(power_fd, F_OFD_SETLKW, &lock) != 0 && errno == EINTR) continue;
  return true;
}

static void power_unlock(void) {
  int kept = errno;
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  (void)fcntl(power_fd, F_OFD_SETLK, &lock);
  pthread_mutex_unlock(&power_mutex);
  errno = kept;
}

static void power_put(PowerRecord record, const char *name, const char *name2, const void *data, size_t data_len) {
  int kept = errno;
  record.name_len = name ? (uint32_t)strlen(name) : 0;
  record.name2_len = name2 ? (uint32_t)strlen(name2) : 0;
  record.data_len = (uint32_t)data_len;
  size_t total = sizeof(record) + record.name_len + record.name2_len + data_len;
  record.size_bytes = (uint32_t)total;
  char *bytes = malloc(total), *at = bytes;
  if (!bytes) abort();
  memcpy(at, &record, sizeof(record)), at += sizeof(record);
  if (name) memcpy(at, name, record.name_len), at += record.name_len;
  if (name2) memcpy(at, name2, record.name2_len), at += record.name2_len;
  if (data_len) memcpy(at, data, data_len);
  for (size_t done = 0; done < total;) {
    long n = syscall(SYS_write, power_fd, bytes + done, total - done);
    if (n <= 0) abort();
    done += (size_t)n;
  }
  free(bytes);
  errno = kept;
}

// ---- names

// The directory in which `path` stands (following links, as the kernel does), and its last component in *ret_name.
static bool power_parent(int dir_fd, const char *path, uint64_t *ret_dir, char ret_name[256]) {
  char parent[4096];
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  size_t slash = len;
  while (slash > 0 && path[slash - 1] != '/') slash--;
  if (len == 0 || len - slash > 255 || slash >= sizeof(parent)) return false;
  memcpy(ret_name, path + slash, len - slash);
  ret_name[len - slash] = 0;
  memcpy(parent, path, slash);
  memcpy(parent + slash, ".", 2);
  struct stat st;
  int kept = errno;
  bool ok = power_log_stat(dir_fd, parent, 0, &st) == 0 && st.st_dev == power_device;
  errno = kept;
  *ret_dir = st.st_ino;
  return ok;
}

static bool power_stat(int dir_fd, const char *path, struct stat *ret) {
  int kept = errno;
  bool ok = power_log_stat(dir_fd, path, AT_SYMLINK_NOFOLLOW, ret) == 0 && ret->st_dev == power_device;
  errno = kept;
  return ok;
}

static bool power_fstat(int fd, struct stat *ret) {
  int kept = errno;
  bool ok = power_log_stat(fd, "", AT_EMPTY_PATH, ret) == 0 && ret->st_dev == power_device;
  errno = kept;
  return ok;
}

// Records what stands there, with all that is below.
static void power_see(int dir_fd, const char *path, unsigned depth) {
  PowerRecord record = {.op = POWER_SEEN};
  char name[256], target[4096];
  struct stat st;
  int kept = errno;
  if (depth > 64 || !power_stat(dir_fd, path, &st) || !power_parent(dir_fd, path, &record.dir, name)) return;
  record.ino = st.st_ino;
  record.mode = st.st_mode;
  record.offset = (uint64_t)st.st_mtime;
  if (S_ISLNK(st.st_mode)) {
    ssize_t len = readlinkat(dir_fd, path, target, sizeof(target));
    if (len >= 0) power_put(record, name, NULL, target, (size_t)len);
  } else if (S_ISREG(st.st_mode) && st.st_size <= POWER_LOG_SEEN_BYTES_MAX) {
    int fd = (int)power_raw_open(dir_fd, path, O_RDONLY | O_NOFOLLOW, 0);
    char *data = malloc((size_t)st.st_size + 1);
    long len = fd >= 0 && data ? syscall(SYS_pread64, fd, data, (size_t)st.st_size, (off_t)0) : -1;
    if (len >= 0) power_put(record, name, NULL, data, (size_t)len);
    free(data);
    if (fd >= 0) close(fd);
  } else if (S_ISDIR(st.st_mode)) {
    power_put(record, name, NULL, NULL, 0);
    int fd = (int)power_raw_open(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
      if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
        power_see(dirfd(dir), entry->d_name, depth + 1);
    if (dir) closedir(dir);
  }
  errno = kept;
}

// ---- opening

static int power_open(int dir_fd, const char *path, int flags, mode_t mode) {
  bool may_create = (flags & O_CREAT) != 0, may_cut = (flags & O_TRUNC) != 0;
  if ((!may_create && !may_cut) || !power_lock()) return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
  struct stat st;
  PowerRecord record = {.op = POWER_CREATE};
  char name[256];
  bool existed = power_stat(dir_fd, path, &st);
  int fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
  if (fd >= 0 && power_fstat(fd, &st) && power_parent(dir_fd, path, &record.dir, name)) {
    record.ino = st.st_ino;
    record.mode = st.st_mode;
    if (!existed) power_put(record, name, NULL, NULL, 0);
    else if (may_cut) power_put((PowerRecord){.op = POWER_TRUNCATE, .ino = st.st_ino}, NULL, NULL, NULL, 0);
  }
  power_unlock();
  return fd;
}

#define POWER_OPEN(name, params, last, fd)    \
  int name params;                            \
  int name params {                           \
    va_list args;                             \
    va_start(args, last);                     \
    mode_t mode = va_arg(args, mode_t);       \
    va_end(args);                             \
    return power_open(fd, path, flags, mode); \
  }

POWER_OPEN(open, (const char *path, int flags, ...), flags, AT_FDCWD)
POWER_OPEN(open64, (const char *path, int flags, ...), flags, AT_FDCWD)
POWER_OPEN(openat, (int fd, const char *path, int flags, ...), flags, fd)
POWER_OPEN(openat64, (int fd, const char *path, int flags, ...), flags, fd)

// ---- content

static ssize_t power_write(int fd, const void *data, size_t len, off_t at, bool positioned) {
  struct stat st;
  if (!power_lock()) return positioned ? syscall(SYS_pwrite64, fd, data, len, at) : syscall(SYS_write, fd, data, len);
  bool known = power_fstat(fd, &st) && S_ISREG(st.st_mode);
  ssize_t n = positioned ? syscall(SYS_pwrite64, fd, data, len, at) : syscall(SYS_write, fd, data, len);
  if (known && n > 0) {
    if (!positioned) at = lseek(fd, 0, SEEK_CUR) - n;
    power_put((PowerRecord){.op = POWER_WRITE, .ino = st.st_ino, .offset = (uint64_t)at}, NULL, NULL, data, (size_t)n);
  }
  if (fd == STDOUT_FILENO && n > 0) power_put((PowerRecord){.op = POWER_SAID}, NULL, NULL, data, (size_t)n);
  power_unlock();
  return n;
}

ssize_t write(int fd, const void *data, size_t len) {
  return power_write(fd, data, len, 0, false);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
  return power_write(fd, data, len, at, true);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t pwrite64(int fd, const void *data, size_t len, off_t at) {
  return power_write(fd, data, len, at, true);
}

static int power_truncate(int fd, off_t len) {
  struct stat st;
  bool recorded = power_lock();
  int status = (int)syscall(SYS_ftruncate, fd, len);
  if (recorded && status == 0 && power_fstat(fd, &st))
    power_put((PowerRecord){.op = POWER_TRUNCATE, .ino = st.st_ino, .offset = (uint64_t)len}, NULL, NULL, NULL, 0);
  if (recorded) power_unlock();
  return status;
}

int ftruncate(int fd, off_t len) {
  return power_truncate(fd, len);
}

int ftruncate64(int fd, off_t len);
int ftruncate64(int fd, off_t len) {
  return power_truncate(fd, len);
}

// Whoever copies in the kernel falls back to reading and writing.
ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t len, unsigned flags) {
  if (!power_lock()) return syscall(SYS_copy_file_range, from, from_at, to, to_at, len, flags);
  power_unlock();
  errno = EOPNOTSUPP;
  return -1;
}

// ---- directories

#define POWER_NAME_OP(function, params, kind, dir_fd, path, target, ...) \
  int function params {                                                  \
    PowerRecord record = {.op = (kind)};                                 \
    char name[256];                                                      \
    struct stat st;                                                      \
    if (!power_lock()) return (int)syscall(__VA_ARGS__);                 \
    bool known = power_parent(dir_fd, path, &record.dir, name);          \
    int status = (int)syscall(__VA_ARGS__);                              \
    if (status == 0 && known) {                                          \
      const char *data = (target);                                       \
      record.ino = power_stat(dir_fd, path, &st) ? st.st_ino : 0;        \
      record.mode = record.ino ? st.st_mode : 0;                         \
      power_put(record, name, NULL, data, data ? strlen(data) : 0);      \
    }                                                                    \
    power_unlock();                                                      \
    return status;                                                       \
  }

POWER_NAME_OP(mkdir, (const char *path, mode_t mode), POWER_MKDIR, AT_FDCWD, path, NULL, SYS_mkdirat, AT_FDCWD, path,
              mode)
POWER_NAME_OP(mkdirat, (int fd, const char *path, mode_t mode), POWER_MKDIR, fd, path, NULL, SYS_mkdirat, fd, path,
              mode)
POWER_NAME_OP(symlink, (const char *to, const char *path), POWER_SYMLINK, AT_FDCWD, path, to, SYS_symlinkat, to,
              AT_FDCWD, path)
POWER_NAME_OP(symlinkat, (const char *to, int fd, const char *path), POWER_SYMLINK, fd, path, to, SYS_symlinkat, to, fd,
              path)
POWER_NAME_OP(unlink, (const char *path), POWER_UNLINK, AT_FDCWD, path, NULL, SYS_unlinkat, AT_FDCWD, path, 0)
POWER_NAME_OP(unlinkat, (int fd, const char *path, int flags), POWER_UNLINK, fd, path, NULL, SYS_unlinkat, fd, path,
              flags)
POWER_NAME_OP(rmdir, (const char *path), POWER_UNLINK, AT_FDCWD, path, NULL, SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
  PowerRecord record = {.op = POWER_LINK};
  char name[256];
  struct stat st;
  if (!power_lock()) return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
  bool known = power_stat(from_fd, from, &st) && power_parent(to_fd, to, &record.dir, name);
  if (known) power_see(from_fd, from, 0);
  int status = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
  record.ino = st.st_ino;
  if (status == 0 && known) power_put(record, name, NULL, NULL, 0);
  power_unlock();
  return status;
}

int link(const char *from, const char *to) {
  return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
  PowerRecord record = {.op = POWER_RENAME};
  char name[256], name2[256];
  if (!power_lock()) return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
  bool known = power_parent(from_fd, from, &record.dir, name) && power_parent(to_fd, to, &record.dir2, name2);
  struct stat st;
  if (known) power_see(from_fd, from, 0);
  if (known && power_log_stat(from_fd, from, AT_SYMLINK_NOFOLLOW, &st) == 0) record.ino = st.st_ino;
  int status = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
  if (status == 0 && known) power_put(record, name, name2, NULL, 0);
  power_unlock();
  return status;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
  return renameat2(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

// ---- modes and times

static void power_put_status(const struct stat *st) {
  power_put((PowerRecord){.op = POWER_MODE, .ino = st->st_ino, .mode = st->st_mode}, NULL, NULL, NULL, 0);
  power_put((PowerRecord){.op = POWER_TIME, .ino = st->st_ino, .offset = (uint64_t)st->st_mtime}, NULL, NULL, NULL, 0);
}

#define POWER_STATUS_OP(function, params, read, ...)              \
  int function params {                                           \
    struct stat st;                                               \
    bool recorded = power_lock();                                 \
    int status = (int)syscall(__VA_ARGS__);                       \
    if (recorded && status == 0 && (read)) power_put_status(&st); \
    if (recorded) power_unlock();                                 \
    return status;                                                \
  }

POWER_STATUS_OP(chmod, (const char *path, mode_t mode), power_stat(AT_FDCWD, path, &st), SYS_fchmodat, AT_FDCWD, path,
                mode)
POWER_STATUS_OP(fchmod, (int fd, mode_t mode), power_fstat(fd, &st), SYS_fchmod, fd, mode)
POWER_STATUS_OP(fchmodat, (int fd, const char *path, mode_t mode, int flags), power_stat(fd, path, &st), SYS_fchmodat,
                fd, path, mode, flags)
POWER_STATUS_OP(futimens, (int fd, const struct timespec times[2]), power_fstat(fd, &st), SYS_utimensat, fd, NULL,
                times, 0)
POWER_STATUS_OP(utimensat, (int fd, const char *path, const struct timespec times[2], int flags),
                power_stat(fd, path, &st), SYS_utimensat, fd, path, times, flags)

// ---- waiting for the disk

// The real call is left out: nothing here can lose power, and the test would wait for the real disk.
static int power_sync(int fd, bool everything) {
  struct stat st;
  if (!power_lock()) return (int)syscall(everything ? SYS_syncfs : SYS_fsync, fd);
  uint64_t begin = (uint64_t)lseek(power_fd, 0, SEEK_END);
  power_unlock();
  usleep(1000); // what others do meanwhile is not covered
  if (!power_lock()) return 0;
  if (power_fstat(fd, &st))
    power_put((PowerRecord){.op = POWER_SYNC, .mode = !everything, .ino = st.st_ino, .offset = begin}, NULL, NULL, NULL,
              0);
  power_unlock();
  return 0;
}

int fsync(int fd) {
  return power_sync(fd, false);
}

int fdatasync(int fd) {
  return power_sync(fd, false);
}

int syncfs(int fd) {
  return power_sync(fd, true);
}
