// Matmul with AVX2: inputs as 16-bit integers, eight weight rows to a vector.
//
// Grouped and dense formats give the bits of matmul_scalar.cpp. Super* formats split the sum of a
// group rather than each input into a high and a low part, which rounds the last bit differently.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.h"
#include "prefetch.h"

namespace localllm::avx2 {
namespace {

// ---- activations: per row and superblock 256 numbers, columns of four as 0, 2, 1, 3 ----

int16_t* panel_row(const Panel& panel, int row, int super) {
  int tile = row / kTileRows;
  auto* block = const_cast<int8_t*>(panel.block(tile, super));
  return reinterpret_cast<int16_t*>(block + int64_t(row % kTileRows) * 512);
}

BlockInfo& panel_info(const Panel& panel, int row, int super) {
  auto* info = const_cast<BlockInfo*>(panel.block_info(row / kTileRows, super));
  return info[row % kTileRows];
}

void quantize_block(const float* x, int num_columns, int16_t* out, BlockInfo& info) {
  float largest = 0;
  bool finite = true;
  for (int k = 0; k < num_columns; ++k) {
    largest = std::max(largest, std::fabs(x[k]));
    finite = finite && std::fabs(x[k]) < std::numeric_limits<float>::infinity();
  }
  if (largest < 1e-30f) largest = 0;
  info = BlockInfo{};
  info.scale = finite ? largest / kQuantMax : std::numeric_limits<float>::quiet_NaN();
  float inverse = largest > 0 && finite ? kQuantMax / largest : 0;
  for (int k = 0; k < kSuper; ++k) {
    int q = k < num_columns && inverse > 0 ? int(std::nearbyint(x[k] * inverse)) : 0;
    int high = (q + 128) >> 8;
    info.sums16[0][k / 16] += int16_t(high);
    info.sums16[1][k / 16] += int16_t(q - 256 * high);
    constexpr int kPlace[4] = {0, 2, 1, 3};
    out[k / 4 * 4 + kPlace[k % 4]] = int16_t(q);
  }
  complete(info);
}

void quantize_rows(const float* x, const Panel& panel, int begin, int end) {
  for (int row = begin; row < end; ++row)
    for (int s = 0; s < panel.num_supers; ++s)
      quantize_block(x + int64_t(row) * panel.num_columns + s * kSuper,
                     std::min(kSuper, panel.num_columns - s * kSuper), panel_row(panel, row, s),
                     panel_info(panel, row, s));
}

// ---- weights ----

inline __m256i load32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline __m128i load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }

// Codes of columns 4j..4j+3 of eight rows; `group` points at those rows' bytes.
template <int Bits>
inline __m256i load_codes(const uint8_t* group, int j) {
  if constexpr (Bits == 8) return load32(group + j * 64);
  __m256i codes = _mm256_setzero_si256();
  int shift = 0;
  if constexpr (Bits >= 4) {
    __m256i w = _mm256_srli_epi16(load32(group + (j & 3) * 64), 4 * (j >> 2));
    codes = _mm256_and_si256(w, _mm256_set1_epi8(15));
    group += 256;
    shift = 4;
  }
  if constexpr (Bits == 2 || Bits == 3 || Bits == 6) {
    __m256i w = _mm256_srli_epi16(load32(group + (j & 1) * 64), 2 * (j >> 1));
    w = _mm256_and_si256(w, _mm256_set1_epi8(3));
    codes = _mm256_or_si256(codes, _mm256_slli_epi16(w, shift));
    group += 128;
    shift += 2;
  }
  if constexpr (Bits & 1) {
    __m256i w = _mm256_and_si256(_mm256_srli_epi16(load32(group), j), _mm256_set1_epi8(1));
    codes = _mm256_or_si256(codes, _mm256_slli_epi16(w, shift));
  }
  return codes;
}

inline __m256i broadcast4(const void* p) {
  int32_t word;
  std::memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

// sums[m] += codes of vectors [begin, end) of a group x the inputs of row m.
template <int Bits, bool Codebook, int Rows>
inline void add_dots(const uint8_t* group, __m256i table, int begin, int end,
                     const int16_t* const* x, __m256i* sums) {
#pragma GCC unroll 8
  for (int j = begin; j < end; ++j) {
    __m256i codes = load_codes<Bits>(group, j);
    if constexpr (Codebook) codes = _mm256_shuffle_epi8(table, codes);
    __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff));
    __m256i odd = _mm256_srli_epi16(codes, 8);
    for (int m = 0; m < Rows; ++m) {
      sums[m] = _mm256_add_epi32(sums[m], _mm256_madd_epi16(even, broadcast4(x[m] + j * 4)));
      sums[m] = _mm256_add_epi32(sums[m], _mm256_madd_epi16(odd, broadcast4(x[m] + j * 4 + 2)));
    }
  }
}

