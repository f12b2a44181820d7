// Sixteen dwords of two 16-bit or four 8-bit integers, by whatever instruction set this file is
// compiled for. Sums of products are exact, so all of them give the same bits.
#pragma once
#include "simd.h"

namespace localllm::LOCALLLM_ISA {

#if defined(__AVX512F__)

struct Dwords {
  __m512i v;
};
inline Dwords zero_dwords() { return {_mm512_setzero_si512()}; }
inline Dwords load_dwords(const void* p) { return {_mm512_loadu_si512(p)}; }
inline void store_dwords(void* p, Dwords a) { _mm512_storeu_si512(p, a.v); }
inline Dwords set1_dword(int32_t a) { return {_mm512_set1_epi32(a)}; }
// Signed bytes 0 and 2 of each dword, or 1 and 3, as its two 16-bit integers.
inline Dwords even_bytes(Dwords a) { return {_mm512_srai_epi16(_mm512_slli_epi16(a.v, 8), 8)}; }
inline Dwords odd_bytes(Dwords a) { return {_mm512_srai_epi16(a.v, 8)}; }
// sums + a0 * b0 + a1 * b1 in each dword
inline Dwords add_products(Dwords sums, Dwords a, Dwords b) {
  return {_mm512_dpwssd_epi32(sums.v, a.v, b.v)};
}
inline Vec as_floats(Dwords a) { return {_mm512_cvtepi32_ps(a.v)}; }
// The lower halves of dwords as float16.
inline Vec low_halves(Dwords a) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(a.v))}; }
inline Vec high_halves(Dwords a) { return low_halves({_mm512_srli_epi32(a.v, 16)}); }

// Integers rounded to nearest, as 16 bits or 8.
inline void store_rounded(int16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
}
inline void store_rounded(int8_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
inline Vec magnitudes(Vec a) { return {_mm512_abs_ps(a.v)}; }

// 16 bytes of each of 16 rows: dword j of row r goes to out[j * stride + r].
inline void transpose_dwords(const uint8_t* const* rows, int64_t offset, int32_t* out, int stride) {
  __m512i a[4];
  for (int i = 0; i < 4; ++i) {
    auto part = [&](int lane) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[4 * lane + i] + offset));
    };
    a[i] = _mm512_castsi128_si512(part(0));
    a[i] = _mm512_inserti32x4(a[i], part(1), 1);
    a[i] = _mm512_inserti32x4(a[i], part(2), 2);
    a[i] = _mm512_inserti32x4(a[i], part(3), 3);
  }
  __m512i low01 = _mm512_unpacklo_epi32(a[0], a[1]), high01 = _mm512_unpackhi_epi32(a[0], a[1]);
  __m512i low23 = _mm512_unpacklo_epi32(a[2], a[3]), high23 = _mm512_unpackhi_epi32(a[2], a[3]);
  store_dwords(out, {_mm512_unpacklo_epi64(low01, low23)});
  store_dwords(out + stride, {_mm512_unpackhi_epi64(low01, low23)});
  store_dwords(out + 2 * stride, {_mm512_unpacklo_epi64(high01, high23)});
  store_dwords(out + 3 * stride, {_mm512_unpackhi_epi64(high01, high23)});
}

#elif defined(__AVX2__)

struct Dwords {
  __m256i lo, hi;
};
inline Dwords zero_dwords() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Dwords load_dwords(const void* p) {
  auto* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline void store_dwords(void* p, Dwords a) {
  auto* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, a.lo);
  _mm256_storeu_si256(q + 1, a.hi);
}
inline Dwords set1_dword(int32_t a) { return {_mm256_set1_epi32(a), _mm256_set1_epi32(a)}; }
inline Dwords odd_bytes(Dwords a) {
  return {_mm256_srai_epi16(a.lo, 8), _mm256_srai_epi16(a.hi, 8)};
}
inline Dwords even_bytes(Dwords a) {
  return odd_bytes({_mm256_slli_epi16(a.lo, 8), _mm256_slli_epi16(a.hi, 8)});
}
inline Dwords add_products(Dwords sums, Dwords a, Dwords b) {
  return {_mm256_add_epi32(sums.lo, _mm256_madd_epi16(a.lo, b.lo)),
          _mm256_add_epi32(sums.hi, _mm256_madd_epi16(a.hi, b.hi))};
}
inline Vec as_floats(Dwords a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline __m256 halves_in_dwords(__m256i a) {  // upper halves zero
  __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, a), 0x08);
  return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
