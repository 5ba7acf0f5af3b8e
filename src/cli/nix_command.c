// nix_command.c: small commands of the new command line: `nix derivation show`, `nix why-depends`, `nix key`, `nix nar dump-path`,
// `nix store info`. Behaviour: Nix 2.26.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "castore/castore_nar.h"
#include "cli/build_command.h"
#include "cli/command_list.h"
#include "cli/store_command.h"
#include "cli/version.h"
#include "formats/derivation_json.h"
#include "formats/signature.h"

static int usage(Session *session, const char *what) {
  Err err = ERR_INIT;
  err_set(&err, ERR_USAGE, "%s", what);
  return session_fail(session, &err);
}

static bool operand_path(Session *session, const char *text, StorePath *ret, Err *err) {
  Buf real CLEANUP(buf_done) = BUF_INIT;
  Span rest;
  return store_command_follow(session, text, &real, err) &&
         store_path_split(buf_span(&real), session_store_dir(session), ret, &rest, err);
}

// ---- derivation show

static int compare_paths(const void *a, const void *b) {
  return store_path_cmp(a, b);
}

// The derivations that operands mean: themselves, derivers of outputs, and what -f and -E evaluate to.
static bool wanted_drvs(Session *session, Store *store, StorePathList *ret, int *ret_code) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  bool evaluates = option_get(list, OPT_file) || option_get(list, OPT_expr);
  if (evaluates) {
    TargetDrvList drvs CLEANUP(target_drv_list_done) = {0};
    const TargetRoot *roots;
    size_t count;
    bool used;
    for (size_t i = 0; i < list->operand_count; i++) { // attributes
      MEM_RESERVE(session->options.uses, session->options.use_cap, session->options.use_count + 1);
      session->options.uses[session->options.use_count++] = (OptionUse){OPT_attr, {list->operands[i], NULL}};
    }
    target_roots(session, false, &roots, &count, &used);
    if (!target_find_drvs(session, roots, count, &drvs, ret_code)) return false;
    for (size_t i = 0; i < drvs.count; i++) store_path_list_add(ret, &drvs.items[i].drv_path);
    return true;
  }
  for (size_t i = 0; i < list->operand_count; i++) {
    StorePath path;
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    if (!operand_path(session, list->operands[i], &path, &err)) return *ret_code = session_fail(session, &err), false;
    if (!store_path_is_derivation(&path)) {
      if (!store_get(store, &path, &record, &err)) return *ret_code = session_fail(session, &err), false;
      if (!record->info.has_deriver) {
        err_set(&err, ERR_NOT_FOUND, "'%s' does not have a known deriver", list->operands[i]);
        return *ret_code = session_fail(session, &err), false;
      }
      path = record->info.deriver;
    }
    store_path_list_add(ret, &path);
  }
  return true;
}

