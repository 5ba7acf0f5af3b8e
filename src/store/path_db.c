// path_db.c: path infos in SQLite.
#include "store/path_db.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/path_db_state.h"

static const char path_db_schema[] =
    "CREATE TABLE paths(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, valid "
    "INTEGER NOT NULL,"
    " node BLOB, nar_sha256 BLOB, nar_size INTEGER, deriver TEXT, ca TEXT, sigs TEXT, registered INTEGER, ultimate "
    "INTEGER,"
    " tree INTEGER NOT NULL);"
    "CREATE TABLE refs(referrer INTEGER NOT NULL, reference INTEGER NOT NULL, PRIMARY KEY(referrer, reference)) "
    "WITHOUT ROWID;"
    "CREATE INDEX refs_by_reference ON refs(reference, referrer);"
    "CREATE INDEX derivations_by_name ON paths(name) WHERE substr(name, -4) = '.drv';"
    "CREATE TABLE nars(node BLOB PRIMARY KEY, nar_sha256 BLOB NOT NULL, nar_size INTEGER NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";
// Made wherever it is missing, also in databases of versions that did not know it.
static const char path_db_fresh_schema[] =
    "CREATE TABLE IF NOT EXISTS fresh(id INTEGER PRIMARY KEY, waits INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS boot(id TEXT NOT NULL);";

#define PATH_DB_REF_GROUP 4u

// Column order of every query that reads whole rows.
#define PATH_DB_COLUMNS "id, hash, name, node, nar_sha256, nar_size, deriver, ca, sigs, registered, ultimate"

// ---- opening

static bool path_db_user_version(sqlite3 *db, int *ret, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool row = false;
  bool ok = sql_use(db, &stmt, "PRAGMA user_version", err) && sql_step(db, stmt, &row, err);
  *ret = row ? sqlite3_column_int(stmt, 0) : 0;
  sqlite3_finalize(stmt);
  return ok;
}

