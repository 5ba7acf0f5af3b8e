// store_io.c: see store_io.h. Store and scheduler, the questions of the evaluator, the interface; what store paths are is found by
// store_io_object.c, and what other paths lead to by store_io_place.c.
#include "glue/store_io.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/path_coerce.h"
#include "formats/placeholder.h"
#include "formats/derivation_parse.h"
#include "glue/store_io_object.h"
#include "glue/store_io_place.h"

static StoreIo *store_io_of(EvalIo *io) {
  return (StoreIo *)io;
}

// ---- store and scheduler

bool store_io_store(StoreIo *io, Store **ret, Err *err) {
  if (!io->store && !io->config.open_store(io->config.ctx, &io->store, err)) return false;
  *ret = io->store;
  return true;
}

bool store_io_scheduler(StoreIo *io, Scheduler **ret, Err *err) {
  Store *store;
  if (!store_io_store(io, &store, err)) return false;
  if (!io->scheduler && !io->config.open_scheduler(io->config.ctx, store, &io->scheduler, err)) return false;
  *ret = io->scheduler;
  return true;
}

void store_io_observe(StoreIo *io, Observed *observed) {
  io->observed = observed;
}
Observed *store_io_observed(StoreIo *io) {
  return io->observed;
}

// Reads a .drv that evaluation did not make: KnownPathsReader.
static bool read_drv(void *ctx, Span drv_path, Buf *ret, Err *err) {
  StoreIo *io = ctx;
  Store *store;
  StorePath path;
  StoreResolved file CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  if (!store_path_parse(drv_path, io->store_dir, &path, err) || !store_io_store(io, &store, err)) return false;
  if (!store_io_object_observe(io, store, drv_path, &path, err)) return false;
  if (!store_resolve(store, &path, SPAN(""), &file, err)) return false;
  if (!file.found || file.kind != CASTORE_FILE)
    return err_set(err, ERR_CORRUPT, "derivation '%.*s' is not a regular file", SPAN_ARG(drv_path));
  return store_resolve_read(store, &file, DERIVATION_PARSE_SIZE_MAX, ret, err);
}

#define STORE_DRVS_BATCH 128u // texts whose references are in memory at a time

// Up to `end` of the known derivations.
static bool store_some_drvs(StoreIo *io, Store *store, size_t end, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  size_t item_count = 0;
  StoreAddText items[STORE_DRVS_BATCH];
  StorePath *paths = ARENA_ARRAY(&arena, StorePath, STORE_DRVS_BATCH);
  for (size_t i = io->drv_stored_prefix; i < end; i++) {
    KnownDrv *drv = known_paths_get(io->known, i);
    if (drv->is_stored) continue;
    StorePath *path = ARENA_NEW(&arena, StorePath), *refs;
    size_t ref_count;
    if (!store_path_parse(drv->path, io->store_dir, path, err) ||
        !derivation_parse_references(drv->text, io->store_dir, &arena, &refs, &ref_count, err))
      return false;
    items[item_count++] = (StoreAddText){
        .name = store_path_name(path), .content = drv->text, .refs = refs, .ref_count = ref_count, .path = path};
  }
  if (!store_add_texts(store, items, item_count, paths, err)) return err_wrap(err, "writing derivations");
  for (size_t i = io->drv_stored_prefix; i < end; i++) known_paths_get(io->known, i)->is_stored = true;
  io->drv_stored_prefix = end;
  return true;
}

static bool store_drvs(StoreIo *io, Store *store, Err *err) {
  size_t count = known_paths_count(io->known);
  while (io->drv_stored_prefix < count) {
    size_t left = count - io->drv_stored_prefix;
    if (!store_some_drvs(io, store, io->drv_stored_prefix + (left < STORE_DRVS_BATCH ? left : STORE_DRVS_BATCH), err))
      return false;
  }
  return true;
}

bool store_io_flush(StoreIo *io, Err *err) {
  if (pending_paths_count(io->pending) == 0 && io->drv_stored_prefix == known_paths_count(io->known)) return true;
  Store *store;
  return store_io_store(io, &store, err) && pending_paths_store(io->pending, store, err) &&
         store_drvs(io, store, err) && store_flush(store, err);
}

