// derivation_builtin.c: derivations as the language sees them.
//
// derivationStrict evaluates the attributes in name order (which is the order of the environment) and keeps their texts as values in
// a list on the VM stack; nothing is copied until the derivation is complete. Then one Derivation of borrowed text is put together,
// completed and named by derivation_modulo_seal in one pass over one buffer, and recorded in KnownPaths. No .drv is written
// here: that is done in batches, when something needs them.
//
// Behaviour and wording: Nix 2.26, prim_derivationStrict. `derivation` itself is an expression (derivation_text.h).
#include "glue/derivation_builtin.h"

#include <stdlib.h>

#include "base/log.h"
#include "eval/attrs.h"
#include "eval/list.h"
#include "eval/print_json.h"
#include "eval/str.h"
#include "formats/json_write.h"
#include "formats/placeholder.h"
#include "eval/derivation_text.h"
#include "glue/glue.h"

// ---- derivationStrict ----

enum { ATTRS, NAME, TEXTS, ARGS, I, J, PHASE, FLAGS, STRICT_SLOTS };

// What is going on, for traces and sparks.
enum { PHASE_START, PHASE_NAME, PHASE_OPTIONS, PHASE_ATTRIBUTE, PHASE_ARGUMENT, PHASE_END };
enum { FLAG_STRUCTURED = 1, FLAG_IGNORE_NULLS = 2, FLAG_CONTENT_ADDRESSED = 4, FLAG_IMPURE = 8 };

static bool has_flag(const Native *n, int64_t flag) {
  return (native_get(n, FLAGS) & flag) != 0;
}
static void set_flag(Native *n, int64_t flag) {
  native_set(n, FLAGS, native_get(n, FLAGS) | flag);
}

static Shape *strict_shape(const Native *n) {
  return attrs_flat_shape(n->slot[ATTRS]);
}
static Sym current_name(const Native *n) {
  return strict_shape(n)->names[native_get(n, I)];
}

// The text of attribute `name`, as the environment (or, with structured attributes, the set itself) has it. False when it is not there.
static bool get_text(Native *n, Sym name, Value *ret) {
  uint32_t slot = shape_find(strict_shape(n), name);
  if (slot == SHAPE_NOT_FOUND || list_get(n->vm, n->slot[TEXTS], slot) == VALUE_NULL) return false;
  *ret = has_flag(n, FLAG_STRUCTURED) ? value_follow(attrs_slot(n->vm, n->slot[ATTRS], slot))
                                      : list_get(n->vm, n->slot[TEXTS], slot);
  return true;
}

// Output names: words of a string, or (structured attributes) a list of strings, which is evaluated already.
typedef struct Names {
  Span *items;
  size_t count, cap;
} Names;

static void names_add(Names *names, Span name) {
  MEM_RESERVE(names->items, names->cap, names->count + 1);
  names->items[names->count++] = name;
}
static void names_done(Names *names) {
  mem_free(names->items);
}

static void split_words(Span text, Names *ret) {
  for (size_t i = 0; i < text.len;) {
    size_t start = i;
    while (i < text.len && !strchr(" \t\n\r", text.data[i])) i++;
    if (i > start) names_add(ret, span_sub(text, start, i - start));
    else i++;
  }
}

static void read_output_names(Native *n, Value outputs, Names *ret) {
  if (value_is_string(outputs)) {
    split_words(str_span(outputs), ret);
    return;
  }
  Value *items = list_items(n->vm, outputs);
  for (size_t i = 0; i < list_count(outputs); i++) names_add(ret, str_span(value_follow(items[i])));
}

static bool check_outputs(Native *n, Value outputs) {
  Names names CLEANUP(names_done) = {0};
  read_output_names(n, outputs, &names);
  for (size_t i = 0; i < names.count; i++) {
    for (size_t j = 0; j < i; j++)
      if (span_eq(names.items[i], names.items[j]))
        return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "duplicate derivation output '%.*s'", SPAN_ARG(names.items[i])),
               false;
    if (span_eq_cstr(names.items[i], "drvPath"))
      return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "invalid derivation output name 'drvPath'"), false;
  }
  if (names.count == 0)
    return eval_error(n->vm, EVAL_ERROR_EVAL, 0, "derivation cannot have an empty set of outputs"), false;
  return true;
}

static bool parse_hash_mode(Vm *vm, Span text, CaMethod *ret) {
  if (!content_address_method_parse(text, true, ret, NULL))
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "invalid value '%.*s' for 'outputHashMode' attribute", SPAN_ARG(text)),
           false;
  const GlueFeatures *features = &glue_of(vm)->features;
  if (*ret == CA_TEXT && !features->dynamic_derivations) return glue_require_feature(vm, "dynamic-derivations"), false;
  if (*ret == CA_GIT && !features->git_hashing) return glue_require_feature(vm, "git-hashing"), false;
  return true;
}

