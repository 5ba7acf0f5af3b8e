// castore_import.c: the consumer and the workers of an import.
#include "castore/castore_import.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/import_walk.h"
#include "castore/nar_hasher.h"
#include "castore/stat_cache.h"
#include "castore/work_pool.h"
#include "formats/nar_write.h"

// Files are handed to the workers in groups, so that a lock is taken per group and not per file.
#define CASTORE_IMPORT_GROUP_FILES 32u
#define CASTORE_IMPORT_GROUP_BYTES ((uint64_t)512 << 10)
#define CASTORE_IMPORT_WINDOW 8u // groups that are read ahead

static const struct timespec castore_import_times[2] = {{1, 0}, {1, 0}};

// Content of one file, as a worker left it.
typedef struct ImportContent {
  size_t at, len;     // in the group's `data`
  BlobReader *reader; // owned; content that the store has already. NULL: in `data`
  Span mapped;        // of the reader
} ImportContent;

typedef struct ImportGroup {
  size_t first_entry, end_entry;
} ImportGroup;

// What a worker makes of a group. Slots are used again, and with them their memory.
typedef struct ImportSlot {
  Buf data;
  ImportContent contents[CASTORE_IMPORT_GROUP_FILES];
  Err err;
} ImportSlot;

// An open directory of the consumer.
typedef struct ImportDir {
  size_t entry;
  size_t node_start; // first of its nodes on the stack
  int fd;            // only when adopting; else -1
} ImportDir;

typedef struct Import {
  const Castore *to;
  const CastoreImportOptions *options;
  CastoreImport *result;
  ImportWalk walk;
  ImportGroup *groups;
  size_t group_count, group_cap;
  ImportSlot slots[CASTORE_IMPORT_WINDOW];
  WorkPool *pool;
  NarHasher *hasher; // NULL: no NAR hash wanted
  NarWrite nar;
  Buf nar_buf; // what nar_write has produced and the hasher has not got yet
  ImportDir *dirs;
  size_t dir_count, dir_cap;
  CastoreNode *nodes; // finished entries of the open directories
  size_t node_count, node_cap;
  Buf encoded; // scratch
  char *chunk; // scratch for streaming without a hasher; owned
} Import;

void castore_import_done(CastoreImport *result) {
  buf_done(&result->text);
  mem_free(result->found);
  *result = (CastoreImport)CASTORE_IMPORT_INIT;
}

static bool castore_import_is_streamed(const ImportWalkEntry *entry) {
  return entry->kind == CASTORE_FILE && entry->size_bytes > CASTORE_IMPORT_STREAM_BYTES && !entry->is_known;
}

static bool castore_import_is_grouped(const ImportWalkEntry *entry) {
  return entry->kind == CASTORE_FILE && !castore_import_is_streamed(entry);
}

static void castore_import_make_groups(Import *import) {
  const ImportWalk *walk = &import->walk;
  for (size_t i = 0; i < walk->count;) {
    size_t start = i, files = 0;
    uint64_t bytes = 0;
    while (i < walk->count && files < CASTORE_IMPORT_GROUP_FILES && bytes < CASTORE_IMPORT_GROUP_BYTES) {
      if (castore_import_is_grouped(&walk->entries[i])) {
        files++;
        bytes += walk->entries[i].is_known ? 0 : walk->entries[i].size_bytes;
      }
      i++;
    }
    MEM_RESERVE(import->groups, import->group_cap, import->group_count + 1);
    import->groups[import->group_count++] = (ImportGroup){start, i};
  }
}

// ---- workers

// Content that the store has already. False (without error) when it has not: then the file is read.
static bool castore_import_find_known(Import *import, const ImportWalkEntry *entry, ImportContent *content) {
  BlobReader *reader = NULL;
  if (!blob_service_open(import->to->blobs, &entry->digest, &reader, NULL) || !reader) return false;
  if (reader->size_bytes != entry->size_bytes) {
    blob_service_close(reader);
    return false;
  }
  content->reader = reader;
  content->len = (size_t)reader->size_bytes;
  (void)blob_service_map(reader, &content->mapped);
  return true;
}

