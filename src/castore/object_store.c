// object_store.c: files and packs of objects.
#include "castore/object_store.h"

#include <dirent.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/object_store_state.h"
#include "castore/object_sweep.h"
#include "castore/object_sync.h"

#define OBJECT_STORE_NAME_MAX OBJECT_STORE_STATE_NAME_MAX

static const struct timespec object_store_times[2] = {{1, 0}, {1, 0}};

static mode_t object_store_mode(bool executable) {
  return executable ? 0555 : 0444;
}

void object_store_state_name(const CastoreDigest *digest, bool executable, bool fresh,
                             char ret[OBJECT_STORE_STATE_NAME_MAX]) {
  static const char hex[] = "0123456789abcdef";
  char *out = ret;
  for (size_t i = 0; i < sizeof(digest->bytes); i++) {
    *out++ = hex[digest->bytes[i] >> 4];
    *out++ = hex[digest->bytes[i] & 15];
    if (i == 0 && !fresh) *out++ = '/';
  }
  memcpy(out, executable ? ".x" : "", executable ? 3 : 1);
}

static int object_store_nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool object_store_state_parse_name(const char *name, CastoreDigest *ret, bool *ret_executable) {
  size_t len = strlen(name);
  *ret_executable = len == 66 && strcmp(name + 64, ".x") == 0;
  if (len != 64 && !*ret_executable) return false;
  for (size_t i = 0; i < sizeof(ret->bytes); i++) {
    int hi = object_store_nibble(name[2 * i]), lo = object_store_nibble(name[2 * i + 1]);
    if (hi < 0 || lo < 0) return false;
    ret->bytes[i] = (uint8_t)(hi << 4 | lo);
  }
  return true;
}

