// make_ca_command.c: `nix store make-content-addressed`: closures whose paths follow from their contents. Behaviour: Nix 2.26, make-content-addressed.cc.
//
// References come first: in a NAR the paths that were renamed before are replaced as texts, then the hash of what it is with zeros in the place of its own
// hash part gives the new path, and its own hash part is replaced. NARs wait in nameless files, so that memory does not depend on their sizes.
#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cache_target.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "formats/json_write.h"
#include "castore/stream_rewrite.h"
#include "store/store_add.h"

typedef struct MakeCa {
  Session *session;
  StoreView *from;
  Store *to; // NULL: `cache`
  BinaryCache *cache;
  Arena arena;
  Map renamed; // hash part of an old path -> its new StorePath, in the arena
} MakeCa;

static Span key_of(const StorePath *path) {
  return span_make(path->digest, sizeof(path->digest));
}

static void put_path(MakeCa *make, const StorePath *path, Buf *ret) {
  store_path_format(path, store_view_dir(make->from), ret);
}

static bool rewind_file(int fd, Err *err) {
  return lseek(fd, 0, SEEK_SET) == 0 || err_set_errno(err, errno, "rewinding a temporary file");
}

// ---- rewriting

static bool hash_put(void *ctx, Span data, Err *err UNUSED) {
  hash_sha256_update_span(ctx, data);
  return true;
}

// Copies `source` with one hash part replaced by another.
static bool replace_hash(const ByteSource *source, const StreamRewriteRule *rule, const ByteSink *next, Err *err) {
  StreamRewrite rewrite;
  stream_rewrite_init(&rewrite, rule, 1, next);
  ByteSink sink = stream_rewrite_sink(&rewrite);
  bool ok = byte_stream_copy(source, &sink, err) && stream_rewrite_flush(&rewrite, err);
  stream_rewrite_done(&rewrite);
  return ok;
}

static bool hash_replaced(int fd, const StreamRewriteRule *rule, uint8_t ret[32], Err *err) {
  HashSha256 hash;
  hash_sha256_init(&hash);
  ByteSource source = byte_stream_from_fd(&fd);
  if (!rewind_file(fd, err) || !replace_hash(&source, rule, &(ByteSink){hash_put, &hash}, err)) return false;
  hash_sha256_final(&hash, ret);
  return true;
}

// What a path refers to after the renaming, and the paths that are to be replaced. How many these are.
static size_t rename_refs(MakeCa *make, const PathInfo *old, PathInfo *ret, StorePathRefs *ret_refs,
                          StreamRewriteRule **ret_rules) {
  Span *refs = ARENA_ARRAY(&make->arena, Span, old->ref_count + 1);
  StreamRewriteRule *rules = ARENA_ARRAY(&make->arena, StreamRewriteRule, old->ref_count + 1);
  size_t count = 0;
  *ret_refs = (StorePathRefs){.paths = refs};
  *ret_rules = rules;
  ret->refs = ARENA_ARRAY(&make->arena, StorePath, old->ref_count + 1);
  for (size_t i = 0; i < old->ref_count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    if (store_path_eq(&old->refs[i], &old->path)) {
      ret_refs->self = true;
      continue;
    }
    const StorePath *renamed = map_get(&make->renamed, key_of(&old->refs[i]));
    if (!renamed) renamed = &old->refs[i];
    ret->refs[ret->ref_count++] = *renamed;
    put_path(make, renamed, &text);
    refs[ret_refs->count++] = arena_dup(&make->arena, buf_span(&text));
    if (store_path_eq(renamed, &old->refs[i])) continue;
    buf_clear(&text);
    put_path(make, &old->refs[i], &text);
    rules[count++] = (StreamRewriteRule){arena_dup(&make->arena, buf_span(&text)), refs[ret_refs->count - 1]};
  }
  return count;
}

