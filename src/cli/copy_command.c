// copy_command.c: `nix copy`, `firn copy`: paths with their closures between stores and binary caches, in any combination. Behaviour: Nix 2.26, copy.cc.
#include "base/log.h"
#include "base/mem.h"
#include "base/process.h"
#include "castore/work_pool.h"
#include "castore/castore_nar.h"
#include "cli/cache_target.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "cli/signing.h"
#include "realise/realisation_closure.h"
#include "store/store_add.h"
#include "store/store_ca.h"
#include "store/store_realisation.h"
#include "store/store_roots.h"

#define COPY_WINDOW 64u // archives that are made ahead of their turn
#define COPY_THREADS_MAX 8u

// ---- copying

typedef struct Copy {
  Session *session;
  StoreView *from;
  Store *to; // NULL: `cache`
  BinaryCache *cache;
  const char *to_uri;
  SigningKeys keys;
  bool check_sigs;
} Copy;

typedef struct Dump {
  StoreView *from;
  const StorePath *path;
} Dump;

static bool dump_path(void *ctx, const ByteSink *sink, Err *err) {
  const Dump *dump = ctx;
  return store_view_dump(dump->from, dump->path, sink, err);
}

static bool is_missing(Copy *copy, const StorePath *path, bool *ret, Err *err) {
  bool has;
  if (copy->cache ? !binary_cache_has(copy->cache, path, &has, err) : !store_pin(copy->to, path, &has, err))
    return false;
  *ret = !has;
  return true;
}

// Does somebody trusted vouch for it, or does its content?
static bool check_trust(Copy *copy, const StoreViewInfo *info, Err *err) {
  SigningSeen seen CLEANUP(signing_seen_done) = {0};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  BinaryCache *cache = store_view_cache(copy->from);
  if (!copy->check_sigs || store_ca_is_claimed(&info->info, store_view_dir(copy->from)) ||
      (cache && binary_cache_is_trusted(cache, info->narinfo, copy->keys.keys, copy->keys.count)))
    return true;
  if (!signing_count(&info->info, store_view_dir(copy->from), &copy->keys, &seen, err)) return false;
  if (seen.valid_count) return true;
  store_path_format(&info->info.path, store_view_dir(copy->from), &text);
  return err_set(err, ERR_OTHER, "cannot add path '%s' because it lacks a signature by a trusted key", buf_cstr(&text));
}

// Is what was copied what its description, which signatures are about, says?
static bool check_contents(Store *to, const PathInfo *info, Err *err) {
  uint8_t nar_sha256[32];
  uint64_t size_bytes;
  if (!castore_nar_hash(store_castore(to), &info->root, nar_sha256, &size_bytes, err) ||
      !store_ca_check(store_castore(to), info, store_dir(to), err))
    return false;
  return (memcmp(nar_sha256, info->nar_sha256, sizeof nar_sha256) == 0 && size_bytes == info->nar_size_bytes) ||
         err_set(err, ERR_HASH_MISMATCH, "hash mismatch importing path '%s'", info->path.name);
}

// From store to store: content by content, so that what is there is not copied.
static bool copy_contents(Copy *copy, Store *from, const StorePath *path, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Store *to = copy->to;
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!store_get(from, path, &record, err) || !store_root_node(from, path, &arena, &record->info.root, err) ||
      !object_store_begin(store_objects(to), err))
    return false;
  bool ok = castore_copy(store_castore(from), store_castore(to), &record->info.root, err) &&
            (!copy->check_sigs || check_contents(to, &record->info, err)) &&
            store_add_deferred(to, &record->info, false, err);
  object_store_end(store_objects(to));
  return ok;
}

// What is copied from, in the words of C++ Nix.
static const char *from_uri(const Copy *copy) {
  return store_view_store(copy->from) ? "local" : store_view_uri(copy->from);
}

