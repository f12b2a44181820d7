// Codes, scales and outputs of packed tiles as AVX-512 vectors; shared by the VNNI and AMX kernels.
#pragma once
#include <immintrin.h>

#include "formats.h"

namespace localllm::avx512 {

inline __m512i load64(const void* p) { return _mm512_loadu_si512(p); }
inline __m128i load16(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
inline __m256i load32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

inline __m512i broadcast4(const void* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

// a | (b & mask)
inline __m512i or_masked(__m512i a, __m512i b, __m512i mask) {
  return _mm512_ternarylogic_epi64(a, b, mask, 0xf8);
}

// Moves bits by `left`, which may be negative; bytes run into each other, so mask afterwards.
template <int Left>
inline __m512i shifted(__m512i a) {
  if constexpr (Left > 0) return _mm512_slli_epi16(a, Left);
  else if constexpr (Left < 0) return _mm512_srli_epi16(a, -Left);
  else return a;
}

template <int Bit>
inline void add_single_bits(const uint8_t* p, __m512i v[8]) {
  const __m512i mask = _mm512_set1_epi8(1 << Bit);
  __m512i w = load64(p);
  v[0] = or_masked(v[0], shifted<Bit>(w), mask);
  v[1] = or_masked(v[1], shifted<Bit - 1>(w), mask);
  v[2] = or_masked(v[2], shifted<Bit - 2>(w), mask);
  v[3] = or_masked(v[3], shifted<Bit - 3>(w), mask);
  v[4] = or_masked(v[4], shifted<Bit - 4>(w), mask);
  v[5] = or_masked(v[5], shifted<Bit - 5>(w), mask);
  v[6] = or_masked(v[6], shifted<Bit - 6>(w), mask);
  v[7] = or_masked(v[7], shifted<Bit - 7>(w), mask);
}

template <int Bit>
inline void add_bit_pairs(const uint8_t* p, __m512i v[8]) {
  const __m512i mask = _mm512_set1_epi8(3 << Bit);
  for (int j = 0; j < 2; ++j) {
    __m512i w = load64(p + j * 64);
    v[j] = or_masked(v[j], shifted<Bit>(w), mask);
    v[j + 2] = or_masked(v[j + 2], shifted<Bit - 2>(w), mask);
    v[j + 4] = or_masked(v[j + 4], shifted<Bit - 4>(w), mask);
    v[j + 6] = or_masked(v[j + 6], shifted<Bit - 6>(w), mask);
  }
}

// The codes of a group of 32 columns: v[j] holds columns 4j..4j+3 of 16 rows, as in load_code.
template <int Bits>
inline void load_codes(const uint8_t* p, __m512i v[8]) {
  if constexpr (Bits == 8) {
    for (int j = 0; j < 8; ++j) v[j] = load64(p + j * 64);
  } else if constexpr (Bits >= 4) {
    const __m512i mask = _mm512_set1_epi8(15);
    for (int j = 0; j < 4; ++j) {
      __m512i w = load64(p + j * 64);
      v[j] = _mm512_and_si512(w, mask);
      v[j + 4] = _mm512_and_si512(_mm512_srli_epi16(w, 4), mask);
    }
    if constexpr (Bits == 6) add_bit_pairs<4>(p + 256, v);
    if constexpr (Bits == 5) add_single_bits<4>(p + 256, v);
  } else {
    for (int j = 0; j < 8; ++j) v[j] = _mm512_setzero_si512();
    add_bit_pairs<0>(p, v);
    if constexpr (Bits == 3) add_single_bits<2>(p + 128, v);
  }
}

// Looks 4-bit codes up in a table of 16 signed values; the result is value + 128.
inline __m512i load_codebook(const int8_t* values) {
  __m128i table = _mm_xor_si128(load16(values), _mm_set1_epi8(int8_t(0x80)));
  return _mm512_broadcast_i32x4(table);
}

// High nibbles of two rows of 16 bytes, side by side as 16-bit numbers.
inline __m512i nibble_min_pair(const uint8_t* p) {
  __m512i even = _mm512_srli_epi32(_mm512_cvtepu8_epi32(load16(p)), 4);
  __m512i odd = _mm512_srli_epi32(_mm512_cvtepu8_epi32(load16(p + 16)), 4);
  return _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
}

// 16 numbers of a scale row as float32.
inline __m512 load_numbers(const uint8_t* p, Number n) {
  switch (n) {
    case Number::F16: return _mm512_cvtph_ps(load32(p));
    case Number::BF16:
      return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load32(p)), 16));
    case Number::F32: return _mm512_loadu_ps(p);
    default: {
      __m512i e = _mm512_cvtepu8_epi32(load16(p));
      __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
      __m512i small = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), e);
      __mmask16 is_small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
      return _mm512_castsi512_ps(_mm512_mask_blend_epi32(is_small, normal, small));
    }
  }
}

inline __m512 load_halves(const uint8_t* p) { return _mm512_cvtph_ps(load32(p)); }

inline __mmask16 row_mask(int num_rows) {
  return num_rows >= 16 ? 0xffff : __mmask16((1 << num_rows) - 1);
}

}  // namespace localllm::avx512
