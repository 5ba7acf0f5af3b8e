// path_command.c: commands of the new command line about whole store paths: `nix copy`, `nix store verify, sign, diff-closures`, `nix nar ls, cat`.
// Behaviour: Nix 2.26.
#include "cli/path_command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/castore_nar.h"
#include "cli/command_list.h"
#include "cli/store_command.h"
#include "formats/drv_name.h"
#include "formats/json_write.h"
#include "formats/nar_read.h"
#include "formats/signature.h"
#include "store/binary_cache.h"
#include "store/store_add.h"
#include "store/store_check.h"

static int usage(Session *session, const char *what) {
  Err err = ERR_INIT;
  err_set(&err, ERR_USAGE, "%s", what);
  return session_fail(session, &err);
}

// Operands as paths; with --all everything, with -r their closures. References come first.
static bool selected_paths(Session *session, Store *store, bool closures, StorePathList *ret, Err *err) {
  StorePathList given = STORE_PATH_LIST_INIT;
  const OptionList *list = &session->options;
  bool ok = !option_has(list, OPT_paths_all) || store_all(store, &given, err);
  for (size_t i = 0; ok && i < list->operand_count; i++) {
    Buf real CLEANUP(buf_done) = BUF_INIT;
    StorePath path;
    Span rest;
    ok = store_command_follow(session, list->operands[i], &real, err) &&
         store_path_split(buf_span(&real), session_store_dir(session), &path, &rest, err);
    if (ok) store_path_list_add(&given, &path);
  }
  if (ok && closures) {
    ok = store_closure(store, given.paths, given.count, &(StoreClosureOptions){.topological = true}, ret, err);
    store_path_list_done(&given);
  } else {
    *ret = given;
  }
  return ok;
}

// ---- keys

typedef struct KeyList {
  SignaturePublicKey *keys;
  size_t count, cap;
} KeyList;

static void key_list_done(KeyList *list) {
  mem_free(list->keys);
}

static bool trusted_keys(Session *session, KeyList *ret, Err *err) {
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_trusted_public_keys)), word;
  while (setting_next_word(&rest, &word)) {
    MEM_RESERVE(ret->keys, ret->cap, ret->count + 1);
    if (!signature_parse_public_key(word, &ret->keys[ret->count++], err)) return false;
  }
  return true;
}

static bool read_secret_key(const char *path, Buf *text, SignatureSecretKey *ret, Err *err) {
  return (fs_read_file(path, 4096, text, err) && signature_parse_secret_key(span_trim(buf_span(text)), ret, err)) ||
         err_wrap(err, "reading the key '%s'", path);
}

static bool fingerprint(Store *store, const PathInfo *info, Buf *ret, Err *err) {
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, info->nar_sha256, sizeof(info->nar_sha256));
  return signature_fingerprint(&info->path, &hash, info->nar_size_bytes, info->refs, info->ref_count, store_dir(store),
                               ret, err);
}

// ---- sign

int path_command_sign(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  SignatureSecretKey key;
  StorePathList paths = STORE_PATH_LIST_INIT;
  const char *key_file = option_get(&session->options, OPT_key_file);
  size_t added = 0;
  if (!key_file) return usage(session, "you must specify a secret key file using '--key-file'");
  bool ok = session_store(session, &store, &err) && read_secret_key(key_file, &text, &key, &err) &&
            selected_paths(session, store, option_has(&session->options, OPT_paths_recursive), &paths, &err);
  for (size_t i = 0; ok && i < paths.count; i++) {
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    Buf message CLEANUP(buf_done) = BUF_INIT;
    Signature signature;
    bool known = false;
    ok = store_get(store, &paths.paths[i], &record, &err) && fingerprint(store, &record->info, &message, &err) &&
         signature_sign(&key, buf_span(&message), &signature, &err);
    for (size_t k = 0; ok && k < record->info.sig_count; k++)
      known = known || memcmp(record->info.sigs[k].bytes, signature.bytes, sizeof(signature.bytes)) == 0;
    if (ok && !known) ok = store_add_signatures(store, &paths.paths[i], &signature, 1, &err);
    added += ok && !known;
  }
  store_path_list_done(&paths);
  if (!ok) return session_fail(session, &err);
  log_msg(LOG_INFO, "added %zu signatures", added);
  return 0;
}

// ---- verify

