// eval_cache.c: see eval_cache.h.
#include "cli/eval_cache.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/profiling.h"
#include "cli/version.h"

#define SUSPECTS_MAX 64 // for a change of very many files no order is looked for

struct EvalCacheRecording {
  Observed *observed;
  Buf question, answer;
  // Of an answer that consists of jobs, some of which are still good:
  TraceCacheFound found; // owns the text of `jobs`
  Map jobs;              // name -> KnownJob, owned
};

typedef struct KnownJob {
  Span output;
  uint32_t row_count;
  uint32_t rank; // 0: not suspect; else suspect jobs are evaluated in this order
  bool is_good;
} KnownJob;

void eval_cache_dir(Buf *ret) {
  session_cache_dir("traces", ret);
}

// ---- the question

static void put_text(Buf *out, const char *text) {
  buf_put_cstr(out, text ? text : "");
  buf_put_char(out, text ? 0 : 1);
}

// Versions are equal while one works on the program: its file tells.
static void put_program(Buf *out) {
  struct stat st;
  put_text(out, VERSION_FIRN);
  if (stat("/proc/self/exe", &st) != 0) return;
  buf_put_u64le(out, (uint64_t)st.st_dev);
  buf_put_u64le(out, (uint64_t)st.st_ino);
  buf_put_u64le(out, (uint64_t)st.st_size);
  buf_put_u64le(out, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
  buf_put_u64le(out, (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec);
}

// Settings that change how builds are done, not what is evaluated.
static bool is_build_setting(SettingId id) {
  switch ((unsigned)id) {
  case SETTING_ID_max_jobs:
  case SETTING_ID_cores:
  case SETTING_ID_keep_failed:
  case SETTING_ID_fallback:
  case SETTING_ID_timeout:
  case SETTING_ID_max_silent_time:
  case SETTING_ID_max_build_log_size:
  case SETTING_ID_log_lines:
  case SETTING_ID_builders:
  case SETTING_ID_keep_build_log: return true;
  default: return false;
  }
}

static void put_settings(Session *session, Buf *out) {
  for (unsigned i = 0; i < SETTING_COUNT; i++) {
    const Setting *setting = &session->settings[i];
    if (setting->source == SETTING_DEFAULT || is_build_setting((SettingId)i)) continue;
    put_text(out, setting_table[i].name);
    put_text(out, setting_text(session->settings, (SettingId)i));
    buf_put_char(out, (char)setting->source);
  }
  put_text(out, NULL);
}

// Options that evaluation depends on; those for builds and links do not count.
static bool counts(const OptionUse *use) {
  const uint64_t groups = OPTION_COMMON_GROUP | OPTION_EVAL_GROUP | OPTION_SELECT_GROUP | OPTION_SELECT_OLD_GROUP |
                          OPTION_PRINT_GROUP | OPTION_PRINT_EVAL_GROUP;
  if (use->id == OPT_file || use->id == OPT_explain_cache || use->id == OPT_print_build_logs) return false;
  return option_table[use->id].groups & groups;
}

static void put_options(Session *session, Buf *out, bool *ret_needs_cwd) {
  const OptionList *list = &session->options;
  for (size_t i = 0; i < list->use_count; i++) {
    const OptionUse *use = &list->uses[i];
    if (!counts(use)) continue;
    buf_put_char(out, (char)use->id);
    buf_put_char(out, (char)((unsigned)use->id >> 8));
    for (unsigned j = 0; j < option_arg_count(&option_table[use->id]); j++) put_text(out, use->args[j]);
    if (use->id == OPT_arg || use->id == OPT_apply) *ret_needs_cwd = true;
  }
  put_text(out, NULL);
}

static void put_roots(Session *session, const TargetRoot *roots, size_t count, Buf *out, bool *ret_needs_cwd) {
  for (size_t i = 0; i < count; i++) {
    bool is_path = roots[i].kind == TARGET_FILE && roots[i].text[0] != '<';
    buf_put_char(out, (char)(1 + (int)roots[i].kind));
    put_text(out, is_path ? session_absolute(session, roots[i].text) : roots[i].text);
    put_text(out, roots[i].base);
    if (!is_path) *ret_needs_cwd = true;
  }
  buf_put_char(out, 0);
}

static void put_environment(Session *session, Buf *out) {
  static const char *const names[] = {"HOME", "NIX_REMOTE", "NIX_STATE_DIR", "XDG_DATA_HOME", "NIX_DATA_DIR"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++) put_text(out, getenv(names[i]));
  buf_put_span(out, session_store_dir(session));
  put_text(out, session_system(session));
  buf_put_u64le(out, geteuid());
  size_t count;
  const VmSearchEntry *entries = session_search_path(session, &count);
  for (size_t i = 0; i < count; i++) {
    buf_put_span(out, entries[i].prefix);
    buf_put_char(out, '=');
    buf_put_span(out, entries[i].path);
    buf_put_char(out, 0);
  }
}

static void put_question(Session *session, const TargetRoot *roots, size_t count, Span detail, Buf *out) {
  bool needs_cwd = false;
  put_text(out, command_full_name(session->command));
  put_program(out);
  buf_put_u64le(out, (uint64_t)session->progress.format << 1 | session->progress.colour);
  put_settings(session, out);
  put_options(session, out, &needs_cwd);
  put_roots(session, roots, count, out, &needs_cwd);
  put_environment(session, out);
  put_text(out, needs_cwd ? session_absolute(session, ".") : NULL);
  buf_put_span(out, detail);
}

// Whether this invocation is of the kind that is remembered; *ret_why says why not.
static bool is_cacheable(Session *session, const TargetRoot *roots, size_t count, const char **ret_why) {
  static const struct {
    OptionId id;
    const char *why;
  } excluded[] = {
      {OPT_arg_from_file, "--arg-from-file is used"}, {OPT_write_to, "--write-to is used"},
      {OPT_gc_stress, "--gc-stress is used"},         {OPT_eval_stats, "--eval-stats is used"},
      {OPT_max_heap, "--max-heap is used"},           {OPT_repair, "--repair is used"},
      {OPT_trace_eval_io, "--trace-eval-io is used"}, {OPT_read_write_mode, "--read-write-mode writes derivations"}};
  *ret_why = NULL;
  if (!setting_bool(session->settings, SETTING_ID_eval_cache)) *ret_why = "it is switched off";
  const char *stats = getenv("NIX_SHOW_STATS");
  if (stats && strcmp(stats, "0") != 0) *ret_why = "NIX_SHOW_STATS is set";
  if (profiling_is_wanted(session)) *ret_why = "evaluation is profiled";
  for (size_t i = 0; i < ARRAY_LEN(excluded); i++)
    if (option_has(&session->options, excluded[i].id)) *ret_why = excluded[i].why;
  for (size_t i = 0; i < count; i++)
    if (roots[i].kind == TARGET_STDIN) *ret_why = "the expression comes from standard input";
  return !*ret_why;
}

static void explain(Session *session, const char *what, const char *why) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  if (!option_has(&session->options, OPT_explain_cache)) return;
  buf_printf(&line, "evaluation cache: %s%s\n", what, why);
  progress_write(&session->progress, buf_span(&line));
}

// ---- answers

// ObservedCheck.object: asks the store, which is opened for it.
static bool check_object(void *ctx, Span store_path, const uint8_t digest[OBSERVED_DIGEST_BYTES]) {
  Session *session = ctx;
  Store *store;
  StorePath path;
  bool valid;
  uint8_t now[OBSERVED_DIGEST_BYTES];
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!session_store(session, &store, NULL) || !store_path_parse(store_path, session_store_dir(session), &path, NULL) ||
      !store_pin(store, &path, &valid, NULL) || !valid || !store_find(store, &path, &record, NULL) || !record)
    return false;
  observed_digest(span_make(record->info.nar_sha256, sizeof record->info.nar_sha256), now);
  return memcmp(now, digest, sizeof now) == 0;
}

