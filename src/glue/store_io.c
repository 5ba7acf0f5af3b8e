// store_io.c: see store_io.h. Order: goals, store objects, resolving paths, the questions, the interface.
#include "glue/store_io.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/path_coerce.h"
#include "formats/placeholder.h"
#include "formats/derivation_parse.h"
#include "glue/fetch_io.h"
#include "glue/nix_files.h"
#include "store/store_resolve.h"

// As many as the kernel follows.
#define LINKS_MAX 40

typedef enum ObjectKind {
  OBJECT_ABSENT,
  OBJECT_TEXT,    // `text`
  OBJECT_HOST,    // a tree at `host_path`
  OBJECT_CASTORE, // in the store without a tree
} ObjectKind;

// What a store path is. Remembered except where it is absent.
typedef struct StoreObject {
  ObjectKind kind;
  StorePath path;
  Span text;
  Span host_path;
} StoreObject;

// "This output of this derivation is valid."
typedef struct Goal {
  SchedulerTicket ticket;
  SchedulerState state;
  Err err; // FAILED
} Goal;

struct StoreIo {
  EvalIo base; // first: store_io_of casts
  StoreIoConfig config;
  AccessCheck access;
  Arena arena;
  Span store_dir;
  KnownPaths *known;
  PendingPaths *pending;
  FetchIo *fetches;         // made on first use
  size_t drv_stored_prefix; // known derivations before this one are in the store
  Store *store;             // borrowed
  Scheduler *scheduler;     // borrowed
  Map objects;              // store path -> StoreObject, in the arena
  Map copied;               // host path -> its store path, in the arena: sources of this evaluation
  Map search_entries;       // URL of the search path -> Span, in the arena; empty: not available
  Map goals;                // "<drv path>!<output>" or store path -> Goal, in the arena
  Observed *observed;       // borrowed; NULL: nobody wants to know
};

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

// Records that a path is valid, or is not. What is in it follows from its hash.
static bool observe_object(StoreIo *io, Store *store, Span text, const StorePath *path, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!io->observed) return true;
  if (!store_find(store, path, &record, err)) return false;
  if (record) observed_object(io->observed, text, span_make(record->info.nar_sha256, sizeof record->info.nar_sha256));
  else observed_no_object(io->observed, text);
  return true;
}

// Reads a .drv that evaluation did not make: KnownPathsReader.
static bool read_drv(void *ctx, Span drv_path, Buf *ret, Err *err) {
  StoreIo *io = ctx;
  Store *store;
  StorePath path;
  StoreResolved file CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  if (!store_path_parse(drv_path, io->store_dir, &path, err) || !store_io_store(io, &store, err)) return false;
  if (!observe_object(io, store, drv_path, &path, err)) return false;
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

// ---- goals

static Goal *new_goal(StoreIo *io, Span key) {
  Goal *goal = ARENA_NEW(&io->arena, Goal);
  *goal = (Goal){.state = SCHEDULER_PENDING, .err = ERR_INIT};
  map_set(&io->goals, key, goal);
  return goal;
}

static EvalIoStatus goal_status(StoreIo *io, Goal *goal, EvalIoWait *ret_wait, Err *err) {
  if (goal->state == SCHEDULER_PENDING) goal->state = scheduler_cause(io->scheduler, goal->ticket, &goal->err);
  switch (goal->state) {
  case SCHEDULER_DONE: return EVAL_IO_OK;
  case SCHEDULER_PENDING: *ret_wait = goal->ticket; return EVAL_IO_PENDING;
  case SCHEDULER_FAILED:
    // Asked again, it fails again with the same message.
    err_set(err, goal->err.kind, "%s", err_message(&goal->err));
    return EVAL_IO_ERROR;
  }
  return EVAL_IO_ERROR;
}

// Starts (or looks after) the build of one output.
static EvalIoStatus want_output(StoreIo *io, Span drv_path, Span output, Goal **ret_goal, EvalIoWait *ret_wait,
                                Err *err) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&key, "%.*s!%.*s", SPAN_ARG(drv_path), SPAN_ARG(output));
  Goal *goal = map_get(&io->goals, buf_span(&key));
  if (!goal) {
    if (!io->config.allow_import_from_derivation) {
      Span base = fs_path_base(drv_path);
      err_set(err, ERR_EVAL,
              "cannot build '%.*s/%.*s^%.*s' during evaluation because the option 'allow-import-from-derivation' is "
              "disabled",
              SPAN_ARG(io->store_dir), SPAN_ARG(base), SPAN_ARG(output));
      return EVAL_IO_ERROR;
    }
    Scheduler *scheduler;
    StorePath path;
    if (!store_path_parse(drv_path, io->store_dir, &path, err) || !store_io_scheduler(io, &scheduler, err) ||
        !store_io_flush(io, err))
      return EVAL_IO_ERROR;
    if (io->config.waiting) io->config.waiting(io->config.ctx, drv_path);
    goal = new_goal(io, buf_span(&key));
    goal->ticket = scheduler_realise(scheduler, &path, &output, 1, SCHEDULER_NORMAL);
  }
  *ret_goal = goal;
  return goal_status(io, goal, ret_wait, err);
}

