// Formats with integer scales under a float one, for AMX: scale * code is at most 13 bits, so it
// goes into two byte planes 2^base * high + low; with the two planes of the activations four tile
// products cover 256 columns before anything becomes float.
#pragma once
#include "amx_tiles.h"
#include "avx512_codes.h"
#include "prefetch.h"

namespace localllm::amx {

using namespace localllm::avx512;

constexpr int kPlaneBytes = kSuper * 16;

inline __m512i in_both_words(__m512i dwords) {
  __m512i low = _mm512_and_si512(dwords, _mm512_set1_epi32(0xffff));
  return _mm512_or_si512(low, _mm512_slli_epi32(dwords, 16));
}

// total + pairs * the two 16-bit numbers at `p`, which the instruction itself reads and repeats; GCC
// 12 would take an instruction and a register more.
inline __m512i dot_pairs(__m512i total, __m512i pairs, const int16_t* p) {
  struct Pair { int16_t numbers[2]; };
  asm("vpdpwssd %2%{1to16%}, %1, %0"
      : "+v"(total)
      : "v"(pairs), "m"(*reinterpret_cast<const Pair*>(p)));
  return total;
}

// code * scale for codes and scales without sign whose products with 3 bits of scale fit a byte:
// planes (scale >> 3) * code and (scale & 7) * code.
[[gnu::always_inline]]
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
[[gnu::always_inline]]
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
  static constexpr Format kFormat = {K, Bits, Zero, Mins, Number::F16, 32, nullptr};
  static constexpr ScaleOffsets kAt = scale_offsets(kFormat, 8);
  static constexpr bool kSingle = Bits == 2;  // at most 3 * 15
  static constexpr bool kSmall = K == Kind::Super32 && !Codebook;
  static constexpr bool kUnsignedHigh = kSmall;  // up to 31 * 7 = 217
  static constexpr int kPlanes = kSingle ? 1 : 2;
  static constexpr int kBase = kSmall ? 3 : 8;
  static constexpr int kMinPairs = K == Kind::Super32 ? 4 : 8;

  // A superblock of 16 rows, ready for tile products.
  struct alignas(64) Tile {
    int8_t planes[kPlanes][kPlaneBytes];
    __m512i mins[8];  // pairs of groups, as interleaved 16-bit numbers
    __m512 d, dmin;
  };

  [[gnu::always_inline]]
  static void expand_codes(const __m512i* v, int count, __m512i scale, int at, Tile& out) {
    int8_t* high = out.planes[0] + at;
    int8_t* low = out.planes[kPlanes - 1] + at;
    if constexpr (kSingle) single_products(v, count, scale, high);
    else if constexpr (kSmall) small_products(v, count, scale, high, low);
    else wide_products<Zero>(v, count, scale, high, low);
  }

