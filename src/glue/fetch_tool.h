// fetch_tool.h: a program that reads repositories, git or hg: running it, what is said when it is not there or fails, and a directory for what it
// writes.
#pragma once

#include "glue/fetcher.h"

typedef struct FetchTool {
  const Fetcher *fetcher;
  const char *program;
  const char *kind;       // "Git repository"
  const char *needed;     // what is said before the place when the program is not there
  const char *const *env; // NULL inherits
  const char *place;      // what messages call the repository: its path or URL
  Buf scratch;            // fetch_tool_make_scratch
} FetchTool;
// Removes the scratch directory.
void fetch_tool_done(FetchTool *tool);

// Below the store's own temporary directory.
MUST_CHECK bool fetch_tool_make_scratch(FetchTool *tool, Err *err);

typedef struct FetchToolRun {
  Buf out, errors;
  int status;
} FetchToolRun;
#define FETCH_TOOL_RUN_INIT \
  { .out = BUF_INIT, .errors = BUF_INIT }
void fetch_tool_run_done(FetchToolRun *run);

// `program args...`, with `dir` `program -C dir args...`. False only where it could not be run.
MUST_CHECK bool fetch_tool_run(const FetchTool *tool, const char *dir, const char *const *args, FetchToolRun *ret,
                               Err *err);
// Its standard output, without the last newline, is appended to *ret (may be NULL). With ret_failed a failure is no error. `stdin_fd` -1: none.
MUST_CHECK bool fetch_tool_output(const FetchTool *tool, const char *dir, const char *const *args, int stdin_fd,
                                  Buf *ret, bool *ret_failed, Err *err);
