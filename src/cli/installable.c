// installable.c: see installable.h.
#include "cli/installable.h"

#include "base/mem.h"
#include "cli/eval_cache.h"
#include "cli/package.h"

bool installable_root(Session *session, const char *default_file, TargetRoot *ret, Err *err) {
  const char *file = option_get(&session->options, OPT_file), *expr = option_get(&session->options, OPT_expr);
  if (expr) *ret = (TargetRoot){TARGET_EXPR, expr};
  else if (file) *ret = (TargetRoot){strcmp(file, "-") == 0 ? TARGET_STDIN : TARGET_FILE, file};
  else if (default_file) *ret = (TargetRoot){TARGET_FILE, default_file};
  else
    return err_set(err, ERR_USAGE, "flakes are not supported: please use '--file' or '--expr'%s%s",
                   session->options.operand_count ? ", not " : "",
                   session->options.operand_count ? session->options.operands[0] : "");
  return true;
}

static void add_drv(TargetDrvList *list, const StorePath *path, Span output, Span name) {
  MEM_RESERVE(list->items, list->cap, list->count + 1);
  list->items[list->count++] = (TargetDrv){*path, output, name};
}

static bool add_package(Session *session, const Package *package, Span outputs, bool one_output, TargetDrvList *ret,
                        Err *err) {
  StorePath path;
  const PackageOutput *chosen = package->outputs;
  size_t count = package->output_count;
  Span name;
  if (!package->drv_path.len)
    return err_set(err, ERR_EVAL, "'%.*s' has no derivation: it cannot be built", SPAN_ARG(package->name));
  if (!store_path_parse(package->drv_path, session_store_dir(session), &path, err)) return false;
  bool all = span_eq_cstr(outputs, "*");
  if (!outputs.len && one_output && package->output_name.len)
    return add_drv(ret, &path, package->output_name, package->name), true;
  if (!outputs.len && !package_outputs_to_install(package, &session->arena, &chosen, &count, err)) return false;
  if (!outputs.len && !count)
    return add_drv(ret, &path, SPAN("out"), package->name), true; // nothing is to be installed
  for (size_t i = 0; (!outputs.len || all) && i < count; i++) add_drv(ret, &path, chosen[i].name, package->name);
  while (!all && (span_split(&outputs, ',', &name) || name.len)) {
    bool found = false;
    for (size_t i = 0; i < package->output_count; i++) found = found || span_eq(package->outputs[i].name, name);
    if (!found)
      return err_set(err, ERR_USAGE, "derivation '%.*s' does not have an output named '%.*s'", SPAN_ARG(package->name),
                     SPAN_ARG(name));
    add_drv(ret, &path, arena_dup(&session->arena, name), package->name);
  }
  return true;
}

// One attribute of the root.
static bool find_attr(Session *session, const TargetRoot *root, const char *operand, bool one_output,
                      TargetDrvList *ret, int *ret_code) {
  Err err = ERR_INIT;
  Span outputs = span_cstr(operand), attr;
  span_split(&outputs, '^', &attr);
  const char *path = arena_dup(&session->arena, attr).data;
  TargetQuery query = {.roots = root, .root_count = 1, .attr_paths = &path, .attr_path_count = 1};
  PackageSet *set = package_set_new(session, &query, false, ret_code);
  if (!set) return false;
  bool ok = package_set_complete_all(set, ret_code);
  for (size_t i = 0; ok && i < package_set_count(set); i++) {
    ok = add_package(session, package_set_get(set, i), outputs, one_output, ret, &err);
    if (!ok) *ret_code = session_fail(session, &err);
  }
  package_set_free(set);
  return ok;
}

static bool find_attrs(Session *session, const InstallableQuery *query, const TargetRoot *root,
                       const char *const *attrs, size_t count, TargetDrvList *ret, int *ret_code) {
  Buf detail CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&detail, "installable %d", query->one_output);
  for (size_t i = 0; i < count; i++) buf_printf(&detail, " %s", attrs[i]);
  if (eval_cache_find(session, root, 1, buf_span(&detail), ret, ret_code)) return *ret_code == 0;
  progress_evaluating(&session->progress, "evaluating");
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) ok = find_attr(session, root, attrs[i], query->one_output, ret, ret_code);
  eval_cache_end(session, ok ? ret : NULL, *ret_code);
  return ok;
}

bool installable_find(Session *session, const InstallableQuery *query, BuildTargetList *ret, int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  const char **attrs = ARENA_ARRAY(&session->arena, const char *, query->count + 1);
  size_t count = 0;
  for (size_t i = 0; i < query->count; i++) {
    bool is_path;
    if (!build_command_add_path(session, ret, query->operands[i], &is_path, &err))
      return *ret_code = session_fail(session, &err), false;
    if (!is_path) attrs[count++] = query->operands[i];
  }
  if (query->count == 0) attrs[count++] = "";
  if (count == 0) return true;
  if (!installable_root(session, query->default_file, &root, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!find_attrs(session, query, &root, attrs, count, &drvs, ret_code)) return false;
  for (size_t i = 0; i < drvs.count; i++)
    build_command_list_add(
        ret, &(BuildTarget){.path = drvs.items[i].drv_path, .output = drvs.items[i].output, .is_drv = true});
  return true;
}
