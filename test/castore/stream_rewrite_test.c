#include "castore/stream_rewrite.h"

#include "harness.h"

#define A "0123456789abcdfghijklmnpqrsvwxyz"
#define B "zyxwvsrqpnmlkjihgfdcba9876543210"
#define C "cccccccccccccccccccccccccccccccc"

static bool collect(void *ctx, Span data, Err *err UNUSED) {
  buf_put_span(ctx, data);
  return true;
}

static void rewrite(const StreamRewriteRule *rules, size_t count, Span text, size_t step, Buf *ret) {
  StreamRewrite rewrite;
  Err err = ERR_INIT;
  ByteSink next = {collect, ret};
  stream_rewrite_init(&rewrite, rules, count, &next);
  ByteSink sink = stream_rewrite_sink(&rewrite);
  while (text.len) {
    size_t len = step < text.len ? step : text.len;
    CHECK_OK(byte_stream_put(&sink, span_sub(text, 0, len), &err), &err);
    text = span_from(text, len);
  }
  CHECK_OK(stream_rewrite_flush(&rewrite, &err), &err);
  stream_rewrite_done(&rewrite);
}

static StreamRewriteRule rule(const char *from, const char *to) {
  return (StreamRewriteRule){span_cstr(from), span_cstr(to)};
}

TEST(hash_parts_are_replaced_wherever_chunks_end) {
  StreamRewriteRule rules[] = {rule(A, C)};
  for (size_t step = 1; step < 200; step++) {
    Buf out = BUF_INIT;
    rewrite(rules, 1, SPAN("x" A "-name" A A "0123" A "tail 0123456789abcdfghijklmnpqrsvwxy"), step, &out);
    CHECK_STR(buf_span(&out), "x" C "-name" C C "0123" C "tail 0123456789abcdfghijklmnpqrsvwxy");
    buf_done(&out);
  }
}

TEST(rules_apply_in_their_order) {
  StreamRewriteRule rules[] = {rule(A, B), rule(B, C)};
  Buf out = BUF_INIT;
  rewrite(rules, 2, SPAN(A " " B), 1, &out);
  CHECK_STR(buf_span(&out), C " " C);
  buf_done(&out);
}

TEST(texts_of_different_lengths) {
  StreamRewriteRule rules[] = {rule("/store/long-name", "/store/LONG-NAME"), rule("bc", "BC"), rule("d", "D")};
  for (size_t step = 1; step < 40; step++) {
    Buf out = BUF_INIT;
    rewrite(rules, 3,
            SPAN("abcd /store/long-name/bin /store/long-namb"
                 "cd"),
            step, &out);
    CHECK_STR(buf_span(&out), "aBCD /store/LONG-NAME/bin /store/long-namBCD");
    buf_done(&out);
  }
}

TEST(nothing_to_replace_changes_nothing) {
  Buf out = BUF_INIT;
  rewrite(NULL, 0, SPAN(""), 1, &out);
  rewrite(NULL, 0, SPAN(A), 1, &out);
  CHECK_STR(buf_span(&out), A);
  buf_done(&out);
}
TEST_MAIN()
