// store_check.c: objects, then what paths need of them, then trees, then NAR hashes. In a sound store that is one pass: while other threads look at the objects,
// this one compares trees and hashes NARs; only where something is wrong the order matters, and it is looked at again.
#include "store/store_check.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "castore/castore_import.h"
#include "castore/castore_nar.h"
#include "castore/digest_set.h"
#include "castore/object_check.h"
#include "castore/work_pool.h"
#include "store/path_db_graph.h"
#include "store/store_state.h"

#define STORE_CHECK_WINDOW 64u // paths whose NARs are hashed ahead

typedef struct StoreCheck {
  Store *store;
  const StoreCheckOptions *options;
  StoreCheckResult *result;
  unsigned threads;
  PathDbGraph graph;
  ObjectCheck *objects; // NULL: not listed (store_check_tree)
  bool *tree_good;      // by number: the tree is as it should be
  bool *tree_linked;    // and every file in it is a listed object itself: so these are there
  bool *nar_good;       // the NAR has the recorded hash
  bool all_linked;      // of the tree being compared
  bool early;           // before it is known which objects are sound
  DigestSet bad;        // objects that must not be used
  DigestSet checked;    // directories whose content was looked at
} StoreCheck;

static void store_check_report(StoreCheck *check, bool repaired, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void store_check_report(StoreCheck *check, bool repaired, const char *fmt, ...) {
  CLEANUP(buf_done) Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  check->result->problems++;
  check->result->repaired += repaired;
  if (check->options->report) check->options->report(check->options->ctx, buf_cstr(&text), repaired);
}

static void store_check_damaged(StoreCheck *check, const StorePath *path) {
  if (check->options->damaged) check->options->damaged(check->options->ctx, path);
}

// ---- objects

// Damaged objects are remembered and dealt with after the walk over all of them.
typedef struct StoreCheckObject {
  ObjectCheckProblem problem;
  char *path, *what; // owned
} StoreCheckObject;

typedef struct StoreCheckObjects {
  StoreCheckObject *items;
  size_t count, cap;
} StoreCheckObjects;

static bool store_check_on_object(void *ctx, const ObjectCheckProblem *problem, Err *err) {
  StoreCheckObjects *list = ctx;
  MEM_RESERVE(list->items, list->cap, list->count + 1);
  list->items[list->count++] =
      (StoreCheckObject){*problem, span_dup(span_cstr(problem->path)), span_dup(span_cstr(problem->what))};
  return true;
}

static bool store_check_object(StoreCheck *check, StoreCheckObject *item, Err *err) {
  item->problem.path = item->path;
  bool repair = check->options->repair;
  if (!item->problem.is_content_bad) {
    if (repair && !object_check_fix_mode(item->path, item->problem.executable, err)) return false;
    store_check_report(check, repair, "object '%s': %s", item->path, item->what);
    return true;
  }
  (void)digest_set_add(&check->bad, &item->problem.digest, item->problem.kind);
  if (repair && !object_check_remove(check->store->objects, &item->problem, err)) return false;
  // Whether it is repaired shows when the paths that need it are looked at; a damaged object that nobody needs is gone.
  store_check_report(check, repair, "object '%s': %s%s", item->path, item->what, repair ? "; it was removed" : "");
  return true;
}

// Deals with what was found, when all went well (`ok`), and frees it.
static bool store_check_found(StoreCheck *check, bool ok, StoreCheckObjects *list, const ObjectCheckStats *stats,
                              Err *err) {
  for (size_t i = 0; i < list->count; i++) {
    ok = ok && store_check_object(check, &list->items[i], err);
    mem_free(list->items[i].path);
    mem_free(list->items[i].what);
  }
  mem_free(list->items);
  check->result->objects += stats->count;
  check->result->bytes += stats->bytes;
  return ok;
}

static bool store_check_objects(StoreCheck *check, Err *err) {
  StoreCheckObjects list = {NULL, 0, 0};
  ObjectCheckStats stats;
  bool ok = object_check_end(check->objects, store_check_on_object, &list, &stats, err);
  return store_check_found(check, ok, &list, &stats, err);
}

// ---- what paths need

// Puts the content of `disk_path` back if it is the one that is missing.
static bool store_check_restore(StoreCheck *check, const CastoreNode *node, const char *disk_path, bool *ret_restored,
                                Err *err) {
  const Castore *to = &check->store->castore;
  Err quiet = ERR_INIT;
  struct stat st;
  *ret_restored = false;
  if (lstat(disk_path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
    CLEANUP(castore_import_done) CastoreImport import = CASTORE_IMPORT_INIT;
    if (castore_import_path(to, disk_path, &(CastoreImportOptions){.hash_nar = false}, &import, &quiet))
      *ret_restored = import.root.kind == node->kind && castore_node_digest_eq(&import.root.digest, &node->digest);
    err_done(&quiet);
  }
  if (!*ret_restored && check->options->source) {
    *ret_restored = castore_copy(check->options->source, to, node, &quiet);
    err_done(&quiet);
  }
  return !*ret_restored || object_store_flush(check->store->objects, err);
}

static bool store_check_is_present(StoreCheck *check, const CastoreNode *node, bool *ret, Err *err) {
  PackKind kind = node->kind == CASTORE_DIRECTORY ? PACK_DIRECTORY : PACK_BLOB;
  uint64_t size;
  bool bad = digest_set_has(&check->bad, &node->digest, kind);
  *ret = false;
  if (bad && !check->options->repair) return true;
  *ret = !bad && check->objects && object_check_find(check->objects, &node->digest, kind, &size);
  // Perhaps it came since, or another copy is left of what was removed.
  if (!*ret && !object_store_stat(check->store->objects, &node->digest, kind, ret, &size, err)) return false;
  if (*ret && kind == PACK_BLOB && size != node->size) *ret = false;
  return true;
}

static bool store_check_node(StoreCheck *check, const StorePath *path, const CastoreNode *node, Buf *disk_path,
                             bool *ret_complete, Err *err);

static bool store_check_directory(StoreCheck *check, const StorePath *path, const CastoreNode *node, Buf *disk_path,
                                  bool *ret_complete, Err *err) {
  if (digest_set_has(&check->checked, &node->digest, PACK_DIRECTORY)) return true;
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  bool found;
  if (!directory_service_get(check->store->castore.directories, &node->digest, &arena, &directory, &found, err) ||
      !found) {
    *ret_complete = false;
    if (found) store_check_report(check, false, "%s: %s", path->name, err_message(err));
    err_done(err);
    return true;
  }
  size_t len = disk_path->len;
  bool ok = true, complete = true;
  for (size_t i = 0; ok && i < directory.count; i++) {
    disk_path->len = len;
    buf_printf(disk_path, "/%.*s", SPAN_ARG(directory.entries[i].name));
    ok = store_check_node(check, path, &directory.entries[i], disk_path, &complete, err);
  }
  disk_path->len = len;
  // A damaged directory is looked at again for the next path that has it, whose tree may help.
  if (complete) (void)digest_set_add(&check->checked, &node->digest, PACK_DIRECTORY);
  *ret_complete = *ret_complete && complete;
  return ok;
}

static bool store_check_node(StoreCheck *check, const StorePath *path, const CastoreNode *node, Buf *disk_path,
                             bool *ret_complete, Err *err) {
  if (node->kind == CASTORE_SYMLINK) return true;
  bool present, restored = false;
  if (!store_check_is_present(check, node, &present, err)) return false;
  if (!present) {
    if (check->options->repair && !store_check_restore(check, node, buf_cstr(disk_path), &restored, err)) return false;
    CLEANUP(buf_done) Buf digest = BUF_INIT;
    castore_node_format_digest(&node->digest, &digest);
    store_check_report(check, restored, "path '%s': the content %s of '%s' is missing or damaged", path->name,
                       buf_cstr(&digest), buf_cstr(disk_path));
    if (!restored) *ret_complete = false;
    if (!restored) return true;
  }
  return node->kind != CASTORE_DIRECTORY || store_check_directory(check, path, node, disk_path, ret_complete, err);
}

static bool store_check_path_objects(StoreCheck *check, size_t number, bool *ret_complete, Err *err) {
  CLEANUP(buf_done) Buf disk_path = BUF_INIT;
  store_format_physical(check->store, &check->graph.paths[number], &disk_path);
  *ret_complete = true;
  return store_check_node(check, &check->graph.paths[number], &check->graph.roots[number], &disk_path, ret_complete,
                          err);
}

// ---- trees

// Is the file at dir_fd/name the object, or at least equal to it?
static bool store_check_file_matches(StoreCheck *check, const CastoreNode *node, int dir_fd, const char *name,
                                     const struct stat *st) {
  if ((uint64_t)st->st_size != node->size) return false;
  CLEANUP(buf_done) Buf object = BUF_INIT;
  struct stat object_st;
  // The same inode as a sound object needs no second look.
  bool bad = digest_set_has(&check->bad, &node->digest, PACK_BLOB);
  const CastoreDigest *known = check->objects && !bad ? object_check_inode(check->objects, st, node->executable) : NULL;
  bool same = known && castore_node_digest_eq(known, &node->digest);
  if (!same) check->all_linked = false;
  // What is not among the inodes that were listed is not an object, or became one since: then its content is looked at.
  if (!same && (bad || !check->objects)) {
    object_store_format_path(check->store->objects, &node->digest, node->executable, &object);
    same =
        lstat(buf_cstr(&object), &object_st) == 0 && object_st.st_ino == st->st_ino && object_st.st_dev == st->st_dev;
  }
  if (same) return !bad || check->options->repair;
  if (!check->options->contents) return true;
  CLEANUP(fs_close_fd) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  HashCtx ctx;
  Hash hash;
  ssize_t n = fd < 0 ? -1 : 0;
  hash_init(&ctx, HASH_BLAKE3);
  while (fd >= 0 && (n = read(fd, chunk, BYTE_STREAM_CHUNK_BYTES)) > 0) hash_update(&ctx, chunk, (size_t)n);
  hash_final(&ctx, &hash);
  return n == 0 && memcmp(hash.bytes, node->digest.bytes, 32) == 0;
}

// Appends what is wrong to *why.
static bool store_check_tree_at(StoreCheck *check, const CastoreNode *node, int dir_fd, const char *name, Buf *why,
                                Err *err) {
  struct stat st;
  if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    buf_printf(why, "'%s' is missing", name);
    return true;
  }
  if (node->kind == CASTORE_SYMLINK) {
    char target[CASTORE_NODE_TARGET_MAX + 1];
    ssize_t len = S_ISLNK(st.st_mode) ? readlinkat(dir_fd, name, target, sizeof(target)) : -1;
    if (len < 0 || !span_eq(span_make(target, (size_t)len), node->target))
      buf_printf(why, "'%s' is not the symbolic link that it should be", name);
    return true;
  }
  if (node->kind == CASTORE_FILE) {
    mode_t mode = node->executable ? 0555 : 0444;
    if (!S_ISREG(st.st_mode)) buf_printf(why, "'%s' is not a regular file", name);
    else if ((st.st_mode & 07777) != mode)
      buf_printf(why, "the mode of '%s' is %04o instead of %04o", name, st.st_mode & 07777, mode);
    else if (!store_check_file_matches(check, node, dir_fd, name, &st))
      buf_printf(why, "'%s' has another content", name);
    return true;
  }
  if (!S_ISDIR(st.st_mode) || (st.st_mode & 07777) != 0555) {
    buf_printf(why, "'%s' is not a directory with mode 0555", name);
    return true;
  }
  CLEANUP(arena_done) Arena arena = ARENA_INIT;
  CastoreDirectory directory;
  Span peeked;
  bool found = check->early && object_check_peek(check->objects, &node->digest, PACK_DIRECTORY, &peeked);
  if (found ? !castore_node_decode_directory(peeked, &arena, &directory, err)
            : !directory_service_get(check->store->castore.directories, &node->digest, &arena, &directory, &found, err))
    return false;
  if (!found) { // reported elsewhere
    check->all_linked = false;
    return true;
  }
  CLEANUP(fs_close_fd) int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return err_set_errno(err, errno, "opening '%s'", name);
  for (size_t i = 0; i < directory.count && why->len == 0; i++) {
    char entry_name[CASTORE_NODE_NAME_MAX + 1];
    memcpy(entry_name, directory.entries[i].name.data, directory.entries[i].name.len);
    entry_name[directory.entries[i].name.len] = 0;
    if (!store_check_tree_at(check, &directory.entries[i], fd, entry_name, why, err)) return false;
  }
  if (why->len > 0) return true;
  FsDirReader reader;
  const char *listed;
  uint8_t type;
  size_t entries = 0;
  for (fs_dir_init(&reader, fd);; entries++) {
    if (!fs_dir_next(&reader, &listed, &type, err)) return err_wrap(err, "'%s'", name);
    if (!listed) break;
  }
  if (entries != directory.count)
    buf_printf(why, "'%s' has %zu entries instead of %zu", name, entries, directory.count);
  return true;
}

static bool store_check_remake_tree(StoreCheck *check, const StorePath *path, Err *err) {
  Store *store = check->store;
  CLEANUP(buf_done) Buf scratch = BUF_INIT;
  {
    CLEANUP(shared_lock_drop) int lock = -1;
    if (!store_state_lock_trees(store, &lock, err) || !store_state_move_away(store, path, &scratch, err) ||
        !path_db_set_tree(store->db, path, 1, false, err))
      return false;
  }
  if (scratch.len > 0 && !fs_remove_tree(buf_cstr(&scratch), err)) return false;
  pthread_mutex_lock(&store->mutex);
  map_remove(&store->trees, span_make(path->digest, sizeof(path->digest)));
  pthread_mutex_unlock(&store->mutex);
  return store_materialise(store, path, 1, err);
}

// A tree that is gone (another Nix's collector, a crash during collection) is made again when it is needed: there is nothing to look at, nor is
// there in a tree of the lower store.
static bool store_check_has_tree(StoreCheck *check, size_t number, Buf *ret_physical, bool *ret, Err *err) {
  const StorePath *path = &check->graph.paths[number];
  bool lower = false;
  store_format_physical(check->store, path, ret_physical);
  *ret = check->graph.valid[number] && check->graph.trees[number] && fs_exists(buf_cstr(ret_physical));
  if (*ret && !store_state_is_lower(check->store, path, &lower, err)) return false;
  *ret = *ret && !lower;
  return true;
}

// Compares trees while other threads look at the objects. What is found wrong here is looked at again when it is known which objects are sound.
static bool store_check_compare_trees(StoreCheck *check, Err *err) {
  check->tree_good = mem_alloc_zero(check->graph.count + 1);
  check->tree_linked = mem_alloc_zero(check->graph.count + 1);
  for (size_t i = 0; i < check->graph.count; i++) {
    CLEANUP(buf_done) Buf physical = BUF_INIT;
    CLEANUP(buf_done) Buf why = BUF_INIT;
    Err quiet = ERR_INIT;
    bool has_tree;
    if (!check->graph.has_root[i]) continue;
    if (!store_check_has_tree(check, i, &physical, &has_tree, err)) return false;
    check->all_linked = has_tree;
    check->tree_good[i] =
        !has_tree || (store_check_tree_at(check, &check->graph.roots[i], AT_FDCWD, buf_cstr(&physical), &why, &quiet) &&
                      why.len == 0);
    check->tree_linked[i] = check->tree_good[i] && check->all_linked;
    check->result->trees += has_tree;
    err_done(&quiet);
  }
  return true;
}

static bool store_check_one_tree(StoreCheck *check, size_t number, Err *err) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  CLEANUP(buf_done) Buf why = BUF_INIT;
  bool has_tree;
  if (!store_check_has_tree(check, number, &physical, &has_tree, err)) return false;
  if (!has_tree) return true;
  if (!store_check_tree_at(check, &check->graph.roots[number], AT_FDCWD, buf_cstr(&physical), &why, err)) return false;
  if (why.len == 0) return true;
  Err repair_err = ERR_INIT;
  bool repaired = check->options->repair && store_check_remake_tree(check, &check->graph.paths[number], &repair_err);
  store_check_report(check, repaired, "tree '%s': %s%s%s", buf_cstr(&physical), buf_cstr(&why),
                     err_is_set(&repair_err) ? "; " : "", err_is_set(&repair_err) ? err_message(&repair_err) : "");
  if (!repaired) store_check_damaged(check, &check->graph.paths[number]);
  err_done(&repair_err);
  return true;
}

