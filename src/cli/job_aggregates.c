// job_aggregates.c: see job_aggregates.h. Source of the rules: nix-eval-jobs, constituents.cc. There only the output `out` gets a new path;
// here all do.
#include "cli/job_aggregates.h"

#include <fnmatch.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "formats/json_write.h"

typedef enum Visit { VISIT_NONE, VISIT_OPEN, VISIT_DONE } Visit;

typedef struct Job {
  JobAggregate data; // text in the arena; of a plain job only attr and drv_path
  Span error;
  bool is_aggregate, is_rewritten;
  Visit visit;
  struct Job *parent; // on the way of the search
  size_t next_child;
  struct Job **children; // owned; sorted by name, each once
  size_t child_count, child_cap;
  Buf broken; // lines about names that lead nowhere
} Job;

struct JobAggregates {
  Session *session;
  Arena arena;
  Job **jobs; // owned
  size_t count, cap;
  Job **order; // owned; aggregates as they are printed
  size_t order_count;
};

JobAggregates *job_aggregates_new(Session *session) {
  JobAggregates *a = mem_alloc_zero(sizeof *a);
  a->session = session;
  return a;
}

void job_aggregates_free(JobAggregates *a) {
  if (!a) return;
  for (size_t i = 0; i < a->count; i++) {
    mem_free(a->jobs[i]->children);
    buf_done(&a->jobs[i]->broken);
    mem_free(a->jobs[i]);
  }
  mem_free(a->jobs);
  mem_free(a->order);
  arena_done(&a->arena);
  mem_free(a);
}

static Job *add_job(JobAggregates *a, Span attr, Span drv_path, Span error) {
  Job *job = mem_alloc_zero(sizeof *job);
  job->data.attr = arena_dup(&a->arena, attr);
  job->data.drv_path = arena_dup(&a->arena, drv_path);
  job->error = arena_dup(&a->arena, error);
  MEM_RESERVE(a->jobs, a->cap, a->count + 1);
  a->jobs[a->count++] = job;
  return job;
}

void job_aggregates_add(JobAggregates *a, Span attr, Span drv_path, Span error) {
  (void)add_job(a, attr, drv_path, error);
}

static const Span *copy_spans(JobAggregates *a, const Span *spans, size_t count) {
  Span *copy = ARENA_ARRAY(&a->arena, Span, count + 1);
  for (size_t i = 0; i < count; i++) copy[i] = arena_dup(&a->arena, spans[i]);
  return copy;
}

void job_aggregates_add_aggregate(JobAggregates *a, const JobAggregate *from) {
  Job *job = add_job(a, from->attr, from->drv_path, SPAN(""));
  Span attr = job->data.attr, drv_path = job->data.drv_path;
  job->is_aggregate = true;
  job->data = *from;
  job->data.attr = attr;
  job->data.drv_path = drv_path;
  job->data.constituents = copy_spans(a, from->constituents, from->constituent_count);
  job->data.named = copy_spans(a, from->named, from->named_count);
  job->data.outputs = copy_spans(a, from->outputs, 2 * from->output_count);
  job->data.head = arena_dup(&a->arena, from->head);
  job->data.middle = arena_dup(&a->arena, from->middle);
  job->data.tail = arena_dup(&a->arena, from->tail);
}

static int compare_jobs(const void *a, const void *b) {
  return span_cmp((*(Job *const *)a)->data.attr, (*(Job *const *)b)->data.attr);
}

static int compare_name(const void *name, const void *job) {
  return span_cmp(*(const Span *)name, (*(Job *const *)job)->data.attr);
}

// ---- what the names mean

static void add_broken(Job *job, Span name, const char *why) {
  buf_printf(&job->broken, "%.*s: %s\n", SPAN_ARG(name), why);
}

static void add_child(Job *job, Job *child) {
  if (child->error.len) {
    log_msg(LOG_ERROR, "aggregate job '%.*s' references broken job '%.*s': %.*s", SPAN_ARG(job->data.attr),
            SPAN_ARG(child->data.attr), SPAN_ARG(child->error));
    add_broken(job, child->data.attr, child->error.data);
    return;
  }
  MEM_RESERVE(job->children, job->child_cap, job->child_count + 1);
  job->children[job->child_count++] = child;
}

static void resolve_pattern(JobAggregates *a, Job *job, Span pattern) {
  size_t before = job->child_count;
  for (size_t i = 0; i < a->count; i++)
    if (a->jobs[i] != job && fnmatch(pattern.data, a->jobs[i]->data.attr.data, 0) == 0) add_child(job, a->jobs[i]);
  if (job->child_count > before) return;
  log_warn("aggregate job '%.*s' references constituent glob pattern '%.*s' with no matches", SPAN_ARG(job->data.attr),
           SPAN_ARG(pattern));
  add_broken(job, pattern, "constituent glob pattern had no matches");
}

