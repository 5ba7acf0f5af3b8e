// installable.c: see installable.h.
#include "cli/installable.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/eval_cache.h"
#include "cli/package.h"
#include "cli/store_command.h"
#include "formats/placeholder.h"

bool installable_root(Session *session, const char *default_file, TargetRoot *ret, Err *err) {
  const char *file = option_get(&session->options, OPT_file), *expr = option_get(&session->options, OPT_expr);
  const char *base = target_expr_base(session);
  // Files in a script are seen from where it lies.
  bool is_relative = file && file[0] != '/' && file[0] != '<' && strcmp(file, "-") != 0 && !strstr(file, "://");
  if (base && is_relative) file = arena_printf(&session->arena, "%s/%s", base, file);
  if (expr) *ret = (TargetRoot){TARGET_EXPR, expr, base};
  else if (file) *ret = (TargetRoot){strcmp(file, "-") == 0 ? TARGET_STDIN : TARGET_FILE, file};
  else if (default_file) *ret = (TargetRoot){TARGET_FILE, default_file};
  else if (session->options.operand_count &&
           store_path_is_below(span_cstr(session->options.operands[0]), session_store_dir(session)))
    return err_set(err, ERR_USAGE, "installable '%s' does not correspond to a Nix language value",
                   session->options.operands[0]);
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
      return err_set(err, ERR_OTHER, "derivation '%.*s' does not have wanted outputs '%.*s'",
                     SPAN_ARG(package->drv_path), SPAN_ARG(name));
    add_drv(ret, &path, arena_dup(&session->arena, name), package->name);
  }
  return true;
}

// ---- strings that name one store path. Nix 2.26: EvalState::coerceToSingleDerivedPath.

// What a string has to be that stands for an output of a derivation.
static bool expected_text(Session *session, const StorePath *drv, Span output, Buf *ret, Err *err) {
  const Derivation *parsed = session_derivation(session, drv, err);
  if (!parsed) return false;
  const DerivationOutput *found = derivation_find_output(parsed, output);
  if (found && found->path.len) return buf_put_span(ret, found->path), true;
  Placeholder placeholder;
  placeholder_upstream(drv, output, &placeholder);
  placeholder_put(&placeholder, ret);
  return true;
}

static bool add_string(Session *session, const Package *package, TargetDrvList *ret, Err *err) {
  StorePath path;
  Buf expected CLEANUP(buf_done) = BUF_INIT;
  size_t count = 0;
  const JsonTree *context = &package->context, *outputs = NULL;
  bool is_deep = false;
  Span text = package->out_path;
  for (size_t i = 0; i < context->count; i++) {
    const JsonTree *made = json_tree_get(&context->items[i], SPAN("outputs"));
    is_deep = is_deep || json_tree_get(&context->items[i], SPAN("allOutputs"));
    count += json_tree_get(&context->items[i], SPAN("path")) != NULL;
    count += json_tree_get(&context->items[i], SPAN("allOutputs")) != NULL;
    count += made ? made->count : 0;
    if (made) outputs = made;
  }
  if (count != 1)
    return err_set(err, ERR_EVAL, "string '%.*s' has %zu entries in its context. It should only have exactly one entry",
                   SPAN_ARG(text), count);
  if (is_deep)
    return err_set(
        err, ERR_EVAL,
        "string '%.*s' has a context which refers to a complete source and binary closure. This is not supported "
        "at this time",
        SPAN_ARG(text));
  Span key = context->items[0].key;
  if (!store_path_parse(key, session_store_dir(session), &path, err)) return false;
  Span output = outputs ? outputs->items[0].string : SPAN("");
  if (!outputs) buf_put_span(&expected, key);
  else if (!expected_text(session, &path, output, &expected, err)) return false;
  if (span_eq(text, buf_span(&expected)))
    return add_drv(ret, &path, output, arena_dup(&session->arena, store_path_name(&path))), true;
  if (!outputs)
    return err_set(err, ERR_EVAL, "path string '%.*s' has context with the different path '%s'", SPAN_ARG(text),
                   buf_cstr(&expected));
  return err_set(
      err, ERR_EVAL,
      "string '%.*s' has context with the output '%.*s' from derivation '%.*s', but the string is not the right "
      "placeholder for this derivation output. It should be '%s'",
      SPAN_ARG(text), SPAN_ARG(output), SPAN_ARG(fs_path_base(key)), buf_cstr(&expected));
}

