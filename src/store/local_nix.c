// local_nix.c: the database of a C++ Nix store.
#include "store/local_nix.h"

#include <pthread.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/sql.h"

struct LocalNix {
  sqlite3 *db;
  pthread_mutex_t mutex;
  Span store_dir; // owned
  sqlite3_stmt *find, *refs, *all, *list, *referrers, *realisation, *derivers;
  bool has_realisations, looked_for_realisations;
};

static bool local_nix_open_db(LocalNix *nix, const char *path, Err *err) {
  CLEANUP(buf_done) Buf uri = BUF_INIT;
  // A WAL database needs its -shm file to be written, unless nobody writes at all: then `immutable` reads it as it lies.
  bool may_write = access(path, W_OK) == 0;
  CLEANUP(mem_free_ptr) char *dir = span_dup(fs_path_dir(span_cstr(path)));
  buf_printf(&uri, "file:%s?mode=ro%s", path, may_write && access(dir, W_OK) == 0 ? "" : "&immutable=1");
  if (sqlite3_open_v2(buf_cstr(&uri), &nix->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL) !=
      SQLITE_OK)
    return sql_fail(nix->db, "opening the database", err);
  sqlite3_busy_timeout(nix->db, 60000);
  bool row;
  sqlite3_stmt *stmt = NULL;
  bool ok =
      sql_use(nix->db, &stmt,
              "SELECT id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca FROM ValidPaths LIMIT 1",
              err) &&
      sql_step(nix->db, stmt, &row, err);
  sqlite3_finalize(stmt);
  return ok;
}

bool local_nix_open(const char *root, Span store_dir, LocalNix **ret, Err *err) {
  *ret = NULL;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  buf_printf(&path, "%s/var/nix/db/db.sqlite", root);
  if (!fs_exists(buf_cstr(&path))) return true;
  LocalNix *nix = mem_alloc_zero(sizeof(*nix));
  pthread_mutex_init(&nix->mutex, NULL);
  nix->store_dir = span_make(span_dup(store_dir), store_dir.len);
  if (!local_nix_open_db(nix, buf_cstr(&path), err)) {
    local_nix_close(nix);
    return err_wrap(err, "reading the Nix store at '%s'", root);
  }
  *ret = nix;
  return true;
}

void local_nix_close(LocalNix *nix) {
  if (!nix) return;
  sqlite3_finalize(nix->find);
  sqlite3_finalize(nix->refs);
  sqlite3_finalize(nix->all);
  sqlite3_finalize(nix->list);
  sqlite3_finalize(nix->referrers);
  sqlite3_finalize(nix->realisation);
  sqlite3_finalize(nix->derivers);
  sqlite3_close(nix->db);
  pthread_mutex_destroy(&nix->mutex);
  mem_free((char *)nix->store_dir.data);
  mem_free(nix);
}

