// derivation_modulo.c: hash modulo, output paths and the .drv path.
//
// A text to be hashed is head (outputs) + inputs + rest. The masked, the modulo and the final text differ in the head, in how inputs are named, and
// in the values of a few variables; so the rest, nearly all of the bytes, is formatted once.
#include "formats/derivation_modulo.h"

#include <stdlib.h>

#include "formats/base16.h"
#include "formats/placeholder.h"

void derivation_modulo_scratch_done(DerivationModuloScratch *scratch) {
  buf_done(&scratch->head_masked);
  buf_done(&scratch->inputs_modulo);
  buf_done(&scratch->rest);
  buf_done(&scratch->text);
  buf_done(&scratch->modulo_text);
  mem_free(scratch->format_inputs);
  mem_free(scratch->slots);
  mem_free(scratch->spans);
  arena_done(&scratch->arena);
  *scratch = (DerivationModuloScratch)DERIVATION_MODULO_SCRATCH_INIT;
}

// Inputs by their hash.

static int compare_format_inputs(const void *a, const void *b) {
  return memcmp(((const DerivationFormatInput *)a)->hex, ((const DerivationFormatInput *)b)->hex, 64);
}

// The union of two sorted sets, in the scratch arena.
static void merge_outputs(DerivationFormatInput *into, const DerivationFormatInput *from, Arena *arena) {
  Span *merged = ARENA_ARRAY(arena, Span, into->output_count + from->output_count);
  size_t i = 0, k = 0, count = 0;
  while (i < into->output_count || k < from->output_count) {
    int order = i == into->output_count   ? 1
                : k == from->output_count ? -1
                                          : span_cmp(into->outputs[i], from->outputs[k]);
    merged[count++] = order <= 0 ? into->outputs[i] : from->outputs[k];
    i += order <= 0;
    k += order >= 0;
  }
  into->outputs = merged;
  into->output_count = count;
}

// Different derivations can have the same hash (two ways to fetch one file): they become one input.
static size_t merge_equal(DerivationFormatInput *inputs, size_t count, Arena *arena) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (kept && compare_format_inputs(&inputs[kept - 1], &inputs[i]) == 0)
      merge_outputs(&inputs[kept - 1], &inputs[i], arena);
    else inputs[kept++] = inputs[i];
  }
  return kept;
}

// Fills scratch->inputs_modulo. *deferred becomes true when an input is.
static bool format_modulo_inputs(const Derivation *drv, const DerivationModuloMemo *memo,
                                 DerivationModuloScratch *scratch, bool *deferred, Span *ret_missing, Err *err) {
  size_t count = 0;
  MEM_RESERVE(scratch->format_inputs, scratch->format_input_cap, drv->input_drv_count);
  for (size_t i = 0; i < drv->input_drv_count; i++) {
    const DerivationInput *input = &drv->input_drvs[i];
    const DerivationModulo *modulo = memo->find(memo->ctx, input->key);
    if (UNLIKELY(!modulo)) {
      if (ret_missing) *ret_missing = input->key;
      return err_set(err, ERR_NOT_FOUND, "the hash of derivation '%.*s', an input of '%.*s', is not known",
                     SPAN_ARG(input->key), SPAN_ARG(drv->name));
    }
    *deferred |= modulo->deferred;
    if (input->output_count == 0) continue;
    DerivationFormatInput *entry = &scratch->format_inputs[count++];
    base16_encode(modulo->sha256, 32, entry->hex);
    entry->outputs = input->outputs;
    entry->output_count = input->output_count;
  }
  if (count > 1) qsort(scratch->format_inputs, count, sizeof(DerivationFormatInput), compare_format_inputs);
  arena_done(&scratch->arena);
  count = merge_equal(scratch->format_inputs, count, &scratch->arena);
  buf_clear(&scratch->inputs_modulo);
  derivation_format_modulo_inputs(scratch->format_inputs, count, &scratch->inputs_modulo);
  return true;
}

// Hashes.

static void hash_three(Span head, Span inputs, Span rest, uint8_t ret[32]) {
  HashSha256 ctx;
  hash_sha256_init(&ctx);
  hash_sha256_update_span(&ctx, head);
  hash_sha256_update_span(&ctx, inputs);
  hash_sha256_update_span(&ctx, rest);
  hash_sha256_final(&ctx, ret);
}