static bool object_store_list_folder(const ObjectStore *store, const char *folder, const char *prefix,
                                     ObjectStoreStateOnFile fn, void *ctx, Err *err) {
  CLEANUP(fs_close_fd) int fd = openat(store->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ObjectStoreStateFile file = {.fresh = !*prefix};
  FsDirReader reader;
  const char *name;
  uint8_t type;
  if (fd < 0 && errno == ENOENT) return true;
  if (fd < 0) return err_set_errno(err, errno, "opening '%s/%s'", store->root, folder);
  fs_dir_init(&reader, fd);
  for (;;) {
    char whole[OBJECT_STORE_NAME_MAX + 256];
    if (!fs_dir_next(&reader, &name, &type, err)) return err_wrap(err, "reading '%s/%s'", store->root, folder);
    if (!name) return true;
    snprintf(whole, sizeof(whole), "%s%s", prefix, name);
    if (!object_store_state_parse_name(whole, &file.digest, &file.executable)) continue;
    file.ino = reader.ino;
    fn(ctx, &file);
  }
}

bool object_store_state_list_files(const ObjectStore *store, ObjectStoreStateOnFile fn, void *ctx, Err *err) {
  for (unsigned i = 0; i < 256; i++) {
    char folder[20];
    snprintf(folder, sizeof(folder), "objects/%02x", i);
    if (!object_store_list_folder(store, folder, folder + strlen("objects/"), fn, ctx, err)) return false;
  }
  return object_store_list_folder(store, "fresh", "", fn, ctx, err);
}

// The folder in which the object has a file, with its name there; -1 when it has none. It may be moved from fresh/ to its final place at any time,
// but never back: so that is the order of looking.
static int object_store_where(const ObjectStore *store, const CastoreDigest *digest, bool executable,
                              char name[OBJECT_STORE_NAME_MAX], struct stat *ret) {
  object_store_state_name(digest, executable, true, name);
  if (store->fresh_fd >= 0 && fstatat(store->fresh_fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0) return store->fresh_fd;
  object_store_state_name(digest, executable, false, name);
  return fstatat(store->objects_fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0 ? store->objects_fd : -1;
}

void object_store_format_path(const ObjectStore *store, const CastoreDigest *digest, bool executable, Buf *ret) {
  char name[OBJECT_STORE_NAME_MAX];
  struct stat st;
  bool fresh = store->fresh_fd >= 0 && object_store_where(store, digest, executable, name, &st) == store->fresh_fd;
  object_store_state_name(digest, executable, fresh, name);
  buf_printf(ret, "%s/%s/%s", store->root, fresh ? "fresh" : "objects", name);
}

const char *object_store_root(const ObjectStore *store) {
  return store->root;
}

// ---- opening, sessions

// Removes what dead sessions left in tmp/: everything whose session has no lock file, or one that nobody holds. Builds of other processes
// live there too, so when in doubt a file stays.
static bool object_store_clean_tmp(ObjectStore *store, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/tmp", store->root);
  size_t dir_len = path.len;
  DIR *dir = opendir(buf_cstr(&path));
  if (!dir) return err_set_errno(err, errno, "opening '%s'", buf_cstr(&path));
  Map dead = MAP_INIT, alive = MAP_INIT;
  Buf names = BUF_INIT;
  for (struct dirent *entry; (entry = readdir(dir));) {
    Span name = span_cstr(entry->d_name);
    if (name.len < OBJECT_STORE_STATE_SESSION_LEN || name.data[0] == '.') continue;
    Span session = span_sub(name, 0, OBJECT_STORE_STATE_SESSION_LEN);
    if (!map_has(&dead, session) && !map_has(&alive, session)) {
      path.len = dir_len;
      buf_printf(&path, "/%.*s.lock", SPAN_ARG(session));
      CLEANUP(fs_close_fd) int fd = open(buf_cstr(&path), O_RDWR | O_CLOEXEC);
      bool held = fd >= 0 ? flock(fd, LOCK_EX | LOCK_NB) != 0 : errno != ENOENT;
      // Removed while the lock is held, so that a session that is just starting notices (its file has no name any more).
      if (!held && fd >= 0) unlink(buf_cstr(&path));
      map_set(held ? &alive : &dead, session, NULL);
    }
    if (map_has(&dead, session)) buf_put(&names, name.data, name.len + 1);
  }
  closedir(dir);
  bool ok = true;
  for (size_t at = 0; ok && at < names.len; at += strlen(names.data + at) + 1) {
    path.len = dir_len;
    buf_printf(&path, "/%s", names.data + at);
    ok = fs_remove_tree(buf_cstr(&path), err);
  }
  buf_done(&names);
  map_done(&dead);
  map_done(&alive);
  return ok;
}

// The mutex is held.
static bool object_store_start_session(ObjectStore *store, Err *err) {
  if (store->session[0]) return true;
  if (store->read_only) return err_set(err, ERR_OTHER, "the store at '%s' is read-only", store->root);
  CLEANUP(buf_done) Buf path = BUF_INIT;
  for (;;) {
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
      return err_set_errno(err, errno, "getting random bytes");
    char session[OBJECT_STORE_STATE_SESSION_LEN + 1];
    snprintf(session, sizeof(session), "%016llx", (unsigned long long)random);
    buf_clear(&path);
    buf_printf(&path, "%s/tmp/%s.lock", store->root, session);
    int fd = -1;
    if (!fs_open(buf_cstr(&path), O_RDWR | O_CREAT | O_EXCL, 0644, &fd, err)) return false;
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) {
      store->session_fd = fd;
      memcpy(store->session, session, sizeof(session));
      return true;
    }
    fs_close_fd(&fd); // another process cleaned up between our open and flock
  }
}

static void object_store_end_session(ObjectStore *store) {
  if (!store->session[0]) return;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/tmp/%s.lock", store->root, store->session);
  unlink(buf_cstr(&path));
  fs_close_fd(&store->session_fd);
}

static bool object_store_make_dirs(const char *root, Err *err) {
  static const char *const names[] = {"objects", "packs", "fresh", "tmp"};
  CLEANUP(buf_done) Buf path = BUF_INIT;
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    buf_clear(&path);
    buf_printf(&path, "%s/%s", root, names[i]);
    if (!fs_mkdir_all(buf_cstr(&path), 0755, err)) return false;
  }
  return true;
}

bool object_store_open(const char *root, const ObjectStoreOptions *options, ObjectStore **ret, Err *err) {
  bool read_only = options && options->read_only;
  if (!read_only && !object_store_make_dirs(root, err)) return err_wrap(err, "creating the object store '%s'", root);
  ObjectStore *store = mem_alloc_zero(sizeof(*store));
  *store = (ObjectStore){.root = span_dup(span_cstr(root)),
                         .root_fd = -1,
                         .objects_fd = -1,
                         .fresh_fd = -1,
                         .session_fd = -1,
                         .read_only = read_only,
                         .no_sync = options && options->no_sync};
  pthread_mutex_init(&store->mutex, NULL);
  CLEANUP(buf_done) Buf path = BUF_INIT;
  bool ok = fs_open(root, O_RDONLY | O_DIRECTORY, 0, &store->root_fd, err);
  buf_printf(&path, "%s/objects", root);
  ok = ok && fs_open(buf_cstr(&path), O_RDONLY | O_DIRECTORY, 0, &store->objects_fd, err);
  buf_clear(&path);
  buf_printf(&path, "%s/fresh", root);
  if (ok && (!read_only || fs_exists(buf_cstr(&path))))
    ok = fs_open(buf_cstr(&path), O_RDONLY | O_DIRECTORY, 0, &store->fresh_fd, err);
  buf_clear(&path);
  buf_printf(&path, "%s/objects.lock", root);
  ok = ok && (read_only || shared_lock_open(&store->hold, buf_cstr(&path), err));
  ok = ok && (read_only || object_store_clean_tmp(store, err));
  if (!ok) {
    object_store_free(store);
    return err_wrap(err, "opening the object store '%s'", root);
  }
  *ret = store;
  return true;
}

static void object_store_drop_pending(ObjectStore *store) {
  for (size_t i = 0; i < store->pending_count; i++) {
    if (!store->pending[i].tmp_path) continue;
    unlink(store->pending[i].tmp_path);
    mem_free(store->pending[i].tmp_path);
  }
  store->pending_count = 0;
  map_done(&store->pending_index);
  store->pending_index = (Map)MAP_INIT;
}

void object_store_free(ObjectStore *store) {
  if (!store) return;
  pack_writer_free(store->open_pack);
  object_store_drop_pending(store);
  mem_free(store->pending);
  for (size_t i = 0; i < store->pack_count; i++) pack_unref(store->packs[i]);
  mem_free(store->packs);
  object_store_end_session(store);
  fs_close_fd(&store->root_fd);
  fs_close_fd(&store->objects_fd);
  fs_close_fd(&store->fresh_fd);
  shared_lock_close(&store->hold);
  pthread_mutex_destroy(&store->mutex);
  mem_free(store->root);
  mem_free(store);
}

// ---- packs

bool object_store_state_is_fresh(const Pack *pack) {
  return span_has_suffix(span_cstr(pack_path(pack)), SPAN(".fresh"));
}

// One listing of packs/. *ret_again: it is not that of the time before, or a pack vanished between listing and opening. A listing that
// is read while another process merges may miss the packs that are gone as well as the one that replaces them, so only two equal ones
// in a row count.
static bool object_store_list_packs(ObjectStore *store, bool *ret_again, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/packs", store->root);
  size_t dir_len = path.len;
  DIR *dir = opendir(buf_cstr(&path));
  if (!dir) return errno == ENOENT ? true : err_set_errno(err, errno, "opening '%s'", buf_cstr(&path));
  Pack **packs = NULL;
  size_t count = 0, cap = 0, known_count = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    Span name = span_cstr(entry->d_name);
    if (!span_has_suffix(name, SPAN(".pack")) && !span_has_suffix(name, SPAN(".fresh"))) continue;
    path.len = dir_len;
    buf_printf(&path, "/%s", entry->d_name);
    Pack *pack = NULL;
    for (size_t i = 0; i < store->pack_count && !pack; i++)
      if (strcmp(pack_path(store->packs[i]), buf_cstr(&path)) == 0) pack = pack_ref(store->packs[i]);
    if (pack) known_count++;
    Err open_err = ERR_INIT;
    if (!pack && !pack_open(buf_cstr(&path), &pack, &open_err)) {
      if (open_err.kind == ERR_NOT_FOUND) *ret_again = true;
      else log_warn("%s; its objects cannot be used", err_message(&open_err));
      err_done(&open_err);
      continue;
    }
    MEM_RESERVE(packs, cap, count + 1);
    packs[count++] = pack;
  }
  closedir(dir);
  if (known_count != count || count != store->pack_count) *ret_again = true;
  for (size_t i = 0; i < store->pack_count; i++) pack_unref(store->packs[i]);
  mem_free(store->packs);
  store->packs = packs;
  store->pack_count = count;
  return true;
}