bool store_io_materialise(StoreIo *io, Err *err) {
  Store *store;
  StorePathList paths CLEANUP(store_path_list_done) = STORE_PATH_LIST_INIT;
  StorePath drv;
  const PendingPath *item;
  if (!store_io_flush(io, err)) return false;
  for (size_t i = 0; (item = pending_paths_get(io->pending, i)); i++) store_path_list_add(&paths, &item->path);
  for (size_t i = 0; i < known_paths_count(io->known); i++) {
    if (!known_paths_get(io->known, i)->is_stored) continue;
    if (!store_path_parse(known_paths_get(io->known, i)->path, io->store_dir, &drv, err)) return false;
    store_path_list_add(&paths, &drv);
  }
  return paths.count == 0 ||
         (store_io_store(io, &store, err) && store_materialise(store, paths.paths, paths.count, err));
}

FetchIo *store_io_fetches(StoreIo *io) {
  if (!io->fetches) io->fetches = fetch_io_new(&io->config.fetch);
  return io->fetches;
}

void store_io_forget_scheduler(StoreIo *io) {
  io->scheduler = NULL;
  if (io->fetches) fetch_io_forget(io->fetches);
  // Also failures: that of an interrupted build says nothing about the next one.
  for (MapEntry *e = map_first(&io->goals); e; e = map_next(&io->goals, e)) {
    StoreIoGoal *goal = e->value;
    if (goal->state == SCHEDULER_DONE) continue;
    err_done(&goal->err);
    map_remove(&io->goals, span_make(e->key, e->key_len));
  }
}

// ---- the questions

static EvalFileType type_of_mode(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG: return EVAL_FILE_REGULAR;
  case S_IFDIR: return EVAL_FILE_DIRECTORY;
  case S_IFLNK: return EVAL_FILE_SYMLINK;
  default: return EVAL_FILE_UNKNOWN;
  }
}
static EvalFileType type_of_kind(CastoreKind kind) {
  switch (kind) {
  case CASTORE_FILE: return EVAL_FILE_REGULAR;
  case CASTORE_DIRECTORY: return EVAL_FILE_DIRECTORY;
  case CASTORE_SYMLINK: return EVAL_FILE_SYMLINK;
  }
  return EVAL_FILE_UNKNOWN;
}

