// castore_materialise.c: trees from nodes.
#include "castore/castore_materialise.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"

#define CASTORE_MATERIALISE_DEPTH_MAX 4096u

typedef struct CastoreMaterialise {
  const Castore *from;
  ObjectStore *objects; // NULL: from->blobs writes the files
  CastoreMaterialiseOptions options;
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

static bool castore_materialise_entry(const CastoreMaterialise *run, const CastoreNode *node, int dir_fd,
                                      const char *name, unsigned depth, Err *err);

static bool castore_materialise_directory(const CastoreMaterialise *run, const CastoreNode *node, int parent_fd,
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
  CLEANUP(fs_close_fd) int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return err_set_errno(err, errno, "opening the directory");
  for (size_t i = 0; i < directory.count; i++) {
    const CastoreNode *entry = &directory.entries[i];
    char entry_name[CASTORE_NODE_NAME_MAX + 1];
    memcpy(entry_name, entry->name.data, entry->name.len);
    entry_name[entry->name.len] = 0;
    if (!castore_materialise_entry(run, entry, fd, entry_name, depth + 1, err)) return err_wrap(err, "%s", entry_name);
  }
  if (fchmod(fd, run->options.writable ? 0755 : 0555) != 0) return err_set_errno(err, errno, "setting its mode");
  if (!run->options.writable && futimens(fd, castore_materialise_times) != 0)
    return err_set_errno(err, errno, "setting its time");
  return true;
}

static bool castore_materialise_symlink(const CastoreMaterialise *run, const CastoreNode *node, int dir_fd,
                                        const char *name, Err *err) {
  CLEANUP(mem_free_ptr) char *target = span_dup(node->target);
  if (symlinkat(target, dir_fd, name) != 0) return err_set_errno(err, errno, "creating the symbolic link");
  if (!run->options.writable && utimensat(dir_fd, name, castore_materialise_times, AT_SYMLINK_NOFOLLOW) != 0)
    return err_set_errno(err, errno, "setting its time");
  return true;
}

static bool castore_materialise_entry(const CastoreMaterialise *run, const CastoreNode *node, int dir_fd,
                                      const char *name, unsigned depth, Err *err) {
  switch (node->kind) {
  case CASTORE_DIRECTORY: return castore_materialise_directory(run, node, dir_fd, name, depth, err);
  case CASTORE_SYMLINK: return castore_materialise_symlink(run, node, dir_fd, name, err);
  case CASTORE_FILE:
    if (run->objects && !run->options.writable)
      return object_store_place(run->objects, &node->digest, node->executable, node->size, dir_fd, name, err);
    return castore_materialise_copy(run, node, dir_fd, name, err);
  }
  return err_set(err, ERR_CORRUPT, "a node of unknown kind");
}

bool castore_materialise_node(const Castore *from, ObjectStore *objects, const CastoreNode *node, const char *dest,
                              const CastoreMaterialiseOptions *options, Err *err) {
  CastoreMaterialise run = {from, objects, options ? *options : (CastoreMaterialiseOptions){0}};
  struct stat st;
  if (lstat(dest, &st) == 0) return err_set(err, ERR_OTHER, "'%s' exists already", dest);
  if (castore_materialise_entry(&run, node, AT_FDCWD, dest, 0, err)) return true;
  Err remove_err = ERR_INIT;
  if (!fs_remove_tree(dest, &remove_err)) err_done(&remove_err);
  return err_wrap(err, "creating '%s'", dest);
}