bool object_store_state_reload(ObjectStore *store, Err *err) {
  for (unsigned attempt = 0; attempt < 16; attempt++) {
    bool again = false;
    if (!object_store_list_packs(store, &again, err)) return false;
    if (!again) break;
  }
  store->packs_listed = true;
  return true;
}

// The mutex is held. A reference for the caller.
static bool object_store_find_packed(ObjectStore *store, const CastoreDigest *digest, PackKind kind, Pack **ret_pack,
                                     Span *ret_data, Err *err) {
  *ret_pack = NULL;
  if (!store->packs_listed && !object_store_state_reload(store, err)) return false;
  for (size_t i = 0; i < store->pack_count; i++)
    if (pack_find(store->packs[i], digest->bytes, kind, ret_data)) {
      *ret_pack = pack_ref(store->packs[i]);
      // Neighbours in use are neighbours in time: the pack that answered is asked first next time.
      if (i > 0) {
        Pack *swap = store->packs[0];
        store->packs[0] = store->packs[i];
        store->packs[i] = swap;
      }
      return true;
    }
  return true;
}

// ---- pending files

static Span object_store_pending_key(const CastoreDigest *digest, bool executable, char key[33]) {
  memcpy(key, digest->bytes, 32);
  key[32] = executable;
  return span_make(key, 33);
}

