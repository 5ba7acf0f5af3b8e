// explanation.c: see explanation.h.
#include "cli/explanation.h"

#include <stdlib.h>

#include "base/mem.h"
#include "formats/derivation_parse.h"
#include "realise/build_history.h"
#include "realise/drv_load.h"

void explanation_done(Explanation *explanation) {
  for (size_t i = 0; i < explanation->count; i++) mem_free(explanation->nodes[i].causes);
  mem_free(explanation->nodes);
  mem_free(explanation->roots);
  map_done(&explanation->by_path);
}

// ---- former derivations

static Span name_of_path(Span path) {
  size_t slash = span_rfind_char(path, '/');
  Span name = span_from(path, (slash == SIZE_MAX ? 0 : slash + 1) + STORE_PATH_HASH_CHARS + 1);
  if (span_has_suffix(name, SPAN(".drv"))) name.len -= 4;
  return name;
}

static const Derivation *parse(Session *session, Span text, Span name) {
  Err ignored = ERR_INIT;
  Derivation *drv = ARENA_NEW(&session->arena, Derivation);
  if (derivation_parse(text, name, session_store_dir(session), &session->arena, drv, &ignored)) return drv;
  err_done(&ignored);
  return NULL;
}

// How much two derivations have in common: a package may be built several times in one closure, with other inputs.
static size_t likeness(const Derivation *a, const Derivation *b) {
  size_t score = span_eq(a->name, b->name) ? 8 : 0;
  score += span_eq(a->platform, b->platform) ? 4 : 0;
  score += derivation_diff_same_but_hashes(a->builder, b->builder) ? 2 : 0;
  for (size_t i = 0; i < a->env_count; i++) {
    const DerivationEnv *other = derivation_find_env((Derivation *)(uintptr_t)b, a->env[i].name);
    if (other) score += span_eq(a->env[i].value, other->value) ? 3 : 1;
  }
  return score;
}

// The record of the last build: of this derivation itself, else the one most like it, newer ones first.
static bool find_former(Session *session, Store *store, ExplanationNode *node) {
  BuildHistoryRecord *records;
  Span base = span_from(node->path, session_store_dir(session).len + 1);
  size_t count = build_history_find(store_state_dir(store), node->drv->name, &session->arena, &records), best = 0;
  for (size_t i = 0; i < count; i++) {
    if (span_eq(records[i].drv_base, base)) {
      node->reason = EXPLANATION_GONE;
      return true;
    }
    const Derivation *drv = parse(session, records[i].text, name_of_path(records[i].drv_base));
    size_t score = drv ? 1 + likeness(drv, node->drv) : 0;
    if (score <= best) continue;
    best = score;
    node->before = drv;
    node->before_path = span_cstr(arena_printf(&session->arena, "%.*s/%.*s", SPAN_ARG(session_store_dir(session)),
                                               SPAN_ARG(records[i].drv_base)));
  }
  return best > 0;
}

// The derivation with this path, if it is remembered or still in the store.
static const Derivation *find_derivation(Session *session, Store *store, Span path) {
  BuildHistoryRecord *records;
  StorePath parsed;
  Err ignored = ERR_INIT;
  Span base = span_from(path, session_store_dir(session).len + 1);
  size_t count = build_history_find(store_state_dir(store), name_of_path(path), &session->arena, &records);
  for (size_t i = 0; i < count; i++)
    if (span_eq(records[i].drv_base, base)) return parse(session, records[i].text, name_of_path(path));
  Derivation *drv = ARENA_NEW(&session->arena, Derivation);
  if (store_path_parse(path, session_store_dir(session), &parsed, &ignored) &&
      drv_load_from_store(store, &parsed, &session->arena, drv, &ignored))
    return drv;
  err_done(&ignored);
  return NULL;
}

// ---- nodes

static size_t node_of(const Explanation *explanation, Span path) {
  size_t number = (size_t)(uintptr_t)map_get(&explanation->by_path, path);
  return number ? number - 1 : SIZE_MAX;
}

static bool add_node(Session *session, Explanation *explanation, Span path, bool is_wanted, size_t *ret, Err *err) {
  *ret = node_of(explanation, path);
  if (*ret != SIZE_MAX) return true;
  KnownPaths *known = store_io_known(session->io);
  KnownDrv *entry = known_paths_load(known, path, err);
  const Derivation *drv = entry ? known_paths_parse(known, entry, err) : NULL;
  if (!drv) return false;
  MEM_RESERVE(explanation->nodes, explanation->cap, explanation->count + 1);
  *ret = explanation->count++;
  explanation->nodes[*ret] =
      (ExplanationNode){.path = entry->path, .drv = drv, .before_path = SPAN(""), .is_wanted = is_wanted};
  map_set(&explanation->by_path, path, (void *)(uintptr_t)(*ret + 1));
  return true;
}

static void add_cause(Explanation *explanation, size_t node, size_t cause, size_t *cap) {
  ExplanationNode *at = &explanation->nodes[node];
  for (size_t i = 0; i < at->cause_count; i++)
    if (at->causes[i] == cause) return;
  MEM_RESERVE(at->causes, *cap, at->cause_count + 1);
  at->causes[at->cause_count++] = cause;
}

