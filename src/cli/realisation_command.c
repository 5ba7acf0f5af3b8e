// realisation_command.c: `nix realisation info`: what outputs of derivations became. Behaviour: Nix 2.26, realisation.cc.
#include <stdlib.h>

#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "formats/json_write.h"
#include "realise/drv_load.h"
#include "realise/realisation_closure.h"

typedef struct Info {
  Session *session;
  Store *store;
  DrvHashes *hashes;
  RealisationClosure *closure;
  Realisation *items;
  size_t count;
} Info;

// One whose path is known from its derivation depends on nothing that had to be found out.
static bool describe(Info *info, const BuildTarget *target, Realisation *ret, Err *err) {
  Arena scratch CLEANUP(arena_done) = ARENA_INIT;
  Buf id CLEANUP(buf_done) = BUF_INIT;
  Derivation drv;
  uint8_t hash[32];
  if (!drv_load_from_store(info->store, &target->path, &scratch, &drv, err) ||
      !drv_hashes_get(info->hashes, &drv, hash, err) ||
      !realisation_closure_add(info->closure, &target->path, target->output, err))
    return false;
  realisation_format_id(hash, target->output, &id);
  *ret = (Realisation){.id = arena_dup(&info->session->arena, buf_span(&id)), .path = target->out_path};
  for (size_t i = 0; i < realisation_closure_count(info->closure); i++)
    if (span_eq(realisation_closure_at(info->closure, i)->id, ret->id))
      *ret = *realisation_closure_at(info->closure, i);
  return true;
}

static int compare(const void *a, const void *b) {
  return span_cmp(((const Realisation *)a)->id, ((const Realisation *)b)->id);
}

static void put_path(Info *info, const StorePath *path, Buf *out) {
  store_path_format(path, session_store_dir(info->session), out);
}

static bool put_all(Info *info, const StorePathList *opaque, bool is_json, Buf *out, Err *err) {
  if (is_json) buf_put_char(out, '[');
  for (size_t i = 0; i < info->count; i++) {
    if (is_json && i) buf_put_char(out, ',');
    if (is_json) {
      realisation_format(&info->items[i], out);
      continue;
    }
    buf_printf(out, "%.*s ", SPAN_ARG(info->items[i].id));
    put_path(info, &info->items[i].path, out);
    buf_put_char(out, '\n');
  }
  for (size_t i = 0; i < opaque->count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    JsonWrite json;
    put_path(info, &opaque->paths[i], &text);
    if (!is_json) {
      buf_printf(out, "%s\n", buf_cstr(&text));
      continue;
    }
    if (i || info->count) buf_put_char(out, ',');
    json_write_init(&json, out, 0);
    json_write_object_begin(&json);
    if (!json_write_key(&json, SPAN("opaquePath"), err) || !json_write_str(&json, buf_span(&text), err)) return false;
    json_write_object_end(&json);
  }
  if (is_json) buf_put_cstr(out, "]\n");
  return true;
}

static bool run(Info *info, const BuildTargetList *targets, Err *err) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  StorePathList opaque = STORE_PATH_LIST_INIT;
  bool ok = true;
  info->items = ARENA_ARRAY(&info->session->arena, Realisation, targets->count + 1);
  for (size_t i = 0; ok && i < targets->count; i++) {
    if (targets->items[i].is_drv) ok = describe(info, &targets->items[i], &info->items[info->count++], err);
    else store_path_list_add(&opaque, &targets->items[i].out_path);
  }
  if (ok && info->count) qsort(info->items, info->count, sizeof *info->items, compare);
  store_path_list_sort(&opaque);
  ok = ok && put_all(info, &opaque, option_has(&info->session->options, OPT_json), &out, err);
  store_path_list_done(&opaque);
  if (ok) session_print(info->session, buf_span(&out));
  return ok;
}

int realisation_command_info(Session *session) {
  Err err = ERR_INIT;
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  Info info = {.session = session};
  int code = 0;
  if (session_require_feature(session, "ca-derivations", &err) && path_selector_targets(session, 0, &targets, &code) &&
      session_store(session, &info.store, &err)) {
    info.hashes = drv_hashes_new(info.store);
    info.closure = realisation_closure_new(info.store);
    (void)!run(&info, &targets, &err);
  }
  realisation_closure_free(info.closure);
  drv_hashes_free(info.hashes);
  return err_is_set(&err) ? session_fail(session, &err) : code;
}
