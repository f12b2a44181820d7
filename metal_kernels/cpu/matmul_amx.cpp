// Matmul with AMX for three inputs or more.
//
// Quantized formats give the same bits as matmul_scalar.cpp. For Super* formats scale * code is at
// most 13 bits, so it goes into two byte planes 2^base * high + low; with the two planes of the
// activations four tile products cover 256 columns before anything becomes float. Grouped formats
// need a float step for each scale.
//
// F16 and BF16 weights meet activations split into two bfloat16 parts (16 bits); these formats run
// here for any number of inputs, so that a row's result does not depend on it.
#include <algorithm>

#include "amx_tiles.h"
#include "avx512_codes.h"
#include "kernels.h"
#include "scratch.h"

namespace localllm::amx {
namespace {

using namespace localllm::avx512;

constexpr int kPlaneBytes = kSuper * 16;
constexpr int kPairTiles = 2;     // weight tiles expanded at a time: 16 KB, stays in the L1 cache
constexpr int kBlockTiles = 16;   // weight tiles that meet a slice of inputs while it is in L2
constexpr int kChunkInputs = 512;  // inputs whose sums are kept at a time

// ---- formats with integer scales under a float one ----

// A superblock of 16 rows, ready for tile products.
template <int Planes>
struct alignas(64) SuperTile {
  int8_t planes[Planes][kPlaneBytes];
  __m512i mins[8];  // pairs of groups, as interleaved 16-bit numbers
  __m512 d, dmin;
};

inline __m512i in_both_words(__m512i dwords) {
  __m512i low = _mm512_and_si512(dwords, _mm512_set1_epi32(0xffff));
  return _mm512_or_si512(low, _mm512_slli_epi32(dwords, 16));
}

// code * scale for codes and scales without sign whose products with 3 bits of scale fit a byte:
// planes (scale >> 3) * code and (scale & 7) * code.
inline void small_products(const __m512i* v, int count, __m512i scale, int8_t* high, int8_t* low) {
  __m512i words = in_both_words(scale);
  __m512i top = _mm512_srli_epi16(words, 3);
  __m512i rest = _mm512_and_si512(words, _mm512_set1_epi16(7));
  for (int j = 0; j < count; ++j) {
    _mm512_store_si512(high + j * 64, _mm512_mullo_epi16(v[j], top));
    _mm512_store_si512(low + j * 64, _mm512_mullo_epi16(v[j], rest));
  }
}

// (code - zero) * scale in general, |.| < 2^15: planes P >> 8 (signed) and P & 255.
template <int Zero>
inline void wide_products(const __m512i* v, int count, __m512i scale, int8_t* high, int8_t* low) {
  const __m512i byte = _mm512_set1_epi16(0xff);
  __m512i words = in_both_words(scale);
  __m512i offset = _mm512_mullo_epi16(words, _mm512_set1_epi16(Zero));
  __m512i even_scale = _mm512_and_si512(words, byte), odd_scale = _mm512_slli_epi16(words, 8);
  for (int j = 0; j < count; ++j) {
    __m512i even = _mm512_sub_epi16(_mm512_maddubs_epi16(v[j], even_scale), offset);
    __m512i odd = _mm512_sub_epi16(_mm512_maddubs_epi16(v[j], odd_scale), offset);
    // 0xca selects the second operand where the first has ones, else the third
    _mm512_store_si512(low + j * 64, _mm512_ternarylogic_epi64(
                                         byte, even, _mm512_slli_epi16(odd, 8), 0xca));
    _mm512_store_si512(high + j * 64, _mm512_ternarylogic_epi64(
                                          byte, _mm512_srli_epi16(even, 8), odd, 0xca));
  }
}

// code * scale that fits a byte.
inline void single_products(const __m512i* v, int count, __m512i scale, int8_t* plane) {
  __m512i words = in_both_words(scale);
  for (int j = 0; j < count; ++j)
    _mm512_store_si512(plane + j * 64, _mm512_mullo_epi16(v[j], words));
}

template <Kind K, int Bits, int Zero, bool Mins, bool Codebook>
struct Super {
  static constexpr bool kSingle = Bits == 2;  // at most 3 * 15
  static constexpr bool kSmall = K == Kind::Super32 && !Codebook;
  static constexpr bool kUnsignedHigh = kSmall;  // up to 31 * 7 = 217
  static constexpr bool kUnsignedLow = true;
  static constexpr int kPlanes = kSingle ? 1 : 2;
  static constexpr int kBase = kSmall ? 3 : 8;
  static constexpr int kMinPairs = K == Kind::Super32 ? 4 : 8;
  static constexpr ScaleOffsets kAt =
      scale_offsets({K, Bits, Zero, Mins, Number::F16, 32, nullptr}, 8);
  using Tile = SuperTile<kPlanes>;