// What some attributes must fulfil, checked while their trace frame is there. `v`: text as get_text gives it.
static bool check_attribute(Native *n, Sym name, Value v) {
  CaMethod method;
  if (name == SYM_outputs) return check_outputs(n, v);
  if (name == SYM_output_hash_mode) return parse_hash_mode(n->vm, str_span(v), &method);
  return true;
}

// Attributes of structured derivations that are needed as strings.
static bool is_plain_string(Sym name) {
  return name == SYM_system || name == SYM_output_hash || name == SYM_output_hash_algo || name == SYM_output_hash_mode;
}

static void warn_unused_check(Native *n, Sym name) {
  static const char *const unused[] = {"allowedReferences",    "allowedRequisites", "disallowedReferences",
                                       "disallowedRequisites", "maxSize",           "maxClosureSize"};
  Span text = symbol_text(n->vm->symbols, name);
  for (size_t i = 0; i < ARRAY_LEN(unused); i++)
    if (span_eq_cstr(text, unused[i]))
      log_warn(
          "In a derivation named '%.*s', 'structuredAttrs' disables the effect of the derivation attribute '%s'; use "
          "'outputChecks.<output>.%s' instead",
          SPAN_ARG(str_span(n->slot[NAME])), unused[i], unused[i]);
}

// ---- putting the derivation together ----

typedef struct InputRef {
  Span drv, output;
} InputRef;

static int compare_refs(const void *a, const void *b) {
  const InputRef *left = a, *right = b;
  int c = span_cmp(left->drv, right->drv);
  return c ? c : span_cmp(left->output, right->output);
}
static int compare_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}
static int compare_env(const void *a, const void *b) {
  return span_cmp(((const DerivationEnv *)a)->name, ((const DerivationEnv *)b)->name);
}

// What the contexts of all strings ask for.
typedef struct Inputs {
  ContextElement *elements;
  size_t element_count, element_cap;
  InputRef *refs;
  size_t ref_count, ref_cap;
  Span *srcs;
  size_t src_count, src_cap;
} Inputs;

static void inputs_done(Inputs *inputs) {
  mem_free(inputs->elements);
  mem_free(inputs->refs);
  mem_free(inputs->srcs);
}

static void add_context(Inputs *inputs, const Context *context) {
  if (!context) return;
  MEM_RESERVE(inputs->elements, inputs->element_cap, inputs->element_count + context->count);
  memcpy(inputs->elements + inputs->element_count, context->elements, context->count * sizeof(ContextElement));
  inputs->element_count += context->count;
}

static void add_ref(Inputs *inputs, Span drv, Span output) {
  MEM_RESERVE(inputs->refs, inputs->ref_cap, inputs->ref_count + 1);
  inputs->refs[inputs->ref_count++] = (InputRef){drv, output};
}
static void add_src(Inputs *inputs, Span path) {
  MEM_RESERVE(inputs->srcs, inputs->src_cap, inputs->src_count + 1);
  inputs->srcs[inputs->src_count++] = path;
}

// A derivation with its whole closure and all outputs of every derivation in it ("=/nix/store/x.drv"). Text is kept in `arena`.
static bool add_deep(Vm *vm, Inputs *inputs, Span drv_path, Arena *arena, Err *err) {
  Glue *glue = glue_of(vm);
  Map seen CLEANUP(map_done) = MAP_INIT;
  Names stack CLEANUP(names_done) = {0};
  names_add(&stack, drv_path);
  while (stack.count) {
    Span path = stack.items[--stack.count];
    if (map_has(&seen, path)) continue;
    map_set(&seen, path, NULL);
    Span kept = arena_dup(arena, path);
    add_src(inputs, kept);
    if (!span_has_suffix(kept, SPAN(".drv"))) {
      Span *refs;
      size_t count;
      if (!store_io_references(glue->io, kept, arena, &refs, &count, err)) return false;
      for (size_t i = 0; i < count; i++) names_add(&stack, refs[i]);
      continue;
    }
    KnownDrv *drv = known_paths_load(glue->known, kept, err);
    const Derivation *value = drv ? known_paths_parse(glue->known, drv, err) : NULL;
    if (!value) return false;
    for (size_t i = 0; i < value->output_count; i++) add_ref(inputs, kept, value->outputs[i].name);
    for (size_t i = 0; i < value->input_drv_count; i++) names_add(&stack, value->input_drvs[i].key);
    for (size_t i = 0; i < value->input_src_count; i++) names_add(&stack, value->input_srcs[i]);
  }
  return true;
}

