// stream_codec.c: one loop over four libraries, each behind a step function.
#include "castore/stream_codec.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define STREAM_CODEC_XZ_MEMORY_BYTES ((uint64_t)1 << 30) // what a decoder may use

typedef union StreamCodecState {
  lzma_stream xz;
  ZSTD_CCtx *zstd_encoder;
  ZSTD_DCtx *zstd_decoder;
  bz_stream bzip2;
  z_stream gzip;
} StreamCodecState;

enum {
  STREAM_CODEC_ZSTD_WINDOW_MIN = 10,
  STREAM_CODEC_ZSTD_WINDOW = 18
}; // logarithms; what is larger takes the level's own

struct StreamEncoder {
  StreamCodec codec;
  StreamCodecState state;
  const ByteSink *to;
  char *out; // owned
};

struct StreamDecoder {
  StreamCodec codec;
  StreamCodecState state;
  const ByteSource *from;
  char *in; // owned
  Span input;
  uint64_t produced_bytes, limit_bytes;
  bool input_ended;
  bool stream_ended; // between streams
};

static const Span stream_codec_names[] = {SPAN_LIT("none"), SPAN_LIT("xz"), SPAN_LIT("zstd"), SPAN_LIT("bzip2"),
                                          SPAN_LIT("gzip")};
static const Span stream_codec_suffixes[] = {SPAN_LIT(""), SPAN_LIT(".xz"), SPAN_LIT(".zst"), SPAN_LIT(".bz2"),
                                             SPAN_LIT(".gz")};

bool stream_codec_parse(Span name, StreamCodec *ret, Err *err) {
  for (size_t i = 0; i < ARRAY_LEN(stream_codec_names); i++)
    if (span_eq(name, stream_codec_names[i])) {
      *ret = (StreamCodec)i;
      return true;
    }
  return err_set(err, ERR_OTHER, "unknown compression method '%.*s'", SPAN_ARG(name));
}

Span stream_codec_name(StreamCodec codec) {
  return stream_codec_names[codec];
}

Span stream_codec_suffix(StreamCodec codec) {
  return stream_codec_suffixes[codec];
}

static bool stream_codec_fail(StreamCodec codec, const char *what, const char *why, Err *err) {
  return err_set(err, ERR_SYNTAX, "%s %.*s: %s", what, SPAN_ARG(stream_codec_names[codec]), why);
}

// ---- encoding

// The dictionary needs to be no larger than the input, and the tables that go with it are most of what a small input costs.
static bool stream_codec_xz_init(lzma_stream *xz, const StreamEncoderOptions *options) {
  lzma_options_lzma lzma;
  uint32_t preset = options->level ? (uint32_t)options->level : LZMA_PRESET_DEFAULT;
  lzma_filter filters[2] = {{LZMA_FILTER_LZMA2, &lzma}, {LZMA_VLI_UNKNOWN, NULL}};
  lzma_mt mt = {.threads = options->threads, .filters = filters, .check = LZMA_CHECK_CRC64};
  if (lzma_lzma_preset(&lzma, preset)) return false;
  if (options->size_bytes > 0 && options->size_bytes < lzma.dict_size)
    lzma.dict_size = options->size_bytes > LZMA_DICT_SIZE_MIN ? (uint32_t)options->size_bytes : LZMA_DICT_SIZE_MIN;
  while (mt.threads > 1 && lzma_stream_encoder_mt_memusage(&mt) > STREAM_CODEC_ENCODER_MEMORY_BYTES) mt.threads--;
  if (mt.threads > 1) return lzma_stream_encoder_mt(xz, &mt) == LZMA_OK;
  return lzma_stream_encoder(xz, filters, LZMA_CHECK_CRC64) == LZMA_OK;
}

static bool stream_codec_zstd_init(ZSTD_CCtx *zstd, const StreamEncoderOptions *options) {
  int level = options->level ? options->level : 3;
  if (ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level))) return false;
  int window = STREAM_CODEC_ZSTD_WINDOW_MIN;
  while (window < STREAM_CODEC_ZSTD_WINDOW && options->size_bytes > UINT64_C(1) << window) window++;
  if (options->size_bytes > 0 && window < STREAM_CODEC_ZSTD_WINDOW)
    (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window);
  // A library without threads compresses on this one.
  if (options->threads > 1) (void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_nbWorkers, (int)options->threads);
  return true;
}

