// derivation_request.c: see derivation_request.h.
#include "realise/derivation_request.h"

#include "base/fs.h"
#include "base/map.h"
#include "formats/nixbase32.h"
#include "formats/placeholder.h"
#include "realise/structured_attrs.h"

typedef struct Maker {
  const DerivationRequestInput *input;
  Arena *arena;
  BuildRequest *request;
  DerivationRequestRewrite *rewrites; // own placeholders, then the input's
  size_t rewrite_count;
  Map env; // name -> Span in the arena
  size_t file_cap;
} Maker;

// --- text

static Span in_arena(Maker *maker, Buf *buf) {
  Span ret = arena_dup(maker->arena, buf_span(buf));
  buf_done(buf);
  return ret;
}

static Span path_text(Maker *maker, const StorePath *path) {
  Buf buf = BUF_INIT;
  store_path_format(path, maker->input->store_dir, &buf);
  return in_arena(maker, &buf);
}

static Span rewrite(Maker *maker, Span text) {
  // Every placeholder has a length, and hash parts have one; most texts are shorter.
  if (text.len < (maker->input->rewrite_count ? STORE_PATH_HASH_CHARS : PLACEHOLDER_LEN)) return text;
  for (size_t i = 0; i < maker->rewrite_count; i++)
    text = arena_replace(maker->arena, text, maker->rewrites[i].from, maker->rewrites[i].to);
  return text;
}

static void make_rewrites(Maker *maker) {
  const DerivationRequestInput *input = maker->input;
  maker->rewrites =
      ARENA_ARRAY(maker->arena, DerivationRequestRewrite, input->drv->output_count + input->rewrite_count);
  for (size_t i = 0; i < input->drv->output_count; i++) {
    Buf from = BUF_INIT;
    placeholder_own(input->drv->outputs[i].name, &from);
    maker->rewrites[maker->rewrite_count++] =
        (DerivationRequestRewrite){in_arena(maker, &from), path_text(maker, &input->output_paths[i])};
  }
  for (size_t i = 0; i < input->rewrite_count; i++) maker->rewrites[maker->rewrite_count++] = input->rewrites[i];
}

static void set_env(Maker *maker, Span name, Span value) {
  Span *slot = map_get(&maker->env, name);
  if (!slot) {
    slot = ARENA_NEW(maker->arena, Span);
    map_set(&maker->env, name, slot);
  }
  *slot = value;
}

static void set_env_lit(Maker *maker, const char *name, Span value) {
  set_env(maker, span_cstr(name), value);
}

// A file in the build directory.
static void add_file(Maker *maker, Span name, Span content) {
  BuildRequest *request = maker->request;
  if (request->file_count == maker->file_cap) {
    size_t cap = maker->file_cap ? maker->file_cap * 2 : 8;
    BuildFile *files = ARENA_ARRAY(maker->arena, BuildFile, cap);
    if (request->file_count) memcpy(files, request->files, request->file_count * sizeof *files);
    request->files = files;
    maker->file_cap = cap;
  }
  const char *path =
      arena_printf(maker->arena, "%.*s/%.*s", SPAN_ARG(span_from(maker->input->build_dir, 1)), SPAN_ARG(name));
  request->files[request->file_count++] = (BuildFile){span_cstr(path), content};
}

static Span build_path(Maker *maker, Span name) {
  return span_cstr(arena_printf(maker->arena, "%.*s/%.*s", SPAN_ARG(maker->input->build_dir), SPAN_ARG(name)));
}

// --- exportReferencesGraph