static bool has_own_change(const ExplanationNode *node) {
  for (size_t i = 0; i < node->change_count; i++) {
    const DerivationChange *change = &node->changes[i];
    bool follows = change->kind == DERIVATION_CHANGE_INPUT ? change->had && change->has : change->derived;
    if (!follows) return true;
  }
  return false;
}

static int cmp_numbers(const void *a, const void *b) {
  size_t x = *(const size_t *)a, y = *(const size_t *)b;
  return (x > y) - (x < y);
}

// Nodes for what it depends on, as far as that matters: changed inputs, and inputs that are to be built.
static bool link_inputs(Session *session, Explanation *explanation, size_t at, Err *err) {
  size_t cap = 0, cause;
  const Derivation *drv = explanation->nodes[at].drv;
  for (size_t i = 0; i < drv->input_drv_count; i++) {
    cause = node_of(explanation, drv->input_drvs[i].key);
    if (cause != SIZE_MAX && explanation->nodes[cause].is_wanted) add_cause(explanation, at, cause, &cap);
  }
  for (size_t i = 0; i < explanation->nodes[at].change_count; i++) {
    DerivationChange change = explanation->nodes[at].changes[i];
    if (change.kind != DERIVATION_CHANGE_INPUT || !change.had || !change.has) continue;
    if (!add_node(session, explanation, change.after, false, &cause, err)) return false;
    ExplanationNode *input = &explanation->nodes[cause];
    // What it is compared with is what its user had before.
    if (!input->before_path.len) input->before_path = change.before;
    add_cause(explanation, at, cause, &cap);
  }
  // In the order in which they are built.
  ExplanationNode *node = &explanation->nodes[at];
  if (node->cause_count) qsort(node->causes, node->cause_count, sizeof(size_t), cmp_numbers);
  return true;
}

static bool examine(Session *session, Store *store, Explanation *explanation, size_t at, Err *err) {
  ExplanationNode *node = &explanation->nodes[at];
  node->reason = EXPLANATION_NEW;
  node->mean_ms = build_history_mean_ms(store_state_dir(store), node->drv->name);
  bool found = node->is_wanted && find_former(session, store, node);
  if (!found && node->before_path.len) {
    node->before = find_derivation(session, store, node->before_path);
    found = node->before != NULL;
  }
  if (node->before && node->reason != EXPLANATION_GONE) {
    derivation_diff_find(node->before, node->drv, &session->arena, &node->changes, &node->change_count);
    node->reason = has_own_change(node) ? EXPLANATION_CHANGED : EXPLANATION_INPUTS;
  }
  return link_inputs(session, explanation, at, err);
}

// ---- root causes

// What `from` is a cause of. Nodes are nearly in topological order, so that one round or two through all of them do.
static void mark(const Explanation *explanation, size_t from, unsigned char *reached) {
  memset(reached, 0, explanation->count);
  reached[from] = 1;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < explanation->count; i++) {
      const ExplanationNode *node = &explanation->nodes[i];
      for (size_t j = 0; !reached[i] && j < node->cause_count; j++)
        if (reached[node->causes[j]]) reached[i] = changed = true;
    }
  }
}

static int cmp_roots(const void *a, const void *b, void *ctx) {
  const Explanation *explanation = ctx;
  const ExplanationNode *x = &explanation->nodes[*(const size_t *)a], *y = &explanation->nodes[*(const size_t *)b];
  if (x->rebuilds != y->rebuilds) return x->rebuilds < y->rebuilds ? 1 : -1;
  return (*(const size_t *)a > *(const size_t *)b) - (*(const size_t *)a < *(const size_t *)b);
}

static void find_roots(Explanation *explanation) {
  unsigned char *reached = mem_alloc(explanation->count + 1);
  explanation->roots = mem_alloc_array(explanation->count + 1, sizeof(size_t));
  for (size_t i = 0; i < explanation->count; i++) {
    ExplanationNode *node = &explanation->nodes[i];
    // Of what is there already, only what has changed is a cause.
    bool is_root = node->is_wanted ? node->reason != EXPLANATION_INPUTS
                                   : node->reason == EXPLANATION_CHANGED || node->cause_count == 0;
    if (!is_root) continue;
    mark(explanation, i, reached);
    for (size_t j = 0; j < explanation->count; j++) node->rebuilds += reached[j] && explanation->nodes[j].is_wanted;
    explanation->roots[explanation->root_count++] = i;
  }
  qsort_r(explanation->roots, explanation->root_count, sizeof(size_t), cmp_roots, explanation);
  mem_free(reached);
}

bool explanation_make(Session *session, const BuildPlan *plan, Explanation *ret, Err *err) {
  Store *store;
  size_t at;
  *ret = (Explanation){.nodes = NULL};
  if (!session_store(session, &store, err)) return false;
  for (size_t i = 0; i < plan->count; i++)
    if (!add_node(session, ret, plan->drvs[i], true, &at, err)) return false;
  // The list grows while inputs are compared. From the last to the first: users know what their inputs were before.
  for (size_t i = plan->count; i-- > 0;)
    if (!examine(session, store, ret, i, err)) return false;
  for (size_t i = plan->count; i < ret->count; i++)
    if (!examine(session, store, ret, i, err)) return false;
  find_roots(ret);
  return true;
}