// ---- NAR hashes

typedef struct StoreCheckNars {
  StoreCheck *check;
  WorkPool *pool;
  size_t *numbers; // owned
  size_t count;
  struct StoreCheckNar {
    bool ok;
    uint8_t sha256[32];
    uint64_t size_bytes;
    Err err;
  } slots[STORE_CHECK_WINDOW];
} StoreCheckNars;

static void store_check_nar_work(void *ctx, size_t item) {
  StoreCheckNars *nars = ctx;
  struct StoreCheckNar *slot = &nars->slots[item % STORE_CHECK_WINDOW];
  slot->err = (Err)ERR_INIT;
  slot->ok = castore_nar_hash(&nars->check->store->castore, &nars->check->graph.roots[nars->numbers[item]],
                              slot->sha256, &slot->size_bytes, &slot->err);
}

static bool store_check_nar(StoreCheck *check, size_t number, struct StoreCheckNar *slot, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  const StorePath *path = &check->graph.paths[number];
  if (!slot->ok) {
    if (!check->early) {
      store_check_report(check, false, "path '%s': %s", path->name, err_message(&slot->err));
      store_check_damaged(check, path);
    }
    err_done(&slot->err);
    return true;
  }
  if (!path_db_get(check->store->db, path->digest, &record, err)) return false;
  if (!record) return true; // collected meanwhile
  check->nar_good[number] =
      memcmp(record->info.nar_sha256, slot->sha256, 32) == 0 && record->info.nar_size_bytes == slot->size_bytes;
  if (check->nar_good[number] || check->early) return true;
  store_check_report(check, false, "path '%s' was modified: its NAR has another hash or size than recorded",
                     path->name);
  store_check_damaged(check, path);
  return true;
}

