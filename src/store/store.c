// store.c: opening, questions, registration; the store as a service.
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "castore/blob_local.h"
#include "castore/castore_import.h"
#include "castore/castore_nar.h"
#include "castore/directory_local.h"
#include "castore/object_sync.h"
#include "formats/derivation_parse.h"
#include "formats/nixbase32.h"
#include "store/path_db_fresh.h"
#include "store/store_flat_tree.h"
#include "store/store_realisation.h"
#include "store/store_recover.h"
#include "store/store_resolve.h"
#include "store/store_state.h"
#include "store/store_sync.h"

#define STORE_DRV_BYTES_MAX ((size_t)256 << 20)

// ---- lists of paths

void store_path_list_done(StorePathList *list) {
  mem_free(list->paths);
  *list = (StorePathList)STORE_PATH_LIST_INIT;
}

void store_path_list_add(StorePathList *list, const StorePath *path) {
  MEM_RESERVE(list->paths, list->cap, list->count + 1);
  list->paths[list->count++] = *path;
}

void store_path_list_sort(StorePathList *list) {
  list->count = store_path_sort(list->paths, list->count);
}

// ---- opening

typedef struct StoreUrl {
  Buf root;
  Buf logical_dir;
  Buf tree_dir; // empty: "<root>/store"
  bool read_only;
  bool is_temporary;
} StoreUrl;

static bool store_url_parameter(StoreUrl *url, Span parameter, Err *err) {
  Span name, value = parameter;
  if (!span_split(&value, '=', &name))
    return err_set(err, ERR_USAGE, "store parameter '%.*s' has no value", SPAN_ARG(parameter));
  if (span_eq_cstr(name, "root")) {
    buf_clear(&url->root);
    fs_path_canon(SPAN("/"), value, &url->root);
    buf_put_cstr(&url->root, "/nix");
  } else if (span_eq_cstr(name, "store")) {
    buf_clear(&url->logical_dir);
    fs_path_canon(SPAN("/"), value, &url->logical_dir);
  } else if (span_eq_cstr(name, "real")) {
    buf_clear(&url->tree_dir);
    fs_path_canon(SPAN("/"), value, &url->tree_dir);
  } else if (span_eq_cstr(name, "read-only")) {
    url->read_only = span_eq_cstr(value, "true") || span_eq_cstr(value, "1");
  } else {
    return err_set(err, ERR_USAGE, "unknown store parameter '%.*s'", SPAN_ARG(name));
  }
  return true;
}

// Root may make /nix; everybody else uses it where an administrator has opened it.
static bool store_url_nix_is_writable(void) {
  if (geteuid() == 0) return access("/nix", W_OK) == 0 || (access("/nix", F_OK) != 0 && access("/", W_OK) == 0);
  return access("/nix/store", W_OK) == 0 && (access("/nix/var/firn", W_OK) == 0 || access("/nix/var", W_OK) == 0);
}

static bool store_url_auto(StoreUrl *url, Err *err) {
  if (store_url_nix_is_writable()) {
    buf_put_cstr(&url->root, "/nix");
    return true;
  }
  const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
  if (data && data[0] == '/') buf_printf(&url->root, "%s/firn", data);
  else if (home && home[0] == '/') buf_printf(&url->root, "%s/.local/share/firn", home);
  else
    return err_set(err, ERR_OTHER,
                   "no place for a store: /nix is not writable, and neither XDG_DATA_HOME nor HOME is set");
  return true;
}