static int compare_elements(const void *a, const void *b) {
  ContextElement left = *(const ContextElement *)a, right = *(const ContextElement *)b;
  return (left > right) - (left < right);
}

static bool read_contexts(Vm *vm, Inputs *inputs, Arena *arena, Err *err) {
  if (inputs->element_count) qsort(inputs->elements, inputs->element_count, sizeof(ContextElement), compare_elements);
  for (size_t i = 0; i < inputs->element_count; i++) {
    if (i && inputs->elements[i] == inputs->elements[i - 1]) continue;
    Span text = context_element_text(vm->contexts, inputs->elements[i]);
    if (text.data[0] == '!') {
      size_t end = 1 + span_find_char(span_from(text, 1), '!');
      add_ref(inputs, span_from(text, end + 1), span_sub(text, 1, end - 1));
    } else if (text.data[0] == '=') {
      if (!add_deep(vm, inputs, span_from(text, 1), arena, err)) return false;
    } else {
      add_src(inputs, text);
    }
  }
  return true;
}

static void fill_inputs(Inputs *inputs, Arena *arena, Derivation *drv) {
  if (inputs->ref_count) qsort(inputs->refs, inputs->ref_count, sizeof(InputRef), compare_refs);
  drv->input_drvs = ARENA_ARRAY(arena, DerivationInput, inputs->ref_count);
  Span *outputs = ARENA_ARRAY(arena, Span, inputs->ref_count);
  for (size_t i = 0; i < inputs->ref_count; i++) {
    const InputRef *ref = &inputs->refs[i];
    DerivationInput *last = drv->input_drv_count ? &drv->input_drvs[drv->input_drv_count - 1] : NULL;
    if (!last || !span_eq(last->key, ref->drv)) {
      last = &drv->input_drvs[drv->input_drv_count++];
      *last = (DerivationInput){.key = ref->drv, .outputs = outputs + i};
    } else if (span_eq(last->outputs[last->output_count - 1], ref->output)) {
      continue;
    }
    // Repetitions leave gaps behind the outputs of one derivation, never between them.
    ((Span *)last->outputs)[last->output_count++] = ref->output;
  }
  drv->input_srcs = inputs->srcs;
  drv->input_src_count = inputs->src_count;
  derivation_sort_spans(drv->input_srcs, &drv->input_src_count);
}

// Without an environment variable for each output; `env` has room for them.
static void fill_env(Native *n, Derivation *drv, Inputs *inputs) {
  Shape *shape = strict_shape(n);
  for (uint32_t i = 0; i < shape->count; i++) {
    Value text = list_get(n->vm, n->slot[TEXTS], i);
    if (text == VALUE_NULL) continue;
    add_context(inputs, str_context(text));
    if (has_flag(n, FLAG_STRUCTURED)) continue;
    drv->env[drv->env_count++] = (DerivationEnv){symbol_text(n->vm->symbols, shape->names[i]), str_span(text)};
  }
}

// {"name":value,...}: attribute names are in bytewise order, as nlohmann's objects are.
static bool fill_structured_env(Native *n, Derivation *drv, Arena *arena, Err *err) {
  Shape *shape = strict_shape(n);
  Buf json CLEANUP(buf_done) = BUF_INIT;
  buf_put_char(&json, '{');
  for (uint32_t i = 0; i < shape->count; i++) {
    Value text = list_get(n->vm, n->slot[TEXTS], i);
    if (text == VALUE_NULL) continue;
    if (json.len > 1) buf_put_char(&json, ',');
    if (!json_write_string(&json, symbol_text(n->vm->symbols, shape->names[i]), err)) return false;
    buf_put_char(&json, ':');
    buf_put_span(&json, str_span(text));
  }
  buf_put_char(&json, '}');
  drv->env[drv->env_count++] = (DerivationEnv){SPAN("__json"), arena_dup(arena, buf_span(&json))};
  return true;
}

// Adds the variables of the outputs (their values are set when the derivation is sealed) and restores the order.
static void add_output_env(Derivation *drv) {
  size_t own_count = drv->env_count;
  for (size_t i = 0; i < drv->output_count; i++) {
    size_t low = 0, high = own_count;
    while (low < high) {
      size_t middle = (low + high) / 2;
      if (span_cmp(drv->env[middle].name, drv->outputs[i].name) < 0) low = middle + 1;
      else high = middle;
    }
    if (low < own_count && span_eq(drv->env[low].name, drv->outputs[i].name)) continue;
    drv->env[drv->env_count++] = (DerivationEnv){.name = drv->outputs[i].name};
  }
  if (drv->env_count > own_count) qsort(drv->env, drv->env_count, sizeof(DerivationEnv), compare_env);
}

