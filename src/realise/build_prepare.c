// build_prepare.c: see build_prepare.h.
#include "realise/build_prepare.h"

#include <stdlib.h>

void build_prepare_locate(Store *store, Span base_name, Buf *ret) {
  StorePath path;
  // Base names come from store paths, so they parse.
  if (store_path_parse_base(base_name, &path, NULL)) store_format_physical(store, &path, ret);
}

static bool get_env(void *ctx UNUSED, Span name, Buf *ret) {
  char *key = span_dup(name);
  const char *value = getenv(key);
  if (value) buf_put_cstr(ret, value);
  mem_free(key);
  return value != NULL;
}

// For exportReferencesGraph. Outputs of derivations in the graph belong to it.
static bool get_closure(void *ctx, const StorePath *roots, size_t root_count, Arena *arena, const PathInfo ***ret,
                        size_t *ret_count, Err *err) {
  const BuildPrepareInput *input = ctx;
  StorePathList list = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.include_outputs = true};
  bool ok = store_closure(input->store, roots, root_count, &options, &list, err);
  const PathInfo **infos = ARENA_ARRAY(arena, const PathInfo *, list.count);
  for (size_t i = 0; ok && i < list.count; i++) {
    PathInfoRecord *record;
    ok = store_get(input->store, &list.paths[i], &record, err);
    if (!ok) break;
    // The value is copied into the arena with its references; signatures are of no interest to a builder.
    PathInfo *info = ARENA_NEW(arena, PathInfo);
    *info = record->info;
    info->refs = ARENA_ARRAY(arena, StorePath, info->ref_count);
    if (info->ref_count) memcpy(info->refs, record->info.refs, info->ref_count * sizeof *info->refs);
    info->sigs = NULL;
    info->sig_count = 0;
    infos[i] = info;
    path_info_service_record_free(record);
  }
  *ret = infos;
  *ret_count = list.count;
  store_path_list_done(&list);
  return ok;
}

static bool get_inputs(const BuildPrepareInput *input, StorePathList *ret, Err *err) {
  StorePathList roots = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < input->drv->input_src_count; i++) {
    StorePath path;
    ok = store_parse_path(input->store, input->drv->input_srcs[i], &path, err);
    if (ok) store_path_list_add(&roots, &path);
  }
  for (size_t i = 0; i < input->input_output_count; i++) store_path_list_add(&roots, &input->input_outputs[i]);
  store_path_list_sort(&roots);
  StoreClosureOptions options = {0};
  ok = ok && (!roots.count || store_closure(input->store, roots.paths, roots.count, &options, ret, err));
  store_path_list_done(&roots);
  return ok;
}

static bool get_output_paths(const BuildPrepareInput *input, Arena *arena, StorePath **ret, Err *err) {
  *ret = ARENA_ARRAY(arena, StorePath, input->drv->output_count);
  for (size_t i = 0; i < input->drv->output_count; i++) {
    if (input->scratch_paths) (*ret)[i] = input->scratch_paths[i];
    else if (!store_parse_path(input->store, input->drv->outputs[i].path, &(*ret)[i], err)) return false;
  }
  return true;
}

// Hash parts of outputs in the text of the derivation become those of where they are built.
static bool make_rewrites(const BuildPrepareInput *input, const StorePath *places, Arena *arena,
                          DerivationRequestInput *make, Err *err) {
  DerivationRequestRewrite *rewrites = ARENA_ARRAY(arena, DerivationRequestRewrite, input->drv->output_count);
  make->rewrites = rewrites;
  for (size_t i = 0; input->scratch_paths && i < input->drv->output_count; i++) {
    StorePath own;
    if (!input->drv->outputs[i].path.len) continue;
    if (!store_parse_path(input->store, input->drv->outputs[i].path, &own, err)) return false;
    if (store_path_eq(&own, &places[i])) continue;
    char *text = arena_alloc(arena, 2 * STORE_PATH_HASH_CHARS);
    store_path_format_hash(&own, text);
    store_path_format_hash(&places[i], text + STORE_PATH_HASH_CHARS);
    rewrites[make->rewrite_count++] = (DerivationRequestRewrite){
        span_make(text, STORE_PATH_HASH_CHARS), span_make(text + STORE_PATH_HASH_CHARS, STORE_PATH_HASH_CHARS)};
  }
  return true;
}

static bool make_request(const BuildPrepareInput *input, Arena *arena, BuildPrepared *ret, Err *err) {
  DerivationRequestPath *paths = ARENA_ARRAY(arena, DerivationRequestPath, ret->closure.count);
  for (size_t i = 0; i < ret->closure.count; i++)
    paths[i] = (DerivationRequestPath){.path = ret->closure.paths[i], .node = {.kind = CASTORE_DIRECTORY}};
  DerivationRequestInput make = {
      .drv = input->drv,
      .drv_path = input->drv_path,
      .options = input->options,
      .type = input->type,
      .store_dir = store_dir(input->store),
      .build_dir = input->build_dir,
      .cores = input->cores,
      .closure = paths,
      .closure_count = ret->closure.count,
      .output_paths = ret->output_paths,
      .get_env = get_env,
      .get_closure = get_closure,
      .ctx = (void *)(uintptr_t)input,
  };
  return make_rewrites(input, ret->output_paths, arena, &make, err) &&
         derivation_request_make(&make, arena, &ret->request, &ret->output_order, err);
}

bool build_prepare_run(const BuildPrepareInput *input, Arena *arena, BuildPrepared *ret, Err *err) {
  *ret = (BuildPrepared){.closure = STORE_PATH_LIST_INIT};
  bool ok = get_output_paths(input, arena, &ret->output_paths, err) && get_inputs(input, &ret->closure, err) &&
            (!ret->closure.count || store_materialise(input->store, ret->closure.paths, ret->closure.count, err)) &&
            make_request(input, arena, ret, err);
  if (!ok) store_path_list_done(&ret->closure);
  return ok;
}