static bool copy_path(Copy *copy, const StorePath *path, const StoreViewInfo *info, uint64_t *ret_id, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, store_view_dir(copy->from), &text);
  *ret_id = progress_copy_start(&copy->session->progress, buf_span(&text), from_uri(copy), "local",
                                info->info.nar_size_bytes);
  if (!check_trust(copy, info, err)) return false;
  return store_view_store(copy->from)
             ? copy_contents(copy, store_view_store(copy->from), path, err)
             : binary_cache_fetch_found(store_view_cache(copy->from), copy->to, info->narinfo, true, err);
}

// ---- into a cache: archives are made side by side, their descriptions follow in order

typedef struct ToCache {
  Copy *copy;
  const StorePathList *paths;
  const StoreViewInfo **infos; // of the paths; arena
  struct {
    BinaryCacheItem *item; // owned
    uint64_t id;           // of its activity
    Err err;
  } slots[COPY_WINDOW];
} ToCache;

static void prepare(void *ctx, size_t number) {
  ToCache *to = ctx;
  Copy *copy = to->copy;
  const StorePath *path = &to->paths->paths[number];
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, store_view_dir(copy->from), &text);
  to->slots[number % COPY_WINDOW].id = progress_copy_start(&copy->session->progress, buf_span(&text), from_uri(copy),
                                                           copy->to_uri, to->infos[number]->info.nar_size_bytes);
  BinaryCacheItem *item;
  if (binary_cache_prepare(copy->cache, &to->infos[number]->info, dump_path, &(Dump){copy->from, path}, &item,
                           &to->slots[number % COPY_WINDOW].err))
    to->slots[number % COPY_WINDOW].item = item;
}

static bool commit(ToCache *to, size_t number, Err *err) {
  BinaryCacheItem *item = STEAL(to->slots[number % COPY_WINDOW].item);
  if (!item) return err_move(err, &to->slots[number % COPY_WINDOW].err);
  if (!binary_cache_commit(to->copy->cache, item, err)) return false;
  progress_copy_stop(&to->copy->session->progress, to->slots[number % COPY_WINDOW].id,
                     to->infos[number]->info.nar_size_bytes);
  return true;
}

static bool copy_to_cache(Copy *copy, const StorePathList *paths, Err *err) {
  ToCache *to = ARENA_NEW(&copy->session->arena, ToCache);
  unsigned threads = process_cpu_count() < COPY_THREADS_MAX ? process_cpu_count() : COPY_THREADS_MAX;
  if (paths->count < 2 || binary_cache_is_remote(copy->cache)) threads = 0;
  *to = (ToCache){.copy = copy, .paths = paths};
  to->infos = ARENA_ARRAY(&copy->session->arena, const StoreViewInfo *, paths->count);
  // What the view keeps is made here: workers only read it.
  for (size_t i = 0; i < paths->count; i++)
    if (!store_view_get(copy->from, &paths->paths[i], &to->infos[i], err)) return false;
  WorkPool *pool = work_pool_start(threads, paths->count, COPY_WINDOW, prepare, to);
  bool ok = true;
  for (size_t i = 0; ok && i < paths->count; i++) {
    work_pool_wait(pool, i);
    ok = commit(to, i, err);
    work_pool_release(pool, i);
  }
  work_pool_free(pool);
  for (size_t i = 0; i < COPY_WINDOW; i++) {
    binary_cache_item_free(to->slots[i].item);
    err_done(&to->slots[i].err);
  }
  // What was copied before something failed stays.
  return binary_cache_flush(copy->cache, ok ? err : NULL) && ok;
}

static bool copy_one(Copy *copy, const StorePath *path, Err *err) {
  const StoreViewInfo *info;
  if (!store_view_get(copy->from, path, &info, err)) return false;
  uint64_t bytes = info->info.nar_size_bytes, id;
  if (!copy_path(copy, path, info, &id, err)) return false;
  progress_copy_stop(&copy->session->progress, id, bytes);
  return true;
}

