// serve_command.c: see serve_command.h.
#include "cli/serve_command.h"

#include <endian.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/build_command.h"
#include "store/store_add.h"
#include "store/store_export.h"

enum { MAGIC_CLIENT = 0x390c9deb, MAGIC_SERVER = 0x5452eecb, VERSION = 2 << 8 | 7 };
enum { PATHS_MAX = 10000000, STRING_MAX = 1 << 20 };

typedef enum ServeRequest {
  SERVE_VALID_PATHS = 1,
  SERVE_PATH_INFOS = 2,
  SERVE_DUMP = 3,
  SERVE_IMPORT = 4,
  SERVE_EXPORT = 5,
  SERVE_BUILD = 6,
  SERVE_CLOSURE = 7,
  SERVE_ADD_NAR = 9,
} ServeRequest;

typedef struct Serve {
  Session *session;
  Store *store;
  bool may_write;
  unsigned minor; // of the version that both speak
  int in_fd, out_fd;
  ByteSource in;
  ByteSink sink; // past `out`
  Buf out;       // what is to be sent next
} Serve;

// ---- reading and writing

static bool get_u64(Serve *serve, uint64_t *ret, Err *err) {
  if (!byte_stream_take_full(&serve->in, ret, sizeof(*ret), err)) return false;
  *ret = le64toh(*ret);
  return true;
}

static bool get_str(Serve *serve, Buf *ret, Err *err) {
  uint64_t len;
  char pad[8];
  buf_clear(ret);
  if (!get_u64(serve, &len, err)) return false;
  if (len > STRING_MAX) return err_set(err, ERR_LIMIT, "a string of %llu bytes", (unsigned long long)len);
  buf_reserve(ret, (size_t)len + 1);
  if (!byte_stream_take_full(&serve->in, ret->data, (size_t)len, err)) return false;
  ret->len = (size_t)len;
  return len % 8 == 0 || byte_stream_take_full(&serve->in, pad, 8 - (size_t)len % 8, err);
}

static bool get_count(Serve *serve, uint64_t *ret, Err *err) {
  return get_u64(serve, ret, err) &&
         (*ret <= PATHS_MAX || err_set(err, ERR_LIMIT, "a list of %llu items", (unsigned long long)*ret));
}

static bool get_path(Serve *serve, StorePath *ret, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  return get_str(serve, &text, err) && store_parse_path(serve->store, buf_span(&text), ret, err);
}

static bool get_paths(Serve *serve, StorePathList *ret, Err *err) {
  uint64_t count;
  if (!get_count(serve, &count, err)) return false;
  for (uint64_t i = 0; i < count; i++) {
    StorePath path;
    if (!get_path(serve, &path, err)) return false;
    store_path_list_add(ret, &path);
  }
  return true;
}

static void put_str(Serve *serve, Span text) {
  buf_put_u64le(&serve->out, text.len);
  buf_put_span(&serve->out, text);
  buf_put_repeat(&serve->out, 0, (8 - text.len % 8) % 8);
}

static void put_path(Serve *serve, const StorePath *path) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  store_format_path(serve->store, path, &text);
  put_str(serve, buf_span(&text));
}

static void put_paths(Serve *serve, const StorePath *paths, size_t count) {
  buf_put_u64le(&serve->out, count);
  for (size_t i = 0; i < count; i++) put_path(serve, &paths[i]);
}

static bool flush(Serve *serve, Err *err) {
  bool ok = byte_stream_put(&serve->sink, buf_span(&serve->out), err);
  buf_clear(&serve->out);
  return ok;
}

// ---- questions

static bool valid_paths(Serve *serve, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT, valid = STORE_PATH_LIST_INIT;
  uint64_t lock, substitute;
  bool ok = get_u64(serve, &lock, err) && get_u64(serve, &substitute, err) && get_paths(serve, &paths, err);
  if (ok && substitute && serve->may_write) {
    BuildTargetList targets CLEANUP(build_command_list_done) = {0};
    for (size_t i = 0; i < paths.count; i++) build_command_list_add(&targets, &(BuildTarget){.path = paths.paths[i]});
    (void)build_command_build(serve->session, &targets, SCHEDULER_NORMAL, true);
  }
  for (size_t i = 0; ok && i < paths.count; i++) {
    bool is;
    ok = lock && serve->may_write ? store_pin(serve->store, &paths.paths[i], &is, err)
                                  : store_is_valid(serve->store, &paths.paths[i], &is, err);
    if (ok && is) store_path_list_add(&valid, &paths.paths[i]);
  }
  store_path_list_sort(&valid);
  if (ok) put_paths(serve, valid.paths, valid.count);
  store_path_list_done(&valid);
  store_path_list_done(&paths);
  return ok;
}