enum { VERIFY_CORRUPT = 1, VERIFY_UNTRUSTED = 2, VERIFY_FAILED = 4 };

static bool is_trusted(Store *store, const PathInfoRecord *record, const KeyList *keys, uint64_t needed, bool *ret,
                       Err *err) {
  Buf message CLEANUP(buf_done) = BUF_INIT;
  uint64_t valid = 0;
  *ret = (record->ultimate && needed == 0) || record->info.has_ca;
  if (*ret) return true;
  if (!fingerprint(store, &record->info, &message, err)) return false;
  for (size_t i = 0; i < record->info.sig_count; i++)
    for (size_t k = 0; k < keys->count; k++)
      if (signature_verify(&keys->keys[k], buf_span(&message), &record->info.sigs[i])) {
        valid++;
        break;
      }
  *ret = valid >= (needed ? needed : 1);
  return true;
}

static bool verify_one(Session *session, Store *store, const StorePath *path, const KeyList *keys, uint64_t needed,
                       int *code, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT, why CLEANUP(buf_done) = BUF_INIT;
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  bool whole = true, trusted = true;
  store_format_path(store, path, &text);
  log_msg(LOG_INFO, "checking '%s'...", buf_cstr(&text));
  if (!store_get(store, path, &record, err)) return false;
  if (!option_has(&session->options, OPT_no_contents) && !store_check_path(store, path, &whole, &why, err))
    return false;
  if (!whole) log_msg(LOG_ERROR, "%s", buf_cstr(&why));
  if (!option_has(&session->options, OPT_no_trust) && !is_trusted(store, record, keys, needed, &trusted, err))
    return false;
  if (!trusted) log_msg(LOG_ERROR, "path '%s' is untrusted", buf_cstr(&text));
  *code |= (whole ? 0 : VERIFY_CORRUPT) | (trusted ? 0 : VERIFY_UNTRUSTED);
  return true;
}

int path_command_verify(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  KeyList keys CLEANUP(key_list_done) = {0};
  StorePathList paths = STORE_PATH_LIST_INIT;
  const char *count = option_get(&session->options, OPT_sigs_needed);
  uint64_t needed = 0;
  int code = 0;
  if (count && !span_parse_u64(span_cstr(count), &needed))
    return usage(session, "'--sigs-needed': a number is expected");
  if (!session_store(session, &store, &err) || !trusted_keys(session, &keys, &err) ||
      !selected_paths(session, store, option_has(&session->options, OPT_paths_recursive), &paths, &err)) {
    store_path_list_done(&paths);
    return session_fail(session, &err);
  }
  for (size_t i = 0; i < paths.count; i++)
    if (!verify_one(session, store, &paths.paths[i], &keys, needed, &code, &err)) {
      code |= VERIFY_FAILED;
      (void)session_fail(session, &err);
    }
  store_path_list_done(&paths);
  return code;
}

// ---- diff-closures

typedef struct Package {
  Span name, version; // in the arena
  uint64_t bytes;
} Package;

typedef struct PackageList {
  Arena arena;
  Package *items; // by name and version
  size_t count, cap;
} PackageList;

static void package_list_done(PackageList *list) {
  mem_free(list->items);
  arena_done(&list->arena);
}

// "openssl-3.0-dev": an output is what stands behind the last '-' in small letters, or lib32 or lib64.
static Span without_output(Span name) {
  size_t dash = span_rfind_char(name, '-');
  if (dash == SIZE_MAX || dash + 1 == name.len) return name;
  Span last = span_from(name, dash + 1);
  bool is_output = span_eq_cstr(last, "lib32") || span_eq_cstr(last, "lib64");
  if (!is_output) {
    is_output = true;
    for (size_t i = 0; i < last.len; i++) is_output = is_output && last.data[i] >= 'a' && last.data[i] <= 'z';
  }
  return is_output ? span_sub(name, 0, dash) : name;
}

static int package_cmp(const void *a, const void *b) {
  const Package *x = a, *y = b;
  int c = span_cmp(x->name, y->name);
  return c ? c : span_cmp(x->version, y->version);
}