// sha256("fixed:out:" method-algo ":" hex ":" path).
static void hash_fixed(const DerivationOutput *output, DerivationModuloScratch *scratch, uint8_t ret[32]) {
  Buf *text = &scratch->head_masked;
  buf_clear(text);
  buf_put_cstr(text, "fixed:out:");
  buf_put_span(text, content_address_method_prefix(output->method));
  hash_format(&output->hash, HASH_FORMAT_BASE16, true, text);
  buf_put_char(text, ':');
  buf_put_span(text, output->path);
  hash_sha256(buf_span(text), ret);
}

// What needs no look at inputs and text. False when the rest has to be looked at.
static bool hash_special(const Derivation *drv, DerivationType type, DerivationModuloScratch *scratch,
                         DerivationModulo *ret) {
  ret->deferred = type == DERIVATION_TYPE_IMPURE || type == DERIVATION_TYPE_FLOATING;
  if (type == DERIVATION_TYPE_FIXED) hash_fixed(&drv->outputs[0], scratch, ret->sha256);
  else if (type == DERIVATION_TYPE_IMPURE) hash_sha256(SPAN("impure"), ret->sha256);
  else return false;
  return true;
}

bool derivation_modulo_hash(const Derivation *drv, bool mask_outputs, const DerivationModuloMemo *memo,
                            DerivationModuloScratch *scratch, DerivationModulo *ret, Span *ret_missing, Err *err) {
  DerivationType type;
  if (!derivation_type(drv, &type, err)) return false;
  if (hash_special(drv, type, scratch, ret)) return true;
  if (!format_modulo_inputs(drv, memo, scratch, &ret->deferred, ret_missing, err)) return false;
  buf_clear(&scratch->head_masked);
  derivation_format_outputs(drv, mask_outputs, &scratch->head_masked);
  buf_clear(&scratch->rest);
  derivation_format_rest(drv, mask_outputs, NULL, &scratch->rest);
  hash_three(buf_span(&scratch->head_masked), buf_span(&scratch->inputs_modulo), buf_span(&scratch->rest), ret->sha256);
  return true;
}

// Sealing.

// An absolute path in the arena.
static Span keep_path(const StorePath *path, Span store_dir, Arena *arena) {
  size_t len = store_dir.len + 1 + STORE_PATH_HASH_CHARS + 1 + path->name_len;
  char *text = arena_alloc(arena, len + 1), *out = text;
  memcpy(out, store_dir.data, store_dir.len);
  out += store_dir.len;
  *out++ = '/';
  store_path_format_hash(path, out);
  out += STORE_PATH_HASH_CHARS;
  *out++ = '-';
  memcpy(out, path->name, path->name_len);
  text[len] = 0;
  return span_make(text, len);
}

static bool fixed_path(const Derivation *drv, const DerivationOutput *output, Span store_dir, StorePath *ret,
                       Err *err) {
  ContentAddress ca = {output->method, output->hash};
  Buf name CLEANUP(buf_done) = BUF_INIT;
  if (span_eq(output->name, SPAN("out"))) return store_path_make_fixed(drv->name, &ca, NULL, store_dir, ret, err);
  store_path_put_output_name(drv->name, output->name, &name);
  return store_path_make_fixed(buf_span(&name), &ca, NULL, store_dir, ret, err);
}

// The value of the variable of this output, which is its path where that is known; sets kind and path. `masked` NULL: the
// output paths of this input-addressed derivation cannot be known yet.
static bool seal_output(const Derivation *drv, DerivationOutput *output, const uint8_t *masked, Span store_dir,
                        Arena *arena, Span *ret_value, Err *err) {
  StorePath path;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  output->path = (Span){"", 0};
  switch (output->kind) {
  case DERIVATION_FIXED:
    if (!fixed_path(drv, output, store_dir, &path, err)) return false;
    output->path = keep_path(&path, store_dir, arena);
    break;
  case DERIVATION_INPUT_ADDRESSED:
  case DERIVATION_DEFERRED:
    output->kind = masked ? DERIVATION_INPUT_ADDRESSED : DERIVATION_DEFERRED;
    if (!masked) break;
    if (!store_path_make_output(drv->name, output->name, masked, store_dir, &path, err)) return false;
    output->path = keep_path(&path, store_dir, arena);
    break;
  case DERIVATION_FLOATING:
  case DERIVATION_IMPURE:
    placeholder_own(output->name, &text);
    *ret_value = arena_dup(arena, buf_span(&text));
    return true;
  }
  *ret_value = output->path;
  return true;
}

