// store_command.c: `firn store ...`: adding, listing, printing, describing, checking, collecting.
#include "cli/store_command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "cli/nar_index.h"
#include "cli/path_selector.h"
#include "cli/repair_command.h"
#include "formats/json_write.h"
#include "store/store_add.h"
#include "store/store_check.h"
#include "store/store_gc.h"
#include "store/store_resolve.h"

bool store_command_operands(Session *session, size_t least, size_t most, Err *err) {
  const OptionList *list = &session->options;
  if (list->operand_count < least) return err_set(err, ERR_USAGE, "more arguments are required");
  return list->operand_count <= most || err_set(err, ERR_USAGE, "unexpected argument '%s'", list->operands[most]);
}

bool store_command_no_operands(Session *session, Err *err) {
  return session->options.operand_count == 0 || err_set(err, ERR_USAGE, "no arguments expected");
}

bool store_command_check_listing(Session *session, Err *err) {
  return !option_has(&session->options, OPT_json) || !option_has(&session->options, OPT_directory) ||
         err_set(err, ERR_USAGE, "'--directory' is useless with '--json'");
}

// ---- add

static bool add_text(Session *session, Store *store, Span name, const char *path, StorePath *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  return fs_read_file(path, 0, &text, err) && store_add_text(store, name, buf_span(&text), NULL, 0, ret, err) &&
         store_flush(store, err);
}

static bool add_archive(Store *store, Span name, const char *file, const StoreAddOptions *options, StorePath *ret,
                        Err *err) {
  CLEANUP(fs_close_fd) int fd = -1;
  int in = STDIN_FILENO;
  bool from_stdin = strcmp(file, "-") == 0;
  if (!from_stdin && !fs_open(file, O_RDONLY, 0, &fd, err)) return false;
  ByteSource source = byte_stream_from_fd(from_stdin ? &in : &fd);
  return store_add_archive(store, name, &source, true, options, ret, NULL, err) || err_wrap(err, "'%s'", file);
}

static int add_operands(Session *session, CaMethod method) {
  Err err = ERR_INIT;
  Store *store;
  const OptionList *list = &session->options;
  const char *mode = option_get(list, OPT_mode), *given = option_get(list, OPT_name),
             *algo = option_get(list, OPT_hash_algo);
  StoreAddOptions options = STORE_ADD_OPTIONS_INIT;
  bool is_text = mode && strcmp(mode, "text") == 0;
  options.method = method;
  options.dry_run = option_has(list, OPT_add_dry_run);
  bool many = strcmp(session->command->program, "nix") != 0;
  if (!store_command_operands(session, !option_has(list, OPT_store_add), many ? SIZE_MAX : 1, &err))
    return session_fail(session, &err);
  if (mode && !is_text && !content_address_method_parse(span_cstr(mode), true, &options.method, &err))
    return session_fail(session, &err);
  if (algo && !hash_algo_parse(span_cstr(algo), &options.algo, &err)) return session_fail(session, &err);
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  for (size_t i = 0; i < list->operand_count; i++) {
    StorePath path;
    bool unpack = option_has(list, OPT_unpack);
    const char *file =
        unpack && strcmp(list->operands[i], "-") == 0 ? "-" : session_absolute(session, list->operands[i]);
    Span name = given ? span_cstr(given) : unpack ? SPAN("source") : fs_path_base(span_cstr(file));
    if (!(unpack    ? add_archive(store, name, file, &options, &path, &err)
          : is_text ? add_text(session, store, name, file, &path, &err)
                    : store_add_path(store, name, file, &options, &path, &err)))
      return session_fail(session, &err);
    // Who calls nix-store goes on to read the path.
    if (option_has(list, OPT_store_add) && !store_materialise(store, &path, 1, &err))
      return session_fail(session, &err);
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_format_path(store, &path, &text);
    buf_put_char(&text, '\n');
    session_print(session, buf_span(&text));
  }
  return 0;
}

int store_command_add(Session *session) {
  return add_operands(session, CA_NAR);
}

int store_command_add_file(Session *session) {
  return add_operands(session, CA_FLAT);
}