// Takes `numbers`.
static StoreCheckNars *store_check_start_nars(StoreCheck *check, size_t *numbers, size_t count) {
  StoreCheckNars *nars = mem_alloc_zero(sizeof(*nars));
  *nars = (StoreCheckNars){.check = check, .numbers = numbers, .count = count};
  nars->pool = work_pool_start(check->threads, count, STORE_CHECK_WINDOW, store_check_nar_work, nars);
  return nars;
}

static void store_check_free_nars(StoreCheckNars *nars) {
  if (!nars) return;
  work_pool_free(nars->pool);
  for (size_t i = 0; i < STORE_CHECK_WINDOW; i++) err_done(&nars->slots[i].err);
  mem_free(nars->numbers);
  mem_free(nars);
}

// Compares, helping the threads, and frees.
static bool store_check_finish_nars(StoreCheckNars *nars, Err *err) {
  bool ok = true;
  for (size_t i = 0; ok && i < nars->count; i++) {
    work_pool_wait(nars->pool, i);
    ok = store_check_nar(nars->check, nars->numbers[i], &nars->slots[i % STORE_CHECK_WINDOW], err);
    work_pool_release(nars->pool, i);
  }
  store_check_free_nars(nars);
  return ok;
}

// What can be done next to looking at the objects.
static bool store_check_early(StoreCheck *check, Err *err) {
  const PathDbGraph *graph = &check->graph;
  StoreCheckNars *nars = NULL;
  check->nar_good = mem_alloc_zero(graph->count + 1);
  if (check->options->contents) {
    size_t *numbers = mem_alloc_array(graph->count + 1, sizeof(*numbers)), count = 0;
    for (size_t i = 0; i < graph->count; i++)
      if (graph->valid[i] && graph->has_root[i]) numbers[count++] = i;
    nars = store_check_start_nars(check, numbers, count);
  }
  check->early = true;
  bool ok = store_check_compare_trees(check, err);
  if (ok && nars) ok = store_check_finish_nars(nars, err);
  else store_check_free_nars(nars);
  check->early = false;
  return ok;
}

