// Sixteen floats, by whatever instruction set this file is compiled for. Included by sources that
// are built once per instruction set; everything is inlined and lives in that build's namespace.
#pragma once
#include <cmath>
#include <cstdint>

#include "formats.h"

#if defined(__AVX512F__)
#define LOCALLLM_ISA avx512
#include <immintrin.h>
#elif defined(__AVX2__)
#define LOCALLLM_ISA avx2
#include <immintrin.h>
#else
#define LOCALLLM_ISA scalar
#endif

namespace localllm::LOCALLLM_ISA {

#if defined(__AVX512F__)

struct Vec {
  __m512 v;
};
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Vec load(const int8_t* p) {
  __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec set1(float a) { return {_mm512_set1_ps(a)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
// a where x < y, else b
inline Vec where_less(Vec x, Vec y, Vec a, Vec b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ), b.v, a.v)};
}
// a * 2^n for integral n
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(Vec a) { return _mm512_reduce_max_ps(a.v); }

#elif defined(__AVX2__)

struct Vec {
  __m256 lo, hi;
};
inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline Vec load(const uint16_t* p) {
  auto half = [](const uint16_t* q) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
  };
  return {half(p), half(p + 8)};
}
inline Vec load(const int8_t* p) {
  auto half = [](const int8_t* q) {
    __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  };
  return {half(p), half(p + 8)};
}
inline void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline Vec set1(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Vec where_less(Vec x, Vec y, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_cmp_ps(x.lo, y.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_cmp_ps(x.hi, y.hi, _CMP_LT_OQ))};
}
inline Vec scale_by_power(Vec a, Vec n) {
  auto power = [](__m256 e) {
    __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(e), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
  };
  return {_mm256_mul_ps(a.lo, power(n.lo)), _mm256_mul_ps(a.hi, power(n.hi))};
}
inline float sum(Vec a) {
  float x[16], total = 0;
  store(x, a);
  for (float v : x) total += v;
  return total;
}
inline float largest(Vec a) {
  float x[8], top;
  _mm256_storeu_ps(x, _mm256_max_ps(a.lo, a.hi));
  top = x[0];
  for (float v : x) top = v > top ? v : top;
  return top;
}

#else

struct Vec {
  float v[16];
};
template <typename F>
inline Vec each(F f) {
  Vec out;
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}
inline Vec load(const float* p) { return each([=](int i) { return p[i]; }); }
inline Vec load(const uint16_t* p) { return each([=](int i) { return half_to_float(p[i]); }); }
inline Vec load(const int8_t* p) { return each([=](int i) { return float(p[i]); }); }
inline void store(float* p, Vec a) { std::memcpy(p, a.v, 64); }
inline Vec set1(float a) { return each([=](int) { return a; }); }
inline Vec operator+(Vec a, Vec b) { return each([&](int i) { return a.v[i] + b.v[i]; }); }
inline Vec operator-(Vec a, Vec b) { return each([&](int i) { return a.v[i] - b.v[i]; }); }
inline Vec operator*(Vec a, Vec b) { return each([&](int i) { return a.v[i] * b.v[i]; }); }
inline Vec operator/(Vec a, Vec b) { return each([&](int i) { return a.v[i] / b.v[i]; }); }
inline Vec fma(Vec a, Vec b, Vec c) {
  return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec max(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec where_less(Vec x, Vec y, Vec a, Vec b) {
  return each([&](int i) { return x.v[i] < y.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec scale_by_power(Vec a, Vec n) {
  return each([&](int i) { return std::ldexp(a.v[i], int(n.v[i])); });
}
inline float sum(Vec a) {
  float total = 0;
  for (float v : a.v) total += v;
  return total;
}
inline float largest(Vec a) {
  float top = a.v[0];
  for (float v : a.v) top = v > top ? v : top;
  return top;
}

#endif

// e^x with a relative error of about 2e-7; 0 below -87.
inline Vec exp(Vec x) {
  Vec low = set1(-87.0f), clamped = min(max(x, low), set1(88.0f));
  Vec magic = set1(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  Vec n = fma(clamped, set1(1.44269504f), magic) - magic;
  Vec r = fma(n, set1(-0.693359375f), clamped);
  r = fma(n, set1(2.12194440e-4f), r);
  Vec p = set1(1.9875691500e-4f);
  for (float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                  5.0000001201e-1f})
    p = fma(p, r, set1(c));
  p = fma(p, r * r, r + set1(1.0f));
  return where_less(x, low, set1(0.0f), scale_by_power(p, n));
}

inline Vec sigmoid(Vec x) { return set1(1.0f) / (set1(1.0f) + exp(set1(0.0f) - x)); }

inline Vec tanh(Vec x) { return fma(set1(2.0f), sigmoid(x + x), set1(-1.0f)); }

// The first n of 16 values, the rest zero.
inline Vec load_part(const float* p, int n) {
  float x[16] = {0};
  std::memcpy(x, p, n * sizeof(float));
  return load(x);
}
inline void store_part(float* p, Vec a, int n) {
  float x[16];
  store(x, a);
  std::memcpy(p, x, n * sizeof(float));
}

}  // namespace localllm::LOCALLLM_ISA
