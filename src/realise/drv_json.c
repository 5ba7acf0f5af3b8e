// drv_json.c: see drv_json.h. Behaviour: Nix 2.26, Derivation::fromJSON.
#include "realise/drv_json.h"

#include "formats/store_path.h"
#include "realise/json_tree.h"

typedef struct Reader {
  Span store_dir;
  Arena *arena;
} Reader;

static const char *kind_name(const JsonTree *tree) {
  static const char *const names[] = {
      [JSON_TREE_NULL] = "null",   [JSON_TREE_BOOL] = "boolean", [JSON_TREE_INT] = "number",
      [JSON_TREE_UINT] = "number", [JSON_TREE_FLOAT] = "number", [JSON_TREE_STRING] = "string",
      [JSON_TREE_ARRAY] = "array", [JSON_TREE_OBJECT] = "object"};
  return names[tree->kind];
}

static bool expect(const JsonTree *tree, JsonTreeKind kind, Err *err) {
  if (tree->kind == kind) return true;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  JsonTree wanted = {.kind = kind};
  if (!json_tree_format(tree, &text, err)) return false;
  return err_set(err, ERR_SYNTAX, "Expected JSON value to be of type '%s' but it is of type '%s': %s",
                 kind_name(&wanted), kind_name(tree), buf_cstr(&text));
}

// A member of an object, of that kind.
static bool get(const JsonTree *tree, const char *key, JsonTreeKind kind, const JsonTree **ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!expect(tree, JSON_TREE_OBJECT, err)) return false;
  *ret = json_tree_get(tree, span_cstr(key));
  if (*ret) return expect(*ret, kind, err);
  if (!json_tree_format(tree, &text, err)) return false;
  return err_set(err, ERR_SYNTAX, "Expected JSON object to contain key '%s' but it doesn't: %s", key, buf_cstr(&text));
}

static bool get_string(const JsonTree *tree, const char *key, Span *ret, Err *err) {
  const JsonTree *value;
  if (!get(tree, key, JSON_TREE_STRING, &value, err)) return false;
  *ret = value->string;
  return true;
}

static bool check_path(const Reader *reader, Span text, Err *err) {
  StorePath path;
  return store_path_parse(text, reader->store_dir, &path, err);
}

// `as_set`: sorted, each once.
static bool read_strings(const Reader *reader, const JsonTree *tree, bool as_set, Span **ret, size_t *ret_count,
                         Err *err) {
  if (!expect(tree, JSON_TREE_ARRAY, err)) return false;
  Span *items = ARENA_ARRAY(reader->arena, Span, tree->count + 1);
  for (size_t i = 0; i < tree->count; i++) {
    if (!expect(&tree->items[i], JSON_TREE_STRING, err)) return false;
    items[i] = tree->items[i].string;
  }
  *ret = items;
  *ret_count = tree->count;
  if (as_set) derivation_sort_spans(items, ret_count);
  return true;
}

// ---- outputs

static bool read_method(const JsonTree *tree, DerivationOutput *ret, Err *err) {
  Span method, algo;
  return get_string(tree, "method", &method, err) && content_address_method_parse(method, false, &ret->method, err) &&
         get_string(tree, "hashAlgo", &algo, err) && hash_algo_parse(algo, &ret->hash.algo, err);
}

// Which members there are says what kind of output it is.
static bool read_output(const Reader *reader, const JsonTree *tree, DerivationOutput *ret, Err *err) {
  if (!expect(tree, JSON_TREE_OBJECT, err)) return false;
  bool path = json_tree_get(tree, SPAN("path")), method = json_tree_get(tree, SPAN("method")),
       algo = json_tree_get(tree, SPAN("hashAlgo")), hash = json_tree_get(tree, SPAN("hash")),
       impure = json_tree_get(tree, SPAN("impure"));
  Span digits;
  *ret = (DerivationOutput){.name = tree->key, .kind = DERIVATION_DEFERRED};
  if (tree->count == 0) return true;
  if (tree->count == 1 && path) {
    ret->kind = DERIVATION_INPUT_ADDRESSED;
    return get_string(tree, "path", &ret->path, err) && check_path(reader, ret->path, err);
  }
  if (tree->count == 4 && path && method && algo && hash) {
    ret->kind = DERIVATION_FIXED;
    return read_method(tree, ret, err) && get_string(tree, "hash", &digits, err) &&
           hash_parse_bare(digits, ret->hash.algo, &ret->hash, err) && get_string(tree, "path", &ret->path, err) &&
           check_path(reader, ret->path, err);
  }
  if (method && algo && (tree->count == 2 || (tree->count == 3 && impure))) {
    ret->kind = impure ? DERIVATION_IMPURE : DERIVATION_FLOATING;
    return read_method(tree, ret, err);
  }
  return err_set(err, ERR_SYNTAX, "invalid JSON for derivation output");
}

