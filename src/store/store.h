// store.h: a Nix store: path infos, contents, trees on disk, roots and locks under one physical root.
//
// Two names. The *logical* directory (/nix/store) is what appears in hashes and texts; the *physical* tree of a path is
// <root>/store/<hash>-<name>. They coincide when the root is /nix.
//
//   <root>/store/                   (or real=) trees of materialised paths, and <hash>-<name>.lock files (C++ Nix's protocol, so both exclude each other)
//   <root>/var/firn/db.sqlite       path infos (path_db.h)
//   <root>/var/firn/objects|packs   contents (object_store.h)
//   <root>/var/nix/gcroots          roots, where C++ Nix has them: links to store paths; auto/ for indirect ones (store_roots.h)
//   <root>/var/nix/temproots        what running processes use, in C++ Nix's format
//   <root>/var/log/nix/drvs         build logs
//
// A path is *valid* when its row is committed; that happens after its content was written. Valid paths need no tree: trees are made on first need
// (store_materialise). A path is in use, and safe from garbage collection, while some process has pinned it or a root reaches it.
//
// **Next to C++ Nix.** Where <root>/var/nix/db/db.sqlite exists, that store is a lower, read-only layer: its valid paths are valid here, are read from
// their trees, and are never written, moved or deleted by us. Our paths live in our own database; C++ Nix sees their trees as unknown directories.
// Its collector may delete those trees: they are made again from our objects when next needed. Before we depend on a lower path, it gets a
// root of C++ Nix's (<root>/var/nix/gcroots/firn/<hash>), and pinned paths are in its temproots folder. Where both databases know a path, ours
// answers queries, and the tree on disk is left to the lower layer.
//
// **Durability.** What was registered is safe from a failing process at once, and from failing power when store_sync has returned. Registering waits for
// that, unless the caller has said (store_defer_sync) that it will call store_sync before it tells anybody what it did. The first opener after a crash of
// the machine looks at what was registered and not yet synced, and forgets what is not whole (store_recover.h).
//
// All functions may be called from several threads. Every fallible one names the path or file concerned in its error.
#pragma once

#include "castore/castore.h"
#include "castore/object_store.h"
#include "store/path_info_service.h"

typedef struct Store Store;

typedef struct StoreOptions {
  Span url;         // see store_open; empty: "auto"
  Span logical_dir; // empty: /nix/store
  bool read_only;   // nothing is created; adding fails
  bool no_lower;    // ignore a C++ Nix store at the root
  bool no_sync;     // for tests and throw-away stores
} StoreOptions;

// url = "" | "auto"                 /nix where it is writable, else $XDG_DATA_HOME/firn (~/.local/share/firn)
//     | "/dir" | "local?root=/dir"  root /dir/nix, as C++ Nix's chroot stores
//     | "firn:/dir"                 root /dir itself
//     | "memory:" | "dummy://"      a temporary directory that store_free removes
// Parameters after '?' and '&': root=, read-only=true, store=<logical directory>, real=<where trees are> (on the root's file system: trees are renamed
// and linked there).
// Creates what is missing, removes leftovers of crashed processes. Owned by the caller.
MUST_CHECK bool store_open(const StoreOptions *options, Store **ret, Err *err);
// Flushes deferred additions; what fails is logged (call store_flush to see errors).
void store_free(Store *store);

Span store_dir(const Store *store);              // "/nix/store"
const char *store_root(const Store *store);      // "/nix"
const char *store_tree_dir(const Store *store);  // "<root>/store", or what real= says
const char *store_state_dir(const Store *store); // "<root>/var/firn"
bool store_is_read_only(const Store *store);
ObjectStore *store_objects(Store *store);        // borrowed
const Castore *store_castore(Store *store);      // borrowed
PathInfoService *store_path_infos(Store *store); // borrowed; this store (with its lower layer) as a service
// Appends a path on the store's file system, ending in `suffix`, that nobody else uses: for the scratch trees of builds. Nothing is created; what is made there is
// removed by the next store_open once this process is gone.
MUST_CHECK bool store_scratch(Store *store, Span suffix, Buf *ret, Err *err);

MUST_CHECK bool store_parse_path(const Store *store, Span path, StorePath *ret, Err *err);
void store_format_path(const Store *store, const StorePath *path, Buf *ret); // logical, appended
void store_format_physical(const Store *store, const StorePath *path,
                           Buf *ret); // physical, appended; no claim that it exists

// ---- questions

MUST_CHECK bool store_is_valid(Store *store, const StorePath *path, bool *ret, Err *err);
// *ret NULL when not valid; owned by the caller.
MUST_CHECK bool store_find(Store *store, const StorePath *path, PathInfoRecord **ret, Err *err);
// As store_find, but absence is ERR_NOT_FOUND "path '...' is not valid".
MUST_CHECK bool store_get(Store *store, const StorePath *path, PathInfoRecord **ret, Err *err);
// `hash` is 32 nixbase32 characters.
MUST_CHECK bool store_find_hash_part(Store *store, Span hash, StorePath *ret, bool *ret_found, Err *err);

