// setting.c: see setting.h. Behaviour: Nix 2.26, config.cc and globals.cc.
#include "cli/setting.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"

#define BOOL SETTING_BOOL
#define INT SETTING_INT
#define STRING SETTING_STRING
#define LIST SETTING_LIST

const SettingRow setting_table[SETTING_COUNT] = {
#define SETTING(id, name, type, initial, help) [SETTING_ID_##id] = {name, type, initial, help},
#include "cli/setting.def"
#undef SETTING
};

void setting_done(Setting *settings) {
  for (size_t i = 0; i < SETTING_COUNT; i++) mem_free(settings[i].value);
  memset(settings, 0, SETTING_COUNT * sizeof(*settings));
}

// Names that C++ Nix understands for compatibility.
static const char *const aliases[][2] = {
    {"build-max-jobs", "max-jobs"},
    {"build-cores", "cores"},
    {"build-fallback", "fallback"},
    {"build-timeout", "timeout"},
    {"build-max-silent-time", "max-silent-time"},
    {"build-use-sandbox", "sandbox"},
    {"build-use-chroot", "sandbox"},
    {"build-sandbox-paths", "sandbox-paths"},
    {"build-chroot-dirs", "sandbox-paths"},
    {"build-extra-platforms", "extra-platforms"},
    {"build-compress-log", "compress-build-log"},
    {"build-keep-log", "keep-build-log"},
    {"build-max-log-size", "max-build-log-size"},
    {"build-use-substitutes", "substitute"},
    {"use-substitutes", "substitute"},
    {"binary-caches", "substituters"},
    {"binary-cache-public-keys", "trusted-public-keys"},
    {"trusted-binary-caches", "trusted-substituters"},
    {"gc-keep-outputs", "keep-outputs"},
    {"gc-keep-derivations", "keep-derivations"},
    {"env-keep-derivations", "keep-env-derivations"},
    {"enable-import-from-derivation", "allow-import-from-derivation"},
    {"binary-caches-parallel-connections", "http-connections"},
    {"commit-lockfile-summary", "commit-lock-file-summary"},
};

bool setting_find(Span name, SettingId *ret) {
  for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
    if (span_eq_cstr(name, aliases[i][0])) name = span_cstr(aliases[i][1]);
  for (size_t i = 0; i < SETTING_COUNT; i++)
    if (span_eq_cstr(name, setting_table[i].name)) return *ret = (SettingId)i, true;
  return false;
}

static bool is_bool_text(Span value, bool *ret) {
  if (span_eq_cstr(value, "true") || span_eq_cstr(value, "yes") || span_eq_cstr(value, "1")) return *ret = true, true;
  if (span_eq_cstr(value, "false") || span_eq_cstr(value, "no") || span_eq_cstr(value, "0")) return *ret = false, true;
  return false;
}

// Decimal with an optional unit K, M, G or T.
static bool parse_int(Span value, int64_t *ret) {
  int64_t unit = 1;
  if (value.len && strchr("KMGT", value.data[value.len - 1])) {
    unit = INT64_C(1) << (10 * (strchr("KMGT", value.data[value.len - 1]) - "KMGT" + 1));
    value.len--;
  }
  return span_parse_i64(value, ret) && !__builtin_mul_overflow(*ret, unit, ret);
}

static bool check_value(SettingId id, Span value, Err *err) {
  bool flag;
  int64_t number;
  const SettingRow *row = &setting_table[id];
  if (row->type == SETTING_BOOL && !is_bool_text(value, &flag))
    return err_set(err, ERR_USAGE, "Boolean setting '%s' has invalid value '%.*s'", row->name, SPAN_ARG(value));
  if (row->type == SETTING_INT && value.len && !parse_int(value, &number))
    return err_set(err, ERR_USAGE, "setting '%s' has invalid value '%.*s'", row->name, SPAN_ARG(value));
  if (id == SETTING_ID_max_jobs && !span_eq_cstr(value, "auto") && (!parse_int(value, &number) || number < 0))
    return err_set(err, ERR_USAGE, "configuration setting '%s' should be 'auto' or an integer", row->name);
  return true;
}

static bool is_repeated(Span rest, Span word) {
  Span other;
  while (setting_next_word(&rest, &other))
    if (span_eq(other, word)) return true;
  return false;
}

bool setting_set(Setting *settings, Span name, Span value, SettingSource source, Err *err) {
  SettingId id;
  bool extra = false;
  if (!setting_find(name, &id)) {
    extra = span_has_prefix(name, SPAN("extra-")) && setting_find(span_from(name, 6), &id) &&
            setting_table[id].type == SETTING_LIST;
    if (!extra) {
      log_warn("unknown setting '%.*s'", SPAN_ARG(name));
      return true;
    }
  }
  if (!check_value(id, value, err)) return false;
  Setting *setting = &settings[id];
  char *next;
  if (extra) {
    Buf joined = BUF_INIT;
    Span word;
    if (id == SETTING_ID_nix_path && source == SETTING_COMMAND_LINE && setting->source < source && getenv("NIX_PATH"))
      setting->extends_env = true;
    else buf_put_cstr(&joined, setting_text(settings, id));
    while (setting_next_word(&value, &word)) {
      if (is_repeated(buf_span(&joined), word)) continue;
      if (joined.len) buf_put_char(&joined, ' ');
      buf_put_span(&joined, word);
    }
    buf_cstr(&joined);
    next = joined.data ? buf_take(&joined) : span_dup(SPAN(""));
  } else {
    setting->extends_env = false;
    next = span_dup(value);
  }
  mem_free(setting->value);
  setting->value = next;
  setting->source = source;
  return true;
}

