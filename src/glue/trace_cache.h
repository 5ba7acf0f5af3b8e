// trace_cache.h: answers of earlier evaluations, each with what the evaluation observed (observed.h), one file for each question.
//
//   file   = "FIRNTRC2" digest (16 bytes: of the rest) question's BLAKE3 (32 bytes) exit_code u32 answer_len u32 question_len u32 0 u32 question answer rows
//   answer = (kind u32 len u32 text)*         machine byte order
//
// The file's name is the question's digest in hexadecimal and ".trace". Files are replaced atomically, so that readers and writers need
// no locks. When the folder exceeds its limit the files that were used longest ago are deleted.
#pragma once

#include "glue/observed.h"

#define TRACE_CACHE_MAX_BYTES ((uint64_t)128 << 20)

// What the command did, in order.
typedef enum TraceCacheKind {
  TRACE_CACHE_OUT,    // text on standard output
  TRACE_CACHE_ERR,    // text on standard error
  TRACE_CACHE_WARN,   // a message of the logger
  TRACE_CACHE_TARGET, // to build: "<drv path>\0<output>\0<name>"
  TRACE_CACHE_JOB,    // what follows belongs to a job: number of the rows it may depend on (u32), rank (u32), its name
} TraceCacheKind;

void trace_cache_answer_put(Buf *answer, TraceCacheKind kind, Span text);
// Takes the next part off; false at the end (or at damage).
bool trace_cache_answer_next(Span *answer, TraceCacheKind *ret_kind, Span *ret_text);

typedef struct TraceCacheFound {
  Buf file; // owned
  Span answer;
  int exit_code;
  size_t row_count; // that are as they were
  ObservedPartial partial;
} TraceCacheFound;
#define TRACE_CACHE_FOUND_INIT                        \
  {                                                   \
    .file = BUF_INIT, .partial = { NULL, NULL, 0, 0 } \
  }
void trace_cache_found_done(TraceCacheFound *found);

// The answer to `question` (any text that says everything the answer depends on besides what is observed). False: `ret_why` says why
// there is none. With `partial`, an answer of which some rows have changed is in *ret all the same, with what has changed.
bool trace_cache_find(Span dir, Span question, const ObservedCheck *check, bool partial, TraceCacheFound *ret,
                      Buf *ret_why);
// Remembers one, which depends on the first `row_count` rows that were observed (SIZE_MAX: all). False: `ret_why` says why it may not be, or could not be
// written.
bool trace_cache_put(Span dir, Span question, Observed *observed, size_t row_count, Span answer, int exit_code,
                     uint64_t max_bytes, Buf *ret_why);
// The questions of all records; borrowed for the call.
void trace_cache_each_question(Span dir, void (*visit)(void *ctx, Span question), void *ctx);

typedef struct TraceCacheInfo {
  uint64_t file_count, bytes;
} TraceCacheInfo;
void trace_cache_info(Span dir, TraceCacheInfo *ret);
MUST_CHECK bool trace_cache_clear(Span dir, Err *err);