static ObjectStoreStatePending *object_store_find_pending(ObjectStore *store, const CastoreDigest *digest,
                                                          bool executable) {
  if (store->pending_count == 0) return NULL;
  char key[33];
  uintptr_t number = (uintptr_t)map_get(&store->pending_index, object_store_pending_key(digest, executable, key));
  return number ? &store->pending[number - 1] : NULL;
}

// Takes `tmp_path`. The mutex is held.
static void object_store_add_pending(ObjectStore *store, const CastoreDigest *digest, bool executable, char *tmp_path) {
  char key[33];
  MEM_RESERVE(store->pending, store->pending_cap, store->pending_count + 1);
  store->pending[store->pending_count++] = (ObjectStoreStatePending){*digest, executable, tmp_path};
  map_set(&store->pending_index, object_store_pending_key(digest, executable, key),
          (void *)(uintptr_t)store->pending_count);
}

static bool object_store_next_tmp(ObjectStore *store, Span suffix, Buf *ret, Err *err) {
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_start_session(store, err);
  unsigned number = store->next_tmp++;
  pthread_mutex_unlock(&store->mutex);
  if (ok) buf_printf(ret, "%s/tmp/%s-%u%.*s", store->root, store->session, number, SPAN_ARG(suffix));
  return ok;
}

bool object_store_scratch(ObjectStore *store, Span suffix, Buf *ret, Err *err) {
  return object_store_next_tmp(store, suffix, ret, err);
}

// ---- finding

// *ret_fd -1 when there is no file.
static bool object_store_open_file(ObjectStore *store, const CastoreDigest *digest, int *ret_fd, Err *err) {
  char name[OBJECT_STORE_NAME_MAX];
  for (int executable = 0; executable < 2; executable++)
    // Objects, fresh ones, and objects again: it may be moved from the second place to the first while we look.
    for (unsigned attempt = 0; attempt < 3; attempt++) {
      bool fresh = attempt == 1;
      int dir_fd = fresh ? store->fresh_fd : store->objects_fd;
      if (dir_fd < 0) break;
      object_store_state_name(digest, executable, fresh, name);
      *ret_fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
      if (*ret_fd >= 0) return true;
      if (errno != ENOENT)
        return err_set_errno(err, errno, "opening '%s/%s/%s'", store->root, fresh ? "fresh" : "objects", name);
    }
  return true;
}

// The mutex is held.
static bool object_store_find_locked(ObjectStore *store, const CastoreDigest *digest, PackKind kind, ObjectRef *ret,
                                     Err *err) {
  uint64_t size;
  if (store->open_pack && pack_writer_size(store->open_pack, digest->bytes, kind, &size)) {
    Buf content = BUF_INIT;
    bool found;
    if (!pack_writer_read(store->open_pack, digest->bytes, kind, &content, &found, err)) {
      buf_done(&content);
      return false;
    }
    size_t len = content.len;
    ret->copy = buf_take(&content);
    ret->data = span_make(ret->copy, len);
    ret->in_memory = ret->found = true;
    ret->size_bytes = len;
    return true;
  }
  if (!object_store_find_packed(store, digest, kind, &ret->pack, &ret->data, err)) return false;
  if (ret->pack) {
    ret->in_memory = ret->found = true;
    ret->size_bytes = ret->data.len;
    return true;
  }
  if (kind != PACK_BLOB) return true;
  for (int executable = 0; executable < 2 && ret->fd < 0; executable++) {
    const ObjectStoreStatePending *pending = object_store_find_pending(store, digest, executable);
    if (pending && !fs_open(pending->tmp_path, O_RDONLY, 0, &ret->fd, err)) return false;
  }
  if (ret->fd < 0 && !object_store_open_file(store, digest, &ret->fd, err)) return false;
  if (ret->fd < 0) return true;
  struct stat st;
  if (fstat(ret->fd, &st) != 0) return err_set_errno(err, errno, "reading an object of '%s'", store->root);
  ret->found = true;
  ret->size_bytes = (uint64_t)st.st_size;
  return true;
}

bool object_store_find(ObjectStore *store, const CastoreDigest *digest, PackKind kind, ObjectRef *ret, Err *err) {
  *ret = (ObjectRef){.fd = -1};
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_find_locked(store, digest, kind, ret, err);
  if (ok && !ret->found) // perhaps another process has just published it
    ok = object_store_state_reload(store, err) && object_store_find_locked(store, digest, kind, ret, err);
  pthread_mutex_unlock(&store->mutex);
  if (!ok) object_store_release(ret);
  return ok;
}

void object_store_release(ObjectRef *ref) {
  pack_unref(ref->pack);
  fs_close_fd(&ref->fd);
  mem_free(ref->copy);
  *ref = (ObjectRef){.fd = -1};
}

