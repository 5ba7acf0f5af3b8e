// progress.c: see progress.h.
#include "cli/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/mem.h"
#include "cli/plain_text.h"
#include "eval/eval_error.h"
#include "realise/build_history.h"

enum { DRAW_INTERVAL_NS = 100 * 1000 * 1000 };

bool progress_is_terminal(void) {
  const char *term = getenv("TERM");
  return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

bool progress_may_colour(void) {
  return !getenv("NO_COLOR") && !getenv("NOCOLOR");
}

void progress_init(Progress *progress) {
  *progress = (Progress){.level = LOG_NOTICE, .store_dir = STORE_PATH_DIR, .json_fd = -1};
  json_log_init(&progress->json, &progress->json_text);
  pthread_mutex_init(&progress->lock, NULL);
  pthread_cond_init(&progress->tick, NULL);
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

// ---- the picture on a terminal (all with the lock held)

static struct winsize terminal_size(void) {
  struct winsize size = {.ws_row = 0};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    size = (struct winsize){.ws_row = 24, .ws_col = 80};
  return size;
}

// Moves to where the picture begins. A terminal that has become narrower has wrapped its lines.
static void put_back(const Progress *progress, Buf *out) {
  size_t columns = terminal_size().ws_col, rows = 0;
  if (!progress->drawn_lines) return;
  for (size_t i = 0; i < progress->drawn_lines; i++)
    rows += progress->drawn_widths[i] > columns ? (progress->drawn_widths[i] + columns - 1) / columns : 1;
  buf_put_char(out, '\r');
  if (rows > 1) buf_printf(out, "\033[%zuA", rows - 1);
}

// `text` is written where the picture was.
static void erase_and_put(Progress *progress, Span text) {
  Buf out CLEANUP(buf_done) = BUF_INIT;
  put_back(progress, &out);
  if (progress->drawn_lines) buf_put_cstr(&out, "\033[J");
  progress->drawn_lines = 0;
  buf_clear(&progress->drawn_text);
  if (progress->plain) plain_text_put(text, &out);
  else buf_put_span(&out, text);
  if (out.len) put(buf_span(&out));
}

static void erase(Progress *progress) {
  erase_and_put(progress, SPAN(""));
}

static void put_part(Buf *line, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put_part(Buf *line, const char *fmt, ...) {
  va_list args;
  if (line->len) buf_put_cstr(line, ", ");
  va_start(args, fmt);
  buf_vprintf(line, fmt, args);
  va_end(args);
}

// "2 running, 14 of 37 built, 1 failed, 3 fetched, 1 min 12 s"
static void put_sums(const Progress *progress, Buf *line) {
  const SchedulerCounts *counts = &progress->counts;
  bool busy = counts->builds_running || progress->fetches_running || counts->builds_expected > counts->builds_done;
  if (counts->builds_running) put_part(line, "%zu running", counts->builds_running);
  if (counts->builds_expected || counts->builds_done)
    put_part(line, "%zu of %zu built", counts->builds_done, counts->builds_expected);
  if (counts->builds_failed) put_part(line, "%zu failed", counts->builds_failed);
  if (progress->fetches_running) put_part(line, "%zu being fetched", progress->fetches_running);
  if (progress->fetches_done) put_part(line, "%zu fetched", progress->fetches_done);
  if (progress->evaluating) put_part(line, "%s", progress->evaluating);
  if (!busy || !progress->start_ns) return;
  put_part(line, "%s", "");
  progress_tree_format_duration((loop_now_ns() - progress->start_ns) / 1000000, line);
}

static void compose(const Progress *progress, struct winsize size, Buf *ret) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  ProgressTreeView view = {.columns = size.ws_col,
                           .rows = size.ws_row,
                           .colour = progress->colour,
                           .utf8 = progress->utf8,
                           .now_ns = loop_now_ns()};
  if (progress->tree && progress_tree_running(progress->tree)) progress_tree_format(progress->tree, &view, ret);
  put_sums(progress, &line);
  buf_put_span(ret, progress_tree_cut(buf_span(&line), size.ws_col > 1 ? size.ws_col - 1u : 1));
}

// Remembers how wide the lines are.
static void note_lines(Progress *progress, Span picture) {
  Span line;
  progress->drawn_lines = 0;
  for (bool more = true; more;) {
    more = span_split(&picture, '\n', &line);
    MEM_RESERVE(progress->drawn_widths, progress->drawn_cap, progress->drawn_lines + 1);
    progress->drawn_widths[progress->drawn_lines++] = progress_tree_width(line);
  }
}

// In one write, each line over its predecessor, so that nothing flickers.
static void draw(Progress *progress, bool now) {
  if (!has_bar(progress)) return;
  uint64_t time = loop_now_ns();
  if (!now && time - progress->last_draw_ns < DRAW_INTERVAL_NS) return;
  progress->last_draw_ns = time;
  Buf picture CLEANUP(buf_done) = BUF_INIT, out CLEANUP(buf_done) = BUF_INIT;
  compose(progress, terminal_size(), &picture);
  if (!picture.len) {
    erase(progress);
    return;
  }
  if (progress->drawn_lines && span_eq(buf_span(&picture), buf_span(&progress->drawn_text))) return;
  put_back(progress, &out);
  Span rest = buf_span(&picture), line;
  for (bool more = true; more;) {
    more = span_split(&rest, '\n', &line);
    buf_put_span(&out, line);
    buf_put_cstr(&out, more ? "\033[K\n" : "\033[K");
  }
  buf_put_cstr(&out, "\033[J");
  put(buf_span(&out));
  note_lines(progress, buf_span(&picture));
  buf_clear(&progress->drawn_text);
  buf_put_span(&progress->drawn_text, buf_span(&picture));
}

// Seconds go by also when nothing happens.
static void *tick(void *ctx) {
  Progress *progress = ctx;
  pthread_mutex_lock(&progress->lock);
  while (!progress->stops_ticker) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += DRAW_INTERVAL_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    bool idle = !progress->counts.builds_running && !progress->fetches_running;
    if (idle) pthread_cond_wait(&progress->tick, &progress->lock);
    else pthread_cond_timedwait(&progress->tick, &progress->lock, &until);
    if (!progress->stops_ticker && progress->drawn_lines) draw(progress, false);
  }
  pthread_mutex_unlock(&progress->lock);
  return NULL;
}

static void start_ticker(Progress *progress) {
  if (!progress->tree) return;
  if (!progress->start_ns) progress->start_ns = loop_now_ns();
  if (!progress->has_ticker) progress->has_ticker = pthread_create(&progress->ticker, NULL, tick, progress) == 0;
  else pthread_cond_signal(&progress->tick);
}

static void stop_ticker(Progress *progress) {
  if (!progress->has_ticker) return;
  pthread_mutex_lock(&progress->lock);
  progress->stops_ticker = true;
  pthread_cond_signal(&progress->tick);
  pthread_mutex_unlock(&progress->lock);
  pthread_join(progress->ticker, NULL);
  progress->has_ticker = false;
}

static void put_line(Progress *progress, Span text) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_put_span(&line, text);
  buf_put_char(&line, '\n');
  erase_and_put(progress, buf_span(&line));
  draw(progress, true);
}

