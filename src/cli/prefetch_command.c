// prefetch_command.c: nix-prefetch-url and `nix store prefetch-file`: a file from elsewhere into the store, and its hash. Behaviour: Nix 2.26, prefetch.cc.
#include <errno.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "cli/command_list.h"
#include "cli/store_command.h"
#include "cli/substitution.h"
#include "cli/target.h"
#include "eval/str.h"
#include "formats/json_write.h"
#include "store/store_add.h"

typedef struct Prefetch {
  const char *url;
  Span name; // empty: the last part of the URL
  HashAlgo algo;
  bool has_expected, unpack, executable;
  Hash expected;
  StorePath path; // results
  Hash hash;
} Prefetch;

// ---- sources

typedef struct Download {
  int fd;
  HttpClient *client;
  HttpTransfer *transfer;
} Download;

static void download_close(Download *download) {
  fs_close_fd(&download->fd);
  http_client_close(download->transfer);
  http_client_free(download->client);
}

static bool download_open(Session *session, const char *url, Download *ret, Err *err) {
  Span text = span_cstr(url);
  HttpClientConfig config = substitution_http(session);
  bool found;
  *ret = (Download){.fd = -1};
  if (span_has_prefix(text, SPAN("file://"))) {
    if (fs_open(url + strlen("file://"), O_RDONLY, 0, &ret->fd, NULL)) return true;
    return err_set(err, ERR_NOT_FOUND, "unable to download '%s': %s", url, strerror(errno));
  }
  if (!span_has_prefix(text, SPAN("http://")) && !span_has_prefix(text, SPAN("https://")))
    return err_set(err, ERR_USAGE, "unable to download '%s': only file, http and https are known", url);
  ret->client = http_client_new(&config);
  if (!http_client_open(ret->client, url, &ret->transfer, &found, err)) return false;
  return found || err_set(err, ERR_NOT_FOUND, "unable to download '%s': HTTP error 404", url);
}

static bool download_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  Download *download = ctx;
  if (download->transfer) return http_client_read(download->transfer, data, cap, ret_len, err);
  ByteSource file = byte_stream_from_fd(&download->fd);
  return byte_stream_take(&file, data, cap, ret_len, err);
}

// ---- fetching

static CaMethod method_of(const Prefetch *prefetch) {
  return prefetch->unpack || prefetch->executable ? CA_NAR : CA_FLAT;
}

// A known hash may be all that is asked for.
static bool find_expected(Session *session, Store *store, Prefetch *prefetch, bool *ret_found, Err *err) {
  ContentAddress ca = {.method = method_of(prefetch), .hash = prefetch->expected};
  *ret_found = false;
  if (!prefetch->has_expected) return true;
  prefetch->hash = prefetch->expected;
  return store_path_make_fixed(prefetch->name, &ca, NULL, session_store_dir(session), &prefetch->path, err) &&
         store_pin(store, &prefetch->path, ret_found, err);
}

static bool fetch(Session *session, Store *store, Prefetch *prefetch, Err *err) {
  PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
  StoreAddOptions options = {.method = method_of(prefetch),
                             .algo = prefetch->has_expected ? prefetch->expected.algo : prefetch->algo,
                             .expected = prefetch->has_expected ? &prefetch->expected : NULL,
                             .url = span_cstr(prefetch->url)};
  Download download;
  ByteSource source = {download_take, &download};
  bool ok =
      download_open(session, prefetch->url, &download, err) &&
      (prefetch->unpack
           ? store_add_archive(store, prefetch->name, &source, true, &options, &prefetch->path, NULL, err)
           : store_add_stream(store, prefetch->name, &source, prefetch->executable, &options, &prefetch->path, err));
  download_close(&download);
  if (!ok || !store_get(store, &prefetch->path, &record, err)) return false;
  // One SHA-256 of a NAR is stored as such, whatever names the path.
  prefetch->hash = record->info.ca.hash;
  return true;
}

static bool run(Session *session, Prefetch *prefetch, Err *err) {
  Store *store;
  bool found;
  if (!prefetch->name.len) prefetch->name = fs_path_base(span_cstr(prefetch->url));
  if (!prefetch->name.len) return err_set(err, ERR_USAGE, "cannot figure out file name for '%s'", prefetch->url);
  return session_store(session, &store, err) && find_expected(session, store, prefetch, &found, err) &&
         (found || fetch(session, store, prefetch, err)) && store_materialise(store, &prefetch->path, 1, err);
}

