// env_source.c: see env_source.h. Rules and messages: Nix 2.26, nix-env.cc.
#include "cli/env_source.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/package_selector.h"
#include "cli/store_command.h"
#include "cli/user_dirs.h"
#include "eval/print.h"
#include "formats/drv_name.h"
#include "store/profile.h"

// ---- the root

static bool has_default(const char *dir) {
  struct stat st;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&path, "%s/default.nix", dir);
  return stat(buf_cstr(&path), &st) == 0;
}

// Where `path` is on disk: links into the store lead to where that lies, which need not be where they say. False: nowhere.
static bool find_on_disk(Session *session, const char *path, Buf *ret, struct stat *ret_stat) {
  Store *store;
  Err ignored = ERR_INIT;
  Buf target CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(ret, path);
  for (int links = 0; links < 40; links++) {
    if (stat(buf_cstr(ret), ret_stat) == 0) return true;
    buf_clear(&target);
    if (!fs_read_link(buf_cstr(ret), &target, &ignored)) return err_done(&ignored), false;
    Span dir = session_store_dir(session), to = buf_span(&target),
         base = arena_dup(&session->arena, fs_path_dir(buf_span(ret)));
    buf_clear(ret);
    bool in_store = store_path_is_below(to, dir) && session_store(session, &store, &ignored);
    if (in_store) buf_printf(ret, "%s%.*s", store_tree_dir(store), SPAN_ARG(span_from(to, dir.len)));
    else fs_path_canon(base, to, ret);
  }
  err_done(&ignored);
  return false;
}

// What links of other names lead to counts.
static bool is_nix_file(const char *path) {
  char real[PATH_MAX];
  return realpath(path, real) && span_has_suffix(span_cstr(real), SPAN(".nix"));
}

// Adds `"name" = import /path;` for each expression in the folder, and goes into folders that are none. `disk` is where `dir` is.
static bool put_folder(Session *session, const char *dir, const char *disk, Map *seen, unsigned depth, Buf *ret,
                       Err *err) {
  FsList list CLEANUP(fs_list_done) = FS_LIST_INIT;
  if (depth > 32) return err_set(err, ERR_LIMIT, "'%s' is nested too deeply", dir);
  if (!fs_list_dir(disk, &list, err)) return false;
  for (size_t i = 0; i < list.count; i++) {
    Buf path CLEANUP(buf_done) = BUF_INIT, entry CLEANUP(buf_done) = BUF_INIT, there CLEANUP(buf_done) = BUF_INIT;
    struct stat st;
    Span name = span_cstr(list.entries[i].name);
    // That of a profile: channels are profiles.
    if (span_eq_cstr(name, "manifest.nix")) continue;
    buf_printf(&path, "%s/%.*s", dir, SPAN_ARG(name));
    buf_printf(&entry, "%s/%.*s", disk, SPAN_ARG(name));
    if (!find_on_disk(session, buf_cstr(&entry), &there, &st)) continue;
    bool is_file = S_ISREG(st.st_mode) && is_nix_file(buf_cstr(&there));
    bool is_dir = S_ISDIR(st.st_mode) && has_default(buf_cstr(&there));
    if (!is_file && !is_dir) {
      if (S_ISDIR(st.st_mode) && !put_folder(session, buf_cstr(&path), buf_cstr(&there), seen, depth + 1, ret, err))
        return false;
      continue;
    }
    if (span_has_suffix(name, SPAN(".nix"))) name.len -= 4;
    if (map_has(seen, name)) {
      log_warn("name collision in input Nix expressions, skipping '%s'", buf_cstr(&path));
      continue;
    }
    map_set(seen, name, NULL);
    print_attr_name(name, ret);
    buf_put_cstr(ret, " = import (/. + ");
    print_string_literal(buf_span(&path), ret);
    buf_put_cstr(ret, "); ");
  }
  return true;
}

static void make_links(Session *session, const char *dir, Err *err) {
  Store *store;
  Buf own CLEANUP(buf_done) = BUF_INIT;
  if (!fs_mkdir_all(dir, 0755, err) || !session_store(session, &store, err) || !profile_dir(store, &own, err)) return;
  buf_put_cstr(&own, "/channels");
  if (symlink(buf_cstr(&own), arena_printf(&session->arena, "%s/channels", dir)) != 0 || geteuid() == 0) return;
  const char *root = arena_printf(&session->arena, "%s/var/nix/profiles/per-user/root/channels", store_root(store)),
             *link = arena_printf(&session->arena, "%s/channels_root", dir);
  if (symlink(root, link) != 0) err_set_errno(err, errno, "making '%s'", link);
}

