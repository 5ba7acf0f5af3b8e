// output_checks.c: see output_checks.h.
#include "realise/output_checks.h"

typedef struct Checker {
  Store *store;
  const OutputChecksItem *items;
  size_t count;
} Checker;

static const PathInfo *find_item(const Checker *checker, const StorePath *path) {
  for (size_t i = 0; i < checker->count; i++)
    if (store_path_eq(&checker->items[i].info->path, path)) return checker->items[i].info;
  return NULL;
}

static bool contains(const StorePathList *list, const StorePath *path) {
  for (size_t i = 0; i < list->count; i++)
    if (store_path_eq(&list->paths[i], path)) return true;
  return false;
}

// The closure of an output, some of whose references are outputs that are not registered yet: those are followed here, everything
// behind them by the store.
static bool get_closure(const Checker *checker, const PathInfo *info, StorePathList *ret, Err *err) {
  StorePathList own = STORE_PATH_LIST_INIT, outside = STORE_PATH_LIST_INIT;
  store_path_list_add(&own, &info->path);
  for (size_t i = 0; i < own.count; i++) {
    const PathInfo *item = find_item(checker, &own.paths[i]);
    for (size_t j = 0; j < item->ref_count; j++) {
      const StorePath *ref = &item->refs[j];
      StorePathList *into = find_item(checker, ref) ? &own : &outside;
      if (into == &outside || !contains(&own, ref)) store_path_list_add(into, ref);
    }
  }
  store_path_list_sort(&outside);
  StoreClosureOptions options = {0};
  bool ok = !outside.count || store_closure(checker->store, outside.paths, outside.count, &options, ret, err);
  for (size_t i = 0; i < own.count; i++) store_path_list_add(ret, &own.paths[i]);
  store_path_list_sort(ret);
  store_path_list_done(&own);
  store_path_list_done(&outside);
  return ok;
}

static bool get_closure_size(const Checker *checker, const StorePathList *closure, uint64_t *ret, Err *err) {
  *ret = 0;
  for (size_t i = 0; i < closure->count; i++) {
    const PathInfo *item = find_item(checker, &closure->paths[i]);
    PathInfoRecord *record = NULL;
    if (!item && !store_get(checker->store, &closure->paths[i], &record, err)) return false;
    *ret += item ? item->nar_size_bytes : record->info.nar_size_bytes;
    path_info_service_record_free(record);
  }
  return true;
}

// Each specifier is a store path or the name of an output.
static bool parse_specifiers(const Checker *checker, const DrvStrings *specifiers, StorePathList *ret, Err *err) {
  for (size_t i = 0; i < specifiers->count; i++) {
    Span text = specifiers->items[i];
    StorePath path;
    size_t at = 0;
    if (store_path_is_below(text, store_dir(checker->store)) && store_parse_path(checker->store, text, &path, NULL)) {
      store_path_list_add(ret, &path);
      continue;
    }
    while (at < checker->count && !span_eq(checker->items[at].name, text)) at++;
    if (at == checker->count)
      return err_set(err, ERR_OTHER, "derivation contains an illegal reference specifier '%.*s'", SPAN_ARG(text));
    store_path_list_add(ret, &checker->items[at].info->path);
  }
  return true;
}

static bool refuse(const Checker *checker, const PathInfo *info, const StorePathList *bad, Err *err) {
  Buf text = BUF_INIT;
  buf_put_cstr(&text, "output '");
  store_format_path(checker->store, &info->path, &text);
  buf_put_cstr(&text, "' is not allowed to refer to the following paths:");
  for (size_t i = 0; i < bad->count; i++) {
    buf_put_cstr(&text, "\n  ");
    store_format_path(checker->store, &bad->paths[i], &text);
  }
  err_set(err, ERR_OTHER, "%s", buf_cstr(&text));
  buf_done(&text);
  return false;
}

