// nix_command.c: small commands of the new command line: `nix derivation show, add`, `nix key`, `nix store info`. Behaviour: Nix 2.26.
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/build_command.h"
#include "cli/command_list.h"
#include "cli/path_selector.h"
#include "cli/store_command.h"
#include "cli/version.h"
#include "formats/derivation_format.h"
#include "formats/derivation_json.h"
#include "formats/signature.h"
#include "realise/drv_json.h"
#include "store/store_add.h"

static int usage(Session *session, const char *what) {
  Err err = ERR_INIT;
  err_set(&err, ERR_USAGE, "%s", what);
  return session_fail(session, &err);
}

// ---- derivation show

// With -r, everything that these depend on. Known and stored derivations alike.
static bool add_inputs(Session *session, StorePathList *list, Err *err) {
  Map seen CLEANUP(map_done) = MAP_INIT;
  for (size_t i = 0; i < list->count; i++)
    map_set(&seen, span_make(list->paths[i].digest, STORE_PATH_DIGEST_BYTES), NULL);
  for (size_t i = 0; i < list->count; i++) {
    const Derivation *drv = session_derivation(session, &list->paths[i], err);
    if (!drv) return false;
    for (size_t j = 0; j < drv->input_drv_count; j++) {
      StorePath input;
      if (!store_path_parse(drv->input_drvs[j].key, session_store_dir(session), &input, err)) return false;
      Span key = span_make(input.digest, STORE_PATH_DIGEST_BYTES);
      if (map_has(&seen, key)) continue;
      map_set(&seen, key, NULL);
      store_path_list_add(list, &input);
    }
  }
  return true;
}

static bool put_drvs(Session *session, const StorePathList *list, Buf *out, Err *err) {
  JsonWrite json;
  json_write_init(&json, out, 2);
  json_write_object_begin(&json);
  for (size_t i = 0; i < list->count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&list->paths[i], session_store_dir(session), &text);
    const Derivation *drv = session_derivation(session, &list->paths[i], err);
    if (!drv || !json_write_key(&json, buf_span(&text), err) || !derivation_json_write(drv, &json, err)) return false;
  }
  json_write_object_end(&json);
  buf_put_char(out, '\n');
  return true;
}