// "<drv path>\0<output>\0<name>". False when it is not in the store any more: then it has to be made again, by evaluating.
static bool read_target(Session *session, Span text, TargetDrvList *ret) {
  Span path, output, drv_path;
  Store *store;
  bool valid;
  TargetDrv drv;
  if (!span_split(&text, 0, &path) || !span_split(&text, 0, &output)) return false;
  drv_path = path;
  if (!session_store(session, &store, NULL) ||
      !store_path_parse(drv_path, session_store_dir(session), &drv.drv_path, NULL) ||
      !store_pin(store, &drv.drv_path, &valid, NULL) || !valid)
    return false;
  drv.output = arena_dup(&session->arena, output);
  drv.name = arena_dup(&session->arena, text);
  MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
  ret->items[ret->count++] = drv;
  return true;
}

static bool read_targets(Session *session, Span answer, TargetDrvList *ret) {
  TraceCacheKind kind;
  Span text;
  while (trace_cache_answer_next(&answer, &kind, &text)) {
    if (kind == TRACE_CACHE_TARGET && (!ret || !read_target(session, text, ret))) {
      if (ret) ret->count = 0;
      return false;
    }
  }
  return answer.len == 0;
}

static void replay(Session *session, Span answer) {
  TraceCacheKind kind;
  Span text;
  while (trace_cache_answer_next(&answer, &kind, &text)) {
    switch (kind) {
    case TRACE_CACHE_OUT: session_print(session, text); break;
    case TRACE_CACHE_ERR: progress_write(&session->progress, text); break;
    case TRACE_CACHE_WARN: log_warn("%.*s", SPAN_ARG(text)); break;
    case TRACE_CACHE_TARGET:
    case TRACE_CACHE_JOB: break;
    }
  }
}

