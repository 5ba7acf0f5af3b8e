// user_env.c: see user_env.h.
#include "cli/user_env.h"

#include <stdlib.h>
#include <time.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/build_command.h"
#include "cli/user_dirs.h"
#include "eval/attrs.h"
#include "eval/print.h"
#include "eval/str.h"
#include "formats/json_write.h"
#include "store/store_add.h"

void user_env_done(UserEnv *env) {
  mem_free(env->items);
  *env = (UserEnv){0};
}

void user_env_add(UserEnv *env, const UserEnvElement *element) {
  MEM_RESERVE(env->items, env->cap, env->count + 1);
  env->items[env->count++] = *element;
}

static int cmp_outputs(const void *a, const void *b) {
  return span_cmp(((const PackageOutput *)a)->name, ((const PackageOutput *)b)->name);
}

bool user_env_element(Session *session, const Package *package, UserEnvElement *ret, Err *err) {
  const PackageOutput *outputs;
  *ret = (UserEnvElement){.name = package->name,
                          .system = package->system,
                          .attr_path = package->attr_path,
                          .drv_path = package->drv_path,
                          .out_path = package->out_path,
                          .meta = package->meta};
  if (!package_outputs_to_install(package, &session->arena, &outputs, &ret->output_count, err)) return false;
  ret->outputs = ARENA_ARRAY(&session->arena, PackageOutput, ret->output_count);
  for (size_t i = 0; i < ret->output_count; i++) ret->outputs[i] = outputs[i];
  if (ret->output_count) qsort(ret->outputs, ret->output_count, sizeof(PackageOutput), cmp_outputs);
  return true;
}

void user_env_set_flag(Session *session, UserEnvElement *element, const char *name, const char *value) {
  // The members are shared with other elements and with the package.
  JsonTree *items = ARENA_ARRAY(&session->arena, JsonTree, element->meta.count);
  if (element->meta.count) memcpy(items, element->meta.items, element->meta.count * sizeof(JsonTree));
  element->meta.items = items;
  json_tree_set(&element->meta, &session->arena, arena_dup(&session->arena, span_cstr(name)),
                json_tree_string(arena_dup(&session->arena, span_cstr(value))));
}

Span user_env_flag(const UserEnvElement *element, const char *name) {
  const JsonTree *value = json_tree_get(&element->meta, span_cstr(name));
  if (value && value->kind == JSON_TREE_STRING) return value->string;
  if (value && value->kind == JSON_TREE_BOOL) return value->boolean ? SPAN("true") : SPAN("false");
  return SPAN("");
}

// ---- reading a profile

bool user_env_default_profile(Session *session, const char **ret, Err *err) {
  Store *store;
  Buf link CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  user_dirs_path(session->settings, "profile", &link);
  if (!session_store(session, &store, err) || !profile_default(store, buf_cstr(&link), &path, err)) return false;
  *ret = arena_dup(&session->arena, buf_span(&path)).data;
  return true;
}

bool user_env_current(Session *session, const char *profile, StorePath *ret, bool *ret_found, Err *err) {
  Buf target CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  Err absent = ERR_INIT;
  Span at = span_cstr(profile);
  *ret_found = false;
  // The profile, perhaps a link to it (~/.nix-profile), the generation.
  for (int links = 0; links < 16; links++) {
    buf_clear(&target);
    if (!fs_read_link(arena_dup(&session->arena, at).data, &target, &absent)) {
      err_done(&absent);
      return true;
    }
    buf_clear(&path);
    fs_path_canon(fs_path_dir(at), buf_span(&target), &path);
    at = arena_dup(&session->arena, buf_span(&path));
    // Where the store is elsewhere, generations point to the physical place.
    if (store_path_parse_base(fs_path_base(at), ret, NULL)) return *ret_found = true;
  }
  return err_set(err, ERR_LIMIT, "'%s' is a chain of too many links", profile);
}