static bool closure_packages(Store *store, const StorePath *root, PackageList *ret, Err *err) {
  StorePathList closure = STORE_PATH_LIST_INIT;
  bool ok = store_closure(store, root, 1, NULL, &closure, err);
  for (size_t i = 0; ok && i < closure.count; i++) {
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    if (!(ok = store_get(store, &closure.paths[i], &record, err))) break;
    Span name, version;
    drv_name_parse(without_output(store_path_name(&closure.paths[i])), &name, &version);
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ret->items[ret->count++] =
        (Package){arena_dup(&ret->arena, name), arena_dup(&ret->arena, version), record->info.nar_size_bytes};
  }
  if (ret->count > 1) qsort(ret->items, ret->count, sizeof(*ret->items), package_cmp);
  store_path_list_done(&closure);
  return ok;
}

// Versions in [from, to) of `list` that `other` lacks, each once: "1.0, 1.1".
static void put_versions(const PackageList *list, size_t from, size_t to, const PackageList *other, size_t other_from,
                         size_t other_to, Buf *ret) {
  for (size_t i = from; i < to; i++) {
    bool known = i > from && span_eq(list->items[i].version, list->items[i - 1].version);
    for (size_t k = other_from; k < other_to && !known; k++)
      known = span_eq(list->items[i].version, other->items[k].version);
    if (known) continue;
    if (ret->len > 0) buf_put_cstr(ret, ", ");
    if (list->items[i].version.len > 0) buf_put_span(ret, list->items[i].version);
    else buf_put_cstr(ret, "\xce\xb5");
  }
}

static size_t package_run(const PackageList *list, size_t from, Span name, uint64_t *ret_bytes) {
  size_t to = from;
  for (; to < list->count && span_eq(list->items[to].name, name); to++) *ret_bytes += list->items[to].bytes;
  return to;
}

static void put_difference(const PackageList *before, const PackageList *after, bool colour, const char *indent,
                           Buf *out) {
  static const char nothing[] = "\xe2\x88\x85", arrow[] = "\xe2\x86\x92";
  for (size_t i = 0, j = 0; i < before->count || j < after->count;) {
    bool has_before = i < before->count, has_after = j < after->count;
    Span name = has_before && (!has_after || span_cmp(before->items[i].name, after->items[j].name) <= 0)
                    ? before->items[i].name
                    : after->items[j].name;
    uint64_t before_bytes = 0, after_bytes = 0;
    size_t i_end = package_run(before, i, name, &before_bytes), j_end = package_run(after, j, name, &after_bytes);
    Buf removed CLEANUP(buf_done) = BUF_INIT, added CLEANUP(buf_done) = BUF_INIT;
    put_versions(before, i, i_end, after, j, j_end, &removed);
    put_versions(after, j, j_end, before, i, i_end, &added);
    int64_t delta = (int64_t)after_bytes - (int64_t)before_bytes;
    bool show_delta = llabs(delta) >= 8 * 1024, changed = removed.len > 0 || added.len > 0;
    if (show_delta || changed) buf_printf(out, "%s%.*s: ", indent, SPAN_ARG(name));
    if (changed)
      buf_printf(out, "%s %s %s", removed.len ? buf_cstr(&removed) : nothing, arrow,
                 added.len ? buf_cstr(&added) : nothing);
    if (show_delta)
      buf_printf(out, "%s%s%+.1f KiB%s", changed ? ", " : "",
                 !colour     ? ""
                 : delta > 0 ? "\033[31;1m"
                             : "\033[32;1m",
                 (double)delta / 1024, colour ? "\033[0m" : "");
    if (show_delta || changed) buf_put_char(out, '\n');
    i = i_end;
    j = j_end;
  }
}

bool path_command_put_difference(Session *session, Store *store, const StorePath *before, const StorePath *after,
                                 const char *indent, Buf *ret, Err *err) {
  PackageList first CLEANUP(package_list_done) = {0}, second CLEANUP(package_list_done) = {0};
  if (!closure_packages(store, before, &first, err) || !closure_packages(store, after, &second, err)) return false;
  put_difference(&first, &second, session->progress.colour, indent, ret);
  return true;
}