static bool castore_import_read_small(Import *import, ImportWalkEntry *entry, ImportSlot *slot, ImportContent *content,
                                      Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!import_walk_open(&import->walk, entry, &fd, err)) return false;
  content->at = slot->data.len;
  buf_reserve(&slot->data, (size_t)entry->size_bytes + 1);
  // The size from the walk is only a guess: what counts is what read() gives. The room for one byte more tells the end without another system call.
  for (;;) {
    if (slot->data.cap - slot->data.len < 2) buf_reserve(&slot->data, slot->data.len - content->at + 4096);
    ssize_t n = read(fd, slot->data.data + slot->data.len, slot->data.cap - slot->data.len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return err_set_errno(err, errno, "reading '%s'", entry->path);
    if (n == 0) break;
    slot->data.len += (size_t)n;
    if (slot->data.len - content->at == entry->size_bytes && slot->data.len < slot->data.cap) break;
  }
  content->len = slot->data.len - content->at;
  Span data = span_make(slot->data.data + content->at, content->len);
  hash_blake3(data, entry->digest.bytes);
  if (import->options->needles) {
    Refscan scan;
    refscan_init(&scan, import->options->needles, import->result->found);
    refscan_feed(&scan, data);
  }
  return true;
}

static void castore_import_work(void *ctx, size_t number) {
  Import *import = ctx;
  ImportSlot *slot = &import->slots[number % CASTORE_IMPORT_WINDOW];
  const ImportGroup *group = &import->groups[number];
  buf_clear(&slot->data);
  memset(slot->contents, 0, sizeof(slot->contents));
  ImportContent *content = slot->contents;
  for (size_t i = group->first_entry; i < group->end_entry; i++) {
    ImportWalkEntry *entry = &import->walk.entries[i];
    if (!castore_import_is_grouped(entry)) continue;
    bool is_found = entry->is_known && castore_import_find_known(import, entry, content);
    if (!is_found && !castore_import_read_small(import, entry, slot, content, &slot->err)) return;
    content++;
  }
}

// ---- the consumer

static void castore_import_nar_flush(Import *import) {
  if (import->hasher) nar_hasher_put(import->hasher, buf_span(&import->nar_buf));
  buf_clear(&import->nar_buf);
}

static bool castore_import_put_known(Import *import, const ImportContent *content, Err *err) {
  if (!import->hasher) return true;
  if (content->mapped.data) {
    nar_hasher_put(import->hasher, content->mapped);
    return true;
  }
  for (uint64_t done = 0; done < content->len;) {
    size_t cap, n;
    char *space = nar_hasher_space(import->hasher, &cap);
    if (!blob_service_read(content->reader, space, cap, &n, err)) return false;
    if (n == 0) return err_set(err, ERR_CORRUPT, "its object ends early");
    nar_hasher_commit(import->hasher, n);
    done += n;
  }
  return true;
}

static int castore_import_dir_fd(const Import *import) {
  return import->dir_count > 0 ? import->dirs[import->dir_count - 1].fd : import->walk.root_fd;
}

static const char *castore_import_name(const Import *import, const ImportWalkEntry *entry) {
  return import->walk.root_name ? import->walk.root_name : entry->path + entry->name_at;
}

static bool castore_import_adopt(Import *import, const ImportWalkEntry *entry, uint64_t size_bytes, Err *err) {
  return object_store_adopt(import->options->adopt_into, &entry->digest, import_walk_executable(entry),
                            castore_import_dir_fd(import), castore_import_name(import, entry), size_bytes, err);
}

static bool castore_import_small_file(Import *import, ImportWalkEntry *entry, ImportSlot *slot,
                                      const ImportContent *content, Err *err) {
  entry->size_bytes = content->len;
  nar_write_file(&import->nar, import_walk_executable(entry), content->len);
  castore_import_nar_flush(import);
  if (content->reader) {
    if (!castore_import_put_known(import, content, err)) return false;
  } else {
    Span data = span_make(slot->data.data + content->at, content->len);
    if (import->hasher) nar_hasher_put(import->hasher, data);
    import->result->read_bytes += content->len;
    CastoreDigest unused;
    if (import->options->adopt_into ? !castore_import_adopt(import, entry, content->len, err)
                                    : !blob_service_put(import->to->blobs, data, &entry->digest, &unused, err))
      return false;
  }
  nar_write_file_end(&import->nar);
  return true;
}

