// cache_command.c: `firn cache`: what the evaluator keeps between runs, and deleting it.
#include "cli/command_list.h"
#include "formats/json_write.h"

static bool put_json(Span dir, const UnitCacheInfo *info, Buf *ret, Err *err) {
  JsonWrite json;
  json_write_init(&json, ret, 0);
  json_write_object_begin(&json);
  if (!json_write_key(&json, SPAN("units"), err)) return false;
  json_write_object_begin(&json);
  if (!json_write_key(&json, SPAN("path"), err) || !json_write_str(&json, dir, err)) return false;
  if (!json_write_key(&json, SPAN("entries"), err)) return false;
  json_write_uint(&json, info->entry_count);
  if (!json_write_key(&json, SPAN("bytes"), err)) return false;
  json_write_uint(&json, info->pack_bytes);
  json_write_object_end(&json);
  json_write_object_end(&json);
  buf_put_char(ret, '\n');
  return true;
}

int cache_command_run(Session *session) {
  Err err = ERR_INIT;
  Buf dir CLEANUP(buf_done) = BUF_INIT, text CLEANUP(buf_done) = BUF_INIT;
  if (session->options.operand_count) {
    err_set(&err, ERR_USAGE, "'%s' takes no arguments", command_full_name(session->command));
    return session_fail(session, &err);
  }
  session_unit_dir(&dir);
  if (option_has(&session->options, OPT_cache_clear) && !unit_cache_clear(buf_span(&dir), &err))
    return session_fail(session, &err);
  UnitCacheInfo info;
  unit_cache_info(buf_span(&dir), &info);
  if (option_has(&session->options, OPT_json)) {
    if (!put_json(buf_span(&dir), &info, &text, &err)) return session_fail(session, &err);
  } else {
    buf_printf(&text, "compiled files: %llu, %.1f MiB in %s\n", (unsigned long long)info.entry_count,
               (double)info.pack_bytes / (1 << 20), buf_cstr(&dir));
  }
  session_print(session, buf_span(&text));
  return 0;
}