int store_command_dump(Session *session) {
  Err err = ERR_INIT;
  StoreView *view = NULL;
  StorePathList paths = STORE_PATH_LIST_INIT;
  int out = STDOUT_FILENO, code = 0;
  ByteSink sink = byte_stream_to_fd(&out);
  if (!store_view_open(session, NULL, &view, &err)) return session_fail(session, &err);
  bool ok = path_selector_find(session, view, PATH_SELECTOR_BUILD, &paths, &code);
  if (ok && paths.count != 1) ok = err_set(&err, ERR_USAGE, "this command requires exactly one store path");
  ok = ok && store_view_dump(view, &paths.paths[0], &sink, &err);
  store_path_list_done(&paths);
  store_view_free(view);
  return ok ? 0 : code ? code : session_fail(session, &err);
}

// ---- ls, cat

// The place inside the store that a path names, after following links of the command line's disk ("result/bin").
static bool locate(Session *session, Store *store, const char *path, StorePath *ret, Buf *ret_rest,
                   StoreResolved *ret_resolved, Err *err) {
  Buf real CLEANUP(buf_done) = BUF_INIT;
  if (!store_command_follow(session, path, &real, err)) return false;
  for (unsigned links = 0; links < 40; links++) {
    Span rest;
    if (!store_path_split(buf_span(&real), session_store_dir(session), ret, &rest, err)) return false;
    store_resolve_done(ret_resolved);
    *ret_resolved = (StoreResolved)STORE_RESOLVED_INIT;
    if (!store_resolve(store, ret, rest, ret_resolved, err)) return false;
    if (!ret_resolved->found) return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", buf_cstr(&real));
    if (ret_resolved->kind != CASTORE_SYMLINK || !ret_resolved->rest.len) {
      buf_put_span(ret_rest, rest);
      return true;
    }
    Buf next = BUF_INIT, target CLEANUP(buf_done) = BUF_INIT;
    buf_put_span(&target, ret_resolved->target);
    buf_put_span(&target, ret_resolved->rest);
    fs_path_canon(fs_path_dir(span_sub(buf_span(&real), 0, real.len - ret_resolved->rest.len)), buf_span(&target),
                  &next);
    buf_done(&real);
    real = next;
  }
  return err_set(err, ERR_LIMIT, "too many symbolic links in path '%s'", path);
}

// "<root>/store/x" is "/nix/store/x" where the store lies elsewhere.
static void make_logical(Session *session, Store *store, Buf *path) {
  if (!store) return;
  Buf physical CLEANUP(buf_done) = BUF_INIT, logical = BUF_INIT;
  buf_printf(&physical, "%s/", store_tree_dir(store));
  if (!span_has_prefix(buf_span(path), buf_span(&physical))) return;
  buf_put_span(&logical, session_store_dir(session));
  buf_put_span(&logical, span_from(buf_span(path), physical.len - 1));
  buf_done(path);
  *path = logical;
}

bool store_command_follow(Session *session, const char *path, Buf *ret, Err *err) {
  Span dir = session_store_dir(session);
  Store *store = NULL; // of a binary cache no tree is on this disk
  if (!store_view_is_cache_url(setting_text(session->settings, SETTING_ID_store)) &&
      !session_store(session, &store, err))
    return false;
  Buf current = BUF_INIT;
  buf_put_cstr(&current, session_absolute(session, path));
  make_logical(session, store, &current);
  for (unsigned links = 0; links < 40 && !store_path_is_below(buf_span(&current), dir); links++) {
    // The longest prefix that is a link, from the left.
    bool followed = false;
    for (size_t i = 1; i <= current.len && !followed; i++) {
      if (i < current.len && current.data[i] != '/') continue;
      Buf prefix CLEANUP(buf_done) = BUF_INIT, target CLEANUP(buf_done) = BUF_INIT;
      buf_put(&prefix, current.data, i);
      char text[4096];
      ssize_t len = readlink(buf_cstr(&prefix), text, sizeof(text));
      if (len < 0) continue;
      buf_put(&target, text, (size_t)len);
      buf_put(&target, current.data + i, current.len - i);
      Buf next = BUF_INIT;
      fs_path_canon(fs_path_dir(buf_span(&prefix)), buf_span(&target), &next);
      buf_done(&current);
      current = next;
      make_logical(session, store, &current);
      followed = true;
    }
    if (!followed) break;
  }
  bool ok = store_path_is_below(buf_span(&current), dir);
  if (!ok) err_set(err, ERR_NOT_FOUND, "path '%s' is not in the Nix store", buf_cstr(&current));
  buf_put_span(ret, buf_span(&current));
  buf_done(&current);
  return ok;
}