bool progress_wants_plan(const Progress *progress) {
  return progress->tree != NULL;
}

void progress_plan(Progress *progress, Span drv_path, Span name, const Span *input_paths, size_t input_count) {
  pthread_mutex_lock(&progress->lock);
  if (progress->tree) progress_tree_add(progress->tree, drv_path, name, input_paths, input_count);
  pthread_mutex_unlock(&progress->lock);
}

static void release_all(Progress *progress);

// ---- JSON lines

static bool writes_json(const Progress *progress) {
  return progress->format == PROGRESS_JSON || progress->json_fd >= 0;
}

// The lines go to standard error or, without their "@nix ", to the file, or to both.
static void put_json(Progress *progress) {
  Span rest = buf_span(&progress->json_text), line;
  if (progress->format == PROGRESS_JSON) put(rest);
  while (progress->json_fd >= 0 && span_split(&rest, '\n', &line)) {
    Err failed = ERR_INIT;
    line = span_make(line.data + JSON_LOG_PREFIX_LEN, line.len + 1 - JSON_LOG_PREFIX_LEN); // with its end
    if (fs_write_all(progress->json_fd, line, &failed)) continue;
    err_done(&failed); // full, or nobody listens any more: builds go on
    close(progress->json_fd);
    progress->json_fd = -1;
  }
  buf_clear(&progress->json_text);
}

// ---- messages

