// store_view.c: see store_view.h.
#include "cli/store_view.h"

#include "base/mem.h"
#include "cli/substitution.h"
#include "formats/nixbase32.h"

struct StoreView {
  Store *store; // borrowed unless `owns_store`
  bool owns_store;
  BinaryCache *cache;
  HttpClient *client;
  char *uri; // owned
  Arena arena;
  Map infos; // digest -> StoreViewInfo; the value is NULL for what is not there
};

bool store_view_is_cache_url(const char *url) {
  static const char *const schemes[] = {"file:/", "http://", "https://"};
  for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
    if (span_has_prefix(span_cstr(url), span_cstr(schemes[i]))) return true;
  return false;
}

StoreView *store_view_of(Store *store) {
  StoreView *view = mem_alloc_zero(sizeof(*view));
  view->store = store;
  view->uri = span_dup(SPAN("local"));
  return view;
}

static bool open_cache(Session *session, const char *url, StoreView *view, Err *err) {
  HttpClientConfig config = substitution_http(session);
  view->client = http_client_new(&config);
  if (!binary_cache_open_url(span_cstr(url), view->client, NULL, session_store_dir(session), &view->cache, err))
    return false;
  view->uri = span_dup(span_cstr(binary_cache_url(view->cache)));
  return true;
}

bool store_view_open(Session *session, const char *url, StoreView **ret, Err *err) {
  const char *own = setting_text(session->settings, SETTING_ID_store);
  StoreView *view = mem_alloc_zero(sizeof(*view));
  bool ok = true;
  if (store_view_is_cache_url(url ? url : own)) {
    ok = open_cache(session, url ? url : own, view, err);
  } else if (!url) {
    ok = session_store(session, &view->store, err);
    view->uri = span_dup(SPAN("local"));
  } else {
    ok = store_open(&(StoreOptions){.url = span_cstr(url), .logical_dir = session_store_dir(session)}, &view->store,
                    err) ||
         err_wrap(err, "opening the store '%s'", url);
    view->owns_store = ok;
    view->uri = span_dup(span_cstr(url));
  }
  if (!ok) store_view_free(view);
  else *ret = view;
  return ok;
}

void store_view_free(StoreView *view) {
  if (!view) return;
  binary_cache_free(view->cache);
  http_client_free(view->client);
  if (view->owns_store) store_free(view->store);
  map_done(&view->infos);
  arena_done(&view->arena);
  mem_free(view->uri);
  mem_free(view);
}

Store *store_view_store(StoreView *view) {
  return view->store;
}

BinaryCache *store_view_cache(StoreView *view) {
  return view->cache;
}

Span store_view_dir(const StoreView *view) {
  return view->store ? store_dir(view->store) : binary_cache_store_dir(view->cache);
}

const char *store_view_uri(const StoreView *view) {
  return view->uri;
}

// ---- descriptions

static Span key_of(const StorePath *path) {
  return span_make(path->digest, sizeof(path->digest));
}

// What the record of a store says, as a copy in the arena.
static StoreViewInfo *copy_record(StoreView *view, const PathInfoRecord *record) {
  StoreViewInfo *info = ARENA_NEW(&view->arena, StoreViewInfo);
  *info = (StoreViewInfo){.info = record->info, .ultimate = record->ultimate, .registered_at = record->registered_at};
  info->info.root = (CastoreNode){.kind = CASTORE_DIRECTORY};
  info->info.refs = ARENA_ARRAY(&view->arena, StorePath, record->info.ref_count + 1);
  info->info.sigs = ARENA_ARRAY(&view->arena, Signature, record->info.sig_count + 1);
  for (size_t i = 0; i < record->info.ref_count; i++) info->info.refs[i] = record->info.refs[i];
  for (size_t i = 0; i < record->info.sig_count; i++) {
    info->info.sigs[i] = record->info.sigs[i];
    info->info.sigs[i].key_name = arena_dup(&view->arena, record->info.sigs[i].key_name);
  }
  return info;
}

static bool read_cache(StoreView *view, const StorePath *path, StoreViewInfo **ret, Err *err) {
  NarInfo *narinfo = ARENA_NEW(&view->arena, NarInfo);
  bool found;
  *ret = NULL;
  if (!binary_cache_find(view->cache, path->digest, &view->arena, narinfo, &found, err)) return false;
  if (!found) return true;
  *ret = ARENA_NEW(&view->arena, StoreViewInfo);
  **ret = (StoreViewInfo){.narinfo = narinfo};
  return binary_cache_path_info(narinfo, &view->arena, &(*ret)->info, err);
}

