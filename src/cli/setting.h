// setting.h: settings: nix.conf, NIX_CONFIG, --option. Later sources override earlier ones.
//
//   line  = [ "include " path | "!include " path | name "=" value ] [ "#" comment ]
//   "extra-" name "=" value   appends to a list
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef enum SettingType { SETTING_BOOL, SETTING_INT, SETTING_STRING, SETTING_LIST } SettingType;

typedef enum SettingId {
#define SETTING(id, name, type, initial, help) SETTING_ID_##id,
#include "cli/setting.def"
#undef SETTING
  SETTING_COUNT,
} SettingId;

typedef struct SettingRow {
  const char *name;
  SettingType type;
  const char *initial;
  const char *help;
} SettingRow;
extern const SettingRow setting_table[SETTING_COUNT];

// In the order of their weight. SETTING_ENVIRONMENT: NIX_CONFIG, which somebody has set for what runs now.
typedef enum SettingSource { SETTING_DEFAULT, SETTING_FILE, SETTING_ENVIRONMENT, SETTING_COMMAND_LINE } SettingSource;

// The value of one setting; an array of SETTING_COUNT of these is a set of settings.
typedef struct Setting {
  char *value; // owned; NULL: the default
  SettingSource source;
  bool extends_env; // nix-path: --extra-nix-path, to be put behind what NIX_PATH says
} Setting;

#define SETTING_INCLUDE_DEPTH_MAX 16
#define SETTING_FILE_BYTES_MAX ((size_t)16 << 20)

void setting_done(Setting *settings);
// False when unknown. Old names ("build-max-jobs") are understood.
bool setting_find(Span name, SettingId *ret);
// Unknown names are a warning, bad values an error.
MUST_CHECK bool setting_set(Setting *settings, Span name, Span value, SettingSource source, Err *err);
// Text in the format of nix.conf. `origin` for messages; relative includes are relative to its directory.
MUST_CHECK bool setting_read_text(Setting *settings, Span text, const char *origin, Err *err);
// The system's and the user's nix.conf, then NIX_CONFIG.
MUST_CHECK bool setting_read_all(Setting *settings, Err *err);

const char *setting_text(const Setting *settings, SettingId id);
bool setting_bool(const Setting *settings, SettingId id);
int64_t setting_int(const Setting *settings, SettingId id); // 0 for ""
// Walks the words of a list: *rest starts as span_cstr(setting_text(...)). False at the end.
bool setting_next_word(Span *rest, Span *ret);
bool setting_has_word(const Setting *settings, SettingId id, Span word);