// Under the mutex. The table is made when C++ Nix first runs with the feature.
static bool local_nix_look_for_realisations(LocalNix *nix, Err *err) {
  if (nix->looked_for_realisations) return true;
  sqlite3_stmt *stmt = NULL;
  bool ok =
      sql_use(nix->db, &stmt, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'Realisations'", err) &&
      sql_step(nix->db, stmt, &nix->has_realisations, err);
  sqlite3_finalize(stmt);
  return nix->looked_for_realisations = ok;
}

static bool local_nix_realisation(LocalNix *nix, Span drv_hash, Span output, StorePath *ret, bool *ret_found,
                                  Err *err) {
  *ret_found = false;
  if (!local_nix_look_for_realisations(nix, err)) return false;
  if (!nix->has_realisations) return true;
  if (!sql_use(nix->db, &nix->realisation,
               "SELECT path FROM Realisations JOIN ValidPaths ON Realisations.outputPath = ValidPaths.id"
               " WHERE drvPath = ? AND outputName = ?",
               err))
    return false;
  sql_bind_span(nix->realisation, 1, drv_hash);
  sql_bind_span(nix->realisation, 2, output);
  bool ok = sql_step(nix->db, nix->realisation, ret_found, err) &&
            (!*ret_found || store_path_parse(sql_column(nix->realisation, 0), nix->store_dir, ret, err));
  sqlite3_reset(nix->realisation);
  sqlite3_clear_bindings(nix->realisation);
  return ok;
}

bool local_nix_find_realisation(LocalNix *nix, Span drv_hash, Span output, StorePath *ret, bool *ret_found, Err *err) {
  pthread_mutex_lock(&nix->mutex);
  bool ok = local_nix_realisation(nix, drv_hash, output, ret, ret_found, err);
  pthread_mutex_unlock(&nix->mutex);
  return ok || err_wrap(err, "looking for a realisation in the Nix store");
}

// Positions a statement on the row of a hash part. Paths are text there, so it is a range on the unique index: everything that begins with the hash.
static bool local_nix_find(LocalNix *nix, const uint8_t digest[20], bool *ret_row, Err *err) {
  CLEANUP(buf_done) Buf low = BUF_INIT;
  CLEANUP(buf_done) Buf high = BUF_INIT;
  StorePath path = {.name_len = 1, .name = "x"};
  char hash[STORE_PATH_HASH_CHARS];
  memcpy(path.digest, digest, sizeof(path.digest));
  store_path_format_hash(&path, hash);
  buf_printf(&low, "%.*s/%.*s-", SPAN_ARG(nix->store_dir), STORE_PATH_HASH_CHARS, hash);
  buf_printf(&high, "%.*s/%.*s.", SPAN_ARG(nix->store_dir), STORE_PATH_HASH_CHARS, hash); // '.' follows '-'
  if (!sql_use(nix->db, &nix->find,
               "SELECT id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca FROM ValidPaths"
               " WHERE path > ? AND path < ? LIMIT 1",
               err))
    return false;
  sql_bind_span(nix->find, 1, buf_span(&low));
  sql_bind_span(nix->find, 2, buf_span(&high));
  bool ok = sql_step(nix->db, nix->find, ret_row, err);
  if (!ok || !*ret_row) sqlite3_clear_bindings(nix->find); // the texts die with this function
  return ok;
}

static bool local_nix_parse_sigs(Span text, PathInfoRecord *record, Err *err) {
  text = arena_dup(&record->arena, text);
  size_t count = text.len ? 1 : 0;
  for (size_t i = 0; i < text.len; i++) count += text.data[i] == ' ';
  record->info.sigs = ARENA_ARRAY(&record->arena, Signature, count);
  while (text.len > 0) {
    Span one;
    (void)span_split(&text, ' ', &one);
    if (one.len > 0 && !signature_parse(one, &record->info.sigs[record->info.sig_count++], err)) return false;
  }
  return true;
}

static bool local_nix_row(LocalNix *nix, sqlite3_stmt *stmt, PathInfoRecord *record, Err *err) {
  PathInfo *info = &record->info;
  Hash hash;
  const HashAlgo sha256 = HASH_SHA256;
  Span deriver = sql_column(stmt, 4), ca = sql_column(stmt, 8);
  if (!store_path_parse(sql_column(stmt, 1), nix->store_dir, &info->path, err) ||
      !hash_parse(sql_column(stmt, 2), &sha256, &hash, err))
    return false;
  memcpy(info->nar_sha256, hash.bytes, sizeof(info->nar_sha256));
  record->registered_at = sqlite3_column_int64(stmt, 3);
  info->has_deriver = deriver.len > 0;
  if (info->has_deriver && !store_path_parse(deriver, nix->store_dir, &info->deriver, err)) return false;
  info->nar_size_bytes = (uint64_t)sqlite3_column_int64(stmt, 5);
  record->ultimate = sqlite3_column_int(stmt, 6) != 0;
  info->has_ca = ca.len > 0;
  if (info->has_ca && !content_address_parse(ca, &info->ca, err)) return false;
  return local_nix_parse_sigs(sql_column(stmt, 7), record, err);
}

// Rows of one column: absolute paths.
static bool local_nix_collect(LocalNix *nix, sqlite3_stmt *stmt, StorePathList *ret, Err *err) {
  bool ok, row;
  while ((ok = sql_step(nix->db, stmt, &row, err)) && row) {
    StorePath path;
    if (!(ok = store_path_parse(sql_column(stmt, 0), nix->store_dir, &path, err))) break;
    store_path_list_add(ret, &path);
  }
  sqlite3_reset(stmt);
  if (ok) store_path_list_sort(ret);
  return ok;
}

static bool local_nix_load_refs(LocalNix *nix, int64_t id, PathInfoRecord *record, Err *err) {
  if (!sql_use(nix->db, &nix->refs,
               "SELECT p.path FROM Refs r JOIN ValidPaths p ON p.id = r.reference WHERE r.referrer = ?", err))
    return false;
  sqlite3_bind_int64(nix->refs, 1, id);
  StorePathList list = STORE_PATH_LIST_INIT;
  bool ok = local_nix_collect(nix, nix->refs, &list, err);
  record->info.refs = ARENA_ARRAY(&record->arena, StorePath, list.count);
  if (list.count > 0) memcpy(record->info.refs, list.paths, list.count * sizeof(*list.paths));
  record->info.ref_count = list.count;
  store_path_list_done(&list);
  return ok;
}

bool local_nix_get(LocalNix *nix, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  *ret = NULL;
  bool row;
  pthread_mutex_lock(&nix->mutex);
  bool ok = local_nix_find(nix, digest, &row, err);
  if (ok && row) {
    *ret = path_info_service_record_new();
    int64_t id = sqlite3_column_int64(nix->find, 0);
    ok = local_nix_row(nix, nix->find, *ret, err);
    sqlite3_reset(nix->find);
    ok = ok && local_nix_load_refs(nix, id, *ret, err);
    if (!ok) path_info_service_record_free(STEAL(*ret));
  }
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

bool local_nix_is_valid(LocalNix *nix, const uint8_t digest[20], bool *ret, Err *err) {
  *ret = false;
  pthread_mutex_lock(&nix->mutex);
  bool ok = local_nix_find(nix, digest, ret, err);
  if (ok && *ret) sqlite3_reset(nix->find);
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

bool local_nix_list(LocalNix *nix, PathInfoVisit visit, void *ctx, Err *err) {
  bool row;
  pthread_mutex_lock(&nix->mutex);
  bool ok = sql_use(
      nix->db, &nix->list,
      "SELECT id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca FROM ValidPaths ORDER BY id", err);
  while (ok && (ok = sql_step(nix->db, nix->list, &row, err)) && row) {
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = path_info_service_record_new();
    ok = local_nix_row(nix, nix->list, record, err) &&
         local_nix_load_refs(nix, sqlite3_column_int64(nix->list, 0), record, err) && visit(ctx, record, err);
  }
  if (nix->list) sqlite3_reset(nix->list);
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

bool local_nix_all(LocalNix *nix, StorePathList *ret, Err *err) {
  pthread_mutex_lock(&nix->mutex);
  bool ok =
      sql_use(nix->db, &nix->all, "SELECT path FROM ValidPaths", err) && local_nix_collect(nix, nix->all, ret, err);
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

bool local_nix_referrers(LocalNix *nix, const uint8_t digest[20], StorePathList *ret, Err *err) {
  bool row;
  pthread_mutex_lock(&nix->mutex);
  bool ok = local_nix_find(nix, digest, &row, err);
  if (ok && row) {
    int64_t id = sqlite3_column_int64(nix->find, 0);
    sqlite3_reset(nix->find);
    ok = sql_use(nix->db, &nix->referrers,
                 "SELECT p.path FROM Refs r JOIN ValidPaths p ON p.id = r.referrer WHERE r.reference = ?", err);
    if (ok) sqlite3_bind_int64(nix->referrers, 1, id);
    ok = ok && local_nix_collect(nix, nix->referrers, ret, err);
  }
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

bool local_nix_derivers(LocalNix *nix, const StorePath *path, StorePathList *ret, Err *err) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  store_path_format(path, nix->store_dir, &text);
  pthread_mutex_lock(&nix->mutex);
  bool ok = sql_use(nix->db, &nix->derivers,
                    "SELECT v.path FROM DerivationOutputs d JOIN ValidPaths v ON v.id = d.drv WHERE d.path = ?", err);
  if (ok) {
    sql_bind_span(nix->derivers, 1, buf_span(&text));
    ok = local_nix_collect(nix, nix->derivers, ret, err);
  }
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

static bool local_nix_fill_roots(LocalNix *nix, const StorePath *roots, size_t count, Err *err) {
  if (!sql_exec(nix->db,
                "PRAGMA temp_store = MEMORY; CREATE TEMP TABLE IF NOT EXISTS roots(path TEXT); DELETE FROM temp.roots",
                err))
    return false;
  sqlite3_stmt *stmt = NULL;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) {
    buf_clear(&text);
    store_path_format(&roots[i], nix->store_dir, &text);
    ok = sql_use(nix->db, &stmt, "INSERT INTO temp.roots VALUES(?)", err);
    if (ok) sql_bind_span(stmt, 1, buf_span(&text));
    ok = ok && sql_run(nix->db, stmt, err);
  }
  sqlite3_finalize(stmt);
  return ok;
}

bool local_nix_closure(LocalNix *nix, const StorePath *roots, size_t count, bool referrers, StorePathList *ret,
                       uint64_t *ret_nar_bytes, Err *err) {
  static const char *const queries[2] = {
      "WITH RECURSIVE c(id) AS (SELECT p.id FROM temp.roots t JOIN ValidPaths p ON p.path = t.path"
      " UNION SELECT r.reference FROM c JOIN Refs r ON r.referrer = c.id) SELECT p.path, p.narSize FROM c JOIN "
      "ValidPaths p ON p.id = c.id",
      "WITH RECURSIVE c(id) AS (SELECT p.id FROM temp.roots t JOIN ValidPaths p ON p.path = t.path"
      " UNION SELECT r.referrer FROM c JOIN Refs r ON r.reference = c.id) SELECT p.path, p.narSize FROM c JOIN "
      "ValidPaths p ON p.id = c.id"};
  sqlite3_stmt *stmt = NULL;
  bool row;
  pthread_mutex_lock(&nix->mutex);
  bool ok = local_nix_fill_roots(nix, roots, count, err) && sql_use(nix->db, &stmt, queries[referrers], err);
  while (ok && (ok = sql_step(nix->db, stmt, &row, err)) && row) {
    StorePath path;
    if (!(ok = store_path_parse(sql_column(stmt, 0), nix->store_dir, &path, err))) break;
    store_path_list_add(ret, &path);
    if (ret_nar_bytes) *ret_nar_bytes += (uint64_t)sqlite3_column_int64(stmt, 1);
  }
  sqlite3_finalize(stmt);
  pthread_mutex_unlock(&nix->mutex);
  return ok;
}

// ---- as a service

typedef struct LocalNixService {
  PathInfoService service;
  LocalNix *nix; // owned
} LocalNixService;

static bool local_nix_service_get(PathInfoService *service, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  return local_nix_get(((LocalNixService *)service)->nix, digest, ret, err);
}

static bool local_nix_service_put(PathInfoService *service, const PathInfoRecord *const *records, size_t count,
                                  Err *err) {
  return err_set(err, ERR_OTHER, "the database of another Nix store is read-only");
}

static bool local_nix_service_list(PathInfoService *service, PathInfoVisit visit, void *ctx, Err *err) {
  return local_nix_list(((LocalNixService *)service)->nix, visit, ctx, err);
}

static void local_nix_service_free(PathInfoService *service) {
  local_nix_close(((LocalNixService *)service)->nix);
  mem_free(service);
}

static const PathInfoServiceOps local_nix_service_ops = {"local-nix", local_nix_service_get, local_nix_service_put,
                                                         local_nix_service_list, local_nix_service_free};

bool local_nix_open_service(const char *root, PathInfoService **ret, Err *err) {
  LocalNix *nix;
  if (!local_nix_open(root, STORE_PATH_DIR, &nix, err)) return false;
  if (!nix) return err_set(err, ERR_NOT_FOUND, "there is no Nix store at '%s'", root);
  LocalNixService *self = mem_alloc_zero(sizeof(*self));
  *self = (LocalNixService){{&local_nix_service_ops}, nix};
  *ret = &self->service;
  return true;
}
