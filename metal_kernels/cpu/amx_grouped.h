// Formats with a float scale per group, for AMX: every scale is a float step.
#pragma once
#include "amx_tiles.h"
#include "avx512_codes.h"
#include "prefetch.h"

namespace localllm::amx {

using namespace localllm::avx512;

template <int Bits, int Zero, bool Mins, bool Codebook>
struct Grouped {
  static constexpr bool kUnsigned = Bits == 8 && Zero == 0;

  struct alignas(64) Tile {
    int8_t codes[kSuper * 16];
    __m512 scales[8], mins[8];
    int num_groups, num_steps;
  };

  [[gnu::always_inline]]
  static void expand_group(const Format& f, const uint8_t* super, int num_groups, __m512i table,
                           int g, Tile& out) {
    const __m512i zero = _mm512_set1_epi8(int8_t(Zero));
    prefetch_ahead(super, super_bytes(f, num_groups) / num_groups, g);
    __m512i v[8];
    load_codes<Bits>(super + g * 64 * Bits, v);
    for (int j = 0; j < 8; ++j) {
      if constexpr (Codebook) v[j] = _mm512_shuffle_epi8(table, v[j]);
      if constexpr (Zero != 0) v[j] = _mm512_sub_epi8(v[j], zero);
      _mm512_store_si512(out.codes + g * 512 + j * 64, v[j]);
    }
  }

  static void expand_scales(const Format& f, const uint8_t* super, int num_groups, Tile& out) {
    ScaleOffsets at = scale_offsets(f, num_groups);
    int columns = dot_columns(f);
    out.num_groups = num_groups;
    out.num_steps = num_groups * kGroup / columns;
    for (int s = 0; s < out.num_steps; ++s) {
      int index = s * columns / f.group * 16 * number_bytes(f.number);
      out.scales[s] = load_numbers(super + at.scales + index, f.number);
      if constexpr (Mins) out.mins[s] = load_numbers(super + at.mins + index, f.number);
    }
  }

  static void expand(const Format& f, const uint8_t* super, int num_groups, __m512i table,
                     Tile& out) {
    for (int g = 0; g < num_groups; ++g) expand_group(f, super, num_groups, table, g, out);
    expand_scales(f, super, num_groups, out);
  }

  using Products = int32_t[2][256];

  template <int First, bool Joint>
  static void issue(const int8_t* x, int rows, const int8_t* codes) {
    tile_zero<First>();
    tile_load<4>(x, 64);
    tile_load<6>(codes, 64);
    tile_dot<kUnsigned, First, 4, 6>();
    if constexpr (!Joint) {
      tile_zero<First + 1>();
      tile_load<5>(x + rows * 64, 64);
      tile_dot<kUnsigned, First + 1, 5, 6>();
    }
  }

  template <int First, bool Joint>
  static void store(Products& products) {
    tile_store<First>(products[0], 64);
    if constexpr (!Joint) tile_store<First + 1>(products[1], 64);
  }

  // All of `Rows`, so that the sums stay in registers; those past the last are never stored.
  template <int Rows>
  static inline void add(const int32_t* high, const int32_t* low, const Tile& tile, int step,
                         int columns, const BlockInfo* info, __m512* sums) {
    __m512 scale = tile.scales[step], min = tile.mins[step];
#pragma GCC unroll 16
    for (int m = 0; m < Rows; ++m) {
      __m512i whole = _mm512_add_epi32(_mm512_slli_epi32(load64(high + m * 16), 8),
                                       load64(low + m * 16));
      sums[m] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(whole), sums[m]);
      if constexpr (Mins) {
        const float* inputs = columns == 64 ? info[m].inputs64 : info[m].inputs32;
        sums[m] = _mm512_fmadd_ps(min, _mm512_set1_ps(inputs[step]), sums[m]);
      }
    }
  }

  // One superblock of a weight tile times one input tile, added to sums [rows][16]. A step's tile
  // instructions are issued, then the step before the last is added while the last one finishes and
  // is stored: two sets of tile registers take turns. `between(step)` does other work meanwhile.
  // `Joint`: both planes of at most eight inputs lie in one tile.
  template <int Rows, bool Joint, typename F>
  static void multiply_tile(const int8_t* x, const BlockInfo* info, int rows, const Tile& tile,
                            int columns, float* sums, F between) {
    alignas(64) Products products[2];
    __m512 block_sums[Rows];
#pragma GCC unroll 16
    for (int m = 0; m < Rows; ++m) block_sums[m] = _mm512_setzero_ps();
    for (int s = 0; s < tile.num_steps + 2; ++s) {
      if (s < tile.num_steps) {
        const int8_t* codes = tile.codes + s * columns * 16;
        const int8_t* inputs = x + int64_t(s * columns / 64) * rows * 128 + s * columns % 64;
        if (s % 2 == 0) issue<0, Joint>(inputs, rows, codes);
        else issue<2, Joint>(inputs, rows, codes);
        between(s);
      }
      if (s >= 2) {
        const int32_t* high = products[s % 2][0];
        const int32_t* low = Joint ? high + rows * 16 : products[s % 2][1];
        add<Rows>(high, low, tile, s - 2, columns, info, block_sums);
      }
      if (s >= 1 && s <= tile.num_steps) {
        if (s % 2 == 1) store<0, Joint>(products[1 - s % 2]);
        else store<2, Joint>(products[1 - s % 2]);
      }
    }
#pragma GCC unroll 16
    for (int m = 0; m < Rows; ++m) {
      if (m >= rows) break;
      __m512 total = _mm512_load_ps(sums + m * 16);
      _mm512_store_ps(sums + m * 16,
                      _mm512_fmadd_ps(_mm512_set1_ps(info[m].scale), block_sums[m], total));
    }
  }
};

}  // namespace localllm::amx
