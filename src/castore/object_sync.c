// object_sync.c: waiting for the disk.
#include "castore/object_sync.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "castore/object_store_state.h"

// Waits overlap: the disk flushes its cache once for those that wait at the same time.
#define OBJECT_SYNC_THREADS 8u
#define OBJECT_SYNC_BASE "synced" // a file that says that there was a syncfs

bool object_sync_lock(ObjectStore *store, int *ret_fd, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/sync.lock", store->root);
  return shared_lock_exclude(buf_cstr(&path), -1, ret_fd, err);
}

static bool object_sync_is_fresh_pack(const FsEntry *entry) {
  return span_has_suffix(span_cstr(entry->name), SPAN(".fresh"));
}

bool object_sync_begin(ObjectStore *store, ObjectSync *ret, Err *err) {
  CLEANUP(buf_done) Buf files = BUF_INIT;
  CLEANUP(buf_done) Buf packs = BUF_INIT;
  *ret = (ObjectSync){.files = FS_LIST_INIT, .packs = FS_LIST_INIT};
  if (!object_store_begin(store, err)) return false;
  ret->store = store;
  buf_printf(&files, "%s/fresh", store->root);
  buf_printf(&packs, "%s/packs", store->root);
  if (!fs_list_dir(buf_cstr(&files), &ret->files, err) || !fs_list_dir(buf_cstr(&packs), &ret->packs, err))
    return false;
  ret->count = ret->files.count;
  for (size_t i = 0; i < ret->packs.count; i++) ret->count += object_sync_is_fresh_pack(&ret->packs.entries[i]);
  return true;
}

void object_sync_done(ObjectSync *sync) {
  if (!sync->store) return;
  fs_list_done(&sync->files);
  fs_list_done(&sync->packs);
  object_store_end(sync->store);
  sync->store = NULL;
}

// ---- all

bool object_sync_has_base(const ObjectSync *sync) {
  return faccessat(sync->store->root_fd, OBJECT_SYNC_BASE, F_OK, 0) == 0;
}