// ---- everything

static bool store_check_database(StoreCheck *check, Err *err) {
  CLEANUP(buf_done) Buf problem = BUF_INIT;
  if (!path_db_check(check->store->db, &problem, err)) return false;
  if (problem.len > 0) store_check_report(check, false, "database: %s", buf_cstr(&problem));
  return true;
}

static bool store_check_references(StoreCheck *check, size_t number, Err *err) {
  const PathDbGraph *graph = &check->graph;
  for (size_t r = graph->ref_start[number]; r < graph->ref_start[number + 1]; r++) {
    uint32_t ref = graph->refs[r];
    bool lower = false;
    if (graph->valid[ref]) continue;
    if (!store_state_is_lower(check->store, &graph->paths[ref], &lower, err)) return false;
    if (!lower)
      store_check_report(check, false, "path '%s' refers to '%s', which is not valid", graph->paths[number].name,
                         graph->paths[ref].name);
  }
  return true;
}

// Where all objects are sound, what was found good next to looking at them is good.
static bool store_check_is_sure(const StoreCheck *check, const bool *good, size_t number) {
  return check->bad.count == 0 && good[number];
}

static bool store_check_paths(StoreCheck *check, Err *err) {
  const PathDbGraph *graph = &check->graph;
  size_t *complete = mem_alloc_array(graph->count + 1, sizeof(*complete));
  bool ok = true;
  size_t complete_count = 0, again_count = 0;
  for (size_t i = 0; ok && i < graph->count; i++) {
    if (!graph->valid[i]) continue;
    check->result->paths++;
    bool is_complete = store_check_is_sure(check, check->tree_linked, i);
    ok = store_check_references(check, i, err) &&
         (is_complete || !graph->has_root[i] || store_check_path_objects(check, i, &is_complete, err));
    if (is_complete) complete[complete_count++] = i;
    else if (graph->has_root[i]) store_check_damaged(check, &graph->paths[i]);
  }
  for (size_t i = 0; ok && i < complete_count; i++)
    ok = store_check_is_sure(check, check->tree_good, complete[i]) || store_check_one_tree(check, complete[i], err);
  for (size_t i = 0; i < complete_count; i++)
    if (!store_check_is_sure(check, check->nar_good, complete[i])) complete[again_count++] = complete[i];
  if (ok && check->options->contents && again_count > 0)
    return store_check_finish_nars(store_check_start_nars(check, complete, again_count), err);
  mem_free(complete);
  return ok;
}

