// path_info_combine.c: read-only, cache, first and signing combinators of path info services.
#include "store/path_info_combine.h"

#include "base/fs.h"

typedef struct PathInfoCombine {
  PathInfoService service;
  size_t count;
  PathInfoService *parts[]; // owned
} PathInfoCombine;

static PathInfoCombine *path_info_combine_self(PathInfoService *service) {
  return (PathInfoCombine *)service;
}

static PathInfoService *path_info_combine_new(const PathInfoServiceOps *ops, PathInfoService *const *parts,
                                              size_t count) {
  PathInfoCombine *self = mem_alloc_zero(sizeof(*self) + count * sizeof(*parts));
  self->service.ops = ops;
  self->count = count;
  memcpy(self->parts, parts, count * sizeof(*parts));
  return &self->service;
}

static void path_info_combine_free(PathInfoService *service) {
  PathInfoCombine *self = path_info_combine_self(service);
  for (size_t i = 0; i < self->count; i++) path_info_service_free(self->parts[i]);
  mem_free(self);
}

static bool path_info_combine_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  PathInfoCombine *self = path_info_combine_self(service);
  *ret = NULL;
  for (size_t i = 0; i < self->count && !*ret; i++)
    if (!path_info_service_get(self->parts[i], digest, ret, err)) return false;
  return true;
}

static bool path_info_combine_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                  Err *err) {
  return path_info_service_put(path_info_combine_self(service)->parts[0], records, count, err);
}

// Lists the parts after each other, leaving out what an earlier part has listed already.
typedef struct PathInfoCombineList {
  PathInfoCombine *self;
  size_t part;
  PathInfoVisit visit;
  void *ctx;
} PathInfoCombineList;

static bool path_info_combine_visit(void *ctx, const PathInfoRecord *record, Err *err) {
  PathInfoCombineList *list = ctx;
  for (size_t i = 0; i < list->part; i++) {
    PathInfoRecord *earlier;
    if (!path_info_service_get(list->self->parts[i], record->info.path.digest, &earlier, err)) return false;
    bool is_known = earlier != NULL;
    path_info_service_record_free(earlier);
    if (is_known) return true;
  }
  return list->visit(list->ctx, record, err);
}

static bool path_info_combine_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  PathInfoCombineList list = {path_info_combine_self(service), 0, visit, ctx};
  for (; list.part < list.self->count; list.part++)
    if (!path_info_service_list(list.self->parts[list.part], path_info_combine_visit, &list, err)) return false;
  return true;
}

static const PathInfoServiceOps path_info_combine_first_ops = {"first", path_info_combine_get, path_info_combine_put,
                                                               path_info_combine_list, path_info_combine_free};

PathInfoService *path_info_combine_first(PathInfoService *const *services, size_t count) {
  return path_info_combine_new(&path_info_combine_first_ops, services, count);
}

static bool path_info_combine_refuse(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                     Err *err) {
  return err_set(err, ERR_OTHER, "the path info service is read-only");
}

static const PathInfoServiceOps path_info_combine_read_only_ops = {
    "readonly", path_info_combine_get, path_info_combine_refuse, path_info_combine_list, path_info_combine_free};

PathInfoService *path_info_combine_read_only(PathInfoService *inner) {
  return path_info_combine_new(&path_info_combine_read_only_ops, &inner, 1);
}

static bool path_info_combine_cache_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret,
                                        Err *err) {
  PathInfoCombine *self = path_info_combine_self(service);
  if (!path_info_service_get(self->parts[0], digest, ret, err) || *ret) return !err || !err_is_set(err);
  if (!path_info_service_get(self->parts[1], digest, ret, err)) return false;
  const PathInfoRecord *const records[] = {*ret};
  return !*ret || path_info_service_put(self->parts[0], records, 1, err);
}

static bool path_info_combine_cache_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                        Err *err) {
  PathInfoCombine *self = path_info_combine_self(service);
  return path_info_service_put(self->parts[1], records, count, err) &&
         path_info_service_put(self->parts[0], records, count, err);
}

static const PathInfoServiceOps path_info_combine_cache_ops = {
    "cache", path_info_combine_cache_get, path_info_combine_cache_put, path_info_combine_list, path_info_combine_free};

PathInfoService *path_info_combine_cache(PathInfoService *near, PathInfoService *far) {
  PathInfoService *parts[] = {near, far};
  return path_info_combine_new(&path_info_combine_cache_ops, parts, ARRAY_LEN(parts));
}

// ---- signing

typedef struct PathInfoSigning {
  PathInfoService service;
  PathInfoService *inner; // owned
  SignatureSecretKey key;
  Buf key_text; // owned; key.name points into it
  Span store_dir;
} PathInfoSigning;

static bool path_info_combine_signing_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret,
                                          Err *err) {
  return path_info_service_get(((PathInfoSigning *)service)->inner, digest, ret, err);
}

static bool path_info_combine_sign(const PathInfoSigning *self, const PathInfoRecord *record, PathInfoRecord **ret,
                                   Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  Signature sig;
  if (!path_info_fingerprint(&record->info, self->store_dir, &text, err) ||
      !signature_sign(&self->key, buf_span(&text), &sig, err))
    return false;
  PathInfo info = record->info;
  info.sigs = mem_alloc_array(record->info.sig_count + 1, sizeof(*info.sigs));
  if (info.sig_count > 0) memcpy(info.sigs, record->info.sigs, info.sig_count * sizeof(*info.sigs));
  info.sigs[info.sig_count++] = sig;
  *ret = path_info_service_record_of(&info, record->has_root, record->ultimate, record->registered_at);
  mem_free(info.sigs);
  return true;
}

static bool path_info_combine_signing_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                          Err *err) {
  PathInfoSigning *self = (PathInfoSigning *)service;
  PathInfoRecord **signed_records = mem_alloc_zero((count ? count : 1) * sizeof(*signed_records));
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) ok = path_info_combine_sign(self, records[i], &signed_records[i], err);
  ok = ok && path_info_service_put(self->inner, (const PathInfoRecord *const *)signed_records, count, err);
  for (size_t i = 0; i < count; i++) path_info_service_record_free(signed_records[i]);
  mem_free(signed_records);
  return ok;
}

static bool path_info_combine_signing_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  return path_info_service_list(((PathInfoSigning *)service)->inner, visit, ctx, err);
}

static void path_info_combine_signing_free(PathInfoService *service) {
  PathInfoSigning *self = (PathInfoSigning *)service;
  path_info_service_free(self->inner);
  explicit_bzero(&self->key, sizeof(self->key));
  if (self->key_text.data) explicit_bzero(self->key_text.data, self->key_text.len);
  buf_done(&self->key_text);
  mem_free(self);
}

static const PathInfoServiceOps path_info_combine_signing_ops = {
    "keyfile-signing", path_info_combine_signing_get, path_info_combine_signing_put, path_info_combine_signing_list,
    path_info_combine_signing_free};

bool path_info_combine_signing(const char *key_file, Span store_dir, PathInfoService *inner, PathInfoService **ret,
                               Err *err) {
  PathInfoSigning *self = mem_alloc_zero(sizeof(*self));
  self->service.ops = &path_info_combine_signing_ops;
  self->store_dir = store_dir;
  if (!fs_read_file(key_file, 65536, &self->key_text, err) ||
      !signature_parse_secret_key(span_trim(buf_span(&self->key_text)), &self->key, err)) {
    path_info_combine_signing_free(&self->service);
    return err_wrap(err, "reading the secret key '%s'", key_file);
  }
  self->inner = inner;
  *ret = &self->service;
  return true;
}
