// castore_materialise.c: trees from nodes. The walk makes the directories and collects the files of a store in batches, which a crew places.
#include "castore/castore_materialise.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/file_crew.h"

#define CASTORE_MATERIALISE_DEPTH_MAX 4096u
#define CASTORE_MATERIALISE_BATCH_FILES 64u

// A directory gets its final mode and time when the last of its entries is there.
typedef struct CastoreMaterialiseDir {
  int fd;
  unsigned refs; // atomic: the walk, while it is in it, and each file that is still to be placed
} CastoreMaterialiseDir;

typedef struct CastoreMaterialiseFile {
  CastoreMaterialiseDir *dir; // a reference
  CastoreDigest digest;
  uint64_t size_bytes;
  bool executable;
  size_t name_at;
} CastoreMaterialiseFile;

typedef struct CastoreMaterialiseBatch {
  CastoreMaterialiseFile files[CASTORE_MATERIALISE_BATCH_FILES];
  size_t count;
  Buf names; // each with its NUL
} CastoreMaterialiseBatch;

typedef struct CastoreMaterialise {
  const Castore *from;
  ObjectStore *objects; // NULL: from->blobs writes the files
  CastoreMaterialiseOptions options;
  CastoreMaterialiseBatch *batch; // being filled; owned, NULL when none
  FileCrew crew;
} CastoreMaterialise;

static const struct timespec castore_materialise_times[2] = {{1, 0}, {1, 0}};

static bool castore_materialise_write(const CastoreMaterialise *run, BlobReader *reader, const CastoreNode *node,
                                      int fd, Err *err) {
  CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  HashCtx hash;
  hash_init(&hash, HASH_BLAKE3);
  uint64_t size = 0;
  for (;;) {
    size_t n;
    if (!blob_service_read(reader, chunk, BYTE_STREAM_CHUNK_BYTES, &n, err)) return false;
    if (n == 0) break;
    if (run->options.verify) hash_update(&hash, chunk, n);
    if (!fs_write_all(fd, span_make(chunk, n), err)) return false;
    size += n;
  }
  if (size != node->size)
    return err_set(err, ERR_CORRUPT, "the blob has %llu bytes instead of %llu", (unsigned long long)size,
                   (unsigned long long)node->size);
  if (!run->options.verify) return true;
  Hash got;
  hash_final(&hash, &got);
  return memcmp(got.bytes, node->digest.bytes, sizeof(node->digest.bytes)) == 0 ||
         err_set(err, ERR_CORRUPT, "the blob is damaged");
}

static bool castore_materialise_copy(const CastoreMaterialise *run, const CastoreNode *node, int dir_fd,
                                     const char *name, Err *err) {
  BlobReader *reader;
  if (!blob_service_open(run->from->blobs, &node->digest, &reader, err)) return false;
  if (!reader) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    castore_node_format_digest(&node->digest, &text);
    return err_set(err, ERR_NOT_FOUND, "blob %s is missing", buf_cstr(&text));
  }
  CLEANUP(fs_close_fd) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  bool ok = fd >= 0 || err_set_errno(err, errno, "creating the file");
  ok = ok && castore_materialise_write(run, reader, node, fd, err);
  mode_t mode = run->options.writable ? (node->executable ? 0755 : 0644) : (node->executable ? 0555 : 0444);
  if (ok && fchmod(fd, mode) != 0) ok = err_set_errno(err, errno, "setting its mode");
  if (ok && !run->options.writable && futimens(fd, castore_materialise_times) != 0)
    ok = err_set_errno(err, errno, "setting its time");
  blob_service_close(reader);
  return ok;
}

// ---- batches

static bool castore_materialise_leave(const CastoreMaterialise *run, CastoreMaterialiseDir *dir, Err *err) {
  if (__atomic_sub_fetch(&dir->refs, 1, __ATOMIC_ACQ_REL) > 0) return true;
  bool ok = true;
  if (fchmod(dir->fd, run->options.writable ? 0755 : 0555) != 0) ok = err_set_errno(err, errno, "setting its mode");
  else if (!run->options.writable && futimens(dir->fd, castore_materialise_times) != 0)
    ok = err_set_errno(err, errno, "setting its time");
  fs_close_fd(&dir->fd);
  mem_free(dir);
  return ok;
}

// Places and frees.
static bool castore_materialise_batch(void *ctx, void *what, Err *err) {
  const CastoreMaterialise *run = ctx;
  CastoreMaterialiseBatch *batch = what;
  bool ok = true;
  for (size_t i = 0; i < batch->count; i++) {
    const CastoreMaterialiseFile *file = &batch->files[i];
    const char *name = batch->names.data + file->name_at;
    ok = ok && (object_store_place(run->objects, &file->digest, file->executable, file->size_bytes, file->dir->fd, name,
                                   err) ||
                err_wrap(err, "%s", name));
    ok = castore_materialise_leave(run, file->dir, ok ? err : NULL) && ok;
  }
  buf_done(&batch->names);
  mem_free(batch);
  return ok;
}