static uint64_t time_ns(struct timespec t) {
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static EvalIoStatus io_lstat(EvalIo *base, Span path, EvalStat *ret, EvalIoWait *ret_wait, Err *err) {
  Place place CLEANUP(store_io_place_done) = PLACE_INIT;
  *ret = (EvalStat){.type = EVAL_FILE_ABSENT};
  EvalIoStatus status = store_io_place_resolve(store_io_of(base), path, false, &place, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  switch (place.kind) {
  case OBJECT_ABSENT: break;
  case OBJECT_TEXT: *ret = (EvalStat){.type = EVAL_FILE_REGULAR, .size_bytes = place.text.len}; break;
  case OBJECT_HOST:
    *ret = (EvalStat){.type = type_of_mode(place.st.st_mode),
                      .executable = S_ISREG(place.st.st_mode) && (place.st.st_mode & S_IXUSR),
                      .size_bytes = (uint64_t)place.st.st_size,
                      .dev = place.st.st_dev,
                      .ino = place.st.st_ino,
                      .mtime_ns = time_ns(place.st.st_mtim),
                      .ctime_ns = time_ns(place.st.st_ctim)};
    break;
  case OBJECT_CASTORE:
    *ret = (EvalStat){.type = type_of_kind(place.resolved.kind),
                      .executable = place.resolved.executable,
                      .size_bytes = place.resolved.size_bytes};
    break;
  }
  return EVAL_IO_OK;
}

static EvalIoStatus absent(Span path, Err *err) {
  err_set(err, ERR_NOT_FOUND, "path '%.*s' does not exist", SPAN_ARG(path));
  return EVAL_IO_ERROR;
}
static EvalIoStatus status_of(bool ok) {
  return ok ? EVAL_IO_OK : EVAL_IO_ERROR;
}

// The path is shown as what symbolic links lead to.
static EvalIoStatus read_failed(EvalIo *base, Span path, int sys_errno, const char *before, const char *behind,
                                Err *err) {
  Buf resolved CLEANUP(buf_done) = BUF_INIT;
  EvalIoWait wait;
  if (path_coerce_resolve(base, path, true, &resolved, &wait, NULL) == EVAL_IO_OK) path = buf_span(&resolved);
  err_set_errno(err, sys_errno, "%s%.*s%s", before, SPAN_ARG(path), behind);
  return EVAL_IO_ERROR;
}

static bool read_host(StoreIo *io, Place *place, Buf *ret, Err *err) {
  size_t start = ret->len;
  const char *path = buf_cstr(&place->physical);
  if (fs_read_file(path, 0, ret, err)) {
    observed_read(io->observed, path, &place->st, span_from(buf_span(ret), start));
    return true;
  }
  observed_spoil(io->observed, "'%s' cannot be read", path);
  return false;
}

static EvalIoStatus io_read_file(EvalIo *base, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  Place place CLEANUP(store_io_place_done) = PLACE_INIT;
  EvalIoStatus status = store_io_place_resolve(io, path, true, &place, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  switch (place.kind) {
  case OBJECT_ABSENT:
    return read_failed(base, path, place.why_absent ? place.why_absent : ENOENT, "opening file '", "'", err);
  case OBJECT_TEXT: buf_put_span(ret, place.text); return EVAL_IO_OK;
  case OBJECT_HOST:
    if (S_ISDIR(place.st.st_mode)) return read_failed(base, path, EISDIR, "reading from file '", "'", err);
    return status_of(read_host(io, &place, ret, err));
  case OBJECT_CASTORE:
    if (place.resolved.kind != CASTORE_FILE) return read_failed(base, path, EISDIR, "reading from file '", "'", err);
    return status_of(store_resolve_read(io->store, &place.resolved, 0, ret, err));
  }
  return EVAL_IO_ERROR;
}

static int compare_entries(const void *a, const void *b) {
  return strcmp(((const EvalDirEntry *)a)->name, ((const EvalDirEntry *)b)->name);
}

static void add_entry(EvalDirList *list, size_t *cap, Span name, EvalFileType type) {
  MEM_RESERVE(list->entries, *cap, list->count + 1);
  list->entries[list->count++] = (EvalDirEntry){span_dup(name), type};
}

static EvalFileType entry_type(int dir_fd, const struct dirent *entry) {
  switch (entry->d_type) {
  case DT_REG: return EVAL_FILE_REGULAR;
  case DT_DIR: return EVAL_FILE_DIRECTORY;
  case DT_LNK: return EVAL_FILE_SYMLINK;
  case DT_UNKNOWN: break;
  default: return EVAL_FILE_UNKNOWN;
  }
  struct stat st;
  return fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? type_of_mode(st.st_mode) : EVAL_FILE_UNKNOWN;
}

bool store_io_list_physical(const char *path, EvalDirList *ret, Err *err) {
  *ret = (EvalDirList){NULL, 0};
  DIR *dir = opendir(path);
  if (!dir) return err_set_errno(err, errno, "opening directory '%s'", path);
  size_t cap = 0;
  struct dirent *entry;
  while ((errno = 0, entry = readdir(dir)))
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      add_entry(ret, &cap, span_cstr(entry->d_name), entry_type(dirfd(dir), entry));
  int failed = errno;
  closedir(dir);
  if (failed) {
    eval_io_dir_list_done(ret);
    return err_set_errno(err, failed, "reading directory '%s'", path);
  }
  if (ret->count) qsort(ret->entries, ret->count, sizeof(EvalDirEntry), compare_entries);
  return true;
}

bool store_io_list(StoreIo *io, const char *path, EvalDirList *ret, Err *err) {
  struct stat st;
  if (!io->observed) return store_io_list_physical(path, ret, err);
  // The status first: a change in between must not look as if it had been seen.
  bool found = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
  bool ok = store_io_list_physical(path, ret, err);
  if (found && ok) observed_list(io->observed, path, &st, ret);
  else observed_spoil(io->observed, "directory '%s' cannot be read", path);
  return ok;
}

static bool list_castore(StoreIo *io, const StoreResolved *directory, EvalDirList *ret, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  StoreDirEntry *entries;
  size_t count, cap = 0;
  if (!store_resolve_list(io->store, directory, &arena, &entries, &count, err)) return false;
  for (size_t i = 0; i < count; i++) add_entry(ret, &cap, entries[i].name, type_of_kind(entries[i].kind));
  return true;
}

// Of a directory above an allowed path, only what leads there is shown.
static void hide_forbidden(const StoreIo *io, Span dir, EvalDirList *list) {
  if (!io->access.restrict_eval && !io->access.pure_eval) return;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  size_t kept = 0;
  for (size_t i = 0; i < list->count; i++) {
    buf_clear(&path);
    fs_path_join(&path, dir, span_cstr(list->entries[i].name));
    if (access_check_is_allowed(&io->access, buf_span(&path))) list->entries[kept++] = list->entries[i];
    else mem_free((char *)list->entries[i].name);
  }
  list->count = kept;
}

static EvalIoStatus io_read_dir(EvalIo *base, Span path, EvalDirList *ret, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  Place place CLEANUP(store_io_place_done) = PLACE_INIT;
  *ret = (EvalDirList){NULL, 0};
  EvalIoStatus status = store_io_place_resolve(io, path, true, &place, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  switch (place.kind) {
  case OBJECT_ABSENT:
    return read_failed(base, path, place.why_absent ? place.why_absent : ENOENT, "reading directory ", "", err);
  case OBJECT_HOST:
    if (!S_ISDIR(place.st.st_mode)) break;
    if (!store_io_list(io, buf_cstr(&place.physical), ret, err)) return EVAL_IO_ERROR;
    hide_forbidden(io, span_cstr(place.physical.data), ret);
    return EVAL_IO_OK;
  case OBJECT_CASTORE:
    if (place.resolved.kind == CASTORE_DIRECTORY) return status_of(list_castore(io, &place.resolved, ret, err));
    break;
  case OBJECT_TEXT: break;
  }
  return read_failed(base, path, ENOTDIR, "reading directory ", "", err);
}

static EvalIoStatus io_read_link(EvalIo *base, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  Place place CLEANUP(store_io_place_done) = PLACE_INIT;
  EvalIoStatus status = store_io_place_resolve(store_io_of(base), path, false, &place, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  if (place.kind == OBJECT_HOST) return status_of(fs_read_link(buf_cstr(&place.physical), ret, err));
  if (place.kind == OBJECT_ABSENT) return absent(path, err);
  if (place.kind == OBJECT_CASTORE && place.resolved.kind == CASTORE_SYMLINK) {
    buf_put_span(ret, place.resolved.target);
    return EVAL_IO_OK;
  }
  return status_of(err_set_errno(err, EINVAL, "reading symbolic link '%.*s'", SPAN_ARG(path)));
}

bool store_io_is_valid(StoreIo *io, Span store_path, bool *ret, Err *err) {
  *ret = map_has(&io->objects, store_path) || pending_paths_find(io->pending, store_path) ||
         known_paths_find(io->known, store_path);
  if (*ret) return true;
  StorePath path;
  StoreObject *object;
  if (!store_path_parse(store_path, io->store_dir, &path, err) ||
      !store_io_object_find_valid(io, store_path, &path, &object, err))
    return false;
  *ret = object != NULL;
  return true;
}

static EvalIoStatus io_ensure_path(EvalIo *base, Span store_path, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  bool valid;
  if (!store_io_is_valid(io, store_path, &valid, err)) return EVAL_IO_ERROR;
  if (valid || io->config.read_only) return EVAL_IO_OK;
  Err why = ERR_INIT;
  EvalIoStatus status = store_io_ensure(io, store_path, ret_wait, &why);
  err_done(&why);
  if (status == EVAL_IO_ERROR)
    err_set(err, ERR_NOT_FOUND, "path '%.*s' does not exist and cannot be created", SPAN_ARG(store_path));
  return status;
}

EvalIoStatus store_io_ensure(StoreIo *io, Span store_path, EvalIoWait *ret_wait, Err *err) {
  StorePath path;
  StoreObject *object;
  if (!store_path_parse(store_path, io->store_dir, &path, err)) return EVAL_IO_ERROR;
  EvalIoStatus status = store_io_object_find(io, store_path, &path, &object, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  if (object) return EVAL_IO_OK;
  err_set(err, ERR_NOT_FOUND, "path '%.*s' is not valid", SPAN_ARG(store_path));
  return EVAL_IO_ERROR;
}

// The path of a built output, which only the scheduler knows when the derivation is content-addressed.
static EvalIoStatus output_path(StoreIo *io, const StoreIoGoal *goal, const DerivationOutput *output, Buf *ret,
                                Err *err) {
  if (output->path.len) {
    buf_put_span(ret, output->path);
    return EVAL_IO_OK;
  }
  StorePath path;
  if (!goal || !scheduler_output(io->scheduler, goal->ticket, output->name, &path)) {
    err_set(err, ERR_OTHER, "output '%.*s' was built, but its path is not known", SPAN_ARG(output->name));
    return EVAL_IO_ERROR;
  }
  store_path_format(&path, io->store_dir, ret);
  return EVAL_IO_OK;
}

// What was built may be read, and everything that it refers to.
static bool allow_closure(StoreIo *io, Span built, Err *err) {
  Store *store;
  StorePath path;
  StorePathList closure = STORE_PATH_LIST_INIT;
  access_check_allow(&io->access, built);
  if (!io->config.pure_eval && !io->config.restrict_eval) return true;
  bool ok = store_io_store(io, &store, err) && store_path_parse(built, io->store_dir, &path, err) &&
            store_closure(store, &path, 1, &(StoreClosureOptions){0}, &closure, err);
  for (size_t i = 0; ok && i < closure.count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&closure.paths[i], io->store_dir, &text);
    access_check_allow(&io->access, buf_span(&text));
  }
  store_path_list_done(&closure);
  return ok;
}

static EvalIoStatus realise_output(StoreIo *io, Span drv_path, Span name, Buf *ret_path, EvalIoWait *ret_wait,
                                   Err *err) {
  KnownDrv *known = known_paths_load(io->known, drv_path, err);
  const Derivation *drv = known ? known_paths_parse(io->known, known, err) : NULL;
  if (!drv) return EVAL_IO_ERROR;
  const DerivationOutput *output = derivation_find_output(drv, name);
  if (!output) {
    err_set(err, ERR_EVAL, "derivation '%.*s' does not have an output named '%.*s'", SPAN_ARG(drv_path),
            SPAN_ARG(name));
    return EVAL_IO_ERROR;
  }
  bool valid = false;
  if (output->path.len && io->config.allow_import_from_derivation && !store_io_is_valid(io, output->path, &valid, err))
    return EVAL_IO_ERROR;
  StoreIoGoal *goal = NULL;
  if (!valid) {
    EvalIoStatus status = store_io_object_want(io, drv_path, name, &goal, ret_wait, err);
    if (status != EVAL_IO_OK) return status;
  }
  size_t start = ret_path->len;
  EvalIoStatus status = output_path(io, goal, output, ret_path, err);
  if (status != EVAL_IO_OK) return status;
  Span built = span_from(buf_span(ret_path), start);
  if (!allow_closure(io, built, err)) return EVAL_IO_ERROR;
  Store *store;
  StorePath path;
  return status_of(!io->observed ||
                   (store_path_parse(built, io->store_dir, &path, err) && store_io_store(io, &store, err) &&
                    store_io_object_observe(io, store, built, &path, err)));
}

static EvalIoStatus io_realise_context(EvalIo *base, Span context, Buf *ret_path, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  if (context.data[0] == '!') {
    Span name, rest = span_from(context, 1);
    span_split(&rest, '!', &name);
    return realise_output(io, rest, name, ret_path, ret_wait, err);
  }
  if (context.data[0] == '=') context = span_from(context, 1);
  return store_io_ensure(io, context, ret_wait, err);
}

EvalIoStatus store_io_locate(StoreIo *io, Span path, bool follow_last, Buf *ret_physical, Buf *ret_logical,
                             EvalIoWait *ret_wait, Err *err) {
  Place place CLEANUP(store_io_place_done) = PLACE_INIT;
  EvalIoStatus status = store_io_place_resolve(io, path, follow_last, &place, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  Span logical = buf_span(&place.logical);
  switch (place.kind) {
  case OBJECT_ABSENT:
    absent(logical, err);
    if (err) err->sys_errno = place.why_absent;
    return EVAL_IO_ERROR;
  case OBJECT_HOST: buf_put_span(ret_physical, buf_span(&place.physical)); break;
  case OBJECT_TEXT:
  case OBJECT_CASTORE: {
    // It needs a tree: everything that this evaluation has named is added first.
    Store *store;
    StorePath object;
    Span rest;
    if (!store_path_split(logical, io->store_dir, &object, &rest, err) || !store_io_flush(io, err) ||
        !store_io_store(io, &store, err) || !store_materialise(store, &object, 1, err))
      return EVAL_IO_ERROR;
    store_format_physical(store, &object, ret_physical);
    buf_put_span(ret_physical, rest);
    break;
  }
  }
  buf_put_span(ret_logical, logical);
  return EVAL_IO_OK;
}

bool store_io_add_source(StoreIo *io, const PendingSource *source, Buf *ret_store_path, Err *err) {
  const PendingPath *pending;
  observed_tree(io->observed, source->host_path, source->accepted);
  if (!pending_paths_add_source(io->pending, source, &pending, err)) return false;
  size_t start = ret_store_path->len;
  store_path_format(&pending->path, io->store_dir, ret_store_path);
  access_check_allow(&io->access, span_from(buf_span(ret_store_path), start));
  return true;
}

static EvalIoStatus io_copy_to_store(EvalIo *base, Span path, Span name, Buf *ret_store_path, EvalIoWait *ret_wait,
                                     Err *err) {
  StoreIo *io = store_io_of(base);
  Buf physical CLEANUP(buf_done) = BUF_INIT, logical CLEANUP(buf_done) = BUF_INIT;
  // As in C++ Nix, one evaluation copies a path once, and does not look at it again.
  bool usual_name = span_eq(name, fs_path_base(path));
  const char *copied = usual_name ? map_get(&io->copied, path) : NULL;
  if (copied) {
    buf_put_cstr(ret_store_path, copied);
    return EVAL_IO_OK;
  }
  if (span_has_suffix(path, SPAN(".drv"))) {
    err_set(err, ERR_EVAL, "file names are not allowed to end in '.drv'");
    return EVAL_IO_ERROR;
  }
  EvalIoStatus status = store_io_locate(io, path, false, &physical, &logical, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  size_t start = ret_store_path->len;
  if (!store_io_add_source(io, &(PendingSource){.host_path = buf_cstr(&physical), .name = name, .method = CA_NAR},
                           ret_store_path, err))
    return EVAL_IO_ERROR;
  if (usual_name)
    map_set(&io->copied, path,
            (void *)(uintptr_t)arena_dup(&io->arena, span_from(buf_span(ret_store_path), start)).data);
  return EVAL_IO_OK;
}

static EvalIoStatus io_write_text(EvalIo *base, Span name, Span content, const Span *references, size_t reference_count,
                                  Buf *ret_store_path, Err *err) {
  StoreIo *io = store_io_of(base);
  const PendingPath *pending;
  if (!pending_paths_add_text(io->pending, name, content, references, reference_count, &pending, err))
    return EVAL_IO_ERROR;
  size_t start = ret_store_path->len;
  store_path_format(&pending->path, io->store_dir, ret_store_path);
  access_check_allow(&io->access, span_from(buf_span(ret_store_path), start));
  return EVAL_IO_OK;
}

bool store_io_references(StoreIo *io, Span store_path, Arena *arena, Span **ret, size_t *ret_count, Err *err) {
  *ret = NULL;
  *ret_count = 0;
  const PendingPath *pending = pending_paths_find(io->pending, store_path);
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  const StorePath *refs = pending ? pending->refs : NULL;
  size_t count = pending ? pending->ref_count : 0;
  if (!pending) {
    Store *store;
    StorePath path;
    if (!store_path_parse(store_path, io->store_dir, &path, err) || !store_io_store(io, &store, err) ||
        !store_io_object_observe(io, store, store_path, &path, err) || !store_get(store, &path, &record, err))
      return false;
    refs = record->info.refs;
    count = record->info.ref_count;
  }
  *ret = ARENA_ARRAY(arena, Span, count);
  for (size_t i = 0; i < count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&refs[i], io->store_dir, &text);
    (*ret)[i] = arena_dup(arena, buf_span(&text));
  }
  *ret_count = count;
  return true;
}

// The references of one that exists, as paths; nothing for any other path.
static EvalIoStatus io_list_references(EvalIo *base, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  StorePath store_path;
  Span rest, *refs = NULL;
  size_t count = 0;
  bool valid;
  if (!store_path_is_below(path, io->store_dir) || !store_path_split(path, io->store_dir, &store_path, &rest, NULL))
    return EVAL_IO_OK;
  Span object = span_sub(path, 0, path.len - rest.len);
  KnownDrv *drv = known_paths_find(io->known, object);
  if (drv) {
    const Derivation *value = known_paths_parse(io->known, drv, err);
    if (!value) return EVAL_IO_ERROR;
    for (size_t i = 0; i < value->input_drv_count; i++)
      buf_put_span(ret, value->input_drvs[i].key), buf_put_char(ret, 0);
    for (size_t i = 0; i < value->input_src_count; i++) buf_put_span(ret, value->input_srcs[i]), buf_put_char(ret, 0);
    return EVAL_IO_OK;
  }
  if (!store_io_is_valid(io, object, &valid, err)) return EVAL_IO_ERROR;
  if (valid && !store_io_references(io, object, &arena, &refs, &count, err)) return EVAL_IO_ERROR;
  for (size_t i = 0; i < count; i++) {
    buf_put_span(ret, refs[i]);
    buf_put_char(ret, 0);
  }
  return EVAL_IO_OK;
}

static EvalIoStatus io_read_derivation(EvalIo *base, Span path, Buf *ret, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  StorePath drv_path;
  bool valid;
  if (!span_has_suffix(path, SPAN(".drv")) || !store_path_is_below(path, io->store_dir) ||
      !store_path_parse(path, io->store_dir, &drv_path, NULL))
    return EVAL_IO_OK;
  if (!store_io_is_valid(io, path, &valid, err)) return EVAL_IO_ERROR;
  if (!valid) return EVAL_IO_OK;
  KnownDrv *known = known_paths_load(io->known, path, err);
  const Derivation *drv = known ? known_paths_parse(io->known, known, err) : NULL;
  if (!drv) return EVAL_IO_ERROR;
  // The variable, not the name of the path: with structured attributes there is none.
  for (size_t i = 0; i < drv->env_count; i++)
    if (span_eq_cstr(drv->env[i].name, "name")) buf_put_span(ret, drv->env[i].value);
  buf_put_char(ret, 0);
  for (size_t i = 0; i < drv->output_count; i++) {
    const DerivationOutput *output = &drv->outputs[i];
    buf_put_span(ret, output->name);
    buf_put_char(ret, 0);
    if (output->path.len) {
      buf_put_span(ret, output->path);
    } else {
      Placeholder placeholder;
      placeholder_upstream(&drv_path, output->name, &placeholder);
      placeholder_put(&placeholder, ret);
    }
    buf_put_char(ret, 0);
  }
  return EVAL_IO_OK;
}

static bool io_get_env(EvalIo *base, Span name, Buf *ret) {
  StoreIo *io = store_io_of(base);
  if (io->config.pure_eval || io->config.restrict_eval) return false;
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&key, name);
  const char *value = getenv(buf_cstr(&key));
  observed_env(io->observed, name, value);
  if (value) buf_put_cstr(ret, value);
  return value != NULL;
}

static bool io_check_path(EvalIo *base, Span path, Err *err) {
  return access_check_path(&store_io_of(base)->access, path, err);
}

// A tarball, fetched once for each session.
static EvalIoStatus io_resolve_search_entry(EvalIo *base, Span entry, Buf *ret_path, EvalIoWait *ret_wait, Err *err) {
  StoreIo *io = store_io_of(base);
  Buf url CLEANUP(buf_done) = BUF_INIT, key CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&key, entry);
  const Span *known = map_get(&io->search_entries, buf_span(&key));
  if (known) {
    buf_put_span(ret_path, *known);
    return EVAL_IO_OK;
  }
  Span kept = {NULL, 0};
  size_t start = ret_path->len;
  Err failed = ERR_INIT;
  fetcher_expand_url(entry, &url);
  FetcherFile file = {.url = buf_span(&url), .name = SPAN("source"), .unpack = true};
  bool is_flake = span_has_prefix(entry, SPAN("flake:"));
  EvalIoStatus status = is_flake ? EVAL_IO_OK : fetch_io_file(io, &file, ret_path, ret_wait, &failed);
  if (status == EVAL_IO_PENDING) return status;
  if (is_flake) {
    log_warn("Nix search path entry '%.*s' cannot be used: flakes are not supported", SPAN_ARG(entry));
  } else if (status == EVAL_IO_ERROR) {
    log_warn("Nix search path entry '%.*s' cannot be downloaded, ignoring: %s", SPAN_ARG(entry), err_message(&failed));
    err_done(&failed);
    ret_path->len = start;
  } else {
    kept = arena_dup(&io->arena, span_from(buf_span(ret_path), start));
  }
  Span *remembered = ARENA_NEW(&io->arena, Span);
  *remembered = kept;
  map_set(&io->search_entries, buf_span(&key), remembered);
  return EVAL_IO_OK;
}

static size_t take_finished(StoreIo *io, EvalIoWait *ret, size_t cap) {
  size_t count = 0;
  while (count < cap && scheduler_next_finished(io->scheduler, &ret[count])) count++;
  return count;
}

static size_t io_poll(EvalIo *base, bool block, EvalIoWait *ret, size_t cap, Err *err) {
  StoreIo *io = store_io_of(base);
  if (!io->scheduler) {
    err_set(err, ERR_OTHER, "nothing that evaluation waits for can complete any more");
    return 0;
  }
  size_t count = take_finished(io, ret, cap);
  if (count || !block) return count;
  if (scheduler_wait(io->scheduler, -1)) count = take_finished(io, ret, cap);
  if (!count) err_set(err, ERR_OTHER, "nothing that evaluation waits for can complete any more");
  return count;
}

// ---- the interface

static const EvalIoOps store_io_ops = {
    .lstat = io_lstat,
    .read_file = io_read_file,
    .read_dir = io_read_dir,
    .read_link = io_read_link,
    .realise_context = io_realise_context,
    .copy_to_store = io_copy_to_store,
    .write_text = io_write_text,
    .get_env = io_get_env,
    .check_path = io_check_path,
    .list_references = io_list_references,
    .read_derivation = io_read_derivation,
    .resolve_search_entry = io_resolve_search_entry,
    .ensure_path = io_ensure_path,
    .poll = io_poll,
};

StoreIo *store_io_new(const StoreIoConfig *config) {
  StoreIo *io = mem_alloc_zero(sizeof(*io));
  io->base.ops = &store_io_ops;
  io->config = *config;
  io->access = (AccessCheck)ACCESS_CHECK_INIT;
  io->access.pure_eval = config->pure_eval;
  io->access.restrict_eval = config->restrict_eval;
  io->store_dir = arena_dup(&io->arena, config->store_dir);
  io->config.store_dir = io->store_dir;
  io->known = known_paths_new(io->store_dir, read_drv, io);
  io->pending = pending_paths_new(io->store_dir);
  return io;
}

void store_io_free(StoreIo *io) {
  if (!io) return;
  for (MapEntry *e = map_first(&io->goals); e; e = map_next(&io->goals, e)) err_done(&((StoreIoGoal *)e->value)->err);
  map_done(&io->goals);
  map_done(&io->objects);
  map_done(&io->copied);
  map_done(&io->search_entries);
  if (io->fetches) fetch_io_free(io->fetches);
  pending_paths_free(io->pending);
  known_paths_free(io->known);
  access_check_done(&io->access);
  arena_done(&io->arena);
  mem_free(io);
}

EvalIo *store_io_eval(StoreIo *io) {
  return &io->base;
}
KnownPaths *store_io_known(StoreIo *io) {
  return io->known;
}
AccessCheck *store_io_access(StoreIo *io) {
  return &io->access;
}
