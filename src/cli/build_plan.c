// build_plan.c: see build_plan.h.
#include "cli/build_plan.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/substitution.h"
#include "realise/drv_options.h"
#include "store/store_realisation.h"

void build_plan_done(BuildPlan *plan) {
  mem_free(plan->drvs);
  store_path_list_done(&plan->fetches);
  store_path_list_done(&plan->unknown);
  map_done(&plan->seen_drvs);
  map_done(&plan->seen_paths);
  *plan = (BuildPlan){0};
}

// Depth first with an explicit stack: graphs are deep.
typedef struct Frame {
  const Derivation *drv;
  Span path;
  size_t next; // input
} Frame;

// Realisations are filed under the hash in which the derivation's own outputs are masked. Its inputs' are known by now.
static bool hash_masked(KnownPaths *known, KnownDrv *entry, DerivationModulo *ret, Err *err) {
  const Derivation *drv = known_paths_parse(known, entry, err);
  if (!drv) return false;
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  DerivationModuloMemo memo = known_paths_memo(known);
  bool ok = derivation_modulo_hash(drv, true, &memo, &scratch, ret, NULL, err);
  derivation_modulo_scratch_done(&scratch);
  return ok;
}

// Of a content-addressed derivation: is there a realisation, and is it valid?
static bool is_realised(Session *session, KnownDrv *entry, Span output, bool *ret, Err *err) {
  KnownPaths *known = store_io_known(session->io);
  DerivationModulo masked;
  Store *store;
  StorePath path;
  if (!known_paths_fill_modulo(known, entry->path, err) || !hash_masked(known, entry, &masked, err) ||
      !session_store(session, &store, err) || !store_realisation_find(store, masked.sha256, output, &path, ret, err))
    return false;
  return !*ret || store_is_valid(store, &path, ret, err);
}

// The path of an output that is missing goes to *ret_missing; *ret_known false when it is not known.
static bool find_missing(Session *session, KnownDrv *entry, const DerivationOutput *output, bool *ret_is_missing,
                         bool *ret_known, StorePath *ret_path, Err *err) {
  bool valid = false;
  *ret_known = output->path.len > 0;
  if (*ret_known) {
    if (!store_path_parse(output->path, session_store_dir(session), ret_path, err) ||
        !store_io_is_valid(session->io, output->path, &valid, err))
      return false;
  } else if (output->kind != DERIVATION_IMPURE && !is_realised(session, entry, output->name, &valid, err)) {
    return false;
  }
  *ret_is_missing = !valid;
  return true;
}

// --- fetching

static bool mark(Map *seen, const StorePath *path) {
  Span key = span_make((const char *)path->digest, sizeof path->digest);
  if (map_has(seen, key)) return false;
  map_set(seen, key, NULL);
  return true;
}

// A path that caches have, and what it refers to. The list is its own queue.
static bool add_fetches(Session *session, BuildPlan *plan, Substituters *substituters, const StorePath *path,
                        Err *err) {
  size_t at = plan->fetches.count;
  store_path_list_add(&plan->fetches, path);
  while (at < plan->fetches.count) {
    SubstitutersInfo info;
    if (!substituters_query(substituters, &plan->fetches.paths[at++], &info, err)) return false;
    plan->download_bytes += info.download_bytes;
    plan->nar_bytes += info.nar_bytes;
    substituters_prefetch(substituters, info.refs, info.ref_count);
    for (size_t i = 0; i < info.ref_count; i++) {
      SubstitutersInfo ref;
      bool valid;
      if (!store_is_valid(session->store, &info.refs[i], &valid, err)) return false;
      if (valid || !mark(&plan->seen_paths, &info.refs[i])) continue;
      if (!substituters_query(substituters, &info.refs[i], &ref, err)) return false;
      store_path_list_add(ref.found ? &plan->fetches : &plan->unknown, &info.refs[i]);
    }
  }
  return true;
}

bool build_plan_add_path(Session *session, BuildPlan *plan, const StorePath *path, Err *err) {
  Store *store;
  Substituters *substituters;
  SubstitutersInfo info = {0};
  bool valid;
  if (!session_store(session, &store, err) || !store_is_valid(store, path, &valid, err)) return false;
  if (valid || !mark(&plan->seen_paths, path)) return true;
  if (!substitution_open(session, &substituters, err) ||
      (substituters && !substituters_query(substituters, path, &info, err)))
    return false;
  if (info.found) return add_fetches(session, plan, substituters, path, err);
  store_path_list_add(&plan->unknown, path);
  return true;
}

// Can all of these be fetched? Then they are added.
static bool try_fetch(Session *session, BuildPlan *plan, const Derivation *drv, Span drv_path, const StorePath *paths,
                      size_t count, bool *ret, Err *err) {
  Substituters *substituters;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  DrvOptions options;
  *ret = false;
  if (!substitution_open(session, &substituters, err) || !substituters) return !err_is_set(err);
  if (!drv_options_read(drv, drv_path, &arena, &options, err)) return false;
  if (!options.allow_substitutes) return true;
  substituters_prefetch(substituters, paths, count);
  for (size_t i = 0; i < count; i++) {
    SubstitutersInfo info;
    if (!substituters_query(substituters, &paths[i], &info, err)) return false;
    if (!info.found) return true;
  }
  *ret = true;
  for (size_t i = 0; i < count; i++)
    if (mark(&plan->seen_paths, &paths[i]) && !add_fetches(session, plan, substituters, &paths[i], err)) return false;
  return true;
}

// --- building