int path_command_diff_closures(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList paths = STORE_PATH_LIST_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (session->options.operand_count != 2) return usage(session, "two paths are expected: before and after");
  bool ok = session_store(session, &store, &err) && selected_paths(session, store, false, &paths, &err) &&
            path_command_put_difference(session, store, &paths.paths[0], &paths.paths[1], "", &out, &err);
  store_path_list_done(&paths);
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- copy

// file://<directory>?compression=xz&secret-key=<file>...
typedef struct CacheUrl {
  Buf directory, key_text;
  SignatureSecretKey key;
  BinaryCacheOptions options;
} CacheUrl;

static void cache_url_done(CacheUrl *url) {
  buf_done(&url->directory);
  buf_done(&url->key_text);
}

static bool is_cache_url(const char *url) {
  return span_has_prefix(span_cstr(url), SPAN("file://"));
}

static bool cache_parameter(CacheUrl *url, Span name, Span value, Err *err) {
  Buf file CLEANUP(buf_done) = BUF_INIT;
  uint64_t level;
  if (span_eq_cstr(name, "compression")) return stream_codec_parse(value, &url->options.compression, err);
  if (span_eq_cstr(name, "compression-level")) {
    if (!span_parse_u64(value, &level) || level > 22)
      return err_set(err, ERR_USAGE, "compression level '%.*s' is not a number from 0 to 22", SPAN_ARG(value));
    url->options.level = (int)level;
    return true;
  }
  if (span_eq_cstr(name, "write-nar-listing")) {
    url->options.write_listing = span_eq_cstr(value, "true") || span_eq_cstr(value, "1");
    return true;
  }
  if (!span_eq_cstr(name, "secret-key"))
    return err_set(err, ERR_USAGE, "unknown parameter '%.*s' of a binary cache", SPAN_ARG(name));
  buf_put_span(&file, value);
  url->options.key = &url->key;
  return read_secret_key(buf_cstr(&file), &url->key_text, &url->key, err);
}

static bool parse_cache_url(const char *text, bool read_only, CacheUrl *ret, Err *err) {
  Span rest = span_from(span_cstr(text), strlen("file://")), place, parameter, name;
  (void)span_split(&rest, '?', &place);
  if (place.len == 0 || place.data[0] != '/')
    return err_set(err, ERR_USAGE, "'%s' does not name an absolute path", text);
  *ret = (CacheUrl){.options = {.compression = STREAM_CODEC_XZ, .read_only = read_only}};
  buf_put_span(&ret->directory, place);
  while (rest.len > 0) {
    (void)span_split(&rest, '&', &parameter);
    if (!span_split(&parameter, '=', &name))
      return err_set(err, ERR_USAGE, "parameter '%.*s' has no value", SPAN_ARG(name));
    if (!cache_parameter(ret, name, parameter, err)) return false;
  }
  return true;
}

static bool copy_to_cache(Store *from, const StorePathList *paths, BinaryCache *cache, Err *err) {
  for (size_t i = 0; i < paths->count; i++)
    if (!binary_cache_put(cache, from, &paths->paths[i], err)) return false;
  return true;
}

// References first: depth first over what the cache says.
static bool fetch_closure(Session *session, BinaryCache *cache, Store *to, const StorePath *path, const KeyList *keys,
                          bool require_sigs, Map *seen, unsigned depth, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  NarInfo info;
  bool valid = false, found = false;
  Span key = span_make(path->digest, sizeof(path->digest));
  if (map_has(seen, key)) return true;
  map_set(seen, key, NULL);
  if (depth > 10000) return err_set(err, ERR_LIMIT, "references are nested too deep");
  if (!store_pin(to, path, &valid, err)) return false;
  if (valid) return true;
  if (!binary_cache_find(cache, path->digest, &arena, &info, &found, err)) return false;
  if (!found) return err_set(err, ERR_NOT_FOUND, "path '%s' is not in the binary cache", path->name);
  for (size_t i = 0; i < info.ref_count; i++)
    if (!store_path_eq(&info.refs[i], path) &&
        !fetch_closure(session, cache, to, &info.refs[i], keys, require_sigs, seen, depth + 1, err))
      return false;
  return binary_cache_fetch(cache, to, path, keys->keys, keys->count, require_sigs, err);
}

static bool copy_from_cache(Session *session, BinaryCache *cache, Store *to, Err *err) {
  KeyList keys CLEANUP(key_list_done) = {0};
  Map seen CLEANUP(map_done) = MAP_INIT;
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool sigs = !option_has(&session->options, OPT_no_check_sigs);
  bool ok = trusted_keys(session, &keys, err);
  for (size_t i = 0; ok && i < session->options.operand_count; i++) {
    StorePath path;
    ok = store_parse_path(to, span_cstr(session->options.operands[i]), &path, err) &&
         fetch_closure(session, cache, to, &path, &keys, sigs, &seen, 0, err);
    if (ok) store_path_list_add(&paths, &path);
  }
  ok = ok && store_materialise_closure(to, paths.paths, paths.count, err);
  store_path_list_done(&paths);
  return ok;
}

// One path from store to store: content by content, so that what is there is not copied.
static bool copy_path(Store *from, Store *to, const StorePath *path, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  bool valid;
  if (!store_pin(to, path, &valid, err) || valid) return valid;
  if (!store_get(from, path, &record, err) || !store_root_node(from, path, &arena, &record->info.root, err) ||
      !object_store_begin(store_objects(to), err))
    return false;
  bool ok = castore_copy(store_castore(from), store_castore(to), &record->info.root, err) &&
            store_register(to, &(StoreRegistration){.info = &record->info}, 1, err);
  object_store_end(store_objects(to));
  return ok;
}

static bool copy_to_store(Store *from, const StorePathList *paths, Store *to, Err *err) {
  for (size_t i = 0; i < paths->count; i++)
    if (!copy_path(from, to, &paths->paths[i], err)) return false;
  return store_materialise(to, paths->paths, paths->count, err) && store_sync(to, err);
}

static bool open_other(Session *session, const char *url, Store **ret, Err *err) {
  return store_open(&(StoreOptions){.url = span_cstr(url), .logical_dir = session_store_dir(session)}, ret, err) ||
         err_wrap(err, "opening the store '%s'", url);
}

static bool copy_out(Session *session, Store *from, const char *url, const StorePathList *paths, Err *err) {
  if (!is_cache_url(url)) {
    Store *to;
    if (!open_other(session, url, &to, err)) return false;
    store_defer_sync(to, true);
    bool ok = copy_to_store(from, paths, to, err);
    store_free(to);
    return ok;
  }
  CacheUrl cache_url CLEANUP(cache_url_done) = {.directory = BUF_INIT};
  BinaryCache *cache = NULL;
  bool ok =
      parse_cache_url(url, false, &cache_url, err) &&
      binary_cache_open(buf_cstr(&cache_url.directory), session_store_dir(session), &cache_url.options, &cache, err) &&
      copy_to_cache(from, paths, cache, err);
  binary_cache_free(cache);
  return ok;
}

static bool copy_in(Session *session, const char *url, const char *to_url, Err *err) {
  CacheUrl cache_url CLEANUP(cache_url_done) = {.directory = BUF_INIT};
  BinaryCache *cache = NULL;
  Store *to = NULL;
  bool ok =
      (to_url ? open_other(session, to_url, &to, err) : session_store(session, &to, err)) &&
      parse_cache_url(url, true, &cache_url, err) &&
      binary_cache_open(buf_cstr(&cache_url.directory), session_store_dir(session), &cache_url.options, &cache, err) &&
      copy_from_cache(session, cache, to, err);
  binary_cache_free(cache);
  if (to_url) store_free(to);
  return ok;
}

int path_command_copy(Session *session) {
  Err err = ERR_INIT;
  Store *from = NULL, *store = NULL;
  const char *from_url = option_get(&session->options, OPT_copy_from),
             *to_url = option_get(&session->options, OPT_copy_to);
  StorePathList paths = STORE_PATH_LIST_INIT;
  if (!from_url && !to_url) return usage(session, "you must pass '--from' and/or '--to'");
  if (from_url && is_cache_url(from_url)) {
    if (to_url && is_cache_url(to_url)) return usage(session, "one of '--from' and '--to' has to be a store");
    return copy_in(session, from_url, to_url, &err) ? 0 : session_fail(session, &err);
  }
  bool ok = session_store(session, &store, &err); // what links of the command line lead to
  ok = ok && (!from_url || open_other(session, from_url, &from, &err));
  ok = ok &&
       selected_paths(session, from ? from : store, !option_has(&session->options, OPT_no_recursive), &paths, &err);
  ok = ok && (to_url ? copy_out(session, from ? from : store, to_url, &paths, &err)
                     : copy_to_store(from, &paths, store, &err));
  store_path_list_done(&paths);
  store_free(from);
  return ok ? 0 : session_fail(session, &err);
}

// ---- NARs as files

typedef struct NarEntry {
  Span path; // "/a/b"; the root is ""
  CastoreKind kind;
  bool executable;
  uint64_t size_bytes, offset;
  Span target;
  size_t end; // behind the last entry below it
} NarEntry;

typedef struct NarIndex {
  Buf bytes;
  Arena arena;
  NarEntry *entries; // in the order of the archive
  size_t count, cap;
} NarIndex;

static void nar_index_done(NarIndex *index) {
  buf_done(&index->bytes);
  arena_done(&index->arena);
  mem_free(index->entries);
}

static void nar_index_add(NarIndex *index, const NarReadEvent *event, Buf *path, CastoreKind kind, bool is_root) {
  if (!is_root) buf_printf(path, "/%.*s", SPAN_ARG(event->name));
  MEM_RESERVE(index->entries, index->cap, index->count + 1);
  index->entries[index->count] = (NarEntry){.path = arena_dup(&index->arena, buf_span(path)),
                                            .kind = kind,
                                            .executable = event->executable,
                                            .size_bytes = event->size_bytes,
                                            .offset = event->content_offset,
                                            .end = index->count + 1};
  if (kind == CASTORE_SYMLINK) index->entries[index->count].target = arena_dup(&index->arena, event->data);
  index->count++;
}

static bool nar_index_read(const char *file, NarIndex *ret, Err *err) {
  if (!fs_read_file(file, 0, &ret->bytes, err)) return false;
  NarRead nar;
  NarReadEvent event;
  NarReadStatus status;
  Span input = buf_span(&ret->bytes);
  Buf path CLEANUP(buf_done) = BUF_INIT, open CLEANUP(buf_done) = BUF_INIT; // numbers of open directories
  nar_read_init(&nar);
  while ((status = nar_read_next(&nar, &input, &event, err)) == NAR_READ_EVENT) {
    size_t len = path.len, number = ret->count;
    bool is_root = ret->count == 0;
    if (event.kind == NAR_READ_DIR_BEGIN) {
      nar_index_add(ret, &event, &path, CASTORE_DIRECTORY, is_root);
      buf_put(&open, &number, sizeof(number));
      continue;
    }
    if (event.kind == NAR_READ_DIR_END) {
      open.len -= sizeof(number);
      memcpy(&number, open.data + open.len, sizeof(number));
      ret->entries[number].end = ret->count;
      size_t slash = span_rfind_char(buf_span(&path), '/');
      path.len = slash == SIZE_MAX ? 0 : slash;
      continue;
    }
    if (event.kind == NAR_READ_FILE_BEGIN) nar_index_add(ret, &event, &path, CASTORE_FILE, is_root);
    if (event.kind == NAR_READ_SYMLINK) nar_index_add(ret, &event, &path, CASTORE_SYMLINK, is_root);
    path.len = len;
  }
  bool ok = status != NAR_READ_ERROR && nar_read_finish(&nar, err);
  nar_read_done(&nar);
  return ok || err_wrap(err, "reading '%s'", file);
}

static bool nar_index_find(const NarIndex *index, const char *text, size_t *ret, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  fs_path_canon(SPAN("/"), span_cstr(text), &path);
  Span wanted = path.len == 1 ? SPAN("") : buf_span(&path);
  for (size_t i = 0; i < index->count; i++)
    if (span_eq(index->entries[i].path, wanted)) {
      *ret = i;
      return true;
    }
  return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", buf_cstr(&path));
}

static void put_nar_line(const NarEntry *entry, Span name, bool is_long, Buf *out) {
  if (is_long)
    buf_printf(out, "%s %20llu ",
               entry->kind == CASTORE_DIRECTORY ? "dr-xr-xr-x"
               : entry->kind == CASTORE_SYMLINK ? "lrwxrwxrwx"
               : entry->executable              ? "-r-xr-xr-x"
                                                : "-r--r--r--",
               (unsigned long long)entry->size_bytes);
  buf_put_span(out, name);
  if (is_long && entry->kind == CASTORE_SYMLINK) buf_printf(out, " -> %.*s", SPAN_ARG(entry->target));
  buf_put_char(out, '\n');
}

static void put_nar_list(const NarIndex *index, size_t at, bool recursive, bool is_long, bool itself, Buf *out) {
  const NarEntry *top = &index->entries[at];
  if (top->kind != CASTORE_DIRECTORY || itself) {
    put_nar_line(top, top->kind == CASTORE_DIRECTORY ? SPAN(".") : fs_path_base(top->path), is_long, out);
    if (!recursive || top->kind != CASTORE_DIRECTORY) return;
  }
  for (size_t i = at + 1; i < top->end; i = recursive ? i + 1 : index->entries[i].end) {
    Buf name CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&name, ".%.*s", SPAN_ARG(span_from(index->entries[i].path, top->path.len)));
    put_nar_line(&index->entries[i], buf_span(&name), is_long, out);
  }
}