static EvalIoStatus want_path(StoreIo *io, const StorePath *path, Span text, EvalIoWait *ret_wait, Err *err) {
  Goal *goal = map_get(&io->goals, text);
  if (!goal) {
    Scheduler *scheduler;
    if (!store_io_scheduler(io, &scheduler, err)) return EVAL_IO_ERROR;
    goal = new_goal(io, text);
    goal->ticket = scheduler_ensure(scheduler, path);
  }
  return goal_status(io, goal, ret_wait, err);
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
    Goal *goal = e->value;
    if (goal->state == SCHEDULER_DONE) continue;
    err_done(&goal->err);
    map_remove(&io->goals, span_make(e->key, e->key_len));
  }
}

// ---- store objects

static StoreObject *remember(StoreIo *io, Span store_path, const StoreObject *object) {
  StoreObject *kept = ARENA_NEW(&io->arena, StoreObject);
  *kept = *object;
  kept->host_path = arena_dup(&io->arena, object->host_path);
  map_set(&io->objects, store_path, kept);
  return kept;
}

// A path that may be in the store. *ret NULL when it is not valid there.
static bool find_in_store(StoreIo *io, Span text, const StorePath *path, StoreObject **ret, Err *err) {
  Store *store;
  bool valid;
  *ret = NULL;
  if (!store_io_store(io, &store, err) || !store_pin(store, path, &valid, err)) return false;
  if (!observe_object(io, store, text, path, err)) return false;
  if (!valid) return true;
  StoreResolved resolved CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  Err why = ERR_INIT;
  if (!store_resolve(store, path, SPAN(""), &resolved, &why)) {
    bool other_name = why.kind == ERR_NOT_FOUND; // the hash part is that of a valid path
    if (other_name) err_done(&why);
    else err_move(err, &why);
    return other_name;
  }
  StoreObject object = {.kind = OBJECT_CASTORE, .path = *path};
  if (resolved.on_disk) {
    object.kind = OBJECT_HOST;
    object.host_path = span_cstr(resolved.text.data);
  }
  *ret = remember(io, text, &object);
  return true;
}

// What evaluation itself has named. *ret NULL when it has not.
static bool find_named(StoreIo *io, Span text, const StorePath *path, StoreObject **ret, Err *err) {
  *ret = NULL;
  const PendingPath *pending = pending_paths_find(io->pending, text);
  StoreObject object = {.path = *path};
  if (pending && pending->is_text) {
    object.kind = OBJECT_TEXT;
    object.text = pending->text;
  } else if (pending && !pending->is_filtered) {
    object.kind = OBJECT_HOST;
    object.host_path = pending->host_path;
  } else if (pending) {
    Store *store;
    return store_io_store(io, &store, err) && pending_paths_store_one(io->pending, store, pending, err);
  } else {
    const KnownDrv *drv = known_paths_find(io->known, text);
    if (!drv) return true;
    object.kind = OBJECT_TEXT;
    object.text = drv->text;
  }
  *ret = remember(io, text, &object);
  return true;
}

