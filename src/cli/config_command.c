// config_command.c: `nix config show`.
#include "cli/command_list.h"
#include "formats/json_write.h"

static bool put_json(Session *session, Buf *out, Err *err) {
  JsonWrite json;
  json_write_init(&json, out, 0);
  json_write_object_begin(&json);
  for (size_t i = 0; i < SETTING_COUNT; i++) {
    const SettingRow *row = &setting_table[i];
    const char *text = setting_text(session->settings, (SettingId)i);
    if (!json_write_key(&json, span_cstr(row->name), err)) return false;
    json_write_object_begin(&json);
    if (!json_write_key(&json, SPAN("description"), err) || !json_write_str(&json, span_cstr(row->help), err) ||
        !json_write_key(&json, SPAN("value"), err))
      return false;
    switch (row->type) {
    case SETTING_BOOL: json_write_bool(&json, setting_bool(session->settings, (SettingId)i)); break;
    case SETTING_INT: json_write_int(&json, setting_int(session->settings, (SettingId)i)); break;
    case SETTING_STRING:
      if (!json_write_str(&json, span_cstr(text), err)) return false;
      break;
    case SETTING_LIST: {
      json_write_array_begin(&json);
      for (Span rest = span_cstr(text), word; setting_next_word(&rest, &word);)
        if (!json_write_str(&json, word, err)) return false;
      json_write_array_end(&json);
      break;
    }
    }
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
    buf_printf(&out, "%s\n", setting_text(session->settings, id));
  } else if (option_has(list, OPT_json)) {
    if (!put_json(session, &out, &err)) return session_fail(session, &err);
  } else {
    for (size_t i = 0; i < SETTING_COUNT; i++)
      buf_printf(&out, "%s = %s\n", setting_table[i].name, setting_text(session->settings, (SettingId)i));
  }
  session_print(session, buf_span(&out));
  return 0;
}