static bool check_variables(const Derivation *drv, const size_t *slots, Err *err) {
  for (size_t i = 0; i < drv->output_count; i++)
    if (slots[i] == SIZE_MAX)
      return err_set(err, ERR_SYNTAX, "derivation '%.*s' has no environment variable for its output '%.*s'",
                     SPAN_ARG(drv->name), SPAN_ARG(drv->outputs[i].name));
  return true;
}

// scratch->text: the final text, from the rest with the values put into its slots. *ret_head_len and *ret_rest_start: where its head
// ends and its rest begins.
static void assemble_text(const Derivation *drv, DerivationModuloScratch *scratch, size_t *ret_head_len,
                          size_t *ret_rest_start) {
  Buf *text = &scratch->text;
  Span rest = buf_span(&scratch->rest);
  size_t done = 0;
  buf_clear(text);
  derivation_format_outputs(drv, false, text);
  *ret_head_len = text->len;
  derivation_format_inputs(drv, text);
  *ret_rest_start = text->len;
  for (size_t i = 0; i < drv->output_count; i++) {
    buf_put_span(text, span_sub(rest, done, scratch->slots[i] - done));
    derivation_format_escaped(derivation_find_env(drv, drv->outputs[i].name)->value, text);
    done = scratch->slots[i];
  }
  buf_put_span(text, span_from(rest, done));
}

// The hash of the text (for the .drv path), and the modulo hash: of the text with other inputs.
static void hash_final_forms(DerivationModuloScratch *scratch, size_t head_len, size_t rest_start, uint8_t ret_text[32],
                             uint8_t ret_modulo[32]) {
  Span text = buf_span(&scratch->text);
  Buf *modulo = &scratch->modulo_text;
  buf_clear(modulo);
  buf_put_span(modulo, span_sub(text, 0, head_len));
  buf_put_span(modulo, buf_span(&scratch->inputs_modulo));
  buf_put_span(modulo, span_from(text, rest_start));
  hash_pair_sha256(&scratch->pair, text, buf_span(modulo), ret_text, ret_modulo);
}

static bool make_drv_path(const Derivation *drv, const uint8_t text_sha256[32], Span store_dir,
                          DerivationModuloScratch *scratch, StorePath *ret, Err *err);

bool derivation_modulo_seal(Derivation *drv, const DerivationModuloMemo *memo, Span store_dir, Arena *arena,
                            DerivationModuloScratch *scratch, DerivationSealed *ret, Span *ret_missing, Err *err) {
  DerivationType type;
  uint8_t masked[32], text_sha256[32];
  bool deferred = false;
  if (!derivation_type(drv, &type, err)) return false;
  bool has_inputs = type != DERIVATION_TYPE_FIXED && type != DERIVATION_TYPE_IMPURE;
  if (has_inputs && !format_modulo_inputs(drv, memo, scratch, &deferred, ret_missing, err)) return false;
  MEM_RESERVE(scratch->slots, scratch->slot_cap, drv->output_count);
  buf_clear(&scratch->rest);
  derivation_format_rest(drv, true, scratch->slots, &scratch->rest);
  if (!check_variables(drv, scratch->slots, err)) return false;

  bool known = !deferred && (type == DERIVATION_TYPE_INPUT_ADDRESSED || type == DERIVATION_TYPE_DEFERRED);
  if (known) {
    buf_clear(&scratch->head_masked);
    derivation_format_outputs(drv, true, &scratch->head_masked);
    hash_three(buf_span(&scratch->head_masked), buf_span(&scratch->inputs_modulo), buf_span(&scratch->rest), masked);
  }
  for (size_t i = 0; i < drv->output_count; i++) {
    Span *value = &derivation_find_env(drv, drv->outputs[i].name)->value;
    if (!seal_output(drv, &drv->outputs[i], known ? masked : NULL, store_dir, arena, value, err)) return false;
  }

  size_t head_len, rest_start;
  assemble_text(drv, scratch, &head_len, &rest_start);
  ret->text = buf_span(&scratch->text);
  if (hash_special(drv, type, scratch, &ret->modulo)) {
    hash_sha256(ret->text, text_sha256);
  } else {
    ret->modulo.deferred |= deferred;
    hash_final_forms(scratch, head_len, rest_start, text_sha256, ret->modulo.sha256);
  }
  return make_drv_path(drv, text_sha256, store_dir, scratch, &ret->drv_path, err);
}

