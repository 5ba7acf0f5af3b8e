// narinfo_cache.c: see narinfo_cache.h.
#include "store/narinfo_cache.h"

#include <pthread.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/sql.h"

enum { BUSY_MS = 2000 };

struct NarinfoCache {
  pthread_mutex_t mutex;
  sqlite3 *db;
  sqlite3_stmt *find, *put;
  int64_t positive_ttl_s, negative_ttl_s;
};

static const char schema[] = "PRAGMA synchronous = OFF;"
                             "CREATE TABLE IF NOT EXISTS answers(url TEXT NOT NULL, name TEXT NOT NULL, "
                             "time INTEGER NOT NULL, text BLOB, PRIMARY KEY(url, name)) WITHOUT ROWID";

static bool open_db(NarinfoCache *cache, const char *path, Err *err) {
  Buf dir CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&dir, fs_path_dir(span_cstr(path)));
  if (!fs_mkdir_all(buf_cstr(&dir), 0755, err)) return false;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (sqlite3_open_v2(path, &cache->db, flags, NULL) != SQLITE_OK) return sql_fail(cache->db, "opening", err);
  sqlite3_busy_timeout(cache->db, BUSY_MS);
  return sql_use_wal(cache->db, err) && sql_exec(cache->db, schema, err);
}

NarinfoCache *narinfo_cache_open(const char *path, int64_t positive_ttl_s, int64_t negative_ttl_s) {
  NarinfoCache *cache = mem_alloc_zero(sizeof *cache);
  Err err = ERR_INIT;
  *cache = (NarinfoCache){.positive_ttl_s = positive_ttl_s, .negative_ttl_s = negative_ttl_s};
  pthread_mutex_init(&cache->mutex, NULL);
  if (!open_db(cache, path, &err)) {
    log_msg(LOG_TALKATIVE, "answers of binary caches are not kept: %s", err_message(&err));
    narinfo_cache_close(STEAL(cache));
  }
  err_done(&err);
  return cache;
}

void narinfo_cache_close(NarinfoCache *cache) {
  if (!cache) return;
  sqlite3_finalize(cache->find);
  sqlite3_finalize(cache->put);
  sqlite3_close(cache->db);
  pthread_mutex_destroy(&cache->mutex);
  mem_free(cache);
}

static NarinfoCacheAnswer find(NarinfoCache *cache, const char *url, Span name, Buf *ret_text, Err *err) {
  bool row;
  if (!sql_use(cache->db, &cache->find, "SELECT time, text FROM answers WHERE url = ? AND name = ?", err))
    return NARINFO_CACHE_UNKNOWN;
  sql_bind_span(cache->find, 1, span_cstr(url));
  sql_bind_span(cache->find, 2, name);
  if (!sql_step(cache->db, cache->find, &row, err) || !row) return NARINFO_CACHE_UNKNOWN;
  bool present = sqlite3_column_type(cache->find, 1) != SQLITE_NULL;
  int64_t age = (int64_t)time(NULL) - sqlite3_column_int64(cache->find, 0);
  bool fresh = age >= 0 && age < (present ? cache->positive_ttl_s : cache->negative_ttl_s);
  if (fresh && present) buf_put_span(ret_text, sql_column(cache->find, 1));
  sqlite3_reset(cache->find);
  return !fresh ? NARINFO_CACHE_UNKNOWN : present ? NARINFO_CACHE_PRESENT : NARINFO_CACHE_ABSENT;
}

NarinfoCacheAnswer narinfo_cache_find(NarinfoCache *cache, const char *url, Span name, Buf *ret_text) {
  Err err = ERR_INIT;
  if (!cache) return NARINFO_CACHE_UNKNOWN;
  pthread_mutex_lock(&cache->mutex);
  NarinfoCacheAnswer ret = find(cache, url, name, ret_text, &err);
  pthread_mutex_unlock(&cache->mutex);
  err_done(&err);
  return ret;
}

static bool put(NarinfoCache *cache, const char *url, Span name, const Span *text, Err *err) {
  if (!sql_use(cache->db, &cache->put, "INSERT OR REPLACE INTO answers(url, name, time, text) VALUES(?, ?, ?, ?)", err))
    return false;
  sql_bind_span(cache->put, 1, span_cstr(url));
  sql_bind_span(cache->put, 2, name);
  sqlite3_bind_int64(cache->put, 3, (int64_t)time(NULL));
  if (text) sql_bind_blob(cache->put, 4, text->data, text->len);
  return sql_run(cache->db, cache->put, err);
}

void narinfo_cache_put(NarinfoCache *cache, const char *url, Span name, const Span *text) {
  Err err = ERR_INIT;
  if (!cache) return;
  pthread_mutex_lock(&cache->mutex);
  if (!put(cache, url, name, text, &err))
    log_msg(LOG_TALKATIVE, "an answer of a binary cache is not kept: %s", err_message(&err));
  pthread_mutex_unlock(&cache->mutex);
  err_done(&err);
}