bool store_command_path(Session *session, const char *operand, StorePath *ret, Err *err) {
  Buf real CLEANUP(buf_done) = BUF_INIT;
  Span rest;
  return store_command_follow(session, operand, &real, err) &&
         store_path_split(buf_span(&real), session_store_dir(session), ret, &rest, err);
}

bool store_command_paths(Session *session, StorePathList *ret, Err *err) {
  for (size_t i = 0; i < session->options.operand_count; i++) {
    StorePath path;
    if (!store_command_path(session, session->options.operands[i], &path, err)) return false;
    store_path_list_add(ret, &path);
  }
  return true;
}

// As what is read from an archive, but for its place there.
static NarIndexEntry entry_of(const StoreResolved *node) {
  return (NarIndexEntry){
      .kind = node->kind, .executable = node->executable, .size_bytes = node->size_bytes, .target = node->target};
}

static void put_entry(Buf *out, const StoreResolved *node, Span name, bool is_long) {
  NarIndexEntry entry = entry_of(node);
  nar_index_put_line(&entry, name, is_long, out);
}

static bool list_tree(Session *session, Store *store, const StorePath *path, Buf *rest, const StoreResolved *dir,
                      Buf *shown, Buf *out, unsigned depth, Err *err) {
  bool is_long = option_has(&session->options, OPT_long_list),
       recursive = option_has(&session->options, OPT_list_recursive);
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  StoreDirEntry *entries;
  size_t count, rest_len = rest->len, shown_len = shown->len;
  if (depth > CASTORE_IMPORT_DEPTH_MAX) return err_set(err, ERR_LIMIT, "directories are nested too deep");
  if (!store_resolve_list(store, dir, &arena, &entries, &count, err)) return false;
  for (size_t i = 0; i < count; i++) {
    StoreResolved entry CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
    buf_put_char(rest, '/');
    buf_put_span(rest, entries[i].name);
    buf_printf(shown, "%s%.*s", shown->len ? "/" : "", SPAN_ARG(entries[i].name));
    if (!store_resolve(store, path, buf_span(rest), &entry, err)) return false;
    put_entry(out, &entry, buf_span(shown), is_long);
    if (recursive && entry.kind == CASTORE_DIRECTORY &&
        !list_tree(session, store, path, rest, &entry, shown, out, depth + 1, err))
      return false;
    rest->len = rest_len;
    shown->len = shown_len;
  }
  return true;
}

static bool put_listing_json(Store *store, const StorePath *path, Buf *rest, const StoreResolved *node, bool recursive,
                             JsonWrite *json, Err *err) {
  NarIndexEntry self = entry_of(node);
  json_write_object_begin(json);
  if (node->kind == CASTORE_DIRECTORY) {
    Arena arena CLEANUP(arena_done) = ARENA_INIT;
    StoreDirEntry *entries;
    size_t count, len = rest->len;
    if (!store_resolve_list(store, node, &arena, &entries, &count, err) || !json_write_key(json, SPAN("entries"), err))
      return false;
    json_write_object_begin(json);
    for (size_t i = 0; i < count; i++) {
      StoreResolved entry CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
      if (!json_write_key(json, entries[i].name, err)) return false;
      if (!recursive) {
        json_write_object_begin(json);
        json_write_object_end(json);
        continue;
      }
      buf_put_char(rest, '/');
      buf_put_span(rest, entries[i].name);
      if (!store_resolve(store, path, buf_span(rest), &entry, err) ||
          !put_listing_json(store, path, rest, &entry, true, json, err))
        return false;
      rest->len = len;
    }
    json_write_object_end(json);
  } else if (!nar_index_put_leaf(&self, json, err)) {
    return false;
  }
  if (!nar_index_put_type(&self, json, err)) return false;
  json_write_object_end(json);
  return true;
}