  static void expand_codes(const __m512i* v, int count, __m512i scale, int at, Tile& out) {
    int8_t* high = out.planes[0] + at;
    int8_t* low = out.planes[kPlanes - 1] + at;
    if constexpr (kSingle) single_products(v, count, scale, high);
    else if constexpr (kSmall) small_products(v, count, scale, high, low);
    else wide_products<Zero>(v, count, scale, high, low);
  }

  static void expand(const uint8_t* tile, __m512i table, Tile& out) {
    const uint8_t* scales = tile + kAt.scales;
    for (int g = 0; g < 8; ++g) {
      __m512i v[8];
      load_codes<Bits>(tile + g * 64 * Bits, v);
      if constexpr (Codebook)
        for (auto& codes : v) codes = _mm512_shuffle_epi8(table, codes);
      if constexpr (K == Kind::Super32) {
        expand_codes(v, 8, _mm512_cvtepi8_epi32(load16(scales + g * 16)), g * 512, out);
      } else {
        for (int half = 0; half < 2; ++half) {
          __m128i bytes = load16(scales + (2 * g + half) * 16);
          if constexpr (Mins) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
          expand_codes(v + 4 * half, 4, _mm512_cvtepi8_epi32(bytes), g * 512 + half * 256, out);
        }
      }
    }
    out.d = load_halves(tile + kAt.d);
    if constexpr (Mins) {
      out.dmin = load_halves(tile + kAt.dmin);
      for (int p = 0; p < kMinPairs; ++p) out.mins[p] = min_pair(tile, p);
    }
  }

  static __m512i min_pair(const uint8_t* tile, int p) {
    if constexpr (K == Kind::Super32)
      return _mm512_cvtepu8_epi16(load32(tile + kAt.mins + p * 32));
    else return nibble_min_pair(tile + kAt.scales + p * 32);
  }

  // Products of one weight tile with one input tile, waiting to be added to its sums.
  struct Pending {
    const int32_t* products = nullptr;  // [planes * 2][rows][16]
    const Tile* tile;
    const BlockInfo* info;
    float* sums;  // [rows][16]
    int rows;
  };

  static __m512i min_sums(const Tile& tile, const BlockInfo& info) {
    const int16_t* sums = kMinPairs == 4 ? info.scaled_sums32 : info.scaled_sums16;
    __m512i total = _mm512_setzero_si512();
    for (int p = 0; p < kMinPairs; ++p)
      total = _mm512_dpwssd_epi32(total, tile.mins[p], broadcast4(sums + 2 * p));
    return total;
  }

  // Input planes (high, low) x weight planes, in the order of the products.
  static __m512i product(const Pending& p, int input_plane, int row) {
    const int32_t* at = p.products + input_plane * kPlanes * 256 + row * 16;
    __m512i high = load64(at);
    if constexpr (kPlanes == 1) return high;
    else return _mm512_add_epi32(_mm512_slli_epi32(high, kBase), load64(at + 256));
  }

  static void add_row(const Pending& p, int m) {
    const BlockInfo& info = p.info[m];
    __m512 scale = _mm512_set1_ps(info.scale), sum = _mm512_load_ps(p.sums + m * 16);
    __m512 dot = _mm512_fmadd_ps(_mm512_set1_ps(256.0f), _mm512_cvtepi32_ps(product(p, 0, m)),
                                 _mm512_cvtepi32_ps(product(p, 1, m)));
    sum = _mm512_fmadd_ps(_mm512_mul_ps(p.tile->d, scale), dot, sum);
    if constexpr (Mins) {
      __m512 sum_scale = _mm512_set1_ps(kMinPairs == 4 ? info.sum_scale32 : info.sum_scale16);
      sum = _mm512_fnmadd_ps(_mm512_mul_ps(p.tile->dmin, sum_scale),
                             _mm512_cvtepi32_ps(min_sums(*p.tile, info)), sum);
    }
    _mm512_store_ps(p.sums + m * 16, sum);
  }

  // Rows of quarter 0..3 of a tile.
  static void add_quarter(const Pending& p, int quarter) {
    int begin = quarter * 4;
    if (begin + 4 <= p.rows) {
#pragma GCC unroll 4
      for (int m = 0; m < 4; ++m) add_row(p, begin + m);
    } else {
      for (int m = begin; m < p.rows; ++m) add_row(p, m);
    }
  }