bool store_view_find(StoreView *view, const StorePath *path, const StoreViewInfo **ret, Err *err) {
  StoreViewInfo *info = map_get(&view->infos, key_of(path));
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  *ret = info;
  if (info || map_has(&view->infos, key_of(path))) return true;
  if (view->cache) {
    if (!read_cache(view, path, &info, err)) return false;
  } else {
    if (!store_find(view->store, path, &record, err)) return false;
    if (record) info = copy_record(view, record);
  }
  map_set(&view->infos, key_of(path), info);
  *ret = info;
  return true;
}

bool store_view_get(StoreView *view, const StorePath *path, const StoreViewInfo **ret, Err *err) {
  if (!store_view_find(view, path, ret, err)) return false;
  if (*ret) return true;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, store_view_dir(view), &text);
  return err_set(err, ERR_NOT_FOUND, "path '%s' is not valid", buf_cstr(&text));
}

bool store_view_find_hash_part(StoreView *view, Span hash, StorePath *ret, bool *ret_found, Err *err) {
  if (view->store) return store_find_hash_part(view->store, hash, ret, ret_found, err);
  StorePath path = {.name_len = 0};
  const StoreViewInfo *info;
  if (hash.len != STORE_PATH_HASH_CHARS || !nixbase32_decode(hash, path.digest, sizeof(path.digest)))
    return err_set(err, ERR_USAGE, "invalid hash part");
  if (!store_view_find(view, &path, &info, err)) return false;
  *ret_found = info != NULL;
  if (info) *ret = info->info.path;
  return true;
}

bool store_view_all(StoreView *view, StorePathList *ret, Err *err) {
  return view->store ? store_all(view->store, ret, err) : binary_cache_all(view->cache, ret, err);
}

// ---- graphs

// Depth first without recursion: closures are as deep as chains of packages are long.
typedef struct WalkStep {
  const StoreViewInfo *info;
  size_t next; // reference
} WalkStep;

typedef struct Walk {
  StoreView *view;
  const Map *among; // NULL: everything; else only these are entered
  Map seen;
  WalkStep *steps;
  size_t count, cap;
  StorePathList *ret; // references first
} Walk;

static bool walk_enter(Walk *walk, const StorePath *path, Err *err) {
  const StoreViewInfo *info;
  if (map_has(&walk->seen, key_of(path))) return true;
  map_set(&walk->seen, key_of(path), NULL);
  if (walk->among ? !store_view_find(walk->view, path, &info, err) : !store_view_get(walk->view, path, &info, err))
    return false;
  if (!info) return store_path_list_add(walk->ret, path), true; // it refers to nothing that is known
  MEM_RESERVE(walk->steps, walk->cap, walk->count + 1);
  walk->steps[walk->count++] = (WalkStep){.info = info};
  return true;
}

static bool walk_from(Walk *walk, const StorePath *root, Err *err) {
  if (!walk_enter(walk, root, err)) return false;
  while (walk->count > 0) {
    WalkStep *step = &walk->steps[walk->count - 1];
    if (step->next == step->info->info.ref_count) {
      store_path_list_add(walk->ret, &step->info->info.path);
      walk->count--;
      continue;
    }
    const StorePath *ref = &step->info->info.refs[step->next++];
    if ((!walk->among || map_has(walk->among, key_of(ref))) && !walk_enter(walk, ref, err)) return false;
  }
  return true;
}

static bool walk(StoreView *view, const StorePath *roots, size_t count, const Map *among, StorePathList *ret,
                 Err *err) {
  Walk walk = {.view = view, .among = among, .ret = ret};
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) ok = walk_from(&walk, &roots[i], err);
  map_done(&walk.seen);
  mem_free(walk.steps);
  return ok;
}

bool store_view_closure(StoreView *view, const StorePath *roots, size_t count, StorePathList *ret, Err *err) {
  if (view->store)
    return store_closure(view->store, roots, count, &(StoreClosureOptions){.topological = true}, ret, err);
  return walk(view, roots, count, NULL, ret, err);
}

bool store_view_sort(StoreView *view, StorePathList *paths, Err *err) {
  StorePathList sorted = STORE_PATH_LIST_INIT;
  Map among CLEANUP(map_done) = MAP_INIT;
  store_path_list_sort(paths);
  for (size_t i = 0; i < paths->count; i++) map_set(&among, key_of(&paths->paths[i]), NULL);
  bool ok = walk(view, paths->paths, paths->count, &among, &sorted, err);
  store_path_list_done(paths);
  *paths = sorted;
  return ok;
}

bool store_view_dump(StoreView *view, const StorePath *path, const ByteSink *sink, Err *err) {
  const StoreViewInfo *info;
  if (view->store) return store_dump(view->store, path, sink, err);
  return store_view_get(view, path, &info, err) && binary_cache_dump(view->cache, info->narinfo, sink, err);
}
