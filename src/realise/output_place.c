// output_place.c: see output_place.h.
#include "realise/output_place.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_nar.h"

static bool hash_put(void *ctx, Span data, Err *err UNUSED) {
  hash_update(ctx, data.data, data.len);
  return true;
}

// The rules for other outputs, and one more for the output's own hash part, which becomes `own` (borrowed).
static StreamRewriteRule *make_rules(const OutputPlaceInput *input, const char own[STORE_PATH_HASH_CHARS],
                                     Arena *arena) {
  StreamRewriteRule *rules = ARENA_ARRAY(arena, StreamRewriteRule, input->rule_count + 1);
  if (input->rule_count) memcpy(rules, input->rules, input->rule_count * sizeof *rules);
  char *scratch = ARENA_ARRAY(arena, char, STORE_PATH_HASH_CHARS);
  store_path_format_hash(input->scratch, scratch);
  rules[input->rule_count] =
      (StreamRewriteRule){span_make(scratch, STORE_PATH_HASH_CHARS), span_make(own, STORE_PATH_HASH_CHARS)};
  return rules;
}

static bool write_flat(const OutputPlaceInput *input, const ByteSink *sink, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(input->tree, O_RDONLY | O_NOFOLLOW, 0, &fd, err)) return false;
  ByteSource source = byte_stream_from_fd(&fd);
  return byte_stream_copy(&source, sink, err);
}

// The content, rewritten, as a NAR or as it is.
static bool write_rewritten(const OutputPlaceInput *input, bool nar, const StreamRewriteRule *rules,
                            const ByteSink *next, Err *err) {
  StreamRewrite rewrite;
  stream_rewrite_init(&rewrite, rules, input->rule_count + 1, next);
  ByteSink sink = stream_rewrite_sink(&rewrite);
  bool ok =
      (nar ? castore_nar_write(store_castore(input->store), input->root, &sink, err) : write_flat(input, &sink, err)) &&
      stream_rewrite_flush(&rewrite, err);
  stream_rewrite_done(&rewrite);
  return ok;
}

static bool hash_content(const OutputPlaceInput *input, bool rewrites, Arena *arena, Hash *ret, Err *err) {
  static const char zeros[STORE_PATH_HASH_CHARS];
  if (!rewrites && input->method == CA_NAR && input->algo == HASH_SHA256) {
    ret->algo = HASH_SHA256;
    memcpy(ret->bytes, input->nar_sha256, 32);
    return true;
  }
  HashCtx ctx;
  hash_init(&ctx, input->algo);
  ByteSink sink = {hash_put, &ctx};
  if (!write_rewritten(input, input->method == CA_NAR, make_rules(input, zeros, arena), &sink, err)) return false;
  hash_final(&ctx, ret);
  return true;
}

static bool make_path(const OutputPlaceInput *input, Arena *arena, OutputPlaced *ret, Err *err) {
  Span *refs = ARENA_ARRAY(arena, Span, input->ref_count);
  for (size_t i = 0; i < input->ref_count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_format_path(input->store, &input->refs[i], &text);
    refs[i] = arena_dup(arena, buf_span(&text));
  }
  StorePathRefs all = {refs, input->ref_count, input->self};
  return store_path_make_fixed(input->name, &ret->ca, &all, store_dir(input->store), &ret->path, err);
}

// Replaces the tree by its rewritten self. A NAR on the way, because it goes both ways without a special case for anything that a tree can hold.
static bool rewrite_tree(const OutputPlaceInput *input, const StreamRewriteRule *rules, Err *err) {
  Buf nar CLEANUP(buf_done) = BUF_INIT, fresh CLEANUP(buf_done) = BUF_INIT;
  CLEANUP(fs_close_fd) int fd = -1;
  buf_printf(&nar, "%s.nar", input->tree);
  buf_printf(&fresh, "%s.rewritten", input->tree);
  if (!fs_open(buf_cstr(&nar), O_RDWR | O_CREAT | O_EXCL, 0600, &fd, err)) return false;
  ByteSink sink = byte_stream_to_fd(&fd);
  bool ok = write_rewritten(input, true, rules, &sink, err);
  if (ok && lseek(fd, 0, SEEK_SET) != 0) ok = err_set_errno(err, errno, "rewinding '%s'", buf_cstr(&nar));
  ByteSource source = byte_stream_from_fd(&fd);
  ok = ok && castore_nar_restore(&source, buf_cstr(&fresh), err) && fs_remove_tree(input->tree, err);
  if (ok && rename(buf_cstr(&fresh), input->tree) != 0) ok = err_set_errno(err, errno, "renaming '%s'", fresh.data);
  unlink(buf_cstr(&nar));
  return ok || err_wrap(err, "rewriting references in '%s'", input->tree);
}

bool output_place_rewrite(const OutputPlaceInput *input, const StorePath *path, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  char own[STORE_PATH_HASH_CHARS];
  store_path_format_hash(path, own);
  return rewrite_tree(input, make_rules(input, own, &arena), err);
}

bool output_place_run(const OutputPlaceInput *input, OutputPlaced *ret, Err *err) {
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  bool rewrites = input->self || input->hidden_self || input->rule_count;
  *ret = (OutputPlaced){.ca.method = input->method, .changed = rewrites};
  if (!hash_content(input, rewrites, &arena, &ret->ca.hash, err) || !make_path(input, &arena, ret, err)) return false;
  return !rewrites || output_place_rewrite(input, &ret->path, err);
}
