// store_ca.c: see store_ca.h.
#include "store/store_ca.h"

#include "castore/castore_nar.h"
#include "castore/stream_rewrite.h"

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

static bool hash_put(void *ctx, Span data, Err *err UNUSED) {
  hash_update(ctx, data.data, data.len);
  return true;
}

// Of the NAR in which the path's own hash part is zeros.
static bool hash_nar(const Castore *castore, const PathInfo *info, Hash *ret, Err *err) {
  bool masks = refers_to_itself(info);
  if (!masks && info->ca.hash.algo == HASH_SHA256) {
    ret->algo = HASH_SHA256;
    memcpy(ret->bytes, info->nar_sha256, sizeof info->nar_sha256);
    return true;
  }
  static const char zeros[STORE_PATH_HASH_CHARS];
  char own[STORE_PATH_HASH_CHARS];
  HashCtx hash;
  StreamRewrite rewrite;
  StreamRewriteRule rule = {span_make(own, sizeof own), span_make(zeros, sizeof zeros)};
  store_path_format_hash(&info->path, own);
  hash_init(&hash, info->ca.hash.algo);
  stream_rewrite_init(&rewrite, &rule, masks ? 1 : 0, &(ByteSink){hash_put, &hash});
  ByteSink sink = stream_rewrite_sink(&rewrite);
  bool ok = castore_nar_write(castore, &info->root, &sink, err) && stream_rewrite_flush(&rewrite, err);
  stream_rewrite_done(&rewrite);
  hash_final(&hash, ret);
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
