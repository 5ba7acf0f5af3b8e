// object_check.c: every object of a store is looked at, in pieces, on a few threads. Three system calls for a small file.
#include "castore/object_check.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/byte_stream.h"
#include "castore/object_store_state.h"
#include "castore/object_sweep.h"
#include "castore/work_pool.h"

#define OBJECT_CHECK_GROUP 64u // objects per piece of work

static const struct timespec object_check_times[2] = {{1, 0}, {1, 0}};

typedef enum ObjectCheckState {
  OBJECT_CHECK_GOOD,
  OBJECT_CHECK_GONE, // collected meanwhile
  OBJECT_CHECK_MODE,
  OBJECT_CHECK_TIME,
  OBJECT_CHECK_TYPE, // this and the following: must not be used
  OBJECT_CHECK_READ,
  OBJECT_CHECK_CONTENT
} ObjectCheckState;

// An object file, or one object of a pack.
typedef struct ObjectCheckItem {
  CastoreDigest digest;
  const Pack *pack;    // NULL: a file
  const char *data;    // of a packed one; borrowed from the pack
  uint64_t ino;        // of a file
  uint64_t size_bytes; // of a file: known when it was looked at
  bool executable, fresh;
  PackKind kind;
  ObjectCheckState state;
  unsigned detail; // the mode, or errno
  // What status the caller has seen it with, as a file of a tree: then no thread asks for it.
  bool is_seen;
  ObjectCheckState seen_state;
  unsigned seen_detail;
} ObjectCheckItem;

struct ObjectCheck {
  ObjectStore *store;
  bool contents;
  Pack **packs; // owned references
  size_t pack_count;
  ObjectCheckItem *items;
  size_t count, cap;
  uint32_t *by_digest, *by_inode; // item number + 1; linear probing
  size_t slot_mask;
  uint64_t dev; // of the object files
  WorkPool *pool;
};

// ---- listing

static ObjectCheckItem *object_check_add(ObjectCheck *check) {
  MEM_RESERVE(check->items, check->cap, check->count + 1);
  ObjectCheckItem *item = &check->items[check->count++];
  *item = (ObjectCheckItem){.kind = PACK_BLOB};
  return item;
}

static void object_check_on_file(void *ctx, const ObjectStoreStateFile *file) {
  ObjectCheckItem *item = object_check_add(ctx);
  item->digest = file->digest;
  item->executable = file->executable;
  item->fresh = file->fresh;
  item->ino = file->ino;
}

static bool object_check_list_files(ObjectCheck *check, Err *err) {
  struct stat st;
  if (fstat(check->store->objects_fd, &st) != 0) return err_set_errno(err, errno, "reading '%s'", check->store->root);
  check->dev = st.st_dev;
  return object_store_state_list_files(check->store, object_check_on_file, check, err);
}

static void object_check_add_packed(ObjectCheck *check, const Pack *pack, const void *digest, PackKind kind,
                                    Span data) {
  ObjectCheckItem *item = object_check_add(check);
  memcpy(item->digest.bytes, digest, sizeof(item->digest.bytes));
  item->pack = pack;
  item->kind = kind;
  item->data = data.data;
  item->size_bytes = data.len;
}

static bool object_check_hold_packs(ObjectCheck *check, Err *err) {
  ObjectStore *store = check->store;
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_state_reload(store, err);
  check->pack_count = ok ? store->pack_count : 0;
  check->packs = mem_alloc_array(check->pack_count + 1, sizeof(*check->packs));
  for (size_t i = 0; i < check->pack_count; i++) check->packs[i] = pack_ref(store->packs[i]);
  pthread_mutex_unlock(&store->mutex);
  return ok;
}

static bool object_check_list_packs(ObjectCheck *check, Err *err) {
  if (!object_check_hold_packs(check, err)) return false;
  for (size_t i = 0; i < check->pack_count; i++)
    for (size_t k = 0; k < pack_count(check->packs[i]); k++) {
      const unsigned char *digest;
      PackKind kind;
      Span data;
      pack_get(check->packs[i], k, &digest, &kind, &data);
      object_check_add_packed(check, check->packs[i], digest, kind, data);
    }
  return true;
}

// ---- finding

static size_t object_check_digest_slot(const ObjectCheck *check, const CastoreDigest *digest) {
  uint64_t head;
  memcpy(&head, digest->bytes, sizeof(head));
  return (size_t)head & check->slot_mask;
}

static size_t object_check_inode_slot(const ObjectCheck *check, uint64_t ino) {
  return (size_t)((ino * UINT64_C(0x9E3779B97F4A7C15)) >> 24) & check->slot_mask;
}

