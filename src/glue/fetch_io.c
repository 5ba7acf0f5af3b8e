// fetch_io.c: see fetch_io.h.
#include "glue/fetch_io.h"

#include <stdatomic.h>

#include "base/map.h"

typedef enum FetchKind { FETCH_FILE, FETCH_GIT, FETCH_HG } FetchKind;

// What the jobs share. The last one frees it: jobs may end after the FetchIo.
typedef struct FetchShared {
  atomic_uint ref_count;
  FetcherSettings settings;
  HttpClient *http;
} FetchShared;

// One fetch: its question, then its answer. Belongs to the FetchIo and, until it has run, to the worker, who writes the answer.
typedef struct FetchJob {
  atomic_uint ref_count;
  Arena arena; // of the texts
  FetchShared *shared;
  Store *store;
  FetchKind kind;
  FetcherFile file;
  Hash expected;
  FetcherGit git;
  FetcherHg hg;
  SchedulerTicket ticket;
  Buf store_path; // of a file
  FetcherGitTree git_tree;
  FetcherHgTree hg_tree;
} FetchJob;

struct FetchIo {
  Map jobs; // question as text -> FetchJob
  FetchShared *shared;
};

static void shared_unref(FetchShared *shared) {
  if (atomic_fetch_sub(&shared->ref_count, 1) != 1) return;
  http_client_free(shared->http);
  mem_free(shared);
}

static void job_unref(FetchJob *job) {
  if (atomic_fetch_sub(&job->ref_count, 1) != 1) return;
  buf_done(&job->store_path);
  fetcher_git_tree_done(&job->git_tree);
  fetcher_hg_tree_done(&job->hg_tree);
  shared_unref(job->shared);
  arena_done(&job->arena);
  mem_free(job);
}

FetchIo *fetch_io_new(const FetcherSettings *settings) {
  FetchIo *fetches = mem_alloc_zero(sizeof(FetchIo));
  FetchShared *shared = fetches->shared = mem_alloc_zero(sizeof(FetchShared));
  atomic_init(&shared->ref_count, 1);
  shared->settings = *settings;
  shared->http = http_client_new(&settings->http);
  return fetches;
}

void fetch_io_free(FetchIo *fetches) {
  for (MapEntry *e = map_first(&fetches->jobs); e; e = map_next(&fetches->jobs, e)) job_unref(e->value);
  map_done(&fetches->jobs);
  shared_unref(fetches->shared);
  mem_free(fetches);
}

void fetch_io_forget(FetchIo *fetches) {
  // Tickets of a scheduler that is gone cannot be asked.
  for (MapEntry *e = map_first(&fetches->jobs); e; e = map_next(&fetches->jobs, e)) {
    job_unref(e->value);
    map_remove(&fetches->jobs, span_make(e->key, e->key_len));
  }
}

// Worker.
static bool job_run(void *ctx, int cancel_fd, Err *err) {
  FetchJob *job = ctx;
  FetchShared *shared = job->shared;
  Fetcher fetcher = {.store = job->store, .settings = &shared->settings, .http = shared->http, .cancel_fd = cancel_fd};
  bool ok = false;
  switch (job->kind) {
  case FETCH_FILE: ok = fetcher_file(&fetcher, &job->file, &job->store_path, err); break;
  case FETCH_GIT: ok = fetcher_git(&fetcher, &job->git, &job->git_tree, err); break;
  case FETCH_HG: ok = fetcher_hg(&fetcher, &job->hg, &job->hg_tree, err); break;
  }
  job_unref(job);
  return ok;
}

static FetchJob *new_job(FetchIo *fetches, FetchKind kind) {
  FetchJob *job = mem_alloc_zero(sizeof *job);
  atomic_init(&job->ref_count, 2);
  atomic_fetch_add(&fetches->shared->ref_count, 1);
  job->shared = fetches->shared;
  job->kind = kind;
  job->git_tree = (FetcherGitTree)FETCHER_GIT_TREE_INIT;
  job->hg_tree = (FetcherHgTree)FETCHER_HG_TREE_INIT;
  return job;
}

static FetchJob *new_file_job(FetchIo *fetches, const FetcherFile *file) {
  FetchJob *job = new_job(fetches, FETCH_FILE);
  job->file = *file;
  job->file.url = arena_dup(&job->arena, file->url);
  job->file.name = arena_dup(&job->arena, file->name);
  if (file->expected) job->expected = *file->expected;
  if (file->expected) job->file.expected = &job->expected;
  return job;
}

static FetchJob *new_git_job(FetchIo *fetches, const FetcherGit *git) {
  FetchJob *job = new_job(fetches, FETCH_GIT);
  job->git = *git;
  job->git.url = arena_dup(&job->arena, git->url);
  job->git.ref = arena_dup(&job->arena, git->ref);
  job->git.rev = arena_dup(&job->arena, git->rev);
  job->git.name = arena_dup(&job->arena, git->name);
  return job;
}

