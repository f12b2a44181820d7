// Dense F16 and BF16 weights on AMX: bfloat16 products, float32 sums in the order of columns.
//
// Inputs are split x = high + low (16 bits of mantissa). F16 weights are split the same way, which
// is exact for their 11 bits; of the four products the smallest, low x low, is left out.
#include <algorithm>

#include "amx_tiles.h"
#include "avx512_codes.h"
#include "scratch.h"

namespace localllm::amx {
namespace {

using namespace localllm::avx512;

constexpr int kStepColumns = 32;
constexpr int kChunkSteps = 16;  // columns between two spills of the sums: 512
constexpr int kStepBytes = 1024;  // of one part of 32 columns, of weights as of inputs
constexpr int kPart = kStepBytes / 2;  // numbers in it
constexpr int kBlockTiles = 2;

inline __m512i high_part(__m512 x) {  // bfloat16 in the upper halves, rounded to nearest even
  __m512i bits = _mm512_castps_si512(x);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  return _mm512_and_si512(bits, _mm512_set1_epi32(int32_t(0xffff0000)));
}

inline __m256i upper_halves(__m512i bits) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

// 32 columns of 16 rows of F16, pairs of columns side by side, into two bfloat16 tiles. Cutting off
// leaves at most three bits of mantissa for the low part, so both parts are exact.
void split_weights(const uint8_t* tile, uint8_t* out) {
  const __m512i upper = _mm512_set1_epi32(int32_t(0xffff0000));
  auto join = [](__m512 even, __m512 odd) {
    __m512i low_words = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
    return _mm512_mask_blend_epi16(0xaaaaaaaa, low_words, _mm512_castps_si512(odd));
  };
  for (int i = 0; i < 16; ++i) {
    __m512i pairs = load64(tile + i * 64);
    __m512 even = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs));
    __m512 odd = _mm512_cvtph_ps(upper_halves(pairs));
    auto cut = [&](__m512 x) {
      return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), upper));
    };
    _mm512_store_si512(out + i * 64, join(even, odd));
    _mm512_store_si512(out + kStepBytes + i * 64, join(_mm512_sub_ps(even, cut(even)),
                                                       _mm512_sub_ps(odd, cut(odd))));
  }
}

template <Number N>
struct Dense {
  static constexpr int kParts = N == Number::F16 ? 2 : 1;

  // One step of 32 columns for Inputs x Weights tiles; tile 2 * i + w holds their sums.
  template <int Inputs, int Weights>
  static void multiply_step(const uint16_t* const* x, const uint8_t* const* w) {
    tile_load<6>(w[0], 64);
    if constexpr (Weights == 2) tile_load<7>(w[1], 64);
    tile_load<4>(x[0], 64);
    add<0, 4, Weights>();
    tile_load<5>(x[0] + kPart, 64);
    add<0, 5, Weights>();
    if constexpr (Inputs == 2) {
      tile_load<4>(x[1], 64);
      add<1, 4, Weights>();
      tile_load<5>(x[1] + kPart, 64);
      add<1, 5, Weights>();
    }
    if constexpr (kParts == 2) {
      tile_load<6>(w[0] + kStepBytes, 64);
      if constexpr (Weights == 2) tile_load<7>(w[1] + kStepBytes, 64);
      tile_load<5>(x[0], 64);
      add<0, 5, Weights>();
      if constexpr (Inputs == 2) {
        tile_load<4>(x[1], 64);
        add<1, 4, Weights>();
      }
    }
  }

  template <int Input, int A, int Weights>
  static void add() {
    tile_dot_bfloat<2 * Input, A, 6>();
    if constexpr (Weights == 2) tile_dot_bfloat<2 * Input + 1, A, 7>();
  }

  template <int Inputs, int Weights>
  static void multiply(const uint16_t* x, int64_t x_stride, const uint8_t* w, int64_t w_stride,
                       int num_steps, bool first, float* sums) {
    auto at = [&](int i, int t) { return sums + (i * kBlockTiles + t) * 256; };
    if (first) {
      tile_zero<0>();
      tile_zero<1>();
      tile_zero<2>();
      tile_zero<3>();
    } else {
      tile_load<0>(at(0, 0), 64);
      if constexpr (Weights == 2) tile_load<1>(at(0, 1), 64);
      if constexpr (Inputs == 2) tile_load<2>(at(1, 0), 64);
      if constexpr (Inputs == 2 && Weights == 2) tile_load<3>(at(1, 1), 64);
    }
    for (int s = 0; s < num_steps; ++s) {
      const uint16_t* inputs[2] = {x + s * 2 * kPart, x + x_stride + s * 2 * kPart};
      const uint8_t* weights = w + s * kParts * kStepBytes;
      const uint8_t* both[2] = {weights, weights + w_stride};
      multiply_step<Inputs, Weights>(inputs, both);
    }
    tile_store<0>(at(0, 0), 64);
    if constexpr (Weights == 2) tile_store<1>(at(0, 1), 64);
    if constexpr (Inputs == 2) tile_store<2>(at(1, 0), 64);
    if constexpr (Inputs == 2 && Weights == 2) tile_store<3>(at(1, 1), 64);
  }