bool user_env_read(Session *session, const char *profile, UserEnv *ret, int *ret_code) {
  StorePath current;
  Err err = ERR_INIT;
  bool found;
  Buf dir CLEANUP(buf_done) = BUF_INIT, physical CLEANUP(buf_done) = BUF_INIT;
  Store *store;
  if (!user_env_current(session, profile, &current, &found, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!found) return true;
  if (!session_store(session, &store, &err) || !store_materialise(store, &current, 1, &err))
    return *ret_code = session_fail(session, &err), false;
  store_path_format(&current, session_store_dir(session), &dir);
  store_format_physical(store, &current, &physical);
  if (fs_exists(arena_printf(&session->arena, "%s/manifest.json", buf_cstr(&physical)))) {
    err_set(&err, ERR_OTHER, "profile '%s' is incompatible with 'nix-env'; please use 'nix profile' instead", profile);
    return *ret_code = session_fail(session, &err), false;
  }
  if (!fs_exists(arena_printf(&session->arena, "%s/manifest.nix", buf_cstr(&physical)))) return true;
  TargetRoot root = {TARGET_FILE, arena_printf(&session->arena, "%s/manifest.nix", buf_cstr(&dir))};
  const char *attr = "";
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  PackageSet *set = package_set_new(session, &query, false, ret_code);
  if (!set) return false;
  bool ok = package_set_complete_all(set, ret_code);
  for (size_t i = 0; ok && i < package_set_count(set); i++) {
    UserEnvElement element;
    Package package = *package_set_get(set, i);
    // All outputs in a manifest have been chosen.
    package.meta = (JsonTree){.kind = JSON_TREE_OBJECT};
    ok = user_env_element(session, &package, &element, &err);
    element.meta = package_set_get(set, i)->meta;
    if (ok) user_env_add(ret, &element);
    else *ret_code = session_fail(session, &err);
  }
  package_set_free(set);
  return ok;
}

// ---- the manifest

static bool put_field(JsonWrite *json, const char *key, Span value, Err *err) {
  return json_write_key(json, span_cstr(key), err) && json_write_str(json, value, err);
}

// The order of members does not matter: it is read into a set.
static bool put_element(JsonWrite *json, const UserEnvElement *element, Err *err) {
  Buf meta CLEANUP(buf_done) = BUF_INIT;
  json_write_object_begin(json);
  if (!put_field(json, "type", SPAN("derivation"), err) || !put_field(json, "name", element->name, err) ||
      (element->system.len && !put_field(json, "system", element->system, err)) ||
      !put_field(json, "outPath", element->out_path, err) || !json_write_key(json, SPAN("outputs"), err))
    return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < element->output_count; i++)
    if (!json_write_str(json, element->outputs[i].name, err)) return false;
  json_write_array_end(json);
  for (size_t i = 0; i < element->output_count; i++) {
    if (!json_write_key(json, element->outputs[i].name, err)) return false;
    json_write_object_begin(json);
    if (!put_field(json, "outPath", element->outputs[i].path, err)) return false;
    json_write_object_end(json);
  }
  if (!json_tree_format(&element->meta, &meta, err) || !json_write_key(json, SPAN("meta"), err)) return false;
  json_write_raw(json, buf_span(&meta));
  json_write_object_end(json);
  return true;
}

// The elements as an expression of the language: "(builtins.fromJSON "...")".
static bool put_elements(const UserEnv *env, Buf *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  JsonWrite json;
  json_write_init(&json, &text, 0);
  json_write_array_begin(&json);
  for (size_t i = 0; i < env->count; i++)
    if (!put_element(&json, &env->items[i], err)) return false;
  json_write_array_end(&json);
  buf_put_cstr(ret, "(builtins.fromJSON ");
  print_string_literal(buf_span(&text), ret);
  buf_put_char(ret, ')');
  return true;
}

// The manifest is what C++ Nix's printer makes of the list.
static bool print_manifest(Session *session, Span elements, Buf *ret, int *ret_code) {
  Vm *vm = session->vm;
  HeapRoot value = {0}, forced = {0};
  HeapRoot *const args[1] = {&value};
  heap_add_root(&vm->heap, &value, VALUE_NULL);
  heap_add_root(&vm->heap, &forced, VALUE_NULL);
  bool ok = vm_eval_text(vm, elements, SPAN("/"), SPAN("«manifest»"), &value) &&
            vm_run_native(vm, &native_deep_force, args, 1, &forced);
  if (ok) print_plain(vm, forced.value, ret);
  else *ret_code = session_eval_failed(session, NULL);
  heap_remove_root(&vm->heap, &forced);
  heap_remove_root(&vm->heap, &value);
  return ok;
}

static bool add_manifest(Session *session, const UserEnv *env, Span text, StorePath *ret, Err *err) {
  Store *store;
  StorePathList refs = STORE_PATH_LIST_INIT;
  bool ok = session_store(session, &store, err);
  for (size_t i = 0; ok && i < env->count; i++) {
    for (size_t j = 0; ok && j < env->items[i].output_count; j++) {
      StorePath path;
      ok = store_parse_path(store, env->items[i].outputs[j].path, &path, err);
      if (ok) store_path_list_add(&refs, &path);
    }
  }
  store_path_list_sort(&refs);
  ok = ok && store_add_text(store, SPAN("env-manifest.nix"), text, refs.paths, refs.count, ret, err);
  store_path_list_done(&refs);
  return ok;
}

// ---- building