// One piece of a streamed file goes to both hashes, the scan and the blob.
static bool castore_import_stream_piece(Import *import, int fd, uint64_t left, HashCtx *blake3, Refscan *scan,
                                        BlobWriter *writer, size_t *ret_len, Err *err) {
  size_t cap = BYTE_STREAM_CHUNK_BYTES;
  char *space = import->hasher ? nar_hasher_space(import->hasher, &cap) : import->chunk;
  if (cap > left) cap = (size_t)left;
  ssize_t n;
  do n = read(fd, space, cap);
  while (n < 0 && errno == EINTR);
  if (n < 0) return err_set_errno(err, errno, "reading");
  if (n == 0) return err_set(err, ERR_IO, "the file became shorter while it was read");
  Span data = span_make(space, (size_t)n);
  if (blake3) hash_update(blake3, data.data, data.len);
  refscan_feed(scan, data);
  if (writer && !blob_service_write_put(writer, data, err)) return false;
  if (import->hasher) nar_hasher_commit(import->hasher, data.len);
  *ret_len = data.len;
  return true;
}

static bool castore_import_stream_all(Import *import, ImportWalkEntry *entry, int fd, BlobWriter *writer, Err *err) {
  HashCtx blake3;
  if (!writer) hash_init(&blake3, HASH_BLAKE3); // a writer hashes itself
  Refscan scan;
  refscan_init(&scan, import->options->needles, import->result->found);
  for (uint64_t done = 0; done < entry->size_bytes;) {
    size_t n = 0;
    if (!castore_import_stream_piece(import, fd, entry->size_bytes - done, writer ? NULL : &blake3, &scan, writer, &n,
                                     err))
      return false;
    done += n;
  }
  import->result->read_bytes += entry->size_bytes;
  if (writer) {
    uint64_t size;
    return blob_service_write_finish(writer, &entry->digest, &size, err);
  }
  Hash hash;
  hash_final(&blake3, &hash);
  memcpy(entry->digest.bytes, hash.bytes, sizeof(entry->digest.bytes));
  return castore_import_adopt(import, entry, entry->size_bytes, err);
}

static bool castore_import_big_file(Import *import, ImportWalkEntry *entry, Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  if (!import_walk_open(&import->walk, entry, &fd, err)) return false;
  struct stat st;
  if (fstat(fd, &st) != 0) return err_set_errno(err, errno, "reading");
  entry->size_bytes = (uint64_t)st.st_size;
  posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  nar_write_file(&import->nar, import_walk_executable(entry), entry->size_bytes);
  castore_import_nar_flush(import);
  BlobWriter *writer = NULL;
  if (!import->options->adopt_into && !blob_service_write(import->to->blobs, &writer, err)) return false;
  bool ok = castore_import_stream_all(import, entry, fd, writer, err);
  blob_service_write_free(writer);
  if (ok) nar_write_file_end(&import->nar);
  return ok;
}

static void castore_import_push_node(Import *import, const ImportWalkEntry *entry, CastoreNode node) {
  node.kind = entry->kind;
  node.name = span_cstr(entry->path + entry->name_at);
  MEM_RESERVE(import->nodes, import->node_cap, import->node_count + 1);
  import->nodes[import->node_count++] = node;
}

static bool castore_import_open_dir(Import *import, size_t number, Err *err) {
  const ImportWalkEntry *entry = &import->walk.entries[number];
  int fd = -1;
  if (import->options->adopt_into && !import_walk_open(&import->walk, entry, &fd, err)) return false;
  MEM_RESERVE(import->dirs, import->dir_cap, import->dir_count + 1);
  import->dirs[import->dir_count++] = (ImportDir){number, import->node_count, fd};
  nar_write_dir(&import->nar);
  return true;
}

