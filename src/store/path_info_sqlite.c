// path_info_sqlite.c: the database as a service.
#include "store/path_info_sqlite.h"

#include "base/mem.h"
#include "store/path_db.h"

typedef struct PathInfoSqlite {
  PathInfoService service;
  PathDb *db; // owned
} PathInfoSqlite;

static PathDb *path_info_sqlite_db(PathInfoService *service) {
  return ((PathInfoSqlite *)service)->db;
}

static bool path_info_sqlite_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  return path_db_get(path_info_sqlite_db(service), digest, ret, err);
}

// A service, unlike a store, may hold any subset of a closure.
static bool path_info_sqlite_any(void *ctx, const StorePath *path, bool *ret, Err *err) {
  *ret = true;
  return true;
}

static bool path_info_sqlite_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                 Err *err) {
  PathDbItem *items = mem_alloc_zero((count ? count : 1) * sizeof(*items));
  for (size_t i = 0; i < count; i++) items[i].record = records[i];
  bool ok = path_db_put(path_info_sqlite_db(service), items, count, path_info_sqlite_any, NULL, err);
  mem_free(items);
  return ok;
}

static bool path_info_sqlite_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  return path_db_list(path_info_sqlite_db(service), visit, ctx, err);
}

static void path_info_sqlite_free(PathInfoService *service) {
  path_db_close(path_info_sqlite_db(service));
  mem_free(service);
}

static const PathInfoServiceOps path_info_sqlite_ops = {"sqlite", path_info_sqlite_get, path_info_sqlite_put,
                                                        path_info_sqlite_list, path_info_sqlite_free};

bool path_info_sqlite_open(const char *path, PathInfoService **ret, Err *err) {
  PathInfoSqlite *self = mem_alloc_zero(sizeof(*self));
  self->service.ops = &path_info_sqlite_ops;
  if (!path_db_open(path, NULL, &self->db, err)) {
    mem_free(self);
    return false;
  }
  *ret = &self->service;
  return true;
}
