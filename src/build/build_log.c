// build_log.c: see build_log.h.
//
// Most logs are short: they are kept in memory and compressed in one go when the build ends, which
// costs a tenth of what starting a compressor costs that must be ready for gigabytes. Only a log
// that outgrows LOG_MEMORY_BYTES is streamed to a temporary file.
#include "build/build_log.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/log.h"
#include "formats/json_read.h"

enum { LOG_MEMORY_BYTES = 256 << 10, ZSTD_LEVEL = 3 };

struct BuildLog {
  BuildLogConfig config;
  char *path; // owned; NULL: not stored
  Buf line;
  size_t line_pos; // where the next character goes: '\r' sets it to 0
  Buf *tail;       // ring of tail_lines
  size_t tail_count, tail_next;
  Span *tail_spans;
  uint64_t size_bytes;
  Buf raw;              // not compressed yet
  ZSTD_CStream *stream; // once the log is long
  char *stream_path;    // its temporary file
  int stream_fd;
  Err stream_err; // the first failure; reported by close
};

BuildLog *build_log_new(const BuildLogConfig *config) {
  BuildLog *log = mem_alloc_zero(sizeof *log);
  log->config = *config;
  log->path = config->path ? span_dup(span_cstr(config->path)) : NULL;
  log->stream_fd = -1;
  if (config->tail_lines) {
    log->tail = mem_alloc_zero(config->tail_lines * sizeof *log->tail);
    log->tail_spans = mem_alloc_array(config->tail_lines, sizeof *log->tail_spans);
  }
  return log;
}

void build_log_free(BuildLog *log) {
  if (!log) return;
  if (log->stream_path) unlink(log->stream_path);
  fs_close_fd(&log->stream_fd);
  ZSTD_freeCStream(log->stream);
  for (size_t i = 0; i < log->config.tail_lines; i++) buf_done(&log->tail[i]);
  mem_free(log->tail);
  mem_free(log->tail_spans);
  mem_free(log->path);
  mem_free(log->stream_path);
  buf_done(&log->line);
  buf_done(&log->raw);
  err_done(&log->stream_err);
  mem_free(log);
}

// --- lines

static void show_line(BuildLog *log, Span line) {
  if (log->config.tail_lines) {
    Buf *slot = &log->tail[log->tail_next];
    buf_clear(slot);
    buf_put_span(slot, line);
    log->tail_next = (log->tail_next + 1) % log->config.tail_lines;
    if (log->tail_count < log->config.tail_lines) log->tail_count++;
  }
  if (log->config.line) log->config.line(log->config.ctx, line);
}

// The members of a message that mean something to us.
typedef struct LogMessage {
  Buf action, phase, msg;
} LogMessage;

static bool read_message(Span text, LogMessage *ret) {
  JsonRead json;
  json_read_init(&json, text);
  bool ok = json_read_next(&json, NULL) == JSON_OBJECT_BEGIN;
  while (ok) {
    JsonEvent event = json_read_next(&json, NULL);
    if (event == JSON_OBJECT_END) {
      ok = json_read_next(&json, NULL) == JSON_END;
      break;
    }
    ok = event == JSON_KEY;
    if (!ok) break;
    Buf *into = span_eq(json.string, SPAN("action"))  ? &ret->action
                : span_eq(json.string, SPAN("phase")) ? &ret->phase
                : span_eq(json.string, SPAN("msg"))   ? &ret->msg
                                                      : NULL;
    event = json_read_next(&json, NULL);
    ok = event != JSON_ERROR;
    if (ok && into && event == JSON_STRING) buf_put_span(into, json.string);
    else ok = ok && json_read_skip(&json, event, NULL);
  }
  json_read_done(&json);
  return ok;
}

// False when the line is no message, or not one that can be read: then it is shown like any other.
static bool handle_message(BuildLog *log, Span line) {
  if (!span_has_prefix(line, SPAN("@nix "))) return false;
  LogMessage message = {0};
  bool ok = read_message(span_from(line, 5), &message);
  if (ok && span_eq(buf_span(&message.action), SPAN("setPhase"))) {
    if (log->config.phase) log->config.phase(log->config.ctx, buf_span(&message.phase));
  } else if (ok && span_eq(buf_span(&message.action), SPAN("msg"))) {
    if (log->config.line) log->config.line(log->config.ctx, buf_span(&message.msg));
  }
  if (!ok) log_warn("Unable to handle a JSON message from the derivation builder: %.*s", SPAN_ARG(line));
  buf_done(&message.action);
  buf_done(&message.phase);
  buf_done(&message.msg);
  return ok;
}

static void end_line(BuildLog *log) {
  // What stands behind the position of a '\r' stays visible, as on a terminal.
  Span line = buf_span(&log->line);
  if (!handle_message(log, line)) show_line(log, line);
  buf_clear(&log->line);
  log->line_pos = 0;
}

static void put_text(BuildLog *log, Span text) {
  if (log->line_pos >= BUILD_LOG_LINE_BYTES_MAX) return;
  text = span_sub(text, 0, BUILD_LOG_LINE_BYTES_MAX - log->line_pos);
  size_t over = log->line.len - log->line_pos < text.len ? log->line.len - log->line_pos : text.len;
  if (over) memcpy(log->line.data + log->line_pos, text.data, over);
  buf_put_span(&log->line, span_from(text, over));
  log->line_pos += text.len;
}

static void cut_lines(BuildLog *log, Span data) {
  while (data.len) {
    size_t run = 0;
    while (run < data.len && data.data[run] != '\n' && data.data[run] != '\r') run++;
    put_text(log, span_sub(data, 0, run));
    if (run == data.len) return;
    if (data.data[run] == '\n') end_line(log);
    else log->line_pos = 0;
    data = span_from(data, run + 1);
  }
}