// The closure of one input, which must be one.
static bool get_exported(Maker *maker, const StorePath *paths, size_t count, const PathInfo ***ret, size_t *ret_count,
                         Err *err) {
  const DerivationRequestInput *input = maker->input;
  for (size_t i = 0; i < count; i++) {
    size_t low = 0, high = input->closure_count;
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (store_path_cmp(&input->closure[middle].path, &paths[i]) < 0) low = middle + 1;
      else high = middle;
    }
    if (low == input->closure_count || !store_path_eq(&input->closure[low].path, &paths[i])) {
      Span text = path_text(maker, &paths[i]);
      return err_set(err, ERR_BUILD_FAILED,
                     "cannot export references of path '%.*s' because it is not in the input closure of the derivation",
                     SPAN_ARG(text));
    }
  }
  return input->get_closure(input->ctx, paths, count, maker->arena, ret, ret_count, err);
}

// The format of nix-store --register-validity, without derivers and hashes.
static void put_validity(Maker *maker, const PathInfo *const *infos, size_t count, Buf *ret) {
  for (size_t i = 0; i < count; i++) {
    store_path_format(&infos[i]->path, maker->input->store_dir, ret);
    buf_printf(ret, "\n\n%zu\n", infos[i]->ref_count);
    for (size_t j = 0; j < infos[i]->ref_count; j++) {
      store_path_format(&infos[i]->refs[j], maker->input->store_dir, ret);
      buf_put_char(ret, '\n');
    }
  }
}

// [A-Za-z_][A-Za-z0-9_.-]*
static bool is_export_name(Span s) {
  for (size_t i = 0; i < s.len; i++) {
    char c = s.data[i];
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    bool other = (c >= '0' && c <= '9') || c == '.' || c == '-';
    if (!letter && !(other && i > 0)) return false;
  }
  return s.len > 0;
}

static bool parse_store_path(Maker *maker, Span text, StorePath *ret, Err *err) {
  Span rest;
  if (!store_path_is_below(text, maker->input->store_dir))
    return err_set(err, ERR_BUILD_FAILED, "'exportReferencesGraph' contains a non-store path '%.*s'", SPAN_ARG(text));
  return store_path_split(text, maker->input->store_dir, ret, &rest, err);
}

static bool export_plain(Maker *maker, Err *err) {
  const DerivationEnv *env = derivation_find_env(maker->input->drv, SPAN("exportReferencesGraph"));
  if (!env) return true;
  DrvStrings words = drv_options_split_words(env->value, maker->arena);
  if (words.count % 2)
    return err_set(err, ERR_BUILD_FAILED, "odd number of tokens in 'exportReferencesGraph': '%.*s'",
                   SPAN_ARG(env->value));
  for (size_t i = 0; i < words.count; i += 2) {
    StorePath path;
    const PathInfo **infos;
    size_t count;
    Buf text = BUF_INIT;
    if (!is_export_name(words.items[i]))
      return err_set(err, ERR_OTHER, "invalid file name '%.*s' in 'exportReferencesGraph'", SPAN_ARG(words.items[i]));
    if (!parse_store_path(maker, words.items[i + 1], &path, err) || !get_exported(maker, &path, 1, &infos, &count, err))
      return false;
    put_validity(maker, infos, count, &text);
    add_file(maker, words.items[i], in_arena(maker, &text));
  }
  return true;
}

static uint64_t closure_size(Maker *maker, const StorePath *path, Err *err, bool *ok) {
  const PathInfo **infos;
  size_t count;
  uint64_t sum = 0;
  *ok = maker->input->get_closure(maker->input->ctx, path, 1, maker->arena, &infos, &count, err);
  for (size_t i = 0; *ok && i < count; i++) sum += infos[i]->nar_size_bytes;
  return sum;
}