static void resolve_names(JobAggregates *a, Job *job) {
  for (size_t i = 0; i < job->data.named_count; i++) {
    Span name = job->data.named[i];
    Job **found = bsearch(&name, a->jobs, a->count, sizeof *a->jobs, compare_name);
    if (found) {
      add_child(job, *found);
    } else if (job->data.globs) {
      resolve_pattern(a, job, name);
    } else {
      log_msg(LOG_ERROR, "aggregate job '%.*s' references non-existent job '%.*s'", SPAN_ARG(job->data.attr),
              SPAN_ARG(name));
      add_broken(job, name, "does not exist");
    }
  }
  if (!job->child_count) return;
  qsort(job->children, job->child_count, sizeof *job->children, compare_jobs);
  size_t kept = 1;
  for (size_t i = 1; i < job->child_count; i++)
    if (job->children[i] != job->children[kept - 1]) job->children[kept++] = job->children[i];
  job->child_count = kept;
}

// Puts what `root` needs, and then itself, into the order. False: a circle, closed by ret[1], which names ret[0].
static bool visit(JobAggregates *a, Job *root, Job *ret[2]) {
  if (root->visit == VISIT_DONE) return true;
  root->visit = VISIT_OPEN;
  for (Job *job = root; job;) {
    if (job->next_child == job->child_count) {
      job->visit = VISIT_DONE;
      a->order[a->order_count++] = job;
      job = job->parent;
      continue;
    }
    Job *child = job->children[job->next_child++];
    if (!child->is_aggregate || child == job || child->visit == VISIT_DONE) continue;
    if (child->visit == VISIT_OPEN) {
      ret[0] = child;
      ret[1] = job;
      return false;
    }
    child->visit = VISIT_OPEN;
    child->parent = job;
    job = child;
  }
  return true;
}

// ---- new derivations

static bool seal(KnownPaths *known, Span store_dir, Derivation *drv, Arena *arena, Span *ret_path, Err *err) {
  DerivationModuloScratch scratch CLEANUP(derivation_modulo_scratch_done) = DERIVATION_MODULO_SCRATCH_INIT;
  DerivationSealed sealed;
  if (!known_paths_seal(known, store_dir, drv, arena, &scratch, &sealed, err)) return false;
  *ret_path = known_paths_add(known, drv, &sealed)->path;
  return true;
}

// The derivation is an input with its first output, and with no other.
static bool add_input(KnownPaths *known, Derivation *drv, Span path, Arena *arena, Err *err) {
  Derivation child;
  KnownDrv *entry = known_paths_load(known, path, err);
  if (!entry || !known_paths_read(known, entry, arena, &child, err)) return false;
  Span *output = ARENA_ARRAY(arena, Span, 1);
  *output = child.outputs[0].name;
  size_t at = 0;
  while (at < drv->input_drv_count && span_cmp(drv->input_drvs[at].key, path) < 0) at++;
  if (at == drv->input_drv_count || !span_eq(drv->input_drvs[at].key, path)) {
    memmove(drv->input_drvs + at + 1, drv->input_drvs + at, (drv->input_drv_count++ - at) * sizeof *drv->input_drvs);
    drv->input_drvs[at] = (DerivationInput){.key = path};
  }
  drv->input_drvs[at].outputs = output;
  drv->input_drvs[at].output_count = 1;
  return true;
}

static bool rewrite(JobAggregates *a, Job *job, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  KnownPaths *known = store_io_known(a->session->io);
  KnownDrv *entry = known_paths_load(known, job->data.drv_path, err);
  Derivation drv;
  Span path;
  size_t count = job->data.constituent_count;
  Span *constituents = ARENA_ARRAY(&a->arena, Span, count + job->child_count + 1);
  if (!entry || !known_paths_read(known, entry, &arena, &drv, err)) return false;
  DerivationInput *inputs = ARENA_ARRAY(&arena, DerivationInput, drv.input_drv_count + job->child_count + 1);
  for (size_t i = 0; i < drv.input_drv_count; i++) inputs[i] = drv.input_drvs[i];
  drv.input_drvs = inputs;
  for (size_t i = 0; i < count; i++) constituents[i] = job->data.constituents[i];
  for (size_t i = 0; i < job->child_count; i++) {
    constituents[count++] = job->children[i]->data.drv_path;
    if (!add_input(known, &drv, job->children[i]->data.drv_path, &arena, err)) return false;
  }
  job->data.constituents = constituents;
  job->data.constituent_count = count;
  for (size_t i = 0; i < drv.output_count; i++) {
    if (drv.outputs[i].kind != DERIVATION_INPUT_ADDRESSED) return true; // its paths do not depend on its inputs
    drv.outputs[i].kind = DERIVATION_DEFERRED;
    drv.outputs[i].path = SPAN("");
  }
  if (!seal(known, session_store_dir(a->session), &drv, &arena, &path, err)) return false;
  job->data.drv_path = arena_dup(&a->arena, path);
  job->is_rewritten = true;
  Span *outputs = ARENA_ARRAY(&a->arena, Span, 2 * drv.output_count + 1);
  for (size_t i = 0; i < drv.output_count; i++) {
    outputs[2 * i] = arena_dup(&a->arena, drv.outputs[i].name);
    outputs[2 * i + 1] = arena_dup(&a->arena, drv.outputs[i].path);
  }
  job->data.outputs = outputs;
  job->data.output_count = drv.output_count;
  return true;
}