void env_source_make_default(Session *session) {
  Err ignored = ERR_INIT;
  Buf dir CLEANUP(buf_done) = BUF_INIT;
  user_dirs_path(session->settings, "defexpr", &dir);
  if (!fs_exists(buf_cstr(&dir))) make_links(session, buf_cstr(&dir), &ignored);
  err_done(&ignored);
}

bool env_source_root(Session *session, TargetRoot *ret, Err *err) {
  const char *file = option_get(&session->options, OPT_env_file);
  Buf expressions CLEANUP(buf_done) = BUF_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Map seen CLEANUP(map_done) = MAP_INIT;
  struct stat st;
  user_dirs_path(session->settings, "defexpr", &expressions);
  if (!file) file = arena_dup(&session->arena, buf_span(&expressions)).data;
  *ret = (TargetRoot){TARGET_FILE, file};
  const char *path = session_absolute(session, file);
  if (file[0] == '<' || strstr(file, "://") || stat(path, &st) != 0 || !S_ISDIR(st.st_mode) || has_default(path)) {
    bool is_default = !option_has(&session->options, OPT_env_file) && stat(path, &st) != 0;
    if (is_default) *ret = (TargetRoot){TARGET_EXPR, "{ _combineChannels = [ ]; }"};
    return true;
  }
  buf_put_cstr(&text, "{ _combineChannels = [ ]; ");
  if (!put_folder(session, path, path, &seen, 0, &text, err)) return false;
  buf_put_char(&text, '}');
  *ret = (TargetRoot){TARGET_EXPR, arena_dup(&session->arena, buf_span(&text)).data};
  return true;
}

// ---- selection

static Span wanted_system(const Session *session) {
  const char *filter = option_get(&session->options, OPT_system_filter);
  return span_cstr(filter ? filter : "*");
}

PackageSet *env_source_all(Session *session, const char *attr_path, size_t **ret_indexes, size_t *ret_count,
                           int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  if (!env_source_root(session, &root, &err)) return *ret_code = session_fail(session, &err), NULL;
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &attr_path, .attr_path_count = 1};
  progress_evaluating(&session->progress, "evaluating");
  PackageSet *set = package_set_new(session, &query, true, ret_code);
  progress_evaluating(&session->progress, NULL);
  if (!set) return NULL;
  Span system = wanted_system(session);
  *ret_indexes = mem_alloc_array(package_set_count(set) + 1, sizeof(size_t));
  *ret_count = 0;
  for (size_t i = 0; i < package_set_count(set); i++) {
    const Package *package = package_set_get(set, i);
    if (!package->failed && (span_eq_cstr(system, "*") || span_eq(package->system, system)))
      (*ret_indexes)[(*ret_count)++] = i;
  }
  return set;
}

static int compare(Session *session, const Package *a, const Package *b) {
  Span system = span_cstr(session_system(session)), name, version_a, version_b;
  if (!span_eq(a->system, b->system)) {
    if (span_eq(a->system, system)) return 1;
    if (span_eq(b->system, system)) return -1;
  }
  int64_t first = package_meta_int(a, SPAN("priority"), 0), second = package_meta_int(b, SPAN("priority"), 0);
  if (first != second) return first < second ? 1 : -1; // the lower number is the higher priority
  drv_name_parse(a->name, &name, &version_a);
  drv_name_parse(b->name, &name, &version_b);
  return drv_name_compare_versions(version_a, version_b);
}

static int cmp_names(const void *a, const void *b, void *ctx) {
  const Package *x = package_set_get(ctx, *(const size_t *)a), *y = package_set_get(ctx, *(const size_t *)b);
  Span name_x, name_y, version;
  drv_name_parse(x->name, &name_x, &version);
  drv_name_parse(y->name, &name_y, &version);
  return span_cmp(name_x, name_y);
}

