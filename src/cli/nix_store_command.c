// nix_store_command.c: nix-store. Behaviour: Nix 2.26, nix-store.cc.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "castore/castore_nar.h"
#include "cli/build_command.h"
#include "cli/command_list.h"
#include "cli/log_command.h"
#include "cli/repair_command.h"
#include "cli/serve_command.h"
#include "cli/store_command.h"
#include "cli/store_graph.h"
#include "formats/derivation_parse.h"
#include "store/store_add.h"
#include "store/store_check.h"
#include "store/store_export.h"
#include "store/store_resolve.h"
#include "store/store_roots.h"

static void put_path(Session *session, const StorePath *path, Buf *out) {
  store_path_format(path, session_store_dir(session), out);
  buf_put_char(out, '\n');
}

static int usage(Session *session, const char *what) {
  Err err = ERR_INIT;
  err_set(&err, ERR_USAGE, "%s", what);
  return session_fail(session, &err);
}

// ---- realise

static void warn_without_root(Session *session) {
  if (!option_get(&session->options, OPT_add_root) && !option_has(&session->options, OPT_no_gc_warning))
    log_warn("you did not specify '--add-root'; the result might be removed by the garbage collector");
}

static bool make_root(Session *session, Store *store, const BuildTarget *target, size_t number, Buf *out, Err *err) {
  const char *root = option_get(&session->options, OPT_add_root);
  if (!root) {
    if (out->len == 0) warn_without_root(session);
    put_path(session, &target->out_path, out);
    return true;
  }
  Buf link CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&link, session_absolute(session, root));
  if (number > 1) buf_printf(&link, "-%zu", number);
  if (target->is_drv && !span_eq_cstr(target->output, "out")) buf_printf(&link, "-%.*s", SPAN_ARG(target->output));
  if (!store_roots_add(store, &target->out_path, buf_cstr(&link), err)) return false;
  buf_printf(out, "%s\n", buf_cstr(&link));
  return true;
}

static bool add_target(Session *session, Store *store, const char *text, BuildTargetList *ret, Err *err) {
  Buf real CLEANUP(buf_done) = BUF_INIT, whole CLEANUP(buf_done) = BUF_INIT;
  Span operand = span_cstr(text);
  size_t mark = span_rfind_char(operand, '!');
  buf_put_span(&whole, mark == SIZE_MAX ? operand : span_sub(operand, 0, mark));
  if (!store_command_follow(session, buf_cstr(&whole), &real, err)) return false;
  if (mark != SIZE_MAX) buf_put_span(&real, span_from(operand, mark));
  bool is_path, valid;
  size_t before = ret->count;
  if (!build_command_add_path(session, ret, buf_cstr(&real), &is_path, err)) return false;
  if (option_has(&session->options, OPT_ignore_unknown) && ret->count > before && !ret->items[before].is_drv) {
    if (!store_is_valid(store, &ret->items[before].path, &valid, err)) return false;
    if (!valid) ret->count = before;
  }
  return true;
}

static int compare_targets(const void *a, const void *b) {
  const BuildTarget *left = a, *right = b;
  return span_cmp(left->output, right->output);
}

static int compare_paths(const void *a, const void *b) {
  const BuildTarget *left = a, *right = b;
  char left_hash[STORE_PATH_HASH_CHARS], right_hash[STORE_PATH_HASH_CHARS];
  store_path_format_hash(&left->out_path, left_hash);
  store_path_format_hash(&right->out_path, right_hash);
  return memcmp(left_hash, right_hash, sizeof(left_hash));
}