static bool store_url_parse(Span text, StoreUrl *url, Err *err) {
  Span rest = text, place;
  (void)span_split(&rest, '?', &place);
  if (place.len == 0 || span_eq_cstr(place, "auto") || span_eq_cstr(place, "local")) {
    // decided below, unless root= says it
  } else if (span_eq_cstr(place, "memory:") || span_eq_cstr(place, "dummy://")) {
    const char *tmp = getenv("TMPDIR");
    url->is_temporary = true;
    if (!fs_make_temp_dir(tmp && tmp[0] == '/' ? tmp : "/tmp", "firn-store-", &url->root, err)) return false;
  } else if (span_has_prefix(place, SPAN("firn:/"))) {
    fs_path_canon(SPAN("/"), span_from(place, 5), &url->root);
  } else if (place.data[0] == '/' || place.data[0] == '.') {
    char *here = getcwd(NULL, 0);
    fs_path_canon(here ? span_cstr(here) : SPAN("/"), place, &url->root);
    free(here);
    buf_put_cstr(&url->root, "/nix");
  } else {
    size_t scheme_len = span_find(place, SPAN("://"));
    if (scheme_len == SIZE_MAX)
      return err_set(err, ERR_USAGE, "don't know how to open Nix store '%.*s'", SPAN_ARG(text));
    Span scheme = span_sub(place, 0, scheme_len);
    return err_set(err, ERR_OTHER, "don't know how to open Nix store with scheme '%.*s'", SPAN_ARG(scheme));
  }
  while (rest.len > 0) {
    Span parameter;
    (void)span_split(&rest, '&', &parameter);
    if (!store_url_parameter(url, parameter, err)) return false;
  }
  return url->root.len > 0 || store_url_auto(url, err);
}

static bool store_make_dirs(const Store *store, Err *err) {
  static const char *const names[] = {"var/firn/cache/stat", "var/nix/gcroots/auto", "var/nix/temproots",
                                      "var/nix/profiles", "var/log/nix/drvs"};
  CLEANUP(buf_done) Buf path = BUF_INIT;
  if (!fs_mkdir_all(store->tree_dir, 0755, err)) return false;
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    buf_clear(&path);
    buf_printf(&path, "%s/%s", store->root, names[i]);
    if (!fs_mkdir_all(buf_cstr(&path), 0755, err)) return false;
  }
  return true;
}

static bool store_open_db(Store *store, Err *err) {
  CLEANUP(buf_done) Buf path = BUF_INIT;
  store_state_format(store, "firn/db.sqlite", &path);
  if (store->read_only && !fs_exists(buf_cstr(&path))) return true;
  return path_db_open(buf_cstr(&path), &(PathDbOptions){.read_only = store->read_only, .no_sync = store->no_sync},
                      &store->db, err);
}

static bool store_open_parts(Store *store, Err *err) {
  if (!store->read_only && !store_make_dirs(store, err)) return false;
  ObjectStoreOptions options = {.read_only = store->read_only, .no_sync = store->no_sync};
  CLEANUP(buf_done) Buf path = BUF_INIT;
  if (store->read_only && !fs_exists(store->state_dir)) {
    // Only a lower layer: there is nothing of ours to read.
  } else {
    if (!object_store_open(store->state_dir, &options, &store->objects, err)) return false;
    store->castore.blobs = blob_local_new(store->objects, false);
    store->castore.directories = directory_local_new(store->objects, false);
    if (!store_open_db(store, err)) return false;
  }
  if (!store->read_only) {
    store_state_format(store, "firn/gc.lock", &path);
    if (!shared_lock_open(&store->gc_lock, buf_cstr(&path), err)) return false;
    if (!store->no_sync && !store_recover_run(store, err)) return false;
    store->synced_ms = store_state_now_ms();
  }
  buf_clear(&path);
  store_state_format(store, "nix/temproots", &path);
  store->temp_roots = temp_roots_new(buf_cstr(&path), store_dir(store));
  return true;
}

static const PathInfoServiceOps store_service_ops;

