// fs.h: file descriptors and files: whole reads and writes, atomic replacement, recursive removal, path text.
// All functions retry EINTR and name the path in their error.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

// CLEANUP(fs_close_fd): closes when >= 0.
void fs_close_fd(int *fd);
MUST_CHECK bool fs_open(const char *path, int flags, mode_t mode, int *ret_fd, Err *err); // adds O_CLOEXEC
// Appends the whole file. `limit_bytes` 0: none; larger files give ERR_LIMIT.
MUST_CHECK bool fs_read_file(const char *path, size_t limit_bytes, Buf *ret, Err *err);
MUST_CHECK bool fs_read_fd(int fd, size_t limit_bytes, Buf *ret, Err *err);
// Reads until `len` bytes or end of file; *ret_len tells.
MUST_CHECK bool fs_read_full(int fd, void *data, size_t len, size_t *ret_len, Err *err);
MUST_CHECK bool fs_write_all(int fd, Span data, Err *err);
// Temporary file beside it, fsync when `sync`, rename.
MUST_CHECK bool fs_write_file_atomic(const char *path, Span data, mode_t mode, bool sync, Err *err);
MUST_CHECK bool fs_mkdir_all(const char *path, mode_t mode, Err *err); // existing is fine
// Removes a file or tree without following symbolic links, making read-only directories writable; absent is fine.
MUST_CHECK bool fs_remove_tree(const char *path, Err *err);
MUST_CHECK bool fs_read_link(const char *path, Buf *ret, Err *err);
typedef struct FsEntry {
  char *name;   // owned by the list
  uint8_t type; // DT_REG, DT_DIR, DT_LNK, ... of dirent.h; DT_UNKNOWN where the file system does not tell
} FsEntry;
typedef struct FsList {
  FsEntry *entries; // sorted bytewise by name, without "." and ".."
  size_t count, cap;
} FsList;
#define FS_LIST_INIT \
  { NULL, 0, 0 }
void fs_list_done(FsList *list);
// *ret is FS_LIST_INIT before, and on failure after.
MUST_CHECK bool fs_list_dir(const char *path, FsList *ret, Err *err);
// `fd` stays open and is read from its start; `path` is for messages.
MUST_CHECK bool fs_list_dir_fd(int fd, const char *path, FsList *ret, Err *err);
// Reads a directory as it comes, with two or three system calls for a small one: opendir takes four more. `fd` stays the caller's.
typedef struct FsDirReader {
  int fd;
  size_t at, len;
  uint64_t ino; // of the last entry, as the listing has it: some file systems say something else in stat
  char data[16384] __attribute__((aligned(8)));
} FsDirReader;
void fs_dir_init(FsDirReader *reader, int fd);
// *ret_name (without "." and "..") lives until the next call, and is NULL at the end; *ret_type is as in FsEntry.
MUST_CHECK bool fs_dir_next(FsDirReader *reader, const char **ret_name, uint8_t *ret_type, Err *err);
MUST_CHECK bool fs_fsync_dir(const char *path, Err *err);
// A file in TMPDIR or /tmp that has lost its name already (it began with `prefix`): it is gone when it is closed.
MUST_CHECK bool fs_make_nameless(const char *prefix, int *ret_fd, Err *err);
MUST_CHECK bool fs_make_temp_dir(const char *parent, const char *prefix, Buf *ret_path, Err *err);
bool fs_exists(const char *path); // lstat succeeds

// Path text. No disk access.
// Absolute, no '.', '..', '//' or trailing '/'; '..' above the root stays at the root. `base` must be absolute and is used when
// `path` is relative. Appends to *ret.
void fs_path_canon(Span base, Span path, Buf *ret);
Span fs_path_base(Span path); // after the last '/'
Span fs_path_dir(Span path);  // before the last '/'; "/" for "/x", "." without '/'
// Appends `a/b` with exactly one '/' between.
void fs_path_join(Buf *ret, Span a, Span b);
