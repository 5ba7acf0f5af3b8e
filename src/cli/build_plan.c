// build_plan.c: see build_plan.h.
#include "cli/build_plan.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/store_realisation.h"

void build_plan_done(BuildPlan *plan) {
  mem_free(plan->drvs);
  *plan = (BuildPlan){0};
}

// Depth first with an explicit stack: graphs are deep.
typedef struct Frame {
  const Derivation *drv;
  Span path;
  size_t next; // input
} Frame;

// Of a content-addressed derivation: is there a realisation, and is it valid?
static bool is_realised(Session *session, KnownDrv *entry, Span output, bool *ret, Err *err) {
  Store *store;
  StorePath path;
  if (!known_paths_fill_modulo(store_io_known(session->io), entry->path, err) || !session_store(session, &store, err) ||
      !store_realisation_find(store, entry->modulo.sha256, output, &path, ret, err))
    return false;
  return !*ret || store_is_valid(store, &path, ret, err);
}

static bool is_needed(Session *session, KnownDrv *entry, const Derivation *drv, const Span *outputs, size_t count,
                      bool *ret, Err *err) {
  *ret = false;
  for (size_t i = 0; i < count && !*ret; i++) {
    const DerivationOutput *output = derivation_find_output(drv, outputs[i]);
    bool valid = false;
    if (output && output->path.len && !store_io_is_valid(session->io, output->path, &valid, err)) return false;
    if (output && !output->path.len && output->kind != DERIVATION_IMPURE &&
        !is_realised(session, entry, outputs[i], &valid, err))
      return false;
    *ret = !valid;
  }
  return true;
}

static bool enter(Session *session, Span path, const Span *outputs, size_t count, Map *seen, Frame **stack,
                  size_t *depth, size_t *cap, Err *err) {
  if (map_has(seen, path)) return true;
  KnownPaths *known = store_io_known(session->io);
  KnownDrv *entry = known_paths_load(known, path, err);
  const Derivation *drv = entry ? known_paths_parse(known, entry, err) : NULL;
  bool needed;
  if (!drv || !is_needed(session, entry, drv, outputs, count, &needed, err)) return false;
  if (!needed) return true;
  map_set(seen, path, NULL);
  MEM_RESERVE(*stack, *cap, *depth + 1);
  (*stack)[(*depth)++] = (Frame){drv, entry->path, 0};
  return true;
}

bool build_plan_add(Session *session, BuildPlan *plan, Map *seen, const StorePath *drv, Span output, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  Frame *stack = NULL;
  size_t depth = 0, cap = 0;
  store_path_format(drv, session_store_dir(session), &path);
  bool ok = enter(session, buf_span(&path), &output, 1, seen, &stack, &depth, &cap, err);
  while (ok && depth) {
    Frame *top = &stack[depth - 1];
    if (top->next < top->drv->input_drv_count) {
      const DerivationInput *input = &top->drv->input_drvs[top->next++];
      ok = enter(session, input->key, input->outputs, input->output_count, seen, &stack, &depth, &cap, err);
      continue;
    }
    MEM_RESERVE(plan->drvs, plan->cap, plan->count + 1);
    plan->drvs[plan->count++] = top->path;
    depth--;
  }
  mem_free(stack);
  return ok;
}

void build_plan_print(Session *session, const BuildPlan *plan) {
  if (!plan->count) return;
  if (plan->count == 1) log_msg(LOG_INFO, "this derivation will be built:");
  else log_msg(LOG_INFO, "these %zu derivations will be built:", plan->count);
  for (size_t i = 0; i < plan->count; i++) log_msg(LOG_INFO, "  %.*s", SPAN_ARG(plan->drvs[i]));
}