static bool info_to_json(Maker *maker, const PathInfo *info, JsonTree *ret, Err *err) {
  Arena *arena = maker->arena;
  bool ok;
  uint64_t size = closure_size(maker, &info->path, err, &ok);
  if (!ok) return false;
  *ret = (JsonTree){.kind = JSON_TREE_OBJECT};
  Buf text = BUF_INIT;
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, info->nar_sha256, sizeof info->nar_sha256);
  hash_format_nix32(&hash, &text);
  json_tree_set(ret, arena, SPAN("narHash"), json_tree_string(in_arena(maker, &text)));
  if (info->has_ca) {
    content_address_format(&info->ca, &text);
    json_tree_set(ret, arena, SPAN("ca"), json_tree_string(in_arena(maker, &text)));
  }
  JsonTree references = {
      .kind = JSON_TREE_ARRAY, .items = ARENA_ARRAY(arena, JsonTree, info->ref_count), .count = info->ref_count};
  for (size_t i = 0; i < info->ref_count; i++) references.items[i] = json_tree_string(path_text(maker, &info->refs[i]));
  json_tree_set(ret, arena, SPAN("references"), references);
  json_tree_set(ret, arena, SPAN("narSize"), (JsonTree){.kind = JSON_TREE_UINT, .uinteger = info->nar_size_bytes});
  json_tree_set(ret, arena, SPAN("closureSize"), (JsonTree){.kind = JSON_TREE_UINT, .uinteger = size});
  json_tree_set(ret, arena, SPAN("path"), json_tree_string(path_text(maker, &info->path)));
  json_tree_set(ret, arena, SPAN("valid"), (JsonTree){.kind = JSON_TREE_BOOL, .boolean = true});
  return true;
}

// One member of a structured exportReferencesGraph: name -> list of paths becomes name -> list of infos, at top level.
static bool export_structured_one(Maker *maker, const JsonTree *graph, JsonTree *attrs, Err *err) {
  StorePath *paths = ARENA_ARRAY(maker->arena, StorePath, graph->count + 1);
  // A single string counts as a list of one, as nlohmann iterates it.
  const JsonTree *items = graph->kind == JSON_TREE_ARRAY ? graph->items : graph;
  size_t path_count = graph->kind == JSON_TREE_ARRAY ? graph->count : 1, count;
  for (size_t i = 0; i < path_count; i++) {
    if (items[i].kind != JSON_TREE_STRING)
      return err_set(err, ERR_OTHER, "'exportReferencesGraph.%.*s' must be a list of strings", SPAN_ARG(graph->key));
    if (!parse_store_path(maker, items[i].string, &paths[i], err)) return false;
  }
  const PathInfo **infos;
  if (!get_exported(maker, paths, path_count, &infos, &count, err)) return false;
  JsonTree list = {.kind = JSON_TREE_ARRAY, .items = ARENA_ARRAY(maker->arena, JsonTree, count), .count = count};
  for (size_t i = 0; i < count; i++)
    if (!info_to_json(maker, infos[i], &list.items[i], err)) return false;
  json_tree_set(attrs, maker->arena, graph->key, list);
  return true;
}

// --- the two ways of passing attributes

static bool pass_structured(Maker *maker, Err *err) {
  JsonTree attrs = maker->input->options->attrs;
  if (attrs.kind != JSON_TREE_OBJECT) return err_set(err, ERR_OTHER, "the structured attributes are not an object");
  const JsonTree *graphs = json_tree_get(&maker->input->options->attrs, SPAN("exportReferencesGraph"));
  JsonTree outputs = {.kind = JSON_TREE_OBJECT};
  for (size_t i = 0; i < maker->input->drv->output_count; i++)
    json_tree_set(&outputs, maker->arena, maker->input->drv->outputs[i].name, json_tree_string(maker->rewrites[i].to));
  json_tree_set(&attrs, maker->arena, SPAN("outputs"), outputs);
  for (size_t i = 0; graphs && graphs->kind == JSON_TREE_OBJECT && i < graphs->count; i++)
    if (!export_structured_one(maker, &graphs->items[i], &attrs, err)) return false;
  Buf shell = BUF_INIT, json = BUF_INIT;
  structured_attrs_format_shell(&attrs, &shell);
  if (!json_tree_format(&attrs, &json, err)) {
    buf_done(&shell);
    buf_done(&json);
    return err_wrap(err, "writing .attrs.json");
  }
  add_file(maker, SPAN(".attrs.sh"), rewrite(maker, in_arena(maker, &shell)));
  add_file(maker, SPAN(".attrs.json"), rewrite(maker, in_arena(maker, &json)));
  return true;
}

