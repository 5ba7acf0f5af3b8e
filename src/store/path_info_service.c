// path_info_service.c: records, wrappers and URLs of path info services.
#include "store/path_info_service.h"

#include "base/mem.h"
#include "castore/service_url.h"
#include "store/local_nix.h"
#include "store/path_info_combine.h"
#include "store/path_info_memory.h"
#include "store/path_info_sqlite.h"

#define PATH_INFO_SERVICE_PARTS_MAX 32u // of one combinator

PathInfoRecord *path_info_service_record_new(void) {
  return mem_alloc_zero(sizeof(PathInfoRecord));
}

PathInfoRecord *path_info_service_record_of(const PathInfo *info, bool has_root, bool ultimate, int64_t registered_at) {
  PathInfoRecord *record = path_info_service_record_new();
  Arena *arena = &record->arena;
  record->info = *info;
  record->has_root = has_root;
  record->ultimate = ultimate;
  record->registered_at = registered_at;
  record->info.root.name = SPAN("");
  record->info.root.target =
      has_root && info->root.kind == CASTORE_SYMLINK ? arena_dup(arena, info->root.target) : SPAN("");
  record->info.refs = ARENA_ARRAY(arena, StorePath, info->ref_count);
  if (info->ref_count > 0) memcpy(record->info.refs, info->refs, info->ref_count * sizeof(*info->refs));
  record->info.sigs = ARENA_ARRAY(arena, Signature, info->sig_count);
  for (size_t i = 0; i < info->sig_count; i++) {
    record->info.sigs[i] = info->sigs[i];
    record->info.sigs[i].key_name = arena_dup(arena, info->sigs[i].key_name);
  }
  return record;
}

PathInfoRecord *path_info_service_record_copy(const PathInfoRecord *record) {
  return path_info_service_record_of(&record->info, record->has_root, record->ultimate, record->registered_at);
}

void path_info_service_record_free(PathInfoRecord *record) {
  if (!record) return;
  arena_done(&record->arena);
  mem_free(record);
}

void path_info_service_record_free_ptr(PathInfoRecord **record) {
  path_info_service_record_free(*record);
}

void path_info_service_free(PathInfoService *service) {
  if (service) service->ops->free(service);
}

bool path_info_service_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  return service->ops->get(service, digest, ret, err);
}

bool path_info_service_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count, Err *err) {
  return service->ops->put(service, records, count, err);
}

bool path_info_service_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  return service->ops->list(service, visit, ctx, err);
}

static bool path_info_service_open_parts(Span rest, PathInfoService **parts, size_t *ret_count, Err *err) {
  *ret_count = 0;
  bool ok = true;
  while (ok && rest.len > 0) {
    Span inner;
    ok = service_url_take(&rest, &inner, err) &&
         (*ret_count < PATH_INFO_SERVICE_PARTS_MAX ||
          err_set(err, ERR_LIMIT, "more than %u parts", PATH_INFO_SERVICE_PARTS_MAX)) &&
         path_info_service_open_url(inner, &parts[*ret_count], err);
    if (ok) (*ret_count)++;
  }
  if (!ok)
    while (*ret_count > 0) path_info_service_free(parts[--*ret_count]);
  return ok;
}

static bool path_info_service_open_combinator(Span scheme, Span rest, PathInfoService **ret, Err *err) {
  PathInfoService *parts[PATH_INFO_SERVICE_PARTS_MAX];
  size_t count;
  if (!path_info_service_open_parts(rest, parts, &count, err)) return false;
  bool is_cache = span_eq_cstr(scheme, "cache");
  if (is_cache ? count != 2 : count == 0) {
    while (count > 0) path_info_service_free(parts[--count]);
    return err_set(err, ERR_USAGE, "'%.*s:' needs %s", SPAN_ARG(scheme),
                   is_cache ? "two services" : "at least one service");
  }
  *ret = is_cache ? path_info_combine_cache(parts[0], parts[1]) : path_info_combine_first(parts, count);
  return true;
}

static bool path_info_service_open_signing(Span rest, PathInfoService **ret, Err *err) {
  size_t paren = span_find_char(rest, '(');
  if (paren == SIZE_MAX) return err_set(err, ERR_USAGE, "'keyfile-signing:' needs a key file and '(<url>)'");
  CLEANUP(mem_free_ptr) char *key_file = span_dup(span_sub(rest, 0, paren));
  Span tail = span_from(rest, paren), inner_url;
  PathInfoService *inner;
  if (!service_url_take(&tail, &inner_url, err) || !path_info_service_open_url(inner_url, &inner, err)) return false;
  if (path_info_combine_signing(key_file, STORE_PATH_DIR, inner, ret, err)) return true;
  path_info_service_free(inner);
  return false;
}

bool path_info_service_open_url(Span url, PathInfoService **ret, Err *err) {
  Span scheme, rest;
  if (!service_url_split(url, &scheme, &rest, err)) return false;
  CLEANUP(mem_free_ptr) char *path = span_dup(rest);
  if (span_eq_cstr(scheme, "memory")) {
    *ret = path_info_memory_new();
    return true;
  }
  if (span_eq_cstr(scheme, "sqlite")) return path_info_sqlite_open(path, ret, err);
  if (span_eq_cstr(scheme, "local-nix"))
    return local_nix_open_service(path + (span_has_prefix(rest, SPAN("//")) ? 2 : 0), ret, err);
  if (span_eq_cstr(scheme, "readonly")) {
    PathInfoService *inner;
    if (!path_info_service_open_url(rest, &inner, err)) return false;
    *ret = path_info_combine_read_only(inner);
    return true;
  }
  if (span_eq_cstr(scheme, "keyfile-signing")) return path_info_service_open_signing(rest, ret, err);
  if (span_eq_cstr(scheme, "cache") || span_eq_cstr(scheme, "first"))
    return path_info_service_open_combinator(scheme, rest, ret, err);
  return err_set(err, ERR_USAGE, "unknown kind of path info service '%.*s:'", SPAN_ARG(scheme));
}
