// Matmul of dense weights with AVX-512: float steps in the order of matmul_scalar.cpp, up to eight
// inputs at a time.
#include "avx512_codes.h"
#include "avx512_matmul.h"

namespace localllm::avx512 {
namespace {

// Two columns of 16 rows.
struct Columns {
  __m512 even, odd;
};

template <Number N>
inline Columns load_columns(const uint8_t* p) {
  if constexpr (N == Number::F32) {
    return {_mm512_loadu_ps(p), _mm512_loadu_ps(p + 64)};
  } else if constexpr (N == Number::BF16) {
    __m512i v = load64(p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(v, 16)),
            _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(int32_t(0xffff0000))))};
  } else {
    __m512i v = load64(p);
    return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)),
            _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)))};
  }
}

template <Number N, int Rows>
void dense_rows(const MatmulJob& job, const uint8_t* tile, int input, float* y, __mmask16 mask) {
  constexpr int kPairBytes = N == Number::F32 ? 128 : 64;
  int columns = job.num_columns;
  const float* x = job.x + int64_t(input) * columns;
  __m512 acc[Rows];
  for (auto& a : acc) a = _mm512_setzero_ps();
  int k = 0;
  for (; k + 2 <= columns; k += 2, tile += kPairBytes) {
    Columns w = load_columns<N>(tile);
    for (int m = 0; m < Rows; ++m) {
      const float* row = x + int64_t(m) * columns + k;
      acc[m] = _mm512_fmadd_ps(_mm512_set1_ps(row[0]), w.even, acc[m]);
      acc[m] = _mm512_fmadd_ps(_mm512_set1_ps(row[1]), w.odd, acc[m]);
    }
  }
  if (k < columns) {
    Columns w = load_columns<N>(tile);
    for (int m = 0; m < Rows; ++m)
      acc[m] = _mm512_fmadd_ps(_mm512_set1_ps(x[int64_t(m) * columns + k]), w.even, acc[m]);
  }
  for (int m = 0; m < Rows; ++m)
    _mm512_mask_storeu_ps(y + int64_t(input + m) * job.num_rows, mask, acc[m]);
}

template <Number N>
void dense(const MatmulJob& job, int begin, int end) {
  for (int t = begin; t < end; ++t) {
    const uint8_t* tile = job.weights + t * tile_bytes(job.format, job.num_columns);
    float* y = job.y + t * kTileRows;
    __mmask16 mask = row_mask(job.num_rows - t * kTileRows);
    int input = 0;
    for (; input + 8 <= job.num_inputs; input += 8) dense_rows<N, 8>(job, tile, input, y, mask);
    for (; input + 4 <= job.num_inputs; input += 4) dense_rows<N, 4>(job, tile, input, y, mask);
    for (; input < job.num_inputs; ++input) dense_rows<N, 1>(job, tile, input, y, mask);
  }
}

}  // namespace

void dense_matmul(const MatmulJob& job, int begin, int end) {
  switch (job.format.number) {
    case Number::F32: return dense<Number::F32>(job, begin, end);
    case Number::F16: return dense<Number::F16>(job, begin, end);
    default: return dense<Number::BF16>(job, begin, end);
  }
}

}  // namespace localllm::avx512