static bool build_elements(Session *session, const UserEnv *env, int *ret_code) {
  Err err = ERR_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  for (size_t i = 0; i < env->count; i++) {
    const UserEnvElement *element = &env->items[i];
    bool is_path;
    // Several outputs of one derivation are one build.
    for (size_t j = 0; j < element->output_count; j++) {
      const char *text = element->drv_path.len ? arena_printf(&session->arena, "%.*s^%.*s", SPAN_ARG(element->drv_path),
                                                              SPAN_ARG(element->outputs[j].name))
                                               : arena_dup(&session->arena, element->outputs[j].path).data;
      if (!build_command_add_path(session, &targets, text, &is_path, &err))
        return *ret_code = session_fail(session, &err), false;
    }
  }
  *ret_code = build_command_build(session, &targets, SCHEDULER_NORMAL, true);
  return *ret_code == 0;
}

// Own words for what nix-env/buildenv.nix says; the derivation is the same.
static const char builder[] =
    "{ derivations, manifest }: derivation {"
    "  name = \"user-environment\"; system = \"builtin\"; builder = \"builtin:buildenv\"; inherit manifest;"
    "  derivations = map (package: [ (package.meta.active or \"true\") (package.meta.priority or 5)"
    "    (builtins.length package.outputs) ] ++ map (output: package.${output}) package.outputs) derivations;"
    "  preferLocalBuild = true; allowSubstitutes = false; }";

static bool instantiate(Session *session, Span elements, const StorePath *manifest, BuildTarget *ret, int *ret_code) {
  Buf text CLEANUP(buf_done) = BUF_INIT, path CLEANUP(buf_done) = BUF_INIT;
  TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
  store_path_format(manifest, session_store_dir(session), &path);
  buf_printf(&text,
             "(%s) { derivations = %.*s; manifest = builtins.appendContext \"%s\" { \"%s\" = { path = true; }; }; }",
             builder, SPAN_ARG(elements), buf_cstr(&path), buf_cstr(&path));
  TargetRoot root = {TARGET_EXPR, buf_cstr(&text)};
  const char *attr = "";
  TargetQuery query = {.roots = &root, .root_count = 1, .attr_paths = &attr, .attr_path_count = 1};
  // --arg is for what is installed.
  OptionList options = session->options;
  session->options.use_count = 0;
  bool ok = target_query_drvs(session, &query, &drvs, ret_code);
  session->options = options;
  if (ok) *ret = (BuildTarget){.path = drvs.items[0].drv_path, .output = SPAN("out"), .is_drv = true};
  return ok;
}

static bool switch_profile(Session *session, const StorePath *path, const char *profile, const StorePath *before,
                           bool has_before, bool *ret_changed, Err *err) {
  Store *store;
  StoreLock *lock = NULL;
  StorePath now;
  bool has_now;
  uint64_t number;
  if (!session_store(session, &store, err) || !profile_lock(profile, &lock, err)) return false;
  bool ok = user_env_current(session, profile, &now, &has_now, err);
  *ret_changed = ok && (has_now != has_before || (has_now && !store_path_eq(&now, before)));
  if (ok && !*ret_changed)
    ok = profile_add(store, profile, path, &number, err) && profile_switch_to(profile, number, err);
  store_lock_release(lock);
  return ok;
}

bool user_env_install(Session *session, const UserEnv *env, const char *profile, const StorePath *before,
                      bool has_before, bool *ret_changed, int *ret_code) {
  Err err = ERR_INIT;
  Store *store;
  Buf elements CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {.without_plan = true};
  BuildTarget target;
  StorePath manifest;
  *ret_changed = false;
  if (!build_elements(session, env, ret_code)) return false;
  if (!session_vm(session, &err) || !put_elements(env, &elements, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!print_manifest(session, buf_span(&elements), &text, ret_code)) return false;
  if (!add_manifest(session, env, buf_span(&text), &manifest, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!instantiate(session, buf_span(&elements), &manifest, &target, ret_code)) return false;
  build_command_list_add(&targets, &target);
  *ret_code = build_command_build(session, &targets, SCHEDULER_NORMAL, true);
  if (*ret_code) return false;
  if (!session_store(session, &store, &err) || !store_materialise_closure(store, &targets.items[0].out_path, 1, &err) ||
      !switch_profile(session, &targets.items[0].out_path, profile, before, has_before, ret_changed, &err))
    return *ret_code = session_fail(session, &err), false;
  return true;
}

void user_env_format_generations(const ProfileGenerations *generations, Buf *ret) {
  for (size_t i = 0; i < generations->count; i++) {
    const ProfileGeneration *generation = &generations->items[i];
    time_t created = (time_t)generation->created_s;
    struct tm time;
    localtime_r(&created, &time);
    bool current = generations->has_current && generations->current == generation->number;
    buf_printf(ret, "%4llu   %4d-%02d-%02d %02d:%02d:%02d   %s\n", (unsigned long long)generation->number,
               time.tm_year + 1900, time.tm_mon + 1, time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec,
               current ? "(current)" : "");
  }
}