bool store_check_run(Store *store, const StoreCheckOptions *options, StoreCheckResult *ret, Err *err) {
  *ret = (StoreCheckResult){0};
  if (!store->db) return true;
  if (options->repair && !store_state_writable(store, err)) return false;
  StoreCheck check = {.store = store,
                      .options = options,
                      .result = ret,
                      .threads = options->threads ? options->threads : work_pool_default_threads()};
  if (!store_flush(store, err)) return false;
  bool held = !store->read_only;
  // Nothing is collected while the graph in memory and the objects on disk are compared.
  if (held && !object_store_begin(store->objects, err)) return false;
  bool ok = store_check_database(&check, err) &&
            object_check_begin(store->objects, options->contents, check.threads, &check.objects, err) &&
            path_db_graph(store->db, &check.graph, err) && store_check_early(&check, err) &&
            store_check_objects(&check, err) && store_check_paths(&check, err);
  object_check_free(check.objects);
  mem_free(check.tree_good);
  mem_free(check.tree_linked);
  mem_free(check.nar_good);
  if (held) object_store_end(store->objects);
  path_db_graph_done(&check.graph);
  digest_set_done(&check.bad);
  digest_set_done(&check.checked);
  return ok || err_wrap(err, "checking the store at '%s'", store->root);
}

