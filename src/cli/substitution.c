// substitution.c: see substitution.h.
#include "cli/substitution.h"

#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"

// Nobody has said which caches to ask.
static bool is_default(const Session *session) {
  return session->settings[SETTING_ID_substituters].source == SETTING_DEFAULT;
}

// Made when the default cache cannot be reached, so that a machine without a network waits for it once in a while only.
static const char *unreachable_path(Session *session) {
  Buf path CLEANUP(buf_done) = BUF_INIT;
  session_cache_dir("unreachable", &path);
  return arena_dup(&session->arena, buf_span(&path)).data;
}

static bool is_unreachable(Session *session) {
  struct stat st;
  time_t now = time(NULL);
  return stat(unreachable_path(session), &st) == 0 && now >= st.st_mtime &&
         now - st.st_mtime < SUBSTITUTION_UNREACHABLE_S;
}

bool substitution_is_on(Session *session) {
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_substituters)), word;
  if (!setting_bool(session->settings, SETTING_ID_substitute) || !setting_next_word(&rest, &word)) return false;
  // The default cache has paths of the usual store only.
  return !is_default(session) || (span_eq_cstr(session_store_dir(session), "/nix/store") && !is_unreachable(session));
}

// Each once, in the order given.
static const char *const *urls(Session *session) {
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_substituters)), word;
  size_t cap = 1, count = 0;
  while (setting_next_word(&rest, &word)) cap++;
  const char **ret = ARENA_ARRAY(&session->arena, const char *, cap);
  rest = span_cstr(setting_text(session->settings, SETTING_ID_substituters));
  while (setting_next_word(&rest, &word)) {
    bool known = false;
    for (size_t i = 0; i < count; i++) known |= span_eq_cstr(word, ret[i]);
    if (!known) ret[count++] = arena_dup(&session->arena, word).data;
  }
  ret[count] = NULL;
  return ret;
}

static bool read_keys(Session *session, SubstitutersConfig *config, Err *err) {
  Span rest = span_cstr(setting_text(session->settings, SETTING_ID_trusted_public_keys)), word;
  size_t count = 0;
  while (setting_next_word(&rest, &word)) count++;
  SignaturePublicKey *keys = ARENA_ARRAY(&session->arena, SignaturePublicKey, count);
  rest = span_cstr(setting_text(session->settings, SETTING_ID_trusted_public_keys));
  for (size_t i = 0; i < count && setting_next_word(&rest, &word); i++)
    if (!signature_parse_public_key(word, &keys[i], err)) return err_wrap(err, "setting 'trusted-public-keys'");
  config->keys = keys;
  config->key_count = count;
  return true;
}

static unsigned number(const Session *session, SettingId id) {
  int64_t value = setting_int(session->settings, id);
  return value > 0 && value < UINT32_MAX ? (unsigned)value : 0;
}

HttpClientConfig substitution_http(const Session *session) {
  const Setting *settings = session->settings;
  return (HttpClientConfig){.connect_timeout_s = number(session, SETTING_ID_connect_timeout),
                            .stalled_timeout_s = number(session, SETTING_ID_stalled_download_timeout),
                            .attempts = number(session, SETTING_ID_download_attempts),
                            .max_bytes_per_s = (uint64_t)number(session, SETTING_ID_download_speed) << 10,
                            .netrc_file = setting_text(settings, SETTING_ID_netrc_file),
                            .ca_file = setting_text(settings, SETTING_ID_ssl_cert_file)};
}

static void on_event(void *ctx, const SubstitutersEvent *event) {
  Session *session = ctx;
  progress_substitution(&session->progress, event);
  timeline_fetch(session->timeline, event);
}

bool substitution_open(Session *session, Substituters **ret, Err *err) {
  const Setting *settings = session->settings;
  *ret = session->substituters;
  if (*ret || !substitution_is_on(session)) return true;
  Store *store;
  Buf answers CLEANUP(buf_done) = BUF_INIT;
  session_cache_dir("narinfo-1.sqlite", &answers);
  SubstitutersConfig config = {
      .urls = urls(session),
      .require_sigs = setting_bool(settings, SETTING_ID_require_sigs),
      .fallback = setting_bool(settings, SETTING_ID_fallback),
      .jobs = number(session, SETTING_ID_max_substitution_jobs),
      .http = substitution_http(session),
      .answers_path = answers.len ? arena_dup(&session->arena, buf_span(&answers)).data : NULL,
      .positive_ttl_s = setting_int(settings, SETTING_ID_narinfo_cache_positive_ttl),
      .negative_ttl_s = setting_int(settings, SETTING_ID_narinfo_cache_negative_ttl),
      .event = on_event,
      .event_ctx = session,
  };
  if (is_default(session)) {
    if (!config.http.connect_timeout_s) config.http.connect_timeout_s = SUBSTITUTION_DEFAULT_CONNECT_S;
    config.http.attempts = 1;
    config.unreachable_path = unreachable_path(session);
  }
  if (!session_store(session, &store, err) || !read_keys(session, &config, err)) return false;
  *ret = session->substituters = substituters_new(store, &config);
  return true;
}
