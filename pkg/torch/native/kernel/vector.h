// Vectors of the instruction set, by the compiler's vector types: + - * / and the
// comparisons work on them element by element.
#pragma once
#include <immintrin.h>
#include <stdint.h>

#define INLINE inline __attribute__((always_inline))

namespace {

#if defined(KERNELS_AVX512)
constexpr int lanes = 16;
constexpr int tile_rows = 8; // of a product, see product.h: what the registers hold
#elif defined(KERNELS_AVX2)
constexpr int lanes = 8;
constexpr int tile_rows = 6;
#else
constexpr int lanes = 4;
constexpr int tile_rows = 6;
#endif

typedef float floats __attribute__((vector_size(4 * lanes)));
typedef int32_t ints __attribute__((vector_size(4 * lanes)));
typedef uint32_t words __attribute__((vector_size(4 * lanes)));
typedef uint16_t halves __attribute__((vector_size(2 * lanes)));
typedef uint8_t bytes __attribute__((vector_size(lanes)));

struct bfloat16 {
  uint16_t bits;
};

INLINE floats broadcast(float x) { return x - floats{}; }
INLINE words broadcast(uint32_t x) { return x + words{}; }

INLINE words lane_numbers() {
  words v;
  for (int i = 0; i < lanes; i++) v[i] = i;
  return v;
}

INLINE floats load(const float *p) {
  floats v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
INLINE floats load(const bfloat16 *p) {
  halves v;
  __builtin_memcpy(&v, p, sizeof v);
  return (floats)(__builtin_convertvector(v, words) << 16);
}

INLINE words load(const uint32_t *p) {
  words v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
// One element of memory that vectors of another type wrote.
template <typename T>
INLINE T element(const T *p) {
  T x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}

INLINE void store(uint32_t *p, words v) { __builtin_memcpy(p, &v, sizeof v); }
INLINE void store(float *p, floats v) { __builtin_memcpy(p, &v, sizeof v); }
// To the nearest, ties to even.
INLINE void store(bfloat16 *p, floats v) {
#if defined(KERNELS_AVX512BF16)
  const __m256bh half = _mm512_cvtneps_pbh((__m512)v); // 0 below the exponents of fp32
#else
  words bits = (words)v;
  words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  rounded = v == v ? rounded : broadcast(uint32_t(0x7fc0));
  const halves half = __builtin_convertvector(rounded, halves);
#endif
  __builtin_memcpy(p, &half, sizeof half);
}

// The first count elements, count < lanes; the others are 0.
template <typename T>
INLINE floats load_part(const T *p, int64_t count) {
  T part[lanes] = {};
  for (int64_t i = 0; i < count; i++) part[i] = p[i];
  return load(part);
}
template <typename T>
INLINE void store_part(T *p, floats v, int64_t count) {
  T part[lanes];
  store(part, v);
  for (int64_t i = 0; i < count; i++) p[i] = part[i];
}

// The first count elements, where that is fewer than a vector has.
template <typename T>
INLINE floats load_most(const T *p, int64_t count) {
  return count >= lanes ? load(p) : load_part(p, count);
}
template <typename T>
INLINE void store_most(T *p, floats v, int64_t count) {
  if (count >= lanes) store(p, v);
  else store_part(p, v, count);
}

// lanes from count on become value.
INLINE floats fill_from(floats v, int64_t count, float value) {
  if (count >= lanes) return v;
  return (ints)lane_numbers() < int32_t(count) ? v : broadcast(value);
}

// each calls f(i, count) for each vector of [begin, end), at i, of which count elements
// are in it where those are fewer than lanes.
template <typename F>
INLINE void each(int64_t begin, int64_t end, const F &f) {
  int64_t i = begin;
  for (; i + lanes <= end; i += lanes) f(i, lanes);
  if (i < end) f(i, end - i);
}

INLINE float sum4(__m128 v) {
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
}
INLINE float greatest4(__m128 v) {
  v = _mm_max_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
}
#if !defined(KERNELS_GENERIC)
INLINE float sum8(__m256 v) { return sum4(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1))); }
INLINE float greatest8(__m256 v) { return greatest4(_mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1))); }
#endif

#if defined(KERNELS_AVX512)

