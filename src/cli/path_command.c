// path_command.c: commands of the new command line about whole store paths: `nix store verify, sign, copy-sigs, diff-closures, path-from-hash-part`.
// Behaviour: Nix 2.26.
#include "cli/path_command.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "cli/signing.h"
#include "cli/store_command.h"
#include "formats/drv_name.h"
#include "store/store_ca.h"
#include "store/store_check.h"

static int usage(Session *session, const char *what) {
  Err err = ERR_INIT;
  err_set(&err, ERR_USAGE, "%s", what);
  return session_fail(session, &err);
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
  int code = 0;
  if (!key_file) return usage(session, "you must specify a secret key file using '-k'");
  if (!signing_read_key(key_file, &text, &key, &err) || !session_store(session, &store, &err))
    return session_fail(session, &err);
  StoreView *view = store_view_of(store);
  bool ok = path_selector_find(session, view, 0, &paths, &code);
  for (size_t i = 0; ok && i < paths.count; i++) {
    const StoreViewInfo *info;
    Buf message CLEANUP(buf_done) = BUF_INIT;
    Signature signature;
    ok = store_view_get(view, &paths.paths[i], &info, &err) &&
         path_info_fingerprint(&info->info, store_dir(store), &message, &err) &&
         signature_sign(&key, buf_span(&message), &signature, &err);
    bool known = ok && signing_has(&info->info, &signature);
    if (ok && !known) ok = store_add_signatures(store, &paths.paths[i], &signature, 1, &err);
    added += ok && !known;
  }
  store_path_list_done(&paths);
  store_view_free(view);
  if (!ok) return code ? code : session_fail(session, &err);
  log_msg(LOG_INFO, "added %zu signatures", added);
  return 0;
}

// ---- other stores that know signatures (-s)

typedef struct Others {
  StoreView **views;
  size_t count;
} Others;

static void others_done(Others *others) {
  for (size_t i = 0; i < others->count; i++) store_view_free(others->views[i]);
  mem_free(others->views);
}

static bool open_others(Session *session, Others *ret, Err *err) {
  const OptionList *list = &session->options;
  ret->views = mem_alloc_array(list->use_count + 1, sizeof(*ret->views));
  for (size_t i = 0; i < list->use_count; i++) {
    if (list->uses[i].id != OPT_from_substituter) continue;
    if (!store_view_open(session, list->uses[i].args[0], &ret->views[ret->count], err)) return false;
    ret->count++;
  }
  return true;
}

// Do both describe the same content? Else a signature of one says nothing about the other.
static bool is_same_content(const PathInfo *a, const PathInfo *b) {
  if (memcmp(a->nar_sha256, b->nar_sha256, sizeof(a->nar_sha256)) != 0 || a->nar_size_bytes != b->nar_size_bytes ||
      a->ref_count != b->ref_count)
    return false;
  for (size_t i = 0; i < a->ref_count; i++)
    if (!store_path_eq(&a->refs[i], &b->refs[i])) return false;
  return true;
}

static bool copy_sigs_of(Store *store, StoreView *view, const Others *others, const StorePath *path, size_t *added,
                         Err *err) {
  const StoreViewInfo *ours, *theirs;
  if (!store_view_get(view, path, &ours, err)) return false;
  for (size_t i = 0; i < others->count; i++) {
    if (!store_view_find(others->views[i], path, &theirs, err)) return false;
    if (!theirs || !is_same_content(&ours->info, &theirs->info)) continue;
    for (size_t k = 0; k < theirs->info.sig_count; k++) {
      if (signing_has(&ours->info, &theirs->info.sigs[k])) continue;
      if (!store_add_signatures(store, path, &theirs->info.sigs[k], 1, err)) return false;
      ++*added;
    }
  }
  return true;
}

