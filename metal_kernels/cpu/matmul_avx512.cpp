// Matmul of quantized weights with AVX-512 VNNI: the same integers and the same order of float
// operations as matmul_scalar.cpp, sixteen weight rows to a vector and up to four inputs at a time.
#include <algorithm>

#include "avx512_codes.h"
#include "avx512_matmul.h"
#include "prefetch.h"

namespace localllm::avx512 {
namespace {

template <int Rows>
struct Inputs {  // rows r .. r + Rows of a panel block
  const int8_t* planes;
  const BlockInfo* info;
  int64_t plane_stride, step_stride;

  Inputs(const Panel& panel, int tile, int super, int r)
      : planes(panel.block(tile, super) + r * 64),
        info(panel.block_info(tile, super) + r),
        plane_stride(int64_t(panel.rows_in_tile(tile)) * 64),
        step_stride(2 * plane_stride) {}

  const int8_t* group(int g, int row, int plane) const {
    return planes + plane * plane_stride + g / 2 * step_stride + row * 64 + g % 2 * 32;
  }
};

struct Pair {
  __m512i high, low;
};

template <int Count>
inline Pair dot(const __m512i* codes, const int8_t* high, const int8_t* low, __m512i first_high,
                __m512i first_low) {
  Pair sum{first_high, first_low};
  for (int j = 0; j < Count; ++j) {
    sum.high = _mm512_dpbusd_epi32(sum.high, codes[j], broadcast4(high + j * 4));
    sum.low = _mm512_dpbusd_epi32(sum.low, codes[j], broadcast4(low + j * 4));
  }
  return sum;
}

// What the zero point takes off a dot product over columns that sum to `sum`.
template <int Zero>
inline __m512i zero_term(int sum) {
  if constexpr (Zero == 0) return _mm512_setzero_si512();
  else return _mm512_set1_epi32(-Zero * sum);
}

inline int sum32(const BlockInfo& info, int plane, int group) {
  return info.sums16[plane][2 * group] + info.sums16[plane][2 * group + 1];
}

template <int Bits, bool Codebook>
inline void load_values(const uint8_t* group, __m512i table, __m512i v[8]) {
  load_codes<Bits>(group, v);
  if constexpr (Codebook)
    for (int j = 0; j < 8; ++j) v[j] = _mm512_shuffle_epi8(table, v[j]);
}

inline void add_scaled(Pair& total, const Pair& part, __m512i scale) {
  total.high = _mm512_add_epi32(total.high, _mm512_mullo_epi32(part.high, scale));
  total.low = _mm512_add_epi32(total.low, _mm512_mullo_epi32(part.low, scale));
}

template <int Bits, int Zero, bool Codebook, int Rows>
inline void super32_dots(const uint8_t* tile, int num_bytes, __m512i table, const Inputs<Rows>& x,
                         Pair* total) {
  for (int g = 0; g < 8; ++g) {
    prefetch_ahead(tile, num_bytes / 8, g);
    __m512i v[8];
    load_values<Bits, Codebook>(tile + g * 64 * Bits, table, v);
    __m512i scale = _mm512_cvtepi8_epi32(load16(tile + 8 * 64 * Bits + g * 16));
    for (int m = 0; m < Rows; ++m) {
      const BlockInfo& info = x.info[m];
      Pair part = dot<8>(v, x.group(g, m, 0), x.group(g, m, 1),
                         zero_term<Zero>(sum32(info, 0, g)), zero_term<Zero>(sum32(info, 1, g)));
      add_scaled(total[m], part, scale);
    }
  }
}

template <int Bits, int Zero, bool Nibbles, int Rows>
inline void super16_dots(const uint8_t* tile, int num_bytes, const Inputs<Rows>& x, Pair* total) {
  for (int g = 0; g < 8; ++g) {
    prefetch_ahead(tile, num_bytes / 8, g);
    __m512i v[8];
    load_codes<Bits>(tile + g * 64 * Bits, v);
    for (int half = 0; half < 2; ++half) {
      __m128i bytes = load16(tile + 8 * 64 * Bits + (2 * g + half) * 16);
      if constexpr (Nibbles) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
      __m512i scale = _mm512_cvtepi8_epi32(bytes);
      for (int m = 0; m < Rows; ++m) {
        const BlockInfo& info = x.info[m];
        Pair part = dot<4>(v + 4 * half, x.group(g, m, 0) + 16 * half,
                           x.group(g, m, 1) + 16 * half,
                           zero_term<Zero>(info.sums16[0][2 * g + half]),
                           zero_term<Zero>(info.sums16[1][2 * g + half]));
        add_scaled(total[m], part, scale);
      }
    }
  }
}

// Sum over groups of min * (rounded sum of the group's inputs), for Super32.
inline __m512i interleaved_mins(const uint8_t* mins, const BlockInfo& info) {
  __m512i sum = _mm512_setzero_si512();
  for (int p = 0; p < 4; ++p)
    sum = _mm512_dpwssd_epi32(sum, _mm512_cvtepu8_epi16(load32(mins + p * 32)),
                              broadcast4(info.scaled_sums32 + 2 * p));
  return sum;
}

// The same for Super16, whose mins are the high nibbles of the scale bytes.
inline __m512i nibble_mins(const uint8_t* scales, const BlockInfo& info) {
  __m512i sum = _mm512_setzero_si512();
  for (int p = 0; p < 8; ++p)
    sum = _mm512_dpwssd_epi32(sum, nibble_min_pair(scales + p * 32),
                              broadcast4(info.scaled_sums16 + 2 * p));
  return sum;
}

inline __m512 as_float(const Pair& sum) {
  return _mm512_fmadd_ps(_mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(sum.high),
                         _mm512_cvtepi32_ps(sum.low));
}

template <Kind K, int Bits, int Zero, bool Mins, bool Codebook>
struct Weights {
  static constexpr Format kFormat = {K, Bits, Zero, Mins, Number::F16, 32, nullptr};