// Creates nothing when it is there: that would be a write by everybody who opens the store.
static bool path_db_has_table(sqlite3 *db, const char *name, bool *ret, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool ok = sql_use(db, &stmt, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", err);
  if (ok) sql_bind_span(stmt, 1, span_cstr(name));
  ok = ok && sql_step(db, stmt, ret, err);
  sqlite3_finalize(stmt);
  return ok;
}

static bool path_db_create(PathDb *self, Err *err) {
  int version;
  bool has_boot;
  if (!path_db_user_version(self->db, &version, err)) return false;
  if (version == 0) {
    // Another process may do the same at the same time: whoever comes second finds the version set.
    if (!sql_exec(self->db, "BEGIN IMMEDIATE", err)) return false;
    bool ok =
        path_db_user_version(self->db, &version, err) && (version != 0 || sql_exec(self->db, path_db_schema, err));
    if (!sql_exec(self->db, ok ? "COMMIT" : "ROLLBACK", ok ? err : NULL)) return false;
    if (!ok) return false;
    version = version ? version : PATH_DB_VERSION;
  }
  if (version != PATH_DB_VERSION)
    return err_set(err, ERR_OTHER, "the database has schema version %d, this program knows version %d", version,
                   PATH_DB_VERSION);
  return path_db_has_table(self->db, "boot", &has_boot, err) &&
         (has_boot || sql_exec(self->db, path_db_fresh_schema, err));
}

// Reading a database in WAL mode needs its index beside it, which has to be made. Where that cannot be, and the last writer has left nothing in the log, the
// file alone is complete.
static bool path_db_is_immutable(const char *path) {
  CLEANUP(buf_done) Buf log = BUF_INIT;
  CLEANUP(buf_done) Buf dir = BUF_INIT;
  struct stat st;
  buf_printf(&log, "%s-wal", path);
  buf_put_span(&dir, fs_path_dir(span_cstr(path)));
  return access(buf_cstr(&dir), W_OK) != 0 && (stat(buf_cstr(&log), &st) != 0 || st.st_size == 0);
}

// "file:<path>?immutable=1", with what has a meaning in URIs escaped.
static void path_db_format_uri(const char *path, Buf *ret) {
  buf_put_cstr(ret, "file:");
  for (; *path; path++) {
    if (strchr("%?#", *path)) buf_printf(ret, "%%%02x", (unsigned char)*path);
    else buf_put_char(ret, *path);
  }
  buf_put_cstr(ret, "?immutable=1");
}

static bool path_db_open_file(PathDb *self, const char *path, bool read_only, Err *err) {
  int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  CLEANUP(buf_done) Buf uri = BUF_INIT;
  if (read_only && path_db_is_immutable(path)) {
    path_db_format_uri(path, &uri);
    path = buf_cstr(&uri);
    flags |= SQLITE_OPEN_URI;
  }
  if (sqlite3_open_v2(path, &self->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL) != SQLITE_OK)
    return sql_fail(self->db, "opening the database", err);
  sqlite3_busy_handler(self->db, sql_busy, NULL);
  return true;
}

bool path_db_open(const char *path, const PathDbOptions *options, PathDb **ret, Err *err) {
  bool read_only = options && options->read_only, no_sync = options && options->no_sync;
  PathDb *self = mem_alloc_zero(sizeof(*self));
  self->no_sync = no_sync;
  pthread_mutex_init(&self->mutex, NULL);
  bool ok = path_db_open_file(self, path, read_only, err) &&
            (read_only || (sql_use_wal(self->db, err) && path_db_create(self, err))) &&
            sql_exec(self->db, no_sync ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = NORMAL", err) &&
            sql_exec(self->db, "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000", err);
  if (!ok) {
    path_db_close(self);
    return err_wrap(err, "opening '%s'", path);
  }
  *ret = self;
  return true;
}

void path_db_close(PathDb *db) {
  if (!db) return;
  sqlite3_stmt **const stmts[] = {&db->get,
                                  &db->refs_of,
                                  &db->is_valid,
                                  &db->find_id,
                                  &db->insert,
                                  &db->validate,
                                  &db->insert_ref,
                                  &db->set_tree,
                                  &db->get_sigs,
                                  &db->set_sigs,
                                  &db->list,
                                  &db->all,
                                  &db->referrers,
                                  &db->newer,
                                  &db->newer_refs,
                                  &db->delete_path,
                                  &db->delete_refs,
                                  &db->has_referrers,
                                  &db->demote,
                                  &db->find_nar,
                                  &db->put_nar,
                                  &db->data_version_stmt,
                                  &db->begin,
                                  &db->commit,
                                  &db->rollback,
                                  &db->mark_fresh,
                                  &db->any_fresh,
                                  &db->insert_refs,
                                  &db->derivations,
                                  &db->next_refs,
                                  &db->next_referrers,
                                  &db->row_of};
  for (size_t i = 0; i < ARRAY_LEN(stmts); i++) sqlite3_finalize(*stmts[i]);
  sqlite3_close(db->db);
  map_done(&db->ids);
  pthread_mutex_destroy(&db->mutex);
  mem_free(db);
}

// ---- transactions

bool path_db_begin_locked(PathDb *db, Err *err) {
  return sql_use(db->db, &db->begin, "BEGIN IMMEDIATE", err) && sql_run(db->db, db->begin, err);
}

bool path_db_end_locked(PathDb *db, bool ok, Err *err) {
  if (ok && sql_use(db->db, &db->commit, "COMMIT", err) && sql_run(db->db, db->commit, err)) return true;
  if (!sqlite3_get_autocommit(db->db) && sql_use(db->db, &db->rollback, "ROLLBACK", NULL))
    if (!sql_run(db->db, db->rollback, NULL)) map_done(&db->ids);
  map_done(&db->ids); // ids of rows that were rolled back
  db->ids = (Map)MAP_INIT;
  return false;
}

bool path_db_begin(PathDb *db, Err *err) {
  pthread_mutex_lock(&db->mutex);
  db->in_transaction = path_db_begin_locked(db, err); // the mutex stays locked until the end
  if (!db->in_transaction) pthread_mutex_unlock(&db->mutex);
  return db->in_transaction;
}

bool path_db_commit(PathDb *db, Err *err) {
  bool ok = path_db_end_locked(db, true, err);
  db->in_transaction = false;
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

void path_db_rollback(PathDb *db) {
  bool committed = path_db_end_locked(db, false, NULL);
  assert(!committed), (void)committed;
  db->in_transaction = false;
  pthread_mutex_unlock(&db->mutex);
}

// SQLite waits at the end of a transaction that has written something; the log is one file, so everything before it is there as well.
bool path_db_wait(PathDb *db, Err *err) {
  if (db->no_sync) return true;
  pthread_mutex_lock(&db->mutex);
  bool ok = sql_exec(db->db, "PRAGMA synchronous = FULL", err);
  if (ok) {
    ok = path_db_begin_locked(db, err);
    if (ok) ok = path_db_end_locked(db, sql_exec(db->db, "PRAGMA user_version = 1", err), err);
    ok = sql_exec(db->db, "PRAGMA synchronous = NORMAL", ok ? err : NULL) && ok;
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

// ---- rows to records

bool path_db_path(Span hash, Span name, StorePath *ret, Err *err) {
  if (hash.len != STORE_PATH_DIGEST_BYTES || name.len == 0 || name.len > STORE_PATH_NAME_MAX)
    return err_set(err, ERR_CORRUPT, "the database holds a malformed store path");
  memcpy(ret->digest, hash.data, hash.len);
  memcpy(ret->name, name.data, name.len);
  ret->name[name.len] = 0;
  ret->name_len = (uint8_t)name.len;
  return true;
}

static bool path_db_parse_sigs(Span text, PathInfoRecord *record, Err *err) {
  text = arena_dup(&record->arena, text);
  size_t count = text.len ? 1 : 0;
  for (size_t i = 0; i < text.len; i++) count += text.data[i] == ' ';
  record->info.sigs = ARENA_ARRAY(&record->arena, Signature, count);
  while (text.len > 0) {
    Span one;
    (void)span_split(&text, ' ', &one);
    if (!signature_parse(one, &record->info.sigs[record->info.sig_count++], err)) return false;
  }
  return true;
}

// The current row of a statement that selects PATH_DB_COLUMNS, without references.
static bool path_db_row(sqlite3_stmt *stmt, PathInfoRecord *record, Err *err) {
  PathInfo *info = &record->info;
  if (!path_db_path(sql_column(stmt, 1), sql_column(stmt, 2), &info->path, err)) return false;
  record->has_root = sqlite3_column_type(stmt, 3) != SQLITE_NULL;
  if (record->has_root && !castore_node_decode(arena_dup(&record->arena, sql_column(stmt, 3)), &info->root, err))
    return false;
  Span nar = sql_column(stmt, 4);
  if (nar.len != sizeof(info->nar_sha256)) return err_set(err, ERR_CORRUPT, "a NAR hash has %zu bytes", nar.len);
  memcpy(info->nar_sha256, nar.data, nar.len);
  info->nar_size_bytes = (uint64_t)sqlite3_column_int64(stmt, 5);
  Span deriver = sql_column(stmt, 6), ca = sql_column(stmt, 7);
  info->has_deriver = deriver.len > 0;
  if (info->has_deriver && !store_path_parse_base(deriver, &info->deriver, err)) return false;
  info->has_ca = ca.len > 0;
  if (info->has_ca && !content_address_parse(ca, &info->ca, err)) return false;
  record->registered_at = sqlite3_column_int64(stmt, 9);
  record->ultimate = sqlite3_column_int(stmt, 10) != 0;
  return path_db_parse_sigs(sql_column(stmt, 8), record, err);
}

static bool path_db_load_refs(PathDb *db, int64_t id, PathInfoRecord *record, Err *err) {
  if (!sql_use(db->db, &db->refs_of,
               "SELECT p.hash, p.name FROM refs r JOIN paths p ON p.id = r.reference WHERE r.referrer = ?", err))
    return false;
  sqlite3_bind_int64(db->refs_of, 1, id);
  StorePathList list = STORE_PATH_LIST_INIT;
  bool ok, row;
  while ((ok = sql_step(db->db, db->refs_of, &row, err)) && row) {
    StorePath path;
    if (!(ok = path_db_path(sql_column(db->refs_of, 0), sql_column(db->refs_of, 1), &path, err))) break;
    store_path_list_add(&list, &path);
  }
  sqlite3_reset(db->refs_of);
  if (ok && list.count > 0) {
    store_path_list_sort(&list);
    record->info.refs = ARENA_ARRAY(&record->arena, StorePath, list.count);
    memcpy(record->info.refs, list.paths, list.count * sizeof(*list.paths));
    record->info.ref_count = list.count;
  }
  store_path_list_done(&list);
  return ok;
}

static bool path_db_get_locked(PathDb *db, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  *ret = NULL;
  if (!sql_use(db->db, &db->get, "SELECT " PATH_DB_COLUMNS " FROM paths WHERE hash = ? AND valid = 1", err))
    return false;
  sql_bind_blob(db->get, 1, digest, STORE_PATH_DIGEST_BYTES);
  bool row;
  if (!sql_step(db->db, db->get, &row, err)) return false;
  if (!row) return true;
  PathInfoRecord *record = path_info_service_record_new();
  int64_t id = sqlite3_column_int64(db->get, 0);
  bool ok = path_db_row(db->get, record, err);
  sqlite3_reset(db->get);
  ok = ok && path_db_load_refs(db, id, record, err);
  if (ok) *ret = record;
  else path_info_service_record_free(record);
  return ok;
}

bool path_db_get(PathDb *db, const uint8_t digest[20], PathInfoRecord **ret, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_get_locked(db, digest, ret, err);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

static bool path_db_is_valid_locked(PathDb *db, const uint8_t digest[20], bool *ret, bool *ret_tree, Err *err) {
  *ret = false;
  if (!sql_use(db->db, &db->is_valid, "SELECT tree FROM paths WHERE hash = ? AND valid = 1", err)) return false;
  sql_bind_blob(db->is_valid, 1, digest, STORE_PATH_DIGEST_BYTES);
  bool ok = sql_step(db->db, db->is_valid, ret, err);
  if (ret_tree) *ret_tree = ok && *ret && sqlite3_column_int(db->is_valid, 0) != 0;
  if (*ret) sqlite3_reset(db->is_valid);
  return ok;
}

bool path_db_is_valid(PathDb *db, const uint8_t digest[20], bool *ret, bool *ret_tree, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_is_valid_locked(db, digest, ret, ret_tree, err);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_are_valid(PathDb *db, const StorePath *paths, size_t count, bool *ret, Err *err) {
  pthread_mutex_lock(&db->mutex);
  // Outside of a transaction each question takes and releases the lock of the file.
  bool ok = sql_exec(db->db, "BEGIN", err);
  if (ok) {
    for (size_t i = 0; ok && i < count; i++) ok = path_db_is_valid_locked(db, paths[i].digest, &ret[i], NULL, err);
    ok = sql_exec(db->db, "COMMIT", ok ? err : NULL) && ok;
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

// ---- writing

// Ids are looked up once per process, as long as nobody else has written: then any of them may be gone.
static bool path_db_check_cache(PathDb *db, Err *err) {
  bool row;
  if (!sql_use(db->db, &db->data_version_stmt, "PRAGMA data_version", err) ||
      !sql_step(db->db, db->data_version_stmt, &row, err))
    return false;
  int64_t version = row ? sqlite3_column_int64(db->data_version_stmt, 0) : 0;
  sqlite3_reset(db->data_version_stmt);
  if (version != db->data_version) {
    map_done(&db->ids);
    db->ids = (Map)MAP_INIT;
    db->data_version = version;
  }
  return true;
}

// *ret_id 0 when there is no row. Only valid rows are kept in the map.
static bool path_db_find_id(PathDb *db, const uint8_t digest[20], int64_t *ret_id, bool *ret_valid, Err *err) {
  *ret_id = (int64_t)(intptr_t)map_get(&db->ids, span_make(digest, STORE_PATH_DIGEST_BYTES));
  *ret_valid = *ret_id != 0;
  if (*ret_id) return true;
  bool row;
  if (!sql_use(db->db, &db->find_id, "SELECT id, valid FROM paths WHERE hash = ?", err)) return false;
  sql_bind_blob(db->find_id, 1, digest, STORE_PATH_DIGEST_BYTES);
  if (!sql_step(db->db, db->find_id, &row, err)) return false;
  if (!row) return true;
  *ret_id = sqlite3_column_int64(db->find_id, 0);
  *ret_valid = sqlite3_column_int(db->find_id, 1) != 0;
  sqlite3_reset(db->find_id);
  if (*ret_valid) map_set(&db->ids, span_make(digest, STORE_PATH_DIGEST_BYTES), (void *)(intptr_t)*ret_id);
  return true;
}

static void path_db_format_sigs(const PathInfo *info, Buf *ret) {
  for (size_t i = 0; i < info->sig_count; i++) {
    if (i > 0) buf_put_char(ret, ' ');
    signature_format(&info->sigs[i], ret);
  }
}

// Adds those signatures that the row does not have.
static bool path_db_merge_sigs(PathDb *db, int64_t id, const Signature *sigs, size_t count, Err *err) {
  if (count == 0) return true;
  bool row;
  if (!sql_use(db->db, &db->get_sigs, "SELECT sigs FROM paths WHERE id = ?", err)) return false;
  sqlite3_bind_int64(db->get_sigs, 1, id);
  if (!sql_step(db->db, db->get_sigs, &row, err)) return false;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  if (row) buf_put_span(&text, sql_column(db->get_sigs, 0));
  sqlite3_reset(db->get_sigs);
  size_t old_len = text.len;
  for (size_t i = 0; i < count; i++) {
    CLEANUP(buf_done) Buf one = BUF_INIT;
    signature_format(&sigs[i], &one);
    if (span_find(buf_span(&text), buf_span(&one)) != SIZE_MAX) continue;
    if (text.len > 0) buf_put_char(&text, ' ');
    buf_put_span(&text, buf_span(&one));
  }
  if (text.len == old_len) return true;
  if (!sql_use(db->db, &db->set_sigs, "UPDATE paths SET sigs = ? WHERE id = ?", err)) return false;
  sql_bind_span(db->set_sigs, 1, buf_span(&text));
  sqlite3_bind_int64(db->set_sigs, 2, id);
  return sql_run(db->db, db->set_sigs, err);
}

static void path_db_bind_info(sqlite3_stmt *stmt, const PathDbItem *item, Buf *text, size_t cuts[4]) {
  const PathInfoRecord *record = item->record;
  const PathInfo *info = &record->info;
  // All texts are built first: the buffer must not move while its parts are bound.
  if (record->has_root) castore_node_encode(&info->root, text);
  cuts[0] = text->len;
  if (info->has_deriver) store_path_format_base(&info->deriver, text);
  cuts[1] = text->len;
  if (info->has_ca) content_address_format(&info->ca, text);
  cuts[2] = text->len;
  path_db_format_sigs(info, text);
  cuts[3] = text->len;
  const char *data = text->data;
  if (record->has_root) sql_bind_blob(stmt, 1, data, cuts[0]);
  sql_bind_blob(stmt, 2, info->nar_sha256, sizeof(info->nar_sha256));
  sqlite3_bind_int64(stmt, 3, (int64_t)info->nar_size_bytes);
  if (info->has_deriver) sql_bind_span(stmt, 4, span_make(data + cuts[0], cuts[1] - cuts[0]));
  if (info->has_ca) sql_bind_span(stmt, 5, span_make(data + cuts[1], cuts[2] - cuts[1]));
  if (info->sig_count > 0) sql_bind_span(stmt, 6, span_make(data + cuts[2], cuts[3] - cuts[2]));
  sqlite3_bind_int64(stmt, 7, record->registered_at);
  sqlite3_bind_int(stmt, 8, record->ultimate);
  sqlite3_bind_int(stmt, 9, item->has_tree);
}

static bool path_db_mark_fresh(PathDb *db, int64_t id, Err *err) {
  if (db->no_sync) return true;
  if (!sql_use(db->db, &db->mark_fresh, "INSERT OR REPLACE INTO fresh(id, waits) VALUES(?, 0)", err)) return false;
  sqlite3_bind_int64(db->mark_fresh, 1, id);
  return sql_run(db->db, db->mark_fresh, err);
}

// A row that was only a name gets a new number, so that "newer than" finds it; its referrers follow it.
static bool path_db_renumber(PathDb *db, int64_t *id, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool row;
  int64_t old = *id;
  if (!sql_exec(db->db, "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'paths'", err)) return false;
  bool ok = sql_use(db->db, &stmt, "SELECT seq FROM sqlite_sequence WHERE name = 'paths'", err) &&
            sql_step(db->db, stmt, &row, err) && (row || err_set(err, ERR_CORRUPT, "the database has no sequence"));
  if (ok) *id = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  static const char *const updates[] = {"UPDATE paths SET id = ?2 WHERE id = ?1",
                                        "UPDATE refs SET reference = ?2 WHERE reference = ?1"};
  for (size_t i = 0; ok && i < ARRAY_LEN(updates); i++) {
    stmt = NULL;
    ok = sql_use(db->db, &stmt, updates[i], err);
    if (ok) {
      sqlite3_bind_int64(stmt, 1, old);
      sqlite3_bind_int64(stmt, 2, *id);
      ok = sql_run(db->db, stmt, err);
    }
    sqlite3_finalize(stmt);
  }
  return ok;
}

static bool path_db_delete_refs(PathDb *db, int64_t id, Err *err) {
  if (!sql_use(db->db, &db->delete_refs, "DELETE FROM refs WHERE referrer = ?", err)) return false;
  sqlite3_bind_int64(db->delete_refs, 1, id);
  return sql_run(db->db, db->delete_refs, err);
}

// *ret_new: its references must be written.
static bool path_db_put_row(PathDb *db, const PathDbItem *item, int64_t *ret_id, bool *ret_new, Err *err) {
  const PathInfo *info = &item->record->info;
  bool valid;
  if (!path_db_find_id(db, info->path.digest, ret_id, &valid, err)) return false;
  *ret_new = !valid || item->replaces;
  if (valid && !item->replaces) return path_db_merge_sigs(db, *ret_id, info->sigs, info->sig_count, err);
  if (valid && !path_db_delete_refs(db, *ret_id, err)) return false;
  CLEANUP(buf_done) Buf text = BUF_INIT;
  size_t cuts[4];
  bool is_name = *ret_id != 0; // so far only a name that was referred to, or what is replaced
  if (is_name && !path_db_renumber(db, ret_id, err)) return false;
  sqlite3_stmt **stmt = is_name ? &db->validate : &db->insert;
  if (!sql_use(db->db, stmt,
               is_name ? "UPDATE paths SET node = ?1, nar_sha256 = ?2, nar_size = ?3, deriver = ?4, ca = ?5, sigs = "
                         "?6, registered = ?7,"
                         " ultimate = ?8, tree = ?9, valid = 1 WHERE id = ?10"
                       : "INSERT INTO paths(node, nar_sha256, nar_size, deriver, ca, sigs, registered, ultimate, tree, "
                         "hash, name, valid)"
                         " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 1)",
               err))
    return false;
  path_db_bind_info(*stmt, item, &text, cuts);
  if (is_name) sqlite3_bind_int64(*stmt, 10, *ret_id);
  else {
    sql_bind_blob(*stmt, 10, info->path.digest, STORE_PATH_DIGEST_BYTES);
    sql_bind_span(*stmt, 11, store_path_name(&info->path));
  }
  if (!sql_run(db->db, *stmt, err)) return false;
  if (!is_name) *ret_id = sqlite3_last_insert_rowid(db->db);
  map_set(&db->ids, span_make(info->path.digest, STORE_PATH_DIGEST_BYTES), (void *)(intptr_t)*ret_id);
  return path_db_mark_fresh(db, *ret_id, err);
}

static bool path_db_insert_name(PathDb *db, const StorePath *path, int64_t *ret_id, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool ok = sql_use(db->db, &stmt, "INSERT INTO paths(hash, name, valid, tree) VALUES(?, ?, 0, 0)", err);
  if (ok) {
    sql_bind_blob(stmt, 1, path->digest, STORE_PATH_DIGEST_BYTES);
    sql_bind_span(stmt, 2, store_path_name(path));
    ok = sql_run(db->db, stmt, err);
    *ret_id = sqlite3_last_insert_rowid(db->db);
  }
  sqlite3_finalize(stmt);
  return ok;
}

static bool path_db_reference_id(PathDb *db, const PathInfo *info, const StorePath *ref, PathDbIsLower is_lower,
                                 void *ctx, int64_t *ret_id, Err *err) {
  bool valid, lower = false;
  if (!path_db_find_id(db, ref->digest, ret_id, &valid, err)) return false;
  if (valid) return true;
  if (is_lower && !is_lower(ctx, ref, &lower, err)) return false;
  if (!lower) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    store_path_format_base(&info->path, &text);
    buf_put_cstr(&text, "' refers to '");
    store_path_format_base(ref, &text);
    return err_set(err, ERR_NOT_FOUND, "'%s', which is not valid", buf_cstr(&text));
  }
  return *ret_id != 0 || path_db_insert_name(db, ref, ret_id, err);
}

// One statement for several references: half of its cost is that of a statement. `ids` are PATH_DB_REF_GROUP ones, or a single one.
static bool path_db_insert_refs(PathDb *db, int64_t referrer, const int64_t *ids, size_t count, Err *err) {
  bool single = count == 1;
  sqlite3_stmt **stmt = single ? &db->insert_ref : &db->insert_refs;
  if (!sql_use(db->db, stmt,
               single ? "INSERT OR IGNORE INTO refs(referrer, reference) VALUES(?1, ?2)"
                      : "INSERT OR IGNORE INTO refs(referrer, reference) VALUES(?1, ?2), (?1, ?3), (?1, ?4), (?1, ?5)",
               err))
    return false;
  sqlite3_bind_int64(*stmt, 1, referrer);
  for (size_t i = 0; i < count; i++) sqlite3_bind_int64(*stmt, (int)i + 2, ids[i]);
  return sql_run(db->db, *stmt, err);
}

static int path_db_id_cmp(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
  return left < right ? -1 : left > right;
}

static bool path_db_put_refs(PathDb *db, const PathInfo *info, int64_t id, PathDbIsLower is_lower, void *ctx,
                             Err *err) {
  CLEANUP(mem_free_ptr) int64_t *ids = mem_alloc_array(info->ref_count ? info->ref_count : 1, sizeof(*ids));
  for (size_t i = 0; i < info->ref_count; i++)
    if (!path_db_reference_id(db, info, &info->refs[i], is_lower, ctx, &ids[i], err)) return false;
  // Rows of one referrer lie side by side: in order, each is found where the last one was put.
  if (info->ref_count > 1) qsort(ids, info->ref_count, sizeof(*ids), path_db_id_cmp);
  for (size_t i = 0; i < info->ref_count;) {
    size_t count = info->ref_count - i >= PATH_DB_REF_GROUP ? PATH_DB_REF_GROUP : 1;
    if (!path_db_insert_refs(db, id, ids + i, count, err)) return false;
    i += count;
  }
  return true;
}

static bool path_db_set_tree_locked(PathDb *db, const uint8_t digest[20], bool has_tree, Err *err) {
  if (!sql_use(db->db, &db->set_tree, "UPDATE paths SET tree = ? WHERE hash = ? AND tree <> ?1", err)) return false;
  sqlite3_bind_int(db->set_tree, 1, has_tree);
  sql_bind_blob(db->set_tree, 2, digest, STORE_PATH_DIGEST_BYTES);
  if (!sql_run(db->db, db->set_tree, err)) return false;
  int64_t id;
  bool valid;
  return !has_tree || (path_db_find_id(db, digest, &id, &valid, err) && (!valid || path_db_mark_fresh(db, id, err)));
}

bool path_db_put(PathDb *db, const PathDbItem *items, size_t count, PathDbIsLower is_lower, void *ctx, Err *err) {
  if (count == 0) return true;
  int64_t *ids = mem_alloc_array(count, sizeof(*ids));
  bool *is_new = mem_alloc_array(count, sizeof(*is_new));
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_begin_locked(db, err);
  if (ok) {
    ok = path_db_check_cache(db, err);
    // Rows first, so that references within the batch are found whatever their order.
    for (size_t i = 0; ok && i < count; i++) {
      ok = path_db_put_row(db, &items[i], &ids[i], &is_new[i], err);
      if (ok && !is_new[i] && items[i].has_tree)
        ok = path_db_set_tree_locked(db, items[i].record->info.path.digest, true, err);
    }
    for (size_t i = 0; ok && i < count; i++)
      if (is_new[i]) ok = path_db_put_refs(db, &items[i].record->info, ids[i], is_lower, ctx, err);
    ok = path_db_end_locked(db, ok, err);
  }
  pthread_mutex_unlock(&db->mutex);
  mem_free(ids);
  mem_free(is_new);
  return ok || err_wrap(err, "registering store paths");
}

bool path_db_set_tree(PathDb *db, const StorePath *paths, size_t count, bool has_tree, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_begin_locked(db, err);
  if (ok) {
    ok = path_db_check_cache(db, err);
    for (size_t i = 0; ok && i < count; i++) ok = path_db_set_tree_locked(db, paths[i].digest, has_tree, err);
    ok = path_db_end_locked(db, ok, err);
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_add_sigs(PathDb *db, const uint8_t digest[20], const Signature *sigs, size_t count, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_begin_locked(db, err);
  if (ok) {
    int64_t id;
    bool valid;
    ok = path_db_check_cache(db, err) && path_db_find_id(db, digest, &id, &valid, err) &&
         (valid || err_set(err, ERR_NOT_FOUND, "the path is not valid")) &&
         path_db_merge_sigs(db, id, sigs, count, err);
    ok = path_db_end_locked(db, ok, err);
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

// ---- lists

bool path_db_list(PathDb *db, PathInfoVisit visit, void *ctx, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool row;
  bool ok = sql_use(db->db, &db->list, "SELECT " PATH_DB_COLUMNS " FROM paths WHERE valid = 1 ORDER BY id", err);
  while (ok && (ok = sql_step(db->db, db->list, &row, err)) && row) {
    CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = path_info_service_record_new();
    ok = path_db_row(db->list, record, err) && path_db_load_refs(db, sqlite3_column_int64(db->list, 0), record, err) &&
         visit(ctx, record, err);
  }
  if (db->list) sqlite3_reset(db->list);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_collect(PathDb *db, sqlite3_stmt *stmt, StorePathList *ret, Err *err) {
  bool ok, row;
  while ((ok = sql_step(db->db, stmt, &row, err)) && row) {
    StorePath path;
    if (!(ok = path_db_path(sql_column(stmt, 0), sql_column(stmt, 1), &path, err))) break;
    store_path_list_add(ret, &path);
  }
  sqlite3_reset(stmt);
  if (ok) store_path_list_sort(ret);
  return ok;
}

bool path_db_all(PathDb *db, StorePathList *ret, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok = sql_use(db->db, &db->all, "SELECT hash, name FROM paths WHERE valid = 1", err) &&
            path_db_collect(db, db->all, ret, err);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_referrers(PathDb *db, const uint8_t digest[20], StorePathList *ret, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok =
      sql_use(db->db, &db->referrers,
              "SELECT p.hash, p.name FROM paths t JOIN refs r ON r.reference = t.id JOIN paths p ON p.id = r.referrer"
              " WHERE t.hash = ? AND p.valid = 1",
              err);
  if (ok) {
    sql_bind_blob(db->referrers, 1, digest, STORE_PATH_DIGEST_BYTES);
    ok = path_db_collect(db, db->referrers, ret, err);
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_derivations(PathDb *db, Span name, StorePathList *ret, Err *err) {
  CLEANUP(buf_done) Buf base = BUF_INIT;
  buf_printf(&base, "%.*s.drv", SPAN_ARG(name));
  pthread_mutex_lock(&db->mutex);
  // Told as the index tells it, so that it is used.
  bool ok = sql_use(db->db, &db->derivations,
                    "SELECT hash, name FROM paths WHERE substr(name, -4) = '.drv' AND name = ? AND valid = 1", err);
  if (ok) {
    sql_bind_span(db->derivations, 1, buf_span(&base));
    ok = path_db_collect(db, db->derivations, ret, err);
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

// ---- deleting

static bool path_db_delete_one(PathDb *db, int64_t id, Err *err) {
  bool row;
  if (!path_db_delete_refs(db, id, err)) return false;
  // A row that others still refer to (they are deleted later in the same transaction, or the caller was told so) stays as a name.
  if (!sql_use(db->db, &db->has_referrers, "SELECT 1 FROM refs WHERE reference = ? LIMIT 1", err)) return false;
  sqlite3_bind_int64(db->has_referrers, 1, id);
  if (!sql_step(db->db, db->has_referrers, &row, err)) return false;
  if (row) sqlite3_reset(db->has_referrers);
  sqlite3_stmt **stmt = row ? &db->demote : &db->delete_path;
  if (!sql_use(db->db, stmt,
               row ? "UPDATE paths SET valid = 0, tree = 0, node = NULL WHERE id = ?"
                   : "DELETE FROM paths WHERE id = ?",
               err))
    return false;
  sqlite3_bind_int64(*stmt, 1, id);
  return sql_run(db->db, *stmt, err);
}

bool path_db_delete(PathDb *db, const int64_t *ids, size_t count, Err *err) {
  // References first, so that nothing in the batch keeps anything else in it as a name.
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) ok = path_db_delete_refs(db, ids[i], err);
  for (size_t i = 0; ok && i < count; i++) ok = path_db_delete_one(db, ids[i], err);
  ok = ok && (count == 0 || sql_exec(db->db,
                                     "DELETE FROM fresh WHERE NOT EXISTS"
                                     " (SELECT 1 FROM paths p WHERE p.id = fresh.id AND p.valid = 1)",
                                     err));
  map_done(&db->ids);
  db->ids = (Map)MAP_INIT;
  return ok;
}

bool path_db_newer(PathDb *db, int64_t id, PathDbNew **ret, size_t *ret_count, Arena *arena, Err *err) {
  *ret = NULL;
  *ret_count = 0;
  size_t cap = 0;
  bool nested = db->in_transaction, row;
  if (!nested) pthread_mutex_lock(&db->mutex);
  bool ok =
      sql_use(db->db, &db->newer, "SELECT id, hash, name, node FROM paths WHERE id > ? AND valid = 1 ORDER BY id", err);
  if (ok) sqlite3_bind_int64(db->newer, 1, id);
  while (ok && (ok = sql_step(db->db, db->newer, &row, err)) && row) {
    MEM_RESERVE(*ret, cap, *ret_count + 1);
    PathDbNew *item = &(*ret)[(*ret_count)++];
    *item = (PathDbNew){.id = sqlite3_column_int64(db->newer, 0)};
    Span node = sql_column(db->newer, 3);
    item->has_root = node.len > 0;
    ok = path_db_path(sql_column(db->newer, 1), sql_column(db->newer, 2), &item->path, err) &&
         (node.len == 0 || castore_node_decode(arena_dup(arena, node), &item->root, err));
  }
  if (db->newer) sqlite3_reset(db->newer);
  if (!nested) pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_newer_refs(PathDb *db, int64_t id, StorePathList *ret, Err *err) {
  bool nested = db->in_transaction;
  if (!nested) pthread_mutex_lock(&db->mutex);
  bool ok = sql_use(
      db->db, &db->newer_refs,
      "SELECT DISTINCT p.hash, p.name FROM refs r JOIN paths p ON p.id = r.reference WHERE r.referrer > ?", err);
  if (ok) {
    sqlite3_bind_int64(db->newer_refs, 1, id);
    ok = path_db_collect(db, db->newer_refs, ret, err);
  }
  if (!nested) pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_drop_names(PathDb *db, StorePathList *ret, Err *err) {
  sqlite3_stmt *stmt = NULL;
  if (!path_db_begin(db, err)) return false;
  bool ok =
      sql_use(db->db, &stmt,
              "DELETE FROM paths WHERE valid = 0 AND NOT EXISTS (SELECT 1 FROM refs r WHERE r.reference = paths.id)"
              " RETURNING hash, name",
              err) &&
      path_db_collect(db, stmt, ret, err);
  sqlite3_finalize(stmt);
  if (ok) return path_db_commit(db, err);
  path_db_rollback(db);
  return false;
}

// ---- NAR hash cache, checking

bool path_db_find_nar(PathDb *db, const CastoreNode *node, bool *ret_found, uint8_t ret_sha256[32],
                      uint64_t *ret_size_bytes, Err *err) {
  CLEANUP(buf_done) Buf key = BUF_INIT;
  castore_node_encode(node, &key);
  bool row = false;
  pthread_mutex_lock(&db->mutex);
  bool ok = sql_use(db->db, &db->find_nar, "SELECT nar_sha256, nar_size FROM nars WHERE node = ?", err);
  if (ok) {
    sql_bind_blob(db->find_nar, 1, key.data, key.len);
    ok = sql_step(db->db, db->find_nar, &row, err);
  }
  Span hash = row ? sql_column(db->find_nar, 0) : SPAN("");
  *ret_found = row && hash.len == 32;
  if (*ret_found) {
    memcpy(ret_sha256, hash.data, 32);
    *ret_size_bytes = (uint64_t)sqlite3_column_int64(db->find_nar, 1);
  }
  if (row) sqlite3_reset(db->find_nar);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_put_nar(PathDb *db, const CastoreNode *node, const uint8_t sha256[32], uint64_t size_bytes, Err *err) {
  CLEANUP(buf_done) Buf key = BUF_INIT;
  castore_node_encode(node, &key);
  pthread_mutex_lock(&db->mutex);
  bool ok =
      sql_use(db->db, &db->put_nar, "INSERT OR IGNORE INTO nars(node, nar_sha256, nar_size) VALUES(?, ?, ?)", err);
  if (ok) {
    sql_bind_blob(db->put_nar, 1, key.data, key.len);
    sql_bind_blob(db->put_nar, 2, sha256, 32);
    sqlite3_bind_int64(db->put_nar, 3, (int64_t)size_bytes);
    ok = sql_run(db->db, db->put_nar, err);
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_check(PathDb *db, Buf *ret_problem, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool row;
  pthread_mutex_lock(&db->mutex);
  bool ok = sql_use(db->db, &stmt, "PRAGMA integrity_check", err);
  while (ok && (ok = sql_step(db->db, stmt, &row, err)) && row) {
    Span line = sql_column(stmt, 0);
    if (span_eq_cstr(line, "ok")) continue;
    if (ret_problem->len > 0) buf_put_cstr(ret_problem, "; ");
    buf_put_span(ret_problem, line);
  }
  sqlite3_finalize(stmt);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}