// Results of one derivation are printed in the order of their text: paths, or names of links.
static void sort_outputs(Session *session, BuildTargetList *targets) {
  bool links = option_get(&session->options, OPT_add_root);
  for (size_t i = 0, end; i < targets->count; i = end) {
    for (end = i + 1; end < targets->count && store_path_eq(&targets->items[i].path, &targets->items[end].path);) end++;
    if (!links) qsort(&targets->items[i], end - i, sizeof(BuildTarget), compare_paths);
    for (size_t k = i; links && k < end; k++)
      if (span_eq_cstr(targets->items[k].output, "out"))
        targets->items[k].output.len = 0; // "link" comes before "link-dev"
    if (links) qsort(&targets->items[i], end - i, sizeof(BuildTarget), compare_targets);
    for (size_t k = i; links && k < end; k++)
      if (targets->items[k].is_drv && !targets->items[k].output.len) targets->items[k].output = SPAN("out");
  }
}

static int realise(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  const OptionList *list = &session->options;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < list->operand_count; i++)
    if (!add_target(session, store, list->operands[i], &targets, &err)) return session_fail(session, &err);
  SchedulerMode mode = option_has(list, OPT_check) ? SCHEDULER_CHECK : SCHEDULER_NORMAL;
  int code = build_command_build(session, &targets, mode, false);
  // C++ Nix says nothing then either.
  if (option_has(list, OPT_dry_run) || option_has(list, OPT_ignore_unknown)) return code;
  if (!code && option_has(list, OPT_repair)) code = repair_command_targets(session, &targets);
  if (code) return code;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  size_t number = 0;
  sort_outputs(session, &targets);
  for (size_t i = 0; i < targets.count; i++) {
    if (i == 0 || !store_path_eq(&targets.items[i].path, &targets.items[i - 1].path)) number++;
    if (targets.items[i].built && !make_root(session, store, &targets.items[i], number, &out, &err))
      return session_fail(session, &err);
  }
  if (!option_has(list, OPT_no_output)) session_print(session, buf_span(&out));
  return code;
}

// ---- adding

static int add_fixed(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  const OptionList *list = &session->options;
  options.method = option_has(list, OPT_recursive) ? CA_NAR : CA_FLAT;
  if (list->operand_count == 0) return usage(session, "first argument must be hash algorithm");
  if (!hash_algo_parse(span_cstr(list->operands[0]), &options.algo, &err) || !session_store(session, &store, &err))
    return session_fail(session, &err);
  Buf out CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 1; i < list->operand_count; i++) {
    StorePath path;
    const char *file = session_absolute(session, list->operands[i]);
    if (!store_add_path(store, fs_path_base(span_cstr(file)), file, &options, &path, &err) ||
        !store_materialise(store, &path, 1, &err))
      return session_fail(session, &err);
    put_path(session, &path, &out);
  }
  session_print(session, buf_span(&out));
  return 0;
}

static int print_fixed_path(Session *session) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  ContentAddress ca = {.method = option_has(list, OPT_recursive) ? CA_NAR : CA_FLAT};
  HashAlgo algo;
  StorePath path;
  if (list->operand_count != 3) return usage(session, "'--print-fixed-path' requires three arguments");
  if (!hash_algo_parse(span_cstr(list->operands[0]), &algo, &err) ||
      !hash_parse(span_cstr(list->operands[1]), &algo, &ca.hash, &err) ||
      !store_path_make_fixed(span_cstr(list->operands[2]), &ca, NULL, session_store_dir(session), &path, &err))
    return session_fail(session, &err);
  Buf out CLEANUP(buf_done) = BUF_INIT;
  put_path(session, &path, &out);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- queries

typedef bool (*QueryFn)(Session *session, Store *store, const StorePath *path, Buf *out, Err *err);

// The paths that a query is about: with -u (or `always`), the outputs of derivations in their place.
static bool use_outputs(Session *session, Store *store, bool always, StorePathList *ret, Err *err) {
  StorePathList given = STORE_PATH_LIST_INIT;
  bool ok = store_command_paths(session, &given, err);
  bool wanted = always || option_has(&session->options, OPT_use_output);
  for (size_t i = 0; ok && i < given.count; i++) {
    if (wanted && store_path_is_derivation(&given.paths[i])) ok = store_outputs(store, &given.paths[i], ret, err);
    else store_path_list_add(ret, &given.paths[i]);
  }
  store_path_list_done(&given);
  return ok;
}