static bool read_options(Session *session, OptionId algo_option, Prefetch *ret, Err *err) {
  const OptionList *list = &session->options;
  const char *algo = option_get(list, algo_option), *name = option_get(list, OPT_prefetch_name);
  ret->algo = HASH_SHA256;
  ret->unpack = option_has(list, OPT_prefetch_unpack);
  ret->executable = option_has(list, OPT_prefetch_executable);
  if (name) ret->name = span_cstr(name);
  return !algo || hash_algo_parse(span_cstr(algo), &ret->algo, err);
}

// ---- nix-prefetch-url

// What --attr selects, as lines: URL, outputHashMode, name.
static const char source_text[] =
    "source: if !(builtins.isAttrs source && source ? urls) then throw \"attribute 'urls' missing\""
    " else if source.urls == [ ] then throw \"'urls' list is empty\""
    " else \"${builtins.head source.urls}\\n${source.outputHashMode or \"\"}\\n${source.name or \"\"}\"";

// The string that `function` (an expression; NULL: none) makes of an attribute of `root`. NULL: the error has been printed.
static const char *eval_string(Session *session, const TargetRoot *target, const char *attr, const char *function,
                               int *ret_code) {
  Err err = ERR_INIT;
  HeapRoot root = {0}, args = {0}, apply = {0}, result = {0};
  HeapRoot path = {.value = value_raw_ptr(attr)}, form = {.value = value_raw(TARGET_RAW)}; // no heap values
  const char *text = NULL;
  if (!session_vm(session, &err)) return *ret_code = session_fail(session, &err), NULL;
  Heap *heap = &session->vm->heap;
  heap_add_root(heap, &root, VALUE_NULL);
  heap_add_root(heap, &args, VALUE_EMPTY_ATTRS);
  heap_add_root(heap, &apply, VALUE_NULL);
  heap_add_root(heap, &result, VALUE_NULL);
  HeapRoot *const given[5] = {&root, &args, &path, &apply, &form};
  if (target_auto_args(session, &args, ret_code) && target_eval_root(session, target, &root, ret_code) &&
      (!function || target_eval_root(session, &(TargetRoot){TARGET_EXPR, function}, &apply, ret_code))) {
    if (!vm_run_native(session->vm, &target_native_value, given, 5, &result))
      *ret_code = session_eval_failed(session, NULL);
    else text = arena_dup(&session->arena, str_span(result.value)).data;
  }
  heap_remove_root(heap, &result);
  heap_remove_root(heap, &apply);
  heap_remove_root(heap, &args);
  heap_remove_root(heap, &root);
  return text;
}

static bool select_source(Session *session, const char *attr, Prefetch *ret, int *ret_code) {
  const OptionList *list = &session->options;
  TargetRoot root = {TARGET_FILE, list->operand_count ? list->operands[0] : "."};
  const char *text = eval_string(session, &root, attr, source_text, ret_code);
  Span rest, url, mode, name;
  if (!text) return false;
  rest = span_cstr(text);
  (void)span_split(&rest, '\n', &url);
  (void)span_split(&rest, '\n', &mode);
  name = rest;
  ret->url = arena_dup(&session->arena, url).data;
  if (!mode.len) log_msg(LOG_INFO, "warning: this does not look like a fetchurl call");
  else ret->unpack = span_eq_cstr(mode, "recursive");
  if (!ret->name.len) ret->name = name;
  return true;
}

// "mirror://gnu/x": the first of the mirrors that nixpkgs knows.
static bool resolve_mirror(Session *session, Prefetch *prefetch, int *ret_code) {
  Span rest = span_cstr(prefetch->url), name;
  Buf expression CLEANUP(buf_done) = BUF_INIT, url CLEANUP(buf_done) = BUF_INIT;
  if (!span_has_prefix(rest, SPAN("mirror://"))) return true;
  rest = span_from(rest, strlen("mirror://"));
  Err err = ERR_INIT;
  if (!span_split(&rest, '/', &name)) {
    err_set(&err, ERR_USAGE, "invalid mirror URL '%s'", prefetch->url);
    return *ret_code = session_fail(session, &err), false;
  }
  for (size_t i = 0; i < name.len; i++)
    if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", name.data[i])) {
      err_set(&err, ERR_USAGE, "unknown mirror name '%.*s'", SPAN_ARG(name));
      return *ret_code = session_fail(session, &err), false;
    }
  buf_printf(&expression,
             "let mirrors = import <nixpkgs/pkgs/build-support/fetchurl/mirrors.nix>;"
             " found = mirrors.\"%.*s\" or (throw \"unknown mirror name '%.*s'\");"
             " in if found == [ ] then throw \"mirror URL '%.*s' did not expand to anything\" else builtins.head found",
             SPAN_ARG(name), SPAN_ARG(name), SPAN_ARG(name));
  const char *mirror = eval_string(session, &(TargetRoot){TARGET_EXPR, buf_cstr(&expression)}, "", NULL, ret_code);
  if (!mirror) return false;
  buf_put_cstr(&url, mirror);
  if (!span_has_suffix(buf_span(&url), SPAN("/"))) buf_put_char(&url, '/');
  buf_put_span(&url, rest);
  prefetch->url = arena_dup(&session->arena, buf_span(&url)).data;
  return true;
}