// What is being read: a file and those that it includes.
typedef struct Reading {
  Setting *settings;
  SettingSource source;
} Reading;

static bool read_file(const Reading *reading, const char *path, bool optional, unsigned depth, Err *err);

static bool read_text(const Reading *reading, Span text, const char *origin, unsigned depth, Err *err) {
  Span line;
  for (unsigned number = 1; span_split(&text, '\n', &line) || line.len; number++) {
    size_t comment = span_find_char(line, '#');
    if (comment != SIZE_MAX) line = span_sub(line, 0, comment);
    line = span_trim(line);
    if (line.len == 0) continue;
    bool optional = span_has_prefix(line, SPAN("!include "));
    if (optional || span_has_prefix(line, SPAN("include "))) {
      Buf path CLEANUP(buf_done) = BUF_INIT;
      fs_path_canon(fs_path_dir(span_cstr(origin)), span_trim(span_from(line, optional ? 9 : 8)), &path);
      if (!read_file(reading, buf_cstr(&path), optional, depth + 1, err)) return false;
      continue;
    }
    Span name;
    if (!span_split(&line, '=', &name))
      return err_set(err, ERR_USAGE, "illegal configuration line '%.*s' in '%s', line %u", SPAN_ARG(name), origin,
                     number);
    if (!setting_set(reading->settings, span_trim(name), span_trim(line), reading->source, err))
      return err_wrap(err, "%s:%u", origin, number);
  }
  return true;
}

static bool read_file(const Reading *reading, const char *path, bool optional, unsigned depth, Err *err) {
  if (depth > SETTING_INCLUDE_DEPTH_MAX) return err_set(err, ERR_LIMIT, "'%s': files include each other", path);
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Err failed = ERR_INIT;
  if (!fs_read_file(path, SETTING_FILE_BYTES_MAX, &text, &failed)) {
    // As Nix: what may not be read counts as missing (root's configuration, for who has kept its HOME).
    bool hidden = failed.kind == ERR_NOT_FOUND || failed.sys_errno == EACCES;
    if (optional && hidden) return err_done(&failed), true;
    return err_move(err, &failed);
  }
  return read_text(reading, buf_span(&text), path, depth, err);
}

bool setting_read_text(Setting *settings, Span text, const char *origin, Err *err) {
  return read_text(&(Reading){settings, SETTING_FILE}, text, origin, 0, err);
}

// What a user may set instead: the files themselves, else the XDG directories, the most important one last.
static bool read_user_files(const Reading *reading, Err *err) {
  const char *files = getenv("NIX_USER_CONF_FILES"), *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
  const char *nix_home = getenv("NIX_CONFIG_HOME"), *dirs = getenv("XDG_CONFIG_DIRS");
  Buf list CLEANUP(buf_done) = BUF_INIT;
  if (files) {
    buf_put_cstr(&list, files);
  } else {
    if (nix_home) buf_printf(&list, "%s/nix.conf", nix_home);
    else if (config && *config) buf_printf(&list, "%s/nix/nix.conf", config);
    else if (home) buf_printf(&list, "%s/.config/nix/nix.conf", home);
    Span rest = span_cstr(dirs && *dirs ? dirs : "/etc/xdg"), dir;
    while (span_split(&rest, ':', &dir) || dir.len) buf_printf(&list, ":%.*s/nix/nix.conf", SPAN_ARG(dir));
  }
  for (Span rest = buf_span(&list); rest.len;) {
    size_t colon = span_rfind_char(rest, ':');
    Buf path CLEANUP(buf_done) = BUF_INIT;
    buf_put_span(&path, colon == SIZE_MAX ? rest : span_from(rest, colon + 1));
    rest = span_sub(rest, 0, colon == SIZE_MAX ? 0 : colon);
    if (path.len && !read_file(reading, buf_cstr(&path), true, 0, err)) return false;
  }
  return true;
}

bool setting_read_all(Setting *settings, Err *err) {
  const char *dir = getenv("NIX_CONF_DIR"), *inherited = getenv("NIX_CONFIG");
  Buf path CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&path, "%s/nix.conf", dir ? dir : "/etc/nix");
  Reading files = {settings, SETTING_FILE}, environment = {settings, SETTING_ENVIRONMENT};
  return read_file(&files, buf_cstr(&path), true, 0, err) && read_user_files(&files, err) &&
         (!inherited || read_text(&environment, span_cstr(inherited), "NIX_CONFIG", 0, err));
}

const char *setting_text(const Setting *settings, SettingId id) {
  return settings[id].value ? settings[id].value : setting_table[id].initial;
}

bool setting_bool(const Setting *settings, SettingId id) {
  bool ret = false;
  is_bool_text(span_cstr(setting_text(settings, id)), &ret);
  return ret;
}

int64_t setting_int(const Setting *settings, SettingId id) {
  int64_t ret = 0;
  return parse_int(span_cstr(setting_text(settings, id)), &ret) ? ret : 0;
}

bool setting_next_word(Span *rest, Span *ret) {
  *rest = span_trim(*rest);
  size_t end = 0;
  while (end < rest->len && !strchr(" \t\r\n", rest->data[end])) end++;
  *ret = span_sub(*rest, 0, end);
  *rest = span_from(*rest, end);
  return ret->len > 0;
}

bool setting_has_word(const Setting *settings, SettingId id, Span word) {
  return is_repeated(span_cstr(setting_text(settings, id)), word);
}