  static void multiply_step(const int8_t* x, int rows, const Tile& tile, int step) {
    int64_t plane = int64_t(rows) * 256;
    tile_load<4>(x + step * rows * 64, 64);
    tile_load<5>(x + plane + step * rows * 64, 64);
    tile_load<6>(tile.planes[0] + step * 1024, 64);
    tile_dot<kUnsignedHigh, 0, 4, 6>();
    if constexpr (kPlanes == 2) {
      tile_load<7>(tile.planes[1] + step * 1024, 64);
      tile_dot<kUnsignedLow, 1, 4, 7>();
      tile_dot<kUnsignedHigh, 2, 5, 6>();
      tile_dot<kUnsignedLow, 3, 5, 7>();
    } else {
      tile_dot<kUnsignedHigh, 1, 5, 6>();
    }
  }

  // One superblock of some weight tiles times all inputs of a chunk. The vector work of one product
  // is done between the tile instructions of the next.
  static void multiply(const MatmulJob& job, const Tile* tiles, int num_tiles, int super,
                       int first_input_tile, int num_input_tiles, float* sums) {
    alignas(64) static thread_local int32_t products[2][kPlanes * 2][256];
    Pending pending;
    int turn = 0;
    for (int i = 0; i < num_input_tiles; ++i) {
      int input_tile = first_input_tile + i, rows = job.panel.rows_in_tile(input_tile);
      const int8_t* x = job.panel.block(input_tile, super);
      for (int t = 0; t < num_tiles; ++t) {
        tile_zero<0>();
        tile_zero<1>();
        if constexpr (kPlanes == 2) {
          tile_zero<2>();
          tile_zero<3>();
        }
        for (int step = 0; step < 4; ++step) {
          multiply_step(x, rows, tiles[t], step);
          if (pending.products) add_quarter(pending, step);
        }
        int32_t* out = products[turn][0];
        tile_store<0>(out, 64);
        tile_store<1>(out + 256, 64);
        if constexpr (kPlanes == 2) {
          tile_store<2>(out + 512, 64);
          tile_store<3>(out + 768, 64);
        }
        pending = {out, &tiles[t], job.panel.block_info(input_tile, super),
                   sums + (int64_t(i) * kBlockTiles + t) * 256, rows};
        turn ^= 1;
      }
    }
    for (int quarter = 0; quarter < 4; ++quarter) add_quarter(pending, quarter);
  }
};

// ---- formats with a float scale per group ----

template <int Bits, int Zero, bool Mins, bool Codebook>
struct Grouped {
  static constexpr bool kUnsigned = Bits == 8 && Zero == 0;

  struct alignas(64) Tile {
    int8_t codes[kPlaneBytes];
    __m512 scales[8], mins[8];
    int num_steps;
  };

  static void expand(const Format& f, const uint8_t* tile, int num_groups, __m512i table,
                     Tile& out) {
    const __m512i zero = _mm512_set1_epi8(int8_t(Zero));
    for (int g = 0; g < num_groups; ++g) {
      __m512i v[8];
      load_codes<Bits>(tile + g * 64 * Bits, v);
      for (int j = 0; j < 8; ++j) {
        if constexpr (Codebook) v[j] = _mm512_shuffle_epi8(table, v[j]);
        if constexpr (Zero != 0) v[j] = _mm512_sub_epi8(v[j], zero);
        _mm512_store_si512(out.codes + g * 512 + j * 64, v[j]);
      }
    }
    ScaleOffsets at = scale_offsets(f, num_groups);
    int columns = dot_columns(f);
    out.num_steps = num_groups * kGroup / columns;
    for (int s = 0; s < out.num_steps; ++s) {
      int index = s * columns / f.group * 16 * number_bytes(f.number);
      out.scales[s] = load_numbers(tile + at.scales + index, f.number);
      if constexpr (Mins) out.mins[s] = load_numbers(tile + at.mins + index, f.number);
    }
  }

  using Products = int32_t[2][256];

  template <int First>
  static void issue(const int8_t* x, int64_t plane, const int8_t* codes) {
    tile_load<4>(x, 64);
    tile_load<5>(x + plane, 64);
    tile_load<6>(codes, 64);
    tile_zero<First>();
    tile_zero<First + 1>();
    tile_dot<kUnsigned, First, 4, 6>();
    tile_dot<kUnsigned, First + 1, 5, 6>();
  }

  template <int First>
  static void store(Products& products) {
    tile_store<First>(products[0], 64);
    tile_store<First + 1>(products[1], 64);
  }

