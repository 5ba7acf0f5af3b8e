// pending_paths.c: see pending_paths.h.
#include "glue/pending_paths.h"

#include "base/fs.h"
#include "base/map.h"
#include "base/mem.h"

struct PendingPaths {
  Arena arena;
  Span store_dir;
  PendingPath **items; // in the order of naming: references of a text come before it
  size_t count, cap;
  size_t stored_prefix; // items before this one are stored
  size_t open_count;
  Map by_path;   // store path -> PendingPath
  Map by_source; // host path NUL name NUL method -> PendingPath, unfiltered ones
};

PendingPaths *pending_paths_new(Span store_dir) {
  PendingPaths *pending = mem_alloc_zero(sizeof(*pending));
  pending->store_dir = arena_dup(&pending->arena, store_dir);
  return pending;
}

static void free_accepted(Map *accepted) {
  if (!accepted) return;
  map_done(accepted);
  mem_free(accepted);
}

void pending_paths_free(PendingPaths *pending) {
  if (!pending) return;
  for (size_t i = 0; i < pending->count; i++) free_accepted(pending->items[i]->accepted);
  mem_free(pending->items);
  map_done(&pending->by_path);
  map_done(&pending->by_source);
  arena_done(&pending->arena);
  mem_free(pending);
}

const PendingPath *pending_paths_find(const PendingPaths *pending, Span store_path) {
  return map_get(&pending->by_path, store_path);
}
size_t pending_paths_count(const PendingPaths *pending) {
  return pending->open_count;
}

// Takes `accepted`.
static PendingPath *enter(PendingPaths *pending, const StorePath *path, Map *accepted) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, pending->store_dir, &text);
  PendingPath *item = map_get(&pending->by_path, buf_span(&text));
  if (item) {
    free_accepted(accepted);
    return item;
  }
  item = ARENA_NEW(&pending->arena, PendingPath);
  *item = (PendingPath){.path = *path, .accepted = accepted, .is_filtered = accepted != NULL};
  map_set(&pending->by_path, buf_span(&text), item);
  MEM_RESERVE(pending->items, pending->cap, pending->count + 1);
  pending->items[pending->count++] = item;
  pending->open_count++;
  return item;
}

static bool keep_accepted(void *ctx, Span path, CastoreKind kind, bool *ret_keep, Err *err) {
  *ret_keep = map_has(ctx, path);
  return true;
}

static void source_key(const PendingSource *source, Buf *ret) {
  buf_put_cstr(ret, source->host_path);
  buf_put_char(ret, 0);
  buf_put_span(ret, source->name);
  buf_put_char(ret, 0);
  buf_put_char(ret, source->method == CA_FLAT ? 'f' : 'r');
}

bool pending_paths_add_source(PendingPaths *pending, const PendingSource *source, const PendingPath **ret, Err *err) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  source_key(source, &key);
  if (!source->accepted && (*ret = map_get(&pending->by_source, buf_span(&key)))) return true;

  ContentAddress ca = {.method = source->method, .hash = {.algo = HASH_SHA256}};
  SourceHashFilter filter = {source->accepted ? keep_accepted : NULL, source->accepted};
  StorePath path;
  if (!source_hash_path(source->host_path, source->method, &filter, ca.hash.bytes, err) ||
      !store_path_make_fixed(source->name, &ca, NULL, pending->store_dir, &path, err)) {
    free_accepted(source->accepted);
    return false;
  }
  PendingPath *item = enter(pending, &path, source->accepted);
  if (!item->host_path.len) {
    item->host_path = arena_dup(&pending->arena, span_cstr(source->host_path));
    item->method = source->method;
  }
  if (!source->accepted) map_set(&pending->by_source, buf_span(&key), item);
  *ret = item;
  return true;
}

bool pending_paths_add_text(PendingPaths *pending, Span name, Span text, const Span *refs, size_t ref_count,
                            const PendingPath **ret, Err *err) {
  uint8_t sha256[32];
  hash_sha256(text, sha256);
  StorePathRefs references = {.paths = refs, .count = ref_count};
  StorePath path;
  if (!store_path_make_text(name, sha256, &references, pending->store_dir, &path, err)) return false;
  StorePath *parsed = ARENA_ARRAY(&pending->arena, StorePath, ref_count);
  for (size_t i = 0; i < ref_count; i++)
    if (!store_path_parse(refs[i], pending->store_dir, &parsed[i], err)) return false;
  PendingPath *item = enter(pending, &path, NULL);
  if (!item->is_text) {
    item->is_text = true;
    item->text = arena_dup(&pending->arena, text);
    item->refs = parsed;
    item->ref_count = ref_count;
  }
  *ret = item;
  return true;
}

static void mark_stored(PendingPaths *pending, PendingPath *item) {
  item->is_stored = true;
  pending->open_count--;
}

static bool store_source(PendingPaths *pending, Store *store, PendingPath *item, Err *err) {
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  struct stat st;
  options.method = item->method;
  options.defer = true;
  // Remembering the state of a single file costs more than reading it again.
  options.no_stat_cache = lstat(item->host_path.data, &st) != 0 || !S_ISDIR(st.st_mode);
  if (item->accepted) {
    options.filter = keep_accepted;
    options.filter_ctx = item->accepted;
  }
  bool valid;
  if (!store_pin(store, &item->path, &valid, err)) return false;
  StorePath path = item->path;
  if (!valid && !store_add_path(store, store_path_name(&item->path), item->host_path.data, &options, &path, err))
    return err_wrap(err, "adding '%.*s' to the store", SPAN_ARG(item->host_path));
  if (!store_path_eq(&path, &item->path))
    return err_set(err, ERR_OTHER, "'%.*s' has changed since it was evaluated; please try again",
                   SPAN_ARG(item->host_path));
  mark_stored(pending, item);
  return true;
}

static bool store_text(PendingPaths *pending, Store *store, PendingPath *item, Err *err) {
  StorePath path;
  if (!store_add_text(store, store_path_name(&item->path), item->text, item->refs, item->ref_count, &path, err))
    return false;
  mark_stored(pending, item);
  return true;
}

const PendingPath *pending_paths_get(const PendingPaths *pending, size_t index) {
  return index < pending->count ? pending->items[index] : NULL;
}

bool pending_paths_store(PendingPaths *pending, Store *store, Err *err) {
  while (pending->stored_prefix < pending->count) {
    PendingPath *item = pending->items[pending->stored_prefix];
    if (!item->is_stored &&
        !(item->is_text ? store_text(pending, store, item, err) : store_source(pending, store, item, err)))
      return false;
    pending->stored_prefix++;
  }
  return true;
}

bool pending_paths_store_one(PendingPaths *pending, Store *store, const PendingPath *path, Err *err) {
  if (path->is_stored) return true;
  // A text may refer to others: everything named so far is simpler than its closure, and about to be needed anyway.
  if (path->is_text) return pending_paths_store(pending, store, err);
  return store_source(pending, store, (PendingPath *)path, err);
}