int path_command_copy_sigs(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Others others CLEANUP(others_done) = {0};
  StorePathList paths = STORE_PATH_LIST_INIT;
  size_t added = 0;
  int code = 0;
  if (!option_has(&session->options, OPT_from_substituter))
    return usage(session, "you must specify at least one substituter using '-s'");
  if (!session_store(session, &store, &err) || !open_others(session, &others, &err)) return session_fail(session, &err);
  StoreView *view = store_view_of(store);
  bool ok = path_selector_find(session, view, 0, &paths, &code);
  for (size_t i = 0; ok && i < paths.count; i++) ok = copy_sigs_of(store, view, &others, &paths.paths[i], &added, &err);
  store_path_list_done(&paths);
  store_view_free(view);
  if (!ok) return code ? code : session_fail(session, &err);
  log_msg(LOG_INFO, "imported %zu signatures", added);
  return 0;
}

// ---- verify

enum { VERIFY_CORRUPT = 1, VERIFY_UNTRUSTED = 2, VERIFY_FAILED = 4 };

typedef struct Verify {
  Session *session;
  StoreView *view;
  SigningKeys keys;
  Others others;
  uint64_t needed; // signatures; 0: not said
  int code;
} Verify;

static bool is_trusted(Verify *verify, const StoreViewInfo *info, bool *ret, Err *err) {
  Span dir = store_view_dir(verify->view);
  *ret = (info->ultimate && verify->needed == 0) || store_ca_is_claimed(&info->info, dir);
  if (*ret) return true;
  uint64_t needed = verify->needed ? verify->needed : 1;
  SigningSeen seen CLEANUP(signing_seen_done) = {0};
  if (!signing_count(&info->info, dir, &verify->keys, &seen, err)) return false;
  for (size_t i = 0; i < verify->others.count && seen.valid_count < needed && !*ret; i++) {
    const StoreViewInfo *other;
    if (!store_view_find(verify->others.views[i], &info->info.path, &other, err)) return false;
    if (!other) continue;
    *ret = store_ca_is_claimed(&other->info, dir);
    // Their signatures have to fit what we have.
    PathInfo ours = info->info;
    ours.sigs = other->info.sigs;
    ours.sig_count = other->info.sig_count;
    if (!signing_count(&ours, dir, &verify->keys, &seen, err)) return false;
  }
  *ret = *ret || seen.valid_count >= needed;
  return true;
}

// What C++ Nix prints without "error:" before it.
static void complain(const Verify *verify, const char *text) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "%s\n", text);
  progress_write(&verify->session->progress, buf_span(&line));
}

static bool hash_put(void *ctx, Span data, Err *err) {
  hash_sha256_update_span(ctx, data);
  return true;
}

// Of a cache: its archive. Of a store: its tree, where it has one, which is what people use.
static bool is_whole(Verify *verify, const PathInfo *info, const char *text, bool *ret, Err *err) {
  HashSha256 hash;
  Hash expected = {.algo = HASH_SHA256}, got = {.algo = HASH_SHA256};
  Buf expected_text CLEANUP(buf_done) = BUF_INIT, got_text CLEANUP(buf_done) = BUF_INIT;
  Store *store = store_view_store(verify->view);
  if (store) {
    Buf why CLEANUP(buf_done) = BUF_INIT;
    if (!store_check_path(store, &info->path, ret, &why, err)) return false;
    if (!*ret) complain(verify, buf_cstr(&why));
    return true;
  }
  hash_sha256_init(&hash);
  if (!store_view_dump(verify->view, &info->path, &(ByteSink){hash_put, &hash}, err)) return false;
  hash_sha256_final(&hash, got.bytes);
  memcpy(expected.bytes, info->nar_sha256, sizeof(info->nar_sha256));
  *ret = hash_eq(&expected, &got);
  hash_format_nix32(&expected, &expected_text);
  hash_format_nix32(&got, &got_text);
  Buf why CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&why, "path '%s' was modified! expected hash '%s', got '%s'", text, buf_cstr(&expected_text),
             buf_cstr(&got_text));
  if (!*ret) complain(verify, buf_cstr(&why));
  return true;
}