static bool put_nar_json(const NarIndex *index, size_t at, bool recursive, bool top, JsonWrite *json, Err *err) {
  static const char *const types[] = {
      [CASTORE_DIRECTORY] = "directory", [CASTORE_FILE] = "regular", [CASTORE_SYMLINK] = "symlink"};
  const NarEntry *entry = &index->entries[at];
  json_write_object_begin(json);
  if (!recursive && !top) return json_write_object_end(json), true;
  if (entry->kind == CASTORE_DIRECTORY) {
    if (!json_write_key(json, SPAN("entries"), err)) return false;
    json_write_object_begin(json);
    for (size_t i = at + 1; i < entry->end; i = index->entries[i].end)
      if (!json_write_key(json, fs_path_base(index->entries[i].path), err) ||
          !put_nar_json(index, i, recursive, false, json, err))
        return false;
    json_write_object_end(json);
  } else if (entry->kind == CASTORE_SYMLINK) {
    if (!json_write_key(json, SPAN("target"), err) || !json_write_str(json, entry->target, err)) return false;
  } else {
    if (entry->executable) {
      if (!json_write_key(json, SPAN("executable"), err)) return false;
      json_write_bool(json, true);
    }
    if (entry->offset) {
      if (!json_write_key(json, SPAN("narOffset"), err)) return false;
      json_write_uint(json, entry->offset);
    }
    if (!json_write_key(json, SPAN("size"), err)) return false;
    json_write_uint(json, entry->size_bytes);
  }
  if (!json_write_key(json, SPAN("type"), err) || !json_write_str(json, span_cstr(types[entry->kind]), err))
    return false;
  json_write_object_end(json);
  return true;
}

