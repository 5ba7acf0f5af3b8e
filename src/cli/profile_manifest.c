// profile_manifest.c: see profile_manifest.h.
#include "cli/profile_manifest.h"

#include "base/fs.h"
#include "base/mem.h"
#include "formats/derivation.h"
#include "formats/drv_name.h"
#include "formats/json_write.h"
#include "store/store_add.h"

void profile_manifest_done(ProfileManifest *manifest) {
  mem_free(manifest->items);
  *manifest = (ProfileManifest){0};
}

static size_t place_of(const ProfileManifest *manifest, Span name) {
  size_t at = 0;
  while (at < manifest->count && span_cmp(manifest->items[at].name, name) < 0) at++;
  return at;
}

void profile_manifest_add(Session *session, ProfileManifest *manifest, ProfileElement element) {
  Span wanted = element.name;
  size_t at = place_of(manifest, element.name);
  for (int i = 1; at < manifest->count && span_eq(manifest->items[at].name, element.name); i++) {
    element.name = span_cstr(arena_printf(&session->arena, "%.*s-%d", SPAN_ARG(wanted), i));
    at = place_of(manifest, element.name);
  }
  MEM_RESERVE(manifest->items, manifest->cap, manifest->count + 1);
  memmove(manifest->items + at + 1, manifest->items + at, (manifest->count - at) * sizeof(ProfileElement));
  manifest->items[at] = element;
  manifest->count++;
}

void profile_manifest_remove(ProfileManifest *manifest, size_t index) {
  manifest->count--;
  memmove(manifest->items + index, manifest->items + index + 1, (manifest->count - index) * sizeof(ProfileElement));
}

// ---- names

static Span text_of(const JsonTree *object, const char *key) {
  const JsonTree *member = json_tree_get(object, span_cstr(key));
  return member && member->kind == JSON_TREE_STRING ? member->string : SPAN("");
}

// "flake:nixpkgs#hello^man"; what follows '^' are the outputs, "*" where it is all of them.
static void put_source(const JsonTree *source, Buf *ret) {
  const JsonTree *outputs = json_tree_get(source, SPAN("outputs"));
  buf_printf(ret, "%.*s#%.*s", SPAN_ARG(text_of(source, "originalUrl")), SPAN_ARG(text_of(source, "attrPath")));
  for (size_t i = 0; outputs && outputs->kind == JSON_TREE_ARRAY && i < outputs->count; i++)
    buf_printf(ret, "%c%.*s", i ? ',' : '^', SPAN_ARG(outputs->items[i].string));
}

// The names or the versions of the element's packages, each once.
static Span join_parts(Session *session, const ProfileElement *element, bool versions, const char *empty) {
  Span *parts = ARENA_ARRAY(&session->arena, Span, element->path_count + 1);
  size_t count = 0;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  for (size_t i = 0; i < element->path_count; i++) {
    StorePath path;
    Span name, version;
    if (!store_path_parse(element->paths[i], session_store_dir(session), &path, NULL)) continue;
    drv_name_parse(store_path_name(&path), &name, &version);
    parts[count++] = arena_dup(&session->arena, versions ? version : name);
  }
  derivation_sort_spans(parts, &count);
  for (size_t i = 0; i < count; i++) {
    if (text.len) buf_put_cstr(&text, ", ");
    buf_put_span(&text, parts[i].len ? parts[i] : span_cstr(empty));
  }
  return arena_dup(&session->arena, buf_span(&text));
}

Span profile_manifest_identifier(Session *session, const ProfileElement *element) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (element->source.kind != JSON_TREE_OBJECT) return join_parts(session, element, false, "");
  put_source(&element->source, &text);
  return arena_dup(&session->arena, buf_span(&text));
}

// "1.0, 1.1"
static Span versions_of(Session *session, const ProfileElement *element) {
  Span text = join_parts(session, element, true, "\xce\xb5");
  return element->path_count ? text : SPAN("\xe2\x88\x85");
}

static bool is_word(Span text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.data[i];
    bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!ok) return false;
  }
  return text.len > 0;
}