// The NAR with renamed references in `fd`.
static bool dump_renamed(MakeCa *make, const StorePath *path, const StreamRewriteRule *rules, size_t count, int fd,
                         Err *err) {
  StreamRewrite rewrite;
  ByteSink file = byte_stream_to_fd(&fd);
  stream_rewrite_init(&rewrite, rules, count, &file);
  ByteSink sink = stream_rewrite_sink(&rewrite);
  bool ok = store_view_dump(make->from, path, &sink, err) && stream_rewrite_flush(&rewrite, err);
  stream_rewrite_done(&rewrite);
  return ok;
}

// ---- adding

typedef struct MakeCaNar {
  int fd;
  const StreamRewriteRule *rule;
} MakeCaNar;

static bool dump_nar(void *ctx, const ByteSink *sink, Err *err) {
  MakeCaNar *nar = ctx;
  ByteSource source = byte_stream_from_fd(&nar->fd);
  return rewind_file(nar->fd, err) && replace_hash(&source, nar->rule, sink, err);
}

static bool add_to_store(MakeCa *make, const PathInfo *info, MakeCaNar *nar, Err *err) {
  int fd CLEANUP(fs_close_fd) = -1;
  bool valid;
  if (!store_pin(make->to, &info->path, &valid, err)) return false;
  if (valid) return true;
  if (!fs_make_nameless("firn-nar", &fd, err)) return false;
  ByteSink file = byte_stream_to_fd(&fd);
  ByteSource source = byte_stream_from_fd(&fd);
  return dump_nar(nar, &file, err) && rewind_file(fd, err) && store_add_nar(make->to, info, &source, false, false, err);
}

static bool convert(MakeCa *make, const StorePath *path, StorePath *ret, Err *err) {
  static const char zeros[STORE_PATH_HASH_CHARS];
  int fd CLEANUP(fs_close_fd) = -1;
  const StoreViewInfo *old;
  PathInfo info = {.has_ca = true, .ca = {.method = CA_NAR, .hash.algo = HASH_SHA256}};
  StorePathRefs refs;
  StreamRewriteRule *renamed;
  char own[STORE_PATH_HASH_CHARS];
  Buf from CLEANUP(buf_done) = BUF_INIT, to CLEANUP(buf_done) = BUF_INIT;
  if (!store_view_get(make->from, path, &old, err) || !fs_make_nameless("firn-nar", &fd, err)) return false;
  size_t renamed_count = rename_refs(make, &old->info, &info, &refs, &renamed);
  char old_own[STORE_PATH_HASH_CHARS];
  store_path_format_hash(path, old_own);
  StreamRewriteRule rule = {span_make(old_own, sizeof old_own), span_make(zeros, sizeof zeros)};
  if (!dump_renamed(make, path, renamed, renamed_count, fd, err) ||
      !hash_replaced(fd, &rule, info.ca.hash.bytes, err) ||
      !store_path_make_fixed(store_path_name(path), &info.ca, &refs, store_view_dir(make->from), &info.path, err))
    return false;
  put_path(make, path, &from);
  put_path(make, &info.path, &to);
  log_msg(LOG_INFO, "rewriting '%s' to '%s'", buf_cstr(&from), buf_cstr(&to));
  if (refs.self) info.refs[info.ref_count++] = info.path;
  info.ref_count = store_path_sort(info.refs, info.ref_count);
  store_path_format_hash(&info.path, own);
  rule.to = span_make(own, sizeof own);
  info.nar_size_bytes = old->info.nar_size_bytes;
  *ret = info.path;
  MakeCaNar nar = {fd, &rule};
  return hash_replaced(fd, &rule, info.nar_sha256, err) &&
         (make->cache ? binary_cache_put_nar(make->cache, &info, dump_nar, &nar, err)
                      : add_to_store(make, &info, &nar, err));
}

static bool convert_all(MakeCa *make, const StorePathList *closure, Err *err) {
  for (size_t i = 0; i < closure->count; i++) {
    StorePath *renamed = ARENA_NEW(&make->arena, StorePath);
    if (!convert(make, &closure->paths[i], renamed, err)) return false;
    map_set(&make->renamed, key_of(&closure->paths[i]), renamed);
  }
  return true;
}