// Builds the operands first (-f).
static int force_realise(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++)
    if (!add_target(session, store, session->options.operands[i], &targets, &err)) return session_fail(session, &err);
  warn_without_root(session);
  return build_command_build(session, &targets, SCHEDULER_NORMAL, false);
}

static bool put_list(Session *session, const StorePathList *list, Buf *out) {
  for (size_t i = 0; i < list->count; i++) put_path(session, &list->paths[i], out);
  return true;
}

// Sorted so that references come first, as C++ Nix prints sets of paths.
static bool put_sorted(Session *session, Store *store, StorePathList *paths, Buf *out, Err *err) {
  StorePathList closure = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.topological = true};
  store_path_list_sort(paths);
  bool ok = store_closure(store, paths->paths, paths->count, &options, &closure, err);
  for (size_t i = 0; ok && i < closure.count; i++)
    for (size_t j = 0; j < paths->count; j++)
      if (store_path_eq(&closure.paths[i], &paths->paths[j])) {
        put_path(session, &closure.paths[i], out);
        break;
      }
  store_path_list_done(&closure);
  return ok;
}

static bool query_closure(Session *session, Store *store, bool referrers, Buf *out, Err *err) {
  StorePathList roots = STORE_PATH_LIST_INIT, closure = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.topological = true,
                                 .referrers = referrers,
                                 .include_outputs = !referrers && option_has(&session->options, OPT_include_outputs)};
  bool ok = use_outputs(session, store, false, &roots, err) &&
            store_closure(store, roots.paths, roots.count, &options, &closure, err) && put_list(session, &closure, out);
  store_path_list_done(&closure);
  store_path_list_done(&roots);
  return ok;
}

static bool query_neighbours(Session *session, Store *store, bool referrers, Buf *out, Err *err) {
  StorePathList roots = STORE_PATH_LIST_INIT, found = STORE_PATH_LIST_INIT;
  bool ok = use_outputs(session, store, false, &roots, err);
  for (size_t i = 0; ok && i < roots.count; i++) {
    if (referrers) {
      ok = store_referrers(store, &roots.paths[i], &found, err);
      continue;
    }
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    ok = store_get(store, &roots.paths[i], &record, err);
    for (size_t j = 0; ok && j < record->info.ref_count; j++) store_path_list_add(&found, &record->info.refs[j]);
  }
  ok = ok && put_sorted(session, store, &found, out, err);
  store_path_list_done(&found);
  store_path_list_done(&roots);
  return ok;
}

static bool query_each(Session *session, Store *store, bool always_outputs, QueryFn fn, Buf *out, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool ok = use_outputs(session, store, always_outputs, &paths, err);
  for (size_t i = 0; ok && i < paths.count; i++) ok = fn(session, store, &paths.paths[i], out, err);
  store_path_list_done(&paths);
  return ok;
}

// Of what was named, whatever -u says.
static bool query_operands(Session *session, Store *store, QueryFn fn, Buf *out, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool ok = store_command_paths(session, &paths, err);
  for (size_t i = 0; ok && i < paths.count; i++) ok = fn(session, store, &paths.paths[i], out, err);
  store_path_list_done(&paths);
  return ok;
}

static bool put_output(Session *session, Store *store, const StorePath *path, Buf *out, Err *err) {
  put_path(session, path, out);
  return true;
}

static bool put_deriver(Session *session, Store *store, const StorePath *path, Buf *out, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!store_get(store, path, &record, err)) return false;
  if (record->info.has_deriver) put_path(session, &record->info.deriver, out);
  else buf_put_cstr(out, "unknown-deriver\n");
  return true;
}