// Manifests before version 3 have no names: the attribute's last part, or the last part of the flake's path.
static Span name_of(Session *session, const ProfileElement *element) {
  if (element->source.kind != JSON_TREE_OBJECT) return profile_manifest_identifier(session, element);
  Span attr = text_of(&element->source, "attrPath"), url = text_of(&element->source, "originalUrl");
  size_t dot = span_rfind_char(attr, '.'), query = span_find_char(url, '?');
  Span last = dot == SIZE_MAX ? attr : span_from(attr, dot + 1);
  bool is_default = span_eq_cstr(last, "default") || span_has_prefix(attr, SPAN("defaultPackage."));
  if (is_word(last) && !is_default) return last;
  if (query != SIZE_MAX) url = span_sub(url, 0, query);
  size_t slash = span_rfind_char(url, '/');
  Span base = slash == SIZE_MAX ? SPAN("") : span_from(url, slash + 1);
  return is_word(base) ? base : profile_manifest_identifier(session, element);
}

// ---- reading

static bool read_element(Session *session, const JsonTree *record, int64_t version, ProfileElement *ret, Err *err) {
  const JsonTree *paths = json_tree_get(record, SPAN("storePaths")), *active = json_tree_get(record, SPAN("active")),
                 *priority = json_tree_get(record, SPAN("priority"));
  Arena *arena = &session->arena;
  *ret = (ProfileElement){.active = true, .priority = PROFILE_MANIFEST_PRIORITY, .source = {.kind = JSON_TREE_NULL}};
  if (!paths || paths->kind != JSON_TREE_ARRAY) return err_set(err, ERR_SYNTAX, "an element has no 'storePaths'");
  if (active && active->kind == JSON_TREE_BOOL) ret->active = active->boolean;
  if (priority && priority->kind == JSON_TREE_INT) ret->priority = priority->integer;
  if (priority && priority->kind == JSON_TREE_UINT && priority->uinteger <= INT64_MAX)
    ret->priority = (int64_t)priority->uinteger;
  ret->paths = ARENA_ARRAY(arena, Span, paths->count + 1);
  for (size_t i = 0; i < paths->count; i++) {
    StorePath path;
    if (paths->items[i].kind != JSON_TREE_STRING) return err_set(err, ERR_SYNTAX, "'storePaths' holds no strings");
    if (!store_path_parse(paths->items[i].string, session_store_dir(session), &path, err)) return false;
    ret->paths[ret->path_count++] = paths->items[i].string;
  }
  derivation_sort_spans(ret->paths, &ret->path_count);
  const char *url = version == 1 ? "uri" : "url", *original = version == 1 ? "originalUri" : "originalUrl";
  if (!text_of(record, url).len) return true;
  ret->source.kind = JSON_TREE_OBJECT;
  ret->source.items = NULL;
  ret->source.count = 0;
  json_tree_set(&ret->source, arena, SPAN("originalUrl"), json_tree_string(text_of(record, original)));
  json_tree_set(&ret->source, arena, SPAN("url"), json_tree_string(text_of(record, url)));
  json_tree_set(&ret->source, arena, SPAN("attrPath"), json_tree_string(text_of(record, "attrPath")));
  const JsonTree *outputs = json_tree_get(record, SPAN("outputs"));
  json_tree_set(&ret->source, arena, SPAN("outputs"), outputs ? *outputs : (JsonTree){.kind = JSON_TREE_NULL});
  return true;
}

static bool read_json(Session *session, const char *file, ProfileManifest *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  JsonTree root;
  Arena *arena = &session->arena;
  if (!fs_read_file(file, PROFILE_MANIFEST_BYTES_MAX, &text, err) ||
      !json_tree_parse(arena_dup(arena, buf_span(&text)), arena, &root, err))
    return err_wrap(err, "reading '%s'", file);
  const JsonTree *version = json_tree_get(&root, SPAN("version")), *elements = json_tree_get(&root, SPAN("elements"));
  int64_t number = !version                          ? 0
                   : version->kind == JSON_TREE_INT  ? version->integer
                   : version->kind == JSON_TREE_UINT ? (int64_t)version->uinteger
                                                     : -1;
  if (number < 1 || number > 3)
    return err_set(err, ERR_SYNTAX, "profile manifest '%s' has unsupported version %lld", file, (long long)number);
  for (size_t i = 0; elements && i < elements->count; i++) {
    ProfileElement element;
    if (!read_element(session, &elements->items[i], number, &element, err)) return err_wrap(err, "reading '%s'", file);
    element.name = elements->kind == JSON_TREE_OBJECT ? elements->items[i].key : name_of(session, &element);
    profile_manifest_add(session, ret, element);
  }
  return true;
}