inline __m256 load_numbers(const uint8_t* p, Number n) {
  switch (n) {
    case Number::F16: return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
    case Number::BF16:
      return _mm256_castsi256_ps(_mm256_slli_epi32(
          _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16));
    case Number::F32: return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
    default: {
      float values[8];
      for (int i = 0; i < 8; ++i) values[i] = e8m0_to_float_half(p[i]);
      return _mm256_loadu_ps(values);
    }
  }
}

inline int sum16(const BlockInfo& info, int g) {
  return 256 * info.sums16[0][g] + info.sums16[1][g];
}

// Eight weight rows of one superblock: `half` 0 or 1 of its tile.
template <Kind K, int Bits, int Zero, bool Mins, bool Codebook>
struct Weights {
  template <int Rows>
  static void add_super(const uint8_t* tile, int half, __m256i table, const int16_t* const* x,
                        const BlockInfo* const* info, __m256* acc) {
    constexpr Format kFormat = {K, Bits, Zero, Mins, Number::F16, 32, nullptr};
    constexpr ScaleOffsets at = scale_offsets(kFormat, 8);
    constexpr int kParts = K == Kind::Super32 ? 1 : 2, kVectors = 8 / kParts;
    __m256i high[Rows], low[Rows], mins[Rows];
    for (int m = 0; m < Rows; ++m) high[m] = low[m] = mins[m] = _mm256_setzero_si256();
    for (int part = 0; part < 8 * kParts; ++part) {
      int g = part / kParts, first = part % kParts * kVectors;
      if (half == 0 && first == 0) prefetch_ahead(tile, super_bytes(kFormat, 8) / 8, g);
      const int16_t* inputs[Rows];
      __m256i sums[Rows];
      for (int m = 0; m < Rows; ++m) {
        inputs[m] = x[m] + g * 32;
        int sum = kParts == 2 ? sum16(*info[m], part)
                              : sum16(*info[m], 2 * g) + sum16(*info[m], 2 * g + 1);
        sums[m] = _mm256_set1_epi32(-Zero * sum);
      }
      const uint8_t* group = tile + g * 64 * Bits + half * 32;
      if (first == 0) add_dots<Bits, Codebook, Rows>(group, table, 0, kVectors, inputs, sums);
      else add_dots<Bits, Codebook, Rows>(group, table, 4, 8, inputs, sums);
      __m128i bytes = load8(tile + at.scales + part * 16 + half * 8);
      __m256i min = _mm256_setzero_si256();
      if constexpr (Mins && K == Kind::Super16) {
        min = _mm256_srli_epi32(_mm256_cvtepu8_epi32(bytes), 4);
        bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
      } else if constexpr (Mins) {
        __m256i pairs = _mm256_cvtepu8_epi16(
            _mm_loadu_si128((const __m128i*)(tile + at.mins + g / 2 * 32 + half * 16)));
        min = g % 2 ? _mm256_srli_epi32(pairs, 16)
                    : _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff));
      }
      __m256i scale = _mm256_cvtepi8_epi32(bytes);
      for (int m = 0; m < Rows; ++m) {
        __m256i top = _mm256_srai_epi32(sums[m], 8);
        __m256i rest = _mm256_and_si256(sums[m], _mm256_set1_epi32(255));
        high[m] = _mm256_add_epi32(high[m], _mm256_mullo_epi32(top, scale));
        low[m] = _mm256_add_epi32(low[m], _mm256_mullo_epi32(rest, scale));
        if constexpr (Mins) {
          int sum = kParts == 2 ? info[m]->scaled_sums16[part] : info[m]->scaled_sums32[g];
          mins[m] = _mm256_add_epi32(mins[m], _mm256_mullo_epi32(min, _mm256_set1_epi32(sum)));
        }
      }
    }
    __m256 d = load_numbers(tile + at.d + half * 16, Number::F16), dmin = d;
    if constexpr (Mins) dmin = load_numbers(tile + at.dmin + half * 16, Number::F16);
    for (int m = 0; m < Rows; ++m) {
      __m256 dot = _mm256_fmadd_ps(_mm256_set1_ps(256.0f), _mm256_cvtepi32_ps(high[m]),
                                   _mm256_cvtepi32_ps(low[m]));
      acc[m] = _mm256_fmadd_ps(_mm256_mul_ps(d, _mm256_set1_ps(info[m]->scale)), dot, acc[m]);
      if constexpr (Mins) {
        float sum_scale = kParts == 2 ? info[m]->sum_scale16 : info[m]->sum_scale32;
        acc[m] = _mm256_fnmadd_ps(_mm256_mul_ps(dmin, _mm256_set1_ps(sum_scale)),
                                  _mm256_cvtepi32_ps(mins[m]), acc[m]);
      }
    }
  }

  template <int Rows>
  static void add_grouped(const Format& f, const uint8_t* tile, int num_groups, int half,
                          __m256i table, const int16_t* const* x, const BlockInfo* const* info,
                          __m256* acc) {
    ScaleOffsets at = scale_offsets(f, num_groups);
    int size = number_bytes(f.number), columns = dot_columns(f), groups = columns / kGroup;
    __m256 total[Rows];
    for (auto& t : total) t = _mm256_setzero_ps();
    for (int i = 0; i < num_groups / groups; ++i) {
      __m256i sums[Rows];
      for (auto& s : sums) s = _mm256_setzero_si256();
      for (int g = i * groups; g < (i + 1) * groups; ++g) {
        if (half == 0) prefetch_ahead(tile, super_bytes(f, num_groups) / num_groups, g);
        const int16_t* inputs[Rows];
        for (int m = 0; m < Rows; ++m) {
          inputs[m] = x[m] + g * 32;
          int sum = sum16(*info[m], 2 * g) + sum16(*info[m], 2 * g + 1);
          sums[m] = _mm256_add_epi32(sums[m], _mm256_set1_epi32(-Zero * sum));
        }
        add_dots<Bits, Codebook, Rows>(tile + g * 64 * Bits + half * 32, table, 0, 8, inputs, sums);
      }
      int index = (i * columns / f.group * 16 + half * 8) * size;
      __m256 d = load_numbers(tile + at.scales + index, f.number), min = d;
      if constexpr (Mins) min = load_numbers(tile + at.mins + index, f.number);
      for (int m = 0; m < Rows; ++m) {
        total[m] = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(sums[m]), total[m]);
        if constexpr (Mins) {
          float inputs = columns == 64 ? info[m]->inputs64[i] : info[m]->inputs32[i];
          total[m] = _mm256_fmadd_ps(min, _mm256_set1_ps(inputs), total[m]);
        }
      }
    }
    for (int m = 0; m < Rows; ++m)
      acc[m] = _mm256_fmadd_ps(_mm256_set1_ps(info[m]->scale), total[m], acc[m]);
  }

  template <int Rows>
  static void tile_rows(const MatmulJob& job, const uint8_t* tile, int input, float* y, int rows) {
    const Format& f = job.format;
    __m256i table = _mm256_setzero_si256();
    if constexpr (Codebook)
      table = _mm256_broadcastsi128_si256(_mm_xor_si128(
          _mm_loadu_si128((const __m128i*)f.codebook), _mm_set1_epi8(int8_t(0x80))));
    __m256 acc[2][Rows];
    for (auto& half : acc)
      for (auto& a : half) a = _mm256_setzero_ps();
    for (int s = 0; s < num_supers(job.num_columns); ++s) {
      int num_groups = groups_in_super(job.num_columns, s);
      const int16_t* x[Rows];
      const BlockInfo* info[Rows];
      for (int m = 0; m < Rows; ++m) {
        x[m] = panel_row(job.panel, input + m, s);
        info[m] = &panel_info(job.panel, input + m, s);
      }
      for (int half = 0; half < 2; ++half) {
        if constexpr (K == Kind::Grouped)
          add_grouped<Rows>(f, tile, num_groups, half, table, x, info, acc[half]);
        else add_super<Rows>(tile, half, table, x, info, acc[half]);
      }
      tile += super_bytes(f, num_groups);
    }
    for (int m = 0; m < Rows; ++m) {
      float out[16];
      _mm256_storeu_ps(out, acc[0][m]);
      _mm256_storeu_ps(out + 8, acc[1][m]);
      std::memcpy(y + int64_t(input + m) * job.num_rows, out, rows * sizeof(float));
    }
  }

  static void run(const MatmulJob& job, int begin, int end) {
    for (int t = begin; t < end; ++t) {
      const uint8_t* tile = job.weights + t * tile_bytes(job.format, job.num_columns);
      float* y = job.y + t * kTileRows;
      int rows = std::min(kTileRows, job.num_rows - t * kTileRows), input = 0;
      for (; input + 4 <= job.num_inputs; input += 4) tile_rows<4>(job, tile, input, y, rows);
      for (; input < job.num_inputs; ++input) tile_rows<1>(job, tile, input, y, rows);
    }
  }
};

