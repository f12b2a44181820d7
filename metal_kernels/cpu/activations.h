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
  int16_t sums32[2][8];   // per plane and 32 columns
  int16_t sums16[2][16];  // per plane and 16 columns
  float inputs32[8];      // 256 * high + low summed over 32 columns, exact
  float inputs64[4];      // over 64
};
static_assert(sizeof(BlockInfo) == 192);

// Fills what follows from sums16.
static inline void complete(BlockInfo& info) {
  for (int g = 0; g < 8; ++g) {
    for (int plane = 0; plane < 2; ++plane)
      info.sums32[plane][g] = int16_t(info.sums16[plane][2 * g] + info.sums16[plane][2 * g + 1]);
    info.inputs32[g] = float(256 * info.sums32[0][g] + info.sums32[1][g]);
  }
  for (int g = 0; g < 4; ++g)
    info.inputs64[g] = float(256 * (info.sums32[0][2 * g] + info.sums32[0][2 * g + 1]) +
                             info.sums32[1][2 * g] + info.sums32[1][2 * g + 1]);
}

struct Panel {
  int num_rows = 0, num_columns = 0, num_supers = 0;
  int8_t* planes = nullptr;
  BlockInfo* info = nullptr;

  int rows_in_tile(int tile) const {
    int left = num_rows - tile * kTileRows;
    return left < kTileRows ? left : kTileRows;
  }
  // [plane 2][column / 64 : 4][rows_in_tile][64]
  const int8_t* block(int tile, int super) const {
    return planes + (int64_t(tile) * kTileRows * num_supers + super * rows_in_tile(tile)) * 512;
  }
  // [rows_in_tile]
  const BlockInfo* block_info(int tile, int super) const {
    return info + int64_t(tile) * kTileRows * num_supers + super * rows_in_tile(tile);
  }
};

constexpr float kQuantMax = 32639.0f;  // 127 * 256 + 127

}  // namespace localllm
