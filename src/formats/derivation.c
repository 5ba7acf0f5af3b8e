// derivation.c: what a derivation is, and checks on the value.
#include "formats/derivation.h"

#include <stdlib.h>

bool derivation_type(const Derivation *drv, DerivationType *ret, Err *err) {
  static const DerivationType types[] = {[DERIVATION_INPUT_ADDRESSED] = DERIVATION_TYPE_INPUT_ADDRESSED,
                                         [DERIVATION_FIXED] = DERIVATION_TYPE_FIXED,
                                         [DERIVATION_FLOATING] = DERIVATION_TYPE_FLOATING,
                                         [DERIVATION_DEFERRED] = DERIVATION_TYPE_DEFERRED,
                                         [DERIVATION_IMPURE] = DERIVATION_TYPE_IMPURE};
  if (drv->output_count == 0) return err_set(err, ERR_SYNTAX, "must have at least one output");
  const DerivationOutput *first = &drv->outputs[0];
  for (size_t i = 1; i < drv->output_count; i++) {
    const DerivationOutput *other = &drv->outputs[i];
    if (other->kind != first->kind) return err_set(err, ERR_SYNTAX, "can't mix derivation output types");
    if (first->kind == DERIVATION_FLOATING && other->hash.algo != first->hash.algo)
      return err_set(err, ERR_SYNTAX, "all floating outputs must use the same hash algorithm");
  }
  if (first->kind == DERIVATION_FIXED) {
    if (drv->output_count > 1) return err_set(err, ERR_SYNTAX, "only one fixed output is allowed for now");
    if (!span_eq(first->name, SPAN("out")))
      return err_set(err, ERR_SYNTAX, "single fixed output must be named \"out\"");
  }
  *ret = types[first->kind];
  return true;
}

const DerivationOutput *derivation_find_output(const Derivation *drv, Span name) {
  for (size_t low = 0, high = drv->output_count; low < high;) {
    size_t middle = low + (high - low) / 2;
    int order = span_cmp(name, drv->outputs[middle].name);
    if (order == 0) return &drv->outputs[middle];
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return NULL;
}

DerivationEnv *derivation_find_env(const Derivation *drv, Span name) {
  for (size_t low = 0, high = drv->env_count; low < high;) {
    size_t middle = low + (high - low) / 2;
    int order = span_cmp(name, drv->env[middle].name);
    if (order == 0) return &drv->env[middle];
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return NULL;
}

// Strictly increasing; `previous` NULL for the first.
static bool check_order(const Span *previous, Span name, const char *what, Err *err) {
  if (!previous || span_cmp(*previous, name) < 0) return true;
  return err_set(err, ERR_SYNTAX, "%s '%.*s' of the derivation is repeated or out of order", what, SPAN_ARG(name));
}

static bool check_inputs(const DerivationInput *inputs, size_t count, bool are_paths, Span store_dir, Err *err) {
  StorePath path;
  for (size_t i = 0; i < count; i++) {
    const DerivationInput *input = &inputs[i];
    if (!check_order(i ? &inputs[i - 1].key : NULL, input->key, "input", err)) return false;
    if (are_paths && !store_path_parse(input->key, store_dir, &path, err)) return false;
    for (size_t k = 0; k < input->output_count; k++)
      if (!check_order(k ? &input->outputs[k - 1] : NULL, input->outputs[k], "input's output", err)) return false;
    if (!check_inputs(input->dynamic, input->dynamic_count, false, store_dir, err)) return false;
  }
  return true;
}

bool derivation_check(const Derivation *drv, Span store_dir, Err *err) {
  StorePath path;
  DerivationType type;
  if (!derivation_type(drv, &type, err)) return false;
  for (size_t i = 0; i < drv->output_count; i++) {
    const DerivationOutput *output = &drv->outputs[i];
    if (!check_order(i ? &drv->outputs[i - 1].name : NULL, output->name, "output", err)) return false;
    if (!store_path_check_name(output->name, err)) return err_wrap(err, "output of the derivation");
    bool has_path = output->kind == DERIVATION_INPUT_ADDRESSED || output->kind == DERIVATION_FIXED;
    if (has_path && !store_path_parse(output->path, store_dir, &path, err)) return false;
  }
  if (!check_inputs(drv->input_drvs, drv->input_drv_count, true, store_dir, err)) return false;
  for (size_t i = 0; i < drv->input_src_count; i++) {
    if (!check_order(i ? &drv->input_srcs[i - 1] : NULL, drv->input_srcs[i], "input source", err)) return false;
    if (!store_path_parse(drv->input_srcs[i], store_dir, &path, err)) return false;
  }
  for (size_t i = 0; i < drv->env_count; i++)
    if (!check_order(i ? &drv->env[i - 1].name : NULL, drv->env[i].name, "environment variable", err)) return false;
  return true;
}

bool derivation_name_of_path(const StorePath *drv_path, Span *ret, Err *err) {
  Span name = store_path_name(drv_path);
  if (!span_has_suffix(name, SPAN(".drv"))) {
    char hash[STORE_PATH_HASH_CHARS];
    store_path_format_hash(drv_path, hash);
    return err_set(err, ERR_SYNTAX, "store path '%.*s-%.*s' is not a valid derivation path", STORE_PATH_HASH_CHARS,
                   hash, SPAN_ARG(name));
  }
  *ret = span_sub(name, 0, name.len - 4);
  return true;
}

static int compare_spans(const void *a, const void *b) {
  return span_cmp(*(const Span *)a, *(const Span *)b);
}

void derivation_sort_spans(Span *spans, size_t *count) {
  size_t kept = 0;
  bool sorted = true;
  for (size_t i = 1; i < *count && sorted; i++) sorted = span_cmp(spans[i - 1], spans[i]) < 0;
  if (sorted) return;
  qsort(spans, *count, sizeof(Span), compare_spans);
  for (size_t i = 0; i < *count; i++)
    if (i == 0 || !span_eq(spans[i], spans[kept - 1])) spans[kept++] = spans[i];
  *count = kept;
}