bool object_sync_all(const ObjectSync *sync, Err *err) {
  const ObjectStore *store = sync->store;
  if (store->no_sync) return true;
  if (syncfs(store->root_fd) != 0) return err_set_errno(err, errno, "syncing the file system of '%s'", store->root);
  if (object_sync_has_base(sync)) return true;
  // Should it get lost, there is one syncfs more.
  CLEANUP(fs_close_fd) int fd = openat(store->root_fd, OBJECT_SYNC_BASE, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
  return fd >= 0 || err_set_errno(err, errno, "creating '%s/%s'", store->root, OBJECT_SYNC_BASE);
}

// ---- one by one

static void object_sync_put_path(const ObjectStore *store, const char *folder, const char *name, Buf *ret) {
  buf_printf(ret, "%s/%s%s", store->root, folder, name);
  buf_put_char(ret, 0);
}

void object_sync_list(const ObjectSync *sync, Buf *ret_files, Buf *ret_folders) {
  const ObjectStore *store = sync->store;
  for (size_t i = 0; i < sync->files.count; i++)
    object_sync_put_path(store, "fresh/", sync->files.entries[i].name, ret_files);
  for (size_t i = 0; i < sync->packs.count; i++)
    if (object_sync_is_fresh_pack(&sync->packs.entries[i]))
      object_sync_put_path(store, "packs/", sync->packs.entries[i].name, ret_files);
  // Folders that former objects have moved to are there before the names that moved are gone.
  object_sync_put_path(store, "objects", "", ret_files);
  object_sync_put_path(store, "packs", "", ret_folders);
  object_sync_put_path(store, "fresh", "", ret_folders);
}

typedef struct ObjectSyncPaths {
  pthread_mutex_t mutex;
  Span left;
  bool ok;
  Err *err; // the first one
} ObjectSyncPaths;

static bool object_sync_path(const char *path, Err *err) {
  CLEANUP(fs_close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ELOOP || err_set_errno(err, errno, "opening '%s'", path);
  return fsync(fd) == 0 || err_set_errno(err, errno, "syncing '%s'", path);
}

static void *object_sync_main(void *arg) {
  ObjectSyncPaths *paths = arg;
  pthread_mutex_lock(&paths->mutex);
  while (paths->ok && paths->left.len > 0) {
    const char *path = paths->left.data;
    Err err = ERR_INIT;
    paths->left = span_from(paths->left, strlen(path) + 1);
    pthread_mutex_unlock(&paths->mutex);
    bool ok = object_sync_path(path, &err);
    pthread_mutex_lock(&paths->mutex);
    if (!ok && paths->ok) {
      paths->ok = false;
      (void)err_move(paths->err, &err);
    }
    err_done(&err);
  }
  pthread_mutex_unlock(&paths->mutex);
  return NULL;
}

// The disk begins with all of them before anybody waits for one.
static void object_sync_start_writing(Span paths) {
  while (paths.len > 0) {
    const char *path = paths.data;
    CLEANUP(fs_close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    paths = span_from(paths, strlen(path) + 1);
  }
}

bool object_sync_paths(Span paths, Err *err) {
  pthread_t threads[OBJECT_SYNC_THREADS];
  size_t thread_count = 0;
  ObjectSyncPaths work = {.left = paths, .ok = true, .err = err};
  object_sync_start_writing(paths);
  pthread_mutex_init(&work.mutex, NULL);
  while (thread_count < OBJECT_SYNC_THREADS && paths.len > 4096 &&
         pthread_create(&threads[thread_count], NULL, object_sync_main, &work) == 0)
    thread_count++;
  (void)object_sync_main(&work);
  for (size_t i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
  pthread_mutex_destroy(&work.mutex);
  return work.ok;
}

// ---- final names

static bool object_sync_finish_file(ObjectStore *store, const char *fresh_name, Err *err) {
  CastoreDigest digest;
  bool executable;
  char name[OBJECT_STORE_STATE_NAME_MAX];
  if (!object_store_state_parse_name(fresh_name, &digest, &executable)) return true;
  object_store_state_name(&digest, executable, false, name);
  if (object_store_state_rename_final(store, store->fresh_fd, fresh_name, name) == 0 || errno == ENOENT) return true;
  if (errno != EEXIST) return err_set_errno(err, errno, "moving '%s/fresh/%s' to its place", store->root, fresh_name);
  return unlinkat(store->fresh_fd, fresh_name, 0) == 0 || errno == ENOENT ||
         err_set_errno(err, errno, "removing '%s/fresh/%s'", store->root, fresh_name);
}

static bool object_sync_finish_pack(const ObjectStore *store, Span name, Err *err) {
  CLEANUP(buf_done) Buf from = BUF_INIT;
  CLEANUP(buf_done) Buf to = BUF_INIT;
  buf_printf(&from, "%s/packs/%.*s", store->root, SPAN_ARG(name));
  buf_printf(&to, "%s/packs/%.*s.pack", store->root, (int)name.len - 6, name.data);
  return rename(buf_cstr(&from), buf_cstr(&to)) == 0 || errno == ENOENT ||
         err_set_errno(err, errno, "renaming '%s'", buf_cstr(&from));
}

bool object_sync_finish(ObjectSync *sync, Err *err) {
  for (size_t i = 0; i < sync->files.count; i++)
    if (!object_sync_finish_file(sync->store, sync->files.entries[i].name, err)) return false;
  for (size_t i = 0; i < sync->packs.count; i++)
    if (object_sync_is_fresh_pack(&sync->packs.entries[i]) &&
        !object_sync_finish_pack(sync->store, span_cstr(sync->packs.entries[i].name), err))
      return false;
  return true;
}

bool object_sync_run(ObjectStore *store, Err *err) {
  ObjectSync sync;
  if (store->no_sync) return true;
  bool ok = object_sync_begin(store, &sync, err) && object_sync_all(&sync, err) && object_sync_finish(&sync, err);
  object_sync_done(&sync);
  return ok;
}