bool object_store_stat(ObjectStore *store, const CastoreDigest *digest, PackKind kind, bool *ret_found,
                       uint64_t *ret_size_bytes, Err *err) {
  *ret_found = false;
  uint64_t size = 0;
  Span data;
  Pack *pack = NULL;
  pthread_mutex_lock(&store->mutex);
  bool ok = true;
  if (store->open_pack && pack_writer_size(store->open_pack, digest->bytes, kind, &size)) {
    *ret_found = true;
  } else if ((ok = object_store_find_packed(store, digest, kind, &pack, &data, err)) && pack) {
    *ret_found = true;
    size = data.len;
  } else if (ok && kind == PACK_BLOB) {
    char name[OBJECT_STORE_NAME_MAX];
    struct stat st;
    for (int executable = 0; executable < 2 && !*ret_found; executable++) {
      const ObjectStoreStatePending *pending = object_store_find_pending(store, digest, executable);
      *ret_found =
          pending ? stat(pending->tmp_path, &st) == 0 : object_store_where(store, digest, executable, name, &st) >= 0;
      if (*ret_found) size = (uint64_t)st.st_size;
    }
  }
  pthread_mutex_unlock(&store->mutex);
  pack_unref(pack);
  if (ret_size_bytes) *ret_size_bytes = size;
  return ok;
}

// ---- writing

bool object_store_begin(ObjectStore *store, Err *err) {
  if (store->read_only) return err_set(err, ERR_OTHER, "the store at '%s' is read-only", store->root);
  if (!shared_lock_take(&store->hold, err)) return false;
  // A pack that we have mapped may have been swept since: what it holds is not there any more and has to be written again.
  struct stat st;
  if (fstat(store->hold.fd, &st) != 0) {
    err_set_errno(err, errno, "looking at '%s'", store->hold.path);
    shared_lock_release(&store->hold);
    return false;
  }
  pthread_mutex_lock(&store->mutex);
  if (store->sweep_stamp.tv_sec != st.st_mtim.tv_sec || store->sweep_stamp.tv_nsec != st.st_mtim.tv_nsec)
    store->packs_listed = false;
  store->sweep_stamp = st.st_mtim;
  pthread_mutex_unlock(&store->mutex);
  return true;
}

void object_store_end(ObjectStore *store) {
  shared_lock_release(&store->hold);
}

// The mutex is held.
static bool object_store_open_pack(ObjectStore *store, Err *err) {
  if (store->open_pack) return true;
  if (!object_store_start_session(store, err)) return false;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/tmp/%s-%u.pack", store->root, store->session, store->next_tmp++);
  return pack_writer_open(buf_cstr(&path), &store->open_pack, err);
}

static bool object_store_put_file(ObjectStore *store, const CastoreDigest *digest, Span data, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  char *path = NULL;
  if (!object_store_create(store, &fd, &path, err)) return false;
  if (fs_write_all(fd, data, err)) {
    int kept_fd = fd;
    fd = -1;
    return object_store_keep(store, digest, false, path, kept_fd, err);
  }
  err_wrap(err, "writing '%s'", path);
  unlink(path);
  mem_free(path);
  return false;
}

static bool object_store_put_packed(ObjectStore *store, const CastoreDigest *digest, PackKind kind, Span data,
                                    Err *err) {
  uint64_t size;
  Span found;
  Pack *pack = NULL;
  pthread_mutex_lock(&store->mutex);
  bool ok = true;
  if (!store->open_pack || !pack_writer_size(store->open_pack, digest->bytes, kind, &size)) {
    ok = object_store_find_packed(store, digest, kind, &pack, &found, err);
    if (ok && !pack)
      ok = object_store_open_pack(store, err) && pack_writer_put(store->open_pack, digest->bytes, kind, data, err);
  }
  pthread_mutex_unlock(&store->mutex);
  pack_unref(pack);
  return ok;
}

bool object_store_put(ObjectStore *store, const CastoreDigest *digest, PackKind kind, Span data, Err *err) {
  bool found;
  // That a small blob has a file, and is in no pack, is rare: four questions to the file system would cost more than a second copy.
  if (kind != PACK_BLOB || data.len < OBJECT_STORE_PACKED_BYTES)
    return object_store_put_packed(store, digest, kind, data, err);
  return object_store_stat(store, digest, kind, &found, NULL, err) &&
         (found || object_store_put_file(store, digest, data, err));
}

bool object_store_create(ObjectStore *store, int *ret_fd, char **ret_path, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  if (!object_store_next_tmp(store, SPAN(""), &path, err)) return false;
  if (!fs_open(buf_cstr(&path), O_RDWR | O_CREAT | O_EXCL, 0600, ret_fd, err)) return false;
  *ret_path = buf_take(&path);
  return true;
}