static bool put_valid_derivers(Session *session, Store *store, const StorePath *path, Buf *out, Err *err) {
  StorePathList found = STORE_PATH_LIST_INIT;
  bool ok = store_derivers(store, path, &found, err) && put_sorted(session, store, &found, out, err);
  store_path_list_done(&found);
  return ok;
}

static bool put_hash(Session *session, Store *store, const StorePath *path, Buf *out, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!store_get(store, path, &record, err)) return false;
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, record->info.nar_sha256, sizeof(record->info.nar_sha256));
  hash_format_nix32(&hash, out);
  buf_put_char(out, '\n');
  return true;
}

static bool put_size(Session *session, Store *store, const StorePath *path, Buf *out, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!store_get(store, path, &record, err)) return false;
  buf_printf(out, "%llu\n", (unsigned long long)record->info.nar_size_bytes);
  return true;
}

static bool put_binding(Session *session, Store *store, const StorePath *path, Buf *out, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  const char *name = option_get(&session->options, OPT_binding);
  StorePath drv_path = *path;
  if (!store_path_is_derivation(path)) {
    if (!store_get(store, path, &record, err)) return false;
    store_path_format(path, session_store_dir(session), &text);
    if (!record->info.has_deriver)
      return err_set(err, ERR_NOT_FOUND, "deriver of path '%s' is not known", buf_cstr(&text));
    drv_path = record->info.deriver;
  }
  const Derivation *drv = session_derivation(session, &drv_path, err);
  if (!drv) return false;
  const DerivationEnv *env = derivation_find_env(drv, span_cstr(name));
  buf_clear(&text);
  store_path_format(&drv_path, session_store_dir(session), &text);
  if (!env)
    return err_set(err, ERR_NOT_FOUND, "derivation '%s' has no environment binding named '%s'", buf_cstr(&text), name);
  buf_put_span(out, env->value);
  buf_put_char(out, '\n');
  return true;
}

// What reaches a path: its referrers and, where the settings say that derivations keep their outputs or outputs their derivations, those. *members: all paths that
// were found.
static bool find_keepers(Session *session, Store *store, const StorePathList *wanted, Map *members, Err *err) {
  bool keeps_outputs = setting_bool(session->settings, SETTING_ID_keep_outputs),
       keeps_derivations = setting_bool(session->settings, SETTING_ID_keep_derivations);
  StorePathList queue = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; i < wanted->count; i++) store_path_list_add(&queue, &wanted->paths[i]);
  for (size_t i = 0; ok && i < queue.count; i++) {
    StorePath path = queue.paths[i];
    Span key = span_make(path.digest, sizeof(path.digest));
    StorePathList more = STORE_PATH_LIST_INIT;
    bool valid;
    if (map_has(members, key)) continue;
    map_set(members, key, NULL);
    ok = store_is_valid(store, &path, &valid, err) && (!valid || store_referrers(store, &path, &more, err));
    if (ok && valid && keeps_outputs) ok = store_derivers(store, &path, &more, err);
    if (ok && valid && keeps_derivations && store_path_is_derivation(&path))
      ok = store_outputs(store, &path, &more, err);
    for (size_t k = 0; k < more.count; k++) store_path_list_add(&queue, &more.paths[k]);
    store_path_list_done(&more);
  }
  store_path_list_done(&queue);
  return ok;
}

static bool query_roots(Session *session, Store *store, Buf *out, Err *err) {
  StorePathList wanted = STORE_PATH_LIST_INIT;
  StoreRootList roots = STORE_ROOT_LIST_INIT;
  Map members CLEANUP(map_done) = MAP_INIT;
  bool ok = use_outputs(session, store, false, &wanted, err) && find_keepers(session, store, &wanted, &members, err) &&
            store_roots_list(store, true, &roots, err);
  for (size_t i = 0; ok && i < roots.count; i++) {
    const StorePath *path = &roots.roots[i].path;
    if (!map_has(&members, span_make(path->digest, sizeof(path->digest)))) continue;
    buf_printf(out, "%s -> ", roots.roots[i].source);
    put_path(session, path, out);
  }
  store_roots_list_done(&roots);
  store_path_list_done(&wanted);
  return ok;
}

