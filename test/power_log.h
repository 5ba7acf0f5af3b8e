// power_log.h: a record of everything that a program asks the disk to do below one folder, in order, from which power_disk.h makes the disks that a
// power failure could have left.
//
// power_log.c is linked into a program (`firn_recorded`) and replaces the C library's functions by their own names, as fault.c does. The environment
// says where: FIRN_POWER_LOG the file that is appended to (by any number of processes), FIRN_POWER_ROOT the folder. What processes without the
// recorder have made (builders) is read when the recorded program links or moves it.
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

typedef enum PowerOp {
  POWER_CREATE,  // directory `dir` has a new empty file `name`, inode `ino`
  POWER_MKDIR,   // the same for a directory
  POWER_SYMLINK, // the same for a link to `data`
  POWER_SEEN, // `name` in `dir` is inode `ino` with that mode and content (of a file or link); for those who do not know it
  POWER_WRITE,    // `data` to `ino` at `offset`
  POWER_TRUNCATE, // `ino` to `offset` bytes
  POWER_MODE,     // of `ino`
  POWER_TIME,     // modification time `offset` in seconds
  POWER_LINK,     // `name` in `dir` is `ino` too
  POWER_RENAME,   // `name` in `dir`, inode `ino`, is called `name2` in `dir2`
  POWER_UNLINK,   // of files and empty directories
  POWER_SYNC, // waiting for `ino` (`mode` 1) or for everything (0) has ended; it began when the log was `offset` bytes long
  POWER_SAID // standard output got `data`
} PowerOp;

// Followed by name, name2 and data.
typedef struct PowerRecord {
  uint32_t op, mode;
  uint64_t ino, dir, dir2, offset;
  uint32_t name_len, name2_len, data_len, size_bytes; // size_bytes: of the whole record
} PowerRecord;

#define POWER_LOG_ENV "FIRN_POWER_LOG"
#define POWER_LOG_ROOT_ENV "FIRN_POWER_ROOT"

// As fstatat, but the inode number, which the kernel gives again to later files, is mixed with the moment of birth.
static inline int power_log_stat(int dir_fd, const char *path, int flags, struct stat *ret) {
  struct statx st;
  memset(ret, 0, sizeof(*ret));
  if (syscall(SYS_statx, dir_fd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &st) != 0) return -1;
  uint64_t birth = (uint64_t)st.stx_btime.tv_sec * 1000000000u + st.stx_btime.tv_nsec;
  ret->st_ino = st.stx_ino ^ birth * UINT64_C(0x9e3779b97f4a7c15);
  ret->st_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
  ret->st_mode = st.stx_mode;
  ret->st_size = (off_t)st.stx_size;
  ret->st_mtime = st.stx_mtime.tv_sec;
  return 0;
}