static bool fill_fixed(Native *n, Derivation *drv, Value hash_text, const HashAlgo *algo, const CaMethod *method,
                       Err *err) {
  if (drv->output_count != 1 || !span_eq_cstr(drv->outputs[0].name, "out"))
    return err_set(err, ERR_EVAL, "multiple outputs are not supported in fixed-output derivations");
  DerivationOutput *output = &drv->outputs[0];
  bool assumed = false;
  output->kind = DERIVATION_FIXED;
  output->method = method ? *method : CA_FLAT;
  if (!hash_parse_or_empty(str_span(hash_text), algo, &output->hash, &assumed, err)) return false;
  if (assumed) {
    Buf sri CLEANUP(buf_done) = BUF_INIT;
    hash_format(&output->hash, HASH_FORMAT_SRI, true, &sri);
    log_warn("found empty hash, assuming '%s'", buf_cstr(&sri));
  }
  return true;
}

// Kinds of the outputs; their paths follow when the derivation is sealed.
static bool fill_outputs(Native *n, Derivation *drv, Arena *arena, Err *err) {
  Value text;
  Names names CLEANUP(names_done) = {0};
  if (get_text(n, SYM_outputs, &text)) read_output_names(n, text, &names);
  else names_add(&names, SPAN("out"));
  qsort(names.items, names.count, sizeof(Span), compare_spans);
  drv->outputs = ARENA_ARRAY(arena, DerivationOutput, names.count);
  drv->output_count = names.count;
  for (size_t i = 0; i < names.count; i++)
    drv->outputs[i] = (DerivationOutput){.name = names.items[i], .kind = DERIVATION_DEFERRED};

  CaMethod method;
  HashAlgo algo;
  bool has_method = get_text(n, SYM_output_hash_mode, &text) && parse_hash_mode(n->vm, str_span(text), &method);
  // An unknown algorithm is no error in itself: the hash may name its own.
  bool has_algo =
      get_text(n, SYM_output_hash_algo, &text) && hash_algo_find(str_span(text), &algo) && algo != HASH_BLAKE3;

  if (span_has_suffix(drv->name, SPAN(".drv")) &&
      !(has_method && method == CA_TEXT && drv->output_count == 1 && span_eq_cstr(drv->outputs[0].name, "out")))
    return err_set(err, ERR_EVAL,
                   "derivation names are allowed to end in '.drv' only if they produce a single derivation file");

  if (get_text(n, SYM_output_hash, &text))
    return fill_fixed(n, drv, text, has_algo ? &algo : NULL, has_method ? &method : NULL, err);
  bool floating = has_flag(n, FLAG_CONTENT_ADDRESSED), impure = has_flag(n, FLAG_IMPURE);
  if (floating && impure) return err_set(err, ERR_EVAL, "derivation cannot be both content-addressed and impure");
  if (!floating && !impure) return true;
  for (size_t i = 0; i < drv->output_count; i++) {
    drv->outputs[i].kind = impure ? DERIVATION_IMPURE : DERIVATION_FLOATING;
    drv->outputs[i].method = has_method ? method : CA_NAR;
    drv->outputs[i].hash.algo = has_algo ? algo : HASH_SHA256;
  }
  return true;
}

static bool fill_derivation(Native *n, Derivation *drv, Inputs *inputs, Arena *arena, Err *err) {
  Vm *vm = n->vm;
  Value text;
  drv->name = str_span(n->slot[NAME]);

  size_t arg_count = list_count(n->slot[ARGS]);
  Value *args = arg_count ? list_items(vm, n->slot[ARGS]) : NULL;
  drv->args = ARENA_ARRAY(arena, Span, arg_count);
  for (size_t i = 0; i < arg_count; i++) {
    drv->args[drv->arg_count++] = str_span(args[i]);
    add_context(inputs, str_context(args[i]));
  }
  // Room for one variable per attribute, for each output, and for __json.
  Value outputs;
  size_t extra =
      get_text(n, SYM_outputs, &outputs) ? value_is_string(outputs) ? str_span(outputs).len : list_count(outputs) : 1;
  drv->env = ARENA_ARRAY(arena, DerivationEnv, strict_shape(n)->count + extra + 1);
  fill_env(n, drv, inputs);
  if (has_flag(n, FLAG_STRUCTURED) && !fill_structured_env(n, drv, arena, err)) return false;
  if (!read_contexts(vm, inputs, arena, err)) return false;
  fill_inputs(inputs, arena, drv);

  if (get_text(n, SYM_builder, &text)) drv->builder = str_span(text);
  if (get_text(n, SYM_system, &text)) drv->platform = str_span(text);
  if (drv->builder.len == 0) return err_set(err, ERR_EVAL, "required attribute 'builder' missing");
  if (drv->platform.len == 0) return err_set(err, ERR_EVAL, "required attribute 'system' missing");
  if (!fill_outputs(n, drv, arena, err)) return false;
  add_output_env(drv);
  return true;
}

