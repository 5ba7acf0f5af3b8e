// fetch_cache.c: see fetch_cache.h.
#include "glue/fetch_cache.h"

#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "formats/hash.h"

#define FETCH_CACHE_MAX_BYTES 4096
#define FETCH_CACHE_MAGIC "firn-fetch 1"

void fetch_cache_entry_done(FetchCacheEntry *entry) {
  buf_done(&entry->store_path);
  buf_done(&entry->validator);
}

static void put_path(const char *dir, Span question, Buf *ret) {
  Hash hash;
  hash_of(HASH_SHA256, question, &hash);
  buf_printf(ret, "%s/urls/", dir);
  hash_format(&hash, HASH_FORMAT_NIX32, false, ret);
}

bool fetch_cache_find(const char *dir, Span question, FetchCacheEntry *ret) {
  if (!dir) return false;
  Buf path CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  Err ignored = ERR_INIT;
  put_path(dir, question, &path);
  bool ok = fs_read_file(buf_cstr(&path), FETCH_CACHE_MAX_BYTES, &text, &ignored);
  err_done(&ignored);
  Span rest = buf_span(&text), magic, time_text, store_path, validator;
  if (!ok || !span_split(&rest, '\n', &magic) || !span_eq_cstr(magic, FETCH_CACHE_MAGIC) ||
      !span_split(&rest, '\n', &time_text) || !span_parse_i64(time_text, &ret->fetched_s) ||
      !span_split(&rest, '\n', &store_path) || !span_split(&rest, '\n', &validator))
    return false;
  buf_put_span(&ret->store_path, store_path);
  buf_put_span(&ret->validator, validator);
  return true;
}

void fetch_cache_put(const char *dir, Span question, const FetchCacheEntry *entry) {
  if (!dir) return;
  Buf path CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  Err err = ERR_INIT;
  put_path(dir, question, &path);
  buf_printf(&text, FETCH_CACHE_MAGIC "\n%lld\n", (long long)entry->fetched_s);
  buf_put_span(&text, buf_span(&entry->store_path));
  buf_put_char(&text, '\n');
  buf_put_span(&text, buf_span(&entry->validator));
  buf_put_char(&text, '\n');
  Buf folder CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&folder, fs_path_dir(buf_span(&path)));
  if (!fs_mkdir_all(buf_cstr(&folder), 0777, &err) ||
      !fs_write_file_atomic(buf_cstr(&path), buf_span(&text), 0666, false, &err))
    log_msg(LOG_INFO, "%s", err_message(&err));
  err_done(&err);
}

bool fetch_cache_is_fresh(int64_t then_s, int64_t ttl_s) {
  int64_t now = time(NULL);
  return then_s <= now && now - then_s < ttl_s;
}
