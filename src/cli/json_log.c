// json_log.c: see json_log.h.
#include "cli/json_log.h"

#include <unistd.h>

#include "base/mem.h"
#include "formats/json_write.h"

// Types of activities and results, as in Nix's logging.hh.
enum {
  ACTIVITY_UNKNOWN = 0,
  ACTIVITY_COPY_PATH = 100,
  ACTIVITY_FILE_TRANSFER = 101,
  ACTIVITY_REALISE = 102,
  ACTIVITY_COPY_PATHS = 103,
  ACTIVITY_BUILDS = 104,
  ACTIVITY_BUILD = 105,
  ACTIVITY_SUBSTITUTE = 108,
};
enum { RESULT_BUILD_LOG_LINE = 101, RESULT_SET_PHASE = 104, RESULT_PROGRESS = 105, RESULT_SET_EXPECTED = 106 };

typedef struct FetchIds {
  uint64_t substitute, copy;
} FetchIds;

// One of a list of fields.
typedef struct Field {
  bool is_text;
  Span text;
  uint64_t number;
} Field;

static Field text_field(Span text) {
  return (Field){true, text, 0};
}

static Field number_field(uint64_t number) {
  return (Field){false, {NULL, 0}, number};
}

void json_log_init(JsonLog *log, Buf *out) {
  *log = (JsonLog){.out = out, .last_id = (uint64_t)getpid() << 32};
}

// --- writing

static void key(JsonWrite *json, const char *name) {
  Err ignored = ERR_INIT; // names are known to be text
  if (!json_write_key(json, span_cstr(name), &ignored)) err_done(&ignored);
}

// Builders may print anything: what is not UTF-8 is replaced, as C++ Nix does.
static void string(JsonWrite *json, Span text) {
  Err failed = ERR_INIT;
  Buf clean CLEANUP(buf_done) = BUF_INIT;
  if (!json_write_string(&clean, text, &failed)) { // only a trial
    err_done(&failed);
    buf_clear(&clean);
    for (size_t i = 0; i < text.len; i++) {
      if ((unsigned char)text.data[i] < 0x80) buf_put_char(&clean, text.data[i]);
      else buf_put_cstr(&clean, "\xef\xbf\xbd");
    }
    text = buf_span(&clean);
  }
  if (!json_write_str(json, text, &failed)) err_done(&failed);
}

static void number(JsonWrite *json, const char *name, uint64_t value) {
  key(json, name);
  json_write_uint(json, value);
}

static void begin(JsonLog *log, JsonWrite *json, const char *action) {
  buf_put_span(log->out, SPAN(JSON_LOG_PREFIX));
  json_write_init(json, log->out, 0);
  json_write_object_begin(json);
  key(json, "action");
  string(json, span_cstr(action));
}

static void end(JsonLog *log, JsonWrite *json) {
  json_write_object_end(json);
  buf_put_char(log->out, '\n');
}

static void put_fields(JsonWrite *json, const Field *fields, size_t count) {
  if (!count) return;
  key(json, "fields");
  json_write_array_begin(json);
  for (size_t i = 0; i < count; i++) {
    if (fields[i].is_text) string(json, fields[i].text);
    else json_write_uint(json, fields[i].number);
  }
  json_write_array_end(json);
}

static uint64_t start(JsonLog *log, unsigned type, LogLevel level, uint64_t parent, Span text, const Field *fields,
                      size_t field_count) {
  JsonWrite json;
  begin(log, &json, "start");
  put_fields(&json, fields, field_count);
  number(&json, "id", ++log->last_id);
  number(&json, "level", level);
  number(&json, "parent", parent);
  key(&json, "text");
  string(&json, text);
  number(&json, "type", type);
  end(log, &json);
  return log->last_id;
}

static void stop(JsonLog *log, uint64_t id) {
  JsonWrite json;
  begin(log, &json, "stop");
  number(&json, "id", id);
  end(log, &json);
}

static void result(JsonLog *log, uint64_t id, unsigned type, const Field *fields, size_t field_count) {
  JsonWrite json;
  begin(log, &json, "result");
  put_fields(&json, fields, field_count);
  number(&json, "id", id);
  number(&json, "type", type);
  end(log, &json);
}

void json_log_message(JsonLog *log, LogLevel level, Span text) {
  JsonWrite json;
  begin(log, &json, "msg");
  number(&json, "level", level);
  key(&json, "msg");
  string(&json, text);
  end(log, &json);
}

