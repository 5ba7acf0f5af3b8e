// object_sweep.c: garbage and pack merging.
#include "castore/object_sweep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/object_store_state.h"

// A pack is rewritten when at least 1/16 of it is garbage.
#define OBJECT_SWEEP_PACK_FRACTION 16u

static int64_t object_sweep_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool object_sweep_lock(ObjectStore *store, const char *name, int64_t wait_ms, int *ret_fd, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/%s", store->root, name);
  return shared_lock_exclude(buf_cstr(&path), wait_ms, ret_fd, err);
}

// Whoever begins to import afterwards sees by the time of objects.lock, a random one, that objects are gone which it may have mapped: setting it needs no
// space on a full disk.
static bool object_sweep_stamp(ObjectStore *store, Err *err) {
  uint32_t random[2];
  if (getrandom(random, sizeof(random), 0) != sizeof(random)) return err_set_errno(err, errno, "getting random bytes");
  struct timespec stamp = {random[0] >> 1, random[1] % 1000000000u};
  return utimensat(store->root_fd, "objects.lock", (const struct timespec[]){stamp, stamp}, 0) == 0 ||
         err_set_errno(err, errno, "stamping '%s/objects.lock'", store->root);
}

// The exclusive lock for deleting objects.
static bool object_sweep_lock_objects(ObjectStore *store, int *ret_fd, Err *err) {
  return object_sweep_lock(store, "objects.lock", OBJECT_SWEEP_WAIT_MS, ret_fd, err) &&
         (*ret_fd < 0 || object_sweep_stamp(store, err));
}

static bool object_sweep_random_pack(ObjectStore *store, const char *suffix, Buf *ret, Err *err) {
  uint64_t random;
  if (getrandom(&random, sizeof(random), 0) != sizeof(random)) return err_set_errno(err, errno, "getting random bytes");
  buf_printf(ret, "%s/packs/%016llx.%s", store->root, (unsigned long long)random, suffix);
  return true;
}

// References to all current packs, for the caller to unref.
static bool object_sweep_packs(ObjectStore *store, Pack ***ret, size_t *ret_count, Err *err) {
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_state_reload(store, err);
  *ret_count = ok ? store->pack_count : 0;
  *ret = mem_alloc_array(*ret_count ? *ret_count : 1, sizeof(**ret));
  for (size_t i = 0; i < *ret_count; i++) (*ret)[i] = pack_ref(store->packs[i]);
  pthread_mutex_unlock(&store->mutex);
  return ok;
}

static void object_sweep_unref(Pack **packs, size_t count) {
  for (size_t i = 0; i < count; i++) pack_unref(packs[i]);
  mem_free(packs);
}

static bool object_sweep_reload(ObjectStore *store, Err *err) {
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_state_reload(store, err);
  pthread_mutex_unlock(&store->mutex);
  return ok;
}

// Publishes the writer's pack and then removes what it replaces: durably, unless all of that is fresh itself and the lock of syncing is held, so
// that nobody has it on the list of what is about to be safe.
static bool object_sweep_replace(ObjectStore *store, PackWriter *writer, Pack *const *old, size_t old_count, bool fresh,
                                 Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf dir = BUF_INIT;
  buf_printf(&dir, "%s/packs", store->root);
  bool sync = !store->no_sync && !fresh;
  if (pack_writer_count(writer) > 0) {
    if (!object_sweep_random_pack(store, fresh ? "fresh" : "pack", &path, err) ||
        !pack_writer_finish(writer, buf_cstr(&path), sync, err))
      return false;
    if (sync && !fs_fsync_dir(buf_cstr(&dir), err)) return false;
  }
  for (size_t i = 0; i < old_count; i++)
    if (unlink(pack_path(old[i])) != 0 && errno != ENOENT)
      return err_set_errno(err, errno, "removing '%s'", pack_path(old[i]));
  return object_sweep_reload(store, err);
}

static bool object_sweep_open_writer(ObjectStore *store, PackWriter **ret, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  return object_store_scratch(store, SPAN(".pack"), &path, err) && pack_writer_open(buf_cstr(&path), ret, err);
}

// ---- merging

static unsigned object_sweep_level(const Pack *pack) {
  unsigned level = 0;
  for (uint64_t bound = (uint64_t)4 << 20; pack_size_bytes(pack) >= bound && level < 8; bound *= 16) level++;
  return level;
}

static bool object_sweep_merge(ObjectStore *store, Pack *const *packs, size_t count, bool fresh, Err *err) {
  PackWriter *writer = NULL;
  if (!object_sweep_open_writer(store, &writer, err)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++)
    for (size_t k = 0; ok && k < pack_count(packs[i]); k++) {
      const unsigned char *digest;
      PackKind kind;
      Span data;
      pack_get(packs[i], k, &digest, &kind, &data);
      ok = pack_writer_put(writer, digest, kind, data, err);
    }
  ok = ok && object_sweep_replace(store, writer, packs, count, fresh, err);
  pack_writer_free(writer);
  return ok;
}