static Value output_string(Vm *vm, Span drv_path, const StorePath *drv, const DerivationOutput *output) {
  Buf element CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&element, "!%.*s!%.*s", SPAN_ARG(output->name), SPAN_ARG(drv_path));
  const Context *context = context_of(vm->contexts, buf_span(&element));
  if (output->path.len) return str_new(vm, output->path, context);
  Placeholder placeholder;
  placeholder_upstream(drv, output->name, &placeholder);
  buf_clear(&element);
  placeholder_put(&placeholder, &element);
  return str_new(vm, buf_span(&element), context);
}

static Value strict_result(Vm *vm, Span drv_path, const StorePath *path, const Derivation *drv) {
  AttrsBuilder builder CLEANUP(attrs_builder_done) = ATTRS_BUILDER_INIT;
  Buf element CLEANUP(buf_done) = BUF_INIT;
  buf_put_char(&element, '=');
  buf_put_span(&element, drv_path);
  attrs_builder_add(&builder, SYM_drv_path, str_new(vm, drv_path, context_of(vm->contexts, buf_span(&element))), 0);
  for (size_t i = 0; i < drv->output_count; i++)
    attrs_builder_add(&builder, symbol_intern(vm->symbols, drv->outputs[i].name),
                      output_string(vm, drv_path, path, &drv->outputs[i]), 0);
  return attrs_builder_finish(vm, &builder, false);
}

static Value strict_finish(Native *n) {
  Vm *vm = n->vm;
  Glue *glue = glue_of(vm);
  Span store_dir = span_cstr(vm->settings.store_dir);
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Inputs inputs CLEANUP(inputs_done) = {0};
  Derivation drv = {0};
  DerivationSealed sealed;
  Err err = ERR_INIT;
  if (!fill_derivation(n, &drv, &inputs, &arena, &err) ||
      !known_paths_seal(glue->known, store_dir, &drv, &arena, &glue->scratch, &sealed, &err)) {
    if (eval_error_pending(vm)) err_done(&err);
    else eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
    return VALUE_ERROR;
  }
  KnownDrv *known = known_paths_add(glue->known, &drv, &sealed);
  if (log_level() >= LOG_CHATTY)
    log_msg(LOG_CHATTY, "instantiated '%.*s' -> '%.*s'", SPAN_ARG(drv.name), SPAN_ARG(known->path));
  return strict_result(vm, known->path, &sealed.drv_path, &drv);
}

// ---- the steps ----

static bool check_name(Native *n) {
  Err err = ERR_INIT;
  if (store_path_check_name(str_span(n->slot[NAME]), &err)) return true;
  eval_error(n->vm, EVAL_ERROR_EVAL, 0, "invalid derivation name: %s. Please pass a different 'name'.",
             err_message(&err));
  err_done(&err);
  return false;
}

static void store_text(Native *n, Value text) {
  List *texts = value_ptr(n->slot[TEXTS]);
  heap_store(&n->vm->heap, texts, &texts->items[native_get(n, I)], text);
}

static void prepare_texts(Native *n) {
  uint32_t count = strict_shape(n)->count;
  List *texts = list_new(n->vm, count);
  for (uint32_t i = 0; i < count; i++) texts->items[i] = VALUE_NULL;
  n->slot[TEXTS] = list_value(texts);
}

static void prepare_args(Native *n, Value list) {
  size_t count = list_count(list);
  n->slot[ARGS] = VALUE_EMPTY_LIST;
  if (!count) return;
  List *args = list_new(n->vm, count);
  for (size_t i = 0; i < count; i++) args->items[i] = VALUE_NULL;
  n->slot[ARGS] = list_value(args);
}

static Value current_value(Native *n) {
  return attrs_slot(n->vm, n->slot[ATTRS], (uint32_t)native_get(n, I));
}
static Value current_argument(Native *n) {
  return list_get(n->vm, value_follow(current_value(n)), (size_t)native_get(n, J));
}