static FetchJob *new_hg_job(FetchIo *fetches, const FetcherHg *hg) {
  FetchJob *job = new_job(fetches, FETCH_HG);
  job->hg.url = arena_dup(&job->arena, hg->url);
  job->hg.ref = arena_dup(&job->arena, hg->ref);
  job->hg.rev = arena_dup(&job->arena, hg->rev);
  job->hg.name = arena_dup(&job->arena, hg->name);
  return job;
}

// Starts it, or looks after it. OK: the answer is there.
static EvalIoStatus look_after(StoreIo *io, FetchJob *job, EvalIoWait *ret_wait, Err *err) {
  Scheduler *scheduler;
  if (!store_io_scheduler(io, &scheduler, err)) return EVAL_IO_ERROR;
  if (!job->ticket) {
    job->store = scheduler_store(scheduler);
    job->ticket = scheduler_run(scheduler, job_run, job);
  }
  switch (scheduler_state(scheduler, job->ticket, err)) {
  case SCHEDULER_DONE: return EVAL_IO_OK;
  case SCHEDULER_PENDING: *ret_wait = job->ticket; return EVAL_IO_PENDING;
  case SCHEDULER_FAILED: return EVAL_IO_ERROR;
  }
  return EVAL_IO_ERROR;
}

static EvalIoStatus local_file(StoreIo *io, const FetcherFile *file, Buf *ret_store_path, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (!fetcher_local_path(file, &path, err) || !fetcher_check_hash(file, buf_cstr(&path), err)) return EVAL_IO_ERROR;
  // It stays where it is: no need for the store yet.
  PendingSource source = {.host_path = buf_cstr(&path), .name = file->name, .method = CA_FLAT};
  return store_io_add_source(io, &source, ret_store_path, err) ? EVAL_IO_OK : EVAL_IO_ERROR;
}

EvalIoStatus fetch_io_file(StoreIo *io, const FetcherFile *file, Buf *ret_store_path, EvalIoWait *ret_wait, Err *err) {
  observed_spoil(store_io_observed(io), "'%.*s' was fetched", SPAN_ARG(file->url));
  if (!file->unpack && span_has_prefix(file->url, SPAN("file://"))) return local_file(io, file, ret_store_path, err);
  FetchIo *fetches = store_io_fetches(io);
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&key, "%d\n%.*s\n%.*s\n", file->unpack, SPAN_ARG(file->url), SPAN_ARG(file->name));
  if (file->expected) hash_format_nix32(file->expected, &key);
  FetchJob *job = map_get(&fetches->jobs, buf_span(&key));
  if (!job) map_set(&fetches->jobs, buf_span(&key), job = new_file_job(fetches, file));
  EvalIoStatus status = look_after(io, job, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  buf_put_span(ret_store_path, buf_span(&job->store_path));
  access_check_allow(store_io_access(io), buf_span(&job->store_path));
  return EVAL_IO_OK;
}

EvalIoStatus fetch_io_git(StoreIo *io, const FetcherGit *git, const FetcherGitTree **ret, EvalIoWait *ret_wait,
                          Err *err) {
  observed_spoil(store_io_observed(io), "Git repository '%.*s' was read", SPAN_ARG(git->url));
  FetchIo *fetches = store_io_fetches(io);
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&key, "git %d %d %d %d\n%.*s\n%.*s\n%.*s\n%.*s", git->all_refs, git->shallow, git->submodules,
             git->export_ignore, SPAN_ARG(git->url), SPAN_ARG(git->ref), SPAN_ARG(git->rev), SPAN_ARG(git->name));
  FetchJob *job = map_get(&fetches->jobs, buf_span(&key));
  if (!job) map_set(&fetches->jobs, buf_span(&key), job = new_git_job(fetches, git));
  EvalIoStatus status = look_after(io, job, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  *ret = &job->git_tree;
  access_check_allow(store_io_access(io), buf_span(&job->git_tree.store_path));
  return EVAL_IO_OK;
}

EvalIoStatus fetch_io_hg(StoreIo *io, const FetcherHg *hg, const FetcherHgTree **ret, EvalIoWait *ret_wait, Err *err) {
  observed_spoil(store_io_observed(io), "Mercurial repository '%.*s' was read", SPAN_ARG(hg->url));
  FetchIo *fetches = store_io_fetches(io);
  Buf key CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&key, "hg\n%.*s\n%.*s\n%.*s\n%.*s", SPAN_ARG(hg->url), SPAN_ARG(hg->ref), SPAN_ARG(hg->rev),
             SPAN_ARG(hg->name));
  FetchJob *job = map_get(&fetches->jobs, buf_span(&key));
  if (!job) map_set(&fetches->jobs, buf_span(&key), job = new_hg_job(fetches, hg));
  EvalIoStatus status = look_after(io, job, ret_wait, err);
  if (status != EVAL_IO_OK) return status;
  *ret = &job->hg_tree;
  access_check_allow(store_io_access(io), buf_span(&job->hg_tree.store_path));
  return EVAL_IO_OK;
}
