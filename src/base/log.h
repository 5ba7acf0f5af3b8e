// log.h: the process-wide logger. The only module besides cli/ with static state. Libraries report through Err; what
// they log is for -v. Levels are Nix's (0 error, 1 warn, 2 notice, 3 info, 4 talkative, 5 chatty, 6 debug, 7 vomit).
#pragma once

#include "base/span.h"

typedef enum LogLevel {
  LOG_ERROR,
  LOG_WARN,
  LOG_NOTICE,
  LOG_INFO,
  LOG_TALKATIVE,
  LOG_CHATTY,
  LOG_DEBUG,
  LOG_VOMIT,
} LogLevel;

// Receives complete lines without newline. The cli installs one that knows about progress display and JSON.
typedef void (*LogSink)(void *ctx, LogLevel level, Span message);

void log_set_sink(LogSink sink, void *ctx); // NULL: standard error
void log_set_level(LogLevel level);         // default LOG_NOTICE
LogLevel log_level(void);
void log_msg(LogLevel level, const char *fmt, ...) PRINTF_LIKE(2, 3);
// "warning: " is prefixed by the sink.
#define log_warn(...) log_msg(LOG_WARN, __VA_ARGS__)