static bool object_sweep_compact_kind(ObjectStore *store, Pack *const *packs, size_t count, bool fresh, Err *err) {
  CLEANUP(mem_free_ptr) Pack **same = mem_alloc_array(count ? count : 1, sizeof(*same));
  CLEANUP(shared_lock_drop) int sync_lock = -1;
  for (unsigned level = 0; level < 8; level++) {
    size_t same_count = 0;
    for (size_t i = 0; i < count; i++)
      if (object_store_state_is_fresh(packs[i]) == fresh && object_sweep_level(packs[i]) == level)
        same[same_count++] = packs[i];
    if (same_count < OBJECT_SWEEP_FAN_IN) continue;
    if (fresh && sync_lock < 0) {
      if (!object_sweep_lock(store, "sync.lock", 0, &sync_lock, err)) return false;
      if (sync_lock < 0) return true; // they are no longer fresh in a moment
    }
    if (!object_sweep_merge(store, same, same_count, fresh, err)) return false;
  }
  return true;
}

bool object_sweep_compact(ObjectStore *store, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  if (!object_sweep_lock(store, "packs.lock", 0, &lock, err)) return false;
  if (lock < 0) return true;
  Pack **packs;
  size_t count;
  if (!object_sweep_packs(store, &packs, &count, err)) return false;
  bool ok = object_sweep_compact_kind(store, packs, count, false, err) &&
            object_sweep_compact_kind(store, packs, count, true, err);
  object_sweep_unref(packs, count);
  return ok;
}

static bool object_sweep_copy_but(PackWriter *writer, const Pack *pack, const CastoreDigest *digest, PackKind kind,
                                  Err *err) {
  for (size_t i = 0; i < pack_count(pack); i++) {
    const unsigned char *item;
    PackKind item_kind;
    Span data;
    pack_get(pack, i, &item, &item_kind, &data);
    if (item_kind == kind && memcmp(item, digest->bytes, 32) == 0) continue;
    if (!pack_writer_put(writer, item, item_kind, data, err)) return false;
  }
  return true;
}

bool object_sweep_drop(ObjectStore *store, const char *path, const CastoreDigest *digest, PackKind kind, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  if (!object_sweep_lock(store, "packs.lock", -1, &lock, err)) return false;
  Err open_err = ERR_INIT;
  Pack *pack = NULL;
  if (!pack_open(path, &pack, &open_err)) {
    if (open_err.kind != ERR_NOT_FOUND) return err_move(err, &open_err);
    err_done(&open_err);
    return true;
  }
  PackWriter *writer = NULL;
  bool ok = object_sweep_open_writer(store, &writer, err) && object_sweep_copy_but(writer, pack, digest, kind, err) &&
            object_sweep_replace(store, writer, &pack, 1, false, err) && object_sweep_stamp(store, err);
  pack_writer_free(writer);
  pack_unref(pack);
  return ok;
}

// ---- packs with garbage