static Step strict_step(Native *n) {
  Vm *vm = n->vm;
  NATIVE_BEGIN(n);
  native_set(n, PHASE, PHASE_START);
  native_set(n, FLAGS, 0);
  n->slot[ARGS] = VALUE_EMPTY_LIST;
  if (!vm_expect_attrs(vm, n->slot[ATTRS], "while evaluating the argument passed to builtins.derivationStrict"))
    return STEP_ERROR;
  n->slot[ATTRS] = attrs_flatten(vm, n->slot[ATTRS]);
  if (n->slot[ATTRS] == VALUE_EMPTY_ATTRS || shape_find(strict_shape(n), SYM_name) == SHAPE_NOT_FOUND) {
    eval_error(vm, EVAL_ERROR_MISSING, 0, "attribute 'name' missing");
    eval_error_trace(vm, 0, "in the attrset passed as argument to builtins.derivationStrict");
    return STEP_ERROR;
  }
  native_set(n, PHASE, PHASE_NAME);
  NATIVE_FORCE(n, attrs_get(vm, n->slot[ATTRS], SYM_name));
  if (!vm_expect_string_no_context(vm, n->result,
                                   "while evaluating the `name` attribute passed to builtins.derivationStrict"))
    return STEP_ERROR;
  n->slot[NAME] = n->result;
  native_set(n, PHASE, PHASE_OPTIONS);
  if (!check_name(n)) return STEP_ERROR;

  if (attrs_has(n->slot[ATTRS], SYM_structured_attrs)) {
    NATIVE_FORCE(n, attrs_get(vm, n->slot[ATTRS], SYM_structured_attrs));
    if (!vm_expect_bool(vm, n->result,
                        "while evaluating the `__structuredAttrs` attribute passed to builtins.derivationStrict"))
      return STEP_ERROR;
    if (n->result == VALUE_TRUE) set_flag(n, FLAG_STRUCTURED);
  }
  if (attrs_has(n->slot[ATTRS], SYM_ignore_nulls)) {
    NATIVE_FORCE(n, attrs_get(vm, n->slot[ATTRS], SYM_ignore_nulls));
    if (!vm_expect_bool(vm, n->result,
                        "while evaluating the `__ignoreNulls` attribute passed to builtins.derivationStrict"))
      return STEP_ERROR;
    if (n->result == VALUE_TRUE) set_flag(n, FLAG_IGNORE_NULLS);
  }
  prepare_texts(n);

  for (native_set(n, I, 0); native_get(n, I) < strict_shape(n)->count; native_add(n, I, 1)) {
    native_set(n, PHASE, PHASE_ATTRIBUTE);
    if (current_name(n) == SYM_ignore_nulls) continue;
    if (has_flag(n, FLAG_IGNORE_NULLS)) {
      NATIVE_FORCE(n, current_value(n));
      if (n->result == VALUE_NULL) continue;
    }
    if (current_name(n) == SYM_content_addressed) {
      NATIVE_FORCE(n, current_value(n));
      if (!vm_expect_bool(vm, n->result, NULL)) return STEP_ERROR;
      if (n->result == VALUE_TRUE) {
        set_flag(n, FLAG_CONTENT_ADDRESSED);
        if (!glue_of(vm)->features.ca_derivations) return glue_require_feature(vm, "ca-derivations"), STEP_ERROR;
        continue;
      }
    } else if (current_name(n) == SYM_impure) {
      NATIVE_FORCE(n, current_value(n));
      if (!vm_expect_bool(vm, n->result, NULL)) return STEP_ERROR;
      if (n->result == VALUE_TRUE) {
        set_flag(n, FLAG_IMPURE);
        if (!glue_of(vm)->features.impure_derivations)
          return glue_require_feature(vm, "impure-derivations"), STEP_ERROR;
        continue;
      }
    } else if (current_name(n) == SYM_args) {
      NATIVE_FORCE(n, current_value(n));
      if (!vm_expect_list(vm, n->result, NULL)) return STEP_ERROR;
      prepare_args(n, n->result);
      for (native_set(n, J, 0); native_get(n, J) < (int64_t)list_count(n->slot[ARGS]); native_add(n, J, 1)) {
        native_set(n, PHASE, PHASE_ARGUMENT);
        n->args[0] = current_argument(n);
        n->args[1] = value_raw(COERCE_COPY | COERCE_MORE);
        NATIVE_PUSH(n, &native_coerce_string);
        List *args = value_ptr(n->slot[ARGS]);
        heap_store(&vm->heap, args, &args->items[native_get(n, J)], n->result);
      }
      continue;
    }

    if (has_flag(n, FLAG_STRUCTURED)) {
      if (current_name(n) == SYM_structured_attrs) continue;
      n->args[0] = current_value(n);
      n->args[1] = value_raw(PRINT_JSON_COPY);
      NATIVE_PUSH(n, &print_json_native);
      store_text(n, n->result);
      if (current_name(n) == SYM_builder) {
        NATIVE_FORCE(n, current_value(n));
        if (!vm_expect_string(vm, n->result, NULL)) return STEP_ERROR;
      } else if (is_plain_string(current_name(n))) {
        NATIVE_FORCE(n, current_value(n));
        if (!vm_expect_string_no_context(vm, n->result, NULL)) return STEP_ERROR;
        if (!check_attribute(n, current_name(n), n->result)) return STEP_ERROR;
      } else if (current_name(n) == SYM_outputs) {
        NATIVE_FORCE(n, current_value(n));
        if (!vm_expect_list(vm, n->result, NULL)) return STEP_ERROR;
        for (native_set(n, J, 0); native_get(n, J) < (int64_t)list_count(value_follow(current_value(n)));
             native_add(n, J, 1)) {
          NATIVE_FORCE(n, current_argument(n));
          if (!vm_expect_string_no_context(vm, n->result, NULL)) return STEP_ERROR;
        }
        if (!check_outputs(n, value_follow(current_value(n)))) return STEP_ERROR;
      }
      warn_unused_check(n, current_name(n));
    } else {
      n->result = value_follow(current_value(n));
      if (!value_is_string(n->result)) {
        n->args[0] = n->result;
        n->args[1] = value_raw(COERCE_COPY | COERCE_MORE);
        NATIVE_PUSH(n, &native_coerce_string);
      }
      store_text(n, n->result);
      if (!check_attribute(n, current_name(n), n->result)) return STEP_ERROR;
    }
  }
  native_set(n, PHASE, PHASE_END);
  n->result = strict_finish(n);
  return n->result == VALUE_ERROR ? STEP_ERROR : STEP_RETURN;
  NATIVE_END;
}