static bool castore_materialise_later(CastoreMaterialise *run, const CastoreNode *node, CastoreMaterialiseDir *dir,
                                      const char *name, Err *err) {
  if (!run->batch) run->batch = mem_alloc_zero(sizeof(*run->batch));
  CastoreMaterialiseBatch *batch = run->batch;
  __atomic_add_fetch(&dir->refs, 1, __ATOMIC_RELAXED);
  batch->files[batch->count++] =
      (CastoreMaterialiseFile){dir, node->digest, node->size, node->executable, batch->names.len};
  buf_put(&batch->names, name, strlen(name) + 1);
  return batch->count < CASTORE_MATERIALISE_BATCH_FILES || file_crew_give(&run->crew, STEAL(run->batch), err);
}

// ---- the walk

static bool castore_materialise_entry(CastoreMaterialise *run, const CastoreNode *node, CastoreMaterialiseDir *dir,
                                      const char *name, unsigned depth, Err *err);

static bool castore_materialise_entries(CastoreMaterialise *run, const CastoreDirectory *directory,
                                        CastoreMaterialiseDir *dir, unsigned depth, Err *err) {
  for (size_t i = 0; i < directory->count; i++) {
    const CastoreNode *entry = &directory->entries[i];
    char name[CASTORE_NODE_NAME_MAX + 1];
    memcpy(name, entry->name.data, entry->name.len);
    name[entry->name.len] = 0;
    if (!castore_materialise_entry(run, entry, dir, name, depth + 1, err)) return err_wrap(err, "%s", name);
  }
  return true;
}

static bool castore_materialise_directory(CastoreMaterialise *run, const CastoreNode *node, int parent_fd,
                                          const char *name, unsigned depth, Err *err) {
  if (depth > CASTORE_MATERIALISE_DEPTH_MAX)
    return err_set(err, ERR_LIMIT, "directories are nested more than %u deep", CASTORE_MATERIALISE_DEPTH_MAX);
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  bool found;
  if (!directory_service_get(run->from->directories, &node->digest, &arena, &directory, &found, err)) return false;
  if (!found) {
    CLEANUP(buf_done) Buf text = BUF_INIT;
    castore_node_format_digest(&node->digest, &text);
    return err_set(err, ERR_NOT_FOUND, "directory %s is missing", buf_cstr(&text));
  }
  if (mkdirat(parent_fd, name, 0700) != 0) return err_set_errno(err, errno, "creating the directory");
  int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return err_set_errno(err, errno, "opening the directory");
  CastoreMaterialiseDir *dir = mem_alloc_zero(sizeof(*dir));
  *dir = (CastoreMaterialiseDir){fd, 1};
  bool ok = castore_materialise_entries(run, &directory, dir, depth, err);
  return castore_materialise_leave(run, dir, ok ? err : NULL) && ok;
}

static bool castore_materialise_symlink(const CastoreMaterialise *run, const CastoreNode *node, int dir_fd,
                                        const char *name, Err *err) {
  CLEANUP(mem_free_ptr) char *target = span_dup(node->target);
  if (symlinkat(target, dir_fd, name) != 0) return err_set_errno(err, errno, "creating the symbolic link");
  if (!run->options.writable && utimensat(dir_fd, name, castore_materialise_times, AT_SYMLINK_NOFOLLOW) != 0)
    return err_set_errno(err, errno, "setting its time");
  return true;
}

// `dir` NULL: the root, whose name is its path.
static bool castore_materialise_entry(CastoreMaterialise *run, const CastoreNode *node, CastoreMaterialiseDir *dir,
                                      const char *name, unsigned depth, Err *err) {
  int dir_fd = dir ? dir->fd : AT_FDCWD;
  switch (node->kind) {
  case CASTORE_DIRECTORY: return castore_materialise_directory(run, node, dir_fd, name, depth, err);
  case CASTORE_SYMLINK: return castore_materialise_symlink(run, node, dir_fd, name, err);
  case CASTORE_FILE:
    if (!run->objects || run->options.writable) return castore_materialise_copy(run, node, dir_fd, name, err);
    if (dir) return castore_materialise_later(run, node, dir, name, err);
    return object_store_place(run->objects, &node->digest, node->executable, node->size, dir_fd, name, err);
  }
  return err_set(err, ERR_CORRUPT, "a node of unknown kind");
}

bool castore_materialise_node(const Castore *from, ObjectStore *objects, const CastoreNode *node, const char *dest,
                              const CastoreMaterialiseOptions *options, Err *err) {
  CastoreMaterialise run = {.from = from, .objects = objects};
  struct stat st;
  if (options) run.options = *options;
  if (lstat(dest, &st) == 0) return err_set(err, ERR_OTHER, "'%s' exists already", dest);
  file_crew_init(&run.crew, castore_materialise_batch, &run);
  bool ok = castore_materialise_entry(&run, node, NULL, dest, 0, err);
  if (file_crew_end(&run.crew, STEAL(run.batch), ok, err)) return true;
  Err remove_err = ERR_INIT;
  if (!fs_remove_tree(dest, &remove_err)) err_done(&remove_err);
  return err_wrap(err, "creating '%s'", dest);
}