  template <int Rows>
  static void add_super(const Format& f, const uint8_t* tile, __m512i table,
                        const Inputs<Rows>& x, int, __m512* acc) {
    Pair total[Rows];
    for (auto& t : total) t.high = t.low = _mm512_setzero_si512();
    constexpr int kBytes = super_bytes(kFormat, 8);
    if constexpr (K == Kind::Super32)
      super32_dots<Bits, Zero, Codebook, Rows>(tile, kBytes, table, x, total);
    else super16_dots<Bits, Zero, Mins, Rows>(tile, kBytes, x, total);
    constexpr ScaleOffsets at = scale_offsets(kFormat, 8);
    __m512 d = load_halves(tile + at.d), dmin;
    if constexpr (Mins) dmin = load_halves(tile + at.dmin);
    for (int m = 0; m < Rows; ++m) {
      __m512 scale = _mm512_set1_ps(x.info[m].scale);
      acc[m] = _mm512_fmadd_ps(_mm512_mul_ps(d, scale), as_float(total[m]), acc[m]);
      if constexpr (Mins) {
        __m512i mins = K == Kind::Super32 ? interleaved_mins(tile + at.mins, x.info[m])
                                          : nibble_mins(tile + at.scales, x.info[m]);
        __m512 sum_scale =
            _mm512_set1_ps(K == Kind::Super32 ? x.info[m].sum_scale32 : x.info[m].sum_scale16);
        acc[m] = _mm512_fnmadd_ps(_mm512_mul_ps(dmin, sum_scale), _mm512_cvtepi32_ps(mins), acc[m]);
      }
    }
  }