static void put_info(Serve *serve, const PathInfo *info) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Hash hash = {.algo = HASH_SHA256};
  put_path(serve, &info->path);
  if (info->has_deriver) put_path(serve, &info->deriver);
  else put_str(serve, SPAN(""));
  put_paths(serve, info->refs, info->ref_count);
  buf_put_u64le(&serve->out, info->nar_size_bytes); // of the download
  buf_put_u64le(&serve->out, info->nar_size_bytes);
  if (serve->minor < 4) return;
  memcpy(hash.bytes, info->nar_sha256, sizeof(info->nar_sha256));
  hash_format_nix32(&hash, &text);
  put_str(serve, buf_span(&text));
  buf_clear(&text);
  if (info->has_ca) content_address_format(&info->ca, &text);
  put_str(serve, buf_span(&text));
  buf_put_u64le(&serve->out, info->sig_count);
  for (size_t i = 0; i < info->sig_count; i++) {
    buf_clear(&text);
    signature_format(&info->sigs[i], &text);
    put_str(serve, buf_span(&text));
  }
}

static bool path_infos(Serve *serve, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  bool ok = get_paths(serve, &paths, err);
  for (size_t i = 0; ok && i < paths.count; i++) {
    PathInfoRecord *record CLEANUP(path_info_service_record_free_ptr) = NULL;
    ok = store_find(serve->store, &paths.paths[i], &record, err);
    if (record) put_info(serve, &record->info);
  }
  put_str(serve, SPAN(""));
  store_path_list_done(&paths);
  return ok;
}

static bool closure(Serve *serve, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT, all = STORE_PATH_LIST_INIT;
  uint64_t include_outputs;
  bool ok = get_u64(serve, &include_outputs, err) && get_paths(serve, &paths, err);
  StoreClosureOptions options = {.include_outputs = ok && include_outputs};
  ok = ok && store_closure(serve->store, paths.paths, paths.count, &options, &all, err);
  if (ok) put_paths(serve, all.paths, all.count);
  store_path_list_done(&all);
  store_path_list_done(&paths);
  return ok;
}

// ---- contents

static bool dump(Serve *serve, Err *err) {
  StorePath path;
  return get_path(serve, &path, err) && flush(serve, err) && store_dump(serve->store, &path, &serve->sink, err);
}

static bool export_paths(Serve *serve, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT, sorted = STORE_PATH_LIST_INIT;
  StoreClosureOptions options = {.topological = true};
  Map wanted CLEANUP(map_done) = MAP_INIT;
  uint64_t obsolete;
  bool ok = get_u64(serve, &obsolete, err) && get_paths(serve, &paths, err) &&
            store_closure(serve->store, paths.paths, paths.count, &options, &sorted, err);
  for (size_t i = 0; i < paths.count; i++)
    map_set(&wanted, span_make(paths.paths[i].digest, STORE_PATH_DIGEST_BYTES), NULL);
  size_t count = 0;
  for (size_t i = 0; i < sorted.count; i++)
    if (map_has(&wanted, span_make(sorted.paths[i].digest, STORE_PATH_DIGEST_BYTES)))
      sorted.paths[count++] = sorted.paths[i];
  ok = ok && flush(serve, err) && store_export_write(serve->store, sorted.paths, count, &serve->sink, err);
  store_path_list_done(&sorted);
  store_path_list_done(&paths);
  return ok;
}

// The client sends nothing behind the stream before it has the answer, so that reading ahead is no harm.
static bool import_paths(Serve *serve, Err *err) {
  StorePathList paths = STORE_PATH_LIST_INIT;
  store_want_trees(serve->store, true);
  bool ok = store_export_read(serve->store, &serve->in, &paths, err) &&
            store_materialise(serve->store, paths.paths, paths.count, err) && store_sync(serve->store, err);
  store_want_trees(serve->store, false);
  store_path_list_done(&paths);
  buf_put_u64le(&serve->out, 1);
  return ok;
}

