// Activations as 16-bit integers in two int8 planes, so that every dot product with weight codes is
// exact and a row's result depends on nothing but the row.
//
// x = scale * (256 * high + low) per 256 columns, rounded to nearest: about 16 bits of the block's
// largest magnitude. Rows come in tiles of 16 (the last may have fewer): AMX reads whole tiles.
#pragma once
#include <cstdint>

#include "formats.h"

namespace localllm {

struct alignas(64) BlockInfo {
  float scale;
  // Sums of whole inputs, rounded to 16 bits of the block's largest, for formats with mins.
  float sum_scale32, sum_scale16;
  int16_t scaled_sums32[8], scaled_sums16[16];
  int16_t sums16[2][16];  // exact, per plane and 16 columns
  float inputs32[8];      // 256 * high + low summed over 32 columns, exact
  float inputs64[4];      // over 64
};
static_assert(sizeof(BlockInfo) == 192);

// Rounds sums to 16 bits; returns the scale that undoes it.
static inline float round_sums(const int32_t* sums, int count, float scale, int16_t* out) {
  int32_t largest = 0;
  for (int i = 0; i < count; ++i) {
    int32_t magnitude = sums[i] < 0 ? -sums[i] : sums[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  int shift = 0;
  while ((largest + ((1 << shift) >> 1)) >> shift > 32767) ++shift;
  for (int i = 0; i < count; ++i) out[i] = int16_t((sums[i] + ((1 << shift) >> 1)) >> shift);
  return scale * float(1 << shift);
}

// Fills what follows from scale and sums16.
static inline void complete(BlockInfo& info) {
  int32_t sums32[8], sums16[16];
  for (int g = 0; g < 16; ++g) sums16[g] = 256 * info.sums16[0][g] + info.sums16[1][g];
  for (int g = 0; g < 8; ++g) {
    sums32[g] = sums16[2 * g] + sums16[2 * g + 1];
    info.inputs32[g] = float(sums32[g]);
  }
  for (int g = 0; g < 4; ++g) info.inputs64[g] = float(sums32[2 * g] + sums32[2 * g + 1]);
  info.sum_scale32 = round_sums(sums32, 8, info.scale, info.scaled_sums32);
  info.sum_scale16 = round_sums(sums16, 16, info.scale, info.scaled_sums16);
}

struct Panel {
  int num_rows = 0, num_columns = 0, num_supers = 0;
  int8_t* planes = nullptr;
  BlockInfo* info = nullptr;

  int rows_in_tile(int tile) const {
    int left = num_rows - tile * kTileRows;
    return left < kTileRows ? left : kTileRows;
  }
  // [column / 64 : 4][plane 2][rows_in_tile][64]. A superblock of all rows lies together: kernels
  // read it as a whole, and rows apart by a power of two would share the same few cache sets.
  const int8_t* block(int tile, int super) const { return planes + first(tile, super) * 512; }
  // [rows_in_tile]
  const BlockInfo* block_info(int tile, int super) const { return info + first(tile, super); }

 private:
  int64_t first(int tile, int super) const {
    return int64_t(super) * num_rows + int64_t(tile) * kTileRows;
  }
};

constexpr float kQuantMax = 32639.0f;  // 127 * 256 + 127

}  // namespace localllm
