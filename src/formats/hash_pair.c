// hash_pair.c: two SHA-256 computations in step as long as both have whole blocks; libcrypto finishes each.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "formats/hash_pair.h"

#include <openssl/sha.h>

static void one_by_one(Span a, Span b, uint8_t ret_a[32], uint8_t ret_b[32]) {
  hash_sha256(a, ret_a);
  hash_sha256(b, ret_b);
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__((target("sha,sse4.1")))
#define TARGET_INLINE __attribute__((target("sha,sse4.1"), always_inline))

// FIPS 180-4, section 4.2.2.
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The state as the instructions want it: words A B E F and C D G H.
typedef struct Lane {
  __m128i abef, cdgh;
  __m128i schedule[4]; // the last 16 words of the message schedule
} Lane;

static inline TARGET_INLINE __m128i load(const void *from) {
  return _mm_loadu_si128((const __m128i *)from);
}

static inline TARGET_INLINE void lane_open(Lane *lane, const uint32_t *h) {
  __m128i badc = _mm_shuffle_epi32(load(h), 0xb1), hgfe = _mm_shuffle_epi32(load(h + 4), 0x1b);
  lane->abef = _mm_alignr_epi8(badc, hgfe, 8);
  lane->cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
}

static inline TARGET_INLINE void lane_close(const Lane *lane, uint32_t *h) {
  __m128i feba = _mm_shuffle_epi32(lane->abef, 0x1b), dchg = _mm_shuffle_epi32(lane->cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

// Words 4i..4i+3 of the schedule: from the block for i < 4, else from the 16 words before.
static inline TARGET_INLINE void lane_schedule(Lane *lane, int i, const char *block) {
  __m128i *w = lane->schedule;
  if (i < 4) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    w[i] = _mm_shuffle_epi8(load(block + 16 * i), big_endian);
    return;
  }
  __m128i last = w[(i + 3) & 3], seventh = _mm_alignr_epi8(last, w[(i + 2) & 3], 4);
  w[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), seventh), last);
}

// Rounds 4i..4i+3.
static inline TARGET_INLINE void lane_rounds(Lane *lane, int i) {
  __m128i words = _mm_add_epi32(lane->schedule[i & 3], load(constants + 4 * i));
  lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, words);
  lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(words, 0x0e));
}

static TARGET void compress_both(uint32_t *ha, uint32_t *hb, const char *a, const char *b, size_t blocks) {
  Lane la, lb;
  lane_open(&la, ha);
  lane_open(&lb, hb);
  for (; blocks; blocks--, a += 64, b += 64) {
    __m128i abef_a = la.abef, cdgh_a = la.cdgh, abef_b = lb.abef, cdgh_b = lb.cdgh;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      lane_schedule(&la, i, a);
      lane_schedule(&lb, i, b);
      lane_rounds(&la, i);
      lane_rounds(&lb, i);
    }
    la.abef = _mm_add_epi32(la.abef, abef_a);
    la.cdgh = _mm_add_epi32(la.cdgh, cdgh_a);
    lb.abef = _mm_add_epi32(lb.abef, abef_b);
    lb.cdgh = _mm_add_epi32(lb.cdgh, cdgh_b);
  }
  lane_close(&la, ha);
  lane_close(&lb, hb);
}

static bool has_sha_instructions(void) {
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_SSE4_1) || !(ecx & bit_SSSE3)) return false;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & 1u << 29);
}

// Lets libcrypto go on after `done` bytes that were compressed into ctx->h.
static void finish(SHA256_CTX *ctx, Span text, size_t done, uint8_t ret[32]) {
  uint64_t bits = (uint64_t)done * 8;
  ctx->Nl = (SHA_LONG)bits;
  ctx->Nh = (SHA_LONG)(bits >> 32);
  SHA256_Update(ctx, text.data + done, text.len - done);
  SHA256_Final(ret, ctx);
}

void hash_pair_sha256(HashPair *pair, Span a, Span b, uint8_t ret_a[32], uint8_t ret_b[32]) {
  if (UNLIKELY(pair->lanes == 0)) pair->lanes = has_sha_instructions() ? 2 : 1;
  size_t blocks = (a.len < b.len ? a.len : b.len) / 64;
  if (pair->lanes < 2 || blocks == 0) {
    one_by_one(a, b, ret_a, ret_b);
    return;
  }
  SHA256_CTX ctx_a, ctx_b;
  SHA256_Init(&ctx_a);
  SHA256_Init(&ctx_b);
  compress_both(ctx_a.h, ctx_b.h, a.data, b.data, blocks);
  finish(&ctx_a, a, blocks * 64, ret_a);
  finish(&ctx_b, b, blocks * 64, ret_b);
}

#else

void hash_pair_sha256(HashPair *pair, Span a, Span b, uint8_t ret_a[32], uint8_t ret_b[32]) {
  (void)pair;
  one_by_one(a, b, ret_a, ret_b);
}

#endif