static bool castore_import_close_dir(Import *import, Err *err) {
  ImportDir dir = import->dirs[--import->dir_count];
  const ImportWalkEntry *entry = &import->walk.entries[dir.entry];
  bool ok = true;
  if (dir.fd >= 0) { // its files were linked and replaced: now it becomes canonical
    if (fchmod(dir.fd, 0555) != 0 || futimens(dir.fd, castore_import_times) != 0)
      ok = err_set_errno(err, errno, "setting mode and time of '%s'", entry->path);
    fs_close_fd(&dir.fd);
  }
  // An import of empty directories only has no nodes yet.
  CastoreNode *nodes = import->nodes ? import->nodes + dir.node_start : NULL;
  CastoreDirectory directory = {nodes, import->node_count - dir.node_start};
  CastoreNode node = {.kind = CASTORE_DIRECTORY};
  buf_clear(&import->encoded);
  castore_node_directory_digest(&directory, &import->encoded, &node.digest);
  ok = ok && castore_node_directory_size(&directory, CASTORE_SIZE_ONCE, &node.size, err) &&
       directory_service_put_encoded(import->to->directories, &node.digest, buf_span(&import->encoded), err);
  import->node_count = dir.node_start;
  castore_import_push_node(import, entry, node);
  nar_write_dir_end(&import->nar);
  return ok;
}

static bool castore_import_symlink(Import *import, const ImportWalkEntry *entry) {
  if (import->options->needles) {
    Refscan scan;
    refscan_init(&scan, import->options->needles, import->result->found);
    refscan_feed(&scan, entry->target);
  }
  nar_write_symlink(&import->nar, entry->target);
  castore_import_push_node(import, entry, (CastoreNode){.target = entry->target});
  return true;
}

static bool castore_import_entry(Import *import, size_t number, ImportSlot *slot, const ImportContent **content,
                                 Err *err) {
  ImportWalkEntry *entry = &import->walk.entries[number];
  while (import->dir_count > 0 && import->walk.entries[import->dirs[import->dir_count - 1].entry].end <= number)
    if (!castore_import_close_dir(import, err)) return false;
  if (number > 0) {
    // The name was listed by readdir, so only order and length could be wrong, and they are not.
    if (!nar_write_entry(&import->nar, span_cstr(entry->path + entry->name_at), err)) return false;
  }
  if (import->nar_buf.len > NAR_HASHER_BUFFER_BYTES / 8) castore_import_nar_flush(import);
  import->result->entry_count++;
  if (entry->kind == CASTORE_DIRECTORY) return castore_import_open_dir(import, number, err);
  if (entry->kind == CASTORE_SYMLINK) return castore_import_symlink(import, entry);
  bool ok = castore_import_is_streamed(entry) ? castore_import_big_file(import, entry, err)
                                              : castore_import_small_file(import, entry, slot, (*content)++, err);
  import->result->file_bytes += entry->size_bytes;
  castore_import_push_node(
      import, entry,
      (CastoreNode){.executable = import_walk_executable(entry), .digest = entry->digest, .size = entry->size_bytes});
  return ok;
}

static void castore_import_clear_slot(ImportSlot *slot) {
  for (size_t i = 0; i < CASTORE_IMPORT_GROUP_FILES; i++) {
    blob_service_close(slot->contents[i].reader);
    slot->contents[i].reader = NULL;
  }
}

static bool castore_import_consume(Import *import, Err *err) {
  for (size_t number = 0; number < import->group_count; number++) {
    ImportSlot *slot = &import->slots[number % CASTORE_IMPORT_WINDOW];
    const ImportGroup *group = &import->groups[number];
    const ImportContent *content = slot->contents;
    work_pool_wait(import->pool, number);
    bool ok = !err_is_set(&slot->err) || err_move(err, &slot->err);
    for (size_t i = group->first_entry; ok && i < group->end_entry; i++) {
      ok = castore_import_entry(import, i, slot, &content, err);
      if (!ok && import->walk.entries[i].path[0]) err_wrap(err, "%s", import->walk.entries[i].path);
    }
    castore_import_clear_slot(slot);
    if (!ok) return false;
    work_pool_release(import->pool, number);
  }
  while (import->dir_count > 0)
    if (!castore_import_close_dir(import, err)) return false;
  return true;
}

