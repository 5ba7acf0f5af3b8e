// castore_nar_restore.c: an archive becomes a tree of ordinary files. Small ones are collected in batches, which a crew writes while the archive is read on.
#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_nar.h"
#include "castore/file_crew.h"

#define NAR_RESTORE_SMALL_BYTES ((uint64_t)64 << 10) // larger files are written as they arrive
#define NAR_RESTORE_BATCH_FILES 64u
#define NAR_RESTORE_BATCH_BYTES ((size_t)512 << 10)

// An open directory. It stays open until its last file is there.
typedef struct NarRestoreDir {
  int fd;
  unsigned refs; // atomic
} NarRestoreDir;

typedef struct NarRestoreFile {
  NarRestoreDir *dir; // a reference; NULL: the root itself, by its path
  size_t name_at, data_at, data_len;
  bool executable;
} NarRestoreFile;

typedef struct NarRestoreBatch {
  NarRestoreFile files[NAR_RESTORE_BATCH_FILES];
  size_t count;
  Buf text; // names with their NUL, and contents
} NarRestoreBatch;

typedef struct NarRestore {
  const char *dest;
  NarRestoreDir **dirs; // open ones, from the root; owned references
  size_t dir_count, dir_cap;
  int file_fd;            // of a large file; -1
  NarRestoreFile *small;  // the file at hand, in `batch`; NULL
  NarRestoreBatch *batch; // being filled; owned, NULL when none
  FileCrew crew;
} NarRestore;