static bool read_outputs(const Reader *reader, const JsonTree *tree, Derivation *ret, Err *err) {
  const JsonTree *outputs;
  if (!get(tree, "outputs", JSON_TREE_OBJECT, &outputs, err)) return false;
  ret->outputs = ARENA_ARRAY(reader->arena, DerivationOutput, outputs->count + 1);
  ret->output_count = outputs->count;
  for (size_t i = 0; i < outputs->count; i++)
    if (!read_output(reader, &outputs->items[i], &ret->outputs[i], err))
      return err_wrap(err, "while reading key 'outputs'");
  return true;
}

// ---- inputs

static bool read_input(const Reader *reader, const JsonTree *tree, DerivationInput *ret, Err *err) {
  const JsonTree *outputs, *dynamic;
  Span *names;
  if (!get(tree, "outputs", JSON_TREE_ARRAY, &outputs, err) ||
      !get(tree, "dynamicOutputs", JSON_TREE_OBJECT, &dynamic, err) ||
      !read_strings(reader, outputs, true, &names, &ret->output_count, err))
    return false;
  ret->key = tree->key;
  ret->outputs = names;
  return dynamic->count == 0 || err_set(err, ERR_OTHER,
                                        "experimental Nix feature 'dynamic-derivations' is disabled; add "
                                        "'--extra-experimental-features dynamic-derivations' to enable it");
}

static bool read_inputs(const Reader *reader, const JsonTree *tree, Derivation *ret, Err *err) {
  const JsonTree *inputs;
  if (!get(tree, "inputDrvs", JSON_TREE_OBJECT, &inputs, err)) return false;
  ret->input_drvs = ARENA_ARRAY(reader->arena, DerivationInput, inputs->count + 1);
  ret->input_drv_count = inputs->count;
  for (size_t i = 0; i < inputs->count; i++) {
    ret->input_drvs[i] = (DerivationInput){.key = inputs->items[i].key};
    if (!check_path(reader, inputs->items[i].key, err) ||
        !read_input(reader, &inputs->items[i], &ret->input_drvs[i], err))
      return err_wrap(err, "while reading key 'inputDrvs'");
  }
  return true;
}

static bool read_sources(const Reader *reader, const JsonTree *tree, Derivation *ret, Err *err) {
  const JsonTree *sources;
  if (!get(tree, "inputSrcs", JSON_TREE_ARRAY, &sources, err) ||
      !read_strings(reader, sources, true, &ret->input_srcs, &ret->input_src_count, err))
    return false;
  for (size_t i = 0; i < ret->input_src_count; i++)
    if (!check_path(reader, ret->input_srcs[i], err)) return err_wrap(err, "while reading key 'inputSrcs'");
  return true;
}

// ---- the whole

static bool read_env(const Reader *reader, const JsonTree *tree, Derivation *ret, Err *err) {
  const JsonTree *env;
  if (!get(tree, "env", JSON_TREE_OBJECT, &env, err)) return false;
  ret->env = ARENA_ARRAY(reader->arena, DerivationEnv, env->count + 1);
  ret->env_count = env->count;
  for (size_t i = 0; i < env->count; i++) {
    if (!expect(&env->items[i], JSON_TREE_STRING, err)) return false;
    ret->env[i] = (DerivationEnv){env->items[i].key, env->items[i].string};
  }
  return true;
}

bool drv_json_read(Span text, Span store_dir, Arena *arena, Derivation *ret, Err *err) {
  Reader reader = {store_dir, arena};
  JsonTree tree;
  const JsonTree *args;
  *ret = (Derivation){.outputs = NULL};
  return json_tree_parse(text, arena, &tree, err) && get_string(&tree, "name", &ret->name, err) &&
         read_outputs(&reader, &tree, ret, err) && read_sources(&reader, &tree, ret, err) &&
         read_inputs(&reader, &tree, ret, err) && get_string(&tree, "system", &ret->platform, err) &&
         get_string(&tree, "builder", &ret->builder, err) && get(&tree, "args", JSON_TREE_ARRAY, &args, err) &&
         read_strings(&reader, args, false, &ret->args, &ret->arg_count, err) && read_env(&reader, &tree, ret, err);
}
