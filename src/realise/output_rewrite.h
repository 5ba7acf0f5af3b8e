// output_rewrite.h: a stream in which hash parts of store paths are replaced by others of the same length: how an output that was built at a
// provisional path gets its final one. Replacements are found across the borders of chunks.
//
// Test: test/realise/output_rewrite_test.c.
#pragma once

#include "castore/byte_stream.h"
#include "formats/store_path.h"

typedef struct OutputRewriteRule {
  char from[STORE_PATH_HASH_CHARS], to[STORE_PATH_HASH_CHARS];
} OutputRewriteRule;

typedef struct OutputRewrite {
  const OutputRewriteRule *rules; // borrowed
  size_t rule_count;
  const ByteSink *next; // borrowed
  Buf held;             // what may be the beginning of a hash part
} OutputRewrite;

void output_rewrite_init(OutputRewrite *rewrite, const OutputRewriteRule *rules, size_t rule_count,
                         const ByteSink *next);
void output_rewrite_done(OutputRewrite *rewrite);
// What is put into it is borrowed only for the call.
ByteSink output_rewrite_sink(OutputRewrite *rewrite);
// Passes on the rest. At the end of the stream, once.
MUST_CHECK bool output_rewrite_flush(OutputRewrite *rewrite, Err *err);