static bool read_url(Session *session, Prefetch *ret, int *ret_code) {
  Err err = ERR_INIT;
  const OptionList *list = &session->options;
  const char *attr = option_get(list, OPT_prefetch_attr);
  bool ok = list->operand_count <= 2 || err_set(&err, ERR_USAGE, "too many arguments");
  ok = ok && (attr || list->operand_count > 0 || err_set(&err, ERR_USAGE, "you must specify a URL"));
  ok = ok && read_options(session, OPT_prefetch_type, ret, &err);
  ret->has_expected = ok && list->operand_count == 2;
  if (ret->has_expected) ok = hash_parse(span_cstr(list->operands[1]), &ret->algo, &ret->expected, &err);
  if (!ok) return *ret_code = session_fail(session, &err), false;
  if (attr ? !select_source(session, attr, ret, ret_code) : (ret->url = list->operands[0], false)) return false;
  return resolve_mirror(session, ret, ret_code);
}

int prefetch_command_url(Session *session) {
  Err err = ERR_INIT;
  Prefetch prefetch = {.url = NULL};
  Buf path CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  const char *wanted = getenv("PRINT_PATH");
  bool print_path = option_has(&session->options, OPT_print_path) || (wanted && strcmp(wanted, "1") == 0);
  int code = 0;
  if (!read_url(session, &prefetch, &code)) return code;
  if (!run(session, &prefetch, &err)) return session_fail(session, &err);
  store_path_format(&prefetch.path, session_store_dir(session), &path);
  if (!print_path) log_msg(LOG_INFO, "path is '%s'", buf_cstr(&path));
  hash_format(&prefetch.hash, prefetch.hash.algo == HASH_MD5 ? HASH_FORMAT_BASE16 : HASH_FORMAT_NIX32, false, &out);
  buf_put_char(&out, '\n');
  if (print_path) buf_printf(&out, "%s\n", buf_cstr(&path));
  session_print(session, buf_span(&out));
  return 0;
}

// ---- nix store prefetch-file

static bool print_file(Session *session, const Prefetch *prefetch, Err *err) {
  Buf path CLEANUP(buf_done) = BUF_INIT, hash CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  JsonWrite json;
  store_path_format(&prefetch->path, session_store_dir(session), &path);
  hash_format(&prefetch->hash, HASH_FORMAT_SRI, true, &hash);
  if (!option_has(&session->options, OPT_json)) {
    log_msg(LOG_NOTICE, "Downloaded '%s' to '%s' (hash '%s').", prefetch->url, buf_cstr(&path), buf_cstr(&hash));
    return true;
  }
  json_write_init(&json, &out, 0);
  json_write_object_begin(&json);
  if (!json_write_key(&json, SPAN("hash"), err) || !json_write_str(&json, buf_span(&hash), err) ||
      !json_write_key(&json, SPAN("storePath"), err) || !json_write_str(&json, buf_span(&path), err))
    return false;
  json_write_object_end(&json);
  buf_put_char(&out, '\n');
  session_print(session, buf_span(&out));
  return true;
}

int prefetch_command_file(Session *session) {
  Err err = ERR_INIT;
  Prefetch prefetch = {.url = NULL};
  const char *expected = option_get(&session->options, OPT_expected_hash);
  bool ok = store_command_operands(session, 1, 1, &err) && read_options(session, OPT_prefetch_algo, &prefetch, &err);
  prefetch.has_expected = ok && expected;
  if (prefetch.has_expected) ok = hash_parse(span_cstr(expected), &prefetch.algo, &prefetch.expected, &err);
  prefetch.url = ok ? session->options.operands[0] : NULL;
  ok = ok && run(session, &prefetch, &err) && print_file(session, &prefetch, &err);
  return ok ? 0 : session_fail(session, &err);
}
