// stream_codec.h: compression of streams: xz, zstd, bzip2, gzip, as a sink that compresses and a source that decompresses. Bounded memory.
#pragma once

#include "castore/byte_stream.h"

typedef enum StreamCodec {
  STREAM_CODEC_NONE,
  STREAM_CODEC_XZ,
  STREAM_CODEC_ZSTD,
  STREAM_CODEC_BZIP2,
  STREAM_CODEC_GZIP
} StreamCodec;

// "none", "xz", "zstd", "bzip2", "gzip", as in narinfo files; the message is Nix's ("unknown compression method 'x'").
MUST_CHECK bool stream_codec_parse(Span name, StreamCodec *ret, Err *err);
Span stream_codec_name(StreamCodec codec);
Span stream_codec_suffix(StreamCodec codec); // "", ".xz", ".zst", ".bz2", ".gz"

#define STREAM_CODEC_ENCODER_MEMORY_BYTES ((uint64_t)1 << 30)

typedef struct StreamEncoder StreamEncoder;
typedef struct StreamEncoderOptions {
  int level;           // 0: the codec's default
  uint64_t size_bytes; // about so much will come: small inputs need small tables. 0: not known
  unsigned
      threads; // more than 1: xz and zstd compress blocks side by side, where the library and STREAM_CODEC_ENCODER_MEMORY_BYTES let them
} StreamEncoderOptions;
// `options` may be NULL. `to` is borrowed, and called on the thread that puts.
MUST_CHECK bool stream_codec_encoder_new(StreamCodec codec, const StreamEncoderOptions *options, const ByteSink *to,
                                         StreamEncoder **ret, Err *err);
ByteSink stream_codec_encoder_sink(StreamEncoder *encoder);
// Writes what is left. Nothing may be put afterwards.
MUST_CHECK bool stream_codec_encoder_finish(StreamEncoder *encoder, Err *err);
void stream_codec_encoder_free(StreamEncoder *encoder);

typedef struct StreamDecoder StreamDecoder;
// `from` is borrowed. More than limit_bytes of output (0: none) is ERR_LIMIT: a decompression bomb. A truncated input is ERR_SYNTAX; several streams after each
// other count as one, as the command-line tools have it.
MUST_CHECK bool stream_codec_decoder_new(StreamCodec codec, const ByteSource *from, uint64_t limit_bytes,
                                         StreamDecoder **ret, Err *err);
ByteSource stream_codec_decoder_source(StreamDecoder *decoder);
void stream_codec_decoder_free(StreamDecoder *decoder);