// One package of each name. They come out by name.
static bool pick_newest(Session *session, PackageSet *set, size_t *indexes, size_t *count, int *ret_code) {
  Map best CLEANUP(map_done) = MAP_INIT; // name -> place in `indexes` + 1
  Map several CLEANUP(map_done) = MAP_INIT;
  size_t kept = 0;
  if (!package_set_meta(set, indexes, *count, ret_code)) return false;
  for (size_t i = 0; i < *count; i++) {
    const Package *package = package_set_get(set, indexes[i]);
    Span name, version;
    drv_name_parse(package->name, &name, &version);
    size_t place = (size_t)(uintptr_t)map_get(&best, name);
    int c = place ? compare(session, package, package_set_get(set, indexes[place - 1])) : 1;
    if (c == 0) map_set(&several, package->name, NULL);
    if (place && c > 0) {
      indexes[place - 1] = indexes[i];
      map_remove(&several, package->name);
    } else if (!place) {
      indexes[kept++] = indexes[i];
      map_set(&best, name, (void *)(uintptr_t)kept);
    }
  }
  *count = kept;
  if (kept) qsort_r(indexes, kept, sizeof(size_t), cmp_names, set);
  for (size_t i = 0; i < kept; i++) {
    Span name, version, full = package_set_get(set, indexes[i])->name;
    drv_name_parse(full, &name, &version);
    if (map_has(&several, name) || map_has(&several, full))
      log_warn("there are multiple derivations named '%.*s'; using the first one", SPAN_ARG(full));
  }
  return true;
}

static int cmp_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

static bool no_match(Session *session, const PackageSet *set, const size_t *indexes, size_t count, const char *selector,
                     int *ret_code) {
  Span prefix, name, version;
  Buf hits CLEANUP(buf_done) = BUF_INIT;
  Map seen CLEANUP(map_done) = MAP_INIT;
  Span names[3];
  size_t hit_count = 0;
  Err err = ERR_INIT;
  drv_name_parse(span_cstr(selector), &prefix, &version);
  for (size_t i = 0; i < count && hit_count < ARRAY_LEN(names); i++) {
    drv_name_parse(package_set_get(set, indexes[i])->name, &name, &version);
    if (!span_has_prefix(name, prefix) || map_has(&seen, name)) continue;
    map_set(&seen, name, NULL);
    names[hit_count++] = name;
  }
  if (hit_count) qsort(names, hit_count, sizeof(Span), cmp_spans);
  for (size_t i = 0; i < hit_count; i++) buf_printf(&hits, "\n%.*s", SPAN_ARG(names[i]));
  err_set(&err, ERR_NOT_FOUND, "selector '%s' matches no derivations%s%s", selector,
          hits.len ? ", maybe you meant:" : "", buf_cstr(&hits));
  *ret_code = session_fail(session, &err);
  return false;
}

bool env_source_filter(Session *session, PackageSet *set, const char *const *selectors, size_t count, bool newest_only,
                       size_t **indexes, size_t *index_count, int *ret_code) {
  static const char *const everything[] = {"*"};
  Err err = ERR_INIT;
  if (!count) {
    selectors = everything;
    count = 1;
  }
  size_t total = *index_count, found = 0;
  size_t *all = *indexes, *result = mem_alloc_array(total + 1, sizeof(size_t)),
         *matches = mem_alloc_array(total + 1, sizeof(size_t));
  unsigned char *taken = mem_alloc_zero(package_set_count(set) + 1);
  bool ok = true;
  for (size_t i = 0; ok && i < count; i++) {
    PackageSelector *selector;
    size_t match_count = 0;
    ok = package_selector_new(selectors[i], &selector, &err);
    if (!ok) {
      *ret_code = session_fail(session, &err);
      break;
    }
    for (size_t j = 0; j < total; j++)
      if (package_selector_matches(selector, package_set_get(set, all[j])->name)) matches[match_count++] = all[j];
    package_selector_free(selector);
    if (!match_count && strcmp(selectors[i], "*") != 0) ok = no_match(session, set, all, total, selectors[i], ret_code);
    ok = ok && (!newest_only || pick_newest(session, set, matches, &match_count, ret_code));
    for (size_t j = 0; ok && j < match_count; j++) {
      if (taken[matches[j]]) continue;
      taken[matches[j]] = 1;
      result[found++] = matches[j];
    }
  }
  mem_free(taken);
  mem_free(matches);
  mem_free(all);
  *indexes = result;
  *index_count = found;
  return ok;
}

// ---- elements