// The attributes behind the current one, and the arguments behind the current one.
static void strict_sparks(Native *n, SparkSink *sink) {
  int64_t phase = native_get(n, PHASE);
  if (phase != PHASE_ATTRIBUTE && phase != PHASE_ARGUMENT) return;
  Value args[2] = {VALUE_NULL, value_raw(COERCE_COPY | COERCE_MORE)};
  if (phase == PHASE_ARGUMENT) {
    Value list = value_follow(current_value(n));
    for (size_t j = (size_t)native_get(n, J) + 1; j < list_count(list); j++) {
      args[0] = value_follow(list_get(n->vm, list, j));
      if (!value_is_string(args[0])) spark_add_native(sink, &native_coerce_string, args, 2);
    }
  }
  Shape *shape = strict_shape(n);
  for (uint32_t i = (uint32_t)native_get(n, I) + 1; i < shape->count; i++) {
    Value value = value_follow(attrs_slot(n->vm, n->slot[ATTRS], i));
    if (value_is_string(value) || value == VALUE_NULL || value_is_bool(value) || value_is_int(value)) continue;
    if (has_flag(n, FLAG_STRUCTURED) || shape->names[i] == SYM_args) {
      spark_add_native(sink, &native_deep_force, &value, 1);
    } else {
      args[0] = value;
      spark_add_native(sink, &native_coerce_string, args, 2);
    }
  }
}

static void trace_derivation(Native *n) {
  PosId id = attrs_position(n->slot[ATTRS], SYM_name);
  Pos pos;
  Span name = str_span(n->slot[NAME]);
  if (pos_resolve(n->vm->positions, id, &pos))
    eval_error_trace(n->vm, 0, "while evaluating derivation '%.*s'\n  whose name attribute is located at %s:%u:%u",
                     SPAN_ARG(name), pos.source->origin, pos.line, pos.column);
  else
    eval_error_trace(n->vm, 0, "while evaluating derivation '%.*s'\n  whose name attribute is located at «none»",
                     SPAN_ARG(name));
}

static void strict_trace(Native *n) {
  int64_t phase = native_get(n, PHASE);
  if (phase == PHASE_NAME)
    eval_error_trace(n->vm, attrs_position(n->slot[ATTRS], SYM_name),
                     "while evaluating the derivation attribute 'name'");
  if (phase == PHASE_ARGUMENT && eval_error_is_refusal(n->vm))
    eval_error_trace(n->vm, 0, "while evaluating an element of the argument list");
  if (phase == PHASE_ATTRIBUTE || phase == PHASE_ARGUMENT)
    eval_error_trace(n->vm, shape_position(strict_shape(n), (uint32_t)native_get(n, I)),
                     "while evaluating attribute '%.*s' of derivation '%.*s'",
                     SPAN_ARG(symbol_text(n->vm->symbols, current_name(n))), SPAN_ARG(str_span(n->slot[NAME])));
  if (phase >= PHASE_OPTIONS) trace_derivation(n);
}