// ---- the command

static bool open_target(MakeCa *make, CacheTarget *target, Store **ret_owned, Err *err) {
  const char *url = option_get(&make->session->options, OPT_copy_to);
  if (!url) return session_store(make->session, &make->to, err);
  if (store_view_is_cache_url(url)) {
    if (!cache_target_open(make->session, url, target, err)) return false;
    make->cache = target->cache;
    return true;
  }
  if (!store_open(&(StoreOptions){.url = span_cstr(url), .logical_dir = session_store_dir(make->session)}, ret_owned,
                  err))
    return err_wrap(err, "opening the store '%s'", url);
  make->to = *ret_owned;
  store_defer_sync(make->to, true);
  return true;
}

// Those that were asked for.
static bool report(MakeCa *make, const StorePathList *paths, Buf *out, Err *err) {
  bool is_json = option_has(&make->session->options, OPT_json), ok = true;
  JsonWrite json;
  json_write_init(&json, out, 0);
  if (is_json) {
    json_write_object_begin(&json);
    json_write_text_key(&json, SPAN("rewrites"));
    json_write_object_begin(&json);
  }
  StorePathList sorted = STORE_PATH_LIST_INIT;
  for (size_t i = 0; i < paths->count; i++) store_path_list_add(&sorted, &paths->paths[i]);
  if (is_json) store_path_list_sort(&sorted); // as keys of objects are
  for (size_t i = 0; ok && i < sorted.count; i++) {
    Buf from CLEANUP(buf_done) = BUF_INIT, to CLEANUP(buf_done) = BUF_INIT;
    put_path(make, &sorted.paths[i], &from);
    put_path(make, map_get(&make->renamed, key_of(&sorted.paths[i])), &to);
    if (!is_json) log_msg(LOG_NOTICE, "rewrote '%s' to '%s'", buf_cstr(&from), buf_cstr(&to));
    else ok = json_write_key(&json, buf_span(&from), err) && json_write_str(&json, buf_span(&to), err);
  }
  store_path_list_done(&sorted);
  if (is_json) {
    json_write_object_end(&json);
    json_write_object_end(&json);
    buf_put_char(out, '\n');
  }
  return ok;
}

static bool run(MakeCa *make, int *ret_code, Err *err) {
  Store *owned = NULL;
  StorePathList paths = STORE_PATH_LIST_INIT, closure = STORE_PATH_LIST_INIT, made = STORE_PATH_LIST_INIT;
  CacheTarget target CLEANUP(cache_target_done) = {.cache = NULL};
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool ok = path_selector_find(make->session, make->from, PATH_SELECTOR_BUILD, &paths, ret_code) &&
            open_target(make, &target, &owned, err) &&
            store_view_closure(make->from, paths.paths, paths.count, &closure, err) &&
            convert_all(make, &closure, err) && report(make, &paths, &out, err);
  for (size_t i = 0; ok && make->to && i < closure.count; i++)
    store_path_list_add(&made, map_get(&make->renamed, key_of(&closure.paths[i])));
  if (ok && make->to) ok = store_materialise(make->to, made.paths, made.count, err) && store_sync(make->to, err);
  store_path_list_done(&made);
  store_path_list_done(&closure);
  store_path_list_done(&paths);
  store_free(owned);
  if (ok) session_print(make->session, buf_span(&out));
  return ok;
}

int make_ca_command_run(Session *session) {
  Err err = ERR_INIT;
  MakeCa make = {.session = session};
  int code = 0;
  bool ok = store_view_open(session, option_get(&session->options, OPT_copy_from), &make.from, &err) &&
            run(&make, &code, &err);
  store_view_free(make.from);
  map_done(&make.renamed);
  arena_done(&make.arena);
  return ok ? 0 : code ? code : session_fail(session, &err);
}