// ---- dense weights ----

template <Number N>
inline void load_column(const uint8_t* tile, int column, __m256* out) {
  for (int half = 0; half < 2; ++half) {
    if constexpr (N == Number::F32) {
      out[half] = _mm256_loadu_ps(reinterpret_cast<const float*>(tile) + column * 16 + half * 8);
    } else {
      __m256i pairs = load32(tile + column / 2 * 64 + half * 32);
      __m256i words = column % 2 ? _mm256_srli_epi32(pairs, 16)
                                 : _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff));
      if constexpr (N == Number::BF16) {
        out[half] = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
      } else {
        __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words),
                                          _mm256_extracti128_si256(words, 1));
        out[half] = _mm256_cvtph_ps(halves);
      }
    }
  }
}

template <Number N, int Rows>
void dense_rows(const MatmulJob& job, const uint8_t* tile, int input, float* y, int rows) {
  const float* x = job.x + int64_t(input) * job.num_columns;
  __m256 acc[Rows][2];
  for (auto& a : acc) a[0] = a[1] = _mm256_setzero_ps();
  for (int k = 0; k < job.num_columns; ++k) {
    __m256 w[2];
    load_column<N>(tile, k, w);
    for (int m = 0; m < Rows; ++m) {
      __m256 v = _mm256_set1_ps(x[int64_t(m) * job.num_columns + k]);
      acc[m][0] = _mm256_fmadd_ps(v, w[0], acc[m][0]);
      acc[m][1] = _mm256_fmadd_ps(v, w[1], acc[m][1]);
    }
  }
  for (int m = 0; m < Rows; ++m) {
    float out[16];
    _mm256_storeu_ps(out, acc[m][0]);
    _mm256_storeu_ps(out + 8, acc[m][1]);
    std::memcpy(y + int64_t(input + m) * job.num_rows, out, rows * sizeof(float));
  }
}