static const NativeDef native_derivation_strict = {
    .name = "derivationStrict",
    .step = strict_step,
    .arg_count = 1,
    .slot_count = STRICT_SLOTS,
    .sparks = strict_sparks,
    .trace = strict_trace,
    .subject = NATIVE_SUBJECT_PACKAGE,
    .subject_slot = NAME,
};

// ---- derivation ----

static Value derivation_constant(Vm *vm, Value *args) {
  return vm_internal_text(vm, derivation_text_derivation, SPAN("/derivation-internal.nix"),
                          SPAN("<nix/derivation-internal.nix>"));
}

// ---- outputOf ----

#define OUTPUT_OF_DRV "while evaluating the first argument to builtins.outputOf"
#define OUTPUT_OF_NAME "while evaluating the second argument to builtins.outputOf"

static Value output_of_failed(Vm *vm) {
  eval_error_trace(vm, 0, OUTPUT_OF_DRV);
  return VALUE_ERROR;
}

// The derivation must be a plain path: outputs that are derivations themselves cannot be built by us.
static Value output_of(Vm *vm, Value *args) {
  if (!vm_expect_string(vm, args[0], OUTPUT_OF_DRV)) return VALUE_ERROR;
  Span text = str_span(args[0]);
  const Context *context = str_context(args[0]);
  size_t count = context ? context->count : 0;
  if (count != 1) {
    eval_error(vm, EVAL_ERROR_EVAL, 0,
               "string '%.*s' has %zu entries in its context. It should only have exactly one entry", SPAN_ARG(text),
               count);
    return output_of_failed(vm);
  }
  Span element = context_element_text(vm->contexts, context->elements[0]);
  if (element.data[0] == '=') {
    eval_error(
        vm, EVAL_ERROR_EVAL, 0,
        "string '%.*s' has a context which refers to a complete source and binary closure. This is not supported "
        "at this time",
        SPAN_ARG(text));
    return output_of_failed(vm);
  }
  if (element.data[0] == '!') {
    eval_error(vm, EVAL_ERROR_EVAL, 0,
               "outputs of '%.*s', which is itself the output of a derivation, are not supported", SPAN_ARG(text));
    return output_of_failed(vm);
  }
  if (!span_eq(text, element)) {
    eval_error(vm, EVAL_ERROR_EVAL, 0, "path string '%.*s' has context with the different path '%.*s'", SPAN_ARG(text),
               SPAN_ARG(element));
    return output_of_failed(vm);
  }
  if (!vm_expect_string_no_context(vm, args[1], OUTPUT_OF_NAME)) return VALUE_ERROR;
  Glue *glue = glue_of(vm);
  Err err = ERR_INIT;
  StorePath path;
  KnownDrv *known = known_paths_load(glue->known, text, &err);
  const Derivation *drv = known ? known_paths_parse(glue->known, known, &err) : NULL;
  if (!drv || !store_path_parse(text, span_cstr(vm->settings.store_dir), &path, &err))
    return eval_error_from_err(vm, EVAL_ERROR_EVAL, 0, &err);
  const DerivationOutput *output = derivation_find_output(drv, str_span(args[1]));
  if (!output)
    return eval_error(vm, EVAL_ERROR_EVAL, 0, "derivation '%.*s' does not have output '%.*s'", SPAN_ARG(text),
                      SPAN_ARG(str_span(args[1])));
  return output_string(vm, text, &path, output);
}

const Builtin derivation_builtin_rows[DERIVATION_BUILTIN_COUNT] = {
    {.name = "derivation",
     .flags = BUILTIN_GLOBAL,
     .fn = derivation_constant,
     .args = "attrs",
     .doc = "Create a derivation.\n\nThe argument is an attribute set that describes what to build and how: `name`, "
            "`system` "
            "and `builder` are "
            "required, `args` are the builder's arguments, `outputs` its outputs (`[ \"out\" ]`), and all other "
            "attributes "
            "are passed to it in the "
            "environment. The result is that set with `outPath`, `drvPath`, `type`, `outputName`, `all`, `drvAttrs`, "
            "and one "
            "attribute for "
            "each output. Nothing is built until an output is needed."},
    {"derivationStrict", 1, 1, BUILTIN_GLOBAL, NULL, &native_derivation_strict, "attrs",
     "Evaluate all attributes of a derivation and give the set of its `drvPath` and output paths. Use `derivation` "
     "instead."},
    {"outputOf", 2, 3, BUILTIN_DYNAMIC, output_of, NULL, "derivation-reference output-name",
     "Return the output path of a derivation, literally or as a placeholder. Needs the experimental feature "
     "`dynamic-derivations`."},
};
