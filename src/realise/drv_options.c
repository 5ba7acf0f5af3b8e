// drv_options.c: see drv_options.h.
#include "realise/drv_options.h"

typedef struct Reader {
  const Derivation *drv;
  Span drv_path;
  Arena *arena;
  const JsonTree *attrs; // NULL: not structured
} Reader;

DrvStrings drv_options_split_words(Span text, Arena *arena) {
  DrvStrings ret = {.is_set = true};
  size_t count = 0;
  for (int pass = 0; pass < 2; pass++) {
    if (pass) ret.items = ARENA_ARRAY(arena, Span, count);
    for (size_t i = 0; i < text.len;) {
      size_t start = i;
      while (i < text.len && !memchr(" \t\n\r", text.data[i], 4)) i++;
      if (i > start) {
        if (pass) ret.items[ret.count++] = span_sub(text, start, i - start);
        else count++;
      }
      if (i < text.len) i++;
    }
  }
  return ret;
}

static bool wrong_type(const Reader *reader, const char *name, const char *type, Err *err) {
  return err_set(err, ERR_OTHER, "attribute '%s' of derivation '%.*s' must be a %s", name, SPAN_ARG(reader->drv_path),
                 type);
}

static bool strings_of_json(const Reader *reader, const JsonTree *object, const char *name, DrvStrings *ret, Err *err) {
  const JsonTree *value = json_tree_get(object, span_cstr(name));
  *ret = (DrvStrings){0};
  if (!value) return true;
  if (value->kind != JSON_TREE_ARRAY) return wrong_type(reader, name, "list of strings", err);
  ret->is_set = true;
  ret->items = ARENA_ARRAY(reader->arena, Span, value->count);
  for (size_t i = 0; i < value->count; i++) {
    if (value->items[i].kind != JSON_TREE_STRING) return wrong_type(reader, name, "list of strings", err);
    ret->items[ret->count++] = value->items[i].string;
  }
  return true;
}

static bool read_strings(const Reader *reader, const char *name, DrvStrings *ret, Err *err) {
  if (reader->attrs) return strings_of_json(reader, reader->attrs, name, ret, err);
  const DerivationEnv *env = derivation_find_env(reader->drv, span_cstr(name));
  *ret = env ? drv_options_split_words(env->value, reader->arena) : (DrvStrings){0};
  return true;
}

static bool read_bool(const Reader *reader, const char *name, bool preset, bool *ret, Err *err) {
  *ret = preset;
  if (!reader->attrs) {
    const DerivationEnv *env = derivation_find_env(reader->drv, span_cstr(name));
    if (env) *ret = span_eq(env->value, SPAN("1"));
    return true;
  }
  const JsonTree *value = json_tree_get(reader->attrs, span_cstr(name));
  if (!value) return true;
  if (value->kind != JSON_TREE_BOOL) return wrong_type(reader, name, "Boolean", err);
  *ret = value->boolean;
  return true;
}

static bool read_size(const Reader *reader, const JsonTree *object, const char *name, bool *ret_is_set, uint64_t *ret,
                      Err *err) {
  const JsonTree *value = json_tree_get(object, span_cstr(name));
  *ret_is_set = value != NULL;
  if (!value) return true;
  if (value->kind != JSON_TREE_UINT) return wrong_type(reader, name, "non-negative number of bytes", err);
  *ret = value->uinteger;
  return true;
}

static bool read_output_checks(const Reader *reader, const JsonTree *object, DrvOutputChecks *ret, Err *err) {
  *ret = (DrvOutputChecks){.output = object->key};
  return read_size(reader, object, "maxSize", &ret->has_max_size, &ret->max_size_bytes, err) &&
         read_size(reader, object, "maxClosureSize", &ret->has_max_closure_size, &ret->max_closure_size_bytes, err) &&
         strings_of_json(reader, object, "allowedReferences", &ret->allowed_references, err) &&
         strings_of_json(reader, object, "allowedRequisites", &ret->allowed_requisites, err) &&
         strings_of_json(reader, object, "disallowedReferences", &ret->disallowed_references, err) &&
         strings_of_json(reader, object, "disallowedRequisites", &ret->disallowed_requisites, err);
}

