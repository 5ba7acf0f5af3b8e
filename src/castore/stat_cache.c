// stat_cache.c: imports by file metadata.
#include "castore/stat_cache.h"

#include <endian.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"

static const char stat_cache_magic[8] = "firnstat";
#define STAT_CACHE_VERSION 1u
#define STAT_CACHE_HEADER_LEN 48u
#define STAT_CACHE_FIXED_LEN 104u // payload before the records
#define STAT_CACHE_RECORD_LEN 88u // before the name
#define STAT_CACHE_BYTES_MAX ((size_t)1 << 32)

// A cursor over the records of a mapped file.
typedef struct StatCacheRecord {
  uint32_t kind, mode, end, name_len;
  uint64_t dev, ino, size_bytes;
  int64_t mtime_ns, ctime_ns;
  const char *digest;
  const char *name;
  size_t next; // offset of the following record
} StatCacheRecord;

typedef struct StatCache {
  Span payload;
  int64_t started_ns;
  size_t count;
  size_t at; // offset of the record `number`
  size_t number;
} StatCache;

static uint32_t stat_cache_u32(const char *data) {
  uint32_t value;
  memcpy(&value, data, sizeof(value));
  return le32toh(value);
}

static uint64_t stat_cache_u64(const char *data) {
  uint64_t value;
  memcpy(&value, data, sizeof(value));
  return le64toh(value);
}

static bool stat_cache_record(const StatCache *cache, size_t at, StatCacheRecord *ret) {
  if (at > cache->payload.len || cache->payload.len - at < STAT_CACHE_RECORD_LEN) return false;
  const char *data = cache->payload.data + at;
  *ret = (StatCacheRecord){
      .kind = stat_cache_u32(data),
      .mode = stat_cache_u32(data + 4),
      .end = stat_cache_u32(data + 8),
      .name_len = stat_cache_u32(data + 12),
      .dev = stat_cache_u64(data + 16),
      .ino = stat_cache_u64(data + 24),
      .size_bytes = stat_cache_u64(data + 32),
      .mtime_ns = (int64_t)stat_cache_u64(data + 40),
      .ctime_ns = (int64_t)stat_cache_u64(data + 48),
      .digest = data + 56,
      .name = data + STAT_CACHE_RECORD_LEN,
  };
  size_t padded = ((size_t)ret->name_len + 7) & ~(size_t)7;
  if (cache->payload.len - at - STAT_CACHE_RECORD_LEN < padded) return false;
  ret->next = at + STAT_CACHE_RECORD_LEN + padded;
  return true;
}

static bool stat_cache_same(const StatCache *cache, const StatCacheRecord *record, const ImportWalkEntry *entry) {
  return record->kind == (uint32_t)entry->kind && record->mode == entry->mode && record->dev == entry->dev &&
         record->ino == entry->ino && record->size_bytes == entry->size_bytes && record->mtime_ns == entry->mtime_ns &&
         record->ctime_ns == entry->ctime_ns && record->ctime_ns < cache->started_ns - STAT_CACHE_RACY_NS;
}

// Moves the cursor to record number `number`, which lies ahead.
static bool stat_cache_skip(StatCache *cache, size_t number) {
  StatCacheRecord record;
  for (; cache->number < number; cache->number++) {
    if (!stat_cache_record(cache, cache->at, &record)) return false;
    cache->at = record.next;
  }
  return true;
}

// Both lists are in the same order, so one pass pairs them. Entries [first, last) are the children (with descendants) of a directory that is paired with
// a record whose descendants end at `record_end`; the cursor stands at its first child. False: the cache makes no sense.
static bool stat_cache_pair(StatCache *cache, ImportWalk *walk, size_t first, size_t last, size_t record_end,
                            bool *unchanged) {
  for (size_t i = first; i < last; i = walk->entries[i].end) {
    ImportWalkEntry *entry = &walk->entries[i];
    Span name = span_cstr(entry->path + entry->name_at);
    StatCacheRecord record = {.next = 0};
    int order = 1;
    while (cache->number < record_end) {
      if (!stat_cache_record(cache, cache->at, &record)) return false;
      order = span_cmp(span_make(record.name, record.name_len), name);
      if (order >= 0) break;
      *unchanged = false; // a record without an entry: something was removed
      if (record.end <= cache->number || !stat_cache_skip(cache, record.end)) return false;
    }
    if (cache->number >= record_end || order != 0) {
      *unchanged = false;
      continue;
    }
    if (record.end <= cache->number || record.end > record_end) return false;
    size_t child_end = record.end;
    bool same = stat_cache_same(cache, &record, entry);
    // A directory's own times do not matter: its entries are compared. (Its inode or mode do not get into the NAR.)
    if (entry->kind == CASTORE_DIRECTORY && record.kind == (uint32_t)CASTORE_DIRECTORY) {
      cache->at = record.next;
      cache->number++;
      if (!stat_cache_pair(cache, walk, i + 1, entry->end, child_end, unchanged)) return false;
    } else if (!same) {
      *unchanged = false;
    } else if (entry->kind == CASTORE_FILE) {
      memcpy(entry->digest.bytes, record.digest, sizeof(entry->digest.bytes));
      entry->is_known = true;
    }
    if (!stat_cache_skip(cache, child_end)) return false;
  }
  if (cache->number < record_end) *unchanged = false;
  return stat_cache_skip(cache, record_end);
}