// What nix-env has installed.
static bool read_nix_env(Session *session, const char *profile, ProfileManifest *ret, int *ret_code) {
  UserEnv env CLEANUP(user_env_done) = {0};
  if (!user_env_read(session, profile, &env, ret_code)) return false;
  for (size_t i = 0; i < env.count; i++) {
    ProfileElement element = {
        .active = true, .priority = PROFILE_MANIFEST_PRIORITY, .source = {.kind = JSON_TREE_NULL}};
    element.paths = ARENA_NEW(&session->arena, Span);
    element.paths[0] = env.items[i].out_path;
    element.path_count = 1;
    element.name = name_of(session, &element);
    profile_manifest_add(session, ret, element);
  }
  return true;
}

bool profile_manifest_read(Session *session, const char *profile, ProfileManifest *ret, int *ret_code) {
  Store *store;
  StorePath current;
  bool found;
  Err err = ERR_INIT;
  Buf file CLEANUP(buf_done) = BUF_INIT;
  if (!user_env_current(session, profile, &current, &found, &err))
    return *ret_code = session_fail(session, &err), false;
  if (!found) return true;
  if (!session_store(session, &store, &err) || !store_materialise(store, &current, 1, &err))
    return *ret_code = session_fail(session, &err), false;
  store_format_physical(store, &current, &file);
  buf_put_cstr(&file, "/manifest.json");
  if (!fs_exists(buf_cstr(&file))) return read_nix_env(session, profile, ret, ret_code);
  if (read_json(session, buf_cstr(&file), ret, &err)) return true;
  return *ret_code = session_fail(session, &err), false;
}

// ---- writing

static bool put_element(JsonWrite *json, const ProfileElement *element, Err *err) {
  const JsonTree *source = element->source.kind == JSON_TREE_OBJECT ? &element->source : NULL;
  Buf outputs CLEANUP(buf_done) = BUF_INIT;
  json_write_object_begin(json);
  if (!json_write_key(json, SPAN("active"), err)) return false;
  json_write_bool(json, element->active);
  if (source &&
      (!json_write_key(json, SPAN("attrPath"), err) || !json_write_str(json, text_of(source, "attrPath"), err) ||
       !json_write_key(json, SPAN("originalUrl"), err) || !json_write_str(json, text_of(source, "originalUrl"), err) ||
       !json_write_key(json, SPAN("outputs"), err) ||
       !json_tree_format(json_tree_get(source, SPAN("outputs")), &outputs, err)))
    return false;
  if (source) json_write_raw(json, buf_span(&outputs));
  if (!json_write_key(json, SPAN("priority"), err)) return false;
  json_write_int(json, element->priority);
  if (!json_write_key(json, SPAN("storePaths"), err)) return false;
  if (!json_write_strs(json, element->paths, element->path_count, err)) return false;
  if (source && (!json_write_key(json, SPAN("url"), err) || !json_write_str(json, text_of(source, "url"), err)))
    return false;
  json_write_object_end(json);
  return true;
}

// Members stand in the order of their names.
bool profile_manifest_format(const ProfileManifest *manifest, Buf *ret, Err *err) {
  JsonWrite json;
  json_write_init(&json, ret, 0);
  json_write_object_begin(&json);
  if (!json_write_key(&json, SPAN("elements"), err)) return false;
  json_write_object_begin(&json);
  for (size_t i = 0; i < manifest->count; i++)
    if (!json_write_key(&json, manifest->items[i].name, err) || !put_element(&json, &manifest->items[i], err))
      return false;
  json_write_object_end(&json);
  if (!json_write_key(&json, SPAN("version"), err)) return false;
  json_write_uint(&json, 3);
  json_write_object_end(&json);
  return true;
}

// What build_env_make wants to know, and all paths.
static bool list_packages(Store *store, const ProfileManifest *manifest, Buf *ret_packages, StorePathList *ret_paths,
                          Err *err) {
  for (size_t i = 0; i < manifest->count; i++) {
    const ProfileElement *element = &manifest->items[i];
    buf_printf(ret_packages, "%s %lld %zu", element->active ? "true" : "false", (long long)element->priority,
               element->path_count);
    for (size_t j = 0; j < element->path_count; j++) {
      StorePath path;
      if (!store_parse_path(store, element->paths[j], &path, err)) return false;
      store_path_list_add(ret_paths, &path);
      buf_printf(ret_packages, " %.*s", SPAN_ARG(element->paths[j]));
    }
    buf_put_char(ret_packages, '\n');
  }
  store_path_list_sort(ret_paths);
  return true;
}

