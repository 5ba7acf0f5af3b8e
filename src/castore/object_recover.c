// object_recover.c: fresh objects are hashed.
#include "castore/object_recover.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/byte_stream.h"
#include "castore/object_store_state.h"

static bool object_recover_list(ObjectStore *store, const char *folder, FsList *ret, Buf *ret_dir, Err *err) {
  buf_clear(ret_dir);
  buf_printf(ret_dir, "%s/%s", store->root, folder);
  return fs_list_dir(buf_cstr(ret_dir), ret, err);
}

static bool object_recover_is_pack(const FsEntry *entry) {
  return span_has_suffix(span_cstr(entry->name), SPAN(".fresh"));
}

bool object_recover_is_needed(ObjectStore *store, bool *ret, Err *err) {
  CLEANUP(fs_list_done) FsList files = FS_LIST_INIT;
  CLEANUP(fs_list_done) FsList packs = FS_LIST_INIT;
  CLEANUP(buf_done) Buf dir = BUF_INIT;
  if (!object_recover_list(store, "fresh", &files, &dir, err) ||
      !object_recover_list(store, "packs", &packs, &dir, err))
    return false;
  *ret = files.count > 0;
  for (size_t i = 0; i < packs.count && !*ret; i++) *ret = object_recover_is_pack(&packs.entries[i]);
  return true;
}

static bool object_recover_hash(void *ctx, Span data, Err *err UNUSED) {
  hash_update(ctx, data.data, data.len);
  return true;
}

// *ret_good false also for what cannot be read at all: a bad sector is no reason to refuse the whole store.
static void object_recover_file(const char *path, const char *name, bool *ret_good) {
  CLEANUP(fs_close_fd) int fd = -1;
  CastoreDigest want;
  bool executable;
  struct stat st;
  HashCtx ctx;
  Hash got;
  Err quiet = ERR_INIT;
  *ret_good = false;
  if (!object_store_state_parse_name(name, &want, &executable) || lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
      (st.st_mode & 07777) != (executable ? 0555 : 0444) || st.st_mtim.tv_sec != 1)
    return;
  hash_init(&ctx, HASH_BLAKE3);
  ByteSource source = byte_stream_from_fd(&fd);
  if (fs_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, &quiet) &&
      byte_stream_copy(&source, &(ByteSink){object_recover_hash, &ctx}, &quiet)) {
    hash_final(&ctx, &got);
    *ret_good = memcmp(got.bytes, want.bytes, sizeof(want.bytes)) == 0;
  }
  err_done(&quiet);
}

static void object_recover_pack(const char *path, bool *ret_good) {
  Pack *pack = NULL;
  Err quiet = ERR_INIT;
  *ret_good = pack_open(path, &pack, &quiet);
  err_done(&quiet);
  for (size_t i = 0; *ret_good && i < pack_count(pack); i++) {
    const unsigned char *digest;
    PackKind kind;
    Span data;
    uint8_t got[PACK_DIGEST_LEN];
    pack_get(pack, i, &digest, &kind, &data);
    hash_blake3(data, got);
    *ret_good = memcmp(got, digest, sizeof(got)) == 0;
  }
  pack_unref(pack);
}

static bool object_recover_folder(ObjectStore *store, bool packs, ObjectRecoverResult *result, Err *err) {
  CLEANUP(fs_list_done) FsList list = FS_LIST_INIT;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  if (!object_recover_list(store, packs ? "packs" : "fresh", &list, &path, err)) return false;
  size_t len = path.len;
  for (size_t i = 0; i < list.count; i++) {
    bool good;
    if (packs && !object_recover_is_pack(&list.entries[i])) continue;
    path.len = len;
    buf_printf(&path, "/%s", list.entries[i].name);
    if (packs) object_recover_pack(buf_cstr(&path), &good);
    else object_recover_file(buf_cstr(&path), list.entries[i].name, &good);
    if (good) result->kept_count++;
    else result->lost_count++;
    if (!good && !fs_remove_tree(buf_cstr(&path), err)) return false;
  }
  return true;
}

bool object_recover_run(ObjectStore *store, ObjectRecoverResult *ret, Err *err) {
  *ret = (ObjectRecoverResult){0};
  return (object_recover_folder(store, false, ret, err) && object_recover_folder(store, true, ret, err)) ||
         err_wrap(err, "looking at the newest objects of '%s'", store->root);
}
