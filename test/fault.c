// fault.c: see fault.h. Each replacement counts, fails when its number has come, and else makes the system call itself. The
// names with 64 are what the C library's headers turn the plain ones into for large files.
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

// Other threads may make calls as well; which of them meets the fault does not matter.
static _Atomic bool armed;
static _Atomic size_t calls_left;
static int fault_errno;
static const char *failed_name;

static bool fails(const char *name) {
  if (!atomic_load(&armed) || atomic_fetch_sub(&calls_left, 1) != 0) return false;
  atomic_store(&armed, false);
  failed_name = name;
  errno = fault_errno;
  return true;
}

size_t fault_each(int sys_errno, bool (*attempt)(void *ctx), void *ctx) {
  fault_errno = sys_errno;
  for (size_t n = 0;; n++) {
    failed_name = NULL;
    atomic_store(&calls_left, n);
    atomic_store(&armed, true);
    bool ok = attempt(ctx);
    atomic_store(&armed, false);
    if (failed_name) continue;
    if (!ok) test_fail(__FILE__, __LINE__, "failed without a fault, after %zu calls", n);
    return n;
  }
}

void fault_pause(void) {
  atomic_store(&armed, false);
}

const char *fault_name(void) {
  return failed_name;
}

// A call that takes and returns plain words.
#define REPLACE(type, name, params, ...) \
  type name params;                      \
  type name params {                     \
    if (fails(#name)) return -1;         \
    return (type)syscall(__VA_ARGS__);   \
  }

REPLACE(ssize_t, read, (int fd, void *data, size_t len), SYS_read, fd, data, len)
REPLACE(ssize_t, write, (int fd, const void *data, size_t len), SYS_write, fd, data, len)
REPLACE(ssize_t, pread64, (int fd, void *data, size_t len, off_t at), SYS_pread64, fd, data, len, at)
REPLACE(ssize_t, pwrite64, (int fd, const void *data, size_t len, off_t at), SYS_pwrite64, fd, data, len, at)
REPLACE(int, fsync, (int fd), SYS_fsync, fd)
REPLACE(int, fdatasync, (int fd), SYS_fdatasync, fd)
REPLACE(int, ftruncate64, (int fd, off_t len), SYS_ftruncate, fd, len)
REPLACE(int, fallocate64, (int fd, int mode, off_t at, off_t len), SYS_fallocate, fd, mode, at, len)
REPLACE(int, rename, (const char *from, const char *to), SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0)
REPLACE(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), SYS_renameat2, from_fd, from, to_fd,
        to, 0)
REPLACE(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags), SYS_renameat2,
        from_fd, from, to_fd, to, flags)
REPLACE(int, link, (const char *from, const char *to), SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0)
REPLACE(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags), SYS_linkat, from_fd, from,
        to_fd, to, flags)
REPLACE(int, unlink, (const char *path), SYS_unlinkat, AT_FDCWD, path, 0)
REPLACE(int, unlinkat, (int fd, const char *path, int flags), SYS_unlinkat, fd, path, flags)
REPLACE(int, rmdir, (const char *path), SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR)
REPLACE(int, mkdir, (const char *path, mode_t mode), SYS_mkdirat, AT_FDCWD, path, mode)
REPLACE(int, mkdirat, (int fd, const char *path, mode_t mode), SYS_mkdirat, fd, path, mode)
REPLACE(int, symlink, (const char *target, const char *path), SYS_symlinkat, target, AT_FDCWD, path)
REPLACE(int, symlinkat, (const char *target, int fd, const char *path), SYS_symlinkat, target, fd, path)
REPLACE(ssize_t, readlink, (const char *path, char *data, size_t len), SYS_readlinkat, AT_FDCWD, path, data, len)
REPLACE(ssize_t, readlinkat, (int fd, const char *path, char *data, size_t len), SYS_readlinkat, fd, path, data, len)
REPLACE(int, chmod, (const char *path, mode_t mode), SYS_fchmodat, AT_FDCWD, path, mode)
REPLACE(int, fchmod, (int fd, mode_t mode), SYS_fchmod, fd, mode)
REPLACE(int, fchown, (int fd, uid_t uid, gid_t gid), SYS_fchown, fd, uid, gid)
REPLACE(int, utimensat, (int fd, const char *path, const struct timespec times[2], int flags), SYS_utimensat, fd, path,
        times, flags)
REPLACE(int, futimens, (int fd, const struct timespec times[2]), SYS_utimensat, fd, NULL, times, 0)
REPLACE(int, pipe2, (int fds[2], int flags), SYS_pipe2, fds, flags)
REPLACE(int, flock, (int fd, int operation), SYS_flock, fd, operation)

// open and openat take a mode only with some flags; reading it when there is none is harmless on the supported machines.
#define REPLACE_OPEN(name, params, last, fd)                \
  int name params;                                          \
  int name params {                                         \
    va_list args;                                           \
    va_start(args, last);                                   \
    mode_t mode = va_arg(args, mode_t);                     \
    va_end(args);                                           \
    if (fails(#name)) return -1;                            \
    return (int)syscall(SYS_openat, fd, path, flags, mode); \
  }

#undef open
REPLACE_OPEN(open, (const char *path, int flags, ...), flags, AT_FDCWD)
REPLACE_OPEN(open64, (const char *path, int flags, ...), flags, AT_FDCWD)
REPLACE_OPEN(openat, (int fd, const char *path, int flags, ...), flags, fd)
REPLACE_OPEN(openat64, (int fd, const char *path, int flags, ...), flags, fd)