// ---- attributes

static int cmp_drvs(const void *a, const void *b) {
  const TargetDrv *x = a, *y = b;
  int order = store_path_cmp(&x->drv_path, &y->drv_path);
  return order ? order : span_cmp(x->output, y->output);
}

// What one installable means is a set: each output of each derivation once, in order.
static void normalise(TargetDrvList *list, size_t first) {
  size_t kept = first;
  if (list->count > first) qsort(list->items + first, list->count - first, sizeof(TargetDrv), cmp_drvs);
  for (size_t i = first; i < list->count; i++)
    if (kept == first || cmp_drvs(&list->items[kept - 1], &list->items[i]) != 0) list->items[kept++] = list->items[i];
  list->count = kept;
}

// One attribute of the root.
static bool find_attr(Session *session, const TargetRoot *root, const char *operand, bool one_output,
                      TargetDrvList *ret, int *ret_code) {
  Err err = ERR_INIT;
  Span outputs = span_cstr(operand), attr;
  span_split(&outputs, '^', &attr);
  const char *path = arena_dup(&session->arena, attr).data;
  TargetQuery query = {.roots = root, .root_count = 1, .attr_paths = &path, .attr_path_count = 1, .strings = true};
  size_t first = ret->count;
  PackageSet *set = package_set_new(session, &query, false, ret_code);
  if (!set) return false;
  bool ok = package_set_complete_all(set, ret_code);
  for (size_t i = 0; ok && i < package_set_count(set); i++) {
    const Package *package = package_set_get(set, i);
    ok = package->is_string ? add_string(session, package, ret, &err)
                            : add_package(session, package, outputs, one_output, ret, &err);
    if (!ok) *ret_code = session_fail(session, &err);
  }
  package_set_free(set);
  normalise(ret, first);
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

// "./result" is the store path that it leads to. Other text is returned as it is.
static const char *follow_link(Session *session, const char *operand) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  StorePath found;
  Err absent = ERR_INIT;
  Span outputs = span_cstr(operand), file;
  bool has_outputs = span_split(&outputs, '^', &file);
  if (span_find_char(file, '/') == SIZE_MAX || store_path_is_below(file, session_store_dir(session))) return operand;
  const char *path = arena_dup(&session->arena, file).data;
  if (!fs_exists(path)) return operand;
  if (!store_command_path(session, path, &found, &absent)) return err_done(&absent), operand;
  store_path_format(&found, session_store_dir(session), &text);
  if (has_outputs) buf_printf(&text, "^%.*s", SPAN_ARG(outputs));
  return arena_dup(&session->arena, buf_span(&text)).data;
}

bool installable_find(Session *session, const InstallableQuery *query, BuildTargetList *ret, int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  const char **attrs = ARENA_ARRAY(&session->arena, const char *, query->count + 1);
  size_t count = 0;
  for (size_t i = 0; i < query->count; i++) {
    bool is_path;
    const char *operand = follow_link(session, query->operands[i]);
    if (!build_command_add_path(session, ret, operand, &is_path, &err))
      return *ret_code = session_fail(session, &err), false;
    if (!is_path) attrs[count++] = operand;
  }
  if (query->count == 0) attrs[count++] = "";
  if (count == 0) return true;
  if (!installable_root(session, query->default_file, &root, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!find_attrs(session, query, &root, attrs, count, &drvs, ret_code)) return false;
  for (size_t i = 0; i < drvs.count; i++)
    build_command_list_add(ret, &(BuildTarget){.path = drvs.items[i].drv_path,
                                               .output = drvs.items[i].output,
                                               .is_drv = drvs.items[i].output.len > 0});
  return true;
}
