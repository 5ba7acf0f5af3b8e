// sql.c: SQLite with Err.
#include "store/sql.h"

#include <time.h>
#include <unistd.h>

bool sql_fail(sqlite3 *db, const char *what, Err *err) {
  int code = sqlite3_errcode(db) & 0xff;
  const char *file = sqlite3_db_filename(db, "main");
  ErrKind kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_CORRUPT : ERR_IO;
  return err_set(err, kind, "%s: %s (in '%s')", what, sqlite3_errmsg(db), file ? file : "");
}

void sql_start(void) {
  (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int sql_busy(void *ctx, int count) {
  (void)ctx;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  unsigned max_us = count < 10 ? 1000u : 20000u;
  usleep(500 + (useconds_t)((unsigned long)now.tv_nsec / 1000 % max_us));
  return count < SQL_BUSY_MS / 10;
}

bool sql_use_wal(sqlite3 *db, Err *err) {
  for (int count = 0;; count++) {
    int code = sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    if (code == SQLITE_OK) return true;
    if ((code & 0xff) != SQLITE_BUSY || !sql_busy(NULL, count)) return sql_fail(db, "database", err);
  }
}

bool sql_exec(sqlite3 *db, const char *text, Err *err) {
  return sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK || sql_fail(db, "database", err);
}

bool sql_use(sqlite3 *db, sqlite3_stmt **stmt, const char *text, Err *err) {
  if (*stmt) {
    sqlite3_reset(*stmt);
    sqlite3_clear_bindings(*stmt);
    return true;
  }
  return sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL) == SQLITE_OK ||
         sql_fail(db, "database", err);
}

bool sql_step(sqlite3 *db, sqlite3_stmt *stmt, bool *ret_row, Err *err) {
  int code = sqlite3_step(stmt);
  *ret_row = code == SQLITE_ROW;
  if (code == SQLITE_ROW) return true;
  bool ok = code == SQLITE_DONE || sql_fail(db, "database", err);
  sqlite3_reset(stmt);
  return ok;
}

bool sql_run(sqlite3 *db, sqlite3_stmt *stmt, Err *err) {
  bool row;
  if (!sql_step(db, stmt, &row, err)) return false;
  if (row) sqlite3_reset(stmt);
  return true;
}

void sql_bind_span(sqlite3_stmt *stmt, int index, Span text) {
  sqlite3_bind_text(stmt, index, text.len ? text.data : "", (int)text.len, SQLITE_STATIC);
}

void sql_bind_blob(sqlite3_stmt *stmt, int index, const void *data, size_t len) {
  sqlite3_bind_blob(stmt, index, data, (int)len, SQLITE_STATIC);
}

Span sql_column(sqlite3_stmt *stmt, int column) {
  const void *data = sqlite3_column_blob(stmt, column);
  return span_make(data ? data : "", data ? (size_t)sqlite3_column_bytes(stmt, column) : 0);
}