static bool list_store(Session *session, Store *store, const char *operand, Buf *out, Err *err) {
  const OptionList *list = &session->options;
  StorePath path;
  Buf rest CLEANUP(buf_done) = BUF_INIT, shown CLEANUP(buf_done) = BUF_INIT;
  StoreResolved node CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  if (!locate(session, store, operand, &path, &rest, &node, err)) return false;
  if (option_has(list, OPT_json)) {
    JsonWrite json;
    json_write_init(&json, out, 0);
    bool ok = put_listing_json(store, &path, &rest, &node, option_has(list, OPT_list_recursive), &json, err);
    buf_put_char(out, '\n');
    return ok;
  }
  bool is_dir = node.kind == CASTORE_DIRECTORY, itself = !is_dir || option_has(list, OPT_directory);
  if (itself)
    put_entry(out, &node, is_dir ? SPAN(".") : fs_path_base(buf_span(&rest)), option_has(list, OPT_long_list));
  buf_put_char(&shown, '.');
  return !is_dir || (itself && !option_has(list, OPT_list_recursive)) ||
         list_tree(session, store, &path, &rest, &node, &shown, out, 0, err);
}

// A path in a binary cache: "<store path>/a/b" -> the path and "/a/b". Links on this machine's disk are no matter.
static bool locate_in_cache(StoreView *view, const char *operand, StorePath *ret, Buf *ret_rest, Err *err) {
  Buf whole CLEANUP(buf_done) = BUF_INIT;
  Span rest;
  fs_path_canon(SPAN("/"), span_cstr(operand), &whole);
  if (!store_path_split(buf_span(&whole), store_view_dir(view), ret, &rest, err)) return false;
  if (!rest.len) rest = SPAN("/");
  buf_put_span(ret_rest, rest);
  return true;
}

static bool list_cache(Session *session, StoreView *view, const char *operand, Buf *out, Err *err) {
  StorePath path;
  Buf rest CLEANUP(buf_done) = BUF_INIT;
  NarIndex index CLEANUP(nar_index_done);
  nar_index_init(&index);
  ByteSink sink = nar_index_sink(&index);
  return locate_in_cache(view, operand, &path, &rest, err) && store_view_dump(view, &path, &sink, err) &&
         nar_index_finish(&index, err) && nar_index_list(&index, buf_span(&rest), operand, &session->options, out, err);
}