// Does it have to be built, and not only fetched?
static bool is_needed(Session *session, BuildPlan *plan, KnownDrv *entry, const Derivation *drv, const Span *outputs,
                      size_t count, bool *ret, Err *err) {
  StorePath *missing = mem_alloc_array(count, sizeof *missing);
  size_t missing_count = 0;
  bool ok = true, unknown = false, fetched = false;
  for (size_t i = 0; ok && i < count; i++) {
    const DerivationOutput *output = derivation_find_output(drv, outputs[i]);
    bool is_missing = false, known = true;
    ok = !output || find_missing(session, entry, output, &is_missing, &known, &missing[missing_count], err);
    missing_count += ok && is_missing && known;
    unknown |= is_missing && !known;
  }
  *ret = unknown || missing_count;
  if (ok && missing_count && !unknown)
    ok = try_fetch(session, plan, drv, entry->path, missing, missing_count, &fetched, err);
  *ret &= !fetched;
  mem_free(missing);
  return ok;
}

typedef struct Walk {
  Session *session;
  BuildPlan *plan;
  Frame *frames;
  size_t depth, cap;
} Walk;

static bool load(Session *session, Span path, KnownDrv **ret_entry, const Derivation **ret, Err *err) {
  KnownPaths *known = store_io_known(session->io);
  *ret_entry = known_paths_load(known, path, err);
  *ret = *ret_entry ? known_paths_parse(known, *ret_entry, err) : NULL;
  return *ret != NULL;
}

// The caches are asked for everything that the inputs make, side by side.
static bool ask_ahead(Session *session, const Derivation *drv, Err *err) {
  Substituters *substituters;
  if (!substitution_open(session, &substituters, err)) return false;
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; substituters && ok && i < drv->input_drv_count; i++) {
    const DerivationInput *input = &drv->input_drvs[i];
    KnownDrv *entry;
    const Derivation *value;
    ok = load(session, input->key, &entry, &value, err);
    for (size_t j = 0; ok && j < input->output_count; j++) {
      const DerivationOutput *output = derivation_find_output(value, input->outputs[j]);
      StorePath path;
      if (output && output->path.len && store_path_parse(output->path, session_store_dir(session), &path, NULL))
        store_path_list_add(&paths, &path);
    }
  }
  if (paths.count) substituters_prefetch(substituters, paths.paths, paths.count);
  store_path_list_done(&paths);
  return ok;
}

static bool enter(Walk *walk, Span path, const Span *outputs, size_t count, Err *err) {
  KnownDrv *entry;
  const Derivation *drv;
  bool needed;
  if (map_has(&walk->plan->seen_drvs, path)) return true;
  if (!load(walk->session, path, &entry, &drv, err) ||
      !is_needed(walk->session, walk->plan, entry, drv, outputs, count, &needed, err))
    return false;
  if (!needed) return true;
  map_set(&walk->plan->seen_drvs, path, NULL);
  MEM_RESERVE(walk->frames, walk->cap, walk->depth + 1);
  walk->frames[walk->depth++] = (Frame){drv, entry->path, 0};
  return ask_ahead(walk->session, drv, err);
}

bool build_plan_add(Session *session, BuildPlan *plan, const StorePath *drv, Span output, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  Walk walk = {.session = session, .plan = plan};
  store_path_format(drv, session_store_dir(session), &path);
  bool ok = enter(&walk, buf_span(&path), &output, 1, err);
  while (ok && walk.depth) {
    Frame *top = &walk.frames[walk.depth - 1];
    if (top->next < top->drv->input_drv_count) {
      const DerivationInput *input = &top->drv->input_drvs[top->next++];
      ok = enter(&walk, input->key, input->outputs, input->output_count, err);
      continue;
    }
    MEM_RESERVE(plan->drvs, plan->cap, plan->count + 1);
    plan->drvs[plan->count++] = top->path;
    walk.depth--;
  }
  mem_free(walk.frames);
  return ok;
}

// --- printing

static int by_name(const void *a, const void *b) {
  const StorePath *left = a, *right = b;
  int order = span_cmp(store_path_name(left), store_path_name(right));
  return order ? order : store_path_cmp(left, right);
}

static void print_paths(Session *session, LogLevel level, const StorePathList *list) {
  for (size_t i = 0; i < list->count; i++) {
    Buf path CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&list->paths[i], session_store_dir(session), &path);
    log_msg(level, "  %s", buf_cstr(&path));
  }
}

static void print_fetches(Session *session, LogLevel level, BuildPlan *plan) {
  const double mib = 1 << 20;
  double download = (double)plan->download_bytes / mib, unpacked = (double)plan->nar_bytes / mib;
  size_t count = plan->fetches.count;
  if (!count) return;
  qsort(plan->fetches.paths, count, sizeof *plan->fetches.paths, by_name);
  if (count == 1)
    log_msg(level, "this path will be fetched (%.2f MiB download, %.2f MiB unpacked):", download, unpacked);
  else
    log_msg(level, "these %zu paths will be fetched (%.2f MiB download, %.2f MiB unpacked):", count, download,
            unpacked);
  print_paths(session, level, &plan->fetches);
}

static void print_builds(LogLevel level, const BuildPlan *plan) {
  if (!plan->count) return;
  if (plan->count == 1) log_msg(level, "this derivation will be built:");
  else log_msg(level, "these %zu derivations will be built:", plan->count);
  for (size_t i = 0; i < plan->count; i++) log_msg(level, "  %.*s", SPAN_ARG(plan->drvs[i]));
}

void build_plan_print(Session *session, LogLevel level, BuildPlan *plan) {
  print_builds(level, plan);
  print_fetches(session, level, plan);
  if (plan->unknown.count) log_msg(level, "don't know how to build these paths:");
  print_paths(session, level, &plan->unknown);
}
