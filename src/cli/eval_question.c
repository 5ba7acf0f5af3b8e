// eval_question.c: see eval_question.h.
#include "cli/eval_question.h"

#include <stdlib.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/version.h"

typedef enum Section {
  SECTION_COMMAND,
  SECTION_EXPRESSION,
  SECTION_ATTRIBUTES,
  SECTION_PROGRAM,
  SECTION_FORM,
  SECTION_SETTINGS,
  SECTION_OPTIONS,
  SECTION_ENVIRONMENT,
  SECTION_SEARCH_PATH,
  SECTION_DIRECTORY,
  SECTION_COUNT_
} Section;

#define SECTION_FIRST_WAY SECTION_PROGRAM // questions that differ in those before are about different things

static const char *const section_names[SECTION_COUNT_] = {
    [SECTION_COMMAND] = "the command",
    [SECTION_EXPRESSION] = "the expression",
    [SECTION_ATTRIBUTES] = "the attributes",
    [SECTION_PROGRAM] = "firn itself",
    [SECTION_FORM] = "the form of the output",
    [SECTION_SETTINGS] = "the settings",
    [SECTION_OPTIONS] = "the options",
    [SECTION_ENVIRONMENT] = "the store, the system, the user or HOME",
    [SECTION_SEARCH_PATH] = "the search path (NIX_PATH, -I)",
    [SECTION_DIRECTORY] = "the current directory",
};

static void put_text(Buf *out, const char *text) {
  buf_put_cstr(out, text ? text : "");
  buf_put_char(out, text ? 0 : 1);
}

