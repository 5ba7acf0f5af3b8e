// log.c: see log.h.
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"

// Sink and context are set once at start, before threads exist; the level may change at any time.
static LogSink current_sink;
static void *current_ctx;
static _Atomic LogLevel current_level = LOG_NOTICE;

void log_set_sink(LogSink sink, void *ctx) {
  current_sink = sink;
  current_ctx = ctx;
}

void log_set_level(LogLevel level) {
  atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

LogLevel log_level(void) {
  return atomic_load_explicit(&current_level, memory_order_relaxed);
}

// One write(2) per line, so that lines of several threads and processes do not mix.
static void write_stderr(LogLevel level, Span message) {
  Buf line = BUF_INIT;
  if (level == LOG_ERROR) buf_put_cstr(&line, "error: ");
  if (level == LOG_WARN) buf_put_cstr(&line, "warning: ");
  buf_put_span(&line, message);
  buf_put_char(&line, '\n');
  // Where standard error is closed or full there is nobody left to tell.
  if (write(STDERR_FILENO, line.data, line.len) < 0) {
  }
  buf_done(&line);
}

void log_msg(LogLevel level, const char *fmt, ...) {
  if (level > log_level()) return;
  Buf text = BUF_INIT;
  va_list args;
  va_start(args, fmt);
  buf_vprintf(&text, fmt, args);
  va_end(args);
  if (current_sink) current_sink(current_ctx, level, buf_span(&text));
  else write_stderr(level, buf_span(&text));
  buf_done(&text);
}