static void castore_import_set_root(Import *import) {
  CastoreImport *result = import->result;
  result->root = import->nodes[0];
  result->root.name = SPAN("");
  if (result->root.kind == CASTORE_SYMLINK) {
    buf_put_span(&result->text, result->root.target);
    result->root.target = buf_span(&result->text);
  }
  castore_import_nar_flush(import);
  if (import->hasher) nar_hasher_finish(import->hasher, result->nar_sha256, &result->nar_size_bytes);
}

static bool castore_import_contents(Import *import, Err *err) {
  const CastoreImportOptions *options = import->options;
  if (options->hash_nar) import->hasher = nar_hasher_new();
  else import->chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  nar_write_init(&import->nar, &import->nar_buf);
  castore_import_make_groups(import);
  // A thread for one small file would cost more than the file.
  unsigned threads = import->group_count > 1 ? work_pool_default_threads() : 0;
  import->pool = work_pool_start(threads, import->group_count, CASTORE_IMPORT_WINDOW, castore_import_work, import);
  bool ok = castore_import_consume(import, err);
  work_pool_free(import->pool);
  if (ok) castore_import_set_root(import);
  for (size_t i = 0; i < CASTORE_IMPORT_WINDOW; i++) {
    castore_import_clear_slot(&import->slots[i]);
    buf_done(&import->slots[i].data);
    err_done(&import->slots[i].err);
  }
  while (import->dir_count > 0) fs_close_fd(&import->dirs[--import->dir_count].fd);
  nar_write_done(&import->nar);
  nar_hasher_free(import->hasher);
  buf_done(&import->nar_buf);
  buf_done(&import->encoded);
  mem_free(import->chunk);
  mem_free(import->groups);
  mem_free(import->dirs);
  mem_free(import->nodes);
  return ok;
}

static bool castore_import_try_reuse(Import *import, const StatCacheRoot *cached) {
  const CastoreImportOptions *options = import->options;
  CastoreImport *result = import->result;
  result->root = cached->root;
  result->nar_size_bytes = cached->nar_size_bytes;
  memcpy(result->nar_sha256, cached->nar_sha256, sizeof(result->nar_sha256));
  result->entry_count = import->walk.count;
  result->reused = options->reuse && options->reuse(options->reuse_ctx, result);
  if (!result->reused) result->entry_count = result->nar_size_bytes = 0;
  return result->reused;
}

bool castore_import_path(const Castore *to, const char *path, const CastoreImportOptions *options, CastoreImport *ret,
                         Err *err) {
  static const CastoreImportOptions defaults = {.hash_nar = true};
  Import *import = mem_alloc_zero(sizeof(*import));
  *ret = (CastoreImport)CASTORE_IMPORT_INIT;
  import->to = to;
  import->options = options ? options : &defaults;
  import->result = ret;
  size_t needle_count = refscan_needles_count(import->options->needles);
  if (needle_count > 0) ret->found = mem_alloc_zero(needle_count);
  bool ok = import_walk_run(path, import->options, &import->walk, err);
  bool unchanged = false;
  if (ok) {
    const char *cache_path = import->options->stat_cache_path;
    StatCacheRoot cached;
    if (cache_path) stat_cache_apply(cache_path, &import->walk, &unchanged, &cached);
    unchanged = unchanged && castore_import_try_reuse(import, &cached);
    ok = unchanged || castore_import_contents(import, err);
    if (ok && cache_path && !unchanged && import->options->hash_nar) {
      cached = (StatCacheRoot){.root = ret->root, .nar_size_bytes = ret->nar_size_bytes};
      memcpy(cached.nar_sha256, ret->nar_sha256, sizeof(cached.nar_sha256));
      stat_cache_save(cache_path, &import->walk, &cached);
    }
  }
  import_walk_done(&import->walk);
  mem_free(import);
  if (ok) return true;
  castore_import_done(ret);
  return err_wrap_unless_named(err, path, "importing '%s'", path);
}
