// store_realisation.c: see store_realisation.h.
#include "store/store_realisation.h"

#include "base/fs.h"
#include "formats/base16.h"
#include "store/sql.h"
#include "store/store_state.h"

struct StoreRealisations {
  sqlite3 *db;
  sqlite3_stmt *find, *put;
};

enum { REALISATION_BUSY_MS = 60000 };

static const char schema[] = "PRAGMA synchronous = NORMAL;"
                             "CREATE TABLE IF NOT EXISTS realisations(drv_hash BLOB NOT NULL, output TEXT NOT NULL, "
                             "path TEXT NOT NULL, PRIMARY KEY(drv_hash, output)) WITHOUT ROWID";

void store_realisation_close(Store *store) {
  StoreRealisations *self = store->realisations;
  if (!self) return;
  sqlite3_finalize(self->find);
  sqlite3_finalize(self->put);
  sqlite3_close(self->db);
  mem_free(self);
  store->realisations = NULL;
}

// Under the mutex. Leaves store->realisations NULL when there is no file and none is to be made.
static bool open_db(Store *store, bool create, Err *err) {
  if (store->realisations) return true;
  CLEANUP(buf_done) Buf path = BUF_INIT;
  store_state_format(store, "firn/realisations.sqlite", &path);
  if (!create && !fs_exists(buf_cstr(&path))) return true;
  int flags = store->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  StoreRealisations *self = mem_alloc_zero(sizeof(*self));
  store->realisations = self;
  bool ok = sqlite3_open_v2(buf_cstr(&path), &self->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL) ==
                SQLITE_OK ||
            sql_fail(self->db, "opening the database", err);
  if (ok) sqlite3_busy_timeout(self->db, REALISATION_BUSY_MS);
  if (ok && !store->read_only) ok = sql_use_wal(self->db, err) && sql_exec(self->db, schema, err);
  if (!ok) store_realisation_close(store);
  return ok;
}

static bool find(StoreRealisations *self, const uint8_t drv_hash[32], Span output, StorePath *ret, bool *ret_found,
                 Err *err) {
  if (!sql_use(self->db, &self->find, "SELECT path FROM realisations WHERE drv_hash = ? AND output = ?", err))
    return false;
  sql_bind_blob(self->find, 1, drv_hash, 32);
  sql_bind_span(self->find, 2, output);
  if (!sql_step(self->db, self->find, ret_found, err)) return false;
  bool ok = !*ret_found || store_path_parse_base(sql_column(self->find, 0), ret, err);
  if (*ret_found) sqlite3_reset(self->find);
  return ok;
}

static bool find_lower(Store *store, const uint8_t drv_hash[32], Span output, StorePath *ret, bool *ret_found,
                       Err *err) {
  LocalNix *lower;
  if (!store_state_lower(store, &lower, err)) return false;
  if (!lower) return true;
  CLEANUP(buf_done) Buf hash = BUF_INIT;
  buf_put_cstr(&hash, "sha256:");
  base16_put(&hash, drv_hash, 32);
  return local_nix_find_realisation(lower, buf_span(&hash), output, ret, ret_found, err);
}

bool store_realisation_find(Store *store, const uint8_t drv_hash[32], Span output, StorePath *ret, bool *ret_found,
                            Err *err) {
  *ret_found = false;
  pthread_mutex_lock(&store->realisation_mutex);
  bool ok = open_db(store, false, err);
  if (ok && store->realisations) ok = find(store->realisations, drv_hash, output, ret, ret_found, err);
  pthread_mutex_unlock(&store->realisation_mutex);
  if (ok && !*ret_found) ok = find_lower(store, drv_hash, output, ret, ret_found, err);
  return ok || err_wrap(err, "looking for the realisation of a derivation");
}

static bool put(StoreRealisations *self, const uint8_t drv_hash[32], Span output, Span path, Err *err) {
  if (!sql_use(self->db, &self->put, "INSERT OR REPLACE INTO realisations(drv_hash, output, path) VALUES(?, ?, ?)",
               err))
    return false;
  sql_bind_blob(self->put, 1, drv_hash, 32);
  sql_bind_span(self->put, 2, output);
  sql_bind_span(self->put, 3, path);
  return sql_run(self->db, self->put, err);
}

bool store_realisation_put(Store *store, const uint8_t drv_hash[32], Span output, const StorePath *path, Err *err) {
  if (!store_state_writable(store, err)) return false;
  CLEANUP(buf_done) Buf base = BUF_INIT;
  store_path_format_base(path, &base);
  pthread_mutex_lock(&store->realisation_mutex);
  bool ok = open_db(store, true, err) && put(store->realisations, drv_hash, output, buf_span(&base), err);
  pthread_mutex_unlock(&store->realisation_mutex);
  return ok || err_wrap(err, "recording the realisation of a derivation");
}