bool object_store_keep(ObjectStore *store, const CastoreDigest *digest, bool executable, char *tmp_path, int fd,
                       Err *err) {
  CLEANUP(fs_close_fd) UNUSED int owned_fd = fd;
  bool ok = fchmod(fd, object_store_mode(executable)) == 0 && futimens(fd, object_store_times) == 0;
  if (!ok) err_set_errno(err, errno, "setting mode and time of '%s'", tmp_path);
  char name[OBJECT_STORE_NAME_MAX];
  struct stat st;
  pthread_mutex_lock(&store->mutex);
  if (ok && !object_store_find_pending(store, digest, executable) &&
      object_store_where(store, digest, executable, name, &st) < 0)
    object_store_add_pending(store, digest, executable, STEAL(tmp_path));
  pthread_mutex_unlock(&store->mutex);
  if (tmp_path) unlink(tmp_path);
  mem_free(tmp_path);
  return ok;
}

// ---- trees

// Replaces dir_fd/name by a link to the object `from_fd`/`from`. *ret_linked false where no link can be made (limit, other file system).
static bool object_store_relink(ObjectStore *store, int from_fd, const char *from, int dir_fd, const char *name,
                                bool *ret_linked, Err *err) {
  CLEANUP(buf_done) Buf tmp = BUF_INIT;
  *ret_linked = false;
  if (!object_store_next_tmp(store, SPAN(""), &tmp, err)) return false;
  if (linkat(from_fd, from, AT_FDCWD, buf_cstr(&tmp), 0) != 0) {
    // ENOENT: a fresh object has just been given its final name.
    if (errno == ENOENT || errno == EMLINK || errno == EXDEV || errno == EPERM) return true;
    return err_set_errno(err, errno, "linking '%s' to '%s'", from, buf_cstr(&tmp));
  }
  if (renameat(AT_FDCWD, buf_cstr(&tmp), dir_fd, name) != 0) {
    int rename_errno = errno;
    unlink(buf_cstr(&tmp));
    return rename_errno == EXDEV ? true
                                 : err_set_errno(err, rename_errno, "replacing '%s' by a link to its object", name);
  }
  unlink(buf_cstr(&tmp)); // rename does nothing when both are the same file already
  *ret_linked = true;
  return true;
}

bool object_store_adopt(ObjectStore *store, const CastoreDigest *digest, bool executable, int dir_fd, const char *name,
                        uint64_t size_bytes, Err *err) {
  char object[OBJECT_STORE_NAME_MAX];
  pthread_mutex_lock(&store->mutex);
  const ObjectStoreStatePending *pending = object_store_find_pending(store, digest, executable);
  CLEANUP(mem_free_ptr) char *pending_path = pending ? span_dup(span_cstr(pending->tmp_path)) : NULL;
  pthread_mutex_unlock(&store->mutex);
  bool linked = false;
  if (pending_path) return object_store_relink(store, AT_FDCWD, pending_path, dir_fd, name, &linked, err);
  struct stat st;
  for (unsigned attempt = 0; attempt < 2; attempt++) {
    int object_fd = object_store_where(store, digest, executable, object, &st);
    if (object_fd < 0 || (uint64_t)st.st_size != size_bytes) break;
    if (!object_store_relink(store, object_fd, object, dir_fd, name, &linked, err)) return false;
    if (linked || object_fd == store->objects_fd) return true;
  }
  CLEANUP(buf_done) Buf tmp = BUF_INIT;
  if (!object_store_next_tmp(store, SPAN(""), &tmp, err)) return false;
  if (linkat(dir_fd, name, AT_FDCWD, buf_cstr(&tmp), 0) != 0)
    return err_set_errno(err, errno, "linking '%s' to '%s'", name, buf_cstr(&tmp));
  pthread_mutex_lock(&store->mutex);
  object_store_add_pending(store, digest, executable, buf_take(&tmp));
  pthread_mutex_unlock(&store->mutex);
  return true;
}

static bool object_store_copy_fd(int from_fd, int to_fd, uint64_t size_bytes, Err *err) {
  if (ioctl(to_fd, FICLONE, from_fd) == 0) return true;
  off_t from_offset = 0;
  for (uint64_t left = size_bytes; left > 0;) {
    ssize_t n = copy_file_range(from_fd, &from_offset, to_fd, NULL,
                                left < ((size_t)1 << 30) ? (size_t)left : (size_t)1 << 30, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
      char chunk[65536];
      n = pread(from_fd, chunk, sizeof(chunk), from_offset);
      if (n > 0 && !fs_write_all(to_fd, span_make(chunk, (size_t)n), err)) return false;
      from_offset += n > 0 ? n : 0;
    }
    if (n < 0) return err_set_errno(err, errno, "copying an object");
    if (n == 0)
      return err_set(err, ERR_CORRUPT, "an object is %llu bytes shorter than recorded", (unsigned long long)left);
    left -= (uint64_t)n < left ? (uint64_t)n : left;
  }
  return true;
}