typedef bool (*DrawFn)(Store *store, const StorePath *roots, size_t count, Buf *out, Err *err);

static bool query_drawn(Session *session, Store *store, DrawFn draw, Buf *out, Err *err) {
  StorePathList roots = STORE_PATH_LIST_INIT;
  // The tree is of what was named, whatever -u says.
  bool ok = (draw == store_graph_tree ? store_command_paths(session, &roots, err)
                                      : use_outputs(session, store, false, &roots, err)) &&
            draw(store, roots.paths, roots.count, out, err);
  store_path_list_done(&roots);
  return ok;
}

static int query(Session *session) {
  static const OptionId kinds[] = {OPT_outputs,
                                   OPT_requisites,
                                   OPT_references,
                                   OPT_referrers,
                                   OPT_referers,
                                   OPT_referrers_closure,
                                   OPT_referers_closure,
                                   OPT_deriver,
                                   OPT_valid_derivers,
                                   OPT_binding,
                                   OPT_query_hash,
                                   OPT_size,
                                   OPT_tree,
                                   OPT_graph,
                                   OPT_graphml,
                                   OPT_resolve,
                                   OPT_roots};
  const OptionList *list = &session->options;
  OptionId kind = OPT_outputs;
  bool given = false;
  Err err = ERR_INIT;
  for (size_t i = 0; i < list->use_count; i++)
    for (size_t j = 0; j < ARRAY_LEN(kinds); j++) {
      if (list->uses[i].id != kinds[j]) continue;
      if (given && kind != kinds[j]) {
        err_set(&err, ERR_USAGE, "query type '--%s' conflicts with earlier flag", option_table[kinds[j]].long_name);
        return session_fail(session, &err);
      }
      kind = kinds[j];
      given = true;
    }
  Store *store;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (option_has(list, OPT_force_realise) || option_has(list, OPT_force_realize)) {
    int code = force_realise(session);
    if (code) return code;
  }
  bool ok = session_store(session, &store, &err);
  switch ((int)kind) {
  case OPT_requisites: ok = ok && query_closure(session, store, false, &out, &err); break;
  case OPT_referrers_closure:
  case OPT_referers_closure: ok = ok && query_closure(session, store, true, &out, &err); break;
  case OPT_references: ok = ok && query_neighbours(session, store, false, &out, &err); break;
  case OPT_referrers:
  case OPT_referers: ok = ok && query_neighbours(session, store, true, &out, &err); break;
  case OPT_deriver: ok = ok && query_operands(session, store, put_deriver, &out, &err); break;
  case OPT_valid_derivers: ok = ok && query_each(session, store, false, put_valid_derivers, &out, &err); break;
  case OPT_binding: ok = ok && query_each(session, store, false, put_binding, &out, &err); break;
  case OPT_query_hash: ok = ok && query_each(session, store, false, put_hash, &out, &err); break;
  case OPT_size: ok = ok && query_each(session, store, false, put_size, &out, &err); break;
  case OPT_tree: ok = ok && query_drawn(session, store, store_graph_tree, &out, &err); break;
  case OPT_graph: ok = ok && query_drawn(session, store, store_graph_dot, &out, &err); break;
  case OPT_graphml: ok = ok && query_drawn(session, store, store_graph_xml, &out, &err); break;
  case OPT_resolve: ok = ok && query_each(session, store, false, put_output, &out, &err); break;
  case OPT_roots: ok = ok && query_roots(session, store, &out, &err); break;
  default: ok = ok && query_each(session, store, true, put_output, &out, &err);
  }
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- streams

static int dump(Session *session) {
  Err err = ERR_INIT;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  if (session->options.operand_count != 1) return usage(session, "only one argument allowed");
  return castore_nar_dump_path(session->options.operands[0], &sink, &err) ? 0 : session_fail(session, &err);
}

static int restore(Session *session) {
  Err err = ERR_INIT;
  int in = STDIN_FILENO;
  ByteSource source = byte_stream_from_fd(&in);
  if (session->options.operand_count != 1) return usage(session, "only one argument allowed");
  return castore_nar_restore(&source, session->options.operands[0], &err) ? 0 : session_fail(session, &err);
}

static bool export_sorted(Session *session, Store *store, Err *err) {
  StorePathList given = STORE_PATH_LIST_INIT, closure = STORE_PATH_LIST_INIT, wanted = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.topological = true};
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  bool ok = store_command_paths(session, &given, err) &&
            store_closure(store, given.paths, given.count, &options, &closure, err);
  for (size_t i = 0; ok && i < closure.count; i++)
    for (size_t j = 0; j < given.count; j++)
      if (store_path_eq(&closure.paths[i], &given.paths[j])) {
        store_path_list_add(&wanted, &closure.paths[i]);
        break;
      }
  ok = ok && store_export_write(store, wanted.paths, wanted.count, &sink, err);
  store_path_list_done(&wanted);
  store_path_list_done(&closure);
  store_path_list_done(&given);
  return ok;
}