// Leaves only packages of these names in `indexes`; those that cannot be evaluated become elements that say so.
static bool filter_names(PackageSet *set, const Map *names, size_t *indexes, size_t *count, UserEnv *ret,
                         int *ret_code) {
  const unsigned parts = PACKAGE_DRV_PATH | PACKAGE_OUT_PATH | PACKAGE_OUTPUT_PATHS | PACKAGE_META;
  size_t named = 0, kept = 0;
  for (size_t i = 0; i < *count; i++)
    if (map_has(names, drv_name_without_version(package_set_get(set, indexes[i])->name))) indexes[named++] = indexes[i];
  if (!package_set_parts(set, parts, indexes, named, ret_code)) return false;
  for (size_t i = 0; i < named; i++) {
    const Package *package = package_set_get(set, indexes[i]);
    UserEnvElement element = {
        .name = package->name, .attr_path = package->attr_path, .meta = package->meta, .is_broken = true};
    if (package->failed_parts & parts) user_env_add(ret, &element);
    else indexes[kept++] = indexes[i];
  }
  *count = kept;
  return true;
}

static bool add_packages(Session *session, PackageSet *set, const Map *names, size_t *indexes, size_t count,
                         UserEnv *ret, int *ret_code) {
  Err err = ERR_INIT;
  if (names && !filter_names(set, names, indexes, &count, ret, ret_code)) return false;
  if (!package_set_complete(set, indexes, count, ret_code)) return false;
  for (size_t i = 0; i < count; i++) {
    UserEnvElement element;
    if (!user_env_element(session, package_set_get(set, indexes[i]), &element, &err))
      return *ret_code = session_fail(session, &err), false;
    user_env_add(ret, &element);
  }
  return true;
}

// The packages that `query` names, all of them.
static bool add_query(Session *session, const TargetQuery *query, const Map *names, UserEnv *ret, int *ret_code) {
  PackageSet *set = package_set_new(session, query, true, ret_code);
  if (!set) return false;
  size_t count;
  size_t *indexes = package_set_indexes(set, &count);
  bool ok = add_packages(session, set, names, indexes, count, ret, ret_code);
  mem_free(indexes);
  package_set_free(set);
  return ok;
}

static bool add_by_name(Session *session, bool newest_only, const Map *names, UserEnv *ret, int *ret_code) {
  size_t *indexes = NULL, count = 0;
  PackageSet *set = env_source_all(session, "", &indexes, &count, ret_code);
  if (!set) return false;
  bool ok = env_source_filter(session, set, session->options.operands, session->options.operand_count, newest_only,
                              &indexes, &count, ret_code) &&
            add_packages(session, set, names, indexes, count, ret, ret_code);
  mem_free(indexes);
  package_set_free(set);
  return ok;
}