static bool open_nar(Session *session, NarIndex *ret, size_t *ret_at, Err *err) {
  const OptionList *list = &session->options;
  if (list->operand_count != 2)
    return err_set(err, ERR_USAGE, "two arguments are expected: a NAR file and a path in it");
  return nar_index_read(list->operands[0], ret, err) && nar_index_find(ret, list->operands[1], ret_at, err);
}

int path_command_nar_ls(Session *session) {
  Err err = ERR_INIT;
  NarIndex index CLEANUP(nar_index_done) = {.arena = ARENA_INIT};
  Buf out CLEANUP(buf_done) = BUF_INIT;
  size_t at;
  const OptionList *list = &session->options;
  bool recursive = option_has(list, OPT_list_recursive) || option_has(list, OPT_paths_recursive);
  if (!open_nar(session, &index, &at, &err)) return session_fail(session, &err);
  if (option_has(list, OPT_json)) {
    JsonWrite json;
    json_write_init(&json, &out, 0);
    if (!put_nar_json(&index, at, recursive, true, &json, &err)) return session_fail(session, &err);
    buf_put_char(&out, '\n');
  } else {
    put_nar_list(&index, at, recursive, option_has(list, OPT_long_list), option_has(list, OPT_directory), &out);
  }
  session_print(session, buf_span(&out));
  return 0;
}

int path_command_nar_cat(Session *session) {
  Err err = ERR_INIT;
  NarIndex index CLEANUP(nar_index_done) = {.arena = ARENA_INIT};
  size_t at;
  bool ok = open_nar(session, &index, &at, &err);
  if (ok && index.entries[at].kind != CASTORE_FILE)
    ok = err_set(&err, ERR_OTHER, "path '%.*s' is not a regular file", SPAN_ARG(index.entries[at].path));
  if (!ok) return session_fail(session, &err);
  session_print(session, span_sub(buf_span(&index.bytes), (size_t)index.entries[at].offset,
                                  (size_t)index.entries[at].size_bytes));
  return 0;
}