  static void multiply_any(int inputs, int weights, const uint16_t* x, int64_t x_stride,
                           const uint8_t* w, int64_t w_stride, int num_steps, bool first,
                           float* sums) {
    if (inputs == 2 && weights == 2)
      multiply<2, 2>(x, x_stride, w, w_stride, num_steps, first, sums);
    else if (inputs == 2) multiply<2, 1>(x, x_stride, w, w_stride, num_steps, first, sums);
    else if (weights == 2) multiply<1, 2>(x, x_stride, w, w_stride, num_steps, first, sums);
    else multiply<1, 1>(x, x_stride, w, w_stride, num_steps, first, sums);
  }

  static void run(const MatmulJob& job, int begin, int end) {
    static thread_local Scratch sum_scratch, split_scratch;
    int steps = (job.num_columns + kStepColumns - 1) / kStepColumns;
    int input_tiles = num_tiles(job.num_inputs);
    int64_t bytes = tile_bytes(job.format, job.num_columns), x_stride = int64_t(steps) * 2 * kPart;
    constexpr int64_t kSplitBytes = kChunkSteps * 2 * kStepBytes;
    auto* sums = sum_scratch.get<float>(size_t(input_tiles) * kBlockTiles * 256);
    auto* split = split_scratch.get<uint8_t>(kBlockTiles * kSplitBytes);
    TileConfig config(std::min(job.num_inputs, 16), 64);
    for (int t = begin; t < end; t += kBlockTiles) {
      int tiles = std::min(kBlockTiles, end - t);
      for (int s = 0; s < steps; s += kChunkSteps) {
        int count = std::min(kChunkSteps, steps - s);
        const uint8_t* weights = job.weights + t * bytes + int64_t(s) * kStepBytes;
        if constexpr (kParts == 2)
          for (int k = 0; k < tiles; ++k)
            for (int i = 0; i < count; ++i)
              split_weights(weights + k * bytes + i * kStepBytes,
                            split + k * kSplitBytes + i * 2 * kStepBytes);
        for (int i = 0; i < input_tiles; i += 2) {
          const uint16_t* x = job.x_split + i * x_stride + int64_t(s) * 2 * kPart;
          multiply_any(std::min(2, input_tiles - i), tiles, x, x_stride,
                       kParts == 2 ? split : weights, kParts == 2 ? kSplitBytes : bytes, count,
                       s == 0, sums + int64_t(i) * kBlockTiles * 256);
        }
      }
      for (int k = 0; k < tiles; ++k) store(job, t + k, sums + k * 256);
    }
  }

  static void store(const MatmulJob& job, int t, const float* sums) {
    __mmask16 mask = row_mask(job.num_rows - t * kTileRows);
    for (int m = 0; m < job.num_inputs; ++m)
      _mm512_mask_storeu_ps(job.y + int64_t(m) * job.num_rows + t * kTileRows, mask,
                            _mm512_load_ps(sums + m / 16 * kBlockTiles * 256 + m % 16 * 16));
  }
};

}  // namespace

void split_rows(const float* x, int num_columns, uint16_t* out, int begin, int end) {
  int steps = (num_columns + kStepColumns - 1) / kStepColumns;
  for (int row = begin; row < end; ++row) {
    const float* from = x + int64_t(row) * num_columns;
    uint16_t* to = out + (int64_t(row / 16) * steps * 2 * 16 + row % 16) * kStepColumns;
    for (int s = 0; s < steps; ++s, to += 2 * 16 * kStepColumns)
      for (int half = 0; half < 2; ++half) {
        int left = num_columns - s * kStepColumns - half * 16;
        __mmask16 mask = left <= 0 ? 0 : row_mask(left);
        __m512 v = _mm512_maskz_loadu_ps(mask, from + s * kStepColumns + half * 16);
        __m512i high = high_part(v);
        __m512i low = high_part(_mm512_sub_ps(v, _mm512_castsi512_ps(high)));
        auto put = [&](uint16_t* p, __m512i bits) {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + half * 16), upper_halves(bits));
        };
        put(to, high);
        put(to + 16 * kStepColumns, low);
      }
  }
}

void dense_matmul(const MatmulJob& job, int begin, int end) {
  if (job.format.number == Number::F16) Dense<Number::F16>::run(job, begin, end);
  else Dense<Number::BF16>::run(job, begin, end);
}

}  // namespace localllm::amx