// Only so much of the stream is the archive.
typedef struct Sized {
  const ByteSource *from;
  uint64_t left_bytes;
} Sized;

static bool sized_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  Sized *sized = ctx;
  *ret_len = 0;
  if (!sized->left_bytes) return true;
  if (!byte_stream_take(sized->from, data, cap < sized->left_bytes ? cap : (size_t)sized->left_bytes, ret_len, err))
    return false;
  sized->left_bytes -= *ret_len;
  return true;
}

static bool get_signatures(Serve *serve, PathInfo *info, Arena *arena, Err *err) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  uint64_t count;
  if (!get_count(serve, &count, err)) return false;
  info->sigs = ARENA_ARRAY(arena, Signature, (size_t)count + 1);
  for (uint64_t i = 0; i < count; i++) {
    if (!get_str(serve, &text, err)) return false;
    if (signature_parse(arena_dup(arena, buf_span(&text)), &info->sigs[info->sig_count], NULL)) info->sig_count++;
  }
  return true;
}

static bool get_info(Serve *serve, PathInfo *info, StorePathList *refs, Arena *arena, Err *err) {
  static const HashAlgo algo = HASH_SHA256;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Hash hash;
  uint64_t registered_at, ultimate;
  *info = (PathInfo){.nar_size_bytes = 0};
  if (!get_path(serve, &info->path, err) || !get_str(serve, &text, err)) return false;
  info->has_deriver = text.len > 0;
  if (text.len && !store_parse_path(serve->store, buf_span(&text), &info->deriver, err)) return false;
  if (!get_str(serve, &text, err) || !hash_parse(buf_span(&text), &algo, &hash, err) || !get_paths(serve, refs, err) ||
      !get_u64(serve, &registered_at, err) || !get_u64(serve, &info->nar_size_bytes, err) ||
      !get_u64(serve, &ultimate, err) || !get_signatures(serve, info, arena, err) || !get_str(serve, &text, err))
    return false;
  memcpy(info->nar_sha256, hash.bytes, sizeof(info->nar_sha256));
  store_path_list_sort(refs);
  info->refs = refs->paths;
  info->ref_count = refs->count;
  info->has_ca = text.len > 0;
  return !text.len || content_address_parse(buf_span(&text), &info->ca, err);
}

static bool add_nar(Serve *serve, Err *err) {
  Arena arena CLEANUP(arena_done) = ARENA_INIT;
  StorePathList refs = STORE_PATH_LIST_INIT;
  PathInfo info;
  bool valid;
  bool ok = get_info(serve, &info, &refs, &arena, err);
  if (ok && info.nar_size_bytes == 0) ok = err_set(err, ERR_SYNTAX, "narInfo is too old and missing the narSize field");
  Sized sized = {&serve->in, info.nar_size_bytes};
  ByteSource nar = {sized_take, &sized};
  ok = ok && store_pin(serve->store, &info.path, &valid, err) &&
       (valid || store_add_nar(serve->store, &info, &nar, false, false, err));
  // What was there already is read and dropped.
  char chunk[4096];
  for (size_t n = 1; ok && n > 0;) ok = byte_stream_take(&nar, chunk, sizeof(chunk), &n, err);
  ok = ok && store_materialise(serve->store, &info.path, 1, err) && store_sync(serve->store, err);
  store_path_list_done(&refs);
  buf_put_u64le(&serve->out, 1);
  return ok;
}

// ---- building

static bool get_settings(Serve *serve, Err *err) {
  static const char *const names[] = {"max-silent-time", "timeout", "max-build-log-size"};
  uint64_t value;
  for (unsigned i = 0; i < 3; i++) {
    Buf text CLEANUP(buf_done) = BUF_INIT;
    if (i == 2 && serve->minor < 2) return true;
    if (!get_u64(serve, &value, err)) return false;
    buf_printf(&text, "%llu", (unsigned long long)value);
    if (!setting_set(serve->session->settings, span_cstr(names[i]), buf_span(&text), SETTING_COMMAND_LINE, err))
      return false;
  }
  if (serve->minor < 3) return true;
  if (!get_u64(serve, &value, err)) return false;
  if (value) return err_set(err, ERR_OTHER, "client requested repeating builds, but this is not currently implemented");
  if (!get_u64(serve, &value, err)) return false; // enforce-determinism
  if (serve->minor < 7) return true;
  return get_u64(serve, &value, err) && setting_set(serve->session->settings, SPAN("keep-failed"),
                                                    value ? SPAN("true") : SPAN("false"), SETTING_COMMAND_LINE, err);
}

