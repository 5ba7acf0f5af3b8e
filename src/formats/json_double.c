// json_double.c: Grisu2.
#include "formats/json_double.h"

// Floating point with a 64-bit significand: f * 2^e.
typedef struct Float {
  uint64_t f;
  int e;
} Float;

#define ALPHA (-60) // the scaled number has an exponent in [ALPHA, GAMMA = -32], so that its integral part fits 32 bits
#define POWER_MIN (-300)
#define POWER_STEP 8

// Significands of 10^POWER_MIN, 10^(POWER_MIN+8), ..., rounded to nearest.
static const uint64_t power_significands[79] = {
    0xab70fe17c79ac6ca, 0xff77b1fcbebcdc4f, 0xbe5691ef416bd60c, 0x8dd01fad907ffc3c, 0xd3515c2831559a83,
    0x9d71ac8fada6c9b5, 0xea9c227723ee8bcb, 0xaecc49914078536d, 0x823c12795db6ce57, 0xc21094364dfb5637,
    0x9096ea6f3848984f, 0xd77485cb25823ac7, 0xa086cfcd97bf97f4, 0xef340a98172aace5, 0xb23867fb2a35b28e,
    0x84c8d4dfd2c63f3b, 0xc5dd44271ad3cdba, 0x936b9fcebb25c996, 0xdbac6c247d62a584, 0xa3ab66580d5fdaf6,
    0xf3e2f893dec3f126, 0xb5b5ada8aaff80b8, 0x87625f056c7c4a8b, 0xc9bcff6034c13053, 0x964e858c91ba2655,
    0xdff9772470297ebd, 0xa6dfbd9fb8e5b88f, 0xf8a95fcf88747d94, 0xb94470938fa89bcf, 0x8a08f0f8bf0f156b,
    0xcdb02555653131b6, 0x993fe2c6d07b7fac, 0xe45c10c42a2b3b06, 0xaa242499697392d3, 0xfd87b5f28300ca0e,
    0xbce5086492111aeb, 0x8cbccc096f5088cc, 0xd1b71758e219652c, 0x9c40000000000000, 0xe8d4a51000000000,
    0xad78ebc5ac620000, 0x813f3978f8940984, 0xc097ce7bc90715b3, 0x8f7e32ce7bea5c70, 0xd5d238a4abe98068,
    0x9f4f2726179a2245, 0xed63a231d4c4fb27, 0xb0de65388cc8ada8, 0x83c7088e1aab65db, 0xc45d1df942711d9a,
    0x924d692ca61be758, 0xda01ee641a708dea, 0xa26da3999aef774a, 0xf209787bb47d6b85, 0xb454e4a179dd1877,
    0x865b86925b9bc5c2, 0xc83553c5c8965d3d, 0x952ab45cfa97a0b3, 0xde469fbd99a05fe3, 0xa59bc234db398c25,
    0xf6c69a72a3989f5c, 0xb7dcbf5354e9bece, 0x88fcf317f22241e2, 0xcc20ce9bd35c78a5, 0x98165af37b2153df,
    0xe2a0b5dc971f303a, 0xa8d9d1535ce3b396, 0xfb9b7cd9a4a7443c, 0xbb764c4ca7a44410, 0x8bab8eefb6409c1a,
    0xd01fef10a657842c, 0x9b10a4e5e9913129, 0xe7109bfba19c0c9d, 0xac2820d9623bf429, 0x80444b5e7aa7cf85,
    0xbf21e44003acdd2d, 0x8e679c2f5e44ff8f, 0xd433179d9c8cb841, 0x9e19db92b4e31ba9,
};

// The smallest cached 10^k with ALPHA <= e + (its exponent) + 64.
static Float cached_power(int e, int *ret_k) {
  int target = ALPHA - e - 1;
  int k = target * 78913 / (1 << 18) + (target > 0); // ceil(target * log10(2))
  int index = (k - POWER_MIN + POWER_STEP - 1) / POWER_STEP;
  *ret_k = POWER_MIN + index * POWER_STEP;
  return (Float){power_significands[index], ((*ret_k * 1741647) >> 19) - 63}; // floor(log2(10^k)) - 63
}

static Float multiply(Float a, Float b) {
  unsigned __int128 product = (unsigned __int128)a.f * b.f;
  return (Float){(uint64_t)(product >> 64) + ((uint64_t)product >> 63), a.e + b.e + 64};
}

static Float normalize(Float x) {
  int shift = __builtin_clzll(x.f);
  return (Float){x.f << shift, x.e - shift};
}