  // All 16 rows, so that the sums stay in registers; those past `rows` are never stored.
  static inline void add(const Products& products, const Tile& tile, int step, int columns,
                         const BlockInfo* info, __m512* sums) {
    __m512 scale = tile.scales[step], min = tile.mins[step];
#pragma GCC unroll 16
    for (int m = 0; m < 16; ++m) {
      __m512i high = _mm512_slli_epi32(load64(products[0] + m * 16), 8);
      __m512i whole = _mm512_add_epi32(high, load64(products[1] + m * 16));
      sums[m] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(whole), sums[m]);
      if constexpr (Mins) {
        const float* inputs = columns == 64 ? info[m].inputs64 : info[m].inputs32;
        sums[m] = _mm512_fmadd_ps(min, _mm512_set1_ps(inputs[step]), sums[m]);
      }
    }
  }

  // A step's tile instructions are issued, then the step before the last is added while the last
  // one finishes and is stored: two sets of tile registers take turns.
  static void multiply_tile(const int8_t* x, const BlockInfo* info, int rows, const Tile& tile,
                            int columns, float* sums) {
    alignas(64) Products products[2];
    __m512 block_sums[16];
#pragma GCC unroll 16
    for (int m = 0; m < 16; ++m) block_sums[m] = _mm512_setzero_ps();
    int64_t plane = int64_t(rows) * 256;
    auto inputs = [&](int s) {
      return x + int64_t(s * columns / 64) * rows * 64 + s * columns % 64;
    };
    for (int s = 0; s < tile.num_steps + 2; ++s) {
      if (s < tile.num_steps) {
        const int8_t* codes = tile.codes + s * columns * 16;
        if (s % 2 == 0) issue<0>(inputs(s), plane, codes);
        else issue<2>(inputs(s), plane, codes);
      }
      if (s >= 2) add(products[s % 2], tile, s - 2, columns, info, block_sums);
      if (s >= 1 && s <= tile.num_steps) {
        if (s % 2 == 1) store<0>(products[1 - s % 2]);
        else store<2>(products[1 - s % 2]);
      }
    }
#pragma GCC unroll 16
    for (int m = 0; m < 16; ++m) {
      if (m >= rows) break;
      __m512 total = _mm512_load_ps(sums + m * 16);
      _mm512_store_ps(sums + m * 16,
                      _mm512_fmadd_ps(_mm512_set1_ps(info[m].scale), block_sums[m], total));
    }
  }