static void warned(void *ctx, LogLevel level, Span message) {
  if (level == LOG_WARN) eval_cache_print(ctx, TRACE_CACHE_WARN, message);
  if (level == LOG_ERROR) eval_cache_spoil(ctx, "an error was logged");
}

static void begin(Session *session, Buf *question, Observed *kept) {
  EvalCacheRecording *recording = mem_alloc_zero(sizeof *recording);
  recording->observed = kept ? kept : observed_new();
  recording->question = *question;
  *question = (Buf)BUF_INIT;
  session->recording = recording;
  store_io_observe(session_io(session), recording->observed);
  progress_tee(&session->progress, warned, session);
}

// ---- jobs
//
// Values are shared between jobs, so what one looks at may be what another depends on as well, but only if that one came later. So a job
// depends at most on the rows that were there when it had ended: jobs that ended before the first row that has changed was observed are still
// good. The job that observed that row first is evaluated last from then on. So a file that is edited again and again soon costs only the jobs
// that read it: after as many changes as there are such jobs.

static bool read_job(Span text, Span *ret_name, KnownJob *ret) {
  uint32_t head[2];
  if (text.len < sizeof head) return false;
  memcpy(head, text.data, sizeof head);
  *ret = (KnownJob){.row_count = head[0], .rank = head[1]};
  *ret_name = span_from(text, sizeof head);
  return true;
}

// Of an answer with messages nothing is kept: who would repeat them is not known.
static bool is_plain(Span answer) {
  TraceCacheKind kind;
  Span text;
  while (trace_cache_answer_next(&answer, &kind, &text))
    if (kind != TRACE_CACHE_OUT && kind != TRACE_CACHE_JOB) return false;
  return answer.len == 0;
}