bool store_open(const StoreOptions *options, Store **ret, Err *err) {
  StoreUrl url = {.root = BUF_INIT, .logical_dir = BUF_INIT, .tree_dir = BUF_INIT};
  if (!store_url_parse(options->url, &url, err)) {
    buf_done(&url.root);
    buf_done(&url.logical_dir);
    buf_done(&url.tree_dir);
    return false;
  }
  Store *store = mem_alloc_zero(sizeof(*store));
  if (url.logical_dir.len == 0)
    buf_put_span(&url.logical_dir, options->logical_dir.len ? options->logical_dir : STORE_PATH_DIR);
  store->logical_dir = buf_take(&url.logical_dir);
  if (url.tree_dir.len == 0) buf_printf(&url.tree_dir, "%s/store", buf_cstr(&url.root));
  store->tree_dir = buf_take(&url.tree_dir);
  store->root = buf_take(&url.root);
  store->read_only = options->read_only || url.read_only;
  store->no_sync = options->no_sync || url.is_temporary;
  store->no_lower = options->no_lower || url.is_temporary;
  store->is_temporary = url.is_temporary;
  CLEANUP(buf_done) Buf state = BUF_INIT;
  store_state_format(store, "firn", &state);
  store->state_dir = buf_take(&state);
  store->service.ops = &store_service_ops;
  pthread_mutex_init(&store->mutex, NULL);
  pthread_mutex_init(&store->lower_mutex, NULL);
  pthread_mutex_init(&store->cache_mutex, NULL);
  pthread_mutex_init(&store->realisation_mutex, NULL);
  if (!store_open_parts(store, err)) {
    err_wrap(err, "opening the store at '%s'", store->root);
    store_free(store);
    return false;
  }
  *ret = store;
  return true;
}

void store_free(Store *store) {
  if (!store) return;
  Err err = ERR_INIT;
  if (!(store->unsynced > 0 || store->registered ? store_sync(store, &err) : store_flush(store, &err)))
    log_warn("%s", err_message(&err));
  err_done(&err);
  mem_free(store->pending);
  map_done(&store->pending_index);
  map_done(&store->trees);
  buf_done(&store->touched);
  store_state_drop_cache(store);
  temp_roots_free(store->temp_roots);
  path_db_close(store->db);
  local_nix_close(store->lower);
  store_realisation_close(store);
  blob_service_free(store->castore.blobs);
  directory_service_free(store->castore.directories);
  object_store_free(store->objects);
  shared_lock_close(&store->gc_lock);
  if (store->is_temporary && !fs_remove_tree(store->root, &err)) log_warn("%s", err_message(&err));
  err_done(&err);
  pthread_mutex_destroy(&store->mutex);
  pthread_mutex_destroy(&store->lower_mutex);
  pthread_mutex_destroy(&store->cache_mutex);
  pthread_mutex_destroy(&store->realisation_mutex);
  mem_free(store->logical_dir);
  mem_free(store->root);
  mem_free(store->tree_dir);
  mem_free(store->state_dir);
  mem_free(store);
}

// ---- names

Span store_dir(const Store *store) {
  return span_cstr(store->logical_dir);
}

const char *store_root(const Store *store) {
  return store->root;
}

const char *store_tree_dir(const Store *store) {
  return store->tree_dir;
}

const char *store_state_dir(const Store *store) {
  return store->state_dir;
}

bool store_is_read_only(const Store *store) {
  return store->read_only;
}

ObjectStore *store_objects(Store *store) {
  return store->objects;
}

const Castore *store_castore(Store *store) {
  return &store->castore;
}

PathInfoService *store_path_infos(Store *store) {
  return &store->service;
}

bool store_scratch(Store *store, Span suffix, Buf *ret, Err *err) {
  return store_state_writable(store, err) && object_store_scratch(store->objects, suffix, ret, err);
}

bool store_parse_path(const Store *store, Span path, StorePath *ret, Err *err) {
  return store_path_parse(path, store_dir(store), ret, err);
}

void store_format_path(const Store *store, const StorePath *path, Buf *ret) {
  store_path_format(path, store_dir(store), ret);
}

void store_format_physical(const Store *store, const StorePath *path, Buf *ret) {
  buf_printf(ret, "%s/", store->tree_dir);
  store_path_format_base(path, ret);
}

// ---- questions

static PathInfoRecord *store_find_pending(Store *store, const uint8_t digest[20]) {
  pthread_mutex_lock(&store->mutex);
  const PathInfoRecord *record =
      store->pending_count > 0 ? map_get(&store->pending_index, span_make(digest, STORE_PATH_DIGEST_BYTES)) : NULL;
  PathInfoRecord *copy = record ? path_info_service_record_copy(record) : NULL;
  pthread_mutex_unlock(&store->mutex);
  return copy;
}

