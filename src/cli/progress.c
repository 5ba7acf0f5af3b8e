// progress.c: see progress.h.
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"

enum { DRAW_INTERVAL_NS = 100 * 1000 * 1000 };

void progress_init(Progress *progress) {
  *progress = (Progress){.level = LOG_NOTICE};
  json_log_init(&progress->json, &progress->json_text);
  pthread_mutex_init(&progress->lock, NULL);
}

static void free_names(Map *map) {
  for (MapEntry *e = map_first(map); e; e = map_next(map, e)) mem_free(e->value);
  map_done(map);
}

bool progress_parse_format(const char *text, ProgressFormat *ret) {
  static const char *const names[] = {"raw", "raw-with-logs", "bar", "bar-with-logs", "internal-json"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    if (strcmp(text, names[i]) == 0) return *ret = (ProgressFormat)i, true;
  return false;
}

static bool has_bar(const Progress *progress) {
  return progress->format == PROGRESS_BAR || progress->format == PROGRESS_BAR_WITH_LOGS;
}

static void put(Span text) {
  Err ignored = ERR_INIT; // nothing can be said about it
  if (!fs_write_all(STDERR_FILENO, text, &ignored)) err_done(&ignored);
}

// ---- the status line (all with the lock held)

static void erase(Progress *progress) {
  if (!progress->line_shown) return;
  put(SPAN("\r\033[K"));
  progress->line_shown = false;
}

static size_t terminal_columns(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void compose(const Progress *progress, Buf *line) {
  const SchedulerCounts *counts = &progress->counts;
  if (counts->builds_expected || counts->builds_done || counts->builds_running) {
    buf_printf(line, "[%zu/%zu built", counts->builds_done, counts->builds_expected);
    if (counts->builds_running) buf_printf(line, ", %zu running", counts->builds_running);
    if (counts->builds_failed) buf_printf(line, ", %zu failed", counts->builds_failed);
    buf_put_char(line, ']');
  }
  if (progress->fetches_running || progress->fetches_done)
    buf_printf(line, "%s[%zu fetched, %zu running]", line->len ? " " : "", progress->fetches_done,
               progress->fetches_running);
  bool first = true;
  for (MapEntry *e = map_first(&progress->running); e; e = map_next(&progress->running, e)) {
    buf_put_cstr(line, first ? (line->len ? " building " : "building ") : ", ");
    buf_put_cstr(line, e->value);
    first = false;
  }
  if (first && progress->evaluating) {
    if (line->len) buf_put_char(line, ' ');
    buf_put_cstr(line, progress->evaluating);
  }
}

static void draw(Progress *progress, bool now) {
  if (!has_bar(progress)) return;
  uint64_t time = loop_now_ns();
  if (!now && time - progress->last_draw_ns < DRAW_INTERVAL_NS) return;
  progress->last_draw_ns = time;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  compose(progress, &line);
  erase(progress);
  if (!line.len) return;
  size_t columns = terminal_columns();
  if (line.len >= columns) line.len = columns - 1;
  put(buf_span(&line));
  progress->line_shown = true;
}

static void put_line(Progress *progress, Span text) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&line, text);
  buf_put_char(&line, '\n');
  erase(progress);
  put(buf_span(&line));
  draw(progress, true);
}

// ---- JSON lines

static void put_json(Progress *progress) {
  put(buf_span(&progress->json_text));
  buf_clear(&progress->json_text);
}

// ---- messages

static void sink(void *ctx, LogLevel level, Span message) {
  Progress *progress = ctx;
  pthread_mutex_lock(&progress->lock);
  Buf line CLEANUP(buf_done) = BUF_INIT;
  if (progress->tee) progress->tee(progress->tee_ctx, level, message);
  if (level == LOG_WARN) buf_put_cstr(&line, progress->colour ? "\033[35;1mwarning:\033[0m " : "warning: ");
  if (level == LOG_ERROR) buf_put_cstr(&line, progress->colour ? "\033[31;1merror:\033[0m " : "error: ");
  buf_put_span(&line, message);
  if (progress->format == PROGRESS_JSON) {
    if (level == LOG_ERROR) json_log_error(&progress->json, buf_span(&line));
    else json_log_message(&progress->json, level, buf_span(&line));
    put_json(progress);
  } else {
    put_line(progress, buf_span(&line));
  }
  pthread_mutex_unlock(&progress->lock);
}

void progress_start(Progress *progress, ProgressFormat format, LogLevel level) {
  const char *term = getenv("TERM");
  bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
  progress->format = format;
  if (!terminal && format == PROGRESS_BAR) progress->format = PROGRESS_RAW;
  if (!terminal && format == PROGRESS_BAR_WITH_LOGS) progress->format = PROGRESS_RAW_WITH_LOGS;
  progress->colour = terminal && !getenv("NO_COLOR") && !getenv("NOCOLOR");
  progress->level = level;
  log_set_level(level);
  log_set_sink(sink, progress);
}

void progress_tee(Progress *progress, LogSink tee, void *ctx) {
  pthread_mutex_lock(&progress->lock);
  progress->tee = tee;
  progress->tee_ctx = ctx;
  pthread_mutex_unlock(&progress->lock);
}