// Created with its final mode: whether an uncommon umask takes something from that is looked at once.
static bool object_store_set_mode(ObjectStore *store, int fd, mode_t mode) {
  unsigned known = __atomic_load_n(&store->created_mode, __ATOMIC_RELAXED);
  struct stat st;
  if (known == 0) {
    if (fstat(fd, &st) != 0) return false;
    known = (st.st_mode & 07777) == mode ? 1 : 2;
    __atomic_store_n(&store->created_mode, known, __ATOMIC_RELAXED);
  }
  return known == 1 || fchmod(fd, mode) == 0;
}

// A new file with the content of the object, whatever form that has.
static bool object_store_write_copy(ObjectStore *store, const ObjectRef *ref, bool executable, int dir_fd,
                                    const char *name, Err *err) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  CLEANUP(fs_close_fd) int fd = openat(dir_fd, name, flags, object_store_mode(executable));
  if (fd < 0) return err_set_errno(err, errno, "creating '%s'", name);
  bool ok = ref->in_memory ? fs_write_all(fd, ref->data, err) : object_store_copy_fd(ref->fd, fd, ref->size_bytes, err);
  if (!ok) return err_wrap(err, "writing '%s'", name);
  if (!object_store_set_mode(store, fd, object_store_mode(executable)) || futimens(fd, object_store_times) != 0)
    return err_set_errno(err, errno, "setting mode and time of '%s'", name);
  return true;
}

// A complete file in a tree becomes the object, under the name that others find it by: nothing is left to publish. Was another thread or process faster, the
// file is replaced by a link to theirs.
static bool object_store_share(ObjectStore *store, const CastoreDigest *digest, bool executable, int dir_fd,
                               const char *name, Err *err) {
  char object[OBJECT_STORE_NAME_MAX];
  int to_fd = store->no_sync ? store->objects_fd : store->fresh_fd;
  object_store_state_name(digest, executable, !store->no_sync, object);
  int status = linkat(dir_fd, name, to_fd, object, 0);
  if (status != 0 && errno == ENOENT && store->no_sync) {
    char fan[3] = {object[0], object[1], 0};
    if (mkdirat(to_fd, fan, 0755) == 0 || errno == EEXIST) status = linkat(dir_fd, name, to_fd, object, 0);
  }
  bool linked;
  if (status == 0) return true;
  if (errno == EEXIST) return object_store_relink(store, to_fd, object, dir_fd, name, &linked, err);
  return err_set_errno(err, errno, "linking '%s' to '%s'", name, object);
}

// *ret_absent: there is no file of that object to link.
static bool object_store_link(ObjectStore *store, const CastoreDigest *digest, bool executable, int dir_fd,
                              const char *name, bool *ret_linked, bool *ret_absent, Err *err) {
  char object[OBJECT_STORE_NAME_MAX];
  *ret_linked = *ret_absent = false;
  for (unsigned attempt = 0; attempt < 3; attempt++) { // as in object_store_open_file
    bool fresh = attempt == 1;
    if (fresh && store->fresh_fd < 0) continue;
    object_store_state_name(digest, executable, fresh, object);
    *ret_linked = linkat(fresh ? store->fresh_fd : store->objects_fd, object, dir_fd, name, 0) == 0;
    if (*ret_linked || errno == EMLINK || errno == EXDEV || errno == EPERM) return true;
    if (errno != ENOENT) return err_set_errno(err, errno, "linking '%s'", name);
    if (attempt > 0) continue;
    pthread_mutex_lock(&store->mutex);
    const ObjectStoreStatePending *pending = object_store_find_pending(store, digest, executable);
    *ret_linked = pending && linkat(AT_FDCWD, pending->tmp_path, dir_fd, name, 0) == 0;
    pthread_mutex_unlock(&store->mutex);
    if (*ret_linked) return true;
  }
  *ret_absent = true;
  return true;
}

bool object_store_place(ObjectStore *store, const CastoreDigest *digest, bool executable, uint64_t size_bytes,
                        int dir_fd, const char *name, Err *err) {
  bool is_linked, is_absent;
  if (!object_store_link(store, digest, executable, dir_fd, name, &is_linked, &is_absent, err)) return false;
  if (is_linked) return true;
  ObjectRef ref;
  if (!object_store_find(store, digest, PACK_BLOB, &ref, err)) return false;
  char object[OBJECT_STORE_NAME_MAX];
  object_store_state_name(digest, executable, false, object);
  bool ok = ref.found ? ref.size_bytes == size_bytes ||
                            err_set(err, ERR_CORRUPT, "object %s has %llu bytes instead of %llu", object,
                                    (unsigned long long)ref.size_bytes, (unsigned long long)size_bytes)
                      : err_set(err, ERR_NOT_FOUND, "object %s is missing from '%s'", object, store->root);
  ok = ok && object_store_write_copy(store, &ref, executable, dir_fd, name, err);
  object_store_release(&ref);
  if (!ok || !is_absent || store->read_only) return ok;
  return object_store_share(store, digest, executable, dir_fd, name, err);
}