// A list of paths, owned; sorted by store_path_cmp where the function does not say otherwise.
typedef struct StorePathList {
  StorePath *paths;
  size_t count, cap;
} StorePathList;
#define STORE_PATH_LIST_INIT \
  { NULL, 0, 0 }
void store_path_list_done(StorePathList *list);
void store_path_list_add(StorePathList *list, const StorePath *path); // at the end
void store_path_list_sort(StorePathList *list);                       // and removes duplicates

MUST_CHECK bool store_referrers(Store *store, const StorePath *path, StorePathList *ret, Err *err);
// Valid derivations that name `path` as their output or that are recorded as its deriver.
MUST_CHECK bool store_derivers(Store *store, const StorePath *path, StorePathList *ret, Err *err);
// Output paths of a valid derivation, from its text (known ones only; they need not be valid), in the order of output names.
MUST_CHECK bool store_outputs(Store *store, const StorePath *drv_path, StorePathList *ret, Err *err);
MUST_CHECK bool store_all(Store *store, StorePathList *ret, Err *err);

typedef struct StoreClosureOptions {
  bool referrers;        // who needs these, instead of what they need
  bool include_outputs;  // of derivations in the closure, where valid
  bool include_derivers; // of paths in the closure, where valid
  bool topological;      // references before referrers, instead of sorted
} StoreClosureOptions;
// One query per layer, not one per path. Includes the roots; an invalid root is an error.
MUST_CHECK bool store_closure(Store *store, const StorePath *roots, size_t root_count,
                              const StoreClosureOptions *options, StorePathList *ret, Err *err);
// Number of paths and sum of NAR sizes of a closure, in the same way.
MUST_CHECK bool store_closure_size(Store *store, const StorePath *root, uint64_t *ret_nar_bytes, size_t *ret_count,
                                   Err *err);

// The closure sizes of many paths at once (path-info -rS): ret_nar_bytes[i] for paths[i]. One walk over the whole graph and a bit matrix in blocks, where a closure
// per path would be quadratic in queries.
MUST_CHECK bool store_closure_sizes(Store *store, const StorePath *paths, size_t count, uint64_t *ret_nar_bytes,
                                    Err *err);

// ---- use

// Protects `path` from collection until this process ends (or store_free), then tells whether it is valid. This order makes the answer lasting.
// Adding and registering pin what they name.
MUST_CHECK bool store_pin(Store *store, const StorePath *path, bool *ret_valid, Err *err);
// The same for many: ret_valid[i] for paths[i].
MUST_CHECK bool store_pin_many(Store *store, const StorePath *paths, size_t count, bool *ret_valid, Err *err);
// Makes the trees of these valid paths exist. For a build: the whole input closure.
MUST_CHECK bool store_materialise(Store *store, const StorePath *paths, size_t count, Err *err);
// The same for everything in the closure of `paths`: what C++ Nix's commands leave on disk.
MUST_CHECK bool store_materialise_closure(Store *store, const StorePath *paths, size_t count, Err *err);
// The NAR of a valid path, wherever its content is.
MUST_CHECK bool store_dump(Store *store, const StorePath *path, const ByteSink *sink, Err *err);
// The root node of a valid path; a lower path is imported into the objects for this.
MUST_CHECK bool store_root_node(Store *store, const StorePath *path, Arena *arena, CastoreNode *ret, Err *err);

// ---- registration

typedef struct StoreRegistration {
  const PathInfo *info; // complete; its objects are in store_objects, flushed or not
  const char *tree;     // a complete canonical tree on the store's file system that becomes the physical tree, or NULL
  bool ultimate;
} StoreRegistration;

// All or none, crash-safe: objects are published, trees renamed into place, rows committed, in this order. References must be valid or registered together.
// Paths that are valid already keep their record (signatures are added), and their `tree` is removed.
MUST_CHECK bool store_register(Store *store, const StoreRegistration *items, size_t count, Err *err);
// Commits deferred additions (store_add.h). Nothing to do is cheap.
MUST_CHECK bool store_flush(Store *store, Err *err);
// Deferred additions that are one small file each (texts, derivations) get their trees when they are committed: for those who will ask for the trees at
// once. Made later, they cost twice as much.
void store_want_trees(Store *store, bool want);
// Registering no longer waits for the disk, except once every STORE_SYNC_MS; whoever asks for this calls store_sync before reporting a path.
#define STORE_SYNC_MS 5000
void store_defer_sync(Store *store, bool defer);
// Everything that is valid when this is called, roots and profiles too, stays so whatever happens. One wait for the disk; none where nothing is new, or where
// another process has just waited for the same.
MUST_CHECK bool store_sync(Store *store, Err *err);
MUST_CHECK bool store_add_signatures(Store *store, const StorePath *path, const Signature *sigs, size_t count,
                                     Err *err);