template <Number N>
void dense(const MatmulJob& job, int begin, int end) {
  for (int t = begin; t < end; ++t) {
    const uint8_t* tile = job.weights + t * tile_bytes(job.format, job.num_columns);
    float* y = job.y + t * kTileRows;
    int rows = std::min(kTileRows, job.num_rows - t * kTileRows), input = 0;
    for (; input + 4 <= job.num_inputs; input += 4) dense_rows<N, 4>(job, tile, input, y, rows);
    for (; input < job.num_inputs; ++input) dense_rows<N, 1>(job, tile, input, y, rows);
  }
}

using Run = void (*)(const MatmulJob&, int, int);

template <int Bits>
Run affine() {
  return Weights<Kind::Grouped, Bits, 0, true, false>::run;
}

Run grouped(const Format& f) {
  if (f.codebook) return Weights<Kind::Grouped, 4, 128, false, true>::run;
  if (f.mins) {
    switch (f.bits) {
      case 2: return affine<2>();
      case 3: return affine<3>();
      case 4: return affine<4>();
      case 5: return affine<5>();
      case 6: return affine<6>();
      default: return affine<8>();
    }
  }
  switch (f.bits) {
    case 4: return Weights<Kind::Grouped, 4, 8, false, false>::run;
    case 5: return Weights<Kind::Grouped, 5, 16, false, false>::run;
    default: return Weights<Kind::Grouped, 8, 128, false, false>::run;
  }
}

Run pick(const Format& f) {
  switch (f.kind) {
    case Kind::Super32:
      if (f.codebook) return Weights<Kind::Super32, 4, 128, false, true>::run;
      return f.bits == 4 ? Weights<Kind::Super32, 4, 0, true, false>::run
                         : Weights<Kind::Super32, 5, 0, true, false>::run;
    case Kind::Super16:
      if (f.bits == 6) return Weights<Kind::Super16, 6, 32, false, false>::run;
      return f.bits == 3 ? Weights<Kind::Super16, 3, 4, false, false>::run
                         : Weights<Kind::Super16, 2, 0, true, false>::run;
    case Kind::Grouped: return grouped(f);
    default:
      if (f.number == Number::F32) return dense<Number::F32>;
      return f.number == Number::F16 ? dense<Number::F16> : dense<Number::BF16>;
  }
}

void matmul(const MatmulJob& job, int begin, int end) { pick(job.format)(job, begin, end); }

}  // namespace

extern const MatmulKernels kMatmul = {quantize_rows, matmul, nullptr};

}  // namespace localllm::avx2
