// byte_stream.c: sinks and sources.
#include "castore/byte_stream.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"

bool byte_stream_put(const ByteSink *sink, Span data, Err *err) {
  return data.len == 0 || sink->put(sink->ctx, data, err);
}

bool byte_stream_take(const ByteSource *source, void *data, size_t cap, size_t *ret_len, Err *err) {
  return source->take(source->ctx, data, cap, ret_len, err);
}

bool byte_stream_take_full(const ByteSource *source, void *data, size_t len, Err *err) {
  for (size_t done = 0, n; done < len; done += n) {
    if (!byte_stream_take(source, (char *)data + done, len - done, &n, err)) return false;
    if (n == 0) return err_set(err, ERR_SYNTAX, "unexpected end of input, %zu bytes early", len - done);
  }
  return true;
}

bool byte_stream_copy(const ByteSource *source, const ByteSink *sink, Err *err) {
  CLEANUP(mem_free_ptr) char *chunk = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  for (;;) {
    size_t n;
    if (!byte_stream_take(source, chunk, BYTE_STREAM_CHUNK_BYTES, &n, err)) return false;
    if (n == 0) return true;
    if (!byte_stream_put(sink, span_make(chunk, n), err)) return false;
  }
}

static bool byte_stream_buf_put(void *ctx, Span data, Err *err) {
  buf_put_span(ctx, data);
  return true;
}

ByteSink byte_stream_to_buf(Buf *buf) {
  return (ByteSink){byte_stream_buf_put, buf};
}

static bool byte_stream_fd_put(void *ctx, Span data, Err *err) {
  return fs_write_all(*(int *)ctx, data, err);
}

ByteSink byte_stream_to_fd(int *fd) {
  return (ByteSink){byte_stream_fd_put, fd};
}

static bool byte_stream_fd_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  for (;;) {
    ssize_t n = read(*(int *)ctx, data, cap);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return err_set_errno(err, errno, "reading the input");
    *ret_len = (size_t)n;
    return true;
  }
}

ByteSource byte_stream_from_fd(int *fd) {
  return (ByteSource){byte_stream_fd_take, fd};
}

static bool byte_stream_span_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  Span *rest = ctx;
  *ret_len = rest->len < cap ? rest->len : cap;
  if (*ret_len > 0) memcpy(data, rest->data, *ret_len);
  *rest = span_from(*rest, *ret_len);
  return true;
}

ByteSource byte_stream_from_span(Span *rest) {
  return (ByteSource){byte_stream_span_take, rest};
}