static void object_check_index(ObjectCheck *check) {
  size_t slots = 64;
  while (slots < check->count * 2) slots *= 2;
  check->slot_mask = slots - 1;
  check->by_digest = mem_alloc_zero(slots * sizeof(*check->by_digest));
  check->by_inode = mem_alloc_zero(slots * sizeof(*check->by_inode));
  for (size_t i = 0; i < check->count; i++) {
    const ObjectCheckItem *item = &check->items[i];
    size_t slot = object_check_digest_slot(check, &item->digest);
    while (check->by_digest[slot] != 0) slot = (slot + 1) & check->slot_mask;
    check->by_digest[slot] = (uint32_t)i + 1;
    if (item->pack) continue;
    slot = object_check_inode_slot(check, item->ino);
    while (check->by_inode[slot] != 0) slot = (slot + 1) & check->slot_mask;
    check->by_inode[slot] = (uint32_t)i + 1;
  }
}

bool object_check_find(const ObjectCheck *check, const CastoreDigest *digest, PackKind kind, uint64_t *ret_size_bytes) {
  size_t slot = object_check_digest_slot(check, digest);
  for (; check->by_digest[slot] != 0; slot = (slot + 1) & check->slot_mask) {
    const ObjectCheckItem *item = &check->items[check->by_digest[slot] - 1];
    if (item->kind != kind || item->state == OBJECT_CHECK_GONE || !castore_node_digest_eq(&item->digest, digest))
      continue;
    *ret_size_bytes = item->size_bytes;
    return true;
  }
  return false;
}

static ObjectCheckState object_check_status(const struct stat *st, bool executable, unsigned *ret_detail) {
  *ret_detail = st->st_mode & 07777;
  if (!S_ISREG(st->st_mode)) return OBJECT_CHECK_TYPE;
  if (*ret_detail != (executable ? 0555 : 0444)) return OBJECT_CHECK_MODE;
  return st->st_mtim.tv_sec != 1 ? OBJECT_CHECK_TIME : OBJECT_CHECK_GOOD;
}

const CastoreDigest *object_check_inode(ObjectCheck *check, const struct stat *st, bool executable) {
  if (st->st_dev != check->dev) return NULL;
  size_t slot = object_check_inode_slot(check, st->st_ino);
  for (; check->by_inode[slot] != 0; slot = (slot + 1) & check->slot_mask) {
    ObjectCheckItem *item = &check->items[check->by_inode[slot] - 1];
    if (item->ino != st->st_ino || item->executable != executable) continue;
    if (!item->is_seen) item->seen_state = object_check_status(st, executable, &item->seen_detail);
    item->is_seen = true;
    if (!check->contents) item->size_bytes = (uint64_t)st->st_size; // else who reads it says so
    return &item->digest;
  }
  return NULL;
}

bool object_check_peek(const ObjectCheck *check, const CastoreDigest *digest, PackKind kind, Span *ret_data) {
  size_t slot = object_check_digest_slot(check, digest);
  for (; check->by_digest[slot] != 0; slot = (slot + 1) & check->slot_mask) {
    const ObjectCheckItem *item = &check->items[check->by_digest[slot] - 1];
    if (!item->pack || item->kind != kind || !castore_node_digest_eq(&item->digest, digest)) continue;
    *ret_data = span_make(item->data, item->size_bytes);
    return true;
  }
  return false;
}

// ---- looking

static void object_check_find_bad(ObjectCheckItem *item, ObjectCheckState state, int detail) {
  item->state = state;
  item->detail = (unsigned)detail;
}

// A file that is small is read by one call, which comes back short.
static void object_check_file_content(int fd, ObjectCheckItem *item, char *chunk) {
  HashCtx ctx;
  Hash hash;
  ssize_t n;
  hash_init(&ctx, HASH_BLAKE3);
  do {
    do n = read(fd, chunk, BYTE_STREAM_CHUNK_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0) return object_check_find_bad(item, OBJECT_CHECK_READ, errno);
    hash_update(&ctx, chunk, (size_t)n);
    item->size_bytes += (uint64_t)n;
  } while (n == BYTE_STREAM_CHUNK_BYTES);
  hash_final(&ctx, &hash);
  if (memcmp(hash.bytes, item->digest.bytes, 32) != 0) object_check_find_bad(item, OBJECT_CHECK_CONTENT, 0);
}

