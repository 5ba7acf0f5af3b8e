// byte_stream.h: where a stream of bytes goes and where it comes from: two function pointers, so that NARs, exports and files can be
// produced and consumed in pieces, with bounded memory, by code that does not know the other end.
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define BYTE_STREAM_CHUNK_BYTES ((size_t)256 << 10)

// Takes all of `data` or fails.
typedef struct ByteSink {
  bool (*put)(void *ctx, Span data, Err *err);
  void *ctx;
} ByteSink;

// Fills at most `cap` bytes; *ret_len 0 means the end.
typedef struct ByteSource {
  bool (*take)(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err);
  void *ctx;
} ByteSource;

MUST_CHECK bool byte_stream_put(const ByteSink *sink, Span data, Err *err);
MUST_CHECK bool byte_stream_take(const ByteSource *source, void *data, size_t cap, size_t *ret_len, Err *err);
// Exactly `len` bytes; an earlier end is ERR_SYNTAX ("unexpected end of input").
MUST_CHECK bool byte_stream_take_full(const ByteSource *source, void *data, size_t len, Err *err);
// Moves everything.
MUST_CHECK bool byte_stream_copy(const ByteSource *source, const ByteSink *sink, Err *err);

ByteSink byte_stream_to_buf(Buf *buf);        // appends
ByteSink byte_stream_to_fd(int *fd);          // borrowed descriptor
ByteSource byte_stream_from_fd(int *fd);      // borrowed descriptor
ByteSource byte_stream_from_span(Span *rest); // *rest is advanced
