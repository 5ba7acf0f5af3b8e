// unit_cache.c: see unit_cache.h.
#include "glue/unit_cache.h"

#include <errno.h>
#include <sys/file.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/code.h"
#include "glue/cache_files.h"

typedef struct UnitCacheEntry {
  uint64_t dev, ino, size, mtime_ns, ctime_ns;
  uint64_t offset, length, checksum;
} UnitCacheEntry;

// One pack with its index, as they were when they were opened.
typedef struct Generation {
  char *pack_path, *index_path; // owned
  char *pack;                   // private mapping: heads of images are written to
  size_t pack_len;
  const UnitCacheEntry *entries; // mapping
  size_t index_len, entry_count;
  uint32_t *table; // open addressing: entry number + 1
  uint32_t table_mask;
} Generation;

typedef struct PendingUnit {
  UnitCacheEntry entry;
  Span image; // borrowed
} PendingUnit;

struct UnitCache {
  UnitStore base;
  char *dir, *fingerprint; // owned
  uint64_t max_bytes;
  Generation young, old;
  PendingUnit *pending;
  size_t pending_count, pending_cap;
  uint64_t hits, misses;
};

// ---- checksums and keys ----

static uint64_t mix(uint64_t a, uint64_t b) {
  __uint128_t product = (__uint128_t)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Of all but the first word, which belongs to the running process.
static uint64_t image_checksum(Span image) {
  const uint64_t k0 = UINT64_C(0xa0761d6478bd642f), k1 = UINT64_C(0xe7037ed1a0b428db);
  uint64_t h0 = image.len, h1 = k0, word[2];
  size_t i = 8;
  for (; i + 16 <= image.len; i += 16) {
    memcpy(word, image.data + i, 16);
    h0 = mix(h0 ^ word[0], k0 ^ word[1]);
    h1 = (h1 ^ word[0]) * k1 + word[1];
  }
  for (; i + 8 <= image.len; i += 8) {
    memcpy(word, image.data + i, 8);
    h0 = mix(h0 ^ word[0], k1);
  }
  return mix(h0 ^ k1, h1 ^ k0);
}

static uint32_t entry_hash(const UnitCacheEntry *e) {
  return (uint32_t)(mix(e->ino ^ e->mtime_ns, e->dev ^ UINT64_C(0x9E3779B97F4A7C15)) >> 20);
}

static bool same_file(const UnitCacheEntry *a, const UnitCacheEntry *b) {
  return a->ino == b->ino && a->dev == b->dev && a->size == b->size && a->mtime_ns == b->mtime_ns &&
         a->ctime_ns == b->ctime_ns;
}

static UnitCacheEntry entry_of(const EvalStat *st) {
  return (UnitCacheEntry){
      .dev = st->dev, .ino = st->ino, .size = st->size_bytes, .mtime_ns = st->mtime_ns, .ctime_ns = st->ctime_ns};
}

// ---- generations ----

static void *map_file(const char *path, int prot, size_t *ret_len) {
  *ret_len = 0;
  int fd CLEANUP(fs_close_fd) = -1;
  struct stat st;
  if (!fs_open(path, O_RDONLY, 0, &fd, NULL) || fstat(fd, &st) != 0 || st.st_size <= 0) return NULL;
  void *p = mmap(NULL, (size_t)st.st_size, prot, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED) return NULL;
  *ret_len = (size_t)st.st_size;
  return p;
}

// So that others see that these files are in use.
static void touch(const char *path) {
  struct stat st;
  if (stat(path, &st) == 0 && cache_files_is_due(&st)) (void)utimensat(AT_FDCWD, path, NULL, 0);
}

static void generation_index(Generation *g) {
  uint32_t mask = 15;
  while (mask < g->entry_count * 2) mask = mask * 2 + 1;
  g->table = mem_alloc_zero(((size_t)mask + 1) * sizeof *g->table);
  g->table_mask = mask;
  for (size_t i = 0; i < g->entry_count; i++) {
    uint32_t at = entry_hash(&g->entries[i]) & mask;
    while (g->table[at]) at = (at + 1) & mask;
    g->table[at] = (uint32_t)i + 1;
  }
}

static void generation_open(Generation *g, Span dir, Span fingerprint, const char *suffix) {
  Buf path = BUF_INIT;
  buf_printf(&path, "%.*s/%.*s%s.pack", SPAN_ARG(dir), SPAN_ARG(fingerprint), suffix);
  g->pack_path = buf_take(&path);
  buf_printf(&path, "%.*s/%.*s%s.index", SPAN_ARG(dir), SPAN_ARG(fingerprint), suffix);
  g->index_path = buf_take(&path);
  // The index first: what it names is in the pack by then.
  g->entries = map_file(g->index_path, PROT_READ, &g->index_len);
  if (!g->entries) return;
  g->entry_count = g->index_len / sizeof *g->entries;
  g->pack = map_file(g->pack_path, PROT_READ | PROT_WRITE, &g->pack_len);
  touch(g->index_path);
  generation_index(g);
}

static void generation_close(Generation *g) {
  if (g->entries) munmap((void *)(uintptr_t)g->entries, g->index_len);
  if (g->pack) munmap(g->pack, g->pack_len);
  mem_free(g->pack_path);
  mem_free(g->index_path);
  mem_free(g->table);
}

// Whether an entry describes a whole, unharmed image of this format.
static bool entry_check(const Generation *g, const UnitCacheEntry *e) {
  if (e->offset % 8 || e->length < sizeof(CodeImage) || e->length > g->pack_len || e->offset > g->pack_len - e->length)
    return false;
  Span image = span_make(g->pack + e->offset, (size_t)e->length);
  const CodeImage *header = (const CodeImage *)(const void *)image.data;
  return header->magic == CODE_MAGIC && header->version == CODE_VERSION &&
         (uint64_t)header->word_count * 4 == e->length && image_checksum(image) == e->checksum;
}

static const UnitCacheEntry *generation_find(const Generation *g, const UnitCacheEntry *key) {
  if (!g->table || !g->pack) return NULL;
  for (uint32_t at = entry_hash(key) & g->table_mask; g->table[at]; at = (at + 1) & g->table_mask) {
    const UnitCacheEntry *e = &g->entries[g->table[at] - 1];
    if (same_file(e, key) && entry_check(g, e)) return e;
  }
  return NULL;
}

static bool generation_has(const Generation *g, const UnitCacheEntry *key) {
  if (!g->table || !g->pack) return false;
  for (uint32_t at = entry_hash(key) & g->table_mask; g->table[at]; at = (at + 1) & g->table_mask)
    if (same_file(&g->entries[g->table[at] - 1], key)) return true;
  return false;
}

bool unit_cache_has(const UnitCache *c, const EvalStat *st) {
  UnitCacheEntry key = entry_of(st);
  return generation_has(&c->young, &key) || generation_has(&c->old, &key);
}

// ---- the store ----

static void put(UnitStore *store, Span path, const EvalStat *st, Span image) {
  UnitCache *c = (UnitCache *)store;
  (void)path;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
  uint64_t changed_ns = st->mtime_ns > st->ctime_ns ? st->mtime_ns : st->ctime_ns;
  if (!st->ino || changed_ns + UNIT_CACHE_RACY_NS > now_ns) return;
  MEM_RESERVE(c->pending, c->pending_cap, c->pending_count + 1);
  PendingUnit *p = &c->pending[c->pending_count++];
  p->entry = entry_of(st);
  p->image = image;
}

static uint32_t *look_up(UnitStore *store, Span path, const EvalStat *st) {
  UnitCache *c = (UnitCache *)store;
  if (!st->ino) return NULL;
  UnitCacheEntry key = entry_of(st);
  const UnitCacheEntry *e = generation_find(&c->young, &key);
  if (e) return (uint32_t *)(void *)(c->young.pack + e->offset);
  e = generation_find(&c->old, &key);
  if (!e) return NULL;
  Span image = span_make(c->old.pack + e->offset, (size_t)e->length);
  put(store, path, st, image); // used: it stays
  return (uint32_t *)(void *)(uintptr_t)image.data;
}

static uint32_t *find(UnitStore *store, Span path, const EvalStat *st) {
  UnitCache *c = (UnitCache *)store;
  uint32_t *image = look_up(store, path, st);
  if (image) c->hits++;
  else c->misses++;
  return image;
}

void unit_cache_counts(const UnitCache *c, uint64_t *ret_hits, uint64_t *ret_misses) {
  *ret_hits = c->hits;
  *ret_misses = c->misses;
}

static const UnitStoreOps unit_cache_ops = {.find = find, .put = put};

UnitCache *unit_cache_open(Span dir, Span fingerprint, uint64_t max_bytes) {
  UnitCache *c = mem_alloc_zero(sizeof *c);
  c->base.ops = &unit_cache_ops;
  c->dir = span_dup(dir);
  c->fingerprint = span_dup(fingerprint);
  c->max_bytes = max_bytes;
  generation_open(&c->young, dir, fingerprint, "");
  generation_open(&c->old, dir, fingerprint, ".old");
  return c;
}

UnitStore *unit_cache_store(UnitCache *cache) {
  return &cache->base;
}

// ---- all files of the folder ----

static bool is_index(const CacheFile *file) {
  return span_has_suffix(span_cstr(file->path), SPAN(".index"));
}

static bool is_ours(const CacheFile *file) {
  return is_index(file) || span_has_suffix(span_cstr(file->path), SPAN(".pack"));
}

// Files of other fingerprints, as long as all together are too large.
static void drop_foreign(const UnitCache *c) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  uint64_t bytes = 0;
  cache_files_read(span_cstr(c->dir), &files);
  cache_files_sort(&files);
  for (size_t i = 0; i < files.count; i++)
    if (is_ours(&files.items[i])) bytes += files.items[i].size;
  for (size_t i = 0; i < files.count && bytes > c->max_bytes; i++) {
    const CacheFile *file = &files.items[i];
    if (!is_ours(file) || span_has_prefix(fs_path_base(span_cstr(file->path)), span_cstr(c->fingerprint))) continue;
    // A pack without its index, or the other way round, is as if it were not there.
    if (unlink(file->path) == 0) bytes -= file->size;
  }
}

