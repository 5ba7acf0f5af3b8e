// path_info_memory.c: path infos in memory.
#include "store/path_info_memory.h"

#include <pthread.h>

#include "base/map.h"
#include "base/mem.h"

typedef struct PathInfoMemory {
  PathInfoService service;
  pthread_mutex_t mutex;
  Map records; // digest -> PathInfoRecord *, owned
} PathInfoMemory;

static bool path_info_memory_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  PathInfoMemory *memory = (PathInfoMemory *)service;
  pthread_mutex_lock(&memory->mutex);
  const PathInfoRecord *record = map_get(&memory->records, span_make(digest, 20));
  *ret = record ? path_info_service_record_copy(record) : NULL;
  pthread_mutex_unlock(&memory->mutex);
  return true;
}

static bool path_info_memory_has_sig(const PathInfo *info, const Signature *sig) {
  for (size_t i = 0; i < info->sig_count; i++)
    if (span_eq(info->sigs[i].key_name, sig->key_name) && memcmp(info->sigs[i].bytes, sig->bytes, SIGNATURE_BYTES) == 0)
      return true;
  return false;
}

static void path_info_memory_merge_sigs(PathInfoRecord *record, const PathInfo *from) {
  Arena *arena = &record->arena;
  Signature *sigs = ARENA_ARRAY(arena, Signature, record->info.sig_count + from->sig_count);
  if (record->info.sig_count > 0) memcpy(sigs, record->info.sigs, record->info.sig_count * sizeof(*sigs));
  record->info.sigs = sigs;
  for (size_t i = 0; i < from->sig_count; i++) {
    if (path_info_memory_has_sig(&record->info, &from->sigs[i])) continue;
    sigs[record->info.sig_count] = from->sigs[i];
    sigs[record->info.sig_count++].key_name = arena_dup(arena, from->sigs[i].key_name);
  }
}

static bool path_info_memory_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                 Err *err) {
  PathInfoMemory *memory = (PathInfoMemory *)service;
  pthread_mutex_lock(&memory->mutex);
  for (size_t i = 0; i < count; i++) {
    Span key = span_make(records[i]->info.path.digest, 20);
    PathInfoRecord *old = map_get(&memory->records, key);
    if (old) path_info_memory_merge_sigs(old, &records[i]->info);
    else map_set(&memory->records, key, path_info_service_record_copy(records[i]));
  }
  pthread_mutex_unlock(&memory->mutex);
  return true;
}

static bool path_info_memory_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  PathInfoMemory *memory = (PathInfoMemory *)service;
  pthread_mutex_lock(&memory->mutex);
  bool ok = true;
  for (MapEntry *entry = map_first(&memory->records); ok && entry; entry = map_next(&memory->records, entry))
    ok = visit(ctx, entry->value, err);
  pthread_mutex_unlock(&memory->mutex);
  return ok;
}

static void path_info_memory_free(PathInfoService *service) {
  PathInfoMemory *memory = (PathInfoMemory *)service;
  for (MapEntry *entry = map_first(&memory->records); entry; entry = map_next(&memory->records, entry))
    path_info_service_record_free(entry->value);
  map_done(&memory->records);
  pthread_mutex_destroy(&memory->mutex);
  mem_free(memory);
}

static const PathInfoServiceOps path_info_memory_ops = {"memory", path_info_memory_get, path_info_memory_put,
                                                        path_info_memory_list, path_info_memory_free};

PathInfoService *path_info_memory_new(void) {
  PathInfoMemory *memory = mem_alloc_zero(sizeof(*memory));
  memory->service.ops = &path_info_memory_ops;
  pthread_mutex_init(&memory->mutex, NULL);
  return &memory->service;
}