int store_command_ls(Session *session) {
  Err err = ERR_INIT;
  StoreView *view = NULL;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool ok = store_command_operands(session, 1, 1, &err) && store_command_check_listing(session, &err) &&
            store_view_open(session, NULL, &view, &err);
  const char *operand = ok ? session->options.operands[0] : NULL;
  ok = ok && (store_view_store(view) ? list_store(session, store_view_store(view), operand, &out, &err)
                                     : list_cache(session, view, operand, &out, &err));
  store_view_free(view);
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

static bool cat_store(Session *session, Store *store, const char *operand, const ByteSink *sink, Err *err) {
  StorePath path;
  Buf rest CLEANUP(buf_done) = BUF_INIT;
  StoreResolved node CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  if (!locate(session, store, operand, &path, &rest, &node, err)) return false;
  if (node.rest.len) return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", operand); // below a file
  if (node.kind != CASTORE_FILE) return err_set(err, ERR_OTHER, "path '%s' is not a regular file", operand);
  return store_resolve_stream(store, &node, sink, err);
}

static bool cat_cache(StoreView *view, const char *operand, const ByteSink *sink, Err *err) {
  StorePath path;
  Buf rest CLEANUP(buf_done) = BUF_INIT;
  NarIndex index CLEANUP(nar_index_done);
  nar_index_init(&index);
  ByteSink nar = nar_index_sink(&index);
  if (!locate_in_cache(view, operand, &path, &rest, err)) return false;
  nar_index_cat(&index, buf_span(&rest), sink);
  if (!store_view_dump(view, &path, &nar, err) || !nar_index_finish(&index, err)) return false;
  if (!index.is_found) return err_set(err, ERR_NOT_FOUND, "path '%s' does not exist", operand);
  return index.found_kind == CASTORE_FILE || err_set(err, ERR_OTHER, "path '%s' is not a regular file", operand);
}

int store_command_cat(Session *session) {
  Err err = ERR_INIT;
  StoreView *view = NULL;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  bool ok = store_command_operands(session, 1, 1, &err) && store_view_open(session, NULL, &view, &err);
  const char *operand = ok ? session->options.operands[0] : NULL;
  ok = ok && (store_view_store(view) ? cat_store(session, store_view_store(view), operand, &sink, &err)
                                     : cat_cache(view, operand, &sink, &err));
  store_view_free(view);
  return ok ? 0 : session_fail(session, &err);
}

// ---- path-info

static void put_size(Session *session, uint64_t bytes, Buf *out) {
  if (!option_has(&session->options, OPT_human_readable)) {
    buf_printf(out, "\t%11llu", (unsigned long long)bytes);
    return;
  }
  static const char units[] = "KKMGTPE";
  double value = (double)bytes;
  int unit = 0;
  for (; value > 1024 && unit < 6; unit++) value /= 1024;
  buf_printf(out, "\t%6.1f %ciB", unit ? value : value / 1024, units[unit]);
}

static void put_sigs(const StoreViewInfo *info, Buf *out) {
  const char *between = "\t";
  if (info->ultimate) {
    buf_printf(out, "%sultimate", between);
    between = " ";
  }
  if (info->info.has_ca) {
    buf_printf(out, "%sca:", between);
    content_address_format(&info->info.ca, out);
    between = " ";
  }
  for (size_t i = 0; i < info->info.sig_count; i++) {
    buf_put_cstr(out, between);
    signature_format(&info->info.sigs[i], out);
    between = " ";
  }
  if (between[0] == '\t') buf_put_char(out, '\t');
}

static bool put_info(Session *session, StoreView *view, const StorePath *path, uint64_t closure_bytes, size_t width,
                     Buf *out, Err *err) {
  const OptionList *list = &session->options;
  const StoreViewInfo *info;
  if (!store_view_get(view, path, &info, err)) return false;
  size_t start = out->len;
  bool columns = option_has(list, OPT_paths_size) || option_has(list, OPT_closure_size) || option_has(list, OPT_sigs);
  store_path_format(path, store_view_dir(view), out);
  if (columns && out->len - start < width) buf_put_repeat(out, ' ', width - (out->len - start));
  if (option_has(list, OPT_paths_size)) put_size(session, info->info.nar_size_bytes, out);
  if (option_has(list, OPT_closure_size)) put_size(session, closure_bytes, out);
  if (option_has(list, OPT_sigs)) put_sigs(info, out);
  buf_put_char(out, '\n');
  return true;
}

// ---- path-info as JSON: keys in bytewise order, as Nix prints them

static bool put_str(JsonWrite *json, Span key, Span value, Err *err) {
  return json_write_key(json, key, err) && json_write_str(json, value, err);
}

static bool put_uint(JsonWrite *json, Span key, uint64_t value, Err *err) {
  if (!json_write_key(json, key, err)) return false;
  json_write_uint(json, value);
  return true;
}

static bool put_null(JsonWrite *json, Span key, Err *err) {
  if (!json_write_key(json, key, err)) return false;
  json_write_null(json);
  return true;
}

static bool put_bool(JsonWrite *json, Span key, bool value, Err *err) {
  if (!json_write_key(json, key, err)) return false;
  json_write_bool(json, value);
  return true;
}

static bool put_hash(JsonWrite *json, Span key, const Hash *hash, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  hash_format(hash, HASH_FORMAT_SRI, true, &text);
  return put_str(json, key, buf_span(&text), err);
}

typedef struct ClosureBytes {
  uint64_t nar, download;
} ClosureBytes;

// What stands before "deriver".
static bool put_info_front(const StoreViewInfo *info, const ClosureBytes *closure, JsonWrite *json, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (info->info.has_ca) content_address_format(&info->info.ca, &text);
  return (info->info.has_ca ? put_str(json, SPAN("ca"), buf_span(&text), err) : put_null(json, SPAN("ca"), err)) &&
         (!closure || !info->narinfo || put_uint(json, SPAN("closureDownloadSize"), closure->download, err)) &&
         (!closure || put_uint(json, SPAN("closureSize"), closure->nar, err)) &&
         (!info->narinfo || put_str(json, SPAN("compression"), info->narinfo->compression, err));
}

// Of a binary cache: how the file is found. C++ Nix leaves out what is not known.
static bool put_download(const NarInfo *narinfo, JsonWrite *json, Err *err) {
  return (!narinfo->has_file_hash || put_hash(json, SPAN("downloadHash"), &narinfo->file_hash, err)) &&
         (!narinfo->file_size_bytes || put_uint(json, SPAN("downloadSize"), narinfo->file_size_bytes, err));
}

static bool put_references(StoreView *view, const PathInfo *info, JsonWrite *json, Err *err) {
  if (!json_write_key(json, SPAN("references"), err)) return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < info->ref_count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_path_format(&info->refs[i], store_view_dir(view), &text);
    if (!json_write_str(json, buf_span(&text), err)) return false;
  }
  json_write_array_end(json);
  return true;
}

