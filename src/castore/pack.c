// pack.c: pack files.
#include "castore/pack.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "formats/hash.h"

static const char pack_magic[8] = "firnpack";
static const char pack_end_magic[8] = "kcapnrif";
#define PACK_VERSION 1u
#define PACK_HEADER_LEN 16u
#define PACK_ENTRY_LEN 48u
#define PACK_FOOTER_LEN 56u
#define PACK_KIND_BIT (UINT64_C(1) << 63)
#define PACK_BUFFER_BYTES ((size_t)1 << 20)

struct Pack {
  unsigned ref_count;
  char *path; // owned
  const char *map;
  size_t map_len;
  const unsigned char *entries; // in the map
  size_t count;
};

static uint64_t pack_load_u64(const void *data) {
  uint64_t value;
  memcpy(&value, data, sizeof(value));
  return le64toh(value);
}

static const unsigned char *pack_entry(const Pack *pack, size_t i) {
  return pack->entries + i * PACK_ENTRY_LEN;
}

static Span pack_entry_data(const Pack *pack, const unsigned char *entry) {
  return span_make(pack->map + pack_load_u64(entry + 32), (size_t)(pack_load_u64(entry + 40) & ~PACK_KIND_BIT));
}

static PackKind pack_entry_kind(const unsigned char *entry) {
  return pack_load_u64(entry + 40) & PACK_KIND_BIT ? PACK_DIRECTORY : PACK_BLOB;
}

// Order of the index: by digest, blobs before directories of the same digest (the empty blob and the empty directory share theirs).
static int pack_entry_cmp(const unsigned char *entry, const unsigned char *digest, PackKind kind) {
  int c = memcmp(entry, digest, PACK_DIGEST_LEN);
  return c ? c : (int)pack_entry_kind(entry) - (int)kind;
}

static bool pack_verify(Pack *pack, Err *err) {
  const char *path = pack->path;
  if (pack->map_len < PACK_HEADER_LEN + PACK_FOOTER_LEN || memcmp(pack->map, pack_magic, 8) != 0)
    return err_set(err, ERR_CORRUPT, "pack '%s' has no pack header", path);
  uint32_t version;
  memcpy(&version, pack->map + 8, sizeof(version));
  if (le32toh(version) != PACK_VERSION)
    return err_set(err, ERR_CORRUPT, "pack '%s' has format version %u, not %u", path, le32toh(version), PACK_VERSION);
  const char *footer = pack->map + pack->map_len - PACK_FOOTER_LEN;
  if (memcmp(footer + 48, pack_end_magic, 8) != 0) return err_set(err, ERR_CORRUPT, "pack '%s' is cut off", path);
  uint64_t index = pack_load_u64(footer), count = pack_load_u64(footer + 8);
  uint64_t index_end = pack->map_len - PACK_FOOTER_LEN;
  if (index < PACK_HEADER_LEN || index > index_end || (index_end - index) % PACK_ENTRY_LEN != 0 ||
      (index_end - index) / PACK_ENTRY_LEN != count)
    return err_set(err, ERR_CORRUPT, "pack '%s' has an index outside of the file", path);
  pack->entries = (const unsigned char *)pack->map + index;
  pack->count = (size_t)count;
  unsigned char digest[PACK_DIGEST_LEN];
  hash_blake3(span_make(pack->entries, pack->count * PACK_ENTRY_LEN), digest);
  if (memcmp(digest, footer + 16, PACK_DIGEST_LEN) != 0)
    return err_set(err, ERR_CORRUPT, "pack '%s' has a damaged index", path);
  for (size_t i = 0; i < pack->count; i++) {
    uint64_t offset = pack_load_u64(pack_entry(pack, i) + 32),
             size = pack_load_u64(pack_entry(pack, i) + 40) & ~PACK_KIND_BIT;
    if (offset < PACK_HEADER_LEN || offset > index || size > index - offset)
      return err_set(err, ERR_CORRUPT, "pack '%s': object %zu lies outside of the file", path, i);
  }
  return true;
}

bool pack_open(const char *path, Pack **ret, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!fs_open(path, O_RDONLY, 0, &fd, err)) return false;
  struct stat st;
  if (fstat(fd, &st) != 0) return err_set_errno(err, errno, "reading '%s'", path);
  if (st.st_size <= 0) return err_set(err, ERR_CORRUPT, "pack '%s' is empty", path);
  void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return err_set_errno(err, errno, "mapping '%s'", path);
  Pack *pack = mem_alloc_zero(sizeof(*pack));
  *pack = (Pack){.ref_count = 1, .path = span_dup(span_cstr(path)), .map = map, .map_len = (size_t)st.st_size};
  if (!pack_verify(pack, err)) {
    pack_unref(pack);
    return false;
  }
  *ret = pack;
  return true;
}

Pack *pack_ref(Pack *pack) {
  __atomic_add_fetch(&pack->ref_count, 1, __ATOMIC_RELAXED);
  return pack;
}

