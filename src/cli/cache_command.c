// cache_command.c: `firn cache`: what the evaluator keeps between runs, and deleting it.
#include "cli/command_list.h"
#include "cli/eval_cache.h"
#include "formats/json_write.h"

// One cache, as it is shown.
typedef struct CacheRow {
  const char *key, *heading;
  Buf dir;
  uint64_t entry_count, bytes;
} CacheRow;

enum { ROW_UNITS, ROW_TRACES, ROW_FILES, ROW_COUNT };

static void read_rows(CacheRow *rows) {
  UnitCacheInfo units;
  TraceCacheInfo traces, files;
  unit_cache_info(buf_span(&rows[ROW_UNITS].dir), &units);
  trace_cache_info(buf_span(&rows[ROW_TRACES].dir), &traces);
  trace_cache_info(buf_span(&rows[ROW_FILES].dir), &files);
  rows[ROW_UNITS].entry_count = units.entry_count;
  rows[ROW_UNITS].bytes = units.pack_bytes;
  rows[ROW_TRACES].entry_count = traces.file_count;
  rows[ROW_TRACES].bytes = traces.bytes;
  rows[ROW_FILES].entry_count = files.file_count;
  rows[ROW_FILES].bytes = files.bytes;
}

static bool put_json(const CacheRow *rows, Buf *ret, Err *err) {
  JsonWrite json;
  json_write_init(&json, ret, 0);
  json_write_object_begin(&json);
  for (size_t i = 0; i < ROW_COUNT; i++) {
    if (!json_write_key(&json, span_cstr(rows[i].key), err)) return false;
    json_write_object_begin(&json);
    if (!json_write_key(&json, SPAN("path"), err) || !json_write_str(&json, buf_span(&rows[i].dir), err)) return false;
    if (!json_write_key(&json, SPAN("entries"), err)) return false;
    json_write_uint(&json, rows[i].entry_count);
    if (!json_write_key(&json, SPAN("bytes"), err)) return false;
    json_write_uint(&json, rows[i].bytes);
    json_write_object_end(&json);
  }
  json_write_object_end(&json);
  buf_put_char(ret, '\n');
  return true;
}

static int show(Session *session, CacheRow *rows) {
  Err err = ERR_INIT;
  Buf text CLEANUP(buf_done) = BUF_INIT;
  if (option_has(&session->options, OPT_cache_clear) && (!unit_cache_clear(buf_span(&rows[ROW_UNITS].dir), &err) ||
                                                         !trace_cache_clear(buf_span(&rows[ROW_TRACES].dir), &err) ||
                                                         !trace_cache_clear(buf_span(&rows[ROW_FILES].dir), &err)))
    return session_fail(session, &err);
  read_rows(rows);
  if (option_has(&session->options, OPT_json)) {
    if (!put_json(rows, &text, &err)) return session_fail(session, &err);
  } else {
    for (size_t i = 0; i < ROW_COUNT; i++)
      buf_printf(&text, "%s: %llu, %.1f MiB in %s\n", rows[i].heading, (unsigned long long)rows[i].entry_count,
                 (double)rows[i].bytes / (1 << 20), buf_cstr(&rows[i].dir));
  }
  session_print(session, buf_span(&text));
  return 0;
}

int cache_command_run(Session *session) {
  Err err = ERR_INIT;
  if (session->options.operand_count) {
    err_set(&err, ERR_USAGE, "'%s' takes no arguments", command_full_name(session->command));
    return session_fail(session, &err);
  }
  CacheRow rows[ROW_COUNT] = {{.key = "units", .heading = "compiled files"},
                              {.key = "traces", .heading = "answers"},
                              {.key = "files", .heading = "lists of loaded files"}};
  session_unit_dir(&rows[ROW_UNITS].dir);
  eval_cache_dir(&rows[ROW_TRACES].dir);
  session_prefetch_dir(&rows[ROW_FILES].dir);
  int code = show(session, rows);
  for (size_t i = 0; i < ROW_COUNT; i++) buf_done(&rows[i].dir);
  return code;
}