static bool build(Serve *serve, Err *err) {
  enum { STATUS_MISC_FAILURE = 9 };
  BuildTargetList targets CLEANUP(build_command_list_done) = {0};
  Buf text CLEANUP(buf_done) = BUF_INIT;
  uint64_t count;
  if (!get_count(serve, &count, err)) return false;
  for (uint64_t i = 0; i < count; i++) {
    bool is_path;
    if (!get_str(serve, &text, err) ||
        !build_command_add_path(serve->session, &targets, buf_cstr(&text), &is_path, err))
      return false;
    if (!is_path) return err_set(err, ERR_USAGE, "'%s' is not a store path", buf_cstr(&text));
  }
  if (!get_settings(serve, err)) return false;
  int code = build_command_build(serve->session, &targets, SCHEDULER_NORMAL, true);
  if (!code && !store_sync(serve->store, err)) return false;
  buf_put_u64le(&serve->out, code ? STATUS_MISC_FAILURE : 0);
  if (code) put_str(serve, SPAN("build failed; the messages of the server say why"));
  return true;
}

// ---- the conversation

static bool answer(Serve *serve, uint64_t request, Err *err) {
  bool writes = request == SERVE_IMPORT || request == SERVE_BUILD || request == SERVE_ADD_NAR;
  if (writes && !serve->may_write)
    return err_set(err, ERR_OTHER,
                   request == SERVE_BUILD ? "building paths is not allowed" : "importing paths is not allowed");
  switch (request) {
  case SERVE_VALID_PATHS: return valid_paths(serve, err);
  case SERVE_PATH_INFOS: return path_infos(serve, err);
  case SERVE_DUMP: return dump(serve, err);
  case SERVE_IMPORT: return import_paths(serve, err);
  case SERVE_EXPORT: return export_paths(serve, err);
  case SERVE_BUILD: return build(serve, err);
  case SERVE_CLOSURE: return closure(serve, err);
  case SERVE_ADD_NAR: return add_nar(serve, err);
  default: return err_set(err, ERR_OTHER, "unknown serve command %llu", (unsigned long long)request);
  }
}

static bool greet(Serve *serve, Err *err) {
  uint64_t magic, version;
  if (!get_u64(serve, &magic, err)) return false;
  if (magic != MAGIC_CLIENT) return err_set(err, ERR_SYNTAX, "protocol mismatch");
  buf_put_u64le(&serve->out, MAGIC_SERVER);
  buf_put_u64le(&serve->out, VERSION);
  if (!flush(serve, err) || !get_u64(serve, &version, err)) return false;
  if (version >> 8 != VERSION >> 8) return err_set(err, ERR_OTHER, "unsupported version of the protocol");
  serve->minor = version < VERSION ? version & 0xff : VERSION & 0xff;
  return true;
}

// *ret_ended: the client is gone.
static bool next_request(Serve *serve, uint64_t *ret, bool *ret_ended, Err *err) {
  uint8_t bytes[8];
  size_t n;
  *ret_ended = false;
  if (!byte_stream_take(&serve->in, bytes, 1, &n, err)) return false;
  if (n == 0) return *ret_ended = true;
  if (!byte_stream_take_full(&serve->in, bytes + 1, sizeof(bytes) - 1, err)) return false;
  memcpy(ret, bytes, sizeof(*ret));
  *ret = le64toh(*ret);
  return true;
}

int serve_command_run(Session *session) {
  Err err = ERR_INIT;
  Serve serve = {.session = session,
                 .may_write = option_has(&session->options, OPT_serve_write),
                 .in_fd = STDIN_FILENO,
                 .out_fd = STDOUT_FILENO};
  serve.in = byte_stream_from_fd(&serve.in_fd);
  serve.sink = byte_stream_to_fd(&serve.out_fd);
  bool ok = session_store(session, &serve.store, &err) && greet(&serve, &err), ended = false;
  while (ok && !ended) {
    uint64_t request;
    ok = next_request(&serve, &request, &ended, &err);
    ok = ok && (ended || (answer(&serve, request, &err) && flush(&serve, &err)));
  }
  buf_done(&serve.out);
  return ok ? 0 : session_fail(session, &err);
}