void pack_unref(Pack *pack) {
  if (!pack || __atomic_sub_fetch(&pack->ref_count, 1, __ATOMIC_ACQ_REL) > 0) return;
  munmap((void *)pack->map, pack->map_len);
  mem_free(pack->path);
  mem_free(pack);
}

const char *pack_path(const Pack *pack) {
  return pack->path;
}

size_t pack_count(const Pack *pack) {
  return pack->count;
}

uint64_t pack_size_bytes(const Pack *pack) {
  return pack->map_len;
}

static uint64_t pack_digest_head(const unsigned char *digest) {
  uint64_t head;
  memcpy(&head, digest, sizeof(head));
  return be64toh(head);
}

bool pack_find(const Pack *pack, const unsigned char *digest, PackKind kind, Span *ret_data) {
  // Interpolation narrows [lo, hi) in a few steps; halving every other step bounds the worst case by a logarithm.
  size_t lo = 0, hi = pack->count;
  uint64_t want = pack_digest_head(digest);
  uint64_t lo_head = 0, hi_head = UINT64_MAX;
  for (unsigned step = 0; lo < hi; step++) {
    size_t i = lo + (hi - lo) / 2;
    if (step % 2 == 0 && hi_head > lo_head && want >= lo_head) {
      i = lo + (size_t)((unsigned __int128)(want - lo_head) * (hi - lo) / ((unsigned __int128)(hi_head - lo_head) + 1));
      if (i >= hi) i = hi - 1;
    }
    const unsigned char *entry = pack_entry(pack, i);
    int c = pack_entry_cmp(entry, digest, kind);
    if (c == 0) {
      *ret_data = pack_entry_data(pack, entry);
      return true;
    }
    if (c < 0) {
      lo = i + 1;
      lo_head = pack_digest_head(entry);
    } else {
      hi = i;
      hi_head = pack_digest_head(entry);
    }
  }
  return false;
}

void pack_get(const Pack *pack, size_t i, const unsigned char **ret_digest, PackKind *ret_kind, Span *ret_data) {
  const unsigned char *entry = pack_entry(pack, i);
  *ret_digest = entry;
  *ret_kind = pack_entry_kind(entry);
  *ret_data = pack_entry_data(pack, entry);
}

// ---- writing

typedef struct PackItem {
  unsigned char digest[PACK_DIGEST_LEN];
  uint64_t offset;
  uint64_t size_and_kind;
} PackItem;

struct PackWriter {
  char *tmp_path; // owned; NULL once finished
  int fd;
  Buf buffer; // bytes behind `flushed`
  uint64_t flushed;
  PackItem *items;
  size_t item_count, item_cap;
  uint32_t *slots; // item number + 1, linear probing
  size_t slot_cap; // power of two
};

static uint64_t pack_writer_end(const PackWriter *writer) {
  return writer->flushed + writer->buffer.len;
}

static bool pack_writer_flush(PackWriter *writer, Err *err) {
  if (!fs_write_all(writer->fd, buf_span(&writer->buffer), err)) return err_wrap(err, "writing '%s'", writer->tmp_path);
  writer->flushed += writer->buffer.len;
  buf_clear(&writer->buffer);
  return true;
}

bool pack_writer_open(const char *tmp_path, PackWriter **ret, Err *err) {
  int fd = -1;
  if (!fs_open(tmp_path, O_RDWR | O_CREAT | O_EXCL, 0444, &fd, err)) return false;
  PackWriter *writer = mem_alloc_zero(sizeof(*writer));
  writer->tmp_path = span_dup(span_cstr(tmp_path));
  writer->fd = fd;
  writer->slot_cap = 64;
  writer->slots = mem_alloc_zero(writer->slot_cap * sizeof(*writer->slots));
  buf_put(&writer->buffer, pack_magic, sizeof(pack_magic));
  uint32_t head[2] = {htole32(PACK_VERSION), 0};
  buf_put(&writer->buffer, head, sizeof(head));
  *ret = writer;
  return true;
}

static PackItem *pack_writer_find(const PackWriter *writer, const unsigned char *digest, PackKind kind,
                                  size_t *ret_slot) {
  size_t slot = (size_t)pack_digest_head(digest) & (writer->slot_cap - 1);
  for (; writer->slots[slot] != 0; slot = (slot + 1) & (writer->slot_cap - 1)) {
    PackItem *item = &writer->items[writer->slots[slot] - 1];
    PackKind item_kind = item->size_and_kind & PACK_KIND_BIT ? PACK_DIRECTORY : PACK_BLOB;
    if (item_kind == kind && memcmp(item->digest, digest, PACK_DIGEST_LEN) == 0) return item;
  }
  if (ret_slot) *ret_slot = slot;
  return NULL;
}

static void pack_writer_grow(PackWriter *writer) {
  writer->slot_cap *= 2;
  mem_free(writer->slots);
  writer->slots = mem_alloc_zero(writer->slot_cap * sizeof(*writer->slots));
  for (size_t i = 0; i < writer->item_count; i++) {
    size_t slot = (size_t)pack_digest_head(writer->items[i].digest) & (writer->slot_cap - 1);
    while (writer->slots[slot] != 0) slot = (slot + 1) & (writer->slot_cap - 1);
    writer->slots[slot] = (uint32_t)i + 1;
  }
}