static void sink(void *ctx, LogLevel level, Span message) {
  Progress *progress = ctx;
  pthread_mutex_lock(&progress->lock);
  Buf line CLEANUP(buf_done) = BUF_INIT, indented CLEANUP(buf_done) = BUF_INIT;
  if (progress->tee) progress->tee(progress->tee_ctx, level, message);
  if (level == LOG_WARN) buf_put_cstr(&line, progress->colour ? "\033[35;1mwarning:\033[0m " : "warning: ");
  if (level == LOG_ERROR) buf_put_cstr(&line, progress->colour ? "\033[31;1merror:\033[0m " : "error: ");
  if (level == LOG_ERROR) {
    eval_error_indent(SPAN("error: "), message, &indented);
    message = span_from(buf_span(&indented), sizeof "error: " - 1);
  }
  buf_put_span(&line, message);
  if (writes_json(progress)) {
    if (level == LOG_ERROR) json_log_error(&progress->json, buf_span(&line));
    else json_log_message(&progress->json, level, buf_span(&line));
    put_json(progress);
  }
  if (progress->format != PROGRESS_JSON) put_line(progress, buf_span(&line));
  pthread_mutex_unlock(&progress->lock);
}

static bool is_utf8(void) {
  static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++) {
    const char *value = getenv(names[i]);
    if (value && *value) return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
  }
  return false;
}

void progress_start(Progress *progress, ProgressFormat format, LogLevel level) {
  bool terminal = progress_is_terminal();
  progress->format = format;
  if (!terminal && format == PROGRESS_BAR) progress->format = PROGRESS_RAW;
  if (!terminal && format == PROGRESS_BAR_WITH_LOGS) progress->format = PROGRESS_RAW_WITH_LOGS;
  progress->plain = !isatty(STDERR_FILENO);
  progress->colour = terminal && progress_may_colour();
  progress->utf8 = is_utf8();
  progress->blocks = progress->blocks && progress->format == PROGRESS_RAW_WITH_LOGS;
  if (has_bar(progress)) progress->tree = progress_tree_new();
  progress->level = level;
  log_set_level(level);
  log_set_sink(sink, progress);
}

static int open_json_log(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode)) return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int why = errno;
  close(fd);
  errno = why;
  return -1;
}

bool progress_log_json(Progress *progress, const char *path, Err *err) {
  int fd = open_json_log(path);
  if (fd < 0) return err_set(err, ERR_IO, "opening log file '%s': %s", path, strerror(errno));
  pthread_mutex_lock(&progress->lock);
  progress->json_fd = fd;
  pthread_mutex_unlock(&progress->lock);
  return true;
}

void progress_tee(Progress *progress, LogSink tee, void *ctx) {
  pthread_mutex_lock(&progress->lock);
  progress->tee = tee;
  progress->tee_ctx = ctx;
  pthread_mutex_unlock(&progress->lock);
}

void progress_done(Progress *progress) {
  stop_ticker(progress);
  log_set_sink(NULL, NULL);
  erase(progress);
  progress_tree_free(progress->tree);
  free_names(&progress->running);
  release_all(progress);
  mem_free(progress->drawn_widths);
  buf_done(&progress->drawn_text);
  pthread_cond_destroy(&progress->tick);
  mem_free(progress->evaluating);
  json_log_done(&progress->json);
  put_json(progress);
  if (progress->json_fd >= 0) close(progress->json_fd);
  buf_done(&progress->json_text);
  pthread_mutex_destroy(&progress->lock);
}

static Span without_newline(Span text) {
  return span_has_suffix(text, SPAN("\n")) ? span_sub(text, 0, text.len - 1) : text;
}

void progress_say(Progress *progress, LogLevel level, Span text) {
  pthread_mutex_lock(&progress->lock);
  if (writes_json(progress)) {
    json_log_message(&progress->json, level, without_newline(text));
    put_json(progress);
  }
  if (progress->format != PROGRESS_JSON) erase_and_put(progress, text);
  pthread_mutex_unlock(&progress->lock);
}

void progress_query(Progress *progress, bool begins) {
  pthread_mutex_lock(&progress->lock);
  if (writes_json(progress)) {
    if (begins) json_log_begin(&progress->json);
    json_log_query(&progress->json);
    put_json(progress);
  }
  pthread_mutex_unlock(&progress->lock);
}