// ---- lines

static bool put_list(JsonWrite *json, const char *key, const Span *spans, size_t count, Err *err) {
  return json_write_key(json, span_cstr(key), err) && json_write_strs(json, spans, count, err);
}

static bool put_pair(JsonWrite *json, Span key, Span value, Err *err) {
  return json_write_key(json, key, err) && json_write_str(json, value, err);
}

// Members of an object, between the members before and behind them.
static void put_members(Buf *line, const Buf *object) {
  buf_put_char(line, ',');
  buf_put_span(line, span_sub(buf_span(object), 1, object->len - 2));
}

static bool put_line(const Job *job, Span error, bool keep_names, Buf *ret, Err *err) {
  const JobAggregate *data = &job->data;
  Buf first CLEANUP(buf_done) = BUF_INIT, second CLEANUP(buf_done) = BUF_INIT;
  JsonWrite json;
  json_write_init(&json, &first, 0);
  json_write_object_begin(&json);
  if (!put_list(&json, "constituents", data->constituents, data->constituent_count, err) ||
      !put_pair(&json, SPAN("drvPath"), data->drv_path, err) ||
      (error.len && !put_pair(&json, SPAN("error"), error, err)) ||
      (keep_names && !put_list(&json, "namedConstituents", data->named, data->named_count, err)))
    return false;
  json_write_object_end(&json);
  json_write_init(&json, &second, 0);
  json_write_object_begin(&json);
  if (!json_write_key(&json, SPAN("outputs"), err)) return false;
  json_write_object_begin(&json);
  for (size_t i = 0; i < data->output_count; i++)
    if (!put_pair(&json, data->outputs[2 * i], data->outputs[2 * i + 1], err)) return false;
  json_write_object_end(&json);
  json_write_object_end(&json);
  buf_put_span(ret, data->head);
  put_members(ret, &first);
  buf_put_span(ret, data->middle);
  put_members(ret, &second);
  buf_put_span(ret, data->tail);
  buf_put_char(ret, '\n');
  return true;
}

static bool put_circle(const JobAggregates *a, Job *const ends[2], Buf *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Span first = ends[0]->data.attr, second = ends[1]->data.attr;
  log_msg(LOG_ERROR, "Found dependency cycle between jobs '%.*s' and '%.*s'", SPAN_ARG(first), SPAN_ARG(second));
  buf_printf(&text, "Dependency cycle: %.*s <-> %.*s", SPAN_ARG(first), SPAN_ARG(second));
  if (!put_line(ends[0], buf_span(&text), true, ret, err) || !put_line(ends[1], buf_span(&text), true, ret, err))
    return false;
  for (size_t i = 0; i < a->count; i++) {
    const Job *job = a->jobs[i];
    if (job->is_aggregate && job != ends[0] && job != ends[1] &&
        !put_line(job, SPAN("Skipping aggregate because of a dependency cycle"), true, ret, err))
      return false;
  }
  return true;
}

bool job_aggregates_finish(JobAggregates *a, Buf *ret_lines, Err *err) {
  Job *circle[2];
  if (a->count) qsort(a->jobs, a->count, sizeof *a->jobs, compare_jobs);
  a->order = mem_alloc_array(a->count + 1, sizeof *a->order);
  for (size_t i = 0; i < a->count; i++)
    if (a->jobs[i]->is_aggregate) resolve_names(a, a->jobs[i]);
  for (size_t i = 0; i < a->count; i++)
    if (a->jobs[i]->is_aggregate && !visit(a, a->jobs[i], circle)) return put_circle(a, circle, ret_lines, err);
  for (size_t i = 0; i < a->order_count; i++) {
    Job *job = a->order[i];
    if (!job->broken.len && !rewrite(a, job, err)) return false;
    if (!put_line(job, buf_span(&job->broken), false, ret_lines, err)) return false;
  }
  return true;
}

size_t job_aggregates_count(const JobAggregates *a) {
  return a->order_count;
}

Span job_aggregates_drv_path(const JobAggregates *a, size_t i) {
  return a->order[i]->is_rewritten ? a->order[i]->data.drv_path : SPAN("");
}