// ---- one path

typedef struct StoreCheckNames {
  ObjectCheckName *items;
  size_t count, cap;
} StoreCheckNames;

static void store_check_add_name(StoreCheckNames *names, const CastoreNode *node) {
  MEM_RESERVE(names->items, names->cap, names->count + 1);
  names->items[names->count++] =
      (ObjectCheckName){node->digest, node->kind == CASTORE_DIRECTORY ? PACK_DIRECTORY : PACK_BLOB};
}

static bool store_check_names(StoreCheck *check, const StoreCheckNames *names, Err *err) {
  StoreCheckObjects list = {NULL, 0, 0};
  ObjectCheckStats stats = {0};
  bool ok = object_check_some(check->store->objects, names->items, names->count, check->threads, store_check_on_object,
                              &list, &stats, err);
  return store_check_found(check, ok, &list, &stats, err);
}

// What stands in sound directories of one level goes to the next level, or to the files.
static void store_check_expand(StoreCheck *check, const StoreCheckNames *level, StoreCheckNames *ret_next,
                               StoreCheckNames *ret_files) {
  for (size_t i = 0; i < level->count; i++) {
    CLEANUP(arena_done) Arena arena = ARENA_INIT;
    CastoreDirectory directory;
    bool found;
    Err quiet = ERR_INIT;
    if (digest_set_has(&check->bad, &level->items[i].digest, PACK_DIRECTORY) ||
        !digest_set_add(&check->checked, &level->items[i].digest, PACK_DIRECTORY))
      continue;
    if (!directory_service_get(check->store->castore.directories, &level->items[i].digest, &arena, &directory, &found,
                               &quiet) ||
        !found) {
      err_done(&quiet); // reported when the path's needs are looked at
      continue;
    }
    for (size_t k = 0; k < directory.count; k++) {
      if (directory.entries[k].kind == CASTORE_DIRECTORY) store_check_add_name(ret_next, &directory.entries[k]);
      if (directory.entries[k].kind == CASTORE_FILE) store_check_add_name(ret_files, &directory.entries[k]);
    }
  }
}

