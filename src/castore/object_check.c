// object_check.c: hashes objects on several threads and reports in order.
#include "castore/object_check.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/byte_stream.h"
#include "castore/object_store_state.h"
#include "castore/object_sweep.h"
#include "castore/shared_lock.h"
#include "castore/work_pool.h"

#define OBJECT_CHECK_GROUP 64u // objects per piece of work
#define OBJECT_CHECK_WINDOW 16u

static const struct timespec object_check_times[2] = {{1, 0}, {1, 0}};

// An object file ("<2 hex>", "<62 hex>[.x]"), or one object of a pack.
typedef struct ObjectCheckItem {
  CastoreDigest digest;
  bool executable;
  const Pack *pack; // NULL: a file
  size_t number;    // in the pack
} ObjectCheckItem;

typedef struct ObjectCheckFinding {
  char what[96]; // "" when all is well
  bool is_content_bad;
  uint64_t bytes;
} ObjectCheckFinding;

typedef struct ObjectCheck {
  ObjectStore *store;
  bool contents;
  ObjectCheckItem *items;
  size_t count, cap;
  ObjectCheckFinding (*slots)[OBJECT_CHECK_GROUP]; // ring of OBJECT_CHECK_WINDOW
} ObjectCheck;

static void object_check_add(ObjectCheck *check, const ObjectCheckItem *item) {
  MEM_RESERVE(check->items, check->cap, check->count + 1);
  check->items[check->count++] = *item;
}

static bool object_check_list_files(ObjectCheck *check, Err *err) {
  for (unsigned i = 0; i < 257; i++) {
    char folder[20], whole[OBJECT_STORE_STATE_NAME_MAX + 256];
    snprintf(folder, sizeof(folder), i < 256 ? "objects/%02x" : "fresh", i);
    int fd = openat(check->store->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) continue;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) return err_set_errno(err, errno, "opening '%s/%s'", check->store->root, folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
      ObjectCheckItem item = {.pack = NULL};
      snprintf(whole, sizeof(whole), "%s%s", i < 256 ? folder + strlen("objects/") : "", entry->d_name);
      if (object_store_state_parse_name(whole, &item.digest, &item.executable)) object_check_add(check, &item);
    }
    closedir(dir);
  }
  return true;
}

static void object_check_list_packs(ObjectCheck *check, Pack *const *packs, size_t count) {
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < pack_count(packs[i]); k++) {
      ObjectCheckItem item = {.pack = packs[i], .number = k};
      const unsigned char *digest;
      PackKind kind;
      Span data;
      pack_get(packs[i], k, &digest, &kind, &data);
      memcpy(item.digest.bytes, digest, 32);
      object_check_add(check, &item);
    }
}

static void object_check_file_content(int fd, const ObjectCheckItem *item, ObjectCheckFinding *finding) {
  CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  HashCtx ctx;
  Hash hash;
  hash_init(&ctx, HASH_BLAKE3);
  for (;;) {
    ssize_t n = read(fd, chunk, BYTE_STREAM_CHUNK_BYTES);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      finding->is_content_bad = true;
      snprintf(finding->what, sizeof(finding->what), "it cannot be read: %s", strerrordesc_np(errno));
      return;
    }
    if (n == 0) break;
    hash_update(&ctx, chunk, (size_t)n);
  }
  hash_final(&ctx, &hash);
  if (memcmp(hash.bytes, item->digest.bytes, 32) == 0) return;
  finding->is_content_bad = true;
  snprintf(finding->what, sizeof(finding->what), "its content has another digest");
}

static void object_check_file(const ObjectCheck *check, const ObjectCheckItem *item, ObjectCheckFinding *finding) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  object_store_format_path(check->store, &item->digest, item->executable, &path);
  CLEANUP(fs_close_fd) int fd = open(buf_cstr(&path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat st;
  if (fd < 0 && errno == ENOENT) return; // collected meanwhile
  if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    finding->is_content_bad = true;
    snprintf(finding->what, sizeof(finding->what), "it is not a readable regular file");
    return;
  }
  finding->bytes = (uint64_t)st.st_size;
  unsigned want = item->executable ? 0555 : 0444;
  if ((st.st_mode & 07777) != want)
    snprintf(finding->what, sizeof(finding->what), "its mode is %04o instead of %04o", st.st_mode & 07777, want);
  else if (st.st_mtim.tv_sec != 1) snprintf(finding->what, sizeof(finding->what), "its modification time is not 1");
  if (check->contents) object_check_file_content(fd, item, finding);
}

