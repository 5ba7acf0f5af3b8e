// known_paths.c: two hash tables over an arena. The hash part of a store path is uniformly distributed, so eight of its bytes
// are the hash.
#include "glue/known_paths.h"

#include "base/mem.h"
#include "base/spill.h"
#include "formats/derivation_parse.h"

typedef struct OutputEntry {
  Span path;
  Span name;
  KnownDrv *drv;
} OutputEntry;

// Open addressing; an entry is an index + 1 into an array, 0 is free.
typedef struct Table {
  uint32_t *slots;
  size_t cap; // power of two, or 0
} Table;

struct KnownPaths {
  Arena arena;
  Spill texts;
  Span store_dir;
  KnownPathsReader reader;
  void *reader_ctx;
  KnownDrv **drvs;
  size_t drv_count, drv_cap;
  Table by_drv;
  OutputEntry *outputs;
  size_t output_count, output_cap;
  Table by_output;
  DerivationModuloScratch scratch;
};

KnownPaths *known_paths_new(Span store_dir, KnownPathsReader reader, void *reader_ctx) {
  KnownPaths *known = mem_alloc_zero(sizeof(*known));
  spill_init(&known->texts, NULL, SPILL_MEMORY_BYTES);
  known->scratch = (DerivationModuloScratch)DERIVATION_MODULO_SCRATCH_INIT;
  known->store_dir = arena_dup(&known->arena, store_dir);
  known->reader = reader;
  known->reader_ctx = reader_ctx;
  return known;
}

void known_paths_release(KnownPaths *known) {
  spill_release(&known->texts);
}

void known_paths_free(KnownPaths *known) {
  if (!known) return;
  derivation_modulo_scratch_done(&known->scratch);
  mem_free(known->drvs);
  mem_free(known->by_drv.slots);
  mem_free(known->outputs);
  mem_free(known->by_output.slots);
  arena_done(&known->arena);
  spill_done(&known->texts);
  mem_free(known);
}

// Paths shorter than a store path are asked for as well; they are in no table.
static uint64_t path_hash(const KnownPaths *known, Span path) {
  uint64_t hash = 0;
  size_t start = known->store_dir.len + 1;
  if (path.len >= start + 16) {
    uint64_t second;
    memcpy(&hash, path.data + start, sizeof(hash));
    memcpy(&second, path.data + start + 8, sizeof(second));
    hash ^= second * UINT64_C(0x9e3779b97f4a7c15);
  }
  // Digits of base 32 leave the upper bits of each byte alike: fold them away.
  hash *= UINT64_C(0x9e3779b97f4a7c15);
  return hash ^ hash >> 29;
}

static Span drv_key(const KnownPaths *known, size_t i) {
  return known->drvs[i]->path;
}
static Span output_key(const KnownPaths *known, size_t i) {
  return known->outputs[i].path;
}

// The slot that holds `path`, or the free one where it belongs.
static size_t table_slot(const KnownPaths *known, const Table *table, Span path,
                         Span (*key)(const KnownPaths *, size_t)) {
  size_t i = (size_t)path_hash(known, path) & (table->cap - 1);
  while (table->slots[i] && !span_eq(key(known, table->slots[i] - 1), path)) i = (i + 1) & (table->cap - 1);
  return i;
}

static void table_add(KnownPaths *known, Table *table, size_t count, Span (*key)(const KnownPaths *, size_t)) {
  size_t index = count - 1; // the entry that was appended last
  if (count * 2 > table->cap) {
    mem_free(table->slots);
    table->cap = table->cap ? table->cap * 2 : 256;
    table->slots = mem_alloc_zero(table->cap * sizeof(*table->slots));
    for (size_t i = 0; i < index; i++) table->slots[table_slot(known, table, key(known, i), key)] = (uint32_t)i + 1;
  }
  table->slots[table_slot(known, table, key(known, index), key)] = (uint32_t)index + 1;
}

KnownDrv *known_paths_find(const KnownPaths *known, Span drv_path) {
  if (!known->by_drv.cap) return NULL;
  uint32_t entry = known->by_drv.slots[table_slot(known, &known->by_drv, drv_path, drv_key)];
  return entry ? known->drvs[entry - 1] : NULL;
}

KnownDrv *known_paths_find_output(const KnownPaths *known, Span store_path, Span *ret_output) {
  if (!known->by_output.cap) return NULL;
  uint32_t entry = known->by_output.slots[table_slot(known, &known->by_output, store_path, output_key)];
  if (!entry) return NULL;
  const OutputEntry *output = &known->outputs[entry - 1];
  if (ret_output) *ret_output = output->name;
  return output->drv;
}

static KnownDrv *append_drv(KnownPaths *known, Span path, Span text) {
  KnownDrv *drv = ARENA_NEW(&known->arena, KnownDrv);
  *drv = (KnownDrv){.path = path, .text = text};
  MEM_RESERVE(known->drvs, known->drv_cap, known->drv_count + 1);
  known->drvs[known->drv_count++] = drv;
  table_add(known, &known->by_drv, known->drv_count, drv_key);
  return drv;
}

// Two derivations may make the same fixed output: the first one stays.
static void add_outputs(KnownPaths *known, KnownDrv *drv, const Derivation *value) {
  for (size_t i = 0; i < value->output_count; i++) {
    Span path = value->outputs[i].path;
    if (path.len == 0 || known_paths_find_output(known, path, NULL)) continue;
    MEM_RESERVE(known->outputs, known->output_cap, known->output_count + 1);
    known->outputs[known->output_count++] =
        (OutputEntry){arena_dup(&known->arena, path), arena_dup(&known->arena, value->outputs[i].name), drv};
    table_add(known, &known->by_output, known->output_count, output_key);
  }
}

