// drv_resolve.c: see drv_resolve.h.
#include "realise/drv_resolve.h"

#include <stdlib.h>

#include "formats/placeholder.h"

typedef struct Rewrite {
  Span from, to;
} Rewrite;

typedef struct Resolver {
  const DrvResolveInput *inputs;
  Rewrite *rewrites; // positional
  size_t count;
  Span store_dir;
  Arena *arena;
} Resolver;

static Span in_arena(Resolver *resolver, Buf *buf) {
  Span ret = arena_dup(resolver->arena, buf_span(buf));
  buf_done(buf);
  return ret;
}

static void make_rewrites(Resolver *resolver) {
  resolver->rewrites = ARENA_ARRAY(resolver->arena, Rewrite, resolver->count);
  for (size_t i = 0; i < resolver->count; i++) {
    Buf from = BUF_INIT, to = BUF_INIT;
    Placeholder placeholder;
    placeholder_upstream(&resolver->inputs[i].drv_path, resolver->inputs[i].output, &placeholder);
    placeholder_put(&placeholder, &from);
    store_path_format(&resolver->inputs[i].path, resolver->store_dir, &to);
    resolver->rewrites[i] = (Rewrite){in_arena(resolver, &from), in_arena(resolver, &to)};
  }
}

static Span rewrite(Resolver *resolver, Span text) {
  if (text.len < PLACEHOLDER_LEN) return text;
  for (size_t i = 0; i < resolver->count; i++)
    text = arena_replace(resolver->arena, text, resolver->rewrites[i].from, resolver->rewrites[i].to);
  return text;
}

static int compare_env(const void *a, const void *b) {
  return span_cmp(((const DerivationEnv *)a)->name, ((const DerivationEnv *)b)->name);
}

static void rewrite_env(Resolver *resolver, const Derivation *drv, Derivation *ret) {
  bool renamed = false;
  ret->env = ARENA_ARRAY(resolver->arena, DerivationEnv, drv->env_count);
  for (size_t i = 0; i < drv->env_count; i++) {
    Span name = rewrite(resolver, drv->env[i].name);
    renamed |= name.data != drv->env[i].name.data;
    ret->env[i] = (DerivationEnv){name, rewrite(resolver, drv->env[i].value)};
  }
  if (renamed) qsort(ret->env, ret->env_count, sizeof *ret->env, compare_env);
}

static void make_sources(Resolver *resolver, const Derivation *drv, Derivation *ret) {
  ret->input_srcs = ARENA_ARRAY(resolver->arena, Span, drv->input_src_count + resolver->count);
  for (size_t i = 0; i < drv->input_src_count; i++) ret->input_srcs[i] = drv->input_srcs[i];
  for (size_t i = 0; i < resolver->count; i++) ret->input_srcs[drv->input_src_count + i] = resolver->rewrites[i].to;
  ret->input_src_count = drv->input_src_count + resolver->count;
  derivation_sort_spans(ret->input_srcs, &ret->input_src_count);
  ret->input_drvs = NULL;
  ret->input_drv_count = 0;
}

static const DerivationModulo *find_none(void *ctx UNUSED, Span drv_path UNUSED) {
  return NULL;
}

bool drv_resolve_make(const Derivation *drv, const DrvResolveInput *inputs, size_t input_count, Span store_dir,
                      Arena *arena, Derivation *ret, DerivationSealed *ret_sealed, Err *err) {
  Resolver resolver = {inputs, NULL, input_count, store_dir, arena};
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  DerivationModuloMemo memo = {find_none, NULL};
  *ret = *drv;
  make_rewrites(&resolver);
  make_sources(&resolver, drv, ret);
  ret->builder = rewrite(&resolver, drv->builder);
  ret->args = ARENA_ARRAY(arena, Span, drv->arg_count);
  for (size_t i = 0; i < drv->arg_count; i++) ret->args[i] = rewrite(&resolver, drv->args[i]);
  rewrite_env(&resolver, drv, ret);
  ret->outputs = ARENA_ARRAY(arena, DerivationOutput, drv->output_count);
  for (size_t i = 0; i < drv->output_count; i++) ret->outputs[i] = drv->outputs[i];
  bool ok = derivation_modulo_seal(ret, &memo, store_dir, arena, &scratch, ret_sealed, NULL, err);
  if (ok) ret_sealed->text = arena_dup(arena, ret_sealed->text);
  derivation_modulo_scratch_done(&scratch);
  return ok;
}

bool drv_resolve_scratch_path(const StorePath *drv_path, Span drv_name, Span output, Span store_dir, StorePath *ret,
                              Err *err) {
  static const uint8_t zeros[32];
  Buf type CLEANUP(buf_done) = BUF_INIT, name CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&type, "rewrite:");
  store_path_format_base(drv_path, &type);
  buf_printf(&type, ":name:%.*s", SPAN_ARG(output));
  store_path_put_output_name(drv_name, output, &name);
  return store_path_make(buf_span(&type), zeros, store_dir, buf_span(&name), ret, err);
}

bool drv_resolve_scratch_path_for(const StorePath *drv_path, const StorePath *path, Span store_dir, StorePath *ret,
                                  Err *err) {
  static const uint8_t zeros[32];
  Buf type CLEANUP(buf_done) = BUF_INIT;
  buf_put_cstr(&type, "rewrite:");
  store_path_format_base(drv_path, &type);
  buf_put_char(&type, ':');
  store_path_format_base(path, &type);
  return store_path_make(buf_span(&type), zeros, store_dir, store_path_name(path), ret, err);
}