void json_log_error(JsonLog *log, Span text) {
  static const char *const places[] = {"column", "file"};
  Span raw = text;
  JsonWrite json;
  if (span_has_prefix(raw, SPAN("error:"))) raw = span_trim(span_from(raw, sizeof "error:" - 1));
  begin(log, &json, "msg");
  for (size_t i = 0; i < ARRAY_LEN(places); i++) {
    key(&json, places[i]);
    json_write_null(&json);
  }
  number(&json, "level", LOG_ERROR);
  key(&json, "line");
  json_write_null(&json);
  key(&json, "msg");
  string(&json, text);
  key(&json, "raw_msg");
  string(&json, raw);
  end(log, &json);
}

// --- the frame

static void put_progress(JsonLog *log, uint64_t id, unsigned type, size_t done, size_t expected, size_t running,
                         size_t failed) {
  Field fields[] = {number_field(done), number_field(expected), number_field(running), number_field(failed)};
  result(log, id, type, fields, ARRAY_LEN(fields));
}

static void put_all_progress(JsonLog *log) {
  const SchedulerCounts *counts = &log->counts;
  Field download[] = {number_field(ACTIVITY_FILE_TRANSFER), number_field(log->expected_download_bytes)};
  Field nar[] = {number_field(ACTIVITY_COPY_PATH), number_field(log->expected_nar_bytes)};
  put_progress(log, log->builds, RESULT_PROGRESS, counts->builds_done, counts->builds_expected - counts->builds_failed,
               counts->builds_running, counts->builds_failed);
  put_progress(log, log->copies, RESULT_PROGRESS, log->fetches_done, log->fetches_expected, log->fetches_running,
               log->fetches_failed);
  result(log, log->realise, RESULT_SET_EXPECTED, download, ARRAY_LEN(download));
  result(log, log->realise, RESULT_SET_EXPECTED, nar, ARRAY_LEN(nar));
}

static void start_frame(JsonLog *log) {
  if (log->realise) return;
  log->realise = start(log, ACTIVITY_REALISE, LOG_ERROR, 0, SPAN(""), NULL, 0);
  log->builds = start(log, ACTIVITY_BUILDS, LOG_ERROR, 0, SPAN(""), NULL, 0);
  log->copies = start(log, ACTIVITY_COPY_PATHS, LOG_ERROR, 0, SPAN(""), NULL, 0);
}

static void free_values(Map *map) {
  for (MapEntry *e = map_first(map); e; e = map_next(map, e)) mem_free(e->value);
  map_done(map);
}

void json_log_done(JsonLog *log) {
  if (log->realise) {
    stop(log, log->copies);
    stop(log, log->builds);
    stop(log, log->realise);
  }
  free_values(&log->build_ids);
  free_values(&log->fetch_ids);
}

void json_log_begin(JsonLog *log) {
  start_frame(log);
}

void json_log_query(JsonLog *log) {
  stop(log, start(log, ACTIVITY_UNKNOWN, LOG_DEBUG, 0, SPAN("querying info about missing paths"), NULL, 0));
}

// --- copies

static void put_copies_progress(JsonLog *log) {
  put_progress(log, log->copying.all, RESULT_PROGRESS, log->copying.done, log->copying.count, log->copying.running, 0);
}

void json_log_copies_start(JsonLog *log, size_t count) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&text, "copying %zu paths", count);
  log->copying.all = start(log, ACTIVITY_COPY_PATHS, LOG_INFO, 0, buf_span(&text), NULL, 0);
  log->copying.count = count;
  log->copying.running = log->copying.done = log->copying.bytes = 0;
}

uint64_t json_log_copy_start(JsonLog *log, Span text, Span path, Span from, Span to, uint64_t nar_bytes) {
  Field fields[] = {text_field(path), text_field(from), text_field(to)};
  log->copying.bytes += nar_bytes;
  Field expected[] = {number_field(ACTIVITY_COPY_PATH), number_field(log->copying.bytes)};
  result(log, log->copying.all, RESULT_SET_EXPECTED, expected, ARRAY_LEN(expected));
  uint64_t id = start(log, ACTIVITY_COPY_PATH, LOG_INFO, 0, text, fields, ARRAY_LEN(fields));
  log->copying.running++;
  put_copies_progress(log);
  return id;
}

