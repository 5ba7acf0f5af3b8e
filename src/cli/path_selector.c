// path_selector.c: see path_selector.h. Behaviour: Nix 2.26, installables.cc and command.cc.
#include "cli/path_selector.h"

#include "base/mem.h"
#include "cli/build_plan.h"
#include "cli/command.h"
#include "cli/installable.h"
#include "cli/store_command.h"
#include "realise/drv_hashes.h"
#include "store/store_realisation.h"

// ---- which operands

typedef struct Operands {
  const char *const *items; // borrowed
  size_t count;
} Operands;

static bool read_operands(Session *session, Operands *ret, Err *err) {
  OptionList *list = &session->options;
  if (option_has(list, OPT_paths_stdin) && !option_add_stdin(list, false, err)) return false;
  *ret = (Operands){list->operands, list->operand_count};
  return true;
}

// ---- what they mean

static bool evaluates(const Session *session) {
  return option_get(&session->options, OPT_file) || option_get(&session->options, OPT_expr);
}

static bool add_path(Session *session, const char *operand, BuildTargetList *ret, Err *err) {
  BuildTarget target = {.is_drv = false};
  bool is_path;
  if (strchr(operand, '^')) {
    if (!build_command_add_path(session, ret, operand, &is_path, err)) return false;
    return is_path || err_set(err, ERR_USAGE, "'%s' is not a store path", operand);
  }
  if (!store_command_path(session, operand, &target.path, err)) return false;
  return build_command_list_add(ret, &target), true;
}

// Attributes with -f and -E, else paths. False: the error has been printed.
static bool find_targets(Session *session, const Operands *operands, BuildTargetList *ret, int *ret_code) {
  Err err = ERR_INIT;
  if (evaluates(session)) {
    InstallableQuery query = {.operands = operands->items, .count = operands->count};
    return installable_find(session, &query, ret, ret_code);
  }
  bool ok = operands->count > 0 || err_set(&err, ERR_USAGE, "'%s' needs a path", command_full_name(session->command));
  for (size_t i = 0; ok && i < operands->count; i++) ok = add_path(session, operands->items[i], ret, &err);
  if (!ok) *ret_code = session_fail(session, &err);
  return ok;
}

// Of a content-addressed derivation: where its output is known to be.
static bool realised_path(Session *session, const Derivation *drv, const DerivationOutput *output, StorePath *ret,
                          bool *ret_found, Err *err) {
  Store *store;
  uint8_t hash[32];
  if (!session_store(session, &store, err)) return false;
  DrvHashes *hashes = drv_hashes_new(store);
  bool ok = drv_hashes_get(hashes, drv, hash, err) &&
            store_realisation_find(store, hash, output->name, ret, ret_found, err) &&
            (!*ret_found || store_is_valid(store, ret, ret_found, err));
  drv_hashes_free(hashes);
  return ok;
}

static bool output_path(Session *session, const BuildTarget *target, StorePath *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  const Derivation *drv = session_derivation(session, &target->path, err);
  if (!drv) return false;
  const DerivationOutput *output = derivation_find_output(drv, target->output);
  if (output && output->path.len) return store_path_parse(output->path, session_store_dir(session), ret, err);
  bool found = false;
  if (output && output->kind != DERIVATION_IMPURE && !realised_path(session, drv, output, ret, &found, err))
    return false;
  if (found) return true;
  store_path_format(&target->path, session_store_dir(session), &text);
  return err_set(err, ERR_NOT_FOUND, "cannot operate on an output of the unbuilt derivation '%s'", buf_cstr(&text));
}

static bool say_what_is_missing(Session *session, const BuildTargetList *targets, Err *err) {
  BuildPlan plan CLEANUP(build_plan_done) = {0};
  for (size_t i = 0; i < targets->count; i++)
    if (targets->items[i].is_drv &&
        !build_plan_add(session, &plan, &targets->items[i].path, targets->items[i].output, err))
      return false;
  build_plan_print(session, LOG_NOTICE, &plan);
  return true;
}

// Fills in out_path of all. False: the error has been printed.
static bool find_outputs(Session *session, BuildTargetList *targets, unsigned flags, int *ret_code) {
  Err err = ERR_INIT;
  bool any = false, ok = true;
  for (size_t i = 0; i < targets->count; i++) {
    targets->items[i].out_path = targets->items[i].path;
    any = any || targets->items[i].is_drv;
  }
  if (!any) return true;
  session_io(session);
  if (flags & PATH_SELECTOR_BUILD) {
    BuildTargetList drvs CLEANUP(build_command_list_done) = {0};
    for (size_t i = 0; i < targets->count; i++)
      if (targets->items[i].is_drv) build_command_list_add(&drvs, &targets->items[i]);
    if ((*ret_code = build_command_build(session, &drvs, SCHEDULER_NORMAL, false))) return false;
    for (size_t i = 0, at = 0; i < targets->count; i++)
      if (targets->items[i].is_drv) targets->items[i].out_path = drvs.items[at++].out_path;
    return true;
  }
  ok = store_io_flush(session->io, &err) && say_what_is_missing(session, targets, &err);
  size_t kept = 0;
  for (size_t i = 0; ok && i < targets->count; i++) {
    BuildTarget *target = &targets->items[i];
    if (target->is_drv) ok = output_path(session, target, &target->out_path, &err);
    bool leaves_out = !ok && flags & PATH_SELECTOR_KNOWN && err.kind == ERR_NOT_FOUND;
    if (leaves_out) err_done(&err);
    else targets->items[kept++] = *target;
    ok = ok || leaves_out;
  }
  targets->count = kept;
  if (!ok) *ret_code = session_fail(session, &err);
  return ok;
}

