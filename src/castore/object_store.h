// object_store.h: the local storage under blobs, directories and store paths: whole files that trees hard-link, and packs of small objects.
//
//   <root>/objects/<2 hex>/<62 hex>[.x]   one file per (content, executable): mode 0444 or 0555, mtime 1
//   <root>/packs/<16 hex>.pack            pack.h: blobs smaller than OBJECT_STORE_PACKED_BYTES, and all directories
//   <root>/fresh/<64 hex>[.x]             objects, and
//   <root>/packs/<16 hex>.fresh           packs that are complete and in use, but may not have reached the disk yet
//   <root>/tmp/<session>-<n>...           being written; <root>/tmp/<session>.lock is flocked by the process that owns them for as long as
//                                         it lives: what belongs to no living session is removed at the next open for writing
//   <root>/objects.lock                   flock: shared by writers, exclusive for the moments in which garbage is deleted
//   <root>/packs.lock                     flock: one process at a time rewrites packs
//   <root>/sync.lock                      flock: one process at a time syncs; the others find that it was done for them
//
// A small blob gets a file of its own when a tree that contains it is first materialised. Several processes and threads share one store.
//
// **Durability.** Publishing costs no wait: what is complete gets a name under fresh/ and can be used by everybody. object_sync.h waits for the
// disk, once for whatever all processes have published, and then moves the names to their final places. So what has its final name is whole even after
// the power fails; what is fresh then may not be, and object_recover.h looks at it before anybody uses it.
#pragma once

#include "castore/pack.h"
#include "formats/castore_node.h"

#define OBJECT_STORE_PACKED_BYTES ((uint64_t)64 << 10)

typedef struct ObjectStore ObjectStore;

typedef struct ObjectStoreOptions {
  bool read_only; // nothing is created or removed
  bool no_sync;   // for tests and throw-away stores
} ObjectStoreOptions;

// `root` and its folders are created. Packs are opened on demand.
MUST_CHECK bool object_store_open(const char *root, const ObjectStoreOptions *options, ObjectStore **ret, Err *err);
// Discards what was not flushed.
void object_store_free(ObjectStore *store);
const char *object_store_root(const ObjectStore *store);

// Where an object is. Holds a reference to its pack, or an open file.
typedef struct ObjectRef {
  bool found;
  Span data;      // packed: the content, borrowed from this reference
  bool in_memory; // `data` is valid; else `fd` is open
  int fd;         // owned; -1
  uint64_t size_bytes;
  Pack *pack; // owned reference, or NULL
  char *copy; // owned; content of an object that was not flushed yet
} ObjectRef;

MUST_CHECK bool object_store_find(ObjectStore *store, const CastoreDigest *digest, PackKind kind, ObjectRef *ret,
                                  Err *err);
void object_store_release(ObjectRef *ref);
// As find without opening anything; *ret_size_bytes may be NULL.
MUST_CHECK bool object_store_stat(ObjectStore *store, const CastoreDigest *digest, PackKind kind, bool *ret_found,
                                  uint64_t *ret_size_bytes, Err *err);

// Writers hold the store between begin and end (nested, any thread): garbage collection deletes no object meanwhile, so an object that was found stays
// until its user is registered. Blocks at most for one slice of a collection.
MUST_CHECK bool object_store_begin(ObjectStore *store, Err *err);
void object_store_end(ObjectStore *store);

// `digest` is that of `data`. Small blobs and directories go to the open pack, others to a file. Existing objects cost a look-up only.
MUST_CHECK bool object_store_put(ObjectStore *store, const CastoreDigest *digest, PackKind kind, Span data, Err *err);

// Appends a path in tmp/ that nobody else uses, ending in `suffix`; nothing is created. Whatever is made there is removed when this process is gone.
MUST_CHECK bool object_store_scratch(ObjectStore *store, Span suffix, Buf *ret, Err *err);
// A file being written by the caller: a path in tmp/, opened for writing. Finish it with object_store_keep, or unlink and free the path.
MUST_CHECK bool object_store_create(ObjectStore *store, int *ret_fd, char **ret_path, Err *err);
// Takes the finished temporary file as the content of `digest`. Named at the next publish. Removes the file where the object exists.
MUST_CHECK bool object_store_keep(ObjectStore *store, const CastoreDigest *digest, bool executable, char *tmp_path,
                                  int fd, Err *err);

// Makes an existing file (in a directory on the same file system, canonical mode and times set by the caller) an object by linking it, or, when the object exists,
// replaces the file by a link to it. Across file systems the content is copied. Named at the next publish.
MUST_CHECK bool object_store_adopt(ObjectStore *store, const CastoreDigest *digest, bool executable, int dir_fd,
                                   const char *name, uint64_t size_bytes, Err *err);
// Makes `name` in `dir_fd` a file of that content: a hard link to the object, else a reflink, else a copy. A copy becomes the object when there was none, at
// once: it is complete.
MUST_CHECK bool object_store_place(ObjectStore *store, const CastoreDigest *digest, bool executable,
                                   uint64_t size_bytes, int dir_fd, const char *name, Err *err);

// Makes everything put, kept and adopted so far by this process visible to all. Does not wait for the disk.
MUST_CHECK bool object_store_publish(ObjectStore *store, Err *err);
// Publishes, and waits for the disk (object_sync.h): for those who have nothing else to sync.
MUST_CHECK bool object_store_flush(ObjectStore *store, Err *err);
// The path of the object file, appended, whether it exists or not.
void object_store_format_path(const ObjectStore *store, const CastoreDigest *digest, bool executable, Buf *ret);

typedef struct ObjectStoreStats {
  uint64_t file_count, file_bytes, pack_count, packed_count, packed_bytes;
} ObjectStoreStats;
MUST_CHECK bool object_store_stats(ObjectStore *store, ObjectStoreStats *ret, Err *err);