static bool store_find_digest(Store *store, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  LocalNix *lower;
  *ret = store_find_pending(store, digest);
  if (*ret) return true;
  if (store->db && !path_db_get(store->db, digest, ret, err)) return false;
  if (*ret) return true;
  return store_state_lower(store, &lower, err) && (!lower || local_nix_get(lower, digest, ret, err));
}

// Two paths never share a hash part, except in a question about a path that does not exist.
static bool store_find_exact(Store *store, const StorePath *path, PathInfoRecord **ret, Err *err) {
  if (!store_find_digest(store, path->digest, ret, err)) return false;
  if (*ret && !store_path_eq(&(*ret)->info.path, path)) path_info_service_record_free(STEAL(*ret));
  return true;
}

bool store_find(Store *store, const StorePath *path, PathInfoRecord **ret, Err *err) {
  return store_find_exact(store, path, ret, err);
}

bool store_get(Store *store, const StorePath *path, PathInfoRecord **ret, Err *err) {
  return store_find_exact(store, path, ret, err) && (*ret || store_state_invalid(store, path, err));
}

static bool store_is_pending(Store *store, const StorePath *path) {
  pthread_mutex_lock(&store->mutex);
  bool pending =
      store->pending_count > 0 && map_has(&store->pending_index, span_make(path->digest, sizeof(path->digest)));
  pthread_mutex_unlock(&store->mutex);
  return pending;
}

// Valid although the database does not know it.
static bool store_is_valid_elsewhere(Store *store, const StorePath *path, bool *ret, Err *err) {
  *ret = store_is_pending(store, path);
  return *ret || store_state_is_lower(store, path, ret, err);
}

bool store_is_valid(Store *store, const StorePath *path, bool *ret, Err *err) {
  *ret = store_is_pending(store, path);
  if (*ret) return true;
  if (store->db && !path_db_is_valid(store->db, path->digest, ret, NULL, err)) return false;
  return *ret || store_state_is_lower(store, path, ret, err);
}

bool store_find_hash_part(Store *store, Span hash, StorePath *ret, bool *ret_found, Err *err) {
  uint8_t digest[STORE_PATH_DIGEST_BYTES];
  if (!nixbase32_decode(hash, digest, sizeof(digest)))
    return err_set(err, ERR_SYNTAX, "'%.*s' is not the hash part of a store path", SPAN_ARG(hash));
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  if (!store_find_digest(store, digest, &record, err)) return false;
  *ret_found = record != NULL;
  if (record) *ret = record->info.path;
  return true;
}

bool store_referrers(Store *store, const StorePath *path, StorePathList *ret, Err *err) {
  LocalNix *lower;
  if (!store_flush(store, err) || (store->db && !path_db_referrers(store->db, path->digest, ret, err)) ||
      !store_state_lower(store, &lower, err))
    return false;
  if (lower && !local_nix_referrers(lower, path->digest, ret, err)) return false;
  store_path_list_sort(ret);
  return true;
}

// The derivations of that name that have `path` as an output.
static bool store_derivers_called(Store *store, const StorePath *path, Span name, StorePathList *ret, Err *err) {
  StorePathList found = STORE_PATH_LIST_INIT;
  bool ok = path_db_derivations(store->db, name, &found, err);
  for (size_t i = 0; ok && i < found.count; i++) {
    StorePathList outputs = STORE_PATH_LIST_INIT;
    ok = store_outputs(store, &found.paths[i], &outputs, err);
    for (size_t k = 0; k < outputs.count; k++)
      if (store_path_eq(&outputs.paths[k], path)) store_path_list_add(ret, &found.paths[i]);
    store_path_list_done(&outputs);
  }
  store_path_list_done(&found);
  return ok;
}

bool store_derivers(Store *store, const StorePath *path, StorePathList *ret, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  LocalNix *lower;
  bool valid = false;
  if (!store_flush(store, err) || !store_get(store, path, &record, err) || !store_state_lower(store, &lower, err))
    return false;
  if (record->info.has_deriver && !store_is_valid(store, &record->info.deriver, &valid, err)) return false;
  if (valid) store_path_list_add(ret, &record->info.deriver);
  // An output is called as its derivation is, or that with "-" and its own name.
  Span name = span_make(path->name, path->name_len);
  if (store->db && !store_derivers_called(store, path, name, ret, err)) return false;
  for (size_t i = name.len; store->db && i-- > 1;)
    if (name.data[i] == '-' && !store_derivers_called(store, path, span_sub(name, 0, i), ret, err)) return false;
  if (lower && !local_nix_derivers(lower, path, ret, err)) return false;
  store_path_list_sort(ret);
  return true;
}