// A file that is not safe yet does not replace a packed copy that is.
static bool object_sweep_has_file(ObjectStore *store, const CastoreDigest *digest) {
  char name[OBJECT_STORE_STATE_NAME_MAX];
  for (int executable = 0; executable < 2; executable++) {
    object_store_state_name(digest, executable, false, name);
    if (faccessat(store->objects_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return true;
  }
  return false;
}

// Is the packed copy of this object worth keeping? *ret_dead tells garbage from a duplicate of a file.
static bool object_sweep_wants(ObjectStore *store, ObjectSweep *sweep, const unsigned char *digest_bytes, PackKind kind,
                               bool *ret_dead) {
  CastoreDigest digest;
  memcpy(digest.bytes, digest_bytes, sizeof(digest.bytes));
  *ret_dead = !sweep->is_live(sweep->ctx, &digest, kind);
  return !*ret_dead && !(kind == PACK_BLOB && object_sweep_has_file(store, &digest));
}

static bool object_sweep_copy_wanted(ObjectStore *store, ObjectSweep *sweep, const Pack *pack, PackWriter *writer,
                                     uint64_t *ret_dropped_bytes, uint64_t *ret_dead_count, Err *err) {
  *ret_dropped_bytes = *ret_dead_count = 0;
  for (size_t i = 0; i < pack_count(pack); i++) {
    const unsigned char *digest;
    PackKind kind;
    Span data;
    bool dead;
    pack_get(pack, i, &digest, &kind, &data);
    if (pack_writer_has(writer, digest, kind)) continue;
    if (object_sweep_wants(store, sweep, digest, kind, &dead)) {
      if (!pack_writer_put(writer, digest, kind, data, err)) return false;
    } else {
      *ret_dropped_bytes += data.len + 48;
      *ret_dead_count += dead;
    }
  }
  return true;
}

// The bulk is copied without the lock; what became live meanwhile is added under it.
static bool object_sweep_pack(ObjectStore *store, ObjectSweep *sweep, Pack *pack, Err *err) {
  PackWriter *writer = NULL;
  uint64_t dropped, dead_count;
  if (!object_sweep_open_writer(store, &writer, err)) return false;
  bool ok = object_sweep_copy_wanted(store, sweep, pack, writer, &dropped, &dead_count, err);
  CLEANUP(shared_lock_drop) int lock = -1;
  if (ok && dropped * OBJECT_SWEEP_PACK_FRACTION >= pack_size_bytes(pack) && dropped > 0) {
    ok = object_sweep_lock_objects(store, &lock, err);
    if (ok && lock < 0) sweep->busy = true;
    ok = ok && (lock < 0 || (sweep->refresh(sweep->ctx, err) &&
                             object_sweep_copy_wanted(store, sweep, pack, writer, &dropped, &dead_count, err) &&
                             object_sweep_replace(store, writer, &pack, 1, false, err)));
    if (ok && lock >= 0) {
      sweep->freed_bytes += dropped;
      sweep->freed_count += dead_count;
    }
  }
  pack_writer_free(writer);
  return ok;
}

static bool object_sweep_is_full(const ObjectSweep *sweep) {
  return sweep->max_bytes > 0 && sweep->freed_bytes >= sweep->max_bytes;
}

static bool object_sweep_all_packs(ObjectStore *store, ObjectSweep *sweep, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  if (!object_sweep_lock(store, "packs.lock", OBJECT_SWEEP_WAIT_MS, &lock, err)) return false;
  if (lock < 0) {
    sweep->busy = true;
    return true;
  }
  Pack **packs;
  size_t count;
  if (!object_sweep_packs(store, &packs, &count, err)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < count && !object_sweep_is_full(sweep); i++)
    ok = object_sweep_pack(store, sweep, packs[i], err);
  object_sweep_unref(packs, count);
  return ok;
}

// ---- files

// The files that nothing needs.
typedef struct ObjectSweepDead {
  ObjectSweep *sweep;
  ObjectStoreStateFile *files; // owned
  size_t count, cap;
} ObjectSweepDead;

static void object_sweep_on_file(void *ctx, const ObjectStoreStateFile *file) {
  ObjectSweepDead *dead = ctx;
  if (dead->sweep->is_live(dead->sweep->ctx, &file->digest, PACK_BLOB)) return;
  MEM_RESERVE(dead->files, dead->cap, dead->count + 1);
  dead->files[dead->count++] = *file;
}

// *ret_there false: it has no such name.
static bool object_sweep_unlink(ObjectStore *store, ObjectSweep *sweep, const ObjectStoreStateFile *dead, bool fresh,
                                bool *ret_there, Err *err) {
  char name[OBJECT_STORE_STATE_NAME_MAX];
  struct stat st;
  int dir_fd = fresh ? store->fresh_fd : store->objects_fd;
  object_store_state_name(&dead->digest, dead->executable, fresh, name);
  *ret_there = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!*ret_there) return true;
  if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
    return err_set_errno(err, errno, "removing '%s/%s/%s'", store->root, fresh ? "fresh" : "objects", name);
  // A tree that still links the file frees the blocks itself.
  if (st.st_nlink == 1) sweep->freed_bytes += (uint64_t)st.st_blocks * 512;
  sweep->freed_count++;
  return true;
}

// Deletes from *at on, until the slice of time is over.
static bool object_sweep_slice(ObjectStore *store, ObjectSweep *sweep, const ObjectSweepDead *dead, size_t *at,
                               Err *err) {
  int64_t end = object_sweep_now_ms() + OBJECT_SWEEP_SLICE_MS;
  for (; *at < dead->count && object_sweep_now_ms() < end && !object_sweep_is_full(sweep); (*at)++) {
    const ObjectStoreStateFile *item = &dead->files[*at];
    bool there;
    if (sweep->is_live(sweep->ctx, &item->digest, PACK_BLOB)) continue;
    if (!object_sweep_unlink(store, sweep, item, item->fresh, &there, err)) return false;
    // It may have been moved to its final place since it was listed.
    if (!there && item->fresh && !object_sweep_unlink(store, sweep, item, false, &there, err)) return false;
  }
  return true;
}

static bool object_sweep_files(ObjectStore *store, ObjectSweep *sweep, Err *err) {
  ObjectSweepDead dead = {.sweep = sweep};
  bool ok = object_store_state_list_files(store, object_sweep_on_file, &dead, err);
  for (size_t at = 0; ok && at < dead.count && !object_sweep_is_full(sweep);) {
    CLEANUP(shared_lock_drop) int lock = -1;
    ok = object_sweep_lock_objects(store, &lock, err);
    if (ok && lock < 0) {
      sweep->busy = true;
      break;
    }
    ok = ok && sweep->refresh(sweep->ctx, err) && object_sweep_slice(store, sweep, &dead, &at, err);
  }
  mem_free(dead.files);
  return ok;
}

bool object_sweep_run(ObjectStore *store, ObjectSweep *sweep, Err *err) {
  sweep->freed_bytes = sweep->freed_count = 0;
  sweep->busy = false;
  if (store->read_only) return err_set(err, ERR_OTHER, "the store at '%s' is read-only", store->root);
  return (object_sweep_files(store, sweep, err) && object_sweep_all_packs(store, sweep, err)) ||
         err_wrap(err, "removing unused objects from '%s'", store->root);
}