static bool put_signatures(const PathInfo *info, JsonWrite *json, Err *err) {
  if (!json_write_key(json, SPAN("signatures"), err)) return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < info->sig_count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    signature_format(&info->sigs[i], &text);
    if (!json_write_str(json, buf_span(&text), err)) return false;
  }
  json_write_array_end(json);
  return true;
}

static bool put_registered(const StoreViewInfo *info, JsonWrite *json, Err *err) {
  if (!json_write_key(json, SPAN("registrationTime"), err)) return false;
  if (info->registered_at) json_write_int(json, info->registered_at);
  else json_write_null(json);
  return true;
}

static bool put_info_json(StoreView *view, const StorePath *path, const ClosureBytes *closure, JsonWrite *json,
                          Err *err) {
  const StoreViewInfo *info;
  Buf text CLEANUP(buf_done) = BUF_INIT, deriver CLEANUP(buf_done) = BUF_INIT;
  store_path_format(path, store_view_dir(view), &text);
  if (!json_write_key(json, buf_span(&text), err) || !store_view_find(view, path, &info, err)) return false;
  if (!info) return json_write_null(json), true;
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, info->info.nar_sha256, sizeof(info->info.nar_sha256));
  if (info->info.has_deriver) store_path_format(&info->info.deriver, store_view_dir(view), &deriver);
  json_write_object_begin(json);
  bool ok =
      put_info_front(info, closure, json, err) &&
      (deriver.len ? put_str(json, SPAN("deriver"), buf_span(&deriver), err) : put_null(json, SPAN("deriver"), err)) &&
      (!info->narinfo || put_download(info->narinfo, json, err)) && put_hash(json, SPAN("narHash"), &hash, err) &&
      put_uint(json, SPAN("narSize"), info->info.nar_size_bytes, err) && put_references(view, &info->info, json, err) &&
      put_registered(info, json, err) && put_signatures(&info->info, json, err) &&
      put_bool(json, SPAN("ultimate"), info->ultimate, err) &&
      (!info->narinfo || put_str(json, SPAN("url"), info->narinfo->url, err));
  json_write_object_end(json);
  return ok;
}

// ---- sizes of closures

// Of a store: all at once.
static bool store_sizes(Store *store, const StorePathList *paths, ClosureBytes *ret, bool skip_invalid, Err *err) {
  CLEANUP(mem_free_ptr) size_t *places = mem_alloc_array(paths->count + 1, sizeof(*places));
  StorePathList valid = STORE_PATH_LIST_INIT;
  bool ok = true;
  for (size_t i = 0; ok && i < paths->count; i++) {
    bool is_valid = true;
    if (skip_invalid) ok = store_is_valid(store, &paths->paths[i], &is_valid, err);
    if (is_valid) places[valid.count] = i;
    if (is_valid) store_path_list_add(&valid, &paths->paths[i]);
  }
  CLEANUP(mem_free_ptr) uint64_t *sizes = mem_alloc_zero((valid.count + 1) * sizeof(*sizes));
  ok = ok && store_closure_sizes(store, valid.paths, valid.count, sizes, err);
  for (size_t i = 0; i < valid.count; i++) ret[places[i]].nar = sizes[i];
  store_path_list_done(&valid);
  return ok;
}

static bool cache_size(StoreView *view, const StorePath *path, ClosureBytes *ret, Err *err) {
  StorePathList closure = STORE_PATH_LIST_INIT;
  bool ok = store_view_closure(view, path, 1, &closure, err);
  for (size_t i = 0; ok && i < closure.count; i++) {
    const StoreViewInfo *info;
    ok = store_view_get(view, &closure.paths[i], &info, err);
    if (!ok) break;
    ret->nar += info->info.nar_size_bytes;
    ret->download += info->narinfo->file_size_bytes;
  }
  store_path_list_done(&closure);
  return ok;
}