// `text` is a bare store path, `path` the same parsed. OK with *ret NULL: it is nowhere.
static EvalIoStatus find_object(StoreIo *io, Span text, const StorePath *path, StoreObject **ret, EvalIoWait *ret_wait,
                                Err *err) {
  if ((*ret = map_get(&io->objects, text))) return EVAL_IO_OK;
  if (!find_named(io, text, path, ret, err)) return EVAL_IO_ERROR;
  if (*ret) return EVAL_IO_OK;
  if (!find_in_store(io, text, path, ret, err)) return EVAL_IO_ERROR;
  if (*ret) return EVAL_IO_OK;

  Span output;
  const KnownDrv *drv = known_paths_find_output(io->known, text, &output);
  if (drv) {
    Goal *goal;
    EvalIoStatus status = want_output(io, drv->path, output, &goal, ret_wait, err);
    if (status != EVAL_IO_OK) return status;
  } else if (io->config.substitute) {
    Err ignored = ERR_INIT;
    EvalIoStatus status = want_path(io, path, text, ret_wait, &ignored);
    err_done(&ignored);
    if (status == EVAL_IO_PENDING) return status;
  }
  if ((drv || io->config.substitute) && !find_in_store(io, text, path, ret, err)) return EVAL_IO_ERROR;
  if (*ret) return EVAL_IO_OK;
  if (io->config.impure_host_store) {
    Buf host CLEANUP(buf_done) = BUF_INIT;
    buf_put_span(&host, text);
    if (fs_exists(buf_cstr(&host)))
      *ret = remember(io, text, &(StoreObject){.kind = OBJECT_HOST, .path = *path, .host_path = buf_span(&host)});
  }
  return EVAL_IO_OK;
}

// ---- resolving paths

// Where a path ends.
typedef struct Place {
  ObjectKind kind;
  int why_absent;         // ABSENT: ENOENT or ENOTDIR; 0 is ENOENT
  struct stat st;         // HOST
  Span text;              // TEXT
  StoreResolved resolved; // CASTORE
  Buf physical;           // HOST
  Buf logical;            // after following links
} Place;

#define PLACE_INIT \
  { .resolved = STORE_RESOLVED_INIT, .physical = BUF_INIT, .logical = BUF_INIT }

static void place_done(Place *place) {
  store_resolve_done(&place->resolved);
  buf_done(&place->physical);
  buf_done(&place->logical);
}

// One step of following links.
typedef enum Follow {
  FOLLOW_END,  // the place is found (or nothing is there)
  FOLLOW_LINK, // place->logical holds the path to go on with
  FOLLOW_WAIT,
  FOLLOW_ERROR,
} Follow;

// logical := target, seen from the directory of `link`, followed by `rest`.
static void redirect(Place *place, Span link, Span target, Span rest) {
  Buf joined CLEANUP(buf_done) = BUF_INIT, next = BUF_INIT;
  buf_put_span(&joined, target);
  if (rest.len) {
    buf_put_char(&joined, '/');
    buf_put_span(&joined, rest);
  }
  fs_path_canon(fs_path_dir(link), buf_span(&joined), &next);
  buf_done(&place->logical);
  place->logical = next;
}

// Nothing at `physical` is an answer, other failures are errors.
static Follow end_without_status(StoreIo *io, Place *place, const char *physical, Err *err) {
  if (errno == ENOENT || errno == ENOTDIR) {
    observed_stat(io->observed, physical, false, NULL);
    place->kind = OBJECT_ABSENT;
    place->why_absent = errno;
    return FOLLOW_END;
  }
  observed_spoil(io->observed, "'%s' cannot be looked at", physical);
  err_set_errno(err, errno, "getting status of '%.*s'", SPAN_ARG(buf_span(&place->logical)));
  return FOLLOW_ERROR;
}

// The kernel could not answer, or must not be asked (restricted evaluation): component by component. `physical_base` + `rest` on disk is
// `logical_base` + `rest` for the program.
static Follow walk_components(StoreIo *io, Place *place, Span logical_base, Span rest, size_t physical_base_len,
                              bool follow_last, Err *err) {
  Span logical = buf_span(&place->logical);
  Buf probe CLEANUP(buf_done) = BUF_INIT;
  buf_put(&probe, place->physical.data, physical_base_len);
  struct stat st;
  const char *start = probe.len ? buf_cstr(&probe) : "/";
  if (lstat(start, &st) != 0) return end_without_status(io, place, start, err);
  for (size_t at = 0;;) {
    bool is_last = at >= rest.len;
    Span here = span_make(logical.data, logical_base.len + at);
    // The root on the way is no question: Nix begins with the first component.
    if (here.len && !access_check_path(&io->access, here, err)) return FOLLOW_ERROR;
    observed_stat(io->observed, probe.len ? buf_cstr(&probe) : "/", false, &st);
    if (S_ISLNK(st.st_mode) && (!is_last || follow_last)) {
      Buf target CLEANUP(buf_done) = BUF_INIT;
      if (!fs_read_link(buf_cstr(&probe), &target, err)) return FOLLOW_ERROR;
      redirect(place, here, buf_span(&target), span_from(rest, at + (at < rest.len)));
      return FOLLOW_LINK;
    }
    if (is_last) {
      place->kind = OBJECT_HOST;
      place->st = st;
      return FOLLOW_END;
    }
    size_t next = at + 1;
    while (next < rest.len && rest.data[next] != '/') next++;
    buf_put_span(&probe, span_sub(rest, at, next - at));
    at = next;
    if (lstat(buf_cstr(&probe), &st) != 0) return end_without_status(io, place, buf_cstr(&probe), err);
  }
}