  template <int Rows>
  static void add_grouped(const Format& f, const uint8_t* tile, __m512i table,
                          const Inputs<Rows>& x, int num_groups, __m512* acc) {
    const ScaleOffsets at = scale_offsets(f, num_groups);
    int size = number_bytes(f.number), group_bytes = super_bytes(f, num_groups) / num_groups;
    __m512 sum[Rows];
    for (auto& s : sum) s = _mm512_setzero_ps();
    int columns = dot_columns(f), groups = columns / kGroup;
    for (int i = 0; i < num_groups / groups; ++i) {
      Pair part[Rows];
      for (auto& p : part) p.high = p.low = _mm512_setzero_si512();
      for (int g = i * groups; g < (i + 1) * groups; ++g) {
        prefetch_ahead(tile, group_bytes, g);
        __m512i v[8];
        load_values<Bits, Codebook>(tile + g * 64 * Bits, table, v);
        for (int m = 0; m < Rows; ++m) {
          const BlockInfo& info = x.info[m];
          __m512i high = _mm512_add_epi32(part[m].high, zero_term<Zero>(sum32(info, 0, g)));
          __m512i low = _mm512_add_epi32(part[m].low, zero_term<Zero>(sum32(info, 1, g)));
          part[m] = dot<8>(v, x.group(g, m, 0), x.group(g, m, 1), high, low);
        }
      }
      int index = i * columns / f.group * 16 * size;
      __m512 d = load_numbers(tile + at.scales + index, f.number), min;
      if constexpr (Mins) min = load_numbers(tile + at.mins + index, f.number);
      for (int m = 0; m < Rows; ++m) {
        __m512i whole = _mm512_add_epi32(_mm512_slli_epi32(part[m].high, 8), part[m].low);
        sum[m] = _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(whole), sum[m]);
        if constexpr (Mins) {
          const BlockInfo& info = x.info[m];
          float inputs = columns == 64 ? info.inputs64[i] : info.inputs32[i];
          sum[m] = _mm512_fmadd_ps(min, _mm512_set1_ps(inputs), sum[m]);
        }
      }
    }
    for (int m = 0; m < Rows; ++m)
      acc[m] = _mm512_fmadd_ps(_mm512_set1_ps(x.info[m].scale), sum[m], acc[m]);
  }

  template <int Rows>
  static void tile_rows(const MatmulJob& job, const uint8_t* tile, int input, float* y,
                        __mmask16 mask) {
    const Format& f = job.format;
    __m512i table = _mm512_setzero_si512();
    if constexpr (Codebook) table = load_codebook(f.codebook);
    __m512 acc[Rows];
    for (auto& a : acc) a = _mm512_setzero_ps();
    for (int s = 0; s < num_supers(job.num_columns); ++s) {
      int num_groups = groups_in_super(job.num_columns, s);
      Inputs<Rows> x(job.panel, input / kTileRows, s, input % kTileRows);
      if constexpr (K == Kind::Grouped) add_grouped<Rows>(f, tile, table, x, num_groups, acc);
      else add_super<Rows>(f, tile, table, x, num_groups, acc);
      tile += super_bytes(f, num_groups);
    }
    for (int m = 0; m < Rows; ++m)
      _mm512_mask_storeu_ps(y + int64_t(input + m) * job.num_rows, mask, acc[m]);
  }

  static void run(const MatmulJob& job, int begin, int end) {
    for (int t = begin; t < end; ++t) {
      const uint8_t* tile = job.weights + t * tile_bytes(job.format, job.num_columns);
      float* y = job.y + t * kTileRows;
      __mmask16 mask = row_mask(job.num_rows - t * kTileRows);
      for (int input = 0; input < job.num_inputs;) {
        int left = std::min(job.num_inputs, input / kTileRows * kTileRows + kTileRows) - input;
        switch (std::min(left, 4)) {
          case 1: tile_rows<1>(job, tile, input, y, mask); break;
          case 2: tile_rows<2>(job, tile, input, y, mask); break;
          case 3: tile_rows<3>(job, tile, input, y, mask); break;
          default: tile_rows<4>(job, tile, input, y, mask);
        }
        input += std::min(left, 4);
      }
    }
  }
};

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
    default: return dense_matmul;
  }
}

void matmul(const MatmulJob& job, int begin, int end) { pick(job.format)(job, begin, end); }

}  // namespace

extern const MatmulKernels kMatmul = {quantize_rows, matmul, nullptr};

}  // namespace localllm::avx512