  static void multiply(const MatmulJob& job, const Tile* tiles, int num_tiles, int super,
                       int first_input_tile, int num_input_tiles, float* sums) {
    int columns = dot_columns(job.format);
    for (int i = 0; i < num_input_tiles; ++i) {
      int input_tile = first_input_tile + i;
      for (int t = 0; t < num_tiles; ++t)
        multiply_tile(job.panel.block(input_tile, super), job.panel.block_info(input_tile, super),
                      job.panel.rows_in_tile(input_tile), tiles[t], columns,
                      sums + (int64_t(i) * kBlockTiles + t) * 256);
    }
  }
};

// ---- the loops around both ----

void store_sums(const MatmulJob& job, int first_tile, int num_tiles, int first_input_tile,
                int num_input_tiles, const float* sums) {
  for (int i = 0; i < num_input_tiles; ++i)
    for (int t = 0; t < num_tiles; ++t) {
      int column = (first_tile + t) * kTileRows;
      __mmask16 mask = row_mask(job.num_rows - column);
      int64_t input = int64_t(first_input_tile + i) * kTileRows;
      const float* from = sums + (int64_t(i) * kBlockTiles + t) * 256;
      int rows = std::min<int64_t>(kTileRows, job.num_inputs - input);
      for (int m = 0; m < rows; ++m)
        _mm512_mask_storeu_ps(job.y + (input + m) * job.num_rows + column, mask,
                              _mm512_load_ps(from + m * 16));
    }
}

// Calls body(first_tile, num_tiles, first_input_tile, num_input_tiles, sums) for blocks that fit
// the caches; sums start as zero and become columns of y.
template <typename F>
void for_each_block(const MatmulJob& job, int begin, int end, F body) {
  static thread_local Scratch scratch;
  constexpr int kChunkTiles = kChunkInputs / kTileRows;
  int input_tiles = num_tiles(job.num_inputs);
  float* sums = scratch.get<float>(std::min(input_tiles, kChunkTiles) * kBlockTiles * 256);
  for (int t = begin; t < end; t += kBlockTiles) {
    int tiles = std::min(kBlockTiles, end - t);
    for (int i = 0; i < input_tiles; i += kChunkTiles) {
      int inputs = std::min(kChunkTiles, input_tiles - i);
      std::memset(sums, 0, size_t(inputs) * kBlockTiles * 256 * sizeof(float));
      body(t, tiles, i, inputs, sums);
      store_sums(job, t, tiles, i, inputs, sums);
    }
  }
}

template <typename Impl>
void run_super(const MatmulJob& job, int begin, int end) {
  alignas(64) static thread_local typename Impl::Tile tiles[kPairTiles];
  const Format& f = job.format;
  __m512i table = f.codebook ? load_codebook(f.codebook) : _mm512_setzero_si512();
  int64_t bytes = tile_bytes(f, job.num_columns);
  TileConfig config(std::min(job.num_inputs, 16), 64);
  for_each_block(job, begin, end, [&](int t, int count, int i, int inputs, float* sums) {
    for (int s = 0; s < num_supers(job.num_columns); ++s) {
      const uint8_t* weights = job.weights + t * bytes + int64_t(s) * super_bytes(f, 8);
      for (int pair = 0; pair < count; pair += kPairTiles) {
        int size = std::min(kPairTiles, count - pair);
        for (int k = 0; k < size; ++k)
          Impl::expand(weights + (pair + k) * bytes, table, tiles[k]);
        Impl::multiply(job, tiles, size, s, i, inputs, sums + pair * 256);
      }
    }
  });
}

template <typename Impl>
void run_grouped(const MatmulJob& job, int begin, int end) {
  alignas(64) static thread_local typename Impl::Tile tiles[kPairTiles];
  const Format& f = job.format;
  __m512i table = f.codebook ? load_codebook(f.codebook) : _mm512_setzero_si512();
  int64_t bytes = tile_bytes(f, job.num_columns);
  TileConfig config(std::min(job.num_inputs, 16), dot_columns(f));
  for_each_block(job, begin, end, [&](int t, int count, int i, int inputs, float* sums) {
    for (int s = 0; s < num_supers(job.num_columns); ++s) {
      int num_groups = groups_in_super(job.num_columns, s);
      const uint8_t* weights = job.weights + t * bytes + int64_t(s) * super_bytes(f, 8);
      for (int pair = 0; pair < count; pair += kPairTiles) {
        int size = std::min(kPairTiles, count - pair);
        for (int k = 0; k < size; ++k)
          Impl::expand(f, weights + (pair + k) * bytes, num_groups, table, tiles[k]);
        Impl::multiply(job, tiles, size, s, i, inputs, sums + pair * 256);
      }
    }
  });
}

using Run = void (*)(const MatmulJob&, int, int);

template <int Bits>
Run affine() {
  return run_grouped<Grouped<Bits, 0, true, false>>;
}

Run grouped(const Format& f) {
  if (f.codebook) return run_grouped<Grouped<4, 128, false, true>>;
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
    case 4: return run_grouped<Grouped<4, 8, false, false>>;
    case 5: return run_grouped<Grouped<5, 16, false, false>>;
    default: return run_grouped<Grouped<8, 128, false, false>>;
  }
}

Run pick(const Format& f) {
  switch (f.kind) {
    case Kind::Super32:
      if (f.codebook) return run_super<Super<Kind::Super32, 4, 128, false, true>>;
      return f.bits == 4 ? run_super<Super<Kind::Super32, 4, 0, true, false>>
                         : run_super<Super<Kind::Super32, 5, 0, true, false>>;
    case Kind::Super16:
      if (f.bits == 6) return run_super<Super<Kind::Super16, 6, 32, false, false>>;
      return f.bits == 3 ? run_super<Super<Kind::Super16, 3, 4, false, false>>
                         : run_super<Super<Kind::Super16, 2, 0, true, false>>;
    default: return grouped(f);
  }
}

void matmul(const MatmulJob& job, int begin, int end) {
  if (job.format.kind == Kind::Dense) {
    if (job.x_split) return dense_matmul(job, begin, end);
    return avx512::kMatmul.matmul(job, begin, end);
  }
  if (job.num_inputs < 3) return avx512::kMatmul.matmul(job, begin, end);
  pick(job.format)(job, begin, end);
}

void quantize_rows(const float* x, const Panel& panel, int begin, int end) {
  avx512::kMatmul.quantize_rows(x, panel, begin, end);
}

}  // namespace

extern const MatmulKernels kMatmul = {quantize_rows, matmul, split_rows};

}  // namespace localllm::amx