// References come first.
static bool copy_all(Copy *copy, const StorePathList *paths, Err *err) {
  StorePathList missing = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < paths->count; i++) {
    bool is;
    ok = is_missing(copy, &paths->paths[i], &is, err);
    if (ok && is) store_path_list_add(&missing, &paths->paths[i]);
  }
  bool begins = ok && missing.count;
  if (begins) progress_copies_start(&copy->session->progress, missing.count);
  if (ok && copy->cache) ok = copy_to_cache(copy, &missing, err);
  else
    for (size_t i = 0; ok && i < missing.count; i++) ok = copy_one(copy, &missing.paths[i], err);
  if (begins) progress_copies_stop(&copy->session->progress);
  // What was copied before something failed stays.
  if (copy->to) ok = store_flush(copy->to, ok ? err : NULL) && ok;
  store_path_list_done(&missing);
  return ok;
}

// ---- realisations

// Signed by the keys of the settings, which sign what is built, and by that of the cache.
static bool sign_realisation(Copy *copy, const SignatureSecretKey *cache_key, Realisation *realisation, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  const SignatureSecretKey *keys;
  size_t count;
  if (!signing_secret_keys(copy->session, &keys, &count, err)) return false;
  realisation->sigs = ARENA_ARRAY(&copy->session->arena, Signature, count + 1);
  realisation_fingerprint(realisation, &text);
  for (size_t i = 0; i < count + (cache_key != NULL); i++)
    if (!signature_sign(i < count ? &keys[i] : cache_key, buf_span(&text), &realisation->sigs[realisation->sig_count++],
                        err))
      return false;
  return true;
}

static bool copy_realisation(Copy *copy, const SignatureSecretKey *cache_key, const Realisation *given, Err *err) {
  Realisation realisation = *given;
  uint8_t hash[32];
  Span output;
  if (!sign_realisation(copy, cache_key, &realisation, err)) return false;
  if (copy->cache) return binary_cache_put_realisation(copy->cache, &realisation, err);
  if (copy->check_sigs && !realisation_is_signed(&realisation, copy->keys.keys, copy->keys.count))
    return err_set(err, ERR_OTHER, "cannot register realisation '%.*s' because it lacks a signature by a trusted key",
                   SPAN_ARG(realisation.id));
  return !realisation_parse_id(realisation.id, hash, &output) ||
         store_realisation_put(copy->to, hash, output, &realisation.path, err);
}

// What the outputs of content-addressed derivations became, too, so that whoever has the derivations finds the copies.
static bool copy_realisations(Copy *copy, const BuildTargetList *roots, const SignatureSecretKey *cache_key, Err *err) {
  Store *from = store_view_store(copy->from);
  if (!from || !session_has_feature(copy->session, "ca-derivations")) return true;
  RealisationClosure *closure = realisation_closure_new(from);
  bool ok = true;
  for (size_t i = 0; ok && i < roots->count; i++)
    if (roots->items[i].is_drv)
      ok = realisation_closure_add(closure, &roots->items[i].path, roots->items[i].output, err);
  for (size_t i = 0; ok && i < realisation_closure_count(closure); i++)
    ok = copy_realisation(copy, cache_key, realisation_closure_at(closure, i), err);
  realisation_closure_free(closure);
  return ok;
}

// ---- links to what was copied

static bool make_links(Copy *copy, const BuildTargetList *roots, const char *prefix, Err *err) {
  if (!copy->to) return err_set(err, ERR_OTHER, "'--out-link' is not supported for this Nix store");
  const char *base = session_absolute(copy->session, prefix);
  size_t number = 0;
  for (size_t i = 0; i < roots->count; i++) {
    const BuildTarget *root = &roots->items[i];
    Buf link CLEANUP(buf_done) = BUF_INIT;
    if (i && !(root->is_drv && store_path_eq(&root->path, &roots->items[i - 1].path))) number++;
    buf_put_cstr(&link, base);
    if (number) buf_printf(&link, "-%zu", number);
    if (root->is_drv && !span_eq_cstr(root->output, "out")) buf_printf(&link, "-%.*s", SPAN_ARG(root->output));
    if (!store_roots_add(copy->to, &root->out_path, buf_cstr(&link), err)) return false;
  }
  return true;
}