// Versions are equal while one works on the program: its file tells.
static void put_program(Buf *out) {
  struct stat st;
  put_text(out, VERSION_FIRN);
  if (stat("/proc/self/exe", &st) != 0) return;
  buf_put_u64le(out, (uint64_t)st.st_dev);
  buf_put_u64le(out, (uint64_t)st.st_ino);
  buf_put_u64le(out, (uint64_t)st.st_size);
  buf_put_u64le(out, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec);
  buf_put_u64le(out, (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec);
}

// Settings that change how builds are done, not what is evaluated.
static bool is_build_setting(SettingId id) {
  switch ((unsigned)id) {
  case SETTING_ID_max_jobs:
  case SETTING_ID_cores:
  case SETTING_ID_keep_failed:
  case SETTING_ID_fallback:
  case SETTING_ID_timeout:
  case SETTING_ID_max_silent_time:
  case SETTING_ID_max_build_log_size:
  case SETTING_ID_log_lines:
  case SETTING_ID_builders:
  case SETTING_ID_keep_build_log: return true;
  default: return false;
  }
}

static void put_settings(Session *session, Buf *out) {
  for (unsigned i = 0; i < SETTING_COUNT; i++) {
    const Setting *setting = &session->settings[i];
    if (setting->source == SETTING_DEFAULT || is_build_setting((SettingId)i)) continue;
    put_text(out, setting_table[i].name);
    put_text(out, setting_text(session->settings, (SettingId)i));
    buf_put_char(out, (char)setting->source);
  }
  put_text(out, NULL);
}

// Options that evaluation depends on; those for builds and links do not count.
static bool counts(const OptionUse *use) {
  const uint64_t groups = OPTION_COMMON_GROUP | OPTION_EVAL_GROUP | OPTION_SELECT_GROUP | OPTION_SELECT_OLD_GROUP |
                          OPTION_PRINT_GROUP | OPTION_PRINT_EVAL_GROUP;
  if (use->id == OPT_file || use->id == OPT_attr || use->id == OPT_explain_cache || use->id == OPT_print_build_logs)
    return false;
  return option_table[use->id].groups & groups;
}

static void put_options(Session *session, Buf *out, bool *ret_needs_cwd) {
  const OptionList *list = &session->options;
  for (size_t i = 0; i < list->use_count; i++) {
    const OptionUse *use = &list->uses[i];
    if (!counts(use)) continue;
    buf_put_char(out, (char)use->id);
    buf_put_char(out, (char)((unsigned)use->id >> 8));
    for (unsigned j = 0; j < option_arg_count(&option_table[use->id]); j++) put_text(out, use->args[j]);
    if (use->id == OPT_arg || use->id == OPT_apply) *ret_needs_cwd = true;
  }
  put_text(out, NULL);
}

static void put_roots(Session *session, const TargetRoot *roots, size_t count, Buf *out, bool *ret_needs_cwd) {
  for (size_t i = 0; i < count; i++) {
    bool is_path = roots[i].kind == TARGET_FILE && roots[i].text[0] != '<';
    buf_put_char(out, (char)(1 + (int)roots[i].kind));
    put_text(out, is_path ? session_absolute(session, roots[i].text) : roots[i].text);
    put_text(out, roots[i].base);
    if (!is_path) *ret_needs_cwd = true;
  }
  buf_put_char(out, 0);
}

static void put_environment(Session *session, Buf *out) {
  static const char *const names[] = {"HOME", "NIX_REMOTE", "NIX_STATE_DIR", "XDG_DATA_HOME", "NIX_DATA_DIR"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++) put_text(out, getenv(names[i]));
  buf_put_span(out, session_store_dir(session));
  put_text(out, session_system(session));
  buf_put_u64le(out, geteuid());
}

static void put_search_path(Session *session, Buf *out) {
  size_t count;
  const VmSearchEntry *entries = session_search_path(session, &count);
  for (size_t i = 0; i < count; i++) {
    buf_put_span(out, entries[i].prefix);
    buf_put_char(out, '=');
    buf_put_span(out, entries[i].path);
    buf_put_char(out, 0);
  }
}

static void end_section(Buf *section, Buf *ret) {
  uint32_t len = (uint32_t)section->len;
  buf_put(ret, &len, sizeof len);
  buf_put_span(ret, buf_span(section));
  buf_clear(section);
}

void eval_question_put(Session *session, const TargetRoot *roots, size_t root_count, Span detail,
                       const char *const *attr_paths, size_t attr_path_count, Buf *ret) {
  Buf section CLEANUP(buf_done) = BUF_INIT, options CLEANUP(buf_done) = BUF_INIT;
  bool needs_cwd = false;
  put_options(session, &options, &needs_cwd);
  put_text(&section, command_full_name(session->command));
  end_section(&section, ret);
  put_roots(session, roots, root_count, &section, &needs_cwd);
  end_section(&section, ret);
  for (size_t i = 0; i < attr_path_count; i++) put_text(&section, attr_paths[i]);
  end_section(&section, ret);
  put_program(&section);
  end_section(&section, ret);
  buf_put_u64le(&section, (uint64_t)session->progress.format << 1 | session->progress.colour);
  buf_put_span(&section, detail);
  end_section(&section, ret);
  put_settings(session, &section);
  end_section(&section, ret);
  end_section(&options, ret);
  put_environment(session, &section);
  end_section(&section, ret);
  put_search_path(session, &section);
  end_section(&section, ret);
  put_text(&section, needs_cwd ? session_absolute(session, ".") : NULL);
  end_section(&section, ret);
}

static bool next_section(Span *question, Span *ret) {
  uint32_t len;
  if (question->len < sizeof len) return false;
  memcpy(&len, question->data, sizeof len);
  *question = span_from(*question, sizeof len);
  if (question->len < len) return false;
  *ret = span_sub(*question, 0, len);
  *question = span_from(*question, len);
  return true;
}

size_t eval_question_compare(Span question, Span other, Buf *ret_ways) {
  size_t ways = 0;
  for (Section section = 0; section < SECTION_COUNT_; section++) {
    Span mine, theirs;
    if (!next_section(&question, &mine) || !next_section(&other, &theirs)) return SIZE_MAX;
    if (span_eq(mine, theirs)) continue;
    if (section < SECTION_FIRST_WAY) return SIZE_MAX;
    buf_printf(ret_ways, "%s%s", ways ? " and " : "", section_names[section]);
    ways++;
  }
  return ways;
}