static void read_jobs(EvalCacheRecording *recording) {
  TraceCacheKind kind;
  Span text, name, rest = recording->found.answer;
  KnownJob *job = NULL, next;
  while (trace_cache_answer_next(&rest, &kind, &text)) {
    if (kind == TRACE_CACHE_OUT && job) job->output = text; // a job prints at most one line
    if (kind != TRACE_CACHE_JOB) continue;
    job = NULL;
    if (!read_job(text, &name, &next) || map_has(&recording->jobs, name)) continue;
    next.is_good = next.row_count <= recording->found.row_count;
    job = mem_alloc(sizeof *job);
    *job = next;
    map_set(&recording->jobs, name, job);
  }
}

// The job that ended first of those that had observed the row becomes suspect, or the last of the suspect ones.
static void suspect_first_observer(Map *jobs, uint32_t row) {
  KnownJob *first = NULL;
  uint32_t last_rank = 0;
  for (MapEntry *e = map_first(jobs); e; e = map_next(jobs, e)) {
    KnownJob *job = e->value;
    if (job->rank > last_rank) last_rank = job->rank;
    if (job->row_count > row && (!first || job->row_count < first->row_count)) first = job;
  }
  if (first) first->rank = last_rank + 1;
}

static void keep_jobs(Session *session, TraceCacheFound *found) {
  EvalCacheRecording *recording = session->recording;
  recording->found = *found;
  *found = (TraceCacheFound)TRACE_CACHE_FOUND_INIT;
  const ObservedPartial *partial = &recording->found.partial;
  if (!is_plain(recording->found.answer)) return;
  read_jobs(recording);
  for (size_t i = 0; i < partial->changed_count && i < SUSPECTS_MAX; i++)
    suspect_first_observer(&recording->jobs, partial->changed[i]);
  size_t good = 0;
  for (MapEntry *e = map_first(&recording->jobs); e; e = map_next(&recording->jobs, e))
    good += ((const KnownJob *)e->value)->is_good;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "%zu of %zu jobs", good, recording->jobs.live_count);
  explain(session, "still good: ", buf_cstr(&line));
}

static bool find(Session *session, const TargetRoot *roots, size_t root_count, Span detail, bool has_jobs,
                 TargetDrvList *ret_drvs, int *ret_code) {
  Buf question CLEANUP(buf_done) = BUF_INIT, dir CLEANUP(buf_done) = BUF_INIT, why CLEANUP(buf_done) = BUF_INIT;
  TraceCacheFound found CLEANUP(trace_cache_found_done) = TRACE_CACHE_FOUND_INIT;
  const char *excluded;
  if (!is_cacheable(session, roots, root_count, &excluded)) {
    explain(session, "not used: ", excluded);
    return false;
  }
  put_question(session, roots, root_count, detail, &question);
  eval_cache_dir(&dir);
  ObservedCheck check = {check_object, session};
  bool hit = trace_cache_find(buf_span(&dir), buf_span(&question), &check, has_jobs, &found, &why);
  if (hit && !read_targets(session, found.answer, ret_drvs)) {
    hit = false;
    buf_put_cstr(&why, "a derivation is not in the store any more");
  }
  if (!hit) {
    explain(session, "miss: ", buf_cstr(&why));
    begin(session, &question, STEAL(found.partial.kept));
    if (has_jobs && found.answer.len) keep_jobs(session, &found);
    return false;
  }
  buf_printf(&why, "%zu observations are as they were", found.row_count);
  explain(session, "hit: ", buf_cstr(&why));
  replay(session, found.answer);
  *ret_code = found.exit_code;
  return true;
}

bool eval_cache_find(Session *session, const TargetRoot *roots, size_t root_count, Span detail, TargetDrvList *ret_drvs,
                     int *ret_code) {
  return find(session, roots, root_count, detail, false, ret_drvs, ret_code);
}

bool eval_cache_find_jobs(Session *session, const TargetRoot *roots, size_t root_count, Span detail, int *ret_code) {
  return find(session, roots, root_count, detail, true, NULL, ret_code);
}