void progress_write(Progress *progress, Span text) {
  pthread_mutex_lock(&progress->lock);
  if (writes_json(progress)) {
    json_log_error(&progress->json, without_newline(text));
    put_json(progress);
  }
  if (progress->format != PROGRESS_JSON) erase_and_put(progress, text);
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
  name.len -= 4;
  map_set(&progress->running, running_key(&event->build_id), span_dup(name));
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "%s '%.*s'...", event->is_check ? "checking outputs of" : "building", SPAN_ARG(path));
  if (progress->level >= LOG_INFO && !has_bar(progress)) put_line(progress, buf_span(&line));
  if (!progress->tree) return;
  uint64_t mean_ms = progress->history_dir ? build_history_mean_ms(progress->history_dir, name) : 0;
  progress_tree_start(progress->tree, path, name, event->time_ns, mean_ms);
  start_ticker(progress);
}

// ---- blocks

static void hold(Progress *progress, const uint64_t *id, Span line) {
  Buf *held = map_get(&progress->held, running_key(id));
  if (!held) {
    held = mem_alloc_zero(sizeof *held);
    map_set(&progress->held, running_key(id), held);
  }
  buf_put_span(held, line);
  buf_put_char(held, '\n');
}

static void release(Progress *progress, const uint64_t *id) {
  Buf *held = map_remove(&progress->held, running_key(id));
  if (!held) return;
  erase_and_put(progress, buf_span(held));
  buf_done(held);
  mem_free(held);
}

// Everything that was held back; at the end.
static void release_all(Progress *progress) {
  for (MapEntry *e = map_first(&progress->held); e; e = map_next(&progress->held, e)) {
    uint64_t id;
    memcpy(&id, e->key, sizeof id);
    release(progress, &id);
  }
  map_done(&progress->held);
}

static bool is_running(const Progress *progress, const MapEntry *held) {
  return map_has(&progress->running, span_make(held->key, held->key_len));
}

// The live build has ended: what ended meanwhile is shown as a whole, and then the first that still runs goes live.
static void next_block(Progress *progress) {
  progress->live_build = 0;
  for (MapEntry *e = map_first(&progress->held); e; e = map_next(&progress->held, e)) {
    uint64_t id;
    bool runs = is_running(progress, e);
    if (runs && progress->live_build) continue;
    memcpy(&id, e->key, sizeof id);
    if (runs) progress->live_build = id;
  }
  for (MapEntry *e = map_first(&progress->held); e; e = map_next(&progress->held, e)) {
    uint64_t id;
    memcpy(&id, e->key, sizeof id);
    if (!is_running(progress, e)) release(progress, &id);
  }
  if (progress->live_build) release(progress, &progress->live_build);
}

static void build_line(Progress *progress, const SchedulerEvent *event) {
  bool shown = progress->format == PROGRESS_RAW_WITH_LOGS || progress->format == PROGRESS_BAR_WITH_LOGS;
  if (!shown) return;
  Buf line CLEANUP(buf_done) = BUF_INIT;
  const char *name = map_get(&progress->running, running_key(&event->build_id));
  if (progress->prefix_logs && name) buf_printf(&line, progress->colour ? "\033[35m%s>\033[0m " : "%s> ", name);
  buf_put_span(&line, event->text);
  if (progress->blocks && !progress->live_build) progress->live_build = event->build_id;
  if (progress->blocks && progress->live_build != event->build_id) hold(progress, &event->build_id, buf_span(&line));
  else put_line(progress, buf_span(&line));
}

// A peak without a control group is that of the largest process.
static void say_usage(Progress *progress, const BuildUsage *usage, Span path) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "the builder of '%.*s' used %.2f s of processor time (%.2f s of it in the kernel)", SPAN_ARG(path),
             (double)(usage->user_us + usage->system_us) / 1e6, (double)usage->system_us / 1e6);
  if (usage->peak_memory_bytes)
    buf_printf(&line, " and %s%.1f MiB of memory", usage->is_whole_group ? "" : "at least ",
               (double)usage->peak_memory_bytes / (1 << 20));
  put_line(progress, buf_span(&line));
}