static bool stat_cache_parse(Span file, StatCache *ret, StatCacheRoot *ret_root) {
  if (file.len < STAT_CACHE_HEADER_LEN + STAT_CACHE_FIXED_LEN || memcmp(file.data, stat_cache_magic, 8) != 0 ||
      stat_cache_u32(file.data + 8) != STAT_CACHE_VERSION)
    return false;
  Span payload = span_from(file, STAT_CACHE_HEADER_LEN);
  uint8_t digest[32];
  hash_blake3(payload, digest);
  if (memcmp(digest, file.data + 16, sizeof(digest)) != 0) return false;
  const char *data = payload.data;
  *ret = (StatCache){.payload = payload,
                     .started_ns = (int64_t)stat_cache_u64(data),
                     .count = (size_t)stat_cache_u64(data + 96),
                     .at = STAT_CACHE_FIXED_LEN};
  uint64_t kind = stat_cache_u64(data + 8);
  if (kind > CASTORE_FILE * 2u + 1) return false;
  *ret_root = (StatCacheRoot){
      .root = {.kind = (CastoreKind)(kind >> 1), .executable = kind & 1, .size = stat_cache_u64(data + 16)}};
  memcpy(ret_root->root.digest.bytes, data + 24, 32);
  ret_root->nar_size_bytes = stat_cache_u64(data + 56);
  memcpy(ret_root->nar_sha256, data + 64, 32);
  return true;
}

static void stat_cache_apply_file(Span file, ImportWalk *walk, bool *ret_unchanged, StatCacheRoot *ret_root) {
  StatCache cache;
  StatCacheRecord record;
  if (!stat_cache_parse(file, &cache, ret_root) || !stat_cache_record(&cache, cache.at, &record)) return;
  ImportWalkEntry *root = &walk->entries[0];
  if (record.kind != (uint32_t)root->kind || record.end != cache.count) return;
  if (root->kind == CASTORE_FILE) {
    *ret_unchanged = root->is_known = stat_cache_same(&cache, &record, root);
    memcpy(root->digest.bytes, record.digest, sizeof(root->digest.bytes));
    return;
  }
  if (root->kind != CASTORE_DIRECTORY) return;
  bool unchanged = true;
  cache.at = record.next;
  cache.number = 1;
  if (stat_cache_pair(&cache, walk, 1, walk->count, cache.count, &unchanged)) {
    *ret_unchanged = unchanged;
    return;
  }
  for (size_t i = 0; i < walk->count; i++) walk->entries[i].is_known = false;
}

void stat_cache_apply(const char *cache_path, ImportWalk *walk, bool *ret_unchanged, StatCacheRoot *ret_root) {
  *ret_unchanged = false;
  CLEANUP(fs_close_fd) int fd = open(cache_path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0 || (uint64_t)st.st_size > STAT_CACHE_BYTES_MAX) return;
  void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (map == MAP_FAILED) return;
  stat_cache_apply_file(span_make(map, (size_t)st.st_size), walk, ret_unchanged, ret_root);
  munmap(map, (size_t)st.st_size);
}

static void stat_cache_put_u32(Buf *buf, uint32_t value) {
  uint32_t le = htole32(value);
  buf_put(buf, &le, sizeof(le));
}

static void stat_cache_put_record(Buf *buf, const ImportWalkEntry *entry) {
  Span name = span_cstr(entry->path + entry->name_at);
  stat_cache_put_u32(buf, (uint32_t)entry->kind);
  stat_cache_put_u32(buf, entry->mode);
  stat_cache_put_u32(buf, entry->end);
  stat_cache_put_u32(buf, (uint32_t)name.len);
  buf_put_u64le(buf, entry->dev);
  buf_put_u64le(buf, entry->ino);
  buf_put_u64le(buf, entry->size_bytes);
  buf_put_u64le(buf, (uint64_t)entry->mtime_ns);
  buf_put_u64le(buf, (uint64_t)entry->ctime_ns);
  buf_put(buf, entry->digest.bytes, sizeof(entry->digest.bytes));
  buf_put_span(buf, name);
  buf_put_repeat(buf, 0, (8 - name.len % 8) % 8);
}

void stat_cache_save(const char *cache_path, const ImportWalk *walk, const StatCacheRoot *root) {
  if (root->root.kind == CASTORE_SYMLINK) return;
  CLEANUP(buf_done) Buf file = BUF_INIT;
  buf_reserve(&file, 256 + walk->count * 120);
  buf_put(&file, stat_cache_magic, sizeof(stat_cache_magic));
  stat_cache_put_u32(&file, STAT_CACHE_VERSION);
  stat_cache_put_u32(&file, 0);
  buf_put_repeat(&file, 0, 32);
  buf_put_u64le(&file, (uint64_t)walk->started_ns);
  buf_put_u64le(&file, (uint64_t)root->root.kind << 1 | root->root.executable);
  buf_put_u64le(&file, root->root.size);
  buf_put(&file, root->root.digest.bytes, 32);
  buf_put_u64le(&file, root->nar_size_bytes);
  buf_put(&file, root->nar_sha256, 32);
  buf_put_u64le(&file, walk->count);
  for (size_t i = 0; i < walk->count; i++) stat_cache_put_record(&file, &walk->entries[i]);
  hash_blake3(span_from(buf_span(&file), STAT_CACHE_HEADER_LEN), (uint8_t *)file.data + 16);
  Err err = ERR_INIT;
  if (!fs_write_file_atomic(cache_path, buf_span(&file), 0600, false, &err)) err_done(&err);
}