static void object_check_packed(const ObjectCheck *check, const ObjectCheckItem *item, ObjectCheckFinding *finding) {
  const unsigned char *digest;
  PackKind kind;
  Span data;
  uint8_t got[32];
  pack_get(item->pack, item->number, &digest, &kind, &data);
  finding->bytes = data.len;
  if (!check->contents) return;
  hash_blake3(data, got);
  if (memcmp(got, digest, 32) == 0) return;
  finding->is_content_bad = true;
  snprintf(finding->what, sizeof(finding->what), "its content has another digest");
}

static void object_check_work(void *ctx, size_t group) {
  ObjectCheck *check = ctx;
  ObjectCheckFinding *findings = check->slots[group % OBJECT_CHECK_WINDOW];
  memset(findings, 0, sizeof(check->slots[0]));
  for (size_t i = 0; i < OBJECT_CHECK_GROUP && group * OBJECT_CHECK_GROUP + i < check->count; i++) {
    const ObjectCheckItem *item = &check->items[group * OBJECT_CHECK_GROUP + i];
    if (item->pack) object_check_packed(check, item, &findings[i]);
    else object_check_file(check, item, &findings[i]);
  }
}

static bool object_check_report(ObjectCheck *check, const ObjectCheckItem *item, const ObjectCheckFinding *finding,
                                ObjectCheckReport report, void *ctx, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  PackKind kind = PACK_BLOB;
  if (item->pack) {
    const unsigned char *digest;
    Span data;
    pack_get(item->pack, item->number, &digest, &kind, &data);
    buf_put_cstr(&path, pack_path(item->pack));
  } else {
    object_store_format_path(check->store, &item->digest, item->executable, &path);
  }
  ObjectCheckProblem problem = {.digest = item->digest,
                                .kind = kind,
                                .executable = item->executable,
                                .in_pack = item->pack != NULL,
                                .path = buf_cstr(&path),
                                .what = finding->what,
                                .is_content_bad = finding->is_content_bad};
  return report(ctx, &problem, err);
}

static bool object_check_all(ObjectCheck *check, unsigned threads, ObjectCheckReport report, void *ctx,
                             ObjectCheckStats *ret, Err *err) {
  size_t group_count = (check->count + OBJECT_CHECK_GROUP - 1) / OBJECT_CHECK_GROUP;
  check->slots = mem_alloc_zero(OBJECT_CHECK_WINDOW * sizeof(*check->slots));
  WorkPool *pool = work_pool_start(threads, group_count, OBJECT_CHECK_WINDOW, object_check_work, check);
  bool ok = true;
  for (size_t group = 0; ok && group < group_count; group++) {
    work_pool_wait(pool, group);
    const ObjectCheckFinding *findings = check->slots[group % OBJECT_CHECK_WINDOW];
    for (size_t i = 0; ok && i < OBJECT_CHECK_GROUP && group * OBJECT_CHECK_GROUP + i < check->count; i++) {
      ret->count++;
      ret->bytes += findings[i].bytes;
      if (findings[i].what[0])
        ok = object_check_report(check, &check->items[group * OBJECT_CHECK_GROUP + i], &findings[i], report, ctx, err);
    }
    work_pool_release(pool, group);
  }
  work_pool_free(pool);
  mem_free(check->slots);
  return ok;
}

bool object_check_run(ObjectStore *store, bool contents, unsigned threads, ObjectCheckReport report, void *ctx,
                      ObjectCheckStats *ret, Err *err) {
  ObjectCheck check = {.store = store, .contents = contents};
  *ret = (ObjectCheckStats){0};
  pthread_mutex_lock(&store->mutex);
  bool ok = object_store_state_reload(store, err);
  size_t pack_total = ok ? store->pack_count : 0;
  Pack **packs = mem_alloc_array(pack_total ? pack_total : 1, sizeof(*packs));
  for (size_t i = 0; i < pack_total; i++) packs[i] = pack_ref(store->packs[i]);
  pthread_mutex_unlock(&store->mutex);
  ok = ok && object_check_list_files(&check, err);
  if (ok) {
    object_check_list_packs(&check, packs, pack_total);
    ok = object_check_all(&check, threads, report, ctx, ret, err);
  }
  for (size_t i = 0; i < pack_total; i++) pack_unref(packs[i]);
  mem_free(packs);
  mem_free(check.items);
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