bool eval_cache_job_known(Session *session, Span name, Span *ret_output, uint32_t *ret_row_count) {
  const KnownJob *job = session->recording ? map_get(&session->recording->jobs, name) : NULL;
  if (!job || !job->is_good) return false;
  *ret_output = job->output;
  *ret_row_count = job->row_count;
  return true;
}

uint32_t eval_cache_job_rank(Session *session, Span name) {
  const KnownJob *job = session->recording ? map_get(&session->recording->jobs, name) : NULL;
  return job ? job->rank : 0;
}

uint32_t eval_cache_row_count(Session *session) {
  return session->recording ? (uint32_t)observed_count(session->recording->observed) : 0;
}

void eval_cache_put_job(Session *session, Span name, uint32_t row_count) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  uint32_t head[2] = {row_count, eval_cache_job_rank(session, name)};
  buf_put(&text, head, sizeof head);
  buf_put_span(&text, name);
  eval_cache_print(session, TRACE_CACHE_JOB, buf_span(&text));
}

// ---- recording

void eval_cache_print(Session *session, TraceCacheKind kind, Span text) {
  if (session->recording) trace_cache_answer_put(&session->recording->answer, kind, text);
}

void eval_cache_spoil(Session *session, const char *why) {
  if (session->recording) observed_spoil(session->recording->observed, "%s", why);
}

void eval_cache_failed(Session *session, const EvalError *error) {
  switch (error->kind) {
  case EVAL_ERROR_EVAL:
  case EVAL_ERROR_THROW:
  case EVAL_ERROR_ASSERT:
  case EVAL_ERROR_ABORT:
  case EVAL_ERROR_TYPE:
  case EVAL_ERROR_UNDEFINED:
  case EVAL_ERROR_MISSING:
  case EVAL_ERROR_RECURSION:
  case EVAL_ERROR_SYNTAX:
  case EVAL_ERROR_RESTRICTED: return;
  case EVAL_ERROR_IO: // a missing file is as good as any answer; a failed build or fetch may succeed next time
    if (error->cause == ERR_NOT_FOUND) return;
    break;
  case EVAL_ERROR_STACK:
  case EVAL_ERROR_INTERRUPTED: break;
  }
  eval_cache_spoil(session, "evaluation failed for a reason that may pass");
}

void eval_cache_end(Session *session, const TargetDrvList *drvs, int code) {
  EvalCacheRecording *recording = STEAL(session->recording);
  if (!recording) return;
  Buf dir CLEANUP(buf_done) = BUF_INIT, why CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  progress_tee(&session->progress, NULL, NULL);
  store_io_observe(session->io, NULL);
  if (session->vm && session->vm->settings.current_time) observed_spoil(recording->observed, "the time was asked for");
  for (size_t i = 0; drvs && i < drvs->count; i++) {
    buf_clear(&text);
    store_path_format(&drvs->items[i].drv_path, session_store_dir(session), &text);
    buf_put_char(&text, 0);
    buf_put_span(&text, drvs->items[i].output);
    buf_put_char(&text, 0);
    buf_put_span(&text, drvs->items[i].name);
    trace_cache_answer_put(&recording->answer, TRACE_CACHE_TARGET, buf_span(&text));
  }
  eval_cache_dir(&dir);
  // Without any observation, evaluating is about as fast.
  if (observed_count(recording->observed) > 0 &&
      !trace_cache_put(buf_span(&dir), buf_span(&recording->question), recording->observed,
                       buf_span(&recording->answer), code, TRACE_CACHE_MAX_BYTES, &why))
    explain(session, "not recorded: ", buf_cstr(&why));
  observed_free(recording->observed);
  for (MapEntry *e = map_first(&recording->jobs); e; e = map_next(&recording->jobs, e)) mem_free(e->value);
  map_done(&recording->jobs);
  trace_cache_found_done(&recording->found);
  buf_done(&recording->question);
  buf_done(&recording->answer);
  mem_free(recording);
}