static bool closure_sizes(StoreView *view, const StorePathList *paths, bool skip_invalid, ClosureBytes *ret, Err *err) {
  if (store_view_store(view)) return store_sizes(store_view_store(view), paths, ret, skip_invalid, err);
  for (size_t i = 0; i < paths->count; i++) {
    const StoreViewInfo *info;
    if (!store_view_find(view, &paths->paths[i], &info, err)) return false;
    if ((info || !skip_invalid) && !cache_size(view, &paths->paths[i], &ret[i], err)) return false;
  }
  return true;
}

static bool put_infos(Session *session, StoreView *view, const StorePathList *paths, Buf *out, Err *err) {
  CLEANUP(mem_free_ptr) ClosureBytes *closures = mem_alloc_zero((paths->count + 1) * sizeof(*closures));
  size_t width = 0;
  JsonWrite json;
  bool as_json = option_has(&session->options, OPT_json), sizes = option_has(&session->options, OPT_closure_size);
  bool ok = !sizes || closure_sizes(view, paths, as_json, closures, err);
  for (size_t i = 0; i < paths->count; i++) {
    size_t len = store_view_dir(view).len + 2 + STORE_PATH_HASH_CHARS + paths->paths[i].name_len;
    if (len > width) width = len;
  }
  if (as_json) {
    json_write_init(&json, out, 0);
    json_write_object_begin(&json);
  }
  for (size_t i = 0; ok && i < paths->count; i++)
    ok = as_json ? put_info_json(view, &paths->paths[i], sizes ? &closures[i] : NULL, &json, err)
                 : put_info(session, view, &paths->paths[i], closures[i].nar, width, out, err);
  if (as_json) {
    json_write_object_end(&json);
    buf_put_char(out, '\n');
  }
  return ok;
}

int store_command_path_info(Session *session) {
  Err err = ERR_INIT;
  StoreView *view;
  StorePathList paths = STORE_PATH_LIST_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool as_json = option_has(&session->options, OPT_json);
  int code = 0;
  if (!store_view_open(session, NULL, &view, &err)) return session_fail(session, &err);
  bool ok = path_selector_find(session, view, as_json ? PATH_SELECTOR_UNSORTED : 0, &paths, &code);
  // Objects of JSON are sorted by key.
  if (ok && as_json) store_path_list_sort(&paths);
  ok = ok && put_infos(session, view, &paths, &out, &err);
  store_path_list_done(&paths);
  store_view_free(view);
  if (!ok) return code ? code : session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- check, gc, delete

typedef struct Check {
  Session *session;
  StorePathList damaged; // what the store cannot repair by itself
} Check;

static void on_problem(void *ctx, const char *problem, bool repaired) {
  Check *check = ctx;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "%s%s\n", problem, repaired ? " (repaired)" : "");
  progress_write(&check->session->progress, buf_span(&line));
}

static void on_damaged(void *ctx, const StorePath *path) {
  Check *check = ctx;
  store_path_list_add(&check->damaged, path);
}

static void put_check_result(const StoreCheckResult *result, Buf *out) {
  buf_printf(out, "checked %llu paths, %llu trees, %llu objects: %llu problems", (unsigned long long)result->paths,
             (unsigned long long)result->trees, (unsigned long long)result->objects,
             (unsigned long long)result->problems);
  if (result->repaired) buf_printf(out, ", %llu repaired", (unsigned long long)result->repaired);
  buf_put_char(out, '\n');
}

// What is damaged and not to be had from the store itself is fetched or built again, and then everything is looked at once more.
static bool repair_and_look_again(Check *check, Store *store, const StoreCheckOptions *options,
                                  StoreCheckResult *result, Err *err) {
  size_t failed;
  StorePathList damaged = check->damaged;
  check->damaged = (StorePathList)STORE_PATH_LIST_INIT;
  store_path_list_sort(&damaged);
  (void)repair_command_list(check->session, &damaged, &failed);
  bool any = damaged.count > failed;
  store_path_list_done(&damaged);
  return !any || store_check_run(store, options, result, err);
}