static bool is_passed_as_file(const DrvOptions *options, Span name) {
  for (size_t i = 0; i < options->pass_as_file.count; i++)
    if (span_eq(options->pass_as_file.items[i], name)) return true;
  return false;
}

static void pass_as_file(Maker *maker, const DerivationEnv *env) {
  uint8_t digest[32];
  hash_sha256(env->name, digest);
  Buf name = BUF_INIT;
  buf_put_cstr(&name, ".attr-");
  nixbase32_put(&name, digest, sizeof digest);
  Span file = in_arena(maker, &name);
  add_file(maker, file, rewrite(maker, env->value));
  set_env(maker, span_cstr(arena_printf(maker->arena, "%.*sPath", SPAN_ARG(env->name))), build_path(maker, file));
}

static void pass_plain(Maker *maker) {
  const Derivation *drv = maker->input->drv;
  for (size_t i = 0; i < drv->env_count; i++) {
    if (is_passed_as_file(maker->input->options, drv->env[i].name)) pass_as_file(maker, &drv->env[i]);
    else set_env(maker, drv->env[i].name, drv->env[i].value);
  }
}

// --- environment

static void set_impure(Maker *maker) {
  const DerivationRequestInput *input = maker->input;
  for (size_t i = 0; i < input->options->impure_env_vars.count; i++) {
    Buf value = BUF_INIT;
    if (!input->get_env || !input->get_env(input->ctx, input->options->impure_env_vars.items[i], &value))
      buf_clear(&value);
    set_env(maker, input->options->impure_env_vars.items[i], in_arena(maker, &value));
  }
}

static bool make_env(Maker *maker, Err *err) {
  static const char *const build_dir_names[] = {"NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP", "PWD"};
  const DerivationRequestInput *input = maker->input;
  set_env_lit(maker, "PATH", SPAN("/path-not-set"));
  set_env_lit(maker, "HOME", SPAN("/homeless-shelter"));
  set_env_lit(maker, "NIX_STORE", input->store_dir);
  set_env_lit(maker, "NIX_BUILD_CORES", span_cstr(arena_printf(maker->arena, "%u", input->cores)));
  if (!input->options->structured) pass_plain(maker);
  for (size_t i = 0; i < ARRAY_LEN(build_dir_names); i++) set_env_lit(maker, build_dir_names[i], input->build_dir);
  if (input->type == DERIVATION_TYPE_FIXED) set_env_lit(maker, "NIX_OUTPUT_CHECKED", SPAN("1"));
  if (maker->request->network_access) set_impure(maker);
  set_env_lit(maker, "NIX_LOG_FD", SPAN("2"));
  set_env_lit(maker, "TERM", SPAN("xterm-256color"));
  if (!input->options->structured) return export_plain(maker, err);
  set_env_lit(maker, "NIX_ATTRS_SH_FILE", build_path(maker, SPAN(".attrs.sh")));
  set_env_lit(maker, "NIX_ATTRS_JSON_FILE", build_path(maker, SPAN(".attrs.json")));
  return pass_structured(maker, err);
}

static void take_env(Maker *maker) {
  BuildRequest *request = maker->request;
  request->env = ARENA_ARRAY(maker->arena, BuildEnv, maker->env.live_count);
  for (MapEntry *e = map_first(&maker->env); e; e = map_next(&maker->env, e))
    request->env[request->env_count++] =
        (BuildEnv){arena_dup(maker->arena, span_make(e->key, e->key_len)), rewrite(maker, *(Span *)e->value)};
}

// --- the rest of the request

static void make_command(Maker *maker) {
  const Derivation *drv = maker->input->drv;
  BuildRequest *request = maker->request;
  request->args = ARENA_ARRAY(maker->arena, Span, drv->arg_count + 1);
  request->args[request->arg_count++] = drv->builder;
  for (size_t i = 0; i < drv->arg_count; i++) request->args[request->arg_count++] = rewrite(maker, drv->args[i]);
}

