// sql.h: the few lines that make SQLite's C interface fit this code: errors as Err, statements prepared once, busy waiting.
#pragma once

#include <sqlite3.h>

#include "base/buf.h"
#include "base/err.h"

// Always returns false: "<what>: <SQLite's message> ('<file>')". A damaged file is ERR_CORRUPT.
MUST_CHECK bool sql_fail(sqlite3 *db, const char *what, Err *err);
#define SQL_BUSY_MS 60000
// Once, before anything else of SQLite, while there is one thread: SQLite keeps no statistics of its memory (a lock for each allocation).
void sql_start(void);
// For sqlite3_busy_handler: sleeps a little longer each time, with jitter so that many waiting processes do not wake together. 0 when it
// has been long enough.
int sql_busy(void *ctx, int count);
// Write-ahead logging. Waits for others who open the same new database: SQLite refuses them all at once, without asking the handler.
MUST_CHECK bool sql_use_wal(sqlite3 *db, Err *err);
MUST_CHECK bool sql_exec(sqlite3 *db, const char *text, Err *err);
// Prepares *stmt once; later calls only reset it and clear its bindings.
MUST_CHECK bool sql_use(sqlite3 *db, sqlite3_stmt **stmt, const char *text, Err *err);
// *ret_row: a row stands ready. At the end and on errors the statement is reset.
MUST_CHECK bool sql_step(sqlite3 *db, sqlite3_stmt *stmt, bool *ret_row, Err *err);
// For statements without rows.
MUST_CHECK bool sql_run(sqlite3 *db, sqlite3_stmt *stmt, Err *err);
// Binds without a copy: the bytes must live until the statement has run.
void sql_bind_span(sqlite3_stmt *stmt, int index, Span text);
void sql_bind_blob(sqlite3_stmt *stmt, int index, const void *data, size_t len);
// Borrowed until the next step; empty for NULL.
Span sql_column(sqlite3_stmt *stmt, int column);