bool store_outputs(Store *store, const StorePath *drv_path, StorePathList *ret, Err *err) {
  CLEANUP(store_resolve_done) StoreResolved file = STORE_RESOLVED_INIT;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  Derivation drv;
  Span name;
  if (!derivation_name_of_path(drv_path, &name, err) || !store_resolve(store, drv_path, SPAN(""), &file, err) ||
      !store_resolve_read(store, &file, STORE_DRV_BYTES_MAX, &text, err) ||
      !derivation_parse(buf_span(&text), name, store_dir(store), &arena, &drv, err))
    return err_wrap(err, "reading the derivation '%s'", drv_path->name);
  for (size_t i = 0; i < drv.output_count; i++) {
    StorePath path;
    if (drv.outputs[i].path.len == 0) continue;
    if (!store_parse_path(store, drv.outputs[i].path, &path, err)) return false;
    store_path_list_add(ret, &path);
  }
  return true;
}

bool store_all(Store *store, StorePathList *ret, Err *err) {
  LocalNix *lower;
  if (!store_flush(store, err) || (store->db && !path_db_all(store->db, ret, err)) ||
      !store_state_lower(store, &lower, err))
    return false;
  if (lower && !local_nix_all(lower, ret, err)) return false;
  store_path_list_sort(ret);
  return true;
}

// ---- use

bool store_pin(Store *store, const StorePath *path, bool *ret_valid, Err *err) {
  if (store->read_only || temp_roots_has(store->temp_roots, path)) return store_is_valid(store, path, ret_valid, err);
  if (!shared_lock_take(&store->gc_lock, err)) return false;
  bool ok = temp_roots_add(store->temp_roots, path, err) && store_is_valid(store, path, ret_valid, err);
  shared_lock_release(&store->gc_lock);
  return ok;
}

static bool store_are_valid(Store *store, const StorePath *paths, size_t count, bool *ret, Err *err) {
  memset(ret, 0, count * sizeof(*ret));
  if (store->db && !path_db_are_valid(store->db, paths, count, ret, err)) return false;
  for (size_t i = 0; i < count; i++)
    if (!ret[i] && !store_is_valid_elsewhere(store, &paths[i], &ret[i], err)) return false;
  return true;
}

bool store_pin_many(Store *store, const StorePath *paths, size_t count, bool *ret_valid, Err *err) {
  if (count == 0) return true;
  if (store->read_only) return store_are_valid(store, paths, count, ret_valid, err);
  if (!shared_lock_take(&store->gc_lock, err)) return false;
  bool ok =
      temp_roots_add_many(store->temp_roots, paths, count, err) && store_are_valid(store, paths, count, ret_valid, err);
  shared_lock_release(&store->gc_lock);
  return ok;
}

bool store_dump(Store *store, const StorePath *path, const ByteSink *sink, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  if (!store_get(store, path, &record, err)) return false;
  if (record->has_root)
    return castore_nar_write(&store->castore, &record->info.root, sink, err) ||
           err_wrap(err, "dumping '%s'", path->name);
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  store_format_physical(store, path, &physical);
  return castore_nar_dump_path(buf_cstr(&physical), sink, err);
}

bool store_root_node(Store *store, const StorePath *path, Arena *arena, CastoreNode *ret, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  if (!store_get(store, path, &record, err)) return false;
  if (record->has_root) {
    *ret = record->info.root;
    ret->target = arena_dup(arena, ret->target);
    return true;
  }
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
  store_format_physical(store, path, &physical);
  if (!object_store_begin(store->objects, err)) return false;
  bool ok = castore_import_path(&store->castore, buf_cstr(&physical), &(CastoreImportOptions){.hash_nar = false},
                                &import, err) &&
            object_store_flush(store->objects, err);
  object_store_end(store->objects);
  if (!ok) return false;
  *ret = import.root;
  ret->target = arena_dup(arena, ret->target);
  return true;
}

