// store_io_object.c: see store_io_object.h.
#include "glue/store_io_object.h"

#include "base/fs.h"
#include "store/store_resolve.h"

bool store_io_object_observe(StoreIo *io, Store *store, Span text, const StorePath *path, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!io->observed) return true;
  if (!store_find(store, path, &record, err)) return false;
  if (record) observed_object(io->observed, text, span_make(record->info.nar_sha256, sizeof record->info.nar_sha256));
  else observed_no_object(io->observed, text);
  return true;
}

// ---- goals

static StoreIoGoal *new_goal(StoreIo *io, Span key) {
  StoreIoGoal *goal = ARENA_NEW(&io->arena, StoreIoGoal);
  *goal = (StoreIoGoal){.state = SCHEDULER_PENDING, .err = ERR_INIT};
  map_set(&io->goals, key, goal);
  return goal;
}

static EvalIoStatus goal_status(StoreIo *io, StoreIoGoal *goal, EvalIoWait *ret_wait, Err *err) {
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

EvalIoStatus store_io_object_want(StoreIo *io, Span drv_path, Span output, StoreIoGoal **ret_goal, EvalIoWait *ret_wait,
                                  Err *err) {
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&key, "%.*s!%.*s", SPAN_ARG(drv_path), SPAN_ARG(output));
  StoreIoGoal *goal = map_get(&io->goals, buf_span(&key));
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
  StoreIoGoal *goal = map_get(&io->goals, text);
  if (!goal) {
    Scheduler *scheduler;
    if (!store_io_scheduler(io, &scheduler, err)) return EVAL_IO_ERROR;
    goal = new_goal(io, text);
    goal->ticket = scheduler_ensure(scheduler, path);
  }
  return goal_status(io, goal, ret_wait, err);
}

// ---- store objects

static StoreObject *remember(StoreIo *io, Span store_path, const StoreObject *object) {
  StoreObject *kept = ARENA_NEW(&io->arena, StoreObject);
  *kept = *object;
  kept->host_path = arena_dup(&io->arena, object->host_path);
  map_set(&io->objects, store_path, kept);
  return kept;
}

bool store_io_object_find_valid(StoreIo *io, Span text, const StorePath *path, StoreObject **ret, Err *err) {
  Store *store;
  bool valid;
  *ret = NULL;
  if (!store_io_store(io, &store, err) || !store_pin(store, path, &valid, err)) return false;
  if (!store_io_object_observe(io, store, text, path, err)) return false;
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

EvalIoStatus store_io_object_find(StoreIo *io, Span text, const StorePath *path, StoreObject **ret,
                                  EvalIoWait *ret_wait, Err *err) {
  if ((*ret = map_get(&io->objects, text))) return EVAL_IO_OK;
  if (!find_named(io, text, path, ret, err)) return EVAL_IO_ERROR;
  if (*ret) return EVAL_IO_OK;
  if (!store_io_object_find_valid(io, text, path, ret, err)) return EVAL_IO_ERROR;
  if (*ret) return EVAL_IO_OK;

  Span output;
  const KnownDrv *drv = known_paths_find_output(io->known, text, &output);
  if (drv) {
    StoreIoGoal *goal;
    EvalIoStatus status = store_io_object_want(io, drv->path, output, &goal, ret_wait, err);
    if (status != EVAL_IO_OK) return status;
  } else if (io->config.substitute) {
    Err ignored = ERR_INIT;
    EvalIoStatus status = want_path(io, path, text, ret_wait, &ignored);
    err_done(&ignored);
    if (status == EVAL_IO_PENDING) return status;
  }
  if ((drv || io->config.substitute) && !store_io_object_find_valid(io, text, path, ret, err)) return EVAL_IO_ERROR;
  if (*ret) return EVAL_IO_OK;
  if (io->config.impure_host_store) {
    Buf host CLEANUP(buf_done) = BUF_INIT;
    buf_put_span(&host, text);
    if (fs_exists(buf_cstr(&host)))
      *ret = remember(io, text, &(StoreObject){.kind = OBJECT_HOST, .path = *path, .host_path = buf_span(&host)});
  }
  return EVAL_IO_OK;
}