static bool import_all(Session *session, Store *store, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  int in = STDIN_FILENO;
  ByteSource source = byte_stream_from_fd(&in);
  store_want_trees(store, true);
  bool ok = store_export_read(store, &source, &paths, err) && store_materialise(store, paths.paths, paths.count, err);
  put_list(session, &paths, &out);
  session_print(session, buf_span(&out));
  store_path_list_done(&paths);
  return ok;
}

static bool dump_db(Session *session, Store *store, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  bool ok = session->options.operand_count ? store_command_paths(session, &paths, err) : store_all(store, &paths, err);
  ok = ok && store_export_dump_db(store, paths.paths, paths.count, true, &sink, err);
  store_path_list_done(&paths);
  return ok;
}

static bool load_db(Session *session, Store *store, bool with_hash, bool replace, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  int in = STDIN_FILENO;
  ByteSource source = byte_stream_from_fd(&in);
  bool ok = store_export_load_db(store, &source, with_hash, replace, &paths, err);
  store_path_list_done(&paths);
  return ok;
}

// ---- garbage and checks

static int compare_roots(const void *a, const void *b) {
  const StoreRoot *left = a, *right = b;
  int c = strcmp(left->source, right->source);
  return c ? c : store_path_cmp(&left->path, &right->path);
}

static bool print_roots(Session *session, Store *store, Err *err) {
  StoreRootList roots = STORE_ROOT_LIST_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool ok = store_roots_list(store, true, &roots, err);
  if (ok && roots.count) qsort(roots.roots, roots.count, sizeof(StoreRoot), compare_roots);
  for (size_t i = 0; ok && i < roots.count; i++) {
    // A process may have paths of other stores open that have the same names.
    bool valid = true;
    if (roots.roots[i].kind == STORE_ROOT_PROCESS) ok = store_is_valid(store, &roots.roots[i].path, &valid, err);
    if (!valid) continue;
    buf_printf(&out, "%s -> ", roots.roots[i].source);
    put_path(session, &roots.roots[i].path, &out);
  }
  session_print(session, buf_span(&out));
  store_roots_list_done(&roots);
  return ok;
}

static bool collect(Session *session, Store *store, Err *err) {
  StoreGcOptions options;
  if (option_has(&session->options, OPT_print_roots)) return print_roots(session, store, err);
  if (!store_command_gc_options(session, &options, err)) return false;
  if (option_has(&session->options, OPT_print_live)) options.action = STORE_GC_PRINT_LIVE;
  if (option_has(&session->options, OPT_print_dead)) options.action = STORE_GC_PRINT_DEAD;
  return store_command_collect(session, &options, err);
}