static bool store_commit_pending(Store *store, Err *err);

// ---- registration: the order of its steps is what makes the store crash-safe

// Puts one tree in place. *ret_placed false when it is not needed, because the path has its tree already; then it was removed.
static bool store_register_tree(Store *store, const StoreRegistration *item, bool *ret_placed, Err *err) {
  const StorePath *path = &item->info->path;
  bool valid = false, has_tree = false, lower = false;
  *ret_placed = false;
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  store_format_physical(store, path, &physical);
  if (!path_db_is_valid(store->db, path->digest, &valid, &has_tree, err) ||
      !store_state_is_lower(store, path, &lower, err))
    return false;
  if (lower || (valid && has_tree && fs_exists(buf_cstr(&physical)))) return fs_remove_tree(item->tree, err);
  CLEANUP(buf_done) Buf garbage = BUF_INIT;
  if (!store_state_move_away(store, path, &garbage, err) || !store_state_place_tree(store, item->tree, path, err))
    return false;
  *ret_placed = true;
  return garbage.len == 0 || fs_remove_tree(buf_cstr(&garbage), err);
}

static bool store_register_commit(Store *store, const StoreRegistration *items, size_t count, Err *err) {
  PathDbItem *rows = mem_alloc_zero((count ? count : 1) * sizeof(*rows));
  PathInfoRecord **records = mem_alloc_zero((count ? count : 1) * sizeof(*records));
  CLEANUP(shared_lock_drop) int lock = -1;
  bool any_tree = false, ok = true;
  for (size_t i = 0; i < count; i++) any_tree = any_tree || items[i].tree;
  if (any_tree) ok = store_state_lock_trees(store, &lock, err);
  for (size_t i = 0; ok && i < count; i++) {
    records[i] = path_info_service_record_of(items[i].info, true, items[i].ultimate, time(NULL));
    rows[i].record = records[i];
    if (items[i].tree) ok = store_register_tree(store, &items[i], &rows[i].has_tree, err);
  }
  ok = ok && path_db_put(store->db, rows, count, store_state_use_lower, store, err);
  if (ok) {
    pthread_mutex_lock(&store->mutex);
    for (size_t i = 0; i < count; i++)
      if (rows[i].has_tree)
        map_set(&store->trees, span_make(items[i].info->path.digest, STORE_PATH_DIGEST_BYTES), NULL);
    pthread_mutex_unlock(&store->mutex);
  }
  for (size_t i = 0; i < count; i++) path_info_service_record_free(records[i]);
  mem_free(records);
  mem_free(rows);
  return ok;
}

bool store_register(Store *store, const StoreRegistration *items, size_t count, Err *err) {
  if (!store_state_writable(store, err) || !store_commit_pending(store, err)) return false;
  if (!object_store_begin(store->objects, err)) return false;
  bool ok = shared_lock_take(&store->gc_lock, err);
  if (ok) {
    for (size_t i = 0; ok && i < count; i++) ok = temp_roots_add(store->temp_roots, &items[i].info->path, err);
    ok = ok && store_state_publish(store, err) && store_register_commit(store, items, count, err);
    shared_lock_release(&store->gc_lock);
  }
  object_store_end(store->objects);
  return ok && store_state_written(store, true, err);
}

// The mutex is held.
static bool store_register_flush_pending(Store *store, Err *err) {
  size_t count = store->pending_count;
  PathDbItem *rows = mem_alloc_zero(count * sizeof(*rows));
  CLEANUP(shared_lock_drop)
  int lock = -1; // until the flags of the trees are committed: a tree without it counts as garbage
  for (size_t i = 0; i < count; i++) rows[i].record = store->pending[i];
  bool ok = store_state_publish(store, err) &&
            (!store->want_trees ||
             (store_state_lock_trees(store, &lock, err) && store_flat_tree_make(store, rows, count, err))) &&
            path_db_put(store->db, rows, count, store_state_use_lower, store, err);
  for (size_t i = 0; ok && i < count; i++)
    if (rows[i].has_tree)
      map_set(&store->trees, span_make(rows[i].record->info.path.digest, STORE_PATH_DIGEST_BYTES), NULL);
  mem_free(rows);
  // What could not be written is dropped: the caller was told, and a second attempt would fail in the same way.
  for (size_t i = 0; i < count; i++) path_info_service_record_free(store->pending[i]);
  store->pending_count = 0;
  map_done(&store->pending_index);
  store->pending_index = (Map)MAP_INIT;
  object_store_end(store->objects);
  return ok;
}