// On disk: one system call when no link leads into the store.
static Follow follow_host(StoreIo *io, Place *place, Span physical_base, size_t logical_base_len, bool follow_last,
                          Err *err) {
  Span logical = buf_span(&place->logical);
  Span logical_base = span_sub(logical, 0, logical_base_len), rest = span_from(logical, logical_base_len);
  if (logical_base_len == 0 && logical.len == 1) rest = SPAN(""); // "/"
  buf_clear(&place->physical);
  buf_put_span(&place->physical, physical_base);
  buf_put_span(&place->physical, rest);
  const char *path = place->physical.len ? buf_cstr(&place->physical) : "/";
  if (place->physical.len == 0) buf_put_char(&place->physical, '/');
  // What links of a source that was only named lead to is seen from its place in the store, where the kernel does not know it.
  bool in_place = logical_base_len == 0 || span_eq(physical_base, logical_base);
  if (in_place && !io->config.restrict_eval && !io->config.pure_eval) {
    if ((follow_last ? stat(path, &place->st) : lstat(path, &place->st)) == 0) {
      place->kind = OBJECT_HOST;
      observed_stat(io->observed, path, follow_last, &place->st);
      return FOLLOW_END;
    }
    if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
      observed_spoil(io->observed, "'%s' cannot be looked at", path);
      err_set_errno(err, errno, "getting status of '%.*s'", SPAN_ARG(logical));
      return FOLLOW_ERROR;
    }
  }
  return walk_components(io, place, logical_base, rest, physical_base.len, follow_last, err);
}

static Follow follow_castore(StoreIo *io, Place *place, const StoreObject *object, Span rest, bool follow_last,
                             Err *err) {
  store_resolve_done(&place->resolved);
  place->resolved = (StoreResolved)STORE_RESOLVED_INIT;
  if (!store_resolve(io->store, &object->path, rest, &place->resolved, err)) return FOLLOW_ERROR;
  const StoreResolved *found = &place->resolved;
  place->kind = OBJECT_ABSENT;
  if (!found->found || (found->kind != CASTORE_SYMLINK && found->rest.len)) return FOLLOW_END;
  if (found->kind == CASTORE_SYMLINK && (found->rest.len || follow_last)) {
    Span logical = buf_span(&place->logical);
    Buf target CLEANUP(buf_done) = BUF_INIT, below CLEANUP(buf_done) = BUF_INIT;
    buf_put_span(&target, found->target);
    buf_put_span(&below, span_from(found->rest, 1));
    redirect(place, span_sub(logical, 0, logical.len - found->rest.len), buf_span(&target), buf_span(&below));
    return FOLLOW_LINK;
  }
  place->kind = OBJECT_CASTORE;
  return FOLLOW_END;
}

static Follow follow_once(StoreIo *io, Place *place, bool follow_last, EvalIoWait *ret_wait, Err *err) {
  Span logical = buf_span(&place->logical);
  StorePath path;
  Span rest;
  if (!store_path_is_below(logical, io->store_dir) || !store_path_split(logical, io->store_dir, &path, &rest, NULL))
    return follow_host(io, place, SPAN(""), 0, follow_last, err);
  if (!access_check_path(&io->access, logical, err)) return FOLLOW_ERROR;
  StoreObject *object;
  Span base = span_sub(logical, 0, logical.len - rest.len);
  switch (find_object(io, base, &path, &object, ret_wait, err)) {
  case EVAL_IO_OK: break;
  case EVAL_IO_PENDING: return FOLLOW_WAIT;
  case EVAL_IO_ERROR: return FOLLOW_ERROR;
  }
  place->kind = OBJECT_ABSENT;
  if (!object) return FOLLOW_END;
  switch (object->kind) {
  case OBJECT_ABSENT: return FOLLOW_END;
  case OBJECT_HOST: return follow_host(io, place, object->host_path, base.len, follow_last, err);
  case OBJECT_CASTORE: return follow_castore(io, place, object, rest, follow_last, err);
  case OBJECT_TEXT:
    if (rest.len == 0) {
      place->kind = OBJECT_TEXT;
      place->text = object->text;
    }
    return FOLLOW_END;
  }
  return FOLLOW_END;
}