// `value` > 0, and the middle to its neighbours, all normalised to the exponent of the upper one.
static void boundaries(double value, Float *ret_value, Float *ret_low, Float *ret_high) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
  int exponent = (int)(bits >> 52 & 0x7ff);
  Float v = exponent ? (Float){fraction | (uint64_t)1 << 52, exponent - 1075} : (Float){fraction, -1074};
  Float high = normalize((Float){2 * v.f + 1, v.e - 1});
  // At a power of two the gap below is half of the gap above.
  bool closer = fraction == 0 && exponent > 1;
  Float low = closer ? (Float){4 * v.f - 1, v.e - 2} : (Float){2 * v.f - 1, v.e - 1};
  *ret_high = high;
  *ret_low = (Float){low.f << (low.e - high.e), high.e};
  *ret_value = normalize(v);
}

#define DIGITS_MAX 17 // enough to tell any two doubles apart; Grisu2 gives no more

typedef struct Digits {
  char text[DIGITS_MAX];
  int len;
  int exponent; // value = text * 10^exponent
} Digits;

// Lowers the last digit while that brings the digits nearer to the value. All in units of the scaled number.
static void round_last(Digits *digits, uint64_t distance, uint64_t delta, uint64_t rest, uint64_t unit) {
  while (rest < distance && delta - rest >= unit &&
         (rest + unit < distance || distance - rest > rest + unit - distance)) {
    digits->text[digits->len - 1]--;
    rest += unit;
  }
}

// Digits of `high` until they are inside of (low, high].
static void generate(Digits *digits, Float low, Float value, Float high) {
  uint64_t delta = high.f - low.f, distance = high.f - value.f, one = (uint64_t)1 << -high.e;
  uint32_t integral = (uint32_t)(high.f >> -high.e);
  uint64_t fraction = high.f & (one - 1);
  uint32_t unit = 1;
  int left = 1; // digits of the integral part still to come
  for (; integral / unit >= 10; left++) unit *= 10;
  for (; left > 0 && digits->len < DIGITS_MAX; unit /= 10) {
    digits->text[digits->len++] = (char)('0' + integral / unit);
    integral %= unit;
    left--;
    uint64_t rest = ((uint64_t)integral << -high.e) + fraction;
    if (rest <= delta) {
      digits->exponent += left;
      round_last(digits, distance, delta, rest, (uint64_t)unit << -high.e);
      return;
    }
  }
  while (digits->len < DIGITS_MAX) {
    fraction *= 10;
    delta *= 10;
    distance *= 10;
    digits->text[digits->len++] = (char)('0' + (fraction >> -high.e));
    fraction &= one - 1;
    digits->exponent--;
    if (fraction <= delta) break;
  }
  round_last(digits, distance, delta, fraction, one);
}

static void grisu2(double value, Digits *digits) {
  Float v, low, high;
  boundaries(value, &v, &low, &high);
  int k;
  Float power = cached_power(high.e, &k);
  v = multiply(v, power);
  low = multiply(low, power);
  high = multiply(high, power);
  // One unit of safety for the error of the products.
  low.f++;
  high.f--;
  digits->len = 0;
  digits->exponent = -k;
  generate(digits, low, v, high);
}

static char *put(char *out, const char *text, int len) {
  memcpy(out, text, (size_t)len);
  return out + len;
}

static char *put_zeros(char *out, int count) {
  memset(out, '0', (size_t)count);
  return out + count;
}

static char *put_exponent(char *out, int exponent) {
  *out++ = 'e';
  *out++ = exponent < 0 ? '-' : '+';
  unsigned magnitude = (unsigned)(exponent < 0 ? -exponent : exponent);
  if (magnitude >= 100) *out++ = (char)('0' + magnitude / 100);
  *out++ = (char)('0' + magnitude / 10 % 10);
  *out++ = (char)('0' + magnitude % 10);
  return out;
}

// `point`: where the decimal point is, counted from the first digit.
static char *layout(const Digits *digits, char *out) {
  const char *text = digits->text;
  int len = digits->len, point = len + digits->exponent;
  if (len <= point && point <= 15) return put(put_zeros(put(out, text, len), point - len), ".0", 2);
  if (0 < point && point <= 15) return put(put(put(out, text, point), ".", 1), text + point, len - point);
  if (-4 < point && point <= 0) return put(put_zeros(put(out, "0.", 2), -point), text, len);
  *out++ = text[0];
  if (len > 1) out = put(put(out, ".", 1), text + 1, len - 1);
  return put_exponent(out, point - 1);
}

size_t json_double_format(double value, char *ret) {
  Digits digits;
  char *out = ret;
  if (__builtin_signbit(value)) {
    value = -value;
    *out++ = '-';
  }
  if (value == 0) return (size_t)(put(out, "0.0", 3) - ret);
  grisu2(value, &digits);
  return (size_t)(layout(&digits, out) - ret);
}
