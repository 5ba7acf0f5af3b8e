// stream_rewrite.c: see stream_rewrite.h.
#include "castore/stream_rewrite.h"

#include <assert.h>

void stream_rewrite_init(StreamRewrite *rewrite, const StreamRewriteRule *rules, size_t rule_count,
                         const ByteSink *next) {
  *rewrite = (StreamRewrite){rules, rule_count, 0, next, BUF_INIT};
  for (size_t i = 0; i < rule_count; i++) {
    assert(rules[i].from.len && rules[i].from.len == rules[i].to.len);
    if (rules[i].from.len > rewrite->longest) rewrite->longest = rules[i].from.len;
  }
}

void stream_rewrite_done(StreamRewrite *rewrite) {
  buf_done(&rewrite->held);
}

// One rule after the other, as C++ Nix does: what one has written the next may replace.
static void stream_rewrite_apply(const StreamRewrite *rewrite, char *data, size_t len) {
  for (size_t i = 0; i < rewrite->rule_count; i++) {
    const StreamRewriteRule *rule = &rewrite->rules[i];
    for (size_t at = 0;;) {
      size_t found = span_find(span_make(data + at, len - at), rule->from);
      if (found == SIZE_MAX) break;
      memcpy(data + at + found, rule->to.data, rule->to.len);
      at += found + rule->to.len;
    }
  }
}

static bool stream_rewrite_put(void *ctx, Span data, Err *err) {
  StreamRewrite *rewrite = ctx;
  Buf *held = &rewrite->held;
  if (!rewrite->rule_count) return byte_stream_put(rewrite->next, data, err);
  buf_put_span(held, data);
  stream_rewrite_apply(rewrite, held->data, held->len);
  if (held->len < rewrite->longest) return true;
  size_t ready = held->len - (rewrite->longest - 1);
  if (!byte_stream_put(rewrite->next, span_make(held->data, ready), err)) return false;
  memmove(held->data, held->data + ready, held->len - ready);
  held->len -= ready;
  return true;
}

ByteSink stream_rewrite_sink(StreamRewrite *rewrite) {
  return (ByteSink){stream_rewrite_put, rewrite};
}

bool stream_rewrite_flush(StreamRewrite *rewrite, Err *err) {
  bool ok = !rewrite->held.len || byte_stream_put(rewrite->next, buf_span(&rewrite->held), err);
  buf_clear(&rewrite->held);
  return ok;
}
