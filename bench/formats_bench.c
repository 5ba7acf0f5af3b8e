// formats_bench.c: rates of the codecs: hashes, ATerm, hash modulo, NAR, JSON. Derivations are those of the machine's Nix store.
//
//   build/bench/formats_bench [SECONDS PER CASE, default 0.3]
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "formats/json_read.h"
#include "formats/json_write.h"
#include "formats/nar_read.h"
#include "formats/nar_write.h"
#include "formats/nixbase32.h"
#include "formats/store_drvs.h"

typedef struct Bench {
  double seconds_per_case;
  volatile unsigned sink; // results go here, so that nothing is optimised away
} Bench;

static double cpu_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); // the machine may be busy
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Runs `body(ctx)` until the time is over and prints the CPU time of one run, and the rate for what it handles.
static void measure(const Bench *bench, const char *name, void (*body)(void *ctx), void *ctx, double bytes,
                    double items) {
  body(ctx);
  size_t rounds = 1;
  double took;
  while (true) {
    double start = cpu_s();
    for (size_t i = 0; i < rounds; i++) body(ctx);
    took = cpu_s() - start;
    if (took >= bench->seconds_per_case) break;
    rounds = took < bench->seconds_per_case / 20 ? rounds * 10
                                                 : (size_t)((double)rounds * 1.2 * bench->seconds_per_case / took) + 1;
  }
  took /= (double)rounds;
  printf("%-34s %10.3f us %9.1f ns/item", name, took * 1e6, took * 1e9 / items);
  if (bytes > 0) printf(" %9.1f MB/s", bytes / took / 1e6);
  printf("\n");
}

// Hashes.

typedef struct HashCase {
  HashAlgo algo;
  Span data;
  Hash hash;
} HashCase;

static void run_hash(void *ctx) {
  HashCase *c = ctx;
  hash_of(c->algo, c->data, &c->hash);
}

static void run_nixbase32(void *ctx) {
  HashCase *c = ctx;
  char text[64];
  nixbase32_encode(c->hash.bytes, 32, text);
  c->hash.bytes[0] = (uint8_t)text[0];
}

static void bench_hashes(const Bench *bench) {
  static const size_t sizes[] = {64, 1024, 65536, 16 << 20};
  char *data = mem_alloc_zero(16 << 20);
  char name[64];
  for (int algo = 0; algo < HASH_ALGO_COUNT; algo++)
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
      HashCase c = {(HashAlgo)algo, {data, sizes[i]}, {0}};
      snprintf(name, sizeof(name), "%.*s %zu", SPAN_ARG(hash_algo_name(c.algo)), sizes[i]);
      measure(bench, name, run_hash, &c, (double)sizes[i], 1);
    }
  HashCase c = {HASH_SHA256, {data, 0}, {0}};
  measure(bench, "nixbase32 of 32 bytes", run_nixbase32, &c, 32, 1);
  mem_free(data);
}

// Derivations.

typedef struct DrvCase {
  StoreDrvs *drvs;
  DerivationModuloScratch scratch;
  Buf out;
  StoreDrv **order; // inputs first
  size_t count;
  bool failed;
} DrvCase;

static void run_parse(void *ctx) {
  DrvCase *c = ctx;
  Arena arena = ARENA_INIT;
  for (size_t i = 0; i < c->drvs->count; i++) {
    Derivation drv;
    StoreDrv *item = &c->drvs->items[i];
    c->failed |= !derivation_parse(item->text, item->name, STORE_PATH_DIR, &arena, &drv, NULL);
  }
  arena_done(&arena);
}

static void run_format(void *ctx) {
  DrvCase *c = ctx;
  for (size_t i = 0; i < c->drvs->count; i++) {
    buf_clear(&c->out);
    derivation_format(&c->drvs->items[i].drv, NULL, &c->out);
  }
}

static void run_sha256_of_texts(void *ctx) {
  DrvCase *c = ctx;
  uint8_t sha256[32];
  for (size_t i = 0; i < c->drvs->count; i++) hash_sha256(c->drvs->items[i].text, sha256);
}

static void run_modulo(void *ctx) {
  DrvCase *c = ctx;
  DerivationModuloMemo memo = {store_drvs_find_modulo, c->drvs};
  for (size_t i = 0; i < c->count; i++) {
    StoreDrv *item = c->order[i];
    c->failed |= !derivation_modulo_hash(&item->drv, false, &memo, &c->scratch, &item->modulo, NULL, NULL);
    item->has_modulo = true;
  }
}

static void run_seal(void *ctx) {
  DrvCase *c = ctx;
  DerivationModuloMemo memo = {store_drvs_find_modulo, c->drvs};
  Arena arena = ARENA_INIT;
  for (size_t i = 0; i < c->count; i++) {
    StoreDrv *item = c->order[i];
    DerivationSealed sealed;
    c->failed |= !derivation_modulo_seal(&item->drv, &memo, STORE_PATH_DIR, &arena, &c->scratch, &sealed, NULL, NULL);
    item->modulo = sealed.modulo;
  }
  arena_done(&arena);
}

static void add_to_order(void *ctx, StoreDrv *drv) {
  DrvCase *c = ctx;
  c->order[c->count++] = drv;
}

