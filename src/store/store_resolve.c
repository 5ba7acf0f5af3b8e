// store_resolve.c: reading inside store paths.
#include "store/store_resolve.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/store_state.h"

void store_resolve_done(StoreResolved *resolved) {
  buf_done(&resolved->text);
  *resolved = (StoreResolved)STORE_RESOLVED_INIT;
}

// ---- in the castore

// The cache is locked. Borrowed until it is unlocked.
static bool store_resolve_directory(Store *store, const CastoreDigest *digest, const CastoreDirectory **ret, Err *err) {
  Span key = span_make(digest->bytes, sizeof(digest->bytes));
  StoreStateDirectory *cached = map_get(&store->directories, key);
  if (!cached) {
    bool found;
    cached = mem_alloc_zero(sizeof(*cached));
    bool ok =
        directory_service_get(store->castore.directories, digest, &cached->arena, &cached->directory, &found, err);
    if (ok && !found) ok = err_set(err, ERR_CORRUPT, "a directory is missing from the store at '%s'", store->root);
    if (!ok) {
      arena_done(&cached->arena);
      mem_free(cached);
      return false;
    }
    store->directories_bytes += cached->arena.total_bytes + sizeof(*cached);
    map_set(&store->directories, key, cached);
  }
  *ret = &cached->directory;
  return true;
}

// The cache is locked.
static bool store_resolve_node(Store *store, const CastoreNode *root, Span rest, StoreResolved *ret, Err *err) {
  const CastoreNode *node = root;
  ret->found = true;
  while (rest.len > 0 && node->kind == CASTORE_DIRECTORY) {
    const CastoreDirectory *directory;
    Span name;
    if (!store_resolve_directory(store, &node->digest, &directory, err)) return false;
    Span tail = span_from(rest, 1); // behind the '/'
    (void)span_split(&tail, '/', &name);
    rest = span_from(rest, 1 + name.len);
    node = castore_node_find(directory, name);
    if (!node) {
      ret->found = false;
      return true;
    }
  }
  ret->rest = rest;
  ret->kind = node->kind;
  ret->executable = node->executable;
  ret->size_bytes = node->kind == CASTORE_FILE ? node->size : 0;
  ret->digest = node->digest;
  ret->has_digest = node->kind != CASTORE_SYMLINK;
  if (node->kind != CASTORE_SYMLINK) return true;
  buf_put_span(&ret->text, node->target);
  ret->target = buf_span(&ret->text);
  return true;
}

// ---- on disk

static bool store_resolve_stat(StoreResolved *ret, const struct stat *st, Err *err) {
  ret->kind = S_ISDIR(st->st_mode) ? CASTORE_DIRECTORY : S_ISLNK(st->st_mode) ? CASTORE_SYMLINK : CASTORE_FILE;
  ret->executable = ret->kind == CASTORE_FILE && (st->st_mode & 0100) != 0;
  ret->size_bytes = ret->kind == CASTORE_FILE ? (uint64_t)st->st_size : 0;
  if (ret->kind != CASTORE_SYMLINK) return true;
  CLEANUP(buf_done) Buf target = BUF_INIT;
  if (!fs_read_link(ret->text.data, &target, err)) return false;
  size_t at = ret->text.len + 1;
  buf_put_char(&ret->text, 0);
  buf_put_span(&ret->text, buf_span(&target));
  ret->target = span_from(buf_span(&ret->text), at);
  return true;
}

static bool store_resolve_disk(Store *store, const StorePath *path, Span rest, StoreResolved *ret, Err *err) {
  store_format_physical(store, path, &ret->text);
  ret->on_disk = true;
  struct stat st;
  ret->rest = rest;
  for (;;) {
    if (lstat(buf_cstr(&ret->text), &st) != 0) {
      if (errno != ENOENT) return err_set_errno(err, errno, "reading '%s'", buf_cstr(&ret->text));
      ret->found = false;
      return true;
    }
    ret->found = true;
    if (ret->rest.len == 0 || !S_ISDIR(st.st_mode)) return store_resolve_stat(ret, &st, err);
    Span tail = span_from(ret->rest, 1), name;
    (void)span_split(&tail, '/', &name);
    buf_put_char(&ret->text, '/');
    buf_put_span(&ret->text, name);
    ret->rest = span_from(ret->rest, 1 + name.len);
  }
}

bool store_resolve(Store *store, const StorePath *path, Span rest, StoreResolved *ret, Err *err) {
  Span key = span_make(path->digest, sizeof(path->digest));
  *ret = (StoreResolved)STORE_RESOLVED_INIT;
  pthread_mutex_lock(&store->cache_mutex);
  // Between questions, because within one the nodes are borrowed.
  if (store->directories_bytes > STORE_STATE_CACHE_BYTES) store_state_drop_cache(store);
  PathInfoRecord *cached = map_get(&store->roots, key);
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  bool ok = true;
  if (!cached || !store_path_eq(&cached->info.path, path)) {
    ok = store_get(store, path, &record, err);
    cached = record;
    // Only what is pinned is known to stay valid.
    if (ok && record->has_root && temp_roots_has(store->temp_roots, path) && !map_has(&store->roots, key))
      map_set(&store->roots, key, STEAL(record));
  }
  bool has_root = ok && cached->has_root;
  if (has_root) ok = store_resolve_node(store, &cached->info.root, rest, ret, err);
  pthread_mutex_unlock(&store->cache_mutex);
  return ok && (has_root || store_resolve_disk(store, path, rest, ret, err));
}