KnownDrv *known_paths_add(KnownPaths *known, const Derivation *drv, const DerivationSealed *sealed) {
  Buf path = BUF_INIT;
  store_path_format(&sealed->drv_path, known->store_dir, &path);
  KnownDrv *entry = known_paths_find(known, buf_span(&path));
  if (!entry) {
    entry = append_drv(known, arena_dup(&known->arena, buf_span(&path)), spill_dup(&known->texts, sealed->text));
    add_outputs(known, entry, drv);
  }
  buf_done(&path);
  if (!entry->has_modulo) {
    entry->modulo = sealed->modulo;
    entry->has_modulo = true;
  }
  return entry;
}

bool known_paths_read(const KnownPaths *known, const KnownDrv *drv, Arena *arena, Derivation *ret, Err *err) {
  StorePath path;
  Span name;
  if (!store_path_parse(drv->path, known->store_dir, &path, err) || !derivation_name_of_path(&path, &name, err))
    return false;
  return derivation_parse(drv->text, arena_dup(arena, name), known->store_dir, arena, ret, err) ||
         err_wrap(err, "error parsing derivation '%.*s'", SPAN_ARG(drv->path));
}

const Derivation *known_paths_parse(KnownPaths *known, KnownDrv *drv, Err *err) {
  if (drv->parsed) return drv->parsed;
  Derivation *value = ARENA_NEW(&known->arena, Derivation);
  return known_paths_read(known, drv, &known->arena, value, err) ? drv->parsed = value : NULL;
}

KnownDrv *known_paths_load(KnownPaths *known, Span drv_path, Err *err) {
  KnownDrv *drv = known_paths_find(known, drv_path);
  if (drv) return drv;
  if (!known->reader) {
    err_set(err, ERR_NOT_FOUND, "derivation '%.*s' is not known", SPAN_ARG(drv_path));
    return NULL;
  }
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (!known->reader(known->reader_ctx, drv_path, &text, err)) return NULL;
  // Parsed before it is entered, so that a damaged one is not remembered.
  KnownDrv probe = {.path = arena_dup(&known->arena, drv_path), .text = arena_dup(&known->arena, buf_span(&text))};
  if (!known_paths_parse(known, &probe, err)) return NULL;
  drv = append_drv(known, probe.path, probe.text);
  drv->parsed = probe.parsed;
  drv->is_stored = true;
  add_outputs(known, drv, drv->parsed);
  return drv;
}

static const DerivationModulo *memo_find(void *ctx, Span drv_path) {
  const KnownDrv *drv = known_paths_find(ctx, drv_path);
  return drv && drv->has_modulo ? &drv->modulo : NULL;
}

DerivationModuloMemo known_paths_memo(KnownPaths *known) {
  return (DerivationModuloMemo){memo_find, known};
}

bool known_paths_fill_modulo(KnownPaths *known, Span drv_path, Err *err) {
  KnownDrv **stack = NULL;
  size_t count = 0, cap = 0;
  bool ok = true;
  KnownDrv *drv = known_paths_load(known, drv_path, err);
  if (!drv) return false;
  MEM_RESERVE(stack, cap, 1);
  stack[count++] = drv;
  while (ok && count) {
    drv = stack[count - 1];
    if (drv->has_modulo) {
      count--;
      continue;
    }
    const Derivation *value = known_paths_parse(known, drv, err);
    if (!value) {
      ok = false;
      break;
    }
    // All missing inputs at once: the computation itself would name them one by one.
    bool complete = true;
    for (size_t i = 0; ok && i < value->input_drv_count; i++) {
      KnownDrv *input = known_paths_load(known, value->input_drvs[i].key, err);
      ok = input != NULL;
      if (!ok || input->has_modulo) continue;
      complete = false;
      // A derivation that was expanded and is asked for again before it is complete lies on a cycle.
      if (drv->is_expanded) {
        ok = err_set(err, ERR_CORRUPT, "derivation '%.*s' depends on itself", SPAN_ARG(drv->path));
        break;
      }
      MEM_RESERVE(stack, cap, count + 1);
      stack[count++] = input;
    }
    drv->is_expanded = true;
    if (!ok || !complete) continue;
    DerivationModuloMemo memo = known_paths_memo(known);
    ok = derivation_modulo_hash(value, false, &memo, &known->scratch, &drv->modulo, NULL, err);
    drv->has_modulo = ok;
  }
  while (count) stack[--count]->is_expanded = false;
  mem_free(stack);
  return ok;
}

bool known_paths_seal(KnownPaths *known, Span store_dir, Derivation *drv, Arena *arena,
                      DerivationModuloScratch *scratch, DerivationSealed *ret, Err *err) {
  DerivationModuloMemo memo = known_paths_memo(known);
  for (;;) {
    Span missing = {NULL, 0};
    if (derivation_modulo_seal(drv, &memo, store_dir, arena, scratch, ret, &missing, err)) return true;
    if (!missing.len) return false;
    err_done(err);
    if (!known_paths_fill_modulo(known, missing, err)) return false;
  }
}

size_t known_paths_count(const KnownPaths *known) {
  return known->drv_count;
}

KnownDrv *known_paths_get(const KnownPaths *known, size_t i) {
  return known->drvs[i];
}