// Every object below `root`: directories level by level, then all files.
static bool store_check_below(StoreCheck *check, const CastoreNode *root, Err *err) {
  StoreCheckNames level = {0}, files = {0};
  if (root->kind == CASTORE_DIRECTORY) store_check_add_name(&level, root);
  if (root->kind == CASTORE_FILE) store_check_add_name(&files, root);
  bool ok = true;
  while (ok && level.count > 0) {
    StoreCheckNames next = {0};
    ok = store_check_names(check, &level, err);
    if (ok) store_check_expand(check, &level, &next, &files);
    mem_free(level.items);
    level = next;
  }
  ok = ok && store_check_names(check, &files, err);
  mem_free(level.items);
  mem_free(files.items);
  digest_set_done(&check->checked); // means something else from here on
  check->checked = (DigestSet){0};
  return ok;
}

static bool store_check_lower(StoreCheck *check, const StorePath *path, Err *err) {
  CLEANUP(buf_done) Buf why = BUF_INIT;
  bool whole;
  if (!store_check_path(check->store, path, &whole, &why, err)) return false;
  if (whole) return true;
  store_check_report(check, false, "%s; it belongs to the store below this one", buf_cstr(&why));
  store_check_damaged(check, path);
  return true;
}

static bool store_check_own(StoreCheck *check, Err *err) {
  size_t before = check->result->problems - check->result->repaired;
  bool complete = false, nar_good = false;
  check->nar_good = &nar_good;
  if (!store_check_below(check, &check->graph.roots[0], err) || !store_check_path_objects(check, 0, &complete, err))
    return false;
  if (!complete) {
    store_check_damaged(check, &check->graph.paths[0]);
    return true;
  }
  // What was removed and found again elsewhere is no problem any more.
  if (check->options->repair) check->result->repaired = check->result->problems - before;
  return store_check_one_tree(check, 0, err) &&
         store_check_finish_nars(store_check_start_nars(check, mem_alloc_zero(sizeof(size_t)), 1), err);
}