// Functions of the root: x: x.hello
static bool add_by_function(Session *session, const Map *names, UserEnv *ret, int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  const char *attr = "";
  if (!env_source_root(session, &root, &err)) return *ret_code = session_fail(session, &err), false;
  for (size_t i = 0; i < session->options.operand_count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    buf_printf(&text, "(%s) (", session->options.operands[i]);
    if (root.kind == TARGET_EXPR) {
      buf_put_cstr(&text, root.text);
    } else {
      buf_put_cstr(&text, "import (/. + ");
      print_string_literal(span_cstr(session_absolute(session, root.text)), &text);
      buf_put_char(&text, ')');
    }
    buf_put_char(&text, ')');
    TargetRoot call = {TARGET_EXPR, buf_cstr(&text)};
    TargetQuery query = {.roots = &call, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
    if (!add_query(session, &query, names, ret, ret_code)) return false;
  }
  return true;
}

static bool add_store_path(Session *session, const char *text, UserEnv *ret, Err *err) {
  StorePath path;
  Buf whole CLEANUP(buf_done) = BUF_INIT;
  if (!store_command_path(session, text, &path, err)) return false;
  store_path_format(&path, session_store_dir(session), &whole);
  Span out = arena_dup(&session->arena, buf_span(&whole)), name = arena_dup(&session->arena, store_path_name(&path));
  UserEnvElement element = {.name = name, .attr_path = SPAN(""), .out_path = out, .meta = {.kind = JSON_TREE_OBJECT}};
  if (store_path_is_derivation(&path)) {
    const Derivation *drv = session_derivation(session, &path, err);
    if (!drv) return false;
    const DerivationOutput *output = derivation_find_output(drv, SPAN("out"));
    if (!output) return err_set(err, ERR_USAGE, "derivation '%.*s' has no output 'out'", SPAN_ARG(out));
    // The name keeps its ".drv", as in the manifests of C++ Nix.
    element.drv_path = out;
    element.out_path = output->path;
  }
  element.outputs = ARENA_NEW(&session->arena, PackageOutput);
  element.outputs[0] = (PackageOutput){SPAN("out"), element.out_path};
  element.output_count = 1;
  user_env_add(ret, &element);
  return true;
}

static int64_t priority_of(const UserEnvElement *element) {
  Package package = {.meta = element->meta};
  return package_meta_int(&package, SPAN("priority"), 0);
}

// Of several elements of one name, the one with the highest priority, then version, counts.
static void add_better(UserEnv *env, size_t from, const UserEnvElement *element) {
  Span name, version, other, other_version;
  drv_name_parse(element->name, &name, &version);
  for (size_t i = from; i < env->count; i++) {
    drv_name_parse(env->items[i].name, &other, &other_version);
    if (!span_eq(name, other)) continue;
    int64_t a = priority_of(element), b = priority_of(&env->items[i]);
    if (a < b || (a == b && drv_name_compare_versions(version, other_version) > 0)) env->items[i] = *element;
    return;
  }
  user_env_add(env, element);
}

static int cmp_elements(const void *a, const void *b) {
  return span_cmp(drv_name_without_version(((const UserEnvElement *)a)->name),
                  drv_name_without_version(((const UserEnvElement *)b)->name));
}

static bool add_from_profile(Session *session, const char *profile, UserEnv *ret, int *ret_code) {
  UserEnv all CLEANUP(user_env_done) = {0};
  Err err = ERR_INIT;
  const OptionList *options = &session->options;
  if (!user_env_read(session, session_absolute(session, profile), &all, ret_code)) return false;
  static const char *const everything[] = {"*"};
  const char *const *selectors = options->operand_count ? options->operands : everything;
  size_t count = options->operand_count ? options->operand_count : 1;
  for (size_t i = 0; i < count; i++) {
    PackageSelector *selector;
    if (!package_selector_new(selectors[i], &selector, &err)) return *ret_code = session_fail(session, &err), false;
    bool hit = false;
    size_t from = ret->count;
    for (size_t j = 0; j < all.count; j++) {
      if (!package_selector_matches(selector, all.items[j].name)) continue;
      add_better(ret, from, &all.items[j]);
      hit = true;
    }
    package_selector_free(selector);
    if (ret->count > from) qsort(ret->items + from, ret->count - from, sizeof(UserEnvElement), cmp_elements);
    if (!hit && strcmp(selectors[i], "*") != 0) {
      err_set(&err, ERR_NOT_FOUND, "selector '%s' matches no derivations", selectors[i]);
      return *ret_code = session_fail(session, &err), false;
    }
  }
  return true;
}

bool env_source_fail(Session *session, const UserEnvElement *element, int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  UserEnv none CLEANUP(user_env_done) = {0};
  const char *path = arena_dup(&session->arena, element->attr_path).data;
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &path, .attr_path_count = 1};
  if (!env_source_root(session, &root, &err)) return *ret_code = session_fail(session, &err), false;
  if (!add_query(session, &query, NULL, &none, ret_code)) return false;
  err_set(&err, ERR_EVAL, "'%.*s' cannot be evaluated", SPAN_ARG(element->name));
  return *ret_code = session_fail(session, &err), false;
}

bool env_source_find(Session *session, bool newest_only, const Map *names, UserEnv *ret, int *ret_code) {
  Err err = ERR_INIT;
  TargetRoot root;
  const OptionList *options = &session->options;
  const char *profile = option_get(options, OPT_from_profile);
  if (profile) return add_from_profile(session, profile, ret, ret_code);
  if (option_has(options, OPT_from_expression)) return add_by_function(session, names, ret, ret_code);
  if (option_has(options, OPT_env_attr)) {
    if (!env_source_root(session, &root, &err)) return *ret_code = session_fail(session, &err), false;
    TargetQuery query = {
        .roots = &root, .root_count = 1, .attr_paths = options->operands, .attr_path_count = options->operand_count};
    return add_query(session, &query, names, ret, ret_code);
  }
  if (!options->operand_count || !strchr(options->operands[0], '/'))
    return add_by_name(session, newest_only, names, ret, ret_code);
  for (size_t i = 0; i < options->operand_count; i++)
    if (!add_store_path(session, options->operands[i], ret, &err))
      return *ret_code = session_fail(session, &err), false;
  return true;
}