static bool make_drv_path(const Derivation *drv, const uint8_t text_sha256[32], Span store_dir,
                          DerivationModuloScratch *scratch, StorePath *ret, Err *err) {
  size_t src = 0, input = 0, count = 0;
  MEM_RESERVE(scratch->spans, scratch->span_cap, drv->input_src_count + drv->input_drv_count);
  while (src < drv->input_src_count || input < drv->input_drv_count) {
    bool take_src = input == drv->input_drv_count ||
                    (src < drv->input_src_count && span_cmp(drv->input_srcs[src], drv->input_drvs[input].key) <= 0);
    scratch->spans[count++] = take_src ? drv->input_srcs[src++] : drv->input_drvs[input++].key;
  }
  StorePathRefs refs = {scratch->spans, count, false};
  Buf *name = &scratch->head_masked;
  buf_clear(name);
  buf_put_span(name, drv->name);
  buf_put_cstr(name, ".drv");
  return store_path_make_text(buf_span(name), text_sha256, &refs, store_dir, ret, err);
}

bool derivation_modulo_drv_path(const Derivation *drv, Span text, Span store_dir, DerivationModuloScratch *scratch,
                                StorePath *ret, Err *err) {
  uint8_t text_sha256[32];
  hash_sha256(text, text_sha256);
  return make_drv_path(drv, text_sha256, store_dir, scratch, ret, err);
}

// Checking.

static bool check_output(const Derivation *drv, const DerivationOutput *output, Span drv_path, const StorePath *right,
                         Span store_dir, Err *err) {
  StorePath named;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_path_format(right, store_dir, &text);
  if (!span_eq(output->path, buf_span(&text)))
    return err_set(err, ERR_SYNTAX, "derivation '%.*s' has incorrect output '%.*s', should be '%.*s'",
                   SPAN_ARG(drv_path), SPAN_ARG(output->path), SPAN_ARG(buf_span(&text)));
  const DerivationEnv *env = derivation_find_env(drv, output->name);
  if (env && store_path_parse(env->value, store_dir, &named, NULL) && store_path_eq(&named, right)) return true;
  return err_set(err, ERR_SYNTAX, "derivation '%.*s' has incorrect environment variable '%.*s', should be '%.*s'",
                 SPAN_ARG(drv_path), SPAN_ARG(output->name), SPAN_ARG(buf_span(&text)));
}

bool derivation_modulo_check(const Derivation *drv, Span drv_path, const DerivationModuloMemo *memo, Span store_dir,
                             DerivationModuloScratch *scratch, Span *ret_missing, Err *err) {
  DerivationType type;
  DerivationModulo masked;
  StorePath right;
  if (!derivation_type(drv, &type, err)) return false;
  if (type == DERIVATION_TYPE_FIXED)
    return fixed_path(drv, &drv->outputs[0], store_dir, &right, err) &&
           check_output(drv, &drv->outputs[0], drv_path, &right, store_dir, err);
  if (type != DERIVATION_TYPE_INPUT_ADDRESSED) return true;
  if (!derivation_modulo_hash(drv, true, memo, scratch, &masked, ret_missing, err)) return false;
  for (size_t i = 0; i < drv->output_count; i++)
    if (!store_path_make_output(drv->name, drv->outputs[i].name, masked.sha256, store_dir, &right, err) ||
        !check_output(drv, &drv->outputs[i], drv_path, &right, store_dir, err))
      return false;
  return true;
}
