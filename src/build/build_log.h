// build_log.h: what a builder prints: cut into lines, watched for messages, kept for errors, and
// stored compressed.
//
// Lines end at '\n'; '\r' goes back to the start of the line, as on a terminal, so that progress
// bars leave one line. Lines
// "@nix {json}" are messages for us: of them, setPhase is understood and msg is shown as a line;
// none appears in the tail. The stored log is the raw bytes. Behaviour: Nix 2.26,
// DerivationGoal::handleChildOutput and flushLine.
//
// Test: test/build/build_log_test.c.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define BUILD_LOG_LINE_BYTES_MAX ((size_t)1 << 20) // a longer line is cut

typedef struct BuildLog BuildLog;

typedef struct BuildLogConfig {
  const char *path;   // of the stored log (its directories are made); NULL: not stored
  uint64_t max_bytes; // 0: no limit
  unsigned tail_lines;
  void (*line)(void *ctx, Span line);   // may be NULL
  void (*phase)(void *ctx, Span phase); // may be NULL
  void *ctx;
} BuildLogConfig;

BuildLog *build_log_new(const BuildLogConfig *config);
void build_log_free(BuildLog *log); // what was not closed is not stored
// False, without an error, when max_bytes is exceeded: the build is to be stopped.
MUST_CHECK bool build_log_feed(BuildLog *log, Span data);
// Ends an unfinished line and writes the stored log to its place. Failing to store a log does not
// fail a build: the caller warns.
MUST_CHECK bool build_log_close(BuildLog *log, Err *err);
uint64_t build_log_size_bytes(const BuildLog *log);
// The last lines, oldest first; borrowed.
Span *build_log_tail(BuildLog *log, size_t *ret_count);

// <log_dir>/drvs/<first two characters of base>/<rest>.zst, for the base name of a derivation.
void build_log_put_path(Span log_dir, Span drv_base, Buf *ret);
// Appends the text of a stored log.
MUST_CHECK bool build_log_read(const char *path, Buf *ret, Err *err);