// With -r, everything that these depend on. Known and stored derivations alike.
static bool add_inputs(Session *session, StorePathList *list, Err *err) {
  KnownPaths *known = store_io_known(session->io);
  Map seen CLEANUP(map_done) = MAP_INIT;
  for (size_t i = 0; i < list->count; i++)
    map_set(&seen, span_make(list->paths[i].digest, STORE_PATH_DIGEST_BYTES), NULL);
  for (size_t i = 0; i < list->count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&list->paths[i], session_store_dir(session), &text);
    KnownDrv *entry = known_paths_load(known, buf_span(&text), err);
    const Derivation *drv = entry ? known_paths_parse(known, entry, err) : NULL;
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
  KnownPaths *known = store_io_known(session->io);
  JsonWrite json;
  json_write_init(&json, out, 2);
  json_write_object_begin(&json);
  for (size_t i = 0; i < list->count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&list->paths[i], session_store_dir(session), &text);
    KnownDrv *entry = known_paths_load(known, buf_span(&text), err);
    const Derivation *drv = entry ? known_paths_parse(known, entry, err) : NULL;
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
  bool ok = wanted_drvs(session, store, &drvs, &code);
  if (ok && option_has(&session->options, OPT_paths_recursive)) ok = add_inputs(session, &drvs, &err);
  if (ok && drvs.count) qsort(drvs.paths, drvs.count, sizeof(StorePath), compare_paths);
  ok = ok && put_drvs(session, &drvs, &out, &err);
  store_path_list_done(&drvs);
  if (!ok) return code ? code : session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- why-depends

// Breadth first from the dependency against the references: the distance of each path, and the next step on a shortest way.
typedef struct Chain {
  StorePathList order; // in the order of their distances
  Map next; // digest -> index + 1 in `order` of the next path towards the dependency; 0: it is the dependency
} Chain;

static Span path_key(const StorePath *path) {
  return span_make(path->digest, STORE_PATH_DIGEST_BYTES);
}

static bool search(Store *store, const Map *closure, const StorePath *dependency, Chain *chain, Err *err) {
  store_path_list_add(&chain->order, dependency);
  map_set(&chain->next, path_key(dependency), NULL);
  for (size_t i = 0; i < chain->order.count; i++) {
    StorePathList users = STORE_PATH_LIST_INIT;
    StorePath here = chain->order.paths[i];
    if (!store_referrers(store, &here, &users, err)) return false;
    for (size_t j = 0; j < users.count; j++) {
      const StorePath *user = &users.paths[j];
      if (!map_has(closure, path_key(user)) || map_has(&chain->next, path_key(user))) continue;
      map_set(&chain->next, path_key(user), (void *)(uintptr_t)(i + 1));
      store_path_list_add(&chain->order, user);
    }
    store_path_list_done(&users);
  }
  return true;
}

static void put_chain(Session *session, const Chain *chain, const StorePath *package, Buf *out) {
  const StorePath *path = package;
  for (size_t depth = 0;; depth++) {
    for (size_t i = 1; i < depth; i++) buf_put_cstr(out, "    ");
    if (depth) buf_put_cstr(out, "└───");
    store_path_format(path, session_store_dir(session), out);
    buf_put_char(out, '\n');
    uintptr_t next = (uintptr_t)map_get(&chain->next, path_key(path));
    if (!next) break;
    path = &chain->order.paths[next - 1];
  }
}

int nix_command_why_depends(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePath package, dependency;
  const OptionList *list = &session->options;
  if (list->operand_count != 2) return usage(session, "two paths are expected: the package and its dependency");
  if (!session_store(session, &store, &err) || !operand_path(session, list->operands[0], &package, &err) ||
      !operand_path(session, list->operands[1], &dependency, &err))
    return session_fail(session, &err);
  StorePathList closure = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {0};
  Map members CLEANUP(map_done) = MAP_INIT;
  Chain chain = {.order = STORE_PATH_LIST_INIT};
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool ok = store_closure(store, &package, 1, &options, &closure, &err);
  for (size_t i = 0; ok && i < closure.count; i++) map_set(&members, path_key(&closure.paths[i]), NULL);
  bool depends = ok && map_has(&members, path_key(&dependency));
  if (depends && (ok = search(store, &members, &dependency, &chain, &err))) put_chain(session, &chain, &package, &out);
  else if (ok) buf_printf(&out, "'%s' does not depend on '%s'\n", list->operands[0], list->operands[1]);
  store_path_list_done(&closure);
  store_path_list_done(&chain.order);
  map_done(&chain.next);
  if (!ok) return session_fail(session, &err);
  if (depends) session_print(session, buf_span(&out));
  else progress_write(&session->progress, buf_span(&out));
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
  if (!fs_read_fd(STDIN_FILENO, 1 << 16, &text, &err) ||
      !signature_parse_secret_key(span_trim(buf_span(&text)), &secret, &err))
    return session_fail(session, &err);
  signature_public_of(&secret, &public);
  signature_format_public_key(&public, &out);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- nar, store

int nix_command_nar_dump(Session *session) {
  Err err = ERR_INIT;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  if (session->options.operand_count != 1) return usage(session, "one path is expected");
  return castore_nar_dump_path(session->options.operands[0], &sink, &err) ? 0 : session_fail(session, &err);
}

int nix_command_store_info(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  if (option_has(&session->options, OPT_json)) {
    JsonWrite json;
    json_write_init(&json, &out, 0);
    json_write_object_begin(&json);
    if (!json_write_key(&json, SPAN("trusted"), &err)) return session_fail(session, &err);
    json_write_bool(&json, true);
    if (!json_write_key(&json, SPAN("url"), &err) || !json_write_str(&json, SPAN("local"), &err) ||
        !json_write_key(&json, SPAN("version"), &err) || !json_write_str(&json, SPAN(VERSION_NIX), &err))
      return session_fail(session, &err);
    json_write_object_end(&json);
    buf_put_char(&out, '\n');
  } else {
    log_msg(LOG_NOTICE, "Store URL: local (%s)\nVersion: %s\nTrusted: 1", store_root(store), VERSION_NIX);
    return 0;
  }
  session_print(session, buf_span(&out));
  return 0;
}