static bool read_structured_checks(const Reader *reader, DrvOptions *ret, Err *err) {
  const JsonTree *checks = json_tree_get(reader->attrs, SPAN("outputChecks"));
  if (!checks) return true;
  if (checks->kind != JSON_TREE_OBJECT) return wrong_type(reader, "outputChecks", "set", err);
  ret->checks = ARENA_ARRAY(reader->arena, DrvOutputChecks, checks->count);
  for (size_t i = 0; i < checks->count; i++)
    if (!read_output_checks(reader, &checks->items[i], &ret->checks[ret->check_count++], err)) return false;
  return true;
}

static bool read_plain_checks(const Reader *reader, DrvOptions *ret, Err *err) {
  DrvOutputChecks *checks = ARENA_NEW(reader->arena, DrvOutputChecks);
  *checks = (DrvOutputChecks){.output = {"", 0}, .ignore_self_refs = true};
  ret->checks = checks;
  ret->check_count = 1;
  return read_strings(reader, "allowedReferences", &checks->allowed_references, err) &&
         read_strings(reader, "allowedRequisites", &checks->allowed_requisites, err) &&
         read_strings(reader, "disallowedReferences", &checks->disallowed_references, err) &&
         read_strings(reader, "disallowedRequisites", &checks->disallowed_requisites, err);
}

static bool read_discards(const Reader *reader, DrvOptions *ret, Err *err) {
  const JsonTree *discards = json_tree_get(reader->attrs, SPAN("unsafeDiscardReferences"));
  if (!discards || discards->kind != JSON_TREE_OBJECT) return true;
  ret->discard_references = ARENA_ARRAY(reader->arena, Span, discards->count);
  for (size_t i = 0; i < discards->count; i++) {
    const JsonTree *item = &discards->items[i];
    if (item->kind != JSON_TREE_BOOL)
      return err_set(err, ERR_OTHER,
                     "attribute 'unsafeDiscardReferences.\"%.*s\"' of derivation '%.*s' must be a Boolean",
                     SPAN_ARG(item->key), SPAN_ARG(reader->drv_path));
    if (item->boolean) ret->discard_references[ret->discard_reference_count++] = item->key;
  }
  return true;
}

bool drv_options_read(const Derivation *drv, Span drv_path, Arena *arena, DrvOptions *ret, Err *err) {
  Reader reader = {.drv = drv, .drv_path = drv_path, .arena = arena};
  *ret = (DrvOptions){0};
  const DerivationEnv *json = derivation_find_env(drv, SPAN("__json"));
  if (json) {
    if (!json_tree_parse(json->value, arena, &ret->attrs, err))
      return err_wrap(err, "cannot process __json attribute of '%.*s'", SPAN_ARG(drv_path));
    ret->structured = true;
    reader.attrs = &ret->attrs;
  } else if (!read_strings(&reader, "passAsFile", &ret->pass_as_file, err)) {
    return false;
  }
  return read_bool(&reader, "preferLocalBuild", false, &ret->prefer_local_build, err) &&
         read_bool(&reader, "allowSubstitutes", true, &ret->allow_substitutes, err) &&
         read_bool(&reader, "__noChroot", false, &ret->no_chroot, err) &&
         read_strings(&reader, "requiredSystemFeatures", &ret->required_system_features, err) &&
         read_strings(&reader, "impureEnvVars", &ret->impure_env_vars, err) &&
         (ret->structured ? read_structured_checks(&reader, ret, err) && read_discards(&reader, ret, err)
                          : read_plain_checks(&reader, ret, err));
}

static bool contains(const Span *items, size_t count, Span wanted) {
  for (size_t i = 0; i < count; i++)
    if (span_eq(items[i], wanted)) return true;
  return false;
}

bool drv_options_has_feature(const DrvOptions *options, Span feature) {
  return contains(options->required_system_features.items, options->required_system_features.count, feature);
}

bool drv_options_discards_references(const DrvOptions *options, Span output) {
  return contains(options->discard_references, options->discard_reference_count, output);
}

const DrvOutputChecks *drv_options_find_checks(const DrvOptions *options, Span output) {
  for (size_t i = 0; i < options->check_count; i++)
    if (!options->checks[i].output.len || span_eq(options->checks[i].output, output)) return &options->checks[i];
  return NULL;
}
