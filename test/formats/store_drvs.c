// store_drvs.c: loads the .drv files of /nix/store.
#include "store_drvs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/mem.h"

static void die(const char *path, const Err *err) {
  fprintf(stderr, "%s: %s\n", path, err_message(err));
  abort();
}

static void load_one(StoreDrvs *drvs, const char *file_name) {
  Err err = ERR_INIT;
  Buf text = BUF_INIT;
  StoreDrv *drv = &drvs->items[drvs->count++];
  StorePath path;
  memset(drv, 0, sizeof(*drv));
  drv->path = span_cstr(arena_printf(&drvs->arena, "/nix/store/%s", file_name));
  if (!fs_read_file(drv->path.data, 0, &text, &err)) die(file_name, &err);
  drv->text = arena_dup(&drvs->arena, buf_span(&text));
  buf_done(&text);
  drvs->text_bytes += drv->text.len;
  if (!store_path_parse(drv->path, STORE_PATH_DIR, &path, &err)) die(file_name, &err);
  drv->name = arena_dup(&drvs->arena, span_sub(store_path_name(&path), 0, (size_t)path.name_len - 4));
  if (!derivation_parse(drv->text, drv->name, STORE_PATH_DIR, &drvs->arena, &drv->drv, &err)) die(file_name, &err);
}

void store_drvs_load(StoreDrvs *drvs, size_t limit) {
  *drvs = (StoreDrvs){NULL, 0, 0, MAP_INIT, ARENA_INIT};
  DIR *dir = opendir("/nix/store");
  if (!dir) return;
  drvs->items = mem_alloc_array(limit, sizeof(StoreDrv));
  for (struct dirent *entry; drvs->count < limit && (entry = readdir(dir));)
    if (span_has_suffix(span_cstr(entry->d_name), SPAN(".drv"))) load_one(drvs, entry->d_name);
  closedir(dir);
  for (size_t i = 0; i < drvs->count; i++) map_set(&drvs->by_path, drvs->items[i].path, &drvs->items[i]);
}

void store_drvs_done(StoreDrvs *drvs) {
  map_done(&drvs->by_path);
  arena_done(&drvs->arena);
  mem_free(drvs->items);
}

const DerivationModulo *store_drvs_find_modulo(void *store_drvs, Span drv_path) {
  StoreDrv *drv = map_get(&((StoreDrvs *)store_drvs)->by_path, drv_path);
  return drv && drv->has_modulo ? &drv->modulo : NULL;
}

// Depth-first with an explicit stack; `state` 0 new, 1 open, 2 visited, 3 incomplete.
void store_drvs_in_order(StoreDrvs *drvs, void (*visit)(void *ctx, StoreDrv *drv), void *ctx) {
  uint8_t *state = mem_alloc_zero(drvs->count + 1);
  size_t *stack = mem_alloc_array(drvs->count + 1, sizeof(size_t));
  size_t *next = mem_alloc_zero((drvs->count + 1) * sizeof(size_t));
  for (size_t root = 0; root < drvs->count; root++) {
    size_t depth = 0;
    if (state[root] == 0) stack[depth++] = root;
    while (depth) {
      size_t top = stack[depth - 1];
      const Derivation *drv = &drvs->items[top].drv;
      if (state[top] == 0) state[top] = 1;
      if (next[top] < drv->input_drv_count) {
        StoreDrv *input = map_get(&drvs->by_path, drv->input_drvs[next[top]++].key);
        size_t index = input ? (size_t)(input - drvs->items) : SIZE_MAX;
        if (!input || state[index] == 3) state[top] = 3;
        else if (state[index] == 0) stack[depth++] = index;
        continue;
      }
      if (state[top] == 1) {
        visit(ctx, &drvs->items[top]);
        state[top] = 2;
      }
      depth--;
      if (state[top] == 3 && depth) state[stack[depth - 1]] = 3;
    }
  }
  mem_free(state);
  mem_free(stack);
  mem_free(next);
}