static bool delete_paths(Session *session, Store *store, Err *err) {
  StoreGcOptions options;
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool ok = store_command_gc_options(session, &options, err) && store_command_paths(session, &paths, err);
  options.action = STORE_GC_DELETE_SPECIFIC;
  options.paths = paths.paths;
  options.path_count = paths.count;
  ok = ok && store_command_collect(session, &options, err);
  store_path_list_done(&paths);
  return ok;
}

static int verify_paths(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  int code = 0;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++) {
    StorePath path;
    bool ok;
    Buf why CLEANUP(buf_done) = BUF_INIT;
    if (!store_command_path(session, session->options.operands[i], &path, &err) ||
        !store_check_path(store, &path, &ok, &why, &err))
      return session_fail(session, &err);
    if (ok) continue;
    buf_put_char(&why, '\n');
    progress_write(&session->progress, buf_span(&why));
    code = 1;
  }
  return code;
}

static int check_validity(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < session->options.operand_count; i++) {
    StorePath path;
    bool valid;
    if (!store_command_path(session, session->options.operands[i], &path, &err) ||
        !store_is_valid(store, &path, &valid, &err))
      return session_fail(session, &err);
    if (valid) continue;
    if (!option_has(&session->options, OPT_print_invalid)) {
      err_set(&err, ERR_NOT_FOUND, "path '%s' is not valid", session->options.operands[i]);
      return session_fail(session, &err);
    }
    put_path(session, &path, &out);
  }
  session_print(session, buf_span(&out));
  return 0;
}

// ---- derivations and keys

static void put_shell_quoted(Buf *out, Span text) {
  buf_put_char(out, '\'');
  for (size_t i = 0; i < text.len; i++) {
    if (text.data[i] == '\'') buf_put_cstr(out, "'\\''");
    else buf_put_char(out, text.data[i]);
  }
  buf_put_char(out, '\'');
}

static int print_env(Session *session) {
  Err err = ERR_INIT;
  StorePath path;
  if (session->options.operand_count != 1) return usage(session, "'--print-env' requires one derivation store path");
  if (!store_command_path(session, session->options.operands[0], &path, &err)) return session_fail(session, &err);
  const Derivation *drv = session_derivation(session, &path, &err);
  if (!drv) return session_fail(session, &err);
  Buf out CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < drv->env_count; i++) {
    buf_printf(&out, "export %.*s; %.*s=", SPAN_ARG(drv->env[i].name), SPAN_ARG(drv->env[i].name));
    put_shell_quoted(&out, drv->env[i].value);
    buf_put_char(&out, '\n');
  }
  buf_put_cstr(&out, "export _args; _args='");
  for (size_t i = 0; i < drv->arg_count; i++) {
    if (i) buf_put_char(&out, ' ');
    put_shell_quoted(&out, drv->args[i]);
  }
  buf_put_cstr(&out, "'\n");
  session_print(session, buf_span(&out));
  return 0;
}

static int generate_key(Session *session) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  SignatureSecretKey secret;
  SignaturePublicKey public;
  Buf secret_text CLEANUP(buf_done) = BUF_INIT, public_text CLEANUP(buf_done) = BUF_INIT;
  if (list->operand_count != 3) return usage(session, "three arguments expected");
  if (!signature_generate(span_cstr(list->operands[0]), &secret, &err)) return session_fail(session, &err);
  signature_public_of(&secret, &public);
  signature_format_secret_key(&secret, &secret_text);
  signature_format_public_key(&public, &public_text);
  if (!fs_write_file_atomic(list->operands[1], buf_span(&secret_text), 0600, false, &err) ||
      !fs_write_file_atomic(list->operands[2], buf_span(&public_text), 0644, false, &err))
    return session_fail(session, &err);
  return 0;
}

// ---- which operation

typedef bool (*StoreFn)(Session *session, Store *store, Err *err);