void progress_done(Progress *progress) {
  log_set_sink(NULL, NULL);
  erase(progress);
  free_names(&progress->running);
  mem_free(progress->evaluating);
  json_log_done(&progress->json);
  put_json(progress);
  buf_done(&progress->json_text);
  pthread_mutex_destroy(&progress->lock);
}

void progress_write(Progress *progress, Span text) {
  pthread_mutex_lock(&progress->lock);
  if (progress->format == PROGRESS_JSON) {
    json_log_error(&progress->json, span_has_suffix(text, SPAN("\n")) ? span_sub(text, 0, text.len - 1) : text);
    put_json(progress);
  } else {
    erase(progress);
    put(text);
  }
  pthread_mutex_unlock(&progress->lock);
}

void progress_pause(Progress *progress) {
  pthread_mutex_lock(&progress->lock);
  erase(progress);
  pthread_mutex_unlock(&progress->lock);
}

void progress_evaluating(Progress *progress, const char *what) {
  pthread_mutex_lock(&progress->lock);
  mem_free(progress->evaluating);
  progress->evaluating = what ? span_dup(span_cstr(what)) : NULL;
  pthread_mutex_unlock(&progress->lock);
}

// ---- events

static Span running_key(const uint64_t *id) {
  return span_make(id, sizeof(*id));
}

static void build_start(Progress *progress, const SchedulerEvent *event, Span path) {
  // "hello-2.10" of "/nix/store/<hash>-hello-2.10.drv"
  Span name = store_path_name(event->drv_path);
  map_set(&progress->running, running_key(&event->build_id), span_dup(span_sub(name, 0, name.len - 4)));
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "building '%.*s'...", SPAN_ARG(path));
  if (progress->level >= LOG_INFO && !has_bar(progress)) put_line(progress, buf_span(&line));
}

static void build_line(Progress *progress, const SchedulerEvent *event) {
  bool shown = progress->format == PROGRESS_RAW_WITH_LOGS || progress->format == PROGRESS_BAR_WITH_LOGS;
  if (!shown) return;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  const char *name = map_get(&progress->running, running_key(&event->build_id));
  if (progress->prefix_logs && name) buf_printf(&line, progress->colour ? "\033[35m%s>\033[0m " : "%s> ", name);
  buf_put_span(&line, event->text);
  put_line(progress, buf_span(&line));
}

static void build_stop(Progress *progress, const SchedulerEvent *event) {
  mem_free(map_remove(&progress->running, running_key(&event->build_id)));
}

static void lock_wait(Progress *progress, Span path) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "waiting for another process that builds '%.*s'", SPAN_ARG(path));
  if (progress->level >= LOG_INFO) put_line(progress, buf_span(&line));
}

static void show_event(Progress *progress, const SchedulerEvent *event, Span path) {
  switch (event->kind) {
  case SCHEDULER_EVENT_BUILD_START: build_start(progress, event, path); break;
  case SCHEDULER_EVENT_BUILD_LINE: build_line(progress, event); break;
  case SCHEDULER_EVENT_BUILD_STOP: build_stop(progress, event); break;
  case SCHEDULER_EVENT_LOCK_WAIT: lock_wait(progress, path); break;
  case SCHEDULER_EVENT_COUNTS: progress->counts = *event->counts; break;
  case SCHEDULER_EVENT_BUILD_PHASE:
  case SCHEDULER_EVENT_WARNING: break;
  }
  draw(progress, event->kind == SCHEDULER_EVENT_BUILD_START || event->kind == SCHEDULER_EVENT_BUILD_STOP);
}

void progress_event(void *ctx, const SchedulerEvent *event) {
  Progress *progress = ctx;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (event->kind == SCHEDULER_EVENT_WARNING) {
    sink(progress, LOG_WARN, event->text);
    return;
  }
  if (event->drv_path) store_path_format(event->drv_path, STORE_PATH_DIR, &path);
  pthread_mutex_lock(&progress->lock);
  if (progress->format == PROGRESS_JSON) {
    json_log_event(&progress->json, event, buf_span(&path));
    put_json(progress);
  } else {
    show_event(progress, event, buf_span(&path));
  }
  pthread_mutex_unlock(&progress->lock);
}

void progress_substitution(Progress *progress, const SubstitutersEvent *event) {
  Buf path CLEANUP(buf_done) = BUF_INIT, line CLEANUP(buf_done) = BUF_INIT;
  bool start = event->kind == SUBSTITUTERS_EVENT_START;
  store_path_format(event->path, STORE_PATH_DIR, &path);
  if (start) buf_printf(&line, "copying path '%s' from '%s'...", buf_cstr(&path), event->url);
  pthread_mutex_lock(&progress->lock);
  if (start) progress->fetches_running++;
  else progress->fetches_running--;
  if (!start && !event->failed) progress->fetches_done++;
  if (progress->format == PROGRESS_JSON) {
    json_log_substitution(&progress->json, event, buf_span(&path));
    put_json(progress);
  } else {
    if (start && progress->level >= LOG_INFO && !has_bar(progress)) put_line(progress, buf_span(&line));
    draw(progress, start);
  }
  pthread_mutex_unlock(&progress->lock);
}