// The tree becomes a store path whose name follows from its content; references are those of the manifest, whatever the tree mentions.
static bool add_tree(Session *session, Store *store, const char *tree, StorePathList *refs, StorePath *ret, Err *err) {
  CastoreImport import = CASTORE_IMPORT_INIT;
  if (!store_add_scan(store, tree, NULL, &import, err)) return false;
  PathInfo info = {.root = import.root,
                   .nar_size_bytes = import.nar_size_bytes,
                   .refs = refs->paths,
                   .ref_count = refs->count,
                   .has_ca = true,
                   .ca = {.method = CA_NAR, .hash = {.algo = HASH_SHA256}}};
  memcpy(info.nar_sha256, import.nar_sha256, sizeof info.nar_sha256);
  memcpy(info.ca.hash.bytes, import.nar_sha256, sizeof import.nar_sha256);
  Span *texts = ARENA_ARRAY(&session->arena, Span, refs->count + 1);
  for (size_t i = 0; i < refs->count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_format_path(store, &refs->paths[i], &text);
    texts[i] = arena_dup(&session->arena, buf_span(&text));
  }
  StorePathRefs named = {.paths = texts, .count = refs->count};
  bool valid, ok = store_path_make_fixed(SPAN("profile"), &info.ca, &named, store_dir(store), &info.path, err) &&
                   store_pin(store, &info.path, &valid, err) &&
                   store_register(store, &(StoreRegistration){.info = &info, .tree = tree, .ultimate = true}, 1, err);
  store_add_scan_done(store, &import);
  *ret = info.path;
  return ok;
}

bool profile_manifest_build(Session *session, const ProfileManifest *manifest, StorePath *ret,
                            BuildEnvConflict *ret_conflict, Err *err) {
  Store *store;
  StorePathList paths = STORE_PATH_LIST_INIT;
  Buf packages CLEANUP(buf_done) = BUF_INIT, tree CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, err)) return false;
  bool ok = list_packages(store, manifest, &packages, &paths, err) &&
            store_materialise_closure(store, paths.paths, paths.count, err) &&
            store_scratch(store, SPAN("profile"), &tree, err) &&
            build_env_make(store, buf_span(&packages), SPAN(""), buf_cstr(&tree), ret_conflict, err) &&
            profile_manifest_format(manifest, &text, err);
  const char *file = arena_printf(&session->arena, "%s/manifest.json", buf_cstr(&tree));
  ok = ok && fs_write_file_atomic(file, buf_span(&text), 0644, false, err) &&
       add_tree(session, store, buf_cstr(&tree), &paths, ret, err);
  store_path_list_done(&paths);
  Err ignored = ERR_INIT;
  if (tree.len && !fs_remove_tree(buf_cstr(&tree), &ignored)) err_done(&ignored);
  return ok;
}

// ---- comparing

void profile_manifest_put_difference(Session *session, const ProfileManifest *before, const ProfileManifest *after,
                                     Buf *ret) {
  static const char nothing[] = "\xe2\x88\x85";
  bool changed = false;
  for (size_t i = 0, j = 0; i < before->count || j < after->count;) {
    const ProfileElement *old = i < before->count ? &before->items[i] : NULL,
                         *new = j < after->count ? &after->items[j] : NULL;
    int c = !old ? 1 : !new ? -1 : span_cmp(old->name, new->name);
    Span from = c <= 0 ? versions_of(session, old) : SPAN(""), to = c >= 0 ? versions_of(session, new) : SPAN("");
    if (c <= 0) i++;
    if (c >= 0) j++;
    if (c == 0 && span_eq(from, to)) continue;
    changed = true;
    buf_printf(ret, "  %.*s: %.*s -> %.*s\n", SPAN_ARG(profile_manifest_identifier(session, c <= 0 ? old : new)),
               SPAN_ARG(c <= 0 ? from : span_cstr(nothing)), SPAN_ARG(c >= 0 ? to : span_cstr(nothing)));
  }
  if (!changed) buf_put_cstr(ret, "  No changes.\n");
}
