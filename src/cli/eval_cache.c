// eval_cache.c: see eval_cache.h.
#include "cli/eval_cache.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/eval_question.h"
#include "cli/profiling.h"
#include "cli/version.h"

#define SUSPECTS_MAX 64 // for a change of very many files no order is looked for

#define PARTS_MAX 16 // of an invocation for more attributes, all have one answer

// One requested attribute of several.
typedef struct Part {
  Buf question, answer;
  bool is_known, has_ended, has_messages;
  TraceCacheFound found; // when known: owns the text
  size_t row_count;      // observed when it had ended
} Part;

struct EvalCacheRecording {
  Observed *observed;
  Buf question, answer;
  Part *parts; // owned
  size_t part_count, known_count;
  size_t part_start; // where the answer of the next one to end begins
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

// ---- what may be asked

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

// The nearest question that has a record, for --explain-cache.
typedef struct Nearest {
  Span question;
  size_t ways;
  Buf text;
} Nearest;

static void compare_question(void *ctx, Span question) {
  Nearest *nearest = ctx;
  Buf text = BUF_INIT;
  size_t ways = eval_question_compare(nearest->question, question, &text);
  if (ways && ways < nearest->ways) {
    Buf former = nearest->text;
    nearest->ways = ways;
    nearest->text = text;
    text = former;
  }
  buf_done(&text);
}

// In what the question differs from one that was asked before.
static void explain_question(Session *session, Span dir, Span question, Buf *why) {
  if (!option_has(&session->options, OPT_explain_cache)) return;
  Nearest nearest = {.question = question, .ways = SIZE_MAX, .text = BUF_INIT};
  trace_cache_each_question(dir, compare_question, &nearest);
  if (nearest.text.len) buf_printf(why, "; one is that differs in %s", buf_cstr(&nearest.text));
  buf_done(&nearest.text);
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
    if (kind != TRACE_CACHE_OUT && kind != TRACE_CACHE_JOB && kind != TRACE_CACHE_TARGET) return false;
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

// ---- attributes
//
// A part depends at most on what had been observed when it had ended, as a job does.
//
// Messages (traces, warnings) may come from values that attributes share, and are printed once, for whoever comes first. So parts that are evaluated together
// are only remembered by themselves when there was none; but one that was evaluated alone is what it would be alone, and one such answer among others is right
// in any order, since the others have printed none.

static bool is_out_only(Span answer) {
  TraceCacheKind kind;
  Span text;
  while (trace_cache_answer_next(&answer, &kind, &text))
    if (kind != TRACE_CACHE_OUT && kind != TRACE_CACHE_TARGET) return false;
  return answer.len == 0;
}

static void parts_free(Part *parts, size_t count) {
  for (size_t i = 0; parts && i < count; i++) {
    buf_done(&parts[i].question);
    buf_done(&parts[i].answer);
    trace_cache_found_done(&parts[i].found);
  }
  mem_free(parts);
}

// Looks each one up. Their number that is known.
static size_t find_parts(Session *session, Span dir, Part *parts, size_t count) {
  ObservedCheck check = {check_object, session};
  size_t known = 0, with_messages = 0;
  for (size_t i = 0; i < count; i++) {
    Buf why CLEANUP(buf_done) = BUF_INIT;
    Part *part = &parts[i];
    TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
    part->is_known = trace_cache_find(dir, buf_span(&part->question), &check, false, &part->found, &why) &&
                     part->found.exit_code == 0 && read_targets(session, part->found.answer, &drvs);
    part->has_messages = part->is_known && !is_out_only(part->found.answer);
    known += part->is_known;
    with_messages += part->has_messages;
  }
  if (known == count && with_messages <= 1) return known;
  for (size_t i = 0; i < count; i++) parts[i].is_known = parts[i].is_known && !parts[i].has_messages;
  return known - with_messages;
}

static Part *make_parts(Session *session, const TargetRoot *roots, Span detail, const char *const *attr_paths,
                        size_t count) {
  Part *parts = mem_alloc_zero(count * sizeof *parts);
  for (size_t i = 0; i < count; i++) {
    parts[i].found = (TraceCacheFound)TRACE_CACHE_FOUND_INIT;
    eval_question_put(session, roots, 1, detail, &attr_paths[i], 1, &parts[i].question);
  }
  return parts;
}

// False: not all are known; the recording has begun and knows the parts.
static bool use_parts(Session *session, Span dir, Buf *question, Part *parts, size_t count, TargetDrvList *ret_drvs,
                      Span why) {
  size_t known = find_parts(session, dir, parts, count);
  Buf line CLEANUP(buf_done) = BUF_INIT;
  if (known == count) {
    explain(session, "hit: ", "each attribute has an answer of its own");
    for (size_t i = 0; i < count; i++) {
      replay(session, parts[i].found.answer);
      (void)!read_targets(session, parts[i].found.answer, ret_drvs); // they are pinned since they were found
    }
    parts_free(parts, count);
    return true;
  }
  if (known) buf_printf(&line, "%zu of %zu attributes have answers of their own", known, count);
  explain(session, "miss: ", known ? buf_cstr(&line) : why.data);
  begin(session, question, NULL);
  session->recording->parts = parts;
  session->recording->part_count = count;
  session->recording->known_count = known;
  return false;
}

bool eval_cache_attr_known(const Session *session, size_t number) {
  const EvalCacheRecording *recording = session->recording;
  return recording && number < recording->part_count && recording->parts[number].is_known;
}

void eval_cache_attr_replay(Session *session, size_t number) {
  replay(session, session->recording->parts[number].found.answer);
  session->recording->part_start = session->recording->answer.len;
}

void eval_cache_attr_end(Session *session, size_t number) {
  EvalCacheRecording *recording = session->recording;
  if (!recording || number >= recording->part_count) return;
  Part *part = &recording->parts[number];
  part->has_ended = true;
  part->row_count = observed_count(recording->observed);
  buf_put_span(&part->answer, span_from(buf_span(&recording->answer), recording->part_start));
  recording->part_start = recording->answer.len;
}

static void put_target(Session *session, const TargetDrv *drv, Buf *answer) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(&drv->drv_path, session_store_dir(session), &text);
  buf_put_char(&text, 0);
  buf_put_span(&text, drv->output);
  buf_put_char(&text, 0);
  buf_put_span(&text, drv->name);
  trace_cache_answer_put(answer, TRACE_CACHE_TARGET, buf_span(&text));
}

// Derivations are made when all have been found: they depend on everything.
static void end_drv_parts(Session *session, const TargetDrvList *drvs) {
  EvalCacheRecording *recording = session->recording;
  for (size_t i = 0; i < recording->part_count; i++) {
    Part *part = &recording->parts[i];
    if (part->is_known) continue;
    part->has_ended = !drvs->has_shared;
    part->row_count = SIZE_MAX;
    for (size_t k = 0; k < drvs->count; k++)
      if (drvs->items[k].attr_path == i) put_target(session, &drvs->items[k], &part->answer);
  }
}

// Each part that was evaluated gets a record. False where there cannot be such.
static bool put_parts(EvalCacheRecording *recording, Span dir, int code, Buf *ret_why) {
  bool is_single = recording->known_count + 1 == recording->part_count;
  if (!recording->part_count || code || (!is_single && !is_out_only(buf_span(&recording->answer)))) return false;
  for (size_t i = 0; i < recording->part_count; i++)
    if (!recording->parts[i].is_known && !recording->parts[i].has_ended) return false;
  for (size_t i = 0; i < recording->part_count; i++) {
    const Part *part = &recording->parts[i];
    if (!part->is_known && !trace_cache_put(dir, buf_span(&part->question), recording->observed, part->row_count,
                                            buf_span(&part->answer), 0, TRACE_CACHE_MAX_BYTES, ret_why))
      break;
  }
  return true;
}

static void add_known_drvs(Session *session, size_t number, TargetDrvList *ret) {
  TargetDrvList known CLEANUP(target_drv_list_done) = {0};
  if (!read_targets(session, session->recording->parts[number].found.answer, &known)) return;
  for (size_t i = 0; i < known.count; i++) {
    MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
    ret->items[ret->count++] = known.items[i];
  }
}

bool eval_cache_drvs(Session *session, const TargetRoot *roots, size_t root_count, Span detail, const char *activity,
                     const char *unwritten, TargetDrvList *ret, int *ret_code) {
  size_t count, missing_count = 0;
  const char *const *attr_paths = target_attr_paths(session, &count);
  if (eval_cache_find_attrs(session, roots, root_count, detail, attr_paths, count, ret, ret_code))
    return *ret_code == 0 || setting_bool(session->settings, SETTING_ID_keep_going);
  if (activity) progress_evaluating(&session->progress, activity);
  const char **missing = ARENA_ARRAY(&session->arena, const char *, count);
  uint32_t *numbers = ARENA_ARRAY(&session->arena, uint32_t, count);
  for (size_t i = 0; i < count; i++) {
    if (eval_cache_attr_known(session, i)) continue;
    numbers[missing_count] = (uint32_t)i;
    missing[missing_count++] = attr_paths[i];
  }
  TargetDrvList made CLEANUP(target_drv_list_done) = {0};
  const TargetDrvList *evaluated = &made;
  TargetQuery query = {
      .roots = roots, .root_count = root_count, .attr_paths = missing, .attr_path_count = missing_count};
  bool ok = target_query_drvs(session, &query, &made, ret_code);
  for (size_t i = 0; i < made.count; i++) made.items[i].attr_path = numbers[made.items[i].attr_path];
  if (root_count > 1 || missing_count == count) {
    *ret = made;
    made = (TargetDrvList){0};
    evaluated = ret;
  } else {
    for (size_t i = 0, k = 0; i < count; i++) {
      if (eval_cache_attr_known(session, i)) add_known_drvs(session, i, ret);
      for (; k < made.count && made.items[k].attr_path == i; k++) {
        MEM_RESERVE(ret->items, ret->cap, ret->count + 1);
        ret->items[ret->count++] = made.items[k];
      }
    }
  }
  // What is remembered is in the store: it is not said of derivations that were not written.
  if (unwritten) eval_cache_spoil(session, unwritten);
  eval_cache_end(session, ok ? evaluated : NULL, *ret_code);
  return ok;
}

// ---- looking up

static bool find(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                 const char *const *attr_paths, size_t attr_path_count, bool has_jobs, TargetDrvList *ret_drvs,
                 int *ret_code) {
  Buf question CLEANUP(buf_done) = BUF_INIT, dir CLEANUP(buf_done) = BUF_INIT, why CLEANUP(buf_done) = BUF_INIT;
  TraceCacheFound found CLEANUP(trace_cache_found_done) = TRACE_CACHE_FOUND_INIT;
  const char *excluded;
  if (!is_cacheable(session, roots, root_count, &excluded)) {
    explain(session, "not used: ", excluded);
    return false;
  }
  eval_question_put(session, roots, root_count, detail, attr_paths, attr_path_count, &question);
  eval_cache_dir(&dir);
  ObservedCheck check = {check_object, session};
  bool hit = trace_cache_find(buf_span(&dir), buf_span(&question), &check, has_jobs, &found, &why);
  if (hit && !read_targets(session, found.answer, ret_drvs)) {
    hit = false;
    buf_put_cstr(&why, "a derivation is not in the store any more");
  }
  if (!hit) {
    if (!found.file.len) explain_question(session, buf_span(&dir), buf_span(&question), &why);
    if (!has_jobs && root_count == 1 && attr_path_count > 1 && attr_path_count <= PARTS_MAX)
      return *ret_code = 0, use_parts(session, buf_span(&dir), &question,
                                      make_parts(session, roots, detail, attr_paths, attr_path_count), attr_path_count,
                                      ret_drvs, span_cstr(buf_cstr(&why)));
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
  size_t count;
  const char *const *attr_paths = target_attr_paths(session, &count);
  if (count == 1) return find(session, roots, root_count, detail, attr_paths, 1, false, ret_drvs, ret_code);
  // As one: with a detail of their own, so that the answers are not mistaken for those of the attributes.
  Buf joined CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&joined, detail);
  for (size_t i = 0; i < count; i++) buf_put(&joined, attr_paths[i], strlen(attr_paths[i]) + 1);
  return find(session, roots, root_count, buf_span(&joined), NULL, 0, false, ret_drvs, ret_code);
}

bool eval_cache_find_attrs(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                           const char *const *attr_paths, size_t attr_path_count, TargetDrvList *ret_drvs,
                           int *ret_code) {
  return find(session, roots, root_count, detail, attr_paths, attr_path_count, false, ret_drvs, ret_code);
}

bool eval_cache_find_jobs(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                          TargetDrvList *ret_drvs, int *ret_code) {
  return find(session, roots, root_count, detail, NULL, 0, true, ret_drvs, ret_code);
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
  EvalCacheRecording *recording = session->recording;
  if (!recording) return;
  Buf dir CLEANUP(buf_done) = BUF_INIT, why CLEANUP(buf_done) = BUF_INIT;
  if (drvs && recording->part_count) end_drv_parts(session, drvs);
  session->recording = NULL;
  progress_tee(&session->progress, NULL, NULL);
  store_io_observe(session->io, NULL);
  if (session->vm && session->vm->settings.current_time) observed_spoil(recording->observed, "the time was asked for");
  bool has_observed = observed_count(recording->observed) > 0;
  eval_cache_dir(&dir);
  // Without any observation, evaluating is about as fast.
  if (has_observed && !put_parts(recording, buf_span(&dir), code, &why)) {
    for (size_t i = 0; drvs && i < drvs->count; i++) put_target(session, &drvs->items[i], &recording->answer);
    if (recording->known_count) buf_put_cstr(&why, "messages of one attribute among several");
    else
      (void)!trace_cache_put(buf_span(&dir), buf_span(&recording->question), recording->observed, SIZE_MAX,
                             buf_span(&recording->answer), code, TRACE_CACHE_MAX_BYTES, &why);
  }
  if (why.len) explain(session, "not recorded: ", buf_cstr(&why));
  parts_free(recording->parts, recording->part_count);
  observed_free(recording->observed);
  for (MapEntry *e = map_first(&recording->jobs); e; e = map_next(&recording->jobs, e)) mem_free(e->value);
  map_done(&recording->jobs);
  trace_cache_found_done(&recording->found);
  buf_done(&recording->question);
  buf_done(&recording->answer);
  mem_free(recording);
}
