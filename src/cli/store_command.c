// store_command.c: `firn store ...`: adding, listing, printing, describing, checking, collecting.
#include "cli/store_command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command_list.h"
#include "formats/json_write.h"
#include "store/store_add.h"
#include "store/store_check.h"
#include "store/store_gc.h"
#include "store/store_resolve.h"

static bool need_operands(Session *session, size_t least, Err *err) {
  return session->options.operand_count >= least ||
         err_set(err, ERR_USAGE, "'%s' needs a path", command_full_name(session->command));
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

static int add_operands(Session *session, CaMethod method);

int store_command_add(Session *session) {
  return add_operands(session, CA_NAR);
}

int store_command_add_file(Session *session) {
  return add_operands(session, CA_FLAT);
}

int store_command_dump(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePath path;
  Buf real CLEANUP(buf_done) = BUF_INIT;
  Span rest;
  int out = STDOUT_FILENO;
  ByteSink sink = byte_stream_to_fd(&out);
  bool ok = need_operands(session, 1, &err) && session_store(session, &store, &err) &&
            store_command_follow(session, session->options.operands[0], &real, &err) &&
            store_path_split(buf_span(&real), session_store_dir(session), &path, &rest, &err) &&
            store_dump(store, &path, &sink, &err);
  return ok ? 0 : session_fail(session, &err);
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
  if (!need_operands(session, 1, &err)) return session_fail(session, &err);
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
  Buf physical CLEANUP(buf_done) = BUF_INIT, logical = BUF_INIT;
  buf_printf(&physical, "%s/store/", store_root(store));
  if (!span_has_prefix(buf_span(path), buf_span(&physical))) return;
  buf_put_span(&logical, session_store_dir(session));
  buf_put_span(&logical, span_from(buf_span(path), physical.len - 1));
  buf_done(path);
  *path = logical;
}

bool store_command_follow(Session *session, const char *path, Buf *ret, Err *err) {
  Span dir = session_store_dir(session);
  Store *store;
  if (!session_store(session, &store, err)) return false;
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

static char kind_letter(CastoreKind kind) {
  return kind == CASTORE_DIRECTORY ? 'd' : kind == CASTORE_SYMLINK ? 'l' : '-';
}

static void put_entry(Buf *out, const StoreResolved *entry, Span name, bool is_long) {
  if (is_long)
    buf_printf(out, "%c%s %20llu ", kind_letter(entry->kind),
               entry->kind == CASTORE_FILE && entry->executable ? "r-xr-xr-x"
               : entry->kind == CASTORE_FILE                    ? "r--r--r--"
               : entry->kind == CASTORE_SYMLINK                 ? "rwxrwxrwx"
                                                                : "r-xr-xr-x",
               (unsigned long long)entry->size_bytes);
  buf_put_span(out, name);
  if (is_long && entry->kind == CASTORE_SYMLINK) buf_printf(out, " -> %.*s", SPAN_ARG(entry->target));
  buf_put_char(out, '\n');
}

static bool list_tree(Session *session, Store *store, const StorePath *path, Buf *rest, const StoreResolved *dir,
                      Buf *shown, Buf *out, unsigned depth, Err *err) {
  bool is_long = option_has(&session->options, OPT_long_list),
       recursive =
           option_has(&session->options, OPT_list_recursive) || option_has(&session->options, OPT_paths_recursive);
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
  static const char *const types[] = {
      [CASTORE_DIRECTORY] = "directory", [CASTORE_FILE] = "regular", [CASTORE_SYMLINK] = "symlink"};
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
  } else if (node->kind == CASTORE_FILE) {
    if (node->executable) {
      if (!json_write_key(json, SPAN("executable"), err)) return false;
      json_write_bool(json, true);
    }
    if (!json_write_key(json, SPAN("size"), err)) return false;
    json_write_uint(json, node->size_bytes);
  } else if (!json_write_key(json, SPAN("target"), err) || !json_write_str(json, node->target, err)) {
    return false;
  }
  if (!json_write_key(json, SPAN("type"), err) || !json_write_str(json, span_cstr(types[node->kind]), err))
    return false;
  json_write_object_end(json);
  return true;
}

int store_command_ls(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePath path;
  Buf rest CLEANUP(buf_done) = BUF_INIT, shown CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  StoreResolved node CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  if (!need_operands(session, 1, &err) || !session_store(session, &store, &err) ||
      !locate(session, store, session->options.operands[0], &path, &rest, &node, &err))
    return session_fail(session, &err);
  bool ok = true;
  if (option_has(&session->options, OPT_json)) {
    JsonWrite json;
    json_write_init(&json, &out, 0);
    ok = put_listing_json(store, &path, &rest, &node,
                          option_has(&session->options, OPT_list_recursive) ||
                              option_has(&session->options, OPT_paths_recursive),
                          &json, &err);
    buf_put_char(&out, '\n');
  } else if (node.kind == CASTORE_DIRECTORY && !option_has(&session->options, OPT_directory)) {
    buf_put_char(&shown, '.');
    ok = list_tree(session, store, &path, &rest, &node, &shown, &out, 0, &err);
  } else {
    Span name = node.kind == CASTORE_DIRECTORY ? SPAN(".") : fs_path_base(buf_span(&rest));
    put_entry(&out, &node, name, option_has(&session->options, OPT_long_list));
  }
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

int store_command_cat(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePath path;
  Buf rest CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  StoreResolved node CLEANUP(store_resolve_done) = STORE_RESOLVED_INIT;
  if (!need_operands(session, 1, &err) || !session_store(session, &store, &err) ||
      !locate(session, store, session->options.operands[0], &path, &rest, &node, &err))
    return session_fail(session, &err);
  if (node.kind != CASTORE_FILE) {
    err_set(&err, ERR_OTHER, "path '%s' is not a regular file", session->options.operands[0]);
    return session_fail(session, &err);
  }
  if (!store_resolve_read(store, &node, 0, &out, &err)) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- path-info

static bool wanted_paths(Session *session, Store *store, StorePathList *ret, Err *err) {
  for (size_t i = 0; i < session->options.operand_count; i++) {
    Buf real CLEANUP(buf_done) = BUF_INIT;
    StorePath path;
    Span rest;
    if (!store_command_follow(session, session->options.operands[i], &real, err) ||
        !store_path_split(buf_span(&real), session_store_dir(session), &path, &rest, err))
      return false;
    store_path_list_add(ret, &path);
  }
  if (!option_has(&session->options, OPT_paths_recursive)) return true;
  StorePathList closure = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.topological = true};
  if (!store_closure(store, ret->paths, ret->count, &options, &closure, err)) return false;
  store_path_list_done(ret);
  *ret = closure;
  return true;
}

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

static void put_sigs(const PathInfoRecord *record, Buf *out) {
  const char *between = "\t";
  if (record->ultimate) {
    buf_printf(out, "%sultimate", between);
    between = " ";
  }
  if (record->info.has_ca) {
    buf_printf(out, "%sca:", between);
    content_address_format(&record->info.ca, out);
    between = " ";
  }
  for (size_t i = 0; i < record->info.sig_count; i++) {
    buf_put_cstr(out, between);
    signature_format(&record->info.sigs[i], out);
    between = " ";
  }
  if (between[0] == '\t') buf_put_char(out, '\t');
}

static bool put_info(Session *session, Store *store, const StorePath *path, uint64_t closure_bytes, size_t width,
                     Buf *out, Err *err) {
  const OptionList *list = &session->options;
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  if (!store_get(store, path, &record, err)) return false;
  size_t start = out->len;
  bool columns = option_has(list, OPT_paths_size) || option_has(list, OPT_closure_size) || option_has(list, OPT_sigs);
  store_format_path(store, path, out);
  if (columns && out->len - start < width) buf_put_repeat(out, ' ', width - (out->len - start));
  if (option_has(list, OPT_paths_size)) put_size(session, record->info.nar_size_bytes, out);
  if (option_has(list, OPT_closure_size)) put_size(session, closure_bytes, out);
  if (option_has(list, OPT_sigs)) put_sigs(record, out);
  buf_put_char(out, '\n');
  return true;
}

static bool put_path_list(Store *store, const StorePath *paths, size_t count, JsonWrite *json, Err *err) {
  json_write_array_begin(json);
  for (size_t i = 0; i < count; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    store_format_path(store, &paths[i], &text);
    if (!json_write_str(json, buf_span(&text), err)) return false;
  }
  json_write_array_end(json);
  return true;
}

// Keys in bytewise order, as Nix prints them.
static bool put_info_json(Session *session, Store *store, const StorePath *path, uint64_t closure_bytes,
                          JsonWrite *json, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_format_path(store, path, &text);
  if (!json_write_key(json, buf_span(&text), err) || !store_find(store, path, &record, err)) return false;
  if (!record) return json_write_null(json), true;
  json_write_object_begin(json);
  buf_clear(&text);
  if (record->info.has_ca) content_address_format(&record->info.ca, &text);
  if (!json_write_key(json, SPAN("ca"), err)) return false;
  if (record->info.has_ca ? !json_write_str(json, buf_span(&text), err) : (json_write_null(json), false)) return false;
  if (option_has(&session->options, OPT_closure_size)) {
    if (!json_write_key(json, SPAN("closureSize"), err)) return false;
    json_write_uint(json, closure_bytes);
  }
  if (!json_write_key(json, SPAN("deriver"), err)) return false;
  buf_clear(&text);
  if (record->info.has_deriver) store_format_path(store, &record->info.deriver, &text);
  if (record->info.has_deriver ? !json_write_str(json, buf_span(&text), err) : (json_write_null(json), false))
    return false;
  Hash hash = {.algo = HASH_SHA256};
  memcpy(hash.bytes, record->info.nar_sha256, sizeof(record->info.nar_sha256));
  buf_clear(&text);
  hash_format(&hash, HASH_FORMAT_SRI, true, &text);
  if (!json_write_key(json, SPAN("narHash"), err) || !json_write_str(json, buf_span(&text), err) ||
      !json_write_key(json, SPAN("narSize"), err))
    return false;
  json_write_uint(json, record->info.nar_size_bytes);
  if (!json_write_key(json, SPAN("references"), err) ||
      !put_path_list(store, record->info.refs, record->info.ref_count, json, err) ||
      !json_write_key(json, SPAN("registrationTime"), err))
    return false;
  json_write_int(json, record->registered_at);
  if (!json_write_key(json, SPAN("signatures"), err)) return false;
  json_write_array_begin(json);
  for (size_t i = 0; i < record->info.sig_count; i++) {
    buf_clear(&text);
    signature_format(&record->info.sigs[i], &text);
    if (!json_write_str(json, buf_span(&text), err)) return false;
  }
  json_write_array_end(json);
  if (!json_write_key(json, SPAN("ultimate"), err)) return false;
  json_write_bool(json, record->ultimate);
  json_write_object_end(json);
  return true;
}

static bool put_infos(Session *session, Store *store, const StorePathList *paths, Buf *out, Err *err) {
  CLEANUP(mem_free_ptr) uint64_t *closures = mem_alloc_zero((paths->count + 1) * sizeof(*closures));
  size_t width = 0;
  JsonWrite json;
  bool as_json = option_has(&session->options, OPT_json), ok = true;
  StorePathList valid = STORE_PATH_LIST_INIT; // of invalid ones, JSON says null
  if (option_has(&session->options, OPT_closure_size)) {
    CLEANUP(mem_free_ptr) size_t *places = mem_alloc_array(paths->count + 1, sizeof(*places));
    for (size_t i = 0; ok && i < paths->count; i++) {
      bool is_valid = true;
      if (as_json) ok = store_is_valid(store, &paths->paths[i], &is_valid, err);
      if (is_valid) places[valid.count] = i;
      if (is_valid) store_path_list_add(&valid, &paths->paths[i]);
    }
    CLEANUP(mem_free_ptr) uint64_t *sizes = mem_alloc_zero((valid.count + 1) * sizeof(*sizes));
    ok = ok && store_closure_sizes(store, valid.paths, valid.count, sizes, err);
    for (size_t i = 0; i < valid.count; i++) closures[places[i]] = sizes[i];
    store_path_list_done(&valid);
  }
  for (size_t i = 0; i < paths->count; i++) {
    size_t len = session_store_dir(session).len + 2 + STORE_PATH_HASH_CHARS + paths->paths[i].name_len;
    if (len > width) width = len;
  }
  if (as_json) {
    json_write_init(&json, out, 0);
    json_write_object_begin(&json);
  }
  for (size_t i = 0; ok && i < paths->count; i++)
    ok = as_json ? put_info_json(session, store, &paths->paths[i], closures[i], &json, err)
                 : put_info(session, store, &paths->paths[i], closures[i], width, out, err);
  if (as_json) {
    json_write_object_end(&json);
    buf_put_char(out, '\n');
  }
  return ok;
}

int store_command_path_info(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StorePathList paths = STORE_PATH_LIST_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  bool all = option_has(&session->options, OPT_paths_all);
  bool ok = (all || need_operands(session, 1, &err)) && session_store(session, &store, &err) &&
            (all ? store_all(store, &paths, &err) : wanted_paths(session, store, &paths, &err));
  // Objects of JSON are sorted by key.
  if (ok && option_has(&session->options, OPT_json)) store_path_list_sort(&paths);
  ok = ok && put_infos(session, store, &paths, &out, &err);
  store_path_list_done(&paths);
  if (!ok) return session_fail(session, &err);
  session_print(session, buf_span(&out));
  return 0;
}

// ---- check, gc, delete

static void report(void *ctx, const char *problem, bool repaired) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "%s%s\n", problem, repaired ? " (repaired)" : "");
  progress_write(ctx, buf_span(&line));
}