bool store_check_one(Store *store, const StorePath *path, const StoreCheckOptions *options, StoreCheckResult *ret,
                     Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  *ret = (StoreCheckResult){.paths = 1};
  if (options->repair && !store_state_writable(store, err)) return false;
  if (!store_flush(store, err) || !store_get(store, path, &record, err)) return false;
  StorePath own = *path;
  bool yes = true, held = !store->read_only, lower;
  StoreCheckOptions all = *options;
  all.contents = true;
  StoreCheck check = {.store = store, .options = &all, .result = ret, .threads = work_pool_default_threads()};
  check.graph = (PathDbGraph){
      .count = 1, .paths = &own, .valid = &yes, .trees = &yes, .roots = &record->info.root, .has_root = &yes};
  if (!store_state_is_lower(store, path, &lower, err)) return false;
  if (held && !object_store_begin(store->objects, err)) return false;
  bool ok = lower || !record->has_root ? store_check_lower(&check, path, err) : store_check_own(&check, err);
  if (held) object_store_end(store->objects);
  digest_set_done(&check.bad);
  digest_set_done(&check.checked);
  return ok || err_wrap(err, "checking '%s'", path->name);
}

bool store_check_refill(Store *store, const StorePath *path, const ByteSource *nar, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  CastoreNarImport import;
  if (!store_state_writable(store, err) || !store_get(store, path, &record, err) ||
      !object_store_begin(store->objects, err))
    return false;
  bool ok = castore_nar_read(&store->castore, nar, false, &import, err);
  if (ok && (memcmp(import.nar_sha256, record->info.nar_sha256, 32) != 0 ||
             import.nar_size_bytes != record->info.nar_size_bytes))
    ok = err_set(err, ERR_HASH_MISMATCH, "the content for '%s' is not what is recorded for it", path->name);
  castore_nar_import_done(&import);
  ok = ok && object_store_flush(store->objects, err);
  object_store_end(store->objects);
  return ok;
}

bool store_check_tree(Store *store, const StorePath *path, const CastoreNode *root, bool *ret_ok, Buf *ret_why,
                      Err *err) {
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  size_t why_start = ret_why->len;
  StoreCheck check = {.store = store, .options = &(StoreCheckOptions){.contents = true}};
  store_format_physical(store, path, &physical);
  if (!store_check_tree_at(&check, root, AT_FDCWD, buf_cstr(&physical), ret_why, err)) return false;
  *ret_ok = ret_why->len == why_start;
  return true;
}

bool store_check_path(Store *store, const StorePath *path, bool *ret_ok, Buf *ret_why, Err *err) {
  CLEANUP(path_info_service_record_free_ptr) PathInfoRecord *record = NULL;
  if (!store_get(store, path, &record, err)) return false;
  CLEANUP(buf_done) Buf physical = BUF_INIT;
  store_format_physical(store, path, &physical);
  uint8_t sha256[32];
  uint64_t size;
  Err hash_err = ERR_INIT;
  // The tree is what people use; where there is none, the objects.
  bool ok = fs_exists(buf_cstr(&physical))
                ? castore_nar_hash_path(buf_cstr(&physical), sha256, &size, &hash_err)
                : castore_nar_hash(&store->castore, &record->info.root, sha256, &size, &hash_err);
  *ret_ok = ok && memcmp(sha256, record->info.nar_sha256, 32) == 0;
  if (*ret_ok) return true;
  if (!ok) buf_put_cstr(ret_why, err_message(&hash_err));
  else {
    Hash want = {.algo = HASH_SHA256}, got = {.algo = HASH_SHA256};
    memcpy(want.bytes, record->info.nar_sha256, 32);
    memcpy(got.bytes, sha256, 32);
    buf_put_cstr(ret_why, "path '");
    store_format_path(store, path, ret_why);
    buf_put_cstr(ret_why, "' was modified! expected hash '");
    hash_format_nix32(&want, ret_why);
    buf_put_cstr(ret_why, "', got '");
    hash_format_nix32(&got, ret_why);
    buf_put_cstr(ret_why, "'");
  }
  err_done(&hash_err);
  return true;
}