// ---- writing ----

// Appends the pending images and their entries; `index_fd` is locked.
static bool flush_locked(UnitCache *c, int index_fd, Err *err) {
  int pack_fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(c->young.pack_path, O_WRONLY | O_CREAT, 0644, &pack_fd, err)) return false;
  off_t end = lseek(pack_fd, 0, SEEK_END);
  if (end < 0) return err_set_errno(err, errno, "seeking in '%s'", c->young.pack_path);
  Buf data CLEANUP(buf_done) = BUF_INIT;
  Buf index CLEANUP(buf_done) = BUF_INIT;
  size_t pad = (size_t)(-end & 7);
  buf_put_repeat(&data, 0, pad);
  for (size_t i = 0; i < c->pending_count; i++) {
    PendingUnit *p = &c->pending[i];
    p->entry.offset = (uint64_t)end + data.len;
    p->entry.length = p->image.len;
    p->entry.checksum = image_checksum(p->image);
    buf_put_repeat(&data, 0, 8); // in place of the process's own word
    buf_put_span(&data, span_from(p->image, 8));
    buf_put(&index, &p->entry, sizeof p->entry);
  }
  if (!fs_write_all(pack_fd, buf_span(&data), err)) return false;
  // A partial entry of a writer that was killed is overwritten.
  off_t index_end = lseek(index_fd, 0, SEEK_END);
  off_t whole = index_end - index_end % (off_t)sizeof(UnitCacheEntry);
  if (index_end < 0 || lseek(index_fd, whole, SEEK_SET) < 0)
    return err_set_errno(err, errno, "seeking in '%s'", c->young.index_path);
  if (!fs_write_all(index_fd, buf_span(&index), err)) return false;
  if ((uint64_t)end + data.len > c->max_bytes / 2) {
    (void)rename(c->young.pack_path, c->old.pack_path);
    (void)rename(c->young.index_path, c->old.index_path);
  }
  return true;
}