bool pack_writer_put(PackWriter *writer, const unsigned char *digest, PackKind kind, Span data, Err *err) {
  size_t slot;
  if (pack_writer_find(writer, digest, kind, &slot)) return true;
  if (writer->buffer.len + data.len > PACK_BUFFER_BYTES && !pack_writer_flush(writer, err)) return false;
  MEM_RESERVE(writer->items, writer->item_cap, writer->item_count + 1);
  PackItem *item = &writer->items[writer->item_count++];
  memcpy(item->digest, digest, PACK_DIGEST_LEN);
  item->offset = pack_writer_end(writer);
  item->size_and_kind = data.len | (kind == PACK_DIRECTORY ? PACK_KIND_BIT : 0);
  buf_put_span(&writer->buffer, data);
  writer->slots[slot] = (uint32_t)writer->item_count;
  if (writer->item_count * 2 > writer->slot_cap) pack_writer_grow(writer);
  return true;
}

bool pack_writer_has(const PackWriter *writer, const unsigned char *digest, PackKind kind) {
  return pack_writer_find(writer, digest, kind, NULL) != NULL;
}

bool pack_writer_size(const PackWriter *writer, const unsigned char *digest, PackKind kind, uint64_t *ret_size_bytes) {
  const PackItem *item = pack_writer_find(writer, digest, kind, NULL);
  if (item) *ret_size_bytes = item->size_and_kind & ~PACK_KIND_BIT;
  return item != NULL;
}

bool pack_writer_read(PackWriter *writer, const unsigned char *digest, PackKind kind, Buf *ret, bool *ret_found,
                      Err *err) {
  const PackItem *item = pack_writer_find(writer, digest, kind, NULL);
  *ret_found = item != NULL;
  if (!item) return true;
  size_t size = (size_t)(item->size_and_kind & ~PACK_KIND_BIT);
  // An object lies wholly in the buffer or wholly in the file: flushing happens between objects.
  if (item->offset >= writer->flushed) {
    buf_put_span(ret, span_sub(buf_span(&writer->buffer), (size_t)(item->offset - writer->flushed), size));
    return true;
  }
  buf_reserve(ret, size + 1);
  for (size_t done = 0; done < size;) {
    ssize_t n = pread(writer->fd, ret->data + ret->len, size - done, (off_t)(item->offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return err_set_errno(err, n < 0 ? errno : EIO, "reading '%s'", writer->tmp_path);
    ret->len += (size_t)n;
    done += (size_t)n;
  }
  return true;
}

size_t pack_writer_count(const PackWriter *writer) {
  return writer->item_count;
}

uint64_t pack_writer_size_bytes(const PackWriter *writer) {
  return pack_writer_end(writer);
}

static int pack_item_cmp(const void *a, const void *b) {
  const PackItem *x = a, *y = b;
  int c = memcmp(x->digest, y->digest, PACK_DIGEST_LEN);
  if (c != 0) return c;
  return (x->size_and_kind & PACK_KIND_BIT) < (y->size_and_kind & PACK_KIND_BIT) ? -1 : 1;
}

bool pack_writer_finish(PackWriter *writer, const char *final_path, bool sync, Err *err) {
  qsort(writer->items, writer->item_count, sizeof(*writer->items), pack_item_cmp);
  uint64_t index_offset = pack_writer_end(writer);
  CLEANUP(buf_done) Buf index = BUF_INIT;
  buf_reserve(&index, writer->item_count * PACK_ENTRY_LEN);
  for (size_t i = 0; i < writer->item_count; i++) {
    buf_put(&index, writer->items[i].digest, PACK_DIGEST_LEN);
    buf_put_u64le(&index, writer->items[i].offset);
    buf_put_u64le(&index, writer->items[i].size_and_kind);
  }
  unsigned char digest[PACK_DIGEST_LEN];
  hash_blake3(buf_span(&index), digest);
  buf_put_span(&writer->buffer, buf_span(&index));
  buf_put_u64le(&writer->buffer, index_offset);
  buf_put_u64le(&writer->buffer, writer->item_count);
  buf_put(&writer->buffer, digest, sizeof(digest));
  buf_put(&writer->buffer, pack_end_magic, sizeof(pack_end_magic));
  if (!pack_writer_flush(writer, err)) return false;
  if (sync && fdatasync(writer->fd) != 0) return err_set_errno(err, errno, "syncing '%s'", writer->tmp_path);
  if (rename(writer->tmp_path, final_path) != 0)
    return err_set_errno(err, errno, "renaming '%s' to '%s'", writer->tmp_path, final_path);
  mem_free(STEAL(writer->tmp_path));
  return true;
}

void pack_writer_free(PackWriter *writer) {
  if (!writer) return;
  if (writer->tmp_path) unlink(writer->tmp_path);
  fs_close_fd(&writer->fd);
  mem_free(writer->tmp_path);
  buf_done(&writer->buffer);
  mem_free(writer->items);
  mem_free(writer->slots);
  mem_free(writer);
}