static bool verify_one(Verify *verify, const StorePath *path, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  const OptionList *list = &verify->session->options;
  const StoreViewInfo *info;
  bool whole = true, trusted = true;
  if (!store_view_get(verify->view, path, &info, err)) return false;
  store_path_format(path, store_view_dir(verify->view), &text);
  log_msg(LOG_INFO, "checking '%s'...", buf_cstr(&text));
  if (!option_has(list, OPT_no_contents) && !is_whole(verify, &info->info, buf_cstr(&text), &whole, err)) return false;
  if (!option_has(list, OPT_no_trust) && !is_trusted(verify, info, &trusted, err)) return false;
  Buf why CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&why, "path '%s' is untrusted", buf_cstr(&text));
  if (!trusted) complain(verify, buf_cstr(&why));
  verify->code |= (whole ? 0 : VERIFY_CORRUPT) | (trusted ? 0 : VERIFY_UNTRUSTED);
  return true;
}

static int run_verify(Verify *verify) {
  Err err = ERR_INIT;
  StorePathList paths = STORE_PATH_LIST_INIT;
  int code = 0;
  bool ok = path_selector_find(verify->session, verify->view, 0, &paths, &code);
  for (size_t i = 0; ok && i < paths.count; i++)
    if (!verify_one(verify, &paths.paths[i], &err)) {
      verify->code |= VERIFY_FAILED;
      (void)session_fail(verify->session, &err);
    }
  store_path_list_done(&paths);
  return ok ? verify->code : code;
}

int path_command_verify(Session *session) {
  Err err = ERR_INIT;
  Verify verify = {.session = session};
  const char *count = option_get(&session->options, OPT_sigs_needed);
  bool ok = !count || span_parse_u64(span_cstr(count), &verify.needed) ||
            err_set(&err, ERR_USAGE, "'--sigs-needed': a number is expected");
  ok = ok && store_view_open(session, NULL, &verify.view, &err) && signing_trusted_keys(session, &verify.keys, &err) &&
       open_others(session, &verify.others, &err);
  int code = ok ? run_verify(&verify) : session_fail(session, &err);
  others_done(&verify.others);
  signing_keys_done(&verify.keys);
  store_view_free(verify.view);
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
  StorePath before_path, after_path;
  const OptionList *list = &session->options;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  int code = 0;
  if (!store_command_operands(session, 2, 2, &err) || !session_store(session, &store, &err))
    return session_fail(session, &err);
  StoreView *view = store_view_of(store);
  bool ok = path_selector_one(session, view, list->operands[0], PATH_SELECTOR_BUILD, &before_path, &code) &&
            path_selector_one(session, view, list->operands[1], PATH_SELECTOR_BUILD, &after_path, &code);
  store_view_free(view);
  if (!ok) return code;
  if (!path_command_put_difference(session, store, &before_path, &after_path, "", &out, &err))
    return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- path-from-hash-part

int path_command_from_hash_part(Session *session) {
  Err err = ERR_INIT;
  StoreView *view = NULL;
  StorePath path;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool found;
  bool ok = store_command_operands(session, 1, 1, &err) && store_view_open(session, NULL, &view, &err);
  const char *part = ok ? session->options.operands[0] : "";
  if (ok && strlen(part) != STORE_PATH_HASH_CHARS) ok = err_set(&err, ERR_OTHER, "invalid hash part");
  ok = ok && store_view_find_hash_part(view, span_cstr(part), &path, &found, &err);
  if (ok && !found) ok = err_set(&err, ERR_NOT_FOUND, "there is no store path corresponding to '%s'", part);
  store_view_free(view);
  if (!ok) return session_fail(session, &err);
  store_path_format(&path, session_store_dir(session), &out);
  buf_put_char(&out, '\n');
  session_print(session, buf_span(&out));
  return 0;
}
