// config_command.c: `nix config show`, `nix config check`.
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/map.h"
#include "cli/command_list.h"
#include "formats/json_write.h"

// What a setting amounts to, where its text only says that it is to be found out.
static const char *effective_text(Session *session, SettingId id) {
  const char *text = setting_text(session->settings, id);
  if (id == SETTING_ID_system && !*text) return session_system(session);
  bool is_count = (id == SETTING_ID_cores && !*text) || (id == SETTING_ID_max_jobs && strcmp(text, "auto") == 0);
  return is_count ? arena_printf(&session->arena, "%u", process_cpu_count()) : text;
}

static bool put_value(Session *session, SettingId id, const char *text, JsonWrite *json, Err *err) {
  int64_t number;
  switch (setting_table[id].type) {
  case SETTING_BOOL:
    json_write_bool(json, strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || strcmp(text, "yes") == 0);
    return true;
  case SETTING_INT:
    json_write_int(
        json, *text ? (span_parse_i64(span_cstr(text), &number) ? number : setting_int(session->settings, id)) : 0);
    return true;
  case SETTING_STRING:
    if (id == SETTING_ID_max_jobs && span_parse_i64(span_cstr(text), &number))
      return json_write_int(json, number), true;
    return json_write_str(json, span_cstr(text), err);
  case SETTING_LIST: break;
  }
  json_write_array_begin(json);
  for (Span rest = span_cstr(text), word; setting_next_word(&rest, &word);)
    if (!json_write_str(json, word, err)) return false;
  json_write_array_end(json);
  return true;
}

static bool put_json(Session *session, Buf *out, Err *err) {
  JsonWrite json;
  json_write_init(&json, out, 0);
  json_write_object_begin(&json);
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    const SettingRow *row = &setting_table[i];
    if (!json_write_key(&json, span_cstr(row->name), err)) return false;
    json_write_object_begin(&json);
    if (!json_write_key(&json, SPAN("defaultValue"), err) ||
        !put_value(session, (SettingId)i, row->initial, &json, err) ||
        !json_write_key(&json, SPAN("description"), err) || !json_write_str(&json, span_cstr(row->help), err) ||
        !json_write_key(&json, SPAN("value"), err) ||
        !put_value(session, (SettingId)i, effective_text(session, (SettingId)i), &json, err))
      return false;
    json_write_object_end(&json);
  }
  json_write_object_end(&json);
  buf_put_char(out, '\n');
  return true;
}

int config_command_show(Session *session) {
  Err err = ERR_INIT;
  Buf out CLEANUP(buf_done) = BUF_INIT;
  const OptionList *list = &session->options;
  SettingId id;
  if (list->operand_count > 0) {
    if (!setting_find(span_cstr(list->operands[0]), &id)) {
      err_set(&err, ERR_NOT_FOUND, "could not find setting '%s'", list->operands[0]);
      return session_fail(session, &err);
    }
    buf_printf(&out, "%s\n", effective_text(session, id));
  } else if (option_has(list, OPT_json)) {
    if (!put_json(session, &out, &err)) return session_fail(session, &err);
  } else {
    for (size_t i = 0; i < SETTING_COUNT; i++)
      buf_printf(&out, "%s = %s\n", setting_table[i].name, effective_text(session, (SettingId)i));
  }
  session_print(session, buf_span(&out));
  return 0;
}

// ---- check

// The folders of PATH that hold a Nix, where links lead.
static size_t put_nixes(Buf *ret) {
  const char *path = getenv("PATH");
  Span rest = span_cstr(path ? path : ""), dir;
  Map seen CLEANUP(map_done) = MAP_INIT;
  size_t count = 0;
  for (bool more = rest.len > 0; more;) {
    char real[PATH_MAX];
    Buf program CLEANUP(buf_done) = BUF_INIT;
    more = span_split(&rest, ':', &dir);
    buf_printf(&program, "%.*s/nix-env", SPAN_ARG(dir));
    if (!dir.len || access(buf_cstr(&program), X_OK) != 0 || !realpath(buf_cstr(&program), real)) continue;
    Span place = fs_path_dir(span_cstr(real));
    if (map_has(&seen, place)) continue;
    map_set(&seen, place, NULL);
    buf_printf(ret, "  %.*s\n", SPAN_ARG(place));
    count++;
  }
  return count;
}

// Exit status 2 when something is wrong, as Nix's.
int config_command_check(Session *session) {
  Buf out CLEANUP(buf_done) = BUF_INIT, nixes CLEANUP(buf_done) = BUF_INIT;
  Store *store;
  Err err = ERR_INIT;
  if (!session_store(session, &store, &err)) return session_fail(session, &err);
  bool is_single = put_nixes(&nixes) <= 1, is_writable = access(store_root(store), W_OK) == 0;
  buf_printf(&out, "Running checks against store: %s\n", store_root(store));
  if (is_single) buf_put_cstr(&out, "[PASS] PATH contains only one nix version.\n");
  else buf_printf(&out, "[FAIL] Multiple versions of nix found in PATH:\n%s", buf_cstr(&nixes));
  buf_put_cstr(&out, is_writable ? "[PASS] The store can be written.\n" : "[FAIL] The store cannot be written.\n");
  session_print(session, buf_span(&out));
  return is_single && is_writable ? 0 : 2;
}