static void castore_nar_restore_unref(NarRestoreDir *dir) {
  if (!dir || __atomic_sub_fetch(&dir->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  fs_close_fd(&dir->fd);
  mem_free(dir);
}

static bool castore_nar_restore_create(int at, const char *name, bool executable, int *ret_fd, Err *err) {
  *ret_fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, executable ? 0777 : 0666);
  return *ret_fd >= 0 || err_set_errno(err, errno, "creating the file '%s'", name);
}

// ---- batches

static bool castore_nar_restore_write(const NarRestoreBatch *batch, const NarRestoreFile *file, Err *err) {
  const char *name = batch->text.data + file->name_at;
  CLEANUP(fs_close_fd) int fd = -1;
  if (!castore_nar_restore_create(file->dir ? file->dir->fd : AT_FDCWD, name, file->executable, &fd, err)) return false;
  return fs_write_all(fd, span_make(batch->text.data + file->data_at, file->data_len), err) ||
         err_wrap(err, "writing '%s'", name);
}

// Writes and frees.
static bool castore_nar_restore_batch(void *ctx UNUSED, void *what, Err *err) {
  NarRestoreBatch *batch = what;
  bool ok = true;
  for (size_t i = 0; i < batch->count; i++) {
    ok = ok && castore_nar_restore_write(batch, &batch->files[i], err);
    castore_nar_restore_unref(batch->files[i].dir);
  }
  buf_done(&batch->text);
  mem_free(batch);
  return ok;
}

// ---- events

static bool castore_nar_restore_dir(NarRestore *run, int at, const char *name, Err *err) {
  if (mkdirat(at, name, 0755) != 0) return err_set_errno(err, errno, "creating the directory '%s'", name);
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return err_set_errno(err, errno, "opening the directory '%s'", name);
  MEM_RESERVE(run->dirs, run->dir_cap, run->dir_count + 1);
  NarRestoreDir *dir = mem_alloc_zero(sizeof(*dir));
  *dir = (NarRestoreDir){fd, 1};
  run->dirs[run->dir_count++] = dir;
  return true;
}

static bool castore_nar_restore_file(NarRestore *run, int at, const char *name, const NarReadEvent *event, Err *err) {
  if (event->size_bytes > NAR_RESTORE_SMALL_BYTES)
    return castore_nar_restore_create(at, name, event->executable, &run->file_fd, err);
  if (!run->batch) run->batch = mem_alloc_zero(sizeof(*run->batch));
  NarRestoreBatch *batch = run->batch;
  NarRestoreDir *dir = run->dir_count > 0 ? run->dirs[run->dir_count - 1] : NULL;
  if (dir) __atomic_add_fetch(&dir->refs, 1, __ATOMIC_RELAXED);
  run->small = &batch->files[batch->count++];
  *run->small = (NarRestoreFile){.dir = dir, .name_at = batch->text.len, .executable = event->executable};
  buf_put(&batch->text, name, strlen(name) + 1);
  run->small->data_at = batch->text.len;
  return true;
}

static bool castore_nar_restore_data(NarRestore *run, Span data, Err *err) {
  if (!run->small) return fs_write_all(run->file_fd, data, err);
  buf_put_span(&run->batch->text, data);
  run->small->data_len += data.len;
  return true;
}

static bool castore_nar_restore_file_end(NarRestore *run, Err *err) {
  fs_close_fd(&run->file_fd);
  run->file_fd = -1;
  if (!run->small) return true;
  run->small = NULL;
  return (run->batch->count < NAR_RESTORE_BATCH_FILES && run->batch->text.len < NAR_RESTORE_BATCH_BYTES) ||
         file_crew_give(&run->crew, STEAL(run->batch), err);
}

static bool castore_nar_restore_event(void *ctx, const NarReadEvent *event, Err *err) {
  NarRestore *run = ctx;
  int at = run->dir_count > 0 ? run->dirs[run->dir_count - 1]->fd : AT_FDCWD;
  char name_buf[NAR_READ_NAME_MAX + 1];
  const char *name = run->dest;
  if (run->dir_count > 0 &&
      (event->kind == NAR_READ_DIR_BEGIN || event->kind == NAR_READ_FILE_BEGIN || event->kind == NAR_READ_SYMLINK)) {
    memcpy(name_buf, event->name.data, event->name.len);
    name_buf[event->name.len] = 0;
    name = name_buf;
  }
  switch (event->kind) {
  case NAR_READ_DIR_BEGIN: return castore_nar_restore_dir(run, at, name, err);
  case NAR_READ_DIR_END: castore_nar_restore_unref(run->dirs[--run->dir_count]); return true;
  case NAR_READ_FILE_BEGIN: return castore_nar_restore_file(run, at, name, event, err);
  case NAR_READ_FILE_DATA: return castore_nar_restore_data(run, event->data, err);
  case NAR_READ_FILE_END: return castore_nar_restore_file_end(run, err);
  case NAR_READ_SYMLINK: {
    CLEANUP(mem_free_ptr) char *target = span_dup(event->data);
    return symlinkat(target, at, name) == 0 || err_set_errno(err, errno, "creating the symbolic link '%s'", name);
  }
  }
  return true;
}

// Writes what is left, and waits for the threads.
static bool castore_nar_restore_end(NarRestore *run, bool ok, Err *err) {
  NarRestoreBatch *last = STEAL(run->batch);
  // The file that has not ended is left out.
  if (last && run->small && !ok) {
    last->count--;
    castore_nar_restore_unref(run->small->dir);
  }
  return file_crew_end(&run->crew, last, ok, err);
}

bool castore_nar_restore(const ByteSource *source, const char *dest, Err *err) {
  NarRestore run = {.dest = dest, .file_fd = -1};
  uint64_t size;
  file_crew_init(&run.crew, castore_nar_restore_batch, NULL);
  bool ok = castore_nar_parse(source, false, castore_nar_restore_event, &run, NULL, &size, err);
  ok = castore_nar_restore_end(&run, ok, err) && ok;
  fs_close_fd(&run.file_fd);
  while (run.dir_count > 0) castore_nar_restore_unref(run.dirs[--run.dir_count]);
  mem_free(run.dirs);
  return ok || err_wrap(err, "restoring '%s'", dest);
}