inline Vec high_halves(Dwords a) {
  return {halves_in_dwords(_mm256_srli_epi32(a.lo, 16)),
          halves_in_dwords(_mm256_srli_epi32(a.hi, 16))};
}
inline Vec low_halves(Dwords a) {
  return high_halves({_mm256_slli_epi32(a.lo, 16), _mm256_slli_epi32(a.hi, 16)});
}
inline __m256i rounded_to_16_bits(Vec a) {
  __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
  return _mm256_permute4x64_epi64(packed, 0xd8);
}
inline void store_rounded(int16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), rounded_to_16_bits(a));
}
inline void store_rounded(int8_t* p, Vec a) {
  __m256i wide = rounded_to_16_bits(a);
  __m128i packed = _mm_packs_epi16(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
inline Vec magnitudes(Vec a) {
  __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline void transpose_dwords(const uint8_t* const* rows, int64_t offset, int32_t* out, int stride) {
  for (int half = 0; half < 16; half += 8) {
    __m256i a[4];
    for (int i = 0; i < 4; ++i) {
      auto part = [&](int lane) {
        return _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(rows[half + 4 * lane + i] + offset));
      };
      a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(1), 1);
    }
    __m256i low01 = _mm256_unpacklo_epi32(a[0], a[1]), high01 = _mm256_unpackhi_epi32(a[0], a[1]);
    __m256i low23 = _mm256_unpacklo_epi32(a[2], a[3]), high23 = _mm256_unpackhi_epi32(a[2], a[3]);
    __m256i columns[4] = {
        _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
        _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
    for (int j = 0; j < 4; ++j)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + j * stride + half), columns[j]);
  }
}

#else

struct Dwords {
  int32_t v[16];
};
template <typename F>
inline Dwords each_dword(F f) {
  Dwords out;
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}
inline Dwords zero_dwords() { return {}; }
inline Dwords load_dwords(const void* p) {
  Dwords out;
  std::memcpy(out.v, p, 64);
  return out;
}
inline void store_dwords(void* p, Dwords a) { std::memcpy(p, a.v, 64); }
inline Dwords set1_dword(int32_t a) { return each_dword([=](int) { return a; }); }
inline int32_t pair_of(int low, int high) {
  return int32_t(uint32_t(uint16_t(low)) | uint32_t(high) << 16);
}
inline Dwords even_bytes(Dwords a) {
  return each_dword([&](int i) { return pair_of(int8_t(a.v[i]), int8_t(a.v[i] >> 16)); });
}
inline Dwords odd_bytes(Dwords a) {
  return each_dword([&](int i) { return pair_of(int8_t(a.v[i] >> 8), int8_t(a.v[i] >> 24)); });
}
inline Dwords add_products(Dwords sums, Dwords a, Dwords b) {
  return each_dword([&](int i) {
    int low = int16_t(a.v[i]) * int16_t(b.v[i]);
    return sums.v[i] + low + (a.v[i] >> 16) * (b.v[i] >> 16);
  });
}
inline Vec as_floats(Dwords a) { return each([&](int i) { return float(a.v[i]); }); }
inline Vec low_halves(Dwords a) {
  return each([&](int i) { return half_to_float(uint16_t(a.v[i])); });
}
inline Vec high_halves(Dwords a) {
  return each([&](int i) { return half_to_float(uint16_t(a.v[i] >> 16)); });
}
template <typename T>
inline void store_rounded(T* p, Vec a) {
  for (int i = 0; i < 16; ++i) p[i] = T(std::nearbyint(a.v[i]));
}
inline Vec magnitudes(Vec a) { return each([&](int i) { return std::fabs(a.v[i]); }); }
inline void transpose_dwords(const uint8_t* const* rows, int64_t offset, int32_t* out, int stride) {
  for (int r = 0; r < 16; ++r)
    for (int j = 0; j < 4; ++j) std::memcpy(out + j * stride + r, rows[r] + offset + 4 * j, 4);
}

#endif

}  // namespace localllm::LOCALLLM_ISA