// The derivation that makes a path; a valid one, else the one that is recorded.
static bool deriver(Session *session, const StorePath *path, StorePath *ret, Err *err) {
  Store *store;
  StorePathList found = STORE_PATH_LIST_INIT;
  if (store_path_is_derivation(path)) return *ret = *path, true;
  bool valid = false;
  bool ok = session_store(session, &store, err) && store_is_valid(store, path, &valid, err) &&
            (!valid || store_derivers(store, path, &found, err));
  if (ok && found.count) *ret = found.paths[0];
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, session_store_dir(session), &text);
  if (ok && !found.count) ok = err_set(err, ERR_NOT_FOUND, "'%s' does not have a known deriver", buf_cstr(&text));
  store_path_list_done(&found);
  return ok;
}

static bool find_drvs(Session *session, const BuildTargetList *targets, StorePathList *ret, int *ret_code) {
  Err err = ERR_INIT;
  bool ok = !session->io || store_io_flush(session->io, &err);
  for (size_t i = 0; ok && i < targets->count; i++) {
    StorePath path;
    ok = deriver(session, &targets->items[i].path, &path, &err);
    if (ok) store_path_list_add(ret, &path);
  }
  if (!ok) *ret_code = session_fail(session, &err);
  return ok;
}

static bool find_paths(Session *session, const Operands *operands, unsigned flags, StorePathList *ret, int *ret_code) {
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  if (!find_targets(session, operands, &targets, ret_code)) return false;
  if (option_has(&session->options, OPT_paths_derivation)) return find_drvs(session, &targets, ret, ret_code);
  if (!find_outputs(session, &targets, flags, ret_code)) return false;
  for (size_t i = 0; i < targets.count; i++) store_path_list_add(ret, &targets.items[i].out_path);
  return true;
}

bool path_selector_find(Session *session, StoreView *view, unsigned flags, StorePathList *ret, int *ret_code) {
  Err err = ERR_INIT;
  Operands operands;
  const OptionList *list = &session->options;
  bool all = option_has(list, OPT_paths_all), ok = read_operands(session, &operands, &err);
  if (ok && all && operands.count) ok = err_set(&err, ERR_USAGE, "'--all' does not expect arguments");
  if (ok && all) ok = store_view_all(view, ret, &err);
  else if (ok && !find_paths(session, &operands, flags, ret, ret_code)) return false;
  if (ok && (flags & PATH_SELECTOR_RECURSIVE || option_has(list, OPT_paths_recursive))) {
    StorePathList closure = STORE_PATH_LIST_INIT;
    store_path_list_sort(ret);
    ok = store_view_closure(view, ret->paths, ret->count, &closure, &err);
    store_path_list_done(ret);
    *ret = closure;
  } else if (ok && !(flags & PATH_SELECTOR_UNSORTED)) {
    ok = store_view_sort(view, ret, &err);
  }
  if (!ok) *ret_code = session_fail(session, &err);
  return ok;
}

bool path_selector_targets(Session *session, unsigned flags, BuildTargetList *ret, int *ret_code) {
  Err err = ERR_INIT;
  Operands operands;
  if (!read_operands(session, &operands, &err)) return *ret_code = session_fail(session, &err), false;
  return find_targets(session, &operands, ret, ret_code) && find_outputs(session, ret, flags, ret_code);
}

bool path_selector_one(Session *session, StoreView *view, const char *operand, unsigned flags, StorePath *ret,
                       int *ret_code) {
  Err err = ERR_INIT;
  StorePathList found = STORE_PATH_LIST_INIT;
  bool ok = find_paths(session, &(Operands){&operand, 1}, flags, &found, ret_code);
  store_path_list_sort(&found);
  if (ok && found.count == 1) *ret = found.paths[0];
  if (ok && !found.count && flags & PATH_SELECTOR_KNOWN) *ret = (StorePath){.name_len = 0};
  else if (ok && found.count != 1) {
    ok = err_set(&err, ERR_OTHER, "argument '%s' should evaluate to one store path", operand);
    *ret_code = session_fail(session, &err);
  }
  store_path_list_done(&found);
  return ok;
}

bool path_selector_drvs(Session *session, StorePathList *ret, int *ret_code) {
  Err err = ERR_INIT;
  Operands operands;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  if (!read_operands(session, &operands, &err)) return *ret_code = session_fail(session, &err), false;
  if (!find_targets(session, &operands, &targets, ret_code) || !find_drvs(session, &targets, ret, ret_code))
    return false;
  store_path_list_sort(ret);
  return true;
}