// The second where one is NaN, here and below.
INLINE floats greater(floats a, floats b) { return (floats)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE floats lesser(floats a, floats b) { return (floats)_mm512_min_ps((__m512)a, (__m512)b); }
// 1/x to about one unit in the last place, for x between 2^-126 and 2^126.
INLINE floats inverse(floats x) {
  floats y = (floats)_mm512_rcp14_ps((__m512)x);
  return y + y * (1.0f - x * y);
}
INLINE __m256 low8(floats v) { return _mm512_castps512_ps256((__m512)v); }
INLINE __m256 high8(floats v) { return _mm512_extractf32x8_ps((__m512)v, 1); }
INLINE float sum(floats v) { return sum8(_mm256_add_ps(low8(v), high8(v))); }
INLINE float greatest(floats v) { return greatest8(_mm256_max_ps(low8(v), high8(v))); }
INLINE ints nearest(floats v) { return (ints)_mm512_cvtps_epi32((__m512)v); }
// The products of the even elements, 64 bits each.
INLINE words multiply_even(words a, words b) { return (words)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
INLINE words odd_to_even(words a) { return (words)_mm512_srli_epi64((__m512i)a, 32); }
INLINE words even_to_odd(words a) { return (words)_mm512_slli_epi64((__m512i)a, 32); }
INLINE words interleave(words even, words odd) { return (words)_mm512_mask_blend_epi32(0xaaaa, (__m512i)even, (__m512i)odd); }

// v where the bits from that element on are set, else 0. element is a multiple of lanes.
INLINE floats keep(floats v, const uint8_t *bits, int64_t element) {
  uint16_t mask;
  __builtin_memcpy(&mask, bits + element / 8, sizeof mask);
  return (floats)_mm512_maskz_mov_ps(mask, (__m512)v);
}

#elif defined(KERNELS_AVX2)

INLINE floats greater(floats a, floats b) { return (floats)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE floats lesser(floats a, floats b) { return (floats)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE floats inverse(floats x) { return 1.0f / x; }
INLINE float sum(floats v) { return sum8((__m256)v); }
INLINE float greatest(floats v) { return greatest8((__m256)v); }
INLINE ints nearest(floats v) { return (ints)_mm256_cvtps_epi32((__m256)v); }
INLINE words multiply_even(words a, words b) { return (words)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
INLINE words odd_to_even(words a) { return (words)_mm256_srli_epi64((__m256i)a, 32); }
INLINE words even_to_odd(words a) { return (words)_mm256_slli_epi64((__m256i)a, 32); }
INLINE words interleave(words even, words odd) { return (words)_mm256_blend_epi32((__m256i)even, (__m256i)odd, 0xaa); }

INLINE floats keep(floats v, const uint8_t *bits, int64_t element) {
  const ints bit = {1, 2, 4, 8, 16, 32, 64, 128};
  ints set = (int32_t(bits[element / 8]) + ints{}) & bit;
  return (floats)((ints)v & (set == bit));
}

#else

INLINE floats greater(floats a, floats b) { return (floats)_mm_max_ps((__m128)a, (__m128)b); }
INLINE floats lesser(floats a, floats b) { return (floats)_mm_min_ps((__m128)a, (__m128)b); }
INLINE floats inverse(floats x) { return 1.0f / x; }
INLINE float sum(floats v) { return sum4((__m128)v); }
INLINE float greatest(floats v) { return greatest4((__m128)v); }
INLINE ints nearest(floats v) { return (ints)_mm_cvtps_epi32((__m128)v); }
INLINE words multiply_even(words a, words b) { return (words)_mm_mul_epu32((__m128i)a, (__m128i)b); }
INLINE words odd_to_even(words a) { return (words)_mm_srli_epi64((__m128i)a, 32); }
INLINE words even_to_odd(words a) { return (words)_mm_slli_epi64((__m128i)a, 32); }
INLINE words interleave(words even, words odd) {
  const words low = {0xffffffff, 0, 0xffffffff, 0};
  return (even & low) | (odd & ~low);
}

INLINE floats keep(floats v, const uint8_t *bits, int64_t element) {
  const ints bit = {1, 2, 4, 8};
  ints set = (int32_t(bits[element / 8] >> (element & 4)) + ints{}) & bit;
  return (floats)((ints)v & (set == bit));
}

#endif

// The whole number below v, p · 2ⁿ for such a number, and a b - c, rounded once where the
// processor can.
#if defined(KERNELS_AVX512)
INLINE floats below(floats v) { return (floats)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
INLINE floats scaled(floats p, floats n) { return (floats)_mm512_scalef_ps((__m512)p, (__m512)n); }
INLINE floats multiply_subtract(floats a, floats b, floats c) { return (floats)_mm512_fmsub_ps((__m512)a, (__m512)b, (__m512)c); }
#else
INLINE floats below(floats v) { return __builtin_convertvector(nearest(v - 0.5f), floats); }
INLINE floats scaled(floats p, floats n) { return p * (floats)((nearest(n) + 127) << 23); }
#if defined(__FMA__)
INLINE floats multiply_subtract(floats a, floats b, floats c) { return (floats)_mm256_fmsub_ps((__m256)a, (__m256)b, (__m256)c); }
#else
INLINE floats multiply_subtract(floats a, floats b, floats c) { return a * b - c; }
#endif
#endif

// A factor of an exponent of two, in two parts, so that a product with it is right to fp32.
struct Exponent {
  float high, low;
};

// base_e is that with which powers of two are powers of e, of scale times the exponent.
INLINE Exponent base_e(float scale) {
  const double exact = scale * 1.4426950408889634;
  const float high = float(exact);
  return {high, float(exact - high)};
}

// 2 to the power of x times the factor, to about one unit in the last place where that is
// below 127; next to nothing where it is below -126. The polynomial has the least relative
// error on [0, 1] of those right at 0 and 1.
INLINE floats power_of_two(floats x, Exponent factor) {
  const floats high = broadcast(factor.high);
#if defined(KERNELS_AVX512)
  const floats n = below(x * high);
  const floats f = multiply_subtract(x, high, n) + x * factor.low;
#else
  const floats n = below(greater(broadcast(-126.0f), x * high)); // the least exponent of fp32
  const floats f = greater(broadcast(-0.5f), multiply_subtract(x, high, n) + x * factor.low);
#endif
  floats p = f * 2.17150250e-4f + 1.244087704e-3f;
  p = p * f + 9.67806391e-3f;
  p = p * f + 5.548415333e-2f;
  p = p * f + 2.4022951722e-1f;
  p = p * f + 6.9314700365e-1f;
  p = p * f + 1.0f;
  return scaled(p, n);
}

// eˣ, to about one unit in the last place; e⁸⁷ at most.
INLINE floats exponential(floats x) { return power_of_two(lesser(broadcast(87.0f), x), base_e(1)); }

} // namespace