static bool stream_codec_encoder_init(StreamEncoder *encoder, const StreamEncoderOptions *options, Err *err) {
  StreamCodecState *state = &encoder->state;
  int level = options->level;
  bool ok = true;
  switch (encoder->codec) {
  case STREAM_CODEC_NONE: break;
  case STREAM_CODEC_XZ:
    state->xz = (lzma_stream)LZMA_STREAM_INIT;
    ok = stream_codec_xz_init(&state->xz, options);
    break;
  case STREAM_CODEC_ZSTD:
    state->zstd_encoder = ZSTD_createCCtx();
    ok = state->zstd_encoder && stream_codec_zstd_init(state->zstd_encoder, options);
    break;
  case STREAM_CODEC_BZIP2: ok = BZ2_bzCompressInit(&state->bzip2, level ? level : 9, 0, 0) == BZ_OK; break;
  case STREAM_CODEC_GZIP:
    ok = deflateInit2(&state->gzip, level ? level : 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    break;
  }
  return ok || stream_codec_fail(encoder->codec, "starting", "the library refuses", err);
}

// Compresses from *input (advanced) into `out`. *ret_done: with `finish`, everything has been written.
static bool stream_codec_encoder_step(StreamEncoder *encoder, Span *input, bool finish, size_t *ret_len, bool *ret_done,
                                      Err *err) {
  StreamCodecState *state = &encoder->state;
  const size_t cap = BYTE_STREAM_CHUNK_BYTES;
  size_t in_left = 0;
  bool ok = false;
  // Pieces of at most 1 GiB, because two of the libraries count in 32 bits.
  size_t take = input->len < ((size_t)1 << 30) ? input->len : (size_t)1 << 30;
  bool last = finish && take == input->len;
  switch (encoder->codec) {
  case STREAM_CODEC_NONE: break;
  case STREAM_CODEC_XZ: {
    state->xz.next_in = (const uint8_t *)input->data;
    state->xz.avail_in = take;
    state->xz.next_out = (uint8_t *)encoder->out;
    state->xz.avail_out = cap;
    lzma_ret code = lzma_code(&state->xz, last ? LZMA_FINISH : LZMA_RUN);
    ok = code == LZMA_OK || code == LZMA_STREAM_END;
    *ret_done = code == LZMA_STREAM_END;
    in_left = state->xz.avail_in;
    *ret_len = cap - state->xz.avail_out;
    break;
  }
  case STREAM_CODEC_ZSTD: {
    ZSTD_inBuffer in = {input->data, take, 0};
    ZSTD_outBuffer out = {encoder->out, cap, 0};
    size_t left = ZSTD_compressStream2(state->zstd_encoder, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    ok = !ZSTD_isError(left);
    *ret_done = last && left == 0;
    in_left = take - in.pos;
    *ret_len = out.pos;
    break;
  }
  case STREAM_CODEC_BZIP2: {
    state->bzip2.next_in = (char *)input->data;
    state->bzip2.avail_in = (unsigned)take;
    state->bzip2.next_out = encoder->out;
    state->bzip2.avail_out = (unsigned)cap;
    int code = !last && take == 0 ? BZ_RUN_OK : BZ2_bzCompress(&state->bzip2, last ? BZ_FINISH : BZ_RUN);
    ok = code == BZ_RUN_OK || code == BZ_FINISH_OK || code == BZ_STREAM_END;
    *ret_done = code == BZ_STREAM_END;
    in_left = state->bzip2.avail_in;
    *ret_len = cap - state->bzip2.avail_out;
    break;
  }
  case STREAM_CODEC_GZIP: {
    state->gzip.next_in = (unsigned char *)input->data;
    state->gzip.avail_in = (unsigned)take;
    state->gzip.next_out = (unsigned char *)encoder->out;
    state->gzip.avail_out = (unsigned)cap;
    int code = deflate(&state->gzip, last ? Z_FINISH : Z_NO_FLUSH);
    ok = code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
    *ret_done = code == Z_STREAM_END;
    in_left = state->gzip.avail_in;
    *ret_len = cap - state->gzip.avail_out;
    break;
  }
  }
  *input = span_from(*input, take - in_left);
  return ok || stream_codec_fail(encoder->codec, "compressing with", "the library refuses", err);
}

bool stream_codec_encoder_new(StreamCodec codec, const StreamEncoderOptions *options, const ByteSink *to,
                              StreamEncoder **ret, Err *err) {
  static const StreamEncoderOptions defaults = {0};
  StreamEncoder *encoder = mem_alloc_zero(sizeof(*encoder));
  encoder->codec = codec;
  encoder->to = to;
  if (!stream_codec_encoder_init(encoder, options ? options : &defaults, err)) {
    mem_free(encoder);
    return false;
  }
  encoder->out = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  *ret = encoder;
  return true;
}

static bool stream_codec_encoder_put(void *ctx, Span data, Err *err) {
  StreamEncoder *encoder = ctx;
  if (encoder->codec == STREAM_CODEC_NONE) return byte_stream_put(encoder->to, data, err);
  while (data.len > 0) {
    size_t len;
    bool done;
    if (!stream_codec_encoder_step(encoder, &data, false, &len, &done, err) ||
        !byte_stream_put(encoder->to, span_make(encoder->out, len), err))
      return false;
  }
  return true;
}

ByteSink stream_codec_encoder_sink(StreamEncoder *encoder) {
  return (ByteSink){stream_codec_encoder_put, encoder};
}

bool stream_codec_encoder_finish(StreamEncoder *encoder, Err *err) {
  if (encoder->codec == STREAM_CODEC_NONE) return true;
  Span rest = SPAN("");
  for (bool done = false; !done;) {
    size_t len;
    if (!stream_codec_encoder_step(encoder, &rest, true, &len, &done, err) ||
        !byte_stream_put(encoder->to, span_make(encoder->out, len), err))
      return false;
  }
  return true;
}

void stream_codec_encoder_free(StreamEncoder *encoder) {
  if (!encoder) return;
  switch (encoder->codec) {
  case STREAM_CODEC_NONE: break;
  case STREAM_CODEC_XZ: lzma_end(&encoder->state.xz); break;
  case STREAM_CODEC_ZSTD: ZSTD_freeCCtx(encoder->state.zstd_encoder); break;
  case STREAM_CODEC_BZIP2: BZ2_bzCompressEnd(&encoder->state.bzip2); break;
  case STREAM_CODEC_GZIP: deflateEnd(&encoder->state.gzip); break;
  }
  mem_free(encoder->out);
  mem_free(encoder);
}

// ---- decoding

static bool stream_codec_decoder_init(StreamDecoder *decoder, Err *err) {
  StreamCodecState *state = &decoder->state;
  bool ok = true;
  switch (decoder->codec) {
  case STREAM_CODEC_NONE: break;
  case STREAM_CODEC_XZ:
    state->xz = (lzma_stream)LZMA_STREAM_INIT;
    ok = lzma_stream_decoder(&state->xz, STREAM_CODEC_XZ_MEMORY_BYTES, LZMA_CONCATENATED) == LZMA_OK;
    break;
  case STREAM_CODEC_ZSTD: ok = (state->zstd_decoder = ZSTD_createDCtx()) != NULL; break;
  case STREAM_CODEC_BZIP2: ok = BZ2_bzDecompressInit(&state->bzip2, 0, 0) == BZ_OK; break;
  case STREAM_CODEC_GZIP: ok = inflateInit2(&state->gzip, 15 + 16) == Z_OK; break;
  }
  return ok || stream_codec_fail(decoder->codec, "starting", "the library refuses", err);
}

static void stream_codec_decoder_end(StreamDecoder *decoder) {
  switch (decoder->codec) {
  case STREAM_CODEC_NONE: break;
  case STREAM_CODEC_XZ: lzma_end(&decoder->state.xz); break;
  case STREAM_CODEC_ZSTD: ZSTD_freeDCtx(decoder->state.zstd_decoder); break;
  case STREAM_CODEC_BZIP2: BZ2_bzDecompressEnd(&decoder->state.bzip2); break;
  case STREAM_CODEC_GZIP: inflateEnd(&decoder->state.gzip); break;
  }
}

bool stream_codec_decoder_new(StreamCodec codec, const ByteSource *from, uint64_t limit_bytes, StreamDecoder **ret,
                              Err *err) {
  StreamDecoder *decoder = mem_alloc_zero(sizeof(*decoder));
  *decoder = (StreamDecoder){.codec = codec, .from = from, .limit_bytes = limit_bytes};
  if (!stream_codec_decoder_init(decoder, err)) {
    mem_free(decoder);
    return false;
  }
  decoder->in = mem_alloc(BYTE_STREAM_CHUNK_BYTES);
  *ret = decoder;
  return true;
}

// *ret_end: this stream is complete. False: damaged.
static bool stream_codec_decoder_step(StreamDecoder *decoder, char *data, size_t cap, size_t *ret_len, bool *ret_end) {
  StreamCodecState *state = &decoder->state;
  size_t in_left = 0;
  bool ok = false;
  if (cap > (size_t)1 << 30) cap = (size_t)1 << 30;
  *ret_end = false;
  switch (decoder->codec) {
  case STREAM_CODEC_NONE: break;
  case STREAM_CODEC_XZ: {
    state->xz.next_in = (const uint8_t *)decoder->input.data;
    state->xz.avail_in = decoder->input.len;
    state->xz.next_out = (uint8_t *)data;
    state->xz.avail_out = cap;
    lzma_ret code = lzma_code(&state->xz, decoder->input_ended ? LZMA_FINISH : LZMA_RUN);
    ok = code == LZMA_OK || code == LZMA_STREAM_END || code == LZMA_BUF_ERROR;
    *ret_end = code == LZMA_STREAM_END;
    in_left = state->xz.avail_in;
    *ret_len = cap - state->xz.avail_out;
    break;
  }
  case STREAM_CODEC_ZSTD: {
    ZSTD_inBuffer in = {decoder->input.data, decoder->input.len, 0};
    ZSTD_outBuffer out = {data, cap, 0};
    size_t hint = ZSTD_decompressStream(state->zstd_decoder, &out, &in);
    ok = !ZSTD_isError(hint);
    *ret_end = ok && hint == 0;
    in_left = in.size - in.pos;
    *ret_len = out.pos;
    break;
  }
  case STREAM_CODEC_BZIP2: {
    state->bzip2.next_in = (char *)decoder->input.data;
    state->bzip2.avail_in = (unsigned)decoder->input.len;
    state->bzip2.next_out = data;
    state->bzip2.avail_out = (unsigned)cap;
    int code = BZ2_bzDecompress(&state->bzip2);
    ok = code == BZ_OK || code == BZ_STREAM_END;
    *ret_end = code == BZ_STREAM_END;
    in_left = state->bzip2.avail_in;
    *ret_len = cap - state->bzip2.avail_out;
    break;
  }
  case STREAM_CODEC_GZIP: {
    state->gzip.next_in = (unsigned char *)decoder->input.data;
    state->gzip.avail_in = (unsigned)decoder->input.len;
    state->gzip.next_out = (unsigned char *)data;
    state->gzip.avail_out = (unsigned)cap;
    int code = inflate(&state->gzip, Z_NO_FLUSH);
    ok = code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
    *ret_end = code == Z_STREAM_END;
    in_left = state->gzip.avail_in;
    *ret_len = cap - state->gzip.avail_out;
    break;
  }
  }
  decoder->input = span_from(decoder->input, decoder->input.len - in_left);
  return ok;
}

static bool stream_codec_decoder_fill(StreamDecoder *decoder, Err *err) {
  size_t n;
  if (decoder->input.len > 0 || decoder->input_ended) return true;
  if (!byte_stream_take(decoder->from, decoder->in, BYTE_STREAM_CHUNK_BYTES, &n, err)) return false;
  decoder->input = span_make(decoder->in, n);
  decoder->input_ended = n == 0;
  return true;
}

static bool stream_codec_decoder_next(StreamDecoder *decoder, void *data, size_t cap, size_t *ret_len, Err *err) {
  *ret_len = 0;
  while (*ret_len == 0) {
    if (!stream_codec_decoder_fill(decoder, err)) return false;
    // xz knows by itself where a series of streams ends.
    if (decoder->stream_ended && decoder->input_ended) return true;
    if (decoder->stream_ended) { // another stream follows
      stream_codec_decoder_end(decoder);
      memset(&decoder->state, 0, sizeof(decoder->state));
      if (!stream_codec_decoder_init(decoder, err)) return false;
      decoder->stream_ended = false;
    }
    size_t before = decoder->input.len;
    bool end;
    if (!stream_codec_decoder_step(decoder, data, cap, ret_len, &end))
      return stream_codec_fail(decoder->codec, "decompressing", "the input is damaged", err);
    decoder->stream_ended = end;
    if (*ret_len == 0 && !end && decoder->input_ended && before == 0)
      return stream_codec_fail(decoder->codec, "decompressing", "unexpected end of input", err);
  }
  return true;
}

static bool stream_codec_decoder_take(void *ctx, void *data, size_t cap, size_t *ret_len, Err *err) {
  StreamDecoder *decoder = ctx;
  if (decoder->codec == STREAM_CODEC_NONE ? !byte_stream_take(decoder->from, data, cap, ret_len, err)
                                          : !stream_codec_decoder_next(decoder, data, cap, ret_len, err))
    return false;
  decoder->produced_bytes += *ret_len;
  return decoder->limit_bytes == 0 || decoder->produced_bytes <= decoder->limit_bytes ||
         err_set(err, ERR_LIMIT, "the decompressed data is larger than the stated %llu bytes",
                 (unsigned long long)decoder->limit_bytes);
}

ByteSource stream_codec_decoder_source(StreamDecoder *decoder) {
  return (ByteSource){stream_codec_decoder_take, decoder};
}

void stream_codec_decoder_free(StreamDecoder *decoder) {
  if (!decoder) return;
  stream_codec_decoder_end(decoder);
  mem_free(decoder->in);
  mem_free(decoder);
}
