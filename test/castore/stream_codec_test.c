// stream_codec_test.c: round trips, cut and damaged inputs, bombs.
#include "castore/stream_codec.h"

#include "harness.h"

static void encode(StreamCodec codec, Span data, uint64_t *rng, Buf *ret) {
  Err err = ERR_INIT;
  ByteSink to = byte_stream_to_buf(ret);
  StreamEncoder *encoder;
  // What is said about the size is a hint, which may be wrong.
  StreamEncoderOptions options = {.size_bytes = test_random_below(rng, 2) ? data.len : test_random_below(rng, 100000),
                                  .threads = (unsigned)test_random_below(rng, 4)};
  const StreamEncoderOptions *some = test_random_below(rng, 4) ? &options : NULL;
  CHECK_OK(stream_codec_encoder_new(codec, some, &to, &encoder, &err), &err);
  ByteSink sink = stream_codec_encoder_sink(encoder);
  while (data.len > 0) {
    Span piece = span_sub(data, 0, 1 + (size_t)test_random_below(rng, 100000));
    CHECK_OK(byte_stream_put(&sink, piece, &err), &err);
    data = span_from(data, piece.len);
  }
  CHECK_OK(stream_codec_encoder_finish(encoder, &err), &err);
  stream_codec_encoder_free(encoder);
}

static bool decode(StreamCodec codec, Span data, uint64_t limit, Buf *ret, Err *err) {
  ByteSource from = byte_stream_from_span(&data);
  StreamDecoder *decoder;
  CHECK_OK(stream_codec_decoder_new(codec, &from, limit, &decoder, err), err);
  ByteSource source = stream_codec_decoder_source(decoder);
  ByteSink sink = byte_stream_to_buf(ret);
  bool ok = byte_stream_copy(&source, &sink, err);
  stream_codec_decoder_free(decoder);
  return ok;
}

static void make_data(uint64_t *rng, size_t len, Buf *ret) {
  while (ret->len < len) {
    if (test_random_below(rng, 2))
      buf_put_repeat(ret, (char)test_random_below(rng, 256), (size_t)test_random_below(rng, 5000));
    else {
      char noise[300];
      test_random_bytes(rng, noise, sizeof(noise));
      buf_put(ret, noise, sizeof(noise));
    }
  }
}

TEST(round_trip) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  static const size_t lens[] = {0, 1, 100, 300000, 1500000};
  for (int codec = STREAM_CODEC_NONE; codec <= STREAM_CODEC_GZIP; codec++)
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
      CLEANUP(buf_done) Buf data = BUF_INIT;
      CLEANUP(buf_done) Buf packed = BUF_INIT;
      CLEANUP(buf_done) Buf back = BUF_INIT;
      make_data(&rng, lens[i], &data);
      encode((StreamCodec)codec, buf_span(&data), &rng, &packed);
      CHECK_OK(decode((StreamCodec)codec, buf_span(&packed), data.len + 1, &back, &err), &err);
      CHECK(span_eq(buf_span(&back), buf_span(&data)));
      buf_clear(&back);
      if (codec == STREAM_CODEC_NONE) continue;
      encode((StreamCodec)codec, buf_span(&data), &rng, &packed); // two streams after each other
      CHECK_OK(decode((StreamCodec)codec, buf_span(&packed), 0, &back, &err), &err);
      CHECK_EQ_INT(back.len, data.len * 2);
    }
}

TEST(cut_and_damaged) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  for (int codec = STREAM_CODEC_XZ; codec <= STREAM_CODEC_GZIP; codec++) {
    CLEANUP(buf_done) Buf data = BUF_INIT;
    CLEANUP(buf_done) Buf packed = BUF_INIT;
    make_data(&rng, 50000, &data);
    encode((StreamCodec)codec, buf_span(&data), &rng, &packed);
    for (size_t cut = 1; cut < packed.len; cut += 1 + packed.len / 20) {
      CLEANUP(buf_done) Buf back = BUF_INIT;
      CHECK(!decode((StreamCodec)codec, span_sub(buf_span(&packed), 0, cut), 0, &back, &err));
      CHECK_EQ_INT(err.kind, ERR_SYNTAX);
      err_done(&err);
    }
    CLEANUP(buf_done) Buf back = BUF_INIT;
    packed.data[0] ^= 0x55;
    CHECK_ERR(decode((StreamCodec)codec, buf_span(&packed), 0, &back, &err), &err, ERR_SYNTAX, "decompressing");
  }
}

TEST(bomb) {
  uint64_t rng = test_seed();
  Err err = ERR_INIT;
  CLEANUP(buf_done) Buf data = BUF_INIT;
  buf_put_repeat(&data, 0, 5000000);
  for (int codec = STREAM_CODEC_NONE; codec <= STREAM_CODEC_GZIP; codec++) {
    CLEANUP(buf_done) Buf packed = BUF_INIT;
    CLEANUP(buf_done) Buf back = BUF_INIT;
    encode((StreamCodec)codec, buf_span(&data), &rng, &packed);
    CHECK_ERR(decode((StreamCodec)codec, buf_span(&packed), 100000, &back, &err), &err, ERR_LIMIT,
              "larger than the stated 100000");
  }
}

TEST(names) {
  Err err = ERR_INIT;
  StreamCodec codec;
  CHECK_OK(stream_codec_parse(SPAN("zstd"), &codec, &err), &err);
  CHECK_STR(stream_codec_suffix(codec), ".zst");
  CHECK_ERR(stream_codec_parse(SPAN("rar"), &codec, &err), &err, ERR_OTHER, "unknown compression method 'rar'");
}

TEST_MAIN()