void json_log_copy_stop(JsonLog *log, uint64_t id, uint64_t nar_bytes) {
  put_progress(log, id, RESULT_PROGRESS, nar_bytes, nar_bytes, 0, 0);
  stop(log, id);
  log->copying.running--;
  log->copying.done++;
  put_copies_progress(log);
}

void json_log_copies_stop(JsonLog *log) {
  stop(log, log->copying.all);
  log->copying.all = 0;
}

// --- events

static Span id_key(const uint64_t *id) {
  return span_make((const char *)id, sizeof *id);
}

static void build_start(JsonLog *log, const SchedulerEvent *event, Span drv_path) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Field fields[] = {text_field(drv_path), text_field(SPAN("")), number_field(1), number_field(1)};
  uint64_t *id = mem_alloc(sizeof *id);
  buf_printf(&text, "%s '%.*s'", event->is_check ? "checking outputs of" : "building", SPAN_ARG(drv_path));
  *id = start(log, ACTIVITY_BUILD, LOG_INFO, 0, buf_span(&text), fields, ARRAY_LEN(fields));
  map_set(&log->build_ids, id_key(&event->build_id), id);
}

static void build_result(JsonLog *log, const SchedulerEvent *event, unsigned type) {
  const uint64_t *id = map_get(&log->build_ids, id_key(&event->build_id));
  Field field = text_field(event->text);
  if (id) result(log, *id, type, &field, 1);
}

static void build_stop(JsonLog *log, const SchedulerEvent *event) {
  uint64_t *id = map_remove(&log->build_ids, id_key(&event->build_id));
  if (id) stop(log, *id);
  mem_free(id);
}

void json_log_event(JsonLog *log, const SchedulerEvent *event, Span drv_path) {
  start_frame(log);
  switch (event->kind) {
  case SCHEDULER_EVENT_BUILD_START: build_start(log, event, drv_path); break;
  case SCHEDULER_EVENT_BUILD_LINE: build_result(log, event, RESULT_BUILD_LOG_LINE); break;
  case SCHEDULER_EVENT_BUILD_PHASE: build_result(log, event, RESULT_SET_PHASE); break;
  case SCHEDULER_EVENT_BUILD_STOP: build_stop(log, event); break;
  case SCHEDULER_EVENT_COUNTS:
    log->counts = *event->counts;
    put_all_progress(log);
    break;
  case SCHEDULER_EVENT_LOCK_WAIT:
  case SCHEDULER_EVENT_WARNING: break;
  }
}

static void fetch_start(JsonLog *log, const SubstitutersEvent *event, Span path) {
  Buf text CLEANUP(buf_done) = BUF_INIT;
  Span url = span_cstr(event->url);
  Field fields[] = {text_field(path), text_field(url), text_field(SPAN("local"))};
  FetchIds *ids = mem_alloc(sizeof *ids);
  buf_printf(&text, "copying path '%.*s' from '%s'", SPAN_ARG(path), event->url);
  log->fetches_expected++;
  log->fetches_running++;
  log->expected_download_bytes += event->download_bytes;
  log->expected_nar_bytes += event->nar_bytes;
  ids->substitute = start(log, ACTIVITY_SUBSTITUTE, LOG_ERROR, 0, SPAN(""), fields, 2);
  ids->copy = start(log, ACTIVITY_COPY_PATH, LOG_INFO, ids->substitute, buf_span(&text), fields, 3);
  map_set(&log->fetch_ids, id_key(&event->id), ids);
}

static void fetch_stop(JsonLog *log, const SubstitutersEvent *event) {
  FetchIds *ids = map_remove(&log->fetch_ids, id_key(&event->id));
  log->fetches_running--;
  if (event->failed) log->fetches_failed++;
  else log->fetches_done++;
  if (!ids) return;
  if (!event->failed) put_progress(log, ids->copy, RESULT_PROGRESS, event->nar_bytes, event->nar_bytes, 0, 0);
  stop(log, ids->copy);
  stop(log, ids->substitute);
  mem_free(ids);
}

void json_log_substitution(JsonLog *log, const SubstitutersEvent *event, Span path) {
  start_frame(log);
  if (event->kind == SUBSTITUTERS_EVENT_START) fetch_start(log, event, path);
  else fetch_stop(log, event);
  put_all_progress(log);
}