// --- storing

static bool open_stream(BuildLog *log, Err *err) {
  Span dir = fs_path_dir(span_cstr(log->path));
  Buf path = BUF_INIT;
  buf_put_span(&path, dir);
  bool ok = fs_mkdir_all(buf_cstr(&path), 0755, err);
  buf_clear(&path);
  buf_printf(&path, "%s.tmp-%d", log->path, (int)getpid());
  log->stream_path = buf_take(&path);
  return ok && fs_open(log->stream_path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &log->stream_fd, err);
}

static bool write_compressed(BuildLog *log, ZSTD_EndDirective end, Err *err) {
  char chunk[16 << 10];
  ZSTD_inBuffer in = {log->raw.data, log->raw.len, 0};
  for (;;) {
    ZSTD_outBuffer out = {chunk, sizeof chunk, 0};
    size_t left = ZSTD_compressStream2(log->stream, &out, &in, end);
    if (ZSTD_isError(left)) return err_set(err, ERR_OTHER, "compressing: %s", ZSTD_getErrorName(left));
    if (!fs_write_all(log->stream_fd, span_make(chunk, out.pos), err)) return false;
    if (end == ZSTD_e_end ? left == 0 : in.pos == in.size) break;
  }
  buf_clear(&log->raw);
  return true;
}

// Begins or continues the stream. A failure is remembered and ends storing; the build goes on.
static void spill(BuildLog *log) {
  if (err_is_set(&log->stream_err)) {
    buf_clear(&log->raw);
    return;
  }
  if (!log->stream) {
    log->stream = ZSTD_createCStream();
    ZSTD_CCtx_setParameter(log->stream, ZSTD_c_compressionLevel, ZSTD_LEVEL);
    if (!open_stream(log, &log->stream_err)) return;
  }
  if (!write_compressed(log, ZSTD_e_continue, &log->stream_err)) buf_clear(&log->raw);
}

bool build_log_feed(BuildLog *log, Span data) {
  log->size_bytes += data.len;
  if (log->path) {
    buf_put_span(&log->raw, data);
    if (log->raw.len > LOG_MEMORY_BYTES) spill(log);
  }
  cut_lines(log, data);
  return !log->config.max_bytes || log->size_bytes <= log->config.max_bytes;
}

static bool store_short(BuildLog *log, Err *err) {
  Buf packed = BUF_INIT, dir = BUF_INIT;
  buf_reserve(&packed, ZSTD_compressBound(log->raw.len));
  size_t len = ZSTD_compress(packed.data, packed.cap, log->raw.data ? log->raw.data : "", log->raw.len, ZSTD_LEVEL);
  bool ok = !ZSTD_isError(len) || err_set(err, ERR_OTHER, "compressing: %s", ZSTD_getErrorName(len));
  if (ok) packed.len = len;
  buf_put_span(&dir, fs_path_dir(span_cstr(log->path)));
  ok = ok && fs_mkdir_all(buf_cstr(&dir), 0755, err) &&
       fs_write_file_atomic(log->path, buf_span(&packed), 0644, false, err);
  buf_done(&packed);
  buf_done(&dir);
  return ok;
}

static bool store_long(BuildLog *log, Err *err) {
  if (!write_compressed(log, ZSTD_e_end, err)) return false;
  if (rename(log->stream_path, log->path) != 0) return err_set_errno(err, errno, "renaming '%s'", log->stream_path);
  mem_free(STEAL(log->stream_path));
  return true;
}

bool build_log_close(BuildLog *log, Err *err) {
  if (log->line.len) end_line(log);
  if (!log->path) return true;
  bool ok = err_is_set(&log->stream_err) ? err_move(err, &log->stream_err)
            : log->stream                ? store_long(log, err)
                                         : store_short(log, err);
  return ok || err_wrap(err, "storing the build log '%s'", log->path);
}

uint64_t build_log_size_bytes(const BuildLog *log) {
  return log->size_bytes;
}

Span *build_log_tail(BuildLog *log, size_t *ret_count) {
  *ret_count = log->tail_count;
  size_t start = log->tail_count < log->config.tail_lines ? 0 : log->tail_next;
  for (size_t i = 0; i < log->tail_count; i++)
    log->tail_spans[i] = buf_span(&log->tail[(start + i) % log->config.tail_lines]);
  return log->tail_spans;
}

void build_log_put_path(Span log_dir, Span drv_base, Buf *ret) {
  buf_put_span(ret, log_dir);
  buf_printf(ret, "/drvs/%.*s/%.*s.zst", SPAN_ARG(span_sub(drv_base, 0, 2)), SPAN_ARG(span_from(drv_base, 2)));
}

bool build_log_read(const char *path, Buf *ret, Err *err) {
  Buf packed = BUF_INIT;
  ZSTD_DStream *stream = ZSTD_createDStream();
  bool ok = fs_read_file(path, 0, &packed, err);
  ZSTD_inBuffer in = {packed.data, packed.len, 0};
  size_t left = 1;
  while (ok && (in.pos < in.size || left != 0)) {
    buf_reserve(ret, ZSTD_DStreamOutSize());
    ZSTD_outBuffer out = {ret->data + ret->len, ret->cap - ret->len - 1, 0};
    size_t in_pos = in.pos;
    left = ZSTD_decompressStream(stream, &out, &in);
    if (ZSTD_isError(left)) ok = err_set(err, ERR_CORRUPT, "build log '%s': %s", path, ZSTD_getErrorName(left));
    else if (left && in.pos == in_pos && !out.pos) ok = err_set(err, ERR_CORRUPT, "build log '%s' is cut off", path);
    ret->len += out.pos;
  }
  ZSTD_freeDStream(stream);
  buf_done(&packed);
  return ok;
}