  [[gnu::always_inline]]
  static void expand_group(const uint8_t* super, __m512i table, int g, Tile& out) {
    prefetch_ahead(super, super_bytes(kFormat, 8) / 8, g);
    const uint8_t* scales = super + kAt.scales;
    __m512i v[8];
    load_codes<Bits>(super + g * 64 * Bits, v);
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

  static void expand_scales(const uint8_t* super, Tile& out) {
    out.d = load_halves(super + kAt.d);
    if constexpr (Mins) {
      out.dmin = load_halves(super + kAt.dmin);
      for (int p = 0; p < kMinPairs; ++p) out.mins[p] = min_pair(super, p);
    }
  }

  static void expand(const uint8_t* super, __m512i table, Tile& out) {
    for (int g = 0; g < 8; ++g) expand_group(super, table, g, out);
    expand_scales(super, out);
  }

  static __m512i min_pair(const uint8_t* super, int p) {
    if constexpr (K == Kind::Super32)
      return _mm512_cvtepu8_epi16(load32(super + kAt.mins + p * 32));
    else return nibble_min_pair(super + kAt.scales + p * 32);
  }

  // Products of one weight tile with one input tile, waiting to be added to its sums; the weights'
  // scales wait in registers.
  struct Pending {
    const int32_t* products = nullptr;  // [weight plane: 512][input plane: low_at][rows][16]
    int low_at;
    const BlockInfo* info;
    float* sums;  // [rows][16]
    int rows;
    __m512 d, dmin;
    __m512i mins[kMinPairs];

    void take_scales(const Tile& tile) {
      d = tile.d;
      if constexpr (Mins) {
        dmin = tile.dmin;
        for (int p = 0; p < kMinPairs; ++p) mins[p] = tile.mins[p];
      }
    }
  };

  static __m512i min_sums(const Pending& p, const BlockInfo& info) {
    const int16_t* sums = kMinPairs == 4 ? info.scaled_sums32 : info.scaled_sums16;
    __m512i total = _mm512_setzero_si512();
    for (int pair = 0; pair < kMinPairs; ++pair)
      total = dot_pairs(total, p.mins[pair], sums + 2 * pair);
    return total;
  }

  // Both weight planes times one input plane.
  static __m512 product(const int32_t* at) {
    __m512i high = load64(at);
    if constexpr (kPlanes == 1) return _mm512_cvtepi32_ps(high);
    else return _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(high, kBase),
                                                    load64(at + 512)));
  }

  static void add_row(const Pending& p, int m) {
    const BlockInfo& info = p.info[m];
    const int32_t* at = p.products + m * 16;
    __m512 scale = _mm512_set1_ps(info.scale), sum = _mm512_load_ps(p.sums + m * 16);
    __m512 dot = _mm512_fmadd_ps(_mm512_set1_ps(256.0f), product(at), product(at + p.low_at));
    sum = _mm512_fmadd_ps(_mm512_mul_ps(p.d, scale), dot, sum);
    if constexpr (Mins) {
      __m512 sum_scale = _mm512_set1_ps(kMinPairs == 4 ? info.sum_scale32 : info.sum_scale16);
      sum = _mm512_fnmadd_ps(_mm512_mul_ps(p.dmin, sum_scale),
                             _mm512_cvtepi32_ps(min_sums(p, info)), sum);
    }
    _mm512_store_ps(p.sums + m * 16, sum);
  }

  // Quarter 0..3 of the rows.
  static void add_quarter(const Pending& p, int quarter) {
    int begin = p.rows * quarter / 4, end = p.rows * (quarter + 1) / 4;
    if (end - begin == 4) {
#pragma GCC unroll 4
      for (int m = 0; m < 4; ++m) add_row(p, begin + m);
    } else {
      for (int m = begin; m < end; ++m) add_row(p, m);
    }
  }

  // Starts the products of a tile. `Joint`: both planes of at most eight inputs lie in one tile.
  static void begin_products() {
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
  }

  // 64 columns; products in the order of Pending.
  template <bool Joint>
  static void multiply_step(const int8_t* x, int rows, const Tile& tile, int step) {
    const int8_t* high = x + step * rows * 128;
    tile_load<4>(high, 64);
    tile_load<6>(tile.planes[0] + step * 1024, 64);
    tile_dot<kUnsignedHigh, 0, 4, 6>();
    if constexpr (!Joint) {
      tile_load<5>(high + rows * 64, 64);
      tile_dot<kUnsignedHigh, 1, 5, 6>();
    }
    if constexpr (kPlanes == 2) {
      tile_load<7>(tile.planes[1] + step * 1024, 64);
      tile_dot<true, 2, 4, 7>();
      if constexpr (!Joint) tile_dot<true, 3, 5, 7>();
    }
  }

  template <bool Joint>
  static Pending end_products(int32_t* out, int rows) {
    tile_store<0>(out, 64);
    if constexpr (!Joint) tile_store<1>(out + 256, 64);
    if constexpr (kPlanes == 2) {
      tile_store<2>(out + 512, 64);
      if constexpr (!Joint) tile_store<3>(out + 768, 64);
    }
    Pending pending;
    pending.products = out;
    pending.low_at = Joint ? rows * 16 : 256;
    pending.rows = rows;
    return pending;
  }
};

}  // namespace localllm::amx