static void bench_derivations(const Bench *bench) {
  StoreDrvs drvs;
  store_drvs_load(&drvs, 30000);
  if (drvs.count == 0) {
    printf("no derivations in /nix/store\n");
    return;
  }
  DrvCase c = {.drvs = &drvs, .scratch = DERIVATION_MODULO_SCRATCH_INIT, .out = BUF_INIT};
  c.order = mem_alloc_array(drvs.count, sizeof(*c.order));
  store_drvs_in_order(&drvs, add_to_order, &c);
  double bytes = (double)drvs.text_bytes, count = (double)drvs.count;
  printf("%zu derivations, %zu bytes\n", drvs.count, drvs.text_bytes);
  measure(bench, "derivation_parse", run_parse, &c, bytes, count);
  measure(bench, "derivation_format", run_format, &c, bytes, count);
  measure(bench, "sha256 of the texts", run_sha256_of_texts, &c, bytes, count);
  measure(bench, "derivation_modulo_hash", run_modulo, &c, bytes, (double)c.count);
  measure(bench, "derivation_modulo_seal", run_seal, &c, bytes, (double)c.count);
  if (c.failed) printf("a derivation failed\n");
  buf_done(&c.out);
  mem_free(c.order);
  derivation_modulo_scratch_done(&c.scratch);
  store_drvs_done(&drvs);
}

// Archives and JSON.

typedef struct NarCase {
  Buf out;
  size_t file_count, file_bytes;
  char *content;
} NarCase;

static void run_nar_write(void *ctx) {
  NarCase *c = ctx;
  NarWrite nar;
  char name[16];
  buf_clear(&c->out);
  nar_write_init(&nar, &c->out);
  nar_write_dir(&nar);
  for (size_t i = 0; i < c->file_count; i++) {
    int len = snprintf(name, sizeof(name), "f%08zu", i);
    if (!nar_write_entry(&nar, span_make(name, (size_t)len), NULL)) abort();
    nar_write_file(&nar, false, c->file_bytes);
    buf_put(&c->out, c->content, c->file_bytes);
    nar_write_file_end(&nar);
  }
  nar_write_dir_end(&nar);
  nar_write_done(&nar);
}

static void run_nar_read(void *ctx) {
  NarCase *c = ctx;
  NarRead nar;
  NarReadEvent event;
  Span input = buf_span(&c->out);
  nar_read_init(&nar);
  while (nar_read_next(&nar, &input, &event, NULL) == NAR_READ_EVENT) {
  }
  nar_read_done(&nar);
}

static void bench_archives(const Bench *bench) {
  static const size_t cases[][2] = {{10000, 100}, {1000, 20000}};
  char name[64];
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    NarCase c = {BUF_INIT, cases[i][0], cases[i][1], mem_alloc_zero(cases[i][1])};
    run_nar_write(&c);
    snprintf(name, sizeof(name), "nar_write %zu files of %zu", c.file_count, c.file_bytes);
    measure(bench, name, run_nar_write, &c, (double)c.out.len, (double)c.file_count);
    snprintf(name, sizeof(name), "nar_read %zu files of %zu", c.file_count, c.file_bytes);
    measure(bench, name, run_nar_read, &c, (double)c.out.len, (double)c.file_count);
    buf_done(&c.out);
    mem_free(c.content);
  }
}

typedef struct JsonCase {
  Buf text, out;
  bool failed;
} JsonCase;

static void run_json_write(void *ctx) {
  JsonCase *c = ctx;
  JsonWrite json;
  buf_clear(&c->text);
  json_write_init(&json, &c->text, 0);
  json_write_array_begin(&json);
  for (int i = 0; i < 10000; i++) {
    json_write_object_begin(&json);
    c->failed |= !json_write_key(&json, SPAN("name"), NULL) ||
                 !json_write_str(&json, SPAN("a string of the usual length\n"), NULL);
    c->failed |= !json_write_key(&json, SPAN("narSize"), NULL);
    json_write_int(&json, 123456789 + i);
    c->failed |= !json_write_key(&json, SPAN("ratio"), NULL);
    json_write_float(&json, 0.1 * i);
    json_write_object_end(&json);
  }
  json_write_array_end(&json);
}

static void run_json_read(void *ctx) {
  JsonCase *c = ctx;
  JsonRead json;
  JsonEvent event;
  json_read_init(&json, buf_span(&c->text));
  while ((event = json_read_next(&json, NULL)) != JSON_END) c->failed |= event == JSON_ERROR;
  json_read_done(&json);
}

static void bench_json(const Bench *bench) {
  JsonCase c = {BUF_INIT, BUF_INIT, false};
  run_json_write(&c);
  measure(bench, "json_write", run_json_write, &c, (double)c.text.len, 10000);
  measure(bench, "json_read", run_json_read, &c, (double)c.text.len, 10000);
  if (c.failed) printf("JSON failed\n");
  buf_done(&c.text);
  buf_done(&c.out);
}

int main(int argc, char **argv) {
  Bench bench = {argc > 1 ? atof(argv[1]) : 0.3, 0};
  bench_hashes(&bench);
  bench_derivations(&bench);
  bench_archives(&bench);
  bench_json(&bench);
  return 0;
}