// Status of the file; what is fresh may have been moved to its final place meanwhile, where it is safe. False when it is gone.
static bool object_check_stat(const ObjectStore *store, ObjectCheckItem *item, struct stat *ret) {
  char name[OBJECT_STORE_STATE_NAME_MAX];
  object_store_state_name(&item->digest, item->executable, item->fresh, name);
  if (fstatat(item->fresh ? store->fresh_fd : store->objects_fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (!item->fresh) return false;
  item->fresh = false;
  object_store_state_name(&item->digest, item->executable, false, name);
  return fstatat(store->objects_fd, name, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

static int object_check_open(const ObjectStore *store, ObjectCheckItem *item) {
  const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  char name[OBJECT_STORE_STATE_NAME_MAX];
  object_store_state_name(&item->digest, item->executable, item->fresh, name);
  int fd = openat(item->fresh ? store->fresh_fd : store->objects_fd, name, flags);
  if (fd >= 0 || errno != ENOENT || !item->fresh) return fd;
  item->fresh = false;
  object_store_state_name(&item->digest, item->executable, false, name);
  return openat(store->objects_fd, name, flags);
}

// The content, without which nothing needs to be opened; its status is asked for at the end, where nobody has seen it.
static void object_check_file(const ObjectCheck *check, ObjectCheckItem *item, char *chunk) {
  if (!check->contents) return;
  CLEANUP(fs_close_fd) int fd = object_check_open(check->store, item);
  if (fd >= 0) object_check_file_content(fd, item, chunk);
  else object_check_find_bad(item, errno == ENOENT ? OBJECT_CHECK_GONE : OBJECT_CHECK_TYPE, 0);
}

static void object_check_file_status(const ObjectCheck *check, ObjectCheckItem *item) {
  struct stat st;
  if (item->state == OBJECT_CHECK_GONE) return;
  if (!item->is_seen) {
    if (!object_check_stat(check->store, item, &st)) return object_check_find_bad(item, OBJECT_CHECK_GONE, 0);
    item->seen_state = object_check_status(&st, item->executable, &item->seen_detail);
    if (!check->contents) item->size_bytes = (uint64_t)st.st_size;
  }
  // A type is more than a content, a content more than a mode.
  if (item->state != OBJECT_CHECK_GOOD && item->seen_state != OBJECT_CHECK_TYPE) return;
  item->state = item->seen_state;
  item->detail = item->seen_detail;
}

static void object_check_packed(ObjectCheckItem *item) {
  uint8_t got[32];
  hash_blake3(span_make(item->data, item->size_bytes), got);
  if (memcmp(got, item->digest.bytes, 32) != 0) object_check_find_bad(item, OBJECT_CHECK_CONTENT, 0);
}

static void object_check_work(void *ctx, size_t group) {
  ObjectCheck *check = ctx;
  CLEANUP(mem_free_ptr) char *chunk = check->contents ? mem_alloc(BYTE_STREAM_CHUNK_BYTES) : NULL;
  for (size_t i = group * OBJECT_CHECK_GROUP; i < (group + 1) * OBJECT_CHECK_GROUP && i < check->count; i++) {
    ObjectCheckItem *item = &check->items[i];
    if (!item->pack) object_check_file(check, item, chunk);
    else if (check->contents) object_check_packed(item);
  }
}

// ---- telling

static void object_check_describe(const ObjectCheckItem *item, Buf *ret) {
  switch (item->state) {
  case OBJECT_CHECK_GOOD:
  case OBJECT_CHECK_GONE: break;
  case OBJECT_CHECK_MODE:
    buf_printf(ret, "its mode is %04o instead of %04o", item->detail, item->executable ? 0555 : 0444);
    break;
  case OBJECT_CHECK_TIME: buf_put_cstr(ret, "its modification time is not 1"); break;
  case OBJECT_CHECK_TYPE: buf_put_cstr(ret, "it is not a readable regular file"); break;
  case OBJECT_CHECK_READ: buf_printf(ret, "it cannot be read: %s", strerrordesc_np((int)item->detail)); break;
  case OBJECT_CHECK_CONTENT: buf_put_cstr(ret, "its content has another digest"); break;
  }
}

static bool object_check_report(const ObjectCheck *check, const ObjectCheckItem *item, ObjectCheckReport report,
                                void *ctx, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf what = BUF_INIT;
  if (item->pack) buf_put_cstr(&path, pack_path(item->pack));
  else object_store_format_path(check->store, &item->digest, item->executable, &path);
  object_check_describe(item, &what);
  ObjectCheckProblem problem = {.digest = item->digest,
                                .kind = item->kind,
                                .executable = item->executable,
                                .in_pack = item->pack != NULL,
                                .path = buf_cstr(&path),
                                .what = buf_cstr(&what),
                                .is_content_bad = item->state >= OBJECT_CHECK_TYPE};
  return report(ctx, &problem, err);
}

static size_t object_check_group_count(const ObjectCheck *check) {
  return (check->count + OBJECT_CHECK_GROUP - 1) / OBJECT_CHECK_GROUP;
}

bool object_check_begin(ObjectStore *store, bool contents, unsigned threads, ObjectCheck **ret, Err *err) {
  ObjectCheck *check = mem_alloc_zero(sizeof(*check));
  *check = (ObjectCheck){.store = store, .contents = contents};
  // Packs last: a small blob that gets a file of its own is still there in its pack, but not the reverse.
  if (!object_check_list_files(check, err) || !object_check_list_packs(check, err)) {
    object_check_free(check);
    return false;
  }
  if (check->count >= UINT32_MAX) {
    object_check_free(check);
    return err_set(err, ERR_LIMIT, "'%s' has more objects than can be checked", store->root);
  }
  object_check_index(check);
  size_t groups = object_check_group_count(check);
  check->pool = work_pool_start(threads, groups, groups, object_check_work, check);
  *ret = check;
  return true;
}

bool object_check_end(ObjectCheck *check, ObjectCheckReport report, void *ctx, ObjectCheckStats *ret, Err *err) {
  *ret = (ObjectCheckStats){0};
  for (size_t group = 0; group < object_check_group_count(check); group++) work_pool_wait(check->pool, group);
  for (size_t i = 0; i < check->count; i++) {
    ObjectCheckItem *item = &check->items[i];
    if (!item->pack) object_check_file_status(check, item);
    ret->count++;
    ret->bytes += item->size_bytes;
    if (item->state > OBJECT_CHECK_GONE && !object_check_report(check, item, report, ctx, err)) return false;
  }
  return true;
}

void object_check_free(ObjectCheck *check) {
  if (!check) return;
  work_pool_free(check->pool);
  for (size_t i = 0; i < check->pack_count; i++) pack_unref(check->packs[i]);
  mem_free(check->packs);
  mem_free(check->items);
  mem_free(check->by_digest);
  mem_free(check->by_inode);
  mem_free(check);
}

bool object_check_run(ObjectStore *store, bool contents, unsigned threads, ObjectCheckReport report, void *ctx,
                      ObjectCheckStats *ret, Err *err) {
  ObjectCheck *check = NULL;
  if (!object_check_begin(store, contents, threads, &check, err)) return false;
  bool ok = object_check_end(check, report, ctx, ret, err);
  object_check_free(check);
  return ok;
}

// ---- some

bool object_check_some(ObjectStore *store, const ObjectCheckName *names, size_t count, unsigned threads,
                       ObjectCheckReport report, void *ctx, ObjectCheckStats *ret, Err *err) {
  ObjectCheck *check = mem_alloc_zero(sizeof(*check));
  *check = (ObjectCheck){.store = store, .contents = true};
  bool ok = object_check_hold_packs(check, err);
  for (size_t i = 0; i < count; i++) {
    for (int executable = 0; executable < 2 && names[i].kind == PACK_BLOB; executable++) {
      ObjectCheckItem *item = object_check_add(check);
      item->digest = names[i].digest;
      item->executable = executable;
      item->fresh = true; // or at its final place, if it is not
    }
    for (size_t k = 0; k < check->pack_count; k++) {
      Span data;
      if (pack_find(check->packs[k], names[i].digest.bytes, names[i].kind, &data))
        object_check_add_packed(check, check->packs[k], names[i].digest.bytes, names[i].kind, data);
    }
  }
  size_t groups = object_check_group_count(check);
  check->pool = work_pool_start(threads, groups, groups, object_check_work, check);
  ok = ok && object_check_end(check, report, ctx, ret, err);
  object_check_free(check);
  return ok;
}

bool object_check_fix_mode(const char *path, bool executable, Err *err) {
  if (chmod(path, executable ? 0555 : 0444) != 0 ||
      utimensat(AT_FDCWD, path, object_check_times, AT_SYMLINK_NOFOLLOW) != 0)
    return err_set_errno(err, errno, "setting mode and time of '%s'", path);
  return true;
}

bool object_check_remove(ObjectStore *store, const ObjectCheckProblem *problem, Err *err) {
  if (problem->in_pack) return object_sweep_drop(store, problem->path, &problem->digest, problem->kind, err);
  return unlink(problem->path) == 0 || errno == ENOENT || err_set_errno(err, errno, "removing '%s'", problem->path);
}