int store_command_check(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreCheckResult result = {0};
  StoreCheckOptions options = {.contents = option_has(&session->options, OPT_contents) ||
                                           option_has(&session->options, OPT_check_contents),
                               .repair = option_has(&session->options, OPT_repair),
                               .report = report,
                               .ctx = &session->progress};
  if (!session_store(session, &store, &err) || !store_check_run(store, &options, &result, &err))
    return session_fail(session, &err);
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "checked %llu paths, %llu trees, %llu objects: %llu problems", (unsigned long long)result.paths,
             (unsigned long long)result.trees, (unsigned long long)result.objects, (unsigned long long)result.problems);
  if (result.repaired) buf_printf(&line, ", %llu repaired", (unsigned long long)result.repaired);
  buf_put_char(&line, '\n');
  // nix-store --verify says nothing about what is well.
  if (!option_has(&session->options, OPT_verify)) session_print(session, buf_span(&line));
  return result.problems > result.repaired;
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
  if (ok && deletes)
    buf_printf(&out, "%zu store paths deleted, %.2f MiB freed\n", result.paths.count,
               (double)result.freed_bytes / (1 << 20));
  if (ok) session_print(session, buf_span(&out));
  store_gc_result_done(&result);
  return ok;
}

void store_command_gc_options(Session *session, StoreGcOptions *ret) {
  *ret = (StoreGcOptions){.action = STORE_GC_DELETE_DEAD,
                          .keep_outputs = setting_bool(session->settings, SETTING_ID_keep_outputs),
                          .keep_derivations = setting_bool(session->settings, SETTING_ID_keep_derivations),
                          .ignore_liveness = option_has(&session->options, OPT_ignore_liveness)};
  const char *max = option_get(&session->options, OPT_max_freed);
  uint64_t bytes;
  if (max && span_parse_u64(span_cstr(max), &bytes)) ret->max_freed_bytes = bytes;
}

int store_command_delete(Session *session) {
  Err err = ERR_INIT;
  Store *store;
  StoreGcOptions options;
  StorePathList paths = STORE_PATH_LIST_INIT;
  store_command_gc_options(session, &options);
  options.action = STORE_GC_DELETE_SPECIFIC;
  bool ok = need_operands(session, 1, &err) && session_store(session, &store, &err) &&
            wanted_paths(session, store, &paths, &err);
  options.paths = paths.paths;
  options.path_count = paths.count;
  ok = ok && store_command_collect(session, &options, &err);
  store_path_list_done(&paths);
  return ok ? 0 : session_fail(session, &err);
}
