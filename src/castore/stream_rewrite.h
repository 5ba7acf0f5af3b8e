// stream_rewrite.h: a stream in which texts are replaced by others of the same length: hash parts of store paths, or whole paths. So an output that was built
// at a provisional path gets its final one. Replacements are found across the borders of chunks.
//
// Test: test/castore/stream_rewrite_test.c.
#pragma once

#include "castore/byte_stream.h"

typedef struct StreamRewriteRule {
  Span from, to; // of the same length, not empty; borrowed
} StreamRewriteRule;

typedef struct StreamRewrite {
  const StreamRewriteRule *rules; // borrowed
  size_t rule_count, longest;
  const ByteSink *next; // borrowed
  Buf held;             // what may be the beginning of a text
} StreamRewrite;

void stream_rewrite_init(StreamRewrite *rewrite, const StreamRewriteRule *rules, size_t rule_count,
                         const ByteSink *next);
void stream_rewrite_done(StreamRewrite *rewrite);
// What is put into it is borrowed only for the call.
ByteSink stream_rewrite_sink(StreamRewrite *rewrite);
// Passes on the rest. At the end of the stream, once.
MUST_CHECK bool stream_rewrite_flush(StreamRewrite *rewrite, Err *err);