// ---- the command

static bool open_target(Copy *copy, const char *url, CacheTarget *target, Store **ret_owned, Err *err) {
  Session *session = copy->session;
  copy->check_sigs =
      !option_has(&session->options, OPT_no_check_sigs) && setting_bool(session->settings, SETTING_ID_require_sigs);
  if (url && store_view_is_cache_url(url)) {
    if (!cache_target_open(session, url, target, err)) return false;
    copy->cache = target->cache;
    copy->to_uri = binary_cache_url(copy->cache);
    return true;
  }
  if (!url) {
    if (!session_store(session, &copy->to, err)) return false;
    store_want_trees(copy->to, true);
    return true;
  }
  if (!store_open(&(StoreOptions){.url = span_cstr(url), .logical_dir = session_store_dir(session)}, ret_owned, err))
    return err_wrap(err, "opening the store '%s'", url);
  copy->to = *ret_owned;
  store_defer_sync(copy->to, true);
  store_want_trees(copy->to, true);
  return true;
}

static bool find_paths(Copy *copy, BuildTargetList *ret_roots, StorePathList *ret, int *ret_code) {
  unsigned flags = PATH_SELECTOR_BUILD;
  if (!option_has(&copy->session->options, OPT_no_recursive)) flags |= PATH_SELECTOR_RECURSIVE;
  bool wants_roots =
      option_has(&copy->session->options, OPT_copy_out_link) || option_has(&copy->session->options, OPT_copy_profile) ||
      (session_has_feature(copy->session, "ca-derivations") && !option_has(&copy->session->options, OPT_paths_all) &&
       !option_has(&copy->session->options, OPT_paths_derivation) &&
       !option_has(&copy->session->options, OPT_paths_stdin));
  if (wants_roots && !path_selector_targets(copy->session, flags, ret_roots, ret_code)) return false;
  return path_selector_find(copy->session, copy->from, flags, ret, ret_code);
}

static int run(Copy *copy, const char *to_url) {
  Err err = ERR_INIT;
  Store *owned = NULL;
  StorePathList paths = STORE_PATH_LIST_INIT;
  BuildTargetList roots CLEANUP(build_command_list_done) = {0};
  CacheTarget target CLEANUP(cache_target_done) = {.cache = NULL};
  const char *link = option_get(&copy->session->options, OPT_copy_out_link),
             *profile = option_get(&copy->session->options, OPT_copy_profile);
  int code = 0;
  bool ok = find_paths(copy, &roots, &paths, &code);
  ok = ok && open_target(copy, to_url, &target, &owned, &err) && copy_all(copy, &paths, &err) &&
       copy_realisations(copy, &roots, cache_target_key(&target), &err);
  if (ok && copy->to)
    ok = store_materialise(copy->to, paths.paths, paths.count, &err) &&
         (!link || make_links(copy, &roots, link, &err)) &&
         (!profile || build_command_set_profile(copy->session, copy->to, profile, &roots, &err)) &&
         store_sync(copy->to, &err);
  else if (ok && link) ok = make_links(copy, &roots, link, &err);
  store_path_list_done(&paths);
  store_free(owned);
  return ok ? 0 : code ? code : session_fail(copy->session, &err);
}

int copy_command_run(Session *session) {
  Err err = ERR_INIT;
  const char *from_url = option_get(&session->options, OPT_copy_from),
             *to_url = option_get(&session->options, OPT_copy_to);
  Copy copy = {.session = session};
  int code;
  bool ok = from_url || to_url || err_set(&err, ERR_USAGE, "you must pass '--from' and/or '--to'");
  ok = ok && store_view_open(session, from_url, &copy.from, &err) && signing_trusted_keys(session, &copy.keys, &err);
  code = ok ? run(&copy, to_url) : session_fail(session, &err);
  signing_keys_done(&copy.keys);
  store_view_free(copy.from);
  return code;
}