static Span base_text(Maker *maker, const StorePath *path) {
  Buf buf = BUF_INIT;
  store_path_format_base(path, &buf);
  return in_arena(maker, &buf);
}

static void make_inputs(Maker *maker) {
  const DerivationRequestInput *input = maker->input;
  BuildRequest *request = maker->request;
  request->inputs = ARENA_ARRAY(maker->arena, CastoreNode, input->closure_count);
  for (size_t i = 0; i < input->closure_count; i++) {
    request->inputs[i] = input->closure[i].node;
    request->inputs[i].name = base_text(maker, &input->closure[i].path);
  }
  request->input_count = input->closure_count;
}

static void make_outputs(Maker *maker, size_t **ret_output_order) {
  const DerivationRequestInput *input = maker->input;
  BuildRequest *request = maker->request;
  size_t count = input->drv->output_count;
  Span dir = span_from(input->store_dir, 1);
  Span *unsorted = ARENA_ARRAY(maker->arena, Span, count);
  for (size_t i = 0; i < count; i++) {
    Span base = base_text(maker, &input->output_paths[i]);
    unsorted[i] = span_cstr(arena_printf(maker->arena, "%.*s/%.*s", SPAN_ARG(dir), SPAN_ARG(base)));
  }
  request->outputs = ARENA_ARRAY(maker->arena, Span, count);
  if (count) memcpy(request->outputs, unsorted, count * sizeof *unsorted);
  request->output_count = count;
  request_sort(request);
  *ret_output_order = ARENA_ARRAY(maker->arena, size_t, count);
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < count; j++)
      if (request->outputs[j].data == unsorted[i].data) (*ret_output_order)[i] = j;
}

static void make_needles(Maker *maker) {
  const DerivationRequestInput *input = maker->input;
  size_t count = input->drv->output_count + input->closure_count;
  Span *needles = ARENA_ARRAY(maker->arena, Span, count);
  char *text = arena_alloc(maker->arena, count * STORE_PATH_HASH_CHARS + 1);
  for (size_t i = 0; i < count; i++) {
    char *at = text + i * STORE_PATH_HASH_CHARS;
    bool own = i < input->drv->output_count;
    store_path_format_hash(own ? &input->output_paths[i] : &input->closure[i - input->drv->output_count].path, at);
    needles[i] = span_make(at, STORE_PATH_HASH_CHARS);
  }
  maker->request->needles = needles;
  maker->request->needle_count = count;
}

static void make_places(Maker *maker) {
  const DerivationRequestInput *input = maker->input;
  BuildRequest *request = maker->request;
  request->working_dir = span_from(input->build_dir, 1);
  request->inputs_dir = span_from(input->store_dir, 1);
  request->scratch_paths = ARENA_ARRAY(maker->arena, Span, 2);
  request->scratch_paths[0] = request->working_dir;
  request->scratch_paths[1] = request->inputs_dir;
  request->scratch_path_count = 2;
  request->system = input->drv->platform;
  request->provide_bin_sh = true;
  request->network_access = input->type == DERIVATION_TYPE_FIXED || input->type == DERIVATION_TYPE_IMPURE;
}

bool derivation_request_make(const DerivationRequestInput *input, Arena *arena, BuildRequest *ret,
                             size_t **ret_output_order, Err *err) {
  *ret = (BuildRequest){0};
  Maker maker = {.input = input, .arena = arena, .request = ret};
  make_rewrites(&maker);
  make_places(&maker);
  bool ok = make_env(&maker, err);
  if (ok) {
    take_env(&maker);
    make_command(&maker);
    make_inputs(&maker);
    make_needles(&maker);
    make_outputs(&maker, ret_output_order);
    ok = request_check(ret, err);
  }
  map_done(&maker.env);
  if (ok) return true;
  Span drv = path_text(&maker, input->drv_path);
  return err_wrap(err, "building '%.*s'", SPAN_ARG(drv));
}