static bool store_commit_pending_some(Store *store, bool *ret_some, Err *err) {
  pthread_mutex_lock(&store->mutex);
  *ret_some = store->pending_count > 0;
  bool ok = !*ret_some || store_register_flush_pending(store, err);
  pthread_mutex_unlock(&store->mutex);
  return ok;
}

static bool store_commit_pending(Store *store, Err *err) {
  bool some;
  return store_commit_pending_some(store, &some, err);
}

bool store_flush(Store *store, Err *err) {
  bool some;
  return store_commit_pending_some(store, &some, err) && (!some || store_state_written(store, true, err));
}

void store_want_trees(Store *store, bool want) {
  store->want_trees = want;
}

void store_defer_sync(Store *store, bool defer) {
  store->defer_sync = defer && store->can_defer;
}

bool store_sync(Store *store, Err *err) {
  CLEANUP(shared_lock_drop) int lock = -1;
  bool fresh = false;
  if (!store_commit_pending(store, err)) return false;
  if (store->no_sync || store->read_only) return true;
  unsigned unsynced = __atomic_load_n(&store->unsynced, __ATOMIC_ACQUIRE);
  __atomic_store_n(&store->registered, false, __ATOMIC_RELEASE);
  if (unsynced == 0 && (!path_db_has_fresh(store->db, &fresh, err) || !fresh)) return !err || !err_is_set(err);
  // Whoever waited for the lock may find that the owner has waited for the disk on behalf of all; unless something was written that no row tells of.
  if (!object_sync_lock(store->objects, &lock, err) || !path_db_has_fresh(store->db, &fresh, err)) return false;
  if (fresh || unsynced > 0) {
    if (!path_db_fresh_waits(store->db, err) || !store_sync_wait(store, err) || !path_db_fresh_done(store->db, err))
      return err_wrap(err, "making the store at '%s' durable", store->root);
  }
  __atomic_sub_fetch(&store->unsynced, unsynced, __ATOMIC_ACQ_REL);
  store->synced_ms = store_state_now_ms();
  return true;
}

bool store_add_signatures(Store *store, const StorePath *path, const Signature *sigs, size_t count, Err *err) {
  bool valid = false;
  if (!store_state_writable(store, err) || !store_flush(store, err) ||
      !path_db_is_valid(store->db, path->digest, &valid, NULL, err))
    return false;
  if (!valid) return store_state_invalid(store, path, err);
  return path_db_add_sigs(store->db, path->digest, sigs, count, err) && store_state_written(store, false, err);
}

// ---- as a service

static Store *store_of_service(PathInfoService *service) {
  return (Store *)((char *)service - offsetof(Store, service));
}

static bool store_service_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  return store_find_digest(store_of_service(service), digest, ret, err);
}

static bool store_service_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count, Err *err) {
  StoreRegistration *items = mem_alloc_zero((count ? count : 1) * sizeof(*items));
  for (size_t i = 0; i < count; i++)
    items[i] = (StoreRegistration){.info = &records[i]->info, .ultimate = records[i]->ultimate};
  bool ok = store_register(store_of_service(service), items, count, err);
  mem_free(items);
  return ok;
}

static bool store_service_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  Store *store = store_of_service(service);
  LocalNix *lower;
  if (!store_flush(store, err) || (store->db && !path_db_list(store->db, visit, ctx, err)) ||
      !store_state_lower(store, &lower, err))
    return false;
  return !lower || local_nix_list(lower, visit, ctx, err);
}

static void store_service_free(PathInfoService *service) {
  (void)service; // lives as long as the store
}

static const PathInfoServiceOps store_service_ops = {"store", store_service_get, store_service_put, store_service_list,
                                                     store_service_free};
