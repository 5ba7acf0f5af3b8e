// path_db_fresh.c: see path_db_fresh.h.
#include "store/path_db_fresh.h"

#include "store/path_db_state.h"

bool path_db_has_fresh(PathDb *db, bool *ret, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok =
      sql_use(db->db, &db->any_fresh, "SELECT 1 FROM fresh LIMIT 1", err) && sql_step(db->db, db->any_fresh, ret, err);
  if (ok && *ret) sqlite3_reset(db->any_fresh);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

static bool path_db_exec_in_turn(PathDb *db, const char *sql, Err *err) {
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_begin_locked(db, err);
  if (ok) ok = path_db_end_locked(db, sql_exec(db->db, sql, err), err);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_fresh_waits(PathDb *db, Err *err) {
  return path_db_exec_in_turn(db, "UPDATE fresh SET waits = 1", err);
}

bool path_db_fresh_done(PathDb *db, Err *err) {
  return path_db_exec_in_turn(db, "DELETE FROM fresh WHERE waits = 1", err);
}

bool path_db_check_boot(PathDb *db, Span boot, bool *ret_same, Err *err) {
  sqlite3_stmt *stmt = NULL;
  bool row;
  pthread_mutex_lock(&db->mutex);
  bool ok = sql_use(db->db, &stmt, "SELECT id FROM boot", err) && sql_step(db->db, stmt, &row, err);
  *ret_same = ok && row && span_eq(sql_column(stmt, 0), boot);
  sqlite3_finalize(stmt);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_set_boot(PathDb *db, Span boot, Err *err) {
  sqlite3_stmt *stmt = NULL;
  pthread_mutex_lock(&db->mutex);
  bool ok = path_db_begin_locked(db, err);
  if (ok) {
    ok = sql_exec(db->db, "DELETE FROM boot", err) && sql_use(db->db, &stmt, "INSERT INTO boot VALUES(?)", err);
    if (ok) sql_bind_span(stmt, 1, boot);
    ok = ok && sql_run(db->db, stmt, err);
    sqlite3_finalize(stmt);
    ok = path_db_end_locked(db, ok, err);
  }
  pthread_mutex_unlock(&db->mutex);
  return ok;
}

bool path_db_list_fresh(PathDb *db, PathDbFresh **ret, size_t *ret_count, Arena *arena, Err *err) {
  sqlite3_stmt *stmt = NULL;
  size_t cap = 0;
  bool row;
  *ret = NULL;
  *ret_count = 0;
  pthread_mutex_lock(&db->mutex);
  bool ok = sql_use(db->db, &stmt,
                    "SELECT p.id, p.hash, p.name, p.node, p.tree FROM fresh f JOIN paths p ON p.id = f.id"
                    " WHERE p.valid = 1 ORDER BY p.id",
                    err);
  while (ok && (ok = sql_step(db->db, stmt, &row, err)) && row) {
    MEM_RESERVE(*ret, cap, *ret_count + 1);
    PathDbFresh *item = &(*ret)[(*ret_count)++];
    Span node = sql_column(stmt, 3);
    *item = (PathDbFresh){
        .id = sqlite3_column_int64(stmt, 0), .has_root = node.len > 0, .has_tree = sqlite3_column_int(stmt, 4) != 0};
    ok = path_db_path(sql_column(stmt, 1), sql_column(stmt, 2), &item->path, err) &&
         (node.len == 0 || castore_node_decode(arena_dup(arena, node), &item->root, err));
  }
  sqlite3_finalize(stmt);
  pthread_mutex_unlock(&db->mutex);
  return ok;
}
