// output_rewrite.c: see output_rewrite.h.
#include "realise/output_rewrite.h"

void output_rewrite_init(OutputRewrite *rewrite, const OutputRewriteRule *rules, size_t rule_count,
                         const ByteSink *next) {
  *rewrite = (OutputRewrite){rules, rule_count, next, BUF_INIT};
}

void output_rewrite_done(OutputRewrite *rewrite) {
  buf_done(&rewrite->held);
}

// One rule after the other, as C++ Nix does: what one has written the next may replace.
static void apply(const OutputRewrite *rewrite, char *data, size_t len) {
  for (size_t i = 0; i < rewrite->rule_count; i++) {
    const OutputRewriteRule *rule = &rewrite->rules[i];
    for (size_t at = 0;;) {
      size_t found = span_find(span_make(data + at, len - at), span_make(rule->from, sizeof rule->from));
      if (found == SIZE_MAX) break;
      memcpy(data + at + found, rule->to, sizeof rule->to);
      at += found + sizeof rule->to;
    }
  }
}

static bool put(void *ctx, Span data, Err *err) {
  OutputRewrite *rewrite = ctx;
  Buf *held = &rewrite->held;
  buf_put_span(held, data);
  apply(rewrite, held->data, held->len);
  if (held->len < STORE_PATH_HASH_CHARS) return true;
  size_t ready = held->len - (STORE_PATH_HASH_CHARS - 1);
  if (!byte_stream_put(rewrite->next, span_make(held->data, ready), err)) return false;
  memmove(held->data, held->data + ready, held->len - ready);
  held->len -= ready;
  return true;
}

ByteSink output_rewrite_sink(OutputRewrite *rewrite) {
  return (ByteSink){put, rewrite};
}

bool output_rewrite_flush(OutputRewrite *rewrite, Err *err) {
  bool ok = !rewrite->held.len || byte_stream_put(rewrite->next, buf_span(&rewrite->held), err);
  buf_clear(&rewrite->held);
  return ok;
}
