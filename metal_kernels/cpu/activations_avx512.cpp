// Activations to 16-bit integers in two planes, with AVX-512.
#include <algorithm>
#include <limits>

#include "avx512_codes.h"
#include "avx512_matmul.h"

namespace localllm::avx512 {
namespace {

void quantize_values(const float* x, int num_columns, int8_t* planes, int64_t plane_stride,
                     int64_t step_stride, BlockInfo& info) {
  __m512 v[16], top = _mm512_setzero_ps();
  __mmask16 bad = 0;
  for (int i = 0; i < 16; ++i) {
    int left = num_columns - i * 16;
    __mmask16 mask = left <= 0 ? 0 : row_mask(left);
    v[i] = _mm512_maskz_loadu_ps(mask, x + i * 16);
    __m512 magnitude = _mm512_abs_ps(v[i]);
    bad |= _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(std::numeric_limits<float>::infinity()),
                              _CMP_NLT_UQ);
    top = _mm512_max_ps(top, magnitude);
  }
  float largest = bad ? 0.0f : _mm512_reduce_max_ps(top);
  if (largest < 1e-30f) largest = 0;
  info.scale = bad ? std::numeric_limits<float>::quiet_NaN() : largest / kQuantMax;
  __m512 inverse = _mm512_set1_ps(largest > 0 ? kQuantMax / largest : 0.0f);
  for (int i = 0; i < 16; ++i) {
    __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
    if (bad) q = _mm512_setzero_si512();
    __m512i high = _mm512_srai_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(128)), 8);
    __m512i low = _mm512_sub_epi32(q, _mm512_slli_epi32(high, 8));
    int8_t* to = planes + i / 4 * step_stride + i % 4 * 16;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + plane_stride), _mm512_cvtepi32_epi8(low));
  }
}

void sum_groups(const int8_t* planes, int64_t plane_stride, int64_t step_stride, BlockInfo& info) {
  const __m512i ones = _mm512_set1_epi8(1);
  for (int plane = 0; plane < 2; ++plane)
    for (int step = 0; step < 4; ++step) {
      __m512i bytes = load64(planes + plane * plane_stride + step * step_stride);
      __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, bytes);
      s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, _MM_PERM_BADC));
      s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, _MM_PERM_CDAB));
      alignas(16) int32_t sums[4];
      _mm_store_si128(reinterpret_cast<__m128i*>(sums),
                      _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, s)));
      for (int i = 0; i < 4; ++i) info.sums16[plane][step * 4 + i] = int16_t(sums[i]);
    }
  complete(info);
}

}  // namespace

void quantize_rows(const float* x, const Panel& panel, int begin, int end) {
  for (int row = begin; row < end; ++row) {
    int tile = row / kTileRows, r = row % kTileRows, rows = panel.rows_in_tile(tile);
    for (int s = 0; s < panel.num_supers; ++s) {
      int columns = std::min(kSuper, panel.num_columns - s * kSuper);
      auto* planes = const_cast<int8_t*>(panel.block(tile, s)) + r * 64;
      auto* info = const_cast<BlockInfo*>(panel.block_info(tile, s)) + r;
      int64_t plane_stride = int64_t(rows) * 64, step_stride = 2 * plane_stride;
      quantize_values(x + int64_t(row) * panel.num_columns + s * kSuper, columns, planes,
                      plane_stride, step_stride, *info);
      sum_groups(planes, plane_stride, step_stride, *info);
    }
  }
}

}  // namespace localllm::avx512
