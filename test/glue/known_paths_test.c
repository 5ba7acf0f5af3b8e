// known_paths_test.c: derivations by path and by output, loading, hashes modulo of deep graphs.
#include "glue/known_paths.h"

#include <stdio.h>

#include "base/map.h"
#include "base/mem.h"
#include "harness.h"

#define DIR STORE_PATH_DIR

// A store of texts for the reader.
typedef struct Texts {
  Map by_path; // path -> Buf
  size_t reads;
} Texts;

static bool read_text(void *ctx, Span path, Buf *ret, Err *err) {
  Texts *texts = ctx;
  const Buf *text = map_get(&texts->by_path, path);
  texts->reads++;
  if (!text) return err_set(err, ERR_NOT_FOUND, "path '%.*s' is not valid", SPAN_ARG(path));
  buf_put_span(ret, buf_span(text));
  return true;
}

static void texts_done(Texts *texts) {
  for (MapEntry *e = map_first(&texts->by_path); e; e = map_next(&texts->by_path, e)) {
    buf_done(e->value);
    mem_free(e->value);
  }
  map_done(&texts->by_path);
}

// Makes a derivation that needs output "out" of `input` (empty: of nothing), and enters it. The result is its path.
static KnownDrv *make(KnownPaths *known, Span name, Span input, DerivationModuloScratch *scratch) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  Err err = ERR_INIT;
  Span out = SPAN("out");
  DerivationOutput output = {.name = SPAN("out"), .kind = DERIVATION_DEFERRED};
  DerivationInput inputs = {.key = input, .outputs = &out, .output_count = 1};
  DerivationEnv env[2] = {{SPAN("name"), name}, {SPAN("out"), SPAN("")}};
  Derivation drv = {.name = name,
                    .outputs = &output,
                    .output_count = 1,
                    .input_drvs = &inputs,
                    .input_drv_count = input.len ? 1 : 0,
                    .platform = SPAN("x86_64-linux"),
                    .builder = SPAN("/bin/sh"),
                    .env = env,
                    .env_count = 2};
  DerivationModuloMemo memo = known_paths_memo(known);
  DerivationSealed sealed;
  CHECK_OK(derivation_modulo_seal(&drv, &memo, DIR, &arena, scratch, &sealed, NULL, &err), &err);
  return known_paths_add(known, &drv, &sealed);
}

TEST(found_by_path_and_by_output) {
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  KnownPaths *known = known_paths_new(DIR, NULL, NULL);
  Err err = ERR_INIT;
  Span output;
  KnownDrv *a = make(known, SPAN("a"), SPAN(""), &scratch), *b = make(known, SPAN("b"), a->path, &scratch);
  CHECK(known_paths_find(known, a->path) == a);
  CHECK(known_paths_find(known, b->path) == b);
  CHECK(!known_paths_find(known, SPAN("/nix/store/00000000000000000000000000000000-c.drv")));
  CHECK(!known_paths_find(known, SPAN("/nix")));
  const Derivation *drv = known_paths_parse(known, b, &err);
  CHECK(drv);
  CHECK_SPAN(drv->input_drvs[0].key, a->path);
  CHECK(known_paths_find_output(known, drv->outputs[0].path, &output) == b);
  CHECK_STR(output, "out");
  CHECK(!known_paths_find_output(known, b->path, &output));
  CHECK_EQ_INT(known_paths_count(known), 2);
  CHECK(make(known, SPAN("a"), SPAN(""), &scratch) == a); // again: nothing new
  CHECK_EQ_INT(known_paths_count(known), 2);
  known_paths_free(known);
  derivation_modulo_scratch_done(&scratch);
}

TEST(thousands_of_them) {
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  KnownPaths *known = known_paths_new(DIR, NULL, NULL);
  enum { COUNT = 3000 };
  Span before = SPAN("");
  for (int i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof(name), "drv-%d", i);
    before = make(known, span_cstr(name), before, &scratch)->path;
  }
  CHECK_EQ_INT(known_paths_count(known), COUNT);
  for (size_t i = 0; i < COUNT; i++) {
    KnownDrv *drv = known_paths_get(known, i);
    CHECK(known_paths_find(known, drv->path) == drv);
  }
  known_paths_free(known);
  derivation_modulo_scratch_done(&scratch);
}

// A long chain that is only in the store: its hash modulo is the one that was computed when it was made.
TEST(hashes_of_what_is_only_in_the_store) {
  DerivationModuloScratch scratch = DERIVATION_MODULO_SCRATCH_INIT;
  Texts texts = {.by_path = MAP_INIT};
  KnownPaths *maker = known_paths_new(DIR, NULL, NULL), *reader = known_paths_new(DIR, read_text, &texts);
  enum { COUNT = 2000 };
  Span before = SPAN("");
  Err err = ERR_INIT;
  for (int i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof(name), "drv-%d", i);
    KnownDrv *drv = make(maker, span_cstr(name), before, &scratch);
    Buf *text = mem_alloc_zero(sizeof(Buf));
    buf_put_span(text, drv->text);
    map_set(&texts.by_path, drv->path, text);
    before = drv->path;
  }
  CHECK_OK(known_paths_fill_modulo(reader, before, &err), &err);
  KnownDrv *made = known_paths_find(maker, before), *read = known_paths_find(reader, before);
  CHECK(read && read->has_modulo && read->is_stored);
  CHECK(memcmp(&made->modulo.sha256, &read->modulo.sha256, 32) == 0);
  CHECK_EQ_INT(texts.reads, COUNT);
  CHECK_OK(known_paths_fill_modulo(reader, before, &err), &err);
  CHECK_EQ_INT(texts.reads, COUNT);
  known_paths_free(maker);
  known_paths_free(reader);
  texts_done(&texts);
  derivation_modulo_scratch_done(&scratch);
}

TEST(missing_and_malformed) {
  Texts texts = {.by_path = MAP_INIT};
  KnownPaths *known = known_paths_new(DIR, read_text, &texts);
  Span bad = SPAN("/nix/store/00000000000000000000000000000000-bad.drv"),
       none = SPAN("/nix/store/00000000000000000000000000000001-none.drv");
  Buf *text = mem_alloc_zero(sizeof(Buf));
  buf_put_cstr(text, "Derive([");
  map_set(&texts.by_path, bad, text);
  Err err = ERR_INIT;
  CHECK(!known_paths_load(known, bad, &err));
  CHECK_CONTAINS(span_cstr(err_message(&err)),
                 "error parsing derivation '/nix/store/00000000000000000000000000000000-bad.drv'");
  err_done(&err);
  CHECK(!known_paths_find(known, bad)); // not remembered
  CHECK(!known_paths_fill_modulo(known, none, &err));
  CHECK_EQ_INT(err.kind, ERR_NOT_FOUND);
  err_done(&err);
  known_paths_free(known);
  texts_done(&texts);
}

TEST_MAIN()