static bool check_list(const Checker *checker, const PathInfo *info, const StorePathList *used,
                       const DrvStrings *specifiers, bool allowed, bool ignore_self, Err *err) {
  if (!specifiers->is_set) return true;
  StorePathList spec = STORE_PATH_LIST_INIT, bad = STORE_PATH_LIST_INIT;
  bool ok = parse_specifiers(checker, specifiers, &spec, err);
  for (size_t i = 0; ok && i < used->count; i++) {
    const StorePath *path = &used->paths[i];
    if (ignore_self && store_path_eq(path, &info->path)) continue;
    if (contains(&spec, path) != allowed) store_path_list_add(&bad, path);
  }
  if (ok && bad.count) ok = refuse(checker, info, &bad, err);
  store_path_list_done(&spec);
  store_path_list_done(&bad);
  return ok;
}

// Once, and only when something asks for it.
static bool need_closure(const Checker *checker, const PathInfo *info, StorePathList *closure, Err *err) {
  return closure->count || get_closure(checker, info, closure, err);
}

static bool check_closure_size(const Checker *checker, const DrvOutputChecks *checks, const PathInfo *info,
                               StorePathList *closure, Err *err) {
  uint64_t size;
  if (!checks->has_max_closure_size) return true;
  if (!need_closure(checker, info, closure, err) || !get_closure_size(checker, closure, &size, err)) return false;
  if (size <= checks->max_closure_size_bytes) return true;
  Buf path = BUF_INIT;
  store_format_path(checker->store, &info->path, &path);
  err_set(err, ERR_OTHER, "closure of path '%s' is too large at %llu bytes; limit is %llu bytes", buf_cstr(&path),
          (unsigned long long)size, (unsigned long long)checks->max_closure_size_bytes);
  buf_done(&path);
  return false;
}

static bool check_requisites(const Checker *checker, const DrvOutputChecks *checks, const PathInfo *info,
                             const DrvStrings *specifiers, bool allowed, StorePathList *closure, Err *err) {
  return !specifiers->is_set ||
         (need_closure(checker, info, closure, err) &&
          check_list(checker, info, closure, specifiers, allowed, checks->ignore_self_refs, err));
}

static bool check_size(const Checker *checker, const DrvOutputChecks *checks, const PathInfo *info, Err *err) {
  if (!checks->has_max_size || info->nar_size_bytes <= checks->max_size_bytes) return true;
  Buf path = BUF_INIT;
  store_format_path(checker->store, &info->path, &path);
  err_set(err, ERR_OTHER, "path '%s' is too large at %llu bytes; limit is %llu bytes", buf_cstr(&path),
          (unsigned long long)info->nar_size_bytes, (unsigned long long)checks->max_size_bytes);
  buf_done(&path);
  return false;
}

// In the order of C++ Nix, which decides what the error is.
static bool check_output(const Checker *checker, const DrvOutputChecks *checks, const PathInfo *info, Err *err) {
  StorePathList refs = {.paths = info->refs, .count = info->ref_count}; // borrowed
  StorePathList closure = STORE_PATH_LIST_INIT;
  bool ok = check_size(checker, checks, info, err) && check_closure_size(checker, checks, info, &closure, err) &&
            check_list(checker, info, &refs, &checks->allowed_references, true, false, err) &&
            check_requisites(checker, checks, info, &checks->allowed_requisites, true, &closure, err) &&
            check_list(checker, info, &refs, &checks->disallowed_references, false, false, err) &&
            check_requisites(checker, checks, info, &checks->disallowed_requisites, false, &closure, err);
  store_path_list_done(&closure);
  return ok;
}

bool output_checks_run(Store *store, const DrvOptions *options, const OutputChecksItem *items, size_t count, Err *err) {
  Checker checker = {store, items, count};
  for (size_t i = 0; i < count; i++) {
    const DrvOutputChecks *checks = drv_options_find_checks(options, items[i].name);
    if (checks && !check_output(&checker, checks, items[i].info, err)) return false;
  }
  return true;
}