int nix_command_derivation_show(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList drvs = STORE_PATH_LIST_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  int code = 0;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  session_io(session);
  bool ok = path_selector_drvs(session, &drvs, &code);
  if (ok && option_has(&session->options, OPT_paths_recursive)) ok = add_inputs(session, &drvs, &err);
  if (ok) store_path_list_sort(&drvs);
  ok = ok && put_drvs(session, &drvs, &out, &err);
  store_path_list_done(&drvs);
  if (!ok) return code ? code : session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- key

int nix_command_key_generate(Session *session) {
  Err err = ERR_INIT;
  SignatureSecretKey secret;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  const char *name = option_get(&session->options, OPT_key_name);
  if (!name) return usage(session, "required argument '--key-name' is missing");
  if (!signature_generate(span_cstr(name), &secret, &err)) return session_fail(session, &err);
  signature_format_secret_key(&secret, &out);
  session_print(session, buf_span(&out));
  return 0;
}

int nix_command_key_public(Session *session) {
  Err err = ERR_INIT;
  SignatureSecretKey secret;
  SignaturePublicKey public;
  Buf text CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  if (!store_command_operands(session, 0, 0, &err) || !fs_read_fd(STDIN_FILENO, 1 << 16, &text, &err) ||
      !signature_parse_secret_key(span_trim(buf_span(&text)), &secret, &err))
    return session_fail(session, &err);
  signature_public_of(&secret, &public);
  signature_format_public_key(&public, &out);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- store

static bool put_store_json(StoreView *view, Buf *out, Err *err) {
  JsonWrite json;
  json_write_init(&json, out, 0);
  json_write_object_begin(&json);
  if (store_view_store(view)) {
    if (!json_write_key(&json, SPAN("trusted"), err)) return false;
    json_write_int(&json, 1);
  }
  if (!json_write_key(&json, SPAN("url"), err) || !json_write_str(&json, span_cstr(store_view_uri(view)), err))
    return false;
  if (store_view_store(view) &&
      (!json_write_key(&json, SPAN("version"), err) || !json_write_str(&json, SPAN(VERSION_NIX), err)))
    return false;
  json_write_object_end(&json);
  buf_put_char(out, '\n');
  return true;
}

int nix_command_store_info(Session *session) {
  Err err = ERR_INIT;
  StoreView *view;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!store_view_open(session, NULL, &view, &err)) return session_fail(session, &err);
  Store *store = store_view_store(view);
  bool ok = true;
  if (option_has(&session->options, OPT_json)) ok = put_store_json(view, &out, &err);
  else if (store) log_msg(LOG_NOTICE, "Store URL: local (%s)\nVersion: %s\nTrusted: 1", store_root(store), VERSION_NIX);
  else log_msg(LOG_NOTICE, "Store URL: %s", store_view_uri(view));
  store_view_free(view);
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

int nix_command_store_ping(Session *session) {
  log_warn("'nix store ping' is a deprecated alias for 'nix store info'");
  return nix_command_store_info(session);
}

// ---- derivation add

// Are output paths, and what is said of them in the environment, what follows from the rest? Inputs are read from the store.
static bool check_derivation(Session *session, const Derivation *drv, const StorePath *drv_path,
                             DerivationModuloScratch *scratch, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Span dir = session_store_dir(session), missing = {NULL, 0};
  KnownPaths *known = store_io_known(session_io(session));
  DerivationModuloMemo memo = known_paths_memo(known);
  store_path_format(drv_path, dir, &text);
  for (;;) {
    Err failed = ERR_INIT;
    missing = SPAN("");
    if (derivation_modulo_check(drv, buf_span(&text), &memo, dir, scratch, &missing, &failed)) return true;
    if (!missing.len) return err_move(err, &failed);
    err_done(&failed);
    if (!known_paths_fill_modulo(known, missing, err)) return false;
  }
}

static bool add_derivation(Session *session, Store *store, const Derivation *drv, DerivationModuloScratch *scratch,
                           StorePath *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT, name CLEANUP(buf_done) = BUF_INIT;
  StorePathList refs = STORE_PATH_LIST_INIT;
  Span dir = session_store_dir(session);
  bool ok = true;
  derivation_format(drv, NULL, &text);
  buf_printf(&name, "%.*s.drv", SPAN_ARG(drv->name));
  for (size_t i = 0; ok && i < drv->input_drv_count + drv->input_src_count; i++) {
    StorePath path;
    ok = store_path_parse(i < drv->input_drv_count ? drv->input_drvs[i].key : drv->input_srcs[i - drv->input_drv_count],
                          dir, &path, err);
    if (ok) store_path_list_add(&refs, &path);
  }
  store_path_list_sort(&refs);
  ok = ok && derivation_modulo_drv_path(drv, buf_span(&text), dir, scratch, ret, err) &&
       check_derivation(session, drv, ret, scratch, err);
  if (ok && !option_has(&session->options, OPT_add_dry_run))
    ok = store_add_text(store, buf_span(&name), buf_span(&text), refs.paths, refs.count, ret, err) &&
         store_materialise(store, ret, 1, err);
  store_path_list_done(&refs);
  return ok;
}

static bool check_features(Session *session, const Derivation *drv, Err *err) {
  DerivationType type;
  if (!derivation_type(drv, &type, err)) return false;
  const char *needed = type == DERIVATION_TYPE_FLOATING ? "ca-derivations"
                       : type == DERIVATION_TYPE_IMPURE ? "impure-derivations"
                                                        : NULL;
  return !needed || session_require_feature(session, needed, err);
}

int nix_command_derivation_add(Session *session) {
  enum { JSON_BYTES_MAX = 256 << 20 };
  Err err = ERR_INIT;
  Store *store;
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  DerivationModuloScratch scratch CLEANUP(derivation_modulo_scratch_done) = DERIVATION_MODULO_SCRATCH_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  Derivation drv;
  StorePath path;
  bool ok = store_command_no_operands(session, &err) && session_store(session, &store, &err) &&
            fs_read_fd(STDIN_FILENO, JSON_BYTES_MAX, &text, &err) &&
            drv_json_read(buf_span(&text), session_store_dir(session), &arena, &drv, &err) &&
            check_features(session, &drv, &err) && add_derivation(session, store, &drv, &scratch, &path, &err);
  if (!ok) return session_fail(session, &err);
  store_path_format(&path, session_store_dir(session), &out);
  buf_put_char(&out, '\n');
  session_print(session, buf_span(&out));
  return 0;
}
