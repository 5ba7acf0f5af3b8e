// realisation_closure.c: see realisation_closure.h.
#include "realise/realisation_closure.h"

#include <stdlib.h>

#include "base/map.h"
#include "realise/drv_load.h"
#include "store/store_realisation.h"

#define DEPTH_MAX 10000u // of derivations that need each other

typedef struct Item {
  Realisation realisation;
  PathInfoRecord *record; // owned
} Item;

struct RealisationClosure {
  Store *store;
  DrvHashes *hashes;
  Arena arena;
  Map known; // "<drv path>!<output>" -> Item, in the arena; NULL: it has none
  Map by_id; // -> Item
  Item **items;
  size_t count, cap;
};

RealisationClosure *realisation_closure_new(Store *store) {
  RealisationClosure *closure = mem_alloc_zero(sizeof *closure);
  closure->store = store;
  closure->hashes = drv_hashes_new(store);
  return closure;
}

void realisation_closure_free(RealisationClosure *closure) {
  if (!closure) return;
  for (size_t i = 0; i < closure->count; i++) path_info_service_record_free(closure->items[i]->record);
  mem_free(closure->items);
  map_done(&closure->known);
  map_done(&closure->by_id);
  drv_hashes_free(closure->hashes);
  arena_done(&closure->arena);
  mem_free(closure);
}

static int compare_deps(const void *a, const void *b) {
  return span_cmp(((const RealisationDep *)a)->id, ((const RealisationDep *)b)->id);
}

static bool refers_to(const Item *item, const StorePath *path) {
  for (size_t i = 0; i < item->record->info.ref_count; i++)
    if (store_path_eq(&item->record->info.refs[i], path)) return true;
  return false;
}

static bool add(RealisationClosure *closure, const StorePath *drv_path, Span output, unsigned depth, Item **ret,
                Err *err);

static void collect_deep(RealisationClosure *closure, Item *item, Map *ret) {
  const Realisation *realisation = &item->realisation;
  if (map_has(ret, realisation->id)) return;
  map_set(ret, realisation->id, item);
  for (size_t i = 0; i < realisation->dep_count; i++)
    collect_deep(closure, map_get(&closure->by_id, realisation->deps[i].id), ret);
}

// The realisations that the inputs are, and those that these depend on.
static bool collect_inputs(RealisationClosure *closure, const Derivation *drv, unsigned depth, Map *ret, Err *err) {
  for (size_t i = 0; i < drv->input_drv_count; i++) {
    const DerivationInput *input = &drv->input_drvs[i];
    StorePath path;
    if (!store_parse_path(closure->store, input->key, &path, err)) return false;
    for (size_t k = 0; k < input->output_count; k++) {
      Item *item;
      if (!add(closure, &path, input->outputs[k], depth + 1, &item, err)) return false;
      if (item) collect_deep(closure, item, ret);
    }
  }
  return true;
}

static bool set_deps(RealisationClosure *closure, const Derivation *drv, unsigned depth, Item *item, Err *err) {
  Map inputs = MAP_INIT;
  Realisation *realisation = &item->realisation;
  bool ok = collect_inputs(closure, drv, depth, &inputs, err);
  realisation->deps = ARENA_ARRAY(&closure->arena, RealisationDep, inputs.live_count + 1);
  for (MapEntry *entry = map_first(&inputs); ok && entry; entry = map_next(&inputs, entry)) {
    const Realisation *input = &((const Item *)entry->value)->realisation;
    Buf base CLEANUP(buf_done) = BUF_INIT;
    if (!refers_to(item, &input->path)) continue;
    store_path_format_base(&input->path, &base);
    realisation->deps[realisation->dep_count++] =
        (RealisationDep){input->id, arena_dup(&closure->arena, buf_span(&base))};
  }
  map_done(&inputs);
  if (realisation->dep_count) qsort(realisation->deps, realisation->dep_count, sizeof *realisation->deps, compare_deps);
  return ok;
}

static bool make(RealisationClosure *closure, const StorePath *drv_path, Span output, unsigned depth, Item **ret,
                 Err *err) {
  Arena scratch CLEANUP(arena_done) = ARENA_INIT;
  Derivation drv;
  DerivationType type;
  uint8_t hash[32];
  bool found;
  StorePath path;
  PathInfoRecord *record = NULL;
  *ret = NULL;
  if (depth > DEPTH_MAX) return err_set(err, ERR_LIMIT, "derivations need each other too deeply");
  if (!drv_load_from_store(closure->store, drv_path, &scratch, &drv, err) || !derivation_type(&drv, &type, err))
    return false;
  if (type != DERIVATION_TYPE_FLOATING && type != DERIVATION_TYPE_DEFERRED) return true;
  if (!drv_hashes_get(closure->hashes, &drv, hash, err) ||
      !store_realisation_find(closure->store, hash, output, &path, &found, err) ||
      (found && !store_find(closure->store, &path, &record, err)))
    return false;
  if (!record) return true;
  Buf id CLEANUP(buf_done) = BUF_INIT;
  realisation_format_id(hash, output, &id);
  if ((*ret = map_get(&closure->by_id,
                      buf_span(&id)))) { // by another derivation that differs only in how inputs are fetched
    path_info_service_record_free(record);
    return true;
  }
  Item *item = ARENA_NEW(&closure->arena, Item);
  *item = (Item){.realisation = {.id = arena_dup(&closure->arena, buf_span(&id)), .path = path}, .record = record};
  if (!set_deps(closure, &drv, depth, item, err)) {
    path_info_service_record_free(record);
    return false;
  }
  MEM_RESERVE(closure->items, closure->cap, closure->count + 1);
  map_set(&closure->by_id, item->realisation.id, item);
  *ret = closure->items[closure->count++] = item;
  return true;
}

static bool add(RealisationClosure *closure, const StorePath *drv_path, Span output, unsigned depth, Item **ret,
                Err *err) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  store_format_path(closure->store, drv_path, &key);
  buf_printf(&key, "!%.*s", SPAN_ARG(output));
  *ret = map_get(&closure->known, buf_span(&key));
  if (*ret || map_has(&closure->known, buf_span(&key))) return true;
  if (!make(closure, drv_path, output, depth, ret, err)) return false;
  map_set(&closure->known, buf_span(&key), *ret);
  return true;
}

bool realisation_closure_add(RealisationClosure *closure, const StorePath *drv_path, Span output, Err *err) {
  Item *item;
  return add(closure, drv_path, output, 0, &item, err) ||
         err_wrap(err, "finding the realisations of '%s'", drv_path->name);
}

size_t realisation_closure_count(const RealisationClosure *closure) {
  return closure->count;
}

const Realisation *realisation_closure_at(const RealisationClosure *closure, size_t i) {
  return &closure->items[i]->realisation;
}