static int with_store(Session *session, StoreFn fn) {
  Err err = ERR_INIT;
  Store *store;
  return session_store(session, &store, &err) && fn(session, store, &err) ? 0 : session_fail(session, &err);
}

static bool load_full_db(Session *session, Store *store, Err *err) {
  return load_db(session, store, true, true, err);
}
static bool register_validity(Session *session, Store *store, Err *err) {
  return load_db(session, store, option_has(&session->options, OPT_hash_given),
                 option_has(&session->options, OPT_reregister), err);
}

static int run_with_store(Session *session, OptionId id) {
  switch ((int)id) {
  case OPT_export: return with_store(session, export_sorted);
  case OPT_import: return with_store(session, import_all);
  case OPT_dump_db: return with_store(session, dump_db);
  case OPT_load_db: return with_store(session, load_full_db);
  case OPT_register_validity: return with_store(session, register_validity);
  case OPT_gc: return with_store(session, collect);
  default: return with_store(session, delete_paths);
  }
}

static int run_operation(Session *session, OptionId id) {
  switch ((int)id) {
  case OPT_realise: return realise(session);
  case OPT_store_add: return store_command_add(session);
  case OPT_add_fixed: return add_fixed(session);
  case OPT_print_fixed_path: return print_fixed_path(session);
  case OPT_query: return query(session);
  case OPT_dump: return dump(session);
  case OPT_restore: return restore(session);
  case OPT_check_validity: return check_validity(session);
  case OPT_verify: return store_command_check(session);
  case OPT_verify_path: return verify_paths(session);
  case OPT_repair_path: return repair_command_paths(session);
  case OPT_optimise: return space_command_optimise(session);
  case OPT_serve: return serve_command_run(session);
  case OPT_init: return 0;
  case OPT_read_log: return log_command_read(session);
  case OPT_print_env: return print_env(session);
  case OPT_generate_binary_cache_key: return generate_key(session);
  default: return run_with_store(session, id);
  }
}

static OptionId canonical(OptionId id) {
  return id == OPT_realize ? OPT_realise : id == OPT_optimize ? OPT_optimise : id;
}

static bool is_one_of(OptionId id, const OptionId *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (list[i] == id) return true;
  return false;
}

int nix_store_command_run(Session *session) {
  static const OptionId operations[] = {
      OPT_realise,     OPT_store_add, OPT_add_fixed,      OPT_print_fixed_path,
      OPT_query,       OPT_dump,      OPT_restore,        OPT_export,
      OPT_import,      OPT_dump_db,   OPT_load_db,        OPT_register_validity,
      OPT_gc,          OPT_delete,    OPT_verify,         OPT_verify_path,
      OPT_repair_path, OPT_serve,     OPT_optimise,       OPT_init,
      OPT_read_log,    OPT_print_env, OPT_check_validity, OPT_generate_binary_cache_key};
  static const OptionId without_operands[] = {
      OPT_import, OPT_load_db, OPT_register_validity, OPT_gc, OPT_verify, OPT_optimise, OPT_init, OPT_serve};
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  OptionId operation = OPTION_COUNT;
  for (size_t i = 0; i < list->use_count; i++) {
    OptionId id = canonical(list->uses[i].id);
    if (!is_one_of(id, operations, ARRAY_LEN(operations))) continue;
    if (operation != OPTION_COUNT && operation != id) return usage(session, "only one operation may be specified");
    operation = id;
  }
  if (operation == OPTION_COUNT) return usage(session, "no operation specified");
  bool has_content = operation == OPT_import || operation == OPT_restore || operation == OPT_serve;
  if (option_has(list, OPT_verb_stdin) && !has_content && !isatty(STDIN_FILENO) &&
      !option_add_stdin(&session->options, false, &err))
    return session_fail(session, &err);
  if (is_one_of(operation, without_operands, ARRAY_LEN(without_operands)) && list->operand_count)
    return usage(session, "no arguments expected");
  return run_operation(session, operation);
}