static void build_stop(Progress *progress, const SchedulerEvent *event, Span path) {
  mem_free(map_remove(&progress->running, running_key(&event->build_id)));
  if (progress->tree) progress_tree_stop(progress->tree, path, event->text.len > 0);
  if (progress->blocks && progress->live_build == event->build_id) next_block(progress);
  if (event->usage && progress->level >= LOG_TALKATIVE) say_usage(progress, event->usage, path);
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
  case SCHEDULER_EVENT_BUILD_STOP: build_stop(progress, event, path); break;
  case SCHEDULER_EVENT_LOCK_WAIT: lock_wait(progress, path); break;
  case SCHEDULER_EVENT_COUNTS:
    progress->counts = *event->counts;
    // In a session that goes on, time begins anew with the next build.
    if (!progress->counts.builds_running && !progress->fetches_running &&
        progress->counts.builds_done + progress->counts.builds_failed >= progress->counts.builds_expected)
      progress->start_ns = 0;
    break;
  case SCHEDULER_EVENT_BUILD_PHASE:
    if (progress->tree) progress_tree_phase(progress->tree, path, event->text);
    break;
  case SCHEDULER_EVENT_WARNING: break;
  }
  draw(progress, false);
}

void progress_event(void *ctx, const SchedulerEvent *event) {
  Progress *progress = ctx;
  Buf path CLEANUP(buf_done) = BUF_INIT;
  if (event->kind == SCHEDULER_EVENT_WARNING) {
    sink(progress, LOG_WARN, event->text);
    return;
  }
  if (event->drv_path) store_path_format(event->drv_path, progress->store_dir, &path);
  pthread_mutex_lock(&progress->lock);
  if (writes_json(progress)) {
    json_log_event(&progress->json, event, buf_span(&path));
    put_json(progress);
  }
  if (progress->format != PROGRESS_JSON) show_event(progress, event, buf_span(&path));
  pthread_mutex_unlock(&progress->lock);
}

// ---- copies (each a line, where there are no activities)

static void copies_begin(Progress *progress, const char *line) {
  pthread_mutex_lock(&progress->lock);
  if (progress->format != PROGRESS_JSON && progress->level >= LOG_INFO) put_line(progress, span_cstr(line));
}

static void copies_end(Progress *progress) {
  put_json(progress);
  pthread_mutex_unlock(&progress->lock);
}

void progress_copies_start(Progress *progress, size_t count) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  buf_printf(&line, "copying %zu paths...", count);
  copies_begin(progress, buf_cstr(&line));
  if (writes_json(progress)) json_log_copies_start(&progress->json, count);
  copies_end(progress);
}

uint64_t progress_copy_start(Progress *progress, Span path, const char *from, const char *to, uint64_t nar_bytes) {
  Buf line CLEANUP(buf_done) = BUF_INIT;
  bool puts = strcmp(to, "local") != 0;
  buf_printf(&line, "copying path '%.*s' %s '%s'...", SPAN_ARG(path), puts ? "to" : "from", puts ? to : from);
  copies_begin(progress, buf_cstr(&line));
  Span text = span_sub(buf_span(&line), 0, line.len - 3); // without the dots
  uint64_t id = 0;
  if (writes_json(progress))
    id = json_log_copy_start(&progress->json, text, path, span_cstr(from), span_cstr(to), nar_bytes);
  copies_end(progress);
  return id;
}

void progress_copy_stop(Progress *progress, uint64_t id, uint64_t nar_bytes) {
  pthread_mutex_lock(&progress->lock);
  if (writes_json(progress)) json_log_copy_stop(&progress->json, id, nar_bytes);
  copies_end(progress);
}

void progress_copies_stop(Progress *progress) {
  pthread_mutex_lock(&progress->lock);
  if (writes_json(progress)) json_log_copies_stop(&progress->json);
  copies_end(progress);
}

void progress_substitution(Progress *progress, const SubstitutersEvent *event) {
  Buf path CLEANUP(buf_done) = BUF_INIT, line CLEANUP(buf_done) = BUF_INIT;
  bool start = event->kind == SUBSTITUTERS_EVENT_START;
  store_path_format(event->path, progress->store_dir, &path);
  if (start) buf_printf(&line, "copying path '%s' from '%s'...", buf_cstr(&path), event->url);
  pthread_mutex_lock(&progress->lock);
  if (start) progress->fetches_running++;
  else progress->fetches_running--;
  if (!start && !event->failed) progress->fetches_done++;
  if (writes_json(progress)) {
    json_log_substitution(&progress->json, event, buf_span(&path));
    put_json(progress);
  }
  if (progress->format != PROGRESS_JSON) {
    if (start && progress->level >= LOG_INFO && !has_bar(progress)) put_line(progress, buf_span(&line));
    if (start) start_ticker(progress);
    draw(progress, false);
  }
  pthread_mutex_unlock(&progress->lock);
}
