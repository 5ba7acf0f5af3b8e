// cache_target.c: see cache_target.h. Parameters: Nix 2.26, "Binary Cache Store".
#include "cli/cache_target.h"

#include "base/log.h"
#include "base/mem.h"
#include "cli/signing.h"
#include "cli/substitution.h"

static bool is_true(Span value) {
  return span_eq_cstr(value, "true") || span_eq_cstr(value, "1") || span_eq_cstr(value, "yes");
}

// Parameters of C++ Nix's caches that change nothing about what is written.
static bool is_harmless(Span name) {
  static const char *const names[] = {"local-nar-cache", "path-info-cache-size", "priority", "want-mass-query",
                                      "trusted",         "system-features"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    if (span_eq_cstr(name, names[i])) return true;
  return false;
}

static bool set_parameter(CacheTarget *target, BinaryCacheOptions *options, Span name, Span value, Err *err) {
  Buf file CLEANUP(buf_done) = BUF_INIT;
  int64_t level;
  if (span_eq_cstr(name, "compression")) return stream_codec_parse(value, &options->compression, err);
  if (span_eq_cstr(name, "compression-level")) {
    if (!span_parse_i64(value, &level) || level < -1 || level > 22)
      return err_set(err, ERR_USAGE, "setting 'compression-level' has invalid value '%.*s'", SPAN_ARG(value));
    options->level = level < 0 ? 0 : (int)level;
  } else if (span_eq_cstr(name, "write-nar-listing")) {
    options->write_listing = is_true(value);
  } else if (span_eq_cstr(name, "parallel-compression")) {
    options->parallel = is_true(value);
    options->no_parallel = !options->parallel;
  } else if (span_eq_cstr(name, "index-debug-info")) {
    options->index_debug_info = is_true(value);
  } else if (span_eq_cstr(name, "secret-key")) {
    buf_put_span(&file, value);
    options->key = &target->key;
    return signing_read_key(buf_cstr(&file), &target->key_text, &target->key, err);
  } else if (!is_harmless(name)) {
    log_warn("unknown setting '%.*s'", SPAN_ARG(name));
  }
  return true;
}

bool cache_target_open(Session *session, const char *url, CacheTarget *ret, Err *err) {
  Span rest = span_cstr(url), place, parameter, name;
  BinaryCacheOptions options = {.compression = STREAM_CODEC_XZ};
  HttpClientConfig config = substitution_http(session);
  (void)span_split(&rest, '?', &place);
  *ret = (CacheTarget){.client = http_client_new(&config)};
  bool ok = true;
  while (ok && rest.len > 0) {
    (void)span_split(&rest, '&', &parameter);
    ok = span_split(&parameter, '=', &name) ? set_parameter(ret, &options, name, parameter, err)
                                            : err_set(err, ERR_USAGE, "parameter '%.*s' has no value", SPAN_ARG(name));
  }
  ok = ok && binary_cache_open(arena_dup(&session->arena, place).data, ret->client, session_store_dir(session),
                               &options, &ret->cache, err);
  if (!ok) cache_target_done(ret);
  return ok;
}

void cache_target_done(CacheTarget *target) {
  binary_cache_free(target->cache);
  http_client_free(target->client);
  buf_done(&target->key_text);
  *target = (CacheTarget){.cache = NULL};
}

const SignatureSecretKey *cache_target_key(const CacheTarget *target) {
  return target->key.name.len ? &target->key : NULL;
}