static bool flush(UnitCache *c, Err *err) {
  if (!fs_mkdir_all(c->dir, 0700, err)) return false;
  int index_fd CLEANUP(fs_close_fd) = -1;
  if (!fs_open(c->young.index_path, O_RDWR | O_CREAT, 0644, &index_fd, err)) return false;
  // Whoever holds the lock writes the same kind of thing: a run need not wait for it.
  if (flock(index_fd, LOCK_EX | LOCK_NB) != 0) return true;
  if (!flush_locked(c, index_fd, err)) return false;
  drop_foreign(c);
  return true;
}

void unit_cache_flush(UnitCache *c) {
  Err err = ERR_INIT;
  if (c->pending_count && !flush(c, &err)) log_msg(LOG_DEBUG, "compiled files are not cached: %s", err_message(&err));
  c->pending_count = 0;
  err_done(&err);
}

void unit_cache_close(UnitCache *c) {
  if (!c) return;
  generation_close(&c->young);
  generation_close(&c->old);
  mem_free(c->pending);
  mem_free(c->dir);
  mem_free(c->fingerprint);
  mem_free(c);
}

// ---- firn cache ----

void unit_cache_info(Span dir, UnitCacheInfo *ret) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  cache_files_read(dir, &files);
  *ret = (UnitCacheInfo){0};
  for (size_t i = 0; i < files.count; i++) {
    const CacheFile *file = &files.items[i];
    if (!is_ours(file)) continue;
    ret->file_count++;
    if (is_index(file)) ret->entry_count += file->size / sizeof(UnitCacheEntry);
    else ret->pack_bytes += file->size;
  }
}

bool unit_cache_clear(Span dir, Err *err) {
  CacheFiles files CLEANUP(cache_files_done) = {0};
  bool ok = true;
  cache_files_read(dir, &files);
  // The others go even if one stays; the first error is told.
  for (size_t i = 0; i < files.count; i++)
    if (is_ours(&files.items[i])) ok = cache_files_remove(&files.items[i], err) && ok;
  return ok;
}