static bool store_resolve_check_file(const StoreResolved *file, Err *err) {
  return (file->found && file->kind == CASTORE_FILE && file->rest.len == 0) ||
         err_set(err, ERR_OTHER, "not a regular file");
}

static bool store_resolve_missing(const Store *store, const StoreResolved *file, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  castore_node_format_digest(&file->digest, &text);
  return err_set(err, ERR_CORRUPT, "blob %s is missing from the store at '%s'", buf_cstr(&text), store->root);
}

bool store_resolve_read(Store *store, const StoreResolved *file, size_t limit_bytes, Buf *ret, Err *err) {
  if (!store_resolve_check_file(file, err)) return false;
  if (file->on_disk) return fs_read_file(file->text.data, limit_bytes, ret, err);
  bool found;
  if (!blob_service_get(store->castore.blobs, &file->digest, limit_bytes, ret, &found, err)) return false;
  return found || store_resolve_missing(store, file, err);
}

static bool store_resolve_take_blob(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  return blob_service_read(ctx, data, cap, ret_len, err);
}

bool store_resolve_stream(Store *store, const StoreResolved *file, const ByteSink *sink, Err *err) {
  if (!store_resolve_check_file(file, err)) return false;
  if (file->on_disk) {
    CLEANUP(fs_close_fd) int fd = -1;
    if (!fs_open(file->text.data, O_RDONLY | O_NOFOLLOW, 0, &fd, err)) return false;
    ByteSource source = byte_stream_from_fd(&fd);
    return byte_stream_copy(&source, sink, err);
  }
  BlobReader *reader;
  if (!blob_service_open(store->castore.blobs, &file->digest, &reader, err)) return false;
  if (!reader) return store_resolve_missing(store, file, err);
  bool ok = byte_stream_copy(&(ByteSource){store_resolve_take_blob, reader}, sink, err);
  blob_service_close(reader);
  return ok;
}

static int store_resolve_entry_cmp(const void *a, const void *b) {
  return span_cmp(((const StoreDirEntry *)a)->name, ((const StoreDirEntry *)b)->name);
}

static bool store_resolve_list_disk(const char *path, Arena *arena, StoreDirEntry **ret, size_t *ret_count, Err *err) {
  DIR *dir = opendir(path);
  if (!dir) return err_set_errno(err, errno, "opening '%s'", path);
  StoreDirEntry *entries = NULL;
  size_t count = 0, cap = 0;
  bool ok = true;
  for (struct dirent *entry; ok && (entry = readdir(dir));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    struct stat st;
    if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
      ok = err_set_errno(err, errno, "reading '%s/%s'", path, entry->d_name);
    MEM_RESERVE(entries, cap, count + 1);
    entries[count++] =
        (StoreDirEntry){arena_dup(arena, span_cstr(entry->d_name)), S_ISDIR(st.st_mode)   ? CASTORE_DIRECTORY
                                                                    : S_ISLNK(st.st_mode) ? CASTORE_SYMLINK
                                                                                          : CASTORE_FILE};
  }
  closedir(dir);
  if (count > 1) qsort(entries, count, sizeof(*entries), store_resolve_entry_cmp);
  *ret = ARENA_ARRAY(arena, StoreDirEntry, count);
  if (count > 0) memcpy(*ret, entries, count * sizeof(*entries));
  *ret_count = count;
  mem_free(entries);
  return ok;
}

bool store_resolve_list(Store *store, const StoreResolved *directory, Arena *arena, StoreDirEntry **ret,
                        size_t *ret_count, Err *err) {
  if (!directory->found || directory->kind != CASTORE_DIRECTORY) return err_set(err, ERR_OTHER, "not a directory");
  if (directory->on_disk) return store_resolve_list_disk(directory->text.data, arena, ret, ret_count, err);
  const CastoreDirectory *nodes;
  pthread_mutex_lock(&store->cache_mutex);
  bool ok = store_resolve_directory(store, &directory->digest, &nodes, err);
  if (ok) {
    *ret = ARENA_ARRAY(arena, StoreDirEntry, nodes->count);
    *ret_count = nodes->count;
    for (size_t i = 0; i < nodes->count; i++)
      (*ret)[i] = (StoreDirEntry){arena_dup(arena, nodes->entries[i].name), nodes->entries[i].kind};
  }
  pthread_mutex_unlock(&store->cache_mutex);
  return ok;
}