// ---- publishing

int object_store_state_rename_final(ObjectStore *store, int from_fd, const char *from, const char *name) {
  int status = renameat2(from_fd, from, store->objects_fd, name, RENAME_NOREPLACE);
  if (status == 0 || errno != ENOENT) return status;
  char fan[3] = {name[0], name[1], 0};
  if (mkdirat(store->objects_fd, fan, 0755) != 0 && errno != EEXIST) return -1;
  return renameat2(from_fd, from, store->objects_fd, name, RENAME_NOREPLACE);
}

static bool object_store_publish_pending(ObjectStore *store, Err *err) {
  for (size_t i = 0; i < store->pending_count; i++) {
    ObjectStoreStatePending *pending = &store->pending[i];
    char name[OBJECT_STORE_NAME_MAX];
    object_store_state_name(&pending->digest, pending->executable, !store->no_sync, name);
    int status = store->no_sync ? object_store_state_rename_final(store, AT_FDCWD, pending->tmp_path, name)
                                : renameat2(AT_FDCWD, pending->tmp_path, store->fresh_fd, name, RENAME_NOREPLACE);
    if (status != 0 && errno == EEXIST) { // another process was faster, with the same content
      unlink(pending->tmp_path);
    } else if (status != 0) {
      return err_set_errno(err, errno, "renaming '%s' to '%s/%s/%s'", pending->tmp_path, store->root,
                           store->no_sync ? "objects" : "fresh", name);
    }
    mem_free(STEAL(pending->tmp_path));
  }
  return true;
}

// The mutex is held.
static bool object_store_publish_pack(ObjectStore *store, Err *err) {
  PackWriter *writer = STEAL(store->open_pack);
  CLEANUP(buf_done) Buf path = BUF_INIT;
  uint64_t random;
  bool ok =
      getrandom(&random, sizeof(random), 0) == sizeof(random) || err_set_errno(err, errno, "getting random bytes");
  buf_printf(&path, "%s/packs/%016llx.%s", store->root, (unsigned long long)random, store->no_sync ? "pack" : "fresh");
  ok = ok && pack_writer_finish(writer, buf_cstr(&path), false, err);
  pack_writer_free(writer);
  if (!ok) return false;
  if (!store->packs_listed) return true;
  Pack *pack = NULL;
  Err open_err = ERR_INIT;
  if (!pack_open(buf_cstr(&path), &pack, &open_err)) {
    if (open_err.kind != ERR_NOT_FOUND) return err_move(err, &open_err);
    err_done(&open_err); // another process has merged or synced it already
    return object_store_state_reload(store, err);
  }
  store->packs = mem_realloc_array(store->packs, store->pack_count + 1, sizeof(*store->packs));
  store->packs[store->pack_count++] = pack;
  return true;
}

bool object_store_publish(ObjectStore *store, Err *err) {
  pthread_mutex_lock(&store->mutex);
  bool had_pack = store->open_pack != NULL;
  bool ok = (!had_pack || object_store_publish_pack(store, err)) && object_store_publish_pending(store, err);
  if (ok) object_store_drop_pending(store);
  bool many = store->pack_count >= OBJECT_SWEEP_FAN_IN;
  pthread_mutex_unlock(&store->mutex);
  if (!ok) return err_wrap(err, "writing objects to '%s'", store->root);
  return !had_pack || !many || object_sweep_compact(store, err);
}

bool object_store_flush(ObjectStore *store, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  return object_store_publish(store, err) &&
         (store->no_sync || (object_sync_lock(store, &lock, err) && object_sync_run(store, err)));
}

bool object_store_stats(ObjectStore *store, ObjectStoreStats *ret, Err *err) {
  *ret = (ObjectStoreStats){0};
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_state_reload(store, err);
  for (size_t i = 0; i < store->pack_count; i++) {
    ret->pack_count++;
    ret->packed_count += pack_count(store->packs[i]);
    ret->packed_bytes += pack_size_bytes(store->packs[i]);
  }
  pthread_mutex_unlock(&store->mutex);
  for (unsigned fan = 0; ok && fan < 257; fan++) {
    char name[20];
    snprintf(name, sizeof(name), fan < 256 ? "objects/%02x" : "fresh", fan);
    int fd = openat(store->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) continue;
    for (struct dirent *entry; (entry = readdir(dir));) {
      struct stat st;
      if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
      ret->file_count++;
      ret->file_bytes += (uint64_t)st.st_blocks * 512;
    }
    closedir(dir);
  }
  return ok;
}