static EvalIoStatus resolve(StoreIo *io, Span path, bool follow_last, Place *place, EvalIoWait *ret_wait, Err *err) {
  buf_put_span(&place->logical, path);
  if (span_has_prefix(path, SPAN(EVAL_IO_NIX_DIR "/"))) {
    place->kind =
        nix_files_find(span_from(path, strlen(EVAL_IO_NIX_DIR "/")), &place->text) ? OBJECT_TEXT : OBJECT_ABSENT;
    return EVAL_IO_OK;
  }
  for (unsigned links = 0; links <= LINKS_MAX; links++) {
    switch (follow_once(io, place, follow_last, ret_wait, err)) {
    case FOLLOW_END: return EVAL_IO_OK;
    case FOLLOW_LINK: continue;
    case FOLLOW_WAIT: return EVAL_IO_PENDING;
    case FOLLOW_ERROR: return EVAL_IO_ERROR;
    }
  }
  err_set(err, ERR_LIMIT, "infinite symlink recursion in path '%.*s'", SPAN_ARG(path));
  return EVAL_IO_ERROR;
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
  Place place CLEANUP(place_done) = PLACE_INIT;
  *ret = (EvalStat){.type = EVAL_FILE_ABSENT};
  EvalIoStatus status = resolve(store_io_of(base), path, false, &place, ret_wait, err);
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
  Place place CLEANUP(place_done) = PLACE_INIT;
  EvalIoStatus status = resolve(io, path, true, &place, ret_wait, err);
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
  Place place CLEANUP(place_done) = PLACE_INIT;
  *ret = (EvalDirList){NULL, 0};
  EvalIoStatus status = resolve(io, path, true, &place, ret_wait, err);
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
  Place place CLEANUP(place_done) = PLACE_INIT;
  EvalIoStatus status = resolve(store_io_of(base), path, false, &place, ret_wait, err);
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
  if (!store_path_parse(store_path, io->store_dir, &path, err) || !find_in_store(io, store_path, &path, &object, err))
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
  EvalIoStatus status = find_object(io, store_path, &path, &object, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  if (object) return EVAL_IO_OK;
  err_set(err, ERR_NOT_FOUND, "path '%.*s' is not valid", SPAN_ARG(store_path));
  return EVAL_IO_ERROR;
}

// The path of a built output, which only the scheduler knows when the derivation is content-addressed.
static EvalIoStatus output_path(StoreIo *io, const Goal *goal, const DerivationOutput *output, Buf *ret, Err *err) {
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
  Goal *goal = NULL;
  if (!valid) {
    EvalIoStatus status = want_output(io, drv_path, name, &goal, ret_wait, err);
    if (status != EVAL_IO_OK) return status;
  }
  size_t start = ret_path->len;
  EvalIoStatus status = output_path(io, goal, output, ret_path, err);
  if (status != EVAL_IO_OK) return status;
  Span built = span_from(buf_span(ret_path), start);
  if (!allow_closure(io, built, err)) return EVAL_IO_ERROR;
  Store *store;
  StorePath path;
  return status_of(!io->observed || (store_path_parse(built, io->store_dir, &path, err) &&
                                     store_io_store(io, &store, err) && observe_object(io, store, built, &path, err)));
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
  Place place CLEANUP(place_done) = PLACE_INIT;
  EvalIoStatus status = resolve(io, path, follow_last, &place, ret_wait, err);
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
        !observe_object(io, store, store_path, &path, err) || !store_get(store, &path, &record, err))
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
  for (MapEntry *e = map_first(&io->goals); e; e = map_next(&io->goals, e)) err_done(&((Goal *)e->value)->err);
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
