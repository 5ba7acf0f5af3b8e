// store_ca.c: see store_ca.h.
#include "store/store_ca.h"

#include "castore/castore_nar.h"

enum { FLAT_CHUNK_BYTES = 64 << 10 };

static bool refers_to_itself(const PathInfo *info) {
  for (size_t i = 0; i < info->ref_count; i++)
    if (store_path_eq(&info->refs[i], &info->path)) return true;
  return false;
}

bool store_ca_is_claimed(const PathInfo *info, Span store_dir) {
  if (!info->has_ca) return false;
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  Span *refs = ARENA_ARRAY(&arena, Span, info->ref_count + 1);
  size_t count = 0;
  for (size_t i = 0; i < info->ref_count; i++) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    if (store_path_eq(&info->refs[i], &info->path)) continue;
    store_path_format(&info->refs[i], store_dir, &text);
    refs[count++] = arena_dup(&arena, buf_span(&text));
  }
  StorePath made;
  return store_path_make_fixed(store_path_name(&info->path), &info->ca,
                               &(StorePathRefs){refs, count, refers_to_itself(info)}, store_dir, &made, NULL) &&
         store_path_eq(&made, &info->path);
}

// A hash of a stream in which a path's own hash part is zeros.
typedef struct Masked {
  HashCtx hash;
  bool masks;
  char own[STORE_PATH_HASH_CHARS];
  Buf held; // what may be the beginning of a hash part
} Masked;

static bool put(void *ctx, Span data, Err *err UNUSED) {
  Masked *masked = ctx;
  Buf *held = &masked->held;
  if (!masked->masks) return hash_update(&masked->hash, data.data, data.len), true;
  buf_put_span(held, data);
  for (size_t at = 0, found;; at += found + STORE_PATH_HASH_CHARS) {
    found = span_find(span_from(buf_span(held), at), span_make(masked->own, sizeof masked->own));
    if (found == SIZE_MAX) break;
    memset(held->data + at + found, 0, STORE_PATH_HASH_CHARS);
  }
  if (held->len < STORE_PATH_HASH_CHARS) return true;
  size_t ready = held->len - (STORE_PATH_HASH_CHARS - 1);
  hash_update(&masked->hash, held->data, ready);
  memmove(held->data, held->data + ready, held->len - ready);
  held->len -= ready;
  return true;
}

static bool hash_nar(const Castore *castore, const PathInfo *info, Hash *ret, Err *err) {
  bool masks = refers_to_itself(info);
  if (!masks && info->ca.hash.algo == HASH_SHA256) {
    ret->algo = HASH_SHA256;
    memcpy(ret->bytes, info->nar_sha256, sizeof info->nar_sha256);
    return true;
  }
  Masked masked = {.masks = masks};
  store_path_format_hash(&info->path, masked.own);
  hash_init(&masked.hash, info->ca.hash.algo);
  bool ok = castore_nar_write(castore, &info->root, &(ByteSink){put, &masked}, err);
  hash_update(&masked.hash, masked.held.data, masked.held.len);
  buf_done(&masked.held);
  hash_final(&masked.hash, ret);
  return ok;
}

static bool hash_flat(const Castore *castore, const PathInfo *info, Hash *ret, Err *err) {
  if (info->root.kind != CASTORE_FILE || info->root.executable)
    return err_set(err, ERR_HASH_MISMATCH, "path '%s' is not the regular file that it claims to be", info->path.name);
  HashCtx hash;
  BlobReader *reader;
  if (!blob_service_open(castore->blobs, &info->root.digest, &reader, err)) return false;
  if (!reader) return err_set(err, ERR_CORRUPT, "the content of '%s' is not there", info->path.name);
  hash_init(&hash, info->ca.hash.algo);
  char *chunk CLEANUP(mem_free_ptr) = mem_alloc(FLAT_CHUNK_BYTES);
  bool ok = true;
  for (size_t len = 1; ok && len;) {
    ok = blob_service_read(reader, chunk, FLAT_CHUNK_BYTES, &len, err);
    if (ok) hash_update(&hash, chunk, len);
  }
  blob_service_close(reader);
  hash_final(&hash, ret);
  return ok;
}

bool store_ca_check(const Castore *castore, const PathInfo *info, Span store_dir, Err *err) {
  Hash got;
  if (!info->has_ca) return true;
  if (info->ca.method == CA_GIT)
    return err_set(err, ERR_OTHER, "path '%s' is addressed by git's hashes, which are not supported", info->path.name);
  if (!(info->ca.method == CA_NAR ? hash_nar(castore, info, &got, err) : hash_flat(castore, info, &got, err)))
    return false;
  if (hash_eq(&got, &info->ca.hash)) return true;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  CLEANUP(buf_done) Buf want_text = BUF_INIT;
  CLEANUP(buf_done) Buf got_text = BUF_INIT;
  store_path_format(&info->path, store_dir, &path);
  hash_format_nix32(&info->ca.hash, &want_text);
  hash_format_nix32(&got, &got_text);
  return err_set(err, ERR_HASH_MISMATCH, "ca hash mismatch importing path '%s';\n  specified: %s\n  got:       %s",
                 buf_cstr(&path), buf_cstr(&want_text), buf_cstr(&got_text));
}