int store_command_check(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreCheckResult result = {0};
  const OptionList *list = &session->options;
  Check check = {.session = session, .damaged = STORE_PATH_LIST_INIT};
  StoreCheckOptions options = {.contents = option_has(list, OPT_contents) || option_has(list, OPT_check_contents),
                               .repair = option_has(list, OPT_repair),
                               .report = on_problem,
                               .damaged = on_damaged,
                               .ctx = &check};
  bool ok = store_command_no_operands(session, &err) && session_store(session, &store, &err) &&
            store_check_run(store, &options, &result, &err);
  if (ok && options.repair && check.damaged.count) ok = repair_and_look_again(&check, store, &options, &result, &err);
  store_path_list_done(&check.damaged);
  if (!ok) return session_fail(session, &err);
  Buf line CLEANUP(buf_done) = BUF_INIT;
  put_check_result(&result, &line);
  // nix-store --verify says nothing about what is well.
  bool is_verify = option_has(list, OPT_verify), bad = result.problems > result.repaired;
  if (!is_verify) session_print(session, buf_span(&line));
  else if (bad) log_warn("not all store errors were fixed");
  return bad;
}

bool store_command_collect(Session *session, const StoreGcOptions *options, Err *err) {
  Store *store;
  StoreGcResult result = STORE_GC_RESULT_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool deletes = options->action == STORE_GC_DELETE_DEAD || options->action == STORE_GC_DELETE_SPECIFIC;
  log_msg(LOG_INFO, "finding garbage collector roots...");
  bool ok = session_store(session, &store, err) && store_gc_run(store, options, &result, err);
  for (size_t i = 0; ok && i < result.paths.count; i++) {
    Buf line CLEANUP(buf_done) = BUF_INIT;
    store_format_path(store, &result.paths.paths[i], &line);
    if (deletes) log_msg(LOG_INFO, "deleting '%s'", buf_cstr(&line));
    else buf_printf(&out, "%s\n", buf_cstr(&line));
  }
  if (deletes) // also after a failure, as in C++ Nix
    buf_printf(&out, "%zu store paths deleted, %.2f MiB freed\n", result.paths.count,
               (double)result.freed_bytes / (1 << 20));
  session_print(session, buf_span(&out));
  store_gc_result_done(&result);
  return ok;
}

// "10", "10K", "2g": as C++ Nix reads numbers with units.
static bool read_bytes(const char *text, uint64_t *ret, Err *err) {
  static const char units[] = "KMGT";
  Span number = span_cstr(text);
  unsigned shift = 0;
  char last = number.len ? number.data[number.len - 1] : '0';
  if (last < '0' || last > '9') {
    char upper = last >= 'a' && last <= 'z' ? (char)(last - 32) : last;
    const char *unit = strchr(units, upper);
    if (!unit) return err_set(err, ERR_USAGE, "invalid unit specifier '%c'", upper);
    shift = 10 * (unsigned)(unit - units + 1);
    number.len--;
  }
  if (number.len && number.data[0] == '-') return *ret = 0, true;
  if (!span_parse_u64(number, ret)) return err_set(err, ERR_USAGE, "'%s' is not an integer", text);
  *ret = *ret > UINT64_MAX >> shift ? UINT64_MAX : *ret << shift;
  return true;
}

bool store_command_gc_options(Session *session, StoreGcOptions *ret, Err *err) {
  *ret = (StoreGcOptions){.action = STORE_GC_DELETE_DEAD,
                          .keep_outputs = setting_bool(session->settings, SETTING_ID_keep_outputs),
                          .keep_derivations = setting_bool(session->settings, SETTING_ID_keep_derivations),
                          .ignore_liveness = option_has(&session->options, OPT_ignore_liveness)};
  const char *max = option_get(&session->options, OPT_max_freed);
  if (!max) max = option_get(&session->options, OPT_gc_max);
  ret->has_max_freed = max != NULL;
  return !max || read_bytes(max, &ret->max_freed_bytes, err);
}

int store_command_delete(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreGcOptions options;
  StorePathList paths = STORE_PATH_LIST_INIT;
  int code = 0;
  if (!store_command_gc_options(session, &options, &err) || !session_store(session, &store, &err))
    return session_fail(session, &err);
  StoreView *view = store_view_of(store);
  options.action = STORE_GC_DELETE_SPECIFIC;
  bool ok = path_selector_find(session, view, PATH_SELECTOR_UNSORTED, &paths, &code);
  options.paths = paths.paths;
  options.path_count = paths.count;
  ok = ok && store_command_collect(session, &options, &err);
  store_path_list_done(&paths);
  store_view_free(view);
  return ok ? 0 : code ? code : session_fail(session, &err);
}
